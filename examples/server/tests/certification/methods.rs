//! The ways in which applications prove who they are, in which tokens are presented, and the nonce.

use serde_json::json;

use crate::application::{Application, Profile, assert_error, endpoint, is_alive, token_response};
use crate::browser::Browser;
use crate::suite::suite;

#[test]
fn every_way_of_authentication_works_and_is_the_only_one_of_its_application() {
    for method in
        ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"]
    {
        let mut application = Application::with(
            &Profile::by(method),
            &json!({"grant_types": ["authorization_code", "refresh_token"]}),
        );
        application.sign_in(&mut Browser::default(), &[]);
        let code = application.ask(&mut Browser::default(), &[]);
        let code = code.get("code");
        let others = ["client_secret_basic", "client_secret_post", "client_secret_jwt", "none"];
        let has_secret = application.metadata.get("client_secret").is_some();
        for other in others.into_iter().filter(|other| *other != method) {
            if !has_secret && other != "none" {
                continue;
            }
            application.profile.method = other;
            assert_error(&application.redeem(code, &[]), "invalid_client");
        }
        application.profile.method = method;
        token_response(&application.redeem(code, &[]));
    }
}

#[test]
fn an_application_without_a_secret_proves_itself_by_its_verifier() {
    let application = Application::new(&Profile::by("none"));
    let response = application.ask(&mut Browser::default(), &[]);
    assert_eq!(response.get("error"), "invalid_request");
}

#[test]
fn an_assertion_may_be_for_the_issuer_or_for_the_token_endpoint() {
    let application = Application::new(&Profile::by("private_key_jwt"));
    let mut browser = Browser::default();
    for audience in [suite().issuer.clone(), endpoint("token_endpoint")] {
        let response = application.ask(&mut browser, &[]);
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", response.get("code")),
            ("redirect_uri", &*application.redirect_uri),
        ];
        token_response(&application.call_for("token_endpoint", &parameters, &audience));
    }
    let response = application.ask(&mut browser, &[]);
    let parameters = [("grant_type", "authorization_code"), ("code", response.get("code"))];
    let elsewhere = application.call_for("token_endpoint", &parameters, "https://as.example");
    assert_error(&elsewhere, "invalid_client");
}

#[test]
fn userinfo_takes_the_token_in_the_header_of_get_and_post_and_in_a_form() {
    let application = Application::new(&Profile::BASIC);
    let token = application.sign_in(&mut Browser::default(), &[]).access_token.unwrap();
    let (url, bearer) = (endpoint("userinfo_endpoint"), format!("Bearer {token}"));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let header = ("authorization", bearer.as_str());
    let in_body = format!("access_token={token}");
    for answer in [
        suite().send("GET", &url, &[header], ""),
        suite().send("POST", &url, &[header], ""),
        suite().send("POST", &url, &[form], &in_body),
    ] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.json()["sub"].is_string());
    }
    let in_url = suite().send("GET", &format!("{url}?access_token={token}"), &[], "");
    assert_eq!(in_url.status, 400, "{in_url:?}");
    assert!(is_alive(&token));
}

#[test]
fn an_id_token_in_the_response_needs_a_nonce() {
    for response_type in ["id_token", "id_token token", "code id_token", "code id_token token"] {
        let application = Application::new(&Profile::of(response_type));
        let response = application.ask(&mut Browser::default(), &[("nonce", "")]);
        assert_eq!(response.get("error"), "invalid_request", "{response_type}");
    }
    let application = Application::new(&Profile::of("code token"));
    application.sign_in(&mut Browser::default(), &[("nonce", "")]);
}

#[test]
fn an_application_of_one_response_type_gets_no_other() {
    let application = Application::new(&Profile::BASIC);
    let parameters = application.parameters(&[("response_type", "id_token token")]);
    let end = Browser::default().open(&application.url(&parameters));
    let response = application.take(&parameters, end);
    assert_eq!(response.get("error"), "unauthorized_client");
    // What nobody can have at all: a token by which no client can tell that it was made for it.
    let parameters = application.parameters(&[("response_type", "token")]);
    let crate::browser::End::Redirected(url) =
        Browser::default().open(&application.url(&parameters))
    else {
        panic!()
    };
    assert!(url.as_str().contains("error=unsupported_response_type"), "{url}");
}
