//! Pages of other origins that the operator trusts with people's sessions, such as a login page on a
//! host of its own.
//!
//! They are not the origins of clients: those call with tokens, and a browser never sends them a
//! person's cookie. Both kinds never meet in one answer.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The origins.
#[derive(Clone, Debug)]
pub(crate) struct TrustedOrigins(Arc<[String]>);

impl TrustedOrigins {
    pub(crate) fn new(origins: Vec<String>) -> Self {
        Self(origins.into())
    }

    /// Whether a request comes from a page of one of them.
    pub(crate) fn sent(&self, headers: &HeaderMap) -> bool {
        self.origin(headers).is_some()
    }

    /// What speaks against these being a client's origins. One page must not hold both a person's
    /// cookie and tokens.
    pub(crate) fn refuse(&self, origins: &[String]) -> Result<(), String> {
        match origins.iter().find(|origin| self.0.contains(origin)) {
            Some(origin) => {
                Err(format!("{origin} is trusted with people's sessions: use another origin"))
            }
            None => Ok(()),
        }
    }

    fn origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.0.iter().any(|trusted| origin == trusted.as_str()).then_some(origin)
    }
}

impl fmt::Display for TrustedOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&if self.0.is_empty() { "none".into() } else { self.0.join(", ") })
    }
}

/// Lets pages of these origins call with a person's cookie and read every answer, errors too.
/// Requests with a token are not looked at.
pub(crate) async fn share(
    State(trusted): State<TrustedOrigins>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let wants_token = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).is_some_and(|names| {
        let names = names.to_str().unwrap_or_default();
        names.split(',').any(|name| name.trim().eq_ignore_ascii_case("authorization"))
    });
    let origin = trusted.origin(headers).cloned();
    let Some(origin) = origin.filter(|_| !wants_token && !headers.contains_key(AUTHORIZATION))
    else {
        return next.run(request).await;
    };
    let is_preflight =
        request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        let allowed = [
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Content-Type, X-CSRF-Token, X-Requested-With"),
            (ACCESS_CONTROL_MAX_AGE, "600"),
        ];
        (StatusCode::NO_CONTENT, allowed).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("X-CSRF-Token, X-Request-Id, Retry-After"),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
    response
}
