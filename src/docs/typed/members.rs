//! The members that an object may have by its schema, whatever it is put together from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::references;

/// What a schema says of an object's members.
#[derive(Default)]
pub(super) struct Members<'a> {
    /// What each may be.
    pub known: BTreeMap<String, Said<'a>>,
    /// Those that every such object has.
    pub required: BTreeSet<&'a str>,
    /// There are no others.
    pub is_closed: bool,
    has_patterns: bool,
    seen: BTreeSet<String>,
}

/// What a schema says of one member.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// One schema, or where only alternatives name it, all of theirs.
    pub schemas: Vec<&'a Value>,
    /// It is said of all these objects.
    pub is_settled: bool,
}

/// Keywords whose schemas hold for some of the objects only.
const ALTERNATIVES: [&str; 6] = ["anyOf", "oneOf", "if", "then", "else", "dependentSchemas"];

impl<'a> Members<'a> {
    pub fn of(schema: &'a Value, root: &'a Value) -> Self {
        let mut members = Self::default();
        members.gather(schema, root, true);
        members.is_closed &= !members.has_patterns;
        members
    }

    fn gather(&mut self, schema: &'a Value, root: &'a Value, holds: bool) {
        self.properties(schema, holds);
        self.has_patterns |= schema.get("patternProperties").is_some();
        if holds {
            let closes = ["additionalProperties", "unevaluatedProperties"];
            let closes = closes
                .iter()
                .any(|name| schema.get(name) == Some(&Value::Bool(false)));
            self.is_closed |= closes;
            let required = schema.get("required").and_then(Value::as_array);
            let names = required.into_iter().flatten().filter_map(Value::as_str);
            self.required.extend(names);
        }
        let target = references::reference(schema).and_then(|text| references::follow(root, text));
        if let Some((pointer, target)) = target
            && self.seen.insert(pointer)
        {
            self.gather(target, root, holds);
        }
        for part in listed(schema.get("allOf")) {
            self.gather(part, root, holds);
        }
        let alternatives = ALTERNATIVES
            .iter()
            .filter_map(|name| Some((*name, schema.get(*name)?)));
        for (name, value) in alternatives {
            match value {
                Value::Object(schemas) if name == "dependentSchemas" => {
                    schemas
                        .values()
                        .for_each(|part| self.gather(part, root, false));
                }
                Value::Array(_) => {
                    listed(Some(value)).for_each(|part| self.gather(part, root, false));
                }
                part => self.gather(part, root, false),
            }
        }
    }

    fn properties(&mut self, schema: &'a Value, holds: bool) {
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let said = self.known.entry(name.clone()).or_default();
            if said.is_settled {
                continue;
            }
            if holds {
                said.schemas.clear();
                said.is_settled = true;
            }
            if !said.schemas.contains(&schema) {
                said.schemas.push(schema);
            }
        }
    }
}

fn listed(schemas: Option<&Value>) -> impl Iterator<Item = &Value> {
    schemas.and_then(Value::as_array).into_iter().flatten()
}
