//! What breaks around the life of tokens: kills (F12), clocks (F18), stampedes (F19), a database that goes and comes. Nobody is
//! signed out by it, and nothing that is dead comes back.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use serde_json::{Value, json};
use tollgate::{
    config::Config,
    embedded::{PrivatePostgres, Settings},
    start::{self, Database},
    tokens::{RefreshGrant, Tokens},
};
use uuid::Uuid;

use crate::harness::{
    Forge, MASTER_KEY, PASSWORD, Process, Response, TestApp, client, create_database, decode_part,
    directory, query, query_value,
};

async fn post(address: &str, path: &str, body: &Value) -> reqwest::Result<Response> {
    let request = client().post(format!("{address}{path}"));
    Ok(Response::read(request.json(body).send().await?).await)
}

async fn use_at(address: &str, token: &str) -> u16 {
    let request = client().get(format!("{address}/v1/tokens/current"));
    let response = request.bearer_auth(token).send().await.unwrap();
    response.status().as_u16()
}

async fn sign_up_and_in(address: &str, name: &str) -> Value {
    let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
    post(address, "/v1/users", &body).await.unwrap().expect(201);
    let response = post(address, "/v1/sessions", &body).await.unwrap();
    response.expect(201).json()
}

/// One app that refreshes for as long as it may; a refusal that would sign its user out fails the test.
async fn refresh_on(
    address: Arc<std::sync::Mutex<String>>,
    mut pair: Value,
    stop: Arc<AtomicBool>,
) -> usize {
    let mut rotations = 0;
    while !stop.load(Ordering::Relaxed) {
        let address = address.lock().unwrap().clone();
        let body = json!({"refresh_token": pair["refresh_token"]});
        match post(&address, "/v1/tokens", &body).await {
            Ok(response) if response.status() == 200 => {
                pair = response.json();
                rotations += 1;
            }
            Ok(response) => {
                let response = response.expect(503);
                assert!(!response.header("retry-after").is_empty());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(_gone) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    rotations
}

/// How many times something is killed: a few in CI, as many as F12 asks for with `TOLLGATE_TEST_KILLS`.
#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the tests, not of the server"
)]
fn kills(few: usize) -> usize {
    std::env::var("TOLLGATE_TEST_KILLS").map_or(few, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_sigkill_in_the_middle_of_refreshing_and_signing_out_signs_nobody_out_and_halves_nothing()
 {
    let database = create_database();
    let environment = [
        ("DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("TOLLGATE_ISSUER", "http://localhost:8080"),
        ("TOLLGATE_LIMITS__ENABLED", "false"),
    ];
    let mut server = Process::start(&environment);
    let address = Arc::new(std::sync::Mutex::new(server.listening()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut apps = Vec::new();
    for index in 0..4 {
        let here = address.lock().unwrap().clone();
        let pair = sign_up_and_in(&here, &format!("app{index}")).await;
        apps.push(tokio::spawn(refresh_on(
            Arc::clone(&address),
            pair,
            Arc::clone(&stop),
        )));
    }
    // And one person who signs in and out everywhere else, which writes several rows at once.
    let restless = {
        let (address, stop) = (Arc::clone(&address), Arc::clone(&stop));
        let here = address.lock().unwrap().clone();
        sign_up_and_in(&here, "restless").await;
        tokio::spawn(async move {
            let body = json!({"email": "restless@example.com", "password": PASSWORD});
            while !stop.load(Ordering::Relaxed) {
                let here = address.lock().unwrap().clone();
                let Ok(response) = post(&here, "/v1/sessions", &body).await else {
                    continue;
                };
                if response.status() == 201 {
                    let pair = response.json();
                    let request = client().delete(format!("{here}/v1/sessions"));
                    let token = pair["access_token"].as_str().unwrap();
                    let _perhaps_gone = request.bearer_auth(token).send().await;
                }
            }
        })
    };
    for round in 0..kills(20) {
        let later = u64::try_from(round % 12).unwrap();
        // Each time a little later into what it does.
        tokio::time::sleep(Duration::from_millis(20 + 7 * later)).await;
        let place = server.kill();
        server = Process::start_in(place, &environment);
        *address.lock().unwrap() = server.listening();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    for app in apps {
        assert!(
            app.await.unwrap() > 0,
            "an app that never got through shows nothing"
        );
    }
    restless.await.unwrap();
    // No session of an app has ended, and whatever ended has its revocation and its audit row.
    let ended = "select count(*)::text as value from sessions join users on users.id = user_id
        where ended_at is not null and email <> 'restless@example.com'";
    assert_eq!(query_value(&database, ended), "0");
    let halves = "select count(*)::text as value from sessions
        full join (select id::uuid as sid from revocations where kind = 'sid') as dead on dead.sid = sessions.id
        full join (select (details->>'session_id')::uuid as told from audit_events where action = 'session.ended') as events
            on events.told = coalesce(sessions.id, dead.sid)
        where (ended_at is not null)::int + (sid is not null)::int + (told is not null)::int not in (0, 3)";
    assert_eq!(query_value(&database, halves), "0");
}

fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
        .unwrap_or_else(|| panic!("make test installs libfaketime"))
}

const SECRET: &str = "c2hhcmVkIGJ5IHRoZSB0ZXN0cywga25vd24gdG8gdGhlbSBhbG9uZQ";

#[tokio::test]
async fn f18_replicas_whose_clocks_are_wrong_or_jump_agree_all_the_same() {
    let database = create_database();
    let library = faketime();
    let place = directory();
    let dial = place.path().join("dial");
    std::fs::write(&dial, "+0").unwrap();
    let own = [
        ("DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("TOLLGATE_ISSUER", "http://localhost:8080"),
        ("TOLLGATE_LIMITS__ENABLED", "false"),
        ("TOLLGATE_TOKENS__ALGORITHM", "HS256"),
        ("TOLLGATE_TOKENS__HS256_SECRET", SECRET),
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_NO_CACHE", "1"),
    ];
    let with = |offset: &'static str| {
        let mut environment = own.to_vec();
        environment.push(("FAKETIME", offset));
        Process::start(&environment)
    };
    let mut servers = vec![
        with("+0"),
        with("+30s"),
        with("-30s"),
        with("+2h"),
        with("-2h"),
    ];
    let mut jumping = own.to_vec();
    jumping.push(("FAKETIME_TIMESTAMP_FILE", dial.to_str().unwrap()));
    servers.push(Process::start(&jumping));
    let addresses: Vec<_> = servers.iter().map(|server| server.listening()).collect();
    let secret = {
        use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
        STANDARD_NO_PAD.decode(SECRET).unwrap()
    };
    let first = sign_up_and_in(&addresses[0], "ada").await;
    let forge = Forge::from(first["access_token"].as_str().unwrap(), &secret);
    for jump in ["+0", "+2h", "-2h"] {
        std::fs::write(&dial, jump).unwrap();
        let now = chrono::Utc::now().timestamp();
        let expired = forge.clone().claim("exp", json!(now - 10)).sign();
        let early = forge.clone().claim("iat", json!(now + 120)).sign();
        let later = forge.clone().claim("nbf", json!(now + 120)).sign();
        let mut pair = first.clone();
        for maker in &addresses {
            let body = json!({"email": "ada@example.com", "password": PASSWORD});
            let made = post(maker, "/v1/sessions", &body)
                .await
                .unwrap()
                .expect(201);
            let made = made.at("/access_token");
            // Refreshed in turn at every replica: windows are the database's.
            let body = json!({"refresh_token": pair["refresh_token"]});
            pair = post(maker, "/v1/tokens", &body)
                .await
                .unwrap()
                .expect(200)
                .json();
            for verifier in &addresses {
                for good in [&made, &pair["access_token"]] {
                    assert_eq!(
                        use_at(verifier, good.as_str().unwrap()).await,
                        200,
                        "{jump}"
                    );
                }
            }
            for bad in [&expired, &early, &later] {
                assert_eq!(use_at(maker, bad).await, 401, "{jump}");
            }
        }
        let claims = decode_part(pair["access_token"].as_str().unwrap(), 1);
        let off = (claims["iat"].as_i64().unwrap() - chrono::Utc::now().timestamp()).abs();
        assert!(off <= 30, "made by the database's time, not {off} s off");
        // The next round begins anew.
        if jump != "-2h" {
            query(
                &database,
                "update sessions set gen = 0, refresh_exp = refresh_exp + interval '1 second'
                where gen > 1",
            );
        }
    }
}

/// Sessions of one user, and their refresh tokens, without signing in thousands of times.
fn many_sessions(database: &str, count: usize) -> Vec<String> {
    let pairs = [
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("TOLLGATE_ISSUER", "http://localhost:8080"),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::from_sources("", pairs.into_iter()).unwrap();
    let url = SecretString::from(database);
    let place = Database {
        url,
        direct_url: None,
        private: None,
    };
    let tokens: Tokens = start::tokens(&config, "http://localhost:8080", &place).unwrap();
    let kid = tokens.refresh_kid().unwrap();
    let user: Uuid = query_value(
        database,
        "select id::text as value from users where email = 'ada@example.com'",
    )
    .parse()
    .unwrap();
    query(
        database,
        &format!(
            "insert into sessions (id, user_id, client_id, scopes, rotated_at, refresh_exp, absolute_exp, auth_time, acr, amr,
                refresh_kid)
             select gen_random_uuid(), '{user}', 'tollgate', '{{account:read}}', second, second + interval '30 days',
                second + interval '90 days', second, '1', '{{pwd}}', '{kid}'
             from generate_series(1, {count}), date_trunc('second', now()) as second;
             delete from sessions where cardinality(scopes) > 1"
        ),
    );
    let rows = query_value(
        database,
        "select string_agg(id || ' ' || extract(epoch from rotated_at)::bigint || ' ' ||
            extract(epoch from refresh_exp)::bigint, ',') as value from sessions",
    );
    let moment = |text: &str| chrono::DateTime::from_timestamp(text.parse().unwrap(), 0).unwrap();
    rows.split(',')
        .map(|row| {
            let [id, issued, expires] = row.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let grant = RefreshGrant {
                client_id: "tollgate".to_owned(),
                user_id: user,
                session_id: id.parse().unwrap(),
                generation: 0,
                issued_at: moment(issued),
                expires_at: moment(expires),
                kid: Some(kid.clone()),
            };
            tokens.issue_refresh(&grant).unwrap()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_five_thousand_sessions_that_refresh_at_once_are_served_or_told_to_wait() {
    const SESSIONS: usize = 5_000;
    // As many sockets as a process may have open on any machine; each takes the next session as soon as it is answered.
    const SOCKETS: usize = 300;
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    sign_up_and_in(app.address(), "ada").await;
    let tokens = many_sessions(app.database(), SESSIONS);
    let client = client();
    let sockets = Arc::new(tokio::sync::Semaphore::new(SOCKETS));
    let requests: Vec<_> = tokens
        .into_iter()
        .map(|token| {
            let request = client
                .post(format!("{}/v1/tokens", app.address()))
                .json(&json!({"refresh_token": token}));
            let sockets = Arc::clone(&sockets);
            tokio::spawn(async move {
                loop {
                    let socket = sockets.acquire().await.unwrap();
                    let response = request.try_clone().unwrap().send().await.unwrap();
                    let response = Response::read(response).await;
                    drop(socket);
                    if response.status() == 200 {
                        return response.at("/session_id").to_string();
                    }
                    let response = response.expect(503);
                    let seconds: u64 = response.header("retry-after").parse().unwrap();
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
            })
        })
        .collect();
    let mut served = std::collections::BTreeSet::new();
    for request in requests {
        served.insert(request.await.unwrap());
    }
    assert_eq!(served.len(), SESSIONS);
    let state = "select (count(*) filter (where gen = 1 and ended_at is null))::text as value from sessions";
    assert_eq!(query_value(app.database(), state), SESSIONS.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_restarts_or_is_killed_while_apps_refresh_is_never_a_wrong_401() {
    let place = directory();
    let settings = Settings {
        data_dir: place.path().to_owned(),
        guard: env!("CARGO_BIN_EXE_tollgate").into(),
        bin_dir: None,
    };
    // The cluster ends with the thread that starts it: one thread starts and stops it as it is told.
    let (tell, told) = std::sync::mpsc::channel::<bool>();
    let (ready, started) = std::sync::mpsc::channel::<String>();
    let keeper = std::thread::spawn(move || {
        let mut postgres = PrivatePostgres::start(&settings).unwrap();
        ready.send(postgres.url().to_owned()).unwrap();
        while let Ok(brutally) = told.recv() {
            if brutally {
                let pid = settings.data_dir.join("postgres/data/postmaster.pid");
                let pid = std::fs::read_to_string(pid).unwrap();
                let pid: i32 = pid.lines().next().unwrap().parse().unwrap();
                kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
            }
            postgres.stop();
            postgres = PrivatePostgres::start(&settings).unwrap();
            ready.send(postgres.url().to_owned()).unwrap();
        }
        postgres.stop();
    });
    let url = started.recv().unwrap();
    let server = Process::start(&[
        ("DATABASE_URL", url.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("TOLLGATE_ISSUER", "http://localhost:8080"),
        ("TOLLGATE_LIMITS__ENABLED", "false"),
    ]);
    let here = server.listening();
    let address = Arc::new(std::sync::Mutex::new(here.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut apps = Vec::new();
    for index in 0..4 {
        let pair = sign_up_and_in(&here, &format!("app{index}")).await;
        apps.push(tokio::spawn(refresh_on(
            Arc::clone(&address),
            pair,
            Arc::clone(&stop),
        )));
    }
    let gone = sign_up_and_in(&here, "gone").await;
    let dead = gone["access_token"].as_str().unwrap();
    let request = client().delete(format!("{here}/v1/sessions/current"));
    let response = request.bearer_auth(dead).send().await.unwrap();
    assert_eq!(response.status(), 204);
    for round in 0..4 {
        tell.send(round % 2 == 1).unwrap();
        let again = tokio::task::block_in_place(|| started.recv()).unwrap();
        assert_eq!(again, url);
        let deadline = Instant::now() + Duration::from_secs(20);
        while reqwest::get(format!("{here}/readyz"))
            .await
            .unwrap()
            .status()
            != 200
        {
            assert!(
                Instant::now() < deadline,
                "it becomes ready again by itself"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(use_at(&here, dead).await, 401, "the dead stay dead");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    for app in apps {
        assert!(app.await.unwrap() > 0);
    }
    let ended = "select count(*)::text as value from sessions where ended_at is not null";
    assert_eq!(query_value(&url, ended), "1", "the one that was signed out");
    drop((server, tell));
    keeper.join().unwrap();
}
