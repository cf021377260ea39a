//! Signing in at other OpenID Connect providers: leaving for one, coming back, and whose account that is here.

mod arrival;
mod identity;
mod provider;
mod store;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};

pub use arrival::{Arrival, Linking, arrive, begin_link, finish_link, held};
pub use identity::Identity;
pub use provider::{Metadata as ProviderMetadata, Provider};
pub use store::StateRow;

use crate::{
    config::UpstreamConfig,
    form::Parameters,
    jose::JoseError,
    outbound::{Outbound, OutboundError},
    secret::Secret,
};

use identity::Expected;

/// Characters of a provider's error that the log keeps.
const LONGEST_REASON: usize = 200;

/// Why somebody could not sign in at a provider; for the log, people are told that it did not work.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The provider can't be reached.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// What it publishes can't be read.
    #[error("the {0} can't be read")]
    Document(&'static str),
    /// Its discovery document is another provider's.
    #[error("the discovery document is of another issuer")]
    Issuer,
    /// It said no.
    #[error("the provider answered {0}")]
    Refused(String),
    /// What came back is not the whole answer of this provider.
    #[error("the parameter `{0}` is missing or another's")]
    Answer(&'static str),
    /// The code could not be exchanged.
    #[error("the token endpoint answered {0} without an ID token")]
    Exchange(u16),
    /// The ID token, or a key of the provider, is no good.
    #[error(transparent)]
    Token(#[from] JoseError),
    /// A claim of the ID token doesn't fit.
    #[error("the claim `{0}` of the ID token doesn't fit")]
    Claim(&'static str),
    /// There is no randomness.
    #[error("no randomness")]
    Randomness,
}

/// The configured providers; cheap to clone.
#[derive(Clone)]
pub struct Upstreams {
    all: Arc<[Provider]>,
    issuer: Arc<str>,
}

/// Somebody who leaves for a provider.
pub struct Departure {
    /// Where their browser goes.
    pub location: String,
    id: Vec<u8>,
    upstream: String,
    nonce: String,
    verifier: String,
    browser: Vec<u8>,
    request: Option<String>,
    fresh: bool,
}

impl Upstreams {
    /// Takes the configuration; `issuer` is ours.
    pub fn new(configs: &[UpstreamConfig], outbound: &Outbound, issuer: &str) -> Self {
        let provider = |config: &UpstreamConfig| Provider::new(config.clone(), outbound.clone());
        Self {
            all: configs.iter().map(provider).collect(),
            issuer: issuer.into(),
        }
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.all.iter()
    }

    /// The one that an address of ours names.
    pub fn find(&self, id: &str) -> Option<&Provider> {
        self.iter().find(|provider| provider.config.id == id)
    }

    /// Learns of each what is not known or no longer good, so that nobody who signs in waits for it.
    pub async fn learn(&self) {
        for provider in self.iter() {
            if let Err(error) = provider.metadata().await {
                let id = &provider.config.id;
                tracing::warn!(upstream = id, %error, "people can't sign in at a provider");
            }
        }
    }

    /// Where a provider sends people back to.
    fn callback(&self, provider: &Provider) -> String {
        let id = &provider.config.id;
        format!("{}/oauth/upstream/{id}/callback", self.issuer)
    }

    /// Prepares to send somebody to a provider: `metadata` says where, `browser` is the hash of their cookie, `request` what
    /// their page is about; `fresh` asks the provider to let them prove anew who they are.
    ///
    /// # Errors
    /// The provider's address is one that nobody may be sent to.
    pub fn depart(
        &self,
        provider: &Provider,
        metadata: &ProviderMetadata,
        browser: Vec<u8>,
        request: Option<String>,
        fresh: bool,
    ) -> Result<Departure, UpstreamError> {
        let random = || Secret::generate().map_err(|_error| UpstreamError::Randomness);
        let (state, nonce, verifier) = (random()?, random()?.text, random()?.text);
        let config = &provider.config;
        let challenge = URL_SAFE_NO_PAD.encode(Secret::hash(&verifier));
        let (callback, scopes) = (self.callback(provider), config.scopes.join(" "));
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", config.client_id.as_str()),
            ("redirect_uri", callback.as_str()),
            ("scope", scopes.as_str()),
            ("state", state.text.as_str()),
            ("nonce", nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        if fresh {
            parameters.push(("max_age", "0"));
        }
        let endpoint = &metadata.authorization_endpoint;
        let location = provider.outbound().address_with(endpoint, &parameters)?;
        Ok(Departure {
            location,
            id: state.hash,
            upstream: config.id.clone(),
            nonce,
            verifier,
            browser,
            request,
            fresh,
        })
    }

    /// Finds out who has come back, with what they brought.
    ///
    /// # Errors
    /// The provider said no, or what it said is no good.
    pub async fn identify(
        &self,
        provider: &Provider,
        state: &StateRow,
        answer: &Parameters,
        now: DateTime<Utc>,
    ) -> Result<Identity, UpstreamError> {
        let config = &provider.config;
        match answer.get("iss") {
            Some(issuer) if issuer == config.issuer => {}
            None if !provider.metadata().await?.names_itself => {}
            _ => return Err(UpstreamError::Answer("iss")),
        }
        if let Some(error) = answer.get("error") {
            let reason = error.escape_debug().take(LONGEST_REASON).collect();
            return Err(UpstreamError::Refused(reason));
        }
        let code = answer.get("code").ok_or(UpstreamError::Answer("code"))?;
        let exchanged = provider
            .exchange(code, &state.verifier, &self.callback(provider))
            .await?;
        let mut claims = provider.verify(&exchanged.id_token).await?;
        let expected = Expected {
            config,
            nonce: &state.nonce,
            now,
            since: state.fresh.then_some(state.created_at),
        };
        let subject = expected.check(&claims)?.to_owned();
        // Of somebody who has just come from proving it, their clock may say a little less.
        let proved = if state.fresh {
            None
        } else {
            expected.proved(&claims)
        };
        if let (false, Some(token)) = (claims.contains_key("email"), &exchanged.access_token)
            && let Some(told) = provider.user_info(token, &subject).await
        {
            // What is said of an address is of the address beside it.
            claims.remove("email_verified");
            claims.extend(told);
        }
        Ok(Identity {
            auth_time: proved,
            ..Identity::new(config, &subject, &claims)
        })
    }
}

/// Remembers somebody who leaves.
///
/// # Errors
/// Postgres.
pub fn remember(conn: &mut PgConnection, departure: &Departure) -> QueryResult<()> {
    store::insert_state(conn, departure)?;
    Ok(())
}

/// Lets somebody come back, once, with the browser that left; `None` for all others.
///
/// # Errors
/// Postgres.
pub fn recall(
    conn: &mut PgConnection,
    state: &str,
    upstream: &str,
    browser: &[u8],
) -> QueryResult<Option<StateRow>> {
    store::take_state(conn, &Secret::hash(state), upstream, browser)
}
