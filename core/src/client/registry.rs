//! Registering and changing clients.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::redirect::{check_origin, check_redirect_uri};
use super::{AuthMethod, Client, ClientAuthentication, GrantType, SecretEntry};
use crate::env::{RandomnessUnavailable, Time};
use crate::event::Event;
use crate::http::has_control;
use crate::keys::JwkSet;
use crate::secret::{Secret, SecretDigest};
use crate::server::AuthorizationServer;
use crate::store::{Owner, StoreError};

const MAX_REDIRECT_URIS: usize = 20;
const MAX_ORIGINS: usize = 20;
const MAX_AUDIENCES: usize = 20;
const MAX_CONTACTS: usize = 10;
const MAX_JWKS: usize = 8192;
const MAX_TEXT: usize = 2048;

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
}

fn invalid<T>(field: &'static str, why: impl Into<String>) -> Result<T, RegistryError> {
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
        self.stamp(&mut client);
        let mut client_secret = None;
        if let ClientAuthentication::Secret { secrets, .. } = &mut client.authentication {
            let secret = Secret::generate("secret_", self.0.environment())?;
            *secrets = vec![SecretEntry { digest: SecretDigest::of(&secret), expires_at: None }];
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
        self.stamp(&mut client);
        self.insert(client).await
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
    /// dead when it is switched on again.
    ///
    /// # Errors
    /// [`RegistryError::Changed`] when somebody else changed it in between.
    pub async fn update(&self, mut client: Client) -> Result<Arc<Client>, RegistryError> {
        self.check(&client)?;
        let stored = self.existing(&client.client_id).await?;
        client.valid_from = client.valid_from.max(stored.valid_from);
        if !client.active {
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
            ("request_uris", !client.request_uris.is_empty()),
        ];
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
        let secret = Secret::generate("secret_", self.0.environment())?;
        let ClientAuthentication::Secret { secrets, .. } = &mut client.authentication else {
            return Err(RegistryError::Public);
        };
        let end = now.plus(overlap);
        secrets
            .retain(|entry| entry.expires_at.is_none_or(|at| at > now) && overlap > Duration::ZERO);
        // One predecessor is enough; a third live secret would only be a forgotten one.
        secrets.truncate(1);
        for entry in secrets.iter_mut() {
            entry.expires_at = Some(entry.expires_at.map_or(end, |at| at.min(end)));
        }
        secrets.insert(0, SecretEntry { digest: SecretDigest::of(&secret), expires_at: None });
        self.update(client).await?;
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

/// Judges the whole of a client, every time: what a change makes of it counts, not the change.
fn check(client: &Client) -> Result<(), RegistryError> {
    let id = &client.client_id;
    if id.is_empty() || id.len() > 255 || !id.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return invalid("client_id", "use 1 to 255 printable ASCII characters, without a colon");
    }
    if client.client_name.trim().is_empty() || client.client_name.chars().count() > 200 {
        return invalid("client_name", "use 1 to 200 characters");
    }
    if client.client_name.chars().any(is_deceptive) {
        return invalid("client_name", "control, direction and invisible characters are refused");
    }
    if client.description.as_ref().is_some_and(|text| text.len() > MAX_TEXT) {
        return invalid("description", "it is longer than 2,048 bytes");
    }
    for (field, uris) in [
        ("redirect_uris", &client.redirect_uris),
        ("post_logout_redirect_uris", &client.post_logout_redirect_uris),
    ] {
        if uris.len() > MAX_REDIRECT_URIS {
            return invalid(field, "at most 20");
        }
        for uri in uris {
            if let Err(why) = check_redirect_uri(uri, client.native) {
                return invalid(field, format!("{uri:?}: {why}"));
            }
        }
    }
    let redirects = [GrantType::AuthorizationCode, GrantType::Implicit];
    if redirects.iter().any(|one| client.may(*one)) && client.redirect_uris.is_empty() {
        return invalid("redirect_uris", "the authorization_code grant needs at least one");
    }
    check_response_types(client)?;
    if client.may(GrantType::RefreshToken) && !client.may(GrantType::AuthorizationCode) {
        return invalid("grant_types", "refresh_token goes with authorization_code");
    }
    if client.may(GrantType::ClientCredentials) && client.is_public() {
        return invalid("grant_types", "client_credentials is for confidential clients");
    }
    if client.allowed_origins.len() > MAX_ORIGINS {
        return invalid("allowed_origins", "at most 20");
    }
    for origin in &client.allowed_origins {
        if let Err(why) = check_origin(origin) {
            return invalid("allowed_origins", format!("{origin:?}: {why}"));
        }
    }
    if let ClientAuthentication::Secret { method: Some(method), .. } = client.authentication
        && !matches!(method, AuthMethod::Basic | AuthMethod::Post)
    {
        return invalid("token_endpoint_auth_method", "it is not for clients with a secret");
    }
    check_keys(client)?;
    for (field, names) in [("audiences", &client.audiences), ("resources", &client.resources)] {
        let sound = |name: &String| {
            (1..=MAX_TEXT).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
        };
        if names.len() > MAX_AUDIENCES || !names.iter().all(sound) {
            return invalid(field, "at most 20, of 1 to 2,048 printable ASCII characters each");
        }
    }
    if client.contacts.len() > MAX_CONTACTS
        || client.contacts.iter().any(|contact| contact.len() > 255 || has_control(contact))
    {
        return invalid("contacts", "at most 10, of at most 255 characters each");
    }
    for uri in &client.request_uris {
        // The fragment, which may be a hash of the content, is part of what is compared.
        if client.request_uris.len() > MAX_REDIRECT_URIS || uri.len() > 512 || !is_https(uri) {
            return invalid(
                "request_uris",
                "at most 20 https URLs, of at most 512 characters each",
            );
        }
    }
    let uris = [
        ("client_uri", &client.client_uri),
        ("initiate_login_uri", &client.initiate_login_uri),
        ("logo_uri", &client.logo_uri),
        ("policy_uri", &client.policy_uri),
        ("tos_uri", &client.tos_uri),
    ];
    for (field, uri) in uris {
        if uri.as_ref().is_some_and(|uri| uri.len() > MAX_TEXT || !is_https(uri)) {
            return invalid(field, "use an https URL");
        }
    }
    for (field, lifetime) in [
        ("access_token_lifetime", client.access_token_lifetime),
        ("refresh_token_lifetime", client.refresh_token_lifetime),
        ("id_token_lifetime", client.id_token_lifetime),
    ] {
        if lifetime.is_some_and(|lifetime| lifetime.as_secs() == 0) {
            return invalid(field, "use at least one second");
        }
    }
    Ok(())
}

/// Response types and grant types go together (RFC 7591 section 2.1).
fn check_response_types(client: &Client) -> Result<(), RegistryError> {
    let types = &client.response_types;
    let distinct: HashSet<_> = types.iter().collect();
    if distinct.len() < types.len() {
        return invalid("response_types", "one stands twice");
    }
    if let Some(one) = types.iter().find(|one| one.is_implicit() && !client.may_get(**one)) {
        let needed: Vec<_> = one.grant_types().map(GrantType::as_str).collect();
        return invalid(
            "grant_types",
            format!("{:?} needs {}", one.as_str(), needed.join(" and ")),
        );
    }
    for (grant_type, has_one) in [
        (GrantType::AuthorizationCode, types.iter().any(|one| one.has_code())),
        (GrantType::Implicit, types.iter().any(|one| one.is_implicit())),
    ] {
        if client.may(grant_type) && !has_one {
            return invalid("response_types", format!("none of them is for {grant_type}"));
        }
    }
    Ok(())
}

/// The keys that it signs with, and what needs them.
fn check_keys(client: &Client) -> Result<(), RegistryError> {
    if client.jwks.is_some() && client.jwks_uri.is_some() {
        return invalid("jwks", "either jwks or jwks_uri, not both (RFC 7591 section 2)");
    }
    // It is kept as it came, so it is bounded as everything that is kept.
    if client.jwks.as_ref().is_some_and(|jwks| jwks.len() > MAX_JWKS) {
        return invalid("jwks", "at most 8,192 bytes; more keys can be at a jwks_uri");
    }
    if let Some(jwks) = &client.jwks
        && let Err(why) = JwkSet::from_json(jwks.as_bytes())
    {
        return invalid("jwks", why.to_string());
    }
    if client.jwks_uri.as_ref().is_some_and(|uri| uri.len() > MAX_TEXT || !is_https(uri)) {
        return invalid("jwks_uri", "use an https URL");
    }
    let has_keys = client.jwks.is_some() || client.jwks_uri.is_some();
    if client.authentication == ClientAuthentication::PrivateKeyJwt && !has_keys {
        return invalid("jwks", "private_key_jwt needs the client's public keys: jwks or jwks_uri");
    }
    if client.require_signed_request_object && !has_keys {
        return invalid("jwks", "signed request objects need the client's public keys");
    }
    Ok(())
}

/// An https URL with a host, without credentials.
fn is_https(uri: &str) -> bool {
    let url = Url::parse(uri).ok().filter(|url| uri.starts_with("https://") && url.has_host());
    url.is_some_and(|url| url.username().is_empty() && url.password().is_none())
}

/// Characters that make a name look like another: controls, line breaks, direction overrides and
/// zero-width characters. A person decides by the name they see.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
