//! Dropping what channels keep no longer.

use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Text},
};

use super::{ChannelName, store};

/// Entries that are dropped together.
const BATCH: usize = 2_000;

/// How often that is done at a time: it happens again soon.
const MOST_BATCHES: usize = 20;

/// Entries that a hundred channels lose at a time.
const MOST_TRIMMED: i64 = 20_000;

/// Channels of which is remembered where their histories begin.
const MOST_FLOORS: u32 = 1_000_000;

/// Deletes entries, and remembers of each channel up to where its history is gone.
const DROP: &str = "delete from channel_entries where position in (select position from old) returning channel, position, is_kept), \
     floors as (insert into channel_floors (channel, position) select channel, max(position) from gone where is_kept group by channel order by channel \
     on conflict (channel) do update set position = greatest(channel_floors.position, excluded.position), at = clock_timestamp()), \
     state as (update channel_state set dropped = greatest(dropped, (select max(position) from gone)) where exists (select from gone)) \
     select count(*) as count from gone";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Drops what has expired.
pub(super) fn drop_expired(conn: &mut PgConnection) -> QueryResult<()> {
    for _ in 0..MOST_BATCHES {
        let gone: Count = diesel::sql_query(format!(
            "with old as (select position from channel_entries where expires_at < clock_timestamp() \
             order by expires_at limit {BATCH} for update skip locked), gone as ({DROP}"
        ))
        .get_result(conn)?;
        if usize::try_from(gone.count).unwrap_or_default() < BATCH {
            break;
        }
    }
    Ok(())
}

/// Drops what channels have kept beyond so many publications, but for what other replicas may not have read yet; tells whether that
/// is all.
pub(super) fn trim(conn: &mut PgConnection, sizes: &[(ChannelName, u32)]) -> QueryResult<bool> {
    let mut is_whole = true;
    for channels in sizes.chunks(100) {
        let names: Vec<_> = channels.iter().map(|(name, _)| name.as_ref()).collect();
        let sizes: Vec<_> = channels.iter().map(|(_, size)| i64::from(*size)).collect();
        let gone: Count = diesel::sql_query(format!(
            "with old as (select entry.position from unnest($1, $2) as kept (channel, size) \
             cross join lateral (select position from channel_entries where is_kept and channel = kept.channel \
                 order by position desc offset kept.size limit 1) as last \
             join channel_entries entry on entry.is_kept and entry.channel = kept.channel and entry.position <= last.position \
             where entry.at < clock_timestamp() - interval '{} s' limit {MOST_TRIMMED} for update of entry skip locked), gone as ({DROP}",
            store::SHORT
        ))
        .bind::<Array<Text>, _>(names)
        .bind::<Array<BigInt>, _>(sizes)
        .get_result(conn)?;
        is_whole &= gone.count < MOST_TRIMMED;
    }
    Ok(is_whole)
}

/// Forgets where histories began long ago, or of very many channels: who knows a place before that can't come back to it on any.
pub(super) fn forget_floors(conn: &mut PgConnection) -> QueryResult<()> {
    for _ in 0..MOST_BATCHES {
        let gone: Count = diesel::sql_query(format!(
            "with old as (select channel from channel_floors where at < clock_timestamp() - interval '30 days' \
                 or (select reltuples from pg_class where oid = 'channel_floors'::regclass) > {MOST_FLOORS} \
                 order by at limit {BATCH} for update skip locked), \
             gone as (delete from channel_floors where channel in (select channel from old) returning position), \
             state as (update channel_state set floor = greatest(floor, (select max(position) from gone)) where exists (select from gone)) \
             select count(*) as count from gone"
        ))
        .get_result(conn)?;
        if usize::try_from(gone.count).unwrap_or_default() < BATCH {
            break;
        }
    }
    Ok(())
}
