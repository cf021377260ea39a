//! What the tests stand on: a Postgres of their own, servers in this process, people who use them.

mod browser;
mod clients;
mod person;
mod postgres;
mod process;
mod provider;
mod shop;
mod site;
mod socket;
mod tokens;
mod vectors;

use std::{
    net::TcpListener,
    sync::{Arc, LazyLock, mpsc},
};

use actix_web::{dev::ServerHandle, web::Data};
use diesel::{Connection, PgConnection};
use reqwest::{Method, RequestBuilder, redirect::Policy};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tollgate::{
    app::{self, AppState},
    audit::Actor,
    clients::Registry,
    config::Config,
    db::Db,
    jobs, sessions,
    start::{self, Database},
};

pub use browser::{Answer, Browser, ISSUER, hidden};
pub use clients::{
    ACCESS_TOKEN_TYPE, App, CALLBACK, CHALLENGE, DEVICE_GRANT, EXCHANGE_GRANT, Key, asserted,
    challenge_of, encoded, now, text, use_bearer, verified, with,
};
pub use person::Person;
pub use postgres::{
    create_collated_database, create_database, create_empty_database, drop_connections, query,
    query_value,
};
pub use process::{Process, directory, run};
pub use provider::{Provider, sign};
pub use shop::{Shop, own_things};
pub use site::{Page, Site};
pub use socket::{Heard, Socket};
pub use tokens::{Forge, decode_part};
pub use vectors::vectors;

/// A password that nobody tries first.
pub const PASSWORD: &str = "correct horse battery staple";

/// A master key for tests.
pub const MASTER_KEY: &str = "dGVzdHMgdXNlIHRoaXMga2V5LCBub2JvZHkgZWxzZSE=";

/// A running server with a database of its own.
#[derive(Clone)]
pub struct TestApp(Arc<Inner>);

struct Inner {
    address: String,
    database: String,
    administrator_password: String,
    /// The pair of the first administrator, without the app, which would keep itself alive.
    administrator: OnceCell<Value>,
    state: Data<AppState>,
    server: ServerHandle,
}

impl Drop for Inner {
    /// Stops the server, so that tests that are over hold no connections.
    fn drop(&mut self) {
        drop(self.server.stop(false));
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Vec<u8>,
}

impl Response {
    pub async fn read(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    pub fn headers(&self) -> &reqwest::header::HeaderMap {
        &self.headers
    }

    /// Whether `Vary` names a header.
    pub fn varies_by(&self, name: &str) -> bool {
        let values = self.headers.get_all("vary").iter();
        values
            .flat_map(|value| value.to_str().unwrap().split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(name))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// One member of the body, by JSON Pointer.
    pub fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    /// Asserts the status and that an error has the problem body that its status promises.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        if status >= 400 && self.header("content-type") == "application/json" {
            // As OAuth endpoints say it (RFC 6749 section 5.2).
            assert!(self.at("/error").is_string(), "{}", self.text());
        } else if status >= 400 && !self.body.is_empty() {
            assert_eq!(self.header("content-type"), "application/problem+json");
            assert_eq!(self.at("/status"), status);
            assert_eq!(self.at("/instance"), self.header("x-request-id"));
        }
        self
    }

    /// Asserts which problem it is.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let response = self.expect(status);
        if response.header("content-type") == "application/json" {
            let error = code
                .replace('-', "_")
                .replace("authentication_required", "invalid_token")
                .replace("not_found", "invalid_request");
            assert_eq!(response.at("/error"), error);
            return response;
        }
        let kind = response.at("/type");
        assert!(
            kind.as_str()
                .unwrap()
                .ends_with(&format!("/problems/{code}")),
            "{kind} is not {code}"
        );
        response
    }
}

static SHARED: LazyLock<TestApp> =
    LazyLock::new(|| TestApp::start(&[("TOLLGATE_LIMITS__ENABLED", "false")]));

/// A client of its own for each test's runtime; without roots to trust, which would be read anew each time.
pub fn client() -> reqwest::Client {
    plain().build().unwrap()
}

/// The same that shows redirects as they are.
pub fn client_without_redirects() -> reqwest::Client {
    plain().redirect(Policy::none()).build().unwrap()
}

fn plain() -> reqwest::ClientBuilder {
    reqwest::Client::builder().tls_certs_only([])
}

impl TestApp {
    /// The server that tests share which make their own people.
    pub fn shared() -> Self {
        SHARED.clone()
    }

    /// A server of one's own, with a new database and the given environment.
    pub fn own(environment: &[(&str, &str)]) -> Self {
        Self::start(environment)
    }

    fn start(environment: &[(&str, &str)]) -> Self {
        Self::on_database(&create_database(), environment).unwrap()
    }

    /// Another replica on the same database.
    pub fn replica(&self, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::on_database(&self.0.database, environment)
    }

    /// A server on a given database.
    pub fn on_database(database: &str, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let defaults = [
            ("TOLLGATE_MASTER_KEY", MASTER_KEY),
            ("TOLLGATE_ISSUER", "http://localhost:8080"),
            ("TOLLGATE_CORS__ALLOWED_ORIGINS", "[]"),
            ("TOLLGATE_TOKENS__ACCESS_LIFETIME", "1h"),
            ("TOLLGATE_PASSWORDS__QUEUE", "1000"),
        ];
        let pairs = defaults
            .iter()
            .chain(environment)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = Config::from_sources("", pairs)?;
        let url = SecretString::from(database);
        let (tokens, administrator) = start::first_start(
            &config,
            config.server.issuer.as_deref().unwrap_or_default(),
            &Database {
                url,
                direct_url: None,
                private: None,
            },
        )?;
        let administrator_password = administrator.unwrap_or_default();
        let db = Db::new(database, 6, config.database.statement_cache)?;
        let uses = jobs::acknowledge(db.clone(), tokens.clone());
        let clients = Registry::default();
        clients.follow(&mut PgConnection::establish(database)?)?;
        let following = jobs::follow(
            SecretString::from(database),
            db.clone(),
            tokens.clone(),
            clients.clone(),
        );
        let building = jobs::build_indexes(db.clone(), SecretString::from(database));
        let state = Data::new(AppState::new(config, db, tokens, clients)?);
        let sequencing = jobs::follow_feed(SecretString::from(database), state.feed.clone());
        let (channels, hub) = (state.channels.clone(), state.hub.clone());
        let hearing = jobs::follow_channels(SecretString::from(database), channels.clone(), hub);
        let attending = jobs::attend_channels(channels);
        let telling =
            jobs::tell_of_logout(state.db.clone(), state.oauth.clone(), state.metrics.clone());
        let served = state.clone();
        let (ready, started) = mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = app::serve(vec![listener], served).unwrap();
                actix_web::rt::spawn(uses);
                actix_web::rt::spawn(following);
                actix_web::rt::spawn(building);
                actix_web::rt::spawn(sequencing);
                actix_web::rt::spawn(hearing);
                actix_web::rt::spawn(attending);
                actix_web::rt::spawn(telling);
                ready.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let server = started.recv()?;
        Ok(Self(Arc::new(Inner {
            address,
            database: database.to_owned(),
            administrator_password,
            administrator: OnceCell::new(),
            state,
            server,
        })))
    }

    /// Where the database is.
    pub fn database(&self) -> &str {
        &self.0.database
    }

    /// What its handlers share.
    pub fn state(&self) -> Data<AppState> {
        self.0.state.clone()
    }

    /// Does to the keys what the server does by the clock.
    pub fn turn_keys(&self) {
        let mut conn = PgConnection::establish(self.database()).unwrap();
        let plan = self.0.state.tokens.keys().plan();
        plan.turn(&mut conn, &Actor::clock()).unwrap();
    }

    /// Does to sessions under revoked keys what the server does by the clock.
    pub fn end_late_sessions(&self) {
        let mut conn = PgConnection::establish(self.database()).unwrap();
        sessions::end_signed_by_revoked_keys(&mut conn).unwrap();
    }

    /// Where the server is.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// The first administrator's password.
    pub fn administrator_password(&self) -> &str {
        &self.0.administrator_password
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        client().request(method, format!("{}{path}", self.0.address))
    }

    pub async fn send(&self, request: RequestBuilder) -> Response {
        Response::read(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.send(self.request("POST", path).json(&body)).await
    }

    /// The first administrator, signed in with everything.
    pub async fn administrator(&self) -> Person {
        let email = start::FIRST_ADMINISTRATOR;
        let pair = self.0.administrator.get_or_init(|| async {
            let person = Person::sign_in(self, email, &self.0.administrator_password, None).await;
            person.pair().clone()
        });
        Person::with_pair(self, email, pair.await.clone())
    }

    /// The administrator whom another replica's start made, signed in here.
    pub async fn administrator_of(&self, first: &Self) -> Person {
        let password = first.administrator_password();
        Person::sign_in(self, start::FIRST_ADMINISTRATOR, password, None).await
    }

    /// A new person with the role that everyone has.
    pub async fn person(&self) -> Person {
        let email = format!("{}@example.com", uuid::Uuid::now_v7().simple());
        self.post("/v1/users", json!({"email": email, "password": PASSWORD}))
            .await
            .expect(201);
        Person::sign_in(self, &email, PASSWORD, None).await
    }

    /// A new person whose token may do exactly `scopes`.
    pub async fn user(&self, scopes: &str) -> Person {
        let person = self.person().await;
        let role = format!("r{}", uuid::Uuid::now_v7().simple());
        let names: Vec<_> = scopes.split(' ').collect();
        let administrator = self.administrator().await;
        administrator
            .post("/v1/roles", json!({"name": role, "scopes": names}))
            .await
            .expect(201);
        administrator
            .put(
                &format!("/v1/users/{}/roles/{role}", person.id()),
                Value::Null,
            )
            .await
            .expect(204);
        Person::sign_in(self, person.email(), PASSWORD, Some(scopes)).await
    }
}
