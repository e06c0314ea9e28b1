//! OpenID Connect Core 1.0.

use grantor::{Next, Policy, RefreshPolicy, Request, Session, SignInReason, SubjectStatus, Time};
use serde_json::json;

use crate::support::*;

fn id_token(world: &World, changes: &[(&str, &str)]) -> (serde_json::Value, serde_json::Value) {
    let code = parameter(&world.approve(&world.ticket(SPA, changes)), "code").unwrap();
    let tokens = json_body(&world.redeem(SPA, &code));
    (claims(&str_of(&tokens, "id_token")), tokens)
}

// Section 2: the ID token.

#[test]
fn an_id_token_says_who_signed_in_for_whom_and_when() {
    let world = World::new();
    let (claims, tokens) = id_token(&world, &[("nonce", "n-0S6")]);
    let now = world.server.now().secs();
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], "ann");
    assert_eq!(claims["aud"], SPA);
    assert_eq!(claims["nonce"], "n-0S6");
    assert_eq!(claims["iat"], now);
    assert_eq!(claims["exp"], now + 600);
    assert_eq!(claims["auth_time"], now);
    assert!(claims.get("nbf").is_none());
    // Claims belong to the UserInfo endpoint (section 5.4).
    assert!(claims.get("name").is_none() && claims.get("email").is_none());
    let sid = str_of(&claims, "sid");
    assert!(!sid.contains("session of ann"));
    let header = jose_header(&str_of(&tokens, "id_token"));
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("JWT")));
    assert!(header["kid"].is_string());
}

#[test]
fn without_a_nonce_there_is_none() {
    let world = World::new();
    assert!(id_token(&world, &[]).0.get("nonce").is_none());
}

#[test]
fn at_hash_is_the_left_half_of_the_access_tokens_hash() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let world = World::new();
    let (claims, tokens) = id_token(&world, &[]);
    let hash = sha2::Sha256::digest(str_of(&tokens, "access_token").as_bytes());
    let expected = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(&hash[..16]);
    assert_eq!(claims["at_hash"], expected);
}

#[test]
fn a_client_may_have_its_tokens_signed_otherwise() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let world = World::new();
    world.change(SPA, |client| {
        client.id_token_signed_response_alg = Some(grantor::Algorithm::EdDsa);
        client.access_token_signed_response_alg = Some(grantor::Algorithm::Rs256);
    });
    let tokens = world.tokens(SPA);
    assert_eq!(jose_header(&str_of(&tokens, "id_token"))["alg"], "EdDSA");
    assert_eq!(jose_header(&str_of(&tokens, "access_token"))["alg"], "RS256");
    // The hash is that of the algorithm of the ID token: Ed25519 goes with SHA-512.
    let hash = sha2::Sha512::digest(str_of(&tokens, "access_token").as_bytes());
    let expected = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(&hash[..32]);
    assert_eq!(claims(&str_of(&tokens, "id_token"))["at_hash"], expected);
    assert!(world.is_alive(&str_of(&tokens, "access_token")));
}

// Section 3.1.2.1: prompt and max_age.

fn why(next: Next) -> SignInReason {
    match next {
        Next::SignIn(_, reason) => reason,
        other => panic!("no login is wanted: {other:?}"),
    }
}

#[test]
fn without_a_session_a_login_is_wanted_and_prompt_none_gets_login_required() {
    let world = World::new();
    assert_eq!(why(world.proceed(&world.ticket(SPA, &[]), None)), SignInReason::NotSignedIn);
    let silent = world.ticket(SPA, &[("prompt", "none")]);
    match world.proceed(&silent, None) {
        Next::Done(response) => assert_redirected(&response, "login_required"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_login_that_does_not_count_is_none_for_a_silent_request() {
    let silent = |changes: &[(&str, &str)], status: Option<SubjectStatus>| {
        let world = World::new();
        let session = world.session();
        world.pass(10);
        if let Some(status) = status {
            world.people.set("ann", status);
        }
        let changes = [&[("prompt", "none")], changes].concat();
        match world.proceed(&world.ticket(SPA, &changes), Some(session)) {
            Next::Done(response) => assert_redirected(&response, "login_required"),
            other => panic!("{other:?}"),
        }
    };
    silent(&[("max_age", "0")], None);
    silent(&[("max_age", "9")], None);
    silent(&[], Some(SubjectStatus::Disabled));
    let later = Time::from_secs(1_700_000_005);
    silent(&[], Some(SubjectStatus::Active { valid_from: later }));
}

#[test]
fn prompt_none_succeeds_silently_for_a_session_that_needs_nothing() {
    let world = World::new();
    let response = world.approve(&world.ticket(SPA, &[("prompt", "none")]));
    assert!(parameter(&response, "code").is_some());
}

#[test]
fn prompt_login_wants_a_login_that_is_newer_than_the_request() {
    let world = World::new();
    let session = world.session();
    world.pass(5);
    let ticket = world.ticket(SPA, &[("prompt", "login")]);
    assert_eq!(why(world.proceed(&ticket, Some(session.clone()))), SignInReason::Fresh);
    // Asking again changes nothing.
    assert_eq!(why(world.proceed(&ticket, Some(session))), SignInReason::Fresh);
    world.pass_millis(1);
    assert!(matches!(world.proceed(&ticket, Some(world.session())), Next::Done(_)));
}

#[test]
fn prompt_select_account_asks_once() {
    let world = World::new();
    let session = world.session();
    world.pass(5);
    let ticket = world.ticket(SPA, &[("prompt", "select_account")]);
    assert_eq!(why(world.proceed(&ticket, Some(session))), SignInReason::SelectAccount);
    assert!(matches!(world.proceed(&ticket, Some(world.session())), Next::Done(_)));
}

#[test]
fn max_age_wants_a_login_that_was_recent_when_the_request_was_made() {
    let world = World::new();
    let session = world.session();
    world.pass(100);
    let proceed = |max_age: &str| {
        let ticket = world.ticket(SPA, &[("max_age", max_age)]);
        world.pass(50);
        world.proceed(&ticket, Some(session.clone()))
    };
    assert!(matches!(proceed("100"), Next::Done(_)));
    assert_eq!(why(proceed("149")), SignInReason::TooOld);
    assert_eq!(why(proceed("0")), SignInReason::TooOld);
    let ticket = world.ticket(SPA, &[("max_age", "0")]);
    assert!(matches!(world.proceed(&ticket, Some(world.session())), Next::Done(_)));
}

#[test]
fn prompt_and_max_age_that_make_no_sense_are_refused() {
    let world = World::new();
    for (name, value) in [
        ("prompt", "none login"),
        ("prompt", "nonsense"),
        ("max_age", "-1"),
        ("max_age", "+1"),
        ("max_age", "1e9"),
        ("max_age", "abc"),
        ("max_age", "99999999999999"),
    ] {
        assert_redirected(&world.authorize(SPA, &[(name, value)]), "invalid_request");
    }
}

#[test]
fn a_disabled_account_must_choose_another() {
    let world = World::new();
    world.people.set("ann", grantor::SubjectStatus::Disabled);
    let ticket = world.ticket(SPA, &[]);
    assert_eq!(why(world.proceed(&ticket, Some(world.session()))), SignInReason::Disabled);
}

#[test]
fn login_hint_is_passed_on_as_data() {
    let world = World::new();
    let hint = "\"><script>";
    match world.proceed(&world.ticket(SPA, &[("login_hint", hint)]), None) {
        Next::SignIn(pending, _) => assert_eq!(pending.login_hint(), Some(hint)),
        other => panic!("{other:?}"),
    }
    let long = "x".repeat(256);
    match world.proceed(&world.ticket(SPA, &[("login_hint", &long)]), None) {
        Next::SignIn(pending, _) => assert_eq!(pending.login_hint(), None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_id_token_hint_lets_nobody_else_be_answered_for() {
    let world = World::new();
    let tokens = world.tokens(SPA);
    let hint = str_of(&tokens, "id_token");
    // Long expired, it still says whom the client means.
    world.pass(86_400);
    let with = |hint: &str, prompt: &str, subject: &str| {
        let session = Session::new(subject, "s", world.server.now());
        let changes = [("id_token_hint", hint), ("prompt", prompt)];
        world.proceed(&world.ticket(SPA, &changes), Some(session))
    };
    assert!(matches!(with(&hint, "none", "ann"), Next::Done(r) if parameter(&r, "code").is_some()));
    assert!(matches!(with(&hint, "none", "bob"), Next::Done(r)
        if parameter(&r, "error").as_deref() == Some("login_required")));
    assert_eq!(why(with(&hint, "", "bob")), SignInReason::OtherPerson);
    for bad in ["nonsense", &str_of(&tokens, "access_token"), &format!("{hint}x")] {
        assert_redirected(&world.authorize(SPA, &[("id_token_hint", bad)]), "invalid_request");
    }
}

// Section 5.3: UserInfo.

#[test]
fn userinfo_releases_what_the_scope_covers() {
    let world = World::new();
    let of = |scope: &str| {
        let (_, tokens) = id_token(&world, &[("scope", scope)]);
        json_body(&world.userinfo(&str_of(&tokens, "access_token")))
    };
    assert_eq!(of("openid"), json!({"sub": "ann"}));
    assert_eq!(
        of("openid email"),
        json!({"sub": "ann", "email": "ann@example.com", "email_verified": true})
    );
    let profile = of("openid profile");
    assert_eq!(profile["name"], "Ann Example");
    assert!(profile.get("picture").is_none(), "null claims are left out");
    assert!(profile.get("email").is_none());
}

#[test]
fn userinfo_takes_get_and_post() {
    let world = World::new();
    let token = str_of(&world.tokens(SPA), "access_token");
    let mut post = bearer(Request::get("/oauth2/userinfo"), &token);
    post.method = grantor::Method::Post;
    assert_eq!(world.send(&post).status, 200);
    let by_form = Request::form("/oauth2/userinfo", &[("access_token", &token)]);
    assert_eq!(world.send(&by_form).status, 200);
    let header_and_json =
        bearer(Request::get("/oauth2/userinfo"), &token).header("content-type", "application/json");
    assert_eq!(world.send(&header_and_json).status, 200);
}

#[test]
fn userinfo_needs_openid_and_a_person() {
    let world = World::new();
    let (_, service) = ((), world.service_token());
    assert_error(&world.userinfo(&service), 403, "insufficient_scope");
    let code =
        parameter(&world.approve(&world.ticket(SPA, &[("scope", "email")])), "code").unwrap();
    let tokens = json_body(&world.redeem(SPA, &code));
    assert!(tokens.get("id_token").is_none());
    let refused = world.userinfo(&str_of(&tokens, "access_token"));
    assert_error(&refused, 403, "insufficient_scope");
}

// Section 11: offline access.

#[test]
fn a_refresh_token_comes_with_the_client_grant_or_by_policy_with_offline_access_alone() {
    let world = World::new();
    assert!(world.tokens(SPA)["refresh_token"].is_string());
    let mut policy = Policy::default();
    policy.refresh = RefreshPolicy::OfflineAccess;
    let world = World::with(policy);
    assert!(world.tokens(SPA).get("refresh_token").is_none());
    let (_, tokens) = id_token(&world, &[("scope", "openid offline_access")]);
    assert!(tokens["refresh_token"].is_string());
}

// Section 12.2: the ID token of a refresh.

#[test]
fn a_refreshed_id_token_keeps_who_and_when_and_has_no_nonce() {
    let world = World::new();
    let (first, tokens) = id_token(&world, &[("nonce", "n-0S6")]);
    world.pass(300);
    let refreshed = json_body(&world.refresh(SPA, &str_of(&tokens, "refresh_token")));
    let second = claims(&str_of(&refreshed, "id_token"));
    for name in ["iss", "sub", "aud", "auth_time", "sid"] {
        assert_eq!(first[name], second[name], "{name}");
    }
    assert_eq!(second["iat"].as_i64().unwrap(), first["iat"].as_i64().unwrap() + 300);
    assert!(second.get("nonce").is_none());
}

#[test]
fn sessions_have_distinct_published_ids() {
    let world = World::new();
    let sid = |id: &str| Session::new("ann", id, world.server.now()).sid(&world.server);
    assert_eq!(sid("a"), sid("a"));
    assert_ne!(sid("a"), sid("b"));
}

#[test]
fn an_id_token_carries_claims_only_for_a_client_that_wants_them_and_within_its_scope() {
    let world = World::new();
    let lean = claims(&str_of(&world.tokens(SPA), "id_token"));
    assert!(lean.get("email").is_none() && lean.get("name").is_none());
    world.change(SPA, |client| client.claims_in_id_token = true);
    let tokens = world.tokens(SPA);
    let full = claims(&str_of(&tokens, "id_token"));
    assert_eq!((&full["email"], &full["name"]), (&"ann@example.com".into(), &"Ann Example".into()));
    // Neither what no scope releases, nor what would say who it is about.
    assert!(full.get("phone_number").is_none() && full.get("picture").is_none());
    assert_eq!((&full["sub"], &full["aud"]), (&"ann".into(), &SPA.into()));
    let refreshed = world.refresh(SPA, &str_of(&tokens, "refresh_token"));
    let refreshed = claims(&str_of(&json_body(&refreshed), "id_token"));
    assert_eq!(refreshed["email"], "ann@example.com");
    // When nobody can say, nothing is issued.
    let code = world.code(SPA);
    world.people.break_down(true);
    assert_eq!(world.redeem(SPA, &code).status, 503);
}

#[test]
fn the_id_token_says_how_the_person_proved_who_they_are_and_nothing_when_the_host_does_not() {
    let world = World::new();
    let said = |amr: &[&str]| {
        let mut session = world.session();
        session.amr = amr.iter().map(|&one| one.to_owned()).collect();
        let Next::Done(response) = world.proceed(&world.ticket(SPA, &[]), Some(session)) else {
            panic!()
        };
        let tokens = json_body(&world.redeem(SPA, &parameter(&response, "code").unwrap()));
        claims(&str_of(&tokens, "id_token")).get("amr").cloned()
    };
    assert_eq!(said(&["pwd"]), Some(serde_json::json!(["pwd"])));
    assert_eq!(said(&["pwd", "otp"]), Some(serde_json::json!(["pwd", "otp"])));
    assert_eq!(said(&[]), None);
}
