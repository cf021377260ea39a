//! The revocations as every replica holds them: in memory, followed by the control channel, asked at every use of a token.

use std::{
    collections::{HashMap, HashSet},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use diesel::{PgConnection, QueryResult};
use tokio::sync::watch;
use uuid::Uuid;

use super::store;

/// Without news for this long, a replica says that it is not ready.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// What of a token can be revoked.
#[derive(Clone, Copy, Debug)]
pub struct Bearer<'a> {
    /// Its session.
    pub session: Uuid,
    /// Its user.
    pub user: Uuid,
    /// The user's epoch that it names.
    pub epoch: i64,
    /// The app it was given to.
    pub client: &'a str,
    /// Its own id.
    pub token: Uuid,
    /// The key that signed it.
    pub key: &'a str,
}

/// The set, how far it has followed the table, and when.
#[derive(Default)]
pub struct Revocations {
    known: RwLock<Known>,
    /// How often something was added, for those who wait for that.
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    dead: Dead,
    /// What committed before this transaction is known.
    horizon: i64,
    /// How often something was added.
    additions: u64,
    reloaded: Option<Instant>,
}

#[derive(Default)]
struct Dead {
    sessions: HashSet<Uuid>,
    users: HashMap<Uuid, i64>,
    clients: HashSet<String>,
    tokens: HashSet<Uuid>,
    keys: HashSet<String>,
}

/// What operators want to know of the set.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Revocations by kind.
    pub entries: [(&'static str, usize); 5],
    /// How long ago it was last compared with the table; `None` before the first time.
    pub age: Option<Duration>,
}

impl Revocations {
    /// Tells whether a token is dead.
    pub fn hold(&self, bearer: &Bearer<'_>) -> bool {
        let dead = &self.read().dead;
        dead.sessions.contains(&bearer.session)
            || dead
                .users
                .get(&bearer.user)
                .is_some_and(|epoch| bearer.epoch < *epoch)
            || dead.tokens.contains(&bearer.token)
            || dead.clients.contains(bearer.client)
            || dead.keys.contains(bearer.key)
    }

    /// Tells whether a token's session, user or app is dead for good, and not this one token only.
    pub fn have_ended(&self, bearer: &Bearer<'_>) -> bool {
        let dead = &self.read().dead;
        dead.sessions.contains(&bearer.session)
            || dead.users.get(&bearer.user) == Some(&i64::MAX)
            || dead.clients.contains(bearer.client)
    }

    /// Tells whether everything that a key has signed is dead, whatever it was for.
    pub fn hold_key(&self, kid: &str) -> bool {
        self.read().dead.keys.contains(kid)
    }

    /// Tells whether the set may be out of date because the database is out of reach.
    pub fn are_lost(&self) -> bool {
        self.are_older_than(LOST_AFTER)
    }

    /// Tells whether the set was not compared with the table for this long.
    pub fn are_older_than(&self, age: Duration) -> bool {
        self.read()
            .reloaded
            .is_none_or(|reloaded| reloaded.elapsed() >= age)
    }

    /// Counts the set and tells its age.
    pub fn status(&self) -> Status {
        let known = self.read();
        let dead = &known.dead;
        Status {
            entries: [
                ("sid", dead.sessions.len()),
                ("user", dead.users.len()),
                ("client", dead.clients.len()),
                ("jti", dead.tokens.len()),
                ("kid", dead.keys.len()),
            ],
            age: known.reloaded.map(|reloaded| reloaded.elapsed()),
        }
    }

    /// Adds what has committed since the last time.
    ///
    /// # Errors
    /// Postgres.
    pub fn follow(&self, conn: &mut PgConnection) -> QueryResult<()> {
        let begun = Instant::now();
        let horizon = self.read().horizon;
        let news = News::since(conn, horizon)?;
        let mut known = self.write();
        known.horizon = news.horizon.max(known.horizon);
        known.add(news.dead);
        known.reloaded = known.reloaded.max(Some(begun));
        self.tell(known.additions);
        Ok(())
    }

    /// Reads everything, as at the start and on a new connection, which may lead to another server. What has expired is
    /// forgotten, unless too much is added meanwhile.
    ///
    /// # Errors
    /// Postgres.
    pub fn read_anew(&self, conn: &mut PgConnection) -> QueryResult<()> {
        for is_last_try in [false, false, true] {
            let begun = Instant::now();
            let additions = self.read().additions;
            let news = News::since(conn, 0)?;
            let mut known = self.write();
            // What somebody added meanwhile may be newer than what was read.
            let is_untouched = known.additions == additions;
            if is_untouched || is_last_try {
                known.horizon = news.horizon;
                if is_untouched {
                    known.dead = news.dead;
                } else {
                    known.add(news.dead);
                }
                known.reloaded = known.reloaded.max(Some(begun));
                // What was replaced may hold what is new, too.
                known.additions += 1;
                self.tell(known.additions);
                break;
            }
        }
        Ok(())
    }

    /// Changes when something may have died.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn tell(&self, additions: u64) {
        self.news.send_if_modified(|known| {
            let is_news = *known != additions;
            *known = additions;
            is_news
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, news: Dead) {
        let before = self.dead.size();
        self.dead.sessions.extend(news.sessions);
        self.dead.clients.extend(news.clients);
        self.dead.tokens.extend(news.tokens);
        self.dead.keys.extend(news.keys);
        let mut is_new = self.dead.size() != before;
        for (user, epoch) in news.users {
            is_new |= self.dead.add_user(user, epoch);
        }
        self.additions += u64::from(is_new);
    }
}

/// What an answer of the table brings.
#[derive(Default)]
struct News {
    horizon: i64,
    dead: Dead,
}

impl News {
    fn since(conn: &mut PgConnection, horizon: i64) -> QueryResult<Self> {
        let mut news = Self::default();
        store::since(conn, horizon, |row| {
            news.horizon = row.horizon;
            if let (Some(kind), Some(id)) = (&row.kind, &row.id) {
                news.dead.add(kind, id, row.epoch);
            }
        })?;
        Ok(news)
    }
}

impl Dead {
    fn add(&mut self, kind: &str, id: &str, epoch: Option<i64>) {
        match (kind, id.parse::<Uuid>(), epoch) {
            ("sid", Ok(id), _) => {
                self.sessions.insert(id);
            }
            ("user", Ok(id), Some(epoch)) => {
                self.add_user(id, epoch);
            }
            ("jti", Ok(id), _) => {
                self.tokens.insert(id);
            }
            ("client", _, _) => {
                self.clients.insert(id.to_owned());
            }
            ("kid", _, _) => {
                self.keys.insert(id.to_owned());
            }
            _ => tracing::error!(kind, id, "a revocation that names nothing"),
        }
    }

    /// Raises a user's first good epoch; tells whether that is news.
    fn add_user(&mut self, user: Uuid, epoch: i64) -> bool {
        let first_good = self.users.entry(user).or_insert(i64::MIN);
        let is_new = epoch > *first_good;
        *first_good = epoch.max(*first_good);
        is_new
    }

    fn size(&self) -> usize {
        self.sessions.len() + self.clients.len() + self.tokens.len() + self.keys.len()
    }
}
