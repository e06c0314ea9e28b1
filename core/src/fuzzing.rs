//! Doors for the fuzz targets (`fuzz/`) to what is not public. `cargo fuzz` alone compiles them.
//!
//! They only hand over: what must hold is written in the targets.

use serde_json::{Map, Value};

use crate::client::Client;
use crate::client::authentication::basic;
use crate::client::redirect::{check_origin, check_redirect_uri};
use crate::endpoint::authorize::PARAMETERS;
use crate::env::Time;
use crate::http::{MAX_BODY, Parameters};
use crate::interaction::ticket::{Purpose, Ticket};
use crate::keys::Algorithm;
use crate::server::AuthorizationServer;
use crate::token::credential::{Credential, Kind};
use crate::token::jwt;

/// The parameters of a form.
#[must_use]
pub fn form(encoded: &[u8]) -> Option<Vec<(String, String)>> {
    Parameters::parse(encoded, MAX_BODY).ok().map(Parameters::into_pairs)
}

/// The value of one parameter of a form: `None` when it is absent, empty or repeated.
#[must_use]
pub fn form_value(encoded: &[u8], name: &str) -> Option<String> {
    Parameters::parse(encoded, MAX_BODY).ok()?.get(name).map(str::to_owned)
}

/// Id and secret of a Basic header.
#[must_use]
pub fn basic_header(value: &[u8]) -> Option<(String, String)> {
    basic(value)
}

/// Where the answer to a request goes that names this redirect URI.
#[must_use]
pub fn redirect(
    client: &Client,
    named: Option<&str>,
    parameters: &[(&str, &str)],
) -> Option<(String, String)> {
    let redirect = client.validated_redirect(named).ok()?;
    Some((redirect.as_str().to_owned(), redirect.with(parameters.iter().copied())))
}

/// Whether a redirect URI may be registered.
#[must_use]
pub fn is_registrable(uri: &str, native: bool) -> bool {
    check_redirect_uri(uri, native).is_ok()
}

/// Whether an origin may be registered.
#[must_use]
pub fn is_origin(origin: &str) -> bool {
    check_origin(origin).is_ok()
}

/// What a credential says: handle, number, expiry.
pub type Said = ([u8; 16], u32, Time);

fn kind(is_code: bool) -> Kind {
    if is_code { Kind::Code } else { Kind::Refresh }
}

/// Seals a code or a refresh token.
#[must_use]
pub fn seal_credential(server: &AuthorizationServer, is_code: bool, said: Said) -> String {
    let (handle, number, expires_at) = said;
    let credential = Credential { kind: kind(is_code), handle, number, expires_at };
    let sealed = credential.seal(&server.ring(), server.issuer(), server.now());
    sealed.map(|secret| secret.expose().to_owned()).unwrap_or_default()
}

/// Opens a code or a refresh token.
#[must_use]
pub fn open_credential(server: &AuthorizationServer, is_code: bool, text: &str) -> Option<Said> {
    let opened = Credential::open(kind(is_code), text, &server.ring(), server.issuer());
    opened.ok().map(|opened| (opened.handle, opened.number, opened.expires_at))
}

/// The parameters of an authorization request.
pub const AUTHORIZATION: &[&str] = &PARAMETERS;

/// Seals a request into a ticket.
#[must_use]
pub fn seal_ticket(server: &AuthorizationServer, query: &str) -> Option<String> {
    let sealed = Ticket::seal(server, Purpose::Authorization, query, server.now()).ok()?;
    sealed.ok().map(|ticket| ticket.to_string())
}

/// The request in a ticket.
pub async fn open_ticket(server: &AuthorizationServer, text: &str) -> Option<String> {
    let opened = Ticket::open(server, Purpose::Authorization, text, server.now()).await;
    opened.ok().flatten().map(|ticket| ticket.query())
}

/// Signs claims.
#[must_use]
pub async fn sign(server: &AuthorizationServer, typ: &str, claims: &Map<String, Value>) -> String {
    let signed = server.keys().sign(Algorithm::EdDsa, typ, claims, server.now());
    signed.await.map(|secret| secret.expose().to_owned()).unwrap_or_default()
}

/// The claims of a token of this server.
#[must_use]
pub fn verify(server: &AuthorizationServer, typ: &str, token: &str) -> Option<Map<String, Value>> {
    jwt::verify(token, typ, &server.keys().verifying(), server.issuer(), server.now()).ok()
}
