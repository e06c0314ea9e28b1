//! The store traits on sled.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, TryLockError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use grantor::grant::{Grant, GrantId, Outcome, Step};
use grantor::store::{
    ClientStore, Inserted, KeyStore, Owner, Remembered, SealedRing, StoreError, TokenStore,
};
use grantor::{Client, Issuer, Time};

use crate::open::OpenError;
use crate::records::{Failure, Place, Records};

/// How often a folder whose disk was full is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How long a folder that is in use is tried when it is opened, and how often.
const PATIENCE: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(20);

/// A store in a folder. Clones share it; the last one closes it.
#[derive(Clone, Debug)]
pub struct Sled(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    opened: RwLock<Opened>,
}

#[derive(Debug)]
enum Opened {
    Records(Arc<Records>),
    /// The disk was full, or another process had the folder, when it was last looked at.
    Closed {
        why: String,
        looked_at: Instant,
    },
    /// What is on the disk is not known, or cannot be read. Somebody must look.
    Broken {
        why: String,
    },
}

impl Sled {
    /// Opens the folder, making it when needed.
    ///
    /// # Errors
    /// [`OpenError`], whose message says what to mend.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let mut patience = PATIENCE;
        let records = loop {
            match Records::open(&path) {
                // sled's own threads may hold on to a folder for a moment after it was closed.
                Err(OpenError::InUse { .. }) if !patience.is_zero() => {
                    std::thread::sleep(MOMENT);
                    patience = patience.saturating_sub(MOMENT);
                }
                opened => break Arc::new(opened?),
            }
        };
        Ok(Self(Arc::new(Folder { path, opened: RwLock::new(Opened::Records(records)) })))
    }

    /// Whether the store can be written to now.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.run(Records::check).await
    }

    /// Does something with the records, and answers after everything that the answer rests on is on
    /// the disk.
    pub(crate) async fn run<T>(
        &self,
        work: impl FnOnce(&Records) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let records = self.0.records()?;
        let answer = records.durability.heed(work(&records))?;
        records.durability.wait().await?;
        Ok(answer)
    }
}

impl Folder {
    fn records(&self) -> Result<Arc<Records>, StoreError> {
        {
            let opened = match self.opened.try_read() {
                Ok(opened) => opened,
                Err(TryLockError::WouldBlock) => return Err(being_opened()),
                Err(TryLockError::Poisoned(_)) => return Err(poisoned()),
            };
            match &*opened {
                Opened::Records(records) if !records.durability.was_full() => {
                    return Ok(records.clone());
                }
                Opened::Closed { why, looked_at } if looked_at.elapsed() < RETRY => {
                    return Err(StoreError::new(why.clone()));
                }
                Opened::Broken { why } => return Err(StoreError::new(why.clone())),
                _ => {}
            }
        }
        self.open_again()
    }

    /// sled does nothing more once it could not write. So a folder whose disk was full is closed, and
    /// opened again: it then holds what was acknowledged, and perhaps some of what was not.
    fn open_again(&self) -> Result<Arc<Records>, StoreError> {
        let mut opened = match self.opened.try_write() {
            Ok(opened) => opened,
            Err(TryLockError::WouldBlock) => return Err(being_opened()),
            Err(TryLockError::Poisoned(_)) => return Err(poisoned()),
        };
        match &*opened {
            Opened::Records(records) if !records.durability.was_full() => {
                return Ok(records.clone());
            }
            // Whoever still uses it hears of the failure first.
            Opened::Records(records) if Arc::strong_count(records) > 1 => {
                return Err(being_opened());
            }
            Opened::Broken { why } => return Err(StoreError::new(why.clone())),
            Opened::Records(_) | Opened::Closed { .. } => {}
        }
        let looked_at = Instant::now();
        let closed = Opened::Closed { why: "the disk was full".to_owned(), looked_at };
        // The old one must have let go of the folder before it can be opened.
        if let Opened::Records(records) = std::mem::replace(&mut *opened, closed)
            && !Arc::into_inner(records).is_some_and(Records::close)
        {
            let why = "the disk failed to sync: restart the server after checking it".to_owned();
            *opened = Opened::Broken { why: why.clone() };
            return Err(StoreError::new(why));
        }
        match Records::open(&self.path) {
            Ok(records) => {
                let records = Arc::new(records);
                *opened = Opened::Records(records.clone());
                Ok(records)
            }
            Err(error) => {
                let why = error.to_string();
                *opened = match error.may_pass() {
                    true => Opened::Closed { why: why.clone(), looked_at },
                    false => Opened::Broken { why: why.clone() },
                };
                Err(StoreError::new(why))
            }
        }
    }
}

fn being_opened() -> StoreError {
    StoreError::new("the disk was full, and the folder is being opened again")
}

fn poisoned() -> StoreError {
    StoreError::new("opening the folder panicked")
}

#[async_trait]
impl TokenStore for Sled {
    async fn insert(
        &self,
        grant: Grant,
        remember: Option<Remembered>,
    ) -> Result<Inserted, StoreError> {
        self.run(|records| records.insert(&grant, remember.as_ref())).await
    }

    async fn apply(&self, id: GrantId, step: Step, now: Time) -> Result<Outcome, StoreError> {
        self.run(|records| Ok(records.apply(id, &step, now)?.1)).await
    }

    async fn find(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        self.run(|records| records.grant(id)).await
    }

    async fn list(
        &self,
        of: &Owner,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError> {
        self.run(|records| records.list(of, after, limit)).await
    }

    async fn revoke(&self, of: &Owner, now: Time) -> Result<u64, StoreError> {
        self.run(|records| records.revoke(of, now)).await
    }

    async fn remembered(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        self.run(|records| records.consent(issuer, subject, client_id)).await
    }

    async fn consents(
        &self,
        issuer: &Issuer,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Remembered>, StoreError> {
        self.run(|records| records.consents(issuer, subject, after, limit)).await
    }

    async fn remember(&self, consent: Remembered) -> Result<(), StoreError> {
        self.run(|records| records.remember(&consent)).await
    }

    async fn forget(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<bool, StoreError> {
        self.run(|records| records.forget(issuer, subject, client_id)).await
    }

    async fn purge(&self, now: Time, limit: usize) -> Result<usize, StoreError> {
        self.run(|records| records.purge(now, limit)).await
    }
}

#[async_trait]
impl ClientStore for Sled {
    async fn find(
        &self,
        issuer: &Issuer,
        client_id: &str,
    ) -> Result<Option<Arc<Client>>, StoreError> {
        self.run(|records| Ok(records.client(issuer, client_id)?.map(Arc::new))).await
    }

    async fn insert(&self, issuer: &Issuer, client: Client) -> Result<bool, StoreError> {
        self.run(|records| {
            records.change_client(issuer, &client.client_id, |place| match place {
                Place::Free => Some(Place::Taken(Box::new(client.clone()))),
                Place::Taken(_) | Place::Removed => None,
            })
        })
        .await
    }

    async fn update(&self, issuer: &Issuer, client: Client) -> Result<bool, StoreError> {
        self.run(|records| {
            records.change_client(issuer, &client.client_id, |place| match place {
                Place::Taken(stored) if stored.version == client.version => {
                    let mut next = client.clone();
                    next.version += 1;
                    Some(Place::Taken(Box::new(next)))
                }
                _ => None,
            })
        })
        .await
    }

    async fn remove(&self, issuer: &Issuer, client_id: &str) -> Result<bool, StoreError> {
        self.run(|records| {
            records.change_client(issuer, client_id, |place| match place {
                Place::Taken(_) => Some(Place::Removed),
                Place::Free | Place::Removed => None,
            })
        })
        .await
    }

    async fn list(
        &self,
        issuer: &Issuer,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Client>>, StoreError> {
        self.run(|records| records.clients_of(issuer, tenant, after, limit)).await
    }

    async fn allows_origin(&self, issuer: &Issuer, origin: &str) -> Result<bool, StoreError> {
        self.run(|records| records.allows_origin(issuer, origin)).await
    }
}

#[async_trait]
impl KeyStore for Sled {
    async fn load(&self, issuer: &Issuer) -> Result<Option<SealedRing>, StoreError> {
        self.run(|records| records.ring(issuer)).await
    }

    async fn replace(
        &self,
        issuer: &Issuer,
        sealed: Vec<u8>,
        if_version: u64,
    ) -> Result<bool, StoreError> {
        self.run(|records| records.replace_ring(issuer, &sealed, if_version)).await
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use pollster::block_on;

    use super::*;

    fn issuer() -> Issuer {
        Issuer::new("https://id.example.com").unwrap()
    }

    /// A store in which a write has failed, and the records as somebody who still uses them has them.
    fn failed(folder: &Path, kind: ErrorKind) -> (Sled, Arc<Records>) {
        let store = Sled::open(folder).unwrap();
        assert!(block_on(store.replace(&issuer(), b"ring".to_vec(), 0)).unwrap());
        let records = store.0.records().unwrap();
        let failure = Failure::Sled(sled::Error::Io(Error::from(kind)));
        assert!(records.durability.heed::<()>(Err(failure)).is_err());
        (store, records)
    }

    #[test]
    fn a_folder_whose_disk_was_full_is_opened_again_with_what_was_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let (store, used) = failed(folder.path(), ErrorKind::StorageFull);
        assert!(block_on(used.durability.wait()).is_err());
        assert!(block_on(store.load(&issuer())).is_err(), "somebody still has the old one");
        drop(used);
        // sled's own threads may hold on to the file for a moment.
        let ring = loop {
            if let Ok(ring) = block_on(store.load(&issuer())) {
                break ring;
            }
            std::thread::yield_now();
        };
        assert_eq!(ring.unwrap().sealed, b"ring");
        assert!(block_on(store.replace(&issuer(), b"next".to_vec(), 1)).unwrap());
        block_on(store.check()).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_opened_again_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let (store, used) = failed(&folder.path().join("sled"), ErrorKind::StorageFull);
        drop(used);
        std::fs::rename(folder.path().join("sled"), folder.path().join("away")).unwrap();
        std::fs::write(folder.path().join("sled"), "a file in the way").unwrap();
        for _ in 0..2 {
            let error = block_on(store.load(&issuer())).unwrap_err();
            let why = std::error::Error::source(&error).unwrap().to_string();
            assert!(why.contains("cannot open the sled database"), "{why}");
        }
    }

    #[test]
    fn a_full_disk_that_also_failed_to_sync_is_not_trusted_again() {
        let folder = tempfile::tempdir().unwrap();
        let (store, used) = failed(folder.path(), ErrorKind::StorageFull);
        used.durability.doubt();
        drop(used);
        for _ in 0..3 {
            let error = block_on(store.load(&issuer())).unwrap_err();
            let why = std::error::Error::source(&error).unwrap().to_string();
            assert!(why.contains("failed to sync"), "{why}");
        }
    }

    #[test]
    fn a_disk_that_failed_otherwise_is_not_trusted_again() {
        let folder = tempfile::tempdir().unwrap();
        let (store, used) = failed(folder.path(), ErrorKind::Other);
        drop(used);
        for _ in 0..3 {
            assert!(block_on(store.load(&issuer())).is_err());
        }
        drop(store);
        let store = Sled::open(folder.path()).unwrap();
        assert_eq!(block_on(store.load(&issuer())).unwrap().unwrap().sealed, b"ring");
    }
}
