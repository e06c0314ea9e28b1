//! `/v1/admin/users`: the people of an administrator's organisation.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use grantor::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::administrator::Administrator;
use super::{limit, parse};
use crate::administration::users::{self, describe};
use crate::app::App;
use crate::places::{self, places};
use crate::problem::{Problem, json_answer};

#[derive(Deserialize)]
pub(crate) struct Page {
    /// From 1 on.
    page: Option<String>,
    per_page: Option<String>,
    /// A part of the address.
    #[serde(rename = "filter[email]")]
    email: Option<String>,
}

/// `GET /v1/admin/users`: a page of people by e-mail, 50 where nothing else is asked.
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let size = page.per_page.as_deref().map_or(Ok(50), |text| limit("per_page", text))?;
    let number = page.page.as_deref().unwrap_or("1").parse::<u32>().ok().filter(|n| *n > 0);
    let number = number.ok_or_else(|| Problem::invalid("page", "use a number from 1 on"))?;
    let organisation = administrator.organisation();
    let email = page.email.as_deref().unwrap_or("");
    let (users, total) = app.accounts.users(organisation, email, number, size).await?;
    let data: Vec<Value> = users.iter().map(describe).collect();
    let body = json!({"data": data, "total": total, "page": number, "per_page": size});
    Ok(json_answer(200, &body))
}

/// `POST /v1/admin/users`
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let new = parse(&headers, &body)?;
    let (user, password) = users::create(&app, administrator.organisation(), new).await?;
    Ok(json_answer(201, &with_password(describe(&user), password.as_ref())))
}

/// `GET /v1/admin/users/{id}`
pub(crate) async fn show(
    State(app): State<App>,
    administrator: Administrator,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let user = users::find(&app, administrator.organisation(), &id).await?;
    Ok(json_answer(200, &describe(&user)))
}

/// `PATCH /v1/admin/users/{id}`
pub(crate) async fn change(
    State(app): State<App>,
    Administrator(me): Administrator,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let user = users::change(&app, &me.user, &id, parse(&headers, &body)?).await?;
    Ok(json_answer(200, &describe(&user)))
}

/// `POST /v1/admin/users/{id}/reset-password`
pub(crate) async fn reset_password(
    State(app): State<App>,
    administrator: Administrator,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (user, password) = users::reset_password(&app, administrator.organisation(), &id).await?;
    Ok(json_answer(200, &with_password(describe(&user), Some(&password))))
}

/// `GET /v1/admin/users/{id}/sessions`
pub(crate) async fn sessions(
    State(app): State<App>,
    administrator: Administrator,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let user = users::find(&app, administrator.organisation(), &id).await?;
    let places = places(&app, &user, &administrator.0).await?;
    Ok(json_answer(200, &places::describe(&places)))
}

/// `DELETE /v1/admin/users/{id}/sessions/{session}`
pub(crate) async fn end_session(
    State(app): State<App>,
    administrator: Administrator,
    Path((id, session)): Path<(String, String)>,
) -> Result<Response, Problem> {
    match users::end_session(&app, administrator.organisation(), &id, &session).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::not_found("They have no session of this id.")),
    }
}

/// The password where one was made up, else null.
fn with_password(mut body: Value, password: Option<&Secret>) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.insert("password".to_owned(), json!(password.map(Secret::expose)));
    }
    body
}
