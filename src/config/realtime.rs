//! Channels that the developer declares.

use async_nats::ServerAddr;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{ConfigError, Lifetime, sections::redacted};

/// Publications that a channel may keep.
const MOST_KEPT: u32 = 10_000;

/// Characters of the longest name.
const LONGEST_NAME: usize = 32;

/// Bytes of the longest subject.
const LONGEST_SUBJECT: usize = 255;

/// Names that are taken: records, and what is for one user.
const TAKEN: [&str; 2] = ["data", "user"];

/// Live updates.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RealtimeConfig {
    /// Whether `/v1/realtime/echo` sends back what it is sent, which shows what the WebSockets understand.
    pub echo: bool,
    /// NATS servers, separated by commas, over which replicas tell each other what is kept nowhere; `None`: over the database.
    #[serde(default, serialize_with = "redacted")]
    pub nats_url: Option<SecretString>,
    /// The subject that is used there.
    pub nats_subject: String,
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

impl RealtimeConfig {
    /// The servers of `nats_url`.
    ///
    /// # Errors
    /// One is none.
    pub fn nats_servers(&self) -> Result<Vec<ServerAddr>, ConfigError> {
        let urls = self.nats_url.as_ref().map_or("", |url| url.expose_secret());
        let urls = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
        let parse = |url: &str| {
            let server: ServerAddr = url.parse().ok()?;
            let url = server.clone().into_inner();
            let is_bare = matches!(url.path(), "" | "/") && url.query().is_none();
            let is_named = server.username().is_some() || server.password().is_none();
            let is_good = url.scheme() == "nats" || url.scheme() == "tls";
            (is_good && is_bare && is_named && !server.host().is_empty()).then_some(server)
        };
        let odd = || {
            ConfigError::new(
                "realtime.nats_url",
                "nats:// or tls://, [user:password@]host[:port]; several with commas between",
            )
        };
        urls.map(|url| parse(url).ok_or_else(odd)).collect()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_odd =
            |letter: char| letter.is_whitespace() || letter.is_control() || "*>".contains(letter);
        let subject = &self.nats_subject;
        if subject.contains(is_odd)
            || subject.starts_with(['$', '_'])
            || subject.len() > LONGEST_SUBJECT
            || subject.split('.').any(str::is_empty)
        {
            return Err(ConfigError::new(
                "realtime.nats_subject",
                "at most 255 bytes: words with dots between, without * and >, and not NATS's own",
            ));
        }
        self.nats_servers()?;
        check_namespaces(&self.namespace)
    }
}

/// Checks all of them; their rules are read where they are applied.
fn check_namespaces(namespaces: &[NamespaceConfig]) -> Result<(), ConfigError> {
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
    fn nats_has_addresses_and_one_subject() {
        let of = |name: &str, value: &str| {
            let file = format!("[realtime]\n{name} = {value:?}");
            Config::from_sources(&file, std::iter::empty()).map_err(|error| error.key)
        };
        let two = of(
            "nats_url",
            "nats://a:canary@one.example:4222, tls://two.example",
        )
        .unwrap();
        let servers = two.realtime.nats_servers().unwrap();
        assert_eq!(servers.len(), 2);
        assert!(servers.last().unwrap().tls_required());
        assert!(!format!("{two:?}").contains("canary"));
        assert!(
            of("nats_url", "")
                .unwrap()
                .realtime
                .nats_servers()
                .unwrap()
                .is_empty()
        );
        for url in [
            "https://example.com",
            "nats://",
            "nats://a b",
            "wss://example.com",
            "not a url",
        ] {
            assert_eq!(
                of("nats_url", url).unwrap_err(),
                "realtime.nats_url",
                "{url}"
            );
        }
        for subject in ["", ".", "a..b", "a.>", "a.*", "a b", "$SYS.a", "_INBOX.a"] {
            assert_eq!(
                of("nats_subject", subject).unwrap_err(),
                "realtime.nats_subject",
                "{subject}"
            );
        }
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
