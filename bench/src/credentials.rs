//! Who uses the servers that are measured: the same clients and people at each.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Id and secret.
pub(crate) type Credentials = (&'static str, &'static str);

/// A service that acts on its own behalf.
pub(crate) const SERVICE: Credentials = ("service", "service-secret-service-secret-0123");
/// The same with the dearest signature.
pub(crate) const SERVICE_RS256: Credentials =
    ("service_rs256", "service-secret-service-secret-0123");
/// An application that signs people in, whose ID tokens are signed by EdDSA.
pub(crate) const APP: Credentials = ("app", "app-secret-app-secret-0123456789ab");
/// The same with RS256.
pub(crate) const APP_RS256: Credentials = ("app_rs256", "app-secret-app-secret-0123456789ab");
/// An API that asks about tokens.
pub(crate) const RESOURCE_SERVER: Credentials = ("rs", "rs-secret-rs-secret-rs-secret-012345");

pub(crate) const CALLBACK: &str = "https://app.example/cb";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// How many people there are.
pub(crate) const PEOPLE: usize = 64;

/// The `Authorization` of a client.
pub(crate) fn basic((id, secret): Credentials) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
}
