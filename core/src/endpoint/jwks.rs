//! The JWK Set (RFC 7517 section 5): the public keys, for everyone.

use super::Call;
use crate::error::Misdeed;
use crate::http::{Method, Request, Response};

/// Clients may keep it for five minutes, a third of the time for which a new key is published
/// before it signs.
pub(crate) const CACHE_CONTROL: &str = "public, max-age=300";

pub(crate) fn answer(call: &Call<'_>) -> Response {
    let refuse = |misdeed| call.conclude(Err(misdeed));
    for_everyone(call.request, || call.server.keys().jwks(), refuse)
}

/// A public document: readable by every origin, without credentials. So is the refusal of other methods.
pub(crate) fn for_everyone(
    request: &Request,
    document: impl FnOnce() -> serde_json::Value,
    refuse: impl FnOnce(Misdeed) -> Response,
) -> Response {
    match request.method {
        Method::Get | Method::Head => Response::public_json(200, &document())
            .header("cache-control", CACHE_CONTROL)
            .header("cross-origin-resource-policy", "cross-origin"),
        Method::Options => Response::empty(204)
            .header("access-control-allow-methods", "GET")
            .header("access-control-max-age", "86400"),
        _ => refuse(Misdeed::Method("GET, HEAD, OPTIONS")),
    }
    .header("access-control-allow-origin", "*")
}
