//! The feed of changes from the command line.

use clap::Subcommand;
use serde_json::json;

use crate::{
    config::Config,
    feed::{self, Position},
    start::Database,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show its epoch, its last and its oldest position, and how many changes wait for one
    Show {
        #[arg(long)]
        json: bool,
    },
    /// Show its epoch, or begin a new one
    Epoch {
        /// After the database was restored: no position that was given out is good any more, and readers start over
        #[arg(long)]
        new: bool,
    },
}

pub(super) fn run(command: &Command, config: &Config) -> anyhow::Result<()> {
    let database = Database::open(config)?;
    let mut conn = database.connect()?;
    match command {
        Command::Show { json } => {
            let (state, waiting) = (feed::state(&mut conn)?, feed::depth(&mut conn, 0)?);
            let oldest = Position {
                epoch: state.head.epoch.clone(),
                number: state.floor,
            };
            let (head, oldest) = (state.head.to_string(), oldest.to_string());
            if *json {
                let shown = json!({
                    "epoch": state.head.epoch, "position": head, "oldest": oldest, "waiting": waiting,
                });
                return super::print(&serde_json::to_string_pretty(&shown)?);
            }
            super::print(&format!(
                "epoch     {}\nposition  {head}\noldest    {oldest}\nwaiting   {waiting}",
                state.head.epoch
            ))
        }
        Command::Epoch { new } => {
            if *new {
                feed::renew_epoch(&mut conn)?;
            }
            super::print(&feed::state(&mut conn)?.head.epoch)
        }
    }
}
