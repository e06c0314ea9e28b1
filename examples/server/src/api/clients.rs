//! `/v1/admin/clients`: an administrator's clients.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use grantor::{
    Algorithm, AuthMethod, Client, ClientAuthentication, GrantType, RegistryError, Scope, Secret,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::auth::require_json;
use super::problem::{Problem, json_answer};
use super::rfc3339;
use crate::accounts::{CLIENT_ID_PREFIX, Organisation, new_client_id};
use crate::app::App;
use crate::sign_in::is_foreign;

/// What an administrator may do here.
pub(super) const PERMISSIONS: [&str; 4] =
    ["clients:create", "clients:read", "clients:update", "clients:delete"];

/// The body of `POST /v1/admin/clients`. Unknown members are refused: a mistyped one would be a
/// default that nobody chose.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewClient {
    name: String,
    client_type: ClientType,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    allowed_origins: Vec<String>,
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
    grant_types: Option<Vec<String>>,
    scopes: Vec<String>,
    #[serde(default = "yes")]
    require_pkce: bool,
    #[serde(default = "yes")]
    require_consent: bool,
    #[serde(default)]
    is_first_party: bool,
    #[serde(default = "yes")]
    is_active: bool,
    #[serde(flatten)]
    optional: Optional,
}

/// The body of `PATCH /v1/admin/clients/{id}`: what is absent stays. The type of a client and
/// whether it needs PKCE do not change.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    name: Option<String>,
    redirect_uris: Option<Vec<String>>,
    allowed_origins: Option<Vec<String>>,
    post_logout_redirect_uris: Option<Vec<String>>,
    grant_types: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
    require_consent: Option<bool>,
    is_first_party: Option<bool>,
    is_active: Option<bool>,
    #[serde(flatten)]
    optional: Optional,
}

/// Browser applications treat a token as dead five minutes early, and their refresh timers overflow
/// at 2^31 milliseconds.
const ACCESS_TOKEN: RangeInclusive<u64> = 301..=2_147_482;

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ClientType {
    Public,
    Confidential,
}

fn yes() -> bool {
    true
}

/// `POST /v1/admin/clients`
pub(crate) async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let organisation = administrator(&app, &headers, Kind::Write).await?;
    let new: NewClient = parse(&headers, &body)?;
    let client_id = new_client_id();
    let mut client = match new.client_type {
        ClientType::Public => Client::public(client_id, new.name),
        // The registry makes the secret.
        ClientType::Confidential => Client::confidential(client_id, new.name, &Secret::new("")),
    };
    client.tenant = Some(organisation.id.clone());
    client.redirect_uris = new.redirect_uris;
    client.allowed_origins = allowed_origins(&app, new.allowed_origins)?;
    client.post_logout_redirect_uris = new.post_logout_redirect_uris;
    client.scope = scopes(&app, &new.scopes)?;
    if let Some(names) = new.grant_types {
        client.grant_types = grant_types(&names)?;
    }
    client.require_pkce = new.require_pkce;
    client.require_consent = new.require_consent;
    client.first_party = new.is_first_party;
    client.active = new.is_active;
    new.optional.apply(&mut client)?;
    let created = app.server.clients().create(client).await?;
    let mut body = describe(&created.client, &organisation);
    let secret = created.client_secret.as_ref().map(Secret::expose);
    set(&mut body, "clientSecret", json!(secret));
    Ok(json_answer(201, &body))
}

#[derive(Deserialize)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/admin/clients`: all, or a page of `limit` after the `clientId` `after`.
pub(crate) async fn list(
    State(app): State<App>,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let organisation = administrator(&app, &headers, Kind::Read).await?;
    let limit = match page.limit.as_deref().map(str::parse::<usize>) {
        None => None,
        Some(Ok(limit)) if (1..=200).contains(&limit) => Some(limit),
        Some(_) => return Err(Problem::invalid("limit", "use a number from 1 to 200")),
    };
    let registered = app.server.clients();
    let (mut data, mut after) = (Vec::new(), page.after);
    loop {
        let tenant = Some(organisation.id.as_str());
        let clients = registered.list(tenant, after.as_deref(), limit.unwrap_or(200)).await;
        let clients = clients.map_err(|error| Problem::unavailable(&error))?;
        data.extend(clients.iter().map(|client| describe(client, &organisation)));
        match clients.last() {
            Some(last) if limit.is_none() => after = Some(last.client_id.clone()),
            _ => break,
        }
    }
    Ok(json_answer(200, &json!({"total": data.len(), "data": data})))
}

/// `GET /v1/admin/clients/{id}`
pub(crate) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let organisation = administrator(&app, &headers, Kind::Read).await?;
    let client = find(&app, &organisation, &id).await?;
    Ok(json_answer(200, &describe(&client, &organisation)))
}

/// `PATCH /v1/admin/clients/{id}`
pub(crate) async fn change(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let organisation = administrator(&app, &headers, Kind::Write).await?;
    let change: Change = parse(&headers, &body)?;
    let stored = find(&app, &organisation, &id).await?;
    let mut client = Client::clone(&stored);
    if let Some(name) = change.name {
        client.client_name = name;
    }
    if let Some(uris) = change.redirect_uris {
        client.redirect_uris = uris;
    }
    if let Some(origins) = change.allowed_origins {
        client.allowed_origins = allowed_origins(&app, origins)?;
    }
    if let Some(uris) = change.post_logout_redirect_uris {
        client.post_logout_redirect_uris = uris;
    }
    if let Some(names) = change.grant_types {
        client.grant_types = grant_types(&names)?;
    }
    if let Some(names) = change.scopes {
        client.scope = scopes(&app, &names)?;
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
        client = find(&app, &organisation, &id).await?;
    }
    Ok(json_answer(200, &describe(&client, &organisation)))
}

/// `POST /v1/admin/clients/{id}/rotate-secret`. The old secret stops at once: who rotates by hand
/// has lost it, or fears so.
pub(crate) async fn rotate_secret(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let organisation = administrator(&app, &headers, Kind::Write).await?;
    let client = find(&app, &organisation, &id).await?;
    let secret = app.server.clients().rotate_secret(&client.client_id, Duration::ZERO).await?;
    let client = find(&app, &organisation, &id).await?;
    let mut body = describe(&client, &organisation);
    set(&mut body, "clientSecret", secret.expose().into());
    Ok(json_answer(200, &body))
}

/// `POST /v1/admin/clients/{id}/revoke`: the client can do nothing, and its tokens are dead.
pub(crate) async fn revoke(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let organisation = administrator(&app, &headers, Kind::Write).await?;
    let client = find(&app, &organisation, &id).await?;
    app.server.clients().revoke(&client.client_id).await?;
    Ok(json_answer(200, &json!({"message": "Client revoked successfully"})))
}

/// `DELETE /v1/admin/clients/{id}`
pub(crate) async fn remove(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let organisation = administrator(&app, &headers, Kind::Write).await?;
    let client = find(&app, &organisation, &id).await?;
    app.server.clients().remove(&client.client_id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

/// Who asks: an administrator of the organisation that the header names, by session cookie.
///
/// A page of another site cannot send `X-Org-Domain` without a preflight, which is refused, so no
/// CSRF token is needed; a browser that says it comes from elsewhere is refused all the same. A
/// token that is sent must be right.
async fn administrator(
    app: &App,
    headers: &HeaderMap,
    kind: Kind,
) -> Result<Organisation, Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(session) = app.sessions.find(headers, app.server.now()).await? else {
        return Err(Problem::unauthorized("Sign in first: this needs the cerb_sid cookie."));
    };
    let slug = text("x-org-domain").filter(|slug| !slug.is_empty());
    let slug = slug.ok_or_else(|| {
        Problem::bad_request(
            "Missing X-Org-Domain header: send the short name of your organisation in it.",
        )
    })?;
    if kind == Kind::Write {
        let wrong_token =
            text("x-csrf-token").is_some_and(|token| !session.is_csrf_token("api", token));
        if is_foreign(app, headers) || wrong_token {
            return Err(Problem::forbidden("This request comes from a page of another site."));
        }
    }
    let Some(organisation) = app.accounts.organisation(slug).await? else {
        return Err(Problem::not_found(format!("Organisation '{slug}' not found")));
    };
    if session.user.organisation.id != organisation.id || !session.user.is_admin {
        return Err(Problem::forbidden("You are not an administrator of this organisation."));
    }
    Ok(organisation)
}

/// A client of the organisation, by its UUID or its `clientId`. Another organisation's does not
/// exist.
async fn find(app: &App, organisation: &Organisation, id: &str) -> Result<Arc<Client>, Problem> {
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

fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    require_json(headers)?;
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(error.to_string()))
}

fn grant_types(names: &[String]) -> Result<Vec<GrantType>, Problem> {
    let parse = |name: &String| {
        name.parse().map_err(|_| {
            let known = "use authorization_code, refresh_token, client_credentials";
            Problem::invalid("grantTypes", format!("{name:?} is unknown: {known}"))
        })
    };
    names.iter().map(parse).collect()
}

/// An origin that is trusted with people's sessions must not be a client's too: one page would then
/// hold both a person's cookie and tokens.
fn allowed_origins(app: &App, origins: Vec<String>) -> Result<Vec<String>, Problem> {
    match origins.iter().find(|origin| app.trusted.contains(origin)) {
        Some(origin) => {
            let text = format!("{origin} is trusted with people's sessions: use another origin");
            Err(Problem::invalid("allowedOrigins", text))
        }
        None => Ok(origins),
    }
}

fn scopes(app: &App, names: &[String]) -> Result<Scope, Problem> {
    let scope =
        Scope::collect(names).map_err(|error| Problem::invalid("scopes", error.to_string()))?;
    let known = &app.server.policy().scopes;
    if !scope.is_within(known) {
        let unknown = scope.without(known);
        let text = format!("unknown: {unknown}. Known are: {known}");
        return Err(Problem::invalid("scopes", text));
    }
    Ok(scope)
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Invalid { field, why } => {
                let field = match field {
                    "client_name" => "name",
                    "redirect_uris" => "redirectUris",
                    "allowed_origins" => "allowedOrigins",
                    "post_logout_redirect_uris" => "postLogoutRedirectUris",
                    "grant_types" => "grantTypes",
                    "access_token_lifetime" => "accessTokenLifetime",
                    "refresh_token_lifetime" => "refreshTokenLifetime",
                    "id_token_lifetime" => "idTokenLifetime",
                    "token_endpoint_auth_method" => "tokenEndpointAuthMethod",
                    "logo_uri" => "logoUri",
                    "policy_uri" => "policyUri",
                    "tos_uri" => "tosUri",
                    other => other,
                };
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
struct Optional {
    description: Option<String>,
    access_token_lifetime: Option<u64>,
    refresh_token_lifetime: Option<u64>,
    id_token_lifetime: Option<u64>,
    id_token_signed_response_alg: Option<String>,
    access_token_signed_response_alg: Option<String>,
    token_endpoint_auth_method: Option<String>,
    application_type: Option<String>,
    resources: Option<Vec<String>>,
    logo_uri: Option<String>,
    policy_uri: Option<String>,
    tos_uri: Option<String>,
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
            Some(Err(_)) => Err(Problem::invalid(field, "use RS256 or EdDSA")),
        };
        let or = |new: Option<String>, old: &mut Option<String>| {
            if new.is_some() {
                *old = new;
            }
        };
        or(self.description, &mut client.description);
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
                let known = "use client_secret_basic, client_secret_post or none";
                Problem::invalid(field, known)
            })?;
            match (&mut client.authentication, wanted) {
                (ClientAuthentication::None, AuthMethod::None) => {}
                (
                    ClientAuthentication::Secret { method, .. },
                    AuthMethod::Basic | AuthMethod::Post,
                ) => {
                    *method = Some(wanted);
                }
                _ => return Err(Problem::invalid(field, "it does not go with this clientType")),
            }
        }
        Ok(())
    }
}

/// A client as the API shows it. Never a secret: that is added where one was just made.
pub(crate) fn describe(client: &Client, organisation: &Organisation) -> Value {
    let seconds = |lifetime: Option<Duration>| lifetime.map(|lifetime| lifetime.as_secs());
    let method = match &client.authentication {
        ClientAuthentication::None => Some(AuthMethod::None),
        ClientAuthentication::Secret { method, .. } => *method,
    };
    let id =
        client.client_id.strip_prefix(CLIENT_ID_PREFIX).and_then(|id| Uuid::try_parse(id).ok());
    json!({
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
        "resources": client.resources,
        "logoUri": client.logo_uri,
        "policyUri": client.policy_uri,
        "tosUri": client.tos_uri,
        "createdAt": rfc3339(client.created_at),
        "updatedAt": rfc3339(client.updated_at),
    })
}

fn set(body: &mut Value, name: &str, value: Value) {
    if let Some(members) = body.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}
