//! Somebody who is told what becomes of what they see, and who looks for themselves.

use std::collections::{BTreeMap, VecDeque};

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::Changed;
use crate::harness::{Heard, Person, Shop, Socket, TestApp};

/// What is seen, by id.
type Seen = BTreeMap<String, Value>;

/// A subscription, and what it has to tell.
pub struct Follower<'a> {
    /// Who it is, and what of.
    pub name: String,
    pub app: &'a TestApp,
    /// Without one, a visitor.
    pub person: Option<&'a Person>,
    pub shop: &'a Shop,
    pub filter: Option<String>,
    /// Follows this one only.
    pub record: Option<String>,
    pub state: State,
}

/// How far they are.
#[derive(Default)]
pub struct State {
    socket: Option<Socket>,
    is_refused: bool,
    /// As they looked last.
    seen: Seen,
    epoch: String,
    begun: i64,
    offset: i64,
    /// What looking has shown, and was not told yet.
    expected: VecDeque<Value>,
    pub heard: Vec<(i64, Value)>,
}

impl Follower<'_> {
    fn channel(&self) -> String {
        let record = self.record.iter().map(|id| format!(":{id}"));
        format!("data:{}{}", self.shop.name, record.collect::<String>())
    }

    fn request(&self, path: &str) -> RequestBuilder {
        match self.person {
            Some(person) => person.request("GET", path),
            None => self.app.request("GET", path),
        }
    }

    /// What they see, and where the feed was; or why they see nothing.
    async fn look(&self) -> Result<(Seen, String), u16> {
        if let Some(id) = &self.record {
            let answer = self.app.send(self.request(&self.shop.record(&json!(id))));
            let answer = answer.await;
            if answer.status() == 404 {
                return Ok((Seen::new(), String::new()));
            }
            let record = answer.expect(200).json();
            return Ok((Seen::from([(id.clone(), record)]), String::new()));
        }
        let mut request = self
            .request(&self.shop.records())
            .query(&[("limit", "200")]);
        if let Some(filter) = &self.filter {
            request = request.query(&[("filter", filter)]);
        }
        let page = self.app.send(request).await;
        if page.status() == 400 {
            return Err(400);
        }
        let page = page.expect(200);
        assert_eq!(page.at("/next_cursor"), Value::Null);
        let position = page.header("feed-position").to_owned();
        let items = page.at("/items");
        let items = items.as_array().unwrap().iter();
        let seen = items.map(|item| (item["id"].as_str().unwrap().to_owned(), item.clone()));
        Ok((seen.collect(), position))
    }

    async fn connect(&self) -> Socket {
        match self.person {
            Some(person) => Socket::of(person).await,
            None => {
                let mut socket = Socket::open(self.app, &[]).await.unwrap();
                socket.ask(json!({"connect": {}})).await;
                socket
            }
        }
    }

    /// Looks, and subscribes: from what was seen on, or from now on. Nothing changes meanwhile.
    pub async fn begin(&mut self, goes_on: bool) {
        self.state = State::default();
        let looked = self.look().await;
        let mut more = json!({});
        match &looked {
            Ok((_, position)) if goes_on && !position.is_empty() => {
                let (epoch, offset) = position.split_once('/').unwrap();
                let offset: i64 = offset.parse().unwrap();
                more = json!({"recover": true, "epoch": epoch, "offset": offset});
            }
            _ => {}
        }
        let (socket, answer) = self.subscribe(more).await;
        let (code, subscribed) = (&answer["error"]["code"], &answer["subscribe"]);
        match looked {
            Err(_) => assert_eq!(code, 107, "{}: {answer}", self.name),
            Ok((seen, _)) if code == 103 => assert_eq!(seen, Seen::new(), "{}", self.name),
            Ok((seen, _)) => {
                assert_eq!(
                    subscribed["publications"],
                    json!([]),
                    "{}: {answer}",
                    self.name
                );
                self.state.seen = seen;
                self.state.epoch = subscribed["epoch"].as_str().unwrap().to_owned();
                self.state.offset = subscribed["offset"].as_i64().unwrap();
                self.state.begun = self.state.offset;
                self.state.socket = Some(socket);
            }
        }
        self.state.is_refused = self.state.socket.is_none();
    }

    async fn subscribe(&self, mut more: Value) -> (Socket, Value) {
        let mut socket = self.connect().await;
        if let Some(filter) = &self.filter {
            more["data"] = json!({"filter": filter});
        }
        let answer = socket.subscribe(&self.channel(), more).await;
        (socket, answer)
    }

    /// Looks what has changed for them: that is to be told.
    pub async fn note(&mut self, changed: &[Changed]) {
        let Ok((seen, _)) = self.look().await else {
            assert!(self.state.is_refused, "{}", self.name);
            return;
        };
        if self.state.is_refused {
            assert_eq!(seen, Seen::new(), "{}", self.name);
            return;
        }
        let before = std::mem::replace(&mut self.state.seen, seen);
        let mut others = before.clone();
        for Changed {
            id,
            version,
            is_deleted,
        } in changed
        {
            let since = self.state.seen.get(id);
            others.remove(id);
            others.extend(since.map(|record| (id.clone(), record.clone())));
            let kind = match (before.contains_key(id), since.is_some()) {
                (false, false) => continue,
                (false, true) => "enter",
                (true, true) => "update",
                (true, false) if *is_deleted => "delete",
                (true, false) => "leave",
            };
            let mut told = json!({"type": kind, "id": id, "version": version});
            if let Some(record) = since {
                told["record"] = record.clone();
            }
            self.state.expected.push_back(told);
        }
        assert_eq!(
            others, self.state.seen,
            "{}: what nobody changed",
            self.name
        );
    }

    /// Hears all that there is to be told.
    pub async fn hear(&mut self) {
        let channel = self.channel();
        while let (Some(expected), Some(socket)) =
            (self.state.expected.front(), &mut self.state.socket)
        {
            println!(
                "  {} waits: {} {}",
                self.name, expected["type"], expected["id"]
            );
            let (data, place) = socket.publication(&channel).await;
            self.take(data, place);
        }
    }

    fn take(&mut self, data: Value, place: i64) {
        let expected = self.state.expected.pop_front();
        assert_eq!(
            Some(&data),
            expected.as_ref(),
            "{}: told, expected",
            self.name
        );
        assert!(place > self.state.offset, "{}: {place}", self.name);
        self.state.offset = place;
        self.state.heard.push((place, data));
    }

    /// Cuts the line.
    pub fn sleep(&mut self) {
        self.state.socket = None;
    }

    /// Comes back, where they have slept: whatever came meanwhile has its position.
    pub async fn wake(&mut self) {
        if self.state.is_refused || self.state.socket.is_some() {
            return;
        }
        let (socket, answer) = self.resume().await;
        let resumed = &answer["subscribe"];
        assert_eq!(resumed["recovered"], true, "{}: {answer}", self.name);
        for publication in resumed["publications"].as_array().unwrap() {
            let place = publication["offset"].as_i64().unwrap();
            self.take(publication["data"].clone(), place);
        }
        let missed = &self.state.expected;
        assert!(missed.is_empty(), "{}: not told: {missed:?}", self.name);
        self.state.socket = Some(socket);
    }

    async fn resume(&self) -> (Socket, Value) {
        let State { epoch, offset, .. } = &self.state;
        let place = json!({"recover": true, "epoch": epoch, "offset": offset});
        self.subscribe(place).await
    }

    /// Other rules hold, and something has changed since: they are told nothing but that.
    pub async fn end(&mut self) {
        if self.state.is_refused {
            return;
        }
        let Some(mut socket) = self.state.socket.take() else {
            let (_, answer) = self.resume().await;
            assert_ne!(
                answer["subscribe"]["recovered"], true,
                "{}: {answer}",
                self.name
            );
            return;
        };
        let Heard::Line(ended) = socket.hear().await else {
            panic!("{}: closed", self.name);
        };
        assert_eq!(
            ended["push"]["unsubscribe"]["code"], 2500,
            "{}: {ended}",
            self.name
        );
    }

    /// Whoever asks is told the same as who is told unasked.
    pub async fn compare(&self) {
        if self.state.is_refused || self.record.is_some() {
            return;
        }
        let epoch = self.state.epoch.split('-').next().unwrap();
        let place = |number: i64| format!("{epoch}/{number}");
        let (mut since, mut asked) = (place(self.state.begun), Vec::new());
        loop {
            let mut request = self.request("/v1/changes").query(&[
                ("since", since.as_str()),
                ("collection", &self.shop.name),
                ("limit", "20"),
            ]);
            if let Some(filter) = &self.filter {
                request = request.query(&[("filter", filter)]);
            }
            let answer = self.app.send(request).await.expect(200).json();
            asked.extend(answer["items"].as_array().unwrap().iter().cloned());
            since = answer["position"].as_str().unwrap().to_owned();
            if answer["more"] == false {
                break;
            }
        }
        let told = self.state.heard.iter().map(|(offset, data)| {
            let mut told = data.clone();
            told["position"] = json!(place(*offset));
            told["collection"] = json!(self.shop.name);
            told
        });
        assert_eq!(
            asked,
            told.collect::<Vec<_>>(),
            "{}: asked, told",
            self.name
        );
    }
}
