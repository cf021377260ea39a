//! Roles from the command line.

use clap::Subcommand;

use crate::{
    audit::Actor,
    config::Config,
    precondition::Precondition,
    roles::{self, RoleContent, RoleName, Saving, routes::Role},
    scope::{Authority, Scope},
    sessions,
    start::Database,
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a role or replace its scopes
    Set {
        name: RoleName,
        /// What it allows, `resource:action` (several times for several)
        #[arg(long, value_name = "SCOPE", required = true)]
        scope: Vec<Scope>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
    },
    /// List roles by name
    List {
        #[arg(long)]
        json: bool,
    },
    /// Delete a role that nobody has
    Delete { name: RoleName },
}

pub(super) fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let database = Database::open(&config)?;
    let mut conn = database.connect()?;
    let (actor, authority) = (Actor::operator(), Authority::operator());
    let any = Precondition::default();
    match command {
        Command::Set {
            name,
            scope,
            description,
        } => {
            let stored = roles::find(&mut conn, name.as_ref())?;
            let kept = stored.map(|role| role.description).unwrap_or_default();
            let content = RoleContent {
                description: description.unwrap_or(kept),
                scopes: scope,
            };
            let saving = Saving::Replace(any);
            sessions::redefine_role(&mut conn, &authority, &actor, &name, &content, &saving)?;
        }
        Command::List { json } => {
            let listed: Vec<_> = roles::list(&mut conn)?
                .into_iter()
                .map(Role::from)
                .collect();
            super::print_list(&listed, json, |role| {
                format!("{}  {}", role.name, role.scopes.join(" "))
            })?;
        }
        Command::Delete { name } => roles::delete(&mut conn, &authority, &actor, &name, &any)?,
    }
    Ok(())
}
