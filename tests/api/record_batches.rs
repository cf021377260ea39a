//! Several writes as one.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Shop, TestApp};

#[tokio::test]
async fn a_batch_makes_changes_and_deletes_in_its_order_and_refers_to_what_it_made() {
    let app = TestApp::shared();
    let (shop, other) = (
        Shop::open(&app, |_| {}).await,
        Shop::open(&app, |_| {}).await,
    );
    let ada = app.person().await;
    let old = shop.make(&ada, json!({"title": "old", "price": 1})).await;
    let gone = shop.make(&ada, json!({"title": "gone"})).await;
    let chosen = uuid::Uuid::now_v7().to_string();
    let done = ada
        .post("/v1/batch", json!({"operations": [
            {"operation": "create", "collection": shop.name, "document": {"title": "new"}},
            {"operation": "create", "collection": other.name, "id": chosen, "document": {"title": "x", "tags": ["a", "b"]}, "refs": {"/tags/1": 0, "/title": 0}},
            {"operation": "update", "collection": shop.name, "id": old["id"], "document": {"price": 2}, "if_match": 1},
            {"operation": "replace", "collection": shop.name, "id": old["id"], "document": {"title": "renewed"}, "if_match": 2},
            {"operation": "delete", "collection": shop.name, "id": gone["id"]},
        ]}))
        .await
        .expect(200)
        .json();
    let statuses: Vec<_> = done["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].clone())
        .collect();
    assert_eq!(statuses, [201, 201, 200, 200, 204]);
    let new = &done["outcomes"][0]["record"];
    assert_eq!(done["outcomes"][0]["location"], shop.record(&new["id"]));
    let referring = ada
        .get(&other.record(&json!(chosen)))
        .await
        .expect(200)
        .json();
    assert_eq!(referring["tags"], json!(["a", new["id"]]));
    assert_eq!(referring["title"], new["id"]);
    assert_eq!(
        ada.get(&shop.record(&old["id"])).await.at("/title"),
        "renewed"
    );
    ada.get(&shop.record(&gone["id"]))
        .await
        .expect_problem(404, "not-found");
    assert_eq!(done["outcomes"][4].get("record"), None);
}

#[tokio::test]
async fn of_a_batch_that_is_refused_nothing_is_done() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let hers = shop.make(&eve, json!({"title": "hers"})).await;
    let own = shop.make(&ada, json!({"title": "own"})).await;
    let good = json!({"operation": "create", "collection": shop.name, "document": {"title": "x"}});
    let sent = shop
        .make(&ada, json!({"title": "sent", "status": "sent"}))
        .await;
    for (bad, status, code, pointer) in [
        (
            json!({"operation": "create", "collection": shop.name, "document": {"price": -1}}),
            422,
            "validation-failed",
            "/operations/1/document/price",
        ),
        (
            json!({"operation": "update", "collection": shop.name, "id": hers["id"], "document": {}}),
            404,
            "not-found",
            "/operations/1",
        ),
        (
            json!({"operation": "delete", "collection": shop.name, "id": hers["id"]}),
            404,
            "not-found",
            "/operations/1",
        ),
        (
            json!({"operation": "update", "collection": shop.name, "id": own["id"], "document": {}, "if_match": 7}),
            412,
            "precondition-failed",
            "/operations/1",
        ),
        (
            json!({"operation": "update", "collection": shop.name, "id": sent["id"], "document": {"price": 1}}),
            403,
            "rule-forbids",
            "/operations/1",
        ),
        (
            json!({"operation": "delete", "collection": "nothing_here", "id": own["id"]}),
            404,
            "not-found",
            "/operations/1",
        ),
        (
            json!({"operation": "create", "collection": shop.name, "id": own["id"], "document": {"title": "x"}}),
            412,
            "precondition-failed",
            "/operations/1",
        ),
        (
            json!({"operation": "create", "collection": shop.name, "document": {"title": "x"}, "refs": {"/title": 1}}),
            422,
            "validation-failed",
            "/operations/1/refs/~1title",
        ),
        (
            json!({"operation": "create", "collection": shop.name, "document": {"title": "x"}, "refs": {"title": 0}}),
            422,
            "validation-failed",
            "/operations/1/refs/title",
        ),
        (
            json!({"operation": "delete", "collection": shop.name}),
            422,
            "validation-failed",
            "/operations/1/id",
        ),
        (
            json!({"operation": "delete", "collection": shop.name, "id": own["id"], "document": {}}),
            422,
            "validation-failed",
            "/operations/1/document",
        ),
        (
            json!({"operation": "create", "collection": shop.name}),
            422,
            "validation-failed",
            "/operations/1/document",
        ),
        (
            json!({"operation": "create", "collection": shop.name, "document": {"title": "x", "owner": eve.id()}}),
            422,
            "validation-failed",
            "/operations/1/document/owner",
        ),
    ] {
        let refused = ada
            .post("/v1/batch", json!({"operations": [good, bad]}))
            .await;
        let refused = refused.expect_problem(status, code);
        assert_eq!(refused.at("/errors/0/pointer"), pointer, "{bad}");
    }
    let listed = ada.get(&shop.records()).await.expect(200).json();
    assert_eq!(
        listed["items"].as_array().unwrap().len(),
        2,
        "only what was there before"
    );
    for operations in [
        json!([]),
        json!(vec![good.clone(); 101]),
        json!([{"operation": "explode", "collection": shop.name}]),
    ] {
        let refused = ada
            .post("/v1/batch", json!({"operations": operations}))
            .await;
        refused.expect_problem(422, "validation-failed");
    }
    let reader = app.user("records:read").await;
    reader
        .post("/v1/batch", json!({"operations": [good]}))
        .await
        .expect_problem(403, "insufficient-scope");
}

#[tokio::test]
async fn res_10_a_batch_that_is_sent_twice_is_done_once() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let body = json!({"operations": [{"operation": "create", "collection": shop.name, "document": {"title": "x"}}]});
    let send = || {
        app.send(
            ada.request("POST", "/v1/batch")
                .header("idempotency-key", "once")
                .json(&body),
        )
    };
    let (first, second) = (send().await.expect(200), send().await.expect(200));
    assert_eq!(first.json(), second.json());
    let count = ada
        .get(&format!("{}?count=exact", shop.records()))
        .await
        .at("/count");
    assert_eq!(count, json!(1));
}

#[tokio::test]
async fn batches_that_change_the_same_records_lose_nothing() {
    // Those that wait for each other hold every connection for a second.
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let (one, other) = (
        shop.make(&ada, json!({"title": "a", "price": 0})).await,
        shop.make(&ada, json!({"title": "b", "price": 0})).await,
    );
    let update = |record: &Value, version: i64, price: i64| {
        json!({
            "operation": "update", "collection": shop.name, "id": record["id"], "document": {"price": price}, "if_match": version,
        })
    };
    // Both orders, so that some wait for each other.
    for version in 1..6 {
        let racing = (0..8).map(|n| {
            let mut operations = vec![
                update(&one, version, version),
                update(&other, version, version),
            ];
            if n % 2 == 1 {
                operations.reverse();
            }
            ada.post("/v1/batch", json!({"operations": operations}))
        });
        let statuses: Vec<_> = join_all(racing)
            .await
            .iter()
            .map(|one| one.status())
            .collect();
        assert!(
            statuses.iter().filter(|status| **status == 200).count() <= 1,
            "{statuses:?}"
        );
        assert!(
            statuses
                .iter()
                .all(|status| [200, 412, 503].contains(status)),
            "{statuses:?}"
        );
        if !statuses.contains(&200) {
            ada.post("/v1/batch", json!({"operations": [update(&one, version, version), update(&other, version, version)]})).await.expect(200);
        }
        for record in [&one, &other] {
            let read = ada.get(&shop.record(&record["id"])).await.json();
            assert_eq!(
                (&read["version"], &read["price"]),
                (&json!(version + 1), &json!(version))
            );
        }
    }
}
