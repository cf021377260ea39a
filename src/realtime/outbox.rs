//! What waits for one socket: bounded, so that whoever reads slowly costs nobody else anything.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytestring::ByteString;
use tokio::sync::Notify;

/// Bytes that may wait, beyond one message.
const MOST_BYTES: usize = 1_048_576;

/// Messages that may wait.
const MOST: usize = 1_024;

/// Something for one of a socket's subscriptions.
#[derive(Debug)]
pub(super) enum Item {
    /// A message.
    Push(u64, ByteString),
    /// It has ended, and may be made anew.
    Ended(u64),
}

/// The queue of one socket; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Outbox(Arc<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
    overflowed: Notify,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
    is_over: bool,
}

impl Outbox {
    /// Adds something; a queue that is full loses everything, and its socket is closed for that.
    pub fn push(&self, item: Item) {
        let mut waiting = self.lock();
        if waiting.is_over {
            return;
        }
        let bytes = item.bytes();
        let is_full = waiting.items.len() >= MOST
            || waiting.bytes + bytes > MOST_BYTES && !waiting.items.is_empty();
        if is_full {
            *waiting = Waiting {
                is_over: true,
                ..Waiting::default()
            };
            drop(waiting);
            self.0.overflowed.notify_one();
            return;
        }
        waiting.bytes += bytes;
        waiting.items.push_back(item);
        drop(waiting);
        self.0.news.notify_one();
    }

    /// Takes what waits.
    pub fn take(&self) -> VecDeque<Item> {
        let mut waiting = self.lock();
        waiting.bytes = 0;
        std::mem::take(&mut waiting.items)
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

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Push(_, text) => text.len(),
            Self::Ended(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_full_is_over_and_holds_nothing() {
        let outbox = Outbox::default();
        let text = ByteString::from("x".repeat(2 * MOST_BYTES));
        outbox.push(Item::Push(1, text.clone()));
        assert_eq!(outbox.take().len(), 1, "one message may have any size");
        for _ in 0..MOST {
            outbox.push(Item::Ended(1));
        }
        assert_eq!(outbox.lock().items.len(), MOST);
        outbox.push(Item::Ended(1));
        assert!(outbox.lock().is_over);
        outbox.push(Item::Ended(1));
        assert!(outbox.take().is_empty());
    }
}
