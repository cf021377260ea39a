//! What apps may learn of sessions' users, in one planned statement.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Jsonb, Nullable, Untyped, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

use super::Question;
use crate::{db::push_array, users::JoinedHolder};

/// The claims that a session's app asked for by name, and what they may be made of.
#[derive(Clone, Debug, QueryableByName)]
pub struct About {
    /// What was asked for by name, for the ID token and for userinfo.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub claims: Option<Value>,
    /// The members of the account that claims may be mapped from.
    #[diesel(sql_type = Jsonb)]
    pub holder_mappable: Value,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    owner: Uuid,
    #[diesel(embed)]
    about: About,
}

/// Finds sessions that live, and their users.
pub(super) fn find_about(
    conn: &mut PgConnection,
    questions: &[Arc<Question>],
) -> QueryResult<HashMap<Question, About>> {
    let found: Vec<Row> = Statement::of(questions).load(conn)?;
    let about = |Row { id, owner, about }| (Question { owner, id }, about);
    Ok(found.into_iter().map(about).collect())
}

/// A type of its own, so that Postgres plans it once per connection.
#[derive(Debug, QueryId)]
struct Statement {
    owners: Vec<Uuid>,
    ids: Vec<Uuid>,
}

impl Statement {
    /// Each question once.
    fn of(questions: &[Arc<Question>]) -> Self {
        let questions: HashSet<_> = questions.iter().map(|one| **one).collect();
        let (owners, ids) = questions.into_iter().map(|one| (one.owner, one.id)).unzip();
        Self { owners, ids }
    }
}

impl Query for Statement {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Statement {}

impl QueryFragment<Pg> for Statement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("select asked.id, asked.owner, sessions.claims, ");
        out.push_sql(JoinedHolder::MAPPABLE);
        out.push_sql(" from unnest(");
        push_array::<SqlUuid, _>(&mut out, &self.ids)?;
        out.push_sql(", ");
        push_array::<SqlUuid, _>(&mut out, &self.owners)?;
        out.push_sql(
            ") as asked (id, owner) join sessions on sessions.id = asked.id and sessions.user_id = asked.owner \
             join users on users.id = asked.owner where sessions.ended_at is null and not users.disabled",
        );
        Ok(())
    }
}
