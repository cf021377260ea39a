//! Who signed in, when, and whether they have to do so again (OAU-25).

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{
    App, Browser, ISSUER, Person, TestApp, decode_part, now, query, text, use_bearer, verified,
};

/// Makes it long ago that somebody proved who they are.
fn age(app: &TestApp, person: &Person, seconds: i64) {
    let sql = format!(
        "update sessions set auth_time = auth_time - interval '{seconds} s' where user_id = '{}'",
        person.id()
    );
    query(app.database(), &sql);
}

async fn user_info(app: &TestApp, token: &str) -> Value {
    let request = app.request("GET", "/oauth/userinfo").bearer_auth(token);
    app.send(request).await.expect(200).json()
}

#[tokio::test]
async fn oau_25_the_id_token_tells_who_when_and_for_which_request() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let nonce = "n \u{1F600}&=";
    let asked = [("scope", "openid email"), ("nonce", nonce)];
    let tokens = client.tokens(&person, &asked).await;
    let token = text(&tokens, "id_token");
    let claims = verified(&app, token).await;
    assert_eq!(decode_part(token, 0)["alg"], "RS256");
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], client.id);
    assert_eq!(claims["sub"], person.id());
    assert_eq!(claims["nonce"], nonce);
    assert!((claims["auth_time"].as_i64().unwrap() - now()).abs() < 60);
    assert!(claims["exp"].as_i64() > claims["iat"].as_i64());
    let access = text(&tokens, "access_token");
    let hash = digest::digest(&digest::SHA256, access.as_bytes());
    assert_eq!(
        claims["at_hash"],
        URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16])
    );
    assert_eq!(claims["sid"], decode_part(access, 1)["sid"]);
    assert_eq!(claims.get("email"), None, "userinfo tells it");
    let told = user_info(&app, access).await;
    let expected = json!({"sub": person.id(), "email": person.email(), "email_verified": false});
    assert_eq!(told, expected);

    let without = client.tokens(&person, &[("scope", "email")]).await;
    assert_eq!(without.get("id_token"), None);
    let request = app
        .request("GET", "/oauth/userinfo")
        .bearer_auth(text(&without, "access_token"));
    let refused = app.send(request).await;
    assert_eq!(refused.status(), 403);
    let plain = client.tokens(&person, &[]).await;
    assert_eq!(decode_part(text(&plain, "id_token"), 1).get("nonce"), None);
    let told = user_info(&app, text(&plain, "access_token")).await;
    assert_eq!(told, json!({"sub": person.id()}));
    // One that nobody could repeat is not left out in silence.
    let long = "n".repeat(2_001);
    let answer = client.answer(&person, &[("nonce", &long)]).await;
    assert_eq!(answer.get("error"), "invalid_request");
}

#[tokio::test]
async fn oau_25_claims_by_name_are_told_within_what_the_client_may() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({"scope": "openid email"})).await;
    let person = app.person().await;
    let claims =
        r#"{"userinfo":{"name":null},"id_token":{"email":{"essential":true},"name":null}}"#;
    let asked = [("scope", "openid"), ("claims", claims)];
    let tokens = client.tokens(&person, &asked).await;
    let told = decode_part(text(&tokens, "id_token"), 1);
    assert_eq!(told["email"], person.email());
    assert_eq!(told.get("name"), None, "beyond its scopes");
}

#[tokio::test]
async fn oau_25_without_a_page_nobody_is_asked() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let silent = client.authorize_path(&[("prompt", "none")]);
    let mut browser = Browser::new(&app);
    let answer = browser.visit(&silent).await.unwrap_err();
    assert_eq!(answer.get("error"), "login_required");
    let mut browser = Browser::signed_in(&app, &person).await;
    let answer = browser.visit(&silent).await.unwrap_err();
    assert_eq!(answer.get("error"), "consent_required");
    let path = client.authorize_path(&[]);
    browser.authorize(&path, &person).await.code();
    browser.visit(&silent).await.unwrap_err().code();
    let more = client.authorize_path(&[("prompt", "none"), ("scope", "openid profile")]);
    let answer = browser.visit(&more).await.unwrap_err();
    assert_eq!(answer.get("error"), "consent_required");
    for unsigned in [Browser::new(&app), {
        let mut planted = Browser::new(&app);
        planted.plant("tollgate_page", "planted");
        planted
    }] {
        let mut browser = unsigned;
        let answer = browser.visit(&silent).await.unwrap_err();
        assert_eq!(answer.get("error"), "login_required");
    }
}

#[tokio::test]
async fn oau_25_whoever_has_to_sign_in_again_does() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({"first_party": true})).await;
    let person = app.person().await;
    let mut browser = Browser::signed_in(&app, &person).await;
    age(&app, &person, 100);
    for changes in [
        &[("prompt", "login")][..],
        &[("max_age", "50")],
        &[("max_age", "0")],
        &[("prompt", "login consent")],
    ] {
        age(&app, &person, 100);
        let cookie = browser.cookie().unwrap().1.to_owned();
        let page = browser.visit(&client.authorize_path(changes)).await;
        let page = page.unwrap();
        assert!(page.path.starts_with("/oauth/sign-in"), "{changes:?}");
        assert!(page.response.text().contains(person.email()));
        // Going on without having signed in leads back to the same page.
        let request = page.hidden("request").unwrap();
        let go_on = format!("/oauth/continue?request={request}");
        let again = browser.visit(&go_on).await.unwrap();
        assert!(again.path.starts_with("/oauth/sign-in"), "{changes:?}");
        let wrong = [("email", person.email()), ("password", "wrong")];
        let wrong = browser.submit(&page, "/oauth/sign-in", &wrong).await;
        wrong.unwrap().response.expect_page(401);
        let answer = match browser.sign_in(&again, &person).await {
            Err(answer) => answer,
            Ok(consent) => {
                let yes = [("decision", "allow")];
                let allowed = browser.submit(&consent, "/oauth/consent", &yes).await;
                allowed.unwrap_err()
            }
        };
        let tokens = client.redeem(answer.code()).await.expect(200).json();
        let claims = decode_part(text(&tokens, "id_token"), 1);
        let ago = now() - claims["auth_time"].as_i64().unwrap();
        assert!(ago < 50, "{ago}");
        assert_ne!(browser.cookie().unwrap().1, cookie, "SES-02");
    }
    age(&app, &person, 100);
    let recent = client.authorize_path(&[("max_age", "10000")]);
    browser.visit(&recent).await.unwrap_err().code();
    let silent = client.authorize_path(&[("max_age", "50"), ("prompt", "none")]);
    let answer = browser.visit(&silent).await.unwrap_err();
    assert_eq!(answer.get("error"), "login_required");
    let usually = App::register(&app, json!({"first_party": true, "default_max_age": 50})).await;
    let page = browser.visit(&usually.authorize_path(&[])).await.unwrap();
    assert!(page.path.starts_with("/oauth/sign-in"));
}

#[tokio::test]
async fn oau_25_tok_10_a_hint_is_an_id_token_of_whoever_is_signed_in() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({"first_party": true})).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let eves = client.tokens(&eve, &[]).await;
    let hint = text(&eves, "id_token");
    let mut browser = Browser::signed_in(&app, &ada).await;
    let silent = client.authorize_path(&[("id_token_hint", hint), ("prompt", "none")]);
    let answer = browser.visit(&silent).await.unwrap_err();
    assert_eq!(answer.get("error"), "login_required");
    let path = client.authorize_path(&[("id_token_hint", hint)]);
    let page = browser.visit(&path).await.unwrap();
    assert!(page.path.starts_with("/oauth/sign-in"));
    // Proving to be the wrong one is of no use.
    let again = browser.sign_in(&page, &ada).await.unwrap();
    assert!(again.path.starts_with("/oauth/sign-in"));
    let answer = browser.sign_in(&again, &eve).await.unwrap_err();
    let tokens = client.redeem(answer.code()).await.expect(200).json();
    let claims = decode_part(text(&tokens, "id_token"), 1);
    assert_eq!(claims["sub"], eve.id());
    browser.visit(&silent).await.unwrap_err().code();
    for no_hint in [
        text(&eves, "access_token"),
        text(&eves, "refresh_token"),
        "x.y.z",
    ] {
        let path = client.authorize_path(&[("id_token_hint", no_hint)]);
        let answer = browser.visit(&path).await.unwrap_err();
        assert_eq!(answer.get("error"), "invalid_request");
    }
    // And it is no access token.
    for token in [hint, text(&eves, "refresh_token")] {
        assert_eq!(crate::harness::use_bearer(&app, token).await, 401);
        let request = app.request("GET", "/oauth/userinfo").bearer_auth(token);
        assert_eq!(app.send(request).await.status(), 401);
    }
}

#[tokio::test]
async fn oau_25_of_several_accounts_one_is_chosen() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({"first_party": true})).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let mut browser = Browser::signed_in(&app, &ada).await;
    age(&app, &ada, 100);
    let path = client.authorize_path(&[("prompt", "select_account")]);
    let page = browser.visit(&path).await.unwrap();
    assert!(page.path.starts_with("/oauth/select-account"), "{page:?}");
    let other = [("account", "other")];
    let sign_in = browser.submit(&page, "/oauth/select-account", &other).await;
    let answer = browser.sign_in(&sign_in.unwrap(), &eve).await.unwrap_err();
    let tokens = client.redeem(answer.code()).await.expect(200).json();
    let claims = decode_part(text(&tokens, "id_token"), 1);
    assert_eq!(claims["sub"], eve.id());
    age(&app, &eve, 100);
    let page = browser.visit(&path).await.unwrap();
    let me = [("account", "current")];
    let chosen = browser.submit(&page, "/oauth/select-account", &me).await;
    chosen.unwrap_err().code();
    let silent = client.authorize_path(&[("prompt", "none")]);
    browser.visit(&silent).await.unwrap_err().code();
}

#[tokio::test]
async fn what_userinfo_tells_is_signed_for_whoever_registered_so() {
    let app = TestApp::shared();
    let changes = json!({"first_party": true, "userinfo_signed_response_alg": "RS256"});
    let client = App::register(&app, changes).await;
    let person = app.person().await;
    let tokens = client.tokens(&person, &[("scope", "openid email")]).await;
    let request = app
        .request("GET", "/oauth/userinfo")
        .bearer_auth(text(&tokens, "access_token"));
    let told = app.send(request).await.expect(200);
    assert_eq!(told.header("content-type"), "application/jwt");
    assert_eq!(told.header("cache-control"), "no-store");
    let claims = verified(&app, &told.text()).await;
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], client.id, "Core section 5.3.2");
    assert_eq!(claims["sub"], person.id());
    assert_eq!(claims["email"], person.email());
    // Good for nothing else (TOK-10).
    assert_eq!(use_bearer(&app, &told.text()).await, 401);
    let hint = [("id_token_hint", told.text())];
    let hint = [(hint[0].0, hint[0].1.as_str()), ("prompt", "none")];
    let answer = client.answer(&person, &hint).await;
    assert_eq!(answer.get("error"), "invalid_request");
}
