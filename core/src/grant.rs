//! The grant machine: the only place where a grant changes.
//!
//! One approval is one [`Grant`]. Its authorization code is generation 0, its refresh tokens are
//! generations 1, 2, 3 and so on. Redeeming a code, rotating a refresh token, detecting reuse and
//! revoking are the same act: compare the presented generation with the stored one, and move on.
//!
//! [`Grant::apply`] is pure. What to save and what to answer are two values, because a refusal can
//! be a durable write: a reused credential revokes the grant. A store loads, applies and saves,
//! atomically, and nothing else.
//!
//! ```text
//!   Approved ──Redeem──▶ Active{1} ──Refresh──▶ Active{2} ──▶ …
//!      │                    │  ▲                   │
//!      │                    │  └─ within the retry window: same answer, no write
//!      └──Revoke──┐         │ reuse or Revoke      │
//!                 ▼         ▼                      ▼
//!                           Revoked   (absorbing)
//! ```

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::env::Time;
use crate::issuer::Issuer;
use crate::mac;
use crate::scope::Scope;
use crate::token::claims_request::ClaimsByName;

/// The key of a grant in its store: a hash, so that nothing usable is at rest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId([u8; 32]);

impl GrantId {
    /// An id from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id of the grant behind a credential's handle. The issuer is hashed in, so a handle of
    /// one issuer never finds a grant of another in a shared store.
    pub(crate) fn of_handle(issuer: &Issuer, handle: &[u8; 16]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"grantor grant\0");
        hash.update(issuer.as_str().as_bytes());
        hash.update(b"\0");
        hash.update(handle);
        Self(hash.finalize().into())
    }

    /// The id of a mark: a record whose being there says that something has happened. The texts cannot run into each
    /// other; the first says what kind of mark it is.
    pub(crate) fn of_texts(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text);
        }
        Self(hash.finalize().into())
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A PKCE S256 code challenge (RFC 7636 section 4.2): the SHA-256 of the verifier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Challenge([u8; 32]);

impl Challenge {
    /// Reads the 43 base64url characters of an S256 challenge. Other lengths, padding and
    /// non-canonical last characters are refused: each challenge has one spelling.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The challenge as it stands in a request.
    #[must_use]
    pub fn to_text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What a client presents as its PKCE code verifier (RFC 7636 section 4.1).
///
/// A text that breaks the grammar (43 to 128 unreserved characters) is kept as one that answers no
/// challenge, so that it is refused in its turn, after the client and the expiry were checked.
#[derive(Clone)]
pub struct CodeVerifier(Option<[u8; 32]>);

impl CodeVerifier {
    /// Hashes a presented verifier at once; the text is not kept.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let sound = (43..=128).contains(&text.len()) && text.bytes().all(unreserved);
        Self(sound.then(|| Sha256::digest(text.as_bytes()).into()))
    }

    fn answers(&self, challenge: &Challenge) -> bool {
        self.0.is_some_and(|hash| mac::same(&hash, &challenge.0))
    }
}

impl fmt::Debug for CodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// One approval of one client by one subject, and all that follows from it.
///
/// All but [`Grant::state`] is fixed at approval: bindings never change and
/// [`Grant::expires_at`] never moves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The key of this grant.
    pub id: GrantId,
    /// The issuer that it belongs to.
    pub issuer: Issuer,
    /// The client that was approved.
    pub client_id: String,
    /// The person who approved.
    pub subject: String,
    /// What was granted.
    pub scope: Scope,
    /// Whom its access tokens are for (RFC 8707): some of what the client may reach, or empty for all of it.
    pub resources: Vec<String>,
    /// The claims that were granted by name, beside those of the scope (OpenID Connect Core section 5.5).
    pub claims: ClaimsByName,
    /// Where the code was sent.
    pub redirect_uri: String,
    /// Whether the request named its redirect URI. Then the token request must repeat it (RFC 6749
    /// section 4.1.3).
    pub redirect_uri_named: bool,
    /// The PKCE challenge of the request.
    pub challenge: Option<Challenge>,
    /// The `nonce` of the request, for the first ID token.
    pub nonce: Option<String>,
    /// When the person proved who they are.
    pub auth_time: Time,
    /// The authentication context class that was reached.
    pub acr: Option<String>,
    /// The authentication methods that were used (RFC 8176).
    pub amr: Vec<String>,
    /// The published session id: a hash of the host's.
    pub sid: Option<String>,
    /// When it was approved.
    pub approved_at: Time,
    /// When the authorization code ends. Nothing is granted at equality.
    pub code_expires_at: Time,
    /// How long an unused refresh token lives; `None` when none is issued.
    pub refresh_idle: Option<Duration>,
    /// When everything ends. No token of the grant outlives it.
    pub expires_at: Time,
    /// Where the grant stands.
    pub state: State,
}

/// Where a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Approved; its code is not redeemed.
    Approved,
    /// Redeemed; `generation` is the number of the live refresh token.
    Active {
        /// 1 after the code was redeemed, one more with each rotation.
        generation: u32,
        /// When the generation last moved.
        advanced_at: Time,
    },
    /// Ended. No step leads out of here.
    Revoked,
}

/// What somebody wants of a grant. Owned data, so that a call can be queued to a writer thread and
/// committed together with others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Exchange the authorization code (RFC 6749 section 4.1.3).
    Redeem {
        /// The authenticated client.
        client: String,
        /// The `redirect_uri` of the token request.
        redirect_uri: Option<String>,
        /// The `code_verifier` of the token request.
        verifier: Option<CodeVerifier>,
        /// The `resource` parameters of the token request; empty when there are none.
        resources: Vec<String>,
    },
    /// Exchange the refresh token (RFC 6749 section 6).
    Refresh {
        /// The authenticated client.
        client: String,
        /// The number in the presented credential.
        from: u32,
        /// The expiry in the presented credential.
        expires_at: Time,
        /// The `scope` of the token request, when it asks for less.
        scope: Option<Scope>,
        /// The `resource` parameters of the token request; empty when there are none.
        resources: Vec<String>,
        /// Whether the generation moves on.
        rotate: bool,
        /// How long after a rotation its predecessor and the new token itself get the same answer.
        retry: Duration,
    },
    /// End the grant (RFC 7009).
    Revoke {
        /// The client that asks; `None` for the server itself.
        client: Option<String>,
    },
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The step was taken, or repeated within the retry window; the grant as it now stands.
    Granted(Box<Grant>),
    /// There is no such grant.
    Missing,
    /// The credential's time, or the grant's, has run out.
    Expired,
    /// The grant is revoked: it was before, or it is by this step when that asked for it.
    Revoked,
    /// The code was redeemed before, and this request does not prove to come from its owner.
    Spent,
    /// A spent credential came back with all its bindings right. The grant is revoked now.
    Reused(Box<Grant>),
    /// A binding does not hold. Nothing changed.
    Mismatch(Field),
}

/// A binding of a grant that a request did not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The grant belongs to another client.
    Client,
    /// The redirect URI is not the one of the authorization request.
    RedirectUri,
    /// The request had a challenge and no verifier came, or the wrong one; or a verifier came for
    /// a request that had no challenge (the downgrade of RFC 9700 section 4.8.2).
    Verifier,
    /// More scope was asked than granted.
    Scope,
    /// A resource was asked for that was not granted (RFC 8707 section 2.2).
    Resource,
    /// No refresh token was issued for this grant.
    Refresh,
}

impl Grant {
    /// A record that grants nothing and stands until its end: the mark that something has happened.
    /// Inserting it is how a thing is done exactly once, for whoever comes second is answered
    /// [`Inserted::Existing`](crate::store::Inserted::Existing).
    pub(crate) fn tombstone(
        id: GrantId,
        issuer: Issuer,
        client_id: String,
        until: Time,
        now: Time,
    ) -> Self {
        Self {
            id,
            issuer,
            subject: client_id.clone(),
            client_id,
            scope: Scope::empty(),
            resources: Vec::new(),
            claims: ClaimsByName::default(),
            redirect_uri: String::new(),
            redirect_uri_named: false,
            challenge: None,
            nonce: None,
            auth_time: now,
            acr: None,
            amr: Vec::new(),
            sid: None,
            approved_at: now,
            code_expires_at: now,
            refresh_idle: None,
            expires_at: until,
            state: State::Revoked,
        }
    }

    /// Takes one step. The first value is the record to save, `None` when nothing changes; the
    /// second is the answer.
    ///
    /// A failed check changes nothing, so nobody can burn a stranger's code by guessing around it.
    /// The one refusal that writes is reuse, and only after every binding held.
    #[must_use]
    pub fn apply(&self, step: &Step, now: Time) -> (Option<Grant>, Outcome) {
        match step {
            Step::Redeem { client, redirect_uri, verifier, resources } => {
                let redirect_uri = redirect_uri.as_deref();
                self.redeem(client, redirect_uri, verifier.as_ref(), resources, now)
            }
            Step::Refresh { client, from, expires_at, scope, resources, rotate, retry } => {
                let presented = Presented { from: *from, expires_at: *expires_at };
                let wish = Wish { scope: scope.as_ref(), resources };
                self.refresh(client, presented, wish, *rotate, *retry, now)
            }
            Step::Revoke { client } => self.revoke(client.as_deref()),
        }
    }

    fn redeem(
        &self,
        client: &str,
        redirect_uri: Option<&str>,
        verifier: Option<&CodeVerifier>,
        resources: &[String],
        now: Time,
    ) -> (Option<Grant>, Outcome) {
        if client != self.client_id {
            return (None, Outcome::Mismatch(Field::Client));
        }
        let bindings = self.check_redirect_uri(redirect_uri).and(self.check_verifier(verifier));
        match self.state {
            State::Revoked => (None, Outcome::Revoked),
            State::Active { .. } => match bindings {
                Ok(()) => self.reused(),
                Err(_) => (None, Outcome::Spent),
            },
            State::Approved if now >= self.code_expires_at => (None, Outcome::Expired),
            // What is asked for proves no ownership, so it is not among the bindings: a replay is one
            // whatever it asks for that its client may reach.
            State::Approved => match bindings.and(self.check_resources(resources)) {
                Ok(()) => self.advanced(1, now),
                Err(field) => (None, Outcome::Mismatch(field)),
            },
        }
    }

    fn refresh(
        &self,
        client: &str,
        presented: Presented,
        wish: Wish<'_>,
        rotate: bool,
        retry: Duration,
        now: Time,
    ) -> (Option<Grant>, Outcome) {
        if client != self.client_id {
            return (None, Outcome::Mismatch(Field::Client));
        }
        if self.refresh_idle.is_none() {
            return (None, Outcome::Mismatch(Field::Refresh));
        }
        let (generation, advanced_at) = match self.state {
            State::Revoked => return (None, Outcome::Revoked),
            State::Active { generation, advanced_at } => (generation, advanced_at),
            // A refresh token of a grant whose redemption we do not know: the write was lost
            // (see the future, below).
            State::Approved => (0, self.approved_at),
        };
        if now >= self.expires_at {
            return (None, Outcome::Expired);
        }
        let from = presented.from;
        let just_moved = within(now, advanced_at, retry);
        let is_retry = just_moved && from > 0 && from.checked_add(1) == Some(generation);
        // A browser application refreshes from several calls at once: some present the old token,
        // some already its successor, and the answers may overtake each other. So a token that has
        // just come out of a rotation does not rotate again; it is answered with itself, and every
        // answer of the burst is the same token. The first token of a grant comes out of no rotation.
        // A token that lives hardly longer than the window must still get a successor in time.
        let young_for = self.refresh_idle.map_or(retry, |idle| retry.min(idle / 2));
        let is_young =
            rotate && from == generation && generation > 1 && within(now, advanced_at, young_for);
        if from < generation && !is_retry {
            return self.reused();
        }
        if now >= presented.expires_at {
            return (None, Outcome::Expired);
        }
        if wish.scope.is_some_and(|scope| !scope.is_within(&self.scope)) {
            return (None, Outcome::Mismatch(Field::Scope));
        }
        if let Err(field) = self.check_resources(wish.resources) {
            return (None, Outcome::Mismatch(field));
        }
        if is_retry || is_young {
            // The token is derived from the record, so the caller gets the same bytes again:
            // parallel refreshes of an honest client neither fork the chain nor look like theft.
            return (None, Outcome::Granted(Box::new(self.clone())));
        }
        match (rotate, from == generation) {
            (true, _) => match from.checked_add(1) {
                // A number from the future was signed by us and is not in the store: writes were
                // lost (a restored backup, a lagging replica). Refusing would lock the client out
                // for our fault, so the grant goes there and on.
                Some(next) => self.advanced(next, now),
                None => (None, Outcome::Expired),
            },
            (false, true) => (None, Outcome::Granted(Box::new(self.clone()))),
            (false, false) => self.advanced(from, now),
        }
    }

    fn revoke(&self, client: Option<&str>) -> (Option<Grant>, Outcome) {
        if client.is_some_and(|client| client != self.client_id) {
            return (None, Outcome::Mismatch(Field::Client));
        }
        match self.state {
            State::Revoked => (None, Outcome::Revoked),
            _ => (Some(self.with(State::Revoked)), Outcome::Revoked),
        }
    }

    fn check_redirect_uri(&self, presented: Option<&str>) -> Result<(), Field> {
        match presented {
            Some(uri) if uri == self.redirect_uri => Ok(()),
            None if !self.redirect_uri_named => Ok(()),
            _ => Err(Field::RedirectUri),
        }
    }

    fn check_verifier(&self, presented: Option<&CodeVerifier>) -> Result<(), Field> {
        match (&self.challenge, presented) {
            (Some(challenge), Some(verifier)) if verifier.answers(challenge) => Ok(()),
            (None, None) => Ok(()),
            _ => Err(Field::Verifier),
        }
    }

    fn check_resources(&self, asked: &[String]) -> Result<(), Field> {
        let granted = |resource| self.resources.is_empty() || self.resources.contains(resource);
        match asked.iter().all(granted) {
            true => Ok(()),
            false => Err(Field::Resource),
        }
    }

    fn advanced(&self, generation: u32, now: Time) -> (Option<Grant>, Outcome) {
        let next = self.with(State::Active { generation, advanced_at: now });
        (Some(next.clone()), Outcome::Granted(Box::new(next)))
    }

    fn reused(&self) -> (Option<Grant>, Outcome) {
        let revoked = self.with(State::Revoked);
        (Some(revoked.clone()), Outcome::Reused(Box::new(revoked)))
    }

    fn with(&self, state: State) -> Grant {
        Grant { state, ..self.clone() }
    }

    /// When the live refresh token of this grant ends: a function of the record alone, so that
    /// every process derives the same token.
    #[must_use]
    pub fn refresh_expires_at(&self) -> Time {
        match (self.state, self.refresh_idle) {
            (State::Active { advanced_at, .. }, Some(idle)) => {
                advanced_at.plus(idle).min(self.expires_at)
            }
            _ => self.expires_at,
        }
    }
}

/// The presented refresh token, opened.
#[derive(Clone, Copy)]
struct Presented {
    from: u32,
    expires_at: Time,
}

/// What is asked of a grant, when that is less than all that was granted.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) scope: Option<&'a Scope>,
    pub(crate) resources: &'a [String],
}

/// Whether `now` is less than `window` away from `at`, on either side: two processes' clocks differ
/// by a little, and the later request may be stamped the earlier.
fn within(now: Time, at: Time, window: Duration) -> bool {
    now.since(at).max(at.since(now)) < window
}

#[cfg(test)]
mod tests;
