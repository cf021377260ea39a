//! What records were before they were replaced.

use serde_json::{Value, json};

use crate::harness::{Shop, TestApp};

async fn kept(app: &TestApp, change: impl FnOnce(&mut Value)) -> Shop {
    Shop::open(app, |declaration| {
        declaration["history"] = json!(true);
        change(declaration);
    })
    .await
}

#[tokio::test]
async fn versions_are_listed_read_and_restored() {
    let app = TestApp::shared();
    let shop = kept(&app, |_| {}).await;
    let ada = app.person().await;
    let made = shop.make(&ada, json!({"title": "one", "price": 1})).await;
    let path = shop.record(&made["id"]);
    ada.patch(&path, json!({"title": "two"})).await.expect(200);
    ada.put(&path, json!({"title": "three"})).await.expect(200);
    let versions = format!("{path}/versions");
    let listed = ada.get(&versions).await.expect(200).json();
    let titles: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["title"].clone())
        .collect();
    assert_eq!(titles, ["three", "two", "one"]);
    assert_eq!(listed["items"][2], made);
    // Page by page.
    let first = ada
        .get(&format!("{versions}?limit=2"))
        .await
        .expect(200)
        .json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = ada
        .get(&format!("{versions}?limit=2&cursor={cursor}"))
        .await
        .expect(200)
        .json();
    assert_eq!(rest["items"], json!([made]));
    assert_eq!(rest["next_cursor"], Value::Null);
    let one = ada.get(&format!("{versions}/1")).await.expect(200);
    assert_eq!((one.json(), one.header("etag")), (made.clone(), "\"1\""));
    for missing in ["0", "4", "99", "-1"] {
        ada.get(&format!("{versions}/{missing}"))
            .await
            .expect_problem(404, "not-found");
    }
    let restore = format!("{versions}/1/restore");
    let stale = ada.request("POST", &restore).header("if-match", "\"2\"");
    app.send(stale)
        .await
        .expect_problem(412, "precondition-failed");
    let restored = app
        .send(ada.request("POST", &restore))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&restored["title"], &restored["price"], &restored["version"]),
        (&json!("one"), &json!(1), &json!(4))
    );
    assert_eq!(ada.get(&path).await.json(), restored);
    // What was restored over is kept too.
    let three = ada.get(&format!("{versions}/3")).await.expect(200);
    assert_eq!(three.at("/title"), "three");
    ada.delete(&path).await.expect(204);
    ada.get(&versions).await.expect_problem(404, "not-found");
    ada.get(&format!("{versions}/1"))
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn res_01_versions_are_seen_and_restored_only_as_far_as_the_rules_go() {
    let app = TestApp::shared();
    let shop = kept(&app, |declaration| {
        declaration["rules"]["read"] = json!("record.owner == auth.sub || record.status == 'sent'");
        declaration["rules"]["update"] =
            json!("record.owner == auth.sub && record.status != 'sent'");
    })
    .await;
    let (ada, eve) = (app.person().await, app.person().await);
    let made = shop
        .make(&ada, json!({"title": "draft", "status": "open"}))
        .await;
    let path = shop.record(&made["id"]);
    let versions = format!("{path}/versions");
    eve.get(&versions).await.expect_problem(404, "not-found");
    ada.patch(&path, json!({"title": "final", "status": "sent"}))
        .await
        .expect(200);
    // What was hidden before it was published stays hidden.
    let listed = eve.get(&versions).await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    eve.get(&format!("{versions}/1"))
        .await
        .expect_problem(404, "not-found");
    let restore = |version: u8| format!("{versions}/{version}/restore");
    app.send(eve.request("POST", &restore(1)))
        .await
        .expect_problem(404, "not-found");
    app.send(eve.request("POST", &restore(2)))
        .await
        .expect_problem(403, "rule-forbids");
    app.send(ada.request("POST", &restore(1)))
        .await
        .expect_problem(403, "rule-forbids");
}

#[tokio::test]
async fn what_no_longer_fits_the_schema_is_not_restored_and_history_begins_when_it_is_declared() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let made = shop.make(&ada, json!({"title": "one", "price": 1})).await;
    let path = shop.record(&made["id"]);
    let versions = format!("{path}/versions");
    ada.get(&versions).await.expect_problem(404, "not-found");
    ada.patch(&path, json!({"price": 2})).await.expect(200);
    let mut declaration = shop.declaration().await;
    declaration["history"] = json!(true);
    shop.declare(&declaration).await.expect(200);
    ada.patch(&path, json!({"price": 50})).await.expect(200);
    ada.get(&format!("{versions}/1"))
        .await
        .expect_problem(404, "not-found");
    ada.get(&format!("{versions}/2")).await.expect(200);
    declaration["schema"]["properties"]["price"]["minimum"] = json!(10);
    shop.declare(&declaration).await.expect(200);
    let refused = app
        .send(ada.request("POST", &format!("{versions}/2/restore")))
        .await;
    assert_eq!(
        refused
            .expect_problem(422, "validation-failed")
            .at("/errors/0/pointer"),
        "/price"
    );
    // Deleting the collection takes its history along.
    let delete = format!("{}?confirm={}", shop.uri(), shop.name);
    shop.administrator().delete(&delete).await.expect(204);
}

#[tokio::test]
async fn res_02_versions_hide_what_is_hidden_now_and_restoring_loses_nothing() {
    let app = TestApp::shared();
    let shop = kept(&app, |declaration| {
        let visible = "record.title == 'open' || 'admin' in auth.roles";
        declaration["schema"]["properties"]["note"] =
            json!({"type": "string", "maxLength": 50, "x-readable": visible, "x-writable": "true"});
        for rule in ["list", "read", "update"] {
            declaration["rules"][rule] = json!("true");
        }
    })
    .await;
    let (ada, administrator) = (app.person().await, shop.administrator());
    let made = shop
        .make(&ada, json!({"title": "open", "note": "one"}))
        .await;
    let path = shop.record(&made["id"]);
    administrator
        .put(&path, json!({"title": "shut", "note": "two"}))
        .await
        .expect(200);
    let versions = format!("{path}/versions");
    assert!(!ada.get(&versions).await.expect(200).text().contains("note"));
    assert_eq!(
        ada.get(&format!("{versions}/1"))
            .await
            .expect(200)
            .at("/note"),
        Value::Null
    );
    // She restores what she sees of it; what she doesn't stays.
    app.send(ada.request("POST", &format!("{versions}/1/restore")))
        .await
        .expect(200);
    let read = administrator.get(&path).await.expect(200);
    assert_eq!(
        (read.at("/title"), read.at("/note")),
        (json!("open"), json!("two"))
    );
    // Of the version in which it was hidden she restores the rest.
    app.send(ada.request("POST", &format!("{versions}/2/restore")))
        .await
        .expect(200);
    let read = administrator.get(&path).await.expect(200);
    assert_eq!(
        (read.at("/title"), read.at("/note")),
        (json!("shut"), json!("two"))
    );
}
