//! The paths of a collection, made of those that any collection has.

use serde_json::{Value, json};
use utoipa::openapi::{
    Content, Paths, Ref, RefOr, Required, SecurityRequirement,
    path::{Operation, Parameter, ParameterBuilder, PathItem},
};

use super::{
    section::Section,
    view::{Verb, View},
};

/// The paths that any collection has.
const LIST: &str = "/v1/data/{collection}";
const ITEM: &str = "/v1/data/{collection}/{id}";

const PATCH: &str = "A merge patch (RFC 7396) of its document. JSON Patches (RFC 6902) are taken here, too, as \
     `PATCH /v1/data/{collection}/{id}` describes them.";

/// Adds the paths of what somebody may do with a collection.
pub(super) fn add(paths: &mut Paths, section: &Section, view: &View) {
    let name = &section.collection.name;
    for (template, path) in [
        (LIST, format!("/v1/data/{name}")),
        (ITEM, format!("/v1/data/{name}/{{id}}")),
    ] {
        let Some(mut item) = paths.paths.get(template).cloned() else {
            continue;
        };
        if keep(&mut item, template == ITEM, section, view) {
            paths.paths.insert(path, item);
        }
    }
}

/// Makes the operations those of the collection, and tells whether there are any.
fn keep(item: &mut PathItem, is_item: bool, section: &Section, view: &View) -> bool {
    let operations = [
        (&mut item.get, if is_item { Verb::Read } else { Verb::List }),
        (&mut item.post, Verb::Create),
        (&mut item.put, Verb::Replace),
        (&mut item.patch, Verb::Update),
        (&mut item.delete, Verb::Delete),
    ];
    let mut is_any = false;
    for (operation, verb) in operations {
        *operation = operation.take().filter(|_| view.has(verb));
        if let Some(operation) = operation {
            settle(operation, verb, section);
            is_any = true;
        }
    }
    is_any
}

fn settle(operation: &mut Operation, verb: Verb, section: &Section) {
    let collection = &section.collection;
    operation.operation_id = section.operations.get(&verb).cloned();
    operation.tags = Some(vec![collection.name.clone()]);
    let summary = operation.summary.take().unwrap_or_default();
    operation.summary = Some(format!("{summary} of `{}`", collection.name));
    if !section.open.has(verb)
        && let Some(alternatives) = &mut operation.security
    {
        let nobody = SecurityRequirement::default();
        alternatives.retain(|alternative| *alternative != nobody);
    }
    settle_parameters(operation, verb, section);
    if verb == Verb::Update {
        operation.description = Some(PATCH.to_owned());
    }
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        // Its steps have no types of the collection's, and some generators can't tell it from a merge patch.
        body.content.remove("application/json-patch+json");
        for content in body.content.values_mut() {
            settle_content(content, verb, section);
        }
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            for content in response.content.values_mut() {
                settle_content(content, verb, section);
            }
        }
    }
}

fn settle_parameters(operation: &mut Operation, verb: Verb, section: &Section) {
    let collection = &section.collection;
    let parameters = operation.parameters.get_or_insert_default();
    // With `fields` a record would lack members that its type has.
    let is_left_out = |name: &str| matches!(name, "collection" | "fields");
    parameters.retain(
        |parameter| !matches!(parameter, RefOr::T(parameter) if is_left_out(&parameter.name)),
    );
    for parameter in parameters {
        let RefOr::T(parameter) = parameter else {
            continue;
        };
        let demands = collection.requires_precondition;
        match parameter.name.as_str() {
            // Of members that another collection has.
            "filter" => show(parameter, None),
            "order_by" => {
                let first = collection.declaration().indexes.first();
                show(parameter, first.map(|members| json!(members.join(","))));
            }
            // Replacing may make, for which there is nothing to match.
            "If-Match" if demands && verb != Verb::Replace => {
                parameter.required = Required::True;
            }
            _ => {}
        }
    }
}

fn show(parameter: &mut Parameter, example: Option<Value>) {
    let shown = ParameterBuilder::from(parameter.clone()).example(example);
    *parameter = shown.build();
}

fn settle_content(content: &mut RefOr<Content>, verb: Verb, section: &Section) {
    let RefOr::T(content) = content else {
        return;
    };
    if let Some(RefOr::Ref(reference)) = &mut content.schema {
        let types = &section.types;
        let last = reference.ref_location.rsplit('/').next();
        let name = match last.unwrap_or_default() {
            "Record" => &types.record,
            "RecordPage" => &types.list,
            "Document" if verb == Verb::Update => &types.patch,
            "Document" => &types.new,
            _ => return,
        };
        *reference = Ref::from_schema_name(name);
    }
}
