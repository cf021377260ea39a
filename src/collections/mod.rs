//! Collections: what kinds of records there are, as developers declare them with a schema and rules.

mod catalog;
mod compiled;
mod declaration;
mod extensions;
mod index_store;
mod indexes;
mod reference_store;
pub mod routes;
mod schema;
mod store;
mod term;
mod type_names;

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use catalog::Catalog;
pub use compiled::{Asker, Collection, Permission, RECORD, Rules, claims};
pub use declaration::{Declaration, OnOwnerDelete, RuleTexts};
pub use extensions::{MemberRule, OnDelete, Reference};
pub use index_store::{IndexRow, are_building, list as list_indexes, progress as index_progress};
pub use indexes::build_next;
pub use schema::{DATA, NAMED};
pub use store::{
    CollectionRow, Declared, declared, find, gate_name, generation, history_name, list, table_name,
};
pub use term::Term;
pub use type_names::{OURS, TypeNames};

use extensions::Extensions;
use indexes::Index;

use crate::{
    audit::{Action, Actor, Event},
    db,
    error::{ApiError, Code, FieldError},
    input::Shape,
    precondition::Precondition,
};

/// A collection's name, which stands in the URIs of its records: `[a-z][a-z0-9_]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct CollectionName(String);

/// Says that a text is no collection's name.
#[derive(Debug, thiserror::Error)]
#[error(
    "a collection's name begins with a lower-case letter and goes on with letters, digits and `_`, 63 at most"
)]
pub struct InvalidName;

impl FromStr for CollectionName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let valid = text.len() <= 63
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        valid.then(|| Self(text.to_owned())).ok_or(InvalidName)
    }
}

impl TryFrom<String> for CollectionName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<CollectionName> for String {
    fn from(name: CollectionName) -> Self {
        name.0
    }
}

impl AsRef<str> for CollectionName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// What saving a declaration did, or would do.
#[derive(Debug)]
pub struct Saved {
    /// The collection as it is now.
    pub row: CollectionRow,
    /// Whether there was none of this name before.
    pub is_new: bool,
}

/// How a declaration is saved.
#[derive(Clone, Debug, Default)]
pub struct Saving {
    /// Of what the caller has seen.
    pub precondition: Precondition,
    /// Also where stored records don't fit the schema.
    pub is_forced: bool,
}

/// Declares a collection, or declares it anew; nothing else writes to its records meanwhile.
///
/// # Errors
/// 422 for what can't be compiled, 412, 409 for a type's name that another has or stored records that don't fit.
pub fn save(
    conn: &mut PgConnection,
    actor: &Actor,
    name: &CollectionName,
    declaration: &Declaration,
    saving: &Saving,
) -> Result<Saved, ApiError> {
    let Compiled {
        shape,
        indexes,
        references,
    } = compile(declaration)?;
    let checked = check_stored(conn, name, declaration, &shape, saving)?;
    db::tx(conn, |conn| {
        store::hold_name(conn, name.as_ref())?;
        let stored = store::lock(conn, name.as_ref())?;
        let current = stored.as_ref().map(|stored| stored.generation);
        saving.precondition.check(current)?;
        type_names::refuse_taken(conn, name.as_ref(), &declaration.type_name)?;
        let (row, action) = match &stored {
            None => {
                let row = store::insert(conn, name.as_ref(), declaration)?;
                store::create_table(conn, row.serial)?;
                (row, Action::CollectionCreated)
            }
            Some(stored) if stored.declares(declaration) => {
                indexes::settle(conn, stored, &indexes, false)?;
                return Ok(Saved {
                    row: stored.clone(),
                    is_new: false,
                });
            }
            Some(stored) => {
                if !saving.is_forced && checked.generation != Some(stored.generation) {
                    // Somebody else has declared it meanwhile, and other records may have been stored.
                    return Err(Code::Overloaded.into());
                }
                store::hold_records(conn, stored.serial)?;
                if let Some(since) = checked.since {
                    // Only what was written after the others were checked.
                    refuse(&store::misfits(conn, stored.serial, &shape, since)?)?;
                }
                let row = store::update(conn, name.as_ref(), declaration)?;
                (row, Action::CollectionUpdated)
            }
        };
        if declaration.history {
            store::create_history(conn, row.serial)?;
        }
        reference_store::settle(conn, &row.name, row.serial, &references)?;
        indexes::settle(conn, &row, &indexes, stored.is_none())?;
        let details = json!({
            "collection": name,
            "generation": row.generation,
            "forced": saving.is_forced,
        });
        Event {
            actor,
            action,
            subject_id: None,
            details,
        }
        .record(conn)?;
        Ok(Saved {
            row,
            is_new: stored.is_none(),
        })
    })
}

/// What of a declaration has to be brought about.
struct Compiled {
    shape: Shape,
    indexes: Vec<Index>,
    references: Vec<Reference>,
}

/// Compiles all of a declaration.
fn compile(declaration: &Declaration) -> Result<Compiled, ApiError> {
    declaration.check_type_name()?;
    type_names::refuse_ours(&declaration.type_name)?;
    let shape = schema::compile(declaration)?;
    Rules::compile(declaration)?;
    let extensions = Extensions::compile(declaration)?;
    Ok(Compiled {
        shape,
        indexes: indexes::of(declaration, &extensions)?,
        references: extensions.references,
    })
}

/// How much earlier a record may have got its time than it was committed.
const OVERLAP: TimeDelta = TimeDelta::seconds(30);

/// What was checked before writers had to wait.
#[derive(Clone, Copy, Debug)]
struct Checked {
    /// The declaration that was there; `None` where there was none.
    generation: Option<i64>,
    /// Since when written records are still to be checked; `None` where none has to be.
    since: Option<DateTime<Utc>>,
}

/// Checks the stored records while everybody goes on writing, unless the schema stays or it is forced.
fn check_stored(
    conn: &mut PgConnection,
    name: &CollectionName,
    declaration: &Declaration,
    shape: &Shape,
    saving: &Saving,
) -> Result<Checked, ApiError> {
    let begun = store::now(conn)?;
    let stored = store::find(conn, name.as_ref())?;
    let unchecked = Checked {
        generation: stored.as_ref().map(|stored| stored.generation),
        since: None,
    };
    let Some(stored) = stored.filter(|_| !saving.is_forced) else {
        return Ok(unchecked);
    };
    if stored.declaration()?.schema == declaration.schema {
        return Ok(unchecked);
    }
    refuse(&store::misfits(
        conn,
        stored.serial,
        shape,
        DateTime::UNIX_EPOCH,
    )?)?;
    Ok(Checked {
        since: Some(begun - OVERLAP),
        ..unchecked
    })
}

/// Tells how a declaration would do, and changes nothing.
///
/// # Errors
/// 422 for what can't be compiled, 412.
pub fn try_out(
    conn: &mut PgConnection,
    name: &CollectionName,
    declaration: &Declaration,
    saving: &Saving,
) -> Result<store::Misfits, ApiError> {
    let shape = compile(declaration)?.shape;
    let stored = store::find(conn, name.as_ref())?;
    let current = stored.as_ref().map(|stored| stored.generation);
    saving.precondition.check(current)?;
    match stored {
        None => Ok(store::Misfits::default()),
        Some(stored) => store::misfits(conn, stored.serial, &shape, DateTime::UNIX_EPOCH),
    }
}

/// Deletes a collection with all its records.
///
/// # Errors
/// 404, 412.
pub fn delete(
    conn: &mut PgConnection,
    actor: &Actor,
    name: &CollectionName,
    precondition: &Precondition,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let stored = store::lock(conn, name.as_ref())?.ok_or_else(ApiError::not_found)?;
        precondition.check(Some(stored.generation))?;
        let referring = reference_store::referring(conn, name.as_ref())?;
        if !referring.is_empty() {
            let detail = format!("Records of {} refer to its records", referring.join(", "));
            return Err(ApiError::new(Code::CollectionReferenced, detail));
        }
        store::delete(conn, &stored)?;
        Event {
            actor,
            action: Action::CollectionDeleted,
            subject_id: None,
            details: json!({"collection": name}),
        }
        .record(conn)?;
        Ok(())
    })
}

/// Where a collection is.
pub fn location(name: &str) -> String {
    format!("/v1/collections/{name}")
}

fn refuse(misfits: &store::Misfits) -> Result<(), ApiError> {
    if misfits.count == 0 {
        return Ok(());
    }
    let mut error = ApiError::with_errors(Code::RecordsMisfit, misfits.errors());
    error.detail = format!(
        "{} of {} stored records don't fit the schema",
        misfits.count, misfits.of
    )
    .into();
    Err(error)
}

impl store::Misfits {
    /// The first of them, as places below `/records`.
    pub fn errors(&self) -> Vec<FieldError> {
        self.some
            .iter()
            .flat_map(|(id, faults)| {
                faults.iter().map(move |fault| {
                    let pointer = format!("/records/{id}{}", fault.pointer);
                    FieldError::new(pointer, &fault.code, fault.detail.clone())
                })
            })
            .collect()
    }
}
