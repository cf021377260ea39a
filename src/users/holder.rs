//! What tokens say of whom they are given to.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::AstPass,
    sql_types::{Array, BigInt, Jsonb, Text, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

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

/// A holder as a statement reads it that joins `users` for something else.
#[derive(Debug, QueryableByName)]
pub struct JoinedHolder {
    #[diesel(sql_type = SqlUuid)]
    holder_id: Uuid,
    #[diesel(sql_type = BigInt)]
    holder_epoch: i64,
    #[diesel(sql_type = Jsonb)]
    holder_mappable: Value,
    /// Each a name and its scopes, separated by spaces, which neither has.
    #[diesel(sql_type = Array<Text>)]
    holder_roles: Vec<String>,
}

impl JoinedHolder {
    /// What the members are that claims may be made of.
    pub const MAPPABLE: &str = "jsonb_build_object('email', users.email, 'email_verified', users.email_verified,
        'name', users.name, 'locale', users.locale, 'user_metadata', users.user_metadata, 'app_metadata', users.app_metadata,
        'updated_at', extract(epoch from users.updated_at)::bigint) as holder_mappable";

    /// The columns beside these that such a statement answers.
    pub const COLUMNS: &str = "users.id as holder_id, users.epoch as holder_epoch,
        array(select roles.name || ' ' || array_to_string(roles.scopes, ' ')
            from user_roles join roles on roles.name = user_roles.role
            where user_roles.user_id = users.id) as holder_roles";

    /// Writes all of these columns, after `before`.
    pub fn push(before: &str, out: &mut AstPass<'_, '_, Pg>) {
        out.push_sql(before);
        out.push_sql(Self::MAPPABLE);
        out.push_sql(", ");
        out.push_sql(Self::COLUMNS);
    }
}

impl From<JoinedHolder> for Holder {
    fn from(joined: JoinedHolder) -> Self {
        let mut given: Vec<(String, Vec<String>)> = joined
            .holder_roles
            .iter()
            .map(|text| {
                let mut words = text.split_whitespace().map(str::to_owned);
                (words.next().unwrap_or_default(), words.collect())
            })
            .collect();
        given.sort_unstable();
        let scopes = roles::effective_scopes(
            given
                .iter()
                .map(|(name, scopes)| (name.as_str(), scopes.as_slice())),
        );
        Self {
            id: joined.holder_id,
            epoch: joined.holder_epoch,
            roles: given.into_iter().map(|(name, _)| name).collect(),
            scopes,
            mappable: joined.holder_mappable,
        }
    }
}
