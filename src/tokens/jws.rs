//! The compact serialisation (RFC 7515 section 7.1), read as strictly as we write it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::{
    error::{ApiError, Code},
    keys::Key,
};

/// Bytes of the largest token that is read; nothing of ours is larger than half of it.
const MAX_READ: usize = 8_192;

/// Bytes of the largest token that is made.
const MAX_MADE: usize = 4_096;

/// A header of ours: these three members and no other, so `crit`, `jwk`, `jku` and their like are refused.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JoseHeader {
    pub alg: String,
    pub typ: String,
    pub kid: String,
}

/// The three parts of a token, still encoded.
pub(super) struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    /// The text that is signed: header and payload.
    pub signed: &'a str,
    /// The signature in base64url.
    pub signature: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits without copying; a megabyte of dots costs nothing.
    pub(super) fn split(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > MAX_READ {
            return Err(Refusal::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        if payload.contains('.') || signature.is_empty() {
            return Err(Refusal::Malformed);
        }
        Ok(Self {
            header,
            payload,
            signed,
            signature,
        })
    }

    /// Reads the header.
    pub(super) fn header(&self) -> Result<JoseHeader, Refusal> {
        let bytes = decode(self.header)?;
        serde_json::from_slice(&bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Refusal::Header,
            _ => Refusal::Malformed,
        })
    }

    /// Decodes the payload.
    pub(super) fn payload(&self) -> Result<Vec<u8>, Refusal> {
        decode(self.payload)
    }
}

/// Decodes canonical base64url without padding: one text for one value.
fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_not_canonical| Refusal::Malformed)
}

/// Signs `claims` with `key` as a token of `typ`.
///
/// # Errors
/// 422 above 4 KiB; 500 when the cryptographic library refuses.
pub(super) fn sign(key: &Key, typ: &str, claims: &impl Serialize) -> Result<String, ApiError> {
    let header = JoseHeader {
        alg: key.slot.algorithm.name().to_owned(),
        typ: typ.to_owned(),
        kid: key.kid.clone(),
    };
    let header = serde_json::to_vec(&header).map_err(ApiError::internal)?;
    let claims = serde_json::to_vec(claims).map_err(ApiError::internal)?;
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes()).map_err(ApiError::internal)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    if token.len() > MAX_MADE {
        return Err(ApiError::new(
            Code::TokenTooLarge,
            format!(
                "The access token would have {} bytes; {MAX_MADE} are allowed",
                token.len()
            ),
        ));
    }
    Ok(token)
}
