//! What comes over the wire: sizes, stalls, smuggling, hosts, paths (INP-01..04, INP-07, INP-10, TRN-01).

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{TestApp, client, query_value};

fn connect(app: &TestApp) -> TcpStream {
    let stream = TcpStream::connect(app.address().trim_start_matches("http://")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(40)))
        .unwrap();
    stream
}

/// Sends bytes and reads what comes until the server closes or 2 s are silent.
fn exchange(app: &TestApp, bytes: &[u8]) -> (String, bool) {
    let mut stream = connect(app);
    // The server may have closed already.
    let _sent = stream.write_all(bytes);
    stream
        .set_read_timeout(Some(Duration::from_millis(1500)))
        .unwrap();
    let mut text = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (String::from_utf8_lossy(&text).into_owned(), true),
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                return (String::from_utf8_lossy(&text).into_owned(), false);
            }
            Err(_reset) => return (String::from_utf8_lossy(&text).into_owned(), true),
        }
    }
}

fn statuses(text: &str) -> Vec<u16> {
    text.split("HTTP/1.1 ")
        .skip(1)
        .map(|rest| rest[..3].parse().unwrap())
        .collect()
}

const SMUGGLED: &str = "GET /v1/tokens/current HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn inp_04_what_two_parsers_could_read_differently_is_refused_and_the_connection_closed() {
    let app = TestApp::shared();
    let post = "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let cases = [
        (
            "CL.TE",
            format!("{post}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
        ),
        (
            "TE.CL",
            format!(
                "{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n{SMUGGLED}\r\n0\r\n\r\n"
            ),
        ),
        (
            "two lengths",
            format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
        ),
        (
            "two equal lengths in one",
            format!("{post}Content-Length: 2, 3\r\n\r\n{{}}"),
        ),
        ("plus", format!("{post}Content-Length: +2\r\n\r\n{{}}")),
        ("minus", format!("{post}Content-Length: -2\r\n\r\n{{}}")),
        (
            "hex length",
            format!("{post}Content-Length: 0x2\r\n\r\n{{}}"),
        ),
        ("empty length", format!("{post}Content-Length:\r\n\r\n{{}}")),
        (
            "length with letters",
            format!("{post}Content-Length: 2a\r\n\r\n{{}}"),
        ),
        (
            "huge length",
            format!("{post}Content-Length: 99999999999999999999\r\n\r\n{{}}"),
        ),
        (
            "space before colon",
            format!("{post}Content-Length : 2\r\n\r\n{{}}"),
        ),
        (
            "space before colon of TE",
            format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "unknown coding",
            format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunked twice",
            format!("{post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunked not last",
            format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ),
        (
            "two TE",
            format!(
                "{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "tab TE",
            format!("{post}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunk size with sign",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n+2\r\n{{}}\r\n0\r\n\r\n"),
        ),
        (
            "chunk size with 0x",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{{}}\r\n0\r\n\r\n"),
        ),
        (
            "chunk size overflow",
            format!(
                "{post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff2\r\n{{}}\r\n0\r\n\r\n"
            ),
        ),
        (
            "chunk without end",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}0\r\n\r\n"),
        ),
        (
            "obs-fold",
            "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n X-B: 2\r\n\r\n".to_owned(),
        ),
        (
            "NUL in a value",
            "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n".to_owned(),
        ),
        (
            "bare CR",
            "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n".to_owned(),
        ),
        (
            "no colon",
            "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A\r\n\r\n".to_owned(),
        ),
        (
            "space in a name",
            "GET /healthz HTTP/1.1\r\nHost: x\r\nX A: 1\r\n\r\n".to_owned(),
        ),
        (
            "two hosts",
            "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_owned(),
        ),
        ("no host", "GET /healthz HTTP/1.1\r\n\r\n".to_owned()),
        (
            "a space in the host",
            "GET /healthz HTTP/1.1\r\nHost: x y\r\n\r\n".to_owned(),
        ),
        (
            "a user in the host",
            "GET /healthz HTTP/1.1\r\nHost: u@x\r\n\r\n".to_owned(),
        ),
        (
            "a path in the host",
            "GET /healthz HTTP/1.1\r\nHost: x/y\r\n\r\n".to_owned(),
        ),
        (
            "an empty host",
            "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n".to_owned(),
        ),
        (
            "another version",
            "GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n".to_owned(),
        ),
        (
            "a space in the target",
            "GET /health z HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, bytes) in cases {
        let (text, closed) = exchange(&app, bytes.as_bytes());
        let seen = statuses(&text);
        let refused =
            seen.len() == 1 && (400..=415).contains(&seen[0]) || seen.is_empty() && closed;
        // A well-framed request may go on; one that is not may never.
        let framed = matches!(
            name,
            "two hosts"
                | "no host"
                | "a space in the host"
                | "a user in the host"
                | "a path in the host"
                | "an empty host"
        );
        if !refused || !(closed || framed) {
            wrong.push((name, seen, closed));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    let foreign = "GET http://evil.example/healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(
        statuses(&exchange(&app, foreign.as_bytes()).0),
        [421],
        "INP-07"
    );
    let same = "GET http://x/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&exchange(&app, same.as_bytes()).0), [200]);
    let trace = "TRACE /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&exchange(&app, trace.as_bytes()).0), [405]);
    let two = format!("{SMUGGLED}{SMUGGLED}");
    assert_eq!(
        statuses(&exchange(&app, two.as_bytes()).0),
        [401, 401],
        "one answer a request"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn inp_01_a_body_of_more_than_a_megabyte_is_refused_however_it_comes() {
    let app = TestApp::shared();
    let big = json!({"email": "a".repeat(1_100_000)}).to_string();
    let head = "POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let declared = format!("{head}Content-Length: {}\r\n\r\n{big}", big.len());
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{big}\r\n0\r\n\r\n",
        big.len()
    );
    for bytes in [declared, chunked] {
        assert_eq!(statuses(&exchange(&app, bytes.as_bytes()).0), [413]);
    }
    // What is compressed is not looked at, so no small body becomes a large one.
    let packed = app
        .request("POST", "/v1/users")
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(vec![0x1f, 0x8b]);
    app.send(packed)
        .await
        .expect_problem(415, "unsupported-media-type");
}

/// Sends a piece every 2 s of silence until the server hangs up, which it does within 30 s; answers what it said.
fn dribble(app: &TestApp, head: &str, piece: &'static str) -> std::thread::JoinHandle<String> {
    let mut stream = connect(app);
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut buffer = [0; 4_096];
        let step = Some(Duration::from_secs(2));
        stream.set_read_timeout(step).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            match stream.read(&mut buffer) {
                Ok(0) => return String::from_utf8_lossy(&text).into_owned(),
                Ok(count) => text.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    // The server may have closed already; reading tells.
                    let _sent = stream.write_all(piece.as_bytes());
                }
                Err(_reset) => return String::from_utf8_lossy(&text).into_owned(),
            }
        }
        panic!("still open after 30 s: {}", String::from_utf8_lossy(&text));
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn inp_02_who_sends_or_reads_too_slowly_is_given_up_and_the_others_notice_nothing() {
    let app = TestApp::shared();
    let begun = Instant::now();
    let (sized, chunked) = (
        "Content-Length: 100\r\n\r\n{",
        "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    );
    let stalled: Vec<_> = ["POST /v1/sessions", "POST /nowhere", "GET /healthz"]
        .iter()
        .flat_map(|asked| [(*asked, sized), (*asked, chunked)])
        .flat_map(|case| std::iter::repeat_n(case, 20))
        .map(|(asked, body)| {
            let mut stream = connect(&app);
            let head =
                format!("{asked} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{body}");
            stream.write_all(head.as_bytes()).unwrap();
            (asked, stream)
        })
        .collect();
    let whole = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let begin = |asked: &str| {
        format!(
            "{asked} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
    };
    let dribbled = [
        (
            dribble(&app, &begin("POST /v1/sessions"), "1\r\n \r\n"),
            " 408 ",
        ),
        (
            dribble(&app, &begin("POST /nowhere"), "1\r\n \r\n"),
            " 404 ",
        ),
        (dribble(&app, &begin("GET /healthz"), "1\r\n \r\n"), " 200 "),
        // The head of a second request has no more time than that of the first.
        (dribble(&app, whole, "x"), " 200 "),
        (dribble(&app, &format!("{whole}GET /he"), "x"), " 200 "),
    ];
    let heads: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = connect(&app);
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHos").unwrap();
            stream
        })
        .collect();
    // Asks for more than the buffers on the way hold, and takes nothing.
    let readers: Vec<_> = (0..10)
        .map(|_| {
            let mut stream = connect(&app);
            let request = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400);
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    // Takes its time, but takes: what the kernel holds for it outlasts the keep-alive of the connection.
    let mut honest = connect(&app);
    let request = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(6);
    honest.write_all(request.as_bytes()).unwrap();
    let honest = std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut buffer = [0; 16_384];
        while begun.elapsed() < Duration::from_secs(32) {
            let count = honest.read(&mut buffer).unwrap();
            text.extend_from_slice(&buffer[..count]);
            std::thread::sleep(Duration::from_secs(2));
        }
        honest.read_to_end(&mut text).unwrap();
        text
    });
    // Says nothing for a while, as browsers and proxies do, and then goes on.
    let mut idle = connect(&app);
    let idle = std::thread::spawn(move || {
        let mut buffer = [0; 4_096];
        let post = "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n";
        for (head, body, status) in [(whole, "", 200), (post, "{}", 422), (whole, "", 200)] {
            idle.write_all(head.as_bytes()).unwrap();
            // In a packet of its own.
            std::thread::sleep(Duration::from_millis(100));
            idle.write_all(body.as_bytes()).unwrap();
            let count = idle.read(&mut buffer).unwrap();
            assert_eq!(
                statuses(&String::from_utf8_lossy(&buffer[..count])),
                [status]
            );
            std::thread::sleep(Duration::from_secs(12));
        }
    });
    for _ in 0..50 {
        app.get("/healthz").await.expect(200);
    }
    let mut buffer = Vec::new();
    for mut stream in heads {
        buffer.clear();
        let _ended = stream.read_to_end(&mut buffer);
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "INP-03: heads have 5 s"
        );
    }
    for (asked, mut stream) in stalled {
        buffer.clear();
        stream
            .set_read_timeout(Some(Duration::from_secs(25)))
            .unwrap();
        let ended = stream.read_to_end(&mut buffer);
        let text = String::from_utf8_lossy(&buffer).into_owned();
        assert!(ended.is_ok(), "{asked} is still open: {text}");
        assert!(
            [" 408 ", " 404 ", " 200 "]
                .iter()
                .any(|status| text.contains(status)),
            "{text}"
        );
    }
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "bodies have 15 s"
    );
    for (dribbled, status) in dribbled {
        let text = dribbled.join().unwrap();
        assert!(text.contains(status), "{text}");
    }
    idle.join().unwrap();
    let text = honest.join().unwrap();
    let said = String::from_utf8_lossy(&text).into_owned();
    let length = said.split("content-length: ").nth(1).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    assert_eq!(statuses_count(&text), 6);
    assert!(text.len() > 6 * length, "{} of 6 × {length}", text.len());
    for mut stream in readers {
        buffer.clear();
        let read = stream.read_to_end(&mut buffer);
        let complete = statuses_count(&buffer) == 400 && read.is_ok();
        assert!(!complete, "it was cut off");
    }
}

fn statuses_count(bytes: &[u8]) -> usize {
    bytes
        .windows(9)
        .filter(|window| *window == b"HTTP/1.1 ")
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn inp_03_long_uris_large_heads_and_too_many_connections_are_refused() {
    let app = TestApp::own(&[("TOLLGATE_LIMITS__CONNECTIONS_PER_ADDRESS", "20")]);
    let long = format!("/healthz?{}", "x".repeat(8_200));
    app.get(&long).await.expect_problem(414, "uri-too-long");
    let mut request = app.request("GET", "/healthz");
    for index in 0..9 {
        request = request.header(format!("x-{index}"), "x".repeat(8_000));
    }
    app.send(request)
        .await
        .expect_problem(431, "headers-too-large");
    let (text, closed) = exchange(
        &app,
        format!(
            "GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
            "x".repeat(400_000)
        )
        .as_bytes(),
    );
    assert!(
        closed
            && statuses(&text)
                .iter()
                .all(|status| (400..=431).contains(status)),
        "{text}"
    );
    let mut open: Vec<_> = (0..60).map(|_| connect(&app)).collect();
    let mut served = 0;
    for stream in &mut open {
        // Those over the number are closed at once.
        let _sent = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut buffer = [0; 16];
        served += usize::from(stream.read(&mut buffer).is_ok_and(|count| count > 0));
    }
    assert!((1..=20).contains(&served), "{served}");
    drop(open);
    let deadline = Instant::now() + Duration::from_secs(10);
    let client = client();
    while client
        .get(format!("{}/healthz", app.address()))
        .send()
        .await
        .is_err()
    {
        assert!(Instant::now() < deadline, "seats come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inp_10_no_way_to_write_a_path_reaches_another_rule() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for path in [
        "/v1/users/me/..",
        "/v1/users/me/../",
        "/v1/./users",
        "/v1/%2e/users",
        "/v1/users/%2e%2e/users",
        "/v1//users",
        "//v1/users",
        "/v1/users/",
        "/v1/users/me/",
        "/v1/users;x=1",
        "/v1/users/me;x=1",
        "/v1%2fusers",
        "/v1/users%2fme",
        "/v1/users/me%00",
        "/v1/users/me%20",
        "/V1/users/me",
        "/v1/users/ME",
        "/v1\\users",
        "/v1/users/..%5c..%5c",
        "/v1/users%3flimit=1",
        "/v1/users%23",
        "/%761/users/me",
        "/%76%31/users/me",
        "/v1/%75sers/me",
        "/v1/%75sers/m%65",
        "/v1/users/me%2e",
        "/v1/users/%2E%2e/users/me",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            ada.access_token()
        );
        let (text, _) = exchange(&app, request.as_bytes());
        let seen = statuses(&text);
        assert!(seen == [404] || seen == [400], "{path}: {seen:?} {text}");
    }
    // What goes by the path can't be gone round: rates, unknown parameters, tokens that are not packed.
    let sign_in = json!({"email": ada.email(), "password": crate::harness::PASSWORD}).to_string();
    let request = format!(
        "POST /%761/sessions HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{sign_in}",
        sign_in.len()
    );
    assert_eq!(statuses(&exchange(&app, request.as_bytes()).0), [400]);
}

#[tokio::test]
async fn trn_01_answers_say_how_browsers_must_treat_them() {
    let app = TestApp::shared();
    for path in ["/v1/users/me", "/healthz", "/openapi.json", "/nowhere"] {
        let answer = app.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("default-src 'none'")
        );
        assert_eq!(answer.header("server"), "");
        assert_eq!(answer.header("strict-transport-security"), "", "plain HTTP");
    }
    let secure = TestApp::own(&[
        ("TOLLGATE_ISSUER", "https://auth.example.com"),
        ("TOLLGATE_MODE", "development"),
    ]);
    let answer = secure.get("/healthz").await.expect(200);
    assert!(
        answer
            .header("strict-transport-security")
            .starts_with("max-age=")
    );
}

#[tokio::test]
async fn res_11_head_is_get_without_the_body_and_other_methods_are_named() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for path in [
        "/v1/users/me",
        "/v1/sessions",
        "/v1/tokens/current",
        "/openapi.json",
    ] {
        let get = ada.get(path).await.expect(200);
        let head = ada.send("HEAD", path, None).await.expect(200);
        assert_eq!(head.text(), "");
        for (name, value) in get.headers() {
            if !matches!(
                name.as_str(),
                "x-request-id" | "date" | "ratelimit" | "transfer-encoding"
            ) {
                assert_eq!(head.headers().get(name), Some(value), "{name} of {path}");
            }
        }
    }
    let wrong = ada
        .send("DELETE", "/v1/tokens", None)
        .await
        .expect_problem(405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), "POST, OPTIONS");
}

#[tokio::test]
async fn answers_are_compressed_where_it_is_worth_it() {
    let app = TestApp::shared();
    let ada = app.person().await;
    for (accept, coding) in [
        ("gzip", "gzip"),
        ("gzip, br", "br"),
        ("br;q=0, gzip", "gzip"),
        ("identity", ""),
        ("zstd", ""),
        ("gzip;q=0", ""),
    ] {
        let answer = app
            .send(
                app.request("GET", "/openapi.json")
                    .header("accept-encoding", accept),
            )
            .await
            .expect(200);
        assert_eq!(answer.header("content-encoding"), coding, "{accept}");
        assert!(answer.varies_by("accept-encoding"));
    }
    let small = app
        .send(
            ada.request("GET", "/v1/users/me")
                .header("accept-encoding", "gzip, br"),
        )
        .await
        .expect(200);
    assert_eq!(small.header("content-encoding"), "");
    ada.patch(
        "/v1/users/me",
        json!({"user_metadata": {"text": "x".repeat(5_000)}}),
    )
    .await
    .expect(200);
    let large = app
        .send(
            ada.request("GET", "/v1/users/me")
                .header("accept-encoding", "br"),
        )
        .await;
    let tag = large.header("etag").to_owned();
    assert_eq!(large.header("content-encoding"), "br");
    assert!(tag.starts_with("\"2.") && tag.ends_with(".br\""), "{tag}");
    let again = ada
        .request("GET", "/v1/users/me")
        .header("if-none-match", large.header("etag"));
    let again = app.send(again).await;
    assert_eq!((again.status(), again.header("etag")), (304, tag.as_str()));
    let write = ada
        .request("PATCH", "/v1/users/me")
        .header("if-match", large.header("etag"))
        .json(&json!({"name": "A"}));
    app.send(write).await.expect(200);
}

#[tokio::test]
async fn inp_09_one_request_too_many_is_a_429_that_says_when() {
    let app = TestApp::own(&[
        ("TOLLGATE_LIMITS__REQUESTS_PER_MINUTE_PER_USER", "30"),
        ("TOLLGATE_LIMITS__REQUESTS_PER_MINUTE_PER_ADDRESS", "40"),
        ("TOLLGATE_SERVER__TRUSTED_PROXIES", r#"["127.0.0.0/8"]"#),
    ]);
    let (ada, bob) = (app.person().await, app.person().await);
    let first = ada.get("/v1/tokens/current").await.expect(200);
    assert_eq!(first.header("ratelimit-policy"), "\"user\";q=30;w=60");
    assert_eq!(first.header("ratelimit"), "\"user\";r=29;t=2");
    let mut last = first;
    for _ in 0..40 {
        last = ada.get("/v1/tokens/current").await;
    }
    let refused = last.expect_problem(429, "rate-limited");
    assert!((1..=3).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    assert!(refused.header("ratelimit").starts_with("\"user\";r=0;t="));
    bob.get("/v1/tokens/current").await.expect(200);
    let anonymous = async |from: &str| {
        app.send(
            app.request("GET", "/v1/users/me")
                .header("x-forwarded-for", from),
        )
        .await
    };
    for index in 0..40 {
        // One subscriber has a whole /64.
        anonymous(&format!("2001:db8:1:2::{index:x}"))
            .await
            .expect(401);
    }
    anonymous("2001:db8:1:2:ffff::1")
        .await
        .expect_problem(429, "rate-limited");
    anonymous("2001:db8:1:3::1").await.expect(401);
    for _ in 0..100 {
        app.get("/healthz").await.expect(200);
    }
}

#[tokio::test]
async fn inp_07_the_address_comes_from_a_trusted_proxy_alone() {
    for (proxies, said, expected) in [
        ("[]", b"1.1.1.1, 198.51.100.7".as_slice(), "127.0.0.1"),
        (r#"["127.0.0.1"]"#, b"1.1.1.1, 198.51.100.7", "198.51.100.7"),
        // What the client wrote can't hide what the proxy appended.
        (r#"["127.0.0.1"]"#, b"\xff, 198.51.100.7", "198.51.100.7"),
        (r#"["127.0.0.1"]"#, b"198.51.100.7, \xff", "127.0.0.1"),
    ] {
        let app = TestApp::own(&[("TOLLGATE_SERVER__TRUSTED_PROXIES", proxies)]);
        let ada = app.person().await;
        let sign_in = json!({"email": ada.email(), "password": crate::harness::PASSWORD});
        let request = app
            .request("POST", "/v1/sessions")
            .header("x-forwarded-for", said);
        app.send(request.json(&sign_in)).await.expect(201);
        let stored = query_value(
            app.database(),
            "select address as value from sessions order by created_at desc limit 1",
        );
        assert_eq!(stored, expected);
    }
}

#[tokio::test]
async fn an_app_is_served_beside_the_api_with_its_own_addresses() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = place.path().join("dist").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file("index.html", "<title>app</title>");
    file("assets/index-BqF3kX9a.js", "let app");
    file(".env", "SECRET=1");
    std::fs::write(place.path().join("secret.txt"), "secret").unwrap();
    std::os::unix::fs::symlink(
        place.path().join("secret.txt"),
        place.path().join("dist/link.txt"),
    )
    .unwrap();
    let directory = place.path().join("dist").display().to_string();
    let app = TestApp::own(&[("TOLLGATE_SERVER__STATIC_DIR", &directory)]);
    let page = async |path: &str| {
        app.send(app.request("GET", path).header("accept", "text/html"))
            .await
    };
    for path in ["/", "/index.html", "/orders/7"] {
        let answer = page(path).await.expect(200);
        assert_eq!(
            (answer.text().as_str(), answer.header("cache-control")),
            ("<title>app</title>", "no-cache")
        );
        assert!(answer.header("content-type").starts_with("text/html"));
        assert_eq!(
            answer.header("content-security-policy"),
            "frame-ancestors 'self'"
        );
    }
    let plain = page("/").await.expect(200);
    assert_eq!(plain.header("content-disposition"), "");
    let tag = plain.header("etag").to_owned();
    // Another replica has the same files, and other inodes and times.
    let copy = tempfile::tempdir().unwrap();
    std::fs::write(copy.path().join("index.html"), "<title>app</title>").unwrap();
    let elsewhere = copy.path().display().to_string();
    let replica = TestApp::own(&[("TOLLGATE_SERVER__STATIC_DIR", &elsewhere)]);
    assert_eq!(
        replica.get("/index.html").await.expect(200).header("etag"),
        tag
    );
    let same = app
        .send(app.request("GET", "/").header("if-none-match", tag))
        .await;
    assert_eq!(same.status(), 304);
    for condition in ["\"other\"", "W/\"other\""] {
        let changed = app.request("GET", "/").header("if-match", condition);
        let changed = app.send(changed.header("accept", "text/html")).await;
        changed.expect_problem(412, "precondition-failed");
    }
    let script = app.get("/assets/index-BqF3kX9a.js").await.expect(200);
    assert!(script.header("cache-control").contains("immutable"));
    for path in [
        "/assets/other.js",
        "/.env",
        "/link.txt",
        "/oauth/nothing",
        "/..%2fsecret.txt",
    ] {
        page(path).await.expect_problem(404, "not-found");
    }
    for path in ["/%6fauth/nothing", "/v%31/users", "/%2eenv"] {
        page(path).await.expect_problem(400, "bad-request");
    }
    file("two words.txt", "spaced");
    assert_eq!(page("/two%20words.txt").await.expect(200).text(), "spaced");
    file("assets/large.js", &"let app; ".repeat(10_000));
    let packed = app
        .request("GET", "/assets/large.js")
        .header("accept-encoding", "br");
    let packed = app.send(packed).await.expect(200);
    assert_eq!(packed.header("content-encoding"), "br");
    assert!(packed.varies_by("accept-encoding"));
    assert_eq!(
        packed.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    // Too large to read as a whole: in parts, as asked for.
    file("film.bin", &"x".repeat(1_100_000));
    let part = async |name: &str, value: &str| {
        app.send(app.request("GET", "/film.bin").header(name, value))
            .await
    };
    let some = part("range", "bytes=0-9").await;
    assert_eq!((some.status(), some.text().len()), (206, 10));
    assert_eq!(some.header("content-range"), "bytes 0-9/1100000");
    let none = part("range", "bytes=2000000-").await;
    let none = none.expect_problem(416, "range-not-satisfiable");
    assert_eq!(none.header("content-range"), "bytes */1100000");
    let old = part("if-unmodified-since", "Thu, 01 Jan 1998 00:00:00 GMT").await;
    old.expect_problem(412, "precondition-failed");
    app.get("/v1/nothing")
        .await
        .expect_problem(404, "not-found");
    app.post("/", json!({}))
        .await
        .expect_problem(404, "not-found");
    app.get("/v1/users/me").await.expect(401);
    app.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn a_handler_that_panics_costs_one_answer_and_no_connection() {
    use actix_web::{App, middleware::from_fn, web};

    let state = TestApp::shared().state();
    let (told, listening) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = actix_web::HttpServer::new(move || {
                let broken = async || -> actix_web::HttpResponse { panic!("broken") };
                App::new()
                    .app_data(state.clone())
                    .wrap(from_fn(tollgate::http::observe))
                    .route("/v1/broken", web::get().to(broken))
            });
            let server = server
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
            let address = server.addrs()[0];
            let server = server.run();
            told.send((address, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    let (address, server) = listening.recv().unwrap();
    let client = client();
    for _ in 0..3 {
        let request = client.get(format!("http://{address}/v1/broken"));
        let request = request
            .header("origin", "http://localhost:5173")
            .header("x-request-id", "mine");
        let answer = crate::harness::Response::read(request.send().await.unwrap()).await;
        let answer = answer.expect_problem(500, "internal");
        assert_eq!(answer.header("x-request-id"), "mine");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            "http://localhost:5173"
        );
        assert!(!answer.text().contains("broken"));
    }
    let counted = TestApp::shared().get("/metrics").await.expect(200).text();
    let line = "tollgate_http_requests_total{method=\"GET\",route=\"/v1/broken\",status=\"500\"} 3";
    assert!(counted.contains(line), "{counted}");
    drop(server.stop(false));
}

#[tokio::test]
async fn trn_04_readiness_asks_the_database_nothing_and_says_when_it_stops() {
    let app = TestApp::own(&[]);
    let statements =
        "select sum(calls)::text as value from (select xact_commit + xact_rollback as calls
        from pg_stat_database where datname = current_database()) as counted";
    let before: i64 = query_value(app.database(), statements).parse().unwrap();
    for _ in 0..300 {
        app.get("/readyz").await.expect(200);
    }
    let after: i64 = query_value(app.database(), statements).parse().unwrap();
    assert!(after - before < 150, "{}", after - before);
    app.state().life.stop();
    let stopping = app.get("/readyz").await.expect_problem(503, "not-ready");
    assert_eq!(stopping.at("/detail"), "the replica is stopping");
    assert_eq!(stopping.header("connection"), "close");
    app.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn trn_04_production_shows_metrics_to_nobody_outside_and_docs_only_if_wanted() {
    let production = [
        ("TOLLGATE_ISSUER", "https://auth.example.com"),
        ("TOLLGATE_MODE", "production"),
        ("DATABASE_URL", "postgres://named-in-the-test"),
    ];
    let app = TestApp::own(&production);
    app.get("/metrics").await.expect_problem(404, "not-found");
    app.get("/openapi.json").await.expect(200);
    let hidden = TestApp::own(&[&production[..], &[("TOLLGATE_SERVER__DOCS", "false")]].concat());
    for path in ["/docs", "/docs/", "/docs/index.html", "/openapi.json"] {
        hidden.get(path).await.expect_problem(404, "not-found");
    }
    hidden.get("/problems/not-found").await.expect(200);
    let development = TestApp::shared();
    for path in ["/metrics", "/docs/", "/openapi.json"] {
        development.get(path).await.expect(200);
    }
}

#[tokio::test]
async fn trn_04_metrics_have_a_listener_of_their_own_when_configured() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let server =
        crate::harness::Process::start(&[("TOLLGATE_TELEMETRY__METRICS_LISTEN", &address)]);
    let read = async |url: String| reqwest::get(url).await.unwrap();
    assert_eq!(
        read(format!("{}/metrics", server.address())).await.status(),
        404
    );
    assert_eq!(
        read(format!("{}/v1/nothing", server.address()))
            .await
            .status(),
        404
    );
    let text = read(format!("http://{address}/metrics"))
        .await
        .text()
        .await
        .unwrap();
    for line in [
        "tollgate_http_requests_total{method=\"GET\",route=\"/metrics\",status=\"404\"} 1",
        "tollgate_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "tollgate_http_request_duration_seconds_bucket{method=\"GET\",route=\"/metrics\",le=\"10\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(
        read(format!("http://{address}/v1/users")).await.status(),
        404
    );
    let version: serde_json::Value = read(format!("{}/version", server.address()))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(version["name"], "tollgate");
}
