//! A store in memory, for tests and examples. Nothing survives the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    ClientStore, Inserted, KeyStore, Message, Outbox, Owner, Remembered, SealedRing, StoreError,
    TokenStore,
};
use crate::client::Client;
use crate::env::Time;
use crate::grant::{Grant, GrantId, Outcome, State, Step};
use crate::issuer::Issuer;

/// A store in memory. Clones share their contents.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Tables>>);

#[derive(Clone, Debug, Default)]
struct Tables {
    clients: BTreeMap<(Issuer, String), Slot>,
    grants: BTreeMap<GrantId, Grant>,
    remembered: BTreeMap<(Issuer, String, String), Remembered>,
    rings: BTreeMap<Issuer, SealedRing>,
    outbox: BTreeMap<String, Message>,
}

/// A client's place, which outlives the client: ids are never used again.
#[derive(Clone, Debug)]
enum Slot {
    Taken(Arc<Client>),
    Removed,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // No method leaves a table half changed, so a panic elsewhere does not taint the data.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn remember(&mut self, next: Remembered) {
        let key = (next.issuer.clone(), next.subject.clone(), next.client_id.clone());
        let merged = match self.remembered.remove(&key) {
            Some(before) => before.merged(&next),
            None => next,
        };
        self.remembered.insert(key, merged);
    }
}

impl Owner {
    /// Whether the grant is one of this owner's.
    #[must_use]
    pub fn owns(&self, grant: &Grant) -> bool {
        match self {
            Owner::Subject(issuer, subject) => grant.issuer == *issuer && grant.subject == *subject,
            Owner::Client(issuer, client) => grant.issuer == *issuer && grant.client_id == *client,
            Owner::SubjectAndClient(issuer, subject, client) => {
                grant.issuer == *issuer && grant.subject == *subject && grant.client_id == *client
            }
            Owner::Session(issuer, sid) => {
                grant.issuer == *issuer && grant.sid.as_ref() == Some(sid)
            }
        }
    }
}

/// What planted bugs need.
#[cfg(all(test, feature = "conformance"))]
impl Memory {
    /// A store of its own with the same contents.
    pub(super) fn copied(&self) -> Self {
        Self(Arc::new(Mutex::new(self.tables().clone())))
    }

    pub(super) fn overwrite(&self, grant: Grant) {
        self.tables().grants.insert(grant.id, grant);
    }

    pub(super) fn overwrite_message(&self, message: Message) {
        self.tables().outbox.insert(message.id.clone(), message);
    }

    pub(super) fn take_away(&self, id: GrantId) {
        self.tables().grants.remove(&id);
    }

    pub(super) fn take_away_spent(&self) -> usize {
        let mut tables = self.tables();
        let before = tables.grants.len();
        tables.grants.retain(|_, grant| grant.state == State::Approved);
        before - tables.grants.len()
    }

    pub(super) fn free_client_id(&self, issuer: &Issuer, client_id: &str) {
        self.tables().clients.remove(&(issuer.clone(), client_id.to_owned()));
    }
}

#[async_trait]
impl ClientStore for Memory {
    async fn find(
        &self,
        issuer: &Issuer,
        client_id: &str,
    ) -> Result<Option<Arc<Client>>, StoreError> {
        let key = (issuer.clone(), client_id.to_owned());
        Ok(match self.tables().clients.get(&key) {
            Some(Slot::Taken(client)) => Some(client.clone()),
            Some(Slot::Removed) | None => None,
        })
    }

    async fn insert(&self, issuer: &Issuer, client: Client) -> Result<bool, StoreError> {
        let key = (issuer.clone(), client.client_id.clone());
        let mut tables = self.tables();
        if tables.clients.contains_key(&key) {
            return Ok(false);
        }
        tables.clients.insert(key, Slot::Taken(Arc::new(client)));
        Ok(true)
    }

    async fn update(&self, issuer: &Issuer, mut client: Client) -> Result<bool, StoreError> {
        let key = (issuer.clone(), client.client_id.clone());
        match self.tables().clients.get_mut(&key) {
            Some(Slot::Taken(stored)) if stored.version == client.version => {
                client.version += 1;
                *stored = Arc::new(client);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn remove(&self, issuer: &Issuer, client_id: &str) -> Result<bool, StoreError> {
        let key = (issuer.clone(), client_id.to_owned());
        match self.tables().clients.get_mut(&key) {
            Some(slot @ Slot::Taken(_)) => {
                *slot = Slot::Removed;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn list(
        &self,
        issuer: &Issuer,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Client>>, StoreError> {
        let tables = self.tables();
        let clients = tables.clients.iter().filter_map(|((of, id), slot)| match slot {
            Slot::Taken(client) => (of == issuer
                && after.is_none_or(|after| id.as_str() > after)
                && tenant.is_none_or(|tenant| client.tenant.as_deref() == Some(tenant)))
            .then(|| client.clone()),
            Slot::Removed => None,
        });
        Ok(clients.take(limit).collect())
    }

    async fn allows_origin(&self, issuer: &Issuer, origin: &str) -> Result<bool, StoreError> {
        Ok(self.tables().clients.iter().any(|((of, _), slot)| match slot {
            Slot::Taken(client) => of == issuer && client.active && client.allows_origin(origin),
            Slot::Removed => false,
        }))
    }
}

#[async_trait]
impl TokenStore for Memory {
    async fn insert(
        &self,
        grant: Grant,
        remember: Option<Remembered>,
    ) -> Result<Inserted, StoreError> {
        let mut tables = self.tables();
        if let Some(existing) = tables.grants.get(&grant.id) {
            return Ok(Inserted::Existing(Box::new(existing.clone())));
        }
        tables.grants.insert(grant.id, grant);
        if let Some(next) = remember {
            tables.remember(next);
        }
        Ok(Inserted::New)
    }

    async fn apply(&self, id: GrantId, step: Step, now: Time) -> Result<Outcome, StoreError> {
        let mut tables = self.tables();
        let Some(grant) = tables.grants.get_mut(&id) else { return Ok(Outcome::Missing) };
        let (next, outcome) = grant.apply(&step, now);
        if let Some(next) = next {
            *grant = next;
        }
        Ok(outcome)
    }

    async fn find(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        Ok(self.tables().grants.get(&id).cloned())
    }

    async fn list(
        &self,
        of: &Owner,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError> {
        let tables = self.tables();
        let grants = tables.grants.values();
        let wanted = grants.filter(|g| after.is_none_or(|after| g.id > after) && of.owns(g));
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn revoke(&self, of: &Owner, now: Time) -> Result<u64, StoreError> {
        let mut changed = 0;
        for grant in self.tables().grants.values_mut().filter(|grant| of.owns(grant)) {
            if let (Some(next), _) = grant.apply(&Step::Revoke { client: None }, now) {
                debug_assert_eq!(next.state, State::Revoked);
                *grant = next;
                changed += 1;
            }
        }
        Ok(changed)
    }

    async fn remembered(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        let key = (issuer.clone(), subject.to_owned(), client_id.to_owned());
        Ok(self.tables().remembered.get(&key).cloned())
    }

    async fn consents(
        &self,
        issuer: &Issuer,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Remembered>, StoreError> {
        let tables = self.tables();
        let consents = tables.remembered.values().filter(|consent| {
            consent.issuer == *issuer
                && consent.subject == subject
                && after.is_none_or(|after| consent.client_id.as_str() > after)
        });
        Ok(consents.take(limit).cloned().collect())
    }

    async fn remember(&self, consent: Remembered) -> Result<(), StoreError> {
        self.tables().remember(consent);
        Ok(())
    }

    async fn forget(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<bool, StoreError> {
        let key = (issuer.clone(), subject.to_owned(), client_id.to_owned());
        Ok(self.tables().remembered.remove(&key).is_some())
    }

    async fn purge(&self, now: Time, limit: usize) -> Result<usize, StoreError> {
        let mut tables = self.tables();
        let ended = tables.grants.values().filter(|grant| grant.expires_at < now);
        let ended: Vec<GrantId> = ended.map(|grant| grant.id).take(limit).collect();
        for id in &ended {
            tables.grants.remove(id);
        }
        Ok(ended.len())
    }
}

#[async_trait]
impl Outbox for Memory {
    async fn add(&self, messages: Vec<Message>) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for message in messages {
            tables.outbox.entry(message.id.clone()).or_insert(message);
        }
        Ok(())
    }

    async fn claim(
        &self,
        issuer: &Issuer,
        now: Time,
        until: Time,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let mut tables = self.tables();
        let due = tables.outbox.values_mut().filter(|m| m.issuer == *issuer && m.due_at <= now);
        let mut due: Vec<&mut Message> = due.collect();
        due.sort_by_key(|message| message.due_at);
        due.truncate(limit);
        for message in &mut due {
            message.due_at = until;
            message.attempts += 1;
        }
        Ok(due.into_iter().map(|message| message.clone()).collect())
    }

    async fn list(
        &self,
        issuer: &Issuer,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let tables = self.tables();
        let messages = tables.outbox.values().filter(|message| {
            message.issuer == *issuer && after.is_none_or(|after| message.id.as_str() > after)
        });
        Ok(messages.take(limit).cloned().collect())
    }

    async fn settle(&self, id: &str, next: Option<Time>) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        Ok(match next {
            None => tables.outbox.remove(id).is_some(),
            Some(at) => match tables.outbox.get_mut(id) {
                Some(message) => {
                    message.due_at = at;
                    true
                }
                None => false,
            },
        })
    }
}

#[async_trait]
impl KeyStore for Memory {
    async fn load(&self, issuer: &Issuer) -> Result<Option<SealedRing>, StoreError> {
        Ok(self.tables().rings.get(issuer).cloned())
    }

    async fn replace(
        &self,
        issuer: &Issuer,
        sealed: Vec<u8>,
        if_version: u64,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let stored = tables.rings.get(issuer).map_or(0, |ring| ring.version);
        if stored != if_version {
            return Ok(false);
        }
        tables.rings.insert(issuer.clone(), SealedRing { sealed, version: if_version + 1 });
        Ok(true)
    }
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use super::*;
    use crate::store::conformance::Backend;

    struct InMemory(Memory);

    impl Backend for InMemory {
        type Store = Memory;
        fn empty() -> Self {
            Self(Memory::new())
        }
        fn open(&self) -> Memory {
            self.0.clone()
        }
    }

    crate::store_conformance!(InMemory);
    mod outbox {
        use super::*;

        crate::outbox_conformance!(InMemory);
    }
}
