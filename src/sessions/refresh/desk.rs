//! Where refreshes wait: those that come while others are at the database go there together, in one statement.
//!
//! A session is there once at a time, so fifty tabs that wake up together hold one connection and not fifty.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::store::{Rotated, Rotation};
use crate::{
    db::{self, Db},
    error::ApiError,
    tokens::Tokens,
};

/// Statements at the database at the same time.
const AT_ONCE: usize = 2;

/// Refreshes in one statement.
const TOGETHER: usize = 64;

/// What becomes of a rotation: the session in its new generation, or the refusal.
pub(super) type Answer = Result<Rotated, ApiError>;

/// The refreshes of this process that wait, and those that are at the database.
#[derive(Clone, Default)]
pub struct Desk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: Vec<Ticket>,
    busy: HashSet<Uuid>,
    running: usize,
}

struct Ticket {
    rotation: Rotation,
    answer: oneshot::Sender<Answer>,
}

impl Desk {
    /// Rotates one session, when it is its turn.
    pub(super) async fn rotate(&self, db: &Db, tokens: &Tokens, rotation: Rotation) -> Answer {
        let (answer, answered) = oneshot::channel();
        db::join_trip();
        let is_first = {
            let mut state = self.state();
            state.waiting.push(Ticket { rotation, answer });
            let is_first = state.running < AT_ONCE;
            state.running += usize::from(is_first);
            is_first
        };
        if is_first {
            tokio::spawn(self.clone().work(db.clone(), tokens.clone()));
        }
        answered.await.map_err(ApiError::internal)?
    }

    /// Takes batches to the database until nothing waits.
    async fn work(self, db: Db, tokens: Tokens) {
        loop {
            let batch = self.state().take();
            if batch.is_empty() {
                return;
            }
            let sids: Vec<_> = batch.iter().map(Ticket::sid).collect();
            serve(&self, &db, &tokens, batch).await;
            let mut state = self.state();
            for sid in sids {
                state.busy.remove(&sid);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes what waits and is not busy, each session once; the worker that gets nothing ends.
    fn take(&mut self) -> Vec<Ticket> {
        let (mut batch, mut left) = (Vec::new(), Vec::new());
        for ticket in self.waiting.drain(..) {
            // The busy ones are taken by whoever made them busy, who comes back here.
            if batch.len() < TOGETHER && self.busy.insert(ticket.sid()) {
                batch.push(ticket);
            } else {
                left.push(ticket);
            }
        }
        // In one order, as everyone who locks several sessions.
        batch.sort_unstable_by_key(Ticket::sid);
        self.waiting = left;
        self.running -= usize::from(batch.is_empty());
        batch
    }
}

impl Ticket {
    fn sid(&self) -> Uuid {
        self.rotation.presented.sid
    }
}

/// Answers every ticket of a batch.
async fn serve(desk: &Desk, db: &Db, tokens: &Tokens, batch: Vec<Ticket>) {
    let rotations: Vec<_> = batch.iter().map(|one| one.rotation.clone()).collect();
    let tokens = tokens.clone();
    let answers = db
        .run_again(move |conn| {
            let answers = super::rotate(conn, &rotations)?;
            if answers.iter().any(Result::is_err) {
                // Some may have ended.
                tokens.catch_up(conn);
            }
            Ok(answers)
        })
        .await;
    match answers {
        Ok(answers) => {
            if answers
                .iter()
                .any(|answer| matches!(answer, Err(error) if error.is_ours()))
            {
                db.suspect();
            }
            for (ticket, answer) in batch.into_iter().zip(answers) {
                // A client that has gone waits for no answer, here and below.
                let _gone = ticket.answer.send(answer);
            }
        }
        Err(error) => {
            tracing::warn!(%error, cause = ?error.cause, refreshes = batch.len(), "refreshes failed");
            // Whoever waits behind them would only wait longer for the same answer.
            let waiting = std::mem::take(&mut desk.state().waiting);
            for ticket in batch.into_iter().chain(waiting) {
                let _gone = ticket.answer.send(Err(error.again()));
            }
        }
    }
}
