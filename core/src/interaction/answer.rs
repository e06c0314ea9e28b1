//! The answer to an authorization request that was granted: a code, and where the policy lets it, tokens.

use crate::client::Client;
use crate::endpoint::authorize::AuthorizationRequest;
use crate::error::Misdeed;
use crate::grant::Grant;
use crate::http::Response;
use crate::server::AuthorizationServer;
use crate::token::access_token;
use crate::token::credential::{Credential, Kind};
use crate::token::id_token;

/// The answer that the request's `response_type` asks for (OAuth 2.0 Multiple Response Type Encoding Practices,
/// OpenID Connect Core sections 3.1.2.5, 3.2.2.5 and 3.3.2.5).
///
/// Everything in it belongs to one grant, so that a code that comes back a second time ends the tokens that came
/// with it too.
pub(super) async fn answer(
    server: &AuthorizationServer,
    client: &Client,
    request: &AuthorizationRequest,
    grant: &Grant,
    handle: [u8; 16],
) -> Result<Response, Misdeed> {
    let now = server.now();
    let wanted = request.response_type;
    // The grant may have been made a moment ago, by the first of two tabs: what was taken from the client since is not
    // in new tokens.
    let scope = grant.scope.intersection(&client.scope).intersection(&request.scope);
    if wanted.is_implicit() {
        let subject = Some((grant.subject.as_str(), grant.approved_at));
        let client = server.client_store().find(server.issuer(), &client.client_id).await?;
        let allowed = server.still_allowed(client, subject, grant.approved_at).await?;
        if allowed.is_err() || !request.is_answered_by(&scope) {
            let why = "what was granted is not allowed any more";
            return Ok(request.redirect.error(server, "access_denied", why));
        }
    }
    let mut parameters: Vec<(&str, String)> = Vec::new();
    let mut code = None;
    if wanted.has_code() {
        let expires_at = grant.code_expires_at;
        let credential = Credential { kind: Kind::Code, handle, number: 0, expires_at };
        let sealed = credential.seal(&server.ring(), server.issuer(), grant.approved_at)?;
        parameters.push(("code", sealed.expose().to_owned()));
        code = Some(sealed);
    }
    let mut access_token = None;
    if wanted.has_token() {
        let extra = server.subjects().token_claims(&grant.subject).await?;
        let order = access_token::Order {
            client,
            grant: Some(grant),
            scope: &scope,
            resources: &[],
            extra,
        };
        let minted = access_token::mint(server, order, now).await?;
        parameters.push(("access_token", minted.token.expose().to_owned()));
        parameters.push(("token_type", "Bearer".to_owned()));
        parameters.push(("expires_in", minted.expires_in.to_string()));
        parameters.push(("scope", scope.to_string()));
        access_token = Some(minted.token);
    }
    if wanted.has_id_token() {
        let order = id_token::Order {
            grant,
            client,
            scope: &scope,
            code: code.as_ref(),
            access_token: access_token.as_ref(),
            first: true,
        };
        let token = id_token::mint(server, order, now).await?;
        parameters.push(("id_token", token.expose().to_owned()));
    }
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Ok(request.redirect.respond(server, &parameters))
}
