//! The pool's connections: how they are opened, and how a broken one is told from a good one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use diesel::{
    Connection, PgConnection,
    connection::{CacheSize, SimpleConnection, TransactionManager, TransactionManagerStatus},
    r2d2::{Error, ManageConnection},
};

/// What a server that has vanished costs at most, unless the address says otherwise: seconds to connect and until a silent
/// connection is probed, milliseconds until unanswered data end it.
const NETWORK_PATIENCE: [(&str, &str); 5] = [
    ("connect_timeout", "2"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "3000"),
];

/// Adds the timeouts to a URI or a list of keywords (libpq, "Connection Strings"); of two values the last one counts.
pub(super) fn with_patience(url: &str) -> String {
    let pairs = |separator: &str| {
        let pairs: Vec<_> = NETWORK_PATIENCE
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join(separator)
    };
    if !url.contains("://") {
        return format!("{} {url}", pairs(" "));
    }
    // A question mark may be part of the password.
    let (user, place) = match url.split_once('@') {
        Some((user, place)) if user.matches('/').count() == 2 => (format!("{user}@"), place),
        _ => (String::new(), url),
    };
    match place.split_once('?') {
        Some((place, rest)) => format!("{user}{place}?{}&{rest}", pairs("&")),
        None => format!("{user}{place}?{}", pairs("&")),
    }
}

/// How often a connection turned out to be broken, or may have.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble(Arc<AtomicU64>);

impl Trouble {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Opens connections, and tries those that have not been tried since there was trouble: when the server ends, all idle
/// ones break together, and asking each of them at every use would cost a round trip.
pub(super) struct Manager {
    url: String,
    cache: bool,
    trouble: Trouble,
}

/// A connection, and when it was last known to be good.
pub(super) struct Lease {
    pub(super) conn: PgConnection,
    good_at: u64,
    is_broken: bool,
    trouble: Trouble,
}

impl Manager {
    pub(super) fn new(url: String, cache: bool) -> Self {
        Self {
            url,
            cache,
            trouble: Trouble::default(),
        }
    }

    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }
}

impl ManageConnection for Manager {
    type Connection = Lease;
    type Error = Error;

    fn connect(&self) -> Result<Lease, Error> {
        let good_at = self.trouble.count();
        let mut conn = PgConnection::establish(&self.url).map_err(Error::ConnectionError)?;
        if self.cache {
            // Compiling takes longer than any statement of ours should.
            conn.batch_execute(
                "set statement_timeout = '5s'; set lock_timeout = '1s'; set timezone = 'UTC'; set jit = off",
            )
            .map_err(Error::QueryError)?;
        } else {
            conn.set_prepared_statement_cache_size(CacheSize::Disabled);
        }
        Ok(Lease {
            conn,
            good_at,
            is_broken: false,
            trouble: self.trouble.clone(),
        })
    }

    fn is_valid(&self, lease: &mut Lease) -> Result<(), Error> {
        let now = self.trouble.count();
        if lease.good_at != now {
            lease
                .conn
                .batch_execute("select 1")
                .map_err(Error::QueryError)?;
            lease.good_at = now;
        }
        Ok(())
    }

    fn has_broken(&self, lease: &mut Lease) -> bool {
        let manager = diesel::connection::AnsiTransactionManager::transaction_manager_status_mut(
            &mut lease.conn,
        );
        lease.is_broken || matches!(manager, TransactionManagerStatus::InError)
    }
}

impl Lease {
    /// Finds out whether it was the connection that failed, after something did.
    pub(super) fn examine(&mut self) {
        if self.conn.batch_execute("select 1").is_err() {
            self.is_broken = true;
            self.trouble.add();
        }
    }
}

/// Reports what r2d2 meets in the background, without the connection string.
#[derive(Debug)]
pub(super) struct LogAsWarning;

impl<E: std::error::Error> diesel::r2d2::HandleError<E> for LogAsWarning {
    fn handle_error(&self, error: E) {
        tracing::warn!(%error, "no connection to the database");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_address_gets_timeouts_that_it_may_override() {
        let ours = "connect_timeout=2&keepalives_idle=5&keepalives_interval=2&keepalives_count=3&tcp_user_timeout=3000";
        for (url, expected) in [
            ("postgres://u:p@h/d", format!("postgres://u:p@h/d?{ours}")),
            (
                "postgres://u:p?w@h1,h2/d?connect_timeout=9",
                format!("postgres://u:p?w@h1,h2/d?{ours}&connect_timeout=9"),
            ),
            (
                "postgres:///d?user=a@b",
                format!("postgres:///d?{ours}&user=a@b"),
            ),
            (
                "host=h user=u",
                format!("{} host=h user=u", ours.replace('&', " ")),
            ),
        ] {
            assert_eq!(with_patience(url), expected);
        }
    }
}
