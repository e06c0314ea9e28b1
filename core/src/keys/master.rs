//! The master key, which seals key rings at rest.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::KeyError;
use crate::env::{Environment, RandomnessUnavailable, random};

/// The key that seals key rings at rest: 256 bits that never enter the store.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// A master key from exactly 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A master key from the base64 of exactly 32 bytes, as `openssl rand -base64 32` prints it.
    ///
    /// # Errors
    /// When the text is not base64, or of fewer or more bytes: a short key is refused, not padded.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(text.trim()).unwrap_or_default());
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| KeyError::MasterKey)?;
        Ok(Self::from_bytes(bytes))
    }

    /// The master key in an environment variable, as [`MasterKey::from_base64`] reads it.
    ///
    /// # Errors
    /// [`KeyError::NoMasterKey`] when the variable is not set; as [`MasterKey::from_base64`] otherwise.
    pub fn from_env(name: &str) -> Result<Self, KeyError> {
        let text = std::env::var(name).map(Zeroizing::new);
        Self::from_base64(&text.map_err(|_| KeyError::NoMasterKey(name.to_owned()))?)
    }

    /// A fresh master key.
    ///
    /// # Errors
    /// When the environment gives no randomness.
    pub fn generate(environment: &dyn Environment) -> Result<Self, RandomnessUnavailable> {
        Ok(Self::from_bytes(random(environment)?))
    }

    /// The key as base64, to be kept in a file that only its owner can read.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64_STANDARD.encode(self.0.as_slice()))
    }

    /// Seals. What is sealed opens only with the same `context`, such as for whom it is.
    pub(super) fn seal(&self, context: &str, mut plain: Vec<u8>) -> Result<Vec<u8>, KeyError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice())
            .map_err(|_| KeyError::Crypto("seal"))?;
        let nonce = key
            .seal_in_place_append_tag(Aad::from(context), &mut plain)
            .map_err(|_| KeyError::Crypto("seal"))?;
        let mut sealed = vec![SEALED_VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&plain);
        Ok(sealed)
    }

    pub(super) fn open(
        &self,
        context: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (nonce, sealed) = match sealed.split_first() {
            Some((&(FIRST_VERSION | SEALED_VERSION), rest)) => {
                rest.split_at_checked(12).ok_or(KeyError::Damaged)?
            }
            _ => return Err(KeyError::Damaged),
        };
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::Damaged)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice())
            .map_err(|_| KeyError::Crypto("open"))?;
        let length = key
            .open_in_place(nonce, Aad::from(context), &mut buffer)
            .map_err(|_| KeyError::WrongMasterKey)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// A release that does not know the salt of a ring must not write one back without it.
const SEALED_VERSION: u8 = 2;
const FIRST_VERSION: u8 = 1;

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_is_wiped_when_it_is_dropped() {
        fn is_wiped(_: &impl zeroize::ZeroizeOnDrop) {}
        // It does not compile when the bytes are of another type.
        is_wiped(&MasterKey::from_bytes([7; 32]).0);
    }

    #[test]
    fn a_short_master_key_is_refused() {
        assert!(MasterKey::from_base64("c2hvcnQ=").is_err());
        assert!(MasterKey::from_base64("").is_err());
        assert!(MasterKey::from_base64(&BASE64_STANDARD.encode([1; 33])).is_err());
        assert!(MasterKey::from_base64(&BASE64_STANDARD.encode([1; 32])).is_ok());
    }
}
