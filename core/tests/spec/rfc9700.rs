//! RFC 9700, best current practice: rotation, reuse, barriers.

use grantor::{Policy, Request, Rotation, SubjectStatus};

use crate::support::*;

// Section 4.14: refresh token protection.

#[test]
fn a_parallel_refresh_gets_the_very_same_next_token_and_makes_one_change() {
    let world = World::new();
    let refresh_token = str_of(&world.tokens(SPA), "refresh_token");
    let answers: Vec<_> = (0..5)
        .map(|n| {
            world.pass_millis(n * 700);
            let response = world.refresh(SPA, &refresh_token);
            assert_eq!(response.status, 200, "{}", text(&response));
            json_body(&response)
        })
        .collect();
    for answer in &answers {
        assert_eq!(answer["refresh_token"], answers[0]["refresh_token"]);
        assert!(world.is_alive(&str_of(answer, "access_token")));
    }
    assert!(matches!(world.grants()[0].state, grantor::grant::State::Active { generation: 2, .. }));
    assert!(!world.saw("ReuseDetected"));
    assert_eq!(world.refresh(SPA, &str_of(&answers[0], "refresh_token")).status, 200);
}

#[test]
fn a_burst_that_mixes_the_old_token_and_its_successor_ends_with_one_token() {
    let world = World::new();
    let first = str_of(&world.tokens(SPA), "refresh_token");
    let second = str_of(&json_body(&world.refresh(SPA, &first)), "refresh_token");
    assert_ne!(first, second);
    // Some calls present the old token, some its successor, in any order: whichever answer the
    // application keeps is the live token.
    for token in [&second, &first, &second, &first] {
        world.pass_millis(50);
        let answer = json_body(&world.refresh(SPA, token));
        assert_eq!(answer["refresh_token"], second.as_str());
        assert!(world.is_alive(&str_of(&answer, "access_token")));
    }
    assert!(!world.saw("ReuseDetected"));
    world.pass(60);
    let third = str_of(&json_body(&world.refresh(SPA, &second)), "refresh_token");
    assert_ne!(third, second);
    assert_error(&world.refresh(SPA, &first), 400, "invalid_grant");
    assert!(world.saw("ReuseDetected"));
}

#[test]
fn refreshes_of_several_processes_agree_byte_for_byte_across_a_key_rotation() {
    let world = World::new();
    let other = world.another_process(Policy::default());
    let refresh_token = str_of(&world.tokens(SPA), "refresh_token");
    pollster::block_on(world.server.rotate_keys()).unwrap();
    // New keys begin to sign after 15 minutes; the rotation happens 30 seconds before.
    world.pass(15 * 60 - 30);
    let first = json_body(&world.refresh(SPA, &refresh_token));
    world.pass(45);
    let request = world.as_client(
        SPA,
        "/oauth2/token",
        &[("grant_type", "refresh_token"), ("refresh_token", &refresh_token)],
    );
    let second = json_body(&pollster::block_on(other.handle(&request)));
    assert_eq!(first["refresh_token"], second["refresh_token"]);
    assert_ne!(
        jose_header(&str_of(&first, "access_token"))["kid"],
        jose_header(&str_of(&json_body(&world.refresh(SPA, &refresh_token)), "access_token"))["kid"]
    );
}

#[test]
fn a_predecessor_after_the_retry_window_revokes_the_grant() {
    let world = World::new();
    let first = world.tokens(SPA);
    let second = json_body(&world.refresh(SPA, &str_of(&first, "refresh_token")));
    world.pass(60);
    assert_error(&world.refresh(SPA, &str_of(&first, "refresh_token")), 400, "invalid_grant");
    assert!(world.saw("ReuseDetected"));
    assert!(!world.is_alive(&str_of(&second, "access_token")));
    assert_error(&world.refresh(SPA, &str_of(&second, "refresh_token")), 400, "invalid_grant");
}

#[test]
fn an_older_generation_revokes_the_grant_even_inside_the_window() {
    let world = World::new();
    let first = str_of(&world.tokens(SPA), "refresh_token");
    let second = str_of(&json_body(&world.refresh(SPA, &first)), "refresh_token");
    world.pass(61);
    let third = str_of(&json_body(&world.refresh(SPA, &second)), "refresh_token");
    assert_error(&world.refresh(SPA, &first), 400, "invalid_grant");
    assert_error(&world.refresh(SPA, &third), 400, "invalid_grant");
}

#[test]
fn an_old_token_is_seen_even_after_it_expired_by_itself() {
    let world = World::new();
    let first = str_of(&world.tokens(SPA), "refresh_token");
    world.pass(13 * 86_400);
    let second = str_of(&json_body(&world.refresh(SPA, &first)), "refresh_token");
    world.pass(2 * 86_400);
    assert_error(&world.refresh(SPA, &first), 400, "invalid_grant");
    assert!(world.saw("ReuseDetected"));
    assert_error(&world.refresh(SPA, &second), 400, "invalid_grant");
}

#[test]
fn a_window_of_zero_is_strict() {
    let mut policy = Policy::default();
    policy.retry_window = seconds(0);
    let world = World::with(policy);
    let first = str_of(&world.tokens(SPA), "refresh_token");
    let second = str_of(&json_body(&world.refresh(SPA, &first)), "refresh_token");
    let third = str_of(&json_body(&world.refresh(SPA, &second)), "refresh_token");
    assert_ne!(second, third);
    assert_error(&world.refresh(SPA, &second), 400, "invalid_grant");
    assert!(world.saw("ReuseDetected"));
}

#[test]
fn without_rotation_the_same_generation_is_minted_with_a_new_expiry_and_nothing_is_written() {
    let mut policy = Policy::default();
    policy.rotation = Rotation::Public;
    let world = World::with(policy);
    let first = str_of(&world.tokens(WEB), "refresh_token");
    let stored = world.grants();
    for _ in 0..3 {
        world.pass(10 * 86_400);
        let next = world.refresh(WEB, &first);
        // The first token's own time runs out after 14 days; its renewal goes on.
        if next.status == 400 {
            continue;
        }
        let next = str_of(&json_body(&next), "refresh_token");
        assert_ne!(next, first);
        world.pass(10 * 86_400);
        assert_eq!(world.refresh(WEB, &next).status, 200);
    }
    assert_eq!(world.grants(), stored);
    let spa = str_of(&world.tokens(SPA), "refresh_token");
    world.refresh(SPA, &spa);
    world.pass(61);
    assert_error(&world.refresh(SPA, &spa), 400, "invalid_grant");
}

#[test]
fn a_restored_backup_neither_locks_the_client_out_nor_forks_its_chain() {
    let world = World::new();
    let tokens = world.tokens(SPA);
    let backup = world.grants().remove(0);
    let mut refresh_token = str_of(&tokens, "refresh_token");
    for _ in 0..3 {
        world.pass(100);
        refresh_token = str_of(&json_body(&world.refresh(SPA, &refresh_token)), "refresh_token");
    }
    world.restore(backup);
    let next = json_body(&world.refresh(SPA, &refresh_token));
    assert_eq!(next["token_type"], "Bearer");
    let again = json_body(&world.refresh(SPA, &refresh_token));
    assert_eq!(next["refresh_token"], again["refresh_token"]);
}

// Between code and token, and between token and token, everything is read again.

#[test]
fn what_happens_between_authorize_and_token_is_seen() {
    type Happens = fn(&World);
    let between: [(&str, Happens); 3] = [
        ("subject disabled", |world| world.people.set("ann", SubjectStatus::Disabled)),
        ("subject's barrier moved", |world| {
            world.pass(1);
            let valid_from = world.server.now();
            world.people.set("ann", SubjectStatus::Active { valid_from });
        }),
        ("client's barrier moved", |world| {
            world.pass(1);
            let now = world.server.now();
            world.change(WEB, |client| client.valid_from = now);
        }),
    ];
    for (what, happens) in between {
        let world = World::new();
        let code = world.code(WEB);
        happens(&world);
        assert_error(&world.redeem(WEB, &code), 400, "invalid_grant");
        assert_eq!(world.grants().len(), 1, "{what}");
    }
}

#[test]
fn a_host_that_cannot_tell_about_a_subject_keeps_the_code_spent() {
    let world = World::new();
    let code = world.code(SPA);
    world.people.break_down(true);
    assert_error(&world.redeem(SPA, &code), 503, "temporarily_unavailable");
    world.people.break_down(false);
    assert_error(&world.redeem(SPA, &code), 400, "invalid_grant");
}

#[test]
fn a_revived_client_gets_new_grants_and_not_its_old_ones() {
    let world = World::new();
    let old = world.tokens(WEB);
    let clients = world.server.clients();
    pollster::block_on(clients.revoke(WEB)).unwrap();
    assert_error(&world.refresh(WEB, &str_of(&old, "refresh_token")), 401, "invalid_client");
    assert_page(&world.authorize(WEB, &[]), "invalid_client");
    world.pass(1);
    world.change(WEB, |client| client.active = true);
    assert_error(&world.refresh(WEB, &str_of(&old, "refresh_token")), 400, "invalid_grant");
    assert!(!world.is_alive(&str_of(&old, "access_token")));
    let new = world.tokens(WEB);
    assert!(world.is_alive(&str_of(&new, "access_token")));
}

#[test]
fn switching_a_client_off_and_on_by_an_update_revives_nothing() {
    let world = World::new();
    let old = world.tokens(WEB);
    world.change(WEB, |client| client.active = false);
    world.pass(1);
    world.change(WEB, |client| {
        client.active = true;
        client.valid_from = grantor::Time::EPOCH;
    });
    assert!(!world.is_alive(&str_of(&old, "access_token")));
    assert_error(&world.refresh(WEB, &str_of(&old, "refresh_token")), 400, "invalid_grant");
}

#[test]
fn a_policy_that_is_shortened_later_ends_no_token_early() {
    let world = World::new();
    let tokens = world.tokens(SPA);
    let mut policy = Policy::default();
    policy.refresh_token_absolute = seconds(86_400);
    policy.rotate_keys_every = seconds(86_400);
    let shortened = world.another_process(policy);
    for _ in 0..5 {
        world.pass(2 * 86_400);
        pollster::block_on(shortened.maintain()).unwrap();
        pollster::block_on(shortened.rotate_keys()).unwrap();
    }
    let refresh_token = str_of(&tokens, "refresh_token");
    let parameters = [("grant_type", "refresh_token"), ("refresh_token", &*refresh_token)];
    let request = world.as_client(SPA, "/oauth2/token", &parameters);
    assert_eq!(pollster::block_on(shortened.handle(&request)).status, 200);
}

#[test]
fn a_spent_refresh_token_in_the_hands_of_another_client_ends_nothing() {
    let world = World::new();
    let first = str_of(&world.tokens(WEB), "refresh_token");
    let second = str_of(&json_body(&world.refresh(WEB, &first)), "refresh_token");
    // Within the retry window as after it: the answer repeated is for its own client, by its own secret.
    for wait in [1, 120] {
        world.pass(wait);
        assert_error(&world.refresh(OTHER, &first), 400, "invalid_grant");
        assert_error(&world.refresh(SPA, &first), 400, "invalid_grant");
        let unproved =
            [("grant_type", "refresh_token"), ("refresh_token", &first), ("client_id", WEB)];
        let response = world.send(&Request::form("/oauth2/token", &unproved));
        assert_error(&response, 401, "invalid_client");
        assert!(!world.saw("ReuseDetected"));
    }
    assert_eq!(world.refresh(WEB, &second).status, 200);
}
