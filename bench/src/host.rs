//! The server that is measured: a host on axum with SQLite at its durable default, as an embedder would write it.

use std::path::Path;

use async_trait::async_trait;
use axum::Router;
use grantor::{
    Algorithm, AuthorizationServer, Claims, Client, GrantType, MasterKey, Scope, Secret,
    SubjectError, SubjectStatus, Subjects, Time,
};
use grantor_sqlite::Sqlite;

use crate::Result;

struct People;

#[async_trait]
impl Subjects for People {
    async fn status(&self, _: &str) -> std::result::Result<SubjectStatus, SubjectError> {
        Ok(SubjectStatus::Active { valid_from: Time::EPOCH })
    }
    async fn claims(&self, _: &str) -> std::result::Result<Claims, SubjectError> {
        Ok(Claims::new())
    }
}

/// Serves until it is told to stop. The first line that it prints is the address and the credentials of its client.
pub(crate) async fn serve(folder: &Path) -> Result<()> {
    let store = Sqlite::open(folder.join("grantor.db"))?;
    let server = AuthorizationServer::builder("http://localhost:4000")
        .store(store)
        .subjects(People)
        .master_key(MasterKey::from_bytes([7; 32]))
        .interaction("/login")
        .scope("orders:read")
        .build()
        .await?;
    let mut service = Client::confidential("service", "Service", &Secret::new(""));
    service.grant_types = vec![GrantType::ClientCredentials];
    service.scope = Scope::parse("orders:read")?;
    // The dearest signature that there is, so that a request is worth refusing.
    service.access_token_signed_response_alg = Some(Algorithm::Rs256);
    let secret = server.clients().create(service).await?.client_secret;
    let secret = secret.ok_or("a confidential client has a secret")?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{} {}", listener.local_addr()?, secret.expose());
    let app = Router::new().merge(grantor_axum::routes(&server));
    grantor_axum::serve(listener, app, &server).await?;
    Ok(())
}
