//! Patches of JSON documents: what a change leaves must fit the document's schema.

use std::collections::BTreeSet;

use json_patch::{PatchErrorKind, PatchOperation};
use serde_json::Value;

use crate::{
    error::{ApiError, Code, FieldError},
    input::Shape,
    strict_json::{MAX_DEPTH, depth},
};

/// Steps of one JSON Patch.
const MOST_STEPS: usize = 100;

/// Bytes that a document may have after each step, unless there is room for more: `copy` doubles.
const MOST_BYTES: usize = 262_144;

/// A change of a document.
#[derive(Clone)]
pub struct Patch {
    change: Change,
    shape: Shape,
    most_bytes: usize,
}

#[derive(Clone)]
enum Change {
    Merge(Value),
    Steps(Vec<PatchOperation>),
}

impl Patch {
    /// A merge patch (RFC 7396), which fits the document's schema itself: left out stays, null removes.
    ///
    /// # Errors
    /// 422 for what the schema refuses.
    pub fn merge(patch: Value, shape: Shape) -> Result<Self, ApiError> {
        shape.check(&patch)?;
        Ok(Self {
            change: Change::Merge(patch),
            shape,
            most_bytes: MOST_BYTES,
        })
    }

    /// A JSON Patch (RFC 6902): steps that all go through or none.
    ///
    /// # Errors
    /// 422 for what is no list of steps.
    pub fn steps(patch: Value, shape: Shape) -> Result<Self, ApiError> {
        let steps: Vec<PatchOperation> =
            serde_path_to_error::deserialize(patch).map_err(|error| {
                let pointer = match error.path().iter().next() {
                    Some(serde_path_to_error::Segment::Seq { index }) => format!("/{index}"),
                    _ => String::new(),
                };
                let detail = error.into_inner().to_string();
                ApiError::invalid(vec![FieldError::new(pointer, "json-patch", detail)])
            })?;
        if steps.len() > MOST_STEPS {
            let detail = format!("at most {MOST_STEPS} steps");
            return Err(ApiError::invalid(vec![FieldError::new(
                "", "maxItems", detail,
            )]));
        }
        Ok(Self {
            change: Change::Steps(steps),
            shape,
            most_bytes: MOST_BYTES,
        })
    }

    /// The same for documents that may have so many bytes.
    #[must_use]
    pub fn with_room(self, most_bytes: usize) -> Self {
        Self { most_bytes, ..self }
    }

    /// The members of the document that may be changed; all of `of` where the whole document is.
    pub fn members<'a>(&self, of: &'a [&'a str]) -> BTreeSet<String> {
        match &self.change {
            Change::Merge(patch) => patch
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect(),
            Change::Steps(steps) => steps
                .iter()
                .filter(|step| !matches!(step, PatchOperation::Test(_)))
                .flat_map(|step| match step {
                    PatchOperation::Move(step) => vec![step.path.as_str(), step.from.as_str()],
                    step => vec![step.path().as_str()],
                })
                .flat_map(|path| match path.split('/').nth(1) {
                    None => of.iter().map(|name| (*name).to_owned()).collect(),
                    Some(name) => vec![name.replace("~1", "/").replace("~0", "~")],
                })
                .collect(),
        }
    }

    /// Changes the document.
    ///
    /// # Errors
    /// 409 for a `test` that fails; 413 and 422 for a document that grows too large or too deep on the way; 422 for a
    /// place that is not there, or what the schema refuses.
    pub fn apply(&self, document: &mut Value) -> Result<(), ApiError> {
        match &self.change {
            Change::Merge(patch) => json_patch::merge(document, patch),
            Change::Steps(steps) => {
                for (index, step) in steps.iter().enumerate() {
                    check_depth(index, step, document)?;
                    json_patch::patch(document, std::slice::from_ref(step))
                        .map_err(|error| refused(index, &error.kind))?;
                    let grows =
                        !matches!(step, PatchOperation::Test(_) | PatchOperation::Remove(_));
                    if grows && document.to_string().len() > self.most_bytes {
                        return Err(Code::PayloadTooLarge.into());
                    }
                }
            }
        }
        self.shape.check(document)
    }
}

/// Refuses a step that would nest deeper than a body may be: whatever walks over the document recurses.
fn check_depth(index: usize, step: &PatchOperation, document: &Value) -> Result<(), ApiError> {
    let value = match step {
        PatchOperation::Add(step) => Some(&step.value),
        PatchOperation::Replace(step) => Some(&step.value),
        // What is not there has no depth; the step itself will tell.
        PatchOperation::Copy(step) => document.pointer(step.from.as_str()),
        PatchOperation::Move(step) => document.pointer(step.from.as_str()),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
    };
    let above = step.path().as_str().matches('/').count();
    if value.is_some_and(|value| above + depth(value) > MAX_DEPTH) {
        let detail = format!("more than {MAX_DEPTH} levels of nesting");
        let fault = FieldError::new(format!("/{index}"), "depth", detail);
        return Err(ApiError::invalid(vec![fault]));
    }
    Ok(())
}

fn refused(index: usize, kind: &PatchErrorKind) -> ApiError {
    let pointer = format!("/{index}");
    match kind {
        PatchErrorKind::TestFailed => {
            let fault = FieldError::new(pointer, "test", "the value is another one");
            ApiError::with_errors(Code::PatchConflict, vec![fault])
        }
        kind => {
            let fault = FieldError::new(pointer, "json-patch", kind.to_string());
            ApiError::invalid(vec![fault])
        }
    }
}
