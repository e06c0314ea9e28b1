//! Signed tokens: a small profile of JWS (RFC 7515) and JWT (RFC 7519), closed in one place.
//!
//! The algorithm comes from the key, never from the header; a header with `crit` is refused; the
//! type must be the expected one, so that an ID token is never an access token (RFC 8725 section
//! 3.11); issuer and expiry are always required, and time is an argument.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::env::Time;
use crate::issuer::Issuer;
use crate::json;
use crate::keys::{Algorithm, KeyError, VerifyingKey, VerifyingKeys};
use crate::mac;
use crate::secret::Secret;

/// The one algorithm with a shared secret.
pub(crate) const SHARED: &str = "HS256";
/// The longest token that is looked at.
const MAX_LENGTH: usize = 16 * 1024;

/// The header of a token, in the order of its names.
#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

/// What is signed: header and claims (RFC 7515 section 5.1).
pub(crate) fn input(
    algorithm: Algorithm,
    typ: &str,
    kid: &str,
    claims: &Map<String, Value>,
) -> Result<String, KeyError> {
    let write = |_| KeyError::Crypto("write a token");
    let header = Header { alg: algorithm.as_str(), kid, typ };
    let header = serde_json::to_vec(&header).map_err(write)?;
    let claims = serde_json::to_vec(claims).map_err(write)?;
    // Room for the signature too, of whatever key.
    let mut input = String::with_capacity((header.len() + claims.len()) * 4 / 3 + 700);
    BASE64_URL_SAFE_NO_PAD.encode_string(header, &mut input);
    input.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut input);
    Ok(input)
}

/// The token, in its compact form.
pub(crate) fn complete(mut input: String, signature: &[u8]) -> Secret {
    input.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut input);
    Secret::new(input)
}

/// A token that has been taken apart. Nothing of it is proved yet.
pub(crate) struct Jws<'a> {
    header: Map<String, Value>,
    claims: &'a str,
    input: &'a str,
    signature: &'a str,
}

impl<'a> Jws<'a> {
    /// Takes a compact JWS apart, and refuses extensions that must be understood (RFC 7515 section
    /// 4.1.11).
    pub(crate) fn parse(token: &'a str) -> Result<Self, &'static str> {
        if token.len() > MAX_LENGTH {
            return Err("it is too long");
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("it is not a compact JWS");
        };
        let input = token.get(..header.len() + 1 + claims.len()).unwrap_or_default();
        let header = object(header).ok_or("its header is not JSON")?;
        if header.contains_key("crit") {
            return Err("its header has crit");
        }
        // One of another type is not one that is missing.
        if ["alg", "kid", "typ"]
            .iter()
            .any(|name| header.get(*name).is_some_and(|v| !v.is_string()))
        {
            return Err("its header has a member of a wrong type");
        }
        Ok(Self { header, claims, input, signature })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    pub(crate) fn typ(&self) -> Option<&str> {
        self.text("typ")
    }

    /// `none` and everything with a shared key are unknown here.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        self.text("alg")?.parse().ok()
    }

    /// The claims, of which nothing is proved.
    pub(crate) fn unverified_claims(&self) -> Option<Map<String, Value>> {
        object(self.claims)
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.text("kid")
    }

    /// Whether newer keys could say otherwise: the named one is not known, or none is named.
    pub(crate) fn wants_newer_keys<T>(&self, verified: &Result<T, Unverified>) -> bool {
        match verified {
            Ok(_) => false,
            Err(Unverified::UnknownKey) => true,
            Err(Unverified::Invalid(_)) => self.kid().is_none(),
        }
    }

    /// The claims, if one of the keys has signed them.
    pub(crate) fn verify(
        &self,
        keys: &dyn VerifyingKeys,
    ) -> Result<Map<String, Value>, Unverified> {
        let invalid = |why| Err(Unverified::Invalid(why));
        if self.kid().is_some_and(|kid| !keys.knows(kid)) {
            return Err(Unverified::UnknownKey);
        }
        let Some(algorithm) = self.algorithm() else {
            return invalid("its algorithm is unknown");
        };
        let candidates = keys.candidates(self.kid(), algorithm);
        if candidates.is_empty() {
            return invalid("its algorithm is not the key's");
        }
        let is_of =
            |key: &&VerifyingKey| key.verify(algorithm, self.signature, self.input.as_bytes());
        if !candidates.iter().any(is_of) {
            return invalid("its signature is wrong");
        }
        object(self.claims).ok_or(Unverified::Invalid("its claims are not JSON"))
    }
}

impl Jws<'_> {
    /// The claims, if they were signed with this shared secret by HS256 (RFC 7518 section 3.2). Only where a
    /// secret is what the other side is registered with: no public key is ever taken for one.
    pub(crate) fn verify_shared(&self, secret: &Secret) -> Option<Map<String, Value>> {
        if self.text("alg") != Some(SHARED) {
            return None;
        }
        let signature = BASE64_URL_SAFE_NO_PAD.decode(self.signature).ok()?;
        let code = mac::hmac(secret.expose().as_bytes(), &[self.input.as_bytes()]);
        if !mac::same(&code, &signature) {
            return None;
        }
        object(self.claims)
    }
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
    keys: &dyn VerifyingKeys,
    issuer: &Issuer,
    now: Time,
) -> Result<Map<String, Value>, Unverified> {
    let claims = authentic(token, typ, keys, issuer)?;
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
    keys: &dyn VerifyingKeys,
    issuer: &Issuer,
) -> Result<Map<String, Value>, Unverified> {
    let jws = Jws::parse(token).map_err(Unverified::Invalid)?;
    if jws.typ() != Some(typ) {
        return Err(Unverified::Invalid("it is of another type"));
    }
    if jws.kid().is_none() {
        return Err(Unverified::Invalid("it names no key"));
    }
    let claims = jws.verify(keys)?;
    if claims.get("iss").and_then(Value::as_str) != Some(issuer.as_str()) {
        return Err(Unverified::Invalid("it is of another issuer"));
    }
    Ok(claims)
}

/// A NumericDate (RFC 7519 section 2), which may have a fraction; an error when it is there and is none, since
/// what cannot be read must not be taken for absent.
pub(crate) fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Time>, &'static str> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_i64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| seconds.abs() < 1e15)?.floor();
        format!("{seconds:.0}").parse().ok()
    });
    whole.map(|seconds| Some(Time::from_secs(seconds))).ok_or("a time in it is no number")
}

fn object(part: &str) -> Option<Map<String, Value>> {
    json::object(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?)
}
