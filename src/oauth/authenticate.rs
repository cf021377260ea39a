//! How clients prove who they are (RFC 6749 section 2.3, RFC 7523 section 2.2), by exactly the method that they registered.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{Fault, OAuthError, Presented, Server};
use crate::{
    clients::{AuthMethod, Client},
    form::Parameters,
    jose::{self, JoseError, PublicKeys},
    secret::Secret,
};

/// Where older libraries address their assertions to.
const ENDPOINTS: [&str; 5] = [
    "/oauth/token",
    "/oauth/par",
    "/oauth/introspect",
    "/oauth/revoke",
    "/oauth/device_authorization",
];

/// What the header of an assertion may call it (RFC 7523bis section 3.1 has the last).
const ASSERTION_TYPES: [&str; 3] = ["", "JWT", "client-authentication+jwt"];

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Seconds that an assertion may live (`OAU-15`).
const LONGEST_ASSERTION: i64 = 300;

/// The same for clients with older libraries, which give it an hour.
const LONGEST_OLDER: i64 = 3_600;

/// A client that has proved who it is, as far as it can.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Who it is.
    pub client: Arc<Client>,
    /// The assertion that it used up.
    pub(super) assertion: Option<Presented>,
}

/// What a request brings to prove who sends it.
enum Proof<'a> {
    Nothing,
    Basic(String),
    Post(&'a str),
    Assertion(&'a str),
}

impl Server {
    /// Finds the client of a request and checks its proof.
    ///
    /// # Errors
    /// `invalid_client`, the same for an unknown client and a wrong secret; `invalid_request` for two proofs at once.
    pub async fn authenticate(
        &self,
        parameters: &Parameters,
        authorization: Option<&str>,
    ) -> Result<Authenticated, OAuthError> {
        let used_header = authorization.is_some();
        self.prove(parameters, authorization)
            .await
            .map_err(|error| {
                match (error.fault, used_header) {
                    // RFC 6749 section 5.2.
                    (Fault::InvalidClient, true) => error.header(
                        "www-authenticate",
                        "Basic realm=\"tollgate\", charset=\"UTF-8\"",
                    ),
                    _ => error,
                }
            })
    }

    async fn prove(
        &self,
        parameters: &Parameters,
        authorization: Option<&str>,
    ) -> Result<Authenticated, OAuthError> {
        let basic = authorization.map(basic).transpose()?;
        let in_body = parameters.get("client_id");
        let (id, proof) = match (
            basic,
            parameters.get("client_secret"),
            parameters.get("client_assertion"),
        ) {
            (Some((id, secret)), None, None) => (id, Proof::Basic(secret)),
            (None, Some(secret), None) => (named(in_body)?, Proof::Post(secret)),
            (None, None, Some(assertion)) => {
                if parameters.get("client_assertion_type") != Some(ASSERTION_TYPE) {
                    return Err(OAuthError::invalid_request(
                        "client_assertion_type has to say jwt-bearer",
                    ));
                }
                (issuer_of(assertion)?, Proof::Assertion(assertion))
            }
            (None, None, None) => (named(in_body)?, Proof::Nothing),
            _ => {
                return Err(OAuthError::invalid_request(
                    "a client proves who it is in one way",
                ));
            }
        };
        if in_body.is_some_and(|in_body| in_body != id) {
            return Err(OAuthError::invalid_request("two different client_id"));
        }
        let client = self.find_client(&id).await.ok_or_else(refused)?;
        let registered = client.metadata.token_endpoint_auth_method;
        let assertion = match (&proof, registered) {
            (Proof::Nothing, AuthMethod::None) => None,
            (Proof::Basic(secret), AuthMethod::ClientSecretBasic) => check(&client, secret)?,
            (Proof::Post(secret), AuthMethod::ClientSecretPost) => check(&client, secret)?,
            (Proof::Assertion(assertion), AuthMethod::PrivateKeyJwt) => {
                Some(self.check_assertion(&client, assertion).await?)
            }
            _ => return Err(wrong_method(registered)),
        };
        Ok(Authenticated { client, assertion })
    }

    async fn check_assertion(
        &self,
        client: &Client,
        assertion: &str,
    ) -> Result<Presented, OAuthError> {
        let claims = self.verify_assertion(client, assertion).await?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let number = |name: &str| claims.get(name).and_then(Value::as_i64);
        if text("iss") != Some(&client.id) || text("sub") != Some(&client.id) {
            return Err(bad_assertion("iss and sub have to be the client_id"));
        }
        if !self.is_addressed(client, claims.get("aud")) {
            return Err(bad_assertion("aud has to be the issuer"));
        }
        let now = self.rules.tokens.now();
        let seconds = now.timestamp();
        let expires = number("exp").ok_or_else(|| bad_assertion("exp is missing"))?;
        let longest = match client.metadata.token_endpoint_audience {
            true => LONGEST_OLDER,
            false => LONGEST_ASSERTION,
        };
        if expires <= seconds - 5 || expires > seconds + longest + 30 {
            let description = format!("exp has to be within the next {longest} s");
            return Err(bad_assertion(description));
        }
        let begins = [number("nbf"), number("iat")];
        if begins
            .into_iter()
            .flatten()
            .any(|begin| begin > seconds + 30)
        {
            return Err(bad_assertion("it is not valid yet"));
        }
        let id = text("jti").ok_or_else(|| bad_assertion("jti is missing"))?;
        let left = (expires - seconds).max(0) + 60;
        Ok(Presented::new(
            Fault::InvalidClient,
            &client.id,
            id,
            now,
            left,
        ))
    }

    /// `aud` is our issuer and nothing else; for older libraries also the token endpoint, where the client is registered so.
    fn is_addressed(&self, client: &Client, audience: Option<&Value>) -> bool {
        let audience = match audience {
            Some(Value::Array(list)) if list.len() == 1 => list.first(),
            other => other,
        };
        let audience = audience.and_then(Value::as_str);
        let is_endpoint = |path: &&str| audience == Some(&self.at(path));
        audience == Some(self.issuer())
            || client.metadata.token_endpoint_audience && ENDPOINTS.iter().any(is_endpoint)
    }

    /// Verifies that a client has signed its assertion; one whose keys are elsewhere may have got others meanwhile.
    async fn verify_assertion(
        &self,
        client: &Client,
        assertion: &str,
    ) -> Result<Map<String, Value>, OAuthError> {
        let metadata = &client.metadata;
        let verified = |keys: &PublicKeys| jose::verify(assertion, keys, &ASSERTION_TYPES);
        if let Some(jwks) = &metadata.jwks {
            let keys = PublicKeys::parse(jwks).map_err(bad_assertion)?;
            return verified(&keys).map_err(bad_assertion);
        }
        let uri = metadata.jwks_uri.as_deref().unwrap_or_default();
        let known = self.documents.keys(uri).await;
        let known = known.ok_or_else(|| bad_assertion("the client's keys can't be fetched"))?;
        match verified(&known) {
            Err(error @ (JoseError::UnknownKey | JoseError::Signature)) => {
                let anew = self.documents.keys_anew(uri).await;
                let keys = anew.ok_or_else(|| bad_assertion(error))?;
                verified(&keys).map_err(bad_assertion)
            }
            outcome => outcome.map_err(bad_assertion),
        }
    }
}

fn named(id: Option<&str>) -> Result<String, OAuthError> {
    id.map(str::to_owned).ok_or_else(|| {
        OAuthError::new(
            Fault::InvalidClient,
            "no client_id, and nothing that names one",
        )
    })
}

fn check(client: &Client, secret: &str) -> Result<Option<Presented>, OAuthError> {
    let stored = client.secret_hash.as_deref().ok_or_else(refused)?;
    if Secret::matches(secret, stored) {
        Ok(None)
    } else {
        Err(refused())
    }
}

fn refused() -> OAuthError {
    OAuthError::new(
        Fault::InvalidClient,
        "there is no such client, or it did not prove who it is",
    )
}

fn wrong_method(registered: AuthMethod) -> OAuthError {
    let description = format!("this client is registered for {}", registered.name());
    OAuthError::new(Fault::InvalidClient, description)
}

fn bad_assertion(reason: impl std::fmt::Display) -> OAuthError {
    OAuthError::new(Fault::InvalidClient, format!("client_assertion: {reason}"))
}

/// `client_id` and secret of a Basic header, each form-encoded (RFC 6749 section 2.3.1).
fn basic(header: &str) -> Result<(String, String), OAuthError> {
    let malformed = || {
        OAuthError::new(
            Fault::InvalidClient,
            "the Authorization header is not Basic",
        )
    };
    let (scheme, encoded) = header.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = STANDARD
        .decode(encoded.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(malformed)?;
    let (id, secret) = decoded.split_once(':').ok_or_else(malformed)?;
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_not_utf8| malformed())
    };
    Ok((decode(id)?, decode(secret)?))
}

/// Who an assertion says it is from; nothing of it is believed before its signature is checked.
fn issuer_of(assertion: &str) -> Result<String, OAuthError> {
    jose::claimed_issuer(assertion).ok_or_else(|| bad_assertion("it is malformed"))
}
