//! SQLite keeps the storage contract.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use grantor::store::conformance::Backend;
use grantor_sqlite::Sqlite;

struct File(tempfile::TempDir);

impl Backend for File {
    type Store = Sqlite;
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn open(&self) -> Sqlite {
        Sqlite::open(self.0.path().join("grantor.db")).unwrap()
    }
}

grantor::store_conformance!(File);
grantor::outbox_conformance!(File);
