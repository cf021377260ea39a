//! What waits for one socket: bounded, so that whoever reads slowly costs nobody else anything.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytestring::ByteString;
use tokio::sync::Notify;

use super::protocol::End;

/// Bytes that may wait for long; most of them are shared with other sockets.
const MANY_BYTES: usize = 1_048_576;

/// Messages that may.
const MANY: usize = 1_024;

/// How long more may wait, for those who do read: so many times as much.
const SOON: Duration = Duration::from_secs(2);
const TIMES: usize = 4;

/// Something for one of a socket's subscriptions.
#[derive(Debug)]
pub(super) enum Item {
    /// A message, which has a place where somebody can come back to it.
    Push {
        ticket: u64,
        place: Option<i64>,
        text: ByteString,
    },
    /// It has ended.
    Ended(u64, End),
}

/// How many messages wait for the sockets of this replica.
pub(super) type Depth = Arc<AtomicUsize>;

/// The queue of one socket; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Outbox(Arc<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
    overflowed: Notify,
    depth: Depth,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
    /// When the oldest of them came.
    since: Option<Instant>,
    is_over: bool,
}

impl Outbox {
    /// One that is counted with others.
    pub fn new(depth: &Depth) -> Self {
        let mut queue = Queue::default();
        queue.depth = Arc::clone(depth);
        Self(Arc::new(queue))
    }

    /// Adds something; a queue that is full loses everything, and its socket is closed for that.
    pub fn push(&self, item: Item) {
        let mut waiting = self.lock();
        if waiting.is_over {
            return;
        }
        let now = Instant::now();
        let since = *waiting.since.get_or_insert(now);
        waiting.bytes += item.bytes();
        waiting.items.push_back(item);
        self.0.depth.fetch_add(1, Ordering::Relaxed);
        let times = if now.duration_since(since) < SOON {
            TIMES
        } else {
            1
        };
        let is_one = waiting.items.len() == 1;
        if !is_one && (waiting.items.len() > MANY * times || waiting.bytes > MANY_BYTES * times) {
            self.0
                .depth
                .fetch_sub(waiting.items.len(), Ordering::Relaxed);
            *waiting = Waiting {
                is_over: true,
                ..Waiting::default()
            };
            drop(waiting);
            self.0.overflowed.notify_one();
            self.0.news.notify_one();
            return;
        }
        drop(waiting);
        self.0.news.notify_one();
    }

    /// Takes what waits, and tells for how long the first of it has; `None` when it has overflowed.
    pub fn take(&self) -> Option<(VecDeque<Item>, Option<Duration>)> {
        let mut waiting = self.lock();
        if waiting.is_over {
            return None;
        }
        waiting.bytes = 0;
        let since = waiting.since.take();
        let items = std::mem::take(&mut waiting.items);
        self.0.depth.fetch_sub(items.len(), Ordering::Relaxed);
        Some((items, since.map(|since| since.elapsed())))
    }

    /// Says that there is something, also where it was taken already.
    pub fn wake(&self) {
        self.0.news.notify_one();
    }

    /// Waits for something.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    /// Waits until it has overflowed.
    pub async fn overflowed(&self) {
        self.0.overflowed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let waiting = self
            .waiting
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        self.depth.fetch_sub(waiting.items.len(), Ordering::Relaxed);
    }
}

impl Item {
    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Push { text, .. } => text.len(),
            Self::Ended(..) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_full_is_over_and_holds_nothing() {
        let outbox = Outbox::default();
        let text = ByteString::from("x".repeat(TIMES * MANY_BYTES + 1));
        outbox.push(Item::Push {
            ticket: 1,
            place: None,
            text,
        });
        assert_eq!(
            outbox.take().unwrap().0.len(),
            1,
            "one message may have any size"
        );
        for _ in 0..TIMES * MANY {
            outbox.push(Item::Ended(1, End::ANEW));
        }
        assert_eq!(
            outbox.lock().items.len(),
            TIMES * MANY,
            "for a while more may wait"
        );
        outbox.push(Item::Ended(1, End::ANEW));
        assert!(outbox.lock().is_over);
        outbox.push(Item::Ended(1, End::ANEW));
        assert!(outbox.take().is_none());
        assert_eq!(outbox.0.depth.load(Ordering::Relaxed), 0);
        let depth = Depth::default();
        let counted = Outbox::new(&depth);
        counted.push(Item::Ended(1, End::ANEW));
        assert_eq!(depth.load(Ordering::Relaxed), 1);
        drop(counted);
        assert_eq!(depth.load(Ordering::Relaxed), 0, "who goes is not counted");
        let late = Outbox::default();
        late.push(Item::Ended(1, End::ANEW));
        late.lock().since = Instant::now().checked_sub(SOON);
        for _ in 1..MANY {
            late.push(Item::Ended(1, End::ANEW));
        }
        assert!(!late.lock().is_over);
        late.push(Item::Ended(1, End::ANEW));
        assert!(late.lock().is_over, "who reads nothing has less");
    }
}
