//! One socket: what comes and goes over it, and when it ends.

use std::{collections::VecDeque, future::ready, sync::Arc, time::Duration};

use bytestring::ByteString;
use tokio::time::{Instant, sleep_until};

use super::{
    beat::Beat,
    frames::Message,
    outbox::{Item, Outbox},
    protocol::{self, Close, Command},
    talk::Talk,
    wire::Wire,
};
use crate::{
    app::AppState,
    operations::Metrics,
    strict_json::{self, Fault},
    tokens::Verified,
};

/// How long a client has to introduce itself.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// How long a socket goes on after its token has run out: for a new one.
const GRACE: Duration = Duration::from_secs(25);

/// What may come within a while: libraries subscribe to all of their channels at once.
const MOST_MESSAGES: u32 = 500;
const PACE: Duration = Duration::from_secs(5);

/// So near to when something is due an alarm need not be moved.
const NEAR: Duration = Duration::from_millis(50);

/// Bytes that are sent as one message, where a single one is not larger.
const BATCH: usize = 16_384;

/// A socket and its conversation.
pub(super) struct Socket {
    wire: Wire,
    metrics: Arc<Metrics>,
    outbox: Outbox,
    talk: Talk,
    begun: Instant,
    beat: Beat,
    /// Commands that were not answered yet.
    pending: VecDeque<String>,
    /// What is to be told, and was not yet.
    leaving: VecDeque<Item>,
    /// Since when what comes is counted, and how much there was.
    pace: (Instant, u32),
}

impl Socket {
    /// Serves a client until one of the two ends it.
    pub async fn serve(app: Arc<AppState>, wire: Wire, presented: Option<Arc<Verified>>) {
        let outbox = app.hub.outbox();
        let now = Instant::now();
        let mut socket = Self {
            wire,
            metrics: Arc::clone(&app.metrics),
            talk: Talk::new(Arc::clone(&app), outbox.clone(), presented),
            outbox,
            begun: now,
            beat: Beat::after(now),
            pending: VecDeque::new(),
            leaving: VecDeque::new(),
            pace: (now, 0),
        };
        let open = app.hub.open();
        let close = socket.run(&app).await;
        drop(open);
        app.metrics.closed(close.code);
        tracing::debug!(code = close.code, reason = close.reason, "a socket ends");
        let Self {
            wire,
            talk,
            outbox,
            pending,
            leaving,
            ..
        } = socket;
        // Nothing else waits for who goes.
        drop((talk, outbox, pending, leaving));
        wire.end(close).await;
    }

    async fn run(&mut self, app: &AppState) -> Close {
        let mut revocations = app.tokens.revocations().news();
        if let Err(close) = self.talk.check() {
            return close;
        }
        let mut stopped = std::pin::pin!(app.life.stopped());
        let mut alarm = std::pin::pin!(sleep_until(self.deadline(app)));
        loop {
            let due = self.deadline(app);
            if due + NEAR < alarm.deadline() || alarm.deadline() + NEAR < due {
                alarm.as_mut().reset(due);
            }
            // Nothing more is said to who has not taken what was.
            let is_waiting = self.wire.is_waiting();
            let may_hear = self.pending.is_empty() && !self.wire.is_crowded();
            let (mut reader, mut writer) = self.wire.halves();
            // A turn takes one command and one message at most, so that what ends the socket is seen in between.
            let done = tokio::select! {
                biased;
                () = &mut stopped => Err(Close::GOING_AWAY),
                _news = revocations.changed() => self.talk.check(),
                // Who takes nothing while more comes is slow.
                () = self.outbox.overflowed(), if is_waiting => Err(Close::SLOW),
                sent = writer.flush(), if is_waiting => sent,
                // Apart, since few need what an answer may take.
                () = ready(()), if !is_waiting && !self.pending.is_empty() => Box::pin(self.answer(app)).await,
                message = reader.next(), if may_hear => self.hear(message),
                () = &mut alarm => {
                    alarm.as_mut().reset(Instant::now() + NEAR);
                    self.act(app)
                }
                () = ready(()), if !is_waiting && !self.leaving.is_empty() => self.tell(),
                () = self.outbox.news(), if !is_waiting => self.tell(),
            };
            if let Err(close) = done {
                return close;
            }
        }
    }

    /// When something is due next.
    fn deadline(&self, app: &AppState) -> Instant {
        let beat = self.beat.due();
        if !self.talk.is_connected() {
            return beat.min(self.begun + CONNECT_PATIENCE);
        }
        let expiry = self.expiry(app).map(|left| Instant::now() + left);
        expiry.map_or(beat, |expiry| beat.min(expiry))
    }

    /// How long the token and its grace last.
    fn expiry(&self, app: &AppState) -> Option<Duration> {
        let left = self.talk.expires_at()? - app.tokens.now();
        // What is over is over by so much.
        let left = left + chrono::Duration::from_std(GRACE).ok()?;
        Some(left.to_std().unwrap_or_default())
    }

    /// Does what is due.
    fn act(&mut self, app: &AppState) -> Result<(), Close> {
        let now = Instant::now();
        if !self.talk.is_connected() && now >= self.begun + CONNECT_PATIENCE {
            return Err(Close::STALE);
        }
        if self.talk.is_connected() && self.expiry(app) == Some(Duration::ZERO) {
            return Err(Close::EXPIRED);
        }
        // Behind what waits it would be answered late.
        let is_held = self.wire.is_waiting() && matches!(self.beat, Beat::PingAt(_));
        if !is_held && self.beat.pings(now)? {
            self.wire.text("{}".into())?;
        }
        Ok(())
    }

    /// Hears a message: commands, one to a line.
    fn hear(&mut self, message: Option<Result<Message, Close>>) -> Result<(), Close> {
        let text = match message {
            None => return Err(Close::NORMAL),
            Some(Err(close)) => return Err(close),
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => return Err(Close::NO_JSON),
            Some(Ok(Message::Ping(bytes))) => {
                self.count()?;
                return self.wire.pong(bytes);
            }
            Some(Ok(Message::Pong)) => return self.count(),
            Some(Ok(Message::Close)) => return Err(Close::NORMAL),
        };
        self.count()?;
        for line in text.split('\n').map(str::trim) {
            if line == "{}" {
                self.beat = Beat::after(Instant::now());
            } else if !line.is_empty() {
                self.count()?;
                self.pending.push_back(line.to_owned());
            }
        }
        Ok(())
    }

    /// Answers a command.
    async fn answer(&mut self, app: &AppState) -> Result<(), Close> {
        if self.expiry(app) == Some(Duration::ZERO) {
            return Err(Close::EXPIRED);
        }
        let Some(line) = self.pending.pop_front() else {
            return Ok(());
        };
        // As strictly as over HTTP: what is published goes to others as it is.
        if matches!(strict_json::check(line.as_bytes()), Err(Fault::Refused(..))) {
            let refusal = protocol::refusal_of(&line).ok_or(Close::BAD_REQUEST)?;
            return self.wire.text(refusal.into());
        }
        let command: Command = serde_json::from_str(&line).map_err(|_bad| Close::BAD_REQUEST)?;
        for answer in self.talk.hear(command).await? {
            self.wire.text(answer.into())?;
        }
        // Nobody who asks much is kept from the rest; but their pong may wait behind what they asked.
        if matches!(self.beat, Beat::PingAt(_)) {
            self.act(app)?;
        }
        if self.wire.is_waiting() {
            return Ok(());
        }
        self.tell()
    }

    /// Counts what comes.
    fn count(&mut self) -> Result<(), Close> {
        let (begun, count) = &mut self.pace;
        if begun.elapsed() >= PACE {
            (*begun, *count) = (Instant::now(), 0);
        }
        *count += 1;
        if *count > MOST_MESSAGES {
            return Err(Close::TOO_MANY_REQUESTS);
        }
        Ok(())
    }

    /// Tells some of what waits, several lines to a message.
    fn tell(&mut self) -> Result<(), Close> {
        if self.leaving.is_empty() {
            let (items, waited) = self.outbox.take().ok_or(Close::SLOW)?;
            self.leaving = items;
            waited
                .into_iter()
                .for_each(|waited| self.metrics.delivered(waited));
        }
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while let Some(item) = self.leaving.pop_front() {
            let line = match item {
                Item::Push { ticket, text, .. } => Some(text).filter(|_line| self.talk.has(ticket)),
                Item::Ended(ticket, end) => self.talk.end(ticket, end).map(ByteString::from),
            };
            // The client may have unsubscribed meanwhile.
            let Some(line) = line else { continue };
            bytes += line.len();
            lines.push(line);
            let next = self.leaving.front().map_or(BATCH, Item::bytes);
            if bytes + next >= BATCH {
                break;
            }
        }
        match <[ByteString; 1]>::try_from(lines) {
            // Shared with everyone who is told the same.
            Ok([line]) => self.wire.text(line),
            Err(lines) if lines.is_empty() => Ok(()),
            Err(lines) => self.wire.text(lines.join("\n").into()),
        }
    }
}
