//! The end session endpoint (OpenID Connect RP-Initiated Logout 1.0 section 2).
//!
//! It validates, seals what is left into a ticket and sends the browser to the host's page, which
//! knows the session and asks the person. It ends nothing itself: a link on any page leads here.

use serde_json::Value;

use super::Call;
use super::authorize::{Refusal, parameters};
use crate::client::Client;
use crate::error::Misdeed;
use crate::http::{Parameters, Response};
use crate::interaction::ticket::{Purpose, Ticket};
use crate::token::{id_token, jwt};

pub(crate) async fn answer(mut call: Call<'_>) -> Response {
    let Some(logout_page) = call.server.logout_page() else { return Misdeed::NotFound.response() };
    let result = respond(&mut call, logout_page).await;
    call.conclude_for_a_person(result)
}

async fn respond(call: &mut Call<'_>, logout_page: &str) -> Result<Response, Refusal> {
    let parameters = parameters(call.request)?;
    if parameters.any_repeated() {
        return Err(Refusal::page("invalid_request", "The request repeats a parameter."));
    }
    let hint = hint(call, &parameters)?;
    call.client = client(call, &parameters, hint.as_ref()).await?;
    let redirect = parameters.get("post_logout_redirect_uri");
    if let Some(uri) = redirect {
        let registered = |client: &Client| client.validated_post_logout_redirect(uri).is_some();
        // Without a proven client a redirect would be an open one.
        if !call.client.as_deref().is_some_and(registered) {
            return Err(Refusal::page(
                "invalid_request",
                "The post_logout_redirect_uri is not registered for this application.",
            ));
        }
    }
    let state = parameters.get("state").filter(|_| redirect.is_some());
    let client_id = call.client.as_ref().map(|client| client.client_id.as_str());
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("client_id", client_id),
        ("post_logout_redirect_uri", redirect),
        ("state", state),
        ("sub", hint.as_ref().map(|hint| hint.subject.as_str())),
        ("sid", hint.as_ref().and_then(|hint| hint.sid.as_deref())),
    ] {
        if let Some(value) = value {
            encoded.append_pair(name, value);
        }
    }
    let ticket = Ticket::seal(call.server, Purpose::Logout, &encoded.finish(), call.now);
    let ticket = ticket
        .map_err(Refusal::Machine)?
        .map_err(|_| Refusal::page("invalid_request", "The request is too large."))?;
    let (origin, path) = (call.server.issuer().origin(), logout_page);
    Ok(Response::see_other(&format!("{origin}{path}?ticket={ticket}")))
}

/// Whom an `id_token_hint` names.
struct Hint {
    subject: String,
    sid: Option<String>,
    client_id: String,
}

/// Reads the hint: an ID token of ours, which may have expired (section 2).
fn hint(call: &Call<'_>, parameters: &Parameters) -> Result<Option<Hint>, Refusal> {
    let Some(token) = parameters.get("id_token_hint") else { return Ok(None) };
    let invalid = Refusal::page("invalid_request", "The id_token_hint is invalid.");
    let keys = call.server.keys().verifying();
    let claims = jwt::authentic(token, id_token::TYP, &keys, call.server.issuer());
    let Ok(claims) = claims else { return Err(invalid) };
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    match (text("sub"), text("aud")) {
        (Some(subject), Some(client_id)) => Ok(Some(Hint { subject, sid: text("sid"), client_id })),
        _ => Err(invalid),
    }
}

/// The client that asks: the audience of the hint, or the `client_id`; when both are there they must
/// agree.
async fn client(
    call: &Call<'_>,
    parameters: &Parameters,
    hint: Option<&Hint>,
) -> Result<Option<std::sync::Arc<Client>>, Refusal> {
    let named = parameters.get("client_id");
    let client_id = match (named, hint.map(|hint| hint.client_id.as_str())) {
        (Some(named), Some(hinted)) if named != hinted => {
            return Err(Refusal::page("invalid_request", "The id_token_hint is invalid."));
        }
        (named, hinted) => named.or(hinted),
    };
    let Some(client_id) = client_id else { return Ok(None) };
    let found = call.server.client_store().find(call.server.issuer(), client_id).await;
    let found = found.map_err(|error| Refusal::Machine(error.into()))?;
    Ok(found.filter(|client| client.active))
}
