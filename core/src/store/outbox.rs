//! Messages that must reach somebody, although both ends may be away for a while.

use async_trait::async_trait;

use super::StoreError;
use crate::env::Time;
use crate::issuer::Issuer;

/// A message to an application: that a session has ended (OpenID Connect Back-Channel Logout 1.0).
///
/// It says what happened, not how it is told: the token is signed anew for each try, with the same `jti`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Its id, which is the `jti` of every try: the receiver can tell that it has seen it.
    pub id: String,
    /// Who sends it.
    pub issuer: Issuer,
    /// To which client.
    pub client_id: String,
    /// Whose session ended: the host's own identifier.
    pub subject: String,
    /// Which session ended, by its published id.
    pub sid: String,
    /// When it was written.
    pub created_at: Time,
    /// When it is to be tried next.
    pub due_at: Time,
    /// How often it was tried.
    pub attempts: u32,
}

impl Message {
    /// A message that is due at once.
    #[must_use]
    pub fn new(
        id: String,
        issuer: Issuer,
        client_id: String,
        subject: String,
        sid: String,
        now: Time,
    ) -> Self {
        Self { id, issuer, client_id, subject, sid, created_at: now, due_at: now, attempts: 0 }
    }
}

/// Messages that wait to be delivered. Its contract in tests is
/// `outbox_conformance!` (feature `conformance`).
///
/// Every method that changes something returns only when the change would survive the death of the process.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Adds messages, all or none. One whose id is there already stays as it is.
    async fn add(&self, messages: Vec<Message>) -> Result<(), StoreError>;

    /// Takes at most `limit` messages of an issuer that are due at `now`, the earliest first, and makes each due again
    /// at `until` with one more attempt: whoever takes it has so long for it. Of two callers at the same time
    /// only one gets a message. Answers the messages as they are now.
    async fn claim(
        &self,
        issuer: &Issuer,
        now: Time,
        until: Time,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError>;

    /// The messages of an issuer in the order of their ids, after `after`, `limit` at most: how records move from one
    /// store to another, and what an operator may look at.
    async fn list(
        &self,
        issuer: &Issuer,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError>;

    /// Has a message tried again at `next`; or forgets it for good, when there is none. False when it is gone.
    async fn settle(&self, id: &str, next: Option<Time>) -> Result<bool, StoreError>;
}
