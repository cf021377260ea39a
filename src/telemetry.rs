//! Logs: for eyes in development, one JSON object a line in production; on stderr, never with secrets.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{Config, ConfigError, LogFormat, Mode};

/// Begins logging.
///
/// # Errors
/// A filter that can't be read.
pub fn start(config: &Config) -> Result<(), ConfigError> {
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
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Human => registry
            .with(lines.with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
    };
    started.map_err(|error| fault(error.to_string()))?;
    std::panic::set_hook(Box::new(|panic| {
        // What it says may hold what was sent; where it happened never does.
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a bug: something panicked");
    }));
    Ok(())
}
