//! The authentication middleware: verifies the presented token in memory and leaves what it found on the request.

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap},
    middleware::Next,
    web,
};

use crate::{
    app::AppState,
    tokens::{Refusal, Verified},
};

/// What the request presented; only the extractors turn `Bad` into a 401, so a stale token locks nobody out.
#[derive(Debug)]
pub(super) enum Presented {
    /// A good token.
    Ok(Arc<Verified>),
    /// No credentials.
    Absent,
    /// Credentials that are refused.
    Bad(Refusal),
}

/// Whose good token the request carries, for the log.
pub(super) struct Who(pub Arc<Verified>);

/// Verifies the Bearer token (RFC 6750 section 2.1); a token anywhere else is not looked at.
///
/// # Errors
/// None of its own.
pub async fn authenticate<B: MessageBody + 'static>(
    app: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let presented = present(&app, request.headers());
    if let Presented::Ok(verified) = &presented {
        request.extensions_mut().insert(Who(Arc::clone(verified)));
    }
    request.extensions_mut().insert(presented);
    next.call(request).await
}

fn present(app: &AppState, headers: &HeaderMap) -> Presented {
    let mut values = headers.get_all(header::AUTHORIZATION);
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else {
        return Presented::Absent;
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer") && second.is_none())
        .map(|(_, token)| token);
    match token.map(|token| app.tokens.verify_access(token, app.tokens.now())) {
        Some(Ok(verified)) => Presented::Ok(verified),
        Some(Err(refusal)) => Presented::Bad(refusal),
        None => Presented::Bad(Refusal::Scheme),
    }
}
