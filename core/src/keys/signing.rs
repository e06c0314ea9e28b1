//! Keys that sign tokens.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::verifying::VerifyingKey;
use super::{Algorithm, KeyError};
use crate::env::Time;

/// A key that signs tokens. It keeps the parsed key: parsing costs more than signing.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(super) active_from: Time,
    pub(super) pkcs8: Zeroizing<Vec<u8>>,
    pair: Pair,
    pub(super) verifier: VerifyingKey,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl SigningKey {
    pub(super) fn generate(algorithm: Algorithm, active_from: Time) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Crypto("generate a key");
        let pkcs8 = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                pair.as_der().map_err(failed)?.as_ref().to_vec()
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
                pair.and_then(|pair| pair.to_pkcs8v1()).map_err(failed)?.as_ref().to_vec()
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
        let (pair, thumbprint_input, mut jwk) = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let pair = RsaKeyPair::from_pkcs8(&pkcs8).map_err(|_| KeyError::Damaged)?;
                let public = pair.public_key();
                let n = url(public.modulus().big_endian_without_leading_zero());
                let e = url(public.exponent().big_endian_without_leading_zero());
                let input = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
                (Pair::Rsa(Box::new(pair)), input, json!({"kty": "RSA", "n": n, "e": e}))
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8);
                let pair = pair.map_err(|_| KeyError::Damaged)?;
                // An uncompressed point: a byte that says so, then both coordinates.
                let point = pair.public_key().as_ref();
                let part = |range| point.get(range).map(url).ok_or(KeyError::Damaged);
                let (x, y) = (part(1..33)?, part(33..65)?);
                let input = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
                let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
                (Pair::P256(Box::new(pair)), input, jwk)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| KeyError::Damaged)?;
                let x = url(pair.public_key().as_ref());
                let input = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
                (Pair::Ed25519(Box::new(pair)), input, jwk)
            }
        };
        // RFC 7638: the hash of the required members in this very order.
        let kid = url(&Sha256::digest(thumbprint_input.as_bytes()));
        if let Some(members) = jwk.as_object_mut() {
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), algorithm.as_str().into());
            members.insert("kid".into(), kid.clone().into());
        }
        let verifier = VerifyingKey::from_jwk(&jwk).ok_or(KeyError::Damaged)?;
        Ok(Self { kid, algorithm, active_from, pkcs8, pair, verifier })
    }

    /// Signs the input of a JWS.
    pub(crate) fn sign(&self, input: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let encoding = match self.algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, input, &mut signature)
                    .map_err(|_| KeyError::Crypto("sign"))?;
                Ok(signature)
            }
            Pair::P256(pair) => {
                let signature = pair.sign(&random, input).map_err(|_| KeyError::Crypto("sign"))?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.sign(input).as_ref().to_vec()),
        }
    }
}
