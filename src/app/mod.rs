//! The server: its state, the order of the middleware.

mod routes;

pub use routes::{paths, routes};

use std::{
    future::ready,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Protocol, error::DispatchError};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_web::{
    App, HttpServer,
    dev::AppConfig,
    middleware::from_fn,
    web::{self, Data, PathConfig, ServiceConfig},
};
use diesel::PgConnection;
use tokio::net::TcpStream;

use crate::{
    channels::Channels,
    clients::Registry,
    collections::Catalog,
    config::{Config, Mode},
    db::{self, Db},
    docs::{self, Documents},
    error::ApiError,
    feed::Feed,
    http::{
        self, Connection, CookieNames, Cors, InputSchemas, Proxies, QueryNames, RateLimits, Seats,
    },
    oauth,
    operations::{self, Life, Metrics},
    outbound::{Outbound, Reach},
    realtime::Hub,
    records::{Creation, Reading},
    sessions::{Desk, Lifetimes, Question, Rules},
    site::routes::read_site,
    tokens::Tokens,
    upstream::Upstreams,
    users::Passwords,
};

/// Seconds that running requests have to finish when the server stops.
const STOP_PATIENCE: u64 = 8;

/// How long an idle connection is kept; proxies should keep theirs for less, so that they close first.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// How long a client may take to close its side.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

const TIDY_EVERY: Duration = Duration::from_secs(5);

/// Everything that handlers share.
pub struct AppState {
    /// The effective configuration.
    pub config: Config,
    /// The door to Postgres.
    pub db: Db,
    /// Makes and verifies tokens.
    pub tokens: Tokens,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Where refreshes wait for the database.
    pub desk: Desk,
    /// Where apps wait that ask of somebody.
    pub questions: db::Desk<Question>,
    /// The schemas that bodies must fit.
    pub inputs: InputSchemas,
    /// The query parameters that operations have.
    pub query_names: QueryNames,
    /// The OAuth server.
    pub oauth: oauth::Server,
    /// Other providers at which people may sign in.
    pub upstreams: Upstreams,
    /// The collections that were used, compiled.
    pub catalog: Catalog,
    /// Where those wait who read one record.
    pub readings: db::Desk<Reading>,
    /// Where those wait who make one.
    pub creations: db::Desk<Creation>,
    /// This replica's end of the feed of changes.
    pub feed: Feed,
    /// What is told beside records.
    pub channels: Channels,
    /// What the WebSockets of this replica share.
    pub hub: Hub,
    /// Which origins may use the API from a browser.
    pub cors: Cors,
    /// How the cookies are called.
    pub cookies: CookieNames,
    /// Who has asked how often.
    pub rates: RateLimits,
    /// The proxies that are believed.
    pub proxies: Proxies,
    /// Whether the server is stopping.
    pub life: Life,
    /// What operators look at.
    pub metrics: Arc<Metrics>,
    /// Where our API says who gives tokens for it (RFC 9728).
    pub resource_metadata: String,
    /// The OpenAPI documents, as people see them.
    pub documents: Documents,
}

impl AppState {
    /// Puts the rooms together.
    ///
    /// # Errors
    /// The OpenAPI document does not hold together.
    pub fn new(config: Config, db: Db, tokens: Tokens, clients: Registry) -> anyhow::Result<Self> {
        let document = docs::openapi()?;
        let parallel = match config.passwords.parallel_hashes {
            0 => std::thread::available_parallelism()?.get(),
            some => some,
        };
        let desk = Desk::new(db.clone(), tokens.clone());
        let (catalog, feed) = (Catalog::default(), Feed::default());
        let reach = reach(config.mode());
        let rules = Rules {
            lifetimes: Lifetimes::from(&config.sessions),
            tokens: tokens.clone(),
        };
        let oauth = oauth::Server::new(
            rules,
            clients.clone(),
            Outbound::new(reach)?,
            desk.clone(),
            config.oauth.clone(),
        );
        // Of its own: strangers' slow name servers, which clients may send us to, must not keep people from signing in.
        let outbound = Outbound::new(reach)?;
        let upstreams = Upstreams::new(&config.oauth.upstream, &outbound, tokens.issuer());
        Ok(Self {
            resource_metadata: oauth.resource_metadata_uri(),
            passwords: Passwords::new(parallel, config.passwords.queue)?,
            desk,
            oauth,
            upstreams,
            inputs: InputSchemas::new(&document),
            questions: db::Desk::new(db.clone(), ()),
            readings: db::Desk::new(db.clone(), catalog.clone()),
            creations: db::Desk::new(db.clone(), catalog.clone()),
            hub: Hub::new(db.clone(), catalog.clone(), feed.clone()),
            channels: Channels::new(&config.realtime, db.clone())?,
            catalog,
            feed,
            cors: Cors::new(&config, tokens.issuer(), clients),
            cookies: CookieNames::new(tokens.issuer()),
            rates: RateLimits::new(&config.limits),
            proxies: Proxies::new(&config.server),
            life: Life::default(),
            metrics: Arc::new(Metrics::new()?),
            query_names: QueryNames::new(&document),
            documents: docs::documents(),
            config,
            db,
            tokens,
        })
    }

    /// Runs `work`, which may revoke tokens: this replica refuses them before it answers, the others within a second.
    ///
    /// # Errors
    /// Those of `Db::run`.
    pub async fn run_revoking<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, ApiError> + Send + 'static,
    {
        let tokens = self.tokens.clone();
        self.db
            .run(move |conn| {
                let done = work(conn)?;
                tokens.catch_up(conn);
                Ok(done)
            })
            .await
    }

    /// Forgets in memory what nobody needs any more, until the runtime stops.
    pub async fn tidy(state: Data<Self>) {
        let mut clock = tokio::time::interval(TIDY_EVERY);
        loop {
            clock.tick().await;
            state.rates.forget();
            state.passwords.forget();
            state.metrics.tidy();
        }
    }

    /// What opening and refreshing sessions goes by.
    pub fn session_rules(&self) -> Rules {
        self.oauth.rules.clone()
    }
}

/// How far requests to other machines may go.
fn reach(mode: Mode) -> Reach {
    match mode {
        Mode::Development => Reach::LoopbackToo,
        Mode::Production => Reach::Public,
    }
}

/// Everything below the middleware: routes, and what answers where there is none.
pub fn configure(config: &mut ServiceConfig) {
    config
        .app_data(http::body_limit())
        .app_data(
            PathConfig::default()
                .error_handler(|_no_such_name, _request| ApiError::not_found().into()),
        )
        .default_service(web::to(read_site));
    routes().register(config);
}

/// Serves on the given listeners until its handle stops the server.
///
/// # Errors
/// A listener can't be used.
pub fn serve(listeners: Vec<TcpListener>, state: Data<AppState>) -> std::io::Result<Server> {
    state.db.settle();
    let workers = match state.config.server.workers {
        0 => std::thread::available_parallelism()?.get(),
        some => some,
    };
    let mut builder = Server::build()
        .workers(workers)
        .disable_signals()
        .shutdown_timeout(STOP_PATIENCE);
    let (stopping, seats) = (builder.graceful_shutdown_signal(), Seats::default());
    for (index, listener) in listeners.into_iter().enumerate() {
        let (state, stopping, seats) = (Data::clone(&state), stopping.clone(), seats.clone());
        builder = builder.listen(format!("api {index}"), listener, move || {
            // The last wrapped is the outermost.
            let app = App::new()
                .app_data(Data::clone(&state))
                .wrap(from_fn(http::limit))
                .wrap(from_fn(http::authenticate))
                .wrap(from_fn(http::guard))
                .wrap(from_fn(http::observe))
                .wrap(from_fn(http::compress))
                .configure(configure)
                .into_factory()
                .map_err(|error| error.error_response());
            let stopping = stopping.clone();
            let service = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(http::HEAD_PATIENCE)
                .client_disconnect_timeout(CLOSE_PATIENCE)
                .on_connect_ext(|connection: &Connection, data| {
                    data.insert(connection.exchange());
                })
                .finish(map_config(app, |()| AppConfig::default()));
            let service = apply_fn_factory(service, |accepted: Accepted, service| {
                http::converse(accepted.0.exchange(), service.call(accepted))
            });
            let (state, seats) = (Data::clone(&state), seats.clone());
            fn_service(move |stream| ready(admit(stream, &state, &seats))).and_then(service)
        })?;
    }
    Ok(builder.run())
}

/// A connection, and whose.
type Accepted = (Connection, Protocol, Option<SocketAddr>);

/// Takes a connection, unless its address has too many.
fn admit(stream: TcpStream, state: &AppState, seats: &Seats) -> Result<Accepted, DispatchError> {
    let peer = stream.peer_addr()?;
    let address = peer.ip().to_canonical();
    let limits = &state.config.limits;
    let seat = if !limits.enabled || state.proxies.trusts(address) {
        None
    } else {
        let seat = seats.take(address, limits.connections_per_address);
        Some(seat.ok_or(DispatchError::Io(ErrorKind::ConnectionRefused.into()))?)
    };
    Ok((Connection::new(stream, seat)?, Protocol::Http1, Some(peer)))
}

/// Serves the metrics, and nothing else, on a listener of their own.
///
/// # Errors
/// The address can't be listened on.
pub fn serve_metrics(address: &str, state: Data<AppState>) -> std::io::Result<Server> {
    let app = move || {
        App::new().app_data(Data::clone(&state)).route(
            "/metrics",
            web::get().to(operations::routes::read_metrics_apart),
        )
    };
    let server = HttpServer::new(app).workers(1).disable_signals();
    Ok(server.bind(address)?.run())
}
