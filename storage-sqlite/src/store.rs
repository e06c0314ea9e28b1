//! The store traits on SQLite.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use grantor::grant::{Grant, GrantId, Outcome, Step};
use grantor::store::{
    ClientStore, Inserted, KeyStore, Owner, Remembered, SealedRing, StoreError, TokenStore, record,
};
use grantor::{Client, Issuer, Scope, Time};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use crate::cache::ClientCache;
use crate::database::{Database, OpenError, WriteError};
use crate::schema::SCHEMA;

/// How many grants one transaction of a mass revocation touches: others wait that long.
const BATCH: i64 = 500;

/// A store in a SQLite file. Clones share it.
#[derive(Clone, Debug)]
pub struct Sqlite(Database, Arc<ClientCache>);

impl Sqlite {
    /// Opens the file, making it and its tables when needed.
    ///
    /// # Errors
    /// [`OpenError`], whose message says what to mend.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Ok(Self(Database::open(path, SCHEMA)?, Arc::default()))
    }

    /// Whether the store can be written to now. It writes nothing.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.write(job).await.map_err(StoreError::from)
    }

    async fn look<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.look(job).await.map_err(StoreError::from)
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.0.read(job).await.map_err(StoreError::from)
    }
}

/// Why a job failed, on the way to the opaque [`StoreError`].
#[derive(Debug)]
pub(crate) enum Failure {
    Write(WriteError),
    Record(StoreError),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Failure::Write(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Write(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Record(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Write(error) => StoreError::new(error),
            Failure::Record(error) => error,
        }
    }
}

#[async_trait]
impl TokenStore for Sqlite {
    async fn insert(
        &self,
        grant: Grant,
        remember: Option<Remembered>,
    ) -> Result<Inserted, StoreError> {
        self.write(move |connection| {
            if let Some(existing) = grant_of(connection, grant.id)? {
                return Ok(Inserted::Existing(Box::new(existing)));
            }
            let sql = "INSERT INTO grants (id, issuer, client_id, subject, sid, expires_at, record)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            connection.prepare_cached(sql)?.execute(params![
                grant.id.as_bytes(),
                grant.issuer.as_str(),
                grant.client_id,
                grant.subject,
                grant.sid,
                grant.expires_at.millis(),
                record::write_grant(&grant)?,
            ])?;
            if let Some(next) = remember {
                merge(connection, next)?;
            }
            Ok(Inserted::New)
        })
        .await
    }

    async fn apply(&self, id: GrantId, step: Step, now: Time) -> Result<Outcome, StoreError> {
        self.write(move |connection| {
            let Some(grant) = grant_of(connection, id)? else { return Ok(Outcome::Missing) };
            let (next, outcome) = grant.apply(&step, now);
            if let Some(next) = next {
                save(connection, &next)?;
            }
            Ok(outcome)
        })
        .await
    }

    async fn find(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        self.look(move |connection| grant_of(connection, id)).await
    }

    async fn list(
        &self,
        of: &Owner,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError> {
        let of = of.clone();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |connection| page(connection, &of, after, limit)).await
    }

    async fn revoke(&self, of: &Owner, now: Time) -> Result<u64, StoreError> {
        let (mut after, mut revoked) = (None, 0);
        loop {
            let of = of.clone();
            let (changed, last) = self
                .write(move |connection| {
                    let grants = page(connection, &of, after, BATCH)?;
                    let mut changed = 0;
                    for grant in &grants {
                        if let (Some(next), _) = grant.apply(&Step::Revoke { client: None }, now) {
                            save(connection, &next)?;
                            changed += 1;
                        }
                    }
                    Ok((changed, grants.last().map(|grant| grant.id)))
                })
                .await?;
            revoked += changed;
            match last {
                Some(last) => after = Some(last),
                None => return Ok(revoked),
            }
        }
    }

    async fn remembered(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        let (issuer, subject, client_id) =
            (issuer.clone(), subject.to_owned(), client_id.to_owned());
        self.look(move |connection| consent_of(connection, &issuer, &subject, &client_id)).await
    }

    async fn consents(
        &self,
        issuer: &Issuer,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Remembered>, StoreError> {
        let (issuer, subject, after) =
            (issuer.clone(), subject.to_owned(), after.unwrap_or("").to_owned());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |connection| {
            let sql = "SELECT scope, granted_at, client_id FROM remembered
                       WHERE issuer = ?1 AND subject = ?2 AND client_id > ?3
                       ORDER BY client_id LIMIT ?4";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(params![issuer.as_str(), subject, after, limit])?;
            let mut consents = Vec::new();
            while let Some(row) = rows.next()? {
                consents.push(consent(&issuer, &subject, &row.get::<_, String>(2)?, row)?);
            }
            Ok(consents)
        })
        .await
    }

    async fn remember(&self, consent: Remembered) -> Result<(), StoreError> {
        self.write(move |connection| merge(connection, consent)).await
    }

    async fn forget(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<bool, StoreError> {
        let key = [issuer.as_str(), subject, client_id].map(str::to_owned);
        self.write(move |connection| {
            let sql = "DELETE FROM remembered
                       WHERE issuer = ?1 AND subject = ?2 AND client_id = ?3";
            Ok(connection.prepare_cached(sql)?.execute(key)? > 0)
        })
        .await
    }

    async fn purge(&self, now: Time, limit: usize) -> Result<usize, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.write(move |connection| {
            let sql = "DELETE FROM grants WHERE number IN
                       (SELECT number FROM grants WHERE expires_at < ?1 LIMIT ?2)";
            Ok(connection.prepare_cached(sql)?.execute(params![now.millis(), limit])?)
        })
        .await
    }
}

fn grant_of(connection: &Connection, id: GrantId) -> Result<Option<Grant>, Failure> {
    let mut statement = connection.prepare_cached("SELECT record FROM grants WHERE id = ?1")?;
    let text: Option<String> = statement.query_row([id.as_bytes()], |row| row.get(0)).optional()?;
    Ok(text.map(|text| record::read_grant(&text)).transpose()?)
}

fn save(connection: &Connection, grant: &Grant) -> Result<(), Failure> {
    let sql = "UPDATE grants SET record = ?2 WHERE id = ?1";
    let record = record::write_grant(grant)?;
    connection.prepare_cached(sql)?.execute(params![grant.id.as_bytes(), record])?;
    Ok(())
}

fn page(
    connection: &Connection,
    of: &Owner,
    after: Option<GrantId>,
    limit: i64,
) -> Result<Vec<Grant>, Failure> {
    // Every index ends with the id, so a page is a range of one index.
    let (condition, first, second) = match of {
        Owner::Subject(_, subject) => ("subject = ?4", subject, None),
        Owner::Client(_, client) => ("client_id = ?4", client, None),
        Owner::SubjectAndClient(_, subject, client) => {
            // The plus keeps the planner from the index by client: a person has few grants, a client
            // may have millions.
            ("subject = ?4 AND +client_id = ?5", subject, Some(client))
        }
        Owner::Session(_, sid) => ("sid = ?4", sid, None),
    };
    let (Owner::Subject(issuer, _)
    | Owner::Client(issuer, _)
    | Owner::SubjectAndClient(issuer, _, _)
    | Owner::Session(issuer, _)) = of;
    let sql = format!(
        "SELECT record FROM grants WHERE issuer = ?1 AND id > ?2 AND {condition}
         ORDER BY id LIMIT ?3"
    );
    // A blob of no bytes sorts before every id.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let issuer = issuer.as_str();
    let mut bound: Vec<&dyn ToSql> = vec![&issuer, &after, &limit, first];
    bound.extend(second.iter().map(|client| client as &dyn ToSql));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(bound.as_slice(), |row| row.get::<_, String>(0))?;
    rows.map(|text| Ok(record::read_grant(&text?)?)).collect()
}

fn merge(connection: &Connection, next: Remembered) -> Result<(), Failure> {
    let before = consent_of(connection, &next.issuer, &next.subject, &next.client_id)?;
    let merged = match before {
        Some(before) => before.merged(&next),
        None => next,
    };
    let sql = "REPLACE INTO remembered (issuer, subject, client_id, scope, granted_at)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        merged.issuer.as_str(),
        merged.subject,
        merged.client_id,
        merged.scope.to_string(),
        merged.granted_at.millis(),
    ])?;
    Ok(())
}

fn consent_of(
    connection: &Connection,
    issuer: &Issuer,
    subject: &str,
    client_id: &str,
) -> Result<Option<Remembered>, Failure> {
    let sql = "SELECT scope, granted_at FROM remembered
               WHERE issuer = ?1 AND subject = ?2 AND client_id = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([issuer.as_str(), subject, client_id])?;
    rows.next()?.map(|row| consent(issuer, subject, client_id, row)).transpose()
}

/// A consent from a row that begins with its scope and time.
fn consent(
    issuer: &Issuer,
    subject: &str,
    client_id: &str,
    row: &Row<'_>,
) -> Result<Remembered, Failure> {
    Ok(Remembered {
        issuer: issuer.clone(),
        subject: subject.to_owned(),
        client_id: client_id.to_owned(),
        scope: Scope::try_from(row.get::<_, String>(0)?).map_err(StoreError::new)?,
        granted_at: Time::from_millis(row.get(1)?),
    })
}

#[async_trait]
impl ClientStore for Sqlite {
    async fn find(
        &self,
        issuer: &Issuer,
        client_id: &str,
    ) -> Result<Option<Arc<Client>>, StoreError> {
        let (issuer, client_id) = (issuer.clone(), client_id.to_owned());
        let cache = self.1.clone();
        self.look(move |connection| {
            let key = [issuer.as_str(), &client_id];
            // The index that has the version is small: its pages are read again and again.
            let sql = "SELECT version FROM clients INDEXED BY clients_by_version
                       WHERE issuer = ?1 AND client_id = ?2 AND record IS NOT NULL";
            let mut statement = connection.prepare_cached(sql)?;
            let version: Option<i64> = statement.query_row(key, |row| row.get(0)).optional()?;
            let Some(version) = version else { return Ok(None) };
            if let Some(known) = cache.find(&issuer, &client_id, version) {
                return Ok(Some(known));
            }
            let sql = "SELECT record FROM clients
                       WHERE issuer = ?1 AND client_id = ?2 AND record IS NOT NULL";
            let mut statement = connection.prepare_cached(sql)?;
            let text: Option<String> = statement.query_row(key, |row| row.get(0)).optional()?;
            let Some(text) = text else { return Ok(None) };
            let client = Arc::new(record::read_client(&text)?);
            cache.keep(&issuer, &client);
            Ok(Some(client))
        })
        .await
    }

    async fn insert(&self, issuer: &Issuer, client: Client) -> Result<bool, StoreError> {
        let issuer = issuer.clone();
        self.write(move |connection| {
            let sql = "INSERT INTO clients (issuer, client_id, version, tenant, record)
                       VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
            let inserted = connection.prepare_cached(sql)?.execute(params![
                issuer.as_str(),
                client.client_id,
                whole(client.version)?,
                client.tenant,
                record::write_client(&client)?,
            ])?;
            if inserted == 0 {
                return Ok(false);
            }
            index_origins(connection, &issuer, &client)?;
            Ok(true)
        })
        .await
    }

    async fn update(&self, issuer: &Issuer, mut client: Client) -> Result<bool, StoreError> {
        let issuer = issuer.clone();
        self.write(move |connection| {
            let read = whole(client.version)?;
            client.version += 1;
            let sql = "UPDATE clients SET version = ?4, tenant = ?5, record = ?6
                       WHERE issuer = ?1 AND client_id = ?2 AND version = ?3
                         AND record IS NOT NULL";
            let updated = connection.prepare_cached(sql)?.execute(params![
                issuer.as_str(),
                client.client_id,
                read,
                whole(client.version)?,
                client.tenant,
                record::write_client(&client)?,
            ])?;
            if updated == 0 {
                return Ok(false);
            }
            index_origins(connection, &issuer, &client)?;
            Ok(true)
        })
        .await
    }

    async fn remove(&self, issuer: &Issuer, client_id: &str) -> Result<bool, StoreError> {
        let key = [issuer.as_str(), client_id].map(str::to_owned);
        self.write(move |connection| {
            let sql = "UPDATE clients SET tenant = NULL, record = NULL
                       WHERE issuer = ?1 AND client_id = ?2 AND record IS NOT NULL";
            let removed = connection.prepare_cached(sql)?.execute(params![key[0], key[1]])?;
            let sql = "DELETE FROM origins WHERE issuer = ?1 AND client_id = ?2";
            connection.prepare_cached(sql)?.execute(params![key[0], key[1]])?;
            Ok(removed > 0)
        })
        .await
    }

    async fn list(
        &self,
        issuer: &Issuer,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Client>>, StoreError> {
        let (issuer, tenant, after) =
            (issuer.clone(), tenant.map(str::to_owned), after.unwrap_or("").to_owned());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |connection| {
            let condition = if tenant.is_some() { "tenant = ?4" } else { "?4 IS NULL" };
            let sql = format!(
                "SELECT record FROM clients WHERE issuer = ?1 AND client_id > ?2
                   AND record IS NOT NULL AND {condition} ORDER BY client_id LIMIT ?3"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement
                .query_map(params![issuer.as_str(), after, limit, tenant], |row| {
                    row.get::<_, String>(0)
                })?;
            rows.map(|text| Ok(Arc::new(record::read_client(&text?)?))).collect()
        })
        .await
    }

    async fn allows_origin(&self, issuer: &Issuer, origin: &str) -> Result<bool, StoreError> {
        let key = [issuer.as_str(), origin].map(str::to_owned);
        self.look(move |connection| {
            let sql = "SELECT 1 FROM origins WHERE issuer = ?1 AND origin = ?2 LIMIT 1";
            Ok(connection.prepare_cached(sql)?.exists(key)?)
        })
        .await
    }
}

fn index_origins(connection: &Connection, issuer: &Issuer, client: &Client) -> Result<(), Failure> {
    let key = [issuer.as_str(), client.client_id.as_str()];
    let sql = "DELETE FROM origins WHERE issuer = ?1 AND client_id = ?2";
    connection.prepare_cached(sql)?.execute(key)?;
    if client.active {
        let sql = "INSERT OR IGNORE INTO origins (issuer, client_id, origin) VALUES (?1, ?2, ?3)";
        let mut statement = connection.prepare_cached(sql)?;
        for origin in &client.allowed_origins {
            statement.execute([key[0], key[1], origin.as_str()])?;
        }
    }
    Ok(())
}

#[async_trait]
impl KeyStore for Sqlite {
    async fn load(&self, issuer: &Issuer) -> Result<Option<SealedRing>, StoreError> {
        let issuer = issuer.clone();
        self.read(move |connection| {
            let sql = "SELECT sealed, version FROM rings WHERE issuer = ?1";
            let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?));
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_row([issuer.as_str()], read).optional()?;
            let Some((sealed, version)) = found else { return Ok(None) };
            let version = u64::try_from(version).map_err(StoreError::new)?;
            Ok(Some(SealedRing { sealed, version }))
        })
        .await
    }

    async fn replace(
        &self,
        issuer: &Issuer,
        sealed: Vec<u8>,
        if_version: u64,
    ) -> Result<bool, StoreError> {
        let issuer = issuer.clone();
        self.write(move |connection| {
            let if_version = whole(if_version)?;
            let sql = if if_version == 0 {
                "INSERT INTO rings (issuer, version, sealed) VALUES (?1, ?2 + 1, ?3)
                 ON CONFLICT DO NOTHING"
            } else {
                "UPDATE rings SET version = ?2 + 1, sealed = ?3 WHERE issuer = ?1 AND version = ?2"
            };
            let stored = params![issuer.as_str(), if_version, sealed];
            Ok(connection.prepare_cached(sql)?.execute(stored)? > 0)
        })
        .await
    }
}

/// SQLite's integers are signed.
fn whole(version: u64) -> Result<i64, StoreError> {
    i64::try_from(version).map_err(StoreError::new)
}
