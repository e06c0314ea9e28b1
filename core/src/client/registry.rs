//! Registering and changing clients.

use std::sync::Arc;
use std::time::Duration;

use super::check::check;
use super::{AuthMethod, Client, ClientAuthentication, GrantType, SecretEntry, sector};
use crate::env::{RandomnessUnavailable, Time};
use crate::event::Event;
use crate::keys::KeyError;
use crate::secret::Secret;
use crate::server::AuthorizationServer;
use crate::store::{Owner, StoreError};

/// The clients of a server, for administration. From [`AuthorizationServer::clients`].
///
/// Every change goes through here, so that the checks hold however it was asked for: by an API, a
/// command or a registration.
#[derive(Debug)]
pub struct Clients<'a>(&'a AuthorizationServer);

/// A client that was just created, with the secret that is shown once.
#[derive(Debug)]
pub struct CreatedClient {
    /// The client as stored.
    pub client: Arc<Client>,
    /// The secret of a confidential client. It cannot be read again.
    pub client_secret: Option<Secret>,
}

/// Why a client was not created or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A field holds something that cannot be registered (`invalid_redirect_uri` or
    /// `invalid_client_metadata` of RFC 7591 section 3.2.2).
    #[error("{field}: {why}")]
    Invalid {
        /// The field, in the names of RFC 7591.
        field: &'static str,
        /// What is wrong and what would be right.
        why: String,
    },
    /// There is no client of this id.
    #[error("there is no client {0:?}")]
    NotFound(String),
    /// Somebody else changed the client in between.
    #[error("the client was changed by somebody else: read it again")]
    Changed,
    /// The operation is for clients with a secret.
    #[error("the client has no secret: it is public, or proves itself with a key")]
    Public,
    /// The operation is for public clients.
    #[error("the secret of a confidential client is shown once: create it, and keep the secret")]
    Confidential,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No secret could be made.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
    /// A secret could not be sealed.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

pub(super) fn invalid<T>(field: &'static str, why: impl Into<String>) -> Result<T, RegistryError> {
    Err(RegistryError::Invalid { field, why: why.into() })
}

impl<'a> Clients<'a> {
    pub(crate) fn new(server: &'a AuthorizationServer) -> Self {
        Self(server)
    }

    /// Registers a client. A confidential one gets a generated secret, which is returned once;
    /// whatever digest `client` carries is replaced.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] when a field cannot be registered or the id is taken.
    pub async fn create(&self, mut client: Client) -> Result<CreatedClient, RegistryError> {
        self.check(&client)?;
        sector::check_list(self.0, &client).await?;
        self.stamp(&mut client);
        let mut client_secret = None;
        if let ClientAuthentication::Secret { secrets, method } = &mut client.authentication {
            let (entry, secret) = self.new_secret(&client.client_id, *method)?;
            *secrets = vec![entry];
            client_secret = Some(secret);
        }
        if !self.insert(client.clone()).await? {
            return invalid("client_id", "it is taken");
        }
        Ok(CreatedClient { client: Arc::new(client), client_secret })
    }

    /// Registers a client unless there is one of its id, which stays as it is: what a host does at each
    /// start with the clients that belong to it. Says whether it was registered. One that an administrator
    /// has removed does not come back. For a confidential client use [`Clients::create`], which returns its
    /// secret.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] when a field cannot be registered, [`RegistryError::Confidential`] for a
    /// client with a secret.
    pub async fn ensure(&self, mut client: Client) -> Result<bool, RegistryError> {
        if matches!(client.authentication, ClientAuthentication::Secret { .. }) {
            return Err(RegistryError::Confidential);
        }
        self.check(&client)?;
        if self.find(&client.client_id).await?.is_some() {
            return Ok(false);
        }
        sector::check_list(self.0, &client).await?;
        self.stamp(&mut client);
        self.insert(client).await
    }

    /// A secret, and what is kept of it.
    fn new_secret(
        &self,
        client_id: &str,
        method: Option<AuthMethod>,
    ) -> Result<(SecretEntry, Secret), RegistryError> {
        let secret = Secret::generate("secret_", self.0.environment())?;
        let mut entry = SecretEntry::of(&secret);
        if method == Some(AuthMethod::SecretJwt) {
            entry.sealed = Some(self.0.keys().seal_secret(client_id, &secret)?);
        }
        Ok((entry, secret))
    }

    fn stamp(&self, client: &mut Client) {
        let now = self.0.now();
        (client.version, client.created_at, client.updated_at) = (1, now, now);
    }

    async fn insert(&self, client: Client) -> Result<bool, RegistryError> {
        let client_id = client.client_id.clone();
        let inserted = self.0.client_store().insert(self.0.issuer(), client).await?;
        if inserted {
            self.0.emit(&Event::ClientCreated { client_id: &client_id });
        }
        Ok(inserted)
    }

    /// The client of this id, active or not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(&self, client_id: &str) -> Result<Option<Arc<Client>>, StoreError> {
        self.0.client_store().find(self.0.issuer(), client_id).await
    }

    /// The clients of a tenant (of all, for `None`) in the order of their ids, after `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(
        &self,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Client>>, StoreError> {
        self.0.client_store().list(self.0.issuer(), tenant, after, limit).await
    }

    /// Stores a changed client. `client.version` must be the one that was read.
    ///
    /// The barrier never moves back, and switching a client off moves it: what it held then stays
    /// dead when it is switched on again. So does a change of the identifiers by which it knows people.
    ///
    /// # Errors
    /// [`RegistryError::Changed`] when somebody else changed it in between.
    pub async fn update(&self, mut client: Client) -> Result<Arc<Client>, RegistryError> {
        self.check(&client)?;
        let stored = self.existing(&client.client_id).await?;
        if client.sector_identifier_uri != stored.sector_identifier_uri
            || client.redirect_uris != stored.redirect_uris
        {
            sector::check_list(self.0, &client).await?;
        }
        let signs = client.authentication.is_by_shared_secret();
        if let ClientAuthentication::Secret { secrets, .. } = &mut client.authentication {
            if signs && secrets.first().is_none_or(|entry| entry.sealed.is_none()) {
                let why =
                    "only a digest of its secret is kept: register a new client to sign with one";
                return invalid("token_endpoint_auth_method", why);
            }
            if !signs {
                secrets.iter_mut().for_each(|entry| entry.sealed = None);
            }
        }
        client.valid_from = client.valid_from.max(stored.valid_from);
        // It would know people by other identifiers in the middle of a grant.
        let sees_others = client.sees() != stored.sees();
        if !client.active || sees_others {
            client.valid_from = client.valid_from.max(just_after(self.0.now()));
        }
        self.store(client).await
    }

    /// Whether a client is sound, and this server does what it needs.
    pub(crate) fn check(&self, client: &Client) -> Result<(), RegistryError> {
        if !self.0.policy().implicit {
            let implicit = [
                ("response_types", client.response_types.iter().any(|one| one.is_implicit())),
                ("grant_types", client.may(GrantType::Implicit)),
            ];
            if let Some((field, _)) = implicit.into_iter().find(|(_, wanted)| *wanted) {
                let why = "the server sends no tokens through the browser (Policy::implicit)";
                return invalid(field, why);
            }
        }
        check(client)?;
        for (field, algorithm) in [
            ("id_token_signed_response_alg", client.id_token_signed_response_alg),
            ("access_token_signed_response_alg", client.access_token_signed_response_alg),
            ("userinfo_signed_response_alg", client.userinfo_signed_response_alg),
        ] {
            let known = &self.0.policy().algorithms;
            if algorithm.is_some_and(|algorithm| !known.contains(&algorithm)) {
                return invalid(field, "the server does not sign with it (Policy::algorithms)");
            }
        }
        let calls = [
            ("jwks_uri", client.jwks_uri.is_some()),
            ("sector_identifier_uri", client.sector_identifier_uri.is_some()),
            ("request_uris", !client.request_uris.is_empty()),
        ];
        if client.backchannel_logout_uri.is_some() && !self.0.tells_of_logout() {
            let why =
                "the server tells nobody (Builder::outbox, Builder::fetch, Builder::logout_page)";
            return invalid("backchannel_logout_uri", why);
        }
        for (field, needed) in calls {
            if needed && !self.0.fetches() {
                return invalid(field, "the server makes no outgoing calls (Builder::fetch)");
            }
        }
        Ok(())
    }

    async fn store(&self, mut client: Client) -> Result<Arc<Client>, RegistryError> {
        client.updated_at = self.0.now();
        if !self.0.client_store().update(self.0.issuer(), client.clone()).await? {
            return match self.find(&client.client_id).await? {
                Some(_) => Err(RegistryError::Changed),
                None => Err(RegistryError::NotFound(client.client_id)),
            };
        }
        self.0.emit(&Event::ClientUpdated { client_id: &client.client_id });
        client.version += 1;
        Ok(Arc::new(client))
    }

    /// Gives a confidential client a new secret and returns it, once. The old ones go on working
    /// for `overlap`, so that a running application can be moved over; zero ends them at once.
    ///
    /// # Errors
    /// [`RegistryError::Public`] for a public client.
    pub async fn rotate_secret(
        &self,
        client_id: &str,
        overlap: Duration,
    ) -> Result<Secret, RegistryError> {
        let mut client = self.existing(client_id).await?;
        let now = self.0.now();
        let ClientAuthentication::Secret { secrets, method } = &mut client.authentication else {
            return Err(RegistryError::Public);
        };
        let (entry, secret) = self.new_secret(client_id, *method)?;
        let end = now.plus(overlap);
        secrets
            .retain(|entry| entry.expires_at.is_none_or(|at| at > now) && overlap > Duration::ZERO);
        // One predecessor is enough; a third live secret would only be a forgotten one.
        secrets.truncate(1);
        for entry in secrets.iter_mut() {
            entry.expires_at = Some(entry.expires_at.map_or(end, |at| at.min(end)));
        }
        secrets.insert(0, entry);
        // Not `update`: a secret that has leaked can be replaced also where today's rules would refuse the client.
        self.store(client).await?;
        self.0.emit(&Event::ClientSecretRotated { client_id });
        Ok(secret)
    }

    /// Switches a client off, and ends everything that it holds. The barrier makes its tokens dead
    /// at once; the records follow. Switching it on again does not revive them.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] when there is no such client.
    pub async fn revoke(&self, client_id: &str) -> Result<(), RegistryError> {
        let mut client = self.existing(client_id).await?;
        client.active = false;
        self.end_grants(client).await
    }

    /// Removes a client for good, and ends everything that it holds. Its id is never used again.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] when there is no such client.
    pub async fn remove(&self, client_id: &str) -> Result<(), RegistryError> {
        self.revoke(client_id).await?;
        if !self.0.client_store().remove(self.0.issuer(), client_id).await? {
            return Err(RegistryError::NotFound(client_id.to_owned()));
        }
        self.0.emit(&Event::ClientRemoved { client_id });
        Ok(())
    }

    async fn end_grants(&self, mut client: Client) -> Result<(), RegistryError> {
        let now = self.0.now();
        client.valid_from = just_after(now);
        // Not `update`: a client that today's rules would refuse can still be switched off.
        let client = self.store(client).await?;
        let owner = Owner::Client(self.0.issuer().clone(), client.client_id.clone());
        self.0.token_store().revoke(&owner, now).await?;
        self.0.emit(&Event::ClientRevoked { client_id: &client.client_id });
        Ok(())
    }

    async fn existing(&self, client_id: &str) -> Result<Client, RegistryError> {
        let found = self.find(client_id).await?;
        found
            .map(|client| Client::clone(&client))
            .ok_or_else(|| RegistryError::NotFound(client_id.to_owned()))
    }
}

/// A barrier for everything until now: what was approved in this very millisecond is older too.
pub(crate) fn just_after(now: Time) -> Time {
    now.plus(Duration::from_millis(1))
}
