//! The feed of changes: what became of records, in one order that every reader sees.
//!
//! Writers leave a change in the outbox, in the statement that writes the record. A sequencer, one of all replicas at a time,
//! gives committed changes dense positions in the feed. Each replica follows the feed once, into memory, and readers read there,
//! or in the table what is older.

mod change;
mod follow;
mod keep_store;
mod mark;
mod position;
mod read;
mod ring;
pub mod routes;
mod store;
mod view;

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

pub use change::{Change, Image};
pub use follow::Line;
pub use keep_store::keep;
pub use position::Position;
pub use read::{Ask, Kind, Reading, TOO_HEAVY, Told, read};
pub use store::{State, depth, renew_epoch, state};

use ring::Ring;

/// This replica's end of the feed; cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    is_poked: Mutex<bool>,
    poked: Condvar,
    ring: Mutex<Ring>,
    heads: watch::Sender<Position>,
    /// Changes without a position, when they were last counted.
    waiting: AtomicUsize,
}

impl Default for Feed {
    /// One that follows nothing yet.
    fn default() -> Self {
        let nowhere = Position {
            epoch: "".into(),
            number: 0,
        };
        Self(Arc::new(Inner {
            is_poked: Mutex::default(),
            poked: Condvar::new(),
            ring: Mutex::new(Ring::new(nowhere.clone())),
            heads: watch::Sender::new(nowhere),
            waiting: AtomicUsize::default(),
        }))
    }
}

impl Feed {
    /// Says that this replica has committed something, so that it gets its position at once.
    pub fn poke(&self) {
        *lock(&self.0.is_poked) = true;
        self.0.poked.notify_one();
    }

    /// Waits, on this thread, until somebody says so, or a while; tells which.
    fn await_poke(&self, most: Duration) -> bool {
        let guard = lock(&self.0.is_poked);
        let waited = self
            .0
            .poked
            .wait_timeout_while(guard, most, |is_poked| !*is_poked);
        let (mut is_poked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *is_poked)
    }

    /// How far this replica follows; changes when it hears of more.
    pub fn heads(&self) -> watch::Receiver<Position> {
        self.0.heads.subscribe()
    }

    /// How far this replica follows just now.
    pub fn head(&self) -> Position {
        self.0.heads.borrow().clone()
    }

    /// The changes after a place as far as they are in memory, at most so many; `None` where the table has to be read.
    pub fn since(&self, place: &Position, most: usize) -> Option<Vec<Arc<Change>>> {
        lock(&self.0.ring).since(place, most)
    }

    /// Takes changes of an epoch that come next.
    fn absorb(&self, epoch: &str, changes: Vec<Change>) {
        let mut ring = lock(&self.0.ring);
        if *ring.head().epoch == *epoch {
            changes.into_iter().for_each(|change| ring.push(change));
        }
        self.tell(ring.head());
    }

    /// Goes on from a place, and forgets everything else.
    fn begin(&self, at: &Position) {
        let mut ring = lock(&self.0.ring);
        *ring = Ring::new(at.clone());
        self.tell(at.clone());
    }

    fn tell(&self, head: Position) {
        self.0.heads.send_if_modified(|known| {
            let is_news = *known != head;
            *known = head;
            is_news
        });
    }

    /// Changes that had no position yet when they were last counted, for the metrics.
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    fn count_waiting(&self, waiting: i64) {
        let waiting = usize::try_from(waiting).unwrap_or_default();
        self.0.waiting.store(waiting, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
