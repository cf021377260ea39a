//! How many sockets and streams one user has.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{LIMITLESS, channel};
use crate::harness::{Heard, PASSWORD, Person, Response, Shop, Socket, TestApp};

/// Connects as somebody; or why the socket is closed instead.
async fn connected(person: &Person) -> Result<Socket, u16> {
    let mut socket = Socket::open(person.app(), &[]).await.unwrap();
    let connect = json!({"connect": {"token": person.access_token()}});
    match socket.ask_for(connect).await {
        Heard::Line(answer) => {
            assert!(answer["connect"].is_object(), "{answer}");
            Ok(socket)
        }
        Heard::Closed(code, _) => Err(code),
    }
}

/// Tries until there is room. A stream whose client has gone is noticed when something is sent to it.
async fn admitted(person: &Person, shop: &Shop) -> Socket {
    let begun = Instant::now();
    loop {
        match connected(person).await {
            Ok(socket) => return socket,
            Err(code) => assert_eq!(code, 3504),
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no room");
        shop.make(person, json!({"title": "news"})).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn rt_06_one_user_has_a_hundred_sockets_and_streams_and_no_more() {
    let app = TestApp::own(LIMITLESS);
    let shop = Shop::open(&app, |_| {}).await;
    let (ada, eve) = (app.person().await, app.person().await);
    let path = format!("/v1/events?channel={}", channel(&shop));
    let stream = ada.request("GET", &path).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let mut sockets = Vec::new();
    while sockets.len() < 99 {
        sockets.push(connected(&ada).await.ok().unwrap());
    }
    assert_eq!(connected(&ada).await.err(), Some(3504));
    let another = ada.request("GET", &path).send().await.unwrap();
    let refused = Response::read(another).await;
    refused.expect_problem(429, "rate-limited");
    // Others, and other replicas, have their own.
    assert_eq!(connected(&eve).await.err(), None);
    let other = app.replica(LIMITLESS).unwrap();
    let there = Person::sign_in(&other, ada.email(), PASSWORD, None).await;
    assert_eq!(connected(&there).await.err(), None);
    // Who goes makes room for one.
    sockets.pop();
    sockets.push(admitted(&ada, &shop).await);
    assert_eq!(connected(&ada).await.err(), Some(3504));
    drop(stream);
    sockets.push(admitted(&ada, &shop).await);
    assert_eq!(connected(&ada).await.err(), Some(3504));
}
