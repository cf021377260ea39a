//! The table of roles.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::schema::{deleted_roles, roles};

/// One stored role.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = roles)]
pub struct RoleRow {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it allows; empty for `admin`, which allows everything.
    pub scopes: Vec<String>,
    /// Whether it can't be deleted.
    pub built_in: bool,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// Lists every role by name.
///
/// # Errors
/// Postgres.
pub fn list(conn: &mut PgConnection) -> QueryResult<Vec<RoleRow>> {
    roles::table
        .select(RoleRow::as_select())
        .order(roles::name)
        .load(conn)
}

/// Finds a role.
///
/// # Errors
/// Postgres.
pub fn find(conn: &mut PgConnection, name: &str) -> QueryResult<Option<RoleRow>> {
    roles::table
        .find(name)
        .select(RoleRow::as_select())
        .first(conn)
        .optional()
}

pub(super) fn lock(conn: &mut PgConnection, name: &str) -> QueryResult<Option<RoleRow>> {
    roles::table
        .find(name)
        .select(RoleRow::as_select())
        .for_update()
        .first(conn)
        .optional()
}

/// Makes a role; under the name of a deleted one its versions go on from there.
pub(super) fn insert(
    conn: &mut PgConnection,
    name: &str,
    description: &str,
    scopes: &[String],
) -> QueryResult<RoleRow> {
    diesel::insert_into(roles::table)
        .values((
            roles::name.eq(name),
            roles::description.eq(description),
            roles::scopes.eq(scopes),
        ))
        .execute(conn)?;
    // A statement of its own sees also the deletion that the first one waited for.
    let last = deleted_roles::table
        .find(name)
        .select(deleted_roles::version);
    let next = last
        .first::<i64>(conn)
        .optional()?
        .map_or(1, |last| last + 1);
    diesel::update(roles::table.find(name))
        .set(roles::version.eq(next))
        .returning(RoleRow::as_returning())
        .get_result(conn)
}

pub(super) fn update(
    conn: &mut PgConnection,
    name: &str,
    description: &str,
    scopes: &[String],
) -> QueryResult<RoleRow> {
    diesel::update(roles::table.find(name))
        .set((
            roles::description.eq(description),
            roles::scopes.eq(scopes),
            roles::version.eq(roles::version + 1),
            roles::updated_at.eq(diesel::dsl::now),
        ))
        .returning(RoleRow::as_returning())
        .get_result(conn)
}

/// Deletes a role and remembers how far its versions came.
pub(super) fn delete(conn: &mut PgConnection, name: &str) -> QueryResult<usize> {
    let last = diesel::delete(roles::table.find(name))
        .returning(roles::version)
        .get_result::<i64>(conn)?;
    diesel::insert_into(deleted_roles::table)
        .values((
            deleted_roles::name.eq(name),
            deleted_roles::version.eq(last),
        ))
        .on_conflict(deleted_roles::name)
        .do_update()
        .set(deleted_roles::version.eq(last))
        .execute(conn)
}
