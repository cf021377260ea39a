//! Keys over HTTP, as far as retiring one ends sessions.

use actix_web::{HttpResponse, web};

use crate::{
    app::AppState,
    error::{ApiError, Code, Problem},
    http::Caller,
    scope::KeysWrite,
};

/// Retires a key at once
///
/// For a key in wrong hands. Every token that it signed is dead within a second on every replica; its successor signs at
/// once, so verifiers elsewhere must fetch the key set again when they meet a `kid` they don't know. Retiring a key of
/// refresh tokens ends the sessions whose refresh tokens it signed.
#[utoipa::path(
    delete,
    path = "/v1/keys/{kid}",
    tag = "keys",
    params(("kid" = String, Path, description = "The key's name", example = "rs256-019ab0c85a7e7c3e9b5e2f2f6b0e7a11")),
    security(("bearer" = ["keys:write"])),
    responses(
        (status = 204, description = "Retired"),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_key(
    app: web::Data<AppState>,
    caller: Caller<KeysWrite>,
    kid: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let kid = kid.into_inner();
    let keyring = app.tokens.keyring();
    if keyring.configured().any(|(key, _)| key.kid == kid) {
        return Err(Code::KeyConfigured.into());
    }
    let tokens = app.tokens.clone();
    app.run_revoking(move |conn| {
        super::revoke_key(conn, tokens.keys().plan(), &kid, &caller.actor)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
