//! The order of a list, and where in it a page begins.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

    /// The place of a record that has this of the terms.
    pub fn place(&self, keys: Vec<Option<String>>, id: Uuid) -> Place {
        let types = self.terms.iter().map(|term| term.sql_type.to_owned());
        Place {
            keys,
            types: types.collect(),
            id,
        }
    }

    /// Whether a place is one of this order.
    pub fn fits(&self, place: &Place) -> bool {
        let types = self.terms.iter().map(|term| term.sql_type);
        place.keys.len() == self.terms.len() && types.eq(place.types.iter().map(String::as_str))
    }
}

fn refused(detail: String) -> ApiError {
    let fault = FieldError::new("/order_by", "order_by", detail);
    ApiError::with_errors(Code::InvalidQuery, vec![fault])
}
