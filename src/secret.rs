//! Secrets that machines remember: long and random, so a plain hash hides them.

use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::error::ApiError;

/// Bytes of randomness in what we make.
const RANDOM: usize = 32;

/// Characters of the shortest secret that somebody else has made.
const SHORTEST: usize = 32;

/// Characters of the longest one.
const LONGEST: usize = 256;

/// A secret text and the hash under which it is stored; deliberately not to be printed.
pub struct Secret {
    /// The text, which is shown once.
    pub text: String,
    /// Its hash.
    pub hash: Vec<u8>,
}

impl Secret {
    /// Makes a new one.
    ///
    /// # Errors
    /// No randomness.
    pub fn generate() -> Result<Self, ApiError> {
        let mut bytes = [0; RANDOM];
        rand::fill(&mut bytes).map_err(|_unspecified| ApiError::internal("no randomness"))?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        let hash = Self::hash(&text);
        Ok(Self { text, hash })
    }

    /// Takes one that somebody else has made.
    ///
    /// # Errors
    /// It is so short that its hash would not hide it, or can't be sent.
    pub fn given(text: String) -> Result<Self, &'static str> {
        let sane = (SHORTEST..=LONGEST).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !sane {
            return Err("32 to 256 visible ASCII characters, random: openssl rand -hex 32");
        }
        let hash = Self::hash(&text);
        Ok(Self { text, hash })
    }

    /// The hash of a text.
    pub fn hash(text: &str) -> Vec<u8> {
        digest::digest(&digest::SHA256, text.as_bytes())
            .as_ref()
            .to_vec()
    }

    /// Compares a text with a stored hash, in a time that tells nothing.
    pub fn matches(text: &str, hash: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&Self::hash(text), hash).is_ok()
    }
}
