//! An API of your own, in Rust with actix-web and jsonwebtoken: `GET /` answers whose token it is.
//!
//! Environment: ISSUER, AUDIENCE, PORT. Run it with `cargo run --example verify_tokens`.
#![expect(
    clippy::disallowed_methods,
    reason = "an example takes its settings from the environment"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header, web};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// How long the set is kept: its `max-age`.
const MAX_AGE: Duration = Duration::from_secs(600);

/// How often a key that is not in the set may make us fetch it again.
const COOLDOWN: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize, Serialize)]
struct Claims {
    sub: String,
    scope: String,
}

/// The public keys, as they were fetched last.
struct Keys {
    address: String,
    fetched: Mutex<Option<(Instant, JwkSet)>>,
}

enum Refusal {
    Token,
    Unreachable,
}

impl Keys {
    async fn find(&self, kid: &str) -> Result<Jwk, Refusal> {
        let mut fetched = self.fetched.lock().await;
        let (age, known) = match &*fetched {
            Some((at, set)) => (at.elapsed(), set.find(kid)),
            None => (Duration::MAX, None),
        };
        match known {
            Some(key) if age < MAX_AGE => return Ok(key.clone()),
            None if age < COOLDOWN => return Err(Refusal::Token),
            _ => {}
        }
        let set: JwkSet = async { reqwest::get(&self.address).await?.json().await }
            .await
            .map_err(|_unreachable: reqwest::Error| Refusal::Unreachable)?;
        let key = set.find(kid).cloned();
        *fetched = Some((Instant::now(), set));
        key.ok_or(Refusal::Token)
    }
}

struct Verifier {
    keys: Keys,
    validation: Validation,
}

impl Verifier {
    fn new(issuer: &str, audience: &str) -> Self {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        // Else a token without them passes.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 5;
        Self {
            keys: Keys {
                address: format!("{issuer}/.well-known/jwks.json"),
                fetched: Mutex::new(None),
            },
            validation,
        }
    }

    async fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        let header = decode_header(token).map_err(|_malformed| Refusal::Token)?;
        let (Some(kid), Some("at+jwt")) = (&header.kid, header.typ.as_deref()) else {
            return Err(Refusal::Token);
        };
        let key = self.keys.find(kid).await?;
        let key = DecodingKey::from_jwk(&key).map_err(|_no_key| Refusal::Token)?;
        let verified = decode(token, &key, &self.validation).map_err(|_bad| Refusal::Token)?;
        Ok(verified.claims)
    }
}

async fn answer(verifier: web::Data<Arc<Verifier>>, request: HttpRequest) -> HttpResponse {
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token);
    let outcome = match token {
        Some(token) => verifier.verify(token).await,
        None => Err(Refusal::Token),
    };
    match outcome {
        Ok(claims) => HttpResponse::Ok().json(claims),
        Err(Refusal::Token) => HttpResponse::Unauthorized()
            .insert_header((header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""))
            .finish(),
        Err(Refusal::Unreachable) => HttpResponse::ServiceUnavailable().finish(),
    }
}

fn main() -> anyhow::Result<()> {
    let issuer = std::env::var("ISSUER")?;
    let verifier = Arc::new(Verifier::new(&issuer, &std::env::var("AUDIENCE")?));
    let port: u16 = std::env::var("PORT")?.parse()?;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(Arc::clone(&verifier)))
            .default_service(web::to(answer))
    })
    .workers(1)
    .bind(("127.0.0.1", port))?;
    actix_web::rt::System::new().block_on(server.run())?;
    Ok(())
}
