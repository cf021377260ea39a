//! Telling something on channels: what comes at the same time is written down together.

use std::sync::Arc;

use diesel::{PgConnection, QueryResult};
use uuid::Uuid;

use super::{
    ChannelName, Kind, Namespace, Posted, Pulse, Who, broker::Broker, entry::Draft, presence_store,
    store,
};
use crate::{
    db::{self, Errand},
    error::ApiError,
};

/// Something to tell, and who comes or goes with it.
#[derive(Clone, Debug)]
pub(super) struct Post {
    draft: Option<Draft>,
    presence: Option<Presence>,
}

/// Who comes to a channel, or goes.
#[derive(Clone, Debug)]
pub(super) enum Presence {
    Comes(Attendant),
    Goes(Attendant),
}

/// Somebody on a channel.
#[derive(Clone, Debug)]
pub(super) struct Attendant {
    pub channel: ChannelName,
    pub client: Uuid,
    /// Which of the replica's subscriptions it is.
    pub ticket: i64,
    pub info: String,
    /// Whether the others are told.
    pub is_told: bool,
}

/// What writing down needs.
#[derive(Clone)]
pub(super) struct Office {
    pub broker: Broker,
    pub pulse: Pulse,
    pub replica: Uuid,
}

impl Post {
    /// Something that is published.
    pub fn publication(
        channel: &ChannelName,
        namespace: &Namespace,
        data: String,
        who: Option<&Who>,
    ) -> Self {
        let draft = Draft {
            channel: channel.clone(),
            kind: Kind::Publication,
            data: Some(data),
            info: who.map(Who::told),
            age: namespace.is_kept().then_some(namespace.age),
        };
        Self {
            draft: Some(draft),
            presence: None,
        }
    }

    /// What is published of it, if anything is.
    pub fn draft(&self) -> Option<&Draft> {
        self.draft.as_ref()
    }

    /// Somebody who comes or goes; the others are told where that changes something.
    pub fn presence(presence: Presence) -> Self {
        Self {
            draft: None,
            presence: Some(presence),
        }
    }
}

impl Errand for Post {
    type Office = Office;
    type Line = ();
    type Answer = Posted;

    const IS_REPEATABLE: bool = false;

    fn line(&self) -> Option<()> {
        Some(())
    }

    fn run(
        office: &Office,
        conn: &mut PgConnection,
        posts: &[Arc<Self>],
    ) -> Result<Vec<db::Told<Self>>, ApiError> {
        let posts: Vec<_> = posts.iter().map(AsRef::as_ref).collect();
        let places = write(conn, office, &posts)?;
        Ok(places.into_iter().map(|place| Ok(Some(place))).collect())
    }

    fn run_alone(
        self: Arc<Self>,
        office: &Office,
        conn: &mut PgConnection,
    ) -> Result<Posted, ApiError> {
        let places = write(conn, office, &[&self])?;
        Ok(places.into_iter().next().unwrap_or_default())
    }
}

/// Writes down some, all or none; the place of each.
pub(super) fn write(
    conn: &mut PgConnection,
    office: &Office,
    posts: &[&Post],
) -> Result<Vec<Posted>, ApiError> {
    let presences = posts.iter().filter_map(|post| post.presence.as_ref());
    let presences: Vec<_> = presences.collect();
    let drafts = posts.iter().filter_map(|post| post.draft.as_ref());
    let drafts: Vec<_> = drafts.collect();
    let last = if presences.is_empty() {
        db::go_on()?;
        store::insert(conn, &drafts)?
    } else {
        move_some(conn, office, &drafts, |conn| {
            presence_store::write(conn, office.replica, &presences)
        })?
    };
    office.pulse.poke();
    let count = i64::try_from(drafts.len()).unwrap_or(i64::MAX);
    let mut offset = last.offset - count;
    let places = posts.iter().map(|post| {
        offset += i64::from(post.draft.is_some());
        Posted {
            epoch: last.epoch.clone(),
            offset,
        }
    });
    Ok(places.collect())
}

/// Writes down who comes or goes, and tells the others; with them something else, whose last place it gives.
pub(super) fn move_some(
    conn: &mut PgConnection,
    office: &Office,
    drafts: &[&Draft],
    work: impl FnOnce(&mut PgConnection) -> QueryResult<Vec<Draft>>,
) -> Result<Posted, ApiError> {
    let (last, moved) = db::tx(conn, |conn| {
        let moved = work(conn)?;
        let (with, after) = if office.broker.reaches_all() {
            (Vec::new(), moved)
        } else {
            (moved, Vec::new())
        };
        // The last, since others wait for its lock.
        let all: Vec<_> = with.iter().chain(drafts.iter().copied()).collect();
        Ok::<_, ApiError>((store::insert(conn, &all)?, after))
    })?;
    let is_left = |draft: &&Draft| !office.tell(draft);
    let left: Vec<_> = moved.iter().filter(is_left).collect();
    if let Err(error) = store::insert(conn, &left) {
        // What was written down stays so.
        tracing::warn!(%error, "nobody is told who has come and gone");
    }
    Ok(last)
}

impl Office {
    /// Tells something that is kept nowhere without the database; whether that could be.
    pub fn tell(&self, draft: &Draft) -> bool {
        draft.age.is_none() && self.broker.tell(&self.pulse, draft)
    }
}
