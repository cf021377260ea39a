//! Looking into tokens and forging them.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Decodes one part of a token as JSON.
pub fn decode_part(token: &str, part: usize) -> Value {
    let text = token.split('.').nth(part).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

/// Makes tokens with a good HS256 signature and anything in them, starting from a real one.
#[derive(Clone)]
pub struct Forge {
    pub secret: Vec<u8>,
    pub header: Value,
    pub claims: Value,
}

impl Forge {
    /// Starts from a real token and a secret that may be the right one.
    pub fn from(token: &str, secret: &[u8]) -> Self {
        Self {
            secret: secret.to_vec(),
            header: decode_part(token, 0),
            claims: decode_part(token, 1),
        }
    }

    /// The same with one header member changed.
    pub fn header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    /// The same with one claim changed.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    /// The same without one claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name).unwrap();
        self
    }

    /// The token.
    pub fn sign(&self) -> String {
        self.sign_raw(&self.header.to_string(), &self.claims.to_string())
    }

    /// A token of raw header and claims.
    pub fn sign_raw(&self, header: &str, claims: &str) -> String {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))
        )
    }

    /// A token without signature.
    pub fn unsigned(&self, algorithm: &str) -> String {
        let mut header = self.header.clone();
        header["alg"] = json!(algorithm);
        format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(self.claims.to_string())
        )
    }
}
