//! Several writes over HTTP.

use actix_web::{HttpResponse, http::header, web};

use super::{
    Batch, Outcomes,
    routes::{asker, owner},
    run_batch,
};
use crate::{
    app::AppState,
    db,
    error::{ApiError, Problem},
    http::{Idempotency, Json, Visitor},
    idempotency::{self, Answer},
    scope::RecordsWrite,
};

/// Where batches are sent.
const PATH: &str = "/v1/batch";

/// Does several writes as one
///
/// Up to 100, of any collections, in their order, each under its own rules and condition: all of them happen or none. An operation
/// may refer to the record of an earlier one.
#[utoipa::path(
    post,
    path = "/v1/batch",
    tag = "records",
    request_body = Batch,
    security((), ("bearer" = ["records:write"])),
    responses(
        (status = 200, description = "What each has done", body = Outcomes),
        (status = "4XX", description = "Refused: nothing was done", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_batch(
    app: web::Data<AppState>,
    visitor: Visitor<RecordsWrite>,
    idempotency: Idempotency,
    input: Json<Batch>,
) -> Result<HttpResponse, ApiError> {
    let Json(batch) = input;
    let (asker, owner) = (asker(&app, &visitor), owner(&visitor));
    let key = visitor.caller().and_then(|caller| idempotency.of(caller));
    let catalog = app.catalog.clone();
    let work = move |conn: &mut _| {
        db::tx(conn, |conn| {
            let outcomes = run_batch(conn, &catalog, &asker, owner, &batch)?;
            Answer::new(PATH.to_owned(), 0, &outcomes)
        })
    };
    let answer = app
        .db
        .run(move |conn| idempotency::once(conn, key.as_ref(), work))
        .await?;
    app.feed.poke();
    Ok(HttpResponse::Ok()
        .insert_header(header::ContentType::json())
        .body(answer.body.get().to_owned()))
}
