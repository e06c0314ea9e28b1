//! The UserInfo endpoint (OpenID Connect Core section 5.3).

use serde_json::Value;

use super::Call;
use crate::error::Misdeed;
use crate::http::{Method, Parameters, Request, Response};
use crate::token::access_token::{self, Live};
use crate::token::claims;

/// The type of a signed answer.
const TYP: &str = "userinfo+jwt";

pub(crate) async fn respond(call: &mut Call<'_>) -> Result<Response, Misdeed> {
    let token = match call.request.method {
        Method::Get | Method::Head | Method::Post => presented(call.request)?,
        _ => return Err(Misdeed::Method("GET, HEAD, POST, OPTIONS")),
    };
    let Live { token, claims, client } = access_token::live(call.server, &token, call.now).await?;
    call.client = Some(client.clone());
    let server = call.server;
    if !token.audience.iter().any(|one| one == server.issuer().as_str()) {
        return Err(Misdeed::TokenInvalid("it is meant for another audience"));
    }
    let subject = match &token.subject {
        Some(subject) if token.scope.contains("openid") => subject,
        _ => return Err(Misdeed::TokenScope("openid".to_owned())),
    };
    let all = server.subjects().claims(subject).await?;
    let mut body = claims::released(all, &token.scope, &claims.within(&client.scope).userinfo);
    body.insert("sub".into(), server.subject_for(&client, subject).into());
    let Some(algorithm) = client.userinfo_signed_response_alg else {
        return Ok(Response::json(200, &Value::Object(body)));
    };
    // Signed, it says who said it and to whom (section 5.3.2). The type keeps it apart from an ID token.
    body.insert("iss".into(), server.issuer().as_str().into());
    body.insert("aud".into(), client.client_id.as_str().into());
    body.insert("iat".into(), call.now.secs().into());
    let jwt = server.keys().sign(algorithm, TYP, &body, call.now).await?;
    Ok(Response::jwt(&jwt))
}

/// The access token of a request: in the header, or in a form body (RFC 6750 section 2.2), never in
/// both, and never in the URL, where proxies and histories keep it.
fn presented(request: &Request) -> Result<String, Misdeed> {
    const NAME: &str = "access_token";
    let is_there =
        |parameters: &Parameters| parameters.get(NAME).is_some() || parameters.is_repeated(NAME);
    let in_query = request.query_parameters().is_ok_and(|query| is_there(&query));
    let in_body = match request.method {
        Method::Post if !request.body.is_empty() => match request.form_parameters() {
            Ok(form) if form.is_repeated(NAME) => return Err(Misdeed::TokenTransport),
            Ok(form) => form.get(NAME).map(str::to_owned),
            // Bodies of other types carry no token; the header counts then.
            Err(Misdeed::NotAForm | Misdeed::BodyEncoded) => None,
            Err(_) => return Err(Misdeed::TokenTransport),
        },
        _ => None,
    };
    match (bearer(request)?, in_body) {
        _ if in_query => Err(Misdeed::TokenTransport),
        (Some(_), Some(_)) => Err(Misdeed::TokenTransport),
        (Some(token), None) | (None, Some(token)) => Ok(token),
        (None, None) => Err(Misdeed::TokenMissing),
    }
}

/// The token of the one `Authorization: Bearer` header.
pub(crate) fn bearer(request: &Request) -> Result<Option<String>, Misdeed> {
    let mut headers = request.all("authorization");
    match (headers.next(), headers.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Misdeed::TokenTransport),
        (Some(value), None) => {
            let text = std::str::from_utf8(value).map_err(|_| Misdeed::TokenMissing)?;
            match text.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                    Ok(Some(token.trim().to_owned()))
                }
                _ => Err(Misdeed::TokenMissing),
            }
        }
    }
}
