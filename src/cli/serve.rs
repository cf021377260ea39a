//! The server as a command: start in order, say where it is, stop in order.

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

use actix_web::{dev::ServerHandle, web::Data};
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    app::{self, AppState},
    config::{Config, Mode},
    db::Db,
    jobs,
    start::{self, Database, FIRST_ADMINISTRATOR},
    telemetry,
};

/// How long a replica that stops tries to say so.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(1);

/// How long a replica that starts waits for what it has to know.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);

/// Runs the server until SIGINT or SIGTERM.
pub(super) fn run(config: Config) -> anyhow::Result<()> {
    let _telemetry = telemetry::start(&config)?;
    if let Some(directory) = &config.server.static_dir {
        let index = directory.join("index.html");
        anyhow::ensure!(
            index.is_file(),
            "server.static_dir: there is no {}",
            index.display()
        );
    }
    let listeners = listen(&config.server.listen)?;
    let issuer = issuer(&config, &listeners)?;
    let database = Database::open(&config)?;
    let (tokens, administrator) = start::first_start(&config, &issuer, &database)?;
    let db = open_pool(&config, &database)?;
    let listening = listeners.iter().filter_map(|one| one.local_addr().ok());
    let banner = banner(
        &config,
        &issuer,
        listening.collect(),
        &database,
        administrator.as_deref(),
    );
    let clients = start::clients(&database)?;
    let state = Data::new(AppState::new(config, db, tokens, clients)?);
    let direct_url = database.direct_url().clone();
    actix_web::rt::System::new().block_on(serve(listeners, state, direct_url, banner))?;
    // The pool is gone with the runtime; only now may the private Postgres go.
    if let Some(private) = database.private {
        private.stop();
    }
    Ok(())
}

fn open_pool(config: &Config, database: &Database) -> anyhow::Result<Db> {
    let size = match config.database.pool_size {
        0 => 2 * std::thread::available_parallelism()?.get(),
        some => some,
    };
    let url = database.url.expose_secret();
    Db::new(url, u32::try_from(size)?, config.database.statement_cache)
}

/// Serves until a signal comes, with everything that happens by the clock beside it.
async fn serve(
    listeners: Vec<TcpListener>,
    state: Data<AppState>,
    direct_url: SecretString,
    banner: String,
) -> anyhow::Result<()> {
    // Before the banner: whoever reads it may stop the server at once.
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let (db, tokens) = (state.db.clone(), state.tokens.clone());
    let mut background = vec![
        actix_web::rt::spawn(AppState::tidy(state.clone())),
        actix_web::rt::spawn(jobs::purge(db.clone(), state.metrics.clone())),
        actix_web::rt::spawn(jobs::acknowledge(db.clone(), tokens.clone())),
        actix_web::rt::spawn(jobs::turn_keys(db.clone(), tokens.clone())),
        actix_web::rt::spawn(jobs::tell_of_logout(
            db.clone(),
            state.oauth.clone(),
            state.metrics.clone(),
        )),
        actix_web::rt::spawn(jobs::know_upstreams(state.upstreams.clone())),
        actix_web::rt::spawn(jobs::build_indexes(db.clone(), direct_url.clone())),
        actix_web::rt::spawn(jobs::follow_feed(direct_url.clone(), state.feed.clone())),
        actix_web::rt::spawn(jobs::follow_channels(
            direct_url.clone(),
            state.channels.clone(),
            state.hub.clone(),
        )),
        actix_web::rt::spawn(jobs::attend_channels(state.channels.clone())),
        actix_web::rt::spawn(jobs::tend_channels(state.channels.clone())),
        actix_web::rt::spawn(jobs::keep_feed(
            db.clone(),
            TimeDelta::seconds(state.config.feed.retention.seconds()),
        )),
        actix_web::rt::spawn(jobs::follow(
            direct_url,
            db,
            tokens,
            state.oauth.registry.clone(),
        )),
    ];
    // It is needed until the farewell.
    actix_web::rt::spawn(jobs::follow_broker(
        state.channels.clone(),
        state.hub.clone(),
    ));
    if let Some(address) = &state.config.telemetry.metrics_listen {
        let server = app::serve_metrics(address, state.clone())
            .map_err(|error| anyhow::anyhow!("telemetry.metrics_listen: {address}: {error}"))?;
        background.push(actix_web::rt::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the listener of the metrics failed");
            }
        }));
    }
    await_first_look(&state).await;
    let server = app::serve(listeners, state.clone())?;
    for signal in signals {
        actix_web::rt::spawn(stop_at(signal?, server.handle(), state.clone()));
    }
    super::print(&banner)?;
    server.await?;
    background.iter().for_each(JoinHandle::abort);
    if let Ok(Err(error)) = timeout(FAREWELL_PATIENCE, state.channels.say_farewell()).await {
        tracing::warn!(%error, "others will find out by themselves who has left the channels");
    }
    Ok(())
}

/// Waits until keys and revocations were read once, so that whoever reads the banner finds a replica that is ready; not for long, since
/// a database may have gone.
async fn await_first_look(state: &AppState) {
    let tokens = &state.tokens;
    let is_to_come = || {
        tokens.revocations().are_older_than(LOOK_PATIENCE)
            || tokens.keys().are_older_than(LOOK_PATIENCE)
    };
    let looked = async {
        while is_to_come() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let _late = timeout(LOOK_PATIENCE, looked).await;
}

/// Stops the server when the signal comes: running requests finish first, unless it comes again.
async fn stop_at(mut signal: Signal, server: ServerHandle, state: Data<AppState>) {
    let mut graceful = true;
    while signal.recv().await.is_some() {
        state.life.stop();
        actix_web::rt::spawn(server.stop(graceful));
        graceful = false;
    }
}

/// Applies migrations and stops.
pub(super) fn migrate(config: Config) -> anyhow::Result<()> {
    Database::open(&config)?.connect()?;
    super::print("the database is up to date")
}

/// Listens on every address of the name, all on one port.
fn listen(address: &str) -> anyhow::Result<Vec<TcpListener>> {
    let fault = |error: std::io::Error| anyhow::anyhow!("server.listen: {address}: {error}");
    let mut addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(fault)?.collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut refused = None;
    for mut address in addresses {
        if let (0, Some(first)) = (address.port(), listeners.first()) {
            address.set_port(first.local_addr()?.port());
        }
        match TcpListener::bind(address) {
            Ok(listener) => listeners.push(listener),
            // A machine without IPv6 resolves `localhost` to ::1 all the same.
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
                refused = Some(error)
            }
            Err(error) => return Err(fault(error)),
        }
    }
    match (listeners.is_empty(), refused) {
        (true, Some(error)) => Err(fault(error)),
        (true, None) => Err(anyhow::anyhow!("server.listen: {address}: no such address")),
        (false, _) => Ok(listeners),
    }
}

/// The configured issuer, or in development the address that is listened on.
fn issuer(config: &Config, listeners: &[TcpListener]) -> anyhow::Result<String> {
    if let Some(issuer) = &config.server.issuer {
        return Ok(issuer.clone());
    }
    let first = listeners
        .first()
        .ok_or_else(|| anyhow::anyhow!("no listener"))?
        .local_addr()?;
    let host = match config.server.listen.rsplit_once(':') {
        Some((host, _)) if !matches!(host, "0.0.0.0" | "[::]") => host,
        _ => "localhost",
    };
    Ok(format!("http://{host}:{}", first.port()))
}

/// A path as somebody in the current directory would write it.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_owned()
}

fn banner(
    config: &Config,
    issuer: &str,
    listening: Vec<SocketAddr>,
    database: &Database,
    administrator: Option<&str>,
) -> String {
    let mode = match config.mode() {
        Mode::Development => "development",
        Mode::Production => "production",
    };
    let place = match &database.private {
        Some(private) => format!(
            "private Postgres {} in {} (set DATABASE_URL for your own)",
            private.version(),
            from_here(private.directory()).display()
        ),
        None => "as configured".to_owned(),
    };
    let mut lines = vec![
        format!("tollgate {}, {mode} mode", env!("CARGO_PKG_VERSION")),
        format!("  api        {issuer}"),
    ];
    if config.server.docs {
        lines.push(format!("  docs       {issuer}/docs"));
    }
    lines.push(format!("  database   {place}"));
    if config.server.issuer.is_some() {
        // Else the address of the API says it.
        let listening: Vec<_> = listening.iter().map(ToString::to_string).collect();
        lines.push(format!("  listening  {}", listening.join(", ")));
    }
    if let Some(directory) = &config.server.static_dir {
        lines.push(format!(
            "  app        {issuer}/ from {}",
            from_here(directory).display()
        ));
    }
    if let Some(password) = administrator {
        lines.push(format!(
            "  admin      {FIRST_ADMINISTRATOR}, password {password}  (shown once; stored nowhere)"
        ));
    }
    lines.push("  stop       Ctrl-C".to_owned());
    lines.join("\n")
}
