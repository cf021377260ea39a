//! Signing in with a password: two hops to the database, with the hash between them on its own pool.
//!
//! An unknown address, a wrong password and a disabled account take the same steps and give the same answer.

use diesel::PgConnection;
use serde_json::json;
use uuid::Uuid;

use super::{
    Pair, Rules, Wish, store,
    throttle::{self, Counters},
};
use crate::{
    audit::{Action, Actor, Event},
    config::LimitsConfig,
    db,
    error::{ApiError, Code},
    tokens::FIRST_PARTY_CLIENT,
    users::{self, Email, Holder, UserRow, Verdict},
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
        let pair = open(conn, &user, wish, actor, rules)?;
        if let Some(upgrade) = &verdict.upgrade {
            users::upgrade_password(conn, user.id, &user.password_hash, upgrade)?;
        }
        throttle::forgive(conn, &counters, limits)?;
        Ok(pair)
    })
}

fn open(
    conn: &mut PgConnection,
    user: &UserRow,
    wish: &Wish,
    actor: &Actor,
    rules: &Rules,
) -> Result<Pair, ApiError> {
    // Read again and held: the account may have been disabled, or the password changed, while the hash was computed.
    let account = users::lock(conn, user.id)?
        .filter(|account| !account.user.disabled)
        .ok_or(Code::InvalidCredentials)?;
    if account.user.password_hash != user.password_hash {
        // Or another sign-in has just stored a stronger hash of the same password; a second try will tell.
        return Err(Code::Overloaded.into());
    }
    let scopes = wish.within(&account.scopes)?;
    let new = store::NewRow {
        id: Uuid::now_v7(),
        client_id: FIRST_PARTY_CLIENT,
        refresh_kid: rules.tokens.refresh_kid(),
        external: wish.is_external(&rules.tokens),
        scopes: &scopes.names(),
        acr: PASSWORD_ACR,
        amr: &[PASSWORD_AMR.to_owned()],
        user_agent: actor.user_agent.as_deref(),
        address: actor.address.as_deref(),
    };
    let session = store::insert(conn, user.id, &new, rules.lifetimes)?;
    let signed_in = Actor {
        user_id: Some(user.id),
        session_id: Some(session.id),
        client_id: Some(FIRST_PARTY_CLIENT.to_owned()),
        ..actor.clone()
    };
    Event {
        actor: &signed_in,
        action: Action::SessionCreated,
        subject_id: Some(user.id),
        details: json!({}),
    }
    .record(conn)?;
    super::pair(
        &rules.tokens,
        &Holder::from(&account),
        &session.into(),
        wish,
    )
}
