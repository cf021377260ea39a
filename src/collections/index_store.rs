//! The table of indexes, and the indexes themselves.

use std::collections::HashMap;

use diesel::{
    connection::SimpleConnection,
    prelude::*,
    sql_types::{BigInt, Bool, Double, Text},
};

use super::{
    indexes::{Index, Method},
    store::table_name,
};
use crate::schema::{collection_indexes, collections};

/// Held by whoever builds an index ("tg index" in ASCII).
const BUILD_LOCK: i64 = 0x7467_2069_6e64_6578;

/// One stored index.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = collection_indexes)]
pub struct IndexRow {
    /// Its number, by which it is called.
    pub number: i64,
    /// Whose it is.
    pub collection: String,
    /// As it was declared.
    pub members: Vec<String>,
    /// What is indexed, in SQL.
    pub definition: String,
    /// `building`, `ready` or `failed`.
    pub state: String,
    /// Why it failed.
    pub detail: Option<String>,
    /// `order`, `unique` or `search`.
    pub method: String,
}

impl IndexRow {
    /// Whether no two records have the same value.
    pub fn is_unique(&self) -> bool {
        self.method == Method::Unique.name()
    }
}

/// How far those are that are being built, by their number, from 0 to 1.
///
/// # Errors
/// Postgres.
pub fn progress(conn: &mut PgConnection) -> QueryResult<HashMap<i64, f64>> {
    let running: Vec<Progress> = diesel::sql_query(
        "select split_part(relname, '_i', 2)::bigint as number, case
            when blocks_total > 0 then blocks_done::float8 / blocks_total
            when tuples_total > 0 then tuples_done::float8 / tuples_total
            else 0 end as done
         from pg_stat_progress_create_index as building join pg_class on pg_class.oid = building.index_relid
         where relname ~ '^c[0-9]+_i[0-9]+$' and datname = current_database()",
    )
    .load(conn)?;
    Ok(running
        .into_iter()
        .map(|one| (one.number, one.done))
        .collect())
}

#[derive(QueryableByName)]
struct Progress {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Double)]
    done: f64,
}

/// Lists the indexes of a collection, in the order in which they were declared.
///
/// # Errors
/// Postgres.
pub fn list(conn: &mut PgConnection, collection: &str) -> QueryResult<Vec<IndexRow>> {
    collection_indexes::table
        .filter(collection_indexes::collection.eq(collection))
        .select(IndexRow::as_select())
        .order(collection_indexes::number)
        .load(conn)
}

/// Whether indexes wait to be built, or to be dropped.
///
/// # Errors
/// Postgres.
pub fn are_building(conn: &mut PgConnection) -> QueryResult<bool> {
    let waiting: Answer = diesel::sql_query(format!(
        "select exists (select from collection_indexes where state = 'building')
            or exists (select {ORPHANS}) as holds"
    ))
    .get_result(conn)?;
    Ok(waiting.holds)
}

/// Writes down an index that is wanted; `None` where it is there already. One that failed is tried again.
pub(super) fn insert(
    conn: &mut PgConnection,
    collection: &str,
    index: &Index,
    definition: &str,
    is_ready: bool,
) -> QueryResult<Option<i64>> {
    let state = if is_ready { "ready" } else { "building" };
    let inserted = diesel::insert_into(collection_indexes::table)
        .values((
            collection_indexes::collection.eq(collection),
            collection_indexes::members.eq(&index.members),
            collection_indexes::method.eq(index.method.name()),
            collection_indexes::definition.eq(definition),
            collection_indexes::state.eq(state),
        ))
        .on_conflict_do_nothing()
        .returning(collection_indexes::number)
        .get_result(conn)
        .optional()?;
    if inserted.is_none() {
        diesel::update(collection_indexes::table)
            .filter(collection_indexes::collection.eq(collection))
            .filter(collection_indexes::definition.eq(definition))
            .filter(collection_indexes::state.eq("failed"))
            .set((
                collection_indexes::state.eq("building"),
                collection_indexes::detail.eq(None::<String>),
            ))
            .execute(conn)?;
    }
    Ok(inserted)
}

/// What an index of a collection is called, and its constraint where it is unique.
pub(super) fn name(serial: i64, number: i64) -> String {
    format!("c{serial}_i{number}")
}

/// Takes an index out of the table; the job drops it, since that would wait for those who build or vacuum.
pub(super) fn remove(conn: &mut PgConnection, index: &IndexRow) -> QueryResult<usize> {
    diesel::delete(collection_indexes::table.find(index.number)).execute(conn)
}

/// The indexes of collections that no declaration has.
const ORPHANS: &str = "from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = 'tollgate_data' and relkind = 'i' and relname ~ '^c[0-9]+_i[0-9]+$'
        and not exists (select from collection_indexes where number = split_part(relname, '_i', 2)::bigint)";

#[derive(QueryableByName)]
struct Orphan {
    #[diesel(sql_type = Text)]
    name: String,
}

pub(super) fn drop_orphans(conn: &mut PgConnection) -> QueryResult<()> {
    let orphans = diesel::sql_query(format!("select relname::text as name {ORPHANS}"));
    for Orphan { name } in orphans.load(conn)? {
        conn.batch_execute(&format!(
            "drop index concurrently if exists tollgate_data.{name}"
        ))?;
    }
    Ok(())
}

pub(super) fn create(
    conn: &mut PgConnection,
    serial: i64,
    number: i64,
    method: &str,
    definition: &str,
) -> QueryResult<()> {
    let (name, table) = (name(serial, number), table_name(serial));
    conn.batch_execute(&statement(method, "", &name, &table, definition))
}

/// The statement that makes an index, `concurrently` or not.
fn statement(method: &str, how: &str, name: &str, table: &str, definition: &str) -> String {
    let (unique, using) = match method {
        "unique" => ("unique ", ""),
        "search" => ("", "using gin "),
        _ => ("", ""),
    };
    format!("create {unique}index {how}{name} on {table} {using}({definition})")
}

/// Why an index could not be built; which values are there twice.
pub(super) fn reason(error: &diesel::result::Error) -> String {
    match error {
        diesel::result::Error::DatabaseError(_, information) => match information.details() {
            Some(details) => format!("{}: {details}", information.message()),
            None => information.message().to_owned(),
        },
        error => error.to_string(),
    }
}

pub(super) fn drop_one(conn: &mut PgConnection, serial: i64, number: i64) -> QueryResult<()> {
    let name = name(serial, number);
    conn.batch_execute(&format!(
        "drop index concurrently if exists tollgate_data.{name}"
    ))
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    holds: bool,
}

pub(super) fn try_lock(conn: &mut PgConnection) -> QueryResult<bool> {
    let tried: Answer = diesel::sql_query("select pg_try_advisory_lock($1) as holds")
        .bind::<BigInt, _>(BUILD_LOCK)
        .get_result(conn)?;
    Ok(tried.holds)
}

pub(super) fn unlock(conn: &mut PgConnection) -> QueryResult<()> {
    diesel::sql_query("select pg_advisory_unlock($1)")
        .bind::<BigInt, _>(BUILD_LOCK)
        .execute(conn)?;
    Ok(())
}

pub(super) fn next_to_build(conn: &mut PgConnection) -> QueryResult<Option<(i64, IndexRow)>> {
    collection_indexes::table
        .inner_join(collections::table)
        .filter(collection_indexes::state.eq("building"))
        .order(collection_indexes::number)
        .select((collections::serial, IndexRow::as_select()))
        .first(conn)
        .optional()
}

/// Builds an index while everybody goes on writing; what an interrupted try has left is dropped before.
pub(super) fn create_concurrently(
    conn: &mut PgConnection,
    serial: i64,
    index: &IndexRow,
) -> QueryResult<()> {
    let (name, table) = (name(serial, index.number), table_name(serial));
    conn.batch_execute("set statement_timeout = 0")?;
    drop_one(conn, serial, index.number)?;
    conn.batch_execute(&statement(
        &index.method,
        "concurrently ",
        &name,
        &table,
        &index.definition,
    ))
}

pub(super) fn finish(
    conn: &mut PgConnection,
    number: i64,
    failed: Option<&str>,
) -> QueryResult<usize> {
    let state = if failed.is_some() { "failed" } else { "ready" };
    diesel::update(collection_indexes::table.find(number))
        .set((
            collection_indexes::state.eq(state),
            collection_indexes::detail.eq(failed),
        ))
        .execute(conn)
}
