//! The OpenAPI document says what the server does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Shop, TestApp};

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    operations
}

/// What only people see, in their browsers.
fn is_page(path: &str) -> bool {
    let pages = [
        "sign-in",
        "sign-up",
        "upstream",
        "select-account",
        "consent",
        "signed-out",
        "continue",
        "account",
        "assets",
    ];
    path.starts_with("/device")
        || pages
            .iter()
            .any(|page| path.starts_with(&format!("/oauth/{page}")))
}

fn filled(path: &str) -> String {
    path.replace("{id}", "01a20bf4-4417-720b-a398-ade7a859a777")
        .replace("{role}", "nobody-has-this")
        .replace("{name}", "nobody-has-this")
}

/// What every server has, whatever collections other tests have declared.
fn fixed() -> Value {
    tollgate::docs::openapi().unwrap()
}

#[tokio::test]
async fn the_committed_document_is_what_is_served_without_collections() {
    let app = TestApp::own(&[]);
    let served = app.get("/openapi.json").await.expect(200).json();
    let committed: Value =
        serde_json::from_str(&std::fs::read_to_string("openapi/openapi.json").unwrap()).unwrap();
    assert_eq!(
        served, committed,
        "run: cargo run -- openapi > openapi/openapi.json"
    );
    assert_eq!(served["openapi"], "3.1.0");
}

#[test]
fn the_route_table_and_the_document_are_the_same_list() {
    let document = fixed();
    let documented: BTreeSet<_> = operations(&document)
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let offered: BTreeSet<_> = tollgate::app::routes()
        .offered()
        .iter()
        .map(|(method, path)| (method.to_string(), path.clone()))
        // The interactive pages are no part of the API.
        .filter(|(_, path)| !path.starts_with("/docs") && !is_page(path))
        .collect();
    assert_eq!(documented, offered);
}

#[tokio::test]
async fn every_operation_is_described() {
    let shop = Shop::open(&TestApp::shared(), |_| {}).await;
    let document = shop.administrator().get("/openapi.json").await.json();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let place = format!("{method} {path}");
        for member in ["summary", "description", "operationId"] {
            assert!(
                operation[member]
                    .as_str()
                    .is_some_and(|text| text.len() > 5),
                "{member} of {place}"
            );
        }
        assert!(
            ids.insert(operation["operationId"].to_string()),
            "{place}: the operation id is taken"
        );
        assert!(
            operation["tags"]
                .as_array()
                .is_some_and(|tags| tags.len() == 1),
            "{place}"
        );
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses
                .keys()
                .any(|status| status.starts_with('2') || status == "101"),
            "{place}"
        );
        if operation.get("security").is_some() {
            let (media_type, schema) = match path.starts_with("/oauth/") {
                true => ("application/json", "OAuthRefusal"),
                false => ("application/problem+json", "Problem"),
            };
            let problem = &responses["4XX"]["content"][media_type]["schema"]["$ref"];
            let expected = format!("#/components/schemas/{schema}");
            assert_eq!(*problem, expected, "{place}");
        }
        if let Some(content) = operation.pointer("/requestBody/content") {
            for (media_type, body) in content.as_object().unwrap() {
                // A list of steps, in which RFC 6902 ignores unknown members.
                if media_type == "application/json-patch+json" {
                    continue;
                }
                // What a document may hold, its collection's schema says.
                if path.starts_with("/v1/data/") {
                    continue;
                }
                // OAuth ignores what it does not know (RFC 6749 section 3.2).
                if media_type == "application/x-www-form-urlencoded" {
                    continue;
                }
                let schema = body["schema"]["$ref"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{place} {media_type}"));
                let schema = document.pointer(schema.trim_start_matches('#')).unwrap();
                assert_eq!(
                    schema["additionalProperties"],
                    json!(false),
                    "{place}: unknown members are refused"
                );
                assert!(
                    schema.get("example").is_some()
                        || schema.get("examples").is_some()
                        || schema["properties"]
                            .as_object()
                            .unwrap()
                            .values()
                            .any(|property| property.get("example").is_some()
                                || property.get("examples").is_some()),
                    "{place}: an example"
                );
            }
        }
    }
}

#[tokio::test]
async fn every_route_demands_the_scope_that_it_documents() {
    let app = TestApp::shared();
    let document = fixed();
    let nothing = app.user("nothing:at-all").await;
    let mut guarded = 0;
    for (method, path, operation) in operations(&document) {
        let Some(alternatives) = operation["security"].as_array() else {
            continue;
        };
        guarded += 1;
        let place = format!("{method} {path}");
        let scopes: Vec<String> = alternatives
            .iter()
            .filter_map(|alternative| alternative["bearer"].as_array())
            .flatten()
            .map(|scope| scope.as_str().unwrap().to_owned())
            .collect();
        let admits_visitors = alternatives
            .iter()
            .any(|alternative| alternative.as_object().unwrap().is_empty());
        let without = app.send(app.request(&method, &filled(&path))).await;
        if admits_visitors {
            assert_ne!(without.status(), 401, "{place} admits visitors");
        } else {
            without.expect_problem(401, "authentication-required");
        }
        if scopes.is_empty() {
            // What is a WebSocket is none without a handshake.
            let is_socket = operation["responses"].get("101").is_some();
            let expected = match method.as_str() {
                // It names no channel.
                _ if path == "/v1/events" => 400,
                _ if is_socket => 426,
                "POST" => 201,
                _ => 200,
            };
            let answer = nothing.send(&method, &filled(&path), None).await;
            answer.expect(expected);
            continue;
        }
        let lacking = nothing
            .send(&method, &filled(&path), None)
            .await
            .expect_problem(403, "insufficient-scope");
        let challenge = lacking.header("www-authenticate");
        assert!(
            challenge.contains(&format!("scope=\"{}\"", scopes.join(" "))),
            "{place}: {challenge}"
        );
        // What tells of the person comes from an app's sign-in, not from a role.
        for scope in scopes.iter().filter(|scope| *scope != "openid") {
            let holder = app.user(scope).await;
            let response = holder.send(&method, &filled(&path), None).await;
            assert!(
                !matches!(response.status(), 401 | 405)
                    && response.header("www-authenticate").is_empty(),
                "{place} with {scope}: {response:?}"
            );
        }
    }
    assert!(guarded > 15);
}

#[tokio::test]
async fn documents_are_served_to_browsers_from_here_alone() {
    let app = TestApp::shared();
    assert_eq!(
        app.send(app.request("GET", "/docs")).await.status(),
        200,
        "redirected to /docs/"
    );
    let page = app.get("/docs/").await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"));
    let initializer = app
        .get("/docs/swagger-initializer.js")
        .await
        .expect(200)
        .text();
    assert!(
        initializer.contains("/openapi.json") && !initializer.contains("https://"),
        "{initializer}"
    );
}
