//! A key ring: the keys of one issuer, and from when each is active.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::verifying::VerifyingKeys;
use super::{Algorithm, KeyError, KeyInfo, KeyPolicy, MasterKey, SigningKey, VerifyingKey};
use crate::endpoint::document::Document;
use crate::env::{Environment, Time, random};
use crate::issuer::Issuer;
use crate::mac;

/// A secret that authenticates codes, refresh tokens and tickets.
pub(crate) struct MacSecret {
    pub(crate) id: [u8; 4],
    active_from: Time,
    secret: Zeroizing<[u8; 32]>,
    /// The keys that were derived of it: one a purpose, for the issuer of the ring.
    derived: RwLock<Vec<(&'static str, Issuer, Arc<mac::Key>)>>,
}

impl MacSecret {
    fn new(id: [u8; 4], active_from: Time, secret: Zeroizing<[u8; 32]>) -> Self {
        Self { id, active_from, secret, derived: RwLock::default() }
    }

    /// The message authentication code for one purpose and one issuer.
    pub(crate) fn mac(&self, purpose: &'static str, issuer: &Issuer, parts: &[&[u8]]) -> [u8; 32] {
        self.key(purpose, issuer).code(parts)
    }

    /// To derive a key costs as much as to use it.
    fn key(&self, purpose: &'static str, issuer: &Issuer) -> Arc<mac::Key> {
        let derived = self.derived.read().unwrap_or_else(PoisonError::into_inner);
        let known = derived.iter().find(|(of, at, _)| *of == purpose && at == issuer);
        if let Some((.., key)) = known {
            return key.clone();
        }
        drop(derived);
        let key = Arc::new(mac::Key::derived(&self.secret, purpose, issuer));
        let mut derived = self.derived.write().unwrap_or_else(PoisonError::into_inner);
        derived.push((purpose, issuer.clone(), key.clone()));
        key
    }

    /// Whether `tag` is that code.
    pub(crate) fn verifies(
        &self,
        purpose: &'static str,
        issuer: &Issuer,
        parts: &[&[u8]],
        tag: &[u8],
    ) -> bool {
        mac::same(&self.mac(purpose, issuer, parts), tag)
    }
}

/// The keys of one issuer, parsed.
pub(crate) struct Ring {
    signing: Vec<SigningKey>,
    secrets: Vec<MacSecret>,
    /// Makes pairwise identifiers. It is never replaced: clients know people by them. A ring of an earlier
    /// release has none.
    salt: Option<Zeroizing<[u8; 32]>>,
    /// The public keys as they are sent, once they have been asked for. A ring that serves is never changed: another
    /// takes its place.
    document: OnceLock<Arc<Document>>,
}

#[derive(Serialize, Deserialize)]
struct RingRecord {
    signing: Vec<SigningRecord>,
    secrets: Vec<SecretRecord>,
    #[serde(default)]
    salt: Option<Zeroizing<String>>,
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
    pub(super) fn create(
        policy: &KeyPolicy,
        environment: &dyn Environment,
        now: Time,
    ) -> Result<Self, KeyError> {
        let mut ring = Self::empty();
        ring.salt = Some(Zeroizing::new(random(environment)?));
        ring.add(policy, environment, now)?;
        Ok(ring)
    }

    pub(crate) fn empty() -> Self {
        let (signing, secrets, document) = (Vec::new(), Vec::new(), OnceLock::new());
        Self { signing, secrets, salt: None, document }
    }

    /// Where its document is kept.
    pub(super) fn document(&self) -> &OnceLock<Arc<Document>> {
        &self.document
    }

    /// A ring of new keys for the same people.
    pub(super) fn renewed(
        &self,
        policy: &KeyPolicy,
        environment: &dyn Environment,
        now: Time,
    ) -> Result<Self, KeyError> {
        let mut ring = Self::create(policy, environment, now)?;
        ring.salt = self.salt.clone().or(ring.salt);
        Ok(ring)
    }

    /// A name that only those of one sector see for the same thing.
    pub(crate) fn pseudonym(
        &self,
        purpose: &str,
        issuer: &Issuer,
        sector: &str,
        name: &str,
    ) -> String {
        let salt = self.salt.as_deref().copied().map(Zeroizing::new).unwrap_or_default();
        let parts = [purpose.as_bytes(), sector.as_bytes(), name.as_bytes()];
        let key = mac::Key::derived(&salt, "pairwise", issuer);
        BASE64_URL_SAFE_NO_PAD.encode(key.code(&parts))
    }

    pub(super) fn add(
        &mut self,
        policy: &KeyPolicy,
        environment: &dyn Environment,
        active_from: Time,
    ) -> Result<(), KeyError> {
        self.add_signing(&policy.algorithms, active_from)?;
        let id = random(environment)?;
        let secret = Zeroizing::new(random(environment)?);
        self.secrets.push(MacSecret::new(id, active_from, secret));
        Ok(())
    }

    /// Adds what an earlier release or policy did not have. Whether there was anything to add.
    pub(super) fn complete(
        &mut self,
        policy: &KeyPolicy,
        environment: &dyn Environment,
        now: Time,
    ) -> Result<bool, KeyError> {
        let lacks = self.lacks(policy);
        let is_complete = lacks.is_empty() && self.salt.is_some();
        if self.salt.is_none() {
            self.salt = Some(Zeroizing::new(random(environment)?));
        }
        self.add_signing(&lacks, now)?;
        Ok(!is_complete)
    }

    /// The algorithms that are wanted and that it has no key for.
    fn lacks(&self, policy: &KeyPolicy) -> Vec<Algorithm> {
        let has = |algorithm| self.signing.iter().any(|key| key.algorithm == algorithm);
        policy.algorithms.iter().copied().filter(|algorithm| !has(*algorithm)).collect()
    }

    /// Adds a signing key of each algorithm. Of one that there was none of before it may be active at once: no
    /// token of its is known to anybody.
    fn add_signing(&mut self, algorithms: &[Algorithm], active_from: Time) -> Result<(), KeyError> {
        for algorithm in algorithms {
            self.signing.push(SigningKey::generate(*algorithm, active_from)?);
        }
        Ok(())
    }

    /// Drops what nothing alive was made with: an entry ends some time after its successor began.
    pub(super) fn prune(&mut self, policy: &KeyPolicy, now: Time) {
        let secrets: Vec<Time> = self.secrets.iter().map(|secret| secret.active_from).collect();
        let needed: Vec<bool> =
            self.signing.iter().map(|key| self.is_key_needed(key, &secrets, policy, now)).collect();
        let mut needed = needed.into_iter();
        self.signing.retain(|_| needed.next().unwrap_or(true));
        self.secrets
            .retain(|secret| is_needed(secret.active_from, &secrets, policy.credential, now));
    }

    /// Whether there is something to drop.
    pub(super) fn has_old(&self, policy: &KeyPolicy, now: Time) -> bool {
        let secrets: Vec<Time> = self.secrets.iter().map(|secret| secret.active_from).collect();
        self.signing.iter().any(|key| !self.is_key_needed(key, &secrets, policy, now))
            || secrets.iter().any(|at| !is_needed(*at, &secrets, policy.credential, now))
    }

    /// Nothing succeeds the keys of an algorithm that is no longer wanted but the next rotation.
    fn is_key_needed(
        &self,
        key: &SigningKey,
        secrets: &[Time],
        policy: &KeyPolicy,
        now: Time,
    ) -> bool {
        let of_algorithm = self.signing.iter().filter(|other| other.algorithm == key.algorithm);
        let mut begins: Vec<Time> = of_algorithm.map(|key| key.active_from).collect();
        if !policy.algorithms.contains(&key.algorithm) {
            begins.extend(secrets);
        }
        is_needed(key.active_from, &begins, policy.token, now)
    }

    /// When the newest keys begin to sign.
    pub(super) fn newest(&self) -> Time {
        self.secrets.iter().map(|secret| secret.active_from).max().unwrap_or(Time::EPOCH)
    }

    pub(super) fn rotation_due(&self, policy: &KeyPolicy) -> Time {
        self.newest().plus(policy.rotate_every).minus(policy.publish_ahead)
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

    /// The public keys (RFC 7517), also of keys that do not sign yet.
    pub(super) fn jwks(&self) -> impl Iterator<Item = &serde_json::Value> {
        self.signing.iter().map(|key| key.verifier.jwk())
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

    pub(super) fn seal(&self, master: &MasterKey, issuer: &Issuer) -> Result<Vec<u8>, KeyError> {
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
            salt: self
                .salt
                .as_ref()
                .map(|salt| Zeroizing::new(BASE64_STANDARD.encode(salt.as_slice()))),
        };
        let plain = serde_json::to_vec(&record).map_err(|_| KeyError::Crypto("write the ring"))?;
        // Sealing works in place, so the plain bytes are overwritten by the sealed ones.
        master.seal(&context(issuer), plain)
    }

    pub(super) fn open(
        master: &MasterKey,
        issuer: &Issuer,
        sealed: &[u8],
    ) -> Result<Self, KeyError> {
        let plain = master.open(&context(issuer), sealed)?;
        let record: RingRecord = serde_json::from_slice(&plain).map_err(|_| KeyError::Damaged)?;
        let decode = |text: &str| BASE64_STANDARD.decode(text).map_err(|_| KeyError::Damaged);
        let mut ring = Self::empty();
        for entry in record.signing {
            let algorithm = entry.alg.parse().map_err(|_| KeyError::Damaged)?;
            let pkcs8 = Zeroizing::new(decode(&entry.pkcs8)?);
            ring.signing.push(SigningKey::parse(algorithm, entry.active_from, pkcs8)?);
        }
        let decode_secret = |text: &str| {
            let bytes = Zeroizing::new(decode(text)?);
            let bytes = bytes.as_slice().try_into().map_err(|_| KeyError::Damaged)?;
            Ok::<_, KeyError>(Zeroizing::<[u8; 32]>::new(bytes))
        };
        for entry in record.secrets {
            let secret = decode_secret(&entry.secret)?;
            let (id, active_from) = (entry.id, entry.active_from);
            ring.secrets.push(MacSecret::new(id, active_from, secret));
        }
        ring.salt = record.salt.map(|salt| decode_secret(&salt)).transpose()?;
        Ok(ring)
    }
}

impl VerifyingKeys for Ring {
    /// Every token of ours names its key.
    fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&VerifyingKey> {
        let named = |key: &&SigningKey| Some(key.kid.as_str()) == kid && key.algorithm == algorithm;
        self.signing.iter().filter(named).map(|key| &key.verifier).collect()
    }

    fn knows(&self, kid: &str) -> bool {
        self.signing.iter().any(|key| key.kid == kid)
    }
}

/// Binds a sealed ring to its issuer: a ring copied to another issuer's row does not open.
fn context(issuer: &Issuer) -> String {
    format!("grantor key ring 1\0{issuer}")
}

fn is_needed(active_from: Time, begins: &[Time], life: Duration, now: Time) -> bool {
    let successor = begins.iter().filter(|begin| **begin > active_from).min();
    successor.is_none_or(|successor| successor.plus(life) > now)
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

    fn policy() -> KeyPolicy {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        KeyPolicy {
            algorithms: vec![Algorithm::Rs256, Algorithm::EdDsa],
            rotate_every: hours(720),
            publish_ahead: hours(1),
            token: hours(24),
            credential: hours(2160),
        }
    }

    #[test]
    fn keys_are_wiped_when_they_are_dropped() {
        fn is_wiped(_: &impl zeroize::ZeroizeOnDrop) {}
        // It does not compile when one is of another type.
        let all = |ring: &Ring, secret: &MacSecret, key: &SigningKey| {
            is_wiped(&secret.secret);
            is_wiped(&key.pkcs8);
            ring.salt.iter().for_each(is_wiped);
        };
        let ring = Ring::create(&policy(), &SystemEnvironment, Time::from_secs(1000)).unwrap();
        all(&ring, &ring.secrets[0], &ring.signing[0]);
    }

    #[test]
    fn a_ring_opens_only_with_its_master_key_and_for_its_issuer() {
        let ring = Ring::create(&policy(), &SystemEnvironment, Time::from_secs(1000)).unwrap();
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
        let ring = Ring::create(&policy(), &SystemEnvironment, Time::EPOCH).unwrap();
        let keys: Vec<_> = ring.jwks().collect();
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
        let mut ring = Ring::create(&policy(), &SystemEnvironment, start).unwrap();
        let old = ring.signing_key(Algorithm::Rs256, start).unwrap().kid.clone();
        let begins = start.plus(Duration::from_secs(3600));
        ring.add(&policy(), &SystemEnvironment, begins).unwrap();

        let before = begins.minus(Duration::from_millis(1));
        assert_eq!(ring.signing_key(Algorithm::Rs256, before).unwrap().kid, old);
        assert_ne!(ring.signing_key(Algorithm::Rs256, begins).unwrap().kid, old);
        assert_eq!(ring.jwks().count(), 4);

        ring.prune(&policy(), begins.plus(policy().token).minus(Duration::from_millis(1)));
        assert!(ring.knows(&old));
        ring.prune(&policy(), begins.plus(policy().token));
        assert!(!ring.knows(&old));
        assert!(ring.signing_key(Algorithm::EdDsa, begins).is_ok());
    }

    #[test]
    fn an_algorithm_that_is_wanted_later_gets_its_key_and_one_that_is_not_loses_it() {
        let start = Time::from_secs(1_000_000);
        let mut ring = Ring::create(&policy(), &SystemEnvironment, start).unwrap();
        let later = KeyPolicy { algorithms: vec![Algorithm::EdDsa, Algorithm::Es256], ..policy() };
        assert_eq!(ring.lacks(&later), [Algorithm::Es256]);
        assert!(ring.complete(&later, &SystemEnvironment, start).unwrap());
        assert!(!ring.complete(&later, &SystemEnvironment, start).unwrap());
        assert_eq!(ring.signing_key(Algorithm::Es256, start).unwrap().active_from, start);
        let begins = start.plus(Duration::from_secs(3600));
        ring.add(&later, &SystemEnvironment, begins).unwrap();
        ring.prune(&later, begins.plus(later.token).minus(Duration::from_millis(1)));
        assert!(ring.signing_key(Algorithm::Rs256, begins).is_ok(), "its tokens live on");
        ring.prune(&later, begins.plus(later.token));
        assert!(ring.signing_key(Algorithm::Rs256, begins).is_err());
        assert_eq!(ring.jwks().count(), 2);
    }
}
