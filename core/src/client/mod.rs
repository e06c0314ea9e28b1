//! Clients: what is registered, and what it allows.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::env::Time;
use crate::keys::Algorithm;
use crate::scope::Scope;
use crate::secret::{SealedSecret, Secret, SecretDigest};

pub(crate) mod assertion;
pub(crate) mod authentication;
mod check;
mod localized;
pub(crate) mod metadata;
pub(crate) mod redirect;
pub(crate) mod registry;
mod response_type;
pub(crate) mod sector;

pub use localized::{Localized, Shown};
pub use registry::{Clients, CreatedClient, RegistryError};
pub use response_type::ResponseType;

/// A registered client, in the words of RFC 7591 where it has them.
///
/// Made by [`Client::public`] or [`Client::confidential`] with safe defaults, then by setting
/// fields. [`Clients::create`] and [`Clients::update`] check the whole of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// The public identifier.
    pub client_id: String,
    /// Counts up with every stored change, from 1.
    pub version: u64,
    /// Which part of the host's world it belongs to; the engine does not look inside.
    pub tenant: Option<String>,
    /// A client that is not active can do nothing, and its tokens are dead.
    pub active: bool,
    /// Grants that were approved before this are dead, also after the client is active again.
    pub valid_from: Time,
    /// What people are shown.
    pub client_name: String,
    /// A note for administrators.
    pub description: Option<String>,
    /// A native application (RFC 8252): its loopback redirect may use any port, a private-use
    /// scheme is allowed, and consent is never remembered, since anybody can pretend to be it.
    pub native: bool,
    /// Where responses may go, byte for byte.
    pub redirect_uris: Vec<String>,
    /// Where people may be sent after they signed out, byte for byte.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a session has ended (OpenID Connect Back-Channel Logout section 2.2): an https URL, which
    /// the server calls.
    pub backchannel_logout_uri: Option<String>,
    /// Whether it must be told which session. It always is.
    pub backchannel_logout_session_required: bool,
    /// A page of its own that the person's browser opens in a frame when they sign out (OpenID Connect Front-Channel
    /// Logout section 2), of the same origin as one of its redirect URIs.
    pub frontchannel_logout_uri: Option<String>,
    /// Whether that page must be told which session. It always is.
    pub frontchannel_logout_session_required: bool,
    /// Which browser origins may read answers (CORS).
    pub allowed_origins: Vec<String>,
    /// How it may get tokens. Empty means not at all.
    pub grant_types: Vec<GrantType>,
    /// What it may ask the authorization endpoint for; [`ResponseType::Code`] by default. The others need
    /// [`crate::Policy::implicit`] and [`GrantType::Implicit`].
    pub response_types: Vec<ResponseType>,
    /// The scopes that it may have.
    pub scope: Scope,
    /// How it proves who it is.
    pub authentication: ClientAuthentication,
    /// Whether PKCE is required. A public client needs it whatever this says. False is for
    /// confidential clients that cannot do PKCE, one by one, and never the default.
    pub require_pkce: bool,
    /// Whether a person is asked before the client gets access.
    pub require_consent: bool,
    /// The operator's own application: nobody is asked.
    pub first_party: bool,
    /// Overrides [`Policy::access_token_lifetime`](field@crate::Policy::access_token_lifetime).
    pub access_token_lifetime: Option<Duration>,
    /// Overrides [`Policy::refresh_token_idle`](field@crate::Policy::refresh_token_idle).
    pub refresh_token_lifetime: Option<Duration>,
    /// Overrides [`Policy::id_token_lifetime`](field@crate::Policy::id_token_lifetime).
    pub id_token_lifetime: Option<Duration>,
    /// Whether other clients know its people by the same identifiers.
    pub subject_type: SubjectType,
    /// An https URL of a list of redirect URIs, for clients of several hosts that are to see the same pairwise
    /// identifiers: its host is their sector (OpenID Connect Dynamic Client Registration section 5). It is
    /// fetched when the client is registered.
    pub sector_identifier_uri: Option<String>,
    /// Signs its ID tokens; RS256 when not set, which every client must support (OpenID Connect
    /// Core section 15.1).
    pub id_token_signed_response_alg: Option<Algorithm>,
    /// Signs its access tokens; EdDSA when not set.
    pub access_token_signed_response_alg: Option<Algorithm>,
    /// Audiences of its access tokens beside the server's own ([`crate::Policy::apis`]). A request that names some of
    /// them, or of the server's, by `resource` (RFC 8707) gets a token for exactly these. Whoever
    /// accepts tokens by one of these accepts the ones of this client's people: let only an operator
    /// set it, never the client's owner.
    pub audiences: Vec<String>,
    /// Whether its ID tokens carry what the granted scopes release, as UserInfo does. Off by default:
    /// ID tokens travel further than their claims should (OpenID Connect Core section 5.4).
    pub claims_in_id_token: bool,
    /// The audiences that this client serves as a resource server: it may introspect tokens that
    /// are meant for them (RFC 7662 section 4).
    pub resources: Vec<String>,
    /// Its public keys, as a JWK Set in JSON: for [`ClientAuthentication::PrivateKeyJwt`] and for request
    /// objects. Goes not together with [`Client::jwks_uri`].
    pub jwks: Option<String>,
    /// An https URL where its public keys are. They are fetched when they are needed
    /// ([`crate::Builder::fetch`]), and again when it uses a key that is not known.
    pub jwks_uri: Option<String>,
    /// The one algorithm of its assertions; any that is known, when not set.
    pub token_endpoint_auth_signing_alg: Option<Algorithm>,
    /// Signs its UserInfo answers, which are JWTs then; plain JSON when not set (OpenID Connect Core
    /// section 5.3.2).
    pub userinfo_signed_response_alg: Option<Algorithm>,
    /// The one algorithm of its request objects; any that is known, when not set.
    pub request_object_signing_alg: Option<Algorithm>,
    /// Whether its authorization requests must be signed (RFC 9101 section 10.5).
    pub require_signed_request_object: bool,
    /// Where its request objects may be fetched from, byte for byte (OpenID Connect Core section 6.2).
    pub request_uris: Vec<String>,
    /// How long ago a login may be for requests that do not say it ([`Time`] of the request minus
    /// `auth_time`).
    pub default_max_age: Option<Duration>,
    /// Whether its ID tokens must have `auth_time`. They always do.
    pub require_auth_time: bool,
    /// An https URL where a login at this client can be begun by somebody else.
    pub initiate_login_uri: Option<String>,
    /// An https URL of its home page.
    pub client_uri: Option<String>,
    /// Who is responsible for it: e-mail addresses, for the operator's eyes.
    pub contacts: Vec<String>,
    /// The digest of the token by which it may be managed (RFC 7592); `None` for a client that only
    /// administrators change.
    pub registration_access_token: Option<SecretDigest>,
    /// An https URL of a logo.
    pub logo_uri: Option<String>,
    /// An https URL of the privacy policy.
    pub policy_uri: Option<String>,
    /// An https URL of the terms of service.
    pub tos_uri: Option<String>,
    /// What people are shown instead, by language (BCP 47); see [`Client::shown`].
    pub localized: BTreeMap<String, Localized>,
    /// When it was registered.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// How a client proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// It cannot: a browser or mobile application, which cannot keep a secret.
    None,
    /// By one of these secrets. During a rotation there are two.
    Secret {
        /// The digests of the live secrets, the newest first.
        secrets: Vec<SecretEntry>,
        /// The one way in which the secret may be used; `None`: by Basic or in the body, as the
        /// client likes (they differ by library, not by security).
        method: Option<AuthMethod>,
    },
    /// By assertions that it signs with a key of its own (`private_key_jwt`, RFC 7523 section 2.2): its public
    /// keys are [`Client::jwks`] or at [`Client::jwks_uri`].
    PrivateKeyJwt,
}

/// One secret of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretEntry {
    /// Its digest.
    pub digest: SecretDigest,
    /// The secret itself, sealed with the master key, for a client that signs with it
    /// ([`AuthMethod::SecretJwt`]). Nobody else's is kept: an update to another method forgets it.
    pub sealed: Option<SealedSecret>,
    /// When it stops to work; `None`: not before it is rotated out.
    pub expires_at: Option<Time>,
}

impl ClientAuthentication {
    /// Whether the client proves itself by a JWT that it signs.
    pub(crate) fn is_by_assertion(&self) -> bool {
        match self {
            Self::None => false,
            Self::Secret { .. } => self.is_by_shared_secret(),
            Self::PrivateKeyJwt => true,
        }
    }

    /// Whether it signs with its secret.
    pub(crate) fn is_by_shared_secret(&self) -> bool {
        matches!(self, Self::Secret { method: Some(AuthMethod::SecretJwt), .. })
    }
}

impl SecretEntry {
    /// A secret that is sent, and does not expire.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        Self { digest: SecretDigest::of(secret), sealed: None, expires_at: None }
    }

    pub(crate) fn is_live(&self, now: Time) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

/// `subject_type` (OpenID Connect Core section 8): how a client sees people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SubjectType {
    /// `public`: by the host's identifier, the same for every client.
    #[default]
    Public,
    /// `pairwise`: by an identifier of its own, so that clients of different sectors cannot tell by it that
    /// they know the same person.
    Pairwise,
}

/// `token_endpoint_auth_method` (RFC 7591 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// `client_secret_basic`
    Basic,
    /// `client_secret_post`
    Post,
    /// `client_secret_jwt`
    SecretJwt,
    /// `private_key_jwt`
    PrivateKeyJwt,
    /// `none`
    None,
}

/// `grant_types` (RFC 7591 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrantType {
    /// `authorization_code`
    AuthorizationCode,
    /// `refresh_token`
    RefreshToken,
    /// `client_credentials`
    ClientCredentials,
    /// `implicit`: tokens in the authorization response. Never at the token endpoint.
    Implicit,
}

impl Client {
    /// A client that can keep no secret: a single-page or mobile application.
    #[must_use]
    pub fn public(client_id: impl Into<String>, client_name: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            version: 1,
            tenant: None,
            active: true,
            valid_from: Time::EPOCH,
            client_name: client_name.into(),
            description: None,
            native: false,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            backchannel_logout_session_required: false,
            frontchannel_logout_uri: None,
            frontchannel_logout_session_required: false,
            allowed_origins: Vec::new(),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            response_types: vec![ResponseType::Code],
            scope: Scope::empty(),
            authentication: ClientAuthentication::None,
            require_pkce: true,
            require_consent: true,
            first_party: false,
            access_token_lifetime: None,
            refresh_token_lifetime: None,
            id_token_lifetime: None,
            subject_type: SubjectType::Public,
            sector_identifier_uri: None,
            id_token_signed_response_alg: None,
            access_token_signed_response_alg: None,
            audiences: Vec::new(),
            claims_in_id_token: false,
            resources: Vec::new(),
            jwks: None,
            jwks_uri: None,
            token_endpoint_auth_signing_alg: None,
            userinfo_signed_response_alg: None,
            request_object_signing_alg: None,
            require_signed_request_object: false,
            request_uris: Vec::new(),
            default_max_age: None,
            require_auth_time: false,
            initiate_login_uri: None,
            client_uri: None,
            contacts: Vec::new(),
            registration_access_token: None,
            logo_uri: None,
            policy_uri: None,
            tos_uri: None,
            localized: BTreeMap::new(),
            created_at: Time::EPOCH,
            updated_at: Time::EPOCH,
        }
    }

    /// A client with a secret: an application that runs on a server.
    #[must_use]
    pub fn confidential(
        client_id: impl Into<String>,
        client_name: impl Into<String>,
        secret: &Secret,
    ) -> Self {
        let secrets = vec![SecretEntry::of(secret)];
        Self {
            authentication: ClientAuthentication::Secret { secrets, method: None },
            ..Self::public(client_id, client_name)
        }
    }

    /// A client that proves itself with a key of its own, of which the server knows the public half.
    #[must_use]
    pub fn keyed(
        client_id: impl Into<String>,
        client_name: impl Into<String>,
        jwks: impl Into<String>,
    ) -> Self {
        Self {
            authentication: ClientAuthentication::PrivateKeyJwt,
            jwks: Some(jwks.into()),
            ..Self::public(client_id, client_name)
        }
    }

    /// Whether the client cannot authenticate.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.authentication == ClientAuthentication::None
    }

    /// Whether an authorization request of this client must bring a PKCE challenge.
    #[must_use]
    pub fn needs_pkce(&self) -> bool {
        self.require_pkce || self.is_public()
    }

    /// Whether this client may use the grant type.
    #[must_use]
    pub fn may(&self, grant_type: GrantType) -> bool {
        self.grant_types.contains(&grant_type)
    }

    /// Whether this client may ask for this response type.
    #[must_use]
    pub fn may_get(&self, response_type: ResponseType) -> bool {
        self.response_types.contains(&response_type)
            && response_type.grant_types().all(|needed| self.may(needed))
    }

    /// Whether it wants to know when a session ends.
    /// What its ID tokens and logout tokens are signed with. RS256 is what every client must know (OpenID Connect Core
    /// section 15.1).
    pub(crate) fn id_token_algorithm(&self) -> Algorithm {
        self.id_token_signed_response_alg.unwrap_or(Algorithm::Rs256)
    }

    pub(crate) fn is_told_of_logout(&self) -> bool {
        self.backchannel_logout_uri.is_some() || self.frontchannel_logout_uri.is_some()
    }

    /// Whether a person has to be asked at all.
    #[must_use]
    pub fn asks_for_consent(&self) -> bool {
        self.require_consent && !self.first_party
    }

    /// Whether a browser page of this origin may read answers meant for this client.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed == origin)
    }
}

impl SubjectType {
    /// The registered name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SubjectType::Public => "public",
            SubjectType::Pairwise => "pairwise",
        }
    }
}

impl FromStr for SubjectType {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let known = [SubjectType::Public, SubjectType::Pairwise];
        known.into_iter().find(|one| one.as_str() == text).ok_or(UnknownName)
    }
}

impl AuthMethod {
    /// Every method that is known.
    pub const ALL: [AuthMethod; 5] = [
        AuthMethod::Basic,
        AuthMethod::Post,
        AuthMethod::SecretJwt,
        AuthMethod::PrivateKeyJwt,
        AuthMethod::None,
    ];

    /// The registered name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AuthMethod::Basic => "client_secret_basic",
            AuthMethod::Post => "client_secret_post",
            AuthMethod::SecretJwt => "client_secret_jwt",
            AuthMethod::PrivateKeyJwt => "private_key_jwt",
            AuthMethod::None => "none",
        }
    }
}

impl GrantType {
    /// Every grant type that is known.
    pub const ALL: [GrantType; 4] = [
        GrantType::AuthorizationCode,
        GrantType::RefreshToken,
        GrantType::ClientCredentials,
        GrantType::Implicit,
    ];

    /// The registered name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GrantType::AuthorizationCode => "authorization_code",
            GrantType::RefreshToken => "refresh_token",
            GrantType::ClientCredentials => "client_credentials",
            GrantType::Implicit => "implicit",
        }
    }
}

/// A name that this engine does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown name")]
pub struct UnknownName;

impl FromStr for AuthMethod {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        AuthMethod::ALL.into_iter().find(|method| method.as_str() == text).ok_or(UnknownName)
    }
}

impl FromStr for GrantType {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        GrantType::ALL.into_iter().find(|one| one.as_str() == text).ok_or(UnknownName)
    }
}

impl fmt::Display for GrantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
