//! Signing in and out by JSON.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use crate::app::App;
use crate::authenticate::{Refused, authenticate};
use crate::origin::{Peer, is_foreign};
use crate::passwords::Typed;
use crate::problem::{Problem, json_answer};
use crate::replies::with_session;
use crate::session_end::sign_out;

/// Unknown members are ignored: sign-in pages send some of their own.
#[derive(Deserialize)]
struct Login {
    email: String,
    password: Typed,
}

/// `POST /v1/auth/login`
pub(crate) async fn login(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    require_json(&headers)?;
    let Ok(Login { email, password }) = serde_json::from_slice(&body) else {
        return Err(Problem::bad_request("Invalid input: send email and password as JSON."));
    };
    let session = match authenticate(&app, &email, password.expose(), peer, &headers).await {
        Ok(session) => session,
        Err(Refused::Wrong) => return Err(Problem::unauthorized("Invalid email or password")),
        Err(Refused::TooOften(wait)) => return Err(Problem::too_often(wait)),
        Err(Refused::Busy) => {
            return Err(Problem::new(503, "Service unavailable", "Too many logins. Try again."));
        }
        Err(Refused::Store(error)) => return Err(error.into()),
    };
    let (user, organisation) = (&session.user, &session.user.organisation);
    let body = json!({
        "message": "Logged in successfully",
        "user": {"id": user.id, "email": user.email, "name": user.name()},
        "organisation": {
            "id": organisation.id, "slug": organisation.slug, "name": organisation.name,
        },
    });
    Ok(with_session(&app, json_answer(200, &body), Some(&session)))
}

/// `POST /v1/auth/logout`: whatever was sent, and also without a session.
pub(crate) async fn logout(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    refuse_foreign(&app, &headers)?;
    let frames = sign_out(&app, &headers).await?.frames;
    let mut body = json!({"message": "Logged out successfully"});
    // For the page to open in frames (OpenID Connect Front-Channel Logout section 2).
    if let (false, Some(members)) = (frames.is_empty(), body.as_object_mut()) {
        members.insert("frontchannelLogoutUris".to_owned(), frames.into());
    }
    Ok(with_session(&app, json_answer(200, &body), None))
}

/// `DELETE /v1/auth/session`
pub(crate) async fn end_session(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    refuse_foreign(&app, &headers)?;
    sign_out(&app, &headers).await?;
    Ok(with_session(&app, StatusCode::NO_CONTENT, None))
}

/// A page of another site sends no Lax cookie, but an answer that clears it would sign the person out
/// all the same.
pub(super) fn refuse_foreign(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    match is_foreign(app, headers) && !app.trusted.sent(headers) {
        true => Err(Problem::forbidden("This request comes from a page of another site.")),
        false => Ok(()),
    }
}

/// A form of another site can post text, but not this type, without a preflight that is refused.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or("");
    if media_type.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Problem::new(415, "Unsupported media type", "Send JSON as application/json."))
    }
}
