//! The collections that this replica has used, compiled; every statement tells whether they are still declared so.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use diesel::PgConnection;

use super::{Collection, CollectionName, Declared, index_store, reference_store, store};
use crate::error::{ApiError, Code};

/// How often a declaration may change while one request tries to keep up.
const TRIES: usize = 3;

/// Compiled collections; cheap to clone.
#[derive(Clone, Default)]
pub struct Catalog(Arc<RwLock<HashMap<String, Arc<Collection>>>>);

impl Catalog {
    /// Works with a collection as it is declared when `work`'s statement runs: that answers `None` where it found another
    /// generation than that of the collection it was given; a refusal holds only where the declaration still does.
    ///
    /// # Errors
    /// 404 for a name that is not declared; those of `work`; 503 when declarations change faster than they can be read.
    pub fn with<T>(
        &self,
        conn: &mut PgConnection,
        name: &CollectionName,
        mut work: impl FnMut(&mut PgConnection, &Arc<Collection>) -> Result<Option<T>, ApiError>,
    ) -> Result<T, ApiError> {
        for _ in 0..TRIES {
            let collection = self.find(conn, name.as_ref())?;
            match work(conn, &collection) {
                Ok(Some(done)) => return Ok(done),
                Ok(None) => self.forget(&collection),
                // Refused by a declaration that has been replaced, or without a table that has gone with its collection.
                Err(error) => match store::generation(conn, name.as_ref()) {
                    Ok(current) if current != Some(collection.generation) => {
                        self.forget(&collection);
                    }
                    _ => return Err(error),
                },
            }
        }
        Err(Code::Overloaded.into())
    }

    /// A collection as it is declared, at least of this generation; `None` where there is none any more.
    ///
    /// # Errors
    /// Postgres.
    pub fn current(
        &self,
        conn: &mut PgConnection,
        declared: &Declared,
    ) -> Result<Option<Arc<Collection>>, ApiError> {
        for _ in 0..2 {
            let known = match self.find(conn, &declared.name) {
                Err(error) if error.code == Code::NotFound => return Ok(None),
                known => known?,
            };
            if known.generation >= declared.generation {
                return Ok(Some(known));
            }
            self.forget(&known);
        }
        Err(Code::Overloaded.into())
    }

    /// Every collection as it is declared now, by name.
    ///
    /// # Errors
    /// Postgres; 500 for a damaged declaration.
    pub fn all(&self, conn: &mut PgConnection) -> Result<Vec<Arc<Collection>>, ApiError> {
        let declared = store::declared(conn)?;
        let current = |one| self.current(conn, one).transpose();
        declared.iter().filter_map(current).collect()
    }

    /// A collection as it was declared when this replica last used it; it may be declared otherwise by now.
    pub fn known(&self, name: &str) -> Option<Arc<Collection>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(name).map(Arc::clone)
    }

    fn find(&self, conn: &mut PgConnection, name: &str) -> Result<Arc<Collection>, ApiError> {
        if let Some(known) = self.known(name) {
            return Ok(known);
        }
        let row = store::find(conn, name)?.ok_or_else(ApiError::not_found)?;
        let indexes = index_store::list(conn, name)?;
        let references = reference_store::list(conn, name)?;
        let collection = Arc::new(Collection::new(&row, &indexes, &references)?);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Whoever reads an older snapshot keeps what they found to themselves.
        if known
            .get(&row.name)
            .is_none_or(|known| known.generation <= collection.generation)
        {
            known.insert(row.name, Arc::clone(&collection));
        }
        Ok(collection)
    }

    fn forget(&self, stale: &Collection) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have read the new one meanwhile.
        if known
            .get(&stale.name)
            .is_some_and(|known| known.generation == stale.generation)
        {
            known.remove(&stale.name);
        }
    }
}
