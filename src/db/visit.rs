//! What one request does at the database: how often it goes there, and what has to be done there before all else.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use diesel::PgConnection;

use crate::error::ApiError;

tokio::task_local! {
    /// The request that the task works for.
    static VISIT: RefCell<Visit>;
}

type Work = dyn Fn(&mut PgConnection) -> Result<(), ApiError> + Send + Sync;

/// What a request's trip begins with: nothing else of it is done before, nor where it is refused.
#[derive(Clone)]
pub struct First {
    work: Arc<Work>,
    state: Arc<AtomicU8>,
}

const DUE: u8 = 0;
const DONE: u8 = 1;
const REFUSED: u8 = 2;

impl First {
    /// Begins with `work`.
    pub fn new(
        work: impl Fn(&mut PgConnection) -> Result<(), ApiError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            work: Arc::new(work),
            state: Arc::new(AtomicU8::new(DUE)),
        }
    }

    /// Does it, unless it is done.
    pub(super) fn begin(&self, conn: &mut PgConnection) -> Result<(), ApiError> {
        if self.is_done() {
            return Ok(());
        }
        let begun = (self.work)(conn);
        let state = if begun.is_ok() { DONE } else { REFUSED };
        self.state.store(state, Ordering::Relaxed);
        begun
    }

    pub(super) fn is_done(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DONE
    }

    fn is_due(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DUE
    }
}

impl std::fmt::Debug for First {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("First")
    }
}

#[derive(Default)]
struct Visit {
    trips: u32,
    /// Whether it has gone there since it last waited for something else.
    has_gone: bool,
    first: Option<First>,
}

impl Visit {
    fn go(&mut self) {
        debug_assert!(!self.has_gone, "a request goes to the database once");
        self.trips += 1;
        self.has_gone = true;
    }
}

/// Works for one request; answers also how many trips to the database it took.
pub async fn watch<T>(work: impl Future<Output = T>) -> (T, u32) {
    VISIT
        .scope(RefCell::default(), async {
            let done = work.await;
            (done, VISIT.with(|visit| visit.borrow().trips))
        })
        .await
}

/// Lets every trip of this request begin with `first`, until that is done.
///
/// # Errors
/// 500 where nobody watches.
pub fn begin_with(first: First) -> Result<(), ApiError> {
    VISIT
        .try_with(|visit| visit.borrow_mut().first = Some(first))
        .map_err(ApiError::internal)
}

/// Says that the request waits for something else than the database, a hash or another server: then it may go there once more.
pub fn wait_elsewhere() {
    // Nobody watches what no request asks for; so also below.
    let _watched = VISIT.try_with(|visit| visit.borrow_mut().has_gone = false);
}

/// Counts a trip that somebody else makes for several requests.
pub(super) fn join_trip() {
    let _watched = VISIT.try_with(|visit| visit.borrow_mut().go());
}

/// Whether a trip of this request has to begin with something of its own.
pub fn is_bound() -> bool {
    let is_left = |first: &First| !first.is_done();
    VISIT
        .try_with(|visit| visit.borrow().first.as_ref().is_some_and(is_left))
        .unwrap_or_default()
}

/// Counts a trip; answers what it has to begin with.
pub(super) fn set_out() -> Option<First> {
    let first = VISIT.try_with(|visit| {
        let mut visit = visit.borrow_mut();
        visit.go();
        visit.first.clone()
    });
    first.unwrap_or_default()
}

/// Whether something has to be done that no trip has begun with; of a request that succeeds, whatever became of it before.
pub(super) fn is_owed(succeeds: bool) -> bool {
    let is_owed = |first: &First| first.is_due() || succeeds && !first.is_done();
    VISIT
        .try_with(|visit| visit.borrow().first.as_ref().is_some_and(is_owed))
        .unwrap_or_default()
}
