//! What one caller is told of the changes after a place.

use std::{collections::HashMap, sync::Arc};

use diesel::PgConnection;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Change, Feed, Image, Position, State, change::FORGET, store};
use crate::{
    collections::{self, Asker, Catalog, Collection, CollectionName, Declared, Permission},
    error::{ApiError, Code, FieldError},
    records::{self, Shown},
    rules::{Predicate, Rule},
};

/// Changes that one answer looks at, at most.
const MOST_SCANNED: usize = 10_000;

/// Changes that are looked at on a thread that serves requests.
const MOST_AT_ONCE: i64 = 200;

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

/// Through what they see the feed.
#[derive(Clone)]
struct View {
    asker: Asker,
    filter: Option<Rule>,
    record: Option<Uuid>,
    shown: HashMap<i64, Arc<Collection>>,
    /// The generations of those that are not shown.
    others: HashMap<i64, i64>,
    /// Up to where there were no other collections.
    known_until: i64,
    limit: usize,
}

/// Why a change can't be told yet.
enum Halt {
    /// It was written under a declaration that the reader does not know yet.
    Undeclared,
    /// Applying the rule takes longer than a thread has that others wait for.
    Long,
    /// Applying the filter does.
    Heavy,
}

/// How long applying the rules to a change may take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// As long as a rule may.
    Any,
    /// No time.
    AtOnce,
}

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
    while reading.goes_on() && reading.place.number < state.head.number {
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
        match reading.take(&changes, Pace::Any) {
            Ok(()) => {}
            // Anybody may ask for one, of thousands of changes.
            Err(Halt::Heavy) => {
                return Err(refused("/filter", "it takes too long to apply to a change"));
            }
            // Of what came after the state was read.
            Err(Halt::Undeclared | Halt::Long) => break,
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
            if !self.goes_on() {
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

impl View {
    fn new(
        conn: &mut PgConnection,
        catalog: &Catalog,
        ask: &Ask,
        known_until: i64,
    ) -> Result<Self, ApiError> {
        let declared = collections::declared(conn)?;
        let is_named = |one: &Declared| ask.names.iter().any(|name| name.as_ref() == one.name);
        let named = declared.iter().filter(|one| is_named(one)).count();
        if named < ask.names.len() {
            return Err(ApiError::not_found());
        }
        let mut view = Self {
            asker: ask.asker.clone(),
            filter: None,
            record: ask.record,
            shown: HashMap::new(),
            others: HashMap::new(),
            known_until,
            limit: ask.limit,
        };
        for one in declared {
            let is_asked = ask.names.is_empty() || is_named(&one);
            let found = match is_asked {
                true => catalog.current(conn, &one)?,
                false => None,
            };
            match found {
                Some(collection) if view.admits(&collection, ask)? => {
                    view.shown.insert(collection.serial, collection);
                }
                _ => {
                    view.others.insert(one.serial, one.generation);
                }
            }
        }
        Ok(view)
    }

    /// Whether something of a collection may be shown; takes its filter.
    fn admits(&mut self, collection: &Collection, ask: &Ask) -> Result<bool, ApiError> {
        let rule = self.rule(collection);
        let uses_now = rule.uses_now();
        if uses_now && !ask.names.is_empty() {
            let detail = "its rule reads `now`, and time passes without a change";
            return Err(refused("/collection", detail));
        }
        if let Some(text) = &ask.filter {
            self.filter = records::filter(Some(text), collection, &self.asker)?;
        }
        if self.filter.as_ref().is_some_and(Rule::uses_now) {
            let detail = "it reads `now`, and time passes without a change";
            return Err(refused("/filter", detail));
        }
        let rule = self.rule(collection);
        let sees_some = !matches!(rule.predicate(&self.asker, None), Predicate::False);
        Ok(sees_some && !uses_now)
    }

    /// The rule that shows records.
    fn rule<'c>(&self, collection: &'c Collection) -> &'c Permission {
        match self.record {
            Some(_) => &collection.rules.read,
            None => &collection.rules.list,
        }
    }

    /// Whether they see a record, or saw it.
    fn sees(&self, collection: &Collection, image: &Image, pace: Pace) -> Result<bool, Halt> {
        let (rule, record) = (self.rule(collection), image.record());
        let shows = match pace {
            Pace::Any => rule.shows(&self.asker, &record),
            Pace::AtOnce => rule.shows_at_once(&self.asker, &record).ok_or(Halt::Long)?,
        };
        let Some(filter) = self.filter.as_ref().filter(|_filter| shows) else {
            return Ok(shows);
        };
        let facts = self.asker.facts(None);
        filter
            .allows_at_once(&facts, Some(&record))
            .ok_or(Halt::Heavy)
    }

    /// What a change is to them, if anything.
    fn tell(&self, change: &Arc<Change>, pace: Pace) -> Result<Option<Told>, Halt> {
        let is_known = change.position <= self.known_until;
        let Some(collection) = self.shown.get(&change.collection) else {
            let other = self.others.get(&change.collection);
            let is_other = other.is_some_and(|generation| change.generation <= *generation);
            // Nothing for them, or dropped; or it is a new one.
            return if is_known || is_other || change.collection == FORGET {
                Ok(None)
            } else {
                Err(Halt::Undeclared)
            };
        };
        if !is_known && change.generation > collection.generation {
            return Err(Halt::Undeclared);
        }
        if self.record.is_some_and(|record| record != change.id) {
            return Ok(None);
        }
        let sees = |image: &Option<Image>| {
            let sees = image
                .as_ref()
                .map(|image| self.sees(collection, image, pace));
            sees.transpose()
        };
        let saw = change.is_tombstone || sees(&change.old)? == Some(true);
        let kind = match (saw, sees(&change.new)?) {
            (false, Some(true)) => Kind::Enter,
            (true, Some(true)) => Kind::Update,
            (true, Some(false)) => Kind::Leave,
            (true, None) => Kind::Delete,
            (false, _) => return Ok(None),
        };
        Ok(Some(Told {
            kind,
            collection: Arc::clone(collection),
            change: Arc::clone(change),
        }))
    }
}

fn refused(pointer: &str, detail: &str) -> ApiError {
    let fault = FieldError::new(pointer, "feed", detail);
    ApiError::with_errors(Code::InvalidQuery, vec![fault])
}
