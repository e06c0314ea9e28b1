//! The engine's responses as axum responses.

use axum::body::Body;
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::response::{IntoResponse, Response};

/// A response of the engine, or a page of the host's in its dress: the security headers that a
/// login or consent page needs.
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

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let grantor::Response { status, headers, body } = self.0;
        let mut response = HttpResponse::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        add_headers(&mut response, headers);
        response
    }
}

/// Appends the engine's headers. It only makes values of printable ASCII; one that is not would be
/// left out rather than split a response.
pub(crate) fn add_headers(
    response: &mut Response,
    headers: Vec<(&'static str, std::borrow::Cow<'static, str>)>,
) {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
}
