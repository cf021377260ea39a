//! Clients that register themselves, and what everyone may learn of us (OAU-17, OAU-20, OAU-28).

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{
    App, Browser, CALLBACK, DEVICE_GRANT, ISSUER, Response, TestApp, text, use_bearer,
};

const OPEN: [(&str, &str); 2] = [
    ("TOLLGATE_LIMITS__ENABLED", "false"),
    ("TOLLGATE_OAUTH__REGISTRATION", "open"),
];

async fn register(app: &TestApp, token: Option<&str>, metadata: &Value) -> Response {
    let mut request = app.request("POST", "/oauth/register").json(metadata);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    app.send(request).await
}

/// A call to where a client looks after itself.
async fn manage(app: &TestApp, method: &str, id: &str, token: &str, body: Value) -> Response {
    let mut request = app
        .request(method, &format!("/oauth/register/{id}"))
        .bearer_auth(token);
    if !body.is_null() {
        request = request.json(&body);
    }
    app.send(request).await
}

fn usual() -> Value {
    json!({
        "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "client_name": "Unknown",
    })
}

#[tokio::test]
async fn oau_28_nobody_registers_unless_that_is_switched_on() {
    let app = TestApp::shared();
    let refused = register(&app, None, &usual()).await;
    refused.expect_error(400, "access_denied");
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        let metadata = app.get(path).await.expect(200).json();
        assert_eq!(metadata.get("registration_endpoint"), None);
    }
    let with_token = TestApp::own(&[
        ("TOLLGATE_OAUTH__REGISTRATION", "token"),
        (
            "TOLLGATE_OAUTH__REGISTRATION_TOKEN",
            "only-operators-know-this-very-long-one",
        ),
        ("TOLLGATE_OAUTH__REGISTERED_CLIENTS", "2"),
    ]);
    for token in [None, Some("x"), Some("")] {
        let refused = register(&with_token, token, &usual()).await;
        let refused = refused.expect_error(401, "invalid_token");
        assert!(refused.header("www-authenticate").starts_with("Bearer"));
    }
    let token = Some("only-operators-know-this-very-long-one");
    for _ in 0..2 {
        let registered = register(&with_token, token, &usual()).await;
        registered.expect(201);
    }
    let refused = register(&with_token, token, &usual()).await;
    refused.expect_error(400, "access_denied");
}

#[tokio::test]
async fn oau_28_what_is_registered_is_harmless_and_of_a_size() {
    let app = TestApp::own(&OPEN);
    for uri in [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://client.example/callback",
        "https://client.example/callback#x",
        "https://user@client.example/",
        "https://*.example/",
        "https://a;script-src/",
        "https://a,default-src/",
        "https://a'b/",
        "https://a&b/",
        "https:///x",
        "myapp:/callback",
        "/callback",
        "",
    ] {
        let mut metadata = usual();
        metadata["redirect_uris"] = json!([CALLBACK, uri]);
        let refused = register(&app, None, &metadata).await;
        assert_eq!(refused.status(), 400, "{uri}");
        refused.expect_error(400, "invalid_redirect_uri");
    }
    let many: Vec<_> = (0..21).map(|n| format!("{CALLBACK}/{n}")).collect();
    let origins: Vec<_> = (0..21).map(|n| format!("https://o{n}.example")).collect();
    let long = "x".repeat(2_001);
    for (name, value, error) in [
        ("redirect_uris", json!(many), "invalid_redirect_uri"),
        ("redirect_uris", json!([]), "invalid_redirect_uri"),
        (
            "post_logout_redirect_uris",
            json!(["javascript:alert(1)"]),
            "invalid_client_metadata",
        ),
        (
            "client_uri",
            json!("javascript:alert(1)"),
            "invalid_client_metadata",
        ),
        (
            "logo_uri",
            json!("http://x.example"),
            "invalid_client_metadata",
        ),
        (
            "jwks_uri",
            json!("file:///etc/passwd"),
            "invalid_client_metadata",
        ),
        (
            "backchannel_logout_uri",
            json!("ftp://x"),
            "invalid_client_metadata",
        ),
        (
            "client_name",
            json!("x".repeat(101)),
            "invalid_client_metadata",
        ),
        ("client_name", json!(""), "invalid_client_metadata"),
        ("client_name", json!(1), "invalid_client_metadata"),
        ("allowed_origins", json!(origins), "invalid_client_metadata"),
        (
            "allowed_origins",
            json!(["null"]),
            "invalid_client_metadata",
        ),
        ("contacts", json!(many), "invalid_client_metadata"),
        ("contacts", json!([long]), "invalid_client_metadata"),
        ("software_id", json!(long), "invalid_client_metadata"),
        ("software_version", json!(long), "invalid_client_metadata"),
        ("application_type", json!("both"), "invalid_client_metadata"),
        ("subject_type", json!("pairwise"), "invalid_client_metadata"),
        (
            "response_types",
            json!(["token"]),
            "invalid_client_metadata",
        ),
        (
            "grant_types",
            json!(["implicit"]),
            "invalid_client_metadata",
        ),
        (
            "grant_types",
            json!(["password"]),
            "invalid_client_metadata",
        ),
        (
            "grant_types",
            json!(["client_credentials"]),
            "invalid_client_metadata",
        ),
        (
            "token_endpoint_auth_method",
            json!("client_secret_jwt"),
            "invalid_client_metadata",
        ),
        (
            "id_token_signed_response_alg",
            json!("none"),
            "invalid_client_metadata",
        ),
        (
            "jwks",
            json!({"keys": [{"kty": "oct", "k": "AAAA"}]}),
            "invalid_client_metadata",
        ),
        (
            "jwks",
            json!({"keys": [], "padding": "x".repeat(100_000)}),
            "invalid_client_metadata",
        ),
        ("default_max_age", json!(-1), "invalid_client_metadata"),
        (
            "software_statement",
            json!("x.y.z"),
            "invalid_client_metadata",
        ),
    ] {
        let mut metadata = usual();
        metadata[name] = value.clone();
        let refused = register(&app, None, &metadata).await;
        assert_eq!(refused.status(), 400, "{name}: {value}: {}", refused.text());
        refused.expect_error(400, error);
    }
    // Nobody gets tokens without anybody being asked.
    for grant in ["client_credentials", crate::harness::EXCHANGE_GRANT] {
        let mut metadata = usual();
        metadata["grant_types"] = json!([grant]);
        metadata["token_endpoint_auth_method"] = json!("client_secret_basic");
        let refused = register(&app, None, &metadata).await;
        refused.expect_error(400, "invalid_client_metadata");
    }
    // What only an administrator may say is passed over, as what nobody understands.
    let mut metadata = usual();
    metadata["first_party"] = json!(true);
    metadata["resources"] = json!([ISSUER]);
    metadata["scope"] = json!("openid users:write account:read");
    metadata["unheard_of"] = json!({"x": 1});
    let registered = register(&app, None, &metadata).await.expect(201).json();
    assert_eq!(registered["scope"], "account:read openid");
    for name in ["first_party", "resources", "unheard_of", "client_secret"] {
        assert_eq!(registered.get(name), None, "{name}");
    }
}

#[tokio::test]
async fn oau_17_oau_28_a_registered_client_is_asked_about_every_time_and_looks_after_itself() {
    let app = TestApp::own(&OPEN);
    let mut metadata = usual();
    metadata["token_endpoint_auth_method"] = json!("client_secret_basic");
    metadata["scope"] = json!("openid email");
    let registered = register(&app, None, &metadata).await.expect(201);
    assert_eq!(registered.header("cache-control"), "no-store");
    let registered = registered.json();
    assert_eq!(registered["client_secret_expires_at"], 0);
    let id = text(&registered, "client_id").to_owned();
    assert_eq!(
        registered["registration_client_uri"],
        format!("{ISSUER}/oauth/register/{id}")
    );
    let client = App::known(&app, &id, registered["client_secret"].as_str());
    let person = app.person().await;
    let mut browser = Browser::signed_in(&app, &person).await;
    let silent = client.authorize_path(&[("prompt", "none")]);
    for _ in 0..2 {
        let asked = browser.visit(&client.authorize_path(&[])).await.unwrap();
        assert!(asked.path.starts_with("/oauth/consent"), "{asked:?}");
        let yes = [("decision", "allow")];
        let allowed = browser.submit(&asked, "/oauth/consent", &yes).await;
        let answer = allowed.unwrap_err();
        client.redeem(answer.code()).await.expect(200);
        let told = browser.get(&silent).await;
        told.expect_page(400);
        assert!(told.text().contains("consent_required"));
    }

    let first = text(&registered, "registration_access_token");
    let read = manage(&app, "GET", &id, first, Value::Null)
        .await
        .expect(200);
    let read = read.json();
    assert_eq!(read.get("client_secret"), None, "shown once");
    let second = text(&read, "registration_access_token");
    assert_ne!(first, second);
    let another = register(&app, None, &usual()).await.expect(201).json();
    for wrong in [first, "x", "", text(&another, "registration_access_token")] {
        for method in ["GET", "DELETE"] {
            let refused = manage(&app, method, &id, wrong, Value::Null).await;
            refused.expect_error(401, "invalid_token");
        }
    }
    let refused = manage(&app, "GET", "nobody", second, Value::Null).await;
    refused.expect_error(401, "invalid_token");
    metadata["client_id"] = json!("another");
    let refused = manage(&app, "PUT", &id, second, metadata.clone()).await;
    refused.expect_error(400, "invalid_client_metadata");
    metadata["client_id"] = json!(id);
    metadata["redirect_uris"] = json!(["https://client.example/new"]);
    let replaced = manage(&app, "PUT", &id, second, metadata).await.expect(200);
    let third = replaced.json();
    let third = text(&third, "registration_access_token");
    browser
        .get(&client.authorize_path(&[]))
        .await
        .expect_page(400);
    // Those of administrators have no such token.
    let managed = App::register(&app, json!({})).await;
    let refused = manage(&app, "GET", &managed.id, third, Value::Null).await;
    refused.expect_error(401, "invalid_token");

    let new = [("redirect_uri", "https://client.example/new")];
    let answer = browser
        .authorize(&client.authorize_path(&new), &person)
        .await;
    let redemption = App::redemption(answer.code());
    let fields = crate::harness::with(&redemption, &new);
    let tokens = client.token(&fields).await.expect(200).json();
    let gone = manage(&app, "DELETE", &id, third, Value::Null).await;
    gone.expect(204);
    assert_eq!(use_bearer(&app, text(&tokens, "access_token")).await, 401);
    let refused = client.refresh(text(&tokens, "refresh_token")).await;
    refused.expect_error(401, "invalid_client");
    let refused = manage(&app, "GET", &id, third, Value::Null).await;
    refused.expect_error(401, "invalid_token");
}

#[tokio::test]
async fn oau_28_a_registration_token_is_good_once_also_for_those_who_come_together() {
    let app = TestApp::own(&OPEN);
    let replica = app.replica(&OPEN).unwrap();
    let registered = register(&app, None, &usual()).await.expect(201).json();
    let (id, token) = (
        text(&registered, "client_id"),
        text(&registered, "registration_access_token"),
    );
    let all = (0..20).map(|index| {
        let app = if index % 2 == 0 { &app } else { &replica };
        manage(app, "GET", id, token, Value::Null)
    });
    let statuses = join_all(all).await;
    let statuses = statuses.iter().map(Response::status);
    assert_eq!(statuses.filter(|status| *status == 200).count(), 1);
}

#[tokio::test]
async fn oau_28_no_more_clients_register_than_may_however_fast_they_come() {
    let limit = [
        OPEN[0],
        OPEN[1],
        ("TOLLGATE_OAUTH__REGISTERED_CLIENTS", "3"),
    ];
    let app = TestApp::own(&limit);
    let replica = app.replica(&limit).unwrap();
    let body = usual();
    let all = (0..20).map(|index| {
        let app = if index % 2 == 0 { &app } else { &replica };
        register(app, None, &body)
    });
    let statuses = join_all(all).await;
    let statuses = statuses.iter().map(Response::status);
    assert_eq!(statuses.filter(|status| *status == 201).count(), 3);
}

#[tokio::test]
async fn oau_20_what_is_advertised_works_and_nothing_else() {
    let app = TestApp::own(&OPEN);
    let metadata = app
        .get("/.well-known/openid-configuration")
        .await
        .expect(200);
    assert_eq!(metadata.header("cache-control"), "public, max-age=300");
    let same = app.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(same.text(), metadata.text());
    let metadata = metadata.json();
    assert_eq!(metadata["issuer"], ISSUER);
    let mut endpoints = 0;
    for (name, value) in metadata.as_object().unwrap() {
        if !name.ends_with("_endpoint") && name != "jwks_uri" {
            continue;
        }
        endpoints += 1;
        let path = value.as_str().unwrap().strip_prefix(ISSUER).unwrap();
        let method = match name.as_str() {
            "authorization_endpoint"
            | "jwks_uri"
            | "userinfo_endpoint"
            | "end_session_endpoint" => "GET",
            _ => "POST",
        };
        let response = app.send(app.request(method, path)).await;
        let status = response.status();
        assert!(![404, 405, 500, 501].contains(&status), "{name}: {status}");
    }
    assert_eq!(endpoints, 10);

    let names = |name: &str| -> Vec<String> {
        let list = metadata[name].as_array().unwrap();
        list.iter()
            .map(|one| one.as_str().unwrap().to_owned())
            .collect()
    };
    let grants = names("grant_types_supported");
    let client = App::confidential(&app, json!({"grant_types": grants})).await;
    for grant in &grants {
        let answered = client.token(&[("grant_type", grant)]).await;
        let error = answered.at("/error");
        assert_ne!(error, "unsupported_grant_type", "{grant}");
        assert_ne!(error, "unauthorized_client", "{grant}");
    }
    let jwt_bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let ciba = "urn:openid:params:grant-type:ciba";
    for other in ["password", "implicit", jwt_bearer, ciba, "none"] {
        assert!(!grants.iter().any(|grant| grant == other));
        let refused = client.token(&[("grant_type", other)]).await;
        refused.expect_error(400, "unsupported_grant_type");
    }
    assert!(grants.iter().any(|grant| grant == DEVICE_GRANT));
    let methods = names("token_endpoint_auth_methods_supported");
    for (method, offered) in [
        ("none", true),
        ("client_secret_basic", true),
        ("client_secret_post", true),
        ("private_key_jwt", true),
        ("client_secret_jwt", false),
        ("tls_client_auth", false),
        ("self_signed_tls_client_auth", false),
    ] {
        assert_eq!(methods.iter().any(|one| one == method), offered);
        let mut metadata = usual();
        metadata["token_endpoint_auth_method"] = json!(method);
        metadata["jwks"] = crate::harness::Key::new().jwks("k");
        let registered = register(&app, None, &metadata).await;
        assert_eq!(registered.status() == 201, offered, "{method}");
    }
    let introspection = names("introspection_endpoint_auth_methods_supported");
    assert!(!introspection.iter().any(|one| one == "none"));
    for list in [
        "id_token_signing_alg_values_supported",
        "userinfo_signing_alg_values_supported",
    ] {
        assert_eq!(names(list), ["RS256"]);
    }
    for list in [
        "dpop_signing_alg_values_supported",
        "token_endpoint_auth_signing_alg_values_supported",
    ] {
        let algorithms = names(list);
        assert!(algorithms.iter().any(|one| one == "ES256"));
        for weak in ["none", "HS256", "HS384", "HS512"] {
            assert!(!algorithms.iter().any(|one| one == weak), "{weak}");
        }
    }
    let scopes = names("scopes_supported").join(" ");
    App::register(&app, json!({"scope": scopes})).await;
}

#[tokio::test]
async fn oau_20_the_issuer_is_the_configured_one_whoever_asks() {
    let app = TestApp::shared();
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource",
    ] {
        let request = app
            .request("GET", path)
            .header("host", "evil.example")
            .header("x-forwarded-host", "evil.example")
            .header("forwarded", "host=evil.example;proto=https");
        let response = app.send(request).await;
        assert!(!response.text().contains("evil"), "{}", response.text());
        assert!(response.text().contains(ISSUER));
    }
    for path in [
        "/.well-known/oauth-protected-resource/tenant",
        "/.well-known/oauth-authorization-server/tenant",
    ] {
        app.get(path).await.expect_problem(404, "not-found");
    }
    let own = TestApp::own(&[("TOLLGATE_TOKENS__AUDIENCE", "http://localhost:8080/api")]);
    let path = "/.well-known/oauth-protected-resource/api";
    let resource = own.get(path).await.expect(200);
    assert_eq!(resource.at("/resource"), "http://localhost:8080/api");
    assert_eq!(resource.at("/authorization_servers"), json!([ISSUER]));
    // RFC 9728 section 5.1: whoever is refused is told where to look.
    let refused = own.get("/v1/users/me").await.expect(401);
    let challenge = refused.header("www-authenticate");
    let place = format!("resource_metadata=\"{ISSUER}{path}\"");
    assert!(challenge.contains(&place), "{challenge}");
}
