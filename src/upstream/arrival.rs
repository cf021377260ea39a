//! Whose account it is that somebody has come back for: a known identity's, a new one, or one whose password they have to know.
//!
//! An identity is known by issuer and subject, never by an address. An account here and an identity with the same address are
//! connected without its password only when both sides have verified that address (`PWD-08`): else whoever claims the address at
//! either side would get what is the owner's at the other.

use diesel::PgConnection;
use serde_json::json;

use super::{
    Identity,
    store::{self, StateRow},
};
use crate::{
    audit::{Action, Actor, Event},
    config::LimitsConfig,
    db,
    error::{ApiError, Code},
    sessions::{
        self, NewSession, PageChange, Rules,
        sign_in::{self, Attempt},
    },
    users::{self, Account, Email, NewUser, UserRow, Verdict, password},
};

/// What becomes of somebody who has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// They are signed in.
    SignedIn,
    /// There is an account with their address, whose password they have to know; who they are at the provider is held.
    Held,
    /// Their account is disabled.
    Disabled,
    /// They have no account here, and the provider gives no address for one.
    NoAddress,
    /// They have no account here, and nobody may make one.
    Closed,
}

/// Decides, makes an account for whoever has none, and signs in where that can be done at once.
///
/// # Errors
/// Postgres.
pub fn arrive(
    conn: &mut PgConnection,
    state: &StateRow,
    identity: &Identity,
    is_open: bool,
    page: &PageChange,
    actor: &Actor,
    rules: &Rules,
) -> Result<Arrival, ApiError> {
    let mut arrive = || decide(conn, state, identity, is_open, page, actor, rules);
    match arrive() {
        // Somebody else has just made it.
        Err(error) if error.code == Code::EmailTaken => arrive(),
        arrived => arrived,
    }
}

fn decide(
    conn: &mut PgConnection,
    state: &StateRow,
    identity: &Identity,
    is_open: bool,
    page: &PageChange,
    actor: &Actor,
    rules: &Rules,
) -> Result<Arrival, ApiError> {
    db::tx(conn, |conn| {
        let Identity {
            issuer, subject, ..
        } = identity;
        if let Some(owner) = store::find_owner(conn, issuer, subject)? {
            store::touch(conn, owner, issuer, subject)?;
            let account = users::lock(conn, owner)?;
            return enter(conn, account, identity, page, actor, rules);
        }
        let Some(email) = &identity.email else {
            return Ok(Arrival::NoAddress);
        };
        let Some(user) = users::find_by_email(conn, email)? else {
            return if is_open {
                create(conn, identity, email, page, actor, rules)
            } else {
                Ok(Arrival::Closed)
            };
        };
        let account = users::lock(conn, user.id)?;
        match account {
            Some(account) if is_the_same(conn, &account.user, identity)? => {
                if !account.user.disabled {
                    link(conn, &account, identity, actor)?;
                }
                enter(conn, Some(account), identity, page, actor, rules)
            }
            _ => {
                store::hold(conn, &state.id, &state.browser, &json!(identity))?;
                Ok(Arrival::Held)
            }
        }
    })
}

/// Whether an account and an identity with its address are surely the same person's.
fn is_the_same(
    conn: &mut PgConnection,
    user: &UserRow,
    identity: &Identity,
) -> Result<bool, ApiError> {
    let is_verified = user.email_verified && identity.email_verified;
    // Of one who is known there already this is a second identity: the address may have got another owner.
    Ok(is_verified && !store::has_identity_of(conn, user.id, &identity.issuer)?)
}

/// Signs in whose identity it is.
fn enter(
    conn: &mut PgConnection,
    account: Option<Account>,
    identity: &Identity,
    page: &PageChange,
    actor: &Actor,
    rules: &Rules,
) -> Result<Arrival, ApiError> {
    let Some(account) = account.filter(|account| !account.user.disabled) else {
        let event = Event {
            actor,
            action: Action::SessionRefused,
            subject_id: None,
            details: json!({}),
        };
        event.record(conn)?;
        return Ok(Arrival::Disabled);
    };
    sessions::open_page_as(conn, &account, page, by_provider(identity), actor, rules)?;
    Ok(Arrival::SignedIn)
}

/// A session that another provider vouches for: no means of RFC 8176 says that, and by which one it was done there is not ours
/// to say, so there is none.
fn by_provider(identity: &Identity) -> NewSession {
    NewSession {
        auth_time: identity.auth_time,
        amr: Vec::new(),
        ..NewSession::by_password()
    }
}

fn link(
    conn: &mut PgConnection,
    account: &Account,
    identity: &Identity,
    actor: &Actor,
) -> Result<(), ApiError> {
    let owner = account.user.id;
    if !store::insert_identity(conn, owner, &identity.issuer, &identity.subject)? {
        // Somebody was quicker; a second try will find them.
        return Err(Code::Overloaded.into());
    }
    let event = Event {
        actor,
        action: Action::IdentityLinked,
        subject_id: Some(owner),
        details: json!({ "upstream": identity.upstream, "issuer": identity.issuer }),
    };
    event.record(conn)?;
    Ok(())
}

/// Makes the account of somebody who has none, with a password that nobody knows, and signs them in.
fn create(
    conn: &mut PgConnection,
    identity: &Identity,
    email: &Email,
    page: &PageChange,
    actor: &Actor,
    rules: &Rules,
) -> Result<Arrival, ApiError> {
    let new = NewUser {
        email: email.clone(),
        password: String::new().into(),
        name: identity.name.clone(),
        locale: identity.locale.clone(),
    };
    let hash = password::unknown().map_err(ApiError::internal)?;
    let account = users::create(conn, actor, &new, &hash, identity.email_verified)?;
    link(conn, &account, identity, actor)?;
    enter(conn, Some(account), identity, page, actor, rules)
}

/// Who a browser's person is at a provider, while their password here is waited for.
///
/// # Errors
/// Postgres.
pub fn held(conn: &mut PgConnection, browser: &[u8]) -> Result<Option<Identity>, ApiError> {
    let identity = store::held(conn, browser)?;
    identity
        .map(serde_json::from_value)
        .transpose()
        .map_err(ApiError::internal)
}

/// A try to prove that an account is one's own, so that an identity can be connected with it.
pub struct Linking {
    identity: Identity,
    attempt: Attempt,
}

impl Linking {
    /// The hash to compare with.
    pub fn stored_hash(&self) -> Option<&str> {
        self.attempt.stored_hash()
    }
}

/// Counts a try to connect an identity that is held, as any other to sign in with a password.
///
/// # Errors
/// 429 when there were too many failures.
pub fn begin_link(
    conn: &mut PgConnection,
    identity: Identity,
    actor: &Actor,
    limits: &LimitsConfig,
) -> Result<Linking, ApiError> {
    let email = identity.email.as_ref().ok_or(Code::BadRequest)?;
    let attempt = sign_in::begin(conn, email, actor, limits)?;
    Ok(Linking { identity, attempt })
}

/// Connects and signs in when the password was right, else writes the failure down.
///
/// # Errors
/// 401, the same for every reason.
pub fn finish_link(
    conn: &mut PgConnection,
    linking: Linking,
    verdict: &Verdict,
    page: &PageChange,
    actor: &Actor,
    rules: &Rules,
    limits: &LimitsConfig,
) -> Result<(), ApiError> {
    let Linking { identity, attempt } = linking;
    sign_in::proved(conn, attempt, verdict, actor, limits, |conn, account| {
        link(conn, account, &identity, actor)?;
        if let Some(browser) = &page.old_hash {
            store::let_go(conn, browser)?;
        }
        sessions::open_page(conn, account, page, actor, rules)?;
        Ok(())
    })
}
