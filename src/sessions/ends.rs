//! What ends sessions, and what ends the tokens of sessions that go on.

use diesel::PgConnection;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{find, store};
use crate::{
    audit::{Action, Actor, Event},
    db,
    error::ApiError,
    keys::{Plan, Purpose},
    revocation::{self, Revocation},
    roles::{self, Change, RoleContent, RoleName, RoleRow, Saving},
    scope::Authority,
    users,
};

/// Why a session ended; the name is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its user signed out, or was signed out.
    SignedOut,
    /// The password was changed.
    PasswordChanged,
    /// The account was disabled.
    UserDisabled,
    /// A refresh token was used that somebody else had used before.
    RefreshTokenReused,
    /// The key of its refresh token was retired at once.
    KeyRevoked,
    /// It was not refreshed in time, or reached its longest life; nothing is stored then.
    Expired,
}

impl EndReason {
    const ALL: [Self; 6] = [
        Self::SignedOut,
        Self::PasswordChanged,
        Self::UserDisabled,
        Self::RefreshTokenReused,
        Self::KeyRevoked,
        Self::Expired,
    ];

    /// The reason that is stored under a name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The same for people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::SignedOut => "the session has ended: it was signed out",
            Self::PasswordChanged => "the session has ended: the password was changed",
            Self::UserDisabled => "the session has ended: the account was disabled",
            Self::RefreshTokenReused => {
                "the session has ended: one of its refresh tokens was used by two"
            }
            Self::KeyRevoked => "the session has ended: the key of its refresh token was retired",
            Self::Expired => "the session has ended: it was not refreshed in time, or is too old",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::PasswordChanged => "password_changed",
            Self::UserDisabled => "user_disabled",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::KeyRevoked => "key_revoked",
            Self::Expired => "expired",
        }
    }
}

/// Ends one session: its tokens are dead; ending it again changes nothing.
///
/// # Errors
/// 404 when there is none, 403 when its owner is above the caller.
pub fn end(
    conn: &mut PgConnection,
    owner: Option<Uuid>,
    id: Uuid,
    authority: &Authority,
    actor: &Actor,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let session = find(conn, owner, id)?.ok_or_else(ApiError::not_found)?;
        if actor.user_id != Some(session.user_id) {
            let account = users::find(conn, session.user_id)?.ok_or_else(ApiError::not_found)?;
            account.check_within(authority)?;
        }
        let which = store::Which::One(id);
        let reason = EndReason::SignedOut.name();
        let ended = store::end(conn, session.user_id, &which, reason)?;
        record_ends(conn, session.user_id, &ended, actor)
    })
}

/// Ends every live session of `owner` but `kept`.
///
/// # Errors
/// Postgres.
pub fn end_others(
    conn: &mut PgConnection,
    owner: Uuid,
    kept: Option<Uuid>,
    reason: EndReason,
    actor: &Actor,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let ended = store::end(conn, owner, &store::Which::AllBut(kept), reason.name())?;
        record_ends(conn, owner, &ended, actor)
    })
}

/// Kills the access tokens of sessions that have ended, and writes down why they did.
pub(super) fn record_ends(
    conn: &mut PgConnection,
    owner: Uuid,
    ended: &[store::Ended],
    actor: &Actor,
) -> Result<(), ApiError> {
    revoke_tokens(conn, ended)?;
    for session in ended {
        let details = json!({"session_id": session.id, "reason": session.reason});
        Event {
            actor,
            action: Action::SessionEnded,
            subject_id: Some(owner),
            details,
        }
        .record(conn)?;
    }
    Ok(())
}

fn revoke_tokens(conn: &mut PgConnection, ended: &[store::Ended]) -> Result<(), ApiError> {
    let dead: Vec<_> = ended
        .iter()
        .map(|session| Revocation::Session(session.id))
        .collect();
    revocation::revoke(conn, &dead)?;
    Ok(())
}

/// Saves a role; where it allows something else than before, the access tokens of those who have it die.
///
/// # Errors
/// Those of `roles::save`.
pub fn redefine_role(
    conn: &mut PgConnection,
    authority: &Authority,
    actor: &Actor,
    name: &RoleName,
    content: &RoleContent,
    saving: &Saving,
) -> Result<(RoleRow, Change), ApiError> {
    db::tx(conn, |conn| {
        // Whoever signs in or refreshes just now has read the old definition: they finish first, and are seen.
        store::await_running_any_owner(conn)?;
        let saved = roles::save(conn, authority, actor, name, content, saving)?;
        if saved.1 == Change::Redefined {
            revocation::revoke_holders(conn, name.as_ref())?;
        }
        Ok(saved)
    })
}

/// Retires a key at once. Where it signs refresh tokens, every session ends that was refreshed since the key was made:
/// whoever has the key could have refreshed it, also into a generation that another key signs.
///
/// # Errors
/// 404 for no such key.
pub fn revoke_key(
    conn: &mut PgConnection,
    plan: &Plan,
    kid: &str,
    actor: &Actor,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let key = plan.revoke(conn, kid, actor)?;
        if key.slot()?.purpose == Purpose::Refresh {
            store::await_running_any_owner(conn)?;
            end_exposed(conn, &store::Exposed::Since(key.created_at))?;
        }
        Ok(())
    })
}

/// Ends the sessions whose refresh token a key signed that was retired at once, as a replica may have let it before it
/// heard.
///
/// # Errors
/// Postgres.
pub fn end_signed_by_revoked_keys(conn: &mut PgConnection) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        for kid in revocation::dead_keys(conn)? {
            end_exposed(conn, &store::Exposed::SignedBy(kid))?;
        }
        Ok(())
    })
}

/// Ends possibly everybody's: the audit row of the key speaks for all.
fn end_exposed(conn: &mut PgConnection, exposed: &store::Exposed) -> Result<(), ApiError> {
    let ended = store::end_exposed_any_owner(conn, exposed, EndReason::KeyRevoked.name())?;
    revoke_tokens(conn, &ended)
}
