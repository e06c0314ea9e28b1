//! A shop as there are many: users and orders in SQLite, a session cookie, a few pages.
//!
//! It is what the examples `embed-axum` and `embed-actix` begin with. Nothing in it knows that the shop
//! will become an identity provider.

pub mod pages;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use rand::RngExt as _;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The shop. Clones share it.
#[derive(Clone, Debug)]
pub struct Shop(Arc<Mutex<Connection>>);

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct User {
    /// A number that is never used again.
    pub id: i64,
    /// Where they get their bills.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// They did not pay.
    pub is_blocked: bool,
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Who it is.
    pub user: User,
    /// The row of the session: a hash of the cookie.
    pub session: String,
    /// When they gave their password.
    pub since: DateTime<Utc>,
}

/// What somebody has bought.
#[derive(Clone, Debug, Serialize)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// The article.
    pub article: String,
}

/// How long a session lives.
const SESSION: chrono::TimeDelta = chrono::TimeDelta::hours(12);

/// The name of the session cookie.
pub const COOKIE: &str = "shop";

impl Shop {
    /// Opens the shop's database, making it when needed.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(path: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS users (
                 id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
                 password TEXT NOT NULL, is_blocked INTEGER NOT NULL DEFAULT 0);
             CREATE TABLE IF NOT EXISTS sessions (
                 id TEXT PRIMARY KEY, user_id INTEGER NOT NULL, since INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS orders (
                 id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, article TEXT NOT NULL);",
        )?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a user with an order or two; false when there is one of this address.
    ///
    /// # Errors
    /// SQLite's.
    pub fn add_user(&self, email: &str, name: &str, password: &str) -> rusqlite::Result<bool> {
        let Ok(hash) = Argon2::default().hash_password(password.as_bytes()) else {
            return Ok(false);
        };
        let database = self.database();
        let sql = "INSERT OR IGNORE INTO users (email, name, password) VALUES (?1, ?2, ?3)";
        if database.execute(sql, params![email, name, hash.to_string()])? == 0 {
            return Ok(false);
        }
        let user = database.last_insert_rowid();
        let sql = "INSERT INTO orders (user_id, article) VALUES (?1, 'A lamp'), (?1, 'A chair')";
        database.execute(sql, [user])?;
        Ok(true)
    }

    /// The user of this id.
    ///
    /// # Errors
    /// SQLite's.
    pub fn user(&self, id: i64) -> rusqlite::Result<Option<User>> {
        let sql = "SELECT id, email, name, is_blocked FROM users WHERE id = ?1";
        self.database().query_row(sql, [id], user).optional()
    }

    /// Signs somebody in; the value of their cookie.
    ///
    /// # Errors
    /// SQLite's.
    pub fn sign_in(&self, email: &str, password: &str) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT id, password FROM users WHERE email = ?1 AND NOT is_blocked";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let found = self.database().query_row(sql, [email], read).optional()?;
        let Some((id, hash)) = found else { return Ok(None) };
        let is_right = PasswordHash::new(&hash).is_ok_and(|hash| {
            Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
        });
        if !is_right {
            return Ok(None);
        }
        let cookie = BASE64_URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 32]>());
        let sql = "INSERT INTO sessions (id, user_id, since) VALUES (?1, ?2, ?3)";
        let row = params![row_of(&cookie), id, Utc::now().timestamp_millis()];
        self.database().execute(sql, row)?;
        Ok(Some(cookie))
    }

    /// Who a cookie belongs to.
    ///
    /// # Errors
    /// SQLite's.
    pub fn visit(&self, cookie: &str) -> rusqlite::Result<Option<Visit>> {
        let sql = "SELECT users.id, email, name, is_blocked, since FROM sessions
                   JOIN users ON users.id = user_id
                   WHERE sessions.id = ?1 AND since > ?2 AND NOT is_blocked";
        let session = row_of(cookie);
        let since = (Utc::now() - SESSION).timestamp_millis();
        let read = |row: &Row<'_>| Ok((user(row)?, row.get::<_, i64>(4)?));
        let found = self.database().query_row(sql, params![session, since], read).optional()?;
        Ok(found.map(|(user, since)| {
            let since = DateTime::from_timestamp_millis(since).unwrap_or_default();
            Visit { user, session, since }
        }))
    }

    /// Signs somebody out.
    ///
    /// # Errors
    /// SQLite's.
    pub fn sign_out(&self, cookie: &str) -> rusqlite::Result<()> {
        self.database().execute("DELETE FROM sessions WHERE id = ?1", [row_of(cookie)])?;
        Ok(())
    }

    /// What a user has bought.
    ///
    /// # Errors
    /// SQLite's.
    pub fn orders(&self, user: i64) -> rusqlite::Result<Vec<Order>> {
        let database = self.database();
        let mut orders = database.prepare("SELECT id, article FROM orders WHERE user_id = ?1")?;
        let read = |row: &Row<'_>| Ok(Order { id: row.get(0)?, article: row.get(1)? });
        orders.query_map([user], read)?.collect()
    }
}

impl Visit {
    /// A value for the shop's forms that no other site can know.
    #[must_use]
    pub fn form_token(&self) -> String {
        row_of(&format!("form {}", self.session))
    }
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: row.get(0)?, email: row.get(1)?, name: row.get(2)?, is_blocked: row.get(3)? })
}

fn row_of(cookie: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(cookie))
}

/// The session cookie in a `Cookie` header.
#[must_use]
pub fn cookie_in(header: Option<&str>) -> Option<&str> {
    let mut pairs = header?.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// The `Set-Cookie` header of a session; of none, to sign out.
#[must_use]
pub fn set_cookie(value: Option<&str>) -> String {
    match value {
        Some(value) => format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax"),
        None => format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"),
    }
}

/// Where to go after signing in: a path of the shop, and nothing else.
#[must_use]
pub fn next_of(wanted: Option<&str>) -> &str {
    // Browsers take a backslash for a slash, and leave out tabs: `/\\evil.example` is elsewhere.
    let is_plain = |path: &str| path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let is_here = |path: &&str| path.starts_with('/') && !path.starts_with("//") && is_plain(path);
    wanted.filter(is_here).unwrap_or("/")
}

/// Whether a form was sent by another site's page, by the browser's word (`Sec-Fetch-Site`): nobody
/// else may sign people in or out.
#[must_use]
pub fn is_foreign(sec_fetch_site: Option<&str>) -> bool {
    sec_fetch_site.is_some_and(|site| !["same-origin", "none"].contains(&site))
}

/// Where to listen: `SHOP_LISTEN`, or port 4000 of this machine.
///
/// # Errors
/// When it is no address.
pub fn address() -> Result<SocketAddr, std::net::AddrParseError> {
    std::env::var("SHOP_LISTEN").as_deref().unwrap_or("127.0.0.1:4000").parse()
}

/// A setting that has no default.
///
/// # Errors
/// When it is not set.
pub fn setting(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("set {name}: the README says to what"))
}

/// The query of the login page.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    /// Where to go afterwards.
    pub next: Option<String>,
}

/// The login form.
#[derive(Deserialize)]
pub struct Login {
    /// Who they say they are.
    pub email: String,
    /// How they prove it.
    pub password: String,
    /// Where to go afterwards.
    pub next: Option<String>,
}

/// What to tell who starts the shop: at the first start a user is made.
///
/// # Errors
/// SQLite's.
pub fn first_user(shop: &Shop) -> rusqlite::Result<String> {
    let password = BASE64_URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 12]>());
    Ok(match shop.add_user("ann@example.com", "Ann Example", &password)? {
        true => format!("Sign in as ann@example.com with the password {password}"),
        false => "Sign in as ann@example.com with the password of the first start".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        for here in ["/", "/connect?ticket=abc"] {
            assert_eq!(next_of(Some(here)), here);
        }
        for elsewhere in
            ["//evil.example", "/\\evil.example", "/\t/evil.example", "https://evil.example", ""]
        {
            assert_eq!(next_of(Some(elsewhere)), "/");
        }
    }
}
