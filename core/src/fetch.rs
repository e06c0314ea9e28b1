//! Outgoing calls, which the engine leaves to the host.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::secret::Secret;

/// Makes the engine's outgoing calls. `grantor-fetch` is the one to use; a host that has rules of its own for
/// what may leave its network writes another.
///
/// Some of the URLs come from strangers: a client registers where its keys are. An implementation must
/// therefore refuse whatever is not public (loopback, private networks, the metadata service of a cloud), by
/// the address that it really connects to and at every redirect; it must bound size and time; and it must
/// keep what it got, so that a stranger's token with an unknown key does not make a call each.
#[async_trait]
pub trait Fetch: Send + Sync + 'static {
    /// Gets a document of at most `limit` bytes that was answered with 200. A copy that is not older than
    /// `max_age` will do, and should be the very same [`Arc`], by which the caller knows that it has read it
    /// already. Failures are kept too, for some seconds.
    ///
    /// # Errors
    /// When the URL may not be called, or there was no such answer.
    async fn get(
        &self,
        url: &str,
        max_age: Duration,
        limit: usize,
    ) -> Result<Arc<Document>, FetchError>;

    /// Posts a form, once, without following redirects, and reads at most `limit` bytes of the answer: what comes after
    /// them is left out.
    /// `authorization` is the header of that name.
    ///
    /// # Errors
    /// When the URL may not be called, or there was no answer.
    async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
        authorization: Option<&Secret>,
        limit: usize,
    ) -> Result<Document, FetchError>;
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The status code.
    pub status: u16,
    /// The `Content-Type` header; empty when there was none.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a call led to nothing. Its text is for the operator, never for the peer: what can be reached from
/// here is nobody's business.
#[derive(Clone, Debug, thiserror::Error)]
#[error("calling {url}: {why}")]
pub struct FetchError {
    url: String,
    why: String,
}

impl FetchError {
    /// A call to `url` failed.
    pub fn new(url: &str, why: impl std::fmt::Display) -> Self {
        Self { url: url.chars().take(200).collect(), why: why.to_string() }
    }
}
