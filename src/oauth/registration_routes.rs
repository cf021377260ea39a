//! Clients that register themselves, over HTTP.

use actix_web::{HttpRequest, HttpResponse, http::header, web};

use super::{OAuthError, hop};
use crate::{
    app::AppState,
    clients::Metadata,
    error::ApiError,
    http::{Anyone, JsonObject},
};

/// The bearer token of a request.
fn bearer(request: &HttpRequest) -> Option<String> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.to_owned())
}

fn told(mut response: actix_web::HttpResponseBuilder, body: &serde_json::Value) -> HttpResponse {
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
        .json(body)
}

fn bad_json(error: ApiError) -> OAuthError {
    OAuthError::new(super::Fault::InvalidClientMetadata, error.detail)
}

/// Registers a client
///
/// RFC 7591, where `oauth.registration` allows it. Unknown members are ignored. The secrets in the answer are shown once.
#[utoipa::path(
    post,
    path = "/oauth/register",
    tag = "oauth",
    request_body = Metadata,
    responses(
        (status = 201, description = "Registered", body = super::forms::Registered),
        (status = "4XX", description = "Refused (RFC 7591 section 3.2.2)", body = super::forms::Refused),
    ),
)]
pub async fn register_client(
    app: web::Data<AppState>,
    request: HttpRequest,
    anyone: Anyone,
    body: Result<JsonObject, ApiError>,
) -> Result<HttpResponse, OAuthError> {
    let server = app.oauth.clone();
    server.check_registration(bearer(&request).as_deref())?;
    let JsonObject(given) = body.map_err(bad_json)?;
    let registered = hop(&app.db, move |conn| {
        let registered = server.register(conn, given, &anyone.0)?;
        server.registry.catch_up(conn);
        Ok::<_, OAuthError>(registered)
    })
    .await?;
    Ok(told(HttpResponse::Created(), &registered))
}

/// Reads what a client has registered
///
/// RFC 7592, with the registration token; the answer holds a new one in its place.
#[utoipa::path(
    get,
    path = "/oauth/register/{client_id}",
    tag = "oauth",
    params(("client_id" = String, Path, description = "The client's id")),
    responses(
        (status = 200, description = "What it is", body = super::forms::Registered),
        (status = "4XX", description = "Refused", body = super::forms::Refused),
    ),
)]
pub async fn read_registered_client(
    app: web::Data<AppState>,
    request: HttpRequest,
    anyone: Anyone,
    id: web::Path<String>,
) -> Result<HttpResponse, OAuthError> {
    let (server, token) = (app.oauth.clone(), bearer(&request));
    let registered = hop(&app.db, move |conn| {
        server.read_registered(conn, &id, token.as_deref(), &anyone.0)
    })
    .await?;
    Ok(told(HttpResponse::Ok(), &registered))
}

/// Replaces what a client has registered
///
/// RFC 7592, with the registration token; the answer holds a new one in its place.
#[utoipa::path(
    put,
    path = "/oauth/register/{client_id}",
    tag = "oauth",
    params(("client_id" = String, Path, description = "The client's id")),
    request_body = Metadata,
    responses(
        (status = 200, description = "Replaced", body = super::forms::Registered),
        (status = "4XX", description = "Refused", body = super::forms::Refused),
    ),
)]
pub async fn replace_registered_client(
    app: web::Data<AppState>,
    request: HttpRequest,
    anyone: Anyone,
    id: web::Path<String>,
    body: Result<JsonObject, ApiError>,
) -> Result<HttpResponse, OAuthError> {
    let (server, token) = (app.oauth.clone(), bearer(&request));
    let JsonObject(given) = body.map_err(bad_json)?;
    let registered = hop(&app.db, move |conn| {
        let registered =
            server.replace_registered(conn, &id, token.as_deref(), given, &anyone.0)?;
        server.registry.catch_up(conn);
        Ok::<_, OAuthError>(registered)
    })
    .await?;
    Ok(told(HttpResponse::Ok(), &registered))
}

/// Deletes a client that registered itself
///
/// RFC 7592, with the registration token; what it holds is dead.
#[utoipa::path(
    delete,
    path = "/oauth/register/{client_id}",
    tag = "oauth",
    params(("client_id" = String, Path, description = "The client's id")),
    responses(
        (status = 204, description = "Deleted"),
        (status = "4XX", description = "Refused", body = super::forms::Refused),
    ),
)]
pub async fn delete_registered_client(
    app: web::Data<AppState>,
    request: HttpRequest,
    anyone: Anyone,
    id: web::Path<String>,
) -> Result<HttpResponse, OAuthError> {
    let (server, token) = (app.oauth.clone(), bearer(&request));
    let tokens = app.tokens.clone();
    hop(&app.db, move |conn| {
        server.delete_registered(conn, &id, token.as_deref(), &anyone.0)?;
        server.registry.catch_up(conn);
        tokens.catch_up(conn);
        Ok::<_, OAuthError>(())
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
