//! Answers that many pages give.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use grantor_axum::Reply;

use crate::error::StoreFailed;
use crate::pages;

/// A form, or why it cannot be read.
pub(crate) type Submitted<T> = Result<Form<T>, FormRejection>;

/// An answer that sets a cookie.
pub(crate) fn with_cookie(answer: impl IntoResponse, cookie: &str) -> Response {
    let mut response = answer.into_response();
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

pub(crate) fn malformed() -> Reply {
    let text = "The form was incomplete. Go back to the application and start again.";
    Reply::page(pages::failure("invalid_request", text)).status(400)
}

pub(crate) fn foreign_form() -> Reply {
    let text =
        "This form does not belong to your session. Go back to the application and start again.";
    Reply::page(pages::failure("invalid_request", text)).status(403)
}

pub(crate) fn unavailable(error: &StoreFailed) -> Reply {
    tracing::error!(%error, "a page could not be shown");
    let text = "The server cannot answer right now. Try again in a moment.";
    Reply::page(pages::failure("temporarily_unavailable", text)).status(503)
}
