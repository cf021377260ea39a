//! What one request does at the database: how often it goes there, and what has to be done there before all else.

use std::cell::RefCell;

use diesel::PgConnection;

use crate::error::ApiError;

tokio::task_local! {
    /// The request that the task works for.
    static VISIT: RefCell<Visit>;
}

/// What a trip begins with; done again only where the connection broke meanwhile.
pub(super) type First = Box<dyn Fn(&mut PgConnection) -> Result<(), ApiError> + Send>;

#[derive(Default)]
struct Visit {
    trips: u32,
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
pub fn begin_with(
    first: impl Fn(&mut PgConnection) -> Result<(), ApiError> + Send + 'static,
) -> Result<(), ApiError> {
    VISIT
        .try_with(|visit| visit.borrow_mut().first = Some(Box::new(first)))
        .map_err(ApiError::internal)
}

/// Counts a trip; answers what it has to begin with.
pub(super) fn set_out() -> Option<First> {
    let set_out = VISIT.try_with(|visit| {
        let mut visit = visit.borrow_mut();
        visit.trips += 1;
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
