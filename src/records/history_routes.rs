//! The versions of records over HTTP.

use actix_web::{HttpResponse, web};
use uuid::Uuid;

use super::{
    Request, Shown, location,
    routes::{Record, tagged},
};
use crate::{
    app::AppState,
    collections::CollectionName,
    error::{ApiError, Problem},
    http::{Page, PageQuery, Pager, Query, Tagged, Texts, Visitor, hash},
    precondition::Precondition,
    scope::{RecordsRead, RecordsWrite},
};

/// Lists a record's versions
///
/// The newest first, which is the record as it is. Versions that the `read` rule hides are left out; all go with their record.
#[utoipa::path(
    get,
    path = "/v1/data/{collection}/{id}/versions",
    tag = "records",
    params(
        ("collection" = String, Path, description = "The collection's name", example = "orders"),
        ("id" = Uuid, Path, description = "The record's id"),
        PageQuery,
    ),
    security((), ("bearer" = ["records:read"])),
    responses(
        (status = 200, description = "A page", body = Page<Record>),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list_record_versions(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsRead>,
    place: web::Path<(CollectionName, Uuid)>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let ((collection, id), Query(page)) = (place.into_inner(), page);
    let path = format!("{}/versions", location(&collection, id));
    let request = Request::new(&app, &visitor, collection);
    let sub = request.asker.auth.get("sub");
    let list = hash(format!("{path} {sub:?}").as_bytes());
    let keyring = app.tokens.keyring();
    let pager: Pager<i64> = Pager::new(list, &page, &keyring)?;
    let (before, rows) = (pager.after().copied(), pager.rows());
    let catalog = app.catalog.clone();
    let versions = app
        .db
        .run_again(move |conn| super::list_versions(conn, &catalog, &request, id, before, rows))
        .await?;
    let page: Page<Shown> = pager.page(versions, |shown: &Shown| shown.version, &keyring)?;
    page.respond_texts(&path, &[], Texts::of(&page.items, Shown::text))
}

/// Reads one version of a record
///
/// The record as it was, or is.
#[utoipa::path(
    get,
    path = "/v1/data/{collection}/{id}/versions/{version}",
    tag = "records",
    params(
        ("collection" = String, Path, description = "The collection's name", example = "orders"),
        ("id" = Uuid, Path, description = "The record's id"),
        ("version" = i64, Path, description = "The version's number", minimum = 1, example = 1),
    ),
    security((), ("bearer" = ["records:read"])),
    responses(
        (status = 200, description = "The version", body = Record),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_record_version(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsRead>,
    place: web::Path<(CollectionName, Uuid, i64)>,
) -> Result<Tagged<Shown>, ApiError> {
    let (collection, id, version) = place.into_inner();
    let request = Request::new(&app, &visitor, collection);
    let catalog = app.catalog.clone();
    let shown = app
        .db
        .run_again(move |conn| super::read_version(conn, &catalog, &request, id, version))
        .await?;
    Ok(tagged(shown))
}

/// Restores a version of a record
///
/// The record becomes what it was: a change like any other, which the `update` rule has to allow and the schema to fit.
#[utoipa::path(
    post,
    path = "/v1/data/{collection}/{id}/versions/{version}/restore",
    tag = "records",
    params(
        ("collection" = String, Path, description = "The collection's name", example = "orders"),
        ("id" = Uuid, Path, description = "The record's id"),
        ("version" = i64, Path, description = "The version's number", minimum = 1, example = 1),
    ),
    security((), ("bearer" = ["records:write"])),
    responses(
        (status = 200, description = "The record as it is now", body = Record),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn restore_record_version(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsWrite>,
    place: web::Path<(CollectionName, Uuid, i64)>,
    precondition: Precondition,
) -> Result<Tagged<Shown>, ApiError> {
    let (collection, id, version) = place.into_inner();
    let request = Request::new(&app, &visitor, collection);
    let catalog = app.catalog.clone();
    let shown = app
        .db
        .run(move |conn| super::restore(conn, &catalog, &request, id, version, &precondition))
        .await?;
    app.feed.poke();
    Ok(tagged(shown))
}
