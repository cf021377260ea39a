//! What ends sessions, and what ends the tokens of sessions that go on.

use diesel::PgConnection;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{SessionRow, end_store, find, store};
use crate::{
    audit::{Action, Actor, Event},
    clients, db,
    error::ApiError,
    keys::{Plan, Purpose},
    revocation::{self, Revocation},
    roles::{self, Change, RoleContent, RoleName, RoleRow, Saving},
    scope::Authority,
    tokens::{FIRST_PARTY_CLIENT, PAGES_CLIENT},
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
    /// The person took back what the app was allowed.
    ConsentWithdrawn,
    /// The app gave its tokens back.
    TokenRevoked,
    /// The code that it began with was presented twice.
    CodeReused,
    /// The app was deleted.
    ClientDeleted,
    /// It was not refreshed in time, or reached its longest life; nothing is stored then.
    Expired,
}

impl EndReason {
    const ALL: [Self; 10] = [
        Self::SignedOut,
        Self::PasswordChanged,
        Self::UserDisabled,
        Self::RefreshTokenReused,
        Self::KeyRevoked,
        Self::ConsentWithdrawn,
        Self::TokenRevoked,
        Self::CodeReused,
        Self::ClientDeleted,
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
            Self::ConsentWithdrawn => "the session has ended: the person took back their consent",
            Self::TokenRevoked => "the session has ended: its refresh token was revoked",
            Self::CodeReused => "the session has ended: its code was presented twice",
            Self::ClientDeleted => "the session has ended: its app was deleted",
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
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::TokenRevoked => "token_revoked",
            Self::CodeReused => "code_reused",
            Self::ClientDeleted => "client_deleted",
            Self::Expired => "expired",
        }
    }
}

impl SessionRow {
    /// Whether what was decided in it stands: it lives, or was left by signing out.
    pub fn is_trusted(&self) -> bool {
        let reason = self.end_reason.as_deref();
        reason.is_none_or(|reason| reason == EndReason::SignedOut.name())
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
        let which = end_store::Which::One(id);
        let reason = EndReason::SignedOut.name();
        let ended = end_store::end(conn, session.user_id, &which, reason)?;
        record_ends(conn, session.user_id, &ended, actor)
    })
}

/// Ends every live session of `owner` but `kept`, and lets in no device that was to come.
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
        end_store::refuse_devices(conn, owner)?;
        let ended = end_store::end(conn, owner, &end_store::Which::AllBut(kept), reason.name())?;
        record_ends(conn, owner, &ended, actor)
    })
}

/// Ends one session of `owner`, if it lives.
///
/// # Errors
/// Postgres.
pub fn end_one(
    conn: &mut PgConnection,
    owner: Uuid,
    id: Uuid,
    reason: EndReason,
    actor: &Actor,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let ended = end_store::end(conn, owner, &end_store::Which::One(id), reason.name())?;
        record_ends(conn, owner, &ended, actor)
    })
}

/// Ends every live session that an app has with `owner`.
///
/// # Errors
/// Postgres.
pub fn end_of_client(
    conn: &mut PgConnection,
    owner: Uuid,
    client_id: &str,
    reason: EndReason,
    actor: &Actor,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let which = end_store::Which::OfClient(client_id.to_owned());
        let ended = end_store::end(conn, owner, &which, reason.name())?;
        record_ends(conn, owner, &ended, actor)
    })
}

/// Ends everybody's sessions of an app that is gone: the audit row of its deletion speaks for all.
///
/// # Errors
/// Postgres.
pub fn end_of_deleted_client(conn: &mut PgConnection, client_id: &str) -> Result<(), ApiError> {
    let reason = EndReason::ClientDeleted.name();
    let ended = end_store::end_of_client_any_owner(conn, client_id, reason)?;
    settle(conn, &ended)
}

/// Kills the access tokens of sessions that have ended, and of those that don't outlive them; writes down why they did.
pub(super) fn record_ends(
    conn: &mut PgConnection,
    owner: Uuid,
    ended: &[end_store::Ended],
    actor: &Actor,
) -> Result<(), ApiError> {
    let parents = ended.iter().map(|session| session.id).collect();
    let reason = EndReason::SignedOut.name();
    let opened = end_store::end(conn, owner, &end_store::Which::OpenedOutOf(parents), reason)?;
    for ended in [ended, &opened] {
        settle(conn, ended)?;
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
    }
    Ok(())
}

/// Kills what sessions that have ended gave out, and lets the apps know that want to.
fn settle(conn: &mut PgConnection, ended: &[end_store::Ended]) -> Result<(), ApiError> {
    let dead: Vec<_> = ended
        .iter()
        .map(|session| Revocation::Session(session.id))
        .collect();
    revocation::revoke(conn, &dead)?;
    let mut apps: Vec<_> = ended
        .iter()
        .map(|session| session.client_id.clone())
        .filter(|id| !matches!(id.as_str(), FIRST_PARTY_CLIENT | PAGES_CLIENT))
        .collect();
    apps.sort_unstable();
    apps.dedup();
    if apps.is_empty() {
        return Ok(());
    }
    let told = clients::find_told_of_logout(conn, &apps)?;
    let notices: Vec<_> = ended
        .iter()
        .filter(|session| told.contains(&session.client_id))
        .map(|session| (session.id, session.user_id, session.client_id.as_str()))
        .collect();
    end_store::keep_notices_any_owner(conn, &notices)?;
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
            end_exposed(conn, &end_store::Exposed::Since(key.created_at))?;
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
            end_exposed(conn, &end_store::Exposed::SignedBy(kid))?;
        }
        Ok(())
    })
}

/// Ends possibly everybody's: the audit row of the key speaks for all.
fn end_exposed(conn: &mut PgConnection, exposed: &end_store::Exposed) -> Result<(), ApiError> {
    let ended = end_store::end_exposed_any_owner(conn, exposed, EndReason::KeyRevoked.name())?;
    settle(conn, &ended)
}
