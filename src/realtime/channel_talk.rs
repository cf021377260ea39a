//! What a client asks of channels that it need not be subscribed to.

use serde_json::{Map, Value, json};

use super::{
    attend::{Attendee, permitted},
    protocol::{self, Answer, History, HistoryReply, OfChannel, Publish, Refusal},
    talk::Talk,
};
use crate::{
    channels::{Action, Asked, ChannelName, Namespace, Present, Since},
    scope::{ChannelsRead, ChannelsWrite},
};

/// Connections and publications that one answer lists.
const MOST: i64 = 1_000;

impl Talk {
    /// Tells something on a channel.
    pub(super) async fn publish(&self, command: Publish) -> Answer {
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
            Ok(_posted) => protocol::answer(&json!({})),
            Err(error) => Err(protocol::refused(&error)),
        }
    }

    /// Who is subscribed.
    pub(super) async fn presence(&self, command: OfChannel) -> Answer {
        let present = self.present(&command.channel, MOST).await?;
        let mut all = Map::new();
        for info in present.all {
            let info: Value = serde_json::from_str(&info).map_err(|_damaged| Refusal::INTERNAL)?;
            let client = info.get("client").and_then(Value::as_str);
            all.insert(client.unwrap_or_default().to_owned(), info);
        }
        protocol::answer(&json!({"presence": all}))
    }

    /// How many are.
    pub(super) async fn presence_stats(&self, command: OfChannel) -> Answer {
        let present = self.present(&command.channel, 1).await?;
        let (clients, users) = (present.clients, present.users);
        protocol::answer(&json!({"num_clients": clients, "num_users": users}))
    }

    /// What was published before.
    pub(super) async fn history(&self, command: History) -> Answer {
        let (channel, namespace) = self.reading(&command.channel, Action::History)?;
        if !namespace.is_kept() {
            return Err(Refusal::NOT_AVAILABLE);
        }
        let since = command.since.map(|since| Since {
            epoch: since.epoch,
            offset: since.offset,
        });
        let asked = Asked {
            since,
            limit: if command.limit < 0 {
                MOST
            } else {
                command.limit.min(MOST)
            },
            is_reverse: command.reverse,
        };
        let past = self.app.channels.history(&channel, &namespace, asked).await;
        let past = past.map_err(|error| protocol::refused(&error))?;
        let past = past.ok_or(Refusal::UNRECOVERABLE)?;
        protocol::answer(&HistoryReply {
            publications: past.publications.iter().map(protocol::kept).collect(),
            epoch: &past.epoch,
            offset: past.head,
        })
    }

    async fn present(&self, channel: &str, most: i64) -> Result<Present, Refusal> {
        let (channel, namespace) = self.reading(channel, Action::Presence)?;
        if !namespace.has_presence() {
            return Err(Refusal::NOT_AVAILABLE);
        }
        let present = self.app.channels.presence(&channel, most).await;
        present.map_err(|error| protocol::refused(&error))
    }

    fn reading(&self, channel: &str, action: Action) -> Result<(ChannelName, Namespace), Refusal> {
        let channel = name(channel)?;
        let attendee = self.attendee::<ChannelsRead>()?;
        let namespace = permitted(&self.app.channels, action, &channel, &attendee)?;
        Ok((channel, namespace))
    }
}

/// The name of a channel; those of records have nothing of all this.
fn name(channel: &str) -> Result<ChannelName, Refusal> {
    if channel.starts_with(protocol::OF_RECORDS) {
        return Err(Refusal::NOT_AVAILABLE);
    }
    channel.parse().map_err(|_invalid| Refusal::UNKNOWN_CHANNEL)
}
