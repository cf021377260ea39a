//! The presented token over HTTP; refreshing lives with sessions, which it changes.

use actix_web::HttpResponse;

use super::AccessClaims;
use crate::{error::Problem, http::Caller, scope::AnyToken};

/// Reads the claims of the presented token
///
/// Verifies the access token and answers its claims. Touches no database: the token alone decides.
#[utoipa::path(
    get,
    path = "/v1/tokens/current",
    tag = "tokens",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The claims", body = AccessClaims),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_current_token(caller: Caller<AnyToken>) -> HttpResponse {
    HttpResponse::Ok().json(caller.claims())
}
