//! What the sockets of this replica have in common: the topics that they follow, and how many there are of each user.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::runtime::{Builder, Handle};
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
    /// Where topics are followed: applying rules for many must not keep requests waiting.
    home: OnceLock<Handle>,
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
            home: OnceLock::new(),
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
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn topic(&self, key: &str, begin: impl FnOnce() -> Topic) -> io::Result<Arc<Topic>> {
        let home = self.home()?;
        let mut topics = lock(&self.0.topics);
        if let Some(topic) = topics.get(key) {
            return Ok(Arc::clone(topic));
        }
        let topic = Arc::new(begin());
        topics.insert(key.to_owned(), Arc::clone(&topic));
        let (hub, key, followed) = (self.clone(), key.to_owned(), Arc::clone(&topic));
        home.spawn(async move {
            followed.follow(&hub.0.sources).await;
            hub.forget(&key, &followed);
        });
        Ok(topic)
    }

    /// The runtime that topics are followed on, which lives as long as the process.
    fn home(&self) -> io::Result<Handle> {
        if let Some(home) = self.0.home.get() {
            return Ok(home.clone());
        }
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let home = runtime.handle().clone();
        // Of two that are made at once the first is kept.
        let kept = self.0.home.get_or_init(|| home.clone()).clone();
        if kept.id() == home.id() {
            std::thread::Builder::new()
                .name("realtime".to_owned())
                .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        }
        Ok(kept)
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
