//! Durability: nobody is answered before what they saw is on the disk.
//!
//! Whoever waits shares a flush with everybody else who waits: the thread takes all waiters, flushes
//! sled's log, syncs the file, and answers them.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use grantor::store::{StoreError, batch};
use tokio::sync::oneshot;

use crate::open::is_full;
use crate::records::Failure;

type Waiter = oneshot::Sender<Result<(), Failed>>;

/// Counts changes: begun, made, and on the disk.
#[derive(Debug, Default)]
struct Counters {
    begun: AtomicU64,
    made: AtomicU64,
    synced: AtomicU64,
    /// Why nothing is answered any more.
    failed: OnceLock<Failed>,
    /// A sync has failed: what the disk holds is not known, whatever else has failed before.
    unsure: AtomicBool,
}

/// Why nothing is answered any more.
#[derive(Clone, Debug)]
struct Failed {
    error: Arc<std::io::Error>,
    /// The disk was full: what is on it is known, and it may have space again.
    full: bool,
}

impl Failed {
    /// A write or a read failed.
    fn of_sled(error: sled::Error) -> Self {
        let error = match error {
            sled::Error::Io(error) => error,
            other => std::io::Error::other(other.to_string()),
        };
        let full = is_full(&error);
        Self { error: Arc::new(error), full }
    }

    /// The disk did not sync. It may say nothing the next time, and have lost what it held: Linux tells
    /// of a failed write-back once (to each file descriptor).
    fn of_sync(error: std::io::Error) -> Self {
        Self { error: Arc::new(error), full: false }
    }
}

/// A change that is being made, until it is dropped.
pub(crate) struct Change<'a>(&'a Counters);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.made.fetch_add(1, Ordering::SeqCst);
    }
}

/// The one that makes things durable. Dropping it waits for its last sync.
#[derive(Debug)]
pub(crate) struct Durability {
    counters: Arc<Counters>,
    /// The log, as it was opened first: its own view of failed write-backs.
    file: Arc<File>,
    // In an Option so that dropping can close the queue before it waits for the thread.
    queue: Mutex<Option<Sender<Waiter>>>,
    thread: Option<JoinHandle<()>>,
}

impl Durability {
    /// Starts the thread for a database in a folder.
    pub(crate) fn start(database: sled::Db, folder: &Path) -> std::io::Result<Self> {
        // sled's own name of its log. Where it has none, syncing the folder would prove nothing.
        let file = Arc::new(File::open(folder.join("db"))?);
        // What a process that died had written, and not synced, is shown from now on.
        file.sync_data()?;
        // sled never syncs what it says of itself, nor that there are files: without either nothing opens again.
        File::open(folder.join("conf"))?.sync_all()?;
        File::open(folder)?.sync_all()?;
        // Where the folder may have just been made. It need not be readable.
        if let Some(Ok(parent)) = folder.canonicalize()?.parent().map(File::open) {
            parent.sync_all()?;
        }
        let counters = Arc::new(Counters::default());
        let (queue, waiters) = channel();
        let thread = std::thread::Builder::new().name("grantor-sled-sync".to_owned()).spawn({
            let (counters, file) = (counters.clone(), file.clone());
            move || run(&database, &file, &counters, &waiters)
        })?;
        Ok(Self { counters, file, queue: Mutex::new(Some(queue)), thread: Some(thread) })
    }

    /// Hold this while something is changed in memory: others may see the change before it is counted
    /// as made, and must not take it for durable.
    pub(crate) fn changing(&self) -> Change<'_> {
        self.counters.begun.fetch_add(1, Ordering::SeqCst);
        Change(&self.counters)
    }

    /// Takes note of a failure of sled's. After a failed write it does nothing more; after a failed read
    /// it would go on, but a disk that cannot be read is not trusted either.
    pub(crate) fn heed<T>(&self, done: Result<T, Failure>) -> Result<T, StoreError> {
        done.map_err(|failure| match failure {
            Failure::Store(error) => error,
            Failure::Sled(error) => {
                let failed = Failed::of_sled(error);
                let failed = self.counters.failed.get_or_init(|| failed);
                StoreError::new(failed.error.clone())
            }
        })
    }

    /// Whether nothing is answered any more because the disk was full.
    pub(crate) fn was_full(&self) -> bool {
        self.counters.failed.get().is_some_and(|failed| failed.full)
    }

    /// As after a sync that failed while something else was failing.
    #[cfg(test)]
    pub(crate) fn doubt(&self) {
        self.counters.unsure.store(true, Ordering::SeqCst);
    }

    /// Ends the thread, and says whether all that was written reached the disk: a full disk may show
    /// itself as late as that.
    pub(crate) fn close(mut self) -> bool {
        self.join();
        !self.counters.unsure.load(Ordering::SeqCst) && self.file.sync_data().is_ok()
    }

    fn join(&mut self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Waits until everything that the caller can have seen is on the disk. Readers wait too: an answer
    /// must not rest on what could be lost.
    pub(crate) async fn wait(&self) -> Result<(), StoreError> {
        if let Some(failed) = self.counters.failed.get() {
            return Err(StoreError::new(failed.error.clone()));
        }
        // In this order: when both are equal, whatever had begun when the caller looked is made.
        let made = self.counters.made.load(Ordering::SeqCst);
        let begun = self.counters.begun.load(Ordering::SeqCst);
        if begun == made && self.counters.synced.load(Ordering::SeqCst) >= made {
            return Ok(());
        }
        let (answer, wait) = oneshot::channel();
        let sent = {
            let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.as_ref().is_some_and(|queue| queue.send(answer).is_ok())
        };
        match wait.await {
            Ok(Ok(())) if sent => Ok(()),
            Ok(Err(failed)) => Err(StoreError::new(failed.error)),
            _ => Err(StoreError::new("the thread that syncs the disk has ended")),
        }
    }
}

fn run(database: &sled::Db, file: &File, counters: &Counters, waiters: &Receiver<Waiter>) {
    while let Ok(first) = waiters.recv() {
        let all = batch(first, waiters, usize::MAX);
        // What is made now is in sled's buffers, so this flush carries it.
        let made = counters.made.load(Ordering::SeqCst);
        // After a failure nothing is answered until the store is opened again.
        let done = match counters.failed.get() {
            Some(failed) => Err(failed.clone()),
            None => sync(database, file, counters),
        };
        match &done {
            Ok(()) => {
                counters.synced.fetch_max(made, Ordering::SeqCst);
            }
            Err(failed) => {
                let _ = counters.failed.set(failed.clone());
            }
        }
        for waiter in all {
            // Whoever has gone away has not been answered: either is right for them.
            let _ = waiter.send(done.clone());
        }
    }
}

/// sled writes its buffers, and the file reaches the disk: sled's own flush ends in the page cache's
/// write-back and not in the disk's.
fn sync(database: &sled::Db, file: &File, counters: &Counters) -> Result<(), Failed> {
    database.flush().map_err(Failed::of_sled)?;
    file.sync_data().map_err(|error| {
        counters.unsure.store(true, Ordering::SeqCst);
        Failed::of_sync(error)
    })
}

impl Drop for Durability {
    fn drop(&mut self) {
        self.join();
    }
}
