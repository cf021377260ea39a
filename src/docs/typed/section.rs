//! What the document says of one collection: its types, and what its operations are called.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::{
    example,
    members::Members,
    names::{Names, separated},
    references,
    shapes::Shapes,
    view::{Verb, View, Viewer},
};
use crate::collections::{Collection, TypeNames};

/// What the document says of one collection to those who may use all of it.
pub(super) struct Section {
    pub collection: Arc<Collection>,
    pub types: TypeNames,
    /// The ids of its operations.
    pub operations: BTreeMap<Verb, String>,
    /// Its component schemas.
    pub schemas: BTreeMap<String, Value>,
    /// What needs no token.
    pub open: View,
}

impl Section {
    /// Those of all collections: what is shown of one has the same names for everybody.
    pub fn all(fixed: &OpenApi, collections: Vec<Arc<Collection>>) -> Vec<Self> {
        let schemas = fixed.components.iter().flat_map(|all| all.schemas.keys());
        let mut types = Names::of(schemas.map(String::as_str));
        let mut operations = Names::of(operation_ids(fixed));
        let named: Vec<_> = collections
            .into_iter()
            .map(|collection| {
                let declared = TypeNames::of(&collection.declaration().type_name);
                let declared = TypeNames {
                    record: types.take([declared.record]),
                    new: types.take([declared.new]),
                    patch: types.take([declared.patch]),
                    list: types.take([declared.list]),
                };
                (collection, declared)
            })
            .collect();
        // Parts of types take what names the types have left.
        let visitor = Viewer::visitor();
        let section = |(collection, declared): (Arc<Collection>, TypeNames)| Self {
            schemas: schemas_of(&collection, &declared, &mut types),
            operations: Verb::ALL
                .map(|verb| (verb, operations.take(wanted(verb, &collection))))
                .into(),
            open: View::of(&visitor, &collection),
            types: declared,
            collection,
        };
        named.into_iter().map(section).collect()
    }

    /// The component schemas that somebody needs who sees so much.
    pub fn schemas_for(&self, view: &View) -> BTreeMap<&str, &Value> {
        let types = &self.types;
        let of = |verb| match verb {
            Verb::List => vec![&types.list],
            Verb::Create | Verb::Replace => vec![&types.record, &types.new],
            Verb::Read => vec![&types.record],
            Verb::Update => vec![&types.record, &types.patch],
            Verb::Delete => Vec::new(),
        };
        let seen = Verb::ALL.into_iter().filter(|verb| view.has(*verb));
        let mut needed: Vec<_> = seen.flat_map(of).map(String::as_str).collect();
        let mut found = BTreeMap::new();
        while let Some(name) = needed.pop() {
            if let Some((name, schema)) = self.schemas.get_key_value(name)
                && found.insert(name.as_str(), schema).is_none()
            {
                refer(schema, &mut needed);
            }
        }
        found
    }
}

fn operation_ids(fixed: &OpenApi) -> impl Iterator<Item = &str> {
    let items = fixed.paths.paths.values();
    let operations = items.flat_map(|item| {
        [&item.get, &item.post, &item.put, &item.patch, &item.delete]
            .into_iter()
            .flatten()
    });
    operations.filter_map(|operation| operation.operation_id.as_deref())
}

/// How an operation would be called: lists after the collection, everything else after the type.
fn wanted(verb: Verb, collection: &Collection) -> [String; 2] {
    let name = verb.name();
    if verb == Verb::List {
        let of = &collection.name;
        return [format!("{name}_{of}"), format!("{name}_{of}_records")];
    }
    let of = separated(&collection.declaration().type_name);
    [format!("{name}_{of}"), format!("{name}_{of}_record")]
}

/// The names of component schemas that a schema refers to.
fn refer<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    match schema {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            found.extend(reference.and_then(|text| text.strip_prefix("#/components/schemas/")));
            members.values().for_each(|member| refer(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| refer(item, found)),
        _ => {}
    }
}

fn schemas_of(
    collection: &Collection,
    types: &TypeNames,
    names: &mut Names,
) -> BTreeMap<String, Value> {
    let declared = &collection.declaration().schema;
    let root = Value::Object(declared.clone());
    let mut shapes = Shapes::new(&root, types, names);
    let example = example::document(collection).filter(|shown| !references::are_in(shown));
    let of = &collection.name;
    let mut new = shapes.keywords(declared);
    let mut patch = shapes.object(&root);
    describe(&mut new, &format!("A document of `{of}`."));
    describe(
        &mut patch,
        &format!("A merge patch (RFC 7396) of a document of `{of}`: null takes a member away."),
    );
    let mut record = record(&mut shapes, collection);
    describe(
        &mut record,
        &format!(
            "A record of `{of}`: the members of its document after those that the server keeps."
        ),
    );
    if let Some(Value::Object(document)) = example {
        let first = document.iter().next();
        let change = first.map(|(name, value)| (name.clone(), value.clone()));
        let mut shown = kept_example();
        shown.extend(document.clone());
        give(&mut record, "example", Value::Object(shown));
        give(&mut new, "example", Value::Object(document));
        give(&mut patch, "example", change.into_iter().collect());
    }
    let mut schemas = BTreeMap::from([
        (types.list.clone(), list(types, of)),
        (types.patch.clone(), patch),
        (types.new.clone(), new),
        (types.record.clone(), record),
    ]);
    shapes.complete(&mut schemas);
    schemas
}

fn describe(schema: &mut Value, description: &str) {
    if schema.get("description").is_none() {
        give(schema, "description", json!(description));
    }
}

fn give(schema: &mut Value, name: &str, value: Value) {
    if let Value::Object(schema) = schema {
        schema.insert(name.to_owned(), value);
    }
}

/// The members that the server keeps, as they are described.
fn kept() -> Map<String, Value> {
    let time =
        |description| json!({"type": "string", "format": "date-time", "description": description});
    Map::from_iter([
        (
            "id".to_owned(),
            json!({"type": "string", "format": "uuid", "description": "Its id."}),
        ),
        (
            "owner".to_owned(),
            json!({"type": ["string", "null"], "format": "uuid", "description": "Whose it is; null when nobody's."}),
        ),
        (
            "version".to_owned(),
            json!({"type": "integer", "format": "int64", "description": "Grows with every change."}),
        ),
        ("created_at".to_owned(), time("When it was made.")),
        ("updated_at".to_owned(), time("When it was last changed.")),
    ])
}

fn kept_example() -> Map<String, Value> {
    let members = json!({
        "id": "0197a3f0-0000-7000-8000-000000000000",
        "owner": "01a20bf4-4417-720b-a398-ade7a859a777",
        "version": 1,
        "created_at": "2026-11-24T09:00:00.000Z",
        "updated_at": "2026-11-24T09:00:00.000Z",
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A record: one object, whatever its document is put together from.
fn record(shapes: &mut Shapes<'_>, collection: &Collection) -> Value {
    let root = shapes.root;
    let members = Members::of(root, root);
    let mut properties = kept();
    let kept: Vec<_> = properties.keys().cloned().collect();
    for (name, said) in &members.known {
        properties.insert(name.clone(), shapes.union(said, Shapes::whole));
    }
    // What not everybody sees is not always there.
    let hidden: Vec<_> = collection
        .readable()
        .iter()
        .map(|member| &member.name)
        .collect();
    let has =
        |name: &&&str| properties.contains_key(**name) && !hidden.iter().any(|one| one == *name);
    let required = members.required.iter().filter(has).copied();
    let required: BTreeSet<_> = kept.iter().map(String::as_str).chain(required).collect();
    let mut record = json!({"type": "object", "required": required, "properties": properties});
    if !collection.references().is_empty()
        && let Some(properties) = record.get_mut("properties")
    {
        give(
            properties,
            "expanded",
            json!({
                "type": "object",
                "description": "With `expand`, the records that it refers to, by the members that do.",
            }),
        );
    }
    let title = root.get("title");
    if let Some(title) = title {
        give(&mut record, "title", title.clone());
    }
    if let Some(description) = root.get("description") {
        give(&mut record, "description", description.clone());
    }
    if members.is_closed {
        give(&mut record, "additionalProperties", json!(false));
    }
    record
}

fn list(types: &TypeNames, of: &str) -> Value {
    let record = format!("#/components/schemas/{}", types.record);
    json!({
        "type": "object",
        "description": format!("One page of `{of}`."),
        "required": ["items", "next_cursor"],
        "properties": {
            "items": {"type": "array", "items": {"$ref": record}, "description": "The records."},
            "next_cursor": {
                "type": ["string", "null"],
                "description": "Goes into `?cursor=` for the next page; null on the last one.",
            },
            "count": {
                "type": "integer",
                "format": "int64",
                "description": "How many there are on all pages, where that was asked for.",
            },
        },
    })
}
