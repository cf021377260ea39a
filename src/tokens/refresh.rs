//! Refresh tokens: JWTs that only Tollgate reads; each names a session and a generation, and no row holds one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Refusal, Tokens, check_times, jws};
use crate::{
    error::{ApiError, Code},
    keys::{Key, Purpose, Slot},
    strict_json,
};

const TYPE: &str = "rt+jwt";

/// The claims of a refresh token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshClaims {
    /// Tollgate's address.
    pub iss: String,
    /// The token endpoint, which alone reads it.
    pub aud: String,
    /// The user's id.
    pub sub: Uuid,
    /// The session.
    pub sid: Uuid,
    /// The generation.
    #[serde(rename = "gen")]
    pub generation: i64,
    /// The app it was given to.
    pub client_id: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// HMAC of session and generation.
    pub jti: String,
}

/// What a refresh token is made of; the same values make the same token, byte for byte.
#[derive(Clone, Debug)]
pub struct RefreshGrant {
    /// The user's id.
    pub user_id: Uuid,
    /// The app that it is given to.
    pub client_id: String,
    /// The session.
    pub session_id: Uuid,
    /// The generation.
    pub generation: i64,
    /// When the generation began.
    pub issued_at: DateTime<Utc>,
    /// When the token expires.
    pub expires_at: DateTime<Utc>,
    /// The key that signs it; `None` means the current one.
    pub kid: Option<String>,
}

impl Tokens {
    /// Makes the refresh token of a generation.
    ///
    /// # Errors
    /// 503 while the key is not known here.
    pub fn issue_refresh(&self, grant: &RefreshGrant) -> Result<String, ApiError> {
        let kid = match &grant.kid {
            Some(kid) => Some(kid.clone()),
            None => self.refresh_kid(),
        };
        let key = kid.and_then(|kid| self.keyring().by_kid(&kid));
        // Another replica may have made it a moment ago, in place of one that had to go at once.
        let key = key.ok_or(Code::Overloaded)?;
        let claims = RefreshClaims {
            iss: self.settings.issuer.clone(),
            aud: self.refresh_audience(),
            sub: grant.user_id,
            sid: grant.session_id,
            generation: grant.generation,
            client_id: grant.client_id.clone(),
            iat: grant.issued_at.timestamp(),
            exp: grant.expires_at.timestamp(),
            jti: token_id(&key, grant.session_id, grant.generation)?,
        };
        jws::sign(&key, TYPE, &claims)
    }

    /// Verifies a refresh token before any work in the database; whether `client_id` is who presents it is the caller's to check.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify_refresh(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<RefreshClaims, Refusal> {
        let (key, payload) =
            self.verified_payload(&jws::Parts::split(token)?, Purpose::Refresh, TYPE)?;
        let text = strict_json::check(&payload).map_err(|_fault| Refusal::Malformed)?;
        let claims: RefreshClaims =
            serde_json::from_str(text).map_err(|_mistyped| Refusal::Malformed)?;
        if claims.iss != self.settings.issuer {
            return Err(Refusal::Issuer);
        }
        if claims.aud != self.refresh_audience() {
            return Err(Refusal::Audience);
        }
        let expected =
            token_id(&key, claims.sid, claims.generation).map_err(|_no_hmac| Refusal::Signature)?;
        if claims.jti != expected {
            return Err(Refusal::Claim("jti"));
        }
        check_times(claims.exp, claims.iat, None, now)?;
        Ok(claims)
    }

    /// The name of the key that signs new refresh tokens.
    pub fn refresh_kid(&self) -> Option<String> {
        let keyring = self.keyring();
        let key = keyring.signing(&Slot::internal(Purpose::Refresh))?;
        Some(key.kid.clone())
    }

    fn refresh_audience(&self) -> String {
        format!("{}/v1/tokens", self.settings.issuer)
    }
}

/// HMAC(sid, gen): names the token without a row of its own.
fn token_id(key: &Key, session_id: Uuid, generation: i64) -> Result<String, ApiError> {
    let name = format!("{session_id}\n{generation}");
    let tag = key.sign(name.as_bytes()).map_err(ApiError::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(tag.get(..16).unwrap_or_default()))
}
