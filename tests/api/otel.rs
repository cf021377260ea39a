//! Spans at a collector: what it gets, and what it never gets. Built with `--features otel`.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;

use crate::harness::{PASSWORD, Process};

/// A collector that keeps what it is sent.
fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeping = Arc::clone(&kept);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream
                .set_read_timeout(Some(Duration::from_millis(300)))
                .unwrap();
            let mut buffer = [0; 65_536];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                keeping.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, kept)
}

#[tokio::test]
async fn every_request_is_a_span_of_the_callers_trace_without_secrets() {
    let (address, kept) = collector();
    let server = Process::start(&[("TOLLGATE_TELEMETRY__OTLP_ENDPOINT", &address)]);
    let client = reqwest::Client::new();
    let account = json!({"email": "ada@example.com", "password": PASSWORD});
    let at = |path: &str| format!("{}{path}", server.address());
    let sign_up = client.post(at("/v1/users")).json(&account);
    assert_eq!(sign_up.send().await.unwrap().status(), 201);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = client
        .get(at(
            "/v1/users/01a20bf4-4417-720b-a398-ade7a859a777?access_token=canary",
        ))
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .header("x-request-id", "seen-in-the-span");
    assert_eq!(request.send().await.unwrap().status(), 401);
    // What is left is sent when the server stops.
    let (code, _directory) = server.stop(rustix::process::Signal::TERM);
    assert_eq!(code, Some(0));
    let sent = kept.lock().unwrap().clone();
    let holds = |part: &[u8]| sent.windows(part.len()).any(|window| window == part);
    assert!(holds(b"POST /v1/traces"));
    let trace: Vec<u8> = (0..16)
        .map(|index| u8::from_str_radix(&trace[2 * index..2 * index + 2], 16).unwrap())
        .collect();
    assert!(holds(&trace), "the caller's trace");
    for part in [
        "GET /v1/users/{id}",
        "POST /v1/users",
        "seen-in-the-span",
        "tollgate",
    ] {
        assert!(holds(part.as_bytes()), "{part}");
    }
    for secret in ["canary", PASSWORD, "01a20bf4-4417", "ada@example.com"] {
        assert!(!holds(secret.as_bytes()), "{secret}");
    }
}
