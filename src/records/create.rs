//! Making records: those that come at the same time are stored together.

use std::sync::Arc;

use diesel::PgConnection;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Request,
    form::{Shown, settle_members},
    insert_store::{self, Inserted, New},
    references, show,
};
use crate::{
    collections::{Catalog, Collection, CollectionName},
    db::{self, Errand},
    error::{ApiError, Code, is_refusal},
    rules::Record,
    strict_json,
};

/// Bytes of a document that is stored with others.
const MOST_BYTES: usize = 16_384;

/// A record that somebody makes, under an id that nobody has had.
#[derive(Clone, Debug)]
pub struct Creation {
    request: Request,
    id: Uuid,
    document: Value,
    goes_together: bool,
}

impl Creation {
    /// What becomes of a document that was sent.
    pub fn new(catalog: &Catalog, request: Request, document: Value) -> Self {
        Self {
            goes_together: strict_json::is_within(&document, MOST_BYTES)
                && catalog
                    .known(request.collection.as_ref())
                    .is_some_and(|collection| collection.has_independent_records()),
            request,
            id: Uuid::now_v7(),
            document,
        }
    }

    /// What is to be stored with others; `None` where it takes time to find out whether it may be.
    fn prepare(&self, collection: &Collection) -> Result<Option<New>, ApiError> {
        let Self { request, id, .. } = self;
        let (document, text) = settle(collection, request, *id, &self.document)?;
        match collection
            .rules
            .create
            .allows_at_once(&request.asker, &document)
        {
            None => Ok(None),
            Some(false) => Err(Code::RuleForbids.into()),
            Some(true) => Ok(Some(New::of(request, *id, text))),
        }
    }
}

impl Errand for Creation {
    type Office = Catalog;
    type Line = CollectionName;
    type Answer = Shown;

    const IS_REPEATABLE: bool = false;

    /// Those that may be in each other's way go alone, and those that others would wait for.
    fn line(&self) -> Option<CollectionName> {
        self.goes_together.then(|| self.request.collection.clone())
    }

    fn run(
        catalog: &Catalog,
        conn: &mut PgConnection,
        creations: &[Arc<Self>],
    ) -> Result<Vec<db::Told<Self>>, ApiError> {
        let Some(first) = creations.first() else {
            return Ok(Vec::new());
        };
        catalog.with(conn, &first.request.collection, |conn, collection| {
            create_together(conn, collection, creations)
        })
    }

    fn run_alone(
        self: Arc<Self>,
        catalog: &Catalog,
        conn: &mut PgConnection,
    ) -> Result<Shown, ApiError> {
        create_as(conn, catalog, &self.request, self.id, &self.document)
    }
}

/// Makes records of one collection in one statement; where that fails, nothing is stored and each has to be made alone.
fn create_together(
    conn: &mut PgConnection,
    collection: &Collection,
    creations: &[Arc<Creation>],
) -> Result<Option<Vec<db::Told<Creation>>>, ApiError> {
    let (mut new, mut prepared) = (Vec::new(), Vec::new());
    for one in creations {
        prepared.push(one.prepare(collection).map(|one| {
            let is_there = one.is_some();
            new.extend(one);
            is_there
        }));
    }
    let inserted = match insert_store::insert(conn, collection, &new) {
        Err(error) if is_refusal(&error) => {
            tracing::debug!(%error, "records are stored one by one");
            return Ok(Some(creations.iter().map(|_one| Ok(None)).collect()));
        }
        inserted => inserted?,
    };
    let Some(inserted) = inserted else {
        return Ok(None);
    };
    let mut inserted = inserted.into_iter();
    let answer = |(one, prepared): (&Arc<Creation>, Result<bool, ApiError>)| {
        if !prepared? {
            return Ok(None);
        }
        match inserted.next() {
            // It may only be held.
            Some(Inserted::Ownerless) => Ok(None),
            Some(inserted) => shown(collection, &one.request, inserted)?
                .ok_or_else(taken)
                .map(Some),
            None => Err(taken()),
        }
    };
    Ok(Some(creations.iter().zip(prepared).map(answer).collect()))
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
pub(super) fn create_as(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    id: Uuid,
    document: &Value,
) -> Result<Shown, ApiError> {
    let made = catalog.with(conn, &request.collection, |conn, collection| {
        let new = prepare(conn, catalog, collection, request, id, document)?;
        insert(conn, collection, request, &new)
    })?;
    made.ok_or_else(taken)
}

/// Makes a record under an id that somebody may have had; `None` where it is taken.
pub(super) fn create_under(
    conn: &mut PgConnection,
    catalog: &Catalog,
    collection: &Collection,
    request: &Request,
    id: Uuid,
    document: &Value,
) -> Result<Option<Option<Shown>>, ApiError> {
    let new = prepare(conn, catalog, collection, request, id, document)?;
    let new = New {
        is_id_new: false,
        ..new
    };
    insert(conn, collection, request, &new)
}

/// The record that was made; inside, `None` where its id is taken; outside, where the collection is declared otherwise by now.
fn insert(
    conn: &mut PgConnection,
    collection: &Collection,
    request: &Request,
    new: &New,
) -> Result<Option<Option<Shown>>, ApiError> {
    let inserted = insert_store::insert_one(conn, collection, new);
    let inserted = inserted.map_err(|error| collection.refusal(error))?;
    inserted
        .map(|inserted| shown(collection, request, inserted))
        .transpose()
}

/// What is to be stored of a document, where the rules and the schema let it.
fn prepare(
    conn: &mut PgConnection,
    catalog: &Catalog,
    collection: &Collection,
    request: &Request,
    id: Uuid,
    document: &Value,
) -> Result<New, ApiError> {
    let (document, text) = settle(collection, request, id, document)?;
    if !collection.rules.create.allows(&request.asker, &document) {
        return Err(Code::RuleForbids.into());
    }
    references::check(conn, catalog, collection, &request.asker, None, &document)?;
    Ok(New::of(request, id, text))
}

/// A new document as it is to be stored, and its text.
fn settle(
    collection: &Collection,
    request: &Request,
    id: Uuid,
    document: &Value,
) -> Result<(Value, String), ApiError> {
    let mut document = document.clone();
    settle_new(collection, request, id, &mut document)?;
    let text = collection.accept(&mut document)?;
    Ok((document, text))
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

/// A record that was made, as its maker is shown it; `None` where its id is taken.
fn shown(
    collection: &Collection,
    request: &Request,
    inserted: Inserted,
) -> Result<Option<Shown>, ApiError> {
    match inserted {
        Inserted::Done(row) => show(collection, &request.asker, &row).map(Some),
        Inserted::Taken => Ok(None),
        // Their account was erased while their token lived on.
        Inserted::Ownerless => {
            Err(ApiError::from(Code::InvalidToken).challenge(", error=\"invalid_token\""))
        }
    }
}

fn taken() -> ApiError {
    ApiError::internal("a new id was taken")
}
