//! The demonstration page: a browser application that walks the whole flow against this server.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use grantor_axum::Reply;

use crate::api;
use crate::app::App;
use crate::pages::{self, render};
use crate::replies::unavailable;

/// Where the page is; also its redirect URI.
pub(crate) const PATH: &str = "/demo";

const SCRIPT: &str = include_str!("../assets/demo.js");

/// `GET /demo`, where the first start made a demonstration.
pub(crate) async fn page(State(app): State<App>) -> Response {
    let client_id = match app.accounts.setting("demo").await {
        Ok(Some(client_id)) => client_id,
        Ok(None) => return api::not_found().await,
        Err(error) => return unavailable(&error).into_response(),
    };
    let issuer = app.server.issuer();
    let redirect_uri = format!("{}{PATH}", issuer.origin());
    let page =
        pages::Demo { issuer: issuer.as_str(), client_id: &client_id, redirect_uri: &redirect_uri };
    // Its own script and its own requests, nothing else.
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                  img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let page =
        grantor::Response::html(200, render(&page)).header("content-security-policy", policy);
    Reply::from(page).into_response()
}

/// `GET /assets/demo.js`
pub(crate) async fn script() -> impl IntoResponse {
    let headers =
        [(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, SCRIPT)
}
