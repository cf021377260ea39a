//! Signing keys: which key signs what, which key a `kid` names, and what the world may know of them.

mod jwks;
mod live;
mod ring;
pub mod rotation;
pub mod routes;
mod seal;
mod signer;
mod store;
mod strength;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use jwks::{Jwk, Jwks, PublishedKeys};
pub use live::Keys;
pub use ring::{Key, Keyring, SharedSecret, Wanted};
pub use rotation::{Lifetimes, Plan};
pub use seal::{MasterKeys, SealError};
pub use store::KeyRow;
pub use strength::WeakKey;

use crate::error::{ApiError, Code};

/// A signature algorithm of RFC 7518 section 3.1 and RFC 8037.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, ToSchema, ValueEnum)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[value(name = "RS256")]
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[value(name = "ES256")]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[value(name = "EdDSA")]
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// HMAC with SHA-256: a secret shared with one audience.
    #[value(name = "HS256")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, ToSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Access tokens.
    Access,
    /// Refresh tokens.
    Refresh,
    /// Page cursors.
    Cursor,
    /// What clients learn of users: ID tokens, logout tokens, signed answers.
    Identity,
    /// What our own pages and endpoints give to themselves: forms, nonces.
    Page,
}

impl Purpose {
    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Cursor => "cursor",
            Self::Identity => "identity",
            Self::Page => "page",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let all = [
            Self::Access,
            Self::Refresh,
            Self::Cursor,
            Self::Identity,
            Self::Page,
        ];
        all.into_iter().find(|purpose| purpose.name() == name)
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

    /// The slot of what clients learn of users: every client of OpenID Connect knows RS256 (Core section 15.1).
    pub fn identity() -> Self {
        Self {
            purpose: Purpose::Identity,
            algorithm: Algorithm::Rs256,
            audience: String::new(),
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

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = KeyState)]
pub enum State {
    /// Published, so that verifiers know it before it signs.
    Staged,
    /// Signs.
    Active,
    /// Signs no more, but what it signed is good.
    Retiring,
    /// Neither signs nor verifies.
    Retired,
}

impl State {
    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Staged, Self::Active, Self::Retiring, Self::Retired]
            .into_iter()
            .find(|state| state.name() == name)
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
    /// There is no such key, or it is retired.
    #[error("there is no key {kid} that could be retired")]
    Unknown {
        /// Which key.
        kid: String,
    },
    /// The slot has a staged key, which comes first.
    #[error("{kid} is staged already and comes first")]
    Staged {
        /// Which key.
        kid: String,
    },
    /// Keys for HS256 that the configuration gives are rotated there.
    #[error("the secret of {audience} stands in the configuration and is rotated there")]
    Configured {
        /// Whose.
        audience: String,
    },
    /// No tokens are made like this.
    #[error("no tokens are signed with {algorithm} for {audience:?}")]
    NotWanted {
        /// Which algorithm.
        algorithm: &'static str,
        /// For whom.
        audience: String,
    },
    /// Postgres.
    #[error(transparent)]
    Database(#[from] diesel::result::Error),
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        let code = match error {
            KeyError::Unknown { .. } => Code::NotFound,
            KeyError::Staged { .. } => Code::KeyStaged,
            KeyError::Configured { .. } => Code::KeyConfigured,
            KeyError::NotWanted { .. } => Code::ValidationFailed,
            KeyError::Database(error) => return error.into(),
            other => return Self::internal(other),
        };
        Self::new(code, error.to_string())
    }
}
