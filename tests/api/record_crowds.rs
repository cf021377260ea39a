//! Records that many ask for and make at the same time: what goes to the database together is told apart, and nobody has to suffer
//! for the others.

use diesel::{Connection, PgConnection, RunQueryDsl, connection::SimpleConnection};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Shop, TestApp};

const MANY: usize = 60;

fn unlimited() -> TestApp {
    TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")])
}

#[tokio::test]
async fn everybody_who_reads_is_shown_their_own() {
    let app = unlimited();
    let shop = Shop::open(&app, |_| {}).await;
    let people = [app.person().await, app.person().await];
    let mut records = Vec::new();
    for number in 0..6 {
        let document = json!({"title": format!("record {number}")});
        records.push(shop.make(&people[number % 2], document).await);
    }
    let ask = |index: usize| {
        let (reader, record) = (&people[index % 2], &records[index / 2 % 6]);
        let path = shop.record(&record["id"]);
        async move { reader.get(&path).await }
    };
    for _ in 0..5 {
        let answers = join_all((0..MANY).map(ask)).await;
        for (index, answer) in answers.into_iter().enumerate() {
            let number = index / 2 % 6;
            if number % 2 == index % 2 {
                assert_eq!(answer.expect(200).json(), records[number]);
            } else {
                answer.expect_problem(404, "not-found");
            }
        }
    }
    // Who asks for a member that is none is told so, and nobody else.
    let path = shop.record(&records[0]["id"]);
    let ask = |index: usize| {
        let path = if index.is_multiple_of(3) {
            format!("{path}?fields=none")
        } else {
            path.clone()
        };
        let reader = &people[0];
        async move { reader.get(&path).await }
    };
    for (index, answer) in join_all((0..MANY).map(ask)).await.into_iter().enumerate() {
        if index.is_multiple_of(3) {
            answer.expect_problem(400, "invalid-query");
        } else {
            assert_eq!(answer.expect(200).json(), records[0]);
        }
    }
}

#[tokio::test]
async fn everybody_who_makes_a_record_is_told_what_became_of_theirs() {
    let app = unlimited();
    let shop = Shop::open(&app, |declaration| {
        declaration["rules"]["create"] = json!("auth.sub != null && input.status != 'sent'");
    })
    .await;
    let people = [app.person().await, app.person().await];
    // Known from here on.
    shop.make(&people[0], json!({"title": "first"})).await;
    let ask = |index: usize| {
        let title = format!("record {index}");
        let document = match index % 4 {
            0 => json!({"title": title, "price": -1}),
            1 => json!({"title": title, "status": "sent"}),
            // More than goes with others.
            2 => json!({"title": title, "tags": vec!["x".repeat(100); 300]}),
            _ => json!({"title": title}),
        };
        let (path, person) = (shop.records(), &people[index % 2]);
        async move { person.post(&path, document).await }
    };
    let answers = join_all((0..MANY).map(ask)).await;
    for (index, answer) in answers.into_iter().enumerate() {
        match index % 4 {
            0 => {
                let problem = answer.expect_problem(422, "validation-failed").json();
                assert_eq!(problem["errors"][0]["pointer"], "/price");
            }
            1 => {
                answer.expect_problem(403, "rule-forbids");
            }
            _ => {
                let made = answer.expect(201);
                let record = made.json();
                assert_eq!(record["title"], format!("record {index}"));
                assert_eq!(made.header("location"), shop.record(&record["id"]));
                let read = people[index % 2].get(&shop.record(&record["id"])).await;
                assert_eq!(read.expect(200).json(), record);
            }
        }
    }
}

#[tokio::test]
async fn nobody_waits_for_somebody_elses_account_that_is_held() {
    let app = unlimited();
    let shop = Shop::open(&app, |_| {}).await;
    let (held, other) = (app.person().await, app.person().await);
    let first = shop.make(&held, json!({"title": "first"})).await;
    let mut conn = PgConnection::establish(app.database()).unwrap();
    conn.batch_execute("begin").unwrap();
    diesel::sql_query("select from users where id = $1::uuid for update")
        .bind::<diesel::sql_types::Text, _>(first["owner"].as_str().unwrap())
        .execute(&mut conn)
        .unwrap();
    let ask = |index: usize| {
        let person = if index.is_multiple_of(20) {
            &held
        } else {
            &other
        };
        let path = shop.records();
        async move { person.post(&path, json!({"title": "more"})).await }
    };
    let answers = join_all((0..MANY).map(ask)).await;
    conn.batch_execute("rollback").unwrap();
    for (index, answer) in answers.into_iter().enumerate() {
        if index.is_multiple_of(20) {
            answer.expect_problem(503, "overloaded");
        } else {
            answer.expect(201);
        }
    }
}

#[tokio::test]
async fn a_rule_that_takes_long_to_apply_is_ended_and_harms_no_others() {
    let app = unlimited();
    let shop = Shop::open(&app, |declaration| {
        let properties = &mut declaration["schema"]["properties"];
        properties["ones"] = json!({"type": "array", "items": {"type": "number"}});
        properties["others"] = properties["ones"].clone();
        declaration["rules"]["read"] =
            json!("record.title == 'open' || record.ones.exists(one, one in record.others)");
    })
    .await;
    let ada = app.person().await;
    let open = shop.make(&ada, json!({"title": "open"})).await;
    let numbers = |from: u32, count: u32| (from..from + count).collect::<Vec<_>>();
    // Shown only after many steps, and not at all after very many.
    let long = json!({"title": "long", "ones": numbers(0, 3_000), "others": [2_999]});
    let long = shop.make(&ada, long).await;
    let endless =
        json!({"title": "endless", "ones": numbers(0, 60_000), "others": numbers(100_000, 60_000)});
    let endless = shop.make(&ada, endless).await;
    let ask = |index: usize| {
        let path =
            shop.record(&[&open, &long, &endless][if index < 2 { 2 } else { index % 2 }]["id"]);
        let ada = &ada;
        async move { ada.get(&path).await }
    };
    let answers = join_all((0..20).map(ask)).await;
    for (index, answer) in answers.into_iter().enumerate() {
        match index {
            0 | 1 => {
                answer.expect_problem(503, "database-unavailable");
            }
            _ => {
                assert_eq!(answer.expect(200).json(), [&open, &long][index % 2].clone());
            }
        }
    }
    let read: Value = ada.get(&shop.record(&open["id"])).await.expect(200).json();
    assert_eq!(read, open);
}

#[tokio::test]
async fn a_rule_of_making_that_takes_long_refuses() {
    let app = unlimited();
    let shop = Shop::open(&app, |declaration| {
        let properties = &mut declaration["schema"]["properties"];
        properties["ones"] = json!({"type": "array", "items": {"type": "number"}});
        properties["text"] = json!({"type": "string"});
        declaration["rules"]["create"] = json!(
            "input.title == 'open' || input.ones.exists(one, input.text != '' && one == 1099)"
        );
    })
    .await;
    let ada = app.person().await;
    shop.make(&ada, json!({"title": "open"})).await;
    // Too many steps to go with others, and too many at all: an error, and no error grants anything. A long text is many steps, which
    // keeps them quick.
    let document = |title: &str, text: String| {
        let ones = (0..1_100).collect::<Vec<_>>();
        json!({"title": title, "ones": ones, "text": text})
    };
    let some = document("some", "x".to_owned());
    let endless = document("endless", "x".repeat(64_000));
    let ask = |index: usize| {
        let document = [json!({"title": "open"}), some.clone(), endless.clone()][index % 3].clone();
        let (path, ada) = (shop.records(), &ada);
        async move { ada.post(&path, document).await }
    };
    for (index, answer) in join_all((0..6).map(ask)).await.into_iter().enumerate() {
        if index % 3 == 2 {
            answer.expect_problem(403, "rule-forbids");
        } else {
            answer.expect(201);
        }
    }
}
