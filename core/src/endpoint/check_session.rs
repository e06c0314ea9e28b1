//! The page that applications have in a frame, to ask whether their person is still signed in (OpenID Connect Session
//! Management 1.0 section 3.2).
//!
//! It asks nobody: all that it knows is the cookie of [`crate::browser_state`].

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::{Call, document};
use crate::error::Misdeed;
use crate::http::{Method, Response};

const SCRIPT: &str = include_str!("check_session.js");

/// Any page may have it in a frame: which application asks, its own message says, and the hash that it brings was made
/// for the origin that the browser names. The one script that it runs is its own.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
    format!("default-src 'none'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
});

pub(crate) fn answer(call: &Call<'_>) -> Response {
    if !call.server.policy().session_management {
        return Misdeed::NotFound.response();
    }
    if !matches!(call.request.method, Method::Get | Method::Head) {
        return call.conclude(Err(Misdeed::Method("GET, HEAD")));
    }
    let mut response = Response::empty(200)
        .header("content-type", "text/html; charset=utf-8")
        .header("cache-control", document::CACHE_CONTROL)
        .header("content-security-policy", POLICY.as_str());
    let head = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Session</title>";
    response.body = format!("{head}<script>{SCRIPT}</script></html>").into_bytes();
    response
}
