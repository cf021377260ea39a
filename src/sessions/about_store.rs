//! What apps may learn of a session's user, in one planned statement.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Jsonb, Nullable, Untyped, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

use crate::users::JoinedHolder;

/// The claims that a session's app asked for by name, and what they may be made of.
#[derive(Debug, QueryableByName)]
pub struct About {
    /// What was asked for by name, for the ID token and for userinfo.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub claims: Option<Value>,
    /// The members of the account that claims may be mapped from.
    #[diesel(sql_type = Jsonb)]
    pub holder_mappable: Value,
}

/// Finds a session that lives, and its user.
pub(super) fn find_about(
    conn: &mut PgConnection,
    owner: Uuid,
    id: Uuid,
) -> QueryResult<Option<About>> {
    Statement { owner, id }.get_result(conn).optional()
}

/// A type of its own, so that Postgres plans it once per connection.
#[derive(Debug, QueryId)]
struct Statement {
    owner: Uuid,
    id: Uuid,
}

impl Query for Statement {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Statement {}

impl QueryFragment<Pg> for Statement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("select sessions.claims, ");
        out.push_sql(JoinedHolder::MAPPABLE);
        out.push_sql(
            " from sessions join users on users.id = sessions.user_id where sessions.id = ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.id)?;
        out.push_sql(" and users.id = ");
        out.push_bind_param::<SqlUuid, _>(&self.owner)?;
        out.push_sql(" and sessions.ended_at is null and not users.disabled");
        Ok(())
    }
}
