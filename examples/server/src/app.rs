//! The application: its state, and which path leads where.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use grantor::AuthorizationServer;
use grantor_axum::Reply;
use tower_http::catch_panic::CatchPanicLayer;
use url::Url;

use crate::accounts::Accounts;
use crate::config::Config;
use crate::devices::Devices;
use crate::limits::{LoginLimit, PageLimit};
use crate::observe::{self, StrictTransport};
use crate::passwords::Passwords;
use crate::proxy::{self, TrustedProxies};
use crate::session::Sessions;
use crate::storage::Storage;
use crate::trusted::TrustedOrigins;
use crate::{account, api, busy, console, demo, pages, replies, sign_in, sign_out};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) server: AuthorizationServer,
    pub(crate) accounts: Accounts,
    pub(crate) sessions: Sessions,
    pub(crate) passwords: Passwords,
    pub(crate) logins: Arc<LoginLimit>,
    pub(crate) pages: Arc<PageLimit>,
    pub(crate) devices: Devices,
    /// A login page elsewhere.
    pub(crate) login_ui: Option<Arc<Url>>,
    pub(crate) trusted: TrustedOrigins,
    /// Whether pages show the logos of applications.
    pub(crate) logos: bool,
    /// Whether people come from other machines, by TLS.
    is_public: bool,
    proxies: TrustedProxies,
    storage: Storage,
}

impl App {
    pub(crate) fn new(
        server: AuthorizationServer,
        storage: Storage,
        accounts: Accounts,
        config: &Config,
    ) -> Self {
        let secure = server.issuer().is_https();
        let sessions = Sessions::new(accounts.clone(), &config.lifetimes, secure);
        let (passwords, logins) = (Passwords::new(), Arc::new(LoginLimit::new()));
        let pages = Arc::new(PageLimit::new(&config.limits));
        let devices = Devices::new(accounts.clone(), secure);
        let login_ui =
            config.login_ui.as_deref().and_then(|url| Url::parse(url).ok()).map(Arc::new);
        let trusted = config.trusted();
        let is_public = secure && !config.is_loopback();
        let proxies = TrustedProxies::new(&config.trusted_proxies);
        Self {
            server,
            accounts,
            sessions,
            passwords,
            logins,
            pages,
            devices,
            login_ui,
            trusted,
            logos: config.logos,
            is_public,
            proxies,
            storage,
        }
    }

    /// Whether both databases can be written to.
    pub(crate) async fn check(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.storage.check().await?;
        self.accounts.0.check().await?;
        Ok(())
    }

    /// All routes: the engine's, the pages, the API.
    pub(crate) fn router(self) -> Router {
        let strict_transport = StrictTransport(self.is_public);
        let proxies = self.proxies.clone();
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
            .merge(console::router())
            .nest("/v1", api::router(&self.trusted))
            .merge(grantor_axum::routes(&self.server))
            .fallback(api::nothing_here)
            .layer(from_fn_with_state(self.clone(), busy::not_too_often))
            .with_state(self)
            .layer(CatchPanicLayer::custom(|_| api::crashed()))
            .layer(from_fn_with_state(strict_transport, observe::observe))
            .layer(from_fn_with_state(proxies, proxy::unmask))
    }
}

async fn home(State(app): State<App>, headers: HeaderMap) -> Reply {
    match app.sessions.find(&headers, app.server.now()).await {
        Ok(session) => {
            let csrf = session.as_ref().map(|s| s.csrf_token("logout")).unwrap_or_default();
            let user = session.as_ref().map(|session| &session.user);
            let issuer = app.server.issuer().as_str();
            let has_demo = matches!(app.accounts.setting("demo").await, Ok(Some(_)));
            pages::own_page(pages::render(&pages::Home { issuer, user, csrf: &csrf, has_demo }))
        }
        Err(error) => replies::unavailable(&error),
    }
}

async fn style() -> impl IntoResponse {
    let headers =
        [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, pages::STYLE)
}
