//! OpenID Connect Core sections 3.2 and 3.3, and OAuth 2.0 Multiple Response Type Encoding Practices: tokens in the
//! authorization response, where the policy lets it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantor::{GrantType, Guard, Next, Policy, Request, Response, ResponseType, Scope, Session};
use pollster::block_on;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::*;

/// A server that answers with tokens, and its clients registered for all of it.
fn implicit() -> World {
    let mut policy = Policy::default();
    policy.implicit = true;
    let world = World::with(policy);
    for client_id in [SPA, THIRD] {
        world.change(client_id, |client| {
            client.grant_types.push(GrantType::Implicit);
            client.response_types = ResponseType::ALL.to_vec();
        });
    }
    world
}

fn asked(world: &World, response_type: &str, more: &[(&str, &str)]) -> Response {
    let mut changes = vec![("response_type", response_type), ("nonce", "n-0S6")];
    changes.extend(more);
    world.approve(&world.ticket(SPA, &changes))
}

fn half_hash(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..16])
}

#[test]
fn each_response_type_answers_in_the_fragment_with_what_it_names_and_nothing_else() {
    let world = implicit();
    for (response_type, expected) in [
        ("id_token", "id_token state iss"),
        ("id_token token", "access_token token_type expires_in scope id_token state iss"),
        ("code id_token", "code id_token state iss"),
        ("code token", "code access_token token_type expires_in scope state iss"),
        ("code id_token token", "code access_token token_type expires_in scope id_token state iss"),
    ] {
        let response = asked(&world, response_type, &[]);
        let location = response.get("location").unwrap();
        assert!(location.starts_with(&format!("{CALLBACK}#")), "{location}");
        let (_, fragment) = location.split_once('#').unwrap();
        let pairs = form_urlencoded::parse(fragment.as_bytes());
        let names: Vec<_> = pairs.map(|(name, _)| name.into_owned()).collect();
        assert_eq!(names.join(" "), expected, "{response_type}");
        assert_eq!(parameter(&response, "state").as_deref(), Some("xyz"));
    }
    // A code alone goes where it always went.
    let code = world.approve(&world.ticket(SPA, &[]));
    assert!(code.get("location").unwrap().starts_with(&format!("{CALLBACK}?code=")));
}

#[test]
fn the_id_token_binds_the_nonce_and_what_came_with_it() {
    let world = implicit();
    let response = asked(&world, "code id_token token", &[]);
    let id_token = claims(&parameter(&response, "id_token").unwrap());
    let access_token = parameter(&response, "access_token").unwrap();
    let code = parameter(&response, "code").unwrap();
    assert_eq!(id_token["nonce"], "n-0S6");
    assert_eq!(id_token["at_hash"], half_hash(&access_token));
    assert_eq!(id_token["c_hash"], half_hash(&code));
    // The one from the token endpoint says the same of the person, and has no code with it.
    let later = json_body(&world.redeem(SPA, &code));
    let later = claims(&str_of(&later, "id_token"));
    for name in ["sub", "iss", "aud", "auth_time", "nonce", "sid"] {
        assert_eq!(later[name], id_token[name], "{name}");
    }
    assert_eq!(later.get("c_hash"), None);

    let alone = claims(&parameter(&asked(&world, "id_token", &[]), "id_token").unwrap());
    assert_eq!((alone.get("at_hash"), alone.get("c_hash")), (None, None));
}

#[test]
fn an_id_token_without_an_access_token_says_what_userinfo_would() {
    let world = implicit();
    let said = |response_type| {
        let response = asked(&world, response_type, &[]);
        claims(&parameter(&response, "id_token").unwrap())
    };
    assert_eq!(said("id_token")["email"], "ann@example.com");
    // Elsewhere there is UserInfo for it (section 5.4).
    for other in ["id_token token", "code id_token", "code id_token token"] {
        let id_token = said(other);
        assert!(id_token.get("email").is_none() && id_token.get("name").is_none(), "{other}");
    }
}

#[test]
fn the_access_token_of_the_response_is_one_like_any_other() {
    let world = implicit();
    let response = asked(&world, "id_token token", &[]);
    let token = parameter(&response, "access_token").unwrap();
    assert_eq!(parameter(&response, "token_type").as_deref(), Some("Bearer"));
    assert_eq!(parameter(&response, "expires_in").as_deref(), Some("600"));
    assert_eq!(jose_header(&token)["typ"], "at+jwt");
    assert_eq!(json_body(&world.userinfo(&token))["name"], "Ann Example");
    let request = bearer(Request::get("/api"), &token);
    let admission = block_on(Guard::new(&world.server).admit(&request));
    assert!(matches!(admission, grantor::Admission::Admitted(..)));
    // It can be revoked, and ends with its time.
    let revoked = world.as_client(SPA, "/oauth2/revoke", &[("token", &token)]);
    assert_eq!(world.send(&revoked).status, 200);
    assert!(!world.is_alive(&token));
    let token = parameter(&asked(&world, "id_token token", &[]), "access_token").unwrap();
    world.pass(599);
    assert!(world.is_alive(&token));
    world.pass(1);
    assert!(!world.is_alive(&token));
}

#[test]
fn a_code_that_comes_back_ends_the_tokens_that_came_with_it() {
    let world = implicit();
    let response = asked(&world, "code id_token token", &[]);
    let (code, token) =
        (parameter(&response, "code").unwrap(), parameter(&response, "access_token").unwrap());
    assert_eq!(world.redeem(SPA, &code).status, 200);
    assert!(world.is_alive(&token));
    assert_error(&world.redeem(SPA, &code), 400, "invalid_grant");
    assert!(!world.is_alive(&token));
}

#[test]
fn without_a_code_there_is_nothing_to_redeem_or_refresh() {
    let world = implicit();
    asked(&world, "id_token token", &[]);
    let grants = world.grants();
    assert!(grants.iter().all(|grant| grant.refresh_idle.is_none()), "{grants:?}");
    let refused = world.token(SPA, &[("grant_type", "implicit")]);
    assert_error(&refused, 400, "unsupported_grant_type");
    // And nothing to prove.
    let no_pkce = [("code_challenge", ""), ("code_challenge_method", "")];
    assert!(parameter(&asked(&world, "id_token token", &no_pkce), "access_token").is_some());
    let hybrid = [no_pkce[0], no_pkce[1], ("response_type", "code token")];
    assert_redirected_in_fragment(&world.authorize(SPA, &hybrid), "invalid_request");
}

fn assert_redirected_in_fragment(response: &Response, error: &str) {
    let location = response.get("location").unwrap_or_else(|| panic!("{}", text(response)));
    assert!(location.starts_with(&format!("{CALLBACK}#")), "{location}");
    assert_eq!(parameter(response, "error").as_deref(), Some(error), "{location}");
    assert_eq!(parameter(response, "state").as_deref(), Some("xyz"));
    assert_eq!(parameter(response, "iss").as_deref(), Some(ISSUER));
}

#[test]
fn what_could_not_be_answered_safely_is_refused_in_the_fragment() {
    let world = implicit();
    for (changes, error) in [
        // Section 3.2.2.1: nothing else binds the ID token to this visit.
        (&[("response_type", "id_token token")][..], "invalid_request"),
        (&[("response_type", "id_token"), ("nonce", "n"), ("scope", "email")], "invalid_scope"),
        (
            &[("response_type", "id_token"), ("nonce", "n"), ("response_mode", "query")],
            "invalid_request",
        ),
    ] {
        assert_redirected_in_fragment(&world.authorize(SPA, changes), error);
    }
    // What happens on the way too.
    let silent = [("response_type", "id_token"), ("nonce", "n"), ("prompt", "none")];
    let Next::Done(response) = world.proceed(&world.ticket(SPA, &silent), None) else { panic!() };
    assert_redirected_in_fragment(&response, "login_required");
    // A code with a token needs no nonce: it has no ID token.
    assert!(world.authorize(SPA, &[("response_type", "code token")]).status == 303);
}

#[test]
fn tokens_travel_in_a_form_too() {
    let world = implicit();
    let response = asked(&world, "id_token token", &[("response_mode", "form_post")]);
    assert_eq!((response.status, response.get("location")), (200, None));
    for name in ["access_token", "id_token", "state", "iss"] {
        assert!(text(&response).contains(&format!("name=\"{name}\"")), "{name}");
    }
}

#[test]
fn a_person_who_withholds_openid_gives_no_id_token() {
    let world = implicit();
    let wish = [("response_type", "id_token"), ("nonce", "n")];
    let Next::Consent(consent) = world.proceed(&world.ticket(THIRD, &wish), Some(world.session()))
    else {
        panic!()
    };
    let without = Scope::parse("profile email").unwrap();
    let response = block_on(consent.approve(&without)).unwrap();
    assert_redirected_in_fragment(&response, "access_denied");
    assert!(world.grants().is_empty());
}

#[test]
fn it_is_off_and_each_client_must_be_registered_for_it() {
    let world = World::new();
    let client = block_on(world.server.clients().find(SPA)).unwrap().unwrap();
    let mut wanted = grantor::Client::clone(&client);
    wanted.grant_types.push(GrantType::Implicit);
    wanted.response_types.push(ResponseType::IdToken);
    let refused = block_on(world.server.clients().update(wanted)).unwrap_err().to_string();
    assert!(refused.contains("Policy::implicit"), "{refused}");

    let world = implicit();
    // Registered for the one, not for the other.
    world.change(SPA, |client| {
        client.response_types = vec![ResponseType::Code, ResponseType::IdToken];
    });
    assert!(parameter(&asked(&world, "id_token", &[]), "id_token").is_some());
    let other = [("response_type", "id_token token"), ("nonce", "n")];
    assert_redirected_in_fragment(&world.authorize(SPA, &other), "unauthorized_client");
    let secret = world.authorize(WEB, &other);
    assert_redirected_in_fragment(&secret, "unauthorized_client");
}

#[test]
fn response_types_and_grant_types_go_together() {
    let world = implicit();
    let refused = |change: fn(&mut grantor::Client)| {
        let client = block_on(world.server.clients().find(WEB)).unwrap().unwrap();
        let mut client = grantor::Client::clone(&client);
        change(&mut client);
        block_on(world.server.clients().update(client)).unwrap_err().to_string()
    };
    let implicit_only = refused(|client| client.response_types = vec![ResponseType::IdToken]);
    assert!(implicit_only.contains("implicit"), "{implicit_only}");
    let hybrid = refused(|client| {
        client.grant_types = vec![GrantType::Implicit];
        client.response_types = vec![ResponseType::CodeToken];
    });
    assert!(hybrid.contains("authorization_code and implicit"), "{hybrid}");
    assert!(
        refused(|client| client.grant_types.push(GrantType::Implicit)).contains("response_types")
    );
    assert!(
        refused(|client| client.response_types.push(ResponseType::Code)).contains("response_types")
    );
}

#[test]
fn approving_twice_is_one_grant_and_a_withdrawn_consent_ends_its_tokens() {
    let world = implicit();
    let wish = [("response_type", "id_token token"), ("nonce", "n")];
    let ticket = world.ticket(THIRD, &wish);
    let session = world.session();
    let approve = || {
        let next = world.proceed(&ticket, Some(session.clone()));
        let response = match next {
            Next::Consent(consent) => block_on(consent.answer(true)).unwrap(),
            Next::Done(response) => response,
            Next::SignIn(..) => panic!(),
        };
        parameter(&response, "access_token").unwrap()
    };
    let tokens = [approve(), approve()];
    assert_eq!(world.grants().len(), 1);
    block_on(world.server.withdraw("ann", THIRD)).unwrap();
    assert!(tokens.iter().all(|token| !world.is_alive(token)));
}

#[test]
fn discovery_and_registration_say_it_where_it_is_on() {
    let metadata = |world: &World| -> Value {
        json_body(&world.send(&Request::get("/.well-known/openid-configuration")))
    };
    let off = metadata(&World::new());
    assert_eq!(off["response_types_supported"], json!(["code"]));
    assert!(!off["grant_types_supported"].as_array().unwrap().contains(&json!("implicit")));
    let on = metadata(&implicit());
    let names: Vec<_> = ResponseType::ALL.iter().map(|one| json!(one.as_str())).collect();
    assert_eq!(on["response_types_supported"], json!(names));
    assert!(on["grant_types_supported"].as_array().unwrap().contains(&json!("implicit")));
}

#[test]
fn records_of_earlier_releases_are_clients_of_the_code_flow() {
    use grantor::store::record::{read_client, write_client};
    let world = World::new();
    let client = block_on(world.server.clients().find(SPA)).unwrap().unwrap();
    let mut record: Value = serde_json::from_str(&write_client(&client).unwrap()).unwrap();
    record.as_object_mut().unwrap().remove("response_types").unwrap();
    let read = read_client(&record.to_string()).unwrap();
    assert_eq!(read.response_types, [ResponseType::Code]);
}

#[test]
fn a_web_application_gets_tokens_over_https_alone() {
    let world = implicit();
    let with = |uri: &str, native: bool| {
        let client = block_on(world.server.clients().find(SPA)).unwrap().unwrap();
        let mut client = grantor::Client::clone(&client);
        client.redirect_uris.push(uri.to_owned());
        client.native = native;
        block_on(world.server.clients().update(client)).map_err(|error| error.to_string())
    };
    let refused = with("http://localhost:3000/cb", false).unwrap_err();
    assert!(refused.starts_with("redirect_uris") && refused.contains("https"), "{refused}");
    assert!(with("http://127.0.0.1/cb", true).is_ok());
}

#[test]
fn there_is_nothing_to_be_offline_with() {
    let world = implicit();
    let wish = [("scope", "openid offline_access")];
    let response = asked(&world, "id_token token", &wish);
    assert_eq!(parameter(&response, "scope").as_deref(), Some("openid"));
}

#[test]
fn what_was_taken_away_since_is_not_in_the_tokens_of_a_second_tab() {
    let world = implicit();
    let wish = [("response_type", "id_token token"), ("nonce", "n")];
    let ticket = world.ticket(SPA, &wish);
    let session = world.session();
    let approve = || match world.proceed(&ticket, Some(session.clone())) {
        Next::Done(response) => response,
        other => panic!("{other:?}"),
    };
    assert_eq!(parameter(&approve(), "scope").as_deref(), Some("openid profile email"));
    world.change(SPA, |client| client.scope = Scope::parse("openid profile").unwrap());
    assert_eq!(parameter(&approve(), "scope").as_deref(), Some("openid profile"));
    // A barrier that moved past the first approval ends it, though the session is new.
    world.pass(1);
    let barrier = world.server.now();
    world.people.set("ann", grantor::SubjectStatus::Active { valid_from: barrier });
    let again = Session::new("ann", "session of ann", barrier);
    let Next::Done(response) = world.proceed(&ticket, Some(again)) else { panic!() };
    assert_redirected_in_fragment(&response, "access_denied");
}
