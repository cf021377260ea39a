//! The table of replaced versions.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Nullable, Text, Untyped, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    row::{RecordRow, Told},
    store::put,
};
use crate::{
    collections::{Collection, history_name, table_name},
    rules::Predicate,
};

/// Lists the versions of a record that a rule shows, the newest first, those before one. `None` where the collection is declared
/// otherwise by now.
pub(super) fn list(
    conn: &mut PgConnection,
    collection: &Collection,
    id: Uuid,
    rule: &Predicate,
    before: Option<i64>,
    rows: i64,
) -> QueryResult<Option<Vec<RecordRow>>> {
    let found: Vec<Told> = Statement {
        collection,
        id,
        rule,
        before,
        only: None,
        rows,
    }
    .load(conn)?;
    let generation = found.first().and_then(|told| told.generation);
    let is_current = generation == Some(collection.generation);
    Ok(is_current.then(|| found.into_iter().filter_map(Told::record).collect()))
}

/// Finds one version of a record.
pub(super) fn find(
    conn: &mut PgConnection,
    collection: &Collection,
    id: Uuid,
    rule: &Predicate,
    version: i64,
) -> QueryResult<Option<Option<RecordRow>>> {
    let told: Told = Statement {
        collection,
        id,
        rule,
        before: None,
        only: Some(version),
        rows: 1,
    }
    .get_result(conn)?;
    let is_current = told.generation == Some(collection.generation);
    Ok(is_current.then(|| told.record()))
}

/// The versions of a record that is there and that the rule shows, and of these those that it shows too: what was hidden before
/// stays hidden.
struct Statement<'a> {
    collection: &'a Collection,
    id: Uuid,
    rule: &'a Predicate,
    before: Option<i64>,
    only: Option<i64>,
    rows: i64,
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
        out.push_sql("with current as (select generation from collections where name = ");
        out.push_bind_param::<Text, _>(&self.collection.name)?;
        out.push_sql("), newest as (select record.* from ");
        out.push_sql(&table_name(self.collection.serial));
        out.push_sql(" as record where record.id = ");
        out.push_bind_param::<SqlUuid, _>(&self.id)?;
        out.push_sql(" and (");
        put(self.rule, out.reborrow())?;
        out.push_sql(
            ")) select (select generation from current) as generation, found.* from (select) as one left join (select ",
        );
        out.push_sql(&Told::columns("record"));
        out.push_sql(
            " from (select id, owner, version, created_at, updated_at, data from newest union all \
             select newest.id, newest.owner, history.version, newest.created_at, history.updated_at, history.data from newest join ",
        );
        out.push_sql(&history_name(self.collection.serial));
        out.push_sql(" as history on history.id = newest.id) as record where (");
        put(self.rule, out.reborrow())?;
        out.push_sql(") and (");
        out.push_bind_param::<Nullable<BigInt>, _>(&self.before)?;
        out.push_sql(" is null or record.version < ");
        out.push_bind_param::<Nullable<BigInt>, _>(&self.before)?;
        out.push_sql(") and (");
        out.push_bind_param::<Nullable<BigInt>, _>(&self.only)?;
        out.push_sql(" is null or record.version = ");
        out.push_bind_param::<Nullable<BigInt>, _>(&self.only)?;
        out.push_sql(") order by record.version desc limit ");
        out.push_bind_param::<BigInt, _>(&self.rows)?;
        out.push_sql(") as found on true order by found.version desc");
        Ok(())
    }
}
