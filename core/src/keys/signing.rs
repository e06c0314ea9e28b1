//! Keys that sign tokens.

use std::str::FromStr;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::json;
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

use super::KeyError;
use crate::env::Time;

/// A signature algorithm (RFC 7518, RFC 8037). One key has one algorithm and one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 and a key of 2,048 bits: what every OpenID Connect client
    /// understands.
    Rs256,
    /// Ed25519: small and fast, for access tokens.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm that a ring holds a key for.
    pub const ALL: [Algorithm; 2] = [Algorithm::Rs256, Algorithm::EdDsa];

    /// The name in a JOSE header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// The left half of the algorithm's hash, for `at_hash` (OpenID Connect Core section 3.1.3.6).
    pub(crate) fn left_half_hash(self, text: &str) -> String {
        match self {
            Algorithm::Rs256 => BASE64_URL_SAFE_NO_PAD
                .encode(Sha256::digest(text.as_bytes()).get(..16).unwrap_or_default()),
            // Ed25519 hashes with SHA-512.
            Algorithm::EdDsa => BASE64_URL_SAFE_NO_PAD
                .encode(Sha512::digest(text.as_bytes()).get(..32).unwrap_or_default()),
        }
    }
}

impl FromStr for Algorithm {
    type Err = crate::client::UnknownName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or(crate::client::UnknownName)
    }
}

/// A key that signs tokens. It keeps the parsed key: parsing costs more than signing.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(super) active_from: Time,
    pub(super) pkcs8: Zeroizing<Vec<u8>>,
    pair: Pair,
    verifier: DecodingKey,
    pub(super) jwk: serde_json::Value,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl SigningKey {
    pub(super) fn generate(algorithm: Algorithm, active_from: Time) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Crypto("generate a key");
        let pkcs8 = match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                pair.as_der().map_err(failed)?.as_ref().to_vec()
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                pair.to_pkcs8().map_err(failed)?.as_ref().to_vec()
            }
        };
        Self::parse(algorithm, active_from, Zeroizing::new(pkcs8))
    }

    pub(super) fn parse(
        algorithm: Algorithm,
        active_from: Time,
        pkcs8: Zeroizing<Vec<u8>>,
    ) -> Result<Self, KeyError> {
        let url = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (pair, verifier, thumbprint_input, mut jwk) = match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(&pkcs8).map_err(|_| KeyError::Damaged)?;
                let public = pair.public_key();
                let n = public.modulus().big_endian_without_leading_zero();
                let e = public.exponent().big_endian_without_leading_zero();
                let verifier = DecodingKey::from_rsa_raw_components(n, e);
                let (n, e) = (url(n), url(e));
                let input = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
                let jwk = json!({"kty": "RSA", "n": n, "e": e});
                (Pair::Rsa(Box::new(pair)), verifier, input, jwk)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| KeyError::Damaged)?;
                let x = url(pair.public_key().as_ref());
                let verifier =
                    DecodingKey::from_ed_components(&x).map_err(|_| KeyError::Damaged)?;
                let input = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
                (Pair::Ed25519(Box::new(pair)), verifier, input, jwk)
            }
        };
        // RFC 7638: the hash of the required members in this very order.
        let kid = url(&Sha256::digest(thumbprint_input.as_bytes()));
        if let Some(members) = jwk.as_object_mut() {
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), algorithm.as_str().into());
            members.insert("kid".into(), kid.clone().into());
        }
        Ok(Self { kid, algorithm, active_from, pkcs8, pair, verifier, jwk })
    }

    /// Signs the input of a JWS.
    pub(crate) fn sign(&self, input: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature)
                    .map_err(|_| KeyError::Crypto("sign"))?;
                Ok(signature)
            }
            Pair::Ed25519(pair) => Ok(pair.sign(input).as_ref().to_vec()),
        }
    }

    /// Whether `signature` (base64url) is this key's over `input`.
    pub(crate) fn verify(&self, signature: &str, input: &[u8]) -> bool {
        let algorithm = match self.algorithm {
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        };
        jsonwebtoken::crypto::verify(signature, input, &self.verifier, algorithm).unwrap_or(false)
    }
}
