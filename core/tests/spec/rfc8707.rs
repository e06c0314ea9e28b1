//! RFC 8707: a token for one resource opens no other.

use grantor::{Next, Policy, Request, Response};
use serde_json::{Value, json};

use crate::client_keys::{ClientKey, Network};
use crate::support::*;

const ORDERS: &str = "https://orders.example/v1";
const BILLS: &str = "https://bills.example";

/// A client that may reach two APIs beside the server itself.
fn world() -> World {
    let world = World::new();
    for client_id in [SPA, WEB, SERVICE] {
        world.change(client_id, |client| client.audiences = vec![ORDERS.into(), BILLS.into()]);
    }
    world
}

fn audience(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", text(response));
    claims(&str_of(&json_body(response), "access_token"))["aud"].clone()
}

/// A code that was asked for with these resources.
fn code(world: &World, resources: &[&str]) -> String {
    let changes: Vec<_> = resources.iter().map(|resource| ("resource", *resource)).collect();
    let response = world.send(&request(&changes));
    let location = response.get("location").unwrap();
    let ticket = location.strip_prefix("https://id.example.com/login?ticket=").unwrap();
    parameter(&world.approve(ticket), "code").unwrap()
}

/// An authorization request in which a parameter may come more than once.
fn request(more: &[(&str, &str)]) -> Request {
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", SPA),
        ("redirect_uri", CALLBACK),
        ("scope", "openid email"),
        ("state", "xyz"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    parameters.extend_from_slice(more);
    Request::form("/oauth2/authorize", &parameters)
}

fn redeem(world: &World, code: &str, resources: &[&str]) -> Response {
    let mut parameters = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    parameters.extend(resources.iter().map(|resource| ("resource", *resource)));
    world.token(SPA, &parameters)
}

fn refresh(world: &World, token: &str, resources: &[&str]) -> Response {
    let mut parameters = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    parameters.extend(resources.iter().map(|resource| ("resource", *resource)));
    world.token(SPA, &parameters)
}

#[test]
fn without_a_resource_a_token_is_for_all_that_the_client_may_reach() {
    let world = world();
    let response = redeem(&world, &code(&world, &[]), &[]);
    assert_eq!(audience(&response), json!([ISSUER, ORDERS, BILLS]));
}

#[test]
fn a_token_is_for_exactly_what_was_asked_for_at_authorization() {
    let world = world();
    let response = redeem(&world, &code(&world, &[ORDERS]), &[]);
    assert_eq!(audience(&response), ORDERS);
    let token = str_of(&json_body(&response), "access_token");
    // It is not for this server's own API, so a resource server that is curious cannot use it there.
    assert_error(&world.userinfo(&token), 401, "invalid_token");
    // The ID token is for the client, whatever else was asked for.
    assert_eq!(claims(&str_of(&json_body(&response), "id_token"))["aud"], SPA);
    let response = redeem(&world, &code(&world, &[ORDERS, ISSUER, ORDERS]), &[]);
    assert_eq!(audience(&response), json!([ISSUER, ORDERS]));
    assert!(world.is_alive(&str_of(&json_body(&response), "access_token")));
}

#[test]
fn a_token_request_may_ask_for_one_of_the_granted_resources_each_time_another() {
    let world = world();
    let response = redeem(&world, &code(&world, &[ORDERS, BILLS]), &[BILLS]);
    assert_eq!(audience(&response), BILLS);
    // What one token was asked for does not narrow the grant.
    let token = str_of(&json_body(&response), "refresh_token");
    let response = refresh(&world, &token, &[ORDERS]);
    assert_eq!(audience(&response), ORDERS);
    let token = str_of(&json_body(&response), "refresh_token");
    assert_eq!(audience(&refresh(&world, &token, &[])), json!([ORDERS, BILLS]));
}

#[test]
fn a_resource_of_nobody_is_sent_back_as_invalid_target() {
    let world = world();
    for wrong in [
        "https://evil.example",
        "https://orders.example",
        "https://orders.example/v1/",
        "https://orders.example/v1/admin",
        "https://orders.example/v1#x",
        "HTTPS://orders.example/v1",
        "not a uri",
    ] {
        assert_redirected(&world.send(&request(&[("resource", wrong)])), "invalid_target");
        let both = [("resource", ORDERS), ("resource", wrong)];
        assert_redirected(&world.send(&request(&both)), "invalid_target");
    }
    // The registered resources of another client are nobody's here.
    let asked = world.authorize(THIRD, &[("resource", ORDERS)]);
    assert_redirected(&asked, "invalid_target");
    let controlled = world.send(&request(&[("resource", ORDERS), ("resource", "https://a\nb")]));
    assert_redirected(&controlled, "invalid_request");
    // An empty one counts as absent, like every parameter.
    assert_eq!(
        audience(&redeem(&world, &code(&world, &[""]), &[""])),
        json!([ISSUER, ORDERS, BILLS])
    );
}

#[test]
fn a_resource_that_was_not_granted_costs_neither_the_code_nor_the_refresh_token() {
    let world = world();
    let code = code(&world, &[ORDERS]);
    let before = world.grants();
    for wrong in [&[BILLS][..], &[ISSUER], &[ORDERS, BILLS], &["https://evil.example"]] {
        assert_error(&redeem(&world, &code, wrong), 400, "invalid_target");
        assert_eq!(world.grants(), before);
    }
    let response = redeem(&world, &code, &[ORDERS]);
    assert_eq!(audience(&response), ORDERS);
    let token = str_of(&json_body(&response), "refresh_token");
    let before = world.grants();
    for wrong in [&[BILLS][..], &[ISSUER], &[ORDERS, BILLS], &["https://evil.example"]] {
        assert_error(&refresh(&world, &token, wrong), 400, "invalid_target");
        assert_eq!(world.grants(), before);
    }
    assert_eq!(audience(&refresh(&world, &token, &[ORDERS])), ORDERS);
}

#[test]
fn the_page_learns_what_is_asked_for() {
    let world = world();
    for (asked, expected) in [(&[][..], &[][..]), (&[("resource", BILLS)][..], &[BILLS][..])] {
        let ticket = world.ticket(SPA, asked);
        let visit = || pollster::block_on(world.server.resume(&ticket)).unwrap();
        assert_eq!(visit().resources(), expected);
        let Ok(Next::SignIn(pending, _)) = pollster::block_on(visit().proceed(None)) else {
            panic!()
        };
        assert_eq!(pending.resources(), expected);
    }
    // A client that must ask, and what the person is asked.
    world.change(THIRD, |client| client.audiences = vec![BILLS.into()]);
    let ticket = world.ticket(THIRD, &[("resource", BILLS)]);
    let interaction = pollster::block_on(world.server.resume(&ticket)).unwrap();
    let Ok(Next::Consent(consent)) = pollster::block_on(interaction.proceed(Some(world.session())))
    else {
        panic!()
    };
    assert_eq!(consent.resources(), [BILLS]);
}

#[test]
fn a_replay_of_a_code_is_found_out_whatever_it_asks_for() {
    let world = world();
    let code = code(&world, &[ORDERS]);
    let token = str_of(&json_body(&redeem(&world, &code, &[])), "refresh_token");
    world.pass(300);
    assert_error(&redeem(&world, &code, &[BILLS]), 400, "invalid_grant");
    assert!(world.saw("ReuseDetected"), "{:?}", world.events());
    assert_error(&refresh(&world, &token, &[]), 400, "invalid_grant");
}

#[test]
fn a_client_on_its_own_behalf_asks_for_its_own_resources_alone() {
    let world = world();
    let ask = |resource: &str| {
        let parameters = [("grant_type", "client_credentials"), ("resource", resource)];
        world.token(SERVICE, &parameters)
    };
    assert_eq!(audience(&ask(BILLS)), BILLS);
    assert_error(&ask("https://evil.example"), 400, "invalid_target");
}

#[test]
fn what_an_operator_takes_from_the_client_is_not_in_new_tokens() {
    let world = world();
    let response = redeem(&world, &code(&world, &[ORDERS, BILLS]), &[]);
    let token = str_of(&json_body(&response), "refresh_token");
    world.change(SPA, |client| client.audiences = vec![BILLS.into()]);
    let response = refresh(&world, &token, &[]);
    assert_eq!(audience(&response), BILLS);
    world.pass(300);
    let token = str_of(&json_body(&response), "refresh_token");
    world.change(SPA, |client| client.audiences.clear());
    assert_error(&refresh(&world, &token, &[]), 400, "invalid_target");
}

#[test]
fn a_signed_request_names_one_resource_or_a_list_and_what_stands_outside_does_not_count() {
    let (key, network) = (ClientKey::new("k1"), Network::default());
    let world = World::hooked(Policy::default(), |builder| builder.fetch(network.clone()));
    world.change(SPA, |client| {
        client.audiences = vec![ORDERS.into(), BILLS.into()];
        client.jwks = Some(key.jwks());
    });
    let object = |resource: Value| {
        key.sign(&json!({"iss": SPA, "aud": ISSUER, "client_id": SPA, "resource": resource}))
    };
    for (resource, expected) in [
        (json!(ORDERS), json!(ORDERS)),
        (json!([BILLS]), json!(BILLS)),
        (json!([BILLS, ORDERS]), json!([ORDERS, BILLS])),
    ] {
        let asked = [("request", object(resource).as_str()), ("resource", ISSUER)]
            .map(|(name, value)| (name, value.to_owned()));
        let asked: Vec<_> = asked.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = world.send(&request(&asked));
        let location = response.get("location").unwrap();
        let ticket = location.strip_prefix("https://id.example.com/login?ticket=");
        let code = parameter(&world.approve(ticket.expect(location)), "code").unwrap();
        assert_eq!(audience(&redeem(&world, &code, &[])), expected);
    }
    for wrong in [json!([1]), json!({}), json!(true), json!([[ORDERS]])] {
        let response = world.send(&request(&[("request", &object(wrong))]));
        assert_redirected(&response, "invalid_request_object");
    }
    let foreign = world.send(&request(&[("request", &object(json!("https://evil.example")))]));
    assert_redirected(&foreign, "invalid_target");
}

#[test]
fn the_api_of_a_resource_may_introspect_its_tokens_and_no_others() {
    let world = world();
    world.change(OTHER, |client| client.resources = vec![ORDERS.into()]);
    let token = |resource: &str| {
        let response = redeem(&world, &code(&world, &[resource]), &[]);
        str_of(&json_body(&response), "access_token")
    };
    let seen = world.introspect(OTHER, &token(ORDERS));
    assert_eq!((&seen["active"], &seen["aud"]), (&json!(true), &json!(ORDERS)));
    assert_eq!(world.introspect(OTHER, &token(BILLS)), json!({"active": false}));
}
