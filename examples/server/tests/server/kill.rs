//! Killed in the middle: the flow goes on where it was, and nothing that was answered is undone.

use std::sync::mpsc;

use crate::support::*;

#[test]
fn a_flow_survives_sigkill_between_any_two_of_its_steps() {
    flow(Server::new());
}

#[test]
fn a_flow_on_sled_survives_sigkill_between_any_two_of_its_steps() {
    flow(Server::with(&[("GRANTOR_STORAGE", "sled")]));
}

fn flow(mut server: Server) {
    let client = server.register_spa();
    let cookie = server.admin_cookie();

    let login = server.get(&server.authorize_url(&client), &[]);
    server.kill();
    server.start();
    let callback = server.get(login.header("location").unwrap(), &[("cookie", &cookie)]);
    let code = callback.parameter("code").expect("the ticket and the session survived");
    server.kill();
    server.start();
    let tokens = server.redeem(&client, &code);
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    server.kill();
    server.start();
    let bearer = format!("Bearer {}", tokens.string("access_token"));
    assert_eq!(server.get("/oauth2/userinfo", &[("authorization", &bearer)]).status, 200);
    let refreshed = server.refresh(&client, &tokens.string("refresh_token"));
    assert_eq!(refreshed.status, 200);
    server.kill();
    server.start();
    // A retry after the crash gets the very same successor.
    let again = server.refresh(&client, &tokens.string("refresh_token"));
    assert_eq!(again.string("refresh_token"), refreshed.string("refresh_token"));
    // The code stays spent: presenting it again is reuse, and ends the grant.
    assert_eq!(server.redeem(&client, &code).string("error"), "invalid_grant");
    server.kill();
    server.start();
    assert_eq!(server.refresh(&client, &refreshed.string("refresh_token")).status, 400);
    assert_eq!(server.get("/oauth2/userinfo", &[("authorization", &bearer)]).status, 401);
}

#[test]
fn what_was_answered_under_load_is_there_after_sigkill() {
    load(Server::new());
}

#[test]
fn what_sled_answered_under_load_is_there_after_sigkill() {
    load(Server::with(&[("GRANTOR_STORAGE", "sled")]));
}

fn load(mut server: Server) {
    let client = server.register_spa();
    let cookie = server.admin_cookie();
    let mut unanswered = 0;
    for _ in 0..4 {
        let codes: Vec<String> = (0..16)
            .map(|_| server.authorize(&client, &cookie).parameter("code").unwrap())
            .collect();
        // The process dies after the first answer, with the other redemptions under way.
        let (port, (answer, answers)) = (server.port, mpsc::channel());
        let redeeming: Vec<_> = codes
            .iter()
            .map(|code| {
                let (code, client, answer) = (code.clone(), client.clone(), answer.clone());
                std::thread::spawn(move || {
                    let token = redeem_raw(port, &client, &code);
                    let _ = answer.send(token.is_some());
                    (code, token)
                })
            })
            .collect();
        assert!(answers.recv().unwrap(), "the first redemption is answered");
        server.kill();
        let redeemed: Vec<_> = redeeming.into_iter().map(|r| r.join().unwrap()).collect();
        server.start();
        for (code, token) in redeemed {
            if let Some(token) = token {
                let answer = server.refresh(&client, &token);
                assert_eq!(answer.status, 200, "an answered redemption was lost: {}", answer.text);
                assert_eq!(server.redeem(&client, &code).status, 400, "redeemed twice");
            } else {
                unanswered += 1;
                // It was done or it was not; afterwards it is done.
                let _ = server.redeem(&client, &code);
                assert_eq!(server.redeem(&client, &code).status, 400, "redeemed twice");
            }
        }
    }
    println!("{unanswered} of 64 redemptions died with the server");
}

/// A redemption that may die with the server.
fn redeem_raw(port: u16, client: &str, code: &str) -> Option<String> {
    let body = format!(
        "grant_type=authorization_code&code={code}&client_id={client}&redirect_uri={CALLBACK}\
         &code_verifier={VERIFIER}"
    );
    let response = ureq::post(format!("http://127.0.0.1:{port}/oauth2/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .send(body);
    let text = response.ok()?.body_mut().read_to_string().ok()?;
    let tokens: serde_json::Value = serde_json::from_str(&text).ok()?;
    tokens["refresh_token"].as_str().map(str::to_owned)
}

#[test]
fn nothing_usable_is_in_the_data_folder() {
    let mut server = Server::new();
    let mut registration = spa();
    registration["clientType"] = serde_json::json!("confidential");
    let secret = server.admin_call("POST", "", &registration).string("clientSecret");
    let (client, cookie) = (server.register_spa(), server.admin_cookie());
    let code = server.authorize(&client, &cookie).parameter("code").unwrap();
    let refresh_token = server.redeem(&client, &code).string("refresh_token");
    server.kill();
    let session = cookie.strip_prefix("cerb_sid=").unwrap().to_owned();
    let (_, password) = server.admin();
    for file in std::fs::read_dir(server.data()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for text in [&secret, &code, &refresh_token, &session, &password] {
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "{text} is in {}", path.display());
        }
    }
}
