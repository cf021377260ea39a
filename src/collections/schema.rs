//! What the schema of a collection may be, and what it says of its members.

use chrono::DateTime;
use serde_json::{Map, Value};

use super::Declaration;
use crate::{
    error::{ApiError, FieldError},
    input::{Shape, escaped},
    rules::{self, Kind, Members},
    strict_json,
};

/// Members of a record beside its document.
pub const RESERVED: [&str; 5] = ["id", "owner", "version", "created_at", "updated_at"];

/// What filters call the time.
const NOW: &str = "now";

/// Bytes of the largest schema.
const LARGEST: usize = 65_536;

/// How deep references are followed to tell what a member is; below that it may be anything.
const DEEPEST: usize = 16;

/// Compiles the schema of a declaration.
///
/// # Errors
/// 422 that points at what a collection's schema may not hold.
pub(super) fn compile(declaration: &Declaration) -> Result<Shape, ApiError> {
    let schema = Value::Object(declaration.schema.clone());
    let mut faults = Vec::new();
    if schema.to_string().len() > LARGEST {
        let detail = format!("at most {LARGEST} bytes");
        faults.push(FieldError::new("/schema", "maxLength", detail));
    }
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        let detail = "records are objects: \"type\" has to be \"object\"";
        faults.push(FieldError::new("/schema/type", "type", detail));
    }
    check(&schema, "/schema", &mut faults);
    let properties = schema.get("properties").and_then(Value::as_object);
    for name in properties.into_iter().flat_map(Map::keys) {
        if name == NOW || RESERVED.contains(&name.as_str()) {
            let pointer = format!("/schema/properties/{name}");
            let detail = "the name means something else in rules and filters already";
            faults.push(FieldError::new(pointer, "reserved", detail));
        }
    }
    if !faults.is_empty() {
        return Err(ApiError::invalid(faults));
    }
    Shape::of_documents(&schema)
        .map_err(|detail| ApiError::invalid(vec![FieldError::new("/schema", "schema", detail)]))
}

/// Looks through a schema for references out of it and for keywords of ours that mean nothing yet.
fn check(part: &Value, place: &str, faults: &mut Vec<FieldError>) {
    match part {
        Value::Object(members) => {
            for (name, value) in members {
                let pointer = format!("{place}/{}", escaped(name));
                let is_reference = matches!(name.as_str(), "$ref" | "$dynamicRef");
                if is_reference && value.as_str().is_none_or(|text| !text.starts_with('#')) {
                    let detail = "a schema refers to nothing outside itself: `#/$defs/…`";
                    faults.push(FieldError::new(&pointer, "reference", detail));
                }
                if name.starts_with("x-") && !place.ends_with("/properties") {
                    let detail = "there is no such extension";
                    faults.push(FieldError::new(&pointer, "extension", detail));
                }
                check(value, &pointer, faults);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check(item, &format!("{place}/{index}"), faults);
            }
        }
        _ => {}
    }
}

/// What a schema says of the members of a document.
pub(super) fn members(declaration: &Declaration) -> Members {
    let root = Value::Object(declaration.schema.clone());
    match kind(&root, &root, 0) {
        Kind::Object(members) => members,
        _ => Members::open::<String>([]),
    }
}

fn kind(schema: &Value, root: &Value, depth: usize) -> Kind {
    if depth > DEEPEST {
        return Kind::Any;
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = reference
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        return target.map_or(Kind::Any, |target| kind(target, root, depth + 1));
    }
    let types = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        // What may be null is compared like what may be missing.
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str);
            names.filter(|name| *name != "null").collect()
        }
        _ => of_choice(schema),
    };
    match types.as_slice() {
        ["boolean"] => Kind::Boolean,
        ["number" | "integer"] => Kind::Number,
        ["string"] => match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => Kind::Timestamp,
            Some("uuid") => Kind::Uuid,
            _ => Kind::String,
        },
        ["array"] => {
            let items = schema.get("items");
            let items = items.map_or(Kind::Any, |items| kind(items, root, depth + 1));
            Kind::List(Box::new(items))
        }
        ["object"] => Kind::Object(members_of(schema, root, depth)),
        _ => Kind::Any,
    }
}

/// The type that all choices of an `enum` have, or a `const`.
fn of_choice(schema: &Value) -> Vec<&'static str> {
    let choices: Vec<&Value> = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(choices)), _) => choices.iter().collect(),
        (_, Some(only)) => vec![only],
        _ => Vec::new(),
    };
    let mut names: Vec<_> = choices
        .into_iter()
        .filter_map(|choice| match choice {
            Value::Null => None,
            Value::Bool(_) => Some("boolean"),
            Value::Number(_) => Some("number"),
            Value::String(_) => Some("string"),
            Value::Array(_) | Value::Object(_) => Some("other"),
        })
        .collect();
    names.dedup();
    names
}

fn members_of(schema: &Value, root: &Value, depth: usize) -> Members {
    let properties = schema.get("properties").and_then(Value::as_object);
    let known: Vec<_> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), kind(schema, root, depth + 1)))
        .collect();
    let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false))
        && schema.get("patternProperties").is_none();
    if is_closed {
        Members::closed(known)
    } else {
        Members::open(known)
    }
}

/// Brings the timestamps of a document into the one form in which texts compare as times do.
pub(super) fn settle(document: &mut Value, members: &Members) {
    let Value::Object(document) = document else {
        return;
    };
    for (name, value) in document {
        if let Some(kind) = members.kind(name) {
            settle_value(value, kind);
        }
    }
}

fn settle_value(value: &mut Value, kind: &Kind) {
    match (kind, value) {
        (Kind::Timestamp, Value::String(text)) => {
            // What the format lets through and the calendar doesn't, as leap seconds, stays as it was sent.
            if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
                *text = rules::canonical(moment.to_utc());
            }
        }
        (Kind::List(items), Value::Array(values)) => {
            values
                .iter_mut()
                .for_each(|value| settle_value(value, items));
        }
        (Kind::Object(members), value @ Value::Object(_)) => settle(value, members),
        _ => {}
    }
}

/// Refuses what a document may hold by no schema: members that the server keeps.
pub(super) fn refuse_reserved(document: &Value) -> Result<(), ApiError> {
    let faults: Vec<_> = RESERVED
        .iter()
        .filter(|name| document.get(**name).is_some())
        .map(|name| {
            let detail = "the server keeps this member; it can't be written";
            FieldError::new(format!("/{name}"), "readOnly", detail)
        })
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(faults))
    }
}

/// Whether a document is as deep as bodies may be, after patches too.
pub(super) fn is_too_deep(document: &Value) -> bool {
    strict_json::depth(document) > strict_json::MAX_DEPTH
}
