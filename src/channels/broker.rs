//! NATS, where it is configured: what is kept nowhere is told over it in place of the database.
//!
//! Only while every replica that lives shows that it hears this one: what can't go over NATS goes over the database, which each
//! of them follows in any case.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber, connection::State};
use bytes::Bytes;
use futures_util::StreamExt as _;
use percent_encoding::percent_decode_str;
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval},
};
use uuid::Uuid;

use super::{
    Entry, News, Pulse,
    entry::Draft,
    word::{Said, Word},
};
use crate::config::RealtimeConfig;

/// Messages that wait to be sent; more go over the database.
const WAITING: usize = 1_024;

/// Messages that wait in the library: what waits there is told late when a connection is lost and comes back.
const UNDER_WAY: usize = 16;

/// Messages that wait to be heard.
const UNHEARD: usize = 4_096;

/// How often a replica says whom it hears.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// For how long that is believed.
const BEAT_LIFE: Duration = Duration::from_secs(3);

/// For how long is believed which replicas live.
const LIVING_LIFE: Duration = Duration::from_secs(12);

/// A connection that stays silent for three of these is given up for a new one.
const PING_EVERY: Duration = Duration::from_secs(2);

/// How long to wait before another try to connect, and longer after a connection that was ended soon: it would be again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const LATER_AFTER: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(2);

/// The way over NATS, if there is one; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Broker(Option<Arc<Wire>>);

struct Wire {
    servers: Vec<ServerAddr>,
    subject: String,
    replica: Uuid,
    /// While there is a connection.
    client: Mutex<Option<Client>>,
    peers: Mutex<Peers>,
    words: mpsc::Sender<Bytes>,
    /// What waits to be sent, until somebody sends it.
    waiting: Mutex<Option<mpsc::Receiver<Bytes>>>,
}

/// A connection, for as long as it lasts.
struct Connection {
    client: Client,
    heard: Subscriber,
    lost: Arc<Notify>,
}

/// What this replica knows of all of them, itself among them.
#[derive(Default)]
struct Peers {
    /// Those that live, and when the database said so.
    living: Option<(Vec<Uuid>, Instant)>,
    /// When each was last heard over NATS, and whether it said that it hears this one.
    beats: HashMap<Uuid, (Instant, bool)>,
}

impl Broker {
    /// What is configured.
    ///
    /// # Errors
    /// An address is none.
    pub fn new(config: &RealtimeConfig, replica: Uuid) -> anyhow::Result<Self> {
        let servers = config.nats_servers()?;
        if servers.is_empty() {
            return Ok(Self::default());
        }
        let (words, waiting) = mpsc::channel(WAITING);
        Ok(Self(Some(Arc::new(Wire {
            servers,
            subject: config.nats_subject.clone(),
            replica,
            client: Mutex::default(),
            peers: Mutex::default(),
            words,
            waiting: Mutex::new(Some(waiting)),
        }))))
    }

    /// Notes which replicas live, as the database said when it was asked.
    pub fn note_living(&self, living: Vec<Uuid>, asked: Instant) {
        if let Some(wire) = &self.0 {
            lock(&wire.peers).note_living(living, asked);
        }
    }

    /// Whether something told over it reaches everybody.
    pub fn reaches_all(&self) -> bool {
        self.0.as_ref().is_some_and(|wire| wire.open().is_some())
    }

    /// Tells something over it; whether it could.
    pub fn tell(&self, pulse: &Pulse, draft: &Draft) -> bool {
        let told = || {
            let wire = self.0.as_ref()?;
            let client = wire.open()?;
            let word = Word::told(&pulse.place().epoch, draft)?;
            let is_short = word.len() <= client.max_payload();
            is_short.then(|| wire.words.try_send(word).ok())?
        };
        told().is_some()
    }

    /// Connects, sends what waits and tells what comes, and does so again when it is lost, until the runtime stops.
    pub async fn follow(&self, pulse: &Pulse, hear: impl Fn(News<'_>)) {
        let Some(wire) = &self.0 else {
            return;
        };
        let Some(mut words) = lock(&wire.waiting).take() else {
            return;
        };
        let mut reason = String::new();
        for server in wire.servers.iter().cycle() {
            let begun = Instant::now();
            let mut pause = AGAIN_AFTER;
            match wire.connect(server).await {
                Ok(line) => {
                    tracing::info!("NATS is there");
                    reason.clear();
                    // What was to be told over the last connection is old.
                    while words.try_recv().is_ok() {}
                    *lock(&wire.client) = Some(line.client.clone());
                    wire.serve(line, &mut words, pulse, &hear).await;
                    *lock(&wire.client) = None;
                    if begun.elapsed() < SOON {
                        pause = LATER_AFTER;
                    }
                    tracing::warn!("NATS is lost; everything is told over the database");
                }
                Err(error) if error.to_string() != reason => {
                    reason = error.to_string();
                    tracing::warn!(
                        error = reason,
                        "there is no NATS; everything is told over the database"
                    );
                }
                Err(_same) => {}
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until what was told is on its way.
    pub async fn flush(&self) {
        let Some(wire) = &self.0 else {
            return;
        };
        while wire.client().is_some() && wire.words.capacity() < wire.words.max_capacity() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if let Some(client) = wire.client()
            && let Err(error) = client.flush().await
        {
            tracing::warn!(%error, "what was told last may not have left");
        }
    }
}

impl Wire {
    /// The connection, where there is one.
    fn client(&self) -> Option<Client> {
        let client = lock(&self.client).clone()?;
        (client.connection_state() == State::Connected).then_some(client)
    }

    /// The connection, where everybody hears what is told over it.
    fn open(&self) -> Option<Client> {
        let is_heard = lock(&self.peers).all_hear(Instant::now());
        is_heard.then(|| self.client())?
    }

    /// Connects to one server, with what its address says of who connects: a user and a password, or a token.
    async fn connect(&self, server: &ServerAddr) -> anyhow::Result<Connection> {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let options = match (server.username(), server.password()) {
            (Some(user), Some(password)) => {
                ConnectOptions::with_user_and_password(decode(user), decode(password))
            }
            (Some(token), None) => ConnectOptions::with_token(decode(token)),
            (None, _) => ConnectOptions::new(),
        };
        let lost = Arc::new(Notify::new());
        let note = {
            let lost = Arc::clone(&lost);
            move |event: Event| {
                note(&event, &lost);
                std::future::ready(())
            }
        };
        let options = options
            .name("tollgate")
            .ping_interval(PING_EVERY)
            .client_capacity(UNDER_WAY)
            .subscription_capacity(UNHEARD)
            .ignore_discovered_servers()
            .event_callback(note)
            // A client is given up when its connection is: what waited is not told late.
            .max_reconnects(1);
        // Who connects was said above: addresses are logged.
        let mut bare = server.clone().into_inner();
        if bare.set_password(None).is_err() || bare.set_username("").is_err() {
            anyhow::bail!("an address without a host");
        }
        let client = options.connect(ServerAddr::from_url(bare)?).await?;
        let heard = client.subscribe(self.subject.clone()).await?;
        Ok(Connection {
            client,
            heard,
            lost,
        })
    }

    /// Sends what waits and hears what comes until the connection is lost.
    async fn serve(
        &self,
        mut line: Connection,
        words: &mut mpsc::Receiver<Bytes>,
        pulse: &Pulse,
        hear: &impl Fn(News<'_>),
    ) {
        let mut clock = interval(BEAT_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_odd = false;
        loop {
            let word = tokio::select! {
                () = line.lost.notified() => return,
                message = line.heard.next() => {
                    let Some(message) = message else {
                        return;
                    };
                    let word = Word::read(&message.payload);
                    if word.is_none() && !std::mem::replace(&mut is_odd, true) {
                        let bytes = message.payload.len();
                        tracing::warn!(bytes, "somebody else uses our subject on NATS");
                    }
                    // Of databases that share a NATS each hears its own.
                    let ours = word.filter(|word| *word.epoch == *pulse.place().epoch);
                    ours.into_iter().for_each(|word| self.hear(word, hear));
                    continue;
                },
                Some(word) = words.recv() => word,
                _tick = clock.tick() => match self.beat(pulse) {
                    Some(beat) => beat,
                    None => continue,
                },
            };
            if let Err(error) = line.client.publish(self.subject.clone(), word).await {
                tracing::warn!(%error, "something could not be told over NATS");
            }
        }
    }

    fn hear(&self, word: Word, hear: &impl Fn(News<'_>)) {
        match word.said {
            Said::Told(told) => {
                hear(News::Told(&[Entry::from(told)]));
            }
            Said::Beat { by, hears } => {
                let beat = (Instant::now(), hears.contains(&self.replica));
                lock(&self.peers).beats.insert(by, beat);
            }
        }
    }

    /// Whom this replica hears.
    fn beat(&self, pulse: &Pulse) -> Option<Bytes> {
        let hears = lock(&self.peers).heard(Instant::now());
        Word::beat(&pulse.place().epoch, self.replica, hears)
    }
}

/// Ends a connection over which something was not told, or not heard.
fn note(event: &Event, lost: &Notify) {
    match event {
        Event::Connected | Event::LameDuckMode | Event::Draining => return,
        Event::Disconnected | Event::Closed => {}
        event => tracing::warn!(%event, "NATS"),
    }
    lost.notify_one();
}

impl Peers {
    fn note_living(&mut self, living: Vec<Uuid>, asked: Instant) {
        self.living = Some((living, asked));
    }

    /// Those that were heard of late; the others are forgotten.
    fn heard(&mut self, now: Instant) -> Vec<Uuid> {
        self.beats
            .retain(|_replica, (at, _)| now.saturating_duration_since(*at) < BEAT_LIFE);
        self.beats.keys().copied().collect()
    }

    /// Whether all that live hear this one.
    fn all_hear(&self, now: Instant) -> bool {
        let is_new = |at: Instant, life| now.saturating_duration_since(at) < life;
        let hears = |replica: &Uuid| {
            let beat = self.beats.get(replica);
            beat.is_some_and(|(at, hears)| *hears && is_new(*at, BEAT_LIFE))
        };
        self.living.as_ref().is_some_and(|(living, asked)| {
            is_new(*asked, LIVING_LIFE) && !living.is_empty() && living.iter().all(hears)
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_used_while_all_that_live_have_said_of_late_that_they_hear_this_one() {
        let (now, one, other) = (Instant::now(), Uuid::now_v7(), Uuid::now_v7());
        let mut peers = Peers::default();
        assert!(!peers.all_hear(now), "nobody said who lives");
        peers.note_living(vec![one, other], now);
        peers.beats.insert(one, (now, true));
        assert!(!peers.all_hear(now), "of one nothing was heard");
        peers.beats.insert(other, (now, false));
        assert!(!peers.all_hear(now), "one does not hear this one");
        peers.beats.insert(other, (now, true));
        assert!(peers.all_hear(now));
        assert_eq!(peers.heard(now).len(), 2);
        assert!(!peers.all_hear(now + BEAT_LIFE), "that was long ago");
        assert!(peers.heard(now + BEAT_LIFE).is_empty());
        let later = now + LIVING_LIFE;
        for replica in [one, other] {
            peers.beats.insert(replica, (later, true));
        }
        assert!(!peers.all_hear(later), "who lives was said long ago");
        peers.note_living(vec![one], later);
        assert!(peers.all_hear(later));
    }
}
