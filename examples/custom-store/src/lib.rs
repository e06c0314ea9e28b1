//! A storage backend in one file: a journal that is read into memory when it is opened.
//!
//! It is the worked example of `book/src/writing-a-storage-backend.md`, and it keeps the whole contract:
//! every change is one line, synced to the disk before anybody is answered, and a line that was torn
//! by a crash was never answered, so it is dropped. It is for learning, not for millions of grants:
//! everything is in memory, every change waits for its own sync, and the journal only grows.

mod journal;
mod tables;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use grantor::grant::{Grant, GrantId, Outcome, Step};
use grantor::store::{
    ClientStore, Inserted, KeyStore, Owner, Remembered, SealedRing, StoreError, TokenStore, record,
};
use grantor::{Client, Issuer, Time};

use journal::Journal;
use tables::{Change, Tables};

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct JournalStore(Arc<Mutex<Opened>>);

#[derive(Debug)]
struct Opened {
    journal: Journal,
    tables: Tables,
}

impl Opened {
    /// Makes changes: on the disk first, then in memory. What could not be written was not done.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.journal.append(changes)?;
        for change in changes {
            self.tables.make(change)?;
        }
        Ok(())
    }
}

impl JournalStore {
    /// Opens a journal, making it when needed, and does again what it says.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or another process has it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let mut tables = Tables::default();
        let journal = Journal::open(path.as_ref(), |change| tables.make(change))?;
        Ok(Self(Arc::new(Mutex::new(Opened { journal, tables }))))
    }

    /// One at a time: that makes every method atomic. A lock is never held across an await, so a call
    /// that is given up leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Opened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenStore for JournalStore {
    async fn insert(
        &self,
        grant: Grant,
        remember: Option<Remembered>,
    ) -> Result<Inserted, StoreError> {
        let mut opened = self.lock();
        if let Some(existing) = opened.tables.grants.get(&grant.id) {
            return Ok(Inserted::Existing(Box::new(existing.clone())));
        }
        // One line, so the consent is never there without its grant.
        let mut changes = vec![Change::Grant(record::write_grant(&grant)?)];
        changes.extend(remember.map(|next| opened.tables.merged(next)));
        opened.commit(&changes)?;
        Ok(Inserted::New)
    }

    async fn apply(&self, id: GrantId, step: Step, now: Time) -> Result<Outcome, StoreError> {
        let mut opened = self.lock();
        let Some(grant) = opened.tables.grants.get(&id) else { return Ok(Outcome::Missing) };
        // The pure machine decides. Whatever it says to save is saved, whatever it answers: a refusal
        // can be a write.
        let (next, outcome) = grant.apply(&step, now);
        if let Some(next) = next {
            opened.commit(&[Change::Grant(record::write_grant(&next)?)])?;
        }
        Ok(outcome)
    }

    async fn find(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        Ok(self.lock().tables.grants.get(&id).cloned())
    }

    async fn list(
        &self,
        of: &Owner,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError> {
        let opened = self.lock();
        let grants = opened.tables.grants.values();
        let wanted = grants.filter(|g| after.is_none_or(|after| g.id > after) && of.owns(g));
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn revoke(&self, of: &Owner, now: Time) -> Result<u64, StoreError> {
        let mut opened = self.lock();
        let mut changes = Vec::new();
        for grant in opened.tables.grants.values().filter(|grant| of.owns(grant)) {
            if let (Some(next), _) = grant.apply(&Step::Revoke { client: None }, now) {
                changes.push(Change::Grant(record::write_grant(&next)?));
            }
        }
        opened.commit(&changes)?;
        Ok(changes.len() as u64)
    }

    async fn remembered(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        let key = (issuer.clone(), subject.to_owned(), client_id.to_owned());
        Ok(self.lock().tables.consents.get(&key).cloned())
    }

    async fn consents(
        &self,
        issuer: &Issuer,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Remembered>, StoreError> {
        let opened = self.lock();
        let consents = opened.tables.consents.values().filter(|consent| {
            consent.issuer == *issuer
                && consent.subject == subject
                && after.is_none_or(|after| consent.client_id.as_str() > after)
        });
        Ok(consents.take(limit).cloned().collect())
    }

    async fn remember(&self, consent: Remembered) -> Result<(), StoreError> {
        let mut opened = self.lock();
        let change = opened.tables.merged(consent);
        opened.commit(&[change])
    }

    async fn forget(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<bool, StoreError> {
        let key = (issuer.clone(), subject.to_owned(), client_id.to_owned());
        let mut opened = self.lock();
        if !opened.tables.consents.contains_key(&key) {
            return Ok(false);
        }
        let (issuer, subject, client_id) = (issuer.as_str().to_owned(), key.1, key.2);
        opened.commit(&[Change::Forget { issuer, subject, client_id }])?;
        Ok(true)
    }

    async fn purge(&self, now: Time, limit: usize) -> Result<usize, StoreError> {
        let mut opened = self.lock();
        let ended = opened.tables.grants.values().filter(|grant| grant.expires_at < now);
        let ended: Vec<Change> =
            ended.take(limit).map(|grant| Change::Purge(*grant.id.as_bytes())).collect();
        opened.commit(&ended)?;
        Ok(ended.len())
    }
}

#[async_trait]
impl ClientStore for JournalStore {
    async fn find(
        &self,
        issuer: &Issuer,
        client_id: &str,
    ) -> Result<Option<Arc<Client>>, StoreError> {
        let key = (issuer.clone(), client_id.to_owned());
        Ok(self.lock().tables.clients.get(&key).cloned().flatten())
    }

    async fn insert(&self, issuer: &Issuer, client: Client) -> Result<bool, StoreError> {
        let mut opened = self.lock();
        // A removed client's place is taken too.
        if opened.tables.clients.contains_key(&(issuer.clone(), client.client_id.clone())) {
            return Ok(false);
        }
        opened.commit(&[Change::client(issuer, &client)?])?;
        Ok(true)
    }

    async fn update(&self, issuer: &Issuer, mut client: Client) -> Result<bool, StoreError> {
        let mut opened = self.lock();
        match opened.tables.clients.get(&(issuer.clone(), client.client_id.clone())) {
            Some(Some(stored)) if stored.version == client.version => client.version += 1,
            _ => return Ok(false),
        }
        opened.commit(&[Change::client(issuer, &client)?])?;
        Ok(true)
    }

    async fn remove(&self, issuer: &Issuer, client_id: &str) -> Result<bool, StoreError> {
        let mut opened = self.lock();
        let key = (issuer.clone(), client_id.to_owned());
        if !matches!(opened.tables.clients.get(&key), Some(Some(_))) {
            return Ok(false);
        }
        let (issuer, client_id) = (issuer.as_str().to_owned(), key.1);
        opened.commit(&[Change::Remove { issuer, client_id }])?;
        Ok(true)
    }

    async fn list(
        &self,
        issuer: &Issuer,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Client>>, StoreError> {
        let opened = self.lock();
        let clients = opened.tables.clients.iter().filter_map(|((of, id), client)| {
            let client = client.as_ref()?;
            let is_wanted = of == issuer
                && after.is_none_or(|after| id.as_str() > after)
                && tenant.is_none_or(|tenant| client.tenant.as_deref() == Some(tenant));
            is_wanted.then(|| client.clone())
        });
        Ok(clients.take(limit).collect())
    }

    async fn allows_origin(&self, issuer: &Issuer, origin: &str) -> Result<bool, StoreError> {
        let opened = self.lock();
        let mut clients = opened.tables.clients.iter();
        Ok(clients.any(|((of, _), client)| {
            let client = client.as_ref().filter(|client| of == issuer && client.active);
            client.is_some_and(|client| client.allows_origin(origin))
        }))
    }
}

#[async_trait]
impl KeyStore for JournalStore {
    async fn load(&self, issuer: &Issuer) -> Result<Option<SealedRing>, StoreError> {
        Ok(self.lock().tables.rings.get(issuer).cloned())
    }

    async fn replace(
        &self,
        issuer: &Issuer,
        sealed: Vec<u8>,
        if_version: u64,
    ) -> Result<bool, StoreError> {
        let mut opened = self.lock();
        if opened.tables.rings.get(issuer).map_or(0, |ring| ring.version) != if_version {
            return Ok(false);
        }
        let (issuer, version) = (issuer.as_str().to_owned(), if_version + 1);
        opened.commit(&[Change::Ring { issuer, version, sealed }])?;
        Ok(true)
    }
}
