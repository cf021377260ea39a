//! NATS, where it is configured: what is kept nowhere is told over it in place of the database.
//!
//! Only while every replica hears it: what can't go over NATS goes over the database, which each of them follows in any case.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber, connection::State};
use bytes::Bytes;
use futures_util::StreamExt as _;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::{Entry, Kind, News, Pulse, entry::Draft};
use crate::config::RealtimeConfig;

/// Messages that wait to be sent; more go over the database.
const WAITING: usize = 1_024;

/// A connection that stays silent for three of these is given up for a new one.
const PING_EVERY: Duration = Duration::from_secs(2);

/// How long something that is published may take to come back.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait before another try to connect.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Bytes of what surrounds a message's payload.
const FRAME: usize = 1_024;

/// The way over NATS, if there is one; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Broker(Option<Arc<Wire>>);

struct Wire {
    servers: Vec<ServerAddr>,
    subject: String,
    /// While this replica hears what comes.
    client: Mutex<Option<Client>>,
    /// Whether every replica does.
    is_heard: AtomicBool,
    /// When it was lost, or is back.
    turned: Notify,
    words: mpsc::Sender<Bytes>,
    /// What waits to be sent, until somebody sends it.
    waiting: Mutex<Option<mpsc::Receiver<Bytes>>>,
}

/// What goes over it.
#[derive(Serialize, Deserialize)]
struct Word {
    /// Of the database whose channels are meant: of those that share a NATS each hears its own.
    epoch: String,
    channel: String,
    kind: i32,
    data: Option<Box<RawValue>>,
    info: Option<Box<RawValue>>,
}

impl Broker {
    /// What is configured.
    ///
    /// # Errors
    /// An address is none.
    pub fn new(config: &RealtimeConfig) -> anyhow::Result<Self> {
        let servers = config.nats_servers()?;
        if servers.is_empty() {
            return Ok(Self::default());
        }
        let (words, waiting) = mpsc::channel(WAITING);
        Ok(Self(Some(Arc::new(Wire {
            servers,
            subject: config.nats_subject.clone(),
            client: Mutex::default(),
            is_heard: AtomicBool::default(),
            turned: Notify::new(),
            words,
            waiting: Mutex::new(Some(waiting)),
        }))))
    }

    /// Whether this replica hears what comes over it.
    pub fn hears(&self) -> bool {
        self.0.as_ref().is_some_and(|wire| wire.client().is_some())
    }

    /// Notes whether every replica does.
    pub fn note_heard(&self, is_heard: bool) {
        if let Some(wire) = &self.0 {
            wire.is_heard.store(is_heard, Ordering::Relaxed);
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
            let word = Word::of(pulse, draft)?;
            let is_short = word.len() + FRAME <= client.max_payload();
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
        let mut is_lost = false;
        loop {
            let error = match wire.connect().await {
                Ok((client, heard)) => {
                    tracing::info!("NATS is there");
                    is_lost = false;
                    // What was to be told over the last connection is old.
                    while words.try_recv().is_ok() {}
                    wire.turn(Some(client.clone()));
                    let lost = wire.serve(&client, heard, &mut words, |sent| {
                        if let Some(entry) = Word::read(pulse, sent) {
                            hear(News::Told(&[entry]));
                        }
                    });
                    let lost = lost.await;
                    wire.turn(None);
                    lost
                }
                Err(error) => error,
            };
            if !is_lost {
                let error = format!("{error:#}");
                tracing::warn!(error, "NATS is lost; everything is told over the database");
            }
            is_lost = true;
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// Waits until it is lost, or back.
    pub async fn turns(&self) {
        match &self.0 {
            Some(wire) => wire.turned.notified().await,
            None => std::future::pending().await,
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
        let is_heard = self.is_heard.load(Ordering::Relaxed);
        is_heard.then(|| self.client())?
    }

    /// Notes another connection, or that there is none, for the others to know.
    fn turn(&self, client: Option<Client>) {
        *lock(&self.client) = client;
        // Others may have lost it, too, and not be back as soon.
        self.is_heard.store(false, Ordering::Relaxed);
        self.turned.notify_one();
    }

    /// Connects, and makes sure that what is told over it is heard.
    async fn connect(self: &Arc<Self>) -> anyhow::Result<(Client, Subscriber)> {
        let wire = Arc::downgrade(self);
        let options = self
            .authenticated(ConnectOptions::new())
            .name("tollgate")
            .ping_interval(PING_EVERY)
            // What waits for longer than that would be told late; a new connection has nothing that waits.
            .max_reconnects(1)
            .event_callback(move |event| {
                if let Some(wire) = wire.upgrade() {
                    wire.note(&event);
                }
                std::future::ready(())
            });
        let client = options.connect(&self.servers[..]).await?;
        let mut heard = client.subscribe(self.subject.clone()).await?;
        let word = Word::probe()?;
        client.publish(self.subject.clone(), word.clone()).await?;
        let comes_back = async {
            while let Some(message) = heard.next().await {
                if message.payload == word {
                    return Ok(());
                }
            }
            anyhow::bail!("the connection was closed")
        };
        let comes_back = tokio::time::timeout(PROBE_PATIENCE, comes_back).await;
        comes_back.with_context(|| {
            let subject = &self.subject;
            format!("what is published on {subject} does not come back: may we publish and subscribe there?")
        })??;
        Ok((client, heard))
    }

    /// Sends what waits and hears what comes until the connection is lost; why it is.
    async fn serve(
        &self,
        client: &Client,
        mut heard: Subscriber,
        words: &mut mpsc::Receiver<Bytes>,
        hear: impl Fn(&[u8]),
    ) -> anyhow::Error {
        loop {
            tokio::select! {
                message = heard.next() => match message {
                    Some(message) => hear(&message.payload),
                    None => return anyhow::anyhow!("the connection was closed"),
                },
                Some(word) = words.recv() => {
                    if let Err(error) = client.publish(self.subject.clone(), word).await {
                        return error.into();
                    }
                }
            }
        }
    }

    /// With what the addresses say of who connects: a user and a password, or a token.
    fn authenticated(&self, options: ConnectOptions) -> ConnectOptions {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let named = self
            .servers
            .iter()
            .find_map(|server| Some((server.username()?, server.password())));
        match named {
            Some((user, Some(password))) => {
                options.user_and_password(decode(user), decode(password))
            }
            Some((token, None)) => options.token(decode(token)),
            None => options,
        }
    }

    fn note(&self, event: &Event) {
        match event {
            Event::Connected => self.turned.notify_one(),
            Event::Disconnected | Event::Closed => {
                self.is_heard.store(false, Ordering::Relaxed);
                self.turned.notify_one();
            }
            event => tracing::warn!(%event, "NATS"),
        }
    }
}

impl Word {
    /// One that nobody else sends and that tells nothing.
    fn probe() -> serde_json::Result<Bytes> {
        let probe = Self {
            epoch: Uuid::now_v7().to_string(),
            channel: String::new(),
            kind: Kind::Publication.number(),
            data: None,
            info: None,
        };
        serde_json::to_vec(&probe).map(Bytes::from)
    }

    /// What is to be told, as it is sent; `None` before there is a database whose it is.
    fn of(pulse: &Pulse, draft: &Draft) -> Option<Bytes> {
        let epoch = pulse.place().epoch.to_string();
        if epoch.is_empty() {
            return None;
        }
        let json = |text: &Option<String>| text.clone().map(RawValue::from_string).transpose();
        let word = Self {
            epoch,
            channel: draft.channel.to_string(),
            kind: draft.kind.number(),
            data: json(&draft.data).ok()?,
            info: json(&draft.info).ok()?,
        };
        serde_json::to_vec(&word).ok().map(Bytes::from)
    }

    /// What was told, where it is for this replica.
    fn read(pulse: &Pulse, sent: &[u8]) -> Option<Entry> {
        let word: Self = serde_json::from_slice(sent)
            .inspect_err(|error| tracing::warn!(%error, "somebody else's message on NATS"))
            .ok()?;
        if *word.epoch != *pulse.place().epoch {
            return None;
        }
        let text = |json: Option<Box<RawValue>>| json.map(|json| json.get().to_owned());
        Some(Entry {
            // It has no place among what is kept: whoever is there hears it.
            position: i64::MAX,
            channel: word.channel,
            kind: Kind::of_number(word.kind),
            is_kept: false,
            data: text(word.data),
            info: text(word.info),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::store::Head;

    fn pulse(epoch: &str) -> Pulse {
        let head = Head {
            epoch: epoch.to_owned(),
            position: 0,
            floor: 0,
            dropped: 0,
        };
        let pulse = Pulse::default();
        pulse.begin(&head, &|_news| {});
        pulse
    }

    fn draft(data: &str) -> Draft {
        Draft {
            channel: "news:a".parse().unwrap(),
            kind: Kind::Publication,
            data: Some(data.to_owned()),
            info: None,
            age: None,
        }
    }

    #[test]
    fn what_is_told_is_heard_as_it_was_by_those_of_the_same_database() {
        let data = r#"{"b":1.0000000000000000000001,"a":"\u00e9 é"}"#;
        let word = Word::of(&pulse("one"), &draft(data)).unwrap();
        let heard = Word::read(&pulse("one"), &word).unwrap();
        assert_eq!(
            (heard.channel.as_str(), heard.data.as_deref()),
            ("news:a", Some(data))
        );
        assert!(!heard.is_kept);
        assert!(Word::read(&pulse("other"), &word).is_none());
        assert!(
            Word::of(&Pulse::default(), &draft(data)).is_none(),
            "no database yet"
        );
    }

    #[test]
    fn what_others_send_is_not_heard() {
        for sent in [
            "",
            "null",
            "[]",
            "{}",
            "\u{0}",
            r#"{"epoch":"one","channel":"a:b","kind":0,"data":{]}"#,
        ] {
            assert!(
                Word::read(&pulse("one"), sent.as_bytes()).is_none(),
                "{sent:?}"
            );
        }
    }
}
