//! Key rings: what signs, what authenticates credentials, and how both are rotated while running.
//!
//! A ring holds signing keys (one per algorithm) and secrets for message authentication. Each entry
//! says from when it is active: it is published before it signs, so that a client which fetched
//! the JWKS a minute ago knows it, and it is kept until the last thing that it signed has expired.
//! Every process switches by the clock, so no message has to go around.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::endpoint::document::Document;
use crate::env::{Environment, RandomnessUnavailable, Time};
use crate::issuer::Issuer;
use crate::secret::{SealedSecret, Secret};
use crate::store::{KeyStore, SealedRing, StoreError};
use crate::subject::Claims;
use crate::token::jwt;

mod algorithm;
mod master;
mod ring;
mod signer;
mod signing;
mod verifying;

pub use algorithm::Algorithm;
pub use master::MasterKey;
pub(crate) use ring::Ring;
pub use signer::{Signer, SignerError};
pub(crate) use signing::SigningKey;
pub(crate) use verifying::{FRESH, FRESH_FOR_UNKNOWN, VerifyingKey, VerifyingKeys};
pub use verifying::{JwkSet, JwkSetError, MAX_JWK_SET};

/// Keys that cannot be used. Printed for debugging it is the same sentence: a `main` that returns it says the
/// mend.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The master key is not 32 bytes.
    #[error(
        "a master key is the base64 of exactly 32 bytes (make one with: openssl rand -base64 32)"
    )]
    MasterKey,
    /// The environment has no master key.
    #[error(
        "the environment variable {0} is not set: it is the base64 of 32 bytes, which opens the keys in the \
         store (make one with: openssl rand -base64 32), the same at every start"
    )]
    NoMasterKey(String),
    /// The ring was sealed under another master key, or for another issuer.
    #[error(
        "the stored key ring does not open: the master key or the issuer is not the one that it was \
         sealed for. Give the server the old one again"
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
    /// The host's signer.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The host's signer does not do what it says.
    #[error("the host's signer {0}")]
    SignerContradicts(&'static str),
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

impl std::fmt::Debug for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::error::with_sources(self))
    }
}

/// Which keys there are, and how long they live.
#[derive(Clone, Debug)]
pub(crate) struct KeyPolicy {
    /// What the ring has a signing key for.
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) rotate_every: Duration,
    pub(crate) publish_ahead: Duration,
    /// The longest life of anything that a signing key signs.
    pub(crate) token: Duration,
    /// The longest life of anything that a secret authenticates.
    pub(crate) credential: Duration,
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
    policy: KeyPolicy,
    signer: Option<Arc<dyn Signer>>,
    current: RwLock<Current>,
}

#[derive(Clone)]
struct Current {
    ring: Arc<Ring>,
    version: u64,
    loaded_at: Time,
    /// When the store last failed.
    failed_at: Option<Time>,
}

/// What a wish for new keys led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyRotation {
    /// New keys are published, and sign from then on.
    Published(Time),
    /// Keys had been published before that sign from then on; none were added.
    Pending(Time),
}

fn key_set(keys: &[&serde_json::Value]) -> serde_json::Value {
    serde_json::json!({"keys": keys})
}

/// How often an unknown key id may make us look at the store: a stranger can invent ids.
const RELOAD_EVERY: Duration = Duration::from_secs(1);

impl Keys {
    /// Opens the issuer's ring, or makes its first.
    pub(crate) async fn open(
        store: Arc<dyn KeyStore>,
        issuer: Issuer,
        master: MasterKey,
        mut policy: KeyPolicy,
        signer: Option<Arc<dyn Signer>>,
        environment: &dyn Environment,
        now: Time,
    ) -> Result<Self, KeyError> {
        if let Some(signer) = &signer {
            let keys = signer.keys();
            let published: Vec<&str> = keys.kids().collect();
            if published.iter().collect::<HashSet<_>>().len() < published.len() {
                return Err(KeyError::SignerContradicts(
                    "publishes two keys of one `kid`: nobody could tell which of them signed",
                ));
            }
            let mut used = HashSet::new();
            for algorithm in &policy.algorithms {
                let kid = signer.kid(*algorithm);
                if kid.as_ref().is_some_and(|kid| !used.insert(kid.clone())) {
                    return Err(KeyError::SignerContradicts(
                        "signs with one key by two algorithms: give each algorithm a key of its own",
                    ));
                }
                if kid.is_some_and(|kid| keys.candidates(Some(&kid), *algorithm).is_empty()) {
                    return Err(KeyError::SignerContradicts(
                        "names a key for signing that it does not publish: its `kid` and `alg` must be \
                         in Signer::keys",
                    ));
                }
            }
            policy.algorithms.retain(|algorithm| signer.kid(*algorithm).is_none());
        }
        // A second process may create the ring at the same time; the loser takes the winner's.
        for _ in 0..3 {
            let Some(SealedRing { sealed, version }) = store.load(&issuer).await? else {
                let ring = Ring::create(&policy, environment, now)?;
                store.replace(&issuer, ring.seal(&master, &issuer)?, 0).await?;
                continue;
            };
            let mut ring = Ring::open(&master, &issuer, &sealed)?;
            if ring.complete(&policy, environment, now)? {
                store.replace(&issuer, ring.seal(&master, &issuer)?, version).await?;
                continue;
            }
            let ring = Arc::new(ring);
            let current = RwLock::new(Current { ring, version, loaded_at: now, failed_at: None });
            return Ok(Self { store, issuer, master, policy, signer, current });
        }
        Err(KeyError::Contended)
    }

    /// Signs the claims of a token (RFC 7515), by the host's signer if it has a key for the algorithm.
    pub(crate) async fn sign(
        &self,
        algorithm: Algorithm,
        typ: &str,
        claims: &Claims,
        now: Time,
    ) -> Result<Secret, KeyError> {
        let Some((signer, kid)) = self.signer.as_ref().and_then(|s| Some((s, s.kid(algorithm)?)))
        else {
            let ring = self.ring();
            let key = ring.signing_key(algorithm, now)?;
            let input = jwt::input(algorithm, typ, &key.kid, claims)?;
            let signature = key.sign(input.as_bytes())?;
            return Ok(jwt::complete(input, &signature));
        };
        let keys = signer.keys();
        let input = jwt::input(algorithm, typ, &kid, claims)?;
        let signature = signer.sign(&kid, input.as_bytes()).await?;
        let length = input.len();
        let token = jwt::complete(input, &signature);
        let (input, encoded) = token.expose().split_at(length);
        let encoded = encoded.trim_start_matches('.');
        // A signature in another form, or of another key, would be refused by every client, later.
        let published = keys.candidates(Some(&kid), algorithm);
        match published.iter().any(|key| key.verify(algorithm, encoded, input.as_bytes())) {
            true => Ok(token),
            false => Err(KeyError::SignerContradicts(
                "gave a signature that does not verify by the key that it publishes (for ES256, is it DER?)",
            )),
        }
    }

    /// Seals the secret of a client that must be read again.
    pub(crate) fn seal_secret(
        &self,
        client_id: &str,
        secret: &Secret,
    ) -> Result<SealedSecret, KeyError> {
        let plain = secret.expose().as_bytes().to_vec();
        self.master.seal(&self.secret_context(client_id), plain).map(SealedSecret)
    }

    pub(crate) fn open_secret(
        &self,
        client_id: &str,
        sealed: &SealedSecret,
    ) -> Result<Secret, KeyError> {
        let plain = self.master.open(&self.secret_context(client_id), &sealed.0)?;
        Ok(Secret::new(std::str::from_utf8(&plain).map_err(|_| KeyError::Damaged)?))
    }

    /// Binds a sealed secret to its client: copied to another one's record it does not open.
    fn secret_context(&self, client_id: &str) -> String {
        format!("grantor client secret 1\0{}\0{client_id}", self.issuer)
    }

    /// The JWK Set: the ring's and the host's. The ring's is written once a ring; the host's keys may change.
    pub(crate) fn jwks(&self) -> Arc<Document> {
        let ring = self.ring();
        let Some(signer) = &self.signer else {
            let own = || Arc::new(Document::new(&key_set(&ring.jwks().collect::<Vec<_>>())));
            return ring.document().get_or_init(own).clone();
        };
        let hosts = signer.keys().to_json();
        let more = hosts.get("keys").and_then(serde_json::Value::as_array);
        let keys: Vec<_> = ring.jwks().chain(more.into_iter().flatten()).collect();
        Arc::new(Document::new(&key_set(&keys)))
    }

    /// Whether keys of the host's sign, which come and go as the host likes.
    pub(crate) fn has_signer(&self) -> bool {
        self.signer.is_some()
    }

    /// What checks this server's own tokens.
    pub(crate) fn verifying(&self) -> OwnKeys {
        OwnKeys { ring: self.ring(), signer: self.signer.as_ref().map(|signer| signer.keys()) }
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
        // A store that is away is not asked by every stranger. That is no answer about the key either:
        // a client whose credential is good must not be told that it is not.
        if current.failed_at.is_some_and(|at| now.since(at) < RELOAD_EVERY) {
            return Err(StoreError::new("the store failed a moment ago").into());
        }
        let reloaded = self.reload(now).await;
        if reloaded.is_err() {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            current.failed_at = Some(now);
        }
        reloaded
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
            *current = Current { ring, version: stored.version, loaded_at: now, failed_at: None };
        }
        Ok(current.ring.clone())
    }

    /// Publishes new keys, which begin to sign after `publish_ahead`, unless there are some already
    /// that do not sign yet.
    pub(crate) async fn rotate(
        &self,
        environment: &dyn Environment,
        now: Time,
    ) -> Result<KeyRotation, KeyError> {
        self.rotate_if(environment, now, |newest| newest <= now).await
    }

    /// Rotates when the keys are old enough, and answers when rotation is next due; before it, what
    /// this call did.
    pub(crate) async fn maintain(
        &self,
        environment: &dyn Environment,
        now: Time,
    ) -> Result<(Option<KeyRotation>, Time), KeyError> {
        let policy = &self.policy;
        let ring = self.reload(now).await?;
        if ring.has_old(policy, now) {
            self.change(now, |ring| {
                ring.prune(policy, now);
                Ok(())
            })
            .await?;
        }
        let due = ring.rotation_due(policy);
        if due > now {
            return Ok((None, due));
        }
        let age = policy.rotate_every.saturating_sub(policy.publish_ahead);
        let rotated = self.rotate_if(environment, now, |newest| newest.plus(age) <= now).await?;
        Ok((Some(rotated), self.ring().rotation_due(policy)))
    }

    async fn rotate_if(
        &self,
        environment: &dyn Environment,
        now: Time,
        wanted: impl Fn(Time) -> bool + Send,
    ) -> Result<KeyRotation, KeyError> {
        for _ in 0..3 {
            let newest = self.reload(now).await?.newest();
            if !wanted(newest) {
                return Ok(KeyRotation::Pending(newest));
            }
            let changed = self.try_change(|ring| {
                ring.add(&self.policy, environment, now.plus(self.policy.publish_ahead))?;
                ring.prune(&self.policy, now);
                Ok(())
            });
            if changed.await? {
                return Ok(KeyRotation::Published(self.reload(now).await?.newest()));
            }
        }
        Err(KeyError::Contended)
    }

    /// Replaces everything by new keys, which are active at once.
    pub(crate) async fn replace(
        &self,
        environment: &dyn Environment,
        now: Time,
    ) -> Result<(), KeyError> {
        self.change(now, |ring| {
            *ring = ring.renewed(&self.policy, environment, now)?;
            Ok(())
        })
        .await
    }

    async fn change(
        &self,
        now: Time,
        change: impl Fn(&mut Ring) -> Result<(), KeyError> + Send + Sync,
    ) -> Result<(), KeyError> {
        for _ in 0..3 {
            self.reload(now).await?;
            if self.try_change(&change).await? {
                self.reload(now).await?;
                return Ok(());
            }
        }
        Err(KeyError::Contended)
    }

    /// Stores a changed ring, unless another process was quicker.
    async fn try_change(
        &self,
        change: impl Fn(&mut Ring) -> Result<(), KeyError> + Send + Sync,
    ) -> Result<bool, KeyError> {
        let Current { ring, version, .. } = self.current();
        // Rings are small: sealing and opening again copies one.
        let mut next =
            Ring::open(&self.master, &self.issuer, &ring.seal(&self.master, &self.issuer)?)?;
        change(&mut next)?;
        Ok(self
            .store
            .replace(&self.issuer, next.seal(&self.master, &self.issuer)?, version)
            .await?)
    }
}

/// The keys of the ring and of the host's signer.
pub(crate) struct OwnKeys {
    ring: Arc<Ring>,
    signer: Option<JwkSet>,
}

impl VerifyingKeys for OwnKeys {
    fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&VerifyingKey> {
        let mut found = self.ring.candidates(kid, algorithm);
        // Every token of ours names its key.
        if let (Some(signer), Some(_)) = (&self.signer, kid) {
            found.extend(signer.candidates(kid, algorithm));
        }
        found
    }

    fn knows(&self, kid: &str) -> bool {
        self.ring.knows(kid) || self.signer.as_ref().is_some_and(|signer| signer.knows(kid))
    }
}

/// The same keys, sealed for each of these issuers: making RSA keys takes longer than all else in a test.
#[cfg(test)]
pub(crate) fn sealed_for(issuers: &[Issuer], master: &MasterKey) -> Vec<Vec<u8>> {
    let policy = crate::policy::Policy::default().key_policy();
    let ring = Ring::create(&policy, &crate::env::SystemEnvironment, Time::EPOCH).expect("keys");
    issuers.iter().map(|issuer| ring.seal(master, issuer).expect("it is sealed")).collect()
}
