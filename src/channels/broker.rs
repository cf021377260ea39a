//! NATS, where it is configured: what is kept nowhere is told over it in place of the database.
//!
//! Only while every replica hears it: what can't go over NATS goes over the database, which each of them follows in any case.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, ServerAddr, connection::State};
use bytes::Bytes;
use futures_util::StreamExt as _;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc};

use super::{Entry, Kind, News, Pulse, entry::Draft};
use crate::config::RealtimeConfig;

/// Messages that wait to be sent; more go over the database.
const WAITING: usize = 4_096;

/// A connection that stays silent for three of these is given up for a new one.
const PING_EVERY: Duration = Duration::from_secs(2);

/// Bytes of what surrounds a message's payload.
const FRAME: usize = 1_024;

/// The way over NATS, if there is one; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Broker(Option<Arc<Wire>>);

struct Wire {
    servers: Vec<ServerAddr>,
    subject: String,
    client: OnceLock<Client>,
    /// Whether every replica hears it.
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
            client: OnceLock::new(),
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
        let Some((wire, client)) = self.0.as_ref().and_then(|wire| Some((wire, wire.open()?)))
        else {
            return false;
        };
        let Some(word) = Word::of(pulse, draft) else {
            return false;
        };
        word.len() + FRAME <= client.max_payload() && wire.words.try_send(word).is_ok()
    }

    /// Connects, sends what waits and tells what comes, until the runtime stops.
    ///
    /// # Errors
    /// The configuration admits no connection.
    pub async fn follow(&self, pulse: &Pulse, hear: impl Fn(News<'_>)) -> anyhow::Result<()> {
        let Some(wire) = &self.0 else {
            return Ok(());
        };
        let waiting = wire.waiting.lock();
        let Some(mut words) = waiting.unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let client = wire
            .authenticated(ConnectOptions::new())
            .name("tollgate")
            .ping_interval(PING_EVERY)
            .retry_on_initial_connect()
            .event_callback({
                let wire = Arc::clone(wire);
                move |event| {
                    let wire = Arc::clone(&wire);
                    async move { wire.note(&event) }
                }
            })
            .connect(&wire.servers[..])
            .await?;
        let mut heard = client.subscribe(wire.subject.clone()).await?;
        // From now on it is used.
        let _first = wire.client.set(client.clone());
        loop {
            tokio::select! {
                Some(message) = heard.next() => {
                    if let Some(entry) = Word::read(pulse, &message.payload) {
                        hear(News::Told(&[entry]));
                    }
                }
                Some(word) = words.recv() => client.publish(wire.subject.clone(), word).await?,
                else => anyhow::bail!("NATS is closed"),
            }
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

    /// The connection, where there is one.
    fn client(&self) -> Option<&Client> {
        let client = self.client.get()?;
        (client.connection_state() == State::Connected).then_some(client)
    }

    /// The connection, where everybody hears what is told over it.
    fn open(&self) -> Option<&Client> {
        self.client()
            .filter(|_client| self.is_heard.load(Ordering::Relaxed))
    }

    fn note(&self, event: &Event) {
        match event {
            Event::Connected => tracing::info!("NATS is there"),
            Event::Disconnected | Event::Closed => {
                tracing::warn!("NATS is lost; everything is told over the database");
                // Others may have lost it, too, and not be back as soon.
                self.is_heard.store(false, Ordering::Relaxed);
            }
            event => tracing::warn!(%event, "NATS"),
        }
        self.turned.notify_one();
    }
}

impl Word {
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
