//! Through what somebody sees the feed: the rules that hold for them, and their filter.

use std::{collections::HashMap, sync::Arc, time::Instant};

use diesel::PgConnection;
use uuid::Uuid;

use super::{
    Change, Image,
    change::FORGET,
    read::{Ask, Kind, Told},
};
use crate::{
    collections::{self, Asker, Catalog, Collection, Declared, Permission},
    error::{ApiError, Code, FieldError},
    records,
    rules::{Predicate, Rule},
};

/// Steps that a filter may take for a record: anybody may ask for any, of thousands of changes.
const FILTER_STEPS: usize = 20_000;

/// Through what they see the feed.
#[derive(Clone)]
pub(super) struct View {
    pub asker: Asker,
    filter: Option<Rule>,
    record: Option<Uuid>,
    pub shown: HashMap<i64, Arc<Collection>>,
    /// The generations of those that are not shown.
    others: HashMap<i64, i64>,
    /// Up to where there were no other collections.
    known_until: i64,
    pub limit: usize,
}

/// Why a change can't be told yet.
pub(super) enum Halt {
    /// It was written under a declaration that the reader does not know yet.
    Undeclared,
    /// Applying the rule takes longer than a thread has that others wait for.
    Long,
    /// Applying the filter does.
    Heavy,
}

/// How long applying the rules to a change may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Until then, and as long as one more takes.
    Until(Instant),
    /// No time.
    AtOnce,
}

impl View {
    pub fn new(
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
            Pace::Until(_) => rule.shows(&self.asker, &record),
            Pace::AtOnce => rule.shows_at_once(&self.asker, &record).ok_or(Halt::Long)?,
        };
        let Some(filter) = self.filter.as_ref().filter(|_filter| shows) else {
            return Ok(shows);
        };
        let facts = self.asker.facts(None);
        filter
            .allows_within(FILTER_STEPS, &facts, Some(&record))
            .ok_or(Halt::Heavy)
    }

    /// What a change is to them, if anything.
    pub fn tell(&self, change: &Arc<Change>, pace: Pace) -> Result<Option<Told>, Halt> {
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
