//! Signing out from an app, and telling the others (OAU-26, OAU-27, SES-05).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::harness::{
    App, Browser, ISSUER, Person, TestApp, decode_part, encoded, now, query, query_value, text,
    use_bearer, verified, with,
};

const AFTER: &str = "https://client.example/after?x=1";

async fn client(app: &TestApp, changes: &[(&str, Value)]) -> App {
    let mut metadata = json!({
        "post_logout_redirect_uris": [AFTER],
        "client_name": "Shop & <b>Co</b>",
    });
    for (name, value) in changes {
        metadata[*name] = value.clone();
    }
    App::register(app, metadata).await
}

fn logout(fields: &[(&str, &str)]) -> String {
    format!("/oauth/logout?{}", encoded(fields))
}

/// Whether a browser is signed in at our pages.
async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.visit("/oauth/account").await.unwrap().path == "/oauth/account"
}

#[tokio::test]
async fn oau_26_ses_05_an_app_that_knows_who_it_is_signs_them_out_everywhere() {
    let app = TestApp::shared();
    let client = client(&app, &[]).await;
    let other = App::register(&app, json!({})).await;
    let person = app.person().await;
    let mut browser = Browser::new(&app);
    let tokens = client.tokens_from(&mut browser, &person, &[]).await;
    let others = other.tokens_from(&mut browser, &person, &[]).await;
    let offline = [("scope", "openid offline_access")];
    let offline = other.tokens_from(&mut browser, &person, &offline).await;
    let elsewhere = other.tokens(&person, &[]).await;
    let state = "s&?=\u{1F600} +";
    let fields = [
        ("id_token_hint", text(&tokens, "id_token")),
        ("post_logout_redirect_uri", AFTER),
        ("client_id", client.id.as_str()),
        ("state", state),
    ];
    let mut stolen = browser.moved(&app);
    let answer = browser.visit(&logout(&fields)).await.unwrap_err();
    assert!(answer.location.starts_with(AFTER), "{answer:?}");
    assert_eq!(answer.get("state"), state);
    assert_eq!(answer.get("x"), "1");
    assert_eq!(browser.cookie(), None);
    assert!(!is_signed_in(&mut stolen).await, "the cookie is dead");
    for (client, dead) in [(&client, &tokens), (&other, &others)] {
        assert_eq!(use_bearer(&app, text(dead, "access_token")).await, 401);
        let refused = client.refresh(text(dead, "refresh_token")).await;
        refused.expect_error(400, "invalid_grant");
    }
    for alive in [&offline, &elsewhere] {
        assert_eq!(use_bearer(&app, text(alive, "access_token")).await, 200);
        let refreshed = other.refresh(text(alive, "refresh_token")).await;
        refreshed.expect(200);
    }
    assert_eq!(use_bearer(&app, person.access_token()).await, 200);
    // Again: nothing is left to end, and they go back all the same.
    let answer = browser.visit(&logout(&fields)).await.unwrap_err();
    assert!(answer.location.starts_with(AFTER), "{answer:?}");
}

#[tokio::test]
async fn oau_26_nobody_is_signed_out_by_a_link_without_being_asked() {
    let app = TestApp::shared();
    let client = client(&app, &[]).await;
    let other = App::register(&app, json!({})).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let mut browser = Browser::new(&app);
    let tokens = client.tokens_from(&mut browser, &ada, &[]).await;
    let eves = client.tokens(&eve, &[]).await;
    for fields in [
        &[][..],
        &[("client_id", client.id.as_str())],
        &[
            ("client_id", client.id.as_str()),
            ("post_logout_redirect_uri", AFTER),
            ("state", "s"),
        ],
        &[("id_token_hint", text(&eves, "id_token"))],
        &[("id_token_hint", text(&tokens, "access_token"))],
        &[("id_token_hint", text(&tokens, "refresh_token"))],
        &[("id_token_hint", "x.y.z")],
        &[("logout_hint", "x"), ("csrf", "x")],
    ] {
        let asked = browser.visit(&logout(fields)).await.unwrap();
        asked.response.expect_page(200);
        assert!(asked.response.text().contains(ada.email()));
        assert!(!asked.response.text().contains("<b>Co"), "TRN-03");
        // A page of the app may also post it; without our tag it is no more than a link.
        let posted = with(fields, &[("csrf", "")]);
        let request = browser
            .request("POST", "/oauth/logout")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", "https://client.example")
            .header("sec-fetch-site", "cross-site")
            .body(encoded(&posted));
        browser.send(request).await.expect_page(200);
        assert!(is_signed_in(&mut browser).await, "{fields:?}");
    }
    // With a tag that is not this browser's, or from elsewhere.
    let page = browser.visit("/oauth/logout").await.unwrap();
    let tag = page.hidden("csrf").unwrap();
    let mut foreign = Browser::new(&app);
    let page = foreign.visit("/oauth/logout").await.unwrap();
    let foreign_tag = page.hidden("csrf").unwrap();
    let fields = [("csrf", foreign_tag.as_str())];
    let refused = browser.post("/oauth/logout", &fields).await;
    refused.expect_page(403);
    let request = browser
        .request("POST", "/oauth/logout")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", "https://evil.example")
        .body(encoded(&[("csrf", &tag)]));
    browser.send(request).await.expect_page(403);
    // Addresses that nobody has registered, or another has.
    let hint = text(&tokens, "id_token");
    for fields in [
        &[
            ("id_token_hint", hint),
            ("post_logout_redirect_uri", "https://evil.example/"),
        ][..],
        &[
            ("id_token_hint", hint),
            ("post_logout_redirect_uri", "https://client.example/after"),
        ],
        &[("post_logout_redirect_uri", AFTER)],
        &[
            ("client_id", other.id.as_str()),
            ("post_logout_redirect_uri", AFTER),
        ],
        &[
            ("id_token_hint", hint),
            ("client_id", other.id.as_str()),
            ("post_logout_redirect_uri", AFTER),
        ],
        &[("client_id", "x"), ("client_id", "y")],
    ] {
        browser.get(&logout(fields)).await.expect_page(400);
        assert!(is_signed_in(&mut browser).await, "{fields:?}");
    }
    assert_eq!(use_bearer(&app, text(&tokens, "access_token")).await, 200);
    assert_eq!(use_bearer(&app, text(&eves, "access_token")).await, 200);

    // Whoever says yes goes back where the app wants them.
    let fields = [
        ("client_id", client.id.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", "s 1"),
    ];
    let page = browser.visit(&logout(&fields)).await.unwrap();
    let fields = with(&fields, &[]);
    let answer = browser.submit(&page, "/oauth/logout", &fields).await;
    let answer = answer.unwrap_err();
    assert!(answer.location.starts_with(AFTER));
    assert_eq!(answer.get("state"), "s 1");
    assert!(!is_signed_in(&mut browser).await);
    assert_eq!(use_bearer(&app, text(&tokens, "access_token")).await, 401);
    assert_eq!(use_bearer(&app, text(&eves, "access_token")).await, 200);
}

/// Reads one POST and answers it; its form.
async fn hear(listener: &TcpListener, answer: &str) -> Vec<(String, String)> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    let form = loop {
        let mut part = [0; 4_096];
        let count = stream.read(&mut part).await.unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let Some(head) = text.find("\r\n\r\n") else {
            continue;
        };
        let length = text.split_once("content-length: ").unwrap().1;
        let length: usize = length.split_once("\r\n").unwrap().0.parse().unwrap();
        if read.len() == head + 4 + length {
            assert!(text.starts_with("post /logout http/1.1\r\n"), "{text}");
            assert!(text.contains("content-type: application/x-www-form-urlencoded"));
            break read.split_off(head + 4);
        }
    };
    let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    form_urlencoded::parse(&form).into_owned().collect()
}

async fn heard_token(listener: &TcpListener, answer: &str) -> String {
    let heard = tokio::time::timeout(Duration::from_secs(20), hear(listener, answer));
    let form = heard.await.unwrap();
    assert_eq!(form.len(), 1, "{form:?}");
    assert_eq!(form[0].0, "logout_token");
    form[0].1.clone()
}

async fn check_logout_token(app: &TestApp, token: &str, client: &App, who: &Person, sid: &Value) {
    let claims = verified(app, token).await;
    let header = decode_part(token, 0);
    assert_eq!(header["typ"], "logout+jwt");
    assert_eq!(header["alg"], "RS256");
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], client.id);
    assert_eq!(claims["sub"], who.id());
    assert_eq!(claims["sid"], *sid);
    let event = "http://schemas.openid.net/event/backchannel-logout";
    assert_eq!(claims["events"], json!({event: {}}));
    assert_eq!(claims.get("nonce"), None);
    assert!(claims["jti"].is_string());
    let (made, expires) = (claims["iat"].as_i64(), claims["exp"].as_i64());
    assert!((now() - made.unwrap()).abs() < 60);
    assert!((1..=120).contains(&(expires.unwrap() - made.unwrap())));
    // Good for nothing else (TOK-10).
    assert_eq!(use_bearer(app, token).await, 401);
}

#[tokio::test]
async fn oau_27_tok_10_apps_are_told_until_they_have_heard() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let uri = json!(format!("http://127.0.0.1:{port}/logout"));
    let told = client(&app, &[("backchannel_logout_uri", uri)]).await;
    let untold = client(&app, &[]).await;
    let person = app.person().await;
    let mut browser = Browser::new(&app);
    let tokens = told.tokens_from(&mut browser, &person, &[]).await;
    untold.tokens_from(&mut browser, &person, &[]).await;
    let sid = decode_part(text(&tokens, "id_token"), 1)["sid"].clone();
    let page = browser.visit("/oauth/logout").await.unwrap();
    let done = browser.submit(&page, "/oauth/logout", &[]).await.unwrap();
    assert_eq!(done.path, "/oauth/signed-out");
    let waiting = "select count(*)::text as value from logout_notices";
    let attempts = "select coalesce(max(attempts), 0)::text as value from logout_notices";

    let first = heard_token(&listener, "500 Internal Server Error").await;
    check_logout_token(&app, &first, &told, &person, &sid).await;
    assert_eq!(query_value(app.database(), waiting), "1");
    assert_eq!(query_value(app.database(), attempts), "1");
    let due = "update logout_notices set next_at = clock_timestamp()";
    query(app.database(), due);
    // Redirects are not followed, and count as not heard.
    let second = heard_token(&listener, "307 Temporary Redirect\r\nlocation: /x").await;
    check_logout_token(&app, &second, &told, &person, &sid).await;
    assert_ne!(first, second);
    query(app.database(), due);
    let third = heard_token(&listener, "200 OK").await;
    check_logout_token(&app, &third, &told, &person, &sid).await;
    let since = Instant::now();
    while query_value(app.database(), waiting) != "0" {
        assert!(since.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    let metrics = app.get("/metrics").await.expect(200).text();
    for (outcome, times) in [("failed", 2), ("heard", 1)] {
        let line = format!("tollgate_logout_notices_total{{outcome=\"{outcome}\"}} {times}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }

    // Also an app that refreshes nothing, whose tokens have long expired.
    let mut browser = Browser::new(&app);
    let tokens = told.tokens_from(&mut browser, &person, &[]).await;
    let sid = decode_part(text(&tokens, "id_token"), 1)["sid"].clone();
    let aged = format!(
        "update sessions set refresh_exp = refresh_exp - interval '60 days' where id = '{}'",
        sid.as_str().unwrap()
    );
    query(app.database(), &aged);
    let page = browser.visit("/oauth/logout").await.unwrap();
    browser.submit(&page, "/oauth/logout", &[]).await.unwrap();
    let token = heard_token(&listener, "200 OK").await;
    check_logout_token(&app, &token, &told, &person, &sid).await;

    // Also when somebody else ends the session.
    let tokens = told.tokens(&person, &[]).await;
    let sid = decode_part(text(&tokens, "id_token"), 1)["sid"].clone();
    let session = format!("/v1/sessions/{}", sid.as_str().unwrap());
    person.delete(&session).await.expect(204);
    let token = heard_token(&listener, "204 No Content").await;
    check_logout_token(&app, &token, &told, &person, &sid).await;
    let hint = [("id_token_hint", token.as_str())];
    let mut browser = Browser::signed_in(&app, &person).await;
    let asked = browser.visit(&logout(&hint)).await.unwrap();
    asked.response.expect_page(200);
}
