//! What is told on channels, as the sockets of this replica hear it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytestring::ByteString;

use super::{
    outbox::{Item, Outbox},
    protocol::{self, End},
};
use crate::channels::{Entry, Kind, News, Place, Pulse};

/// The channels that somebody is subscribed to.
#[derive(Default)]
pub(super) struct Streams(Mutex<HashMap<String, Arc<Stream>>>);

/// One of them.
#[derive(Default)]
struct Stream(Mutex<HashMap<u64, Member>>);

struct Member {
    /// What comes after this place is for them.
    from: i64,
    outbox: Outbox,
}

impl Streams {
    /// Lets somebody hear what comes from now on; from where on that is.
    pub fn join(&self, channel: &str, ticket: u64, pulse: &Pulse, outbox: &Outbox) -> Place {
        // Held, so that nobody forgets a stream that is joined.
        let mut streams = lock(&self.0);
        let stream = streams.entry(channel.to_owned()).or_default();
        let mut members = lock(&stream.0);
        // The place moves on before what comes there is told: so it is told here, or was before.
        let place = pulse.place();
        let member = Member {
            from: place.number,
            outbox: outbox.clone(),
        };
        members.insert(ticket, member);
        place
    }

    /// Lets somebody go.
    pub fn leave(&self, channel: &str, ticket: u64) {
        let mut streams = lock(&self.0);
        let Some(stream) = streams.get(channel) else {
            return;
        };
        let is_empty = {
            let mut members = lock(&stream.0);
            members.remove(&ticket);
            members.is_empty()
        };
        if is_empty {
            streams.remove(channel);
        }
    }

    /// How many are subscribed, and to how many channels.
    pub fn counts(&self) -> (usize, usize) {
        let streams = self.all();
        let members = streams.iter().map(|stream| lock(&stream.0).len());
        (members.sum(), streams.len())
    }

    /// Tells what came.
    pub fn hear(&self, news: News<'_>) {
        match news {
            News::Told(entries) => entries.iter().for_each(|entry| self.tell(entry)),
            News::Gap => self.all().iter().for_each(|stream| stream.end()),
        }
    }

    fn tell(&self, entry: &Entry) {
        let stream = lock(&self.0).get(&entry.channel).cloned();
        if let Some(stream) = stream {
            stream.tell(entry);
        }
    }

    fn all(&self) -> Vec<Arc<Stream>> {
        lock(&self.0).values().cloned().collect()
    }
}

impl Stream {
    /// Written once for all who hear it.
    fn tell(&self, entry: &Entry) {
        let text = match entry.kind {
            Kind::Publication => protocol::published(entry),
            Kind::Join => protocol::moved(entry, "join"),
            Kind::Leave => protocol::moved(entry, "leave"),
        };
        let text = ByteString::from(text);
        for (ticket, member) in lock(&self.0).iter() {
            if entry.position > member.from {
                member.outbox.push(Item::Push {
                    ticket: *ticket,
                    place: entry.is_kept.then_some(entry.position),
                    text: text.clone(),
                });
            }
        }
    }

    /// Lets everybody subscribe anew: nobody knows what they missed.
    fn end(&self) {
        for (ticket, member) in lock(&self.0).drain() {
            member.outbox.push(Item::Ended(ticket, End::ANEW));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
