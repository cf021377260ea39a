//! INP-05: JSON that is malformed, ambiguous or out of bounds is a 4xx, never a 5xx.

use crate::harness::{Person, Response, TestApp, vectors};

async fn patch(app: &TestApp, ada: &Person, body: Vec<u8>) -> Response {
    let request = app
        .request("PATCH", "/v1/users/me")
        .bearer_auth(ada.access_token())
        .header("content-type", "application/merge-patch+json")
        .body(body);
    app.send(request).await
}

#[tokio::test]
async fn inp_05_json_test_suite() {
    let Some(folder) = vectors("json-test-suite/test_parsing") else {
        return;
    };
    let app = TestApp::shared();
    let ada = app.person().await;
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 300);
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read(&file).unwrap();
        let alone = patch(&app, &ada, text.clone()).await;
        assert!(alone.status() < 500, "{name}: {alone:?}");
        // As a value inside a body that would be taken.
        let inside = patch(
            &app,
            &ada,
            [b"{\"user_metadata\":{\"x\":", text.as_slice(), b"}}"].concat(),
        )
        .await;
        match name.split_once('_').unwrap().0 {
            "n" => {
                assert_eq!(alone.status(), 400, "{name}");
                alone.expect_problem(400, "malformed-json");
                // `n_structure_…` may close our own braces; whatever happens is no server error.
                assert!(inside.status() < 500, "{name}: {inside:?}");
            }
            "y" => {
                // What JSON allows and we don't: NUL, duplicate members, exponents beyond 40.
                let refused = [
                    "y_number.json",
                    "close_to_zero",
                    "null_escape",
                    "escaped_null",
                    "escaped_zero",
                    "duplicated",
                    "exp",
                    "extreme",
                    "capital_e",
                ];
                let status = inside.status();
                assert!(
                    status == 200
                        || refused.iter().any(|part| name.contains(part)) && status == 400,
                    "{name}: {inside:?}"
                );
            }
            _ => assert!(inside.status() < 500, "{name}: {inside:?}"),
        }
    }
}

#[tokio::test]
async fn inp_05_what_postgres_or_javascript_would_read_otherwise_is_refused() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let inside = |value: &str| format!("{{\"user_metadata\":{{\"x\":{value}}}}}").into_bytes();
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    for (value, pointer, code) in [
        (r#""\u0000""#.to_owned(), "/user_metadata/x", "nul"),
        (r#""\ud800""#.to_owned(), "/user_metadata/x", "surrogate"),
        (
            r#"{"a":1,"a":1}"#.to_owned(),
            "/user_metadata/x/a",
            "duplicate",
        ),
        ("1e41".to_owned(), "/user_metadata/x", "number"),
        ("1".repeat(41), "/user_metadata/x", "number"),
        (deep(63), "", "depth"),
    ] {
        let response = patch(&app, &ada, inside(&value))
            .await
            .expect_problem(400, "refused-json");
        assert_eq!(response.at("/errors/0/code"), code, "{value}");
        assert!(
            response
                .at("/errors/0/pointer")
                .as_str()
                .unwrap()
                .starts_with(pointer),
            "{value}"
        );
    }
    for value in [
        "9007199254740993",
        "1e40",
        "0.1234567890123456789012345",
        &deep(61),
        "\"\u{1d11e}\"",
    ] {
        let response = patch(&app, &ada, inside(value)).await.expect(200);
        assert!(
            value == "1e40" || response.text().contains(value),
            "exact: {value} in {}",
            response.text()
        );
    }
    // Members named for what JavaScript and SQL make of them are members like others.
    for name in [
        "__proto__",
        "constructor",
        "data'); drop table users; --",
        "$ref",
        "",
    ] {
        let body = serde_json::json!({"user_metadata": {name: 1}})
            .to_string()
            .into_bytes();
        let response = patch(&app, &ada, body).await.expect(200);
        assert_eq!(response.json()["user_metadata"][name], 1);
    }
}

#[tokio::test]
async fn deep_nesting_and_long_texts_cost_nothing_but_a_400() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for body in [
        "[".repeat(1 << 20),
        "{\"a\":".repeat(100_000),
        format!("{}{}", "[".repeat(500_000), "]".repeat(500_000)),
    ] {
        let status = patch(&app, &ada, body.into_bytes()).await.status();
        assert!(matches!(status, 400 | 413), "{status}");
    }
}
