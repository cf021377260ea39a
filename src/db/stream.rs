//! Long reads under one snapshot, whose parts go out while the next are read.

use std::{sync::Arc, time::Duration};

use diesel::PgConnection;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot},
    time,
};

use super::{Db, TURN_PATIENCE, visit};
use crate::error::{ApiError, Code};

/// Parts that may wait for whoever reads.
const WAITING: usize = 2;

/// How long one may wait.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// How long one read may hold its snapshot, since nothing is vacuumed meanwhile that was there when it began.
const LONGEST: Duration = Duration::from_secs(300);

/// Takes the parts of a long read.
pub type Outlet<'a, T> = &'a mut dyn FnMut(T) -> Result<(), ApiError>;

/// The parts of a long read: the first, and those that follow.
pub struct Parts<T> {
    /// The first, if there is any.
    pub first: Option<T>,
    /// The others.
    pub rest: Rest<T>,
}

/// The parts that follow.
pub struct Rest<T> {
    parts: mpsc::Receiver<T>,
    end: oneshot::Receiver<Result<(), ApiError>>,
    has_ended: bool,
}

impl<T> Rest<T> {
    /// The next part; an error where it ends before its time, so that nobody takes a half for the whole.
    pub async fn next(&mut self) -> Option<Result<T, ApiError>> {
        if let Some(part) = self.parts.recv().await {
            return Some(Ok(part));
        }
        if self.has_ended {
            return None;
        }
        self.has_ended = true;
        let end = (&mut self.end).await;
        let end = end.unwrap_or_else(|_gone| Err(ApiError::internal("a long read broke off")));
        end.err().map(Err)
    }
}

impl Db {
    /// Runs `work` in a transaction that sees one snapshot, and answers as soon as there is a first part. It holds a connection until
    /// all has been read or nobody reads any more; of all connections half may be held so.
    ///
    /// # Errors
    /// Those of `work` before the first part; 503 when no connection may be held.
    pub async fn stream<T, F>(&self, work: F) -> Result<Parts<T>, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection, Outlet<'_, T>) -> Result<(), ApiError> + Send + 'static,
    {
        let first = visit::set_out();
        if self.is_away() {
            return Err(Code::DatabaseUnavailable.into());
        }
        let wait = async |turns: &Arc<Semaphore>| {
            let turn = time::timeout(TURN_PATIENCE, Arc::clone(turns).acquire_owned());
            let turn = turn.await.map_err(|_elapsed| self.no_turn())?;
            turn.map_err(ApiError::internal)
        };
        let held = (wait(&self.streams).await?, wait(&self.turns).await?);
        let (sender, parts) = mpsc::channel(WAITING);
        let (ending, end) = oneshot::channel();
        let (db, runtime) = (self.clone(), Handle::current());
        let ends = time::Instant::now() + LONGEST;
        tokio::task::spawn_blocking(move || {
            let _held = held;
            let mut outlet = |part: T| {
                let now = time::Instant::now();
                let patience = ends.min(now + READER_PATIENCE);
                let sent = runtime.block_on(time::timeout_at(patience, sender.send(part)));
                match sent {
                    Ok(Ok(())) if now < ends => Ok(()),
                    // Nobody reads any more, or too slowly.
                    _ => Err(ApiError::from(Code::RequestTimeout)),
                }
            };
            let read = db.once(first.as_ref(), |conn| {
                let mut snapshot = conn.build_transaction().read_only().repeatable_read();
                snapshot.run(|conn| work(conn, &mut outlet))
            });
            // Where nobody reads nobody has to know.
            let _unread = ending.send(read);
        });
        let mut rest = Rest {
            parts,
            end,
            has_ended: false,
        };
        let first = rest.next().await.transpose()?;
        Ok(Parts { first, rest })
    }
}
