//! Where like work waits while such work is at the database: what waits meanwhile goes there together, in one trip.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use diesel::PgConnection;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Db, visit};
use crate::error::ApiError;

/// Trips of one line at the same time.
const AT_ONCE: usize = 2;

/// Errands of one trip.
const TOGETHER: usize = 64;

/// Work of one kind that is done for several requests together.
pub trait Errand: Send + Sync + 'static {
    /// What all of them need.
    type Office: Clone + Send + Sync + 'static;
    /// Those of one line go together.
    type Line: Clone + Eq + Hash + Send + Sync;
    /// What comes of it.
    type Answer: Send;

    /// Whether it may be done twice.
    const IS_REPEATABLE: bool;

    /// In which line it waits; those that are in none go alone, and at once.
    fn line(&self) -> Option<Self::Line>;

    /// What must not be at the database twice at the same time.
    fn subject(&self) -> Option<Uuid> {
        None
    }

    /// Does them, which are all of one line; answers each, in their order.
    ///
    /// # Errors
    /// What befell them all.
    fn run(
        office: &Self::Office,
        conn: &mut PgConnection,
        errands: &[Self],
    ) -> Result<Vec<Result<Self::Answer, ApiError>>, ApiError>
    where
        Self: Sized;
}

/// The errands of one kind that wait in this process, and those that are at the database. Cheap to clone.
pub struct Desk<E: Errand> {
    db: Db,
    office: E::Office,
    lines: Arc<Mutex<HashMap<E::Line, Line<E>>>>,
}

/// Those that may go together.
struct Line<E: Errand> {
    waiting: VecDeque<Ticket<E>>,
    busy: HashSet<Uuid>,
    running: usize,
}

struct Ticket<E: Errand> {
    errand: E,
    answer: oneshot::Sender<Result<E::Answer, ApiError>>,
}

impl<E: Errand> Desk<E> {
    /// Where nothing waits yet.
    pub fn new(db: Db, office: E::Office) -> Self {
        Self {
            db,
            office,
            lines: Arc::default(),
        }
    }

    /// Has it done when it is its turn; a request comes here once, in place of `Db::run`.
    ///
    /// # Errors
    /// Its own, and those of `Db::run`.
    pub async fn send(&self, errand: E) -> Result<E::Answer, ApiError> {
        // What a request has to begin with is its own.
        let Some(line) = errand.line().filter(|_| !visit::is_bound()) else {
            return self.go(vec![errand]).await?.pop().ok_or_else(lost)?;
        };
        visit::join_trip();
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut lines = self.lines();
            let queue = lines.entry(line.clone()).or_default();
            queue.waiting.push_back(Ticket { errand, answer });
            let is_first = queue.running < AT_ONCE;
            queue.running += usize::from(is_first);
            is_first
        };
        if is_first {
            tokio::spawn(self.clone().work(line));
        }
        answered.await.map_err(ApiError::internal)?
    }

    /// Takes those of a line to the database until none waits.
    async fn work(self, line: E::Line) {
        loop {
            let tickets = self.take(&line);
            if tickets.is_empty() {
                return;
            }
            let subjects: Vec<_> = tickets.iter().filter_map(Ticket::subject).collect();
            self.serve(&line, tickets).await;
            if let Some(queue) = self.lines().get_mut(&line) {
                for subject in subjects {
                    queue.busy.remove(&subject);
                }
            }
        }
    }

    /// Takes what waits and is not busy; whoever gets nothing ends.
    fn take(&self, line: &E::Line) -> Vec<Ticket<E>> {
        let mut lines = self.lines();
        let Some(queue) = lines.get_mut(line) else {
            return Vec::new();
        };
        let tickets = queue.take();
        queue.running -= usize::from(tickets.is_empty());
        if queue.running == 0 && queue.waiting.is_empty() {
            lines.remove(line);
        }
        tickets
    }

    /// Answers every ticket.
    async fn serve(&self, line: &E::Line, tickets: Vec<Ticket<E>>) {
        let (errands, senders): (Vec<_>, Vec<_>) = tickets
            .into_iter()
            .map(|ticket| (ticket.errand, ticket.answer))
            .unzip();
        match self.go(errands).await {
            Ok(answers) => {
                let failed =
                    |answer: &Result<_, ApiError>| answer.as_ref().is_err_and(ApiError::is_ours);
                if answers.iter().any(failed) {
                    self.db.suspect();
                }
                for (sender, answer) in senders.into_iter().zip(answers) {
                    // A client that has gone waits for no answer, here and below.
                    let _gone = sender.send(answer);
                }
            }
            Err(error) => {
                let count = senders.len();
                tracing::warn!(%error, cause = ?error.cause, count, "errands failed together");
                // Whoever waits behind them would only wait longer for the same answer.
                let behind = if error.is_ours() {
                    self.lines()
                        .get_mut(line)
                        .map(|queue| std::mem::take(&mut queue.waiting))
                } else {
                    None
                };
                let behind = behind.into_iter().flatten().map(|ticket| ticket.answer);
                for sender in senders.into_iter().chain(behind) {
                    let _gone = sender.send(Err(error.again()));
                }
            }
        }
    }

    async fn go(&self, errands: Vec<E>) -> Result<Vec<Result<E::Answer, ApiError>>, ApiError> {
        let office = self.office.clone();
        let run = move |conn: &mut _| E::run(&office, conn, &errands);
        if E::IS_REPEATABLE {
            self.db.run_again(run).await
        } else {
            self.db.run(run).await
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<E::Line, Line<E>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Errand> Line<E> {
    fn take(&mut self) -> Vec<Ticket<E>> {
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        for ticket in self.waiting.drain(..) {
            // The busy ones are taken by whoever made them busy, who comes back here.
            if taken.len() < TOGETHER
                && ticket
                    .subject()
                    .is_none_or(|subject| self.busy.insert(subject))
            {
                taken.push(ticket);
            } else {
                left.push_back(ticket);
            }
        }
        // In one order, as everyone who locks several.
        taken.sort_by_key(Ticket::subject);
        self.waiting = left;
        taken
    }
}

// Not derived, which would demand the same of errands; so also below.
impl<E: Errand> Clone for Desk<E> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            office: self.office.clone(),
            lines: Arc::clone(&self.lines),
        }
    }
}

impl<E: Errand> Default for Line<E> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            busy: HashSet::new(),
            running: 0,
        }
    }
}

impl<E: Errand> Ticket<E> {
    fn subject(&self) -> Option<Uuid> {
        self.errand.subject()
    }
}

fn lost() -> ApiError {
    ApiError::internal("an errand got no answer")
}
