//! Measurements for Prometheus, on a port of their own: they tell strangers how busy a server is.
//! Labels are of fixed sets, so that no stranger can fill the memory with them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

use crate::error::Fatal;

/// Seconds. A sign-in hashes a password; everything else should be in the first half.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// How often measurements are folded together.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts to measure, and to answer `GET /metrics` at the address. Without this, measuring costs
/// nothing.
pub(crate) async fn serve(address: SocketAddr) -> Result<(), Fatal> {
    let cannot =
        |source| Fatal::Listen { address: address.to_string(), setting: "GRANTOR_METRICS", source };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS);
    let recorder = builder.map_err(|error| Fatal::Say(error.to_string()))?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| Fatal::Say(error.to_string()))?;
    describe_counter!("grantor_http_requests_total", "Requests answered.");
    describe_histogram!("grantor_http_request_seconds", Unit::Seconds, "How long answers took.");
    describe_counter!("grantor_events_total", "What the engine did.");
    describe_counter!("grantor_refusals_total", "What the engine refused, by endpoint.");
    describe_counter!("grantor_logins_total", "Passwords that were tried.");
    describe_gauge!("grantor_build_info", "The version that runs.");
    gauge!("grantor_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    tokio::spawn(fold(handle.clone()));
    let app = Router::new().route("/metrics", get(move || show(handle.clone())));
    let serving = grantor_axum::Serve::new(listener, app).until(std::future::pending());
    tokio::spawn(serving.into_future());
    Ok(())
}

async fn fold(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}

async fn show(handle: PrometheusHandle) -> ([(axum::http::HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render())
}

/// A request was answered. `route` is the pattern that it matched, never its path.
pub(crate) fn answered(method: &Method, route: Option<&str>, status: u16, elapsed: Duration) {
    let route = route.unwrap_or("none").to_owned();
    let method = match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let labels =
        [("method", method.to_owned()), ("route", route.clone()), ("status", status.to_string())];
    counter!("grantor_http_requests_total", &labels).increment(1);
    histogram!("grantor_http_request_seconds", "route" => route).record(elapsed);
}

/// The engine said that something happened.
pub(crate) fn happened(event: &'static str) {
    counter!("grantor_events_total", "event" => event).increment(1);
}

/// The engine refused something at an endpoint.
pub(crate) fn refused(endpoint: &str) {
    counter!("grantor_refusals_total", "endpoint" => endpoint.to_owned()).increment(1);
}

/// Somebody tried to sign in.
pub(crate) fn login(outcome: &'static str) {
    counter!("grantor_logins_total", "outcome" => outcome).increment(1);
}

/// An address was asked to wait.
pub(crate) fn limited() {
    counter!("grantor_limited_total").increment(1);
}
