//! What becomes of a request whose body does not come.

#![allow(clippy::unwrap_used, missing_docs, reason = "these are tests")]

use std::time::Duration;

use async_trait::async_trait;
use grantor::store::Memory;
use grantor::{
    AuthorizationServer, Claims, MasterKey, Method, Request, SubjectError, SubjectStatus, Subjects,
    Time,
};
use tokio::time::Instant;

struct Nobody;

#[async_trait]
impl Subjects for Nobody {
    async fn status(&self, _: &str) -> Result<SubjectStatus, SubjectError> {
        Ok(SubjectStatus::Active { valid_from: Time::EPOCH })
    }
    async fn claims(&self, _: &str) -> Result<Claims, SubjectError> {
        Ok(Claims::new())
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_not_waited_for_longer_than_one_that_stops() {
    let server = AuthorizationServer::builder("https://id.example.com")
        .store(Memory::new())
        .subjects(Nobody)
        .master_key(MasterKey::from_bytes([7; 32]))
        .build()
        .await
        .unwrap();
    let mut request = Request::get("/oauth2/token");
    request.method = Method::Post;
    // A byte a second: no pause is long.
    let drips = async {
        let mut body = Vec::new();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            body.push(b'x');
            if body.len() > 1_000_000 {
                return Ok::<_, ()>(body);
            }
        }
    };
    let begun = Instant::now();
    let response = grantor_tokio::answer(&server, request.clone(), drips).await;
    assert_eq!((response.status, begun.elapsed()), (408, grantor_tokio::BODY_DEADLINE));
    let never = std::future::pending::<Result<Vec<u8>, ()>>();
    assert_eq!(grantor_tokio::answer(&server, request.clone(), never).await.status, 408);
    let broken = async { Err(()) };
    assert_eq!(grantor_tokio::answer(&server, request, broken).await.status, 413);
}
