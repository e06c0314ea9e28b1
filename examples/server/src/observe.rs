//! What every answer gets and what the operator learns of it: an id, a log line, a measurement, and
//! the headers that no answer goes without.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument as _, Span, field, info, info_span};
use uuid::Uuid;

use crate::accounts::random_u128;
use crate::metrics;

/// Half a year, which is what browsers are asked to remember.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=15552000");

/// Whether browsers are told to come by TLS alone. Not on this machine: they would refuse every other
/// program on `localhost` too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StrictTransport(pub(crate) bool);

/// The outermost layer. The path is logged, never the query: it carries tickets and codes. A client's
/// own request id is not believed; what the handlers log carries ours.
pub(crate) async fn observe(
    State(StrictTransport(strict)): State<StrictTransport>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = Uuid::from_u128(random_u128()).to_string();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|peer| field::display(peer.0.ip()));
    let path = request.uri().path();
    let span = info_span!(
        "request",
        id,
        %method,
        path,
        peer,
        status = field::Empty,
        actor = field::Empty
    );
    let mut response = async {
        let response = next.run(request).await;
        let status = response.status().as_u16();
        Span::current().record("status", status);
        let elapsed = started.elapsed();
        metrics::answered(&method, route.as_ref().map(MatchedPath::as_str), status, elapsed);
        info!(ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), "answered");
        response
    }
    .instrument(span)
    .await;
    let status = response.status();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    if status == StatusCode::METHOD_NOT_ALLOWED || status == StatusCode::NOT_FOUND {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if strict {
        headers.insert(STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
    }
    response
}
