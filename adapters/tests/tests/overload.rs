//! When there is more to do than can be done. In a process of its own, because what is too much counts for all servers
//! of a process.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::sync::Arc;

use async_trait::async_trait;
use grantor::store::{ClientStore, Memory, StoreError};
use grantor::testing::Anybody;
use grantor::{AuthorizationServer, Client, Issuer, MasterKey, Request};
use grantor_adapter_tests::wire::{Answer, form, request, send};
use grantor_adapter_tests::{Host, ORIGIN, WEB};
use tokio::sync::Notify;
use tokio::task::{JoinSet, yield_now};

/// How many requests are worked on at the same time: what the book says.
const PLACES: usize = 1024;

/// A store that hangs.
struct Hanging {
    goes_on: Arc<Notify>,
}

#[async_trait]
impl ClientStore for Hanging {
    async fn find(&self, _: &Issuer, _: &str) -> Result<Option<Arc<Client>>, StoreError> {
        self.goes_on.notified().await;
        Ok(None)
    }
    async fn insert(&self, _: &Issuer, _: Client) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn update(&self, _: &Issuer, _: Client) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn remove(&self, _: &Issuer, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn list(
        &self,
        _: &Issuer,
        _: Option<&str>,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<Arc<Client>>, StoreError> {
        Ok(Vec::new())
    }
    async fn allows_origin(&self, _: &Issuer, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }
}

#[test]
fn what_is_too_much_is_refused_before_it_is_begun_and_what_relieves_is_not() {
    let hosts = Host::both();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let goes_on = Arc::new(Notify::new());
    let mut working = JoinSet::new();
    runtime.block_on(async {
        let hanging = AuthorizationServer::builder("https://elsewhere.example")
            .store(Memory::new())
            .clients(Hanging { goes_on: goes_on.clone() })
            .subjects(Anybody)
            .master_key(MasterKey::from_bytes([7; 32]))
            .build()
            .await
            .unwrap();
        // A body that does not come takes no place, or a thousand that drip would take all.
        for _ in 0..2 * PLACES {
            let server = hanging.clone();
            let body = std::future::pending::<Result<_, ()>>();
            working.spawn(async move {
                grantor_tokio::answer(&server, Request::form("/oauth2/token", &[]), body).await
            });
        }
        yield_now().await;
        assert!(!grantor_tokio::is_overloaded());
        for _ in 0..PLACES {
            let server = hanging.clone();
            let request = Request::form("/oauth2/token", &[("client_id", "c")]);
            let body = request.body.clone();
            working.spawn(async move {
                grantor_tokio::answer(&server, request, async { Ok::<_, ()>(body) }).await
            });
        }
        while !grantor_tokio::is_overloaded() {
            yield_now().await;
        }
    });
    for Host { name, address, secret, .. } in &hosts {
        let post = |target: &str, headers: &[(&str, &str)], body: &str| {
            send(*address, &form(target, headers, body)).unwrap()
        };
        let get = |target: &str| send(*address, &request("GET", target, &[], b"")).unwrap();
        let is_refused = |answer: &Answer| {
            assert_eq!(answer.status, 503, "{name}: {}", answer.text());
            assert_eq!(answer.header("retry-after"), Some("1"), "{name}");
        };
        let body = format!(
            "grant_type=client_credentials&client_id={WEB}&client_secret={}",
            secret.expose()
        );
        let refused = post("/oauth2/token", &[], &body);
        is_refused(&refused);
        assert_eq!(refused.json()["error"], "temporarily_unavailable", "{name}");
        assert_eq!(refused.header("cache-control"), Some("no-store"), "{name}");
        // A page must be able to read that it is to come again, whose ever it is: nobody is asked.
        let refused = post("/oauth2/token", &[("origin", ORIGIN)], &body);
        is_refused(&refused);
        assert_eq!(refused.header("access-control-allow-origin"), Some(ORIGIN), "{name}");
        is_refused(&get("/oauth2/authorize?client_id=x"));
        is_refused(&get("/oauth2/userinfo"));
        assert_eq!(get("/oauth2/jwks.json").status, 200, "{name}");
        assert_eq!(get("/.well-known/openid-configuration").status, 200, "{name}");
        let body = format!("token=x&client_id={WEB}&client_secret={}", secret.expose());
        assert_eq!(post("/oauth2/revoke", &[], &body).status, 200, "{name}");
    }
    // What was begun comes to its end, and then there is room again.
    runtime.block_on(async {
        while grantor_tokio::is_overloaded() {
            goes_on.notify_waiters();
            yield_now().await;
        }
    });
    for Host { name, address, .. } in &hosts {
        let answer = send(*address, &form("/oauth2/token", &[], "client_id=nobody")).unwrap();
        assert_eq!(answer.status, 401, "{name}");
    }
}
