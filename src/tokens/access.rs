//! Access tokens: JWTs after RFC 9068 that anyone with the key can verify.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    FIRST_PARTY_CLIENT, Refusal, Tokens, Verified, check_expiry, check_times, jws,
    verified::VerifiedTokens,
};
use crate::{
    config::OnLoss,
    error::ApiError,
    keys::{Purpose, Slot},
    revocation::Bearer,
    scope::{Authority, Scopes},
    strict_json,
};

const TYPE: &str = "at+jwt";

/// The claims of an access token, RFC 9068 section 2.2.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessClaims {
    /// Who made it: Tollgate's address.
    pub iss: String,
    /// Whose it is: the user's id.
    pub sub: Uuid,
    /// The one API it is for.
    pub aud: String,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// Its own id.
    pub jti: Uuid,
    /// The app that asked for it.
    pub client_id: String,
    /// What it may do, separated by spaces.
    pub scope: String,
    /// The session it belongs to.
    pub sid: Uuid,
    /// The session's refresh generation that it was made in.
    #[serde(rename = "gen")]
    #[schema(rename = "gen")]
    pub generation: i64,
    /// The user's epoch: it grows when all of a user's tokens must die.
    pub uep: i64,
    /// When the user last proved who they are, in seconds since 1970.
    pub auth_time: i64,
    /// How strongly they did.
    pub acr: String,
    /// By which means they did (RFC 8176).
    pub amr: Vec<String>,
    /// The user's roles.
    pub roles: Vec<String>,
    /// Claims that the configuration maps from the user.
    #[serde(flatten)]
    pub private: Map<String, Value>,
}

/// What an access token is made of.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The user's id.
    pub user_id: Uuid,
    /// The user's epoch.
    pub user_epoch: i64,
    /// The user's roles.
    pub roles: Vec<String>,
    /// The session.
    pub session_id: Uuid,
    /// The session's refresh generation.
    pub generation: i64,
    /// What the token may do.
    pub scopes: Scopes,
    /// When the user last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// How strongly they did.
    pub acr: String,
    /// By which means they did.
    pub amr: Vec<String>,
    /// The API it is for; `None` means this one.
    pub audience: Option<String>,
    /// Claims that the configuration maps from the user.
    pub private: Map<String, Value>,
}

/// A new access token.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// Seconds until it expires.
    pub expires_in: i64,
}

impl Tokens {
    /// Makes an access token.
    ///
    /// # Errors
    /// 422 above 4 KiB; 500 for an audience without a key.
    pub fn issue_access(&self, grant: Grant, now: DateTime<Utc>) -> Result<Issued, ApiError> {
        let settings = &self.settings;
        let audience = grant.audience.unwrap_or_else(|| settings.audience.clone());
        let keyring = self.keyring();
        let key = settings
            .algorithms
            .get(&audience)
            .and_then(|algorithm| keyring.signing(&Slot::access(*algorithm, &audience)))
            .ok_or_else(|| ApiError::internal(format!("no key signs for {audience}")))?;
        let claims = AccessClaims {
            iss: settings.issuer.clone(),
            sub: grant.user_id,
            aud: audience,
            exp: now.timestamp() + settings.access_lifetime,
            iat: now.timestamp(),
            jti: Uuid::now_v7(),
            client_id: FIRST_PARTY_CLIENT.to_owned(),
            scope: grant.scopes.to_string(),
            sid: grant.session_id,
            generation: grant.generation,
            uep: grant.user_epoch,
            auth_time: grant.auth_time.timestamp(),
            acr: grant.acr,
            amr: grant.amr,
            roles: grant.roles,
            private: grant.private,
        };
        Ok(Issued {
            token: jws::sign(key, TYPE, &claims)?,
            expires_in: settings.access_lifetime,
        })
    }

    /// Verifies an access token for this API: key, algorithm, type, signature, issuer, audience, times, revocation. No I/O.
    ///
    /// Of what was verified before only expiry and revocation are checked.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify_access(&self, token: &str, now: DateTime<Utc>) -> Result<Arc<Verified>, Refusal> {
        // Before hashing it: a token of this size is none of ours.
        let parts = jws::Parts::split(token)?;
        let fingerprint = VerifiedTokens::fingerprint(token).ok_or(Refusal::Malformed)?;
        let verified = match self.verified.get(&fingerprint) {
            Some(verified) => {
                check_expiry(verified.claims.exp, now)?;
                self.check_alive(&verified)?;
                verified
            }
            None => {
                let verified = Arc::new(self.verify_anew(&parts, now)?);
                self.check_alive(&verified)?;
                self.verified
                    .insert(fingerprint, Arc::clone(&verified), now.timestamp());
                verified
            }
        };
        if verified.is_seen_again(now.timestamp()) {
            self.uses
                .note(verified.claims.sid, verified.claims.generation);
        }
        Ok(verified)
    }

    /// Checks that nothing has killed a token before its time.
    fn check_alive(&self, verified: &Verified) -> Result<(), Refusal> {
        let claims = &verified.claims;
        let bearer = Bearer {
            session: claims.sid,
            user: claims.sub,
            epoch: claims.uep,
            client: &claims.client_id,
            token: claims.jti,
            key: &verified.kid,
        };
        // A key that is gone verifies nothing, also what it verified before.
        if self.revocations.hold(&bearer) || self.keyring().by_kid(&verified.kid).is_none() {
            return Err(Refusal::Revoked);
        }
        if self.settings.on_loss == OnLoss::Refuse && self.revocations.are_lost() {
            return Err(Refusal::Undecided);
        }
        Ok(())
    }

    fn verify_anew(&self, parts: &jws::Parts<'_>, now: DateTime<Utc>) -> Result<Verified, Refusal> {
        let (key, payload) = self.verified_payload(parts, Purpose::Access, TYPE)?;
        let (claims, not_before) = AccessClaims::parse(&payload)?;
        if claims.iss != self.settings.issuer {
            return Err(Refusal::Issuer);
        }
        let bound_elsewhere = !key.slot.audience.is_empty() && key.slot.audience != claims.aud;
        if claims.aud != self.settings.audience || bound_elsewhere {
            return Err(Refusal::Audience);
        }
        check_times(claims.exp, claims.iat, not_before, now)?;
        let scopes = claims
            .scope
            .parse()
            .map_err(|_no_scopes| Refusal::Claim("scope"))?;
        let authority = Authority::new(scopes, &claims.roles);
        Ok(Verified::new(claims, authority, key.kid.clone()))
    }

    /// The configured claims that `user`, given as JSON, has values for.
    pub fn private_claims(&self, user: &Value) -> Map<String, Value> {
        self.settings.private_claims.of(user)
    }
}

impl AccessClaims {
    /// Reads claims, each once and of its exact type; the second value is `nbf`.
    fn parse(payload: &[u8]) -> Result<(Self, Option<i64>), Refusal> {
        let text = strict_json::check(payload).map_err(|_fault| Refusal::Malformed)?;
        let mut object: Map<String, Value> =
            serde_json::from_str(text).map_err(|_no_object| Refusal::Malformed)?;
        let not_before = match object.remove("nbf") {
            Some(value) => Some(typed(value, "nbf")?),
            None => None,
        };
        let claims = Self {
            iss: take(&mut object, "iss")?,
            sub: take(&mut object, "sub")?,
            aud: take(&mut object, "aud")?,
            exp: take(&mut object, "exp")?,
            iat: take(&mut object, "iat")?,
            jti: take(&mut object, "jti")?,
            client_id: take(&mut object, "client_id")?,
            scope: take(&mut object, "scope")?,
            sid: take(&mut object, "sid")?,
            generation: take(&mut object, "gen")?,
            uep: take(&mut object, "uep")?,
            auth_time: take(&mut object, "auth_time")?,
            acr: take(&mut object, "acr")?,
            amr: take(&mut object, "amr")?,
            roles: take(&mut object, "roles")?,
            private: object,
        };
        Ok((claims, not_before))
    }
}

pub(super) fn take<T: DeserializeOwned>(
    object: &mut Map<String, Value>,
    name: &'static str,
) -> Result<T, Refusal> {
    typed(object.remove(name).ok_or(Refusal::Claim(name))?, name)
}

fn typed<T: DeserializeOwned>(value: Value, name: &'static str) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|_mistyped| Refusal::Claim(name))
}
