//! Subscribing: from where on, through what, and what was missed.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json, value::to_raw_value};

use super::{
    channel::Channel,
    hub::Hub,
    outbox::Outbox,
    protocol::{Publication, Query, Refusal, Subscribe, Subscribed, refused},
    topic::{Joined, Sources, Topic},
};
use crate::{
    collections::{Asker, Collection},
    error::{ApiError, Code},
    feed::{Ask, Position, Reading},
    http::hash,
    rules::Rule,
};

/// Changes that are told to somebody who comes back.
const MOST_MISSED: usize = 10_000;

/// How long is looked for what somebody has missed.
const PATIENCE: Duration = Duration::from_secs(4);

/// How often somebody tries to become a member who is behind.
const TRIES: usize = 50;

/// What a client is subscribed to.
pub(super) struct Subscription {
    pub ticket: u64,
    ask: Ask,
    collection: Arc<Collection>,
    signature: String,
    _membership: Membership,
}

/// A place among the members of a topic, for as long as it lasts.
struct Membership {
    ticket: u64,
    key: String,
    topic: Arc<Topic>,
    hub: Hub,
}

/// How far somebody has read who wants to be a member.
struct Start {
    reading: Reading,
    /// Whether what is told is all that they missed.
    is_recovered: bool,
}

impl Subscription {
    /// Begins where the client left off, or else now.
    ///
    /// # Errors
    /// Why there is no such subscription.
    pub async fn begin(
        hub: &Hub,
        outbox: &Outbox,
        asker: Asker,
        command: Subscribe,
    ) -> Result<(Self, Subscribed), Refusal> {
        let channel: Channel = command
            .channel
            .parse()
            .map_err(|_unknown| Refusal::UNKNOWN_CHANNEL)?;
        let query = command
            .data
            .map_or_else(|| Ok(Query::default()), serde_json::from_value);
        let ask = Ask {
            asker,
            since: None,
            names: vec![channel.collection],
            filter: query.map_err(|_no_query| Refusal::BAD_REQUEST)?.filter,
            record: channel.record,
            limit: MOST_MISSED,
        };
        let mut start = match command.recover {
            true => Start::missed(hub.sources(), &ask, &command.epoch, command.offset).await?,
            false => Start::now(hub.sources(), &ask).await?,
        };
        let collection = shown(&start.reading)?;
        let signature = signature(&collection, &ask);
        let key = format!("{}/{signature}", command.channel);
        let ticket = hub.ticket();
        let mut tries = 0..TRIES;
        let membership = loop {
            let membership = Membership {
                ticket,
                topic: hub
                    .topic(&key, || {
                        Topic::new(&command.channel, &ask, start.reading.clone())
                    })
                    .map_err(|_no_thread| Refusal::INTERNAL)?,
                key: key.clone(),
                hub: hub.clone(),
            };
            let place = start.reading.place.number;
            if membership.topic.join(ticket, place, outbox) == Joined::Done {
                break membership;
            }
            tries.next().ok_or(Refusal::INTERNAL)?;
            start
                .go_on(hub.sources(), &ask, collection.generation)
                .await?;
        };
        let subscription = Self {
            ticket,
            ask,
            collection,
            signature,
            _membership: membership,
        };
        let subscribed = start.tell(&subscription.signature, command.recover)?;
        Ok((subscription, subscribed))
    }

    /// Whether another token of the same user's shows the same.
    pub fn fits(&self, asker: &Asker) -> bool {
        let ask = Ask {
            asker: asker.clone(),
            ..self.ask.clone()
        };
        signature(&self.collection, &ask) == self.signature
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if self.topic.leave(self.ticket) {
            self.hub.forget(&self.key, &self.topic);
        }
    }
}

impl Start {
    /// From now on.
    async fn now(sources: &Sources, ask: &Ask) -> Result<Self, Refusal> {
        Ok(Self {
            reading: look(sources, ask, None).await?,
            is_recovered: false,
        })
    }

    /// From a place on, where nothing is missing that came after it, and the client was shown the same there; else from now on.
    async fn missed(
        sources: &Sources,
        ask: &Ask,
        epoch: &str,
        offset: i64,
    ) -> Result<Self, Refusal> {
        // The epoch of a list, or of a subscription before.
        let (epoch, known) = match epoch.split_once('-') {
            Some((epoch, signature)) => (epoch, Some(signature)),
            None => (epoch, None),
        };
        let since = Position {
            epoch: epoch.into(),
            number: offset,
        };
        let since = Ask {
            since: Some(since),
            ..ask.clone()
        };
        let turn = sources.turn().await.ok_or(Refusal::INTERNAL)?;
        let looked = sources.look(&since, None).await;
        drop(turn);
        let mut reading = match looked {
            Ok(reading) => reading,
            Err(error) if error.code == Code::PositionExpired => {
                return Self::now(sources, ask).await;
            }
            Err(error) => return Err(refused(&error)),
        };
        // One look ends early where rules take long, or the machine is busy.
        let until = Instant::now() + PATIENCE;
        while reading.has_more && reading.goes_on() && Instant::now() < until {
            reading = look(sources, &since, Some(reading)).await?;
        }
        let shows = shown(&reading)?;
        let is_same = known.is_none_or(|known| known == signature(&shows, ask));
        if !is_same || reading.has_more {
            return Self::now(sources, ask).await;
        }
        Ok(Self {
            reading,
            is_recovered: true,
        })
    }

    /// Reads what came meanwhile.
    async fn go_on(
        &mut self,
        sources: &Sources,
        ask: &Ask,
        generation: i64,
    ) -> Result<(), Refusal> {
        if !self.is_recovered || !self.reading.goes_on() {
            self.is_recovered = false;
            self.reading.take_told();
        }
        let place = self.reading.place.number;
        let is_read = self.reading.go_on(&sources.feed).is_some();
        if !is_read || self.reading.place.number == place {
            // Memory may lag behind the table, which others have read.
            self.reading = look(sources, ask, Some(self.reading.clone())).await?;
            if shown(&self.reading)?.generation != generation {
                // Declared otherwise just now.
                return Err(Refusal::INTERNAL);
            }
        }
        Ok(())
    }

    /// What the client is told.
    fn tell(mut self, signature: &str, was_recovering: bool) -> Result<Subscribed, Refusal> {
        if !self.is_recovered {
            self.reading.take_told();
        }
        let told = self.reading.told.iter();
        let publications = told.map(|told| {
            let publication = Publication::of(&self.reading, told)?;
            to_raw_value(&publication).map_err(ApiError::internal)
        });
        let publications = publications.collect::<Result<_, _>>();
        let place = &self.reading.place;
        Ok(Subscribed {
            recoverable: true,
            positioned: true,
            epoch: format!("{}-{signature}", place.epoch),
            offset: place.number,
            was_recovering,
            recovered: self.is_recovered,
            publications: publications.map_err(|error| refused(&error))?,
        })
    }
}

async fn look(sources: &Sources, ask: &Ask, before: Option<Reading>) -> Result<Reading, Refusal> {
    let _turn = sources.turn().await.ok_or(Refusal::INTERNAL)?;
    let read = sources.look(ask, before).await;
    read.map_err(|error| refused(&error))
}

/// The collection, where something of it may be shown.
fn shown(reading: &Reading) -> Result<Arc<Collection>, Refusal> {
    let collection = reading.collection().ok_or(Refusal::PERMISSION_DENIED)?;
    let mut members = collection.readable().iter();
    if members.any(|member| member.rule.uses_now()) {
        // Time passes without a change.
        return Err(Refusal::BAD_REQUEST);
    }
    Ok(Arc::clone(collection))
}

/// What decides what somebody is shown: the declaration, the filter, and of the token only the claims that rules read.
fn signature(collection: &Collection, ask: &Ask) -> String {
    let rule = match ask.record {
        Some(_) => collection.rules.read.rule(),
        None => collection.rules.list.rule(),
    };
    let members = collection.readable().iter().map(|member| &member.rule);
    let auth = &ask.asker.auth;
    let mut claims = BTreeMap::new();
    for name in rule.into_iter().chain(members).flat_map(Rule::claims) {
        let value = auth.get(&name).unwrap_or(&Value::Null);
        claims.insert(name.clone(), if name.is_empty() { auth } else { value });
    }
    let decisive = json!([
        collection.serial,
        collection.generation,
        ask.record,
        ask.filter,
        ask.asker.is_administrator,
        claims,
    ]);
    hash(decisive.to_string().as_bytes())
}
