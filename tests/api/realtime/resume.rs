//! Coming back: all that was missed, or a word that something was.

use serde_json::{Value, json};

use super::{LIMITLESS, change, channel, told};
use crate::feed::settle;
use crate::harness::{Heard, Person, Shop, Socket, TestApp};

/// Subscribes where somebody left off.
async fn resume(
    person: &Person,
    channel: &str,
    epoch: &Value,
    offset: &Value,
    more: Value,
) -> (Socket, Value) {
    let mut socket = Socket::of(person).await;
    let mut subscribe = json!({"recover": true, "epoch": epoch, "offset": offset});
    for (name, value) in more.as_object().unwrap() {
        subscribe[name] = value.clone();
    }
    let answer = socket.subscribe(channel, subscribe).await;
    let subscribed = answer["subscribe"].clone();
    assert_eq!(subscribed["was_recovering"], true, "{answer}");
    (socket, subscribed)
}

fn titles(subscribed: &Value) -> Vec<Option<String>> {
    let publications = subscribed["publications"].as_array().unwrap().iter();
    publications
        .map(|publication| told(&publication["data"]).1)
        .collect()
}

#[tokio::test]
async fn rt_09_who_comes_back_is_told_all_that_they_missed_and_nothing_twice() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let channel = channel(&shop);
    let mut socket = Socket::of(&ada).await;
    let subscribed = socket.subscribe(&channel, json!({})).await["subscribe"].clone();
    shop.make(&ada, json!({"title": "seen"})).await;
    let (_, offset) = socket.publication(&channel).await;
    drop(socket);
    for number in 0..3 {
        shop.make(&ada, json!({"title": format!("missed {number}")}))
            .await;
        shop.make(&eve, json!({"title": "Eve's"})).await;
    }
    settle(app.database());
    let (mut socket, resumed) = resume(
        &ada,
        &channel,
        &subscribed["epoch"],
        &json!(offset),
        json!({}),
    )
    .await;
    assert_eq!(resumed["recovered"], true, "{resumed}");
    let missed = ["missed 0", "missed 1", "missed 2"].map(|title| Some(title.to_owned()));
    assert_eq!(titles(&resumed), missed);
    assert_eq!(resumed["epoch"], subscribed["epoch"]);
    shop.make(&ada, json!({"title": "live"})).await;
    let (data, live) = socket.publication(&channel).await;
    assert_eq!(told(&data).1.as_deref(), Some("live"));
    assert!(live > resumed["offset"].as_i64().unwrap());
    // Somebody else, another filter, another feed, a place that is not yet, or none: not a part, but a word.
    let offset = json!(offset);
    let filtered = json!({"data": {"filter": "price >= 10"}});
    for (person, epoch, offset, more) in [
        (&eve, &subscribed["epoch"], &offset, json!({})),
        (&ada, &subscribed["epoch"], &offset, filtered),
        (&ada, &json!("0a1b2c"), &offset, json!({})),
        (&ada, &json!(""), &offset, json!({})),
        (&ada, &subscribed["epoch"], &json!(i64::MAX), json!({})),
        (&ada, &subscribed["epoch"], &json!(-1), json!({})),
    ] {
        let (_, resumed) = resume(person, &channel, epoch, offset, more).await;
        assert_eq!(resumed["recovered"], false, "{epoch} {offset}");
        assert_eq!(resumed["publications"], json!([]));
    }
}

#[tokio::test]
async fn a_list_goes_on_as_a_subscription() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    shop.make(&ada, json!({"title": "listed"})).await;
    let list = ada.get(&shop.records()).await.expect(200);
    let (epoch, offset) = list.header("feed-position").split_once('/').unwrap();
    shop.make(&ada, json!({"title": "made since"})).await;
    settle(app.database());
    let offset: i64 = offset.parse().unwrap();
    let channel = channel(&shop);
    let (_, resumed) = resume(&ada, &channel, &json!(epoch), &json!(offset), json!({})).await;
    assert_eq!(resumed["recovered"], true);
    let last = titles(&resumed).pop().unwrap();
    assert_eq!(
        last.as_deref(),
        Some("made since"),
        "what the list had may come once more"
    );
}

#[tokio::test]
async fn who_is_subscribed_under_other_rules_is_told_to_subscribe_anew() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let channel = channel(&shop);
    let ink = shop.make(&ada, json!({"title": "Ink"})).await;
    settle(app.database());
    let mut socket = Socket::of(&ada).await;
    let before = socket.subscribe(&channel, json!({})).await["subscribe"].clone();
    let mut declaration = shop.declaration().await;
    declaration["rules"]["list"] = json!("record.owner == auth.sub && record.status != 'sent'");
    shop.declare(&declaration).await.expect(200);
    change(&ada, &shop, &ink, json!({"title": "Red ink"})).await;
    let Heard::Line(ended) = socket.hear().await else {
        panic!("it was closed");
    };
    assert_eq!(ended["push"]["unsubscribe"]["code"], 2500, "{ended}");
    assert_eq!(ended["push"]["channel"], channel);
    let again = json!({"recover": true, "epoch": before["epoch"], "offset": before["offset"]});
    let after = socket.subscribe(&channel, again).await["subscribe"].clone();
    assert_eq!(after["recovered"], false, "{after}");
    assert_ne!(after["epoch"], before["epoch"]);
    change(&ada, &shop, &ink, json!({"status": "open"})).await;
    let (data, _) = socket.publication(&channel).await;
    assert_eq!(told(&data).0, "update");
}

#[tokio::test]
async fn a_crowd_that_comes_and_goes_while_many_write_misses_nothing() {
    const WRITERS: usize = 4;
    const EACH: usize = 40;
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let channel = channel(&shop);
    let mut first = Socket::of(&ada).await;
    let begun = first.subscribe(&channel, json!({})).await["subscribe"].clone();
    let write = |writer: usize| {
        let (shop, ada) = (&shop, &ada);
        async move {
            for number in 0..EACH {
                shop.make(ada, json!({"title": format!("{writer} {number}")}))
                    .await;
            }
        }
    };
    // Reads a few, cuts the line, comes back, until everything was told.
    let follow = |pace: usize| {
        let (ada, channel, begun) = (&ada, &channel, begun.clone());
        async move {
            let (epoch, mut offset) = (begun["epoch"].clone(), begun["offset"].as_i64().unwrap());
            let mut seen = Vec::new();
            while seen.len() < WRITERS * EACH {
                let (mut socket, resumed) =
                    resume(ada, channel, &epoch, &json!(offset), json!({})).await;
                assert_eq!(resumed["recovered"], true);
                seen.extend(titles(&resumed).into_iter().flatten());
                offset = resumed["offset"].as_i64().unwrap();
                for _ in 0..pace {
                    if seen.len() >= WRITERS * EACH {
                        break;
                    }
                    let (data, place) = socket.publication(channel).await;
                    assert!(place > offset, "{place} after {offset}");
                    seen.extend(told(&data).1);
                    offset = place;
                }
            }
            seen.sort_unstable();
            seen
        }
    };
    let mut expected: Vec<_> = (0..WRITERS)
        .flat_map(|writer| (0..EACH).map(move |number| format!("{writer} {number}")))
        .collect();
    expected.sort_unstable();
    let writers = futures_util::future::join_all((0..WRITERS).map(write));
    let followers = futures_util::future::join_all([1, 3, 7, 20].map(follow));
    let (_, seen) = tokio::join!(writers, followers);
    for seen in seen {
        assert_eq!(seen, expected);
    }
}
