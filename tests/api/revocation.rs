//! Tokens that die before they expire (TOK-15, TOK-16, SES-05, SES-07, KEY-05): at once here, within a second elsewhere.

use std::time::{Duration, Instant};

use diesel::{Connection, PgConnection, connection::SimpleConnection};
use serde_json::{Value, json};

use crate::harness::{
    PASSWORD, Person, Response, TestApp, decode_part, drop_connections, query, query_value,
};

async fn use_at(app: &TestApp, token: &str) -> Response {
    let request = app.request("GET", "/v1/tokens/current").bearer_auth(token);
    app.send(request).await
}

/// Waits until a replica gives an answer that must come within a second; ten allow for a busy machine.
async fn becomes(app: &TestApp, token: &str, status: u16) -> Response {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let response = use_at(app, token).await;
        if response.status() == status || Instant::now() > deadline {
            return response.expect(status);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A change that must kill a token, made with the administrator's help.
enum Change {
    SignOut,
    SignOutElsewhere,
    EndByAdministrator,
    Password,
    PasswordByAdministrator,
    Ban,
    RoleGiven,
    RoleTaken,
    RoleRedefined,
    Deletion,
}

impl Change {
    const ALL: [Self; 10] = [
        Self::SignOut,
        Self::SignOutElsewhere,
        Self::EndByAdministrator,
        Self::Password,
        Self::PasswordByAdministrator,
        Self::Ban,
        Self::RoleGiven,
        Self::RoleTaken,
        Self::RoleRedefined,
        Self::Deletion,
    ];

    async fn make(&self, ada: &Person, elsewhere: &Person, administrator: &Person, role: &str) {
        let account = format!("/v1/users/{}", ada.id());
        let given = format!("{account}/roles/{role}");
        let new = json!({"new_password": "another horse battery staple"});
        let changed = match self {
            Self::SignOut => ada.delete("/v1/sessions/current").await,
            Self::SignOutElsewhere => elsewhere.delete("/v1/sessions").await,
            Self::EndByAdministrator => {
                let path = format!("/v1/sessions/{}", ada.session_id());
                administrator.delete(&path).await
            }
            Self::Password => {
                let mut body = new;
                body["current_password"] = PASSWORD.into();
                elsewhere.put("/v1/users/me/password", body).await
            }
            Self::PasswordByAdministrator => {
                administrator.put(&format!("{account}/password"), new).await
            }
            Self::Ban => {
                let ban = json!({"disabled": true});
                administrator.patch(&account, ban).await.expect(200);
                return;
            }
            Self::RoleGiven => {
                let admin = format!("{account}/roles/admin");
                administrator.put(&admin, Value::Null).await
            }
            Self::RoleTaken => administrator.delete(&given).await,
            Self::RoleRedefined => {
                let scopes = json!({"scopes": ["orders:read"]});
                let path = format!("/v1/roles/{role}");
                administrator.put(&path, scopes).await.expect(200);
                return;
            }
            Self::Deletion => administrator.delete(&account).await,
        };
        changed.expect(204);
    }

    fn keeps_the_session(&self) -> bool {
        matches!(
            self,
            Self::RoleGiven | Self::RoleTaken | Self::RoleRedefined
        )
    }

    fn spares_the_one_who_did_it(&self) -> bool {
        matches!(self, Self::SignOutElsewhere | Self::Password)
    }
}

#[tokio::test]
async fn tok_15_ses_05_ses_07_a_token_dies_with_what_it_stands_on_on_every_replica_and_for_good() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let replica = app.replica(&[]).unwrap();
    let administrator = app.administrator().await;
    let mut dead = Vec::new();
    for (index, change) in Change::ALL.into_iter().enumerate() {
        let role = format!("role{index}");
        let scopes = json!({"scopes": ["orders:read", "orders:write"]});
        let path = format!("/v1/roles/{role}");
        administrator.put(&path, scopes).await.expect(201);
        let ada = app.person().await;
        let given = format!("/v1/users/{}/roles/{role}", ada.id());
        administrator.put(&given, Value::Null).await.expect(204);
        let ada = ada.another_device().await;
        let elsewhere = ada.another_device().await;
        // Verified before, so that the cache must not save it.
        use_at(&app, ada.access_token()).await.expect(200);
        use_at(&replica, ada.access_token()).await.expect(200);
        change.make(&ada, &elsewhere, &administrator, &role).await;
        use_at(&app, ada.access_token())
            .await
            .expect_problem(401, "invalid-token");
        becomes(&replica, ada.access_token(), 401).await;
        if change.spares_the_one_who_did_it() {
            use_at(&replica, elsewhere.access_token()).await.expect(200);
        }
        if change.keeps_the_session() {
            let next = ada.refresh().await.expect(200).at("/access_token");
            becomes(&replica, next.as_str().unwrap(), 200).await;
        } else {
            ada.refresh().await.expect_problem(401, "invalid-grant");
        }
        dead.push(ada.access_token().to_owned());
    }
    let restarted = app.replica(&[]).unwrap();
    for token in dead {
        use_at(&restarted, &token).await.expect(401);
    }
}

#[tokio::test]
async fn what_a_role_allows_changes_at_once_also_for_those_who_refresh_meanwhile() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let administrator = app.administrator().await;
    let define = |scopes: Value| {
        let administrator = administrator.clone();
        async move {
            administrator
                .put("/v1/roles/editor", json!({"scopes": scopes}))
                .await
        }
    };
    define(json!(["orders:write"])).await.expect(201);
    let mut people = Vec::new();
    for _ in 0..6 {
        let person = app.person().await;
        let path = format!("/v1/users/{}/roles/editor", person.id());
        administrator.put(&path, Value::Null).await.expect(204);
        let person = person.another_device().await;
        // Long unseen: nothing in the database says that they hold a token.
        let sql = format!(
            "update sessions set last_seen_at = last_seen_at - interval '2 hours' where id = '{}'",
            person.session_id()
        );
        query(app.database(), &sql);
        people.push(person);
    }
    let refreshes: Vec<_> = people
        .into_iter()
        .map(|person| {
            let app = app.clone();
            tokio::spawn(async move {
                let mut tokens = Vec::new();
                let mut token = json!(person.refresh_token());
                for round in 0..12 {
                    let pair = app
                        .post("/v1/tokens", json!({"refresh_token": token}))
                        .await
                        .expect(200)
                        .json();
                    token = pair["refresh_token"].clone();
                    tokens.push(pair["access_token"].clone());
                    if round % 3 == 0 {
                        let other = person.another_device().await;
                        tokens.push(json!(other.access_token()));
                    }
                }
                tokens
            })
        })
        .collect();
    let response = define(json!(["orders:read"])).await;
    response.expect(200);
    for tokens in refreshes {
        for token in tokens.await.unwrap() {
            let token = token.as_str().unwrap();
            let scope = decode_part(token, 1)["scope"].to_string();
            let alive = use_at(&app, token).await.status() == 200;
            assert!(
                !alive || !scope.contains("orders:write"),
                "{scope} is alive"
            );
        }
    }
}

#[tokio::test]
async fn a_refresh_that_was_running_gets_no_token_of_the_old_role_that_lives() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let administrator = app.administrator().await;
    let old = json!({"scopes": ["orders:write"]});
    administrator.put("/v1/roles/editor", old).await.expect(201);
    let ada = app.person().await;
    let path = format!("/v1/users/{}/roles/editor", ada.id());
    administrator.put(&path, Value::Null).await.expect(204);
    let ada = ada.another_device().await;
    // Long unseen, and somebody holds the row: the refresh has read the old role and waits, seen by nobody.
    let row = format!("from sessions where id = '{}'", ada.session_id());
    let unseen = "update sessions set last_seen_at = last_seen_at - interval '2 hours'";
    query(app.database(), unseen);
    let mut holder = PgConnection::establish(app.database()).unwrap();
    holder
        .batch_execute(&format!("begin; select 1 {row} for update"))
        .unwrap();
    let refreshing = {
        let ada = ada.clone();
        tokio::spawn(async move { ada.refresh().await })
    };
    waits(&app, "transactionid").await;
    let redefining = {
        let administrator = administrator.clone();
        tokio::spawn(async move {
            let new = json!({"scopes": ["orders:read"]});
            administrator.put("/v1/roles/editor", new).await
        })
    };
    waits(&app, "relation").await;
    holder.batch_execute("rollback").unwrap();
    let pair = refreshing.await.unwrap().expect(200).json();
    redefining.await.unwrap().expect(200);
    let scope = pair["scope"].as_str().unwrap();
    assert!(
        scope.contains("orders:write"),
        "else this shows nothing: {scope}"
    );
    use_at(&app, pair["access_token"].as_str().unwrap())
        .await
        .expect(401);
    let next = app
        .post(
            "/v1/tokens",
            json!({"refresh_token": pair["refresh_token"]}),
        )
        .await
        .expect(200);
    let scope = next.at("/scope");
    assert!(!scope.to_string().contains("orders:write"), "{scope}");
}

/// Waits until somebody waits for a lock of this kind.
async fn waits(app: &TestApp, kind: &str) {
    let sql = format!(
        "select count(*)::text as value from pg_stat_activity where datname = current_database()
            and wait_event_type = 'Lock' and wait_event = '{kind}'"
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    while query_value(app.database(), &sql) == "0" {
        assert!(Instant::now() < deadline, "nobody waits for {kind}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_kind_is_refused_and_a_word_that_was_lost_is_made_up_for() {
    let app = TestApp::own(&[]);
    let administrator = app.administrator().await;
    let mut devices = Vec::new();
    for kind in ["jti", "kid", "client"] {
        devices.push((kind, administrator_on_another_device(&app).await));
    }
    for (kind, ada) in devices {
        let token = ada.access_token();
        use_at(&app, token).await.expect(200);
        let (header, claims) = (decode_part(token, 0), decode_part(token, 1));
        let id = match kind {
            "jti" => &claims["jti"],
            "kid" => &header["kid"],
            _ => &claims["client_id"],
        };
        // Nobody is notified: the replica looks by itself.
        let sql = format!(
            "insert into revocations (kind, id, until) values ('{kind}', '{}', now() + interval '1 h')",
            id.as_str().unwrap()
        );
        query(app.database(), &sql);
        let refused = becomes(&app, token, 401).await;
        assert_eq!(refused.at("/detail"), "the token is revoked");
        let spared = use_at(&app, administrator.access_token()).await.status();
        assert_eq!(spared == 200, kind == "jti", "{kind}");
        query(app.database(), "delete from revocations");
        if kind != "jti" {
            return_to_life(&app, &administrator).await;
        }
    }
}

async fn administrator_on_another_device(app: &TestApp) -> Person {
    let (email, password) = ("admin@localhost", app.administrator_password());
    Person::sign_in(app, email, password, None).await
}

/// What was deleted from the table is forgotten when the control connection is made anew, as it is now and then anyway.
async fn return_to_life(app: &TestApp, person: &Person) {
    drop_connections(app.database(), false);
    becomes(app, person.access_token(), 200).await;
}

#[tokio::test]
async fn what_was_slow_to_commit_is_not_missed() {
    let app = TestApp::own(&[]);
    let (slow, quick) = (app.person().await, app.person().await);
    let revoke = |person: &Person| {
        format!(
            "insert into revocations (kind, id, until) values ('sid', '{}', now() + interval '1 h')",
            person.session_id()
        )
    };
    let mut conn = PgConnection::establish(app.database()).unwrap();
    conn.batch_execute(&format!("begin; {}", revoke(&slow)))
        .unwrap();
    query(app.database(), &revoke(&quick));
    becomes(&app, quick.access_token(), 401).await;
    use_at(&app, slow.access_token()).await.expect(200);
    conn.batch_execute("commit").unwrap();
    becomes(&app, slow.access_token(), 401).await;
}

#[tokio::test]
async fn a_lost_database_is_outlived_or_refused_as_configured_and_never_a_wrong_401() {
    let serving = TestApp::own(&[]);
    let refusing = serving
        .replica(&[("TOLLGATE_REVOCATION__ON_LOSS", "refuse")])
        .unwrap();
    let (ada, gone) = (serving.person().await, serving.person().await);
    gone.delete("/v1/sessions/current").await.expect(204);
    becomes(&refusing, gone.access_token(), 401).await;
    drop_connections(serving.database(), true);
    // Without the database: the good are good, the dead are dead.
    use_at(&serving, ada.access_token()).await.expect(200);
    use_at(&serving, gone.access_token()).await.expect(401);
    let refused = becomes(&refusing, ada.access_token(), 503).await;
    assert_eq!(refused.header("retry-after"), "1");
    use_at(&refusing, gone.access_token()).await.expect(401);
    use_at(&serving, ada.access_token()).await.expect(200);
    // A key that nobody here has heard of may be new by now.
    let unknown = unknown_key(ada.access_token());
    becomes(&serving, &unknown, 503).await;
    drop_connections(serving.database(), false);
    becomes(&refusing, ada.access_token(), 200).await;
    becomes(&serving, &unknown, 401).await;
    // A read finds out which connections are broken; the first write on one of them would be a 503.
    let deadline = Instant::now() + Duration::from_secs(10);
    while ada.get("/v1/users/me").await.status() != 200 {
        assert!(Instant::now() < deadline, "the pool is back, too");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    serving
        .person()
        .await
        .delete("/v1/sessions/current")
        .await
        .expect(204);
}

/// The same token under a name that no key has.
fn unknown_key(token: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    let mut header = decode_part(token, 0);
    header["kid"] = json!("rs256-unknown");
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[tokio::test]
async fn a_revocation_lasts_as_long_as_the_longest_token_of_any_configuration() {
    let app = TestApp::own(&[("TOLLGATE_TOKENS__ACCESS_LIFETIME", "2h")]);
    let shorter = app
        .replica(&[("TOLLGATE_TOKENS__ACCESS_LIFETIME", "10m")])
        .unwrap();
    let ada = shorter.person().await;
    ada.delete("/v1/sessions/current").await.expect(204);
    let lasts = "select (until > now() + interval '2 hours' and until < now() + interval '2 hours 5 min')::text as value
        from revocations where kind = 'sid'";
    assert_eq!(query_value(app.database(), lasts), "true");
    let mut conn = PgConnection::establish(app.database()).unwrap();
    assert_eq!(tollgate::revocation::purge(&mut conn).unwrap(), 0);
    query(
        app.database(),
        "update revocations set until = now() - interval '1 second'",
    );
    let others = "select (count(*) - 1)::text as value from revocations";
    let others: usize = query_value(app.database(), others).parse().unwrap();
    assert_eq!(
        tollgate::revocation::purge(&mut conn).unwrap(),
        others + 1,
        "with what making the first administrator revoked"
    );
}

#[tokio::test]
async fn a_role_that_could_not_be_redefined_is_as_it_was_and_can_be_redefined_again() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let administrator = app.administrator().await;
    let define = async |scope: &str| {
        let scopes = json!({"scopes": [scope]});
        administrator.put("/v1/roles/editor", scopes).await
    };
    define("orders:write").await.expect(201);
    let ada = app.person().await;
    let path = format!("/v1/users/{}/roles/editor", ada.id());
    administrator.put(&path, Value::Null).await.expect(204);
    let ada = ada.another_device().await;
    let mut holder = PgConnection::establish(app.database()).unwrap();
    holder
        .batch_execute("begin; lock table sessions in row exclusive mode")
        .unwrap();
    define("orders:read")
        .await
        .expect_problem(503, "overloaded");
    let role = administrator.get("/v1/roles/editor").await.expect(200);
    assert_eq!(role.at("/scopes"), json!(["orders:write"]));
    use_at(&app, ada.access_token()).await.expect(200);
    holder.batch_execute("rollback").unwrap();
    define("orders:read").await.expect(200);
    use_at(&app, ada.access_token()).await.expect(401);
}

#[tokio::test]
async fn a_revocation_that_is_renewed_while_it_is_purged_stays() {
    let app = TestApp::own(&[]);
    let ada = app.person().await;
    let expired = format!(
        "insert into revocations (kind, id, until) values ('sid', '{}', now() - interval '1 s')",
        ada.session_id()
    );
    query(app.database(), &expired);
    let mut renewer = PgConnection::establish(app.database()).unwrap();
    renewer
        .batch_execute("begin; update revocations set until = now() + interval '1 h'")
        .unwrap();
    let purging = {
        let database = app.database().to_owned();
        std::thread::spawn(move || {
            let mut conn = PgConnection::establish(&database).unwrap();
            tollgate::revocation::purge(&mut conn).unwrap()
        })
    };
    waits(&app, "transactionid").await;
    renewer.batch_execute("commit").unwrap();
    assert_eq!(purging.join().unwrap(), 0);
    let left = "select count(*)::text as value from revocations where kind = 'sid'";
    assert_eq!(query_value(app.database(), left), "1");
}

#[tokio::test]
async fn sessions_that_ran_out_long_ago_are_not_ended_again() {
    let app = TestApp::own(&[]);
    let (lapsed, just_lapsed, ada) = {
        let ada = app.person().await;
        (ada.another_device().await, ada.another_device().await, ada)
    };
    for (person, interval) in [(&lapsed, "2 days"), (&just_lapsed, "1 minute")] {
        let sql = format!(
            "update sessions set refresh_exp = now() - interval '{interval}' where id = '{}'",
            person.session_id()
        );
        query(app.database(), &sql);
    }
    ada.delete("/v1/sessions").await.expect(204);
    let told = app
        .administrator()
        .await
        .get("/v1/audit-events?action=session.ended")
        .await
        .expect(200)
        .at("/items");
    let told: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["details"].clone())
        .collect();
    let expected = json!({"session_id": just_lapsed.session_id(), "reason": "expired"});
    assert_eq!(told, [expected]);
    use_at(&app, just_lapsed.access_token()).await.expect(401);
}
