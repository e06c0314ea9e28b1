//! The rate of durable commits that SQLite reaches by itself: what a server on it can come near to, and not pass.

use std::path::Path;
use std::time::{Duration, Instant};

use grantor_sqlite::{Database, Schema, WriteError};
use tokio::task::JoinSet;

use crate::Result;

const SCHEMA: Schema = Schema {
    application_id: 0x4752_4e42,
    migrations: &[
        "CREATE TABLE rows (id BLOB PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;",
    ],
};
const CLIENTS: usize = 64;
const SPAN: Duration = Duration::from_secs(2);

/// Changes rows of the size of a grant, each of 64 waiting for its commit.
pub(crate) async fn run(file: &Path) -> Result<()> {
    let database = Database::open(file, SCHEMA)?;
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let database = database.clone();
        clients.spawn(async move {
            let mut commits = 0_u64;
            let id = vec![u8::try_from(client).unwrap_or_default(); 32];
            while begun.elapsed() < SPAN {
                let (id, record) = (id.clone(), format!("{commits:0700}"));
                let write = database.write(move |connection| {
                    let sql = "REPLACE INTO rows (id, record) VALUES (?1, ?2)";
                    connection
                        .prepare_cached(sql)
                        .and_then(|mut statement| statement.execute((id, record)))
                        .map_err(WriteError::from)
                });
                if write.await.is_ok() {
                    commits += 1;
                }
            }
            commits
        });
    }
    let commits: u64 = clients.join_all().await.into_iter().sum();
    println!("{:.0}", commits as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}
