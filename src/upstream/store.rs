//! The tables of identities and of people who are away at a provider.

use chrono::{DateTime, Utc};
use diesel::{dsl::IntervalDsl, prelude::*};
use serde_json::Value;
use uuid::Uuid;

use super::Departure;
use crate::{
    db::{after, clock_timestamp},
    schema::{identities, upstream_states},
};

/// Minutes that somebody has at a provider, and afterwards for their password here.
const PATIENCE: i32 = 10;

/// Remembers somebody who leaves for a provider.
pub(super) fn insert_state(conn: &mut PgConnection, new: &Departure) -> QueryResult<usize> {
    diesel::insert_into(upstream_states::table)
        .values((
            upstream_states::id.eq(&new.id),
            upstream_states::upstream.eq(&new.upstream),
            upstream_states::nonce.eq(&new.nonce),
            upstream_states::verifier.eq(&new.verifier),
            upstream_states::browser.eq(&new.browser),
            upstream_states::request.eq(&new.request),
            upstream_states::fresh.eq(new.fresh),
            upstream_states::expires_at.eq(after(clock_timestamp(), PATIENCE.minutes())),
        ))
        .execute(conn)
}

/// What is remembered of somebody who comes back.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = upstream_states)]
pub struct StateRow {
    pub(super) id: Vec<u8>,
    pub(super) nonce: String,
    pub(super) verifier: String,
    pub(super) browser: Vec<u8>,
    /// What the page was about from which they left.
    pub request: Option<String>,
    pub(super) fresh: bool,
    pub(super) created_at: DateTime<Utc>,
}

/// Lets somebody come back, once, with the browser that left.
pub(super) fn take_state(
    conn: &mut PgConnection,
    id: &[u8],
    upstream: &str,
    browser: &[u8],
) -> QueryResult<Option<StateRow>> {
    diesel::update(
        upstream_states::table
            .find(id)
            .filter(upstream_states::upstream.eq(upstream))
            .filter(upstream_states::browser.eq(browser))
            .filter(upstream_states::taken_at.is_null())
            .filter(upstream_states::expires_at.gt(clock_timestamp())),
    )
    .set(upstream_states::taken_at.eq(clock_timestamp().nullable()))
    .returning(StateRow::as_returning())
    .get_result(conn)
    .optional()
}

/// Keeps who somebody is at the provider until they have proved who they are here; of a browser the latest only.
pub(super) fn hold(
    conn: &mut PgConnection,
    id: &[u8],
    browser: &[u8],
    identity: &Value,
) -> QueryResult<usize> {
    let_go(conn, browser)?;
    diesel::update(upstream_states::table.find(id))
        .set((
            upstream_states::identity.eq(identity),
            upstream_states::expires_at.eq(after(clock_timestamp(), PATIENCE.minutes())),
        ))
        .execute(conn)
}

/// What is held for a browser, and what its page was about.
pub(super) fn held(conn: &mut PgConnection, browser: &[u8]) -> QueryResult<Option<Value>> {
    upstream_states::table
        .filter(upstream_states::browser.eq(browser))
        .filter(upstream_states::identity.is_not_null())
        .filter(upstream_states::expires_at.gt(clock_timestamp()))
        .select(upstream_states::identity.assume_not_null())
        .first(conn)
        .optional()
}

/// Forgets what is held for a browser.
pub(super) fn let_go(conn: &mut PgConnection, browser: &[u8]) -> QueryResult<usize> {
    diesel::delete(
        upstream_states::table
            .filter(upstream_states::browser.eq(browser))
            .filter(upstream_states::identity.is_not_null()),
    )
    .execute(conn)
}

/// Finds whose identity it is.
pub(super) fn find_owner(
    conn: &mut PgConnection,
    issuer: &str,
    subject: &str,
) -> QueryResult<Option<Uuid>> {
    identities::table
        .find((issuer, subject))
        .select(identities::user_id)
        .first(conn)
        .optional()
}

/// Whether somebody has an identity at a provider already.
pub(super) fn has_identity_of(
    conn: &mut PgConnection,
    owner: Uuid,
    issuer: &str,
) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(
        identities::table
            .filter(identities::user_id.eq(owner))
            .filter(identities::issuer.eq(issuer)),
    ))
    .get_result(conn)
}

/// Gives somebody an identity; tells whether it was nobody's.
pub(super) fn insert_identity(
    conn: &mut PgConnection,
    owner: Uuid,
    issuer: &str,
    subject: &str,
) -> QueryResult<bool> {
    let inserted = diesel::insert_into(identities::table)
        .values((
            identities::issuer.eq(issuer),
            identities::subject.eq(subject),
            identities::user_id.eq(owner),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(inserted == 1)
}

/// Writes down that an identity has signed its owner in.
pub(super) fn touch(
    conn: &mut PgConnection,
    owner: Uuid,
    issuer: &str,
    subject: &str,
) -> QueryResult<usize> {
    diesel::update(
        identities::table
            .find((issuer, subject))
            .filter(identities::user_id.eq(owner)),
    )
    .set(identities::last_used_at.eq(clock_timestamp()))
    .execute(conn)
}
