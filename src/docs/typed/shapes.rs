//! The schemas of a collection, made of the declared one: component schemas whose references stay in the document.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::{
    names::{Names, capitalised},
    references,
};
use crate::collections::{DATA, NAMED, TypeNames};

/// What a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// A value.
    Whole,
    /// What a merge patch says of one (RFC 7396).
    Patch,
}

/// The schemas of a collection while they are made.
pub(super) struct Shapes<'a> {
    pub root: &'a Value,
    pub types: &'a TypeNames,
    names: &'a mut Names,
    named: HashMap<(Form, String), String>,
    /// Those that something refers to, and that are still to be made.
    pending: Vec<(Form, String)>,
}

/// Keywords that say something to the validator alone, or that only OpenAPI knows: to the validator they are no keywords. Of
/// members that can only be read or written it knows nothing either.
const LEFT_OUT: [&str; 14] = [
    "$schema",
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$comment",
    "$vocabulary",
    "$defs",
    "definitions",
    "nullable",
    "discriminator",
    "xml",
    "externalDocs",
    "readOnly",
    "writeOnly",
];

/// Keywords whose value may be `true` or `false` in place of a schema, which some generators can't read.
const SCHEMAS: [&str; 7] = [
    "items",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
];

impl<'a> Shapes<'a> {
    pub fn new(root: &'a Value, types: &'a TypeNames, names: &'a mut Names) -> Self {
        let known = |form, name: &String| ((form, String::new()), name.clone());
        Self {
            root,
            types,
            names,
            named: HashMap::from([
                known(Form::Whole, &types.new),
                known(Form::Patch, &types.patch),
            ]),
            pending: Vec::new(),
        }
    }

    /// Makes what was referred to, until nothing is missing.
    pub fn complete(&mut self, schemas: &mut BTreeMap<String, Value>) {
        while let Some((form, pointer)) = self.pending.pop() {
            let made = match (form, self.root.pointer(&pointer)) {
                (_, None) => json!({}),
                (Form::Whole, Some(schema)) => self.whole(schema),
                (Form::Patch, Some(schema)) => self.patched(schema),
            };
            if let Some(name) = self.named.get(&(form, pointer)) {
                schemas.insert(name.clone(), made);
            }
        }
    }

    /// The reference to a component schema; `None` where there is nothing that the declared one refers to.
    pub fn refer(&mut self, form: Form, reference: &str) -> Option<Value> {
        let (pointer, _) = references::follow(self.root, reference)?;
        let key = (form, pointer);
        let name = match self.named.get(&key) {
            Some(name) => name.clone(),
            None => {
                let last = key.1.rsplit('/').next().unwrap_or_default();
                let last = capitalised(&last.replace("~1", "/").replace("~0", "~"));
                let end = if form == Form::Patch { "Patch" } else { "" };
                let name = self
                    .names
                    .take([format!("{}{last}{end}", self.types.record)]);
                self.named.insert(key.clone(), name.clone());
                self.pending.push(key);
                name
            }
        };
        Some(Value::from(format!("#/components/schemas/{name}")))
    }

    /// The schema of a value.
    pub fn whole(&mut self, schema: &Value) -> Value {
        match schema {
            Value::Bool(true) => json!({}),
            Value::Bool(false) => json!({"not": {}}),
            // A document in the document: its references lead elsewhere.
            Value::Object(keywords) if keywords.contains_key("$id") => json!({}),
            Value::Object(keywords) => self.keywords(keywords),
            other => other.clone(),
        }
    }

    /// The same of one that may have an id: the declared one.
    pub fn keywords(&mut self, keywords: &Map<String, Value>) -> Value {
        let mut made = Map::new();
        for (name, value) in keywords {
            let shows = matches!(name.as_str(), "example" | "examples" | "default");
            let is_left_out = LEFT_OUT.contains(&name.as_str()) || name.starts_with("x-");
            if is_left_out || shows && references::are_in(value) {
                continue;
            }
            if matches!(name.as_str(), "$ref" | "$dynamicRef") {
                let reference = value
                    .as_str()
                    .and_then(|text| self.refer(Form::Whole, text));
                made.extend(reference.map(|reference| ("$ref".to_owned(), reference)));
                continue;
            }
            made.insert(name.clone(), self.keyword(name, value));
        }
        settle_choices(&mut made);
        Value::Object(made)
    }

    fn keyword(&mut self, name: &str, value: &Value) -> Value {
        match value {
            _ if name == "example" || DATA.contains(&name) => value.clone(),
            Value::Object(schemas) if NAMED.contains(&name) => {
                let each = schemas.iter();
                each.map(|(name, schema)| (name.clone(), self.whole(schema)))
                    .collect()
            }
            Value::Object(_) => self.whole(value),
            Value::Bool(_) if SCHEMAS.contains(&name) => self.whole(value),
            Value::Array(items) if items.iter().any(Value::is_object) => {
                items.iter().map(|item| self.whole(item)).collect()
            }
            other => other.clone(),
        }
    }
}

/// Says which types the choices of an `enum` have, or a `const`. Generators want to be told, and of choices that are neither
/// all texts nor all whole numbers they want to know only that.
fn settle_choices(keywords: &mut Map<String, Value>) {
    let (choices, is_const): (Vec<&Value>, bool) =
        match (keywords.get("enum"), keywords.get("const")) {
            (Some(Value::Array(choices)), _) => (choices.iter().collect(), false),
            (_, Some(only)) => (vec![only], true),
            _ => return,
        };
    let kinds: BTreeSet<_> = choices.into_iter().map(kind_of).collect();
    let mut told: Vec<_> = kinds
        .iter()
        .copied()
        .filter(|kind| *kind != "null")
        .collect();
    let is_simple = match told.as_slice() {
        ["string" | "integer"] => true,
        ["number" | "boolean"] => is_const,
        _ => false,
    };
    told.extend(kinds.contains("null").then_some("null"));
    if !is_simple {
        keywords.remove("enum");
        keywords.remove("const");
    }
    let kind = match told.as_slice() {
        [only] => Value::from(*only),
        several => Value::from(several),
    };
    keywords.entry("type").or_insert(kind);
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
