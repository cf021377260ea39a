//! Sessions: signed-in devices, from signing in over refreshing to signing out.

mod about_store;
pub mod account;
pub mod device_routes;
mod end_store;
mod ends;
pub mod key_routes;
mod opening;
mod opening_store;
mod page_store;
mod pair;
pub mod refresh;
pub mod role_routes;
pub mod routes;
pub mod sign_in;
mod store;
pub mod throttle;

use std::{collections::HashMap, sync::Arc};

use diesel::{PgConnection, QueryResult};
use uuid::Uuid;

pub use about_store::About;
pub use ends::{
    EndReason, end, end_of_client, end_of_deleted_client, end_one, end_others,
    end_signed_by_revoked_keys, redefine_role, revoke_key,
};
pub use opening::{
    NewSession, PageChange, begin, find_page, open, open_for, open_page, open_page_as,
};
pub use opening_store::Purpose;
pub use pair::{IdentityWish, Pair, Wish};
pub use refresh::Desk;
pub use store::{Generation, SessionRow};

use crate::{
    config::SessionsConfig,
    db::{self, Errand, Window},
    error::ApiError,
    tokens::Tokens,
};

/// How long sessions live, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Without a refresh.
    pub idle: i64,
    /// In any case.
    pub absolute: i64,
}

/// What opening and refreshing sessions goes by.
#[derive(Clone)]
pub struct Rules {
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// Makes the tokens.
    pub tokens: Tokens,
}

impl From<&SessionsConfig> for Lifetimes {
    fn from(config: &SessionsConfig) -> Self {
        Self {
            idle: config.idle_lifetime.seconds(),
            absolute: config.absolute_lifetime.seconds(),
        }
    }
}

/// Lists the user's sessions that are alive, or those that are not, newest first.
///
/// # Errors
/// Postgres.
pub fn list(
    conn: &mut PgConnection,
    owner: Uuid,
    alive: bool,
    window: Window,
) -> QueryResult<Vec<SessionRow>> {
    store::list(conn, owner, alive, window)
}

/// Finds a session, also one that has ended; `owner` is `None` for holders of `sessions:write`, who see everyone's.
///
/// # Errors
/// Postgres.
pub fn find(
    conn: &mut PgConnection,
    owner: Option<Uuid>,
    id: Uuid,
) -> QueryResult<Option<SessionRow>> {
    match owner {
        Some(owner) => store::find(conn, owner, id),
        None => store::find_any_owner(conn, id),
    }
}

/// Finds a session of `owner`, and lets nobody end it until the caller's transaction ends.
///
/// # Errors
/// Postgres.
pub fn hold(conn: &mut PgConnection, owner: Uuid, id: Uuid) -> QueryResult<Option<SessionRow>> {
    store::hold(conn, owner, id)
}

/// What an app asks of a session's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The user.
    pub owner: Uuid,
    /// The session.
    pub id: Uuid,
}

/// What apps may learn of it; `None` when the session or its user is no more.
impl Errand for Question {
    type Office = ();
    type Line = ();
    type Answer = Option<About>;

    const IS_REPEATABLE: bool = true;

    fn line(&self) -> Option<()> {
        Some(())
    }

    fn run(
        (): &(),
        conn: &mut PgConnection,
        questions: &[Arc<Self>],
    ) -> Result<Vec<db::Told<Self>>, ApiError> {
        let found = about_store::find_about(conn, questions)?;
        let answer = |question: &Arc<Self>| Ok(Some(found.get(&**question).cloned()));
        Ok(questions.iter().map(answer).collect())
    }

    fn run_alone(
        self: Arc<Self>,
        (): &(),
        conn: &mut PgConnection,
    ) -> Result<Option<About>, ApiError> {
        Ok(about_store::find_about(conn, &[Arc::clone(&self)])?.remove(&*self))
    }
}

/// Writes down which generations were seen in use, in one statement.
///
/// # Errors
/// Postgres.
pub fn acknowledge(conn: &mut PgConnection, uses: &HashMap<Uuid, i64>) -> QueryResult<usize> {
    store::acknowledge_any_owner(conn, uses)
}

/// Forgets what nobody needs any more: old counters of failures, old addresses, sessions long ended.
///
/// # Errors
/// Postgres.
pub fn purge(conn: &mut PgConnection) -> Result<(), ApiError> {
    throttle::purge(conn)?;
    store::forget_addresses_any_owner(conn)?;
    store::forget_ended_any_owner(conn)?;
    Ok(())
}
