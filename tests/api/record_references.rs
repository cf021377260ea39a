//! Records that refer to others.

use serde_json::{Value, json};

use crate::harness::{Person, Shop, TestApp};

/// Customers, and orders that refer to them by `customer`.
async fn shops(app: &TestApp, on_delete: Option<&str>) -> (Shop, Shop) {
    let customers = Shop::open(app, |_| {}).await;
    let orders = Shop::open(app, |declaration| {
        let mut customer = json!({"type": "string", "format": "uuid", "x-ref": customers.name});
        if let Some(choice) = on_delete {
            customer["x-on-delete"] = json!(choice);
        }
        declaration["schema"]["properties"]["customer"] = customer;
        declaration["history"] = json!(true);
    })
    .await;
    (customers, orders)
}

async fn pair(person: &Person, customers: &Shop, orders: &Shop) -> (Value, Value) {
    let customer = customers.make(person, json!({"title": "Ada"})).await;
    let order = orders
        .make(person, json!({"title": "Ink", "customer": customer["id"]}))
        .await;
    (customer, order)
}

#[tokio::test]
async fn a_reference_is_to_a_record_that_is_there_and_stays_there() {
    let app = TestApp::shared();
    let (customers, orders) = shops(&app, None).await;
    let ada = app.person().await;
    let (customer, order) = pair(&ada, &customers, &orders).await;
    let path = orders.record(&order["id"]);
    let missing = json!({"title": "x", "customer": uuid::Uuid::now_v7()});
    for refused in [
        ada.post(&orders.records(), missing.clone()).await,
        ada.put(&path, missing.clone()).await,
        ada.patch(&path, missing.clone()).await,
        ada.post("/v1/batch", json!({"operations": [{"operation": "create", "collection": orders.name, "document": missing}]})).await,
    ] {
        let refused = refused.expect_problem(422, "validation-failed");
        let pointer = refused.at("/errors/0/pointer");
        assert!(pointer.as_str().unwrap().ends_with("/customer"), "{pointer}");
    }
    ada.delete(&customers.record(&customer["id"]))
        .await
        .expect_problem(409, "record-referenced");
    ada.patch(&path, json!({"customer": null}))
        .await
        .expect(200);
    ada.delete(&customers.record(&customer["id"]))
        .await
        .expect(204);
    // Both in one batch, in the order that the reference needs.
    let (customer, order) = pair(&ada, &customers, &orders).await;
    let delete = |shop: &Shop, record: &Value| json!({"operation": "delete", "collection": shop.name, "id": record["id"]});
    let wrong = json!({"operations": [delete(&customers, &customer), delete(&orders, &order)]});
    ada.post("/v1/batch", wrong)
        .await
        .expect_problem(409, "record-referenced");
    let right = json!({"operations": [delete(&orders, &order), delete(&customers, &customer)]});
    ada.post("/v1/batch", right).await.expect(200);
}

#[tokio::test]
async fn what_refers_to_a_deleted_record_goes_with_it_or_forgets_it() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let (customers, orders) = shops(&app, Some("delete")).await;
    let (customer, order) = pair(&ada, &customers, &orders).await;
    let other = orders.make(&ada, json!({"title": "Pen"})).await;
    ada.delete(&customers.record(&customer["id"]))
        .await
        .expect(204);
    ada.get(&orders.record(&order["id"]))
        .await
        .expect_problem(404, "not-found");
    ada.get(&orders.record(&other["id"])).await.expect(200);

    let (customers, orders) = shops(&app, Some("clear")).await;
    let (customer, order) = pair(&ada, &customers, &orders).await;
    ada.delete(&customers.record(&customer["id"]))
        .await
        .expect(204);
    let read = ada
        .get(&orders.record(&order["id"]))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (read.get("customer"), &read["version"], &read["title"]),
        (None, &json!(2), &json!("Ink"))
    );
    let before = ada
        .get(&format!("{}/versions/1", orders.record(&order["id"])))
        .await
        .expect(200);
    assert_eq!(before.at("/customer"), customer["id"]);
}

#[tokio::test]
async fn records_that_refer_to_each_other_in_a_ring_are_deleted() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["properties"]["next"] = json!({"type": "string", "format": "uuid"});
    })
    .await;
    let mut declaration = shop.declaration().await;
    declaration["schema"]["properties"]["next"]["x-ref"] = json!(shop.name);
    declaration["schema"]["properties"]["next"]["x-on-delete"] = json!("delete");
    shop.declare(&declaration).await.expect(200);
    let ada = app.person().await;
    let first = shop.make(&ada, json!({"title": "1"})).await;
    let second = shop
        .make(&ada, json!({"title": "2", "next": first["id"]}))
        .await;
    ada.patch(&shop.record(&first["id"]), json!({"next": second["id"]}))
        .await
        .expect(200);
    let own = shop.make(&ada, json!({"title": "3"})).await;
    ada.patch(&shop.record(&own["id"]), json!({"next": own["id"]}))
        .await
        .expect(200);
    ada.delete(&shop.record(&first["id"])).await.expect(204);
    ada.delete(&shop.record(&own["id"])).await.expect(204);
    assert_eq!(
        ada.get(&format!("{}?count=exact", shop.records()))
            .await
            .at("/count"),
        json!(0)
    );
}

#[tokio::test]
async fn res_01_nobody_refers_to_what_they_can_not_read() {
    let app = TestApp::shared();
    let (customers, orders) = shops(&app, None).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let hers = customers.make(&eve, json!({"title": "hers"})).await;
    let order = orders.make(&ada, json!({"title": "x"})).await;
    let document = |id: &Value| json!({"title": "x", "customer": id});
    let missing = json!(uuid::Uuid::now_v7());
    let path = orders.record(&order["id"]);
    for (method, path) in [
        ("POST", &orders.records()),
        ("PUT", &path),
        ("PATCH", &path),
    ] {
        let hidden = ada.send(method, path, Some(document(&hers["id"]))).await;
        let hidden = hidden.expect_problem(422, "validation-failed");
        let nothing = ada.send(method, path, Some(document(&missing))).await;
        let nothing = nothing.expect_problem(422, "validation-failed");
        assert_eq!(hidden.at("/errors"), nothing.at("/errors"), "{method}");
    }
    eve.delete(&customers.record(&hers["id"])).await.expect(204);
}

#[tokio::test]
async fn a_chain_that_is_too_long_is_told_and_a_long_one_goes() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let mut declaration = shop.declaration().await;
    declaration["schema"]["properties"]["parent"] =
        json!({"type": "string", "format": "uuid", "x-ref": shop.name, "x-on-delete": "delete"});
    shop.declare(&declaration).await.expect(200);
    let ada = app.person().await;
    for (length, status) in [(150, 204), (300, 409)] {
        let root = shop.make(&ada, json!({"title": "root"})).await;
        let mut parent = root["id"].clone();
        for _ in 0..length / 50 {
            let operation = |refs: Value, document: Value| json!({"operation": "create", "collection": shop.name, "document": document, "refs": refs});
            let first = operation(json!({}), json!({"title": "x", "parent": parent}));
            let rest = (0..49).map(|n| operation(json!({"/parent": n}), json!({"title": "x"})));
            let operations: Vec<_> = std::iter::once(first).chain(rest).collect();
            let made = ada
                .post("/v1/batch", json!({"operations": operations}))
                .await
                .expect(200)
                .json();
            parent = made["outcomes"][49]["record"]["id"].clone();
        }
        let deleted = ada.delete(&shop.record(&root["id"])).await;
        assert_eq!(deleted.status(), status, "{length} {}", deleted.text());
    }
}

#[tokio::test]
async fn res_01_expanding_shows_only_what_the_caller_may_read() {
    let app = TestApp::shared();
    let (customers, orders) = shops(&app, None).await;
    let mut declaration = orders.declaration().await;
    declaration["rules"]["list"] = json!("true");
    declaration["rules"]["read"] = json!("true");
    orders.declare(&declaration).await.expect(200);
    let (ada, eve) = (app.person().await, app.person().await);
    let (customer, order) = pair(&ada, &customers, &orders).await;
    orders.make(&ada, json!({"title": "Pen"})).await;
    let path = format!("{}?expand=customer", orders.record(&order["id"]));
    let read = ada.get(&path).await.expect(200);
    assert_eq!(read.at("/expanded/customer"), customer);
    assert_eq!(read.at("/customer"), customer["id"]);
    assert!(read.headers().get("etag").is_none());
    let listed = ada
        .get(&format!(
            "{}?expand=customer&fields=title",
            orders.records()
        ))
        .await
        .expect(200);
    assert_eq!(listed.at("/items/0/expanded/customer/title"), "Ada");
    assert_eq!(listed.at("/items/1/expanded"), json!({}));
    let hidden = eve.get(&path).await.expect(200);
    assert_eq!(
        (hidden.at("/expanded"), hidden.at("/customer")),
        (json!({}), customer["id"].clone())
    );
    for name in [
        "title",
        "owner",
        "nothing",
        "",
        "customer,",
        "customer,customer",
    ] {
        let refused = ada
            .get(&format!("{}?expand={name}", orders.records()))
            .await;
        assert_eq!(
            refused
                .expect_problem(400, "invalid-query")
                .at("/errors/0/pointer"),
            "/expand"
        );
    }
}

#[tokio::test]
async fn references_are_declared_to_what_is_there() {
    let app = TestApp::shared();
    let (customers, orders) = shops(&app, None).await;
    let ada = app.person().await;
    let refused = customers
        .administrator()
        .delete(&format!("{}?confirm={}", customers.uri(), customers.name))
        .await;
    refused.expect_problem(409, "collection-referenced");
    let declaration = orders.declaration().await;
    let at = "/schema/properties/customer";
    for (member, pointer) in [
        (
            json!({"type": "string", "format": "uuid", "x-ref": "nothing_here"}),
            "/x-ref",
        ),
        (
            json!({"type": "string", "format": "uuid", "x-ref": "No Name"}),
            "/x-ref",
        ),
        (json!({"type": "string", "x-ref": customers.name}), "/x-ref"),
        (
            json!({"type": "string", "format": "uuid", "x-on-delete": "clear"}),
            "/x-on-delete",
        ),
        (
            json!({"type": "string", "format": "uuid", "x-ref": customers.name, "x-on-delete": "explode"}),
            "/x-on-delete",
        ),
    ] {
        let mut changed = declaration.clone();
        changed["schema"]["properties"]["customer"] = member;
        let refused = orders
            .declare(&changed)
            .await
            .expect_problem(422, "validation-failed");
        assert_eq!(refused.at("/errors/0/pointer"), format!("{at}{pointer}"));
    }
    // Stored records that refer to nothing keep a reference from being declared.
    let mut loose = declaration.clone();
    loose["schema"]["properties"]["customer"] = json!({"type": "string", "format": "uuid"});
    orders.declare(&loose).await.expect(200);
    let stray = orders
        .make(
            &ada,
            json!({"title": "x", "customer": uuid::Uuid::now_v7()}),
        )
        .await;
    orders
        .declare(&declaration)
        .await
        .expect_problem(409, "records-misfit");
    ada.delete(&orders.record(&stray["id"])).await.expect(204);
    orders.declare(&declaration).await.expect(200);
    // Both go when the one that refers goes first.
    let confirmed = |shop: &Shop| format!("{}?confirm={}", shop.uri(), shop.name);
    orders
        .administrator()
        .delete(&confirmed(&orders))
        .await
        .expect(204);
    orders
        .administrator()
        .delete(&confirmed(&customers))
        .await
        .expect(204);
}

#[tokio::test]
async fn the_feed_tells_of_what_goes_or_changes_with_its_target() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for (choice, kind) in [("delete", "delete"), ("clear", "update")] {
        let (customers, orders) = shops(&app, Some(choice)).await;
        let (customer, order) = pair(&ada, &customers, &orders).await;
        let listed = ada.get(&orders.records()).await.expect(200);
        let since = listed.header("feed-position").to_owned();
        ada.delete(&customers.record(&customer["id"]))
            .await
            .expect(204);
        let changes = format!(
            "/v1/changes?collection={}&since={since}&wait=10",
            orders.name
        );
        let mut changes = ada.get(&changes).await.expect(200).json();
        let items = changes["items"].as_array_mut().unwrap();
        // The making may have got its position after the list.
        items.retain(|item| item["version"] != 1);
        if items.is_empty() {
            let since = changes["position"].as_str().unwrap();
            let path = format!(
                "/v1/changes?collection={}&since={since}&wait=10",
                orders.name
            );
            changes = ada.get(&path).await.expect(200).json();
        }
        let told = &changes["items"][0];
        assert_eq!(
            (&told["type"], &told["id"], &told["version"]),
            (&json!(kind), &order["id"], &json!(2))
        );
        assert_eq!(told["record"].get("customer"), None);
    }
}

#[tokio::test]
async fn an_account_is_erased_once_nobody_refers_to_its_records_with_restrict() {
    let app = TestApp::shared();
    let (customers, orders) = shops(&app, None).await;
    let mut declaration = customers.declaration().await;
    declaration["rules"]["read"] = json!("true");
    customers.declare(&declaration).await.expect(200);
    let (ada, eve) = (app.person().await, app.person().await);
    let hers = customers.make(&eve, json!({"title": "hers"})).await;
    let own = orders
        .make(&eve, json!({"title": "own", "customer": hers["id"]}))
        .await;
    let order = orders
        .make(&ada, json!({"title": "x", "customer": hers["id"]}))
        .await;
    let account = format!("/v1/users/{}", eve.id());
    eve.delete(&account)
        .await
        .expect_problem(409, "record-referenced");
    eve.get(&orders.record(&own["id"])).await.expect(200);
    ada.delete(&orders.record(&order["id"])).await.expect(204);
    // Her own records refer to each other, in whichever order they go.
    eve.delete(&account).await.expect(204);
}
