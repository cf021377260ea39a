//! What operators ask of a running replica: whether it is ready, and how it is.

pub mod routes;

use std::time::Duration;

use metrics::{Unit, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::{keys::State, tokens::Tokens};

const REVOCATIONS: &str = "tollgate_revocations";
const REVOCATIONS_AGE: &str = "tollgate_revocations_age_seconds";
const REVOCATIONS_RELOAD: &str = "tollgate_revocations_last_reload_timestamp_seconds";
const SIGNING_KEYS: &str = "tollgate_signing_keys";

/// The metrics of one replica, in the text format of Prometheus.
pub struct Metrics(PrometheusRecorder);

impl Default for Metrics {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
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
        });
        Self(recorder)
    }
}

impl Metrics {
    /// Writes down how the replica is just now and answers everything; `now` is the time since 1970.
    pub fn render(&self, tokens: &Tokens, now: Duration) -> String {
        metrics::with_local_recorder(&self.0, || {
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
        self.0.handle().render()
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
