//! The collections that this replica has used, compiled; every statement tells whether they are still declared so.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use diesel::PgConnection;

use super::{Collection, CollectionName, CollectionRow, store};
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

    /// Every collection as it is declared now, by name.
    ///
    /// # Errors
    /// Postgres; 500 for a damaged declaration.
    pub fn all(&self, conn: &mut PgConnection) -> Result<Vec<Arc<Collection>>, ApiError> {
        let current = store::generations(conn)?;
        if let Some(collections) = self.known(&current) {
            return Ok(collections);
        }
        let rows = store::list(conn)?.into_iter();
        let read = |row: CollectionRow| {
            let current = [(row.name.clone(), row.generation)];
            match self.known(&current).and_then(|mut known| known.pop()) {
                Some(collection) => Ok(collection),
                None => Collection::new(&row).map(|collection| self.keep(collection)),
            }
        };
        rows.map(read).collect()
    }

    /// Those collections, where all are known as they are declared.
    fn known(&self, current: &[(String, i64)]) -> Option<Vec<Arc<Collection>>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let find = |(name, generation): &(String, i64)| {
            let collection = known.get(name)?;
            (collection.generation == *generation).then(|| Arc::clone(collection))
        };
        current.iter().map(find).collect()
    }

    fn keep(&self, collection: Collection) -> Arc<Collection> {
        let collection = Arc::new(collection);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(collection.name.clone(), Arc::clone(&collection));
        collection
    }

    fn find(&self, conn: &mut PgConnection, name: &str) -> Result<Arc<Collection>, ApiError> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(collection) = known.get(name) {
            return Ok(Arc::clone(collection));
        }
        drop(known);
        let row = store::find(conn, name)?.ok_or_else(ApiError::not_found)?;
        Ok(self.keep(Collection::new(&row)?))
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
