//! Which keys are too weak to start with (RFC 8725 section 3.5, RFC 7518 sections 3.2 and 3.3).

use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose};

/// What is weak about a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakKey {
    /// A secret that is no base64.
    #[error("a secret is written in base64: openssl rand -base64 32")]
    NotBase64,
    /// A secret under 32 bytes.
    #[error(
        "a secret of {0} bytes is too short for HS256; 32 or more are needed: openssl rand -base64 32"
    )]
    ShortSecret(usize),
    /// A secret that was published somewhere, or repeats itself.
    #[error(
        "the secret is a published default or a repetition; make one with: openssl rand -base64 32"
    )]
    KnownSecret,
    /// A secret that is a public or private key, or a certificate.
    #[error(
        "the secret is a PEM, DER or JWK key, which others may know; make one with: openssl rand -base64 32"
    )]
    KeyAsSecret,
    /// An RSA key under 2048 bits.
    #[error("an RSA key of {0} bits is too short; 2048 or more are needed")]
    ShortRsa(usize),
    /// An RSA key with a small public exponent.
    #[error("the RSA key's public exponent is below 65537")]
    SmallExponent,
    /// Bytes that are no RSA key in PKCS#8.
    #[error("the key is no RSA key in PKCS#8")]
    NotRsa,
}

/// Fragments of secrets that tutorials and default configurations have published.
const PUBLISHED: &[&str] = &[
    "your-256-bit-secret",
    "your-super-secret-jwt-token-with-at-least-32-characters-long",
    "super-secret-jwt-token-with-at-least-32-characters-long",
    "a-string-secret-at-least-256-bits-long",
    "changeme",
    "change-me",
    "change_me",
    "please-change",
    "mysecret",
    "my-secret",
    "supersecret",
    "super-secret",
    "secretsecret",
    "secret-key",
    "secretkey",
    "jwt-secret",
    "jwt_secret",
    "0123456789abcdef0123456789abcdef",
    "passwordpassword",
];

/// Reads a configured secret: base64 or base64url, as given by `openssl rand -base64 32`.
pub(super) fn decode_secret(text: &str) -> Result<Vec<u8>, WeakKey> {
    // A tutorial's secret is often no base64; it deserves the error that says why it is refused.
    check_not_known(text.as_bytes())?;
    check_not_a_key(text.as_bytes())?;
    let trimmed = text.trim().trim_end_matches('=');
    let secret = general_purpose::STANDARD_NO_PAD
        .decode(trimmed)
        .or_else(|_not_standard| general_purpose::URL_SAFE_NO_PAD.decode(trimmed))
        .map_err(|_malformed| WeakKey::NotBase64)?;
    check_secret(&secret)?;
    Ok(secret)
}

/// The `kid` of a configured secret: the same on every replica, and nothing can be learnt from it.
pub(super) fn configured_kid(audience: &str, secret: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("tollgate kid\n{audience}").as_bytes());
    let short = tag.as_ref().get(..16).unwrap_or_default();
    format!("hs256-{}", general_purpose::URL_SAFE_NO_PAD.encode(short))
}

/// Refuses secrets that are short, published, repetitive, or keys of another kind.
pub(super) fn check_secret(secret: &[u8]) -> Result<(), WeakKey> {
    check_not_a_key(secret)?;
    check_not_known(secret)?;
    if secret.len() < 32 {
        return Err(WeakKey::ShortSecret(secret.len()));
    }
    let mut seen = [false; 256];
    for byte in secret {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    if seen.iter().filter(|seen| **seen).count() < 8 {
        return Err(WeakKey::KnownSecret);
    }
    Ok(())
}

fn check_not_known(secret: &[u8]) -> Result<(), WeakKey> {
    let text = String::from_utf8_lossy(secret).to_lowercase();
    if PUBLISHED.iter().any(|published| text.contains(published)) {
        return Err(WeakKey::KnownSecret);
    }
    Ok(())
}

fn check_not_a_key(secret: &[u8]) -> Result<(), WeakKey> {
    let trimmed = secret.trim_ascii();
    let pem = trimmed.windows(10).any(|window| window == b"-----BEGIN");
    let jwk = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(trimmed)
        .is_ok_and(|object| object.contains_key("kty") || object.contains_key("keys"));
    if pem || jwk || is_der_sequence(secret) || is_der_sequence(trimmed) {
        return Err(WeakKey::KeyAsSecret);
    }
    Ok(())
}

/// Tells whether the bytes are one DER SEQUENCE (X.690 section 8.9), as every key and certificate is.
fn is_der_sequence(bytes: &[u8]) -> bool {
    read_der(bytes).is_some_and(|(tag, _, rest)| tag == 0x30 && rest.is_empty())
}

/// Reads one DER element with a definite length: its tag, its content, and what follows.
fn read_der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = octets
                .iter()
                .fold(0_usize, |length, octet| (length << 8) | usize::from(*octet));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// Refuses RSA keys under 2048 bits or with a public exponent below 65537; `pkcs8` is a PrivateKeyInfo (RFC 5208).
pub(super) fn check_rsa(pkcs8: &[u8]) -> Result<(), WeakKey> {
    let (modulus, exponent) = rsa_numbers(pkcs8).ok_or(WeakKey::NotRsa)?;
    let significant = |number: &[u8]| {
        number
            .iter()
            .skip_while(|byte| **byte == 0)
            .copied()
            .collect::<Vec<_>>()
    };
    let (modulus, exponent) = (significant(modulus), significant(exponent));
    let leading_zeros = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len() * 8 - usize::try_from(leading_zeros).unwrap_or_default();
    if bits < 2048 {
        return Err(WeakKey::ShortRsa(bits));
    }
    if exponent.len() < 3 || exponent.as_slice() < [1, 0, 1].as_slice() && exponent.len() == 3 {
        return Err(WeakKey::SmallExponent);
    }
    Ok(())
}

/// Modulus and public exponent of a PrivateKeyInfo that holds an RSAPrivateKey (RFC 8017 appendix A.1.2).
fn rsa_numbers(pkcs8: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, info, _) = read_der(pkcs8)?;
    let (_, _version, rest) = read_der(info)?;
    let (_, _algorithm, rest) = read_der(rest)?;
    let (_, private_key, _) = read_der(rest)?;
    let (_, numbers, _) = read_der(private_key)?;
    let (_, _version, rest) = read_der(numbers)?;
    let (_, modulus, rest) = read_der(rest)?;
    let (_, exponent, _) = read_der(rest)?;
    Some((modulus, exponent))
}

/// A short, stable name of some bytes, for `ETag`s.
pub(super) fn fingerprint(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    general_purpose::URL_SAFE_NO_PAD.encode(hash.as_ref().get(..12).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private_key_info(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        let der = |tag: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82], length.as_slice(), content].concat()
        };
        let numbers = [der(2, &[0]), der(2, modulus), der(2, exponent)].concat();
        let info = [der(2, &[0]), der(0x30, &[]), der(4, &der(0x30, &numbers))].concat();
        der(0x30, &info)
    }

    #[test]
    fn key_01_short_rsa_and_small_exponents_are_refused() {
        let modulus = |bits: usize| vec![0xff; bits / 8];
        assert_eq!(
            check_rsa(&private_key_info(&modulus(1024), &[1, 0, 1])),
            Err(WeakKey::ShortRsa(1024))
        );
        assert_eq!(
            check_rsa(&private_key_info(&modulus(2048), &[3])),
            Err(WeakKey::SmallExponent)
        );
        assert_eq!(
            check_rsa(&private_key_info(&modulus(2048), &[1, 0, 0])),
            Err(WeakKey::SmallExponent)
        );
        assert_eq!(
            check_rsa(&private_key_info(&modulus(2048), &[1, 0, 1])),
            Ok(())
        );
        assert_eq!(check_rsa(b"nonsense"), Err(WeakKey::NotRsa));
    }

    #[test]
    fn key_01_weak_secrets_are_refused() {
        let encode = |bytes: &[u8]| general_purpose::STANDARD.encode(bytes);
        for (secret, fault) in [
            (String::new(), WeakKey::ShortSecret(0)),
            (
                encode(b"only-31-bytes-are-not-enough!!!"),
                WeakKey::ShortSecret(31),
            ),
            (encode(&[0; 64]), WeakKey::KnownSecret),
            (
                encode(b"your-super-secret-jwt-token-with-at-least-32-characters-long"),
                WeakKey::KnownSecret,
            ),
            ("your-256-bit-secret".to_owned(), WeakKey::KnownSecret),
            (
                "not base64 at all, but long enough to pass for a secret".to_owned(),
                WeakKey::NotBase64,
            ),
        ] {
            assert_eq!(decode_secret(&secret).unwrap_err(), fault, "{secret}");
        }
        assert!(decode_secret(&encode(b"32 random bytes, or so it seems.")).is_ok());
    }

    #[test]
    fn key_02_a_key_of_another_kind_is_no_secret() {
        let encode = |bytes: &[u8]| general_purpose::STANDARD.encode(bytes);
        let pem = "\n -----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n-----END PUBLIC KEY-----\n";
        let jwk = " {\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAt\",\"e\":\"AQAB\"} ";
        let der = private_key_info(&[0xff; 256], &[1, 0, 1]);
        for secret in [
            pem.to_owned(),
            encode(pem.as_bytes()),
            jwk.to_owned(),
            encode(jwk.as_bytes()),
            encode(&der),
        ] {
            assert_eq!(
                decode_secret(&secret).unwrap_err(),
                WeakKey::KeyAsSecret,
                "{secret}"
            );
        }
    }
}
