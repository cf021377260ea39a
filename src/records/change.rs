//! Replacing and changing records.

use diesel::PgConnection;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Request, Shown, check_id,
    conditions::Conditions,
    create_under, demand,
    form::{Form, settle_members, without_hidden},
    references, settle, show,
    store::{self, Written},
};
use crate::{
    collections::{Catalog, Collection},
    error::{ApiError, Code},
    patch::Patch,
    precondition::Precondition,
};

/// How often a change is tried on a record that others write to meanwhile.
const TRIES: usize = 3;

/// Where a record is that is changed, and under which condition of the caller's.
pub(super) struct Target<'a> {
    pub catalog: &'a Catalog,
    pub collection: &'a Collection,
    pub request: &'a Request,
    pub id: Uuid,
    pub precondition: &'a Precondition,
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
        let target = Target {
            catalog,
            collection,
            request,
            id,
            precondition,
        };
        for _ in 0..TRIES {
            let Some(written) = target.overwrite(conn, document)? else {
                return Ok(None);
            };
            match written {
                Written::Nothing => {}
                // Somebody else was faster than it was read.
                Written::Unexpected(version) if collection.is_read_before_writing() => {
                    demand(collection, precondition, version)?;
                    continue;
                }
                written => {
                    let row = settle(written, collection, precondition)?;
                    let shown = show(collection, &request.asker, &row)?;
                    return Ok(Some((shown, false)));
                }
            }
            precondition.check(None)?;
            check_id(id)?;
            match create_under(conn, catalog, collection, request, id, document)? {
                None => return Ok(None),
                Some(Some(shown)) => return Ok(Some((shown, true))),
                // Somebody else has made it meanwhile.
                Some(None) => {}
            }
        }
        Err(Code::Overloaded.into())
    })
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
    let make = |visible: &Value| {
        let mut document = visible.clone();
        patch.apply(&mut document)?;
        Ok(document)
    };
    catalog.with(conn, &request.collection, |conn, collection| {
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

impl Target<'_> {
    /// Replaces a record that is there. Where it is read before, what was read is what is replaced.
    fn overwrite(
        &self,
        conn: &mut PgConnection,
        document: &Value,
    ) -> Result<Option<Written>, ApiError> {
        let is_read = self.collection.is_read_before_writing();
        if is_read {
            let written = self.rewrite(conn, |_visible| Ok(document.clone()))?;
            if !matches!(written, Some(Written::Nothing)) {
                return Ok(written);
            }
        }
        let mut document = document.clone();
        let text = self.collection.accept(&mut document)?;
        let mut conditions = self.conditions(&document);
        if is_read {
            // Only to tell whether it is hidden: no record has this version.
            conditions = conditions.only(0);
        }
        self.write(conn, &conditions, text)
    }

    /// The same as `rewrite`, again where somebody else was faster; what they made of it may still fit the caller's condition.
    pub fn rewrite_again(
        &self,
        conn: &mut PgConnection,
        make: impl Fn(&Value) -> Result<Value, ApiError>,
    ) -> Result<Option<Shown>, ApiError> {
        for _ in 0..TRIES {
            let Some(written) = self.rewrite(conn, &make)? else {
                return Ok(None);
            };
            if !matches!(written, Written::Unexpected(_)) {
                let row = settle(written, self.collection, self.precondition)?;
                return show(self.collection, &self.request.asker, &row).map(Some);
            }
        }
        Err(Code::Overloaded.into())
    }

    /// Reads a record, makes another document of what the caller sees of it, and writes that in place of the version that was
    /// read; what became of that is `Unexpected` where somebody else was faster, and `Nothing` where there is nothing to see.
    fn rewrite(
        &self,
        conn: &mut PgConnection,
        make: impl Fn(&Value) -> Result<Value, ApiError>,
    ) -> Result<Option<Written>, ApiError> {
        let (collection, asker) = (self.collection, &self.request.asker);
        let rule = collection.rules.read.predicate(asker, None);
        let Some(found) = store::find(conn, collection, self.id, &rule)? else {
            return Ok(None);
        };
        let Some(found) = found else {
            return Ok(Some(Written::Nothing));
        };
        demand(collection, self.precondition, found.version)?;
        let mut visible = found.members()?;
        let hidden = Form::whole(collection, asker).hidden(&found, &visible);
        let stored = Value::Object(visible.clone());
        visible.retain(|name, _| !hidden.contains(name));
        let mut document = make(&Value::Object(visible))?;
        let before = found.image(&stored);
        settle_members(collection, asker, &before, &hidden, &mut document)?;
        let accepted = collection.accept(&mut document);
        let text = accepted.map_err(|error| without_hidden(error, &hidden))?;
        references::check(
            conn,
            self.catalog,
            collection,
            asker,
            Some(&stored),
            &document,
        )?;
        let seen = self.conditions(&document).only(found.version);
        self.write(conn, &seen, text)
    }

    fn conditions(&self, document: &Value) -> Conditions {
        Conditions::of(
            self.collection,
            self.request,
            self.precondition,
            Some(document),
        )
    }

    fn write(
        &self,
        conn: &mut PgConnection,
        conditions: &Conditions,
        text: String,
    ) -> Result<Option<Written>, ApiError> {
        let written = store::replace(conn, self.collection, self.id, conditions, text);
        written.map_err(|error| self.collection.refusal(error))
    }
}
