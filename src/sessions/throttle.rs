//! Slowing down guesses: failures are counted in Postgres, so that replicas share them.
//!
//! A try is counted before the password is looked at, and forgiven when it was right; so fifty tries at once count as
//! fifty. After some free failures each one doubles the wait. The account's counter is not the one that its owner meets
//! at an address they have signed in from before: a stranger can't lock anybody out.

use std::net::IpAddr;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, BigInt, Double, Integer, Text},
};

use crate::{
    config::LimitsConfig, db, error::ApiError, network::subscriber, schema::sign_in_throttle,
};

/// Hours after which failures are forgotten.
const FORGET_AFTER_HOURS: i32 = 1;

/// The counters that a try is counted in.
#[derive(Clone, Debug)]
pub struct Counters {
    account: String,
    address: Option<String>,
}

impl Counters {
    /// The counters of an account (its canonical address for mail) at a network address.
    pub fn new(account: &str, address: Option<&str>, familiar: bool) -> Self {
        let network = address.map(network);
        let account = match (&network, familiar) {
            (Some(network), true) => format!("account:{}@{network}", hash(account)),
            _ => format!("account:{}", hash(account)),
        };
        Self {
            account,
            address: network.map(|network| format!("address:{network}")),
        }
    }
}

/// A hash instead of the address, so that the table names nobody.
fn hash(account: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, account.as_bytes()))
}

/// The subscriber whom an address counts for, as text.
fn network(address: &str) -> String {
    match address.parse().map(subscriber) {
        Ok(IpAddr::V6(network)) => format!("{network}/64"),
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_no_address) => address.to_owned(),
    }
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    counted: i64,
}

#[derive(QueryableByName)]
struct Wait {
    #[diesel(sql_type = Double)]
    seconds: f64,
}

/// Counts a try in every counter, or refuses it when one of them says wait.
///
/// # Errors
/// 429 with the seconds to wait.
pub fn take(
    conn: &mut PgConnection,
    counters: &Counters,
    limits: &LimitsConfig,
) -> Result<(), ApiError> {
    if !limits.enabled {
        return Ok(());
    }
    let mut keys = vec![(counters.account.clone(), limits.sign_in_free_per_account)];
    keys.extend(
        counters
            .address
            .clone()
            .map(|address| (address, limits.sign_in_free_per_address)),
    );
    // One order for everyone, or two tries could wait for each other.
    keys.sort_unstable();
    let (keys, free): (Vec<String>, Vec<i32>) = keys.into_iter().unzip();
    db::tx(conn, |conn| {
        let counted: Counted = sql_query(
            "with counted as (
                insert into sign_in_throttle as stored (key, failures, blocked_until, updated_at)
                select key, 1, clock_timestamp(), clock_timestamp() from unnest($1, $2) as given (key, free)
                on conflict (key) do update set
                    failures = case when stored.updated_at < clock_timestamp() - make_interval(hours => $4) then 1
                               else stored.failures + 1 end,
                    blocked_until = clock_timestamp() + case
                        when stored.updated_at < clock_timestamp() - make_interval(hours => $4) then interval '0'
                        else coalesce((
                            select least(power(2, least(stored.failures + 1 - given.free, 30) - 1), $3)
                                * interval '1 second'
                            from unnest($1, $2) as given (key, free)
                            where given.key = stored.key and stored.failures + 1 > given.free
                        ), interval '0') end,
                    updated_at = clock_timestamp()
                where stored.blocked_until <= clock_timestamp()
                returning 1
            )
            select count(*) as counted from counted",
        )
        .bind::<Array<Text>, _>(&keys)
        .bind::<Array<Integer>, _>(&free)
        .bind::<BigInt, _>(limits.sign_in_longest_wait.seconds())
        .bind::<Integer, _>(FORGET_AFTER_HOURS)
        .get_result(conn)?;
        if usize::try_from(counted.counted).is_ok_and(|counted| counted == keys.len()) {
            return Ok(());
        }
        Err(ApiError::too_many_attempts(longest_wait(conn, &keys)?))
    })
}

fn longest_wait(conn: &mut PgConnection, keys: &[String]) -> QueryResult<u64> {
    let wait: Wait = sql_query(
        "select coalesce(max(extract(epoch from blocked_until - clock_timestamp())), 0)::float8 as seconds
         from sign_in_throttle where key = any($1)",
    )
    .bind::<Array<Text>, _>(keys)
    .get_result(conn)?;
    // A wait under a second still says one: `Retry-After: 0` would invite a storm.
    let whole = format!("{:.0}", wait.seconds.ceil());
    Ok(whole.parse::<u64>().unwrap_or(1).max(1))
}

/// Forgives a try that turned out right: the account starts over, the address loses this one failure.
///
/// # Errors
/// Postgres.
pub fn forgive(
    conn: &mut PgConnection,
    counters: &Counters,
    limits: &LimitsConfig,
) -> QueryResult<()> {
    if !limits.enabled {
        return Ok(());
    }
    diesel::delete(sign_in_throttle::table.find(&counters.account)).execute(conn)?;
    if let Some(address) = &counters.address {
        diesel::update(sign_in_throttle::table.find(address))
            .set(sign_in_throttle::failures.eq(sign_in_throttle::failures - 1))
            .execute(conn)?;
    }
    Ok(())
}

/// Forgets counters that nobody has touched for a day, some thousand at a time.
///
/// # Errors
/// Postgres.
pub fn purge(conn: &mut PgConnection) -> QueryResult<usize> {
    sql_query(
        "delete from sign_in_throttle where key in (
            select key from sign_in_throttle where updated_at < clock_timestamp() - interval '1 day'
            order by updated_at limit 10000 for update skip locked)",
    )
    .execute(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pwd_03_addresses_count_by_subscriber() {
        assert_eq!(
            network("2001:db8:1:2:3:4:5:6"),
            network("2001:0db8:0001:0002::1")
        );
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn a_familiar_address_has_a_counter_of_its_own() {
        let stranger = Counters::new("a@b", Some("192.0.2.1"), false);
        let owner = Counters::new("a@b", Some("192.0.2.1"), true);
        assert_ne!(stranger.account, owner.account);
        assert_eq!(
            stranger.account,
            Counters::new("a@b", Some("198.51.100.7"), false).account
        );
    }
}
