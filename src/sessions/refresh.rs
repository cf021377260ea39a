//! Refreshing: the next pair for the current generation's refresh token.

use diesel::PgConnection;

use super::{Pair, Rules, Wish, store};
use crate::{
    db,
    error::{ApiError, Code},
    tokens::{RefreshClaims, Refusal},
    users,
};

/// Begins the next generation of the session that a verified refresh token names, and makes its tokens.
///
/// The new access token may do what the session may, what the user's roles still allow and, if less is wished for, that.
///
/// # Errors
/// 401 when the session has ended, the token was used before, or the account is disabled or gone; 422 for a wish that
/// can't be granted, after which the presented token is as good as before.
pub fn rotate(
    conn: &mut PgConnection,
    presented: &RefreshClaims,
    wish: &Wish,
    rules: &Rules,
) -> Result<Pair, ApiError> {
    let used = || refused("the refresh token was used before, or its session has ended");
    db::tx(conn, |conn| {
        let session = store::rotate(conn, presented, rules.lifetimes)?.ok_or_else(used)?;
        let account = users::find(conn, session.user_id)?.ok_or_else(used)?;
        super::pair(&rules.tokens, &account, &session, wish)
    })
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
