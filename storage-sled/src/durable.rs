//! Durability: nobody is answered before what they saw is on the disk.
//!
//! Whoever waits shares a flush with everybody else who waits: the thread takes all waiters, flushes
//! sled's log, syncs the file, and answers them.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use grantor::store::StoreError;
use tokio::sync::oneshot;

type Waiter = oneshot::Sender<Result<(), Arc<std::io::Error>>>;

/// Counts changes: begun, made, and on the disk.
#[derive(Debug, Default)]
struct Counters {
    begun: AtomicU64,
    made: AtomicU64,
    synced: AtomicU64,
    /// Why nothing is answered any more.
    failed: OnceLock<Arc<std::io::Error>>,
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
    // In an Option so that dropping can close the queue before it waits for the thread.
    queue: Mutex<Option<Sender<Waiter>>>,
    thread: Option<JoinHandle<()>>,
}

impl Durability {
    /// Starts the thread for a database in a folder.
    pub(crate) fn start(database: sled::Db, folder: &Path) -> std::io::Result<Self> {
        // sled's own name of its log. Where it has none, syncing the folder would prove nothing.
        let file = File::open(folder.join("db"))?;
        let counters = Arc::new(Counters::default());
        let (queue, waiters) = channel();
        let thread = std::thread::Builder::new().name("grantor-sled-sync".to_owned()).spawn({
            let counters = counters.clone();
            move || run(&database, &file, &counters, &waiters)
        })?;
        Ok(Self { counters, queue: Mutex::new(Some(queue)), thread: Some(thread) })
    }

    /// Hold this while something is changed in memory: others may see the change before it is counted
    /// as made, and must not take it for durable.
    pub(crate) fn changing(&self) -> Change<'_> {
        self.counters.begun.fetch_add(1, Ordering::SeqCst);
        Change(&self.counters)
    }

    /// Waits until everything that the caller can have seen is on the disk. Readers wait too: an answer
    /// must not rest on what could be lost.
    pub(crate) async fn wait(&self) -> Result<(), StoreError> {
        if let Some(error) = self.counters.failed.get() {
            return Err(StoreError::new(error.clone()));
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
            Ok(Err(error)) => Err(StoreError::new(error)),
            _ => Err(StoreError::new("the thread that syncs the disk has ended")),
        }
    }
}

fn run(database: &sled::Db, file: &File, counters: &Counters, waiters: &Receiver<Waiter>) {
    while let Ok(first) = waiters.recv() {
        let all: Vec<Waiter> = std::iter::once(first).chain(waiters.try_iter()).collect();
        // What is made now is in sled's buffers, so this flush carries it.
        let made = counters.made.load(Ordering::SeqCst);
        // A disk that has failed once may say nothing the next time, and have lost what it held: Linux
        // tells of a failed write-back once. So nothing is answered until the store is opened again.
        let done = match counters.failed.get() {
            Some(error) => Err(error.clone()),
            None => sync(database, file).map_err(Arc::new),
        };
        match &done {
            Ok(()) => {
                counters.synced.fetch_max(made, Ordering::SeqCst);
            }
            Err(error) => {
                let _ = counters.failed.set(error.clone());
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
fn sync(database: &sled::Db, file: &File) -> std::io::Result<()> {
    database.flush().map_err(|error| match error {
        sled::Error::Io(error) => error,
        other => std::io::Error::other(other.to_string()),
    })?;
    file.sync_data()
}

impl Drop for Durability {
    fn drop(&mut self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
