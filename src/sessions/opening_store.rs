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

/// What a session is opened for, and uses up.
#[derive(Clone, Copy, Debug, QueryId)]
pub struct Purpose<H, U> {
    /// Finds one row, and holds it, where the session may be opened.
    pub held: H,
    /// Writes down the use; it knows the session as `opened`.
    pub used: U,
}

/// A session that nothing is used up for.
pub(super) const NOTHING: Purpose<OneRow, OneRow> = Purpose {
    held: OneRow,
    used: OneRow,
};

#[derive(Clone, Copy, Debug, QueryId)]
pub(super) struct OneRow;

impl QueryFragment<Pg> for OneRow {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("select");
        Ok(())
    }
}

/// Inserts a session, what the audit log says of it, and the use of what it is opened for; nothing where that is not found.
///
/// # Errors
/// Postgres.
pub(super) fn insert<H, U>(
    conn: &mut PgConnection,
    session: impl QueryFragment<Pg> + QueryId,
    event: impl QueryFragment<Pg> + QueryId,
    purpose: Purpose<H, U>,
) -> QueryResult<Option<Opened>>
where
    H: QueryFragment<Pg> + QueryId,
    U: QueryFragment<Pg> + QueryId,
{
    Statement {
        session,
        event,
        purpose,
    }
    .get_result(conn)
    .optional()
}

/// A type of its own, so that Postgres plans it once per connection.
#[derive(Debug, QueryId)]
struct Statement<S, E, H, U> {
    session: S,
    event: E,
    purpose: Purpose<H, U>,
}

impl<S, E, H, U> Query for Statement<S, E, H, U> {
    type SqlType = Untyped;
}

impl<S, E, H, U> RunQueryDsl<PgConnection> for Statement<S, E, H, U> {}

impl<S, E, H, U> QueryFragment<Pg> for Statement<S, E, H, U>
where
    S: QueryFragment<Pg>,
    E: QueryFragment<Pg>,
    H: QueryFragment<Pg>,
    U: QueryFragment<Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("with held as (");
        self.purpose.held.walk_ast(out.reborrow())?;
        out.push_sql("), opened as (");
        self.session.walk_ast(out.reborrow())?;
        out.push_sql(
            " from held returning id, user_id, rotated_at, refresh_exp, auth_time), noted as (",
        );
        self.event.walk_ast(out.reborrow())?;
        out.push_sql(" from held), used as (");
        self.purpose.used.walk_ast(out.reborrow())?;
        out.push_sql(") select opened.rotated_at, opened.refresh_exp, opened.auth_time, ");
        JoinedHolder::push("", &mut out);
        out.push_sql(" from opened join users on users.id = opened.user_id");
        Ok(())
    }
}
