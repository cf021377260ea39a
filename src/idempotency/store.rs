//! The table of answers that may be asked for again.

use diesel::{
    dsl::IntervalDsl,
    prelude::*,
    sql_types::{BigInt, Bool},
};
use serde_json::value::RawValue;

use super::{Answer, Key};
use crate::{
    db::{before, clock_timestamp},
    error::ApiError,
    schema::idempotent_answers,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = idempotent_answers)]
pub(super) struct Kept {
    pub fingerprint: Vec<u8>,
    location: String,
    version: i64,
    body: String,
}

impl Kept {
    pub(super) fn answer(self) -> Result<Answer, ApiError> {
        Ok(Answer {
            location: self.location,
            version: self.version,
            body: RawValue::from_string(self.body).map_err(ApiError::internal)?,
        })
    }
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    locked: bool,
}

/// Holds the request until the caller's transaction ends; tells whether nobody else does.
pub(super) fn try_lock(conn: &mut PgConnection, id: &[u8]) -> QueryResult<bool> {
    let number = id
        .iter()
        .take(8)
        .fold(0_i64, |number, byte| (number << 8) | i64::from(*byte));
    let row: Locked = diesel::sql_query("select pg_try_advisory_xact_lock($1) as locked")
        .bind::<BigInt, _>(number)
        .get_result(conn)?;
    Ok(row.locked)
}

pub(super) fn find(conn: &mut PgConnection, id: &[u8]) -> QueryResult<Option<Kept>> {
    idempotent_answers::table
        .find(id)
        .filter(idempotent_answers::created_at.gt(before(clock_timestamp(), 1.day())))
        .select(Kept::as_select())
        .first(conn)
        .optional()
}

/// Keeps an answer, in place of one of more than a day ago.
pub(super) fn keep(conn: &mut PgConnection, key: &Key, answer: &Answer) -> QueryResult<usize> {
    diesel::delete(idempotent_answers::table.find(&key.id)).execute(conn)?;
    let row = (
        idempotent_answers::id.eq(&key.id),
        idempotent_answers::fingerprint.eq(&key.fingerprint),
        idempotent_answers::location.eq(&answer.location),
        idempotent_answers::version.eq(answer.version),
        idempotent_answers::body.eq(answer.body.get()),
        idempotent_answers::created_at.eq(clock_timestamp()),
    );
    diesel::insert_into(idempotent_answers::table)
        .values(row)
        .execute(conn)
}

pub(super) fn forget(conn: &mut PgConnection, location: &str) -> QueryResult<usize> {
    diesel::delete(idempotent_answers::table)
        .filter(idempotent_answers::location.eq(location))
        .execute(conn)
}

pub(super) fn forget_old(conn: &mut PgConnection) -> QueryResult<usize> {
    diesel::delete(idempotent_answers::table)
        .filter(idempotent_answers::created_at.le(before(clock_timestamp(), 1.day())))
        .execute(conn)
}
