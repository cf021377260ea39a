//! One documented struct per room.

use std::{
    net::IpAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Lifetime, RealtimeConfig, UpstreamConfig};
use crate::keys::Algorithm;

/// The effective configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// Postgres.
    pub database: DatabaseConfig,
    /// Signing keys at rest.
    pub keys: KeysConfig,
    /// Access tokens.
    pub tokens: TokensConfig,
    /// Tokens that die before they expire.
    pub revocation: RevocationConfig,
    /// Signed-in devices.
    pub sessions: SessionsConfig,
    /// The OAuth server and its pages.
    pub oauth: OAuthConfig,
    /// The feed of changes.
    pub feed: FeedConfig,
    /// Live updates.
    pub realtime: RealtimeConfig,
    /// Pages of other origins.
    pub cors: CorsConfig,
    /// Accounts.
    pub users: UsersConfig,
    /// Password hashing.
    pub passwords: PasswordsConfig,
    /// Rates.
    pub limits: LimitsConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
}

/// Whether conveniences are allowed that only a developer's machine may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A developer's machine: private Postgres, plain HTTP, a first administrator.
    Development,
    /// Everything else.
    Production,
}

/// The HTTP server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// `host:port`; a name listens on all its addresses.
    pub listen: String,
    /// The address that clients see; `None` means `http://<listen>`.
    pub issuer: Option<String>,
    /// `None`: production when the issuer is not loopback.
    pub mode: Option<Mode>,
    /// Where the private Postgres and the development master key lie.
    pub data_dir: PathBuf,
    /// Threads that serve requests; 0 means one per core.
    pub workers: usize,
    /// Proxies whose word about the client's address is believed: addresses or networks.
    pub trusted_proxies: Vec<Network>,
    /// The header in which they say it.
    pub forwarded_header: ForwardedHeader,
    /// Whether `/docs` and `/openapi.json` are there.
    pub docs: bool,
    /// A built single-page app to serve beside the API.
    pub static_dir: Option<PathBuf>,
}

/// An address or a network, as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(pub IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text
            .parse::<IpNet>()
            .or_else(|_no_network| text.parse::<IpAddr>().map(IpNet::from));
        network
            .map(Self)
            .map_err(|_no_address| format!("{text:?} is no address and no network"))
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0.to_string()
    }
}

/// Where a proxy says for whom it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Postgres.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// A libpq connection string; `None` means the private Postgres.
    #[serde(serialize_with = "redacted")]
    pub url: Option<SecretString>,
    /// The same database without a pooler in between, for LISTEN and migrations; `None` means `url`.
    #[serde(default, serialize_with = "redacted")]
    pub direct_url: Option<SecretString>,
    /// Connections of this process; 0 means two per core.
    pub pool_size: usize,
    /// Whether statements are prepared once per connection; a pooler in transaction mode can't have that.
    pub statement_cache: bool,
}

/// Signing keys at rest.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// Keys of 32 bytes in base64, separated by commas: the first seals, all open.
    #[serde(serialize_with = "redacted")]
    pub master_key: Option<SecretString>,
    /// Bits of new RSA keys.
    pub rsa_bits: u16,
    /// How long a key signs before its successor does.
    pub rotation_interval: Lifetime,
}

/// Access tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokensConfig {
    /// The `aud` of this API's own tokens; `None` means the issuer.
    pub audience: Option<String>,
    /// How access tokens for this API are signed.
    pub algorithm: Algorithm,
    /// The shared secret in base64 when `algorithm` is HS256; `None` means made and sealed.
    #[serde(serialize_with = "redacted")]
    pub hs256_secret: Option<SecretString>,
    /// Another such secret that is accepted too, for replacing the first.
    #[serde(default, serialize_with = "redacted")]
    pub hs256_previous_secret: Option<SecretString>,
    /// How long an access token lives.
    pub access_lifetime: Lifetime,
    /// Claim name to field of the user.
    #[serde(default)]
    pub private_claims: std::collections::BTreeMap<String, String>,
    /// Other APIs that tokens are made for.
    #[serde(default)]
    pub audiences: Vec<AudienceConfig>,
}

/// One other API that tokens are made for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AudienceConfig {
    /// The `aud`, an absolute URI without a fragment (RFC 8707 section 2).
    pub id: String,
    /// How its tokens are signed.
    pub algorithm: Algorithm,
    /// The secret shared with it, in base64, when `algorithm` is HS256; `None` means made and sealed.
    #[serde(default, serialize_with = "redacted")]
    pub hs256_secret: Option<SecretString>,
    /// Another such secret that is accepted too, for replacing the first.
    #[serde(default, serialize_with = "redacted")]
    pub hs256_previous_secret: Option<SecretString>,
}

/// What verifying does when revocations can't be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// Goes on with what is known.
    Serve,
    /// Answers 503.
    Refuse,
}

/// Tokens that die before they expire.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationConfig {
    /// What verifying does when the database was out of reach for 5 s.
    pub on_loss: OnLoss,
}

/// Signed-in devices.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsConfig {
    /// A session ends when it was not refreshed for this long.
    pub idle_lifetime: Lifetime,
    /// A session ends this long after signing in.
    pub absolute_lifetime: Lifetime,
}

/// Who may register clients at `/oauth/register`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Nobody.
    Off,
    /// Whoever has the token.
    Token,
    /// Anyone.
    Open,
}

/// The OAuth server and its pages.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OAuthConfig {
    /// What people read above every page.
    pub service_name: String,
    /// Who may register clients.
    pub registration: Registration,
    /// The token that registering needs, where it does.
    #[serde(default, serialize_with = "redacted")]
    pub registration_token: Option<SecretString>,
    /// How many clients may have registered themselves.
    pub registered_clients: i64,
    /// What clients that registered themselves, or are documents, may ask for at most.
    pub registered_scopes: Vec<String>,
    /// Whether a client may be a document that its `client_id` names.
    pub client_documents: bool,
    /// Whether DPoP proofs need a nonce of ours.
    pub require_dpop_nonce: bool,
    /// Other providers at which people may sign in.
    #[serde(default)]
    pub upstream: Vec<UpstreamConfig>,
}

/// The feed of changes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    /// How long changes can be read, and some more, until their day is over.
    pub retention: Lifetime,
}

/// Who may make accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Anyone.
    Open,
    /// Only holders of `users:write`.
    Closed,
}

/// Accounts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UsersConfig {
    /// Who may make accounts.
    pub sign_up: SignUp,
}

/// Pages of other origins that may use the API from a browser.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CorsConfig {
    /// Scheme, host and port of each, as browsers send them in `Origin`.
    pub allowed_origins: Vec<String>,
}

/// Password hashing.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordsConfig {
    /// Argon2id hashes at the same time; 0 means one per core.
    pub parallel_hashes: usize,
    /// Hashes that may wait for their turn.
    pub queue: usize,
}

/// Rates.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Whether failed sign-ins are counted at all.
    pub enabled: bool,
    /// Failed sign-ins per account before waiting starts.
    pub sign_in_free_per_account: i32,
    /// Failed sign-ins per address before waiting starts.
    pub sign_in_free_per_address: i32,
    /// The longest wait after a failure.
    pub sign_in_longest_wait: Lifetime,
    /// Connections of one address (IPv6: of one /64) at the same time, to each replica; trusted proxies have no limit.
    pub connections_per_address: NonZeroUsize,
    /// Requests with a token, by each replica.
    pub requests_per_minute_per_user: NonZeroU32,
    /// Requests without one, by each replica.
    pub requests_per_minute_per_address: NonZeroU32,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

/// Logs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// `None`: human in development, JSON in production.
    pub log_format: Option<LogFormat>,
    /// What is logged, in the syntax of tracing's `EnvFilter`.
    pub log_filter: String,
    /// Where `/metrics` listens; `None`: beside the API in development, nowhere in production.
    pub metrics_listen: Option<String>,
    /// The collector that gets a span for every request; needs a binary with the feature `otel`.
    pub otlp_endpoint: Option<String>,
}

/// Writes a secret as whether it is set, so that no dump ever holds one.
pub(super) fn redacted<S: serde::Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_some("[redacted]"),
        None => serializer.serialize_none(),
    }
}
