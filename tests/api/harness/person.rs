//! Somebody who is signed in.

use serde_json::{Value, json};

use super::{Response, TestApp};

#[derive(Clone)]
pub struct Person {
    app: TestApp,
    email: String,
    id: String,
    pair: Value,
}

impl Person {
    /// Signs in, asking for `scope` only when given.
    pub async fn sign_in(app: &TestApp, email: &str, password: &str, scope: Option<&str>) -> Self {
        let mut body = json!({"email": email, "password": password});
        if let Some(scope) = scope {
            body["scope"] = scope.into();
        }
        let pair = app.post("/v1/sessions", body).await.expect(201).json();
        Self::with_pair(app, email, pair)
    }

    /// Somebody who has signed in.
    pub fn with_pair(app: &TestApp, email: &str, pair: Value) -> Self {
        let claims = super::decode_part(pair["access_token"].as_str().unwrap(), 1);
        Self {
            app: app.clone(),
            email: email.to_owned(),
            id: claims["sub"].as_str().unwrap().to_owned(),
            pair,
        }
    }

    /// The same person on another device.
    pub async fn another_device(&self) -> Self {
        Self::sign_in(&self.app, &self.email, super::PASSWORD, None).await
    }

    pub fn email(&self) -> &str {
        &self.email
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn session_id(&self) -> &str {
        self.pair["session_id"].as_str().unwrap()
    }

    pub fn access_token(&self) -> &str {
        self.pair["access_token"].as_str().unwrap()
    }

    pub fn refresh_token(&self) -> &str {
        self.pair["refresh_token"].as_str().unwrap()
    }

    pub fn pair(&self) -> &Value {
        &self.pair
    }

    pub fn app(&self) -> &TestApp {
        &self.app
    }

    /// A request with the person's token.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.app
            .request(method, path)
            .bearer_auth(self.access_token())
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.app.send(request).await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.send("POST", path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Response {
        self.send("PUT", path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Response {
        self.send("PATCH", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, None).await
    }

    pub async fn refresh(&self) -> Response {
        self.app
            .post("/v1/tokens", json!({"refresh_token": self.refresh_token()}))
            .await
    }
}
