//! The way through the host's pages: tickets, consent, one decision per request and session.

use grantor::grant::State;
use grantor::{Next, Scope, Session};
use pollster::block_on;

use crate::support::*;

/// What Ann is asked for a third party's request.
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
fn approving_again_after_the_code_was_spent_starts_anew_instead_of_replaying_it() {
    let world = World::new();
    for spend in [true, false] {
        let ticket = world.ticket(SPA, &[]);
        let code = parameter(&world.approve(&ticket), "code").unwrap();
        let tokens = match spend {
            true => Some(json_body(&world.redeem(SPA, &code))),
            false => None,
        };
        world.pass(if spend { 1 } else { 60 });
        let again = world.approve(&ticket);
        let url = again.get("location").unwrap().strip_prefix(ISSUER).unwrap();
        assert!(url.starts_with("/oauth2/authorize?"), "{url}");
        let ticket = world.send(&grantor::Request::get(url)).get("location").unwrap().to_owned();
        let ticket = ticket.split_once("ticket=").unwrap().1.to_owned();
        let fresh = parameter(&world.approve(&ticket), "code").unwrap();
        assert_ne!(fresh, code);
        assert_eq!(world.redeem(SPA, &fresh).status, 200);
        if let Some(tokens) = tokens {
            assert!(world.is_alive(&str_of(&tokens, "access_token")));
        }
    }
}

#[test]
fn another_person_in_the_same_session_is_another_grant() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[]);
    let subjects = ["ann", "bob"].map(|subject| {
        let session = Session::new(subject, "one session", world.server.now());
        let Next::Done(response) = world.proceed(&ticket, Some(session)) else { panic!() };
        let code = parameter(&response, "code").unwrap();
        claims(&str_of(&json_body(&world.redeem(SPA, &code)), "id_token"))["sub"].clone()
    });
    assert_eq!(subjects, ["ann", "bob"]);
}

#[test]
fn what_happens_between_login_and_approval_is_seen() {
    let world = World::new();
    // The subject's barrier moves while the consent page is open.
    let asked = consent(&world, &[]);
    world.pass(1);
    let valid_from = world.server.now();
    world.people.set("ann", grantor::SubjectStatus::Active { valid_from });
    let scope = asked.scope().clone();
    assert_redirected(&block_on(asked.approve(&scope)).unwrap(), "access_denied");
    // The session that is older than the barrier must sign in again.
    let old = Session::new("ann", "s", valid_from.minus(seconds(1)));
    match world.proceed(&world.ticket(SPA, &[]), Some(old)) {
        Next::SignIn(_, reason) => assert_eq!(reason, grantor::SignInReason::Ended),
        other => panic!("{other:?}"),
    }
    // The client is revoked, and revived, while the consent page is open.
    let asked = consent(&world, &[]);
    block_on(world.server.clients().revoke(THIRD)).unwrap();
    world.pass(1);
    world.change(THIRD, |client| client.active = true);
    assert_redirected(&block_on(asked.approve(&scope)).unwrap(), "access_denied");
    assert!(world.grants().is_empty());
}

#[test]
fn a_consent_from_before_a_clients_barrier_is_not_remembered() {
    let world = World::new();
    world.approve(&world.ticket(THIRD, &[]));
    block_on(world.server.clients().revoke(THIRD)).unwrap();
    world.pass(1);
    world.change(THIRD, |client| client.active = true);
    let again = world.proceed(&world.ticket(THIRD, &[]), Some(world.session()));
    assert!(matches!(again, Next::Consent(_)));
}

#[test]
fn a_request_that_no_ticket_can_carry_is_refused_and_a_useless_hint_is_dropped() {
    let world = World::new();
    let hint = "h".repeat(6000);
    let ticket = world.ticket(SPA, &[("login_hint", &hint)]);
    assert!(ticket.len() < 2000);
    assert!(parameter(&world.approve(&ticket), "code").is_some());
    let state = "\u{1F600}".repeat(512);
    let nonce = "\u{1F600}".repeat(512);
    let large = world.authorize(SPA, &[("state", &state), ("nonce", &nonce)]);
    assert_eq!(parameter(&large, "error").as_deref(), Some("invalid_request"));
    assert_eq!(parameter(&large, "state").as_deref(), Some(&*state));
    assert_eq!(world.authorize(SPA, &[("state", &state)]).status, 303);
}

#[test]
fn failures_on_the_way_are_events_with_their_reason() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[]);
    world.break_store(true);
    let failed = block_on(async {
        world.server.resume(&ticket).await.unwrap().proceed(Some(world.session())).await
    });
    assert!(failed.is_err());
    assert!(world.events().iter().any(|event| event.contains("the disk is full")));
    world.authorize(SPA, &[("redirect_uri", "https://evil.example")]);
    assert!(world.events().iter().any(|event| event.contains("redirect_uri_mismatch")));
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

#[test]
fn a_withdrawn_consent_ends_what_the_client_held_and_is_asked_again() {
    let world = World::new();
    let ticket = world.ticket(THIRD, &[]);
    let code = parameter(&world.approve(&ticket), "code").unwrap();
    let tokens = json_body(&world.redeem(THIRD, &code));
    let other = world.tokens(SPA);
    let consents = block_on(world.server.consents("ann")).unwrap();
    assert_eq!(consents.len(), 1);
    assert_eq!(
        (consents[0].client_id.as_str(), consents[0].scope.to_string()),
        (THIRD, "openid profile email".into())
    );
    block_on(world.server.withdraw("ann", THIRD)).unwrap();
    assert!(block_on(world.server.consents("ann")).unwrap().is_empty());
    assert!(!world.is_alive(&str_of(&tokens, "access_token")));
    assert!(world.is_alive(&str_of(&other, "access_token")));
    assert!(world.saw("ConsentWithdrawn"));
    let again = world.proceed(&world.ticket(THIRD, &[]), Some(world.session()));
    assert!(matches!(again, Next::Consent(_)));
}

#[test]
fn a_consent_that_is_withdrawn_while_a_silent_request_runs_lets_nothing_through() {
    let world = World::new();
    world.approve(&world.ticket(THIRD, &[]));
    for prompt in ["", "none"] {
        world.approve(&world.ticket(THIRD, &[("prompt", "consent")]));
        let server = world.server.clone();
        world.meanwhile(move || block_on(server.withdraw("ann", THIRD)).unwrap());
        let ticket = world.ticket(THIRD, &[("prompt", prompt)]);
        let Next::Done(response) = world.proceed(&ticket, Some(world.session())) else {
            panic!("the consent stood when the request began")
        };
        assert_eq!(parameter(&response, "code"), None);
        assert!(world.grants().iter().all(|grant| grant.state == State::Revoked));
        // The request starts again, and the person is asked.
        let again = response.get("location").unwrap().strip_prefix(ISSUER).unwrap();
        let again = world.send(&grantor::Request::get(again));
        let ticket = again.get("location").unwrap().split_once("ticket=").unwrap().1.to_owned();
        match world.proceed(&ticket, Some(world.session())) {
            Next::Consent(_) => assert_eq!(prompt, ""),
            Next::Done(response) => assert_redirected(&response, "consent_required"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn withdrawing_what_was_never_given_is_no_event() {
    let world = World::new();
    block_on(world.server.withdraw("ann", THIRD)).unwrap();
    assert!(!world.saw("ConsentWithdrawn"));
}

#[test]
fn a_person_gets_a_page_when_the_server_cannot_answer() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[]);
    world.break_store(true);
    let failed = block_on(async {
        world.server.resume(&ticket).await.unwrap().proceed(Some(world.session())).await
    });
    let response = failed.unwrap_err().into_response();
    assert_eq!(response.status, 503);
    assert!(response.get("content-type").unwrap().starts_with("text/html"));
    assert_eq!(response.get("retry-after"), Some("1"));
    let page = text(&response);
    assert!(page.contains("cannot answer right now") && !page.contains("/secret/path"), "{page}");
    let too_large = grantor::Request::form("/oauth2/authorize", &[]).header("accept", "text/html");
    let failed = world.server.failed(&too_large, grantor::Failure::TooLarge);
    let response = block_on(failed);
    assert_eq!(response.status, 413);
    assert!(response.get("content-type").unwrap().starts_with("text/html"));
}

#[test]
fn the_pages_know_what_they_show_and_where_they_go_on() {
    let world = World::new();
    let wishes = [("login_hint", "ann@example.com"), ("ui_locales", "de-CH fr")];
    let ticket = world.ticket(THIRD, &wishes);
    // Before anybody is looked for, for whoever binds a form to it.
    let interaction = block_on(world.server.resume(&ticket)).unwrap();
    assert_eq!(
        (interaction.ticket(), interaction.destination()),
        (ticket.clone(), "rp.example".into())
    );
    assert_eq!(interaction.scope().to_string(), "openid profile email");
    assert_eq!(interaction.ui_locales(), ["de-CH", "fr"]);
    assert!(format!("{interaction:?}").contains(THIRD));
    let Next::SignIn(pending, _) = world.proceed(&ticket, None) else { panic!("nobody is there") };
    assert_eq!(pending.client().client_id, THIRD);
    assert_eq!(pending.destination(), "rp.example");
    assert_eq!(pending.login_hint(), Some("ann@example.com"));
    assert_eq!(pending.ticket(), ticket);
    let asked = match world.proceed(&pending.ticket(), Some(world.session())) {
        Next::Consent(consent) => consent,
        other => panic!("no consent is wanted: {other:?}"),
    };
    assert_eq!((asked.client().client_id.as_str(), asked.subject()), (THIRD, "ann"));
    assert_eq!(asked.ui_locales(), ["de-CH", "fr"]);
    let targets = ["https://rp.example"];
    assert_eq!(
        (pending.form_targets(), asked.form_targets()),
        (targets.map(String::from).into(), targets.map(String::from).into())
    );
    assert_eq!(asked.ticket(), ticket);
}

#[test]
fn an_approval_is_an_event_and_a_refusal_is_none_of_that_kind() {
    let world = World::new();
    let _ = block_on(consent(&world, &[]).deny()).unwrap();
    assert!(!world.saw("Approved") && world.saw("DeniedByUser"));
    world.approve(&world.ticket(THIRD, &[]));
    assert!(world.saw("Approved"));
}

#[test]
fn a_session_prints_whose_it_is_and_not_its_id() {
    let world = World::new();
    let session = Session::new("ann", "the cookie", world.server.now());
    let printed = format!("{session:?}");
    assert!(printed.contains("ann") && !printed.contains("cookie"), "{printed}");
}

#[test]
fn a_refusal_counts_also_where_nothing_would_be_asked_any_more() {
    let world = World::new();
    let (first, second) = (world.ticket(THIRD, &[]), world.ticket(THIRD, &[]));
    world.approve(&first);
    // Another tab has allowed the client meanwhile; this one says no.
    let refused = block_on(async {
        let interaction = world.server.resume(&second).await.unwrap();
        interaction.deny(world.session()).await.unwrap()
    });
    assert_redirected(&refused, "access_denied");
    // And that stands for this request.
    let Next::Done(again) = world.proceed(&second, Some(world.session())) else { panic!("asked") };
    assert_redirected(&again, "access_denied");
}

// What goes through the whole flow unchanged, or not at all.

#[test]
fn a_state_and_a_nonce_come_back_as_they_went_whatever_they_hold() {
    let world = World::new();
    let odd = "Ü+%2B&=?# \u{1f511}";
    for opaque in [odd.to_owned(), "s".repeat(512), "n".repeat(2048)] {
        let parameters = [("state", &*opaque), ("nonce", &*opaque)];
        let response = world.approve(&world.ticket(SPA, &parameters));
        assert_eq!(parameter(&response, "state").as_ref(), Some(&opaque));
        let tokens = json_body(&world.redeem(SPA, &parameter(&response, "code").unwrap()));
        assert_eq!(claims(&str_of(&tokens, "id_token"))["nonce"], opaque);
    }
    let long = "n".repeat(2049);
    assert_redirected(&world.authorize(SPA, &[("nonce", &long)]), "invalid_request");
    let refused = world.authorize(SPA, &[("state", &long)]);
    assert_eq!(parameter(&refused, "error").as_deref(), Some("invalid_request"));
    assert_eq!(parameter(&refused, "state"), None, "it would be another");
}

#[test]
fn a_nonce_in_the_token_request_is_nothing() {
    let world = World::new();
    let response = world.approve(&world.ticket(SPA, &[("nonce", "asked for")]));
    let code = parameter(&response, "code").unwrap();
    let parameters = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("nonce", "slipped in"),
    ];
    let tokens = json_body(&world.token(SPA, &parameters));
    assert_eq!(claims(&str_of(&tokens, "id_token"))["nonce"], "asked for");
}

#[test]
fn an_installed_application_redeems_with_the_port_that_it_asked_with() {
    let world = World::new();
    world.change(SPA, |client| {
        client.native = true;
        client.redirect_uris = vec!["http://127.0.0.1/cb".into()];
    });
    let asked = "http://127.0.0.1:50123/cb";
    let ticket = world.ticket(SPA, &[("redirect_uri", asked)]);
    let response = world.approve(&ticket);
    assert!(response.get("location").unwrap().starts_with(&format!("{asked}?")));
    let code = parameter(&response, "code").unwrap();
    let redeem = |redirect_uri: Option<&str>| {
        let mut parameters = vec![
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("code_verifier", VERIFIER),
        ];
        parameters.extend(redirect_uri.map(|uri| ("redirect_uri", uri)));
        world.token(SPA, &parameters)
    };
    for other in [Some("http://127.0.0.1:50124/cb"), Some("http://127.0.0.1/cb"), None] {
        assert_error(&redeem(other), 400, "invalid_grant");
    }
    assert_eq!(redeem(Some(asked)).status, 200);
}

#[test]
fn while_randomness_or_the_hosts_people_are_away_nothing_is_issued_and_a_refresh_is_repeated() {
    let world = World::new();
    let (dry, alone) = (world.code(SPA), world.code(SPA));
    let tokens = world.tokens(SPA);
    let (refresh, access) = (str_of(&tokens, "refresh_token"), str_of(&tokens, "access_token"));
    world.run_dry(true);
    assert_error(&world.redeem(SPA, &dry), 503, "server_error");
    assert_error(&world.refresh(SPA, &refresh), 503, "server_error");
    world.run_dry(false);
    world.people.break_down(true);
    assert_error(&world.redeem(SPA, &alone), 503, "temporarily_unavailable");
    assert_error(&world.refresh(SPA, &refresh), 503, "temporarily_unavailable");
    assert_error(&world.userinfo(&access), 503, "temporarily_unavailable");
    let asked = world.as_client(SERVICE, "/oauth2/introspect", &[("token", &access)]);
    assert_error(&world.send(&asked), 503, "temporarily_unavailable");
    let guard = grantor::Guard::new(&world.server);
    let admission = block_on(guard.admit(&bearer(grantor::Request::get("/orders"), &access)));
    let grantor::Admission::Answered(refused) = admission else { panic!("let in") };
    assert_eq!(refused.status, 503);
    world.people.break_down(false);
    // A code may be spent by then, and is never both spent and good.
    for code in [dry, alone] {
        assert_error(&world.redeem(SPA, &code), 400, "invalid_grant");
    }
    assert_eq!(world.refresh(SPA, &refresh).status, 200);
    assert!(world.is_alive(&access));
}

#[test]
fn a_client_without_a_secret_on_the_persons_own_machine_is_asked_about_each_time() {
    let world = World::new();
    let local = "http://localhost:3000/cb";
    for client in [THIRD, WEB] {
        world.change(client, |client| {
            client.redirect_uris = vec![CALLBACK.into(), local.into()];
            client.first_party = false;
        });
    }
    let asks_again = |client: &str, uri: &str| {
        let asked = [("redirect_uri", uri)];
        world.approve(&world.ticket(client, &asked));
        matches!(
            world.proceed(&world.ticket(client, &asked), Some(world.session())),
            Next::Consent(_)
        )
    };
    assert!(asks_again(THIRD, local), "any program may listen there");
    assert!(!asks_again(THIRD, CALLBACK), "only the host of that name gets its answer");
    assert!(!asks_again(WEB, local), "the answer is worth nothing without its secret");
    let silent = world.ticket(THIRD, &[("redirect_uri", local), ("prompt", "none")]);
    let Next::Done(response) = world.proceed(&silent, Some(world.session())) else { panic!() };
    assert_eq!(parameter(&response, "error").as_deref(), Some("consent_required"));
}

#[test]
fn parameters_that_nobody_knows_are_not_carried_along() {
    let world = World::new();
    let plain = world.ticket(SPA, &[]);
    let long = "x".repeat(1000);
    let with = world.ticket(SPA, &[("foo", &long), ("return_to", "https://evil.example")]);
    assert_eq!(with.len(), plain.len());
}

#[test]
fn nothing_of_a_request_shows_when_it_is_printed_for_debugging() {
    let world = World::new();
    let secrets = [("state", "state-of-the-client"), ("nonce", "nonce-of-the-client")];
    let ticket = world.ticket(THIRD, &secrets);
    let interaction = block_on(world.server.resume(&ticket)).unwrap();
    let mut printed = format!("{interaction:?}");
    let next = block_on(interaction.proceed(None)).unwrap();
    printed.push_str(&format!("{next:?}"));
    let Next::SignIn(pending, _) = next else { panic!() };
    printed.push_str(&format!("{pending:?}"));
    let next = world.proceed(&ticket, Some(world.session()));
    printed.push_str(&format!("{next:?}"));
    let Next::Consent(consent) = next else { panic!() };
    printed.push_str(&format!("{consent:?}"));
    let scope = consent.scope().clone();
    let done = Next::Done(block_on(consent.approve(&scope)).unwrap());
    let Next::Done(response) = &done else { panic!() };
    let code = parameter(response, "code").unwrap();
    printed
        .push_str(&format!("{done:?} {response:?} {:?}", grantor::MasterKey::from_bytes([7; 32])));
    let mut made =
        grantor::Client::confidential("made", "Made", &grantor::Secret::new("chosen-secret"));
    made.redirect_uris = vec![CALLBACK.into()];
    let created = block_on(world.server.clients().create(made)).unwrap();
    let secret = created.client_secret.clone().map(|secret| secret.expose().to_owned());
    printed.push_str(&format!("{created:?}"));
    let expected =
        [ticket.as_str(), "state-of-the-client", "nonce-of-the-client", CHALLENGE, &code];
    for text in expected.into_iter().chain(secret.as_deref()).chain(["chosen-secret", "7, 7, 7"]) {
        assert!(!printed.contains(text), "{text} in {printed}");
    }
}
