//! Records: the documents of declared collections, as far as their rules let a caller go.

mod aggregate;
pub mod aggregate_routes;
mod aggregate_store;
mod batch;
pub mod batch_routes;
mod change;
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
mod references;
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
pub use change::{change, replace};
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
    precondition::Precondition,
    rules::Record,
};
use conditions::Conditions;
use form::{Form, settle_members};
use store::{Inserted, New, Written};

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
        insert(conn, catalog, collection, request, id, true, document)
    })?;
    made.ok_or_else(|| ApiError::internal("a new id was taken"))
}

/// The record that was made; inside, `None` where its id is taken; outside, where the collection is declared otherwise by now.
fn insert(
    conn: &mut PgConnection,
    catalog: &Catalog,
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
    references::check(conn, catalog, collection, &request.asker, None, &document)?;
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
