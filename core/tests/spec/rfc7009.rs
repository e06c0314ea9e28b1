//! RFC 7009, token revocation.

use crate::support::*;

fn revoke(world: &World, client: &str, token: &str) -> grantor::Response {
    world.send(&world.as_client(client, "/oauth2/revoke", &[("token", token)]))
}

// Section 2.1.

#[test]
fn revoking_any_token_of_a_grant_ends_the_grant() {
    for name in ["refresh_token", "access_token"] {
        for client in [SPA, WEB] {
            let world = World::new();
            let tokens = world.tokens(client);
            let response = revoke(&world, client, &str_of(&tokens, name));
            assert_eq!((response.status, text(&response).as_str()), (200, "{}"), "{name}");
            assert!(!world.is_alive(&str_of(&tokens, "access_token")), "{name}");
            let refused = world.refresh(client, &str_of(&tokens, "refresh_token"));
            assert_error(&refused, 400, "invalid_grant");
            assert!(world.saw("TokenRevoked"));
        }
    }
}

#[test]
fn a_code_that_is_not_redeemed_yet_can_be_revoked() {
    let world = World::new();
    let code = world.code(SPA);
    assert_eq!(revoke(&world, SPA, &code).status, 200);
    assert_error(&world.redeem(SPA, &code), 400, "invalid_grant");
}

#[test]
fn an_older_refresh_token_of_the_grant_ends_it_too() {
    let world = World::new();
    let first = world.tokens(SPA);
    let second = json_body(&world.refresh(SPA, &str_of(&first, "refresh_token")));
    assert_eq!(revoke(&world, SPA, &str_of(&first, "refresh_token")).status, 200);
    assert!(!world.is_alive(&str_of(&second, "access_token")));
}

#[test]
fn another_clients_token_is_untouched_and_the_answer_is_the_same() {
    let world = World::new();
    let tokens = world.tokens(WEB);
    for name in ["refresh_token", "access_token"] {
        for client in [OTHER, SPA] {
            let response = revoke(&world, client, &str_of(&tokens, name));
            assert_eq!((response.status, text(&response).as_str()), (200, "{}"));
        }
    }
    assert!(world.is_alive(&str_of(&tokens, "access_token")));
    assert_eq!(world.refresh(WEB, &str_of(&tokens, "refresh_token")).status, 200);
}

#[test]
fn a_client_must_authenticate_and_a_public_one_must_name_itself() {
    let world = World::new();
    let tokens = world.tokens(WEB);
    let token = str_of(&tokens, "access_token");
    let by_id = grantor::Request::form("/oauth2/revoke", &[("token", &token), ("client_id", WEB)]);
    assert_error(&world.send(&by_id), 401, "invalid_client");
    let nobody = grantor::Request::form("/oauth2/revoke", &[("token", &token)]);
    assert_error(&world.send(&nobody), 401, "invalid_client");
    assert_error(&world.send(&world.as_client(WEB, "/oauth2/revoke", &[])), 400, "invalid_request");
    assert!(world.is_alive(&token));
}

// Section 2.2: "invalid tokens do not cause an error response".

#[test]
fn unknown_dead_and_repeated_revocations_are_answered_with_200() {
    let world = World::new();
    let tokens = world.tokens(SPA);
    let refresh_token = str_of(&tokens, "refresh_token");
    for token in ["nonsense", "rt_nonsense", "a.b.c", &refresh_token, &refresh_token] {
        assert_eq!(revoke(&world, SPA, token).status, 200, "{token}");
    }
    world.pass(3600);
    assert_eq!(revoke(&world, SPA, &str_of(&tokens, "access_token")).status, 200);
}

#[test]
fn a_wrong_hint_is_harmless() {
    let world = World::new();
    let tokens = world.tokens(SPA);
    for hint in ["access_token", "refresh_token", "nonsense"] {
        let token = str_of(&tokens, "refresh_token");
        let parameters = [("token", token.as_str()), ("token_type_hint", hint)];
        let response = world.send(&world.as_client(SPA, "/oauth2/revoke", &parameters));
        assert_eq!(response.status, 200);
    }
    assert!(!world.is_alive(&str_of(&tokens, "access_token")));
}

#[test]
fn a_clients_own_token_is_revoked_by_a_tombstone_until_it_expires() {
    let world = World::new();
    let (token, spared) = (world.service_token(), world.service_token());
    assert_eq!(world.introspect(SERVICE, &token)["active"], true);
    assert_eq!(revoke(&world, OTHER, &token).status, 200);
    assert_eq!(world.introspect(SERVICE, &token)["active"], true);
    assert_eq!(revoke(&world, SERVICE, &token).status, 200);
    assert_eq!(world.introspect(SERVICE, &token)["active"], false);
    assert_eq!(world.introspect(SERVICE, &spared)["active"], true);
    pollster::block_on(world.server.maintain()).unwrap();
    assert_eq!(world.introspect(SERVICE, &token)["active"], false);
}

#[test]
fn a_tombstone_outlives_its_token_for_processes_whose_clock_is_behind() {
    let world = World::new();
    let token = world.service_token();
    revoke(&world, SERVICE, &token);
    world.pass(601);
    pollster::block_on(world.server.maintain()).unwrap();
    let behind = world.another_process(grantor::Policy::default());
    world.step_back(60);
    let request = world.as_client(SERVICE, "/oauth2/introspect", &[("token", &token)]);
    let answer = pollster::block_on(behind.handle(&request));
    assert_eq!(json_body(&answer)["active"], false);
}

#[test]
fn only_a_revocation_that_happened_is_an_event() {
    let world = World::new();
    let tokens = world.tokens(WEB);
    revoke(&world, OTHER, &str_of(&tokens, "refresh_token"));
    revoke(&world, OTHER, "nonsense");
    assert!(!world.saw("TokenRevoked"));
}

#[test]
fn a_request_that_names_no_client_may_revoke_a_public_clients_token_where_that_is_allowed() {
    let mut policy = grantor::Policy::default();
    policy.anonymous_revocation = true;
    let world = World::with(policy);
    let anonymous = |token: &str| {
        let request = grantor::Request::form("/oauth2/revoke", &[("token", token)]);
        world.send(&request).status
    };
    for name in ["refresh_token", "access_token"] {
        let (public, confidential) = (world.tokens(SPA), world.tokens(WEB));
        assert_eq!(anonymous(&str_of(&public, name)), 200);
        assert_eq!(anonymous(&str_of(&confidential, name)), 200);
        assert!(!world.is_alive(&str_of(&public, "access_token")), "{name}");
        assert!(world.is_alive(&str_of(&confidential, "access_token")), "{name}");
    }
    assert_eq!(anonymous("nonsense"), 200);
    assert_eq!(anonymous(&world.service_token()), 200);
}

#[test]
fn what_could_not_be_revoked_is_alive_and_nobody_is_told_otherwise() {
    let world = World::new();
    let tokens = world.tokens(WEB);
    let (access, refresh) = (str_of(&tokens, "access_token"), str_of(&tokens, "refresh_token"));
    let (code, own) = (world.code(WEB), world.service_token());
    world.break_store(true);
    for (client_id, token) in [(WEB, &access), (WEB, &refresh), (WEB, &code), (SERVICE, &own)] {
        let request = world.as_client(client_id, "/oauth2/revoke", &[("token", token)]);
        assert_error(&world.send(&request), 503, "temporarily_unavailable");
    }
    world.break_store(false);
    assert!(!world.saw("TokenRevoked"));
    assert!(world.is_alive(&access));
    assert_eq!(world.introspect(SERVICE, &own)["active"], true);
    assert_eq!(world.redeem(WEB, &code).status, 200);
    assert_eq!(world.refresh(WEB, &refresh).status, 200);
}
