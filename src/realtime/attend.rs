//! Being subscribed to a channel that carries no records.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    hub::Hub,
    outbox::Outbox,
    protocol::{self, Refusal, Subscribe, Subscribed},
};
use crate::{
    channels::{Action, ChannelName, Channels, Namespace, Place, Since, Who},
    collections::Asker,
};

/// How long to wait for what others have heard already.
const PATIENCE: Duration = Duration::from_secs(2);
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// A place among those who hear what is told on a channel, for as long as it lasts.
pub(super) struct Attendance {
    pub ticket: u64,
    channel: ChannelName,
    who: Who,
    hub: Hub,
    channels: Channels,
}

/// Who asks, and what they may do with every channel.
#[derive(Clone, Debug)]
pub(super) struct Attendee {
    pub asker: Asker,
    pub manages: bool,
    pub who: Who,
}

impl Attendance {
    /// Begins where the client left off, or else now.
    ///
    /// # Errors
    /// Why there is no such subscription.
    pub async fn begin(
        hub: &Hub,
        channels: &Channels,
        outbox: &Outbox,
        attendee: Attendee,
        command: Subscribe,
    ) -> Result<(Self, Subscribed), Refusal> {
        let channel: ChannelName = command
            .channel
            .parse()
            .map_err(|_invalid| Refusal::UNKNOWN_CHANNEL)?;
        if command.data.is_some_and(|data| !data.is_null()) {
            // Nothing here can be narrowed.
            return Err(Refusal::BAD_REQUEST);
        }
        let namespace = permitted(channels, Action::Subscribe, &channel, &attendee)?;
        // What was said before is for those who may read it.
        let reads = permitted(channels, Action::History, &channel, &attendee).is_ok();
        let is_kept = reads && namespace.is_kept();
        let since = (command.recover && is_kept).then_some(Since {
            epoch: command.epoch,
            offset: command.offset,
        });
        catch_up(channels, since.as_ref()).await;
        let attendance = Self {
            ticket: hub.ticket(),
            channel: channel.clone(),
            who: attendee.who,
            hub: hub.clone(),
            channels: channels.clone(),
        };
        let place = hub.streams().join(
            channel.as_ref(),
            attendance.ticket,
            channels.pulse(),
            outbox,
        );
        if place.epoch.is_empty() {
            // Nothing was heard of the database yet.
            return Err(Refusal::INTERNAL);
        }
        let missed = match since {
            Some(since) if since.offset <= place.number => {
                let _turn = hub.sources().turn().await.ok_or(Refusal::INTERNAL)?;
                let missed = channels.missed(&channel, since, place.number).await;
                missed.map_err(|error| protocol::refused(&error))?
            }
            _ => None,
        };
        if namespace.has_presence() {
            let who = &attendance.who;
            let come = channels
                .come(&channel, &namespace, who, attendance.number())
                .await;
            come.map_err(|error| protocol::refused(&error))?;
        }
        let recovered = missed.is_some();
        let publications = missed.unwrap_or_default();
        let subscribed = Subscribed {
            was_recovering: command.recover,
            recovered,
            publications: publications
                .into_iter()
                .map(|kept| protocol::kept(&kept))
                .collect(),
            ..begun(is_kept, &place)
        };
        Ok((attendance, subscribed))
    }

    /// The ticket as the channels know it.
    fn number(&self) -> i64 {
        i64::try_from(self.ticket).unwrap_or(i64::MAX)
    }

    /// Whether another token of the same user's may do the same.
    pub fn fits(&self, attendee: &Attendee) -> bool {
        permitted(&self.channels, Action::Subscribe, &self.channel, attendee).is_ok()
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.hub.streams().leave(self.channel.as_ref(), self.ticket);
        self.channels.go(self.number());
    }
}

/// Waits a while until the replica hears what is told, and has heard what a client knows already who was with another.
async fn catch_up(channels: &Channels, since: Option<&Since>) {
    let until = Instant::now() + PATIENCE;
    loop {
        let place = channels.pulse().place();
        let is_behind = |since: &Since| *place.epoch == *since.epoch && place.number < since.offset;
        let waits = place.epoch.is_empty() || since.is_some_and(is_behind);
        if !waits || Instant::now() >= until {
            return;
        }
        sleep(AGAIN_AFTER).await;
    }
}

fn begun(is_kept: bool, place: &Place) -> Subscribed {
    Subscribed {
        recoverable: is_kept,
        positioned: is_kept,
        epoch: if is_kept {
            place.epoch.to_string()
        } else {
            String::new()
        },
        offset: if is_kept { place.number } else { 0 },
        was_recovering: false,
        recovered: false,
        publications: Vec::new(),
    }
}

/// The namespace, where that is allowed.
///
/// # Errors
/// That there is no such channel, or that it is not.
pub(super) fn permitted(
    channels: &Channels,
    action: Action,
    channel: &ChannelName,
    attendee: &Attendee,
) -> Result<Namespace, Refusal> {
    let permitted = channels.permit(action, channel, &attendee.asker, attendee.manages, None);
    permitted
        .cloned()
        .map_err(|error| protocol::refused(&error))
}
