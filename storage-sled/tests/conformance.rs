//! sled keeps the storage contract.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use grantor::store::conformance::Backend;
use grantor_sled::Sled;

struct Folder(tempfile::TempDir);

impl Backend for Folder {
    type Store = Sled;
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn open(&self) -> Sled {
        Sled::open(self.0.path().join("sled")).unwrap()
    }
}

grantor::store_conformance!(Folder);
grantor::outbox_conformance!(Folder);
