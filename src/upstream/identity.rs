//! Who somebody is at a provider, as its ID token says (OpenID Connect Core sections 2 and 3.1.3.7).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::UpstreamError;
use crate::{config::UpstreamConfig, users::Email};

/// Seconds by which a provider's clock may differ from ours.
const LEEWAY: i64 = 30;

/// Characters of the longest subject (Core section 2).
const LONGEST_SUBJECT: usize = 255;

/// Characters of the longest name, and of the longest language tag, that an account holds.
const LONGEST: (usize, usize) = (200, 35);

/// Somebody at a provider; the issuer and the subject name them, all else is only what the provider says of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Identity {
    /// The provider's id in the configuration.
    pub upstream: String,
    /// Who says it.
    pub issuer: String,
    /// Of whom.
    pub subject: String,
    /// Their address.
    pub email: Option<Email>,
    /// Whether the provider has verified it, and is believed.
    pub email_verified: bool,
    /// What they are called.
    pub name: Option<String>,
    /// Their language.
    pub locale: Option<String>,
    /// When they proved there who they are, unless it was just now or nobody says.
    #[serde(default)]
    pub auth_time: Option<DateTime<Utc>>,
}

/// What an ID token has to fit.
pub(super) struct Expected<'a> {
    pub config: &'a UpstreamConfig,
    pub nonce: &'a str,
    pub now: DateTime<Utc>,
    /// Since when they must have proved anew who they are, where that was asked for.
    pub since: Option<DateTime<Utc>>,
}

impl Expected<'_> {
    /// Judges the claims of an ID token whose signature is good; answers its subject.
    ///
    /// # Errors
    /// The claim that doesn't fit.
    pub(super) fn check<'a>(
        &self,
        claims: &'a Map<String, Value>,
    ) -> Result<&'a str, UpstreamError> {
        let text = |name| claims.get(name).and_then(Value::as_str);
        let now = self.now.timestamp();
        let fits = |is_good: bool, claim| is_good.then_some(()).ok_or(UpstreamError::Claim(claim));
        fits(text("iss") == Some(&self.config.issuer), "iss")?;
        fits(self.is_audience(claims), "aud")?;
        fits(
            seconds(claims, "exp").is_some_and(|exp| exp > now - LEEWAY),
            "exp",
        )?;
        fits(
            seconds(claims, "iat").is_some_and(|iat| iat <= now + LEEWAY),
            "iat",
        )?;
        let is_begun = !claims.contains_key("nbf")
            || seconds(claims, "nbf").is_some_and(|nbf| nbf <= now + LEEWAY);
        fits(is_begun, "nbf")?;
        fits(text("nonce") == Some(self.nonce), "nonce")?;
        // Who was asked with `max_age` has to say when it was (Core section 2).
        let is_fresh = self.since.is_none_or(|since| {
            let proved = seconds(claims, "auth_time");
            proved.is_some_and(|proved| proved >= since.timestamp() - LEEWAY)
        });
        fits(is_fresh, "auth_time")?;
        text("sub")
            .filter(|sub| (1..=LONGEST_SUBJECT).contains(&sub.chars().count()))
            .filter(|sub| !sub.chars().any(char::is_control))
            .ok_or(UpstreamError::Claim("sub"))
    }

    /// When somebody proved who they are.
    pub(super) fn proved(&self, claims: &Map<String, Value>) -> Option<DateTime<Utc>> {
        let proved = seconds(claims, "auth_time")?;
        DateTime::from_timestamp(proved.min(self.now.timestamp()), 0)
    }

    /// Whether the token is for us, and not for several of whom another one asked.
    fn is_audience(&self, claims: &Map<String, Value>) -> bool {
        let ours = self.config.client_id.as_str();
        let (among, several) = match claims.get("aud") {
            Some(Value::String(only)) => (only == ours, false),
            Some(Value::Array(all)) => (
                all.iter().all(Value::is_string) && all.iter().any(|one| one == ours),
                all.len() > 1,
            ),
            _ => (false, false),
        };
        among
            && match claims.get("azp") {
                None => !several,
                Some(party) => party == ours,
            }
    }
}

impl Identity {
    /// Takes what claims say of somebody.
    pub(super) fn new(config: &UpstreamConfig, subject: &str, claims: &Map<String, Value>) -> Self {
        let text = |name| claims.get(name).and_then(Value::as_str).map(str::trim);
        let (longest_name, longest_locale) = LONGEST;
        let short = |text: &&str, most: usize| {
            (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        let email = text("email").and_then(|email| email.parse::<Email>().ok());
        // Some write it as text.
        let is_verified = claims
            .get("email_verified")
            .is_some_and(|verified| *verified == Value::Bool(true) || verified == "true");
        Self {
            auth_time: None,
            upstream: config.id.clone(),
            issuer: config.issuer.clone(),
            subject: subject.to_owned(),
            email_verified: email.is_some() && is_verified && config.trust_email,
            email,
            name: text("name")
                .filter(|name| short(name, longest_name))
                .map(str::to_owned),
            locale: text("locale")
                .filter(|locale| short(locale, longest_locale))
                .map(|locale| locale.replace('_', "-"))
                .filter(|locale| is_language(locale)),
        }
    }
}

/// Whether a text is a language tag as accounts have it: `^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`.
fn is_language(tag: &str) -> bool {
    tag.split('-').enumerate().all(|(index, part)| match index {
        0 => (2..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic()),
        _ => (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    })
}

/// A moment in whole seconds (RFC 7519 section 2, `NumericDate`); `None` for what is absent or none.
fn seconds(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    let Value::Number(number) = claims.get(name)? else {
        return None;
    };
    let text = number.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    let is_plain = fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| whole.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(trust_email: bool) -> UpstreamConfig {
        UpstreamConfig {
            id: "a".to_owned(),
            name: "A".to_owned(),
            issuer: "https://a.example".to_owned(),
            client_id: "us".to_owned(),
            client_secret: None,
            scopes: Vec::new(),
            trust_email,
        }
    }

    fn check(changes: &Value) -> Result<String, String> {
        let config = config(true);
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let mut claims = json!({ "iss": "https://a.example", "aud": "us", "sub": "ada", "exp": 1_300, "iat": 1_000, "nonce": "n", "auth_time": 1_000 });
        let claims = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.remove(name),
                value => claims.insert(name.clone(), value.clone()),
            };
        }
        let expected = Expected {
            config: &config,
            nonce: "n",
            now,
            since: Some(now),
        };
        let checked = expected.check(claims).map(str::to_owned);
        checked.map_err(|error| error.to_string())
    }

    #[test]
    fn a_claim_that_does_not_fit_is_named() {
        assert_eq!(check(&json!({})), Ok("ada".to_owned()));
        for good in [
            json!({ "aud": ["us"] }),
            json!({ "aud": ["us", "them"], "azp": "us" }),
            json!({ "exp": 971, "iat": 1_030 }),
            json!({ "exp": 1_300.7, "auth_time": 990, "nbf": 1_030 }),
            json!({ "sub": "é".repeat(255) }),
        ] {
            assert!(check(&good).is_ok(), "{good}");
        }
        for (claim, bad) in [
            ("iss", json!({ "iss": "https://a.example/" })),
            ("iss", json!({ "iss": null })),
            ("aud", json!({ "aud": "them" })),
            ("aud", json!({ "aud": null })),
            ("aud", json!({ "aud": [] })),
            ("aud", json!({ "aud": ["us", 1], "azp": "us" })),
            ("aud", json!({ "aud": ["us", "them"] })),
            ("aud", json!({ "aud": ["us", "them"], "azp": "them" })),
            ("aud", json!({ "azp": "them" })),
            ("exp", json!({ "exp": 970 })),
            ("exp", json!({ "exp": null })),
            ("exp", json!({ "exp": "1300" })),
            ("exp", json!({ "exp": true })),
            ("iat", json!({ "iat": 1_031 })),
            ("iat", json!({ "iat": null })),
            ("nbf", json!({ "nbf": 1_031 })),
            ("nbf", json!({ "nbf": "soon" })),
            ("nonce", json!({ "nonce": "m" })),
            ("nonce", json!({ "nonce": null })),
            ("auth_time", json!({ "auth_time": 900 })),
            ("auth_time", json!({ "auth_time": null })),
            ("sub", json!({ "sub": null })),
            ("sub", json!({ "sub": "" })),
            ("sub", json!({ "sub": 7 })),
            ("sub", json!({ "sub": "a\u{7}" })),
            ("sub", json!({ "sub": "x".repeat(256) })),
        ] {
            let error = check(&bad).unwrap_err();
            assert!(error.contains(&format!("`{claim}`")), "{bad}: {error}");
        }
    }

    #[test]
    fn pwd_08_an_address_is_verified_only_when_the_provider_says_so_and_is_believed() {
        let verified = |claims: Value, trusted| {
            Identity::new(&config(trusted), "ada", claims.as_object().unwrap()).email_verified
        };
        let said = |said: Value| json!({ "email": "Ada@Example.com", "email_verified": said });
        assert!(verified(said(json!(true)), true) && verified(said(json!("true")), true));
        assert!(!verified(said(json!(true)), false));
        for no in [
            json!(false),
            json!(null),
            json!("yes"),
            json!(1),
            json!(["true"]),
        ] {
            assert!(!verified(said(no.clone()), true), "{no}");
        }
        assert!(!verified(json!({ "email_verified": true }), true));
        assert!(!verified(
            json!({ "email": "ada", "email_verified": true }),
            true
        ));
    }

    #[test]
    fn only_what_an_account_can_hold_is_taken_over() {
        let of = |name: &str, locale: &str| {
            let claims = json!({ "name": name, "locale": locale });
            let identity = Identity::new(&config(true), "ada", claims.as_object().unwrap());
            (identity.name, identity.locale)
        };
        assert_eq!(
            of(" Ada ", "en_US"),
            (Some("Ada".to_owned()), Some("en-US".to_owned()))
        );
        assert_eq!(of("", "english please"), (None, None));
        assert_eq!(of(&"x".repeat(201), "e"), (None, None));
        assert_eq!(of("a\nb", "en-"), (None, None));
    }
}
