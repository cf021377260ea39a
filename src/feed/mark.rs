//! Up to where nothing waits in the outbox, nor ever will: a look for what waits begins there, and not among what was moved before.

use std::time::{Duration, Instant};

use diesel::{PgConnection, QueryResult};

use super::store;

/// How often the mark is moved on: by far longer than anybody takes from one step of a statement to the next.
const EVERY: Duration = Duration::from_millis(500);

/// A place in the outbox that everybody has passed, and the next one that everybody will have passed some time.
///
/// Numbers are drawn before they are committed, so one below the last may still come. Who draws one has a transaction id before.
/// So once every transaction has ended that had an id when a number was the last, no number up to that one comes any more. Which
/// those are tells an id that is taken afterwards, not a snapshot: its end is the last id that has ended, not the last that is.
pub(super) struct Mark {
    passed: i64,
    looked: Instant,
    next: Option<Next>,
}

/// A number that was the last some time ago.
struct Next {
    number: i64,
    /// A transaction id that was taken later.
    until: Option<i64>,
}

impl Mark {
    /// Before everything.
    pub fn new() -> Self {
        Self {
            passed: 0,
            looked: Instant::now(),
            next: None,
        }
    }

    /// The number up to which nothing waits.
    pub fn passed(&self) -> i64 {
        self.passed
    }

    /// Begins anew where numbers do: in a database that was restored meanwhile.
    pub fn check(&mut self, conn: &mut PgConnection) -> QueryResult<()> {
        let furthest = self.next.as_ref().map_or(self.passed, |next| next.number);
        if store::see(conn, self.passed, self.passed)?.last < furthest {
            *self = Self::new();
        }
        Ok(())
    }

    /// Moves on as far as may be, now and then.
    pub fn advance(&mut self, conn: &mut PgConnection) -> QueryResult<()> {
        if self.looked.elapsed() < EVERY {
            return Ok(());
        }
        self.looked = Instant::now();
        let Some(next) = &mut self.next else {
            let number = store::see(conn, self.passed, self.passed)?.last;
            self.next = Some(Next {
                number,
                until: None,
            });
            return Ok(());
        };
        let Some(until) = next.until else {
            next.until = Some(store::take_id(conn)?);
            return Ok(());
        };
        let seen = store::see(conn, self.passed, next.number)?;
        if until <= seen.oldest_id && !seen.is_waiting {
            self.passed = next.number;
            self.next = None;
        }
        Ok(())
    }
}
