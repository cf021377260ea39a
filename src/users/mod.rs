//! Accounts: signing up, profiles, the roles they have.

mod claims;
mod email;
mod given_roles;
mod holder;
pub mod password;
mod password_memory;
mod profile;
pub mod routes;
mod store;

use diesel::{PgConnection, QueryResult};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

pub use claims::{claims_about, claims_known, scope_of_claim};
pub use email::Email;
pub use given_roles::{give_role, take_role};
pub use holder::{Holder, JoinedHolder};
pub use password::{Passwords, Ticket, Verdict};
pub use profile::{Change, Profile, patch};
pub use store::UserRow;

use crate::{
    audit::{self, Action, Actor, Event},
    db::{self, Window},
    error::{ApiError, Code},
    idempotency,
    precondition::Precondition,
    revocation::{self, Revocation},
    roles::{self, EVERYONE},
    scope::{ADMINISTRATOR, Authority, Scopes},
};

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
    #[schema(
        pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        max_length = 35,
        example = "en"
    )]
    pub locale: Option<String>,
}

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
        let scopes = roles::effective_scopes(
            given
                .iter()
                .map(|(name, scopes)| (name.as_str(), scopes.as_slice())),
        );
        let roles = given.into_iter().map(|(name, _)| name).collect();
        Self {
            user,
            roles,
            scopes,
        }
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
    /// Refuses an account that the caller does not reach.
    ///
    /// # Errors
    /// 403.
    pub fn check(&self, account: &Account) -> Result<(), ApiError> {
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
        let event = Event {
            actor,
            action: Action::UserCreated,
            subject_id: Some(id),
            details: json!({}),
        };
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

/// Stores a new password hash in place of `old`, inside the caller's transaction.
///
/// # Errors
/// 404 for an account that is gone, 401 when the password was changed meanwhile.
pub fn replace_password(
    conn: &mut PgConnection,
    owner: Uuid,
    old: &str,
    new: &str,
) -> Result<(), ApiError> {
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
pub fn upgrade_password(
    conn: &mut PgConnection,
    owner: Uuid,
    old: &str,
    new: &str,
) -> QueryResult<bool> {
    store::update_password(conn, owner, old, new)
}

/// Erases an account and what it knows of the person; what it did stays in the audit log, without where from.
///
/// # Errors
/// 404, 403 above the caller, 412, 409 for the last administrator.
pub fn delete(
    conn: &mut PgConnection,
    owner: Uuid,
    reach: &Reach,
    precondition: &Precondition,
    actor: &Actor,
) -> Result<(), ApiError> {
    db::tx(conn, |conn| {
        let account = locked(conn, owner)?;
        reach.check(&account)?;
        precondition.check(Some(account.user.version))?;
        keep_an_administrator(conn, &account)?;
        store::delete(conn, owner)?;
        let none = Revocation::User {
            id: owner,
            epoch: i64::MAX,
        };
        revocation::revoke(conn, &[none])?;
        let event = Event {
            actor,
            action: Action::UserDeleted,
            subject_id: Some(owner),
            details: json!({}),
        };
        event.record(conn)?;
        audit::erase_person(conn, owner)?;
        idempotency::forget(conn, &location(owner))?;
        Ok(())
    })
}

/// Kills every access token of an account: the next one says what is true by then.
///
/// # Errors
/// Postgres.
pub fn revoke_tokens(conn: &mut PgConnection, owner: Uuid) -> QueryResult<()> {
    let epoch = store::advance_epoch(conn, owner)?;
    revocation::revoke(conn, &[Revocation::User { id: owner, epoch }])
}

/// Finds an account and holds it until the caller's transaction ends.
///
/// # Errors
/// Postgres.
pub fn lock(conn: &mut PgConnection, owner: Uuid) -> QueryResult<Option<Account>> {
    let Some(user) = store::lock(conn, owner)? else {
        return Ok(None);
    };
    Ok(Some(Account::new(user, store::roles_of(conn, owner)?)))
}

/// Where an account is.
pub fn location(id: Uuid) -> String {
    format!("/v1/users/{id}")
}

fn locked(conn: &mut PgConnection, owner: Uuid) -> Result<Account, ApiError> {
    lock(conn, owner)?.ok_or_else(ApiError::not_found)
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
