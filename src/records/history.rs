//! What records were before they were replaced.

use diesel::PgConnection;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Request,
    change::Target,
    form::{Form, Shown},
    history_store,
    row::RecordRow,
    store,
};
use crate::{
    collections::{Catalog, Collection},
    error::{ApiError, Code},
    precondition::Precondition,
};

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
        let Some(form) = form_of(conn, collection, request, id)? else {
            return Ok(None);
        };
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
        let form = form_of(conn, collection, request, id)?;
        form.map(|form| form.show(&row)).transpose()
    })?;
    Ok(found)
}

/// How a caller is shown the versions of a record: without what is hidden in the record as it is, be it seen in them.
fn form_of<'a>(
    conn: &mut PgConnection,
    collection: &'a Collection,
    request: &'a Request,
    id: Uuid,
) -> Result<Option<Form<'a>>, ApiError> {
    let form = Form::whole(collection, &request.asker);
    if collection.readable().is_empty() {
        return Ok(Some(form));
    }
    let rule = collection.rules.read.predicate(&request.asker, None);
    let Some(newest) = store::find(conn, collection, id, &rule)? else {
        return Ok(None);
    };
    let newest: RecordRow = newest.ok_or_else(ApiError::not_found)?;
    let hidden = form.hidden(&newest, &newest.members()?);
    Ok(Some(form.without(hidden)))
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
        let document = found.members()?;
        let Some(form) = form_of(conn, collection, request, id)? else {
            return Ok(None);
        };
        let hidden = form.hidden(&found, &document);
        // What they couldn't see then, or can't see now, stays as it is.
        let make = |visible: &Value| {
            let mut restored = document.clone();
            for name in &hidden {
                restored.remove(name);
                let now = visible.get(name).cloned();
                restored.extend(now.map(|now| (name.clone(), now)));
            }
            Ok(Value::Object(restored))
        };
        let target = Target {
            catalog,
            collection,
            request,
            id,
            precondition,
        };
        target.rewrite_again(conn, make)
    })
}

fn demand_history(collection: &Collection) -> Result<(), ApiError> {
    if collection.has_history {
        return Ok(());
    }
    let detail = "This collection keeps no versions: its declaration has no `history`";
    Err(ApiError::new(Code::NotFound, detail))
}
