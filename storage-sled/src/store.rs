//! The store traits on sled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use grantor::grant::{Grant, GrantId, Outcome, Step};
use grantor::store::{
    ClientStore, Inserted, KeyStore, Owner, Remembered, SealedRing, StoreError, TokenStore,
};
use grantor::{Client, Issuer, Time};
use sled::transaction::{
    ConflictableTransactionError, TransactionError, Transactional as _, TransactionalTree,
};
use sled::{CompareAndSwapError, Tree};

use crate::codec;
use crate::durable::Durability;

/// How large sled's segments are; its largest, so that a leaf of the largest values fits into a quarter
/// of one (see [`codec::MAX_VALUE`]).
const SEGMENT: usize = 16 * 1024 * 1024;
/// How much sled keeps in memory. Its own default is a gibibyte.
const CACHE: u64 = 64 * 1024 * 1024;

/// A store in a folder. Clones share it; the last one closes it.
#[derive(Clone, Debug)]
pub struct Sled(Arc<Parts>);

#[derive(Debug)]
struct Parts {
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
    durability: Durability,
}

/// A folder that cannot be opened. The message says what to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it, or another store of this process.
    #[error(
        "{path} is in use by another process: stop it first (one process at a time can use sled; \
         SQLite can be shared)", path = path.display()
    )]
    InUse {
        /// Which folder.
        path: PathBuf,
    },
    /// It cannot be read or written, or is damaged.
    #[error("cannot open the sled database {path}: {source}", path = path.display())]
    Sled {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: sled::Error,
    },
    /// Its file cannot be synced.
    #[error("cannot sync the sled database {path}: {source}", path = path.display())]
    Sync {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Sled {
    /// Opens the folder, making it when needed.
    ///
    /// # Errors
    /// [`OpenError`], whose message says what to mend.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let failed = |source: sled::Error| {
            let path = path.to_owned();
            match source {
                // sled locks its file, and puts the refusal into a text of its own.
                sled::Error::Io(error) if is_locked(&error) => OpenError::InUse { path },
                source => OpenError::Sled { path, source },
            }
        };
        make_private(path).map_err(|source| failed(sled::Error::Io(source)))?;
        let config = sled::Config::default()
            .path(path)
            .segment_size(SEGMENT)
            .cache_capacity(CACHE)
            // Nothing counts before it was flushed for those who wait.
            .flush_every_ms(None);
        let database = match config.open() {
            // sled takes the snapshot that it was writing when the process died for a whole one. Its log
            // has everything; nobody else is writing, for the lock comes first.
            Err(sled::Error::Corruption { .. }) if forget_half_snapshots(path) => config.open(),
            opened => opened,
        };
        let database = database.map_err(failed)?;
        let tree = |name: &str| database.open_tree(name).map_err(failed);
        let (grants, owners, ends) = (tree("grants")?, tree("owners")?, tree("ends")?);
        let (clients, client_hints) = (tree("clients")?, tree("client_hints")?);
        let (remembered, rings) = (tree("remembered")?, tree("rings")?);
        let durability = Durability::start(database, path)
            .map_err(|source| OpenError::Sync { path: path.to_owned(), source })?;
        let parts =
            Parts { grants, owners, ends, clients, client_hints, remembered, rings, durability };
        Ok(Self(Arc::new(parts)))
    }

    /// Whether the store can be written to now.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        let written = {
            let _change = self.0.durability.changing();
            self.0.rings.insert("check", &[])
        };
        self.durably(written.map(drop).map_err(Failure::from)).await
    }

    /// Answers after everything that the answer rests on is on the disk.
    async fn durably<T>(&self, answer: Result<T, Failure>) -> Result<T, StoreError> {
        let answer = answer?;
        self.0.durability.wait().await?;
        Ok(answer)
    }
}

/// Makes the folder for its owner alone: records name people.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(path)
}

/// Deletes snapshots that were not finished; whether there were any.
fn forget_half_snapshots(path: &Path) -> bool {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let half = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("snap.") && name.ends_with(".generating")
    });
    half.filter(|entry| std::fs::remove_file(entry.path()).is_ok()).count() > 0
}

fn is_locked(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::WouldBlock || error.to_string().contains("WouldBlock")
}

/// Why an operation failed, on the way to the opaque [`StoreError`].
#[derive(Debug)]
struct Failure(StoreError);

impl From<sled::Error> for Failure {
    fn from(error: sled::Error) -> Self {
        Self(StoreError::new(error))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl From<TransactionError<StoreError>> for Failure {
    fn from(error: TransactionError<StoreError>) -> Self {
        match error {
            TransactionError::Abort(error) => Self(error),
            TransactionError::Storage(error) => error.into(),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(Failure(error): Failure) -> Self {
        error
    }
}

impl Parts {
    fn grant(&self, id: GrantId) -> Result<Option<Grant>, Failure> {
        let stored = self.grants.get(id.as_bytes())?;
        Ok(stored.map(|stored| codec::read_grant(&stored)).transpose()?)
    }

    /// Loads, applies, and swaps what it loaded for what the machine says; again when somebody else
    /// was quicker. Each turn that fails is another's success, so the loop ends. Says whether this
    /// step changed the grant, and its outcome.
    fn apply(&self, id: GrantId, step: &Step, now: Time) -> Result<(bool, Outcome), Failure> {
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
    fn insert(&self, grant: &Grant, remember: Option<&Remembered>) -> Result<Inserted, Failure> {
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

    fn remember(&self, consent: &Remembered) -> Result<(), Failure> {
        let _change = self.durability.changing();
        Ok(self.remembered.transaction(|consents| merge(consents, consent))?)
    }

    fn list(
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

    fn revoke(&self, of: &Owner, now: Time) -> Result<u64, Failure> {
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
    fn purge(&self, now: Time, limit: usize) -> Result<usize, Failure> {
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

    fn client(&self, issuer: &Issuer, client_id: &str) -> Result<Option<Client>, Failure> {
        match self.clients.get(codec::client(issuer, client_id))? {
            Some(stored) => Ok(codec::read_client(&stored)?),
            None => Ok(None),
        }
    }

    /// Changes a client's place and the hints that lead to it, as one act. `next` says what a place
    /// becomes, `None` where it stays; it may be asked again when somebody else was quicker.
    fn change_client(
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

    fn clients_of(
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

    fn allows_origin(&self, issuer: &Issuer, origin: &str) -> Result<bool, Failure> {
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

    fn consents(
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

    fn ring(&self, issuer: &Issuer) -> Result<Option<SealedRing>, Failure> {
        let Some(stored) = self.rings.get(issuer.as_str())? else { return Ok(None) };
        let content = codec::content(&stored)?;
        let (version, sealed) = content
            .split_first_chunk::<8>()
            .ok_or_else(|| StoreError::new("the key ring's record is damaged"))?;
        let version = u64::from_be_bytes(*version);
        Ok(Some(SealedRing { sealed: sealed.to_vec(), version }))
    }

    fn replace_ring(
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
enum Place {
    Free,
    Taken(Box<Client>),
    Removed,
}

impl Place {
    fn client(&self) -> Option<&Client> {
        match self {
            Place::Taken(client) => Some(client),
            Place::Free | Place::Removed => None,
        }
    }

    fn hints(&self, issuer: &Issuer) -> Vec<Vec<u8>> {
        self.client().map(|client| codec::hints_of(issuer, client)).unwrap_or_default()
    }
}

fn abort(error: StoreError) -> ConflictableTransactionError<StoreError> {
    ConflictableTransactionError::Abort(error)
}

#[async_trait]
impl TokenStore for Sled {
    async fn insert(
        &self,
        grant: Grant,
        remember: Option<Remembered>,
    ) -> Result<Inserted, StoreError> {
        self.durably(self.0.insert(&grant, remember.as_ref())).await
    }

    async fn apply(&self, id: GrantId, step: Step, now: Time) -> Result<Outcome, StoreError> {
        self.durably(self.0.apply(id, &step, now).map(|(_, outcome)| outcome)).await
    }

    async fn find(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        self.durably(self.0.grant(id)).await
    }

    async fn list(
        &self,
        of: &Owner,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError> {
        self.durably(self.0.list(of, after, limit)).await
    }

    async fn revoke(&self, of: &Owner, now: Time) -> Result<u64, StoreError> {
        self.durably(self.0.revoke(of, now)).await
    }

    async fn remembered(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        let stored = self.0.remembered.get(codec::consent(issuer, subject, client_id));
        let found = stored.map_err(Failure::from).and_then(|stored| {
            Ok(stored.map(|stored| codec::read_remembered(&stored)).transpose()?)
        });
        self.durably(found).await
    }

    async fn consents(
        &self,
        issuer: &Issuer,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Remembered>, StoreError> {
        self.durably(self.0.consents(issuer, subject, after, limit)).await
    }

    async fn remember(&self, consent: Remembered) -> Result<(), StoreError> {
        self.durably(self.0.remember(&consent)).await
    }

    async fn forget(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<bool, StoreError> {
        let forgotten = {
            let _change = self.0.durability.changing();
            let key = codec::consent(issuer, subject, client_id);
            self.0.remembered.remove(key).map(|stored| stored.is_some())
        };
        self.durably(forgotten.map_err(Failure::from)).await
    }

    async fn purge(&self, now: Time, limit: usize) -> Result<usize, StoreError> {
        self.durably(self.0.purge(now, limit)).await
    }
}

#[async_trait]
impl ClientStore for Sled {
    async fn find(
        &self,
        issuer: &Issuer,
        client_id: &str,
    ) -> Result<Option<Arc<Client>>, StoreError> {
        self.durably(self.0.client(issuer, client_id).map(|client| client.map(Arc::new))).await
    }

    async fn insert(&self, issuer: &Issuer, client: Client) -> Result<bool, StoreError> {
        let inserted = self.0.change_client(issuer, &client.client_id, |place| match place {
            Place::Free => Some(Place::Taken(Box::new(client.clone()))),
            Place::Taken(_) | Place::Removed => None,
        });
        self.durably(inserted).await
    }

    async fn update(&self, issuer: &Issuer, client: Client) -> Result<bool, StoreError> {
        let updated = self.0.change_client(issuer, &client.client_id, |place| match place {
            Place::Taken(stored) if stored.version == client.version => {
                let mut next = client.clone();
                next.version += 1;
                Some(Place::Taken(Box::new(next)))
            }
            _ => None,
        });
        self.durably(updated).await
    }

    async fn remove(&self, issuer: &Issuer, client_id: &str) -> Result<bool, StoreError> {
        let removed = self.0.change_client(issuer, client_id, |place| match place {
            Place::Taken(_) => Some(Place::Removed),
            Place::Free | Place::Removed => None,
        });
        self.durably(removed).await
    }

    async fn list(
        &self,
        issuer: &Issuer,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Client>>, StoreError> {
        self.durably(self.0.clients_of(issuer, tenant, after, limit)).await
    }

    async fn allows_origin(&self, issuer: &Issuer, origin: &str) -> Result<bool, StoreError> {
        self.durably(self.0.allows_origin(issuer, origin)).await
    }
}

#[async_trait]
impl KeyStore for Sled {
    async fn load(&self, issuer: &Issuer) -> Result<Option<SealedRing>, StoreError> {
        self.durably(self.0.ring(issuer)).await
    }

    async fn replace(
        &self,
        issuer: &Issuer,
        sealed: Vec<u8>,
        if_version: u64,
    ) -> Result<bool, StoreError> {
        self.durably(self.0.replace_ring(issuer, &sealed, if_version)).await
    }
}
