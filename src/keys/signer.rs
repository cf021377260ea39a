//! Parsed private keys: parsing RSA anew for every signature would cost twice the signature.

use aws_lc_rs::{
    encoding::AsDer,
    hmac, rand, rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;

use super::{Algorithm, Jwk, strength, strength::WeakKey};

pub(super) enum Signer {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
    Hmac {
        key: Box<hmac::Key>,
        secret: Vec<u8>,
    },
}

impl Signer {
    /// Makes the material of a new key: PKCS#8, or a random secret of 32 bytes.
    pub(super) fn generate(algorithm: Algorithm, rsa_bits: u16) -> Option<Vec<u8>> {
        match algorithm {
            Algorithm::Rs256 => {
                let size = match rsa_bits {
                    4096 => rsa::KeySize::Rsa4096,
                    3072 => rsa::KeySize::Rsa3072,
                    _ => rsa::KeySize::Rsa2048,
                };
                let pair = rsa::KeyPair::generate(size).ok()?;
                Some(pair.as_der().ok()?.as_ref().to_vec())
            }
            Algorithm::Es256 => {
                let pair =
                    EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
                Some(pair.to_pkcs8v1().ok()?.as_ref().to_vec())
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().ok()?;
                Some(pair.to_pkcs8().ok()?.as_ref().to_vec())
            }
            Algorithm::Hs256 => {
                let mut secret = vec![0; 32];
                rand::fill(&mut secret).ok()?;
                Some(secret)
            }
        }
    }

    /// Parses what `generate` made; tells what is weak, or `None` when it is no key at all.
    pub(super) fn parse(algorithm: Algorithm, material: &[u8]) -> Result<Self, Option<WeakKey>> {
        match algorithm {
            Algorithm::Rs256 => {
                strength::check_rsa(material).map_err(Some)?;
                let pair = RsaKeyPair::from_pkcs8(material).map_err(|_rejected| None)?;
                Ok(Self::Rsa(Box::new(pair)))
            }
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, material)
                    .map(|pair| Self::Ecdsa(Box::new(pair)))
                    .map_err(|_rejected| None)
            }
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(material)
                .map(|pair| Self::Ed25519(Box::new(pair)))
                .map_err(|_rejected| None),
            Algorithm::Hs256 => {
                strength::check_secret(material).map_err(Some)?;
                Ok(Self::Hmac {
                    key: Box::new(hmac::Key::new(hmac::HMAC_SHA256, material)),
                    secret: material.to_vec(),
                })
            }
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = rand::SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &signature::RSA_PKCS1_SHA256,
                    &random,
                    message,
                    &mut signature,
                )
                .ok()?;
                Some(signature)
            }
            Self::Ecdsa(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
            Self::Hmac { key, .. } => Some(hmac::sign(key, message).as_ref().to_vec()),
        }
    }

    pub(super) fn verifier(&self) -> Option<DecodingKey> {
        match self {
            Self::Rsa(pair) => {
                let public = pair.public_key();
                Some(DecodingKey::from_rsa_raw_components(
                    public.modulus().big_endian_without_leading_zero(),
                    public.exponent().big_endian_without_leading_zero(),
                ))
            }
            Self::Ecdsa(pair) => {
                let (x, y) = coordinates(pair)?;
                DecodingKey::from_ec_components(&x, &y).ok()
            }
            Self::Ed25519(pair) => {
                DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()))
                    .ok()
            }
            Self::Hmac { secret, .. } => Some(DecodingKey::from_secret(secret)),
        }
    }

    /// The public half as a JWK (RFC 7517); `None` for secrets, which have none.
    pub(super) fn public_jwk(&self, kid: &str) -> Option<Jwk> {
        match self {
            Self::Rsa(pair) => {
                let public = pair.public_key();
                Some(Jwk {
                    n: Some(
                        URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero()),
                    ),
                    e: Some(
                        URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero()),
                    ),
                    ..Jwk::new("RSA", Algorithm::Rs256, kid)
                })
            }
            Self::Ecdsa(pair) => {
                let (x, y) = coordinates(pair)?;
                Some(Jwk {
                    crv: Some("P-256"),
                    x: Some(x),
                    y: Some(y),
                    ..Jwk::new("EC", Algorithm::Es256, kid)
                })
            }
            Self::Ed25519(pair) => Some(Jwk {
                crv: Some("Ed25519"),
                x: Some(URL_SAFE_NO_PAD.encode(pair.public_key().as_ref())),
                ..Jwk::new("OKP", Algorithm::EdDsa, kid)
            }),
            Self::Hmac { .. } => None,
        }
    }
}

/// The two coordinates of an uncompressed P-256 point (SEC 1 section 2.3.3), in base64url.
fn coordinates(pair: &EcdsaKeyPair) -> Option<(String, String)> {
    let (marker, point) = pair.public_key().as_ref().split_first()?;
    let (x, y) = point.split_at_checked(32)?;
    (*marker == 4 && y.len() == 32).then(|| (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y)))
}
