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
        self.believe(row.now, asked, asked.elapsed());
        Ok(())
    }

    fn believe(&self, time: DateTime<Utc>, asked: Instant, took: Duration) {
        let mut reading = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // An answer that was long on its way, or overtaken, tells little.
        if took <= MOST_DELAYED && asked > reading.taken {
            *reading = Reading {
                time,
                taken: asked + took / 2,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_long_on_its_way_or_overtaken_is_not_believed() {
        let clock = Clock::default();
        let asked = Instant::now();
        let true_time = Utc::now() - TimeDelta::days(400);
        clock.believe(true_time, asked, Duration::from_millis(20));
        let is_true = || (clock.now() - true_time).abs() < TimeDelta::minutes(5);
        assert!(is_true());
        let wrong = true_time - TimeDelta::days(1);
        clock.believe(wrong, Instant::now(), Duration::from_millis(1_100));
        assert!(is_true(), "delayed");
        clock.believe(wrong, asked, Duration::from_millis(5));
        assert!(is_true(), "overtaken");
    }
}
