//! Token exchange, and tokens for other APIs (OAU-24).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::harness::{
    ACCESS_TOKEN_TYPE, App, Browser, EXCHANGE_GRANT, Forge, ISSUER, Key, Person, Response, TestApp,
    decode_part, now, query, text, use_bearer, with,
};

const SECRET: &[u8] = b"this-server-shares-it-with-one-API";
const ORDERS: &str = "https://orders.example";
const GAMES: &str = "https://games.example";

/// A server whose own tokens the test can make, too.
fn server() -> TestApp {
    let audiences = format!(
        r#"[{{ id = "{ORDERS}", algorithm = "RS256" }}, {{ id = "{GAMES}", algorithm = "RS256" }}]"#
    );
    TestApp::own(&[
        ("TOLLGATE_LIMITS__ENABLED", "false"),
        ("TOLLGATE_TOKENS__ALGORITHM", "HS256"),
        ("TOLLGATE_TOKENS__HS256_SECRET", &STANDARD.encode(SECRET)),
        ("TOLLGATE_TOKENS__AUDIENCES", &audiences),
    ])
}

/// An API that calls others.
async fn gateway(app: &TestApp, resources: &[&str]) -> App {
    let metadata = json!({
        "grant_types": [EXCHANGE_GRANT, "client_credentials"],
        "redirect_uris": [],
        "scope": "account:read account:write",
        "resources": resources,
    });
    App::confidential(app, metadata).await
}

async fn exchange(client: &App, subject: &str, changes: &[(&str, &str)]) -> Response {
    let fields = [
        ("grant_type", EXCHANGE_GRANT),
        ("subject_token", subject),
        ("subject_token_type", ACCESS_TOKEN_TYPE),
    ];
    client.token(&with(&fields, changes)).await
}

/// The access token of somebody who lets an app call an API.
async fn access(client: &App, person: &Person, changes: &[(&str, &str)]) -> Value {
    let scope = [("scope", "openid account:read")];
    client.tokens(person, &with(&scope, changes)).await
}

#[tokio::test]
async fn oau_24_an_api_calls_the_next_one_for_the_same_person_and_for_no_more() {
    let app = server();
    let front = App::register(&app, json!({})).await;
    let orders = gateway(&app, &[ORDERS]).await;
    let games = gateway(&app, &[GAMES]).await;
    let person = app.person().await;
    let tokens = access(&front, &person, &[("resource", ORDERS)]).await;
    let subject = text(&tokens, "access_token");
    let before = decode_part(subject, 1);
    assert_eq!(before["aud"], ORDERS);

    let first = exchange(&orders, subject, &[("audience", GAMES)]).await;
    let first = first.expect(200).json();
    assert_eq!(first["issued_token_type"], ACCESS_TOKEN_TYPE);
    assert_eq!(first["token_type"], "Bearer");
    assert_eq!(first.get("refresh_token"), None);
    assert_eq!(first.get("id_token"), None);
    let claims = decode_part(text(&first, "access_token"), 1);
    assert_eq!(claims["sub"], person.id());
    assert_eq!(claims["aud"], GAMES);
    assert_eq!(claims["client_id"], orders.id);
    assert_eq!(claims["act"], json!({"sub": orders.id}));
    assert_eq!(claims["scope"], "account:read", "openid stays behind");
    assert_eq!(claims["sid"], before["sid"]);
    assert!(claims["exp"].as_i64() <= before["exp"].as_i64());

    let second = exchange(&games, text(&first, "access_token"), &[]).await;
    let second = second.expect(200).json();
    let nested = decode_part(text(&second, "access_token"), 1);
    let act = json!({"sub": games.id, "act": {"sub": orders.id}});
    assert_eq!(nested["act"], act);
    assert_eq!(nested["sub"], person.id());
    assert_eq!(use_bearer(&app, text(&second, "access_token")).await, 200);

    // Not wider than the token, nor than the client may ask for.
    for wide in ["account:write", "account:read account:write", "openid"] {
        let refused = exchange(&orders, subject, &[("scope", wide)]).await;
        refused.expect_error(400, "invalid_scope");
    }
    for elsewhere in [
        vec![("audience", "https://x.example")],
        vec![("resource", "https://x.example")],
        vec![("audience", GAMES), ("resource", ORDERS)],
    ] {
        let refused = exchange(&orders, subject, &elsewhere).await;
        refused.expect_error(400, "invalid_target");
    }
    let both = [("audience", GAMES), ("resource", GAMES)];
    exchange(&orders, subject, &both).await.expect(200);

    // All of them die with the session.
    let sid = before["sid"].as_str().unwrap();
    let session = format!("/v1/sessions/{sid}");
    person.delete(&session).await.expect(204);
    assert_eq!(use_bearer(&app, text(&second, "access_token")).await, 401);
    let told = games.introspect(text(&first, "access_token")).await;
    assert_eq!(told, json!({"active": false}));
    let refused = exchange(&orders, subject, &[]).await;
    refused.expect_error(400, "invalid_grant");
}

#[tokio::test]
async fn oau_24_only_a_good_token_that_concerns_the_client_is_exchanged() {
    let app = server();
    let ours = "http://localhost:8080";
    let front = App::register(&app, json!({})).await;
    let api = gateway(&app, &[ours]).await;
    let stranger = gateway(&app, &[ORDERS]).await;
    let person = app.person().await;
    let tokens = access(&front, &person, &[]).await;
    let subject = text(&tokens, "access_token");
    exchange(&api, subject, &[]).await.expect(200);
    let forge = Forge::from(subject, SECRET);
    let soon = now() + 60;
    let short = forge.clone().claim("exp", json!(soon)).sign();
    let exchanged = exchange(&api, &short, &[]).await.expect(200).json();
    let claims = decode_part(text(&exchanged, "access_token"), 1);
    assert!(claims["exp"].as_i64().unwrap() <= soon, "outlives nothing");
    assert!(exchanged["expires_in"].as_i64().unwrap() <= 60);

    let alone = [("grant_type", "client_credentials")];
    let of_another = stranger.token(&alone).await.expect(200).json();
    let of_its_own = api.token(&alone).await.expect(200).json();
    for (name, token) in [
        (
            "expired",
            forge.clone().claim("exp", json!(now() - 60)).sign(),
        ),
        (
            "issuer",
            forge
                .clone()
                .claim("iss", json!("https://x.example"))
                .sign(),
        ),
        ("type", forge.clone().header("typ", json!("JWT")).sign()),
        (
            "audience",
            forge
                .clone()
                .claim("aud", json!("https://x.example"))
                .sign(),
        ),
        ("signature", Forge::from(subject, b"another secret").sign()),
        ("none", forge.unsigned("none")),
        ("ID token", text(&tokens, "id_token").to_owned()),
        ("refresh token", text(&tokens, "refresh_token").to_owned()),
        ("nonsense", "x.y.z".to_owned()),
        // It would speak for whoever exchanges it.
        (
            "another client's own",
            text(&of_another, "access_token").to_owned(),
        ),
    ] {
        let refused = exchange(&api, &token, &[]).await;
        assert_eq!(refused.status(), 400, "{name}: {}", refused.text());
        refused.expect_error(400, "invalid_grant");
    }
    let own = exchange(&api, text(&of_its_own, "access_token"), &[]).await;
    let own = own.expect(200).json();
    let claims = decode_part(text(&own, "access_token"), 1);
    assert_eq!(claims["sub"], api.id);
    // Somebody else's token, for an API that it is not.
    let refused = exchange(&stranger, subject, &[]).await;
    refused.expect_error(400, "invalid_grant");
    for (changes, error) in [
        (&[("subject_token_type", "")][..], "invalid_request"),
        (
            &[(
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:id_token",
            )],
            "invalid_request",
        ),
        (
            &[(
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:refresh_token",
            )],
            "invalid_request",
        ),
        (&[("actor_token", subject)], "invalid_request"),
        (&[("subject_token", "")], "invalid_request"),
    ] {
        let refused = exchange(&api, subject, changes).await;
        refused.expect_error(400, error);
    }
    let refused = exchange(&front, subject, &[]).await;
    refused.expect_error(400, "unauthorized_client");
    let given = [("token", subject)];
    front.post("/oauth/revoke", &given).await.expect(200);
    let refused = exchange(&api, subject, &[]).await;
    refused.expect_error(400, "invalid_grant");
}

#[tokio::test]
async fn oau_24_a_bound_token_is_exchanged_by_its_key_or_its_api() {
    let app = server();
    let grants = ["authorization_code", "refresh_token", EXCHANGE_GRANT];
    let client = App::confidential(&app, json!({"grant_types": grants})).await;
    let api = gateway(&app, &["http://localhost:8080"]).await;
    let key = Key::new();
    let scope = [("scope", "openid account:read")];
    let answer = client.answer(&app.person().await, &scope).await;
    let redemption = App::redemption(answer.code());
    let tokens = client.token_with(&key, &redemption).await.expect(200);
    let tokens = tokens.json();
    let fields = [
        ("grant_type", EXCHANGE_GRANT),
        ("subject_token", text(&tokens, "access_token")),
        ("subject_token_type", ACCESS_TOKEN_TYPE),
    ];
    let refused = client.token(&fields).await;
    refused.expect_error(400, "invalid_grant");
    let refused = client.token_with(&Key::new(), &fields).await;
    refused.expect_error(400, "invalid_grant");
    let exchanged = client.token_with(&key, &fields).await.expect(200);
    assert_eq!(exchanged.at("/token_type"), "DPoP");
    api.token(&fields).await.expect(200);
}

#[tokio::test]
async fn oau_24_tokens_are_for_the_api_that_the_person_was_asked_about() {
    let app = server();
    let client = App::register(&app, json!({})).await;
    let picky = App::register(&app, json!({"audiences": [ORDERS]})).await;
    let person = app.person().await;
    let answer = picky.answer(&person, &[("resource", GAMES)]).await;
    assert_eq!(answer.get("error"), "invalid_target");
    let asked = [("scope", "openid account:read"), ("resource", ORDERS)];
    let answer = client.answer(&person, &asked).await;
    let redemption = App::redemption(answer.code());
    let other = with(&redemption, &[("resource", GAMES)]);
    client
        .token(&other)
        .await
        .expect_error(400, "invalid_target");
    let tokens = client.redeem(answer.code()).await.expect(200).json();
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&tokens, "refresh_token")),
    ];
    let other = with(&refresh, &[("resource", GAMES)]);
    client
        .token(&other)
        .await
        .expect_error(400, "invalid_target");
    for same in [&refresh[..], &with(&refresh, &[("resource", ORDERS)])] {
        let next = client.token(same).await.expect(200).json();
        let claims = decode_part(text(&next, "access_token"), 1);
        assert_eq!(claims["aud"], ORDERS);
        assert_eq!(use_bearer(&app, text(&next, "access_token")).await, 401);
    }
}

#[tokio::test]
async fn oau_24_nobody_is_asked_about_one_api_and_gives_tokens_for_another() {
    let app = server();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let asked = [("scope", "openid account:read")];
    let answer = client.answer(&person, &asked).await;
    let redemption = App::redemption(answer.code());
    let other = with(&redemption, &[("resource", ORDERS)]);
    let refused = client.token(&other).await;
    refused.expect_error(400, "invalid_target");
    let tokens = client.redeem(answer.code()).await.expect(200).json();
    let claims = decode_part(text(&tokens, "access_token"), 1);
    assert_eq!(claims["aud"], ISSUER);
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&tokens, "refresh_token")),
    ];
    let other = with(&refresh, &[("resource", ORDERS)]);
    let refused = client.token(&other).await;
    refused.expect_error(400, "invalid_target");
    client.token(&refresh).await.expect(200);
    // For another API they are asked again, and not a second time.
    let mut browser = Browser::signed_in(&app, &person).await;
    let none = |resource| client.authorize_path(&[("prompt", "none"), ("resource", resource)]);
    let answer = browser.visit(&none(ORDERS)).await.unwrap_err();
    assert_eq!(answer.get("error"), "consent_required");
    client.answer(&person, &[("resource", ORDERS)]).await.code();
    let answer = browser.visit(&none(ORDERS)).await.unwrap_err();
    assert!(!answer.code().is_empty());
    let answer = browser.visit(&none(GAMES)).await.unwrap_err();
    assert_eq!(answer.get("error"), "consent_required");
}

#[tokio::test]
async fn oau_24_what_was_allowed_at_one_api_is_not_allowed_at_another() {
    let app = server();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let mut browser = Browser::signed_in(&app, &person).await;
    let path = |scope, resource| client.authorize_path(&[("scope", scope), ("resource", resource)]);
    let (little, much) = ("openid", "openid account:read");
    for (scope, resource) in [(much, ORDERS), (little, GAMES)] {
        let allowed = path(scope, resource);
        browser.authorize(&allowed, &person).await.code();
        browser.visit(&allowed).await.unwrap_err().code();
    }
    let asked = browser.visit(&path(much, GAMES)).await.unwrap();
    assert!(asked.path.starts_with("/oauth/consent"), "{asked:?}");
    browser
        .visit(&path(little, ORDERS))
        .await
        .unwrap_err()
        .code();
    // As the version before wrote it down: several APIs beside several scopes tell nothing, a single one does.
    let before = "update consents set grants = '{}'";
    query(app.database(), before);
    let single = format!("update consents set resources = array['{ORDERS}']");
    query(app.database(), &single);
    let migration = include_str!("../../migrations/2026-11-26-000002_consent_grants/up.sql");
    let (_, update) = migration.split_once("update consents").unwrap();
    for _ in 0..2 {
        browser.visit(&path(much, ORDERS)).await.unwrap_err().code();
        let asked = browser.visit(&path(little, GAMES)).await.unwrap();
        assert!(asked.path.starts_with("/oauth/consent"), "{asked:?}");
        query(app.database(), &format!("update consents{update}"));
    }
    query(
        app.database(),
        &format!("{before}, resources = array['{ORDERS}', '{GAMES}']"),
    );
    query(app.database(), &format!("update consents{update}"));
    let asked = browser.visit(&path(little, ORDERS)).await.unwrap();
    assert!(asked.path.starts_with("/oauth/consent"), "{asked:?}");
}
