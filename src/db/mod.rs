//! The one door to Postgres: the pool, one hop per request, migrations and everything that must happen once.

mod desk;
mod functions;
mod hop;
mod pool;
mod stream;
mod visit;

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{
    Connection, ConnectionError, PgConnection, QueryResult, RunQueryDsl,
    r2d2::Pool,
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use uuid::Uuid;

use crate::error::{ApiError, Code};
use hop::Hop;
use pool::{LogAsWarning, Manager, Trouble, with_patience};

pub use desk::{Desk, Errand, Told};
pub use functions::{after, before, clock_timestamp, coalesce, date_trunc, nextval, push_array};
pub use stream::{Outlet, Parts, Rest};
pub use visit::{First, begin_with, is_bound, wait_elsewhere, watch};

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
    pool: Pool<Manager>,
    trouble: Trouble,
    turns: Arc<Semaphore>,
    /// Of these, those that long reads may take.
    streams: Arc<Semaphore>,
    is_away: Arc<AtomicBool>,
    /// Hops that are not back, and that nobody waits for any more: the database owes them an answer.
    unanswered: Arc<AtomicUsize>,
    /// When it last gave one.
    answered: Arc<Mutex<Option<Instant>>>,
    home: Arc<OnceLock<Handle>>,
}

impl Db {
    /// Makes the pool with `size` connections, all of them open as soon as may be, since opening one takes a request longer
    /// than it should wait. Without `cache` no statement is prepared and
    /// nothing is set on a connection, as a pooler in transaction mode demands.
    ///
    /// # Errors
    /// None that Postgres causes.
    pub fn new(url: &str, size: u32, cache: bool) -> anyhow::Result<Self> {
        let manager = Manager::new(with_patience(url), cache);
        let trouble = manager.trouble();
        let pool = Pool::builder()
            .max_size(size)
            // Costs nothing as long as nothing has gone wrong: see `Manager`.
            .test_on_check_out(true)
            .connection_timeout(TURN_PATIENCE)
            .error_handler(Box::new(LogAsWarning))
            .build_unchecked(manager);
        Ok(Self {
            pool,
            trouble,
            turns: Arc::new(Semaphore::new(usize::try_from(size)?)),
            streams: Arc::new(Semaphore::new(usize::try_from(size)?.div_ceil(2))),
            is_away: Arc::default(),
            unanswered: Arc::default(),
            answered: Arc::default(),
            home: Arc::default(),
        })
    }

    /// Runs `work` on a connection, off the request threads; a request comes here once.
    ///
    /// # Errors
    /// Those of `work`; 503 when no turn, no connection or no answer comes in time, and at once while the database is away.
    pub async fn run<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, ApiError> + Send + 'static,
    {
        self.hop(|db, first| db.once(first, work)).await
    }

    /// The same for what may be done twice: reads, and writes that find themselves done. A connection that breaks
    /// meanwhile costs a second try.
    ///
    /// # Errors
    /// Those of `run`.
    pub async fn run_again<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: Fn(&mut PgConnection) -> Result<T, ApiError> + Send + 'static,
    {
        self.hop(move |db, first| db.twice(first, work)).await
    }

    /// Does what a trip of this request had to begin with, where none was made, or it `succeeds` all the same.
    ///
    /// # Errors
    /// Its own, and those of `run`.
    pub async fn make_up(&self, succeeds: bool) -> Result<(), ApiError> {
        if visit::is_owed(succeeds) {
            self.run(|_conn| Ok(())).await?;
        }
        Ok(())
    }

    /// Does what is done for several requests on the caller's runtime, which has to outlive theirs.
    pub fn settle(&self) {
        // Who settles twice stays at home.
        let _settled = self.home.set(Handle::current());
    }

    /// Does something for several requests.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let home = self.home.get().cloned();
        home.unwrap_or_else(Handle::current).spawn(work);
    }

    /// Lets every idle connection be tried before its next use.
    pub fn suspect(&self) {
        self.trouble.add();
    }

    /// Lets requests wait for a connection again: somebody has reached the database.
    pub fn is_back(&self) {
        self.is_away.store(false, Ordering::Relaxed);
    }

    async fn hop<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Self, Option<&First>) -> Result<T, ApiError> + Send + 'static,
    {
        let first = visit::set_out();
        if self.is_away() {
            return Err(Code::DatabaseUnavailable.into());
        }
        let turn = tokio::time::timeout(TURN_PATIENCE, self.turn())
            .await
            .map_err(|_elapsed| self.no_turn())??;
        self.in_turn(turn, move |db| work(db, first.as_ref())).await
    }

    /// Waits for a turn at the database, however long.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let turns = Arc::clone(&self.turns);
        turns.acquire_owned().await.map_err(ApiError::internal)
    }

    /// Why there was no turn in time: others have it, or the database answers none of them.
    fn no_turn(&self) -> ApiError {
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = answered.is_none_or(|at| at.elapsed() >= TURN_PATIENCE);
        if is_silent && self.unanswered.load(Ordering::Relaxed) > 0 {
            Code::DatabaseUnavailable.into()
        } else {
            Code::Overloaded.into()
        }
    }

    /// Does work in a turn.
    async fn in_turn<T, F>(&self, turn: OwnedSemaphorePermit, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    {
        let db = self.clone();
        let hop = Hop::default();
        let mut running = {
            let hop = hop.clone();
            tokio::task::spawn_blocking(move || {
                let _turn = turn;
                hop.during(|| work(&db))
            })
        };
        let answered = tokio::time::timeout(ANSWER_PATIENCE, &mut running).await;
        let done = answered.map_err(|elapsed| {
            hop.give_up();
            self.note_when_back(running);
            ApiError::database(elapsed)
        })?;
        done.map_err(ApiError::internal)?
    }

    /// Counts a hop that nobody waits for any more, until it is back.
    fn note_when_back<T: Send + 'static>(&self, running: JoinHandle<T>) {
        let unanswered = Arc::clone(&self.unanswered);
        unanswered.fetch_add(1, Ordering::Relaxed);
        self.spawn(async move {
            let _nobody_waits = running.await;
            unanswered.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Does what may be done twice, a second time where a connection broke.
    fn twice<T>(
        &self,
        first: Option<&First>,
        work: impl Fn(&mut PgConnection) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let before = self.trouble.count();
        let done = self.once(first, &work);
        // What was to be done once may have been done.
        let may_try = first.is_none_or(First::is_done);
        if done.is_err() && may_try && self.trouble.count() != before {
            return self.once(first, &work);
        }
        done
    }

    fn once<T>(
        &self,
        first: Option<&First>,
        work: impl FnOnce(&mut PgConnection) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        // Those who waited for their turn while it went away need not wait again.
        if self.is_away() || Hop::is_given_up() {
            return Err(Code::DatabaseUnavailable.into());
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that takes a connection"
        )]
        let taken = self.pool.get();
        self.is_away.store(taken.is_err(), Ordering::Relaxed);
        let mut lease = taken.map_err(ApiError::database)?;
        let begun = first.map_or(Ok(()), |first| first.begin(&mut lease.conn));
        let result = begun.and_then(|()| work(&mut lease.conn));
        if matches!(&result, Err(error) if error.code == Code::DatabaseUnavailable) {
            lease.examine();
        } else {
            let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
            *answered = Some(Instant::now());
        }
        result
    }

    /// Whether nobody has got a connection of late, and there is none: the pool goes on trying by itself.
    fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed) && self.pool.state().connections == 0
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

/// Runs several statements as one; a single statement needs no transaction. Nothing is committed for a request that was
/// told 503 meanwhile: what it did later could undo what was acknowledged since.
///
/// # Errors
/// Those of `work`, after rolling back.
pub fn tx<T, E: From<diesel::result::Error>>(
    conn: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    conn.transaction(|conn| {
        let done = work(conn)?;
        if Hop::is_given_up() {
            return Err(diesel::result::Error::RollbackTransaction.into());
        }
        Ok(done)
    })
}

/// Says whether somebody still waits for what this thread does; to be asked before a write that no transaction of ours surrounds.
///
/// # Errors
/// Nobody does: the request was told 503.
pub fn go_on() -> QueryResult<()> {
    if Hop::is_given_up() {
        return Err(diesel::result::Error::RollbackTransaction);
    }
    Ok(())
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
