//! Token revocation (RFC 7009).

use std::time::Duration;

use serde_json::json;

use super::Call;
use super::token::{open, post_parameters};
use crate::client::authentication::{AuthenticatedClient, authenticate_client, limit};
use crate::error::Misdeed;
use crate::event::Event;
use crate::grant::{Grant, GrantId, Outcome, Step};
use crate::http::{Parameters, Response};
use crate::token::access_token::{self, Id};
use crate::token::credential::Kind;

/// How far apart the clocks of two processes may be.
pub(crate) const CLOCK_DIFFERENCE: Duration = Duration::from_secs(86_400);

/// Any token of a grant ends the grant, its access tokens included (RFC 7009 section 2.1). A token
/// that is unknown, dead or another client's is answered with 200 as well (section 2.2): the
/// caller has what it wanted, and a stranger learns nothing. The hint is not needed: a token says
/// itself what it is.
pub(crate) async fn respond(call: &mut Call<'_>) -> Result<Response, Misdeed> {
    let parameters = post_parameters(call, "POST, OPTIONS")?;
    let client = match authenticate_client(call, &parameters).await {
        Err(Misdeed::ClientNotIdentified) if call.server.policy().anonymous_revocation => {
            return anonymous(call, &parameters).await;
        }
        client => client?,
    };
    let token = parameters.get("token").ok_or(Misdeed::Missing("token"))?;
    let step = Step::Revoke { client: Some(client.client_id.clone()) };
    for kind in [Kind::Refresh, Kind::Code] {
        if let Some(credential) = open(call, kind, token).await? {
            let id = GrantId::of_handle(call.server.issuer(), &credential.handle);
            revoke(call, &client, id, step).await?;
            return Ok(done());
        }
    }
    match access_token::open(call.server, token, call.now).await {
        Ok((_, Id::Grant(id))) => revoke(call, &client, id, step).await?,
        Ok((token, Id::Client(id))) if token.client_id == client.client_id => {
            let (issuer, client_id) = (call.server.issuer().clone(), token.client_id.clone());
            // Longer than the token: absent means alive, and a process whose clock is behind must not
            // find it absent before the token has expired for it too.
            let until = token.expires_at.plus(CLOCK_DIFFERENCE);
            let tombstone = Grant::tombstone(id, issuer, client_id, until, call.now);
            call.server.token_store().insert(tombstone, None).await?;
            report(call, &client, id);
        }
        // Another client's token, or nothing that lives.
        Ok((_, Id::Client(_))) | Err(Misdeed::TokenInvalid(_)) => {}
        Err(unavailable) => return Err(unavailable),
    }
    Ok(done())
}

/// Revokes a public client's token for somebody who names no client. See
/// [`crate::Policy::anonymous_revocation`].
async fn anonymous(call: &Call<'_>, parameters: &Parameters) -> Result<Response, Misdeed> {
    limit(call, "")?;
    let token = parameters.get("token").ok_or(Misdeed::Missing("token"))?;
    let id = match open(call, Kind::Refresh, token).await? {
        Some(credential) => Some(GrantId::of_handle(call.server.issuer(), &credential.handle)),
        None => match access_token::open(call.server, token, call.now).await {
            Ok((_, Id::Grant(id))) => Some(id),
            Ok((_, Id::Client(_))) | Err(Misdeed::TokenInvalid(_)) => None,
            Err(unavailable) => return Err(unavailable),
        },
    };
    let Some(id) = id else { return Ok(done()) };
    let Some(grant) = call.server.token_store().find(id).await? else { return Ok(done()) };
    let clients = call.server.client_store();
    let owner = clients.find(call.server.issuer(), &grant.client_id).await?;
    if let Some(owner) = owner.filter(|owner| owner.is_public()) {
        let step = Step::Revoke { client: Some(owner.client_id.clone()) };
        if call.server.token_store().apply(id, step, call.now).await? == Outcome::Revoked {
            let client_id = &owner.client_id;
            call.server.emit(&Event::TokenRevoked { grant: id, client_id });
        }
    }
    Ok(done())
}

fn done() -> Response {
    Response::json(200, &json!({}))
}

async fn revoke(
    call: &Call<'_>,
    client: &AuthenticatedClient,
    id: GrantId,
    step: Step,
) -> Result<(), Misdeed> {
    let outcome = call.server.token_store().apply(id, step, call.now).await?;
    if outcome == Outcome::Revoked {
        report(call, client, id);
    }
    Ok(())
}

fn report(call: &Call<'_>, client: &AuthenticatedClient, grant: GrantId) {
    call.server.emit(&Event::TokenRevoked { grant, client_id: &client.client_id });
}
