//! Where like work waits while such work is at the database: what waits meanwhile goes there together, in one trip.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use diesel::PgConnection;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::timeout,
};
use uuid::Uuid;

use super::{Db, TURN_PATIENCE, visit};
use crate::error::{ApiError, Code};

/// Trips of one line at the same time.
const AT_ONCE: usize = 2;

/// Errands of one trip.
const TOGETHER: usize = 64;

/// Work of one kind that is done for several requests together.
pub trait Errand: Send + Sync + Sized + 'static {
    /// What all of them need.
    type Office: Clone + Send + Sync + 'static;
    /// Those of one line go together.
    type Line: Clone + Eq + Hash + Send + Sync;
    /// What comes of it.
    type Answer: Send + 'static;

    /// Whether it may be done twice.
    const IS_REPEATABLE: bool;

    /// In which line it waits; those that are in none go alone, and at once.
    fn line(&self) -> Option<Self::Line>;

    /// What must not be at the database twice at the same time.
    fn subject(&self) -> Option<Uuid> {
        None
    }

    /// Does some, which are all of one line; answers each, in their order, but for those that are left to go alone: whatever takes
    /// long, since others wait.
    ///
    /// # Errors
    /// What befell them all.
    fn run(
        office: &Self::Office,
        conn: &mut PgConnection,
        errands: &[Arc<Self>],
    ) -> Result<Vec<Told<Self>>, ApiError>;

    /// Does one.
    ///
    /// # Errors
    /// Its own.
    fn run_alone(
        self: Arc<Self>,
        office: &Self::Office,
        conn: &mut PgConnection,
    ) -> Result<Self::Answer, ApiError>;
}

/// What an errand that went with others comes back with: an answer, or nothing where it has to go alone.
pub type Told<E> = Result<Option<<E as Errand>::Answer>, ApiError>;

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

/// A turn at the database, or why there is none.
type Turn = Result<OwnedSemaphorePermit, ApiError>;

struct Ticket<E: Errand> {
    errand: Arc<E>,
    answer: oneshot::Sender<Told<E>>,
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
        let errand = Arc::new(errand);
        // What a request has to begin with is its own.
        let Some(line) = errand.line().filter(|_| !visit::is_bound()) else {
            return self.go_alone(errand).await;
        };
        visit::join_trip();
        let (answer, mut answered) = oneshot::channel();
        let ticket = Ticket {
            errand: Arc::clone(&errand),
            answer,
        };
        if self.wait(&line, ticket) {
            self.db.spawn(self.clone().work(line.clone()));
        }
        let told = match timeout(TURN_PATIENCE, &mut answered).await {
            Ok(told) => told,
            Err(_elapsed) if self.leave(&line, &errand) => return Err(self.db.no_turn()),
            // It is on its way.
            Err(_elapsed) => answered.await,
        };
        match told.map_err(ApiError::internal)?? {
            Some(answer) => Ok(answer),
            None => {
                visit::wait_elsewhere();
                self.go_alone(errand).await
            }
        }
    }

    /// Puts one into its line; tells whether nobody is there to take it.
    fn wait(&self, line: &E::Line, ticket: Ticket<E>) -> bool {
        let mut lines = self.lines();
        let queue = lines.entry(line.clone()).or_default();
        queue.waiting.push_back(ticket);
        let is_first = queue.running < AT_ONCE;
        queue.running += usize::from(is_first);
        is_first
    }

    /// Takes one out of its line; tells whether it was still there.
    fn leave(&self, line: &E::Line, errand: &Arc<E>) -> bool {
        let mut lines = self.lines();
        let Some(queue) = lines.get_mut(line) else {
            return false;
        };
        let before = queue.waiting.len();
        queue
            .waiting
            .retain(|ticket| !Arc::ptr_eq(&ticket.errand, errand));
        queue.waiting.len() < before
    }

    /// Takes those of a line to the database until none waits: whoever comes until there is a turn goes along.
    async fn work(self, line: E::Line) {
        loop {
            let turn = self.db.turn().await;
            let tickets = self.take(&line);
            if tickets.is_empty() {
                return;
            }
            let subjects: Vec<_> = tickets.iter().filter_map(Ticket::subject).collect();
            self.serve(turn, tickets).await;
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

    /// Answers every ticket; a client that has gone waits for no answer.
    async fn serve(&self, turn: Turn, tickets: Vec<Ticket<E>>) {
        let (errands, mut senders): (Vec<_>, Vec<_>) = tickets
            .into_iter()
            .map(|ticket| (ticket.errand, ticket.answer))
            .unzip();
        match self.go(turn, errands).await {
            Ok(answers) => {
                for (sender, answer) in senders.into_iter().zip(answers) {
                    let _gone = sender.send(answer);
                }
            }
            Err(error) => {
                // Who went alone is told all that there is to tell.
                let last = senders.pop();
                if error.is_ours() {
                    let count = senders.len() + 1;
                    tracing::warn!(%error, cause = ?error.cause, count, "errands failed together");
                }
                for sender in senders {
                    let _gone = sender.send(Err(error.again()));
                }
                let _gone = last.map(|sender| sender.send(Err(error)));
            }
        }
    }

    async fn go(&self, turn: Turn, errands: Vec<Arc<E>>) -> Result<Vec<Told<E>>, ApiError> {
        let office = self.office.clone();
        let run = move |conn: &mut _| E::run(&office, conn, &errands);
        let told = self.db.in_turn(turn?, move |db| {
            if E::IS_REPEATABLE {
                db.twice(None, run)
            } else {
                db.once(None, run)
            }
        });
        let told = told.await?;
        let is_cut_off =
            |told: &Told<E>| matches!(told, Err(error) if error.code == Code::DatabaseUnavailable);
        if told.iter().any(is_cut_off) {
            self.db.suspect();
        }
        Ok(told)
    }

    async fn go_alone(&self, errand: Arc<E>) -> Result<E::Answer, ApiError> {
        let office = self.office.clone();
        let run = move |conn: &mut _| Arc::clone(&errand).run_alone(&office, conn);
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
        while taken.len() < TOGETHER
            && let Some(ticket) = self.waiting.pop_front()
        {
            if ticket.answer.is_closed() {
                // Its client has gone.
            } else if ticket
                .subject()
                .is_none_or(|subject| self.busy.insert(subject))
            {
                taken.push(ticket);
            } else {
                // Taken by whoever made it busy, who comes back here.
                left.push_back(ticket);
            }
        }
        left.append(&mut self.waiting);
        self.waiting = left;
        // In one order, as everyone who locks several.
        taken.sort_by_key(Ticket::subject);
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
