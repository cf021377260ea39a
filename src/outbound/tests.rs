use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc::{self, Receiver},
    thread,
    time::Instant,
};

use super::*;

/// Answers one connection with `parts`, a pause between them, and hands back what was asked.
fn serve(parts: &[&str], pause: Duration) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") && reader.read_line(&mut request).unwrap() > 0 {}
        let length = request
            .lines()
            .find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            })
            .map_or(0, |length| length.parse().unwrap());
        reader.take(length).read_to_string(&mut request).unwrap();
        sender.send(request).unwrap();
        for part in parts {
            // The client may have hung up, which is what some tests want.
            if stream.write_all(part.as_bytes()).is_err() {
                return;
            }
            thread::sleep(pause);
        }
    });
    (address, asked)
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}")
}

async fn get(parts: &[&str]) -> Result<Answer, OutboundError> {
    let (address, _asked) = serve(parts, Duration::ZERO);
    let outbound = Outbound::new(Reach::LoopbackToo).unwrap();
    outbound
        .get(&format!("http://{address}/a"), "application/json")
        .await
}

#[tokio::test]
async fn a_get_asks_for_what_it_wants_and_brings_the_answer() {
    let head = "200 OK\r\ncontent-type: application/json\r\ncache-control: public, Max-Age=60";
    let (address, asked) = serve(&[&answer(head, "{}")], Duration::ZERO);
    let outbound = Outbound::new(Reach::LoopbackToo).unwrap();

    let url = format!("http://localhost:{}/jwks?a=b#c", address.port());
    let answer = outbound
        .get(&url, "application/jwk-set+json")
        .await
        .unwrap();

    assert_eq!(
        answer,
        Answer {
            status: 200,
            content_type: Some("application/json".to_owned()),
            max_age: Some(60),
            body: b"{}".to_vec(),
        }
    );
    let asked = asked.recv().unwrap();
    assert!(asked.starts_with("GET /jwks?a=b HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("accept: application/jwk-set+json\r\n"),
        "{asked}"
    );
    assert!(!asked.contains("accept-encoding"), "{asked}");
}

#[tokio::test]
async fn a_post_sends_a_form() {
    let (address, asked) = serve(&[&answer("400 Bad Request", "no")], Duration::ZERO);
    let outbound = Outbound::new(Reach::LoopbackToo).unwrap();

    let url = format!("http://{address}/token");
    let form = [("grant_type", "authorization_code"), ("code", "a&b=c d")];
    let answer = outbound
        .post_form(&url, &form, Some("Basic eDp5"))
        .await
        .unwrap();

    assert_eq!((answer.status, answer.body), (400, b"no".to_vec()));
    let asked = asked.recv().unwrap();
    assert!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Basic eDp5\r\n"), "{asked}");
    assert!(
        asked.ends_with("\r\n\r\ngrant_type=authorization_code&code=a%26b%3Dc+d"),
        "{asked}"
    );
}

#[tokio::test]
async fn inp_08_redirects_are_refused() {
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let (elsewhere, asked) = serve(&[&answer("200 OK", "secret")], Duration::ZERO);
        let head = format!("{status}\r\nlocation: http://{elsewhere}/");
        assert_eq!(
            get(&[&answer(&head, "")]).await,
            Err(OutboundError::Redirected)
        );
        assert!(asked.try_recv().is_err(), "nobody went there");
    }
}

#[tokio::test]
async fn inp_08_at_most_64_kib_are_read() {
    let full = "x".repeat(MAX_BODY);
    let fits = get(&[&answer("200 OK", &full)]).await.unwrap();
    assert_eq!(fits.body.len(), MAX_BODY);
    let announced = answer("200 OK\r\ncontent-length: 65537", &format!("{full}x"));
    let chunked = answer(
        "200 OK\r\ntransfer-encoding: chunked",
        &format!("10000\r\n{full}\r\n1\r\nx\r\n"),
    );
    for parts in [
        vec![announced],
        vec![answer("200 OK", &full), "x".to_owned()],
        vec![chunked],
    ] {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        assert_eq!(get(&parts).await, Err(OutboundError::TooLarge));
    }
}

#[tokio::test]
async fn inp_08_a_trickling_answer_is_given_up() {
    let start = answer("200 OK\r\ncontent-length: 100", "x");
    let silent: &[&str] = &["", ""];
    let trickling: &[&str] = &[&start, "x", "x", "x", "x", "x"];
    for parts in [silent, trickling] {
        let (address, _asked) = serve(parts, Duration::from_millis(200));
        let outbound =
            Outbound::with_timeout(Reach::LoopbackToo, Duration::from_millis(300)).unwrap();
        let started = Instant::now();
        let outcome = outbound.get(&format!("http://{address}/"), "*/*").await;
        assert_eq!(outcome, Err(OutboundError::Slow));
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn broken_answers_are_told_from_unusable_addresses() {
    assert_eq!(
        get(&["SSH-2.0-OpenSSH\r\n"]).await,
        Err(OutboundError::Broken)
    );
    let cut_off = answer("200 OK\r\ncontent-length: 100", "x");
    assert_eq!(get(&[&cut_off]).await, Err(OutboundError::Broken));

    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (plain, _asked) = serve(&["SSH-2.0-OpenSSH\r\n"], Duration::ZERO);
    let outbound = Outbound::new(Reach::LoopbackToo).unwrap();
    for url in [
        format!("http://{closed}/"),
        format!("https://{plain}/"),
        "https://10.0.0.1/".to_owned(),
    ] {
        assert_eq!(
            outbound.get(&url, "*/*").await,
            Err(OutboundError::Unusable),
            "{url}"
        );
    }
}

#[tokio::test]
async fn inp_08_the_public_client_never_connects_to_this_machine() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let outbound = Outbound::new(Reach::Public).unwrap();
    let port = address.port();
    for url in [
        format!("http://{address}/"),
        format!("http://localhost:{port}/"),
        format!("https://{address}/"),
        format!("https://127.1:{port}/"),
        format!("https://0x7f.1:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("https://[::1]:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://localhost:{port}/"),
    ] {
        assert_eq!(
            outbound.get(&url, "*/*").await,
            Err(OutboundError::Unusable),
            "{url}"
        );
        assert_eq!(
            outbound.post_form(&url, &[], None).await,
            Err(OutboundError::Unusable),
            "{url}"
        );
    }
    // Past our own check, the client itself still refuses names that lead here and plain http.
    for url in [
        format!("https://localhost:{port}/"),
        format!("http://localhost:{port}/"),
    ] {
        let outcome = exchange(outbound.client.get(&url)).await;
        assert_eq!(outcome, Err(OutboundError::Unusable), "{url}");
    }
    let accepted = listener.accept().map_err(|error| error.kind());
    assert_eq!(accepted.err(), Some(ErrorKind::WouldBlock), "nobody came");
}

#[test]
fn max_age_is_read_from_every_cache_control() {
    let read = |values: &[&str]| {
        let values = values
            .iter()
            .map(|value| (CACHE_CONTROL, value.parse().unwrap()));
        max_age(&values.collect())
    };
    assert_eq!(read(&[]), None);
    assert_eq!(read(&["public"]), None);
    assert_eq!(read(&["public, max-age=600"]), Some(600));
    assert_eq!(read(&["max-age=\"5\" , immutable"]), Some(5));
    assert_eq!(read(&["max-age=600", "no-store"]), Some(0));
    assert_eq!(read(&["max-age=-1"]), None);
}
