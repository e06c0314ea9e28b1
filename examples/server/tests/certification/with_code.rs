//! What holds where there is a code.

use serde_json::{Value, json};

use crate::application::{Application, Profile, assert_error, is_alive, token_response};
use crate::browser::Browser;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) fn a_code_is_of_no_use_twice_and_what_it_led_to_ends(profile: &Profile) {
    let application = Application::new(profile);
    let response = application.ask(&mut Browser::default(), &[]);
    let code = response.get("code");
    let tokens = token_response(&application.redeem(code, &[]));
    let access_token = tokens["access_token"].as_str().unwrap();
    assert!(is_alive(access_token));
    assert_error(&application.redeem(code, &[]), "invalid_grant");
    assert!(!is_alive(access_token));
    let from_the_front = response.parameters.get("access_token");
    assert!(from_the_front.is_none_or(|token| !is_alive(token)));
}

pub(crate) fn a_refresh_keeps_who_and_when_and_is_for_its_own_application(profile: &Profile) {
    let (application, other) = (Application::new(profile), Application::new(profile));
    let wish = [("scope", "openid offline_access"), ("prompt", "consent")];
    let signed_in = application.sign_in(&mut Browser::default(), &wish);
    let refresh_token = signed_in.tokens["refresh_token"].as_str().expect("a refresh token");
    assert!(refresh_token.len() >= 43);
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
        ("scope", "openid offline_access"),
    ];
    assert_error(&other.call("token_endpoint", &refresh), "invalid_grant");
    let answer = application.call("token_endpoint", &refresh);
    assert_eq!(answer.header("pragma").unwrap_or("no-cache"), "no-cache");
    let refreshed = token_response(&answer);
    let again = application.id_token(refreshed["id_token"].as_str().unwrap(), None);
    for claim in ["iss", "sub", "aud", "auth_time", "azp"] {
        assert_eq!(again[claim], signed_in.id_token[claim], "{claim}");
    }
    assert!(again["iat"].as_i64() >= signed_in.id_token["iat"].as_i64());
    assert!(is_alive(refreshed["access_token"].as_str().unwrap()));
}

pub(crate) fn proof_keys_are_understood(profile: &Profile) {
    let application = Application::new(profile);
    let challenge = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let mut browser = Browser::default();
    let response = application.ask(&mut browser, &challenge);
    let code = response.get("code");
    assert_error(&application.redeem(code, &[]), "invalid_grant");
    token_response(&application.redeem(code, &[("code_verifier", VERIFIER)]));
    let plain = [("code_challenge", CHALLENGE), ("code_challenge_method", "plain")];
    assert_eq!(application.ask(&mut browser, &plain).get("error"), "invalid_request");
}

pub(crate) fn no_nonce_is_needed(profile: &Profile) {
    let application = Application::new(profile);
    let signed_in = application.sign_in(&mut Browser::default(), &[("nonce", "")]);
    assert_eq!(signed_in.id_token.get("nonce"), None::<&Value>);
    assert_eq!(signed_in.tokens["token_type"], json!("Bearer"));
}
