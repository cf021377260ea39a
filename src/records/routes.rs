//! Records over HTTP.

use std::sync::Arc;

use actix_web::{Either, HttpResponse, http::header::HeaderName, web};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Creation, Reading, Request, Shown, Wanted, line_routes::import_lines, location};
use crate::{
    app::AppState,
    collections::{Asker, CollectionName},
    error::{ApiError, Code, Problem},
    http::{AnyJson, AnyPatch, Caller, Idempotency, JsonPatch, OneOrLines, Query, Tagged, Visitor},
    idempotency::{self, Answer},
    precondition::Precondition,
    scope::{Demand, RecordsRead, RecordsWrite},
};

/// Where the feed of changes goes on.
pub(crate) const FEED_POSITION: HeaderName = HeaderName::from_static("feed-position");

/// A record: the members of its document after those that the server keeps, of which `fields` may leave out all but `id` and `version`.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "0197a3f0-0000-7000-8000-000000000000",
    "owner": "01a20bf4-4417-720b-a398-ade7a859a777",
    "version": 1,
    "created_at": "2026-11-24T09:00:00.000Z",
    "updated_at": "2026-11-24T09:00:00.000Z",
    "title": "Ink",
}))]
#[expect(dead_code, reason = "the document shows it; rows write themselves")]
pub struct Record {
    /// Its id.
    id: Uuid,
    /// Whose it is; null when nobody's.
    #[schema(required = false)]
    owner: Option<Uuid>,
    /// Grows with every change.
    version: i64,
    /// When it was made.
    #[schema(required = false)]
    created_at: crate::timestamp::Timestamp,
    /// When it was last changed.
    #[schema(required = false)]
    updated_at: crate::timestamp::Timestamp,
    /// With `expand`, the records that it refers to, by the members that do.
    #[schema(required = false)]
    expanded: Option<Map<String, Value>>,
    /// The document's own members, as the collection's schema has them.
    #[schema(additional_properties)]
    #[serde(flatten)]
    document: Map<String, Value>,
}

/// A document, as the collection's schema has it.
#[derive(ToSchema)]
#[schema(example = json!({"title": "Ink"}))]
#[expect(dead_code, reason = "the document shows it; `AnyJson` reads it")]
pub struct Document {
    /// Its members.
    #[schema(additional_properties)]
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl Request {
    /// What a visitor asks of a collection.
    pub(super) fn new<S: Demand>(
        app: &AppState,
        visitor: &Visitor<S>,
        collection: CollectionName,
    ) -> Self {
        Self {
            collection,
            asker: asker(app, visitor),
            owner: owner(visitor),
        }
    }
}

/// Who asks, as rules see it.
pub(crate) fn asker<S: Demand>(app: &AppState, visitor: &Visitor<S>) -> Asker {
    let caller = visitor.caller();
    Asker {
        auth: caller.map_or_else(|| Arc::new(json!({})), Caller::told),
        is_administrator: caller.is_some_and(|caller| caller.authority().is_administrator()),
        now: app.tokens.now(),
    }
}

/// Whose records become that a visitor makes.
pub(super) fn owner<S: Demand>(visitor: &Visitor<S>) -> Option<Uuid> {
    visitor
        .caller()
        .and_then(|caller| caller.claims().sub.user())
}

pub(super) fn tagged(shown: Shown) -> Tagged<Shown> {
    let (version, is_whole) = (shown.version, shown.is_whole);
    let tagged = Tagged::of_text(shown.into_text(), version);
    if is_whole { tagged } else { tagged.in_form() }
}

/// What of a record is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordQuery {
    /// Members to show, separated by commas; `id` and `version` are there in any case.
    #[param(example = "title,price")]
    pub fields: Option<String>,
    /// Members that refer to other records, separated by commas: these are shown as members of `expanded`, as far as the caller may
    /// read them. Such an answer has no tag.
    #[param(example = "customer")]
    pub expand: Option<String>,
}

/// Makes a record
///
/// It belongs to the caller. Without a token the collection's rules alone decide. A body of type `application/x-ndjson` makes one of
/// each line, up to 10,000, and answers 200 with a line for each: its number, `status`, and `id` or `code` and `errors`. Exported records
/// keep their ids, and what is wrong with one line keeps no other from being stored.
#[utoipa::path(
    post,
    path = "/v1/data/{collection}",
    tag = "records",
    params(("collection" = String, Path, description = "The collection's name", example = "orders")),
    request_body = Document,
    security((), ("bearer" = ["records:write"])),
    responses(
        (status = 201, description = "Made", body = Record, headers(("Location" = String, description = "The record's URI"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_record(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsWrite>,
    collection: web::Path<CollectionName>,
    idempotency: Idempotency,
    input: OneOrLines,
) -> Result<Either<Tagged<Box<RawValue>>, HttpResponse>, ApiError> {
    let request = Request::new(&app, &visitor, collection.into_inner());
    let document = match input {
        OneOrLines::One(document) => document,
        OneOrLines::Lines(_) if idempotency.is_some() => {
            let detail =
                "lines take no `Idempotency-Key`: give each an `id`, then none is stored twice";
            return Err(ApiError::new(Code::BadRequest, detail));
        }
        OneOrLines::Lines(payload) => {
            let reports = import_lines(&app, request, payload).await?;
            return Ok(Either::Right(reports));
        }
    };
    let key = visitor.caller().and_then(|caller| idempotency.of(caller));
    let collection = request.collection.clone();
    let answer =
        move |made: Shown| Answer::new(location(&collection, made.id), made.version, &made);
    let answer = if let Some(key) = key {
        let catalog = app.catalog.clone();
        let make =
            move |conn: &mut _| super::create(conn, &catalog, &request, &document).and_then(answer);
        app.db
            .run(move |conn| idempotency::once(conn, Some(&key), make))
            .await?
    } else {
        let creation = Creation::new(&app.catalog, request, document);
        app.creations.send(creation).await.and_then(answer)?
    };
    app.feed.poke();
    Ok(Either::Left(answer.into()))
}

/// Reads a record
///
/// What the collection's `read` rule hides from the caller is not there.
#[utoipa::path(
    get,
    path = "/v1/data/{collection}/{id}",
    tag = "records",
    params(
        ("collection" = String, Path, description = "The collection's name", example = "orders"),
        ("id" = Uuid, Path, description = "The record's id"),
        RecordQuery,
    ),
    security((), ("bearer" = ["records:read"])),
    responses(
        (status = 200, description = "The record", body = Record),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_record(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsRead>,
    place: web::Path<(CollectionName, Uuid)>,
    query: Query<RecordQuery>,
) -> Result<Either<Tagged<Shown>, web::Json<Shown>>, ApiError> {
    let (collection, id) = place.into_inner();
    let Query(query) = query;
    let request = Request::new(&app, &visitor, collection);
    let wanted = Wanted {
        fields: query.fields,
        expand: query.expand,
    };
    // What is shown with it changes for itself.
    let has_tag = wanted.expand.is_none();
    let reading = Reading::new(&app.catalog, request, id, wanted);
    let shown = app.readings.send(reading).await?;
    Ok(if has_tag {
        Either::Left(tagged(shown))
    } else {
        Either::Right(web::Json(shown))
    })
}

/// Replaces a record
///
/// Under an id that is not there yet (a UUIDv7 that the caller chose) it makes one.
#[utoipa::path(
    put,
    path = "/v1/data/{collection}/{id}",
    tag = "records",
    params(
        ("collection" = String, Path, description = "The collection's name", example = "orders"),
        ("id" = Uuid, Path, description = "The record's id"),
    ),
    request_body = Document,
    security((), ("bearer" = ["records:write"])),
    responses(
        (status = 200, description = "Replaced", body = Record),
        (status = 201, description = "Made", body = Record, headers(("Location" = String, description = "The record's URI"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn replace_record(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsWrite>,
    place: web::Path<(CollectionName, Uuid)>,
    precondition: Precondition,
    input: AnyJson,
) -> Result<Tagged<Shown>, ApiError> {
    let (collection, id) = place.into_inner();
    let AnyJson(document) = input;
    let request = Request::new(&app, &visitor, collection);
    let uri = location(&request.collection, id);
    let catalog = app.catalog.clone();
    let (shown, is_new) = app
        .db
        .run(move |conn| super::replace(conn, &catalog, &request, id, &precondition, &document))
        .await?;
    app.feed.poke();
    Ok(if is_new {
        tagged(shown).created(uri)
    } else {
        tagged(shown)
    })
}

/// Changes a record
///
/// A merge patch (RFC 7396) or a JSON Patch (RFC 6902) of its document.
#[utoipa::path(
    patch,
    path = "/v1/data/{collection}/{id}",
    tag = "records",
    params(
        ("collection" = String, Path, description = "The collection's name", example = "orders"),
        ("id" = Uuid, Path, description = "The record's id"),
    ),
    request_body(content(
        (Document = "application/merge-patch+json"),
        (Document = "application/json"),
        (JsonPatch = "application/json-patch+json"),
    )),
    security((), ("bearer" = ["records:write"])),
    responses(
        (status = 200, description = "Changed", body = Record),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn update_record(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsWrite>,
    place: web::Path<(CollectionName, Uuid)>,
    precondition: Precondition,
    input: AnyPatch,
) -> Result<Tagged<Shown>, ApiError> {
    let (collection, id) = place.into_inner();
    let AnyPatch(patch) = input;
    let request = Request::new(&app, &visitor, collection);
    let catalog = app.catalog.clone();
    let shown = app
        .db
        .run(move |conn| super::change(conn, &catalog, &request, id, &precondition, &patch))
        .await?;
    app.feed.poke();
    Ok(tagged(shown))
}

/// Deletes a record
///
/// For ever.
#[utoipa::path(
    delete,
    path = "/v1/data/{collection}/{id}",
    tag = "records",
    params(
        ("collection" = String, Path, description = "The collection's name", example = "orders"),
        ("id" = Uuid, Path, description = "The record's id"),
    ),
    security((), ("bearer" = ["records:write"])),
    responses(
        (status = 204, description = "Deleted"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_record(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsWrite>,
    place: web::Path<(CollectionName, Uuid)>,
    precondition: Precondition,
) -> Result<HttpResponse, ApiError> {
    let (collection, id) = place.into_inner();
    let request = Request::new(&app, &visitor, collection);
    let catalog = app.catalog.clone();
    app.db
        .run(move |conn| super::delete(conn, &catalog, &request, id, &precondition))
        .await?;
    app.feed.poke();
    Ok(HttpResponse::NoContent().finish())
}
