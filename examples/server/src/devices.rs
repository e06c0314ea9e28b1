//! Browsers in which a person has signed in before. Whoever guesses a password from many networks uses up the tries of
//! its account; the owner still gets in from a browser that is known.
//!
//! The cookie opens nothing: it only says whose tries are counted apart.

use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantor::{Environment as _, Secret, SystemEnvironment, Time};
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use crate::accounts::{Accounts, User, canonical};
use crate::error::StoreFailed;
use crate::session::cookies_named;

const COOKIE_NAME: &str = "cerb_device";

/// For how long a browser is known after the last time.
const KNOWN: Duration = Duration::from_secs(180 * 24 * 3600);

/// How many browsers of a person are known.
const MOST: i64 = 20;

/// A browser that is known for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Device([u8; 32]);

#[cfg(test)]
impl Device {
    pub(crate) fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Knows browsers again.
#[derive(Clone, Debug)]
pub(crate) struct Devices {
    accounts: Accounts,
    secure: bool,
}

impl Devices {
    pub(crate) fn new(accounts: Accounts, secure: bool) -> Self {
        Self { accounts, secure }
    }

    /// The browser of a request, if somebody has signed in to this very account in it.
    pub(crate) async fn known(
        &self,
        headers: &HeaderMap,
        email: &str,
        now: Time,
    ) -> Result<Option<Device>, StoreFailed> {
        let Some(device) = presented(headers) else { return Ok(None) };
        let (email, since) = (canonical(email), now.minus(KNOWN).millis());
        self.accounts
            .0
            .read(move |connection| {
                let sql = "SELECT 1 FROM devices JOIN users ON users.id = user_id
                           WHERE devices.id = ?1 AND email = ?2 AND seen_at > ?3";
                let mut statement = connection.prepare_cached(sql)?;
                let found = statement.query_row(params![device.0, email, since], |_| Ok(device));
                Ok(found.optional()?)
            })
            .await
    }

    /// Knows this browser from now on, because its person has just signed in. The cookie to set, when it had none of
    /// this account: one that somebody else may have planted is not taken over.
    pub(crate) async fn remember(
        &self,
        user: &User,
        headers: &HeaderMap,
        now: Time,
    ) -> Result<Option<String>, StoreFailed> {
        let mut bytes = [0; 16];
        // Without it the browser is not known the next time, and that is all.
        if SystemEnvironment.fill(&mut bytes).is_err() {
            return Ok(None);
        }
        let token = Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let (fresh, before) = (device(token.expose()), presented(headers));
        let (user_id, now, secure) = (user.id.clone(), now.millis(), self.secure);
        let is_new = self.accounts.0.write(move |connection| {
            let sql = "UPDATE devices SET seen_at = ?3 WHERE id = ?1 AND user_id = ?2";
            if let Some(before) = before
                && connection.execute(sql, params![before.0, user_id, now])? > 0
            {
                return Ok::<_, StoreFailed>(false);
            }
            let sql = "INSERT INTO devices (id, user_id, seen_at) VALUES (?1, ?2, ?3)";
            connection.execute(sql, params![fresh.0, user_id, now])?;
            let sql = "DELETE FROM devices WHERE user_id = ?1 AND id NOT IN
                       (SELECT id FROM devices WHERE user_id = ?1 ORDER BY seen_at DESC LIMIT ?2)";
            connection.execute(sql, params![user_id, MOST])?;
            Ok(true)
        });
        Ok(is_new.await?.then(|| {
            let (secure, max_age) = (if secure { "; Secure" } else { "" }, KNOWN.as_secs());
            let token = token.expose();
            format!(
                "{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}"
            )
        }))
    }
}

fn presented(headers: &HeaderMap) -> Option<Device> {
    cookies_named(headers, COOKIE_NAME).next().map(|token| device(token.expose()))
}

/// At rest is a hash, as of sessions.
fn device(token: &str) -> Device {
    Device(Sha256::digest(token.as_bytes()).into())
}
