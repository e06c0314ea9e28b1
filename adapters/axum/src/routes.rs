//! The engine's paths as an axum router.

use std::net::SocketAddr;
use std::sync::OnceLock;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, OriginalUri, Request};
use axum::http::header::{ACCEPT, ORIGIN};
use axum::http::request::Parts;
use axum::http::{self, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use grantor::{AuthorizationServer, Failure, MAX_BODY, Method};

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
    if is_refused(&request) {
        return refusal(&server).await;
    }
    let (parts, body) = request.into_parts();
    let body = async { to_bytes(body, MAX_BODY).await.map(Vec::from) };
    Reply::from(grantor_tokio::answer(&server, to_engine(&parts), body).await).into_response()
}

/// Whether a request of a program is refused, because there is too much to do. Pages and people, for whom a refusal has
/// another form, go the long way.
fn is_refused(request: &Request) -> bool {
    let headers = request.headers();
    let is_plain = |accept: &HeaderValue| accept == "*/*" || accept == "application/json";
    request.method() == http::Method::POST
        && !headers.contains_key(ORIGIN)
        && headers.get(ACCEPT).is_none_or(is_plain)
        && grantor_tokio::refuses(request.uri().path())
}

/// It must cost as little as can be, so it is made once.
async fn refusal(server: &AuthorizationServer) -> Response {
    static REFUSAL: OnceLock<(StatusCode, HeaderMap, Bytes)> = OnceLock::new();
    grantor_tokio::hold_refusal().await;
    if let Some(made) = REFUSAL.get() {
        return made.clone().into_response();
    }
    let plain = grantor::Request::form("/", &[]);
    let response = Reply::from(server.failed(&plain, Failure::Overloaded).await).into_response();
    let (parts, body) = response.into_parts();
    let made = (parts.status, parts.headers, to_bytes(body, MAX_BODY).await.unwrap_or_default());
    REFUSAL.get_or_init(|| made).clone().into_response()
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
