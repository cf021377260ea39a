//! Lists of records: what they hold, in which order, page by page.

use std::cmp::Ordering;

use serde_json::{Value, json};

use crate::harness::{Person, Response, Shop, TestApp, query_value};

/// A request of a list with these parameters.
async fn listed(person: &Person, shop: &Shop, parameters: &[(&str, &str)]) -> Response {
    let request = person.request("GET", &shop.records()).query(parameters);
    person.app().send(request).await
}

/// Every item, page by page.
async fn all(person: &Person, shop: &Shop, parameters: &[(&str, &str)]) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut asked = parameters.to_vec();
        asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = listed(person, shop, &asked).await.expect(200).json();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return items,
        }
    }
}

fn titles(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["title"].as_str().unwrap())
        .collect()
}

/// How two records stand in an order; what lacks a member comes last.
fn compare(order: &str, one: &Value, other: &Value) -> Ordering {
    let mut descends = false;
    for word in order.split(',') {
        let name = word.strip_prefix('-');
        descends = name.is_some();
        let name = name.unwrap_or(word);
        let by_value = match (&one[name], &other[name]) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => return Ordering::Greater,
            (_, Value::Null) => return Ordering::Less,
            (Value::Number(one), Value::Number(other)) => {
                one.as_f64().partial_cmp(&other.as_f64()).unwrap()
            }
            (one, other) => one.as_str().cmp(&other.as_str()),
        };
        if by_value != Ordering::Equal {
            return if descends {
                by_value.reverse()
            } else {
                by_value
            };
        }
    }
    let by_id = one["id"].as_str().cmp(&other["id"].as_str());
    if descends { by_id.reverse() } else { by_id }
}

#[tokio::test]
async fn every_order_is_paged_without_a_gap() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let mut records = Vec::new();
    for index in 0..40_usize {
        let title = ["ab", "Ab", "a", "é", "z"][index % 5];
        let mut document = json!({"title": title});
        if index % 3 > 0 {
            let price = [1.0, 10.0, 2.0, 2.5][index % 4];
            document["price"] = json!(price);
        }
        if index % 4 > 0 {
            let status = ["open", "paid"][index % 2];
            document["status"] = json!(status);
        }
        if index % 7 == 0 {
            document["due"] = json!(format!("2026-11-{:02}T00:00:00Z", index % 28 + 1));
        }
        records.push(shop.make(&ada, document).await);
    }
    for order in [
        "id",
        "-id",
        "price",
        "-price",
        "title",
        "-title",
        "status,-price",
        "-status,-price,title",
        "price,status",
        "-due",
        "due,-title",
        "version,-price",
        "-created_at",
        "owner,price",
    ] {
        let mut expected = records.clone();
        expected.sort_by(|one, other| compare(order, one, other));
        for limit in ["3", "40", "41"] {
            let items = all(&ada, &shop, &[("order_by", order), ("limit", limit)]).await;
            assert_eq!(items, expected, "{order}, {limit} a page");
        }
    }
    let by_default = all(&ada, &shop, &[("limit", "7")]).await;
    assert_eq!(by_default, records, "in the order in which they were made");
    let page = listed(&ada, &shop, &[]).await.expect(200);
    assert_eq!(page.at("/items").as_array().unwrap().len(), 40);
}

#[tokio::test]
async fn a_page_goes_on_after_a_number_of_any_length() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let prices = [
        "2.5",
        "2.50",
        "2.50000000000000000001",
        "2.5000000000000000000100001",
        "25e-1",
    ];
    for (title, price) in ["a", "b", "d", "e", "c"].into_iter().zip(prices) {
        let price: Value = serde_json::from_str(price).unwrap();
        shop.make(&ada, json!({"title": title, "price": price}))
            .await;
    }
    let items = all(&ada, &shop, &[("order_by", "price,title"), ("limit", "1")]).await;
    let titles: Vec<_> = items.iter().map(|item| item["title"].clone()).collect();
    assert_eq!(titles, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_filter_narrows_what_the_rule_shows() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    for (title, price) in [("Ink", 3), ("Pen", 12), ("Paper", 30)] {
        shop.make(
            &ada,
            json!({"title": title, "price": price, "tags": [title, "all"]}),
        )
        .await;
    }
    shop.make(&ada, json!({"title": "Gift"})).await;
    shop.make(&eve, json!({"title": "Eve's", "price": 20}))
        .await;
    for (filter, expected) in [
        ("price >= 10", vec!["Pen", "Paper"]),
        ("price >= 10 && title != 'Pen'", vec!["Paper"]),
        ("!(price >= 10)", vec!["Ink"]),
        ("price == null", vec!["Gift"]),
        ("title in ['Ink', 'Gift', \"Eve's\"]", vec!["Ink", "Gift"]),
        ("title.startsWith('P')", vec!["Pen", "Paper"]),
        (
            "'all' in tags && size(tags) == 2",
            vec!["Ink", "Pen", "Paper"],
        ),
        (
            "created_at < now + duration('1h')",
            vec!["Ink", "Pen", "Paper", "Gift"],
        ),
        ("true", vec!["Ink", "Pen", "Paper", "Gift"]),
        ("true || owner != null", vec!["Ink", "Pen", "Paper", "Gift"]),
        ("false", vec![]),
    ] {
        let items = all(&ada, &shop, &[("filter", filter), ("limit", "1")]).await;
        assert_eq!(titles(&items), expected, "{filter}");
    }
    let filter = format!("owner == '{}'", ada.id());
    assert_eq!(
        all(&eve, &shop, &[("filter", &filter)]).await,
        Vec::<Value>::new()
    );
    let nobody = app.get(&shop.records()).await.expect(200);
    assert_eq!(nobody.at("/items"), json!([]));
}

#[tokio::test]
async fn res_08_what_is_not_understood_is_refused_with_its_place() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["properties"]["note"] = json!({"type": "string"});
    })
    .await;
    let ada = app.person().await;
    let many = ["title"; 5].join(",");
    let long = format!("title == '{}'", "x".repeat(5_000));
    let deep = format!("{}true{}", "(".repeat(10_000), ")".repeat(10_000));
    for (name, value) in [
        ("filter", "price >"),
        ("filter", "nothing == 1"),
        ("filter", "record.price == 1"),
        ("filter", "auth.sub == owner"),
        ("filter", "price == 'x'"),
        ("filter", "title.matches('(a+)+$')"),
        ("filter", ""),
        ("filter", long.as_str()),
        ("order_by", "nothing"),
        ("order_by", "tags"),
        ("order_by", "note"),
        ("order_by", ""),
        ("order_by", "price,,title"),
        ("order_by", "price desc"),
        ("order_by", "data->>'title'"),
        ("order_by", many.as_str()),
        ("limit", "0"),
        ("limit", "x"),
        ("offset", "1"),
        ("cursor", "x"),
        ("filter", "title == '\0'"),
    ] {
        let response = listed(&ada, &shop, &[(name, value)]).await;
        let problem = response.expect_problem(400, "invalid-query");
        assert_eq!(
            problem.at("/errors/0/pointer"),
            format!("/{name}"),
            "{value}"
        );
    }
    let response = listed(&ada, &shop, &[("filter", &deep)]).await;
    assert!(
        [400, 414].contains(&response.status()),
        "{}",
        response.status()
    );
    let clamped = listed(&ada, &shop, &[("limit", "100000")]).await;
    clamped.expect(200);
}

#[tokio::test]
async fn res_07_a_cursor_belongs_to_its_list_and_its_caller() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["rules"]["list"] = json!("true")
    })
    .await;
    let other = Shop::open(&app, |declaration| {
        declaration["rules"]["list"] = json!("true")
    })
    .await;
    let (ada, eve) = (app.person().await, app.person().await);
    for title in ["a", "b", "c"] {
        shop.make(&ada, json!({"title": title, "price": 1})).await;
        other.make(&ada, json!({"title": title})).await;
    }
    let asked = [
        ("limit", "2"),
        ("order_by", "-title"),
        ("filter", "price == 1"),
    ];
    let page = listed(&ada, &shop, &asked).await.expect(200);
    let next = page.header("link").to_owned();
    let cursor = page.at("/next_cursor").as_str().unwrap().to_owned();
    let path = next.strip_prefix('<').unwrap().split_once('>').unwrap().0;
    let rest = ada.get(path).await.expect(200).json();
    assert_eq!(titles(rest["items"].as_array().unwrap()), ["a"]);
    assert_eq!(rest["next_cursor"], Value::Null);

    let with = |order: &'static str, filter: &'static str| {
        vec![
            ("cursor", cursor.as_str()),
            ("order_by", order),
            ("filter", filter),
        ]
    };
    listed(&ada, &shop, &with("-title", "price == 1"))
        .await
        .expect(200);
    for response in [
        listed(&eve, &shop, &with("-title", "price == 1")).await,
        listed(&ada, &other, &with("-title", "price == 1")).await,
        listed(&ada, &shop, &with("title", "price == 1")).await,
        listed(&ada, &shop, &with("-title", "price != 1")).await,
    ] {
        let problem = response.expect_problem(400, "invalid-query");
        assert_eq!(problem.at("/errors/0/pointer"), "/cursor");
    }
    for index in 0..cursor.len() {
        let mut bytes = cursor.clone().into_bytes();
        bytes[index] ^= 1;
        let Ok(flipped) = String::from_utf8(bytes) else {
            continue;
        };
        let asked = [
            ("cursor", flipped.as_str()),
            ("order_by", "-title"),
            ("filter", "price == 1"),
        ];
        let response = listed(&ada, &shop, &asked).await;
        assert_eq!(response.status(), 400, "byte {index}");
    }
}

#[tokio::test]
async fn a_list_holds_the_same_records_that_can_be_read() {
    let app = TestApp::shared();
    let rule = "record.owner == auth.sub || record.status == 'paid' || (record.price > 5 && 'all' in record.tags)";
    let shop = Shop::open(&app, |declaration| {
        declaration["rules"]["list"] = json!(rule);
        declaration["rules"]["read"] = json!(rule);
    })
    .await;
    let (ada, eve) = (app.person().await, app.person().await);
    let mut made = Vec::new();
    for index in 0..24 {
        let mut document = json!({"title": "x"});
        if index % 2 == 0 {
            document["price"] = json!(index);
        }
        if index % 3 == 0 {
            document["tags"] = json!(["all"]);
        }
        if index % 5 == 0 {
            document["status"] = json!("paid");
        }
        let owner = if index % 4 == 0 { &eve } else { &ada };
        made.push(shop.make(owner, document).await);
    }
    for person in [Some(&ada), Some(&eve), None] {
        let mut readable = Vec::new();
        for record in &made {
            let path = shop.record(&record["id"]);
            let response = match person {
                Some(person) => person.get(&path).await,
                None => app.get(&path).await,
            };
            if response.status() == 200 {
                readable.push(record.clone());
            }
        }
        let list = match person {
            Some(person) => person.get(&shop.records()).await,
            None => app.get(&shop.records()).await,
        };
        assert_eq!(list.at("/items"), json!(readable));
        assert!(!readable.is_empty() && readable.len() < 24);
    }
}

/// What `GET /v1/collections/{name}` tells of the collection's indexes, once none is being built any more.
async fn index_states(shop: &Shop) -> Vec<(String, String)> {
    loop {
        let read = shop
            .administrator()
            .get(&shop.uri())
            .await
            .expect(200)
            .json();
        let states: Vec<_> = read["index_states"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                (
                    one["members"].to_string(),
                    one["state"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        if states.iter().all(|(_, state)| state != "building") {
            return states;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_list_that_no_index_serves_is_told_of_and_in_production_refused() {
    let issuer = ("TOLLGATE_ISSUER", "https://auth.example.com");
    let development = TestApp::own(&[issuer, ("TOLLGATE_MODE", "development")]);
    let production = [
        issuer,
        ("TOLLGATE_MODE", "production"),
        ("DATABASE_URL", "postgres://named-in-the-test"),
    ];
    let production = development.replica(&production).unwrap();
    let shop = Shop::open(&development, |declaration| {
        declaration["indexes"] = json!([["owner", "-price"], ["status"]]);
        declaration["rules"]["list"] = json!("record.owner == auth.sub || 'staff' in auth.roles");
    })
    .await;
    let states = index_states(&shop).await;
    assert_eq!(states.len(), 2);
    assert!(states.iter().all(|(_, state)| state == "ready"));
    let ada = development.person().await;
    shop.make(&ada, json!({"title": "Ink", "price": 3})).await;
    let own = format!("owner == '{}'", ada.id());
    for (app, refuses) in [(&development, false), (&production, true)] {
        for (parameters, served) in [
            (vec![], true),
            (vec![("order_by", "-id")], true),
            (vec![("order_by", "-price")], true),
            (vec![("order_by", "-price"), ("filter", &*own)], true),
            (vec![("order_by", "price"), ("filter", &*own)], false),
            (vec![("order_by", "-price,title"), ("filter", &*own)], false),
            (vec![("order_by", "status")], true),
            (vec![("order_by", "title")], false),
            (vec![("filter", "status == 'open'")], true),
            (vec![("filter", "status == 'open' && price > 2")], true),
            (vec![("filter", "price > 1")], true),
            (vec![("filter", "status == 'open' || price > 1")], true),
            (vec![("filter", "true")], true),
        ] {
            let request = app.request("GET", &shop.records());
            let request = request.bearer_auth(ada.access_token()).query(&parameters);
            let response = app.send(request).await;
            if refuses && !served {
                let problem = response.expect_problem(400, "invalid-query");
                assert_eq!(problem.at("/errors/0/code"), "index", "{parameters:?}");
            } else {
                let response = response.expect(200);
                let is_warned = response.headers().contains_key("warning");
                assert_eq!(is_warned, !served, "{parameters:?}");
            }
        }
    }
}

#[tokio::test]
async fn indexes_of_a_collection_with_records_are_built_beside_its_writers() {
    let app = TestApp::own(&[]);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    for price in 0..50 {
        shop.make(&ada, json!({"title": "Ink", "price": price}))
            .await;
    }
    let mut declaration = shop.declaration().await;
    declaration["indexes"] = json!([["-price"], ["title", "due"]]);
    shop.declare(&declaration).await.expect(200);
    let states = index_states(&shop).await;
    assert_eq!(
        states,
        [
            ("[\"-price\"]".to_owned(), "ready".to_owned()),
            ("[\"title\",\"due\"]".to_owned(), "ready".to_owned())
        ]
    );
    let there =
        "select count(*)::text as value from pg_index join pg_class on pg_class.oid = indexrelid
        where relname ~ '^c[0-9]+_i[0-9]+$' and indisvalid";
    assert_eq!(query_value(app.database(), there), "2");
    // Another type is another index; what is not declared any more goes.
    declaration["schema"]["properties"]["price"] = json!({"type": "string", "maxLength": 50});
    declaration["indexes"] = json!([["-price"]]);
    let force = format!("{}?force=true", shop.uri());
    shop.administrator()
        .put(&force, declaration)
        .await
        .expect(200);
    assert_eq!(index_states(&shop).await.len(), 1);
    // Nobody waits for it to be dropped.
    while query_value(app.database(), there) != "1" {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_index_that_can_not_be_declared_is_refused_with_its_place() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    for (indexes, pointer) in [
        (json!([["nothing"]]), "/indexes/0/0"),
        (json!([["price"], ["title", "tags"]]), "/indexes/1/1"),
        (json!([[]]), "/indexes/0"),
        (
            json!([["price", "title", "due", "status", "owner"]]),
            "/indexes/0",
        ),
        (json!([["price); drop table users; --"]]), "/indexes/0/0"),
    ] {
        let mut declaration = shop.declaration().await;
        declaration["schema"]["properties"]["note"] = json!({"type": "string"});
        declaration["indexes"] = indexes.clone();
        let problem = shop
            .declare(&declaration)
            .await
            .expect_problem(422, "validation-failed");
        assert_eq!(problem.at("/errors/0/pointer"), pointer, "{indexes}");
    }
}

#[tokio::test]
async fn a_page_of_large_records_ends_early_and_none_is_missed() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["additionalProperties"] = json!(true);
    })
    .await;
    let ada = app.person().await;
    let mut made = Vec::new();
    for price in 0..12 {
        let document = json!({"title": "x", "price": price % 5, "text": "y".repeat(900_000)});
        made.push(shop.make(&ada, document).await["id"].clone());
    }
    for order in ["id", "price", "-price"] {
        let page = listed(&ada, &shop, &[("order_by", order)])
            .await
            .expect(200);
        let shown = page.at("/items").as_array().unwrap().len();
        assert!((1..=6).contains(&shown), "{shown} of 900 KB each");
        assert_ne!(page.at("/next_cursor"), Value::Null);
        let items = all(&ada, &shop, &[("order_by", order)]).await;
        let mut ids: Vec<_> = items.iter().map(|item| item["id"].clone()).collect();
        ids.sort_by_key(ToString::to_string);
        assert_eq!(ids, made, "{order}");
    }
}

#[tokio::test]
async fn a_cursor_of_a_member_that_has_another_type_by_now_is_refused() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    for title in ["a", "b", "c"] {
        shop.make(&ada, json!({"title": title})).await;
    }
    let page = listed(&ada, &shop, &[("order_by", "title"), ("limit", "1")]).await;
    let cursor = page
        .expect(200)
        .at("/next_cursor")
        .as_str()
        .unwrap()
        .to_owned();
    let mut declaration = shop.declaration().await;
    declaration["schema"]["properties"]["title"] = json!({"type": "number"});
    let force = format!("{}?force=true", shop.uri());
    shop.administrator()
        .put(&force, declaration)
        .await
        .expect(200);
    let next = listed(&ada, &shop, &[("order_by", "title"), ("cursor", &cursor)]).await;
    let problem = next.expect_problem(400, "invalid-query");
    assert_eq!(problem.at("/errors/0/pointer"), "/cursor");
}
