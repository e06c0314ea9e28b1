//! One host, several times: on axum and on actix, with its records in memory, on SQLite and on sled, each with a
//! server of its own that has the same clock, the same randomness and the same keys. Whatever is sent to all must be
//! answered alike.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "these are tests"
)]

pub mod on_actix;
pub mod on_axum;
pub mod storage;
pub mod wire;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;

use async_trait::async_trait;
use grantor::testing::TestEnvironment;
use grantor::{
    AuthorizationServer, Claims, Client, GrantType, Issuer, MasterKey, Next, Policy, Response,
    Scope, Secret, Session, SubjectError, SubjectStatus, Subjects, Time,
};
use pollster::block_on;

use crate::storage::Storage;

pub const ISSUER: &str = "https://id.example.com";
pub const CALLBACK: &str = "https://rp.example/cb";
pub const ORIGIN: &str = "https://rp.example";
/// The host's own API, as clients know it.
pub const API: &str = "https://id.example.com/api";
/// A public client of the host's own.
pub const SPA: &str = "client_spa";
/// A confidential one, whom people are asked about.
pub const WEB: &str = "client_web";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The host's people. One of them breaks the host.
struct People;

#[async_trait]
impl Subjects for People {
    async fn status(&self, _: &str) -> Result<SubjectStatus, SubjectError> {
        Ok(SubjectStatus::Active { valid_from: Time::EPOCH })
    }
    async fn claims(&self, subject: &str) -> Result<Claims, SubjectError> {
        assert_ne!(subject, "panics", "planted");
        Ok(Claims::from_iter([("name".to_owned(), format!("{subject} \"Ünï\"").into())]))
    }
}

/// A host that is being served on a port of this machine.
pub struct Host {
    pub name: &'static str,
    pub address: SocketAddr,
    pub server: AuthorizationServer,
    pub clock: TestEnvironment,
    /// The secret of [`WEB`].
    pub secret: Secret,
    /// What its server is kept on.
    _storage: Storage,
}

impl Host {
    fn new(
        name: &'static str,
        issuer: &str,
        storage: Storage,
        serve: impl FnOnce(TcpListener, AuthorizationServer),
    ) -> Self {
        // Making RSA keys takes longer than all else, and both must sign alike. Rings are sealed for their
        // issuer.
        static RINGS: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
        let issuer = Issuer::new(issuer).unwrap();
        let build = |storage: &Storage, clock: &TestEnvironment| {
            let mut policy = Policy::default();
            policy.apis = vec![API.into()];
            let builder = storage
                .under(AuthorizationServer::builder(issuer.as_str()))
                .subjects(People)
                .master_key(MasterKey::from_bytes([7; 32]))
                .interaction("/login")
                .logout_page("/logout")
                .policy(policy)
                .environment(clock.clone());
            block_on(builder.build()).unwrap()
        };
        let ring = RINGS
            .lock()
            .unwrap()
            .entry(issuer.to_string())
            .or_insert_with(|| {
                let memory = Storage::memory();
                build(&memory, &TestEnvironment::new());
                block_on(memory.keys().load(&issuer)).unwrap().unwrap().sealed
            })
            .clone();
        let clock = TestEnvironment::new();
        assert!(block_on(storage.keys().replace(&issuer, ring, 0)).unwrap());
        let server = build(&storage, &clock);
        let mut spa = Client::public(SPA, "Single-page app");
        spa.first_party = true;
        let mut web = Client::confidential(WEB, "Web app", &Secret::new(""));
        web.grant_types.push(GrantType::ClientCredentials);
        web.resources = vec![ISSUER.into()];
        let mut secrets = Vec::new();
        for mut client in [spa, web] {
            client.redirect_uris = vec![CALLBACK.into()];
            client.allowed_origins = vec![ORIGIN.into()];
            client.scope = Scope::parse("openid profile email offline_access").unwrap();
            secrets.extend(block_on(server.clients().create(client)).unwrap().client_secret);
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        serve(listener, server.clone());
        Self { name, address, server, clock, secret: secrets.remove(0), _storage: storage }
    }

    /// The host on both adapters, with its records in memory.
    pub fn both() -> [Self; 2] {
        Self::both_at(ISSUER)
    }

    /// The same for another issuer.
    pub fn both_at(issuer: &str) -> [Self; 2] {
        [
            Self::new("axum", issuer, Storage::memory(), on_axum::serve),
            Self::new("actix", issuer, Storage::memory(), on_actix::serve),
        ]
    }

    /// The host on both adapters and on every store.
    pub fn all() -> [Self; 4] {
        let [axum, actix] = Self::both();
        let on_sqlite = Self::new("axum on SQLite", ISSUER, Storage::sqlite(), on_axum::serve);
        let on_sled = Self::new("actix on sled", ISSUER, Storage::sled(), on_actix::serve);
        [axum, actix, on_sqlite, on_sled]
    }
}

/// What the host does when somebody comes to its login page: the person is signed in and allows
/// everything.
pub async fn sign_in(
    server: &AuthorizationServer,
    ticket: &str,
) -> Result<Response, grantor::InteractionError> {
    let session = Session::new("ann", "session", server.now());
    Ok(match server.resume(ticket).await?.proceed(Some(session)).await? {
        Next::Done(response) => response,
        Next::Consent(consent) => consent.answer(true).await?,
        Next::SignIn(pending, why) => {
            let who = &pending.client().client_name;
            Response::page(format!("<p>{who} wants you to sign in: {why:?}"))
        }
    })
}
