//! The protocol as claims: a file per specification, driven through `handle`, without sockets and
//! with a clock that is moved by hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "these are tests: a panic is how they fail"
)]

mod budget;
mod client_authentication;
mod client_keys;
mod confusion;
mod consent_policy;
mod cors;
mod hostile;
mod interaction;
mod keys;
mod lifecycle;
mod login_elsewhere;
mod oidc_core;
mod oidc_discovery;
mod oidc_implicit;
mod oidc_logout;
mod oidc_pairwise;
mod oidc_requests;
mod oidc_session_end;
mod oidc_session_management;
mod rfc6749;
mod rfc6749_token;
mod rfc6750;
mod rfc7009;
mod rfc7523;
mod rfc7591;
mod rfc7636;
mod rfc7662;
mod rfc8707;
mod rfc9068;
mod rfc9101;
mod rfc9700;
mod rfc9728;
mod support;
