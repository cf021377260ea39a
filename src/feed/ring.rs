//! The newest changes in memory, from which those read who keep up.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Position,
    change::{Change, FORGET},
};

/// Changes that are held at most.
const MOST: usize = 10_000;

/// Bytes that they take at most, about.
const MOST_BYTES: usize = 33_554_432;

/// The changes after `base`, without a gap.
#[derive(Debug)]
pub(super) struct Ring {
    epoch: Arc<str>,
    base: i64,
    changes: VecDeque<Arc<Change>>,
    weight: usize,
}

impl Ring {
    /// One that holds nothing and goes on from a place.
    pub fn new(at: Position) -> Self {
        Self {
            epoch: at.epoch,
            base: at.number,
            changes: VecDeque::new(),
            weight: 0,
        }
    }

    /// How far it goes.
    pub fn head(&self) -> Position {
        Position {
            epoch: Arc::clone(&self.epoch),
            number: self.number(),
        }
    }

    fn number(&self) -> i64 {
        self.changes.back().map_or(self.base, |last| last.position)
    }

    /// Takes the next change; what it has already, as when two connections bring it, changes nothing.
    pub fn push(&mut self, change: Change) {
        let head = self.number();
        if change.position <= head {
            return;
        }
        if change.position > head + 1 {
            // What was dropped meanwhile.
            self.forget(change.position - 1);
        }
        if change.collection == FORGET {
            self.forget(change.position);
            return;
        }
        self.weight += change.weight();
        self.changes.push_back(Arc::new(change));
        while self.changes.len() > MOST || self.weight > MOST_BYTES {
            let Some(first) = self.changes.pop_front() else {
                break;
            };
            self.base = first.position;
            self.weight -= first.weight();
        }
    }

    fn forget(&mut self, base: i64) {
        self.changes.clear();
        self.weight = 0;
        self.base = base;
    }

    /// The changes after a place, at most so many of them; `None` where it does not reach back so far, or is another feed's.
    pub fn since(&self, place: &Position, most: usize) -> Option<Vec<Arc<Change>>> {
        let skipped = usize::try_from(place.number.checked_sub(self.base)?).ok()?;
        if place.epoch != self.epoch || skipped > self.changes.len() {
            return None;
        }
        let after = self.changes.iter().skip(skipped);
        Some(after.take(most).map(Arc::clone).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(position: i64, collection: i64) -> Change {
        Change {
            position,
            collection,
            generation: 1,
            id: uuid::Uuid::nil(),
            version: 1,
            is_tombstone: false,
            old: None,
            new: None,
        }
    }

    fn place(number: i64) -> Position {
        Position {
            epoch: "e".into(),
            number,
        }
    }

    fn numbers(ring: &Ring, after: i64) -> Option<Vec<i64>> {
        let found = ring.since(&place(after), usize::MAX)?;
        Some(found.iter().map(|change| change.position).collect())
    }

    #[test]
    fn it_gives_what_comes_after_a_place_and_nothing_with_a_gap() {
        let mut ring = Ring::new(place(5));
        for position in [6, 7, 7, 6, 8] {
            ring.push(change(position, 1));
        }
        assert_eq!(numbers(&ring, 4), None);
        assert_eq!(numbers(&ring, 5), Some(vec![6, 7, 8]));
        assert_eq!(numbers(&ring, 8), Some(vec![]));
        assert_eq!(numbers(&ring, 9), None, "it is not that far");
        ring.push(change(10, 1));
        assert_eq!(numbers(&ring, 8), None, "9 is missing");
        assert_eq!(numbers(&ring, 9), Some(vec![10]));
        ring.push(change(11, FORGET));
        assert_eq!(numbers(&ring, 9), None);
        assert_eq!(numbers(&ring, 11), Some(vec![]));
    }

    #[test]
    fn it_forgets_the_oldest() {
        let mut ring = Ring::new(place(0));
        for position in 1..=i64::try_from(MOST).unwrap() + 3 {
            ring.push(change(position, 1));
        }
        assert_eq!(numbers(&ring, 2), None);
        assert_eq!(numbers(&ring, 3).unwrap().len(), MOST);
    }
}
