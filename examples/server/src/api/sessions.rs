//! `/v1/me/sessions`: where I am signed in.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::auth::refuse_foreign;
use crate::app::App;
use crate::places::{self, places};
use crate::problem::{Problem, json_answer};
use crate::session::SignedIn;
use crate::session_end::end_one;

/// `GET /v1/me/sessions`
pub(crate) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let me = signed_in(&app, &headers).await?;
    let places = places(&app, &me.user, &me).await?;
    Ok(json_answer(200, &places::describe(&places)))
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
