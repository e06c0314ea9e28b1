//! A login page on another host: the browser leaves with [`grantor::Pending::authorize_url`] and
//! comes back to it, perhaps twice.

use grantor::{Next, Pending, Request, Response, SignInReason};

use crate::support::*;

fn waiting(next: Next) -> (Pending, SignInReason) {
    match next {
        Next::SignIn(pending, reason) => (pending, reason),
        other => panic!("no login is wanted: {other:?}"),
    }
}

/// Where the browser is sent for a request that nobody is signed in for.
fn leave(world: &World, changes: &[(&str, &str)]) -> String {
    let (pending, _) = waiting(world.proceed(&world.ticket(SPA, changes), None));
    assert!(!pending.has_returned());
    pending.authorize_url()
}

/// Visits an authorize URL; the ticket that it leads to.
fn visit(world: &World, url: &str) -> String {
    let path = url.strip_prefix(ISSUER).expect("our own authorize URL");
    ticket_of(&world.send(&Request::get(path)))
}

fn ticket_of(response: &Response) -> String {
    assert_eq!(response.status, 303, "{}", text(response));
    let location = response.get("location").unwrap();
    location.split_once("/login?ticket=").expect("the interaction").1.to_owned()
}

#[test]
fn a_login_page_elsewhere_leads_back_to_the_same_request() {
    let world = World::new();
    let url = leave(&world, &[("state", "a b&c"), ("nonce", "n")]);
    let response = world.approve(&visit(&world, &url));
    assert_eq!(parameter(&response, "state").as_deref(), Some("a b&c"));
    let tokens = world.redeem(SPA, &parameter(&response, "code").unwrap());
    assert_eq!(tokens.status, 200, "{}", text(&tokens));
}

#[test]
fn a_page_that_asks_for_the_authorize_url_twice_gets_one_answer_twice() {
    let world = World::new();
    let url = leave(&world, &[]);
    let session = world.session();
    let code = |ticket: &str| match world.proceed(ticket, Some(session.clone())) {
        Next::Done(response) => parameter(&response, "code").unwrap(),
        other => panic!("{other:?}"),
    };
    let (first, second) = (visit(&world, &url), visit(&world, &url));
    let of_the_first = code(&first);
    assert_eq!(code(&second), of_the_first);
    assert_eq!(world.redeem(SPA, &of_the_first).status, 200);
    // A third visit comes after the code was spent: it gets a new one, and what was issued lives.
    let again = world.proceed(&visit(&world, &url), Some(session.clone()));
    let Next::Done(again) = again else { panic!("{again:?}") };
    let anew = visit(&world, again.get("location").unwrap());
    assert_eq!(world.redeem(SPA, &code(&anew)).status, 200);
}

#[test]
fn a_login_after_the_request_is_fresh_though_the_url_is_asked_for_later() {
    let world = World::new();
    let old = world.session();
    world.pass(5);
    let ticket = world.ticket(SPA, &[("prompt", "login")]);
    let (pending, reason) = waiting(world.proceed(&ticket, Some(old.clone())));
    assert_eq!(reason, SignInReason::Fresh);
    let url = pending.authorize_url();
    world.pass(5);
    let fresh = world.session();
    world.pass(5);
    for _ in 0..2 {
        let back = world.proceed(&visit(&world, &url), Some(fresh.clone()));
        assert!(matches!(back, Next::Done(_)), "{back:?}");
    }
    // Coming back without a login is no login, and the host can tell that it has been tried.
    let (pending, reason) = waiting(world.proceed(&visit(&world, &url), Some(old)));
    assert_eq!(reason, SignInReason::Fresh);
    assert!(pending.has_returned());
}

#[test]
fn a_ticket_counts_for_its_own_request_alone() {
    let world = World::new();
    let old = world.session();
    world.pass(5);
    let url = leave(&world, &[("prompt", "login")]);
    world.pass(5);
    let fresh = world.session();
    world.pass(5);
    let ticket = url.split_once("&ticket=").unwrap().1;
    let with_ticket = |client_id: &str, changes: &[(&str, &str)]| {
        let mut changes = changes.to_vec();
        changes.push(("ticket", ticket));
        world.proceed(&ticket_of(&world.authorize(client_id, &changes)), Some(fresh.clone()))
    };
    assert!(matches!(with_ticket(SPA, &[("prompt", "login")]), Next::Done(_)));
    // Another state is another request, and so is another client's: their login is not fresh.
    for (client_id, state) in [(SPA, "another"), (THIRD, "xyz")] {
        let next = with_ticket(client_id, &[("prompt", "login"), ("state", state)]);
        let (pending, reason) = waiting(next);
        assert_eq!((reason, pending.has_returned()), (SignInReason::Fresh, false));
    }
    // Nor is one that was forged, or has expired.
    let forged = format!("{}&ticket=AAAA", url.split_once("&ticket=").unwrap().0);
    let (pending, _) = waiting(world.proceed(&visit(&world, &forged), Some(old)));
    assert!(!pending.has_returned());
    world.pass(590);
    let (pending, reason) = waiting(world.proceed(&visit(&world, &url), Some(fresh)));
    assert_eq!((reason, pending.has_returned()), (SignInReason::Fresh, false));
}

#[test]
fn the_ticket_of_a_sign_out_starts_no_request() {
    let world = World::new();
    let tokens = world.tokens(SPA);
    let hint = str_of(&tokens, "id_token");
    let path = format!("/oauth2/logout?id_token_hint={hint}");
    let location = world.send(&Request::get(&path)).get("location").unwrap().to_owned();
    let logout = location.split_once("ticket=").unwrap().1;
    let (pending, _) =
        waiting(world.proceed(&ticket_of(&world.authorize(SPA, &[("ticket", logout)])), None));
    assert!(!pending.has_returned());
}
