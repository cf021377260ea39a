//! Counts, sums and groups.

use serde_json::{Value, json};

use crate::harness::{Shop, TestApp};

#[tokio::test]
async fn figures_are_of_what_the_caller_may_list() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    for (price, status) in [
        (json!(1.5), "open"),
        (json!(2.5), "open"),
        (json!(10), "paid"),
        (Value::Null, "paid"),
    ] {
        let mut document = json!({"title": format!("t{status}"), "status": status});
        if !price.is_null() {
            document["price"] = price;
        }
        shop.make(&ada, document).await;
    }
    shop.make(
        &ada,
        json!({"title": "none", "due": "2026-11-24T09:00:00Z"}),
    )
    .await;
    shop.make(
        &eve,
        json!({"title": "hers", "price": 1000, "status": "open"}),
    )
    .await;
    let figures = format!("{}/aggregate", shop.records());
    let compute = json!({
        "n": {"count": "*"}, "priced": {"count": "price"}, "total": {"sum": "price"}, "average": {"avg": "price"},
        "least": {"min": "title"}, "most": {"max": "price"},
    });
    let all = ada
        .post(&figures, json!({"compute": compute}))
        .await
        .expect(200)
        .json();
    assert_eq!(all["items"][0]["n"], 5);
    assert_eq!(all["items"][0]["priced"], 3);
    assert_eq!(all["items"][0]["total"], json!(14.0));
    assert_eq!(all["items"][0]["most"].as_f64(), Some(10.0));
    assert_eq!(all["items"][0]["least"], "none");
    let grouped = ada.post(&figures, json!({"group_by": ["status"], "compute": {"n": {"count": "*"}, "total": {"sum": "price"}}}));
    let grouped = grouped.await.expect(200).json();
    assert_eq!(
        grouped["items"],
        json!([
            {"status": "open", "n": 2, "total": 4.0},
            {"status": "paid", "n": 2, "total": 10},
            {"status": null, "n": 1, "total": null},
        ])
    );
    let distinct = ada
        .post(
            &figures,
            json!({"group_by": ["status"], "filter": "price > 2"}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(
        distinct["items"],
        json!([{"status": "open"}, {"status": "paid"}])
    );
    let own = ada
        .post(
            &figures,
            json!({"group_by": ["owner", "due"], "filter": "due != null"}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(
        own["items"],
        json!([{"owner": ada.id(), "due": "2026-11-24T09:00:00.000Z"}])
    );
    let moments = ada
        .post(
            &figures,
            json!({"compute": {"last": {"max": "created_at"}, "id": {"min": "id"}}}),
        )
        .await
        .expect(200)
        .json();
    let newest = ada
        .get(&format!("{}?order_by=-created_at&limit=1", shop.records()))
        .await
        .json();
    assert_eq!(
        moments["items"][0]["last"],
        newest["items"][0]["created_at"]
    );
    let nobody = app
        .post(&figures, json!({"compute": {"n": {"count": "*"}}}))
        .await
        .expect(200)
        .json();
    assert_eq!(nobody["items"], json!([{"n": 0}]));
}

#[tokio::test]
async fn figures_that_are_none_are_refused_with_their_place() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let figures = format!("{}/aggregate", shop.records());
    for (body, pointer) in [
        (json!({}), ""),
        (json!({"compute": {"n": {"sum": "title"}}}), "/compute/n"),
        (json!({"compute": {"n": {"sum": "nothing"}}}), "/compute/n"),
        (json!({"compute": {"n": {"sum": "*"}}}), "/compute/n"),
        (json!({"compute": {"n": {"sum": "tags"}}}), "/compute/n"),
        (
            json!({"compute": {"status": {"count": "*"}}, "group_by": ["status"]}),
            "/compute/status",
        ),
        (json!({"group_by": ["title", "-price"]}), "/group_by/1"),
        (json!({"group_by": ["title', now()) --"]}), "/group_by/0"),
        (
            json!({"group_by": ["title"], "filter": "price >"}),
            "/filter",
        ),
        (json!({"group_by": ["title"], "search": "x"}), "/search"),
    ] {
        let refused = ada
            .post(&figures, body.clone())
            .await
            .expect_problem(422, "validation-failed");
        assert_eq!(refused.at("/errors/0/pointer"), pointer, "{body}");
    }
    for body in [
        json!({"compute": {"n": {"median": "price"}}}),
        json!({"compute": {"n": {}}}),
        json!({"group": ["title"]}),
    ] {
        ada.post(&figures, body)
            .await
            .expect_problem(422, "validation-failed");
    }
    // Every value a group of its own.
    let names = (0..60).map(|n| json!({"operation": "create", "collection": shop.name, "document": {"title": format!("t{n}")}}));
    let names: Vec<_> = names.collect();
    for _ in 0..17 {
        let many: Vec<_> = names
            .iter()
            .cloned()
            .enumerate()
            .map(|(n, mut one)| {
                one["document"]["title"] = json!(format!("{}{n}", uuid::Uuid::now_v7()));
                one
            })
            .collect();
        ada.post("/v1/batch", json!({"operations": many}))
            .await
            .expect(200);
    }
    let refused = ada.post(&figures, json!({"group_by": ["title"]})).await;
    assert_eq!(
        refused
            .expect_problem(422, "validation-failed")
            .at("/errors/0/pointer"),
        "/group_by"
    );
}
