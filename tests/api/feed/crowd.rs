//! A crowd of sequencers that do nothing else, so that they meet in every place where they can.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::{Duration, Instant},
};

use diesel::{Connection, PgConnection, connection::SimpleConnection};
use secrecy::SecretString;
use tollgate::feed::{Feed, Line, Position};

use super::settle;
use crate::harness::{create_database, query_value};

const SEQUENCERS: usize = 8;
const WRITERS: usize = 4;

#[test]
fn a_crowd_of_sequencers_gives_every_change_one_position() {
    let database = create_database();
    let is_over = AtomicBool::new(false);
    let written = AtomicI64::new(0);
    let feeds: Vec<Feed> = (0..SEQUENCERS).map(|_| Feed::default()).collect();
    std::thread::scope(|scope| {
        for feed in &feeds {
            let (url, is_over) = (SecretString::from(database.as_str()), &is_over);
            scope.spawn(move || {
                let mut over_since = None;
                // Long enough for a look at what it was not told.
                while over_since.is_none_or(|since: Instant| since.elapsed().as_secs() < 2) {
                    let mut line = Line::open(&url, feed).unwrap();
                    // A machine that has too much to do lets statements time out.
                    while line.turn(feed).is_ok()
                        && over_since.is_none_or(|since| since.elapsed().as_secs() < 2)
                    {
                        if over_since.is_none() && is_over.load(Ordering::Relaxed) {
                            over_since = Some(Instant::now());
                        }
                    }
                }
            });
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    feed.poke();
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        }
        for writer in 0..WRITERS {
            let (database, is_over, written) = (&database, &is_over, &written);
            scope.spawn(move || {
                let mut conn = PgConnection::establish(database).unwrap();
                conn.batch_execute("set synchronous_commit = off").unwrap();
                for version in 1.. {
                    // As whoever writes a record first, it has a transaction id before it draws a number.
                    let insert = format!(
                        "with written as materialized (select pg_current_xact_id())
                         insert into outbox (collection, generation, record_id, created_at, version, size)
                         select 1, 1, '00000000-0000-7000-8000-00000000000{writer}', now(), {version}, 0 from written"
                    );
                    conn.batch_execute(&insert).unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_secs(4));
        is_over.store(true, Ordering::Relaxed);
    });
    settle(&database);
    let written = written.into_inner();
    println!("{written} changes");
    let dense = "select concat_ws(' ', count(*), count(distinct position), min(position), max(position), count(distinct (record_id, version))) as value from feed";
    let expected = format!("{written} {written} 1 {written} {written}");
    assert_eq!(query_value(&database, dense), expected);
    let reordered = "select count(*)::text as value from (
        select version, row_number() over (partition by record_id order by position) as number from feed) as changes where version <> number";
    assert_eq!(query_value(&database, reordered), "0");
    let epoch = query_value(&database, "select epoch as value from feed_state");
    for feed in &feeds {
        let head = feed.head();
        assert_eq!((&*head.epoch, head.number), (&*epoch, written));
        let number = (written - 100).max(0);
        let place = Position {
            number,
            ..head.clone()
        };
        let held = feed.since(&place, 1_000).unwrap();
        let held: Vec<_> = held.iter().map(|change| change.position).collect();
        assert_eq!(held, (number + 1..=written).collect::<Vec<_>>());
    }
}
