//! Requests that are sent twice and done once (RES-10).

use serde_json::{Value, json};

use crate::harness::{
    MASTER_KEY, PASSWORD, Person, Process, Response, TestApp, client, create_database, query,
    query_value,
};

async fn make(person: &Person, key: &str, body: &Value) -> Response {
    let request = person
        .request("POST", "/v1/roles")
        .header("idempotency-key", key)
        .json(body);
    person.app().send(request).await
}

#[tokio::test]
async fn res_10_the_same_request_gets_the_same_answer_and_is_done_once() {
    let app = TestApp::own(&[]);
    let replica = app.replica(&[]).unwrap();
    let administrator = app.administrator().await;
    let elsewhere = replica.administrator_of(&app).await;
    let body = json!({"name": "once", "scopes": ["a:b"]});
    let first = make(&administrator, "k-1", &body).await.expect(201);
    for person in [&administrator, &elsewhere] {
        let again = make(person, "k-1", &body).await.expect(201);
        assert_eq!(again.text(), first.text(), "byte for byte");
        for name in ["location", "etag"] {
            assert_eq!(again.header(name), first.header(name));
        }
    }
    let other = json!({"name": "other", "scopes": ["a:b"]});
    make(&administrator, "k-1", &other)
        .await
        .expect_problem(422, "idempotency-key-reused");
    make(&administrator, "k-2", &body)
        .await
        .expect_problem(409, "role-exists");
    let events = administrator
        .get("/v1/audit-events?action=role.created")
        .await
        .expect(200);
    assert_eq!(events.at("/items").as_array().unwrap().len(), 1);
    // An error is no answer that is kept.
    make(&administrator, "k-2", &other).await.expect(201);
    // A day later the key is as new.
    query(
        app.database(),
        "update idempotent_answers set created_at = created_at - interval '25 hours'",
    );
    make(&administrator, "k-1", &body)
        .await
        .expect_problem(409, "role-exists");
}

#[tokio::test]
async fn res_10_nobody_else_gets_the_answer_and_nobody_learns_the_body() {
    let app = TestApp::own(&[]);
    let administrator = app.administrator().await;
    let other = app.user("users:write").await;
    let account = |email: &str| json!({"email": email, "password": PASSWORD});
    let post = async |person: &Person, body: &Value| {
        let request = person
            .request("POST", "/v1/users")
            .header("idempotency-key", "same");
        app.send(request.json(body)).await
    };
    let ada = account("ada@example.com");
    let first = post(&administrator, &ada).await.expect(201);
    assert_eq!(
        post(&administrator, &ada).await.expect(201).text(),
        first.text()
    );
    post(&other, &ada).await.expect_problem(409, "email-taken");
    let kept = query_value(
        app.database(),
        "select string_agg(idempotent_answers::text, ' ') as value from idempotent_answers",
    );
    assert!(!kept.contains(PASSWORD) && !kept.contains("same"), "{kept}");
    for key in ["", "two words", "ü", &"x".repeat(256)] {
        make(&administrator, key, &json!({}))
            .await
            .expect_problem(400, "bad-request");
    }
}

#[tokio::test]
async fn res_10_what_was_deleted_lives_on_in_no_answer() {
    let app = TestApp::own(&[]);
    let administrator = app.administrator().await;
    let account = json!({"email": "erased@example.com", "password": PASSWORD, "name": "Erased"});
    let create = async || {
        let request = administrator
            .request("POST", "/v1/users")
            .header("idempotency-key", "erased");
        app.send(request.json(&account)).await.expect(201)
    };
    let first = create().await;
    administrator
        .delete(first.header("location"))
        .await
        .expect(204);
    let kept = query_value(
        app.database(),
        "select count(*)::text as value from idempotent_answers where body like '%erased%'",
    );
    assert_eq!(kept, "0");
    // Sent again it is done again: the answer would show what is not there.
    let again = create().await;
    assert_ne!(again.at("/id"), first.at("/id"));
    administrator
        .get(again.header("location"))
        .await
        .expect(200);
    let role = json!({"name": "gone", "scopes": ["a:b"]});
    make(&administrator, "gone", &role).await.expect(201);
    administrator.delete("/v1/roles/gone").await.expect(204);
    make(&administrator, "gone", &role).await.expect(201);
    administrator.get("/v1/roles/gone").await.expect(200);
}

#[tokio::test]
async fn res_10_of_many_at_once_one_is_done_and_the_others_wait_or_are_told_so() {
    let app = TestApp::own(&[]);
    let administrator = app.administrator().await;
    let body = json!({"name": "race", "scopes": ["a:b"]});
    let tries: Vec<_> = (0..30)
        .map(|_| {
            let (administrator, body) = (administrator.clone(), body.clone());
            tokio::spawn(async move { make(&administrator, "race", &body).await })
        })
        .collect();
    let mut answers = std::collections::HashSet::new();
    for one in tries {
        let response = one.await.unwrap();
        if response.status() == 201 {
            answers.insert(response.text());
        } else {
            let waiting = response.expect_problem(409, "request-in-flight");
            assert_eq!(waiting.header("retry-after"), "1");
        }
    }
    assert_eq!(answers.len(), 1);
    let made = administrator
        .get("/v1/audit-events?action=role.created")
        .await
        .expect(200);
    assert_eq!(made.at("/items").as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn res_10_after_a_kill_the_answer_is_the_same() {
    let database = create_database();
    let environment = [
        ("DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
    ];
    let server = Process::start(&environment);
    let client = client();
    let password = server
        .says("admin")
        .unwrap()
        .split("password ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let body = json!({"email": "admin@localhost", "password": password});
    let pair: Value = client
        .post(format!("{}/v1/sessions", server.address()))
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = pair["access_token"].as_str().unwrap().to_owned();
    let issuer = server.address();
    let ask = async |address: &str| {
        let request = client
            .post(format!("{address}/v1/roles"))
            .bearer_auth(&token)
            .header("idempotency-key", "survives")
            .json(&json!({"name": "survivor", "scopes": ["a:b"]}));
        let response = Response::read(request.send().await.unwrap())
            .await
            .expect(201);
        (response.text(), response.header("location").to_owned())
    };
    let first = ask(&server.address()).await;
    let directory = server.kill();
    let again = Process::start_in(
        directory,
        &[environment[0], environment[1], ("TOLLGATE_ISSUER", &issuer)],
    );
    assert_eq!(ask(&again.listening()).await, first);
}
