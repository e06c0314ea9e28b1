//! How grants and clients are written down: one JSON form for every backend.
//!
//! The model types themselves are not `Serialize`, so that a host cannot hand out a client with its
//! secret's digest by accident. Each record starts with its version; a field that a later version
//! adds has a default here, and a version from the future is refused rather than half understood.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Message, StoreError};
use crate::client::{
    AuthMethod, Client, ClientAuthentication, GrantType, Localized, ResponseType, SecretEntry,
    SubjectType,
};
use crate::env::Time;
use crate::grant::{Challenge, Grant, GrantId, State};
use crate::issuer::Issuer;
use crate::keys::Algorithm;
use crate::scope::Scope;
use crate::secret::{SealedSecret, SecretDigest};
use crate::token::claims_request::ClaimsByName;

const VERSION: u8 = 1;
/// A client that an earlier release would take for another: it knows only identifiers that all clients share.
const VERSION_OF_PAIRWISE: u8 = 2;

/// A grant that an earlier release would take for another: it knows only tokens for everything.
const VERSION_OF_RESOURCES: u8 = 3;

/// A record that cannot be read back.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error("the record is not valid: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the record has version {0}, which this release does not know")]
    Version(u8),
    #[error("the record's {0} is not valid")]
    Field(&'static str),
}

impl From<RecordError> for StoreError {
    fn from(error: RecordError) -> Self {
        StoreError::new(error)
    }
}

#[derive(Serialize, Deserialize)]
struct GrantRecord {
    v: u8,
    id: String,
    issuer: String,
    client_id: String,
    subject: String,
    scope: Scope,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resources: Vec<String>,
    #[serde(default)]
    claims_of_userinfo: BTreeSet<String>,
    #[serde(default)]
    claims_of_id_token: BTreeSet<String>,
    redirect_uri: String,
    redirect_uri_named: bool,
    challenge: Option<String>,
    nonce: Option<String>,
    auth_time: Time,
    acr: Option<String>,
    amr: Vec<String>,
    sid: Option<String>,
    approved_at: Time,
    code_expires_at: Time,
    refresh_idle_ms: Option<u64>,
    expires_at: Time,
    state: StateRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
enum StateRecord {
    Approved,
    Active { generation: u32, advanced_at: Time },
    Revoked,
}

/// Writes a grant.
///
/// # Errors
/// When it cannot be serialized.
pub fn write_grant(grant: &Grant) -> Result<String, StoreError> {
    let record = GrantRecord {
        v: if grant.resources.is_empty() { VERSION } else { VERSION_OF_RESOURCES },
        id: grant.id.to_string(),
        issuer: grant.issuer.as_str().to_owned(),
        client_id: grant.client_id.clone(),
        subject: grant.subject.clone(),
        scope: grant.scope.clone(),
        resources: grant.resources.clone(),
        claims_of_userinfo: grant.claims.userinfo.clone(),
        claims_of_id_token: grant.claims.id_token.clone(),
        redirect_uri: grant.redirect_uri.clone(),
        redirect_uri_named: grant.redirect_uri_named,
        challenge: grant.challenge.map(|challenge| challenge.to_text()),
        nonce: grant.nonce.clone(),
        auth_time: grant.auth_time,
        acr: grant.acr.clone(),
        amr: grant.amr.clone(),
        sid: grant.sid.clone(),
        approved_at: grant.approved_at,
        code_expires_at: grant.code_expires_at,
        refresh_idle_ms: grant.refresh_idle.map(whole_millis),
        expires_at: grant.expires_at,
        state: match grant.state {
            State::Approved => StateRecord::Approved,
            State::Active { generation, advanced_at } => {
                StateRecord::Active { generation, advanced_at }
            }
            State::Revoked => StateRecord::Revoked,
        },
    };
    Ok(serde_json::to_string(&record).map_err(RecordError::from)?)
}

/// Reads a grant.
///
/// # Errors
/// When the text is not a grant of a version that this release knows.
pub fn read_grant(text: &str) -> Result<Grant, StoreError> {
    Ok(grant(text)?)
}

fn grant(text: &str) -> Result<Grant, RecordError> {
    let record: GrantRecord = read(text)?;
    let challenge = match record.challenge {
        Some(text) => Some(Challenge::from_text(&text).ok_or(RecordError::Field("challenge"))?),
        None => None,
    };
    Ok(Grant {
        id: GrantId::from_text(&record.id).ok_or(RecordError::Field("id"))?,
        issuer: Issuer::recorded(&record.issuer),
        client_id: record.client_id,
        subject: record.subject,
        scope: record.scope,
        resources: record.resources,
        claims: ClaimsByName {
            userinfo: record.claims_of_userinfo,
            id_token: record.claims_of_id_token,
        },
        redirect_uri: record.redirect_uri,
        redirect_uri_named: record.redirect_uri_named,
        challenge,
        nonce: record.nonce,
        auth_time: record.auth_time,
        acr: record.acr,
        amr: record.amr,
        sid: record.sid,
        approved_at: record.approved_at,
        code_expires_at: record.code_expires_at,
        refresh_idle: record.refresh_idle_ms.map(Duration::from_millis),
        expires_at: record.expires_at,
        state: match record.state {
            StateRecord::Approved => State::Approved,
            StateRecord::Active { generation, advanced_at } => {
                State::Active { generation, advanced_at }
            }
            StateRecord::Revoked => State::Revoked,
        },
    })
}

#[derive(Serialize, Deserialize)]
struct MessageRecord {
    v: u8,
    id: String,
    issuer: String,
    client_id: String,
    subject: String,
    sid: String,
    created_at: Time,
    due_at: Time,
    attempts: u32,
}

/// Writes a message.
///
/// # Errors
/// When it cannot be serialized.
pub fn write_message(message: &Message) -> Result<String, StoreError> {
    let record = MessageRecord {
        v: VERSION,
        id: message.id.clone(),
        issuer: message.issuer.as_str().to_owned(),
        client_id: message.client_id.clone(),
        subject: message.subject.clone(),
        sid: message.sid.clone(),
        created_at: message.created_at,
        due_at: message.due_at,
        attempts: message.attempts,
    };
    Ok(serde_json::to_string(&record).map_err(RecordError::from)?)
}

/// Reads a message.
///
/// # Errors
/// When the text is not a message of a version that this release knows.
pub fn read_message(text: &str) -> Result<Message, StoreError> {
    let record: MessageRecord = read(text)?;
    let issuer = Issuer::new(&record.issuer).map_err(|_| RecordError::Field("issuer"))?;
    let MessageRecord { id, client_id, subject, sid, created_at, due_at, attempts, .. } = record;
    Ok(Message { id, issuer, client_id, subject, sid, created_at, due_at, attempts })
}

#[derive(Serialize, Deserialize)]
struct ClientRecord {
    v: u8,
    client_id: String,
    version: u64,
    tenant: Option<String>,
    active: bool,
    valid_from: Time,
    client_name: String,
    description: Option<String>,
    native: bool,
    redirect_uris: Vec<String>,
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
    allowed_origins: Vec<String>,
    grant_types: Vec<String>,
    #[serde(default = "code_alone")]
    response_types: Vec<String>,
    scope: Scope,
    secrets: Option<Vec<SecretRecord>>,
    auth_method: Option<String>,
    require_pkce: bool,
    require_consent: bool,
    first_party: bool,
    access_token_lifetime: Option<u64>,
    refresh_token_lifetime: Option<u64>,
    id_token_lifetime: Option<u64>,
    id_token_alg: Option<String>,
    access_token_alg: Option<String>,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    claims_in_id_token: bool,
    resources: Vec<String>,
    #[serde(default)]
    jwks: Option<String>,
    #[serde(default)]
    jwks_uri: Option<String>,
    #[serde(default)]
    auth_signing_alg: Option<String>,
    #[serde(default)]
    userinfo_alg: Option<String>,
    #[serde(default)]
    request_object_alg: Option<String>,
    #[serde(default)]
    require_signed_request_object: bool,
    #[serde(default)]
    request_uris: Vec<String>,
    #[serde(default)]
    default_max_age: Option<u64>,
    #[serde(default)]
    require_auth_time: bool,
    #[serde(default)]
    initiate_login_uri: Option<String>,
    #[serde(default)]
    client_uri: Option<String>,
    #[serde(default)]
    contacts: Vec<String>,
    #[serde(default)]
    registration_access_token: Option<String>,
    logo_uri: Option<String>,
    policy_uri: Option<String>,
    tos_uri: Option<String>,
    #[serde(default)]
    subject_type: Option<String>,
    #[serde(default)]
    sector_identifier_uri: Option<String>,
    #[serde(default)]
    backchannel_logout_uri: Option<String>,
    #[serde(default)]
    backchannel_logout_session_required: bool,
    #[serde(default)]
    frontchannel_logout_uri: Option<String>,
    #[serde(default)]
    frontchannel_logout_session_required: bool,
    #[serde(default)]
    localized: BTreeMap<String, LocalizedRecord>,
    created_at: Time,
    updated_at: Time,
}

#[derive(Serialize, Deserialize)]
struct LocalizedRecord {
    client_name: Option<String>,
    client_uri: Option<String>,
    logo_uri: Option<String>,
    policy_uri: Option<String>,
    tos_uri: Option<String>,
}

/// What clients of earlier releases had.
fn code_alone() -> Vec<String> {
    vec![ResponseType::Code.as_str().to_owned()]
}

#[derive(Serialize, Deserialize)]
struct SecretRecord {
    digest: String,
    #[serde(default)]
    sealed: Option<String>,
    expires_at: Option<Time>,
}

/// Writes a client.
///
/// # Errors
/// When it cannot be serialized.
pub fn write_client(client: &Client) -> Result<String, StoreError> {
    let (secrets, method) = match &client.authentication {
        ClientAuthentication::None => (None, None),
        ClientAuthentication::Secret { secrets, method } => (Some(secrets), *method),
        ClientAuthentication::PrivateKeyJwt => (None, Some(AuthMethod::PrivateKeyJwt)),
    };
    let alg = |alg: Option<Algorithm>| alg.map(|alg| alg.as_str().to_owned());
    let record = ClientRecord {
        v: match client.subject_type {
            SubjectType::Public => VERSION,
            SubjectType::Pairwise => VERSION_OF_PAIRWISE,
        },
        client_id: client.client_id.clone(),
        version: client.version,
        tenant: client.tenant.clone(),
        active: client.active,
        valid_from: client.valid_from,
        client_name: client.client_name.clone(),
        description: client.description.clone(),
        native: client.native,
        redirect_uris: client.redirect_uris.clone(),
        post_logout_redirect_uris: client.post_logout_redirect_uris.clone(),
        allowed_origins: client.allowed_origins.clone(),
        grant_types: client.grant_types.iter().map(|g| g.as_str().to_owned()).collect(),
        response_types: client.response_types.iter().map(|r| r.as_str().to_owned()).collect(),
        scope: client.scope.clone(),
        secrets: secrets.map(|secrets| {
            let write = |entry: &SecretEntry| SecretRecord {
                digest: entry.digest.to_text(),
                sealed: entry.sealed.as_ref().map(SealedSecret::to_text),
                expires_at: entry.expires_at,
            };
            secrets.iter().map(write).collect()
        }),
        auth_method: method.map(|method| method.as_str().to_owned()),
        require_pkce: client.require_pkce,
        require_consent: client.require_consent,
        first_party: client.first_party,
        access_token_lifetime: client.access_token_lifetime.map(whole_millis),
        refresh_token_lifetime: client.refresh_token_lifetime.map(whole_millis),
        id_token_lifetime: client.id_token_lifetime.map(whole_millis),
        id_token_alg: alg(client.id_token_signed_response_alg),
        access_token_alg: alg(client.access_token_signed_response_alg),
        audiences: client.audiences.clone(),
        claims_in_id_token: client.claims_in_id_token,
        resources: client.resources.clone(),
        jwks: client.jwks.clone(),
        jwks_uri: client.jwks_uri.clone(),
        auth_signing_alg: alg(client.token_endpoint_auth_signing_alg),
        userinfo_alg: alg(client.userinfo_signed_response_alg),
        request_object_alg: alg(client.request_object_signing_alg),
        require_signed_request_object: client.require_signed_request_object,
        request_uris: client.request_uris.clone(),
        default_max_age: client.default_max_age.map(whole_millis),
        require_auth_time: client.require_auth_time,
        initiate_login_uri: client.initiate_login_uri.clone(),
        client_uri: client.client_uri.clone(),
        contacts: client.contacts.clone(),
        registration_access_token: client
            .registration_access_token
            .as_ref()
            .map(SecretDigest::to_text),
        logo_uri: client.logo_uri.clone(),
        policy_uri: client.policy_uri.clone(),
        tos_uri: client.tos_uri.clone(),
        subject_type: Some(client.subject_type.as_str().to_owned()),
        sector_identifier_uri: client.sector_identifier_uri.clone(),
        backchannel_logout_uri: client.backchannel_logout_uri.clone(),
        backchannel_logout_session_required: client.backchannel_logout_session_required,
        frontchannel_logout_uri: client.frontchannel_logout_uri.clone(),
        frontchannel_logout_session_required: client.frontchannel_logout_session_required,
        localized: client
            .localized
            .iter()
            .map(|(tag, one)| (tag.clone(), localized(one)))
            .collect(),
        created_at: client.created_at,
        updated_at: client.updated_at,
    };
    Ok(serde_json::to_string(&record).map_err(RecordError::from)?)
}

/// Reads a client.
///
/// # Errors
/// When the text is not a client of a version that this release knows.
pub fn read_client(text: &str) -> Result<Client, StoreError> {
    Ok(client(text)?)
}

fn client(text: &str) -> Result<Client, RecordError> {
    let record: ClientRecord = read(text)?;
    let alg = |text: Option<String>| match text {
        Some(text) => text.parse().map(Some).map_err(|_| RecordError::Field("alg")),
        None => Ok(None),
    };
    let method = record.auth_method.map(|text| text.parse::<AuthMethod>()).transpose();
    let method = method.map_err(|_| RecordError::Field("auth_method"))?;
    let authentication = match (record.secrets, method) {
        (Some(secrets), method) => ClientAuthentication::Secret {
            secrets: secrets.iter().map(secret).collect::<Result<_, _>>()?,
            method,
        },
        (None, Some(AuthMethod::PrivateKeyJwt)) => ClientAuthentication::PrivateKeyJwt,
        (None, None) => ClientAuthentication::None,
        (None, Some(_)) => return Err(RecordError::Field("auth_method")),
    };
    let grant_types = record.grant_types.iter().map(|text| text.parse::<GrantType>());
    let response_types = record.response_types.iter().map(|text| text.parse::<ResponseType>());
    Ok(Client {
        client_id: record.client_id,
        version: record.version,
        tenant: record.tenant,
        active: record.active,
        valid_from: record.valid_from,
        client_name: record.client_name,
        description: record.description,
        native: record.native,
        redirect_uris: record.redirect_uris,
        post_logout_redirect_uris: record.post_logout_redirect_uris,
        allowed_origins: record.allowed_origins,
        grant_types: grant_types
            .collect::<Result<_, _>>()
            .map_err(|_| RecordError::Field("grant_types"))?,
        response_types: response_types
            .collect::<Result<_, _>>()
            .map_err(|_| RecordError::Field("response_types"))?,
        scope: record.scope,
        authentication,
        require_pkce: record.require_pkce,
        require_consent: record.require_consent,
        first_party: record.first_party,
        access_token_lifetime: record.access_token_lifetime.map(Duration::from_millis),
        refresh_token_lifetime: record.refresh_token_lifetime.map(Duration::from_millis),
        id_token_lifetime: record.id_token_lifetime.map(Duration::from_millis),
        id_token_signed_response_alg: alg(record.id_token_alg)?,
        access_token_signed_response_alg: alg(record.access_token_alg)?,
        audiences: record.audiences,
        claims_in_id_token: record.claims_in_id_token,
        resources: record.resources,
        jwks: record.jwks,
        jwks_uri: record.jwks_uri,
        token_endpoint_auth_signing_alg: alg(record.auth_signing_alg)?,
        userinfo_signed_response_alg: alg(record.userinfo_alg)?,
        request_object_signing_alg: alg(record.request_object_alg)?,
        require_signed_request_object: record.require_signed_request_object,
        request_uris: record.request_uris,
        default_max_age: record.default_max_age.map(Duration::from_millis),
        require_auth_time: record.require_auth_time,
        initiate_login_uri: record.initiate_login_uri,
        client_uri: record.client_uri,
        contacts: record.contacts,
        registration_access_token: record
            .registration_access_token
            .as_deref()
            .map(digest)
            .transpose()?,
        logo_uri: record.logo_uri,
        policy_uri: record.policy_uri,
        tos_uri: record.tos_uri,
        subject_type: match record.subject_type {
            Some(text) => text.parse().map_err(|_| RecordError::Field("subject_type"))?,
            None => SubjectType::Public,
        },
        sector_identifier_uri: record.sector_identifier_uri,
        backchannel_logout_uri: record.backchannel_logout_uri,
        backchannel_logout_session_required: record.backchannel_logout_session_required,
        frontchannel_logout_uri: record.frontchannel_logout_uri,
        frontchannel_logout_session_required: record.frontchannel_logout_session_required,
        localized: record.localized.into_iter().map(|(tag, one)| (tag, one.into())).collect(),
        created_at: record.created_at,
        updated_at: record.updated_at,
    })
}

fn secret(record: &SecretRecord) -> Result<SecretEntry, RecordError> {
    let sealed = record.sealed.as_deref().map(SealedSecret::from_text);
    let sealed = match sealed {
        Some(None) => return Err(RecordError::Field("secret")),
        sealed => sealed.flatten(),
    };
    Ok(SecretEntry { digest: digest(&record.digest)?, sealed, expires_at: record.expires_at })
}

fn localized(one: &Localized) -> LocalizedRecord {
    LocalizedRecord {
        client_name: one.client_name.clone(),
        client_uri: one.client_uri.clone(),
        logo_uri: one.logo_uri.clone(),
        policy_uri: one.policy_uri.clone(),
        tos_uri: one.tos_uri.clone(),
    }
}

impl From<LocalizedRecord> for Localized {
    fn from(record: LocalizedRecord) -> Self {
        let LocalizedRecord { client_name, client_uri, logo_uri, policy_uri, tos_uri } = record;
        Self { client_name, client_uri, logo_uri, policy_uri, tos_uri }
    }
}

fn digest(text: &str) -> Result<SecretDigest, RecordError> {
    SecretDigest::from_text(text).ok_or(RecordError::Field("digest"))
}

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u8,
    }
    match serde_json::from_str::<Versioned>(text)?.v {
        VERSION | VERSION_OF_PAIRWISE | VERSION_OF_RESOURCES => Ok(serde_json::from_str(text)?),
        other => Err(RecordError::Version(other)),
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_later_release_is_refused_whole() {
        let error = read_grant(r#"{"v":9,"id":"x"}"#).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("version 9"), "{source}");
    }
}
