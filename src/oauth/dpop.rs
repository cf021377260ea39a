//! Proofs that a client holds a key (RFC 9449).

use diesel::PgConnection;

use super::{Failing, Fault, OAuthError, Presented, Server};
use crate::{
    error::{ApiError, Code},
    jose::{self, Proof},
};

/// Seconds that a nonce is good for, twice.
const NONCE_PERIOD: i64 = 300;

/// Seconds after which a proof is too old in any case, so that nobody has to remember it longer.
const REMEMBERED: i64 = 120;

/// A key that a request has proved to hold.
#[derive(Clone, Debug)]
pub struct HeldKey {
    /// Its thumbprint (RFC 7638).
    pub thumbprint: String,
    /// The proof that was used up.
    pub(super) presented: Presented,
}

impl HeldKey {
    /// Uses the proof up.
    ///
    /// # Errors
    /// 401 for one that was presented before.
    pub fn use_up(&self, conn: &mut PgConnection) -> Result<(), ApiError> {
        self.presented
            .take(conn)
            .map_err(|error| match error.into_ours() {
                Ok(ours) => ours,
                Err(refused) => challenged(refused),
            })
    }
}

/// The refusal of a proof as the API says it (RFC 9449 section 7.1).
fn challenged(error: OAuthError) -> ApiError {
    let challenge = format!(
        "DPoP error=\"{}\", error_description=\"{}\", algs=\"{}\"",
        error.fault.name(),
        super::error::described(&error.description),
        jose::ALGORITHMS.join(" "),
    );
    let mut refused = ApiError::new(Code::InvalidToken, error.description);
    refused.headers = error.headers;
    refused.header("www-authenticate", challenge)
}

impl Server {
    /// Checks the proof of a request, if it has one.
    ///
    /// # Errors
    /// `invalid_dpop_proof`; `use_dpop_nonce` with a nonce where one is demanded.
    pub fn held_key(
        &self,
        proofs: &[&str],
        method: &str,
        path: &str,
        access_token: Option<&str>,
    ) -> Result<Option<HeldKey>, OAuthError> {
        let bad = |reason: String| OAuthError::new(Fault::InvalidDpopProof, reason);
        let proof = match proofs {
            [] => return Ok(None),
            [one] => Proof::verify(one).map_err(|error| bad(error.to_string()))?,
            _ => return Err(bad("more than one DPoP header".to_owned())),
        };
        let now = self.rules.tokens.now();
        proof
            .check(method, &self.at(path), now.timestamp(), access_token)
            .map_err(|error| bad(error.to_string()))?;
        match &proof.nonce {
            Some(nonce) if !self.is_nonce(nonce, now.timestamp()) => return Err(self.use_nonce()?),
            None if self.config.require_dpop_nonce => return Err(self.use_nonce()?),
            _ => {}
        }
        let whose = &proof.thumbprint;
        let presented = Presented::new(Fault::InvalidDpopProof, whose, &proof.jti, now, REMEMBERED);
        Ok(Some(HeldKey {
            thumbprint: proof.thumbprint,
            presented,
        }))
    }

    /// Checks the proof of a request with a token that is bound to a key (RFC 9449 section 7).
    ///
    /// # Errors
    /// 401 with a challenge of the scheme `DPoP`.
    pub fn check_bound(
        &self,
        proofs: &[&str],
        method: &str,
        path: &str,
        access_token: &str,
        thumbprint: &str,
    ) -> Result<HeldKey, ApiError> {
        let bad = |reason| OAuthError::new(Fault::InvalidDpopProof, reason);
        let key = self
            .held_key(proofs, method, path, Some(access_token))
            .and_then(|key| key.ok_or_else(|| bad("the DPoP proof is missing")))
            .map_err(challenged)?;
        if key.thumbprint == thumbprint {
            Ok(key)
        } else {
            Err(challenged(bad("the access token is bound to another key")))
        }
    }

    fn use_nonce(&self) -> Result<OAuthError, OAuthError> {
        let error = OAuthError::new(Fault::UseDpopNonce, "the DPoP proof needs this nonce");
        Ok(error.header("dpop-nonce", self.nonce()?))
    }

    /// A nonce that every replica knows for ours.
    ///
    /// # Errors
    /// 500 without a key.
    pub fn nonce(&self) -> Result<String, OAuthError> {
        let period = self.rules.tokens.now().timestamp() / NONCE_PERIOD;
        let tag = self.rules.tokens.tag("dpop nonce", &period.to_string())?;
        Ok(format!("{period}.{tag}"))
    }

    fn is_nonce(&self, nonce: &str, now: i64) -> bool {
        let Some((period, tag)) = nonce.split_once('.') else {
            return false;
        };
        let current = now / NONCE_PERIOD;
        period
            .parse::<i64>()
            .is_ok_and(|period| period == current || period == current - 1)
            && self.rules.tokens.has_tagged("dpop nonce", period, tag)
    }
}
