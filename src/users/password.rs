//! Passwords: Argon2id on a bounded pool of its own, so that a burst of sign-ins can't starve the API.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, PasswordVerifier, Version, password_hash::phc::PasswordHash,
};
use aws_lc_rs::{constant_time, rand};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zxcvbn::zxcvbn;

use super::password_memory::Memory;
use crate::{
    db,
    error::{ApiError, Code, FieldError},
};

/// Memory in KiB, passes and lanes (OWASP's and RFC 9106's floor for Argon2id).
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// Bytes of a salt, and of what is made with it.
const SALT: usize = 16;
const TAG: usize = 32;

/// Bytes of the longest password; nothing is ever cut off.
const MAX_BYTES: usize = 1_024;

/// Characters of the shortest password (NIST SP 800-63B section 3.1.1.2).
const MIN_CHARACTERS: usize = 8;

/// Guesses within which zxcvbn finds every single word of its lists of passwords, names and English, and every simple
/// repetition and sequence.
const TRIED_FIRST: u64 = 100_000;

/// Hashes and verifies passwords, few at a time.
#[derive(Clone)]
pub struct Passwords {
    admitted: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    dummy: Arc<str>,
    memory: Memory,
}

/// What a verification found.
#[derive(Debug)]
pub struct Verdict {
    /// Whether the password is right.
    pub matches: bool,
    /// A new hash for a right password whose stored hash is weaker than today's.
    pub upgrade: Option<String>,
}

impl Passwords {
    /// Makes the pool: `parallel` hashes at the same time, `queue` waiting.
    ///
    /// # Errors
    /// No randomness.
    pub fn new(parallel: usize, queue: usize) -> anyhow::Result<Self> {
        Ok(Self {
            admitted: Arc::new(Semaphore::new(parallel + queue)),
            slots: Arc::new(Semaphore::new(parallel)),
            dummy: unknown()?.into(),
            memory: Memory::default(),
        })
    }

    /// Takes a place in the queue, before any other work is done for a request that needs a hash.
    ///
    /// # Errors
    /// 503 when the queue is full.
    pub fn admit(&self) -> Result<Ticket, ApiError> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_full| ApiError::from(Code::Overloaded))?;
        Ok(Ticket {
            admitted: Arc::new(admitted),
            slots: Arc::clone(&self.slots),
            dummy: Arc::clone(&self.dummy),
            memory: self.memory.clone(),
        })
    }

    /// Gives back the memory of hashes when there was none for a while.
    pub fn forget(&self) {
        self.memory.forget();
    }
}

/// A place in the queue; given back when it and the work done with it are gone.
pub struct Ticket {
    admitted: Arc<OwnedSemaphorePermit>,
    slots: Arc<Semaphore>,
    dummy: Arc<str>,
    memory: Memory,
}

impl Ticket {
    /// Checks a new password and hashes it; `about` are texts that it must not consist of, as the address.
    ///
    /// # Errors
    /// 422 for a bad password, pointing at `pointer`.
    pub async fn hash(
        &self,
        password: SecretString,
        about: Vec<String>,
        pointer: &'static str,
    ) -> Result<String, ApiError> {
        let memory = self.memory.clone();
        self.run(move || {
            check_new(password.expose_secret(), &about).map_err(|(code, detail)| {
                ApiError::invalid(vec![FieldError::new(pointer, code, detail)])
            })?;
            hash(password.expose_secret(), &memory).map_err(ApiError::internal)
        })
        .await?
    }

    /// Compares a password with the stored hash; without one, does the same work and says no.
    ///
    /// # Errors
    /// None that a caller causes.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<&str>,
    ) -> Result<Verdict, ApiError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.dummy).to_owned();
        let memory = self.memory.clone();
        self.run(move || {
            let password = password.expose_secret();
            let matches =
                password.len() <= MAX_BYTES && verify_now(password, &stored, &memory) && known;
            let upgrade = (matches && is_outdated(&stored))
                .then(|| hash(password, &memory).ok())
                .flatten();
            Verdict { matches, upgrade }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        db::wait_elsewhere();
        let admitted = Arc::clone(&self.admitted);
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(ApiError::internal)?;
        // A caller who hangs up does not stop a hash; its place stays taken until it is done.
        tokio::task::spawn_blocking(move || {
            let _held = (admitted, slot);
            work()
        })
        .await
        .map_err(ApiError::internal)
    }
}

fn argon2() -> Result<Argon2<'static>, argon2::Error> {
    let (memory, passes, lanes) = COST;
    Ok(Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(memory, passes, lanes, None)?,
    ))
}

/// Hashes on the calling thread, for commands; the result is a PHC string.
///
/// # Errors
/// No randomness.
pub fn hash_now(password: &str) -> anyhow::Result<String> {
    hash(password, &Memory::default())
}

fn hash(password: &str, memory: &Memory) -> anyhow::Result<String> {
    let salt: [u8; SALT] = random()?;
    Ok(written(&salt, &tag(password, &salt, memory)?))
}

/// What Argon2id makes of a password and a salt.
fn tag(password: &str, salt: &[u8], memory: &Memory) -> Result<[u8; TAG], argon2::Error> {
    let (argon2, mut tag) = (argon2()?, [0; TAG]);
    memory.with(argon2.params().block_count(), |blocks| {
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut tag, blocks)
    })?;
    Ok(tag)
}

/// A hash as it is stored, a PHC string.
fn written(salt: &[u8], tag: &[u8]) -> String {
    let (memory, passes, lanes) = COST;
    let (salt, tag) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(tag));
    format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${tag}")
}

fn random<const LENGTH: usize>() -> anyhow::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    rand::fill(&mut bytes)?;
    Ok(bytes)
}

/// The hash of a password that nobody knows, not even we: verifying against it takes as long as against any.
///
/// # Errors
/// No randomness.
pub fn unknown() -> anyhow::Result<String> {
    Ok(written(&random::<SALT>()?, &random::<TAG>()?))
}

fn verify_now(password: &str, stored: &str, memory: &Memory) -> bool {
    let Ok(parsed) = PasswordHash::new(stored) else {
        return false;
    };
    match (&parsed.salt, &parsed.hash) {
        (Some(salt), Some(known)) if !is_outdated(stored) && known.len() == TAG => {
            tag(password, salt, memory).is_ok_and(|tag| {
                constant_time::verify_slices_are_equal(&tag, known.as_ref()).is_ok()
            })
        }
        // With parameters of its own.
        _ => argon2().is_ok_and(|argon2| {
            let verified = argon2.verify_password(password.as_bytes(), &parsed);
            verified.is_ok()
        }),
    }
}

/// Tells whether a hash was made with other parameters than today's.
fn is_outdated(stored: &str) -> bool {
    let (memory, passes, lanes) = COST;
    !stored.starts_with(&format!("$argon2id$v=19$m={memory},t={passes},p={lanes}$"))
}

/// Checks a new password: its length, and that it is not one that everybody tries first. No composition rules.
///
/// # Errors
/// The rule's code and what to do.
pub fn check_new(password: &str, about: &[String]) -> Result<(), (&'static str, String)> {
    if password.chars().count() < MIN_CHARACTERS {
        return Err(("minLength", format!("at least {MIN_CHARACTERS} characters")));
    }
    if password.len() > MAX_BYTES {
        return Err(("maxLength", format!("at most {MAX_BYTES} bytes")));
    }
    let about: Vec<&str> = about
        .iter()
        .flat_map(|text| std::iter::once(text.as_str()).chain(text.split(['@', '.', ' '])))
        .filter(|part| part.len() >= 4)
        .collect();
    // The first estimate builds tables of megabytes, which a replica where nobody chooses a password can do without.
    let estimate = zxcvbn(password, &about);
    if estimate.guesses() < TRIED_FIRST {
        let score = u8::from(estimate.score());
        return Err((
            "common",
            format!(
                "among the passwords that are tried first (strength {score} of 4); a few unrelated words are better"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pwd_04_lengths_and_common_passwords() {
        let about = ["ada.lovelace@example.com".to_owned()];
        for (password, code) in [
            ("seven77", "minLength"),
            ("password", "common"),
            ("password123", "common"),
            ("qwertyuiop", "common"),
            ("aaaaaaaaaaaa", "common"),
            ("ada.lovelace@example.com", "common"),
            ("lovelace", "common"),
        ] {
            assert_eq!(
                check_new(password, &about).unwrap_err().0,
                code,
                "{password}"
            );
        }
        assert_eq!(
            check_new(&"é".repeat(513), &about).unwrap_err().0,
            "maxLength"
        );
        for password in [
            "correct horse battery staple",
            "пароль-тут-другой",
            "eightchr plus",
            &"xY3 ".repeat(256),
        ] {
            assert_eq!(check_new(password, &about), Ok(()), "{password}");
        }
    }

    #[test]
    fn an_unknown_password_is_hashed_like_any_other_and_fits_none() {
        let (unknown, other) = (unknown().unwrap(), unknown().unwrap());
        assert_ne!(unknown, other);
        assert!(PasswordHash::new(&unknown).is_ok() && !is_outdated(&unknown));
        let known = hash_now("correct horse battery staple").unwrap();
        assert_eq!(unknown.len(), known.len());
        let memory = Memory::default();
        assert!(!verify_now(
            "correct horse battery staple",
            &unknown,
            &memory
        ));
        assert!(verify_now("correct horse battery staple", &known, &memory));
    }

    #[test]
    fn pwd_04_nothing_is_cut_off() {
        let (one, other) = (
            format!("{}a", "long ".repeat(16)),
            format!("{}b", "long ".repeat(16)),
        );
        let hash = hash_now(&one).unwrap();
        let memory = Memory::default();
        // With what the hash before has left behind.
        for _ in 0..2 {
            assert!(verify_now(&one, &hash, &memory) && !verify_now(&other, &hash, &memory));
        }
    }

    #[test]
    fn pwd_01_weaker_hashes_are_outdated() {
        assert!(!is_outdated(&hash_now("x").unwrap()));
        assert!(is_outdated(
            "$argon2id$v=19$m=4096,t=1,p=1$c2FsdHNhbHQ$aGFzaA"
        ));
    }
}
