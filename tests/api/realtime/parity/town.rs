//! Who there is.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, TestApp};

const SETTINGS: &[(&str, &str)] = &[
    ("TOLLGATE_LIMITS__ENABLED", "false"),
    (
        "TOLLGATE_TOKENS__PRIVATE_CLAIMS",
        r#"{ level = "app_metadata.level", teams = "app_metadata.teams" }"#,
    ),
];

/// Everybody, on two replicas.
pub struct Town {
    pub app: TestApp,
    pub other: TestApp,
    /// Sees and changes everything.
    pub clerk: Person,
    pub ada: Person,
    pub eve: Person,
    pub sam: Person,
}

impl Town {
    pub async fn new() -> Self {
        let app = TestApp::own(SETTINGS);
        let other = app.replica(SETTINGS).unwrap();
        let clerk = app.administrator().await;
        let staff = json!({"name": "staff", "scopes": ["records:read", "records:write"]});
        clerk.post("/v1/roles", staff).await.expect(201);
        let (ada, eve, sam) = (app.person().await, app.person().await, app.person().await);
        let role = format!("/v1/users/{}/roles/staff", sam.id());
        clerk.put(&role, Value::Null).await.expect(204);
        for (person, metadata) in [
            (&eve, json!({"level": 1, "teams": ["a", "é"]})),
            (&sam, json!({"level": 2, "teams": []})),
        ] {
            let path = format!("/v1/users/{}", person.id());
            let patch = json!({"app_metadata": metadata});
            clerk.patch(&path, patch).await.expect(200);
        }
        let there = |person: &Person| {
            let (other, email) = (other.clone(), person.email().to_owned());
            async move { Person::sign_in(&other, &email, PASSWORD, None).await }
        };
        let (eve, sam) = (there(&eve).await, there(&sam).await);
        Self {
            app,
            other,
            clerk,
            ada,
            eve,
            sam,
        }
    }

    /// The users' ids.
    pub fn ids(&self) -> Vec<String> {
        let people = [&self.ada, &self.eve, &self.sam].into_iter();
        people.map(|person| person.id().to_owned()).collect()
    }
}
