//! The outermost layer: a request id, one log line, headers that every answer has, and the body of every error.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        ConnectionType, Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use futures_util::FutureExt;
use serde_json::json;
use tracing::{Instrument, field};
use uuid::Uuid;

use super::{authenticate::Who, connection::Exchange, cors::Readers, limit, origin};
#[cfg(feature = "otel")]
use crate::telemetry::spans;
use crate::{
    app::AppState,
    db,
    error::{ApiError, Code, Problem},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's id: the caller's own when it is sane, else a new one.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub String);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&str| {
            (1..=128).contains(&id.len())
                && id.bytes().all(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':')
                })
        };
        let given = headers
            .get(&REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(sane);
        Self(given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned))
    }
}

/// Marks an answer that says in its own words what went wrong, as OAuth endpoints and pages do; the cause is for the log.
pub struct Rendered {
    /// What failed on our side.
    pub cause: Option<String>,
}

/// Gives the request its id, and its answer everything that all answers have.
///
/// # Errors
/// A handler that panicked: an answer as any other, which passes the middleware outside of this one.
pub async fn observe<B: MessageBody + 'static>(
    app: web::Data<AppState>,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let begun = Instant::now();
    let _answering = Exchange::begin(&mut request);
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let asked = Asked {
        method: request.method().clone(),
        path: request.path().to_owned(),
        route: request.match_pattern(),
    };
    let frame = Frame::of(app, &request, id);
    #[cfg(feature = "otel")]
    let span = spans::begin(
        asked.method.as_str(),
        asked.route.as_deref(),
        request.headers(),
        &frame.id.0,
    );
    #[cfg(not(feature = "otel"))]
    let span = tracing::Span::none();
    let called = db::watch(next.call(request)).instrument(span.clone());
    let (mut response, trips) = match AssertUnwindSafe(called).catch_unwind().await {
        Ok((response, trips)) => (response?, trips),
        Err(_panic) => return Err(frame.panicked(&asked, begun)),
    };
    let failed = response.status().is_client_error() || response.status().is_server_error();
    let rendered = response
        .response_mut()
        .extensions_mut()
        .remove::<Rendered>();
    let mut response = if let Some(rendered) = rendered {
        if let Some(cause) = rendered.cause {
            tracing::error!(request_id = frame.id.0, cause, "request failed");
        }
        response.map_into_left_body()
    } else if failed {
        let error = error_of(&response);
        log_cause(&error, &frame.id);
        response
            .into_response(frame.render(&error))
            .map_into_right_body()
    } else {
        response.map_into_left_body()
    };
    limit::mark(&mut response);
    frame.finish(response.headers_mut(), failed);
    if frame.app.life.is_stopping() {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    log(&response, &frame.id, begun, trips);
    #[cfg(feature = "otel")]
    spans::end(&span, response.status().as_u16());
    frame.count(&asked, response.status().as_u16(), begun);
    Ok(response)
}

/// What was asked for, for when nothing is left of the request.
struct Asked {
    method: Method,
    path: String,
    route: Option<String>,
}

/// What an answer gets that does not depend on it.
struct Frame {
    app: web::Data<AppState>,
    id: RequestId,
    readers: Readers,
    is_private: bool,
    speaks_oauth: bool,
}

impl Frame {
    fn of(app: web::Data<AppState>, request: &ServiceRequest, id: RequestId) -> Self {
        Self {
            readers: app.cors.readers(request.path(), request.headers()),
            is_private: request.path().starts_with("/v1/"),
            speaks_oauth: request.path().starts_with("/oauth/"),
            id,
            app,
        }
    }

    fn finish(&self, headers: &mut HeaderMap, failed: bool) {
        if let Ok(value) = HeaderValue::from_str(&self.id.0) {
            headers.insert(REQUEST_ID, value);
        }
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if !headers.contains_key(header::REFERRER_POLICY) {
            headers.insert(
                header::REFERRER_POLICY,
                HeaderValue::from_static("no-referrer"),
            );
        }
        if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
            headers.insert(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
            );
        }
        if self.app.tokens.issuer().starts_with("https://") {
            headers.insert(
                header::STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=31536000"),
            );
        }
        // What says nothing is not kept: browsers would guess how long.
        if self.is_private || failed || !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        self.readers.mark(headers);
    }

    /// What is left to do when a handler panicked: the hook has logged why; whoever asked gets an answer, and the others theirs.
    fn panicked(&self, asked: &Asked, begun: Instant) -> Error {
        let mut answer = self.render(&Code::Internal.into());
        self.finish(answer.headers_mut(), true);
        let (method, path) = (&asked.method, asked.path.escape_debug());
        let (micros, status) = (micros(begun), answer.status().as_u16());
        tracing::error!(%method, %path, status, micros, request_id = self.id.0, "failed");
        self.count(asked, status, begun);
        InternalError::from_response("a handler panicked", answer).into()
    }

    /// Writes the error as RFC 9457 says, with the headers that its status asks for.
    fn render(&self, error: &ApiError) -> HttpResponse {
        let entry = error.code.entry();
        let problem = Problem {
            kind: format!("{}/problems/{}", self.app.tokens.issuer(), entry.slug),
            title: entry.title.to_owned(),
            status: entry.status,
            detail: error.detail.clone().into_owned(),
            instance: self.id.0.clone(),
            errors: error.errors.clone(),
            current_version: error.current_version,
        };
        let mut response = HttpResponse::build(error.status_code());
        let (media_type, body) = if self.speaks_oauth {
            ("application/json", oauth_body(error))
        } else {
            (
                "application/problem+json",
                serde_json::to_string(&problem).unwrap_or_default(),
            )
        };
        response.content_type(media_type);
        for (name, value) in &error.headers {
            if *name == "www-authenticate" && self.is_private {
                // RFC 9728 section 5.1.
                let value = format!(
                    "{value}, resource_metadata=\"{}\"",
                    self.app.resource_metadata
                );
                response.append_header((*name, value));
            } else {
                response.append_header((*name, value.as_str()));
            }
        }
        if error.code == Code::RequestTimeout {
            // The rest of the body may still come.
            response.force_close();
        }
        response.body(body)
    }

    fn count(&self, asked: &Asked, status: u16, begun: Instant) {
        let route = asked.route.as_deref().unwrap_or("none");
        let metrics = &self.app.metrics;
        metrics.served(asked.method.as_str(), route, status, begun.elapsed());
    }
}

/// An error that no OAuth endpoint has written itself, in the form of RFC 6749 section 5.2.
fn oauth_body(error: &ApiError) -> String {
    let name = match error.code.entry().status {
        401 => "invalid_token",
        403 => "insufficient_scope",
        429 | 503 => "temporarily_unavailable",
        500.. => "server_error",
        _ => "invalid_request",
    };
    json!({"error": name, "error_description": error.detail}).to_string()
}

/// The error behind a failed answer; what actix says by itself becomes the same kind of error.
fn error_of<B>(response: &ServiceResponse<B>) -> ApiError {
    match response
        .response()
        .error()
        .and_then(|error| error.as_error::<ApiError>())
    {
        Some(error) => ApiError {
            code: error.code,
            detail: error.detail.clone(),
            errors: error.errors.clone(),
            headers: error.headers.clone(),
            current_version: error.current_version,
            cause: error
                .cause
                .as_ref()
                .map(|cause| format!("{cause:?}").into()),
        },
        None => {
            // What else the status promises (RFC 9110 section 15.5.17).
            let error = ApiError::from(code_of(response.status()));
            let range = response.headers().get(header::CONTENT_RANGE);
            match range.and_then(|range| range.to_str().ok()) {
                Some(range) => error.header("content-range", range),
                None => error,
            }
        }
    }
}

fn code_of(status: StatusCode) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
        StatusCode::URI_TOO_LONG => Code::UriTooLong,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::HeadersTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::PRECONDITION_FAILED => Code::PreconditionFailed,
        StatusCode::RANGE_NOT_SATISFIABLE => Code::RangeNotSatisfiable,
        status if status.is_client_error() => Code::BadRequest,
        _ => Code::Internal,
    }
}

fn log_cause(error: &ApiError, id: &RequestId) {
    if let Some(cause) = &error.cause {
        tracing::error!(request_id = id.0, code = error.code.entry().slug, %cause, "request failed");
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.entry().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Only the status: `observe` writes the body, because it knows the request.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

/// One line a request, without query and headers, which may hold secrets.
fn log<B>(response: &ServiceResponse<B>, id: &RequestId, begun: Instant, trips: u32) {
    let request = response.request();
    let status = response.status().as_u16();
    let who = request
        .extensions()
        .get::<Who>()
        .map(|who| Arc::clone(&who.0));
    let user = who
        .as_ref()
        .and_then(|who| who.claims.sub.user().map(field::display));
    let client = who.as_ref().map(|who| who.claims.client_id.as_str());
    let micros = micros(begun);
    match status {
        401 | 403 => tracing::warn!(
            method = %request.method(), path = %request.path().escape_debug(), status, micros, trips, request_id = id.0,
            user, client, address = origin::actor(request).address, "denied"
        ),
        500.. => tracing::error!(
            method = %request.method(), path = %request.path().escape_debug(), status, micros, trips, request_id = id.0, user, "failed"
        ),
        _ => tracing::info!(
            method = %request.method(), path = %request.path().escape_debug(), status, micros, trips, request_id = id.0, user, "served"
        ),
    }
}

fn micros(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}
