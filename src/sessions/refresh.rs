//! Refreshing: the next pair for a refresh token, without signing out who lost an answer and without hiding a thief.
//!
//! | presented generation | answer |
//! |---|---|
//! | the session's | the next one begins |
//! | one behind, within 30 s of the rotation | the same successor again: several tabs, a lost response |
//! | one behind, later, nothing of the current one used yet | the same successor again: the response was lost |
//! | one behind, later, the current one was used; or two and more behind | theft: the session ends |
//! | ahead, or of another client | refused and written down |
//!
//! "Used" is what `tokens::Uses` saw. For a token that another API verifies we see no use: there the third row ends after
//! 10 minutes. Successors are the same byte for byte, since all that they are made of stands in the session.

use diesel::PgConnection;
use serde_json::json;

use super::{EndReason, Pair, Rules, Wish, ends::record_ends, store};
use crate::{
    audit::{Action, Actor, Event},
    db,
    error::{ApiError, Code},
    tokens::{RefreshClaims, Refusal},
    users,
};

/// Answers the pair of the generation after the presented one.
///
/// The access token may do what the session may, what the user's roles still allow and, if less is wished for, that.
///
/// # Errors
/// 401 as the table says, or when the session has ended or the account is disabled; 422 for a wish that can't be granted,
/// after which the presented token is as good as before.
pub fn refresh(
    conn: &mut PgConnection,
    presented: &RefreshClaims,
    wish: &Wish,
    rules: &Rules,
    actor: &Actor,
) -> Result<Pair, ApiError> {
    let kid = rules.tokens.refresh_kid();
    let external = wish.is_external(&rules.tokens);
    let Some(session) = store::refresh(conn, presented, rules.lifetimes, kid.as_deref(), external)?
    else {
        return Err(refuse(conn, presented, actor)?);
    };
    let account = users::find(conn, session.user_id)?.ok_or_else(ended)?;
    super::pair(&rules.tokens, &account, &session, wish)
}

/// Finds out why nothing matched, and ends a session whose token was stolen.
fn refuse(
    conn: &mut PgConnection,
    presented: &RefreshClaims,
    actor: &Actor,
) -> Result<ApiError, ApiError> {
    let owner = presented.sub;
    db::tx(conn, |conn| {
        let current = store::live_generation(conn, owner, presented.sid, &presented.client_id)?;
        match current {
            Some(current) if presented.generation < current => {
                let reason = EndReason::RefreshTokenReused;
                let which = store::Which::One(presented.sid);
                let dead = store::end(conn, owner, &which, reason.name())?;
                record_ends(conn, owner, &dead, reason, actor)?;
                Ok(refused(
                    "the refresh token was used before; the session has ended",
                ))
            }
            Some(current) if presented.generation > current => {
                let details =
                    json!({"session_id": presented.sid, "generation": presented.generation});
                let (action, subject_id) = (Action::RefreshRefused, Some(owner));
                Event {
                    actor,
                    action,
                    subject_id,
                    details,
                }
                .record(conn)?;
                Ok(ended())
            }
            _ => Ok(ended()),
        }
    })
}

fn ended() -> ApiError {
    refused("the session has ended")
}

/// The error for a refresh token that fails a check.
pub fn refusal(refusal: Refusal) -> ApiError {
    refused(match refusal {
        Refusal::Undecided => return Code::DatabaseUnavailable.into(),
        Refusal::Expired => "the refresh token is expired",
        _ => "the refresh token is not one of ours",
    })
}

fn refused(reason: &'static str) -> ApiError {
    ApiError::new(Code::InvalidGrant, reason).challenge(&format!(
        ", error=\"invalid_token\", error_description=\"{reason}\""
    ))
}
