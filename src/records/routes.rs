//! Records over HTTP.

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderName},
    web,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{ListQuery, Listed, Place, RecordRow, Request, location};
use crate::{
    app::AppState,
    collections::{Asker, CollectionName},
    config::Mode,
    error::{ApiError, Problem},
    http::{
        AnyJson, AnyPatch, Idempotency, JsonPatch, Page, PageQuery, Pager, Query, Tagged, Visitor,
        hash,
    },
    idempotency::{self, Answer},
    precondition::Precondition,
    scope::{Demand, RecordsRead, RecordsWrite},
};

/// Where the feed of changes goes on.
pub(crate) const FEED_POSITION: HeaderName = HeaderName::from_static("feed-position");

/// A record: the members of its document after those that the server keeps.
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
    #[schema(required = true)]
    owner: Option<Uuid>,
    /// Grows with every change.
    version: i64,
    /// When it was made.
    created_at: crate::timestamp::Timestamp,
    /// When it was last changed.
    updated_at: crate::timestamp::Timestamp,
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
    fn new<S: Demand>(
        app: &AppState,
        visitor: &Visitor<S>,
        collection: CollectionName,
    ) -> Result<Self, ApiError> {
        let caller = visitor.caller();
        Ok(Self {
            collection,
            asker: asker(app, visitor)?,
            owner: caller.and_then(|caller| caller.claims().sub.user()),
        })
    }
}

/// A visitor as rules see them.
pub(crate) fn asker<S: Demand>(app: &AppState, visitor: &Visitor<S>) -> Result<Asker, ApiError> {
    let caller = visitor.caller();
    let auth = match caller {
        Some(caller) => serde_json::to_value(caller.claims()).map_err(ApiError::internal)?,
        None => json!({}),
    };
    Ok(Asker {
        auth,
        is_administrator: caller.is_some_and(|caller| caller.authority().is_administrator()),
        now: app.tokens.now(),
    })
}

fn tagged(row: RecordRow) -> Tagged<RecordRow> {
    let version = row.version;
    Tagged::versioned(row, version)
}

/// What a list of records is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordsQuery {
    /// An expression that every record has to meet, in the language of the rules; members are named directly.
    #[param(max_length = 4096, example = "price >= 10 && status == 'open'")]
    pub filter: Option<String>,
    /// Members to order by, separated by commas, a minus before those that descend; what lacks one comes last.
    #[param(max_length = 500, example = "-price,title")]
    pub order_by: Option<String>,
    /// Items of a page: 50 when left out, at most 200 (more is clamped).
    #[param(minimum = 1, example = 50)]
    pub limit: Option<u32>,
    /// Where to go on: the `next_cursor` of the page before, with the same other parameters.
    pub cursor: Option<String>,
}

/// Lists records
///
/// Those that the collection's `list` rule shows the caller and the filter leaves.
#[utoipa::path(
    get,
    path = "/v1/data/{collection}",
    tag = "records",
    params(("collection" = String, Path, description = "The collection's name", example = "orders"), RecordsQuery),
    security((), ("bearer" = ["records:read"])),
    responses(
        (status = 200, description = "A page", body = Page<Record>,
            headers(("Feed-Position" = String, description = "Where `GET /v1/changes?since=` goes on from this page"))),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_records(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsRead>,
    collection: web::Path<CollectionName>,
    query: Query<RecordsQuery>,
) -> Result<HttpResponse, ApiError> {
    let (collection, Query(query)) = (collection.into_inner(), query);
    let path = format!("/v1/data/{}", collection.as_ref());
    let request = Request::new(&app, &visitor, collection)?;
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let query = ListQuery {
        filter: query.filter,
        order_by: query.order_by,
        demands_index: app.config.mode() == Mode::Production,
    };
    let sub = request.asker.auth.get("sub");
    let list = hash(
        json!([path, sub, query.filter, query.order_by])
            .to_string()
            .as_bytes(),
    );
    let keyring = app.tokens.keyring();
    let pager: Pager<Place> = Pager::new(list, &page, &keyring)?;
    let (after, rows) = (pager.after().cloned(), pager.rows());
    let (catalog, asked) = (app.catalog.clone(), query.clone());
    let listing = app
        .db
        .run_again(move |conn| super::list(conn, &catalog, &request, &asked, after.as_ref(), rows))
        .await?;
    let page: Page<RecordRow> =
        pager.page_of(listing.listed, listing.is_cut, Listed::place, &keyring)?;
    let filters = [("filter", query.filter), ("order_by", query.order_by)];
    let mut response = page.respond(&path, &filters);
    let position = listing.feed_position.parse().map_err(ApiError::internal)?;
    response.headers_mut().insert(FEED_POSITION, position);
    if let Some(warning) = listing.warning {
        tracing::warn!(path, warning, "production refuses this list");
        // RFC 9111 section 5.5 has the header no more; the tools of browsers show it all the same.
        let text = format!("299 - \"{}\"", warning.replace('"', "'"));
        let value = text.parse().map_err(ApiError::internal)?;
        response.headers_mut().insert(header::WARNING, value);
    }
    Ok(response)
}

/// Makes a record
///
/// It belongs to the caller. Without a token the collection's rules alone decide.
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
    input: AnyJson,
) -> Result<Tagged<Box<RawValue>>, ApiError> {
    let AnyJson(document) = input;
    let request = Request::new(&app, &visitor, collection.into_inner())?;
    let key = visitor.caller().and_then(|caller| idempotency.of(caller));
    let catalog = app.catalog.clone();
    let make = move |conn: &mut _| {
        let row = super::create(conn, &catalog, &request, &document)?;
        Answer::new(location(&request.collection, row.id), row.version, &row)
    };
    let answer = app
        .db
        .run(move |conn| idempotency::once(conn, key.as_ref(), make))
        .await?;
    app.feed.poke();
    Ok(answer.into())
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
) -> Result<Tagged<RecordRow>, ApiError> {
    let (collection, id) = place.into_inner();
    let request = Request::new(&app, &visitor, collection)?;
    let catalog = app.catalog.clone();
    let row = app
        .db
        .run_again(move |conn| super::read(conn, &catalog, &request, id))
        .await?;
    Ok(tagged(row))
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
) -> Result<Tagged<RecordRow>, ApiError> {
    let (collection, id) = place.into_inner();
    let AnyJson(document) = input;
    let request = Request::new(&app, &visitor, collection)?;
    let uri = location(&request.collection, id);
    let catalog = app.catalog.clone();
    let (row, is_new) = app
        .db
        .run(move |conn| super::replace(conn, &catalog, &request, id, &precondition, &document))
        .await?;
    app.feed.poke();
    Ok(if is_new {
        tagged(row).created(uri)
    } else {
        tagged(row)
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
) -> Result<Tagged<RecordRow>, ApiError> {
    let (collection, id) = place.into_inner();
    let AnyPatch(patch) = input;
    let request = Request::new(&app, &visitor, collection)?;
    let catalog = app.catalog.clone();
    let row = app
        .db
        .run(move |conn| super::change(conn, &catalog, &request, id, &precondition, &patch))
        .await?;
    app.feed.poke();
    Ok(tagged(row))
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
    let request = Request::new(&app, &visitor, collection)?;
    let catalog = app.catalog.clone();
    app.db
        .run(move |conn| super::delete(conn, &catalog, &request, id, &precondition))
        .await?;
    app.feed.poke();
    Ok(HttpResponse::NoContent().finish())
}
