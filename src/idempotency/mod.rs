//! Requests that may be sent twice and are done once: `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

mod store;

use aws_lc_rs::{digest, hmac};
use diesel::{PgConnection, QueryResult};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    db,
    error::{ApiError, Code},
};

/// A key with the request that it stands for; what is kept of it tells nobody the key or the body.
pub struct Key {
    id: Vec<u8>,
    fingerprint: Vec<u8>,
}

impl Key {
    /// The key of one caller for one method and path, and the body that came with it.
    pub fn new(user: Uuid, client: &str, method: &str, path: &str, key: &str, body: &[u8]) -> Self {
        let place = format!("{user}\n{client}\n{method}\n{path}\n{key}");
        // A body may hold a password; who reads the table does not know the key, so they can't try.
        let secret = hmac::Key::new(hmac::HMAC_SHA256, place.as_bytes());
        Self {
            id: digest::digest(&digest::SHA256, place.as_bytes())
                .as_ref()
                .to_vec(),
            fingerprint: hmac::sign(&secret, body).as_ref().to_vec(),
        }
    }
}

/// The answer to a request that made something.
pub struct Answer {
    /// Where it is.
    pub location: String,
    /// Its version.
    pub version: i64,
    /// What it looks like.
    pub body: Box<RawValue>,
}

impl Answer {
    /// The answer that shows `made`.
    ///
    /// # Errors
    /// None that happens.
    pub fn new(location: String, version: i64, made: &impl Serialize) -> Result<Self, ApiError> {
        Ok(Self {
            location,
            version,
            body: serde_json::value::to_raw_value(made).map_err(ApiError::internal)?,
        })
    }
}

/// Does `work` unless this very request was done within 24 h, and answers the same both times; without a key always does.
///
/// # Errors
/// 409 while it is being done, 422 for another body under the key; those of `work`, which are not kept.
pub fn once(
    conn: &mut PgConnection,
    key: Option<&Key>,
    work: impl FnOnce(&mut PgConnection) -> Result<Answer, ApiError>,
) -> Result<Answer, ApiError> {
    let Some(key) = key else {
        return work(conn);
    };
    db::tx(conn, |conn| {
        if !store::try_lock(conn, &key.id)? {
            return Err(ApiError::from(Code::RequestInFlight).header("retry-after", "1"));
        }
        match store::find(conn, &key.id)? {
            Some(kept) if kept.fingerprint == key.fingerprint => kept.answer(),
            Some(_) => Err(Code::KeyReused.into()),
            None => {
                let answer = work(conn)?;
                store::keep(conn, key, &answer)?;
                Ok(answer)
            }
        }
    })
}

/// Forgets the answers that show what was at `location`, inside the transaction that takes it away.
///
/// # Errors
/// Postgres.
pub fn forget(conn: &mut PgConnection, location: &str) -> QueryResult<usize> {
    store::forget(conn, location)
}

/// Forgets answers of more than a day ago.
///
/// # Errors
/// Postgres.
pub fn purge(conn: &mut PgConnection) -> QueryResult<usize> {
    store::forget_old(conn)
}
