//! Who gets a socket: tokens, origins, and what is no handshake.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{Heard, Person, Socket, TestApp};

/// The cookie of a person who signed in in a browser.
fn cookie(person: &Person) -> String {
    format!("tollgate_access={}", person.access_token())
}

#[tokio::test]
async fn rt_01_a_token_comes_by_the_first_command_or_a_header_and_by_nothing_else() {
    let app = TestApp::shared();
    let ada = app.person().await;
    let bearer = format!("Bearer {}", ada.access_token());
    let mut by_header = Socket::open(&app, &[("authorization", &bearer)])
        .await
        .unwrap();
    let connected = by_header.ask(json!({"connect": {}})).await;
    assert_eq!(connected["connect"]["expires"], true, "{connected}");
    assert_eq!(
        (&connected["connect"]["ping"], &connected["connect"]["pong"]),
        (&json!(25), &json!(true))
    );
    let ttl = connected["connect"]["ttl"].as_i64().unwrap();
    assert!((1..=3_600).contains(&ttl), "{ttl}");
    // The query is none of the places.
    let path = format!("/v1/realtime?access_token={}", ada.access_token());
    let mut by_query = Socket::open_at(&app, &path, &[]).await.unwrap();
    let connected = by_query.ask(json!({"connect": {}})).await;
    assert_eq!(connected["connect"]["expires"], false, "{connected}");
    assert_eq!(
        Socket::open(&app, &[("authorization", "Bearer x")])
            .await
            .err(),
        Some(401)
    );
    let mut forged = Socket::open(&app, &[]).await.unwrap();
    let answer = forged.ask_for(json!({"connect": {"token": "x"}})).await;
    assert!(matches!(answer, Heard::Closed(3500, _)), "{answer:?}");
    // A subprotocol of ours is agreed on, any other is not.
    for (offered, agreed) in [("centrifuge-json", true), ("secret-token", false)] {
        let opened = Socket::open(&app, &[("sec-websocket-protocol", offered)]).await;
        // The client refuses a server that agrees on nothing that it offered.
        assert_eq!(opened.is_ok(), agreed, "{offered}");
    }
}

#[tokio::test]
async fn rt_02_a_page_opens_a_socket_only_from_an_allowed_origin() {
    let app = TestApp::own(&[
        (
            "TOLLGATE_CORS__ALLOWED_ORIGINS",
            r#"["https://app.example.com"]"#,
        ),
        ("TOLLGATE_MODE", "development"),
    ]);
    let ada = app.person().await;
    let cookie = cookie(&ada);
    for (origin, status) in [
        (Some("https://app.example.com"), None),
        (Some("https://app.example.com.evil.example"), Some(403)),
        (Some("https://evil.example"), Some(403)),
        (Some("null"), Some(403)),
        (Some("https://app.example.com/"), Some(403)),
    ] {
        let headers: Vec<_> = origin
            .map(|origin| ("origin", origin))
            .into_iter()
            .collect();
        let opened = Socket::open(&app, &headers).await;
        assert_eq!(opened.err(), status, "{origin:?} without a cookie");
        let headers = [headers, vec![("cookie", cookie.as_str())]].concat();
        let opened = Socket::open(&app, &headers).await;
        assert_eq!(opened.err(), status, "{origin:?} with a cookie");
    }
    // No page, no cookie.
    assert!(Socket::open(&app, &[]).await.is_ok());
    assert_eq!(
        Socket::open(&app, &[("cookie", &cookie)]).await.err(),
        Some(403)
    );
    let allowed = [
        ("cookie", cookie.as_str()),
        ("origin", "https://app.example.com"),
    ];
    let mut socket = Socket::open(&app, &allowed).await.unwrap();
    let connected = socket.ask(json!({"connect": {}})).await;
    assert_eq!(connected["connect"]["expires"], true, "{connected}");
}

#[tokio::test]
async fn what_is_no_handshake_is_told_what_would_be() {
    let app = TestApp::shared();
    let answer = app.get("/v1/realtime").await;
    assert_eq!(answer.header("upgrade"), "websocket");
    assert_eq!(answer.header("sec-websocket-version"), "13");
    answer.expect_problem(426, "upgrade-required");
    let old = Socket::open(&app, &[("sec-websocket-version", "8")]).await;
    assert_eq!(old.err(), Some(426));
}

#[tokio::test]
async fn what_is_no_command_ends_the_socket() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for line in [
        "x",
        "{}x",
        "[]",
        r#"{"id":1}"#,
        r#"{"id":1,"nothing":{}}"#,
        r#"{"id":0,"subscribe":{"channel":"data:orders"}}"#,
        r#"{"id":-1,"subscribe":{"channel":"data:orders"}}"#,
        r#"{"id":1,"subscribe":{}}"#,
        r#"{"id":1,"subscribe":{"channel":1}}"#,
        r#"{"id":1,"connect":{}}"#,
    ] {
        let mut socket = Socket::of(&ada).await;
        socket.say(line).await;
        assert_eq!(socket.closed().await, 3501, "{line}");
    }
    // Nobody who has not introduced themselves is answered.
    let mut socket = Socket::open(&app, &[]).await.unwrap();
    socket
        .say(r#"{"id":1,"subscribe":{"channel":"data:orders"}}"#)
        .await;
    assert_eq!(socket.closed().await, 3501);
    // What asks for no answer gets none.
    let mut socket = Socket::of(&ada).await;
    socket.say(r#"{"send":{"data":{}}}"#).await;
    let answer = socket.ask(json!({"rpc": {}})).await;
    assert_eq!(answer["error"]["code"], 108);
}

/// Sends a handshake with one more header, and something right behind it.
fn shake_hands(app: &TestApp, header: &str, early: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(app.address().trim_start_matches("http://")).unwrap();
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).unwrap();
    let head = format!(
        "GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n{header}\r\n"
    );
    stream
        .write_all(&[head.as_bytes(), early].concat())
        .unwrap();
    stream
}

/// What comes until that text has.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1_024];
    while !text.contains(end) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "it ends with {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_right_behind_the_handshake_is_heard() {
    let app = TestApp::shared();
    let frame = frame(r#"{"id":1,"connect":{}}"#);
    for parts in 1..frame.len() {
        let (early, late) = frame.split_at(parts);
        let mut stream = shake_hands(&app, "", early);
        read_until(&mut stream, "\r\n\r\n");
        stream.write_all(late).unwrap();
        read_until(&mut stream, r#""expires":false"#);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inp_04_no_request_hides_behind_a_handshake() {
    let app = TestApp::shared();
    let hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for header in ["", "Content-Length: 0\r\n"] {
        let mut stream = shake_hands(&app, header, hidden);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{header}: {text}");
        // It is a frame by now, and none that there is.
        assert!(
            bytes.ends_with(b"\r\n\r\n\x88\x02\x03\xea"),
            "{header}: {text}"
        );
    }
    // Nobody has to agree with us on where a body ends.
    for (header, body) in [
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Content-Length: 4\r\n", "body"),
    ] {
        let mut stream = shake_hands(&app, header, body.as_bytes());
        let text = read_until(&mut stream, "\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 400 "), "{header}: {text}");
    }
}

/// A message as a client frames it, under a mask of zeros, which hides nothing.
fn frame(text: &str) -> Vec<u8> {
    let head: Vec<u8> = match u8::try_from(text.len()) {
        Ok(short @ ..126) => vec![0x81, 0x80 | short],
        _ => {
            let length = u16::try_from(text.len()).unwrap().to_be_bytes();
            [&[0x81, 0x80 | 126], &length[..]].concat()
        }
    };
    [&head, &[0; 4][..], text.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_much_behind_a_handshake_all_is_heard_or_nothing() {
    let app = TestApp::shared();
    // A pong with much around it, and a command.
    let early = [
        frame(&format!("{:60000}", "{}")),
        frame(r#"{"id":1,"connect":{}}"#),
    ]
    .concat();
    for _ in 0..20 {
        let mut stream = shake_hands(&app, "", &early);
        let mut bytes = Vec::new();
        let mut buffer = [0; 1_024];
        // It ends, by a reset where more came than was read, or it answers.
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
            if String::from_utf8_lossy(&bytes).contains(r#""expires":false"#) {
                break;
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let is_answered = text.contains(r#""expires":false"#);
        assert!(
            is_answered || text.is_empty() || text.ends_with("\r\n\r\n"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inp_03_sockets_are_connections_of_their_address_for_as_long_as_they_last() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__CONNECTIONS_PER_ADDRESS", "20")]);
    let opens = || {
        let mut stream = shake_hands(&app, "", b"");
        let mut first = [0; 12];
        let is_open = stream.read_exact(&mut first).is_ok();
        is_open.then(|| {
            assert_eq!(&first, b"HTTP/1.1 101");
            stream
        })
    };
    let mut counts = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(40);
    // All of them come back: what others have of the twenty stays the same.
    while counts.iter().filter(|count| **count >= 15).count() < 3 {
        let open: Vec<_> = (0..60).filter_map(|_| opens()).collect();
        assert!(open.len() <= 20, "{}", open.len());
        assert!(opens().is_none(), "there is no seat");
        counts.push(open.len());
        drop(open);
        assert!(Instant::now() < deadline, "seats come back: {counts:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
