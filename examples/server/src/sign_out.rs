//! The pages where people sign out, by themselves or because an application asks for it.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use grantor::{Logout, SignedOut};
use grantor_axum::Reply;
use serde::Deserialize;

use crate::app::App;
use crate::origin::is_foreign_form;
use crate::pages::{self, ClientView, render};
use crate::replies::{Submitted, foreign_form, malformed, unavailable, with_session};
use crate::session::SignedIn;
use crate::session_end::sign_out;
use crate::sign_in::TicketQuery;

#[derive(Deserialize)]
pub(crate) struct LogoutForm {
    csrf: String,
    #[serde(default)]
    ticket: String,
}

/// `GET /logout`: asks, unless the application proves that it is part of this very session.
pub(crate) async fn show_logout(
    State(app): State<App>,
    Query(query): Query<TicketQuery>,
    headers: HeaderMap,
) -> Response {
    // Also one whose time has run out: its applications go on, so a stranger's link must not end it either.
    let sessions = match app.sessions.named(&headers).await {
        Ok(sessions) => sessions,
        Err(error) => return unavailable(&error).into_response(),
    };
    let logout = match query.ticket.as_str() {
        "" => None,
        ticket => match app.server.resume_logout(ticket).await {
            Ok(logout) => Some(logout),
            Err(error) => return Reply::from(error).into_response(),
        },
    };
    let asks = |session: &&SignedIn| {
        logout.as_ref().is_none_or(|logout| logout.asks(&session.to_engine()))
    };
    match sessions.iter().find(asks) {
        Some(session) => confirmation(session, logout.as_ref()).into_response(),
        // Nobody is signed in, or the application may sign its own person out.
        None => end(&app, &headers, logout).await,
    }
}

/// `POST /logout`
pub(crate) async fn logout(
    State(app): State<App>,
    headers: HeaderMap,
    form: Submitted<LogoutForm>,
) -> Response {
    let Ok(Form(form)) = form else { return malformed().into_response() };
    // A page of another site sends no Lax cookie; clearing it would sign the person out all the
    // same.
    if is_foreign_form(&app, &headers) {
        return foreign_form().into_response();
    }
    match app.sessions.named(&headers).await {
        Ok(sessions) => {
            let is_theirs = |session: &SignedIn| session.is_csrf_token("logout", &form.csrf);
            if !sessions.is_empty() && !sessions.iter().any(is_theirs) {
                return foreign_form().into_response();
            }
        }
        Err(error) => return unavailable(&error).into_response(),
    }
    let logout = match form.ticket.as_str() {
        "" => None,
        // A ticket that has grown old still means that the person wants to be signed out.
        ticket => app.server.resume_logout(ticket).await.ok(),
    };
    end(&app, &headers, logout).await
}

fn confirmation(session: &SignedIn, logout: Option<&Logout>) -> Reply {
    let page = pages::SignOut {
        ticket: logout.map_or("", Logout::ticket),
        csrf: &session.csrf_token("logout"),
        client: logout.and_then(Logout::client).map(|client| ClientView::new(client, &[], false)),
        user: &session.user,
    };
    let targets = logout.map(Logout::form_targets).unwrap_or_default();
    let page = grantor::Response::page(render(&page));
    Reply::from(page.with_forms_to(targets.iter().map(String::as_str)))
}

/// Ends the session and sends the person on.
async fn end(app: &App, headers: &HeaderMap, logout: Option<Logout>) -> Response {
    let SignedOut { frames, .. } = match sign_out(app, headers).await {
        Ok(signed_out) => signed_out,
        Err(error) => return unavailable(&error).into_response(),
    };
    let onward = logout.and_then(Logout::finish);
    let reply = match onward {
        Some(response) if frames.is_empty() => Reply::from(response),
        onward => {
            let next = onward.as_ref().and_then(|response| response.get("location"));
            let page = grantor::Response::page(render(&pages::SignedOut { frames: &frames, next }));
            Reply::from(page.with_frames(frames.iter().map(String::as_str)))
        }
    };
    let mut response = with_session(app, reply, None);
    // What the browser keeps to go back to without asking.
    let forget = HeaderValue::from_static("\"cache\"");
    response.headers_mut().insert(HeaderName::from_static("clear-site-data"), forget);
    response
}
