//! The clients as every replica holds them: in memory, compared with the table every second and whenever somebody tells.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use diesel::PgConnection;

use super::{Client, store};
use crate::error::ApiError;

/// Every stored client; cheap to clone.
#[derive(Clone, Default)]
pub struct Registry(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    /// The change after which they were read; `None` before the first time.
    number: Option<i64>,
    clients: HashMap<String, Arc<Client>>,
    /// Origins whose pages may use the API with a client's tokens.
    origins: HashSet<String>,
    /// Those of our own apps, whose pages may also use cookies.
    own_origins: HashSet<String>,
}

impl Registry {
    /// Finds a client.
    pub fn find(&self, id: &str) -> Option<Arc<Client>> {
        self.read(|known| known.clients.get(id).cloned())
    }

    /// Whether pages of an origin may use the API with a client's tokens.
    pub fn has_origin(&self, origin: &str) -> bool {
        self.read(|known| known.origins.contains(origin))
    }

    /// Whether an origin is one of our own apps.
    pub fn has_own_origin(&self, origin: &str) -> bool {
        self.read(|known| known.own_origins.contains(origin))
    }

    /// Takes over what has changed in the database.
    ///
    /// # Errors
    /// Postgres.
    pub fn follow(&self, conn: &mut PgConnection) -> Result<(), ApiError> {
        // Before the clients: what changes in between is read again next time.
        let number = store::changes(conn)?;
        if self.read(|known| known.number == Some(number)) {
            return Ok(());
        }
        let mut read = Known {
            number: Some(number),
            ..Known::default()
        };
        for row in store::list(conn)? {
            match row.client() {
                Ok(client) => read.add(client),
                Err(error) => {
                    tracing::error!(client = row.id, %error, "a stored client can't be used")
                }
            }
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have looked later and been faster.
        if known.number < read.number {
            *known = read;
        }
        Ok(())
    }

    /// The same for what was just changed on `conn`, so that this replica knows it before it answers. What can't be read is
    /// done all the same, and will be known a second later.
    pub fn catch_up(&self, conn: &mut PgConnection) {
        if let Err(error) = self.follow(conn) {
            tracing::warn!(%error, "clients that were just changed could not be read");
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn add(&mut self, client: Client) {
        let origins = client.metadata.allowed_origins.iter().cloned();
        if client.needs_consent() {
            self.origins.extend(origins);
        } else {
            self.own_origins.extend(origins);
        }
        self.clients.insert(client.id.clone(), Arc::new(client));
    }
}
