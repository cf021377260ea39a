//! Live updates: what each is told, from where on, and when a socket ends.

mod channels;
mod events;
mod handshake;
mod life;
mod parity;
mod resume;
mod seats;

use serde_json::{Value, json};

use crate::feed::settle;
use crate::harness::{Heard, Person, Shop, Socket, TestApp};

const LIMITLESS: &[(&str, &str)] = &[("TOLLGATE_LIMITS__ENABLED", "false")];

fn channel(shop: &Shop) -> String {
    format!("data:{}", shop.name)
}

/// Type and title of what was told.
fn told(data: &Value) -> (String, Option<String>) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    (text(&data["type"]).unwrap(), text(&data["record"]["title"]))
}

/// The type and title of what comes next.
async fn next(socket: &mut Socket, channel: &str) -> (String, Option<String>) {
    told(&socket.publication(channel).await.0)
}

fn as_told(kind: &str, title: Option<&str>) -> (String, Option<String>) {
    (kind.to_owned(), title.map(str::to_owned))
}

async fn change(person: &Person, shop: &Shop, record: &Value, patch: Value) {
    let path = shop.record(&record["id"]);
    person.patch(&path, patch).await.expect(200);
}

#[tokio::test]
async fn everybody_is_told_what_becomes_of_what_they_may_list() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let channel = channel(&shop);
    let mut own = Socket::of(&ada).await;
    let mut others = Socket::of(&eve).await;
    let mut dear = Socket::of(&ada).await;
    let filtered = json!({"data": {"filter": "price >= 10"}});
    for (socket, more) in [
        (&mut own, json!({})),
        (&mut others, json!({})),
        (&mut dear, filtered),
    ] {
        let subscribed = socket.subscribe(&channel, more).await["subscribe"].clone();
        assert_eq!(subscribed["recoverable"], true, "{subscribed}");
        assert_eq!(subscribed["recovered"], false);
        assert_eq!(subscribed["publications"], json!([]));
    }
    let ink = shop.make(&ada, json!({"title": "Ink", "price": 3})).await;
    change(&ada, &shop, &ink, json!({"price": 12})).await;
    change(&ada, &shop, &ink, json!({"price": 13})).await;
    change(&ada, &shop, &ink, json!({"price": 1})).await;
    ada.delete(&shop.record(&ink["id"])).await.expect(204);
    shop.make(&eve, json!({"title": "Eve's"})).await;
    for kind in ["enter", "update", "update", "update"] {
        assert_eq!(next(&mut own, &channel).await, as_told(kind, Some("Ink")));
    }
    let (data, _) = own.publication(&channel).await;
    assert_eq!(
        data,
        json!({"type": "delete", "id": ink["id"], "version": 5})
    );
    for (kind, title) in [
        ("enter", Some("Ink")),
        ("update", Some("Ink")),
        ("leave", None),
    ] {
        assert_eq!(next(&mut dear, &channel).await, as_told(kind, title));
    }
    // Nothing of Ada's came before.
    assert_eq!(
        next(&mut others, &channel).await,
        as_told("enter", Some("Eve's"))
    );
    // What is told is what is read.
    let pen = shop.make(&ada, json!({"title": "Pen"})).await;
    let (data, _) = own.publication(&channel).await;
    assert_eq!(data["record"], pen);
    // Who unsubscribes is told no more, and may come back.
    let gone = own.ask(json!({"unsubscribe": {"channel": channel}})).await;
    assert_eq!(gone["unsubscribe"], json!({}));
    shop.make(&ada, json!({"title": "unheard"})).await;
    // From now on: from the position on that the feed has by now.
    settle(app.database());
    own.subscribe(&channel, json!({})).await;
    shop.make(&ada, json!({"title": "heard"})).await;
    assert_eq!(
        next(&mut own, &channel).await,
        as_told("enter", Some("heard"))
    );
}

#[tokio::test]
async fn one_record_is_followed_by_those_who_may_read_it() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let ink = shop.make(&ada, json!({"title": "Ink"})).await;
    let other = shop.make(&ada, json!({"title": "Other"})).await;
    settle(app.database());
    let channel = format!("data:{}:{}", shop.name, ink["id"].as_str().unwrap());
    let (mut own, mut hidden) = (Socket::of(&ada).await, Socket::of(&eve).await);
    own.subscribe(&channel, json!({})).await;
    hidden.subscribe(&channel, json!({})).await;
    change(&ada, &shop, &other, json!({"title": "another"})).await;
    change(&ada, &shop, &ink, json!({"title": "Red ink"})).await;
    ada.delete(&shop.record(&ink["id"])).await.expect(204);
    assert_eq!(
        next(&mut own, &channel).await,
        as_told("update", Some("Red ink"))
    );
    assert_eq!(next(&mut own, &channel).await, as_told("delete", None));
    // Eve was told nothing: the next that she hears is the answer.
    let answer = hidden
        .ask(json!({"unsubscribe": {"channel": channel}}))
        .await;
    assert_eq!(answer["unsubscribe"], json!({}));
}

#[tokio::test]
async fn who_may_see_single_members_is_asked_of_each() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["rules"]["list"] = json!("true");
        declaration["schema"]["properties"]["price"]["x-readable"] =
            json!("record.owner == auth.sub");
    })
    .await;
    let (ada, eve) = (app.person().await, app.person().await);
    let channel = channel(&shop);
    let (mut own, mut others) = (Socket::of(&ada).await, Socket::of(&eve).await);
    let mut visitor = Socket::open(&app, &[]).await.unwrap();
    visitor.ask(json!({"connect": {}})).await;
    for socket in [&mut own, &mut others, &mut visitor] {
        socket.subscribe(&channel, json!({})).await;
    }
    shop.make(&ada, json!({"title": "Ink", "price": 3})).await;
    assert_eq!(own.publication(&channel).await.0["record"]["price"], 3);
    for socket in [&mut others, &mut visitor] {
        let (data, _) = socket.publication(&channel).await;
        assert_eq!(data["record"]["title"], "Ink");
        assert_eq!(data["record"].get("price"), None, "{data}");
    }
}

#[tokio::test]
async fn what_is_no_channel_of_theirs_is_refused() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |declaration| {
        declaration["rules"]["list"] = json!("'staff' in auth.roles");
    })
    .await;
    let timed = Shop::open(&app, |declaration| {
        declaration["rules"]["list"] = json!("record.created_at < now");
    })
    .await;
    let open = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let mut socket = Socket::of(&ada).await;
    let wrong_filter = json!({"data": {"filter": "nothing >= 1"}});
    let unknown_member = json!({"data": {"filters": "price >= 1"}});
    for (channel, more, code) in [
        ("orders".to_owned(), json!({}), 102),
        ("data:no_such_things".to_owned(), json!({}), 102),
        (channel(&shop), json!({}), 103),
        (channel(&timed), json!({}), 107),
        (channel(&open), wrong_filter, 107),
        (channel(&open), unknown_member, 107),
        (channel(&open), json!({"data": {"filter": 5}}), 107),
    ] {
        let answer = socket.subscribe(&channel, more).await;
        assert_eq!(answer["error"]["code"], code, "{channel}: {answer}");
    }
    let twice = channel(&open);
    socket.subscribe(&twice, json!({})).await;
    let answer = socket.subscribe(&twice, json!({})).await;
    assert_eq!(answer["error"]["code"], 105);
    // A token without the scope opens no channel.
    let app_user = app.user("account:read").await;
    let mut narrow = Socket::of(&app_user).await;
    let answer = narrow.subscribe(&twice, json!({})).await;
    assert_eq!(answer["error"]["code"], 103, "{answer}");
    for command in ["publish", "presence", "presence_stats", "history", "rpc"] {
        let answer = socket.ask(json!({command: {"channel": twice}})).await;
        assert_eq!(answer["error"]["code"], 108, "{command}");
    }
}

#[tokio::test]
async fn many_channels_are_too_many() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let mut socket = Socket::of(&ada).await;
    // As libraries do: all at once.
    let lines: Vec<_> = (0..=128)
        .map(|number| {
            let channel = format!("data:{}:{}", shop.name, uuid::Uuid::now_v7());
            json!({"id": 10 + number, "subscribe": {"channel": channel}}).to_string()
        })
        .collect();
    socket.say(&lines.join("\n")).await;
    for number in 0..=128 {
        let Heard::Line(answer) = socket.hear().await else {
            panic!("it was closed");
        };
        assert_eq!(answer["id"], 10 + number);
        if number < 128 {
            assert_eq!(answer["subscribe"]["recoverable"], true, "{answer}");
        } else {
            assert_eq!(answer["error"]["code"], 106, "{answer}");
        }
    }
}
