//! What holds for many operations, said once: conditions, preferences, answers that every request may get.

use utoipa::{
    Modify,
    openapi::{
        HeaderBuilder, Object, OpenApi, Ref, RefOr, Required, ResponseBuilder, Schema, Type,
        content::ContentBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
        response::Response,
        schema::{ObjectBuilder, SchemaType},
    },
};

pub(super) struct Manners;

/// Resources whose state has a tag, and whether writes compare it.
const TAGGED: [(&str, bool); 8] = [
    ("/v1/users/{id}", true),
    ("/v1/clients/{id}", true),
    ("/v1/roles/{name}", true),
    ("/v1/collections/{name}", true),
    ("/v1/data/{collection}/{id}", true),
    ("/v1/data/{collection}/{id}/versions/{version}", false),
    ("/v1/sessions/{id}", false),
    ("/v1/keys/{kid}", false),
];

/// Lists whose POST answers what was made.
const MAKING: [&str; 5] = [
    "/v1/users",
    "/v1/roles",
    "/v1/keys",
    "/v1/clients",
    "/v1/data/{collection}",
];

/// Resources whose POST may carry an `Idempotency-Key`.
const IDEMPOTENT: [&str; 4] = [
    "/v1/users",
    "/v1/roles",
    "/v1/data/{collection}",
    "/v1/batch",
];

/// Whose POST changes a resource that has a tag.
const CHANGING: [&str; 1] = ["/v1/data/{collection}/{id}/versions/{version}/restore"];

impl Modify for Manners {
    fn modify(&self, document: &mut OpenApi) {
        for (path, compares) in TAGGED {
            if let Some(item) = document.paths.paths.get_mut(path) {
                tag(item, compares);
            }
        }
        let paths = &mut document.paths.paths;
        let mut post = |path: &str, change: fn(&mut Operation)| {
            if let Some(operation) = paths.get_mut(path).and_then(|item| item.post.as_mut()) {
                change(operation);
            }
        };
        for path in MAKING {
            post(path, prefer);
        }
        for path in IDEMPOTENT {
            post(path, |operation| add(operation, "Idempotency-Key", KEY));
        }
        for path in CHANGING {
            post(path, |operation| {
                prefer(operation);
                show_tag(operation, "200");
                add(operation, "If-Match", IF_MATCH);
            });
        }
        let schemas = document.components.iter_mut();
        for schema in schemas.flat_map(|all| all.schemas.values_mut()) {
            leave_alone(schema);
        }
        for (path, item) in &mut document.paths.paths {
            if path.starts_with("/v1/") {
                operations(item).for_each(expect_unavailable);
            }
        }
    }
}

const KEY: &str = "Any text of up to 255 characters, new for each request. The same key with the same body within 24 h gets the same \
     answer and does nothing twice; it needs a token.";
const IF_MATCH: &str =
    "Only when the state is still this one (`ETag`), or `*` when there is any; else 412.";
const IF_NONE_MATCH: &str = "On reads: 304 when the state is still this one.";
const CREATE_ONLY: &str = "`*`: only when there is none yet; else 412.";
const PREFER: &str = "`return=minimal` leaves out the body (RFC 7240).";

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}

/// Of alternatives that are described beside their reference, openapi-generator makes code that does not compile.
fn leave_alone(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::OneOf(alternatives)) = schema {
        for alternative in &mut alternatives.items {
            if let RefOr::Ref(reference) = alternative {
                reference.description.clear();
            }
        }
    }
}

fn tag(item: &mut PathItem, compares: bool) {
    if let Some(read) = &mut item.get {
        add(read, "If-None-Match", IF_NONE_MATCH);
        show_tag(read, "200");
        let unchanged = ResponseBuilder::new().description("Still the same").build();
        let responses = &mut read.responses.responses;
        responses.insert("304".to_owned(), RefOr::T(unchanged));
    }
    if !compares {
        return;
    }
    if let Some(replace) = &mut item.put {
        add(replace, "If-None-Match", CREATE_ONLY);
    }
    for write in [&mut item.put, &mut item.patch].into_iter().flatten() {
        prefer(write);
        show_tag(write, "200");
    }
    let writes = [&mut item.put, &mut item.patch, &mut item.delete];
    for write in writes.into_iter().flatten() {
        add(write, "If-Match", IF_MATCH);
    }
}

fn prefer(operation: &mut Operation) {
    add(operation, "Prefer", PREFER);
    show_tag(operation, "201");
    let responses = &mut operation.responses.responses;
    if responses.contains_key("200") {
        let minimal = ResponseBuilder::new()
            .description("Done; `Prefer: return=minimal` asked for no body")
            .build();
        responses.insert("204".to_owned(), RefOr::T(minimal));
    }
}

fn expect_unavailable(operation: &mut Operation) {
    let problem = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    let unavailable = ResponseBuilder::new()
        .description("The database does not answer, or there is too much to do; try again after `Retry-After`")
        .content("application/problem+json", problem)
        .header("Retry-After", HeaderBuilder::new().schema(Some(text())).build())
        .build();
    let responses = &mut operation.responses.responses;
    responses
        .entry("503".to_owned())
        .or_insert(RefOr::T(unavailable));
}

fn text() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .build()
}

fn add(operation: &mut Operation, name: &str, description: &str) {
    let parameter: Parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(text()))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(RefOr::T(parameter));
}

fn show_tag(operation: &mut Operation, status: &str) {
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut(status) {
        let response: &mut Response = response;
        let header = HeaderBuilder::new()
            .schema(Some(text()))
            .description(Some("The tag of the state (RFC 9110 section 8.8.3)"))
            .build();
        response.headers.insert("ETag".to_owned(), RefOr::T(header));
    }
}
