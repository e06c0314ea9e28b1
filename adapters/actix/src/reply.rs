//! The engine's responses as actix responses.

use std::borrow::Cow;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};

/// A response of the engine, or a page of the host's in its dress: the security headers that a
/// login or consent page needs. It is an error too, so that a handler may say `?`.
#[derive(Clone, Debug)]
pub struct Reply(grantor::Response);

impl Reply {
    /// A page: [`grantor::Response::page`]. Everything in `html` that came from outside must be escaped.
    #[must_use]
    pub fn page(html: impl Into<String>) -> Self {
        Self(grantor::Response::page(html))
    }

    /// The same page with another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.0.status = status;
        self
    }
}

impl From<grantor::Response> for Reply {
    fn from(response: grantor::Response) -> Self {
        Self(response)
    }
}

impl From<grantor::InteractionError> for Reply {
    fn from(error: grantor::InteractionError) -> Self {
        Self(error.into_response())
    }
}

impl From<Reply> for HttpResponse {
    fn from(Reply(response): Reply) -> Self {
        let status = StatusCode::from_u16(response.status);
        let mut answer = HttpResponse::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        add_headers(answer.headers_mut(), response.headers);
        answer.set_body(BoxBody::new(response.body))
    }
}

impl Responder for Reply {
    type Body = BoxBody;
    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.into()
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "answered {}", self.0.status)
    }
}

impl ResponseError for Reply {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
    fn error_response(&self) -> HttpResponse {
        self.clone().into()
    }
}

/// Appends the engine's headers. It only makes values of printable ASCII; one that is not would be
/// left out rather than split a response.
pub(crate) fn add_headers(to: &mut HeaderMap, headers: Vec<(&'static str, Cow<'static, str>)>) {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            to.append(HeaderName::from_static(name), value);
        }
    }
}
