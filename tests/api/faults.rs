//! F15, SIGKILL and its neighbours: what breaks around the server, and what must still hold.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{
    MASTER_KEY, PASSWORD, Process, Response, TestApp, create_empty_database, directory,
    drop_connections, query_value, run,
};

async fn post(address: &str, path: &str, body: serde_json::Value) -> reqwest::Result<Response> {
    let response = reqwest::Client::new()
        .post(format!("{address}{path}"))
        .json(&body)
        .send()
        .await?;
    Ok(Response::read(response).await)
}

/// The processes whose command line names `directory`.
fn processes_of(directory: &Path) -> usize {
    let needle = directory.to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(&needle))
        .count()
}

/// Waits for a condition that must come, without a fixed sleep.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn f15_ten_replicas_at_once_on_an_empty_database() {
    let database = create_empty_database();
    let starts: Vec<_> = (0..10)
        .map(|_| {
            let database = database.clone();
            std::thread::spawn(move || {
                Process::start(&[
                    ("DATABASE_URL", database.as_str()),
                    ("TOLLGATE_MASTER_KEY", MASTER_KEY),
                ])
            })
        })
        .collect();
    let replicas: Vec<_> = starts
        .into_iter()
        .map(|start| start.join().unwrap())
        .collect();
    let administrators = replicas
        .iter()
        .filter(|replica| replica.says("admin").is_some())
        .count();
    assert_eq!(administrators, 1, "one first administrator");
    let migrations = "select (count(*) - count(distinct version))::text as value from __diesel_schema_migrations";
    assert_eq!(query_value(&database, migrations), "0");
    let active = "select count(*)::text as value from signing_keys where state = 'active' and purpose = 'access'";
    assert_eq!(query_value(&database, active), "1");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut sets = Vec::new();
        for replica in &replicas {
            let response = reqwest::get(format!("{}/.well-known/jwks.json", replica.address()))
                .await
                .unwrap();
            sets.push(response.text().await.unwrap());
        }
        assert!(sets.iter().all(|set| *set == sets[0]));
    });
}

#[tokio::test]
async fn sigkill_ends_its_postgres_too_and_loses_nothing_acknowledged() {
    let mut server = Process::start(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let mut ledger: Vec<String> = Vec::new();
    let acknowledged = Arc::new(AtomicUsize::new(0));
    for round in 0..3 {
        let address = server.address();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (address, acknowledged) = (address.clone(), Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    let mut written = Vec::new();
                    for index in 0..1_000 {
                        let email = format!("n{round}-{writer}-{index}@example.com");
                        match post(
                            &address,
                            "/v1/users",
                            json!({"email": email, "password": PASSWORD}),
                        )
                        .await
                        {
                            Ok(response) if response.status() == 201 => {
                                written.push(email);
                                acknowledged.fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(response) => assert_eq!(response.status(), 503),
                            Err(_gone) => break,
                        }
                    }
                    written
                })
            })
            .collect();
        // Killed in the middle of the writing: as soon as enough is acknowledged.
        while acknowledged.load(Ordering::Relaxed) < 10 * (round + 1) {
            tokio::task::yield_now().await;
        }
        let directory = server.kill();
        for writer in writers {
            ledger.extend(writer.await.unwrap());
        }
        let place = directory.path().to_owned();
        eventually("its Postgres ends with it", || processes_of(&place) == 0);
        server = Process::start_in(directory, &[("TOLLGATE_LIMITS__ENABLED", "false")]);
    }
    assert!(ledger.len() >= 30, "{}", ledger.len());
    for email in &ledger {
        let body = json!({"email": email, "password": PASSWORD});
        post(&server.address(), "/v1/users", body)
            .await
            .unwrap()
            .expect_problem(409, "email-taken");
    }
    // LOG-02: every account has its audit row, and no row is without its account.
    let socket = server.directory.path().join(".tollgate/postgres/run");
    let database = format!("postgres://tollgate@/tollgate?host={}", socket.display());
    let missing = query_value(
        &database,
        "select count(*)::text as value from users full join
            (select subject_id from audit_events where action = 'user.created') as events on subject_id = users.id
         where subject_id is null or users.id is null",
    );
    assert_eq!(missing, "0");
}

#[test]
fn a_restart_right_after_sigkill_comes_up_every_time() {
    let mut server = Process::start(&[]);
    for _ in 0..5 {
        server = Process::start_in(server.kill(), &[]);
    }
    let (code, directory) = server.stop(Signal::INT);
    assert_eq!(code, Some(0));
    assert_eq!(
        processes_of(directory.path()),
        0,
        "its Postgres is gone when it is"
    );
}

#[tokio::test]
async fn a_second_process_joins_and_does_not_stop_the_first_ones_postgres() {
    let first = Process::start(&[]);
    let data_dir = first.directory.path().join(".tollgate");
    let second = Process::start(&[("TOLLGATE_DATA_DIR", data_dir.to_str().unwrap())]);
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    post(&first.address(), "/v1/users", body.clone())
        .await
        .unwrap()
        .expect(201);
    post(&second.address(), "/v1/users", body.clone())
        .await
        .unwrap()
        .expect_problem(409, "email-taken");
    let (code, _directory) = second.stop(Signal::TERM);
    assert_eq!(code, Some(0));
    post(&first.address(), "/v1/sessions", body)
        .await
        .unwrap()
        .expect(201);
    let listed = run(first.directory.path(), &[], &["user", "list"], "");
    assert!(
        String::from_utf8_lossy(&listed.stdout).contains("ada@example.com"),
        "commands join too"
    );
}

#[test]
fn no_postgres_installed_is_one_clear_line() {
    let empty = directory();
    let error = tollgate::embedded::PrivatePostgres::start(&tollgate::embedded::Settings {
        data_dir: empty.path().to_owned(),
        guard: env!("CARGO_BIN_EXE_tollgate").into(),
        bin_dir: Some(empty.path().to_owned()),
    })
    .unwrap_err();
    let expected = "no Postgres server found: set DATABASE_URL or install one (Debian, Ubuntu: apt-get install postgresql)";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_socket_directory_of_somebody_else_is_refused() {
    let place = directory();
    let data_dir = place.path().join("data");
    std::fs::create_dir_all(&data_dir).unwrap();
    std::os::unix::fs::symlink("/tmp", data_dir.join("postgres")).unwrap();
    let error = tollgate::embedded::PrivatePostgres::start(&tollgate::embedded::Settings {
        data_dir,
        guard: env!("CARGO_BIN_EXE_tollgate").into(),
        bin_dir: None,
    })
    .unwrap_err();
    assert!(
        error.to_string().contains("belongs to somebody else"),
        "{error}"
    );
}

#[test]
fn a_deep_directory_gets_a_short_socket() {
    let place = directory();
    let deep = place.path().join("x".repeat(150));
    std::fs::create_dir(&deep).unwrap();
    let server = Process::start(&[("TOLLGATE_DATA_DIR", deep.to_str().unwrap())]);
    assert_eq!(server.stop(Signal::TERM).0, Some(0));
}

#[tokio::test]
async fn log_04_without_its_database_the_server_refuses_and_never_allows() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let ada = app.person().await;
    drop_connections(app.database(), true);
    let body = json!({"email": ada.email(), "password": PASSWORD});
    for response in [
        app.post("/v1/sessions", body.clone()).await,
        app.post("/v1/users", body).await,
        ada.refresh().await,
        ada.get("/v1/users/me").await,
        ada.get("/v1/sessions").await,
        ada.delete("/v1/sessions/current").await,
        ada.patch("/v1/users/me", json!({"name": "x"})).await,
    ] {
        let response = response.expect_problem(503, "database-unavailable");
        assert_eq!(response.header("retry-after"), "1");
        assert!(
            !response.text().to_lowercase().contains("postgres"),
            "{}",
            response.text()
        );
    }
    drop_connections(app.database(), false);
    let deadline = Instant::now() + Duration::from_secs(10);
    while ada.get("/v1/users/me").await.status() != 200 {
        assert!(Instant::now() < deadline, "it comes back by itself");
    }
    ada.refresh().await.expect(200);
}

#[tokio::test]
async fn connections_that_postgres_cut_are_replaced() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let ada = app.person().await;
    for _ in 0..3 {
        drop_connections(app.database(), false);
        let mut failed = 0;
        while ada.get("/v1/users/me").await.status() != 200 {
            failed += 1;
            assert!(
                failed < 20,
                "a cut connection is thrown away, not handed out again"
            );
        }
    }
}
