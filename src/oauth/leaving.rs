//! Deleting a client, with all that it holds and was allowed: whoever comes under its name later has nothing of it.

use diesel::PgConnection;

use super::{consent_store, store};
use crate::{audit::Actor, clients, db, error::ApiError, precondition::Precondition, sessions};

/// Deletes a client, ends its sessions, and forgets what people have allowed it.
///
/// # Errors
/// 404, 412.
pub fn delete_client(
    conn: &mut PgConnection,
    actor: &Actor,
    id: &str,
    precondition: &Precondition,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        clients::delete(conn, actor, id, precondition)?;
        // First what is being redeemed just now, so that its sessions are there to be ended.
        store::forget_client(conn, id)?;
        sessions::end_of_deleted_client(conn, id)?;
        consent_store::forget_client(conn, id)?;
        Ok(())
    })
}
