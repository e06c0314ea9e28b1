//! The engine's paths as an axum router.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use grantor::{AuthorizationServer, MAX_BODY, Method};

use crate::Reply;

/// How long a client may take to send its body. axum itself would wait for ever.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// The engine's endpoints. Merge it at the root of the host's app: its paths contain the issuer's
/// path, and the well-known documents must stand at the root (RFC 8414 section 3.1).
pub fn routes<S: Clone + Send + Sync + 'static>(server: &AuthorizationServer) -> Router<S> {
    let mut router = Router::new();
    for path in server.paths() {
        let server = server.clone();
        let answer = any(move |request: Request| answer(server.clone(), request));
        router = router.route(&path, answer);
    }
    router
}

async fn answer(server: AuthorizationServer, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    let request = to_engine(&parts, body);
    // A task of its own: a client that hangs up cannot tear a redemption in two, and a panic in
    // a hook of the host becomes an answer instead of a closed socket.
    let handled = tokio::spawn(async move { server.handle(&request).await }).await;
    handled
        .map_or_else(|_| failed().into_response(), |response| Reply::from(response).into_response())
}

async fn read(body: Body) -> Result<Vec<u8>, Reply> {
    let refuse = |status, description: &str| {
        let body =
            format!("{{\"error\":\"invalid_request\",\"error_description\":\"{description}\"}}");
        Err(Reply::from(json(status, body)))
    };
    match tokio::time::timeout(BODY_DEADLINE, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => refuse(413, "the request body is too large or broken"),
        Err(_) => refuse(408, "the request body took too long"),
    }
}

fn failed() -> Reply {
    let body = "{\"error\":\"server_error\",\"error_description\":\"the server failed\"}";
    Reply::from(json(500, body.to_owned()))
}

fn json(status: u16, body: String) -> grantor::Response {
    let mut response = grantor::Response::empty(status)
        .header("content-type", "application/json")
        .header("cache-control", "no-store");
    response.body = body.into_bytes();
    response
}

/// The parts that the engine looks at, undecoded.
pub(crate) fn to_engine(parts: &Parts, body: Vec<u8>) -> grantor::Request {
    let headers = grantor::Request::HEADERS.iter().flat_map(|name| {
        parts.headers.get_all(*name).iter().map(|value| (*name, value.as_bytes().to_vec()))
    });
    grantor::Request {
        method: Method::from_name(parts.method.as_str()),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: headers.collect(),
        body,
        peer: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()),
    }
}
