//! Organisations and people.

use async_trait::async_trait;
use grantor::{Claims, SubjectError, SubjectStatus, Subjects, Time};
use grantor_sqlite::{Database, OpenError, Schema};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreFailed;

/// The server's own tables, apart from the engine's.
const SCHEMA: Schema = Schema {
    application_id: 0x4752_4e53,
    migrations: &["
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
    user_agent TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_end ON sessions (expires_at);
"],
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

#[derive(Clone, Debug)]
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

/// A person to be added.
pub(crate) struct NewUser<'a> {
    pub(crate) organisation: &'a Organisation,
    pub(crate) email: &'a str,
    /// The PHC string.
    pub(crate) password: String,
    pub(crate) is_admin: bool,
    pub(crate) claims: Claims,
}

impl Accounts {
    pub(crate) fn open(path: &std::path::Path) -> Result<Self, OpenError> {
        Database::open(path, SCHEMA).map(Self)
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

    /// Adds an organisation. `None` when the slug is taken.
    pub(crate) async fn add_organisation(
        &self,
        slug: &str,
        name: &str,
    ) -> Result<Option<Organisation>, StoreFailed> {
        let organisation =
            Organisation { id: new_uuid(), slug: slug.to_owned(), name: name.to_owned() };
        self.0
            .write(move |connection| {
                let sql = "INSERT INTO organisations (id, slug, name) VALUES (?1, ?2, ?3)
                           ON CONFLICT DO NOTHING";
                let Organisation { id, slug, name } = &organisation;
                let added = connection.execute(sql, [id, slug, name])?;
                Ok((added > 0).then_some(organisation))
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

    /// Adds a person and returns their id. `None` when the e-mail is taken.
    pub(crate) async fn add_user(&self, new: NewUser<'_>) -> Result<Option<String>, StoreFailed> {
        let id = new_uuid();
        let claims = Value::Object(new.claims).to_string();
        let (organisation_id, email) = (new.organisation.id.clone(), canonical(new.email));
        let (password, is_admin) = (new.password, new.is_admin);
        self.0
            .write(move |connection| {
                let sql = "INSERT INTO users
                           (id, organisation_id, email, password, is_admin, claims)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
                let row = params![id, organisation_id, email, password, is_admin, claims];
                let added = connection.execute(sql, row)?;
                Ok((added > 0).then_some(id))
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

fn user(connection: &Connection, column: &str, key: &str) -> rusqlite::Result<Option<User>> {
    let sql = format!(
        "SELECT users.id, organisations.id, slug, name, email, password, is_admin, is_disabled,
                valid_from, claims
         FROM users JOIN organisations ON organisations.id = organisation_id
         WHERE {column} = ?1"
    );
    connection.prepare_cached(&sql)?.query_row([key], read_user).optional()
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

/// One spelling for an address, so that one account has one. Not the whole of Unicode: an address
/// with letters beyond ASCII is compared as it was written.
fn canonical(email: &str) -> String {
    email.trim().to_ascii_lowercase()
}

fn new_uuid() -> String {
    Uuid::from_u128(random_u128()).to_string()
}

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
