//! How many records there are.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Json, Nullable, Text, Untyped},
};
use serde_json::Value;

use super::{list::Count, selection::Selection};
use crate::collections::{Collection, table_name};

/// Counts the records that are meant, or guesses as Postgres does when it plans; that only where the rule shows all of them, since
/// what is hidden has a part in the guess. `None` where the collection is declared otherwise by now.
pub(super) fn count(
    conn: &mut PgConnection,
    collection: &Collection,
    selection: &Selection,
    count: Count,
) -> QueryResult<Option<i64>> {
    let is_explained = count == Count::Estimated && selection.shows_all();
    let statement = Statement {
        collection,
        selection,
        is_explained,
    };
    if !is_explained {
        let counted: Counted = statement.get_result(conn)?;
        let is_current = counted.generation == Some(collection.generation);
        return Ok(is_current.then_some(counted.count));
    }
    let plan: Plan = statement.get_result(conn)?;
    let rows = plan
        .plan
        .pointer("/0/Plan/Plan Rows")
        .and_then(Value::as_i64);
    Ok(Some(rows.unwrap_or_default()))
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = Nullable<BigInt>)]
    generation: Option<i64>,
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
        if self.is_explained {
            out.push_sql("explain (format json) select");
        } else {
            out.push_sql(
                "select count(*) as count, (select generation from collections where name = ",
            );
            out.push_bind_param::<Text, _>(&self.collection.name)?;
            out.push_sql(") as generation");
        }
        out.push_sql(" from ");
        out.push_sql(&table_name(self.collection.serial));
        out.push_sql(" as record where ");
        self.selection.put(out)
    }
}
