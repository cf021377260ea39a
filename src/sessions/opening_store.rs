//! The one statement that opens a session.

use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Timestamptz, Untyped},
};

use crate::users::JoinedHolder;

/// What Postgres has made of a new session, and whose it is.
#[derive(Debug, QueryableByName)]
pub(super) struct Opened {
    #[diesel(sql_type = Timestamptz)]
    pub rotated_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub refresh_exp: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub auth_time: DateTime<Utc>,
    #[diesel(embed)]
    pub holder: JoinedHolder,
}

/// Inserts a session, what the audit log says of it, and the use of what it is opened for, whose statement knows the session
/// as `opened`.
///
/// # Errors
/// Postgres.
pub(super) fn insert(
    conn: &mut PgConnection,
    session: impl QueryFragment<Pg> + QueryId,
    event: impl QueryFragment<Pg> + QueryId,
    used: impl QueryFragment<Pg> + QueryId,
) -> QueryResult<Opened> {
    Statement {
        session,
        event,
        used,
    }
    .get_result(conn)
}

/// A session that nothing is used up for.
#[derive(Clone, Copy, Debug, QueryId)]
pub(super) struct Nothing;

impl QueryFragment<Pg> for Nothing {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("select");
        Ok(())
    }
}

/// A type of its own, so that Postgres plans it once per connection.
#[derive(Debug, QueryId)]
struct Statement<S, E, U> {
    session: S,
    event: E,
    used: U,
}

impl<S, E, U> Query for Statement<S, E, U> {
    type SqlType = Untyped;
}

impl<S, E, U> RunQueryDsl<PgConnection> for Statement<S, E, U> {}

impl<S, E, U> QueryFragment<Pg> for Statement<S, E, U>
where
    S: QueryFragment<Pg>,
    E: QueryFragment<Pg>,
    U: QueryFragment<Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("with opened as (");
        self.session.walk_ast(out.reborrow())?;
        out.push_sql(" returning id, user_id, rotated_at, refresh_exp, auth_time), noted as (");
        self.event.walk_ast(out.reborrow())?;
        out.push_sql("), used as (");
        self.used.walk_ast(out.reborrow())?;
        out.push_sql(") select opened.rotated_at, opened.refresh_exp, opened.auth_time, ");
        JoinedHolder::push("", &mut out);
        out.push_sql(" from opened join users on users.id = opened.user_id");
        Ok(())
    }
}
