//! The JWK Set (RFC 7517 section 5): the public keys, for everyone.

use super::Call;
use crate::error::Misdeed;
use crate::http::{Method, Response};

/// Clients may keep it for five minutes, a third of the time for which a new key is published
/// before it signs.
pub(crate) const CACHE_CONTROL: &str = "public, max-age=300";

pub(crate) fn answer(call: &Call<'_>) -> Response {
    for_everyone(call, || call.server.ring().jwks())
}

/// A public document: readable by every origin, without credentials.
pub(crate) fn for_everyone(
    call: &Call<'_>,
    document: impl FnOnce() -> serde_json::Value,
) -> Response {
    match call.request.method {
        Method::Get | Method::Head => Response::public_json(200, &document())
            .header("cache-control", CACHE_CONTROL)
            .header("cross-origin-resource-policy", "cross-origin"),
        Method::Options => Response::empty(204)
            .header("access-control-allow-methods", "GET")
            .header("access-control-max-age", "86400"),
        _ => call.conclude(Err(Misdeed::Method("GET, HEAD, OPTIONS"))),
    }
    .header("access-control-allow-origin", "*")
}
