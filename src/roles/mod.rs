//! Roles: named sets of scopes that an administrator gives to users.

pub mod routes;
mod store;

use std::str::FromStr;

use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

pub use store::{RoleRow, find, list};

use crate::{
    audit::{Action, Actor, Event},
    db,
    error::{ApiError, Code},
    idempotency,
    precondition::Precondition,
    scope::{ADMINISTRATOR, Authority, Scope, Scopes},
};

/// The role that everyone gets at sign-up.
pub const EVERYONE: &str = "user";

/// A role's name: `[a-z][a-z0-9_-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z][a-z0-9_-]{0,62}$", example = "editor")]
pub struct RoleName(String);

/// Says that a text is no role's name.
#[derive(Debug, thiserror::Error)]
#[error(
    "a role's name begins with a lower-case letter and goes on with letters, digits, `_` and `-`, 63 at most"
)]
pub struct InvalidRoleName;

impl FromStr for RoleName {
    type Err = InvalidRoleName;

    fn from_str(text: &str) -> Result<Self, InvalidRoleName> {
        let valid = text.len() <= 63
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRoleName)
        }
    }
}

impl TryFrom<String> for RoleName {
    type Error = InvalidRoleName;

    fn try_from(text: String) -> Result<Self, InvalidRoleName> {
        text.parse()
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.0
    }
}

impl AsRef<str> for RoleName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// What a role says.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleContent {
    /// What it is for, in words.
    #[serde(default)]
    #[schema(max_length = 500, example = "Edits what others wrote")]
    pub description: String,
    /// What it allows; any `resource:action`, also those of your own services.
    #[schema(max_items = 200)]
    pub scopes: Vec<Scope>,
}

/// Everything that a role of this name may do; `admin` stands for all that Tollgate knows.
pub fn effective_scopes<'a>(roles: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Scopes {
    let mut all = Scopes::default();
    for (name, scopes) in roles {
        if name == ADMINISTRATOR {
            all.extend(Scopes::built_in());
        }
        all.extend(Scopes::from_stored(scopes));
    }
    all
}

/// What saving a role did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It allows something else than before.
    Redefined,
    /// It allows what it did.
    Described,
}

/// How a role may be saved.
#[derive(Clone, Debug)]
pub enum Saving {
    /// Only where there is none of this name.
    New,
    /// Also in place of one, under a condition.
    Replace(Precondition),
}

/// Makes a role, or changes it; who has it is the caller's to think of.
///
/// # Errors
/// 403 above the caller's own scopes, 409 for `admin` or an existing name, 412.
pub fn save(
    conn: &mut PgConnection,
    authority: &Authority,
    actor: &Actor,
    name: &RoleName,
    content: &RoleContent,
    saving: &Saving,
) -> Result<(RoleRow, Change), ApiError> {
    if name.as_ref() == ADMINISTRATOR {
        return Err(Code::RoleBuiltIn.into());
    }
    let scopes: Scopes = content.scopes.iter().cloned().collect();
    db::tx(conn, |conn| {
        let stored = match saving {
            Saving::New => None,
            Saving::Replace(_) => store::lock(conn, name.as_ref())?,
        };
        let mut reach = scopes.clone();
        if let Some(stored) = &stored {
            reach.extend(Scopes::from_stored(&stored.scopes));
        }
        if !authority.covers(&reach, &[]) {
            return Err(Code::AboveOwnScopes.into());
        }
        if let Saving::Replace(precondition) = saving {
            precondition.check(stored.as_ref().map(|stored| stored.version))?;
        }
        let names = scopes.names();
        let change = match &stored {
            None => Change::Created,
            Some(stored) if Scopes::from_stored(&stored.scopes) != scopes => Change::Redefined,
            Some(_) => Change::Described,
        };
        let (row, action) = match change {
            Change::Created => (
                store::insert(conn, name.as_ref(), &content.description, &names)?,
                Action::RoleCreated,
            ),
            _ => (
                store::update(conn, name.as_ref(), &content.description, &names)?,
                Action::RoleUpdated,
            ),
        };
        let details = json!({"role": name, "scopes": row.scopes});
        Event {
            actor,
            action,
            subject_id: None,
            details,
        }
        .record(conn)?;
        Ok((row, change))
    })
}

/// Where a role is.
pub fn location(name: &str) -> String {
    format!("/v1/roles/{name}")
}

/// Deletes a role that nobody has.
///
/// # Errors
/// 404 unknown, 403 above the caller's own scopes, 412, 409 built in or still given to somebody.
pub fn delete(
    conn: &mut PgConnection,
    authority: &Authority,
    actor: &Actor,
    name: &RoleName,
    precondition: &Precondition,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let stored = store::lock(conn, name.as_ref())?.ok_or_else(ApiError::not_found)?;
        if stored.built_in {
            return Err(Code::RoleBuiltIn.into());
        }
        if !authority.covers(&Scopes::from_stored(&stored.scopes), &[]) {
            return Err(Code::AboveOwnScopes.into());
        }
        precondition.check(Some(stored.version))?;
        store::delete(conn, name.as_ref())?;
        idempotency::forget(conn, &location(name.as_ref()))?;
        let details = json!({"role": name});
        Event {
            actor,
            action: Action::RoleDeleted,
            subject_id: None,
            details,
        }
        .record(conn)?;
        Ok(())
    })
}
