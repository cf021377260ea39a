//! Documentation over HTTP.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::header::{self, ContentType, HeaderValue},
    web,
};

use super::{
    Viewer,
    asyncapi::asyncapi,
    problems::{Explanation, explain},
};
use crate::{
    app::AppState,
    error::{ApiError, Problem},
    http::{Visitor, hash, known},
    rules::Claims,
    scope::AnyToken,
};

/// Nothing but what this server serves may run or load in the documentation; Swagger UI sets styles inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Reads the OpenAPI document
///
/// This document, OpenAPI 3.1: to what every server has it adds, of each declared collection, what the presented token may use,
/// without one what visitors may.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "documentation",
    security((), ("bearer" = [])),
    responses(
        (status = 200, description = "The document", body = serde_json::Value, headers(("ETag" = String, description = "Changes with the document"))),
        (status = 304, description = "Still the same as `If-None-Match` says"),
        (status = "4XX", description = "Refused; 404 where the documentation is not shown (`server.docs`)", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer; try again after `Retry-After`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_openapi(
    app: web::Data<AppState>,
    visitor: Visitor<AnyToken>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    check_shown(&app)?;
    let viewer = match visitor.caller() {
        Some(caller) => Viewer::of(caller.told(), Claims::All, caller.authority().clone()),
        None => Viewer::visitor(),
    };
    let (catalog, documents) = (app.catalog.clone(), app.documents.clone());
    let text = app
        .db
        .run_again(move |conn| documents.text(catalog.all(conn)?, &viewer))
        .await?;
    let mut response = unless_known(&request, text.as_bytes(), |response| {
        response
            .content_type(ContentType::json())
            .body(text.to_string())
    })?;
    let headers = response.headers_mut();
    let by = HeaderValue::from_static("Authorization, Cookie");
    headers.insert(header::VARY, by);
    let keep = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, keep);
    Ok(response)
}

/// Reads the AsyncAPI document
///
/// What goes over WebSockets and streams of events, AsyncAPI 3.0.
#[utoipa::path(
    get,
    path = "/asyncapi.json",
    tag = "documentation",
    responses(
        (status = 200, description = "The document", body = serde_json::Value, headers(("ETag" = String, description = "Changes with the document"))),
        (status = 304, description = "Still the same as `If-None-Match` says"),
        (status = "4XX", description = "Refused; 404 where the documentation is not shown (`server.docs`)", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_asyncapi(
    app: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    check_shown(&app)?;
    let text = asyncapi(app.tokens.issuer(), app.cookies.access_name())?.to_string();
    unless_known(&request, text.as_bytes(), |response| {
        response
            .content_type(ContentType::json())
            .body(text.clone())
    })
}

/// Hides the documentation where the operator doesn't want it.
fn check_shown(app: &AppState) -> Result<(), ApiError> {
    if app.config.server.docs {
        Ok(())
    } else {
        Err(ApiError::not_found())
    }
}

/// Answers a file of this binary, unless the client has it; it may keep it, and asks each time.
fn unless_known(
    request: &HttpRequest,
    bytes: &[u8],
    answer: impl FnOnce(&mut HttpResponseBuilder) -> HttpResponse,
) -> Result<HttpResponse, ApiError> {
    let tag = hash(bytes);
    let keep = (header::CACHE_CONTROL, "no-cache");
    if let Some(mut unchanged) = known(request, &tag)? {
        return Ok(unchanged.insert_header(keep).finish());
    }
    let mut response = HttpResponse::Ok();
    response
        .insert_header(keep)
        .insert_header((header::ETAG, format!("\"{tag}\"")));
    Ok(answer(&mut response))
}

/// Explains a problem
///
/// What an error's `type` means and how to mend it.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    tag = "documentation",
    params(("code" = String, Path, description = "The last segment of the problem's `type`", example = "email-taken")),
    responses(
        (status = 200, description = "The explanation", body = Explanation),
        (status = "4XX", description = "Refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_problem(code: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let explanation = explain(&code).ok_or_else(ApiError::not_found)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "max-age=3600"))
        .json(explanation))
}

/// Sends browsers from `/docs` to the interactive documentation.
///
/// # Errors
/// 404 where it is not shown.
pub async fn redirect_to_docs(app: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    check_shown(&app)?;
    Ok(HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, "/docs/"))
        .finish())
}

/// Serves the interactive documentation, every file of it from this binary.
///
/// # Errors
/// 404.
pub async fn read_docs(
    app: web::Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    check_shown(&app)?;
    let config = utoipa_swagger_ui::Config::from("/openapi.json")
        .try_it_out_enabled(true)
        .persist_authorization(true)
        .display_request_duration(true)
        .use_base_layout();
    let path = request.match_info().query("file");
    let file = utoipa_swagger_ui::serve(path, config.into())
        .map_err(|error| ApiError::internal(error.to_string()))?
        .ok_or_else(ApiError::not_found)?;
    unless_known(&request, &file.bytes, |response| {
        if file.gzpipped {
            response.insert_header(header::ContentEncoding::Gzip);
        }
        response
            .content_type(file.content_type)
            .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
            .body(file.bytes.to_vec())
    })
}
