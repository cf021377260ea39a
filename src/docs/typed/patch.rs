//! What merge patches may hold (RFC 7396): of an object any members, null for what is to go; everything else as a whole.

use std::iter;

use serde_json::{Map, Value, json};

use super::{
    members::{Members, Said},
    references,
    shapes::{Form, Shapes},
};

/// How deep alternatives are looked into for one that is an object.
const DEEPEST: usize = 16;

/// Keywords that narrow what `type` and `enum` say, so that null has to be an alternative beside them.
const NARROWING: [&str; 7] = ["$ref", "const", "anyOf", "oneOf", "allOf", "not", "if"];

impl Shapes<'_> {
    /// The schema of what a patch says of a value.
    pub fn patched(&mut self, schema: &Value) -> Value {
        if let Some(reference) = references::reference(schema) {
            let target = references::follow(self.root, reference);
            let is_object = target.is_some_and(|(_, target)| self.is_object(target, DEEPEST));
            let form = if is_object { Form::Patch } else { Form::Whole };
            return match self.refer(form, reference) {
                Some(reference) => json!({"$ref": reference}),
                None => json!({}),
            };
        }
        if is_own_object(schema) {
            return self.object(schema);
        }
        if !self.is_object(schema, DEEPEST) {
            return self.whole(schema);
        }
        let alternatives = ["anyOf", "oneOf"].into_iter();
        let alternatives = alternatives.filter_map(|name| schema.get(name)?.as_array());
        let parts: Vec<_> = alternatives
            .flatten()
            .map(|part| self.patched(part))
            .collect();
        if parts.is_empty() {
            return self.object(schema);
        }
        // A patch may fit several, though a document fits one.
        json!({"anyOf": parts})
    }

    /// The schema of a patch of an object.
    pub fn object(&mut self, schema: &Value) -> Value {
        let root = self.root;
        let members = Members::of(schema, root);
        let properties: Map<_, _> = members
            .known
            .iter()
            .map(|(name, said)| {
                let patched = self.union(said, Self::patched);
                let patched = if members.required.contains(name.as_str()) {
                    without_null(patched)
                } else {
                    or_null(patched)
                };
                (name.clone(), patched)
            })
            .collect();
        let mut made = Map::from_iter([("type".to_owned(), json!("object"))]);
        for name in ["type", "title", "description"] {
            let kept = schema.get(name);
            made.extend(kept.map(|kept| (name.to_owned(), kept.clone())));
        }
        if !properties.is_empty() {
            made.insert("properties".to_owned(), Value::Object(properties));
        }
        let others = match schema.get("additionalProperties") {
            _ if members.is_closed => Some(json!(false)),
            Some(others @ Value::Object(_)) => Some(or_null(self.patched(others))),
            _ => None,
        };
        made.extend(others.map(|others| ("additionalProperties".to_owned(), others)));
        Value::Object(made)
    }

    /// The schema of a member of which several may be said.
    pub fn union(&mut self, said: &Said<'_>, make: fn(&mut Self, &Value) -> Value) -> Value {
        match said.schemas.as_slice() {
            [one] => make(self, one),
            several => {
                let several: Vec<_> = several.iter().map(|one| make(self, one)).collect();
                json!({"anyOf": several})
            }
        }
    }

    /// Whether some of the values that a schema describes are objects.
    fn is_object(&self, schema: &Value, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else {
            return false;
        };
        let target = references::reference(schema);
        let target = target.and_then(|reference| references::follow(self.root, reference));
        let parts = ["allOf", "anyOf", "oneOf"].into_iter();
        let parts = parts.filter_map(|name| schema.get(name)?.as_array());
        is_own_object(schema)
            || iter::chain(target.map(|(_, target)| target), parts.flatten())
                .any(|part| self.is_object(part, depth))
    }
}

fn is_own_object(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => name == "object",
        Some(Value::Array(names)) => names.contains(&json!("object")),
        _ => {
            let names = ["properties", "patternProperties", "additionalProperties"];
            names.iter().any(|name| schema.get(name).is_some())
        }
    }
}

/// The same, or null.
fn or_null(schema: Value) -> Value {
    let nothing = json!({"type": "null"});
    let Value::Object(mut keywords) = schema else {
        return schema;
    };
    if keywords.is_empty() {
        return Value::Object(keywords);
    }
    if let (1, Some(Value::Array(parts))) = (keywords.len(), keywords.get_mut("anyOf")) {
        if !parts.contains(&nothing) {
            parts.push(nothing);
        }
        return Value::Object(keywords);
    }
    let is_narrowed = NARROWING.iter().any(|name| keywords.contains_key(*name));
    match keywords.get_mut("type") {
        Some(kinds) if !is_narrowed => {
            let mut all = match kinds.take() {
                Value::Array(kinds) => kinds,
                kind => vec![kind],
            };
            if !all.contains(&json!("null")) {
                all.push(json!("null"));
            }
            *kinds = Value::Array(all);
            if let Some(Value::Array(choices)) = keywords.get_mut("enum")
                && !choices.contains(&Value::Null)
            {
                choices.push(Value::Null);
            }
            Value::Object(keywords)
        }
        _ => json!({"anyOf": [keywords, nothing]}),
    }
}

/// The same without null, which would take away what every document has.
fn without_null(mut schema: Value) -> Value {
    for (name, null) in [
        ("type", json!("null")),
        ("enum", Value::Null),
        ("anyOf", json!({"type": "null"})),
        ("oneOf", json!({"type": "null"})),
    ] {
        let Some(said) = schema.get_mut(name) else {
            continue;
        };
        if let Value::Array(all) = said
            && all.len() > 1
        {
            all.retain(|one| *one != null);
            if let ("type", [only]) = (name, all.as_slice()) {
                *said = only.clone();
            }
        }
    }
    schema
}
