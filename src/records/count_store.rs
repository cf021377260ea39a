//! How many records there are.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Json, Untyped},
};
use serde_json::Value;

use super::{list::Count, selection::Selection};
use crate::collections::{Collection, table_name};

/// Counts the records that are meant, or guesses as Postgres does when it plans.
pub(super) fn count(
    conn: &mut PgConnection,
    collection: &Collection,
    selection: &Selection,
    count: Count,
) -> QueryResult<i64> {
    let statement = Statement {
        collection,
        selection,
        is_explained: count == Count::Estimated,
    };
    if count == Count::Exact {
        let counted: Counted = statement.get_result(conn)?;
        return Ok(counted.count);
    }
    let plan: Plan = statement.get_result(conn)?;
    let rows = plan
        .plan
        .pointer("/0/Plan/Plan Rows")
        .and_then(Value::as_i64);
    Ok(rows.unwrap_or_default())
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Plan {
    #[diesel(sql_type = Json, column_name = "QUERY PLAN")]
    plan: Value,
}

struct Statement<'a> {
    collection: &'a Collection,
    selection: &'a Selection,
    is_explained: bool,
}

impl QueryId for Statement<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Statement<'_> {}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql(if self.is_explained {
            "explain (format json) select"
        } else {
            "select count(*) as count"
        });
        out.push_sql(" from ");
        out.push_sql(&table_name(self.collection.serial));
        out.push_sql(" as record where ");
        self.selection.put(out)
    }
}
