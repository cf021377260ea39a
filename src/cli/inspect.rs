//! Looking into tokens: what they say, and which check would refuse them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::{config::Config, start::Database, tokens::Tokens};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print header, claims and the check that fails, if one does; exit code 1 then
    Inspect { token: String },
}

pub(super) fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let Command::Inspect { token } = command;
    let database = Database::open(&config)?;
    let tokens = super::tokens(&config, &database)?;
    let mut parts = token.split('.');
    let header = decoded(parts.next());
    let claims = decoded(parts.next());
    let refusal = refusal(&tokens, &token, &header);
    let report = json!({"header": header, "claims": claims, "refused": refusal});
    super::print(&serde_json::to_string_pretty(&report)?)?;
    match refusal {
        None => Ok(()),
        Some(refusal) => Err(anyhow::anyhow!(refusal)),
    }
}

/// The check that fails: that of refresh tokens when the token says it is one, else that of access tokens.
fn refusal(tokens: &Tokens, token: &str, header: &Value) -> Option<String> {
    let now = tokens.now();
    let outcome = if header.get("typ").and_then(Value::as_str) == Some("rt+jwt") {
        tokens.verify_refresh(token, now).map(drop)
    } else {
        tokens.verify_access(token, now).map(drop)
    };
    outcome.err().map(|refusal| refusal.to_string())
}

/// Decodes a part for showing only; nothing is trusted because of it.
fn decoded(part: Option<&str>) -> Value {
    part.and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or(Value::Null)
}
