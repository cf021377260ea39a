//! Access tokens that were verified already: a token is checked once, not at every request that carries it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use aws_lc_rs::digest;
use serde_json::Value;

use super::AccessClaims;
use crate::scope::Authority;

/// A good access token.
#[derive(Debug)]
pub struct Verified {
    /// What it says.
    pub claims: AccessClaims,
    /// How far its holder reaches.
    pub authority: Authority,
    /// The key that signed it.
    pub kid: String,
    /// When its use was last noted, in seconds since 1970.
    noted: AtomicI64,
    /// Its claims as rules read them.
    told: OnceLock<Arc<Value>>,
}

/// Seconds between two notes of the same token's use.
const NOTE_EVERY: i64 = 60;

impl Verified {
    pub(super) fn new(claims: AccessClaims, authority: Authority, kid: String) -> Self {
        Self {
            claims,
            authority,
            kid,
            noted: AtomicI64::new(i64::MIN),
            told: OnceLock::new(),
        }
    }

    /// Its claims as JSON, made once.
    pub fn told(&self) -> Arc<Value> {
        let tell = || Arc::new(serde_json::to_value(&self.claims).unwrap_or_default());
        Arc::clone(self.told.get_or_init(tell))
    }

    /// Tells, at the first use and then once a minute, that this use is to be noted.
    pub(super) fn is_seen_again(&self, now: i64) -> bool {
        let noted = self.noted.load(Ordering::Relaxed);
        now.saturating_sub(noted) >= NOTE_EVERY
            && self
                .noted
                .compare_exchange(noted, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// The SHA-256 of a token: the cache holds no token, so nobody can read one out of it.
type Fingerprint = [u8; digest::SHA256_OUTPUT_LEN];

const SHARDS: usize = 16;

/// Tokens of a shard; a full one forgets the expired, and all when none is.
const SHARD_SIZE: usize = 512;

/// A bounded cache; threads that look up different tokens seldom meet.
#[derive(Default)]
pub(super) struct VerifiedTokens {
    shards: [Mutex<HashMap<Fingerprint, Arc<Verified>>>; SHARDS],
}

impl VerifiedTokens {
    pub(super) fn fingerprint(token: &str) -> Option<Fingerprint> {
        digest::digest(&digest::SHA256, token.as_bytes())
            .as_ref()
            .try_into()
            .ok()
    }

    /// Finds a token that was verified before; whether it has expired since is the caller's to check.
    pub(super) fn get(&self, fingerprint: &Fingerprint) -> Option<Arc<Verified>> {
        let shard = self
            .shard(fingerprint)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shard.get(fingerprint).cloned()
    }

    pub(super) fn insert(&self, fingerprint: Fingerprint, verified: Arc<Verified>, now: i64) {
        let Some(shard) = self.shard(&fingerprint) else {
            return;
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_SIZE {
            shard.retain(|_, verified| verified.claims.exp > now);
        }
        if shard.len() >= SHARD_SIZE {
            shard.clear();
        }
        shard.insert(fingerprint, verified);
    }

    fn shard(
        &self,
        fingerprint: &Fingerprint,
    ) -> Option<&Mutex<HashMap<Fingerprint, Arc<Verified>>>> {
        self.shards.get(usize::from(*fingerprint.first()?) % SHARDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(exp: i64) -> Arc<Verified> {
        Arc::new(Verified::new(
            AccessClaims {
                iss: String::new(),
                sub: crate::tokens::Subject::User(uuid::Uuid::nil()),
                aud: String::new(),
                exp,
                iat: 0,
                jti: uuid::Uuid::nil(),
                client_id: String::new(),
                scope: String::new(),
                sid: None,
                generation: None,
                uep: None,
                auth_time: None,
                acr: None,
                amr: None,
                roles: None,
                cnf: None,
                act: None,
                private: serde_json::Map::new(),
            },
            Authority::operator(),
            String::new(),
        ))
    }

    #[test]
    fn it_never_grows_beyond_its_bound_and_forgets_the_expired_first() {
        let cache = VerifiedTokens::default();
        let lasting = VerifiedTokens::fingerprint("lasting").unwrap();
        cache.insert(lasting, verified(100), 0);
        for index in 0..SHARDS * SHARD_SIZE {
            cache.insert(
                VerifiedTokens::fingerprint(&format!("{index}")).unwrap(),
                verified(10),
                50,
            );
        }
        assert!(cache.get(&lasting).is_some(), "only expired ones had to go");
        for index in 0..2 * SHARDS * SHARD_SIZE {
            cache.insert(
                VerifiedTokens::fingerprint(&format!("x{index}")).unwrap(),
                verified(100),
                50,
            );
        }
        let held: usize = cache
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().len())
            .sum();
        assert!(held <= SHARDS * SHARD_SIZE, "{held}");
    }
}
