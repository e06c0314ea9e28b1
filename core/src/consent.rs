//! What the host says about a request before the person is asked.

use async_trait::async_trait;

use crate::client::Client;
use crate::scope::Scope;
use crate::subject::SubjectError;

/// Decides which client may have what of whom, and whether the person is asked.
///
/// Without one, everybody may use every client, and a client's registration says whether people are asked. With
/// one, a host keeps people out of applications that are not theirs, gives `admin` to administrators alone, or
/// trusts the applications of one department without a question.
///
/// It is asked at every visit of the login page's ticket, once somebody is signed in. It is not asked when a
/// client refreshes: to end what was granted, move the barrier of
/// [`SubjectStatus::Active`](crate::SubjectStatus::Active), or revoke the grants.
#[async_trait]
pub trait ConsentPolicy: Send + Sync + 'static {
    /// Decides about one request.
    ///
    /// # Errors
    /// When the host cannot say now: the request is answered 503, and nothing is granted.
    async fn decide(&self, request: &ConsentRequest<'_>) -> Result<ConsentDecision, SubjectError>;
}

/// What is asked for. The person is signed in, as the request wants it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConsentRequest<'a> {
    /// Who asks.
    pub client: &'a Client,
    /// Of whom.
    pub subject: &'a str,
    /// For what.
    pub scope: &'a Scope,
}

/// See [`ConsentPolicy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentDecision {
    pub(crate) scope: Scope,
    pub(crate) ask: Ask,
}

/// Whether the person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    AsRegistered,
    Always,
    Never,
}

impl ConsentDecision {
    /// The client may have this much of what it asks for, and the person is asked as the client is registered.
    /// More than it asks for is never granted; with nothing left it is told `access_denied`.
    #[must_use]
    pub fn allow(scope: Scope) -> Self {
        Self { scope, ask: Ask::AsRegistered }
    }

    /// The same, and the person is asked each time, whatever they have allowed before.
    #[must_use]
    pub fn always_asking(self) -> Self {
        Self { ask: Ask::Always, ..self }
    }

    /// The same, and the person is not asked. **Whoever controls the client gets this scope of everybody who
    /// follows a link**: it is for applications that the host trusts as itself.
    #[must_use]
    pub fn without_asking(self) -> Self {
        Self { ask: Ask::Never, ..self }
    }

    /// This person may not use this client: it is told `access_denied`.
    #[must_use]
    pub fn refuse() -> Self {
        Self::allow(Scope::empty())
    }
}

/// Everybody may use every client.
pub(crate) struct AsRegistered;

#[async_trait]
impl ConsentPolicy for AsRegistered {
    async fn decide(&self, request: &ConsentRequest<'_>) -> Result<ConsentDecision, SubjectError> {
        Ok(ConsentDecision::allow(request.scope.clone()))
    }
}
