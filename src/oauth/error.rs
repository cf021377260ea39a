//! What OAuth endpoints answer when they refuse: the bodies of RFC 6749 section 5.2 and their statuses.

use std::borrow::Cow;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde_json::json;

use super::Failing;
use crate::{
    error::{ApiError, Code},
    form::Unreadable,
    http::Rendered,
};

/// What went wrong, by its name on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something is missing, twice there or malformed.
    InvalidRequest,
    /// The client did not prove who it is.
    InvalidClient,
    /// The code or token is not good, or not this client's.
    InvalidGrant,
    /// The client may not use this grant.
    UnauthorizedClient,
    /// Nobody may use this grant here.
    UnsupportedGrantType,
    /// Only `code` is answered.
    UnsupportedResponseType,
    /// The client may not ask for this, or nothing would be left.
    InvalidScope,
    /// No tokens are made for this API (RFC 8707 section 2).
    InvalidTarget,
    /// The person said no.
    AccessDenied,
    /// Nobody is signed in, and nobody may be asked (OpenID Connect Core section 3.1.2.6).
    LoginRequired,
    /// Consent is missing, and nobody may be asked.
    ConsentRequired,
    /// It is not clear who is meant, and nobody may be asked.
    AccountSelectionRequired,
    /// Request objects are not taken.
    RequestNotSupported,
    /// Only references of ours are taken.
    InvalidRequestUri,
    /// Nobody has decided yet (RFC 8628 section 3.5).
    AuthorizationPending,
    /// The device asks too often.
    SlowDown,
    /// The device code is too old.
    ExpiredToken,
    /// The proof of a key is not good (RFC 9449 section 5).
    InvalidDpopProof,
    /// The proof has to hold a nonce of ours (RFC 9449 section 8).
    UseDpopNonce,
    /// The access token is refused (RFC 6750 section 3.1).
    InvalidToken,
    /// The access token lacks a scope.
    InsufficientScope,
    /// The kind of token is not taken (RFC 7009 section 2.2.1).
    UnsupportedTokenType,
    /// An address to send people back to can't be registered (RFC 7591 section 3.2.2).
    InvalidRedirectUri,
    /// Something else can't be registered.
    InvalidClientMetadata,
    /// Something went wrong on our side.
    ServerError,
    /// There is too much to do, or the database does not answer.
    TemporarilyUnavailable,
}

impl Fault {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::AccountSelectionRequired => "account_selection_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::InvalidClient | Self::InvalidToken => 401,
            Self::InsufficientScope => 403,
            Self::ServerError => 500,
            Self::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }
}

/// A refusal on its way to the client.
#[derive(Debug, thiserror::Error)]
#[error("{}: {description}", fault.name())]
pub struct OAuthError {
    /// What went wrong.
    pub fault: Fault,
    /// The same in words.
    pub description: Cow<'static, str>,
    /// Headers that it asks for, as `www-authenticate`.
    pub headers: Vec<(&'static str, String)>,
    /// The cause, for the log only.
    pub cause: Option<String>,
}

impl OAuthError {
    /// Makes a refusal.
    pub fn new(fault: Fault, description: impl Into<Cow<'static, str>>) -> Self {
        Self {
            fault,
            description: description.into(),
            headers: Vec::new(),
            cause: None,
        }
    }

    /// Something is missing, twice there or malformed.
    pub fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Fault::InvalidRequest, description)
    }

    /// The code or token is not good, or not this client's.
    pub fn invalid_grant(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Fault::InvalidGrant, description)
    }

    /// Whether it is our side that failed.
    pub(super) const fn is_ours(&self) -> bool {
        matches!(
            self.fault,
            Fault::ServerError | Fault::TemporarilyUnavailable
        )
    }

    /// A parameter that must be there.
    pub fn missing(name: &str) -> Self {
        Self::invalid_request(format!("the parameter {name} is missing"))
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<Unreadable> for OAuthError {
    fn from(unreadable: Unreadable) -> Self {
        Self::invalid_request(unreadable.to_string())
    }
}

impl From<diesel::result::Error> for OAuthError {
    fn from(error: diesel::result::Error) -> Self {
        ApiError::from(error).into()
    }
}

impl From<ApiError> for OAuthError {
    /// What the rooms below say, in OAuth's words.
    fn from(error: ApiError) -> Self {
        let is_at = |pointer| error.errors.iter().any(|fault| fault.pointer == pointer);
        let fault = match (error.code, error.code.entry().status) {
            (Code::InvalidGrant, _) => Fault::InvalidGrant,
            (Code::ValidationFailed, _) if is_at("/scope") => Fault::InvalidScope,
            (Code::ValidationFailed, _) if is_at("/resource") => Fault::InvalidTarget,
            (_, 503) => Fault::TemporarilyUnavailable,
            (_, 500..) => Fault::ServerError,
            (Code::AboveOwnScopes, _) => Fault::UnauthorizedClient,
            _ => Fault::InvalidRequest,
        };
        let mut headers = error.headers;
        // A challenge of the API is none of the token endpoint.
        headers.retain(|(name, _)| *name != "www-authenticate");
        Self {
            fault,
            description: error.detail,
            headers,
            cause: error.cause.map(|cause| format!("{cause:?}")),
        }
    }
}

impl Failing for OAuthError {
    fn into_ours(self) -> Result<ApiError, Self> {
        let code = match self.fault {
            Fault::TemporarilyUnavailable => Code::DatabaseUnavailable,
            Fault::ServerError => Code::Internal,
            _ => return Err(self),
        };
        let mut ours = ApiError::new(code, self.description);
        ours.cause = self.cause.map(Into::into);
        Ok(ours)
    }
}

impl ResponseError for OAuthError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::PRAGMA, "no-cache"));
        for (name, value) in &self.headers {
            response.insert_header((*name, value.as_str()));
        }
        let mut response = response.json(json!({
            "error": self.fault.name(),
            "error_description": described(&self.description),
        }));
        let cause = self.cause.clone();
        response.extensions_mut().insert(Rendered { cause });
        response
    }
}

/// The characters that RFC 6749 section 5.2 allows in a description.
pub fn described(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '"' | '\\' => '\'',
            ' '..='~' => character,
            _ => '?',
        })
        .collect()
}
