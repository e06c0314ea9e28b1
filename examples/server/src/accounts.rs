//! Organisations and people.

use std::time::Duration;

use async_trait::async_trait;
use grantor::{Claims, SubjectError, SubjectStatus, Subjects, Time};
use grantor_sqlite::{Database, OpenError, Schema};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;
use uuid::Uuid;

use crate::administration::claims;
use crate::audit::audit;
use crate::error::StoreFailed;

/// The server's own tables, apart from the engine's.
const SCHEMA: Schema = Schema {
    application_id: 0x4752_4e53,
    migrations: &[
        "
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE organisations (
    id   TEXT PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    email           TEXT NOT NULL UNIQUE,
    password        TEXT NOT NULL,
    is_admin        INTEGER NOT NULL,
    is_disabled     INTEGER NOT NULL DEFAULT 0,
    valid_from      INTEGER NOT NULL DEFAULT 0,
    claims          TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id         BLOB PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    auth_time  INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    user_agent TEXT,
    peer       TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (expires_at);
",
        "
-- By which name the engine knows a session, when it goes on under a new cookie.
ALTER TABLE sessions ADD COLUMN engine_id TEXT;
",
        "
-- Browsers in which a person has signed in before, by a hash of their cookie.
CREATE TABLE devices (
    id      BLOB PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_by_user ON devices (user_id, seen_at);
",
    ],
};

/// The server's own tables.
#[derive(Clone, Debug)]
pub(crate) struct Accounts(pub(crate) Database);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Organisation {
    pub(crate) id: String,
    pub(crate) slug: String,
    pub(crate) name: String,
}

#[derive(Clone)]
pub(crate) struct User {
    /// A UUID: the subject of tokens.
    pub(crate) id: String,
    pub(crate) organisation: Organisation,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) is_admin: bool,
    pub(crate) is_disabled: bool,
    pub(crate) valid_from: Time,
    /// Standard claims but for `sub` and the e-mail.
    pub(crate) claims: Claims,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a person may, as far as that is to change.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rights {
    pub(crate) is_admin: Option<bool>,
    pub(crate) is_disabled: Option<bool>,
}

/// A person to be added.
pub(crate) struct NewUser {
    pub(crate) email: String,
    /// The PHC string.
    pub(crate) password: String,
    pub(crate) is_admin: bool,
    pub(crate) claims: Claims,
}

/// Why nothing was added.
enum NotAdded {
    Taken(String),
    Failed(StoreFailed),
}

impl From<grantor_sqlite::WriteError> for NotAdded {
    fn from(error: grantor_sqlite::WriteError) -> Self {
        NotAdded::Failed(error.into())
    }
}

impl From<rusqlite::Error> for NotAdded {
    fn from(error: rusqlite::Error) -> Self {
        NotAdded::Failed(error.into())
    }
}

impl Accounts {
    pub(crate) fn open(path: &std::path::Path) -> Result<Self, OpenError> {
        Database::open(path, SCHEMA).map(Self)
    }

    /// What this folder is for: the first one that asks makes it its own. The answer is what stands.
    pub(crate) async fn claim(&self, name: &str, value: &str) -> Result<String, StoreFailed> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.0
            .write(move |connection| {
                let sql = "INSERT INTO settings VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                connection.execute(sql, [&name, &value])?;
                let sql = "SELECT value FROM settings WHERE name = ?1";
                Ok(connection.query_row(sql, [&name], |row| row.get(0))?)
            })
            .await
    }

    /// Remembers something about this folder.
    pub(crate) async fn set(&self, name: &str, value: &str) -> Result<(), StoreFailed> {
        let row = [name.to_owned(), value.to_owned()];
        self.0
            .write(move |connection| {
                connection.execute("REPLACE INTO settings VALUES (?1, ?2)", row)?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn setting(&self, name: &str) -> Result<Option<String>, StoreFailed> {
        let name = name.to_owned();
        self.0
            .read(move |connection| {
                let sql = "SELECT value FROM settings WHERE name = ?1";
                Ok(connection.query_row(sql, [name], |row| row.get(0)).optional()?)
            })
            .await
    }

    /// Everybody, of all organisations.
    pub(crate) async fn user_ids(&self) -> Result<Vec<String>, StoreFailed> {
        self.0
            .read(|connection| {
                let mut statement = connection.prepare("SELECT id FROM users ORDER BY id")?;
                let ids = statement.query_map([], |row| row.get(0))?;
                Ok(ids.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Whether nobody was ever added.
    pub(crate) async fn is_empty(&self) -> Result<bool, StoreFailed> {
        self.0
            .read(|connection| {
                let sql = "SELECT NOT EXISTS (SELECT 1 FROM organisations)";
                Ok(connection.query_row(sql, [], |row| row.get(0))?)
            })
            .await
    }

    /// Adds an organisation and its first people as one act: there is never an organisation that
    /// nobody can administer. The sentence says what is taken.
    pub(crate) async fn add_organisation(
        &self,
        slug: &str,
        name: &str,
        people: Vec<NewUser>,
    ) -> Result<Result<Organisation, String>, StoreFailed> {
        let (slug, name) = (slug.to_owned(), name.to_owned());
        let organisation = Organisation { id: new_uuid(), slug, name };
        let added = self.0.write(move |connection| {
            let mut added = Vec::new();
            let sql = "INSERT INTO organisations (id, slug, name) VALUES (?1, ?2, ?3)
                       ON CONFLICT DO NOTHING";
            let Organisation { id, slug, name } = &organisation;
            if connection.execute(sql, [id, slug, name])? == 0 {
                return Err(NotAdded::Taken(format!("the organisation {slug:?}")));
            }
            for new in people {
                let email = new.email.clone();
                let Some(user) = insert_user(connection, id, new)? else {
                    return Err(NotAdded::Taken(format!("the user {email:?}")));
                };
                added.push(user);
            }
            Ok((organisation, added))
        });
        match added.await {
            Ok((organisation, added)) => {
                audit!("organisation.created", organisation = organisation.id, "made");
                added.iter().for_each(Added::tell);
                Ok(Ok(organisation))
            }
            Err(NotAdded::Taken(what)) => Ok(Err(what)),
            Err(NotAdded::Failed(error)) => Err(error),
        }
    }

    /// Adds a person. False when the e-mail is taken.
    pub(crate) async fn add_user(
        &self,
        organisation: &Organisation,
        new: NewUser,
    ) -> Result<bool, StoreFailed> {
        let id = organisation.id.clone();
        let added = self
            .0
            .write(move |connection| Ok::<_, StoreFailed>(insert_user(connection, &id, new)?));
        let added = added.await?;
        added.iter().for_each(Added::tell);
        Ok(added.is_some())
    }

    /// A page of an organisation's people whose e-mail contains `part`, by e-mail; `page` begins at 1.
    /// And how many there are.
    pub(crate) async fn users(
        &self,
        organisation: &Organisation,
        part: &str,
        page: u32,
        size: usize,
    ) -> Result<(Vec<User>, u64), StoreFailed> {
        let (id, part) = (organisation.id.clone(), canonical(part));
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let before = size.saturating_mul(i64::from(page.saturating_sub(1)));
        self.0
            .read(move |connection| {
                let matching = "organisation_id = ?1 AND instr(email, ?2) > 0";
                let sql = format!("SELECT count(*) FROM users WHERE {matching}");
                let total: i64 = connection.query_row(&sql, [&id, &part], |row| row.get(0))?;
                let sql =
                    format!("{SELECT_USER} WHERE {matching} ORDER BY email LIMIT ?3 OFFSET ?4");
                let mut statement = connection.prepare_cached(&sql)?;
                let users = statement.query_map(params![id, part, size, before], read_user)?;
                Ok((users.collect::<Result<_, _>>()?, total.unsigned_abs()))
            })
            .await
    }

    /// Changes what is named of a person: their claims, of which `null` takes one away, and what they may. False, and
    /// nothing is changed, when nobody would be left to administer their organisation.
    pub(crate) async fn change_user(
        &self,
        id: &str,
        change: Claims,
        rights: Rights,
        now: Time,
    ) -> Result<bool, StoreFailed> {
        let subject = id.to_owned();
        let is_changed: Result<bool, StoreFailed> = self
            .0
            .write(move |connection| {
                let Some(mut user) = user(connection, "users.id", &subject)? else {
                    return Ok(true);
                };
                let is_admin = rights.is_admin.unwrap_or(user.is_admin);
                let is_disabled = rights.is_disabled.unwrap_or(user.is_disabled);
                let loses = user.is_admin && !user.is_disabled && (!is_admin || is_disabled);
                // Here, where nobody comes in between: two who take it from each other would leave none.
                if loses && !others_administer(connection, &user)? {
                    return Ok(false);
                }
                if !change.is_empty() {
                    claims::apply(&mut user.claims, change);
                    user.claims.insert("updated_at".into(), now.secs().into());
                }
                let sql =
                    "UPDATE users SET claims = ?2, is_admin = ?3, is_disabled = ?4 WHERE id = ?1";
                let claims = Value::Object(user.claims).to_string();
                connection.execute(sql, params![subject, claims, is_admin, is_disabled])?;
                Ok(true)
            })
            .await;
        if matches!(is_changed, Ok(true)) {
            audit!(
                "user.changed",
                subject = id,
                is_admin = rights.is_admin,
                "a person was changed"
            );
        }
        is_changed
    }

    /// Ends a person's sessions and moves their barrier, so that nothing that they hold works any
    /// more; and locks them out or lets them in, or changes their password, in the same act. Their
    /// id, or `None` when there is nobody of this address.
    pub(crate) async fn end_everything(
        &self,
        email: &str,
        disable: Option<bool>,
        password: Option<String>,
        now: Time,
    ) -> Result<Option<String>, StoreFailed> {
        let email = canonical(email);
        // What began in this very millisecond is older than the barrier too.
        let valid_from = now.plus(Duration::from_millis(1));
        self.0
            .write(move |connection| {
                let Some(user) = user(connection, "users.email", &email)? else { return Ok(None) };
                let sql = "UPDATE users SET is_disabled = ?2, password = ?3, valid_from = ?4
                           WHERE id = ?1";
                let is_disabled = disable.unwrap_or(user.is_disabled);
                if password.is_some() {
                    // Whoever knew the old password may have signed in, and is not known any more.
                    let sql = "DELETE FROM devices WHERE user_id = ?1";
                    connection.execute(sql, [&user.id])?;
                }
                let password = password.unwrap_or(user.password);
                let row = params![user.id, is_disabled, password, valid_from.millis()];
                connection.execute(sql, row)?;
                connection.execute("DELETE FROM sessions WHERE user_id = ?1", [&user.id])?;
                Ok(Some(user.id))
            })
            .await
    }

    /// Keeps a password under another hash of it, unless it was replaced meanwhile.
    pub(crate) async fn rehash(&self, user: &User, hash: String) -> Result<(), StoreFailed> {
        let (id, old) = (user.id.clone(), user.password.clone());
        self.0
            .write(move |connection| {
                let sql = "UPDATE users SET password = ?3 WHERE id = ?1 AND password = ?2";
                connection.execute(sql, [id, old, hash])?;
                Ok(())
            })
            .await
    }

    pub(crate) async fn organisation(
        &self,
        slug: &str,
    ) -> Result<Option<Organisation>, StoreFailed> {
        let slug = slug.to_owned();
        self.0
            .read(move |connection| {
                let sql = "SELECT id, slug, name FROM organisations WHERE slug = ?1";
                let found = connection.query_row(sql, [slug], |row| {
                    Ok(Organisation { id: row.get(0)?, slug: row.get(1)?, name: row.get(2)? })
                });
                Ok(found.optional()?)
            })
            .await
    }

    pub(crate) async fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreFailed> {
        self.user("users.email", canonical(email)).await
    }

    pub(crate) async fn user_by_id(&self, id: &str) -> Result<Option<User>, StoreFailed> {
        self.user("users.id", id.to_owned()).await
    }

    async fn user(&self, column: &'static str, key: String) -> Result<Option<User>, StoreFailed> {
        self.0.read(move |connection| Ok(user(connection, column, &key)?)).await
    }
}

const SELECT_USER: &str = "SELECT users.id, organisations.id, slug, name, email, password,
        is_admin, is_disabled, valid_from, claims
     FROM users JOIN organisations ON organisations.id = organisation_id";

fn user(connection: &Connection, column: &str, key: &str) -> rusqlite::Result<Option<User>> {
    let sql = format!("{SELECT_USER} WHERE {column} = ?1");
    connection.prepare_cached(&sql)?.query_row([key], read_user).optional()
}

/// Whether somebody else can administer a person's organisation.
fn others_administer(connection: &Connection, user: &User) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM users
               WHERE organisation_id = ?1 AND id <> ?2 AND is_admin AND NOT is_disabled)";
    connection.query_row(sql, [&user.organisation.id, &user.id], |row| row.get(0))
}

/// A person who has just been added.
struct Added {
    id: String,
    is_admin: bool,
}

impl Added {
    fn tell(&self) {
        audit!("user.created", subject = self.id, is_admin = self.is_admin, "a person was added");
    }
}

/// `None` when the e-mail is taken.
fn insert_user(
    connection: &Connection,
    organisation_id: &str,
    new: NewUser,
) -> rusqlite::Result<Option<Added>> {
    let sql = "INSERT INTO users (id, organisation_id, email, password, is_admin, claims)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    let (email, claims) = (canonical(&new.email), Value::Object(new.claims).to_string());
    let added = Added { id: new_uuid(), is_admin: new.is_admin };
    let row = params![added.id, organisation_id, email, new.password, new.is_admin, claims];
    Ok((connection.execute(sql, row)? > 0).then_some(added))
}

fn read_user(row: &Row<'_>) -> rusqlite::Result<User> {
    let claims: String = row.get(9)?;
    Ok(User {
        id: row.get(0)?,
        organisation: Organisation { id: row.get(1)?, slug: row.get(2)?, name: row.get(3)? },
        email: row.get(4)?,
        password: row.get(5)?,
        is_admin: row.get(6)?,
        is_disabled: row.get(7)?,
        valid_from: Time::from_millis(row.get(8)?),
        claims: serde_json::from_str(&claims).unwrap_or_default(),
    })
}

impl User {
    /// The name that people are shown.
    pub(crate) fn name(&self) -> &str {
        self.claim("name").unwrap_or(&self.email)
    }

    pub(crate) fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }
}

/// What is certainly no address is refused; whether it is one, only a message to it would tell.
pub(crate) fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && text.len() <= 254
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// One spelling for an address, so that one account has one. Not the whole of Unicode: an address
/// with letters beyond ASCII is compared as it was written.
pub(crate) fn canonical(email: &str) -> String {
    email.trim().to_ascii_lowercase()
}

fn new_uuid() -> String {
    Uuid::from_u128(random_u128()).to_string()
}

/// A new client's id: machine-made, so that clients and people stay apart in the `sub` of tokens,
/// and of characters that need no encoding anywhere. The UUID in it is the id of the record.
pub(crate) fn new_client_id() -> String {
    format!("{CLIENT_ID_PREFIX}{}", Uuid::from_u128(random_u128()).simple())
}

/// What client ids begin with.
pub(crate) const CLIENT_ID_PREFIX: &str = "client_";

/// A random (version 4) UUID's bits.
pub(crate) fn random_u128() -> u128 {
    let mut bytes = [0; 16];
    // Without randomness nothing may be named: the process cannot go on.
    #[expect(clippy::expect_used, reason = "a predictable id is worse than a stopped server")]
    grantor::Environment::fill(&grantor::SystemEnvironment, &mut bytes)
        .expect("the operating system gives randomness");
    let version_4 = uuid::Builder::from_random_bytes(bytes).into_uuid();
    version_4.as_u128()
}

#[async_trait]
impl Subjects for Accounts {
    async fn status(&self, subject: &str) -> Result<SubjectStatus, SubjectError> {
        Ok(match self.user_by_id(subject).await.map_err(SubjectError::new)? {
            Some(user) if !user.is_disabled => {
                SubjectStatus::Active { valid_from: user.valid_from }
            }
            _ => SubjectStatus::Disabled,
        })
    }

    async fn claims(&self, subject: &str) -> Result<Claims, SubjectError> {
        let user = self.user_by_id(subject).await.map_err(SubjectError::new)?;
        let Some(User { email, mut claims, .. }) = user else { return Ok(Claims::new()) };
        claims.insert("email".into(), email.into());
        Ok(claims)
    }

    async fn token_claims(&self, subject: &str) -> Result<Claims, SubjectError> {
        let user = self.user_by_id(subject).await.map_err(SubjectError::new)?;
        let mut claims = Claims::new();
        if let Some(user) = user {
            claims.insert("org_id".into(), user.organisation.id.into());
        }
        Ok(claims)
    }
}
