//! Discovery over HTTP: documents that everyone may read and keep for a while.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::Value;

use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{hash, known},
};

/// Seconds that the documents may be kept.
const MAX_AGE: &str = "public, max-age=300";

fn document(request: &HttpRequest, document: &Value) -> Result<HttpResponse, ApiError> {
    let body = document.to_string();
    let tag = hash(body.as_bytes());
    let keep = (header::CACHE_CONTROL, MAX_AGE);
    if let Some(mut unchanged) = known(request, &tag)? {
        return Ok(unchanged.insert_header(keep).finish());
    }
    Ok(HttpResponse::Ok()
        .insert_header(keep)
        .insert_header((header::ETAG, format!("\"{tag}\"")))
        .content_type(header::ContentType::json())
        .body(body))
}

/// Reads what the OpenID provider can do
///
/// OpenID Connect Discovery: where the endpoints are and what works as configured.
#[utoipa::path(
    get,
    path = "/.well-known/openid-configuration",
    tag = "oauth",
    responses(
        (status = 200, description = "The metadata", body = Value, headers(("ETag" = String, description = "Changes with the document"))),
        (status = 304, description = "Still the same as `If-None-Match` says"),
    ),
)]
pub async fn read_openid_configuration(
    app: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    document(&request, &app.oauth.metadata())
}

/// Reads what the authorization server can do
///
/// RFC 8414, the same document as OpenID Connect Discovery has.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-authorization-server",
    tag = "oauth",
    responses(
        (status = 200, description = "The metadata", body = Value, headers(("ETag" = String, description = "Changes with the document"))),
        (status = 304, description = "Still the same as `If-None-Match` says"),
    ),
)]
pub async fn read_authorization_server(
    app: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    document(&request, &app.oauth.metadata())
}

/// Reads what this API takes as a protected resource
///
/// RFC 9728: which authorization server gives tokens for it, and which scopes there are.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-protected-resource",
    tag = "oauth",
    responses(
        (status = 200, description = "The metadata", body = Value, headers(("ETag" = String, description = "Changes with the document"))),
        (status = 304, description = "Still the same as `If-None-Match` says"),
    ),
)]
pub async fn read_protected_resource(
    app: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    document(&request, &app.oauth.resource_metadata())
}

/// Reads the same at the address that RFC 9728 section 3.1 makes of a resource with a path
///
/// Only the path of this API's audience is known.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-protected-resource/{path}",
    tag = "oauth",
    params(("path" = String, Path, description = "The path of the resource", example = "api")),
    responses(
        (status = 200, description = "The metadata", body = Value),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_protected_resource_at(
    app: web::Data<AppState>,
    request: HttpRequest,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    if !app.oauth.is_own_path(&path) {
        return Err(ApiError::not_found());
    }
    document(&request, &app.oauth.resource_metadata())
}
