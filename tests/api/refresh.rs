//! The table of refreshing: tabs, lost answers, thieves (OAU-05..08).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, Response, TestApp, decode_part, query, query_value};

async fn present(app: &TestApp, token: &Value) -> Response {
    app.post("/v1/tokens", json!({"refresh_token": token}))
        .await
}

/// Lets the last rotation have been longer ago.
fn age(app: &TestApp, person: &Person, interval: &str) {
    let sql = format!(
        "update sessions set rotated_at = rotated_at - interval '{interval}' where id = '{}'",
        person.session_id()
    );
    query(app.database(), &sql);
}

/// Uses an access token at our API and waits until that is written down.
async fn use_and_await(app: &TestApp, person: &Person, token: &Value) {
    let token = token.as_str().unwrap();
    let generation = decode_part(token, 1)["gen"].to_string();
    let request = app.request("GET", "/v1/tokens/current").bearer_auth(token);
    app.send(request).await.expect(200);
    let acked = format!(
        "select gen_acked::text as value from sessions where id = '{}'",
        person.session_id()
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    while query_value(app.database(), &acked) != generation {
        assert!(
            Instant::now() < deadline,
            "a use is written down within a second"
        );
        tokio::task::yield_now().await;
    }
}

fn end_reason(app: &TestApp, person: &Person) -> String {
    let sql = format!(
        "select coalesce(end_reason, 'alive') as value from sessions where id = '{}'",
        person.session_id()
    );
    query_value(app.database(), &sql)
}

#[tokio::test]
async fn the_next_pair_belongs_to_the_next_generation() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let next = ada.refresh().await.expect(200).json();
    assert_eq!(next["session_id"], ada.session_id());
    assert_ne!(next["refresh_token"], ada.refresh_token());
    assert_eq!(
        decode_part(next["access_token"].as_str().unwrap(), 1)["gen"],
        1
    );
    present(&app, &next["refresh_token"]).await.expect(200);
}

#[tokio::test]
async fn oau_07_fifty_uses_at_once_on_two_replicas_leave_one_lineage() {
    let app = TestApp::shared();
    let replica = app
        .replica(&[("TOLLGATE_LIMITS__ENABLED", "false")])
        .unwrap();
    let ada = app.person().await;
    let uses: Vec<_> = (0..50)
        .map(|index| {
            let app = if index % 2 == 0 {
                app.clone()
            } else {
                replica.clone()
            };
            let token = json!(ada.refresh_token());
            tokio::spawn(async move { present(&app, &token).await })
        })
        .collect();
    let mut successors = Vec::new();
    for attempt in uses {
        successors.push(attempt.await.unwrap().expect(200).at("/refresh_token"));
    }
    assert!(
        successors
            .iter()
            .all(|successor| *successor == successors[0]),
        "byte for byte"
    );
    let generation = format!(
        "select gen::text as value from sessions where id = '{}'",
        ada.session_id()
    );
    assert_eq!(query_value(app.database(), &generation), "1");
    present(&app, &successors[0]).await.expect(200);
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again_at_any_age() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let lost = ada.refresh().await.expect(200).at("/refresh_token");
    age(&app, &ada, "20 days");
    let found = ada.refresh().await.expect(200).at("/refresh_token");
    assert_eq!(
        decode_part(found.as_str().unwrap(), 1)["gen"],
        decode_part(lost.as_str().unwrap(), 1)["gen"]
    );
    present(&app, &found).await.expect(200);
}

#[tokio::test]
async fn tabs_get_the_same_successor_within_thirty_seconds_though_it_is_in_use() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let first = ada.refresh().await.expect(200).json();
    use_and_await(&app, &ada, &first["access_token"]).await;
    age(&app, &ada, "28 s");
    let second = ada.refresh().await.expect(200);
    assert_eq!(
        decode_part(second.at("/access_token").as_str().unwrap(), 1)["gen"],
        1
    );
    assert_eq!(end_reason(&app, &ada), "alive");
}

#[tokio::test]
async fn oau_06_a_used_token_that_comes_back_later_ends_the_session_with_a_reason() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let next = ada.refresh().await.expect(200).json();
    use_and_await(&app, &ada, &next["access_token"]).await;
    age(&app, &ada, "40 s");
    // Another replica, or the same one after a restart, knows as much.
    let replica = app.replica(&[]).unwrap();
    present(&replica, &json!(ada.refresh_token()))
        .await
        .expect_problem(401, "invalid-grant");
    assert_eq!(end_reason(&app, &ada), "refresh_token_reused");
    present(&app, &next["refresh_token"])
        .await
        .expect_problem(401, "invalid-grant");
    let administrator = app.administrator().await;
    let path = format!(
        "/v1/audit-events?action=session.ended&subject_id={}",
        ada.id()
    );
    let events = administrator.get(&path).await.expect(200);
    assert_eq!(events.at("/items/0/details/reason"), "refresh_token_reused");
}

#[tokio::test]
async fn oau_06_two_behind_ends_the_session_at_once() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let first = ada.refresh().await.expect(200);
    let second = present(&app, &first.at("/refresh_token")).await.expect(200);
    ada.refresh().await.expect_problem(401, "invalid-grant");
    assert_eq!(end_reason(&app, &ada), "refresh_token_reused");
    present(&app, &second.at("/refresh_token"))
        .await
        .expect_problem(401, "invalid-grant");
}

#[tokio::test]
async fn successors_are_the_same_byte_for_byte_whatever_was_configured_since() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let first = ada.refresh().await.expect(200).at("/refresh_token");
    let replica = app
        .replica(&[
            ("TOLLGATE_SESSIONS__IDLE_LIFETIME", "1d"),
            ("TOLLGATE_TOKENS__ACCESS_LIFETIME", "5m"),
        ])
        .unwrap();
    assert_eq!(
        present(&replica, &json!(ada.refresh_token()))
            .await
            .expect(200)
            .at("/refresh_token"),
        first
    );
}

#[tokio::test]
async fn a_token_for_an_api_whose_uses_we_do_not_see_can_be_asked_for_again_for_ten_minutes() {
    let audiences = r#"[{ id = "https://maps.example", algorithm = "ES256" }]"#;
    let app = TestApp::own(&[
        ("TOLLGATE_TOKENS__AUDIENCES", audiences),
        ("TOLLGATE_LIMITS__ENABLED", "false"),
    ]);
    for (interval, status) in [("9 minutes", 200), ("11 minutes", 401)] {
        let ada = app.person().await;
        let body =
            json!({"refresh_token": ada.refresh_token(), "resource": "https://maps.example"});
        app.post("/v1/tokens", body.clone()).await.expect(200);
        // Asking again and again keeps nothing open.
        app.post("/v1/tokens", body.clone()).await.expect(200);
        age(&app, &ada, interval);
        assert_eq!(
            app.post("/v1/tokens", body).await.status(),
            status,
            "{interval}"
        );
    }
}

#[tokio::test]
async fn a_wish_for_another_api_that_is_refused_costs_nothing() {
    let audiences = r#"[{ id = "https://maps.example", algorithm = "ES256" }]"#;
    let app = TestApp::own(&[("TOLLGATE_TOKENS__AUDIENCES", audiences)]);
    let ada = app.person().await;
    let body = json!({
        "refresh_token": ada.refresh_token(),
        "resource": "https://maps.example",
        "scope": "users:write",
    });
    app.post("/v1/tokens", body)
        .await
        .expect_problem(422, "validation-failed");
    age(&app, &ada, "11 minutes");
    let next = ada.refresh().await.expect(200).at("/refresh_token");
    // Nor does it, once the token has been used for this API.
    let mut body =
        json!({"refresh_token": ada.refresh_token(), "resource": "https://maps.example"});
    body["scope"] = "users:write".into();
    app.post("/v1/tokens", body).await.expect(422);
    age(&app, &ada, "11 minutes");
    let again = ada.refresh().await.expect(200).at("/refresh_token");
    let generation = |token: &Value| decode_part(token.as_str().unwrap(), 1)["gen"].clone();
    assert_eq!(generation(&again), generation(&next));
}

#[tokio::test]
async fn a_generation_from_before_origins_were_written_down_is_answered_again() {
    let app = TestApp::shared();
    let ada = app.person().await;
    ada.refresh().await.expect(200);
    let forget = format!(
        "update sessions set rotated_from = null where id = '{}'",
        ada.session_id()
    );
    query(app.database(), &forget);
    ada.refresh().await.expect(200);
}

#[test]
fn replicas_that_saw_the_same_sessions_in_use_do_not_wait_for_each_other() {
    let app = TestApp::own(&[]);
    let sessions = "insert into users (id, email, password_hash)
            values (gen_random_uuid(), 'a@example.com', '');
        insert into sessions (id, user_id, client_id, gen, scopes, rotated_at, auth_time, refresh_exp, absolute_exp, acr, amr)
        select gen_random_uuid(), users.id, 'app', 25, '{}', now(), now(), now() + '1 day', now() + '1 day', '', '{}'
        from users, generate_series(1, 300) where email = 'a@example.com'";
    query(app.database(), sessions);
    let ids = query_value(
        app.database(),
        "select string_agg(id::text, ' ') as value from sessions",
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut conn =
                    <diesel::PgConnection as diesel::Connection>::establish(app.database())
                        .unwrap();
                for generation in 0..25 {
                    // Every map has an order of its own.
                    let uses = ids
                        .split(' ')
                        .map(|id| (id.parse().unwrap(), generation))
                        .collect();
                    tollgate::sessions::acknowledge(&mut conn, &uses).unwrap();
                }
            });
        }
    });
}

#[tokio::test]
async fn oau_05_a_token_from_the_future_is_refused_and_written_down() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let next = ada.refresh().await.expect(200).json();
    // As after a restore of an older backup: the client is ahead of the database.
    query(
        app.database(),
        &format!(
            "update sessions set gen = 0 where id = '{}'",
            ada.session_id()
        ),
    );
    present(&app, &next["refresh_token"])
        .await
        .expect_problem(401, "invalid-grant");
    assert_eq!(end_reason(&app, &ada), "alive");
    let path = format!(
        "/v1/audit-events?action=session.refresh_refused&subject_id={}",
        ada.id()
    );
    let events = app.administrator().await.get(&path).await.expect(200);
    assert_eq!(events.at("/items/0/details/generation"), 1);
    ada.refresh().await.expect(200);
}

#[tokio::test]
async fn oau_08_a_repeated_answer_extends_nothing() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let expiry = |pair: &Response| {
        decode_part(pair.at("/refresh_token").as_str().unwrap(), 1)["exp"].clone()
    };
    let first = ada.refresh().await.expect(200);
    let again = ada.refresh().await.expect(200);
    assert_eq!(expiry(&first), expiry(&again));
}

#[tokio::test]
async fn a_row_that_somebody_else_holds_is_a_503_and_never_a_401() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let ada = Person::sign_in(&app, app.person().await.email(), PASSWORD, None).await;
    let mut holder =
        <diesel::PgConnection as diesel::Connection>::establish(app.database()).unwrap();
    let hold = format!(
        "begin; select 1 from sessions where id = '{}' for update",
        ada.session_id()
    );
    diesel::connection::SimpleConnection::batch_execute(&mut holder, &hold).unwrap();
    ada.refresh().await.expect_problem(503, "overloaded");
    drop(holder);
    ada.refresh().await.expect(200);
}

#[tokio::test]
async fn a_repeated_answer_to_somebody_elsewhere_is_written_down() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let from = async |agent: &str| {
        let body = json!({"refresh_token": ada.refresh_token()});
        let request = app.request("POST", "/v1/tokens").json(&body);
        app.send(request.header("user-agent", agent))
            .await
            .expect(200)
    };
    from("laptop").await;
    from("laptop").await;
    let path = format!(
        "/v1/audit-events?action=session.refresh_repeated&subject_id={}",
        ada.id()
    );
    let administrator = app.administrator().await;
    let events = administrator.get(&path).await.expect(200);
    assert_eq!(events.at("/items"), json!([]), "a tab of the same browser");
    from("somebody else").await;
    let events = administrator.get(&path).await.expect(200);
    assert_eq!(events.at("/items/0/user_agent"), "somebody else");
    assert_eq!(events.at("/items/0/details/session_id"), ada.session_id());
}
