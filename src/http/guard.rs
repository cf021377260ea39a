//! What is refused before a handler runs: query parameters that nobody documented, and answers nobody can give.

use std::collections::{HashMap, HashSet};

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::Next,
    web,
};
use serde_json::Value;

use crate::{
    app::AppState,
    error::{ApiError, Code, FieldError},
};

/// The query parameters of every operation, as the OpenAPI document names them.
pub struct QueryNames(HashMap<(String, String), HashSet<String>>);

impl QueryNames {
    /// Takes them from the document, so that what is documented is what is accepted.
    pub fn new(document: &Value) -> Self {
        let paths = document.get("paths").and_then(Value::as_object);
        let operations = paths.into_iter().flatten().flat_map(|(path, item)| {
            item.as_object()
                .into_iter()
                .flatten()
                .map(move |(method, operation)| {
                    (
                        (method.to_uppercase(), path.clone()),
                        query_names(operation),
                    )
                })
        });
        Self(operations.collect())
    }

    fn unknown(&self, method: &Method, path: &str, query: &str) -> Vec<FieldError> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let Some(known) = self.0.get(&(method.to_string(), path.to_owned())) else {
            return Vec::new();
        };
        form_urlencoded::parse(query.as_bytes())
            // OAuth 2.1 section 5.2.1.2: a token in the query is ignored, not answered.
            .filter(|(name, _)| name != "access_token" && !known.contains(name.as_ref()))
            .map(|(name, _)| {
                FieldError::new(
                    format!("/{name}"),
                    "unknown",
                    "there is no such query parameter",
                )
            })
            .collect()
    }
}

fn query_names(operation: &Value) -> HashSet<String> {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    parameters
        .into_iter()
        .flatten()
        .filter(|parameter| parameter.get("in").and_then(Value::as_str) == Some("query"))
        .filter_map(|parameter| Some(parameter.get("name")?.as_str()?.to_owned()))
        .collect()
}

/// Refuses unknown query parameters (400) and requests that accept no JSON (406).
///
/// # Errors
/// None of its own.
pub async fn guard<B: MessageBody + 'static>(
    app: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match check(&app, &request) {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(error) => Ok(request.error_response(error).map_into_right_body()),
    }
}

fn check(app: &AppState, request: &ServiceRequest) -> Result<(), ApiError> {
    if !request.query_string().is_empty() {
        let pattern = request.match_pattern().unwrap_or_default();
        let unknown = app
            .query_names
            .unknown(request.method(), &pattern, request.query_string());
        if !unknown.is_empty() {
            return Err(ApiError::with_errors(Code::InvalidQuery, unknown));
        }
    }
    let api = request.path().starts_with("/v1/");
    match request
        .headers()
        .get(header::ACCEPT)
        .map(|accept| accept.to_str())
    {
        Some(Ok(accept)) if api && !accepts_json(accept) => Err(Code::NotAcceptable.into()),
        _ => Ok(()),
    }
}

/// Tells whether a list of media ranges (RFC 9110 section 12.5.1) has room for what we answer.
fn accepts_json(accept: &str) -> bool {
    accept.trim().is_empty()
        || accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let refused = parts.any(|parameter| {
                parameter
                    .strip_prefix("q=")
                    .is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0))
            });
            !refused
                && matches!(
                    media_type.as_str(),
                    "*/*" | "application/*" | "application/json" | "application/problem+json"
                )
        })
}

#[cfg(test)]
mod tests {
    use super::accepts_json;

    #[test]
    fn media_ranges_with_room_for_json() {
        for yes in [
            "",
            "*/*",
            "application/json",
            "text/html, application/*;q=0.1",
            "Application/JSON; charset=utf-8",
        ] {
            assert!(accepts_json(yes), "{yes}");
        }
        for no in [
            "text/html",
            "image/*",
            "application/json;q=0",
            "application/xml, */*;q=0.0",
        ] {
            assert!(!accepts_json(no), "{no}");
        }
    }
}
