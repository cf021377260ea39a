//! The keys of one moment: which signs what, which a `kid` names; no I/O after loading.

use std::{collections::HashMap, sync::Arc};

use diesel::PgConnection;
use jsonwebtoken::DecodingKey;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Jwk, KeyError, KeyRow, MasterKeys, Plan, PublishedKeys, Purpose, Slot, State, signer::Signer,
    store, strength,
};

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
            Purpose::Access | Purpose::Identity => signer.public_jwk(&kid),
            Purpose::Refresh | Purpose::Cursor | Purpose::Page => None,
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

/// Every key that signs or verifies at one moment; no I/O after loading.
pub struct Keyring {
    by_kid: HashMap<String, Arc<Key>>,
    signing: HashMap<Slot, Arc<Key>>,
    published: PublishedKeys,
    /// The stored keys that it was made of.
    stored: Vec<(String, State)>,
    configured: Vec<(Arc<Key>, State)>,
}

/// A slot that must have a key, and the secret that the configuration gives it.
#[derive(Clone)]
pub struct Wanted {
    /// Which slot.
    pub slot: Slot,
    /// The shared secret, when configured; such a one never rotates by itself.
    pub secret: Option<SharedSecret>,
}

/// A secret that the configuration gives.
#[derive(Clone)]
pub struct SharedSecret {
    /// The setting's name.
    pub setting: &'static str,
    /// What signs.
    pub current: SecretString,
    /// What verifies too.
    pub previous: Option<SecretString>,
}

impl Keyring {
    /// Loads every stored key that may still verify and the configured secrets, refusing weak ones; what `before` holds is
    /// not parsed again.
    ///
    /// # Errors
    /// A weak, damaged or sealed key; Postgres.
    pub fn load(
        conn: &mut PgConnection,
        plan: &Plan,
        before: Option<&Self>,
    ) -> Result<Self, KeyError> {
        let rows = store::usable(conn)?;
        let mut ring = Self {
            by_kid: HashMap::new(),
            signing: HashMap::new(),
            published: PublishedKeys::default(),
            stored: store::states(&rows)?,
            configured: Vec::new(),
        };
        for row in &rows {
            let key = match before.and_then(|ring| ring.by_kid(&row.kid)) {
                Some(key) => key,
                None => match open(row, &plan.master) {
                    Ok(key) => Arc::new(key),
                    // While it runs, a server goes on with the keys that it can use.
                    Err(error) if before.is_some() => {
                        tracing::error!(%error, "a stored key can't be used here");
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            ring.add(key, row.state()?);
        }
        for (slot, key) in before.iter().flat_map(|ring| &ring.signing) {
            if ring.signing(slot).is_none() && ring.by_kid.contains_key(&key.kid) {
                ring.signing.insert(slot.clone(), Arc::clone(key));
            }
        }
        for wanted in &plan.wanted {
            let (slot, Some(secret)) = (&wanted.slot, &wanted.secret) else {
                continue;
            };
            let previous = secret.previous.iter().map(|text| (text, State::Retiring));
            for (text, state) in previous.chain([(&secret.current, State::Active)]) {
                let key = Arc::new(configured(slot, secret.setting, text)?);
                ring.configured.push((Arc::clone(&key), state));
                ring.add(key, state);
            }
        }
        ring.published =
            PublishedKeys::new(ring.by_kid.values().filter_map(|key| key.published.clone()));
        Ok(ring)
    }

    fn add(&mut self, key: Arc<Key>, state: State) {
        if state == State::Active {
            self.signing.insert(key.slot.clone(), Arc::clone(&key));
        }
        self.by_kid.insert(key.kid.clone(), key);
    }

    /// The key that `kid` names.
    pub fn by_kid(&self, kid: &str) -> Option<Arc<Key>> {
        self.by_kid.get(kid).cloned()
    }

    /// The key that signs for `slot`.
    pub fn signing(&self, slot: &Slot) -> Option<&Key> {
        self.signing.get(slot).map(Arc::as_ref)
    }

    /// Every key of a purpose that may verify.
    pub fn verifying(&self, purpose: Purpose) -> impl Iterator<Item = &Key> {
        self.by_kid
            .values()
            .map(Arc::as_ref)
            .filter(move |key| key.slot.purpose == purpose)
    }

    /// The keys that the configuration gives, with the states they are in.
    pub fn configured(&self) -> impl Iterator<Item = (&Key, State)> {
        self.configured
            .iter()
            .map(|(key, state)| (key.as_ref(), *state))
    }

    /// What the world may know.
    pub fn published(&self) -> &PublishedKeys {
        &self.published
    }

    /// How many stored keys are in each state.
    pub fn count(&self, state: State) -> usize {
        self.stored
            .iter()
            .filter(|(_, held)| *held == state)
            .count()
    }

    /// Tells whether the stored keys are still those that it was made of.
    ///
    /// # Errors
    /// Postgres, a damaged row.
    pub fn is_current(&self, conn: &mut PgConnection) -> Result<bool, KeyError> {
        Ok(store::stored_states(conn)? == self.stored)
    }
}

fn open(row: &KeyRow, master: &MasterKeys) -> Result<Key, KeyError> {
    let material = master
        .open(&row.kid, &row.sealed)
        .map_err(|source| KeyError::Sealed {
            kid: row.kid.clone(),
            source,
        })?;
    Key::new(row.kid.clone(), row.slot()?, &material)
}

fn configured(slot: &Slot, setting: &'static str, text: &SecretString) -> Result<Key, KeyError> {
    let material = strength::decode_secret(text.expose_secret())
        .map_err(|source| KeyError::WeakSecret { setting, source })?;
    let kid = strength::configured_kid(&slot.audience, &material);
    Key::new(kid, slot.clone(), &material)
}
