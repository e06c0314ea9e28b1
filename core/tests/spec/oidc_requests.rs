//! OpenID Connect Core sections 3.1.2.1, 5.3.2 and 5.5, and the response modes: what a request may wish for.

use grantor::{Algorithm, Next, Session, SignInReason};
use pollster::block_on;
use serde_json::{Value, json};

use crate::support::*;

/// The tokens of a request of the first-party client.
fn tokens_for(world: &World, changes: &[(&str, &str)]) -> Value {
    let response = world.approve(&world.ticket(SPA, changes));
    let tokens = world.redeem(SPA, &parameter(&response, "code").unwrap());
    assert_eq!(tokens.status, 200, "{}", text(&tokens));
    json_body(&tokens)
}

fn userinfo(world: &World, tokens: &Value) -> Value {
    json_body(&world.userinfo(&str_of(tokens, "access_token")))
}

// The claims parameter.

#[test]
fn a_claim_that_is_asked_for_by_name_comes_where_it_was_asked_for() {
    let world = World::new();
    // Over several lines, as people write JSON.
    let wishes = r#"{
        "userinfo": {"name": {"essential": true}, "unheard_of": null},
        "id_token": {"email": null, "auth_time": {"essential": true}}
    }"#;
    let tokens = tokens_for(&world, &[("scope", "openid"), ("claims", wishes)]);
    assert_eq!(tokens["scope"], "openid", "the scope behind a claim is not granted with it");
    let info = userinfo(&world, &tokens);
    assert_eq!(
        (&info["name"], info.get("email"), info.get("given_name")),
        (&json!("Ann Example"), None, None)
    );
    let id_token = claims(&str_of(&tokens, "id_token"));
    assert_eq!((&id_token["email"], id_token.get("name")), (&json!("ann@example.com"), None));
    assert!(id_token["auth_time"].is_i64());
    // It holds after a refresh too.
    let refreshed = json_body(&world.refresh(SPA, &str_of(&tokens, "refresh_token")));
    assert_eq!(claims(&str_of(&refreshed, "id_token"))["email"], "ann@example.com");
}

#[test]
fn a_claim_by_name_is_no_way_around_registration_or_consent() {
    let world = World::new();
    let wish =
        [("scope", "openid"), ("claims", r#"{"userinfo": {"phone_number": null, "name": null}}"#)];
    // The client is not registered for `phone`.
    assert_eq!(userinfo(&world, &tokens_for(&world, &wish)).get("phone_number"), None);
    // A third party's wish is a question, and what is refused is not given.
    let ask = || match world.proceed(&world.ticket(THIRD, &wish), Some(world.session())) {
        Next::Consent(consent) => consent,
        other => panic!("{other:?}"),
    };
    assert_eq!(ask().scope().to_string(), "openid profile");
    let openid = grantor::Scope::parse("openid").unwrap();
    let redeem = |response| json_body(&world.redeem(THIRD, &parameter(&response, "code").unwrap()));
    let without = redeem(block_on(ask().approve(&openid)).unwrap());
    assert_eq!(userinfo(&world, &without).get("name"), None);
    let with = redeem(block_on(ask().answer(true)).unwrap());
    assert_eq!(userinfo(&world, &with)["name"], "Ann Example");
    // Now it is remembered.
    assert!(matches!(
        world.proceed(&world.ticket(THIRD, &wish), Some(world.session())),
        Next::Done(_)
    ));
}

#[test]
fn a_claim_that_the_client_may_not_have_any_more_is_not_given_any_more() {
    let world = World::new();
    let wish = r#"{"id_token": {"email": null}, "userinfo": {"email": null}}"#;
    let tokens = tokens_for(&world, &[("scope", "openid"), ("claims", wish)]);
    assert_eq!(userinfo(&world, &tokens)["email"], "ann@example.com");
    world.change(SPA, |client| client.scope = grantor::Scope::parse("openid").unwrap());
    assert_eq!(userinfo(&world, &tokens).get("email"), None);
    let refreshed = json_body(&world.refresh(SPA, &str_of(&tokens, "refresh_token")));
    assert_eq!(claims(&str_of(&refreshed, "id_token")).get("email"), None);
}

#[test]
fn a_request_for_a_person_by_name_is_answered_for_nobody_else() {
    let world = World::new();
    let wish = |who: &str| json!({"id_token": {"sub": {"value": who}}}).to_string();
    assert!(
        parameter(&world.approve(&world.ticket(SPA, &[("claims", &wish("ann"))])), "code")
            .is_some()
    );
    let bob = [("claims", &*wish("bob"))];
    let next = world.proceed(&world.ticket(SPA, &bob), Some(world.session()));
    assert!(matches!(next, Next::SignIn(_, SignInReason::OtherPerson)), "{next:?}");
    let hint = str_of(&world.tokens(SPA), "id_token");
    let two = [("claims", &*wish("bob")), ("id_token_hint", &*hint)];
    assert_redirected(&world.authorize(SPA, &two), "invalid_request");
    // In both places it counts alike, and of two people neither is meant.
    let mut both =
        json!({"userinfo": {"sub": {"value": "ann"}}, "id_token": {"sub": {"value": "ann"}}});
    assert!(world.ticket(SPA, &[("claims", &both.to_string())]).len() > 10);
    both["id_token"]["sub"]["value"] = "bob".into();
    assert_redirected(&world.authorize(SPA, &[("claims", &both.to_string())]), "invalid_request");
}

#[test]
fn a_malformed_claims_parameter_is_refused() {
    let world = World::new();
    let deep = format!("{{\"userinfo\": {}{}}}", "[".repeat(2000), "]".repeat(2000));
    for bad in [
        "x",
        "[]",
        r#"{"userinfo": {"name": 1}}"#,
        r#"{"userinfo": {}, "userinfo": {"name": null}}"#,
        r#"{"userinfo": {"name": null, "name": null}}"#,
        r#"{"id_token": {"sub": {"value": 7}}}"#,
        r#"{"id_token": {"sub": {"value": null}}}"#,
        &deep,
    ] {
        assert_redirected(&world.authorize(SPA, &[("claims", bad)]), "invalid_request");
    }
}

// Context classes.

fn with_acr(world: &World, acr: Option<&str>) -> Session {
    let mut session = world.session();
    session.acr = acr.map(str::to_owned);
    session
}

#[test]
fn wishes_for_a_context_class_reach_the_page_and_what_was_reached_the_tokens() {
    let world = World::new();
    let wish = [("acr_values", "gold silver")];
    let Next::SignIn(pending, _) = world.proceed(&world.ticket(SPA, &wish), None) else { panic!() };
    assert_eq!(pending.acr_values(), ["gold", "silver"]);
    let next = world.proceed(&pending.ticket(), Some(with_acr(&world, Some("silver"))));
    let Next::Done(response) = next else { panic!("{next:?}") };
    let tokens = json_body(&world.redeem(SPA, &parameter(&response, "code").unwrap()));
    assert_eq!(claims(&str_of(&tokens, "id_token"))["acr"], "silver");
    // A wish is none that could fail.
    let next = world.proceed(&world.ticket(SPA, &wish), Some(with_acr(&world, None)));
    assert!(matches!(next, Next::Done(_)));
}

#[test]
fn an_essential_context_class_is_reached_or_there_is_no_code() {
    let world = World::new();
    let demand = json!({"id_token": {"acr": {"essential": true, "values": ["gold"]}}}).to_string();
    let demand = [("claims", &*demand)];
    let old = with_acr(&world, Some("silver"));
    world.pass(60);
    let ticket = world.ticket(SPA, &demand);
    let next = world.proceed(&ticket, Some(old.clone()));
    let Next::SignIn(pending, SignInReason::ContextClass) = next else { panic!("{next:?}") };
    assert_eq!(pending.acr_values(), ["gold"]);
    let done = world.proceed(&ticket, Some(with_acr(&world, Some("gold"))));
    assert!(matches!(&done, Next::Done(response) if parameter(response, "code").is_some()));
    // Who signs in for it and does not reach it is not asked for ever.
    let ticket = world.ticket(SPA, &demand);
    let Next::Done(response) = world.proceed(&ticket, Some(with_acr(&world, None))) else {
        panic!()
    };
    assert_redirected(&response, "unmet_authentication_requirements");
    let silent = world.ticket(SPA, &[demand[0], ("prompt", "none")]);
    let Next::Done(response) = world.proceed(&silent, Some(old)) else { panic!() };
    assert_redirected(&response, "login_required");
}

#[test]
fn wishes_about_the_page_are_handed_on_and_never_an_error() {
    let world = World::new();
    let wishes = [
        ("ui_locales", "de-CH fr"),
        ("claims_locales", "de"),
        ("display", "popup"),
        ("login_hint", "ann@example.com"),
        ("unheard_of", "x"),
    ];
    let Next::SignIn(pending, _) = world.proceed(&world.ticket(SPA, &wishes), None) else {
        panic!()
    };
    assert_eq!(pending.ui_locales(), ["de-CH", "fr"]);
    assert_eq!((pending.display(), pending.login_hint()), (Some("popup"), Some("ann@example.com")));
}

#[test]
fn a_client_may_have_a_max_age_of_its_own() {
    let world = World::new();
    world.change(SPA, |client| client.default_max_age = Some(seconds(60)));
    let session = world.session();
    world.pass(61);
    let next = world.proceed(&world.ticket(SPA, &[]), Some(session.clone()));
    assert!(matches!(next, Next::SignIn(_, SignInReason::TooOld)), "{next:?}");
    // The request's word counts more.
    let next = world.proceed(&world.ticket(SPA, &[("max_age", "100")]), Some(session));
    assert!(matches!(next, Next::Done(_)), "{next:?}");
}

// Response modes.

#[test]
fn a_response_in_the_fragment_has_nothing_in_the_query() {
    let world = World::new();
    let response = world.approve(&world.ticket(SPA, &[("response_mode", "fragment")]));
    let location = response.get("location").unwrap();
    assert!(location.starts_with(&format!("{CALLBACK}#code=")), "{location}");
    assert!(
        location.contains("&state=xyz&iss=https%3A%2F%2Fid.example.com") && !location.contains('?')
    );
    let error = world.authorize(SPA, &[("response_mode", "fragment"), ("scope", "unknown")]);
    assert!(error.get("location").unwrap().starts_with(&format!("{CALLBACK}#error=invalid_scope")));
    assert_eq!(parameter(&error, "iss").as_deref(), Some(ISSUER));
    // What the state says stays one value of one parameter.
    for state in
        ["x&code=evil#y", "#access_token=evil", "a=b&iss=https://evil.example", "%26code=evil"]
    {
        let asked = [("response_mode", "fragment"), ("state", state)];
        let response = world.approve(&world.ticket(SPA, &asked));
        let location = response.get("location").unwrap();
        assert_eq!(location.matches('#').count(), 1, "{location}");
        assert_eq!(location.matches("code=").count(), 1, "{location}");
        assert_eq!(parameter(&response, "state").as_deref(), Some(state));
        assert_eq!(parameter(&response, "iss").as_deref(), Some(ISSUER));
        assert_eq!(parameter(&response, "access_token"), None);
    }
}

#[test]
fn a_response_by_form_post_is_a_page_that_posts_itself_and_errors_are_too() {
    let world = World::new();
    let mode = ("response_mode", "form_post");
    let state = ("state", "\"><script>alert(1)</script>&'");
    let response = world.approve(&world.ticket(SPA, &[mode, state]));
    assert_eq!((response.status, response.get("location")), (200, None));
    let page = text(&response);
    assert!(page.contains(&format!("<form method=\"post\" action=\"{CALLBACK}\">")), "{page}");
    assert!(page.contains(
        "name=\"state\" value=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;\""
    ));
    assert!(page.contains("<button>") && page.matches("<script>").count() == 1);
    let policy = response.get("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'sha256-") && !policy.contains("form-action"), "{policy}");
    assert_eq!(response.get("cache-control"), Some("no-store"));
    let code = page.split("name=\"code\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(world.redeem(SPA, code).status, 200);

    let silent = world.ticket(SPA, &[mode, ("prompt", "none")]);
    let Next::Done(error) = world.proceed(&silent, None) else { panic!() };
    assert!(text(&error).contains("name=\"error\" value=\"login_required\""));
    let missing = world.authorize(SPA, &[mode, ("response_type", "")]);
    assert!(text(&missing).contains("name=\"error\" value=\"invalid_request\""));
    for page in [&response, &error, &missing] {
        assert!(text(page).contains(&format!("name=\"iss\" value=\"{ISSUER}\"")), "{}", text(page));
    }
    // Where nobody may be sent, no form leads either.
    let foreign = world.authorize(SPA, &[mode, ("redirect_uri", "https://evil.example/")]);
    assert_page(&foreign, "redirect_uri_mismatch");
    assert_redirected(
        &world.authorize(SPA, &[("response_mode", "web_message")]),
        "invalid_request",
    );
}

// UserInfo as a JWT.

#[test]
fn a_client_gets_its_userinfo_signed_when_it_is_registered_so() {
    let world = World::new();
    world.change(SPA, |client| client.userinfo_signed_response_alg = Some(Algorithm::Rs256));
    let tokens = world.tokens(SPA);
    let response = world.userinfo(&str_of(&tokens, "access_token"));
    assert_eq!(response.get("content-type"), Some("application/jwt"));
    assert_eq!(response.get("cache-control"), Some("no-store"));
    let jwt = text(&response);
    let (header, body) = (jose_header(&jwt), claims(&jwt));
    assert_eq!(header["alg"], "RS256");
    assert_eq!(
        (&body["iss"], &body["aud"], &body["sub"]),
        (&json!(ISSUER), &json!(SPA), &json!("ann"))
    );
    assert_eq!((&body["name"], body.get("nonce")), (&json!("Ann Example"), None));
    // It proves no login: it is neither an ID token nor an access token.
    assert_redirected(&world.authorize(SPA, &[("id_token_hint", &jwt)]), "invalid_request");
    assert_eq!(world.userinfo(&jwt).status, 401);
}
