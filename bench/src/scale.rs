//! What becomes of costs when there is more and more to keep.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use grantor::Issuer;
use grantor::grant::GrantId;
use grantor::store::{Owner, TokenStore};
use grantor_sled::Sled;
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Result;
use crate::credentials::APP;
use crate::flow::{Crowd, Paths, Work};
use crate::host::{ISSUER, Storage, database, sled};
use crate::process::{Process, own, step_aside};

#[derive(Args)]
pub(crate) struct Scale {
    /// Where they are kept
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["sqlite", "sled"])]
    storage: Vec<Storage>,
    /// How many grants there are
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    grants: Vec<u64>,
    /// How many clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100_000])]
    clients: Vec<u64>,
    /// For how long each is measured, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The folder for the records; the disk there is what is measured
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Ends with a failure when a promise is not kept
    #[arg(long)]
    strict: bool,
}

const CROWD: usize = 16;
const MOST: u64 = 1_000_000;

#[derive(Serialize)]
struct Row {
    storage: &'static str,
    grants: u64,
    clients: u64,
    started_ms: f64,
    /// Bytes of the database for each grant.
    bytes: f64,
    memory_mb: usize,
    /// Microseconds.
    refresh: f64,
    code: f64,
    userinfo: f64,
    introspect: f64,
    client_credentials: f64,
}

impl Scale {
    pub(crate) async fn run(self) -> Result<()> {
        step_aside().await?;
        let temporary = tempfile::tempdir()?;
        let folder = self.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
        let mut rows = Vec::new();
        let first = self.clients.first().copied().unwrap_or(1);
        for storage in &self.storage {
            let sizes = self.grants.iter().map(|grants| (*grants, first));
            let more = self.clients.iter().skip(1).map(|clients| (self.grants[0], *clients));
            // Many clients are made where it is quickly done; how they are looked up is alike.
            let more = more.filter(|_| *storage == Storage::Sqlite);
            for (grants, clients) in sizes.chain(more) {
                let folder = folder.join(format!("{}-{grants}-{clients}", storage.name()));
                std::fs::create_dir_all(&folder)?;
                rows.push(self.measure(*storage, &folder, grants, clients).await?);
                eprintln!("{}: {grants} grants, {clients} clients", storage.name());
                std::fs::remove_dir_all(&folder)?;
            }
        }
        println!(
            "| storage | grants | clients | start ms | bytes a grant | memory MB | refresh µs | code flow µs | userinfo µs | \
             introspection µs | client_credentials µs |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | \
             ---: | ---: |"
        );
        for row in &rows {
            println!(
                "| {} | {} | {} | {:.0} | {:.0} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
                row.storage,
                row.grants,
                row.clients,
                row.started_ms,
                row.bytes,
                row.memory_mb,
                row.refresh,
                row.code,
                row.userinfo,
                row.introspect,
                row.client_credentials
            );
        }
        let purge = purge_under_load(&folder.join("purge"), self.seconds).await?;
        println!("\nWhile a hundred thousand ended grants are purged: {purge}");
        println!("{}", json!(rows));
        let missed = missed(&rows, &purge);
        for what in &missed {
            println!("NOT KEPT: {what}");
        }
        match self.strict && !missed.is_empty() {
            true => Err(missed.join("; ").into()),
            false => Ok(()),
        }
    }

    async fn measure(
        &self,
        storage: Storage,
        folder: &Path,
        grants: u64,
        clients: u64,
    ) -> Result<Row> {
        // The first start makes the tables and the clients, and one grant that the others are copies of.
        let process = serve(storage, folder).await?;
        let paths = Arc::new(Paths::of_grantor());
        let mut one = Crowd::new(process.address, &paths, Work::Code, 1, 0).await?;
        one.go(Duration::from_secs(5), 1).await?;
        process.stop().await?;
        match storage {
            Storage::Sled => fill_sled(folder, grants).await?,
            _ => fill(&database(folder), grants, clients, i64::MAX / 2)?,
        }
        let size = size_of(folder)?;
        // The first start that finds all that is on a cold cache.
        serve(storage, folder).await?.stop().await?;
        let process = serve(storage, folder).await?;
        let started_ms = process.started_in.as_secs_f64() * 1000.0;
        let mut cost = [0.0; 5];
        let all =
            [Work::Refresh, Work::Code, Work::Userinfo, Work::Introspect, Work::ClientCredentials];
        for (work, cost) in all.into_iter().zip(&mut cost) {
            let mut crowd = Crowd::new(process.address, &paths, work, CROWD, 4).await?;
            crowd.go(Duration::from_millis(300), MOST).await?;
            let before = process.cpu()?;
            let tally = crowd.go(Duration::from_secs_f64(self.seconds), MOST).await?;
            *cost = (process.cpu()? - before) * 1e6 / tally.done.max(1) as f64;
        }
        let [refresh, code, userinfo, introspect, client_credentials] = cost;
        let memory_mb = process.memory()?;
        process.stop().await?;
        // Of a file with so many clients too it says nothing.
        let bytes = if clients == 1 { size as f64 / grants as f64 } else { f64::NAN };
        Ok(Row {
            storage: storage.name(),
            grants,
            clients,
            started_ms,
            bytes,
            memory_mb,
            refresh,
            code,
            userinfo,
            introspect,
            client_credentials,
        })
    }
}

async fn serve(storage: Storage, folder: &Path) -> Result<Process> {
    let storage = storage.name().as_ref();
    own(&["serve".as_ref(), "--storage".as_ref(), storage, folder.as_os_str()]).await
}

/// The bytes of all files below a folder.
fn size_of(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        size += match entry.file_type()?.is_dir() {
            true => size_of(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(size)
}

/// Copies of a grant, as many at the same time as share a sync.
async fn fill_sled(folder: &Path, grants: u64) -> Result<()> {
    let store = Sled::open(sled(folder))?;
    let owner = Owner::Client(Issuer::new(ISSUER)?, APP.0.to_owned());
    let found = TokenStore::list(&store, &owner, None, 1).await?;
    let one = found.into_iter().next().ok_or("there is no grant to copy")?;
    let mut filling = JoinSet::new();
    for n in 0..grants {
        let mut grant = one.clone();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &n.to_be_bytes());
        grant.id = GrantId::from_bytes(hash.as_ref().try_into()?);
        grant.subject = format!("person{}", n % 100_000);
        let store = store.clone();
        filling.spawn(async move { TokenStore::insert(&store, grant, None).await.map(drop) });
        if filling.len() >= 8192 {
            filling.join_next().await.ok_or("it is being filled")???;
        }
    }
    while let Some(done) = filling.join_next().await {
        done??;
    }
    Ok(())
}

/// Copies of a grant, under random ids, of many people; and of a client.
fn fill(file: &Path, grants: u64, clients: u64, expires_at: i64) -> Result<()> {
    let mut connection = Connection::open(file)?;
    connection.pragma_update(None, "cache_size", -512 * 1024)?;
    let transaction = connection.transaction()?;
    // Millions of rows under random keys would read a page for each. They come in the order of their ids, and the other
    // orders are made when all are there.
    let indexes = indexes(&transaction)?;
    for (name, _) in &indexes {
        transaction.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    transaction.execute_batch(
        "CREATE TEMP TABLE fresh (id BLOB PRIMARY KEY, i INTEGER NOT NULL) WITHOUT ROWID",
    )?;
    transaction.execute(
        "INSERT INTO fresh WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         SELECT randomblob(32), i FROM n",
        [i64::try_from(grants)?],
    )?;
    transaction.execute(
        "INSERT INTO grants (id, issuer, client_id, subject, sid, expires_at, record)
         SELECT fresh.id, issuer, client_id, 'person' || (i % 100000), hex(randomblob(8)), ?1, record
         FROM fresh, (SELECT * FROM grants LIMIT 1)",
        [expires_at],
    )?;
    for (_, made) in &indexes {
        transaction.execute_batch(made)?;
    }
    transaction.execute(
        "INSERT INTO clients (issuer, client_id, version, tenant, record)
         WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         SELECT issuer, 'client_' || i, version, tenant, replace(record, '\"app\"', '\"client_' || i || '\"')
         FROM n, (SELECT * FROM clients WHERE client_id = 'app') WHERE ?1 > 1",
        params![i64::try_from(clients)?],
    )?;
    transaction.commit()?;
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").or_else(|error| match error {
        rusqlite::Error::ExecuteReturnedResults => Ok(()),
        error => Err(error),
    })?;
    Ok(())
}

/// The names of the indexes of the grants, and what makes them.
fn indexes(connection: &Connection) -> Result<Vec<(String, String)>> {
    let sql = "SELECT name, sql FROM sqlite_schema
               WHERE type = 'index' AND tbl_name = 'grants' AND sql IS NOT NULL";
    let mut statement = connection.prepare(sql)?;
    let all = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(all.collect::<std::result::Result<_, _>>()?)
}

/// What refreshing clients notice of it.
#[derive(Serialize)]
struct Purge {
    /// Milliseconds that the slowest refresh took, without and with it.
    slowest_before: f64,
    slowest: f64,
    /// Ended grants that were still there when the time was over.
    left: u64,
}

impl std::fmt::Display for Purge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { slowest_before, slowest, left } = self;
        write!(
            f,
            "the slowest refresh of 16 clients takes {slowest:.0} ms, {slowest_before:.0} ms without; {left} are left"
        )
    }
}

async fn purge_under_load(folder: &Path, seconds: f64) -> Result<Purge> {
    std::fs::create_dir_all(folder)?;
    let process = serve(Storage::Sqlite, folder).await?;
    let paths = Arc::new(Paths::of_grantor());
    let span = Duration::from_secs_f64(seconds);
    let mut crowd = Crowd::new(process.address, &paths, Work::Refresh, CROWD, 0).await?;
    let before = crowd.go(span, MOST).await?;
    process.stop().await?;
    fill(&database(folder), 100_000, 1, 1)?;
    // The server purges from its start on.
    let process = serve(Storage::Sqlite, folder).await?;
    let mut crowd = Crowd::new(process.address, &paths, Work::Refresh, CROWD, 0).await?;
    let begun = Instant::now();
    let mut slowest: f64 = 0.0;
    let mut left = u64::MAX;
    while left > 0 && begun.elapsed() < Duration::from_secs(60) {
        slowest = slowest.max(crowd.go(span / 2, MOST).await?.quantile(1.0));
        let connection = Connection::open(database(folder))?;
        let count = "SELECT count(*) FROM grants WHERE expires_at = 1";
        left = connection.query_row(count, [], |row| row.get::<_, i64>(0))?.unsigned_abs();
    }
    process.stop().await?;
    Ok(Purge { slowest_before: before.quantile(1.0), slowest, left })
}

fn missed(rows: &[Row], purge: &Purge) -> Vec<String> {
    let mut missed = Vec::new();
    for storage in ["sqlite", "sled"] {
        let mut rows = rows.iter().filter(|row| row.storage == storage);
        let Some(first) = rows.next() else { continue };
        for row in rows.filter(|row| row.grants <= 1_000_000) {
            for (name, less, more) in [
                ("a refresh", first.refresh, row.refresh),
                ("a code flow", first.code, row.code),
                ("userinfo", first.userinfo, row.userinfo),
                ("introspection", first.introspect, row.introspect),
                ("client_credentials", first.client_credentials, row.client_credentials),
            ] {
                if more > 1.3 * less {
                    let Row { grants, clients, .. } = row;
                    missed.push(format!(
                        "{storage}: {name} costs {more:.0} µs with {grants} grants and {clients} clients, {less:.0} µs with few"
                    ));
                }
            }
        }
    }
    for row in rows.iter().filter(|row| row.storage == "sqlite") {
        if row.started_ms >= 100.0 {
            missed
                .push(format!("a start with {} grants takes {:.0} ms", row.grants, row.started_ms));
        }
        if row.grants <= 100_000 && row.memory_mb >= 60 {
            missed.push(format!("{} grants take {} MB of memory", row.grants, row.memory_mb));
        }
    }
    if purge.slowest - purge.slowest_before >= 50.0 || purge.left > 0 {
        missed.push(format!("while purging, {purge}"));
    }
    missed
}
