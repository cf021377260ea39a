//! Figures of records over HTTP.

use actix_web::web;

use super::{Aggregated, Aggregation, Request};
use crate::{
    app::AppState,
    collections::CollectionName,
    config::Mode,
    error::{ApiError, Problem},
    http::{Json, Visitor},
    scope::RecordsRead,
};

/// Computes figures of records
///
/// Counts, sums, averages and extremes of those that the `list` rule shows the caller, in all or for each group; without figures
/// the distinct values of members. At most 1,000 groups.
#[utoipa::path(
    post,
    path = "/v1/data/{collection}/aggregate",
    tag = "records",
    params(("collection" = String, Path, description = "The collection's name", example = "orders")),
    request_body = Aggregation,
    security((), ("bearer" = ["records:read"])),
    responses(
        (status = 200, description = "The groups", body = Aggregated),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn aggregate_records(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsRead>,
    collection: web::Path<CollectionName>,
    input: Json<Aggregation>,
) -> Result<web::Json<Aggregated>, ApiError> {
    let Json(aggregation) = input;
    let request = Request::new(&app, &visitor, collection.into_inner());
    let demands_index = app.config.mode() == Mode::Production;
    let catalog = app.catalog.clone();
    let aggregated = app
        .db
        .run_again(move |conn| {
            super::aggregate(conn, &catalog, &request, &aggregation, demands_index)
        })
        .await?;
    Ok(web::Json(aggregated))
}
