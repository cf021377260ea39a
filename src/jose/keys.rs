//! Public keys of others (RFC 7517, RFC 7518 section 6, RFC 8037).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Value, json};

use super::JoseError;

/// Keys of the largest set that is read; each may have to be tried.
const MAX_KEYS: usize = 20;

/// Members that make a key secret: of RSA, EC and OKP keys, of symmetric ones, and of RFC 9964's.
const SECRET_MEMBERS: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// Keys that somebody else published.
#[derive(Clone, Debug)]
pub struct PublicKeys(Vec<PublicKey>);

impl PublicKeys {
    /// Reads a JWK Set, passing over keys that can't have signed what is accepted here.
    ///
    /// # Errors
    /// No set, more than 20 keys, a malformed, weak or secret one.
    pub fn parse(jwks: &Value) -> Result<Self, JoseError> {
        let keys = jwks.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(JoseError::MalformedKey)?;
        if keys.len() > MAX_KEYS {
            return Err(JoseError::TooManyKeys);
        }
        let usable = keys
            .iter()
            .filter_map(|jwk| PublicKey::parse(jwk).transpose());
        usable.collect::<Result<_, _>>().map(Self)
    }

    /// Tells whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that may have signed a token: those that `kid` names, or any when it names none.
    pub(super) fn fitting(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &PublicKey> {
        self.0.iter().filter(move |key| {
            key.algorithms.contains(&algorithm) && (kid.is_none() || key.kid.as_deref() == kid)
        })
    }
}

/// One key and what it may verify.
#[derive(Clone, Debug)]
pub(super) struct PublicKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    verifier: DecodingKey,
}

impl PublicKey {
    /// Reads one JWK; `None` when it is of another kind, for another use or for another algorithm.
    pub(super) fn parse(jwk: &Value) -> Result<Option<Self>, JoseError> {
        let kind = text(jwk, "kty")?.ok_or(JoseError::MalformedKey)?;
        if kind == "oct" || SECRET_MEMBERS.iter().any(|name| jwk.get(name).is_some()) {
            return Err(JoseError::SecretKey);
        }
        let is_for_signatures = text(jwk, "use")?.is_none_or(|usage| usage == "sig")
            && jwk.get("key_ops").is_none_or(|all| {
                all.as_array()
                    .is_some_and(|all| all.contains(&json!("verify")))
            });
        if !is_for_signatures {
            return Ok(None);
        }
        let (verifier, mut algorithms) = match (kind, text(jwk, "crv")?) {
            ("RSA", _) => (rsa(jwk)?, vec![Algorithm::RS256, Algorithm::PS256]),
            ("EC", Some("P-256")) => (p256(jwk)?, vec![Algorithm::ES256]),
            ("OKP", Some("Ed25519")) => (ed25519(jwk)?, vec![Algorithm::EdDSA]),
            _ => return Ok(None),
        };
        if let Some(only) = text(jwk, "alg")? {
            algorithms.retain(|algorithm| named(only) == Some(*algorithm));
        }
        let kid = text(jwk, "kid")?.map(str::to_owned);
        Ok((!algorithms.is_empty()).then_some(Self {
            kid,
            algorithms,
            verifier,
        }))
    }

    /// Tells whether `signature` (base64url) is this key's over `message`, made with an algorithm that it may use.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        self.algorithms.contains(&algorithm)
            && matches!(
                jsonwebtoken::crypto::verify(
                    signature,
                    message.as_bytes(),
                    &self.verifier,
                    algorithm
                ),
                Ok(true)
            )
    }
}

/// The algorithm of a name; `None` for `none`, HMAC and all else that is not accepted.
///
/// RFC 9864 renames what `EdDSA` means here to `Ed25519`, and clients send either.
pub(super) fn named(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "PS256" => Some(Algorithm::PS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" | "Ed25519" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

/// A member that is text where it stands.
fn text<'a>(jwk: &'a Value, name: &str) -> Result<Option<&'a str>, JoseError> {
    let member = jwk.get(name);
    member
        .map(|value| value.as_str().ok_or(JoseError::MalformedKey))
        .transpose()
}

/// A member's bytes, in canonical base64url.
fn bytes(jwk: &Value, name: &str) -> Result<Vec<u8>, JoseError> {
    let text = text(jwk, name)?.ok_or(JoseError::MalformedKey)?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_not_canonical| JoseError::MalformedKey)
}

fn rsa(jwk: &Value) -> Result<DecodingKey, JoseError> {
    let (modulus, exponent) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    // Numbers have no leading zeros (RFC 7518 section 2): one text, one thumbprint for one key.
    let (Some(1..), Some(1..)) = (modulus.first(), exponent.first()) else {
        return Err(JoseError::MalformedKey);
    };
    let has_size = match modulus.len() {
        256 => modulus.first() >= Some(&0x80),
        length => (257..=1_024).contains(&length),
    };
    let has_exponent =
        exponent.len() == 4 || exponent.len() == 3 && exponent.as_slice() >= [1, 0, 1].as_slice();
    if !has_size || !has_exponent {
        return Err(JoseError::WeakKey);
    }
    Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

fn p256(jwk: &Value) -> Result<DecodingKey, JoseError> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let is_on_curve = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).is_ok();
    if x.len() != 32 || y.len() != 32 || !is_on_curve {
        return Err(JoseError::MalformedKey);
    }
    Ok(DecodingKey::from_ec_der(&point))
}

fn ed25519(jwk: &Value) -> Result<DecodingKey, JoseError> {
    let point = bytes(jwk, "x")?;
    if point.len() != 32 {
        return Err(JoseError::MalformedKey);
    }
    Ok(DecodingKey::from_ed_der(&point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::samples::{Sample, rsa_key};

    fn parse(jwk: Value) -> Result<usize, JoseError> {
        PublicKeys::parse(&json!({ "keys": [jwk] })).map(|keys| keys.0.len())
    }

    fn with(mut jwk: Value, name: &str, value: Value) -> Value {
        jwk.as_object_mut().unwrap().insert(name.to_owned(), value);
        jwk
    }

    #[test]
    fn keys_that_are_no_use_are_passed_over() {
        let ec = Sample::ec().jwk();
        for (name, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["sign"])),
            ("key_ops", json!("verify")),
            ("alg", json!("ES384")),
            ("alg", json!("RS256")),
            ("alg", json!("HS256")),
            ("alg", json!("none")),
            ("crv", json!("P-384")),
            ("kty", json!("AKP")),
        ] {
            assert_eq!(
                parse(with(ec.clone(), name, value.clone())),
                Ok(0),
                "{name} {value}"
            );
        }
        let ec = with(with(ec, "use", json!("sig")), "key_ops", json!(["verify"]));
        assert_eq!(parse(ec), Ok(1));
        assert!(
            PublicKeys::parse(&json!({ "keys": [] }))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn key_02_secret_keys_are_refused_whatever_they_are_for() {
        for name in SECRET_MEMBERS {
            for sample in [Sample::ec(), Sample::ed()] {
                let jwk = with(with(sample.jwk(), name, json!("AQAB")), "use", json!("enc"));
                assert_eq!(parse(jwk), Err(JoseError::SecretKey), "{name}");
            }
        }
        assert_eq!(parse(json!({ "kty": "oct" })), Err(JoseError::SecretKey));
    }

    #[test]
    fn key_01_weak_rsa_keys_are_refused() {
        let modulus = |length: usize, first: u8| {
            let mut bytes = vec![0xff; length];
            bytes[0] = first;
            bytes
        };
        for (n, e, outcome) in [
            (modulus(128, 0xff), &[1, 0, 1][..], Err(JoseError::WeakKey)),
            (modulus(256, 0x7f), &[1, 0, 1], Err(JoseError::WeakKey)),
            (modulus(1_025, 0xff), &[1, 0, 1], Err(JoseError::WeakKey)),
            (modulus(256, 0xff), &[3], Err(JoseError::WeakKey)),
            (modulus(256, 0xff), &[1, 0, 0], Err(JoseError::WeakKey)),
            (
                modulus(256, 0xff),
                &[1, 0, 0, 0, 1],
                Err(JoseError::WeakKey),
            ),
            (modulus(257, 0), &[1, 0, 1], Err(JoseError::MalformedKey)),
            (
                modulus(256, 0xff),
                &[0, 1, 0, 1],
                Err(JoseError::MalformedKey),
            ),
            (modulus(256, 0xff), &[], Err(JoseError::MalformedKey)),
            (modulus(256, 0x80), &[1, 0, 1], Ok(1)),
            (modulus(1_024, 0xff), &[1, 0, 0, 1], Ok(1)),
        ] {
            assert_eq!(parse(rsa_key(&n, e)), outcome, "{} {e:?}", n.len());
        }
    }

    #[test]
    fn malformed_keys_and_sets_are_refused() {
        let (ec, ed) = (Sample::ec().jwk(), Sample::ed().jwk());
        let x = ec["x"].as_str().unwrap();
        for jwk in [
            json!(null),
            json!({}),
            json!({ "kty": 1 }),
            with(ec.clone(), "x", json!(format!("{x}="))),
            with(ec.clone(), "x", json!(1)),
            with(ec.clone(), "y", json!(x)),
            with(ec.clone(), "y", json!("AQAB")),
            with(ec.clone(), "kid", json!(1)),
            with(ec.clone(), "alg", json!(["ES256"])),
            with(ed.clone(), "x", json!("AQAB")),
        ] {
            assert_eq!(parse(jwk.clone()), Err(JoseError::MalformedKey), "{jwk}");
        }
        for set in [json!([]), json!({}), json!({ "keys": {} }), ec.clone()] {
            assert_eq!(
                PublicKeys::parse(&set).unwrap_err(),
                JoseError::MalformedKey
            );
        }
        let many = |count| PublicKeys::parse(&json!({ "keys": vec![&ed; count] }));
        assert!(many(MAX_KEYS).is_ok());
        assert_eq!(many(MAX_KEYS + 1).unwrap_err(), JoseError::TooManyKeys);
    }
}
