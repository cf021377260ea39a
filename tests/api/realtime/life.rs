//! When a socket ends: with its token, its session, its server, its patience.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::{
    Bytes, Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use super::{LIMITLESS, channel, told};
use crate::{
    forged_tokens::{SECRET, hs256_app},
    harness::{Forge, Heard, Person, Shop, Socket, TestApp, now},
};

#[tokio::test]
async fn rt_05_a_socket_ends_with_its_session_on_every_replica() {
    let app = TestApp::own(LIMITLESS);
    let other = app.replica(LIMITLESS).unwrap();
    let ada = app.person().await;
    let connect = json!({"connect": {"token": ada.access_token()}});
    let mut here = Socket::of(&ada).await;
    let mut there = open(&other).await;
    there.ask(connect).await;
    let mut stays = Socket::of(&ada.another_device().await).await;
    let path = format!("/v1/sessions/{}", ada.session_id());
    ada.delete(&path).await.expect(204);
    let begun = Instant::now();
    assert_eq!(here.closed().await, 3503);
    assert_eq!(there.closed().await, 3503);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let answer = stays.ask(json!({"rpc": {}})).await;
    assert_eq!(answer["error"]["code"], 108);
}

#[tokio::test]
async fn rt_05_a_socket_ends_with_its_session_though_its_client_takes_nothing() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["additionalProperties"] = json!(true);
    })
    .await;
    let ada = app.person().await;
    let writer = ada.another_device().await;
    let mut stalled = Socket::of(&ada).await;
    stalled.subscribe(&channel(&shop), json!({})).await;
    // More than kernels hold for who has read nothing, each.
    for title in ["first", "second"] {
        let document = json!({"title": title, "text": "x".repeat(900_000)});
        shop.make(&writer, document).await;
    }
    counted(&app, &["tollgate_realtime_waiting_messages 1\n"]).await;
    let path = format!("/v1/sessions/{}", ada.session_id());
    ada.delete(&path).await.expect(204);
    let begun = Instant::now();
    let lines = [
        "tollgate_realtime_closes_total{code=\"3503\"} 1\n",
        "tollgate_realtime_sockets 0\n",
        "tollgate_realtime_subscriptions 0\n",
        "tollgate_realtime_waiting_messages 0\n",
    ];
    counted(&app, &lines).await;
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    // What was on its way arrives whole, and then why there is no more.
    let (data, _) = stalled.publication(&channel(&shop)).await;
    assert_eq!(told(&data).1, Some("first".to_owned()));
    assert_eq!(stalled.closed().await, 3503);
}

#[tokio::test]
async fn rt_05_who_does_not_introduce_themselves_is_sent_away() {
    let mut silent = open(&TestApp::shared()).await;
    let begun = Instant::now();
    assert_eq!(silent.closed().await, 3502);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn rt_05_a_token_is_renewed_on_the_socket_or_it_ends() {
    let app = hs256_app();
    let ada = app.person().await;
    let short = |seconds: i64| {
        let forge = Forge::from(ada.access_token(), SECRET);
        let token = forge.claim("exp", json!(now() + seconds)).sign();
        json!({"token": token})
    };
    let (mut renewed, mut left) = (open(&app).await, open(&app).await);
    let begun = Instant::now();
    for socket in [&mut renewed, &mut left] {
        let answer = socket.ask(json!({"connect": short(5)})).await;
        assert_eq!(answer["connect"]["expires"], true, "{answer}");
    }
    // A token that has run out is told so, since there may be a newer one; that it has does not end the socket at once.
    let late = left.ask(json!({"refresh": short(-100)})).await;
    assert_eq!(late["error"]["code"], 109, "{late}");
    while begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_secs(3)).await;
        left.ask(json!({"rpc": {}})).await;
    }
    let answer = renewed.ask(json!({"refresh": short(100)})).await;
    assert_eq!(answer["refresh"]["expires"], true, "{answer}");
    assert_eq!(left.closed().await, 3005);
    let open_for = begun.elapsed();
    assert!(open_for >= Duration::from_secs(25), "{open_for:?}");
    let answer = renewed.ask(json!({"rpc": {}})).await;
    assert_eq!(answer["error"]["code"], 108);
}

async fn open(app: &TestApp) -> Socket {
    Socket::open(app, &[]).await.unwrap()
}

#[tokio::test]
async fn nobody_becomes_somebody_else_on_a_socket() {
    let app = TestApp::shared();
    let (ada, eve) = (app.person().await, app.person().await);
    let refresh = |person: &Person| json!({"refresh": {"token": person.access_token()}});
    let mut socket = Socket::of(&ada).await;
    let answer = socket.ask_for(refresh(&eve)).await;
    assert!(matches!(answer, Heard::Closed(3500, _)), "{answer:?}");
    let mut visitor = open(&app).await;
    visitor.ask(json!({"connect": {}})).await;
    let answer = visitor.ask_for(refresh(&ada)).await;
    assert!(matches!(answer, Heard::Closed(3501, _)), "{answer:?}");
}

#[tokio::test]
async fn whose_claims_change_is_told_to_subscribe_anew() {
    let app = hs256_app();
    let staff = Shop::open(&app, |declaration| {
        declaration["rules"]["list"] = json!("record.owner == auth.sub || 'staff' in auth.roles");
    })
    .await;
    let own = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let mut socket = Socket::of(&ada).await;
    for shop in [&staff, &own] {
        socket.subscribe(&channel(shop), json!({})).await;
    }
    let forge = Forge::from(ada.access_token(), SECRET);
    let token = forge.claim("roles", json!(["staff", "user"])).sign();
    let answer = socket.ask(json!({"refresh": {"token": token}})).await;
    assert_eq!(answer["refresh"]["expires"], true, "{answer}");
    let Heard::Line(ended) = socket.hear().await else {
        panic!("it was closed");
    };
    assert_eq!(ended["push"]["channel"], channel(&staff));
    assert_eq!(ended["push"]["unsubscribe"]["code"], 2500);
    // What the claims don't decide goes on.
    shop_opens(&own, &ada).await;
    let (data, _) = socket.publication(&channel(&own)).await;
    assert_eq!(told(&data).0, "enter");
}

async fn shop_opens(shop: &Shop, person: &Person) {
    shop.make(person, json!({"title": "first"})).await;
}

#[tokio::test]
async fn whose_token_only_has_died_comes_back_with_a_new_one() {
    let app = TestApp::own(LIMITLESS);
    let ada = app.person().await;
    let mut socket = Socket::of(&ada).await;
    let administrator = app.administrator().await;
    let role = json!({"scopes": ["records:read"]});
    administrator.put("/v1/roles/readers", role).await;
    let path = format!("/v1/users/{}/roles/readers", ada.id());
    let given = administrator.put(&path, json!({})).await;
    assert!(given.status() < 300, "{}", given.text());
    let taken = administrator.delete(&path).await;
    assert!(taken.status() < 300, "{}", taken.text());
    assert_eq!(socket.closed().await, 3005);
    let mut again = open(&app).await;
    let connect = json!({"connect": {"token": ada.access_token()}});
    assert_eq!(again.ask(connect).await["error"]["code"], 109);
    let pair = ada.refresh().await.expect(200).json();
    let answer = again
        .ask(json!({"connect": {"token": pair["access_token"]}}))
        .await;
    assert_eq!(answer["connect"]["expires"], true, "{answer}");
}

#[tokio::test]
async fn rt_05_what_was_asked_before_is_not_answered_to_who_has_signed_out() {
    const MANY: usize = 400;
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let mut socket = Socket::of(&ada).await;
    let channel = channel(&shop);
    let lines: Vec<_> = (0..MANY)
        .map(|number| match number % 2 {
            0 => json!({"id": 10 + number, "subscribe": {"channel": channel, "recover": true, "epoch": "x"}}),
            _ => json!({"id": 10 + number, "unsubscribe": {"channel": channel}}),
        })
        .map(|line| line.to_string())
        .collect();
    socket.say(&lines.join("\n")).await;
    ada.delete(&format!("/v1/sessions/{}", ada.session_id()))
        .await
        .expect(204);
    let mut answers = 0;
    let code = loop {
        match socket.hear().await {
            Heard::Line(_) => answers += 1,
            Heard::Closed(code, _) => break code,
        }
    };
    assert_eq!(code, 3503);
    assert!(answers < MANY, "all {MANY} were answered");
}

#[tokio::test]
async fn a_filter_that_takes_long_ends_its_own_subscription_only() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let channel = channel(&shop);
    let (mut heavy, mut light) = (Socket::of(&ada).await, Socket::of(&ada).await);
    let filter = "tags.exists(one, tags.exists(other, one != other && one == 'x'))";
    let more = json!({"data": {"filter": filter}});
    assert_eq!(
        heavy.subscribe(&channel, more).await["subscribe"]["recoverable"],
        true
    );
    light.subscribe(&channel, json!({})).await;
    let tags: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    shop.make(&ada, json!({"title": "Ink", "tags": tags})).await;
    let Heard::Line(ended) = heavy.hear().await else {
        panic!("it was closed");
    };
    // A code from which no library comes back.
    assert_eq!(ended["push"]["unsubscribe"]["code"], 2000, "{ended}");
    let (data, _) = light.publication(&channel).await;
    assert_eq!(told(&data).1.as_deref(), Some("Ink"));
    // Nor is it applied where the feed is read.
    let request = ada.request("GET", "/v1/changes").query(&[
        (
            "since",
            ada.get(&shop.records())
                .await
                .header("feed-position")
                .split('/')
                .next()
                .map(|epoch| format!("{epoch}/0"))
                .unwrap()
                .as_str(),
        ),
        ("collection", shop.name.as_str()),
        ("filter", filter),
    ]);
    app.send(request).await.expect_problem(400, "invalid-query");
}

#[tokio::test]
async fn rt_06_what_is_too_large_or_too_much_ends_the_socket() {
    let app = TestApp::own(LIMITLESS);
    let ada = app.person().await;
    let mut socket = Socket::of(&ada).await;
    socket
        .say(&format!("{{\"id\":1,\"rpc\":\"{}\"}}", "x".repeat(70_000)))
        .await;
    assert_eq!(socket.closed().await, 1009);
    // In parts.
    let mut socket = Socket::of(&ada).await;
    let part = "x".repeat(40_000);
    for (code, is_last) in [(Data::Text, false), (Data::Continue, true)] {
        let frame = Frame::message(Bytes::from(part.clone()), OpCode::Data(code), is_last);
        socket.stream.send(Message::Frame(frame)).await.unwrap();
    }
    assert_eq!(socket.closed().await, 1009);
    let mut socket = Socket::of(&ada).await;
    socket
        .stream
        .send(Message::binary(vec![1, 2, 3]))
        .await
        .unwrap();
    assert_eq!(socket.closed().await, 3506);
    let mut socket = Socket::of(&ada).await;
    let frame = Frame::message(
        Bytes::from_static(&[0xff, 0xfe]),
        OpCode::Data(Data::Text),
        true,
    );
    socket.stream.send(Message::Frame(frame)).await.unwrap();
    assert_eq!(socket.closed().await, 1007);
    let mut socket = Socket::of(&ada).await;
    let frame = Frame::message(Bytes::from_static(b"x"), OpCode::Data(Data::Continue), true);
    socket.stream.send(Message::Frame(frame)).await.unwrap();
    assert_eq!(socket.closed().await, 1002);
    let mut socket = Socket::of(&ada).await;
    socket.say(&vec![r#"{"send":{}}"#; 600].join("\n")).await;
    assert_eq!(socket.closed().await, 3013);
}

#[tokio::test]
async fn rt_07_who_stops_reading_is_left_behind_and_nobody_waits_for_them() {
    // More than kernels hold.
    const MANY: usize = 120;
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["additionalProperties"] = json!(true);
    })
    .await;
    let ada = app.person().await;
    let channel = channel(&shop);
    let (mut stalled, mut reads) = (Socket::of(&ada).await, Socket::of(&ada).await);
    for socket in [&mut stalled, &mut reads] {
        socket.subscribe(&channel, json!({})).await;
    }
    for number in 0..MANY {
        let document = json!({"title": format!("{number}"), "text": "x".repeat(400_000)});
        shop.make(&ada, document).await;
        let (data, _) = reads.publication(&channel).await;
        assert_eq!(told(&data).1, Some(number.to_string()));
    }
    // What was on its way is still read; then it ends.
    let mut last = 0;
    loop {
        match tokio::time::timeout(
            Duration::from_secs(20),
            futures_util::StreamExt::next(&mut stalled.stream),
        )
        .await
        {
            Ok(Some(Ok(Message::Close(frame)))) => {
                assert_eq!(u16::from(frame.unwrap().code), 3008);
                break;
            }
            Ok(Some(Ok(_))) => last += 1,
            Ok(Some(Err(_)) | None) => break,
            Err(_elapsed) => panic!("it is still open"),
        }
    }
    assert!(last < MANY, "{last} of {MANY}");
}

#[tokio::test]
async fn rt_07_who_takes_nothing_is_not_heard_for_ever() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"]["additionalProperties"] = json!(true);
    })
    .await;
    let ada = app.person().await;
    let writer = ada.another_device().await;
    let mut stalled = Socket::of(&ada).await;
    stalled.subscribe(&channel(&shop), json!({})).await;
    for title in ["first", "second"] {
        let document = json!({"title": title, "text": "x".repeat(900_000)});
        shop.make(&writer, document).await;
    }
    counted(&app, &["tollgate_realtime_waiting_messages 1\n"]).await;
    // Each is answered by what waits for the client, so soon none of them is read: all would be too many (3013).
    for _ in 0..600 {
        let ping = Message::Ping(Vec::new().into());
        let sent = futures_util::SinkExt::send(&mut stalled.stream, ping).await;
        sent.unwrap();
    }
    // Long enough to read all of them many times.
    tokio::time::sleep(Duration::from_secs(1)).await;
    counted(&app, &["tollgate_realtime_sockets 1\n"]).await;
    let path = format!("/v1/sessions/{}", ada.session_id());
    ada.delete(&path).await.expect(204);
    counted(&app, &["tollgate_realtime_closes_total{code=\"3503\"} 1\n"]).await;
}

/// Waits until the metrics say so.
async fn counted(app: &TestApp, lines: &[&str]) {
    let begun = Instant::now();
    loop {
        let metrics = app.get("/metrics").await.expect(200).text();
        if lines.iter().all(|line| metrics.contains(line)) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{lines:?} in {metrics}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_stops_sends_everybody_elsewhere_and_counts_them() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let mut sockets = [
        Socket::of(&ada).await,
        Socket::of(&ada).await,
        Socket::of(&eve).await,
    ];
    for socket in &mut sockets {
        socket.subscribe(&channel(&shop), json!({})).await;
    }
    let lines = [
        "tollgate_realtime_sockets 3\n",
        "tollgate_realtime_subscriptions 3\n",
        "tollgate_realtime_topics 2\n",
        "tollgate_realtime_waiting_messages 0\n",
    ];
    counted(&app, &lines).await;
    app.state().life.stop();
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 1001);
    }
    let lines = [
        "tollgate_realtime_sockets 0\n",
        "tollgate_realtime_closes_total{code=\"1001\"} 3\n",
        "tollgate_realtime_topics 0\n",
    ];
    counted(&app, &lines).await;
}
