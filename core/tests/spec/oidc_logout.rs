//! OpenID Connect RP-Initiated Logout 1.0.

use grantor::{Logout, Request, Session};
use pollster::block_on;

use crate::support::*;

const BYE: &str = "https://rp.example/bye?from=op";

fn world() -> World {
    let world = World::new();
    world.change(SPA, |client| client.post_logout_redirect_uris = vec![BYE.into()]);
    world
}

fn ask(world: &World, parameters: &[(&str, &str)]) -> grantor::Response {
    let form = Request::form("/", parameters);
    let query = String::from_utf8(form.body).unwrap();
    world.send(&Request::get(&format!("/oauth2/logout?{query}")))
}

fn resume(world: &World, parameters: &[(&str, &str)]) -> Logout {
    let response = ask(world, parameters);
    assert_eq!(response.status, 303, "{}", text(&response));
    let location = response.get("location").unwrap();
    let ticket = location.strip_prefix("https://id.example.com/logout?ticket=").unwrap();
    block_on(world.server.resume_logout(ticket)).unwrap()
}

fn location(logout: Logout) -> Option<String> {
    logout.finish().map(|response| response.get("location").unwrap().to_owned())
}

// Section 2 and 3.

#[test]
fn without_a_page_of_the_hosts_there_is_no_end_session_endpoint() {
    let world = World::new();
    let issuer = "https://other.example.com";
    let bare = pollster::block_on(
        grantor::AuthorizationServer::builder(issuer)
            .store(grantor::store::Memory::new())
            .subjects(world.people)
            .master_key(grantor::MasterKey::from_bytes([7; 32]))
            .build(),
    )
    .unwrap();
    let answer = |path: &str| pollster::block_on(bare.handle(&grantor::Request::get(path)));
    let metadata = json_body(&answer("/.well-known/openid-configuration"));
    assert!(metadata.get("end_session_endpoint").is_none(), "{metadata}");
    assert_eq!(answer("/oauth2/logout").status, 404);
    assert!(bare.paths().iter().all(|path| path != "/oauth2/logout"));
}

#[test]
fn a_request_with_hint_redirect_and_state_goes_back_with_the_state_and_nothing_else() {
    let world = world();
    let hint = str_of(&world.tokens(SPA), "id_token");
    let state = "s".repeat(128);
    // The hint may have expired long ago.
    world.pass(86_400);
    for client_id in [None, Some(("client_id", SPA))] {
        let mut parameters =
            vec![("id_token_hint", &*hint), ("post_logout_redirect_uri", BYE), ("state", &state)];
        parameters.extend(client_id);
        let logout = resume(&world, &parameters);
        assert_eq!(logout.client().unwrap().client_id, SPA);
        assert_eq!(location(logout).unwrap(), format!("{BYE}&state={state}"));
    }
    let without = resume(&world, &[("id_token_hint", &hint), ("post_logout_redirect_uri", BYE)]);
    assert_eq!(location(without).unwrap(), BYE);
    let by_id = resume(&world, &[("client_id", SPA), ("post_logout_redirect_uri", BYE)]);
    assert_eq!(location(by_id).unwrap(), BYE);
}

#[test]
fn post_works_like_get() {
    let world = world();
    let hint = str_of(&world.tokens(SPA), "id_token");
    let parameters = [("id_token_hint", &*hint), ("post_logout_redirect_uri", BYE)];
    assert_eq!(world.send(&Request::form("/oauth2/logout", &parameters)).status, 303);
}

#[test]
fn nobody_is_redirected_to_a_uri_that_is_not_registered_or_for_an_unproven_client() {
    let world = world();
    let hint = str_of(&world.tokens(SPA), "id_token");
    for uri in [
        "https://evil.example/",
        "https://rp.example/bye",
        "https://rp.example/bye?from=op&x=1",
        CALLBACK,
    ] {
        let parameters = [("id_token_hint", &*hint), ("post_logout_redirect_uri", uri)];
        assert_page(&ask(&world, &parameters), "invalid_request");
    }
    assert_page(&ask(&world, &[("post_logout_redirect_uri", BYE)]), "invalid_request");
    let other = [("client_id", WEB), ("post_logout_redirect_uri", BYE)];
    assert_page(&ask(&world, &other), "invalid_request");
    world.change(SPA, |client| client.active = false);
    let off = [("id_token_hint", &*hint), ("post_logout_redirect_uri", BYE)];
    assert_page(&ask(&world, &off), "invalid_request");
}

#[test]
fn a_hint_that_is_not_an_id_token_of_ours_is_refused() {
    let world = world();
    let tokens = world.tokens(SPA);
    let hint = str_of(&tokens, "id_token");
    let unsigned = format!("{}.", hint.rsplit_once('.').unwrap().0);
    let foreign = World::with_own_keys(grantor::Policy::default());
    for bad in [
        &unsigned,
        "nonsense",
        &str_of(&tokens, "access_token"),
        &str_of(&foreign.tokens(SPA), "id_token"),
    ] {
        let parameters = [("id_token_hint", bad), ("post_logout_redirect_uri", BYE)];
        assert_page(&ask(&world, &parameters), "invalid_request");
    }
    let disagree = [("id_token_hint", &*hint), ("client_id", WEB)];
    assert_page(&ask(&world, &disagree), "invalid_request");
}

#[test]
fn without_a_redirect_the_host_shows_its_own_page_and_the_state_goes_nowhere() {
    let world = world();
    let hint = str_of(&world.tokens(SPA), "id_token");
    for parameters in [&[][..], &[("state", "xyz")], &[("id_token_hint", &*hint)]] {
        assert_eq!(location(resume(&world, parameters)), None);
    }
}

#[test]
fn the_person_is_asked_unless_the_request_comes_from_their_own_session() {
    let world = world();
    let hint = str_of(&world.tokens(SPA), "id_token");
    let hinted = resume(&world, &[("id_token_hint", &hint)]);
    assert!(!hinted.asks(&world.session()));
    assert!(hinted.asks(&Session::new("ann", "another session", world.server.now())));
    assert!(hinted.asks(&Session::new("bob", "session of ann", world.server.now())));
    assert!(resume(&world, &[]).asks(&world.session()));
    assert!(resume(&world, &[("client_id", SPA)]).asks(&world.session()));
}

#[test]
fn tickets_of_one_kind_are_none_of_the_other_and_grow_old() {
    let world = world();
    let authorization = world.ticket(SPA, &[]);
    assert!(block_on(world.server.resume_logout(&authorization)).is_err());
    let response = ask(&world, &[("client_id", SPA)]);
    let ticket = response.get("location").unwrap().split_once("ticket=").unwrap().1.to_owned();
    assert!(block_on(world.server.resume(&ticket)).is_err());
    assert!(block_on(world.server.resume_logout(&ticket)).is_ok());
    world.pass(600);
    let error = block_on(world.server.resume_logout(&ticket)).unwrap_err();
    assert_page(&error.into_response(), "invalid_request");
}

#[test]
fn a_uri_that_is_taken_away_while_the_person_reads_leads_nowhere() {
    let world = world();
    let response = ask(&world, &[("client_id", SPA), ("post_logout_redirect_uri", BYE)]);
    let ticket = response.get("location").unwrap().split_once("ticket=").unwrap().1.to_owned();
    world.change(SPA, |client| client.active = false);
    assert_eq!(location(block_on(world.server.resume_logout(&ticket)).unwrap()), None);
    world.change(SPA, |client| client.active = true);
    assert!(location(block_on(world.server.resume_logout(&ticket)).unwrap()).is_some());
    world.change(SPA, |client| client.post_logout_redirect_uris = Vec::new());
    assert_eq!(location(block_on(world.server.resume_logout(&ticket)).unwrap()), None);
}

#[test]
fn a_parameter_that_stands_twice_is_a_page() {
    let world = world();
    for twice in ["state=a&state=b", "client_id=client_spa&client_id=client_spa"] {
        let response = world.send(&Request::get(&format!("/oauth2/logout?{twice}")));
        assert_eq!((response.status, response.get("location")), (400, None), "{twice}");
    }
}

#[test]
fn the_state_of_a_sign_out_that_goes_nowhere_is_on_no_page() {
    let world = world();
    let state = "state-that-nobody-else-may-see";
    for uri in ["https://evil.example/bye", "https://rp.example/bye", "javascript:alert(1)"] {
        let asked = [("client_id", SPA), ("post_logout_redirect_uri", uri), ("state", state)];
        let response = ask(&world, &asked);
        assert_eq!((response.status, response.get("location")), (400, None));
        assert!(!text(&response).contains(state));
    }
    let logout =
        resume(&world, &[("client_id", SPA), ("post_logout_redirect_uri", BYE), ("state", state)]);
    assert!(!format!("{logout:?}").contains(state));
}
