//! Copies that are kept by a list and the changes since: in the end they are the list.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use super::{LIMITLESS, changes, number};
use crate::harness::{Person, Shop, TestApp};

/// What somebody does.
#[derive(Clone, Debug)]
enum Deed {
    Make(u32, bool),
    Replace(usize, u32, bool),
    Patch(usize, u32),
    Delete(usize),
    /// Somebody's copy reads a page of changes.
    Read(usize),
    /// Somebody lists anew.
    List(usize),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        3 => (0..20_u32, any::<bool>()).prop_map(|(price, open)| Deed::Make(price, open)),
        4 => (0..100_usize, 0..20_u32, any::<bool>()).prop_map(|(one, price, open)| Deed::Replace(one, price, open)),
        3 => (0..100_usize, 0..20_u32).prop_map(|(one, price)| Deed::Patch(one, price)),
        2 => (0..100_usize).prop_map(Deed::Delete),
        4 => (0..4_usize).prop_map(Deed::Read),
        1 => (0..4_usize).prop_map(Deed::List),
    ];
    prop::collection::vec(deed, 80)
}

/// A copy of what a person's list holds under a filter.
struct Copy<'a> {
    person: &'a Person,
    shop: &'a Shop,
    filter: Option<&'static str>,
    records: BTreeMap<String, Value>,
    position: String,
}

impl Copy<'_> {
    async fn listed(&self, limit: &str) -> (BTreeMap<String, Value>, String) {
        let (mut records, mut position, mut cursor) = (BTreeMap::new(), None, None::<String>);
        loop {
            let mut request = self
                .person
                .request("GET", &self.shop.records())
                .query(&[("limit", limit)]);
            if let Some(filter) = self.filter {
                request = request.query(&[("filter", filter)]);
            }
            if let Some(cursor) = cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let page = self.person.app().send(request).await.expect(200);
            // Of the first page: what changed while the others were read comes once more.
            let at = page.header("feed-position").to_owned();
            assert!(at.contains('/'), "{:?}", page.headers());
            position.get_or_insert(at);
            for record in page.at("/items").as_array().unwrap() {
                let id = record["id"].as_str().unwrap().to_owned();
                records.insert(id, record.clone());
            }
            cursor = page.at("/next_cursor").as_str().map(str::to_owned);
            if cursor.is_none() {
                return (records, position.unwrap());
            }
        }
    }

    async fn list(&mut self) {
        (self.records, self.position) = self.listed("3").await;
    }

    /// Reads a page of changes; tells whether there is more.
    async fn read(&mut self) -> bool {
        let mut asked = vec![
            ("since", self.position.as_str()),
            ("limit", "4"),
            ("collection", self.shop.name.as_str()),
        ];
        asked.extend(self.filter.map(|filter| ("filter", filter)));
        let answer = changes(self.person, &asked).await.expect(200).json();
        for item in answer["items"].as_array().unwrap() {
            let (id, version) = (item["id"].as_str().unwrap(), item["version"].as_i64());
            let known = self
                .records
                .get(id)
                .map(|record| record["version"].as_i64());
            match item["type"].as_str().unwrap() {
                "enter" | "update" => {
                    if known.is_none_or(|known| known < version) {
                        self.records.insert(id.to_owned(), item["record"].clone());
                    }
                }
                "leave" | "delete" => {
                    if known.is_some_and(|known| known < version) {
                        self.records.remove(id);
                    }
                }
                other => panic!("{other}"),
            }
        }
        let position = answer["position"].as_str().unwrap().to_owned();
        assert!(number(&position) >= number(&self.position));
        self.position = position;
        answer["more"] == true
    }
}

#[tokio::test]
async fn a_list_and_the_changes_since_are_the_list() {
    let app = TestApp::own(LIMITLESS);
    let other = app.replica(LIMITLESS).unwrap();
    let mut runner = TestRunner::new(Config::default());
    for _round in 0..12 {
        let shop = Shop::open(&app, |declaration| {
            let shown = json!("record.owner == auth.sub || record.status == 'open'");
            declaration["rules"]["list"] = shown.clone();
            declaration["rules"]["read"] = shown;
            declaration["rules"]["update"] = json!("true");
            declaration["rules"]["delete"] = json!("true");
        })
        .await;
        let (ada, eve) = (app.person().await, app.person().await);
        let there = Person::sign_in(&other, eve.email(), crate::harness::PASSWORD, None).await;
        let filters = [
            None,
            Some("price >= 10"),
            None,
            Some("price < 7 && status == 'open'"),
        ];
        let mut copies = Vec::new();
        for (person, filter) in [&ada, &ada, &there, &there].into_iter().zip(filters) {
            let mut copy = Copy {
                person,
                shop: &shop,
                filter,
                records: BTreeMap::new(),
                position: String::new(),
            };
            copy.list().await;
            copies.push(copy);
        }
        let deeds = deeds().new_tree(&mut runner).unwrap().current();
        let mut ids: Vec<Value> = Vec::new();
        for (index, deed) in deeds.iter().enumerate() {
            let person = if index % 2 == 0 { &ada } else { &eve };
            let document = |price: u32, open: bool| json!({"title": "t", "price": price, "status": if open { "open" } else { "paid" }});
            let record = |one: usize| (!ids.is_empty()).then(|| shop.record(&ids[one % ids.len()]));
            match *deed {
                Deed::Make(price, open) => {
                    let made = shop.make(person, document(price, open)).await;
                    ids.push(made["id"].clone());
                }
                Deed::Replace(one, price, open) => {
                    if let Some(record) = record(one) {
                        person.put(&record, document(price, open)).await;
                    }
                }
                Deed::Patch(one, price) => {
                    if let Some(record) = record(one) {
                        person.patch(&record, json!({"price": price})).await;
                    }
                }
                Deed::Delete(one) => {
                    if let Some(record) = record(one) {
                        person.delete(&record).await;
                    }
                }
                Deed::Read(one) => {
                    copies[one].read().await;
                }
                Deed::List(one) => copies[one].list().await,
            }
        }
        super::settle(app.database());
        for copy in &mut copies {
            while copy.read().await {}
            let (listed, _) = copy.listed("200").await;
            assert_eq!(copy.records, listed, "{:?} of {deeds:?}", copy.filter);
        }
    }
}
