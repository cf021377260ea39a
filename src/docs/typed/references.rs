//! What references of a schema lead to.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::input::escaped;

/// How many references in a row are followed.
const DEEPEST: usize = 16;

/// What a reference leads to: its JSON Pointer in the schema, and what is there.
pub(super) type Target<'a> = (String, &'a Value);

/// Follows a reference, and on from what only refers to something else; `None` where that leads nowhere.
pub(super) fn follow<'a>(root: &'a Value, reference: &str) -> Option<Target<'a>> {
    let mut found = find(root, reference)?;
    for _ in 0..DEEPEST {
        match alias(found.1) {
            Some(next) => found = find(root, next)?,
            None => return Some(found),
        }
    }
    None
}

/// The reference that a schema has, of either kind.
pub(super) fn reference(schema: &Value) -> Option<&str> {
    let reference = schema.get("$ref").or_else(|| schema.get("$dynamicRef"));
    reference.and_then(Value::as_str)
}

/// Whether data looks as if it referred to something, which whoever reads documents would follow.
pub(super) fn are_in(data: &Value) -> bool {
    match data {
        Value::Object(members) => members.contains_key("$ref") || members.values().any(are_in),
        Value::Array(items) => items.iter().any(are_in),
        _ => false,
    }
}

fn alias(schema: &Value) -> Option<&str> {
    const ASIDE: [&str; 5] = ["$ref", "$dynamicRef", "$comment", "title", "description"];
    let mut keywords = schema.as_object()?.keys();
    keywords
        .all(|keyword| ASIDE.contains(&keyword.as_str()))
        .then(|| reference(schema))
        .flatten()
}

fn find<'a>(root: &'a Value, reference: &str) -> Option<Target<'a>> {
    let fragment = percent_decode_str(reference.strip_prefix('#')?);
    let fragment = fragment.decode_utf8().ok()?.into_owned();
    let pointer = if fragment.is_empty() || fragment.starts_with('/') {
        fragment
    } else {
        anchored(root, &fragment, "")?
    };
    let target = root.pointer(&pointer)?;
    Some((pointer, target))
}

/// Where an anchor is.
fn anchored(part: &Value, anchor: &str, place: &str) -> Option<String> {
    match part {
        Value::Object(members) => {
            let names = ["$anchor", "$dynamicAnchor"].map(|name| members.get(name));
            if names.contains(&Some(&Value::from(anchor))) {
                return Some(place.to_owned());
            }
            members.iter().find_map(|(name, value)| {
                anchored(value, anchor, &format!("{place}/{}", escaped(name)))
            })
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| anchored(item, anchor, &format!("{place}/{index}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_lead_where_the_validator_goes() {
        let root = json!({
            "properties": {"$ref": {"type": "string"}},
            "$defs": {
                "a/b~c d": {"type": "object"},
                "alias": {"$ref": "#/$defs/a~1b~0c%20d", "description": "the same"},
                "named": {"$anchor": "here", "type": "array"},
                "circle": {"$ref": "#/$defs/square"},
                "square": {"$ref": "#/$defs/circle"},
                "more": {"$ref": "#/$defs/named", "maxItems": 3},
            },
        });
        let pointer = |reference| follow(&root, reference).map(|(pointer, _)| pointer);
        let told = |reference| pointer(reference).unwrap_or_default();
        assert_eq!(pointer("#"), Some(String::new()));
        assert_eq!(told("#/$defs/alias"), "/$defs/a~1b~0c d");
        assert_eq!(told("#here"), "/$defs/named");
        assert_eq!(told("#/properties/$ref"), "/properties/$ref");
        assert_eq!(told("#/$defs/more"), "/$defs/more");
        for nowhere in ["#/$defs/circle", "#/$defs/none", "#none", "#/%f", "other"] {
            assert_eq!(pointer(nowhere), None, "{nowhere}");
        }
    }
}
