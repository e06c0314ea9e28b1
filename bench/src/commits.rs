//! The rate of durable commits that SQLite reaches by itself: what a server on it can come near to, and not pass.

use std::path::Path;
use std::time::{Duration, Instant};

use grantor_sqlite::{Database, Schema, WriteError};
use tokio::task::JoinSet;

use crate::Result;

const SCHEMA: Schema = Schema {
    application_id: 0x4752_4e42,
    migrations: &["
CREATE TABLE rows (id INTEGER PRIMARY KEY, record TEXT NOT NULL) STRICT;
INSERT INTO rows (record) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    SELECT printf('%0700d', i) FROM n;"],
};
const CLIENTS: u64 = 64;
const SPAN: Duration = Duration::from_secs(2);

/// Changes rows of the size of a grant, here and there among twenty thousand, each of 64 waiting for its commit.
pub(crate) async fn run(file: &Path) -> Result<()> {
    let database = Database::open(file, SCHEMA)?;
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let database = database.clone();
        clients.spawn(async move {
            let mut commits = 0_u64;
            while begun.elapsed() < SPAN {
                // Steps by a prime go everywhere.
                let id = 1 + (client * 311 + commits * 7919) % 20_000;
                let record = format!("{commits:0700}");
                let write = database.write(move |connection| {
                    let sql = "UPDATE rows SET record = ?2 WHERE id = ?1";
                    connection
                        .prepare_cached(sql)
                        .and_then(|mut statement| statement.execute((id.cast_signed(), record)))
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
