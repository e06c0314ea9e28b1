//! Peer server: oxide-auth 0.6 on axum 0.8 (oxide-auth-axum 0.6), everything in memory.
//!
//! Prints `127.0.0.1:PORT` when it listens. Optional first argument: number of tokio worker threads.
//!
//!   GET  /authorize   authorization code, PKCE S256 required, owner `alice` always approves (302)
//!   POST /token       authorization_code | refresh_token | client_credentials
//!   GET  /me          protected resource: {"sub": OWNER} for a good bearer token
//!
//! The clients `app` (code + refresh) and `service` (client credentials) authenticate with HTTP Basic.

use std::sync::{Arc, Mutex};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
    Router,
};
use oxide_auth::{
    endpoint::{
        AccessTokenFlow, AuthorizationFlow, ClientCredentialsFlow, OwnerConsent, OwnerSolicitor,
        QueryParameter, RefreshFlow, ResourceFlow, Solicitation,
    },
    frontends::simple::{
        endpoint::{Generic, Vacant},
        extensions::{AddonList, Extended, Pkce},
    },
    primitives::{
        authorizer::AuthMap,
        generator::RandomGenerator,
        issuer::TokenMap,
        registrar::{Client, ClientMap, ExactUrl, PasswordPolicy, RegisteredUrl, RegistrarError},
        scope::Scope,
    },
};
use oxide_auth_axum::{OAuthRequest, OAuthResource, OAuthResponse, WebError};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The library's default is Argon2 on every client authentication; these secrets are long random
/// strings, for which one SHA-256 is enough and is what the other servers do.
struct Sha256Policy;

impl PasswordPolicy for Sha256Policy {
    fn store(&self, client_id: &str, passphrase: &[u8]) -> Vec<u8> {
        let mut h = Sha256::new();
        h.update(client_id.as_bytes());
        h.update([0u8]);
        h.update(passphrase);
        h.finalize().to_vec()
    }

    fn check(
        &self,
        client_id: &str,
        passphrase: &[u8],
        stored: &[u8],
    ) -> Result<(), RegistrarError> {
        let given = self.store(client_id, passphrase);
        if bool::from(given.as_slice().ct_eq(stored)) {
            Ok(())
        } else {
            Err(RegistrarError::Unspecified)
        }
    }
}

/// Approves every request as this owner, without asking.
struct AutoApprove(&'static str);

impl OwnerSolicitor<OAuthRequest> for AutoApprove {
    fn check_consent(
        &mut self,
        _: &mut OAuthRequest,
        _: Solicitation<'_>,
    ) -> OwnerConsent<OAuthResponse> {
        OwnerConsent::Authorized(self.0.to_string())
    }
}

struct Shared {
    /// Read only once the server runs, so without a lock.
    registrar: ClientMap,
    authorizer: Mutex<AuthMap<RandomGenerator>>,
    issuer: Mutex<TokenMap<RandomGenerator>>,
    addons: AddonList,
}

type App = State<Arc<Shared>>;

async fn authorize(State(s): App, req: OAuthRequest) -> Result<OAuthResponse, WebError> {
    let endpoint = Extended::extend_with(
        Generic {
            registrar: &s.registrar,
            authorizer: s.authorizer.lock().unwrap(),
            issuer: Vacant,
            solicitor: AutoApprove("alice"),
            scopes: Vacant,
            response: Vacant,
        },
        s.addons.clone(),
    );
    let mut flow =
        AuthorizationFlow::<_, OAuthRequest>::prepare(endpoint).map_err(WebError::from)?;
    flow.execute(req).map_err(WebError::from)
}

async fn token(State(s): App, req: OAuthRequest) -> Result<OAuthResponse, WebError> {
    let grant_type: Option<String> = req
        .body()
        .and_then(|b| b.unique_value("grant_type").map(|v| v.into_owned()));
    match grant_type.as_deref() {
        Some("refresh_token") => refresh(&s, req),
        Some("client_credentials") => client_credentials(&s, req),
        _ => code(&s, req),
    }
}

fn code(s: &Shared, req: OAuthRequest) -> Result<OAuthResponse, WebError> {
    let endpoint = Extended::extend_with(
        Generic {
            registrar: &s.registrar,
            authorizer: s.authorizer.lock().unwrap(),
            issuer: s.issuer.lock().unwrap(),
            solicitor: Vacant,
            scopes: Vacant,
            response: Vacant,
        },
        s.addons.clone(),
    );
    let mut flow = AccessTokenFlow::<_, OAuthRequest>::prepare(endpoint).map_err(WebError::from)?;
    flow.execute(req).map_err(WebError::from)
}

fn refresh(s: &Shared, req: OAuthRequest) -> Result<OAuthResponse, WebError> {
    let endpoint = Generic {
        registrar: &s.registrar,
        authorizer: Vacant,
        issuer: s.issuer.lock().unwrap(),
        solicitor: Vacant,
        scopes: Vacant,
        response: Vacant,
    };
    let mut flow = RefreshFlow::<_, OAuthRequest>::prepare(endpoint).map_err(WebError::from)?;
    flow.execute(req).map_err(WebError::from)
}

fn client_credentials(s: &Shared, req: OAuthRequest) -> Result<OAuthResponse, WebError> {
    let endpoint = Generic {
        registrar: &s.registrar,
        authorizer: Vacant,
        issuer: s.issuer.lock().unwrap(),
        solicitor: AutoApprove("service"),
        scopes: Vacant,
        response: Vacant,
    };
    let mut flow =
        ClientCredentialsFlow::<_, OAuthRequest>::prepare(endpoint).map_err(WebError::from)?;
    flow.execute(req).map_err(WebError::from)
}

async fn me(State(s): App, req: OAuthResource) -> Response {
    let scopes: Vec<Scope> = vec!["openid".parse().unwrap()];
    let endpoint = Generic {
        registrar: Vacant,
        authorizer: Vacant,
        issuer: s.issuer.lock().unwrap(),
        solicitor: Vacant,
        scopes,
        response: Vacant,
    };
    let mut flow = match ResourceFlow::<_, OAuthRequest>::prepare(endpoint) {
        Ok(flow) => flow,
        Err(e) => return WebError::from(e).into_response(),
    };
    match flow.execute(OAuthRequest::from(req)) {
        Ok(grant) => (
            [(header::CONTENT_TYPE, "application/json")],
            format!("{{\"sub\":\"{}\"}}", grant.owner_id),
        )
            .into_response(),
        Err(Ok(response)) => response.into_response(),
        Err(Err(e)) => WebError::from(e).into_response(),
    }
}

fn main() {
    let mut rt = tokio::runtime::Builder::new_multi_thread();
    rt.enable_all();
    if let Some(n) = std::env::args().nth(1) {
        rt.worker_threads(n.parse().expect("number of worker threads"));
    }
    rt.build().unwrap().block_on(serve());
}

async fn serve() {
    let mut registrar = ClientMap::new();
    // before the clients: it encodes their secrets
    registrar.set_password_policy(Sha256Policy);
    let redirect: RegisteredUrl = "https://app.example/cb".parse::<ExactUrl>().unwrap().into();
    registrar.register_client(Client::confidential(
        "app",
        redirect.clone(),
        "openid profile".parse().unwrap(),
        b"app-secret-app-secret-0123456789ab",
    ));
    registrar.register_client(Client::confidential(
        "service",
        redirect,
        "api:read".parse().unwrap(),
        b"service-secret-service-secret-0123",
    ));

    let mut addons = AddonList::new();
    addons.push_code(Pkce::required());

    // 32 random bytes (from the operating system's generator) in each code and token
    let shared = Arc::new(Shared {
        registrar,
        authorizer: Mutex::new(AuthMap::new(RandomGenerator::new(32))),
        issuer: Mutex::new(TokenMap::new(RandomGenerator::new(32))),
        addons,
    });

    let app = Router::new()
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .route("/me", get(me))
        .with_state(shared);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let listener = listener.tap_io(|io| {
        let _ = io.set_nodelay(true);
    });
    axum::serve(listener, app).await.unwrap();
}
