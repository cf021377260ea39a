//! Records line by line: whole lists, and many new records.

use serde_json::{Value, json};

use crate::harness::{Person, Response, Shop, TestApp, query};

async fn export(person: &Person, path: &str) -> Response {
    let request = person
        .request("GET", path)
        .header("accept", "application/x-ndjson");
    person.app().send(request).await
}

async fn import(person: &Person, path: &str, lines: &str) -> Response {
    let request = person
        .request("POST", path)
        .header("content-type", "application/x-ndjson");
    person.app().send(request.body(lines.to_owned())).await
}

fn parsed(response: &Response) -> Vec<Value> {
    assert_eq!(response.header("content-type"), "application/x-ndjson");
    let text = response.text();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_whole_list_is_read_line_by_line_and_stored_elsewhere() {
    let app = TestApp::shared();
    let (shop, other) = (
        Shop::open(&app, |_| {}).await,
        Shop::open(&app, |_| {}).await,
    );
    let (ada, eve) = (app.person().await, app.person().await);
    let lines: String = (0..650)
        .map(|n| format!("{{\"title\":\"t{n}\",\"price\":{n}}}\n"))
        .collect();
    let reports = parsed(&import(&ada, &shop.records(), &lines).await.expect(200));
    assert_eq!(reports.len(), 650);
    for (n, report) in reports.iter().enumerate() {
        assert_eq!(
            (&report["line"], &report["status"]),
            (&json!(n + 1), &json!(201))
        );
    }
    import(&eve, &shop.records(), "{\"title\":\"hers\"}")
        .await
        .expect(200);
    let all = parsed(&export(&ada, &shop.records()).await.expect(200));
    assert_eq!(all.len(), 650);
    let path = format!(
        "{}?filter=price%20%3E%3D%20100&order_by=-price&fields=price",
        shop.records()
    );
    let some = parsed(&export(&ada, &path).await.expect(200));
    let prices: Vec<_> = some
        .iter()
        .map(|record| record["price"].as_u64().unwrap())
        .collect();
    assert_eq!(prices, (100..650).rev().collect::<Vec<_>>());
    // What was exported is stored elsewhere under the same ids.
    let text = export(&ada, &shop.records()).await.text();
    let text = text.replace('\n', "\r\n\n");
    let reports = parsed(&import(&ada, &other.records(), &text).await.expect(200));
    assert!(
        reports.iter().all(|report| report["status"] == 201),
        "{}",
        reports[0]
    );
    let copied = parsed(&export(&ada, &other.records()).await);
    let titles = |records: &[Value]| -> Vec<_> {
        records
            .iter()
            .map(|one| (one["id"].clone(), one["title"].clone()))
            .collect()
    };
    assert_eq!(titles(&copied), titles(&all));
    // Once more: they are there.
    let reports = parsed(&import(&ada, &other.records(), &text).await.expect(200));
    assert!(
        reports.iter().all(|report| report["status"] == 412),
        "{}",
        reports[0]
    );
    let nobody = app
        .send(
            app.request("GET", &shop.records())
                .header("accept", "application/x-ndjson"),
        )
        .await;
    assert_eq!(nobody.expect(200).text(), "");
}

#[tokio::test]
async fn what_is_wrong_with_one_line_keeps_no_other_from_being_stored() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let id = uuid::Uuid::now_v7();
    let lines = [
        json!({"title": "good"}).to_string(),
        "{\"title\":".to_owned(),
        String::new(),
        json!({"price": -1}).to_string(),
        "{\"title\":\"a\",\"title\":\"b\"}".to_owned(),
        json!({"title": "x", "owner": eve.id()}).to_string(),
        json!({"title": "x", "id": "7"}).to_string(),
        json!({"title": "x", "id": uuid::Uuid::nil()}).to_string(),
        json!({"title": "own", "id": id, "owner": ada.id(), "version": 9, "created_at": "x"})
            .to_string(),
        "[]".to_owned(),
        json!({"title": "\u{0}"}).to_string(),
        json!({"title": "last"}).to_string(),
    ]
    .join("\n");
    let reports = parsed(&import(&ada, &shop.records(), &lines).await.expect(200));
    let told: Vec<_> = reports
        .iter()
        .map(|one| {
            (
                one["line"].as_u64().unwrap(),
                one["status"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, 201),
            (2, 400),
            (4, 422),
            (5, 400),
            (6, 403),
            (7, 422),
            (8, 422),
            (9, 201),
            (10, 422),
            (11, 400),
            (12, 201)
        ]
    );
    assert_eq!(reports[7]["id"], json!(id));
    assert_eq!(reports[2]["errors"][0]["pointer"], "/price");
    let count = ada
        .get(&format!("{}?count=exact", shop.records()))
        .await
        .at("/count");
    assert_eq!(count, json!(3));
    // An administrator stores for others.
    let line = json!({"title": "for eve", "owner": eve.id()}).to_string();
    let reports = parsed(
        &import(shop.administrator(), &shop.records(), &line)
            .await
            .expect(200),
    );
    assert_eq!(
        eve.get(&shop.record(&reports[0]["id"]))
            .await
            .expect(200)
            .at("/owner"),
        eve.id()
    );
}

#[tokio::test]
async fn lines_that_can_not_be_are_refused() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    for query in ["limit=5", "count=exact", "cursor=x"] {
        let refused = export(&ada, &format!("{}?{query}", shop.records())).await;
        refused.expect_problem(400, "invalid-query");
    }
    let refused = export(&ada, &format!("{}?filter=nothing", shop.records())).await;
    refused.expect_problem(400, "invalid-query");
    export(&ada, "/v1/data/nothing_here")
        .await
        .expect_problem(404, "not-found");
    import(&ada, "/v1/data/nothing_here", "{}")
        .await
        .expect_problem(404, "not-found");
    let long = format!("{{\"title\":\"{}\"}}", "x".repeat(1_100_000));
    import(&ada, &shop.records(), &long)
        .await
        .expect_problem(413, "payload-too-large");
    let reader = app.user("records:read").await;
    import(&reader, &shop.records(), "{}")
        .await
        .expect_problem(403, "insufficient-scope");
    let keyed = ada
        .request("POST", &shop.records())
        .header("content-type", "application/x-ndjson");
    let keyed = keyed.header("idempotency-key", "x").body("{}");
    app.send(keyed).await.expect_problem(400, "bad-request");
    assert_eq!(
        import(&ada, &shop.records(), "").await.expect(200).text(),
        ""
    );
}

#[tokio::test]
async fn a_list_is_read_as_it_is_when_its_first_line_is_read() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["properties"]["text"] = json!({"type": "string"})
    })
    .await;
    let ada = app.person().await;
    let text = "x".repeat(100_000);
    for _ in 0..6 {
        let lines: String = (0..40)
            .map(|n| {
                format!(
                    "{}\n",
                    json!({"title": format!("t{n}"), "price": 0, "text": text})
                )
            })
            .collect();
        import(&ada, &shop.records(), &lines).await.expect(200);
    }
    let request = ada
        .request("GET", &shop.records())
        .header("accept", "application/x-ndjson");
    // 24 MB: more than goes out before somebody reads.
    let mut response = request.send().await.unwrap();
    let mut bytes = response.chunk().await.unwrap().unwrap().to_vec();
    let table =
        "(select 'tollgate_data.c' || serial from collections order by serial desc limit 1)";
    query(
        app.database(),
        &format!(
            "do $$ begin execute 'update ' || {table} || ' set data = data || ''{{\"price\": 1}}'', version = 2'; execute 'delete from ' || {table} || ' where id in (select id from ' || {table} || ' order by id desc limit 50)'; end $$"
        ),
    );
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(bytes).unwrap();
    let records: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 240);
    assert!(
        records
            .iter()
            .all(|record| record["version"] == 1 && record["price"] == 0)
    );
}
