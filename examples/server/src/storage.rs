//! Where the engine's records are: in SQLite, or in sled.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use grantor::Builder;
use grantor::store::{ClientStore, KeyStore, Outbox, StoreError, TokenStore};
use grantor_sled::Sled;
use grantor_sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::error::Fatal;

/// Which backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    /// Several processes may share it, so commands work beside a running server.
    Sqlite,
    /// One process at a time.
    Sled,
}

impl Backend {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Backend::Sqlite => "sqlite",
            Backend::Sled => "sled",
        }
    }

    /// Its place in a data folder.
    pub(crate) fn path(self, data: &Path) -> PathBuf {
        match self {
            Backend::Sqlite => data.join("grantor.db"),
            Backend::Sled => data.join("sled"),
        }
    }

    /// Whether a data folder has records of this backend.
    pub(crate) fn is_in(self, data: &Path) -> bool {
        self.path(data).exists()
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a data folder has records of any backend.
pub(crate) fn is_in(data: &Path) -> bool {
    Backend::Sqlite.is_in(data) || Backend::Sled.is_in(data)
}

/// The opened records.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Sqlite(Sqlite),
    Sled(Sled),
}

impl Storage {
    pub(crate) fn open(backend: Backend, data: &Path) -> Result<Self, Fatal> {
        let path = backend.path(data);
        Ok(match backend {
            Backend::Sqlite => Storage::Sqlite(Sqlite::open(path)?),
            Backend::Sled => Storage::Sled(Sled::open(path)?),
        })
    }

    /// Gives an engine its stores.
    pub(crate) fn serve(&self, builder: Builder) -> Builder {
        match self {
            Storage::Sqlite(store) => builder.store(store.clone()).outbox(store.clone()),
            Storage::Sled(store) => builder.store(store.clone()).outbox(store.clone()),
        }
    }

    pub(crate) fn grants(&self) -> &dyn TokenStore {
        match self {
            Storage::Sqlite(store) => store,
            Storage::Sled(store) => store,
        }
    }

    pub(crate) fn clients(&self) -> &dyn ClientStore {
        match self {
            Storage::Sqlite(store) => store,
            Storage::Sled(store) => store,
        }
    }

    pub(crate) fn outbox(&self) -> &dyn Outbox {
        match self {
            Storage::Sqlite(store) => store,
            Storage::Sled(store) => store,
        }
    }

    pub(crate) fn keys(&self) -> &dyn KeyStore {
        match self {
            Storage::Sqlite(store) => store,
            Storage::Sled(store) => store,
        }
    }

    /// Whether it can be written to now.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        match self {
            Storage::Sqlite(store) => store.check().await,
            Storage::Sled(store) => store.check().await,
        }
    }
}

/// Held while a data folder is used: by many who use it, or by one who moves it. Dropping it, or the
/// end of the process, lets go.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "it holds the lock")] File);

impl Lock {
    /// For using the folder beside others.
    pub(crate) fn shared(data: &Path) -> Result<Self, Fatal> {
        let moving = "is being moved to another storage: wait until that has ended";
        Self::take(data, File::try_lock_shared, moving)
    }

    /// For being alone with it.
    pub(crate) fn alone(data: &Path) -> Result<Self, Fatal> {
        let used = "is in use by a running server or command: stop it first";
        Self::take(data, File::try_lock, used)
    }

    fn take(
        data: &Path,
        lock: impl Fn(&File) -> Result<(), TryLockError>,
        held: &str,
    ) -> Result<Self, Fatal> {
        let cannot = |error| Fatal::Say(format!("cannot lock {}: {error}", data.display()));
        let mut options = File::options();
        // Whoever can read it can hold it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.create(true).truncate(false).write(true).open(data.join("lock"));
        let file = file.map_err(cannot)?;
        match lock(&file) {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Fatal::Say(format!("{} {held}", data.display()))),
            // Some file systems of networks have no locks; SQLite has its own all the same.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                Ok(Self(file))
            }
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }
}
