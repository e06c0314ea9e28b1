//! The file: a line for every commit, the newest last.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use grantor::store::StoreError;

use crate::tables::Change;

/// A journal that is open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// How much of it counts.
    length: u64,
    /// A commit failed and could not be taken back: what the file holds is uncertain.
    uncertain: bool,
}

impl Journal {
    /// Opens the file, which nobody else may have, and calls `again` with every change in it.
    pub(crate) fn open(
        path: &Path,
        mut again: impl FnMut(&Change) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(StoreError::new)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::new("another process has the journal: stop it first"));
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::new(error)),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(StoreError::new)?;
        let mut length = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            // Without its end the line was torn by a crash. Nobody was answered: it did not happen.
            let Some((b'\n', line_text)) = line.split_last() else { break };
            let changes: Vec<Change> =
                serde_json::from_slice(line_text).map_err(StoreError::new)?;
            changes.iter().try_for_each(&mut again)?;
            length += line.len() as u64;
        }
        let mut journal = Self { file, length, uncertain: false };
        journal.cut()?;
        Ok(journal)
    }

    /// Appends one commit and waits for the disk.
    pub(crate) fn append(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        if self.uncertain {
            return Err(StoreError::new("the disk failed earlier: open the journal again"));
        }
        let mut line = serde_json::to_vec(changes).map_err(StoreError::new)?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Whether it reached the disk nobody knows. It is taken back, or nothing more is written.
            self.uncertain = self.cut().is_err();
            return Err(StoreError::new(error));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Takes away what does not count.
    fn cut(&mut self) -> Result<(), StoreError> {
        let cut = self
            .file
            .set_len(self.length)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.length)))
            .and_then(|_| self.file.sync_data());
        cut.map_err(StoreError::new)
    }
}
