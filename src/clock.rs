//! One time for every replica: the database's, carried on between two looks by a clock that nobody can set.
//!
//! A machine whose clock is wrong, or jumps, neither accepts what has expired nor makes tokens from the future.

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, QueryableByName, RunQueryDsl, sql_types::Timestamptz};

/// The longest that an answer may take to be believed.
const MOST_DELAYED: Duration = Duration::from_secs(1);

/// The time that tokens are made and judged by.
pub struct Clock(RwLock<Reading>);

struct Reading {
    time: DateTime<Utc>,
    taken: Instant,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

impl Default for Clock {
    /// Starts with the machine's own time, until the database's is known.
    fn default() -> Self {
        Self(RwLock::new(Reading {
            time: Utc::now(),
            taken: Instant::now(),
        }))
    }
}

impl Clock {
    /// What time it is.
    pub fn now(&self) -> DateTime<Utc> {
        let reading = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let passed = TimeDelta::from_std(reading.taken.elapsed()).unwrap_or(TimeDelta::MAX);
        reading
            .time
            .checked_add_signed(passed)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Takes the database's time.
    ///
    /// # Errors
    /// Postgres.
    pub fn follow(&self, conn: &mut PgConnection) -> QueryResult<()> {
        let asked = Instant::now();
        let row: Row = diesel::sql_query("select clock_timestamp() as now").get_result(conn)?;
        let took = asked.elapsed();
        let mut reading = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // An answer that was long on its way, or overtaken, tells little.
        if took <= MOST_DELAYED && asked > reading.taken {
            *reading = Reading {
                time: row.now,
                taken: asked + took / 2,
            };
        }
        Ok(())
    }
}
