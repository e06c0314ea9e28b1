//! An API in a process of its own, which accepts the access tokens of an authorization server elsewhere.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use crate::client::redirect::check_origin;
use crate::env::{Environment, Monotonic, SystemEnvironment, Time};
use crate::error::Misdeed;
use crate::event::{Event, Events, NoEvents};
use crate::fetch::{Document, Fetch, FetchError};
use crate::issuer::Issuer;
use crate::keys::{FRESH, FRESH_FOR_UNKNOWN, JwkSet, MAX_JWK_SET};
use crate::secret::Secret;
use crate::token::access_token::{AccessToken, is_of_client};
use crate::token::jwt::{self, Jws, Unverified};

/// For how long the last keys are used while the authorization server does not answer. A short outage there
/// must not be one here; a key that was withdrawn must not be believed for long.
const STALE: Duration = Duration::from_secs(3600);
/// For how long the metadata is taken from memory.
const METADATA_FRESH: Duration = Duration::from_secs(3600);
/// How far the clocks of two machines may differ, for a token that begins to be valid just now.
const SKEW: Duration = Duration::from_secs(60);
const MAX_METADATA: usize = 64 * 1024;

/// Accepts the access tokens that an authorization server elsewhere issues for this API. A
/// [`Guard`](crate::Guard) of it protects routes, as one of an
/// [`AuthorizationServer`](crate::AuthorizationServer) in the same process does.
///
/// By default it checks JWTs (RFC 9068) with the server's published keys: no call is made for a token, and a
/// revocation is seen when the token expires. With [`ResourceServerBuilder::introspect_as`] the server is
/// asked about every token (RFC 7662): a call each, and a revocation bites at once.
#[derive(Clone)]
pub struct ResourceServer(Arc<Parts>);

struct Parts {
    issuer: Issuer,
    resource: Issuer,
    fetch: Arc<dyn Fetch>,
    /// The header that authenticates introspection.
    introspection: Option<Secret>,
    origins: Vec<String>,
    events: Arc<dyn Events>,
    environment: Arc<dyn Environment>,
    clock: Monotonic,
    keys: RwLock<Option<Kept>>,
}

/// The last keys that were read.
#[derive(Clone)]
struct Kept {
    document: Arc<Document>,
    keys: JwkSet,
    seen_at: Time,
}

/// Builds a [`ResourceServer`].
#[must_use]
pub struct ResourceServerBuilder {
    issuer: String,
    resource: String,
    fetch: Option<Arc<dyn Fetch>>,
    introspection: Option<Secret>,
    origins: Vec<String>,
    events: Arc<dyn Events>,
    environment: Arc<dyn Environment>,
}

/// A resource that cannot be protected.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the resource {resource:?} cannot be protected: {why}")]
pub struct ResourceError {
    resource: String,
    why: &'static str,
}

impl ResourceError {
    pub(crate) fn new(resource: &str, why: &'static str) -> Self {
        Self { resource: resource.to_owned(), why }
    }

    /// The URL of a resource: what an issuer may be, a resource may be.
    pub(crate) fn url(resource: &str) -> Result<Issuer, Self> {
        Issuer::new(resource).map_err(|error| Self::new(resource, error.why()))
    }
}

impl ResourceServerBuilder {
    /// Makes the outgoing calls: `grantor-fetch`, or the host's own.
    pub fn fetch(self, fetch: impl Fetch) -> Self {
        Self { fetch: Some(Arc::new(fetch)), ..self }
    }

    /// Asks the authorization server about every token (RFC 7662), as this confidential client, which must
    /// have the resource among its registered [`resources`](crate::Client::resources).
    pub fn introspect_as(self, client_id: &str, client_secret: &Secret) -> Self {
        // Both halves are form-encoded before they are joined (RFC 6749 section 2.3.1).
        let encode =
            |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        let pair = format!("{}:{}", encode(client_id), encode(client_secret.expose()));
        let header = Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair)));
        Self { introspection: Some(header), ..self }
    }

    /// The origins whose pages may call this API: exact, such as `https://app.example.com`. None by default.
    pub fn allowed_origins<T: Into<String>>(self, origins: impl IntoIterator<Item = T>) -> Self {
        Self { origins: origins.into_iter().map(Into::into).collect(), ..self }
    }

    /// Where events go: refusals, and calls that failed.
    pub fn events(self, events: impl Events) -> Self {
        Self { events: Arc::new(events), ..self }
    }

    /// Another clock, for tests.
    pub fn environment(self, environment: impl Environment) -> Self {
        Self { environment: Arc::new(environment), ..self }
    }

    /// Checks the settings. Nothing is called yet: an API starts also while the server is away.
    ///
    /// # Errors
    /// What is wrong with the issuer or the resource, or that [`ResourceServerBuilder::fetch`] is missing.
    pub fn build(self) -> Result<ResourceServer, ResourceError> {
        // With both cryptographic backends of jsonwebtoken compiled in, its first use would panic.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let resource = ResourceError::url(&self.resource)?;
        let issuer = ResourceError::url(&self.issuer)?;
        for origin in &self.origins {
            check_origin(origin).map_err(|why| ResourceError::new(origin, why))?;
        }
        let missing = "nothing can fetch the keys: call ResourceServerBuilder::fetch";
        let fetch = self.fetch.ok_or_else(|| ResourceError::new(&self.resource, missing))?;
        Ok(ResourceServer(Arc::new(Parts {
            issuer,
            resource,
            fetch,
            introspection: self.introspection,
            origins: self.origins,
            events: self.events,
            environment: self.environment,
            clock: Monotonic::default(),
            keys: RwLock::new(None),
        })))
    }
}

impl ResourceServer {
    /// Starts to build the API at `resource`, such as `https://api.example.com`, which accepts tokens of
    /// `issuer` that are meant for it (`aud`).
    pub fn builder(issuer: &str, resource: &str) -> ResourceServerBuilder {
        ResourceServerBuilder {
            issuer: issuer.to_owned(),
            resource: resource.to_owned(),
            fetch: None,
            introspection: None,
            origins: Vec::new(),
            events: Arc::new(NoEvents),
            environment: Arc::new(SystemEnvironment),
        }
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.0.issuer
    }

    pub(crate) fn resource(&self) -> &Issuer {
        &self.0.resource
    }

    pub(crate) fn allows_origin(&self, origin: &str) -> bool {
        self.0.origins.iter().any(|allowed| allowed == origin)
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.0.events.on(event);
    }

    /// The token, if it is one of the server's for this API and has not ended.
    pub(crate) async fn check(&self, token: &str) -> Result<AccessToken, Misdeed> {
        let claims = match &self.0.introspection {
            Some(header) => self.introspect(header, token).await?,
            None => self.verify(token).await?,
        };
        let now = self.0.clock.now(&*self.0.environment);
        let time = |name: &str| jwt::time(&claims, name).map_err(Misdeed::TokenInvalid);
        let invalid = |why| Err(Misdeed::TokenInvalid(why));
        if claims.get("iss").and_then(Value::as_str) != Some(self.0.issuer.as_str()) {
            return invalid("it is of another issuer");
        }
        if time("exp")?.is_none_or(|end| end <= now) {
            return invalid("it has expired, or has no expiry");
        }
        if time("nbf")?.is_some_and(|begin| begin > now.plus(SKEW)) {
            return invalid("it is not valid yet");
        }
        let of_client = is_of_client(&claims);
        let token = AccessToken::from_claims(claims, of_client);
        let token = token.ok_or(Misdeed::TokenInvalid("a claim is missing"))?;
        match token.audience.iter().any(|one| one == self.0.resource.as_str()) {
            true => Ok(token),
            false => invalid("it is meant for another audience"),
        }
    }

    /// Checks a JWT (RFC 9068 section 4).
    async fn verify(&self, token: &str) -> Result<Map<String, Value>, Misdeed> {
        let jws = Jws::parse(token).map_err(Misdeed::TokenInvalid)?;
        // An ID token of the same server must open nothing.
        let typ = jws.typ().unwrap_or_default();
        let typ = typ
            .get(.."application/".len())
            .filter(|p| p.eq_ignore_ascii_case("application/"))
            .map_or(typ, |prefix| typ.get(prefix.len()..).unwrap_or_default());
        if !typ.eq_ignore_ascii_case("at+jwt") {
            return Err(Misdeed::TokenInvalid("it is of another type"));
        }
        let mut verified = jws.verify(&self.keys().await?);
        if jws.wants_newer_keys(&verified) {
            verified = jws.verify(&self.newer_keys().await?);
        }
        verified.map_err(|why| match why {
            Unverified::Invalid(why) => Misdeed::TokenInvalid(why),
            Unverified::UnknownKey => Misdeed::TokenInvalid("its key is unknown"),
        })
    }

    /// Asks the authorization server (RFC 7662 section 2).
    async fn introspect(
        &self,
        header: &Secret,
        token: &str,
    ) -> Result<Map<String, Value>, Misdeed> {
        let endpoint = self.metadata("introspection_endpoint").await?;
        let form = [("token", token), ("token_type_hint", "access_token")];
        let answer = self.0.fetch.post(&endpoint, &form, Some(header), MAX_METADATA).await?;
        let failed = |why| Misdeed::Fetch(FetchError::new(&endpoint, why));
        if answer.status != 200 {
            return Err(failed("introspection was refused: are the client and its secret right?"));
        }
        let claims: Map<String, Value> =
            serde_json::from_slice(&answer.body).map_err(|_| failed("the answer is not JSON"))?;
        match claims.get("active") {
            Some(Value::Bool(true)) => Ok(claims),
            _ => Err(Misdeed::TokenInvalid("the authorization server says that it is not active")),
        }
    }

    /// The server's keys. While it is away, the last ones are used for a while.
    async fn keys(&self) -> Result<JwkSet, Misdeed> {
        let kept = self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let now = self.0.clock.now(&*self.0.environment);
        let younger_than = |kept: &Kept, age| now.since(kept.seen_at) < age;
        if let Some(kept) = kept.as_ref().filter(|kept| younger_than(kept, FRESH)) {
            return Ok(kept.keys.clone());
        }
        match self.fetched(FRESH, now).await {
            Ok(keys) => Ok(keys),
            Err(error) => match kept.filter(|kept| younger_than(kept, STALE)) {
                Some(kept) => Ok(kept.keys),
                None => Err(Misdeed::Fetch(error)),
            },
        }
    }

    /// The keys for a token whose key is not known. While the server is away nobody can say that it is not a
    /// new one.
    async fn newer_keys(&self) -> Result<JwkSet, Misdeed> {
        let now = self.0.clock.now(&*self.0.environment);
        Ok(self.fetched(FRESH_FOR_UNKNOWN, now).await?)
    }

    async fn fetched(&self, max_age: Duration, now: Time) -> Result<JwkSet, FetchError> {
        let url = self.metadata("jwks_uri").await?;
        let document = self.0.fetch.get(&url, max_age, MAX_JWK_SET).await?;
        let mut kept = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_mut().filter(|kept| Arc::ptr_eq(&kept.document, &document)) {
            kept.seen_at = now;
            return Ok(kept.keys.clone());
        }
        let keys = JwkSet::from_json(&document.body).map_err(|why| FetchError::new(&url, why))?;
        *kept = Some(Kept { document, keys: keys.clone(), seen_at: now });
        Ok(keys)
    }

    /// A URL of the server's metadata (RFC 8414 section 3).
    async fn metadata(&self, name: &str) -> Result<String, FetchError> {
        let issuer = &self.0.issuer;
        let url =
            format!("{}/.well-known/oauth-authorization-server{}", issuer.origin(), issuer.path());
        let document = self.0.fetch.get(&url, METADATA_FRESH, MAX_METADATA).await?;
        let failed = |why| FetchError::new(&url, why);
        let metadata: Map<String, Value> =
            serde_json::from_slice(&document.body).map_err(|_| failed("it is not JSON"))?;
        let text = |name: &str| metadata.get(name).and_then(Value::as_str);
        if text("issuer") != Some(issuer.as_str()) {
            return Err(failed("it is the metadata of another issuer"));
        }
        text(name).map(str::to_owned).ok_or_else(|| failed("the URL that is needed is not in it"))
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServer")
            .field("issuer", &self.0.issuer)
            .field("resource", &self.0.resource)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResourceServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServerBuilder")
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use pollster::block_on;
    use serde_json::json;

    use super::*;
    use crate::keys::Algorithm;
    use crate::server::AuthorizationServer;

    const API: &str = "https://api.example.com";

    struct InProcess(AuthorizationServer);

    #[async_trait]
    impl Fetch for InProcess {
        async fn get(&self, url: &str, _: Duration, _: usize) -> Result<Arc<Document>, FetchError> {
            let path = url.strip_prefix(self.0.issuer().as_str()).unwrap();
            let response = self.0.handle(&crate::http::Request::get(path)).await;
            let content_type = "application/json".to_owned();
            Ok(Arc::new(Document { status: response.status, content_type, body: response.body }))
        }
        async fn post(
            &self,
            url: &str,
            _: &[(&str, &str)],
            _: Option<&Secret>,
            _: usize,
        ) -> Result<Document, FetchError> {
            Err(FetchError::new(url, "not asked"))
        }
    }

    /// What else the server signs could have every claim that an access token has.
    #[test]
    fn the_type_tells_an_access_token_from_all_else_that_the_server_signs() {
        let server = crate::unit::server();
        let builder = ResourceServer::builder(server.issuer().as_str(), API);
        let api = builder.fetch(InProcess(server.clone())).build().unwrap();
        let now = server.now();
        let opens = |typ: &str, more: Value| {
            let mut claims = json!({
                "iss": server.issuer().as_str(), "sub": "ann", "client_id": "c", "aud": API,
                "scope": "openid", "exp": now.secs() + 60,
            });
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let claims = claims.as_object().unwrap();
            let token = server.keys().sign(Algorithm::EdDsa, typ, claims, now);
            block_on(api.check(block_on(token).unwrap().expose())).is_ok()
        };
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
            assert!(opens(typ, json!({})), "{typ}");
        }
        for typ in ["JWT", "", "userinfo+jwt", "logout+jwt", "application/jwt", "xat+jwt"] {
            assert!(!opens(typ, json!({})), "{typ}");
        }
        assert!(opens("at+jwt", json!({"nbf": now.secs() + 60, "exp": now.secs() + 60})));
        for odd in [
            json!({"nbf": now.secs() + 61}),
            json!({"nbf": (now.secs() + 62) as f64 + 0.5}),
            json!({"nbf": "soon"}),
            json!({"exp": now.secs().to_string()}),
            json!({"exp": null}),
            json!({"iss": "https://other.example.com"}),
            json!({"aud": [API, 1]}),
        ] {
            assert!(!opens("at+jwt", odd.clone()), "{odd}");
        }
    }
}
