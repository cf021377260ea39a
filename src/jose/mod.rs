//! Tokens that others have signed: client assertions, request objects, ID tokens of other providers, DPoP proofs.
//!
//! Only the signature and the type are judged here; issuer, audience and times are the reader's to check.

mod compact;
mod keys;
mod proof;
mod target;
mod thumbprint;

use serde_json::{Map, Value};

pub use keys::PublicKeys;
pub use proof::Proof;
pub use thumbprint::thumbprint;

use compact::Compact;

/// Why a token, a key or a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// No compact JWS, too large, or its JSON is ambiguous.
    #[error("the token is no signed JWT in compact form")]
    Malformed,
    /// The header steers how the token is to be read, or is mistyped.
    #[error("the token's header has members that are not allowed")]
    Header,
    /// Another `typ`.
    #[error("the token is of another type")]
    Type,
    /// `none`, HMAC, or another algorithm that is not accepted.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// No key has the token's `kid` and algorithm; newer keys may.
    #[error("no key fits the token")]
    UnknownKey,
    /// Not the signature of a fitting key.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim that is missing or of the wrong kind.
    #[error("the claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// A claim of a proof that fits another request.
    #[error("the claim `{0}` doesn't fit the request")]
    Mismatch(&'static str),
    /// A proof that is older than 60 s or more than 30 s ahead.
    #[error("the proof is too old, or not yet valid")]
    Untimely,
    /// No JWK, or no JWK Set.
    #[error("the key is no JWK (RFC 7517)")]
    MalformedKey,
    /// A symmetric key, or one with private members.
    #[error("the key is not public")]
    SecretKey,
    /// An RSA key of the wrong size.
    #[error("an RSA key has 2048 to 8192 bits and an exponent of 65537 or more")]
    WeakKey,
    /// A set with too many keys.
    #[error("a set has at most 20 keys")]
    TooManyKeys,
}

/// Verifies the signature of a compact JWS and gives its claims; `expected_typ` has the types that are right, without
/// `application/`, and `""` where none is too.
///
/// # Errors
/// `JoseError`; with `UnknownKey` and `Signature` it may be worth it to fetch the keys anew.
pub fn verify(
    token: &str,
    keys: &PublicKeys,
    expected_typ: &[&str],
) -> Result<Map<String, Value>, JoseError> {
    let token = Compact::read(token)?;
    if token.header.contains_key("jwk") {
        return Err(JoseError::Header);
    }
    let is_expected = match token.text("typ")? {
        None => expected_typ.contains(&""),
        Some(typ) => expected_typ.iter().any(|expected| is_type(typ, expected)),
    };
    if !is_expected {
        return Err(JoseError::Type);
    }
    let mut fitting = keys.fitting(token.text("kid")?, token.algorithm).peekable();
    if fitting.peek().is_none() {
        return Err(JoseError::UnknownKey);
    }
    if !fitting.any(|key| token.is_signed_by(key)) {
        return Err(JoseError::Signature);
    }
    token.claims()
}

/// The algorithms that signatures of others may have, as discovery lists them.
pub const ALGORITHMS: &[&str] = &["RS256", "PS256", "ES256", "EdDSA", "Ed25519"];

/// Who a token says it is from, so that its keys can be found; nothing of it is to be believed before `verify`.
pub fn claimed_issuer(token: &str) -> Option<String> {
    let claims = Compact::read(token).ok()?.claims().ok()?;
    Some(claims.get("iss")?.as_str()?.to_owned())
}

/// Compares media types, in any letter case and with or without `application/` (RFC 7515 section 4.1.9).
fn is_type(typ: &str, expected: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let bare = typ.strip_prefix("application/").unwrap_or(&typ);
    !expected.is_empty() && bare == expected.to_ascii_lowercase()
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
