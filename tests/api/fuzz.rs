//! INP-06: 20,000 requests made of naughty parts, and not one answer of 500 or more.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::harness::{TestApp, client};

const REQUESTS: u32 = 20_000;

/// Texts that have broken somebody's server before.
const NAUGHTY: &[&str] = &[
    "",
    " ",
    "null",
    "undefined",
    "true",
    "0",
    "-1",
    "1e309",
    "NaN",
    "\u{0}",
    "\u{feff}",
    "\u{202e}abc",
    "\u{1f469}\u{200d}\u{1f467}",
    "ÅÄÖ",
    "ﬀ",
    "İ",
    "ẞ",
    "a\u{300}",
    "\r\nX-Evil: 1",
    "\t",
    "\\",
    "\"",
    "'",
    "';--",
    "' or 1=1 --",
    "$1",
    "%",
    "%s%n",
    "%00",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "../../../etc/passwd",
    "..%2f..",
    "<script>alert(1)</script>",
    "__proto__",
    "constructor",
    "me",
    "current",
    "admin",
    "01a20bf4-4417-720b-a398-ade7a859a777",
    "00000000-0000-0000-0000-000000000000",
    "a@b",
    "\u{ffff}",
    "\u{10ffff}",
    "9223372036854775808",
    "-9223372036854775809",
    "0x10",
    "1_000",
    "2026-11-24T00:00:00Z",
    "users:read",
    "a:b",
    "*",
    "?",
    "#",
    ";",
];

fn text() -> BoxedStrategy<String> {
    prop_oneof![
        4 => prop::sample::select(NAUGHTY).prop_map(str::to_owned),
        1 => ".{0,40}",
        1 => prop::sample::select(NAUGHTY).prop_map(|part| part.repeat(50)),
    ]
    .boxed()
}

fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        6 => text().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(text(), inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
    .boxed()
}

const MEMBERS: &[&str] = &[
    "email",
    "password",
    "name",
    "locale",
    "scope",
    "resource",
    "refresh_token",
    "current_password",
    "new_password",
    "user_metadata",
    "app_metadata",
    "disabled",
    "description",
    "scopes",
    "id",
    "version",
];

fn body() -> BoxedStrategy<Value> {
    prop_oneof![
        6 => prop::collection::hash_map(prop::sample::select(MEMBERS), value(), 0..6).prop_map(|members| json!(members)),
        1 => value(),
    ]
    .boxed()
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[derive(Clone, Debug)]
struct Fuzzed {
    operation: usize,
    segment: String,
    query: Vec<(String, String)>,
    body: Option<Value>,
    signed_in: bool,
    header: String,
}

fn fuzzed() -> impl Strategy<Value = Fuzzed> {
    let query = prop::collection::vec(
        (
            prop_oneof![Just("limit".to_owned()), Just("cursor".to_owned()), text()],
            text(),
        ),
        0..3,
    );
    (
        any::<prop::sample::Index>(),
        text(),
        query,
        prop::option::of(body()),
        prop::bool::weighted(0.8),
        text(),
    )
        .prop_map(
            |(operation, segment, query, body, signed_in, header)| Fuzzed {
                operation: operation.index(10_000),
                segment,
                query,
                body,
                signed_in,
                header,
            },
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inp_06_twenty_thousand_naughty_requests_and_no_server_error() {
    let app = TestApp::own(&[("TOLLGATE_PASSWORDS__QUEUE", "100000")]);
    let administrator = app.administrator().await;
    let document = app.get("/openapi.json").await.json();
    let mut operations: Vec<(String, String)> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            // Signing the fuzzing administrator out would end the test's reach; `me` and `current` still try.
            if !(method == "delete" && path == "/v1/sessions") {
                operations.push((method.to_uppercase(), path.clone()));
            }
        }
    }
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = fuzzed();
    let client = client();
    let mut sent = 0;
    let mut taken = 0;
    while sent < REQUESTS {
        let batch: Vec<_> = (0..32)
            .map(|_| {
                let case = ValueTree::current(&strategy.new_tree(&mut runner).unwrap());
                let (method, path) = &operations[case.operation % operations.len()];
                let segment = percent(&case.segment);
                let mut url = format!("{}{path}", app.address());
                for name in ["{id}", "{role}", "{name}", "{code}"] {
                    url = url.replace(name, &segment);
                }
                let mut request = client
                    .request(method.parse().unwrap(), url)
                    .query(&case.query);
                if let Some(body) = &case.body {
                    request = request.json(body);
                }
                if case.signed_in {
                    request = request.bearer_auth(administrator.access_token());
                }
                if let Ok(header) = reqwest::header::HeaderValue::from_str(&case.header) {
                    request = request
                        .header("user-agent", header.clone())
                        .header("x-request-id", header);
                }
                (case, tokio::spawn(request.send()))
            })
            .collect();
        for (case, response) in batch {
            let response = response
                .await
                .unwrap()
                .unwrap_or_else(|error| panic!("{case:?}: {error}"));
            let status = response.status().as_u16();
            assert!(
                status < 500,
                "{case:?}: {status} {:?}",
                response.text().await
            );
            taken += u32::from(status < 400);
            sent += 1;
        }
    }
    assert!(taken > 100, "some must get through: {taken}");
}
