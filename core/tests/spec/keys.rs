//! Key rotation while running.

use grantor::{KeyRotation, Policy, Request};
use pollster::block_on;

use crate::support::*;

fn kids(world: &World) -> Vec<String> {
    let jwks = json_body(&world.send(&Request::get("/oauth2/jwks.json")));
    jwks["keys"].as_array().unwrap().iter().map(|key| str_of(key, "kid")).collect()
}

#[test]
fn a_rotated_key_is_published_long_before_it_signs_and_the_old_one_long_after() {
    let world = World::new();
    let old = world.tokens(SPA);
    let old_kid = str_of(&jose_header(&str_of(&old, "id_token")), "kid");
    let KeyRotation::Published(active_from) = block_on(world.server.rotate_keys()).unwrap() else {
        panic!("nothing was published")
    };
    assert_eq!(active_from.since(world.server.now()), seconds(900));
    assert_eq!(kids(&world).len(), 4);
    assert!(world.saw("KeysRotated"));

    world.pass_millis(899_999);
    let before = str_of(&jose_header(&str_of(&world.tokens(SPA), "id_token")), "kid");
    assert_eq!(before, old_kid);
    world.pass_millis(1);
    let after = str_of(&jose_header(&str_of(&world.tokens(SPA), "id_token")), "kid");
    assert_ne!(after, old_kid);
    assert!(kids(&world).contains(&old_kid) && kids(&world).contains(&after));
    assert_eq!(world.refresh(SPA, &str_of(&old, "refresh_token")).status, 200);
}

#[test]
fn rotating_twice_at_once_makes_one_new_set() {
    let world = World::new();
    let KeyRotation::Published(first) = block_on(world.server.rotate_keys()).unwrap() else {
        panic!("nothing was published")
    };
    world.pass(5);
    assert_eq!(block_on(world.server.rotate_keys()).unwrap(), KeyRotation::Pending(first));
    assert_eq!(kids(&world).len(), 4);
}

#[test]
fn maintenance_rotates_by_age_and_says_when_to_come_back() {
    let world = World::new();
    assert!(block_on(world.server.maintain()).unwrap() <= seconds(60));
    assert_eq!(kids(&world).len(), 2);
    world.pass(30 * 86_400 - 900);
    block_on(world.server.maintain()).unwrap();
    assert_eq!(kids(&world).len(), 4);
    block_on(world.server.maintain()).unwrap();
    assert_eq!(kids(&world).len(), 4);
}

#[test]
fn under_any_schedule_of_rotations_every_live_token_verifies() {
    let mut policy = Policy::default();
    policy.access_token_lifetime = seconds(30 * 86_400);
    let world = World::with(policy);
    let mut issued: Vec<(u64, String)> = Vec::new();
    let mut refresh_token = str_of(&world.tokens(SPA), "refresh_token");
    let mut day = 0;
    for step in [1, 13, 2, 13, 13, 1, 13, 7, 9, 13] {
        day += step;
        world.pass(step * 86_400);
        block_on(world.server.rotate_keys()).unwrap();
        block_on(world.server.maintain()).unwrap();
        let tokens = json_body(&world.refresh(SPA, &refresh_token));
        refresh_token = str_of(&tokens, "refresh_token");
        issued.push((day, str_of(&tokens, "access_token")));
        for (made, token) in &issued {
            assert_eq!(world.is_alive(token), day - made < 30, "made on day {made}, now {day}");
        }
    }
    // Published keys do not pile up: those of thirty days, and the coming ones.
    assert!(kids(&world).len() <= 14, "{}", kids(&world).len());
}

#[test]
fn a_ring_that_was_made_while_the_clock_was_ahead_still_signs() {
    let world = World::new();
    world.step_back(86_400);
    let corrected = world.another_process(Policy::default());
    let service = [("grant_type", "client_credentials")];
    let request = world.as_client(SERVICE, "/oauth2/token", &service);
    assert_eq!(block_on(corrected.handle(&request)).status, 200);
}

#[test]
fn another_process_learns_of_new_keys_from_the_tokens_that_they_signed() {
    let world = World::new();
    let other = world.another_process(Policy::default());
    block_on(world.server.rotate_keys()).unwrap();
    world.pass(900);
    let tokens = world.tokens(SPA);
    let request = bearer(Request::get("/oauth2/userinfo"), &str_of(&tokens, "access_token"));
    assert_eq!(block_on(other.handle(&request)).status, 200);
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*str_of(&tokens, "refresh_token")),
        ("client_id", SPA),
    ];
    assert_eq!(block_on(other.handle(&Request::form("/oauth2/token", &refresh))).status, 200);
}
