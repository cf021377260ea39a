//! The outbox, the feed and how far it is.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::{
    connection::SimpleConnection,
    dsl::sql,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Untyped, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{Change, Image, Position};
use crate::{
    records::RecordRow,
    schema::{feed_state, outbox},
};

/// The channel on which replicas hear how far the feed is.
const CHANNEL: &str = "tollgate_feed";

/// Advisory lock of whoever gives positions ("tollfeed" in ASCII).
pub(super) const SEQUENCER: i64 = 0x746f_6c6c_6665_6564;

/// Changes that get their positions together.
const BATCH: u32 = 1_000;

/// Changes that are read together.
pub(super) const TOGETHER: u16 = 1_000;

/// Bytes of documents that are moved or read together, unless one change has more.
const MOST_BYTES: u32 = 4_194_304;

/// What outbox and feed have in common.
const COLUMNS: &str = "collection, generation, record_id, owner, created_at, old_version, old_updated_at, old_data, version, \
     updated_at, data, size, is_tombstone";

/// How far the feed is.
#[derive(Clone, Debug)]
pub struct State {
    /// The last position.
    pub head: Position,
    /// The last position that was dropped: what comes after it can be read.
    pub floor: i64,
}

impl State {
    /// Whether the changes after a place are all there.
    pub fn reaches(&self, place: &Position) -> bool {
        place.epoch == self.head.epoch && (self.floor..=self.head.number).contains(&place.number)
    }
}

/// Reads how far the feed is.
///
/// # Errors
/// Postgres.
pub fn state(conn: &mut PgConnection) -> QueryResult<State> {
    let (epoch, number, floor): (String, i64, i64) = feed_state::table
        .select((feed_state::epoch, feed_state::position, feed_state::floor))
        .first(conn)?;
    Ok(State {
        head: Position {
            epoch: Arc::from(epoch),
            number,
        },
        floor,
    })
}

/// Counts the changes after a number that have no position yet.
///
/// # Errors
/// Postgres.
pub fn depth(conn: &mut PgConnection, passed: i64) -> QueryResult<i64> {
    let waiting = outbox::table.filter(outbox::seq.gt(passed));
    waiting.count().get_result(conn)
}

/// Begins a new epoch: every position that was given out is none any more.
///
/// # Errors
/// Postgres.
pub fn renew_epoch(conn: &mut PgConnection) -> QueryResult<()> {
    let renew = "update feed_state set epoch = left(replace(gen_random_uuid()::text, '-', ''), 12)";
    diesel::sql_query(renew).execute(conn)?;
    Ok(())
}

/// Makes a connection one on which the feed is followed. Whoever gives positions and falls silent lets another do it; what was
/// told must outlive a crash, also where somebody has switched that off for the sake of speed. The outbox is never read from its
/// beginning: it is empty nearly always, so plans take it to be small, and its pages are full of what was moved. (A plan
/// that reads a table in spite of that seems so dear that Postgres would compile it.)
pub(super) fn prepare(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute(&format!(
        "set statement_timeout = '2s'; set idle_in_transaction_session_timeout = '2s'; set timezone = 'UTC'; \
         set enable_seqscan = off; set jit = off; select set_config('synchronous_commit', 'local', false) where current_setting('synchronous_commit') = 'off'; \
         listen {CHANNEL}"
    ))
}

/// Tells whether changes after a number wait for their positions.
pub(super) fn is_waiting(conn: &mut PgConnection, passed: i64) -> QueryResult<bool> {
    // By the index, which learns what is deleted; the table would be read through it.
    let first = outbox::table.select(outbox::seq).order(outbox::seq);
    let first = first.filter(outbox::seq.gt(passed));
    let found: Option<i64> = first.first(conn).optional()?;
    Ok(found.is_some())
}

/// How far the outbox is, as one snapshot shows it but for the last number.
#[derive(QueryableByName)]
pub(super) struct Seen {
    /// The last number that was drawn, no earlier than the snapshot.
    #[diesel(sql_type = BigInt)]
    pub last: i64,
    /// The first transaction id of those that have not ended.
    #[diesel(sql_type = BigInt)]
    pub oldest_id: i64,
    /// Whether a change waits, of those after one number up to another.
    #[diesel(sql_type = Bool)]
    pub is_waiting: bool,
}

/// Takes a transaction id, which comes after all that somebody has.
pub(super) fn take_id(conn: &mut PgConnection) -> QueryResult<i64> {
    diesel::select(sql::<BigInt>("pg_current_xact_id()::text::bigint")).get_result(conn)
}

/// Looks how far the outbox is.
pub(super) fn see(conn: &mut PgConnection, after: i64, until: i64) -> QueryResult<Seen> {
    let pieces = [
        "select (select case when is_called then last_value else 0 end from outbox_seq_seq) as last, \
         pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest_id, \
         exists (select from outbox where seq > ",
        " and seq <= ",
        ") as is_waiting",
    ];
    let pieces = pieces.map(str::to_owned).to_vec();
    Fixed::new(pieces, vec![after, until]).get_result(conn)
}

/// What came of an attempt to give positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequenced {
    /// Another replica is at it.
    Busy,
    /// No committed change waits.
    Nothing,
    /// Some got theirs.
    Some,
}

/// Gives the changes after a number that wait their positions, as many as go together, and tells every replica.
///
/// Only one does so at a time, and looks only when the one before has committed: the lock is one statement and the move
/// another, with a snapshot of its own. So a change that commits later gets a later position.
pub(super) fn sequence(conn: &mut PgConnection, passed: i64) -> QueryResult<Sequenced> {
    conn.build_transaction().read_committed().run(|conn| {
        if !diesel::select(pg_try_advisory_xact_lock(SEQUENCER)).get_result::<bool>(conn)? {
            return Ok(Sequenced::Busy);
        }
        let head = "with moved as (delete from outbox where seq in (select seq from ( \
             select seq, sum(size) over (order by seq rows unbounded preceding) - size as before from ( \
                 select seq, size from outbox where seq > ";
        let tail = format!(
            " order by seq limit {BATCH}) as first) as counted where before < {MOST_BYTES}) returning *), \
             numbered as (select moved.*, row_number() over (order by seq) as number, count(*) over () as total from moved), \
             state as (update feed_state set position = position + (select count(*) from moved), at = greatest(at, clock_timestamp()) \
                 where exists (select from moved) returning position, at as given_at), \
             given as (insert into feed (position, at, {COLUMNS}) \
                 select state.position - total + number, given_at, {COLUMNS} from numbered, state) \
             select position, pg_notify('{CHANNEL}', position::text) from state"
        );
        let pieces = vec![head.to_owned(), tail];
        let moved: Option<Moved> = Fixed::new(pieces, vec![passed]).get_result(conn).optional()?;
        Ok(moved.map_or(Sequenced::Nothing, |_| Sequenced::Some))
    })
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// Takes a lock until the transaction ends, unless somebody has it.
    fn pg_try_advisory_xact_lock(key: BigInt) -> Bool;
}

#[derive(QueryableByName)]
struct Moved {
    #[diesel(sql_type = BigInt)]
    #[expect(dead_code, reason = "that there is a row says it")]
    position: i64,
}

/// Reads the changes after one position up to another, as many as go together: none only where there is none.
pub(super) fn read(conn: &mut PgConnection, after: i64, until: i64) -> QueryResult<Vec<Change>> {
    let until = until.min(after.saturating_add(i64::from(TOGETHER)));
    let pieces = [
        "select position, collection, generation, record_id, owner, created_at, old_version, old_updated_at, old_data::text, version, \
         updated_at, data::text, is_tombstone \
         from (select feed.*, sum(size) over (order by position rows unbounded preceding) as total from feed where position > ",
        " and position <= ",
    ];
    let mut pieces = pieces.map(str::to_owned).to_vec();
    pieces.push(format!(
        ") as counted where total - size < {MOST_BYTES} order by position"
    ));
    let rows: Vec<Row> = Fixed::new(pieces, vec![after, until]).load(conn)?;
    Ok(rows.into_iter().map(Change::from).collect())
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    position: i64,
    #[diesel(sql_type = BigInt)]
    collection: i64,
    #[diesel(sql_type = BigInt)]
    generation: i64,
    #[diesel(sql_type = SqlUuid)]
    record_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    owner: Option<Uuid>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<BigInt>)]
    old_version: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    old_updated_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    old_data: Option<String>,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    updated_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    data: Option<String>,
    #[diesel(sql_type = Bool)]
    is_tombstone: bool,
}

impl From<Row> for Change {
    fn from(row: Row) -> Self {
        let image = |version: Option<i64>, updated_at: Option<DateTime<Utc>>, data| {
            Some(Image::new(RecordRow {
                id: row.record_id,
                owner: row.owner,
                version: version?,
                created_at: row.created_at,
                updated_at: updated_at?,
                data: data?,
            }))
        };
        Self {
            position: row.position,
            collection: row.collection,
            generation: row.generation,
            id: row.record_id,
            version: row.version,
            is_tombstone: row.is_tombstone,
            old: image(row.old_version, row.old_updated_at, row.old_data),
            new: image(Some(row.version), row.updated_at, row.data),
        }
    }
}

/// A statement that is planned once for each connection: pieces of SQL with numbers between them.
struct Fixed {
    pieces: Vec<String>,
    numbers: Vec<i64>,
}

impl Fixed {
    fn new(pieces: Vec<String>, numbers: Vec<i64>) -> Self {
        Self { pieces, numbers }
    }
}

impl QueryId for Fixed {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Fixed {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Fixed {}

impl QueryFragment<Pg> for Fixed {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut numbers = self.numbers.iter();
        for piece in &self.pieces {
            out.push_sql(piece);
            if let Some(number) = numbers.next() {
                out.push_bind_param::<BigInt, _>(number)?;
            }
        }
        Ok(())
    }
}
