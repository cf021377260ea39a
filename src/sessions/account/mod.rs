//! Changes of an account that end its sessions: another password, being disabled.

pub mod routes;

use diesel::PgConnection;
use serde_json::json;
use uuid::Uuid;

use super::{
    EndReason, end_others,
    throttle::{self, Counters},
};
use crate::{
    audit::{Action, Actor, Event},
    config::LimitsConfig,
    db,
    error::ApiError,
    users::{self, Account, Change, Reach},
};

/// Changes a profile; disabling the account ends its sessions in the same transaction.
///
/// # Errors
/// Those of `users::patch`.
pub fn patch(
    conn: &mut PgConnection,
    owner: Uuid,
    change: &Change,
    actor: &Actor,
) -> Result<Account, ApiError> {
    db::tx(conn, |conn| {
        let account = users::patch(conn, owner, change, actor)?;
        if account.user.disabled {
            end_others(conn, owner, None, EndReason::UserDisabled, actor)?;
        }
        Ok(account)
    })
}

/// Finds the account whose password is to be changed; guesses of the current one are counted like sign-ins.
///
/// # Errors
/// 404, 403 above the caller, 429.
pub fn begin_password_change(
    conn: &mut PgConnection,
    owner: Uuid,
    reach: &Reach,
    limits: &LimitsConfig,
) -> Result<Account, ApiError> {
    let account = users::find(conn, owner)?.ok_or_else(ApiError::not_found)?;
    reach.check(&account)?;
    if matches!(reach, Reach::Own) {
        throttle::take(conn, &counters(owner), limits)?;
    }
    Ok(account)
}

/// Replaces the password hash `old` and ends every session, but the one in which the owner does it.
///
/// # Errors
/// 403 above the caller, 401 when the password was changed meanwhile.
pub fn finish_password_change(
    conn: &mut PgConnection,
    owner: Uuid,
    reach: &Reach,
    old: &str,
    new: &str,
    actor: &Actor,
    limits: &LimitsConfig,
) -> Result<(), ApiError> {
    let kept = actor.session_id.filter(|_| actor.user_id == Some(owner));
    db::tx(conn, |conn| {
        // Again, and held: a role may have been given while the hash was computed.
        let account = users::lock(conn, owner)?.ok_or_else(ApiError::not_found)?;
        reach.check(&account)?;
        users::replace_password(conn, owner, old, new)?;
        throttle::forgive(conn, &counters(owner), limits)?;
        let action = Action::PasswordChanged;
        let subject_id = Some(owner);
        Event {
            actor,
            action,
            subject_id,
            details: json!({}),
        }
        .record(conn)?;
        end_others(conn, owner, kept, EndReason::PasswordChanged, actor)
    })
}

fn counters(owner: Uuid) -> Counters {
    Counters::new(&format!("password of {owner}"), None, false)
}
