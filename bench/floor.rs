//! The floors that `bench/run` measures beside the server: the same work without what Tollgate adds.
//!
//! `bare PORT` and `layers NAMES PORT` serve the answer of `GET /v1/tokens/current`, the one from a naked handler, the other
//! behind the named layers of our middleware (`observe,guard,authenticate,limit,compress`), and there also `/select`, which
//! reads an account, and `/form`, which takes a form with a secret; `records PORT` serves the rows of a collection from a naked
//! handler; `sign-in N` does N times what signing in can't do without;
//! `sign N` makes N signatures; `revocations` prints the MiB of resident memory that knowing all of them takes; `broadcast PORT`
//! tells all of its sockets what is sent to it; `listen PORT FILE` and `latency PORT FILE BEARER RATE SECONDS` are clients of live updates.

mod live_clients;
mod live_floor;
mod records_floor;

use std::{io::Write, net::TcpListener};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::header::ContentType,
    middleware::{Condition, from_fn},
    web::{self, Data},
};
use anyhow::Context;
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tollgate::{
    app::AppState,
    config::Config,
    db::Db,
    error::ApiError,
    form::Parameters,
    http,
    revocation::Revocations,
    secret::Secret,
    start::{self, Database},
    users::{self, Email, password},
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["bare", port] => serve(port.parse()?, None),
        ["layers", names, port] => serve(port.parse()?, Some((state()?, (*names).to_owned()))),
        ["records", port] => records(port.parse()?),
        ["sign-in", count] => sign(count.parse()?, true),
        ["sign", count] => sign(count.parse()?, false),
        ["revocations"] => revocations(),
        ["broadcast", port] => live_floor::serve(
            TcpListener::bind(("127.0.0.1", port.parse()?))?,
            std::thread::available_parallelism()?.get(),
        ),
        ["listen", port, file] => live_clients::listen(port.parse()?, file),
        ["latency", port, file, bearer, rate, seconds] => {
            live_clients::latency(port.parse()?, file, bearer, rate.parse()?, seconds.parse()?)
        }
        // `cargo test --benches` and `cargo bench` pass their own; there is nothing to do then.
        _ => Ok(()),
    }
}

/// The claims of an ordinary token.
fn claims() -> Value {
    json!({
        "iss": "http://localhost:8080", "sub": "01a20bf4-4417-720b-a398-ade7a859a777", "aud": "http://localhost:8080",
        "exp": 1_795_497_487, "iat": 1_795_496_887, "jti": "01a20bf4-443d-7024-85cc-468ee477caed", "client_id": "tollgate",
        "scope": "account:read account:write sessions:self", "sid": "01a20bf4-443b-7576-aead-714f1a882788", "gen": 0,
        "uep": 0, "auth_time": 1_795_496_887, "acr": "1", "amr": ["pwd"], "roles": ["user"],
    })
}

fn state() -> anyhow::Result<Data<AppState>> {
    let config = Config::load(None)?;
    let database = Database::open(&config)?;
    let tokens = start::tokens(&config, "http://localhost:8080", &database)?;
    let db = Db::new(database.url.expose_secret(), 4, true)?;
    let clients = start::clients(&database)?;
    // The private Postgres is the measured server's; it outlives this process.
    std::mem::forget(database);
    Ok(Data::new(AppState::new(config, db, tokens, clients)?))
}

fn serve(port: u16, layers: Option<(Data<AppState>, String)>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let workers = std::thread::available_parallelism()?.get();
    actix_web::rt::System::new().block_on(async move {
        match layers {
            None => {
                HttpServer::new(|| {
                    App::new().route("/v1/tokens/current", web::get().to(answer_bytes))
                })
                .workers(workers)
                .listen(listener)?
                .run()
                .await?;
            }
            Some((state, names)) => {
                HttpServer::new(move || {
                    let has = |name: &str| names.split(',').any(|one| one == name);
                    App::new()
                        .app_data(Data::clone(&state))
                        .app_data(Data::new(claims()))
                        .wrap(Condition::new(has("limit"), from_fn(http::limit)))
                        .wrap(Condition::new(
                            has("authenticate"),
                            from_fn(http::authenticate),
                        ))
                        .wrap(Condition::new(has("guard"), from_fn(http::guard)))
                        .wrap(Condition::new(has("observe"), from_fn(http::observe)))
                        .wrap(Condition::new(has("compress"), from_fn(http::compress)))
                        .route("/v1/tokens/current", web::get().to(answer_json))
                        .route("/select", web::get().to(answer_row))
                        .route("/form", web::post().to(answer_form))
                })
                .workers(workers)
                .listen(listener)?
                .run()
                .await?;
            }
        }
        anyhow::Ok(())
    })
}

fn records(port: u16) -> anyhow::Result<()> {
    let database = Database::open(&Config::load(None)?)?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let workers = std::thread::available_parallelism()?.get();
    let url = database.url.expose_secret().to_owned();
    // The private Postgres is the measured server's; it outlives this process.
    std::mem::forget(database);
    records_floor::serve(listener, &url, workers)
}

async fn answer_bytes() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(r#"{"iss":"http://localhost:8080","sub":"01a20bf4-4417-720b-a398-ade7a859a777"}"#)
}

async fn answer_json(claims: Data<Value>) -> web::Json<Value> {
    web::Json(claims.as_ref().clone())
}

/// One hop and one prepared statement.
async fn answer_row(
    app: Data<AppState>,
    claims: Data<Value>,
) -> Result<web::Json<Value>, ApiError> {
    let email: Email = "ada@example.com".parse().map_err(ApiError::internal)?;
    let found = app
        .db
        .run_again(move |conn| Ok(users::find_by_email(conn, &email)?))
        .await?;
    found.ok_or_else(ApiError::not_found)?;
    Ok(web::Json(claims.as_ref().clone()))
}

/// Reads a form with a secret in it.
async fn answer_form(
    form: Result<http::Form, ApiError>,
    claims: Data<Value>,
) -> Result<web::Json<Value>, ApiError> {
    let http::Form(bytes) = form?;
    let parameters = Parameters::parse(&bytes).map_err(ApiError::internal)?;
    let secret = parameters.get("client_secret").unwrap_or_default();
    if Secret::hash(secret).is_empty() {
        return Err(ApiError::not_found());
    }
    Ok(web::Json(claims.as_ref().clone()))
}

/// Signs `count` tokens, each after hashing a password if that is wanted.
fn sign(count: u32, hashing: bool) -> anyhow::Result<()> {
    let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048)
        .ok()
        .context("no key")?;
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)
        .ok()
        .context("no key")?;
    let pair = RsaKeyPair::from_pkcs8(der.as_ref())
        .ok()
        .context("no key")?;
    let mut signature = vec![0; pair.public_modulus_len()];
    let message = claims().to_string();
    for _ in 0..count {
        if hashing {
            std::hint::black_box(password::hash_now("correct horse battery staple")?);
        }
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            message.as_bytes(),
            &mut signature,
        )
        .ok()
        .context("no signature")?;
        std::hint::black_box(&signature);
    }
    Ok(())
}

fn revocations() -> anyhow::Result<()> {
    let database = Database::open(&Config::load(None)?)?;
    let mut conn = database.connect()?;
    let known = Revocations::default();
    let before = resident()?;
    known.follow(&mut conn)?;
    let taken = resident()?.saturating_sub(before) * 4 / 1024;
    writeln!(std::io::stdout(), "{taken}")?;
    // The private Postgres is the measured server's; it outlives this process.
    std::mem::forget(database);
    Ok(())
}

/// Resident memory in pages of 4 KiB (proc(5)).
fn resident() -> anyhow::Result<usize> {
    let fields = std::fs::read_to_string("/proc/self/statm")?;
    Ok(fields.split(' ').nth(1).context("no pages")?.parse()?)
}
