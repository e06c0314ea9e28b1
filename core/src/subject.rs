//! What the host knows of people.

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::env::Time;

/// Claims by name, as in OpenID Connect Core section 5.1.
pub type Claims = Map<String, Value>;

/// Whether a subject may use what was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectStatus {
    /// Yes, with grants approved at `valid_from` or later. Move it to end everything at once, as
    /// after a stolen device.
    Active {
        /// The barrier; [`Time::EPOCH`] when there never was one.
        valid_from: Time,
    },
    /// Disabled, locked or unknown. Nothing is granted and nothing is active.
    Disabled,
}

/// The host could not say: its database is away. The engine fails closed with 503.
#[derive(Debug, thiserror::Error)]
#[error("the host could not tell about a subject")]
pub struct SubjectError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl SubjectError {
    /// Wraps the host's own error.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// The host's people. A subject is an identifier that never changes and is never used again: a
/// database key, not an e-mail address.
#[async_trait]
pub trait Subjects: Send + Sync + 'static {
    /// Whether this subject may use what was granted. Asked at every approval, redemption,
    /// refresh, introspection, userinfo request and guarded call.
    async fn status(&self, subject: &str) -> Result<SubjectStatus, SubjectError>;

    /// All claims that the host has of this subject, by their standard names. The engine releases
    /// what the granted scope covers (OpenID Connect Core section 5.4) and leaves nulls out.
    async fn claims(&self, subject: &str) -> Result<Claims, SubjectError>;

    /// Claims to add to access tokens, such as the organisation. Names that the engine uses itself
    /// are ignored.
    async fn token_claims(&self, subject: &str) -> Result<Claims, SubjectError> {
        let _ = subject;
        Ok(Claims::new())
    }
}
