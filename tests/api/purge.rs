//! What nobody needs any more goes by itself, and operators see it.

use std::time::{Duration, Instant};

use tollgate::jobs;

use crate::harness::{TestApp, query, query_value};

fn count(app: &TestApp, rows: &str) -> String {
    let count = format!("select count(*)::text as value from {rows}");
    query_value(app.database(), &count)
}

/// Purges as the server does in the background, until `done`.
async fn purge_until(app: &TestApp, done: impl Fn() -> bool) {
    let state = app.state();
    let purging = tokio::spawn(jobs::purge(state.db.clone(), state.metrics.clone()));
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(30), "not in one turn");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    purging.abort();
}

#[tokio::test]
async fn what_has_expired_goes_also_when_there_is_a_lot_of_it_and_is_counted() {
    let app = TestApp::own(&[]);
    for rows in [
        "presented_once (id, expires_at) select uuid_send(gen_random_uuid()), clock_timestamp() - interval '1 second'
            from generate_series(1, 12345)",
        "presented_once (id, expires_at) values ('good', clock_timestamp() + interval '1 minute')",
        "authorization_requests (id, client_id, parameters, pushed, expires_at)
            select uuid_send(gen_random_uuid()), 'shop', '[]', true, clock_timestamp() from generate_series(1, 3)",
    ] {
        query(app.database(), &format!("insert into {rows}"));
    }
    let (state, all) = (app.state(), "{table=\"presented_once\"} 12345\n");
    let counted = || state.metrics.render(&state.tokens, Duration::ZERO);
    purge_until(&app, || counted().contains(all)).await;
    assert_eq!(count(&app, "presented_once"), "1");
    assert_eq!(count(&app, "authorization_requests"), "0");
    let metrics = app.get("/metrics").await.expect(200).text();
    for (table, rows) in [
        ("presented_once", 12_345),
        ("authorization_requests", 3),
        ("device_codes", 0),
    ] {
        let line = format!("tollgate_purged_total{{table=\"{table}\"}} {rows}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn what_may_come_a_second_time_is_remembered_for_a_day() {
    let app = TestApp::own(&[]);
    let person = app.person().await;
    let insert = |id: &str, age: &str, session: &str| {
        let (user, session) = (person.id(), format!("{session}::uuid"));
        query(
            app.database(),
            &format!(
                "insert into device_codes (id, user_code, client_id, scopes, expires_at, interval_seconds, session_id)
                 values ('{id}', '{id}', 'tv', '{{openid}}', clock_timestamp() - interval '{age}', 5, {session})"
            ),
        );
        query(
            app.database(),
            &format!(
                "insert into authorization_codes (id, client_id, user_id, page_id, redirect_uri, scopes, challenge, auth_time, acr,
                    amr, expires_at, session_id)
                 values ('{id}', 'shop', '{user}', gen_random_uuid(), 'https://client.example/', '{{openid}}', 'x', now(), '1',
                    '{{pwd}}', clock_timestamp() - interval '{age}', {session})"
            ),
        );
    };
    insert("used", "1 hour", "gen_random_uuid()");
    insert("long used", "25 hours", "gen_random_uuid()");
    insert("never used", "1 second", "null");
    purge_until(&app, || count(&app, "device_codes") == "1").await;
    assert_eq!(count(&app, "device_codes where id = 'used'"), "1");
    assert_eq!(count(&app, "authorization_codes where id = 'used'"), "1");
    assert_eq!(
        count(&app, "authorization_codes where id = 'long used'"),
        "0"
    );
}
