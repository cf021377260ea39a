//! Accounts: signing up, profiles, who may touch whose.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, TestApp, query_value};

#[tokio::test]
async fn signing_up_answers_the_account() {
    let app = TestApp::shared();
    let email = format!("Ada.{}@Example.com", uuid::Uuid::now_v7().simple());
    let body = json!({"email": email, "password": PASSWORD, "name": "Ada", "locale": "en-GB"});

    let response = app.post("/v1/users", body).await.expect(201);

    let user = response.json();
    assert_eq!(
        response.header("location"),
        format!("/v1/users/{}", user["id"].as_str().unwrap())
    );
    assert_eq!(response.header("cache-control"), "no-store");
    let members: Vec<_> = user.as_object().unwrap().keys().cloned().collect();
    let expected = [
        "app_metadata",
        "created_at",
        "disabled",
        "email",
        "email_verified",
        "id",
        "locale",
        "name",
        "roles",
        "updated_at",
        "user_metadata",
        "version",
    ];
    assert_eq!(members, expected);
    assert_eq!(user["email"], email.to_lowercase());
    assert_eq!(
        (&user["roles"], &user["version"], &user["email_verified"]),
        (&json!(["user"]), &json!(1), &json!(false))
    );
    let created = user["created_at"].as_str().unwrap();
    assert!(
        created.len() == 24 && created.ends_with('Z'),
        "milliseconds in UTC: {created}"
    );
}

#[tokio::test]
async fn an_address_has_one_account_in_any_letter_case() {
    let app = TestApp::shared();
    let person = app.person().await;
    let again = json!({"email": person.email().to_uppercase(), "password": PASSWORD});
    app.post("/v1/users", again)
        .await
        .expect_problem(409, "email-taken");
}

#[tokio::test]
async fn fifty_sign_ups_at_once_make_one_account() {
    let app = TestApp::shared();
    let email = format!("{}@example.com", uuid::Uuid::now_v7().simple());
    let tries = (0..50).map(|_| {
        let (app, email) = (app.clone(), email.clone());
        tokio::spawn(async move {
            app.post("/v1/users", json!({"email": email, "password": PASSWORD}))
                .await
                .status()
        })
    });
    let mut statuses = Vec::new();
    for attempt in tries.collect::<Vec<_>>() {
        statuses.push(attempt.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 49);
}

#[tokio::test]
async fn every_fault_of_a_body_is_told_at_once_and_nothing_is_echoed() {
    let app = TestApp::shared();
    let body = json!({"email": "nobody", "password": "S3cr3t!", "name": "", "id": "x", "roles": ["admin"]});
    let response = app
        .post("/v1/users", body)
        .await
        .expect_problem(422, "validation-failed");
    let mut pointers: Vec<_> = response
        .at("/errors")
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].clone())
        .collect();
    pointers.sort_by_key(ToString::to_string);
    assert_eq!(pointers, ["/email", "/id", "/name", "/password", "/roles"]);
    assert!(!response.text().contains("S3cr3t!"));
    let missing = app.post("/v1/users", json!({})).await.expect(422);
    assert_eq!(missing.at("/errors").as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn me_is_an_alias_and_others_do_not_exist() {
    let app = TestApp::shared();
    let (ada, bob) = (app.person().await, app.person().await);
    let me = ada.get("/v1/users/me").await.expect(200);
    assert_eq!(
        me.json(),
        ada.get(&format!("/v1/users/{}", ada.id()))
            .await
            .expect(200)
            .json()
    );
    let hidden = ada
        .get(&format!("/v1/users/{}", bob.id()))
        .await
        .expect_problem(404, "not-found");
    let missing = ada
        .get(&format!("/v1/users/{}", uuid::Uuid::now_v7()))
        .await
        .expect_problem(404, "not-found");
    assert_eq!(hidden.at("/detail"), missing.at("/detail"));
    for path in [
        "/v1/users/nonsense",
        "/v1/users/%00",
        "/v1/users/..%2f..",
        "/v1/users/1",
    ] {
        ada.get(path).await.expect_problem(404, "not-found");
    }
    for (method, path) in [("PATCH", ""), ("DELETE", ""), ("PUT", "/password")] {
        let path = format!("/v1/users/{}{path}", bob.id());
        let body = if method == "PUT" {
            json!({"new_password": "another long sentence"})
        } else {
            json!({"name": "x"})
        };
        ada.send(method, &path, Some(body))
            .await
            .expect_problem(404, "not-found");
    }
    bob.get("/v1/users/me").await.expect(200);
}

#[tokio::test]
async fn a_profile_changes_by_merge_patch() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let patch = json!({"name": "Ada", "user_metadata": {"theme": "dark", "big": 12345678901234567890123456789_u128}});
    let first = ada.patch("/v1/users/me", patch).await.expect(200).json();
    assert_eq!(
        (&first["name"], &first["version"]),
        (&json!("Ada"), &json!(2))
    );
    let request = app
        .request("PATCH", "/v1/users/me")
        .bearer_auth(ada.access_token())
        .header("content-type", "application/merge-patch+json")
        .body(r#"{"name":null,"user_metadata":{"theme":null,"size":1.50}}"#);
    let second = app.send(request).await.expect(200);
    assert_eq!(second.at("/name"), Value::Null);
    assert!(
        second
            .text()
            .contains(r#""user_metadata":{"big":12345678901234567890123456789,"size":1.50}"#),
        "{}",
        second.text()
    );
    let unknown = ada
        .patch("/v1/users/me", json!({"email": "x@y.example", "id": 1}))
        .await
        .expect(422);
    assert_eq!(unknown.at("/errors").as_array().unwrap().len(), 2);
    let large = json!({"user_metadata": {"x": "y".repeat(17_000)}});
    ada.patch("/v1/users/me", large)
        .await
        .expect_problem(413, "payload-too-large");
    for bad in [
        json!({"user_metadata": null}),
        json!({"user_metadata": []}),
        json!({"locale": "x y"}),
        json!([]),
    ] {
        ada.patch("/v1/users/me", bad).await.expect(422);
    }
}

#[tokio::test]
async fn what_administrators_store_is_not_for_the_owner_to_change() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for patch in [
        json!({"app_metadata": {"plan": "pro"}}),
        json!({"disabled": true}),
        json!({"app_metadata": null}),
    ] {
        let status = ada.patch("/v1/users/me", patch).await.status();
        assert!(matches!(status, 403 | 422), "{status}");
    }
    let administrator = app.administrator().await;
    let path = format!("/v1/users/{}", ada.id());
    administrator
        .patch(&path, json!({"app_metadata": {"plan": "pro"}}))
        .await
        .expect(200);
    assert_eq!(
        ada.get("/v1/users/me").await.at("/app_metadata/plan"),
        "pro"
    );
}

#[tokio::test]
async fn accounts_are_listed_in_pages_by_those_who_may() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    for _ in 0..4 {
        app.person().await;
    }
    app.person()
        .await
        .get("/v1/users")
        .await
        .expect_problem(403, "insufficient-scope");
    let administrator = app.administrator().await;
    let all = administrator.get("/v1/users").await.expect(200);
    assert_eq!(
        (
            all.at("/items").as_array().unwrap().len(),
            all.at("/next_cursor")
        ),
        (6, Value::Null)
    );
    let mut seen = Vec::new();
    let mut path = "/v1/users?limit=4".to_owned();
    loop {
        let page = administrator.get(&path).await.expect(200);
        seen.extend(page.at("/items").as_array().unwrap().clone());
        let Some(cursor) = page.at("/next_cursor").as_str().map(str::to_owned) else {
            assert_eq!(page.header("link"), "");
            break;
        };
        assert!(
            page.header("link").starts_with("</v1/users?limit=")
                && page.header("link").ends_with("; rel=\"next\"")
        );
        path = format!("/v1/users?limit=4&cursor={cursor}");
    }
    assert_eq!(seen, *all.at("/items").as_array().unwrap());
    assert_eq!(
        administrator
            .get("/v1/users?limit=1000")
            .await
            .expect(200)
            .at("/items")
            .as_array()
            .unwrap()
            .len(),
        6
    );
}

#[tokio::test]
async fn res_07_a_changed_or_borrowed_cursor_is_refused() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let reader = app.user("users:read").await;
    let administrator = app.administrator().await;
    let cursor = administrator
        .get("/v1/users?limit=1")
        .await
        .at("/next_cursor")
        .as_str()
        .unwrap()
        .to_owned();
    administrator
        .get(&format!("/v1/users?cursor={cursor}"))
        .await
        .expect(200);
    reader
        .get(&format!("/v1/users?cursor={cursor}"))
        .await
        .expect_problem(400, "invalid-query");
    administrator
        .get(&format!("/v1/audit-events?cursor={cursor}"))
        .await
        .expect_problem(400, "invalid-query");
    for position in 0..cursor.len() {
        let mut bytes = cursor.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(bytes).unwrap();
        administrator
            .get(&format!("/v1/users?cursor={flipped}"))
            .await
            .expect_problem(400, "invalid-query");
    }
    for query in [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=1&limit=2",
        "cursor=",
        "nonsense=1",
        "cursor=a.b",
    ] {
        administrator
            .get(&format!("/v1/users?{query}"))
            .await
            .expect_problem(400, "invalid-query");
    }
    // Another replica, and the same one after a restart, read each other's cursors.
    let replica = app.replica(&[]).unwrap();
    let request = replica
        .request("GET", &format!("/v1/users?cursor={cursor}"))
        .bearer_auth(administrator.access_token());
    replica.send(request).await.expect(200);
}

#[tokio::test]
async fn tok_16_erasing_an_account_leaves_no_personal_data_and_never_reuses_the_id() {
    let app = TestApp::shared();
    let ada = app.person().await;
    ada.delete("/v1/users/me").await.expect(204);
    ada.get("/v1/users/me")
        .await
        .expect_problem(401, "invalid-token");
    ada.refresh().await.expect_problem(401, "invalid-grant");
    let remains = query_value(
        app.database(),
        &format!(
            "select count(*)::text as value from audit_events
             where (actor_id = '{0}' or subject_id = '{0}') and (address is not null or user_agent is not null)",
            ada.id()
        ),
    );
    assert_eq!(remains, "0");
    app.post(
        "/v1/users",
        json!({"email": ada.email(), "password": PASSWORD}),
    )
    .await
    .expect(201);
    let again = Person::sign_in(&app, ada.email(), PASSWORD, None).await;
    assert_ne!(again.id(), ada.id());
}

#[tokio::test]
async fn signing_up_can_be_closed() {
    let app = TestApp::own(&[("TOLLGATE_USERS__SIGN_UP", "closed")]);
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    app.post("/v1/users", body.clone())
        .await
        .expect_problem(403, "sign-up-closed");
    app.administrator()
        .await
        .post("/v1/users", body)
        .await
        .expect(201);
    let ada = Person::sign_in(&app, "ada@example.com", PASSWORD, None).await;
    ada.post(
        "/v1/users",
        json!({"email": "x@example.com", "password": PASSWORD}),
    )
    .await
    .expect_problem(403, "insufficient-scope");
}

#[tokio::test]
async fn a_visitor_with_a_bad_token_is_refused() {
    let app = TestApp::shared();
    let body = json!({"email": "nobody@example.com", "password": PASSWORD});
    let request = app
        .request("POST", "/v1/users")
        .bearer_auth("x.y.z")
        .json(&body);
    app.send(request).await.expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn private_claims_come_from_the_user_and_tokens_have_a_ceiling() {
    let claims = r#"{ plan = "app_metadata.plan", name = "name", theme = "user_metadata.theme" }"#;
    let app = TestApp::own(&[
        ("TOLLGATE_TOKENS__PRIVATE_CLAIMS", claims),
        ("TOLLGATE_LIMITS__ENABLED", "false"),
    ]);
    let ada = app.person().await;
    let path = format!("/v1/users/{}", ada.id());
    app.administrator()
        .await
        .patch(
            &path,
            json!({"app_metadata": {"plan": {"name": "pro", "seats": 3}}}),
        )
        .await
        .expect(200);
    ada.patch("/v1/users/me", json!({"name": "Ada"}))
        .await
        .expect(200);
    let pair = ada.refresh().await.expect(200);
    let (token, next) = (pair.at("/access_token"), pair.at("/refresh_token"));
    let claims = crate::harness::decode_part(token.as_str().unwrap(), 1);
    assert_eq!(
        (&claims["plan"], &claims["name"]),
        (&json!({"name": "pro", "seats": 3}), &json!("Ada"))
    );
    assert!(claims.get("theme").is_none());
    let request = app
        .request("GET", "/v1/tokens/current")
        .bearer_auth(token.as_str().unwrap());
    assert_eq!(app.send(request).await.expect(200).at("/plan/seats"), 3);
    ada.patch(
        "/v1/users/me",
        json!({"user_metadata": {"theme": "x".repeat(4_000)}}),
    )
    .await
    .expect(200);
    // Neither signing in nor refreshing leaves anything behind, and what was held stays good.
    let sessions = || {
        query_value(
            app.database(),
            "select count(*)::text as value from sessions",
        )
    };
    let before = sessions();
    let body = json!({"email": ada.email(), "password": PASSWORD});
    app.post("/v1/sessions", body)
        .await
        .expect_problem(422, "token-too-large");
    assert_eq!(sessions(), before);
    let laptop = json!({"refresh_token": next});
    app.post("/v1/tokens", laptop.clone())
        .await
        .expect_problem(422, "token-too-large");
    ada.patch("/v1/users/me", json!({"user_metadata": {"theme": null}}))
        .await
        .expect(200);
    app.post("/v1/tokens", laptop).await.expect(200);
}
