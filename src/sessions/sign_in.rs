//! Signing in with a password: two hops to the database, with the hash between them on its own pool.
//!
//! An unknown address, a wrong password and a disabled account take the same steps and give the same answer.

use diesel::PgConnection;
use serde_json::json;
use uuid::Uuid;

use super::{
    NewSession, PageChange, Pair, Rules, SessionRow, Wish, store,
    throttle::{self, Counters},
};
use crate::{
    audit::{Action, Actor, Event},
    config::LimitsConfig,
    db,
    error::{ApiError, Code},
    tokens::FIRST_PARTY_CLIENT,
    users::{self, Account, Email, UserRow, Verdict},
};

/// A try that was counted and whose password is not checked yet.
pub struct Attempt {
    user: Option<UserRow>,
    counters: Counters,
}

impl Attempt {
    /// The hash to compare with; `None` for an unknown address.
    pub fn stored_hash(&self) -> Option<&str> {
        self.user.as_ref().map(|user| user.password_hash.as_str())
    }
}

/// Counts the try and finds the account, if there is one.
///
/// # Errors
/// 429 when there were too many failures.
pub fn begin(
    conn: &mut PgConnection,
    email: &Email,
    actor: &Actor,
    limits: &LimitsConfig,
) -> Result<Attempt, ApiError> {
    let user = users::find_by_email(conn, email)?;
    let address = actor.address.as_deref();
    // Without an account the look-up is made all the same, so that its absence costs the same.
    let owner = user.as_ref().map_or(Uuid::nil(), |user| user.id);
    let familiar = match address {
        Some(address) => store::is_familiar(conn, owner, address)?,
        None => false,
    };
    let counters = Counters::new(email.as_ref(), address, familiar);
    throttle::take(conn, &counters, limits)?;
    Ok(Attempt { user, counters })
}

/// Opens the session when the password was right, else writes the failure down.
///
/// # Errors
/// 401, the same for every reason; 422 for a wish that can't be granted.
pub fn finish(
    conn: &mut PgConnection,
    attempt: Attempt,
    verdict: &Verdict,
    wish: &Wish,
    actor: &Actor,
    rules: &Rules,
    limits: &LimitsConfig,
) -> Result<Pair, ApiError> {
    proved(conn, attempt, verdict, actor, limits, |conn, account| {
        let session = NewSession {
            client_id: FIRST_PARTY_CLIENT.to_owned(),
            scopes: wish.within(&account.scopes)?,
            ..NewSession::by_password()
        };
        super::open(conn, account.user.id, &session, wish, actor, rules)
    })
}

/// Opens the session of a browser at our own pages, in place of the one that it had.
///
/// # Errors
/// 401, the same for every reason.
pub fn finish_at_page(
    conn: &mut PgConnection,
    attempt: Attempt,
    verdict: &Verdict,
    page: &PageChange,
    actor: &Actor,
    rules: &Rules,
    limits: &LimitsConfig,
) -> Result<(SessionRow, Account), ApiError> {
    proved(conn, attempt, verdict, actor, limits, |conn, account| {
        let opened = super::open_page(conn, account, page, actor, rules)?;
        Ok((opened, account.clone()))
    })
}

/// Does `then` with the account whose password was right, else writes the failure down.
///
/// # Errors
/// 401, the same for every reason; those of `then`.
pub fn proved<T>(
    conn: &mut PgConnection,
    attempt: Attempt,
    verdict: &Verdict,
    actor: &Actor,
    limits: &LimitsConfig,
    then: impl FnOnce(&mut PgConnection, &Account) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let Attempt { user, counters } = attempt;
    let subject_id = user.as_ref().map(|user| user.id);
    let Some(user) = user.filter(|_| verdict.matches) else {
        let details = json!({});
        Event {
            actor,
            action: Action::SessionRefused,
            subject_id,
            details,
        }
        .record(conn)?;
        return Err(Code::InvalidCredentials.into());
    };
    db::tx(conn, |conn| {
        // Read again and held: the account may have been disabled, or the password changed, while the hash was computed.
        let account = users::lock(conn, user.id)?
            .filter(|account| !account.user.disabled)
            .ok_or(Code::InvalidCredentials)?;
        if account.user.password_hash != user.password_hash {
            // Or another sign-in has just stored a stronger hash of the same password; a second try will tell.
            return Err(Code::Overloaded.into());
        }
        let done = then(conn, &account)?;
        if let Some(upgrade) = &verdict.upgrade {
            users::upgrade_password(conn, user.id, &user.password_hash, upgrade)?;
        }
        throttle::forgive(conn, &counters, limits)?;
        Ok(done)
    })
}
