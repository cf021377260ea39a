//! What is told on channels, in the database.

use std::sync::Arc;

use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text},
};

use super::{ChannelName, Entry, Kind, Past, Since, entry::Draft, past::Kept};

/// The channel of Postgres on which replicas hear that something was told.
pub(super) const WORD: &str = "tollgate_channels";

/// Seconds that everything stays, kept or not: each replica has to read it before.
pub(super) const SHORT: u64 = 60;

/// Entries that are read together.
pub(super) const TOGETHER: i64 = 500;

/// Publications that one answer holds, or somebody is told who comes back.
const MOST_READ: usize = 10_000;

/// How far the order of publications is.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Head {
    #[diesel(sql_type = Text)]
    pub epoch: String,
    #[diesel(sql_type = BigInt)]
    pub position: i64,
    /// The last place that somebody can come back to who knows a later one.
    #[diesel(sql_type = BigInt)]
    pub floor: i64,
}

impl Head {
    /// Whether everything is there that came after a place.
    fn reaches(&self, since: &Since) -> bool {
        since.epoch == self.epoch && (self.floor..=self.position).contains(&since.offset)
    }
}

/// Reads how far it is; a restored database gets a new epoch with the feed's.
pub(super) fn head(conn: &mut PgConnection) -> QueryResult<Head> {
    head_of(conn, "")
}

/// The same, with what was dropped of one channel.
fn head_of(conn: &mut PgConnection, channel: &str) -> QueryResult<Head> {
    diesel::sql_query(
        "select epoch, channel_state.position as position, greatest(channel_state.floor, \
         (select position from channel_floors where channel = $1)) as floor from channel_state, feed_state",
    )
    .bind::<Text, _>(channel)
    .get_result(conn)
}

/// Writes some down, in the order that they are told in; the place of the last. In one statement, so that the lock which orders
/// them is held no longer than their commit takes. What is acknowledged outlives a crash.
pub(super) fn insert(conn: &mut PgConnection, drafts: &[&Draft]) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Last {
        #[diesel(sql_type = BigInt)]
        position: i64,
    }
    fn all<'a, T>(drafts: &[&'a Draft], of: impl Fn(&'a Draft) -> T) -> Vec<T> {
        drafts.iter().map(|draft| of(draft)).collect()
    }
    let insert = format!(
        "with head as (update channel_state set position = position + cardinality($1) returning position), \
         new as (insert into channel_entries (position, channel, kind, is_kept, data, info, expires_at) \
         select head.position - cardinality($1) + number, channel, kind, age is not null, data, info, \
         clock_timestamp() + make_interval(secs => coalesce(age, {SHORT})) \
         from head, unnest($1, $2, $3, $4, $5) with ordinality as drafts (channel, kind, data, info, age, number)) \
         select position, pg_notify('{WORD}', position::text) as told, case when current_setting('synchronous_commit') = 'off' \
         then set_config('synchronous_commit', 'local', true) end as lasts from head"
    );
    let last: Last = diesel::sql_query(insert)
        .bind::<Array<Text>, _>(all(drafts, |draft| draft.channel.as_ref()))
        .bind::<Array<Integer>, _>(all(drafts, |draft| draft.kind.number()))
        .bind::<Array<Nullable<Text>>, _>(all(drafts, |draft| draft.data.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(all(drafts, |draft| draft.info.as_deref()))
        .bind::<Array<Nullable<BigInt>>, _>(all(drafts, |draft| draft.age))
        .get_result(conn)?;
    Ok(last.position)
}

/// Reads what was told after a place, in its order.
pub(super) fn read(conn: &mut PgConnection, after: i64) -> QueryResult<Vec<Entry>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        position: i64,
        #[diesel(sql_type = Text)]
        channel: String,
        #[diesel(sql_type = Integer)]
        kind: i32,
        #[diesel(sql_type = Bool)]
        is_kept: bool,
        #[diesel(sql_type = Nullable<Text>)]
        data: Option<String>,
        #[diesel(sql_type = Nullable<Text>)]
        info: Option<String>,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "select position, channel, kind, is_kept, data, info from channel_entries where position > $1 order by position limit $2",
    )
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(TOGETHER)
    .load(conn)?;
    let entry = |row: Row| Entry {
        position: row.position,
        channel: row.channel,
        kind: Kind::of_number(row.kind),
        is_kept: row.is_kept,
        data: row.data,
        info: row.info,
    };
    Ok(rows.into_iter().map(entry).collect())
}

/// Reads what a channel has kept: the first after a place; without one the last, or with `limit` 0 only how far it is. `None` where
/// not everything is there that came after the place.
pub(super) fn history(
    conn: &mut PgConnection,
    channel: &ChannelName,
    size: u32,
    since: Option<&Since>,
    limit: usize,
) -> QueryResult<Option<Past>> {
    let head = head(conn)?;
    let limit = limit.min(MOST_READ);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let publications = match since {
        _ if limit == 0 => Vec::new(),
        Some(since) => first(conn, channel, since.offset, head.position, limit)?,
        None => last(conn, channel, limit.min(size.into()))?,
    };
    // Afterwards: what is dropped after it was read is not missed.
    if let Some(since) = since
        && !head_of(conn, channel.as_ref())?.reaches(since)
    {
        return Ok(None);
    }
    Ok(Some(Past {
        epoch: Arc::from(head.epoch),
        head: head.position,
        publications,
    }))
}

/// Reads all that came after one place and until another; `None` where something of it is missing, or it is too much.
pub(super) fn missed(
    conn: &mut PgConnection,
    channel: &ChannelName,
    since: &Since,
    until: i64,
) -> QueryResult<Option<Vec<Kept>>> {
    let limit = i64::try_from(MOST_READ).unwrap_or(i64::MAX);
    let publications = first(conn, channel, since.offset, until, limit + 1)?;
    let is_whole =
        head_of(conn, channel.as_ref())?.reaches(since) && publications.len() <= MOST_READ;
    Ok(is_whole.then_some(publications))
}

fn first(
    conn: &mut PgConnection,
    channel: &ChannelName,
    after: i64,
    until: i64,
    limit: i64,
) -> QueryResult<Vec<Kept>> {
    diesel::sql_query(
        "select position, data, info, at from channel_entries where is_kept and channel = $1 and position > $2 \
         and position <= $3 order by position limit $4",
    )
    .bind::<Text, _>(channel.as_ref())
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(until)
    .bind::<BigInt, _>(limit)
    .load(conn)
}

fn last(conn: &mut PgConnection, channel: &ChannelName, limit: i64) -> QueryResult<Vec<Kept>> {
    let mut publications: Vec<Kept> = diesel::sql_query(
        "select position, data, info, at from channel_entries where is_kept and channel = $1 \
         and expires_at > clock_timestamp() order by position desc limit $2",
    )
    .bind::<Text, _>(channel.as_ref())
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    publications.reverse();
    Ok(publications)
}
