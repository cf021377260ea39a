//! The authentication middleware: verifies the presented token in memory and leaves what it found on the request.

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};

use crate::{
    app::AppState,
    error::ApiError,
    tokens::{Refusal, Verified},
};

/// What the request presented; only the extractors turn what is bad into an error, so a stale token locks nobody out.
#[derive(Debug)]
pub(super) enum Presented {
    /// A good token.
    Ok(Arc<Verified>),
    /// No credentials.
    Absent,
    /// Credentials that are refused.
    Bad(Refusal),
    /// A refused token in our cookie, which the browser should forget.
    BadCookie(Refusal),
    /// A cookie that a stranger's page may have sent along.
    Foreign(ApiError),
}

/// Whose good token the request carries, for the log and for rates.
pub(super) struct Who(pub Arc<Verified>);

/// Verifies the Bearer token (RFC 6750 section 2.1), or else the one in our cookie; one anywhere else is not looked at.
///
/// # Errors
/// None of its own.
pub async fn authenticate<B: MessageBody + 'static>(
    app: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let presented = present(&app, &request);
    if let Presented::Ok(verified) = &presented {
        request.extensions_mut().insert(Who(Arc::clone(verified)));
    }
    request.extensions_mut().insert(presented);
    next.call(request).await
}

fn present(app: &AppState, request: &ServiceRequest) -> Presented {
    let headers = request.headers();
    let mut values = headers.get_all(header::AUTHORIZATION);
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else {
        return present_cookie(app, request);
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer") && second.is_none())
        .map(|(_, token)| token);
    match token {
        Some(token) => verify(app, token),
        None => Presented::Bad(Refusal::Scheme),
    }
}

fn present_cookie(app: &AppState, request: &ServiceRequest) -> Presented {
    let headers = request.headers();
    if !headers.contains_key(header::COOKIE) {
        return Presented::Absent;
    }
    let Some(token) = app.cookies.access(headers) else {
        return Presented::Absent;
    };
    if !request.method().is_safe()
        && let Err(error) = app.cors.check_cookie_request(headers)
    {
        return Presented::Foreign(error);
    }
    match verify(app, &token) {
        Presented::Bad(refusal) => Presented::BadCookie(refusal),
        other => other,
    }
}

fn verify(app: &AppState, token: &str) -> Presented {
    match app.tokens.verify_access(token, app.tokens.now()) {
        Ok(verified) => Presented::Ok(verified),
        Err(refusal) => Presented::Bad(refusal),
    }
}
