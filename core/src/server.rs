//! The authorization server: its parts, how it is built, and which path leads to which endpoint.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{Client, Clients};
use crate::endpoint::{self, Call};
use crate::env::{Environment, Monotonic, SystemEnvironment, Time};
use crate::error::{Denied, Misdeed};
use crate::event::{Event, Events, NoEvents};
use crate::http::{Request, Response};
use crate::issuer::{Issuer, IssuerError};
use crate::keys::{KeyError, KeyInfo, Keys, MasterKey, Ring};
use crate::limit::{NoLimit, RateLimit};
use crate::policy::Policy;
use crate::store::{ClientStore, KeyStore, Owner, StoreError, TokenStore};
use crate::subject::{SubjectStatus, Subjects};

/// An authorization server for one issuer. Cheap to clone; clones are the same server.
#[derive(Clone)]
pub struct AuthorizationServer(Arc<Parts>);

struct Parts {
    issuer: Issuer,
    interaction: String,
    clients: Arc<dyn ClientStore>,
    tokens: Arc<dyn TokenStore>,
    keys: Keys,
    subjects: Arc<dyn Subjects>,
    events: Arc<dyn Events>,
    environment: Arc<dyn Environment>,
    clock: Monotonic,
    policy: Policy,
    limit: Arc<dyn RateLimit>,
    error_page: Arc<ErrorPage>,
}

type ErrorPage = dyn Fn(&PageError) -> String + Send + Sync;

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
}

/// The paths of the endpoints, below the issuer.
pub(crate) mod path {
    pub(crate) const AUTHORIZE: &str = "/oauth2/authorize";
    pub(crate) const TOKEN: &str = "/oauth2/token";
    pub(crate) const USERINFO: &str = "/oauth2/userinfo";
    pub(crate) const REVOKE: &str = "/oauth2/revoke";
    pub(crate) const INTROSPECT: &str = "/oauth2/introspect";
    pub(crate) const JWKS: &str = "/oauth2/jwks.json";
    pub(crate) const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
    pub(crate) const OAUTH_METADATA: &str = "/.well-known/oauth-authorization-server";
}

impl AuthorizationServer {
    /// Starts to build a server for an issuer, such as `https://id.example.com`.
    pub fn builder(issuer: &str) -> Builder {
        Builder::new(issuer)
    }

    /// Answers a request to one of [`AuthorizationServer::paths`]. Never panics, whatever comes.
    pub async fn handle(&self, request: &Request) -> Response {
        let Some(path) = request.path.strip_prefix(self.0.issuer.path()) else {
            return self.well_known_or_nothing(request).await;
        };
        let call = Call::new(self, request);
        match path {
            path::AUTHORIZE => endpoint::authorize::answer(call).await,
            path::TOKEN => endpoint::token::answer(call).await,
            path::USERINFO => endpoint::userinfo::answer(call).await,
            path::REVOKE => endpoint::revoke::answer(call).await,
            path::INTROSPECT => endpoint::introspect::answer(call).await,
            path::JWKS => endpoint::jwks::answer(&call),
            path::OPENID_CONFIGURATION => endpoint::discovery::answer(&call),
            _ => self.well_known_or_nothing(request).await,
        }
    }

    /// The answer to a request that an adapter could not read, or whose handling crashed: in the
    /// form of the endpoint that was asked, and readable by the pages that may read its answers.
    pub async fn failed(&self, request: &Request, failure: Failure) -> Response {
        let call = Call::new(self, request);
        let response = call.conclude(Err(match failure {
            Failure::TooLarge => Misdeed::BodyTooLarge,
            Failure::TooSlow => Misdeed::BodyTooSlow,
            Failure::Crashed => Misdeed::Crashed,
        }));
        let path = request.path.strip_prefix(self.0.issuer.path()).unwrap_or_default();
        match path {
            path::TOKEN | path::USERINFO | path::REVOKE => {
                endpoint::cors::expose(self, request, None, response).await
            }
            _ => response,
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

    /// Publishes new keys now. They begin to sign after [`Policy::publish_keys_ahead`], so that
    /// clients with a cached JWKS are not surprised; the answer is when.
    ///
    /// # Errors
    /// When the ring cannot be stored.
    pub async fn rotate_keys(&self) -> Result<Time, KeyError> {
        let active_from = self.0.keys.rotate(self.environment(), self.now()).await?;
        self.emit(&Event::KeysRotated { active_from: active_from.secs() });
        Ok(active_from)
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
        const BATCH: usize = 1000;
        let now = self.now();
        let (rotated, due) = self.0.keys.maintain(self.environment(), now).await?;
        if let Some(active_from) = rotated {
            self.emit(&Event::KeysRotated { active_from: active_from.secs() });
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

    pub(crate) fn limit(&self) -> &dyn RateLimit {
        &*self.0.limit
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.0.events.on(event);
    }

    pub(crate) fn error_page(&self, error: &PageError) -> String {
        (self.0.error_page)(error)
    }

    /// The one decision whether what was approved then may be used now. Asked by everything that
    /// issues and everything that reads: approve, redeem, refresh, introspect, userinfo, guard.
    ///
    /// The barriers (`valid_from`) stop what is in flight at once, whatever the clean-up of
    /// records has reached: `at` is when the client was let in, and a subject comes with the time
    /// since which they are.
    pub(crate) async fn still_allowed(
        &self,
        client: Option<Arc<Client>>,
        subject: Option<(&str, Time)>,
        at: Time,
    ) -> Result<Result<Arc<Client>, Denied>, Misdeed> {
        let Some(client) = client.filter(|client| client.active) else {
            return Ok(Err(Denied::Client));
        };
        if at < client.valid_from {
            return Ok(Err(Denied::ClientBarrier));
        }
        if let Some((subject, since)) = subject {
            match self.subjects().status(subject).await? {
                SubjectStatus::Disabled => return Ok(Err(Denied::Subject)),
                SubjectStatus::Active { valid_from } if since < valid_from => {
                    return Ok(Err(Denied::SubjectBarrier));
                }
                SubjectStatus::Active { .. } => {}
            }
        }
        Ok(Ok(client))
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

/// Builds an [`AuthorizationServer`].
#[must_use]
pub struct Builder {
    issuer: String,
    interaction: String,
    clients: Option<Arc<dyn ClientStore>>,
    tokens: Option<Arc<dyn TokenStore>>,
    keys: Option<Arc<dyn KeyStore>>,
    subjects: Option<Arc<dyn Subjects>>,
    master_key: Option<MasterKey>,
    events: Arc<dyn Events>,
    environment: Arc<dyn Environment>,
    policy: Policy,
    limit: Arc<dyn RateLimit>,
    error_page: Arc<ErrorPage>,
}

/// Why a server could not be built. Each message says what to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The issuer.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// A required part was not given.
    #[error("the server has no {part}: call Builder::{method}")]
    Missing {
        /// What is missing.
        part: &'static str,
        /// The method that gives it.
        method: &'static str,
    },
    /// The settings contradict each other.
    #[error("the policy cannot be used: {0}")]
    Policy(&'static str),
    /// The path of the interaction.
    #[error("the interaction {0:?} must be a path from the root, such as /login, without a query")]
    Interaction(String),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl Builder {
    fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            interaction: "/login".to_owned(),
            clients: None,
            tokens: None,
            keys: None,
            subjects: None,
            master_key: None,
            events: Arc::new(NoEvents),
            environment: Arc::new(SystemEnvironment),
            policy: Policy::default(),
            limit: Arc::new(NoLimit),
            error_page: Arc::new(plain_error_page),
        }
    }

    /// One store for clients, grants and keys.
    pub fn store(self, store: impl ClientStore + TokenStore + KeyStore) -> Self {
        let store = Arc::new(store);
        Self {
            clients: Some(store.clone()),
            tokens: Some(store.clone()),
            keys: Some(store),
            ..self
        }
    }

    /// A store for the clients alone, as when they live in the host's own tables.
    pub fn clients(self, clients: impl ClientStore) -> Self {
        Self { clients: Some(Arc::new(clients)), ..self }
    }

    /// A store for the grants alone.
    pub fn tokens(self, tokens: impl TokenStore) -> Self {
        Self { tokens: Some(Arc::new(tokens)), ..self }
    }

    /// A store for the sealed keys alone.
    pub fn keys(self, keys: impl KeyStore) -> Self {
        Self { keys: Some(Arc::new(keys)), ..self }
    }

    /// The host's people.
    pub fn subjects(self, subjects: impl Subjects) -> Self {
        Self { subjects: Some(Arc::new(subjects)), ..self }
    }

    /// The key that seals the signing keys at rest. Keep it apart from the database.
    pub fn master_key(self, master_key: MasterKey) -> Self {
        Self { master_key: Some(master_key), ..self }
    }

    /// Where the host signs people in and asks for consent: a path from the root of the issuer's
    /// host, `/login` by default. `?ticket=` is appended.
    pub fn interaction(self, path: &str) -> Self {
        Self { interaction: path.to_owned(), ..self }
    }

    /// Where events go.
    pub fn events(self, events: impl Events) -> Self {
        Self { events: Arc::new(events), ..self }
    }

    /// Another clock and source of randomness, for tests.
    pub fn environment(self, environment: impl Environment) -> Self {
        Self { environment: Arc::new(environment), ..self }
    }

    /// The settings.
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// How often clients may call; without it, as often as they like.
    pub fn rate_limit(self, limit: impl RateLimit) -> Self {
        Self { limit: Arc::new(limit), ..self }
    }

    /// The page for errors that cannot be redirected, as HTML.
    pub fn error_page(self, render: impl Fn(&PageError) -> String + Send + Sync + 'static) -> Self {
        Self { error_page: Arc::new(render), ..self }
    }

    /// Checks everything and opens the keys, making the first ones for a new issuer.
    ///
    /// # Errors
    /// [`BuildError`], whose sentence says what to mend.
    pub async fn build(self) -> Result<AuthorizationServer, BuildError> {
        let missing = |part, method| BuildError::Missing { part, method };
        let issuer = Issuer::new(&self.issuer)?;
        self.policy.check().map_err(BuildError::Policy)?;
        let is_path = self.interaction.starts_with('/')
            && !self.interaction.starts_with("//")
            && self.interaction.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b));
        if !is_path {
            return Err(BuildError::Interaction(self.interaction));
        }
        let clients = self.clients.ok_or_else(|| missing("store for clients", "store"))?;
        let tokens = self.tokens.ok_or_else(|| missing("store for grants", "store"))?;
        let key_store = self.keys.ok_or_else(|| missing("store for keys", "store"))?;
        let subjects = self.subjects.ok_or_else(|| missing("subjects", "subjects"))?;
        let master = self.master_key.ok_or_else(|| missing("master key", "master_key"))?;
        // With both cryptographic backends of jsonwebtoken compiled in (by another crate of the
        // application), its first use would panic. An application's own choice stands.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let clock = Monotonic::default();
        let now = clock.now(&*self.environment);
        let lifetimes = self.policy.key_lifetimes();
        let keys =
            Keys::open(key_store, issuer.clone(), master, lifetimes, &*self.environment, now)
                .await?;
        let parts = Parts {
            interaction: self.interaction,
            clients,
            tokens,
            keys,
            subjects,
            events: self.events,
            environment: self.environment,
            clock,
            policy: self.policy,
            limit: self.limit,
            error_page: self.error_page,
            issuer,
        };
        Ok(AuthorizationServer(Arc::new(parts)))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

fn plain_error_page(error: &PageError) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Error</title>\
         <h1>Authorization error: {}</h1><p>{}</p></html>",
        error.code, error.description
    )
}
