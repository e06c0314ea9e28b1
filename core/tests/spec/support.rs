//! A server with one of everything, whose clock the test moves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use grantor::grant::{Grant, GrantId, Outcome, Step};
use grantor::store::{Inserted, KeyStore as _, Memory, Owner, Remembered, StoreError, TokenStore};
use grantor::testing::TestEnvironment;
use grantor::{
    AuthorizationServer, Builder, Claims, Client, Event, Events, GrantType, Issuer, MasterKey,
    Next, Policy, Request, Response, Scope, Secret, Session, SubjectError, SubjectStatus, Subjects,
    Time,
};
use pollster::block_on;
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const SPA: &str = "client_spa";
pub(crate) const WEB: &str = "client_web";
pub(crate) const OTHER: &str = "client_other";
pub(crate) const THIRD: &str = "client_third";
pub(crate) const SERVICE: &str = "client_service";
pub(crate) const CALLBACK: &str = "https://rp.example/cb";
pub(crate) const ORIGIN: &str = "https://rp.example";

/// The host's people: whoever is asked for, unless a test disables them.
#[derive(Clone, Default)]
pub(crate) struct People(Arc<Mutex<HashMap<String, SubjectStatus>>>, Arc<AtomicBool>);

impl People {
    pub(crate) fn set(&self, subject: &str, status: SubjectStatus) {
        self.0.lock().unwrap().insert(subject.into(), status);
    }
    pub(crate) fn break_down(&self, broken: bool) {
        self.1.store(broken, Ordering::SeqCst);
    }
}

#[async_trait]
impl Subjects for People {
    async fn status(&self, subject: &str) -> Result<SubjectStatus, SubjectError> {
        if self.1.load(Ordering::SeqCst) {
            return Err(SubjectError::new("the users table is away"));
        }
        let status = self.0.lock().unwrap().get(subject).copied();
        Ok(status.unwrap_or(SubjectStatus::Active { valid_from: Time::EPOCH }))
    }
    async fn claims(&self, subject: &str) -> Result<Claims, SubjectError> {
        let claims = json!({
            "name": "Ann Example", "given_name": "Ann", "family_name": "Example",
            "picture": null, "email": format!("{subject}@example.com"), "email_verified": true,
            "sub": "somebody else", "phone_number": "+1 555 0100",
        });
        Ok(claims.as_object().unwrap().clone())
    }
    async fn token_claims(&self, _: &str) -> Result<Claims, SubjectError> {
        let claims = json!({
            "org_id": "acme", "sub": "admin", "scope": "everything", "aud": "x", "nbf": 9, "cnf": {},
            "act": {"sub": "x"}, "nonce": "n", "active": false, "token_type": "x", "iss": "https://evil.example",
            "exp": 9_999_999_999_i64, "iat": 0, "jti": "at_x", "azp": "x", "client_id": "client_web", "sid": "x",
            "acr": "gold", "amr": ["hwk"], "auth_time": 0, "at_hash": "x",
        });
        Ok(claims.as_object().unwrap().clone())
    }
}

/// Counts what is asked of the token store, and fails on demand.
#[derive(Clone, Default)]
pub(crate) struct Counting {
    inner: Memory,
    calls: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
    /// What somebody else does just before the next grant is stored.
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

impl Counting {
    fn count(&self) -> Result<(), StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match self.broken.load(Ordering::SeqCst) {
            true => Err(StoreError::new("the disk is full: /secret/path")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl TokenStore for Counting {
    async fn insert(&self, g: Grant, r: Option<Remembered>) -> Result<Inserted, StoreError> {
        self.count()?;
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        TokenStore::insert(&self.inner, g, r).await
    }
    async fn apply(&self, id: GrantId, step: Step, now: Time) -> Result<Outcome, StoreError> {
        self.count()?;
        self.inner.apply(id, step, now).await
    }
    async fn find(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        self.count()?;
        TokenStore::find(&self.inner, id).await
    }
    async fn list(
        &self,
        of: &Owner,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError> {
        self.count()?;
        TokenStore::list(&self.inner, of, after, limit).await
    }
    async fn revoke(&self, of: &Owner, now: Time) -> Result<u64, StoreError> {
        self.count()?;
        self.inner.revoke(of, now).await
    }
    async fn remembered(
        &self,
        issuer: &grantor::Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        self.count()?;
        self.inner.remembered(issuer, subject, client_id).await
    }
    async fn consents(
        &self,
        issuer: &grantor::Issuer,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Remembered>, StoreError> {
        self.count()?;
        self.inner.consents(issuer, subject, after, limit).await
    }
    async fn remember(&self, consent: Remembered) -> Result<(), StoreError> {
        self.count()?;
        self.inner.remember(consent).await
    }
    async fn forget(
        &self,
        issuer: &grantor::Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<bool, StoreError> {
        self.count()?;
        self.inner.forget(issuer, subject, client_id).await
    }
    async fn purge(&self, now: Time, limit: usize) -> Result<usize, StoreError> {
        self.count()?;
        self.inner.purge(now, limit).await
    }
}

/// Keeps every event as text.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Events for Log {
    fn on(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

pub(crate) struct World {
    pub(crate) server: AuthorizationServer,
    pub(crate) people: People,
    pub(crate) store: Counting,
    pub(crate) secret: Secret,
    pub(crate) other_secret: Secret,
    pub(crate) service_secret: Secret,
    log: Log,
    bench: TestEnvironment,
    memory: Memory,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Policy::default())
    }

    /// With hooks of the host's.
    pub(crate) fn hooked(policy: Policy, hooks: impl FnOnce(Builder) -> Builder) -> Self {
        Self::on(policy, Self::memory_with_keys(), hooks)
    }

    pub(crate) fn with(policy: Policy) -> Self {
        Self::hooked(policy, |builder| builder)
    }

    /// All worlds of a test run share one ring of keys: making RSA keys takes longer than all else.
    fn memory_with_keys() -> Memory {
        static RING: OnceLock<Vec<u8>> = OnceLock::new();
        let issuer = Issuer::new(ISSUER).unwrap();
        let ring = RING.get_or_init(|| {
            let first = Self::with_own_keys(Policy::default());
            block_on(first.memory.load(&issuer)).unwrap().unwrap().sealed
        });
        let memory = Memory::new();
        assert!(block_on(memory.replace(&issuer, ring.clone(), 0)).unwrap());
        memory
    }

    pub(crate) fn with_own_keys(policy: Policy) -> Self {
        Self::on(policy, Memory::new(), |builder| builder)
    }

    fn on(policy: Policy, memory: Memory, hooks: impl FnOnce(Builder) -> Builder) -> Self {
        static SEED: AtomicU64 = AtomicU64::new(42);
        let seed = SEED.fetch_add(0x1234_5678_9ABC, Ordering::SeqCst);
        let bench = TestEnvironment::seeded(seed);
        let store = Counting { inner: memory.clone(), ..Counting::default() };
        Self::open(policy, bench, memory, store, hooks)
    }

    /// The source of randomness runs dry.
    pub(crate) fn run_dry(&self, dry: bool) {
        self.bench.run_dry(dry);
    }

    /// A second process on the same store and the same clock.
    pub(crate) fn another_process(&self, policy: Policy) -> AuthorizationServer {
        self.another_server(ISSUER, policy)
    }

    /// A server on the same store and the same clock.
    pub(crate) fn another_server(&self, issuer: &str, policy: Policy) -> AuthorizationServer {
        let builder = AuthorizationServer::builder(issuer)
            .clients(self.memory.clone())
            .tokens(self.store.clone())
            .keys(self.memory.clone())
            .subjects(self.people.clone())
            .master_key(MasterKey::from_bytes([7; 32]))
            .environment(self.bench.clone())
            .policy(policy);
        block_on(builder.build()).unwrap()
    }

    fn open(
        mut policy: Policy,
        bench: TestEnvironment,
        memory: Memory,
        store: Counting,
        hooks: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        policy.scopes = policy.scopes.union(&Scope::parse("orders:read orders:write").unwrap());
        let (people, log) = (People::default(), Log::default());
        let builder = AuthorizationServer::builder(ISSUER)
            .clients(memory.clone())
            .tokens(store.clone())
            .keys(memory.clone())
            .subjects(people.clone())
            .master_key(MasterKey::from_bytes([7; 32]))
            .interaction("/login")
            .logout_page("/logout")
            .events(log.clone())
            .environment(bench.clone())
            .policy(policy);
        let server = block_on(hooks(builder).build()).unwrap();
        let secret = Secret::new("");
        let mut spa = Client::public(SPA, "Single-page app");
        spa.first_party = true;
        let mut web = Client::confidential(WEB, "Web app", &secret);
        web.first_party = true;
        let other = Client::confidential(OTHER, "Other app", &secret);
        let third = Client::public(THIRD, "Third-party app");
        let mut service = Client::confidential(SERVICE, "Service", &secret);
        service.grant_types = vec![GrantType::ClientCredentials];
        service.resources = vec![ISSUER.into()];
        let mut secrets = Vec::new();
        for mut client in [spa, web, other, third, service] {
            client.redirect_uris = vec![CALLBACK.into()];
            client.allowed_origins = vec![match client.client_id.as_str() {
                OTHER => "https://other.example".into(),
                _ => ORIGIN.to_owned(),
            }];
            client.scope = Scope::parse("openid profile email offline_access orders:read").unwrap();
            secrets.push(block_on(server.clients().create(client)).unwrap().client_secret);
        }
        let mut take = |n: usize| secrets[n].take().unwrap();
        let (secret, other_secret, service_secret) = (take(1), take(2), take(4));
        log.0.lock().unwrap().clear();
        Self { server, people, store, secret, other_secret, service_secret, log, bench, memory }
    }

    /// The clock.
    pub(crate) fn clock(&self) -> TestEnvironment {
        self.bench.clone()
    }

    /// Moves the clock.
    pub(crate) fn pass(&self, seconds: u64) {
        self.pass_millis(seconds * 1000);
    }

    pub(crate) fn pass_millis(&self, millis: u64) {
        self.bench.pass(Duration::from_millis(millis));
    }

    pub(crate) fn step_back(&self, seconds: u64) {
        self.bench.step_back(Duration::from_secs(seconds));
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.log.0.lock().unwrap().clone()
    }

    pub(crate) fn saw(&self, event: &str) -> bool {
        self.events().iter().any(|seen| seen.starts_with(event))
    }

    /// How often the token store is asked while `work` runs.
    pub(crate) fn calls<R>(&self, work: impl FnOnce() -> R) -> (u64, R) {
        let before = self.store.calls.load(Ordering::SeqCst);
        let result = work();
        (self.store.calls.load(Ordering::SeqCst) - before, result)
    }

    pub(crate) fn break_store(&self, broken: bool) {
        self.store.broken.store(broken, Ordering::SeqCst);
    }

    pub(crate) fn send(&self, request: &Request) -> Response {
        block_on(self.server.handle(request))
    }

    /// Changes a registered client.
    pub(crate) fn change(&self, client_id: &str, change: impl FnOnce(&mut Client)) {
        let clients = self.server.clients();
        let mut client = Client::clone(&block_on(clients.find(client_id)).unwrap().unwrap());
        change(&mut client);
        block_on(clients.update(client)).unwrap();
    }

    /// A session of Ann's, begun now.
    pub(crate) fn session(&self) -> Session {
        Session::new("ann", "session of ann", self.server.now())
    }

    /// An authorization request of a client, with changes: a value replaces, an empty one removes.
    pub(crate) fn authorize(&self, client_id: &str, changes: &[(&str, &str)]) -> Response {
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", CALLBACK),
            ("scope", "openid profile email"),
            ("state", "xyz"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in changes {
            parameters.retain(|(have, _)| have != name);
            if !value.is_empty() {
                parameters.push((name, value));
            }
        }
        let form = Request::form("/", &parameters);
        let query = String::from_utf8(form.body).unwrap();
        self.send(&Request::get(&format!("/oauth2/authorize?{query}")))
    }

    /// The ticket of a request that was accepted.
    pub(crate) fn ticket(&self, client_id: &str, changes: &[(&str, &str)]) -> String {
        let response = self.authorize(client_id, changes);
        assert_eq!(response.status, 303, "{}", text(&response));
        let location = response.get("location").unwrap();
        let ticket = location.strip_prefix("https://id.example.com/login?ticket=");
        ticket.unwrap_or_else(|| panic!("no ticket: {location}")).to_owned()
    }

    pub(crate) fn proceed(&self, ticket: &str, session: Option<Session>) -> Next {
        block_on(async {
            self.server.resume(ticket).await.unwrap().proceed(session).await.unwrap()
        })
    }

    /// Goes through login and consent as Ann.
    pub(crate) fn approve(&self, ticket: &str) -> Response {
        match self.proceed(ticket, Some(self.session())) {
            Next::Done(response) => response,
            Next::Consent(consent) => {
                let scope = consent.scope().clone();
                block_on(consent.approve(&scope)).unwrap()
            }
            Next::SignIn(_, reason) => panic!("a login is wanted: {reason:?}"),
        }
    }

    /// A code for a client.
    pub(crate) fn code(&self, client_id: &str) -> String {
        let response = self.approve(&self.ticket(client_id, &[]));
        parameter(&response, "code").expect("a code")
    }

    /// The token request of a client, with its credentials.
    pub(crate) fn token(&self, client_id: &str, parameters: &[(&str, &str)]) -> Response {
        self.send(&self.as_client(client_id, "/oauth2/token", parameters))
    }

    /// A request with the client's credentials: `client_id` for a public one, Basic for the rest.
    pub(crate) fn as_client(
        &self,
        client_id: &str,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Request {
        let secret = match client_id {
            WEB => &self.secret,
            OTHER => &self.other_secret,
            SERVICE => &self.service_secret,
            _ => {
                let mut parameters = parameters.to_vec();
                parameters.push(("client_id", client_id));
                return Request::form(path, &parameters);
            }
        };
        Request::form(path, parameters).header("authorization", basic(client_id, secret.expose()))
    }

    pub(crate) fn redeem(&self, client_id: &str, code: &str) -> Response {
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.token(client_id, &parameters)
    }

    pub(crate) fn refresh(&self, client_id: &str, refresh_token: &str) -> Response {
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        self.token(client_id, &parameters)
    }

    /// The tokens of a fresh flow.
    pub(crate) fn tokens(&self, client_id: &str) -> Value {
        let response = self.redeem(client_id, &self.code(client_id));
        assert_eq!(response.status, 200, "{}", text(&response));
        json_body(&response)
    }

    pub(crate) fn service_token(&self) -> String {
        let grant = [("grant_type", "client_credentials")];
        str_of(&json_body(&self.token(SERVICE, &grant)), "access_token")
    }

    pub(crate) fn userinfo(&self, access_token: &str) -> Response {
        self.send(&bearer(Request::get("/oauth2/userinfo"), access_token))
    }

    pub(crate) fn is_alive(&self, access_token: &str) -> bool {
        match self.userinfo(access_token).status {
            200 => true,
            401 => false,
            other => panic!("userinfo answered {other}"),
        }
    }

    pub(crate) fn introspect(&self, client_id: &str, token: &str) -> Value {
        let request = self.as_client(client_id, "/oauth2/introspect", &[("token", token)]);
        let response = self.send(&request);
        assert_eq!(response.status, 200, "{}", text(&response));
        json_body(&response)
    }

    /// Has something done just before the next grant is stored.
    pub(crate) fn meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        *self.store.meanwhile.lock().unwrap() = Some(Box::new(act));
    }

    /// Puts a grant back as it was: what a restored backup does.
    pub(crate) fn restore(&self, backup: Grant) {
        block_on(self.memory.purge(Time::from_millis(i64::MAX), usize::MAX)).unwrap();
        block_on(TokenStore::insert(&self.memory, backup, None)).unwrap();
    }

    /// The sealed ring, as it is stored.
    pub(crate) fn ring(&self) -> Vec<u8> {
        block_on(self.memory.load(self.server.issuer())).unwrap().unwrap().sealed
    }

    /// Every grant of Ann's, as it is stored.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let owner = Owner::Subject(self.server.issuer().clone(), "ann".into());
        block_on(TokenStore::list(&self.memory, &owner, None, 1000)).unwrap()
    }
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

pub(crate) fn bearer(request: Request, token: &str) -> Request {
    request.header("authorization", format!("Bearer {token}"))
}

pub(crate) fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

pub(crate) fn json_body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

pub(crate) fn str_of(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

/// A parameter of a redirect, in its query or in its fragment, decoded once.
pub(crate) fn parameter(response: &Response, name: &str) -> Option<String> {
    let location = response.get("location").expect("a redirect");
    let (_, query) = location.split_once(['?', '#'])?;
    let pairs: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert!(pairs.iter().filter(|(have, _)| have == name).count() <= 1, "{location}");
    pairs.into_iter().find(|(have, _)| have == name).map(|(_, value)| value)
}

/// The claims of a JWT, unverified.
pub(crate) fn claims(jwt: &str) -> Value {
    part(jwt, 1)
}

pub(crate) fn jose_header(jwt: &str) -> Value {
    part(jwt, 0)
}

fn part(jwt: &str, n: usize) -> Value {
    let part = jwt.split('.').nth(n).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Asserts a JSON error of an endpoint for machines, and what every such error must carry.
pub(crate) fn assert_error(response: &Response, status: u16, error: &str) {
    assert_eq!(response.status, status, "{}", text(response));
    let body = json_body(response);
    assert_eq!(body["error"], error, "{body}");
    assert!(body["error_description"].as_str().is_some_and(|d| !d.is_empty()), "{body}");
    assert_eq!(response.get("cache-control"), Some("no-store"));
    assert_eq!(response.get("content-type"), Some("application/json"));
    assert_eq!(response.get("x-content-type-options"), Some("nosniff"));
}

/// Asserts an error that goes back to the client: to its own URI, with state and iss.
pub(crate) fn assert_redirected(response: &Response, error: &str) {
    assert_eq!(response.status, 303, "{}", text(response));
    let location = response.get("location").unwrap();
    assert!(location.starts_with(&format!("{CALLBACK}?")), "{location}");
    assert_eq!(parameter(response, "error").as_deref(), Some(error), "{location}");
    assert!(parameter(response, "error_description").is_some());
    assert_eq!(parameter(response, "state").as_deref(), Some("xyz"));
    assert_eq!(parameter(response, "iss").as_deref(), Some(ISSUER));
    assert_eq!(parameter(response, "code"), None);
}

/// Asserts an error page: nobody is sent anywhere.
pub(crate) fn assert_page(response: &Response, code: &str) {
    assert_eq!(response.status, 400, "{}", text(response));
    assert_eq!(response.get("location"), None);
    assert_eq!(response.get("content-type"), Some("text/html; charset=utf-8"));
    assert!(text(response).contains(&format!("Authorization error: {code}")), "{}", text(response));
}

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
