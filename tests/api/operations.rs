//! Readiness and metrics: what operators and load balancers ask.

use std::time::{Duration, Instant};

use crate::harness::{TestApp, drop_connections};

#[tokio::test]
async fn a_replica_is_ready_while_it_knows_what_is_dead() {
    let app = TestApp::own(&[]);
    let ready = app.get("/readyz").await.expect(200);
    assert_eq!(ready.at("/status"), "ready");
    drop_connections(app.database(), true);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let response = app.get("/readyz").await;
        if response.status() == 503 {
            response.expect_problem(503, "not-ready");
            break;
        }
        assert!(Instant::now() < deadline, "5 s without the database");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop_connections(app.database(), false);
    while app.get("/readyz").await.status() != 200 {
        assert!(Instant::now() < deadline, "it comes back by itself");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn metrics_tell_of_revocations_and_keys() {
    let app = TestApp::own(&[]);
    let ada = app.person().await;
    ada.delete("/v1/sessions/current").await.expect(204);
    let response = app.get("/metrics").await.expect(200);
    assert!(response.header("content-type").starts_with("text/plain"));
    let text = response.text();
    for line in [
        "# TYPE tollgate_revocations gauge",
        "tollgate_revocations{kind=\"sid\"} 1",
        "tollgate_revocations{kind=\"kid\"} 0",
        "tollgate_signing_keys{state=\"active\"} 5",
        "# HELP tollgate_revocations_age_seconds ",
    ] {
        assert!(text.contains(line), "{line} is missing:\n{text}");
    }
    let number = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!(number("tollgate_revocations_age_seconds ") < 60.0);
    assert!(number("tollgate_revocations_last_reload_timestamp_seconds ") > 1.7e9);
}
