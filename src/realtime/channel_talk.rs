//! What a client asks of channels that it need not be subscribed to.

use serde_json::{Map, Value, json, value::RawValue};

use super::{
    attend::{Attendee, permitted},
    protocol::{self, History, OfChannel, Publish, Refusal},
    talk::Talk,
};
use crate::{
    channels::{Action, ChannelName, Since},
    scope::{ChannelsRead, ChannelsWrite},
};

/// Connections and publications that one answer lists.
const MOST: i64 = 1_000;

impl Talk {
    /// Tells something on a channel.
    pub(super) async fn publish(&self, command: Publish) -> Result<Value, Refusal> {
        let channel = name(&command.channel)?;
        let attendee = self.attendee::<ChannelsWrite>()?;
        let Attendee {
            asker,
            manages,
            who,
        } = &attendee;
        let channels = &self.app.channels;
        let data = command.data.ok_or(Refusal::BAD_REQUEST)?;
        let namespace = channels.permit(Action::Publish, &channel, asker, *manages, Some(&data));
        let namespace = namespace.map_err(|error| protocol::refused(&error))?;
        let published = channels.publish(&channel, namespace, data.to_string(), Some(who));
        match published.await {
            Ok(_place) => Ok(json!({})),
            Err(error) => Err(protocol::refused(&error)),
        }
    }

    /// Who is subscribed.
    pub(super) async fn presence(&self, command: OfChannel) -> Result<Value, Refusal> {
        let (channel, _) = self.reading(&command.channel, Action::Presence)?;
        let present = self.app.channels.presence(&channel, MOST).await;
        let present = present.map_err(|error| protocol::refused(&error))?;
        let mut all = Map::new();
        for info in present.all {
            let info: Value = serde_json::from_str(&info).map_err(|_damaged| Refusal::INTERNAL)?;
            let client = info
                .get("client")
                .and_then(Value::as_str)
                .unwrap_or_default();
            all.insert(client.to_owned(), info.clone());
        }
        Ok(json!({"presence": all}))
    }

    /// How many are.
    pub(super) async fn presence_stats(&self, command: OfChannel) -> Result<Value, Refusal> {
        let (channel, _) = self.reading(&command.channel, Action::Presence)?;
        let present = self.app.channels.presence(&channel, 1).await;
        let present = present.map_err(|error| protocol::refused(&error))?;
        Ok(json!({"num_clients": present.clients, "num_users": present.users}))
    }

    /// What was published before.
    pub(super) async fn history(&self, command: History) -> Result<Value, Refusal> {
        let (channel, attendee) = self.reading(&command.channel, Action::History)?;
        let channels = &self.app.channels;
        let namespace = permitted(channels, Action::History, &channel, &attendee)?;
        if !namespace.is_kept() {
            return Err(Refusal::NOT_AVAILABLE);
        }
        let since = command.since.map(|since| Since {
            epoch: since.epoch,
            offset: since.offset,
        });
        let limit = match command.limit {
            limit if limit < 0 => MOST,
            limit => limit.min(MOST),
        };
        let limit = usize::try_from(limit).map_err(|_too_many| Refusal::BAD_REQUEST)?;
        let past = channels
            .history(&channel, &namespace, since, limit)
            .await
            .map_err(|error| protocol::refused(&error))?
            .ok_or(Refusal::UNRECOVERABLE)?;
        let mut publications: Vec<Box<RawValue>> =
            past.publications.iter().map(protocol::kept).collect();
        if command.reverse {
            publications.reverse();
        }
        Ok(json!({"publications": publications, "epoch": past.epoch, "offset": past.head}))
    }

    fn reading(&self, channel: &str, action: Action) -> Result<(ChannelName, Attendee), Refusal> {
        let channel = name(channel)?;
        let attendee = self.attendee::<ChannelsRead>()?;
        permitted(&self.app.channels, action, &channel, &attendee)?;
        Ok((channel, attendee))
    }
}

/// The name of a channel; those of records have nothing of all this.
fn name(channel: &str) -> Result<ChannelName, Refusal> {
    if channel.starts_with(protocol::OF_RECORDS) {
        return Err(Refusal::NOT_AVAILABLE);
    }
    channel.parse().map_err(|_invalid| Refusal::UNKNOWN_CHANNEL)
}
