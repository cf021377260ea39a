//! Tokens: what they hold, how they are made, and the one verifier, which asks nobody.

mod access;
mod identity;
mod jws;
mod private;
mod refresh;
mod refusal;
pub mod routes;
mod subject;
mod uses;
mod verified;

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use secrecy::SecretString;
use uuid::Uuid;

pub use access::{AccessClaims, Confirmation, Grant, Issued, UserGrant};
pub use identity::{IdentityGrant, IdentityHint, Statement};
pub use private::PrivateClaims;
pub use refresh::{RefreshClaims, RefreshGrant};
pub use refusal::Refusal;
pub use subject::Subject;
pub use verified::Verified;

use uses::Uses;
use verified::VerifiedTokens;

use crate::{
    clock::Clock,
    config::{AudienceConfig, Config, ConfigError, OnLoss},
    keys::{Algorithm, Key, KeyError, Keyring, Keys, Purpose, SharedSecret, Slot, Wanted},
    revocation::Revocations,
};

/// The client id of everything that signs in without naming a client.
pub const FIRST_PARTY_CLIENT: &str = "tollgate";

/// The client id of a browser that is signed in at our own pages.
pub const PAGES_CLIENT: &str = "tollgate-pages";

/// Clock skew that expiry forgives, in seconds.
const LEEWAY: i64 = 5;

/// How far ahead of our clock a token may have been issued, in seconds: replicas' clocks differ.
const AHEAD: i64 = 30;

/// What tokens look like under the running configuration.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    issuer: String,
    audience: String,
    algorithms: HashMap<String, Algorithm>,
    access_lifetime: i64,
    private_claims: PrivateClaims,
    on_loss: OnLoss,
}

impl TokenSettings {
    /// Takes from the configuration what tokens need.
    ///
    /// # Errors
    /// A private claim that can't be mapped.
    pub fn new(config: &Config, issuer: &str) -> Result<Self, ConfigError> {
        let audience = config
            .tokens
            .audience
            .clone()
            .unwrap_or_else(|| issuer.to_owned());
        let mut algorithms: HashMap<_, _> = config
            .tokens
            .audiences
            .iter()
            .map(|audience| (audience.id.clone(), audience.algorithm))
            .collect();
        algorithms.insert(audience.clone(), config.tokens.algorithm);
        Ok(Self {
            issuer: issuer.to_owned(),
            audience,
            algorithms,
            access_lifetime: config.tokens.access_lifetime.seconds(),
            private_claims: PrivateClaims::parse(&config.tokens.private_claims)?,
            on_loss: config.revocation.on_loss,
        })
    }

    /// Every key that tokens and cursors need, with the secrets that the configuration gives.
    pub fn wanted_keys(&self, config: &Config) -> Vec<Wanted> {
        let own = Wanted {
            slot: Slot::access(config.tokens.algorithm, &self.audience),
            secret: shared(
                "tokens.hs256_secret",
                &config.tokens.hs256_secret,
                &config.tokens.hs256_previous_secret,
            ),
        };
        let others = config.tokens.audiences.iter().map(wanted_of);
        let internal = [Purpose::Refresh, Purpose::Cursor, Purpose::Page].map(Slot::internal);
        let made = internal.into_iter().chain([Slot::identity()]);
        let made = made.map(|slot| Wanted { slot, secret: None });
        std::iter::once(own).chain(others).chain(made).collect()
    }
}

fn wanted_of(audience: &AudienceConfig) -> Wanted {
    Wanted {
        slot: Slot::access(audience.algorithm, &audience.id),
        secret: shared(
            "tokens.audiences.hs256_secret",
            &audience.hs256_secret,
            &audience.hs256_previous_secret,
        ),
    }
}

fn shared(
    setting: &'static str,
    current: &Option<SecretString>,
    previous: &Option<SecretString>,
) -> Option<SharedSecret> {
    current.clone().map(|current| SharedSecret {
        setting,
        current,
        previous: previous.clone(),
    })
}

/// Makes and verifies tokens; no I/O but to follow what changes in the database.
#[derive(Clone)]
pub struct Tokens {
    clock: Arc<Clock>,
    keys: Arc<Keys>,
    revocations: Arc<Revocations>,
    settings: Arc<TokenSettings>,
    verified: Arc<VerifiedTokens>,
    uses: Arc<Uses>,
}

impl Tokens {
    /// Puts keys and settings together; nothing counts as revoked before the first `follow`.
    pub fn new(keys: Keys, settings: TokenSettings) -> Self {
        Self {
            clock: Arc::default(),
            keys: Arc::new(keys),
            revocations: Arc::default(),
            settings: Arc::new(settings),
            verified: Arc::default(),
            uses: Arc::default(),
        }
    }

    /// The keys in use just now.
    pub fn keyring(&self) -> Arc<Keyring> {
        self.keys.ring()
    }

    /// The keys, with what there must be.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The time that tokens are made and judged by.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// What is dead before its time.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Takes over what has changed in the database: time, keys and revocations, these even if the keys can't be read.
    ///
    /// # Errors
    /// Postgres, a key that can't be used.
    pub fn follow(&self, conn: &mut PgConnection) -> Result<(), KeyError> {
        self.clock.follow(conn)?;
        let keys = self.keys.follow(conn);
        self.revocations.follow(conn)?;
        keys
    }

    /// Takes over what was just revoked on `conn`, so that this replica refuses it before it answers. What can't be read is done
    /// all the same, and the control channel brings it.
    pub fn catch_up(&self, conn: &mut PgConnection) {
        let keys = self.keys.follow(conn);
        let revocations = self.revocations.follow(conn).map_err(KeyError::from);
        if let Err(error) = keys.and(revocations) {
            tracing::warn!(%error, "what was just revoked could not be read");
        }
    }

    /// The same on a new connection, which may lead to another server: all revocations are read.
    ///
    /// # Errors
    /// Those of `follow`.
    pub fn follow_anew(&self, conn: &mut PgConnection) -> Result<(), KeyError> {
        self.clock.follow(conn)?;
        self.revocations.read_anew(conn)?;
        self.keys.follow(conn)
    }

    /// Seconds that access tokens and ID tokens live.
    pub fn access_lifetime(&self) -> i64 {
        self.settings.access_lifetime
    }

    /// The address that clients see, the `iss` of every token.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Takes the generations that were seen in use since the last call, by session.
    pub fn take_uses(&self) -> HashMap<Uuid, i64> {
        self.uses.take()
    }

    /// Gives back what could not be written down.
    pub fn restore_uses(&self, uses: HashMap<Uuid, i64>) {
        for (session_id, generation) in uses {
            self.uses.note(session_id, generation);
        }
    }

    /// The audience of the API that Tollgate itself serves.
    pub fn audience(&self) -> &str {
        &self.settings.audience
    }

    /// Tells whether this is the audience of the API that Tollgate itself serves.
    pub fn is_own_audience(&self, audience: &str) -> bool {
        audience == self.settings.audience
    }

    /// Tells whether tokens can be made for `audience`.
    pub fn knows_audience(&self, audience: &str) -> bool {
        self.settings.algorithms.contains_key(audience)
    }

    /// Finds the key that a token names and checks its header and signature.
    fn verified_payload(
        &self,
        parts: &jws::Parts<'_>,
        purpose: Purpose,
        kind: &str,
    ) -> Result<(Arc<Key>, Vec<u8>), Refusal> {
        let header = parts.header()?;
        let key = match self.keyring().by_kid(&header.kid) {
            Some(key) => key,
            // It may be new: whoever can't read the keys can't tell.
            None if self.keys.are_lost() => return Err(Refusal::Undecided),
            None => return Err(Refusal::UnknownKey),
        };
        if self.revocations.hold_key(&header.kid) {
            return Err(Refusal::Revoked);
        }
        if header.alg != key.slot.algorithm.name() {
            return Err(Refusal::Algorithm);
        }
        if header.typ != kind || key.slot.purpose != purpose {
            return Err(Refusal::Type);
        }
        if !key.verifies(parts.signature, parts.signed.as_bytes()) {
            return Err(Refusal::Signature);
        }
        Ok((key, parts.payload()?))
    }
}

/// Checks what every token has in common.
fn check_times(
    expires: i64,
    issued: i64,
    not_before: Option<i64>,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    check_expiry(expires, now)?;
    let now = now.timestamp();
    if issued.max(not_before.unwrap_or(issued)) > now.saturating_add(AHEAD) {
        return Err(Refusal::NotYetValid);
    }
    Ok(())
}

fn check_expiry(expires: i64, now: DateTime<Utc>) -> Result<(), Refusal> {
    if expires <= now.timestamp().saturating_sub(LEEWAY) {
        return Err(Refusal::Expired);
    }
    Ok(())
}
