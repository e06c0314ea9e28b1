//! The application: its state, and which path leads where.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use grantor::AuthorizationServer;
use grantor_axum::Reply;
use grantor_sqlite::Sqlite;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::info;
use uuid::Uuid;

use crate::accounts::{Accounts, random_u128};
use crate::config::Config;
use crate::limits::LoginLimit;
use crate::passwords::Passwords;
use crate::session::Sessions;
use crate::{account, api, demo, pages, sign_in, sign_out};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) server: AuthorizationServer,
    pub(crate) accounts: Accounts,
    pub(crate) sessions: Sessions,
    pub(crate) passwords: Passwords,
    pub(crate) logins: Arc<LoginLimit>,
    store: Sqlite,
}

impl App {
    pub(crate) fn new(
        server: AuthorizationServer,
        store: Sqlite,
        accounts: Accounts,
        config: &Config,
    ) -> Self {
        let secure = server.issuer().is_https();
        let sessions = Sessions::new(accounts.clone(), &config.lifetimes, secure);
        let (passwords, logins) = (Passwords::new(), Arc::new(LoginLimit::new()));
        Self { server, accounts, sessions, passwords, logins, store }
    }

    /// Whether both databases can be written to.
    pub(crate) async fn check(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.store.check().await?;
        self.accounts.0.check().await?;
        Ok(())
    }

    /// All routes: the engine's, the pages, the API.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/", get(home))
            .route("/login", get(sign_in::show_login).post(sign_in::login))
            .route("/consent", get(sign_in::show_consent).post(sign_in::decide))
            .route("/account", get(account::show).post(account::change))
            .route("/logout", get(sign_out::show_logout).post(sign_out::logout))
            .route("/assets/style.css", get(style))
            .route(demo::PATH, get(demo::page))
            .route("/assets/demo.js", get(demo::script))
            .route("/health", get(api::health))
            .nest("/v1", api::router())
            .merge(grantor_axum::routes(&self.server))
            .fallback(api::not_found)
            .with_state(self)
            .layer(CatchPanicLayer::custom(|_| api::crashed()))
            .layer(from_fn(trace))
    }
}

async fn home(State(app): State<App>, headers: HeaderMap) -> Reply {
    match app.sessions.find(&headers, app.server.now()).await {
        Ok(session) => {
            let csrf = session.as_ref().map(|s| s.csrf_token("logout")).unwrap_or_default();
            let user = session.as_ref().map(|session| &session.user);
            let issuer = app.server.issuer().as_str();
            let has_demo = matches!(app.accounts.demo_client().await, Ok(Some(_)));
            Reply::page(pages::render(&pages::Home { issuer, user, csrf: &csrf, has_demo }))
        }
        Err(error) => sign_in::unavailable(&error),
    }
}

async fn style() -> impl IntoResponse {
    let headers =
        [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, pages::STYLE)
}

/// Gives every answer an id and a log line. The path is logged, never the query: it carries
/// tickets and codes. A client's own request id is not believed.
async fn trace(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = Uuid::from_u128(random_u128()).to_string();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let elapsed = started.elapsed();
    let status = response.status().as_u16();
    info!(request_id = id, %method, path, status, ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), "answered");
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers
        .entry(HeaderName::from_static("x-content-type-options"))
        .or_insert(HeaderValue::from_static("nosniff"));
    if status == StatusCode::METHOD_NOT_ALLOWED.as_u16() || status == 404 {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}
