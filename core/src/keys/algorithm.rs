//! Signature algorithms.

use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256, Sha512};

/// A signature algorithm (RFC 7518, RFC 8037). One key has one algorithm and one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 and a key of 2,048 bits: what every OpenID Connect client
    /// understands.
    Rs256,
    /// RSASSA-PSS with SHA-256 and a key of 2,048 bits: what financial profiles ask for.
    Ps256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519: small and fast, for access tokens.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm that is known.
    pub const ALL: [Algorithm; 4] =
        [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa];

    /// The name in a JOSE header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Ps256 => "PS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// The left half of the algorithm's hash, for `at_hash` and `c_hash` (OpenID Connect Core
    /// sections 3.1.3.6 and 3.3.2.11).
    pub(crate) fn left_half_hash(self, text: &str) -> String {
        match self {
            Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => BASE64_URL_SAFE_NO_PAD
                .encode(Sha256::digest(text.as_bytes()).get(..16).unwrap_or_default()),
            // Ed25519 hashes with SHA-512.
            Algorithm::EdDsa => BASE64_URL_SAFE_NO_PAD
                .encode(Sha512::digest(text.as_bytes()).get(..32).unwrap_or_default()),
        }
    }
}

impl FromStr for Algorithm {
    type Err = crate::client::UnknownName;

    /// `Ed25519` is the newer name of what `EdDSA` is with that curve, the only one here (RFC 9864).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |algorithm: &Algorithm| algorithm.as_str() == text;
        match text {
            "Ed25519" => Ok(Algorithm::EdDsa),
            _ => Algorithm::ALL.into_iter().find(named).ok_or(crate::client::UnknownName),
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
