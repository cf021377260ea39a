//! The life of a key: `staged -> active -> retiring -> retired`.
//!
//! A new key is published before it signs, for as long as a verifier may keep the set that it has seen, twice. The very
//! first key of a slot, and the successor of one that was retired at once, sign at once.

use diesel::PgConnection;
use serde_json::json;
use uuid::Uuid;

use super::{
    Algorithm, KeyError, KeyRow, MasterKeys, Purpose, Slot, State, Wanted, routes::MAX_AGE,
    signer::Signer, store,
};
use crate::{
    audit::{Action, Actor, Event},
    db,
    revocation::{self, Revocation},
};

/// Seconds that a key is published before it signs.
const PUBLISHED_FOR: i32 = 2 * MAX_AGE;

/// Seconds that a page's cursor outlives the key that signed it.
const CURSOR_LIFETIME: i64 = 86_400;

/// Seconds that what a page holds outlives the key that signed it.
const PAGE_LIFETIME: i64 = 86_400;

/// How long lives what keys sign, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Access tokens.
    pub access: i64,
    /// Refresh tokens; also for how long an ID token is good as a hint, which may be long expired.
    pub refresh: i64,
}

/// What keys there must be, and what they are made and sealed with.
pub struct Plan {
    /// Seals and opens what is stored.
    pub master: MasterKeys,
    /// The slots that must have a key.
    pub wanted: Vec<Wanted>,
    /// Bits of new RSA keys.
    pub rsa_bits: u16,
    /// Seconds after which an active key gets a successor.
    pub rotation_interval: i32,
    /// How long lives what they sign.
    pub lifetimes: Lifetimes,
}

impl Plan {
    /// The slots whose keys Tollgate makes itself.
    pub fn made_slots(&self) -> impl Iterator<Item = &Slot> {
        self.wanted
            .iter()
            .filter(|wanted| wanted.secret.is_none())
            .map(|wanted| &wanted.slot)
    }

    /// Makes the keys that are wanted and missing, and writes down how long tokens live under this configuration.
    ///
    /// # Errors
    /// Postgres, or no randomness.
    pub fn ensure(&self, conn: &mut PgConnection, actor: &Actor) -> Result<(), KeyError> {
        let lifetimes = [
            (Purpose::Access, self.lifetimes.access),
            (Purpose::Refresh, self.lifetimes.refresh),
            (Purpose::Cursor, CURSOR_LIFETIME),
            (Purpose::Identity, self.lifetimes.refresh),
            (Purpose::Page, PAGE_LIFETIME),
        ];
        for (purpose, seconds) in lifetimes {
            store::keep_longest(conn, purpose, seconds)?;
        }
        db::tx(conn, |conn| {
            store::lock(conn)?;
            for slot in self.made_slots() {
                if store::in_state(conn, slot, State::Active)?.is_none() {
                    self.activate_successor(conn, slot, actor)?;
                }
            }
            Ok(())
        })
    }

    /// Does what the clock demands: retires, activates, and stages successors of old keys.
    ///
    /// # Errors
    /// Postgres, or no randomness.
    pub fn turn(&self, conn: &mut PgConnection, actor: &Actor) -> Result<(), KeyError> {
        db::tx(conn, |conn| {
            store::lock(conn)?;
            for key in store::retire_expired(conn)? {
                changed(conn, Action::KeyRetired, &key, actor)?;
            }
            for key in store::due(conn)? {
                activate(conn, &key, actor)?;
            }
            self.retire_forgotten(conn, actor)?;
            for slot in self.made_slots() {
                // Somebody whose configuration does not have the slot may have retired its key.
                if store::in_state(conn, slot, State::Active)?.is_none() {
                    self.activate_successor(conn, slot, actor)?;
                }
                if store::is_old(conn, slot, self.rotation_interval)?
                    && store::in_state(conn, slot, State::Staged)?.is_none()
                {
                    self.stage(conn, slot, PUBLISHED_FOR, actor)?;
                }
            }
            Ok(())
        })
    }

    /// Lets go of keys that no configuration wants any more: a replica that wants one replaces it in half the time.
    fn retire_forgotten(&self, conn: &mut PgConnection, actor: &Actor) -> Result<(), KeyError> {
        let seconds = self.rotation_interval.saturating_mul(2);
        for key in store::forgotten(conn, seconds)? {
            let slot = key.slot()?;
            if !self.made_slots().any(|made| *made == slot) {
                store::begin_to_retire(conn, &slot)?;
                changed(conn, Action::KeyRetiring, &key, actor)?;
            }
        }
        Ok(())
    }

    /// Stages a new key, which signs once every verifier that honours `max-age` knows it.
    ///
    /// # Errors
    /// One is staged already, the slot's secret is configured, no tokens are signed like this; Postgres.
    pub fn rotate(
        &self,
        conn: &mut PgConnection,
        slot: &Slot,
        actor: &Actor,
    ) -> Result<KeyRow, KeyError> {
        let wanted = self.wanted.iter().find(|wanted| wanted.slot == *slot);
        // A public key may be staged ahead of the configuration that will need it.
        let ahead = slot.purpose == Purpose::Access && slot.algorithm != Algorithm::Hs256;
        match wanted {
            Some(wanted) if wanted.secret.is_some() => {
                return Err(KeyError::Configured {
                    audience: slot.audience.clone(),
                });
            }
            None if !ahead => {
                return Err(KeyError::NotWanted {
                    algorithm: slot.algorithm.name(),
                    audience: slot.audience.clone(),
                });
            }
            _ => {}
        }
        db::tx(conn, |conn| {
            store::lock(conn)?;
            match store::in_state(conn, slot, State::Staged)? {
                Some(staged) => Err(KeyError::Staged { kid: staged.kid }),
                None => self.stage(conn, slot, PUBLISHED_FOR, actor),
            }
        })
    }

    /// Retires a key at once and kills what it signed; an active one gets a successor that signs at once.
    ///
    /// # Errors
    /// No such key; Postgres.
    pub fn revoke(
        &self,
        conn: &mut PgConnection,
        kid: &str,
        actor: &Actor,
    ) -> Result<KeyRow, KeyError> {
        db::tx(conn, |conn| {
            store::lock(conn)?;
            let key = store::find(conn, kid)?;
            let key = match key {
                Some(key) if key.state()? != State::Retired => key,
                _ => {
                    return Err(KeyError::Unknown {
                        kid: kid.to_owned(),
                    });
                }
            };
            let slot = key.slot()?;
            store::retire(conn, kid)?;
            revocation::revoke(conn, &[Revocation::Key(kid.to_owned())])?;
            changed(conn, Action::KeyRevoked, &key, actor)?;
            if key.state()? == State::Active && self.made_slots().any(|made| *made == slot) {
                self.activate_successor(conn, &slot, actor)?;
            }
            Ok(key)
        })
    }

    /// Seals every stored key with the first master key; tells how many there are.
    ///
    /// # Errors
    /// A key that no master key opens, after which nothing has changed; Postgres.
    pub fn reseal(&self, conn: &mut PgConnection, actor: &Actor) -> Result<usize, KeyError> {
        db::tx(conn, |conn| {
            store::lock(conn)?;
            let keys = store::usable(conn)?;
            for key in &keys {
                let material =
                    self.master
                        .open(&key.kid, &key.sealed)
                        .map_err(|source| KeyError::Sealed {
                            kid: key.kid.clone(),
                            source,
                        })?;
                let sealed = self
                    .master
                    .seal(&key.kid, &material)
                    .ok_or(KeyError::Generation)?;
                store::reseal(conn, &key.kid, &sealed)?;
                changed(conn, Action::KeyResealed, key, actor)?;
            }
            Ok(keys.len())
        })
    }

    /// Lets the slot's staged key, or a new one, sign from now on.
    fn activate_successor(
        &self,
        conn: &mut PgConnection,
        slot: &Slot,
        actor: &Actor,
    ) -> Result<(), KeyError> {
        let successor = match store::in_state(conn, slot, State::Staged)? {
            Some(staged) => staged,
            None => self.stage(conn, slot, 0, actor)?,
        };
        activate(conn, &successor, actor)
    }

    fn stage(
        &self,
        conn: &mut PgConnection,
        slot: &Slot,
        after: i32,
        actor: &Actor,
    ) -> Result<KeyRow, KeyError> {
        let name = slot.algorithm.name().to_lowercase();
        let kid = format!("{name}-{}", Uuid::now_v7().simple());
        let material =
            Signer::generate(slot.algorithm, self.rsa_bits).ok_or(KeyError::Generation)?;
        let sealed = self
            .master
            .seal(&kid, &material)
            .ok_or(KeyError::Generation)?;
        let key = store::insert(conn, &kid, slot, &sealed, after)?;
        changed(conn, Action::KeyCreated, &key, actor)?;
        Ok(key)
    }
}

/// Every stored key, also the retired, oldest first.
///
/// # Errors
/// Postgres.
pub fn list(conn: &mut PgConnection) -> Result<Vec<KeyRow>, KeyError> {
    Ok(store::list(conn)?)
}

/// The stored key that signs in a slot.
///
/// # Errors
/// Postgres.
pub fn active(conn: &mut PgConnection, slot: &Slot) -> Result<Option<KeyRow>, KeyError> {
    Ok(store::in_state(conn, slot, State::Active)?)
}

/// Finds a stored key.
///
/// # Errors
/// Postgres.
pub fn find(conn: &mut PgConnection, kid: &str) -> Result<Option<KeyRow>, KeyError> {
    Ok(store::find(conn, kid)?)
}

/// Lets a staged key sign in place of its slot's active one.
fn activate(conn: &mut PgConnection, key: &KeyRow, actor: &Actor) -> Result<(), KeyError> {
    store::begin_to_retire(conn, &key.slot()?)?;
    let key = store::activate(conn, &key.kid)?;
    changed(conn, Action::KeyActivated, &key, actor)
}

/// Writes down what happened to a key, and tells every replica.
fn changed(
    conn: &mut PgConnection,
    action: Action,
    key: &KeyRow,
    actor: &Actor,
) -> Result<(), KeyError> {
    let slot = key.slot()?;
    let details = json!({
        "kid": key.kid,
        "purpose": slot.purpose,
        "algorithm": slot.algorithm,
        "audience": slot.audience,
    });
    Event {
        actor,
        action,
        subject_id: None,
        details,
    }
    .record(conn)?;
    db::notify_replicas(conn)?;
    Ok(())
}
