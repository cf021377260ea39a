//! Revocation: tokens that die before they expire, written with the change that kills them and known to every replica.

mod set;
mod store;

use diesel::{PgConnection, QueryResult};
use uuid::Uuid;

pub use set::{Bearer, Revocations, Status};

use crate::db;

/// What is dead before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The access tokens of one session.
    Session(Uuid),
    /// The access tokens of a user that name an epoch below this one.
    User {
        /// Whose they are.
        id: Uuid,
        /// The first epoch that is good again; `i64::MAX` for none.
        epoch: i64,
    },
    /// Every access token that was given to one app.
    Client(String),
    /// One access token, by its `jti`.
    Token(Uuid),
    /// Everything that one key has signed.
    Key(String),
}

/// Writes revocations in the caller's transaction and tells every replica once it commits.
///
/// They last as long as the longest-lived token that any configuration could have made.
///
/// # Errors
/// Postgres.
pub fn revoke(conn: &mut PgConnection, dead: &[Revocation]) -> QueryResult<()> {
    if dead.is_empty() {
        return Ok(());
    }
    store::insert(conn, dead)?;
    db::notify_replicas(conn)
}

/// Kills the access tokens of whoever has the role and was seen while a token could still be alive.
///
/// # Errors
/// Postgres.
pub fn revoke_holders(conn: &mut PgConnection, role: &str) -> QueryResult<()> {
    store::advance_epochs(conn, role)?;
    db::notify_replicas(conn)
}

/// Whether a client was deleted so lately that its tokens may not have run out yet.
///
/// # Errors
/// Postgres.
pub fn is_client_revoked(conn: &mut PgConnection, id: &str) -> QueryResult<bool> {
    store::is_client_revoked(conn, id)
}

/// The keys that were retired at once and may have signed what has not expired.
///
/// # Errors
/// Postgres.
pub fn dead_keys(conn: &mut PgConnection) -> QueryResult<Vec<String>> {
    store::dead_keys(conn)
}

/// Forgets revocations of tokens that have expired since.
///
/// # Errors
/// Postgres.
pub fn purge(conn: &mut PgConnection) -> QueryResult<usize> {
    store::purge(conn)
}
