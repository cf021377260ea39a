//! Who is calling, as handlers see it: the demanded scope is part of the type, so none can be forgotten.

use std::{
    future::{Ready, ready},
    marker::PhantomData,
    sync::Arc,
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, web};
use serde_json::Value;
use uuid::Uuid;

use super::{authenticate::Presented, origin};
use crate::{
    app::AppState,
    audit::Actor,
    db,
    error::{ApiError, Code},
    scope::{Authority, Demand},
    tokens::{AccessClaims, Refusal, Verified},
};

/// Whoever holds a good token with one of the scopes that `S` demands; else 401 or 403.
pub struct Caller<S> {
    /// Who acts, for the audit log.
    pub actor: Actor,
    verified: Arc<Verified>,
    demand: PhantomData<S>,
}

impl<S> Caller<S> {
    /// The user's id; of a client that acts for itself an id that no user has.
    pub fn user_id(&self) -> Uuid {
        self.verified.claims.sub.id()
    }

    /// The session's id; of a client that acts for itself one that no session has.
    pub fn session_id(&self) -> Uuid {
        self.verified.claims.sid.unwrap_or_default()
    }

    /// The claims of the token.
    pub fn claims(&self) -> &AccessClaims {
        &self.verified.claims
    }

    /// The same as JSON.
    pub fn told(&self) -> Arc<Value> {
        self.verified.told()
    }

    /// The token, verified.
    pub fn verified(&self) -> Arc<Verified> {
        Arc::clone(&self.verified)
    }

    /// How far the caller reaches.
    pub fn authority(&self) -> &Authority {
        &self.verified.authority
    }
}

/// Like `Caller`, but without any token the rules of the place decide; a bad token is still refused.
pub struct Visitor<S>(Option<Caller<S>>, Actor);

impl<S> Visitor<S> {
    /// Whether a token was presented.
    pub fn is_caller(&self) -> bool {
        self.0.is_some()
    }

    /// The caller, when a token was presented.
    pub fn caller(&self) -> Option<&Caller<S>> {
        self.0.as_ref()
    }

    /// Who acts, for the audit log.
    pub fn actor(&self) -> &Actor {
        self.0.as_ref().map_or(&self.1, |caller| &caller.actor)
    }
}

impl<S: Demand> FromRequest for Caller<S> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(demand(request).and_then(|caller| caller.ok_or_else(unauthenticated)))
    }
}

impl<S: Demand> FromRequest for Visitor<S> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(demand(request).map(|caller| Self(caller, origin::actor(request))))
    }
}

/// Turns what was presented into a caller, into nobody, or into the error that RFC 6750 section 3.1 names.
fn demand<S: Demand>(request: &HttpRequest) -> Result<Option<Caller<S>>, ApiError> {
    let presented = request.extensions_mut().remove::<Presented>();
    let (verified, proof) = match presented.unwrap_or(Presented::Absent) {
        Presented::Absent => return Ok(None),
        Presented::Foreign(error) => return Err(error),
        Presented::Bad(refusal) => return Err(refused(&refusal)),
        Presented::BadCookie(refusal) => return Err(forget_cookie(request, refused(&refusal))),
        Presented::Ok(verified) => (verified, None),
        Presented::Bound(verified, proof) => (verified, Some(proof)),
    };
    let (claims, authority) = (&verified.claims, &verified.authority);
    if !S::NAMES.is_empty() && !S::NAMES.iter().any(|name| authority.may(name)) {
        let names = S::NAMES.join(" ");
        return Err(ApiError::new(
            Code::InsufficientScope,
            format!("The token lacks the scope {}", S::NAMES.join(" or ")),
        )
        .challenge(&format!(
            ", error=\"insufficient_scope\", scope=\"{names}\""
        )));
    }
    if let Some(proof) = proof {
        // Every replica asks the database, which the handler visits anyway.
        db::begin_with(proof)?;
    }
    let actor = Actor {
        user_id: claims.sub.user(),
        session_id: claims.sid,
        client_id: Some(claims.client_id.clone()),
        ..origin::actor(request)
    };
    Ok(Some(Caller {
        actor,
        verified,
        demand: PhantomData,
    }))
}

fn refused(refusal: &Refusal) -> ApiError {
    if matches!(refusal, Refusal::Undecided) {
        return Code::DatabaseUnavailable.into();
    }
    ApiError::new(Code::InvalidToken, refusal.to_string()).challenge(&format!(
        ", error=\"invalid_token\", error_description=\"{refusal}\""
    ))
}

/// Takes a bad access cookie back; the one that refreshes may be as good as ever.
fn forget_cookie(request: &HttpRequest, error: ApiError) -> ApiError {
    match request.app_data::<web::Data<AppState>>() {
        Some(app) if error.code == Code::InvalidToken => {
            error.header("set-cookie", app.cookies.no_access())
        }
        _ => error,
    }
}

/// No credentials came: the challenge has no error attribute (RFC 6750 section 3.1).
fn unauthenticated() -> ApiError {
    ApiError::from(Code::AuthenticationRequired).challenge("")
}
