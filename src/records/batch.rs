//! Several writes as one: all of them happen or none.

use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Request, Shown, change, check_id, create_as, delete, location, replace};
use crate::{
    collections::{Asker, Catalog, CollectionName},
    error::{ApiError, FieldError},
    input::Shape,
    patch::Patch,
    precondition::{Precondition, Tags},
};

/// Several writes, of any collections, in their order.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RecordBatch, example = json!({"operations": [
    {"operation": "create", "collection": "customers", "document": {"name": "Ada"}},
    {"operation": "create", "collection": "orders", "document": {"title": "Ink", "price": 12, "status": "open"}, "refs": {"/customer": 0}},
    {"operation": "update", "collection": "products", "id": "0197a3f0-0000-7000-8000-000000000000", "document": {"stock": 3}, "if_match": 4},
]}))]
pub struct Batch {
    /// What to do.
    #[schema(min_items = 1, max_items = 100)]
    pub operations: Vec<Operation>,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BatchAction)]
pub enum Action {
    /// Makes a record, as `POST` does; under `id` if there is one.
    Create,
    /// Replaces a record or makes it, as `PUT` does.
    Replace,
    /// Changes a record by a merge patch (RFC 7396), as `PATCH` does.
    Update,
    /// Deletes a record.
    Delete,
}

/// One write.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BatchOperation)]
pub struct Operation {
    /// What it does.
    #[schema(inline = false)]
    pub operation: Action,
    /// The collection's name.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9_]{0,62}$", example = "orders")]
    pub collection: CollectionName,
    /// Which record; of a new one the id that it is to have, a UUIDv7.
    #[serde(default)]
    #[schema(required = false, nullable = false)]
    pub id: Option<Uuid>,
    /// The document, or the merge patch of one; `delete` has none.
    #[serde(default)]
    #[schema(value_type = Object, required = false)]
    pub document: Option<Map<String, Value>>,
    /// The version that the record has to have.
    #[serde(default)]
    #[schema(required = false, nullable = false)]
    pub if_match: Option<i64>,
    /// Members of the document, as JSON pointers (RFC 6901), that become the id of the record that an earlier operation is about,
    /// by its place from 0.
    #[serde(default)]
    #[schema(required = false, value_type = std::collections::BTreeMap<String, usize>)]
    pub refs: std::collections::BTreeMap<String, usize>,
}

/// What one write has done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchOutcome)]
pub struct Outcome {
    /// The status that it would have had by itself.
    #[schema(example = 201)]
    pub status: u16,
    /// Where the record is, or was.
    pub location: String,
    /// The record as it is now; not of one that was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = super::routes::Record, required = false)]
    pub record: Option<Shown>,
}

/// What a batch has done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchOutcomes)]
pub struct Outcomes {
    /// An outcome for each operation, in their order.
    pub outcomes: Vec<Outcome>,
}

/// Operations of one batch.
const MOST: usize = 100;

/// Does all operations or none, inside the caller's transaction.
///
/// # Errors
/// That of the first operation that is refused, whose place its pointers begin with.
pub fn run_batch(
    conn: &mut PgConnection,
    catalog: &Catalog,
    asker: &Asker,
    owner: Option<Uuid>,
    batch: &Batch,
) -> Result<Outcomes, ApiError> {
    if !(1..=MOST).contains(&batch.operations.len()) {
        let detail = format!("1 to {MOST} operations");
        let fault = FieldError::new("/operations", "maxItems", detail);
        return Err(ApiError::invalid(vec![fault]));
    }
    let (mut outcomes, mut ids) = (Vec::new(), Vec::new());
    for (place, operation) in batch.operations.iter().enumerate() {
        let request = Request {
            collection: operation.collection.clone(),
            asker: asker.clone(),
            owner,
        };
        let done = prepare(operation, &ids)
            .and_then(|ready| perform(conn, catalog, &request, operation, ready));
        let (outcome, id) = done.map_err(|error| at(place, error))?;
        outcomes.push(outcome);
        ids.push(id);
    }
    Ok(Outcomes { outcomes })
}

/// An operation whose id and document are known.
struct Ready {
    id: Uuid,
    document: Option<Value>,
}

fn prepare(operation: &Operation, ids: &[Uuid]) -> Result<Ready, ApiError> {
    let refuse = |pointer: &str, detail: &str| {
        ApiError::invalid(vec![FieldError::new(pointer, "operation", detail)])
    };
    let id = match (operation.id, operation.operation) {
        (Some(id), Action::Create) => {
            check_id(id)?;
            id
        }
        (Some(id), _) => id,
        (None, Action::Create) => Uuid::now_v7(),
        (None, _) => return Err(refuse("/id", "which record?")),
    };
    let mut document = match (&operation.document, operation.operation) {
        (None, Action::Delete) => None,
        (Some(_), Action::Delete) => {
            return Err(refuse("/document", "deleting takes no document"));
        }
        (Some(document), _) => Some(Value::Object(document.clone())),
        (None, _) => return Err(refuse("/document", "what is written?")),
    };
    if operation.if_match.is_some() && operation.operation == Action::Create {
        return Err(refuse("/if_match", "what is made has no version before"));
    }
    for (pointer, place) in &operation.refs {
        let at = format!("/refs/{}", crate::input::escaped(pointer));
        let id = ids
            .get(*place)
            .ok_or_else(|| refuse(&at, "no earlier operation has this place"))?;
        let put = document
            .as_mut()
            .is_some_and(|document| put(document, pointer, &id.to_string()));
        if !put {
            return Err(refuse(&at, "there is no such place in the document"));
        }
    }
    Ok(Ready { id, document })
}

/// Puts a text where a JSON pointer leads: a member that may be missing of an object that is there, or an item that is there.
fn put(document: &mut Value, pointer: &str, text: &str) -> bool {
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return false;
    };
    let value = Value::String(text.to_owned());
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.insert(name.replace("~1", "/").replace("~0", "~"), value);
            true
        }
        Some(items @ Value::Array(_)) => match items.pointer_mut(&format!("/{name}")) {
            Some(item) => {
                *item = value;
                true
            }
            None => false,
        },
        _ => false,
    }
}

fn perform(
    conn: &mut PgConnection,
    catalog: &Catalog,
    request: &Request,
    operation: &Operation,
    ready: Ready,
) -> Result<(Outcome, Uuid), ApiError> {
    let id = ready.id;
    let document = ready.document.unwrap_or_default();
    let precondition = Precondition {
        if_match: operation
            .if_match
            .map(|version| Tags::Versions(vec![version])),
        if_none_match: None,
    };
    let (status, record) = match operation.operation {
        Action::Create if operation.id.is_none() => {
            let made = create_as(conn, catalog, request, id, &document);
            (201, Some(made.map_err(in_document)?))
        }
        Action::Create => {
            let only_new = Precondition {
                if_match: None,
                if_none_match: Some(Tags::Any),
            };
            let made = replace(conn, catalog, request, id, &only_new, &document);
            (201, Some(made.map_err(in_document)?.0))
        }
        Action::Replace => {
            let replaced = replace(conn, catalog, request, id, &precondition, &document);
            let (shown, is_new) = replaced.map_err(in_document)?;
            (if is_new { 201 } else { 200 }, Some(shown))
        }
        Action::Update => {
            let shape = Shape::any().map_err(|error| ApiError::internal(error.to_string()))?;
            let patch = Patch::merge(document, shape)?;
            let changed = change(conn, catalog, request, id, &precondition, &patch);
            (200, Some(changed.map_err(in_document)?))
        }
        Action::Delete => {
            delete(conn, catalog, request, id, &precondition)?;
            (204, None)
        }
    };
    let outcome = Outcome {
        status,
        location: location(&request.collection, id),
        record,
    };
    Ok((outcome, id))
}

/// What the document of an operation is refused for is below it.
fn in_document(error: ApiError) -> ApiError {
    error.below("/document")
}

/// The refusal of one operation as that of the batch.
fn at(place: usize, error: ApiError) -> ApiError {
    let prefix = format!("/operations/{place}");
    if !error.errors.is_empty() || error.is_ours() {
        return error.below(&prefix);
    }
    let fault = FieldError::new(prefix, error.code.entry().slug, error.detail.to_string());
    error.pointing(vec![fault])
}
