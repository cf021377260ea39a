//! JSON Schema 2020-12 as others test it (JSON-Schema-Test-Suite), in declarations of collections.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde_json::{Value, json};
use tollgate::collections::{DATA, NAMED};

use crate::harness::{Person, Response, Shop, TestApp, vectors};

/// Collections that are declared and written to at the same time.
const SHOPS: usize = 4;

/// Where the schemas stand in a declaration.
const PLACE: &str = "#/properties/value";

/// Groups whose schemas are refused, so many of a file: a `reference` that doesn't begin with `#` leads out, also where an `$id`
/// would make it lead back in, and a `nul` can't be stored.
const REFUSED: [(&str, &str, usize); 13] = [
    ("anchor.json", "reference", 3),
    ("const.json", "nul", 1),
    ("defs.json", "reference", 1),
    ("dynamicRef.json", "reference", 17),
    ("enum.json", "nul", 1),
    ("optional/cross-draft.json", "reference", 1),
    ("optional/dynamicRef.json", "reference", 1),
    ("optional/id.json", "reference", 1),
    ("optional/unknownKeyword.json", "reference", 1),
    ("ref.json", "reference", 15),
    ("refRemote.json", "reference", 15),
    ("unevaluatedItems.json", "reference", 1),
    ("unevaluatedProperties.json", "reference", 1),
];

/// What the suite takes for granted where formats are told and not asserted; we assert all of them.
const UNASSERTED: (&str, usize) = ("is only an annotation by default", 19);

/// Instances that get another answer than the suite expects: file, test, and the status and code of the answer. A `number` has at
/// most 40 digits; a `nul` can't be stored; and other vocabularies than the standard's are not known.
const OTHERWISE: [(&str, &str, u64, &str); 11] = [
    (
        "multipleOf.json",
        "always invalid, but naive implementations may raise an overflow error",
        400,
        "number",
    ),
    (
        "vocabulary.json",
        "no validation: invalid number, but it still validates",
        422,
        "minimum",
    ),
    (
        "optional/bignum.json",
        "a bignum is an integer",
        400,
        "number",
    ),
    (
        "optional/bignum.json",
        "a negative bignum is an integer",
        400,
        "number",
    ),
    (
        "optional/bignum.json",
        "a bignum is a number",
        400,
        "number",
    ),
    (
        "optional/bignum.json",
        "a negative bignum is a number",
        400,
        "number",
    ),
    (
        "optional/bignum.json",
        "a bignum is not a string",
        400,
        "number",
    ),
    (
        "optional/float-overflow.json",
        "valid if optional overflow handling is implemented",
        400,
        "number",
    ),
    (
        "optional/format/date.json",
        "invalid: NUL character after an otherwise valid full-date",
        400,
        "nul",
    ),
    (
        "optional/format/ipv4.json",
        "additional content after an embedded NUL byte",
        400,
        "nul",
    ),
    (
        "optional/format/json-pointer.json",
        "valid JSON-pointer (control characters allowed after JSON unescaping)",
        400,
        "nul",
    ),
];

/// One group of the suite: a schema and what it is asked about.
struct Group {
    file: String,
    name: String,
    schema: Value,
    tests: Vec<Test>,
}

struct Test {
    name: String,
    instance: Value,
    is_valid: bool,
}

/// What became of a group.
#[derive(Default)]
struct Outcome {
    /// The code with which its schema was refused.
    refused: Option<String>,
    /// Tests with another answer than expected: the name, the status, the code.
    otherwise: Vec<(String, u64, String)>,
}

impl Group {
    fn read(file: &str, group: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tests = group["tests"].as_array().unwrap().iter();
        let tests = tests.map(|test| Test {
            name: text(&test["description"]),
            instance: test["data"].clone(),
            is_valid: test["valid"].as_bool().unwrap(),
        });
        Self {
            file: file.to_owned(),
            name: text(&group["description"]),
            schema: group["schema"].clone(),
            tests: tests.collect(),
        }
    }

    /// The schema of documents whose member `value` has the group's.
    fn declared(&self) -> Value {
        let mut schema = self.schema.clone();
        let mut whole = json!({"type": "object", "additionalProperties": false});
        // What is said of the whole stays with the whole.
        for keyword in ["$schema", "$id"] {
            if let Some(value) = schema.as_object_mut().and_then(|one| one.remove(keyword)) {
                whole[keyword] = value;
            }
        }
        shift(&mut schema);
        whole["properties"] = json!({"value": schema});
        whole
    }

    async fn declare(&self, shop: &Shop, type_name: &str) -> Response {
        let declaration = json!({
            "type_name": type_name, "schema": self.declared(), "rules": {"create": "true"},
        });
        let uri = format!("{}?force=true", shop.uri());
        shop.administrator().put(&uri, declaration).await
    }

    async fn run(&self, shop: &Shop, type_name: &str, ada: &Person) -> Outcome {
        let mut outcome = Outcome::default();
        let declared = self.declare(shop, type_name).await;
        if declared.status() != 200 {
            assert!(matches!(declared.status(), 400 | 422), "{}", self.name);
            let code = declared.at("/errors/0/code");
            outcome.refused = Some(code.as_str().unwrap().to_owned());
            return outcome;
        }
        let lines = self
            .tests
            .iter()
            .map(|test| json!({"value": test.instance}));
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        let request = ada
            .request("POST", &shop.records())
            .header("content-type", "application/x-ndjson")
            .body(lines);
        let answer = ada.app().send(request).await.expect(200).text();
        let reports: Vec<Value> = answer
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(reports.len(), self.tests.len(), "{}", self.name);
        for (test, report) in self.tests.iter().zip(&reports) {
            let expected = if test.is_valid { 201 } else { 422 };
            if report["status"] != expected {
                let code = report["errors"][0]["code"].as_str().unwrap_or_default();
                let status = report["status"].as_u64().unwrap();
                outcome
                    .otherwise
                    .push((test.name.clone(), status, code.to_owned()));
            }
        }
        outcome
    }
}

/// Lets pointers to the whole lead to where it stands now. What has an `$id` is a whole of its own.
fn shift(schema: &mut Value) {
    let members = match schema {
        Value::Object(members) if members.get("$id").is_none_or(|id| !id.is_string()) => members,
        Value::Array(items) => return items.iter_mut().for_each(shift),
        _ => return,
    };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("$ref" | "$dynamicRef", Value::String(reference)) => {
                if let Some(pointer) = reference.strip_prefix('#')
                    && (pointer.is_empty() || pointer.starts_with('/'))
                {
                    *reference = format!("{PLACE}{pointer}");
                }
            }
            (name, Value::Object(parts)) if NAMED.contains(&name) => {
                parts.values_mut().for_each(shift);
            }
            (name, _) if DATA.contains(&name) => {}
            (_, value) => shift(value),
        }
    }
}

/// Whether a reference of a schema doesn't begin with `#`.
fn leads_out(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(name, value)| match name.as_str() {
            "$ref" | "$dynamicRef" if value.is_string() => {
                !value.as_str().unwrap().starts_with('#')
            }
            name if DATA.contains(&name) => false,
            _ => leads_out(value),
        }),
        Value::Array(items) => items.iter().any(leads_out),
        _ => false,
    }
}

fn groups(folder: &Path) -> Vec<Group> {
    let mut groups = Vec::new();
    for below in ["", "optional/", "optional/format/"] {
        let entries = std::fs::read_dir(folder.join(below)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.strip_suffix(".json").is_some())
            .collect();
        names.sort();
        for name in names {
            let file = format!("{below}{name}");
            let text = std::fs::read_to_string(folder.join(&file)).unwrap();
            let read: Vec<Value> = serde_json::from_str(&text).unwrap();
            groups.extend(read.iter().map(|group| Group::read(&file, group)));
        }
    }
    groups
}

/// Brings each group to one of the collections; answers what became of them, in their order.
async fn run(app: &TestApp, groups: Arc<Vec<Group>>) -> Vec<Outcome> {
    let ada = app.person().await;
    let workers: Vec<_> = (0..SHOPS)
        .map(|worker| {
            let (app, ada, groups) = (app.clone(), ada.clone(), Arc::clone(&groups));
            tokio::spawn(async move {
                let shop = Shop::open(&app, |_| {}).await;
                let type_name = shop.declaration().await["type_name"].take();
                let mut outcomes = Vec::new();
                for (index, group) in groups.iter().enumerate().skip(worker).step_by(SHOPS) {
                    let outcome = group.run(&shop, type_name.as_str().unwrap(), &ada).await;
                    outcomes.push((index, outcome));
                }
                outcomes
            })
        })
        .collect();
    let mut outcomes = BTreeMap::new();
    for worker in workers {
        outcomes.extend(worker.await.unwrap());
    }
    outcomes.into_values().collect()
}

#[tokio::test]
async fn every_schema_of_the_suite_decides_as_it_must() {
    let Some(folder) = vectors("json-schema/tests/draft2020-12") else {
        return;
    };
    let groups = Arc::new(groups(&folder));
    let tests: usize = groups.iter().map(|group| group.tests.len()).sum();
    assert!(
        groups.len() > 450 && tests > 2_200,
        "{} {tests}",
        groups.len()
    );
    let outcomes = run(
        &TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]),
        Arc::clone(&groups),
    )
    .await;
    let mut refused: BTreeMap<_, usize> = BTreeMap::new();
    let mut otherwise = Vec::new();
    for (
        Group {
            file, name, schema, ..
        },
        outcome,
    ) in groups.iter().zip(&outcomes)
    {
        assert_eq!(
            outcome.refused.as_deref() == Some("reference"),
            leads_out(schema),
            "{file}: {name}"
        );
        if let Some(code) = outcome.refused.as_deref() {
            println!("refused: {file}: {name} ({code})");
            *refused.entry((file.as_str(), code)).or_default() += 1;
        }
        for (test, status, code) in &outcome.otherwise {
            println!("otherwise: {file}: {name}: {test} ({status} {code})");
            otherwise.push((file.as_str(), test.as_str(), *status, code.as_str()));
        }
    }
    let refused: Vec<_> = refused
        .into_iter()
        .map(|((file, code), count)| (file, code, count))
        .collect();
    assert_eq!(refused, REFUSED);
    let (unasserted, otherwise): (Vec<_>, Vec<_>) = otherwise
        .into_iter()
        .partition(|(_, test, ..)| test.ends_with(UNASSERTED.0));
    assert_eq!(unasserted.len(), UNASSERTED.1);
    for (_, test, status, code) in unasserted {
        assert_eq!((status, code), (422, "format"), "{test}");
    }
    assert_eq!(otherwise, OTHERWISE);
}
