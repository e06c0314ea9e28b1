//! The JWK Set (RFC 7517 section 5): the public keys, for everyone.

use super::Call;
use crate::http::Response;

pub(crate) fn answer(call: &Call<'_>) -> Response {
    call.server.keys().jwks().answer(call.request, |misdeed| call.conclude(Err(misdeed)))
}
