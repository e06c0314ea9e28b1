//! The records of a folder, and what can be done with them.

use std::path::Path;
use std::sync::Arc;

use grantor::grant::{Grant, GrantId, Outcome, Step};
use grantor::store::{Inserted, Owner, Remembered, SealedRing, StoreError};
use grantor::{Client, Issuer, Time};
use sled::transaction::{
    ConflictableTransactionError, TransactionError, Transactional as _, TransactionalTree,
};
use sled::{CompareAndSwapError, Tree};

use crate::codec;
use crate::durable::Durability;
use crate::open::{OpenError, open};

/// The records of a folder.
#[derive(Debug)]
pub(crate) struct Records {
    /// Grants by their ids.
    grants: Tree,
    /// Hints: subject, client and session to grants. They are written before the grant, and whoever
    /// follows one looks at the grant.
    owners: Tree,
    /// Hints: ends to grants.
    ends: Tree,
    clients: Tree,
    /// Hints: tenants and origins to clients.
    client_hints: Tree,
    remembered: Tree,
    rings: Tree,
    /// Messages by their ids.
    pub(crate) messages: Tree,
    /// Hints: when messages are due.
    pub(crate) due: Tree,
    pub(crate) durability: Durability,
}

/// Why an operation failed, on the way to the opaque [`StoreError`].
#[derive(Debug)]
pub(crate) enum Failure {
    Sled(sled::Error),
    Store(StoreError),
}

impl From<sled::Error> for Failure {
    fn from(error: sled::Error) -> Self {
        Failure::Sled(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl From<TransactionError<StoreError>> for Failure {
    fn from(error: TransactionError<StoreError>) -> Self {
        match error {
            TransactionError::Abort(error) => Failure::Store(error),
            TransactionError::Storage(error) => Failure::Sled(error),
        }
    }
}

impl Records {
    /// Opens a folder, making it when needed.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let database = open(path)?;
        let failed = |source| OpenError::Sled { path: path.to_owned(), source };
        let tree = |name: &str| database.open_tree(name).map_err(failed);
        let (grants, owners, ends) = (tree("grants")?, tree("owners")?, tree("ends")?);
        let (clients, client_hints) = (tree("clients")?, tree("client_hints")?);
        let (remembered, rings) = (tree("remembered")?, tree("rings")?);
        let (messages, due) = (tree("messages")?, tree("due")?);
        let durability = Durability::start(database, path)
            .map_err(|source| OpenError::Sync { path: path.to_owned(), source })?;
        Ok(Self {
            grants,
            owners,
            ends,
            clients,
            client_hints,
            remembered,
            rings,
            messages,
            due,
            durability,
        })
    }

    /// Closes the folder, and says whether all that was written is on the disk.
    pub(crate) fn close(self) -> bool {
        let Self { durability, .. } = self;
        durability.close()
    }

    /// Writes something, to see whether that works.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let _change = self.durability.changing();
        self.rings.insert("check", &[])?;
        Ok(())
    }

    pub(crate) fn grant(&self, id: GrantId) -> Result<Option<Grant>, Failure> {
        let stored = self.grants.get(id.as_bytes())?;
        Ok(stored.map(|stored| codec::read_grant(&stored)).transpose()?)
    }

    /// Loads, applies, and swaps what it loaded for what the machine says; again when somebody else
    /// was quicker. Each turn that fails is another's success, so the loop ends. Says whether this
    /// step changed the grant, and its outcome.
    pub(crate) fn apply(
        &self,
        id: GrantId,
        step: &Step,
        now: Time,
    ) -> Result<(bool, Outcome), Failure> {
        let mut stored = self.grants.get(id.as_bytes())?;
        loop {
            let Some(bytes) = stored else { return Ok((false, Outcome::Missing)) };
            let (next, outcome) = codec::read_grant(&bytes)?.apply(step, now);
            let Some(next) = next else { return Ok((false, outcome)) };
            let change = self.durability.changing();
            let next = codec::write_grant(&next)?;
            let swapped = self.grants.compare_and_swap(id.as_bytes(), Some(bytes), Some(next))?;
            drop(change);
            match swapped {
                Ok(()) => return Ok((true, outcome)),
                Err(CompareAndSwapError { current, .. }) => stored = current,
            }
        }
    }

    /// Stores a grant, its hints first: a grant that no hint leads to could not be revoked by its
    /// owner.
    pub(crate) fn insert(
        &self,
        grant: &Grant,
        remember: Option<&Remembered>,
    ) -> Result<Inserted, Failure> {
        if let Some(existing) = self.grant(grant.id)? {
            return Ok(Inserted::Existing(Box::new(existing)));
        }
        let _change = self.durability.changing();
        for key in codec::owners_of(grant) {
            self.owners.insert(key, &[])?;
        }
        self.ends.insert(codec::end_of(grant), &[])?;
        let (id, record) = (grant.id.as_bytes(), codec::write_grant(grant)?);
        // One act: a consent without its approval, or the other way, is what nobody said.
        let both = (&self.grants, &self.remembered);
        let stored = both.transaction(|(grants, consents)| {
            if let Some(existing) = grants.get(id)? {
                return Ok(Some(existing));
            }
            grants.insert(&id[..], record.clone())?;
            if let Some(next) = remember {
                merge(consents, next)?;
            }
            Ok(None)
        });
        match stored? {
            None => Ok(Inserted::New),
            Some(existing) => Ok(Inserted::Existing(Box::new(codec::read_grant(&existing)?))),
        }
    }

    pub(crate) fn remember(&self, consent: &Remembered) -> Result<(), Failure> {
        let _change = self.durability.changing();
        Ok(self.remembered.transaction(|consents| merge(consents, consent))?)
    }

    pub(crate) fn list(
        &self,
        of: &Owner,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, Failure> {
        let prefix = codec::owner(of);
        let begin =
            after.map_or(prefix.to_vec(), |after| [&prefix, &after.as_bytes()[..]].concat());
        let mut grants = Vec::new();
        for entry in self.owners.range(begin..) {
            let (key, _) = entry?;
            if grants.len() >= limit || !key.starts_with(&prefix) {
                break;
            }
            let Some(id) = codec::id_at_end(&key) else { continue };
            if after.is_some_and(|after| id <= after) {
                continue;
            }
            // A hint may be left of a grant that was never stored, or is gone.
            grants.extend(self.grant(id)?.filter(|grant| of.owns(grant)));
        }
        Ok(grants)
    }

    pub(crate) fn revoke(&self, of: &Owner, now: Time) -> Result<u64, Failure> {
        const BATCH: usize = 500;
        let step = Step::Revoke { client: None };
        let (mut after, mut revoked) = (None, 0);
        loop {
            let page = self.list(of, after, BATCH)?;
            for grant in &page {
                let (changed, _) = self.apply(grant.id, &step, now)?;
                revoked += u64::from(changed);
            }
            match page.last() {
                Some(last) => after = Some(last.id),
                None => return Ok(revoked),
            }
        }
    }

    /// Follows the hints of what has ended. A hint that leads to another end, or nowhere, goes too.
    pub(crate) fn purge(&self, now: Time, limit: usize) -> Result<usize, Failure> {
        let mut purged = 0;
        let _change = self.durability.changing();
        for entry in self.ends.range(..codec::end(now).to_vec()) {
            if purged >= limit {
                break;
            }
            let (key, _) = entry?;
            let Some(id) = codec::id_at_end(&key) else { continue };
            if let Some(grant) = self.grant(id)?.filter(|grant| grant.expires_at < now) {
                // The grant first: a hint without a grant is nothing, a grant without hints is lost.
                self.grants.remove(id.as_bytes())?;
                for key in codec::owners_of(&grant) {
                    self.owners.remove(key)?;
                }
                purged += 1;
            }
            self.ends.remove(key)?;
        }
        Ok(purged)
    }

    pub(crate) fn client(
        &self,
        issuer: &Issuer,
        client_id: &str,
    ) -> Result<Option<Client>, Failure> {
        match self.clients.get(codec::client(issuer, client_id))? {
            Some(stored) => Ok(codec::read_client(&stored)?),
            None => Ok(None),
        }
    }

    /// Changes a client's place and the hints that lead to it, as one act. `next` says what a place
    /// becomes, `None` where it stays; it may be asked again when somebody else was quicker.
    pub(crate) fn change_client(
        &self,
        issuer: &Issuer,
        client_id: &str,
        next: impl Fn(&Place) -> Option<Place>,
    ) -> Result<bool, Failure> {
        let _change = self.durability.changing();
        let key = codec::client(issuer, client_id);
        let both = (&self.clients, &self.client_hints);
        let changed = both.transaction(|(clients, hints)| {
            let before = match clients.get(&key)? {
                None => Place::Free,
                Some(stored) => match codec::read_client(&stored).map_err(abort)? {
                    Some(client) => Place::Taken(Box::new(client)),
                    None => Place::Removed,
                },
            };
            let Some(next) = next(&before) else { return Ok(false) };
            for hint in before.hints(issuer) {
                hints.remove(hint)?;
            }
            for hint in next.hints(issuer) {
                hints.insert(hint, &[])?;
            }
            clients.insert(&key[..], codec::write_client(next.client()).map_err(abort)?)?;
            Ok(true)
        });
        Ok(changed?)
    }

    pub(crate) fn clients_of(
        &self,
        issuer: &Issuer,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Client>>, Failure> {
        let (tree, prefix) = match tenant {
            Some(tenant) => (&self.client_hints, codec::tenant(issuer, tenant)),
            None => (&self.clients, codec::clients(issuer)),
        };
        let begin = [&prefix, after.unwrap_or("").as_bytes()].concat();
        let mut clients = Vec::new();
        for entry in tree.range(begin..) {
            let (key, _) = entry?;
            if clients.len() >= limit || !key.starts_with(&prefix) {
                break;
            }
            let Some(client_id) = codec::tail(&key).filter(|id| Some(*id) != after) else {
                continue;
            };
            let client = self.client(issuer, client_id)?;
            let is_wanted = |client: &Client| {
                tenant.is_none_or(|tenant| client.tenant.as_deref() == Some(tenant))
            };
            clients.extend(client.filter(is_wanted).map(Arc::new));
        }
        Ok(clients)
    }

    pub(crate) fn allows_origin(&self, issuer: &Issuer, origin: &str) -> Result<bool, Failure> {
        for entry in self.client_hints.scan_prefix(codec::origin(issuer, origin)) {
            let (key, _) = entry?;
            let Some(client_id) = codec::tail(&key) else { continue };
            let client = self.client(issuer, client_id)?;
            if client.is_some_and(|client| client.active && client.allows_origin(origin)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn consent(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<Option<Remembered>, Failure> {
        let stored = self.remembered.get(codec::consent(issuer, subject, client_id))?;
        Ok(stored.map(|stored| codec::read_remembered(&stored)).transpose()?)
    }

    pub(crate) fn forget(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<bool, Failure> {
        let _change = self.durability.changing();
        let key = codec::consent(issuer, subject, client_id);
        Ok(self.remembered.remove(key)?.is_some())
    }

    pub(crate) fn consents(
        &self,
        issuer: &Issuer,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Remembered>, Failure> {
        let prefix = codec::consents(issuer, subject);
        let begin = [&prefix, after.unwrap_or("").as_bytes()].concat();
        let mut consents = Vec::new();
        for entry in self.remembered.range(begin..) {
            let (key, stored) = entry?;
            if consents.len() >= limit || !key.starts_with(&prefix) {
                break;
            }
            if codec::tail(&key) != after {
                consents.push(codec::read_remembered(&stored)?);
            }
        }
        Ok(consents)
    }

    pub(crate) fn ring(&self, issuer: &Issuer) -> Result<Option<SealedRing>, Failure> {
        let Some(stored) = self.rings.get(issuer.as_str())? else { return Ok(None) };
        let content = codec::content(&stored)?;
        let (version, sealed) = content
            .split_first_chunk::<8>()
            .ok_or_else(|| StoreError::new("the key ring's record is damaged"))?;
        let version = u64::from_be_bytes(*version);
        Ok(Some(SealedRing { sealed: sealed.to_vec(), version }))
    }

    pub(crate) fn replace_ring(
        &self,
        issuer: &Issuer,
        sealed: &[u8],
        if_version: u64,
    ) -> Result<bool, Failure> {
        let stored = self.rings.get(issuer.as_str())?;
        if self.ring(issuer)?.map_or(0, |ring| ring.version) != if_version {
            return Ok(false);
        }
        let _change = self.durability.changing();
        let version = (if_version + 1).to_be_bytes();
        let next = codec::value(&[&version, sealed].concat())?;
        let key = issuer.as_str();
        Ok(self.rings.compare_and_swap(key, stored, Some(next))?.is_ok())
    }
}

/// Remembers a consent beside what is remembered.
fn merge(
    consents: &TransactionalTree,
    next: &Remembered,
) -> Result<(), ConflictableTransactionError<StoreError>> {
    let key = codec::consent(&next.issuer, &next.subject, &next.client_id);
    let merged = match consents.get(&key)? {
        Some(before) => codec::read_remembered(&before).map_err(abort)?.merged(next),
        None => next.clone(),
    };
    consents.insert(key, codec::write_remembered(&merged).map_err(abort)?)?;
    Ok(())
}

/// A client's place, which outlives the client: ids are never used again.
pub(crate) enum Place {
    Free,
    Taken(Box<Client>),
    Removed,
}

impl Place {
    pub(crate) fn client(&self) -> Option<&Client> {
        match self {
            Place::Taken(client) => Some(client),
            Place::Free | Place::Removed => None,
        }
    }

    pub(crate) fn hints(&self, issuer: &Issuer) -> Vec<Vec<u8>> {
        self.client().map(|client| codec::hints_of(issuer, client)).unwrap_or_default()
    }
}

pub(crate) fn abort(error: StoreError) -> ConflictableTransactionError<StoreError> {
    ConflictableTransactionError::Abort(error)
}
