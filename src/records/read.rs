//! Reading records: those that are asked for at the same time are found together, and shown each to whom the rules let see it.

use std::{collections::HashMap, sync::Arc};

use diesel::PgConnection;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Request,
    expand::{self, expand},
    form::{Form, Shown},
    many_store::find_many,
    row::RecordRow,
    store,
};
use crate::{
    collections::{Catalog, Collection, CollectionName},
    db::{self, Errand},
    error::ApiError,
    rules::Predicate,
};

/// Bytes of a document that is read while others wait.
const MOST_BYTES: usize = 65_536;

/// What of a record is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Members, separated by commas; without, all.
    pub fields: Option<String>,
    /// Members that refer to other records, separated by commas: those are wanted, too.
    pub expand: Option<String>,
}

/// A record that somebody asks for: it is not there for those who may not see it.
#[derive(Clone, Debug)]
pub struct Reading {
    request: Request,
    id: Uuid,
    wanted: Wanted,
    goes_together: bool,
}

impl Reading {
    /// What of a record is wanted.
    pub fn new(catalog: &Catalog, request: Request, id: Uuid, wanted: Wanted) -> Self {
        let collection = catalog.known(request.collection.as_ref());
        Self {
            // What goes on to other collections holds up nobody.
            goes_together: wanted.expand.is_none()
                && collection.is_none_or(|collection| !collection.has_member_rules()),
            request,
            id,
            wanted,
        }
    }
}

impl Errand for Reading {
    type Office = Catalog;
    type Line = CollectionName;
    type Answer = Shown;

    const IS_REPEATABLE: bool = true;

    fn line(&self) -> Option<CollectionName> {
        self.goes_together.then(|| self.request.collection.clone())
    }

    fn run(
        catalog: &Catalog,
        conn: &mut PgConnection,
        readings: &[Arc<Self>],
    ) -> Result<Vec<db::Told<Self>>, ApiError> {
        let Some(first) = readings.first() else {
            return Ok(Vec::new());
        };
        let ids: Vec<_> = readings.iter().map(|reading| reading.id).collect();
        catalog.with(conn, &first.request.collection, |conn, collection| {
            let Some(rows) = find_many(conn, collection, &ids, &Predicate::True)? else {
                return Ok(None);
            };
            // Without any, they are too large together.
            let rows = rows.map(|rows| rows.into_iter().map(|row| (row.id, row)));
            let rows: Option<HashMap<_, _>> = rows.map(Iterator::collect);
            let show = |reading: &Arc<Self>| match &rows {
                Some(rows) => reading.show(collection, rows.get(&reading.id)),
                None => Ok(None),
            };
            Ok(Some(readings.iter().map(show).collect()))
        })
    }

    fn run_alone(
        self: Arc<Self>,
        catalog: &Catalog,
        conn: &mut PgConnection,
    ) -> Result<Shown, ApiError> {
        let Self {
            request,
            id,
            wanted,
            ..
        } = &*self;
        let asker = &request.asker;
        let found = catalog.with(conn, &request.collection, |conn, collection| {
            let form = Form::of(collection, asker, wanted.fields.as_deref())?;
            let references = expand::parse(wanted.expand.as_deref(), collection, asker)?;
            let rule = collection.rules.read.predicate(asker, None);
            let Some(found) = store::find(conn, collection, *id, &rule)? else {
                return Ok(None);
            };
            let Some(row) = found else {
                return Ok(Some(None));
            };
            let shown = vec![form.show(&row)?];
            let shown = expand(conn, catalog, asker, &references, &[&row], shown)?;
            Ok(Some(shown.into_iter().next()))
        })?;
        found.ok_or_else(ApiError::not_found)
    }
}

impl Reading {
    /// The record as it is shown to whoever asks, where that takes no time.
    ///
    /// # Errors
    /// 404 for what is not there, or not theirs to see; 400 for members that are none.
    fn show(
        &self,
        collection: &Collection,
        row: Option<&RecordRow>,
    ) -> Result<Option<Shown>, ApiError> {
        let asker = &self.request.asker;
        let form = Form::of(collection, asker, self.wanted.fields.as_deref())?;
        let row = row.ok_or_else(ApiError::not_found)?;
        if row.data.len() > MOST_BYTES || collection.has_member_rules() {
            return Ok(None);
        }
        let document = row.members().map(Value::Object)?;
        let read = &collection.rules.read;
        match read.shows_at_once(asker, &row.image(&document)) {
            None => Ok(None),
            Some(true) => form.show(row).map(Some),
            Some(false) => Err(ApiError::not_found()),
        }
    }
}
