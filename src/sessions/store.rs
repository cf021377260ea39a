//! The table of sessions.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    connection::SimpleConnection,
    dsl::sql,
    expression::SqlLiteral,
    prelude::*,
    sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::Lifetimes;
use crate::{db::Window, schema::sessions, tokens::RefreshClaims};

/// One stored session.
#[derive(Clone, Debug, Queryable, QueryableByName, Selectable)]
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
    /// When it was last refreshed.
    pub last_seen_at: DateTime<Utc>,
    /// The key of the generation's refresh token; `None` from before keys were written down.
    pub refresh_kid: Option<String>,
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

/// Answers the session in the generation after the presented one, or nothing where the table of `refresh` refuses.
///
/// One statement, so that of parallel uses the first begins the generation and the others find it begun.
/// `rotated_at` is cut to whole seconds, hence 31 for the 30 seconds that are promised.
pub(super) fn refresh(
    conn: &mut PgConnection,
    presented: &RefreshClaims,
    lifetimes: Lifetimes,
    kid: Option<&str>,
    external: bool,
) -> QueryResult<Option<SessionRow>> {
    diesel::sql_query(
        "update sessions set
            gen = case when gen = $4 then gen + 1 else gen end,
            rotated_at = case when gen = $4 then date_trunc('second', clock_timestamp()) else rotated_at end,
            refresh_exp = case when gen = $4
                then least(date_trunc('second', clock_timestamp()) + $5 * interval '1 second', absolute_exp)
                else refresh_exp end,
            refresh_kid = case when gen = $4 then $6 else refresh_kid end,
            external = case when gen = $4 then $7 else external or $7 end,
            last_seen_at = clock_timestamp()
         from users
         where sessions.id = $1 and user_id = $2 and client_id = $3
            and users.id = user_id and not users.disabled
            and ended_at is null and refresh_exp > clock_timestamp()
            and (gen = $4 or gen = $4 + 1 and (
                rotated_at >= clock_timestamp() - interval '31 seconds'
                or gen_acked < gen and (not external or rotated_at >= clock_timestamp() - interval '10 minutes')))
         returning sessions.id, user_id, client_id, scopes, gen as generation, rotated_at, refresh_exp, auth_time, acr,
            amr, user_agent, address, sessions.created_at, last_seen_at, refresh_kid",
    )
    .bind::<SqlUuid, _>(presented.sid)
    .bind::<SqlUuid, _>(presented.sub)
    .bind::<Text, _>(&presented.client_id)
    .bind::<BigInt, _>(presented.generation)
    .bind::<BigInt, _>(lifetimes.idle)
    .bind::<Nullable<Text>, _>(kid)
    .bind::<Bool, _>(external)
    .get_result(conn)
    .optional()
}

/// The generation that a live session of this user and client is in, for telling why a refresh token was refused.
pub(super) fn live_generation(
    conn: &mut PgConnection,
    owner: Uuid,
    id: Uuid,
    client_id: &str,
) -> QueryResult<Option<i64>> {
    sessions::table
        .find(id)
        .filter(sessions::user_id.eq(owner))
        .filter(sessions::client_id.eq(client_id))
        .filter(live())
        .select(sessions::generation)
        .first(conn)
        .optional()
}

/// Remembers the newest generation of each session that was seen in use.
pub(super) fn acknowledge_any_owner(
    conn: &mut PgConnection,
    uses: &HashMap<Uuid, i64>,
) -> QueryResult<usize> {
    let (ids, generations): (Vec<Uuid>, Vec<i64>) = uses.iter().unzip();
    diesel::sql_query(
        "update sessions set gen_acked = used.gen
         from unnest($1, $2) as used (id, gen)
         where sessions.id = used.id and sessions.gen_acked < used.gen and used.gen <= sessions.gen",
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

pub(super) fn list_live(
    conn: &mut PgConnection,
    owner: Uuid,
    window: Window,
) -> QueryResult<Vec<SessionRow>> {
    let mut query = sessions::table
        .filter(sessions::user_id.eq(owner))
        .filter(live())
        .select(SessionRow::as_select())
        .order(sessions::id.desc())
        .limit(window.rows)
        .into_boxed();
    if let Some(after) = window.after {
        query = query.filter(sessions::id.lt(after));
    }
    query.load(conn)
}

pub(super) fn find_live(
    conn: &mut PgConnection,
    owner: Uuid,
    id: Uuid,
) -> QueryResult<Option<SessionRow>> {
    Ok(find_live_any_owner(conn, id)?.filter(|session| session.user_id == owner))
}

pub(super) fn find_live_any_owner(
    conn: &mut PgConnection,
    id: Uuid,
) -> QueryResult<Option<SessionRow>> {
    sessions::table
        .find(id)
        .filter(live())
        .select(SessionRow::as_select())
        .first(conn)
        .optional()
}

/// Which of a user's sessions are meant.
pub(super) enum Which {
    One(Uuid),
    AllBut(Option<Uuid>),
}

pub(super) fn end(
    conn: &mut PgConnection,
    owner: Uuid,
    which: &Which,
    reason: &str,
) -> QueryResult<Vec<Uuid>> {
    let mut target = diesel::update(sessions::table)
        .set((
            sessions::ended_at.eq(sql::<Timestamptz>("clock_timestamp()").nullable()),
            sessions::end_reason.eq(reason),
        ))
        .filter(sessions::user_id.eq(owner))
        .filter(sessions::ended_at.is_null())
        .returning(sessions::id)
        .into_boxed();
    match which {
        Which::One(id) => target = target.filter(sessions::id.eq(*id)),
        Which::AllBut(Some(kept)) => target = target.filter(sessions::id.ne(*kept)),
        Which::AllBut(None) => {}
    }
    target.get_results(conn)
}

/// Ends the sessions whose refresh token `kid` signed; answers those that may have a living access token.
pub(super) fn end_signed_by_any_owner(
    conn: &mut PgConnection,
    kid: &str,
    reason: &str,
) -> QueryResult<Vec<Uuid>> {
    let ended: Vec<(Uuid, bool)> = diesel::update(sessions::table)
        .filter(sessions::refresh_kid.eq(kid))
        .filter(sessions::ended_at.is_null())
        .set((
            sessions::ended_at.eq(sql::<Timestamptz>("clock_timestamp()").nullable()),
            sessions::end_reason.eq(reason),
        ))
        .returning((
            sessions::id,
            sql::<Bool>("last_seen_at > clock_timestamp() - interval '1 day 1 minute'"),
        ))
        .get_results(conn)?;
    let alive = |(id, seen): (Uuid, bool)| seen.then_some(id);
    Ok(ended.into_iter().filter_map(alive).collect())
}

/// Waits until everything that was opening or refreshing a session has ended.
///
/// In the order in which all take them, so that none waits for the other: accounts before sessions.
pub(super) fn await_running_any_owner(conn: &mut PgConnection) -> QueryResult<()> {
    conn.transaction(|conn| {
        conn.batch_execute("lock table users in exclusive mode; lock table sessions in share mode")
    })
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
