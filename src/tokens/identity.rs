//! What clients learn of users: ID tokens (OpenID Connect Core section 2) and other signed statements.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Refusal, Tokens, jws};
use crate::{
    error::ApiError,
    keys::{Key, Keyring, Purpose, Slot},
    strict_json,
};

/// The type of ID tokens, and of everything else that no standard has named more exactly.
const TYPE: &str = "JWT";

/// What an ID token is made of.
#[derive(Clone, Debug)]
pub struct IdentityGrant<'a> {
    /// The user's id.
    pub user_id: Uuid,
    /// The app that learns it.
    pub client_id: &'a str,
    /// The app's session.
    pub session_id: Uuid,
    /// When the user last proved who they are, in seconds since 1970.
    pub auth_time: i64,
    /// How strongly they did.
    pub acr: &'a str,
    /// By which means they did.
    pub amr: &'a [String],
    /// What the app sent along to tell its own request.
    pub nonce: Option<&'a str>,
    /// The access token that comes with it.
    pub access_token: &'a str,
    /// More about the user.
    pub claims: Map<String, Value>,
}

#[derive(Serialize)]
struct IdentityClaims<'a> {
    iss: &'a str,
    sub: Uuid,
    aud: &'a str,
    exp: i64,
    iat: i64,
    auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    acr: &'a str,
    amr: &'a [String],
    sid: Uuid,
    at_hash: String,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// What an ID token that comes back says; it may have expired long ago.
#[derive(Clone, Debug, Deserialize)]
pub struct IdentityHint {
    iss: String,
    /// The user's id.
    pub sub: Uuid,
    /// The app that it was given to.
    #[serde(rename = "aud")]
    pub client_id: String,
    /// The app's session.
    pub sid: Uuid,
    /// Every ID token has one, and nothing else that has this type.
    #[serde(rename = "at_hash")]
    _at_hash: String,
}

/// The kinds of signed statements besides ID tokens.
#[derive(Clone, Copy, Debug)]
pub enum Statement {
    /// Claims about a user (OpenID Connect Core section 5.3.2).
    UserInfo,
    /// What a token is worth (RFC 9701).
    Introspection,
    /// That a session has ended (OpenID Connect Back-Channel Logout section 2.4).
    Logout,
}

impl Tokens {
    /// Makes an ID token; it lives as long as an access token.
    ///
    /// # Errors
    /// 422 when it would be too large, 500 without a key.
    pub fn issue_identity(
        &self,
        grant: IdentityGrant<'_>,
        now: DateTime<Utc>,
    ) -> Result<String, ApiError> {
        let keyring = self.keyring();
        let claims = IdentityClaims {
            iss: self.issuer(),
            sub: grant.user_id,
            aud: grant.client_id,
            exp: now.timestamp() + self.settings.access_lifetime,
            iat: now.timestamp(),
            auth_time: grant.auth_time,
            nonce: grant.nonce,
            acr: grant.acr,
            amr: grant.amr,
            sid: grant.session_id,
            at_hash: half_hash(grant.access_token),
            more: grant.claims,
        };
        jws::sign(identity_key(&keyring)?, TYPE, &claims)
    }

    /// Signs a statement.
    ///
    /// # Errors
    /// 422 when it would be too large, 500 without a key.
    pub fn sign_statement(&self, kind: Statement, claims: &Value) -> Result<String, ApiError> {
        let kind = match kind {
            Statement::UserInfo => TYPE,
            Statement::Introspection => "token-introspection+jwt",
            Statement::Logout => "logout+jwt",
        };
        jws::sign(identity_key(&self.keyring())?, kind, claims)
    }

    /// Reads an ID token of ours that a client sends back as a hint, whatever its age.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn read_hint(&self, token: &str) -> Result<IdentityHint, Refusal> {
        let parts = jws::Parts::split(token)?;
        let (_, payload) = self.verified_payload(&parts, Purpose::Identity, TYPE)?;
        let text = strict_json::check(&payload).map_err(|_fault| Refusal::Malformed)?;
        let hint: IdentityHint =
            serde_json::from_str(text).map_err(|_mistyped| Refusal::Malformed)?;
        if hint.iss != self.settings.issuer {
            return Err(Refusal::Issuer);
        }
        Ok(hint)
    }

    /// A tag over what we give to ourselves by way of a browser or a client; `place` keeps one use from another.
    ///
    /// # Errors
    /// 500 without a key.
    pub fn tag(&self, place: &str, text: &str) -> Result<String, ApiError> {
        let keyring = self.keyring();
        let key = keyring
            .signing(&Slot::internal(Purpose::Page))
            .ok_or_else(|| ApiError::internal("no key signs what pages hold"))?;
        let tag = key
            .sign(format!("{place}\n{text}").as_bytes())
            .map_err(ApiError::internal)?;
        Ok(URL_SAFE_NO_PAD.encode(tag))
    }

    /// Tells whether a tag is ours.
    pub fn has_tagged(&self, place: &str, text: &str, tag: &str) -> bool {
        let message = format!("{place}\n{text}");
        self.keyring()
            .verifying(Purpose::Page)
            .any(|key| key.verifies(tag, message.as_bytes()))
    }
}

fn identity_key(keyring: &Keyring) -> Result<&Key, ApiError> {
    keyring
        .signing(&Slot::identity())
        .ok_or_else(|| ApiError::internal("no key signs ID tokens"))
}

/// `at_hash`: the left half of the SHA-256 (OpenID Connect Core section 3.1.3.6).
fn half_hash(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}
