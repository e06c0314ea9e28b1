//! An organisation's clients: what an administrator does with them, by the API, the pages and the
//! command line alike.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use grantor::{
    Algorithm, AuthMethod, Client, ClientAuthentication, CreatedClient, GrantType, Localized,
    RegistryError, Scope, Secret,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::accounts::{CLIENT_ID_PREFIX, Organisation};
use crate::api::rfc3339;
use crate::app::App;
use crate::problem::Problem;

/// The body of `POST /v1/admin/clients`. Unknown members are refused: a mistyped one would be a
/// default that nobody chose.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewClient {
    pub(crate) name: String,
    pub(crate) client_type: ClientType,
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    #[serde(default)]
    pub(crate) allowed_origins: Vec<String>,
    #[serde(default)]
    pub(crate) post_logout_redirect_uris: Vec<String>,
    pub(crate) grant_types: Option<Vec<String>>,
    pub(crate) scopes: Vec<String>,
    #[serde(default = "yes")]
    pub(crate) require_pkce: bool,
    #[serde(default = "yes")]
    pub(crate) require_consent: bool,
    #[serde(default)]
    pub(crate) is_first_party: bool,
    #[serde(default = "yes")]
    pub(crate) is_active: bool,
    #[serde(flatten)]
    pub(crate) optional: Optional,
}

/// The body of `PATCH /v1/admin/clients/{id}`: what is absent stays. The type of a client and
/// whether it needs PKCE do not change.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) redirect_uris: Option<Vec<String>>,
    pub(crate) allowed_origins: Option<Vec<String>>,
    pub(crate) post_logout_redirect_uris: Option<Vec<String>>,
    pub(crate) grant_types: Option<Vec<String>>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) require_consent: Option<bool>,
    pub(crate) is_first_party: Option<bool>,
    pub(crate) is_active: Option<bool>,
    #[serde(flatten)]
    pub(crate) optional: Optional,
}

/// Browser applications treat a token as dead five minutes early, and their refresh timers overflow
/// at 2^31 milliseconds.
const ACCESS_TOKEN: RangeInclusive<u64> = 301..=2_147_482;

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientType {
    Public,
    Confidential,
}

fn yes() -> bool {
    true
}

/// Registers a client of the organisation's. The secret, where it has one, is shown now or never.
pub(crate) async fn create(
    app: &App,
    organisation: &Organisation,
    client_id: String,
    new: NewClient,
) -> Result<CreatedClient, Problem> {
    let mut client = match new.client_type {
        ClientType::Public => Client::public(client_id, new.name),
        // The registry makes the secret.
        ClientType::Confidential => Client::confidential(client_id, new.name, &Secret::new("")),
    };
    client.tenant = Some(organisation.id.clone());
    client.redirect_uris = new.redirect_uris;
    client.allowed_origins = allowed_origins(app, new.allowed_origins)?;
    client.post_logout_redirect_uris = new.post_logout_redirect_uris;
    client.scope = scopes(app, &new.scopes)?;
    if let Some(names) = new.grant_types {
        client.grant_types = grant_types(&names)?;
    }
    client.require_pkce = new.require_pkce;
    client.require_consent = new.require_consent;
    client.first_party = new.is_first_party;
    client.active = new.is_active;
    new.optional.apply(&mut client)?;
    Ok(app.server.clients().create(client).await?)
}

/// The organisation's clients: all, or `limit` after the `clientId` `after`.
pub(crate) async fn list(
    app: &App,
    organisation: &Organisation,
    mut after: Option<String>,
    limit: Option<usize>,
) -> Result<Vec<Arc<Client>>, Problem> {
    let (registered, tenant) = (app.server.clients(), Some(organisation.id.as_str()));
    let mut all = Vec::new();
    loop {
        let page = registered.list(tenant, after.as_deref(), limit.unwrap_or(200)).await;
        let page = page.map_err(|error| Problem::unavailable(&error))?;
        after = page.last().map(|last| last.client_id.clone());
        all.extend(page);
        if limit.is_some() || after.is_none() {
            return Ok(all);
        }
    }
}

/// Changes a client; what is absent stays.
pub(crate) async fn change(
    app: &App,
    organisation: &Organisation,
    id: &str,
    change: Change,
) -> Result<Arc<Client>, Problem> {
    let stored = find(app, organisation, id).await?;
    let mut client = Client::clone(&stored);
    if let Some(name) = change.name {
        client.client_name = name;
    }
    if let Some(uris) = change.redirect_uris {
        client.redirect_uris = uris;
    }
    if let Some(origins) = change.allowed_origins {
        client.allowed_origins = allowed_origins(app, origins)?;
    }
    if let Some(uris) = change.post_logout_redirect_uris {
        client.post_logout_redirect_uris = uris;
    }
    if let Some(names) = change.grant_types {
        client.grant_types = grant_types(&names)?;
    }
    if let Some(names) = change.scopes {
        client.scope = scopes(app, &names)?;
    }
    client.require_consent = change.require_consent.unwrap_or(client.require_consent);
    client.first_party = change.is_first_party.unwrap_or(client.first_party);
    change.optional.apply(&mut client)?;
    // Switching off ends what the client holds, after the rest of the change was accepted. Alone it
    // works even for a client that today's rules would not let in.
    let switch_off = change.is_active == Some(false) && client.active;
    client.active = change.is_active.unwrap_or(client.active) || switch_off;
    let mut client = Arc::new(client);
    if *client != *stored {
        client = app.server.clients().update(Client::clone(&client)).await?;
    }
    if switch_off {
        app.server.clients().revoke(&client.client_id).await?;
        client = find(app, organisation, id).await?;
    }
    Ok(client)
}

/// Gives a client a new secret. The old one stops at once: who rotates by hand has lost it, or fears
/// so.
pub(crate) async fn rotate_secret(
    app: &App,
    organisation: &Organisation,
    id: &str,
) -> Result<(Arc<Client>, Secret), Problem> {
    let client_id = &find(app, organisation, id).await?.client_id;
    let secret = app.server.clients().rotate_secret(client_id, Duration::ZERO).await?;
    Ok((find(app, organisation, client_id).await?, secret))
}

/// Switches a client off: it can do nothing, and its tokens are dead.
pub(crate) async fn revoke(
    app: &App,
    organisation: &Organisation,
    id: &str,
) -> Result<(), Problem> {
    let client = find(app, organisation, id).await?;
    Ok(app.server.clients().revoke(&client.client_id).await?)
}

/// Removes a client and everything that it holds.
pub(crate) async fn remove(
    app: &App,
    organisation: &Organisation,
    id: &str,
) -> Result<(), Problem> {
    let client = find(app, organisation, id).await?;
    Ok(app.server.clients().remove(&client.client_id).await?)
}

/// A client of the organisation, by its UUID or its `clientId`. Another organisation's does not
/// exist.
pub(crate) async fn find(
    app: &App,
    organisation: &Organisation,
    id: &str,
) -> Result<Arc<Client>, Problem> {
    let client_id = match Uuid::try_parse(id) {
        Ok(uuid) => format!("{CLIENT_ID_PREFIX}{}", uuid.simple()),
        Err(_) => id.to_owned(),
    };
    let found = app.server.clients().find(&client_id).await;
    found
        .map_err(|error| Problem::unavailable(&error))?
        .filter(|client| client.tenant.as_ref() == Some(&organisation.id))
        .ok_or_else(|| Problem::not_found("OAuth2 client not found"))
}

/// Grant types by their names; or a sentence about the one that is none.
pub(crate) fn parse_grant_types(names: &[String]) -> Result<Vec<GrantType>, String> {
    let parse = |name: &String| {
        name.parse().map_err(|_| {
            let known = GrantType::ALL.map(GrantType::as_str).join(", ");
            format!("{name:?} is no grant type: use one of {known}")
        })
    };
    names.iter().map(parse).collect()
}

fn grant_types(names: &[String]) -> Result<Vec<GrantType>, Problem> {
    parse_grant_types(names).map_err(|why| Problem::invalid("grantTypes", why))
}

fn allowed_origins(app: &App, origins: Vec<String>) -> Result<Vec<String>, Problem> {
    app.trusted.refuse(&origins).map_err(|why| Problem::invalid("allowedOrigins", why))?;
    Ok(origins)
}

/// A scope of known tokens; or a sentence about those that are not.
pub(crate) fn parse_scope(
    names: impl IntoIterator<Item = impl AsRef<str>>,
    known: &Scope,
) -> Result<Scope, String> {
    let scope = Scope::collect(names).map_err(|error| error.to_string())?;
    match scope.is_within(known) {
        true => Ok(scope),
        false => Err(format!("unknown: {}. Known are: {known}", scope.without(known))),
    }
}

fn scopes(app: &App, names: &[String]) -> Result<Scope, Problem> {
    let scope = parse_scope(names, &app.server.policy().scopes);
    scope.map_err(|why| Problem::invalid("scopes", why))
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Invalid { field, why } => {
                let field = if field == "client_name" { "name" } else { &camel_case(field) };
                Problem::invalid(field, why)
            }
            RegistryError::NotFound(_) => Problem::not_found("OAuth2 client not found"),
            RegistryError::Changed => Problem::new(409, "Conflict", error.to_string()),
            RegistryError::Public => Problem::bad_request(error.to_string()),
            other => Problem::unavailable(&other),
        }
    }
}

/// Members that a client may have and that both bodies take.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Optional {
    pub(crate) description: Option<String>,
    pub(crate) response_types: Option<Vec<String>>,
    pub(crate) subject_type: Option<String>,
    pub(crate) sector_identifier_uri: Option<String>,
    pub(crate) backchannel_logout_uri: Option<String>,
    pub(crate) frontchannel_logout_uri: Option<String>,
    /// What people are shown instead, by language.
    pub(crate) localized: Option<BTreeMap<String, Texts>>,
    pub(crate) access_token_lifetime: Option<u64>,
    pub(crate) refresh_token_lifetime: Option<u64>,
    pub(crate) id_token_lifetime: Option<u64>,
    pub(crate) id_token_signed_response_alg: Option<String>,
    pub(crate) access_token_signed_response_alg: Option<String>,
    pub(crate) userinfo_signed_response_alg: Option<String>,
    pub(crate) request_object_signing_alg: Option<String>,
    pub(crate) token_endpoint_auth_signing_alg: Option<String>,
    pub(crate) token_endpoint_auth_method: Option<String>,
    /// A JWK Set.
    pub(crate) jwks: Option<Value>,
    pub(crate) jwks_uri: Option<String>,
    pub(crate) request_uris: Option<Vec<String>>,
    pub(crate) default_max_age: Option<u64>,
    pub(crate) client_uri: Option<String>,
    pub(crate) initiate_login_uri: Option<String>,
    pub(crate) contacts: Option<Vec<String>>,
    pub(crate) require_signed_request_object: Option<bool>,
    pub(crate) application_type: Option<String>,
    pub(crate) claims_in_id_token: Option<bool>,
    pub(crate) resources: Option<Vec<String>>,
    pub(crate) logo_uri: Option<String>,
    pub(crate) policy_uri: Option<String>,
    pub(crate) tos_uri: Option<String>,
}

/// What people are shown in one language.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Texts {
    name: Option<String>,
    client_uri: Option<String>,
    logo_uri: Option<String>,
    policy_uri: Option<String>,
    tos_uri: Option<String>,
}

impl From<Texts> for Localized {
    fn from(texts: Texts) -> Self {
        let Texts { name, client_uri, logo_uri, policy_uri, tos_uri } = texts;
        Self { client_name: name, client_uri, logo_uri, policy_uri, tos_uri }
    }
}

impl From<&Localized> for Texts {
    fn from(localized: &Localized) -> Self {
        let Localized { client_name, client_uri, logo_uri, policy_uri, tos_uri } =
            localized.clone();
        Self { name: client_name, client_uri, logo_uri, policy_uri, tos_uri }
    }
}

impl Optional {
    fn apply(self, client: &mut Client) -> Result<(), Problem> {
        let lifetime = |field, seconds: Option<u64>, range: RangeInclusive<u64>| match seconds {
            Some(seconds) if !range.contains(&seconds) => {
                let text = format!("use {} to {} seconds", range.start(), range.end());
                Err(Problem::invalid(field, text))
            }
            seconds => Ok(seconds.map(Duration::from_secs)),
        };
        let algorithm = |field, name: Option<String>| match name.as_deref().map(str::parse) {
            None => Ok(None),
            Some(Ok::<Algorithm, _>(algorithm)) => Ok(Some(algorithm)),
            Some(Err(_)) => Err(Problem::invalid(field, "use RS256, ES256 or EdDSA")),
        };
        let sent_jwks = self.jwks.is_some();
        let or = |new: Option<String>, old: &mut Option<String>| {
            if new.is_some() {
                *old = new;
            }
        };
        or(self.description, &mut client.description);
        or(self.client_uri, &mut client.client_uri);
        or(self.sector_identifier_uri, &mut client.sector_identifier_uri);
        or(self.backchannel_logout_uri, &mut client.backchannel_logout_uri);
        or(self.frontchannel_logout_uri, &mut client.frontchannel_logout_uri);
        or(self.initiate_login_uri, &mut client.initiate_login_uri);
        if let Some(names) = self.response_types {
            let parsed = names.iter().map(|name| name.parse());
            client.response_types = parsed
                .collect::<Result<_, _>>()
                .map_err(|_| Problem::invalid("responseTypes", "one of them is unknown"))?;
        }
        if let Some(name) = self.subject_type {
            let parsed = name.parse();
            client.subject_type =
                parsed.map_err(|_| Problem::invalid("subjectType", "use public or pairwise"))?;
        }
        if let Some(localized) = self.localized {
            let all = localized.into_iter().map(|(tag, texts)| (tag, texts.into()));
            client.localized = all.collect();
        }
        if let Some(contacts) = self.contacts {
            client.contacts = contacts;
        }
        client.require_signed_request_object =
            self.require_signed_request_object.unwrap_or(client.require_signed_request_object);
        or(self.logo_uri, &mut client.logo_uri);
        or(self.policy_uri, &mut client.policy_uri);
        or(self.tos_uri, &mut client.tos_uri);
        client.access_token_lifetime =
            lifetime("accessTokenLifetime", self.access_token_lifetime, ACCESS_TOKEN)?
                .or(client.access_token_lifetime);
        client.refresh_token_lifetime =
            lifetime("refreshTokenLifetime", self.refresh_token_lifetime, 60..=316_224_000)?
                .or(client.refresh_token_lifetime);
        client.id_token_lifetime =
            lifetime("idTokenLifetime", self.id_token_lifetime, 1..=2_592_000)?
                .or(client.id_token_lifetime);
        client.id_token_signed_response_alg =
            algorithm("idTokenSignedResponseAlg", self.id_token_signed_response_alg)?
                .or(client.id_token_signed_response_alg);
        client.access_token_signed_response_alg =
            algorithm("accessTokenSignedResponseAlg", self.access_token_signed_response_alg)?
                .or(client.access_token_signed_response_alg);
        for (field, name, kept) in [
            (
                "userinfoSignedResponseAlg",
                self.userinfo_signed_response_alg,
                &mut client.userinfo_signed_response_alg,
            ),
            (
                "requestObjectSigningAlg",
                self.request_object_signing_alg,
                &mut client.request_object_signing_alg,
            ),
            (
                "tokenEndpointAuthSigningAlg",
                self.token_endpoint_auth_signing_alg,
                &mut client.token_endpoint_auth_signing_alg,
            ),
        ] {
            *kept = algorithm(field, name)?.or(*kept);
        }
        // One of the two takes the place of the other.
        if let Some(jwks) = self.jwks {
            (client.jwks, client.jwks_uri) = (Some(jwks.to_string()), None);
        }
        if let Some(uri) = self.jwks_uri {
            client.jwks_uri = Some(uri);
            // Both in one request are a contradiction, which the registry names.
            if !sent_jwks {
                client.jwks = None;
            }
        }
        if let Some(uris) = self.request_uris {
            client.request_uris = uris;
        }
        client.default_max_age = lifetime("defaultMaxAge", self.default_max_age, 1..=316_224_000)?
            .or(client.default_max_age);
        client.claims_in_id_token = self.claims_in_id_token.unwrap_or(client.claims_in_id_token);
        if let Some(resources) = self.resources {
            client.resources = resources;
        }
        match self.application_type.as_deref() {
            None => {}
            Some("web") => client.native = false,
            Some("native") => client.native = true,
            Some(_) => return Err(Problem::invalid("applicationType", "use web or native")),
        }
        if let Some(name) = self.token_endpoint_auth_method {
            let field = "tokenEndpointAuthMethod";
            let wanted: AuthMethod = name.parse().map_err(|_| {
                let known = AuthMethod::ALL.map(AuthMethod::as_str).join(", ");
                Problem::invalid(field, format!("use one of {known}"))
            })?;
            match (&mut client.authentication, wanted) {
                (ClientAuthentication::None, AuthMethod::None) => {}
                (
                    ClientAuthentication::Secret { method, .. },
                    AuthMethod::Basic | AuthMethod::Post | AuthMethod::SecretJwt,
                ) => {
                    *method = Some(wanted);
                }
                (ClientAuthentication::PrivateKeyJwt, AuthMethod::PrivateKeyJwt) => {}
                // Its secret stops to work.
                (kept @ ClientAuthentication::Secret { .. }, AuthMethod::PrivateKeyJwt) => {
                    *kept = ClientAuthentication::PrivateKeyJwt;
                }
                _ => return Err(Problem::invalid(field, "it does not go with this client")),
            }
        }
        Ok(())
    }
}

/// The engine's name of a field in the API's spelling.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| {
        let (head, tail) = word.split_at_checked(1).unwrap_or((word, ""));
        all + &head.to_ascii_uppercase() + tail
    })
}

fn name_of(algorithm: Option<Algorithm>) -> Option<&'static str> {
    algorithm.map(Algorithm::as_str)
}

/// A client as the API shows it. Never a secret: that is added where one was just made.
pub(crate) fn describe(client: &Client, organisation: &Organisation) -> Value {
    let seconds = |lifetime: Option<Duration>| lifetime.map(|lifetime| lifetime.as_secs());
    let method = match &client.authentication {
        ClientAuthentication::None => Some(AuthMethod::None),
        ClientAuthentication::Secret { method, .. } => *method,
        ClientAuthentication::PrivateKeyJwt => Some(AuthMethod::PrivateKeyJwt),
    };
    let jwks = client.jwks.as_deref().and_then(|jwks| serde_json::from_str::<Value>(jwks).ok());
    let id =
        client.client_id.strip_prefix(CLIENT_ID_PREFIX).and_then(|id| Uuid::try_parse(id).ok());
    let mut described = json!({
        "id": id.map_or_else(|| client.client_id.clone(), |id| id.to_string()),
        "clientId": client.client_id,
        "clientSecret": null,
        "organisationId": organisation.id,
        "name": client.client_name,
        "description": client.description,
        "clientType": if client.is_public() { "public" } else { "confidential" },
        "applicationType": if client.native { "native" } else { "web" },
        "redirectUris": client.redirect_uris,
        "postLogoutRedirectUris": client.post_logout_redirect_uris,
        "allowedOrigins": client.allowed_origins,
        "grantTypes": client.grant_types.iter().map(|g| g.as_str()).collect::<Vec<_>>(),
        "scopes": client.scope.iter().collect::<Vec<_>>(),
        "tokenEndpointAuthMethod": method.map(AuthMethod::as_str),
        "requirePkce": client.needs_pkce(),
        "requireConsent": client.require_consent,
        "isFirstParty": client.first_party,
        "isActive": client.active,
        "accessTokenLifetime": seconds(client.access_token_lifetime),
        "refreshTokenLifetime": seconds(client.refresh_token_lifetime),
        "idTokenLifetime": seconds(client.id_token_lifetime),
        "idTokenSignedResponseAlg":
            client.id_token_signed_response_alg.unwrap_or(Algorithm::Rs256).as_str(),
        "accessTokenSignedResponseAlg":
            client.access_token_signed_response_alg.unwrap_or(Algorithm::EdDsa).as_str(),
        "claimsInIdToken": client.claims_in_id_token,
        "audiences": client.audiences,
        "resources": client.resources,
        "clientUri": client.client_uri,
        "logoUri": client.logo_uri,
        "policyUri": client.policy_uri,
        "tosUri": client.tos_uri,
        "createdAt": rfc3339(client.created_at),
        "updatedAt": rfc3339(client.updated_at),
    });
    let localized = client.localized.iter().map(|(tag, one)| (tag, Texts::from(one)));
    let keys = json!({
        "responseTypes": client.response_types.iter().map(|one| one.as_str()).collect::<Vec<_>>(),
        "subjectType": client.subject_type.as_str(),
        "sectorIdentifierUri": client.sector_identifier_uri,
        "backchannelLogoutUri": client.backchannel_logout_uri,
        "frontchannelLogoutUri": client.frontchannel_logout_uri,
        "localized": localized.collect::<BTreeMap<_, _>>(),
        "userinfoSignedResponseAlg": name_of(client.userinfo_signed_response_alg),
        "requestObjectSigningAlg": name_of(client.request_object_signing_alg),
        "tokenEndpointAuthSigningAlg": name_of(client.token_endpoint_auth_signing_alg),
        "jwks": jwks,
        "jwksUri": client.jwks_uri,
        "requestUris": client.request_uris,
        "defaultMaxAge": seconds(client.default_max_age),
        "initiateLoginUri": client.initiate_login_uri,
        "contacts": client.contacts,
        "requireSignedRequestObject": client.require_signed_request_object,
    });
    if let (Value::Object(described), Value::Object(keys)) = (&mut described, keys) {
        described.extend(keys);
    }
    described
}
