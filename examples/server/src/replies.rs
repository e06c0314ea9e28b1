//! Answers that many pages give.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use grantor_axum::Reply;

use crate::app::App;
use crate::error::StoreFailed;
use crate::pages;
use crate::session::SignedIn;

/// A form, or why it cannot be read.
pub(crate) type Submitted<T> = Result<Form<T>, FormRejection>;

/// An answer by which the browser is signed in, or out when there is no session.
pub(crate) fn with_session(
    app: &App,
    answer: impl IntoResponse,
    session: Option<&SignedIn>,
) -> Response {
    let own = match session {
        Some(session) => app.sessions.set_cookie(session),
        None => app.sessions.clear_cookie(),
    };
    // By which applications notice it in the browser.
    let shared = app.server.browser_state_cookie(session.map(SignedIn::to_engine).as_ref());
    let mut response = answer.into_response();
    let device = session.and_then(|session| session.device.clone());
    for cookie in [Some(own), device, shared].into_iter().flatten() {
        let headers = response.headers_mut();
        let is_there = headers.get_all(SET_COOKIE).iter().any(|have| *have == cookie);
        if let (false, Ok(cookie)) = (is_there, HeaderValue::from_str(&cookie)) {
            headers.append(SET_COOKIE, cookie);
        }
    }
    response
}

pub(crate) fn malformed() -> Reply {
    let text = "The form was incomplete. Go back to the application and start again.";
    pages::own_page(pages::failure("invalid_request", text)).status(400)
}

pub(crate) fn foreign_form() -> Reply {
    let text =
        "This form does not belong to your session. Go back to the application and start again.";
    pages::own_page(pages::failure("invalid_request", text)).status(403)
}

pub(crate) fn unavailable(error: &StoreFailed) -> Reply {
    tracing::error!(%error, "a page could not be shown");
    let text = "The server cannot answer right now. Try again in a moment.";
    pages::own_page(pages::failure("temporarily_unavailable", text)).status(503)
}
