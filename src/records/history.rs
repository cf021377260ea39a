//! What records were before they were replaced.

use diesel::PgConnection;
use uuid::Uuid;

use super::{Request, Written, form::Form, form::Shown, history_store, rewrite, settle, show};
use crate::{
    collections::{Catalog, Collection},
    error::{ApiError, Code},
    precondition::Precondition,
};

/// How often restoring is tried on a record that others write to meanwhile.
const TRIES: usize = 3;

/// Lists the versions of a record that the caller may see, the newest first: those before a version, so many of them.
///
/// # Errors
/// 404 for a record that is not there, or not theirs to see, and where no versions are kept.
pub fn list_versions(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    id: Uuid,
    before: Option<i64>,
    rows: i64,
) -> Result<Vec<Shown>, ApiError> {
    let found = catalog.with(conn, &request.collection, |conn, collection| {
        demand_history(collection)?;
        let rule = collection.rules.read.predicate(&request.asker, None);
        let Some(found) = history_store::list(conn, collection, id, &rule, before, rows)? else {
            return Ok(None);
        };
        let form = Form::whole(collection, &request.asker);
        let shown: Result<Vec<_>, _> = found.iter().map(|row| form.show(row)).collect();
        shown.map(Some)
    })?;
    if found.is_empty() && before.is_none() {
        return Err(ApiError::not_found());
    }
    Ok(found)
}

/// Reads one version of a record.
///
/// # Errors
/// 404 for what is not there, or not the caller's to see.
pub fn read_version(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    id: Uuid,
    version: i64,
) -> Result<Shown, ApiError> {
    let found = catalog.with(conn, &request.collection, |conn, collection| {
        demand_history(collection)?;
        let rule = collection.rules.read.predicate(&request.asker, None);
        let Some(found) = history_store::find(conn, collection, id, &rule, version)? else {
            return Ok(None);
        };
        let row = found.ok_or_else(ApiError::not_found)?;
        show(collection, &request.asker, &row).map(Some)
    })?;
    Ok(found)
}

/// Replaces a record by what it was in an earlier version, as the caller sees that.
///
/// # Errors
/// Those of replacing it; 404 for a version that is not there.
pub fn restore(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    id: Uuid,
    version: i64,
    precondition: &Precondition,
) -> Result<Shown, ApiError> {
    catalog.with(conn, &request.collection, |conn, collection| {
        demand_history(collection)?;
        let rule = collection.rules.read.predicate(&request.asker, None);
        let Some(found) = history_store::find(conn, collection, id, &rule, version)? else {
            return Ok(None);
        };
        let found = found.ok_or_else(ApiError::not_found)?;
        let mut document = found.members()?;
        for name in Form::whole(collection, &request.asker).hidden(&found, &document) {
            document.remove(&name);
        }
        let document = serde_json::Value::Object(document);
        for _ in 0..TRIES {
            let make = |_visible: &mut _| Ok(document.clone());
            let Some(written) = rewrite(conn, collection, request, id, precondition, make)? else {
                return Ok(None);
            };
            if !matches!(written, Written::Unexpected(_)) {
                let row = settle(written, collection, precondition)?;
                return show(collection, &request.asker, &row).map(Some);
            }
        }
        Err(Code::Overloaded.into())
    })
}

fn demand_history(collection: &Collection) -> Result<(), ApiError> {
    if collection.has_history {
        return Ok(());
    }
    let detail = "This collection keeps no versions: its declaration has no `history`";
    Err(ApiError::new(Code::NotFound, detail))
}
