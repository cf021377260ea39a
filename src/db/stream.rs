//! Long reads under one snapshot, whose parts go out while the next are read.

use std::{sync::Arc, time::Duration};

use diesel::PgConnection;
use tokio::{runtime::Handle, sync::mpsc, time};

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
    /// The others; one that is an error ends it before its time.
    pub rest: mpsc::Receiver<Result<T, ApiError>>,
}

impl Db {
    /// Runs `work` in a transaction that sees one snapshot, and answers as soon as there is a first part. It holds a connection until
    /// all has been read or nobody reads any more; of all connections a quarter may be held so.
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
        let overloaded = |_| ApiError::from(Code::Overloaded);
        let stream = Arc::clone(&self.streams).try_acquire_owned();
        let stream = stream.map_err(|_none| ApiError::from(Code::Overloaded))?;
        let turn = time::timeout(TURN_PATIENCE, Arc::clone(&self.turns).acquire_owned());
        let turn = turn
            .await
            .map_err(overloaded)?
            .map_err(ApiError::internal)?;
        let (sender, mut parts) = mpsc::channel(WAITING);
        let (db, runtime) = (self.clone(), Handle::current());
        let ends = time::Instant::now() + LONGEST;
        tokio::task::spawn_blocking(move || {
            let _held = (stream, turn);
            let mut outlet = |part: T| {
                let patience = ends.min(time::Instant::now() + READER_PATIENCE);
                let sent = runtime.block_on(time::timeout_at(patience, sender.send(Ok(part))));
                match sent {
                    Ok(Ok(())) => Ok(()),
                    // Nobody reads any more, or too slowly.
                    _ => Err(ApiError::from(Code::RequestTimeout)),
                }
            };
            let read = db.once(first.as_ref(), |conn| {
                let mut snapshot = conn.build_transaction().read_only().repeatable_read();
                snapshot.run(|conn| work(conn, &mut outlet))
            });
            if let Err(error) = read {
                // Where nobody reads nobody has to know.
                let _unread = sender.try_send(Err(error));
            }
        });
        let first = parts.recv().await.transpose()?;
        Ok(Parts { first, rest: parts })
    }
}
