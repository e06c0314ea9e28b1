//! A server that the targets share: in memory, with a clock that they move.

pub mod http;

use async_trait::async_trait;
use grantor::store::Memory;
use grantor::testing::TestEnvironment;
use grantor::{
    Algorithm, AuthorizationServer, Builder, Claims, Client, GrantType, MasterKey,
    OpenRegistration, Policy, Scope, Secret, SubjectError, SubjectStatus, Subjects, Time,
};
use pollster::block_on;

pub const ISSUER: &str = "https://id.example.com";
pub const CALLBACK: &str = "https://rp.example/cb";
/// A public client of the host's own.
pub const SPA: &str = "client_spa";
/// A confidential one, whom people are asked about.
pub const WEB: &str = "client_web";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

struct Anybody;

#[async_trait]
impl Subjects for Anybody {
    async fn status(&self, _: &str) -> Result<SubjectStatus, SubjectError> {
        Ok(SubjectStatus::Active { valid_from: Time::EPOCH })
    }
    async fn claims(&self, _: &str) -> Result<Claims, SubjectError> {
        let mut claims = Claims::new();
        claims.insert("name".into(), "Ann \"Ünï\" <b>".into());
        Ok(claims)
    }
}

pub struct World {
    pub server: AuthorizationServer,
    pub store: Memory,
    pub clock: TestEnvironment,
    /// The secret of [`WEB`].
    pub secret: Secret,
}

impl World {
    pub fn new() -> Self {
        Self::at(ISSUER)
    }

    /// A world of another issuer. All worlds have the same secrets, so that the issuer alone tells what
    /// is theirs.
    pub fn at(issuer: &str) -> Self {
        Self::built(issuer, |builder| builder)
    }

    /// A world where everybody may register applications.
    pub fn open() -> Self {
        let scope = Scope::parse("openid profile").expect("a scope");
        Self::built(ISSUER, |builder| builder.registration(OpenRegistration { scope }))
    }

    fn built(issuer: &str, more: impl FnOnce(Builder) -> Builder) -> Self {
        let mut policy = Policy::default();
        policy.session_management = true;
        let (store, clock) = (Memory::new(), TestEnvironment::new());
        let builder = AuthorizationServer::builder(issuer)
            .store(store.clone())
            .subjects(Anybody)
            .master_key(MasterKey::from_bytes([7; 32]))
            .interaction("/login")
            .logout_page("/logout")
            .policy(policy)
            .environment(clock.clone());
        let server = block_on(more(builder).build()).expect("the server is built");
        let mut spa = Client::public(SPA, "Single-page app");
        spa.first_party = true;
        // For request objects. Nobody has the other half of the key (RFC 8037 appendix A.2).
        spa.jwks = Some(
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#
                .into(),
        );
        let mut web = Client::confidential(WEB, "Web app", &Secret::new(""));
        web.grant_types.push(GrantType::ClientCredentials);
        web.resources = vec![ISSUER.into()];
        let mut secret = None;
        for mut client in [spa, web] {
            client.redirect_uris = vec![CALLBACK.into()];
            client.post_logout_redirect_uris = vec!["https://rp.example/bye".into()];
            client.allowed_origins = vec!["https://rp.example".into()];
            // The slow keys are somebody else's to try.
            client.id_token_signed_response_alg = Some(Algorithm::EdDsa);
            client.scope = Scope::parse("openid profile email offline_access").expect("a scope");
            let created = block_on(server.clients().create(client)).expect("a client");
            secret = created.client_secret.or(secret);
        }
        Self { server, store, clock, secret: secret.expect("a secret") }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
