//! `/oauth/revoke` (RFC 7009): a client gives back what it has, and what it began with it.

use std::sync::Arc;

use diesel::PgConnection;
use serde_json::json;

use super::{OAuthError, Server, authenticate::Authenticated, once};
use crate::{
    audit::{Action, Actor, Event},
    db,
    form::Parameters,
    revocation::{self, Revocation},
    sessions::{self, EndReason},
    tokens::{RefreshClaims, Verified},
};

/// A token that is really this client's.
#[derive(Debug)]
pub enum Given {
    /// An access token.
    Access(Arc<Verified>),
    /// A refresh token: its session ends.
    Refresh(RefreshClaims),
}

impl Server {
    /// Finds out what a client gives back; `None` for what is unknown, dead already, or somebody else's.
    ///
    /// # Errors
    /// `invalid_request` without a token; 503 while nobody can tell.
    pub fn given_back(
        &self,
        authenticated: &Authenticated,
        parameters: &Parameters,
    ) -> Result<Option<Given>, OAuthError> {
        let token = parameters
            .get("token")
            .ok_or_else(|| OAuthError::missing("token"))?;
        let tokens = &self.rules.tokens;
        let own = &authenticated.client.id;
        if let Ok(claims) = tokens.verify_refresh(token, tokens.now()) {
            return Ok((claims.client_id == *own).then_some(Given::Refresh(claims)));
        }
        match tokens.verify_for_any(token, tokens.now()) {
            Ok(verified) => {
                let is_own = verified.claims.client_id == *own;
                Ok(is_own.then_some(Given::Access(verified)))
            }
            Err(crate::tokens::Refusal::Undecided) => {
                Err(crate::error::ApiError::from(crate::error::Code::DatabaseUnavailable).into())
            }
            Err(_dead) => Ok(None),
        }
    }

    /// Ends what was given back.
    ///
    /// # Errors
    /// Postgres: then nothing was revoked (`OAU-18`).
    pub fn revoke(
        &self,
        conn: &mut PgConnection,
        authenticated: &Authenticated,
        given: Option<&Given>,
        actor: &Actor,
    ) -> Result<(), OAuthError> {
        db::tx(conn, |conn| {
            let assertion = authenticated.assertion.as_slice();
            once::take_all(conn, assertion)?;
            match given {
                None => {}
                Some(Given::Refresh(claims)) => {
                    let reason = EndReason::TokenRevoked;
                    sessions::end_one(conn, claims.sub, claims.sid, reason, actor)?;
                }
                Some(Given::Access(verified)) => {
                    let claims = &verified.claims;
                    revocation::revoke(conn, &[Revocation::Token(claims.jti)])?;
                    let details = json!({"jti": claims.jti, "client_id": claims.client_id});
                    Event {
                        actor,
                        action: Action::TokenRevoked,
                        subject_id: claims.sub.user(),
                        details,
                    }
                    .record(conn)?;
                }
            }
            Ok(())
        })
    }
}
