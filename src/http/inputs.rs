//! The schemas that bodies must fit: those that the OpenAPI document shows.

use std::{
    collections::{BTreeSet, HashMap},
    sync::OnceLock,
};

use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{error::ApiError, input::Shape};

/// The schemas of the bodies in the OpenAPI document.
pub struct InputSchemas(HashMap<String, Schema>);

/// A schema, compiled when a body first has to fit it: many replicas never see most of them.
struct Schema {
    text: String,
    shape: OnceLock<Shape>,
}

impl InputSchemas {
    /// Takes the component schemas that request bodies refer to.
    pub fn new(document: &Value) -> Self {
        let schemas = document.pointer("/components/schemas");
        let bodies = document
            .get("paths")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(_, item)| item.as_object())
            .flatten()
            .filter_map(|(_, operation)| operation.pointer("/requestBody"));
        let mut named = BTreeSet::new();
        bodies.for_each(|body| names_in(body, &mut named));
        let take = |name: String| {
            // Only what it refers to: the validator keeps a copy of all that it is given.
            let mut needed = BTreeSet::from([name.clone()]);
            let mut known = 0;
            while needed.len() > known {
                known = needed.len();
                for name in needed.clone() {
                    if let Some(schema) = schemas.and_then(|schemas| schemas.get(&name)) {
                        names_in(schema, &mut needed);
                    }
                }
            }
            let parts: serde_json::Map<_, _> = needed
                .into_iter()
                .filter_map(|name| Some((name.clone(), schemas?.get(&name)?.clone())))
                .collect();
            let root = json!({
                "$ref": format!("#/components/schemas/{name}"),
                "components": {"schemas": parts},
            });
            let schema = Schema {
                text: root.to_string(),
                shape: OnceLock::new(),
            };
            (name, schema)
        };
        Self(named.into_iter().map(take).collect())
    }

    /// The schema of `T`.
    ///
    /// # Errors
    /// 500 for what is not in the OpenAPI document.
    pub fn of<T: ToSchema>(&self) -> Result<Shape, ApiError> {
        let name = T::name();
        let schema = self
            .0
            .get(name.as_ref())
            .ok_or_else(|| ApiError::internal(format!("{name} is not in the OpenAPI document")))?;
        schema.shape().map_err(ApiError::internal)
    }
}

impl Schema {
    fn shape(&self) -> anyhow::Result<Shape> {
        if let Some(shape) = self.shape.get() {
            return Ok(shape.clone());
        }
        let shape = Shape::new(&serde_json::from_str(&self.text)?)?;
        Ok(self.shape.get_or_init(|| shape).clone())
    }
}

/// Collects the names of the component schemas that a part of the document refers to.
fn names_in(part: &Value, names: &mut BTreeSet<String>) {
    match part {
        Value::Object(members) => {
            let name = members
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| reference.strip_prefix("#/components/schemas/"));
            names.extend(name.map(str::to_owned));
            members.values().for_each(|member| names_in(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| names_in(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_of_a_body_compiles() {
        let inputs = InputSchemas::new(&crate::docs::openapi().unwrap());
        assert!(inputs.0.len() > 20, "{}", inputs.0.len());
        for (name, schema) in &inputs.0 {
            assert!(schema.shape().is_ok(), "{name}");
        }
    }
}
