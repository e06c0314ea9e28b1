//! Token revocation (RFC 7009).

use serde_json::json;

use super::token::{open, post_parameters, take};
use super::{Call, cors};
use crate::client::authentication::{AuthenticatedClient, authenticate_client};
use crate::error::Misdeed;
use crate::event::Event;
use crate::grant::{Grant, GrantId, State, Step};
use crate::http::Response;
use crate::scope::Scope;
use crate::token::access_token::{self, AccessToken, Id};
use crate::token::credential::Kind;

pub(crate) async fn answer(mut call: Call<'_>) -> Response {
    if cors::is_preflight(call.request) {
        return cors::preflight(call.server, call.request, "POST").await;
    }
    let result = respond(&mut call).await;
    let response = call.conclude(result);
    cors::expose(call.server, call.request, call.client.as_deref(), response).await
}

/// Any token of a grant ends the grant, its access tokens included (RFC 7009 section 2.1). A token
/// that is unknown, dead or another client's is answered with 200 as well (section 2.2): the
/// caller has what it wanted, and a stranger learns nothing. The hint is not needed: a token says
/// itself what it is.
async fn respond(call: &mut Call<'_>) -> Result<Response, Misdeed> {
    let parameters = post_parameters(call)?;
    let client = authenticate_client(call, &parameters).await?;
    let token = parameters.get("token").ok_or(Misdeed::Missing("token"))?;
    let step = Step::Revoke { client: Some(client.client_id.clone()) };
    for kind in [Kind::Refresh, Kind::Code] {
        if let Some(credential) = open(call, kind, token).await? {
            take(call, &credential, step).await?;
            return Ok(done(call, &client));
        }
    }
    match access_token::open(call.server, token, call.now).await {
        Ok((_, Id::Grant(id))) => {
            call.server.token_store().apply(id, step, call.now).await?;
        }
        Ok((token, Id::Client(id))) if token.client_id == client.client_id => {
            let tombstone = tombstone(call, id, &token);
            call.server.token_store().insert(tombstone, None).await?;
        }
        // Another client's token, or nothing that lives.
        Ok((_, Id::Client(_))) | Err(Misdeed::TokenInvalid(_)) => {}
        Err(unavailable) => return Err(unavailable),
    }
    Ok(done(call, &client))
}

fn done(call: &Call<'_>, client: &AuthenticatedClient) -> Response {
    call.server.emit(&Event::TokenRevoked { client_id: &client.client_id });
    Response::json(200, &json!({}))
}

/// What stands in the store for a revoked token of a client's own until the token expires: such
/// tokens have no grant, and absent means alive.
fn tombstone(call: &Call<'_>, id: GrantId, token: &AccessToken) -> Grant {
    Grant {
        id,
        issuer: call.server.issuer().clone(),
        client_id: token.client_id.clone(),
        subject: token.client_id.clone(),
        scope: Scope::empty(),
        redirect_uri: String::new(),
        redirect_uri_named: false,
        challenge: None,
        nonce: None,
        auth_time: call.now,
        acr: None,
        amr: Vec::new(),
        sid: None,
        approved_at: call.now,
        code_expires_at: call.now,
        refresh_idle: None,
        expires_at: token.expires_at,
        state: State::Revoked,
    }
}
