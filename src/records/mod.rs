//! Records: the documents of declared collections, as far as their rules let a caller go.

mod aggregate;
pub mod aggregate_routes;
mod aggregate_store;
mod batch;
pub mod batch_routes;
mod change;
mod conditions;
mod count_store;
mod create;
mod expand;
mod export;
mod form;
mod history;
pub mod history_routes;
mod history_store;
mod import;
mod insert_store;
mod line_routes;
mod list;
pub mod list_routes;
mod list_store;
mod many_store;
mod order;
mod read;
mod references;
pub mod routes;
mod row;
mod selection;
mod store;
mod transfer;

use diesel::PgConnection;
use uuid::Uuid;

pub use aggregate::{Aggregated, Aggregation, Figure, aggregate};
pub use batch::{Action, Batch, Operation, Outcome, Outcomes, run_batch};
pub use change::{change, replace};
pub use create::{Creation, create};
pub use export::{Lines, export};
pub use form::Shown;
pub use history::{list_versions, read_version, restore};
pub use import::{LineReport, import};
pub use list::{Count, ListQuery, Listing, filter, list};
pub use order::Place;
pub use read::{Reading, Wanted};
pub use row::RecordRow;
pub use transfer::{export_any_owner, import_any_owner};

use crate::{
    collections::{Asker, Catalog, Collection, CollectionName},
    error::{ApiError, Code, FieldError},
    idempotency,
    precondition::Precondition,
};
use conditions::Conditions;
use create::{create_as, create_under};
use form::Form;
use store::Written;

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
