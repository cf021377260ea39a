//! One stream of changes, followed once for all who are shown the same.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytestring::ByteString;
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    outbox::{Item, Outbox},
    protocol::{End, Publication},
};
use crate::{
    collections::Catalog,
    db::Db,
    error::{ApiError, Code},
    feed::{self, Ask, Feed, Reading, TOO_HEAVY},
};

/// Those who look at the same time for what they begin with.
const AT_ONCE: usize = 4;

/// How long one waits for that.
const TURN_PATIENCE: Duration = Duration::from_secs(4);

/// How long to wait for a database that does not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Where changes come from.
#[derive(Clone)]
pub(super) struct Sources {
    pub db: Db,
    pub catalog: Catalog,
    pub feed: Feed,
    /// Who may ask the database for their beginning: many come back at once, and others need it, too.
    turns: Arc<Semaphore>,
}

impl Sources {
    /// Those of this replica.
    pub fn new(db: Db, catalog: Catalog, feed: Feed) -> Self {
        Self {
            db,
            catalog,
            feed,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Waits for a turn to look at what somebody begins with: one look each, so that nobody keeps others from theirs for long. `None`
    /// where there are too many.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let turn = timeout(TURN_PATIENCE, self.turns.acquire()).await;
        turn.ok()?.ok()
    }

    /// Reads by the declarations that there are now.
    ///
    /// # Errors
    /// Those of the feed, and of the database.
    pub async fn look(&self, ask: &Ask, before: Option<Reading>) -> Result<Reading, ApiError> {
        let (catalog, feed, ask) = (self.catalog.clone(), self.feed.clone(), ask.clone());
        self.db
            .run_again(move |conn| feed::read(conn, &catalog, &feed, &ask, before.clone()))
            .await
    }
}

/// A stream, and who is subscribed to it.
pub(super) struct Topic {
    channel: String,
    ask: Ask,
    generation: Option<i64>,
    /// Where it begins, until it is followed.
    beginning: Mutex<Option<Reading>>,
    state: Mutex<State>,
    emptied: Notify,
}

struct State {
    /// What came until there was told.
    place: i64,
    members: HashMap<u64, Member>,
    is_over: bool,
}

struct Member {
    /// What comes after this place is for them.
    from: i64,
    outbox: Outbox,
}

/// What became of somebody who wants to be a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// They are one.
    Done,
    /// The stream is further than they are.
    Behind,
    /// It has ended.
    Over,
}

impl Topic {
    /// A stream that goes on where somebody has read to.
    pub fn new(channel: &str, ask: &Ask, mut reading: Reading) -> Self {
        reading.take_told();
        Self {
            channel: channel.to_owned(),
            ask: Ask {
                since: None,
                ..ask.clone()
            },
            generation: generation(&reading),
            state: Mutex::new(State {
                place: reading.place.number,
                members: HashMap::new(),
                is_over: false,
            }),
            beginning: Mutex::new(Some(reading)),
            emptied: Notify::new(),
        }
    }

    /// Lets somebody in who has read to a place, unless what they miss was told already.
    pub fn join(&self, ticket: u64, from: i64, outbox: &Outbox) -> Joined {
        let mut state = self.lock();
        if state.is_over {
            return Joined::Over;
        }
        if state.place > from {
            return Joined::Behind;
        }
        let outbox = outbox.clone();
        state.members.insert(ticket, Member { from, outbox });
        Joined::Done
    }

    /// How many are subscribed.
    pub fn size(&self) -> usize {
        self.lock().members.len()
    }

    /// Lets somebody go; tells whether nobody is left, and it is over.
    pub fn leave(&self, ticket: u64) -> bool {
        let mut state = self.lock();
        state.members.remove(&ticket);
        state.is_over |= state.members.is_empty();
        if state.is_over {
            self.emptied.notify_one();
        }
        state.is_over
    }

    /// Tells members what comes until there are none, or the stream is another one by now.
    pub async fn follow(&self, sources: &Sources) {
        let Some(mut reading) = lock(&self.beginning).take() else {
            return;
        };
        let mut heads = sources.feed.heads();
        loop {
            // Before the look, so that nothing comes unseen in between.
            heads.mark_unchanged();
            match self.step(sources, &mut reading).await {
                Step::Done => {}
                Step::More => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Step::Over => return,
            }
            tokio::select! {
                _changed = heads.changed() => {}
                () = self.emptied.notified() => {}
            }
        }
    }

    /// Reads and tells what came; rules are applied without the lock, for which sockets wait.
    async fn step(&self, sources: &Sources, reading: &mut Reading) -> Step {
        if self.lock().is_over {
            return Step::Over;
        }
        let is_at_end = reading.go_on(&sources.feed).is_some();
        self.tell(reading);
        if is_at_end {
            return Step::after(reading);
        }
        match sources.look(&self.ask, Some(reading.clone())).await {
            Ok(more) if generation(&more) == self.generation => {
                *reading = more;
                self.tell(reading);
                Step::after(reading)
            }
            // Other rules, another feed, or a place that can't be read from any more.
            Ok(_) => self.end(End::ANEW),
            Err(error) if error.errors.iter().any(|fault| fault.code == TOO_HEAVY) => {
                self.end(End::HEAVY)
            }
            Err(error)
                if matches!(
                    error.code,
                    Code::PositionExpired | Code::NotFound | Code::InvalidQuery
                ) =>
            {
                self.end(End::ANEW)
            }
            Err(error) => {
                tracing::warn!(%error, channel = self.channel, "a stream waits for the database");
                tokio::time::sleep(AGAIN_AFTER).await;
                Step::More
            }
        }
    }

    /// Tells the members what was read.
    fn tell(&self, reading: &mut Reading) {
        let told = reading.take_told();
        let text = |told| {
            let publication = Publication::of(reading, told)?;
            publication.push(&self.channel).map(ByteString::from)
        };
        let texts: Vec<_> = told.iter().map(text).collect();
        let mut state = self.lock();
        for (told, text) in told.iter().zip(texts) {
            let text = match text {
                Ok(text) => text,
                Err(error) => {
                    tracing::error!(cause = ?error.cause, "a change can't be told");
                    continue;
                }
            };
            for (ticket, member) in &state.members {
                if told.change.position > member.from {
                    member.outbox.push(Item::Push {
                        ticket: *ticket,
                        place: Some(told.change.position),
                        text: text.clone(),
                    });
                }
            }
        }
        state.place = reading.place.number;
    }

    /// Lets everybody go.
    pub fn end(&self, end: End) -> Step {
        let mut state = self.lock();
        state.is_over = true;
        for (ticket, member) in state.members.drain() {
            member.outbox.push(Item::Ended(ticket, end));
        }
        Step::Over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is to be done next.
pub(super) enum Step {
    /// To wait for news.
    Done,
    /// To go on at once.
    More,
    /// Nothing.
    Over,
}

impl Step {
    fn after(reading: &Reading) -> Self {
        if reading.has_more {
            Self::More
        } else {
            Self::Done
        }
    }
}

fn generation(reading: &Reading) -> Option<i64> {
    reading.collection().map(|collection| collection.generation)
}
