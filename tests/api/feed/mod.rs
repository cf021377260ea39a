//! The feed of changes: what each is told, and that it is all, in one order.

mod chaos;
mod copies;
mod crowd;

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use diesel::{Connection, PgConnection, connection::SimpleConnection};
use serde_json::{Value, json};
use tollgate::feed;

use crate::harness::{
    MASTER_KEY, PASSWORD, Person, Process, Response, Shop, TestApp, create_database, directory,
    query, query_value, run,
};

const LIMITLESS: &[(&str, &str)] = &[("TOLLGATE_LIMITS__ENABLED", "false")];

/// Changes that somebody is told.
async fn changes(person: &Person, parameters: &[(&str, &str)]) -> Response {
    let request = person.request("GET", "/v1/changes").query(parameters);
    person.app().send(request).await
}

/// Where the feed is just now.
async fn here(person: &Person) -> String {
    let answer = changes(person, &[]).await.expect(200).json();
    assert_eq!(answer["items"], json!([]));
    answer["position"].as_str().unwrap().to_owned()
}

/// Waits until every change that there is has its position.
pub fn settle(database: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let last = "select coalesce(max(seq), 0)::text as value from outbox";
    let last = query_value(database, last);
    let waiting = format!("select count(*)::text as value from outbox where seq <= {last}");
    while query_value(database, &waiting) != "0" {
        assert!(
            Instant::now() < deadline,
            "changes wait for their positions"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All that is told from a place on, page by page, and where that ends.
async fn all(person: &Person, since: &str, parameters: &[(&str, &str)]) -> (Vec<Value>, String) {
    let (mut items, mut since) = (Vec::new(), since.to_owned());
    loop {
        let asked = [parameters, &[("since", since.as_str())]].concat();
        let answer = changes(person, &asked).await.expect(200).json();
        items.extend(answer["items"].as_array().unwrap().iter().cloned());
        since = answer["position"].as_str().unwrap().to_owned();
        if answer["more"] == false {
            return (items, since);
        }
    }
}

/// Type and title of each.
fn told(items: &[Value]) -> Vec<(&str, Option<&str>)> {
    let items = items.iter();
    items
        .map(|item| {
            let title = item["record"]["title"].as_str();
            (item["type"].as_str().unwrap(), title)
        })
        .collect()
}

fn number(position: &str) -> i64 {
    position.split_once('/').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn everybody_is_told_of_what_they_may_list() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let begin = here(&ada).await;
    let ink = shop.make(&ada, json!({"title": "Ink", "price": 5})).await;
    let pen = shop.make(&eve, json!({"title": "Pen", "price": 5})).await;
    ada.patch(&shop.record(&ink["id"]), json!({"price": 20}))
        .await
        .expect(200);
    let raised = ada.get(&shop.record(&ink["id"])).await.expect(200).json();
    ada.patch(
        &shop.record(&ink["id"]),
        json!({"price": 30, "title": "Red ink"}),
    )
    .await
    .expect(200);
    ada.patch(&shop.record(&ink["id"]), json!({"price": 1}))
        .await
        .expect(200);
    ada.delete(&shop.record(&ink["id"])).await.expect(204);
    settle(app.database());

    let (items, end) = all(&ada, &begin, &[]).await;
    assert_eq!(
        told(&items),
        [
            ("enter", Some("Ink")),
            ("update", Some("Ink")),
            ("update", Some("Red ink")),
            ("update", Some("Red ink")),
            ("delete", None)
        ]
    );
    assert_eq!(items[1]["record"], raised, "as it is shown elsewhere");
    assert_eq!(items[1]["collection"], shop.name);
    let versions: Vec<_> = items
        .iter()
        .map(|item| item["version"].as_i64().unwrap())
        .collect();
    assert_eq!(versions, [1, 2, 3, 4, 5], "also the deletion has one");
    assert_eq!(number(&end) - number(&begin), 6, "one is not told of");
    let (items, other_end) = all(&eve, &begin, &[]).await;
    assert_eq!(told(&items), [("enter", Some("Pen"))]);
    assert_eq!(items[0]["id"], pen["id"]);
    assert_eq!(other_end, end);

    let filter = [
        ("collection", shop.name.as_str()),
        ("filter", "price >= 10"),
    ];
    let (items, _) = all(&ada, &begin, &filter).await;
    let types = [
        ("enter", Some("Ink")),
        ("update", Some("Red ink")),
        ("leave", None),
    ];
    assert_eq!(told(&items), types);
    let (items, _) = all(&eve, &begin, &filter).await;
    assert_eq!(told(&items), []);
    // Who is nobody sees nothing here; the administrator lists by the same rule.
    let anonymous = app
        .get(&format!("/v1/changes?since={begin}"))
        .await
        .expect(200);
    assert_eq!(anonymous.at("/items"), json!([]));
    assert_eq!(anonymous.at("/position"), end);
    assert_eq!(anonymous.header("feed-position"), end);
    assert_eq!(anonymous.header("cache-control"), "no-store");
}

#[tokio::test]
async fn pages_end_where_they_say_and_hidden_changes_move_on() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let begin = here(&ada).await;
    for index in 0..7 {
        shop.make(&ada, json!({"title": format!("a{index}")})).await;
        shop.make(&eve, json!({"title": format!("e{index}")})).await;
    }
    settle(app.database());
    let page = changes(&ada, &[("since", &begin), ("limit", "3")])
        .await
        .expect(200)
        .json();
    let items = page["items"].as_array().unwrap();
    assert_eq!(told(items).len(), 3);
    assert_eq!(
        (&page["more"], &page["position"]),
        (&json!(true), &items[2]["position"])
    );
    let (rest, end) = all(&ada, page["position"].as_str().unwrap(), &[("limit", "3")]).await;
    assert_eq!(told(&rest).len(), 4);
    assert_eq!(number(&end) - number(&begin), 14);
    for _ in 0..5 {
        shop.make(&eve, json!({"title": "hidden"})).await;
    }
    settle(app.database());
    let page = changes(&ada, &[("since", &end)]).await.expect(200).json();
    assert_eq!((&page["items"], &page["more"]), (&json!([]), &json!(false)));
    assert_eq!(number(page["position"].as_str().unwrap()) - number(&end), 5);
}

#[tokio::test]
async fn who_waits_is_woken_by_the_change_and_on_another_replica_too() {
    let app = TestApp::own(LIMITLESS);
    let other = app.replica(LIMITLESS).unwrap();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let there = Person::sign_in(&other, ada.email(), PASSWORD, None).await;
    let eve = app.person().await;
    let mut taken = [Duration::ZERO; 2];
    for round in 0..10 {
        let mut waiting = Vec::new();
        for person in [&ada, &there] {
            let (person, since) = (person.clone(), here(person).await);
            waiting.push(tokio::spawn(async move {
                let answer = changes(&person, &[("since", &since), ("wait", "20")]).await;
                (answer.expect(200).json(), Instant::now())
            }));
        }
        // What does not concern them wakes nobody.
        shop.make(&eve, json!({"title": "hidden"})).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(waiting.iter().all(|one| !one.is_finished()));
        let title = format!("t{round}");
        shop.make(&ada, json!({"title": title})).await;
        let written = Instant::now();
        for (one, taken) in waiting.into_iter().zip(&mut taken) {
            let (answer, told_at) = one.await.unwrap();
            assert_eq!(
                told(answer["items"].as_array().unwrap()),
                [("enter", Some(&*title))]
            );
            *taken += told_at.saturating_duration_since(written);
        }
    }
    // Whoever is not told finds out after half a second, on average.
    println!(
        "after the write, on average: {:?}",
        taken.map(|sum| sum / 10)
    );
    assert!(
        taken.iter().all(|sum| *sum < Duration::from_secs(3)),
        "{taken:?}"
    );
    // Nothing comes: the time is over.
    let begun = Instant::now();
    let answer = changes(&ada, &[("wait", "1")]).await.expect(200);
    assert_eq!(answer.at("/items"), json!([]));
    assert!((900..5_000).contains(&begun.elapsed().as_millis()));
}

#[tokio::test]
async fn a_stopping_replica_lets_nobody_wait() {
    let database = create_database();
    let app = TestApp::on_database(&database, LIMITLESS).unwrap();
    Shop::open(&app, |declaration| {
        declaration["rules"]["list"] = json!("true")
    })
    .await;
    let process = Process::start(&[
        ("DATABASE_URL", &database),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("TOLLGATE_ISSUER", "http://localhost:8080"),
    ]);
    let uri = format!("{}/v1/changes?wait=30", process.listening());
    let waiting: Vec<_> = (0..20)
        .map(|_| tokio::spawn(reqwest::get(uri.clone())))
        .collect();
    // More than there are connections to the database and threads, so they hold none.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let health = reqwest::get(format!("{}/v1/changes", process.listening()))
        .await
        .unwrap();
    assert_eq!(health.status(), 200);
    assert!(waiting.iter().all(|one| !one.is_finished()));
    let begun = Instant::now();
    let stopped = tokio::task::spawn_blocking(|| process.stop(rustix::process::Signal::TERM));
    for one in waiting {
        let answer = Response::read(one.await.unwrap().unwrap())
            .await
            .expect(200);
        assert_eq!(answer.at("/items"), json!([]));
    }
    assert_eq!(stopped.await.unwrap().0, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_no_position_of_this_feed_is_refused() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    shop.make(&ada, json!({"title": "Ink"})).await;
    settle(app.database());
    let here = here(&ada).await;
    let (epoch, head) = (here.split_once('/').unwrap().0, number(&here));
    changes(&ada, &[("since", &format!("{epoch}/0"))])
        .await
        .expect(200);
    for ahead in [head + 1, i64::MAX] {
        let refused = changes(&ada, &[("since", &format!("{epoch}/{ahead}"))]).await;
        refused.expect_problem(410, "position-expired");
    }
    let endless = format!("{epoch}/99999999999999999999");
    changes(&ada, &[("since", &endless)])
        .await
        .expect_problem(410, "position-expired");
    changes(&ada, &[("since", &format!("abc/{head}"))])
        .await
        .expect_problem(410, "position-expired");
    for since in ["", "1", "/1", "abc/", "abc/-1", "abc/1/2"] {
        let refused = changes(&ada, &[("since", since)]).await;
        let refused = refused.expect_problem(400, "invalid-query");
        assert_eq!(refused.at("/errors/0/pointer"), "/since");
    }
    let name = shop.name.as_str();
    for (parameters, pointer) in [
        ([("limit", "0"), ("wait", "0")], "/limit"),
        ([("limit", "x"), ("wait", "0")], "/limit"),
        ([("wait", "-1"), ("limit", "1")], "/wait"),
        ([("filter", "true"), ("wait", "0")], "/filter"),
        ([("filter", "price >"), ("collection", name)], "/filter"),
        ([("filter", "due < now"), ("collection", name)], "/filter"),
        ([("limit", "1"), ("limit", "2")], "/limit"),
        ([("sinse", "1"), ("limit", "2")], "/sinse"),
    ] {
        let refused = changes(&ada, &parameters).await;
        let refused = refused.expect_problem(400, "invalid-query");
        assert!(
            refused.at("/errors/0/pointer") == pointer || pointer == "/limit",
            "{parameters:?}: {}",
            refused.text()
        );
    }
    for unknown in ["nobody_has_this", "No name", ""] {
        changes(&ada, &[("collection", unknown)])
            .await
            .expect_problem(404, "not-found");
    }
    let twice = [("collection", name), ("collection", name)];
    changes(&ada, &twice).await.expect(200);
    changes(&ada, &[("collection", &format!("{name},{name}"))])
        .await
        .expect(200);
}

#[tokio::test]
async fn a_new_epoch_lets_everybody_start_over() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let before = here(&ada).await;
    let waiting = {
        let (ada, before) = (ada.clone(), before.clone());
        tokio::spawn(async move { changes(&ada, &[("since", &before), ("wait", "20")]).await })
    };
    let environment = [("DATABASE_URL", app.database())];
    let directory = directory();
    let shown = run(directory.path(), &environment, &["feed", "show"], "");
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!("position  {before}")), "{shown}");
    let json = run(
        directory.path(),
        &environment,
        &["feed", "show", "--json"],
        "",
    );
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["position"], &json["waiting"]),
        (&json!(before), &json!(0))
    );
    let renewed = run(
        directory.path(),
        &environment,
        &["feed", "epoch", "--new"],
        "",
    );
    let epoch = String::from_utf8(renewed.stdout).unwrap().trim().to_owned();
    assert!(!before.starts_with(&epoch));
    changes(&ada, &[("since", &before)])
        .await
        .expect_problem(410, "position-expired");
    waiting
        .await
        .unwrap()
        .expect_problem(410, "position-expired");
    let since = here(&ada).await;
    assert_eq!(since, format!("{epoch}/{}", number(&before)));
    shop.make(&ada, json!({"title": "Ink"})).await;
    let told_of = changes(&ada, &[("since", &since), ("wait", "20")])
        .await
        .expect(200);
    assert_eq!(told_of.at("/items/0/type"), "enter");
}

#[tokio::test]
async fn old_days_are_dropped_and_what_came_before_is_gone() {
    let app = TestApp::own(LIMITLESS);
    let database = app.database();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let begin = here(&ada).await;
    let mut conn = PgConnection::establish(database).unwrap();
    let week = TimeDelta::days(7);
    feed::keep(&mut conn, week).unwrap();
    feed::keep(&mut conn, week).unwrap();
    let days = "select count(*)::text as value from pg_inherits where inhparent = 'feed'::regclass";
    assert_eq!(
        query_value(database, days),
        "3",
        "today, tomorrow and the rest"
    );
    for index in 0..3 {
        shop.make(&ada, json!({"title": format!("old {index}")}))
            .await;
    }
    settle(database);
    let rest = "select count(*)::text as value from tollgate_feed.rest";
    assert_eq!(query_value(database, rest), "0");
    // A week and a day later; one of them was in no day that had been made.
    query(
        database,
        "create table tollgate_feed.d20200101 partition of feed for values from ('2020-01-01 00:00:00+00') to ('2020-01-02 00:00:00+00');
         update feed set at = '2020-01-01 12:00:00+00' where position % 3 > 0;
         update feed set at = '2020-02-01 12:00:00+00' where position % 3 = 0",
    );
    let middle = here(&ada).await;
    shop.make(&ada, json!({"title": "new"})).await;
    settle(database);
    assert_eq!(all(&ada, &begin, &[]).await.0.len(), 4);
    feed::keep(&mut conn, week).unwrap();
    assert_eq!(query_value(database, days), "3");
    assert_eq!(
        query_value(database, "select count(*)::text as value from feed"),
        "1"
    );
    changes(&ada, &[("since", &begin)])
        .await
        .expect_problem(410, "position-expired");
    let (items, _) = all(&ada, &middle, &[]).await;
    assert_eq!(told(&items), [("enter", Some("new"))]);
}

#[tokio::test]
async fn what_was_written_without_a_word_gets_its_position() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let since = here(&ada).await;
    shop.make(&ada, json!({"title": "Ink"})).await;
    settle(app.database());
    // As by a process that was killed after its commit.
    query(
        app.database(),
        "insert into outbox (collection, generation, record_id, owner, created_at, version, updated_at, data, size)
         select collection, generation, record_id, owner, created_at, version + 1, updated_at, data, size from feed",
    );
    let (items, _) = {
        settle(app.database());
        all(&ada, &since, &[]).await
    };
    assert_eq!(told(&items).len(), 2);
    let answer = changes(&ada, &[("since", &since), ("wait", "20")])
        .await
        .expect(200);
    assert_eq!(answer.at("/items/1/version"), 2);
}

#[tokio::test]
async fn a_number_is_drawn_when_the_record_is_held_and_not_before() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let ink = shop.make(&ada, json!({"title": "Ink"})).await;
    let record = shop.record(&ink["id"]);
    let drawn = || {
        query_value(
            app.database(),
            "select last_value::text as value from outbox_seq_seq",
        )
    };
    let writes = [("PUT", Some(json!({"title": "Pen"}))), ("DELETE", None)];
    for (number, (method, body)) in (2..).zip(writes) {
        let mut holder = PgConnection::establish(app.database()).unwrap();
        holder
            .batch_execute("begin; select from tollgate_data.c1 for update")
            .unwrap();
        let writing = {
            let (ada, record) = (ada.clone(), record.clone());
            tokio::spawn(async move { ada.send(method, &record, body).await })
        };
        let waiting = "select count(*)::text as value from pg_stat_activity where datname = current_database() \
            and wait_event_type = 'Lock' and query ~ 'insert into outbox'";
        while query_value(app.database(), waiting) != "1" {
            tokio::task::yield_now().await;
        }
        // Else somebody who draws later could write first.
        assert_eq!(drawn(), (number - 1).to_string(), "{method} waits");
        drop(holder);
        assert!(writing.await.unwrap().status() < 300);
        assert_eq!(drawn(), number.to_string());
    }
}

#[tokio::test]
async fn what_is_committed_long_after_its_number_was_drawn_gets_its_position() {
    let database = create_database();
    let app = TestApp::on_database(&database, LIMITLESS).unwrap();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    shop.make(&ada, json!({"title": "first"})).await;
    settle(&database);
    let mut since = here(&ada).await;
    let mut slow = PgConnection::establish(&database).unwrap();
    // Meanwhile whoever looks for what waits comes by many times: where nothing else is written, and where much is.
    for others in [0, 40] {
        slow.batch_execute(
            "begin; select pg_current_xact_id();
             insert into outbox (collection, generation, record_id, owner, created_at, version, updated_at, data, size)
             select collection, generation, gen_random_uuid(), owner, created_at, version, updated_at, data, size from feed limit 1",
        )
        .unwrap();
        for _ in 0..8 {
            let lines = ada.request("POST", &shop.records());
            let lines = lines.header("content-type", "application/x-ndjson");
            app.send(lines.body("{}\n")).await.expect(200);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        for number in 0..others {
            shop.make(&ada, json!({"title": format!("{number}")})).await;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let (told, place) = all(&ada, &since, &[]).await;
        assert_eq!(told.len(), others);
        slow.batch_execute("commit").unwrap();
        settle(&database);
        let (told, place) = all(&ada, &place, &[]).await;
        assert_eq!(told.len(), 1);
        since = place;
    }
}

#[tokio::test]
async fn nothing_written_before_sigkill_is_lost() {
    let database = create_database();
    let app = TestApp::on_database(&database, LIMITLESS).unwrap();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let since = here(&ada).await;
    let environment = [
        ("DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("TOLLGATE_ISSUER", "http://localhost:8080"),
    ];
    let process = Process::start(&environment);
    let uri = format!("{}{}", process.listening(), shop.records());
    // Nobody gives positions meanwhile: as if the process that wrote were the only one.
    let mut holder = PgConnection::establish(&database).unwrap();
    holder
        .batch_execute("begin; select pg_advisory_xact_lock(x'746f6c6c66656564'::bigint)")
        .unwrap();
    let made = reqwest::Client::new()
        .post(&uri)
        .bearer_auth(ada.access_token())
        .json(&json!({"title": "Ink"}))
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 201);
    drop(process.kill());
    assert_eq!(
        query_value(&database, "select count(*)::text as value from outbox"),
        "1"
    );
    drop(holder);
    let answer = changes(&ada, &[("since", &since), ("wait", "20")])
        .await
        .expect(200);
    assert_eq!(
        told(answer.at("/items").as_array().unwrap()),
        [("enter", Some("Ink"))]
    );
}

#[tokio::test]
async fn an_erased_person_leaves_nothing_in_the_feed() {
    for keep in [false, true] {
        let app = TestApp::own(LIMITLESS);
        let shop = Shop::open(&app, |declaration| {
            declaration["rules"]["list"] = json!("true");
            declaration["rules"]["delete"] = json!("true");
            declaration["on_owner_delete"] = json!(if keep { "keep" } else { "delete" });
        })
        .await;
        let (ada, eve) = (app.person().await, app.person().await);
        let begin = here(&eve).await;
        let ink = shop.make(&ada, json!({"title": "canary"})).await;
        let pen = shop.make(&ada, json!({"title": "canary"})).await;
        shop.make(&eve, json!({"title": "hers"})).await;
        ada.put(&shop.record(&ink["id"]), json!({"title": "canary 2"}))
            .await
            .expect(200);
        ada.delete(&shop.record(&pen["id"])).await.expect(204);
        settle(app.database());
        let middle = here(&eve).await;
        assert_eq!(all(&eve, &begin, &[]).await.0.len(), 5);
        ada.delete("/v1/users/me").await.expect(204);
        settle(app.database());
        let holds = |text: &str| {
            let sql = format!(
                "select count(*)::text as value from feed where feed::text like '%{text}%'"
            );
            query_value(app.database(), &sql)
        };
        assert_eq!(holds(ada.id()), "0");
        // A record that is kept is told of as it is now, and was never hers.
        assert_eq!(holds("canary"), if keep { "1" } else { "0" });
        assert_eq!(holds("hers"), "1");
        let last = if keep {
            ("update", Some("canary 2"))
        } else {
            ("delete", None)
        };
        let (items, end) = all(&eve, &middle, &[]).await;
        assert_eq!(told(&items), [last]);
        assert_eq!(items[0]["id"], ink["id"]);
        assert_eq!(items[0]["version"], 3);
        // Whoever comes from before is told what was deleted, not what had been there.
        let (items, _) = all(&eve, &begin, &[]).await;
        assert_eq!(
            told(&items),
            [("enter", Some("hers")), ("delete", None), last]
        );
        assert_eq!(items[1]["id"], pen["id"]);
        assert_eq!(number(&end) - number(&begin), 7, "positions stay dense");
    }
}

#[tokio::test]
async fn a_collection_that_is_declared_anew_or_dropped_is_seen_as_it_is() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let begin = here(&eve).await;
    let waiting = {
        let (eve, begin) = (eve.clone(), begin.clone());
        tokio::spawn(async move { changes(&eve, &[("since", &begin), ("wait", "20")]).await })
    };
    shop.make(&ada, json!({"title": "hidden"})).await;
    let mut declaration = shop.declaration().await;
    declaration["rules"]["list"] = json!("true");
    shop.declare(&declaration).await.expect(200);
    shop.make(&ada, json!({"title": "shown"})).await;
    // While she waits, the rules change; what is written by the new ones is told by them.
    let answer = waiting.await.unwrap().expect(200);
    let items = answer.at("/items");
    assert_eq!(
        told(items.as_array().unwrap()).last(),
        Some(&("enter", Some("shown")))
    );
    // One that did not exist when she began to wait.
    let begin = answer.at("/position").as_str().unwrap().to_owned();
    let waiting = {
        let (eve, begin) = (eve.clone(), begin.clone());
        tokio::spawn(async move { changes(&eve, &[("since", &begin), ("wait", "20")]).await })
    };
    let later = Shop::open(&app, |declaration| {
        declaration["rules"]["list"] = json!("true")
    })
    .await;
    later.make(&ada, json!({"title": "later"})).await;
    let answer = waiting.await.unwrap().expect(200);
    assert_eq!(answer.at("/items/0/collection"), later.name);
    let administrator = shop.administrator();
    administrator
        .delete(&format!("{}?confirm={}", later.uri(), later.name))
        .await
        .expect(204);
    let (items, _) = all(&eve, &begin, &[]).await;
    assert_eq!(told(&items), [], "a dropped collection is told of no more");
    // Time passes without a change.
    declaration["rules"]["list"] = json!("record.created_at < now");
    shop.declare(&declaration).await.expect(200);
    shop.make(&ada, json!({"title": "timed"})).await;
    settle(app.database());
    assert_eq!(told(&all(&eve, &begin, &[]).await.0), []);
    changes(&eve, &[("collection", &shop.name)])
        .await
        .expect_problem(400, "invalid-query");
}

#[tokio::test]
async fn the_feed_is_counted() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    shop.make(&ada, json!({"title": "Ink"})).await;
    changes(&ada, &[("wait", "0")]).await.expect(200);
    settle(app.database());
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let metrics = app.get("/metrics").await.expect(200).text();
        if metrics.contains("tollgate_feed_position 1\n")
            && metrics.contains("tollgate_feed_waiting 0\n")
        {
            return;
        }
        assert!(Instant::now() < deadline, "{metrics}");
    }
}
