//! Request objects: an authorization request in a JWT that the client has signed, by value or by reference
//! (OpenID Connect Core section 6, RFC 9101).

use std::time::Duration;

use serde_json::{Map, Value};

use super::authorize::{PARAMETERS, Refusal, redirect};
use crate::client::Client;
use crate::env::Time;
use crate::error::Misdeed;
use crate::http::Parameters;
use crate::server::AuthorizationServer;
use crate::token::jwt::{self, Jws};

/// The largest object that is fetched.
const MAX_FETCHED: usize = 16 * 1024;
/// For how long one that was fetched is taken from memory: a client may change what is there.
const FRESH: Duration = Duration::from_secs(60);
/// How far the client's clock may be ahead of ours.
const SKEW: Duration = Duration::from_secs(60);
/// How many resources one may name.
const MAX_RESOURCES: usize = 32;

/// An error code, and what to say about it.
type Wrong = (&'static str, &'static str);

/// The parameters of a request, those of its object among them, which count more.
///
/// A client whose requests must be signed gets nothing from outside its object (RFC 9101 section 6.3).
pub(crate) async fn resolve(
    server: &AuthorizationServer,
    outer: Parameters,
    client: &Client,
    now: Time,
) -> Result<Parameters, Refusal> {
    let wrong: Wrong = match read(server, &outer, client, now).await {
        Ok(None) if client.require_signed_request_object => {
            ("invalid_request", "the requests of this client must be signed request objects")
        }
        Ok(None) => return Ok(outer),
        Ok(Some(object)) => match inner(&object, &outer, client) {
            Ok(parameters) => return Ok(parameters),
            Err(wrong) => wrong,
        },
        Err(Unread::Wrong(wrong)) => wrong,
        Err(Unread::Machine(misdeed)) => return Err(Refusal::Machine(misdeed)),
    };
    // Only where the outer request is registered to go: nothing of the object is believed.
    let (code, description) = wrong;
    Err(Refusal::Redirected { redirect: redirect(&outer, client)?, code, description })
}

enum Unread {
    Wrong(Wrong),
    Machine(Misdeed),
}

/// The claims of the request's object, if it has one.
async fn read(
    server: &AuthorizationServer,
    outer: &Parameters,
    client: &Client,
    now: Time,
) -> Result<Option<Map<String, Value>>, Unread> {
    let wrong = |code, description| Err(Unread::Wrong((code, description)));
    let named = ["request", "request_uri"];
    let has_object = named.iter().any(|name| outer.get(name).is_some() || outer.is_repeated(name));
    // Twice the same outside must not become none inside.
    if has_object && outer.any_repeated() {
        return wrong("invalid_request", "a parameter is repeated");
    }
    let fetched;
    let object = match (outer.get("request"), outer.get("request_uri")) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return wrong("invalid_request", "either request or request_uri, not both");
        }
        (Some(object), None) => object,
        (None, Some(_)) if !server.fetches() => {
            return wrong("request_uri_not_supported", "request_uri is not supported");
        }
        (None, Some(uri)) => {
            // Anything else would let a stranger choose what this server calls.
            if !client.request_uris.iter().any(|registered| registered == uri) {
                return wrong("invalid_request_uri", "the request_uri is not registered");
            }
            let (url, _) = uri.split_once('#').unwrap_or((uri, ""));
            let Ok(document) = server.fetch(url, FRESH, MAX_FETCHED).await else {
                return wrong("invalid_request_uri", "the request_uri could not be fetched");
            };
            fetched = String::from_utf8_lossy(&document.body).into_owned();
            fetched.trim()
        }
    };
    let Ok(jws) = Jws::parse(object) else {
        return wrong("invalid_request_object", "the request object is not a signed JWT");
    };
    if !matches!(jws.typ(), None | Some("JWT" | "oauth-authz-req+jwt")) {
        return wrong("invalid_request_object", "the request object is of another type");
    }
    let registered = client.request_object_signing_alg;
    if registered.is_some() && jws.algorithm() != registered {
        return wrong("invalid_request_object", "its algorithm is not the registered one");
    }
    let verified = server.verify_by_client(client, &jws).await.map_err(Unread::Machine)?;
    let Ok(claims) = verified else {
        return wrong("invalid_request_object", "the request object is not signed by the client");
    };
    match judge(&claims, server, client, now) {
        Ok(()) => Ok(Some(claims)),
        Err(description) => wrong("invalid_request_object", description),
    }
}

/// Whether the object is this client's, for this server, now.
fn judge(
    claims: &Map<String, Value>,
    server: &AuthorizationServer,
    client: &Client,
    now: Time,
) -> Result<(), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    for name in ["iss", "client_id"] {
        if claims.contains_key(name) && text(name) != Some(&client.client_id) {
            return Err("the request object is of another client");
        }
    }
    // An assertion by which the client authenticates is no request (RFC 9101 section 10.8).
    if text("sub") == Some(&client.client_id) {
        return Err("the request object has the client as its subject");
    }
    let issuer = server.issuer().as_str();
    let is_for_us = match claims.get("aud") {
        None => true,
        Some(Value::Array(all)) => all.iter().any(|one| one == issuer),
        Some(one) => one == issuer,
    };
    if !is_for_us {
        return Err("the request object is for another server");
    }
    if jwt::time(claims, "exp")?.is_some_and(|end| end <= now) {
        return Err("the request object has expired");
    }
    if jwt::time(claims, "nbf")?.is_some_and(|begin| begin > now.plus(SKEW)) {
        return Err("the request object is not valid yet");
    }
    Ok(())
}

/// The parameters of an object, and those from outside that it leaves open.
fn inner(
    object: &Map<String, Value>,
    outer: &Parameters,
    client: &Client,
) -> Result<Parameters, Wrong> {
    let wrong = |description| Err(("invalid_request_object", description));
    if object.contains_key("request") || object.contains_key("request_uri") {
        return wrong("a request object has no other inside");
    }
    let mut pairs = vec![("client_id".to_owned(), client.client_id.clone())];
    for name in PARAMETERS.into_iter().filter(|name| *name != "client_id") {
        let value = match object.get(name) {
            // The one parameter of which there may be many, in the object or outside.
            Some(Value::Array(all)) if name == "resource" => {
                let texts: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
                let Some(texts) = texts else {
                    return wrong("a parameter of the request object is of another type");
                };
                // None would be taken for all, and no request has so many.
                if texts.is_empty() || texts.len() > MAX_RESOURCES {
                    return wrong("resource in the request object names none, or too many");
                }
                pairs.extend(texts.into_iter().map(|text| (name.to_owned(), text.to_owned())));
                continue;
            }
            None if name == "resource" && !client.require_signed_request_object => {
                let outside = outer.get_all(name).map(|text| (name.to_owned(), text.to_owned()));
                pairs.extend(outside);
                continue;
            }
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            // The claims parameter is JSON inside JSON here.
            Some(value @ Value::Object(_)) if name == "claims" => value.to_string(),
            Some(_) => return wrong("a parameter of the request object is of another type"),
            None if client.require_signed_request_object => continue,
            None => match outer.get(name) {
                Some(text) => text.to_owned(),
                None => continue,
            },
        };
        pairs.push((name.to_owned(), value));
    }
    let stated = outer.get("response_type");
    let in_object = object.get("response_type").and_then(Value::as_str);
    if stated.is_some() && in_object.is_some() && stated != in_object {
        return wrong("response_type differs between the request and its object");
    }
    Ok(Parameters::from_pairs(pairs))
}
