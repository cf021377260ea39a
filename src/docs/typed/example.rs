//! Documents that show what a schema asks for.

use serde_json::{Map, Value, json};

use super::{members::Members, references};
use crate::collections::Collection;

/// How deep examples are made.
const DEEPEST: usize = 6;

/// A document that fits the schema of a collection, where one is made easily.
pub(super) fn document(collection: &Collection) -> Option<Value> {
    let schema = Value::Object(collection.declaration().schema.clone());
    // The more it shows the better, but what nobody asks for may be what can't be guessed.
    [true, false].into_iter().find_map(|is_whole| {
        let mut document = Maker {
            root: &schema,
            is_whole,
        }
        .value(&schema, DEEPEST)?;
        collection.accept(&mut document).ok()?;
        Some(document)
    })
}

struct Maker<'a> {
    root: &'a Value,
    /// With the members that a document may lack.
    is_whole: bool,
}

impl Maker<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        let told = schema.get("example").or_else(|| schema.get("default"));
        let listed = ["examples", "enum"]
            .iter()
            .find_map(|name| schema.get(*name)?.get(0));
        if let Some(value) = told.or(schema.get("const")).or(listed) {
            return Some(value.clone());
        }
        let target = references::reference(schema);
        let target = target.and_then(|reference| references::follow(self.root, reference));
        let kind = match schema.get("type") {
            Some(Value::Array(kinds)) => kinds.first(),
            kind => kind,
        };
        match kind.and_then(Value::as_str) {
            Some("boolean") => Some(json!(true)),
            Some("integer" | "number") => number(schema),
            Some("string") => text(schema),
            Some("array") => self.list(schema, depth),
            Some("object") => self.object(schema, depth),
            Some(_) => Some(Value::Null),
            None => match target {
                Some((_, target)) => self.value(target, depth),
                None => ["anyOf", "oneOf", "allOf"]
                    .iter()
                    .find_map(|name| self.value(schema.get(*name)?.get(0)?, depth)),
            },
        }
    }

    fn list(&self, schema: &Value, depth: usize) -> Option<Value> {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        match schema
            .get("items")
            .and_then(|items| self.value(items, depth))
        {
            Some(item) if least < 2 => Some(json!([item])),
            _ if least == 0 => Some(json!([])),
            _ => None,
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Option<Value> {
        let members = Members::of(schema, self.root);
        let mut made = Map::new();
        for (name, said) in &members.known {
            let is_required = members.required.contains(name.as_str());
            let is_shown = self.is_whole && said.is_settled;
            if !is_required && !is_shown {
                continue;
            }
            let value = said
                .schemas
                .first()
                .and_then(|first| self.value(first, depth));
            match value {
                Some(value) => {
                    made.insert(name.clone(), value);
                }
                None if is_required => return None,
                None => {}
            }
        }
        Some(Value::Object(made))
    }
}

fn number(schema: &Value) -> Option<Value> {
    let bounds = [
        "minimum",
        "exclusiveMinimum",
        "maximum",
        "exclusiveMaximum",
        "multipleOf",
    ];
    let [least, above, most, below, step] =
        bounds.map(|name| schema.get(name).and_then(Value::as_f64));
    let fits = |value: f64| {
        least.is_none_or(|least| value >= least)
            && above.is_none_or(|above| value > above)
            && most.is_none_or(|most| value <= most)
            && below.is_none_or(|below| value < below)
    };
    let step = step.unwrap_or(1.0);
    let least = least.or(above).unwrap_or(0.0);
    let above = (least / step).floor() * step;
    let mut candidates = [step, above, above + step, above + 2.0 * step, 0.0].into_iter();
    let found = candidates.find(|value| fits(*value))?;
    // Whole numbers are written as such.
    format!("{found}").parse().map(Value::Number).ok()
}

fn text(schema: &Value) -> Option<Value> {
    const FORMATS: [(&str, &str); 10] = [
        ("date-time", "2026-11-24T09:00:00.000Z"),
        ("date", "2026-11-24"),
        ("time", "09:00:00Z"),
        ("duration", "P1D"),
        ("email", "ada@example.com"),
        ("hostname", "example.com"),
        ("ipv4", "192.0.2.1"),
        ("ipv6", "2001:db8::1"),
        ("uri", "https://example.com/"),
        ("uuid", "0197a3f0-0000-7000-8000-000000000000"),
    ];
    if let Some(format) = schema.get("format").and_then(Value::as_str) {
        let known = FORMATS.iter().find(|(name, _)| *name == format);
        return known.map(|(_, example)| json!(example));
    }
    if schema.get("pattern").is_some() {
        return None;
    }
    let bound = |name| schema.get(name).and_then(Value::as_u64);
    let (least, most) = (
        bound("minLength").unwrap_or(0),
        bound("maxLength").unwrap_or(u64::MAX),
    );
    let length = usize::try_from(least.max(4).min(most)).ok()?;
    let made = || "text".chars().cycle().take(length).collect::<String>();
    (length <= 100).then(|| Value::from(made()))
}
