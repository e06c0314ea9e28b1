//! Passwords: Argon2id on a pool of its own, so that a flood of logins cannot take the memory and
//! the cores from the token endpoint.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use grantor::{Environment as _, RandomnessUnavailable, Secret, SystemEnvironment};
use serde::{Deserialize, Deserializer};
use tokio::sync::Semaphore;

/// Characters of a new password.
const MIN_LENGTH: usize = 8;
/// The longest password that is looked at, in bytes.
const MAX_LENGTH: usize = 512;
/// How many checks may wait for a place.
const WAITING: usize = 64;

/// Hashes and checks passwords.
#[derive(Clone)]
pub(crate) struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Checked when there is no such account, so that both take the same time.
    decoy: Arc<str>,
}

/// A password as somebody sent it. It is wiped when the request has been answered, as far as it is ours: what the
/// connection and the decoders keep is not.
#[derive(Debug)]
pub(crate) struct Typed(Secret);

impl Typed {
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl Default for Typed {
    fn default() -> Self {
        Self(Secret::new(""))
    }
}

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// Too many checks are waiting, or the password cannot be hashed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unavailable;

/// Why a password cannot become one.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("the password is too short: use at least {MIN_LENGTH} characters")]
    TooShort,
    #[error("the password is too long: use at most {MAX_LENGTH} bytes")]
    TooLong,
    #[error("too many passwords are being checked: try again")]
    Busy,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self {
            running: Arc::new(Semaphore::new(cores)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            decoy: hash("a password that nobody has").unwrap_or_default().into(),
        }
    }

    /// The PHC string of a new password.
    pub(crate) async fn hash_of_new(&self, password: &str) -> Result<String, Unusable> {
        check_new(password)?;
        let password = Secret::new(password);
        let hashed = self.run(move || hash(password.expose())).await;
        hashed.ok().flatten().ok_or(Unusable::Busy)
    }

    /// Whether the password is right. Without a hash it is not, after the same work.
    pub(crate) async fn verify(
        &self,
        password: &str,
        hash: Option<&str>,
    ) -> Result<bool, Unavailable> {
        let known = hash.is_some();
        let hash = hash.map_or_else(|| self.decoy.clone(), Arc::from);
        let password = Secret::new(password);
        let right = self.run(move || verify(password.expose(), &hash)).await?;
        Ok(right && known)
    }

    /// Another hash of a right password, when the one that is kept was made with other settings than those of today.
    pub(crate) async fn rehashed(&self, password: &str, hash_of_before: &str) -> Option<String> {
        if settings(hash_of_before) == settings(&self.decoy) {
            return None;
        }
        let password = Secret::new(password);
        self.run(move || hash(password.expose())).await.ok().flatten()
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let place = self.waiting.clone().try_acquire_owned().map_err(|_| Unavailable)?;
        let turn = self.running.clone().acquire_owned().await.map_err(|_| Unavailable)?;
        // The places go with the work: a caller who hangs up must not free them while the hash is
        // still being computed, or hanging up would be a way to take all memory.
        let work = move || {
            let done = work();
            drop((place, turn));
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Unavailable)
    }
}

/// What a hash cost: algorithm, version, and parameters.
fn settings(phc: &str) -> Vec<&str> {
    phc.split('$').take(4).collect()
}

/// Whether a text may become a password.
pub(crate) fn check_new(password: &str) -> Result<(), Unusable> {
    if password.chars().count() < MIN_LENGTH {
        return Err(Unusable::TooShort);
    }
    match password.len() > MAX_LENGTH {
        true => Err(Unusable::TooLong),
        false => Ok(()),
    }
}

/// Argon2id, 64 MiB, three passes.
fn argon2() -> Option<Argon2<'static>> {
    let params = Params::new(64 * 1024, 3, 1, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Four groups of five letters and digits: 100 bits, and a person can type it.
pub(crate) fn made_up() -> Result<Secret, RandomnessUnavailable> {
    // No letter that looks like another one.
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 20];
    SystemEnvironment.fill(&mut bytes)?;
    let mut text = String::new();
    for (n, byte) in bytes.iter().enumerate() {
        if n > 0 && n % 5 == 0 {
            text.push('-');
        }
        text.push(char::from(LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'x')));
    }
    Ok(Secret::new(text))
}

fn hash(password: &str) -> Option<String> {
    if password.len() > MAX_LENGTH {
        return None;
    }
    Some(argon2()?.hash_password(password.as_bytes()).ok()?.to_string())
}

fn verify(password: &str, hash: &str) -> bool {
    let parsed = PasswordHash::new(hash);
    match (parsed, argon2()) {
        (Ok(parsed), Some(argon2)) if password.len() <= MAX_LENGTH => {
            argon2.verify_password(password.as_bytes(), &parsed).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_verifies_and_a_broken_hash_never() {
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{stored}");
        assert!(verify("correct horse", &stored));
        assert!(!verify("correct horse ", &stored));
        assert!(!verify("correct horse", "$argon2id$broken"));
        assert!(hash(&"x".repeat(513)).is_none());
    }

    #[test]
    fn a_password_for_nobody_costs_what_it_costs_for_somebody() {
        let (passwords, stored) = (Passwords::new(), hash("somebody's").unwrap());
        assert_eq!(settings(&passwords.decoy), settings(&stored));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // Not even the decoy's own password lets anybody in.
        let right = runtime.block_on(passwords.verify("a password that nobody has", None));
        assert!(!right.unwrap());
    }
}
