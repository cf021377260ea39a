//! The statement that groups and computes.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Json, Nullable, Text, Untyped},
};
use serde_json::{Map, Value};

use super::{
    aggregate::{Computed, MOST_GROUPS},
    selection::Selection,
};
use crate::collections::{Collection, Term, table_name};

#[derive(QueryableByName)]
struct Group {
    #[diesel(sql_type = Nullable<BigInt>)]
    generation: Option<i64>,
    #[diesel(sql_type = Nullable<Json>)]
    figures: Option<Value>,
}

/// Groups the records that are meant and computes figures of each group: one group more than are answered tells that there are
/// too many. `None` where the collection is declared otherwise by now.
pub(super) fn aggregate(
    conn: &mut PgConnection,
    collection: &Collection,
    selection: &Selection,
    groups: &[Term],
    figures: &[Computed],
) -> QueryResult<Option<Vec<Map<String, Value>>>> {
    let found: Vec<Group> = Statement {
        collection,
        selection,
        groups,
        figures,
    }
    .load(conn)?;
    let generation = found.first().and_then(|group| group.generation);
    if generation != Some(collection.generation) {
        return Ok(None);
    }
    let names = groups.iter().map(Term::name);
    let names: Vec<_> = names
        .chain(figures.iter().map(|figure| figure.name.clone()))
        .collect();
    let items = found.into_iter().filter_map(|group| match group.figures {
        Some(Value::Array(values)) => Some(names.iter().cloned().zip(values).collect()),
        _ => None,
    });
    Ok(Some(items.collect()))
}

struct Statement<'a> {
    collection: &'a Collection,
    selection: &'a Selection,
    groups: &'a [Term],
    figures: &'a [Computed],
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
        out.push_sql("select (select generation from collections where name = ");
        out.push_bind_param::<Text, _>(&self.collection.name)?;
        out.push_sql(") as generation, found.figures from (select) as one left join (select json_build_array(");
        let accessors = self.groups.iter().map(Term::shown);
        let figures = self.figures.iter().map(|figure| match &figure.term {
            Some(term) => format!("{}({})", figure.function, term.shown()),
            None => format!("{}(*)", figure.function),
        });
        let columns: Vec<_> = accessors.chain(figures).collect();
        out.push_sql(&columns.join(", "));
        out.push_sql(") as figures from ");
        out.push_sql(&table_name(self.collection.serial));
        out.push_sql(" as record where ");
        self.selection.put(out.reborrow())?;
        let places: Vec<_> = self
            .groups
            .iter()
            .map(|term| term.accessor.as_str())
            .collect();
        if !places.is_empty() {
            let places = places.join(", ");
            out.push_sql(&format!(" group by {places} order by {places}"));
        }
        out.push_sql(&format!(" limit {}) as found on true", MOST_GROUPS + 1));
        Ok(())
    }
}
