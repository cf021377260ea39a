//! A table of records, as a collection has it.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{
        Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Untyped, Uuid as SqlUuid,
    },
};
use tollgate::rules::Condition;

use super::documents::Stored;
use crate::harness::create_collated_database;

/// A setting of the test run.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no other configuration"
)]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A connection with a table of its own.
pub struct Table {
    pub conn: PgConnection,
}

impl Table {
    /// Connects, and creates an empty table that is gone with the connection.
    pub fn new(name: &str) -> Self {
        let mut conn = PgConnection::establish(&create_collated_database()).unwrap();
        diesel::sql_query(format!("set application_name = '{name}'"))
            .execute(&mut conn)
            .unwrap();
        // What a session is set to must not matter.
        diesel::sql_query("set timezone = 'Pacific/Chatham'")
            .execute(&mut conn)
            .unwrap();
        diesel::sql_query("set datestyle = 'German, DMY'")
            .execute(&mut conn)
            .unwrap();
        diesel::sql_query(
            "create temporary table records (n bigserial primary key, id uuid not null, owner uuid, version bigint not null,
                created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null)",
        )
        .execute(&mut conn)
        .unwrap();
        Self { conn }
    }

    /// Replaces what is in the table.
    pub fn fill(&mut self, records: &[Stored]) {
        diesel::sql_query("truncate records")
            .execute(&mut self.conn)
            .unwrap();
        for record in records {
            diesel::sql_query(
                "insert into records (id, owner, version, created_at, updated_at, data) values ($1, $2, $3, $4, $5, $6)",
            )
            .bind::<SqlUuid, _>(record.id)
            .bind::<Nullable<SqlUuid>, _>(record.owner)
            .bind::<BigInt, _>(record.version)
            .bind::<Timestamptz, _>(record.created_at)
            .bind::<Timestamptz, _>(record.updated_at)
            .bind::<Jsonb, _>(&record.data)
            .execute(&mut self.conn)
            .unwrap();
        }
    }

    /// What each condition comes to on each record.
    pub fn ask(&mut self, conditions: &[&Condition]) -> Result<Vec<Vec<Option<bool>>>, String> {
        let rows: QueryResult<Vec<Row>> = Ask(conditions).get_results(&mut self.conn);
        let rows = rows.map_err(|error| error.to_string())?;
        Ok(rows.into_iter().map(|row| row.answers).collect())
    }

    /// The plan of a query on the table `name` with a condition.
    pub fn explain(&mut self, condition: &Condition) -> String {
        let lines: Vec<Line> = Explain(condition).get_results(&mut self.conn).unwrap();
        lines.into_iter().map(|line| line.plan + "\n").collect()
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Array<Nullable<Bool>>)]
    answers: Vec<Option<bool>>,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    plan: String,
}

struct Ask<'a>(&'a [&'a Condition]);

struct Explain<'a>(&'a Condition);

impl QueryFragment<Pg> for Ask<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("select array[");
        for (index, condition) in self.0.iter().enumerate() {
            out.push_sql(if index > 0 { ", " } else { "" });
            condition.walk_ast(out.reborrow())?;
        }
        out.push_sql("]::boolean[] as answers from records r order by n");
        Ok(())
    }
}

impl QueryFragment<Pg> for Explain<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("explain (costs off) select id from records r where ");
        self.0.walk_ast(out.reborrow())
    }
}

impl QueryId for Ask<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryId for Explain<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Ask<'_> {
    type SqlType = Untyped;
}

impl Query for Explain<'_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Ask<'_> {}

impl RunQueryDsl<PgConnection> for Explain<'_> {}
