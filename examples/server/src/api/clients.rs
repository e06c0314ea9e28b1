//! `/v1/admin/clients`: an administrator's clients.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use grantor::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::administrator::Administrator;
use super::{limit, parse};
use crate::accounts::new_client_id;
use crate::administration::clients::{self, describe};
use crate::app::App;
use crate::problem::{Problem, json_answer};

/// `POST /v1/admin/clients`
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let organisation = administrator.organisation();
    let new = parse(&headers, &body)?;
    let created = clients::create(&app, organisation, new_client_id(), new).await?;
    let mut body = describe(&created.client, organisation);
    set_secret(&mut body, created.client_secret.as_ref());
    Ok(json_answer(201, &body))
}

#[derive(Deserialize)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/admin/clients`: all, or a page of `limit` after the `clientId` `after`.
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let limit = page.limit.as_deref().map(|text| limit("limit", text)).transpose()?;
    let organisation = administrator.organisation();
    let clients = clients::list(&app, organisation, page.after, limit).await?;
    let data: Vec<Value> = clients.iter().map(|client| describe(client, organisation)).collect();
    Ok(json_answer(200, &json!({"total": data.len(), "data": data})))
}

/// `GET /v1/admin/clients/{id}`
pub(crate) async fn show(
    State(app): State<App>,
    administrator: Administrator,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let organisation = administrator.organisation();
    let client = clients::find(&app, organisation, &id).await?;
    Ok(json_answer(200, &describe(&client, organisation)))
}

/// `PATCH /v1/admin/clients/{id}`
pub(crate) async fn change(
    State(app): State<App>,
    administrator: Administrator,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let organisation = administrator.organisation();
    let client = clients::change(&app, organisation, &id, parse(&headers, &body)?).await?;
    Ok(json_answer(200, &describe(&client, organisation)))
}

/// `POST /v1/admin/clients/{id}/rotate-secret`
pub(crate) async fn rotate_secret(
    State(app): State<App>,
    administrator: Administrator,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let organisation = administrator.organisation();
    let (client, secret) = clients::rotate_secret(&app, organisation, &id).await?;
    let mut body = describe(&client, organisation);
    set_secret(&mut body, Some(&secret));
    Ok(json_answer(200, &body))
}

/// `POST /v1/admin/clients/{id}/revoke`
pub(crate) async fn revoke(
    State(app): State<App>,
    administrator: Administrator,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    clients::revoke(&app, administrator.organisation(), &id).await?;
    Ok(json_answer(200, &json!({"message": "Client revoked successfully"})))
}

/// `DELETE /v1/admin/clients/{id}`
pub(crate) async fn remove(
    State(app): State<App>,
    administrator: Administrator,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    clients::remove(&app, administrator.organisation(), &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn set_secret(body: &mut Value, secret: Option<&Secret>) {
    if let Some(members) = body.as_object_mut() {
        members.insert("clientSecret".to_owned(), json!(secret.map(Secret::expose)));
    }
}
