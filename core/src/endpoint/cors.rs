//! Which browser pages may read an answer.
//!
//! Token, revocation and userinfo answers are for the origins that their client registered; an
//! error is an answer too, and so is the 401 by which a page learns to refresh. Credentials mode is
//! never allowed: these endpoints know no cookie. A preflight names no client, so it is answered
//! from the union of all active clients' origins, and the real request is checked against its own.

use crate::client::Client;
use crate::http::{Method, Request, Response};
use crate::server::AuthorizationServer;
use crate::store::StoreError;

/// Seconds for which a browser may keep a preflight's answer.
const MAX_AGE: &str = "600";

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
    let response = Response::empty(204).header("vary", "Origin");
    let origin = request.single("origin").unwrap_or_default();
    match allows(server, None, origin).await {
        Ok(true) => response
            .header("access-control-allow-origin", origin.to_owned())
            .header("access-control-allow-methods", methods)
            .header("access-control-allow-headers", "authorization, content-type")
            .header("access-control-max-age", MAX_AGE),
        Ok(false) => response,
        // A page that is refused now may ask again; nothing is allowed on a guess.
        Err(_) => Response::empty(503).header("vary", "Origin"),
    }
}

/// Adds the headers that let the client's own pages read the answer.
pub(crate) async fn expose(
    server: &AuthorizationServer,
    request: &Request,
    client: Option<&Client>,
    response: Response,
) -> Response {
    let response = response.header("vary", "Origin");
    let Some(origin) = request.single("origin") else { return response };
    match allows(server, client, origin).await {
        Ok(true) => response
            .header("access-control-allow-origin", origin.to_owned())
            .header("access-control-expose-headers", "www-authenticate, retry-after"),
        Ok(false) | Err(_) => response,
    }
}

/// A call whose client is unknown (a mistyped id, an expired token) is answered to every active
/// client's origin: the page must see what went wrong, and the error says nothing else.
async fn allows(
    server: &AuthorizationServer,
    client: Option<&Client>,
    origin: &str,
) -> Result<bool, StoreError> {
    if origin.len() > 255 || !origin.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(false);
    }
    match client {
        Some(client) => Ok(client.allows_origin(origin)),
        None => server.client_store().allows_origin(server.issuer(), origin).await,
    }
}
