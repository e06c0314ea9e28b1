//! The storage contract.
//!
//! A verb of [`TokenStore`] is an event of the protocol, atomic, and answers with what happened.
//! There is no "begin transaction": a caller never reads first and writes on the strength of it.
//! Everything belongs to an issuer, so several issuers can share one store.
//!
//! A backend proves that it keeps the contract by running `grantor::store_conformance!` (feature
//! `conformance`), which is the contract as tests.

use std::sync::Arc;

use async_trait::async_trait;

use crate::client::Client;
use crate::env::Time;
use crate::grant::{Grant, GrantId, Outcome, Step};
use crate::issuer::Issuer;
use crate::scope::Scope;

mod batch;
#[cfg(feature = "conformance")]
pub mod conformance;
mod memory;
mod outbox;
#[cfg(all(test, feature = "conformance"))]
mod planted;
pub mod record;

pub use batch::batch;
pub use memory::Memory;
pub use outbox::{Message, Outbox};

/// A store that could not do its work: an I/O error, a lost connection, an overload.
///
/// It is opaque on purpose: the engine fails closed whatever the reason (nothing is issued, the
/// peer gets 503 `temporarily_unavailable`), and the operator finds the reason in the source.
#[derive(Debug, thiserror::Error)]
#[error("the store failed")]
pub struct StoreError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl StoreError {
    /// Wraps a backend's own error.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// The registered clients: read often, written seldom. It may live elsewhere than the grants.
#[async_trait]
pub trait ClientStore: Send + Sync + 'static {
    /// The client of this id, active or not.
    async fn find(
        &self,
        issuer: &Issuer,
        client_id: &str,
    ) -> Result<Option<Arc<Client>>, StoreError>;

    /// Adds a client. False when the id is taken, by a live or a removed client: ids are never
    /// used again, since old tokens speak of them.
    async fn insert(&self, issuer: &Issuer, client: Client) -> Result<bool, StoreError>;

    /// Replaces a client if its stored version is still `client.version`, and counts the version
    /// up. False when it is not, or the client is gone: a lost update is refused, not made.
    async fn update(&self, issuer: &Issuer, client: Client) -> Result<bool, StoreError>;

    /// Removes a client for good. False when there is none.
    async fn remove(&self, issuer: &Issuer, client_id: &str) -> Result<bool, StoreError>;

    /// The clients of a tenant in the order of their ids, after `after`, `limit` at most.
    async fn list(
        &self,
        issuer: &Issuer,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Client>>, StoreError>;

    /// Whether any *active* client lists this origin. A CORS preflight names no client, so it is
    /// answered from the union of all (the real request is checked against its own client).
    async fn allows_origin(&self, issuer: &Issuer, origin: &str) -> Result<bool, StoreError>;
}

/// Whose grants are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// All grants of a subject.
    Subject(Issuer, String),
    /// All grants of a client.
    Client(Issuer, String),
    /// All grants that a subject gave to a client.
    SubjectAndClient(Issuer, String, String),
    /// All grants of a session, by its published id.
    Session(Issuer, String),
}

/// What an insertion met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The grant is stored.
    New,
    /// A grant of this id was there; it stands as it did, and neither the new one nor the consent
    /// that came with it was stored.
    Existing(Box<Grant>),
}

/// A remembered consent: what a subject lets a client have without being asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The issuer.
    pub issuer: Issuer,
    /// Who consented.
    pub subject: String,
    /// To which client.
    pub client_id: String,
    /// To what, all approvals together.
    pub scope: Scope,
    /// When it was last given.
    pub granted_at: Time,
}

impl Remembered {
    /// What is remembered after `next` was given too. Two tabs may consent to different scopes at
    /// once; neither forgets the other's.
    #[must_use]
    pub fn merged(self, next: &Remembered) -> Remembered {
        Remembered {
            scope: self.scope.union(&next.scope),
            granted_at: self.granted_at.max(next.granted_at),
            ..self
        }
    }
}

/// The grants and the remembered consents.
///
/// Every method that changes something returns only when the change would survive the death of
/// the process. What cannot be made durable is an error, never a silent success.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// Stores a new grant, and with it the consent to remember (merged with what is remembered by
    /// [`Remembered::merged`]), as one act.
    async fn insert(
        &self,
        grant: Grant,
        remember: Option<Remembered>,
    ) -> Result<Inserted, StoreError>;

    /// Loads the grant, takes the step with [`Grant::apply`], saves what it says to save, and
    /// answers its outcome ([`Outcome::Missing`] when there is no grant). Linearizable per grant:
    /// of two racing redemptions one sees the other's result.
    async fn apply(&self, id: GrantId, step: Step, now: Time) -> Result<Outcome, StoreError>;

    /// The grant of this id.
    async fn find(&self, id: GrantId) -> Result<Option<Grant>, StoreError>;

    /// The grants of an owner in the order of their ids, after `after`, `limit` at most.
    async fn list(
        &self,
        of: &Owner,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError>;

    /// Revokes every grant of an owner, in bounded batches, and says how many changed. Grants that
    /// are approved meanwhile are stopped by the barriers of clients and subjects (`valid_from`), not
    /// by this.
    async fn revoke(&self, of: &Owner, now: Time) -> Result<u64, StoreError>;

    /// What this subject lets this client have.
    async fn remembered(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<Option<Remembered>, StoreError>;

    /// What this subject lets clients have, in the order of the clients' ids, after `after`, `limit`
    /// at most.
    async fn consents(
        &self,
        issuer: &Issuer,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Remembered>, StoreError>;

    /// Remembers a consent without an approval, merged with what is remembered: how records move from
    /// one store to another.
    async fn remember(&self, consent: Remembered) -> Result<(), StoreError>;

    /// Forgets a consent. False when none was remembered.
    async fn forget(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<bool, StoreError>;

    /// Deletes grants that ended before `now`, `limit` at most, and says how many. A grant is
    /// kept until its own end even when it is spent or revoked: reuse must still be seen.
    async fn purge(&self, now: Time, limit: usize) -> Result<usize, StoreError>;
}

/// The key ring of an issuer, sealed: a store never sees a key.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// The sealed ring and its version; `None` when the issuer has none yet.
    async fn load(&self, issuer: &Issuer) -> Result<Option<SealedRing>, StoreError>;

    /// Stores a ring as version `if_version + 1`, if the stored version still is `if_version` (0:
    /// there is none). False when it is not: two processes cannot both rotate.
    async fn replace(
        &self,
        issuer: &Issuer,
        sealed: Vec<u8>,
        if_version: u64,
    ) -> Result<bool, StoreError>;
}

/// A sealed key ring as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRing {
    /// The sealed bytes.
    pub sealed: Vec<u8>,
    /// Counts up with every replacement, from 1.
    pub version: u64,
}
