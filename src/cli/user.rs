//! Accounts from the command line.

use clap::Subcommand;
use diesel::PgConnection;
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::Actor,
    config::{Config, LimitsConfig},
    db::Window,
    input::Shape,
    patch::Patch,
    precondition::Precondition,
    roles::RoleName,
    scope::Authority,
    sessions::account,
    start::{self, Database},
    users::{self, Change, Email, NewUser, Reach, password, routes::User},
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make an account; prints its id and, without --password-stdin, a random password
    Create {
        #[arg(long)]
        email: Email,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
        /// Give this role too (several times for several)
        #[arg(long, value_name = "ROLE")]
        role: Vec<RoleName>,
        /// Count the address as proved
        #[arg(long)]
        verified: bool,
    },
    /// List accounts, oldest first
    List {
        #[arg(long)]
        json: bool,
    },
    /// Disable an account and end its sessions
    Disable { id: Uuid },
    /// Set a password, read from standard input, and end the account's sessions
    Password { id: Uuid },
}

pub(super) fn run(command: Command, config: Config) -> anyhow::Result<()> {
    let database = Database::open(&config)?;
    let mut conn = database.connect()?;
    let conn = &mut conn;
    match command {
        Command::Create {
            email,
            password_stdin,
            role,
            verified,
        } => create(conn, email, password_stdin, &role, verified),
        Command::List { json } => list(conn, json),
        Command::Disable { id } => {
            let change = Change {
                patch: Patch::merge(json!({"disabled": true}), Shape::any()?)?,
                precondition: Precondition::default(),
                reach: Reach::Any(Authority::operator()),
                administrative: true,
            };
            account::patch(conn, id, &change, &Actor::operator())?;
            Ok(())
        }
        Command::Password { id } => set_password(conn, id, &config.limits),
    }
}

fn create(
    conn: &mut PgConnection,
    email: Email,
    password_stdin: bool,
    roles: &[RoleName],
    verified: bool,
) -> anyhow::Result<()> {
    let secret = if password_stdin {
        super::read_secret()?
    } else {
        start::random_password()?
    };
    check_password(&secret, email.as_ref())?;
    let new = NewUser {
        email,
        password: SecretString::from(secret.as_str()),
        name: None,
        locale: None,
    };
    let created = start::create_user(conn, &new, roles, verified)?;
    super::print(&created.user.id.to_string())?;
    if !password_stdin {
        super::print(&format!("password {secret}  (shown once; stored nowhere)"))?;
    }
    Ok(())
}

fn list(conn: &mut PgConnection, json: bool) -> anyhow::Result<()> {
    let mut users: Vec<User> = Vec::new();
    loop {
        let window = Window {
            after: users.last().map(|user| user.id),
            rows: 1_000,
        };
        let page = users::list(conn, window)?;
        if page.is_empty() {
            break;
        }
        users.extend(page.into_iter().map(User::from));
    }
    super::print_list(&users, json, |user| {
        let state = if user.disabled { "disabled" } else { "enabled" };
        format!(
            "{}  {}  {state}  {}",
            user.id,
            user.email,
            user.roles.join(",")
        )
    })
}

fn set_password(conn: &mut PgConnection, id: Uuid, limits: &LimitsConfig) -> anyhow::Result<()> {
    let found =
        users::find(conn, id)?.ok_or_else(|| anyhow::anyhow!("there is no account {id}"))?;
    let secret = super::read_secret()?;
    check_password(&secret, &found.user.email)?;
    let hash = password::hash_now(&secret)?;
    let old = found.user.password_hash;
    let reach = Reach::Any(Authority::operator());
    account::finish_password_change(conn, id, &reach, &old, &hash, &Actor::operator(), limits)?;
    Ok(())
}

fn check_password(secret: &str, email: &str) -> anyhow::Result<()> {
    password::check_new(secret, &[email.to_owned()])
        .map_err(|(_, detail)| anyhow::anyhow!("password: {detail}"))
}
