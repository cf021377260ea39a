//! Refreshing: the next pair for the current generation's refresh token.

use diesel::PgConnection;

use super::{Lifetimes, SessionRow, Wish, store};
use crate::{
    error::{ApiError, Code},
    scope::Scopes,
    tokens::{RefreshClaims, Refusal},
    users::{self, Account},
};

/// Begins the next generation of the session that a verified refresh token names.
///
/// The new access token may do what the session may, what the user's roles still allow and, if less is wished for, that.
///
/// # Errors
/// 401 when the session has ended, the token was used before, or the account is disabled or gone.
pub fn rotate(
    conn: &mut PgConnection,
    presented: &RefreshClaims,
    wish: &Wish,
    lifetimes: Lifetimes,
) -> Result<(Account, SessionRow, Scopes), ApiError> {
    let used = || refused("the refresh token was used before, or its session has ended");
    let session = store::rotate(conn, presented, lifetimes)?.ok_or_else(used)?;
    let account = users::find(conn, session.user_id)?.ok_or_else(used)?;
    let allowed = Scopes::from_stored(&session.scopes).common(&account.scopes);
    let scopes = wish.within(&allowed)?;
    Ok((account, session, scopes))
}

/// The error for a refresh token that fails a check.
pub fn refusal(refusal: Refusal) -> ApiError {
    refused(match refusal {
        Refusal::Expired => "the refresh token is expired",
        _ => "the refresh token is not one of ours",
    })
}

fn refused(reason: &'static str) -> ApiError {
    ApiError::new(Code::InvalidGrant, reason).challenge(&format!(
        ", error=\"invalid_token\", error_description=\"{reason}\""
    ))
}
