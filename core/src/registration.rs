//! Who may register clients by themselves (RFC 7591).

use std::net::IpAddr;

use async_trait::async_trait;

use crate::client::{Client, GrantType};
use crate::scope::Scope;
use crate::secret::SecretDigest;
use crate::store::StoreError;

/// Decides which clients register themselves. Without one nobody does, and there is no registration endpoint.
///
/// What a client says of itself is checked before: every field is one that an administrator could have set. What has
/// to be fetched for that, a list at its `sector_identifier_uri`, is asked for afterwards, so that strangers
/// cause no calls. Where [`Policy::implicit`](field@crate::Policy::implicit) is on, a client may ask for that too:
/// refuse [`GrantType::Implicit`] here to keep it to administrators. Never
/// taken from it are what only an operator grants: that nobody is asked for consent, audiences, resources and
/// lifetimes.
#[async_trait]
pub trait Registration: Send + Sync + 'static {
    /// Decides about a new client, or about what a registered one wants to become. `client` is what would be
    /// stored; it may be changed: give it a tenant, take scopes away.
    ///
    /// # Errors
    /// When the host cannot say now: the request is answered 503.
    async fn decide(
        &self,
        request: &RegistrationRequest<'_>,
        client: &mut Client,
    ) -> Result<RegistrationDecision, StoreError>;
}

/// A registration that is asked for.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct RegistrationRequest<'a> {
    /// The bearer token that came with it (RFC 7591 section 3); none for a client that changes, which has
    /// proved itself by its registration access token.
    pub initial_access_token: Option<&'a str>,
    /// Where it came from, as far as the host knows.
    pub peer: Option<IpAddr>,
    /// The client as it is registered now, when it changes.
    pub registered: Option<&'a Client>,
}

impl std::fmt::Debug for RegistrationRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistrationRequest").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// See [`Registration::decide`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationDecision {
    /// It is registered.
    Admit,
    /// The initial access token is missing or wrong: 401.
    WrongToken,
    /// It may not be such a client: 400 with this sentence.
    Refused(&'static str),
}

/// Admits a client with what it may have of `scope`. One that acts on its own behalf would get tokens that no
/// person was asked for: that is an administrator's to give.
fn admit(client: &mut Client, scope: &Scope) -> RegistrationDecision {
    client.scope = client.scope.intersection(scope);
    let refused = "client_credentials is not for clients that register themselves";
    match client.may(GrantType::ClientCredentials) {
        true => RegistrationDecision::Refused(refused),
        false => RegistrationDecision::Admit,
    }
}

/// Whoever comes may register a client that acts for people, by their consent. **Everybody on the network
/// can then have a page of theirs ask your people for consent**, and have this server call public URLs
/// (`jwks_uri`, `sector_identifier_uri`): set a [`RateLimit`](crate::RateLimit).
#[derive(Clone, Debug)]
pub struct OpenRegistration {
    /// What such clients may ask for at most.
    pub scope: Scope,
}

#[async_trait]
impl Registration for OpenRegistration {
    async fn decide(
        &self,
        _: &RegistrationRequest<'_>,
        client: &mut Client,
    ) -> Result<RegistrationDecision, StoreError> {
        Ok(admit(client, &self.scope))
    }
}

/// Whoever has one of these tokens may register clients that act for people, by their consent.
#[derive(Clone, Debug)]
pub struct RegistrationByToken {
    /// The digests of the initial access tokens.
    pub tokens: Vec<SecretDigest>,
    /// What such clients may ask for at most.
    pub scope: Scope,
}

#[async_trait]
impl Registration for RegistrationByToken {
    async fn decide(
        &self,
        request: &RegistrationRequest<'_>,
        client: &mut Client,
    ) -> Result<RegistrationDecision, StoreError> {
        let token = request.initial_access_token.unwrap_or_default();
        // Every digest is compared, so that time does not tell which one matched.
        let known = self.tokens.iter().fold(false, |found, digest| digest.matches(token) | found);
        Ok(match known || request.registered.is_some() {
            true => admit(client, &self.scope),
            false => RegistrationDecision::WrongToken,
        })
    }
}
