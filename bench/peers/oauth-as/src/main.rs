//! Peer server: oauth-as 1.0 with its own `http` service on axum 0.8, MemoryStorage.
//!
//!   peer-oauth-as [opaque|jwt] [WORKER_THREADS]      (default: opaque, one thread per core)
//!
//! Prints `127.0.0.1:PORT` when it listens. `jwt` signs every access token (code flow too) with
//! Ed25519 as RFC 9068 at+jwt; the format is one for the whole server.
//!
//!   GET  /authorize    authorization code, PKCE S256 required; resource owner `alice`, approved
//!   POST /token        authorization_code | refresh_token (rotating) | client_credentials
//!   POST /introspect   by the token's own client
//!   POST /revoke
//!   GET  /jwks         with `jwt`
//!   GET  /.well-known/oauth-authorization-server

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::serve::ListenerExt;
use oauth_as::client::{Client, ClientAuth, ClientId, SecretHash};
use oauth_as::grant::GrantType;
use oauth_as::http::{ApprovalDecision, ServiceBuilder};
use oauth_as::jwt::{AccessTokenFormat, JwtConfig};
use oauth_as::scope::ScopeSet;
use oauth_as::server::{AuthorizationServer, ServerConfig};
use oauth_as::store::{MemoryStorage, Storage};
use oauth_as::Ed25519Signer;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    let mut args = std::env::args().skip(1);
    let jwt = match args.next().as_deref() {
        None | Some("opaque") => false,
        Some("jwt") => true,
        Some(other) => return Err(format!("opaque or jwt, not {other}").into()),
    };
    let mut rt = tokio::runtime::Builder::new_multi_thread();
    rt.enable_all();
    if let Some(n) = args.next() {
        rt.worker_threads(n.parse()?);
    }
    rt.build()?.block_on(serve(jwt))
}

async fn serve(jwt: bool) -> Fallible<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let issuer = format!("http://{addr}");

    let mut config = ServerConfig::new(issuer.clone(), format!("{issuer}/device"));
    config.refresh_token_ttl = Some(Duration::from_secs(14 * 24 * 3600));
    if jwt {
        // a fixed seed: this server is only ever measured
        let key = Ed25519Signer::from_seed_bytes("ed-1", &[0x42u8; 32])?;
        config.access_token_format = AccessTokenFormat::Jwt(Box::new(
            JwtConfig::new(key, "https://api.example").with_jwks_uri(format!("{issuer}/jwks")),
        ));
    }

    let server = Arc::new(AuthorizationServer::new(config, MemoryStorage::new()));

    let scopes = ScopeSet::from_tokens(["openid", "profile"])?;
    server
        .register_client(Client {
            client_id: ClientId::new("app"),
            auth: ClientAuth::ConfidentialSecretHash {
                hash: SecretHash::sha256("app-secret-app-secret-0123456789ab"),
            },
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            redirect_uris: vec!["https://app.example/cb".to_string()],
            allowed_scopes: scopes.clone(),
            default_scopes: scopes,
            name: Some("app".to_string()),
            registration: None,
        })
        .await?;
    let api = ScopeSet::from_tokens(["api:read"])?;
    server
        .register_client(Client {
            client_id: ClientId::new("service"),
            auth: ClientAuth::ConfidentialSecretHash {
                hash: SecretHash::sha256("service-secret-service-secret-0123"),
            },
            grant_types: vec![GrantType::ClientCredentials],
            redirect_uris: vec![],
            allowed_scopes: api.clone(),
            default_scopes: api,
            name: Some("service".to_string()),
            registration: None,
        })
        .await?;

    // The library has no timers: sweeping expired records is the host's duty.
    let sweep = Arc::clone(&server);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(60));
        loop {
            tick.tick().await;
            if let Err(e) = sweep.store().sweep_expired(SystemTime::now()).await {
                eprintln!("sweep: {e}");
            }
        }
    });

    let service = ServiceBuilder::new(Arc::clone(&server))
        .with_subject_resolver(|_headers| Some("alice".to_string()))
        .with_approval_resolver(|_request| ApprovalDecision::Approve)
        .build()?;
    let app = axum::Router::from(service);

    println!("{addr}");
    let listener = listener.tap_io(|io| {
        let _ = io.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}
