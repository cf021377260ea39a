//! The order of a list, and where in it a page begins.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::row::RecordRow;
use crate::{
    collections::{Asker, Collection, Term},
    error::{ApiError, Code, FieldError},
};

/// Members that one list may be ordered by.
const MOST: usize = 4;

/// What a list is ordered by; at last by id, in the direction of the last term.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    pub terms: Vec<Term>,
}

/// The last record of a page: what it has of the terms, as text, and its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    pub(super) keys: Vec<Option<String>>,
    /// The types of these in SQL, which a new declaration may change.
    pub(super) types: Vec<String>,
    pub(super) id: Uuid,
}

impl Order {
    /// Reads `-price,title`: members, separated by commas, a minus before those that descend.
    ///
    /// # Errors
    /// 400 for what is no member, or has no order.
    pub fn parse(
        text: Option<&str>,
        collection: &Collection,
        asker: &Asker,
    ) -> Result<Self, ApiError> {
        let members = collection.members_for(asker);
        let words = text.into_iter().flat_map(|text| text.split(','));
        let terms: Vec<_> = words
            .map(|word| Term::parse(word, &members).map_err(refused))
            .collect::<Result<_, _>>()?;
        if let Some(term) = terms.iter().find(|term| !collection.can_order_by(term)) {
            let detail = "has no `maxLength`, or a large one, and nothing can be ordered by that";
            return Err(refused(format!("`{}` {detail}", term.path.join("."))));
        }
        if terms.len() > MOST {
            return Err(refused(format!("at most {MOST} members")));
        }
        Ok(Self { terms })
    }

    /// Whether ids descend.
    pub fn ids_descend(&self) -> bool {
        self.terms.last().is_some_and(|term| term.descends)
    }

    /// The place of a record.
    ///
    /// # Errors
    /// 500 for a damaged record.
    pub fn place(&self, row: &RecordRow) -> Result<Place, ApiError> {
        // Of a document only what is asked for is read.
        let members = serde_json::from_str(&row.data).map_err(ApiError::internal)?;
        let keys = self.terms.iter().map(|term| key(term, row, &members));
        let types = self.terms.iter().map(|term| term.sql_type.to_owned());
        Ok(Place {
            keys: keys.collect(),
            types: types.collect(),
            id: row.id,
        })
    }

    /// Whether a place is one of this order.
    pub fn fits(&self, place: &Place) -> bool {
        let types = self.terms.iter().map(|term| term.sql_type);
        place.keys.len() == self.terms.len() && types.eq(place.types.iter().map(String::as_str))
    }
}

/// What a record has of a term, as its accessor reads it in SQL: nothing of another type.
fn key(term: &Term, row: &RecordRow, members: &HashMap<String, &RawValue>) -> Option<String> {
    match term.accessor.as_str() {
        "id" => return Some(row.id.to_string()),
        "owner" => return row.owner.map(|owner| owner.to_string()),
        "version" => return Some(row.version.to_string()),
        "created_at" => return Some(row.created_at.to_rfc3339()),
        "updated_at" => return Some(row.updated_at.to_rfc3339()),
        _ => {}
    }
    let (first, names) = term.path.split_first()?;
    let member: Value = serde_json::from_str(members.get(first)?.get()).ok()?;
    let value = names
        .iter()
        .try_fold(&member, |place, name| place.get(name))?;
    match (term.sql_type, value) {
        ("numeric", Value::Number(number)) => Some(number.to_string()),
        ("boolean", Value::Bool(truth)) => Some(truth.to_string()),
        ("text", Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}

fn refused(detail: String) -> ApiError {
    let fault = FieldError::new("/order_by", "order_by", detail);
    ApiError::with_errors(Code::InvalidQuery, vec![fault])
}
