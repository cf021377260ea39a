//! The memory that hashes need, kept while people sign in: getting it anew from the system costs a third of a hash.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use argon2::Block;

/// Blocks that no hash uses just now; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Kept>);

#[derive(Default)]
struct Kept {
    idle: Mutex<Vec<Vec<Block>>>,
    was_used: AtomicBool,
}

impl Memory {
    /// Does `work` with so many blocks, whatever stands in them; of those who work at the same time each has its own.
    pub(super) fn with<T>(&self, blocks: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
        self.0.was_used.store(true, Ordering::Relaxed);
        let idle = self.idle().pop();
        let mut memory = idle.unwrap_or_default();
        memory.resize(blocks, Block::new());
        let done = work(&mut memory);
        self.idle().push(memory);
        done
    }

    /// Gives it back to the system when nothing has used it since the last time.
    pub(super) fn forget(&self) {
        if !self.0.was_used.swap(false, Ordering::Relaxed) {
            self.idle().clear();
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
