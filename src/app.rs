//! The server: its state, the route table on one page, the order of the middleware.

use std::{
    collections::HashSet,
    future::ready,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_http::{HttpService, Protocol, error::DispatchError};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App, HttpServer,
    dev::AppConfig,
    middleware::from_fn,
    web::{self, Bytes, Data, PathConfig, ServiceConfig},
};
use diesel::PgConnection;
use tokio::net::TcpStream;

use crate::{
    audit,
    config::Config,
    db::Db,
    docs,
    error::ApiError,
    http::{
        self, Connection, CookieNames, Cors, InputSchemas, Proxies, QueryNames, RateLimits, Routes,
        Seats,
    },
    keys,
    operations::{self, Life, Metrics},
    roles,
    sessions::{self, Desk, Lifetimes, Rules},
    site::routes::read_site,
    tokens::{self, Tokens},
    users::{self, Passwords},
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
    /// The schemas that bodies must fit.
    pub inputs: InputSchemas,
    /// The query parameters that operations have.
    pub query_names: QueryNames,
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
    pub metrics: Metrics,
    /// The OpenAPI document, serialised.
    pub openapi: Bytes,
}

impl AppState {
    /// Puts the rooms together.
    ///
    /// # Errors
    /// The OpenAPI document does not hold together.
    pub fn new(config: Config, db: Db, tokens: Tokens) -> anyhow::Result<Self> {
        let document = docs::openapi()?;
        let parallel = match config.passwords.parallel_hashes {
            0 => std::thread::available_parallelism()?.get(),
            some => some,
        };
        Ok(Self {
            passwords: Passwords::new(parallel, config.passwords.queue)?,
            desk: Desk::default(),
            inputs: InputSchemas::new(&document)?,
            cors: Cors::new(&config, tokens.issuer()),
            cookies: CookieNames::new(tokens.issuer()),
            rates: RateLimits::new(&config.limits),
            proxies: Proxies::new(&config.server),
            life: Life::default(),
            metrics: Metrics::new()?,
            query_names: QueryNames::new(&document),
            openapi: Bytes::from(docs::openapi_text()?),
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
                if let Err(error) = tokens.follow(conn) {
                    // It is done all the same, and the control channel brings the rest.
                    tracing::warn!(%error, "what was just revoked could not be read");
                }
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
            state.metrics.tidy();
        }
    }

    /// What opening and refreshing sessions goes by.
    pub fn session_rules(&self) -> Rules {
        Rules {
            lifetimes: Lifetimes::from(&self.config.sessions),
            tokens: self.tokens.clone(),
        }
    }
}

/// The route table.
pub fn routes() -> Routes {
    let mut routes = Routes::default();
    people(&mut routes);
    administration(&mut routes);
    public(&mut routes);
    routes
}

fn people(routes: &mut Routes) {
    use sessions::account::routes::{replace_password, update_user};
    use sessions::device_routes::{
        delete_other_sessions, delete_session, list_sessions, read_session,
    };
    use sessions::routes::{create_session, create_tokens};
    use tokens::routes::read_current_token;
    use users::routes::{create_user, delete_user, give_role, list_users, read_user, take_role};

    routes.at("/v1/users").get(list_users).post(create_user);
    routes
        .at("/v1/users/{id}")
        .get(read_user)
        .patch(update_user)
        .delete(delete_user);
    routes.at("/v1/users/{id}/password").put(replace_password);
    routes
        .at("/v1/users/{id}/roles/{role}")
        .put(give_role)
        .delete(take_role);
    routes
        .at("/v1/sessions")
        .get(list_sessions)
        .post(create_session)
        .delete(delete_other_sessions);
    routes
        .at("/v1/sessions/{id}")
        .get(read_session)
        .delete(delete_session);
    routes.at("/v1/tokens").post(create_tokens);
    routes.at("/v1/tokens/current").get(read_current_token);
}

fn administration(routes: &mut Routes) {
    use audit::routes::list_audit_events;
    use keys::routes::{create_key, list_keys, read_key};
    use operations::routes::{read_health, read_metrics, read_readiness, read_version};
    use roles::routes::{create_role, delete_role, list_roles, read_role};
    use sessions::{key_routes::delete_key, role_routes::replace_role};

    routes.at("/v1/roles").get(list_roles).post(create_role);
    routes
        .at("/v1/roles/{name}")
        .get(read_role)
        .put(replace_role)
        .delete(delete_role);
    routes.at("/v1/audit-events").get(list_audit_events);
    routes.at("/v1/keys").get(list_keys).post(create_key);
    routes.at("/v1/keys/{kid}").get(read_key).delete(delete_key);
    routes.at("/healthz").get(read_health);
    routes.at("/readyz").get(read_readiness);
    routes.at("/version").get(read_version);
    routes.at("/metrics").get(read_metrics);
}

fn public(routes: &mut Routes) {
    use docs::routes::{read_docs, read_openapi, read_problem, redirect_to_docs};
    use keys::routes::read_jwks;

    routes.at("/.well-known/jwks.json").get(read_jwks);
    routes.at("/problems/{code}").get(read_problem);
    routes.at("/openapi.json").get(read_openapi);
    routes.at("/docs").get(redirect_to_docs);
    routes.at("/docs/{file:.*}").get(read_docs);
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
            let (state, seats) = (Data::clone(&state), seats.clone());
            fn_service(move |stream| ready(admit(stream, &state, &seats))).and_then(service)
        })?;
    }
    Ok(builder.run())
}

/// Takes a connection, unless its address has too many.
fn admit(
    stream: TcpStream,
    state: &AppState,
    seats: &Seats,
) -> Result<(Connection, Protocol, Option<SocketAddr>), DispatchError> {
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

/// The paths of the table, each once, for tests that hold it against the OpenAPI document.
pub fn paths() -> HashSet<String> {
    routes()
        .offered()
        .iter()
        .map(|(_, path)| path.clone())
        .collect()
}
