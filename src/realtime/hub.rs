//! What the sockets of this replica have in common: the topics that they follow, and how many there are of each user.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use uuid::Uuid;

use super::topic::{Sources, Topic};
use crate::{collections::Catalog, db::Db, feed::Feed};

/// Sockets that one user may have with each replica.
const MOST_OF_USER: usize = 100;

/// The topics and the sockets of this replica; cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    sources: Sources,
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    users: Mutex<HashMap<Uuid, usize>>,
    sockets: AtomicUsize,
    tickets: AtomicU64,
}

/// An open socket, for as long as it lasts.
pub(super) struct Open(Hub);

/// One of a user's sockets, for as long as it lasts.
pub(super) struct Seat(Hub, Uuid);

impl Hub {
    /// Where nobody is connected yet.
    pub fn new(db: Db, catalog: Catalog, feed: Feed) -> Self {
        Self(Arc::new(Inner {
            sources: Sources { db, catalog, feed },
            topics: Mutex::default(),
            users: Mutex::default(),
            sockets: AtomicUsize::default(),
            tickets: AtomicU64::default(),
        }))
    }

    /// The open sockets, their subscriptions together, and the topics that these share.
    pub fn counts(&self) -> (usize, usize, usize) {
        let topics = lock(&self.0.topics);
        let subscriptions = topics.values().map(|topic| topic.size()).sum();
        let sockets = self.0.sockets.load(Ordering::Relaxed);
        (sockets, subscriptions, topics.len())
    }

    /// Counts an open socket.
    pub(super) fn open(&self) -> Open {
        self.0.sockets.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Where changes come from.
    pub(super) fn sources(&self) -> &Sources {
        &self.0.sources
    }

    /// A number that no subscription had before.
    pub(super) fn ticket(&self) -> u64 {
        self.0.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a socket of a user; `None` where they have too many.
    pub(super) fn seat(&self, user: Uuid) -> Option<Seat> {
        let mut users = lock(&self.0.users);
        let count = users.entry(user).or_default();
        if *count >= MOST_OF_USER {
            return None;
        }
        *count += 1;
        Some(Seat(self.clone(), user))
    }

    /// The topic of this name; `begin` makes it where there is none.
    pub(super) fn topic(&self, key: &str, begin: impl FnOnce() -> Topic) -> Arc<Topic> {
        let mut topics = lock(&self.0.topics);
        if let Some(topic) = topics.get(key) {
            return Arc::clone(topic);
        }
        let topic = Arc::new(begin());
        topics.insert(key.to_owned(), Arc::clone(&topic));
        let (hub, key, followed) = (self.clone(), key.to_owned(), Arc::clone(&topic));
        self.0.sources.db.spawn(async move {
            followed.follow(&hub.0.sources).await;
            hub.forget(&key, &followed);
        });
        topic
    }

    /// Forgets a topic that is over.
    pub(super) fn forget(&self, key: &str, topic: &Arc<Topic>) {
        let mut topics = lock(&self.0.topics);
        if topics
            .get(key)
            .is_some_and(|known| Arc::ptr_eq(known, topic))
        {
            topics.remove(key);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut users = lock(&self.0.0.users);
        if let Some(count) = users.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.1);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
