//! The table of roles.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::schema::roles;

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

pub(super) fn delete(conn: &mut PgConnection, name: &str) -> QueryResult<usize> {
    diesel::delete(roles::table.find(name)).execute(conn)
}
