//! Opening a folder.

use std::path::{Path, PathBuf};

/// How large sled's segments are; its largest, so that a leaf of the largest values fits into a quarter
/// of one (see [`crate::codec::MAX_VALUE`]).
const SEGMENT: usize = 16 * 1024 * 1024;
/// How much sled keeps in memory. Its own default is a gibibyte.
const CACHE: u64 = 64 * 1024 * 1024;

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

impl OpenError {
    /// Whether it may be well by itself later: the disk is full, or another process has the folder.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            OpenError::InUse { .. } => true,
            OpenError::Sled { source: sled::Error::Io(error), .. } => is_full(error),
            OpenError::Sled { .. } | OpenError::Sync { .. } => false,
        }
    }
}

/// Whether a write failed because there is no space.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Opens the database in a folder, making it when needed.
pub(crate) fn open(path: &Path) -> Result<sled::Db, OpenError> {
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
    database.map_err(failed)
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
