//! What one caller is told of the changes after a place.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::PgConnection;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Change, Feed, Image, Position, State, store,
    view::{Halt, Pace, View},
};
use crate::{
    collections::{Asker, Catalog, Collection, CollectionName},
    error::{ApiError, Code, FieldError},
    records::{self, Shown},
};

/// Changes that one answer looks at, at most.
const MOST_SCANNED: usize = 10_000;

/// Changes that are looked at on a thread that serves requests.
const MOST_AT_ONCE: i64 = 200;

/// How long one answer may look at changes, where rules take long.
const PATIENCE: Duration = Duration::from_millis(500);

/// Bytes of records after which an answer ends.
const MOST_BYTES: usize = 4_194_304;

/// What somebody asks of the feed.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub asker: Asker,
    /// After what; `None`: from now on.
    pub since: Option<Position>,
    /// The collections; all that they may list where none is named.
    pub names: Vec<CollectionName>,
    /// What a record has to meet, of the one collection that is named then.
    pub filter: Option<String>,
    /// The only record that is meant, of the one collection that is named then: its `read` rule shows it.
    pub record: Option<Uuid>,
    /// Changes that are told at most.
    pub limit: usize,
}

/// What a change is to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RecordChangeKind)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// They see the record since.
    Enter,
    /// They saw it, and see it as it is now.
    Update,
    /// They saw it, and see it no more; it may still be there.
    Leave,
    /// They saw it, and it is deleted.
    Delete,
}

/// A change as it is told.
#[derive(Clone)]
pub struct Told {
    /// What it is to them.
    pub kind: Kind,
    /// The record's collection.
    pub collection: Arc<Collection>,
    /// What became of the record.
    pub change: Arc<Change>,
}

/// How far somebody has read.
#[derive(Clone)]
pub struct Reading {
    /// What concerns them.
    pub told: Vec<Told>,
    /// After what they go on.
    pub place: Position,
    /// Whether there is more to look at than was looked at.
    pub has_more: bool,
    scanned: usize,
    bytes: usize,
    view: View,
}

/// What the fault of a filter is called that takes too many steps.
pub const TOO_HEAVY: &str = "steps";

/// Begins to read, or goes on with what was read before: by the declarations that there are now, in memory or in the table.
///
/// # Errors
/// 400 for a filter that is not understood; 404 for an unknown collection; 410 for a place that can't be read from any more.
pub fn read(
    conn: &mut PgConnection,
    catalog: &Catalog,
    feed: &Feed,
    ask: &Ask,
    before: Option<Reading>,
) -> Result<Reading, ApiError> {
    let state = store::state(conn)?;
    let place = match (&before, &ask.since) {
        (Some(before), _) => before.place.clone(),
        (None, Some(since)) => since.clone(),
        (None, None) => state.head.clone(),
    };
    check(&state, &place)?;
    // After the state: what is written under a later declaration comes later.
    let view = View::new(conn, catalog, ask, state.head.number)?;
    let mut reading = match before {
        Some(before) => Reading { view, ..before },
        None => Reading {
            told: Vec::new(),
            place,
            has_more: false,
            scanned: 0,
            bytes: 0,
            view,
        },
    };
    let until = Instant::now() + PATIENCE;
    let begun = reading.place.number;
    while reading.goes_on()
        && reading.place.number < state.head.number
        && (reading.place.number == begun || Instant::now() < until)
    {
        let changes = match feed.since(&reading.place, MOST_SCANNED) {
            Some(changes) if !changes.is_empty() => changes,
            _ => {
                let read = store::read(conn, reading.place.number, state.head.number)?;
                read.into_iter().map(Arc::new).collect()
            }
        };
        if changes.is_empty() {
            // They were dropped just now.
            check(&store::state(conn)?, &reading.place)?;
            return Err(ApiError::internal("the feed has a gap"));
        }
        match reading.take(&changes, Pace::Until(until)) {
            Ok(()) => {}
            Err(Halt::Heavy) if reading.place.number == begun => {
                let detail = "it takes too many steps to apply to a change";
                let fault = FieldError::new("/filter", TOO_HEAVY, detail);
                return Err(ApiError::with_errors(Code::InvalidQuery, vec![fault]));
            }
            // Of what came after the state was read; or what came before is told first.
            Err(Halt::Undeclared | Halt::Long | Halt::Heavy) => break,
        }
    }
    reading.has_more = reading.place.number < state.head.number;
    Ok(reading)
}

/// Checks that the changes after a place are all there.
fn check(state: &State, place: &Position) -> Result<(), ApiError> {
    if state.reaches(place) {
        return Ok(());
    }
    let detail = if place.epoch != state.head.epoch {
        "the position is of another epoch of the feed"
    } else if place.number < state.floor {
        "what came after the position was dropped"
    } else {
        "the feed is not as far as the position"
    };
    Err(ApiError::new(Code::PositionExpired, detail))
}

impl Reading {
    /// Goes on in memory; `None` where the database has to be asked, or it is too much for a thread that others wait for.
    pub fn go_on(&mut self, feed: &Feed) -> Option<()> {
        let head = feed.head();
        let distance = head.number.saturating_sub(self.place.number);
        if distance > MOST_AT_ONCE {
            return None;
        }
        if distance <= 0 && head.epoch == self.place.epoch {
            // The table is further than the memory of this replica.
            self.has_more = false;
            return Some(());
        }
        while self.goes_on() && self.place != head {
            let changes = feed.since(&self.place, MOST_SCANNED)?;
            if changes.is_empty() {
                break;
            }
            self.take(&changes, Pace::AtOnce).ok()?;
        }
        self.has_more = self.place.number < head.number;
        Some(())
    }

    /// A told record as the caller sees it.
    ///
    /// # Errors
    /// 500 for a damaged record.
    pub fn show(&self, told: &Told) -> Result<Option<Shown>, ApiError> {
        let shown = told
            .record()
            .map(|image| records::show(&told.collection, &self.view.asker, &image.row));
        shown.transpose()
    }

    /// Takes what was told so far, and makes room for as much again.
    pub fn take_told(&mut self) -> Vec<Told> {
        (self.scanned, self.bytes) = (0, 0);
        std::mem::take(&mut self.told)
    }

    /// The collection that was asked for, where one was and something of it may be shown.
    pub fn collection(&self) -> Option<&Arc<Collection>> {
        self.view.shown.values().next()
    }

    /// Whether more may be looked at.
    pub fn goes_on(&self) -> bool {
        self.told.len() < self.view.limit && self.scanned < MOST_SCANNED && self.bytes < MOST_BYTES
    }

    fn take(&mut self, changes: &[Arc<Change>], pace: Pace) -> Result<(), Halt> {
        for change in changes {
            let is_late = match pace {
                Pace::Until(until) => Instant::now() >= until && self.scanned > 0,
                Pace::AtOnce => false,
            };
            if is_late || !self.goes_on() {
                break;
            }
            if let Some(told) = self.view.tell(change, pace)? {
                self.bytes += told.record().map_or(0, |image| image.row.data.len());
                self.told.push(told);
            }
            self.scanned += 1;
            self.place.number = change.position;
        }
        Ok(())
    }
}

impl Told {
    /// The record that is shown with it.
    pub fn record(&self) -> Option<&Image> {
        matches!(self.kind, Kind::Enter | Kind::Update)
            .then_some(self.change.new.as_ref())
            .flatten()
    }
}
