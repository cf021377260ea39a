//! LOG-01: no secret in any log, whatever is logged.

use serde_json::json;

use crate::harness::{MASTER_KEY, Process, Response, client, create_empty_database};

const CANARY: &str = "canary battery staple 7f3a";

async fn send(request: reqwest::RequestBuilder) -> Response {
    Response::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_line_says_how_often_its_request_went_to_the_database() {
    let database = create_empty_database();
    let server = Process::start(&[
        ("DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("TOLLGATE_TELEMETRY__LOG_FORMAT", "json"),
    ]);
    let at = |path: &str| format!("{}{path}", server.address());
    let account = json!({"email": "ada@example.com", "password": CANARY});
    let made = send(client().post(at("/v1/users")).json(&account)).await;
    made.expect(201);
    let pair = send(client().post(at("/v1/sessions")).json(&account)).await;
    let refresh = json!({"refresh_token": pair.expect(201).at("/refresh_token")});
    let next = send(client().post(at("/v1/tokens")).json(&refresh)).await;
    let next = next.expect(200);
    let access = next.at("/access_token");
    for path in ["/v1/users/me", "/v1/tokens/current"] {
        let request = client().get(at(path)).bearer_auth(access.as_str().unwrap());
        send(request).await.expect(200);
    }
    let log = server.log();
    for (path, trips) in [
        ("/v1/users", 1),
        ("/v1/sessions", 2),
        ("/v1/tokens", 1),
        ("/v1/users/me", 1),
        ("/v1/tokens/current", 0),
    ] {
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let line: Option<serde_json::Value> =
            { lines }.find(|line: &serde_json::Value| line["path"] == path);
        assert_eq!(line.unwrap()["trips"], trips, "{path}: {log}");
    }
}

#[tokio::test]
async fn log_01_canaries_appear_in_no_log_at_trace_level() {
    for format in ["human", "json"] {
        let database = create_empty_database();
        let server = Process::start(&[
            ("DATABASE_URL", database.as_str()),
            ("TOLLGATE_MASTER_KEY", MASTER_KEY),
            ("TOLLGATE_TELEMETRY__LOG_FILTER", "trace"),
            ("TOLLGATE_TELEMETRY__LOG_FORMAT", format),
        ]);
        let client = client();
        let at = |path: &str| format!("{}{path}", server.address());
        let account = json!({"email": "ada@example.com", "password": CANARY});
        send(client.post(at("/v1/users")).json(&account))
            .await
            .expect(201);
        let pair = send(client.post(at("/v1/sessions")).json(&account))
            .await
            .expect(201)
            .json();
        let (access, refresh) = (
            pair["access_token"].as_str().unwrap(),
            pair["refresh_token"].as_str().unwrap(),
        );
        send(client.get(at("/v1/users/me")).bearer_auth(access))
            .await
            .expect(200);
        let change =
            json!({"current_password": CANARY, "new_password": "canary of another kind 7f3a"});
        send(
            client
                .put(at("/v1/users/me/password"))
                .bearer_auth(access)
                .json(&change),
        )
        .await
        .expect(204);
        let next = send(
            client
                .post(at("/v1/tokens"))
                .json(&json!({"refresh_token": refresh})),
        )
        .await
        .expect(200)
        .json();
        send(
            client
                .post(at("/v1/tokens"))
                .json(&json!({"refresh_token": refresh})),
        )
        .await
        .expect(200);
        // Refused in every way: wrong, malformed, in the query, in the path.
        send(
            client
                .post(at("/v1/sessions"))
                .json(&json!({"email": "ada@example.com", "password": "canary wrong"})),
        )
        .await
        .expect(401);
        send(
            client
                .post(at("/v1/sessions"))
                .json(&json!({"email": "ada@example.com", "password": 7, "canary": CANARY})),
        )
        .await
        .expect(422);
        send(
            client
                .post(at("/v1/sessions"))
                .header("content-type", "application/json")
                .body("{\"password\":\"canary"),
        )
        .await
        .expect(400);
        send(client.get(at("/v1/users/me?access_token=canary-token")))
            .await
            .expect(401);
        send(
            client
                .get(at("/v1/users/me"))
                .header("authorization", "Basic canary-basic"),
        )
        .await
        .expect(401);
        send(
            client
                .get(at("/v1/users/me"))
                .bearer_auth(format!("{access}canary")),
        )
        .await
        .expect(401);
        send(
            client
                .get(at("/v1/users/me"))
                .bearer_auth(access)
                .header("cookie", "canary=canary"),
        )
        .await
        .expect(200);
        let mut by_cookie = account.clone();
        by_cookie["password"] = "canary of another kind 7f3a".into();
        by_cookie["transport"] = "cookie".into();
        let page = |request: reqwest::RequestBuilder| {
            let request = request.header("origin", "http://localhost:5173");
            request.header("x-tollgate-request", "1")
        };
        let signed_in = send(page(client.post(at("/v1/sessions")).json(&by_cookie)))
            .await
            .expect(201);
        let cookies: Vec<_> = signed_in
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap())
            .collect();
        let cookie = cookies.join("; ");
        let refreshed = page(client.post(at("/v1/tokens")).header("cookie", &cookie));
        send(refreshed).await.expect(200);
        let forged = client
            .patch(at("/v1/users/me"))
            .header("cookie", &cookie)
            .header("idempotency-key", "canary-key")
            .header("x-forwarded-for", "canary-address");
        send(forged.json(&json!({"name": "canary"})))
            .await
            .expect(403);
        let log = server.log();
        assert!(log.lines().count() > 10, "it does log: {log}");
        let administrator = server
            .says("admin")
            .unwrap()
            .split_whitespace()
            .nth(2)
            .unwrap();
        let mut tokens = vec![
            access,
            refresh,
            next["access_token"].as_str().unwrap(),
            next["refresh_token"].as_str().unwrap(),
        ];
        tokens.extend(cookies);
        let signatures = tokens.iter().map(|token| token.rsplit('.').next().unwrap());
        for secret in ["canary", MASTER_KEY, administrator]
            .into_iter()
            .chain(signatures)
        {
            assert!(!log.contains(secret), "{secret} is in the {format} log");
        }
        if format == "json" {
            assert!(
                log.lines()
                    .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
            );
        }
    }
}

#[tokio::test]
async fn log_02_what_callers_send_cannot_forge_a_line() {
    let database = create_empty_database();
    let server = Process::start(&[
        ("DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
    ]);
    let url = format!("{}/x%0a%1b[31mforged", server.address());
    let before = server.log().lines().count();
    send(client().get(url)).await.expect(404);
    let log = server.log();
    assert_eq!(log.lines().count(), before + 1);
    assert!(!log.contains('\u{1b}'));
}

#[tokio::test]
async fn log_03_denials_say_who_what_and_from_where() {
    let database = create_empty_database();
    let server = Process::start(&[
        ("DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("TOLLGATE_TELEMETRY__LOG_FORMAT", "json"),
    ]);
    let client = client();
    let account = json!({"email": "ada@example.com", "password": CANARY});
    let user = send(
        client
            .post(format!("{}/v1/users", server.address()))
            .json(&account),
    )
    .await
    .expect(201);
    let pair = send(
        client
            .post(format!("{}/v1/sessions", server.address()))
            .json(&account),
    )
    .await
    .expect(201);
    let token = pair.at("/access_token");
    let request = client
        .get(format!("{}/v1/users", server.address()))
        .bearer_auth(token.as_str().unwrap());
    let denied = send(request.header("x-request-id", "the-denied-one"))
        .await
        .expect_problem(403, "insufficient-scope");
    assert_eq!(denied.at("/instance"), "the-denied-one");
    let log = server.log();
    let line = log
        .lines()
        .find(|line| line.contains("the-denied-one"))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["user"], &line["client"]),
        (&user.at("/id"), &json!("tollgate"))
    );
    assert_eq!(
        (&line["address"], &line["status"]),
        (&json!("127.0.0.1"), &json!(403))
    );
    assert_eq!(
        (&line["method"], &line["level"]),
        (&json!("GET"), &json!("WARN"))
    );
}
