//! Logs: for eyes in development, one JSON object a line in production; on stderr, never with secrets.

#[cfg(feature = "otel")]
pub mod spans;

use std::io::IsTerminal;

use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::config::{Config, ConfigError, LogFormat, Mode};

/// What must be ended in order when the server ends.
#[must_use]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    _exporter: Option<spans::Exporter>,
}

/// Begins logging and, where it is configured, tracing.
///
/// # Errors
/// A filter that can't be read, a collector that can't be used.
pub fn start(config: &Config) -> Result<Telemetry, ConfigError> {
    let fault = |expected: String| ConfigError {
        key: "telemetry.log_filter".to_owned(),
        expected,
    };
    let filter = EnvFilter::try_new(&config.telemetry.log_filter)
        .map_err(|error| fault(error.to_string()))?;
    let format = config.telemetry.log_format.unwrap_or(match config.mode() {
        Mode::Development => LogFormat::Human,
        Mode::Production => LogFormat::Json,
    });
    #[cfg(feature = "otel")]
    let exporter = match &config.telemetry.otlp_endpoint {
        Some(endpoint) => Some(
            spans::Exporter::new(endpoint).map_err(|expected| ConfigError {
                key: "telemetry.otlp_endpoint".to_owned(),
                expected,
            })?,
        ),
        None => None,
    };
    #[cfg(feature = "otel")]
    let exported = exporter
        .as_ref()
        .map(|exporter| tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
    #[cfg(not(feature = "otel"))]
    let exported = match &config.telemetry.otlp_endpoint {
        Some(_) => {
            return Err(ConfigError {
                key: "telemetry.otlp_endpoint".to_owned(),
                expected: "a binary that is built with --features otel".to_owned(),
            });
        }
        None => None::<tracing_subscriber::layer::Identity>,
    };
    let registry = tracing_subscriber::registry().with(filter).with(exported);
    // Lines are whole by themselves; the span of a request would only repeat them.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let events = filter_fn(|metadata| metadata.is_event());
    let started = match format {
        LogFormat::Json => registry
            .with(lines.json().flatten_event(true).with_filter(events))
            .try_init(),
        LogFormat::Human => registry
            .with(
                lines
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_filter(events),
            )
            .try_init(),
    };
    started.map_err(|error| fault(error.to_string()))?;
    std::panic::set_hook(Box::new(|panic| {
        // What it says may hold what was sent; where it happened never does.
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a bug: something panicked");
    }));
    Ok(Telemetry {
        #[cfg(feature = "otel")]
        _exporter: exporter,
    })
}
