//! What operators ask of a running replica: whether it is ready, and how it is.

pub mod routes;

use std::time::Duration;

use metrics::{
    Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::sync::watch;

use crate::{keys::State, tokens::Tokens};

const REVOCATIONS: &str = "tollgate_revocations";
const REVOCATIONS_AGE: &str = "tollgate_revocations_age_seconds";
const REVOCATIONS_RELOAD: &str = "tollgate_revocations_last_reload_timestamp_seconds";
const SIGNING_KEYS: &str = "tollgate_signing_keys";
const FEED_POSITION: &str = "tollgate_feed_position";
const FEED_WAITING: &str = "tollgate_feed_waiting";
const SOCKETS: &str = "tollgate_realtime_sockets";
const SUBSCRIPTIONS: &str = "tollgate_realtime_subscriptions";
const TOPICS: &str = "tollgate_realtime_topics";
const WAITING: &str = "tollgate_realtime_waiting_messages";
const DELIVERY: &str = "tollgate_realtime_delivery_seconds";
const NATS: &str = "tollgate_realtime_nats";
const CLOSES: &str = "tollgate_realtime_closes_total";

const PURGED: &str = "tollgate_purged_total";
const LOGOUT_NOTICES: &str = "tollgate_logout_notices_total";
const REQUESTS: &str = "tollgate_http_requests_total";
const DURATION: &str = "tollgate_http_request_duration_seconds";

/// Bounds of the durations that are told apart, in seconds.
const DURATIONS: [f64; 10] = [
    0.0005, 0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Where a replica is in its life.
#[derive(Default)]
pub struct Life {
    stopping: watch::Sender<bool>,
}

impl Life {
    /// From now on nobody should begin anything here.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether the replica is about to end.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the replica is about to end.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // Who says it lives as long as we do.
        let _stopping = stopping.wait_for(|is_stopping| *is_stopping).await;
    }
}

/// What the live updates of a replica are made of just now.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Open WebSockets, and streams of events.
    pub sockets: usize,
    /// What they are subscribed to, together.
    pub subscriptions: usize,
    /// Streams that these share.
    pub topics: usize,
    /// Messages that wait for clients.
    pub waiting: usize,
}

/// The metrics of one replica, in the text format of Prometheus.
pub struct Metrics {
    recorder: PrometheusRecorder,
    /// At hand, since it is used for every message.
    delivery: Histogram,
}

impl Metrics {
    /// Begins to count.
    ///
    /// # Errors
    /// None that happens.
    pub fn new() -> anyhow::Result<Self> {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&DURATIONS)?
            .build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe_gauge!(
                REVOCATIONS,
                "Tokens that are dead before they expire, by kind"
            );
            describe_gauge!(
                REVOCATIONS_AGE,
                Unit::Seconds,
                "Since the revocations were last compared with the database"
            );
            describe_gauge!(
                REVOCATIONS_RELOAD,
                Unit::Seconds,
                "When the revocations were last compared with the database"
            );
            describe_gauge!(SIGNING_KEYS, "Stored signing keys, by state");
            describe_counter!(
                FEED_POSITION,
                "The position in the feed of changes that this replica knows of"
            );
            describe_gauge!(FEED_WAITING, "Changes that wait for a position");
            describe_gauge!(SOCKETS, "Open WebSockets");
            describe_gauge!(SUBSCRIPTIONS, "What they are subscribed to, together");
            describe_gauge!(TOPICS, "Streams that these share");
            describe_gauge!(WAITING, "Messages that wait for clients to take them");
            describe_histogram!(
                DELIVERY,
                Unit::Seconds,
                "For how long the first of what is sent together has waited for its client"
            );
            describe_gauge!(
                NATS,
                "Whether what no channel keeps goes over NATS, 1, or over the database, 0"
            );
            describe_counter!(CLOSES, "WebSockets that this replica has closed, by code");
            describe_counter!(PURGED, "Rows that had expired, by table");
            describe_counter!(
                LOGOUT_NOTICES,
                "Apps that were told of the end of a session, by outcome"
            );
            describe_counter!(REQUESTS, "Answered requests, by method, route and status");
            describe_histogram!(
                DURATION,
                Unit::Seconds,
                "From a request's headers to its answer, by method and route"
            );
        });
        let delivery = metrics::with_local_recorder(&recorder, || histogram!(DELIVERY));
        Ok(Self { recorder, delivery })
    }

    /// Counts an answered request.
    pub fn served(&self, method: &str, route: &str, status: u16, took: Duration) {
        // Anybody can invent methods.
        let method = match method {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            "OPTIONS" => "OPTIONS",
            _ => "other",
        };
        let route = route.to_owned();
        metrics::with_local_recorder(&self.recorder, || {
            counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status.to_string()).increment(1);
            histogram!(DURATION, "method" => method, "route" => route).record(took.as_secs_f64());
        });
    }

    /// Counts rows of a table that had expired.
    pub fn purged(&self, table: &'static str, rows: usize) {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        metrics::with_local_recorder(&self.recorder, || {
            counter!(PURGED, "table" => table).increment(rows);
        });
    }

    /// Counts an app that was told, or was to be told, of the end of a session.
    pub fn noticed(&self, outcome: &'static str) {
        metrics::with_local_recorder(&self.recorder, || {
            counter!(LOGOUT_NOTICES, "outcome" => outcome).increment(1);
        });
    }

    /// Writes down how far this replica follows the feed, and how many changes had no position yet when they were last counted.
    pub fn followed(&self, position: i64, waiting: usize) {
        metrics::with_local_recorder(&self.recorder, || {
            counter!(FEED_POSITION).absolute(u64::try_from(position).unwrap_or_default());
            gauge!(FEED_WAITING).set(number(waiting));
        });
    }

    /// Writes down how many WebSockets there are, and what for.
    pub fn connected(&self, counts: Counts) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!(SOCKETS).set(number(counts.sockets));
            gauge!(SUBSCRIPTIONS).set(number(counts.subscriptions));
            gauge!(TOPICS).set(number(counts.topics));
            gauge!(WAITING).set(number(counts.waiting));
        });
    }

    /// Writes down whether what no channel keeps goes over NATS.
    pub fn told_over_nats(&self, is_told: bool) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!(NATS).set(number(usize::from(is_told)));
        });
    }

    /// Counts what was sent to a client, after it has waited so long.
    pub fn delivered(&self, waited: Duration) {
        self.delivery.record(waited.as_secs_f64());
    }

    /// Counts a WebSocket that was closed.
    pub fn closed(&self, code: u16) {
        metrics::with_local_recorder(&self.recorder, || {
            counter!(CLOSES, "code" => code.to_string()).increment(1);
        });
    }

    /// Sorts what was counted into its bounds, which nobody else does until somebody looks.
    pub fn tidy(&self) {
        self.recorder.handle().run_upkeep();
    }

    /// Writes down how the replica is just now and answers everything; `now` is the time since 1970.
    pub fn render(&self, tokens: &Tokens, now: Duration) -> String {
        metrics::with_local_recorder(&self.recorder, || {
            let status = tokens.revocations().status();
            for (kind, entries) in status.entries {
                gauge!(REVOCATIONS, "kind" => kind).set(number(entries));
            }
            if let Some(age) = status.age {
                gauge!(REVOCATIONS_AGE).set(age.as_secs_f64());
                gauge!(REVOCATIONS_RELOAD).set(now.saturating_sub(age).as_secs_f64());
            }
            let keyring = tokens.keyring();
            for state in [State::Staged, State::Active, State::Retiring] {
                gauge!(SIGNING_KEYS, "state" => state.name()).set(number(keyring.count(state)));
            }
        });
        self.recorder.handle().render()
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
