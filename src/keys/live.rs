//! The keys as the running process has them: the newest keyring that could be loaded.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use diesel::PgConnection;

use super::{KeyError, Keyring, Plan};

/// Without a look at the stored keys for this long, one that is unknown may just be new.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// The current keyring, and what the next one is made of.
pub struct Keys {
    current: RwLock<Current>,
    plan: Plan,
}

struct Current {
    ring: Arc<Keyring>,
    compared: Instant,
}

impl Keys {
    /// Loads the first keyring.
    ///
    /// # Errors
    /// Those of `Keyring::load`.
    pub fn load(conn: &mut PgConnection, plan: Plan) -> Result<Self, KeyError> {
        let compared = Instant::now();
        let ring = Arc::new(Keyring::load(conn, &plan, None)?);
        Ok(Self {
            current: RwLock::new(Current { ring, compared }),
            plan,
        })
    }

    /// The keys in use just now.
    pub fn ring(&self) -> Arc<Keyring> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.ring)
    }

    /// Loads the stored keys anew when they have changed.
    ///
    /// # Errors
    /// Those of `Keyring::load`; the keyring stays as it was.
    pub fn follow(&self, conn: &mut PgConnection) -> Result<(), KeyError> {
        let compared = Instant::now();
        let before = self.ring();
        let ring = if before.is_current(conn)? {
            before
        } else {
            Arc::new(Keyring::load(conn, &self.plan, Some(&before))?)
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have looked later and been faster.
        if compared > current.compared {
            *current = Current { ring, compared };
        }
        Ok(())
    }

    /// Tells whether the keys may be out of date because they can't be read.
    pub fn are_lost(&self) -> bool {
        self.are_older_than(LOST_AFTER)
    }

    /// Tells whether the keys were not compared with the stored ones for this long.
    pub fn are_older_than(&self, age: Duration) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.compared.elapsed() >= age
    }

    /// What keys there must be.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}
