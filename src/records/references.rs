//! That records refer only to what their writers may read.

use diesel::PgConnection;
use serde_json::Value;
use uuid::Uuid;

use super::many_store;
use crate::{
    collections::{Asker, Catalog, Collection, CollectionName},
    error::{ApiError, FieldError},
    input::escaped,
};

/// Refuses references that are new in a document and that lead to nothing that the caller may read: to them it is not there, and
/// nobody's record is held by those who can't see it.
///
/// # Errors
/// 422 that points at each.
pub(super) fn check(
    conn: &mut PgConnection,
    catalog: &Catalog,
    collection: &Collection,
    asker: &Asker,
    before: Option<&Value>,
    document: &Value,
) -> Result<(), ApiError> {
    let mut faults = Vec::new();
    for reference in collection.references() {
        let value = document.get(&reference.member);
        let is_new = value != before.and_then(|before| before.get(&reference.member));
        let id = value.and_then(Value::as_str).map(str::parse::<Uuid>);
        let Some(Ok(id)) = id.filter(|_| is_new) else {
            continue;
        };
        let target =
            CollectionName::try_from(reference.target.clone()).map_err(ApiError::internal)?;
        let is_there = catalog.with(conn, &target, |conn, target| {
            let rule = target.rules.read.predicate(asker, None);
            let found = many_store::find_many(conn, target, &[id], &rule)?;
            Ok(found.map(|found| found.is_none_or(|found| !found.is_empty())))
        })?;
        if !is_there {
            let pointer = format!("/{}", escaped(&reference.member));
            faults.push(FieldError::new(
                pointer,
                "reference",
                "it refers to no record",
            ));
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(faults))
    }
}
