//! Signing keys from the command line.

use clap::Subcommand;
use diesel::PgConnection;

use crate::{
    audit::Actor,
    config::Config,
    keys::{Algorithm, Plan, Purpose, Slot, State, rotation, routes::SigningKey},
    sessions,
    start::Database,
    timestamp::Timestamp,
    tokens::Tokens,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List keys and their states, oldest first
    List {
        #[arg(long)]
        json: bool,
    },
    /// Publish new keys, which take over 20 min later; without options those of access tokens
    Rotate {
        /// Only keys of this algorithm, also one that no tokens are signed with yet
        #[arg(long, value_name = "ALGORITHM")]
        algorithm: Option<Algorithm>,
        /// What the keys are for; replacing those of refresh tokens in an emergency ends sessions
        #[arg(long, value_name = "PURPOSE", default_value = "access")]
        purpose: Purpose,
        /// For keys in wrong hands: replace them now, and everything that they signed is dead
        #[arg(long)]
        emergency: bool,
    },
    /// Seal every key with the first master key (after adding a new one in front of the list)
    Reseal,
}

pub(super) fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let database = Database::open(&config)?;
    let tokens = super::tokens(&config, &database)?;
    let mut conn = database.connect()?;
    match command {
        Command::List { json } => list(&mut conn, &tokens, json),
        Command::Rotate {
            algorithm,
            purpose,
            emergency,
        } => {
            let plan = tokens.keys().plan();
            let mut refused = Vec::new();
            // One that can't be rotated keeps no other from it.
            for slot in slots(plan, purpose, algorithm)? {
                let done = if emergency {
                    replace(&mut conn, plan, &slot)
                } else {
                    stage(&mut conn, plan, &slot)
                };
                if let Err(error) = done {
                    refused.push(format!("{}: {error:#}", name(&slot)));
                }
            }
            anyhow::ensure!(refused.is_empty(), refused.join("\n"));
            Ok(())
        }
        Command::Reseal => {
            let count = tokens.keys().plan().reseal(&mut conn, &Actor::operator())?;
            super::print(&format!(
                "{count} keys are sealed with the first master key"
            ))
        }
    }
}

fn list(conn: &mut PgConnection, tokens: &Tokens, json: bool) -> anyhow::Result<()> {
    let keys = SigningKey::all(rotation::list(conn)?, &tokens.keyring())?;
    super::print_list(&keys, json, |key| {
        let audience = key.audience.as_deref().unwrap_or("-");
        format!(
            "{:8}  {:7}  {:5}  {}  {audience}  {}",
            key.state.name(),
            key.purpose.name(),
            key.algorithm.name(),
            key.kid,
            when(key),
        )
    })
}

/// What happens next to a key, or happened last.
fn when(key: &SigningKey) -> String {
    let at = |what: &str, at: &Option<Timestamp>| match at {
        Some(at) => format!("{what} {at}"),
        None => "from the configuration".to_owned(),
    };
    match key.state {
        State::Staged => at("signs from", &key.activates_at),
        State::Active => at("signs since", &key.activated_at),
        State::Retiring => at("verifies until", &key.retires_at),
        State::Retired => at("ended", &key.retired_at),
    }
}

/// The slots that are meant.
fn slots(plan: &Plan, purpose: Purpose, algorithm: Option<Algorithm>) -> anyhow::Result<Vec<Slot>> {
    let mut slots: Vec<Slot> = Vec::new();
    for slot in plan.made_slots() {
        let meant = algorithm.is_none_or(|algorithm| slot.algorithm == algorithm);
        // Several audiences share one public key.
        if slot.purpose == purpose && meant && !slots.contains(slot) {
            slots.push(slot.clone());
        }
    }
    if let (true, Some(algorithm), Purpose::Access) = (slots.is_empty(), algorithm, purpose) {
        slots.push(Slot::access(algorithm, ""));
    }
    anyhow::ensure!(
        !slots.is_empty(),
        "Tollgate makes no such keys; a secret that the configuration gives is rotated there"
    );
    Ok(slots)
}

/// Names a slot for people.
fn name(slot: &Slot) -> String {
    match slot.audience.as_str() {
        "" => slot.algorithm.name().to_owned(),
        audience => format!("{} for {audience}", slot.algorithm.name()),
    }
}

fn stage(conn: &mut PgConnection, plan: &Plan, slot: &Slot) -> anyhow::Result<()> {
    let key = SigningKey::try_from(plan.rotate(conn, slot, &Actor::operator())?)?;
    super::print(&format!("{} is published and {}", key.kid, when(&key)))
}

/// Retires the slot's active key at once.
fn replace(conn: &mut PgConnection, plan: &Plan, slot: &Slot) -> anyhow::Result<()> {
    let active = rotation::active(conn, slot)?
        .ok_or_else(|| anyhow::anyhow!("no key signs with {} yet", slot.algorithm.name()))?;
    sessions::revoke_key(conn, plan, &active.kid, &Actor::operator())?;
    let successor = rotation::active(conn, slot)?
        .ok_or_else(|| anyhow::anyhow!("{} has no successor", active.kid))?;
    super::print(&format!(
        "{} is retired, {} signs",
        active.kid, successor.kid
    ))
}
