//! What the sockets of this replica have in common: the topics that they follow, and how many there are of each user.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
};

use tokio::runtime::{Builder, Handle};
use uuid::Uuid;

use super::{
    outbox::{Depth, Outbox},
    protocol::End,
    stream::Streams,
    topic::{Sources, Topic},
};
use crate::{channels::News, collections::Catalog, db::Db, feed::Feed, operations::Counts};

/// Sockets that one user may have with each replica.
const MOST_OF_USER: usize = 100;

/// The topics and the sockets of this replica; cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    sources: Sources,
    /// Where topics are followed: applying rules for many must not keep requests waiting.
    home: Mutex<Option<Handle>>,
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    streams: Streams,
    users: Mutex<HashMap<Uuid, usize>>,
    sockets: AtomicUsize,
    waiting: Depth,
    tickets: AtomicU64,
}

/// An open socket, for as long as it lasts.
pub(super) struct Open(Hub);

/// A topic that is followed, for as long as it is.
struct Followed {
    hub: Hub,
    key: String,
    topic: Arc<Topic>,
}

/// One of a user's sockets, for as long as it lasts.
pub(super) struct Seat(Hub, Uuid);

impl Hub {
    /// Where nobody is connected yet.
    pub fn new(db: Db, catalog: Catalog, feed: Feed) -> Self {
        Self(Arc::new(Inner {
            sources: Sources::new(db, catalog, feed),
            home: Mutex::default(),
            topics: Mutex::default(),
            streams: Streams::default(),
            users: Mutex::default(),
            sockets: AtomicUsize::default(),
            waiting: Depth::default(),
            tickets: AtomicU64::default(),
        }))
    }

    /// What there is of everything.
    pub fn counts(&self) -> Counts {
        let topics: Vec<_> = lock(&self.0.topics).values().cloned().collect();
        let subscriptions: usize = topics.iter().map(|topic| topic.size()).sum();
        let (members, streams) = self.0.streams.counts();
        Counts {
            sockets: self.0.sockets.load(Ordering::Relaxed),
            subscriptions: subscriptions + members,
            topics: topics.len() + streams,
            waiting: self.0.waiting.load(Ordering::Relaxed),
        }
    }

    /// A queue of messages for a new socket.
    pub(super) fn outbox(&self) -> Outbox {
        Outbox::new(&self.0.waiting)
    }

    /// Hears what is told on channels.
    pub fn hear(&self, news: News<'_>) {
        self.0.streams.hear(news);
    }

    /// The channels beside those of records.
    pub(super) fn streams(&self) -> &Streams {
        &self.0.streams
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
        let (hub, sources) = (self.clone(), self.0.sources.clone());
        let followed = Followed {
            key: key.to_owned(),
            topic: Arc::clone(&topic),
            hub,
        };
        home.spawn(async move { followed.topic.follow(&sources).await });
        Ok(topic)
    }

    /// The runtime that topics are followed on, which lives as long as the process.
    fn home(&self) -> io::Result<Handle> {
        let mut home = lock(&self.0.home);
        if let Some(home) = home.as_ref() {
            return Ok(home.clone());
        }
        let (give, given) = mpsc::channel();
        let live = move || match Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => {
                // Whoever asked waits for it.
                let _given = give.send(Ok(runtime.handle().clone()));
                runtime.block_on(std::future::pending::<()>());
            }
            Err(error) => {
                let _given = give.send(Err(error));
            }
        };
        std::thread::Builder::new()
            .name("realtime".to_owned())
            .spawn(live)?;
        let made = given.recv().map_err(io::Error::other)??;
        *home = Some(made.clone());
        Ok(made)
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

impl Drop for Followed {
    /// However it came to that, nobody waits for more.
    fn drop(&mut self) {
        self.topic.end(End::ANEW);
        self.hub.forget(&self.key, &self.topic);
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
