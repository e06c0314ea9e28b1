//! Client metadata in the words of RFC 7591 section 2 and OpenID Connect Dynamic Client Registration section 2.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{AuthMethod, Client, ClientAuthentication, GrantType, Localized, ResponseType};
use crate::keys::Algorithm;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::token::jwt::SHARED;

/// A field that cannot be accepted, and why.
pub(crate) struct Wrong {
    pub(crate) field: &'static str,
    pub(crate) why: String,
}

const SIGNING_ALG: &str = "token_endpoint_auth_signing_alg";
/// What may come in several languages.
const LOCALIZED: [&str; 5] = ["client_name", "client_uri", "logo_uri", "policy_uri", "tos_uri"];

type Read<T> = Result<T, Wrong>;

fn wrong<T>(field: &'static str, why: impl Into<String>) -> Read<T> {
    Err(Wrong { field, why: why.into() })
}

/// What a client asks to be, as a client of this id. Fields that are not known are ignored (RFC 7591 section
/// 2); fields that are known and cannot be had are refused, so that nobody counts on them.
pub(crate) fn read(metadata: &Map<String, Value>, client_id: &str, known: &Scope) -> Read<Client> {
    let fields = Fields(metadata);
    let name = fields.text("client_name")?.unwrap_or_else(|| "Unnamed application".into());
    let method = fields.parsed("token_endpoint_auth_method", "an authentication method")?;
    let method = method.unwrap_or(AuthMethod::Basic);
    let mut client = match method {
        AuthMethod::None => Client::public(client_id, name),
        // The registry makes the secret.
        AuthMethod::Basic | AuthMethod::Post | AuthMethod::SecretJwt => {
            Client::confidential(client_id, name, &Secret::new(""))
        }
        AuthMethod::PrivateKeyJwt => {
            let mut client = Client::public(client_id, name);
            client.authentication = ClientAuthentication::PrivateKeyJwt;
            client
        }
    };
    if let ClientAuthentication::Secret { method: kept, .. } = &mut client.authentication {
        *kept = Some(method);
    }
    client.redirect_uris = fields.list("redirect_uris")?;
    client.post_logout_redirect_uris = fields.list("post_logout_redirect_uris")?;
    client.request_uris = fields.list("request_uris")?;
    client.contacts = fields.list("contacts")?;
    client.response_types = response_types(&fields)?;
    client.grant_types = grant_types(&fields, &client.response_types)?;
    client.scope = scope(&fields, known)?;
    client.native = match fields.text("application_type")?.as_deref() {
        None | Some("web") => false,
        Some("native") => true,
        Some(_) => return wrong("application_type", "use web or native"),
    };
    let subject_type = fields.parsed("subject_type", "a type of subject identifiers")?;
    client.subject_type = subject_type.unwrap_or_default();
    client.sector_identifier_uri = fields.text("sector_identifier_uri")?;
    client.localized = localized(&fields)?;
    client.id_token_signed_response_alg = fields.algorithm("id_token_signed_response_alg")?;
    client.userinfo_signed_response_alg = fields.algorithm("userinfo_signed_response_alg")?;
    client.request_object_signing_alg = fields.algorithm("request_object_signing_alg")?;
    client.token_endpoint_auth_signing_alg = match method {
        AuthMethod::SecretJwt => match fields.text(SIGNING_ALG)?.as_deref() {
            None | Some(SHARED) => None,
            Some(_) => return wrong(SIGNING_ALG, "client_secret_jwt is signed by HS256"),
        },
        _ => fields.algorithm(SIGNING_ALG)?,
    };
    client.require_signed_request_object =
        fields.flag("require_signed_request_object")?.unwrap_or(false);
    client.require_auth_time = fields.flag("require_auth_time")?.unwrap_or(false);
    client.default_max_age = fields.seconds("default_max_age")?;
    client.jwks = match metadata.get("jwks") {
        None | Some(Value::Null) => None,
        Some(jwks @ Value::Object(_)) => Some(jwks.to_string()),
        Some(_) => return wrong("jwks", "it is a JWK Set, an object"),
    };
    client.jwks_uri = fields.text("jwks_uri")?;
    client.client_uri = fields.text("client_uri")?;
    client.logo_uri = fields.text("logo_uri")?;
    client.policy_uri = fields.text("policy_uri")?;
    client.tos_uri = fields.text("tos_uri")?;
    client.initiate_login_uri = fields.text("initiate_login_uri")?;
    client.backchannel_logout_uri = fields.text("backchannel_logout_uri")?;
    client.backchannel_logout_session_required =
        fields.flag("backchannel_logout_session_required")?.unwrap_or(false);
    client.frontchannel_logout_uri = fields.text("frontchannel_logout_uri")?;
    client.frontchannel_logout_session_required =
        fields.flag("frontchannel_logout_session_required")?.unwrap_or(false);
    for encrypted in [
        "id_token_encrypted_response_alg",
        "userinfo_encrypted_response_alg",
        "request_object_encryption_alg",
    ] {
        if fields.text(encrypted)?.is_some() {
            return wrong(encrypted, "encryption is not supported");
        }
    }
    Ok(client)
}

/// Human-readable fields in a language: `client_name#de` (RFC 7591 section 2.2).
fn localized(fields: &Fields<'_>) -> Read<BTreeMap<String, Localized>> {
    let mut all: BTreeMap<String, Localized> = BTreeMap::new();
    for (name, value) in fields.0 {
        let Some((name, tag)) = name.split_once('#') else { continue };
        let Some(field) = LOCALIZED.into_iter().find(|field| *field == name) else { continue };
        let Some(text) = value.as_str() else { return wrong(field, "it is a text") };
        *text_of(all.entry(tag.to_owned()).or_default(), field) = Some(text.to_owned());
    }
    Ok(all)
}

fn text_of<'a>(localized: &'a mut Localized, field: &str) -> &'a mut Option<String> {
    match field {
        "client_uri" => &mut localized.client_uri,
        "logo_uri" => &mut localized.logo_uri,
        "policy_uri" => &mut localized.policy_uri,
        "tos_uri" => &mut localized.tos_uri,
        _ => &mut localized.client_name,
    }
}

/// Without any, those that the response types need.
fn grant_types(fields: &Fields<'_>, for_types: &[ResponseType]) -> Read<Vec<GrantType>> {
    if !fields.has("grant_types") {
        let needed = |one: &GrantType| for_types.iter().any(|t| t.grant_types().any(|n| n == *one));
        return Ok(GrantType::ALL.into_iter().filter(needed).collect());
    }
    let parse = |name: String| {
        name.parse().map_err(|_| Wrong {
            field: "grant_types",
            why: "use authorization_code, refresh_token, client_credentials or implicit".into(),
        })
    };
    let named = fields.list("grant_types")?;
    // It would be a client that can do nothing, and whoever sends this means the default.
    if named.is_empty() {
        return wrong("grant_types", "name at least one, or leave it out");
    }
    named.into_iter().map(parse).collect()
}

/// `code` without any (RFC 7591 section 2).
fn response_types(fields: &Fields<'_>) -> Read<Vec<ResponseType>> {
    let named = fields.list("response_types")?;
    if named.is_empty() {
        return Ok(vec![ResponseType::Code]);
    }
    let parse = |name: String| {
        let why = || format!("{name:?} is not one that this server knows");
        name.parse().map_err(|_| Wrong { field: "response_types", why: why() })
    };
    named.into_iter().map(parse).collect()
}

/// Scopes that the server does not know are dropped, and the answer says what is left. Without a `scope` it is
/// what OpenID Connect gives a meaning.
fn scope(fields: &Fields<'_>, known: &Scope) -> Read<Scope> {
    match fields.text("scope")? {
        None => Ok(known.filter(|token| crate::scope::OPENID_SCOPES.contains(&token))),
        Some(text) => match Scope::parse(&text) {
            Ok(scope) => Ok(scope.intersection(known)),
            Err(error) => wrong("scope", error.to_string()),
        },
    }
}

/// The members of a JSON object, of which each has a type. `null` is as good as absent.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    fn text(&self, name: &'static str) -> Read<Option<String>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => wrong(name, "it is a text"),
        }
    }

    fn list(&self, name: &'static str) -> Read<Vec<String>> {
        const MOST: usize = 100;
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(all)) if all.len() <= MOST => {
                let texts = all.iter().map(|one| one.as_str().map(str::to_owned));
                texts
                    .collect::<Option<_>>()
                    .ok_or(Wrong { field: name, why: "it is a list of texts".into() })
            }
            Some(_) => wrong(name, "it is a list of texts"),
        }
    }

    fn flag(&self, name: &'static str) -> Read<Option<bool>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => wrong(name, "it is true or false"),
        }
    }

    fn seconds(&self, name: &'static str) -> Read<Option<Duration>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|seconds| *seconds <= u64::from(u32::MAX)) {
                Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
                None => wrong(name, "it is a whole number of seconds"),
            },
        }
    }

    fn parsed<T: std::str::FromStr>(&self, name: &'static str, what: &str) -> Read<Option<T>> {
        match self.text(name)?.as_deref().map(str::parse::<T>) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => wrong(name, format!("it is not {what} that this server knows")),
        }
    }

    fn algorithm(&self, name: &'static str) -> Read<Option<Algorithm>> {
        self.parsed(name, "an algorithm")
    }
}

/// A client's metadata, as it is answered. Never a secret: that is added where one was just made.
pub(crate) fn write(client: &Client) -> Map<String, Value> {
    let method = match &client.authentication {
        ClientAuthentication::None => AuthMethod::None,
        ClientAuthentication::Secret { method, .. } => method.unwrap_or(AuthMethod::Basic),
        ClientAuthentication::PrivateKeyJwt => AuthMethod::PrivateKeyJwt,
    };
    let name = |algorithm: Option<Algorithm>| algorithm.map(Algorithm::as_str);
    let response_types = client.response_types.iter().filter(|one| client.may_get(**one));
    let metadata = json!({
        "client_id": client.client_id,
        "client_id_issued_at": client.created_at.secs(),
        "client_name": client.client_name,
        "application_type": if client.native { "native" } else { "web" },
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "request_uris": client.request_uris,
        "contacts": client.contacts,
        "grant_types": client.grant_types.iter().map(|one| one.as_str()).collect::<Vec<_>>(),
        "response_types": response_types.map(|one| one.as_str()).collect::<Vec<_>>(),
        "scope": client.scope.to_string(),
        "subject_type": client.subject_type.as_str(),
        "sector_identifier_uri": client.sector_identifier_uri,
        "token_endpoint_auth_method": method.as_str(),
        "token_endpoint_auth_signing_alg": match method {
            AuthMethod::SecretJwt => Some(SHARED),
            _ => name(client.token_endpoint_auth_signing_alg),
        },
        "id_token_signed_response_alg":
            client.id_token_algorithm().as_str(),
        "userinfo_signed_response_alg": name(client.userinfo_signed_response_alg),
        "request_object_signing_alg": name(client.request_object_signing_alg),
        "require_signed_request_object": client.require_signed_request_object,
        "require_auth_time": client.require_auth_time,
        "default_max_age": client.default_max_age.map(|age| age.as_secs()),
        "jwks": client.jwks.as_deref().and_then(|jwks| serde_json::from_str::<Value>(jwks).ok()),
        "jwks_uri": client.jwks_uri,
        "client_uri": client.client_uri,
        "logo_uri": client.logo_uri,
        "policy_uri": client.policy_uri,
        "tos_uri": client.tos_uri,
        "initiate_login_uri": client.initiate_login_uri,
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "backchannel_logout_session_required": client.backchannel_logout_session_required,
        "frontchannel_logout_uri": client.frontchannel_logout_uri,
        "frontchannel_logout_session_required": client.frontchannel_logout_session_required,
    });
    let Value::Object(mut metadata) = metadata else { return Map::new() };
    for (tag, localized) in &client.localized {
        let mut localized = localized.clone();
        for field in LOCALIZED {
            let text = text_of(&mut localized, field).take();
            metadata.insert(format!("{field}#{tag}"), text.into());
        }
    }
    // What is not set is left out, and so is a list of nothing.
    metadata
        .retain(|_, value| !value.is_null() && value.as_array().is_none_or(|all| !all.is_empty()));
    metadata
}
