//! The pages as attackers see them (OAU-16, OAU-17, SES-01 to SES-05, TRN-03, COR-06).

use serde_json::json;

use crate::harness::{
    App, Browser, CALLBACK, PASSWORD, Response, TestApp, encoded, query, query_value, text,
    use_bearer,
};

const PAGES: [&str; 9] = [
    "/oauth/sign-in",
    "/oauth/sign-up",
    "/oauth/authorize",
    "/oauth/consent",
    "/oauth/select-account",
    "/oauth/continue",
    "/oauth/account",
    "/oauth/logout",
    "/device",
];

async fn from(app: &TestApp, method: &str, path: &str, origin: &str) -> Response {
    let browser = Browser::new(app);
    let request = browser
        .request(method, path)
        .header("origin", origin)
        .header("access-control-request-method", "POST");
    Response::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn oau_16_oau_17_pages_are_for_people_alone() {
    let app = TestApp::shared();
    let origins = ["https://pages.example", "http://localhost:5173", "null"];
    let own = json!({"first_party": true, "allowed_origins": ["https://pages.example"]});
    App::register(&app, own).await;
    for path in PAGES {
        for origin in origins {
            for method in ["GET", "OPTIONS", "POST"] {
                let response = from(&app, method, path, origin).await;
                for name in ["origin", "credentials", "methods", "headers"] {
                    let name = format!("access-control-allow-{name}");
                    assert_eq!(response.header(&name), "", "{method} {path}");
                }
                if method == "GET" && response.status() != 303 {
                    let policy = response.header("content-security-policy");
                    for part in [
                        "default-src 'none'",
                        "frame-ancestors 'none'",
                        "base-uri 'none'",
                        "form-action 'self'",
                    ] {
                        assert!(policy.contains(part), "{path}: {policy}");
                    }
                    assert!(!policy.contains("unsafe"), "{policy}");
                    assert_eq!(response.header("cache-control"), "no-store");
                    assert_eq!(response.header("x-content-type-options"), "nosniff");
                    assert!(!response.text().contains("<script>"));
                    assert!(!response.text().contains(" style="));
                }
            }
        }
    }
}

#[tokio::test]
async fn oau_16_cor_06_an_apps_pages_may_use_the_endpoints_that_apps_use() {
    let app = TestApp::shared();
    let third = "https://third.example";
    let own = "https://own.example";
    let client = App::register(&app, json!({"allowed_origins": [third]})).await;
    let ours = json!({"allowed_origins": [own], "first_party": true});
    let ours = App::register(&app, ours).await;
    let endpoints = [
        "/oauth/token",
        "/oauth/par",
        "/oauth/revoke",
        "/oauth/introspect",
        "/oauth/device_authorization",
        "/oauth/userinfo",
        "/v1/users/me",
    ];
    for path in endpoints {
        for (origin, credentials) in [(third, ""), (own, "true")] {
            for method in ["POST", "OPTIONS"] {
                let response = from(&app, method, path, origin).await;
                assert_eq!(
                    response.header("access-control-allow-origin"),
                    origin,
                    "{method} {path}"
                );
                assert_eq!(
                    response.header("access-control-allow-credentials"),
                    credentials,
                    "{method} {path} {origin}"
                );
                assert!(response.varies_by("origin"));
            }
        }
        for stranger in [
            "https://third.example:8443",
            "https://THIRD.example",
            "http://third.example",
            "https://third.example.evil.example",
            "https://client.example",
            "null",
        ] {
            let response = from(&app, "OPTIONS", path, stranger).await;
            assert_eq!(response.status(), 403, "{path} {stranger}");
            assert_eq!(response.header("access-control-allow-origin"), "");
        }
    }
    for path in [
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource",
    ] {
        let response = from(&app, "GET", path, "https://anybody.example").await;
        assert_eq!(response.header("access-control-allow-origin"), "*");
        assert_eq!(response.header("access-control-allow-credentials"), "");
    }
    // What is registered counts, not who asks: without the client its origin is a stranger's.
    let administrator = app.administrator().await;
    for gone in [&client, &ours] {
        let path = format!("/v1/clients/{}", gone.id);
        administrator.delete(&path).await.expect(204);
    }
    for origin in [third, own] {
        let response = from(&app, "OPTIONS", "/oauth/token", origin).await;
        assert_eq!(response.status(), 403);
        assert_eq!(response.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn oau_17_everyone_but_our_own_apps_has_to_be_allowed() {
    let app = TestApp::shared();
    let third = App::register(&app, json!({})).await;
    let own = App::register(&app, json!({"first_party": true})).await;
    let person = app.person().await;
    let mut browser = Browser::signed_in(&app, &person).await;
    browser
        .visit(&own.authorize_path(&[]))
        .await
        .unwrap_err()
        .code();
    let asked = browser.visit(&third.authorize_path(&[])).await.unwrap();
    assert!(asked.path.starts_with("/oauth/consent"));
    // Going on without an answer, or with another than yes.
    let request = asked.hidden("request").unwrap();
    let go_on = format!("/oauth/continue?request={request}");
    let again = browser.visit(&go_on).await.unwrap();
    assert!(again.path.starts_with("/oauth/consent"));
    let no = [("decision", "no")];
    let denied = browser.submit(&asked, "/oauth/consent", &no).await;
    assert_eq!(denied.unwrap_err().get("error"), "access_denied");
    let yes = [("decision", "allow")];
    let gone = browser.submit(&again, "/oauth/consent", &yes).await;
    gone.unwrap().response.expect_page(400);

    let asked = browser.visit(&third.authorize_path(&[])).await.unwrap();
    let allowed = browser.submit(&asked, "/oauth/consent", &yes).await;
    allowed.unwrap_err().code();
    let used = browser.submit(&asked, "/oauth/consent", &yes).await;
    used.unwrap().response.expect_page(400);
    browser
        .visit(&third.authorize_path(&[]))
        .await
        .unwrap_err()
        .code();
    for more in [&[("scope", "openid email")][..], &[("prompt", "consent")]] {
        let asked = browser.visit(&third.authorize_path(more)).await.unwrap();
        assert!(asked.path.starts_with("/oauth/consent"), "{more:?}");
    }
}

#[tokio::test]
async fn oau_17_whoever_can_not_be_told_from_an_impostor_is_asked_about_each_time() {
    let app = TestApp::shared();
    let (native, own_scheme) = ("http://127.0.0.1/cb", "com.example.app:/cb");
    let page = "http://localhost:5173/cb";
    let mut uris = json!({"redirect_uris": [CALLBACK, native, own_scheme, page]});
    let client = App::register(&app, uris.clone()).await;
    let confidential = App::confidential(&app, uris.clone()).await;
    uris["application_type"] = json!("native");
    let program = App::register(&app, uris).await;
    let person = app.person().await;
    let mut browser = Browser::signed_in(&app, &person).await;
    for (client, uri, again) in [
        (&client, native, true),
        (&client, own_scheme, true),
        (&client, CALLBACK, false),
        (&client, page, false),
        (&program, page, true),
        (&program, CALLBACK, false),
        (&confidential, native, false),
    ] {
        let path = client.authorize_path(&[("redirect_uri", uri)]);
        browser.authorize(&path, &person).await.code();
        let seen = browser.visit(&path).await;
        assert_eq!(seen.is_ok(), again, "RFC 8252 section 8.6: {uri}");
        let silent = client.authorize_path(&[("redirect_uri", uri), ("prompt", "none")]);
        let answer = browser.visit(&silent).await.unwrap_err();
        assert_eq!(answer.location.contains("consent_required"), again, "{uri}");
    }
}

#[tokio::test]
async fn oau_12_our_address_leads_nobody_unasked_to_whoever_registers_themselves() {
    let app = TestApp::own(&[("TOLLGATE_OAUTH__REGISTRATION", "open")]);
    let metadata = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"});
    let request = app.request("POST", "/oauth/register").json(&metadata);
    let registered = app.send(request).await.expect(201).json();
    let stranger = App::known(&app, registered["client_id"].as_str().unwrap(), None);
    let known = App::register(&app, json!({})).await;
    let person = app.person().await;
    for mut browser in [Browser::new(&app), Browser::signed_in(&app, &person).await] {
        for bad in [
            [("scope", "nonsense")],
            [("prompt", "none")],
            [("response_type", "token")],
            [("code_challenge_method", "plain")],
        ] {
            let told = browser.get(&stranger.authorize_path(&bad)).await;
            told.expect_page(400);
            let page = told.text();
            let link = format!("href=\"{CALLBACK}?error=");
            assert!(page.contains(&link), "RFC 9700 section 4.11.2: {page}");
            assert!(page.contains("client.example"), "where that leads");
            let answer = browser.visit(&known.authorize_path(&bad)).await;
            assert_ne!(answer.unwrap_err().get("error"), "");
        }
        let form_post = [("prompt", "none"), ("response_mode", "form_post")];
        let told = browser.get(&stranger.authorize_path(&form_post)).await;
        told.expect_page(400);
        assert!(!told.text().contains(CALLBACK));
    }
    // Neither by signing out.
    let out = "https://client.example/out";
    let metadata = json!({"redirect_uris": [CALLBACK], "post_logout_redirect_uris": [out],
        "token_endpoint_auth_method": "none"});
    let request = app.request("POST", "/oauth/register").json(&metadata);
    let registered = app.send(request).await.expect(201).json();
    let leaving = App::known(&app, registered["client_id"].as_str().unwrap(), None);
    let tokens = leaving.tokens(&person, &[]).await;
    let hint = text(&tokens, "id_token");
    let fields = [("id_token_hint", hint), ("post_logout_redirect_uri", out)];
    let path = format!("/oauth/logout?{}", encoded(&fields));
    for mut browser in [Browser::signed_in(&app, &person).await, Browser::new(&app)] {
        let told = browser.get(&path).await;
        told.expect_page(200);
        assert!(told.text().contains(&format!("href=\"{out}\"")));
        assert_eq!(
            browser.visit("/oauth/account").await.unwrap().path,
            "/oauth/sign-in"
        );
    }

    // Whoever says no has seen where they go.
    let mut browser = Browser::signed_in(&app, &person).await;
    let asked = browser.visit(&stranger.authorize_path(&[])).await.unwrap();
    let no = [("decision", "no")];
    let denied = browser.submit(&asked, "/oauth/consent", &no).await;
    assert_eq!(denied.unwrap_err().get("error"), "access_denied");
}

#[tokio::test]
async fn a_form_of_another_site_finds_whoever_is_signed_in_though_it_brings_no_cookie() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({"first_party": true})).await;
    let person = app.person().await;
    let mut browser = Browser::signed_in(&app, &person).await;
    for silent in [&[("prompt", "none")][..], &[]] {
        let form = |browser: &Browser| {
            browser
                .request("POST", "/oauth/authorize")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(encoded(&client.parameters(silent)))
        };
        let sent = app.send(form(&Browser::new(&app))).await.expect(303);
        assert_eq!(sent.header("set-cookie"), "");
        let next = sent.header("location").to_owned();
        let answer = browser.visit(&next).await.unwrap_err();
        client.redeem(answer.code()).await.expect(200);
        // And whoever is not is treated as ever.
        let mut nobody = Browser::new(&app);
        let sent = app.send(form(&nobody)).await.expect(303);
        let seen = nobody.visit(sent.header("location")).await;
        match (silent.is_empty(), seen) {
            (false, Err(answer)) => assert_eq!(answer.get("error"), "login_required"),
            (true, Ok(seen)) => assert!(seen.path.starts_with("/oauth/sign-in"), "{seen:?}"),
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn that_the_server_is_busy_is_nobody_s_failure() {
    let app = TestApp::own(&[("TOLLGATE_PASSWORDS__QUEUE", "2")]);
    let person = app.person().await;
    let mut browser = Browser::new(&app);
    let page = browser.visit("/oauth/sign-in").await.unwrap();
    let mut taken = Vec::new();
    while let Ok(ticket) = app.state().passwords.admit() {
        taken.push(ticket);
    }
    for _ in 0..12 {
        let busy = browser.sign_in(&page, &person).await.unwrap();
        busy.response.expect_page(503);
    }
    drop(taken);
    let account = browser.sign_in(&page, &person).await.unwrap();
    assert_eq!(account.path, "/oauth/account");
}

#[tokio::test]
async fn whoever_is_to_choose_an_account_and_has_none_signs_in() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let mut browser = Browser::new(&app);
    let seen = browser.visit(&client.authorize_path(&[])).await.unwrap();
    let path = seen.path.replace("sign-in", "select-account");
    let shown = browser.get(&path).await;
    shown.expect_page(200);
    assert!(shown.text().contains("action=\"/oauth/sign-in\""));
}

#[tokio::test]
async fn a_refused_sign_up_signs_nobody_out() {
    let app = TestApp::own(&[]);
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let mut browser = Browser::signed_in(&app, &person).await;
    let before = browser.cookie().map(|(_, value)| value.to_owned());
    let prompt = [("prompt", "login")];
    let seen = browser
        .visit(&client.authorize_path(&prompt))
        .await
        .unwrap();
    query(app.database(), "delete from authorization_requests");
    for password in ["password", PASSWORD] {
        let fields = [
            ("email", person.email()),
            ("password", password),
            ("name", ""),
        ];
        let told = browser.submit(&seen, "/oauth/sign-up", &fields).await;
        told.unwrap().response.expect_page(400);
        let now = browser.cookie().map(|(_, value)| value.to_owned());
        assert_eq!(now, before);
    }
    browser.get("/oauth/account").await.expect_page(200);
}

#[tokio::test]
async fn looking_does_nothing_that_visiting_does() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({"first_party": true})).await;
    let person = app.person().await;
    let pushed = client.post("/oauth/par", &client.parameters(&[])).await;
    let pushed = pushed.expect(201).json();
    let uri = pushed["request_uri"].as_str().unwrap();
    let fields = [("client_id", client.id.as_str()), ("request_uri", uri)];
    let path = format!("/oauth/authorize?{}", encoded(&fields));
    let mut browser = Browser::signed_in(&app, &person).await;
    for path in [&path, "/oauth/logout", "/oauth/continue?request=x"] {
        let looked = browser.send(browser.request("HEAD", path)).await;
        assert_eq!(looked.status(), 405);
        assert!(!looked.header("allow").contains("HEAD"));
    }
    let answer = browser.visit(&path).await.unwrap_err();
    client.redeem(answer.code()).await.expect(200);
}

#[tokio::test]
async fn ses_01_ses_02_the_cookie_of_the_pages_is_ours_and_new_with_every_sign_in() {
    let issuer = "https://auth.example.com";
    let app = TestApp::own(&[
        ("TOLLGATE_ISSUER", issuer),
        ("TOLLGATE_MODE", "production"),
        ("DATABASE_URL", "postgres://unused/by-the-harness"),
    ]);
    let person = app.person().await;
    let mut browser = Browser::at(&app, issuer);
    let page = browser.visit("/oauth/sign-in").await.unwrap();
    let flags = "; Path=/; HttpOnly; SameSite=Lax; Secure";
    let set = page.response.header("set-cookie");
    assert!(set.starts_with("__Host-tollgate_page="), "{set}");
    assert!(set.ends_with(flags), "{set}");
    assert!(
        page.response
            .header("strict-transport-security")
            .contains("max-age")
    );
    let before = browser.cookie().unwrap().1.to_owned();
    let csrf = page.hidden("csrf").unwrap();
    let fields = [
        ("csrf", csrf.as_str()),
        ("email", person.email()),
        ("password", PASSWORD),
    ];
    let signed_in = browser.post("/oauth/sign-in", &fields).await;
    assert_eq!(signed_in.status(), 303);
    assert_eq!(signed_in.header("location"), "/oauth/account");
    let set = signed_in.header("set-cookie");
    assert!(set.ends_with(flags), "{set}");
    assert!(set.len() < 4_096);
    let after = browser.cookie().unwrap().1.to_owned();
    assert_ne!(before, after);
    assert!(!signed_in.text().contains(&after));
    // What was planted before is worth nothing afterwards.
    let mut attacker = Browser::at(&app, issuer);
    attacker.plant("__Host-tollgate_page", &before);
    let page = attacker.visit("/oauth/account").await.unwrap();
    assert!(page.path.starts_with("/oauth/sign-in"));
    // Nor is one that comes twice, or without its prefix.
    let twice = format!("__Host-tollgate_page={after}; __Host-tollgate_page={before}");
    for cookie in [twice, format!("tollgate_page={after}")] {
        let request = Browser::at(&app, issuer)
            .request("GET", "/oauth/account")
            .header("cookie", cookie);
        let response = Response::read(request.send().await.unwrap()).await;
        assert_eq!(response.header("location"), "/oauth/sign-in");
    }
    let stored = "select count(*)::text as value from sessions where page_hash is not null";
    assert_eq!(query_value(app.database(), stored), "1");
}

#[tokio::test]
async fn ses_03_ses_04_a_form_of_ours_comes_from_our_page_in_the_same_browser() {
    let app = TestApp::shared();
    let person = app.person().await;
    let mut browser = Browser::signed_in(&app, &person).await;
    let page = browser.visit("/oauth/account").await.unwrap();
    let tag = page.hidden("csrf").unwrap();
    let mut stranger = Browser::new(&app);
    let page = stranger.visit("/oauth/sign-in").await.unwrap();
    let foreign = page.hidden("csrf").unwrap();
    for path in [
        "/oauth/sign-in",
        "/oauth/sign-up",
        "/oauth/sign-in/cancel",
        "/oauth/select-account",
        "/oauth/consent",
        "/device",
        "/device/confirm",
        "/oauth/account/profile",
        "/oauth/account/password",
        "/oauth/account/sessions/end-others",
        "/oauth/account/consents/revoke",
        "/oauth/account/sessions/01a20bf4-4417-720b-a398-ade7a859a777/end",
    ] {
        let fields = |csrf: &'static str| {
            let tag = match csrf {
                "own" => tag.as_str(),
                "foreign" => foreign.as_str(),
                other => other,
            };
            encoded(&[
                ("csrf", tag),
                ("email", person.email()),
                ("password", PASSWORD),
                ("name", "Eve"),
            ])
        };
        let ours = "http://localhost:8080";
        for (origin, site, csrf) in [
            (Some(ours), Some("same-origin"), ""),
            (Some(ours), Some("same-origin"), "x"),
            (Some(ours), Some("same-origin"), "foreign"),
            (Some("https://evil.example"), Some("same-origin"), "own"),
            (Some("http://localhost:8081"), None, "own"),
            (Some("null"), None, "own"),
            (None, None, "own"),
            (None, Some("same-origin"), "own"),
            (Some(ours), Some("cross-site"), "own"),
            (Some(ours), Some("same-site"), "own"),
            (Some(ours), Some("none"), "own"),
        ] {
            let mut request = browser
                .request("POST", path)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(fields(csrf));
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            if let Some(site) = site {
                request = request.header("sec-fetch-site", site);
            }
            let refused = browser.send(request).await;
            assert_eq!(refused.status(), 403, "{path} {origin:?} {site:?} {csrf}");
            assert_eq!(refused.header("set-cookie"), "");
        }
        for kind in ["text/plain", "application/json"] {
            let request = browser
                .request("POST", path)
                .header("origin", ours)
                .header("content-type", kind)
                .body(fields("own"));
            let refused = browser.send(request).await;
            assert_eq!(refused.status(), 415, "{path} {kind}");
        }
    }
    let me = person.get("/v1/users/me").await.expect(200);
    assert_eq!(me.at("/name"), json!(null));
    assert_eq!(use_bearer(&app, person.access_token()).await, 200);
}

#[tokio::test]
async fn ses_05_ses_07_signing_out_and_another_password_end_what_was_signed_in() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let mut browser = Browser::new(&app);
    let here = client.tokens_from(&mut browser, &person, &[]).await;
    let mut other = Browser::new(&app);
    let offline = [("scope", "openid offline_access")];
    let there = client.tokens_from(&mut other, &person, &offline).await;
    let page = browser.visit("/oauth/account").await.unwrap();
    let wrong = [
        ("current_password", "wrong"),
        ("new_password", "another horse battery staple"),
    ];
    let refused = browser
        .submit(&page, "/oauth/account/password", &wrong)
        .await;
    refused.unwrap().response.expect_page(422);
    let new = [
        ("current_password", PASSWORD),
        ("new_password", "another horse battery staple"),
    ];
    let changed = browser.submit(&page, "/oauth/account/password", &new).await;
    changed.unwrap().response.expect_page(200);
    for tokens in [&here, &there] {
        assert_eq!(use_bearer(&app, text(tokens, "access_token")).await, 401);
        let refused = client.refresh(text(tokens, "refresh_token")).await;
        refused.expect_error(400, "invalid_grant");
    }
    assert_eq!(use_bearer(&app, person.access_token()).await, 401);
    let elsewhere = other.visit("/oauth/account").await.unwrap();
    assert!(elsewhere.path.starts_with("/oauth/sign-in"));
    let account = browser.visit("/oauth/account").await.unwrap();
    assert_eq!(account.path, "/oauth/account");
}

#[tokio::test]
async fn trn_03_what_others_have_written_stays_text() {
    let app = TestApp::shared();
    let evil = "\"><script>alert(1)</script><img src=x onerror='y'>";
    let client = App::register(&app, json!({"client_name": evil})).await;
    let person = app.person().await;
    let mut browser = Browser::new(&app);
    let hints = [
        ("login_hint", evil),
        ("ui_locales", evil),
        ("state", evil),
        ("nonce", evil),
        ("acr_values", evil),
    ];
    let check = |response: &Response| {
        let page = response.text();
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("<img"), "{page}");
        assert!(!page.contains("onerror='"), "{page}");
    };
    let page = browser.visit(&client.authorize_path(&hints)).await.unwrap();
    check(&page.response);
    let consent = browser.sign_in(&page, &person).await.unwrap();
    check(&consent.response);
    for (name, value) in [
        ("client_id", evil),
        ("redirect_uri", evil),
        ("request_uri", evil),
    ] {
        let refused = browser.get(&client.authorize_path(&[(name, value)])).await;
        assert_eq!(refused.status(), 400);
        check(&refused);
    }
    for path in [
        "/oauth/sign-in?request=",
        "/oauth/sign-in?request=device:",
        "/oauth/continue?request=",
        "/oauth/consent?request=",
        "/oauth/select-account?request=",
        "/oauth/sign-up?request=",
        "/oauth/signed-out?client_id=",
        "/oauth/authorize?error_description=",
        "/oauth/authorize?client_id=x&client_id=",
        "/oauth/logout?state=",
        "/device?user_code=",
    ] {
        let encoded = &encoded(&[("", evil)])[1..];
        let mut browser = Browser::new(&app);
        let shown = browser.get(&format!("{path}{encoded}")).await;
        assert!(shown.status() < 500, "{path}");
        check(&shown);
    }
    let form = client.authorize_path(&[("response_mode", "form_post"), ("state", evil)]);
    let asked = browser.visit(&form).await.unwrap();
    let yes = [("decision", "allow")];
    let posted = browser.submit(&asked, "/oauth/consent", &yes).await;
    check(&posted.unwrap().response);
}

#[tokio::test]
async fn what_is_no_page_s_query_is_a_page_all_the_same() {
    let app = TestApp::shared();
    let mut browser = Browser::new(&app);
    for path in [
        "/oauth/sign-in?request=a&request=b",
        "/device?user_code=a&user_code=b",
        "/oauth/signed-out?client_id=a&client_id=b",
        "/oauth/consent",
        "/oauth/continue?request=x",
        "/oauth/consent?request=x.eA",
    ] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status(), 400, "{path}");
    }
}
