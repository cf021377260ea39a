//! Codes and refresh tokens at the token endpoint (OAU-03 to 08).

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{
    App, Browser, CALLBACK, DEVICE_GRANT, Key, Person, TestApp, decode_part, query, query_value,
    text, use_bearer, with,
};

fn session_of(tokens: &Value) -> String {
    let claims = decode_part(text(tokens, "access_token"), 1);
    claims["sid"].as_str().unwrap().to_owned()
}

fn end_reason(app: &TestApp, tokens: &Value) -> String {
    let id = session_of(tokens);
    let sql =
        format!("select coalesce(end_reason, 'lives') as value from sessions where id = '{id}'");
    query_value(app.database(), &sql)
}

#[tokio::test]
async fn oau_03_a_code_that_comes_twice_ends_what_it_was_redeemed_for() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let answer = client.answer(&person, &[]).await;
    let code = answer.code();
    let tokens = client.redeem(code).await.expect(200).json();
    assert_eq!(use_bearer(&app, text(&tokens, "access_token")).await, 200);
    client.redeem(code).await.expect_error(400, "invalid_grant");
    assert_eq!(use_bearer(&app, text(&tokens, "access_token")).await, 401);
    let refused = client.refresh(text(&tokens, "refresh_token")).await;
    refused.expect_error(400, "invalid_grant");
    assert_eq!(end_reason(&app, &tokens), "code_reused");
    // The person's own session is another.
    assert_eq!(use_bearer(&app, person.access_token()).await, 200);
}

#[tokio::test]
async fn oau_03_of_fifty_parallel_redemptions_one_gets_tokens() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let replica = app
        .replica(&[("TOLLGATE_LIMITS__ENABLED", "false")])
        .unwrap();
    // Those of first-party clients are redeemed without a transaction.
    for first_party in [false, true] {
        let client = App::register(&app, json!({"first_party": first_party})).await;
        let answer = client.answer(&app.person().await, &[]).await;
        let elsewhere = client.at(&replica);
        // Both replicas know the client before the race begins.
        while elsewhere.redeem("x").await.status() == 401 {
            tokio::task::yield_now().await;
        }
        let redeemed = join_all((0..50).map(|index| {
            let client = if index % 2 == 0 { &client } else { &elsewhere };
            client.redeem(answer.code())
        }))
        .await;
        let (good, bad): (Vec<_>, Vec<_>) = redeemed
            .into_iter()
            .partition(|response| response.status() == 200);
        assert_eq!(good.len(), 1);
        for refused in bad {
            refused.expect_error(400, "invalid_grant");
        }
        assert_eq!(end_reason(&app, &good[0].json()), "code_reused");
        let sessions = "select count(*)::text as value from sessions where client_id = ";
        let count = query_value(app.database(), &format!("{sessions}'{}'", client.id));
        assert_eq!(count, "1");
    }
}

#[tokio::test]
async fn oau_04_a_code_lives_a_minute_and_fits_one_request_alone() {
    let app = TestApp::shared();
    let other = "https://client.example/other";
    let client = App::register(&app, json!({"redirect_uris": [CALLBACK, other]})).await;
    let person = app.person().await;
    let answer = client.answer(&person, &[]).await;
    let redemption = App::redemption(answer.code());
    for uri in [other, "https://client.example/callback/"] {
        let fields = with(&redemption, &[("redirect_uri", uri)]);
        let refused = client.token(&fields).await;
        refused.expect_error(400, "invalid_grant");
    }
    let ours = format!("from authorization_codes where client_id = '{}'", client.id);
    let lifetime = "select round(extract(epoch from expires_at - created_at))::text as value";
    let lifetime = lifetime.replace("created_at", "clock_timestamp()");
    let seconds = query_value(app.database(), &format!("{lifetime} {ours}"));
    assert!(
        (1..=60).contains(&seconds.parse::<i32>().unwrap()),
        "{seconds}"
    );
    let age = "update authorization_codes set expires_at = clock_timestamp() - interval '1 ms'";
    query(
        app.database(),
        &format!("{age} where client_id = '{}'", client.id),
    );
    let refused = client.redeem(answer.code()).await;
    refused.expect_error(400, "invalid_grant");
    for code in ["x", "", "\u{1F600}"] {
        let fields = with(&redemption, &[("code", code)]);
        let error = if code.is_empty() {
            "invalid_request"
        } else {
            "invalid_grant"
        };
        client.token(&fields).await.expect_error(400, error);
    }
}

/// How often something about a person was written down.
fn audited(app: &TestApp, person: &Person, action: &str) -> String {
    let sql = format!(
        "select count(*)::text as value from audit_events where subject_id = '{}' and action = '{action}'",
        person.id()
    );
    query_value(app.database(), &sql)
}

#[tokio::test]
async fn oau_05_what_was_given_to_one_client_is_worth_nothing_to_another() {
    let app = TestApp::shared();
    let grants = json!({"grant_types": ["authorization_code", "refresh_token", DEVICE_GRANT]});
    let client = App::register(&app, grants.clone()).await;
    let public = App::register(&app, grants.clone()).await;
    let confidential = App::confidential(&app, grants).await;
    let person = app.person().await;
    let answer = client.answer(&person, &[]).await;
    for thief in [&public, &confidential] {
        let refused = thief.redeem(answer.code()).await;
        refused.expect_error(400, "invalid_grant");
    }
    // They have not spoilt it.
    let tokens = client.redeem(answer.code()).await.expect(200).json();
    let refresh_token = text(&tokens, "refresh_token");
    for (index, thief) in [&public, &confidential].into_iter().enumerate() {
        let refused = thief.refresh(refresh_token).await;
        refused.expect_error(400, "invalid_grant");
        let count = audited(&app, &person, "session.refresh_refused");
        assert_eq!(count, (index + 1).to_string(), "written down");
    }
    // Nor is it good where our own apps refresh.
    let body = json!({"refresh_token": refresh_token});
    app.post("/v1/tokens", body).await.expect(401);
    assert_eq!(audited(&app, &person, "session.refresh_refused"), "3");
    let own = client.refresh(person.refresh_token()).await;
    own.expect_error(400, "invalid_grant");
    client.refresh(refresh_token).await.expect(200);
    person.refresh().await.expect(200);

    let codes = client.post("/oauth/device_authorization", &[]).await;
    let codes = codes.expect(200).json();
    let poll = [
        ("grant_type", DEVICE_GRANT),
        ("device_code", text(&codes, "device_code")),
    ];
    for thief in [&public, &confidential] {
        thief.token(&poll).await.expect_error(400, "invalid_grant");
    }
    let pending = client.token(&poll).await;
    pending.expect_error(400, "authorization_pending");
}

#[tokio::test]
async fn oau_06_oau_08_a_refresh_rotates_and_narrows_and_never_widens() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let asked = [("scope", "openid email account:read")];
    let tokens = client.tokens(&person, &asked).await;
    assert_eq!(tokens["scope"], "account:read email openid");
    let first = text(&tokens, "refresh_token");
    let narrow = |token| {
        [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("scope", "email"),
        ]
    };
    for wide in ["openid profile", "email users:read", "offline_access"] {
        let fields = with(&narrow(first), &[("scope", wide)]);
        let refused = client.token(&fields).await;
        refused.expect_error(400, "invalid_scope");
    }
    let second = client.token(&narrow(first)).await.expect(200).json();
    assert_eq!(second["scope"], "email");
    assert_eq!(second.get("id_token"), None, "without openid");
    assert_ne!(second["refresh_token"], tokens["refresh_token"]);
    // The session keeps what it may.
    let third = client.refresh(text(&second, "refresh_token")).await;
    let third = third.expect(200).json();
    assert_eq!(third["scope"], "account:read email openid");
    let hint = decode_part(text(&third, "id_token"), 1);
    let before = decode_part(text(&tokens, "id_token"), 1);
    for kept in ["sub", "aud", "auth_time", "sid", "iss"] {
        assert_eq!(hint[kept], before[kept], "{kept}");
    }
    // Two behind: somebody else has it, too.
    client
        .refresh(first)
        .await
        .expect_error(400, "invalid_grant");
    assert_eq!(end_reason(&app, &tokens), "refresh_token_reused");
    let last = client.refresh(text(&third, "refresh_token")).await;
    last.expect_error(400, "invalid_grant");
    for token in [&tokens, &second, &third] {
        assert_eq!(use_bearer(&app, text(token, "access_token")).await, 401);
    }
}

#[tokio::test]
async fn oau_07_fifty_parallel_refreshes_on_two_replicas_have_one_successor() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let replica = app
        .replica(&[("TOLLGATE_LIMITS__ENABLED", "false")])
        .unwrap();
    let client = App::register(&app, json!({})).await;
    let tokens = client.tokens(&app.person().await, &[]).await;
    let elsewhere = client.at(&replica);
    while elsewhere.refresh("x").await.status() == 401 {
        tokio::task::yield_now().await;
    }
    let first = text(&tokens, "refresh_token");
    let refreshed = join_all((0..50).map(|index| {
        let client = if index % 2 == 0 { &client } else { &elsewhere };
        client.refresh(first)
    }))
    .await;
    let successors: HashSet<_> = refreshed
        .into_iter()
        .map(|response| response.expect(200).at("/refresh_token").to_string())
        .collect();
    assert_eq!(successors.len(), 1, "one lineage");
    assert_eq!(end_reason(&app, &tokens), "lives");
}

#[tokio::test]
async fn oau_08_a_refresh_token_of_a_public_client_needs_its_key() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let (key, other) = (Key::new(), Key::new());
    let person = app.person().await;
    let answer = client.answer(&person, &[]).await;
    let redemption = App::redemption(answer.code());
    let tokens = client.token_with(&key, &redemption).await.expect(200);
    let tokens = tokens.json();
    assert_eq!(tokens["token_type"], "DPoP");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&tokens, "refresh_token")),
    ];
    client
        .token(&fields)
        .await
        .expect_error(400, "invalid_grant");
    let stolen = client.token_with(&other, &fields).await;
    stolen.expect_error(400, "invalid_grant");
    assert_eq!(audited(&app, &person, "session.refresh_refused"), "2");
    let refreshed = client.token_with(&key, &fields).await.expect(200).json();
    let claims = decode_part(text(&refreshed, "access_token"), 1);
    assert_eq!(claims["cnf"], json!({"jkt": key.thumbprint()}));
}

#[tokio::test]
async fn nobody_who_may_not_sign_in_gets_tokens_for_what_they_had() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let administrator = app.administrator().await;
    let person = app.person().await;
    let tokens = client.tokens(&person, &[]).await;
    let answer = client.answer(&person, &[]).await;
    let account = format!("/v1/users/{}", person.id());
    let disabled = json!({"disabled": true});
    administrator.patch(&account, disabled).await.expect(200);
    let refused = client.redeem(answer.code()).await;
    refused.expect_error(400, "invalid_grant");
    let refused = client.refresh(text(&tokens, "refresh_token")).await;
    refused.expect_error(400, "invalid_grant");
    assert_eq!(use_bearer(&app, text(&tokens, "access_token")).await, 401);
}

#[tokio::test]
async fn a_code_is_worth_nothing_after_the_person_has_taken_it_back() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let answer = client.answer(&person, &[]).await;
    let consent = format!("/v1/users/me/consents/{}", client.id);
    person.delete(&consent).await.expect(204);
    let refused = client.redeem(answer.code()).await;
    refused.expect_error(400, "invalid_grant");
    // Nor after they have signed out where they allowed it.
    let mut browser = Browser::new(&app);
    let path = client.authorize_path(&[]);
    let answer = browser.authorize(&path, &person).await;
    person.delete("/v1/sessions").await.expect(204);
    let refused = client.redeem(answer.code()).await;
    refused.expect_error(400, "invalid_grant");
}

/// A consent is taken back while a code is being redeemed: whichever comes first, nothing is left over.
#[tokio::test]
async fn of_redeeming_and_taking_back_at_once_no_session_is_left() {
    let app = TestApp::shared();
    let client = App::register(&app, json!({})).await;
    let person = app.person().await;
    let consent = format!("/v1/users/me/consents/{}", client.id);
    for _ in 0..10 {
        let answer = client.answer(&person, &[]).await;
        let (redeemed, taken) = tokio::join!(client.redeem(answer.code()), person.delete(&consent));
        taken.expect(204);
        if redeemed.status() == 200 {
            let refresh = text(&redeemed.json(), "refresh_token").to_owned();
            let refused = client.refresh(&refresh).await;
            refused.expect_error(400, "invalid_grant");
        } else {
            redeemed.expect_error(400, "invalid_grant");
        }
    }
}

#[tokio::test]
async fn ses_05_whoever_signs_out_is_signed_out_of_what_is_redeemed_meanwhile() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let replica = app
        .replica(&[("TOLLGATE_LIMITS__ENABLED", "false")])
        .unwrap();
    let client = App::register(&app, json!({"first_party": true})).await;
    let person = app.person().await;
    // A replica knows a new client within a second.
    while client.at(&replica).redeem("nothing").await.status() == 401 {}
    for round in 0..12 {
        let mut browser = Browser::signed_in(&app, &person).await;
        let answer = browser.visit(&client.authorize_path(&[])).await;
        let code = answer.unwrap_err().code().to_owned();
        let page = browser.visit("/oauth/logout").await.unwrap();
        let there = client.at(&replica);
        let redeemed = async {
            // Before, in the middle, after.
            tokio::time::sleep(std::time::Duration::from_millis(round)).await;
            there.redeem(&code).await
        };
        let (_done, redeemed) = tokio::join!(browser.submit(&page, "/oauth/logout", &[]), redeemed);
        match redeemed.status() {
            200 => {
                let tokens = redeemed.json();
                let refused = client.refresh(text(&tokens, "refresh_token")).await;
                refused.expect_error(400, "invalid_grant");
                assert_eq!(use_bearer(&app, text(&tokens, "access_token")).await, 401);
            }
            _ => drop(redeemed.expect_error(400, "invalid_grant")),
        }
    }
}

#[tokio::test]
async fn what_is_redeemed_while_its_client_is_deleted_does_not_live() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let (administrator, person) = (app.administrator().await, app.person().await);
    let mut browser = Browser::signed_in(&app, &person).await;
    for round in 0..12 {
        let client = App::register(&app, json!({"first_party": true})).await;
        let answer = browser.visit(&client.authorize_path(&[])).await;
        let code = answer.unwrap_err().code().to_owned();
        let redeemed = async {
            tokio::time::sleep(std::time::Duration::from_millis(round / 2)).await;
            client.redeem(&code).await
        };
        let path = format!("/v1/clients/{}", client.id);
        let (deleted, _redeemed) = tokio::join!(administrator.delete(&path), redeemed);
        deleted.expect(204);
        let alive = format!(
            "select count(*)::text as value from sessions where client_id = '{}' and ended_at is null",
            client.id
        );
        assert_eq!(query_value(app.database(), &alive), "0");
    }
}
