//! RFC 6750, bearer token usage, and RFC 9068, JWT access tokens.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantor::{Admission, Guard, Request, Response};
use serde_json::{Value, json};

use crate::support::*;

// RFC 9068 section 2.

#[test]
fn an_access_token_is_a_typed_jwt_for_its_audience() {
    let mut policy = grantor::Policy::default();
    policy.apis = vec!["https://api.example.com".into()];
    let world = World::with(policy);
    let token = str_of(&world.tokens(SPA), "access_token");
    let header = jose_header(&token);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("EdDSA")));
    let claims = claims(&token);
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], "ann");
    assert_eq!(claims["aud"], json!([ISSUER, "https://api.example.com"]));
    assert_eq!(claims["client_id"], SPA);
    assert_eq!(claims["scope"], "openid profile email");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    for name in ["jti", "auth_time", "sid"] {
        assert!(!claims[name].is_null(), "{name}");
    }
}

#[test]
fn what_the_host_adds_to_a_token_replaces_no_claim_of_ours() {
    let world = World::new();
    let claims = claims(&str_of(&world.tokens(SPA), "access_token"));
    assert_eq!(claims["org_id"], "acme");
    assert_eq!(claims["sub"], "ann");
    assert_eq!(claims["scope"], "openid profile email");
    assert_eq!(claims["aud"], ISSUER);
    for reserved in ["nbf", "cnf", "act", "nonce", "azp", "acr", "amr", "at_hash"] {
        assert!(claims.get(reserved).is_none(), "{reserved}");
    }
    let now = world.server.now().secs();
    assert_eq!((&claims["iss"], &claims["client_id"]), (&json!(ISSUER), &json!(SPA)));
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(now), &json!(now + 600)));
    assert_eq!(claims["auth_time"], now);
    assert!(str_of(&claims, "jti").starts_with("at_") && str_of(&claims, "sid").len() > 20);
}

// RFC 6750 section 2 and 3.

#[test]
fn without_credentials_the_challenge_names_the_scheme_alone() {
    let world = World::new();
    for request in [
        Request::get("/oauth2/userinfo"),
        Request::get("/oauth2/userinfo").header("authorization", "Basic eDp5"),
        Request::get("/oauth2/userinfo").header("authorization", "Bearer"),
    ] {
        let response = world.send(&request);
        assert_eq!(response.status, 401);
        assert_eq!(response.get("www-authenticate"), Some("Bearer"));
    }
}

#[test]
fn a_bad_token_is_challenged_with_quoted_values() {
    let world = World::new();
    let response = world.userinfo("nonsense");
    assert_error(&response, 401, "invalid_token");
    let challenge = response.get("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer error=\"invalid_token\", error_description=\""));
}

#[test]
fn a_token_comes_once_and_never_in_the_url() {
    let world = World::new();
    let token = str_of(&world.tokens(SPA), "access_token");
    let in_url = Request::get(&format!("/oauth2/userinfo?access_token={token}"));
    assert_error(&world.send(&in_url), 400, "invalid_request");
    let in_both = bearer(Request::get(&format!("/oauth2/userinfo?access_token={token}")), &token);
    assert_error(&world.send(&in_both), 400, "invalid_request");
    let in_body = Request::form("/oauth2/userinfo", &[("access_token", &token)]);
    assert_eq!(world.send(&in_body).status, 200);
    assert_error(&world.send(&bearer(in_body, &token)), 400, "invalid_request");
    let twice = bearer(bearer(Request::get("/oauth2/userinfo"), &token), &token);
    assert_error(&world.send(&twice), 400, "invalid_request");
    // Nor does one that stands twice, or that cannot be decoded, hide behind one that is right.
    let in_url = Request::get("/oauth2/userinfo?access_token=x&access_token=y");
    let in_body =
        Request::form("/oauth2/userinfo", &[("access_token", &token), ("access_token", "x")]);
    let mut broken = in_body.clone();
    broken.body = b"access_token=%zz".to_vec();
    for request in [in_url, in_body, broken] {
        assert_error(&world.send(&request), 400, "invalid_request");
        assert_error(&world.send(&bearer(request, &token)), 400, "invalid_request");
    }
}

// RFC 8725: what a token must not get away with.

fn forge(token: &str, change: impl Fn(&mut Value, &mut Value)) -> String {
    let (mut header, mut claims) = (jose_header(token), claims(token));
    change(&mut header, &mut claims);
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = token.rsplit('.').next().unwrap();
    format!("{}.{}.{signature}", encode(&header), encode(&claims))
}

#[test]
fn a_forged_token_is_refused_whatever_its_header_says() {
    let world = World::new();
    let token = str_of(&world.tokens(SPA), "access_token");
    let kid = jose_header(&token)["kid"].clone();
    let rs256 = str_of(&world.tokens(SPA), "id_token");
    let other_kid = jose_header(&rs256)["kid"].clone();
    let (head, rest) = token.split_once('.').unwrap();
    let forged = [
        forge(&token, |header, _| header["alg"] = json!("none")),
        forge(&token, |header, _| header["alg"] = json!("HS256")),
        forge(&token, |header, _| header["alg"] = json!("RS256")),
        forge(&token, |header, _| header["kid"] = other_kid.clone()),
        forge(&token, |header, _| header["kid"] = json!("../../etc/passwd")),
        forge(&token, |header, _| header["crit"] = json!(["b64"])),
        forge(&token, |header, _| header["typ"] = json!("JWT")),
        forge(&token, |_, claims| claims["scope"] = json!("openid orders:write")),
        forge(&token, |_, claims| claims["exp"] = json!(9_999_999_999_i64)),
        format!("{head}.{rest}."),
        format!("{head}.{}", rest.split('.').next().unwrap()),
        format!("{head}..{}", rest.split('.').next_back().unwrap()),
        format!("{token}x"),
        format!(".{token}"),
        "a".repeat(20_000),
        kid.to_string(),
        "..".into(),
        String::new(),
    ];
    for forged in forged {
        assert_eq!(world.userinfo(&forged).status, 401, "{forged}");
    }
    assert!(world.is_alive(&token));
}

#[test]
fn an_id_token_a_refresh_token_and_a_code_are_no_access_tokens() {
    let world = World::new();
    let code = world.code(SPA);
    let tokens = json_body(&world.redeem(SPA, &code));
    for other in [&str_of(&tokens, "id_token"), &str_of(&tokens, "refresh_token"), &code] {
        assert_error(&world.userinfo(other), 401, "invalid_token");
    }
    for other in [&str_of(&tokens, "id_token"), &str_of(&tokens, "access_token"), &code] {
        assert_error(&world.refresh(SPA, other), 400, "invalid_grant");
    }
    for other in ["id_token", "access_token", "refresh_token"] {
        assert_error(&world.redeem(SPA, &str_of(&tokens, other)), 400, "invalid_grant");
    }
}

#[test]
fn a_token_that_another_servers_keys_signed_is_refused() {
    let (world, other) = (World::new(), World::with_own_keys(grantor::Policy::default()));
    assert_eq!(world.userinfo(&str_of(&other.tokens(SPA), "access_token")).status, 401);
    assert_error(&world.redeem(SPA, &other.code(SPA)), 400, "invalid_grant");
}

#[test]
fn an_access_token_ends_at_its_last_second() {
    let world = World::new();
    let token = str_of(&world.tokens(SPA), "access_token");
    world.pass(599);
    assert!(world.is_alive(&token));
    world.pass(1);
    assert!(!world.is_alive(&token));
}

// The guard for the host's own API.

fn admit(guard: &Guard, token: &str) -> Result<grantor::AccessToken, Response> {
    let request = bearer(Request::get("/api/orders"), token);
    match pollster::block_on(guard.admit(&request)) {
        Admission::Admitted(token, _) => Ok(*token),
        Admission::Answered(response) => Err(response),
    }
}

#[test]
fn the_guard_wants_a_live_token_with_the_scope() {
    let world = World::new();
    let guard = Guard::new(&world.server);
    let orders = guard.clone().scope("orders:read");
    let tokens = world.tokens(SPA);
    let token = str_of(&tokens, "access_token");
    let admitted = admit(&guard, &token).unwrap();
    assert_eq!(admitted.subject.as_deref(), Some("ann"));
    assert_eq!(admitted.claims["org_id"], "acme");

    let refused = admit(&orders, &token).unwrap_err();
    assert_error(&refused, 403, "insufficient_scope");
    assert!(refused.get("www-authenticate").unwrap().contains("scope=\"orders:read\""));

    let service = admit(&orders, &world.service_token()).unwrap();
    assert_eq!((service.subject, service.client_id.as_str()), (None, SERVICE));

    for other in [&str_of(&tokens, "id_token"), "nonsense", &str_of(&tokens, "refresh_token")] {
        assert_error(&admit(&guard, other).unwrap_err(), 401, "invalid_token");
    }
    let refresh_token = str_of(&tokens, "refresh_token");
    world.send(&world.as_client(SPA, "/oauth2/revoke", &[("token", &refresh_token)]));
    assert_error(&admit(&guard, &token).unwrap_err(), 401, "invalid_token");
}

#[test]
fn a_client_may_have_audiences_of_its_own_beside_the_servers() {
    let world = World::new();
    world.change(SPA, |client| client.audiences = vec![SPA.into(), ISSUER.into()]);
    let token = str_of(&world.tokens(SPA), "access_token");
    assert_eq!(claims(&token)["aud"], serde_json::json!([ISSUER, SPA]));
    assert!(world.is_alive(&token));
    let other = str_of(&world.tokens(THIRD), "access_token");
    assert_eq!(claims(&other)["aud"], ISSUER);
}

#[test]
fn errors_have_the_members_of_a_problem_too() {
    let world = World::new();
    let refused = world.userinfo("nonsense");
    let body = json_body(&refused);
    assert_eq!((&body["error"], &body["title"]), (&"invalid_token".into(), &"Unauthorized".into()));
    assert_eq!((&body["status"], &body["detail"]), (&401.into(), &body["error_description"]));
}

#[test]
fn the_guard_takes_a_token_from_the_header_alone() {
    let world = World::new();
    let token = str_of(&world.tokens(SPA), "access_token");
    let guard = Guard::new(&world.server);
    let status = |request: &Request| match pollster::block_on(guard.admit(request)) {
        Admission::Admitted(..) => 200,
        Admission::Answered(response) => {
            assert_eq!(response.get("www-authenticate"), Some("Bearer"));
            response.status
        }
    };
    assert_eq!(status(&Request::get(&format!("/api?access_token={token}"))), 401);
    assert_eq!(status(&Request::form("/api", &[("access_token", &token)])), 401);
    assert_eq!(status(&bearer(Request::get("/api"), &token)), 200);
}
