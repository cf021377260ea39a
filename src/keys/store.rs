//! The table of sealed keys.

use chrono::{DateTime, Utc};
use diesel::{
    dsl::{IntervalDsl, sql},
    prelude::*,
    sql_types::{BigInt, Text, Timestamptz},
};

use super::{Algorithm, KeyError, Purpose, Slot, State};
use crate::{
    db::{after, before, clock_timestamp},
    schema::{longest_lifetimes, signing_keys},
};

/// Advisory lock of whoever changes keys ("tollkeys" in ASCII).
const KEYS_LOCK: i64 = 0x746f_6c6c_6b65_7973;

/// One stored key.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = signing_keys)]
pub struct KeyRow {
    /// Its name in JOSE headers.
    pub kid: String,
    purpose: String,
    algorithm: String,
    audience: String,
    state: String,
    /// Its material, sealed; empty once it is retired.
    pub(super) sealed: Vec<u8>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it is to begin to sign.
    pub activates_at: Option<DateTime<Utc>>,
    /// When it began to sign.
    pub activated_at: Option<DateTime<Utc>>,
    /// When it is to stop to verify.
    pub retires_at: Option<DateTime<Utc>>,
    /// When it stopped.
    pub retired_at: Option<DateTime<Utc>>,
}

impl KeyRow {
    /// What it may sign.
    ///
    /// # Errors
    /// A damaged row.
    pub fn slot(&self) -> Result<Slot, KeyError> {
        let damaged = || KeyError::Damaged {
            kid: self.kid.clone(),
        };
        Ok(Slot {
            purpose: Purpose::from_name(&self.purpose).ok_or_else(damaged)?,
            algorithm: Algorithm::from_name(&self.algorithm).ok_or_else(damaged)?,
            audience: self.audience.clone(),
        })
    }

    /// Where it is in its life.
    ///
    /// # Errors
    /// A damaged row.
    pub fn state(&self) -> Result<State, KeyError> {
        state_of(&self.kid, &self.state)
    }
}

fn state_of(kid: &str, name: &str) -> Result<State, KeyError> {
    State::from_name(name).ok_or_else(|| KeyError::Damaged {
        kid: kid.to_owned(),
    })
}

#[diesel::dsl::auto_type(no_type_alias)]
fn of_slot<'a>(slot: &'a Slot) -> _ {
    let purpose: &'static str = slot.purpose.name();
    let algorithm: &'static str = slot.algorithm.name();
    let audience: &'a str = slot.audience.as_str();
    signing_keys::purpose
        .eq(purpose)
        .and(signing_keys::algorithm.eq(algorithm))
        .and(signing_keys::audience.eq(audience))
}

/// Makes everyone else who changes keys wait until the caller's transaction ends.
pub(super) fn lock(conn: &mut PgConnection) -> QueryResult<()> {
    diesel::sql_query("select pg_advisory_xact_lock($1)")
        .bind::<BigInt, _>(KEYS_LOCK)
        .execute(conn)?;
    Ok(())
}

/// Inserts a staged key that is to sign in so many seconds.
pub(super) fn insert(
    conn: &mut PgConnection,
    kid: &str,
    slot: &Slot,
    sealed: &[u8],
    seconds: i32,
) -> QueryResult<KeyRow> {
    diesel::insert_into(signing_keys::table)
        .values((
            signing_keys::kid.eq(kid),
            signing_keys::purpose.eq(slot.purpose.name()),
            signing_keys::algorithm.eq(slot.algorithm.name()),
            signing_keys::audience.eq(&slot.audience),
            signing_keys::state.eq(State::Staged.name()),
            signing_keys::sealed.eq(sealed),
            signing_keys::activates_at.eq(after(clock_timestamp(), seconds.seconds()).nullable()),
        ))
        .returning(KeyRow::as_returning())
        .get_result(conn)
}

/// Every key, also those that are retired, oldest first.
pub(super) fn list(conn: &mut PgConnection) -> QueryResult<Vec<KeyRow>> {
    signing_keys::table
        .order((signing_keys::created_at, signing_keys::kid))
        .select(KeyRow::as_select())
        .load(conn)
}

pub(super) fn find(conn: &mut PgConnection, kid: &str) -> QueryResult<Option<KeyRow>> {
    signing_keys::table
        .find(kid)
        .select(KeyRow::as_select())
        .first(conn)
        .optional()
}

/// Every key that may still verify.
pub(super) fn usable(conn: &mut PgConnection) -> QueryResult<Vec<KeyRow>> {
    signing_keys::table
        .filter(signing_keys::state.ne(State::Retired.name()))
        .order(signing_keys::kid)
        .select(KeyRow::as_select())
        .load(conn)
}

/// The names and states of such rows.
pub(super) fn states(rows: &[KeyRow]) -> Result<Vec<(String, State)>, KeyError> {
    rows.iter()
        .map(|row| Ok((row.kid.clone(), row.state()?)))
        .collect()
}

/// What `states` tells of `usable`, without the keys themselves.
pub(super) fn stored_states(conn: &mut PgConnection) -> Result<Vec<(String, State)>, KeyError> {
    let rows: Vec<(String, String)> = signing_keys::table
        .filter(signing_keys::state.ne(State::Retired.name()))
        .order(signing_keys::kid)
        .select((signing_keys::kid, signing_keys::state))
        .load(conn)?;
    rows.into_iter()
        .map(|(kid, name)| {
            let state = state_of(&kid, &name)?;
            Ok((kid, state))
        })
        .collect()
}

/// The slot's key in a state.
pub(super) fn in_state(
    conn: &mut PgConnection,
    slot: &Slot,
    state: State,
) -> QueryResult<Option<KeyRow>> {
    signing_keys::table
        .filter(of_slot(slot))
        .filter(signing_keys::state.eq(state.name()))
        .order(signing_keys::created_at)
        .select(KeyRow::as_select())
        .first(conn)
        .optional()
}

/// Tells whether the slot's active key has signed for longer than `seconds`.
pub(super) fn is_old(conn: &mut PgConnection, slot: &Slot, seconds: i32) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(
        signing_keys::table
            .filter(of_slot(slot))
            .filter(signing_keys::state.eq(State::Active.name()))
            .filter(
                signing_keys::activated_at
                    .le(before(clock_timestamp(), seconds.seconds()).nullable()),
            ),
    ))
    .get_result(conn)
}

/// The staged keys whose time has come, oldest first.
pub(super) fn due(conn: &mut PgConnection) -> QueryResult<Vec<KeyRow>> {
    signing_keys::table
        .filter(signing_keys::state.eq(State::Staged.name()))
        .filter(signing_keys::activates_at.le(clock_timestamp().nullable()))
        .order(signing_keys::created_at)
        .select(KeyRow::as_select())
        .load(conn)
}

pub(super) fn activate(conn: &mut PgConnection, kid: &str) -> QueryResult<KeyRow> {
    diesel::update(signing_keys::table.find(kid))
        .set((
            signing_keys::state.eq(State::Active.name()),
            signing_keys::activated_at.eq(clock_timestamp().nullable()),
        ))
        .returning(KeyRow::as_returning())
        .get_result(conn)
}

/// The active keys that have signed for longer than `seconds`.
pub(super) fn forgotten(conn: &mut PgConnection, seconds: i32) -> QueryResult<Vec<KeyRow>> {
    signing_keys::table
        .filter(signing_keys::state.eq(State::Active.name()))
        .filter(
            signing_keys::activated_at.le(before(clock_timestamp(), seconds.seconds()).nullable()),
        )
        .select(KeyRow::as_select())
        .load(conn)
}

/// Lets the slot's active key verify for as long as something that it signed may live, and sign no more.
pub(super) fn begin_to_retire(conn: &mut PgConnection, slot: &Slot) -> QueryResult<Option<String>> {
    let longest = sql::<Timestamptz>(
        "clock_timestamp() + interval '1 minute' + interval '1 second' *
            coalesce((select seconds from longest_lifetimes where purpose = ",
    )
    .bind::<Text, _>(slot.purpose.name())
    .sql("), 86400)");
    diesel::update(
        signing_keys::table
            .filter(of_slot(slot))
            .filter(signing_keys::state.eq(State::Active.name())),
    )
    .set((
        signing_keys::state.eq(State::Retiring.name()),
        signing_keys::retires_at.eq(longest.nullable()),
    ))
    .returning(signing_keys::kid)
    .get_result(conn)
    .optional()
}

/// Retires a key: what it signed is dead, and the key itself is destroyed.
pub(super) fn retire(conn: &mut PgConnection, kid: &str) -> QueryResult<usize> {
    diesel::update(signing_keys::table.find(kid))
        .set(retired())
        .execute(conn)
}

/// Retires the keys whose last token has expired.
pub(super) fn retire_expired(conn: &mut PgConnection) -> QueryResult<Vec<KeyRow>> {
    diesel::update(
        signing_keys::table
            .filter(signing_keys::state.eq(State::Retiring.name()))
            .filter(signing_keys::retires_at.le(clock_timestamp().nullable())),
    )
    .set(retired())
    .returning(KeyRow::as_returning())
    .get_results(conn)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn retired() -> _ {
    let state: &'static str = State::Retired.name();
    let at: clock_timestamp = clock_timestamp();
    let nothing: &'static [u8] = &[];
    (
        signing_keys::state.eq(state),
        signing_keys::sealed.eq(nothing),
        signing_keys::retired_at.eq(at.nullable()),
    )
}

pub(super) fn reseal(conn: &mut PgConnection, kid: &str, sealed: &[u8]) -> QueryResult<usize> {
    diesel::update(signing_keys::table.find(kid))
        .set(signing_keys::sealed.eq(sealed))
        .execute(conn)
}

/// Writes down how long what a purpose signs may live, unless something ever lived longer.
pub(super) fn keep_longest(
    conn: &mut PgConnection,
    purpose: Purpose,
    seconds: i64,
) -> QueryResult<usize> {
    diesel::insert_into(longest_lifetimes::table)
        .values((
            longest_lifetimes::purpose.eq(purpose.name()),
            longest_lifetimes::seconds.eq(seconds),
        ))
        .on_conflict(longest_lifetimes::purpose)
        .do_update()
        .set(
            longest_lifetimes::seconds
                .eq(sql("greatest(longest_lifetimes.seconds, excluded.seconds)")),
        )
        .execute(conn)
}
