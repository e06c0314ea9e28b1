//! Two servers on one SQLite file, as during a rolling restart: what one has done, the other knows.

use std::sync::Barrier;

use crate::support::*;

#[test]
fn a_code_is_redeemed_once_whichever_process_is_asked() {
    let one = Server::new();
    let two = one.second();
    let client = one.register_spa();
    let cookie = one.admin_cookie();
    for _ in 0..25 {
        let code = one.authorize(&client, &cookie).parameter("code").unwrap();
        let barrier = Barrier::new(8);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|n| {
                    let (server, barrier) = (if n % 2 == 0 { &one } else { &two }, &barrier);
                    let (client, code) = (&client, &code);
                    scope.spawn(move || {
                        barrier.wait();
                        server.redeem(client, code).status
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
    }
}

#[test]
fn refreshes_in_both_processes_get_one_successor_and_a_revocation_bites_in_both() {
    let one = Server::new();
    let two = one.second();
    let client = one.register_spa();
    let tokens = one.tokens(&client);
    let first = tokens["refresh_token"].as_str().unwrap();
    let barrier = Barrier::new(6);
    let successors: Vec<String> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..6)
            .map(|n| {
                let (server, barrier) = (if n % 2 == 0 { &one } else { &two }, &barrier);
                let client = &client;
                scope.spawn(move || {
                    barrier.wait();
                    server.refresh(client, first).string("refresh_token")
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(successors.iter().all(|token| *token == successors[0]), "{successors:?}");
    let revoke = [("token", successors[0].as_str()), ("client_id", &client)];
    assert_eq!(one.form("/oauth2/revoke", &revoke).status, 200);
    assert_eq!(two.refresh(&client, &successors[0]).status, 400);
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    assert_eq!(two.get("/oauth2/userinfo", &[("authorization", &bearer)]).status, 401);
}

#[test]
fn a_flow_that_begins_in_one_process_ends_in_the_other() {
    let one = Server::new();
    let two = one.second();
    let client = one.register_spa();
    let cookie = two.login(&two.person()).cookie();
    let login = one.get(&one.authorize_url(&client), &[]);
    let path = login.header("location").unwrap().split_once("/login").unwrap().1;
    let done = two.get(&format!("/login{path}"), &[("cookie", &cookie)]);
    let code = done.parameter("code").unwrap();
    let tokens = one.redeem(&client, &code);
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    let bearer = format!("Bearer {}", tokens.string("access_token"));
    assert_eq!(two.get("/v1/me/profile", &[("authorization", &bearer)]).status, 200);
}
