//! Server-sent events: what sockets are told, for those who can't have one.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    hub::Open,
    outbox::{Item, Outbox},
    protocol::{self, Refusal, Subscribe, Subscribed},
    talk::Talk,
};
use crate::{app::AppState, db};

/// How often something is sent, so that nobody takes the line for dead.
const PING_EVERY: Duration = Duration::from_secs(25);

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
    ticket: u64,
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
        let (mut channels, mut begun) = (Vec::new(), Vec::new());
        for (command, place) in wanted {
            // Each goes to the database once.
            db::wait_elsewhere();
            let name = command.channel.clone();
            let command = match place {
                Some((epoch, offset)) => Subscribe {
                    recover: true,
                    epoch,
                    offset,
                    ..command
                },
                None => command,
            };
            let (ticket, subscribed) = talk.subscribe(command).await?;
            channels.push(Channel {
                ticket,
                place: beginning(&subscribed),
            });
            begun.push((name, subscribed));
        }
        let mut events = Self {
            _open: app.hub.open(),
            app,
            outbox,
            talk,
            revocations,
            channels,
            first: None,
            leaving: VecDeque::new(),
            ping_at: Instant::now() + PING_EVERY,
            is_over: false,
        };
        events.first = Some(events.tell_beginning(begun));
        Ok(events)
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

    /// What each channel begins with, and what was missed on it.
    fn tell_beginning(&mut self, begun: Vec<(String, Subscribed)>) -> String {
        // So that a client comes back soon, and not all at once with others.
        let mut text = "retry: 2000\n\n".to_owned();
        for (name, subscribed) in begun {
            let id = self.id();
            text += &event(&id, &protocol::begun(&name, &subscribed));
            for publication in &subscribed.publications {
                text += &event(&id, &protocol::missed(&name, publication));
            }
        }
        text
    }

    /// What waits, as events.
    fn tell(&mut self) -> String {
        if self.leaving.is_empty() {
            let (items, waited) = self.outbox.take();
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
                    text += &event(&self.id(), protocol::inner(&push));
                }
                Item::Ended(ticket, end) => {
                    if let Some(ended) = self.talk.end(ticket, end) {
                        // They come back, and subscribe anew.
                        text += &event(&self.id(), protocol::inner(&ended));
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
        let channel = channels.find(|channel| channel.ticket == ticket);
        if let (
            Some(Channel {
                place: Some(known), ..
            }),
            Some(place),
        ) = (channel, place)
        {
            known.1 = place;
        }
    }

    /// Where the client is on each channel, in the order in which it named them.
    fn id(&self) -> String {
        let place = |channel: &Channel| match &channel.place {
            Some((epoch, offset)) => format!("{epoch}/{offset}"),
            None => "-".to_owned(),
        };
        self.channels
            .iter()
            .map(place)
            .collect::<Vec<_>>()
            .join(",")
    }
}

fn beginning(subscribed: &Subscribed) -> Place {
    let place = || (subscribed.epoch.clone(), subscribed.offset);
    subscribed.recoverable.then(place)
}

/// One event; JSON has no line breaks of its own.
fn event(id: &str, data: &str) -> String {
    format!("id: {id}\ndata: {data}\n\n")
}
