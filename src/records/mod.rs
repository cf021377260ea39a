//! Records: the documents of declared collections, as far as their rules let a caller go.

mod aggregate;
pub mod aggregate_routes;
mod aggregate_store;
mod batch;
pub mod batch_routes;
mod conditions;
mod count_store;
mod expand;
mod export;
mod form;
mod history;
pub mod history_routes;
mod history_store;
mod import;
mod line_routes;
mod list;
pub mod list_routes;
mod list_store;
mod many_store;
mod order;
pub mod routes;
mod row;
mod selection;
mod store;
mod transfer;

use diesel::PgConnection;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use aggregate::{Aggregated, Aggregation, Figure, aggregate};
pub use batch::{Action, Batch, Operation, Outcome, Outcomes, run_batch};
pub use export::{Lines, export};
pub use form::Shown;
pub use history::{list_versions, read_version, restore};
pub use import::{LineReport, import};
pub use list::{Count, Item, ListQuery, Listing, filter, list};
pub use order::Place;
pub use row::RecordRow;
pub use transfer::{export_any_owner, import_any_owner};

use crate::{
    collections::{Asker, Catalog, Collection, CollectionName},
    error::{ApiError, Code, FieldError},
    idempotency,
    patch::Patch,
    precondition::Precondition,
    rules::Record,
};
use conditions::Conditions;
use form::{Form, settle_members, without_hidden};
use store::{Inserted, New, Written};

/// How often a patch is tried on a record that others write to meanwhile.
const TRIES: usize = 3;

/// Where a record is, and who asks for it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its collection.
    pub collection: CollectionName,
    /// Who asks.
    pub asker: Asker,
    /// Whose a record becomes that they make.
    pub owner: Option<Uuid>,
}

/// What of a record is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Members, separated by commas; without, all.
    pub fields: Option<String>,
    /// Members that refer to other records, separated by commas: those are wanted, too.
    pub expand: Option<String>,
}

/// Reads a record that the caller may see: all that they may see of it, or the members that `fields` names.
///
/// # Errors
/// 404 for what is not there, or not theirs to see; 400 for fields that are none.
pub fn read(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    id: Uuid,
    wanted: &Wanted,
) -> Result<Shown, ApiError> {
    let found = catalog.with(conn, &request.collection, |conn, collection| {
        let form = Form::of(collection, &request.asker, wanted.fields.as_deref())?;
        let references = expand::parse(wanted.expand.as_deref(), collection, &request.asker)?;
        let rule = collection.rules.read.predicate(&request.asker, None);
        let Some(found) = store::find(conn, collection, id, &rule)? else {
            return Ok(None);
        };
        let Some(row) = found else {
            return Ok(Some(None));
        };
        let shown = vec![form.show(&row)?];
        let shown = expand::expand(conn, catalog, &request.asker, &references, &[&row], shown)?;
        Ok(Some(shown.into_iter().next()))
    })?;
    found.ok_or_else(ApiError::not_found)
}

/// Makes a record.
///
/// # Errors
/// 403 where the rules don't allow it, 422 for what doesn't fit the schema.
pub fn create(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    document: &Value,
) -> Result<Shown, ApiError> {
    create_as(conn, catalog, request, Uuid::now_v7(), document)
}

/// Makes a record under an id that nobody has had.
fn create_as(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    id: Uuid,
    document: &Value,
) -> Result<Shown, ApiError> {
    let made = catalog.with(conn, &request.collection, |conn, collection| {
        insert(conn, collection, request, id, true, document)
    })?;
    made.ok_or_else(|| ApiError::internal("a new id was taken"))
}

/// The record that was made; inside, `None` where its id is taken; outside, where the collection is declared otherwise by now.
fn insert(
    conn: &mut PgConnection,
    collection: &Collection,
    request: &Request,
    id: Uuid,
    is_id_new: bool,
    document: &Value,
) -> Result<Option<Option<Shown>>, ApiError> {
    let mut document = document.clone();
    settle_new(collection, request, id, &mut document)?;
    let text = collection.accept(&mut document)?;
    if !collection.rules.create.allows(&request.asker, &document) {
        return Err(Code::RuleForbids.into());
    }
    let new = New {
        id,
        owner: request.owner,
        document: text,
        is_id_new,
        kept: None,
    };
    let inserted = store::insert(conn, collection, &new);
    match inserted.map_err(|error| collection.refusal(error))? {
        // Their account was erased while their token lived on.
        Some(Inserted::Ownerless) => {
            Err(ApiError::from(Code::InvalidToken).challenge(", error=\"invalid_token\""))
        }
        Some(Inserted::Taken) => Ok(Some(None)),
        Some(Inserted::Done(row)) => {
            show(collection, &request.asker, &row).map(|shown| Some(Some(shown)))
        }
        None => Ok(None),
    }
}

/// Refuses members of a new record that are not the caller's to write: to rules it is a record of theirs without members.
fn settle_new(
    collection: &Collection,
    request: &Request,
    id: Uuid,
    document: &mut Value,
) -> Result<(), ApiError> {
    let (nothing, now) = (Value::Object(Map::new()), request.asker.now);
    let before = Record {
        id,
        owner: request.owner,
        version: 0,
        created_at: now,
        updated_at: now,
        data: &nothing,
    };
    settle_members(collection, &request.asker, &before, &[], document)
}

/// A record as a caller is shown it.
///
/// # Errors
/// 500 for a damaged record.
pub fn show(collection: &Collection, asker: &Asker, row: &RecordRow) -> Result<Shown, ApiError> {
    Form::whole(collection, asker).show(row)
}

/// Replaces a record, or makes it under this id.
///
/// # Errors
/// 403, 404, 412, 422, 428 as the collection and the caller's condition have it.
pub fn replace(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    id: Uuid,
    precondition: &Precondition,
    document: &Value,
) -> Result<(Shown, bool), ApiError> {
    catalog.with(conn, &request.collection, |conn, collection| {
        for _ in 0..TRIES {
            let Some(written) = overwrite(conn, collection, request, id, precondition, document)?
            else {
                return Ok(None);
            };
            match written {
                Written::Nothing => {}
                // Somebody else was faster than it was read.
                Written::Unexpected(version) if collection.has_member_rules() => {
                    demand(collection, precondition, version)?;
                    continue;
                }
                written => {
                    let row = settle(written, collection, precondition)?;
                    return show(collection, &request.asker, &row)
                        .map(|shown| Some((shown, false)));
                }
            }
            precondition.check(None)?;
            check_id(id)?;
            match insert(conn, collection, request, id, false, document)? {
                None => return Ok(None),
                Some(Some(shown)) => return Ok(Some((shown, true))),
                // Somebody else has made it meanwhile.
                Some(None) => {}
            }
        }
        Err(Code::Overloaded.into())
    })
}

/// Replaces a record that is there. Where members have rules of their own, what was read is what is replaced.
fn overwrite(
    conn: &mut PgConnection,
    collection: &Collection,
    request: &Request,
    id: Uuid,
    precondition: &Precondition,
    document: &Value,
) -> Result<Option<Written>, ApiError> {
    if collection.has_member_rules() {
        let replaced = |_visible: &mut Value| Ok(document.clone());
        let written = rewrite(conn, collection, request, id, precondition, replaced)?;
        if !matches!(written, Some(Written::Nothing)) {
            return Ok(written);
        }
    }
    let mut document = document.clone();
    let text = collection.accept(&mut document)?;
    let mut conditions = Conditions::of(collection, request, precondition, Some(&document));
    if collection.has_member_rules() {
        // Only to tell whether it is hidden: no record has this version.
        conditions = conditions.only(0);
    }
    let written = store::replace(conn, collection, id, &conditions, text);
    written.map_err(|error| collection.refusal(error))
}

/// Reads a record, makes another document of what the caller sees of it, and writes that in place of the version that was
/// read; what became of that is `Unexpected` where somebody else was faster, and `Nothing` where there is nothing to see.
fn rewrite(
    conn: &mut PgConnection,
    collection: &Collection,
    request: &Request,
    id: Uuid,
    precondition: &Precondition,
    make: impl Fn(&mut Value) -> Result<Value, ApiError>,
) -> Result<Option<Written>, ApiError> {
    let rule = collection.rules.read.predicate(&request.asker, None);
    let Some(found) = store::find(conn, collection, id, &rule)? else {
        return Ok(None);
    };
    let Some(found) = found else {
        return Ok(Some(Written::Nothing));
    };
    demand(collection, precondition, found.version)?;
    let mut visible = found.members()?;
    let hidden = Form::whole(collection, &request.asker).hidden(&found, &visible);
    let stored = Value::Object(visible.clone());
    visible.retain(|name, _| !hidden.contains(name));
    let mut document = make(&mut Value::Object(visible))?;
    let before = found.image(&stored);
    settle_members(collection, &request.asker, &before, &hidden, &mut document)?;
    let accepted = collection.accept(&mut document);
    let text = accepted.map_err(|error| without_hidden(error, &hidden))?;
    let seen =
        Conditions::of(collection, request, precondition, Some(&document)).only(found.version);
    let written = store::replace(conn, collection, id, &seen, text);
    written.map_err(|error| collection.refusal(error))
}

/// Checks an id that a caller chose: they grow with time, so that records stay together that were made together.
fn check_id(id: Uuid) -> Result<(), ApiError> {
    if id.get_version() == Some(uuid::Version::SortRand) {
        return Ok(());
    }
    let detail = "the id of a new record is a UUIDv7 (RFC 9562 section 5.7)";
    Err(ApiError::invalid(vec![FieldError::new(
        "/id", "format", detail,
    )]))
}

/// Changes a record: the patch applies to the version that is read, and is written only in place of that.
///
/// # Errors
/// Those of `replace`, and of the patch.
pub fn change(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    id: Uuid,
    precondition: &Precondition,
    patch: &Patch,
) -> Result<Shown, ApiError> {
    let make = |visible: &mut Value| {
        let mut document = visible.take();
        patch.apply(&mut document)?;
        Ok(document)
    };
    catalog.with(conn, &request.collection, |conn, collection| {
        for _ in 0..TRIES {
            let Some(written) = rewrite(conn, collection, request, id, precondition, make)? else {
                return Ok(None);
            };
            // Else somebody else was faster; what they made of it may still fit the caller's condition.
            if !matches!(written, Written::Unexpected(_)) {
                let row = settle(written, collection, precondition)?;
                return show(collection, &request.asker, &row).map(Some);
            }
        }
        Err(Code::Overloaded.into())
    })
}

/// Deletes a record.
///
/// # Errors
/// 403, 404, 412, 428.
pub fn delete(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    id: Uuid,
    precondition: &Precondition,
) -> Result<(), ApiError> {
    catalog.with(conn, &request.collection, |conn, collection| {
        let conditions = Conditions::of_deletion(collection, request, precondition);
        match store::delete(conn, collection, id, &conditions)? {
            None => Ok(None),
            Some(written) => settle(written, collection, precondition).map(|_row| Some(())),
        }
    })?;
    // Whoever sends again what made it is not told that it is there.
    idempotency::forget(conn, &location(&request.collection, id))?;
    Ok(())
}

/// Where a record is.
pub fn location(collection: &CollectionName, id: Uuid) -> String {
    format!("/v1/data/{}/{id}", collection.as_ref())
}

/// Turns what a write found into its answer.
fn settle(
    written: Written,
    collection: &Collection,
    precondition: &Precondition,
) -> Result<RecordRow, ApiError> {
    match written {
        Written::Done(row) => Ok(row),
        Written::Nothing | Written::Hidden => Err(ApiError::not_found()),
        Written::Forbidden => Err(Code::RuleForbids.into()),
        Written::Unexpected(version) => {
            demand(collection, precondition, version)?;
            Err(Code::Overloaded.into())
        }
    }
}

/// Checks the caller's condition, and that there is one where the collection demands it.
fn demand(
    collection: &Collection,
    precondition: &Precondition,
    version: i64,
) -> Result<(), ApiError> {
    if collection.requires_precondition && precondition.if_match.is_none() {
        return Err(Code::PreconditionRequired.into());
    }
    precondition.check(Some(version))
}
