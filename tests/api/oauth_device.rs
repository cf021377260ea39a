//! Letting in a device that has no browser (OAU-22).

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{
    App, Browser, DEVICE_GRANT, ISSUER, Key, Person, TestApp, query, query_value, text,
};

async fn device_client(app: &TestApp) -> App {
    let grants = json!({
        "client_name": "Telly",
        "grant_types": [DEVICE_GRANT, "refresh_token"],
        "redirect_uris": [],
    });
    App::register(app, grants).await
}

async fn codes(client: &App) -> Value {
    let fields = [("scope", "openid email")];
    let begun = client.post("/oauth/device_authorization", &fields).await;
    assert_eq!(begun.header("cache-control"), "no-store");
    begun.expect(200).json()
}

fn poll(codes: &Value) -> [(&str, &str); 2] {
    [
        ("grant_type", DEVICE_GRANT),
        ("device_code", text(codes, "device_code")),
    ]
}

/// Lets the device's next question come in time.
fn wait(client: &App) {
    let sql = format!(
        "update device_codes set polled_at = polled_at - interval '1 hour' where client_id = '{}'",
        client.id
    );
    query(client.app.database(), &sql);
}

/// Types the code; what is to be sent from the page that asks.
async fn enter(browser: &mut Browser, code: &str) -> Vec<(String, String)> {
    let page = browser.visit("/device").await.unwrap();
    let typed = [("user_code", code)];
    let confirm = browser.submit(&page, "/device", &typed).await.unwrap();
    confirm.response.expect_page(200);
    ["csrf", "request", "user_code"]
        .into_iter()
        .map(|name| (name.to_owned(), confirm.hidden(name).unwrap()))
        .collect()
}

async fn decide(
    browser: &mut Browser,
    form: &[(String, String)],
    decision: &str,
) -> crate::harness::Response {
    let mut fields: Vec<_> = form
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    fields.push(("decision", decision));
    browser.post("/device/confirm", &fields).await
}

async fn allow(client: &App, person: &Person, codes: &Value) {
    let mut browser = Browser::signed_in(&client.app, person).await;
    let form = enter(&mut browser, text(codes, "user_code")).await;
    decide(&mut browser, &form, "allow").await.expect_page(200);
}

#[tokio::test]
async fn oau_22_a_device_is_let_in_once_by_whom_it_shows_its_code() {
    let app = TestApp::shared();
    let client = device_client(&app).await;
    let person = app.person().await;
    let codes = codes(&client).await;
    assert_eq!(codes["expires_in"], 600);
    assert_eq!(codes["interval"], 5);
    assert_eq!(codes["verification_uri"], format!("{ISSUER}/device"));
    let user_code = text(&codes, "user_code");
    let complete = text(&codes, "verification_uri_complete").to_owned();
    assert_eq!(complete, format!("{ISSUER}/device?user_code={user_code}"));
    let pending = client.token(&poll(&codes)).await;
    pending.expect_error(400, "authorization_pending");

    // By the address with the code in it, signing in on the way; nothing is decided by looking at it.
    let mut browser = Browser::new(&app);
    let path = complete.strip_prefix(ISSUER).unwrap();
    let page = browser.visit(path).await.unwrap();
    assert!(page.response.text().contains(user_code));
    let typed = [("user_code", user_code)];
    let sign_in = browser.submit(&page, "/device", &typed).await.unwrap();
    assert!(sign_in.path.starts_with("/oauth/sign-in"), "{sign_in:?}");
    let again = browser.sign_in(&sign_in, &person).await.unwrap();
    assert!(again.path.starts_with("/device?"), "{again:?}");
    let confirm = browser.submit(&again, "/device", &typed).await.unwrap();
    let shown = confirm.response.text();
    for told in ["Telly", user_code, person.email()] {
        assert!(shown.contains(told), "{told}");
    }
    wait(&client);
    let pending = client.token(&poll(&codes)).await;
    pending.expect_error(400, "authorization_pending");
    let form = enter(&mut browser, user_code).await;
    decide(&mut browser, &form, "allow").await.expect_page(200);

    wait(&client);
    let tokens = client.token(&poll(&codes)).await.expect(200).json();
    assert_eq!(tokens["scope"], "email openid");
    let told = crate::harness::decode_part(text(&tokens, "id_token"), 1);
    assert_eq!(told["sub"], person.id());
    wait(&client);
    let used = client.token(&poll(&codes)).await;
    used.expect_error(400, "invalid_grant");
    client
        .refresh(text(&tokens, "refresh_token"))
        .await
        .expect(200);
    // The code is nothing any more to those who type it.
    let page = browser.visit("/device").await.unwrap();
    let unknown = browser.submit(&page, "/device", &typed).await.unwrap();
    unknown.response.expect_page(422);
    decide(&mut browser, &form, "deny").await.expect_page(422);
}

#[tokio::test]
async fn oau_22_who_says_no_and_who_comes_late() {
    let app = TestApp::shared();
    let client = device_client(&app).await;
    let person = app.person().await;
    let denied = codes(&client).await;
    let mut browser = Browser::signed_in(&app, &person).await;
    let form = enter(&mut browser, text(&denied, "user_code")).await;
    decide(&mut browser, &form, "deny").await.expect_page(200);
    let refused = client.token(&poll(&denied)).await;
    refused.expect_error(400, "access_denied");

    let late = codes(&client).await;
    let form = enter(&mut browser, text(&late, "user_code")).await;
    let sql = format!(
        "update device_codes set expires_at = clock_timestamp() - interval '1 ms' where client_id = '{}'",
        client.id
    );
    query(app.database(), &sql);
    decide(&mut browser, &form, "allow").await.expect_page(422);
    let refused = client.token(&poll(&late)).await;
    refused.expect_error(400, "expired_token");
    for code in ["x", "\u{1F600}"] {
        let fields = [("grant_type", DEVICE_GRANT), ("device_code", code)];
        let refused = client.token(&fields).await;
        refused.expect_error(400, "invalid_grant");
    }
    // Only who is registered for it.
    let other = App::register(&app, json!({})).await;
    let refused = other.post("/oauth/device_authorization", &[]).await;
    refused.expect_error(400, "unauthorized_client");
    let refused = other.token(&poll(&late)).await;
    refused.expect_error(400, "unauthorized_client");
}

#[tokio::test]
async fn oau_22_whoever_asks_too_often_waits_longer_each_time() {
    let app = TestApp::shared();
    let client = device_client(&app).await;
    let codes = codes(&client).await;
    let interval = || {
        let ours = format!("from device_codes where client_id = '{}'", client.id);
        query_value(
            app.database(),
            &format!("select interval_seconds::text as value {ours}"),
        )
    };
    let pending = client.token(&poll(&codes)).await;
    pending.expect_error(400, "authorization_pending");
    for seconds in ["10", "15", "20"] {
        let refused = client.token(&poll(&codes)).await;
        refused.expect_error(400, "slow_down");
        assert_eq!(interval(), seconds);
    }
    let at = |seconds: u8| {
        let sql = format!(
            "update device_codes set polled_at = clock_timestamp() - interval '{seconds} s' where client_id = '{}'",
            client.id
        );
        query(app.database(), &sql);
    };
    at(18);
    let refused = client.token(&poll(&codes)).await;
    refused.expect_error(400, "slow_down");
    assert_eq!(interval(), "25");
    at(25);
    let pending = client.token(&poll(&codes)).await;
    pending.expect_error(400, "authorization_pending");
    assert_eq!(interval(), "25");
}

#[tokio::test]
async fn oau_22_only_the_session_that_entered_the_code_decides() {
    let app = TestApp::shared();
    let client = device_client(&app).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let codes = codes(&client).await;
    let mut hers = Browser::signed_in(&app, &ada).await;
    let form = enter(&mut hers, text(&codes, "user_code")).await;
    // Somebody else with the same form, also with a csrf of their own; and the same person in another browser.
    for mut other in [
        Browser::signed_in(&app, &eve).await,
        Browser::signed_in(&app, &ada).await,
        Browser::new(&app),
    ] {
        decide(&mut other, &form, "allow").await.expect_page(403);
        let page = other.visit("/device").await.unwrap();
        let mut mixed = form.clone();
        mixed[0].1 = page.hidden("csrf").unwrap();
        decide(&mut other, &mixed, "allow").await.expect_page(403);
    }
    // Her own form for another code.
    let mut another = form.clone();
    another[2].1 = text(&self::codes(&client).await, "user_code").to_owned();
    decide(&mut hers, &another, "allow").await.expect_page(403);
    wait(&client);
    let pending = client.token(&poll(&codes)).await;
    pending.expect_error(400, "authorization_pending");
    decide(&mut hers, &form, "allow").await.expect_page(200);
    wait(&client);
    client.token(&poll(&codes)).await.expect(200);
}

#[tokio::test]
async fn oau_22_of_fifty_parallel_questions_one_gets_tokens() {
    let app = TestApp::shared();
    let client = device_client(&app).await;
    let codes = codes(&client).await;
    allow(&client, &app.person().await, &codes).await;
    let form = poll(&codes);
    let asked = join_all((0..50).map(|_| client.token(&form))).await;
    let good = asked.iter().filter(|response| response.status() == 200);
    assert_eq!(good.count(), 1);
    // Not because the others came too early.
    wait(&client);
    client.token(&form).await.expect_error(400, "invalid_grant");
    let sql = format!(
        "select count(*)::text as value from sessions where client_id = '{}'",
        client.id
    );
    assert_eq!(query_value(app.database(), &sql), "1");
}

#[tokio::test]
async fn oau_22_guesses_of_codes_are_throttled() {
    let app = TestApp::own(&[]);
    let client = device_client(&app).await;
    let codes = codes(&client).await;
    let mut browser = Browser::signed_in(&app, &app.person().await).await;
    let page = browser.visit("/device").await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let guess = [("user_code", "BCDF-GHJK")];
        let seen = browser.submit(&page, "/device", &guess).await.unwrap();
        statuses.push(seen.response.status());
    }
    assert_eq!(statuses[0], 422);
    assert_eq!(statuses[7], 429, "{statuses:?}");
    // Then also the right one waits.
    let right = [("user_code", text(&codes, "user_code"))];
    let seen = browser.submit(&page, "/device", &right).await.unwrap();
    seen.response.expect_page(429);
}

#[tokio::test]
async fn oau_22_a_device_with_a_key_needs_it_to_the_end() {
    let app = TestApp::shared();
    let client = device_client(&app).await;
    let (key, other) = (Key::new(), Key::new());
    let proof = key.proof("POST", "/oauth/device_authorization", None);
    let request = client
        .request("/oauth/device_authorization", &[])
        .header("dpop", proof);
    let codes = app.send(request).await.expect(200).json();
    allow(&client, &app.person().await, &codes).await;
    client
        .token(&poll(&codes))
        .await
        .expect_error(400, "invalid_grant");
    wait(&client);
    let refused = client.token_with(&other, &poll(&codes)).await;
    refused.expect_error(400, "invalid_grant");
    wait(&client);
    client.token_with(&key, &poll(&codes)).await.expect(200);
}

#[tokio::test]
async fn oau_22_what_the_person_has_ended_lets_no_device_in() {
    let app = TestApp::shared();
    let client = device_client(&app).await;
    let ada = app.person().await;
    // They take it back before the device has asked.
    let taken_back = codes(&client).await;
    allow(&client, &ada, &taken_back).await;
    let consent = format!("/v1/users/me/consents/{}", client.id);
    ada.delete(&consent).await.expect(204);
    let refused = client.token(&poll(&taken_back)).await;
    refused.expect_error(400, "access_denied");
    // Whoever allowed it has signed out, and then the password was changed.
    let thiefs = codes(&client).await;
    let mut browser = Browser::signed_in(&app, &ada).await;
    let form = enter(&mut browser, text(&thiefs, "user_code")).await;
    decide(&mut browser, &form, "allow").await.expect_page(200);
    let page = browser.visit("/oauth/logout").await.unwrap();
    browser.submit(&page, "/oauth/logout", &[]).await.unwrap();
    // They have changed their password, because it was not them.
    let not_hers = codes(&client).await;
    allow(&client, &ada, &not_hers).await;
    let new = json!({
        "current_password": crate::harness::PASSWORD,
        "new_password": "another horse battery staple",
    });
    ada.put("/v1/users/me/password", new).await.expect(204);
    for denied in [&not_hers, &thiefs] {
        let refused = client.token(&poll(denied)).await;
        refused.expect_error(400, "access_denied");
    }
}
