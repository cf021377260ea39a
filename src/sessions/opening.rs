//! Opening sessions: of apps, and of browsers at our own pages.

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    EndReason, Lifetimes, Pair, Rules, SessionRow, Wish, end_one, page_store, pair::pair, store,
};
use crate::{
    audit::{Action, Actor, Event},
    error::ApiError,
    scope::Scopes,
    tokens::PAGES_CLIENT,
    users::{Account, Holder},
};

/// A session to open.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The app that signs in.
    pub client_id: String,
    /// What its tokens may do at most.
    pub scopes: Scopes,
    /// When the user proved who they are; `None` means just now.
    pub auth_time: Option<DateTime<Utc>>,
    /// How strongly they did.
    pub acr: String,
    /// By which means they did.
    pub amr: Vec<String>,
    /// Of a browser at our own pages: the hash of its cookie.
    pub page_hash: Option<Vec<u8>>,
    /// The browser's session out of which it is opened.
    pub parent_id: Option<Uuid>,
    /// The thumbprint of the key that its refresh tokens are bound to.
    pub key: Option<String>,
    /// The API that its tokens are for, when it is another one.
    pub resource: Option<String>,
    /// Claims that the app asked for by name.
    pub claims: Option<Value>,
}

impl NewSession {
    /// A session of our own pages, opened just now with a password.
    pub fn by_password() -> Self {
        Self {
            client_id: PAGES_CLIENT.to_owned(),
            scopes: Scopes::default(),
            auth_time: None,
            acr: "1".to_owned(),
            // RFC 8176 section 2.
            amr: vec!["pwd".to_owned()],
            page_hash: None,
            parent_id: None,
            key: None,
            resource: None,
            claims: None,
        }
    }
}

/// Opens a session and writes that down, inside the caller's transaction, in which the account is held.
///
/// # Errors
/// Postgres.
pub fn begin(
    conn: &mut PgConnection,
    owner: Uuid,
    session: &NewSession,
    external: bool,
    actor: &Actor,
    rules: &Rules,
) -> Result<SessionRow, ApiError> {
    let new = store::NewRow {
        id: Uuid::now_v7(),
        session,
        refresh_kid: rules.tokens.refresh_kid(),
        external,
        user_agent: actor.user_agent.as_deref(),
        address: actor.address.as_deref(),
    };
    let opened = store::insert(conn, owner, &new, rules.lifetimes)?;
    let signed_in = Actor {
        user_id: Some(owner),
        session_id: Some(opened.id),
        client_id: Some(session.client_id.clone()),
        ..actor.clone()
    };
    Event {
        actor: &signed_in,
        action: Action::SessionCreated,
        subject_id: Some(owner),
        details: json!({}),
    }
    .record(conn)?;
    Ok(opened)
}

/// Opens a session and makes its first tokens, inside the caller's transaction, in which the account is held.
///
/// # Errors
/// 422 when more is wished for than allowed, or the access token would be too large.
pub fn open(
    conn: &mut PgConnection,
    holder: &Holder,
    session: NewSession,
    wish: &Wish,
    actor: &Actor,
    rules: &Rules,
) -> Result<Pair, ApiError> {
    let external = wish.is_external(&rules.tokens) || session.resource.is_some();
    let opened = begin(conn, holder.id, &session, external, actor, rules)?;
    pair(&rules.tokens, holder, &opened.into(), wish)
}

/// The cookie that a browser gets, and the one that it had.
#[derive(Clone, Debug)]
pub struct PageChange {
    /// The hash of the new one.
    pub hash: Vec<u8>,
    /// The hash of the old one.
    pub old_hash: Option<Vec<u8>>,
}

/// Opens a browser's session at our own pages, with a password.
///
/// # Errors
/// Postgres.
pub fn open_page(
    conn: &mut PgConnection,
    account: &Account,
    page: &PageChange,
    actor: &Actor,
    rules: &Rules,
) -> Result<SessionRow, ApiError> {
    open_page_as(conn, account, page, NewSession::by_password(), actor, rules)
}

/// Opens a browser's session at our own pages. Where the same person has one there, it goes on under the new cookie, so that
/// apps stay signed in; anybody else's ends.
///
/// # Errors
/// Postgres.
pub fn open_page_as(
    conn: &mut PgConnection,
    account: &Account,
    page: &PageChange,
    session: NewSession,
    actor: &Actor,
    rules: &Rules,
) -> Result<SessionRow, ApiError> {
    let owner = account.user.id;
    let before = match &page.old_hash {
        Some(hash) => page_store::find_page_any_owner(conn, hash, rules.lifetimes.idle)?,
        None => None,
    };
    match before {
        Some(before) if before.user_id == owner => Ok(page_store::renew_page(
            conn, owner, before.id, page, &session,
        )?),
        before => {
            if let Some(other) = before {
                end_one(conn, other.user_id, other.id, EndReason::SignedOut, actor)?;
            }
            let session = NewSession {
                page_hash: Some(page.hash.clone()),
                ..session
            };
            begin(conn, owner, &session, false, actor, rules)
        }
    }
}

/// The session of a browser at our own pages, by the hash of its cookie.
///
/// # Errors
/// Postgres.
pub fn find_page(
    conn: &mut PgConnection,
    hash: &[u8],
    lifetimes: Lifetimes,
) -> QueryResult<Option<SessionRow>> {
    page_store::find_page_any_owner(conn, hash, lifetimes.idle)
}
