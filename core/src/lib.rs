//! Grantor: an embeddable OAuth 2.1 / OpenID Connect authorization-server engine.
//!
//! ```text
//!  browser ──▶ /oauth2/authorize ──▶ host's /login?ticket=… ──▶ /callback?code=…
//!                  validates            resume → proceed → approve        │
//!                                                                         ▼
//!  client  ◀── tokens ◀── Grant::apply ◀── authenticated client ◀── /oauth2/token
//! ```
//!
//! A host gives an [`AuthorizationServer`] three things: where records live ([`store`]), who its
//! people are ([`Subjects`]), and a page where they sign in ([`Interaction`]). The server answers
//! the protocol's paths with [`AuthorizationServer::handle`], in plain [`Request`]s and
//! [`Response`]s; an adapter moves the bytes of its web framework.
//!
//! ```
//! use grantor::store::Memory;
//! use grantor::{AuthorizationServer, Claims, Client, MasterKey, Request, Scope, Subjects};
//! use grantor::{SubjectError, SubjectStatus, SystemEnvironment, Time};
//!
//! struct People;
//!
//! #[async_trait::async_trait]
//! impl Subjects for People {
//!     async fn status(&self, _: &str) -> Result<SubjectStatus, SubjectError> {
//!         Ok(SubjectStatus::Active { valid_from: Time::EPOCH })
//!     }
//!     async fn claims(&self, _: &str) -> Result<Claims, SubjectError> {
//!         Ok(Claims::new())
//!     }
//! }
//!
//! # pollster::block_on(async {
//! let server = AuthorizationServer::builder("https://id.example.com")
//!     .store(Memory::new())
//!     .subjects(People)
//!     .master_key(MasterKey::generate(&SystemEnvironment)?)
//!     .interaction("/login")
//!     .build()
//!     .await?;
//!
//! let mut client = Client::public("client_shop", "Shop");
//! client.redirect_uris = vec!["https://shop.example.com/callback".into()];
//! client.scope = Scope::parse("openid profile")?;
//! server.clients().create(client).await?;
//!
//! let metadata = server.handle(&Request::get("/.well-known/openid-configuration")).await;
//! assert_eq!(metadata.status, 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Where to read on: [`grant`] is the heart, a pure state machine; [`store`] is the contract of a
//! backend, and `store_conformance!` (feature `conformance`) the same contract as tests.

mod backchannel;
mod browser_state;
mod builder;
mod client;
mod consent;
mod endpoint;
mod env;
mod error;
mod event;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod grant;
mod guard;
mod http;
mod interaction;
mod issuer;
mod json;
mod keys;
mod limit;
mod logout;
mod mac;
mod policy;
mod registration;
mod resource;
mod scope;
mod secret;
mod server;
mod session_end;
pub mod store;
mod subject;
#[cfg(feature = "testing")]
pub mod testing;
mod together;
mod token;
#[cfg(test)]
mod unit;

pub use backchannel::Delivery;
pub use builder::{BuildError, Builder};
pub use client::{
    AuthMethod, Client, ClientAuthentication, Clients, CreatedClient, GrantType, Localized,
    RegistryError, ResponseType, SecretEntry, Shown, SubjectType, UnknownName,
};
pub use consent::{ConsentDecision, ConsentPolicy, ConsentRequest};
pub use env::{Environment, RandomnessUnavailable, SystemEnvironment, Time};
pub use error::with_sources;
pub use event::{Event, Events};
pub use fetch::{Document, Fetch, FetchError};
pub use guard::{Admission, Guard};
pub use http::{MAX_BODY, MAX_QUERY, Method, Request, Response};
pub use interaction::{
    Consent, Interaction, InteractionError, Next, Pending, Session, SignInReason,
};
pub use issuer::{Issuer, IssuerError};
pub use keys::{
    Algorithm, JwkSet, JwkSetError, KeyError, KeyInfo, KeyRotation, MAX_JWK_SET, MasterKey, Signer,
    SignerError,
};
pub use limit::{Attempt, RateLimit};
pub use logout::Logout;
pub use policy::{EndsWithSession, MAX_TOKEN_LIFETIME, Policy, RefreshPolicy, Rotation};
pub use registration::{
    OpenRegistration, Registration, RegistrationByToken, RegistrationDecision, RegistrationRequest,
};
pub use resource::{ResourceError, ResourceServer, ResourceServerBuilder};
pub use scope::{MAX_SCOPES, MalformedScope, Scope};
pub use secret::{SealedSecret, Secret, SecretDigest};
pub use server::{AuthorizationServer, Failure, MaintenanceError, PageError};
pub use session_end::SignedOut;
pub use subject::{Claims, SubjectError, SubjectStatus, Subjects};
pub use token::access_token::AccessToken;
pub use token::claims_request::ClaimsByName;
