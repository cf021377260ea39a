//! Roles, and that nobody reaches above their own scopes (PWD-10).

use serde_json::{Value, json};

use crate::harness::TestApp;

fn name() -> String {
    format!("r{}", uuid::Uuid::now_v7().simple())
}

#[tokio::test]
async fn roles_are_made_read_replaced_and_deleted() {
    let administrator = TestApp::shared().administrator().await;
    let role = name();
    let path = format!("/v1/roles/{role}");
    let body =
        json!({"name": role, "description": "Edits", "scopes": ["articles:edit", "users:read"]});
    let made = administrator
        .post("/v1/roles", body.clone())
        .await
        .expect(201);
    assert_eq!(made.header("location"), path);
    assert_eq!(
        (made.at("/scopes"), made.at("/built_in")),
        (json!(["articles:edit", "users:read"]), json!(false))
    );
    administrator
        .post("/v1/roles", body)
        .await
        .expect_problem(409, "role-exists");
    assert_eq!(
        administrator.get(&path).await.expect(200).json(),
        made.json()
    );
    let replaced = administrator
        .put(&path, json!({"scopes": []}))
        .await
        .expect(200);
    assert_eq!(
        (replaced.at("/scopes"), replaced.at("/description")),
        (json!([]), json!(""))
    );
    let all = administrator
        .get("/v1/roles")
        .await
        .expect(200)
        .at("/items");
    assert!(
        all.as_array()
            .unwrap()
            .iter()
            .any(|item| item["name"] == role.as_str())
    );
    administrator.delete(&path).await.expect(204);
    administrator
        .get(&path)
        .await
        .expect_problem(404, "not-found");
    administrator
        .delete(&path)
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn bad_names_and_scopes_are_refused() {
    let administrator = TestApp::shared().administrator().await;
    for bad in ["", "Upper", "1x", "a b", &"x".repeat(64), "../x"] {
        administrator
            .post("/v1/roles", json!({"name": bad, "scopes": []}))
            .await
            .expect(422);
    }
    for bad in ["users", "users:", "a b:c", "users:read users:write"] {
        administrator
            .post("/v1/roles", json!({"name": name(), "scopes": [bad]}))
            .await
            .expect(422);
    }
    administrator
        .get("/v1/roles/Upper")
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn built_in_roles_and_roles_in_use_stay() {
    let app = TestApp::shared();
    let administrator = app.administrator().await;
    for role in ["user", "admin"] {
        administrator
            .delete(&format!("/v1/roles/{role}"))
            .await
            .expect_problem(409, "role-built-in");
    }
    administrator
        .put("/v1/roles/admin", json!({"scopes": []}))
        .await
        .expect_problem(409, "role-built-in");
    administrator
        .post("/v1/roles", json!({"name": "admin", "scopes": []}))
        .await
        .expect_problem(409, "role-built-in");
    let role = name();
    administrator
        .put(&format!("/v1/roles/{role}"), json!({"scopes": []}))
        .await
        .expect(201);
    let ada = app.person().await;
    let given = format!("/v1/users/{}/roles/{role}", ada.id());
    administrator.put(&given, Value::Null).await.expect(204);
    administrator.put(&given, Value::Null).await.expect(204);
    let account = format!("/v1/users/{}", ada.id());
    assert_eq!(
        administrator.get(&account).await.at("/roles"),
        json!([role, "user"])
    );
    administrator
        .delete(&format!("/v1/roles/{role}"))
        .await
        .expect_problem(409, "role-in-use");
    administrator.delete(&given).await.expect(204);
    administrator.delete(&given).await.expect(204);
    administrator
        .delete(&format!("/v1/roles/{role}"))
        .await
        .expect(204);
    administrator
        .put(&format!("/v1/users/{}/roles/{role}", ada.id()), Value::Null)
        .await
        .expect_problem(404, "not-found");
    let nobody = format!("/v1/users/{}/roles/user", uuid::Uuid::now_v7());
    administrator
        .put(&nobody, Value::Null)
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn pwd_10_nobody_gives_or_edits_more_than_they_have() {
    let app = TestApp::shared();
    let administrator = app.administrator().await;
    let deputy = app
        .user("users:write roles:write users:read account:read account:write sessions:self channels:read channels:write records:read records:write")
        .await;
    // Roles above the deputy can't be made, edited, deleted, given or taken.
    let high = name();
    administrator
        .put(
            &format!("/v1/roles/{high}"),
            json!({"scopes": ["audit:read"]}),
        )
        .await
        .expect(201);
    let above =
        |response: crate::harness::Response| response.expect_problem(403, "above-own-scopes");
    above(
        deputy
            .post(
                "/v1/roles",
                json!({"name": name(), "scopes": ["audit:read"]}),
            )
            .await,
    );
    above(
        deputy
            .post(
                "/v1/roles",
                json!({"name": name(), "scopes": ["orders:approve"]}),
            )
            .await,
    );
    above(
        deputy
            .put(&format!("/v1/roles/{high}"), json!({"scopes": []}))
            .await,
    );
    above(
        deputy
            .put("/v1/roles/user", json!({"scopes": ["audit:read"]}))
            .await,
    );
    above(deputy.delete(&format!("/v1/roles/{high}")).await);
    let ada = app.person().await;
    for role in [high.as_str(), "admin"] {
        above(
            deputy
                .put(&format!("/v1/users/{}/roles/{role}", ada.id()), Value::Null)
                .await,
        );
        above(
            deputy
                .put(&format!("/v1/users/me/roles/{role}"), Value::Null)
                .await,
        );
    }
    // Accounts above the deputy can't be acted on.
    let auditor = app.user("audit:read").await;
    let chief = app.administrator().await;
    for target in [auditor.id(), chief.id()] {
        let path = format!("/v1/users/{target}");
        above(deputy.patch(&path, json!({"disabled": true})).await);
        above(
            deputy
                .put(
                    &format!("{path}/password"),
                    json!({"new_password": "another long sentence"}),
                )
                .await,
        );
        above(deputy.put(&format!("{path}/roles/user"), Value::Null).await);
        above(deputy.delete(&format!("{path}/roles/user")).await);
        above(deputy.delete(&path).await);
    }
    // What is within the deputy's own scopes goes.
    let low = name();
    deputy
        .post("/v1/roles", json!({"name": low, "scopes": ["users:read"]}))
        .await
        .expect(201);
    deputy
        .put(&format!("/v1/users/{}/roles/{low}", ada.id()), Value::Null)
        .await
        .expect(204);
    deputy
        .patch(
            &format!("/v1/users/{}", ada.id()),
            json!({"app_metadata": {"a": 1}}),
        )
        .await
        .expect(200);
    deputy
        .delete(&format!("/v1/users/{}", ada.id()))
        .await
        .expect(204);
}

#[tokio::test]
async fn pwd_10_an_administrators_narrowed_token_makes_no_administrator() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let narrow = crate::harness::Person::sign_in(
        &app,
        "admin@localhost",
        app.administrator_password(),
        Some("users:write users:read"),
    )
    .await;
    let ada = app.person().await;
    narrow
        .put(&format!("/v1/users/{}/roles/admin", ada.id()), Value::Null)
        .await
        .expect_problem(403, "above-own-scopes");
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let first = app.administrator().await;
    first
        .delete("/v1/users/me")
        .await
        .expect_problem(409, "last-administrator");
    first
        .delete("/v1/users/me/roles/admin")
        .await
        .expect_problem(409, "last-administrator");
    first
        .patch("/v1/users/me", json!({"disabled": true}))
        .await
        .expect_problem(409, "last-administrator");
    let ada = app.person().await;
    first
        .put(&format!("/v1/users/{}/roles/admin", ada.id()), Value::Null)
        .await
        .expect(204);
    let second = ada.another_device().await;
    second
        .delete(&format!("/v1/users/{}/roles/admin", first.id()))
        .await
        .expect(204);
    second
        .delete("/v1/users/me")
        .await
        .expect_problem(409, "last-administrator");
}
