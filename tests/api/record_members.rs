//! Single members of records: who sees and writes them, which are unique, which are searched and asked for.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Person, Shop, TestApp, query, query_value};

/// A collection in which everybody sees everything but prices, and only staff sets them.
async fn priced(app: &TestApp) -> Shop {
    Shop::open(app, |declaration| {
        let properties = &mut declaration["schema"]["properties"];
        properties["price"] = json!({
            "type": "number",
            "x-readable": "record.owner == auth.sub || 'admin' in auth.roles",
            "x-writable": "'admin' in auth.roles",
        });
        properties["note"] =
            json!({"type": "string", "maxLength": 50, "x-readable": "'admin' in auth.roles"});
        for rule in ["list", "read", "update"] {
            declaration["rules"][rule] = json!("true");
        }
    })
    .await
}

fn uri(path: &str, query: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    format!("{path}?{query}")
}

#[tokio::test]
async fn res_02_a_hidden_member_is_not_shown_by_any_way_of_reading() {
    let app = TestApp::shared();
    let shop = priced(&app).await;
    let administrator = shop.administrator();
    let (ada, eve) = (app.person().await, app.person().await);
    let document = json!({"title": "Ink", "price": 12, "note": "cheap"});
    let made = shop.make(administrator, document).await;
    let path = shop.record(&made["id"]);
    query(
        app.database(),
        &format!(
            "update tollgate_data.c{} set owner = '{}' where id = '{}'",
            serial(&app, &shop),
            ada.id(),
            made["id"].as_str().unwrap()
        ),
    );
    for (person, price, note) in [
        (administrator, json!(12), json!("cheap")),
        (&ada, json!(12), Value::Null),
        (&eve, Value::Null, Value::Null),
    ] {
        let read = person.get(&path).await.expect(200);
        assert_eq!(
            (read.at("/price"), read.at("/note")),
            (price.clone(), note.clone())
        );
        let listed = person.get(&shop.records()).await.expect(200);
        assert_eq!(
            (listed.at("/items/0/price"), listed.at("/items/0/note")),
            (price, note)
        );
    }
    assert!(!eve.get(&path).await.text().contains("price"));
    // RES-06: what looks otherwise has another tag; each is good for writing.
    let tags = [
        administrator.get(&path).await.header("etag").to_owned(),
        ada.get(&path).await.header("etag").to_owned(),
        eve.get(&path).await.header("etag").to_owned(),
    ];
    assert!(
        tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2],
        "{tags:?}"
    );
    let request = eve.request("PATCH", &path).header("if-match", &tags[2]);
    app.send(request.json(&json!({"title": "Red ink"})))
        .await
        .expect(200);
    let fields = uri(&path, &[("fields", "price,note,title")]);
    let read = eve.get(&fields).await.expect(200).json();
    assert_eq!(
        read,
        json!({"id": made["id"], "version": 2, "title": "Red ink"})
    );
}

fn serial(app: &TestApp, shop: &Shop) -> String {
    let query = format!(
        "select serial::text as value from collections where name = '{}'",
        shop.name
    );
    query_value(app.database(), &query)
}

#[tokio::test]
async fn res_02_a_hidden_member_is_no_member_to_filter_order_group_or_search_by() {
    let app = TestApp::shared();
    let shop = priced(&app).await;
    let person = app.person().await;
    shop.make(
        shop.administrator(),
        json!({"title": "Ink", "price": 12, "note": "cheap"}),
    )
    .await;
    for query in [
        [("filter", "price > 10")],
        [("filter", "has(price)")],
        [("filter", "note.startsWith('c')")],
        [("order_by", "price")],
        [("order_by", "note")],
    ] {
        let refused = person.get(&uri(&shop.records(), &query)).await;
        refused.expect_problem(400, "invalid-query");
        let path = uri(&shop.records(), &query);
        let hint = shop.administrator().get(&path).await;
        // Prices are hidden in records of others, for those who may see their own: only staff may ask.
        assert_eq!(hint.status(), 200, "{query:?} {}", hint.text());
    }
    let figures = format!("{}/aggregate", shop.records());
    for body in [
        json!({"group_by": ["price"]}),
        json!({"compute": {"n": {"sum": "price"}}}),
        json!({"filter": "price > 10", "compute": {"n": {"count": "*"}}}),
        json!({"compute": {"n": {"min": "note"}}}),
    ] {
        person
            .post(&figures, body.clone())
            .await
            .expect_problem(422, "validation-failed");
        shop.administrator().post(&figures, body).await.expect(200);
    }
}

#[tokio::test]
async fn res_02_a_hidden_member_is_not_guessed_by_writing() {
    let app = TestApp::shared();
    let shop = priced(&app).await;
    let eve = app.person().await;
    let made = shop
        .make(
            shop.administrator(),
            json!({"title": "Ink", "price": 12, "note": "cheap"}),
        )
        .await;
    let path = shop.record(&made["id"]);
    // The right value is refused like a wrong one.
    for price in [12, 13] {
        let refused = eve.patch(&path, json!({"price": price})).await;
        let refused = refused.expect_problem(403, "rule-forbids");
        assert_eq!(refused.at("/errors/0/pointer"), "/price");
    }
    for value in ["cheap", "dear"] {
        let steps = json!([{"op": "test", "path": "/note", "value": value}]);
        let request = eve.request("PATCH", &path);
        let request = request
            .header("content-type", "application/json-patch+json")
            .body(steps.to_string());
        let refused = app.send(request).await;
        assert!([409, 422].contains(&refused.status()), "{}", refused.text());
    }
    // What they can't see stays, also where all is replaced.
    eve.put(&path, json!({"title": "Pen"})).await.expect(200);
    eve.patch(
        &path,
        json!({"price": null, "note": null, "status": "open"}),
    )
    .await
    .expect(200);
    let read = shop.administrator().get(&path).await.expect(200);
    assert_eq!(
        (read.at("/title"), read.at("/price"), read.at("/note")),
        (json!("Pen"), json!(12), json!("cheap"))
    );
    // Nobody writes what they can't see, unless a rule lets them.
    for note in ["cheap", "seen"] {
        let refused = eve.patch(&path, json!({"note": note})).await;
        let refused = refused.expect_problem(403, "rule-forbids");
        assert_eq!(refused.at("/errors/0/pointer"), "/note");
    }
    // What is stored and does not fit any more is not told either.
    let mut declaration = shop.declaration().await;
    declaration["schema"]["properties"]["price"]["maximum"] = json!(5);
    let forced = format!("{}?force=true", shop.uri());
    shop.administrator()
        .put(&forced, declaration)
        .await
        .expect(200);
    let refused = eve.patch(&path, json!({"title": "Pencil"})).await;
    let refused = refused.expect_problem(422, "validation-failed");
    assert!(!refused.text().contains("price"), "{}", refused.text());
}

#[tokio::test]
async fn a_member_is_written_only_by_whom_its_rule_names() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        let properties = &mut declaration["schema"]["properties"];
        properties["status"]["x-writable"] =
            json!("'admin' in auth.roles || input.status == 'open'");
        properties["due"]["x-writable"] = json!("record.owner == auth.sub");
        for rule in ["list", "read", "update"] {
            declaration["rules"][rule] = json!("true");
        }
    })
    .await;
    let (ada, eve) = (app.person().await, app.person().await);
    let refused = ada
        .post(&shop.records(), json!({"title": "x", "status": "paid"}))
        .await;
    refused.expect_problem(403, "rule-forbids");
    let document = json!({"title": "x", "status": "open", "due": "2026-11-24T09:00:00Z"});
    let made = shop.make(&ada, document).await;
    let path = shop.record(&made["id"]);
    // The same in another form is no change.
    eve.patch(
        &path,
        json!({"due": "2026-11-24T10:00:00+01:00", "price": 1}),
    )
    .await
    .expect(200);
    let refused = eve
        .patch(&path, json!({"due": "2026-11-24T11:00:00+01:00"}))
        .await;
    refused.expect_problem(403, "rule-forbids");
    let refused = eve
        .put(&path, json!({"title": "x", "status": "open"}))
        .await;
    assert_eq!(
        refused
            .expect_problem(403, "rule-forbids")
            .at("/errors/0/pointer"),
        "/due"
    );
    ada.put(&path, json!({"title": "x", "status": "open"}))
        .await
        .expect(200);
    shop.administrator()
        .patch(&path, json!({"status": "paid"}))
        .await
        .expect(200);
}

async fn refused_declaration(shop: &Shop, member: Value, closed: bool) -> String {
    let mut declaration = shop.declaration().await;
    declaration["schema"]["properties"]["member"] = member;
    declaration["schema"]["additionalProperties"] = json!(!closed);
    let refused = shop
        .declare(&declaration)
        .await
        .expect_problem(422, "validation-failed");
    refused.at("/errors/0/pointer").as_str().unwrap().to_owned()
}

#[tokio::test]
async fn extensions_that_mean_nothing_are_refused_with_their_place() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let at = "/schema/properties/member";
    for (member, keyword) in [
        (
            json!({"type": "string", "x-readable": "true +"}),
            "/x-readable",
        ),
        (
            json!({"type": "string", "x-readable": "input.title == ''"}),
            "/x-readable",
        ),
        (json!({"type": "string", "x-readable": true}), "/x-readable"),
        (
            json!({"type": "string", "x-writable": "nobody.knows"}),
            "/x-writable",
        ),
        (json!({"type": "number", "x-search": true}), "/x-search"),
        (json!({"type": "string", "x-search": "yes"}), "/x-search"),
        (
            json!({"type": "string", "x-search": true, "x-readable": "false"}),
            "/x-search",
        ),
        (json!({"type": "string", "x-unique": true}), "/x-unique"),
        (json!({"type": "array", "x-unique": true}), "/x-unique"),
        (json!({"type": "string", "x-anything": true}), "/x-anything"),
        (
            json!({"type": "array", "items": {"type": "string", "x-unique": true}}),
            "/items/x-unique",
        ),
    ] {
        assert_eq!(
            refused_declaration(&shop, member, true).await,
            format!("{at}{keyword}")
        );
    }
    let mut declaration = shop.declaration().await;
    declaration["schema"]["properties"]["member"] =
        json!({"type": "string", "x-readable": "false"});
    declaration["schema"]["maxProperties"] = json!(3);
    let refused = shop
        .declare(&declaration)
        .await
        .expect_problem(422, "validation-failed");
    assert_eq!(refused.at("/errors/0/pointer"), "/schema/maxProperties");
    let open = json!({"type": "string", "x-readable": "false"});
    assert_eq!(refused_declaration(&shop, open, false).await, "/schema");
}

#[tokio::test]
async fn a_unique_value_is_there_once_whoever_writes_it() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["properties"]["number"] =
            json!({"type": "string", "maxLength": 20, "x-unique": true});
        declaration["rules"]["update"] = json!("true");
    })
    .await;
    let (ada, eve) = (app.person().await, app.person().await);
    shop.make(&ada, json!({"title": "x", "number": "A1"})).await;
    let other = shop.make(&eve, json!({"title": "x", "number": "A2"})).await;
    // Without one there may be many.
    shop.make(&ada, json!({"title": "x"})).await;
    shop.make(&ada, json!({"title": "x"})).await;
    let taken = json!({"title": "y", "number": "A1"});
    let path = shop.record(&other["id"]);
    for refused in [
        eve.post(&shop.records(), taken.clone()).await,
        eve.put(&path, taken.clone()).await,
        eve.patch(&path, taken.clone()).await,
        eve.put(
            &shop.record(&json!(uuid::Uuid::now_v7().to_string())),
            taken,
        )
        .await,
    ] {
        let refused = refused.expect_problem(409, "not-unique");
        assert_eq!(refused.at("/errors/0/pointer"), "/number");
    }
    let records = shop.records();
    let racing =
        join_all((0..20).map(|_| ada.post(&records, json!({"title": "x", "number": "B"})))).await;
    let statuses: Vec<_> = racing.iter().map(|one| one.status()).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 409).count(),
        19,
        "{statuses:?}"
    );
}

async fn index_state(shop: &Shop, method: &str) -> Value {
    for _ in 0..200 {
        let declared = shop.administrator().get(&shop.uri()).await.json();
        let states = declared["index_states"].as_array().unwrap().clone();
        let state = states
            .into_iter()
            .find(|state| state["method"] == method)
            .unwrap();
        if state["state"] != "building" {
            return state;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it is not built");
}

#[tokio::test]
async fn a_member_that_becomes_unique_tells_what_is_there_twice() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let one = shop.make(&ada, json!({"title": "twice"})).await;
    shop.make(&ada, json!({"title": "twice"})).await;
    let mut declaration = shop.declaration().await;
    declaration["schema"]["properties"]["title"]["x-unique"] = json!(true);
    shop.declare(&declaration).await.expect(200);
    let state = index_state(&shop, "unique").await;
    assert_eq!(state["state"], "failed");
    assert!(
        state["detail"].as_str().unwrap().contains("twice"),
        "{state}"
    );
    // Nothing is left of it that would refuse writes.
    shop.make(&ada, json!({"title": "twice"})).await;
    ada.delete(&shop.record(&one["id"])).await.expect(204);
    for (n, record) in ada.get(&shop.records()).await.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        ada.patch(
            &shop.record(&record["id"]),
            json!({"title": format!("once {n}")}),
        )
        .await
        .expect(200);
    }
    // Declaring it again tries again.
    shop.declare(&declaration).await.expect(200);
    assert_eq!(index_state(&shop, "unique").await["state"], "ready");
    let refused = ada.post(&shop.records(), json!({"title": "once 0"})).await;
    assert_eq!(
        refused
            .expect_problem(409, "not-unique")
            .at("/errors/0/pointer"),
        "/title"
    );
}

async fn found(person: &Person, shop: &Shop, words: &str) -> Vec<String> {
    let query = [("search", words), ("order_by", "title")];
    let listed = person
        .get(&uri(&shop.records(), &query))
        .await
        .expect(200)
        .json();
    let items = listed["items"].as_array().unwrap().clone();
    items
        .iter()
        .map(|item| item["title"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn words_are_found_in_members_that_are_searched() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        let properties = &mut declaration["schema"]["properties"];
        properties["title"]["x-search"] = json!(true);
        properties["text"] = json!({"type": "string", "x-search": true});
        declaration["indexes"] = json!([["title"]]);
    })
    .await;
    let (ada, eve) = (app.person().await, app.person().await);
    for (title, text) in [
        ("a", "red ink"),
        ("b", "blue ink"),
        ("c", "잉크 빨강"),
        ("red d", ""),
    ] {
        shop.make(&ada, json!({"title": title, "text": text})).await;
    }
    shop.make(&eve, json!({"title": "hers", "text": "red ink"}))
        .await;
    for (words, titles) in [
        ("ink", vec!["a", "b"]),
        ("INK red", vec!["a"]),
        ("ink -red", vec!["b"]),
        ("\"ink red\"", vec![]),
        ("red", vec!["a", "red d"]),
        ("blue or 빨강", vec!["b", "c"]),
        ("' ) & :* \\", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(found(&ada, &shop, words).await, titles, "{words}");
    }
    // The largest texts are stored all the same.
    let long = "word ".repeat(180_000);
    shop.make(&ada, json!({"title": "long", "text": long}))
        .await;
    let other = Shop::open(&app, |_| {}).await;
    let refused = ada.get(&uri(&other.records(), &[("search", "ink")])).await;
    assert_eq!(
        refused
            .expect_problem(400, "invalid-query")
            .at("/errors/0/pointer"),
        "/search"
    );
}

#[tokio::test]
async fn res_01_no_guess_tells_of_records_that_are_hidden() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["indexes"] = json!([["title"]])
    })
    .await;
    let (ada, eve) = (app.person().await, app.person().await);
    for _ in 0..4 {
        let lines: String = (0..500).map(|_| "{\"title\":\"secret\"}\n").collect();
        let request = ada
            .request("POST", &shop.records())
            .header("content-type", "application/x-ndjson");
        app.send(request.body(lines)).await.expect(200);
    }
    shop.make(&eve, json!({"title": "hers"})).await;
    query(
        app.database(),
        &format!("analyze tollgate_data.c{}", serial(&app, &shop)),
    );
    let guess = [("count", "estimated"), ("filter", "title == 'secret'")];
    let guessed = eve.get(&uri(&shop.records(), &guess)).await.expect(200);
    assert_eq!(guessed.at("/count"), 0);
    let guessed = ada.get(&uri(&shop.records(), &guess)).await.expect(200);
    assert_eq!(guessed.at("/count"), 2000);
}

#[tokio::test]
async fn a_list_shows_the_members_that_are_asked_for_and_says_how_many_there_are() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    for price in 0..7 {
        shop.make(
            &ada,
            json!({"title": format!("t{price}"), "price": price, "tags": ["x"]}),
        )
        .await;
    }
    shop.make(&eve, json!({"title": "hers", "price": 5})).await;
    let query = [
        ("fields", "price, owner"),
        ("limit", "2"),
        ("count", "exact"),
        ("filter", "price >= 3"),
    ];
    let listed = ada.get(&uri(&shop.records(), &query)).await.expect(200);
    assert_eq!(listed.at("/count"), 4);
    let first = listed.at("/items/0");
    let members: Vec<_> = first
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(members, ["id", "owner", "price", "version"]);
    assert!(
        listed.header("link").contains("fields=price"),
        "{}",
        listed.header("link")
    );
    let all = ada.get(&shop.records()).await.expect(200);
    assert_eq!(all.at("/count"), Value::Null, "nobody asked");
    let guess = ada
        .get(&uri(&shop.records(), &[("count", "estimated")]))
        .await
        .expect(200);
    assert!(guess.at("/count").as_i64().unwrap() >= 0);
    for query in [
        ("fields", "nothing"),
        ("fields", ""),
        ("count", "all"),
        ("fields", "price,,title"),
    ] {
        let refused = ada.get(&uri(&shop.records(), &[query])).await;
        refused.expect_problem(400, "invalid-query");
    }
    let id = &first["id"];
    let read = ada
        .get(&uri(&shop.record(id), &[("fields", "title")]))
        .await
        .expect(200);
    let tag = read.header("etag").to_owned();
    assert_ne!(tag, ada.get(&shop.record(id)).await.header("etag"));
    let path = uri(&shop.record(id), &[("fields", "title")]);
    let again = ada.request("GET", &path).header("if-none-match", tag);
    app.send(again).await.expect(304);
}
