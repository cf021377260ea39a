//! Conditional requests, both patch types, preferences (RES-05, RES-06).

use serde_json::{Value, json};

use crate::harness::{Person, Response, TestApp};

async fn with(
    person: &Person,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> Response {
    let mut request = person.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_null() {
        request = request.json(&body);
    }
    person.app().send(request).await
}

/// The version that a tag names.
fn version(tag: &str) -> i64 {
    let digits = tag.trim_matches('"').split('.').next().unwrap();
    digits.parse().unwrap()
}

#[tokio::test]
async fn res_05_of_fifty_patches_with_one_etag_one_succeeds() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let tag = ada
        .get("/v1/users/me")
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    assert_eq!(version(&tag), 1);
    let tries: Vec<_> = (0..50)
        .map(|index| {
            let (ada, tag) = (ada.clone(), tag.clone());
            tokio::spawn(async move {
                let body = json!({"name": format!("Ada {index}")});
                with(&ada, "PATCH", "/v1/users/me", &[("if-match", &tag)], body).await
            })
        })
        .collect();
    let (mut done, mut refused) = (0, 0);
    for one in tries {
        let response = one.await.unwrap();
        if response.status() == 200 {
            assert_eq!(version(response.header("etag")), 2);
            done += 1;
        } else {
            let response = response.expect_problem(412, "precondition-failed");
            assert_eq!(response.at("/current_version"), 2);
            assert_eq!(response.header("etag"), "\"2\"");
            refused += 1;
        }
    }
    assert_eq!((done, refused), (1, 49));
}

#[tokio::test]
async fn res_05_a_write_goes_through_only_in_the_state_that_was_seen() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for (condition, status) in [
        ("\"1\"", 200),
        ("\"1\"", 412),
        ("\"1\", \"2\"", 200),
        ("W/\"3\"", 412),
        ("\"3.gzip\"", 200),
        ("\"nonsense\"", 412),
        ("\"\"", 412),
        (" , \"5\" ,, \"4\"", 200),
        ("*", 200),
    ] {
        let response = with(
            &ada,
            "PATCH",
            "/v1/users/me",
            &[("if-match", condition)],
            json!({"name": "A"}),
        )
        .await;
        assert_eq!(response.status(), status, "{condition}");
    }
    let stale = with(
        &ada,
        "DELETE",
        "/v1/users/me",
        &[("if-match", "\"1\"")],
        Value::Null,
    )
    .await;
    stale.expect_problem(412, "precondition-failed");
    let current = ada
        .get("/v1/users/me")
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    with(
        &ada,
        "DELETE",
        "/v1/users/me",
        &[("if-match", &current)],
        Value::Null,
    )
    .await
    .expect(204);
}

#[tokio::test]
async fn a_condition_that_would_not_be_looked_at_is_refused() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for path in ["/v1/sessions/current", "/v1/sessions"] {
        with(&ada, "DELETE", path, &[("if-match", "\"1\"")], Value::Null)
            .await
            .expect_problem(400, "bad-request");
    }
    ada.get("/v1/sessions/current").await.expect(200);
}

#[tokio::test]
async fn a_role_is_created_only_or_replaced_only_as_asked() {
    let app = TestApp::own(&[]);
    let administrator = app.administrator().await;
    let put = async |headers: &[(&str, &str)], scope: &str| {
        let body = json!({"scopes": [scope]});
        with(&administrator, "PUT", "/v1/roles/editor", headers, body).await
    };
    put(&[("if-match", "*")], "a:b")
        .await
        .expect_problem(412, "precondition-failed");
    let made = put(&[("if-none-match", "*")], "a:b").await.expect(201);
    assert_eq!(made.header("etag"), "\"1\"");
    put(&[("if-none-match", "*")], "a:b")
        .await
        .expect_problem(412, "precondition-failed");
    let changed = put(&[("if-match", "\"1\"")], "a:c").await.expect(200);
    assert_eq!(
        (changed.header("etag"), changed.at("/version")),
        ("\"2\"", json!(2))
    );
    put(&[("if-match", "\"1\"")], "a:d")
        .await
        .expect_problem(412, "precondition-failed");
    let stale = with(
        &administrator,
        "DELETE",
        "/v1/roles/editor",
        &[("if-match", "\"1\"")],
        Value::Null,
    )
    .await;
    stale.expect_problem(412, "precondition-failed");
    with(
        &administrator,
        "DELETE",
        "/v1/roles/editor",
        &[("if-match", "\"2\"")],
        Value::Null,
    )
    .await
    .expect(204);
}

#[tokio::test]
async fn res_05_a_condition_that_cannot_be_read_lets_no_write_through() {
    let app = TestApp::own(&[]);
    let administrator = app.administrator().await;
    administrator
        .put("/v1/roles/kept", json!({"scopes": ["a:b"]}))
        .await
        .expect(201);
    let malformed = [
        "*, \"x\"",
        "\"a\", *",
        "* ,*",
        "**",
        "abc",
        "3",
        "\"1",
        "1\"",
        "w/\"1\"",
        "W/ \"1\"",
        "\"a\"\"b\"",
        "\"a b\"",
        ",",
        "",
    ];
    for name in ["if-match", "if-none-match"] {
        for condition in malformed {
            let headers = [(name, condition)];
            let body = json!({"scopes": ["a:c"]});
            let put = with(&administrator, "PUT", "/v1/roles/kept", &headers, body).await;
            assert_eq!(put.status(), 400, "PUT {name}: {condition}");
            put.expect_problem(400, "bad-request");
            let get = with(
                &administrator,
                "GET",
                "/v1/roles/kept",
                &headers,
                Value::Null,
            )
            .await;
            assert_eq!(get.status(), 400, "GET {name}: {condition}");
        }
        let two_lines = administrator
            .request("PUT", "/v1/roles/kept")
            .header(name, "*")
            .header(name, "\"9\"")
            .json(&json!({"scopes": ["a:c"]}));
        app.send(two_lines).await.expect_problem(400, "bad-request");
    }
    let kept = administrator.get("/v1/roles/kept").await.expect(200);
    assert_eq!(
        (kept.at("/version"), kept.at("/scopes")),
        (json!(1), json!(["a:b"]))
    );
    // A comma within a tag separates nothing.
    let headers = [("if-none-match", "\"a,b\", W/\"c\"")];
    let body = json!({"scopes": ["a:c"]});
    with(&administrator, "PUT", "/v1/roles/kept", &headers, body)
        .await
        .expect(200);
}

#[tokio::test]
async fn res_06_no_tag_ever_means_two_states() {
    let app = TestApp::own(&[]);
    let administrator = app.administrator().await;
    let create = async |scope: &str| {
        let body = json!({"name": "again", "scopes": [scope]});
        let made = administrator.post("/v1/roles", body).await.expect(201);
        made.header("etag").to_owned()
    };
    let first = create("a:first").await;
    assert_eq!(first, "\"1\"");
    administrator.delete("/v1/roles/again").await.expect(204);
    let second = create("a:second").await;
    assert_ne!(first, second);
    let stale = async |method: &str, name: &str, body: Value| {
        with(
            &administrator,
            method,
            "/v1/roles/again",
            &[(name, &first)],
            body,
        )
        .await
    };
    stale("PUT", "if-match", json!({"scopes": ["a:third"]}))
        .await
        .expect_problem(412, "precondition-failed");
    stale("DELETE", "if-match", Value::Null)
        .await
        .expect_problem(412, "precondition-failed");
    let read = stale("GET", "if-none-match", Value::Null).await.expect(200);
    assert_eq!(read.at("/scopes"), json!(["a:second"]));
    administrator.delete("/v1/roles/again").await.expect(204);
    assert_eq!(create("a:fourth").await, "\"3\"");
}

#[tokio::test]
async fn res_06_me_is_another_resource_for_everyone() {
    let app = TestApp::shared();
    let (ada, bob) = (app.person().await, app.person().await);
    let (hers, his) = (
        ada.get("/v1/users/me").await.expect(200),
        bob.get("/v1/users/me").await.expect(200),
    );
    let tag = hers.header("etag");
    assert_ne!(tag, his.header("etag"));
    let path = format!("/v1/users/{}", ada.id());
    assert_eq!(hers.header("content-location"), path);
    let read = with(
        &bob,
        "GET",
        "/v1/users/me",
        &[("if-none-match", tag)],
        Value::Null,
    )
    .await;
    assert_eq!(read.expect(200).at("/id"), bob.id());
    let known = with(
        &ada,
        "GET",
        "/v1/users/me",
        &[("if-none-match", tag)],
        Value::Null,
    )
    .await;
    assert_eq!(
        (known.status(), known.header("content-location")),
        (304, path.as_str())
    );
    assert_eq!(ada.get(&path).await.expect(200).header("etag"), "\"1\"");
    let body = json!({"name": "Ada"});
    let written = with(&ada, "PATCH", &path, &[("if-match", tag)], body).await;
    assert_eq!(written.expect(200).header("etag"), "\"2\"");
}

#[tokio::test]
async fn res_06_a_known_state_is_a_304_with_the_same_headers() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for path in [
        "/v1/users/me",
        "/v1/sessions/current",
        "/.well-known/jwks.json",
    ] {
        let read = ada.get(path).await.expect(200);
        let tag = read.header("etag").to_owned();
        assert!(
            tag.starts_with('"') && tag.len() > 2,
            "{path}: a strong tag"
        );
        for condition in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            for method in ["GET", "HEAD"] {
                let same = with(
                    &ada,
                    method,
                    path,
                    &[("if-none-match", &condition)],
                    Value::Null,
                )
                .await;
                assert_eq!(same.status(), 304, "{method} {path} {condition}");
                assert_eq!(same.text(), "");
                for name in ["etag", "vary", "cache-control"] {
                    assert_eq!(same.header(name), read.header(name), "{name} of {path}");
                }
            }
        }
        let other = with(
            &ada,
            "GET",
            path,
            &[("if-none-match", "\"other\"")],
            Value::Null,
        )
        .await;
        other.expect(200);
        let other = with(&ada, "GET", path, &[("if-match", "\"other\"")], Value::Null).await;
        other.expect_problem(412, "precondition-failed");
    }
}

#[tokio::test]
async fn whatever_an_account_shows_changes_its_tag() {
    let app = TestApp::shared();
    let (ada, administrator) = (app.person().await, app.administrator().await);
    let path = format!("/v1/users/{}", ada.id());
    let tag = async || {
        administrator
            .get(&path)
            .await
            .expect(200)
            .header("etag")
            .to_owned()
    };
    let before = tag().await;
    administrator
        .put("/v1/roles/tagged", json!({"scopes": ["a:b"]}))
        .await;
    administrator
        .put(&format!("{path}/roles/tagged"), Value::Null)
        .await
        .expect(204);
    let given = tag().await;
    administrator
        .delete(&format!("{path}/roles/tagged"))
        .await
        .expect(204);
    let taken = tag().await;
    assert!(before != given && given != taken && before != taken);
}

async fn patched(person: &Person, media_type: &str, body: Value) -> Response {
    let request = person
        .request("PATCH", "/v1/users/me")
        .header("content-type", media_type)
        .body(body.to_string());
    person.app().send(request).await
}

const STEPS: &str = "application/json-patch+json";

#[tokio::test]
async fn a_json_patch_goes_through_as_a_whole_or_not_at_all() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let metadata = json!({"user_metadata": {"list": [1, 2], "n": 1.50}});
    ada.patch("/v1/users/me", metadata).await.expect(200);
    let done = patched(
        &ada,
        STEPS,
        json!([
            {"op": "test", "path": "/user_metadata/list/0", "value": 1},
            {"op": "add", "path": "/user_metadata/list/-", "value": 3},
            {"op": "copy", "from": "/user_metadata/list", "path": "/user_metadata/again"},
            {"op": "move", "from": "/user_metadata/n", "path": "/user_metadata/m"},
            {"op": "replace", "path": "/name", "value": "Ada"},
        ]),
    )
    .await
    .expect(200);
    let expected = json!({"list": [1, 2, 3], "again": [1, 2, 3], "m": 1.50});
    assert_eq!(done.at("/user_metadata"), expected);
    assert_eq!(done.at("/name"), "Ada");
    for (steps, status, code, pointer) in [
        (
            json!([{"op": "replace", "path": "/name", "value": "B"}, {"op": "test", "path": "/name", "value": "C"}]),
            409,
            "patch-conflict",
            "/1",
        ),
        (
            json!([{"op": "remove", "path": "/user_metadata/nothing"}]),
            422,
            "validation-failed",
            "/0",
        ),
        (
            json!([{"op": "replace", "path": "/name", "value": 7}]),
            422,
            "validation-failed",
            "/name",
        ),
        (
            json!([{"op": "add", "path": "/nickname", "value": "A"}]),
            422,
            "validation-failed",
            "/nickname",
        ),
        (
            json!([{"op": "remove", "path": "/user_metadata"}]),
            422,
            "validation-failed",
            "",
        ),
        (
            json!([{"op": "jump", "path": "/name"}]),
            422,
            "validation-failed",
            "/0",
        ),
        (
            json!({"op": "add", "path": "/name", "value": "A"}),
            422,
            "validation-failed",
            "",
        ),
        (
            json!([{"op": "add", "path": "/app_metadata/plan", "value": "pro"}]),
            403,
            "member-forbidden",
            "/app_metadata",
        ),
        (
            json!([{"op": "move", "from": "/app_metadata", "path": "/user_metadata/x"}]),
            403,
            "member-forbidden",
            "/app_metadata",
        ),
        (
            json!([{"op": "replace", "path": "", "value": {}}]),
            403,
            "member-forbidden",
            "/app_metadata",
        ),
    ] {
        let refused = patched(&ada, STEPS, steps.clone())
            .await
            .expect_problem(status, code);
        assert_eq!(refused.at("/errors/0/pointer"), pointer, "{steps}");
    }
    let after = ada.get("/v1/users/me").await.expect(200);
    assert_eq!(
        (after.at("/name"), after.at("/version")),
        (json!("Ada"), json!(3))
    );
}

#[tokio::test]
async fn a_json_patch_that_doubles_and_doubles_ends_early() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let text = "x".repeat(15_000);
    ada.patch("/v1/users/me", json!({"user_metadata": {"a": text}}))
        .await
        .expect(200);
    let step = json!({"op": "copy", "from": "/user_metadata", "path": "/user_metadata/b"});
    let steps: Vec<_> = (0..100).map(|_| step.clone()).collect();
    patched(&ada, STEPS, json!(steps))
        .await
        .expect_problem(413, "payload-too-large");
    let steps: Vec<_> = (0..101).map(|_| step.clone()).collect();
    patched(&ada, STEPS, json!(steps))
        .await
        .expect_problem(422, "validation-failed");
}

/// An object of so many levels, the lowest empty.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({"a": inner}))
}

#[tokio::test]
async fn inp_05_no_patch_makes_a_document_deeper_than_a_body_may_be() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let deep = |steps: Value| {
        let ada = ada.clone();
        async move {
            let refused = patched(&ada, STEPS, steps).await;
            let refused = refused.expect_problem(422, "validation-failed");
            (
                refused.at("/errors/0/pointer"),
                refused.at("/errors/0/code"),
            )
        }
    };
    // Each step puts the chain into its own bottom, which doubles it.
    let mut steps = vec![json!({"op": "add", "path": "/user_metadata/a", "value": nested(50)})];
    for doubled in 0..20 {
        let bottom = "/a".repeat((50 << doubled.min(9)) + 1);
        let path = format!("/user_metadata{bottom}");
        steps.push(json!({"op": "copy", "from": "/user_metadata/a", "path": path}));
    }
    assert_eq!(deep(json!(steps)).await, (json!("/1"), json!("depth")));
    // The same with values that came in the steps themselves.
    let steps: Vec<_> = (0..100)
        .map(|index| {
            let path = format!("/user_metadata{}", "/a".repeat(50 * index + 1));
            json!({"op": "add", "path": path, "value": nested(50)})
        })
        .collect();
    assert_eq!(deep(json!(steps)).await, (json!("/1"), json!("depth")));
    let steps = json!([
        {"op": "add", "path": "/user_metadata/a", "value": nested(40)},
        {"op": "add", "path": "/user_metadata/b", "value": nested(40)},
        {"op": "move", "from": "/user_metadata/b", "path": format!("/user_metadata{}", "/a".repeat(41))},
    ]);
    assert_eq!(deep(steps).await, (json!("/2"), json!("depth")));
    // 64 levels are as many as a body may have, by either patch, and they can be read again.
    let fits = json!([{"op": "add", "path": "/user_metadata/a", "value": nested(61)}]);
    patched(&ada, STEPS, fits).await.expect(200);
    let one_more = json!([{"op": "replace", "path": "/user_metadata/a", "value": nested(62)}]);
    patched(&ada, STEPS, one_more).await.expect(200);
    let step = json!([{"op": "copy", "from": "/user_metadata/a", "path": "/user_metadata/a/b"}]);
    assert_eq!(deep(step).await, (json!("/0"), json!("depth")));
    let merged = |levels| json!({"user_metadata": nested(levels)});
    ada.patch("/v1/users/me", merged(63)).await.expect(200);
    let read = ada.get("/v1/users/me").await.expect(200);
    assert_eq!(read.at("/user_metadata"), nested(63));
    ada.patch("/v1/users/me", merged(64))
        .await
        .expect_problem(400, "refused-json");
}

#[tokio::test]
async fn a_patch_of_another_type_is_told_which_there_are() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let refused = patched(&ada, "text/plain", json!({}))
        .await
        .expect_problem(415, "unsupported-media-type");
    let types = "application/merge-patch+json, application/json, application/json-patch+json";
    assert_eq!(refused.header("accept-patch"), types);
    let options = ada.send("OPTIONS", "/v1/users/me", None).await.expect(204);
    assert_eq!(options.header("accept-patch"), types);
    assert_eq!(options.header("allow"), "GET, HEAD, PATCH, DELETE, OPTIONS");
}

#[tokio::test]
async fn a_client_that_wants_no_body_gets_none() {
    let app = TestApp::own(&[]);
    let administrator = app.administrator().await;
    let minimal = [("prefer", "respond-async, return=minimal; foo=bar")];
    let made = with(
        &administrator,
        "POST",
        "/v1/roles",
        &minimal,
        json!({"name": "minimal", "scopes": ["a:b"]}),
    )
    .await
    .expect(201);
    assert_eq!(made.header("preference-applied"), "return=minimal");
    assert_eq!(
        (made.header("location"), made.header("etag")),
        ("/v1/roles/minimal", "\"1\"")
    );
    assert_eq!(made.text(), "");
    let changed = with(
        &administrator,
        "PATCH",
        "/v1/users/me",
        &minimal,
        json!({"name": "A"}),
    )
    .await
    .expect(204);
    assert_eq!(
        (
            changed.text().as_str(),
            changed.header("preference-applied")
        ),
        ("", "return=minimal")
    );
    assert!(changed.header("etag").starts_with('"'));
    let full = [("prefer", "return=representation")];
    let changed = with(
        &administrator,
        "PATCH",
        "/v1/users/me",
        &full,
        json!({"name": "B"}),
    )
    .await
    .expect(200);
    assert_eq!(
        changed.header("preference-applied"),
        "return=representation"
    );
    let read = with(&administrator, "GET", "/v1/users/me", &minimal, Value::Null)
        .await
        .expect(200);
    assert_eq!(read.at("/name"), "B");
    assert_eq!(read.header("preference-applied"), "");
}
