//! Sessions: who is signed in at this server, by the cookie `cerb_sid`.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantor::{Environment as _, Secret, SystemEnvironment, Time};
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::accounts::{Accounts, User};
use crate::audit::audit;
use crate::config::Lifetimes;
use crate::error::StoreFailed;
use crate::origin::Peer;

/// The cookie's name. It is part of the documented contract, so it has no `__Host-` prefix; the
/// attributes are the ones that the prefix would demand.
pub(crate) const COOKIE_NAME: &str = "cerb_sid";

/// The authentication context class of a session: a password was given. The name is SAML's, which OpenID Connect has
/// none of its own for.
pub(crate) const BY_PASSWORD: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password";

/// For how long a session that has ended is known, so that its applications can still be told.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many session cookies of one request are looked at when it ends them.
const MAX_NAMED: usize = 4;

/// How stale `last_seen` may be: a write per request would be a write per request.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// Opens, finds and ends sessions.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    accounts: Accounts,
    absolute: Duration,
    idle: Duration,
    secure: bool,
}

/// A session as its person sees it in a list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// As the engine sees it.
    pub(crate) session: grantor::Session,
    /// A part of a hash: it names the session and opens nothing.
    pub(crate) id: String,
    pub(crate) created_at: Time,
    pub(crate) last_seen: Time,
    pub(crate) expires_at: Time,
    pub(crate) user_agent: Option<String>,
    pub(crate) peer: Option<String>,
}

/// A live session.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    pub(crate) user: User,
    pub(crate) auth_time: Time,
    expires_at: Time,
    /// By which name the engine knows it. It stays when its person signs in again, so that the applications of the
    /// session are still those.
    engine_id: String,
    token: Secret,
    /// The cookie by which its browser is known from now on, when it was not.
    pub(crate) device: Option<String>,
}

impl Sessions {
    pub(crate) fn new(accounts: Accounts, lifetimes: &Lifetimes, secure: bool) -> Self {
        let absolute = Duration::from_secs(lifetimes.session);
        let idle = Duration::from_secs(lifetimes.session_idle);
        Self { accounts, absolute, idle, secure }
    }

    /// Starts a session for a person who has just proved who they are. It always has a new id: an
    /// id that somebody planted before the login is worth nothing. `before` is this browser's session until now, which
    /// it goes on when it is the same person's.
    pub(crate) async fn open(
        &self,
        user: User,
        Peer(peer): Peer,
        headers: &HeaderMap,
        now: Time,
        before: Option<SignedIn>,
    ) -> Result<SignedIn, StoreFailed> {
        let mut bytes = [0; 32];
        #[expect(clippy::expect_used, reason = "a predictable session is worse than none")]
        SystemEnvironment.fill(&mut bytes).expect("the operating system gives randomness");
        let token = Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let agent = headers.get("user-agent").and_then(|value| value.to_str().ok());
        let agent = agent.map(|agent| agent.chars().take(200).collect::<String>());
        let (id, user_id) = (row_id(token.expose()), user.id.clone());
        let peer = peer.map(|peer| peer.to_string());
        let expires_at = now.plus(self.absolute);
        let before = before.filter(|before| before.user.id == user.id);
        let engine_id = before.map_or_else(|| engine_id(&id), |before| before.engine_id);
        let kept = engine_id.clone();
        self.accounts
            .0
            .write(move |connection| {
                // Sessions that ended are swept here, a few at a time, when nobody comes back to sign out of them any
                // more.
                let sql = "DELETE FROM sessions WHERE id IN
                           (SELECT id FROM sessions WHERE expires_at < ?1 LIMIT 20)";
                connection.execute(sql, [now.minus(KEPT).millis()])?;
                let sql = "INSERT INTO sessions
                           (id, user_id, auth_time, last_seen, expires_at, user_agent, peer, engine_id)
                           VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7)";
                let (from, until) = (now.millis(), expires_at.millis());
                let row = params![id, user_id, from, until, agent, peer, kept];
                connection.execute(sql, row)?;
                Ok::<_, StoreFailed>(())
            })
            .await?;
        Ok(SignedIn { user, auth_time: now, expires_at, engine_id, token, device: None })
    }

    /// The session of a request, if it has one that lives.
    pub(crate) async fn find(
        &self,
        headers: &HeaderMap,
        now: Time,
    ) -> Result<Option<SignedIn>, StoreFailed> {
        let Some(token) = cookie(headers) else { return Ok(None) };
        let Some((session, last_seen)) = self.read(token).await? else { return Ok(None) };
        if now >= session.expires_at || now >= last_seen.plus(self.idle) {
            return Ok(None);
        }
        // Disabling a person, or moving their barrier, ends their sessions at once.
        if session.user.is_disabled || session.auth_time < session.user.valid_from {
            return Ok(None);
        }
        if now.since(last_seen) >= SEEN_EVERY.min(self.idle / 4) {
            let id = row_id(session.token.expose());
            let seen = move |connection: &rusqlite::Connection| {
                let sql = "UPDATE sessions SET last_seen = ?2 WHERE id = ?1";
                connection.execute(sql, params![id, now.millis()])?;
                Ok::<_, StoreFailed>(())
            };
            self.accounts.0.write(seen).await?;
        }
        Ok(Some(session))
    }

    /// The sessions that a request names, also one whose time has run out, and several where somebody has planted a
    /// cookie beside the person's own: they open nothing, but their person may still want them to end.
    pub(crate) async fn named(&self, headers: &HeaderMap) -> Result<Vec<SignedIn>, StoreFailed> {
        let mut named = Vec::new();
        for token in cookies(headers).take(MAX_NAMED) {
            named.extend(self.read(token).await?.map(|(session, _)| session));
        }
        Ok(named)
    }

    /// What the table has of a session, and when it was last seen.
    async fn read(&self, token: Secret) -> Result<Option<(SignedIn, Time)>, StoreFailed> {
        let id = row_id(token.expose());
        let sql = "SELECT user_id, auth_time, last_seen, expires_at, engine_id
                   FROM sessions WHERE id = ?1";
        let read = move |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let row = statement.query_row([id], |row| {
                let time = |at| Ok::<_, rusqlite::Error>(Time::from_millis(row.get(at)?));
                let engine_id = row.get::<_, Option<String>>(4)?;
                Ok((row.get::<_, String>(0)?, time(1)?, time(2)?, time(3)?, engine_id))
            });
            Ok::<_, StoreFailed>(row.optional()?)
        };
        let found = self.accounts.0.read(read).await?;
        let Some((user_id, auth_time, last_seen, expires_at, kept)) = found else {
            return Ok(None);
        };
        let engine_id = kept.unwrap_or_else(|| engine_id(&id));
        let user = self.accounts.user_by_id(&user_id).await?;
        let session =
            |user| SignedIn { user, auth_time, expires_at, engine_id, token, device: None };
        Ok(user.map(|user| (session(user), last_seen)))
    }

    /// Ends a session.
    pub(crate) async fn end(&self, session: &SignedIn) -> Result<(), StoreFailed> {
        let id = row_id(session.token.expose());
        self.accounts
            .0
            .write(move |connection| {
                connection.execute("DELETE FROM sessions WHERE id = ?1", [id])?;
                Ok(())
            })
            .await
    }

    /// A person's live sessions, the newest first.
    pub(crate) async fn list(&self, user: &User, now: Time) -> Result<Vec<Listed>, StoreFailed> {
        let (user_id, valid_from, idle) = (user.id.clone(), user.valid_from, self.idle);
        self.accounts
            .0
            .read(move |connection| {
                let sql = "SELECT id, auth_time, last_seen, expires_at, user_agent, peer, engine_id
                           FROM sessions WHERE user_id = ?1 AND expires_at > ?2
                             AND last_seen > ?3 AND auth_time >= ?4
                           ORDER BY auth_time DESC LIMIT 200";
                let (now, seen) = (now.millis(), now.minus(idle).millis());
                let mut statement = connection.prepare_cached(sql)?;
                let key = params![user_id, now, seen, valid_from.millis()];
                let listed = statement.query_map(key, |row| {
                    let time = |at| Ok::<_, rusqlite::Error>(Time::from_millis(row.get(at)?));
                    let id: [u8; 32] = row.get(0)?;
                    Ok(Listed {
                        session: to_engine(&user_id, &id, row.get(6)?, time(1)?),
                        id: public_id(&id),
                        created_at: time(1)?,
                        last_seen: time(2)?,
                        expires_at: time(3)?,
                        user_agent: row.get(4)?,
                        peer: row.get(5)?,
                    })
                })?;
                Ok(listed.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// One of a person's sessions, as the engine sees it.
    pub(crate) async fn one(
        &self,
        user: &User,
        id: &str,
    ) -> Result<Option<grantor::Session>, StoreFailed> {
        let Some(id) = BASE64_URL_SAFE_NO_PAD.decode(id).ok().filter(|id| id.len() == 16) else {
            return Ok(None);
        };
        let user_id = user.id.clone();
        self.accounts
            .0
            .read(move |connection| {
                let sql = "SELECT id, engine_id, auth_time FROM sessions
                           WHERE user_id = ?1 AND substr(id, 1, 16) = ?2";
                let mut statement = connection.prepare_cached(sql)?;
                let row = statement.query_row(params![user_id, id], |row| {
                    let auth_time = Time::from_millis(row.get(2)?);
                    Ok(to_engine(&user_id, &row.get(0)?, row.get(1)?, auth_time))
                });
                Ok(row.optional()?)
            })
            .await
    }

    /// Ends one of a person's sessions. False when they have none of this id.
    pub(crate) async fn end_one(&self, user: &User, id: &str) -> Result<bool, StoreFailed> {
        let Some(id) = BASE64_URL_SAFE_NO_PAD.decode(id).ok().filter(|id| id.len() == 16) else {
            return Ok(false);
        };
        let user_id = user.id.clone();
        self.accounts
            .0
            .write(move |connection| {
                let sql = "DELETE FROM sessions WHERE user_id = ?1 AND substr(id, 1, 16) = ?2";
                Ok(connection.execute(sql, params![user_id, id])? > 0)
            })
            .await
    }

    /// The cookie that carries the session.
    pub(crate) fn set_cookie(&self, session: &SignedIn) -> String {
        self.cookie(session.token.expose(), self.absolute.as_secs())
    }

    /// The cookie that takes it away.
    pub(crate) fn clear_cookie(&self) -> String {
        self.cookie("", 0)
    }

    /// Lax, not Strict: an authorization request is a navigation from another site. No `Domain`:
    /// a sibling application must not see it.
    fn cookie(&self, value: &str, max_age: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{COOKIE_NAME}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}")
    }
}

impl SignedIn {
    /// How [`Listed::id`] names this session.
    pub(crate) fn public_id(&self) -> String {
        public_id(&row_id(self.token.expose()))
    }

    /// The session as the engine sees it.
    pub(crate) fn to_engine(&self) -> grantor::Session {
        let mut session = grantor::Session::new(&self.user.id, &self.engine_id, self.auth_time);
        session.expires_at = Some(self.expires_at);
        session.amr = vec!["pwd".to_owned()];
        session.acr = Some(BY_PASSWORD.to_owned());
        session
    }

    /// A token for forms (and scripts) of this session: a page of another site cannot know it.
    pub(crate) fn csrf_token(&self, purpose: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(b"csrf\0");
        hash.update(self.token.expose().as_bytes());
        hash.update(b"\0");
        hash.update(purpose.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    pub(crate) fn is_csrf_token(&self, purpose: &str, presented: &str) -> bool {
        self.csrf_token(purpose).as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

/// The id that the engine gets of a session that goes on none: a hash already, which it hashes again for `sid`.
fn engine_id(row_id: &[u8; 32]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(row_id)
}

/// A session that a row tells of. `kept` is the name that it goes on under, if it goes on one.
fn to_engine(
    user_id: &str,
    row_id: &[u8; 32],
    kept: Option<String>,
    auth_time: Time,
) -> grantor::Session {
    let id = kept.unwrap_or_else(|| engine_id(row_id));
    grantor::Session::new(user_id, id, auth_time)
}

fn public_id(row_id: &[u8; 32]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(row_id.get(..16).unwrap_or_default())
}

/// At rest is a hash: who reads the table cannot take a session over.
fn row_id(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The session token of a request. Two cookies of the name count as none: one of them was planted,
/// by a page of a sibling domain.
fn cookie(headers: &HeaderMap) -> Option<Secret> {
    let mut found = cookies(headers);
    match (found.next(), found.next()) {
        (Some(token), None) => Some(token),
        (Some(_), Some(_)) => {
            audit!(
                "session.cookie_conflict",
                "a request came with two session cookies, and counts as nobody's"
            );
            None
        }
        (None, _) => None,
    }
}

/// The session tokens of a request. Cookies of others, whatever bytes they have, are passed over: a sibling domain can
/// set some that come along.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = Secret> {
    cookies_named(headers, COOKIE_NAME)
}

/// The values of the cookies of a name.
pub(crate) fn cookies_named<'a>(
    headers: &'a HeaderMap,
    wanted: &'a str,
) -> impl Iterator<Item = Secret> + 'a {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='))
        .filter(move |(name, value)| *name == wanted && (1..=128).contains(&value.len()))
        .map(|(_, value)| Secret::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_session_cookies_count_as_none() {
        let headers = |cookies: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, axum::http::HeaderValue::from_bytes(cookies).unwrap());
            headers
        };
        assert!(cookie(&headers(b"a=b; cerb_sid=x")).is_some());
        assert!(cookie(&headers(b"cerb_sid=x; cerb_sid=y")).is_none());
        assert!(cookie(&headers(b"xcerb_sid=x")).is_none());
        assert!(cookie(&headers(b"cerb_sid=")).is_none());
        // What others have set has no say.
        assert!(cookie(&headers(b"a=\xff; cerb_sid=x; \xfe")).is_some());
        assert!(cookie(&headers(b"cerb_sid=\xff")).is_none());
        assert_eq!(cookies(&headers(b"cerb_sid=x; cerb_sid=y")).count(), 2);
    }
}
