//! Channels: what clients and servers tell each other beside records, under the rules of declared namespaces.
//!
//! What is published gets one order from the database, several publications at a time; each replica follows it on a line of its own, and
//! tells its sockets. What is kept nowhere may go over NATS instead. What a namespace keeps can be read and resumed from; of what it does not keep nothing is missed only by
//! those who are connected. Who is there is written down by the replica that they are connected with, for as long as it lives.

mod broker;
mod entry;
mod line;
mod name;
mod namespace;
mod past;
mod post;
mod presence_store;
mod put_right;
pub mod routes;
mod store;
mod tend_store;
mod word;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use diesel::PgConnection;
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

pub use entry::{Entry, Kind, Who};
pub use line::{Line, News, Place, Pulse};
pub use name::ChannelName;
pub use namespace::{Action, Namespace, Namespaces};
pub use past::{Asked, Kept, Past, Since};
pub use presence_store::Present;
pub use store::Posted;

use broker::Broker;
use post::{Attendant, Office, Post, Presence};

use crate::{
    collections::Asker,
    config::RealtimeConfig,
    db::{self, Db, Desk},
    error::{ApiError, Code},
};

/// Those that leave together.
const TOGETHER: usize = 500;

/// How long a replica may not have said that it lives, and still judge others by that.
const LIVE_PATIENCE: Duration = Duration::from_secs(10);

/// So old is what may be trimmed, and some more.
const YOUNG: Duration = Duration::from_secs(store::SHORT + 15);

/// The channels, as this replica knows them; cheap to clone.
#[derive(Clone)]
pub struct Channels(Arc<Inner>);

struct Inner {
    namespaces: Namespaces,
    db: Db,
    office: Office,
    posts: Desk<Post>,
    /// Who is there with this replica, by their subscriptions.
    attendants: Mutex<HashMap<i64, Attendant>>,
    /// Who has gone, and was not written down yet.
    gone: Mutex<Vec<Attendant>>,
    going: Notify,
    /// What was published of late on channels that keep so many publications, and when last.
    kept: Mutex<HashMap<ChannelName, (u32, Instant)>>,
    /// When this replica has last said that it lives.
    lived: Mutex<Option<Instant>>,
}

impl Channels {
    /// Those that are declared.
    ///
    /// # Errors
    /// Where a rule is none, and why.
    pub fn new(config: &RealtimeConfig, db: Db) -> anyhow::Result<Self> {
        let replica = Uuid::now_v7();
        let office = Office {
            broker: Broker::new(config, replica)?,
            pulse: Pulse::default(),
            replica,
        };
        Ok(Self(Arc::new(Inner {
            namespaces: Namespaces::new(&config.namespace)?,
            posts: Desk::new(db.clone(), office.clone()),
            db,
            office,
            attendants: Mutex::default(),
            gone: Mutex::default(),
            going: Notify::new(),
            kept: Mutex::default(),
            lived: Mutex::default(),
        })))
    }

    /// The namespace of a channel that somebody may do something with: by its rules, or as whoever manages all of them.
    ///
    /// # Errors
    /// 404 where there is no such namespace, 403.
    pub fn permit(
        &self,
        action: Action,
        channel: &ChannelName,
        asker: &Asker,
        manages: bool,
        data: Option<&Value>,
    ) -> Result<&Namespace, ApiError> {
        let namespace = self.0.namespaces.of(channel);
        let namespace = namespace.ok_or_else(ApiError::not_found)?;
        if manages || namespace.allows(action, asker, channel, data) {
            Ok(namespace)
        } else {
            Err(Code::RuleForbids.into())
        }
    }

    /// How far this replica has heard.
    pub fn pulse(&self) -> &Pulse {
        &self.0.office.pulse
    }

    /// Publishes JSON; its place, once it is written down, or none where it is told over NATS.
    ///
    /// # Errors
    /// Those of `Desk::send`.
    pub async fn publish(
        &self,
        channel: &ChannelName,
        namespace: &Namespace,
        data: String,
        who: Option<&Who>,
    ) -> Result<Posted, ApiError> {
        let post = Post::publication(channel, namespace, data, who);
        let is_told = |draft| self.0.office.tell(draft);
        // What a request has to begin with, like using up its proof, may refuse it.
        if !db::is_bound() && post.draft().is_some_and(is_told) {
            return Ok(Posted::default());
        }
        let posted = self.0.posts.send(post).await?;
        self.will_trim(channel, namespace);
        Ok(posted)
    }

    /// The same in a transaction of the caller's.
    ///
    /// # Errors
    /// Postgres.
    pub fn publish_within(
        &self,
        conn: &mut PgConnection,
        channel: &ChannelName,
        namespace: &Namespace,
        data: String,
    ) -> Result<Posted, ApiError> {
        let post = Post::publication(channel, namespace, data, None);
        let places = post::write(conn, &self.0.office, &[&post])?;
        self.will_trim(channel, namespace);
        Ok(places.into_iter().next().unwrap_or_default())
    }

    fn will_trim(&self, channel: &ChannelName, namespace: &Namespace) {
        if namespace.is_kept() {
            let published = (namespace.size, Instant::now());
            lock(&self.0.kept).insert(channel.clone(), published);
        }
    }

    /// Lets somebody be seen on a channel, as one of the replica's subscriptions.
    ///
    /// # Errors
    /// Those of `Desk::send`; then they are not seen.
    pub async fn come(
        &self,
        channel: &ChannelName,
        namespace: &Namespace,
        who: &Who,
        ticket: i64,
    ) -> Result<(), ApiError> {
        let attendant = Attendant {
            channel: channel.clone(),
            client: who.client,
            ticket,
            info: who.told(),
            is_told: namespace.has_joins,
        };
        lock(&self.0.attendants).insert(ticket, attendant.clone());
        let post = Post::presence(Presence::Comes(attendant));
        let come = self.0.posts.send(post).await;
        if come.is_err() {
            // It may have been written down all the same.
            self.go(ticket);
        }
        come.map(|_place| ())
    }

    /// Lets somebody be seen no more, soon.
    pub fn go(&self, ticket: i64) {
        if let Some(attendant) = lock(&self.0.attendants).remove(&ticket) {
            lock(&self.0.gone).push(attendant);
            self.0.going.notify_one();
        }
    }

    /// Waits until somebody goes.
    pub async fn goings(&self) {
        self.0.going.notified().await;
    }

    /// Writes down who has gone.
    ///
    /// # Errors
    /// Those of `Db::run`; it is to be tried again.
    pub async fn write_goings(&self) -> Result<(), ApiError> {
        loop {
            let gone = {
                let mut gone = lock(&self.0.gone);
                let most = gone.len().min(TOGETHER);
                Arc::new(gone.drain(..most).collect::<Vec<_>>())
            };
            if gone.is_empty() {
                return Ok(());
            }
            let (office, going) = (self.0.office.clone(), Arc::clone(&gone));
            let written = self.0.db.run(move |conn| {
                let goes = |one: &Attendant| Post::presence(Presence::Goes(one.clone()));
                let posts: Vec<_> = going.iter().map(goes).collect();
                post::write(conn, &office, &posts.iter().collect::<Vec<_>>())
            });
            if let Err(error) = written.await {
                lock(&self.0.gone).extend(gone.iter().cloned());
                return Err(error);
            }
        }
    }

    /// Reads who is on a channel, at most so many of them.
    ///
    /// # Errors
    /// Those of `Db::run_again`.
    pub async fn presence(&self, channel: &ChannelName, most: i64) -> Result<Present, ApiError> {
        let channel = channel.clone();
        let read = move |conn: &mut _| Ok(presence_store::list(conn, &channel, most)?);
        self.0.db.run_again(read).await
    }

    /// Reads what a channel has kept; `None` where not all of it is there.
    ///
    /// # Errors
    /// Those of `Db::run_again`.
    pub async fn history(
        &self,
        channel: &ChannelName,
        namespace: &Namespace,
        asked: Asked,
    ) -> Result<Option<Past>, ApiError> {
        let (channel, size) = (channel.clone(), namespace.size);
        let read = move |conn: &mut _| Ok(store::history(conn, &channel, size, &asked)?);
        self.0.db.run_again(read).await
    }

    /// Reads all that was kept after one place and until another; `None` where something of it is missing, or it is too much.
    ///
    /// # Errors
    /// Those of `Db::run_again`.
    pub async fn missed(
        &self,
        channel: &ChannelName,
        since: Since,
        until: i64,
    ) -> Result<Option<Vec<Kept>>, ApiError> {
        let channel = channel.clone();
        let read = move |conn: &mut _| Ok(store::missed(conn, &channel, &since, until)?);
        self.0.db.run_again(read).await
    }

    /// Says that this replica lives, puts right what is written down of it, and forgets who was with those that don't.
    ///
    /// # Errors
    /// Those of `Db::run`.
    pub async fn live(&self) -> Result<(), ApiError> {
        let inner = Arc::clone(&self.0);
        let live = move |conn: &mut PgConnection| {
            let asked = Instant::now();
            let living = presence_store::live(conn, inner.office.replica)?;
            inner.office.broker.note_living(living, asked);
            inner.put_right(conn)?;
            // After a while without a database others have had no chance to say so either.
            let is_sure = |lived: Instant| lived.elapsed() < LIVE_PATIENCE;
            if lock(&inner.lived).is_some_and(is_sure) {
                post::move_some(conn, &inner.office, &[], presence_store::forget_dead)?;
            }
            Ok(())
        };
        self.0.db.run(live).await?;
        *lock(&self.0.lived) = Some(Instant::now());
        self.0.office.pulse.poke();
        Ok(())
    }

    /// Says that this replica lives no more, and nobody is there with it.
    ///
    /// # Errors
    /// Those of `Db::run`.
    pub async fn say_farewell(&self) -> Result<(), ApiError> {
        let written = self.write_goings().await;
        self.0.office.broker.flush().await;
        written?;
        let replica = self.0.office.replica;
        let die = move |conn: &mut _| Ok(presence_store::die(conn, replica)?);
        self.0.db.run(die).await
    }

    /// Whether what is kept nowhere goes over NATS just now.
    pub fn goes_over_nats(&self) -> bool {
        self.0.office.broker.reaches_all()
    }

    /// Hears what comes over NATS, where it is configured, and sends what goes over it, until the runtime stops.
    pub async fn follow_broker(&self, hear: impl Fn(News<'_>)) {
        self.0.office.broker.follow(self.pulse(), hear).await;
    }

    /// Drops what is kept no longer; of several replicas each may do it.
    ///
    /// # Errors
    /// Those of `Db::run`.
    pub async fn tend(&self) -> Result<(), ApiError> {
        let begun = Instant::now();
        let kept = lock(&self.0.kept).clone();
        let sizes: Vec<_> = kept
            .into_iter()
            .map(|(name, (size, _))| (name, size))
            .collect();
        let trim = move |conn: &mut _| Ok(tend_store::trim(conn, &sizes)?);
        let drop = |conn: &mut _| Ok(tend_store::drop_expired(conn)?);
        let forget = |conn: &mut _| Ok(tend_store::forget_floors(conn)?);
        let trimmed = self.0.db.run(trim).await;
        if matches!(trimmed, Ok(true)) {
            // What was young then is trimmed another time.
            let is_young = |published: &Instant| begun.duration_since(*published) < YOUNG;
            lock(&self.0.kept).retain(|_name, (_, published)| is_young(published));
        }
        let dropped = self.0.db.run(drop).await;
        let trimmed = trimmed.map(|_is_whole| ());
        self.0.db.run(forget).await.and(dropped).and(trimmed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
