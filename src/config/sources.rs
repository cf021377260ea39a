//! Where settings come from, and how they are laid over each other.

use std::path::Path;

use toml::{Table, Value};

use super::ConfigError;

/// Environment variables with a short name, and the key each stands for.
const SHORT_FORMS: &[(&str, &str, &str)] = &[
    ("DATABASE_URL", "database", "url"),
    ("TOLLGATE_LISTEN", "server", "listen"),
    ("TOLLGATE_ISSUER", "server", "issuer"),
    ("TOLLGATE_DATA_DIR", "server", "data_dir"),
    ("TOLLGATE_MODE", "server", "mode"),
    ("TOLLGATE_MASTER_KEY", "keys", "master_key"),
];

/// Reads the configuration file: `given` must exist, `tollgate.toml` may.
pub(super) fn read_file(given: Option<&Path>) -> Result<String, ConfigError> {
    let path = given.unwrap_or(Path::new("tollgate.toml"));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(String::new())
        }
        Err(error) => Err(ConfigError::new(
            &path.display().to_string(),
            error.to_string(),
        )),
    }
}

/// Lays the file over the defaults and the environment over both.
pub(super) fn merge(
    defaults: &str,
    file: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Table, ConfigError> {
    let defaults: Table = parse("defaults", defaults)?;
    let mut merged = defaults.clone();
    lay_over(&mut merged, parse("configuration file", file)?);
    for (name, text) in environment {
        if text.is_empty() {
            continue;
        }
        let Some((section, key)) = key_of(&name)? else {
            continue;
        };
        let default = defaults.get(&section).and_then(|table| table.get(&key));
        let section = merged
            .entry(section)
            .or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(section) = section {
            section.insert(key, typed(default, text));
        }
    }
    Ok(merged)
}

fn parse(what: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>()
        .map_err(|error| ConfigError::new(what, error.to_string().trim().to_owned()))
}

fn lay_over(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The key that an environment variable stands for; `None` when it is not ours.
fn key_of(name: &str) -> Result<Option<(String, String)>, ConfigError> {
    if let Some((_, section, key)) = SHORT_FORMS.iter().find(|(short, ..)| *short == name) {
        return Ok(Some(((*section).to_owned(), (*key).to_owned())));
    }
    let Some(rest) = name.strip_prefix("TOLLGATE_") else {
        return Ok(None);
    };
    match rest.to_lowercase().split_once("__") {
        Some((section, key)) => Ok(Some((section.to_owned(), key.to_owned()))),
        None => Err(ConfigError::new(
            name,
            "TOLLGATE_SECTION__KEY, or one of the short forms",
        )),
    }
}

/// Reads an environment value as TOML where the key is no text, so that `8080` can still be a password.
fn typed(default: Option<&Value>, text: String) -> Value {
    let structured = text.starts_with(['[', '{']);
    let scalar = matches!(
        default,
        Some(Value::Boolean(_) | Value::Integer(_) | Value::Float(_))
    );
    if structured || scalar {
        let parsed = format!("value = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("value"));
        if let Some(value) = parsed {
            return value;
        }
    }
    Value::String(text)
}
