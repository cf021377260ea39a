//! TOK-01..14 and TOK-18..21 of the security checklist: what is no good token opens no route of any kind.

use std::net::TcpListener;

use aws_lc_rs::hmac;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::Utc;
use serde_json::{Value, json};

use crate::harness::{Forge, Heard, Response, Socket, TestApp, query_value};

pub const SECRET: &[u8] = b"this-server-shares-it-with-one-API";
const OTHER_SECRET: &[u8] = b"that-other-API-shares-it-with-us..";

/// A server whose own tokens are HS256 with a secret that the test knows, and whose neighbours are of every kind.
pub fn hs256_app() -> TestApp {
    let audiences = format!(
        r#"[{{ id = "https://orders.example", algorithm = "HS256", hs256_secret = "{}" }},
            {{ id = "https://maps.example", algorithm = "ES256" }},
            {{ id = "https://news.example", algorithm = "EdDSA" }},
            {{ id = "https://games.example", algorithm = "RS256" }}]"#,
        STANDARD.encode(OTHER_SECRET)
    );
    TestApp::own(&[
        ("TOLLGATE_LIMITS__ENABLED", "false"),
        ("TOLLGATE_TOKENS__ALGORITHM", "HS256"),
        ("TOLLGATE_TOKENS__HS256_SECRET", &STANDARD.encode(SECRET)),
        ("TOLLGATE_TOKENS__AUDIENCES", &audiences),
    ])
}

/// Every operation that takes a token, with parameters filled in.
fn guarded_operations(document: &Value) -> Vec<(String, String)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation.get("security").is_some() {
                let path = path
                    .replace("{id}", "01a20bf4-4417-720b-a398-ade7a859a777")
                    .replace("{role}", "user")
                    .replace("{name}", "user");
                operations.push((method.to_uppercase(), path));
            }
        }
    }
    assert!(operations.len() > 15, "{operations:?}");
    operations
}

async fn knock(app: &TestApp, method: &str, path: &str, token: &str) -> Response {
    let request = app
        .request(method, path)
        .header("authorization", format!("Bearer {token}"));
    app.send(request).await
}

/// Asserts that every forgery is a 401 that says `invalid_token`, on every route that takes a token.
async fn assert_all_refused(app: &TestApp, forgeries: &[(&str, String)]) {
    let operations = guarded_operations(&app.get("/openapi.json").await.json());
    for (name, token) in forgeries {
        // RT-03: nor a socket, where one that has run out is told so.
        let mut socket = Socket::open(app, &[]).await.unwrap();
        let connect = json!({"connect": {"token": token}});
        match socket.ask_for(connect).await {
            Heard::Closed(code, _) => assert_eq!(code, 3500, "{name}"),
            Heard::Line(line) => assert_eq!(line["error"]["code"], 109, "{name}"),
        }
        for (method, path) in &operations {
            let response = knock(app, method, path, token).await;
            assert_eq!(response.status(), 401, "{name} on {method} {path}");
            let challenge = response.header("www-authenticate");
            assert!(
                challenge.starts_with("Bearer ") && challenge.contains("error=\"invalid_token\""),
                "{challenge}"
            );
            if method != "HEAD" {
                response.expect_problem(401, "invalid-token");
            }
        }
    }
}

#[tokio::test]
async fn tok_11_an_access_token_has_what_rfc_9068_demands() {
    let app = TestApp::shared();
    let person = app.person().await;
    let header = crate::harness::decode_part(person.access_token(), 0);
    assert_eq!(
        (header["typ"].as_str(), header["alg"].as_str()),
        (Some("at+jwt"), Some("RS256"))
    );
    let claims = crate::harness::decode_part(person.access_token(), 1);
    for name in [
        "iss",
        "exp",
        "aud",
        "sub",
        "client_id",
        "iat",
        "jti",
        "scope",
        "sid",
        "auth_time",
        "acr",
        "amr",
        "roles",
    ] {
        assert!(!claims[name].is_null(), "{name}");
    }
    assert!(
        claims.get("nbf").is_none() && claims.get("email").is_none(),
        "no personal data: {claims}"
    );
    assert_eq!(claims["sub"], person.id());
    assert_eq!(claims["iss"], "http://localhost:8080");
    assert_eq!(
        person.get("/v1/tokens/current").await.expect(200).json(),
        claims
    );
}

#[tokio::test]
async fn tok_01_tok_03_other_algorithms_are_refused() {
    let app = hs256_app();
    let person = app.person().await;
    let forge = Forge::from(person.access_token(), SECRET);
    knock(&app, "GET", "/v1/users/me", &forge.sign())
        .await
        .expect(200);
    let mut forgeries: Vec<(&str, String)> = Vec::new();
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let unsigned = forge.unsigned(none);
        let signed = forge.clone().header("alg", json!(none)).sign();
        forgeries.extend([("TOK-01 unsigned", unsigned), ("TOK-01 signed", signed)]);
    }
    for algorithm in ["HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256"] {
        forgeries.push((
            "TOK-03",
            forge.clone().header("alg", json!(algorithm)).sign(),
        ));
    }
    assert_all_refused(&app, &forgeries).await;
}

#[tokio::test]
async fn tok_02_tok_03_a_public_key_is_no_secret() {
    let app = TestApp::shared();
    let person = app.person().await;
    let jwk = app.get("/.well-known/jwks.json").await.at("/keys/0");
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    // SubjectPublicKeyInfo (RFC 5280) around an RSAPublicKey of 2048 bits and exponent 65537.
    let numbers = [
        &[0x02, 0x82, 0x01, 0x01, 0x00],
        modulus.as_slice(),
        &[0x02, 0x03, 1, 0, 1],
    ]
    .concat();
    let key = [&[0x30, 0x82, 0x01, 0x0a], numbers.as_slice()].concat();
    let algorithm = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    let bits = [&[0x03, 0x82, 0x01, 0x0f, 0x00], key.as_slice()].concat();
    let spki = [&[0x30, 0x82, 0x01, 0x22], algorithm.as_slice(), &bits].concat();
    let wrapped = |label: &str, der: &[u8]| {
        let lines: Vec<_> = STANDARD
            .encode(der)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----",
            lines.join("\n")
        )
    };
    let pem = wrapped("PUBLIC KEY", &spki);
    let pkcs1 = wrapped("RSA PUBLIC KEY", &key);
    let secrets: Vec<Vec<u8>> = vec![
        pem.clone().into_bytes(),
        format!("{pem}\n").into_bytes(),
        pkcs1.into_bytes(),
        spki.clone(),
        key,
        modulus,
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        jwk.to_string().into_bytes(),
    ];
    let mut forgeries = Vec::new();
    for secret in secrets {
        let forge = Forge::from(person.access_token(), &secret);
        forgeries.push((
            "TOK-02 HS256 header",
            forge.clone().header("alg", json!("HS256")).sign(),
        ));
        forgeries.push(("TOK-02 RS256 header", forge.sign()));
    }
    let parts: Vec<_> = person.access_token().split('.').collect();
    for algorithm in ["RS512", "PS256", "HS256", "RS384"] {
        let mut header = crate::harness::decode_part(person.access_token(), 0);
        header["alg"] = json!(algorithm);
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        forgeries.push(("TOK-03", format!("{header}.{}.{}", parts[1], parts[2])));
    }
    assert_all_refused(&app, &forgeries).await;
}

#[tokio::test]
async fn tok_04_tok_05_header_members_that_change_meaning_are_refused_and_nothing_is_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let there = format!("http://{}/keys", listener.local_addr().unwrap());
    let app = hs256_app();
    let person = app.person().await;
    let forge = Forge::from(person.access_token(), SECRET);
    let with = |name: &str, value: Value| forge.clone().header(name, value).sign();
    let key = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    assert_all_refused(
        &app,
        &[
            (
                "TOK-04 unknown crit",
                forge
                    .clone()
                    .header("crit", json!(["x"]))
                    .header("x", json!("1"))
                    .sign(),
            ),
            ("TOK-04 empty crit", with("crit", json!([]))),
            (
                "TOK-04 b64",
                forge
                    .clone()
                    .header("crit", json!(["b64"]))
                    .header("b64", json!(false))
                    .sign(),
            ),
            ("TOK-04 b64 alone", with("b64", json!(false))),
            ("TOK-05 jwk", with("jwk", key)),
            ("TOK-05 jku", with("jku", json!(there))),
            ("TOK-05 x5u", with("x5u", json!(there))),
            ("TOK-05 x5c", with("x5c", json!(["MIIB"]))),
            ("zip", with("zip", json!("DEF"))),
            ("cty", with("cty", json!("JWT"))),
            ("enc", with("enc", json!("A256GCM"))),
        ],
    )
    .await;
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "TOK-05: no outbound connection"
    );
}

#[tokio::test]
async fn tok_06_tok_07_times_are_required_numbers_within_bounds() {
    let app = hs256_app();
    let person = app.person().await;
    let forge = Forge::from(person.access_token(), SECRET);
    let now = Utc::now().timestamp();
    let mut forgeries = vec![("TOK-06 missing", forge.clone().without("exp").sign())];
    let far: Value = serde_json::from_str("1e300").unwrap();
    for exp in [
        json!(null),
        json!("9999999999"),
        json!(-1),
        far.clone(),
        json!(now - 6),
        json!(0),
        json!([now + 60]),
        json!(true),
    ] {
        forgeries.push(("TOK-06 exp", forge.clone().claim("exp", exp).sign()));
    }
    for iat in [json!(now + 60), json!("1"), json!(null), far.clone()] {
        forgeries.push(("TOK-07 iat", forge.clone().claim("iat", iat).sign()));
    }
    forgeries.push(("TOK-07 iat missing", forge.clone().without("iat").sign()));
    for nbf in [json!(now + 60), json!("1"), json!(null), far] {
        forgeries.push(("TOK-07 nbf", forge.clone().claim("nbf", nbf).sign()));
    }
    assert_all_refused(&app, &forgeries).await;
    // Made last, since it becomes good by waiting.
    let ahead = forge
        .clone()
        .claim("iat", json!(Utc::now().timestamp() + 31 + 9));
    assert_all_refused(&app, &[("TOK-07 iat", ahead.sign())]).await;
    let now = Utc::now().timestamp();
    for good in [
        forge.clone().claim("exp", json!(now - 2)),
        forge.clone().claim("iat", json!(now + 20)),
        forge.clone().claim("nbf", json!(now + 20)),
    ] {
        knock(&app, "GET", "/v1/tokens/current", &good.sign())
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn tok_06_a_token_that_was_good_a_moment_ago_expires_all_the_same() {
    let app = hs256_app();
    let person = app.person().await;
    // Within the leeway of 5 s for two more seconds.
    let exp = Utc::now().timestamp() - 3;
    let token = Forge::from(person.access_token(), SECRET)
        .claim("exp", json!(exp))
        .sign();
    knock(&app, "GET", "/v1/tokens/current", &token)
        .await
        .expect(200);
    while knock(&app, "GET", "/v1/tokens/current", &token)
        .await
        .status()
        == 200
    {
        assert!(
            Utc::now().timestamp() <= exp + 6,
            "it was verified once and never expired"
        );
    }
    knock(&app, "GET", "/v1/tokens/current", &token)
        .await
        .expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn tok_08_tok_09_audience_and_issuer_are_exact() {
    let app = hs256_app();
    let person = app.person().await;
    let forge = Forge::from(person.access_token(), SECRET);
    let mut forgeries = vec![
        ("TOK-08 missing", forge.clone().without("aud").sign()),
        ("TOK-09 missing", forge.clone().without("iss").sign()),
    ];
    let right = "http://localhost:8080";
    for aud in [
        json!([]),
        json!(1),
        json!("https://orders.example"),
        json!("tollgate"),
        json!([right, "x"]),
        json!(null),
        json!(""),
    ] {
        forgeries.push(("TOK-08 aud", forge.clone().claim("aud", aud).sign()));
    }
    for iss in [
        json!("http://localhost:8080/"),
        json!([right]),
        json!("https://evil.example"),
        json!(1),
        json!(null),
        json!("HTTP://LOCALHOST:8080"),
    ] {
        forgeries.push(("TOK-09 iss", forge.clone().claim("iss", iss).sign()));
    }
    assert_all_refused(&app, &forgeries).await;
}

#[tokio::test]
async fn tok_10_only_access_tokens_are_bearers() {
    let app = hs256_app();
    let person = app.person().await;
    let forge = Forge::from(person.access_token(), SECRET);
    let mut forgeries = vec![("TOK-10 refresh token", person.refresh_token().to_owned())];
    for typ in [
        "JWT",
        "rt+jwt",
        "logout+jwt",
        "oauth-authz-req+jwt",
        "application/at+jwt",
        "AT+JWT",
        "at+jwt ",
        "",
    ] {
        forgeries.push(("TOK-10 typ", forge.clone().header("typ", json!(typ)).sign()));
    }
    forgeries.push((
        "TOK-10 typ is a number",
        forge.clone().header("typ", json!(1)).sign(),
    ));
    assert_all_refused(&app, &forgeries).await;
    // And an access token refreshes nothing.
    app.post(
        "/v1/tokens",
        json!({"refresh_token": person.access_token()}),
    )
    .await
    .expect_problem(401, "invalid-grant");
}

#[tokio::test]
async fn tok_12_one_spelling_only() {
    let app = hs256_app();
    let person = app.person().await;
    let token = person.access_token();
    let forge = Forge::from(token, SECRET);
    let parts: Vec<_> = token.split('.').collect();
    let (header, claims) = (forge.header.to_string(), forge.claims.to_string());
    let doubled = |text: &str, member: &str| format!("{{{member},{}", &text[1..]);
    // The last character of a 32-byte signature carries two unused bits; setting them changes the spelling only.
    let (rest, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.find(last).unwrap();
    let sibling = format!("{rest}{}", &alphabet[index + 1..index + 2]);
    assert_all_refused(
        &app,
        &[
            ("two parts", format!("{}.{}", parts[0], parts[1])),
            ("four parts", format!("{token}.{}", parts[2])),
            ("empty parts", "..".to_owned()),
            ("padded", format!("{token}=")),
            (
                "inner space",
                format!("{} .{}.{}", parts[0], parts[1], parts[2]),
            ),
            ("not canonical", sibling),
            (
                "duplicate alg",
                forge.sign_raw(&doubled(&header, "\"alg\":\"HS256\""), &claims),
            ),
            (
                "duplicate sub",
                forge.sign_raw(&header, &doubled(&claims, "\"sub\":\"x\"")),
            ),
            (
                "duplicate aud",
                forge.sign_raw(
                    &header,
                    &doubled(&claims, "\"aud\":\"http://localhost:8080\""),
                ),
            ),
            (
                "duplicate unknown",
                forge.sign_raw(&header, &doubled(&claims, "\"x\":1,\"x\":2")),
            ),
            ("claims are a list", forge.sign_raw(&header, "[]")),
            ("claims are nothing", forge.sign_raw(&header, "")),
            ("header is a list", forge.sign_raw("[]", &claims)),
            (
                "claims with NUL",
                forge.sign_raw(&header, &doubled(&claims, "\"x\":\"\\u0000\"")),
            ),
            (
                "JSON serialization",
                format!(
                    "{{\"payload\":\"{}\",\"protected\":\"{}\",\"signature\":\"{}\"}}",
                    parts[1], parts[0], parts[2]
                ),
            ),
            (
                "flipped payload",
                format!("{}.{}A.{}", parts[0], parts[1], parts[2]),
            ),
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            (
                "sub is no id",
                forge.clone().claim("sub", json!("me")).sign(),
            ),
            (
                "scope is a list",
                forge.clone().claim("scope", json!(["users:read"])).sign(),
            ),
            (
                "roles is a text",
                forge.clone().claim("roles", json!("admin")).sign(),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn tok_13_huge_tokens_are_refused_at_once() {
    let app = TestApp::shared();
    for token in [
        ".".repeat(30_000),
        "a".repeat(30_000),
        format!(
            "{}.{}.{}",
            "A".repeat(9_000),
            "A".repeat(9_000),
            "A".repeat(9_000)
        ),
    ] {
        knock(&app, "GET", "/v1/users/me", &token)
            .await
            .expect_problem(401, "invalid-token");
    }
    // Beyond what fits into the headers of HTTP at all: the server hangs up or answers 4xx, and lives.
    let request = app
        .request("GET", "/v1/users/me")
        .bearer_auth("a".repeat(1 << 20));
    if let Ok(response) = request.send().await {
        assert!(response.status().is_client_error(), "{response:?}");
    }
    app.get("/.well-known/jwks.json").await.expect(200);
}

#[tokio::test]
async fn tok_14_unknown_kids_are_refused_without_asking_the_database() {
    let app = hs256_app();
    let person = app.person().await;
    let forge = Forge::from(person.access_token(), SECRET);
    let mut forgeries = vec![("no kid", {
        let mut forge = forge.clone();
        forge.header.as_object_mut().unwrap().remove("kid");
        forge.sign()
    })];
    for kid in [
        json!("unknown"),
        json!("' or 1=1 --"),
        json!("../../etc/passwd"),
        json!(""),
        json!(null),
        json!(1),
        json!("\u{0}"),
    ] {
        forgeries.push(("kid", forge.clone().header("kid", kid).sign()));
    }
    assert_all_refused(&app, &forgeries).await;
    // With the database gone the answer is the same: nobody asked it.
    crate::harness::drop_connections(app.database(), true);
    for (_, token) in &forgeries {
        knock(&app, "GET", "/v1/users/me", token)
            .await
            .expect_problem(401, "invalid-token");
    }
    person.get("/v1/tokens/current").await.expect(200);
}

#[tokio::test]
async fn tok_18_refresh_tokens_are_signed_compared_whole_and_stored_nowhere() {
    let app = TestApp::shared();
    let person = app.person().await;
    let token = person.refresh_token();
    for bad in [
        &token[..token.len() - 1],
        &format!("{token}A"),
        &format!("{token} "),
        &token[1..],
        "",
    ] {
        app.post("/v1/tokens", json!({"refresh_token": bad}))
            .await
            .expect_problem(401, "invalid-grant");
    }
    let signature = token.rsplit('.').next().unwrap();
    let found = query_value(
        app.database(),
        &format!(
            "select count(*)::text as value from sessions where sessions::text like '%{signature}%'"
        ),
    );
    assert_eq!(found, "0");
    person.refresh().await.expect(200);
}

#[tokio::test]
async fn tok_19_challenges_say_what_is_missing() {
    let app = TestApp::shared();
    let absent = app
        .get("/v1/users/me")
        .await
        .expect_problem(401, "authentication-required");
    assert_eq!(
        absent.header("www-authenticate"),
        "Bearer realm=\"tollgate\", resource_metadata=\"http://localhost:8080/.well-known/oauth-protected-resource\""
    );
    let bad = knock(&app, "GET", "/v1/users/me", "x.y.z")
        .await
        .expect_problem(401, "invalid-token");
    assert!(
        bad.header("www-authenticate")
            .contains("error=\"invalid_token\", error_description=\"the token is malformed\"")
    );
    let person = app.person().await;
    let lacking = person
        .get("/v1/users")
        .await
        .expect_problem(403, "insufficient-scope");
    assert!(
        lacking
            .header("www-authenticate")
            .contains("error=\"insufficient_scope\", scope=\"users:read\"")
    );
    for header in [
        "Basic dXNlcjpwYXNz",
        "Bearer",
        "bearer",
        "Token x",
        &format!("Bearer  {}", person.access_token()),
    ] {
        let request = app
            .request("GET", "/v1/users/me")
            .header("authorization", header);
        app.send(request).await.expect_problem(401, "invalid-token");
    }
    let lower = app
        .request("GET", "/v1/users/me")
        .header("authorization", format!("bearer {}", person.access_token()));
    app.send(lower).await.expect(200);
    let twice = app
        .request("GET", "/v1/users/me")
        .header("authorization", format!("Bearer {}", person.access_token()))
        .header("authorization", "Bearer x");
    app.send(twice).await.expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn tok_20_a_resource_servers_secret_opens_its_own_door_only() {
    let app = hs256_app();
    let person = app.person().await;
    let body = json!({"email": person.email(), "password": crate::harness::PASSWORD, "resource": "https://orders.example"});
    let pair = app.post("/v1/sessions", body).await.expect(201).json();
    let theirs = pair["access_token"].as_str().unwrap();
    let claims = crate::harness::decode_part(theirs, 1);
    assert_eq!(claims["aud"], "https://orders.example");
    // The resource server verifies it with its own secret …
    let (signed, signature) = theirs.rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, OTHER_SECRET);
    hmac::verify(
        &key,
        signed.as_bytes(),
        &URL_SAFE_NO_PAD.decode(signature).unwrap(),
    )
    .unwrap();
    // … and can make nothing with it that Tollgate takes.
    let own = Forge::from(person.access_token(), OTHER_SECRET);
    let stolen = Forge::from(theirs, OTHER_SECRET);
    let refresh = Forge::from(person.refresh_token(), OTHER_SECRET);
    let kids: Vec<_> = [theirs, person.access_token(), person.refresh_token()]
        .map(|token| crate::harness::decode_part(token, 0)["kid"].clone())
        .to_vec();
    let mut forgeries = vec![("as issued", theirs.to_owned())];
    for kid in &kids {
        for typ in ["at+jwt", "rt+jwt", "JWT"] {
            for forge in [&own, &stolen, &refresh] {
                for aud in [
                    "http://localhost:8080",
                    "https://orders.example",
                    "https://maps.example",
                ] {
                    let token = forge
                        .clone()
                        .header("kid", kid.clone())
                        .header("typ", json!(typ))
                        .claim("aud", json!(aud));
                    forgeries.push(("TOK-20", token.sign()));
                }
            }
        }
    }
    for (_, token) in &forgeries {
        knock(&app, "GET", "/v1/users/me", token)
            .await
            .expect_problem(401, "invalid-token");
        app.post("/v1/tokens", json!({"refresh_token": token}))
            .await
            .expect_problem(401, "invalid-grant");
    }
    assert_all_refused(&app, &forgeries[..2]).await;
}

#[tokio::test]
async fn audiences_have_their_own_algorithm_and_the_public_ones_are_in_the_jwks() {
    let app = hs256_app();
    let person = app.person().await;
    let keys = app
        .get("/.well-known/jwks.json")
        .await
        .expect(200)
        .at("/keys");
    let published: Vec<_> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["alg"].as_str().unwrap().to_owned())
        .collect();
    // One more signs ID tokens.
    assert_eq!(published.len(), 4, "{published:?}");
    for (audience, algorithm) in [
        ("https://maps.example", "ES256"),
        ("https://news.example", "EdDSA"),
        ("https://games.example", "RS256"),
    ] {
        let body = json!({"email": person.email(), "password": crate::harness::PASSWORD, "resource": audience});
        let pair = app.post("/v1/sessions", body).await.expect(201).json();
        let token = pair["access_token"].as_str().unwrap();
        let header = crate::harness::decode_part(token, 0);
        assert_eq!(header["alg"], algorithm);
        let key = keys
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["kid"] == header["kid"])
            .unwrap();
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.clone()).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let algorithm = algorithm.parse().unwrap();
        assert!(
            jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &decoding, algorithm)
                .unwrap()
        );
        // Made for somebody else: not for us.
        knock(&app, "GET", "/v1/users/me", token)
            .await
            .expect_problem(401, "invalid-token");
    }
    let unknown = json!({"email": person.email(), "password": crate::harness::PASSWORD, "resource": "https://nobody.example"});
    app.post("/v1/sessions", unknown)
        .await
        .expect_problem(422, "validation-failed");
}

#[tokio::test]
async fn tok_21_a_bad_token_locks_nobody_out() {
    let app = TestApp::shared();
    let person = app.person().await;
    let with_bad = |method: &str, path: &str| {
        app.request(method, path)
            .header("authorization", "Bearer stale.token.here")
    };
    let sign_in = json!({"email": person.email(), "password": crate::harness::PASSWORD});
    app.send(with_bad("POST", "/v1/sessions").json(&sign_in))
        .await
        .expect(201);
    let refresh = json!({"refresh_token": person.refresh_token()});
    app.send(with_bad("POST", "/v1/tokens").json(&refresh))
        .await
        .expect(200);
    for path in ["/.well-known/jwks.json", "/docs/", "/problems/not-found"] {
        assert_eq!(
            app.send(with_bad("GET", path)).await.status(),
            200,
            "{path}"
        );
    }
}
