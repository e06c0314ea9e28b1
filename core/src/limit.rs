//! Limits that a host sets on how often clients may call.

use std::net::IpAddr;
use std::time::Duration;

use crate::env::Time;

/// A call that is about to be authenticated. Nothing of it is proved yet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// The path.
    pub endpoint: &'a str,
    /// Who the caller says it is; empty when it names no client
    /// ([`crate::Policy::anonymous_revocation`]).
    pub client_id: &'a str,
    /// Where it calls from, as far as the host knows ([`crate::Request::peer`]).
    pub peer: Option<IpAddr>,
    /// When.
    pub now: Time,
}

/// Decides how often clients may call the token, revocation and introspection endpoints. It is asked
/// before a secret is compared, so it bounds guessing too.
///
/// A confidential client's server makes every call of a whole site from one address: count by
/// client *and* address.
pub trait RateLimit: Send + Sync + 'static {
    /// Lets the call pass, or says how long the caller should wait.
    ///
    /// # Errors
    /// How long until the next call would pass. The peer gets 429 with `Retry-After`.
    fn check(&self, attempt: &Attempt<'_>) -> Result<(), Duration>;
}

/// Lets everything pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoLimit;

impl RateLimit for NoLimit {
    fn check(&self, _: &Attempt<'_>) -> Result<(), Duration> {
        Ok(())
    }
}
