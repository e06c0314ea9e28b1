//! Where a host keeps its records.

use grantor::Builder;
use grantor::store::{KeyStore, Memory};
use grantor_sled::Sled;
use grantor_sqlite::Sqlite;
use tempfile::TempDir;

/// A store, and the folder that goes with it.
pub enum Storage {
    Memory(Memory),
    Sqlite(Sqlite, TempDir),
    Sled(Sled, TempDir),
}

impl Storage {
    pub fn memory() -> Self {
        Storage::Memory(Memory::new())
    }

    pub fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        Storage::Sqlite(Sqlite::open(folder.path().join("grantor.db")).unwrap(), folder)
    }

    pub fn sled() -> Self {
        let folder = TempDir::new().unwrap();
        Storage::Sled(Sled::open(folder.path().join("grantor.sled")).unwrap(), folder)
    }

    /// A builder on this store.
    pub fn under(&self, builder: Builder) -> Builder {
        match self {
            Storage::Memory(store) => builder.store(store.clone()),
            Storage::Sqlite(store, _) => builder.store(store.clone()),
            Storage::Sled(store, _) => builder.store(store.clone()),
        }
    }

    pub fn keys(&self) -> &dyn KeyStore {
        match self {
            Storage::Memory(store) => store,
            Storage::Sqlite(store, _) => store,
            Storage::Sled(store, _) => store,
        }
    }
}
