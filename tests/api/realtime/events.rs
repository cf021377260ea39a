//! Server-sent events: what sockets are told, for those who can't have one.

use std::{collections::VecDeque, time::Duration};

use serde_json::{Value, json};

use super::{change, channel, told};
use crate::feed::settle;
use crate::forged_tokens::{SECRET, hs256_app};
use crate::harness::{Forge, Person, Response, Shop, TestApp, now, query};

const SETTINGS: &[(&str, &str)] = &[
    ("TOLLGATE_LIMITS__ENABLED", "false"),
    (
        "TOLLGATE_CORS__ALLOWED_ORIGINS",
        r#"["https://app.example.com"]"#,
    ),
    (
        "TOLLGATE_REALTIME__NAMESPACE",
        r#"[{ name = "log", subscribe = "true", publish = "true", history = "true", history_size = 100 },
            { name = "room", subscribe = "true", publish = "true", presence = "true", history = "true", history_size = 100 },
            { name = "quiet", subscribe = "has(auth.sub)", publish = "true" }]"#,
    ),
];

/// A stream of events, read as browsers do.
struct Events {
    response: reqwest::Response,
    text: String,
    waiting: VecDeque<(String, Value)>,
}

impl Events {
    async fn open(request: reqwest::RequestBuilder) -> Result<Self, Response> {
        let response = request.send().await.unwrap();
        if response.status() != 200 {
            return Err(Response::read(response).await);
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Ok(Self {
            response,
            text: String::new(),
            waiting: VecDeque::new(),
        })
    }

    /// The next event, its id and data; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await;
            let chunk = chunk.unwrap().ok().flatten()?;
            self.text += str::from_utf8(&chunk).unwrap();
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
                };
                if let Some(data) = field("data: ") {
                    let data = serde_json::from_str(&data).unwrap();
                    self.waiting.push_back((field("id: ").unwrap(), data));
                }
                self.text = rest.to_owned();
            }
        }
    }

    async fn data(&mut self) -> Value {
        self.next().await.unwrap().1
    }
}

fn events(person: &Person, query: &str) -> reqwest::RequestBuilder {
    person.request("GET", &format!("/v1/events?{query}"))
}

async fn publish(app: &TestApp, channel: &str, text: &str) {
    let path = format!("/v1/channels/{channel}/publications");
    app.post(&path, json!({"data": text})).await.expect(201);
}

#[tokio::test]
async fn what_sockets_are_told_is_streamed_and_gone_on_with() {
    let app = TestApp::own(SETTINGS);
    let shop = Shop::open(&app, |_| {}).await;
    let ada = app.person().await;
    let records = channel(&shop);
    let query = format!("channel={records}&channel=log:1&channel=quiet:1");
    let mut stream = Events::open(events(&ada, &query)).await.ok().unwrap();
    for name in [records.as_str(), "log:1", "quiet:1"] {
        let begun = stream.data().await;
        assert_eq!(begun["channel"], name);
        assert_eq!(begun["subscribe"]["recovered"], false, "{begun}");
        assert_eq!(begun["subscribe"]["recoverable"], name != "quiet:1");
    }
    let ink = shop.make(&ada, json!({"title": "Ink"})).await;
    let made = stream.data().await;
    assert_eq!(
        told(&made["pub"]["data"]),
        ("enter".to_owned(), Some("Ink".to_owned()))
    );
    publish(&app, "log:1", "a").await;
    let (id, published) = stream.next().await.unwrap();
    assert_eq!(published["channel"], "log:1");
    assert_eq!(published["pub"]["data"], "a");
    publish(&app, "quiet:1", "b").await;
    let (same, quiet) = stream.next().await.unwrap();
    assert_eq!((quiet["pub"]["data"].as_str(), &same), (Some("b"), &id));
    drop(stream);
    // What comes while nobody listens is told afterwards, once.
    change(&ada, &shop, &ink, json!({"title": "Red ink"})).await;
    publish(&app, "log:1", "c").await;
    settle(app.database());
    let mut stream = Events::open(events(&ada, &query).header("last-event-id", &id))
        .await
        .ok()
        .unwrap();
    let begun = stream.data().await;
    assert_eq!(begun["subscribe"]["recovered"], true, "{begun}");
    assert_eq!(
        stream.data().await["pub"]["data"]["record"]["title"],
        "Red ink"
    );
    assert_eq!(stream.data().await["subscribe"]["recovered"], true);
    assert_eq!(stream.data().await["pub"]["data"], "c");
    assert_eq!(stream.data().await["subscribe"]["recoverable"], false);
    publish(&app, "log:1", "d").await;
    assert_eq!(stream.data().await["pub"]["data"], "d");
    // A list goes on as a stream, under a filter.
    let list = ada.get(&shop.records()).await.expect(200);
    let since = list.header("feed-position");
    let query = format!("channel={records}&since={since}&filter=price%20%3E%201");
    let mut filtered = Events::open(events(&ada, &query)).await.ok().unwrap();
    assert_eq!(filtered.data().await["subscribe"]["recovered"], true);
    shop.make(&ada, json!({"title": "Cheap", "price": 1})).await;
    shop.make(&ada, json!({"title": "Dear", "price": 2})).await;
    assert_eq!(
        filtered.data().await["pub"]["data"]["record"]["title"],
        "Dear"
    );
}

#[tokio::test]
async fn what_can_not_be_streamed_is_refused() {
    let app = TestApp::own(SETTINGS);
    let ada = app.person().await;
    let many = "channel=log:1,".to_owned() + &"log:2,".repeat(32);
    for (query, status, code) in [
        ("", 400, "invalid-query"),
        ("channel=", 404, "not-found"),
        (many.as_str(), 400, "invalid-query"),
        ("channel=nowhere:1", 404, "not-found"),
        ("channel=data:nowhere", 404, "not-found"),
        ("channel=user:somebody", 403, "rule-forbids"),
        ("channel=log:1&channel=log:1", 400, "invalid-query"),
        ("channel=log:1&filter=true", 400, "invalid-query"),
        (
            "channel=log:1&channel=log:2&filter=true",
            400,
            "invalid-query",
        ),
        ("channel=log:1&since=x", 400, "invalid-query"),
        (
            "channel=log:1&channel=log:2&since=a/1",
            400,
            "invalid-query",
        ),
        ("channel=log:1&token=x", 400, "invalid-query"),
        ("channel=log:1&ticket=x", 400, "bad-request"),
    ] {
        let refused = Events::open(events(&ada, query)).await.err().unwrap();
        refused.expect_problem(status, code);
    }
    let visitor = |path: &str| app.request("GET", path);
    let quiet = Events::open(visitor("/v1/events?channel=quiet:1")).await;
    quiet.err().unwrap().expect_problem(403, "rule-forbids");
    assert!(
        Events::open(visitor("/v1/events?channel=log:1"))
            .await
            .is_ok()
    );
    let foreign = visitor("/v1/events?channel=log:1").header("origin", "https://evil.example.com");
    let refused = Events::open(foreign).await.err().unwrap();
    refused.expect_problem(403, "origin-not-allowed");
    let page = visitor("/v1/events?channel=log:1").header("origin", "https://app.example.com");
    let stream = Events::open(page).await.ok().unwrap();
    let allowed = &stream.response.headers()["access-control-allow-origin"];
    assert_eq!(allowed, "https://app.example.com");
}

#[tokio::test]
async fn rt_01_a_ticket_opens_one_stream_and_dies_with_its_token() {
    let app = TestApp::own(SETTINGS);
    let ada = app.person().await;
    app.post("/v1/tickets", json!({}))
        .await
        .expect_problem(401, "authentication-required");
    let ticket = async || {
        let made = ada.request("POST", "/v1/tickets");
        let made = app.send(made).await.expect(201).json();
        assert_eq!(made["expires_in"], 30);
        made["ticket"].as_str().unwrap().to_owned()
    };
    let open = async |ticket: &str| {
        let path = format!("/v1/events?channel=quiet:1&ticket={ticket}");
        Events::open(app.request("GET", &path)).await
    };
    let first = ticket().await;
    let mut stream = open(&first).await.ok().unwrap();
    assert_eq!(stream.data().await["channel"], "quiet:1");
    for bad in [first.as_str(), "", "x", &format!("{}x", ticket().await)] {
        open(bad)
            .await
            .err()
            .unwrap()
            .expect_problem(401, "invalid-token");
    }
    // Twenty at once: one gets it.
    let contested = ticket().await;
    let tries = (0..20).map(|_| open(&contested));
    let opened = futures_util::future::join_all(tries).await;
    assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1);
    let old = ticket().await;
    query(
        app.database(),
        "update tickets set expires_at = expires_at - interval '31 s'",
    );
    open(&old)
        .await
        .err()
        .unwrap()
        .expect_problem(401, "invalid-token");
    // Nothing that is stored opens anything, or is a token.
    let kept = ticket().await;
    let stored = "select string_agg(encode(id, 'escape') || encode(token, 'escape'), '') as value from tickets";
    let stored = crate::harness::query_value(app.database(), stored);
    assert!(
        !stored.contains(&kept) && !stored.contains("eyJ"),
        "{stored}"
    );
    // Whoever signs out has no stream any more, and no ticket.
    ada.delete("/v1/sessions/current").await.expect(204);
    assert_eq!(stream.next().await, None);
    open(&kept)
        .await
        .err()
        .unwrap()
        .expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_the_replica() {
    let app = hs256_app();
    let ada = app.person().await;
    let forge = Forge::from(ada.access_token(), SECRET);
    let token = forge.claim("exp", json!(now() + 4)).sign();
    let path = format!("/v1/events?channel=user:{}", ada.id());
    let mut stream = Events::open(app.request("GET", &path).bearer_auth(token))
        .await
        .ok()
        .unwrap();
    let begun = stream.data().await;
    assert_eq!(begun["subscribe"]["recoverable"], true, "{begun}");
    assert_eq!(stream.next().await, None, "the token has run out");
    let mut stream = Events::open(ada.request("GET", &path)).await.ok().unwrap();
    stream.data().await;
    app.state().life.stop();
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn rt_09_wherever_the_line_breaks_nothing_is_missed_and_nothing_told_twice() {
    let app = TestApp::own(SETTINGS);
    let path = "/v1/events?channel=room:1&channel=log:1";
    let open = async |id: &str| {
        let request = app.request("GET", path).header("last-event-id", id);
        Events::open(request).await.ok().unwrap()
    };
    let mut stream = Events::open(app.request("GET", path)).await.ok().unwrap();
    stream.data().await;
    let (begun, _) = stream.next().await.unwrap();
    drop(stream);
    for number in 0..3 {
        publish(&app, "room:1", &format!("room {number}")).await;
        publish(&app, "log:1", &format!("log {number}")).await;
    }
    let all = ["room 0", "room 1", "room 2", "log 0", "log 1", "log 2"];
    // Cut after so many events, again and again.
    for pace in 1..8 {
        let (mut id, mut heard, mut tries) = (begun.clone(), Vec::new(), 0);
        while heard.len() < all.len() {
            tries += 1;
            assert!(tries < 20, "{pace}: {heard:?}");
            let mut stream = open(&id).await;
            let mut beginnings = 0;
            // A stream of which only a beginning is read would never come to more.
            let mut left = pace + 2;
            while left > 0 && heard.len() < all.len() {
                let (next, data) = stream.next().await.unwrap();
                id = next;
                left -= 1;
                if data.get("subscribe").is_some() {
                    assert_eq!(data["subscribe"]["recovered"], true, "{data}");
                    beginnings += 1;
                    assert!(beginnings <= 2);
                } else {
                    heard.push(data["pub"]["data"].as_str().unwrap().to_owned());
                }
            }
        }
        assert_eq!(heard, all, "{pace}");
    }
    // Of a place that nobody knows everybody is told.
    let mut lost = open("another/1,another/1").await;
    assert_eq!(lost.data().await["subscribe"]["recovered"], false);
}

#[tokio::test]
async fn rt_02_our_cookie_opens_a_stream_only_for_our_pages() {
    let app = TestApp::own(SETTINGS);
    let ada = app.person().await;
    let cookie = format!("tollgate_access={}", ada.access_token());
    let request = || {
        app.request("GET", "/v1/events?channel=quiet:1")
            .header("cookie", &cookie)
    };
    for refused in [
        request(),
        request().header("sec-fetch-site", "cross-site"),
        request().header("sec-fetch-site", "same-site"),
        request().header("origin", "https://evil.example.com"),
        request()
            .header("origin", "https://evil.example.com")
            .header("sec-fetch-site", "same-origin"),
    ] {
        let refused = Events::open(refused).await.err().unwrap();
        refused.expect_problem(403, "origin-not-allowed");
    }
    for allowed in [
        request().header("sec-fetch-site", "same-origin"),
        request()
            .header("origin", "https://app.example.com")
            .header("sec-fetch-site", "cross-site"),
    ] {
        let mut stream = Events::open(allowed).await.ok().unwrap();
        assert_eq!(stream.data().await["channel"], "quiet:1");
    }
}

#[tokio::test]
async fn a_look_at_a_stream_subscribes_nobody_and_a_token_needs_its_scopes() {
    let app = TestApp::own(SETTINGS);
    let ada = app.person().await;
    let made = app
        .send(ada.request("POST", "/v1/tickets"))
        .await
        .expect(201)
        .json();
    let path = format!(
        "/v1/events?channel=quiet:1&ticket={}",
        made["ticket"].as_str().unwrap()
    );
    app.send(app.request("HEAD", &path)).await.expect(405);
    assert!(Events::open(app.request("GET", &path)).await.is_ok());
    let narrow = app.user("account:read").await;
    for channel in ["quiet:1", "log:1", "data:orders"] {
        let refused = Events::open(events(&narrow, &format!("channel={channel}"))).await;
        refused
            .err()
            .unwrap()
            .expect_problem(403, "insufficient-scope");
    }
}
