//! What tokens say of whom they are given to.

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Jsonb, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Account;
use crate::{roles, scope::Scopes};

/// The user behind a token.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The user's id.
    pub id: Uuid,
    /// The user's epoch.
    pub epoch: i64,
    /// The names of the user's roles.
    pub roles: Vec<String>,
    /// Everything that these allow.
    pub scopes: Scopes,
    /// The members that private claims may be mapped from.
    pub mappable: Value,
}

impl From<&Account> for Holder {
    fn from(account: &Account) -> Self {
        let user = &account.user;
        Self {
            id: user.id,
            epoch: user.epoch,
            roles: account.roles.clone(),
            scopes: account.scopes.clone(),
            mappable: json!({
                "email": user.email,
                "email_verified": user.email_verified,
                "name": user.name,
                "locale": user.locale,
                "user_metadata": user.user_metadata,
                "app_metadata": user.app_metadata,
            }),
        }
    }
}

/// A holder as a statement reads it that joins `users` for something else.
#[derive(Debug, QueryableByName)]
pub struct JoinedHolder {
    #[diesel(sql_type = SqlUuid)]
    holder_id: Uuid,
    #[diesel(sql_type = BigInt)]
    holder_epoch: i64,
    #[diesel(sql_type = Jsonb)]
    holder_mappable: Value,
    #[diesel(sql_type = Jsonb)]
    holder_roles: Value,
}

impl JoinedHolder {
    /// The columns that such a statement answers.
    pub const COLUMNS: &str = "users.id as holder_id, users.epoch as holder_epoch,
        jsonb_build_object('email', users.email, 'email_verified', users.email_verified, 'name', users.name,
            'locale', users.locale, 'user_metadata', users.user_metadata, 'app_metadata', users.app_metadata)
            as holder_mappable,
        (select coalesce(jsonb_agg(jsonb_build_array(roles.name, roles.scopes) order by roles.name), '[]')
            from user_roles join roles on roles.name = user_roles.role
            where user_roles.user_id = users.id) as holder_roles";
}

impl TryFrom<JoinedHolder> for Holder {
    type Error = serde_json::Error;

    fn try_from(joined: JoinedHolder) -> Result<Self, serde_json::Error> {
        let given: Vec<(String, Vec<String>)> = serde_json::from_value(joined.holder_roles)?;
        let scopes = roles::effective_scopes(
            given
                .iter()
                .map(|(name, scopes)| (name.as_str(), scopes.as_slice())),
        );
        Ok(Self {
            id: joined.holder_id,
            epoch: joined.holder_epoch,
            roles: given.into_iter().map(|(name, _)| name).collect(),
            scopes,
            mappable: joined.holder_mappable,
        })
    }
}
