//! Sealing private keys and secrets at rest: AES-256-GCM under a list of master keys.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, rand,
};
use base64::{Engine, engine::general_purpose};

const ID_LEN: usize = 4;
const KEY_LEN: usize = 32;

/// Why something sealed can't be opened, or a master key can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The text is no list of keys.
    #[error(
        "keys.master_key: expected 32 bytes in base64 (openssl rand -base64 32), several separated by commas"
    )]
    NotAKey,
    /// None of the master keys sealed it.
    #[error(
        "none of the configured master keys (TOLLGATE_MASTER_KEY) opens it: is the right one missing?"
    )]
    WrongKey,
    /// It was changed after sealing.
    #[error("its sealed form is damaged")]
    Damaged,
}

/// The master keys: the first seals, all open.
pub struct MasterKeys(Vec<MasterKey>);

struct MasterKey {
    id: [u8; ID_LEN],
    key: LessSafeKey,
}

impl MasterKeys {
    /// Reads keys of 32 bytes in base64, separated by commas.
    ///
    /// # Errors
    /// No key, or one that is none.
    pub fn parse(list: &str) -> Result<Self, SealError> {
        let keys = list.split(',').map(|text| {
            let text = text.trim().trim_end_matches('=');
            let bytes = general_purpose::STANDARD_NO_PAD
                .decode(text)
                .or_else(|_not_standard| general_purpose::URL_SAFE_NO_PAD.decode(text))
                .map_err(|_malformed| SealError::NotAKey)?;
            MasterKey::new(&bytes).ok_or(SealError::NotAKey)
        });
        keys.collect::<Result<Vec<_>, _>>().map(Self)
    }

    /// Makes a fresh key in the form that `parse` reads.
    ///
    /// # Errors
    /// No randomness.
    pub fn generate() -> Result<String, SealError> {
        let mut bytes = [0; KEY_LEN];
        rand::fill(&mut bytes).map_err(|_unspecified| SealError::Damaged)?;
        Ok(general_purpose::STANDARD.encode(bytes))
    }

    /// Seals `secret` so that only its `kid` opens it: key id, nonce, ciphertext and tag. `None` without randomness.
    pub fn seal(&self, kid: &str, secret: &[u8]) -> Option<Vec<u8>> {
        let master = self.0.first()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut body = secret.to_vec();
        master
            .key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(kid.as_bytes()),
                &mut body,
            )
            .ok()?;
        Some([master.id.as_slice(), &nonce, &body].concat())
    }

    /// Opens what `seal` made for the same `kid`.
    ///
    /// # Errors
    /// No master key fits, or the bytes were changed.
    pub fn open(&self, kid: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (id, rest) = sealed
            .split_first_chunk::<ID_LEN>()
            .ok_or(SealError::Damaged)?;
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::Damaged)?;
        let master = self
            .0
            .iter()
            .find(|master| master.id == *id)
            .ok_or(SealError::WrongKey)?;
        let mut body = body.to_vec();
        let opened = master
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(kid.as_bytes()),
                &mut body,
            )
            .map_err(|_unspecified| SealError::Damaged)?;
        Ok(opened.to_vec())
    }
}

impl MasterKey {
    fn new(bytes: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).ok()?;
        let id = *digest::digest(&digest::SHA256, bytes)
            .as_ref()
            .first_chunk::<ID_LEN>()?;
        Some(Self {
            id,
            key: LessSafeKey::new(key),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_seals_and_all_open_but_only_under_the_same_kid() {
        let (old, new) = (
            MasterKeys::generate().unwrap(),
            MasterKeys::generate().unwrap(),
        );
        let sealed = MasterKeys::parse(&old)
            .unwrap()
            .seal("a", b"secret")
            .unwrap();
        let both = MasterKeys::parse(&format!("{new}, {old}")).unwrap();
        assert_eq!(both.open("a", &sealed).unwrap(), b"secret");
        assert!(matches!(both.open("b", &sealed), Err(SealError::Damaged)));
        assert!(matches!(
            MasterKeys::parse(&new).unwrap().open("a", &sealed),
            Err(SealError::WrongKey)
        ));
        assert!(both.seal("a", b"secret").unwrap() != sealed);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "short", "AAAA", ","] {
            assert!(MasterKeys::parse(bad).is_err(), "{bad}");
        }
    }
}
