//! What may be presented once, by anyone, at any replica: proofs and assertions.

use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;

use super::{Fault, OAuthError, store};
use crate::db;

/// Something that was presented, and that nobody may present again before it expires.
#[derive(Clone, Debug)]
pub struct Presented {
    id: Vec<u8>,
    expires_at: DateTime<Utc>,
    fault: Fault,
}

impl Presented {
    /// Names what was presented: by whom, and as what.
    pub(super) fn new(
        fault: Fault,
        whose: &str,
        id: &str,
        now: DateTime<Utc>,
        seconds: i64,
    ) -> Self {
        let name = format!("{}\n{whose}\n{id}", fault.name());
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        Self {
            id: hash.as_ref().get(..16).unwrap_or_default().to_vec(),
            expires_at: now + TimeDelta::seconds(seconds),
            fault,
        }
    }

    /// Takes it, unless somebody has before.
    ///
    /// # Errors
    /// As what it was presented: `invalid_dpop_proof` or `invalid_client`.
    pub fn take(&self, conn: &mut PgConnection) -> Result<(), OAuthError> {
        if store::present(conn, &self.id, self.expires_at)? {
            return Ok(());
        }
        let description = match self.fault {
            Fault::InvalidDpopProof => "the DPoP proof was presented before",
            _ => "the assertion was presented before",
        };
        Err(OAuthError::new(self.fault, description))
    }
}

/// Does something for whoever presented what was taken before in this transaction. A refusal undoes only the rest: what was
/// presented stays taken.
///
/// # Errors
/// Faults of ours, which undo everything.
pub(super) fn keeping<T>(
    conn: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T, OAuthError>,
) -> Result<Result<T, OAuthError>, OAuthError> {
    match db::tx(conn, work) {
        Err(error) if error.is_ours() => Err(error),
        answered => Ok(answered),
    }
}

/// Takes several.
///
/// # Errors
/// Those of `Presented::take`.
pub(super) fn take_all(conn: &mut PgConnection, all: &[Presented]) -> Result<(), OAuthError> {
    all.iter().try_for_each(|one| one.take(conn))
}
