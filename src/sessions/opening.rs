//! Opening sessions: of apps, and of browsers at our own pages.

use chrono::{DateTime, Utc};
use diesel::{
    PgConnection, QueryResult,
    pg::Pg,
    query_builder::{QueryFragment, QueryId},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    EndReason, Generation, Lifetimes, Pair, Rules, SessionRow, Wish, end_one,
    opening_store::{self, NOTHING, Opened, Purpose},
    page_store,
    pair::pair,
    store::{self, NewRow},
};
use crate::{
    audit::{self, Action, Actor, Event},
    error::ApiError,
    scope::Scopes,
    tokens::PAGES_CLIENT,
    users::Account,
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
    actor: &Actor,
    rules: &Rules,
) -> Result<SessionRow, ApiError> {
    let new = NewRow::of(session, false, actor, rules);
    insert(conn, owner, &new, actor, rules, NOTHING)?;
    store::find(conn, owner, new.id)?.ok_or_else(not_opened)
}

fn not_opened() -> ApiError {
    ApiError::internal("no session was opened")
}

fn insert<H, U>(
    conn: &mut PgConnection,
    owner: Uuid,
    new: &NewRow<'_>,
    actor: &Actor,
    rules: &Rules,
    purpose: Purpose<H, U>,
) -> QueryResult<Option<Opened>>
where
    H: QueryFragment<Pg> + QueryId,
    U: QueryFragment<Pg> + QueryId,
{
    let signed_in = Actor {
        user_id: Some(owner),
        session_id: Some(new.id),
        client_id: Some(new.session.client_id.clone()),
        ..actor.clone()
    };
    let event = Event {
        actor: &signed_in,
        action: Action::SessionCreated,
        subject_id: Some(owner),
        details: json!({}),
    };
    let row = store::insertion(owner, new, rules.lifetimes);
    opening_store::insert(conn, row, audit::insertion(&event), purpose)
}

/// Opens a session and makes its first tokens, inside the caller's transaction, in which the account is held.
///
/// # Errors
/// 422 when more is wished for than allowed, or the access token would be too large.
pub fn open(
    conn: &mut PgConnection,
    owner: Uuid,
    session: &NewSession,
    wish: &Wish,
    actor: &Actor,
    rules: &Rules,
) -> Result<Pair, ApiError> {
    open_for(conn, owner, session, wish, actor, rules, NOTHING)?.ok_or_else(not_opened)
}

/// The same for something that is used up by it: one statement, which needs no transaction around it; `None` where that is
/// not there to be used.
///
/// # Errors
/// Those of `open`; no session stays open.
pub fn open_for<H, U>(
    conn: &mut PgConnection,
    owner: Uuid,
    session: &NewSession,
    wish: &Wish,
    actor: &Actor,
    rules: &Rules,
    purpose: Purpose<H, U>,
) -> Result<Option<Pair>, ApiError>
where
    H: QueryFragment<Pg> + QueryId,
    U: QueryFragment<Pg> + QueryId,
{
    let external = wish.is_external(&rules.tokens) || session.resource.is_some();
    let new = NewRow::of(session, external, actor, rules);
    let Some(opened) = insert(conn, owner, &new, actor, rules, purpose)? else {
        return Ok(None);
    };
    let generation = Generation {
        session_id: new.id,
        scopes: session.scopes.names(),
        generation: 0,
        rotated_at: opened.rotated_at,
        refresh_exp: opened.refresh_exp,
        refresh_kid: new.refresh_kid,
        auth_time: opened.auth_time,
        acr: session.acr.clone(),
        amr: session.amr.clone(),
        client_id: session.client_id.clone(),
        resource: session.resource.clone(),
        claims: session.claims.clone(),
    };
    match pair(&rules.tokens, &opened.holder.into(), &generation, wish) {
        Ok(pair) => Ok(Some(pair)),
        Err(refusal) => {
            // Nobody has a token of it.
            end_one(conn, owner, new.id, EndReason::SignedOut, actor)?;
            Err(refusal)
        }
    }
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
            begin(conn, owner, &session, actor, rules)
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
