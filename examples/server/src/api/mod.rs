//! The API below `/v1`, whose errors are RFC 7807 problems.

mod administrator;
mod auth;
mod clients;
mod profile;
mod sessions;
mod users;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use chrono::{DateTime, SecondsFormat, Utc};
use grantor::Time;
use grantor_axum::Reply;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::app::App;
use crate::pages;
use crate::problem::Problem;
use crate::trusted::{self, TrustedOrigins};

pub(crate) fn router(trusted: &TrustedOrigins) -> Router<App> {
    Router::new()
        .merge(of_the_person().layer(from_fn_with_state(trusted.clone(), trusted::share)))
        .route("/admin/clients", get(clients::list).post(clients::create))
        .route(
            "/admin/clients/{id}",
            get(clients::show).patch(clients::change).delete(clients::remove),
        )
        .route("/admin/clients/{id}/rotate-secret", post(clients::rotate_secret))
        .route("/admin/clients/{id}/regenerate-secret", post(clients::rotate_secret))
        .route("/admin/clients/{id}/revoke", post(clients::revoke))
        .route("/admin/users", get(users::list).post(users::create))
        .route("/admin/users/{id}", get(users::show).patch(users::change))
        .route("/admin/users/{id}/reset-password", post(users::reset_password))
        .route("/admin/users/{id}/sessions", get(users::sessions))
        .route("/admin/users/{id}/sessions/{session}", delete(users::end_session))
        .route("/openapi.json", get(document))
        .layer(map_response(as_problem))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
}

/// `GET /v1/openapi.json`: this API for programs.
async fn document() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=300"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, DOCUMENT)
}

const DOCUMENT: &str = include_str!("../../assets/openapi.json");

/// What a person does with their own account; pages that the operator trusts may do it for them.
fn of_the_person() -> Router<App> {
    Router::new()
        .route("/auth/login", post(auth::login))
        .route("/auth/logout", post(auth::logout))
        .route("/auth/session", delete(auth::end_session))
        .route("/me/sessions", get(sessions::list))
        .route("/me/sessions/{id}", delete(sessions::end))
        .merge(profile::router())
        // Inside the layer, for preflights have a method that no route has.
        .method_not_allowed_fallback(method_not_allowed)
}

/// `GET /health`: 200 when both databases can be written to.
pub(crate) async fn health(State(app): State<App>) -> Response {
    match app.check().await {
        Ok(()) => {
            let body = json!({"status": "ok", "timestamp": rfc3339(app.server.now())});
            axum::Json(body).into_response()
        }
        Err(error) => Problem::unavailable(&*error).into_response(),
    }
}

/// Rejections of the framework (a body that is too large, a path that does not decode) are problems
/// like all others.
async fn as_problem(response: Response) -> Response {
    let content_type = response.headers().get(CONTENT_TYPE);
    let is_text = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    match response.status() {
        status if status.is_client_error() && is_text => {
            let title = status.canonical_reason().unwrap_or("Bad request");
            let detail = match status {
                StatusCode::PAYLOAD_TOO_LARGE => "The request body is too large.",
                _ => "The request cannot be read.",
            };
            Problem::new(status.as_u16(), title, detail).into_response()
        }
        _ => response,
    }
}

pub(crate) async fn not_found() -> Response {
    Problem::new(404, "Not found", "There is nothing at this path.").into_response()
}

/// The same outside the API, where it may be a person who has come to the wrong place.
pub(crate) async fn nothing_here(headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
    if !accept.contains("text/html") {
        return not_found().await;
    }
    let page = pages::failure("not_found", "There is no page at this address.");
    Reply::page(page).status(404).into_response()
}

async fn method_not_allowed() -> Response {
    Problem::new(405, "Method not allowed", "This method is not allowed here.").into_response()
}

/// The answer after a panic: the other requests go on.
pub(crate) fn crashed() -> Response {
    tracing::error!("a handler panicked");
    Problem::new(500, "Internal server error", "The server failed.").into_response()
}

/// A body of JSON.
fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    auth::require_json(headers)?;
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(error.to_string()))
}

/// How many a page may have.
fn limit(name: &str, text: &str) -> Result<usize, Problem> {
    let limit = text.parse::<usize>().ok().filter(|limit| (1..=200).contains(limit));
    limit.ok_or_else(|| Problem::invalid(name, "use a number from 1 to 200"))
}

/// A time as the API writes it: `2024-01-15T10:00:00Z`.
pub(crate) fn rfc3339(at: Time) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Only what is served is documented, and all of it. What the document says of each is tried
    /// against the running server in e2e/test/openapi.test.mjs.
    #[test]
    fn the_document_has_every_route_and_method_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut documented = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                documented.insert(format!("{method} {path}"));
            }
        }
        let source = include_str!("mod.rs").split("#[cfg(test)]").next().unwrap();
        let mut served = BTreeSet::from(["get /me/profile".to_owned()]);
        for route in source.split(".route(").skip(1) {
            let path = route.split('"').nth(1).unwrap();
            // Up to the next line that begins a call of the router's.
            let handlers = route.split("\n        .").next().unwrap();
            for method in ["get", "post", "patch", "delete"] {
                if handlers.contains(&format!("{method}(")) {
                    served.insert(format!("{method} {path}"));
                }
            }
        }
        served.remove("get /openapi.json");
        assert_eq!(documented, served);
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
