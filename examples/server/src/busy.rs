//! Those who come too often are asked to wait, and everybody while there is too much to do.

use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use grantor_axum::is_overloaded;

use crate::app::App;
use crate::audit::audit;
use crate::metrics;
use crate::origin::Peer;
use crate::pages::{failure, own_page};
use crate::problem::Problem;

/// What costs a page, a session to be looked up, or a signature that nobody has asked for. What applications call has
/// limits of its own, by client; what is public and kept ready has none: it must be there when all else is too much.
/// What ends a session is never refused: whoever wants to be gone is the one who must not wait.
fn is_limited(app: &App, method: &Method, path: &str) -> bool {
    let of_engine = path.strip_prefix(app.server.issuer().path()).unwrap_or(path);
    let of_applications = of_engine.starts_with("/oauth2/") && of_engine != "/oauth2/authorize";
    let is_public = path.starts_with("/.well-known/") || of_engine.starts_with("/.well-known/");
    let is_ready = is_public || path.starts_with("/assets/");
    let ends = ["/logout", "/v1/auth/logout"].contains(&path)
        || method == Method::DELETE && path.starts_with("/v1/me/sessions/");
    !of_applications && !is_ready && !ends && path != "/health"
}

/// Counts a request against its address.
pub(crate) async fn not_too_often(
    State(app): State<App>,
    Peer(peer): Peer,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if !is_limited(&app, request.method(), path) {
        return next.run(request).await;
    }
    let is_api = path.starts_with("/v1/");
    if is_overloaded() {
        return match is_api {
            true => Problem::busy().into_response(),
            false => page(503, "The server has too much to do. Try again in a moment.", 1),
        };
    }
    let Err(wait) = app.pages.visit(peer, app.server.now()) else {
        return next.run(request).await;
    };
    metrics::limited();
    audit!("rate.limited", "an address comes too often");
    if is_api {
        return Problem::too_often(wait).into_response();
    }
    let text = "Too many requests come from your network. Try again in a moment.";
    page(429, text, wait.as_secs() + 1)
}

fn page(status: u16, text: &str, retry_after: u64) -> Response {
    let page = own_page(failure("temporarily_unavailable", text)).status(status);
    let mut response = page.into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
    response
}
