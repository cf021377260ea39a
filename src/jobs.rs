//! What happens by the clock: purging what nobody needs any more.

use std::time::Duration;

use crate::{db::Db, sessions};

const PURGE_EVERY: Duration = Duration::from_secs(600);

/// Purges in the background until the runtime stops.
pub async fn run(db: Db) {
    let mut clock = tokio::time::interval(PURGE_EVERY);
    loop {
        clock.tick().await;
        if let Err(error) = db.run(sessions::purge).await {
            tracing::warn!(%error, "purge failed; it is tried again");
        }
    }
}
