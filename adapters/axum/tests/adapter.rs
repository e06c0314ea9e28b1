//! The adapter moves bytes: what core says is what the wire gets, and a failure is an answer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "these are tests"
)]

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use grantor::store::Memory;
use grantor::{
    AccessToken, AuthorizationServer, Claims, Client, MasterKey, Next, Scope, Session,
    SubjectError, SubjectStatus, Subjects, Time,
};
use grantor_axum::{Bearer, Reply, protect, routes};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

struct People;

#[async_trait]
impl Subjects for People {
    async fn status(&self, subject: &str) -> Result<SubjectStatus, SubjectError> {
        if subject == "panics" {
            panic!("planted");
        }
        Ok(SubjectStatus::Active { valid_from: Time::EPOCH })
    }
    async fn claims(&self, subject: &str) -> Result<Claims, SubjectError> {
        // The panic is only reached with a token, so it strikes inside a request.
        if subject == "ann" {
            return Ok(Claims::from_iter([("name".to_owned(), "Ann".into())]));
        }
        panic!("planted");
    }
}

async fn server() -> AuthorizationServer {
    let builder = AuthorizationServer::builder("https://id.example.com")
        .store(Memory::new())
        .subjects(People)
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

fn get_with_token(path: &str, token: &str) -> Request<Body> {
    let request = Request::get(path).header("authorization", format!("Bearer {token}"));
    request.header("origin", "https://rp.example").body(Body::empty()).unwrap()
}

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// Walks the flow over the router and returns an access token of `subject`.
async fn access_token(server: &AuthorizationServer, app: &Router, subject: &str) -> String {
    let url = format!(
        "/oauth2/authorize?response_type=code&client_id=client_a&scope=openid+profile\
         &redirect_uri=https://rp.example/cb&code_challenge={CHALLENGE}&code_challenge_method=S256"
    );
    let response = send(app, Request::get(url).body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = response.headers()["location"].to_str().unwrap();
    let ticket = location.split_once("ticket=").unwrap().1;
    let session = Session::new(subject, "s", server.now());
    let next = server.resume(ticket).await.unwrap().proceed(Some(session)).await.unwrap();
    let Next::Done(response) = next else { panic!("{next:?}") };
    let location = response.get("location").unwrap();
    let code = location.split_once("code=").unwrap().1.split('&').next().unwrap();
    let body = format!(
        "grant_type=authorization_code&code={code}&client_id=client_a&code_verifier={VERIFIER}\
         &redirect_uri=https://rp.example/cb"
    );
    let request = Request::post("/oauth2/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap();
    let response = send(app, request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let tokens: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    tokens["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_flow_works_over_the_router() {
    let server = server().await;
    let app = routes(&server);
    let token = access_token(&server, &app, "ann").await;
    let response = send(&app, get_with_token("/oauth2/userinfo", &token)).await;
    assert_eq!(response.headers()["access-control-allow-origin"], "https://rp.example");
    assert_eq!(text(response).await, r#"{"name":"Ann","sub":"ann"}"#);
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
async fn a_body_beyond_the_cap_is_refused_with_json() {
    let app = routes(&server().await);
    let request = Request::post("/oauth2/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", "https://rp.example")
        .body(Body::from("x".repeat(grantor::MAX_BODY + 1)))
        .unwrap();
    let response = send(&app, request).await;
    assert_eq!(response.headers()["access-control-allow-origin"], "https://rp.example");
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text(response).await.contains("\"error\":\"invalid_request\""));
}

#[tokio::test]
async fn a_panic_in_a_hook_of_the_host_is_an_answer() {
    let server = server().await;
    let app = routes(&server);
    let token = access_token(&server, &app, "bob").await;
    let response = send(&app, get_with_token("/oauth2/userinfo", &token)).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = text(response).await;
    assert!(body.contains("server_error") && !body.contains("planted"), "{body}");
    assert_eq!(access_token(&server, &app, "ann").await.split('.').count(), 3);
}

#[tokio::test]
async fn protected_routes_need_a_live_token_with_the_scope() {
    let server = server().await;
    let whoami = |Bearer(token): Bearer, _: Extension<AccessToken>| async move {
        token.subject.unwrap_or_default()
    };
    let app = routes(&server)
        .merge(Router::new().route("/api/me", get(whoami)).layer(protect(&server)))
        .merge(
            Router::new()
                .route("/api/orders", get(whoami))
                .layer(protect(&server).scope("orders:read")),
        );
    let token = access_token(&server, &app, "ann").await;
    let response = send(&app, get_with_token("/api/me", &token)).await;
    assert_eq!(response.headers()["access-control-allow-origin"], "https://rp.example");
    assert_eq!(text(response).await, "ann");
    let response = send(&app, get_with_token("/api/orders", &token)).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("insufficient_scope") && challenge.contains("orders:read"));
    for token in ["", "x", "a.b.c"] {
        let response = send(&app, get_with_token("/api/me", token)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["access-control-allow-origin"], "https://rp.example");
    }
    let preflight = Request::options("/api/me")
        .header("origin", "https://rp.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization,content-type")
        .body(Body::empty())
        .unwrap();
    let response = send(&app, preflight).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://rp.example");
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
