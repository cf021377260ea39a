//! Proofs that a client holds the key its tokens are bound to (DPoP, RFC 9449).

use serde_json::{Map, Value};

use super::{
    Compact, JoseError,
    keys::PublicKey,
    target::normalise,
    thumbprint::{sha256, thumbprint},
};

/// Seconds for which a proof is good.
const LIFETIME: i64 = 60;

/// How far ahead of our clock a proof may have been made, in seconds.
const AHEAD: i64 = 30;

/// Bytes of the longest `jti`, which is kept until the proof has expired.
const MAX_JTI: usize = 256;

/// A proof whose signature and form are right; `check` tells whether it is for this request.
///
/// That `jti` is new and `nonce` ours is the caller's to check (RFC 9449 section 4.3, points 10 and 12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The SHA-256 thumbprint of the key (RFC 7638), which tokens hold as `cnf.jkt`.
    pub thumbprint: String,
    /// The proof's own name.
    pub jti: String,
    /// The HTTP method that it is for.
    pub method: String,
    /// The address that it is for: normalised, without query and fragment.
    pub target: String,
    /// When it was made, in seconds since 1970.
    pub issued_at: i64,
    /// The SHA-256 of the access token that it goes with, in base64url.
    pub access_token_hash: Option<String>,
    /// The nonce that the server gave.
    pub nonce: Option<String>,
}

impl Proof {
    /// Reads the value of a `DPoP` header and verifies it with the key inside (RFC 9449 section 4.2).
    ///
    /// # Errors
    /// `JoseError`, all of which are `invalid_dpop_proof`.
    pub fn verify(value: &str) -> Result<Self, JoseError> {
        let token = Compact::read(value)?;
        if token.text("typ")? != Some("dpop+jwt") {
            return Err(JoseError::Type);
        }
        let jwk = token.header.get("jwk").ok_or(JoseError::Header)?;
        let key = PublicKey::parse(jwk)?.ok_or(JoseError::UnknownKey)?;
        if !token.is_signed_by(&key) {
            return Err(JoseError::Signature);
        }
        let claims = token.claims()?;
        let jti = required(&claims, "jti")?;
        if jti.is_empty() || jti.len() > MAX_JTI {
            return Err(JoseError::Claim("jti"));
        }
        Ok(Self {
            thumbprint: thumbprint(jwk).ok_or(JoseError::MalformedKey)?,
            jti,
            method: required(&claims, "htm")?,
            target: normalise(&required(&claims, "htu")?).ok_or(JoseError::Claim("htu"))?,
            issued_at: claims
                .get("iat")
                .and_then(Value::as_i64)
                .ok_or(JoseError::Claim("iat"))?,
            access_token_hash: optional(&claims, "ath")?,
            nonce: optional(&claims, "nonce")?,
        })
    }

    /// Checks that the proof was made just now for this request, and for `access_token` exactly when there is one.
    ///
    /// # Errors
    /// `Mismatch` with the claim that is for something else, `Untimely`.
    pub fn check(
        &self,
        method: &str,
        target: &str,
        now: i64,
        access_token: Option<&str>,
    ) -> Result<(), JoseError> {
        if self.method != method {
            return Err(JoseError::Mismatch("htm"));
        }
        if normalise(target).as_ref() != Some(&self.target) {
            return Err(JoseError::Mismatch("htu"));
        }
        if !(-AHEAD..=LIFETIME).contains(&now.saturating_sub(self.issued_at)) {
            return Err(JoseError::Untimely);
        }
        if self.access_token_hash != access_token.map(|token| sha256(token.as_bytes())) {
            return Err(JoseError::Mismatch("ath"));
        }
        Ok(())
    }
}

fn optional(claims: &Map<String, Value>, name: &'static str) -> Result<Option<String>, JoseError> {
    let claim = claims.get(name);
    claim
        .map(|value| {
            value
                .as_str()
                .map(str::to_owned)
                .ok_or(JoseError::Claim(name))
        })
        .transpose()
}

fn required(claims: &Map<String, Value>, name: &'static str) -> Result<String, JoseError> {
    optional(claims, name)?.ok_or(JoseError::Claim(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::samples::Sample;

    /// RFC 9449 section 4.1, figure 1.
    const AT_TOKEN_ENDPOINT: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

    /// RFC 9449 section 7.1, figure 12.
    const AT_RESOURCE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";

    const ACCESS_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

    #[test]
    fn the_proofs_of_rfc_9449_are_verified() {
        let proof = Proof::verify(AT_TOKEN_ENDPOINT).unwrap();
        assert_eq!(
            proof,
            Proof {
                thumbprint: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".to_owned(),
                jti: "-BwC3ESc6acc2lTc".to_owned(),
                method: "POST".to_owned(),
                target: "https://server.example.com/token".to_owned(),
                issued_at: 1_562_262_616,
                access_token_hash: None,
                nonce: None,
            }
        );
        let target = "https://server.example.com/token";
        assert_eq!(proof.check("POST", target, 1_562_262_616, None), Ok(()));

        let proof = Proof::verify(AT_RESOURCE).unwrap();
        let target = "https://resource.example.org/protectedresource";
        assert_eq!(
            proof.check("GET", target, 1_562_262_620, Some(ACCESS_TOKEN)),
            Ok(())
        );
    }

    #[test]
    fn oau_23_a_proof_for_something_else_is_refused() {
        let bound = Proof::verify(AT_RESOURCE).unwrap();
        let free = Proof {
            access_token_hash: None,
            ..bound.clone()
        };
        let check = |proof: &Proof, method: &str, path: &str, now: i64, token: Option<&str>| {
            let target = format!("https://resource.example.org/{path}");
            proof.check(method, &target, 1_562_262_618 + now, token)
        };
        let (path, token) = ("protectedresource", Some(ACCESS_TOKEN));
        let mismatch = |claim| Err(JoseError::Mismatch(claim));
        for now in [-30, 0, 60] {
            assert_eq!(check(&bound, "GET", path, now, token), Ok(()));
            assert_eq!(check(&free, "GET", path, now, None), Ok(()));
        }
        for now in [-31, 61] {
            assert_eq!(
                check(&bound, "GET", path, now, token),
                Err(JoseError::Untimely)
            );
        }
        for method in ["POST", "get", ""] {
            assert_eq!(check(&bound, method, path, 0, token), mismatch("htm"));
        }
        for path in [
            "",
            "protectedresource/",
            "Protectedresource",
            "./protectedresource",
        ] {
            assert_eq!(check(&bound, "GET", path, 0, token), mismatch("htu"));
        }
        for (proof, token) in [(&bound, None), (&bound, Some("other")), (&free, token)] {
            assert_eq!(check(proof, "GET", path, 0, token), mismatch("ath"));
        }
        let far = Proof {
            issued_at: i64::MIN,
            ..bound
        };
        assert_eq!(check(&far, "GET", path, 0, token), Err(JoseError::Untimely));
    }

    fn claims() -> Value {
        json!({ "jti": "1", "htm": "GET", "htu": "https://a.example/", "iat": 1, "nonce": "n" })
    }

    #[test]
    fn every_kind_of_key_can_prove() {
        for (sample, algorithms) in [
            (Sample::rsa(), &["RS256", "PS256"][..]),
            (Sample::ec(), &["ES256"]),
            (Sample::ed(), &["EdDSA", "Ed25519"]),
        ] {
            for algorithm in algorithms {
                let header = json!({ "typ": "dpop+jwt", "alg": algorithm, "jwk": sample.jwk() });
                let proof = Proof::verify(&sample.token(&header, &claims())).unwrap();
                assert_eq!(Some(proof.thumbprint), thumbprint(&sample.jwk()));
                assert_eq!(proof.nonce.as_deref(), Some("n"));
            }
        }
    }

    #[test]
    fn oau_23_headers_that_are_not_a_proofs_are_refused() {
        let (ec, other) = (Sample::ec(), Sample::ec());
        let mut private = ec.jwk();
        private["d"] = json!("AQAB");
        let refusal = |member: &str, value: Value| {
            let mut header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": ec.jwk() });
            header[member] = value;
            Proof::verify(&ec.token(&header, &claims())).unwrap_err()
        };
        for typ in ["JWT", "DPoP+JWT", "application/dpop+jwt", ""] {
            assert_eq!(refusal("typ", json!(typ)), JoseError::Type);
        }
        for algorithm in ["none", "HS256", "ES384"] {
            assert_eq!(refusal("alg", json!(algorithm)), JoseError::Algorithm);
        }
        assert_eq!(refusal("alg", json!("RS256")), JoseError::Signature);
        assert_eq!(refusal("jwk", private), JoseError::SecretKey);
        assert_eq!(
            refusal("jwk", json!({ "kty": "oct", "k": "AQAB" })),
            JoseError::SecretKey
        );
        assert_eq!(refusal("jwk", json!("AQAB")), JoseError::MalformedKey);
        assert_eq!(
            refusal("jwk", json!({ "kty": "EC", "crv": "P-384" })),
            JoseError::UnknownKey
        );
        assert_eq!(refusal("jwk", other.jwk()), JoseError::Signature);
        assert_eq!(refusal("crit", json!(["exp"])), JoseError::Header);
        assert_eq!(
            refusal("jku", json!("https://a.example")),
            JoseError::Header
        );
        let keyless = json!({ "typ": "dpop+jwt", "alg": "ES256" });
        assert_eq!(
            Proof::verify(&ec.token(&keyless, &claims())),
            Err(JoseError::Header)
        );
    }

    #[test]
    fn oau_23_claims_that_are_missing_or_mistyped_are_refused() {
        let ec = Sample::ec();
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": ec.jwk() });
        let verified = |name: &str, value: Option<Value>| {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            claims
                .as_object_mut()
                .unwrap()
                .extend(value.map(|value| (name.to_owned(), value)));
            Proof::verify(&ec.token(&header, &claims)).map(|_proof| ())
        };
        let faulty = |name| Err(JoseError::Claim(name));
        for name in ["jti", "htm", "htu", "iat"] {
            assert_eq!(verified(name, None), faulty(name));
        }
        for name in ["jti", "htm", "htu", "iat", "ath", "nonce"] {
            assert_eq!(verified(name, Some(json!(null))), faulty(name));
            assert_eq!(verified(name, Some(json!([1]))), faulty(name));
        }
        for jti in [String::new(), "x".repeat(257)] {
            assert_eq!(verified("jti", Some(json!(jti))), faulty("jti"));
        }
        for iat in [json!("1"), json!(1.5)] {
            assert_eq!(verified("iat", Some(iat)), faulty("iat"));
        }
        assert_eq!(verified("htu", Some(json!("/token"))), faulty("htu"));
        assert_eq!(verified("jti", Some(json!("x".repeat(256)))), Ok(()));
        assert_eq!(verified("nonce", None), Ok(()));
    }
}
