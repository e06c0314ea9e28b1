//! RFC 7807 problems.

use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::StoreFailed;

/// An error of the API.
#[derive(Debug)]
pub(crate) struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    /// Seconds.
    retry_after: Option<u64>,
}

/// What is wrong with one member of a body.
#[derive(Debug, Serialize)]
pub(crate) struct FieldError {
    pub(crate) path: Vec<String>,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "Bad request", detail)
    }

    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        let error = FieldError { path: vec![field.to_owned()], message: message.into() };
        let mut problem = Self::bad_request(format!("{field}: {}", error.message));
        problem.errors.push(error);
        problem
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::new(401, "Unauthorized", detail)
    }

    pub(crate) fn forbidden(detail: &str) -> Self {
        Self::new(403, "Forbidden", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "Not found", detail)
    }

    /// What a person is told on a page, where the fields have names of their own.
    pub(crate) fn for_a_person(&self, labels: &[(&str, &str)]) -> String {
        let Some(error) = self.errors.first() else { return self.detail.clone() };
        let field = error.path.first().map_or("", String::as_str);
        let label = labels.iter().find(|(name, _)| *name == field);
        format!("{}: {}", label.map_or(field, |(_, label)| label), error.message)
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// A store that failed. The reason is for the log.
    pub(crate) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = grantor::with_sources(error), "the API could not answer");
        let mut problem =
            Self::new(503, "Service unavailable", "The server cannot answer right now. Try again.");
        problem.retry_after = Some(1);
        problem
    }
}

impl Problem {
    /// There is too much to do.
    pub(crate) fn busy() -> Self {
        let text = "The server has too much to do. Try again.";
        let mut problem = Self::new(503, "Service unavailable", text);
        problem.retry_after = Some(1);
        problem
    }

    /// Too many tries.
    pub(crate) fn too_often(wait: Duration) -> Self {
        let mut problem =
            Self::new(429, "Too many requests", "Too many tries. Wait before the next.");
        problem.retry_after = Some(wait.as_secs() + 1);
        problem
    }
}

impl From<StoreFailed> for Problem {
    fn from(error: StoreFailed) -> Self {
        Problem::unavailable(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, title, detail, errors, retry_after } = self;
        let mut body = json!({
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            // Some sign-in pages read this member instead of `detail`.
            "message": detail,
        });
        if let (false, Some(members)) = (errors.is_empty(), body.as_object_mut()) {
            members.insert("errors".into(), json!(errors));
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Cookie cookie-name=cerb_sid"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A JSON answer that nobody keeps.
pub(crate) fn json_answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}
