//! Which browser pages may read an answer.
//!
//! Token, revocation and userinfo answers are for the origins that their client registered; an
//! error is an answer too, and so is the 401 by which a page learns to refresh. Credentials mode is
//! never allowed: these endpoints know no cookie. A preflight names no client, so it is answered
//! from the union of all active clients' origins, and the real request is checked against its own.

use crate::client::Client;
use crate::http::{Method, Request, Response};
use crate::server::AuthorizationServer;

/// Seconds for which a browser may keep a preflight's answer.
const MAX_AGE: &str = "600";

/// The page that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Allowed,
    Foreign,
    /// The store could not say.
    Unknown,
}

impl From<bool> for Page {
    fn from(allowed: bool) -> Self {
        if allowed { Page::Allowed } else { Page::Foreign }
    }
}

/// Whether the request is a CORS preflight.
pub(crate) fn is_preflight(request: &Request) -> bool {
    request.method == Method::Options
        && request.single("origin").is_some()
        && request.single("access-control-request-method").is_some()
}

/// Answers a preflight without running anything.
pub(crate) async fn preflight(
    server: &AuthorizationServer,
    request: &Request,
    methods: &'static str,
) -> Response {
    answer_preflight(request, methods, page(server, None, request).await)
}

/// The answer to a page's preflight.
pub(crate) fn answer_preflight(request: &Request, methods: &'static str, page: Page) -> Response {
    let response = Response::empty(204).header("vary", "Origin");
    let origin = request.single("origin").unwrap_or_default();
    match page {
        Page::Allowed => response
            .header("access-control-allow-origin", origin.to_owned())
            .header("access-control-allow-methods", methods)
            .header("access-control-allow-headers", "authorization, content-type")
            .header("access-control-max-age", MAX_AGE),
        Page::Foreign => response,
        // A page that is refused now may ask again; nothing is allowed on a guess.
        Page::Unknown => Response::empty(503).header("vary", "Origin"),
    }
}

/// Adds the headers that let the client's own pages read the answer.
pub(crate) async fn expose(
    server: &AuthorizationServer,
    request: &Request,
    client: Option<&Client>,
    response: Response,
) -> Response {
    expose_to(request, response, page(server, client, request).await)
}

/// Adds the headers for a page that is allowed.
pub(crate) fn expose_to(request: &Request, response: Response, page: Page) -> Response {
    let response = response.header("vary", "Origin");
    match (request.single("origin"), page) {
        (Some(origin), Page::Allowed) => response
            .header("access-control-allow-origin", origin.to_owned())
            .header("access-control-expose-headers", "www-authenticate, retry-after"),
        _ => response,
    }
}

/// The origin of the page that asks, if it is one.
pub(crate) fn origin(request: &Request) -> Option<&str> {
    let is_one =
        |origin: &&str| origin.len() <= 255 && origin.bytes().all(|b| b.is_ascii_graphic());
    request.single("origin").filter(is_one)
}

/// A call whose client is unknown (a mistyped id, an expired token) is answered to every active
/// client's origin: the page must see what went wrong, and the error says nothing else.
pub(crate) async fn page(
    server: &AuthorizationServer,
    client: Option<&Client>,
    request: &Request,
) -> Page {
    let Some(origin) = origin(request) else { return Page::Foreign };
    match client {
        Some(client) => client.allows_origin(origin).into(),
        None => match server.client_store().allows_origin(server.issuer(), origin).await {
            Ok(allowed) => allowed.into(),
            Err(_) => Page::Unknown,
        },
    }
}
