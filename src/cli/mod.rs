//! The commands.

mod client;
mod collection;
mod doctor;
mod feed;
mod inspect;
mod key;
mod openapi;
mod role;
mod serve;
mod transfer;
mod user;

use std::{ffi::OsString, io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::{
    config::Config,
    docs, embedded,
    start::{self, Database},
    tokens::Tokens,
};

/// The back end of a front end: users, sessions and tokens on Postgres.
#[derive(Parser)]
#[command(name = "tollgate", version, about, max_term_width = 100)]
struct Arguments {
    /// Reads this file instead of tollgate.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (also when no command is given)
    Serve {
        /// Serve the built single-page app in DIR, too (server.static_dir)
        #[arg(long = "static", value_name = "DIR")]
        static_dir: Option<PathBuf>,
    },
    /// Apply migrations and stop
    Migrate,
    /// Make, list and disable accounts, set passwords
    #[command(subcommand)]
    User(user::Command),
    /// Define, list and delete roles
    #[command(subcommand)]
    Role(role::Command),
    /// Register, list and delete the apps that ask for tokens
    #[command(subcommand)]
    Client(client::Command),
    /// Declare, list and delete collections of records
    #[command(subcommand)]
    Collection(collection::Command),
    /// Show how far the feed of changes is, and begin it anew
    #[command(subcommand)]
    Feed(feed::Command),
    /// List, rotate and reseal signing keys
    #[command(subcommand)]
    Key(key::Command),
    /// Look into tokens
    #[command(subcommand)]
    Token(inspect::Command),
    /// Print the OpenAPI document
    Openapi {
        /// With the collections, as somebody with ROLE sees them; `anonymous` for visitors
        #[arg(long = "as", value_name = "ROLE")]
        role: Option<String>,
        /// Compare FILE with it instead of printing
        #[arg(long, value_name = "FILE")]
        check: Option<PathBuf>,
    },
    /// Show or check the effective configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say what is wrong, and the setting that mends it
    #[command(subcommand)]
    Doctor(doctor::Command),
    /// Becomes the private Postgres, which must not outlive its server
    #[command(
        name = "guard-postgres",
        hide = true,
        trailing_var_arg = true,
        disable_help_flag = true
    )]
    GuardPostgres {
        #[arg(allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print it as TOML, secrets redacted
    Show,
    /// Say whether it can work
    Check,
}

/// Runs the command that the arguments name: exit code 0 done, 1 refused, 2 wrong usage.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_closed) => ExitCode::FAILURE,
            };
        }
    };
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = format!("{error:#}").replace('\n', " ");
            // Nobody is left to tell when stderr is closed too.
            let _told = writeln!(std::io::stderr(), "tollgate: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: Arguments) -> anyhow::Result<()> {
    let config = || Config::load(arguments.config.as_deref());
    match arguments.command {
        None => serve::run(config()?),
        Some(Command::Serve { static_dir }) => {
            let mut config = config()?;
            config.server.static_dir = static_dir.or(config.server.static_dir);
            serve::run(config)
        }
        Some(Command::Migrate) => serve::migrate(config()?),
        Some(Command::User(command)) => user::run(command, config()?),
        Some(Command::Role(command)) => role::run(command, config()?),
        Some(Command::Client(command)) => client::run(command, config()?),
        Some(Command::Collection(command)) => collection::run(command, config()?),
        Some(Command::Feed(command)) => feed::run(&command, &config()?),
        Some(Command::Key(command)) => key::run(command, config()?),
        Some(Command::Token(command)) => inspect::run(command, config()?),
        Some(Command::Openapi { role, check }) => {
            let text = match role {
                None => docs::openapi_text()?,
                Some(role) => openapi::text(&role, &config()?)?,
            };
            let Some(file) = check else {
                return print(text.trim_end());
            };
            anyhow::ensure!(
                std::fs::read_to_string(&file)? == text,
                "{} is not what `tollgate openapi` prints",
                file.display()
            );
            Ok(())
        }
        Some(Command::Config(ConfigCommand::Show)) => {
            print(toml::to_string(&config()?)?.trim_end())
        }
        Some(Command::Config(ConfigCommand::Check)) => {
            config()?;
            print("the configuration is good")
        }
        Some(Command::Doctor(command)) => doctor::run(&command, &config()?),
        Some(Command::GuardPostgres { arguments }) => Err(embedded::guard(&arguments).into()),
    }
}

/// Keys and settings, as a server with this configuration would have them.
fn tokens(config: &Config, database: &Database) -> anyhow::Result<Tokens> {
    let issuer = match &config.server.issuer {
        Some(issuer) => issuer.clone(),
        None => format!("http://{}", config.server.listen),
    };
    start::tokens(config, &issuer, database)
}

/// Prints a line; a closed pipe is an error, not a panic.
fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints a listing: as JSON when asked, else one line an item.
fn print_list<T: Serialize>(
    items: &[T],
    json: bool,
    line: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    if json {
        return print(&serde_json::to_string_pretty(items)?);
    }
    for item in items {
        print(&line(item))?;
    }
    Ok(())
}

/// Reads a secret from standard input: its first line.
fn read_secret() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
