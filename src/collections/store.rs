//! The table of collections, and the tables that they stand for.

use chrono::{DateTime, Utc};
use diesel::{
    connection::SimpleConnection,
    prelude::*,
    sql_types::{Jsonb, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Declaration;
use crate::{
    db::{self, clock_timestamp, nextval},
    error::{ApiError, FieldError},
    input::Shape,
    schema::collections,
};

/// One stored collection.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = collections)]
pub struct CollectionRow {
    /// Its name.
    pub name: String,
    /// The number of its table.
    pub serial: i64,
    declaration: Value,
    /// The number of its declaration, which grows with every change.
    pub generation: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last declared.
    pub updated_at: DateTime<Utc>,
}

impl CollectionRow {
    /// Whether it is declared exactly so.
    pub(super) fn declares(&self, declaration: &Declaration) -> bool {
        self.declaration == json!(declaration)
    }

    /// What the developer declared.
    ///
    /// # Errors
    /// 500 for a damaged row.
    pub fn declaration(&self) -> Result<Declaration, ApiError> {
        serde_json::from_value(self.declaration.clone()).map_err(ApiError::internal)
    }
}

/// Lists every collection by name.
///
/// # Errors
/// Postgres.
pub fn list(conn: &mut PgConnection) -> QueryResult<Vec<CollectionRow>> {
    collections::table
        .select(CollectionRow::as_select())
        .order(collections::name)
        .load(conn)
}

/// Finds a collection.
///
/// # Errors
/// Postgres.
pub fn find(conn: &mut PgConnection, name: &str) -> QueryResult<Option<CollectionRow>> {
    collections::table
        .find(name)
        .select(CollectionRow::as_select())
        .first(conn)
        .optional()
}

/// The database's time.
pub(super) fn now(conn: &mut PgConnection) -> QueryResult<DateTime<Utc>> {
    diesel::select(clock_timestamp()).get_result(conn)
}

/// The number of a collection's declaration.
///
/// # Errors
/// Postgres.
pub fn generation(conn: &mut PgConnection, name: &str) -> QueryResult<Option<i64>> {
    collections::table
        .find(name)
        .select(collections::generation)
        .first(conn)
        .optional()
}

/// That a collection is declared, and how often it was.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = collections)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// The number of its table.
    pub serial: i64,
    /// The number of its declaration.
    pub generation: i64,
}

/// Lists what is declared by name, without what that is.
///
/// # Errors
/// Postgres.
pub fn declared(conn: &mut PgConnection) -> QueryResult<Vec<Declared>> {
    collections::table
        .select(Declared::as_select())
        .order(collections::name)
        .load(conn)
}

pub(super) fn lock(conn: &mut PgConnection, name: &str) -> QueryResult<Option<CollectionRow>> {
    collections::table
        .find(name)
        .select(CollectionRow::as_select())
        .for_update()
        .first(conn)
        .optional()
}

pub(super) fn insert(
    conn: &mut PgConnection,
    name: &str,
    declaration: &Declaration,
) -> QueryResult<CollectionRow> {
    diesel::insert_into(collections::table)
        .values((
            collections::name.eq(name),
            collections::type_name.eq(&declaration.type_name),
            collections::declaration.eq(json!(declaration)),
        ))
        .returning(CollectionRow::as_returning())
        .get_result(conn)
}

pub(super) fn update(
    conn: &mut PgConnection,
    name: &str,
    declaration: &Declaration,
) -> QueryResult<CollectionRow> {
    diesel::update(collections::table.find(name))
        .set((
            collections::type_name.eq(&declaration.type_name),
            collections::declaration.eq(json!(declaration)),
            collections::generation.eq(nextval("collection_generations")),
            collections::updated_at.eq(clock_timestamp()),
        ))
        .returning(CollectionRow::as_returning())
        .get_result(conn)
}

pub(super) fn delete(conn: &mut PgConnection, stored: &CollectionRow) -> QueryResult<()> {
    diesel::delete(collections::table.find(&stored.name)).execute(conn)?;
    let (table, gate) = (table_name(stored.serial), gate_name(stored.serial));
    let history = history_name(stored.serial);
    conn.batch_execute(&format!(
        "set local lock_timeout = '1s'; drop table if exists {history}; drop table {table}, {gate}"
    ))
}

/// The table of a collection's records; the name holds nothing that anybody has chosen.
pub fn table_name(serial: i64) -> String {
    format!("tollgate_data.c{serial}")
}

/// The gate of a collection: an empty table that every write names. Of the records' own table every lock that keeps writers
/// out would wait for vacuums and for indexes that are being built.
pub fn gate_name(serial: i64) -> String {
    format!("tollgate_data.g{serial}")
}

/// The table of what records of a collection were before they were replaced.
pub fn history_name(serial: i64) -> String {
    format!("tollgate_data.h{serial}")
}

/// Makes the table of replaced versions, where there is none yet; they go with their record.
pub(super) fn create_history(conn: &mut PgConnection, serial: i64) -> QueryResult<()> {
    let (table, history) = (table_name(serial), history_name(serial));
    conn.batch_execute(&format!(
        "create table if not exists {history} (
            id uuid not null,
            version bigint not null,
            updated_at timestamptz(3) not null,
            data jsonb not null,
            constraint h{serial}_pkey primary key (id, version),
            constraint h{serial}_id_fkey foreign key (id) references {table} (id) on delete cascade)"
    ))
}

/// Makes the table of a collection's records.
pub(super) fn create_table(conn: &mut PgConnection, serial: i64) -> QueryResult<()> {
    let (table, gate) = (table_name(serial), gate_name(serial));
    conn.batch_execute(&format!(
        "create table {gate} ();
         create table {table} (
            id uuid not null,
            owner uuid,
            version bigint not null default 1,
            created_at timestamptz(3) not null default clock_timestamp(),
            updated_at timestamptz(3) not null default clock_timestamp(),
            data jsonb not null,
            size integer not null generated always as (octet_length(data::text)) stored,
            constraint c{serial}_pkey primary key (id));
         create index c{serial}_owner_id_idx on {table} (owner, id)"
    ))
}

/// Lets nobody write to a collection's records until the caller's transaction ends: writers wait before they look which
/// declaration there is, and then see the new one.
pub(super) fn hold_records(conn: &mut PgConnection, serial: i64) -> QueryResult<()> {
    let gate = gate_name(serial);
    conn.batch_execute(&format!(
        "set local lock_timeout = '1500ms'; lock table {gate} in access exclusive mode"
    ))
}

/// Lets nobody else declare a collection of this name until the caller's transaction ends.
pub(super) fn hold_name(conn: &mut PgConnection, name: &str) -> QueryResult<()> {
    conn.batch_execute("set local lock_timeout = '1500ms'")?;
    diesel::sql_query("select pg_advisory_xact_lock(hashtextextended('collection ' || $1, 0))")
        .bind::<Text, _>(name)
        .execute(conn)?;
    Ok(())
}

/// Lets nobody else give a type a name until the caller's transaction ends.
pub(super) fn hold_types(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute(
        "set local lock_timeout = '1500ms';
         select pg_advisory_xact_lock(hashtextextended('types of collections', 0))",
    )
}

/// Every collection's name and that of its type.
pub(super) fn type_names(conn: &mut PgConnection) -> QueryResult<Vec<(String, String)>> {
    collections::table
        .select((collections::name, collections::type_name))
        .load(conn)
}

/// Stored records that don't fit a schema.
#[derive(Debug, Default)]
pub struct Misfits {
    /// How many.
    pub count: usize,
    /// Of how many records.
    pub of: usize,
    /// What is wrong with the first of them.
    pub some: Vec<(Uuid, Vec<FieldError>)>,
}

/// Records that are checked together.
const TOGETHER: usize = 1_000;

/// Records of which is told what is wrong.
const TOLD: usize = 10;

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Jsonb)]
    data: Value,
}

/// Finds the stored records that don't fit a schema, of those that were written since a moment.
pub(super) fn misfits(
    conn: &mut PgConnection,
    serial: i64,
    shape: &Shape,
    since: DateTime<Utc>,
) -> Result<Misfits, ApiError> {
    let table = table_name(serial);
    let query = format!(
        "select id, data from {table} where id > $1 and updated_at >= $2 order by id limit {TOGETHER}"
    );
    let (mut found, mut last) = (Misfits::default(), Uuid::nil());
    loop {
        db::go_on()?;
        let rows: Vec<Stored> = diesel::sql_query(&query)
            .bind::<SqlUuid, _>(last)
            .bind::<Timestamptz, _>(since)
            .load(conn)?;
        for row in &rows {
            let Err(error) = shape.check(&row.data) else {
                continue;
            };
            found.count += 1;
            if found.some.len() < TOLD {
                found.some.push((row.id, error.errors));
            }
        }
        found.of += rows.len();
        match rows.last() {
            Some(row) if rows.len() == TOGETHER => last = row.id,
            _ => return Ok(found),
        }
    }
}
