//! Tickets over HTTP.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::ticket_store;
use crate::{
    app::AppState,
    error::{ApiError, Code, Problem},
    http::{Caller, token_text},
    scope::AnyToken,
};

/// What opens one stream of events.
#[derive(Serialize, ToSchema)]
#[schema(as = EventsTicket, example = json!({"ticket": "kL3…", "expires_in": 30}))]
pub struct Ticket {
    /// To be sent as `ticket`, once.
    ticket: String,
    /// Seconds until it is good for nothing.
    expires_in: i32,
}

/// Makes a ticket
///
/// It stands for the token for 30 seconds, and once: for `/v1/events`, whose clients in browsers can send no header.
#[utoipa::path(
    post,
    path = "/v1/tickets",
    tag = "realtime",
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Made", body = Ticket),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn create_ticket(
    app: web::Data<AppState>,
    caller: Caller<AnyToken>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    if caller.claims().cnf.is_some() {
        // Whoever had the ticket would need no key.
        let detail = "a token that is bound to a key makes no ticket";
        return Err(ApiError::new(Code::BadRequest, detail));
    }
    let token = token_text(&app, request.headers()).ok_or(Code::AuthenticationRequired)?;
    let create = move |conn: &mut _| ticket_store::create(conn, &token);
    let ticket = app.db.run(create).await?;
    Ok(HttpResponse::Created().json(Ticket {
        ticket,
        expires_in: ticket_store::LIFETIME,
    }))
}
