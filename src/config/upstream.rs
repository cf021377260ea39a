//! Other providers at which people may sign in.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    ConfigError, Mode,
    addresses::{check_uri, is_loopback},
    sections::redacted,
};

/// Characters of the longest id.
const LONGEST_ID: usize = 32;

/// One OpenID Connect provider that signs people in for us.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Its id in addresses of ours, `[a-z0-9-]`.
    pub id: String,
    /// What people read on its button.
    pub name: String,
    /// Its issuer, exactly as its discovery document and its ID tokens say it.
    pub issuer: String,
    /// What we are called there.
    pub client_id: String,
    /// What we prove ourselves with there; `None` for a public client.
    #[serde(default, serialize_with = "redacted")]
    pub client_secret: Option<SecretString>,
    /// What we ask for, `openid` among it.
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<String>,
    /// Whether its word that somebody has an address is believed.
    #[serde(default = "believed")]
    pub trust_email: bool,
}

fn usual_scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(str::to_owned).to_vec()
}

fn believed() -> bool {
    true
}

/// Checks all of them.
pub(super) fn check(upstreams: &[UpstreamConfig], mode: Mode) -> Result<(), ConfigError> {
    for (index, upstream) in upstreams.iter().enumerate() {
        let earlier = upstreams.iter().take(index);
        if earlier.into_iter().any(|other| other.id == upstream.id) {
            return Err(ConfigError::new("oauth.upstream.id", "each id once"));
        }
        upstream.check(mode)?;
    }
    Ok(())
}

impl UpstreamConfig {
    fn check(&self, mode: Mode) -> Result<(), ConfigError> {
        let id_is_good = (1..=LONGEST_ID).contains(&self.id.len())
            && self
                .id
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let is_secret_empty = self.client_secret.as_ref().is_some_and(|secret| {
            use secrecy::ExposeSecret;
            secret.expose_secret().is_empty()
        });
        let is_scope =
            |scope: &String| !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic());
        let expected = if !id_is_good {
            ("id", "1 to 32 of a-z, 0-9 and -")
        } else if self.name.trim().is_empty() {
            ("name", "what people read on the button")
        } else if self.client_id.is_empty() {
            ("client_id", "what the provider calls this server")
        } else if is_secret_empty {
            ("client_secret", "a secret; left out for a public client")
        } else if !self.scopes.iter().all(is_scope)
            || !self.scopes.iter().any(|one| one == "openid")
        {
            ("scopes", "a list of scopes with \"openid\" among them")
        } else {
            return self.check_issuer(mode);
        };
        let (key, expected) = expected;
        Err(ConfigError::new(&format!("oauth.upstream.{key}"), expected))
    }

    fn check_issuer(&self, mode: Mode) -> Result<(), ConfigError> {
        let key = "oauth.upstream.issuer";
        check_uri(key, &self.issuer)?;
        let is_local = mode == Mode::Development && is_loopback(&self.issuer);
        if !self.issuer.starts_with("https://") && !is_local {
            let expected = "https:// (plain http only for localhost in development)";
            return Err(ConfigError::new(key, expected));
        }
        if self.issuer.contains(['?', '@']) {
            return Err(ConfigError::new(key, "no query and no user"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigError};

    const GOOD: &str = r#"id = "google"
        name = "Google"
        issuer = "https://accounts.google.com"
        client_id = "x""#;

    fn load(file: &str) -> Result<Config, ConfigError> {
        Config::from_sources(file, std::iter::empty())
    }

    fn with(lines: &str) -> Result<Config, ConfigError> {
        load(&format!("[[oauth.upstream]]\n{GOOD}\n{lines}"))
    }

    #[test]
    fn a_provider_needs_five_lines_and_no_dump_holds_its_secret() {
        let config = with("client_secret = \"canary\"").unwrap();
        let upstream = config.oauth.upstream.first().unwrap();
        assert_eq!(upstream.scopes, ["openid", "email", "profile"]);
        assert!(upstream.trust_email);
        let dump = toml::to_string(&config).unwrap();
        assert!(dump.contains("[redacted]") && !dump.contains("canary"));
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn what_cannot_work_is_named() {
        let replaced =
            |from: &str, to: &str| load(&format!("[[oauth.upstream]]\n{}", GOOD.replace(from, to)));
        let twice = format!("[[oauth.upstream]]\n{GOOD}\n[[oauth.upstream]]\n{GOOD}");
        let http = "http://accounts.google.com";
        for (outcome, key) in [
            (with("secret = \"x\""), "oauth.upstream[0].secret"),
            (load(&twice), "oauth.upstream.id"),
            (replaced("\"google\"", "\"Google\""), "oauth.upstream.id"),
            (replaced("\"google\"", "\"a/b\""), "oauth.upstream.id"),
            (replaced("\"google\"", "\"\""), "oauth.upstream.id"),
            (replaced("\"Google\"", "\" \""), "oauth.upstream.name"),
            (
                replaced("https://accounts.google.com", http),
                "oauth.upstream.issuer",
            ),
            (replaced("https://", "ftp://"), "oauth.upstream.issuer"),
            (replaced(".com", ".com?x"), "oauth.upstream.issuer"),
            (replaced("\"x\"", "\"\""), "oauth.upstream.client_id"),
            (with("client_secret = \"\""), "oauth.upstream.client_secret"),
            (with("scopes = [\"email\"]"), "oauth.upstream.scopes"),
            (
                with("scopes = [\"openid\", \"a b\"]"),
                "oauth.upstream.scopes",
            ),
        ] {
            let error = outcome.unwrap_err();
            assert!(error.to_string().contains(key), "{error} should name {key}");
        }
        let local = replaced("https://accounts.google.com", "http://127.0.0.1:9/realm/");
        assert!(local.is_ok(), "on a developer's machine");
    }
}
