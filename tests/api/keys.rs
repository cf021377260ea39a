//! The life of keys (KEY-03, KEY-05): published before they sign, good until the last token has expired, gone at once when
//! they must.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    MASTER_KEY, Person, Process, Response, TestApp, create_database, decode_part, directory, query,
    query_value, run,
};

async fn use_at(app: &TestApp, token: &Value) -> Response {
    let token = token.as_str().unwrap();
    let request = app.request("GET", "/v1/tokens/current").bearer_auth(token);
    app.send(request).await
}

async fn published(app: &TestApp) -> Vec<Value> {
    let set = app.get("/.well-known/jwks.json").await.expect(200).json();
    let keys = set["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].clone()).collect()
}

/// Waits for what every replica must know within a second.
async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn is_published(app: &TestApp, kid: &Value) {
    eventually("a key is published", || async {
        published(app).await.contains(kid)
    })
    .await;
}

/// Lets twenty minutes pass for staged keys, as far as the database is concerned.
fn let_staged_keys_be_due(app: &TestApp) {
    query(
        app.database(),
        "update signing_keys set activates_at = now() where state = 'staged'",
    );
    app.turn_keys();
}

async fn rotate(app: &TestApp, body: Value) -> Value {
    let administrator = app.administrator().await;
    let response = administrator.post("/v1/keys", body).await.expect(201);
    let key = response.json();
    let location = response.header("location").to_owned();
    assert_eq!(administrator.get(&location).await.expect(200).json(), key);
    key
}

async fn state(app: &TestApp, kid: &Value) -> String {
    let kid = kid.as_str().unwrap();
    query_value(
        app.database(),
        &format!("select state as value from signing_keys where kid = '{kid}'"),
    )
}

fn signer(token: &Value) -> Value {
    decode_part(token.as_str().unwrap(), 0)["kid"].clone()
}

/// Why a session ended.
fn end_of(app: &TestApp, person: &Person) -> String {
    let reason = format!(
        "select coalesce(end_reason, 'alive') as value from sessions where id = '{}'",
        person.session_id()
    );
    query_value(app.database(), &reason)
}

async fn next(person: &Person) -> Value {
    person.refresh().await.expect(200).json()
}

#[tokio::test]
async fn a_key_is_published_then_signs_then_verifies_then_ends() {
    let app = TestApp::own(&[]);
    let ada = app.person().await;
    let old_token = json!(ada.access_token());
    let old = signer(&old_token);
    let unseen = json!(ada.another_device().await.access_token());
    let staged = rotate(&app, json!({"algorithm": "RS256"})).await;
    assert_eq!(
        (&staged["state"], &staged["purpose"]),
        (&json!("staged"), &json!("access"))
    );
    let administrator = app.administrator().await;
    administrator
        .post("/v1/keys", json!({"algorithm": "RS256"}))
        .await
        .expect_problem(409, "key-staged");
    // The set may be kept for max-age; the key signs when every such copy is older than that twice.
    let set = app.get("/.well-known/jwks.json").await;
    let max_age: i64 = set
        .header("cache-control")
        .rsplit_once('=')
        .unwrap()
        .1
        .parse()
        .unwrap();
    let waits = format!(
        "select (extract(epoch from activates_at - created_at) >= {})::text as value from signing_keys where state = 'staged'",
        2 * max_age
    );
    assert_eq!(query_value(app.database(), &waits), "true");
    is_published(&app, &staged["kid"]).await;
    app.turn_keys();
    assert_eq!(signer(&next(&ada).await["access_token"]), old);
    let_staged_keys_be_due(&app);
    eventually("the new key signs", || async {
        signer(&next(&ada).await["access_token"]) == staged["kid"]
    })
    .await;
    assert_eq!(state(&app, &old).await, "retiring");
    use_at(&app, &old_token).await.expect(200);
    // A token lives for an hour here; the key outlives it.
    let outlives = format!(
        "select (retires_at > now() + interval '1 hour')::text as value from signing_keys where kid = '{}'",
        old.as_str().unwrap()
    );
    assert_eq!(query_value(app.database(), &outlives), "true");
    query(
        app.database(),
        "update signing_keys set retires_at = now() where state = 'retiring'",
    );
    app.turn_keys();
    assert_eq!(state(&app, &old).await, "retired");
    eventually("the old key is gone", || async {
        !published(&app).await.contains(&old)
    })
    .await;
    for token in [&unseen, &old_token] {
        // Also what was verified while the key was good.
        let refused = use_at(&app, token).await;
        refused.expect_problem(401, "invalid-token");
    }
    let destroyed =
        "select (length(sealed) = 0)::text as value from signing_keys where state = 'retired'";
    assert_eq!(query_value(app.database(), destroyed), "true");
    // The administrator's token was signed with the old key.
    let administrator = app.administrator_of(&app).await;
    let events = administrator.get("/v1/audit-events?limit=200").await.json();
    for action in ["key.created", "key.activated", "key.retired"] {
        assert!(events.to_string().contains(action), "{action}");
    }
}

#[tokio::test]
async fn key_03_f27_rotation_under_load_on_three_replicas_fails_no_verification() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let replicas = [
        app.clone(),
        app.replica(&[]).unwrap(),
        app.replica(&[]).unwrap(),
    ];
    // As in a rolling restart: one after the other is replaced by a new one.
    let serving = Arc::new(Mutex::new(replicas));
    let (stop, checks) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut load = Vec::new();
    for index in 0..3 {
        let (serving, stop, checks) =
            (Arc::clone(&serving), Arc::clone(&stop), Arc::clone(&checks));
        let mut pair = app.person().await.pair().clone();
        load.push(tokio::spawn(async move {
            let mut signers = std::collections::BTreeSet::new();
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let body = json!({"refresh_token": pair["refresh_token"]});
                let replicas = serving.lock().unwrap().clone();
                let answer = replicas[index].post("/v1/tokens", body).await;
                pair = answer.expect(200).json();
                signers.insert(signer(&pair["access_token"]).to_string());
                seen.push(pair["access_token"].clone());
                // The newest at once, and one from long ago, everywhere.
                for token in [seen.last().unwrap(), seen.first().unwrap()] {
                    for replica in &replicas {
                        use_at(replica, token).await.expect(200);
                        checks.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            signers
        }));
    }
    for round in 0..3 {
        let before = checks.load(Ordering::Relaxed);
        let staged = rotate(&app, json!({"algorithm": "RS256"})).await;
        let replicas = serving.lock().unwrap().clone();
        for replica in &replicas {
            is_published(replica, &staged["kid"]).await;
        }
        drop(replicas);
        let_staged_keys_be_due(&app);
        let fresh = app.replica(&[]).unwrap();
        serving.lock().unwrap()[round] = fresh;
        let go_on = || async { checks.load(Ordering::Relaxed) > before + 500 };
        eventually("the load goes on", go_on).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut signers = std::collections::BTreeSet::new();
    for task in load {
        signers.extend(task.await.unwrap());
    }
    assert!(signers.len() >= 3, "several keys signed: {signers:?}");
}

#[tokio::test]
async fn key_05_a_key_in_wrong_hands_is_gone_at_once_with_what_it_signed() {
    let app = TestApp::own(&[]);
    let replica = app.replica(&[]).unwrap();
    let administrator = app.administrator().await;
    let ada = app.person().await;
    let stolen = json!(ada.access_token());
    use_at(&replica, &stolen).await.expect(200);
    let kid = signer(&stolen);
    let path = format!("/v1/keys/{}", kid.as_str().unwrap());
    administrator.delete(&path).await.expect(204);
    use_at(&app, &stolen)
        .await
        .expect_problem(401, "invalid-token");
    eventually("the replica refuses it", || async {
        use_at(&replica, &stolen).await.status() == 401
    })
    .await;
    assert!(!published(&app).await.contains(&kid));
    let fresh = next(&ada).await;
    assert_ne!(signer(&fresh["access_token"]), kid);
    eventually("the replica knows the successor", || async {
        use_at(&replica, &fresh["access_token"]).await.status() == 200
    })
    .await;
    // The administrator's own token died too.
    administrator.get("/v1/keys").await.expect(401);
    let administrator =
        Person::sign_in(&app, "admin@localhost", app.administrator_password(), None).await;
    administrator
        .delete(&path)
        .await
        .expect_problem(404, "not-found");
    administrator
        .delete("/v1/keys/nobody")
        .await
        .expect_problem(404, "not-found");
    let restarted = app.replica(&[]).unwrap();
    use_at(&restarted, &stolen).await.expect(401);
}

#[tokio::test]
async fn successors_stay_the_same_byte_for_byte_when_the_key_of_refresh_tokens_rotates() {
    let app = TestApp::own(&[]);
    let ada = app.person().await;
    let first = next(&ada).await;
    let staged = rotate(&app, json!({"algorithm": "HS256", "purpose": "refresh"})).await;
    assert!(!published(&app).await.contains(&staged["kid"]));
    let_staged_keys_be_due(&app);
    let eve = app.person().await;
    eventually("the new key signs", || async {
        signer(&next(&eve).await["refresh_token"]) == staged["kid"]
            || signer(&json!(app.person().await.refresh_token())) == staged["kid"]
    })
    .await;
    let again = next(&ada).await;
    assert_eq!(again["refresh_token"], first["refresh_token"]);
    let second = app
        .post(
            "/v1/tokens",
            json!({"refresh_token": first["refresh_token"]}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(signer(&second["refresh_token"]), staged["kid"]);
}

#[tokio::test]
async fn a_stolen_key_of_refresh_tokens_ends_the_sessions_that_hang_on_it() {
    let app = TestApp::own(&[]);
    let ada = app.person().await;
    let kid = signer(&json!(ada.refresh_token()));
    let administrator = app.administrator().await;
    let path = format!("/v1/keys/{}", kid.as_str().unwrap());
    administrator.delete(&path).await.expect(204);
    ada.refresh().await.expect_problem(401, "invalid-grant");
    use_at(&app, &json!(ada.access_token())).await.expect(401);
    assert_eq!(end_of(&app, &ada), "key_revoked");
    next(&app.person().await).await;
}

#[tokio::test]
async fn a_stolen_key_that_signs_no_more_ends_what_a_thief_carried_over_to_its_successor() {
    let app = TestApp::own(&[]);
    let stolen = signer(&json!(app.person().await.refresh_token()));
    let carried = app.person().await;
    let old = app.person().await;
    let long_ago = format!(
        "update sessions set rotated_at = rotated_at - interval '2 hours', refresh_kid = null where id = '{}'",
        old.session_id()
    );
    query(app.database(), &long_ago);
    let staged = rotate(&app, json!({"algorithm": "HS256", "purpose": "refresh"})).await;
    let_staged_keys_be_due(&app);
    let fresh = async || signer(&json!(app.person().await.refresh_token()));
    eventually("the new key signs", || async {
        fresh().await == staged["kid"]
    })
    .await;
    let next = next(&carried).await;
    assert_eq!(signer(&next["refresh_token"]), staged["kid"]);
    let administrator = app.administrator().await;
    let path = format!("/v1/keys/{}", stolen.as_str().unwrap());
    administrator.delete(&path).await.expect(204);
    let present = async |token: &Value| {
        app.post("/v1/tokens", json!({"refresh_token": token}))
            .await
    };
    present(&next["refresh_token"]).await.expect(401);
    assert_eq!(end_of(&app, &carried), "key_revoked");
    assert_eq!(
        end_of(&app, &old),
        "alive",
        "not refreshed since the key was made"
    );
    app.person().await.refresh().await.expect(200);
}

#[tokio::test]
async fn a_session_that_a_late_replica_begins_under_a_revoked_key_is_ended() {
    let app = TestApp::own(&[]);
    let ada = app.person().await;
    let kid = signer(&json!(ada.refresh_token()));
    let path = format!("/v1/keys/{}", kid.as_str().unwrap());
    app.administrator().await.delete(&path).await.expect(204);
    let late = app.person().await;
    let begun = format!(
        "update sessions set refresh_kid = '{}' where id = '{}'",
        kid.as_str().unwrap(),
        late.session_id()
    );
    query(app.database(), &begun);
    app.end_late_sessions();
    assert_eq!(end_of(&app, &late), "key_revoked");
    eventually("its access token is dead", || async {
        use_at(&app, &json!(late.access_token())).await.status() == 401
    })
    .await;
}

#[tokio::test]
async fn one_key_that_can_not_be_opened_stops_neither_the_others_nor_revocation() {
    let app = TestApp::own(&[]);
    let replica = app.replica(&[]).unwrap();
    let damaged = rotate(&app, json!({"algorithm": "EdDSA"})).await;
    let damage = format!(
        "update signing_keys set sealed = 'nonsense' where kid = {}",
        damaged["kid"].to_string().replace('"', "'")
    );
    query(app.database(), &damage);
    let fresh = rotate(&app, json!({"algorithm": "RS256"})).await;
    is_published(&replica, &fresh["kid"]).await;
    let ada = app.person().await;
    use_at(&replica, &json!(ada.access_token()))
        .await
        .expect(200);
    ada.delete("/v1/sessions/current").await.expect(204);
    eventually("the replica has heard", || async {
        use_at(&replica, &json!(ada.access_token())).await.status() == 401
    })
    .await;
}

#[tokio::test]
async fn a_key_that_no_configuration_wants_any_more_ends_and_the_others_do_not() {
    let app = TestApp::own(&[]);
    let ahead = rotate(&app, json!({"algorithm": "EdDSA"})).await;
    let_staged_keys_be_due(&app);
    assert_eq!(state(&app, &ahead["kid"]).await, "active");
    let grow_old = "update signing_keys set activated_at = activated_at - interval '59 days'";
    query(app.database(), grow_old);
    app.turn_keys();
    assert_eq!(state(&app, &ahead["kid"]).await, "active");
    query(app.database(), &grow_old.replace("59 days", "2 days"));
    app.turn_keys();
    assert_eq!(state(&app, &ahead["kid"]).await, "retiring");
    let active = "select string_agg(purpose, ' ' order by purpose) as value from signing_keys where state = 'active'";
    assert_eq!(
        query_value(app.database(), active),
        "access cursor identity page refresh"
    );
    use_at(&app, &json!(app.person().await.access_token()))
        .await
        .expect(200);
}

#[tokio::test]
async fn old_keys_get_successors_by_themselves_and_only_one_each() {
    let app = TestApp::own(&[]);
    let replica = app.replica(&[]).unwrap();
    query(
        app.database(),
        "update signing_keys set activated_at = activated_at - interval '31 days'",
    );
    std::thread::scope(|scope| {
        for index in 0..8 {
            let turning = if index % 2 == 0 { &app } else { &replica };
            scope.spawn(|| turning.turn_keys());
        }
    });
    let staged = "select string_agg(purpose, ' ' order by purpose) as value from signing_keys where state = 'staged'";
    assert_eq!(
        query_value(app.database(), staged),
        "access cursor identity page refresh"
    );
    let_staged_keys_be_due(&app);
    let active = staged.replace("staged", "active");
    assert_eq!(
        query_value(app.database(), &active),
        "access cursor identity page refresh"
    );
}

#[tokio::test]
async fn a_page_can_be_turned_after_the_key_of_cursors_has_rotated() {
    let app = TestApp::own(&[]);
    let ada = app.person().await;
    ada.another_device().await;
    let next = ada
        .get("/v1/sessions?limit=1")
        .await
        .expect(200)
        .at("/next_cursor");
    let staged = rotate(&app, json!({"algorithm": "HS256", "purpose": "cursor"})).await;
    let_staged_keys_be_due(&app);
    eventually("the new key signs", || async {
        let cursor = ada
            .get("/v1/sessions?limit=1")
            .await
            .expect(200)
            .at("/next_cursor");
        cursor != next
    })
    .await;
    assert_eq!(state(&app, &staged["kid"]).await, "active");
    let path = format!("/v1/sessions?limit=1&cursor={}", next.as_str().unwrap());
    ada.get(&path).await.expect(200);
}

#[tokio::test]
async fn a_shared_secret_is_replaced_in_three_steps_without_a_refused_token() {
    const OLD: &str = "b2xkIHNlY3JldCB0aGF0IGlzIHNoYXJlZCB3aXRoIG9uZSBBUEk";
    const NEW: &str = "bmV3IHNlY3JldCB0aGF0IGlzIHNoYXJlZCB3aXRoIG9uZSBBUEk";
    fn with<'a>(current: &'a str, previous: &'a str) -> [(&'a str, &'a str); 3] {
        [
            ("TOLLGATE_TOKENS__ALGORITHM", "HS256"),
            ("TOLLGATE_TOKENS__HS256_SECRET", current),
            ("TOLLGATE_TOKENS__HS256_PREVIOUS_SECRET", previous),
        ]
    }
    let before = TestApp::own(&with(OLD, "")[..2]);
    let accepting = before.replica(&with(OLD, NEW)).unwrap();
    let swapped = before.replica(&with(NEW, OLD)).unwrap();
    let after = before.replica(&with(NEW, "")).unwrap();
    let steps = [&before, &accepting, &swapped, &after];
    let mut signers = Vec::new();
    for (index, app) in steps.into_iter().enumerate() {
        let token = json!(app.person().await.access_token());
        signers.push(signer(&token));
        // Neighbouring steps run at the same time in a rolling deployment.
        for other in &steps[index.saturating_sub(1)..=(index + 1).min(3)] {
            use_at(other, &token).await.expect(200);
        }
    }
    use_at(&after, &json!(before.person().await.access_token()))
        .await
        .expect(401);
    assert_eq!(signers[0], signers[1]);
    assert_eq!(signers[2], signers[3]);
    let administrator = swapped.administrator_of(&before).await;
    let keys = administrator.get("/v1/keys").await.expect(200).at("/items");
    let configured: Vec<_> = keys
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["source"] == "configuration")
        .map(|key| key["state"].clone())
        .collect();
    assert_eq!(configured, ["retiring", "active"]);
    for kid in [&signers[0], &signers[3]] {
        let path = format!("/v1/keys/{}", kid.as_str().unwrap());
        administrator.get(&path).await.expect(200);
        administrator
            .delete(&path)
            .await
            .expect_problem(409, "key-configured");
    }
    administrator
        .post("/v1/keys", json!({"algorithm": "HS256"}))
        .await
        .expect_problem(409, "key-configured");
    administrator
        .post(
            "/v1/keys",
            json!({"algorithm": "HS256", "audience": "https://nobody.example"}),
        )
        .await
        .expect_problem(422, "validation-failed");
}

#[tokio::test]
async fn an_algorithm_can_be_published_ahead_of_the_configuration_that_needs_it() {
    let app = TestApp::own(&[]);
    let staged = rotate(&app, json!({"algorithm": "ES256"})).await;
    is_published(&app, &staged["kid"]).await;
    let changed = app
        .replica(&[("TOLLGATE_TOKENS__ALGORITHM", "ES256")])
        .unwrap();
    let token = json!(changed.person().await.access_token());
    assert_eq!(signer(&token), staged["kid"]);
    use_at(&app, &token).await.expect(200);
}

#[test]
fn keys_are_listed_rotated_and_resealed_from_the_command_line() {
    const NEXT_MASTER_KEY: &str = "YW5vdGhlciBrZXkgZm9yIHRlc3RzLCBub2JvZHkgaGE=";
    let (database, place) = (create_database(), directory());
    let with = |master: &'static str, arguments: &[&str]| {
        let environment = [
            ("DATABASE_URL", database.as_str()),
            ("TOLLGATE_MASTER_KEY", master),
        ];
        let output = run(place.path(), &environment, arguments, "");
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), text + &error)
    };
    let server = Process::start(&[
        ("DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
    ]);
    let (done, listed) = with(MASTER_KEY, &["key", "list"]);
    assert!(
        done && listed.contains("active    access   RS256  rs256-"),
        "{listed}"
    );
    let (done, rotated) = with(MASTER_KEY, &["key", "rotate"]);
    assert!(
        done && rotated.contains("is published and signs from 20"),
        "{rotated}"
    );
    let (done, again) = with(MASTER_KEY, &["key", "rotate"]);
    assert!(
        !done && again.contains("is staged already and comes first"),
        "{again}"
    );
    let (done, replaced) = with(MASTER_KEY, &["key", "rotate", "--emergency"]);
    assert!(
        done && replaced.contains(" is retired, rs256-"),
        "{replaced}"
    );
    let (done, listed) = with(MASTER_KEY, &["key", "list", "--json"]);
    let keys: Value = serde_json::from_str(&listed).unwrap();
    let states: Vec<_> = keys
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["purpose"] == "access")
        .map(|key| key["state"].clone())
        .collect();
    assert!(done);
    assert_eq!(states, ["retired", "active"], "the staged key took over");
    let (done, wrong) = with(NEXT_MASTER_KEY, &["key", "reseal"]);
    assert!(
        !done && wrong.contains("none of the configured master keys"),
        "{wrong}"
    );
    let both: &'static str = Box::leak(format!("{NEXT_MASTER_KEY},{MASTER_KEY}").into_boxed_str());
    let (done, resealed) = with(both, &["key", "reseal"]);
    assert!(done && resealed.contains("5 keys are sealed"), "{resealed}");
    let (done, _) = with(NEXT_MASTER_KEY, &["key", "list"]);
    assert!(done);
    let (done, old) = with(MASTER_KEY, &["key", "list"]);
    assert!(
        !done && old.contains("none of the configured master keys"),
        "{old}"
    );
    // The server that was running all the while has its keys open.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let address = format!("{}/.well-known/jwks.json", server.address());
        let set = reqwest::get(address).await.unwrap();
        assert_eq!(set.status(), 200);
    });
}

#[test]
fn a_key_that_is_staged_already_keeps_no_other_from_rotating() {
    let (database, place) = (create_database(), directory());
    let environment = [
        ("DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        (
            "TOLLGATE_TOKENS__AUDIENCES",
            r#"[{ id = "https://maps.example", algorithm = "ES256" }]"#,
        ),
    ];
    let rotate = |options: &[&str]| {
        let arguments = [&["key", "rotate"], options].concat();
        let output = run(place.path(), &environment, &arguments, "");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    assert_eq!(rotate(&["--algorithm", "RS256"]).0, Some(0));
    let (code, done, refused) = rotate(&[]);
    assert_eq!(code, Some(1));
    assert!(done.starts_with("es256-"), "{done}");
    assert!(
        refused.contains("RS256: ") && refused.contains("is staged already"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_keys_of_other_apis_rotate_each_for_itself() {
    let audiences = r#"[{ id = "https://orders.example", algorithm = "ES256" },
        { id = "https://maps.example", algorithm = "HS256" }]"#;
    let app = TestApp::own(&[("TOLLGATE_TOKENS__AUDIENCES", &audiences.replace('\n', " "))]);
    let ada = app.person().await;
    let token_for = async |audience: &str| {
        let body = json!({"refresh_token": ada.refresh_token(), "resource": audience});
        let pair = app.post("/v1/tokens", body).await.expect(200);
        pair.at("/access_token")
    };
    let (orders, maps) = ("https://orders.example", "https://maps.example");
    let before = [
        signer(&token_for(orders).await),
        signer(&token_for(maps).await),
    ];
    let shared = json!({"algorithm": "HS256", "audience": maps});
    let staged = rotate(&app, shared).await;
    assert_eq!(staged["audience"], maps);
    assert!(!published(&app).await.contains(&staged["kid"]), "a secret");
    let_staged_keys_be_due(&app);
    eventually("the new secret signs", || async {
        signer(&token_for(maps).await) == staged["kid"]
    })
    .await;
    assert_eq!(signer(&token_for(orders).await), before[0]);
    assert_eq!(state(&app, &before[1]).await, "retiring");
    let staged = rotate(&app, json!({"algorithm": "ES256"})).await;
    assert_eq!(staged["audience"], Value::Null, "any may verify");
    let_staged_keys_be_due(&app);
    eventually("the new key signs", || async {
        signer(&token_for(orders).await) == staged["kid"]
    })
    .await;
}
