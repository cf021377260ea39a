//! The one door to Postgres: the pool, one hop per request, migrations and everything that must happen once.

use std::{sync::Arc, time::Duration};

use diesel::{
    Connection, ConnectionError, PgConnection, QueryResult, RunQueryDsl,
    connection::{SimpleConnection, TransactionManager},
    r2d2::{ConnectionManager, CustomizeConnection, Pool},
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::error::{ApiError, Code};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Advisory lock that every starting process takes ("tollgate" in ASCII), so that each migration runs once.
const START_LOCK: i64 = 0x746f_6c6c_6761_7465;

/// How long a request waits for its turn at the database.
const TURN_PATIENCE: Duration = Duration::from_secs(1);

/// How long a request waits for the database's answer.
const ANSWER_PATIENCE: Duration = Duration::from_millis(2_500);

/// The pool behind a semaphore, so that waiting holds no thread and no connection.
#[derive(Clone)]
pub struct Db {
    pool: Pool<ConnectionManager<PgConnection>>,
    turns: Arc<Semaphore>,
}

#[derive(Debug)]
struct Timeouts;

impl CustomizeConnection<PgConnection, diesel::r2d2::Error> for Timeouts {
    fn on_acquire(&self, conn: &mut PgConnection) -> Result<(), diesel::r2d2::Error> {
        conn.batch_execute(
            "set statement_timeout = '5s'; set lock_timeout = '1s'; set timezone = 'UTC'",
        )
        .map_err(diesel::r2d2::Error::QueryError)
    }
}

impl Db {
    /// Makes the pool with `size` connections; it connects when first asked.
    ///
    /// # Errors
    /// None that Postgres causes.
    pub fn new(url: &str, size: u32) -> anyhow::Result<Self> {
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(1))
            .test_on_check_out(false)
            .connection_timeout(TURN_PATIENCE)
            .connection_customizer(Box::new(Timeouts))
            .error_handler(Box::new(LogAsWarning))
            .build_unchecked(ConnectionManager::new(with_patience(url)));
        Ok(Self {
            pool,
            turns: Arc::new(Semaphore::new(usize::try_from(size)?)),
        })
    }

    /// Runs `work` on a connection, off the request threads; a request comes here once.
    ///
    /// # Errors
    /// Those of `work`; 503 when no turn, no connection or no answer comes in time.
    pub async fn run<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, ApiError> + Send + 'static,
    {
        let turn = tokio::time::timeout(TURN_PATIENCE, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_elapsed| ApiError::from(Code::Overloaded))?
            .map_err(ApiError::internal)?;
        let pool = self.pool.clone();
        let hop = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that takes a connection"
            )]
            let mut conn = pool.get().map_err(ApiError::database)?;
            let result = work(&mut conn);
            if matches!(&result, Err(error) if error.code == Code::DatabaseUnavailable) {
                discard(&mut conn);
            }
            result
        });
        tokio::time::timeout(ANSWER_PATIENCE, hop)
            .await
            .map_err(ApiError::database)?
            .map_err(ApiError::internal)?
    }
}

/// The rows that a page needs: those after `after`, one more than it shows.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The id of the last row of the page before.
    pub after: Option<Uuid>,
    /// Rows to read: one more than the page shows, which tells whether there is a next one.
    pub rows: i64,
}

/// Marks a connection that may be dead, so that the pool closes it instead of handing it out again.
fn discard(conn: &mut PgConnection) {
    diesel::connection::AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
}

/// Runs several statements as one; a single statement needs no transaction.
///
/// # Errors
/// Those of `work`, after rolling back.
pub fn tx<T, E: From<diesel::result::Error>>(
    conn: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    conn.transaction(work)
}

/// The channel on which replicas tell each other that keys or revocations have changed.
pub const CONTROL_CHANNEL: &str = "tollgate_control";

/// Tells every replica, once the caller's transaction commits, that keys or revocations have changed.
///
/// # Errors
/// Postgres.
pub fn notify_replicas(conn: &mut PgConnection) -> QueryResult<()> {
    sql_query("select pg_notify($1, '')")
        .bind::<Text, _>(CONTROL_CHANNEL)
        .execute(conn)?;
    Ok(())
}

/// What a server that has vanished costs at most, unless the address says otherwise: seconds to connect and until a silent
/// connection is probed, milliseconds until unanswered data end it.
const NETWORK_PATIENCE: [(&str, &str); 5] = [
    ("connect_timeout", "2"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "3000"),
];

/// Adds the timeouts to a URI or a list of keywords (libpq, "Connection Strings"); of two values the last one counts.
fn with_patience(url: &str) -> String {
    let pairs = |separator: &str| {
        let pairs: Vec<_> = NETWORK_PATIENCE
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join(separator)
    };
    if !url.contains("://") {
        return format!("{} {url}", pairs(" "));
    }
    // A question mark may be part of the password.
    let (user, place) = match url.split_once('@') {
        Some((user, place)) if user.matches('/').count() == 2 => (format!("{user}@"), place),
        _ => (String::new(), url),
    };
    match place.split_once('?') {
        Some((place, rest)) => format!("{user}{place}?{}&{rest}", pairs("&")),
        None => format!("{user}{place}?{}", pairs("&")),
    }
}

/// Opens a connection outside the pool, for commands and for starting.
///
/// # Errors
/// Postgres can't be reached.
pub fn connect(url: &str) -> Result<PgConnection, ConnectionError> {
    PgConnection::establish(&with_patience(url))
}

/// Applies what migrations are missing and then does `once`, while no other process does either.
///
/// # Errors
/// A migration fails, or `once` does.
pub fn prepare<T>(
    conn: &mut PgConnection,
    once: impl FnOnce(&mut PgConnection) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    sql_query("select pg_advisory_lock($1)")
        .bind::<BigInt, _>(START_LOCK)
        .execute(conn)?;
    let outcome = migrate(conn).and_then(|()| once(conn));
    let unlocked = sql_query("select pg_advisory_unlock($1)")
        .bind::<BigInt, _>(START_LOCK)
        .execute(conn);
    let outcome = outcome?;
    unlocked?;
    Ok(outcome)
}

fn migrate(conn: &mut PgConnection) -> anyhow::Result<()> {
    conn.run_pending_migrations(MIGRATIONS)
        .map_err(|error| anyhow::anyhow!("migration failed: {error}"))?;
    Ok(())
}

/// Reports what r2d2 meets in the background, without the connection string.
#[derive(Debug)]
struct LogAsWarning;

impl<E: std::error::Error> diesel::r2d2::HandleError<E> for LogAsWarning {
    fn handle_error(&self, error: E) {
        tracing::warn!(%error, "no connection to the database");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_address_gets_timeouts_that_it_may_override() {
        let ours = "connect_timeout=2&keepalives_idle=5&keepalives_interval=2&keepalives_count=3&tcp_user_timeout=3000";
        for (url, expected) in [
            ("postgres://u:p@h/d", format!("postgres://u:p@h/d?{ours}")),
            (
                "postgres://u:p?w@h1,h2/d?connect_timeout=9",
                format!("postgres://u:p?w@h1,h2/d?{ours}&connect_timeout=9"),
            ),
            (
                "postgres:///d?user=a@b",
                format!("postgres:///d?{ours}&user=a@b"),
            ),
            (
                "host=h user=u",
                format!("{} host=h user=u", ours.replace('&', " ")),
            ),
        ] {
            assert_eq!(with_patience(url), expected);
        }
    }
}
