//! What is handed out: sealed credentials and signed tokens.

pub(crate) mod access_token;
pub(crate) mod audience;
pub(crate) mod claims;
pub(crate) mod claims_request;
pub(crate) mod credential;
pub(crate) mod id_token;
pub(crate) mod jwt;
pub(crate) mod verified;
