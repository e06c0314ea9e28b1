//! The engine's paths as an axum router.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, OriginalUri, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use grantor::{AuthorizationServer, Failure, MAX_BODY, Method};
use tracing::Instrument as _;

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
    let mut request = to_engine(&parts, Vec::new());
    match tokio::time::timeout(BODY_DEADLINE, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => request.body = body.into(),
        Ok(Err(_)) => {
            return Reply::from(server.failed(&request, Failure::TooLarge).await).into_response();
        }
        Err(_) => {
            return Reply::from(server.failed(&request, Failure::TooSlow).await).into_response();
        }
    }
    // A task of its own: a client that hangs up cannot tear a redemption in two, and a panic in
    // a hook of the host becomes an answer instead of a closed socket.
    let handling = tokio::spawn({
        let (server, request) = (server.clone(), request.clone());
        // Its log lines belong to the request all the same.
        async move { server.handle(&request).await }.in_current_span()
    });
    let response = match handling.await {
        Ok(response) => response,
        Err(_) => server.failed(&request, Failure::Crashed).await,
    };
    Reply::from(response).into_response()
}

/// The parts that the engine looks at, undecoded.
pub(crate) fn to_engine(parts: &Parts, body: Vec<u8>) -> grantor::Request {
    let headers = grantor::Request::HEADERS.iter().flat_map(|name| {
        parts.headers.get_all(*name).iter().map(|value| (*name, value.as_bytes().to_vec()))
    });
    // A router that is nested strips its prefix; the engine's paths are whole.
    let original = parts.extensions.get::<OriginalUri>();
    let path = original.map_or(&parts.uri, |original| &original.0).path();
    grantor::Request {
        method: Method::from_name(parts.method.as_str()),
        path: path.to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: headers.collect(),
        body,
        peer: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()),
    }
}
