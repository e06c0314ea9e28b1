//! For the host's own tests: tokens without sockets, and a clock that is moved by hand.
//!
//! ```
//! use grantor::store::Memory;
//! use grantor::testing::{Anybody, TestEnvironment};
//! use grantor::{AuthorizationServer, Client, MasterKey, Request, Scope};
//! use std::time::Duration;
//!
//! # pollster::block_on(async {
//! let clock = TestEnvironment::new();
//! let server = AuthorizationServer::builder("https://id.example.com")
//!     .store(Memory::new())
//!     .subjects(Anybody)
//!     .master_key(MasterKey::from_bytes([1; 32]))
//!     .interaction("/login")
//!     .environment(clock.clone())
//!     .build()
//!     .await?;
//! let mut shop = Client::public("client_shop", "Shop");
//! shop.redirect_uris = vec!["https://shop.example.com/callback".into()];
//! shop.scope = Scope::parse("openid profile")?;
//! server.clients().create(shop).await?;
//!
//! let client = server.test_client("client_shop");
//! let tokens = client.sign_in_as("alice").await?;
//! let me = Request::get("/oauth2/userinfo").header("authorization", tokens.bearer());
//! assert_eq!(server.handle(&me).await.status, 200);
//!
//! clock.pass(Duration::from_secs(30 * 86_400));
//! assert_eq!(server.handle(&me).await.status, 401);
//! assert!(client.refresh(&tokens).await.is_err(), "unused for thirty days");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::client::Client;
use crate::env::{Environment, RandomnessUnavailable, Time};
use crate::http::{Request, Response};
use crate::interaction::{Next, Session};
use crate::secret::Secret;
use crate::server::{AuthorizationServer, path};
use crate::subject::{Claims, SubjectError, SubjectStatus, Subjects};

/// A clock that stands still until it is moved, and randomness that is the same at every run. Clones
/// share both. **Never in production**: its secrets can be guessed.
#[derive(Clone, Debug)]
pub struct TestEnvironment {
    now: Arc<AtomicI64>,
    random: Arc<AtomicU64>,
    dry: Arc<AtomicBool>,
}

impl TestEnvironment {
    /// It is some moment in November 2023.
    #[must_use]
    pub fn new() -> Self {
        Self::seeded(42)
    }

    /// The same with other randomness.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            now: Arc::new(AtomicI64::new(1_700_000_000_000)),
            random: Arc::new(AtomicU64::new(seed)),
            dry: Arc::default(),
        }
    }

    /// Time passes.
    pub fn pass(&self, duration: Duration) {
        let later = self.now().plus(duration);
        self.now.store(later.millis(), Ordering::SeqCst);
    }

    /// The clock is set back, as by an operator. A server's own time stands still then.
    pub fn step_back(&self, duration: Duration) {
        let earlier = self.now().minus(duration);
        self.now.store(earlier.millis(), Ordering::SeqCst);
    }

    /// Whether the operating system gives no randomness: nothing must be issued then.
    pub fn run_dry(&self, dry: bool) {
        self.dry.store(dry, Ordering::SeqCst);
    }
}

impl Default for TestEnvironment {
    fn default() -> Self {
        Self::new()
    }
}

impl Environment for TestEnvironment {
    fn now(&self) -> Time {
        Time::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessUnavailable> {
        if self.dry.load(Ordering::SeqCst) {
            return Err(RandomnessUnavailable);
        }
        for chunk in bytes.chunks_mut(8) {
            // A step of SplitMix64: different numbers, whatever the seed.
            let mut next = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
            next = (next ^ (next >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            next = (next ^ (next >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            for (byte, random) in chunk.iter_mut().zip((next ^ (next >> 31)).to_be_bytes()) {
                *byte = random;
            }
        }
        Ok(())
    }
}

/// People of whom everybody is there and nothing is known.
#[derive(Clone, Copy, Debug)]
pub struct Anybody;

#[async_trait]
impl Subjects for Anybody {
    async fn status(&self, _: &str) -> Result<SubjectStatus, SubjectError> {
        Ok(SubjectStatus::Active { valid_from: Time::EPOCH })
    }
    async fn claims(&self, _: &str) -> Result<Claims, SubjectError> {
        Ok(Claims::new())
    }
}

impl AuthorizationServer {
    /// A client of this server, for tests.
    #[must_use]
    pub fn test_client(&self, client_id: impl Into<String>) -> TestClient<'_> {
        TestClient { server: self, client_id: client_id.into(), secret: None, scope: None }
    }
}

/// A registered client that goes through the whole flow in process: authorization request, the host's
/// people, consent, code, PKCE, tokens. See [`AuthorizationServer::test_client`].
#[derive(Clone, Debug)]
pub struct TestClient<'a> {
    server: &'a AuthorizationServer,
    client_id: String,
    secret: Option<Secret>,
    scope: Option<String>,
}

/// A step of the flow that was not answered as a test wanted it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}: {answer}")]
pub struct TestFailure {
    what: &'static str,
    answer: String,
    /// The status of the answer, when there was one.
    pub status: Option<u16>,
}

impl TestFailure {
    fn of(what: &'static str, response: &Response) -> Self {
        let body = String::from_utf8_lossy(&response.body);
        let to = response.get("location").unwrap_or_default();
        let answer = format!("{} {to} {body}", response.status);
        Self { what, answer, status: Some(response.status) }
    }

    fn before(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, answer: why.into(), status: None }
    }
}

/// What the token endpoint gave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestTokens {
    /// The access token.
    pub access_token: Secret,
    /// The refresh token, when the client may refresh.
    pub refresh_token: Option<Secret>,
    /// The ID token, when `openid` was asked for.
    pub id_token: Option<Secret>,
    /// What was granted.
    pub scope: String,
}

impl TestTokens {
    /// The value of an `Authorization` header.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.access_token.expose())
    }
}

/// The code verifier of every [`TestClient`]: the example of RFC 7636 appendix B.
pub const CODE_VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

impl TestClient<'_> {
    /// The secret of a confidential client.
    #[must_use]
    pub fn secret(self, secret: &Secret) -> Self {
        Self { secret: Some(secret.clone()), ..self }
    }

    /// What to ask for; everything that the client may have, when not set.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        Self { scope: Some(scope.into()), ..self }
    }

    /// A person signs in now and allows everything that is asked for.
    ///
    /// # Errors
    /// [`TestFailure`] says which step was refused, and how.
    pub async fn sign_in_as(&self, subject: &str) -> Result<TestTokens, TestFailure> {
        let code = self.code(subject).await?;
        self.redeem(&code).await
    }

    async fn client(&self) -> Result<Arc<Client>, TestFailure> {
        let found = self.server.clients().find(&self.client_id).await.ok().flatten();
        found.ok_or_else(|| TestFailure::before("no such client", &self.client_id))
    }

    /// Redeems a code.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn redeem(&self, code: &str) -> Result<TestTokens, TestFailure> {
        let client = self.client().await?;
        self.tokens(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", client.redirect_uris.first().map_or("", String::as_str)),
            ("code_verifier", CODE_VERIFIER),
        ])
        .await
    }

    /// Uses the refresh token.
    ///
    /// # Errors
    /// When there is none, or it is refused.
    pub async fn refresh(&self, tokens: &TestTokens) -> Result<TestTokens, TestFailure> {
        let none = || TestFailure::before("no refresh token", "the client may not refresh");
        let token = tokens.refresh_token.as_ref().ok_or_else(none)?;
        self.tokens(&[("grant_type", "refresh_token"), ("refresh_token", token.expose())]).await
    }

    /// A person signs in now and allows everything that is asked for; the code that the client gets.
    ///
    /// # Errors
    /// [`TestFailure`] says which step was refused, and how.
    pub async fn code(&self, subject: &str) -> Result<String, TestFailure> {
        let client = self.client().await?;
        let scope = self.scope.clone().unwrap_or_else(|| client.scope.to_string());
        let form = Request::form(
            path::AUTHORIZE,
            &[
                ("response_type", "code"),
                ("client_id", &self.client_id),
                ("redirect_uri", client.redirect_uris.first().map_or("", String::as_str)),
                ("scope", &scope),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ],
        );
        let query = String::from_utf8_lossy(&form.body);
        let issuer_path = self.server.issuer().path();
        let target = format!("{issuer_path}{}?{query}", path::AUTHORIZE);
        let login = self.server.handle(&Request::get(&target)).await;
        let refused = || TestFailure::of("the authorization request", &login);
        let ticket = parameter(&login, "ticket").ok_or_else(refused)?;
        let id = format!("test session of {subject}");
        let session = Session::new(subject, id, self.server.now());
        let failed = |error: crate::InteractionError| {
            TestFailure::of("the interaction", &error.into_response())
        };
        let interaction = self.server.resume(&ticket).await.map_err(failed)?;
        let response = match interaction.proceed(Some(session)).await.map_err(failed)? {
            Next::Done(response) => response,
            Next::Consent(consent) => consent.answer(true).await.map_err(failed)?,
            Next::SignIn(_, why) => {
                return Err(TestFailure::before("the person", format!("{why:?}")));
            }
        };
        parameter(&response, "code").ok_or_else(|| TestFailure::of("the approval", &response))
    }

    async fn tokens(&self, fields: &[(&str, &str)]) -> Result<TestTokens, TestFailure> {
        let mut fields = fields.to_vec();
        fields.push(("client_id", &self.client_id));
        if let Some(secret) = &self.secret {
            fields.push(("client_secret", secret.expose()));
        }
        let target = format!("{}{}", self.server.issuer().path(), path::TOKEN);
        let response = self.server.handle(&Request::form(&target, &fields)).await;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let refused = || TestFailure::of("the token request", &response);
        Ok(TestTokens {
            access_token: Secret::new(text("access_token").ok_or_else(refused)?),
            refresh_token: text("refresh_token").map(Secret::new),
            id_token: text("id_token").map(Secret::new),
            scope: text("scope").unwrap_or_default().to_owned(),
        })
    }
}

/// A parameter of a redirect.
fn parameter(response: &Response, name: &str) -> Option<String> {
    let (_, query) = response.get("location")?.split_once('?')?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(have, _)| have == name).map(|(_, value)| value.into_owned())
}
