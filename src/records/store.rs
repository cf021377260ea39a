//! One statement for each thing that is done to one record: it tells also whether the collection is still declared so.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Bool, Nullable, Text, Untyped, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    conditions::Conditions,
    row::{RecordRow, Told},
};
use crate::{
    collections::{Collection, gate_name, history_name, table_name},
    db,
    rules::Predicate,
};

/// Something found where the collection is still declared as it was given; else `None`.
pub(super) type Current<T> = Option<T>;

/// What became of a write.
#[derive(Debug)]
pub(super) enum Written {
    /// There is no such record.
    Nothing,
    /// There is one that the caller may not see.
    Hidden,
    /// The rules don't allow it.
    Forbidden,
    /// The record has this version, which the caller's condition excludes.
    Unexpected(i64),
    /// It is done; the record as it is now, or was.
    Done(RecordRow),
}

/// Finds a record that `rule` shows.
pub(super) fn find(
    conn: &mut PgConnection,
    collection: &Collection,
    id: Uuid,
    rule: &Predicate,
) -> QueryResult<Current<Option<RecordRow>>> {
    let told: Told = Statement {
        collection,
        id,
        work: Work::Find(rule),
    }
    .get_result(conn)?;
    Ok(is_current(collection, told.generation).then(|| told.record()))
}

/// Replaces a document where the conditions allow it, and tells which did not.
pub(super) fn replace(
    conn: &mut PgConnection,
    collection: &Collection,
    id: Uuid,
    conditions: &Conditions,
    document: String,
) -> QueryResult<Current<Written>> {
    let work = Work::Replace(conditions, document);
    write(conn, collection, id, work)
}

/// Deletes a record where the conditions allow it, and tells which did not.
pub(super) fn delete(
    conn: &mut PgConnection,
    collection: &Collection,
    id: Uuid,
    conditions: &Conditions,
) -> QueryResult<Current<Written>> {
    write(conn, collection, id, Work::Delete(conditions))
}

/// What a write found before it wrote.
#[derive(Debug, QueryableByName)]
struct Outcome {
    #[diesel(embed)]
    told: Told,
    #[diesel(sql_type = Nullable<BigInt>)]
    old_version: Option<i64>,
    #[diesel(sql_type = Nullable<Bool>)]
    visible: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    allowed: Option<bool>,
}

fn write(
    conn: &mut PgConnection,
    collection: &Collection,
    id: Uuid,
    work: Work<'_>,
) -> QueryResult<Current<Written>> {
    db::go_on()?;
    let outcome: Outcome = Statement {
        collection,
        id,
        work,
    }
    .get_result(conn)?;
    if !is_current(collection, outcome.told.generation) {
        return Ok(None);
    }
    let Some(old_version) = outcome.old_version else {
        return Ok(Some(Written::Nothing));
    };
    Ok(Some(match (outcome.visible, outcome.allowed) {
        (Some(true), Some(true)) => match outcome.told.record() {
            Some(row) => Written::Done(row),
            None => Written::Unexpected(old_version),
        },
        (Some(true), _) => Written::Forbidden,
        _ => Written::Hidden,
    }))
}

/// Whether this is the generation of a collection as it was given.
pub(super) fn is_current(collection: &Collection, generation: Option<i64>) -> bool {
    generation == Some(collection.generation)
}

/// What is done to a record.
enum Work<'a> {
    Find(&'a Predicate),
    Replace(&'a Conditions, String),
    Delete(&'a Conditions),
}

/// One statement; its text depends on the collection and its rules alone, so the connection's cache of plans stays small.
struct Statement<'a> {
    collection: &'a Collection,
    id: Uuid,
    work: Work<'a>,
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
        match self.work {
            Work::Find(_) => begin(self.collection, out.reborrow())?,
            _ => begin_write(self.collection, out.reborrow())?,
        }
        match &self.work {
            Work::Find(rule) => self.find(rule, out),
            Work::Replace(conditions, document) => self.replace(conditions, document, out),
            Work::Delete(conditions) => self.delete(conditions, out),
        }
    }
}

impl Statement<'_> {
    fn table(&self) -> String {
        table_name(self.collection.serial)
    }

    fn find<'b>(&'b self, rule: &'b Predicate, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" select (select generation from current) as generation, found.* from (select) as one left join (select ");
        out.push_sql(&Told::columns("record"));
        out.push_sql(" from ");
        out.push_sql(&self.table());
        out.push_sql(" as record where record.id = ");
        out.push_bind_param::<SqlUuid, _>(&self.id)?;
        out.push_sql(" and (");
        put(rule, out.reborrow())?;
        out.push_sql(")) as found on true");
        Ok(())
    }

    /// Holds the record in its newest version and tells what the rules say of that.
    fn hold<'b>(
        &'b self,
        conditions: &'b Conditions,
        mut out: AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        out.push_sql(", old as (select record.*, (");
        put(&conditions.visible, out.reborrow())?;
        out.push_sql(") is true as visible, (");
        put(&conditions.allowed, out.reborrow())?;
        out.push_sql(") is true as allowed from ");
        out.push_sql(&self.table());
        out.push_sql(" as record where record.id = ");
        out.push_bind_param::<SqlUuid, _>(&self.id)?;
        out.push_sql(" and (select generation from current) = ");
        out.push_bind_param::<BigInt, _>(&self.collection.generation)?;
        out.push_sql(" for update)");
        Ok(())
    }

    /// Writes only where the conditions allow it.
    fn restrict<'b>(
        &'b self,
        conditions: &'b Conditions,
        images: &str,
        mut out: AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        out.push_sql(" where record.id = old.id and old.visible and old.allowed and (");
        out.push_bind_param::<Nullable<Array<BigInt>>, _>(&conditions.expected)?;
        out.push_sql(" is null or old.version = any(");
        out.push_bind_param::<Nullable<Array<BigInt>>, _>(&conditions.expected)?;
        out.push_sql(")) and old.version <> all(");
        out.push_bind_param::<Array<BigInt>, _>(&conditions.excluded)?;
        out.push_sql(") returning record.*)");
        tell(self.collection, images, out);
        Ok(())
    }

    /// Tells what was found and what was written.
    fn end(out: &mut AstPass<'_, '_, Pg>) {
        out.push_sql(" select (select generation from current) as generation, old.version as old_version, old.visible, old.allowed, ");
        out.push_sql(&Told::columns("written"));
        out.push_sql(" from (select) as one left join old on true left join written on true");
    }

    fn replace<'b>(
        &'b self,
        conditions: &'b Conditions,
        document: &'b String,
        mut out: AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        self.hold(conditions, out.reborrow())?;
        out.push_sql(", written as (update ");
        out.push_sql(&self.table());
        out.push_sql(" as record set data = ");
        out.push_bind_param::<Text, _>(document)?;
        out.push_sql(
            "::jsonb, version = record.version + 1, updated_at = clock_timestamp() from old",
        );
        let images = "old.version, old.updated_at, old.data, written.version, written.updated_at, written.data, old.size + written.size from old, written";
        self.restrict(conditions, images, out.reborrow())?;
        if self.collection.has_history {
            out.push_sql(", kept as (insert into ");
            out.push_sql(&history_name(self.collection.serial));
            out.push_sql(
                " (id, version, updated_at, data) select old.id, old.version, old.updated_at, old.data from old, written)",
            );
        }
        Self::end(&mut out);
        Ok(())
    }

    fn delete<'b>(
        &'b self,
        conditions: &'b Conditions,
        mut out: AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        self.hold(conditions, out.reborrow())?;
        out.push_sql(", written as (delete from ");
        out.push_sql(&self.table());
        out.push_sql(" as record using old");
        // Also a deletion has a version.
        let images = "old.version, old.updated_at, old.data, old.version + 1, null, null, old.size from old, written";
        self.restrict(conditions, images, out.reborrow())?;
        Self::end(&mut out);
        Ok(())
    }
}

/// Begins a statement with the collection as it is declared.
fn begin<'b>(collection: &'b Collection, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    begin_open(collection, out.reborrow())?;
    out.push_sql(")");
    Ok(())
}

fn begin_open<'b>(collection: &'b Collection, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    out.push_sql("with current as (select generation from collections where name = ");
    out.push_bind_param::<Text, _>(&collection.name)
}

/// Begins a statement that writes.
pub(super) fn begin_write<'b>(
    collection: &'b Collection,
    mut out: AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    begin_open(collection, out.reborrow())?;
    // Empty; but whoever declares closes it, and statements wait there before they look at anything.
    out.push_sql(" and not exists (select from ");
    out.push_sql(&gate_name(collection.serial));
    out.push_sql("))");
    Ok(())
}

/// Leaves changes to the feed: the records before, and since. Of one record changes are numbered in their order, since it is held
/// before the number is drawn.
pub(super) fn tell(collection: &Collection, images: &str, mut out: AstPass<'_, '_, Pg>) {
    out.push_sql(", told as (insert into outbox (collection, generation, record_id, owner, created_at, old_version, old_updated_at, old_data, version, updated_at, data, size) select ");
    out.push_sql(&collection.serial.to_string());
    out.push_sql(
        ", (select generation from current), written.id, written.owner, written.created_at, ",
    );
    out.push_sql(images);
    out.push_sql(")");
}

/// Writes what has to hold of a record.
pub(super) fn put<'b>(predicate: &'b Predicate, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    match predicate {
        Predicate::True => out.push_sql("true"),
        Predicate::False => out.push_sql("false"),
        Predicate::Sql(condition) => condition.walk_ast(out)?,
    }
    Ok(())
}
