//! The authorization server: its parts, and which path leads to which endpoint.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::builder::Builder;
use crate::client::{Client, Clients};
use crate::consent::ConsentPolicy;
use crate::endpoint::authorize::Refusal;
use crate::endpoint::document::Document;
use crate::endpoint::{self, Call, cors};
use crate::env::{Environment, Monotonic, Time};
use crate::error::Misdeed;
use crate::event::{Event, Events};
use crate::fetch::{self, Fetch, FetchError};
use crate::http::{Request, Response};
use crate::issuer::Issuer;
use crate::keys::{
    FRESH, FRESH_FOR_UNKNOWN, JwkSet, KeyError, KeyInfo, KeyRotation, Keys, MAX_JWK_SET, Ring,
};
use crate::limit::RateLimit;
use crate::policy::Policy;
use crate::registration::Registration;
use crate::store::{ClientStore, Outbox, Owner, Remembered, StoreError, TokenStore};
use crate::subject::{Claims, Subjects};
use crate::token::jwt::{Jws, Unverified};
use crate::token::verified::VerifiedTokens;

mod still_allowed;
pub(crate) use still_allowed::Denied;

/// An authorization server for one issuer. Cheap to clone; clones are the same server.
#[derive(Clone)]
pub struct AuthorizationServer(Arc<Parts>);

/// What a server is made of.
pub(crate) struct Parts {
    pub(crate) issuer: Issuer,
    pub(crate) interaction: String,
    pub(crate) logout_page: Option<String>,
    pub(crate) clients: Arc<dyn ClientStore>,
    pub(crate) tokens: Arc<dyn TokenStore>,
    pub(crate) keys: Keys,
    pub(crate) subjects: Arc<dyn Subjects>,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) clock: Monotonic,
    pub(crate) policy: Policy,
    pub(crate) consent_policy: Arc<dyn ConsentPolicy>,
    pub(crate) fetch: Option<Arc<dyn Fetch>>,
    pub(crate) outbox: Option<Arc<dyn Outbox>>,
    pub(crate) registration: Option<Arc<dyn Registration>>,
    pub(crate) limit: Arc<dyn RateLimit>,
    pub(crate) error_page: Arc<ErrorPage>,
    /// What the discovery endpoints say, once they have been asked.
    pub(crate) metadata: OnceLock<Document>,
    pub(crate) verified: VerifiedTokens,
}

/// Renders the error page.
pub(crate) type ErrorPage = dyn Fn(&PageError) -> String + Send + Sync;

/// An error that a person sees, because there is no redirect URI that could be trusted with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageError {
    /// The error code, such as `redirect_uri_mismatch`. One of a fixed set.
    pub code: &'static str,
    /// A fixed sentence for the person. Nothing of the request is in it.
    pub description: &'static str,
}

/// Why a request never reached its endpoint, or never came back from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The body is larger than [`crate::MAX_BODY`], or broke off.
    TooLarge,
    /// The body took too long.
    TooSlow,
    /// A hook of the host panicked.
    Crashed,
    /// There is more to do than can be done: it was not begun. No event tells of it, for there may be many.
    Overloaded,
}

/// The paths of the endpoints, below the issuer.
pub(crate) mod path {
    pub(crate) const AUTHORIZE: &str = "/oauth2/authorize";
    pub(crate) const TOKEN: &str = "/oauth2/token";
    pub(crate) const USERINFO: &str = "/oauth2/userinfo";
    pub(crate) const REVOKE: &str = "/oauth2/revoke";
    pub(crate) const INTROSPECT: &str = "/oauth2/introspect";
    pub(crate) const END_SESSION: &str = "/oauth2/logout";
    pub(crate) const CHECK_SESSION: &str = "/oauth2/check_session";
    pub(crate) const REGISTER: &str = "/oauth2/register";
    pub(crate) const JWKS: &str = "/oauth2/jwks.json";
    pub(crate) const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
    pub(crate) const OAUTH_METADATA: &str = "/.well-known/oauth-authorization-server";
}

impl AuthorizationServer {
    /// Starts to build a server for an issuer, such as `https://id.example.com`.
    pub fn builder(issuer: &str) -> Builder {
        Builder::new(issuer)
    }

    pub(crate) fn from_parts(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Answers a request to one of [`AuthorizationServer::paths`]. Never panics, whatever comes.
    pub async fn handle(&self, request: &Request) -> Response {
        let Some(path) = request.path.strip_prefix(self.0.issuer.path()) else {
            return self.well_known_or_nothing(request).await;
        };
        let methods = cors_methods(path);
        if let Some(methods) = methods.filter(|_| cors::is_preflight(request)) {
            return cors::preflight(self, request, methods).await;
        }
        let mut call = Call::new(self, request);
        // In boxes, or a request to the smallest endpoint would carry the room for the largest through every task that
        // it is handed to.
        let result = match path {
            path::AUTHORIZE => return Box::pin(endpoint::authorize::answer(call)).await,
            path::END_SESSION => return Box::pin(endpoint::end_session::answer(call)).await,
            path::TOKEN => Box::pin(endpoint::token::respond(&mut call)).await,
            path::USERINFO => Box::pin(endpoint::userinfo::respond(&mut call)).await,
            path::REVOKE => Box::pin(endpoint::revoke::respond(&mut call)).await,
            path::INTROSPECT => Box::pin(endpoint::introspect::respond(&mut call)).await,
            path::REGISTER => Box::pin(endpoint::register::respond(&mut call)).await,
            path::JWKS => return endpoint::jwks::answer(&call),
            path::CHECK_SESSION => return endpoint::check_session::answer(&call),
            path::OPENID_CONFIGURATION => return endpoint::discovery::answer(&call),
            _ => return self.well_known_or_nothing(request).await,
        };
        let response = call.conclude(result);
        match methods {
            Some(_) => cors::expose(self, request, call.client.as_deref(), response).await,
            None => response,
        }
    }

    /// The answer to a request that an adapter could not read, or whose handling crashed: in the
    /// form of the endpoint that was asked, and readable by the pages that may read its answers.
    pub async fn failed(&self, request: &Request, failure: Failure) -> Response {
        let call = Call::new(self, request);
        let misdeed = match failure {
            Failure::TooLarge => Misdeed::BodyTooLarge,
            Failure::TooSlow => Misdeed::BodyTooSlow,
            Failure::Crashed => Misdeed::Crashed,
            Failure::Overloaded => Misdeed::Overloaded,
        };
        let path = request.path.strip_prefix(self.0.issuer.path()).unwrap_or_default();
        if matches!(path, path::AUTHORIZE | path::END_SESSION) {
            return call.conclude_for_a_person(Err(Refusal::Machine(misdeed)));
        }
        let response = call.conclude(Err(misdeed));
        match cors_methods(path) {
            // Nobody is asked whose page it is: a refusal must cost nothing, and this one says nothing.
            Some(_) if failure == Failure::Overloaded => {
                let page = cors::origin(request).is_some().into();
                cors::expose_to(request, response, page)
            }
            Some(_) => cors::expose(self, request, None, response).await,
            None => response,
        }
    }

    /// RFC 8414 section 3.1 puts the well-known segment between the host and the issuer's path.
    async fn well_known_or_nothing(&self, request: &Request) -> Response {
        match request.path.strip_prefix(path::OAUTH_METADATA) {
            Some(rest) if rest == self.0.issuer.path() => {
                endpoint::discovery::answer(&Call::new(self, request))
            }
            _ => Misdeed::NotFound.response(),
        }
    }

    /// The paths that [`AuthorizationServer::handle`] answers, from the root of the host. The
    /// issuer's path is part of them; nothing is derived from a request.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let prefix = self.0.issuer.path();
        [
            path::AUTHORIZE,
            path::TOKEN,
            path::USERINFO,
            path::REVOKE,
            path::INTROSPECT,
            path::JWKS,
            path::OPENID_CONFIGURATION,
        ]
        .iter()
        .chain(self.logout_page().map(|_| &path::END_SESSION))
        .chain(self.registration().map(|_| &path::REGISTER))
        .chain(self.policy().session_management.then_some(&path::CHECK_SESSION))
        .map(|path| format!("{prefix}{path}"))
        .chain([format!("{}{prefix}", path::OAUTH_METADATA)])
        .collect()
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.0.issuer
    }

    /// The settings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// The registered clients, for administration.
    #[must_use]
    pub fn clients(&self) -> Clients<'_> {
        Clients::new(self)
    }

    /// The time by this server's clock, which never runs backwards.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.clock.now(self.environment())
    }

    /// Revokes every grant of an owner and says how many. For a subject, also move the barrier of
    /// [`Subjects::status`], which stops what is in flight.
    ///
    /// # Errors
    /// When the store fails; some grants may be revoked then.
    pub async fn revoke_all(&self, of: &Owner) -> Result<u64, StoreError> {
        self.0.tokens.revoke(of, self.now()).await
    }

    /// What a subject lets clients have without being asked again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn consents(&self, subject: &str) -> Result<Vec<Remembered>, StoreError> {
        const PAGE: usize = 200;
        let mut consents: Vec<Remembered> = Vec::new();
        loop {
            let after = consents.last().map(|consent| consent.client_id.clone());
            let page = self.0.tokens.consents(self.issuer(), subject, after.as_deref(), PAGE);
            let page = page.await?;
            let more = page.len() == PAGE;
            consents.extend(page);
            if !more {
                return Ok(consents);
            }
        }
    }

    /// Takes a consent back: the client must ask again, and what it holds of this subject ends.
    ///
    /// # Errors
    /// When the store fails; the consent may be forgotten then, and some grants revoked.
    pub async fn withdraw(&self, subject: &str, client_id: &str) -> Result<(), StoreError> {
        let (issuer, subject) = (self.issuer().clone(), subject.to_owned());
        // The consent first: otherwise a visit in between would be let in by it.
        let forgotten = self.0.tokens.forget(&issuer, &subject, client_id).await?;
        let owner = Owner::SubjectAndClient(issuer, subject.clone(), client_id.to_owned());
        if self.revoke_all(&owner).await? > 0 || forgotten {
            self.emit(&Event::ConsentWithdrawn { client_id, subject: &subject });
        }
        Ok(())
    }

    /// Publishes new keys now. They begin to sign after [`Policy::publish_keys_ahead`], so that
    /// clients with a cached JWKS are not surprised. Keys that wait already are not added to.
    ///
    /// # Errors
    /// When the ring cannot be stored.
    pub async fn rotate_keys(&self) -> Result<KeyRotation, KeyError> {
        let rotation = self.0.keys.rotate(self.environment(), self.now()).await?;
        self.report_rotation(rotation);
        Ok(rotation)
    }

    /// Replaces all keys of the ring at once: for the day when they have leaked. **Everything that was issued
    /// dies**, tokens, codes and refresh tokens alike, and people sign in again. Other processes on the same store
    /// take them with their next [`AuthorizationServer::maintain`], a minute later at the latest: restart them.
    /// APIs elsewhere believe the old keys for as long as they keep the JWKS, which is five minutes for a
    /// [`ResourceServer`](crate::ResourceServer). Keys of a host's [`Signer`](crate::Signer) are the host's to replace.
    ///
    /// Two things stay: the salt of pairwise identifiers, by which clients know people, and the secrets of clients
    /// that sign with them (`client_secret_jwt`), which whoever had the master key and the store has too:
    /// rotate those.
    ///
    /// If it is the master key that has leaked, remove the ring from the store and start with a new master key: that
    /// makes new keys with the same effect, but it also makes every pairwise identifier another, and the sealed
    /// secrets of `client_secret_jwt` clients are lost.
    ///
    /// # Errors
    /// When the ring cannot be stored.
    pub async fn replace_keys(&self) -> Result<(), KeyError> {
        let now = self.now();
        self.0.keys.replace(self.environment(), now).await?;
        self.emit(&Event::KeysReplaced);
        Ok(())
    }

    fn report_rotation(&self, rotation: KeyRotation) {
        if let KeyRotation::Published(active_from) = rotation {
            self.emit(&Event::KeysRotated { active_from: active_from.secs() });
        }
    }

    /// The signing keys, for an operator's eyes.
    #[must_use]
    pub fn key_infos(&self) -> Vec<KeyInfo> {
        self.ring().describe(self.now())
    }

    /// Does what is due: looks for keys that another process published, rotates keys by age,
    /// purges ended grants in a bounded batch. Answers how long it may rest. A host calls it in a
    /// loop; the adapters' `serve` does.
    ///
    /// # Errors
    /// When the stores fail; calling again later is right.
    pub async fn maintain(&self) -> Result<Duration, MaintenanceError> {
        let done = self.maintenance().await;
        if let Err(error) = &done {
            self.emit(&Event::MaintenanceFailed { reason: crate::error::with_sources(error) });
        }
        done
    }

    async fn maintenance(&self) -> Result<Duration, MaintenanceError> {
        // Whoever wants to write waits for a batch at most: some milliseconds.
        const BATCH: usize = 200;
        let now = self.now();
        let (rotated, due) = self.0.keys.maintain(self.environment(), now).await?;
        if let Some(rotation) = rotated {
            self.report_rotation(rotation);
        }
        if self.0.tokens.purge(now, BATCH).await? == BATCH {
            return Ok(Duration::ZERO);
        }
        // Another process's keys must be seen before they begin to sign.
        let look_again = self.0.policy.publish_keys_ahead / 2;
        Ok(due.since(now).min(look_again).min(Duration::from_secs(60)))
    }

    pub(crate) fn interaction(&self) -> &str {
        &self.0.interaction
    }

    pub(crate) fn logout_page(&self) -> Option<&str> {
        self.0.logout_page.as_deref()
    }

    pub(crate) fn client_store(&self) -> &dyn ClientStore {
        &*self.0.clients
    }

    pub(crate) fn token_store(&self) -> &dyn TokenStore {
        &*self.0.tokens
    }

    pub(crate) fn subjects(&self) -> &dyn Subjects {
        &*self.0.subjects
    }

    pub(crate) fn environment(&self) -> &dyn Environment {
        &*self.0.environment
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn ring(&self) -> Arc<Ring> {
        self.0.keys.ring()
    }

    pub(crate) fn metadata(&self) -> &OnceLock<Document> {
        &self.0.metadata
    }

    /// The access tokens that were verified before.
    pub(crate) fn verified(&self) -> &VerifiedTokens {
        &self.0.verified
    }

    pub(crate) fn consent_policy(&self) -> &dyn ConsentPolicy {
        &*self.0.consent_policy
    }

    pub(crate) fn limit(&self) -> &dyn RateLimit {
        &*self.0.limit
    }

    /// Checks a signature of a client's own. A key that is not known may be new: then the keys at its
    /// `jwks_uri` are fetched again, if they are some seconds old.
    pub(crate) async fn verify_by_client(
        &self,
        client: &Client,
        jws: &Jws<'_>,
    ) -> Result<Result<Claims, Unverified>, Misdeed> {
        if let Some(jwks) = &client.jwks {
            let keys = JwkSet::from_json(jwks.as_bytes());
            let keys = keys.map_err(|_| Unverified::Invalid("the client's jwks cannot be read"));
            return Ok(keys.and_then(|keys| jws.verify(&keys)));
        }
        let Some(url) = &client.jwks_uri else {
            return Ok(Err(Unverified::Invalid("the client has no keys")));
        };
        let mut verified = jws.verify(&self.client_keys(url, FRESH).await?);
        if jws.wants_newer_keys(&verified) {
            verified = jws.verify(&self.client_keys(url, FRESH_FOR_UNKNOWN).await?);
        }
        Ok(verified)
    }

    async fn client_keys(&self, url: &str, max_age: Duration) -> Result<JwkSet, Misdeed> {
        let document = self.fetch(url, max_age, MAX_JWK_SET).await?;
        Ok(JwkSet::from_json(&document.body).map_err(|why| FetchError::new(url, why))?)
    }

    /// Fetches what a client has registered the URL of.
    pub(crate) async fn fetch(
        &self,
        url: &str,
        max_age: Duration,
        limit: usize,
    ) -> Result<Arc<fetch::Document>, FetchError> {
        self.calls(url)?.get(url, max_age, limit).await
    }

    pub(crate) fn registration(&self) -> Option<&dyn Registration> {
        self.0.registration.as_deref()
    }

    pub(crate) fn outbox(&self) -> Option<&dyn Outbox> {
        self.0.outbox.as_deref()
    }

    /// Whether applications can be told that a session has ended: there is an outbox, something to call out with, and
    /// a page to sign out on.
    #[must_use]
    pub fn tells_of_logout(&self) -> bool {
        self.0.outbox.is_some() && self.fetches() && self.logout_page().is_some()
    }

    /// Posts a form to a URL that a client has registered.
    pub(crate) async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
        limit: usize,
    ) -> Result<fetch::Document, FetchError> {
        self.calls(url)?.post(url, form, None, limit).await
    }

    /// What calls a URL.
    fn calls(&self, url: &str) -> Result<&dyn Fetch, FetchError> {
        let none = || FetchError::new(url, "the server makes no outgoing calls: Builder::fetch");
        self.0.fetch.as_deref().ok_or_else(none)
    }

    pub(crate) fn fetches(&self) -> bool {
        self.0.fetch.is_some()
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.0.events.on(event);
    }

    pub(crate) fn error_page(&self, error: &PageError) -> String {
        (self.0.error_page)(error)
    }
}

/// The methods of the endpoints that browser applications call from their own origins.
fn cors_methods(path: &str) -> Option<&'static str> {
    match path {
        path::TOKEN | path::REVOKE => Some("POST"),
        path::USERINFO => Some("GET, POST"),
        _ => None,
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer")
            .field("issuer", &self.0.issuer)
            .finish_non_exhaustive()
    }
}

/// Maintenance that could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaintenanceError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The grants.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(all(test, feature = "testing"))]
mod tests;
