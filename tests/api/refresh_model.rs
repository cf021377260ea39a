//! The table of refreshing against a model of it: tabs, lost answers, crashes, a thief, a clock that jumps.
//!
//! The statement runs on real Postgres, whose clock the test sets: `clock_timestamp()` is found in a schema of the test's own. What
//! must hold: (a) who is not robbed is never signed out; (b) a token that two hold ends the session as soon as that shows;
//! (c) of every generation there is one refresh token, byte for byte.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use diesel::{Connection, PgConnection, connection::SimpleConnection};
use proptest::{prelude::*, test_runner::TestRunner};
use secrecy::SecretString;
use tokio::runtime::Runtime;
use tollgate::{
    audit::Actor,
    config::Config,
    db::Db,
    sessions::{self, Desk, Lifetimes, Pair, Rules, Wish, refresh, sign_in},
    start::{self, Database},
    tokens::{Refusal, Tokens},
    users::{Email, NewUser, Verdict},
};

use crate::harness::{MASTER_KEY, PASSWORD, create_database, query_value};

const ISSUER: &str = "http://localhost:8080";
const EMAIL: &str = "ada@example.com";

/// Seconds that the access token in the test may be used for; longer than any step that is meant to be short.
const ACCESS_LIFETIME: i64 = 3_600;

/// Seconds that pass at once.
const WAITS: &[i64] = &[1, 15, 30, 32, 700, 86_400 * 9];

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The app refreshes with what it has stored; the answer may get lost.
    Refresh { replica: usize, lost: bool },
    /// A tab sends what is stored just now; it arrives later.
    Send,
    /// What the tab sent arrives, if that is no later than a tab's request may be.
    Arrive { replica: usize },
    /// The app uses its access token.
    Use { replica: usize },
    /// A thief copies the stored refresh token.
    Steal,
    /// The thief refreshes with what he has.
    ThiefRefresh { replica: usize },
    /// The thief uses his access token.
    ThiefUse { replica: usize },
    /// A replica writes down which generations it saw in use.
    Flush { replica: usize },
    /// A replica is killed and started again.
    Crash { replica: usize },
    /// Time passes.
    Wait { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let replica = 0..2_usize;
    prop_oneof![
        4 => (replica.clone(), any::<bool>()).prop_map(|(replica, lost)| Step::Refresh { replica, lost }),
        1 => Just(Step::Send),
        1 => replica.clone().prop_map(|replica| Step::Arrive { replica }),
        4 => replica.clone().prop_map(|replica| Step::Use { replica }),
        1 => Just(Step::Steal),
        2 => replica.clone().prop_map(|replica| Step::ThiefRefresh { replica }),
        1 => replica.clone().prop_map(|replica| Step::ThiefUse { replica }),
        4 => replica.clone().prop_map(|replica| Step::Flush { replica }),
        1 => replica.prop_map(|replica| Step::Crash { replica }),
        5 => prop::sample::select(WAITS)
            .prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A step, or several that chance alone would seldom put in this order: somebody else's request crosses one that is used.
fn story() -> impl Strategy<Value = Vec<Step>> {
    let crossing = (any::<bool>(), 0..2_usize, prop::sample::select(WAITS)).prop_map(
        |(is_thief, replica, seconds)| {
            let begin = if is_thief { Step::Steal } else { Step::Send };
            let end = if is_thief {
                Step::ThiefRefresh { replica }
            } else {
                Step::Arrive { replica }
            };
            let refresh = Step::Refresh {
                replica,
                lost: false,
            };
            let (used, flush) = (Step::Use { replica }, Step::Flush { replica });
            vec![begin, refresh, used, flush, Step::Wait { seconds }, end]
        },
    );
    prop_oneof![
        9 => step().prop_map(|step| vec![step]),
        1 => crossing,
    ]
}

/// A pair as somebody holds it.
#[derive(Clone)]
struct Held {
    refresh: String,
    access: String,
    generation: i64,
    since: DateTime<Utc>,
    expires: DateTime<Utc>,
}

/// What the table says of a session, worked out without the statement.
struct Table {
    generation: i64,
    /// When the 30 seconds began in which tabs may ask.
    open_since: DateTime<Utc>,
    expires: DateTime<Utc>,
    absolute: DateTime<Utc>,
    used: i64,
    is_dead: bool,
}

#[derive(Debug, PartialEq)]
enum Verdicts {
    Next,
    Again,
    Lost,
    Theft,
    Gone,
    /// Between the 30 seconds that are promised and the second that whole seconds add.
    Either,
}

impl Table {
    fn judge(&self, held: &Held, now: DateTime<Utc>) -> Verdicts {
        let behind = self.generation - held.generation;
        let late = (now - self.open_since).num_seconds();
        if self.is_dead || now >= self.expires || now >= held.expires {
            return Verdicts::Gone;
        }
        match behind {
            0 => Verdicts::Next,
            1 if self.used < self.generation => Verdicts::Lost,
            1 if late <= 30 => Verdicts::Again,
            1 if late <= 31 => Verdicts::Either,
            _ => Verdicts::Theft,
        }
    }
}

struct World {
    conn: PgConnection,
    db: Db,
    runtime: Runtime,
    database: String,
    tokens: [Tokens; 2],
    /// Generations that were used and not written down yet, by replica.
    noted: [HashMap<uuid::Uuid, i64>; 2],
    lifetimes: Lifetimes,
    now: DateTime<Utc>,
    session: Session,
    tab: Option<Held>,
    thief: Option<Held>,
    is_robbed: bool,
}

/// A session as the test knows it.
struct Session {
    id: uuid::Uuid,
    table: Table,
    /// What the app has stored.
    app: Held,
    /// The refresh token of every generation.
    issued: BTreeMap<i64, String>,
}

fn open(
    conn: &mut PgConnection,
    tokens: &Tokens,
    lifetimes: Lifetimes,
    now: DateTime<Utc>,
) -> Session {
    let rules = Rules {
        lifetimes,
        tokens: tokens.clone(),
    };
    let (limits, wish, actor) = (limits(), Wish::default(), actor("app"));
    let email: Email = EMAIL.parse().unwrap();
    let attempt = sign_in::begin(conn, &email, &actor, &limits).unwrap();
    let verdict = Verdict {
        matches: true,
        upgrade: None,
    };
    let pair = sign_in::finish(conn, attempt, &verdict, &wish, &actor, &rules, &limits).unwrap();
    let expires = now + TimeDelta::seconds(lifetimes.idle);
    Session {
        id: pair.session_id,
        table: Table {
            generation: 0,
            open_since: now,
            expires,
            absolute: now + TimeDelta::seconds(lifetimes.absolute),
            used: -1,
            is_dead: false,
        },
        app: Held {
            refresh: pair.refresh_token.clone(),
            access: pair.access_token,
            generation: 0,
            since: now,
            expires,
        },
        issued: BTreeMap::from([(0, pair.refresh_token)]),
    }
}

fn tokens(database: &str) -> Tokens {
    let lifetime = format!("{ACCESS_LIFETIME}s");
    let environment = [
        ("TOLLGATE_MASTER_KEY", MASTER_KEY),
        ("TOLLGATE_ISSUER", ISSUER),
        // The quickest to sign.
        ("TOLLGATE_TOKENS__ALGORITHM", "EdDSA"),
        ("TOLLGATE_TOKENS__ACCESS_LIFETIME", &lifetime),
    ];
    let pairs = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::from_sources("", pairs.into_iter()).unwrap();
    let url = SecretString::from(database);
    let database = Database {
        url,
        direct_url: None,
        private: None,
    };
    start::tokens(&config, ISSUER, &database).unwrap()
}

fn actor(name: &str) -> Actor {
    Actor {
        user_agent: Some(name.to_owned()),
        ..Actor::default()
    }
}

impl World {
    fn new(database: &str, tokens: [Tokens; 2]) -> Self {
        let mut conn = PgConnection::establish(&with_clock(database)).unwrap();
        let now = Utc::now().duration_trunc(TimeDelta::seconds(1)).unwrap();
        set_clock(&mut conn, now);
        let lifetimes = Lifetimes {
            idle: 86_400 * 30,
            absolute: 86_400 * 90,
        };
        let session = open(&mut conn, &tokens[0], lifetimes, now);
        Self {
            conn,
            db: Db::new(&with_clock(database), 1, true).unwrap(),
            runtime: Runtime::new().unwrap(),
            database: database.to_owned(),
            tokens,
            noted: Default::default(),
            lifetimes,
            now,
            session,
            tab: None,
            thief: None,
            is_robbed: false,
        }
    }

    /// Signs in again after the session has ended.
    fn sign_in(&mut self) {
        self.session = open(&mut self.conn, &self.tokens[0], self.lifetimes, self.now);
        (self.tab, self.thief, self.is_robbed) = (None, None, false);
    }

    /// Presents a refresh token and holds the answer against the table.
    fn present(
        &mut self,
        replica: usize,
        held: &Held,
        who: &str,
    ) -> Result<Option<Held>, TestCaseError> {
        let expected = self.session.table.judge(held, self.now);
        let outcome = self.ask(replica, &held.refresh, who);
        let allowed = match &outcome {
            Some(_) => matches!(
                expected,
                Verdicts::Next | Verdicts::Again | Verdicts::Lost | Verdicts::Either
            ),
            None => matches!(
                expected,
                Verdicts::Theft | Verdicts::Gone | Verdicts::Either
            ),
        };
        prop_assert!(
            allowed,
            "{who} got {} where the table says {expected:?}",
            outcome.is_some()
        );
        if expected == Verdicts::Next {
            self.session.table.generation += 1;
            self.session.table.open_since = self.now;
            let idle = self.now + TimeDelta::seconds(self.lifetimes.idle);
            self.session.table.expires = idle.min(self.session.table.absolute);
        }
        if expected == Verdicts::Lost {
            self.session.table.open_since = self.now;
        }
        let Some(pair) = outcome else {
            if expected != Verdicts::Gone {
                prop_assert!(
                    self.is_robbed,
                    "(a) nobody was robbed and {who} is signed out"
                );
                prop_assert!(
                    self.is_ended(),
                    "(b) two hold one token and the session lives"
                );
                self.session.table.is_dead = true;
            }
            return Ok(None);
        };
        let first = self
            .session
            .issued
            .entry(self.session.table.generation)
            .or_insert_with(|| pair.refresh_token.clone());
        prop_assert_eq!(
            &*first,
            &pair.refresh_token,
            "(c) two tokens of one generation"
        );
        Ok(Some(Held {
            refresh: pair.refresh_token,
            access: pair.access_token,
            generation: self.session.table.generation,
            since: self.now,
            expires: self.session.table.expires,
        }))
    }

    fn ask(&mut self, replica: usize, token: &str, who: &str) -> Option<Pair> {
        let tokens = self.tokens[replica].clone();
        let desk = Desk::new(self.db.clone(), tokens.clone());
        let presented = tokens.verify_refresh(token, self.now).ok()?;
        let rules = Rules {
            lifetimes: self.lifetimes,
            tokens,
        };
        let (wish, actor) = (Wish::default(), actor(who));
        let refreshed = refresh::refresh(&desk, &self.db, presented, &wish, &rules, &actor);
        self.runtime.block_on(refreshed).ok()
    }

    fn is_ended(&self) -> bool {
        let sql = format!(
            "select coalesce(end_reason, 'alive') as value from sessions where id = '{}'",
            self.session.id
        );
        query_value(&self.database, &sql) == "refresh_token_reused"
    }

    /// Uses an access token that has not expired.
    fn use_token(&mut self, replica: usize, held: &Held) {
        if (self.now - held.since).num_seconds() >= ACCESS_LIFETIME {
            return;
        }
        match self.tokens[replica].verify_access(&held.access, Utc::now()) {
            Ok(_) => {}
            Err(Refusal::Revoked) if self.session.table.is_dead => return,
            Err(refusal) => panic!("{refusal}"),
        }
        let newest = self.noted[replica].entry(self.session.id).or_insert(-1);
        *newest = held.generation.max(*newest);
    }

    fn flush(&mut self, replica: usize) {
        let taken = self.tokens[replica].take_uses();
        sessions::acknowledge(&mut self.conn, &taken).unwrap();
        if let Some(noted) = self.noted[replica].remove(&self.session.id)
            && !self.session.table.is_dead
        {
            self.session.table.used = noted.max(self.session.table.used);
        }
    }

    fn take(&mut self, step: Step, fresh: &dyn Fn() -> Tokens) -> Result<(), TestCaseError> {
        match step {
            Step::Refresh { replica, lost } => {
                let held = self.session.app.clone();
                match self.present(replica, &held, "app")? {
                    Some(next) if !lost => self.session.app = next,
                    Some(_) => {}
                    None => self.sign_in(),
                }
            }
            Step::Send => {
                self.tab = Some(Held {
                    since: self.now,
                    ..self.session.app.clone()
                })
            }
            Step::Arrive { replica } => {
                let Some(held) = self.tab.take() else {
                    return Ok(());
                };
                // What the promise is about: within 30 s, and no more than one rotation overtook it.
                let late = (self.now - held.since).num_seconds() > 30;
                if late || self.session.table.generation > held.generation + 1 {
                    return Ok(());
                }
                if let Some(next) = self.present(replica, &held, "tab")?
                    && next.generation >= self.session.app.generation
                {
                    self.session.app = next;
                }
            }
            Step::Use { replica } => {
                let held = self.session.app.clone();
                self.use_token(replica, &held);
            }
            Step::Steal => {
                self.is_robbed = true;
                self.thief = Some(self.session.app.clone());
            }
            Step::ThiefRefresh { replica } => {
                if let Some(held) = self.thief.clone()
                    && let Some(next) = self.present(replica, &held, "thief")?
                {
                    self.thief = Some(next);
                }
            }
            Step::ThiefUse { replica } => {
                if let Some(held) = self.thief.clone() {
                    self.use_token(replica, &held);
                }
            }
            Step::Flush { replica } => self.flush(replica),
            Step::Crash { replica } => {
                self.tokens[replica] = fresh();
                self.noted[replica].clear();
            }
            Step::Wait { seconds } => {
                self.now += TimeDelta::seconds(seconds);
                set_clock(&mut self.conn, self.now);
            }
        }
        Ok(())
    }
}

fn set_clock(conn: &mut PgConnection, now: DateTime<Utc>) {
    conn.batch_execute(&format!(
        "update model.clock set now = '{}'",
        now.to_rfc3339()
    ))
    .unwrap();
}

fn limits() -> tollgate::config::LimitsConfig {
    let mut limits = Config::from_sources("", std::iter::empty()).unwrap().limits;
    limits.enabled = false;
    limits
}

/// A database whose clock stands in a table, with one account.
fn database() -> String {
    let database = create_database();
    let mut conn = PgConnection::establish(&database).unwrap();
    conn.batch_execute(
        "create schema model;
         create table model.clock as select now();
         create function model.clock_timestamp() returns timestamptz language sql volatile
            as $$ select now from model.clock $$",
    )
    .unwrap();
    let new = NewUser {
        email: EMAIL.parse().unwrap(),
        password: SecretString::from(PASSWORD),
        name: None,
        locale: None,
    };
    start::create_user(&mut conn, &new, &[], false).unwrap();
    database
}

/// The same database for those who find the test's clock before Postgres' own.
fn with_clock(database: &str) -> String {
    format!("{database}&options=-c%20search_path%3Dpublic,model,pg_catalog")
}

#[test]
fn the_table_of_refreshing_holds_against_tabs_lost_answers_crashes_and_thieves() {
    let database = database();
    let fresh = || tokens(&database);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let steps = prop::collection::vec(story(), 1..120);
    runner
        .run(&steps, |steps| {
            // The verifier remembers nothing of the case before.
            let mut world = World::new(&database, [fresh(), fresh()]);
            for step in steps.into_iter().flatten() {
                world.take(step, &fresh)?;
            }
            Ok(())
        })
        .unwrap();
}
