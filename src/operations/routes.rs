//! Readiness and metrics over HTTP.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::AppState,
    config::Mode,
    error::{ApiError, Code, Problem},
};

/// The media type of Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Without a word from the database for this long, requests are better sent to another replica.
const SILENCE: Duration = Duration::from_secs(2);

/// That a replica can serve.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ready"}))]
pub struct Readiness {
    /// Always `ready`; else the answer is a problem.
    status: &'static str,
}

/// That a replica is alive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "alive"}))]
pub struct Health {
    /// Always `alive`.
    status: &'static str,
}

/// What is running.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"name": "tollgate", "version": "0.1.0"}))]
pub struct Version {
    /// Always `tollgate`.
    name: &'static str,
    /// The version of the program.
    version: &'static str,
}

/// Tells that the process is alive
///
/// Asks nobody else; restart the process when this fails, and only then.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operations",
    responses((status = 200, description = "Alive", body = Health)),
)]
pub async fn read_health() -> web::Json<Health> {
    web::Json(Health { status: "alive" })
}

/// Reads the version
///
/// Of the program that answers.
#[utoipa::path(
    get,
    path = "/version",
    tag = "operations",
    responses((status = 200, description = "The version", body = Version)),
)]
pub async fn read_version() -> web::Json<Version> {
    web::Json(Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Tells whether to send requests here
///
/// Ready when the database was reached, and keys and revocations were compared with it, within the last 2 s. Asks nobody:
/// however often it is called, the database does not notice.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_readiness(app: web::Data<AppState>) -> Result<web::Json<Readiness>, ApiError> {
    if app.life.is_stopping() {
        return Err(ApiError::new(Code::NotReady, "the replica is stopping"));
    }
    let (revocations, keys) = (app.tokens.revocations(), app.tokens.keys());
    let detail = if revocations.are_older_than(SILENCE) {
        "revocations could not be read just now"
    } else if keys.are_older_than(SILENCE) {
        "keys could not be read just now"
    } else {
        return Ok(web::Json(Readiness { status: "ready" }));
    };
    Err(ApiError::new(Code::NotReady, detail))
}

/// Reads the metrics
///
/// In the text format of Prometheus; in production only where `telemetry.metrics_listen` says.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
        (status = 404, description = "They are on another listener, or on none", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read_metrics(app: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    // What every address can reach is no place for them in production.
    let apart = app.config.telemetry.metrics_listen.is_some();
    if apart || app.config.mode() == Mode::Production {
        return Err(ApiError::not_found());
    }
    Ok(metrics_of(&app))
}

/// The metrics, for a listener of their own.
pub async fn read_metrics_apart(app: web::Data<AppState>) -> HttpResponse {
    metrics_of(&app)
}

fn metrics_of(app: &AppState) -> HttpResponse {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let feed = &app.feed;
    app.metrics.followed(feed.head().number, feed.waiting());
    app.metrics.connected(app.hub.counts());
    app.metrics.told_over_nats(app.channels.goes_over_nats());
    HttpResponse::Ok()
        .content_type(METRICS_TYPE)
        .body(app.metrics.render(&app.tokens, now))
}
