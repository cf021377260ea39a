//! For rules, users and changes by chance: what is told is what lists before and after show.
//!
//! `PARITY_SEED` repeats a run, `PARITY_ROUNDS` prolongs it.
#![expect(
    clippy::print_stdout,
    reason = "what it prints tells how to repeat a run"
)]

mod follower;
mod story;
mod town;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use self::{
    follower::{Follower, State},
    story::Shape,
    town::Town,
};
use crate::{
    feed::settle,
    harness::{Person, Response, Shop},
    rules::{draw::Draw, seed, setting},
};

/// Deeds under the same rules.
const DEEDS: usize = 16;

/// What became of a record.
pub struct Changed {
    id: String,
    /// Since; of a deletion, one more than it had.
    version: i64,
    is_deleted: bool,
}

/// A collection and what is done to it.
struct Round<'a> {
    town: &'a Town,
    shop: &'a Shop,
    draw: &'a mut Draw,
    shape: Shape,
    people: Vec<String>,
    /// Versions of the records, and whether they are deleted.
    records: BTreeMap<String, (i64, bool)>,
    /// Their ids, in the order in which they were made: what is drawn must not depend on ids.
    ids: Vec<String>,
}

impl<'a> Round<'a> {
    /// Does something, and tells what changed by it, in order.
    async fn act(&mut self) -> Vec<Changed> {
        let town = self.town;
        let author = match self.draw.below(10) {
            0 => &town.ada,
            1 => &town.eve,
            _ => &town.clerk,
        };
        let makers = [&town.ada, &town.eve, &town.sam, &town.clerk];
        let maker = makers[self.draw.below(makers.len())];
        let document = self.shape.document(self.draw, &self.people);
        let document = Value::Object(document);
        let chosen = uuid::Uuid::now_v7().to_string();
        let kind = if self.ids.is_empty() {
            0
        } else {
            self.draw.below(20)
        };
        let id = match kind {
            0..5 => chosen,
            _ => self.known(),
        };
        let path = self.shop.record(&json!(id));
        let answer = match kind {
            0..4 => maker.post(&self.shop.records(), document).await,
            4 => maker.put(&path, document).await,
            5..9 => {
                let patch = self.shape.patch(self.draw, &self.people);
                author.patch(&path, patch).await
            }
            9..13 => author.put(&path, document).await,
            13..15 => author.delete(&path).await,
            15..18 => self.restore(author, &path).await,
            _ => return self.batch(document).await,
        };
        let status = answer.status();
        let record = if status == 204 {
            Value::Null
        } else {
            answer.json()
        };
        println!("  {kind}: {} {path}: {status}", author.email());
        assert!(status < 500, "{}", answer.text());
        self.changed(status, &id, &record).into_iter().collect()
    }

    async fn restore(&mut self, author: &Person, path: &str) -> Response {
        let versions = author.get(&format!("{path}/versions")).await;
        let items = versions.at("/items");
        let items = items.as_array().map_or(&[][..], Vec::as_slice);
        let version = match items.len() {
            0 => json!(1),
            length => items[self.draw.below(length)]["version"].clone(),
        };
        let restore = format!("{path}/versions/{version}/restore");
        author.app().send(author.request("POST", &restore)).await
    }

    /// Several writes of as many records, as one.
    async fn batch(&mut self, document: Value) -> Vec<Changed> {
        let collection = &self.shop.name;
        let (one, other) = (self.known(), self.known());
        let patch = self.shape.patch(self.draw, &self.people);
        let mut operations = vec![
            json!({"operation": "create", "collection": collection, "document": document}),
            json!({"operation": "update", "collection": collection, "id": one, "document": patch}),
        ];
        if one != other {
            let operation = json!({"operation": "delete", "collection": collection, "id": other});
            operations.insert(self.draw.below(3), operation);
        }
        let body = json!({"operations": operations});
        let answer = self.town.clerk.post("/v1/batch", body).await;
        println!("  batch: {}", answer.status());
        let outcomes = answer.at("/outcomes");
        let mut changed = Vec::new();
        for outcome in outcomes.as_array().into_iter().flatten() {
            let id = outcome["location"].as_str().unwrap().rsplit('/').next();
            let status = outcome["status"].as_u64().unwrap().try_into().unwrap();
            changed.extend(self.changed(status, id.unwrap(), &outcome["record"]));
        }
        changed
    }

    /// What an answer says that changed.
    fn changed(&mut self, status: u16, id: &str, record: &Value) -> Option<Changed> {
        let id = record["id"].as_str().unwrap_or(id).to_owned();
        let before = self.records.get(&id).map(|(version, _)| *version);
        let version = match status {
            204 => before.unwrap() + 1,
            200 | 201 => record["version"].as_i64().unwrap(),
            _ => return None,
        };
        if before == Some(version) {
            return None;
        }
        if before.is_none() {
            self.ids.push(id.clone());
        }
        let is_deleted = status == 204;
        self.records.insert(id.clone(), (version, is_deleted));
        Some(Changed {
            id,
            version,
            is_deleted,
        })
    }

    /// A record that was made; most of them are there still.
    fn known(&mut self) -> String {
        let mut tries = 0..4;
        loop {
            let id = &self.ids[self.draw.below(self.ids.len())];
            let (_, is_deleted) = self.records[id];
            if !is_deleted || tries.next().is_none() {
                return id.clone();
            }
        }
    }

    /// Declares by whom what is seen; unlike any declaration before.
    async fn declare(&mut self, number: usize) {
        let clerk = format!("auth.sub == '{}'", self.town.clerk.id());
        loop {
            let mut declaration = self.shop.declaration().await;
            declaration["schema"] = self.shape.schema(self.draw);
            let list = match self.draw.below(12) {
                0 => Value::Null,
                1 => json!(
                    self.draw
                        .one(&["true", "'staff' in auth.roles", "auth.level > 1"])
                ),
                _ => json!(format!("{} || {clerk}", self.shape.rule(self.draw))),
            };
            let read = format!("{} || {clerk}", self.shape.rule(self.draw));
            let delete = format!("true || record.version > {number}");
            declaration["rules"] =
                json!({"read": read, "create": "true", "update": "true", "delete": delete});
            if !list.is_null() {
                declaration["rules"]["list"] = list;
            }
            if self.shop.declare(&declaration).await.status() < 300 {
                println!("  declared: {declaration}");
                return;
            }
        }
    }

    /// Everybody who follows something, and how.
    fn followers(&mut self) -> Vec<Follower<'a>> {
        let town = self.town;
        let people = [
            ("clerk", &town.app, Some(&town.clerk)),
            ("ada", &town.app, Some(&town.ada)),
            ("eve", &town.other, Some(&town.eve)),
            ("sam", &town.other, Some(&town.sam)),
            ("visitor", &town.app, None),
        ];
        // Several are subscribed to the same.
        let filters = [self.shape.filter(self.draw), self.shape.filter(self.draw)];
        let mut followers = Vec::new();
        for index in 0..7 {
            let (who, app, person) = match index {
                0..5 => people[index],
                _ => people[1 + self.draw.below(4)],
            };
            let filter = match (index, self.draw.below(5)) {
                (1..5, number) => filters.get(number / 2).cloned(),
                _ => None,
            };
            let record = (index > 4).then(|| self.known());
            let name = format!("{index} {who} of {record:?} {filter:?}");
            println!("  {name}");
            followers.push(Follower {
                name,
                app,
                person,
                shop: self.shop,
                filter,
                record,
                state: State::default(),
            });
        }
        followers
    }

    /// What happens under the same rules.
    async fn play(&mut self, followers: &mut [Follower<'a>]) {
        for follower in &mut *followers {
            let goes_on = self.draw.percent(50);
            follower.begin(goes_on).await;
        }
        for _deed in 0..DEEDS {
            let changed = self.act().await;
            join_all(followers.iter_mut().map(|one| one.note(&changed))).await;
            for follower in &mut *followers {
                match self.draw.below(12) {
                    0 => follower.sleep(),
                    1 => {
                        settle(self.town.app.database());
                        follower.wake().await;
                    }
                    2..8 => follower.hear().await,
                    _ => {}
                }
            }
        }
        settle(self.town.app.database());
        for follower in followers {
            follower.hear().await;
            follower.wake().await;
            follower.compare().await;
            if self.draw.percent(30) {
                follower.sleep();
            }
        }
    }
}

/// How often what was told.
#[derive(Debug, Default)]
struct Tally {
    kinds: BTreeMap<String, usize>,
    /// Those who were told nothing at all.
    quiet: usize,
}

impl Tally {
    fn count(&mut self, follower: &Follower<'_>) {
        let heard = &follower.state.heard;
        self.quiet += usize::from(heard.is_empty());
        for (_, told) in heard {
            let kind = told["type"].as_str().unwrap().to_owned();
            *self.kinds.entry(kind).or_default() += 1;
        }
    }
}

/// A collection under two declarations after each other.
async fn round(town: &Town, draw: &mut Draw, tally: &mut Tally) {
    let shop = Shop::open(&town.app, |declaration| {
        declaration["schema"] = json!({"type": "object"});
        declaration["rules"] = json!({});
        declaration["history"] = json!(true);
    })
    .await;
    let mut round = Round {
        town,
        shop: &shop,
        shape: if draw.percent(50) {
            Shape::Open
        } else {
            Shape::Typed
        },
        people: town.ids(),
        draw,
        records: BTreeMap::new(),
        ids: Vec::new(),
    };
    let mut followers: Vec<Follower<'_>> = Vec::new();
    for number in 0..3 {
        round.declare(number).await;
        let made = round.ids.len();
        while round.ids.len() < (made + 1).max(4) {
            round.act().await;
        }
        settle(town.app.database());
        for follower in &mut followers {
            follower.end().await;
        }
        if number < 2 {
            followers = round.followers();
            round.play(&mut followers).await;
            followers.iter().for_each(|follower| tally.count(follower));
        }
    }
}

#[tokio::test]
async fn what_is_told_is_what_lists_before_and_after_show() {
    let seed = seed("PARITY_SEED");
    let rounds = setting("PARITY_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let town = Town::new().await;
    let (mut draw, mut tally) = (Draw::new(seed), Tally::default());
    for number in 0..rounds {
        println!("round {number} of PARITY_SEED={seed}");
        round(&town, &mut draw, &mut tally).await;
    }
    println!("{tally:?}");
    // A test in which nothing happens would prove little.
    for kind in ["enter", "update", "leave", "delete"] {
        assert!(tally.kinds.contains_key(kind), "{kind}: {tally:?}");
    }
    assert!(tally.quiet > 0, "{tally:?}");
}
