//! Which generations of which sessions were seen in use: noted in memory, written down in batches.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

/// Sessions and the newest generation of each that was seen since the last batch.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<Uuid, i64>>);

impl Uses {
    pub(super) fn note(&self, session_id: Uuid, generation: i64) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = uses.entry(session_id).or_insert(generation);
        *newest = generation.max(*newest);
    }

    pub(super) fn take(&self) -> HashMap<Uuid, i64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
