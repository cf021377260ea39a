//! The table of sessions.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    connection::SimpleConnection,
    dsl::{IntervalDsl, sql},
    pg::Pg,
    prelude::*,
    query_builder::{QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

use super::{Lifetimes, NewSession, Rules};
use crate::{
    audit::Actor,
    db::{Window, after, clock_timestamp, coalesce, date_trunc},
    schema::sessions,
};

/// One stored session.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = sessions)]
pub struct SessionRow {
    /// Its id, the `sid` of its tokens.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The app that signed in.
    pub client_id: String,
    /// What its tokens may do at most.
    pub scopes: Vec<String>,
    /// How often its refresh token was rotated.
    pub generation: i64,
    /// When the generation began, in whole seconds.
    pub rotated_at: DateTime<Utc>,
    /// When the generation's refresh token expires, in whole seconds.
    pub refresh_exp: DateTime<Utc>,
    /// When the user proved who they are.
    pub auth_time: DateTime<Utc>,
    /// How strongly they did.
    pub acr: String,
    /// By which means they did.
    pub amr: Vec<String>,
    /// What the app called itself.
    pub user_agent: Option<String>,
    /// Where it signed in from.
    pub address: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last refreshed, or used, to the minute.
    pub last_seen_at: DateTime<Utc>,
    /// The key of the generation's refresh token; `None` from before keys were written down.
    pub refresh_kid: Option<String>,
    /// When it was ended, unless it ran out by itself.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it was ended.
    pub end_reason: Option<String>,
    /// The API that its tokens are for, when it is another one.
    pub resource: Option<String>,
    /// Claims that the app asked for by name.
    pub claims: Option<Value>,
}

/// What the tokens of a session's current generation are made of.
#[derive(Clone, Debug, QueryableByName)]
pub struct Generation {
    /// The session.
    #[diesel(sql_type = SqlUuid)]
    pub session_id: Uuid,
    /// What its tokens may do at most.
    #[diesel(sql_type = Array<Text>)]
    pub scopes: Vec<String>,
    /// How often its refresh token was rotated.
    #[diesel(sql_type = BigInt)]
    pub generation: i64,
    /// When the generation began, in whole seconds.
    #[diesel(sql_type = Timestamptz)]
    pub rotated_at: DateTime<Utc>,
    /// When the generation's refresh token expires, in whole seconds.
    #[diesel(sql_type = Timestamptz)]
    pub refresh_exp: DateTime<Utc>,
    /// The key of the generation's refresh token; `None` from before keys were written down.
    #[diesel(sql_type = Nullable<Text>)]
    pub refresh_kid: Option<String>,
    /// When the user proved who they are.
    #[diesel(sql_type = Timestamptz)]
    pub auth_time: DateTime<Utc>,
    /// How strongly they did.
    #[diesel(sql_type = Text)]
    pub acr: String,
    /// By which means they did.
    #[diesel(sql_type = Array<Text>)]
    pub amr: Vec<String>,
    /// The app that signed in.
    #[diesel(sql_type = Text)]
    pub client_id: String,
    /// The API that its tokens are for, when it is another one.
    #[diesel(sql_type = Nullable<Text>)]
    pub resource: Option<String>,
    /// Claims that the app asked for by name.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub claims: Option<Value>,
}

pub(super) struct NewRow<'a> {
    pub id: Uuid,
    pub session: &'a NewSession,
    pub refresh_kid: Option<String>,
    pub external: bool,
    pub user_agent: Option<&'a str>,
    pub address: Option<&'a str>,
}

impl<'a> NewRow<'a> {
    /// A new session that is opened from where `actor` is.
    pub fn of(session: &'a NewSession, external: bool, actor: &'a Actor, rules: &Rules) -> Self {
        Self {
            id: Uuid::now_v7(),
            session,
            refresh_kid: rules.tokens.refresh_kid(),
            external,
            user_agent: actor.user_agent.as_deref(),
            address: actor.address.as_deref(),
        }
    }
}

/// The database's clock in whole seconds, as tokens count.
pub(super) fn this_second() -> date_trunc<&'static str, clock_timestamp> {
    date_trunc("second", clock_timestamp())
}

/// The statement that inserts a session; it ends where a `from` may follow.
pub(super) fn insertion(
    owner: Uuid,
    new: &NewRow<'_>,
    lifetimes: Lifetimes,
) -> impl QueryFragment<Pg> + QueryId {
    let in_seconds = |seconds: i64| after(this_second(), seconds.seconds());
    let session = new.session;
    diesel::select((
        new.id.into_sql::<SqlUuid>(),
        owner.into_sql::<SqlUuid>(),
        (&session.client_id).into_sql::<Text>(),
        (&new.refresh_kid).into_sql::<Nullable<Text>>(),
        new.external.into_sql::<Bool>(),
        session.scopes.names().into_sql::<Array<Text>>(),
        this_second(),
        coalesce(session.auth_time, this_second()),
        in_seconds(lifetimes.idle),
        in_seconds(lifetimes.absolute),
        (&session.acr).into_sql::<Text>(),
        (&session.amr).into_sql::<Array<Text>>(),
        new.user_agent.into_sql::<Nullable<Text>>(),
        new.address.into_sql::<Nullable<Text>>(),
        (&session.page_hash).into_sql::<Nullable<Binary>>(),
        session.parent_id.into_sql::<Nullable<SqlUuid>>(),
        (&session.key).into_sql::<Nullable<Text>>(),
        (&session.resource).into_sql::<Nullable<Text>>(),
        (&session.claims).into_sql::<Nullable<Jsonb>>(),
    ))
    .insert_into(sessions::table)
    .into_columns((
        sessions::id,
        sessions::user_id,
        sessions::client_id,
        sessions::refresh_kid,
        sessions::external,
        sessions::scopes,
        sessions::rotated_at,
        sessions::auth_time,
        sessions::refresh_exp,
        sessions::absolute_exp,
        sessions::acr,
        sessions::amr,
        sessions::user_agent,
        sessions::address,
        sessions::page_hash,
        sessions::parent_id,
        sessions::cnf,
        sessions::resource,
        sessions::claims,
    ))
}

/// A generation, the key that it is bound to, and why it has ended.
type Standing = (i64, Option<String>, Option<String>);

/// Where a session of this user and client stands: its generation, the key that it is bound to and, when it has ended, why.
pub(super) fn standing(
    conn: &mut PgConnection,
    owner: Uuid,
    id: Uuid,
    client_id: &str,
) -> QueryResult<Option<Standing>> {
    sessions::table
        .find(id)
        .filter(sessions::user_id.eq(owner))
        .filter(sessions::client_id.eq(client_id))
        .select((
            sessions::generation,
            sessions::cnf,
            sql::<Nullable<Text>>(
                "coalesce(end_reason, case when refresh_exp <= clock_timestamp() then 'expired' end)",
            ),
        ))
        .first(conn)
        .optional()
}

/// Remembers the newest generation of each session that was seen in use, and, once a minute, that it was. In the order of
/// ids, so that replicas that saw the same sessions don't wait for each other.
pub(super) fn acknowledge_any_owner(
    conn: &mut PgConnection,
    uses: &HashMap<Uuid, i64>,
) -> QueryResult<usize> {
    let (ids, generations): (Vec<Uuid>, Vec<i64>) = uses.iter().unzip();
    diesel::sql_query(
        "with due as (
            select sessions.id, used.gen from sessions join unnest($1, $2) as used (id, gen) on used.id = sessions.id
            where used.gen <= sessions.gen and ended_at is null
                and (gen_acked < used.gen or last_seen_at < clock_timestamp() - interval '1 minute')
            order by sessions.id for no key update of sessions)
         update sessions set
            gen_acked = greatest(gen_acked, due.gen),
            last_seen_at = case when last_seen_at < clock_timestamp() - interval '1 minute'
                then clock_timestamp() else last_seen_at end
         from due where sessions.id = due.id",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<BigInt>, _>(generations)
    .execute(conn)
}

#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn live() -> _ {
    let now: clock_timestamp = clock_timestamp();
    sessions::ended_at
        .is_null()
        .and(sessions::refresh_exp.gt(now))
}

/// Lists the user's sessions that are alive, or those that are not, newest first.
pub(super) fn list(
    conn: &mut PgConnection,
    owner: Uuid,
    alive: bool,
    window: Window,
) -> QueryResult<Vec<SessionRow>> {
    let mut query = sessions::table
        .filter(sessions::user_id.eq(owner))
        .select(SessionRow::as_select())
        .order(sessions::id.desc())
        .limit(window.rows)
        .into_boxed();
    query = if alive {
        query.filter(live())
    } else {
        query.filter(diesel::dsl::not(live()))
    };
    if let Some(after) = window.after {
        query = query.filter(sessions::id.lt(after));
    }
    query.load(conn)
}

pub(super) fn find(
    conn: &mut PgConnection,
    owner: Uuid,
    id: Uuid,
) -> QueryResult<Option<SessionRow>> {
    Ok(find_any_owner(conn, id)?.filter(|session| session.user_id == owner))
}

pub(super) fn hold(
    conn: &mut PgConnection,
    owner: Uuid,
    id: Uuid,
) -> QueryResult<Option<SessionRow>> {
    sessions::table
        .filter(sessions::user_id.eq(owner))
        .filter(sessions::id.eq(id))
        .select(SessionRow::as_select())
        .for_share()
        .first(conn)
        .optional()
}

pub(super) fn find_any_owner(conn: &mut PgConnection, id: Uuid) -> QueryResult<Option<SessionRow>> {
    sessions::table
        .find(id)
        .select(SessionRow::as_select())
        .first(conn)
        .optional()
}

/// Waits until everything that was opening or refreshing a session has ended, and lets nothing begin until the caller's
/// transaction ends.
///
/// In the order in which all take them, so that none waits for the other: accounts before sessions.
pub(super) fn await_running_any_owner(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute(
        "set local lock_timeout = '1s';
         lock table users in exclusive mode; lock table sessions in share mode",
    )
}

/// Tells whether the user has signed in from this address before, so that a stranger's failures don't slow them down.
pub(super) fn is_familiar(
    conn: &mut PgConnection,
    owner: Uuid,
    address: &str,
) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(
        sessions::table
            .filter(sessions::user_id.eq(owner))
            .filter(sessions::address.eq(address)),
    ))
    .get_result(conn)
}

/// Forgets sessions that ended 90 days ago, some thousand at a time.
pub(super) fn forget_ended_any_owner(conn: &mut PgConnection) -> QueryResult<usize> {
    diesel::sql_query(
        "delete from sessions where id in (
            select id from sessions
            where least(ended_at, refresh_exp) < clock_timestamp() - interval '90 days'
            limit 10000 for update skip locked)",
    )
    .execute(conn)
}

/// Forgets where sessions older than 30 days signed in from, some thousand at a time.
pub(super) fn forget_addresses_any_owner(conn: &mut PgConnection) -> QueryResult<usize> {
    diesel::sql_query(
        "update sessions set address = null where id in (
            select id from sessions
            where address is not null and created_at < clock_timestamp() - interval '30 days'
            limit 10000 for update skip locked)",
    )
    .execute(conn)
}
