//! What one request does at the database: how often it goes there, and what has to be done there before all else.

use std::cell::RefCell;

use diesel::PgConnection;

use crate::error::ApiError;

tokio::task_local! {
    /// The request that the task works for.
    static VISIT: RefCell<Visit>;
}

/// What a trip begins with; done again only where the connection broke meanwhile.
pub struct First(Box<dyn Fn(&mut PgConnection) -> Result<(), ApiError> + Send>);

impl First {
    /// Begins with `work`.
    pub fn new(work: impl Fn(&mut PgConnection) -> Result<(), ApiError> + Send + 'static) -> Self {
        Self(Box::new(work))
    }

    pub(super) fn begin(&self, conn: &mut PgConnection) -> Result<(), ApiError> {
        (self.0)(conn)
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
    waits: u32,
    first: Option<First>,
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

/// Lets the next trip of this request begin with `first`: where that refuses, the rest of the trip is not done.
///
/// # Errors
/// 500 where nobody watches.
pub fn begin_with(first: First) -> Result<(), ApiError> {
    VISIT
        .try_with(|visit| visit.borrow_mut().first = Some(first))
        .map_err(ApiError::internal)
}

/// Says that the request has to wait for something else than the database, a hash or another server: only then it may go there
/// once more.
pub fn wait_elsewhere() {
    // Nobody watches what no request asks for.
    let _watched = VISIT.try_with(|visit| visit.borrow_mut().waits += 1);
}

/// Counts a trip; answers what it has to begin with.
pub(super) fn set_out() -> Option<First> {
    let set_out = VISIT.try_with(|visit| {
        let mut visit = visit.borrow_mut();
        visit.trips += 1;
        debug_assert!(
            visit.trips <= 1 + visit.waits,
            "a request goes to the database once"
        );
        visit.first.take()
    });
    set_out.unwrap_or_default()
}

/// Whether a trip that has not been made had to begin with something.
pub(super) fn is_due() -> bool {
    VISIT
        .try_with(|visit| visit.borrow().first.is_some())
        .unwrap_or_default()
}
