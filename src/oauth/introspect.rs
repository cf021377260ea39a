//! `/oauth/introspect` (RFC 7662, RFC 9701): what a token is worth just now, for its client and for the API that it is for.

use std::sync::Arc;

use diesel::PgConnection;
use serde::Serialize;
use serde_json::{Value, json};

use super::{OAuthError, Server, authenticate::Authenticated};
use crate::{
    error::{ApiError, Code},
    form::Parameters,
    sessions,
    tokens::{AccessClaims, RefreshClaims, Refusal, Statement, Verified},
};

/// What was presented, as far as the tokens alone tell.
#[derive(Debug)]
pub enum Presented {
    /// A good access token that concerns this client.
    Access(Arc<Verified>),
    /// A refresh token of this client; whether it is still good, its session tells.
    Refresh(RefreshClaims),
    /// Anything else.
    Nothing,
}

/// What is said about a token.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Told<'a> {
    /// A good access token: all that it says.
    Access {
        /// True.
        active: bool,
        /// `Bearer` or `DPoP`.
        token_type: &'static str,
        /// What it says.
        #[serde(flatten)]
        claims: &'a AccessClaims,
    },
    /// Anything else.
    Other(Value),
}

impl Server {
    /// Reads the token that a client asks about.
    ///
    /// # Errors
    /// `invalid_request` without a token; 503 while nobody can tell.
    pub fn presented(
        &self,
        authenticated: &Authenticated,
        parameters: &Parameters,
    ) -> Result<Presented, OAuthError> {
        let token = parameters
            .get("token")
            .ok_or_else(|| OAuthError::missing("token"))?;
        let tokens = &self.rules.tokens;
        let client = &authenticated.client;
        match tokens.verify_for_any(token, tokens.now()) {
            Ok(verified) => {
                let claims = &verified.claims;
                let concerns = claims.client_id == client.id || client.is_resource(&claims.aud);
                return Ok(if concerns {
                    Presented::Access(verified)
                } else {
                    Presented::Nothing
                });
            }
            Err(Refusal::Undecided) => {
                return Err(ApiError::from(Code::DatabaseUnavailable).into());
            }
            Err(_other) => {}
        }
        match tokens.verify_refresh(token, tokens.now()) {
            Ok(claims) if claims.client_id == client.id => Ok(Presented::Refresh(claims)),
            _ => Ok(Presented::Nothing),
        }
    }

    /// Whether a refresh token is the current one of a session that lives.
    ///
    /// # Errors
    /// Postgres.
    pub fn is_current(conn: &mut PgConnection, claims: &RefreshClaims) -> Result<bool, ApiError> {
        let session = sessions::find(conn, Some(claims.sub), claims.sid)?;
        Ok(session.is_some_and(|session| {
            session.ended_at.is_none() && session.generation == claims.generation
        }))
    }

    /// What is said about a token; nothing else of one that is not active (`OAU-19`).
    pub fn told(presented: &Presented) -> Told<'_> {
        match presented {
            Presented::Nothing => Told::Other(json!({"active": false})),
            Presented::Refresh(claims) => Told::Other(json!({
                "active": true,
                "iss": claims.iss,
                "sub": claims.sub,
                "client_id": claims.client_id,
                "exp": claims.exp,
                "iat": claims.iat,
                "sid": claims.sid,
                "token_type": "refresh_token",
            })),
            Presented::Access(verified) => Told::Access {
                active: true,
                token_type: if verified.claims.cnf.is_some() {
                    "DPoP"
                } else {
                    "Bearer"
                },
                claims: &verified.claims,
            },
        }
    }

    /// The same, signed for the client (RFC 9701 section 5).
    ///
    /// # Errors
    /// 500 without a key.
    pub fn told_signed(&self, client_id: &str, told: &Told<'_>) -> Result<String, ApiError> {
        let claims = json!({
            "iss": self.issuer(),
            "aud": client_id,
            "iat": self.rules.tokens.now().timestamp(),
            "token_introspection": told,
        });
        self.rules
            .tokens
            .sign_statement(Statement::Introspection, &claims)
    }
}
