//! SQLite storage for [Grantor](grantor).
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use grantor_sqlite::Sqlite;
//!
//! let store = Sqlite::open("grantor.db")?;
//! let builder = grantor::AuthorizationServer::builder("https://id.example.com").store(store);
//! # Ok(()) }
//! ```
//!
//! One thread owns the write connection and commits what is waiting together (group commit), with
//! `synchronous=FULL` in WAL mode: an answer is given after the commit is on the disk, so a code
//! that was redeemed stays redeemed through a crash. Several processes may share the file. Never
//! put it on a network file system: WAL needs shared memory.

mod cache;
mod database;
mod outbox;
mod schema;
mod store;

pub use database::{Database, OpenError, Schema, WriteError};
pub use store::Sqlite;
