//! What is wrong, and the setting that mends it.

use clap::Subcommand;

use crate::{
    clients::{self, Registry},
    config::{Config, Mode},
    http::Cors,
    start::Database,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Whether pages of an origin may use the API from a browser
    Cors {
        /// As browsers send it: scheme, host and port
        origin: String,
    },
    /// Whether people can be sent back from the sign-in page to an address of a client
    Redirect {
        /// The client's id
        client: String,
        /// As the client sends it in `redirect_uri`
        uri: String,
    },
}

pub(super) fn run(command: &Command, config: &Config) -> anyhow::Result<()> {
    match command {
        Command::Cors { origin } => cors(origin, config),
        Command::Redirect { client, uri } => redirect(client, uri, config),
    }
}

fn redirect(id: &str, uri: &str, config: &Config) -> anyhow::Result<()> {
    let database = Database::open(config)?;
    let Some(row) = clients::find(&mut database.connect()?, id)? else {
        anyhow::bail!(
            "there is no client {id}; this makes it: tollgate client create --id {id} --public --redirect-uri {uri}"
        );
    };
    let metadata = row.client()?.metadata;
    let registered = &metadata.redirect_uris;
    if registered
        .iter()
        .any(|one| clients::same_redirect(one, uri))
    {
        return super::print(&format!("{uri} is an address of {id}"));
    }
    if let Err(reason) = clients::check_redirect(uri) {
        anyhow::bail!("it can't be one: {reason}");
    }
    anyhow::bail!(
        "{uri} is no address of {id}, whose are, byte for byte: {}; PUT /v1/clients/{id} with it among redirect_uris adds it",
        registered.join(" ")
    )
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
