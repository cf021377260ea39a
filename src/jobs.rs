//! What happens by the clock: following other replicas, turning keys, writing down uses, purging what nobody needs any more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use diesel::{PgConnection, connection::SimpleConnection};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Semaphore, time::MissedTickBehavior};

use crate::{
    audit::Actor,
    channels::{self, Channels, News},
    clients::Registry,
    collections,
    db::{self, CONTROL_CHANNEL, Db},
    error::ApiError,
    feed::{self, Feed, Line},
    idempotency, oauth,
    operations::Metrics,
    realtime::{self, Hub},
    revocation, sessions,
    tokens::Tokens,
    upstream::Upstreams,
};

/// How often what has changed is read though nobody told, because a word may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the control channel is asked for words that came.
const LISTEN_EVERY: Duration = Duration::from_millis(20);

/// How long one turn at the control channel lasts; stopping waits for it.
const LISTEN_FOR: Duration = Duration::from_millis(200);

/// How often everything is read anew, which forgets what has expired.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Without an answer for this long, a connection is given up for a new one.
const PATIENCE: Duration = Duration::from_secs(3);

/// Turns at one connection that may hang, in a database that is frozen, before no other is begun.
const HANGING: usize = 4;

const RECONNECT_AFTER: Duration = Duration::from_millis(200);
const TURN_KEYS_EVERY: Duration = Duration::from_secs(10);
const PURGE_EVERY: Duration = Duration::from_secs(600);
const KEEP_FEED_EVERY: Duration = Duration::from_secs(600);
const NOTICES_EVERY: Duration = Duration::from_secs(2);
const INDEXES_EVERY: Duration = Duration::from_secs(2);
const LEARN_EVERY: Duration = Duration::from_secs(60);
const LIVE_EVERY: Duration = Duration::from_secs(5);
const TEND_EVERY: Duration = Duration::from_secs(10);
const ACKNOWLEDGE_EVERY: Duration = Duration::from_millis(500);

/// Follows the keys and revocations that any replica changes, within a second, until the runtime stops.
///
/// One connection listens to the control channel; the pool may be exhausted and this still goes on.
pub async fn follow(url: SecretString, db: Db, tokens: Tokens, clients: Registry) {
    let turn = move |control: Option<Control>| {
        let mut control = match control {
            Some(control) => control,
            None => Control::open(&url, &tokens)?,
        };
        control.listen(&tokens, &clients)?;
        Ok(control)
    };
    let heard = |is_lost| {
        if is_lost {
            // The others may have gone with it.
            db.suspect();
        } else {
            db.is_back();
        }
    };
    take_turns("the control channel", turn, heard).await;
}

/// Gives positions to changes and follows the feed, on a connection of its own, until the runtime stops.
pub async fn follow_feed(url: SecretString, feed: Feed) {
    let turn = move |line: Option<Line>| {
        let mut line = match line {
            Some(line) => line,
            None => Line::open(&url, &feed)?,
        };
        line.turn(&feed)?;
        Ok(line)
    };
    take_turns("the line to the feed", turn, |_is_lost| {}).await;
}

/// Hears what is told on channels, on a connection of its own, until the runtime stops.
pub async fn follow_channels(url: SecretString, channels: Channels, hub: Hub) {
    let pulse = channels.pulse().clone();
    let turn = move |line: Option<channels::Line>| {
        let hear = |news: News<'_>| hub.hear(news);
        let mut line = match line {
            Some(line) => line,
            None => channels::Line::open(&url, &pulse, &hear)?,
        };
        line.turn(&pulse, &hear)?;
        Ok(line)
    };
    take_turns("the line to the channels", turn, |_is_lost| {}).await;
}

/// Hears what replicas tell each other over NATS, where it is configured, until the runtime stops.
pub async fn follow_broker(channels: Channels, hub: Hub) {
    channels.follow_broker(|news| hub.hear(news)).await;
}

/// Says that this replica lives, and writes down who has left its channels, until the runtime stops.
pub async fn attend_channels(channels: Channels) {
    let mut clock = tokio::time::interval(LIVE_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let done = tokio::select! {
            _tick = clock.tick() => channels.live().await,
            () = channels.goings() => Ok(()),
        };
        let done = match done {
            Ok(()) => channels.write_goings().await,
            failed => failed,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "who is on the channels could not be written down; it is tried again");
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    }
}

/// Drops what channels keep no longer, until the runtime stops; of several replicas each may do it.
pub async fn tend_channels(channels: Channels) {
    let mut clock = tokio::time::interval(TEND_EVERY);
    loop {
        clock.tick().await;
        if let Err(error) = channels.tend().await {
            tracing::warn!(%error, "the channels could not be tended; it is tried again");
        }
    }
}

/// Takes turns at a connection, off the request threads, until the runtime stops. One that fails, or gives no answer, is given
/// up for a new one; `heard` is told of each failure, and when the connection is back.
async fn take_turns<C: Send + 'static>(
    name: &'static str,
    turn: impl Fn(Option<C>) -> anyhow::Result<C> + Send + Sync + 'static,
    heard: impl Fn(bool),
) {
    let turn = Arc::new(turn);
    let mut conn = None;
    let mut is_lost = false;
    let turns = Arc::new(Semaphore::new(HANGING));
    while let Ok(permit) = Arc::clone(&turns).acquire_owned().await {
        let turn = Arc::clone(&turn);
        let taken = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            turn(conn)
        });
        let outcome = match tokio::time::timeout(PATIENCE, taken).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panicked)) => Err(panicked.into()),
            Err(elapsed) => Err(elapsed.into()),
        };
        conn = match outcome {
            Ok(conn) => {
                if is_lost {
                    heard(false);
                    tracing::info!("{name} is back");
                }
                is_lost = false;
                Some(conn)
            }
            Err(error) => {
                heard(true);
                if !is_lost {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "{name} is lost; it is tried again");
                }
                is_lost = true;
                tokio::time::sleep(RECONNECT_AFTER).await;
                None
            }
        };
    }
}

/// The connection that listens, and when the tables were last looked at.
struct Control {
    conn: PgConnection,
    opened: Instant,
    looked: Instant,
}

impl Control {
    fn open(url: &SecretString, tokens: &Tokens) -> anyhow::Result<Self> {
        let mut conn = db::connect(url.expose_secret())?;
        conn.batch_execute(&format!(
            "set statement_timeout = '2s'; set timezone = 'UTC'; listen {CONTROL_CHANNEL}"
        ))?;
        let looked = Instant::now();
        tokens.follow_anew(&mut conn)?;
        Ok(Self {
            conn,
            opened: looked,
            looked,
        })
    }

    /// Waits a little for a word that something has changed, or until it is time to look anyway, and then looks.
    fn listen(&mut self, tokens: &Tokens, clients: &Registry) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < LISTEN_FOR {
            let mut told = false;
            for word in self.conn.notifications_iter() {
                word?;
                told = true;
            }
            if told || self.looked.elapsed() >= LOOK_EVERY {
                self.looked = Instant::now();
                if self.opened.elapsed() >= FORGET_EVERY {
                    self.opened = self.looked;
                    tokens.follow_anew(&mut self.conn)?;
                } else {
                    tokens.follow(&mut self.conn)?;
                }
                clients.follow(&mut self.conn)?;
            }
            std::thread::sleep(LISTEN_EVERY);
        }
        Ok(())
    }
}

/// Lets keys grow old in the background until the runtime stops; of several replicas each may do it.
pub async fn turn_keys(db: Db, tokens: Tokens) {
    let mut clock = tokio::time::interval(TURN_KEYS_EVERY);
    loop {
        clock.tick().await;
        let tokens = tokens.clone();
        let turned = db
            .run(move |conn| {
                tokens.keys().plan().turn(conn, &Actor::clock())?;
                // Another replica may have begun sessions under a key that was being retired at once.
                sessions::end_signed_by_revoked_keys(conn)
            })
            .await;
        if let Err(error) = turned {
            tracing::warn!(%error, "keys could not be looked after; it is tried again");
        }
    }
}

/// Purges in the background until the runtime stops.
pub async fn purge(db: Db, metrics: Arc<Metrics>) {
    let mut clock = tokio::time::interval(PURGE_EVERY);
    loop {
        clock.tick().await;
        let tokens = |conn: &mut _| {
            revocation::purge(conn)?;
            idempotency::purge(conn)?;
            realtime::purge_tickets(conn)?;
            sessions::purge(conn)
        };
        let purged = match db.run(tokens).await {
            Ok(()) => purge_expired(&db, &metrics).await,
            failed => failed,
        };
        if let Err(error) = purged {
            tracing::warn!(%error, "purge failed; it is tried again");
        }
    }
}

/// Goes on until nothing is left, in batches that nobody waits for long for.
async fn purge_expired(db: &Db, metrics: &Metrics) -> Result<(), ApiError> {
    loop {
        let purged = db.run(oauth::purge).await?;
        for one in &purged {
            metrics.purged(one.table, one.rows);
        }
        if !purged.iter().any(oauth::Purged::is_full) {
            return Ok(());
        }
    }
}

/// Makes the feed's days ahead and drops old ones, until the runtime stops; of several replicas each may do it.
pub async fn keep_feed(db: Db, retention: TimeDelta) {
    let mut clock = tokio::time::interval(KEEP_FEED_EVERY);
    loop {
        clock.tick().await;
        let kept = db.run(move |conn| Ok(feed::keep(conn, retention)?)).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "the feed's days could not be kept; it is tried again");
        }
    }
}

/// Tells apps that sessions of theirs have ended, until they have heard; of several replicas each may do it.
pub async fn tell_of_logout(db: Db, server: oauth::Server, metrics: Arc<Metrics>) {
    let mut clock = tokio::time::interval(NOTICES_EVERY);
    loop {
        clock.tick().await;
        match server.send_notices(&db).await {
            Ok(sent) => sent.iter().for_each(|one| metrics.noticed(one.name())),
            Err(error) => {
                tracing::warn!(%error, "apps could not be told of ended sessions; it is tried again");
            }
        }
    }
}

/// Knows other providers before somebody wants to sign in there, until the runtime stops.
pub async fn know_upstreams(upstreams: Upstreams) {
    let mut clock = tokio::time::interval(LEARN_EVERY);
    loop {
        clock.tick().await;
        upstreams.learn().await;
    }
}

/// Builds the indexes that collections wait for, on a connection of its own, since that may take hours; of several replicas
/// one builds at a time.
pub async fn build_indexes(db: Db, url: SecretString) {
    let mut clock = tokio::time::interval(INDEXES_EVERY);
    loop {
        clock.tick().await;
        let outcome = match db.run(|conn| Ok(collections::are_building(conn)?)).await {
            Ok(true) => build_all(url.clone()).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = outcome {
            let error = format!("{error:#}");
            tracing::warn!(error, "indexes could not be built; it is tried again");
        }
    }
}

async fn build_all(url: SecretString) -> anyhow::Result<()> {
    let built = tokio::task::spawn_blocking(move || {
        let mut conn = db::connect(url.expose_secret())?;
        while collections::build_next(&mut conn)? {}
        Ok(())
    });
    built.await?
}

/// Writes down, within a second, which generations were seen in use.
pub async fn acknowledge(db: Db, tokens: Tokens) {
    let mut clock = tokio::time::interval(ACKNOWLEDGE_EVERY);
    loop {
        clock.tick().await;
        let uses = tokens.take_uses();
        if uses.is_empty() {
            continue;
        }
        let batch = uses.clone();
        let written = db
            .run(move |conn| Ok(sessions::acknowledge(conn, &batch)?))
            .await;
        if let Err(error) = written {
            tracing::warn!(%error, "uses could not be written down; it is tried again");
            tokens.restore_uses(uses);
        }
    }
}
