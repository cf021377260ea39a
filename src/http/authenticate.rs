//! The authentication middleware: verifies the presented token in memory and leaves what it found on the request.

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderName},
    middleware::Next,
    web,
};

use crate::{
    app::AppState,
    db::First,
    error::ApiError,
    tokens::{Refusal, Verified},
};

/// What the request presented; only the extractors turn what is bad into an error, so a stale token locks nobody out.
#[derive(Debug)]
pub(super) enum Presented {
    /// A good token.
    Ok(Arc<Verified>),
    /// A good token that is bound to a key, with how to use its proof up.
    Bound(Arc<Verified>, First),
    /// No credentials.
    Absent,
    /// Credentials that are refused.
    Bad(Refusal),
    /// A refused token in our cookie, which the browser should forget.
    BadCookie(Refusal),
    /// Credentials that may not be the sender's own: a cookie that a stranger's page may have sent along, a token without
    /// its key.
    Foreign(ApiError),
}

const DPOP: HeaderName = HeaderName::from_static("dpop");

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
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let presented = present(&app, &request);
    if let Presented::Ok(verified) | Presented::Bound(verified, _) = &presented {
        request.extensions_mut().insert(Who(Arc::clone(verified)));
    }
    request.extensions_mut().insert(presented);
    let response = next.call(request).await?;
    if response.status().is_server_error() {
        return Ok(response.map_into_left_body());
    }
    // Where the handler made no trip to the database, its caller's proof is not used up yet.
    let succeeds = response.status().is_success();
    Ok(match app.db.make_up(succeeds).await {
        Ok(()) => response.map_into_left_body(),
        Err(error) => response.error_response(error).map_into_right_body(),
    })
}

fn present(app: &AppState, request: &ServiceRequest) -> Presented {
    let headers = request.headers();
    let mut values = headers.get_all(header::AUTHORIZATION);
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else {
        return present_cookie(app, request);
    };
    let credentials = value.to_str().ok().and_then(|text| text.split_once(' '));
    match credentials.filter(|_| second.is_none()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            match verify(app, token) {
                Presented::Ok(verified) if verified.claims.cnf.is_some() => {
                    Presented::Bad(Refusal::Bound)
                }
                other => other,
            }
        }
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("dpop") => {
            present_bound(app, request, token)
        }
        _ => Presented::Bad(Refusal::Scheme),
    }
}

/// A token that only the holder of its key may use, with the proof that this is who sends it (RFC 9449 section 7.1).
fn present_bound(app: &AppState, request: &ServiceRequest, token: &str) -> Presented {
    let verified = match verify(app, token) {
        Presented::Ok(verified) => verified,
        refused => return refused,
    };
    let Some(confirmation) = &verified.claims.cnf else {
        return Presented::Bad(Refusal::NotBound);
    };
    let proofs: Vec<_> = request
        .headers()
        .get_all(DPOP)
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    let (method, path) = (request.method().as_str(), request.path());
    match app
        .oauth
        .check_bound(&proofs, method, path, token, &confirmation.jkt)
    {
        Ok(key) => Presented::Bound(verified, First::new(move |conn| key.use_up(conn))),
        Err(error) => Presented::Foreign(error),
    }
}

/// The token that a request was authenticated by, as it came.
pub fn token_text(app: &AppState, headers: &header::HeaderMap) -> Option<String> {
    match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let (_scheme, token) = value.to_str().ok()?.split_once(' ')?;
            Some(token.to_owned())
        }
        None => app.cookies.access(headers),
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
        // A cookie comes without a proof.
        Presented::Ok(verified) if verified.claims.cnf.is_some() => {
            Presented::BadCookie(Refusal::Bound)
        }
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
