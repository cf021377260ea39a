//! Signing in, refreshing, devices, signing out.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, TestApp, query, query_value};

#[tokio::test]
async fn signing_in_answers_a_pair() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let body = json!({"email": ada.email().to_uppercase(), "password": PASSWORD});
    let response = app.post("/v1/sessions", body).await.expect(201);
    let pair = response.json();
    let members: Vec<_> = pair.as_object().unwrap().keys().cloned().collect();
    let expected = [
        "access_token",
        "expires_in",
        "refresh_expires_in",
        "refresh_token",
        "scope",
        "session_id",
        "token_type",
    ];
    assert_eq!(members, expected);
    assert_eq!(
        response.header("location"),
        format!("/v1/sessions/{}", pair["session_id"].as_str().unwrap())
    );
    assert_eq!(response.header("cache-control"), "no-store");
    assert_eq!(
        (&pair["token_type"], &pair["expires_in"]),
        (&json!("Bearer"), &json!(3600))
    );
    assert_eq!(
        pair["scope"],
        "account:read account:write channels:read channels:write records:read records:write sessions:self"
    );
}

#[tokio::test]
async fn pwd_02_unknown_wrong_and_disabled_are_told_alike() {
    let app = TestApp::shared();
    let (ada, gone) = (app.person().await, app.person().await);
    let administrator = app.administrator().await;
    administrator
        .patch(
            &format!("/v1/users/{}", gone.id()),
            json!({"disabled": true}),
        )
        .await
        .expect(200);
    let mut answers = Vec::new();
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        (ada.email(), "not the password"),
        (gone.email(), PASSWORD),
    ] {
        let response = app
            .post(
                "/v1/sessions",
                json!({"email": email, "password": password}),
            )
            .await;
        let response = response.expect_problem(401, "invalid-credentials");
        let mut body = response.json();
        body.as_object_mut().unwrap().remove("instance");
        let mut names: Vec<_> = response.headers().keys().map(ToString::to_string).collect();
        names.sort_unstable();
        answers.push((body, names, response.header("content-length").to_owned()));
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_pair_may_do_less_but_never_more() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let narrow = Person::sign_in(&app, ada.email(), PASSWORD, Some("account:read")).await;
    assert_eq!(narrow.pair()["scope"], "account:read");
    narrow.get("/v1/users/me").await.expect(200);
    narrow
        .patch("/v1/users/me", json!({"name": "x"}))
        .await
        .expect_problem(403, "insufficient-scope");
    for scope in [
        "users:read",
        "account:read users:write",
        "nonsense",
        "a:b:c",
    ] {
        let body = json!({"email": ada.email(), "password": PASSWORD, "scope": scope});
        let refused = app
            .post("/v1/sessions", body)
            .await
            .expect_problem(422, "validation-failed");
        assert_eq!(refused.at("/errors/0/pointer"), "/scope");
    }
    // The session keeps what it has, its tokens may do less, and a narrow session never widens.
    let body = json!({"refresh_token": ada.refresh_token(), "scope": "account:read"});
    let next = app.post("/v1/tokens", body).await.expect(200).json();
    assert_eq!(next["scope"], "account:read");
    let wide = app
        .post(
            "/v1/tokens",
            json!({"refresh_token": next["refresh_token"]}),
        )
        .await
        .expect(200);
    assert_eq!(
        wide.at("/scope"),
        "account:read account:write channels:read channels:write records:read records:write sessions:self"
    );
    let widen =
        json!({"refresh_token": narrow.refresh_token(), "scope": "account:read account:write"});
    app.post("/v1/tokens", widen)
        .await
        .expect_problem(422, "validation-failed");
    // The refused wish cost nothing: the token is as good as before.
    narrow.refresh().await.expect(200);
}

#[tokio::test]
async fn ses_06_idle_and_absolute_lifetimes_are_kept_by_the_database_clock() {
    let app = TestApp::own(&[
        ("TOLLGATE_LIMITS__ENABLED", "false"),
        ("TOLLGATE_SESSIONS__IDLE_LIFETIME", "10d"),
        ("TOLLGATE_SESSIONS__ABSOLUTE_LIFETIME", "30d"),
    ]);
    let (idle, old) = (app.person().await, app.person().await);
    assert!((863_990..=864_000).contains(&idle.pair()["refresh_expires_in"].as_i64().unwrap()));
    query(
        app.database(),
        &format!(
            "update sessions set refresh_exp = now() - interval '1 s' where id = '{}'",
            idle.session_id()
        ),
    );
    idle.refresh().await.expect_problem(401, "invalid-grant");
    assert_eq!(idle.get("/v1/sessions").await.at("/items"), json!([]));
    query(
        app.database(),
        &format!(
            "update sessions set absolute_exp = now() + interval '1 h' where id = '{}'",
            old.session_id()
        ),
    );
    let left = old
        .refresh()
        .await
        .expect(200)
        .at("/refresh_expires_in")
        .as_i64()
        .unwrap();
    assert!(
        (3_590..=3_600).contains(&left),
        "never beyond the absolute end: {left}"
    );
}

#[tokio::test]
async fn devices_are_listed_and_signed_out_by_id() {
    let app = TestApp::shared();
    let phone = app.person().await;
    let laptop = phone.another_device().await;
    let tablet = phone.another_device().await;
    let items = phone.get("/v1/sessions").await.expect(200).at("/items");
    let listed: Vec<_> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["id"].clone(), item["current"].clone()))
        .collect();
    let expected = [
        (tablet.session_id(), false),
        (laptop.session_id(), false),
        (phone.session_id(), true),
    ];
    assert_eq!(
        listed,
        expected.map(|(id, current)| (json!(id), json!(current)))
    );
    assert_eq!(items[0]["address"], "127.0.0.1");
    let current = phone.get("/v1/sessions/current").await.expect(200).json();
    assert_eq!(
        current,
        phone
            .get(&format!("/v1/sessions/{}", phone.session_id()))
            .await
            .expect(200)
            .json()
    );
    phone
        .delete(&format!("/v1/sessions/{}", laptop.session_id()))
        .await
        .expect(204);
    let ended = phone
        .get(&format!("/v1/sessions/{}", laptop.session_id()))
        .await
        .expect(200);
    assert_eq!(ended.at("/end_reason"), "signed_out");
    phone
        .delete(&format!("/v1/sessions/{}", laptop.session_id()))
        .await
        .expect(204);
    let again = phone
        .get(&format!("/v1/sessions/{}", laptop.session_id()))
        .await;
    assert_eq!(again.at("/ended_at"), ended.at("/ended_at"));
    let items = phone
        .get("/v1/sessions?state=ended")
        .await
        .expect(200)
        .at("/items");
    assert_eq!(items, json!([ended.json()]));
    laptop.refresh().await.expect_problem(401, "invalid-grant");
    tablet.refresh().await.expect(200);
}

#[tokio::test]
async fn signing_out_here_and_everywhere_else() {
    let app = TestApp::shared();
    let phone = app.person().await;
    let (laptop, tablet) = (phone.another_device().await, phone.another_device().await);
    phone.delete("/v1/sessions").await.expect(204);
    laptop.refresh().await.expect_problem(401, "invalid-grant");
    tablet.refresh().await.expect_problem(401, "invalid-grant");
    assert_eq!(
        phone
            .get("/v1/sessions")
            .await
            .at("/items")
            .as_array()
            .unwrap()
            .len(),
        1
    );
    phone.delete("/v1/sessions/current").await.expect(204);
    phone.refresh().await.expect_problem(401, "invalid-grant");
}

#[tokio::test]
async fn res_01_sessions_of_others_do_not_exist_but_for_those_who_may() {
    let app = TestApp::shared();
    let (ada, bob) = (app.person().await, app.person().await);
    let path = format!("/v1/sessions/{}", bob.session_id());
    ada.get(&path).await.expect_problem(404, "not-found");
    ada.delete(&path).await.expect_problem(404, "not-found");
    let keeper = app.user("sessions:write").await;
    assert_eq!(keeper.get(&path).await.expect(200).at("/user_id"), bob.id());
    // Bob may do more than the keeper's narrow token: seen, but not touched.
    keeper
        .delete(&path)
        .await
        .expect_problem(403, "above-own-scopes");
    bob.refresh().await.expect(200);
    app.administrator().await.delete(&path).await.expect(204);
}

#[tokio::test]
async fn disabling_an_account_ends_its_sessions() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let administrator = app.administrator().await;
    let path = format!("/v1/users/{}", ada.id());
    administrator
        .patch(&path, json!({"disabled": true}))
        .await
        .expect(200);
    ada.refresh().await.expect_problem(401, "invalid-grant");
    let body = json!({"email": ada.email(), "password": PASSWORD});
    app.post("/v1/sessions", body.clone())
        .await
        .expect_problem(401, "invalid-credentials");
    administrator
        .patch(&path, json!({"disabled": false}))
        .await
        .expect(200);
    ada.refresh().await.expect_problem(401, "invalid-grant");
    app.post("/v1/sessions", body).await.expect(201);
}

#[tokio::test]
async fn what_roles_allow_follows_at_the_next_refresh() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let administrator = app.administrator().await;
    let role = format!("r{}", uuid::Uuid::now_v7().simple());
    administrator
        .put(
            &format!("/v1/roles/{role}"),
            json!({"scopes": ["users:read"]}),
        )
        .await
        .expect(201);
    let given = format!("/v1/users/{}/roles/{role}", ada.id());
    administrator.put(&given, Value::Null).await.expect(204);
    let reader = ada.another_device().await;
    reader.get("/v1/users?limit=1").await.expect(200);
    administrator.delete(&given).await.expect(204);
    let next = reader.refresh().await.expect(200).json();
    assert_eq!(
        next["scope"],
        "account:read account:write channels:read channels:write records:read records:write sessions:self"
    );
    let claims = crate::harness::decode_part(next["access_token"].as_str().unwrap(), 1);
    assert_eq!(claims["roles"], json!(["user"]));
}

#[tokio::test]
async fn a_session_is_seen_when_it_is_used_and_written_down_once_a_minute() {
    let app = TestApp::own(&[]);
    let ada = app.person().await;
    let seen = "select extract(epoch from now() - last_seen_at)::bigint::text as value from sessions limit 1";
    let long_unseen = "update sessions set last_seen_at = now() - interval '10 minutes'";
    query(app.database(), long_unseen);
    ada.get("/v1/tokens/current").await.expect(200);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while query_value(app.database(), seen).parse::<i64>().unwrap() > 60 {
        assert!(std::time::Instant::now() < deadline, "a use is seen");
        tokio::task::yield_now().await;
    }
    // Uses within the minute write nothing, here or at a replica.
    let version = "select xmin::text as value from sessions limit 1";
    let before = query_value(app.database(), version);
    let replica = app.replica(&[]).unwrap();
    for server in [&app, &replica] {
        let request = server.request("GET", "/v1/tokens/current");
        server
            .send(request.bearer_auth(ada.access_token()))
            .await
            .expect(200);
    }
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    assert_eq!(query_value(app.database(), version), before);
}

#[tokio::test]
async fn whoever_was_signed_out_can_see_why() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let administrator = app.administrator().await;
    let ada = app.person().await;
    let expect = async |device: &Person, words: &str, reason: &str| {
        let refused = device
            .refresh()
            .await
            .expect_problem(401, "invalid-grant")
            .at("/detail");
        assert!(refused.as_str().unwrap().contains(words), "{refused}");
        let path = format!("/v1/sessions/{}", device.session_id());
        let session = administrator.get(&path).await.expect(200);
        assert_eq!(session.at("/end_reason"), reason);
        assert_ne!(session.at("/ended_at"), Value::Null);
    };
    let device = ada.another_device().await;
    device.delete("/v1/sessions/current").await.expect(204);
    expect(&device, "signed out", "signed_out").await;
    let device = ada.another_device().await;
    device.refresh().await.expect(200);
    query(
        app.database(),
        &format!(
            "update sessions set gen = gen + 1 where id = '{}'",
            device.session_id()
        ),
    );
    expect(&device, "used by two", "refresh_token_reused").await;
    let device = ada.another_device().await;
    query(
        app.database(),
        &format!(
            "update sessions set refresh_exp = now() - interval '1 minute' where id = '{}'",
            device.session_id()
        ),
    );
    expect(&device, "not refreshed in time", "expired").await;
    let device = ada.another_device().await;
    let body =
        json!({"current_password": PASSWORD, "new_password": "another horse battery staple"});
    ada.put("/v1/users/me/password", body).await.expect(204);
    expect(&device, "password was changed", "password_changed").await;
    // The user sees the same.
    let mine = ada
        .get("/v1/sessions?state=ended&limit=2")
        .await
        .expect(200);
    assert_eq!(mine.at("/items/0/end_reason"), "password_changed");
    assert_eq!(mine.at("/items/1/end_reason"), "expired", "as it was");
    assert!(mine.header("link").contains("state=ended"));
    let alive = ada.get("/v1/sessions").await.at("/items");
    assert_eq!(alive.as_array().unwrap().len(), 1);
    assert_eq!(alive[0]["end_reason"], Value::Null);
    ada.get("/v1/sessions?state=dead")
        .await
        .expect_problem(400, "invalid-query");
    // And not for ever.
    query(
        app.database(),
        "update sessions set ended_at = ended_at - interval '91 days' where ended_at is not null",
    );
    let mut conn = <diesel::PgConnection as diesel::Connection>::establish(app.database()).unwrap();
    tollgate::sessions::purge(&mut conn).unwrap();
    let left = ada.get("/v1/sessions?state=ended").await.at("/items");
    assert_eq!(left, json!([]));
}
