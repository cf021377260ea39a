//! Signing keys: which key signs what, which key a `kid` names, and what the world may know of them.

mod jwks;
pub mod routes;
mod seal;
mod signer;
mod store;
mod strength;

use std::{collections::HashMap, sync::Arc};

use diesel::PgConnection;
use jsonwebtoken::DecodingKey;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use jwks::{Jwk, Jwks, PublishedKeys};
pub use seal::{MasterKeys, SealError};
pub use strength::WeakKey;

use signer::Signer;

/// A signature algorithm of RFC 7518 section 3.1 and RFC 8037.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, ToSchema)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// HMAC with SHA-256: a secret shared with one audience.
    #[serde(rename = "HS256")]
    Hs256,
}

impl Algorithm {
    /// The name in a JOSE header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Rs256, Self::Es256, Self::EdDsa, Self::Hs256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    const fn verifying(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
        }
    }
}

/// What a key is for; a key serves one purpose only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Access tokens.
    Access,
    /// Refresh tokens.
    Refresh,
    /// Page cursors.
    Cursor,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Cursor => "cursor",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Access, Self::Refresh, Self::Cursor]
            .into_iter()
            .find(|purpose| purpose.name() == name)
    }
}

/// What a key may sign: its purpose, its algorithm and, for HS256 access tokens, its one audience (else empty).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// What it is for.
    pub purpose: Purpose,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The one audience of a shared secret; empty for keys that any audience may verify.
    pub audience: String,
}

impl Slot {
    /// The slot that access tokens for `audience` are signed from.
    pub fn access(algorithm: Algorithm, audience: &str) -> Self {
        Self {
            purpose: Purpose::Access,
            algorithm,
            audience: match algorithm {
                Algorithm::Hs256 => audience.to_owned(),
                _ => String::new(),
            },
        }
    }

    /// The slot of a key that never leaves Tollgate.
    pub fn internal(purpose: Purpose) -> Self {
        Self {
            purpose,
            algorithm: Algorithm::Hs256,
            audience: String::new(),
        }
    }
}

/// Why the keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key is too weak to be trusted.
    #[error("key {kid}: {source}")]
    Weak {
        /// Which key.
        kid: String,
        /// What is weak.
        source: WeakKey,
    },
    /// A configured secret is too weak to be trusted.
    #[error("{setting}: {source}")]
    WeakSecret {
        /// Which setting.
        setting: &'static str,
        /// What is weak.
        source: WeakKey,
    },
    /// No master key opens a stored key.
    #[error("key {kid}: {source}")]
    Sealed {
        /// Which key.
        kid: String,
        /// What failed.
        source: SealError,
    },
    /// A stored key is not what its row says.
    #[error("key {kid} is damaged")]
    Damaged {
        /// Which key.
        kid: String,
    },
    /// The operating system gave no randomness, or a key could not be made.
    #[error("no new key could be made")]
    Generation,
    /// Postgres.
    #[error(transparent)]
    Database(#[from] diesel::result::Error),
}

/// One usable key.
pub struct Key {
    /// Its name in JOSE headers.
    pub kid: String,
    /// What it may sign.
    pub slot: Slot,
    signer: Signer,
    verifier: DecodingKey,
    published: Option<Jwk>,
}

impl Key {
    fn new(kid: String, slot: Slot, material: &[u8]) -> Result<Self, KeyError> {
        let damaged = || KeyError::Damaged { kid: kid.clone() };
        let signer = Signer::parse(slot.algorithm, material).map_err(|source| match source {
            Some(source) => KeyError::Weak {
                kid: kid.clone(),
                source,
            },
            None => damaged(),
        })?;
        let verifier = signer.verifier().ok_or_else(damaged)?;
        let published = match slot.purpose {
            Purpose::Access => signer.public_jwk(&kid),
            Purpose::Refresh | Purpose::Cursor => None,
        };
        Ok(Self {
            kid,
            slot,
            signer,
            verifier,
            published,
        })
    }

    /// Signs `message`; the raw signature of RFC 7518, not yet encoded.
    ///
    /// # Errors
    /// The cryptographic library refuses.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.signer.sign(message).ok_or(KeyError::Generation)
    }

    /// Tells whether `signature` (base64url) is this key's over `message`.
    pub fn verifies(&self, signature: &str, message: &[u8]) -> bool {
        matches!(
            jsonwebtoken::crypto::verify(
                signature,
                message,
                &self.verifier,
                self.slot.algorithm.verifying()
            ),
            Ok(true)
        )
    }
}

/// Every key in use; no I/O after loading.
pub struct Keyring {
    by_kid: HashMap<String, Arc<Key>>,
    signing: HashMap<Slot, Arc<Key>>,
    published: PublishedKeys,
}

/// A slot that must have a key, and the secret that the configuration gives it.
pub struct Wanted {
    /// Which slot.
    pub slot: Slot,
    /// The setting's name and the shared secret, when configured.
    pub secret: Option<(&'static str, SecretString)>,
}

impl Keyring {
    /// Makes the keys that are wanted and missing, sealed under the first master key.
    ///
    /// # Errors
    /// Postgres, or no randomness.
    pub fn ensure(
        conn: &mut PgConnection,
        master: &MasterKeys,
        wanted: &[Wanted],
        rsa_bits: u16,
    ) -> Result<(), KeyError> {
        for slot in wanted
            .iter()
            .filter(|wanted| wanted.secret.is_none())
            .map(|wanted| &wanted.slot)
        {
            if store::has_active(conn, slot)? {
                continue;
            }
            let kid = format!(
                "{}-{}",
                slot.algorithm.name().to_lowercase(),
                uuid::Uuid::now_v7().simple()
            );
            let material =
                Signer::generate(slot.algorithm, rsa_bits).ok_or(KeyError::Generation)?;
            let sealed = master.seal(&kid, &material).ok_or(KeyError::Generation)?;
            store::insert_active(conn, &kid, slot, &sealed)?;
        }
        Ok(())
    }

    /// Loads every stored key and the configured secrets, refusing weak ones.
    ///
    /// # Errors
    /// A weak, damaged or sealed key; Postgres.
    pub fn load(
        conn: &mut PgConnection,
        master: &MasterKeys,
        wanted: &[Wanted],
    ) -> Result<Self, KeyError> {
        let mut by_kid = HashMap::new();
        let mut signing = HashMap::new();
        for row in store::usable(conn)? {
            let damaged = || KeyError::Damaged {
                kid: row.kid.clone(),
            };
            let slot = Slot {
                purpose: Purpose::from_name(&row.purpose).ok_or_else(damaged)?,
                algorithm: Algorithm::from_name(&row.algorithm).ok_or_else(damaged)?,
                audience: row.audience.clone(),
            };
            let material =
                master
                    .open(&row.kid, &row.sealed)
                    .map_err(|source| KeyError::Sealed {
                        kid: row.kid.clone(),
                        source,
                    })?;
            let key = Arc::new(Key::new(row.kid, slot.clone(), &material)?);
            if row.state == "active" {
                signing.insert(slot, Arc::clone(&key));
            }
            by_kid.insert(key.kid.clone(), key);
        }
        for wanted in wanted {
            let Some((setting, secret)) = &wanted.secret else {
                continue;
            };
            let material = strength::decode_secret(secret.expose_secret())
                .map_err(|source| KeyError::WeakSecret { setting, source })?;
            let kid = strength::configured_kid(&wanted.slot.audience, &material);
            let key = Arc::new(Key::new(kid, wanted.slot.clone(), &material)?);
            signing.insert(wanted.slot.clone(), Arc::clone(&key));
            by_kid.insert(key.kid.clone(), key);
        }
        let published = PublishedKeys::new(by_kid.values().filter_map(|key| key.published.clone()));
        Ok(Self {
            by_kid,
            signing,
            published,
        })
    }

    /// The key that `kid` names.
    pub fn by_kid(&self, kid: &str) -> Option<&Key> {
        self.by_kid.get(kid).map(Arc::as_ref)
    }

    /// The key that signs for `slot`.
    pub fn signing(&self, slot: &Slot) -> Option<&Key> {
        self.signing.get(slot).map(Arc::as_ref)
    }

    /// What the world may know.
    pub fn published(&self) -> &PublishedKeys {
        &self.published
    }
}
