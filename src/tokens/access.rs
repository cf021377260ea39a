//! Access tokens: JWTs after RFC 9068 that anyone with the key can verify.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Refusal, Tokens, Verified, check_expiry, check_times, jws, subject::Subject,
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

/// The claims of an access token, RFC 9068 section 2.2; those from `sid` to `roles` only where it speaks for a user.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessClaims {
    /// Who made it: Tollgate's address.
    pub iss: String,
    /// Whose it is: the user's id, or the client's own where no user is involved.
    #[schema(value_type = String, example = "019ab0c8-5a7e-7c3e-9b5e-2f2f6b0e7a10")]
    pub sub: Subject,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// The session's refresh generation that it was made in.
    #[serde(rename = "gen", skip_serializing_if = "Option::is_none")]
    #[schema(rename = "gen")]
    pub generation: Option<i64>,
    /// The user's epoch: it grows when all of a user's tokens must die.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uep: Option<i64>,
    /// When the user last proved who they are, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// How strongly they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// By which means they did (RFC 8176).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amr: Option<Vec<String>>,
    /// The user's roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// The key whose holder alone may use it (RFC 7800).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Who acts for the user (RFC 8693 section 4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub act: Option<Value>,
    /// Claims that the configuration maps from the user.
    #[serde(flatten)]
    pub private: Map<String, Value>,
}

/// The key that a token is bound to, RFC 9449 section 6.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The thumbprint of its public half (RFC 7638).
    pub jkt: String,
}

/// What an access token is made of.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The app that asks for it.
    pub client_id: String,
    /// What it may do.
    pub scopes: Scopes,
    /// The API it is for; `None` means this one.
    pub audience: Option<String>,
    /// For whom it speaks; `None` means for the client itself.
    pub user: Option<UserGrant>,
    /// The thumbprint of the key that it is bound to.
    pub key: Option<String>,
    /// Who acts for the user.
    pub act: Option<Value>,
    /// When it expires at the latest, in seconds since 1970.
    pub until: Option<i64>,
}

/// For which user, in which session, an access token speaks.
#[derive(Clone, Debug)]
pub struct UserGrant {
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
    /// When the user last proved who they are, in seconds since 1970.
    pub auth_time: i64,
    /// How strongly they did.
    pub acr: String,
    /// By which means they did.
    pub amr: Vec<String>,
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
        let now = now.timestamp();
        let longest = now + settings.access_lifetime;
        let expires = grant.until.map_or(longest, |until| longest.min(until));
        let (subject, user) = match grant.user {
            Some(user) => (Subject::User(user.user_id), Some(user)),
            None => (Subject::Client(grant.client_id.clone()), None),
        };
        let mut claims = AccessClaims {
            iss: settings.issuer.clone(),
            sub: subject,
            aud: audience,
            exp: expires,
            iat: now,
            jti: Uuid::now_v7(),
            client_id: grant.client_id,
            scope: grant.scopes.to_string(),
            sid: None,
            generation: None,
            uep: None,
            auth_time: None,
            acr: None,
            amr: None,
            roles: None,
            cnf: grant.key.map(|jkt| Confirmation { jkt }),
            act: grant.act,
            private: Map::new(),
        };
        if let Some(user) = user {
            claims.sid = Some(user.session_id);
            claims.generation = Some(user.generation);
            claims.uep = Some(user.user_epoch);
            claims.auth_time = Some(user.auth_time);
            claims.acr = Some(user.acr);
            claims.amr = Some(user.amr);
            claims.roles = Some(user.roles);
            claims.private = user.private;
        }
        Ok(Issued {
            token: jws::sign(key, TYPE, &claims)?,
            expires_in: expires - now,
        })
    }

    /// Verifies an access token for this API: key, algorithm, type, signature, issuer, audience, times, revocation. No I/O.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify_access(&self, token: &str, now: DateTime<Utc>) -> Result<Arc<Verified>, Refusal> {
        let verified = self.verify_for_any(token, now)?;
        if verified.claims.aud != self.settings.audience {
            return Err(Refusal::Audience);
        }
        Ok(verified)
    }

    /// The same for whichever API of ours a token is, for those who ask about it. Of what was verified before only expiry
    /// and revocation are checked.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify_for_any(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Arc<Verified>, Refusal> {
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
            self.note_use(&verified.claims);
        }
        Ok(verified)
    }

    fn note_use(&self, claims: &AccessClaims) {
        if let (Some(session_id), Some(generation)) = (claims.sid, claims.generation) {
            self.uses.note(session_id, generation);
        }
    }

    /// Whether a token's session is over, or whose it is: no newer one can be good.
    pub fn is_over(&self, verified: &Verified) -> bool {
        self.revocations.have_ended(&bearer(verified))
    }

    /// Checks that nothing has killed a token before its time.
    ///
    /// # Errors
    /// Something has, or nobody can tell.
    pub fn check_alive(&self, verified: &Verified) -> Result<(), Refusal> {
        let bearer = bearer(verified);
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
        if bound_elsewhere || !self.knows_audience(&claims.aud) {
            return Err(Refusal::Audience);
        }
        check_times(claims.exp, claims.iat, not_before, now)?;
        let scopes = claims
            .scope
            .parse()
            .map_err(|_no_scopes| Refusal::Claim("scope"))?;
        let authority = Authority::new(scopes, claims.roles.as_deref().unwrap_or_default());
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
        let not_before = take_if_there(&mut object, "nbf")?;
        let sid = take_if_there(&mut object, "sid")?;
        let client_id: String = take(&mut object, "client_id")?;
        let sub: String = take(&mut object, "sub")?;
        let claims = Self {
            iss: take(&mut object, "iss")?,
            sub: Subject::read(sub, sid.is_some(), &client_id).ok_or(Refusal::Claim("sub"))?,
            aud: take(&mut object, "aud")?,
            exp: take(&mut object, "exp")?,
            iat: take(&mut object, "iat")?,
            jti: take(&mut object, "jti")?,
            client_id,
            scope: take(&mut object, "scope")?,
            generation: take_with(sid, &mut object, "gen")?,
            uep: take_with(sid, &mut object, "uep")?,
            auth_time: take_with(sid, &mut object, "auth_time")?,
            acr: take_with(sid, &mut object, "acr")?,
            amr: take_with(sid, &mut object, "amr")?,
            roles: take_with(sid, &mut object, "roles")?,
            sid,
            cnf: take_if_there(&mut object, "cnf")?,
            act: take_if_there(&mut object, "act")?,
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

fn take_if_there<T: DeserializeOwned>(
    object: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<T>, Refusal> {
    let value = object.remove(name);
    value.map(|value| typed(value, name)).transpose()
}

/// Takes what a token that speaks for a user has, and no other.
fn take_with<T: DeserializeOwned>(
    session: Option<Uuid>,
    object: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<T>, Refusal> {
    match session {
        Some(_) => take(object, name).map(Some),
        None if object.contains_key(name) => Err(Refusal::Claim(name)),
        None => Ok(None),
    }
}

fn typed<T: DeserializeOwned>(value: Value, name: &'static str) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|_mistyped| Refusal::Claim(name))
}

/// What of a token can be revoked.
fn bearer(verified: &Verified) -> Bearer<'_> {
    let claims = &verified.claims;
    Bearer {
        session: claims.sid.unwrap_or_default(),
        user: claims.sub.id(),
        epoch: claims.uep.unwrap_or(i64::MAX),
        client: &claims.client_id,
        token: claims.jti,
        key: &verified.kid,
    }
}
