//! RFC 7636, Proof Key for Code Exchange.

use crate::support::*;

// Section 4.3 and 4.4.1.

#[test]
fn a_public_client_needs_a_challenge_whatever_its_registration_says() {
    let world = World::new();
    world.change(SPA, |client| client.require_pkce = false);
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    assert_redirected(&world.authorize(SPA, &without), "invalid_request");
}

#[test]
fn a_confidential_client_needs_one_too_unless_it_is_excused() {
    let world = World::new();
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    assert_redirected(&world.authorize(WEB, &without), "invalid_request");
    world.change(WEB, |client| client.require_pkce = false);
    assert_eq!(world.authorize(WEB, &without).status, 303);
}

#[test]
fn only_s256_is_accepted_and_a_missing_method_means_plain() {
    let world = World::new();
    for method in ["plain", "s256", "S512", ""] {
        let response = world.authorize(SPA, &[("code_challenge_method", method)]);
        assert_redirected(&response, "invalid_request");
    }
    assert_redirected(&world.authorize(WEB, &[("code_challenge", "")]), "invalid_request");
}

#[test]
fn a_challenge_has_one_spelling() {
    let world = World::new();
    let short = &CHALLENGE[..42];
    let spare_bits = format!("{}N", short);
    for challenge in
        [short, &format!("{CHALLENGE}A"), &format!("{short}="), &format!("{short}+"), &spare_bits]
    {
        let response = world.authorize(SPA, &[("code_challenge", challenge)]);
        assert_redirected(&response, "invalid_request");
    }
}

// Section 4.6.

#[test]
fn a_wrong_or_missing_verifier_is_named_and_burns_nothing() {
    let world = World::new();
    let code = world.code(SPA);
    let with = |verifier: Option<&str>| {
        let mut parameters = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
        ];
        parameters.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        world.token(SPA, &parameters)
    };
    let (long, other) = ("a".repeat(129), "a".repeat(43));
    for wrong in [
        None,
        Some(""),
        Some("short"),
        Some(CHALLENGE),
        Some(&VERIFIER[..42]),
        Some(&long),
        Some(&other),
        Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjX "),
        Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXé"),
    ] {
        let response = with(wrong);
        assert_error(&response, 400, "invalid_grant");
        let description = str_of(&json_body(&response), "error_description");
        assert!(description.starts_with("invalid_code_verifier"), "{wrong:?}: {description}");
    }
    assert_eq!(with(Some(VERIFIER)).status, 200);
}

// RFC 9700 section 4.8.2: the downgrade.

#[test]
fn a_verifier_for_a_request_without_a_challenge_is_refused() {
    let world = World::new();
    world.change(WEB, |client| client.require_pkce = false);
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    let code = parameter(&world.approve(&world.ticket(WEB, &without)), "code").unwrap();
    assert_error(&world.redeem(WEB, &code), 400, "invalid_grant");
    let plain = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)];
    assert_eq!(world.token(WEB, &plain).status, 200);
}

#[test]
fn neither_challenge_nor_verifier_comes_back_in_any_answer() {
    let world = World::new();
    let asked = world.authorize(WEB, &[]);
    let ticket = asked.get("location").unwrap().split_once("ticket=").unwrap().1.to_owned();
    let approved = world.approve(&ticket);
    let code = parameter(&approved, "code").unwrap();
    let redeemed = world.redeem(WEB, &code);
    let token = str_of(&json_body(&redeemed), "refresh_token");
    let introspected =
        world.send(&world.as_client(WEB, "/oauth2/introspect", &[("token", &token)]));
    let replayed = world.redeem(WEB, &code);
    let refused = world.authorize(WEB, &[("scope", "unknown")]);
    let page = world.authorize(WEB, &[("redirect_uri", "https://evil.example/cb")]);
    for response in [asked, approved, redeemed, introspected, replayed, refused, page] {
        let said = format!("{:?}{}", response.headers, text(&response));
        assert!(!said.contains(CHALLENGE) && !said.contains(VERIFIER), "{said}");
    }
}
