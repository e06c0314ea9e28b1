//! Key rings: what signs, what authenticates credentials, and how both are rotated while running.
//!
//! A ring holds signing keys (RS256 and EdDSA) and secrets for message authentication. Each entry
//! says from when it is active: it is published before it signs, so that a client which fetched
//! the JWKS a minute ago knows it, and it is kept until the last thing that it signed has expired.
//! Every process switches by the clock, so no message has to go around.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

use crate::env::{Environment, RandomnessUnavailable, Time, random};
use crate::issuer::Issuer;
use crate::store::{KeyStore, SealedRing, StoreError};

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

    fn seal(&self, issuer: &Issuer, mut plain: Vec<u8>) -> Result<Vec<u8>, KeyError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice())
            .map_err(|_| KeyError::Crypto("seal"))?;
        let nonce = key
            .seal_in_place_append_tag(Aad::from(associated_data(issuer)), &mut plain)
            .map_err(|_| KeyError::Crypto("seal"))?;
        let mut sealed = vec![SEALED_VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&plain);
        Ok(sealed)
    }

    fn open(&self, issuer: &Issuer, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (nonce, sealed) = match sealed.split_first() {
            Some((&SEALED_VERSION, rest)) => rest.split_at_checked(12).ok_or(KeyError::Damaged)?,
            _ => return Err(KeyError::Damaged),
        };
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::Damaged)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice())
            .map_err(|_| KeyError::Crypto("open"))?;
        let length = key
            .open_in_place(nonce, Aad::from(associated_data(issuer)), &mut buffer)
            .map_err(|_| KeyError::WrongMasterKey)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

const SEALED_VERSION: u8 = 1;

/// Binds a sealed ring to its issuer: a ring copied to another issuer's row does not open.
fn associated_data(issuer: &Issuer) -> String {
    format!("grantor key ring 1\0{issuer}")
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Keys that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The master key is not 32 bytes.
    #[error(
        "a master key is the base64 of exactly 32 bytes (make one with: openssl rand -base64 32)"
    )]
    MasterKey,
    /// The ring was sealed under another master key, or for another issuer.
    #[error(
        "the stored key ring does not open: the master key or the issuer is not the one that it was sealed for"
    )]
    WrongMasterKey,
    /// The stored ring is not a key ring.
    #[error("the stored key ring is damaged, or of a later release")]
    Damaged,
    /// The ring has no active key of this algorithm.
    #[error("the key ring has no active {0} key")]
    NoKey(&'static str),
    /// The cryptographic library refused.
    #[error("the cryptographic library could not {0}")]
    Crypto(&'static str),
    /// Other processes kept changing the ring.
    #[error("other processes keep changing the key ring: try again")]
    Contended,
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A key that signs tokens. It keeps the parsed key: parsing costs more than signing.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    active_from: Time,
    pkcs8: Zeroizing<Vec<u8>>,
    pair: Pair,
    verifier: DecodingKey,
    jwk: serde_json::Value,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl SigningKey {
    fn generate(algorithm: Algorithm, active_from: Time) -> Result<Self, KeyError> {
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

    fn parse(
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

/// A secret that authenticates codes, refresh tokens and tickets.
pub(crate) struct MacSecret {
    pub(crate) id: [u8; 4],
    active_from: Time,
    secret: Zeroizing<[u8; 32]>,
}

pub(crate) type HmacSha256 = Hmac<Sha256>;

impl MacSecret {
    /// The message authentication code under a key that is derived for one purpose and one
    /// issuer, so that a credential of one kind is never valid as another.
    pub(crate) fn mac(&self, purpose: &str, issuer: &Issuer, parts: &[&[u8]]) -> HmacSha256 {
        let mut derive = keyed(self.secret.as_slice());
        derive.update(b"grantor 1\0");
        derive.update(purpose.as_bytes());
        derive.update(b"\0");
        derive.update(issuer.as_str().as_bytes());
        let key = Zeroizing::new(<[u8; 32]>::from(derive.finalize().into_bytes()));
        let mut mac = keyed(key.as_slice());
        for part in parts {
            // Lengths separate the parts: ("ab", "c") and ("a", "bc") differ.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

fn keyed(key: &[u8]) -> HmacSha256 {
    match HmacSha256::new_from_slice(key) {
        Ok(mac) => mac,
        // HMAC takes keys of any length.
        Err(_) => unreachable!("HMAC-SHA256 takes keys of any length"),
    }
}

/// The keys of one issuer, parsed.
pub(crate) struct Ring {
    signing: Vec<SigningKey>,
    secrets: Vec<MacSecret>,
}

/// How long keys live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    pub(crate) rotate_every: Duration,
    pub(crate) publish_ahead: Duration,
    /// The longest life of anything that a signing key signs.
    pub(crate) token: Duration,
    /// The longest life of anything that a secret authenticates.
    pub(crate) credential: Duration,
}

#[derive(Serialize, Deserialize)]
struct RingRecord {
    signing: Vec<SigningRecord>,
    secrets: Vec<SecretRecord>,
}

#[derive(Serialize, Deserialize)]
struct SigningRecord {
    alg: String,
    active_from: Time,
    pkcs8: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
struct SecretRecord {
    id: [u8; 4],
    active_from: Time,
    secret: Zeroizing<String>,
}

impl Ring {
    /// The first ring of an issuer, active at once: nobody can have fetched an older one.
    fn create(environment: &dyn Environment, now: Time) -> Result<Self, KeyError> {
        let mut ring = Self { signing: Vec::new(), secrets: Vec::new() };
        ring.add(environment, now)?;
        Ok(ring)
    }

    fn add(&mut self, environment: &dyn Environment, active_from: Time) -> Result<(), KeyError> {
        for algorithm in Algorithm::ALL {
            self.signing.push(SigningKey::generate(algorithm, active_from)?);
        }
        let id = random(environment)?;
        let secret = Zeroizing::new(random(environment)?);
        self.secrets.push(MacSecret { id, active_from, secret });
        Ok(())
    }

    /// Drops what nothing alive was made with: an entry ends some time after its successor began.
    fn prune(&mut self, lifetimes: Lifetimes, now: Time) {
        for algorithm in Algorithm::ALL {
            let begins: Vec<Time> = self
                .signing
                .iter()
                .filter(|k| k.algorithm == algorithm)
                .map(|k| k.active_from)
                .collect();
            self.signing.retain(|key| {
                key.algorithm != algorithm
                    || is_needed(key.active_from, &begins, lifetimes.token, now)
            });
        }
        let begins: Vec<Time> = self.secrets.iter().map(|secret| secret.active_from).collect();
        self.secrets
            .retain(|secret| is_needed(secret.active_from, &begins, lifetimes.credential, now));
    }

    /// When the newest keys begin to sign.
    fn newest(&self) -> Time {
        self.secrets.iter().map(|secret| secret.active_from).max().unwrap_or(Time::EPOCH)
    }

    fn rotation_due(&self, lifetimes: Lifetimes) -> Time {
        self.newest().plus(lifetimes.rotate_every).minus(lifetimes.publish_ahead)
    }

    /// The key that signs at `now`.
    pub(crate) fn signing_key(
        &self,
        algorithm: Algorithm,
        now: Time,
    ) -> Result<&SigningKey, KeyError> {
        self.signing
            .iter()
            .filter(|key| key.algorithm == algorithm && key.active_from <= now)
            .max_by_key(|key| key.active_from)
            // A ring that was made while the clock was ahead has no active key yet; its oldest one
            // is known to everybody who knows the ring.
            .or_else(|| {
                let of_algorithm = self.signing.iter().filter(|key| key.algorithm == algorithm);
                of_algorithm.min_by_key(|key| key.active_from)
            })
            .ok_or(KeyError::NoKey(algorithm.as_str()))
    }

    pub(crate) fn verifying_key(&self, kid: &str) -> Option<&SigningKey> {
        self.signing.iter().find(|key| key.kid == kid)
    }

    /// The secret that authenticated what was made at `at`.
    pub(crate) fn secret_at(&self, at: Time) -> Result<&MacSecret, KeyError> {
        self.secrets
            .iter()
            .filter(|secret| secret.active_from <= at)
            .max_by_key(|secret| secret.active_from)
            .or_else(|| self.secrets.iter().min_by_key(|secret| secret.active_from))
            .ok_or(KeyError::NoKey("HMAC"))
    }

    pub(crate) fn secret(&self, id: [u8; 4]) -> Option<&MacSecret> {
        self.secrets.iter().find(|secret| secret.id == id)
    }

    /// The JWK Set (RFC 7517 section 5): public members only, also of keys that do not sign yet.
    pub(crate) fn jwks(&self) -> serde_json::Value {
        json!({"keys": self.signing.iter().map(|key| &key.jwk).collect::<Vec<_>>()})
    }

    /// What an operator may see of the keys.
    pub(crate) fn describe(&self, now: Time) -> Vec<KeyInfo> {
        let describe = |key: &SigningKey| KeyInfo {
            kid: key.kid.clone(),
            algorithm: key.algorithm,
            active_from: key.active_from,
            signs_now: self.signing_key(key.algorithm, now).is_ok_and(|k| k.kid == key.kid),
        };
        self.signing.iter().map(describe).collect()
    }

    fn seal(&self, master: &MasterKey, issuer: &Issuer) -> Result<Vec<u8>, KeyError> {
        let record = RingRecord {
            signing: self
                .signing
                .iter()
                .map(|key| SigningRecord {
                    alg: key.algorithm.as_str().to_owned(),
                    active_from: key.active_from,
                    pkcs8: Zeroizing::new(BASE64_STANDARD.encode(key.pkcs8.as_slice())),
                })
                .collect(),
            secrets: self
                .secrets
                .iter()
                .map(|secret| SecretRecord {
                    id: secret.id,
                    active_from: secret.active_from,
                    secret: Zeroizing::new(BASE64_STANDARD.encode(secret.secret.as_slice())),
                })
                .collect(),
        };
        let plain = serde_json::to_vec(&record).map_err(|_| KeyError::Crypto("write the ring"))?;
        // Sealing works in place, so the plain bytes are overwritten by the sealed ones.
        master.seal(issuer, plain)
    }

    fn open(master: &MasterKey, issuer: &Issuer, sealed: &[u8]) -> Result<Self, KeyError> {
        let plain = master.open(issuer, sealed)?;
        let record: RingRecord = serde_json::from_slice(&plain).map_err(|_| KeyError::Damaged)?;
        let decode = |text: &str| BASE64_STANDARD.decode(text).map_err(|_| KeyError::Damaged);
        let mut ring = Self { signing: Vec::new(), secrets: Vec::new() };
        for entry in record.signing {
            let algorithm = entry.alg.parse().map_err(|_| KeyError::Damaged)?;
            let pkcs8 = Zeroizing::new(decode(&entry.pkcs8)?);
            ring.signing.push(SigningKey::parse(algorithm, entry.active_from, pkcs8)?);
        }
        for entry in record.secrets {
            let secret = Zeroizing::new(decode(&entry.secret)?);
            let secret: [u8; 32] = secret.as_slice().try_into().map_err(|_| KeyError::Damaged)?;
            ring.secrets.push(MacSecret {
                id: entry.id,
                active_from: entry.active_from,
                secret: Zeroizing::new(secret),
            });
        }
        Ok(ring)
    }
}

fn is_needed(active_from: Time, begins: &[Time], life: Duration, now: Time) -> bool {
    let successor = begins.iter().filter(|begin| **begin > active_from).min();
    successor.is_none_or(|successor| successor.plus(life) > now)
}

/// A signing key as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id in the JWKS: the RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// From when on it signs.
    pub active_from: Time,
    /// Whether it is the one that signs now.
    pub signs_now: bool,
}

/// The ring of a running server: loaded, reloaded, rotated.
pub(crate) struct Keys {
    store: Arc<dyn KeyStore>,
    issuer: Issuer,
    master: MasterKey,
    lifetimes: Lifetimes,
    current: RwLock<Current>,
}

#[derive(Clone)]
struct Current {
    ring: Arc<Ring>,
    version: u64,
    loaded_at: Time,
}

/// How often an unknown key id may make us look at the store: a stranger can invent ids.
const RELOAD_EVERY: Duration = Duration::from_secs(1);

impl Keys {
    /// Opens the issuer's ring, or makes its first.
    pub(crate) async fn open(
        store: Arc<dyn KeyStore>,
        issuer: Issuer,
        master: MasterKey,
        lifetimes: Lifetimes,
        environment: &dyn Environment,
        now: Time,
    ) -> Result<Self, KeyError> {
        // A second process may create the ring at the same time; the loser takes the winner's.
        for _ in 0..3 {
            if let Some(SealedRing { sealed, version }) = store.load(&issuer).await? {
                let ring = Arc::new(Ring::open(&master, &issuer, &sealed)?);
                let current = RwLock::new(Current { ring, version, loaded_at: now });
                return Ok(Self { store, issuer, master, lifetimes, current });
            }
            let ring = Ring::create(environment, now)?;
            store.replace(&issuer, ring.seal(&master, &issuer)?, 0).await?;
        }
        Err(KeyError::Contended)
    }

    pub(crate) fn ring(&self) -> Arc<Ring> {
        self.current().ring
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the store again, when the last look is not too recent.
    pub(crate) async fn reload_for_unknown(&self, now: Time) -> Result<Arc<Ring>, KeyError> {
        let current = self.current();
        if now.since(current.loaded_at) < RELOAD_EVERY {
            return Ok(current.ring);
        }
        self.reload(now).await
    }

    async fn reload(&self, now: Time) -> Result<Arc<Ring>, KeyError> {
        let stored = self.store.load(&self.issuer).await?.ok_or(KeyError::Damaged)?;
        let before = self.current();
        let ring = if stored.version == before.version {
            before.ring
        } else {
            Arc::new(Ring::open(&self.master, &self.issuer, &stored.sealed)?)
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // A load that took long must not replace what a quicker one has brought meanwhile.
        if current.version <= stored.version {
            *current = Current { ring, version: stored.version, loaded_at: now };
        }
        Ok(current.ring.clone())
    }

    /// Publishes new keys, which begin to sign after `publish_ahead`. When keys are published
    /// already that do not sign yet, those are the answer.
    pub(crate) async fn rotate(
        &self,
        environment: &dyn Environment,
        now: Time,
    ) -> Result<Time, KeyError> {
        self.rotate_if(environment, now, |newest| newest <= now).await
    }

    /// Rotates when the keys are old enough, and answers when rotation is next due; before it, when
    /// the keys that this call made begin to sign.
    pub(crate) async fn maintain(
        &self,
        environment: &dyn Environment,
        now: Time,
    ) -> Result<(Option<Time>, Time), KeyError> {
        let lifetimes = self.lifetimes;
        let due = self.reload(now).await?.rotation_due(lifetimes);
        if due > now {
            return Ok((None, due));
        }
        let age = lifetimes.rotate_every.saturating_sub(lifetimes.publish_ahead);
        let newest = self.rotate_if(environment, now, |newest| newest.plus(age) <= now).await?;
        Ok((Some(newest), self.ring().rotation_due(lifetimes)))
    }

    async fn rotate_if(
        &self,
        environment: &dyn Environment,
        now: Time,
        wanted: impl Fn(Time) -> bool + Send,
    ) -> Result<Time, KeyError> {
        for _ in 0..3 {
            let newest = self.reload(now).await?.newest();
            if !wanted(newest) {
                return Ok(newest);
            }
            let Current { ring, version, .. } = self.current();
            // Rings are small: sealing and opening again copies one.
            let mut next =
                Ring::open(&self.master, &self.issuer, &ring.seal(&self.master, &self.issuer)?)?;
            next.add(environment, now.plus(self.lifetimes.publish_ahead))?;
            next.prune(self.lifetimes, now);
            let sealed = next.seal(&self.master, &self.issuer)?;
            if self.store.replace(&self.issuer, sealed, version).await? {
                return Ok(self.reload(now).await?.newest());
            }
        }
        Err(KeyError::Contended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemEnvironment;

    fn issuer() -> Issuer {
        Issuer::new("https://id.example.com").unwrap()
    }

    fn master() -> MasterKey {
        MasterKey::from_bytes([7; 32])
    }

    fn lifetimes() -> Lifetimes {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        Lifetimes {
            rotate_every: hours(720),
            publish_ahead: hours(1),
            token: hours(24),
            credential: hours(2160),
        }
    }

    #[test]
    fn a_ring_opens_only_with_its_master_key_and_for_its_issuer() {
        let ring = Ring::create(&SystemEnvironment, Time::from_secs(1000)).unwrap();
        let sealed = ring.seal(&master(), &issuer()).unwrap();
        assert!(Ring::open(&master(), &issuer(), &sealed).is_ok());
        let other_key = Ring::open(&MasterKey::from_bytes([8; 32]), &issuer(), &sealed);
        assert!(matches!(other_key, Err(KeyError::WrongMasterKey)));
        let other_issuer = Issuer::new("https://other.example.com").unwrap();
        assert!(Ring::open(&master(), &other_issuer, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(Ring::open(&master(), &issuer(), &flipped).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_jwks_has_no_private_member_and_distinct_kids() {
        let ring = Ring::create(&SystemEnvironment, Time::EPOCH).unwrap();
        let jwks = ring.jwks();
        let keys = jwks["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 2);
        assert_ne!(keys[0]["kid"], keys[1]["kid"]);
        for key in keys {
            for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(key.get(private).is_none());
            }
        }
    }

    #[test]
    fn a_new_key_is_published_before_it_signs_and_the_old_one_stays_until_its_tokens_ended() {
        let start = Time::from_secs(1_000_000);
        let mut ring = Ring::create(&SystemEnvironment, start).unwrap();
        let old = ring.signing_key(Algorithm::Rs256, start).unwrap().kid.clone();
        let begins = start.plus(Duration::from_secs(3600));
        ring.add(&SystemEnvironment, begins).unwrap();

        let before = begins.minus(Duration::from_millis(1));
        assert_eq!(ring.signing_key(Algorithm::Rs256, before).unwrap().kid, old);
        assert_ne!(ring.signing_key(Algorithm::Rs256, begins).unwrap().kid, old);
        assert_eq!(ring.jwks()["keys"].as_array().unwrap().len(), 4);

        ring.prune(lifetimes(), begins.plus(lifetimes().token).minus(Duration::from_millis(1)));
        assert!(ring.verifying_key(&old).is_some());
        ring.prune(lifetimes(), begins.plus(lifetimes().token));
        assert!(ring.verifying_key(&old).is_none());
        assert!(ring.signing_key(Algorithm::EdDsa, begins).is_ok());
    }

    #[test]
    fn signatures_verify_with_their_key_and_no_other() {
        let ring = Ring::create(&SystemEnvironment, Time::EPOCH).unwrap();
        let rsa = ring.signing_key(Algorithm::Rs256, Time::EPOCH).unwrap();
        let ed = ring.signing_key(Algorithm::EdDsa, Time::EPOCH).unwrap();
        for key in [rsa, ed] {
            let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(b"input").unwrap());
            assert!(key.verify(&signature, b"input"));
            assert!(!key.verify(&signature, b"inputs"));
        }
        let signature = BASE64_URL_SAFE_NO_PAD.encode(rsa.sign(b"input").unwrap());
        assert!(!ed.verify(&signature, b"input"));
    }

    #[test]
    fn a_short_master_key_is_refused() {
        assert!(MasterKey::from_base64("c2hvcnQ=").is_err());
        assert!(MasterKey::from_base64("").is_err());
        assert!(MasterKey::from_base64(&BASE64_STANDARD.encode([1; 33])).is_err());
        assert!(MasterKey::from_base64(&BASE64_STANDARD.encode([1; 32])).is_ok());
    }
}
