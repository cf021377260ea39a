//! The days of the feed: made ahead, and dropped when they are old.

use chrono::TimeDelta;
use diesel::{
    connection::SimpleConnection,
    prelude::*,
    sql_types::{BigInt, Double, Text},
};

use super::store::SEQUENCER;

/// Changes that are deleted together, where they can't be dropped by the day.
const BATCH: usize = 5_000;

/// How often that is done at a time: it happens again soon.
const MOST_BATCHES: usize = 10;

/// A day that is to be made or dropped.
#[derive(QueryableByName)]
struct Day {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    begins: String,
    #[diesel(sql_type = Text)]
    ends: String,
}

/// The days that are not there and could be: one can't be made for which changes lie in the rest.
const MISSING: &str = "select 'd' || to_char(day, 'YYYYMMDD') as name, to_char(day, 'YYYY-MM-DD') as begins, to_char(day + 1, 'YYYY-MM-DD') as ends \
     from (select (clock_timestamp() at time zone 'utc')::date + ahead as day from generate_series(0, 1) as ahead) as days \
     where to_regclass('tollgate_feed.d' || to_char(day, 'YYYYMMDD')) is null and not exists ( \
         select from tollgate_feed.rest where at >= day::timestamp at time zone 'utc' and at < (day + 1)::timestamp at time zone 'utc')";

/// The days whose changes are all older than so many seconds.
const OLD: &str = "select relname::text as name, '' as begins, '' as ends from pg_class \
     join pg_inherits on inhrelid = pg_class.oid and inhparent = 'feed'::regclass where relname ~ '^d[0-9]{8}$' \
     and (to_date(substr(relname, 2), 'YYYYMMDD') + 1)::timestamp at time zone 'utc' <= clock_timestamp() - make_interval(secs => $1) \
     order by relname";

/// Makes today and tomorrow where they are missing, and drops what is older than `retention`.
///
/// # Errors
/// Postgres; also when others hold the feed for longer than one waits for a lock.
pub fn keep(conn: &mut PgConnection, retention: TimeDelta) -> QueryResult<()> {
    conn.transaction(|conn| {
        hold(conn)?;
        let missing: Vec<Day> = diesel::sql_query(MISSING).load(conn)?;
        for Day { name, begins, ends } in missing {
            conn.batch_execute(&format!(
                "create table tollgate_feed.{name} partition of feed for values from ('{begins} 00:00:00+00') to ('{ends} 00:00:00+00')"
            ))?;
        }
        QueryResult::Ok(())
    })?;
    let seconds = retention.as_seconds_f64();
    let old: Vec<Day> = diesel::sql_query(OLD)
        .bind::<Double, _>(seconds)
        .load(conn)?;
    for Day { name, .. } in old {
        conn.transaction(|conn| {
            hold(conn)?;
            raise_floor(conn, &format!("select position from tollgate_feed.{name}"))?;
            conn.batch_execute(&format!("drop table tollgate_feed.{name}"))
        })?;
    }
    for _ in 0..MOST_BATCHES {
        let deleted = conn.transaction(|conn| {
            hold(conn)?;
            delete_old(conn, seconds)
        })?;
        if deleted < BATCH {
            break;
        }
    }
    Ok(())
}

/// Deletes the first of what is old and lies in no day of its own; tells how many.
fn delete_old(conn: &mut PgConnection, seconds: f64) -> QueryResult<usize> {
    let deleted = diesel::sql_query(format!(
        "with first as (select position from tollgate_feed.rest where at <= now() - make_interval(secs => $1) order by position limit {BATCH}), \
         gone as (delete from tollgate_feed.rest where position in (select position from first) returning position), \
         state as (update feed_state set floor = greatest(floor, (select max(position) from gone))) \
         select position from gone"
    ));
    deleted.bind::<Double, _>(seconds).execute(conn)
}

/// Lets nobody give positions until the caller's transaction ends, so that the feed's locks are free but for short reads.
fn hold(conn: &mut PgConnection) -> QueryResult<()> {
    diesel::sql_query("select pg_advisory_xact_lock($1)")
        .bind::<BigInt, _>(SEQUENCER)
        .execute(conn)?;
    Ok(())
}

/// Writes down that these positions can't be read any more.
fn raise_floor(conn: &mut PgConnection, positions: &str) -> QueryResult<()> {
    conn.batch_execute(&format!(
        "update feed_state set floor = greatest(floor, (select max(position) from ({positions}) as dropped))"
    ))
}
