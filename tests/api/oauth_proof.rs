//! How clients prove who they are, and how they are refused (OAU-13 to 15).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::harness::{
    App, Forge, ISSUER, Key, Response, TestApp, asserted, encoded, now, text, with,
};

const ALONE: &[(&str, &str)] = &[("grant_type", "client_credentials")];

/// A client that acts for itself.
fn alone(method: &str) -> Value {
    json!({
        "token_endpoint_auth_method": method,
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "scope": "users:read",
    })
}

async fn send(
    app: &TestApp,
    path: &str,
    authorization: Option<&str>,
    fields: &[(&str, &str)],
) -> Response {
    let mut request = app
        .request("POST", path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded(fields));
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    app.send(request).await
}

#[tokio::test]
async fn oau_13_nobody_keeps_an_answer_that_holds_a_token_or_refuses_one() {
    let app = TestApp::shared();
    let grants = ["authorization_code", "refresh_token", "client_credentials"];
    let client = App::confidential(&app, json!({"grant_types": grants})).await;
    let person = app.person().await;
    let answer = client.answer(&person, &[]).await;
    let redeemed = client.redeem(answer.code()).await.expect(200);
    let tokens = redeemed.json();
    let access = text(&tokens, "access_token");
    let given = [("token", access)];
    let bearer = format!("Bearer {access}");
    for response in [
        &redeemed,
        &client.refresh(text(&tokens, "refresh_token")).await,
        &client
            .token(&with(ALONE, &[("scope", "account:read")]))
            .await,
        &client.post("/oauth/introspect", &given).await,
        &app.send(
            app.request("GET", "/oauth/userinfo")
                .header("authorization", &bearer),
        )
        .await,
        &app.send(
            app.request("POST", "/oauth/userinfo")
                .header("authorization", &bearer),
        )
        .await,
        &client.post("/oauth/revoke", &given).await,
    ] {
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(response.header("cache-control"), "no-store");
    }
    assert_eq!(redeemed.header("pragma"), "no-cache");
    assert_eq!(tokens["token_type"], "Bearer");
    assert!(tokens["expires_in"].is_number());
    for refused in ["GET", "POST"] {
        let request = app.request(refused, "/oauth/userinfo").bearer_auth("x.y.z");
        let refused = app.send(request).await;
        assert_eq!(refused.status(), 401);
        assert!(
            refused
                .header("www-authenticate")
                .contains("error=\"invalid_token\"")
        );
    }
    // Bodies of another kind are refused in the same words.
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
        let json = app.request("POST", path).json(&json!({"token": "x"}));
        app.send(json).await.expect_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn oau_13_oau_14_a_client_proves_itself_as_it_registered_and_in_no_other_way() {
    let app = TestApp::shared();
    let basic = App::register(&app, alone("client_secret_basic")).await;
    let post = App::register(&app, alone("client_secret_post")).await;
    let public = App::register(&app, json!({})).await;
    for client in [&basic, &post] {
        client.token(ALONE).await.expect(200);
    }
    let secret = |client: &App| client.secret.clone().unwrap();
    let (of_basic, of_post) = (secret(&basic), secret(&post));
    let in_body = |id: &str, secret: &str| {
        let fields = with(ALONE, &[("client_id", id), ("client_secret", secret)]);
        encoded(&fields)
    };
    let header = |id: &str, secret: &str| {
        Some(format!(
            "Basic {}",
            STANDARD.encode(format!("{id}:{secret}"))
        ))
    };
    let grant = encoded(ALONE);
    for (authorization, body) in [
        // The other method, the wrong secret, none, somebody else's, nobody.
        (None, in_body(&basic.id, &of_basic)),
        (header(&post.id, &of_post), grant.clone()),
        (header(&basic.id, "wrong"), grant.clone()),
        (header(&basic.id, ""), grant.clone()),
        (header(&basic.id, &of_post), grant.clone()),
        (header("nobody", &of_basic), grant.clone()),
        (None, in_body(&post.id, "wrong")),
        (None, in_body(&post.id, &of_basic)),
        (None, encoded(&with(ALONE, &[("client_id", &basic.id)]))),
        (None, encoded(&with(ALONE, &[("client_id", &post.id)]))),
        (None, grant.clone()),
        (None, in_body(&public.id, &of_post)),
        (header(&public.id, ""), grant.clone()),
        (Some("Basic !!!".to_owned()), grant.clone()),
        (Some("Basic".to_owned()), grant.clone()),
        (Some("Bearer x".to_owned()), grant.clone()),
    ] {
        let used_header = authorization.is_some();
        let mut request = app
            .request("POST", "/oauth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some(authorization) = &authorization {
            request = request.header("authorization", authorization);
        }
        let refused = app.send(request).await.expect_error(401, "invalid_client");
        let challenge = refused.header("www-authenticate");
        assert_eq!(challenge.starts_with("Basic "), used_header, "{challenge}");
    }
    // Two at once, two names, a secret where logs keep it.
    let both = with(ALONE, &[("client_secret", of_basic.as_str())]);
    let authorization = basic.basic();
    for (path, authorization, fields) in [
        ("/oauth/token", Some(authorization.as_str()), both.clone()),
        (
            "/oauth/token",
            Some(&authorization),
            with(ALONE, &[("client_assertion", "x")]),
        ),
        (
            "/oauth/token",
            Some(&authorization),
            with(ALONE, &[("client_id", &post.id)]),
        ),
        (
            "/oauth/token",
            None,
            with(&both, &[("client_assertion", "x")]),
        ),
        (
            "/oauth/token?client_secret=x",
            Some(&authorization),
            ALONE.to_vec(),
        ),
        (
            "/oauth/revoke?client_secret=x",
            Some(&authorization),
            vec![("token", "x")],
        ),
    ] {
        let refused = send(&app, path, authorization, &fields).await;
        refused.expect_error(400, "invalid_request");
    }
    let twice = app
        .request("POST", "/oauth/token")
        .header("authorization", &authorization)
        .header("authorization", &authorization)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded(ALONE));
    let refused = app.send(twice).await;
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn oau_14_basic_is_form_encoded_inside() {
    let app = TestApp::shared();
    let secret = "a+b c%d:e/f=g&h?i\"j\\k~l[m]n{o}pq";
    let body = json!({"metadata": alone("client_secret_basic"), "client_secret": secret});
    let administrator = app.administrator().await;
    let made = administrator.post("/v1/clients", body).await.expect(201);
    let id = made.at("/client_id").as_str().unwrap().to_owned();
    let form = |text: &str| encoded(&[("", text)])[1..].to_owned();
    let percent = |text: &str| form(text).replace('+', "%20");
    let header = |secret: String| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    for good in [form(secret), percent(secret)] {
        let response = send(&app, "/oauth/token", Some(&header(good)), ALONE).await;
        response.expect(200);
    }
    for bad in [secret.to_owned(), form(&form(secret)), String::new()] {
        let response = send(&app, "/oauth/token", Some(&header(bad)), ALONE).await;
        response.expect_error(401, "invalid_client");
    }
    // Scheme names have no case (RFC 9110 section 11.1).
    let shouted = header(form(secret)).replace("Basic", "BASIC");
    let response = send(&app, "/oauth/token", Some(&shouted), ALONE).await;
    response.expect(200);
}

/// A client that proves itself by a key.
async fn keyed(app: &TestApp, key: &Key, changes: Value) -> App {
    let mut metadata = alone("private_key_jwt");
    metadata["jwks"] = key.jwks("k1");
    let members = metadata.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    App::register(app, metadata).await
}

async fn assert_at(client: &App, path: &str, assertion: &str) -> Response {
    // Without client_id: the assertion names who it is from.
    let fields = asserted(assertion, ALONE);
    send(&client.app, path, None, &fields).await
}

#[tokio::test]
async fn oau_15_an_assertion_is_for_us_from_the_client_and_for_a_short_while() {
    let app = TestApp::shared();
    let key = Key::new();
    let client = keyed(&app, &key, json!({})).await;
    let good = || Key::assertion_claims(&client.id);
    let changed = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        key.assert(&claims)
    };
    let without = |name: &str| {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        key.assert(&claims)
    };
    for accepted in [
        key.assert(&good()),
        changed("aud", json!([ISSUER])),
        changed("exp", json!(now() + 295)),
        without("iat"),
        key.sign(&json!({"alg": "ES256"}), &good()),
        key.sign(&json!({"alg": "ES256", "typ": "JWT"}), &good()),
    ] {
        let response = assert_at(&client, "/oauth/token", &accepted).await;
        response.expect(200);
    }
    let bearer = key.assert(&good());
    assert_eq!(
        crate::harness::use_bearer(&app, &bearer).await,
        401,
        "TOK-10"
    );
    let token_endpoint = format!("{ISSUER}/oauth/token");
    let forge = Forge {
        secret: key.jwk()["x"].as_str().unwrap().as_bytes().to_vec(),
        header: json!({"alg": "HS256", "kid": "k1"}),
        claims: good(),
    };
    let jwk_inside = json!({"alg": "ES256", "jwk": Key::new().jwk()});
    for (name, refused) in [
        ("aud: endpoint", changed("aud", json!(token_endpoint))),
        ("aud: list", changed("aud", json!([ISSUER, token_endpoint]))),
        (
            "aud: another",
            changed("aud", json!("https://else.example")),
        ),
        ("aud: slash", changed("aud", json!(format!("{ISSUER}/")))),
        ("aud: empty", changed("aud", json!([]))),
        ("no aud", without("aud")),
        ("exp: past", changed("exp", json!(now() - 60))),
        ("exp: far", changed("exp", json!(now() + 400))),
        ("exp: text", changed("exp", json!("4102444800"))),
        ("no exp", without("exp")),
        ("nbf: ahead", changed("nbf", json!(now() + 120))),
        ("iat: ahead", changed("iat", json!(now() + 120))),
        ("no jti", without("jti")),
        ("sub: another", changed("sub", json!("somebody"))),
        ("no sub", without("sub")),
        ("iss: another", changed("iss", json!("somebody"))),
        ("no iss", without("iss")),
        ("another key", Key::new().assert(&good())),
        ("jwk inside", Key::new().sign(&jwk_inside, &good())),
        (
            "unknown kid",
            key.sign(&json!({"alg": "ES256", "kid": "k2"}), &good()),
        ),
        (
            "typ",
            key.sign(&json!({"alg": "ES256", "typ": "at+jwt"}), &good()),
        ),
        (
            "crit",
            key.sign(&json!({"alg": "ES256", "crit": ["x"], "x": 1}), &good()),
        ),
        ("HS256", forge.sign()),
        ("none", forge.unsigned("none")),
        ("malformed", "x".to_owned()),
    ] {
        let response = assert_at(&client, "/oauth/token", &refused).await;
        assert_eq!(response.status(), 401, "{name}: {}", response.text());
        response.expect_error(401, "invalid_client");
    }
    let assertion = key.assert(&good());
    let fields = asserted(&assertion, ALONE);
    let kind = [("client_assertion_type", "x")];
    let refused = send(&app, "/oauth/token", None, &with(&fields, &kind)).await;
    refused.expect_error(400, "invalid_request");
    let another = [("client_id", "another")];
    let refused = send(&app, "/oauth/token", None, &with(&fields, &another)).await;
    refused.expect_error(400, "invalid_request");
}

#[tokio::test]
async fn oau_15_an_assertion_is_good_once_at_every_replica_and_endpoint() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let key = Key::new();
    let client = keyed(&app, &key, json!({})).await;
    let replica = app
        .replica(&[("TOLLGATE_LIMITS__ENABLED", "false")])
        .unwrap();
    let assertion = key.assert(&Key::assertion_claims(&client.id));
    let first = assert_at(&client, "/oauth/token", &assertion).await;
    let token = first.expect(200).at("/access_token");
    for server in [&client, &client.at(&replica)] {
        for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
            let fields = asserted(&assertion, ALONE);
            let fields = with(&fields, &[("token", token.as_str().unwrap())]);
            let again = send(&server.app, path, None, &fields).await;
            again.expect_error(401, "invalid_client");
        }
    }
    // Nor may it be used again by whoever signs another with the same name.
    let mut claims = Key::assertion_claims(&client.id);
    claims["jti"] = "the same".into();
    let response = assert_at(&client, "/oauth/token", &key.assert(&claims)).await;
    response.expect(200);
    claims["exp"] = json!(now() + 100);
    let again = assert_at(&client.at(&replica), "/oauth/token", &key.assert(&claims)).await;
    again.expect_error(401, "invalid_client");
}

#[tokio::test]
async fn oau_15_older_libraries_address_the_token_endpoint_where_that_is_switched_on() {
    let app = TestApp::shared();
    let key = Key::new();
    let switch = json!({"token_endpoint_audience": true});
    let client = keyed(&app, &key, switch).await;
    let at = |audience: Value| {
        let mut claims = Key::assertion_claims(&client.id);
        claims["aud"] = audience;
        key.assert(&claims)
    };
    for audience in [
        json!(ISSUER),
        json!(format!("{ISSUER}/oauth/token")),
        json!([format!("{ISSUER}/oauth/token")]),
    ] {
        let response = assert_at(&client, "/oauth/token", &at(audience)).await;
        response.expect(200);
    }
    for audience in [
        json!(format!("{ISSUER}/oauth/authorize")),
        json!(format!("{ISSUER}/oauth/token/")),
        json!("https://else.example/oauth/token"),
        json!([format!("{ISSUER}/oauth/token"), "https://else.example"]),
    ] {
        let response = assert_at(&client, "/oauth/token", &at(audience)).await;
        response.expect_error(401, "invalid_client");
    }
}

#[tokio::test]
async fn oau_15_oau_23_what_a_refused_request_has_presented_is_used_up() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let key = Key::new();
    let person = app.person().await;
    let answer = client.answer(&person, &[]).await;
    let proof = key.proof("POST", "/oauth/token", None);
    let redemption = App::redemption(answer.code());
    let wrong = "x".repeat(43);
    let send = |fields: &[(&str, &str)]| {
        let request = client.request("/oauth/token", fields);
        app.send(request.header("dpop", &proof))
    };
    let refused = send(&with(&redemption, &[("code_verifier", &wrong)])).await;
    refused.expect_error(400, "invalid_grant");
    let again = send(&redemption).await;
    again.expect_error(400, "invalid_dpop_proof");
    client.token_with(&key, &redemption).await.expect(200);
}
