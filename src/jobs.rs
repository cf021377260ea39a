//! What happens by the clock: writing down uses, purging what nobody needs any more.

use std::time::Duration;

use crate::{db::Db, sessions, tokens::Tokens};

const PURGE_EVERY: Duration = Duration::from_secs(600);
const ACKNOWLEDGE_EVERY: Duration = Duration::from_millis(500);

/// Purges in the background until the runtime stops.
pub async fn purge(db: Db) {
    let mut clock = tokio::time::interval(PURGE_EVERY);
    loop {
        clock.tick().await;
        if let Err(error) = db.run(sessions::purge).await {
            tracing::warn!(%error, "purge failed; it is tried again");
        }
    }
}

/// Writes down, within a second, which generations were seen in use.
pub async fn acknowledge(db: Db, tokens: Tokens) {
    let mut clock = tokio::time::interval(ACKNOWLEDGE_EVERY);
    loop {
        clock.tick().await;
        let uses = tokens.take_uses();
        if uses.is_empty() {
            continue;
        }
        let batch = uses.clone();
        let written = db
            .run(move |conn| Ok(sessions::acknowledge(conn, &batch)?))
            .await;
        if let Err(error) = written {
            tracing::warn!(%error, "uses could not be written down; it is tried again");
            tokens.restore_uses(uses);
        }
    }
}
