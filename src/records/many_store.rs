//! The statement that finds several records by their ids.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Text, Untyped, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    list_store::MOST_BYTES,
    row::{RecordRow, Told},
    store::put,
};
use crate::{
    collections::{Collection, table_name},
    db::push_array,
    rules::Predicate,
};

/// Finds the records of these ids that `rule` shows; inside, `None` where they are larger than a page may be;
/// outside, where the collection is declared otherwise by now.
pub(super) fn find_many(
    conn: &mut PgConnection,
    collection: &Collection,
    ids: &[Uuid],
    rule: &Predicate,
) -> QueryResult<Option<Option<Vec<RecordRow>>>> {
    let found: Vec<Told> = Many {
        collection,
        ids,
        rule,
    }
    .load(conn)?;
    let generation = found.first().and_then(|told| told.generation);
    if generation != Some(collection.generation) {
        return Ok(None);
    }
    let is_cut = found.iter().any(Told::is_cut);
    Ok(Some((!is_cut).then(|| {
        found.into_iter().filter_map(Told::record).collect()
    })))
}

/// The statement that finds several records.
struct Many<'a> {
    collection: &'a Collection,
    ids: &'a [Uuid],
    rule: &'a Predicate,
}

impl QueryId for Many<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Many<'_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Many<'_> {}

impl QueryFragment<Pg> for Many<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("select (select generation from collections where name = ");
        out.push_bind_param::<Text, _>(&self.collection.name)?;
        out.push_sql(&format!(
            ") as generation, id, owner, version, created_at, updated_at, case when total < {MOST_BYTES} then data::text end as data \
             from (select) as one left join (select record.*, sum(size) over (order by record.id rows unbounded preceding) as total from "
        ));
        out.push_sql(&table_name(self.collection.serial));
        out.push_sql(" as record where record.id = any(");
        push_array::<SqlUuid, _>(&mut out, &self.ids)?;
        out.push_sql("::uuid[]) and (");
        put(self.rule, out.reborrow())?;
        out.push_sql(")) as found on true");
        Ok(())
    }
}
