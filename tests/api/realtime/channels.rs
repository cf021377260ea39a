//! Channels beside those of records: what clients and servers tell each other, who is there, and what is kept.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Heard, Person, Socket, TestApp, query, query_value};

const NAMESPACES: &str = r#"[
    { name = "chat", subscribe = "has(auth.sub)", publish = "has(auth.sub) && input.data.text != 'spam'",
      presence = "has(auth.sub)", history = "has(auth.sub)", history_size = 5, join_leave = true },
    { name = "typing", subscribe = "has(auth.sub)", publish = "input.name == auth.sub" },
    { name = "wall", subscribe = "true", history = "true", history_size = 3 },
    { name = "log", subscribe = "true", publish = "true", history = "true", history_size = 1000 },
    { name = "hall", subscribe = "true", history_size = 10 },
    { name = "silent" },
]"#;

const SETTINGS: &[(&str, &str)] = &[
    ("TOLLGATE_LIMITS__ENABLED", "false"),
    ("TOLLGATE_REALTIME__NAMESPACE", NAMESPACES),
];

/// One that a person is connected on, with a replica.
async fn connect(app: &TestApp, person: &Person) -> Socket {
    let mut socket = Socket::open(app, &[]).await.unwrap();
    let connect = json!({"connect": {"token": person.access_token()}});
    let connected = socket.ask(connect).await;
    assert_eq!(connected["connect"]["expires"], true, "{connected}");
    socket
}

async fn visit(app: &TestApp) -> Socket {
    let mut socket = Socket::open(app, &[]).await.unwrap();
    let connected = socket.ask(json!({"connect": {}})).await;
    assert!(connected["connect"].is_object(), "{connected}");
    socket
}

async fn publish(socket: &mut Socket, channel: &str, data: Value) -> Value {
    let publish = json!({"channel": channel, "data": data});
    socket.ask(json!({"publish": publish})).await
}

/// The next push, whatever it is.
async fn push(socket: &mut Socket) -> Value {
    match socket.hear().await {
        Heard::Line(line) => line["push"].clone(),
        heard => panic!("{heard:?}"),
    }
}

/// Subscribes, and is told so as the others are; who came just before may be told of, too.
async fn joined(socket: &mut Socket, channel: &str, person: &Person) -> Value {
    let subscribed = socket.subscribe(channel, json!({})).await;
    assert!(subscribed["subscribe"].is_object(), "{subscribed}");
    loop {
        let joined = push(socket).await;
        assert_eq!(joined["channel"], channel);
        let info = &joined["join"]["info"];
        if info["user"] == person.id() {
            break info.clone();
        }
    }
}

fn history(channel: &str) -> String {
    format!("/v1/channels/{channel}/history")
}

fn publications(channel: &str) -> String {
    format!("/v1/channels/{channel}/publications")
}

fn texts(publications: &Value) -> Vec<String> {
    let all = publications.as_array().unwrap().iter();
    all.map(|one| one["data"]["text"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_clients_publish_is_told_to_all_that_the_rules_admit() {
    let app = TestApp::own(SETTINGS);
    let (ada, eve) = (app.person().await, app.person().await);
    let (mut adas, mut eves) = (Socket::of(&ada).await, Socket::of(&eve).await);
    let me = joined(&mut adas, "chat:lobby", &ada).await;
    assert_eq!(me["user"], ada.id());
    let other = joined(&mut eves, "chat:lobby", &eve).await;
    assert_eq!(push(&mut adas).await["join"]["info"], other);
    let answer = publish(&mut adas, "chat:lobby", json!({"text": "Hello", "n": 1.50})).await;
    assert_eq!(answer["publish"], json!({}), "{answer}");
    for socket in [&mut adas, &mut eves] {
        let told = push(socket).await;
        assert_eq!(told["channel"], "chat:lobby");
        assert_eq!(told["pub"]["data"], json!({"text": "Hello", "n": 1.50}));
        assert_eq!(told["pub"]["info"], me);
        assert!(told["pub"]["offset"].as_i64() > Some(0), "{told}");
    }
    // Nobody has to be subscribed to publish; what is not kept has no place.
    let own = format!("typing:{}", eve.id());
    let subscribed = adas.subscribe(&own, json!({})).await;
    assert_eq!(subscribed["subscribe"]["recoverable"], false);
    publish(&mut eves, &own, json!(true)).await;
    let told = push(&mut adas).await;
    assert_eq!(told["pub"]["data"], true);
    assert_eq!(told["pub"].get("offset"), None);
    // A publisher who has unsubscribed is told nothing, and the others that they went.
    eves.ask(json!({"unsubscribe": {"channel": "chat:lobby"}}))
        .await;
    assert_eq!(push(&mut adas).await["leave"]["info"], other);
    let mut visitor = visit(&app).await;
    for (is_visitor, command, code) in [
        (true, json!({"subscribe": {"channel": "chat:lobby"}}), 103),
        (
            true,
            json!({"publish": {"channel": "chat:lobby", "data": {"text": "x"}}}),
            103,
        ),
        (true, json!({"presence": {"channel": "chat:lobby"}}), 103),
        (
            true,
            json!({"presence_stats": {"channel": "chat:lobby"}}),
            103,
        ),
        (true, json!({"history": {"channel": "chat:lobby"}}), 103),
        (
            false,
            json!({"publish": {"channel": "chat:lobby", "data": {"text": "spam"}}}),
            103,
        ),
        // A rule that can't be told grants nothing.
        (
            false,
            json!({"publish": {"channel": "chat:lobby", "data": 1}}),
            103,
        ),
        (
            false,
            json!({"publish": {"channel": format!("typing:{}", ada.id()), "data": 1}}),
            103,
        ),
        (
            false,
            json!({"publish": {"channel": "wall:1", "data": 1}}),
            103,
        ),
        (false, json!({"presence": {"channel": "wall:1"}}), 103),
        (false, json!({"subscribe": {"channel": "silent:1"}}), 103),
        (false, json!({"history": {"channel": own}}), 103),
        (false, json!({"subscribe": {"channel": "nowhere:1"}}), 102),
        (false, json!({"subscribe": {"channel": "chat"}}), 102),
        (false, json!({"subscribe": {"channel": "chat:"}}), 102),
        (false, json!({"subscribe": {"channel": "chat:a b"}}), 102),
        (
            false,
            json!({"publish": {"channel": "chat:a\nb", "data": 1}}),
            102,
        ),
        (
            false,
            json!({"publish": {"channel": "data:orders", "data": 1}}),
            108,
        ),
        (false, json!({"presence": {"channel": "data:orders"}}), 108),
        (false, json!({"history": {"channel": "data:orders"}}), 108),
        (
            false,
            json!({"subscribe": {"channel": "chat:lobby", "data": {"filter": "true"}}}),
            107,
        ),
    ] {
        let socket = if is_visitor { &mut visitor } else { &mut eves };
        let answer = socket.ask(command.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{command} {answer}");
    }
}

#[tokio::test]
async fn a_token_needs_the_scopes_of_channels() {
    let app = TestApp::own(SETTINGS);
    let narrow = app.user("account:read records:read").await;
    let reads = app.user("account:read channels:read").await;
    let mut sockets = [Socket::of(&narrow).await, Socket::of(&reads).await];
    for (index, socket) in sockets.iter_mut().enumerate() {
        let subscribed = socket.subscribe("log:1", json!({})).await;
        assert_eq!(
            subscribed["subscribe"].is_object(),
            index == 1,
            "{subscribed}"
        );
        let answer = publish(socket, "log:1", json!(1)).await;
        assert_eq!(answer["error"]["code"], 103);
    }
    narrow
        .get(&history("log:1"))
        .await
        .expect_problem(403, "insufficient-scope");
    reads.get(&history("log:1")).await.expect(200);
    let body = json!({"data": 1});
    reads
        .post(&publications("log:1"), body.clone())
        .await
        .expect_problem(403, "insufficient-scope");
    let sends = app.user("account:read channels:write").await;
    sends.post(&publications("log:1"), body).await.expect(201);
}

#[tokio::test]
async fn a_server_tells_one_user_something_wherever_they_are() {
    let app = TestApp::own(SETTINGS);
    let (ada, eve) = (app.person().await, app.person().await);
    let channel = format!("user:{}", ada.id());
    let mut first = Socket::of(&ada).await;
    let mut second = Socket::of(&ada.another_device().await).await;
    let mut eves = Socket::of(&eve).await;
    for socket in [&mut first, &mut second] {
        let subscribed = socket.subscribe(&channel, json!({})).await;
        assert_eq!(subscribed["subscribe"]["recoverable"], true, "{subscribed}");
    }
    assert_eq!(
        eves.subscribe(&channel, json!({})).await["error"]["code"],
        103
    );
    // Not even they themselves publish there.
    assert_eq!(
        publish(&mut first, &channel, json!(1)).await["error"]["code"],
        103
    );
    ada.post(&publications(&channel), json!({"data": 1}))
        .await
        .expect_problem(403, "rule-forbids");
    let server = app.administrator().await;
    let published = server
        .post(
            &publications(&channel),
            json!({"data": {"text": "Your order left"}}),
        )
        .await
        .expect(201);
    assert_eq!(published.at("/channel"), channel.as_str());
    for socket in [&mut first, &mut second] {
        let told = push(socket).await;
        assert_eq!(told["pub"]["data"]["text"], "Your order left");
        assert_eq!(told["pub"]["offset"], published.at("/offset"));
        assert_eq!(told["pub"].get("info"), None);
    }
    let kept = ada.get(&history(&channel)).await.expect(200).json();
    assert_eq!(texts(&kept["items"]), ["Your order left"]);
    assert_eq!(kept["epoch"], published.at("/epoch"));
    eve.get(&history(&channel))
        .await
        .expect_problem(403, "rule-forbids");
}

#[tokio::test]
async fn what_is_kept_is_read_and_gone_on_with() {
    let app = TestApp::own(SETTINGS);
    let ada = app.person().await;
    let mut socket = Socket::of(&ada).await;
    let begun = socket.subscribe("chat:1", json!({})).await["subscribe"].clone();
    push(&mut socket).await;
    for number in 0..4 {
        publish(&mut socket, "chat:1", json!({"text": format!("{number}")})).await;
        publish(&mut socket, "chat:2", json!({"text": "elsewhere"})).await;
    }
    let (_, first) = socket.publication("chat:1").await;
    // So that this replica has heard all of them.
    for _ in 1..4 {
        socket.publication("chat:1").await;
    }
    drop(socket);
    let mut socket = Socket::of(&ada).await;
    let since = json!({"recover": true, "epoch": begun["epoch"], "offset": first});
    let resumed = socket.subscribe("chat:1", since).await["subscribe"].clone();
    assert_eq!(resumed["recovered"], true, "{resumed}");
    assert_eq!(texts(&resumed["publications"]), ["1", "2", "3"]);
    assert_eq!(resumed["publications"][0]["info"]["user"], ada.id());
    // From where it began, and from where it is by now.
    for (offset, told) in [(&begun["offset"], 4), (&resumed["offset"], 0)] {
        let mut another = Socket::of(&ada).await;
        let since = json!({"recover": true, "epoch": begun["epoch"], "offset": offset});
        let again = another.subscribe("chat:1", since).await["subscribe"].clone();
        assert_eq!(again["recovered"], true, "{again}");
        assert_eq!(again["publications"].as_array().unwrap().len(), told);
    }
    for (epoch, offset) in [
        (json!("another"), json!(first)),
        (begun["epoch"].clone(), json!(i64::MAX)),
        (begun["epoch"].clone(), json!(-1)),
    ] {
        let mut another = Socket::of(&ada).await;
        let since = json!({"recover": true, "epoch": epoch, "offset": offset});
        let again = another.subscribe("chat:1", since).await["subscribe"].clone();
        assert_eq!(again["recovered"], false, "{again}");
        assert_eq!(again["publications"], json!([]));
    }
    // The commands: how far it is, all of it, the last, from a place on, backwards.
    let at = json!({"epoch": begun["epoch"], "offset": first});
    // It may have heard nothing after the last of them, which has this place then.
    let after = resumed["offset"].as_i64().unwrap() + 1;
    let resumed_at = json!({"epoch": begun["epoch"], "offset": after});
    for (more, expected) in [
        (json!({}), &[][..]),
        (json!({"limit": -1}), &["0", "1", "2", "3"]),
        (json!({"limit": 2}), &["0", "1"]),
        (json!({"limit": 2, "reverse": true}), &["3", "2"]),
        (json!({"limit": 2, "since": at}), &["1", "2"]),
        (
            json!({"limit": 2, "since": resumed_at, "reverse": true}),
            &["3", "2"],
        ),
        (json!({"limit": 9, "since": at, "reverse": true}), &[]),
    ] {
        let mut command = more.clone();
        command["channel"] = json!("chat:1");
        let answer = loop {
            let answer = socket.ask(json!({"history": command})).await;
            if answer.get("id").is_some() {
                break answer;
            }
        };
        assert_eq!(
            texts(&answer["history"]["publications"]),
            expected,
            "{more}"
        );
        assert_eq!(answer["history"]["epoch"], begun["epoch"]);
        assert!(answer["history"]["offset"].as_i64() > Some(first));
    }
    let lost = json!({"channel": "chat:1", "limit": 1, "since": {"epoch": "another", "offset": 1}});
    assert_eq!(
        socket.ask(json!({"history": lost})).await["error"]["code"],
        112
    );
    // Over HTTP, page by page.
    let page = ada
        .get(&format!("{}?limit=3", history("chat:1")))
        .await
        .expect(200)
        .json();
    assert_eq!(texts(&page["items"]), ["1", "2", "3"]);
    let mut since = format!("{}/{first}", begun["epoch"].as_str().unwrap());
    let mut all = Vec::new();
    for _ in 0..4 {
        let path = format!("{}?limit=1&since={since}", history("chat:1"));
        let page = ada.get(&path).await.expect(200).json();
        all.extend(texts(&page["items"]));
        since = format!("{}/{}", page["epoch"].as_str().unwrap(), page["offset"]);
    }
    assert_eq!(all, ["1", "2", "3"]);
    for (query, status, code) in [
        ("since=1", 400, "invalid-query"),
        ("since=another/1", 410, "position-expired"),
        ("limit=0", 400, "invalid-query"),
        ("from=1", 400, "invalid-query"),
    ] {
        let path = format!("{}?{query}", history("chat:1"));
        ada.get(&path).await.expect_problem(status, code);
    }
}

#[tokio::test]
async fn of_what_is_dropped_is_told_that_it_is() {
    let app = TestApp::own(SETTINGS);
    let server = app.administrator().await;
    let post = async |channel: &str, text: &str| {
        let body = json!({"data": {"text": text}});
        server
            .post(&publications(channel), body)
            .await
            .expect(201)
            .json()
    };
    let mut visitor = visit(&app).await;
    let begun = visitor.subscribe("wall:1", json!({})).await["subscribe"].clone();
    let first = post("wall:1", "0").await;
    post("wall:2", "quiet").await;
    for number in 1..5 {
        post("wall:1", &format!("{number}")).await;
    }
    let read = async || texts(&app.get(&history("wall:1")).await.expect(200).json()["items"]);
    assert_eq!(read().await, ["2", "3", "4"], "three are kept");
    let resume = async |channel: &str, offset: &Value| {
        let mut socket = visit(&app).await;
        let since = json!({"recover": true, "epoch": begun["epoch"], "offset": offset});
        socket.subscribe(channel, since).await["subscribe"].clone()
    };
    // What was not dropped yet may be gone on with.
    app.state().channels.tend().await.unwrap();
    assert_eq!(resume("wall:1", &begun["offset"]).await["recovered"], true);
    // A minute later, though nobody has published since.
    post("wall:1", "5").await;
    app.state().channels.tend().await.unwrap();
    query(
        app.database(),
        "update channel_entries set at = at - interval '61 s', expires_at = expires_at - interval '61 s'",
    );
    app.state().channels.tend().await.unwrap();
    let count = "select count(*)::text as value from channel_entries where channel = 'wall:1'";
    assert_eq!(query_value(app.database(), count), "3");
    for offset in [&begun["offset"], &first["offset"]] {
        let resumed = resume("wall:1", offset).await;
        assert_eq!(resumed["recovered"], false, "{resumed}");
        assert_eq!(resumed["publications"], json!([]));
    }
    let kept = app.get(&history("wall:1")).await.expect(200).json();
    assert_eq!(texts(&kept["items"]), ["3", "4", "5"]);
    assert_eq!(
        resume("wall:1", &kept["items"][0]["offset"]).await["recovered"],
        true
    );
    // Of a channel that is silent nothing is missing, however long ago that was.
    assert_eq!(resume("wall:2", &begun["offset"]).await["recovered"], true);
    query(
        app.database(),
        "update channel_entries set expires_at = expires_at - interval '1 hour'",
    );
    assert_eq!(read().await, [""; 0], "what has expired is shown no more");
    app.state().channels.tend().await.unwrap();
    let resumed = resume("wall:2", &begun["offset"]).await;
    assert_eq!(resumed["recovered"], false, "{resumed}");
    assert_eq!(resume("wall:3", &begun["offset"]).await["recovered"], true);
    query(
        app.database(),
        "update channel_floors set at = at - interval '31 days'",
    );
    app.state().channels.tend().await.unwrap();
    assert_eq!(
        resume("wall:3", &begun["offset"]).await["recovered"],
        false,
        "nobody knows any more"
    );
    let now = app.get(&history("wall:3")).await.expect(200).json();
    assert_eq!(resume("wall:3", &now["offset"]).await["recovered"], true);
}

/// The connections on a channel, once there are so many.
async fn present(person: &Person, channel: &str, count: usize) -> Value {
    for _ in 0..400 {
        let path = format!("/v1/channels/{channel}/presence");
        let present = person.get(&path).await.expect(200).json();
        if present["clients"] == count {
            return present;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("there are never {count}");
}

#[tokio::test]
async fn who_is_there_is_seen_and_told_on_every_replica() {
    let app = TestApp::own(SETTINGS);
    let another = app.replica(SETTINGS).unwrap();
    let (ada, eve) = (app.person().await, app.person().await);
    let mut here = connect(&app, &ada).await;
    let me = joined(&mut here, "chat:1", &ada).await;
    let mut there = connect(&another, &eve).await;
    let other = joined(&mut there, "chat:1", &eve).await;
    assert_eq!(push(&mut here).await["join"]["info"], other);
    let mut again = connect(&another, &eve).await;
    joined(&mut again, "chat:1", &eve).await;
    let present_now = present(&ada, "chat:1", 3).await;
    assert_eq!(present_now["users"], 2);
    assert!(present_now["items"].as_array().unwrap().contains(&me));
    let answer = there.ask(json!({"presence": {"channel": "chat:1"}})).await;
    let client = me["client"].as_str().unwrap();
    assert_eq!(answer["presence"]["presence"][client], me, "{answer}");
    let answer = there
        .ask(json!({"presence_stats": {"channel": "chat:1"}}))
        .await;
    assert_eq!(
        answer["presence_stats"],
        json!({"num_clients": 3, "num_users": 2})
    );
    // Whoever goes without a word is missed, too.
    drop(again);
    present(&ada, "chat:1", 2).await;
    assert!(push(&mut here).await.get("join").is_some());
    assert_eq!(push(&mut here).await["leave"]["info"]["user"], eve.id());
    present(&ada, "chat:2", 0).await;
    // A replica that dies takes its own with it; one that was only thought dead brings them back.
    let database = app.database();
    query(
        database,
        "insert into channel_replicas values ('00000000-0000-7000-8000-000000000001', clock_timestamp())",
    );
    query(
        database,
        "insert into presences values ('chat:1', '00000000-0000-7000-8000-000000000002', \
        '00000000-0000-7000-8000-000000000001', 0, '{\"user\":\"gone\",\"client\":\"00000000-0000-7000-8000-000000000002\"}', true)",
    );
    present(&ada, "chat:1", 3).await;
    query(
        database,
        "update channel_replicas set seen_at = seen_at - interval '21 s' where id = '00000000-0000-7000-8000-000000000001'",
    );
    let left = push(&mut here).await;
    assert_eq!(
        left["leave"]["info"]["user"], "gone",
        "nobody else has left"
    );
    assert_eq!(left["channel"], "chat:1");
    present(&ada, "chat:1", 2).await;
    // Others took the living for dead: they come back by themselves, and everybody is told.
    query(
        database,
        "delete from presences; delete from channel_replicas",
    );
    present(&ada, "chat:1", 2).await;
    let back = [push(&mut here).await, push(&mut here).await];
    for info in [&me, &other] {
        let told = |told: &Value| told["join"]["info"] == *info;
        assert!(back.iter().any(told), "{back:?}");
    }
}

#[tokio::test]
async fn who_comes_back_at_once_stays_and_nobody_stays_who_has_gone() {
    const MANY: usize = 40;
    let app = TestApp::own(SETTINGS);
    let ada = app.person().await;
    let mut socket = Socket::of(&ada).await;
    let channel = |number: usize| format!("chat:{number}");
    for number in 0..MANY {
        joined(&mut socket, &channel(number), &ada).await;
    }
    // As pages do that are mounted twice.
    for number in 0..MANY {
        let off = json!({"id": 1_000 + 2 * number, "unsubscribe": {"channel": channel(number)}});
        let on = json!({"id": 1_001 + 2 * number, "subscribe": {"channel": channel(number)}});
        socket.say(&format!("{off}\n{on}")).await;
    }
    let mut answers = 0;
    while answers < 2 * MANY {
        if let Heard::Line(line) = socket.hear().await
            && line["id"].as_u64() >= Some(1_000)
        {
            assert_eq!(line.get("error"), None, "{line}");
            answers += 1;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for number in 0..MANY {
        present(&ada, &channel(number), 1).await;
    }
    // What is left of somebody whose coming outlasted them goes, too.
    query(
        app.database(),
        "insert into presences select 'chat:ghost', gen_random_uuid(), id, 1000000, '{}', false from channel_replicas",
    );
    present(&ada, "chat:ghost", 1).await;
    present(&ada, "chat:ghost", 0).await;
}

#[tokio::test]
async fn who_may_not_read_the_history_does_not_get_it_by_coming_back() {
    let app = TestApp::own(SETTINGS);
    let mut socket = visit(&app).await;
    let open = socket.subscribe("wall:1", json!({})).await["subscribe"].clone();
    let server = app.administrator().await;
    let body = json!({"data": {"text": "before"}});
    server.post(&publications("hall:1"), body).await.expect(201);
    let since = json!({"recover": true, "epoch": open["epoch"], "offset": 0});
    let answer = socket.subscribe("hall:1", since).await["subscribe"].clone();
    assert_eq!(answer["recovered"], false, "{answer}");
    assert_eq!(answer["recoverable"], false);
    assert_eq!(answer["publications"], json!([]));
    let answer = socket
        .ask(json!({"history": {"channel": "hall:1", "limit": 1}}))
        .await;
    assert_eq!(answer["error"]["code"], 103);
}

#[tokio::test]
async fn who_waits_for_what_nobody_has_told_keeps_nobody_waiting() {
    let app = TestApp::own(SETTINGS);
    let mut other = visit(&app).await;
    let begun = other.subscribe("log:1", json!({})).await["subscribe"].clone();
    let mut waiters = Vec::new();
    for _ in 0..12 {
        waiters.push(visit(&app).await);
    }
    let offset = begun["offset"].as_i64().unwrap() + 1_000_000;
    let ahead = json!({"recover": true, "epoch": begun["epoch"], "offset": offset});
    // The replica waits a while for what they say that they know.
    let wait = waiters
        .iter_mut()
        .map(|waiter| waiter.subscribe("log:1", ahead.clone()));
    let others = async {
        for number in 2..4 {
            let since =
                json!({"recover": true, "epoch": begun["epoch"], "offset": begun["offset"]});
            let answer = other.subscribe(&format!("log:{number}"), since).await;
            assert_eq!(answer["subscribe"]["recovered"], true, "{answer}");
        }
    };
    tokio::select! {
        _answers = futures_util::future::select_all(wait.map(Box::pin)) => panic!("they were answered first"),
        () = others => {}
    }
}

#[tokio::test]
async fn much_is_not_read_at_once() {
    let app = TestApp::own(SETTINGS);
    let mut socket = visit(&app).await;
    let begun = socket.subscribe("log:1", json!({})).await["subscribe"].clone();
    let server = app.administrator().await;
    let large = "x".repeat(60_000);
    for _ in 0..80 {
        let body = json!({"data": {"text": large}});
        server.post(&publications("log:1"), body).await.expect(201);
    }
    let since = json!({"recover": true, "epoch": begun["epoch"], "offset": begun["offset"]});
    let mut another = visit(&app).await;
    let resumed = another.subscribe("log:1", since).await["subscribe"].clone();
    assert_eq!(
        resumed["recovered"], false,
        "all or nothing, and all is too much"
    );
    // A page ends early, and says where.
    let command = json!({"channel": "log:1", "limit": 1_000});
    let page = another.ask(json!({"history": command})).await["history"].clone();
    let shown = page["publications"].as_array().unwrap();
    assert_eq!(shown.len(), 70);
    assert_eq!(page["offset"], shown[69]["offset"]);
    let mut since = format!("{}/{}", begun["epoch"].as_str().unwrap(), begun["offset"]);
    let mut pages = Vec::new();
    while pages.iter().sum::<usize>() < 80 {
        let path = format!("{}?limit=1000&since={since}", history("log:1"));
        let page = app.get(&path).await.expect(200).json();
        pages.push(page["items"].as_array().unwrap().len());
        since = format!("{}/{}", page["epoch"].as_str().unwrap(), page["offset"]);
    }
    assert_eq!(pages, [70, 10]);
}

#[tokio::test]
async fn inp_05_what_is_said_on_a_socket_is_as_strict_as_over_http() {
    let app = TestApp::own(SETTINGS);
    let mut socket = visit(&app).await;
    for data in [
        r#"{"a":1,"a":2}"#,
        r#""\u0000""#,
        "1e400",
        "5e-324",
        r#""\ud800""#,
    ] {
        let publish = format!(r#"{{"id":7,"publish":{{"channel":"log:1","data":{data}}}}}"#);
        socket.say(&publish).await;
        let Heard::Line(answer) = socket.hear().await else {
            panic!("{data}: closed");
        };
        assert_eq!(answer["id"], 7, "{answer}");
        assert_eq!(answer["error"]["code"], 107, "{data}");
    }
    // It goes on; what is no JSON ends it.
    assert_eq!(
        publish(&mut socket, "log:1", json!(1)).await["publish"],
        json!({})
    );
    socket.say("{\"id\":8,").await;
    assert_eq!(socket.closed().await, 3501);
}

#[tokio::test]
async fn replicas_tell_each_other_everything_in_one_order() {
    const EACH: usize = 60;
    let app = TestApp::own(SETTINGS);
    let another = app.replica(SETTINGS).unwrap();
    let apps = [&app, &another];
    let mut watchers = [visit(&app).await, visit(&another).await];
    let begun = watchers[0].subscribe("log:1", json!({})).await["subscribe"].clone();
    let also = watchers[1].subscribe("log:1", json!({})).await;
    assert_eq!(also["subscribe"]["recoverable"], true, "{also}");
    let write = async |writer: usize| {
        let mut socket = visit(apps[writer % 2]).await;
        for number in 0..EACH {
            let answer = publish(
                &mut socket,
                "log:1",
                json!({"text": format!("{writer} {number}")}),
            )
            .await;
            assert_eq!(answer["publish"], json!({}), "{answer}");
        }
    };
    // Reads a few, cuts the line, comes back to the other replica, until everything was told.
    let follow = async |pace: usize| {
        let (mut offset, mut seen, mut turn) = (begun["offset"].clone(), Vec::new(), pace);
        while seen.len() < 4 * EACH {
            turn += 1;
            let mut socket = visit(apps[turn % 2]).await;
            let since = json!({"recover": true, "epoch": begun["epoch"], "offset": offset});
            let resumed = socket.subscribe("log:1", since).await["subscribe"].clone();
            assert_eq!(resumed["recovered"], true, "{resumed}");
            seen.extend(texts(&resumed["publications"]));
            offset = resumed["offset"].clone();
            for _ in 0..pace {
                if seen.len() >= 4 * EACH {
                    break;
                }
                let (data, place) = socket.publication("log:1").await;
                assert!(Some(place) > offset.as_i64(), "{place} after {offset}");
                offset = json!(place);
                seen.push(data["text"].as_str().unwrap().to_owned());
            }
        }
        seen
    };
    let watch = async |socket: &mut Socket| {
        let mut seen = Vec::new();
        for _ in 0..4 * EACH {
            seen.push(
                socket.publication("log:1").await.0["text"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
        }
        seen
    };
    let [here, there] = &mut watchers;
    let (_, one, other, slow, quick) = tokio::join!(
        futures_util::future::join_all((0..4).map(write)),
        watch(here),
        watch(there),
        follow(17),
        follow(3),
    );
    for seen in [&other, &slow, &quick] {
        assert_eq!(*seen, one, "everybody is told the same in the same order");
    }
    for writer in 0..4 {
        let own: Vec<_> = one
            .iter()
            .filter(|text| text.starts_with(&format!("{writer} ")))
            .collect();
        let expected: Vec<_> = (0..EACH)
            .map(|number| format!("{writer} {number}"))
            .collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn over_http_is_published_once_and_nothing_that_can_not_be() {
    let app = TestApp::own(SETTINGS);
    let ada = app.person().await;
    let path = publications("chat:1");
    let send = async |body: Value| {
        let request = ada
            .request("POST", &path)
            .header("idempotency-key", "\"once\"");
        app.send(request.json(&body)).await
    };
    let body = json!({"data": {"text": "Hello"}});
    let first = send(body.clone()).await.expect(201);
    assert_eq!(first.header("location"), history("chat%3A1"));
    assert_eq!(send(body).await.expect(201).json(), first.json());
    send(json!({"data": {"text": "Bye"}}))
        .await
        .expect_problem(422, "idempotency-key-reused");
    let kept = ada.get(&history("chat:1")).await.expect(200).json();
    assert_eq!(texts(&kept["items"]), ["Hello"]);
    assert_eq!(kept["items"][0]["offset"], first.at("/offset"));
    let published = ada
        .post(
            &publications(&format!("typing:{}", ada.id())),
            json!({"data": null}),
        )
        .await;
    assert_eq!(
        published.expect(201).json(),
        json!({"channel": format!("typing:{}", ada.id())})
    );
    let large = "x".repeat(65_536);
    for (path, body, status, code) in [
        (
            path.as_str(),
            json!({"data": {"text": "spam"}}),
            403,
            "rule-forbids",
        ),
        (&path, json!({}), 422, "validation-failed"),
        (
            &path,
            json!({"data": 1, "info": {}}),
            422,
            "validation-failed",
        ),
        (
            &path,
            json!({"data": {"text": large}}),
            413,
            "payload-too-large",
        ),
        (
            &publications("wall:1"),
            json!({"data": 1}),
            403,
            "rule-forbids",
        ),
        (
            &publications("nowhere:1"),
            json!({"data": 1}),
            404,
            "not-found",
        ),
        (
            &publications("data:orders"),
            json!({"data": 1}),
            404,
            "not-found",
        ),
        (&publications("chat"), json!({"data": 1}), 404, "not-found"),
    ] {
        ada.post(path, body).await.expect_problem(status, code);
    }
    app.post(&path, json!({"data": {"text": "x"}}))
        .await
        .expect_problem(403, "rule-forbids");
    app.post(&publications("log:1"), json!({"data": 1}))
        .await
        .expect(201);
    app.get("/v1/channels/chat:1/presence")
        .await
        .expect_problem(403, "rule-forbids");
}

#[tokio::test]
async fn a_rule_that_is_none_keeps_the_server_from_starting() {
    let app = TestApp::shared();
    for (namespace, expected) in [
        (
            r#"[{ name = "a", subscribe = "auth.sub ==" }]"#,
            "realtime.namespace.subscribe of \"a\"",
        ),
        (
            r#"[{ name = "a", publish = "record.x == 1" }]"#,
            "realtime.namespace.publish of \"a\"",
        ),
        (
            r#"[{ name = "a", subscribe = "now > timestamp('2026-01-01T00:00:00Z')" }]"#,
            "realtime.namespace.subscribe of \"a\": `now`",
        ),
        (
            r#"[{ name = "a", history = "input.data == 1", history_size = 1 }]"#,
            "realtime.namespace.history of \"a\"",
        ),
    ] {
        let failed = app.replica(&[("TOLLGATE_REALTIME__NAMESPACE", namespace)]);
        let error = format!("{:#}", failed.err().unwrap());
        assert!(error.starts_with(expected), "{error}");
    }
}
