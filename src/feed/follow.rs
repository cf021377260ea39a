//! A replica's line to the feed: it gives positions to what was written, and follows the feed into memory.

use std::time::{Duration, Instant};

use diesel::PgConnection;
use secrecy::{ExposeSecret, SecretString};

use super::{Feed, mark::Mark, store};
use crate::db;

/// How long one turn lasts; stopping waits for it.
const TURN: Duration = Duration::from_millis(200);

/// How often the channel is asked for words that came.
const LISTEN_EVERY: Duration = Duration::from_millis(10);

/// How often the outbox is looked at though nobody said so: whoever wrote may have died before.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// How often the feed is looked at though nobody told, because a word may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long changes may gather after some got their positions: each time costs the database a commit.
const GATHER: Duration = Duration::from_millis(5);

/// How long to wait for another replica that is giving positions.
const ASIDE: Duration = Duration::from_millis(3);

/// The connection that a replica follows the feed on; the pool may be exhausted and this still goes on.
pub struct Line {
    conn: PgConnection,
    mark: Mark,
    polled: Instant,
    looked: Instant,
}

impl Line {
    /// Connects, and goes on where the replica was, or from the end.
    ///
    /// # Errors
    /// Postgres can't be reached.
    pub fn open(url: &SecretString, feed: &Feed) -> anyhow::Result<Self> {
        let mut conn = db::connect(url.expose_secret())?;
        store::prepare(&mut conn)?;
        let now = Instant::now();
        let mut line = Self {
            conn,
            mark: Mark::new(),
            polled: now,
            looked: now,
        };
        line.look(feed)?;
        Ok(line)
    }

    /// Works a little: waits for a poke or a word, does what there is to do.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn turn(&mut self, feed: &Feed) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < TURN {
            let is_poked = feed.await_poke(LISTEN_EVERY);
            if is_poked || self.polled.elapsed() >= POLL_EVERY {
                self.polled = Instant::now();
                self.sequence(feed, is_poked)?;
            }
            let (head, mut is_told) = (feed.head(), false);
            for word in self.conn.notifications_iter() {
                let number = word?.payload.parse().unwrap_or(i64::MAX);
                is_told |= number > head.number;
            }
            if self.looked.elapsed() >= LOOK_EVERY {
                self.looked = Instant::now();
                self.look(feed)?;
            } else if is_told {
                self.follow(feed)?;
            }
        }
        Ok(())
    }

    /// Gives positions until nothing waits, and follows what got them.
    fn sequence(&mut self, feed: &Feed, is_poked: bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut waits = is_poked || store::is_waiting(&mut self.conn, self.mark.passed())?;
        while waits {
            self.mark.advance(&mut self.conn)?;
            match store::sequence(&mut self.conn, self.mark.passed())? {
                store::Sequenced::Some => {
                    self.follow(feed)?;
                    std::thread::sleep(GATHER);
                }
                store::Sequenced::Nothing => break,
                // They look again when they have committed; but they may have looked just before what waits here came.
                store::Sequenced::Busy => std::thread::sleep(ASIDE),
            }
            if begun.elapsed() >= TURN {
                feed.poke();
                break;
            }
            waits = feed.await_poke(Duration::ZERO)
                || store::is_waiting(&mut self.conn, self.mark.passed())?;
        }
        Ok(())
    }

    /// Finds out whether the feed is another one by now, and follows it.
    fn look(&mut self, feed: &Feed) -> anyhow::Result<()> {
        let state = store::state(&mut self.conn)?;
        if !state.reaches(&feed.head()) {
            feed.begin(&state.head);
        }
        self.mark.check(&mut self.conn)?;
        feed.count_waiting(store::depth(&mut self.conn, self.mark.passed())?);
        self.follow(feed)
    }

    /// Reads what has come since.
    fn follow(&mut self, feed: &Feed) -> anyhow::Result<()> {
        loop {
            let head = feed.head();
            let changes = store::read(&mut self.conn, head.number, i64::MAX)?;
            if changes.is_empty() {
                return Ok(());
            }
            feed.absorb(&head.epoch, changes);
        }
    }
}
