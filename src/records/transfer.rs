//! All records of a collection, as the operator takes them out and puts them back: no rule has a say.

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    insert_store::{self, Inserted, Kept, New},
    list_store::{self, Part, Window},
    order::{Order, Place},
    row::SERVER_MEMBERS,
    selection::Selection,
};
use crate::{
    collections::{Catalog, Collection, CollectionName},
    error::{ApiError, FieldError},
    strict_json,
};

/// Far from where counting ends, and exact in every client.
const LARGEST_VERSION: i64 = 9_007_199_254_740_992;

/// Records that are read together.
const TOGETHER: i64 = 500;

/// Gives out every record of a collection, as JSON, inside the caller's snapshot.
///
/// # Errors
/// 404 for no collection; those of `out`.
pub fn export_any_owner(
    conn: &mut PgConnection,
    catalog: &Catalog,
    name: &CollectionName,
    mut out: impl FnMut(&str) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let mut after: Option<Place> = None;
    loop {
        let (found, end) = catalog.with(conn, name, |conn, collection| {
            let (selection, order) = (Selection::everything(), Order::default());
            let window = Window {
                collection,
                selection: &selection,
                order: &order,
                part: after.as_ref().map_or(Part::Beginning, Part::After),
                rows: TOGETHER,
            };
            let Some(found) = list_store::list(conn, window)? else {
                return Ok(None);
            };
            let end = found.end(&order)?;
            Ok(Some((found, end)))
        })?;
        for record in &found.records {
            out(&record.text(&SERVER_MEMBERS))?;
        }
        if end.is_none() {
            return Ok(());
        }
        after = end;
    }
}

/// A record as it was exported.
#[derive(Debug, Deserialize)]
struct Exported {
    id: Uuid,
    #[serde(default)]
    owner: Option<Uuid>,
    #[serde(deserialize_with = "positive")]
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    #[serde(flatten)]
    document: Map<String, Value>,
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let version = i64::deserialize(deserializer)?;
    if !(1..=LARGEST_VERSION).contains(&version) {
        return Err(D::Error::custom("a version is a number from 1 to 2^53"));
    }
    Ok(version)
}

/// Stores a record as it was exported: with its id, owner, version and times. Tells whether it was not there yet; an owner who has
/// no account is none.
///
/// # Errors
/// 400 and 422 for a line that is no exported record, or doesn't fit the schema; 404 for no collection.
pub fn import_any_owner(
    conn: &mut PgConnection,
    catalog: &Catalog,
    name: &CollectionName,
    line: &[u8],
) -> Result<bool, ApiError> {
    let text = strict_json::check(line)?;
    let exported: Exported = serde_json::from_str(text).map_err(|error| {
        ApiError::invalid(vec![FieldError::new("", "record", error.to_string())])
    })?;
    catalog.with(conn, name, |conn, collection| {
        store_exported(conn, collection, &exported)
    })
}

fn store_exported(
    conn: &mut PgConnection,
    collection: &Collection,
    exported: &Exported,
) -> Result<Option<bool>, ApiError> {
    let mut document = Value::Object(exported.document.clone());
    let mut new = New {
        id: exported.id,
        owner: exported.owner,
        document: collection.accept(&mut document)?,
        is_id_new: true,
        kept: Some(Kept {
            version: exported.version,
            created_at: exported.created_at,
            updated_at: exported.updated_at,
        }),
    };
    loop {
        let inserted = insert_store::insert_one(conn, collection, &new);
        match inserted.map_err(|error| collection.refusal(error))? {
            None => return Ok(None),
            Some(Inserted::Ownerless) => new.owner = None,
            Some(Inserted::Taken) => return Ok(Some(false)),
            Some(Inserted::Done(_)) => return Ok(Some(true)),
        }
    }
}
