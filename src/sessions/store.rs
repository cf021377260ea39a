//! The table of sessions.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    connection::SimpleConnection,
    dsl::sql,
    expression::SqlLiteral,
    pg::Pg,
    prelude::*,
    sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::Lifetimes;
use crate::{db::Window, schema::sessions};

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
}

impl From<SessionRow> for Generation {
    fn from(row: SessionRow) -> Self {
        Self {
            session_id: row.id,
            scopes: row.scopes,
            generation: row.generation,
            rotated_at: row.rotated_at,
            refresh_exp: row.refresh_exp,
            refresh_kid: row.refresh_kid,
            auth_time: row.auth_time,
            acr: row.acr,
            amr: row.amr,
        }
    }
}

pub(super) struct NewRow<'a> {
    pub id: Uuid,
    pub client_id: &'a str,
    pub refresh_kid: Option<String>,
    pub external: bool,
    pub scopes: &'a [String],
    pub acr: &'a str,
    pub amr: &'a [String],
    pub user_agent: Option<&'a str>,
    pub address: Option<&'a str>,
}

/// The database's clock in whole seconds, as tokens count.
fn this_second() -> SqlLiteral<Timestamptz> {
    sql("date_trunc('second', clock_timestamp())")
}

pub(super) fn insert(
    conn: &mut PgConnection,
    owner: Uuid,
    new: &NewRow<'_>,
    lifetimes: Lifetimes,
) -> QueryResult<SessionRow> {
    let after = |seconds: i64| {
        sql::<Timestamptz>("date_trunc('second', clock_timestamp()) + ")
            .bind::<BigInt, _>(seconds)
            .sql(" * interval '1 second'")
    };
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(new.id),
            sessions::user_id.eq(owner),
            sessions::client_id.eq(new.client_id),
            sessions::refresh_kid.eq(&new.refresh_kid),
            sessions::external.eq(new.external),
            sessions::scopes.eq(new.scopes),
            sessions::rotated_at.eq(this_second()),
            sessions::auth_time.eq(this_second()),
            sessions::refresh_exp.eq(after(lifetimes.idle)),
            sessions::absolute_exp.eq(after(lifetimes.absolute)),
            sessions::acr.eq(new.acr),
            sessions::amr.eq(new.amr),
            sessions::user_agent.eq(new.user_agent),
            sessions::address.eq(new.address),
        ))
        .returning(SessionRow::as_returning())
        .get_result(conn)
}

/// Where a session of this user and client stands: its generation and, when it has ended, why.
pub(super) fn standing(
    conn: &mut PgConnection,
    owner: Uuid,
    id: Uuid,
    client_id: &str,
) -> QueryResult<Option<(i64, Option<String>)>> {
    sessions::table
        .find(id)
        .filter(sessions::user_id.eq(owner))
        .filter(sessions::client_id.eq(client_id))
        .select((
            sessions::generation,
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
fn live() -> _ {
    let unexpired: SqlLiteral<diesel::sql_types::Bool> =
        sql::<diesel::sql_types::Bool>("sessions.refresh_exp > clock_timestamp()");
    sessions::ended_at.is_null().and(unexpired)
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

pub(super) fn find_any_owner(conn: &mut PgConnection, id: Uuid) -> QueryResult<Option<SessionRow>> {
    sessions::table
        .find(id)
        .select(SessionRow::as_select())
        .first(conn)
        .optional()
}

/// Which of a user's sessions are meant.
pub(super) enum Which {
    One(Uuid),
    AllBut(Option<Uuid>),
}

/// The sessions that a leaked key of refresh tokens may have reached.
pub(super) enum Exposed {
    /// Begun or refreshed at this time or later.
    Since(DateTime<Utc>),
    /// Those whose refresh token it signed.
    SignedBy(String),
}

type Those<'a> = Box<dyn BoxableExpression<sessions::table, Pg, SqlType = Bool> + 'a>;

/// A session that was ended just now, and the reason that is stored.
#[derive(Debug, Queryable)]
pub(super) struct Ended {
    pub id: Uuid,
    pub reason: Option<String>,
}

/// Ends those of the owner's sessions that may have a living token.
pub(super) fn end(
    conn: &mut PgConnection,
    owner: Uuid,
    which: &Which,
    reason: &str,
) -> QueryResult<Vec<Ended>> {
    let owned = sessions::user_id.eq(owner);
    let those: Those<'_> = match which {
        Which::One(id) => Box::new(owned.and(sessions::id.eq(*id))),
        Which::AllBut(None) => Box::new(owned),
        Which::AllBut(Some(kept)) => Box::new(owned.and(sessions::id.ne(*kept))),
    };
    end_those_any_owner(conn, those, reason)
}

/// Ends the sessions that a leaked key may have reached and that may have a living token.
pub(super) fn end_exposed_any_owner(
    conn: &mut PgConnection,
    exposed: &Exposed,
    reason: &str,
) -> QueryResult<Vec<Ended>> {
    let those: Those<'_> = match exposed {
        // Written down in whole seconds.
        Exposed::Since(time) => Box::new(sessions::rotated_at.gt(*time - TimeDelta::seconds(1))),
        Exposed::SignedBy(kid) => Box::new(sessions::refresh_kid.assume_not_null().eq(kid)),
    };
    end_those_any_owner(conn, those, reason)
}

/// Those that had run out by themselves keep that reason.
fn end_those_any_owner(
    conn: &mut PgConnection,
    those: Those<'_>,
    reason: &str,
) -> QueryResult<Vec<Ended>> {
    // An access token may outlive its session's last refresh token, by a day at most.
    let may_have_tokens: SqlLiteral<Bool> =
        sql("ended_at is null and refresh_exp > clock_timestamp() - interval '1 day 1 minute'");
    diesel::update(sessions::table)
        .set((
            sessions::ended_at
                .eq(sql::<Timestamptz>("least(clock_timestamp(), refresh_exp)").nullable()),
            sessions::end_reason.eq(sql::<Text>(
                "case when refresh_exp <= clock_timestamp() then 'expired' else ",
            )
            .bind::<Text, _>(reason)
            .sql(" end")
            .nullable()),
        ))
        .filter(may_have_tokens)
        .filter(those)
        .returning((sessions::id, sessions::end_reason))
        .get_results(conn)
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
