//! The way through the host's pages: tickets, consent, one decision per request and session.

use grantor::{Next, Scope, Session};
use pollster::block_on;

use crate::support::*;

fn consent(world: &World, changes: &[(&str, &str)]) -> grantor::Consent {
    match world.proceed(&world.ticket(THIRD, changes), Some(world.session())) {
        Next::Consent(consent) => consent,
        other => panic!("no consent is wanted: {other:?}"),
    }
}

#[test]
fn a_third_party_asks_once_and_is_remembered() {
    let world = World::new();
    let asked = consent(&world, &[]);
    assert_eq!(asked.new_scope().to_string(), "openid profile email");
    assert_eq!(asked.destination(), "rp.example");
    assert_eq!(asked.form_action(), "https://rp.example");
    let scope = asked.scope().clone();
    let response = block_on(asked.approve(&scope)).unwrap();
    assert!(parameter(&response, "code").is_some());
    let again = world.proceed(&world.ticket(THIRD, &[]), Some(world.session()));
    assert!(matches!(again, Next::Done(_)));
    // Another person was never asked.
    let bob = Session::new("bob", "session of bob", world.server.now());
    assert!(matches!(world.proceed(&world.ticket(THIRD, &[]), Some(bob)), Next::Consent(_)));
}

#[test]
fn more_scope_asks_again_for_what_is_new_and_grants_both_together() {
    let world = World::new();
    let scope = Scope::parse("openid").unwrap();
    block_on(consent(&world, &[("scope", "openid")]).approve(&scope)).unwrap();
    let asked = consent(&world, &[("scope", "openid email")]);
    assert_eq!(asked.new_scope().to_string(), "email");
    let response = block_on(asked.approve(&Scope::parse("email").unwrap())).unwrap();
    let code = parameter(&response, "code").unwrap();
    assert_eq!(json_body(&world.redeem(THIRD, &code))["scope"], "openid email");
}

#[test]
fn nothing_is_granted_that_was_not_asked_for() {
    let world = World::new();
    let more = Scope::parse("openid email orders:read offline_access").unwrap();
    let response = block_on(consent(&world, &[("scope", "openid email")]).approve(&more)).unwrap();
    let code = parameter(&response, "code").unwrap();
    assert_eq!(json_body(&world.redeem(THIRD, &code))["scope"], "openid email");
}

#[test]
fn prompt_consent_asks_though_it_is_remembered_and_prompt_none_never_does() {
    let world = World::new();
    match world.proceed(&world.ticket(THIRD, &[("prompt", "none")]), Some(world.session())) {
        Next::Done(response) => assert_redirected(&response, "consent_required"),
        other => panic!("{other:?}"),
    }
    world.approve(&world.ticket(THIRD, &[]));
    let asked =
        world.proceed(&world.ticket(THIRD, &[("prompt", "consent")]), Some(world.session()));
    assert!(matches!(asked, Next::Consent(_)));
    let silent = world.proceed(&world.ticket(THIRD, &[("prompt", "none")]), Some(world.session()));
    assert!(matches!(silent, Next::Done(_)));
}

#[test]
fn a_native_clients_consent_is_asked_each_time() {
    let world = World::new();
    world.change(THIRD, |client| client.native = true);
    world.approve(&world.ticket(THIRD, &[]));
    let again = world.proceed(&world.ticket(THIRD, &[]), Some(world.session()));
    assert!(matches!(again, Next::Consent(_)));
}

#[test]
fn refusing_goes_back_with_access_denied() {
    let world = World::new();
    assert_redirected(&block_on(consent(&world, &[]).deny()).unwrap(), "access_denied");
    match world.proceed(&world.ticket(THIRD, &[]), None) {
        Next::SignIn(pending, _) => assert_redirected(&pending.deny(), "access_denied"),
        other => panic!("{other:?}"),
    }
    let nothing = block_on(consent(&world, &[]).approve(&Scope::empty())).unwrap();
    assert_redirected(&nothing, "access_denied");
    assert!(world.saw("DeniedByUser"));
}

#[test]
fn approving_twice_answers_the_same_redirect() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[]);
    let first = world.approve(&ticket);
    world.pass(1);
    assert_eq!(world.approve(&ticket), first);
    assert_eq!(world.grants().len(), 1);
}

#[test]
fn two_visits_of_one_url_both_finish() {
    let world = World::new();
    let (first, second) = (world.ticket(SPA, &[]), world.ticket(SPA, &[]));
    assert_ne!(first, second);
    let codes = [&first, &second].map(|t| parameter(&world.approve(t), "code").unwrap());
    assert_ne!(codes[0], codes[1]);
    for code in codes {
        assert_eq!(world.redeem(SPA, &code).status, 200);
    }
}

#[test]
fn of_approving_and_refusing_the_first_wins() {
    let world = World::new();
    let ticket = world.ticket(THIRD, &[]);
    let ask = || match world.proceed(&ticket, Some(world.session())) {
        Next::Consent(consent) => consent,
        other => panic!("{other:?}"),
    };
    let (approving, refusing) = (ask(), ask());
    let scope = approving.scope().clone();
    assert_redirected(&block_on(refusing.deny()).unwrap(), "access_denied");
    assert_redirected(&block_on(approving.approve(&scope)).unwrap(), "access_denied");

    let ticket = world.ticket(THIRD, &[]);
    let ask = || match world.proceed(&ticket, Some(world.session())) {
        Next::Consent(consent) => consent,
        other => panic!("{other:?}"),
    };
    let (approving, refusing) = (ask(), ask());
    let approved = block_on(approving.approve(&scope)).unwrap();
    assert_eq!(block_on(refusing.deny()).unwrap(), approved);
}

#[test]
fn another_sessions_approval_is_another_grant() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[]);
    let as_session = |id: &str| {
        let session = Session::new("ann", id, world.server.now());
        match world.proceed(&ticket, Some(session)) {
            Next::Done(response) => parameter(&response, "code").unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_ne!(as_session("one"), as_session("two"));
}

#[test]
fn a_ticket_with_any_bit_flipped_is_refused() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[]);
    for at in 0..ticket.len() {
        let mut flipped = ticket.clone().into_bytes();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        if flipped == ticket.as_bytes() {
            continue;
        }
        let flipped = String::from_utf8(flipped).unwrap();
        let error = block_on(world.server.resume(&flipped)).unwrap_err();
        assert_eq!(error.into_response().status, 400, "character {at}");
    }
    for garbage in ["", "x", "!", &"A".repeat(100_000)] {
        assert!(block_on(world.server.resume(garbage)).is_err());
    }
}

#[test]
fn an_expired_ticket_enters_the_authorize_endpoint_again_with_the_same_request() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[("state", "a b&c"), ("nonce", "n")]);
    world.pass(600);
    let error = block_on(world.server.resume(&ticket)).unwrap_err();
    let response = error.into_response();
    assert_eq!(response.status, 303);
    let again = response.get("location").unwrap().strip_prefix(ISSUER).unwrap();
    let response = world.send(&grantor::Request::get(again));
    let ticket = response.get("location").unwrap().split_once("ticket=").unwrap().1.to_owned();
    assert_eq!(parameter(&world.approve(&ticket), "state").as_deref(), Some("a b&c"));
}

#[test]
fn a_client_that_changes_while_the_person_reads_is_seen() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[]);
    world.change(SPA, |client| client.redirect_uris = vec!["https://rp.example/new".into()]);
    let error = block_on(world.server.resume(&ticket)).unwrap_err();
    assert_page(&error.into_response(), "redirect_uri_mismatch");
    let ticket = world.ticket(WEB, &[]);
    block_on(world.server.clients().revoke(WEB)).unwrap();
    let error = block_on(world.server.resume(&ticket)).unwrap_err();
    assert_page(&error.into_response(), "invalid_client");
}

#[test]
fn a_store_that_fails_at_approval_grants_nothing() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[]);
    world.break_store(true);
    let failed = block_on(async {
        world.server.resume(&ticket).await.unwrap().proceed(Some(world.session())).await
    });
    assert_eq!(failed.unwrap_err().into_response().status, 503);
    world.break_store(false);
    assert!(world.grants().is_empty());
    assert!(parameter(&world.approve(&ticket), "code").is_some());
}
