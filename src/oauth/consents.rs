//! What people have allowed apps, and how they take it back.

use diesel::{PgConnection, QueryResult};
use serde_json::json;
use uuid::Uuid;

use super::consent_store as store;
pub use super::consent_store::ConsentRow;
use crate::{
    audit::{Action, Actor, Event},
    db,
    error::ApiError,
    scope::Scopes,
    sessions::{self, EndReason},
    users,
};

/// Whether a person has allowed an app all of this, at this API; `None` is our own.
///
/// # Errors
/// Postgres.
pub fn covers(
    conn: &mut PgConnection,
    owner: Uuid,
    client_id: &str,
    scopes: &Scopes,
    resource: Option<&str>,
) -> QueryResult<bool> {
    let Some(row) = store::find_consent(conn, owner, client_id)? else {
        return Ok(false);
    };
    let resource = resource.unwrap_or_default();
    if row.grants.is_empty() {
        // The version before wrote it down, which may still be running. Of several APIs it does not say which is for what.
        let is_known = row.resources == [resource];
        return Ok(is_known && scopes.is_within(&Scopes::from_stored(row.scopes)));
    }
    let is_given = |scope: &String| row.grants.contains(&store::grant(resource, scope));
    Ok(scopes.names().iter().all(is_given))
}

/// Lists the apps that a person has let in.
///
/// # Errors
/// Postgres.
pub fn list(conn: &mut PgConnection, owner: Uuid) -> QueryResult<Vec<ConsentRow>> {
    store::list_consents(conn, owner)
}

/// Lets an app do something.
///
/// # Errors
/// Postgres.
pub fn give(
    conn: &mut PgConnection,
    owner: Uuid,
    client_id: &str,
    scopes: &Scopes,
    resource: Option<&str>,
    actor: &Actor,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let names = scopes.names();
        store::give_consent(conn, owner, client_id, &names, resource.unwrap_or_default())?;
        let details = json!({"client_id": client_id, "scopes": names, "resource": resource});
        record(conn, Action::ConsentGiven, owner, details, actor)
    })
}

/// Takes back what an app was allowed; its sessions end.
///
/// # Errors
/// 404 for an app that was allowed nothing.
pub fn withdraw(
    conn: &mut PgConnection,
    owner: Uuid,
    client_id: &str,
    actor: &Actor,
) -> Result<(), ApiError> {
    if client_id.contains('\0') {
        return Err(ApiError::not_found());
    }
    db::tx(conn, |conn| {
        // Whoever is just letting the app in holds the account: it ends before or is refused after.
        users::lock(conn, owner)?;
        if !store::withdraw_consent(conn, owner, client_id)? {
            return Err(ApiError::not_found());
        }
        let reason = EndReason::ConsentWithdrawn;
        sessions::end_of_client(conn, owner, client_id, reason, actor)?;
        let details = json!({"client_id": client_id});
        record(conn, Action::ConsentWithdrawn, owner, details, actor)
    })
}

fn record(
    conn: &mut PgConnection,
    action: Action,
    owner: Uuid,
    details: serde_json::Value,
    actor: &Actor,
) -> Result<(), ApiError> {
    Event {
        actor,
        action,
        subject_id: Some(owner),
        details,
    }
    .record(conn)?;
    Ok(())
}
