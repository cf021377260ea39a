//! Work that somebody waits for, and that must not be finished when nobody does any more.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

thread_local! {
    /// The hop that this thread of the blocking pool is at.
    static CURRENT: RefCell<Option<Hop>> = const { RefCell::new(None) };
}

/// One hop to the database, as those who wait and those who work see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Hop(Arc<AtomicBool>);

impl Hop {
    /// Does `work` as this hop.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.set(Some(self.clone()));
        let done = work();
        CURRENT.set(None);
        done
    }

    /// Nobody waits any more.
    pub(super) fn give_up(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits for this thread's hop any more; never on a thread that makes none.
    pub(super) fn is_given_up() -> bool {
        CURRENT.with_borrow(|hop| {
            hop.as_ref()
                .is_some_and(|hop| hop.0.load(Ordering::Relaxed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hop_itself_knows_that_it_was_given_up() {
        let (one, other) = (Hop::default(), Hop::default());
        one.give_up();
        assert!(one.during(Hop::is_given_up));
        assert!(!other.during(Hop::is_given_up));
        assert!(!Hop::is_given_up());
    }
}
