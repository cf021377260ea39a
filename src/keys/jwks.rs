//! What the world may know of our keys (RFC 7517).

use serde::Serialize;
use utoipa::ToSchema;

use super::{Algorithm, strength};

/// The public half of one signing key, RFC 7517 section 4.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Jwk {
    /// Key type: `RSA`, `EC` or `OKP`.
    pub kty: &'static str,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: &'static str,
    /// The one algorithm that the key signs with.
    pub alg: Algorithm,
    /// The key's name in token headers.
    pub kid: String,
    /// Curve, of `EC` and `OKP` keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub crv: Option<&'static str>,
    /// Modulus, of `RSA` keys, in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub n: Option<String>,
    /// Public exponent, of `RSA` keys, in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub e: Option<String>,
    /// First coordinate, in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub x: Option<String>,
    /// Second coordinate, in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub y: Option<String>,
}

impl Jwk {
    pub(super) fn new(kty: &'static str, alg: Algorithm, kid: &str) -> Self {
        Self {
            kty,
            usage: "sig",
            alg,
            kid: kid.to_owned(),
            crv: None,
            n: None,
            e: None,
            x: None,
            y: None,
        }
    }
}

/// A JWK Set, RFC 7517 section 5.
#[derive(Debug, Serialize, ToSchema)]
pub struct Jwks {
    /// The keys that verify access tokens; never a secret.
    pub keys: Vec<Jwk>,
}

/// The set as it is served: serialised once.
#[derive(Default)]
pub struct PublishedKeys {
    /// The document.
    pub body: String,
    /// Its strong entity tag, with quotes.
    pub etag: String,
}

impl PublishedKeys {
    pub(super) fn new(keys: impl Iterator<Item = Jwk>) -> Self {
        let mut keys: Vec<_> = keys.collect();
        keys.sort_by(|one, other| one.kid.cmp(&other.kid));
        let body = serde_json::json!(Jwks { keys }).to_string();
        let etag = format!("\"{}\"", strength::fingerprint(body.as_bytes()));
        Self { body, etag }
    }
}
