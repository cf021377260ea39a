//! One provider: what its discovery document says, its keys, the exchange of a code (OpenID Connect Discovery, Core section 3.1.3).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::UpstreamError;
use crate::{
    config::UpstreamConfig,
    jose::{self, JoseError, PublicKeys},
    outbound::{Answer, Outbound},
    strict_json,
};

/// Seconds for which a document is kept that says nothing about it, at least and at most.
const KEPT: (u64, u64, u64) = (3_600, 60, 86_400);

/// How often keys are fetched anew before their time at most, because a token names one that is not among them.
const ANEW_EVERY: Duration = Duration::from_secs(5);

/// A provider that people may sign in at.
pub struct Provider {
    /// Its settings.
    pub config: UpstreamConfig,
    outbound: Outbound,
    metadata: Kept<Metadata>,
    keys: Kept<PublicKeys>,
    anew: Mutex<Option<Instant>>,
}

/// What is known of the provider, and how long it is good.
struct Kept<T>(Mutex<Option<(Arc<T>, Instant)>>);

impl<T> Kept<T> {
    fn last(&self) -> Option<(Arc<T>, Instant)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn good(&self) -> Option<Arc<T>> {
        let (kept, until) = self.last()?;
        (until > Instant::now()).then_some(kept)
    }

    fn keep(&self, found: T, answer: &Answer) -> Arc<T> {
        let (usually, least, most) = KEPT;
        let seconds = answer.max_age.unwrap_or(usually).clamp(least, most);
        let (found, until) = (
            Arc::new(found),
            Instant::now() + Duration::from_secs(seconds),
        );
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&found), until));
        found
    }
}

/// What of the discovery document counts here.
#[derive(Clone, Debug)]
pub struct Metadata {
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    takes_basic: bool,
    /// Whether every answer says whose it is (RFC 9207).
    pub(super) names_itself: bool,
}

/// What a code was exchanged for.
pub(super) struct Exchanged {
    pub id_token: String,
    pub access_token: Option<String>,
}

impl Provider {
    pub(super) fn new(config: UpstreamConfig, outbound: Outbound) -> Self {
        Self {
            config,
            outbound,
            metadata: Kept(Mutex::default()),
            keys: Kept(Mutex::default()),
            anew: Mutex::default(),
        }
    }

    /// What reaches it.
    pub(super) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// Where its button may lead, as far as that is known: its issuer's place, and that of its authorization endpoint.
    pub fn places(&self) -> Vec<String> {
        let known = self.metadata.last();
        let endpoint = known.map(|(metadata, _)| metadata.authorization_endpoint.clone());
        std::iter::once(self.config.issuer.clone())
            .chain(endpoint)
            .collect()
    }

    /// Its discovery document, fetched where it is not known.
    ///
    /// # Errors
    /// It can't be had, or is another's.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, UpstreamError> {
        if let Some(known) = self.metadata.good() {
            return Ok(known);
        }
        let base = self.config.issuer.trim_end_matches('/');
        let uri = format!("{base}/.well-known/openid-configuration");
        let answer = self.outbound.get(&uri, "application/json").await?;
        let document = object(&answer).ok_or(UpstreamError::Document("discovery document"))?;
        let metadata = read_metadata(&document, &self.config.issuer)?;
        Ok(self.metadata.keep(metadata, &answer))
    }

    /// Exchanges a code.
    ///
    /// # Errors
    /// The provider refuses, or can't be reached.
    pub(super) async fn exchange(
        &self,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
    ) -> Result<Exchanged, UpstreamError> {
        let metadata = self.metadata().await?;
        let id = self.config.client_id.as_str();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        let secret = self.config.client_secret.as_ref();
        let secret = secret.map(ExposeSecret::expose_secret);
        let authorization = match secret {
            Some(secret) if metadata.takes_basic => Some(basic(id, secret)),
            Some(secret) => {
                form.extend([("client_id", id), ("client_secret", secret)]);
                None
            }
            None => {
                form.push(("client_id", id));
                None
            }
        };
        let answer = self
            .outbound
            .post_form(&metadata.token_endpoint, &form, authorization.as_deref())
            .await?;
        let Some(mut body) = object(&answer) else {
            return Err(UpstreamError::Exchange(answer.status));
        };
        let mut text = |name| match body.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        Ok(Exchanged {
            id_token: text("id_token").ok_or(UpstreamError::Exchange(answer.status))?,
            access_token: text("access_token"),
        })
    }

    /// Verifies who has signed an ID token; its claims are still to be judged.
    ///
    /// # Errors
    /// The signature is not the provider's, or its keys can't be had.
    pub(super) async fn verify(&self, token: &str) -> Result<Map<String, Value>, UpstreamError> {
        let verified = |keys: &PublicKeys| jose::verify(token, keys, &["JWT", ""]);
        let (keys, is_new) = match self.keys.good() {
            Some(known) => (known, false),
            None => (self.fetch_keys().await?, true),
        };
        match verified(&keys) {
            Err(JoseError::UnknownKey | JoseError::Signature) if !is_new && self.may_ask_anew() => {
                Ok(verified(&*self.fetch_keys().await?)?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn fetch_keys(&self) -> Result<Arc<PublicKeys>, UpstreamError> {
        let metadata = self.metadata().await?;
        let accept = "application/jwk-set+json, application/json";
        let answer = self.outbound.get(&metadata.jwks_uri, accept).await?;
        let document = object(&answer).ok_or(UpstreamError::Document("key set"))?;
        let keys = PublicKeys::parse(&Value::Object(document))?;
        Ok(self.keys.keep(keys, &answer))
    }

    /// Whether keys that are still good may be fetched anew; whoever asks does it.
    fn may_ask_anew(&self) -> bool {
        let mut last = self.anew.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| last.elapsed() >= ANEW_EVERY);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    /// What the provider says of the same person at its userinfo endpoint (Core section 5.3); `None` where it says nothing.
    pub(super) async fn user_info(
        &self,
        access_token: &str,
        subject: &str,
    ) -> Option<Map<String, Value>> {
        let metadata = self.metadata().await.ok()?;
        let uri = metadata.userinfo_endpoint.as_deref()?;
        let authorization = format!("Bearer {access_token}");
        let answer = self
            .outbound
            .get_as(uri, "application/json", Some(&authorization))
            .await
            .ok()?;
        let told = object(&answer)?;
        // Core section 5.3.2: claims of another subject must not be used.
        (told.get("sub").and_then(Value::as_str) == Some(subject)).then_some(told)
    }
}

fn read_metadata(document: &Map<String, Value>, issuer: &str) -> Result<Metadata, UpstreamError> {
    let text = |name| document.get(name).and_then(Value::as_str);
    if text("issuer") != Some(issuer) {
        return Err(UpstreamError::Issuer);
    }
    let needed = |name| {
        text(name)
            .map(str::to_owned)
            .ok_or(UpstreamError::Document("discovery document"))
    };
    let methods = document.get("token_endpoint_auth_methods_supported");
    let methods = methods.and_then(Value::as_array);
    let names = |wanted: &str| {
        methods.is_some_and(|methods| methods.iter().any(|method| method.as_str() == Some(wanted)))
    };
    let flag = document.get("authorization_response_iss_parameter_supported");
    Ok(Metadata {
        authorization_endpoint: needed("authorization_endpoint")?,
        token_endpoint: needed("token_endpoint")?,
        jwks_uri: needed("jwks_uri")?,
        userinfo_endpoint: text("userinfo_endpoint").map(str::to_owned),
        // Where nothing is said it is what there is (RFC 8414 section 2).
        takes_basic: names("client_secret_basic") || !names("client_secret_post"),
        names_itself: flag == Some(&Value::Bool(true)),
    })
}

/// HTTP Basic as OAuth has it: both parts are form-encoded first (RFC 6749 section 2.3.1).
fn basic(id: &str, secret: &str) -> String {
    let encoded =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encoded(id), encoded(secret));
    format!("Basic {}", STANDARD.encode(pair))
}

/// The JSON object of a good answer.
fn object(answer: &Answer) -> Option<Map<String, Value>> {
    let kind = answer.content_type.as_deref().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if answer.status != 200 || !kind.to_ascii_lowercase().ends_with("json") {
        return None;
    }
    let text = strict_json::check(&answer.body).ok()?;
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(more: Value) -> Result<Metadata, UpstreamError> {
        let mut document = json!({
            "issuer": "https://a.example",
            "authorization_endpoint": "https://a.example/authorize",
            "token_endpoint": "https://a.example/token",
            "jwks_uri": "https://a.example/keys",
        });
        let document = document.as_object_mut().unwrap();
        document.extend(more.as_object().unwrap().clone());
        read_metadata(document, "https://a.example")
    }

    #[test]
    fn the_issuer_is_compared_exactly() {
        for other in [
            "https://a.example/",
            "https://A.example",
            "http://a.example",
            "",
        ] {
            let outcome = read(json!({ "issuer": other }));
            assert!(matches!(outcome, Err(UpstreamError::Issuer)), "{other}");
        }
        assert!(read(json!({ "jwks_uri": null })).is_err());
    }

    #[test]
    fn the_secret_goes_as_the_provider_takes_it() {
        let methods = |methods: Value| {
            read(json!({ "token_endpoint_auth_methods_supported": methods }))
                .unwrap()
                .takes_basic
        };
        assert!(methods(json!([
            "client_secret_post",
            "client_secret_basic"
        ])));
        assert!(!methods(json!(["client_secret_post", "private_key_jwt"])));
        assert!(methods(json!(["private_key_jwt"])) && methods(Value::Null));
        assert_eq!(basic("a:b", "c d%"), "Basic YSUzQWI6YytkJTI1");
    }
}
