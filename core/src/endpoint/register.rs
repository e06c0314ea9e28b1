//! Dynamic client registration (RFC 7591, OpenID Connect Dynamic Client Registration) and management by the
//! client itself (RFC 7592).

use serde_json::{Map, Value};

use super::Call;
use super::userinfo::bearer;
use crate::client::authentication::limit;
use crate::client::metadata::{self, Wrong};
use crate::client::registry::just_after;
use crate::client::{Client, ClientAuthentication, CreatedClient, RegistryError, SubjectType};
use crate::env::Time;
use crate::error::Misdeed;
use crate::http::{MAX_BODY, Method, Response};
use crate::json;
use crate::registration::{Registration, RegistrationDecision, RegistrationRequest};
use crate::secret::{Secret, SecretDigest};
use crate::server::path;

pub(crate) async fn respond(call: &mut Call<'_>) -> Result<Response, Misdeed> {
    let Some(registration) = call.server.registration() else { return Err(Misdeed::NotFound) };
    limit(call, "")?;
    let client_id = match &call.request.query {
        None => None,
        Some(_) => {
            let parameters = call.request.query_parameters()?.strict()?;
            Some(parameters.get("client_id").ok_or(Misdeed::Missing("client_id"))?.to_owned())
        }
    };
    match (client_id, call.request.method) {
        (None, Method::Post) => register(call, registration).await,
        (Some(id), Method::Get | Method::Head) => {
            let (client, token) = manager(call, &id).await?;
            Ok(Response::json(200, &Value::Object(answer(call, &client, None, Some(&token)))))
        }
        (Some(id), Method::Put) => change(call, registration, &id).await,
        (Some(id), Method::Delete) => {
            let (client, _) = manager(call, &id).await?;
            call.server.clients().remove(&client.client_id).await.map_err(misdeed)?;
            Ok(Response::empty(204).header("cache-control", "no-store"))
        }
        (None, _) => Err(Misdeed::Method("POST")),
        (Some(_), _) => Err(Misdeed::Method("GET, HEAD, PUT, DELETE")),
    }
}

/// RFC 7591 section 3.1.
async fn register(call: &Call<'_>, registration: &dyn Registration) -> Result<Response, Misdeed> {
    let wanted = body(call)?;
    let environment = call.server.environment();
    let client_id = Secret::generate("", environment)?;
    let known = &call.server.policy().scopes;
    let mut client = metadata::read(&wanted, client_id.expose(), known).map_err(refused)?;
    // First what nobody may be, so that a token that is good once is not spent on it. Only what has to be fetched is
    // asked about later: strangers cause no calls.
    call.server.clients().check(&client).map_err(misdeed)?;
    let token = bearer(call.request)?;
    let request = RegistrationRequest {
        initial_access_token: token.as_deref(),
        peer: call.request.peer,
        registered: None,
    };
    decide(registration, &request, &mut client).await?;
    let manage = Secret::generate("reg_", environment)?;
    client.registration_access_token = Some(SecretDigest::of(&manage));
    let created = call.server.clients().create(client).await.map_err(misdeed)?;
    let CreatedClient { client, client_secret } = created;
    let answer = answer(call, &client, client_secret.as_ref(), Some(&manage));
    Ok(Response::json(201, &Value::Object(answer)))
}

/// RFC 7592 section 2.2: what comes replaces what was.
async fn change(
    call: &Call<'_>,
    registration: &dyn Registration,
    client_id: &str,
) -> Result<Response, Misdeed> {
    let (registered, token) = manager(call, client_id).await?;
    let wanted = body(call)?;
    let text = |name: &str| wanted.get(name).and_then(Value::as_str);
    if text("client_id") != Some(client_id) {
        return Err(refused(Wrong { field: "client_id", why: "it is the one of the URL".into() }));
    }
    // Sending these back is a sign of a client that would set them (section 2.2).
    for fixed in [
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    ] {
        if wanted.contains_key(fixed) {
            let why = format!("{fixed} is not the client's to set");
            return Err(refused(Wrong { field: "metadata", why }));
        }
    }
    let mut client =
        metadata::read(&wanted, client_id, &call.server.policy().scopes).map_err(refused)?;
    let request = RegistrationRequest {
        initial_access_token: None,
        peer: call.request.peer,
        registered: Some(&registered),
    };
    keep(&registered, &mut client, text("client_secret"), call.now)?;
    call.server.clients().check(&client).map_err(misdeed)?;
    decide(registration, &request, &mut client).await?;
    let client = call.server.clients().update(client).await.map_err(misdeed)?;
    Ok(Response::json(200, &Value::Object(answer(call, &client, None, Some(&token)))))
}

/// What a change leaves as it was: everything that is not the client's to say.
fn keep(
    registered: &Client,
    client: &mut Client,
    secret: Option<&str>,
    now: Time,
) -> Result<(), Misdeed> {
    let secrets = match (&registered.authentication, &mut client.authentication) {
        (
            ClientAuthentication::Secret { secrets, .. },
            ClientAuthentication::Secret { secrets: kept, .. },
        ) => {
            kept.clone_from(secrets);
            secrets.as_slice()
        }
        (before, now) if before == now => &[],
        _ => {
            let why = "register a new client to authenticate in another way".into();
            return Err(refused(Wrong { field: "token_endpoint_auth_method", why }));
        }
    };
    if secret.is_some_and(|secret| !secrets.iter().any(|entry| entry.digest.matches(secret))) {
        return Err(refused(Wrong {
            field: "client_secret",
            why: "it is not the client's".into(),
        }));
    }
    // What an operator has taken away since is not the client's to take back.
    client.scope = client.scope.intersection(&registered.scope);
    client.grant_types.retain(|grant_type| registered.may(*grant_type));
    client.response_types.retain(|one| registered.response_types.contains(one));
    // Answers that go elsewhere are another client's, as far as people know: what they allowed the old one ends,
    // and they are asked again. Whoever has got hold of the token by which a client manages itself gains nothing
    // silently.
    let valid_from =
        match client.redirect_uris.iter().all(|uri| registered.redirect_uris.contains(uri)) {
            true => registered.valid_from,
            false => just_after(now),
        };
    // Nor is a person's own name, where an operator has kept it from it.
    if registered.subject_type == SubjectType::Pairwise {
        client.subject_type = SubjectType::Pairwise;
    }
    *client = Client {
        native: registered.native,
        version: registered.version,
        tenant: registered.tenant.clone(),
        valid_from,
        description: registered.description.clone(),
        allowed_origins: registered.allowed_origins.clone(),
        require_pkce: registered.require_pkce,
        require_consent: registered.require_consent,
        first_party: registered.first_party,
        access_token_lifetime: registered.access_token_lifetime,
        refresh_token_lifetime: registered.refresh_token_lifetime,
        id_token_lifetime: registered.id_token_lifetime,
        access_token_signed_response_alg: registered.access_token_signed_response_alg,
        audiences: registered.audiences.clone(),
        claims_in_id_token: registered.claims_in_id_token,
        resources: registered.resources.clone(),
        registration_access_token: registered.registration_access_token.clone(),
        created_at: registered.created_at,
        ..client.clone()
    };
    Ok(())
}

async fn decide(
    registration: &dyn Registration,
    request: &RegistrationRequest<'_>,
    client: &mut Client,
) -> Result<(), Misdeed> {
    match registration.decide(request, client).await? {
        RegistrationDecision::Admit => Ok(()),
        RegistrationDecision::Refused(why) => {
            Err(refused(Wrong { field: "metadata", why: why.to_owned() }))
        }
        RegistrationDecision::WrongToken if request.initial_access_token.is_none() => {
            Err(Misdeed::TokenMissing)
        }
        RegistrationDecision::WrongToken => {
            Err(Misdeed::TokenInvalid("it is no initial access token"))
        }
    }
}

/// The client that manages itself by its registration access token. One that does not exist, one that has no such
/// token and one with another are answered alike (RFC 7592 section 2.1).
async fn manager(call: &Call<'_>, client_id: &str) -> Result<(Client, Secret), Misdeed> {
    let token = bearer(call.request)?.ok_or(Misdeed::TokenMissing)?;
    let found = call.server.client_store().find(call.server.issuer(), client_id).await?;
    let digest = found.as_ref().and_then(|client| client.registration_access_token.as_ref());
    let decoy = SecretDigest::of_text("");
    let is_right = digest.unwrap_or(&decoy).matches(&token) && digest.is_some();
    match found.filter(|client| is_right && client.active) {
        // It has the token already; answers repeat it for clients that keep their last answer (RFC 7592 section 3).
        Some(client) => Ok((Client::clone(&client), Secret::new(token))),
        None => Err(Misdeed::TokenInvalid("it is not this client's registration access token")),
    }
}

/// The metadata in the body.
fn body(call: &Call<'_>) -> Result<Map<String, Value>, Misdeed> {
    if call.request.all("content-encoding").next().is_some() {
        return Err(Misdeed::BodyEncoded);
    }
    if call.request.body.len() > MAX_BODY {
        return Err(Misdeed::BodyTooLarge);
    }
    let content_type = call.request.single("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Misdeed::NotJson);
    }
    json::object(&call.request.body).ok_or(Misdeed::NotJson)
}

fn answer(
    call: &Call<'_>,
    client: &Client,
    secret: Option<&Secret>,
    manage: Option<&Secret>,
) -> Map<String, Value> {
    let mut answer = metadata::write(client);
    let encoded: String = form_urlencoded::byte_serialize(client.client_id.as_bytes()).collect();
    let uri = format!("{}{}?client_id={encoded}", call.server.issuer(), path::REGISTER);
    answer.insert("registration_client_uri".into(), uri.into());
    if let Some(secret) = secret {
        answer.insert("client_secret".into(), secret.expose().into());
    }
    if matches!(client.authentication, ClientAuthentication::Secret { .. }) {
        // It does not expire (RFC 7591 section 3.2.1).
        answer.insert("client_secret_expires_at".into(), 0.into());
    }
    if let Some(manage) = manage {
        answer.insert("registration_access_token".into(), manage.expose().into());
    }
    answer
}

fn refused(wrong: Wrong) -> Misdeed {
    Misdeed::Metadata(wrong.field, wrong.why)
}

fn misdeed(error: RegistryError) -> Misdeed {
    match error {
        RegistryError::Invalid { field, why } => Misdeed::Metadata(field, why),
        RegistryError::Store(error) => error.into(),
        RegistryError::Randomness(error) => error.into(),
        RegistryError::Keys(error) => error.into(),
        // Somebody else has changed or removed it meanwhile.
        RegistryError::Changed | RegistryError::NotFound(_) => {
            Misdeed::TokenInvalid("the client was changed meanwhile")
        }
        other => Misdeed::Metadata("metadata", other.to_string()),
    }
}
