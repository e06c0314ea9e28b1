//! RFC 6749, The OAuth 2.0 Authorization Framework.

use grantor::{Policy, Request, Scope};

use crate::support::*;

// Section 3.1: authorization endpoint.

#[test]
fn a_request_leads_to_the_hosts_page_with_a_ticket_and_then_to_the_client() {
    let world = World::new();
    let response = world.approve(&world.ticket(SPA, &[]));
    assert_eq!(response.status, 303);
    let location = response.get("location").unwrap();
    assert!(location.starts_with("https://rp.example/cb?code=authz_"), "{location}");
    let order: Vec<&str> =
        location.split(['?', '&']).skip(1).map(|p| p.split('=').next().unwrap()).collect();
    assert_eq!(order, ["code", "state", "iss"]);
    assert_eq!(parameter(&response, "state").as_deref(), Some("xyz"));
    assert_eq!(parameter(&response, "iss").as_deref(), Some(ISSUER));
}

#[test]
fn post_is_accepted_and_parameters_in_two_places_are_not() {
    let world = World::new();
    let parameters = [
        ("response_type", "code"),
        ("client_id", SPA),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let mut request = Request::form("/oauth2/authorize", &parameters);
    assert_eq!(world.send(&request).status, 303);
    request.query = Some("state=x".into());
    assert_page(&world.send(&request), "invalid_request");
}

#[test]
fn other_methods_are_refused_with_allow() {
    use grantor::Method::{Delete, Get, Head, Options, Other, Put};
    let mut policy = Policy::default();
    policy.session_management = true;
    let world = World::with(policy);
    for (path, methods, allow) in [
        ("/oauth2/authorize", &[Put, Delete, Options, Other][..], "GET, HEAD, POST"),
        ("/oauth2/logout", &[Put, Delete, Options, Other], "GET, HEAD, POST"),
        ("/oauth2/check_session", &[Put, Delete, Options, Other], "GET, HEAD"),
        ("/oauth2/token", &[Get, Head, Put, Delete, Other], "POST, OPTIONS"),
        ("/oauth2/revoke", &[Get, Head, Put, Delete, Other], "POST, OPTIONS"),
        ("/oauth2/introspect", &[Get, Head, Put, Delete, Options, Other], "POST"),
    ] {
        for method in methods {
            let mut request = Request::get(path);
            request.method = *method;
            let response = world.send(&request);
            assert_eq!(
                (response.status, response.get("allow")),
                (405, Some(allow)),
                "{method:?} {path}"
            );
        }
    }
    assert_eq!(world.send(&Request::get("/nothing")).status, 404);
}

#[test]
fn the_guides_own_url_with_a_raw_redirect_uri_and_a_short_state_parses() {
    let world = World::new();
    let url = format!(
        "/oauth2/authorize?response_type=code&client_id={SPA}&redirect_uri=https://rp.example/cb\
         &scope=openid%20profile%20email&state=xyz&code_challenge={CHALLENGE}\
         &code_challenge_method=S256"
    );
    assert_eq!(world.send(&Request::get(&url)).status, 303);
    let plus = url.replace("%20", "+");
    assert_eq!(world.send(&Request::get(&plus)).status, 303);
}

#[test]
fn a_parameter_that_is_repeated_is_refused_without_believing_either_value() {
    let world = World::new();
    let with = |extra: &str| {
        let url = format!(
            "/oauth2/authorize?response_type=code&client_id={SPA}&redirect_uri={CALLBACK}\
             &scope=openid&state=xyz&code_challenge={CHALLENGE}&code_challenge_method=S256&{extra}"
        );
        world.send(&Request::get(&url))
    };
    assert_page(&with("redirect_uri=https://evil.example/cb"), "invalid_request");
    assert_page(&with(&format!("client_id={WEB}")), "invalid_request");
    // The foreign one first is no better.
    let other_order = world.send(&Request::get(&format!(
        "/oauth2/authorize?response_type=code&redirect_uri=https://evil.example/cb&client_id={SPA}\
         &redirect_uri={CALLBACK}&scope=openid&code_challenge={CHALLENGE}&code_challenge_method=S256"
    )));
    assert_page(&other_order, "invalid_request");
    for extra in ["scope=openid", "nonce=a&nonce=b", "response_type=code", "unknown=1&unknown=2"] {
        assert_redirected(&with(extra), "invalid_request");
    }
    let state_twice = with("state=abc");
    assert_eq!(parameter(&state_twice, "error").as_deref(), Some("invalid_request"));
    assert_eq!(parameter(&state_twice, "state"), None);
}

#[test]
fn an_empty_parameter_counts_as_absent_and_an_unknown_one_is_ignored() {
    let world = World::new();
    let url = format!(
        "/oauth2/authorize?response_type=code&client_id={SPA}&redirect_uri={CALLBACK}\
         &scope=openid&nonce=&prompt=&max_age=&foo=1&return_to=https://evil.example\
         &code_challenge={CHALLENGE}&code_challenge_method=S256"
    );
    let response = world.send(&Request::get(&url));
    assert_eq!(response.status, 303);
    assert!(!response.get("location").unwrap().contains("evil"));
}

// Section 4.1.2.1: error responses.

#[test]
fn without_a_proven_client_and_redirect_uri_nobody_is_redirected() {
    let world = World::new();
    world.change(OTHER, |client| client.active = false);
    assert_page(&world.authorize("client_unknown", &[]), "invalid_client");
    assert_page(&world.authorize(OTHER, &[]), "invalid_client");
    assert_page(&world.authorize(SPA, &[("client_id", "")]), "invalid_request");
    // Whatever else is wrong, an unregistered URI is a page.
    for (name, value) in [
        ("state", "xyz"),
        ("response_type", "token"),
        ("scope", "\u{7}"),
        ("prompt", "none"),
        ("code_challenge", ""),
        ("max_age", "x"),
        ("response_mode", "query"),
        ("response_mode", "fragment"),
        ("response_mode", "form_post"),
        ("response_mode", "web_message"),
        ("response_mode", "query.jwt"),
        ("request", "x.y.z"),
        ("claims", "["),
    ] {
        let changes = [("redirect_uri", "https://evil.example/cb"), (name, value)];
        assert_page(&world.authorize(SPA, &changes), "redirect_uri_mismatch");
    }
    for bad in [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "https://evil.example\\@rp.example/cb",
    ] {
        assert_page(&world.authorize(SPA, &[("redirect_uri", bad)]), "redirect_uri_mismatch");
    }
    let unknown = [("redirect_uri", "https://evil.example/cb")];
    assert_page(&world.authorize("client_unknown", &unknown), "invalid_client");
    for (name, value) in [
        ("scope", "\u{7}"),
        ("prompt", "none"),
        ("max_age", "x"),
        ("request", "x.y.z"),
        ("claims", "["),
    ] {
        assert_page(&world.authorize("client_unknown", &[(name, value)]), "invalid_client");
    }
    let repeated = |rest: &str| {
        world.send(&Request::get(&format!(
            "/oauth2/authorize?state=a&state=b&nonce=a&nonce=b&{rest}"
        )))
    };
    assert_page(&repeated("client_id=unknown"), "invalid_client");
    let foreign = format!("client_id={SPA}&redirect_uri=https://evil.example/cb");
    assert_page(&repeated(&foreign), "redirect_uri_mismatch");
    for odd in ["\u{0}", "ünbekannt", "' OR 1=1 --", "../../etc/passwd", &"c".repeat(10_000)] {
        assert_page(&world.authorize(odd, &[]), "invalid_client");
    }
}

#[test]
fn a_program_gets_the_same_error_as_json() {
    let world = World::new();
    let url = format!("/oauth2/authorize?client_id={SPA}&redirect_uri=https://evil.example");
    let response = world.send(&Request::get(&url).header("accept", "application/json"));
    assert_error(&response, 400, "redirect_uri_mismatch");
    assert_eq!(response.get("location"), None);
}

#[test]
fn a_request_that_cannot_be_decoded_is_a_page() {
    let world = World::new();
    for query in ["client_id=%", "client_id=%zz", "client_id=%ff"] {
        let response = world.send(&Request::get(&format!("/oauth2/authorize?{query}")));
        assert_page(&response, "invalid_request");
    }
    let many = "x=1&".repeat(70);
    assert_page(
        &world.send(&Request::get(&format!("/oauth2/authorize?{many}"))),
        "invalid_request",
    );
}

#[test]
fn other_errors_go_to_the_client_with_its_state() {
    let world = World::new();
    let refused = |changes: &[(&str, &str)], error: &str| {
        assert_redirected(&world.authorize(SPA, changes), error);
    };
    refused(&[("response_type", "")], "invalid_request");
    for response_type in ["token", "none", "Code", "code code"] {
        refused(&[("response_type", response_type)], "unsupported_response_type");
    }
    // Where a client that asks for tokens looks for its answer.
    for response_type in ["id_token", "code token"] {
        let response = world.authorize(SPA, &[("response_type", response_type)]);
        assert_eq!(parameter(&response, "error").as_deref(), Some("unsupported_response_type"));
        assert!(response.get("location").unwrap().starts_with(&format!("{CALLBACK}#error=")));
    }
    refused(&[("scope", "unknown")], "invalid_scope");
    for malformed in ["a  b", " openid", "openid ", "a\"b", "a\\b", "é"] {
        refused(&[("scope", malformed)], "invalid_scope");
    }
    for control in ["openid\tprofile", "openid\u{0}"] {
        refused(&[("scope", control)], "invalid_request");
    }
    let many = |n: usize| (0..n).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ");
    for large in [many(65), many(3000), "s".repeat(2049)] {
        refused(&[("scope", &large)], "invalid_scope");
    }
    refused(&[("nonce", "a\u{0}b")], "invalid_request");
    refused(&[("nonce", &"n".repeat(2049))], "invalid_request");
    refused(&[("response_mode", "unheard_of")], "invalid_request");
    refused(&[("request", "eyJ")], "invalid_request_object");
    refused(&[("request_uri", "https://rp.example/r")], "request_uri_not_supported");
}

#[test]
fn a_client_without_the_code_grant_is_refused() {
    let world = World::new();
    world.change(SERVICE, |client| client.redirect_uris = vec![CALLBACK.into()]);
    assert_redirected(&world.authorize(SERVICE, &[]), "unauthorized_client");
}

// Section 4.1.1: state is opaque.

#[test]
fn state_comes_back_byte_for_byte_whatever_it_is() {
    let world = World::new();
    let long = "s".repeat(2048);
    for state in ["x", "a+b %2B&c=d", "ünï", "\r\nset-cookie: a=1", "\u{0}", &long, "&code=evil"]
    {
        let response = world.approve(&world.ticket(SPA, &[("state", state)]));
        assert_eq!(parameter(&response, "state").as_deref(), Some(state));
    }
    let response = world.approve(&world.ticket(SPA, &[("state", "")]));
    assert_eq!(parameter(&response, "state"), None);
    let too_long = world.authorize(SPA, &[("state", &"s".repeat(2049))]);
    assert_eq!(parameter(&too_long, "error").as_deref(), Some("invalid_request"));
    assert_eq!(parameter(&too_long, "state"), None);
}

// Section 3.3: scope.

#[test]
fn scopes_that_the_client_may_not_have_are_dropped_and_the_rest_is_reported() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[("scope", "openid orders:write email unknown")]);
    let code = parameter(&world.approve(&ticket), "code").unwrap();
    let tokens = json_body(&world.redeem(SPA, &code));
    assert_eq!(tokens["scope"], "openid email");
    assert_eq!(claims(&str_of(&tokens, "access_token"))["scope"], "openid email");
}

#[test]
fn a_request_without_scope_gets_the_clients_own_but_never_becomes_openid_connect() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[("scope", "")]);
    let code = parameter(&world.approve(&ticket), "code").unwrap();
    let tokens = json_body(&world.redeem(SPA, &code));
    assert_eq!(tokens["scope"], "orders:read");
    assert!(tokens.get("id_token").is_none());
}

// Section 4.1.3 and 4.1.4: the code is exchanged.

#[test]
fn a_code_becomes_tokens() {
    let world = World::new();
    for client in [SPA, WEB] {
        let response = world.redeem(client, &world.code(client));
        assert_eq!(response.status, 200, "{}", text(&response));
        assert_eq!(response.get("cache-control"), Some("no-store"));
        assert_eq!(response.get("pragma"), Some("no-cache"));
        let tokens = json_body(&response);
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["expires_in"], 600);
        assert_eq!(tokens["scope"], "openid profile email");
        assert!(str_of(&tokens, "refresh_token").starts_with("rt_"));
        assert!(tokens["id_token"].is_string());
        assert!(world.is_alive(&str_of(&tokens, "access_token")));
    }
}

#[test]
fn a_code_works_until_its_last_millisecond_and_not_at_its_end() {
    let world = World::new();
    let (early, late) = (world.code(SPA), world.code(WEB));
    world.pass_millis(59_999);
    assert_eq!(world.redeem(SPA, &early).status, 200);
    world.pass_millis(1);
    assert_error(&world.redeem(WEB, &late), 400, "invalid_grant");
}

#[test]
fn a_clock_that_steps_back_revives_no_expired_code() {
    let world = World::new();
    let code = world.code(SPA);
    world.pass(60);
    assert_error(&world.redeem(SPA, &code), 400, "invalid_grant");
    world.step_back(3600);
    assert_error(&world.redeem(SPA, &code), 400, "invalid_grant");
}

#[test]
fn a_code_of_another_client_is_as_good_as_unknown_and_stays_usable() {
    let world = World::new();
    let code = world.code(WEB);
    assert_error(&world.redeem(OTHER, &code), 400, "invalid_grant");
    assert_error(&world.redeem(SPA, &code), 400, "invalid_grant");
    assert_eq!(world.redeem(WEB, &code).status, 200);
}

#[test]
fn the_redirect_uri_must_be_the_one_of_the_request_and_is_named_when_it_is_not() {
    let world = World::new();
    let code = world.code(SPA);
    let with = |uri: &str| {
        let mut parameters = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
        ];
        if !uri.is_empty() {
            parameters.push(("redirect_uri", uri));
        }
        world.token(SPA, &parameters)
    };
    for wrong in ["https://rp.example/cb/", "https://rp.example/other", ""] {
        let response = with(wrong);
        assert_error(&response, 400, "invalid_grant");
        assert!(
            str_of(&json_body(&response), "error_description").starts_with("redirect_uri_mismatch")
        );
    }
    assert_eq!(with(CALLBACK).status, 200);
}

#[test]
fn a_redirect_uri_that_was_not_named_need_not_be_repeated() {
    let world = World::new();
    let redeem = |uri: Option<&str>| {
        let response = world.approve(&world.ticket(SPA, &[("redirect_uri", "")]));
        let code = parameter(&response, "code").unwrap();
        let mut parameters = vec![
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", VERIFIER),
        ];
        parameters.extend(uri.map(|uri| ("redirect_uri", uri)));
        world.token(SPA, &parameters).status
    };
    assert_eq!(redeem(None), 200);
    assert_eq!(redeem(Some(CALLBACK)), 200);
    assert_eq!(redeem(Some("https://rp.example/other")), 400);
}

// Section 4.1.2: "If an authorization code is used more than once, the authorization server MUST
// deny the request and SHOULD revoke all tokens previously issued based on that code."

#[test]
fn a_reused_code_revokes_the_grant() {
    let world = World::new();
    let code = world.code(SPA);
    let tokens = json_body(&world.redeem(SPA, &code));
    world.pass(300);
    assert!(world.is_alive(&str_of(&tokens, "access_token")));
    assert_error(&world.redeem(SPA, &code), 400, "invalid_grant");
    assert!(!world.is_alive(&str_of(&tokens, "access_token")));
    assert_error(&world.refresh(SPA, &str_of(&tokens, "refresh_token")), 400, "invalid_grant");
    assert!(world.saw("ReuseDetected"));
}

#[test]
fn a_reused_code_without_its_bindings_revokes_nothing() {
    let world = World::new();
    let code = world.code(WEB);
    let tokens = json_body(&world.redeem(WEB, &code));
    assert_error(&world.redeem(OTHER, &code), 400, "invalid_grant");
    let without_verifier =
        [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)];
    assert_error(&world.token(WEB, &without_verifier), 400, "invalid_grant");
    assert!(world.is_alive(&str_of(&tokens, "access_token")));
    assert!(!world.saw("ReuseDetected"));
}

#[test]
fn unknown_malformed_expired_spent_and_foreign_codes_are_answered_alike_byte_for_byte() {
    let world = World::new();
    let (expired, spent, foreign) = (world.code(SPA), world.code(SPA), world.code(WEB));
    let live = world.code(SPA);
    let other_world = World::new();
    let unknown = other_world.code(SPA);
    assert_eq!(world.redeem(SPA, &spent).status, 200);
    let mut answers = vec![
        world.redeem(SPA, &spent),
        world.redeem(SPA, &foreign),
        world.redeem(SPA, &unknown),
        world.redeem(SPA, "nonsense"),
        world.redeem(SPA, &"x".repeat(10_000)),
        world.redeem(SPA, &live[..live.len() - 1]),
        world.redeem(SPA, &format!("{live}A")),
        world.redeem(SPA, &live.replace("authz_", "rt_")),
        world.redeem(SPA, "é"),
    ];
    world.pass(60);
    answers.push(world.redeem(SPA, &expired));
    for answer in &answers {
        assert_error(answer, 400, "invalid_grant");
        assert_eq!(answer, &answers[0]);
    }
}

#[test]
fn a_code_with_any_bit_flipped_is_refused_without_asking_the_store() {
    let world = World::new();
    let code = world.code(SPA);
    let body = code.strip_prefix("authz_").unwrap();
    for at in 0..body.len() {
        let mut flipped = body.as_bytes().to_vec();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        let flipped = format!("authz_{}", String::from_utf8(flipped).unwrap());
        let (calls, response) = world.calls(|| world.redeem(SPA, &flipped));
        assert_error(&response, 400, "invalid_grant");
        assert_eq!(calls, 0, "character {at}");
    }
    assert_eq!(world.redeem(SPA, &code).status, 200);
}

// Section 3.2: token endpoint.

#[test]
fn a_token_request_is_a_form_in_the_body_with_each_parameter_once() {
    let world = World::new();
    let code = world.code(SPA);
    let send = |change: &dyn Fn(Request) -> Request| {
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("client_id", SPA),
        ];
        world.send(&change(Request::form("/oauth2/token", &parameters)))
    };
    let retyped = |content_type: &'static str| {
        move |mut request: Request| {
            request.headers.clear();
            request.header("content-type", content_type)
        }
    };
    for content_type in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        assert_error(&send(&retyped(content_type)), 400, "invalid_request");
    }
    assert_error(&send(&|r| Request { query: Some("code=x".into()), ..r }), 400, "invalid_request");
    assert_error(&send(&|r| append(r, "&code=x")), 400, "invalid_request");
    assert_error(&send(&|r| append(r, "&x=%zz")), 400, "invalid_request");
    assert_error(&send(&|r| append(r, "&x=%00")), 400, "invalid_request");
    assert_error(&send(&|r| append(r, "&x=1&x=2")), 400, "invalid_request");
    let two_types =
        send(&|r: Request| r.header("content-type", "application/x-www-form-urlencoded"));
    assert_error(&two_types, 400, "invalid_request");
    for charset in ["utf-7", "iso-8859-1", "utf-8; x=y"] {
        let typed = |mut request: Request| {
            request.headers.clear();
            request.header(
                "content-type",
                format!("application/x-www-form-urlencoded; charset={charset}"),
            )
        };
        assert_error(&send(&typed), 400, "invalid_request");
    }
    let encoded = send(&|r: Request| r.header("content-encoding", "gzip"));
    assert_error(&encoded, 415, "invalid_request");
    assert_eq!(send(&retyped("application/x-www-form-urlencoded;charset=UTF-8")).status, 200);
}

fn append(mut request: Request, text: &str) -> Request {
    request.body.extend_from_slice(text.as_bytes());
    request
}

#[test]
fn missing_and_unknown_parameters_of_the_token_request_are_named() {
    let world = World::new();
    assert_error(&world.token(SPA, &[]), 400, "invalid_request");
    assert_error(
        &world.token(SPA, &[("grant_type", "authorization_code")]),
        400,
        "invalid_request",
    );
    assert_error(&world.token(SPA, &[("grant_type", "refresh_token")]), 400, "invalid_request");
    for grant_type in ["password", "urn:x", "implicit", "Authorization_code"] {
        assert_error(
            &world.token(SPA, &[("grant_type", grant_type)]),
            400,
            "unsupported_grant_type",
        );
    }
}

#[test]
fn a_grant_type_that_the_client_is_not_registered_for_is_refused() {
    let world = World::new();
    let tokens = world.tokens(SPA);
    world.change(SPA, |client| client.grant_types = vec![grantor::GrantType::AuthorizationCode]);
    let refused = world.refresh(SPA, &str_of(&tokens, "refresh_token"));
    assert_error(&refused, 400, "unauthorized_client");
    assert!(world.tokens(SPA).get("refresh_token").is_none());
}

// Section 2.3: client authentication.

#[test]
fn a_confidential_client_authenticates_by_basic_or_in_the_body_and_never_by_its_id_alone() {
    let world = World::new();
    let secret = world.secret.expose();
    let grant = ("grant_type", "refresh_token");
    let body =
        |parameters: &[(&str, &str)]| world.send(&Request::form("/oauth2/token", parameters));
    // Authenticated: the error is about the missing refresh token.
    let authenticated = "invalid_request";
    assert_error(
        &body(&[grant, ("client_id", WEB), ("client_secret", secret)]),
        400,
        authenticated,
    );
    assert_error(&world.token(WEB, &[grant]), 400, authenticated);
    assert_error(&world.token(WEB, &[grant, ("client_id", WEB)]), 400, authenticated);

    assert_error(&body(&[grant, ("client_id", WEB)]), 401, "invalid_client");
    assert_error(&body(&[grant, ("client_id", WEB), ("client_secret", "")]), 401, "invalid_client");
    assert_error(
        &body(&[grant, ("client_id", WEB), ("client_secret", "x")]),
        401,
        "invalid_client",
    );
    assert_error(
        &body(&[grant, ("client_id", "unknown"), ("client_secret", "x")]),
        401,
        "invalid_client",
    );
    assert_error(&body(&[grant]), 401, "invalid_client");
    // A secret for a client that has none.
    assert_error(
        &body(&[grant, ("client_id", SPA), ("client_secret", "x")]),
        401,
        "invalid_client",
    );
}

#[test]
fn basic_goes_with_the_same_client_id_and_with_no_second_proof() {
    let world = World::new();
    let refresh_token = str_of(&world.tokens(WEB), "refresh_token");
    let secret = world.secret.expose();
    // Whatever is accepted answers 200.
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", &*refresh_token)];
    let with = |more: &[(&str, &str)]| {
        let mut all = refresh.to_vec();
        all.extend_from_slice(more);
        world.token(WEB, &all)
    };
    for two in [
        &[("client_secret", secret)][..],
        &[("client_id", WEB), ("client_secret", secret)],
        &[("client_id", OTHER)],
    ] {
        assert_error(&with(two), 400, "invalid_request");
    }
    let twice =
        world.as_client(WEB, "/oauth2/token", &refresh).header("authorization", basic(WEB, secret));
    assert_error(&world.send(&twice), 400, "invalid_request");
    assert_eq!((with(&[("client_id", WEB)]).status, with(&[]).status), (200, 200));
}

#[test]
fn generated_secrets_need_no_encoding_and_an_encoded_one_is_the_same() {
    let world = World::new();
    for secret in [&world.secret, &world.other_secret, &world.service_secret] {
        let random = secret.expose().strip_prefix("secret_").unwrap();
        assert_eq!(random.len(), 43);
        assert!(random.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
    let percent = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let request = Request::form("/oauth2/token", &[("grant_type", "client_credentials")]);
    let encoded = basic(&percent(SERVICE), &percent(world.service_secret.expose()));
    assert_eq!(world.send(&request.header("authorization", encoded)).status, 200);
}

#[test]
fn without_scope_a_client_of_openid_scopes_alone_gets_invalid_scope() {
    let world = World::new();
    world.change(SPA, |client| client.scope = Scope::parse("openid profile email").unwrap());
    assert_redirected(&world.authorize(SPA, &[("scope", "")]), "invalid_scope");
}

#[test]
fn a_failed_basic_authentication_is_challenged() {
    let world = World::new();
    let with = |authorization: &str| {
        let request = Request::form("/oauth2/token", &[("grant_type", "refresh_token")]);
        world.send(&request.header("authorization", authorization))
    };
    for authorization in [
        &*basic(WEB, "wrong"),
        &*basic("unknown", "wrong"),
        &*basic(WEB, ""),
        "Basic !",
        "Bearer x",
    ] {
        let response = with(authorization);
        assert_error(&response, 401, "invalid_client");
        assert!(response.get("www-authenticate").unwrap().starts_with("Basic "));
    }
}

#[test]
fn an_unknown_an_inactive_and_an_unproved_client_are_answered_alike() {
    let world = World::new();
    world.change(OTHER, |client| client.active = false);
    let wrong = basic(WEB, "wrong");
    let answers: Vec<_> =
        [wrong, basic("unknown", "wrong"), basic(OTHER, world.other_secret.expose())]
            .iter()
            .map(|authorization| {
                let request = Request::form("/oauth2/token", &[("grant_type", "refresh_token")]);
                world.send(&request.header("authorization", authorization))
            })
            .collect();
    assert_error(&answers[0], 401, "invalid_client");
    assert!(answers.iter().all(|answer| answer == &answers[0]));
}

#[test]
fn a_pinned_method_is_the_only_one() {
    let world = World::new();
    world.change(WEB, |client| {
        if let grantor::ClientAuthentication::Secret { method, .. } = &mut client.authentication {
            *method = Some(grantor::AuthMethod::Post);
        }
    });
    let grant = ("grant_type", "refresh_token");
    assert_error(&world.token(WEB, &[grant]), 401, "invalid_client");
    let post = [grant, ("client_id", WEB), ("client_secret", world.secret.expose())];
    assert_error(&world.send(&Request::form("/oauth2/token", &post)), 400, "invalid_request");
}

#[test]
fn a_rotated_secret_works_at_once_and_the_old_one_ends_with_its_overlap() {
    let world = World::new();
    let old = world.secret.expose().to_owned();
    let rotate = |overlap| {
        pollster::block_on(world.server.clients().rotate_secret(WEB, seconds(overlap))).unwrap()
    };
    let works = |secret: &str| {
        let request = Request::form("/oauth2/token", &[("grant_type", "refresh_token")]);
        world.send(&request.header("authorization", basic(WEB, secret))).status != 401
    };
    let new = rotate(60);
    assert!(works(&old) && works(new.expose()));
    world.pass(60);
    assert!(!works(&old) && works(new.expose()));
    let newest = rotate(0);
    assert!(!works(&old) && !works(new.expose()) && works(newest.expose()));
}

// Section 4.4: client credentials.

#[test]
fn a_confidential_client_gets_a_token_of_its_own_for_its_own_scopes() {
    let world = World::new();
    let with = |scope: &str| {
        let mut parameters = vec![("grant_type", "client_credentials")];
        if !scope.is_empty() {
            parameters.push(("scope", scope));
        }
        world.token(SERVICE, &parameters)
    };
    for scope in ["", "orders:read"] {
        let response = with(scope);
        assert_eq!(response.status, 200, "{}", text(&response));
        let body = json_body(&response);
        assert_eq!(body["scope"], "orders:read");
        assert!(body.get("refresh_token").is_none() && body.get("id_token").is_none());
        let claims = claims(&str_of(&body, "access_token"));
        assert_eq!((&claims["sub"], &claims["client_id"]), (&SERVICE.into(), &SERVICE.into()));
    }
    for scope in ["openid", "openid orders:read", "offline_access", "orders:write", "a  b"] {
        assert_error(&with(scope), 400, "invalid_scope");
    }
    let grant = [("grant_type", "client_credentials")];
    assert_error(&world.token(WEB, &grant), 400, "unauthorized_client");
    assert_error(&world.token(SPA, &grant), 400, "unauthorized_client");
    world.change(SERVICE, |client| client.scope = Scope::parse("openid").unwrap());
    assert_error(&with(""), 400, "invalid_scope");
}

// Section 6: refreshing.

#[test]
fn a_refresh_gives_the_same_kind_of_answer_with_the_next_refresh_token() {
    let world = World::new();
    for client in [SPA, WEB] {
        let first = world.tokens(client);
        world.pass(100);
        let response = world.refresh(client, &str_of(&first, "refresh_token"));
        assert_eq!(response.status, 200, "{}", text(&response));
        let second = json_body(&response);
        for name in ["access_token", "refresh_token", "id_token"] {
            assert_ne!(second[name], first[name], "{name}");
            assert!(second[name].is_string(), "{name}");
        }
        assert_eq!(second["scope"], first["scope"]);
        assert_eq!(second["expires_in"], 600);
        assert!(world.is_alive(&str_of(&first, "access_token")));
        assert!(world.is_alive(&str_of(&second, "access_token")));
    }
}

#[test]
fn a_narrower_scope_is_given_and_a_wider_one_refused_without_losing_the_token() {
    let world = World::new();
    let refresh_token = str_of(&world.tokens(SPA), "refresh_token");
    let with = |scope: &str| {
        let parameters =
            [("grant_type", "refresh_token"), ("refresh_token", &refresh_token), ("scope", scope)];
        world.token(SPA, &parameters)
    };
    for wider in ["openid profile email orders:read", "orders:read", "a  b"] {
        assert_error(&with(wider), 400, "invalid_scope");
    }
    let narrowed = json_body(&with("openid email"));
    assert_eq!(narrowed["scope"], "openid email");
    let next = json_body(&world.refresh(SPA, &str_of(&narrowed, "refresh_token")));
    assert_eq!(next["scope"], "openid profile email");
}

#[test]
fn a_scope_that_the_client_lost_is_not_in_new_tokens() {
    let world = World::new();
    let tokens = world.tokens(SPA);
    world.change(SPA, |client| client.scope = Scope::parse("openid email").unwrap());
    let next = json_body(&world.refresh(SPA, &str_of(&tokens, "refresh_token")));
    assert_eq!(next["scope"], "openid email");
    // Asking for what was lost alone is refused before the token moves on.
    let refresh_token = str_of(&next, "refresh_token");
    let lost =
        [("grant_type", "refresh_token"), ("refresh_token", &refresh_token), ("scope", "profile")];
    assert_error(&world.token(SPA, &lost), 400, "invalid_scope");
    world.pass(61);
    assert_eq!(world.refresh(SPA, &refresh_token).status, 200);
}

#[test]
fn a_refresh_token_of_another_client_is_refused_and_stays_usable() {
    let world = World::new();
    let refresh_token = str_of(&world.tokens(WEB), "refresh_token");
    assert_error(&world.refresh(OTHER, &refresh_token), 400, "invalid_grant");
    assert_error(&world.refresh(SPA, &refresh_token), 400, "invalid_grant");
    let unproved =
        [("grant_type", "refresh_token"), ("refresh_token", &refresh_token), ("client_id", WEB)];
    assert_error(&world.send(&Request::form("/oauth2/token", &unproved)), 401, "invalid_client");
    // Nor does a wrong secret touch it: the store is not even asked.
    let mut wrong = Request::form("/oauth2/token", &unproved[..2]);
    wrong = wrong.header("authorization", basic(WEB, "wrong"));
    let in_body = [&unproved[..], &[("client_secret", "wrong")]].concat();
    let in_body = Request::form("/oauth2/token", &in_body);
    for request in [wrong, in_body] {
        let (calls, response) = world.calls(|| world.send(&request));
        assert_error(&response, 401, "invalid_client");
        assert_eq!(calls, 0);
    }
    assert_eq!(world.refresh(WEB, &refresh_token).status, 200);
}

#[test]
fn refresh_tokens_that_are_no_good_are_answered_alike_byte_for_byte() {
    let world = World::new();
    let token = || str_of(&world.tokens(SPA), "refresh_token");
    let (revoked, reused, foreign) =
        (token(), token(), str_of(&world.tokens(WEB), "refresh_token"));
    world.send(&world.as_client(SPA, "/oauth2/revoke", &[("token", &revoked)]));
    let live = token();
    let cut = |n: usize| live[..live.len() - n].to_owned();
    let mut flipped = live.clone().into_bytes();
    flipped[20] ^= 1;
    let unknown = str_of(&World::new().tokens(SPA), "refresh_token");
    let mut answers: Vec<grantor::Response> = [
        revoked,
        foreign,
        unknown,
        "nonsense".into(),
        "é".into(),
        "x".repeat(10_000),
        cut(1),
        cut(5),
        format!("{live}A"),
        String::from_utf8(flipped).unwrap(),
    ]
    .iter()
    .map(|token| world.refresh(SPA, token))
    .collect();
    world.refresh(SPA, &reused);
    world.pass(120);
    answers.push(world.refresh(SPA, &reused));
    assert_eq!(world.refresh(SPA, &live).status, 200);
    world.pass(15 * 86_400);
    answers.push(world.refresh(SPA, &live));
    for answer in &answers {
        assert_error(answer, 400, "invalid_grant");
        assert_eq!(answer, &answers[0]);
    }
}

#[test]
fn an_unused_refresh_token_ends_with_its_idle_time() {
    let world = World::new();
    let refresh_token = str_of(&world.tokens(SPA), "refresh_token");
    world.pass(14 * 86_400);
    assert_error(&world.refresh(SPA, &refresh_token), 400, "invalid_grant");
}

#[test]
fn the_absolute_end_of_a_grant_never_moves_and_no_token_outlives_it() {
    let world = World::new();
    let mut refresh_token = str_of(&world.tokens(SPA), "refresh_token");
    let end = world.grants()[0].expires_at;
    for _ in 0..8 {
        world.pass(11 * 86_400);
        refresh_token = str_of(&json_body(&world.refresh(SPA, &refresh_token)), "refresh_token");
    }
    world.pass(2 * 86_400 - 120);
    let last = json_body(&world.refresh(SPA, &refresh_token));
    assert_eq!(last["expires_in"], 120);
    assert!(claims(&str_of(&last, "id_token"))["exp"].as_i64().unwrap() <= end.secs());
    assert_eq!(world.grants()[0].expires_at, end);
    world.pass(120);
    assert_error(&world.refresh(SPA, &str_of(&last, "refresh_token")), 400, "invalid_grant");
    assert!(!world.is_alive(&str_of(&last, "access_token")));
}

// Section 5.1 and 10: what goes wrong inside shows outside only as a uniform error.

#[test]
fn a_store_that_fails_issues_nothing_and_says_nothing_of_itself() {
    let world = World::new();
    let code = world.code(SPA);
    let tokens = world.tokens(WEB);
    world.break_store(true);
    for response in [
        world.redeem(SPA, &code),
        world.refresh(WEB, &str_of(&tokens, "refresh_token")),
        world.userinfo(&str_of(&tokens, "access_token")),
        world.send(&world.as_client(
            WEB,
            "/oauth2/introspect",
            &[("token", &str_of(&tokens, "access_token"))],
        )),
        world.send(&world.as_client(
            WEB,
            "/oauth2/revoke",
            &[("token", &str_of(&tokens, "access_token"))],
        )),
    ] {
        assert_error(&response, 503, "temporarily_unavailable");
        assert!(!text(&response).contains("disk"), "{}", text(&response));
        assert!(response.get("retry-after").is_some());
    }
    assert!(world.events().iter().any(|event| event.contains("the disk is full")));
    world.break_store(false);
    assert_eq!(world.redeem(SPA, &code).status, 200);
}

#[test]
fn no_secret_is_in_a_record_an_event_or_a_debug_print() {
    let world = World::new();
    let code = world.code(WEB);
    let tokens = json_body(&world.redeem(WEB, &code));
    world.redeem(WEB, &code);
    world.refresh(WEB, &str_of(&tokens, "refresh_token"));
    let mut seen = world.events().join("\n");
    for grant in world.grants() {
        seen.push_str(&format!("{grant:?}"));
        seen.push_str(&grantor::store::record::write_grant(&grant).unwrap());
    }
    let client = pollster::block_on(world.server.clients().find(WEB)).unwrap().unwrap();
    seen.push_str(&format!("{client:?} {:?}", world.server));
    seen.push_str(&format!("{:?}", world.as_client(WEB, "/oauth2/token", &[("code", &code)])));
    for secret in [
        code.as_str(),
        world.secret.expose(),
        tokens["refresh_token"].as_str().unwrap(),
        tokens["access_token"].as_str().unwrap(),
        tokens["id_token"].as_str().unwrap(),
        VERIFIER,
    ] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}

#[test]
fn without_randomness_nothing_is_issued() {
    let world = World::new();
    let ticket = world.ticket(SPA, &[]);
    world.run_dry(true);
    assert_eq!(world.authorize(SPA, &[]).status, 503);
    let service = world.token(SERVICE, &[("grant_type", "client_credentials")]);
    assert_error(&service, 503, "server_error");
    world.run_dry(false);
    assert!(parameter(&world.approve(&ticket), "code").is_some());
}

#[test]
fn interleaved_people_get_their_own_tokens() {
    let world = World::new();
    let codes: Vec<(String, String)> = (0..20)
        .map(|n| {
            let subject = format!("person{n}");
            let session = grantor::Session::new(&subject, format!("s{n}"), world.server.now());
            let ticket = world.ticket(SPA, &[("nonce", &format!("nonce{n}"))]);
            match world.proceed(&ticket, Some(session)) {
                grantor::Next::Done(response) => (subject, parameter(&response, "code").unwrap()),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    for (n, (subject, code)) in codes.iter().enumerate().rev() {
        let tokens = json_body(&world.redeem(SPA, code));
        let id_token = claims(&str_of(&tokens, "id_token"));
        assert_eq!(
            (&id_token["sub"], &id_token["nonce"]),
            (&subject.as_str().into(), &format!("nonce{n}").into())
        );
        let user = json_body(&world.userinfo(&str_of(&tokens, "access_token")));
        assert_eq!(user["sub"], subject.as_str());
    }
}

// Section 10.10: guessing is bounded where the host says so.

#[test]
fn a_host_can_limit_how_often_a_client_calls() {
    struct Two(std::sync::atomic::AtomicU32);
    impl grantor::RateLimit for Two {
        fn check(&self, attempt: &grantor::Attempt<'_>) -> Result<(), std::time::Duration> {
            assert_eq!(attempt.client_id, "client_unknown");
            match self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 | 1 => Ok(()),
                _ => Err(seconds(41)),
            }
        }
    }
    let builder = grantor::AuthorizationServer::builder(ISSUER)
        .store(grantor::store::Memory::new())
        .subjects(People::default())
        .master_key(grantor::MasterKey::from_bytes([1; 32]))
        .rate_limit(Two(0.into()));
    let server = pollster::block_on(builder.build()).unwrap();
    let request = Request::form("/oauth2/token", &[("client_id", "client_unknown")]);
    let send = || pollster::block_on(server.handle(&request));
    assert_eq!((send().status, send().status), (401, 401));
    let refused = send();
    assert_error(&refused, 429, "temporarily_unavailable");
    assert_eq!(refused.get("retry-after"), Some("42"));
    let body = json_body(&refused);
    assert_eq!(body["status"], 429);
    assert!(body["title"].is_string() && body["detail"].is_string());
}

// Several issuers on one store.

#[test]
fn nothing_of_one_issuer_works_at_another_on_the_same_store() {
    let world = World::new();
    let other = world.another_server("https://other.example.com", grantor::Policy::default());
    let tokens = world.tokens(WEB);
    let code = world.code(WEB);
    let mut twin = grantor::Client::public(SPA, "The same id at another issuer");
    twin.redirect_uris = vec![CALLBACK.into()];
    twin.scope = Scope::parse("openid profile email").unwrap();
    pollster::block_on(other.clients().create(twin)).unwrap();
    let send = |request: &Request| pollster::block_on(other.handle(request));
    let bearer_of = |token: &str| bearer(Request::get("/oauth2/userinfo"), token);
    assert_eq!(send(&bearer_of(&str_of(&tokens, "access_token"))).status, 401);
    let refresh_token = str_of(&world.tokens(SPA), "refresh_token");
    let refresh = world.as_client(
        SPA,
        "/oauth2/token",
        &[("grant_type", "refresh_token"), ("refresh_token", &refresh_token)],
    );
    assert_error(&send(&refresh), 400, "invalid_grant");
    let spa_code = world.code(SPA);
    let redeem = [
        ("grant_type", "authorization_code"),
        ("code", &spa_code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    assert_error(&send(&world.as_client(SPA, "/oauth2/token", &redeem)), 400, "invalid_grant");
    let unknown = world.as_client(WEB, "/oauth2/token", &[("grant_type", "refresh_token")]);
    assert_error(&send(&unknown), 401, "invalid_client");
    let ticket = world.ticket(SPA, &[]);
    assert!(pollster::block_on(other.resume(&ticket)).is_err());
    assert_eq!(world.redeem(SPA, &spa_code).status, 200);
    assert_eq!(world.redeem(WEB, &code).status, 200);
    assert_eq!(world.refresh(SPA, &refresh_token).status, 200);
}

#[test]
fn an_error_page_says_nothing_that_the_request_has_said() {
    let world = World::new();
    let url = "/oauth2/authorize?client_id=%3Cscript%3Ealert(1)%3C/script%3E&state=%3Ci%3Ehello\
               &error=%3Cb%3Eaccess_denied&error_description=call+555-0199&error_hint=%3Cu%3Ehint\
               &error_uri=https://evil.example";
    let response = world.send(&Request::get(url));
    assert_page(&response, "invalid_client");
    for echoed in ["alert(1)", "<i>", "hello", "access_denied", "555", "hint", "evil.example"] {
        assert!(!text(&response).contains(echoed), "{echoed} in {}", text(&response));
    }
}
