//! A server for tests of what is not public.

use async_trait::async_trait;
use pollster::block_on;

use crate::keys::MasterKey;
use crate::server::AuthorizationServer;
use crate::store::Memory;
use crate::subject::{Claims, SubjectError, SubjectStatus, Subjects};

struct Nobody;

#[async_trait]
impl Subjects for Nobody {
    async fn status(&self, _: &str) -> Result<SubjectStatus, SubjectError> {
        Ok(SubjectStatus::Disabled)
    }
    async fn claims(&self, _: &str) -> Result<Claims, SubjectError> {
        Ok(Claims::new())
    }
    async fn token_claims(&self, _: &str) -> Result<Claims, SubjectError> {
        Ok(Claims::new())
    }
}

/// A server without clients, for people who may not come in.
pub(crate) fn server() -> AuthorizationServer {
    let builder = AuthorizationServer::builder("https://id.example.com")
        .store(Memory::new())
        .subjects(Nobody)
        .interaction("/login")
        .master_key(MasterKey::from_bytes([1; 32]));
    block_on(builder.build()).expect("the server is built")
}
