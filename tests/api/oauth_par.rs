//! Requests that the client pushes itself (OAU-21).

use serde_json::json;

use crate::harness::{App, Browser, CALLBACK, TestApp, encoded, query, query_value, text};

async fn pushed(client: &App, changes: &[(&str, &str)]) -> String {
    let pushed = client.post("/oauth/par", &client.parameters(changes)).await;
    let pushed = pushed.expect(201);
    assert_eq!(pushed.header("cache-control"), "no-store");
    let expires = pushed.at("/expires_in").as_i64().unwrap();
    assert!((1..=90).contains(&expires));
    let uri = text(&pushed.json(), "request_uri").to_owned();
    assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:"));
    uri
}

fn path(client: &App, uri: &str, more: &[(&str, &str)]) -> String {
    let fields = [("client_id", client.id.as_str()), ("request_uri", uri)];
    format!("/oauth/authorize?{}", encoded(&[&fields, more].concat()))
}

#[tokio::test]
async fn oau_21_a_pushed_request_is_good_once_and_nothing_beside_it_counts() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let uri = pushed(&client, &[("state", "pushed"), ("nonce", "pushed")]).await;
    let elsewhere = [
        ("redirect_uri", "https://evil.example/"),
        ("state", "front"),
        ("nonce", "front"),
        ("scope", "openid email profile"),
        ("response_mode", "form_post"),
        ("prompt", "none"),
        ("code_challenge", "front"),
    ];
    let path = path(&client, &uri, &elsewhere);
    let mut browser = Browser::new(&app);
    let answer = browser.authorize(&path, &person).await;
    assert!(answer.location.starts_with(CALLBACK), "{answer:?}");
    assert_eq!(answer.get("state"), "pushed");
    let tokens = client.redeem(answer.code()).await.expect(200).json();
    assert_eq!(tokens["scope"], "openid");
    let claims = crate::harness::decode_part(text(&tokens, "id_token"), 1);
    assert_eq!(claims["nonce"], "pushed");
    let (_, cookie) = browser.cookie().unwrap();
    assert!(cookie.len() < 100, "nothing of the request is in it");
    // Used; also when somebody else comes with it.
    for mut browser in [browser, Browser::new(&app)] {
        browser.get(&path).await.expect_page(400);
    }
}

#[tokio::test]
async fn oau_21_a_pushed_request_is_its_clients_and_soon_over() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let other = App::register(&app, json!({})).await;
    let mut browser = Browser::new(&app);
    let uri = pushed(&client, &[]).await;
    let stolen = path(&other, &uri, &[]);
    browser.get(&stolen).await.expect_page(400);
    for unknown in [
        "urn:ietf:params:oauth:request_uri:x",
        "https://client.example/request.jwt",
        "x",
    ] {
        let path = path(&client, unknown, &[]);
        browser.get(&path).await.expect_page(400);
    }
    // A thief has not spoilt it.
    let page = browser.visit(&path(&client, &uri, &[])).await.unwrap();
    page.response.expect_page(200);

    let uri = pushed(&client, &[]).await;
    let ours = format!("where client_id = '{}' and pushed", client.id);
    let lifetime = "select ceil(extract(epoch from expires_at - clock_timestamp()))::text as value";
    let sql = format!("{lifetime} from authorization_requests {ours}");
    let left: i32 = query_value(app.database(), &sql).parse().unwrap();
    assert!((1..=90).contains(&left), "{left}");
    let age = "update authorization_requests set expires_at = clock_timestamp() - interval '1 ms'";
    query(app.database(), &format!("{age} {ours}"));
    browser
        .get(&path(&client, &uri, &[]))
        .await
        .expect_page(400);
}

#[tokio::test]
async fn oau_21_what_can_not_be_answered_is_not_kept() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let confidential = App::confidential(&app, json!({})).await;
    for (changes, error) in [
        (
            &[("redirect_uri", "https://evil.example/")][..],
            "invalid_request",
        ),
        (&[("redirect_uri", "")], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("scope", "users:write")], "invalid_scope"),
        (
            &[("request_uri", "urn:ietf:params:oauth:request_uri:x")],
            "invalid_request",
        ),
        (&[("request", "x.y.z")], "request_not_supported"),
    ] {
        for client in [&client, &confidential] {
            let refused = client.post("/oauth/par", &client.parameters(changes)).await;
            refused.expect_error(400, error);
        }
    }
    // A client that has a secret shows it here, too (RFC 9126 section 2).
    let anonymous = app
        .request("POST", "/oauth/par")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded(&confidential.parameters(&[])));
    let refused = app.send(anonymous).await;
    refused.expect_error(401, "invalid_client");
}

#[tokio::test]
async fn oau_21_a_client_that_has_to_push_is_answered_nothing_else() {
    let app = TestApp::shared();
    let must = json!({"require_pushed_authorization_requests": true});
    let client = App::register(&app, must).await;
    let person = app.person().await;
    let answer = client.answer(&person, &[]).await;
    assert_eq!(answer.get("error"), "invalid_request");
    let uri = pushed(&client, &[]).await;
    let mut browser = Browser::new(&app);
    let answer = browser.authorize(&path(&client, &uri, &[]), &person).await;
    client.redeem(answer.code()).await.expect(200);
}

#[tokio::test]
async fn nobody_fills_the_database_with_what_no_request_needs() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let junk = "x".repeat(9_000);
    let fields = client.parameters(&[("junk", &junk)]);
    let refused = client.post("/oauth/par", &fields).await;
    refused.expect_error(400, "invalid_request");
    let refused = client.post("/oauth/authorize", &fields).await;
    refused.expect_page(400);
    let kept = format!(
        "select count(*)::text as value from authorization_requests where client_id = '{}'",
        client.id
    );
    assert_eq!(query_value(app.database(), &kept), "0");
}
