//! OpenID Connect Session Management 1.0: a page of an application asks in the browser whether its person is still
//! signed in.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use grantor::{Client, Method, Next, Policy, Request, Response, Scope, Session, SubjectType};
use pollster::block_on;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::support::*;

const FRAME: &str = "/oauth2/check_session";

fn managed() -> World {
    let mut policy = Policy::default();
    policy.session_management = true;
    World::with(policy)
}

/// A parameter of an authorization response.
fn said(response: &Response, name: &str) -> Option<String> {
    let url = Url::parse(response.get("location").unwrap()).unwrap();
    url.query_pairs().find(|(have, _)| have == name).map(|(_, value)| value.into_owned())
}

/// The state that a cookie gives a browser.
fn state(cookie: &str) -> String {
    let rest = cookie.strip_prefix("grantor_browser_state=").unwrap();
    rest.split(';').next().unwrap().to_owned()
}

/// What section 3.2 has the page find out.
fn is_unchanged(session_state: &str, client_id: &str, origin: &str, state: &str) -> bool {
    let (hash, salt) = session_state.split_once('.').unwrap();
    let now = Sha256::digest(format!("{client_id} {origin} {state} {salt}"));
    hash == BASE64_URL_SAFE_NO_PAD.encode(now)
}

fn origin_of(uri: &str) -> String {
    Url::parse(uri).unwrap().origin().ascii_serialization()
}

/// The answer to a request of somebody who has consented before.
fn silent(world: &World, client_id: &str, session: Option<Session>) -> Response {
    let ticket = world.ticket(client_id, &[("prompt", "none")]);
    match world.proceed(&ticket, session) {
        Next::Done(response) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_response_says_who_is_signed_in_and_the_page_can_check_it() {
    let world = managed();
    world.tokens(SPA);
    let response = silent(&world, SPA, Some(world.session()));
    assert!(said(&response, "code").is_some());
    let session_state = said(&response, "session_state").unwrap();
    assert!(session_state.len() <= 66 && !session_state.contains(' '), "{session_state}");
    let cookie = response.get("set-cookie").unwrap();
    assert_eq!(Some(cookie.to_owned()), world.server.browser_state_cookie(Some(&world.session())));
    let (origin, now) = (origin_of(CALLBACK), state(cookie));
    assert!(is_unchanged(&session_state, SPA, &origin, &now));
    // For another application, another origin, another session and nobody it is not the same.
    assert!(!is_unchanged(&session_state, "client_other", &origin, &now));
    assert!(!is_unchanged(&session_state, SPA, "https://evil.example", &now));
    let other = Session::new("ann", "another session", world.server.now());
    let other = world.server.browser_state_cookie(Some(&other)).unwrap();
    assert!(!is_unchanged(&session_state, SPA, &origin, &state(&other)));
    assert!(!is_unchanged(&session_state, SPA, &origin, ""));
}

#[test]
fn the_state_stays_while_the_session_goes_on_and_each_answer_is_salted() {
    let world = managed();
    world.tokens(SPA);
    let first = silent(&world, SPA, Some(world.session()));
    world.pass(3600);
    let second = silent(&world, SPA, Some(world.session()));
    assert_eq!(first.get("set-cookie"), second.get("set-cookie"));
    assert_ne!(said(&first, "session_state"), said(&second, "session_state"));
}

#[test]
fn who_is_not_signed_in_is_nobody_and_signs_nobody_out() {
    let world = managed();
    let response = silent(&world, SPA, None);
    assert_eq!(said(&response, "error").as_deref(), Some("login_required"));
    let session_state = said(&response, "session_state").unwrap();
    assert!(is_unchanged(&session_state, SPA, &origin_of(CALLBACK), ""));
    // A frame in a page of another site may come without the host's cookie.
    assert_eq!(response.get("set-cookie"), None);
}

#[test]
fn refusals_say_it_too_once_it_is_known() {
    let world = managed();
    let response = silent(&world, THIRD, Some(world.session()));
    assert_eq!(said(&response, "error").as_deref(), Some("consent_required"));
    assert!(said(&response, "session_state").is_some());
    let Next::Consent(consent) = world.proceed(&world.ticket(THIRD, &[]), Some(world.session()))
    else {
        panic!()
    };
    let response = block_on(consent.deny()).unwrap();
    assert_eq!(said(&response, "error").as_deref(), Some("access_denied"));
    assert!(said(&response, "session_state").is_some());
    let interaction = block_on(world.server.resume(&world.ticket(THIRD, &[]))).unwrap();
    let response = block_on(interaction.deny(world.session())).unwrap();
    assert!(said(&response, "session_state").is_some());
    // Nobody has said who is there.
    let response = world.authorize(SPA, &[("prompt", "none login")]);
    assert_eq!(said(&response, "error").as_deref(), Some("invalid_request"));
    assert_eq!(said(&response, "session_state"), None);
}

#[test]
fn only_openid_connect_requests_and_web_pages_are_told() {
    let world = managed();
    let mut client = Client::public("client_phone", "Phone");
    client.redirect_uris = vec!["com.example.phone:/callback".into()];
    client.scope = Scope::parse("openid").unwrap();
    client.native = true;
    block_on(world.server.clients().create(client)).unwrap();
    let ticket = world.ticket("client_phone", &[("redirect_uri", "com.example.phone:/callback")]);
    let Next::Consent(consent) = world.proceed(&ticket, Some(world.session())) else { panic!() };
    let response = block_on(consent.answer(true)).unwrap();
    assert!(said(&response, "code").is_some());
    assert_eq!(said(&response, "session_state"), None);
    let ticket = world.ticket(SPA, &[("scope", "orders:read"), ("prompt", "none")]);
    let Next::Done(response) = world.proceed(&ticket, None) else { panic!() };
    assert_eq!(said(&response, "session_state"), None);
}

#[test]
fn the_state_is_not_what_applications_know_of_the_session() {
    let world = managed();
    let mut client = Client::public("client_pairwise", "Pairwise");
    client.redirect_uris = vec![CALLBACK.into()];
    client.scope = Scope::parse("openid").unwrap();
    client.subject_type = SubjectType::Pairwise;
    block_on(world.server.clients().create(client)).unwrap();
    let tokens = world.tokens("client_pairwise");
    let cookie = world.server.browser_state_cookie(Some(&world.session())).unwrap();
    for known in [
        str_of(&claims(&str_of(&tokens, "id_token")), "sid"),
        world.session().sid(&world.server),
        world.session().id,
    ] {
        assert!(!cookie.contains(&known), "{cookie}");
    }
}

#[test]
fn the_cookie_is_one_that_frames_get_and_signing_out_takes_it_away() {
    let world = managed();
    let cookie = world.server.browser_state_cookie(Some(&world.session())).unwrap();
    let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "SameSite=None", "Secure"]);
    let mut session = world.session();
    session.expires_at = Some(world.server.now().plus(Duration::from_secs(600)));
    let cookie = world.server.browser_state_cookie(Some(&session)).unwrap();
    assert!(cookie.ends_with("; Max-Age=600"), "{cookie}");
    // Said, and not left out: no cookie is one that the browser keeps to itself.
    let gone = world.server.browser_state_cookie(None).unwrap();
    assert!(gone.starts_with("grantor_browser_state=nobody; Path=/; SameSite=None; Secure; "));
}

#[test]
fn the_page_runs_its_own_script_alone_and_may_be_framed() {
    let world = managed();
    let metadata = json_body(&world.send(&Request::get("/.well-known/openid-configuration")));
    assert_eq!(metadata["check_session_iframe"], format!("{ISSUER}{FRAME}"));
    assert!(world.server.paths().contains(&FRAME.to_owned()));
    let page = world.send(&Request::get(FRAME));
    assert_eq!((page.status, page.get("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.get("x-frame-options"), None);
    let html = String::from_utf8(page.body.clone()).unwrap();
    let script = html.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    let hash = BASE64_STANDARD.encode(Sha256::digest(script));
    let policy = page.get("content-security-policy").unwrap();
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
        )
    );
    let mut post = Request::get(FRAME);
    post.method = Method::Post;
    assert_eq!(world.send(&post).status, 405);
}

#[test]
fn without_the_switch_there_is_none_of_it() {
    let world = World::new();
    world.tokens(SPA);
    let metadata = json_body(&world.send(&Request::get("/.well-known/openid-configuration")));
    assert_eq!(metadata.get("check_session_iframe"), None);
    assert_eq!(world.send(&Request::get(FRAME)).status, 404);
    assert!(!world.server.paths().contains(&FRAME.to_owned()));
    let response = silent(&world, SPA, Some(world.session()));
    assert_eq!((said(&response, "session_state"), response.get("set-cookie")), (None, None));
    assert_eq!(world.server.browser_state_cookie(Some(&world.session())), None);
}
