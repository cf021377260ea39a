//! RES-11 and RES-12: every error is a problem, also those that the HTTP library would answer by itself.

use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn res_12_unknown_routes_and_bad_paths_are_problems() {
    let app = TestApp::shared();
    for path in [
        "/",
        "/nope",
        "/v1",
        "/v1/",
        "/v1/users/",
        "/v1//users",
        "/v1/users/me/nope",
        "/problems/nope",
        "/docs/nope.js",
        "/v1/%2e%2e/users",
    ] {
        app.get(path).await.expect_problem(404, "not-found");
    }
}

#[tokio::test]
async fn res_11_other_methods_are_a_405_that_lists_what_is_offered() {
    let app = TestApp::shared();
    for (method, path, allow) in [
        ("PUT", "/v1/users", "GET, HEAD, POST, OPTIONS"),
        ("TRACE", "/v1/users", "GET, HEAD, POST, OPTIONS"),
        ("FOO", "/v1/sessions", "GET, HEAD, POST, DELETE, OPTIONS"),
        ("GET", "/v1/tokens", "POST, OPTIONS"),
        ("POST", "/v1/users/me/password", "PUT, OPTIONS"),
        ("DELETE", "/.well-known/jwks.json", "GET, HEAD, OPTIONS"),
        ("POST", "/docs/", "GET, HEAD, OPTIONS"),
    ] {
        let response = app
            .send(app.request(method, path))
            .await
            .expect_problem(405, "method-not-allowed");
        assert_eq!(response.header("allow"), allow, "{method} {path}");
    }
    for path in ["/v1/users", "/v1/tokens", "/v1/users/me", "/openapi.json"] {
        let response = app.send(app.request("OPTIONS", path)).await.expect(204);
        assert!(response.header("allow").ends_with("OPTIONS"), "{path}");
    }
}

#[tokio::test]
async fn res_11_head_has_the_headers_of_get() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for path in [
        "/v1/users/me",
        "/v1/tokens/current",
        "/.well-known/jwks.json",
        "/openapi.json",
        "/v1/sessions",
    ] {
        let get = ada.get(path).await.expect(200);
        let head = ada.send("HEAD", path, None).await;
        assert_eq!((head.status(), head.text().as_str()), (200, ""), "{path}");
        for name in ["content-type", "content-length", "cache-control", "etag"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
    }
}

#[tokio::test]
async fn res_11_types_that_nobody_speaks_are_refused() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let unacceptable = app
        .request("GET", "/v1/users/me")
        .bearer_auth(ada.access_token())
        .header("accept", "text/html");
    app.send(unacceptable)
        .await
        .expect_problem(406, "not-acceptable");
    for accept in ["*/*", "application/json", "text/html, application/*;q=0.5"] {
        let request = app
            .request("GET", "/v1/users/me")
            .bearer_auth(ada.access_token())
            .header("accept", accept);
        app.send(request).await.expect(200);
    }
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/merge-patch+json",
        "",
        "application/jsonx",
        "application/json; charset=latin1",
    ] {
        let mut request = app.request("POST", "/v1/sessions").body("{}");
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        app.send(request)
            .await
            .expect_problem(415, "unsupported-media-type");
    }
    let zipped = app
        .request("POST", "/v1/sessions")
        .header("content-encoding", "gzip")
        .json(&json!({}));
    app.send(zipped)
        .await
        .expect_problem(415, "unsupported-media-type");
    let charset = app
        .request("POST", "/v1/sessions")
        .header("content-type", "Application/JSON; Charset=UTF-8")
        .body("{}");
    app.send(charset)
        .await
        .expect_problem(422, "validation-failed");
}

#[tokio::test]
async fn bodies_over_a_megabyte_are_refused() {
    let app = TestApp::shared();
    let body = json!({"email": "a@example.com", "password": "x".repeat(1 << 20)}).to_string();
    let request = app
        .request("POST", "/v1/sessions")
        .header("content-type", "application/json")
        .body(body);
    app.send(request)
        .await
        .expect_problem(413, "payload-too-large");
}

#[tokio::test]
async fn unknown_query_parameters_are_refused_with_a_pointer() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for (method, path) in [
        ("GET", "/v1/users/me?x=1"),
        ("GET", "/v1/sessions?limit=1&x=2"),
        ("DELETE", "/v1/sessions?x=1"),
        ("HEAD", "/v1/users/me?x=1"),
    ] {
        let response = ada.send(method, path, None).await;
        assert_eq!(response.status(), 400, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(
                response
                    .expect_problem(400, "invalid-query")
                    .at("/errors/0/pointer"),
                "/x"
            );
        }
    }
    // A token in the query is neither taken nor answered (OAuth 2.1 section 5.2.1.2).
    app.get(&format!("/v1/users/me?access_token={}", ada.access_token()))
        .await
        .expect_problem(401, "authentication-required");
}

#[tokio::test]
async fn request_ids_are_taken_when_sane() {
    let app = TestApp::shared();
    let given = app
        .send(
            app.request("GET", "/nope")
                .header("x-request-id", "trace-1.2:3_4"),
        )
        .await
        .expect(404);
    assert_eq!(given.header("x-request-id"), "trace-1.2:3_4");
    for insane in ["", "a b", "\u{1b}[31m", &"x".repeat(129), "<script>"] {
        let Ok(value) = reqwest::header::HeaderValue::from_bytes(insane.as_bytes()) else {
            continue;
        };
        let response = app
            .send(app.request("GET", "/nope").header("x-request-id", value))
            .await
            .expect(404);
        assert_eq!(response.header("x-request-id").len(), 36);
    }
}

#[tokio::test]
async fn every_problem_explains_itself_at_its_type() {
    let app = TestApp::shared();
    for code in tollgate::error::Code::ALL {
        let entry = code.entry();
        let explanation = app
            .get(&format!("/problems/{}", entry.slug))
            .await
            .expect(200);
        assert_eq!(explanation.at("/status"), entry.status);
        assert_eq!(explanation.at("/title"), entry.title);
        assert!(explanation.at("/cure").as_str().unwrap().len() > 20);
    }
    let kind = app.get("/nope").await.at("/type");
    assert_eq!(kind, "http://localhost:8080/problems/not-found");
}

#[tokio::test]
async fn every_answer_refuses_to_be_sniffed() {
    let app = TestApp::shared();
    for path in [
        "/nope",
        "/.well-known/jwks.json",
        "/docs/",
        "/openapi.json",
        "/v1/users",
    ] {
        assert_eq!(
            app.get(path).await.header("x-content-type-options"),
            "nosniff",
            "{path}"
        );
    }
    assert_eq!(
        app.get("/v1/users").await.header("cache-control"),
        "no-store"
    );
    assert!(
        app.get("/docs/")
            .await
            .header("content-security-policy")
            .starts_with("default-src 'none'")
    );
}
