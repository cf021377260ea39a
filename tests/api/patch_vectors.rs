//! RFC 6902 as others test it (json-patch-tests), on records.

use serde_json::{Value, json};

use crate::harness::{Person, Response, Shop, TestApp, vectors};

/// What the settings of records refuse though JSON Patch allows it: the case, and the code of the refusal.
const REFUSED: [(&str, &str); 1] = [
    // A record is an object.
    (
        "tests.json 11: replace object document with array document?",
        "type",
    ),
];

/// One case, as it is or as the member `value` of a document.
struct Case {
    name: String,
    document: Value,
    patch: Value,
    /// `None` where it must be refused.
    expected: Option<Value>,
}

impl Case {
    /// The same one level down.
    fn wrapped(&self) -> Self {
        let mut patch = self.patch.clone();
        for step in patch.as_array_mut().into_iter().flatten() {
            for name in ["path", "from"] {
                // What is no pointer stays none.
                if let Some(Value::String(pointer)) = step.get_mut(name)
                    && (pointer.is_empty() || pointer.starts_with('/'))
                {
                    pointer.insert_str(0, "/value");
                }
            }
        }
        Self {
            name: format!("{} (as a member)", self.name),
            document: json!({"value": self.document}),
            patch,
            expected: self.expected.as_ref().map(|value| json!({"value": value})),
        }
    }

    async fn run(&self, shop: &Shop, ada: &Person, refused: &mut Vec<(String, String)>) {
        let name = &self.name;
        let made = shop.make(ada, self.document.clone()).await;
        assert_eq!(document(&made), self.document, "{name}");
        let path = shop.record(&made["id"]);
        let patched = patch(ada, &path, &self.patch).await;
        let read = ada.get(&path).await.expect(200).json();
        match &self.expected {
            Some(expected) if patched.status() == 200 => {
                assert_eq!(document(&patched.json()), *expected, "{name}");
                assert_eq!(patched.json(), read, "{name}");
            }
            expected => {
                let status = patched.status();
                assert!(matches!(status, 409 | 422), "{name}: {patched:?}");
                let problem = patched.expect(status);
                assert_eq!(read, made, "{name}: it is as it was");
                if expected.is_some() {
                    let code = problem.at("/errors/0/code");
                    refused.push((name.clone(), code.as_str().unwrap().to_owned()));
                }
            }
        }
    }
}

async fn patch(person: &Person, path: &str, patch: &Value) -> Response {
    let request = person
        .request("PATCH", path)
        .header("content-type", "application/json-patch+json")
        .body(patch.to_string());
    person.app().send(request).await
}

/// A record without the members that the server keeps.
fn document(record: &Value) -> Value {
    let mut members = record.as_object().unwrap().clone();
    for kept in ["id", "owner", "version", "created_at", "updated_at"] {
        assert!(members.remove(kept).is_some(), "{kept}");
    }
    Value::Object(members)
}

/// The cases of a file that are not disabled.
fn cases_of(folder: &std::path::Path, file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let cases = cases.into_iter().enumerate();
    cases
        .filter(|(_, case)| case["disabled"] != true)
        .map(|(index, mut case)| {
            assert_ne!(case.get("expected").is_some(), case.get("error").is_some());
            let comment = case["comment"].as_str().unwrap_or_default();
            Case {
                name: format!("{file} {index}: {comment}"),
                expected: case.get("expected").cloned(),
                document: case["doc"].take(),
                patch: case["patch"].take(),
            }
        })
        .collect()
}

#[tokio::test]
async fn every_case_of_rfc_6902_holds_on_a_record() {
    let Some(folder) = vectors("json-patch") else {
        return;
    };
    let app = TestApp::own(&[("TOLLGATE_LIMITS__ENABLED", "false")]);
    let shop = Shop::open(&app, |declaration| {
        declaration["schema"] = json!({"type": "object"});
        declaration["rules"] = json!({"read": "true", "create": "true", "update": "true"});
    })
    .await;
    let ada = app.person().await;
    let mut cases = cases_of(&folder, "tests.json");
    cases.extend(cases_of(&folder, "spec_tests.json"));
    assert!(cases.len() > 100, "{}", cases.len());
    let mut refused = Vec::new();
    for case in &cases {
        if case.document.is_object() {
            case.run(&shop, &ada, &mut refused).await;
        }
        case.wrapped().run(&shop, &ada, &mut refused).await;
    }
    let expected = REFUSED.map(|(name, code)| (name.to_owned(), code.to_owned()));
    assert_eq!(refused, expected);
}
