//! Accounts: signing up, profiles, the roles they have.

mod email;
pub mod password;
pub mod routes;
mod store;

use diesel::{PgConnection, QueryResult};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

pub use email::Email;
pub use password::{Passwords, Verdict};
pub use store::UserRow;

use crate::{
    audit::{self, Action, Actor, Event},
    db::{self, Window},
    error::{ApiError, Code, FieldError},
    roles::{self, EVERYONE, RoleName},
    scope::{ADMINISTRATOR, Authority, Scopes},
};

/// Bytes of an account's larger metadata, as JSON.
const MAX_METADATA: usize = 16_384;

/// An account to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@example.com", "password": "correct horse battery staple", "name": "Ada"}))]
pub struct NewUser {
    /// Signs the person in; one account per address, in any letter case.
    pub email: Email,
    /// At least 8 characters, at most 1,024 bytes, none of the commonly used ones; no composition rules.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 1024)]
    pub password: SecretString,
    /// What the person is called.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// The person's language (BCP 47).
    #[schema(pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length = 35, example = "en")]
    pub locale: Option<String>,
}

/// What of an account can be changed; also the schema of a merge patch (RFC 7396): left out stays, null removes.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserPatch, example = json!({"name": "Ada", "user_metadata": {"theme": "dark"}}))]
pub struct Profile {
    /// What the person is called.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// The person's language (BCP 47).
    #[schema(pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length = 35, example = "en")]
    pub locale: Option<String>,
    /// What the account's owner stores; at most 16 KiB.
    #[schema(value_type = Object, required = false)]
    pub user_metadata: Value,
    /// What administrators store (`users:write`); at most 16 KiB.
    #[schema(value_type = Object, required = false)]
    pub app_metadata: Value,
    /// Whether the account may not sign in (`users:write`); disabling ends its sessions.
    #[schema(required = false)]
    pub disabled: bool,
}

/// Members of a profile that only holders of `users:write` may change.
const ADMINISTRATIVE: [&str; 2] = ["app_metadata", "disabled"];

/// An account with what it may do.
#[derive(Clone, Debug)]
pub struct Account {
    /// The stored account.
    pub user: UserRow,
    /// The names of its roles.
    pub roles: Vec<String>,
    /// Everything that its roles allow.
    pub scopes: Scopes,
}

impl Account {
    fn new(user: UserRow, given: Vec<store::Given>) -> Self {
        let scopes = roles::effective_scopes(given.iter().map(|(name, scopes)| (name.as_str(), scopes.as_slice())));
        let roles = given.into_iter().map(|(name, _)| name).collect();
        Self { user, roles, scopes }
    }

    /// The members that private claims may be mapped from.
    pub fn mappable(&self) -> Value {
        json!({
            "email": self.user.email,
            "email_verified": self.user.email_verified,
            "name": self.user.name,
            "locale": self.user.locale,
            "user_metadata": self.user.user_metadata,
            "app_metadata": self.user.app_metadata,
        })
    }

    /// Refuses to act on an account that may do more than the caller.
    ///
    /// # Errors
    /// 403.
    pub fn check_within(&self, authority: &Authority) -> Result<(), ApiError> {
        if authority.covers(&self.scopes, &self.roles) {
            Ok(())
        } else {
            Err(Code::AboveOwnScopes.into())
        }
    }
}

/// Whose account a request is about, and by which right.
#[derive(Clone, Debug)]
pub enum Reach {
    /// The caller's own.
    Own,
    /// Anyone's within the caller's authority.
    Any(Authority),
}

impl Reach {
    fn check(&self, account: &Account) -> Result<(), ApiError> {
        match self {
            Self::Own => Ok(()),
            Self::Any(authority) => account.check_within(authority),
        }
    }
}

/// Makes an account with the role that everyone has.
///
/// # Errors
/// 409 when the address has one.
pub fn create(
    conn: &mut PgConnection,
    actor: &Actor,
    new: &NewUser,
    password_hash: &str,
    email_verified: bool,
) -> Result<Account, ApiError> {
    db::tx(conn, |conn| {
        let id = Uuid::now_v7();
        let row = store::NewRow {
            id,
            email: new.email.as_ref(),
            email_verified,
            password_hash,
            name: new.name.as_deref(),
            locale: new.locale.as_deref(),
        };
        let user = store::insert(conn, &row)?;
        store::give_role(conn, id, EVERYONE)?;
        let event = Event { actor, action: Action::UserCreated, subject_id: Some(id), details: json!({}) };
        event.record(conn)?;
        Ok(Account::new(user, store::roles_of(conn, id)?))
    })
}

/// Finds an account.
///
/// # Errors
/// Postgres.
pub fn find(conn: &mut PgConnection, owner: Uuid) -> QueryResult<Option<Account>> {
    let Some(user) = store::find(conn, owner)? else {
        return Ok(None);
    };
    Ok(Some(Account::new(user, store::roles_of(conn, owner)?)))
}

/// Finds the account of an address, for signing in.
///
/// # Errors
/// Postgres.
pub fn find_by_email(conn: &mut PgConnection, email: &Email) -> QueryResult<Option<UserRow>> {
    store::find_by_email_any_owner(conn, email.as_ref())
}

/// Lists accounts by id, which is by age.
///
/// # Errors
/// Postgres.
pub fn list(conn: &mut PgConnection, window: Window) -> QueryResult<Vec<Account>> {
    let users = store::list_any_owner(conn, window)?;
    let ids: Vec<_> = users.iter().map(|user| user.id).collect();
    let mut given = store::roles_of_any_owner(conn, &ids)?;
    let account = |user: UserRow| {
        let given = given.remove(&user.id).unwrap_or_default();
        Account::new(user, given)
    };
    Ok(users.into_iter().map(account).collect())
}

/// Changes a profile by a merge patch (RFC 7396), inside the caller's transaction.
///
/// # Errors
/// 404, 403 for members or accounts above the caller, 413 for too much metadata, 409 for the last administrator.
pub fn patch(
    conn: &mut PgConnection,
    owner: Uuid,
    reach: &Reach,
    administrative: bool,
    patch: &Value,
    actor: &Actor,
) -> Result<Account, ApiError> {
    if !administrative {
        check_members(patch)?;
    }
    let account = locked(conn, owner)?;
    reach.check(&account)?;
    let before = &account.user;
    let mut document = json!(Profile {
        name: before.name.clone(),
        locale: before.locale.clone(),
        user_metadata: before.user_metadata.clone(),
        app_metadata: before.app_metadata.clone(),
        disabled: before.disabled,
    });
    json_patch::merge(&mut document, patch);
    let profile: Profile = serde_json::from_value(document).map_err(|error| {
        ApiError::invalid(vec![FieldError::new("", "type", error.to_string())])
    })?;
    for metadata in [&profile.user_metadata, &profile.app_metadata] {
        if metadata.to_string().len() > MAX_METADATA {
            return Err(ApiError::new(Code::PayloadTooLarge, format!("Metadata has at most {MAX_METADATA} bytes")));
        }
    }
    if profile.disabled && !before.disabled {
        keep_an_administrator(conn, &account)?;
    }
    let action = match (before.disabled, profile.disabled) {
        (false, true) => Action::UserDisabled,
        (true, false) => Action::UserEnabled,
        _ => Action::UserUpdated,
    };
    let user = store::update_profile(conn, owner, &profile)?;
    let members: Vec<_> = patch.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    Event { actor, action, subject_id: Some(owner), details: json!({"members": members}) }.record(conn)?;
    Ok(Account { user, ..account })
}

/// Refuses a patch that touches what only administrators may change.
fn check_members(patch: &Value) -> Result<(), ApiError> {
    let errors: Vec<_> = ADMINISTRATIVE
        .iter()
        .filter(|name| patch.get(**name).is_some())
        .map(|name| FieldError::new(format!("/{name}"), "forbidden", "only holders of users:write may change it"))
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::with_errors(Code::MemberForbidden, errors))
    }
}

/// Stores a new password hash in place of `old`, inside the caller's transaction.
///
/// # Errors
/// 404 for an account that is gone, 401 when the password was changed meanwhile.
pub fn replace_password(conn: &mut PgConnection, owner: Uuid, old: &str, new: &str) -> Result<(), ApiError> {
    if store::update_password(conn, owner, old, new)? {
        Ok(())
    } else {
        Err(Code::InvalidCredentials.into())
    }
}

/// Stores a stronger hash of the same password at sign-in.
///
/// # Errors
/// Postgres.
pub fn upgrade_password(conn: &mut PgConnection, owner: Uuid, old: &str, new: &str) -> QueryResult<bool> {
    store::update_password(conn, owner, old, new)
}

/// Erases an account and what it knows of the person; what it did stays in the audit log, without where from.
///
/// # Errors
/// 404, 403 above the caller, 409 for the last administrator.
pub fn delete(conn: &mut PgConnection, owner: Uuid, reach: &Reach, actor: &Actor) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let account = locked(conn, owner)?;
        reach.check(&account)?;
        keep_an_administrator(conn, &account)?;
        store::delete(conn, owner)?;
        let event = Event { actor, action: Action::UserDeleted, subject_id: Some(owner), details: json!({}) };
        event.record(conn)?;
        audit::erase_person(conn, owner)?;
        Ok(())
    })
}

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
            Event { actor, action: Action::RoleGiven, subject_id: Some(owner), details }.record(conn)?;
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
            Event { actor, action: Action::RoleTaken, subject_id: Some(owner), details }.record(conn)?;
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

fn locked(conn: &mut PgConnection, owner: Uuid) -> Result<Account, ApiError> {
    let user = store::lock(conn, owner)?.ok_or_else(ApiError::not_found)?;
    Ok(Account::new(user, store::roles_of(conn, owner)?))
}

fn keep_an_administrator(conn: &mut PgConnection, leaving: &Account) -> Result<(), ApiError> {
    let administrative = leaving.roles.iter().any(|role| role == ADMINISTRATOR);
    if administrative && store::other_administrators(conn, leaving.user.id)? == 0 {
        return Err(Code::LastAdministrator.into());
    }
    Ok(())
}

/// Tells whether anyone may do everything.
///
/// # Errors
/// Postgres.
pub fn has_administrator(conn: &mut PgConnection) -> QueryResult<bool> {
    Ok(store::other_administrators(conn, Uuid::nil())? > 0)
}
