//! Server-sent events: what sockets are told, for those who can't have one.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    hub::Open,
    outbox::{Item, Outbox},
    protocol::{self, Refusal, Subscribe, Subscribed},
    talk::Talk,
};
use crate::app::AppState;

/// How often something is sent, so that nobody takes the line for dead.
const PING_EVERY: Duration = Duration::from_secs(25);

/// How long beginning may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// Bytes of what was missed, after which no more is looked for.
const MOST_FIRST: usize = 4_194_304;

/// Bytes of events that are sent together.
const BATCH: usize = 65_536;

/// A stream of events of one client.
pub(super) struct Events {
    app: Arc<AppState>,
    outbox: Outbox,
    talk: Talk,
    revocations: watch::Receiver<u64>,
    channels: Vec<Channel>,
    /// What it begins with.
    first: Option<String>,
    leaving: VecDeque<Item>,
    ping_at: Instant,
    is_over: bool,
    _open: Open,
}

/// One of its channels.
struct Channel {
    /// Once it is subscribed to.
    ticket: Option<u64>,
    place: Place,
}

/// Where a client is on a channel: an epoch and an offset; `None` where it can't come back.
pub(super) type Place = Option<(String, i64)>;

impl Events {
    /// Subscribes to channels, each from where the client was.
    ///
    /// # Errors
    /// Why one can't be subscribed to.
    pub async fn begin(
        app: Arc<AppState>,
        outbox: Outbox,
        mut talk: Talk,
        wanted: Vec<(Subscribe, Place)>,
    ) -> Result<Self, Refusal> {
        let revocations = app.tokens.revocations().news();
        // Until a channel has begun, its client is where it was.
        let places = wanted.iter().map(|(_, place)| place.clone());
        let unbegun = |place| Channel {
            ticket: None,
            place,
        };
        let mut channels: Vec<_> = places.map(unbegun).collect();
        let until = Instant::now() + PATIENCE;
        let mut first = "retry: 2000\n\n".to_owned();
        for (index, (command, place)) in wanted.into_iter().enumerate() {
            let name = command.channel.clone();
            let command = match place {
                // More would wait for a client that may not even read.
                Some(_) if first.len() > MOST_FIRST => Subscribe {
                    recover: true,
                    ..command
                },
                Some((epoch, offset)) => Subscribe {
                    recover: true,
                    epoch,
                    offset,
                    ..command
                },
                None => command,
            };
            let subscribed = timeout_at(until, talk.subscribe(command)).await;
            let (ticket, subscribed) = subscribed.map_err(|_elapsed| Refusal::INTERNAL)??;
            if let Some(channel) = channels.get_mut(index) {
                channel.ticket = Some(ticket);
            }
            first += &tell_beginning(&mut channels, index, &name, &subscribed);
        }
        // It took a while.
        talk.check().map_err(|_over| Refusal::TOKEN_EXPIRED)?;
        Ok(Self {
            _open: app.hub.open(),
            app,
            outbox,
            talk,
            revocations,
            channels,
            first: Some(first),
            leaving: VecDeque::new(),
            ping_at: Instant::now() + PING_EVERY,
            is_over: false,
        })
    }

    /// What is to be sent next; `None` at the end.
    pub async fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        while !self.is_over {
            let app = Arc::clone(&self.app);
            let (outbox, end) = (self.outbox.clone(), self.end());
            tokio::select! {
                biased;
                () = app.life.stopped() => return None,
                _news = self.revocations.changed() => self.talk.check().ok()?,
                () = outbox.overflowed() => return None,
                () = sleep_until(end) => return None,
                () = outbox.news() => {}
                () = sleep_until(self.ping_at) => {
                    self.ping_at = Instant::now() + PING_EVERY;
                    return Some(":\n\n".to_owned());
                }
            }
            let text = self.tell();
            if !text.is_empty() {
                self.ping_at = Instant::now() + PING_EVERY;
                return Some(text);
            }
        }
        None
    }

    /// When the token runs out.
    fn end(&self) -> Instant {
        let left =
            |at: chrono::DateTime<_>| (at - self.app.tokens.now()).to_std().unwrap_or_default();
        // What never ends is looked at again.
        let left = self.talk.expires_at().map_or(PING_EVERY * 2, left);
        Instant::now() + left
    }

    /// What waits, as events.
    fn tell(&mut self) -> String {
        if self.leaving.is_empty() {
            let Some((items, waited)) = self.outbox.take() else {
                self.is_over = true;
                return String::new();
            };
            self.leaving = items;
            if let Some(waited) = waited {
                self.app.metrics.delivered(waited);
            }
        }
        let mut text = String::new();
        while text.len() < BATCH
            && let Some(item) = self.leaving.pop_front()
        {
            match item {
                Item::Push {
                    ticket,
                    place,
                    text: push,
                } => {
                    self.advance(ticket, place);
                    text += &event(&self.channels, protocol::inner(&push));
                }
                Item::Ended(ticket, end) => {
                    if let Some(ended) = self.talk.end(ticket, end) {
                        // They come back, and subscribe anew.
                        text += &event(&self.channels, protocol::inner(&ended));
                        self.is_over = true;
                    }
                }
            }
        }
        if !self.leaving.is_empty() {
            self.outbox.wake();
        }
        text
    }

    fn advance(&mut self, ticket: u64, place: Option<i64>) {
        let mut channels = self.channels.iter_mut();
        let channel = channels.find(|channel| channel.ticket == Some(ticket));
        if let (Some(channel), Some(place)) = (channel, place) {
            channel.advance(place);
        }
    }
}

impl Channel {
    fn advance(&mut self, to: i64) {
        if let Some((_, offset)) = &mut self.place {
            *offset = to;
        }
    }
}

/// What a channel begins with, and what was missed on it. Each event says how far a client is that has got it, and no more: the
/// line may break behind every one of them.
fn tell_beginning(
    channels: &mut [Channel],
    index: usize,
    name: &str,
    subscribed: &Subscribed,
) -> String {
    let mut text = String::new();
    let place = |channels: &mut [Channel], place: Place| {
        if let Some(channel) = channels.get_mut(index) {
            channel.place = place;
        }
    };
    let at = |offset| Some((subscribed.epoch.clone(), offset));
    let end = subscribed
        .recoverable
        .then(|| at(subscribed.offset))
        .flatten();
    let Some(last) = subscribed.publications.len().checked_sub(1) else {
        place(channels, end);
        return event(channels, &protocol::begun(name, subscribed));
    };
    // From where it was, which is a place of this epoch still.
    text += &event(channels, &protocol::begun(name, subscribed));
    for (number, publication) in subscribed.publications.iter().enumerate() {
        match protocol::offset_of(publication) {
            Some(offset) if number < last => place(channels, at(offset)),
            _ => place(channels, end.clone()),
        }
        text += &event(channels, &protocol::missed(name, publication));
    }
    text
}

/// One event, and where the client is with it on each channel, in the order in which it named them. JSON has no line breaks of its own.
fn event(channels: &[Channel], data: &str) -> String {
    let place = |channel: &Channel| match &channel.place {
        Some((epoch, offset)) => format!("{epoch}/{offset}"),
        None => "-".to_owned(),
    };
    let id: Vec<_> = channels.iter().map(place).collect();
    format!("id: {}\ndata: {data}\n\n", id.join(","))
}
