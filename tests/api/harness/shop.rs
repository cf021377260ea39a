//! A collection of a test's own, and what people do with its records.

use serde_json::{Value, json};

use super::{Person, Response, TestApp};

/// A declared collection of a name that no other test has.
pub struct Shop {
    /// Its name.
    pub name: String,
    administrator: Person,
}

/// An ordinary declaration: everybody has their own.
pub fn own_things(type_name: &str) -> Value {
    json!({
        "type_name": type_name,
        "schema": {
            "type": "object", "required": ["title"], "additionalProperties": false,
            "properties": {
                "title": {"type": "string", "maxLength": 200},
                "price": {"type": "number", "minimum": 0},
                "status": {"enum": ["open", "paid", "sent"]},
                "due": {"type": "string", "format": "date-time"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
        },
        "rules": {
            "list": "record.owner == auth.sub",
            "read": "record.owner == auth.sub || 'staff' in auth.roles",
            "create": "auth.sub != null",
            "update": "record.owner == auth.sub && (record.status == null || record.status != 'sent')",
            "delete": "record.owner == auth.sub",
        },
    })
}

impl Shop {
    /// Declares a collection; `change` may change the declaration before.
    pub async fn open(app: &TestApp, change: impl FnOnce(&mut Value)) -> Self {
        let number = uuid::Uuid::now_v7().simple().to_string();
        let mut declaration = own_things(&format!("Thing{number}"));
        change(&mut declaration);
        let shop = Self {
            name: format!("things_{number}"),
            administrator: app.administrator().await,
        };
        shop.declare(&declaration).await.expect(201);
        shop
    }

    /// Declares it, once more.
    pub async fn declare(&self, declaration: &Value) -> Response {
        let request = self.administrator.request("PUT", &self.uri());
        self.administrator
            .app()
            .send(request.json(declaration))
            .await
    }

    /// What is declared.
    pub async fn declaration(&self) -> Value {
        let mut read = self.administrator.get(&self.uri()).await.expect(200).json();
        for kept in [
            "name",
            "version",
            "index_states",
            "created_at",
            "updated_at",
        ] {
            read.as_object_mut().unwrap().remove(kept);
        }
        read
    }

    /// Where it is declared.
    pub fn uri(&self) -> String {
        format!("/v1/collections/{}", self.name)
    }

    /// Where its records are.
    pub fn records(&self) -> String {
        format!("/v1/data/{}", self.name)
    }

    /// Where one of its records is.
    pub fn record(&self, id: &Value) -> String {
        format!("{}/{}", self.records(), id.as_str().unwrap())
    }

    /// Makes a record as somebody; answers it.
    pub async fn make(&self, person: &Person, document: Value) -> Value {
        let made = person.post(&self.records(), document).await;
        made.expect(201).json()
    }

    /// The administrator who declared it.
    pub fn administrator(&self) -> &Person {
        &self.administrator
    }
}
