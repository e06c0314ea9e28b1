//! How a server is put together, and everything that can be wrong with its parts.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::consent::{AsRegistered, ConsentPolicy};
use crate::env::{Environment, Monotonic, SystemEnvironment};
use crate::event::{Events, NoEvents};
use crate::fetch::Fetch;
use crate::issuer::{Issuer, IssuerError};
use crate::keys::{KeyError, Keys, MasterKey, Signer};
use crate::limit::{NoLimit, RateLimit};
use crate::policy::Policy;
use crate::registration::Registration;
use crate::scope::Scope;
use crate::server::{AuthorizationServer, ErrorPage, PageError, Parts};
use crate::store::{ClientStore, KeyStore, Outbox, TokenStore};
use crate::subject::Subjects;
use crate::token::verified::VerifiedTokens;

/// Builds an [`AuthorizationServer`].
#[must_use]
pub struct Builder {
    issuer: String,
    interaction: String,
    logout_page: Option<String>,
    clients: Option<Arc<dyn ClientStore>>,
    tokens: Option<Arc<dyn TokenStore>>,
    keys: Option<Arc<dyn KeyStore>>,
    subjects: Option<Arc<dyn Subjects>>,
    master_key: Option<MasterKey>,
    signer: Option<Arc<dyn Signer>>,
    events: Arc<dyn Events>,
    environment: Arc<dyn Environment>,
    policy: Policy,
    scopes: Vec<String>,
    consent_policy: Arc<dyn ConsentPolicy>,
    fetch: Option<Arc<dyn Fetch>>,
    outbox: Option<Arc<dyn Outbox>>,
    registration: Option<Arc<dyn Registration>>,
    limit: Arc<dyn RateLimit>,
    error_page: Arc<ErrorPage>,
}

/// Why a server could not be built. Each message says what to mend. Printed for debugging it is the same
/// sentence: a `main` that returns it says the mend.
#[derive(thiserror::Error)]
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
    /// The path of a page of the host's.
    #[error("the page {0:?} must be a path from the root, such as /login, without a query")]
    Page(String),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::error::with_sources(self))
    }
}

impl Builder {
    pub(crate) fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            interaction: "/login".to_owned(),
            logout_page: None,
            clients: None,
            tokens: None,
            keys: None,
            subjects: None,
            master_key: None,
            signer: None,
            events: Arc::new(NoEvents),
            environment: Arc::new(SystemEnvironment),
            policy: Policy::default(),
            scopes: Vec::new(),
            consent_policy: Arc::new(AsRegistered),
            fetch: None,
            outbox: None,
            registration: None,
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

    /// Keys of the host's own, such as those of a key management service, which sign instead of the
    /// engine's.
    pub fn signer(self, signer: impl Signer) -> Self {
        Self { signer: Some(Arc::new(signer)), ..self }
    }

    /// Where the host signs people in and asks for consent: a path from the root of the issuer's
    /// host, `/login` by default. `?ticket=` is appended.
    pub fn interaction(self, path: &str) -> Self {
        Self { interaction: path.to_owned(), ..self }
    }

    /// Where the host asks people whether to sign out, when applications may send them there (OpenID
    /// Connect RP-Initiated Logout): a path from the root of the issuer's host, to which `?ticket=` is
    /// appended; see [`AuthorizationServer::resume_logout`]. Without it there is no end session
    /// endpoint.
    pub fn logout_page(self, path: &str) -> Self {
        Self { logout_page: Some(path.to_owned()), ..self }
    }

    /// Makes outgoing calls: `grantor-fetch`, or the host's own. Without it clients cannot have their keys or
    /// request objects elsewhere (`jwks_uri`, `request_uri`), or share pairwise identifiers (`sector_identifier_uri`),
    /// and are not told when a session ends.
    pub fn fetch(self, fetch: impl Fetch) -> Self {
        Self { fetch: Some(Arc::new(fetch)), ..self }
    }

    /// Where messages to applications wait until they are delivered: the store, in most cases. With it,
    /// [`Builder::fetch`] and [`Builder::logout_page`], applications are told when a session ends (OpenID Connect
    /// Back-Channel Logout).
    pub fn outbox(self, outbox: impl Outbox) -> Self {
        Self { outbox: Some(Arc::new(outbox)), ..self }
    }

    /// Lets clients register themselves (RFC 7591): [`OpenRegistration`](crate::OpenRegistration),
    /// [`RegistrationByToken`](crate::RegistrationByToken), or the host's own rules. Without it, only
    /// [`AuthorizationServer::clients`] registers clients.
    pub fn registration(self, registration: impl Registration) -> Self {
        Self { registration: Some(Arc::new(registration)), ..self }
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

    /// Who may use which client, and whether they are asked; without it, everybody may.
    pub fn consent_policy(self, policy: impl ConsentPolicy) -> Self {
        Self { consent_policy: Arc::new(policy), ..self }
    }

    /// A scope that the server knows beside those of its policy, such as `orders:read`. Clients may have the
    /// scopes that they are registered with; this is for the discovery document.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes.push(scope.to_owned());
        self
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
    pub async fn build(mut self) -> Result<AuthorizationServer, BuildError> {
        let missing = |part, method| BuildError::Missing { part, method };
        let issuer = Issuer::new(&self.issuer)?;
        let scopes = Scope::collect(&self.scopes);
        let scopes =
            scopes.map_err(|_| BuildError::Policy("a scope has a character that none may have"))?;
        self.policy.scopes = self.policy.scopes.union(&scopes);
        self.policy.check().map_err(BuildError::Policy)?;
        for page in std::iter::once(&self.interaction).chain(&self.logout_page) {
            let is_path = page.starts_with('/')
                && !page.starts_with("//")
                && page.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b));
            if !is_path {
                return Err(BuildError::Page(page.clone()));
            }
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
        let (policy, signer) = (self.policy.key_policy(), self.signer);
        let keys =
            Keys::open(key_store, issuer.clone(), master, policy, signer, &*self.environment, now)
                .await?;
        let parts = Parts {
            interaction: self.interaction,
            logout_page: self.logout_page,
            clients,
            tokens,
            keys,
            subjects,
            events: self.events,
            environment: self.environment,
            clock,
            policy: self.policy,
            consent_policy: self.consent_policy,
            fetch: self.fetch,
            outbox: self.outbox,
            registration: self.registration,
            limit: self.limit,
            error_page: self.error_page,
            metadata: OnceLock::new(),
            verified: VerifiedTokens::default(),
            issuer,
        };
        Ok(AuthorizationServer::from_parts(parts))
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
