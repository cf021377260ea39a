//! Signing in with a password: two hops to the database, with the hash between them on its own pool.
//!
//! An unknown address, a wrong password and a disabled account take the same steps and give the same answer.

use diesel::PgConnection;
use serde_json::json;
use uuid::Uuid;

use super::{
    Lifetimes, SessionRow, Wish, store,
    throttle::{self, Counters},
};
use crate::{
    audit::{Action, Actor, Event},
    config::LimitsConfig,
    db,
    error::{ApiError, Code},
    scope::Scopes,
    tokens::FIRST_PARTY_CLIENT,
    users::{self, Account, Email, UserRow, Verdict},
};

/// How strongly a password alone proves who somebody is.
const PASSWORD_ACR: &str = "1";

/// Its name in RFC 8176.
const PASSWORD_AMR: &str = "pwd";

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
/// 401, the same for every reason; 422 for scopes that the account does not have.
pub fn finish(
    conn: &mut PgConnection,
    attempt: Attempt,
    verdict: &Verdict,
    wish: &Wish,
    actor: &Actor,
    lifetimes: Lifetimes,
    limits: &LimitsConfig,
) -> Result<(Account, SessionRow, Scopes), ApiError> {
    let Attempt { user, counters } = attempt;
    let subject_id = user.as_ref().map(|user| user.id);
    match user.filter(|user| verdict.matches && !user.disabled) {
        Some(user) => db::tx(conn, |conn| {
            throttle::forgive(conn, &counters, limits)?;
            if let Some(upgrade) = &verdict.upgrade {
                users::upgrade_password(conn, user.id, &user.password_hash, upgrade)?;
            }
            open(conn, user.id, wish, actor, lifetimes)
        }),
        None => {
            Event {
                actor,
                action: Action::SessionRefused,
                subject_id,
                details: json!({}),
            }
            .record(conn)?;
            Err(Code::InvalidCredentials.into())
        }
    }
}

fn open(
    conn: &mut PgConnection,
    owner: Uuid,
    wish: &Wish,
    actor: &Actor,
    lifetimes: Lifetimes,
) -> Result<(Account, SessionRow, Scopes), ApiError> {
    let account = users::find(conn, owner)?.ok_or(Code::InvalidCredentials)?;
    let scopes = wish.within(&account.scopes)?;
    let new = store::NewRow {
        id: Uuid::now_v7(),
        client_id: FIRST_PARTY_CLIENT,
        scopes: &scopes.names(),
        acr: PASSWORD_ACR,
        amr: &[PASSWORD_AMR.to_owned()],
        user_agent: actor.user_agent.as_deref(),
        address: actor.address.as_deref(),
    };
    let session = store::insert(conn, owner, &new, lifetimes)?;
    let signed_in = Actor {
        user_id: Some(owner),
        session_id: Some(session.id),
        client_id: Some(FIRST_PARTY_CLIENT.to_owned()),
        ..actor.clone()
    };
    let event = Event {
        actor: &signed_in,
        action: Action::SessionCreated,
        subject_id: Some(owner),
        details: json!({}),
    };
    event.record(conn)?;
    Ok((account, session, scopes))
}
