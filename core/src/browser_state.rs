//! Whether a browser is still signed in as it was (OpenID Connect Session Management 1.0).
//!
//! A cookie holds the state of the browser, which a page of ours may read. Every authorization response carries
//! `session_state`, a salted hash of it for the application's origin. The application opens our page in a frame and asks
//! it by messages, as often as it likes and without the network, whether that hash is still true.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::client::redirect::ValidatedRedirect;
use crate::env::{RandomnessUnavailable, Time, random};
use crate::http::web_origin;
use crate::interaction::Session;
use crate::server::AuthorizationServer;

/// The cookie, which `endpoint::check_session` reads in the browser.
const COOKIE: &str = "grantor_browser_state";
/// What it says when nobody is signed in.
const NOBODY: &str = "nobody";
const NOBODY_FOR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What an authorization response says of the browser that it goes through.
#[derive(Clone)]
pub(crate) struct BrowserState {
    /// `session_state` (section 2): a hash and its salt.
    pub(crate) session_state: String,
    /// None for nobody: in a frame of another site, the host may not have got its own cookie, and nobody is signed out
    /// by that.
    pub(crate) cookie: Option<String>,
}

impl std::fmt::Debug for BrowserState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl AuthorizationServer {
    /// The `Set-Cookie` header by which pages of applications notice who is signed in at this browser (OpenID Connect
    /// Session Management 1.0 section 3): `None` unless
    /// [`Policy::session_management`](field@crate::Policy::session_management) is on. Authorization responses set it by
    /// themselves. A host sets it beside its own cookie wherever it signs somebody in or out, `None` being nobody.
    /// Set [`Session::expires_at`], for the cookie lives as long.
    ///
    /// It opens nothing: it is a hash of [`Session::id`], which a page of this server must be able to read. Where the
    /// issuer is https, it is sent to frames in pages of other sites too, as those of applications are.
    #[must_use]
    pub fn browser_state_cookie(&self, session: Option<&Session>) -> Option<String> {
        self.policy().session_management.then(|| match session {
            Some(session) => self.cookie(&self.browser_state(session), session.expires_at),
            None => self.cookie(NOBODY, Some(self.now().plus(NOBODY_FOR))),
        })
    }

    /// What to tell an application. `None` when it is not to be told, or has no origin by which it could ask.
    pub(crate) fn browser_state_for(
        &self,
        client: &Client,
        redirect: &ValidatedRedirect,
        session: Option<&Session>,
    ) -> Result<Option<BrowserState>, RandomnessUnavailable> {
        let origin = web_origin(redirect.as_str()).filter(|_| self.policy().session_management);
        let Some(origin) = origin else { return Ok(None) };
        let salt = BASE64_URL_SAFE_NO_PAD.encode(random::<16>(self.environment())?);
        let known = session.map(|session| (self.browser_state(session), session.expires_at));
        let state = known.as_ref().map_or("", |(state, _)| state);
        let hash = Sha256::digest(format!("{} {origin} {state} {salt}", client.client_id));
        let session_state = format!("{}.{salt}", BASE64_URL_SAFE_NO_PAD.encode(hash));
        let cookie = known.map(|(state, lives)| self.cookie(&state, lives));
        Ok(Some(BrowserState { session_state, cookie }))
    }

    /// It stays while a session goes on, and nobody can tell it from what applications know of the session: by it, two
    /// of them could find out that they know the same person.
    fn browser_state(&self, session: &Session) -> String {
        self.ring().pseudonym("browser state", self.issuer(), "", &session.id)
    }

    /// Without `HttpOnly`, for a script must read it. That nobody is signed in is said too, and for long: no cookie
    /// means that the browser shows none, and then the page says nothing that would sign a person out.
    fn cookie(&self, state: &str, lives: Option<Time>) -> String {
        let issuer = self.issuer();
        let path = if issuer.path().is_empty() { "/" } else { issuer.path() };
        // In a frame of another site, browsers take such cookies alone; and they take them only by https.
        let reach = match issuer.as_str().starts_with("https://") {
            true => "SameSite=None; Secure",
            false => "SameSite=Lax",
        };
        let max_age = lives.map(|until| format!("; Max-Age={}", until.since(self.now()).as_secs()));
        format!("{COOKIE}={state}; Path={path}; {reach}{}", max_age.unwrap_or_default())
    }
}
