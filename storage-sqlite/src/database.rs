//! A SQLite file with one writing thread, a few reading ones, and connections for whoever only looks something up.
//!
//! A pool of equal connections only moves the contention for the one write lock into
//! `SQLITE_BUSY`. Here callers send a job and wait. The writer drains what is waiting into one
//! transaction, a savepoint a job, so that a failing job undoes itself and nothing else, and
//! answers after the commit: one sync of the disk serves everybody who waited for it.
//!
//! To look up a row takes less time than to hand the wish to another thread and to wait for it, and a reader of a
//! write-ahead log waits for nobody. So that is done where it is asked for, on one of a few connections; and by a
//! reading thread, like what reads much, when all of them are in use.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use grantor::store::batch;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::oneshot;

/// How many jobs may wait before a caller is told that the store is overloaded: a queue without an
/// end only turns overload into memory.
const QUEUE: usize = 1024;
/// How many jobs one commit carries at most.
const BATCH: usize = 128;
const READERS: usize = 2;
/// How many look something up at the same time, at most: as many as there are processors.
const LOOKS: usize = 16;
/// The same for who looks something up, who would keep others from their turn. Readers wait for a lock only while
/// another process recovers or closes the file.
const BUSY_HERE: Duration = Duration::from_millis(50);
/// The same at the start, when another process may be bringing a large file up to date.
const BUSY_AT_START: Duration = Duration::from_secs(120);
/// How many statements a connection keeps prepared: all that there are.
const STATEMENTS: usize = 64;
/// How long to wait for another process's lock.
const BUSY: Duration = Duration::from_secs(5);

/// The tables of a database, as steps from nothing to today.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Marks the file as this application's, so that it is not mistaken for another's.
    pub application_id: i32,
    /// SQL, one text a version. A released text is never changed; a new one is appended.
    pub migrations: &'static [&'static str],
}

/// A database that cannot be opened. The message says what to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be made or opened.
    #[error("cannot open the database {path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no database, or SQLite refused it.
    #[error("cannot open the database {path}: {source}", path = path.display())]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file belongs to another application.
    #[error("{path} is a database of another application: choose another file", path = path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// The file was written by a later release.
    #[error(
        "{path} has version {found}, this release knows up to {known}: \
         start the newer release again, or restore a backup of the older file", path = path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The latest version that this release knows.
        known: usize,
    },
}

/// A job that was not done, or whose commit failed. Nothing of it is stored.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// SQLite refused.
    #[error("{0}")]
    Sqlite(Arc<rusqlite::Error>),
    /// Too many jobs are waiting.
    #[error("the database is overloaded: {QUEUE} operations are waiting")]
    Overloaded,
    /// The disk failed to sync. What it holds is uncertain, so nothing more is written until the
    /// process starts again and SQLite recovers the file.
    #[error("the disk failed to sync earlier: restart the server after checking the disk")]
    Uncertain,
    /// The job panicked, or the database is closing.
    #[error("the operation was given up")]
    GivenUp,
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        WriteError::Sqlite(Arc::new(error))
    }
}

/// Runs inside a transaction (or hears why there is none); says whether to keep what it did, and
/// how to answer afterwards.
type WriteJob = Box<dyn FnOnce(Result<&Connection, WriteError>) -> (bool, Reply) + Send>;
/// Answers the caller, with what the commit said.
type Reply = Box<dyn FnOnce(Result<(), WriteError>) + Send>;
type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

/// A handle on the database. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct Database(Arc<Threads>);

struct Threads {
    // In an Option so that dropping can close the queues before it waits for the threads.
    queues: Option<(SyncSender<WriteJob>, SyncSender<ReadJob>)>,
    readers: Vec<JoinHandle<()>>,
    looks: Vec<Mutex<Connection>>,
    writer: Option<JoinHandle<()>>,
}

impl Database {
    /// Opens the file, making it (readable by its owner alone) and its tables when needed.
    ///
    /// # Errors
    /// [`OpenError`], whose message says what to mend.
    pub fn open(path: impl AsRef<Path>, schema: Schema) -> Result<Self, OpenError> {
        let path = path.as_ref();
        create(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let mut writer = Connection::open(path).map_err(sqlite)?;
        writer.busy_timeout(BUSY_AT_START).map_err(sqlite)?;
        // Before anything is written: another application's file stays as it is.
        migrate(&mut writer, path, schema)?;
        writer.busy_timeout(BUSY).map_err(sqlite)?;
        configure(&writer).map_err(sqlite)?;
        let (write, jobs) = sync_channel(QUEUE);
        let writer = spawn("grantor-sqlite-write", move || Writer::new(writer).run(&jobs));
        let mut readers = Vec::new();
        let (read, jobs) = sync_channel::<ReadJob>(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..READERS {
            let (reader, jobs) = (reader(path, BUSY).map_err(sqlite)?, jobs.clone());
            readers.push(spawn("grantor-sqlite-read", move || run_reader(&reader, &jobs)));
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let looks = (0..processors.min(LOOKS)).map(|_| reader(path, BUSY_HERE).map(Mutex::new));
        let looks = looks.collect::<Result<_, _>>().map_err(sqlite)?;
        let (queues, writer) = (Some((write, read)), Some(writer));
        Ok(Self(Arc::new(Threads { queues, readers, looks, writer })))
    }

    /// Runs `job` in a transaction, and returns its value after the commit is on the disk. When it
    /// fails, or the commit does, nothing of it is stored. Dropping the future does not stop a
    /// job that is queued: it is done whole or not at all.
    ///
    /// # Errors
    /// The job's own error, or [`WriteError`].
    pub async fn write<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriteError> + Send + 'static,
    {
        let (answer, wait) = oneshot::channel();
        let job: WriteJob = Box::new(move |begun| {
            let run = || job(begun?);
            let result = catch_unwind(AssertUnwindSafe(run))
                .unwrap_or_else(|_| Err(WriteError::GivenUp.into()));
            let keep = result.is_ok();
            let reply: Reply = Box::new(move |committed| {
                // A caller that has gone away wants no answer; its work stands.
                let _ = answer.send(committed.map_err(E::from).and(result));
            });
            (keep, reply)
        });
        let (write, _) = self.queues()?;
        write.try_send(job).map_err(|refused| not_queued(&refused))?;
        wait.await.unwrap_or_else(|_| Err(WriteError::GivenUp.into()))
    }

    /// Runs `job` on a read-only connection. It sees everything that was committed before.
    ///
    /// # Errors
    /// The job's own error, or [`WriteError`].
    pub async fn read<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriteError> + Send + 'static,
    {
        let (answer, wait) = oneshot::channel();
        let job: ReadJob = Box::new(move |connection| {
            let _ = answer.send(run(job, connection));
        });
        let (_, read) = self.queues()?;
        read.try_send(job).map_err(|refused| not_queued(&refused))?;
        wait.await.unwrap_or_else(|_| Err(WriteError::GivenUp.into()))
    }

    /// Looks up a few rows by their keys, at once and by the thread that asks, if a connection is free; else it is a
    /// [`Database::read`]. What may read much belongs there: it would keep others from their turn, as a slow disk
    /// does for the time of a page that is not in memory.
    ///
    /// # Errors
    /// The job's own error, or [`WriteError`].
    pub async fn look<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriteError> + Send + 'static,
    {
        match self.look_here(job) {
            Ok(looked) => looked,
            Err(job) => self.read(job).await,
        }
    }

    /// Gives the job back when no connection is free.
    fn look_here<T, E: From<WriteError>, J>(&self, job: J) -> Result<Result<T, E>, J>
    where
        J: FnOnce(&Connection) -> Result<T, E>,
    {
        let free = self.0.looks.iter().find_map(|connection| match connection.try_lock() {
            Ok(connection) => Some(connection),
            Err(TryLockError::Poisoned(left)) => Some(left.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        match free {
            Some(connection) => Ok(run(job, &connection)),
            None => Err(job),
        }
    }

    /// Whether the database can be written to now. It writes nothing.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn check(&self) -> Result<(), WriteError> {
        self.write(|_| Ok(())).await
    }

    fn queues(&self) -> Result<&(SyncSender<WriteJob>, SyncSender<ReadJob>), WriteError> {
        self.0.queues.as_ref().ok_or(WriteError::GivenUp)
    }
}

/// A job that panics is an error of its caller's, and of nobody else.
fn run<T, E: From<WriteError>>(
    job: impl FnOnce(&Connection) -> Result<T, E>,
    connection: &Connection,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(|| job(connection)))
        .unwrap_or_else(|_| Err(WriteError::GivenUp.into()))
}

fn not_queued<T>(refused: &TrySendError<T>) -> WriteError {
    match refused {
        TrySendError::Full(_) => WriteError::Overloaded,
        TrySendError::Disconnected(_) => WriteError::GivenUp,
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Database")
    }
}

impl Drop for Threads {
    /// Finishes what is queued, then closes the file: a backup taken afterwards is complete, and
    /// another process may take over. The writer closes last, for only the last connection brings
    /// the log back into the database.
    fn drop(&mut self) {
        let Some((write, read)) = self.queues.take() else { return };
        drop(read);
        self.looks.clear();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        drop(write);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    #[expect(clippy::expect_used, reason = "a process that cannot start a thread cannot start")]
    std::thread::Builder::new().name(name.to_owned()).spawn(work).expect("a thread starts")
}

/// Makes the file with mode 0600 before SQLite would make it readable by everybody.
fn create(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // NORMAL may forget the last commits at a power loss: a spent code would live again.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    // Pages that change again before they go to the database file go there once. Sixteen megabytes of log are read at a
    // start after a crash, which takes some hundredths of a second.
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.pragma_update(None, "cache_size", -16384)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn reader(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Brings the tables up to date, in one transaction: two processes that start together do it once.
fn migrate(connection: &mut Connection, path: &Path, schema: Schema) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    let pragma =
        |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application_id = pragma("application_id").map_err(sqlite)?;
    let found = usize::try_from(pragma("user_version").map_err(sqlite)?).unwrap_or(usize::MAX);
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite)?;
    if application_id != schema.application_id && tables > 0 {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let known = schema.migrations.len();
    let Some(missing) = schema.migrations.get(found..) else {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    };
    for migration in missing {
        transaction.execute_batch(migration).map_err(sqlite)?;
    }
    transaction.pragma_update(None, "application_id", schema.application_id).map_err(sqlite)?;
    let version = i32::try_from(known).unwrap_or(i32::MAX);
    transaction.pragma_update(None, "user_version", version).map_err(sqlite)?;
    transaction.commit().map_err(sqlite)
}

fn run_reader(connection: &Connection, jobs: &Mutex<Receiver<ReadJob>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(connection),
            Err(_) => return,
        }
    }
}

struct Writer {
    connection: Connection,
    /// Set after the disk failed to sync.
    uncertain: bool,
}

impl Writer {
    fn new(connection: Connection) -> Self {
        Self { connection, uncertain: false }
    }

    fn run(mut self, jobs: &Receiver<WriteJob>) {
        while let Ok(first) = jobs.recv() {
            self.commit_together(batch(first, jobs, BATCH));
        }
        // Statistics for the query planner, kept cheap by SQLite itself.
        let _ = self.connection.execute_batch("PRAGMA optimize");
    }

    fn commit_together(&mut self, jobs: Vec<WriteJob>) {
        let mut replies = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter();
        let committed = self.transaction(&mut jobs, &mut replies);
        if let Err(error) = &committed {
            if let WriteError::Sqlite(error) = error {
                self.uncertain |= is_sync_failure(error);
            }
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            replies.extend(jobs.map(|job| job(Err(error.clone())).1));
        }
        for reply in replies {
            reply(committed.clone());
        }
    }

    /// One transaction for all jobs, a savepoint for each. On an error some jobs may be left.
    fn transaction(
        &self,
        jobs: &mut impl Iterator<Item = WriteJob>,
        replies: &mut Vec<Reply>,
    ) -> Result<(), WriteError> {
        if self.uncertain {
            return Err(WriteError::Uncertain);
        }
        self.say("BEGIN IMMEDIATE")?;
        for job in jobs {
            self.say("SAVEPOINT job")?;
            let (keep, reply) = job(Ok(&self.connection));
            replies.push(reply);
            if !keep {
                self.say("ROLLBACK TO job")?;
            }
            self.say("RELEASE job")?;
        }
        self.say("COMMIT")?;
        Ok(())
    }

    fn say(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

fn is_sync_failure(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::SystemIoFailure
            && matches!(
                error.extended_code,
                rusqlite::ffi::SQLITE_IOERR_FSYNC | rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC
            )
    })
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;

    const SCHEMA: Schema =
        Schema { application_id: 7, migrations: &["CREATE TABLE t(n INTEGER UNIQUE) STRICT"] };

    fn add(n: i64) -> impl FnOnce(&Connection) -> Result<(), WriteError> + Send {
        move |connection| {
            connection.execute("INSERT INTO t VALUES (?1)", [n])?;
            Ok(())
        }
    }

    fn count(database: &Database) -> i64 {
        let count = |connection: &Connection| {
            let count = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
            Ok::<_, WriteError>(count?)
        };
        let (read, looked) = (block_on(database.read(count)), block_on(database.look(count)));
        assert_eq!(read.as_ref().unwrap(), looked.as_ref().unwrap());
        read.unwrap()
    }

    #[test]
    fn who_only_looks_waits_for_nobody_and_breaks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("t.db"), SCHEMA).unwrap();
        block_on(database.write(add(1))).unwrap();
        let panics = block_on(database.look::<(), WriteError>(|_| panic!("planted")));
        assert!(matches!(panics, Err(WriteError::GivenUp)));
        assert_eq!(count(&database), 1);
        let writes = block_on(database.look(|connection| add(2)(connection)));
        assert!(writes.is_err(), "a look changes nothing");
        // While every connection for it is in use, a thread reads.
        let held: Vec<_> = database.0.looks.iter().map(|look| look.lock().unwrap()).collect();
        let looked = block_on(database.look(|connection| {
            assert_eq!(std::thread::current().name(), Some("grantor-sqlite-read"));
            let count = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
            Ok::<i64, WriteError>(count?)
        }));
        assert_eq!(looked.unwrap(), 1);
        drop(held);
        let here = std::thread::current().id();
        let looked = block_on(database.look(move |_| {
            assert_eq!(std::thread::current().id(), here);
            Ok::<_, WriteError>(())
        }));
        looked.unwrap();
    }

    #[test]
    fn a_failing_job_undoes_itself_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("t.db"), SCHEMA).unwrap();
        std::thread::scope(|scope| {
            for n in 0..40 {
                let database = &database;
                scope.spawn(move || {
                    let twice = move |connection: &Connection| {
                        add(n / 2)(connection)?;
                        connection.execute("INSERT INTO t VALUES (?1)", [1000 + n])?;
                        Ok::<_, WriteError>(())
                    };
                    let _ = block_on(database.write(twice));
                });
            }
        });
        assert_eq!(count(&database), 40, "20 jobs stored two rows each, 20 none");
    }

    #[test]
    fn a_panicking_job_is_given_up_and_the_next_one_works() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("t.db"), SCHEMA).unwrap();
        let panics = block_on(database.write::<(), WriteError>(|connection| {
            add(1)(connection)?;
            panic!("planted");
        }));
        assert!(matches!(panics, Err(WriteError::GivenUp)));
        block_on(database.write(add(2))).unwrap();
        assert_eq!(count(&database), 1);
    }

    #[test]
    fn foreign_newer_and_broken_files_are_refused_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE theirs(n)").unwrap();
        drop(other);
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(Database::open(&path, SCHEMA), Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before, "their file is as it was");
        std::fs::remove_file(&path).unwrap();
        drop(Database::open(&path, SCHEMA).unwrap());
        let foreign = Schema { application_id: 8, ..SCHEMA };
        assert!(matches!(Database::open(&path, foreign), Err(OpenError::Foreign { .. })));
        let older = Schema { migrations: &[], ..SCHEMA };
        let error = Database::open(&path, older).unwrap_err().to_string();
        assert!(error.contains("newer release"), "{error}");
        let broken = folder.path().join("broken.db");
        std::fs::write(&broken, "this is not a database, whatever its name says").unwrap();
        assert!(matches!(Database::open(&broken, SCHEMA), Err(OpenError::Sqlite { .. })));
        assert!(Database::open(folder.path().join("no/such/t.db"), SCHEMA).is_err());
    }

    #[test]
    fn closing_brings_everything_into_the_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        for n in 0..20 {
            let database = Database::open(&path, SCHEMA).unwrap();
            block_on(database.write(add(n))).unwrap();
            assert_eq!(count(&database), n + 1);
            drop(database);
            let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let database = Database::open(&path, SCHEMA).unwrap();
        block_on(database.write(add(1))).unwrap();
        for name in ["t.db", "t.db-wal", "t.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn every_commit_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("t.db"), SCHEMA).unwrap();
        let (journal, synchronous) = block_on(database.write(|connection| {
            let journal: String =
                connection.pragma_query_value(None, "journal_mode", |r| r.get(0))?;
            let synchronous: i64 =
                connection.pragma_query_value(None, "synchronous", |r| r.get(0))?;
            Ok::<_, WriteError>((journal, synchronous))
        }))
        .unwrap();
        assert_eq!((journal.as_str(), synchronous), ("wal", 2));
    }

    #[test]
    fn beyond_the_queue_callers_are_told_at_once_and_those_in_it_are_served() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("t.db"), SCHEMA).unwrap();
        let (begin, begun) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let mut waiting = Vec::new();
        // One job that holds the writer until it is told.
        let holds = database.write(move |_: &Connection| {
            begin.send(()).unwrap();
            let _ = ended.recv();
            Ok::<_, WriteError>(())
        });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut holds = Box::pin(holds);
        assert!(holds.as_mut().poll(&mut context).is_pending());
        begun.recv().unwrap();
        let mut refused = 0;
        for n in 0..QUEUE + BATCH + 100 {
            let mut job = Box::pin(database.write(add(i64::try_from(n).unwrap())));
            match job.as_mut().poll(&mut context) {
                std::task::Poll::Pending => waiting.push(job),
                std::task::Poll::Ready(Err(WriteError::Overloaded)) => refused += 1,
                std::task::Poll::Ready(other) => panic!("{other:?}"),
            }
        }
        // The writer may have taken one batch out of the queue before it began.
        assert!((QUEUE..=QUEUE + BATCH).contains(&waiting.len()), "{}", waiting.len());
        assert!(refused >= 100, "{refused}");
        end.send(()).unwrap();
        block_on(holds).unwrap();
        let accepted = waiting.len();
        for job in waiting {
            block_on(job).unwrap();
        }
        assert_eq!(count(&database), i64::try_from(accepted).unwrap());
    }

    #[test]
    fn while_another_process_holds_the_lock_writers_fail_whole_and_then_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let database = Database::open(&path, SCHEMA).unwrap();
        // So that nobody has to wait for five seconds here.
        block_on(database.write(|connection| {
            connection.busy_timeout(Duration::from_millis(20))?;
            Ok::<_, WriteError>(())
        }))
        .unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        for n in 0..5 {
            let refused = block_on(database.write(add(n)));
            assert!(matches!(refused, Err(WriteError::Sqlite(_))), "{refused:?}");
        }
        // Whoever reads does not wait for writers.
        assert_eq!(count(&database), 0);
        other.execute_batch("ROLLBACK").unwrap();
        block_on(database.write(add(1))).unwrap();
        assert_eq!(count(&database), 1, "nothing of what was refused was kept");
    }
}
