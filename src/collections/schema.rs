//! What the schema of a collection may be, and what it says of its members.

use std::collections::HashMap;

use chrono::DateTime;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{Declaration, extensions};
use crate::{
    error::{ApiError, FieldError},
    input::{Shape, escaped},
    rules::{self, Kind, Members},
    strict_json,
};

/// Members of a record beside its document.
pub const RESERVED: [&str; 5] = ["id", "owner", "version", "created_at", "updated_at"];

/// What filters call the time, and what answers call the records that a record refers to.
const TAKEN: [&str; 2] = ["now", "expanded"];

/// Bytes of the largest schema.
const LARGEST: usize = 65_536;

/// How deep schemas are followed to tell what a member is; below that it may be anything.
const DEEPEST: usize = 16;

/// Parts that a schema may have when its references are written out, one that refers to itself once: so many a document may
/// be compared with.
const MOST_PARTS: u64 = 10_000;

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
    if Sizes::new(&schema).of(&schema) > MOST_PARTS {
        let detail = format!("with its references written out it has more than {MOST_PARTS} parts");
        faults.push(FieldError::new("/schema", "complexity", detail));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for name in properties.into_iter().flat_map(Map::keys) {
        if TAKEN.contains(&name.as_str()) || RESERVED.contains(&name.as_str()) {
            let pointer = format!("/schema/properties/{name}");
            let detail = "the name means something else in rules, filters or answers already";
            faults.push(FieldError::new(pointer, "reserved", detail));
        }
    }
    if !faults.is_empty() {
        return Err(ApiError::invalid(faults));
    }
    Shape::of_documents(&schema)
        .map_err(|detail| ApiError::invalid(vec![FieldError::new("/schema", "schema", detail)]))
}

/// How large the parts of a schema are with their references written out.
struct Sizes<'a> {
    /// What pointers begin at: the schema, and the parts that an `$id` makes schemas of their own.
    roots: Vec<&'a Value>,
    /// What names refer to.
    anchors: HashMap<&'a str, Vec<&'a Value>>,
    /// Of what was referred to; 1 while it is being measured.
    known: HashMap<&'a str, u64>,
}

impl<'a> Sizes<'a> {
    fn new(root: &'a Value) -> Self {
        let mut sizes = Self {
            roots: vec![root],
            anchors: HashMap::new(),
            known: HashMap::new(),
        };
        sizes.collect(root);
        sizes
    }

    fn collect(&mut self, part: &'a Value) {
        if part.get("$id").is_some() {
            self.roots.push(part);
        }
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = part.get(keyword).and_then(Value::as_str) {
                self.anchors.entry(name).or_default().push(part);
            }
        }
        match part {
            Value::Object(members) => members.values().for_each(|value| self.collect(value)),
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            _ => {}
        }
    }

    fn of(&mut self, part: &'a Value) -> u64 {
        let parts: u64 = match part {
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| match (name.as_str(), value.as_str()) {
                    ("$ref" | "$dynamicRef", Some(reference)) => self.referred(reference),
                    // What is referred to counts where it is.
                    ("$defs" | "definitions", _) => 0,
                    _ => self.of(value),
                })
                .fold(0, u64::saturating_add),
            Value::Array(items) => items
                .iter()
                .map(|item| self.of(item))
                .fold(0, u64::saturating_add),
            _ => return 0,
        };
        parts.saturating_add(1)
    }

    fn referred(&mut self, reference: &'a str) -> u64 {
        if let Some(known) = self.known.get(reference) {
            return *known;
        }
        self.known.insert(reference, 1);
        let targets = self.targets(reference).into_iter();
        let size = targets.map(|target| self.of(target)).fold(1, u64::max);
        self.known.insert(reference, size);
        size
    }

    /// Whatever a reference may mean: which of several it is depends on `$id`, and with `$dynamicRef` on the way there.
    fn targets(&self, reference: &str) -> Vec<&'a Value> {
        let fragment = reference.strip_prefix('#').unwrap_or_default();
        let fragment = percent_decode_str(fragment).decode_utf8_lossy();
        let mut targets: Vec<_> = self
            .roots
            .iter()
            .filter_map(|root| root.pointer(&fragment))
            .collect();
        let named = self.anchors.get(fragment.as_ref());
        targets.extend(named.into_iter().flatten());
        targets
    }
}

/// Keywords whose values are schemas by name.
pub const NAMED: [&str; 5] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];

/// Keywords whose values are data, not schemas.
pub const DATA: [&str; 4] = ["enum", "const", "default", "examples"];

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
                if name.starts_with("x-") && !extensions::is_known(name, place) {
                    let detail = "there is no such extension";
                    faults.push(FieldError::new(&pointer, "extension", detail));
                }
                if NAMED.contains(&name.as_str()) {
                    // Their members are called as the developer likes.
                    for (name, value) in value.as_object().into_iter().flatten() {
                        check(value, &format!("{pointer}/{}", escaped(name)), faults);
                    }
                } else if !DATA.contains(&name.as_str()) {
                    check(value, &pointer, faults);
                }
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

/// What a schema refers to, or itself.
fn resolved<'a>(mut schema: &'a Value, root: &'a Value) -> Option<&'a Value> {
    for _ in 0..DEEPEST {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            break;
        };
        schema = root.pointer(reference.strip_prefix('#')?)?;
    }
    Some(schema)
}

/// Characters that a text of a document may have at most: a member, or a member of members. `None` where nothing bounds it.
pub(super) fn longest_text(declaration: &Declaration, path: &[String]) -> Option<u64> {
    // The forms of times and UUIDs.
    const SHORT: u64 = 40;
    let root = Value::Object(declaration.schema.clone());
    let mut schema = resolved(&root, &root)?;
    for name in path {
        schema = resolved(schema.get("properties")?.get(name)?, &root)?;
    }
    let longest = |choices: &Vec<Value>| {
        let lengths = choices.iter().filter_map(Value::as_str);
        lengths.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let format = schema.get("format").and_then(Value::as_str);
    if matches!(format, Some("date-time" | "uuid")) {
        return Some(SHORT);
    }
    match (
        schema.get("maxLength"),
        schema.get("enum"),
        schema.get("const"),
    ) {
        (Some(most), _, _) => most.as_u64(),
        (_, Some(Value::Array(choices)), _) => u64::try_from(longest(choices)).ok(),
        (_, _, Some(Value::String(only))) => u64::try_from(only.chars().count()).ok(),
        _ => None,
    }
}

/// What a schema says of the members of a document.
pub(super) fn members(declaration: &Declaration) -> Members {
    let root = Value::Object(declaration.schema.clone());
    match kind(&root, &root, &mut vec!["#"]) {
        Kind::Object(members) => members,
        _ => Members::open::<String>([]),
    }
}

/// The kind that a schema describes; `path` are the references that led there, none of which is followed again.
fn kind<'a>(schema: &'a Value, root: &'a Value, path: &mut Vec<&'a str>) -> Kind {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = reference
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer))
            .filter(|_| path.len() < DEEPEST && !path.contains(&reference));
        let Some(target) = target else {
            return Kind::Any;
        };
        path.push(reference);
        let kind = kind(target, root, path);
        path.pop();
        return kind;
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
            let items = items.map_or(Kind::Any, |items| kind(items, root, path));
            Kind::List(Box::new(items))
        }
        ["object"] => Kind::Object(members_of(schema, root, path)),
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

fn members_of<'a>(schema: &'a Value, root: &'a Value, path: &mut Vec<&'a str>) -> Members {
    let properties = schema.get("properties").and_then(Value::as_object);
    let known: Vec<_> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), kind(schema, root, path)))
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
