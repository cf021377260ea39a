//! Channels that the developer declares.

use serde::{Deserialize, Serialize};

use super::{ConfigError, Lifetime};

/// Publications that a channel may keep.
const MOST_KEPT: u32 = 10_000;

/// Characters of the longest name.
const LONGEST_NAME: usize = 32;

/// Names that are taken: records, and what is for one user.
const TAKEN: [&str; 2] = ["data", "user"];

/// Live updates.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RealtimeConfig {
    /// Whether `/v1/realtime/echo` sends back what it is sent, which shows what the WebSockets understand.
    pub echo: bool,
    /// Channels beside those of records and of users.
    #[serde(default)]
    pub namespace: Vec<NamespaceConfig>,
}

/// The channels of one namespace, `{name}:…`; where a rule is left out, nobody may.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceConfig {
    /// What their names begin with, `[a-z][a-z0-9_-]*`.
    pub name: String,
    /// Who may subscribe.
    pub subscribe: Option<String>,
    /// Who may publish what.
    pub publish: Option<String>,
    /// Who may see who is subscribed.
    pub presence: Option<String>,
    /// Who may read what was published before.
    pub history: Option<String>,
    /// Publications that a channel keeps.
    #[serde(default)]
    pub history_size: u32,
    /// For how long.
    #[serde(default = "an_hour")]
    pub history_age: Lifetime,
    /// Whether subscribers are told who comes and goes.
    #[serde(default)]
    pub join_leave: bool,
}

fn an_hour() -> Lifetime {
    Lifetime::of_seconds(3_600)
}

/// Checks all of them; their rules are read where they are applied.
pub(super) fn check(namespaces: &[NamespaceConfig]) -> Result<(), ConfigError> {
    for (index, namespace) in namespaces.iter().enumerate() {
        let mut earlier = namespaces.iter().take(index);
        if earlier.any(|other| other.name == namespace.name) {
            return Err(ConfigError::new(
                "realtime.namespace.name",
                "each name once",
            ));
        }
        namespace.check()?;
    }
    Ok(())
}

impl NamespaceConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let is_letter = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        let is_name = (1..=LONGEST_NAME).contains(&self.name.len())
            && self
                .name
                .starts_with(|first: char| first.is_ascii_lowercase())
            && self.name.bytes().all(is_letter);
        let (key, expected) = if !is_name {
            ("name", "1 to 32 of a-z, 0-9, _ and -, a letter first")
        } else if TAKEN.contains(&self.name.as_str()) {
            ("name", "another one: `data` and `user` are taken")
        } else if self.history_size > MOST_KEPT {
            ("history_size", "at most 10000")
        } else if self.history_size > 0 && self.history_age.seconds() < 60 {
            ("history_age", "at least 1m")
        } else if self.history_size == 0 && self.history.is_some() {
            (
                "history_size",
                "at least 1 where there is a rule for `history`",
            )
        } else {
            return Ok(());
        };
        Err(ConfigError::new(
            &format!("realtime.namespace.{key}"),
            expected,
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn load(lines: &str) -> Result<Config, String> {
        let file = format!("[[realtime.namespace]]\n{lines}");
        Config::from_sources(&file, std::iter::empty()).map_err(|error| error.key)
    }

    #[test]
    fn a_namespace_has_a_name_of_its_own_and_a_history_that_can_be_kept() {
        let chat = load("name = \"chat\"\nsubscribe = \"true\"").unwrap();
        let chat = chat.realtime.namespace.first().unwrap();
        assert_eq!(chat.history_size, 0);
        assert_eq!(chat.history_age.seconds(), 3_600);
        for (lines, key) in [
            ("name = \"Chat\"", "name"),
            ("name = \"\"", "name"),
            ("name = \"data\"", "name"),
            ("name = \"user\"", "name"),
            ("name = \"a\"\n[[realtime.namespace]]\nname = \"a\"", "name"),
            ("name = \"a\"\nhistory_size = 10001", "history_size"),
            (
                "name = \"a\"\nhistory_size = 1\nhistory_age = \"59s\"",
                "history_age",
            ),
            ("name = \"a\"\nhistory = \"true\"", "history_size"),
        ] {
            let expected = format!("realtime.namespace.{key}");
            assert_eq!(load(lines).unwrap_err(), expected, "{lines}");
        }
    }
}
