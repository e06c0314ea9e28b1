//! Values that must not be seen: they print `[redacted]` and are wiped when dropped.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::env::{Environment, RandomnessUnavailable, random};
use crate::mac;

/// A secret text: a client secret, a token on its way to its owner.
///
/// `Debug` prints `[redacted]`, there is no `Display`, and the bytes are wiped on drop. The one
/// way to the text is [`Secret::expose`], so a reviewer can search for it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// A fresh secret of 256 bits: 43 characters of `[A-Za-z0-9_-]` behind `prefix`.
    ///
    /// The alphabet survives every way in which clients encode a Basic header (RFC 6749 section
    /// 2.3.1), also those that forget to.
    ///
    /// # Errors
    /// When the environment gives no randomness.
    pub fn generate(
        prefix: &str,
        environment: &dyn Environment,
    ) -> Result<Self, RandomnessUnavailable> {
        let bytes = Zeroizing::new(random::<32>(environment)?);
        let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Ok(Self::new(format!("{prefix}{}", text.as_str())))
    }

    /// The text itself. Never pass it to a log, an event or an error.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The SHA-256 of a machine-made secret, which is what is kept at rest.
///
/// A generated secret has 256 bits, so a fast hash is enough, and a slow one would be a lever for
/// exhausting the server's memory. A secret chosen by a person does not belong here.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest of `secret`.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        Self::of_text(secret.expose())
    }

    pub(crate) fn of_text(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether `text` is the secret, compared in constant time over digests of equal length.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        mac::same(&self.0, &Self::of_text(text).0)
    }

    /// The digest as base64url, for a store.
    #[must_use]
    pub fn to_text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads what [`SecretDigest::to_text`] wrote.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// A secret that must be read again, sealed with the master key (AES-256-GCM) for one client of one issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret(pub(crate) Vec<u8>);

impl SealedSecret {
    /// The sealed bytes as base64url, for a store.
    #[must_use]
    pub fn to_text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// Reads what [`SealedSecret::to_text`] wrote.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        BASE64_URL_SAFE_NO_PAD.decode(text).ok().map(Self)
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_is_written_and_read_and_not_printed() {
        let sealed = SealedSecret(vec![1, 2, 250]);
        assert_eq!(sealed.to_text(), "AQL6");
        assert!(SealedSecret::from_text("AQL6") == Some(sealed.clone()));
        assert!(SealedSecret::from_text("AQL6=").is_none());
        assert_eq!(format!("{sealed:?}"), "[redacted]");
    }

    #[test]
    fn a_secret_is_wiped_when_it_is_dropped() {
        fn is_wiped(_: &impl zeroize::ZeroizeOnDrop) {}
        // It does not compile when the text is of another type.
        is_wiped(&Secret::new("hunter2").0);
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(format!("{:?}", SecretDigest::of(&secret)), "[redacted]");
    }

    #[test]
    fn a_digest_matches_its_secret_only() {
        let digest = SecretDigest::of(&Secret::new("right"));
        assert!(digest.matches("right"));
        assert!(!digest.matches("wrong") && !digest.matches("") && !digest.matches("right "));
        assert_eq!(SecretDigest::from_text(&digest.to_text()), Some(digest));
        // SHA-256 and nothing slow: secrets are machine-made, and a slow hash is a lever for strangers.
        let abc = SecretDigest::of(&Secret::new("abc")).to_text();
        assert_eq!(abc, "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    }
}
