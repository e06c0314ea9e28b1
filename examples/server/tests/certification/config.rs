//! Discovery: everything that is promised is there, and nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::application::{Application, Profile, shared_key, userinfo};
use crate::browser::Browser;
use crate::suite::suite;

/// The names that the registry of authorization server metadata has (RFC 8414, OpenID Connect Discovery and Session
/// specifications, RFC 9101, RFC 9207), as far as they concern this server.
const KNOWN: [&str; 41] = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
    "registration_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
    "end_session_endpoint",
    "scopes_supported",
    "response_types_supported",
    "response_modes_supported",
    "grant_types_supported",
    "acr_values_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
    "userinfo_signing_alg_values_supported",
    "request_object_signing_alg_values_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "revocation_endpoint_auth_methods_supported",
    "revocation_endpoint_auth_signing_alg_values_supported",
    "introspection_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_signing_alg_values_supported",
    "display_values_supported",
    "claim_types_supported",
    "claims_supported",
    "claims_locales_supported",
    "ui_locales_supported",
    "claims_parameter_supported",
    "request_parameter_supported",
    "request_uri_parameter_supported",
    "require_request_uri_registration",
    "code_challenge_methods_supported",
    "prompt_values_supported",
    "authorization_response_iss_parameter_supported",
    "backchannel_logout_supported",
    "backchannel_logout_session_supported",
    "frontchannel_logout_supported",
    "frontchannel_logout_session_supported",
    "check_session_iframe",
];

fn values(metadata: &Value, name: &str) -> BTreeSet<String> {
    let values = metadata[name].as_array().unwrap_or_else(|| panic!("no {name}"));
    values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_metadata_is_where_it_must_be_and_says_what_it_must() {
    let metadata = suite().metadata();
    assert_eq!(metadata["issuer"], suite().issuer);
    for (name, value) in metadata.as_object().unwrap() {
        assert!(KNOWN.contains(&name.as_str()), "{name}");
        if name.ends_with("_endpoint") || name == "jwks_uri" || name == "check_session_iframe" {
            assert!(value.as_str().unwrap().starts_with("https://"), "{name}");
        }
        assert!(value.as_array().is_none_or(|all| !all.is_empty()), "{name}");
    }
    for (name, wanted) in [
        ("response_types_supported", "code"),
        ("response_types_supported", "id_token"),
        ("response_types_supported", "id_token token"),
        ("grant_types_supported", "authorization_code"),
        ("grant_types_supported", "implicit"),
        ("response_modes_supported", "form_post"),
        ("id_token_signing_alg_values_supported", "RS256"),
        ("userinfo_signing_alg_values_supported", "RS256"),
        ("request_object_signing_alg_values_supported", "RS256"),
        ("scopes_supported", "openid"),
        ("subject_types_supported", "public"),
        ("subject_types_supported", "pairwise"),
        ("claims_supported", "sub"),
        ("code_challenge_methods_supported", "S256"),
    ] {
        assert!(values(&metadata, name).contains(wanted), "{name}: {wanted}");
    }
    assert_eq!(metadata["request_uri_parameter_supported"], true);
    let oauth = suite().get("/.well-known/oauth-authorization-server").json();
    assert_eq!(oauth, metadata);
}

#[test]
fn every_value_that_is_promised_can_be_used() {
    let metadata = suite().metadata();
    let all = |name: &str| values(&metadata, name);
    let sign_in = |profile: &Profile, more: &Value, changes: &[(&str, &str)]| {
        Application::with(profile, more).sign_in(&mut Browser::default(), changes)
    };
    // The test knows how to use each of these; a new one would have to be added here.
    for response_type in all("response_types_supported") {
        let response_type: &'static str = response_type.leak();
        sign_in(&Profile::of(response_type), &json!({}), &[]);
    }
    for mode in all("response_modes_supported") {
        match mode.as_str() {
            // Where a code goes without being asked.
            "query" => sign_in(&Profile::BASIC, &json!({}), &[]),
            "form_post" => sign_in(&Profile::FORM_POST, &json!({}), &[]),
            "fragment" => sign_in(&Profile::of("code token"), &json!({}), &[]),
            other => panic!("{other}"),
        };
    }
    for method in all("token_endpoint_auth_methods_supported") {
        let pkce = [
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ];
        let application = Application::new(&Profile::by(method.leak()));
        let response = application.ask(&mut Browser::default(), &pkce);
        let verifier = [("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")];
        let answer = application.redeem(response.get("code"), &verifier);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for algorithm in all("id_token_signing_alg_values_supported") {
        let wish = json!({"id_token_signed_response_alg": algorithm});
        let application = Application::with(&Profile::BASIC, &wish);
        let response = application.ask(&mut Browser::default(), &[]);
        let tokens = application.redeem(response.get("code"), &[]).json();
        application.verified(tokens["id_token"].as_str().unwrap());
    }
    for algorithm in all("userinfo_signing_alg_values_supported") {
        let wish = json!({"userinfo_signed_response_alg": algorithm});
        let application = Application::with(&Profile::BASIC, &wish);
        let token = application.sign_in(&mut Browser::default(), &[]).access_token.unwrap();
        let url = crate::application::endpoint("userinfo_endpoint");
        let bearer = format!("Bearer {token}");
        let answer = suite().send("GET", &url, &[("authorization", &bearer)], "");
        let header = jsonwebtoken::decode_header(&answer.text).unwrap();
        assert_eq!(format!("{:?}", header.alg), algorithm);
    }
    for subject_type in all("subject_types_supported") {
        let signed_in = sign_in(&Profile::BASIC, &json!({"subject_type": subject_type}), &[]);
        assert!(signed_in.id_token["sub"].is_string());
    }
    for prompt in all("prompt_values_supported") {
        let application = Application::new(&Profile::BASIC);
        let mut browser = Browser::default();
        application.sign_in(&mut browser, &[]);
        application.sign_in(&mut browser, &[("prompt", &prompt)]);
    }
    for acr in all("acr_values_supported") {
        let id_token = sign_in(&Profile::BASIC, &json!({}), &[("acr_values", &acr)]).id_token;
        assert_eq!(id_token["acr"], acr);
    }
    let scopes: Vec<String> = all("scopes_supported").into_iter().collect();
    let scope = scopes.join(" ");
    let application = Application::with(&Profile::BASIC, &json!({"scope": scope}));
    let everything = application.sign_in(&mut Browser::default(), &[("scope", &scope)]);
    let granted = everything.tokens["scope"].as_str().unwrap();
    assert!(scopes.iter().all(|scope| granted.split(' ').any(|one| one == scope)), "{granted}");
    let info = userinfo(everything.access_token.as_deref().unwrap());
    for claim in all("claims_supported") {
        assert!(info.get(&claim).is_some(), "{claim}");
    }
    for grant_type in all("grant_types_supported") {
        match grant_type.as_str() {
            "authorization_code" | "refresh_token" | "implicit" => {}
            // An operator's to give, not an application's to take.
            "client_credentials" => suite().client_credentials(),
            other => panic!("{other}"),
        }
    }
    for algorithm in all("request_object_signing_alg_values_supported") {
        match algorithm.as_str() {
            "RS256" => {
                let application = Application::new(&Profile::BASIC);
                let mut object = json!({"iss": application.id(), "aud": suite().issuer});
                object["state"] = json!("from the object");
                let signed = shared_key().sign(&object);
                let changes = [("request", &*signed), ("state", "")];
                let url = application.url(&application.parameters(&changes));
                let crate::browser::End::Redirected(url) = Browser::default().open(&url) else {
                    panic!()
                };
                assert!(url.as_str().contains("state=from+the+object"), "{url}");
            }
            // What the same code does with other keys, the engine's own tests use.
            "PS256" | "ES256" | "EdDSA" | "Ed25519" => {}
            other => panic!("{other}"),
        }
    }
    let supported = ["claims_parameter_supported", "request_parameter_supported"];
    assert!(supported.iter().all(|name| metadata[name] == json!(true)));
}

#[test]
fn the_operator_is_told_loudly_what_this_configuration_opens() {
    let _ = suite().metadata();
    let log = suite().log();
    for warning in
        ["registration.mode is open", "implicit is on", "require_pkce is off", "outgoing.allow"]
    {
        assert!(log.contains(warning), "{warning}: {log}");
    }
}
