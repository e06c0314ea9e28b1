//! The adapter moves bytes: what core says is what the wire gets, and a failure is an answer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "these are tests")]

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use grantor::store::Memory;
use grantor::testing::Anybody;
use grantor::{AuthorizationServer, Client, MasterKey, Scope};
use grantor_axum::{Bearer, Reply, routes};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

async fn server() -> AuthorizationServer {
    let builder = AuthorizationServer::builder("https://id.example.com")
        .store(Memory::new())
        .subjects(Anybody)
        .master_key(MasterKey::from_bytes([1; 32]));
    let server = builder.build().await.unwrap();
    let mut client = Client::public("client_a", "A");
    client.redirect_uris = vec!["https://rp.example/cb".into()];
    client.allowed_origins = vec!["https://rp.example".into()];
    client.scope = Scope::parse("openid profile").unwrap();
    client.first_party = true;
    server.clients().create(client).await.unwrap();
    server
}

async fn send(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn what_core_answers_is_what_the_wire_gets() {
    let server = server().await;
    let app = routes(&server);
    let requests = [
        grantor::Request::get("/.well-known/openid-configuration"),
        grantor::Request::get("/oauth2/authorize?client_id=x").header("accept", "text/html"),
        grantor::Request::form("/oauth2/token", &[("client_id", "x")]),
    ];
    for request in requests {
        let expected = server.handle(&request).await;
        let target = match &request.query {
            Some(query) => format!("{}?{query}", request.path),
            None => request.path.clone(),
        };
        let method = if request.body.is_empty() { "GET" } else { "POST" };
        let mut sent = Request::builder().method(method).uri(target);
        for (name, value) in &request.headers {
            sent = sent.header(*name, value.as_slice());
        }
        let response = send(&app, sent.body(Body::from(request.body)).unwrap()).await;
        assert_eq!(response.status().as_u16(), expected.status);
        for (name, value) in &expected.headers {
            assert!(
                response.headers().get_all(*name).iter().any(|have| have == &**value),
                "{name}"
            );
        }
        assert_eq!(text(response).await.into_bytes(), expected.body);
    }
}

#[tokio::test]
async fn a_route_that_forgot_the_layer_refuses_everybody() {
    let app: Router = Router::new().route("/", get(|_: Bearer| async {}));
    let response = send(&app, Request::get("/").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_page_allows_the_redirect_that_follows_its_form() {
    use axum::response::IntoResponse as _;
    let response = Reply::page("<p>hello").into_response();
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("form-action"), "{policy}");
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    assert_eq!(response.headers()["cache-control"], "no-store");
}
