//! How often an operation asks the token store: every call is a disk's sync or a network's turn.

use grantor::Next;

use crate::support::*;

#[test]
fn every_operation_keeps_its_budget_of_store_calls() {
    let world = World::new();
    let (authorize, ticket) = world.calls(|| world.ticket(SPA, &[]));
    assert_eq!(authorize, 0, "authorize");
    let (resume, _) = world.calls(|| world.proceed(&ticket, None));
    assert_eq!(resume, 0, "asking for a login");
    let (approve, response) = world.calls(|| world.approve(&ticket));
    assert_eq!(approve, 1, "approve");
    let code = parameter(&response, "code").unwrap();
    let (token, response) = world.calls(|| world.redeem(SPA, &code));
    assert_eq!(token, 1, "token");
    let tokens = json_body(&response);
    let (refresh, response) = world.calls(|| world.refresh(SPA, &str_of(&tokens, "refresh_token")));
    assert_eq!((refresh, response.status), (1, 200), "refresh");
    let access_token = str_of(&tokens, "access_token");
    let (userinfo, _) = world.calls(|| world.userinfo(&access_token));
    assert_eq!(userinfo, 1, "userinfo");
    let (introspect, _) = world.calls(|| world.introspect(WEB, &access_token));
    assert_eq!(introspect, 1, "introspect");
    let refresh_token = str_of(&json_body(&response), "refresh_token");
    let (introspect, _) = world.calls(|| world.introspect(WEB, &refresh_token));
    assert_eq!(introspect, 1, "introspect a refresh token");
    for token in [&refresh_token, &access_token] {
        let request = world.as_client(SPA, "/oauth2/revoke", &[("token", token)]);
        assert_eq!(world.calls(|| world.send(&request)).0, 1, "revoke");
    }
    let (service, token) = world.calls(|| world.service_token());
    assert_eq!(service, 0, "client_credentials");
    let request = world.as_client(SERVICE, "/oauth2/revoke", &[("token", &token)]);
    assert_eq!(world.calls(|| world.send(&request)).0, 1, "revoke a client's own token");
}

#[test]
fn a_third_partys_consent_costs_one_look_and_one_write() {
    let world = World::new();
    let ticket = world.ticket(THIRD, &[]);
    let (look, next) = world.calls(|| world.proceed(&ticket, Some(world.session())));
    let Next::Consent(consent) = next else { panic!("no consent is wanted") };
    assert_eq!(look, 1);
    let scope = consent.scope().clone();
    let (write, _) = world.calls(|| pollster::block_on(consent.approve(&scope)).unwrap());
    assert_eq!(write, 1);
    // Remembered, it is looked at before and after: somebody may withdraw it meanwhile.
    let ticket = world.ticket(THIRD, &[]);
    let (silent, next) = world.calls(|| world.proceed(&ticket, Some(world.session())));
    assert!(matches!(next, Next::Done(_)));
    assert_eq!(silent, 3);
}

#[test]
fn garbage_costs_nothing() {
    let world = World::new();
    let forged =
        "rt_AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for garbage in ["x", "rt_x", "authz_x", "a.b.c", forged] {
        let calls = [
            world.calls(|| world.redeem(SPA, garbage)).0,
            world.calls(|| world.refresh(SPA, garbage)).0,
            world.calls(|| world.userinfo(garbage)).0,
            world.calls(|| world.introspect(WEB, garbage)).0,
            world
                .calls(|| {
                    world.send(&world.as_client(SPA, "/oauth2/revoke", &[("token", garbage)]))
                })
                .0,
        ];
        assert_eq!(calls, [0; 5], "{garbage}");
    }
}
