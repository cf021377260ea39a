//! Declaring collections: what is taken, what is refused, and when it holds.

use std::time::{Duration, Instant};

use diesel::{Connection, PgConnection, connection::SimpleConnection};
use serde_json::{Value, json};

use crate::harness::{Person, Shop, TestApp, own_things, query_value};

#[tokio::test]
async fn a_collection_is_declared_read_changed_and_deleted() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let admin = shop.administrator();
    let read = admin.get(&shop.uri()).await.expect(200);
    assert_eq!(read.at("/name"), shop.name.as_str());
    assert_eq!(read.at("/on_owner_delete"), "delete");
    let version = read.at("/version").as_i64().unwrap();
    assert_eq!(read.header("etag"), format!("\"{version}\""));
    let listed = admin.get("/v1/collections").await.expect(200).json();
    let mut names = listed["items"].as_array().unwrap().iter();
    assert!(names.any(|one| one["name"] == shop.name.as_str()));

    let mut declaration = shop.declaration().await;
    declaration["schema"]["properties"]["note"] = json!({"type": "string"});
    let changed = shop.declare(&declaration).await.expect(200);
    assert!(changed.at("/version").as_i64().unwrap() > version);
    assert_eq!(changed.at("/schema"), declaration["schema"]);

    let stale = admin
        .request("PUT", &shop.uri())
        .header("if-match", format!("\"{version}\""))
        .json(&declaration);
    app.send(stale)
        .await
        .expect_problem(412, "precondition-failed");

    for query in ["", "?confirm=other"] {
        let path = format!("{}{query}", shop.uri());
        admin
            .delete(&path)
            .await
            .expect_problem(400, "invalid-query");
    }
    let path = format!("{}?confirm={}", shop.uri(), shop.name);
    admin.delete(&path).await.expect(204);
    admin
        .get(&shop.uri())
        .await
        .expect_problem(404, "not-found");
    admin
        .get(&shop.records())
        .await
        .expect_problem(404, "not-found");
    let gone = admin.post(&shop.records(), json!({"title": "x"})).await;
    gone.expect_problem(404, "not-found");
    admin.delete(&path).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn declaring_takes_its_scope() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    ada.get("/v1/collections")
        .await
        .expect_problem(403, "insufficient-scope");
    ada.get(&shop.uri())
        .await
        .expect_problem(403, "insufficient-scope");
    let declared = ada.put(&shop.uri(), own_things("Mine")).await;
    declared.expect_problem(403, "insufficient-scope");
    let path = format!("{}?confirm={}", shop.uri(), shop.name);
    ada.delete(&path)
        .await
        .expect_problem(403, "insufficient-scope");
}

#[tokio::test]
async fn a_type_belongs_to_one_collection() {
    let app = TestApp::shared();
    let one = Shop::open(&app, |_| {}).await;
    let other = Shop::open(&app, |_| {}).await;
    let mut declaration = other.declaration().await;
    declaration["type_name"] = one.declaration().await["type_name"].clone();
    other
        .declare(&declaration)
        .await
        .expect_problem(409, "type-name-taken");
}

/// The pointers that a refusal names.
async fn refused(shop: &Shop, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut declaration = shop.declaration().await;
    change(&mut declaration);
    let response = shop.declare(&declaration).await;
    let problem = response.expect_problem(422, "validation-failed").json();
    let errors = problem["errors"].as_array().unwrap().iter();
    errors
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn res_09_a_schema_refers_to_nothing_outside_and_keeps_within_bounds() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    for outside in [
        "https://example.com/schema",
        "file:///etc/passwd",
        "other.json",
        "/etc/passwd",
    ] {
        let change = |declaration: &mut Value| {
            declaration["schema"]["properties"]["title"] = json!({"$ref": outside});
        };
        let pointers = refused(&shop, change).await;
        assert_eq!(pointers, ["/schema/properties/title/$ref"], "{outside}");
    }
    for name in ["id", "owner", "version", "created_at", "updated_at", "now"] {
        let change = |declaration: &mut Value| {
            declaration["schema"]["properties"][name] = json!({"type": "string"});
        };
        assert_eq!(
            refused(&shop, change).await,
            [format!("/schema/properties/{name}")]
        );
    }
    let no_object = refused(&shop, |declaration| {
        declaration["schema"]["type"] = json!("array")
    });
    assert_eq!(no_object.await, ["/schema/type"]);
    let nonsense = refused(&shop, |declaration| {
        declaration["schema"]["properties"]["title"]["maxLength"] = json!("many");
    });
    assert_eq!(nonsense.await, ["/schema"]);
    let huge = refused(&shop, |declaration| {
        declaration["schema"]["description"] = json!("x".repeat(70_000));
    });
    assert_eq!(huge.await, ["/schema"]);
    let extension = refused(&shop, |declaration| {
        declaration["schema"]["properties"]["title"]["x-colour"] = json!("red");
    });
    assert_eq!(extension.await, ["/schema/properties/title/x-colour"]);
    // Patterns that take exponential time elsewhere are matched in linear time, and what can't be is refused.
    let lookaround = refused(&shop, |declaration| {
        declaration["schema"]["properties"]["title"]["pattern"] = json!("(?=a)b");
    });
    assert_eq!(lookaround.await, ["/schema"]);
    let mut declaration = shop.declaration().await;
    declaration["schema"]["properties"]["title"]["pattern"] = json!("^(a+)+$");
    shop.declare(&declaration).await.expect(200);
    let ada = app.person().await;
    let document = json!({"title": format!("{}!", "a".repeat(199))});
    let response = ada.post(&shop.records(), document).await;
    response.expect_problem(422, "validation-failed");
}

#[tokio::test]
async fn a_mistake_in_a_rule_is_told_with_its_place() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    for (rule, place) in [
        ("record.owner ==", "line 1"),
        ("record.titel == 'x'", "column 8"),
        ("record.price == record.tags", "line 1"),
        ("input.title == 'x'", "column 1"),
        ("record.title.matches('x')", "line 1"),
    ] {
        let mut declaration = shop.declaration().await;
        declaration["rules"]["read"] = json!(rule);
        let response = shop.declare(&declaration).await;
        let problem = response.expect_problem(422, "validation-failed");
        assert_eq!(problem.at("/errors/0/pointer"), "/rules/read", "{rule}");
        let detail = problem.at("/errors/0/detail");
        assert!(detail.as_str().unwrap().contains(place), "{rule}: {detail}");
    }
}

#[tokio::test]
async fn a_schema_that_stored_records_do_not_fit_is_refused_unless_forced() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let cheap = shop.make(&ada, json!({"title": "Ink", "price": 1})).await;
    shop.make(&ada, json!({"title": "Pen", "price": 9})).await;
    let mut declaration = shop.declaration().await;
    declaration["schema"]["properties"]["price"]["minimum"] = json!(5);

    let admin = shop.administrator();
    let tried = admin
        .put(&format!("{}?dry_run=true", shop.uri()), declaration.clone())
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&tried["records"], &tried["misfits"]),
        (&json!(2), &json!(1))
    );
    let pointer = format!("/records/{}/price", cheap["id"].as_str().unwrap());
    assert_eq!(tried["errors"][0]["pointer"], pointer.as_str());
    assert_ne!(shop.declaration().await, declaration, "nothing was changed");

    let refused = shop.declare(&declaration).await;
    let problem = refused.expect_problem(409, "records-misfit");
    assert_eq!(problem.at("/errors/0/pointer"), pointer.as_str());
    admin
        .put(&format!("{}?force=true", shop.uri()), declaration)
        .await
        .expect(200);
    let path = shop.record(&cheap["id"]);
    assert_eq!(ada.get(&path).await.expect(200).at("/price"), 1);
    let patched = ada.patch(&path, json!({"title": "Blue ink"})).await;
    patched.expect_problem(422, "validation-failed");
    ada.patch(&path, json!({"price": 5})).await.expect(200);
}

#[tokio::test]
async fn a_new_declaration_holds_at_once_on_every_replica() {
    let first = TestApp::own(&[]);
    let second = first.replica(&[]).unwrap();
    let shop = Shop::open(&first, |_| {}).await;
    let ada = first.person().await;
    let made = shop.make(&ada, json!({"title": "Ink"})).await;
    let path = shop.record(&made["id"]);
    let elsewhere =
        |method: &str, path: &str| second.request(method, path).bearer_auth(ada.access_token());
    second.send(elsewhere("GET", &path)).await.expect(200);

    let mut declaration = shop.declaration().await;
    declaration["rules"]["read"] = json!("'staff' in auth.roles");
    shop.declare(&declaration).await.expect(200);
    for (app, name) in [(&first, "first"), (&second, "second")] {
        let request = app.request("GET", &path).bearer_auth(ada.access_token());
        assert_eq!(app.send(request).await.status(), 404, "{name}");
    }
    declaration["rules"]["read"] = json!("true");
    declaration["schema"]["required"] = json!(["title", "price"]);
    let force = format!("{}?force=true", shop.uri());
    shop.administrator()
        .put(&force, declaration)
        .await
        .expect(200);
    let without_price = elsewhere("POST", &shop.records()).json(&json!({"title": "Pen"}));
    second
        .send(without_price)
        .await
        .expect_problem(422, "validation-failed");

    let path = format!("{}?confirm={}", shop.uri(), shop.name);
    shop.administrator().delete(&path).await.expect(204);
    let read = elsewhere("GET", &shop.record(&made["id"]));
    second.send(read).await.expect_problem(404, "not-found");
}

/// Milliseconds since 1970.
fn moment(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text)
        .unwrap()
        .timestamp_millis()
}

/// The records that somebody is told of since a place, in the order of their ids, when there are at least so many.
async fn told(app: &TestApp, person: &Person, since: &str, least: usize) -> Vec<Value> {
    let (mut since, mut ids) = (since.to_owned(), Vec::new());
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < deadline, "{} of {least}", ids.len());
        let request = app
            .request("GET", "/v1/changes")
            .query(&[("since", since.as_str()), ("limit", "200"), ("wait", "1")])
            .bearer_auth(person.access_token());
        let page = app.send(request).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        ids.extend(items.iter().map(|item| item["id"].clone()));
        // The page after the last is empty.
        if items.is_empty() && ids.len() >= least {
            ids.sort_unstable_by_key(Value::to_string);
            return ids;
        }
        since = page["position"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn no_write_goes_by_a_declaration_that_has_been_replaced() {
    let first = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let replicas = [(); 2].map(|()| {
        first
            .replica(&[("TOLLGATE_LIMITS__ENABLED", "false")])
            .unwrap()
    });
    let shop = Shop::open(&first, |declaration| {
        declaration["rules"]["list"] = json!("true");
    })
    .await;
    let ada = first.person().await;
    let since = ada.get("/v1/changes").await.expect(200).at("/position");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = replicas
        .iter()
        .chain([&first])
        .flat_map(|app| [app.clone(), app.clone(), app.clone()])
        .map(|app| {
            let (ada, path, stop) = (ada.clone(), shop.records(), stop.clone());
            tokio::spawn(async move {
                let (mut made, mut refused) = (Vec::new(), 0);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let request = app.request("POST", &path).bearer_auth(ada.access_token());
                    let answer = app.send(request.json(&json!({"title": "x"}))).await;
                    match answer.status() {
                        201 => made.push(answer.at("/id")),
                        422 => refused += 1,
                        503 => {}
                        other => panic!("{other}"),
                    }
                }
                (made, refused)
            })
        })
        .collect();
    let mut declaration = shop.declaration().await;
    let mut declared = Vec::new();
    let force = format!("{}?force=true", shop.uri());
    for round in 0..20 {
        let demands_price = round % 2 == 0;
        let required = if demands_price {
            json!(["title", "price"])
        } else {
            json!(["title"])
        };
        declaration["schema"]["required"] = required;
        let answer = loop {
            let answer = shop.administrator().put(&force, declaration.clone()).await;
            if answer.status() == 200 {
                break answer;
            }
        };
        let since = moment(answer.at("/updated_at").as_str().unwrap());
        declared.push((since, demands_price));
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let (mut made, mut refused) = (Vec::new(), 0);
    for writer in writers {
        let (some, others) = writer.await.unwrap();
        made.extend(some);
        refused += others;
    }
    made.sort_unstable_by_key(Value::to_string);
    assert!(
        made.len() > 100 && refused > 100,
        "{} made, {refused} refused",
        made.len()
    );
    let count = format!(
        "select count(*)::text as value from tollgate_data.c{} where not data ? 'price'",
        query_value(
            first.database(),
            "select serial::text as value from collections"
        )
    );
    assert_eq!(
        query_value(first.database(), &count),
        made.len().to_string(),
        "each acknowledged one is there"
    );
    let since = since.as_str().unwrap();
    for app in replicas.iter().chain([&first]) {
        assert_eq!(
            told(app, &ada, since, made.len()).await,
            made,
            "every replica tells of each once"
        );
    }
    let mut path = format!("{}?limit=200", shop.records());
    loop {
        let page = first.get(&path).await.expect(200).json();
        for record in page["items"].as_array().unwrap() {
            // Records' times are rounded to milliseconds, declarations' cut.
            let created = moment(record["created_at"].as_str().unwrap()) - 1;
            let valid = declared.iter().rev().find(|(since, _)| *since < created);
            let demands_price = valid.is_some_and(|(_, demands_price)| *demands_price);
            assert!(!demands_price, "{record} was made after {valid:?}");
        }
        match page["next_cursor"].as_str() {
            Some(next) => path = format!("{}?limit=200&cursor={next}", shop.records()),
            None => break,
        }
    }
}

#[tokio::test]
async fn res_09_a_schema_that_would_take_for_ever_is_refused() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    // However one refers to a part.
    for form in ["#/$defs/a", "#/%24defs/a", "#a", "#d"] {
        for is_embedded in [false, true] {
            let mut defs =
                json!({"a0": {"type": "string", "$anchor": "a0", "$dynamicAnchor": "d0"}});
            for index in 1..40 {
                let below = json!({"$dynamicRef": format!("{form}{}", index - 1)});
                defs[format!("a{index}")] = json!({
                    "$anchor": format!("a{index}"), "$dynamicAnchor": format!("d{index}"), "allOf": [below, below],
                });
            }
            let pointers = refused(&shop, |declaration| {
                let title = &mut declaration["schema"]["properties"]["title"];
                *title = json!({"$ref": format!("{form}39")});
                if is_embedded {
                    title["$id"] = json!("urn:example:title");
                    title["$defs"] = defs;
                } else {
                    declaration["schema"]["$defs"] = defs;
                }
            });
            assert_eq!(pointers.await, ["/schema"], "{form}, {is_embedded}");
        }
    }
    // One that refers to itself in many places is an ordinary tree.
    let mut tree = json!({"type": "object", "properties": {}});
    for index in 0..10 {
        tree["properties"][format!("branch_{index}")] = json!({"$ref": "#/$defs/tree"});
    }
    let mut declaration = shop.declaration().await;
    declaration["schema"]["$defs"] = json!({"tree": tree});
    declaration["schema"]["properties"]["tree"] = json!({"$ref": "#/$defs/tree"});
    shop.declare(&declaration).await.expect(200);
    let ada = app.person().await;
    shop.make(
        &ada,
        json!({"title": "x", "tree": {"branch_1": {"branch_2": {}}}}),
    )
    .await;
    let wrong = json!({"title": "x", "tree": {"branch_1": {"branch_2": 1}}});
    let response = ada.post(&shop.records(), wrong).await;
    let problem = response.expect_problem(422, "validation-failed");
    assert_eq!(problem.at("/errors/0/pointer"), "/tree/branch_1/branch_2");
}

#[tokio::test]
async fn what_is_declared_already_changes_nothing() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let version = shop.administrator().get(&shop.uri()).await.at("/version");
    let same = shop.declare(&shop.declaration().await).await.expect(200);
    assert_eq!(same.at("/version"), version);
}

#[tokio::test]
async fn of_first_declarations_at_once_one_makes_the_collection() {
    let app = TestApp::shared();
    let admin = app.administrator().await;
    let number = uuid::Uuid::now_v7().simple().to_string();
    let path = format!("/v1/collections/race_{number}");
    let tries: Vec<_> = (0..6)
        .map(|_| {
            let (admin, path) = (admin.clone(), path.clone());
            let declaration = own_things(&format!("Race{number}"));
            tokio::spawn(async move { admin.put(&path, declaration).await.status() })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in tries {
        statuses.push(one.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 201]);
}

#[tokio::test]
async fn a_declaration_that_was_checked_against_another_is_not_saved() {
    let app = TestApp::own(&[]);
    let shop = Shop::open(&app, |_| {}).await;
    let mut conn = PgConnection::establish(app.database()).unwrap();
    let key = format!("hashtextextended('collection {}', 0)", shop.name);
    conn.batch_execute(&format!("select pg_advisory_lock({key})"))
        .unwrap();
    let mut declaration = shop.declaration().await;
    declaration["rules"]["read"] = json!("true");
    let (admin, uri) = (shop.administrator().clone(), shop.uri());
    let saving = tokio::spawn(async move { admin.put(&uri, declaration).await });
    // It has checked what is stored, and waits for its turn.
    let waiting = "select count(*)::text as value from pg_locks
        where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())";
    while query_value(app.database(), waiting) == "0" {
        tokio::task::yield_now().await;
    }
    let other = "update collections set generation = nextval('collection_generations')";
    conn.batch_execute(other).unwrap();
    conn.batch_execute(&format!("select pg_advisory_unlock({key})"))
        .unwrap();
    let response = saving.await.unwrap();
    response.expect_problem(503, "overloaded");
    let read = shop.declaration().await;
    assert_ne!(read["rules"]["read"], "true");
    assert_eq!(
        shop.declare(&read).await.status(),
        200,
        "and a second try goes through"
    );
}
