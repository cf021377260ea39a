//! Records that others refer to, shown with them.

use std::collections::HashMap;

use diesel::PgConnection;
use serde_json::Value;
use uuid::Uuid;

use super::{
    form::{Form, Shown},
    list::refused,
    many_store,
    row::RecordRow,
};
use crate::{
    collections::{Asker, Catalog, Collection, CollectionName, Reference},
    error::ApiError,
};

/// Members that one request may expand.
const MOST: usize = 5;

/// Bytes of what is shown with the records of one answer.
const MOST_BYTES: usize = 4_194_304;

/// The member of a shown record that holds those that it refers to.
const EXPANDED: &str = "expanded";

/// Reads `customer,product`: members that refer to other records.
///
/// # Errors
/// 400 for members that refer to none, or are not the caller's to see.
pub(super) fn parse<'a>(
    text: Option<&str>,
    collection: &'a Collection,
    asker: &Asker,
) -> Result<Vec<&'a Reference>, ApiError> {
    let members = collection.members_for(asker);
    let names = text.into_iter().flat_map(|text| text.split(','));
    let names: Vec<_> = names.map(str::trim).collect();
    let is_twice =
        |(place, name): (usize, &&str)| names.iter().skip(place + 1).any(|one| one == name);
    if names.iter().enumerate().any(is_twice) {
        return Err(refused("/expand", "expand", "a member is named twice"));
    }
    if names.len() > MOST {
        let detail = format!("at most {MOST} members");
        return Err(refused("/expand", "expand", &detail));
    }
    let reference = |name: &&str| {
        let mut references = collection.references().iter();
        references
            .find(|reference| reference.member == **name)
            .filter(|reference| members.kind(&reference.member).is_some())
            .ok_or_else(|| {
                let detail = format!("`{name}` refers to no other records");
                refused("/expand", "expand", &detail)
            })
    };
    names.iter().map(reference).collect()
}

/// Adds to each shown record those that it refers to and that the caller may read.
///
/// # Errors
/// 400 where they are too large together; 404 never: what is not there is not shown.
pub(super) fn expand(
    conn: &mut PgConnection,
    catalog: &Catalog,
    asker: &Asker,
    references: &[&Reference],
    rows: &[&RecordRow],
    shown: Vec<Shown>,
) -> Result<Vec<Shown>, ApiError> {
    if references.is_empty() {
        return Ok(shown);
    }
    let (mut expanded, mut bytes) = (vec![Vec::new(); shown.len()], 0);
    for reference in references {
        let ids = rows.iter().map(|row| target_of(row, &reference.member));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let found = find(conn, catalog, asker, reference, &ids)?;
        for (target, into) in ids.iter().zip(&mut expanded) {
            if let Some(text) = target.and_then(|id| found.get(&id)) {
                bytes += text.len();
                if bytes > MOST_BYTES {
                    return Err(too_large());
                }
                into.push(format!("\"{}\":{text}", reference.member));
            }
        }
    }
    let with = |(shown, parts): (Shown, Vec<String>)| {
        shown.with(EXPANDED, &format!("{{{}}}", parts.join(",")))
    };
    Ok(shown.into_iter().zip(expanded).map(with).collect())
}

fn target_of(row: &RecordRow, member: &str) -> Result<Option<Uuid>, ApiError> {
    let members = row.members()?;
    let id = members.get(member).and_then(Value::as_str);
    Ok(id.and_then(|id| id.parse().ok()))
}

fn too_large() -> ApiError {
    let detail = "the records that are referred to are too large together; ask for fewer";
    refused("/expand", "maxLength", detail)
}

/// The records of these ids that the caller may read, as they are shown.
fn find(
    conn: &mut PgConnection,
    catalog: &Catalog,
    asker: &Asker,
    reference: &Reference,
    ids: &[Option<Uuid>],
) -> Result<HashMap<Uuid, String>, ApiError> {
    let mut ids: Vec<Uuid> = ids.iter().flatten().copied().collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let target = CollectionName::try_from(reference.target.clone()).map_err(ApiError::internal)?;
    catalog.with(conn, &target, |conn, target| {
        let rule = target.rules.read.predicate(asker, None);
        let Some(rows) = many_store::find_many(conn, target, &ids, &rule)? else {
            return Ok(None);
        };
        let rows = rows.ok_or_else(too_large)?;
        let form = Form::whole(target, asker);
        let show = |row: &RecordRow| Ok((row.id, form.show(row)?.text().to_owned()));
        rows.iter()
            .map(show)
            .collect::<Result<_, ApiError>>()
            .map(Some)
    })
}
