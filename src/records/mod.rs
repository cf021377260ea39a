//! Records: the documents of declared collections, as far as their rules let a caller go.

mod conditions;
mod list;
mod list_store;
mod order;
pub mod routes;
mod row;
mod store;

use diesel::PgConnection;
use serde_json::Value;
use uuid::Uuid;

pub use list::{ListQuery, Listing, filter, list};
pub use list_store::Listed;
pub use order::Place;
pub use row::RecordRow;

use crate::{
    collections::{Asker, Catalog, Collection, CollectionName},
    error::{ApiError, Code, FieldError},
    idempotency,
    patch::Patch,
    precondition::Precondition,
};
use conditions::Conditions;
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

/// Reads a record that the caller may see.
///
/// # Errors
/// 404 for what is not there, or not theirs to see.
pub fn read(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    id: Uuid,
) -> Result<RecordRow, ApiError> {
    let found = catalog.with(conn, &request.collection, |conn, collection| {
        let rule = collection.rules.read.predicate(&request.asker, None);
        Ok(store::find(conn, collection, id, &rule)?)
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
) -> Result<RecordRow, ApiError> {
    let id = Uuid::now_v7();
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
) -> Result<Option<Option<RecordRow>>, ApiError> {
    let mut document = document.clone();
    let text = collection.accept(&mut document)?;
    if !collection.rules.create.allows(&request.asker, &document) {
        return Err(Code::RuleForbids.into());
    }
    let new = New {
        id,
        owner: request.owner,
        document: text,
        is_id_new,
    };
    match store::insert(conn, collection, &new)? {
        // Their account was erased while their token lived on.
        Some(Inserted::Ownerless) => {
            Err(ApiError::from(Code::InvalidToken).challenge(", error=\"invalid_token\""))
        }
        Some(Inserted::Taken) => Ok(Some(None)),
        Some(Inserted::Done(row)) => Ok(Some(Some(row))),
        None => Ok(None),
    }
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
) -> Result<(RecordRow, bool), ApiError> {
    catalog.with(conn, &request.collection, |conn, collection| {
        for _ in 0..TRIES {
            let mut document = document.clone();
            let text = collection.accept(&mut document)?;
            let conditions = Conditions::of(collection, request, precondition, Some(&document));
            let Some(written) = store::replace(conn, collection, id, &conditions, text)? else {
                return Ok(None);
            };
            if !matches!(written, Written::Nothing) {
                return settle(written, collection, precondition).map(|row| Some((row, false)));
            }
            precondition.check(None)?;
            check_id(id)?;
            match insert(conn, collection, request, id, false, &document)? {
                None => return Ok(None),
                Some(Some(row)) => return Ok(Some((row, true))),
                // Somebody else has made it meanwhile.
                Some(None) => {}
            }
        }
        Err(Code::Overloaded.into())
    })
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
) -> Result<RecordRow, ApiError> {
    catalog.with(conn, &request.collection, |conn, collection| {
        for _ in 0..TRIES {
            let rule = collection.rules.read.predicate(&request.asker, None);
            let Some(found) = store::find(conn, collection, id, &rule)? else {
                return Ok(None);
            };
            let found = found.ok_or_else(ApiError::not_found)?;
            demand(collection, precondition, found.version)?;
            let mut document = found.document()?;
            patch.apply(&mut document)?;
            let text = collection.accept(&mut document)?;
            let seen = Conditions::of(collection, request, precondition, Some(&document))
                .only(found.version);
            let Some(written) = store::replace(conn, collection, id, &seen, text)? else {
                return Ok(None);
            };
            match written {
                // Somebody else was faster; what they made of it may still fit the caller's condition.
                Written::Unexpected(_) => {}
                Written::Nothing => return Err(ApiError::not_found()),
                written => return settle(written, collection, precondition).map(Some),
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
