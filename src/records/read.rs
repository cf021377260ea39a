//! Reading records: those that are asked for at the same time are found together, and shown each to whom the rules let see it.

use std::collections::HashMap;

use diesel::PgConnection;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Request,
    expand::{self, expand},
    form::{Form, Shown},
    many_store::find_many,
    row::RecordRow,
};
use crate::{
    collections::{Catalog, Collection, CollectionName},
    db::Errand,
    error::ApiError,
    rules::Predicate,
};

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
    /// Where, and who asks.
    pub request: Request,
    /// The record's id.
    pub id: Uuid,
    /// What of it is wanted.
    pub wanted: Wanted,
}

impl Errand for Reading {
    type Office = Catalog;
    type Line = CollectionName;
    type Answer = Shown;

    const IS_REPEATABLE: bool = true;

    /// Those that go on to other collections go alone, and hold up nobody.
    fn line(&self) -> Option<CollectionName> {
        let stays = self.wanted.expand.is_none();
        stays.then(|| self.request.collection.clone())
    }

    fn run(
        catalog: &Catalog,
        conn: &mut PgConnection,
        readings: &[Self],
    ) -> Result<Vec<Result<Shown, ApiError>>, ApiError> {
        let Some(first) = readings.first() else {
            return Ok(Vec::new());
        };
        let ids: Vec<_> = readings.iter().map(|reading| reading.id).collect();
        catalog.with(conn, &first.request.collection, |conn, collection| {
            let Some(rows) = find(conn, collection, &ids)? else {
                return Ok(None);
            };
            let show = |reading: &Self| reading.show(conn, catalog, collection, &rows);
            Ok(Some(readings.iter().map(show).collect()))
        })
    }
}

impl Reading {
    /// The record as it is shown to whoever asks.
    ///
    /// # Errors
    /// 404 for what is not there, or not theirs to see; 400 for members that are none.
    fn show(
        &self,
        conn: &mut PgConnection,
        catalog: &Catalog,
        collection: &Collection,
        rows: &HashMap<Uuid, RecordRow>,
    ) -> Result<Shown, ApiError> {
        let (asker, wanted) = (&self.request.asker, &self.wanted);
        let form = Form::of(collection, asker, wanted.fields.as_deref())?;
        let references = expand::parse(wanted.expand.as_deref(), collection, asker)?;
        let row = rows.get(&self.id).ok_or_else(ApiError::not_found)?;
        let document = row.members().map(Value::Object)?;
        if !collection.rules.read.shows(asker, &row.image(&document)) {
            return Err(ApiError::not_found());
        }
        let shown = vec![form.show(row)?];
        let shown = expand(conn, catalog, asker, &references, &[row], shown)?;
        shown.into_iter().next().ok_or_else(ApiError::not_found)
    }
}

/// Finds records by their ids, whoever may see them; `None` where the collection is declared otherwise by now.
fn find(
    conn: &mut PgConnection,
    collection: &Collection,
    ids: &[Uuid],
) -> Result<Option<HashMap<Uuid, RecordRow>>, ApiError> {
    let mut found = HashMap::new();
    match find_many(conn, collection, ids, &Predicate::True)? {
        None => return Ok(None),
        Some(Some(rows)) => found.extend(rows.into_iter().map(|row| (row.id, row))),
        // Too large together.
        Some(None) => {
            for id in ids {
                let Some(row) = find_many(conn, collection, &[*id], &Predicate::True)? else {
                    return Ok(None);
                };
                found.extend(row.into_iter().flatten().map(|row| (row.id, row)));
            }
        }
    }
    Ok(Some(found))
}
