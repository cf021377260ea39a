//! Under which conditions a record is written: what the rules say of it, and which version the caller has seen.

use serde_json::Value;

use super::Request;
use crate::{
    collections::Collection,
    precondition::{Precondition, Tags},
    rules::Predicate,
};

/// Under which conditions a record is written.
pub(super) struct Conditions {
    pub visible: Predicate,
    pub allowed: Predicate,
    /// The versions of which it has to be one.
    pub expected: Option<Vec<i64>>,
    /// The versions of which it may be none.
    pub excluded: Vec<i64>,
}

impl Conditions {
    /// Those of changing a record into `input`.
    pub fn of(
        collection: &Collection,
        request: &Request,
        precondition: &Precondition,
        input: Option<&Value>,
    ) -> Self {
        let allowed = collection.rules.update.predicate(&request.asker, input);
        Self::new(collection, request, precondition, allowed)
    }

    /// Those of deleting it.
    pub fn of_deletion(
        collection: &Collection,
        request: &Request,
        precondition: &Precondition,
    ) -> Self {
        let allowed = collection.rules.delete.predicate(&request.asker, None);
        Self::new(collection, request, precondition, allowed)
    }

    fn new(
        collection: &Collection,
        request: &Request,
        precondition: &Precondition,
        allowed: Predicate,
    ) -> Self {
        let (mut expected, mut excluded) = (None, Vec::new());
        match &precondition.if_match {
            Some(Tags::Versions(versions)) => expected = Some(versions.clone()),
            None if collection.requires_precondition => expected = Some(Vec::new()),
            Some(Tags::Any) | None => {}
        }
        match &precondition.if_none_match {
            Some(Tags::Versions(versions)) => excluded.clone_from(versions),
            Some(Tags::Any) => expected = Some(Vec::new()),
            None => {}
        }
        Self {
            visible: collection.rules.read.predicate(&request.asker, None),
            allowed,
            expected,
            excluded,
        }
    }

    /// The same in place of this version only, which was found to fit.
    pub fn only(self, version: i64) -> Self {
        Self {
            expected: Some(vec![version]),
            ..self
        }
    }
}
