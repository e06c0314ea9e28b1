//! The token endpoint (RFC 6749 section 3.2).

use serde_json::{Map, Value};

use super::Call;
use crate::client::GrantType;
use crate::client::authentication::{AuthenticatedClient, authenticate_client};
use crate::error::Misdeed;
use crate::event::Event;
use crate::grant::{CodeVerifier, Field, Grant, GrantId, Outcome, State, Step, Wish};
use crate::http::{Method, Parameters, Response};
use crate::scope::{OPENID_SCOPES, Scope};
use crate::token::access_token::{self, Order};
use crate::token::audience;
use crate::token::credential::{Credential, Kind, Unopened};
use crate::token::id_token;

pub(crate) async fn respond(call: &mut Call<'_>) -> Result<Response, Misdeed> {
    let parameters = post_parameters(call, "POST, OPTIONS")?;
    let client = authenticate_client(call, &parameters).await?;
    let grant_type = parameters.get("grant_type").ok_or(Misdeed::Missing("grant_type"))?;
    let grant_type: GrantType = grant_type.parse().map_err(|_| Misdeed::GrantTypeUnknown)?;
    if grant_type != GrantType::Implicit && !client.may(grant_type) {
        return Err(Misdeed::GrantTypeNotRegistered);
    }
    match grant_type {
        GrantType::AuthorizationCode => authorization_code(call, &client, &parameters).await,
        GrantType::RefreshToken => refresh_token(call, &client, &parameters).await,
        GrantType::ClientCredentials => client_credentials(call, &client, &parameters).await,
        // Its tokens come from the authorization endpoint.
        GrantType::Implicit => Err(Misdeed::GrantTypeUnknown),
    }
}

/// The parameters of an endpoint for clients: POST, a form, none repeated, none in the URL, where
/// proxies would log them. `methods` is what the endpoint allows: pages may call some of them, after a preflight.
pub(crate) fn post_parameters(
    call: &Call<'_>,
    methods: &'static str,
) -> Result<Parameters, Misdeed> {
    if call.request.method != Method::Post {
        return Err(Misdeed::Method(methods));
    }
    if call.request.query.as_ref().is_some_and(|query| !query.is_empty()) {
        return Err(Misdeed::ParametersInQuery);
    }
    call.request.form_parameters()?.strict()
}

async fn authorization_code(
    call: &Call<'_>,
    client: &AuthenticatedClient,
    parameters: &Parameters,
) -> Result<Response, Misdeed> {
    let code = parameters.get("code").ok_or(Misdeed::Missing("code"))?;
    // Before the code is spent: a request that can only be refused must not cost it.
    let resources = audience::asked(call.server, client, parameters)?;
    let credential = open(call, Kind::Code, code).await?.ok_or(Misdeed::CodeDead)?;
    let step = Step::Redeem {
        client: client.client_id.clone(),
        redirect_uri: parameters.get("redirect_uri").map(str::to_owned),
        verifier: parameters.get("code_verifier").map(CodeVerifier::new),
        resources: resources.clone(),
    };
    let outcome = take(call, &credential, step).await?;
    let grant = match outcome {
        Outcome::Granted(grant) => grant,
        Outcome::Reused(grant) => {
            report_reuse(call, &grant, true);
            return Err(Misdeed::CodeReused);
        }
        // Only a live code of the authenticated client is answered by name. A code of another
        // client is as good as unknown.
        Outcome::Mismatch(Field::Client) => return Err(Misdeed::CodeDead),
        Outcome::Mismatch(Field::Verifier) if parameters.get("code_verifier").is_none() => {
            return Err(Misdeed::CodeVerifierMissing);
        }
        Outcome::Mismatch(Field::Resource) => return Err(Misdeed::TargetUnavailable),
        Outcome::Mismatch(field) => return Err(Misdeed::CodeMismatch(field)),
        Outcome::Missing | Outcome::Expired | Outcome::Revoked | Outcome::Spent => {
            return Err(Misdeed::CodeDead);
        }
    };
    let wish = Wish { scope: None, resources: &resources };
    let response = tokens(call, client, &grant, &credential, wish, true).await?;
    call.server.emit(&Event::CodeRedeemed { grant: grant.id, client_id: &grant.client_id });
    Ok(response)
}

async fn refresh_token(
    call: &Call<'_>,
    client: &AuthenticatedClient,
    parameters: &Parameters,
) -> Result<Response, Misdeed> {
    let token = parameters.get("refresh_token").ok_or(Misdeed::Missing("refresh_token"))?;
    let scope = parameters.get("scope").map(Scope::parse).transpose();
    let scope = scope.map_err(|_| Misdeed::ScopeMalformed)?;
    let resources = audience::asked(call.server, client, parameters)?;
    // Before the token moves on, too.
    if scope.as_ref().is_some_and(|scope| scope.intersection(&client.scope).is_empty()) {
        return Err(Misdeed::ScopeUnavailable);
    }
    let credential = open(call, Kind::Refresh, token).await?.ok_or(Misdeed::RefreshDead)?;
    let step = Step::Refresh {
        client: client.client_id.clone(),
        from: credential.number,
        expires_at: credential.expires_at,
        scope: scope.clone(),
        resources: resources.clone(),
        rotate: call.server.policy().rotates(client),
        retry: call.server.policy().retry_window,
    };
    let outcome = take(call, &credential, step).await?;
    let grant = match outcome {
        Outcome::Granted(grant) => grant,
        Outcome::Reused(grant) => {
            report_reuse(call, &grant, false);
            return Err(Misdeed::RefreshReused);
        }
        Outcome::Mismatch(Field::Scope) => return Err(Misdeed::ScopeUnavailable),
        Outcome::Mismatch(Field::Resource) => return Err(Misdeed::TargetUnavailable),
        Outcome::Missing
        | Outcome::Expired
        | Outcome::Revoked
        | Outcome::Spent
        | Outcome::Mismatch(_) => return Err(Misdeed::RefreshDead),
    };
    // Tokens count whole seconds: what is made in the last one has ended when it comes.
    if grant.expires_at.secs() <= call.now.secs() {
        return Err(Misdeed::RefreshDead);
    }
    let wish = Wish { scope: scope.as_ref(), resources: &resources };
    let response = tokens(call, client, &grant, &credential, wish, false).await?;
    let repeated = call.server.policy().rotates(client)
        && matches!(grant.state, State::Active { advanced_at, .. } if advanced_at < call.now);
    let (id, client_id) = (grant.id, &grant.client_id);
    call.server.emit(&Event::Refreshed { grant: id, client_id, repeated });
    Ok(response)
}

async fn client_credentials(
    call: &Call<'_>,
    client: &AuthenticatedClient,
    parameters: &Parameters,
) -> Result<Response, Misdeed> {
    // A public client proves nothing, so nothing can be its own (RFC 6749 section 4.4).
    if client.is_public() {
        return Err(Misdeed::GrantTypeNotRegistered);
    }
    // No person is there whose identity the OpenID scopes would speak of.
    let available = client.scope.filter(|token| !OPENID_SCOPES.contains(&token));
    let scope = match parameters.get("scope") {
        None => available,
        Some(text) => {
            let asked = Scope::parse(text).map_err(|_| Misdeed::ScopeMalformed)?;
            if !asked.is_within(&available) {
                return Err(Misdeed::ScopeUnavailable);
            }
            asked
        }
    };
    if scope.is_empty() {
        return Err(Misdeed::ScopeUnavailable);
    }
    let resources = audience::asked(call.server, client, parameters)?;
    let resources = resources.as_slice();
    let order = Order { client, grant: None, scope: &scope, resources, extra: Map::new() };
    let minted = access_token::mint(call.server, order, call.now).await?;
    call.server.emit(&Event::ClientCredentialsIssued { client_id: &client.client_id });
    Ok(Response::json(200, &Value::Object(body(&minted, &scope))))
}

/// Opens a credential; `None` for garbage, which costs no I/O.
pub(crate) async fn open(
    call: &Call<'_>,
    kind: Kind,
    text: &str,
) -> Result<Option<Credential>, Misdeed> {
    let issuer = call.server.issuer();
    match Credential::open(kind, text, &call.server.ring(), issuer) {
        Ok(credential) => Ok(Some(credential)),
        Err(Unopened::Garbage) => Ok(None),
        Err(Unopened::UnknownKey) => {
            let ring = call.server.keys().reload_for_unknown(call.now).await?;
            Ok(Credential::open(kind, text, &ring, issuer).ok())
        }
    }
}

pub(crate) async fn take(
    call: &Call<'_>,
    credential: &Credential,
    step: Step,
) -> Result<Outcome, Misdeed> {
    let id = GrantId::of_handle(call.server.issuer(), &credential.handle);
    Ok(call.server.token_store().apply(id, step, call.now).await?)
}

/// The token response for a grant that has just been advanced, or asked for again.
///
/// The step is durable by now. Should anything here fail, the answer is 503 and the code stays
/// spent; a client that repeats a refresh gets the same successor.
async fn tokens(
    call: &Call<'_>,
    client: &AuthenticatedClient,
    grant: &Grant,
    credential: &Credential,
    wish: Wish<'_>,
    first: bool,
) -> Result<Response, Misdeed> {
    let server = call.server;
    let allowed = server.still_allowed(
        Some(client.shared()),
        Some((&grant.subject, grant.approved_at)),
        grant.approved_at,
    );
    let client = allowed.await?.map_err(Misdeed::NoLongerAllowed)?;
    // A scope that the client has lost since is not in new tokens.
    let scope = wish.scope.unwrap_or(&grant.scope).intersection(&client.scope);
    let left = grant.scope.intersection(&client.scope);
    let still_refreshes = server.policy().still_refreshes(&grant.scope, &left);
    let lost = if scope.is_empty() {
        Err(Misdeed::ScopeUnavailable)
    } else if !first && !still_refreshes {
        Err(Misdeed::GrantTypeNotRegistered)
    } else {
        audience::of_token(server, &client, &grant.resources, wish.resources).map(drop)
    };
    if let Err(misdeed) = lost {
        // The grant has moved on, and nobody gets what it moved to. Whoever comes again with what they have would
        // look like a thief; so it ends here, by its name.
        take(call, credential, Step::Revoke { client: None }).await?;
        server.emit(&Event::TokenRevoked { grant: grant.id, client_id: &grant.client_id });
        return Err(misdeed);
    }
    let extra = server.subjects().token_claims(&grant.subject).await?;
    let resources = wish.resources;
    let order = Order { client: &client, grant: Some(grant), scope: &scope, resources, extra };
    let minted = access_token::mint(server, order, call.now).await?;
    let mut body = body(&minted, &scope);
    if let (State::Active { generation, advanced_at }, Some(idle)) =
        (grant.state, grant.refresh_idle.filter(|_| still_refreshes))
    {
        // Rotated: a function of the record, so that everyone derives the same bytes. Without
        // rotation the same generation is minted again, with a new expiry.
        let (made_at, expires_at) = match server.policy().rotates(&client) {
            true => (advanced_at, grant.refresh_expires_at()),
            false => (call.now, call.now.plus(idle).min(grant.expires_at)),
        };
        let handle = credential.handle;
        let successor = Credential { kind: Kind::Refresh, handle, number: generation, expires_at };
        let token = successor.seal(&server.ring(), server.issuer(), made_at)?;
        body.insert("refresh_token".into(), token.expose().into());
    }
    if scope.contains("openid") {
        let order = id_token::Order {
            grant,
            client: &client,
            scope: &scope,
            code: None,
            access_token: Some(&minted.token),
            first,
        };
        let id_token = id_token::mint(server, order, call.now).await?;
        body.insert("id_token".into(), id_token.expose().into());
    }
    Ok(Response::json(200, &Value::Object(body)))
}

fn body(minted: &access_token::Minted, scope: &Scope) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("access_token".into(), minted.token.expose().into());
    body.insert("token_type".into(), "Bearer".into());
    body.insert("expires_in".into(), minted.expires_in.into());
    body.insert("scope".into(), scope.to_string().into());
    body
}

fn report_reuse(call: &Call<'_>, grant: &Grant, code: bool) {
    call.server.emit(&Event::ReuseDetected {
        grant: grant.id,
        client_id: &grant.client_id,
        subject: &grant.subject,
        code,
    });
}
