//! Turns: of the requests of this process that refresh one session, one goes to the database at a time.
//!
//! Without them fifty tabs that wake up together would hold fifty connections while they wait for one row.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Who waits for which session.
#[derive(Default)]
pub struct Turns(Mutex<HashMap<Uuid, Turn>>);

impl Turns {
    /// Waits for this session's turn; it ends when the guard goes.
    pub async fn wait(&self, session_id: Uuid) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever waits or works holds a second reference; the rest is over.
            turns.retain(|id, turn| *id == session_id || Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(session_id).or_default())
        };
        turn.lock_owned().await
    }
}
