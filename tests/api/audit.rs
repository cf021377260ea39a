//! LOG-02 and LOG-03: who did what, when and from where.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, TestApp};

#[tokio::test]
async fn log_03_what_happens_to_an_account_is_written_down() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let administrator = app.administrator().await;
    let request = app
        .request("POST", "/v1/users")
        .header("user-agent", "tests/1.0")
        .header("x-request-id", "the-request")
        .json(&json!({"email": "ada@example.com", "password": PASSWORD}));
    let id = app
        .send(request)
        .await
        .expect(201)
        .at("/id")
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/users/{id}");
    app.post(
        "/v1/sessions",
        json!({"email": "ada@example.com", "password": "not this one"}),
    )
    .await
    .expect(401);
    let ada = crate::harness::Person::sign_in(&app, "ada@example.com", PASSWORD, None).await;
    ada.another_device().await;
    ada.patch("/v1/users/me", json!({"name": "Ada"}))
        .await
        .expect(200);
    let change = json!({"current_password": PASSWORD, "new_password": "another long sentence"});
    ada.put("/v1/users/me/password", change).await.expect(204);
    administrator
        .post("/v1/roles", json!({"name": "editor", "scopes": []}))
        .await
        .expect(201);
    administrator
        .put("/v1/roles/editor", json!({"scopes": ["a:b"]}))
        .await
        .expect(200);
    administrator
        .put(&format!("{path}/roles/editor"), Value::Null)
        .await
        .expect(204);
    administrator
        .delete(&format!("{path}/roles/editor"))
        .await
        .expect(204);
    administrator.delete("/v1/roles/editor").await.expect(204);
    administrator
        .patch(&path, json!({"disabled": true}))
        .await
        .expect(200);
    administrator
        .patch(&path, json!({"disabled": false}))
        .await
        .expect(200);
    administrator.delete(&path).await.expect(204);

    let about = administrator
        .get(&format!("/v1/audit-events?subject_id={id}"))
        .await
        .expect(200)
        .at("/items");
    let mut actions: Vec<_> = about
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    actions.reverse();
    assert_eq!(
        actions,
        [
            "user.created",
            "session.refused",
            "session.created",
            "session.created",
            "user.updated",
            "user.password_changed",
            "session.ended",
            "user.role_given",
            "user.role_taken",
            "user.disabled",
            "session.ended",
            "user.enabled",
            "user.deleted",
        ]
    );
    let roles = administrator
        .get("/v1/audit-events?limit=200")
        .await
        .at("/items");
    for action in ["role.created", "role.updated", "role.deleted"] {
        let event = roles
            .as_array()
            .unwrap()
            .iter()
            .find(|event| event["action"] == action)
            .unwrap();
        assert_eq!(
            (&event["actor_id"], &event["details"]["role"]),
            (&json!(administrator.id()), &json!("editor"))
        );
        assert_eq!(
            (&event["client_id"], &event["address"]),
            (&json!("tollgate"), &json!("127.0.0.1"))
        );
        assert_eq!(event["session_id"], administrator.session_id());
    }
}

#[tokio::test]
async fn events_name_the_request_and_hold_no_secret() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let request = app
        .request("POST", "/v1/users")
        .header("user-agent", "tests/1.0 \u{e9}")
        .header("x-request-id", "the-request")
        .json(&json!({"email": "ada@example.com", "password": "canary-password-7f3a"}));
    app.send(request).await.expect(201);
    let events = app
        .administrator()
        .await
        .get("/v1/audit-events?action=user.created")
        .await
        .expect(200);
    let event = &events.at("/items/0");
    assert_eq!(event["request_id"], "the-request");
    assert!(!events.text().contains("canary") && !events.text().contains("ada@example.com"));
}

#[tokio::test]
async fn log_02_control_characters_stay_encoded() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let agent = reqwest::header::HeaderValue::from_bytes(b"evil\tagent").unwrap();
    let request = app
        .request("POST", "/v1/sessions")
        .header("user-agent", agent)
        .json(&json!({"email": "x@example.com", "password": "a wrong guess"}));
    app.send(request).await.expect(401);
    let events = app
        .administrator()
        .await
        .get("/v1/audit-events?action=session.refused")
        .await
        .expect(200);
    assert_eq!(events.at("/items/0/user_agent"), "evilagent");
}

#[tokio::test]
async fn events_are_filtered_and_paged_newest_first() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let administrator = app.administrator().await;
    for _ in 0..3 {
        app.person().await;
    }
    let first = administrator
        .get("/v1/audit-events?action=user.created&limit=2")
        .await
        .expect(200);
    let next = first
        .header("link")
        .trim_start_matches('<')
        .split('>')
        .next()
        .unwrap()
        .to_owned();
    assert!(next.contains("action=user.created"), "{next}");
    let second = administrator.get(&next).await.expect(200);
    let ids = |page: &Value| {
        page.as_array()
            .unwrap()
            .iter()
            .map(|event| event["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let all = [ids(&first.at("/items")), ids(&second.at("/items"))].concat();
    let mut sorted = all.clone();
    sorted.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(
        (all.len(), &all),
        (4, &sorted),
        "three people and the administrator"
    );
    administrator
        .get("/v1/audit-events?actor_id=nonsense")
        .await
        .expect_problem(400, "invalid-query");
}
