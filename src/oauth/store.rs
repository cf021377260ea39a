//! The tables of requests, codes and of what was presented once.

use chrono::{DateTime, Utc};
use diesel::{
    dsl::IntervalDsl,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::Binary,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    db::{after, clock_timestamp},
    form::Parameters,
    schema::{
        authorization_codes, authorization_requests, device_codes, presented_once, sessions, users,
    },
    sessions::{Purpose, SessionRow},
};

/// Seconds that a code is good for (`OAU-04`).
const CODE_LIFETIME: i32 = 60;

pub(super) fn keep_request(
    conn: &mut PgConnection,
    id: &[u8],
    client_id: &str,
    parameters: &Parameters,
    pushed: bool,
    seconds: i32,
) -> QueryResult<usize> {
    let pairs: Vec<_> = parameters.iter().collect();
    diesel::insert_into(authorization_requests::table)
        .values((
            authorization_requests::id.eq(id),
            authorization_requests::client_id.eq(client_id),
            authorization_requests::parameters.eq(json!(pairs)),
            authorization_requests::pushed.eq(pushed),
            authorization_requests::expires_at.eq(after(clock_timestamp(), seconds.seconds())),
        ))
        .execute(conn)
}

fn parameters(stored: Value) -> Parameters {
    let pairs: Vec<(String, String)> = serde_json::from_value(stored).unwrap_or_default();
    pairs.into_iter().collect()
}

/// Takes a pushed request, which then is gone.
pub(super) fn take_pushed(
    conn: &mut PgConnection,
    id: &[u8],
    client_id: &str,
) -> QueryResult<Option<Parameters>> {
    let taken: Option<Value> = diesel::delete(
        authorization_requests::table
            .find(id)
            .filter(authorization_requests::client_id.eq(client_id))
            .filter(authorization_requests::pushed)
            .filter(authorization_requests::expires_at.gt(clock_timestamp())),
    )
    .returning(authorization_requests::parameters)
    .get_result(conn)
    .optional()?;
    Ok(taken.map(parameters))
}

/// Finds a request that waits for the person, and since when.
pub(super) fn find_request(
    conn: &mut PgConnection,
    id: &[u8],
    client_id: &str,
) -> QueryResult<Option<(Parameters, DateTime<Utc>)>> {
    let found: Option<(Value, DateTime<Utc>)> = authorization_requests::table
        .find(id)
        .filter(authorization_requests::client_id.eq(client_id))
        .filter(diesel::dsl::not(authorization_requests::pushed))
        .filter(authorization_requests::expires_at.gt(clock_timestamp()))
        .select((
            authorization_requests::parameters,
            authorization_requests::created_at,
        ))
        .first(conn)
        .optional()?;
    Ok(found.map(|(stored, since)| (parameters(stored), since)))
}

pub(super) fn forget_request(conn: &mut PgConnection, id: &[u8]) -> QueryResult<usize> {
    diesel::delete(authorization_requests::table.find(id)).execute(conn)
}

/// Forgets every request and code of a client.
pub(super) fn forget_client(conn: &mut PgConnection, client_id: &str) -> QueryResult<()> {
    diesel::delete(authorization_requests::table)
        .filter(authorization_requests::client_id.eq(client_id))
        .execute(conn)?;
    diesel::delete(authorization_codes::table)
        .filter(authorization_codes::client_id.eq(client_id))
        .execute(conn)?;
    diesel::delete(device_codes::table)
        .filter(device_codes::client_id.eq(client_id))
        .execute(conn)?;
    Ok(())
}

/// A code to give out.
pub(super) struct NewCode<'a> {
    pub id: &'a [u8],
    pub client_id: &'a str,
    pub user_id: Uuid,
    pub page: &'a SessionRow,
    pub redirect_uri: &'a str,
    pub scopes: &'a [String],
    pub challenge: &'a str,
    pub nonce: Option<&'a str>,
    pub key: Option<&'a str>,
    pub resource: Option<&'a str>,
    pub claims: Option<&'a Value>,
}

pub(super) fn insert_code(conn: &mut PgConnection, new: &NewCode<'_>) -> QueryResult<usize> {
    diesel::insert_into(authorization_codes::table)
        .values((
            authorization_codes::id.eq(new.id),
            authorization_codes::client_id.eq(new.client_id),
            authorization_codes::user_id.eq(new.user_id),
            authorization_codes::page_id.eq(new.page.id),
            authorization_codes::redirect_uri.eq(new.redirect_uri),
            authorization_codes::scopes.eq(new.scopes),
            authorization_codes::challenge.eq(new.challenge),
            authorization_codes::nonce.eq(new.nonce),
            authorization_codes::cnf.eq(new.key),
            authorization_codes::resource.eq(new.resource),
            authorization_codes::claims.eq(new.claims),
            authorization_codes::auth_time.eq(new.page.auth_time),
            authorization_codes::acr.eq(&new.page.acr),
            authorization_codes::amr.eq(&new.page.amr),
            authorization_codes::expires_at.eq(after(clock_timestamp(), CODE_LIFETIME.seconds())),
        ))
        .execute(conn)
}

/// What a code was given for.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = authorization_codes)]
pub(super) struct CodeRow {
    pub user_id: Uuid,
    pub page_id: Uuid,
    pub redirect_uri: String,
    pub scopes: Vec<String>,
    pub challenge: String,
    pub nonce: Option<String>,
    pub cnf: Option<String>,
    pub resource: Option<String>,
    pub claims: Option<Value>,
    pub auth_time: DateTime<Utc>,
    pub acr: String,
    pub amr: Vec<String>,
    pub session_id: Option<Uuid>,
}

/// A code, and whether it may be redeemed.
#[derive(Debug, Queryable, Selectable)]
pub(super) struct FoundCode {
    #[diesel(embed)]
    pub code: CodeRow,
    /// Whether it is still good.
    #[diesel(select_expression = authorization_codes::expires_at.gt(clock_timestamp()))]
    pub is_good: bool,
    /// Whether its owner may not sign in any more, or has signed out of the browser that it was given to.
    #[diesel(select_expression = users::disabled.or(sessions::ended_at.is_not_null()))]
    pub is_gone: bool,
}

/// A code of this client, with whose it is.
#[diesel::dsl::auto_type(no_type_alias)]
fn code_of<'a>(id: &'a [u8], client_id: &'a str) -> _ {
    let is_its_owner = authorization_codes::user_id.eq(users::id);
    let is_its_page = sessions::id
        .eq(authorization_codes::page_id)
        .and(sessions::user_id.eq(users::id));
    users::table
        .inner_join(authorization_codes::table.on(is_its_owner))
        .inner_join(sessions::table.on(is_its_page))
        .filter(authorization_codes::id.eq(id))
        .filter(authorization_codes::client_id.eq(client_id))
}

/// Finds a code of this client, which may be used before anything is done with it.
pub(super) fn find_code(
    conn: &mut PgConnection,
    id: &[u8],
    client_id: &str,
) -> QueryResult<Option<FoundCode>> {
    code_of(id, client_id)
        .select(FoundCode::as_select())
        .first(conn)
        .optional()
}

/// Finds a code of this client and holds it until the caller's transaction ends; before it the account, as everyone does, and
/// with them the browser's session.
pub(super) fn hold_code(
    conn: &mut PgConnection,
    id: &[u8],
    client_id: &str,
) -> QueryResult<Option<FoundCode>> {
    code_of(id, client_id)
        .select(FoundCode::as_select())
        .for_update()
        .first(conn)
        .optional()
}

/// Redeeming a code that nobody has used, in the statement that opens the session.
pub(super) fn redeeming<'a>(
    id: &'a [u8],
    client_id: &'a str,
) -> Purpose<impl QueryFragment<Pg> + QueryId + use<'a>, UsedCode<'a>> {
    let may_be_used = authorization_codes::session_id
        .is_null()
        .and(authorization_codes::expires_at.gt(clock_timestamp()));
    let is_there = diesel::dsl::not(users::disabled).and(sessions::ended_at.is_null());
    Purpose {
        held: code_of(id, client_id)
            .filter(may_be_used)
            .filter(is_there)
            .select(authorization_codes::id)
            .for_update(),
        used: UsedCode { id },
    }
}

/// Writes down what a code was redeemed for.
#[derive(Debug)]
pub(super) struct UsedCode<'a> {
    id: &'a [u8],
}

impl QueryId for UsedCode<'_> {
    type QueryId = UsedCode<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for UsedCode<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("update authorization_codes set session_id = opened.id from opened where authorization_codes.id = ");
        out.push_bind_param::<Binary, _>(self.id)
    }
}

/// Writes down that something was presented; tells whether it is the first time.
pub(super) fn present(
    conn: &mut PgConnection,
    id: &[u8],
    expires_at: DateTime<Utc>,
) -> QueryResult<bool> {
    let inserted = diesel::insert_into(presented_once::table)
        .values((
            presented_once::id.eq(id),
            presented_once::expires_at.eq(expires_at),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(inserted == 1)
}

/// Rows that are deleted by one statement.
const TOGETHER: usize = 5_000;

/// What was deleted of a table.
#[derive(Clone, Copy, Debug)]
pub struct Purged {
    /// Which table.
    pub table: &'static str,
    /// How many rows.
    pub rows: usize,
}

impl Purged {
    /// Whether there may be more.
    pub fn is_full(&self) -> bool {
        self.rows == TOGETHER
    }
}

/// Deletes what has expired, some thousand of each table, each for itself.
pub(super) fn purge(conn: &mut PgConnection) -> QueryResult<Vec<Purged>> {
    let mut purged = Vec::new();
    // A code that was used is remembered for a while, so that a second use still ends what it was redeemed for.
    for (table, condition) in [
        ("authorization_requests", "expires_at < clock_timestamp()"),
        (
            "authorization_codes",
            "expires_at < clock_timestamp() - interval '1 day'",
        ),
        (
            "device_codes",
            "expires_at < clock_timestamp() - case when session_id is null then interval '0' else interval '1 day' end",
        ),
        ("presented_once", "expires_at < clock_timestamp()"),
        ("upstream_states", "expires_at < clock_timestamp()"),
        (
            "logout_notices",
            "created_at < clock_timestamp() - interval '2 days'",
        ),
    ] {
        let delete = format!(
            "delete from {table} where id in (
                select id from {table} where {condition} limit {TOGETHER} for update skip locked)"
        );
        let rows = diesel::sql_query(&delete).execute(conn)?;
        purged.push(Purged { table, rows });
    }
    Ok(purged)
}
