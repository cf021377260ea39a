//! Telling something on channels: what comes at the same time is written down together.

use std::sync::Arc;

use diesel::PgConnection;
use uuid::Uuid;

use super::{ChannelName, Kind, Namespace, Pulse, Who, entry::Draft, presence_store, store};
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
    Goes { channel: ChannelName, client: Uuid },
}

/// Somebody on a channel.
#[derive(Clone, Debug)]
pub(super) struct Attendant {
    pub channel: ChannelName,
    pub client: Uuid,
    pub info: String,
    /// Whether the others are told when they go.
    pub has_leave: bool,
}

/// What writing down needs.
#[derive(Clone)]
pub(super) struct Office {
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

    /// Somebody who comes.
    pub fn coming(attendant: Attendant) -> Self {
        Self {
            draft: attendant.has_leave.then(|| attendant.draft(Kind::Join)),
            presence: Some(Presence::Comes(attendant)),
        }
    }

    /// Somebody who goes.
    pub fn going(attendant: &Attendant) -> Self {
        let presence = Presence::Goes {
            channel: attendant.channel.clone(),
            client: attendant.client,
        };
        Self {
            draft: attendant.has_leave.then(|| attendant.draft(Kind::Leave)),
            presence: Some(presence),
        }
    }
}

impl Attendant {
    fn draft(&self, kind: Kind) -> Draft {
        Draft {
            channel: self.channel.clone(),
            kind,
            data: None,
            info: Some(self.info.clone()),
            age: None,
        }
    }
}

impl Errand for Post {
    type Office = Office;
    type Line = ();
    /// The place of what is told; 0 where nothing is.
    type Answer = i64;

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
    ) -> Result<i64, ApiError> {
        let places = write(conn, office, &[&self])?;
        Ok(places.into_iter().next().unwrap_or_default())
    }
}

/// Writes down some, all or none; the place of each.
pub(super) fn write(
    conn: &mut PgConnection,
    office: &Office,
    posts: &[&Post],
) -> Result<Vec<i64>, ApiError> {
    let presences: Vec<_> = posts
        .iter()
        .filter_map(|post| post.presence.as_ref())
        .collect();
    let drafts: Vec<_> = posts
        .iter()
        .filter_map(|post| post.draft.as_ref())
        .collect();
    let tell = |conn: &mut PgConnection| match drafts.is_empty() {
        true => Ok(0),
        false => store::insert(conn, &drafts),
    };
    let last = if presences.is_empty() {
        db::go_on()?;
        tell(conn)?
    } else {
        db::tx(conn, |conn| {
            presence_store::write(conn, office.replica, &presences)?;
            // The last, since others wait for its lock.
            Ok::<_, ApiError>(tell(conn)?)
        })?
    };
    office.pulse.poke();
    let count = i64::try_from(drafts.len()).unwrap_or(i64::MAX);
    let mut place = last - count;
    let places = posts.iter().map(|post| match post.draft {
        None => 0,
        Some(_) => {
            place += 1;
            place
        }
    });
    Ok(places.collect())
}
