//! Giving and taking roles: nobody reaches above their own scopes.

use diesel::PgConnection;
use serde_json::json;
use uuid::Uuid;

use super::{Account, keep_an_administrator, locked, revoke_tokens, store};
use crate::{
    audit::{Action, Actor, Event},
    db,
    error::{ApiError, Code},
    roles::{self, RoleName},
    scope::{ADMINISTRATOR, Authority},
};

/// Gives a role; giving it twice is the same as once.
///
/// # Errors
/// 404 for an unknown account or role, 403 above the caller.
pub fn give_role(
    conn: &mut PgConnection,
    owner: Uuid,
    role: &RoleName,
    authority: &Authority,
    actor: &Actor,
) -> Result<(), ApiError> {
    change_role(conn, owner, role, authority, |conn, _account| {
        if store::give_role(conn, owner, role.as_ref())? {
            let details = json!({"role": role});
            Event {
                actor,
                action: Action::RoleGiven,
                subject_id: Some(owner),
                details,
            }
            .record(conn)?;
            store::touch(conn, owner)?;
            revoke_tokens(conn, owner)?;
        }
        Ok(())
    })
}

/// Takes a role away; taking it twice is the same as once.
///
/// # Errors
/// 404 for an unknown account or role, 403 above the caller, 409 for the last administrator.
pub fn take_role(
    conn: &mut PgConnection,
    owner: Uuid,
    role: &RoleName,
    authority: &Authority,
    actor: &Actor,
) -> Result<(), ApiError> {
    change_role(conn, owner, role, authority, |conn, account| {
        if role.as_ref() == ADMINISTRATOR {
            keep_an_administrator(conn, account)?;
        }
        if store::take_role(conn, owner, role.as_ref())? {
            let details = json!({"role": role});
            Event {
                actor,
                action: Action::RoleTaken,
                subject_id: Some(owner),
                details,
            }
            .record(conn)?;
            store::touch(conn, owner)?;
            revoke_tokens(conn, owner)?;
        }
        Ok(())
    })
}

fn change_role(
    conn: &mut PgConnection,
    owner: Uuid,
    role: &RoleName,
    authority: &Authority,
    change: impl FnOnce(&mut PgConnection, &Account) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let account = locked(conn, owner)?;
        let row = roles::find(conn, role.as_ref())?.ok_or_else(ApiError::not_found)?;
        account.check_within(authority)?;
        let scopes = roles::effective_scopes([(row.name.as_str(), row.scopes.as_slice())]);
        if !authority.covers(&scopes, std::slice::from_ref(&row.name)) {
            return Err(Code::AboveOwnScopes.into());
        }
        change(conn, &account)
    })
}
