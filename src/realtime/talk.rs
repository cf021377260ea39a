//! What one client asks, and what it is answered.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    attend::{Attendance, Attendee},
    following::Following,
    hub::Seat,
    outbox::Outbox,
    protocol::{
        self, Answer, Close, Command, Connect, End, Introduction, PING, Refresh, Refusal,
        Subscribe, Subscribed,
    },
    subscribe::Subscription,
};
use crate::{
    app::AppState,
    channels::Who,
    collections::Asker,
    scope::{ChannelsManage, ChannelsRead, Demand, Either, Named, RecordsRead},
    tokens::{Refusal as TokenRefusal, Verified},
};

/// Channels that one socket may be subscribed to.
const MOST_CHANNELS: usize = 128;

/// The conversation with one client.
pub(super) struct Talk {
    pub(super) app: Arc<AppState>,
    outbox: Outbox,
    client: Uuid,
    /// The token, of the handshake or since.
    verified: Option<Arc<Verified>>,
    is_connected: bool,
    seat: Option<Seat>,
    subscriptions: HashMap<String, Following>,
}

/// Lines to send.
type Lines = Vec<String>;

impl Talk {
    /// One with a client that may have presented a token already.
    pub fn new(app: Arc<AppState>, outbox: Outbox, presented: Option<Arc<Verified>>) -> Self {
        Self {
            app,
            outbox,
            client: Uuid::now_v7(),
            verified: presented,
            is_connected: false,
            seat: None,
            subscriptions: HashMap::new(),
        }
    }

    /// Whether the client has introduced itself.
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// When the token runs out.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        let verified = self.verified.as_ref()?;
        DateTime::from_timestamp(verified.claims.exp, 0)
    }

    /// Checks that the token has not died; that it has run out has a grace of its own.
    ///
    /// # Errors
    /// It was revoked: with its session, or so that there may be a newer one.
    pub fn check(&self) -> Result<(), Close> {
        let Some(verified) = &self.verified else {
            return Ok(());
        };
        match self.app.tokens.check_alive(verified) {
            Err(TokenRefusal::Revoked) if self.app.tokens.is_over(verified) => Err(Close::REVOKED),
            Err(TokenRefusal::Revoked) => Err(Close::EXPIRED),
            // What can't be told now is told in a moment.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Answers a command.
    ///
    /// # Errors
    /// Why there is nothing more to say.
    pub async fn hear(&mut self, command: Command) -> Result<Lines, Close> {
        let id = command.id;
        if command.send.is_some() && id == 0 {
            // A message that asks for no answer, which nobody hears.
            return Ok(Lines::new());
        }
        if id == 0 || command.connect.is_none() && !self.is_connected {
            return Err(Close::BAD_REQUEST);
        }
        if let Some(connect) = command.connect {
            return self.connect(id, &connect);
        }
        if let Some(unsubscribe) = command.unsubscribe {
            self.subscriptions.remove(&unsubscribe.channel);
            return Ok(vec![self.say(id, "unsubscribe", &json!({}))?]);
        }
        if let Some(refresh) = command.refresh {
            return self.refresh(id, &refresh);
        }
        let (name, answer) = self.ask(command).await?;
        // It took a while.
        self.check()?;
        Ok(vec![match answer {
            Ok(answer) => protocol::reply(id, name, &answer),
            Err(refusal) => protocol::refusal(id, refusal),
        }])
    }

    /// Answers what may be refused.
    async fn ask(&mut self, command: Command) -> Result<(&'static str, Answer), Close> {
        Ok(if let Some(subscribe) = command.subscribe {
            let subscribed = self.subscribe(subscribe).await;
            (
                "subscribe",
                subscribed.and_then(|(_, subscribed)| protocol::answer(&subscribed)),
            )
        } else if let Some(publish) = command.publish {
            ("publish", self.publish(publish).await)
        } else if let Some(presence) = command.presence {
            ("presence", self.presence(presence).await)
        } else if let Some(presence_stats) = command.presence_stats {
            ("presence_stats", self.presence_stats(presence_stats).await)
        } else if let Some(history) = command.history {
            ("history", self.history(history).await)
        } else if [command.rpc, command.sub_refresh, command.send]
            .iter()
            .any(Option::is_some)
        {
            ("", Err(Refusal::NOT_AVAILABLE))
        } else {
            return Err(Close::BAD_REQUEST);
        })
    }

    /// What always succeeds.
    fn say(&self, id: u32, name: &str, result: &impl Serialize) -> Result<String, Close> {
        let answer = protocol::answer(result);
        let answer = answer.map_err(|_unwritable| Close::BAD_REQUEST)?;
        Ok(protocol::reply(id, name, &answer))
    }

    /// Ends a subscription of ours; tells the client, unless it has ended it first.
    pub fn end(&mut self, ticket: u64, end: End) -> Option<String> {
        let channel = self.channel_of(ticket)?;
        self.subscriptions.remove(&channel);
        Some(protocol::ended(&channel, end))
    }

    /// Whether a subscription is one still.
    pub fn has(&self, ticket: u64) -> bool {
        let mut tickets = self.subscriptions.values().map(Following::ticket);
        tickets.any(|one| one == ticket)
    }

    fn channel_of(&self, ticket: u64) -> Option<String> {
        let mut all = self.subscriptions.iter();
        let found = all.find(|(_, following)| following.ticket() == ticket);
        found.map(|(channel, _)| channel.clone())
    }

    fn connect(&mut self, id: u32, connect: &Connect) -> Result<Lines, Close> {
        if self.is_connected {
            return Err(Close::BAD_REQUEST);
        }
        if !connect.token.is_empty() {
            match self.verify(&connect.token)? {
                Ok(verified) => self.verified = Some(verified),
                Err(refusal) => return Ok(vec![protocol::refusal(id, refusal)]),
            }
        }
        self.begin()?;
        let introduction = Introduction {
            ping: Some(PING),
            pong: true,
            ..self.introduction()
        };
        Ok(vec![self.say(id, "connect", &introduction)?])
    }

    /// Begins for whoever holds the token.
    ///
    /// # Errors
    /// The token has died, or its user has too many connections.
    pub(super) fn begin(&mut self) -> Result<(), Close> {
        // The one of the handshake may have died since.
        self.check()?;
        let user = self.verified.as_ref();
        if let Some(user) = user.and_then(|verified| verified.claims.sub.user()) {
            let seat = self.app.hub.seat(user);
            self.seat = Some(seat.ok_or(Close::CONNECTION_LIMIT)?);
        }
        self.is_connected = true;
        Ok(())
    }

    fn refresh(&mut self, id: u32, refresh: &Refresh) -> Result<Lines, Close> {
        let Some(before) = &self.verified else {
            return Err(Close::BAD_REQUEST);
        };
        let verified = match self.verify(&refresh.token)? {
            Ok(verified) => verified,
            Err(refusal) => return Ok(vec![protocol::refusal(id, refusal)]),
        };
        if verified.claims.sub.id() != before.claims.sub.id() {
            return Err(Close::INVALID_TOKEN);
        }
        self.verified = Some(verified);
        let mut lines = vec![self.say(id, "refresh", &self.introduction())?];
        let (asker, attendee) = (self.asker().ok(), self.attendee::<ChannelsRead>().ok());
        let changed: Vec<_> = self
            .subscriptions
            .values()
            .filter(|following| !following.fits(asker.as_ref(), attendee.as_ref()))
            .map(Following::ticket)
            .collect();
        lines.extend(
            changed
                .into_iter()
                .filter_map(|ticket| self.end(ticket, End::ANEW)),
        );
        Ok(lines)
    }

    /// Subscribes; the number that what is told is marked with, and what it begins with.
    pub(super) async fn subscribe(
        &mut self,
        command: Subscribe,
    ) -> Result<(u64, Subscribed), Refusal> {
        let channel = command.channel.clone();
        if self.subscriptions.contains_key(&channel) {
            return Err(Refusal::ALREADY_SUBSCRIBED);
        }
        if self.subscriptions.len() >= MOST_CHANNELS {
            return Err(Refusal::LIMIT_EXCEEDED);
        }
        let (hub, outbox) = (&self.app.hub, &self.outbox);
        let (following, subscribed) = if channel.starts_with(protocol::OF_RECORDS) {
            let begun = Subscription::begin(hub, outbox, self.asker()?, command);
            let (subscription, subscribed) = begun.await?;
            (Following::Records(subscription), subscribed)
        } else {
            let attendee = self.attendee::<ChannelsRead>()?;
            let channels = &self.app.channels;
            let begun = Attendance::begin(hub, channels, outbox, attendee, command);
            let (attendance, subscribed) = begun.await?;
            (Following::Channel(attendance), subscribed)
        };
        let ticket = following.ticket();
        self.subscriptions.insert(channel, following);
        Ok((ticket, subscribed))
    }

    /// Verifies a token; one that is worth no second try ends the conversation.
    fn verify(&self, token: &str) -> Result<Result<Arc<Verified>, Refusal>, Close> {
        match self.app.tokens.verify_access(token, self.app.tokens.now()) {
            // Nobody has shown that they hold its key.
            Ok(verified) if verified.claims.cnf.is_some() => Err(Close::INVALID_TOKEN),
            Ok(verified) => Ok(Ok(verified)),
            // There may be a newer one.
            Err(TokenRefusal::Expired | TokenRefusal::Revoked) => Ok(Err(Refusal::TOKEN_EXPIRED)),
            Err(TokenRefusal::Undecided) => Ok(Err(Refusal::INTERNAL)),
            Err(_) => Err(Close::INVALID_TOKEN),
        }
    }

    /// Who asks for records, as rules see it.
    fn asker(&self) -> Result<Asker, Refusal> {
        self.with_scope(RecordsRead::NAMES)
    }

    /// Who asks for something of channels.
    pub(super) fn attendee<S: Named>(&self) -> Result<Attendee, Refusal> {
        let asker = self.with_scope(Either::<S, ChannelsManage>::NAMES)?;
        let user = asker.auth.get("sub").and_then(Value::as_str);
        let who = Who {
            user: user.unwrap_or_default().to_owned(),
            client: self.client,
        };
        let authority = self.verified.as_ref().map(|verified| &verified.authority);
        Ok(Attendee {
            manages: authority.is_some_and(|authority| authority.may(ChannelsManage::NAME)),
            asker,
            who,
        })
    }

    /// Who asks, where a token has one of these scopes, or there is none.
    fn with_scope(&self, names: &[&str]) -> Result<Asker, Refusal> {
        let now = self.app.tokens.now();
        let Some(verified) = &self.verified else {
            return Ok(Asker {
                auth: Arc::new(json!({})),
                is_administrator: false,
                now,
            });
        };
        let authority = &verified.authority;
        if !names.iter().any(|name| authority.may(name)) {
            return Err(Refusal::PERMISSION_DENIED);
        }
        Ok(Asker {
            auth: verified.told(),
            is_administrator: authority.is_administrator(),
            now,
        })
    }

    fn introduction(&self) -> Introduction {
        let now = self.app.tokens.now();
        let ttl = self
            .expires_at()
            .map(|expires_at| expires_at.signed_duration_since(now).num_seconds().max(1));
        Introduction {
            client: self.client,
            version: concat!("tollgate ", env!("CARGO_PKG_VERSION")),
            expires: ttl.is_some(),
            ttl,
            ping: None,
            pong: false,
        }
    }
}
