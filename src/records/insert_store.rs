//! The statement that stores new records, several at once.

use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Untyped, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    Request,
    row::{RecordRow, Told},
    store::{Current, begin_write, is_current, tell},
};
use crate::{
    collections::{Collection, table_name},
    db::{self, push_array},
};

/// A record to store.
#[derive(Clone, Debug)]
pub(super) struct New {
    pub id: Uuid,
    pub owner: Option<Uuid>,
    pub document: String,
    /// Whether nobody can have had the id before. A record of another kind begins with a version that no record of its id had:
    /// somebody may still hold the tag of one that was deleted.
    pub is_id_new: bool,
    /// Of a record that was exported, what it had beside its document.
    pub kept: Option<Kept>,
}

impl New {
    /// A record that nobody has had.
    pub fn of(request: &Request, id: Uuid, document: String) -> Self {
        Self {
            id,
            owner: request.owner,
            document,
            is_id_new: true,
            kept: None,
        }
    }
}

/// What the server keeps of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What became of a new record.
#[derive(Debug)]
pub(super) enum Inserted {
    /// Its id is taken.
    Taken,
    /// Its owner has no account any more.
    Ownerless,
    /// It is stored.
    Done(RecordRow),
}

/// What an insertion found.
#[derive(Debug, QueryableByName)]
struct Insertion {
    #[diesel(embed)]
    told: Told,
    #[diesel(sql_type = Bool)]
    has_owner: bool,
}

/// Stores new records, all or, where one hurts a constraint, none; answers each. Their owners' accounts can't be erased meanwhile, so
/// that no record of theirs is left. An owner whose account others hold counts as none. Of no record it tells only whether the
/// collection is still declared so.
pub(super) fn insert(
    conn: &mut PgConnection,
    collection: &Collection,
    new: &[New],
) -> QueryResult<Current<Vec<Inserted>>> {
    insert_waiting(conn, collection, new, false)
}

fn insert_waiting(
    conn: &mut PgConnection,
    collection: &Collection,
    new: &[New],
    waits: bool,
) -> QueryResult<Current<Vec<Inserted>>> {
    db::go_on()?;
    let insertions: Vec<Insertion> = Statement::new(collection, new, waits).load(conn)?;
    let generation = insertions.first().and_then(|one| one.told.generation);
    if !is_current(collection, generation) {
        return Ok(None);
    }
    let answer = |insertion: Insertion| match insertion.told.record() {
        Some(row) => Inserted::Done(row),
        None if insertion.has_owner => Inserted::Taken,
        None => Inserted::Ownerless,
    };
    let answers = insertions.into_iter().take(new.len()).map(answer);
    Ok(Some(answers.collect()))
}

/// Stores one new record; waits for whoever holds its owner's account.
pub(super) fn insert_one(
    conn: &mut PgConnection,
    collection: &Collection,
    new: &New,
) -> QueryResult<Current<Inserted>> {
    let inserted = insert_waiting(conn, collection, std::slice::from_ref(new), true)?;
    Ok(inserted.and_then(|inserted| inserted.into_iter().next()))
}

/// The statement; its text depends on the collection alone, and on whether it waits.
struct Statement<'a> {
    collection: &'a Collection,
    waits: bool,
    ids: Vec<Uuid>,
    owners: Vec<Option<Uuid>>,
    versions: Vec<Option<i64>>,
    created: Vec<Option<DateTime<Utc>>>,
    updated: Vec<Option<DateTime<Utc>>>,
    documents: Vec<&'a str>,
}

impl<'a> Statement<'a> {
    fn new(collection: &'a Collection, new: &'a [New], waits: bool) -> Self {
        let kept = |one: &New| one.kept;
        let version = |one: &New| {
            let kept = one.kept.map(|kept| kept.version);
            kept.or_else(|| one.is_id_new.then_some(1))
        };
        Self {
            collection,
            waits,
            ids: new.iter().map(|one| one.id).collect(),
            owners: new.iter().map(|one| one.owner).collect(),
            versions: new.iter().map(version).collect(),
            created: new
                .iter()
                .map(|one| kept(one).map(|kept| kept.created_at))
                .collect(),
            updated: new
                .iter()
                .map(|one| kept(one).map(|kept| kept.updated_at))
                .collect(),
            documents: new.iter().map(|one| one.document.as_str()).collect(),
        }
    }
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
        begin_write(self.collection, out.reborrow())?;
        out.push_sql(", input as (select * from unnest(");
        push_array::<SqlUuid, _>(&mut out, &self.ids)?;
        out.push_sql(", ");
        push_array::<Nullable<SqlUuid>, _>(&mut out, &self.owners)?;
        out.push_sql(", ");
        push_array::<Nullable<BigInt>, _>(&mut out, &self.versions)?;
        out.push_sql(", ");
        push_array::<Nullable<Timestamptz>, _>(&mut out, &self.created)?;
        out.push_sql(", ");
        push_array::<Nullable<Timestamptz>, _>(&mut out, &self.updated)?;
        out.push_sql(", ");
        push_array::<Text, _>(&mut out, &self.documents)?;
        out.push_sql(
            ") with ordinality as input (id, owner, version, created_at, updated_at, data, place)), \
             owner as (select id from users where id in (select owner from input) for key share",
        );
        if !self.waits {
            out.push_sql(" skip locked");
        }
        out.push_sql(
            "), \
             owned as (select input.*, owner is null or exists (select from owner where owner.id = input.owner) as has_owner from input), \
             written as (insert into ",
        );
        out.push_sql(&table_name(self.collection.serial));
        out.push_sql(
            " as record (id, owner, version, created_at, updated_at, data) \
             select id, owner, coalesce(version, floor(extract(epoch from clock_timestamp()) * 1000)), \
                 coalesce(created_at, clock_timestamp()), coalesce(updated_at, clock_timestamp()), data::jsonb \
             from current, owned where has_owner and generation = ",
        );
        out.push_bind_param::<BigInt, _>(&self.collection.generation)?;
        out.push_sql(" on conflict (id) do nothing returning record.*)");
        let images = "null, null, null, written.version, written.updated_at, written.data, written.size from written";
        tell(self.collection, images, out.reborrow());
        out.push_sql(" select (select generation from current) as generation, has_owner is true as has_owner, ");
        out.push_sql(&Told::columns("written"));
        out.push_sql(" from (select) as one left join owned on true left join written on written.id = owned.id order by place");
        Ok(())
    }
}
