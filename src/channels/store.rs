//! What is told on channels, in the database.

use std::sync::Arc;

use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Text},
};

use super::{
    ChannelName, Entry, Kind,
    entry::Draft,
    past::{Asked, Kept, Past, Since},
};

/// The channel of Postgres on which replicas hear that something was told.
pub(super) const WORD: &str = "tollgate_channels";

/// Seconds that everything stays, kept or not: each replica has to read it before.
pub(super) const SHORT: u64 = 60;

/// Entries that are read together.
pub(super) const TOGETHER: i64 = 500;

/// Publications that somebody is told who comes back.
const MOST_MISSED: usize = 10_000;

/// Bytes of what one answer holds.
const MOST_BYTES: i64 = 4_194_304;

/// How far the order of publications is.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct Head {
    #[diesel(sql_type = Text)]
    pub epoch: String,
    #[diesel(sql_type = BigInt)]
    pub position: i64,
    /// What comes after it was not dropped, of one channel.
    #[diesel(sql_type = BigInt)]
    pub floor: i64,
    /// The last of all that was.
    #[diesel(sql_type = BigInt)]
    pub dropped: i64,
}

impl Head {
    /// Whether everything is there that came after a place.
    fn reaches(&self, since: &Since) -> bool {
        since.epoch == self.epoch && (self.floor..=self.position).contains(&since.offset)
    }
}

/// Where something was told.
#[derive(Clone, Debug, Default, QueryableByName)]
pub struct Posted {
    /// The order whose place it is.
    #[diesel(sql_type = Text)]
    pub epoch: String,
    /// The place; 0 of nothing.
    #[diesel(sql_type = BigInt)]
    pub offset: i64,
}

/// Reads how far it is; a restored database gets a new epoch with the feed's.
pub(super) fn head(conn: &mut PgConnection) -> QueryResult<Head> {
    head_of(conn, "")
}

/// The same, with what was dropped of one channel.
fn head_of(conn: &mut PgConnection, channel: &str) -> QueryResult<Head> {
    diesel::sql_query(
        "select epoch, channel_state.position as position, greatest(channel_state.floor, \
         (select position from channel_floors where channel = $1)) as floor, dropped from channel_state, feed_state",
    )
    .bind::<Text, _>(channel)
    .get_result(conn)
}

/// Writes some down, in the order that they are told in; the place of the last, and of what order. In one statement, so that the lock which orders
/// them is held no longer than their commit takes. What is acknowledged outlives a crash.
pub(super) fn insert(conn: &mut PgConnection, drafts: &[&Draft]) -> QueryResult<Posted> {
    if drafts.is_empty() {
        return Ok(Posted::default());
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
         select (select epoch from feed_state) as epoch, position as offset, pg_notify('{WORD}', position::text) as told, case when current_setting('synchronous_commit') = 'off' \
         then set_config('synchronous_commit', 'local', true) end as lasts from head"
    );
    diesel::sql_query(insert)
        .bind::<Array<Text>, _>(all(drafts, |draft| draft.channel.as_ref()))
        .bind::<Array<Integer>, _>(all(drafts, |draft| draft.kind.number()))
        .bind::<Array<Nullable<Text>>, _>(all(drafts, |draft| draft.data.as_deref()))
        .bind::<Array<Nullable<Text>>, _>(all(drafts, |draft| draft.info.as_deref()))
        .bind::<Array<Nullable<BigInt>>, _>(all(drafts, |draft| draft.age))
        .get_result(conn)
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

/// Reads what a channel has kept of the last `size`: what comes after a place, from the beginning without one; or the other way
/// round what came before it, from the end. At most so many; how far it is with 0. `None` where not everything is there that came
/// after the place.
pub(super) fn history(
    conn: &mut PgConnection,
    channel: &ChannelName,
    size: u32,
    asked: &Asked,
) -> QueryResult<Option<Past>> {
    let mut head = head(conn)?;
    let since = asked.since.as_ref().map(|since| since.offset);
    let (before, order) = match asked.is_reverse {
        true => (since.unwrap_or(i64::MAX), "desc"),
        false => (i64::MAX, "asc"),
    };
    // What comes after a place is all that was not dropped.
    let (after, limited) = match since.filter(|_since| !asked.is_reverse) {
        Some(since) => (since.to_string(), "true"),
        None => (
            format!(
                "coalesce((select position from channel_entries where is_kept and channel = $1 and position <= $2 \
                 order by position desc offset {size} limit 1), 0)"
            ),
            "expires_at > clock_timestamp()",
        ),
    };
    let page = format!(
        "select position, data, info, at from channel_entries where is_kept and channel = $1 and position <= $2 and position < $3 \
         and position > {after} and {limited} order by position {order} limit $4"
    );
    let rows: Vec<Row> = diesel::sql_query(within_bytes(&page, order))
        .bind::<Text, _>(channel.as_ref())
        .bind::<BigInt, _>(head.position)
        .bind::<BigInt, _>(before)
        .bind::<BigInt, _>(asked.limit)
        .load(conn)?;
    // Afterwards: what is dropped after it was read is not missed.
    if let Some(since) = &asked.since {
        let now = head_of(conn, channel.as_ref())?;
        let is_there = match asked.is_reverse {
            true => since.epoch == now.epoch,
            false => now.reaches(since),
        };
        if !is_there {
            return Ok(None);
        }
    }
    if !asked.is_reverse
        && !is_whole(&rows)
        && let Some(last) = rows.last()
    {
        // There is more, but not here.
        head.position = last.kept.position;
    }
    Ok(Some(Past {
        epoch: Arc::from(head.epoch),
        head: head.position,
        publications: rows.into_iter().map(|row| row.kept).collect(),
    }))
}

/// A publication of a page, and how many the page would have.
#[derive(QueryableByName)]
struct Row {
    #[diesel(embed)]
    kept: Kept,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// The statement that reads of a page what one answer may hold, and at least the first.
fn within_bytes(page: &str, order: &str) -> String {
    format!(
        "select position, data, info, at, count from (select *, count(*) over () as count, \
         sum(octet_length(data)) over (order by position {order}) as total from ({page}) as page) as page \
         where total - octet_length(data) < {MOST_BYTES} order by position {order}"
    )
}

/// Whether that is the whole page.
fn is_whole(rows: &[Row]) -> bool {
    let count = rows.first().map_or(0, |row| row.count);
    usize::try_from(count) == Ok(rows.len())
}

/// Reads all that was kept after one place and until another; `None` where something of it is missing, or it is too much.
pub(super) fn missed(
    conn: &mut PgConnection,
    channel: &ChannelName,
    since: &Since,
    until: i64,
) -> QueryResult<Option<Vec<Kept>>> {
    let page = format!(
        "select position, data, info, at from channel_entries where is_kept and channel = $1 and position > $2 \
         and position <= $3 order by position limit {MOST_MISSED} + 1"
    );
    let rows: Vec<Row> = diesel::sql_query(within_bytes(&page, "asc"))
        .bind::<Text, _>(channel.as_ref())
        .bind::<BigInt, _>(since.offset)
        .bind::<BigInt, _>(until)
        .load(conn)?;
    let is_all = is_whole(&rows) && rows.len() <= MOST_MISSED;
    // Afterwards, as above.
    let is_there = is_all && head_of(conn, channel.as_ref())?.reaches(since);
    Ok(is_there.then(|| rows.into_iter().map(|row| row.kept).collect()))
}
