//! The tables of accounts and of the roles they have.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::Profile;
use crate::{
    db::Window,
    schema::{roles, user_roles, users},
    scope::ADMINISTRATOR,
};

/// One stored account.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct UserRow {
    /// Its id, the `sub` of its tokens.
    pub id: Uuid,
    /// Its address, in lower case.
    pub email: String,
    /// Whether the address was proved.
    pub email_verified: bool,
    /// What the person is called.
    pub name: Option<String>,
    /// The person's language.
    pub locale: Option<String>,
    /// The Argon2id hash, a PHC string.
    pub password_hash: String,
    /// Whether it may not sign in.
    pub disabled: bool,
    /// What its owner stores.
    pub user_metadata: Value,
    /// What administrators store.
    pub app_metadata: Value,
    /// Grows when all of its tokens must die.
    pub epoch: i64,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A role that somebody has: its name and its scopes.
pub(super) type Given = (String, Vec<String>);

pub(super) struct NewRow<'a> {
    pub id: Uuid,
    pub email: &'a str,
    pub email_verified: bool,
    pub password_hash: &'a str,
    pub name: Option<&'a str>,
    pub locale: Option<&'a str>,
}

pub(super) fn insert(conn: &mut PgConnection, new: &NewRow<'_>) -> QueryResult<UserRow> {
    diesel::insert_into(users::table)
        .values((
            users::id.eq(new.id),
            users::email.eq(new.email),
            users::email_verified.eq(new.email_verified),
            users::password_hash.eq(new.password_hash),
            users::name.eq(new.name),
            users::locale.eq(new.locale),
        ))
        .returning(UserRow::as_returning())
        .get_result(conn)
}

pub(super) fn find(conn: &mut PgConnection, owner: Uuid) -> QueryResult<Option<UserRow>> {
    users::table
        .find(owner)
        .select(UserRow::as_select())
        .first(conn)
        .optional()
}

pub(super) fn lock(conn: &mut PgConnection, owner: Uuid) -> QueryResult<Option<UserRow>> {
    users::table
        .find(owner)
        .select(UserRow::as_select())
        .for_update()
        .first(conn)
        .optional()
}

pub(super) fn find_by_email_any_owner(
    conn: &mut PgConnection,
    email: &str,
) -> QueryResult<Option<UserRow>> {
    users::table
        .filter(users::email.eq(email))
        .select(UserRow::as_select())
        .first(conn)
        .optional()
}

pub(super) fn list_any_owner(conn: &mut PgConnection, window: Window) -> QueryResult<Vec<UserRow>> {
    let mut query = users::table
        .select(UserRow::as_select())
        .order(users::id)
        .limit(window.rows)
        .into_boxed();
    if let Some(after) = window.after {
        query = query.filter(users::id.gt(after));
    }
    query.load(conn)
}

pub(super) fn roles_of(conn: &mut PgConnection, owner: Uuid) -> QueryResult<Vec<Given>> {
    Ok(roles_of_any_owner(conn, &[owner])?
        .remove(&owner)
        .unwrap_or_default())
}

pub(super) fn roles_of_any_owner(
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> QueryResult<HashMap<Uuid, Vec<Given>>> {
    let rows: Vec<(Uuid, String, Vec<String>)> = user_roles::table
        .inner_join(roles::table)
        .filter(user_roles::user_id.eq_any(ids))
        .order((user_roles::user_id, roles::name))
        .select((user_roles::user_id, roles::name, roles::scopes))
        .load(conn)?;
    let mut given: HashMap<Uuid, Vec<Given>> = HashMap::new();
    for (id, name, scopes) in rows {
        given.entry(id).or_default().push((name, scopes));
    }
    Ok(given)
}

pub(super) fn update_profile(
    conn: &mut PgConnection,
    owner: Uuid,
    profile: &Profile,
) -> QueryResult<UserRow> {
    diesel::update(users::table.find(owner))
        .set((
            users::name.eq(&profile.name),
            users::locale.eq(&profile.locale),
            users::user_metadata.eq(&profile.user_metadata),
            users::app_metadata.eq(&profile.app_metadata),
            users::disabled.eq(profile.disabled),
            users::version.eq(users::version + 1),
            users::updated_at.eq(diesel::dsl::now),
        ))
        .returning(UserRow::as_returning())
        .get_result(conn)
}

/// Counts a change of what the account shows.
pub(super) fn touch(conn: &mut PgConnection, owner: Uuid) -> QueryResult<usize> {
    diesel::update(users::table.find(owner))
        .set((
            users::version.eq(users::version + 1),
            users::updated_at.eq(diesel::dsl::now),
        ))
        .execute(conn)
}

/// Lets every token of the account that was made so far be of an older epoch; answers the new one.
pub(super) fn advance_epoch(conn: &mut PgConnection, owner: Uuid) -> QueryResult<i64> {
    diesel::update(users::table.find(owner))
        .set(users::epoch.eq(users::epoch + 1))
        .returning(users::epoch)
        .get_result(conn)
}

/// Stores a new hash where `old` is still the current one; tells whether it was.
pub(super) fn update_password(
    conn: &mut PgConnection,
    owner: Uuid,
    old: &str,
    new: &str,
) -> QueryResult<bool> {
    let current = users::table
        .find(owner)
        .filter(users::password_hash.eq(old));
    Ok(diesel::update(current)
        .set(users::password_hash.eq(new))
        .execute(conn)?
        == 1)
}

pub(super) fn delete(conn: &mut PgConnection, owner: Uuid) -> QueryResult<usize> {
    diesel::delete(users::table.find(owner)).execute(conn)
}

pub(super) fn give_role(conn: &mut PgConnection, owner: Uuid, role: &str) -> QueryResult<bool> {
    let given = diesel::insert_into(user_roles::table)
        .values((user_roles::user_id.eq(owner), user_roles::role.eq(role)))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(given == 1)
}

pub(super) fn take_role(conn: &mut PgConnection, owner: Uuid, role: &str) -> QueryResult<bool> {
    Ok(diesel::delete(user_roles::table.find((owner, role))).execute(conn)? == 1)
}

/// Counts the enabled administrators besides `owner`, holding the role so that two can't leave at once.
pub(super) fn other_administrators(conn: &mut PgConnection, owner: Uuid) -> QueryResult<i64> {
    roles::table
        .find(ADMINISTRATOR)
        .select(roles::name)
        .for_update()
        .first::<String>(conn)?;
    user_roles::table
        .inner_join(users::table)
        .filter(user_roles::role.eq(ADMINISTRATOR))
        .filter(user_roles::user_id.ne(owner))
        .filter(users::disabled.eq(false))
        .count()
        .get_result(conn)
}
