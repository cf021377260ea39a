//! Sessions: signed-in devices, from signing in over refreshing to signing out.

pub mod account;
pub mod device_routes;
mod ends;
pub mod key_routes;
pub mod refresh;
pub mod role_routes;
pub mod routes;
pub mod sign_in;
mod store;
pub mod throttle;

use std::collections::HashMap;

use diesel::{PgConnection, QueryResult};
use uuid::Uuid;

pub use ends::{EndReason, end, end_others, end_signed_by_revoked_keys, redefine_role, revoke_key};
pub use refresh::Desk;
pub use store::{Generation, SessionRow};

use crate::{
    config::SessionsConfig,
    db::Window,
    error::{ApiError, FieldError},
    scope::Scopes,
    tokens::{Grant, RefreshGrant, Tokens},
    users::Holder,
};

/// How long sessions live, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Without a refresh.
    pub idle: i64,
    /// In any case.
    pub absolute: i64,
}

/// What opening and refreshing sessions goes by.
#[derive(Clone)]
pub struct Rules {
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// Makes the tokens.
    pub tokens: Tokens,
}

impl From<&SessionsConfig> for Lifetimes {
    fn from(config: &SessionsConfig) -> Self {
        Self {
            idle: config.idle_lifetime.seconds(),
            absolute: config.absolute_lifetime.seconds(),
        }
    }
}

/// An access token and the refresh token that brings the next one; deliberately not to be printed.
pub struct Pair {
    /// The session.
    pub session_id: Uuid,
    /// The access token.
    pub access_token: String,
    /// Seconds until it expires.
    pub expires_in: i64,
    /// The refresh token.
    pub refresh_token: String,
    /// Seconds until it expires.
    pub refresh_expires_in: i64,
    /// What the access token may do.
    pub scopes: Scopes,
}

/// What the caller wants of a pair of tokens.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Less than everything that is allowed.
    pub scopes: Option<Scopes>,
    /// Another API than this one.
    pub audience: Option<String>,
}

impl Wish {
    /// Reads `scope` (RFC 6749 section 3.3) and `resource` (RFC 8707) of a body.
    ///
    /// # Errors
    /// 422 for what is no scope, or an API that no tokens are made for.
    pub fn parse(
        scope: Option<&str>,
        resource: Option<String>,
        tokens: &Tokens,
    ) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let scopes = scope.map(str::parse).transpose().unwrap_or_else(|error| {
            errors.push(FieldError::new("/scope", "scope", format!("{error}")));
            None
        });
        if resource
            .as_ref()
            .is_some_and(|audience| !tokens.knows_audience(audience))
        {
            errors.push(FieldError::new(
                "/resource",
                "resource",
                "no tokens are made for this API",
            ));
        }
        if errors.is_empty() {
            Ok(Self {
                scopes,
                audience: resource,
            })
        } else {
            Err(ApiError::invalid(errors))
        }
    }

    /// Whether the access token is for an API whose uses of it we don't see.
    pub fn is_external(&self, tokens: &Tokens) -> bool {
        let audience = self.audience.as_deref();
        audience.is_some_and(|audience| !tokens.is_own_audience(audience))
    }

    /// What of `allowed` is wished for.
    ///
    /// # Errors
    /// 422 when more is wished for than allowed.
    pub fn within(&self, allowed: &Scopes) -> Result<Scopes, ApiError> {
        match &self.scopes {
            None => Ok(allowed.clone()),
            Some(wished) if wished.is_within(allowed) => Ok(wished.clone()),
            Some(_) => {
                let detail = format!("more than is allowed here, which is: {allowed}");
                Err(ApiError::invalid(vec![FieldError::new(
                    "/scope", "scope", detail,
                )]))
            }
        }
    }
}

/// Makes the tokens of the session's current generation; inside the transaction, so that a token that can't be made
/// leaves everything as it was.
///
/// # Errors
/// 422 when more is wished for than allowed, or the access token would be too large.
fn pair(
    tokens: &Tokens,
    holder: &Holder,
    session: &Generation,
    wish: &Wish,
) -> Result<Pair, ApiError> {
    let now = tokens.now();
    let allowed = Scopes::from_stored(&session.scopes).common(&holder.scopes);
    let scopes = wish.within(&allowed)?;
    let issued = tokens.issue_access(
        Grant {
            user_id: holder.id,
            user_epoch: holder.epoch,
            roles: holder.roles.clone(),
            session_id: session.session_id,
            generation: session.generation,
            scopes: scopes.clone(),
            auth_time: session.auth_time,
            acr: session.acr.clone(),
            amr: session.amr.clone(),
            audience: wish.audience.clone(),
            private: tokens.private_claims(&holder.mappable),
        },
        now,
    )?;
    let refresh_token = tokens.issue_refresh(&RefreshGrant {
        user_id: holder.id,
        session_id: session.session_id,
        generation: session.generation,
        issued_at: session.rotated_at,
        expires_at: session.refresh_exp,
        kid: session.refresh_kid.clone(),
    })?;
    Ok(Pair {
        session_id: session.session_id,
        access_token: issued.token,
        expires_in: issued.expires_in,
        refresh_token,
        refresh_expires_in: (session.refresh_exp - now).num_seconds().max(0),
        scopes,
    })
}

/// Lists the user's sessions that are alive, or those that are not, newest first.
///
/// # Errors
/// Postgres.
pub fn list(
    conn: &mut PgConnection,
    owner: Uuid,
    alive: bool,
    window: Window,
) -> QueryResult<Vec<SessionRow>> {
    store::list(conn, owner, alive, window)
}

/// Finds a session, also one that has ended; `owner` is `None` for holders of `sessions:write`, who see everyone's.
///
/// # Errors
/// Postgres.
pub fn find(
    conn: &mut PgConnection,
    owner: Option<Uuid>,
    id: Uuid,
) -> QueryResult<Option<SessionRow>> {
    match owner {
        Some(owner) => store::find(conn, owner, id),
        None => store::find_any_owner(conn, id),
    }
}

/// Writes down which generations were seen in use, in one statement.
///
/// # Errors
/// Postgres.
pub fn acknowledge(conn: &mut PgConnection, uses: &HashMap<Uuid, i64>) -> QueryResult<usize> {
    store::acknowledge_any_owner(conn, uses)
}

/// Forgets what nobody needs any more: old counters of failures, old addresses, sessions long ended.
///
/// # Errors
/// Postgres.
pub fn purge(conn: &mut PgConnection) -> Result<(), ApiError> {
    throttle::purge(conn)?;
    store::forget_addresses_any_owner(conn)?;
    store::forget_ended_any_owner(conn)?;
    Ok(())
}
