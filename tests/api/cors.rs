//! Which origins may use the API from a browser (COR-01..05), and cookies (SES-01..05).

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Process, Response, TestApp, client, directory, run};

const GOOD: &str = "https://app.example.com";

fn origins() -> [(&'static str, &'static str); 4] {
    [
        (
            "TOLLGATE_CORS__ALLOWED_ORIGINS",
            r#"["https://app.example.com", "https://other.example.com:8443"]"#,
        ),
        ("TOLLGATE_ISSUER", "https://auth.example.com"),
        ("TOLLGATE_MODE", "production"),
        ("DATABASE_URL", "postgres://unused/by-the-harness"),
    ]
}

async fn from(
    app: &TestApp,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Response {
    let mut request = app.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    app.send(request).await
}

#[tokio::test]
async fn cor_01_cor_02_only_the_exact_origin_is_allowed() {
    let app = TestApp::own(&origins());
    let long = format!("https://{}.example.com", "a".repeat(300));
    for (origin, allowed) in [
        (GOOD, true),
        ("https://other.example.com:8443", true),
        ("http://app.example.com", false),
        ("https://app.example.com:443", false),
        ("https://app.example.com:8443", false),
        ("https://other.example.com", false),
        ("https://app.example.com/", false),
        ("https://app.example.com.", false),
        ("https://APP.example.com", false),
        ("HTTPS://app.example.com", false),
        ("//app.example.com", false),
        ("app.example.com", false),
        ("null", false),
        ("*", false),
        ("", false),
        ("https://user@app.example.com", false),
        ("https://app.example.com@evil.example", false),
        ("https://app.example.com.evil.example", false),
        ("https://evilapp.example.com", false),
        ("https://sub.app.example.com", false),
        ("https://example.com", false),
        ("https://app.example.com, https://evil.example", false),
        ("https://app.example.com https://evil.example", false),
        ("http://localhost:5173", false),
        (long.as_str(), false),
    ] {
        for method in ["GET", "OPTIONS"] {
            let headers = [("origin", origin), ("access-control-request-method", "GET")];
            let response = from(&app, method, "/v1/users/me", &headers, None).await;
            let expected = if allowed { origin } else { "" };
            assert_eq!(
                response.header("access-control-allow-origin"),
                expected,
                "{method} {origin}"
            );
            let credentials = if allowed { "true" } else { "" };
            assert_eq!(
                response.header("access-control-allow-credentials"),
                credentials,
                "{origin}"
            );
            assert!(response.varies_by("origin"), "COR-03 {method} {origin}");
            if method == "OPTIONS" {
                assert_eq!(
                    response.status(),
                    if allowed { 204 } else { 403 },
                    "{origin}"
                );
            }
        }
    }
    let two = app
        .request("GET", "/v1/users/me")
        .header("origin", GOOD)
        .header("origin", "https://evil.example");
    assert_eq!(
        app.send(two).await.header("access-control-allow-origin"),
        ""
    );
}

#[tokio::test]
async fn in_development_pages_of_this_machine_are_allowed() {
    let app = TestApp::shared();
    for (origin, allowed) in [
        ("http://localhost:5173", true),
        ("http://127.0.0.1:3000", true),
        ("http://[::1]:3000", true),
        ("http://localhost", true),
        ("https://localhost:5173", false),
        ("http://localhost:5173.evil.example", false),
        ("null", false),
    ] {
        let response = from(&app, "GET", "/v1/users/me", &[("origin", origin)], None).await;
        let expected = if allowed { origin } else { "" };
        assert_eq!(
            response.header("access-control-allow-origin"),
            expected,
            "{origin}"
        );
    }
}

#[tokio::test]
async fn cor_04_a_preflight_asks_for_no_token_and_lists_what_may_be_sent() {
    let app = TestApp::own(&origins());
    let headers = [
        ("origin", GOOD),
        ("access-control-request-method", "PATCH"),
        (
            "access-control-request-headers",
            "authorization,content-type,if-match,x-evil",
        ),
    ];
    for path in ["/v1/users/me", "/v1/sessions", "/nowhere"] {
        let answer = from(&app, "OPTIONS", path, &headers, None)
            .await
            .expect(204);
        let list = |name: &str| answer.header(name).to_ascii_lowercase();
        assert_eq!(
            list("access-control-allow-methods"),
            "get, head, post, put, patch, delete"
        );
        for name in [
            "authorization",
            "content-type",
            "if-match",
            "if-none-match",
            "idempotency-key",
            "prefer",
            "dpop",
            "x-request-id",
            "x-tollgate-request",
            "traceparent",
        ] {
            assert!(
                list("access-control-allow-headers")
                    .split(", ")
                    .any(|one| one == name),
                "{name}"
            );
        }
        assert!(!list("access-control-allow-headers").contains("evil"));
        assert!(
            answer
                .header("access-control-max-age")
                .parse::<u32>()
                .unwrap()
                <= 7200
        );
        for name in [
            "origin",
            "access-control-request-method",
            "access-control-request-headers",
        ] {
            assert!(answer.varies_by(name), "COR-03 {name}");
        }
        assert!(!answer.header("x-request-id").is_empty());
    }
    // Without the question it is no preflight.
    let options = from(&app, "OPTIONS", "/v1/users", &[("origin", GOOD)], None)
        .await
        .expect(204);
    assert_eq!(options.header("allow"), "GET, HEAD, POST, OPTIONS");
    assert_eq!(options.header("access-control-allow-methods"), "");
}

#[tokio::test]
async fn cor_05_scripts_read_every_error_and_the_headers_that_matter() {
    let app = TestApp::own(&origins());
    let good = ("origin", GOOD);
    let big = "x".repeat(1_100_000);
    let ada = app.person().await;
    let token = format!("Bearer {}", ada.access_token());
    let mut answers = vec![
        (404, from(&app, "GET", "/nowhere", &[good], None).await),
        (405, from(&app, "PUT", "/v1/users", &[good], None).await),
        (
            400,
            from(&app, "GET", "/v1/sessions?x=1", &[good], None).await,
        ),
        (401, from(&app, "GET", "/v1/users/me", &[good], None).await),
        (
            401,
            from(
                &app,
                "GET",
                "/v1/users/me",
                &[good, ("authorization", "Bearer x")],
                None,
            )
            .await,
        ),
        (
            403,
            from(
                &app,
                "GET",
                "/v1/users",
                &[good, ("authorization", &token)],
                None,
            )
            .await,
        ),
        (
            406,
            from(
                &app,
                "GET",
                "/v1/users",
                &[good, ("accept", "text/html")],
                None,
            )
            .await,
        ),
        (
            413,
            from(
                &app,
                "POST",
                "/v1/users",
                &[good],
                Some(json!({"email": big})),
            )
            .await,
        ),
        (415, from(&app, "POST", "/v1/users", &[good], None).await),
        (
            422,
            from(&app, "POST", "/v1/users", &[good], Some(json!({}))).await,
        ),
    ];
    let mut refused = None;
    for _ in 0..12 {
        let body = json!({"email": ada.email(), "password": "wrong wrong wrong"});
        let answer = from(&app, "POST", "/v1/sessions", &[good], Some(body)).await;
        refused = Some((answer.status(), answer));
    }
    answers.extend(refused);
    crate::harness::drop_connections(app.database(), true);
    answers.push((
        503,
        from(
            &app,
            "GET",
            "/v1/users/me",
            &[good, ("authorization", &token)],
            None,
        )
        .await,
    ));
    crate::harness::drop_connections(app.database(), false);
    let mut seen: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(
        seen,
        [400, 401, 403, 404, 405, 406, 413, 415, 422, 429, 503]
    );
    for (status, answer) in answers {
        let answer = answer.expect(status);
        assert_eq!(
            answer.header("access-control-allow-origin"),
            GOOD,
            "{status}"
        );
        let exposed = answer
            .header("access-control-expose-headers")
            .to_ascii_lowercase();
        for name in [
            "etag",
            "link",
            "location",
            "allow",
            "retry-after",
            "ratelimit",
            "ratelimit-policy",
            "www-authenticate",
            "dpop-nonce",
            "feed-position",
            "preference-applied",
            "x-request-id",
        ] {
            assert!(
                exposed.split(", ").any(|one| one == name),
                "{status} {name}"
            );
        }
    }
}

#[tokio::test]
async fn public_documents_are_for_everyone_and_never_with_credentials() {
    let app = TestApp::own(&origins());
    for path in ["/.well-known/jwks.json", "/openapi.json"] {
        for origin in [GOOD, "https://evil.example"] {
            let answer = from(&app, "GET", path, &[("origin", origin)], None)
                .await
                .expect(200);
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            assert_eq!(answer.header("access-control-allow-credentials"), "");
        }
    }
    let pages = from(&app, "GET", "/docs/", &[("origin", GOOD)], None)
        .await
        .expect(200);
    assert_eq!(pages.header("access-control-allow-origin"), "");
}

#[test]
fn a_refused_origin_is_logged_once_with_its_cure_and_the_doctor_says_the_same() {
    let server = Process::start(&[("TOLLGATE_CORS__ALLOWED_ORIGINS", r#"["https://a.example"]"#)]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for _ in 0..3 {
            let request = client().get(format!("{}/v1/users/me", server.address()));
            request
                .header("origin", "https://b.example")
                .send()
                .await
                .unwrap();
        }
    });
    let setting = r#"cors.allowed_origins = ["https://a.example", "https://b.example"]"#;
    assert_eq!(server.log().matches(setting).count(), 1, "{}", server.log());
    let place = directory();
    let environment = [("TOLLGATE_CORS__ALLOWED_ORIGINS", r#"["https://a.example"]"#)];
    let ask = |origin: &str| {
        let output = run(place.path(), &environment, &["doctor", "cors", origin], "");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, _, told) = ask("https://b.example");
    assert!(code == 1 && told.contains(setting), "{told}");
    let (code, told, _) = ask("https://a.example");
    assert!(code == 0 && told.contains("is allowed"), "{told}");
    let (code, told, _) = ask("http://localhost:5173");
    assert!(code == 0 && told.contains("development"), "{told}");
    let (code, _, told) = ask("null");
    assert!(code == 1 && told.contains("--static"), "{told}");
    let (code, _, told) = ask("https://c.example/");
    assert!(code == 1 && told.contains("no slash at the end"), "{told}");
}

/// Signs in by cookie; answers the `Set-Cookie` values.
async fn cookies_of(app: &TestApp, email: &str) -> (Vec<String>, Response) {
    let body = json!({"email": email, "password": PASSWORD, "transport": "cookie"});
    let headers = [("origin", GOOD), ("x-tollgate-request", "1")];
    let response = from(app, "POST", "/v1/sessions", &headers, Some(body))
        .await
        .expect(201);
    let cookies = response.headers().get_all("set-cookie").iter();
    (
        cookies
            .map(|value| value.to_str().unwrap().to_owned())
            .collect(),
        response,
    )
}

/// What a browser would send of them.
fn cookie_header(cookies: &[String]) -> String {
    let pairs: Vec<_> = cookies
        .iter()
        .map(|cookie| cookie.split(';').next().unwrap())
        .collect();
    pairs.join("; ")
}

#[tokio::test]
async fn ses_01_cookies_are_closed_to_scripts_and_hold_what_the_body_does_not() {
    let app = TestApp::own(&origins());
    let ada = app.person().await;
    let (cookies, response) = cookies_of(&app, ada.email()).await;
    assert_eq!(cookies.len(), 2);
    for (cookie, name, same_site) in [
        (&cookies[0], "__Host-tollgate_access=ey", "SameSite=Lax"),
        (&cookies[1], "__Host-tollgate_refresh=ey", "SameSite=Strict"),
    ] {
        assert!(cookie.starts_with(name) && cookie.len() < 4096, "{cookie}");
        for attribute in ["Path=/", "HttpOnly", "Secure", same_site] {
            assert!(
                cookie.split("; ").any(|one| one == attribute),
                "{attribute} of {cookie}"
            );
        }
        assert!(!cookie.contains("Domain"));
        let token = cookie.split(['=', ';']).nth(1).unwrap();
        assert!(!response.text().contains(token), "never also in the body");
    }
    // A long answer that holds tokens is not packed either.
    let packed = app
        .request("POST", "/v1/sessions")
        .header("accept-encoding", "gzip, br")
        .json(&json!({"email": ada.email(), "password": PASSWORD}));
    let bearer = app.send(packed).await.expect(201);
    assert!(bearer.text().len() > 1_024 && bearer.header("content-encoding").is_empty());
    let body = response.json();
    assert!(body.get("access_token").is_none() && body.get("refresh_token").is_none());
    assert_eq!(body["token_type"], "Bearer");
    // On plain HTTP of a developer's machine.
    let shared = TestApp::shared();
    let bob = shared.person().await;
    let sign_in = json!({"email": bob.email(), "password": PASSWORD, "transport": "cookie"});
    let headers = [
        ("origin", "http://localhost:5173"),
        ("x-tollgate-request", "1"),
    ];
    let plain = from(&shared, "POST", "/v1/sessions", &headers, Some(sign_in))
        .await
        .expect(201);
    assert!(plain.header("set-cookie").starts_with("tollgate_access=ey"));
    assert!(!plain.header("set-cookie").contains("Secure"));
}

#[tokio::test]
async fn ses_03_a_cookie_changes_nothing_without_the_header_and_a_good_origin() {
    let app = TestApp::own(&origins());
    let ada = app.person().await;
    let (cookies, _) = cookies_of(&app, ada.email()).await;
    let cookie = cookie_header(&cookies);
    let change = async |headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", cookie.as_str())];
        all.extend(headers);
        from(
            &app,
            "PATCH",
            "/v1/users/me",
            &all,
            Some(json!({"name": "A"})),
        )
        .await
    };
    let header = ("x-tollgate-request", "1");
    for headers in [
        &[][..],
        &[header],
        &[("origin", GOOD)],
        &[("origin", GOOD), ("x-tollgate-request", "true")],
        &[("origin", "https://evil.example"), header],
        &[("origin", "null"), header],
        &[("sec-fetch-site", "cross-site"), header],
        &[("sec-fetch-site", "same-site"), header],
        &[("sec-fetch-site", "none"), header],
        &[
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "same-origin"),
            header,
        ],
    ] {
        change(headers)
            .await
            .expect_problem(403, "cross-site-request");
    }
    for headers in [
        &[("origin", GOOD), header][..],
        &[("origin", "https://auth.example.com"), header],
        &[("sec-fetch-site", "same-origin"), header],
        &[("origin", GOOD), ("sec-fetch-site", "cross-site"), header],
    ] {
        change(headers).await.expect(200);
    }
    // Reading needs neither, and is read only where CORS lets it.
    let read = from(&app, "GET", "/v1/users/me", &[("cookie", &cookie)], None)
        .await
        .expect(200);
    assert_eq!(read.at("/name"), "A");
    // A form, or JSON in disguise.
    for media_type in [
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain",
    ] {
        for path in ["/v1/sessions", "/v1/tokens", "/v1/users/me/password"] {
            let method = if path.ends_with("password") {
                "PUT"
            } else {
                "POST"
            };
            let request = app
                .request(method, path)
                .header("cookie", &cookie)
                .header("origin", "https://evil.example")
                .header("content-type", media_type)
                .body(r#"{"transport": "cookie"}"#);
            let status = app.send(request).await.status();
            assert!(
                matches!(status, 403 | 415),
                "{method} {path} {media_type}: {status}"
            );
        }
    }
    ada.refresh().await.expect(200);
}

#[tokio::test]
async fn ses_03_a_bearer_token_wins_over_a_cookie() {
    let app = TestApp::own(&origins());
    let (ada, bob) = (app.person().await, app.person().await);
    let cookie = cookie_header(&cookies_of(&app, ada.email()).await.0);
    let token = format!("Bearer {}", bob.access_token());
    let both = [
        ("cookie", cookie.as_str()),
        ("authorization", token.as_str()),
    ];
    let me = from(&app, "GET", "/v1/users/me", &both, None)
        .await
        .expect(200);
    assert_eq!(me.at("/id"), bob.id());
    from(
        &app,
        "PATCH",
        "/v1/users/me",
        &both,
        Some(json!({"name": "B"})),
    )
    .await
    .expect(200);
    let bad = [("cookie", cookie.as_str()), ("authorization", "Bearer x")];
    from(&app, "GET", "/v1/users/me", &bad, None)
        .await
        .expect_problem(401, "invalid-token");
    // Two of one name: whoever set the second one is not asked.
    let twice = format!("{cookie}; {cookie}");
    from(&app, "GET", "/v1/users/me", &[("cookie", &twice)], None)
        .await
        .expect_problem(401, "authentication-required");
}

#[tokio::test]
async fn ses_05_a_bad_access_cookie_is_taken_back_and_nothing_else() {
    let app = TestApp::own(&origins());
    let ada = app.person().await;
    let (cookies, _) = cookies_of(&app, ada.email()).await;
    let cookie = cookie_header(&cookies);
    let bad = cookie.replacen("tollgate_access=ey", "tollgate_access=xy", 1);
    assert_ne!(bad, cookie);
    let read =
        async |headers: &[(&str, &str)]| from(&app, "GET", "/v1/users/me", headers, None).await;
    let refused = read(&[("cookie", &bad)])
        .await
        .expect_problem(401, "invalid-token");
    let taken: Vec<_> = refused.headers().get_all("set-cookie").iter().collect();
    assert_eq!(taken.len(), 1, "the refresh token stays: {taken:?}");
    let taken = taken[0].to_str().unwrap();
    assert!(
        taken.contains("tollgate_access=;") && taken.contains("Max-Age=0"),
        "{taken}"
    );
    assert!(refused.header("www-authenticate").contains("invalid_token"));
    for headers in [
        [("cookie", cookie.as_str()), ("authorization", "Bearer x")],
        [("cookie", bad.as_str()), ("authorization", "Bearer x")],
    ] {
        let refused = read(&headers).await.expect_problem(401, "invalid-token");
        assert_eq!(
            refused.header("set-cookie"),
            "",
            "the cookie was not looked at"
        );
    }
    assert_eq!(read(&[]).await.expect(401).header("set-cookie"), "");
    read(&[("cookie", &cookie)]).await.expect(200);
}

#[tokio::test]
async fn ses_02_ses_04_signing_in_and_refreshing_by_cookie_are_guarded_and_plant_nothing() {
    let app = TestApp::own(&origins());
    let ada = app.person().await;
    let sign_in = json!({"email": ada.email(), "password": PASSWORD, "transport": "cookie"});
    for headers in [
        &[][..],
        &[("x-tollgate-request", "1")],
        &[
            ("origin", "https://evil.example"),
            ("x-tollgate-request", "1"),
        ],
    ] {
        let refused = from(&app, "POST", "/v1/sessions", headers, Some(sign_in.clone())).await;
        let refused = refused.expect_problem(403, "cross-site-request");
        assert_eq!(refused.header("set-cookie"), "");
    }
    let (cookies, first) = cookies_of(&app, ada.email()).await;
    let cookie = cookie_header(&cookies);
    let good = [
        ("origin", GOOD),
        ("x-tollgate-request", "1"),
        ("cookie", cookie.as_str()),
    ];
    // Who signs in with somebody's cookie gets a session of their own.
    let again = from(&app, "POST", "/v1/sessions", &good, Some(sign_in))
        .await
        .expect(201);
    assert_ne!(again.at("/session_id"), first.at("/session_id"));
    from(
        &app,
        "POST",
        "/v1/tokens",
        &[("cookie", &cookie)],
        Some(json!({})),
    )
    .await
    .expect_problem(403, "cross-site-request");
    for body in [Some(json!({})), None] {
        let next = from(&app, "POST", "/v1/tokens", &good, body)
            .await
            .expect(200);
        assert_eq!(next.at("/session_id"), first.at("/session_id"));
        assert!(next.json().get("refresh_token").is_none());
        assert_eq!(next.headers().get_all("set-cookie").iter().count(), 2);
    }
    // A token in the body is answered in the body, whatever cookies came along.
    let body = json!({"refresh_token": ada.refresh_token()});
    let pair = from(&app, "POST", "/v1/tokens", &good, Some(body))
        .await
        .expect(200);
    assert!(pair.header("set-cookie").is_empty() && pair.at("/access_token").is_string());
    from(&app, "POST", "/v1/tokens", &[], Some(json!({})))
        .await
        .expect_problem(401, "invalid-grant");
}

#[tokio::test]
async fn ses_05_signing_out_ends_the_session_and_takes_the_cookies_back() {
    let app = TestApp::own(&origins());
    let ada = app.person().await;
    let cookie = cookie_header(&cookies_of(&app, ada.email()).await.0);
    let good = [
        ("origin", GOOD),
        ("x-tollgate-request", "1"),
        ("cookie", cookie.as_str()),
    ];
    let out = from(&app, "DELETE", "/v1/sessions/current", &good, None)
        .await
        .expect(204);
    let cleared: Vec<_> = out
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(cleared.len(), 2);
    assert!(
        cleared
            .iter()
            .all(|cookie| cookie.contains("Max-Age=0") && cookie.contains("=;"))
    );
    from(&app, "GET", "/v1/users/me", &good, None)
        .await
        .expect_problem(401, "invalid-token");
    let dead = from(&app, "POST", "/v1/tokens", &good, None)
        .await
        .expect_problem(401, "invalid-grant");
    assert_eq!(
        dead.headers().get_all("set-cookie").iter().count(),
        2,
        "they are good for nothing"
    );
}
