//! The server's metadata (OpenID Connect Discovery section 3, RFC 8414 section 2), the same at both
//! well-known paths. Every URL is built from the configured issuer, never from the request.

use serde_json::{Value, json};

use super::Call;
use super::document::Document;
use super::response_mode::ResponseMode;
use crate::client::{AuthMethod, GrantType, ResponseType};
use crate::http::Response;
use crate::keys::Algorithm;
use crate::server::{AuthorizationServer, path};
use crate::token::claims;
use crate::token::jwt::SHARED;

pub(crate) fn answer(call: &Call<'_>) -> Response {
    let refuse = |misdeed| call.conclude(Err(misdeed));
    // Nothing of it changes while the server runs.
    let document = call.server.metadata().get_or_init(|| Document::new(&metadata(call.server)));
    document.answer(call.request, refuse)
}

fn metadata(server: &AuthorizationServer) -> Value {
    let issuer = server.issuer().as_str();
    let at = |path: &str| format!("{issuer}{path}");
    let all_methods = AuthMethod::ALL.map(AuthMethod::as_str);
    let proving = all_methods.iter().filter(|method| **method != AuthMethod::None.as_str());
    let proving: Vec<_> = proving.collect();
    // Clients sign with these. The last is the newer name of EdDSA with that curve (RFC 9864).
    let objects = [&Algorithm::ALL.map(Algorithm::as_str)[..], &["Ed25519"]].concat();
    let assertions = [&objects[..], &[SHARED]].concat();
    let implicit = server.policy().implicit;
    let grant_types =
        GrantType::ALL.into_iter().filter(|one| implicit || *one != GrantType::Implicit);
    let response_types = ResponseType::ALL.into_iter().filter(|one| implicit || !one.is_implicit());
    let algorithms: Vec<_> = server.policy().algorithms.iter().map(|a| a.as_str()).collect();
    let mut metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": at(path::AUTHORIZE),
        "token_endpoint": at(path::TOKEN),
        "userinfo_endpoint": at(path::USERINFO),
        "jwks_uri": at(path::JWKS),
        "revocation_endpoint": at(path::REVOKE),
        "introspection_endpoint": at(path::INTROSPECT),
        "scopes_supported": server.policy().scopes.iter().collect::<Vec<_>>(),
        "response_types_supported": response_types.map(ResponseType::as_str).collect::<Vec<_>>(),
        "response_modes_supported": ResponseMode::ALL.map(ResponseMode::as_str),
        "grant_types_supported": grant_types.map(GrantType::as_str).collect::<Vec<_>>(),
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": algorithms,
        "token_endpoint_auth_methods_supported": all_methods,
        "revocation_endpoint_auth_methods_supported": all_methods,
        "introspection_endpoint_auth_methods_supported": proving,
        "token_endpoint_auth_signing_alg_values_supported": assertions,
        "revocation_endpoint_auth_signing_alg_values_supported": assertions,
        "introspection_endpoint_auth_signing_alg_values_supported": assertions,
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_supported": claims::supported().collect::<Vec<_>>(),
        "authorization_response_iss_parameter_supported": true,
        "claims_parameter_supported": true,
        "userinfo_signing_alg_values_supported": algorithms,
        "request_parameter_supported": true,
        "request_uri_parameter_supported": server.fetches(),
        "require_request_uri_registration": true,
        "request_object_signing_alg_values_supported": objects,
    });
    let acr_values = &server.policy().acr_values;
    if let (false, Some(members)) = (acr_values.is_empty(), metadata.as_object_mut()) {
        members.insert("acr_values_supported".to_owned(), acr_values.clone().into());
    }
    let optional = [
        ("end_session_endpoint", path::END_SESSION, server.logout_page().is_some()),
        ("check_session_iframe", path::CHECK_SESSION, server.policy().session_management),
        ("registration_endpoint", path::REGISTER, server.registration().is_some()),
    ];
    let told = server.tells_of_logout();
    let in_frames = server.logout_page().is_some();
    let logout = [
        ("backchannel_logout_supported", told),
        ("backchannel_logout_session_supported", told),
        ("frontchannel_logout_supported", in_frames),
        ("frontchannel_logout_session_supported", in_frames),
    ];
    for (name, is_there) in logout {
        if let (true, Some(members)) = (is_there, metadata.as_object_mut()) {
            members.insert(name.to_owned(), true.into());
        }
    }
    for (name, path, is_there) in optional {
        if let (true, Some(members)) = (is_there, metadata.as_object_mut()) {
            members.insert(name.to_owned(), at(path).into());
        }
    }
    metadata
}
