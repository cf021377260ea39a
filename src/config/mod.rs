//! Configuration: one documented struct per room; defaults, then file, then environment; unknown keys are refused.

mod addresses;
mod duration;
mod realtime;
mod sections;
mod sources;
mod upstream;

use std::path::Path;

pub use addresses::check_origin;
pub use duration::Lifetime;
pub use realtime::{NamespaceConfig, RealtimeConfig};
pub use sections::*;
pub use upstream::UpstreamConfig;

use addresses::{check_uri, is_loopback};

use crate::{keys::Algorithm, scope::Scope};

/// Every setting with its default and its explanation.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Says which key can't work and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {expected}")]
pub struct ConfigError {
    /// The key, `section.name`, or the name of a file.
    pub key: String,
    /// What was expected.
    pub expected: String,
}

impl ConfigError {
    fn new(key: &str, expected: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            expected: expected.into(),
        }
    }
}

impl Config {
    /// Reads defaults, file and environment; `file` must exist when given, `tollgate.toml` is read when it is there.
    ///
    /// # Errors
    /// Names the key and what was expected.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
        let environment = std::env::vars_os();
        Self::from_sources(
            &sources::read_file(file)?,
            environment.filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            }),
        )
    }

    /// The same from a file's text and an environment given as pairs.
    ///
    /// # Errors
    /// Names the key and what was expected.
    pub fn from_sources(
        file: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let merged = sources::merge(DEFAULTS, file, environment)?;
        let config: Self =
            serde_path_to_error::deserialize(toml::Value::Table(merged)).map_err(|error| {
                let key = error.path().to_string();
                ConfigError::new(
                    if key == "." { "configuration" } else { &key },
                    error.into_inner().message().trim().to_owned(),
                )
            })?;
        config.check()?;
        Ok(config)
    }

    /// Whether this is a developer's machine: as set, else by whether the issuer is loopback.
    pub fn mode(&self) -> Mode {
        self.server.mode.unwrap_or_else(|| {
            let issuer = self.server.issuer.as_deref().unwrap_or("http://localhost");
            if is_loopback(issuer) {
                Mode::Development
            } else {
                Mode::Production
            }
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        if let Some(issuer) = &self.server.issuer {
            check_uri("server.issuer", issuer)?;
            // Its pages, cookies and well-known addresses are those of an origin.
            if issuer.matches('/').count() != 2 || issuer.contains('?') {
                return Err(ConfigError::new(
                    "server.issuer",
                    "scheme, host and port alone: an origin of its own, without path, query and slash at the end",
                ));
            }
            if issuer.starts_with("http://") && !is_loopback(issuer) {
                return Err(ConfigError::new(
                    "server.issuer",
                    "https:// (plain http only for localhost)",
                ));
            }
        }
        for origin in &self.cors.allowed_origins {
            check_origin(origin)
                .map_err(|reason| ConfigError::new("cors.allowed_origins", reason))?;
        }
        for audience in &self.tokens.audiences {
            check_uri("tokens.audiences.id", &audience.id)?;
        }
        self.check_tokens()?;
        self.check_oauth()?;
        if !(3_600..=31_536_000).contains(&self.keys.rotation_interval.seconds()) {
            return Err(ConfigError::new(
                "keys.rotation_interval",
                "between 1h and 365d",
            ));
        }
        if self.feed.retention.seconds() < 3_600 {
            return Err(ConfigError::new("feed.retention", "at least 1h"));
        }
        self.realtime.check()?;
        if !matches!(self.keys.rsa_bits, 2048 | 3072 | 4096) {
            return Err(ConfigError::new("keys.rsa_bits", "2048, 3072 or 4096"));
        }
        if self.limits.sign_in_free_per_account < 1 || self.limits.sign_in_free_per_address < 1 {
            return Err(ConfigError::new(
                "limits.sign_in_free_per_account",
                "at least 1, as per address",
            ));
        }
        match self.mode() {
            Mode::Development => Ok(()),
            Mode::Production => self.check_production(),
        }
    }

    fn check_tokens(&self) -> Result<(), ConfigError> {
        let tokens = &self.tokens;
        if !(60..=86_400).contains(&tokens.access_lifetime.seconds()) {
            return Err(ConfigError::new(
                "tokens.access_lifetime",
                "between 1m and 24h",
            ));
        }
        if self.sessions.idle_lifetime.seconds() > self.sessions.absolute_lifetime.seconds() {
            return Err(ConfigError::new(
                "sessions.idle_lifetime",
                "at most sessions.absolute_lifetime",
            ));
        }
        let own = (
            tokens.algorithm,
            &tokens.hs256_secret,
            &tokens.hs256_previous_secret,
        );
        let others = tokens.audiences.iter().map(|audience| {
            (
                audience.algorithm,
                &audience.hs256_secret,
                &audience.hs256_previous_secret,
            )
        });
        for (algorithm, secret, previous) in std::iter::once(own).chain(others) {
            if secret.is_some() && algorithm != Algorithm::Hs256 {
                return Err(ConfigError::new(
                    "tokens.hs256_secret",
                    "algorithm = \"HS256\" beside it",
                ));
            }
            if previous.is_some() && secret.is_none() {
                return Err(ConfigError::new(
                    "tokens.hs256_previous_secret",
                    "hs256_secret beside it",
                ));
            }
        }
        let mut ids: Vec<_> = tokens
            .audiences
            .iter()
            .map(|audience| &audience.id)
            .collect();
        ids.extend(tokens.audience.as_ref().or(self.server.issuer.as_ref()));
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        if ids.len() < all {
            return Err(ConfigError::new(
                "tokens.audiences.id",
                "each audience once",
            ));
        }
        Ok(())
    }

    fn check_oauth(&self) -> Result<(), ConfigError> {
        let oauth = &self.oauth;
        if (oauth.registration == Registration::Token) != oauth.registration_token.is_some() {
            return Err(ConfigError::new(
                "oauth.registration_token",
                "set exactly when oauth.registration is \"token\"",
            ));
        }
        for scope in &oauth.registered_scopes {
            if scope.parse::<Scope>().is_err() {
                return Err(ConfigError::new(
                    "oauth.registered_scopes",
                    format!("{scope:?} is no scope"),
                ));
            }
        }
        upstream::check(&oauth.upstream, self.mode())
    }

    fn check_production(&self) -> Result<(), ConfigError> {
        if !self
            .server
            .issuer
            .as_deref()
            .is_some_and(|issuer| issuer.starts_with("https://"))
        {
            return Err(ConfigError::new(
                "server.issuer",
                "an https:// address in production (TOLLGATE_ISSUER)",
            ));
        }
        if self.database.url.is_none() {
            return Err(ConfigError::new(
                "database.url",
                "a Postgres address in production (DATABASE_URL)",
            ));
        }
        if self.keys.master_key.is_none() {
            return Err(ConfigError::new(
                "keys.master_key",
                "a key in production (TOLLGATE_MASTER_KEY, made with: openssl rand -base64 32)",
            ));
        }
        if !self.limits.enabled {
            return Err(ConfigError::new("limits.enabled", "true in production"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_sources(
            file,
            environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn the_environment_beats_the_file_and_the_file_beats_the_defaults() {
        let file = "[server]\nlisten = \"localhost:1\"\n[tokens]\naccess_lifetime = \"5m\"";
        let config = load(
            file,
            &[
                ("TOLLGATE_LISTEN", "localhost:2"),
                ("TOLLGATE_LIMITS__ENABLED", "false"),
            ],
        )
        .unwrap();
        assert_eq!(config.server.listen, "localhost:2");
        assert_eq!(config.tokens.access_lifetime.seconds(), 300);
        assert!(!config.limits.enabled);
        assert_eq!(config.passwords.queue, 64);
    }

    #[test]
    fn a_list_in_the_environment_is_toml() {
        let audiences = r#"[{ id = "https://orders.example", algorithm = "ES256" }]"#;
        let config = load("", &[("TOLLGATE_TOKENS__AUDIENCES", audiences)]).unwrap();
        assert_eq!(
            config.tokens.audiences.first().unwrap().id,
            "https://orders.example"
        );
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (file, environment, key) in [
            ("[server]\nlisen = \"x\"", [].as_slice(), "server.lisen"),
            ("[sevrer]", &[], "sevrer"),
            (
                "[tokens]\naccess_lifetime = \"10 fortnights\"",
                &[],
                "tokens.access_lifetime",
            ),
            (
                "",
                &[("TOLLGATE_TOKENS__ALGORITHM", "none")],
                "tokens.algorithm",
            ),
            (
                "",
                &[("TOLLGATE_PASSWORDS__QUEUE", "many")],
                "passwords.queue",
            ),
            ("", &[("TOLLGATE_NO__SUCH", "1")], "no"),
            (
                "",
                &[("TOLLGATE_ISSUER", "http://example.com")],
                "server.issuer",
            ),
            (
                "",
                &[("TOLLGATE_ISSUER", "https://example.com")],
                "database.url",
            ),
            (
                "",
                &[
                    ("TOLLGATE_ISSUER", "https://example.com"),
                    ("DATABASE_URL", "postgres://x/y"),
                ],
                "keys.master_key",
            ),
        ] {
            let error = load(file, environment).unwrap_err();
            assert!(error.to_string().contains(key), "{error} should name {key}");
        }
    }

    #[test]
    fn a_dump_holds_no_secret() {
        let config = load(
            "",
            &[
                ("TOLLGATE_MASTER_KEY", "canary"),
                ("DATABASE_URL", "postgres://u:canary@h/d"),
            ],
        )
        .unwrap();
        let dump = toml::to_string(&config).unwrap();
        assert!(
            !dump.contains("canary") && dump.contains("[redacted]"),
            "{dump}"
        );
        assert!(!format!("{config:?}").contains("canary"));
    }
}
