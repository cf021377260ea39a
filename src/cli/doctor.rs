//! What is wrong, and the setting that mends it.

use clap::Subcommand;

use crate::{
    clients::Registry,
    config::{Config, Mode},
    http::Cors,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Whether pages of an origin may use the API from a browser
    Cors {
        /// As browsers send it: scheme, host and port
        origin: String,
    },
}

pub(super) fn run(command: &Command, config: &Config) -> anyhow::Result<()> {
    match command {
        Command::Cors { origin } => cors(origin, config),
    }
}

fn cors(origin: &str, config: &Config) -> anyhow::Result<()> {
    let issuer = config.server.issuer.as_deref().unwrap_or_default();
    let cors = Cors::new(config, issuer, Registry::default());
    if cors.allows(origin) {
        let reason = match config.mode() {
            Mode::Development if !config.cors.allowed_origins.iter().any(|one| one == origin) => {
                ", because this is development mode"
            }
            _ => "",
        };
        return super::print(&format!("{origin} is allowed{reason}"));
    }
    match cors.cure(origin) {
        Ok(setting) => anyhow::bail!("{origin} is not allowed; this allows it: {setting}"),
        Err(reason) => anyhow::bail!("it can't be allowed: {reason}"),
    }
}
