//! The engine's paths as an axum router.

use std::net::SocketAddr;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, OriginalUri, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use grantor::{AuthorizationServer, MAX_BODY, Method};

use crate::Reply;

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
    let body = async { to_bytes(body, MAX_BODY).await.map(Vec::from) };
    Reply::from(grantor_tokio::answer(&server, to_engine(&parts), body).await).into_response()
}

/// The parts that the engine looks at, undecoded and without the body.
pub(crate) fn to_engine(parts: &Parts) -> grantor::Request {
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
        body: Vec::new(),
        peer: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()),
    }
}
