//! Token introspection (RFC 7662), for clients that can authenticate.

use serde_json::{Value, json};

use super::Call;
use super::token::{open, post_parameters};
use crate::client::authentication::authenticate_client;
use crate::client::{Client, GrantType};
use crate::error::Misdeed;
use crate::grant::{GrantId, State};
use crate::http::Response;
use crate::token::credential::{Credential, Kind};
use crate::token::{access_token, audience};

/// Whatever is dead, foreign or not a token is answered with `{"active":false}` and nothing else
/// (RFC 7662 section 2.2).
pub(crate) async fn respond(call: &mut Call<'_>) -> Result<Response, Misdeed> {
    let parameters = post_parameters(call, "POST")?;
    let client = authenticate_client(call, &parameters).await?;
    // A public client proves nothing; answering it would let anybody test stolen tokens.
    if client.is_public() {
        return Err(Misdeed::ClientUnproved { basic: false });
    }
    let token = parameters.get("token").ok_or(Misdeed::Missing("token"))?;
    let active = match open(call, Kind::Refresh, token).await? {
        Some(credential) => refresh_token(call, &client, &credential).await?,
        None => access_token(call, &client, token).await?,
    };
    let body = active.unwrap_or_else(|| json!({"active": false}));
    Ok(Response::json(200, &body))
}

async fn access_token(
    call: &Call<'_>,
    client: &Client,
    token: &str,
) -> Result<Option<Value>, Misdeed> {
    let token = match access_token::live(call.server, token, call.now).await {
        Ok(live) => live.token,
        Err(Misdeed::TokenInvalid(_)) => return Ok(None),
        Err(unavailable) => return Err(unavailable),
    };
    // A token is for its own client, and for a resource server whose registered audience it has
    // (RFC 7662 section 4).
    let own = token.client_id == client.client_id;
    let served = token.audience.iter().any(|audience| client.resources.contains(audience));
    if !own && !served {
        return Ok(None);
    }
    let mut body = token.claims.clone();
    if let Some(subject) = &token.subject {
        // As whoever asks knows people, which may be another way than the token's own client does.
        body.insert("sub".into(), call.server.subject_for(client, subject).into());
    }
    // Afterwards: a claim that a host adds must not say these.
    body.insert("active".into(), true.into());
    body.insert("token_type".into(), "Bearer".into());
    Ok(Some(Value::Object(body)))
}

async fn refresh_token(
    call: &Call<'_>,
    client: &Client,
    credential: &Credential,
) -> Result<Option<Value>, Misdeed> {
    let server = call.server;
    let id = GrantId::of_handle(server.issuer(), &credential.handle);
    let Some(grant) = server.token_store().find(id).await? else { return Ok(None) };
    let current =
        matches!(grant.state, State::Active { generation, .. } if generation == credential.number);
    let expires_at = credential.expires_at.min(grant.expires_at);
    // Tokens count whole seconds: in the last one of its grant nothing is made any more.
    let ended = call.now >= expires_at || grant.expires_at.secs() <= call.now.secs();
    if !current || ended || grant.client_id != client.client_id {
        return Ok(None);
    }
    let owner = server.client_store().find(server.issuer(), &grant.client_id).await?;
    // What it could still get with it, as refreshing would find.
    let scope = match &owner {
        Some(owner) if owner.may(GrantType::RefreshToken) => grant.scope.intersection(&owner.scope),
        _ => return Ok(None),
    };
    let allowed = server
        .still_allowed(owner, Some((&grant.subject, grant.approved_at)), grant.approved_at)
        .await?;
    let Ok(owner) = allowed else { return Ok(None) };
    let still_refreshes = server.policy().still_refreshes(&grant.scope, &scope);
    let is_for_nobody = audience::of_token(server, &owner, &grant.resources, &[]).is_err();
    if scope.is_empty() || !still_refreshes || is_for_nobody {
        return Ok(None);
    }
    Ok(Some(json!({
        "active": true,
        "iss": server.issuer().as_str(),
        "client_id": grant.client_id,
        "sub": server.subject_for(client, &grant.subject),
        "scope": scope.to_string(),
        "exp": expires_at.secs(),
    })))
}
