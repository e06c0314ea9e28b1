//! sled storage for [Grantor](grantor): an embedded store without C code.
//!
//! ```no_run
//! # use grantor_sled::Sled;
//! let store = Sled::open("grantor-data/sled")?;
//! # Ok::<_, grantor_sled::OpenError>(())
//! ```
//!
//! Every step is a compare-and-swap on one grant's record, and is answered only after everything that
//! it saw is on the disk. sled 0.34 does not promise that by itself: it acknowledges writes before
//! it has written them, and its flush does not reach the disk's own cache. So all who wait share one
//! flush and one sync of the database file.
//!
//! When the disk is full, every call fails, and the folder is opened again by itself when there is space.
//! When the disk fails to sync, nobody knows what it holds: then the store refuses everything until it is
//! opened anew.
//!
//! One process holds a folder at a time. sled sees little maintenance; where nothing speaks against it,
//! choose SQLite (`grantor-sqlite`), which several processes may share.

mod codec;
mod durable;
mod open;
mod outbox;
mod records;
mod store;

pub use open::OpenError;
pub use store::Sled;
