//! The compact serialisation (RFC 7515 section 7.1) of tokens that others made.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{
    JoseError,
    keys::{self, PublicKey},
};
use crate::strict_json;

/// Bytes of the largest token that is read.
pub(super) const MAX_TOKEN: usize = 8_192;

/// Header members that change how a token is read or say where its key is (RFC 7515, 7516, 7797).
pub(super) const STEERING: &[&str] = &["b64", "crit", "cty", "enc", "jku", "x5c", "x5u", "zip"];

/// A compact JWS (RFC 7515 section 7.1), taken apart but not yet believed.
pub(super) struct Compact<'a> {
    pub header: Map<String, Value>,
    pub algorithm: Algorithm,
    payload: &'a str,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Compact<'a> {
    /// Reads the header; what it doesn't know in there says nothing that matters, or `crit` would name it.
    pub(super) fn read(token: &'a str) -> Result<Self, JoseError> {
        if token.len() > MAX_TOKEN {
            return Err(JoseError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JoseError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JoseError::Malformed)?;
        if payload.contains('.') {
            return Err(JoseError::Malformed);
        }
        let header = object(header)?;
        if STEERING.iter().any(|name| header.contains_key(*name)) {
            return Err(JoseError::Header);
        }
        let name = header.get("alg").and_then(Value::as_str);
        let algorithm = name.and_then(keys::named).ok_or(JoseError::Algorithm)?;
        Ok(Self {
            header,
            algorithm,
            payload,
            signed,
            signature,
        })
    }

    /// A member of the header that is text where it stands.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, JoseError> {
        let member = self.header.get(name);
        member
            .map(|value| value.as_str().ok_or(JoseError::Header))
            .transpose()
    }

    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(self.algorithm, self.signed, self.signature)
    }

    pub(super) fn claims(&self) -> Result<Map<String, Value>, JoseError> {
        object(self.payload)
    }
}

/// Reads a JSON object in canonical base64url.
fn object(part: &str) -> Result<Map<String, Value>, JoseError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_not_canonical| JoseError::Malformed)?;
    let text = strict_json::check(&bytes).map_err(|_ambiguous| JoseError::Malformed)?;
    serde_json::from_str(text).map_err(|_no_object| JoseError::Malformed)
}
