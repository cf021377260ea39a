//! What must be there before the first request: a database, keys and, in development, an administrator.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use diesel::PgConnection;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    audit::Actor,
    clients::Registry,
    config::{Config, Mode},
    db,
    embedded::{PrivatePostgres, Settings},
    error::ApiError,
    keys::{Keys, Lifetimes, MasterKeys, Plan},
    roles::RoleName,
    scope::{ADMINISTRATOR, Authority},
    tokens::{TokenSettings, Tokens},
    users::{self, NewUser, password},
};

/// The address of the first administrator of a development machine.
pub const FIRST_ADMINISTRATOR: &str = "admin@localhost";

/// Where Postgres is, and the private one for as long as this lives.
pub struct Database {
    /// Where it is.
    pub url: SecretString,
    /// Where it is without a pooler in between, when that is elsewhere.
    pub direct_url: Option<SecretString>,
    /// The private one, when there is one.
    pub private: Option<PrivatePostgres>,
}

impl Database {
    /// Takes the configured Postgres, or starts or joins the private one.
    ///
    /// Must be called on a thread that lives as long as the process: the private Postgres ends with it.
    ///
    /// # Errors
    /// The private Postgres does not start.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        if let Some(url) = &config.database.url {
            return Ok(Self {
                url: url.clone(),
                direct_url: config.database.direct_url.clone(),
                private: None,
            });
        }
        let private = PrivatePostgres::start(&Settings {
            data_dir: config.server.data_dir.clone(),
            guard: std::env::current_exe()?,
            bin_dir: None,
        })?;
        Ok(Self {
            url: SecretString::from(private.url()),
            direct_url: None,
            private: Some(private),
        })
    }

    /// Where sessions last: for LISTEN, locks and migrations.
    pub fn direct_url(&self) -> &SecretString {
        self.direct_url.as_ref().unwrap_or(&self.url)
    }

    /// Connects and applies what migrations are missing.
    ///
    /// # Errors
    /// Postgres can't be reached, or a migration fails.
    pub fn connect(&self) -> anyhow::Result<PgConnection> {
        let mut conn = self.connect_unprepared()?;
        db::prepare(&mut conn, |_conn| Ok(()))?;
        Ok(conn)
    }

    fn connect_unprepared(&self) -> anyhow::Result<PgConnection> {
        db::connect(self.direct_url().expose_secret())
            .map_err(|error| anyhow::anyhow!("Postgres can't be reached: {error}"))
    }
}

/// Migrates, makes the keys that are missing, and loads keys and revocations.
///
/// # Errors
/// Postgres, a migration, a weak or sealed key, a claim that can't be mapped.
pub fn tokens(config: &Config, issuer: &str, database: &Database) -> anyhow::Result<Tokens> {
    prepare(config, issuer, database, |_conn| Ok(())).map(|(tokens, ())| tokens)
}

/// Everything before the first request: `tokens`, and in development the first administrator, whose password is answered
/// when this process made them.
///
/// # Errors
/// Those of `tokens`.
pub fn first_start(
    config: &Config,
    issuer: &str,
    database: &Database,
) -> anyhow::Result<(Tokens, Option<String>)> {
    prepare(config, issuer, database, |conn| match config.mode() {
        Mode::Development => first_administrator(conn),
        Mode::Production => Ok(None),
    })
}

/// Loads the clients, before the first request.
///
/// # Errors
/// Postgres.
pub fn clients(database: &Database) -> anyhow::Result<Registry> {
    let registry = Registry::default();
    registry.follow(&mut database.connect_unprepared()?)?;
    Ok(registry)
}

fn prepare<T>(
    config: &Config,
    issuer: &str,
    database: &Database,
    once: impl FnOnce(&mut PgConnection) -> anyhow::Result<T>,
) -> anyhow::Result<(Tokens, T)> {
    let settings = TokenSettings::new(config, issuer)?;
    let plan = plan(config, &settings)?;
    let mut conn = database.connect_unprepared()?;
    let made = db::prepare(&mut conn, |conn| {
        plan.ensure(conn, &Actor::clock())?;
        once(conn)
    })?;
    let tokens = Tokens::new(Keys::load(&mut conn, plan)?, settings);
    // Before the first request: what is dead stays dead across restarts.
    tokens.follow_anew(&mut conn)?;
    Ok((tokens, made))
}

/// What keys this configuration needs.
fn plan(config: &Config, settings: &TokenSettings) -> anyhow::Result<Plan> {
    Ok(Plan {
        master: master_keys(config)?,
        wanted: settings.wanted_keys(config),
        rsa_bits: config.keys.rsa_bits,
        rotation_interval: i32::try_from(config.keys.rotation_interval.seconds())?,
        lifetimes: Lifetimes {
            access: config.tokens.access_lifetime.seconds(),
            refresh: config.sessions.idle_lifetime.seconds(),
        },
    })
}

/// Makes the first administrator where there is none yet; answers the password.
fn first_administrator(conn: &mut PgConnection) -> anyhow::Result<Option<String>> {
    let email: users::Email = FIRST_ADMINISTRATOR.parse()?;
    if users::has_administrator(conn)? || users::find_by_email(conn, &email)?.is_some() {
        return Ok(None);
    }
    let secret = random_password()?;
    let new = NewUser {
        email,
        password: SecretString::from(secret.as_str()),
        name: Some("Administrator".to_owned()),
        locale: None,
    };
    create_user(conn, &new, &[ADMINISTRATOR.parse()?], false)?;
    Ok(Some(secret))
}

/// Makes an account with roles beyond the one that everyone has; the operator may give any.
///
/// # Errors
/// The address has an account, or a role is unknown.
pub fn create_user(
    conn: &mut PgConnection,
    new: &NewUser,
    roles: &[RoleName],
    verified: bool,
) -> anyhow::Result<users::Account> {
    let hash = password::hash_now(new.password.expose_secret())?;
    let (actor, authority) = (Actor::operator(), Authority::operator());
    // The password was checked by whoever gave it; here only the account and its roles stand or fall together.
    let account = db::tx::<_, ApiError>(conn, |conn| {
        let account = users::create(conn, &actor, new, &hash, verified)?;
        for role in roles {
            users::give_role(conn, account.user.id, role, &authority, &actor)?;
        }
        Ok(account)
    })?;
    Ok(account)
}

/// A password of 144 random bits.
///
/// # Errors
/// No randomness.
pub fn random_password() -> anyhow::Result<String> {
    let mut bytes = [0; 18];
    rand::fill(&mut bytes)
        .map_err(|_unspecified| anyhow::anyhow!("the operating system gives no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The configured master keys; in development a file of their own, made when it is missing.
fn master_keys(config: &Config) -> anyhow::Result<MasterKeys> {
    match &config.keys.master_key {
        Some(list) => Ok(MasterKeys::parse(list.expose_secret())?),
        None => {
            let path = config.server.data_dir.join("master.key");
            let text = read_or_make(&path)
                .map_err(|error| anyhow::anyhow!("{}: {error:#}", path.display()))?;
            Ok(MasterKeys::parse(text.trim())?)
        }
    }
}

/// Reads the file, making it first where it is missing; of several processes one makes it and all read the same.
fn read_or_make(path: &Path) -> anyhow::Result<String> {
    if let Some(text) = read_if_there(path)? {
        return Ok(text);
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let draft: PathBuf = directory.join(format!("master.key.{}", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(MasterKeys::generate()?.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => read_if_there(path)?.ok_or_else(|| anyhow::anyhow!("it vanished")),
    }
}

/// Reads a secret file that nobody else may read.
fn read_if_there(path: &Path) -> anyhow::Result<Option<String>> {
    use std::os::unix::fs::PermissionsExt;

    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            anyhow::ensure!(
                mode & 0o077 == 0,
                "others may read it (mode {mode:o}); chmod 600 mends that"
            );
            Ok(Some(fs::read_to_string(path)?))
        }
    }
}
