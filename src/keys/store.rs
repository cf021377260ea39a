//! The table of sealed keys.

use diesel::prelude::*;

use super::Slot;
use crate::schema::signing_keys;

/// One stored key.
#[derive(Queryable, Selectable)]
#[diesel(table_name = signing_keys)]
pub(super) struct KeyRow {
    pub kid: String,
    pub purpose: String,
    pub algorithm: String,
    pub audience: String,
    pub state: String,
    pub sealed: Vec<u8>,
}

/// Tells whether the slot has its active key.
pub(super) fn has_active(conn: &mut PgConnection, slot: &Slot) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(
        signing_keys::table
            .filter(signing_keys::purpose.eq(slot.purpose.name()))
            .filter(signing_keys::algorithm.eq(slot.algorithm.name()))
            .filter(signing_keys::audience.eq(&slot.audience))
            .filter(signing_keys::state.eq("active")),
    ))
    .get_result(conn)
}

/// Inserts the slot's active key; a second one breaks `signing_keys_one_active_key`.
pub(super) fn insert_active(
    conn: &mut PgConnection,
    kid: &str,
    slot: &Slot,
    sealed: &[u8],
) -> QueryResult<usize> {
    diesel::insert_into(signing_keys::table)
        .values((
            signing_keys::kid.eq(kid),
            signing_keys::purpose.eq(slot.purpose.name()),
            signing_keys::algorithm.eq(slot.algorithm.name()),
            signing_keys::audience.eq(&slot.audience),
            signing_keys::state.eq("active"),
            signing_keys::sealed.eq(sealed),
        ))
        .execute(conn)
}

/// Every key that may still verify.
pub(super) fn usable(conn: &mut PgConnection) -> QueryResult<Vec<KeyRow>> {
    signing_keys::table
        .filter(signing_keys::state.ne("retired"))
        .order(signing_keys::kid)
        .select(KeyRow::as_select())
        .load(conn)
}
