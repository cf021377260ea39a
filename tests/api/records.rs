//! Records: what each may do with them, and that no change is lost.

use serde_json::{Value, json};

use crate::harness::{Person, Response, Shop, TestApp, query_value};

async fn with(
    person: &Person,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> Response {
    let mut request = person.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_null() {
        request = request.json(&body);
    }
    person.app().send(request).await
}

#[tokio::test]
async fn a_record_is_made_read_replaced_patched_and_deleted() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let made = ada
        .post(&shop.records(), json!({"title": "Ink", "price": 12.50}))
        .await
        .expect(201);
    assert_eq!(made.header("etag"), "\"1\"");
    let record = made.json();
    assert_eq!(made.header("location"), shop.record(&record["id"]));
    assert_eq!(record["owner"], ada.id());
    assert_eq!(
        (&record["version"], &record["price"]),
        (&json!(1), &json!(12.50))
    );
    let path = shop.record(&record["id"]);
    let read = ada.get(&path).await.expect(200);
    assert_eq!(read.json(), record);
    assert_eq!(read.header("etag"), "\"1\"");
    let unchanged = with(
        &ada,
        "GET",
        &path,
        &[("if-none-match", "\"1\"")],
        Value::Null,
    )
    .await;
    unchanged.expect(304);
    let head = with(&ada, "HEAD", &path, &[], Value::Null)
        .await
        .expect(200);
    assert_eq!(head.header("etag"), "\"1\"");

    let replaced = ada.put(&path, json!({"title": "Pen"})).await.expect(200);
    assert_eq!(replaced.at("/version"), 2);
    assert_eq!(replaced.at("/price"), Value::Null, "left out is gone");
    assert_eq!(replaced.at("/created_at"), record["created_at"]);
    let patched = ada
        .patch(&path, json!({"price": 3, "status": "open"}))
        .await
        .expect(200);
    assert_eq!(patched.at("/title"), "Pen");
    assert_eq!(patched.at("/version"), 3);
    let steps = json!([
        {"op": "test", "path": "/price", "value": 3},
        {"op": "remove", "path": "/price"},
    ]);
    let json_patch = ada
        .request("PATCH", &path)
        .header("content-type", "application/json-patch+json")
        .body(steps.to_string());
    let patched = app.send(json_patch).await.expect(200);
    assert_eq!(
        (patched.at("/price"), patched.at("/version")),
        (Value::Null, json!(4))
    );
    ada.delete(&path).await.expect(204);
    ada.get(&path).await.expect_problem(404, "not-found");
    ada.delete(&path).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn res_01_nobody_reaches_a_record_that_the_rules_hide() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let record = shop.make(&ada, json!({"title": "Ink"})).await;
    let path = shop.record(&record["id"]);
    let missing = shop.record(&json!(uuid::Uuid::now_v7().to_string()));
    let document = json!({"title": "Mine"});
    for (method, body) in [
        ("GET", Value::Null),
        ("HEAD", Value::Null),
        ("PUT", document.clone()),
        ("PATCH", document.clone()),
        ("DELETE", Value::Null),
    ] {
        let hidden = eve
            .send(
                method,
                &path,
                Some(body.clone()).filter(|body| !body.is_null()),
            )
            .await;
        assert_eq!(hidden.status(), 404, "{method}");
        if method != "PUT" && method != "HEAD" {
            let not_there = eve
                .send(
                    method,
                    &missing,
                    Some(body.clone()).filter(|body| !body.is_null()),
                )
                .await;
            assert_eq!(hidden.at("/detail"), not_there.at("/detail"), "{method}");
            assert_eq!(hidden.at("/type"), not_there.at("/type"), "{method}");
        }
        let conditional = with(&eve, method, &path, &[("if-match", "\"7\"")], body).await;
        assert_eq!(
            conditional.status(),
            404,
            "{method}: no 412 tells that it is there"
        );
        let mut anonymous = app.request(method, &path);
        if matches!(method, "PUT" | "PATCH") {
            anonymous = anonymous.json(&document);
        }
        assert_eq!(
            app.send(anonymous).await.status(),
            404,
            "{method} by nobody"
        );
    }
    assert_eq!(ada.get(&path).await.expect(200).json(), record);
}

#[tokio::test]
async fn what_the_rules_forbid_is_a_403() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["rules"]["read"] = json!("true");
        declaration["rules"]["create"] =
            json!("auth.sub != null && (!has(input.status) || input.status == 'open')");
        declaration["rules"]["update"] = json!(
            "record.owner == auth.sub && (input.price == null || input.price >= record.price)"
        );
    })
    .await;
    let (ada, eve) = (app.person().await, app.person().await);
    let nobody = app
        .request("POST", &shop.records())
        .json(&json!({"title": "x"}));
    app.send(nobody).await.expect_problem(403, "rule-forbids");
    let paid = ada
        .post(&shop.records(), json!({"title": "x", "status": "paid"}))
        .await;
    paid.expect_problem(403, "rule-forbids");
    let record = shop
        .make(&ada, json!({"title": "x", "status": "open", "price": 5}))
        .await;
    let path = shop.record(&record["id"]);
    for response in [
        eve.patch(&path, json!({"title": "y"})).await,
        eve.put(&path, json!({"title": "y"})).await,
        eve.delete(&path).await,
        with(
            &eve,
            "PATCH",
            &path,
            &[("if-match", "\"9\"")],
            json!({"title": "y"}),
        )
        .await,
        ada.patch(&path, json!({"price": 4})).await,
    ] {
        assert!(
            [403, 412].contains(&response.status()),
            "{}",
            response.text()
        );
        assert_ne!(response.status(), 200);
    }
    eve.patch(&path, json!({"title": "y"}))
        .await
        .expect_problem(403, "rule-forbids");
    ada.patch(&path, json!({"price": 4}))
        .await
        .expect_problem(403, "rule-forbids");
    ada.patch(&path, json!({"price": 6})).await.expect(200);
    assert_eq!(ada.get(&path).await.expect(200).at("/price"), 6);
}

#[tokio::test]
async fn without_a_rule_administrators_only() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| declaration["rules"] = json!({})).await;
    let (ada, admin) = (app.person().await, shop.administrator());
    ada.post(&shop.records(), json!({"title": "x"}))
        .await
        .expect_problem(403, "rule-forbids");
    let record = shop.make(admin, json!({"title": "x"})).await;
    let path = shop.record(&record["id"]);
    ada.get(&path).await.expect_problem(404, "not-found");
    ada.delete(&path).await.expect_problem(404, "not-found");
    admin.patch(&path, json!({"title": "y"})).await.expect(200);
    admin.get(&path).await.expect(200);
    // A narrowed token of an administrator's is no administrator's.
    let narrowed = Person::sign_in(
        &app,
        admin.email(),
        app.administrator_password(),
        Some("records:read records:write"),
    );
    narrowed
        .await
        .get(&path)
        .await
        .expect_problem(404, "not-found");
    admin.delete(&path).await.expect(204);
}

#[tokio::test]
async fn a_token_that_is_presented_needs_the_scope() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        for rule in ["list", "read", "create", "update", "delete"] {
            declaration["rules"][rule] = json!("true");
        }
    })
    .await;
    let nobody = app
        .request("POST", &shop.records())
        .json(&json!({"title": "x"}));
    let made = app.send(nobody).await.expect(201);
    assert_eq!(made.at("/owner"), Value::Null);
    let path = shop.record(&made.at("/id"));
    app.get(&path).await.expect(200);
    let reader = app.user("records:read").await;
    reader.get(&path).await.expect(200);
    let patched = reader.patch(&path, json!({"title": "y"})).await;
    patched.expect_problem(403, "insufficient-scope");
    let other = app.user("account:read").await;
    other
        .get(&path)
        .await
        .expect_problem(403, "insufficient-scope");
    let bad = app.request("GET", &path).bearer_auth("nonsense");
    app.send(bad).await.expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn res_03_what_the_server_keeps_and_what_no_schema_has_is_refused() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let record = shop.make(&ada, json!({"title": "Ink"})).await;
    let path = shop.record(&record["id"]);
    for name in [
        "id",
        "owner",
        "version",
        "created_at",
        "updated_at",
        "__proto__",
        "data'); drop table users; --",
    ] {
        let document = json!({"title": "x", name: "0197a3f0-0000-7000-8000-000000000000"});
        for response in [
            ada.post(&shop.records(), document.clone()).await,
            ada.put(&path, document.clone()).await,
            ada.patch(&path, document.clone()).await,
        ] {
            let problem = response.expect_problem(422, "validation-failed");
            assert_eq!(
                problem.at("/errors/0/pointer"),
                format!("/{name}").replace('~', "~0")
            );
        }
    }
    assert_eq!(ada.get(&path).await.expect(200).json(), record);
}

#[tokio::test]
async fn res_05_of_fifty_patches_of_a_record_with_one_etag_one_succeeds() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let record = shop.make(&ada, json!({"title": "Ink", "price": 0})).await;
    let path = shop.record(&record["id"]);
    let tries: Vec<_> = (0..50)
        .map(|price| {
            let (ada, path) = (ada.clone(), path.clone());
            tokio::spawn(async move {
                with(
                    &ada,
                    "PATCH",
                    &path,
                    &[("if-match", "\"1\"")],
                    json!({"price": price}),
                )
                .await
            })
        })
        .collect();
    let (mut done, mut refused) = (0, 0);
    for one in tries {
        let response = one.await.unwrap();
        if response.status() == 200 {
            done += 1;
        } else {
            let problem = response.expect_problem(412, "precondition-failed");
            assert_eq!(problem.at("/current_version"), 2);
            refused += 1;
        }
    }
    assert_eq!((done, refused), (1, 49));
}

#[tokio::test]
async fn patches_of_different_members_without_a_condition_all_stay() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["additionalProperties"] = json!(true);
    })
    .await;
    let ada = app.person().await;
    let record = shop.make(&ada, json!({"title": "Ink"})).await;
    let path = shop.record(&record["id"]);
    let tries: Vec<_> = (0..20)
        .map(|index| {
            let (ada, path) = (ada.clone(), path.clone());
            tokio::spawn(async move {
                let patch = json!({format!("member_{index}"): index});
                loop {
                    let response = ada.patch(&path, patch.clone()).await;
                    match response.status() {
                        200 => return,
                        503 => {}
                        other => panic!("{other}: {}", response.text()),
                    }
                }
            })
        })
        .collect();
    for one in tries {
        one.await.unwrap();
    }
    let record = ada.get(&path).await.expect(200).json();
    for index in 0..20 {
        assert_eq!(record[format!("member_{index}")], index);
    }
    assert_eq!(record["version"], 21);
}

#[tokio::test]
async fn res_05_a_collection_may_demand_a_precondition() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["require_precondition"] = json!(true)
    })
    .await;
    let ada = app.person().await;
    let record = shop.make(&ada, json!({"title": "Ink"})).await;
    let path = shop.record(&record["id"]);
    let document = json!({"title": "Pen"});
    for (method, body) in [
        ("PUT", document.clone()),
        ("PATCH", document.clone()),
        ("DELETE", Value::Null),
    ] {
        let response = with(&ada, method, &path, &[], body.clone()).await;
        response.expect_problem(428, "precondition-required");
        let stale = with(&ada, method, &path, &[("if-match", "\"7\"")], body).await;
        assert_eq!(
            stale
                .expect_problem(412, "precondition-failed")
                .at("/current_version"),
            1
        );
    }
    with(
        &ada,
        "PUT",
        &path,
        &[("if-match", "\"1\"")],
        document.clone(),
    )
    .await
    .expect(200);
    with(
        &ada,
        "PATCH",
        &path,
        &[("if-match", "\"2\", \"9\"")],
        document,
    )
    .await
    .expect(200);
    with(&ada, "DELETE", &path, &[("if-match", "*")], Value::Null)
        .await
        .expect(204);
}

#[tokio::test]
async fn put_makes_what_is_not_there_once() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let path = shop.record(&json!(uuid::Uuid::now_v7().to_string()));
    let document = json!({"title": "Ink"});
    let condition = with(&ada, "PUT", &path, &[("if-match", "*")], document.clone()).await;
    condition.expect_problem(412, "precondition-failed");
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let (ada, path, document) = (ada.clone(), path.clone(), document.clone());
            tokio::spawn(async move {
                with(&ada, "PUT", &path, &[("if-none-match", "*")], document)
                    .await
                    .status()
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in tries {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    let mut expected = vec![412; 20];
    expected[0] = 201;
    assert_eq!(statuses, expected);
    let first = ada.get(&path).await.expect(200).at("/version");
    let second = ada.put(&path, document).await.expect(200).at("/version");
    assert_eq!(second.as_i64().unwrap(), first.as_i64().unwrap() + 1);
    let malformed = ada
        .put(
            &format!("{}/nonsense", shop.records()),
            json!({"title": "x"}),
        )
        .await;
    malformed.expect_problem(404, "not-found");
    let version_four = shop.record(&json!(
        uuid::Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef).to_string()
    ));
    let refused = ada.put(&version_four, json!({"title": "x"})).await;
    refused.expect_problem(422, "validation-failed");
}

#[tokio::test]
async fn inp_05_numbers_texts_and_times_stay_what_they_are() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["additionalProperties"] = json!(true);
    })
    .await;
    let ada = app.person().await;
    let body = r#"{"title": "Ἀθῆναι 🎉 \"\\ \u0007", "price": 12345678901234567890.123456789, "n": 1e30, "": {"é": [null, true, {}]}, "due": "2026-11-24T10:00:00.5+01:00"}"#;
    let request = ada
        .request("POST", &shop.records())
        .header("content-type", "application/json")
        .body(body);
    let made = app.send(request).await.expect(201);
    let text = made.text();
    assert!(text.contains("12345678901234567890.123456789"), "{text}");
    let sent: Value = serde_json::from_str(body).unwrap();
    assert_eq!(made.at("/title"), sent["title"]);
    assert_eq!(made.json()[""], sent[""]);
    assert_eq!(
        made.at("/due"),
        "2026-11-24T09:00:00.500Z",
        "one form for every moment"
    );
    assert_eq!(app.get("/v1/data/none/x").await.status(), 404);
    for bad in [
        r#"{"title": "a\u0000b"}"#,
        r#"{"title": "\ud800"}"#,
        r#"{"title": "a", "title": "b"}"#,
    ] {
        let request = ada
            .request("POST", &shop.records())
            .header("content-type", "application/json")
            .body(bad);
        app.send(request).await.expect_problem(400, "refused-json");
    }
    let deep = format!(
        "{{\"title\": {}1{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let request = ada
        .request("POST", &shop.records())
        .header("content-type", "application/json")
        .body(deep);
    assert_eq!(app.send(request).await.status(), 400);
    let array = ada.post(&shop.records(), json!([1])).await;
    assert_eq!(array.status(), 422);
}

#[tokio::test]
async fn a_large_document_is_stored_and_a_larger_one_refused() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["additionalProperties"] = json!(true);
    })
    .await;
    let ada = app.person().await;
    let document = json!({"title": "x", "x".repeat(65_536): "y".repeat(900_000)});
    let made = shop.make(&ada, document.clone()).await;
    let read = ada.get(&shop.record(&made["id"])).await.expect(200).json();
    assert_eq!(read["x".repeat(65_536)], document["x".repeat(65_536)]);
    let large = json!({"title": "x", "y": "y".repeat(1_100_000)});
    let refused = ada.post(&shop.records(), large).await;
    refused.expect_problem(413, "payload-too-large");
}

#[tokio::test]
async fn res_10_the_same_key_makes_one_record() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let key = [("idempotency-key", "order-1")];
    let first = with(&ada, "POST", &shop.records(), &key, json!({"title": "Ink"}))
        .await
        .expect(201);
    let again = with(&ada, "POST", &shop.records(), &key, json!({"title": "Ink"}))
        .await
        .expect(201);
    assert_eq!(first.json(), again.json());
    let other = with(&ada, "POST", &shop.records(), &key, json!({"title": "Pen"})).await;
    other.expect_problem(422, "idempotency-key-reused");
    ada.delete(&shop.record(&first.at("/id"))).await.expect(204);
    let anew = with(&ada, "POST", &shop.records(), &key, json!({"title": "Ink"})).await;
    assert_ne!(
        anew.expect(201).at("/id"),
        first.at("/id"),
        "what is gone is not shown"
    );
}

#[tokio::test]
async fn the_records_of_an_erased_account_go_or_stay_as_declared() {
    let app = TestApp::shared();
    let gone = Shop::open(&app, |declaration| {
        declaration["rules"]["read"] = json!("true")
    })
    .await;
    let kept = Shop::open(&app, |declaration| {
        declaration["rules"]["read"] = json!("true");
        declaration["on_owner_delete"] = json!("keep");
    })
    .await;
    let ada = app.person().await;
    let in_gone = gone.make(&ada, json!({"title": "Ink"})).await;
    let in_kept = kept.make(&ada, json!({"title": "Ink"})).await;
    ada.delete("/v1/users/me").await.expect(204);
    app.get(&gone.record(&in_gone["id"]))
        .await
        .expect_problem(404, "not-found");
    let record = app.get(&kept.record(&in_kept["id"])).await.expect(200);
    assert_eq!(
        (record.at("/owner"), record.at("/version")),
        (Value::Null, json!(2))
    );
}

#[tokio::test]
async fn res_06_a_tag_is_never_that_of_another_record() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let made = shop.make(&ada, json!({"title": "Ink"})).await;
    let path = shop.record(&made["id"]);
    ada.delete(&path).await.expect(204);
    let anew = ada.put(&path, json!({"title": "Pen"})).await.expect(201);
    assert_ne!(anew.header("etag"), "\"1\"");
    let tag = [("if-none-match", "\"1\"")];
    with(&ada, "GET", &path, &tag, Value::Null)
        .await
        .expect(200);
    let tag = [("if-match", "\"1\"")];
    let stale = with(&ada, "PUT", &path, &tag, json!({"title": "x"})).await;
    stale.expect_problem(412, "precondition-failed");
}

#[tokio::test]
async fn inp_01_no_patch_makes_a_document_larger_than_a_body_may_be() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["additionalProperties"] = json!(true);
    })
    .await;
    let ada = app.person().await;
    let made = shop
        .make(&ada, json!({"title": "x", "a": "a".repeat(700_000)}))
        .await;
    let path = shop.record(&made["id"]);
    let patched = ada.patch(&path, json!({"b": "b".repeat(700_000)})).await;
    patched.expect_problem(413, "payload-too-large");
    assert_eq!(ada.get(&path).await.expect(200).json(), made);
}

#[tokio::test]
async fn a_hundred_faults_are_told_and_no_more() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let mut document = json!({"title": "x", "tags": []});
    for index in 0..5_000 {
        document[format!("member_{index}")] = json!(1);
        document["tags"].as_array_mut().unwrap().push(json!(1));
    }
    let problem = ada.post(&shop.records(), document).await;
    let problem = problem.expect_problem(422, "validation-failed").json();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn nothing_is_left_of_somebody_who_is_erased_while_they_write() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let shop = Shop::open(&app, |_| {}).await;
    for _ in 0..4 {
        let ada = app.person().await;
        let writers: Vec<_> = (0..6)
            .map(|_| {
                let (ada, path) = (ada.clone(), shop.records());
                tokio::spawn(async move {
                    while ada.post(&path, json!({"title": "x"})).await.status() == 201 {}
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        while ada.delete("/v1/users/me").await.status() == 503 {}
        for writer in writers {
            writer.await.unwrap();
        }
    }
    let table = query_value(
        app.database(),
        "select 'c' || serial as value from collections",
    );
    let left = format!(
        "select count(*)::text as value from tollgate_data.{table} where owner not in (select id from users)"
    );
    assert_eq!(query_value(app.database(), &left), "0");
}
