//! RFC 7662, token introspection.

use grantor::{GrantType, Scope, SubjectStatus, Time};
use serde_json::json;

use crate::support::*;

// Section 2.1.

#[test]
fn only_a_client_that_can_authenticate_may_ask() {
    let world = World::new();
    let token = str_of(&world.tokens(SPA), "access_token");
    let ask = |request| world.send(&request);
    let parameters = [("token", token.as_str())];
    assert_error(
        &ask(world.as_client(SPA, "/oauth2/introspect", &parameters)),
        401,
        "invalid_client",
    );
    let nobody = grantor::Request::form("/oauth2/introspect", &parameters);
    assert_error(&ask(nobody), 401, "invalid_client");
    assert_error(&ask(world.as_client(WEB, "/oauth2/introspect", &[])), 400, "invalid_request");
}

// Section 2.2.

#[test]
fn an_active_token_is_described_and_a_foreign_one_is_not() {
    let world = World::new();
    let tokens = world.tokens(WEB);
    let access_token = str_of(&tokens, "access_token");
    let own = world.introspect(WEB, &access_token);
    assert_eq!(own["active"], true);
    for (name, value) in
        [("client_id", WEB), ("sub", "ann"), ("iss", ISSUER), ("token_type", "Bearer")]
    {
        assert_eq!(own[name], value);
    }
    assert_eq!(own["org_id"], "acme");
    assert!(own["exp"].is_i64() && own["iat"].is_i64() && own["jti"].is_string());
    let refresh_token = world.introspect(WEB, &str_of(&tokens, "refresh_token"));
    assert_eq!((&refresh_token["active"], &refresh_token["sub"]), (&json!(true), &json!("ann")));

    // A client that serves the token's audience may know; another may not.
    assert_eq!(world.introspect(SERVICE, &access_token)["active"], true);
    assert_eq!(world.introspect(OTHER, &access_token), json!({"active": false}));
    let refresh_token = str_of(&tokens, "refresh_token");
    assert_eq!(world.introspect(SERVICE, &refresh_token), json!({"active": false}));
}

#[test]
fn whatever_is_dead_is_inactive_and_nothing_else_is_said() {
    type Kill = fn(&World, &serde_json::Value);
    let dead: [(&str, Kill); 7] = [
        ("revoked", |world, tokens| {
            let token = str_of(tokens, "refresh_token");
            world.send(&world.as_client(WEB, "/oauth2/revoke", &[("token", &token)]));
        }),
        ("expired", |world, _| world.pass(100 * 86_400)),
        ("its subject disabled", |world, _| world.people.set("ann", SubjectStatus::Disabled)),
        ("older than its subject's barrier", |world, _| {
            world.pass(1);
            let valid_from = world.server.now();
            world.people.set("ann", SubjectStatus::Active { valid_from });
        }),
        ("its client off", |world, _| {
            pollster::block_on(world.server.clients().revoke(WEB)).unwrap();
            world.pass(1);
            world.change(WEB, |client| client.active = true);
        }),
        ("older than its client's barrier", |world, _| {
            world.pass(1);
            let now = world.server.now();
            world.change(WEB, |client| client.valid_from = now);
        }),
        ("revoked by the host", |world, _| {
            let owner = grantor::store::Owner::Subject(world.server.issuer().clone(), "ann".into());
            pollster::block_on(world.server.revoke_all(&owner)).unwrap();
        }),
    ];
    for (why, kill) in dead {
        let world = World::new();
        let tokens = world.tokens(WEB);
        kill(&world, &tokens);
        for name in ["access_token", "refresh_token"] {
            let answer = world.introspect(WEB, &str_of(&tokens, name));
            assert_eq!(answer, json!({"active": false}), "{name}: {why}");
        }
        assert!(!world.is_alive(&str_of(&tokens, "access_token")), "{why}");
        let refreshed = world.refresh(WEB, &str_of(&tokens, "refresh_token"));
        assert_error(&refreshed, 400, "invalid_grant");
    }
}

#[test]
fn a_rotated_refresh_token_and_garbage_are_inactive() {
    let world = World::new();
    let tokens = world.tokens(WEB);
    let old = str_of(&tokens, "refresh_token");
    let new = str_of(&json_body(&world.refresh(WEB, &old)), "refresh_token");
    assert_eq!(world.introspect(WEB, &old), json!({"active": false}));
    assert_eq!(world.introspect(WEB, &new)["active"], true);
    for garbage in ["x", "a.b.c", "rt_x", &str_of(&tokens, "id_token"), &world.code(WEB)] {
        assert_eq!(world.introspect(WEB, garbage), json!({"active": false}), "{garbage}");
    }
}

#[test]
fn a_refresh_token_is_worth_what_its_client_could_still_get_with_it() {
    let world = World::new();
    let token = str_of(&world.tokens(WEB), "refresh_token");
    world.change(WEB, |client| client.scope = Scope::parse("openid profile").unwrap());
    assert_eq!(world.introspect(WEB, &token)["scope"], "openid profile");
    world.change(WEB, |client| client.scope = Scope::parse("orders:read").unwrap());
    assert_eq!(world.introspect(WEB, &token), json!({"active": false}));
    world.change(WEB, |client| {
        client.scope = Scope::parse("openid profile email").unwrap();
        client.grant_types = vec![GrantType::AuthorizationCode];
    });
    assert_eq!(world.introspect(WEB, &token), json!({"active": false}));
}

#[test]
fn a_barrier_of_the_very_beginning_kills_nothing() {
    let world = World::new();
    world.people.set("ann", SubjectStatus::Active { valid_from: Time::EPOCH });
    let token = str_of(&world.tokens(WEB), "access_token");
    assert_eq!(world.introspect(WEB, &token)["active"], true);
}

#[test]
fn a_clients_own_token_dies_with_its_client() {
    let world = World::new();
    let token = world.service_token();
    assert_eq!(world.introspect(SERVICE, &token)["active"], true);
    world.pass(2);
    let now = world.server.now();
    world.change(SERVICE, |client| client.valid_from = now);
    assert_eq!(world.introspect(SERVICE, &token), json!({"active": false}));
    let newer = world.service_token();
    assert_eq!(world.introspect(SERVICE, &newer)["active"], true);
    world.change(SERVICE, |client| client.active = false);
    let guard = grantor::Guard::new(&world.server);
    let request = bearer(grantor::Request::get("/api"), &newer);
    assert!(matches!(
        pollster::block_on(guard.admit(&request)),
        grantor::Admission::Answered(response) if response.status == 401
    ));
}

#[test]
fn a_token_is_asked_about_or_revoked_in_the_body_of_one_form() {
    let world = World::new();
    let token = str_of(&world.tokens(WEB), "access_token");
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let right = world.as_client(WEB, path, &[("token", &token)]);
        let mut in_url = world.as_client(WEB, path, &[]);
        in_url.query = Some(format!("token={token}"));
        let mut in_both = right.clone();
        in_both.query = Some(format!("token={token}"));
        let twice = world.as_client(WEB, path, &[("token", &token), ("token", "another")]);
        let mut as_json = right.clone();
        as_json.headers.retain(|(name, _)| *name != "content-type");
        as_json = as_json.header("content-type", "application/json");
        as_json.body = json!({"token": token}).to_string().into_bytes();
        for request in [in_url, in_both, twice, as_json, world.as_client(WEB, path, &[])] {
            assert_error(&world.send(&request), 400, "invalid_request");
        }
        assert!(world.is_alive(&token), "{path}");
    }
}

#[test]
fn a_wrong_hint_changes_nothing_and_answers_are_nobodys_to_keep() {
    let world = World::new();
    let tokens = world.tokens(WEB);
    for kind in ["access_token", "refresh_token"] {
        let token = str_of(&tokens, kind);
        for hint in ["access_token", "refresh_token", "id_token", "nonsense"] {
            let parameters = [("token", &*token), ("token_type_hint", hint)];
            let response = world.send(&world.as_client(WEB, "/oauth2/introspect", &parameters));
            assert_eq!(json_body(&response)["active"], true, "{kind} {hint}");
            assert_eq!(response.get("cache-control"), Some("no-store"));
        }
    }
    let unknown = world.send(&world.as_client(WEB, "/oauth2/introspect", &[("token", "x")]));
    assert_eq!(unknown.get("cache-control"), Some("no-store"));
}

#[test]
fn what_has_died_is_dead_for_the_api_too_that_its_token_was_meant_for() {
    type Kill = fn(&World, &str, &serde_json::Value);
    let dead: [(&str, Kill); 4] = [
        ("its code was used again", |world, code, _| {
            world.pass(120);
            world.redeem(WEB, code);
        }),
        ("its refresh token was used again", |world, _, tokens| {
            let token = str_of(tokens, "refresh_token");
            let next = str_of(&json_body(&world.refresh(WEB, &token)), "refresh_token");
            world.pass(120);
            world.refresh(WEB, &next);
            world.pass(120);
            world.refresh(WEB, &token);
        }),
        ("the consent was withdrawn", |world, _, _| {
            pollster::block_on(world.server.withdraw("ann", WEB)).unwrap();
        }),
        ("its client is off", |world, _, _| {
            world.change(WEB, |client| client.active = false);
        }),
    ];
    for (why, kill) in dead {
        let world = World::new();
        let code = world.code(WEB);
        let tokens = json_body(&world.redeem(WEB, &code));
        let token = str_of(&tokens, "access_token");
        assert_eq!(world.introspect(SERVICE, &token)["active"], true);
        kill(&world, &code, &tokens);
        assert_eq!(world.introspect(SERVICE, &token), json!({"active": false}), "{why}");
        assert!(!world.is_alive(&token), "{why}");
    }
}

#[test]
fn answers_are_never_mixed_up_between_tokens_and_callers() {
    let world = World::new();
    let token_of = |subject: &str| {
        let session = grantor::Session::new(subject, format!("of {subject}"), world.server.now());
        let grantor::Next::Done(response) = world.proceed(&world.ticket(WEB, &[]), Some(session))
        else {
            panic!()
        };
        let tokens = json_body(&world.redeem(WEB, &parameter(&response, "code").unwrap()));
        str_of(&tokens, "access_token")
    };
    let tokens = [("ann", token_of("ann")), ("bob", token_of("bob"))];
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (world, tokens) = (&world, &tokens);
            threads.spawn(move || {
                for n in 0..500 {
                    let (subject, token) = &tokens[(n + thread) % 2];
                    for (caller, knows) in [(WEB, true), (SERVICE, true), (OTHER, false)] {
                        let request =
                            world.as_client(caller, "/oauth2/introspect", &[("token", token)]);
                        let response = world.send(&request);
                        assert_eq!(response.get("cache-control"), Some("no-store"));
                        let answer = json_body(&response);
                        match knows {
                            true => assert_eq!(answer["sub"], *subject),
                            false => assert_eq!(answer, json!({"active": false})),
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn an_answer_is_plain_json_whatever_is_asked_for() {
    let world = World::new();
    let token = str_of(&world.tokens(WEB), "access_token");
    let request = world.as_client(WEB, "/oauth2/introspect", &[("token", &token)]);
    let response = world.send(&request.header("accept", "application/token-introspection+jwt"));
    assert_eq!((response.status, response.get("content-type")), (200, Some("application/json")));
    assert_eq!(json_body(&response)["active"], true);
}
