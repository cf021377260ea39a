//! A replica's line to what is told on channels.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use diesel::{PgConnection, connection::SimpleConnection};
use secrecy::{ExposeSecret, SecretString};

use super::{Entry, store};
use crate::db;

/// How long one turn lasts; stopping waits for it.
const TURN: Duration = Duration::from_millis(200);

/// How often the database is asked for words that came.
const LISTEN_EVERY: Duration = Duration::from_millis(10);

/// How often is looked though nobody told, because a word may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far this replica has heard.
#[derive(Clone, Debug)]
pub struct Place {
    /// The order that is followed; empty before it is.
    pub epoch: Arc<str>,
    /// The last place in it.
    pub number: i64,
}

/// What comes over the line.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// What was told, in its order.
    Told(&'a [Entry]),
    /// Something may have been missed.
    Gap,
}

/// How far the line is, for everybody; cheap to clone.
#[derive(Clone)]
pub struct Pulse(Arc<Inner>);

struct Inner {
    is_poked: Mutex<bool>,
    poked: Condvar,
    place: Mutex<Place>,
    /// Held by whoever tells.
    order: Mutex<()>,
}

impl Default for Pulse {
    fn default() -> Self {
        let nowhere = Place {
            epoch: "".into(),
            number: 0,
        };
        Self(Arc::new(Inner {
            is_poked: Mutex::default(),
            poked: Condvar::new(),
            place: Mutex::new(nowhere),
            order: Mutex::default(),
        }))
    }
}

impl Pulse {
    /// Says that this replica has told something.
    pub fn poke(&self) {
        *lock(&self.0.is_poked) = true;
        self.0.poked.notify_one();
    }

    /// How far this replica has heard: what comes after is told to whoever is there by now.
    pub fn place(&self) -> Place {
        lock(&self.0.place).clone()
    }

    fn await_poke(&self, most: Duration) -> bool {
        let guard = lock(&self.0.is_poked);
        let waited = self
            .0
            .poked
            .wait_timeout_while(guard, most, |is_poked| !*is_poked);
        let (mut is_poked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *is_poked)
    }

    /// Goes on from the end of what there is.
    pub(super) fn begin(&self, head: &store::Head, hear: &dyn Fn(News<'_>)) {
        let _order = lock(&self.0.order);
        *lock(&self.0.place) = Place {
            epoch: head.epoch.as_str().into(),
            number: head.position,
        };
        hear(News::Gap);
    }

    /// Tells what is new: another line, that hangs, may have told some of it.
    fn advance(&self, after: &Place, told: &[Entry], hear: &dyn Fn(News<'_>)) {
        let _order = lock(&self.0.order);
        let mut place = lock(&self.0.place);
        if place.epoch != after.epoch {
            return;
        }
        let old = told.partition_point(|entry| entry.position <= place.number);
        let new = told.get(old..).unwrap_or_default();
        // Every place is somebody's: where one is missing, it was dropped before it was read.
        let is_whole = (place.number + 1..)
            .zip(new)
            .all(|(number, entry)| number == entry.position);
        place.number = told
            .last()
            .map_or(place.number, |last| last.position.max(place.number));
        // Before it is told: whoever comes in between hears it.
        drop(place);
        if !is_whole {
            hear(News::Gap);
        } else if !new.is_empty() {
            hear(News::Told(new));
        }
    }
}

/// The connection that a replica hears on; the pool may be exhausted and this still goes on.
pub struct Line {
    conn: PgConnection,
    looked: Instant,
}

impl Line {
    /// Connects, and goes on where the replica was, or from the end.
    ///
    /// # Errors
    /// Postgres can't be reached.
    pub fn open(
        url: &SecretString,
        pulse: &Pulse,
        hear: &dyn Fn(News<'_>),
    ) -> anyhow::Result<Self> {
        let mut conn = db::connect(url.expose_secret())?;
        conn.batch_execute(&format!(
            "set statement_timeout = '2s'; set timezone = 'UTC'; set jit = off; listen {}",
            store::WORD
        ))?;
        let mut line = Self {
            conn,
            looked: Instant::now(),
        };
        line.look(pulse, hear)?;
        Ok(line)
    }

    /// Works a little: waits for a poke or a word, tells what there is to tell.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn turn(&mut self, pulse: &Pulse, hear: &dyn Fn(News<'_>)) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < TURN {
            let mut is_told = pulse.await_poke(LISTEN_EVERY);
            let number = pulse.place().number;
            for word in self.conn.notifications_iter() {
                is_told |= word?.payload.parse().unwrap_or(i64::MAX) > number;
            }
            if self.looked.elapsed() >= LOOK_EVERY {
                self.looked = Instant::now();
                self.look(pulse, hear)?;
            } else if is_told {
                self.follow(pulse, hear)?;
            }
        }
        Ok(())
    }

    /// Finds out whether what is told can be gone on with.
    fn look(&mut self, pulse: &Pulse, hear: &dyn Fn(News<'_>)) -> anyhow::Result<()> {
        let head = store::head(&mut self.conn)?;
        let place = pulse.place();
        // A replica that was away for long, or a database that has lost something, begins anew.
        let goes_on = *place.epoch == *head.epoch
            // What was dropped was heard here before.
            && (head.dropped..=head.position).contains(&place.number);
        if !goes_on {
            pulse.begin(&head, hear);
        }
        self.follow(pulse, hear)
    }

    /// Reads and tells what has come since.
    fn follow(&mut self, pulse: &Pulse, hear: &dyn Fn(News<'_>)) -> anyhow::Result<()> {
        loop {
            let place = pulse.place();
            let told = store::read(&mut self.conn, place.number)?;
            pulse.advance(&place, &told, hear);
            if told.is_empty() {
                return Ok(());
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
