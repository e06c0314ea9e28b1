//! `/v1/me/sessions`: where I am signed in.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::auth::refuse_foreign;
use super::rfc3339;
use crate::app::App;
use crate::problem::{Problem, json_answer};
use crate::session::SignedIn;
use crate::session_end::end_one;

/// `GET /v1/me/sessions`
pub(crate) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let me = signed_in(&app, &headers).await?;
    let sessions = app.sessions.list(&me.user, app.server.now()).await?;
    let current = me.public_id();
    let describe = |session: &crate::session::Listed| {
        json!({
            "id": session.id,
            "current": session.id == current,
            "ipAddress": session.peer,
            "userAgent": session.user_agent,
            "lastActivityAt": rfc3339(session.last_seen),
            "expiresAt": rfc3339(session.expires_at),
            "createdAt": rfc3339(session.created_at),
        })
    };
    let data: Vec<Value> = sessions.iter().map(describe).collect();
    Ok(json_answer(200, &json!({"data": data})))
}

/// `DELETE /v1/me/sessions/{id}`
pub(crate) async fn end(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let me = signed_in(&app, &headers).await?;
    refuse_foreign(&app, &headers)?;
    match end_one(&app, &me.user, &id).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::not_found("You have no session of this id.")),
    }
}

async fn signed_in(app: &App, headers: &HeaderMap) -> Result<SignedIn, Problem> {
    let session = app.sessions.find(headers, app.server.now()).await?;
    session.ok_or_else(|| Problem::unauthorized("Sign in first: this needs the cerb_sid cookie."))
}
