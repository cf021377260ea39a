//! Tokens that are worth nothing without their key (OAU-23).

use serde_json::{Value, json};

use crate::harness::{App, Key, Response, TestApp, now, query_value, text, use_bearer};

const CURRENT: &str = "/v1/tokens/current";

const ME: &str = "/v1/users/me";

/// A client of ours whose tokens are bound to a key, and what it got with it.
async fn bound(app: &TestApp, key: &Key) -> (App, Value) {
    let client = App::register(app, json!({"first_party": true})).await;
    let scope = [("scope", "openid account:read")];
    let answer = client.answer(&app.person().await, &scope).await;
    let redemption = App::redemption(answer.code());
    let tokens = client.token_with(key, &redemption).await.expect(200);
    (client, tokens.json())
}

async fn knock(app: &TestApp, path: &str, token: &str, proofs: &[&str]) -> Response {
    let mut request = app
        .request("GET", path)
        .header("authorization", format!("DPoP {token}"));
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    app.send(request).await
}

/// Every way in which a proof can be wrong, made of the claims of a good one.
fn wrong(key: &Key, good: &Value) -> Vec<(&'static str, String)> {
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        key.prove(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        key.prove(&claims)
    };
    let header = |name: &str, value: Value| {
        let mut header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk()});
        header[name] = value;
        key.sign(&header, good)
    };
    let mut private = key.jwk();
    private["d"] = json!("AQAB");
    let htu = good["htu"].as_str().unwrap();
    vec![
        ("htm", changed("htm", json!("DELETE"))),
        ("htm: case", changed("htm", json!("post"))),
        ("no htm", without("htm")),
        (
            "htu: host",
            changed("htu", json!("http://evil.example/oauth/token")),
        ),
        ("htu: path", changed("htu", json!(format!("{htu}/")))),
        (
            "htu: scheme",
            changed("htu", json!(htu.replacen("http", "https", 1))),
        ),
        ("no htu", without("htu")),
        ("iat: old", changed("iat", json!(now() - 120))),
        ("iat: ahead", changed("iat", json!(now() + 120))),
        ("iat: text", changed("iat", json!("1"))),
        ("no iat", without("iat")),
        ("no jti", without("jti")),
        ("jti: long", changed("jti", json!("x".repeat(300)))),
        ("typ", header("typ", json!("JWT"))),
        ("alg: none", header("alg", json!("none"))),
        ("alg: HS256", header("alg", json!("HS256"))),
        ("jwk: another", header("jwk", Key::new().jwk())),
        ("jwk: private", header("jwk", private)),
        ("crit", header("crit", json!(["x"]))),
        ("no proof", "x.y.z".to_owned()),
        ("empty", String::new()),
    ]
}

#[tokio::test]
async fn oau_23_a_wrong_proof_gets_no_tokens() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({"first_party": true})).await;
    let answer = client.answer(&app.person().await, &[]).await;
    let redemption = App::redemption(answer.code());
    let key = Key::new();
    let good = Key::proof_claims("POST", "/oauth/token", None);
    let send = |proofs: Vec<String>| {
        let request = client.request("/oauth/token", &redemption);
        let request = proofs
            .iter()
            .fold(request, |request, proof| request.header("dpop", proof));
        app.send(request)
    };
    for (name, proof) in wrong(&key, &good) {
        let refused = send(vec![proof]).await;
        assert_eq!(refused.status(), 400, "{name}: {}", refused.text());
        refused.expect_error(400, "invalid_dpop_proof");
    }
    let bound = Key::proof_claims("POST", "/oauth/token", Some("a token"));
    for proofs in [
        vec![key.prove(&bound)],
        vec![
            key.proof("POST", "/oauth/token", None),
            key.proof("POST", "/oauth/token", None),
        ],
        vec![key.proof("POST", "/oauth/par", None)],
    ] {
        send(proofs).await.expect_error(400, "invalid_dpop_proof");
    }
    let proof = key.prove(&good);
    let tokens = send(vec![proof.clone()]).await.expect(200);
    assert_eq!(tokens.at("/token_type"), "DPoP");
    let claims = crate::harness::decode_part(text(&tokens.json(), "access_token"), 1);
    assert_eq!(claims["cnf"]["jkt"], key.thumbprint());
    assert_ne!(tokens.header("dpop-nonce"), "");
    send(vec![proof])
        .await
        .expect_error(400, "invalid_dpop_proof");
}

#[tokio::test]
async fn oau_23_our_api_takes_a_bound_token_with_a_proof_of_its_key_alone() {
    let app = TestApp::shared();
    let (key, other) = (Key::new(), Key::new());
    let (_, tokens) = bound(&app, &key).await;
    let token = text(&tokens, "access_token");
    let proof = key.proof("GET", ME, Some(token));
    let me = knock(&app, ME, token, &[&proof]).await.expect(200);
    assert!(me.at("/email").is_string());
    // With a query, which is no part of `htu`.
    let proof = key.proof("GET", "/v1/sessions", Some(token));
    let path = "/v1/sessions?limit=1";
    let listed = knock(&app, path, token, &[&proof]).await;
    assert_eq!(listed.status(), 403, "the scope is another matter");
    let proof = key.proof("GET", "/oauth/userinfo", Some(token));
    knock(&app, "/oauth/userinfo", token, &[&proof])
        .await
        .expect(200);

    let good = Key::proof_claims("GET", ME, Some(token));
    let mut refused: Vec<_> = wrong(&key, &good)
        .into_iter()
        .map(|(name, proof)| (name, vec![proof]))
        .collect();
    let used = key.proof("GET", ME, Some(token));
    knock(&app, ME, token, &[&used]).await.expect(200);
    refused.extend([
        ("missing", vec![]),
        ("another key", vec![other.proof("GET", ME, Some(token))]),
        ("no ath", vec![key.proof("GET", ME, None)]),
        ("ath of another", vec![key.proof("GET", ME, Some("x"))]),
        (
            "two",
            vec![
                key.proof("GET", ME, Some(token)),
                key.proof("GET", ME, Some(token)),
            ],
        ),
        ("used", vec![used]),
    ]);
    for (name, proofs) in refused {
        let proofs: Vec<_> = proofs.iter().map(String::as_str).collect();
        let response = knock(&app, ME, token, &proofs).await;
        assert_eq!(response.status(), 401, "{name}: {}", response.text());
        let challenge = response.header("www-authenticate");
        assert!(challenge.starts_with("DPoP "), "{name}: {challenge}");
        assert!(
            challenge.contains("error=\"invalid_dpop_proof\""),
            "{name}: {challenge}"
        );
        assert!(challenge.contains("algs=\""), "{challenge}");
    }
    assert_eq!(use_bearer(&app, token).await, 401, "as a plain Bearer");
    // The cookie is no way around it.
    let request = app
        .request("GET", ME)
        .header("cookie", format!("tollgate_access={token}"));
    assert_eq!(app.send(request).await.status(), 401);
    let person = app.person().await;
    let free = person.access_token();
    let proof = key.proof("GET", ME, Some(free));
    knock(&app, ME, free, &[&proof]).await.expect(401);
}

#[tokio::test]
async fn oau_23_a_proof_is_good_once_at_every_replica() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let key = Key::new();
    let (client, tokens) = bound(&app, &key).await;
    let token = text(&tokens, "access_token");
    let replica = app
        .replica(&[("TOLLGATE_LIMITS__ENABLED", "false")])
        .unwrap();
    let proof = key.proof("GET", ME, Some(token));
    knock(&app, ME, token, &[&proof]).await.expect(200);
    knock(&replica, ME, token, &[&proof]).await.expect(401);
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&tokens, "refresh_token")),
    ];
    let proof = key.proof("POST", "/oauth/token", None);
    let send = |client: &App| {
        let request = client.request("/oauth/token", &refresh);
        let request = request.header("dpop", &proof);
        let app = client.app.clone();
        async move { app.send(request).await }
    };
    send(&client).await.expect(200);
    let again = send(&client.at(&replica)).await;
    again.expect_error(400, "invalid_dpop_proof");
}

/// How many proofs are remembered.
fn remembered(app: &TestApp) -> String {
    let count = "select count(*)::text as value from presented_once";
    query_value(app.database(), count)
}

#[tokio::test]
async fn oau_23_a_proof_is_used_up_before_anything_is_done_with_it() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let replica = app
        .replica(&[("TOLLGATE_LIMITS__ENABLED", "false")])
        .unwrap();
    let key = Key::new();
    let own = json!({"first_party": true, "scope": "openid account:read account:write"});
    let client = App::register(&app, own).await;
    let scope = [("scope", "openid account:read account:write")];
    let answer = client.answer(&app.person().await, &scope).await;
    let redemption = App::redemption(answer.code());
    let tokens = client.token_with(&key, &redemption).await;
    let tokens = tokens.expect(200).json();
    let token = text(&tokens, "access_token");
    let write = |app: &TestApp, proof: &str, name: usize| {
        let request = app
            .request("PATCH", ME)
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof)
            .json(&json!({"name": format!("Ada {name}")}));
        let app = app.clone();
        async move { app.send(request).await.status() }
    };
    let proof = key.proof("PATCH", ME, Some(token));
    let writes =
        (0..20).map(|name| write(if name % 2 == 0 { &app } else { &replica }, &proof, name));
    let mut statuses = futures_util::future::join_all(writes).await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(
        statuses[1..].iter().all(|status| *status == 401),
        "{statuses:?}"
    );
    let read = key.proof("GET", ME, Some(token));
    let me = knock(&app, ME, token, &[&read]).await;
    assert_eq!(me.at("/version"), 2, "written once");

    // Where the handler has no business at the database, too.
    let proof = key.proof("GET", CURRENT, Some(token));
    knock(&app, CURRENT, token, &[&proof]).await.expect(200);
    for app in [&app, &replica] {
        let again = knock(app, CURRENT, token, &[&proof]).await;
        again.expect_problem(401, "invalid-token");
    }
    // A new process knows what the one before has seen.
    drop(app);
    let restarted = TestApp::on_database(replica.database(), &[]).unwrap();
    let again = knock(&restarted, CURRENT, token, &[&proof]).await;
    again.expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn oau_23_a_proof_that_nobody_asks_for_is_not_remembered() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__REQUESTS_PER_MINUTE_PER_USER", "3")]);
    let key = Key::new();
    let (_, tokens) = bound(&app, &key).await;
    let token = text(&tokens, "access_token");
    let before = remembered(&app);
    for path in [
        "/healthz",
        "/readyz",
        "/.well-known/openid-configuration",
        "/nowhere",
    ] {
        let proof = key.proof("GET", path, Some(token));
        knock(&app, path, token, &[&proof]).await;
    }
    let proof = key.proof("GET", "/v1/users", Some(token));
    knock(&app, "/v1/users", token, &[&proof]).await.expect(403);
    assert_eq!(remembered(&app), before);
    let mut served = 0;
    for _ in 0..8 {
        let proof = key.proof("GET", CURRENT, Some(token));
        match knock(&app, CURRENT, token, &[&proof]).await.status() {
            200 => served += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert!((1..8).contains(&served));
    let expected = before.parse::<usize>().unwrap() + served;
    assert_eq!(remembered(&app), expected.to_string());
}

#[tokio::test]
async fn oau_23_where_a_nonce_is_demanded_it_has_to_be_ours() {
    let app = TestApp::own(&[
        ("TOLLGATE_LIMITS__ENABLED", "false"),
        ("TOLLGATE_OAUTH__REQUIRE_DPOP_NONCE", "true"),
    ]);
    let key = Key::new();
    let client = App::register(&app, json!({"first_party": true})).await;
    let scope = [("scope", "openid account:read")];
    let answer = client.answer(&app.person().await, &scope).await;
    let redemption = App::redemption(answer.code());
    let prove = |nonce: Option<&str>, token: Option<&str>| {
        let mut claims = match token {
            None => Key::proof_claims("POST", "/oauth/token", None),
            Some(token) => Key::proof_claims("GET", ME, Some(token)),
        };
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        key.prove(&claims)
    };
    let send = |nonce: Option<&str>| {
        let request = client.request("/oauth/token", &redemption);
        app.send(request.header("dpop", prove(nonce, None)))
    };
    let refused = send(None).await.expect_error(400, "use_dpop_nonce");
    let nonce = refused.header("dpop-nonce").to_owned();
    assert_ne!(nonce, "");
    let (period, tag) = nonce.split_once('.').unwrap();
    let old = format!("{}.{tag}", period.parse::<i64>().unwrap() - 1);
    for bad in ["", "x", "1.x", &old, &format!("{nonce}x")] {
        send(Some(bad)).await.expect_error(400, "use_dpop_nonce");
    }
    let tokens = send(Some(&nonce)).await.expect(200);
    let tokens = tokens.json();
    let token = text(&tokens, "access_token");
    let response = knock(&app, ME, token, &[&prove(None, Some(token))]).await;
    let refused = response.expect(401);
    let challenge = refused.header("www-authenticate");
    assert!(
        challenge.contains("error=\"use_dpop_nonce\""),
        "{challenge}"
    );
    let nonce = refused.header("dpop-nonce").to_owned();
    let proof = prove(Some(&nonce), Some(token));
    knock(&app, ME, token, &[&proof]).await.expect(200);
}

#[tokio::test]
async fn oau_23_a_code_is_bound_from_the_beginning_where_the_client_says_so() {
    let app = TestApp::shared();
    let must = json!({"dpop_bound_access_tokens": true});
    let client = App::register(&app, must).await;
    let (key, other) = (Key::new(), Key::new());
    let jkt = key.thumbprint();
    let answer = client
        .answer(&app.person().await, &[("dpop_jkt", &jkt)])
        .await;
    let redemption = App::redemption(answer.code());
    let refused = client.token(&redemption).await;
    refused.expect_error(400, "invalid_dpop_proof");
    let refused = client.token_with(&other, &redemption).await;
    refused.expect_error(400, "invalid_grant");
    client.token_with(&key, &redemption).await.expect(200);

    // A proof at the endpoint where requests are pushed binds, too, and has to agree.
    let push = |key: &Key, changes: &[(&str, &str)]| {
        let request = client.request("/oauth/par", &client.parameters(changes));
        app.send(request.header("dpop", key.proof("POST", "/oauth/par", None)))
    };
    let refused = push(&other, &[("dpop_jkt", &jkt)]).await;
    refused.expect_error(400, "invalid_request");
    let pushed = push(&key, &[]).await.expect(201).json();
    let fields = [
        ("client_id", client.id.as_str()),
        ("request_uri", text(&pushed, "request_uri")),
    ];
    let path = format!("/oauth/authorize?{}", crate::harness::encoded(&fields));
    let mut browser = crate::harness::Browser::new(&app);
    let answer = browser.authorize(&path, &app.person().await).await;
    let redemption = App::redemption(answer.code());
    let refused = client.token_with(&other, &redemption).await;
    refused.expect_error(400, "invalid_grant");
    client.token_with(&key, &redemption).await.expect(200);
}
