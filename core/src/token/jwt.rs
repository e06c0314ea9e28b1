//! Signed tokens: a small profile of JWS (RFC 7515) and JWT (RFC 7519), closed in one place.
//!
//! The algorithm comes from the key, never from the header; a header with `crit` is refused; the
//! type must be the expected one, so that an ID token is never an access token (RFC 8725 section
//! 3.11); issuer and expiry are always required, and time is an argument.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::env::Time;
use crate::issuer::Issuer;
use crate::keys::{KeyError, Ring, SigningKey};
use crate::secret::Secret;

/// The longest token that is looked at.
const MAX_LENGTH: usize = 16 * 1024;

/// Signs claims.
pub(crate) fn sign(
    key: &SigningKey,
    typ: &str,
    claims: &Map<String, Value>,
) -> Result<Secret, KeyError> {
    let header = json!({"alg": key.algorithm.as_str(), "typ": typ, "kid": key.kid});
    let claims = serde_json::to_vec(claims).map_err(|_| KeyError::Crypto("write claims"))?;
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let input = format!("{}.{}", encode(header.to_string().as_bytes()), encode(&claims));
    let signature = key.sign(input.as_bytes())?;
    Ok(Secret::new(format!("{input}.{}", encode(&signature))))
}

/// Why a token was not accepted, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unverified {
    Invalid(&'static str),
    /// Its key id is not in this ring; another process may have made a new key.
    UnknownKey,
}

/// Verifies a token of ours and returns its claims. The audience is the caller's to check, for
/// each endpoint means another.
pub(crate) fn verify(
    token: &str,
    typ: &str,
    ring: &Ring,
    issuer: &Issuer,
    now: Time,
) -> Result<Map<String, Value>, Unverified> {
    let claims = authentic(token, typ, ring, issuer)?;
    match claims.get("exp").and_then(Value::as_i64) {
        Some(exp) if now < Time::from_secs(exp) => Ok(claims),
        Some(_) => Err(Unverified::Invalid("it has expired")),
        None => Err(Unverified::Invalid("it has no expiry")),
    }
}

/// The claims of a token that we signed, whenever that was: enough for a hint, and for nothing
/// else.
pub(crate) fn authentic(
    token: &str,
    typ: &str,
    ring: &Ring,
    issuer: &Issuer,
) -> Result<Map<String, Value>, Unverified> {
    let invalid = |why| Err(Unverified::Invalid(why));
    if token.len() > MAX_LENGTH {
        return invalid("it is too long");
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return invalid("it is not a compact JWS");
    };
    let Some(fields) = object(header) else { return invalid("its header is not JSON") };
    if fields.contains_key("crit") {
        return invalid("its header has crit");
    }
    if fields.get("typ").and_then(Value::as_str) != Some(typ) {
        return invalid("it is of another type");
    }
    let Some(kid) = fields.get("kid").and_then(Value::as_str) else {
        return invalid("it names no key");
    };
    let Some(key) = ring.verifying_key(kid) else { return Err(Unverified::UnknownKey) };
    if fields.get("alg").and_then(Value::as_str) != Some(key.algorithm.as_str()) {
        return invalid("its algorithm is not the key's");
    }
    let input = token.get(..header.len() + 1 + claims.len()).unwrap_or_default();
    if !key.verify(signature, input.as_bytes()) {
        return invalid("its signature is wrong");
    }
    let Some(claims) = object(claims) else { return invalid("its claims are not JSON") };
    if claims.get("iss").and_then(Value::as_str) != Some(issuer.as_str()) {
        return invalid("it is of another issuer");
    }
    Ok(claims)
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}
