//! The guide for application developers, step by step.

use serde_json::json;

use crate::support::*;

#[test]
fn a_public_client_is_registered_as_the_guide_says() {
    let server = Server::new();
    let answer = server.admin_call("POST", "", &spa());
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let client = answer.json();
    let id = client["id"].as_str().unwrap();
    assert_eq!((id.len(), id.matches('-').count()), (36, 4), "a UUID: {id}");
    assert!(client["clientId"].as_str().unwrap().starts_with("client_"));
    assert!(client.as_object().unwrap().contains_key("clientSecret"));
    assert_eq!(client["clientSecret"], json!(null));
    assert_eq!(client["name"], "My Application");
    assert_eq!(client["clientType"], "public");
    assert_eq!(client["redirectUris"], json!([CALLBACK]));
    assert_eq!(client["requirePkce"], true);
    let created = client["createdAt"].as_str().unwrap();
    assert!(created.len() == 20 && created.ends_with('Z'), "RFC 3339 in UTC: {created}");
}

#[test]
fn a_confidential_client_gets_a_secret_once_and_authenticates_either_way() {
    let server = Server::new();
    let mut registration = spa();
    registration["clientType"] = json!("confidential");
    let created = server.admin_call("POST", "", &registration);
    let (id, secret) = (created.string("clientId"), created.string("clientSecret"));
    let shown = server.admin_call("GET", &format!("/{id}"), &json!(null)).json();
    assert_eq!(shown["clientSecret"], json!(null));
    assert!(!server.admin_call("GET", "", &json!(null)).text.contains(&secret));
    // Authenticated, the complaint is about the missing code.
    let by_body = server.form(
        "/oauth2/token",
        &[("grant_type", "authorization_code"), ("client_id", &id), ("client_secret", &secret)],
    );
    assert_eq!((by_body.status, by_body.string("error").as_str()), (400, "invalid_request"));
    let by_id = [("grant_type", "authorization_code"), ("client_id", id.as_str())];
    assert_eq!(server.form("/oauth2/token", &by_id).status, 401);
}

#[test]
fn the_flow_of_a_first_party_client_shows_no_consent_and_gives_every_token() {
    let server = Server::new();
    let client = server.register_spa();
    let cookie = server.admin_cookie();
    let callback = server.authorize(&client, &cookie);
    assert_eq!(callback.status, 303);
    let location = callback.header("location").unwrap();
    assert!(location.starts_with(&format!("{CALLBACK}?code=")), "{location}");
    assert_eq!(callback.parameter("state").as_deref(), Some("xyz"));
    assert_eq!(callback.parameter("iss"), Some(server.issuer()));

    let code = callback.parameter("code").unwrap();
    let answer = server.redeem(&client, &code);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let tokens = answer.json();
    assert_eq!(tokens["expires_in"], 3600);
    assert_eq!(tokens["scope"], "openid profile email");
    for name in ["access_token", "refresh_token", "id_token"] {
        assert!(tokens[name].is_string(), "{name}");
    }

    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let user = server.get("/oauth2/userinfo", &[("authorization", &bearer)]).json();
    assert_eq!(user["email"], server.admin().0);
    assert_eq!(user["name"], "Ada Admin");

    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let refreshed = server.refresh(&client, refresh_token);
    assert!(refreshed.json()["refresh_token"].is_string());

    let newest = refreshed.string("refresh_token");
    let revoke =
        [("token", newest.as_str()), ("token_type_hint", "refresh_token"), ("client_id", &client)];
    for _ in 0..2 {
        assert_eq!(server.form("/oauth2/revoke", &revoke).status, 200);
    }
    let dead = server.refresh(&client, &newest);
    assert_eq!((dead.status, dead.string("error").as_str()), (400, "invalid_grant"));
    assert!(dead.json()["error_description"].is_string());
    assert_eq!(dead.header("access-control-allow-origin"), Some(ORIGIN));
    // The session lives on: the next authorization is silent.
    assert!(server.authorize(&client, &cookie).parameter("code").is_some());
}

#[test]
fn five_refreshes_at_once_get_the_same_successor() {
    let server = Server::new();
    let client = server.register_spa();
    let refresh_token = server.tokens(&client)["refresh_token"].as_str().unwrap().to_owned();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let run = |_| scope.spawn(|| server.refresh(&client, &refresh_token));
        let running: Vec<_> = (0..5).map(run).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let successor = answers[0].string("refresh_token");
    for answer in &answers {
        assert_eq!((answer.status, answer.string("refresh_token")), (200, successor.clone()));
    }
    assert_eq!(server.refresh(&client, &successor).status, 200);
}

#[test]
fn the_profile_api_takes_a_token_or_the_cookie_under_any_host_name() {
    let server = Server::new();
    let client = server.register_spa();
    let tokens = server.tokens(&client);
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    // The guide's API client says JSON on a request without a body.
    let answer = server.get(
        "/v1/me/profile",
        &[
            ("authorization", &bearer),
            ("content-type", "application/json"),
            ("origin", ORIGIN),
            ("host", "api.example.com"),
        ],
    );
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    let profile = answer.json();
    assert_eq!(profile["email"], server.admin().0);
    assert_eq!(profile["organisation"]["slug"], "your-org");
    let by_cookie = server.get("/v1/me/profile", &[("cookie", &server.admin_cookie())]);
    assert_eq!(by_cookie.json()["id"], profile["id"]);

    for dead in ["Bearer x", "Bearer "] {
        let answer = server.get("/v1/me/profile", &[("authorization", dead), ("origin", ORIGIN)]);
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
    }
    let preflight = server.send(
        "OPTIONS",
        "/v1/me/profile",
        &[
            ("origin", ORIGIN),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization,content-type"),
        ],
        "",
    );
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(preflight.header("access-control-allow-credentials"), None);
    // An ID token opens nothing.
    let id_token = format!("Bearer {}", tokens["id_token"].as_str().unwrap());
    assert_eq!(server.get("/v1/me/profile", &[("authorization", &id_token)]).status, 401);
}

#[test]
fn a_profile_shows_an_application_what_its_scope_covers() {
    let server = Server::new();
    let mut registration = spa();
    registration["scopes"] = json!(["openid"]);
    let client = server.admin_call("POST", "", &registration).string("clientId");
    let tokens = server.tokens(&client);
    assert_eq!(tokens["scope"], "openid");
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let profile = server.get("/v1/me/profile", &[("authorization", &bearer)]).json();
    assert!(profile.get("email").is_none() && profile.get("name").is_none());
    assert!(profile["id"].is_string());
}

#[test]
fn nothing_is_derived_from_the_host_header() {
    let server = Server::new();
    let forged = [("host", "evil.example"), ("x-forwarded-host", "evil.example")];
    let metadata = server.get("/.well-known/openid-configuration", &forged);
    assert_eq!(metadata.status, 200);
    assert_eq!(metadata.json()["issuer"], server.issuer());
    assert!(!metadata.text.contains("evil"));
    let client = server.register_spa();
    let login = server.get(&server.authorize_url(&client), &forged);
    assert!(login.header("location").unwrap().starts_with(&server.issuer()));
}

#[test]
fn the_named_conditions_of_the_troubleshooting_section_are_named() {
    let server = Server::new();
    let client = server.register_spa();
    let url = server.authorize_url(&client).replace(CALLBACK, "https://myapp.example.com/other");
    let page = server.get(&url, &[("accept", "text/html")]);
    assert_eq!((page.status, page.header("location")), (400, None));
    assert!(page.text.contains("Authorization error: <code>redirect_uri_mismatch</code>"));
    let code = server.authorize(&client, &server.admin_cookie()).parameter("code").unwrap();
    let wrong = server.form(
        "/oauth2/token",
        &[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("client_id", &client),
            ("redirect_uri", CALLBACK),
            ("code_verifier", &"A".repeat(43)),
        ],
    );
    assert_eq!(wrong.string("error"), "invalid_grant");
    assert!(wrong.string("error_description").starts_with("invalid_code_verifier"));
    assert_eq!(server.redeem(&client, &code).status, 200);
    assert_eq!(server.redeem(&client, &code).string("error"), "invalid_grant");
}

#[test]
fn a_refresh_token_outlives_the_session_that_it_came_from() {
    let server = Server::new();
    let client = server.register_spa();
    let cookie = server.login(&server.person()).cookie();
    let code = server.authorize(&client, &cookie).parameter("code").unwrap();
    let tokens = server.redeem(&client, &code);
    let database = rusqlite::Connection::open(server.data().join("accounts.db")).unwrap();
    database.execute("UPDATE sessions SET expires_at = 1", []).unwrap();
    assert_eq!(server.get("/v1/me/profile", &[("cookie", &cookie)]).status, 401);
    assert_eq!(server.refresh(&client, &tokens.string("refresh_token")).status, 200);
}

#[test]
fn a_revocation_that_names_no_client_ends_a_public_clients_token_unless_that_is_off() {
    for (settings, status, refreshed) in
        [(&[][..], 200, 400), (&[("GRANTOR_ANONYMOUS_REVOCATION", "false")], 401, 200)]
    {
        let server = Server::with(settings);
        let client = server.register_spa();
        let token = server.tokens(&client)["refresh_token"].as_str().unwrap().to_owned();
        assert_eq!(server.form("/oauth2/revoke", &[("token", &token)]).status, status);
        assert_eq!(server.refresh(&client, &token).status, refreshed);
    }
}

#[test]
fn a_client_that_calls_too_often_reads_so_in_every_form() {
    let server = Server::new();
    let client = server.register_spa();
    let limited = (0..2000).map(|_| server.refresh(&client, "x")).find(|a| a.status == 429);
    let limited = limited.expect("there is a limit");
    assert_eq!(limited.header("access-control-allow-origin"), Some(ORIGIN));
    assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    for name in ["error", "error_description", "title", "detail"] {
        limited.string(name);
    }
    assert_eq!(limited.json()["status"], 429);
}

#[test]
fn access_tokens_name_the_issuer_the_apis_and_the_organisation() {
    let server = Server::with(&[("GRANTOR_APIS", "[\"https://api.example.com\"]")]);
    let claims = part(&server.tokens(&server.register_spa())["access_token"], 1);
    assert_eq!(claims["aud"], json!([server.issuer(), "https://api.example.com"]));
    let profile = server.get("/v1/me/profile", &[("cookie", &server.admin_cookie())]).json();
    assert_eq!(claims["org_id"], profile["organisation"]["id"]);
    assert!(claims.get("org").is_none());
}

#[test]
fn the_profile_has_the_names_that_clients_read_and_no_token_is_helped_by_a_cookie() {
    let server = Server::new();
    let cookie = server.admin_cookie();
    let profile = server.get("/v1/me/profile", &[("cookie", &cookie)]).json();
    let role = json!({"id": "administrator", "name": "Administrator", "slug": "administrator"});
    assert_eq!(profile["roles"], json!([role]));
    assert!(profile["permissions"].as_array().unwrap().contains(&json!("clients:create")));
    assert_eq!((&profile["firstName"], &profile["given_name"]), (&json!("Ada"), &json!("Ada")));
    // People and clients are never mistaken for each other in `sub`.
    let id = profile["id"].as_str().unwrap();
    assert!(id.len() == 36 && !id.starts_with("client_"), "{id}");
    let both = [("cookie", cookie.as_str()), ("authorization", "Bearer x")];
    assert_eq!(server.get("/v1/me/profile", &both).status, 401);
}

#[test]
fn an_application_that_may_not_compare_people_is_not_told_the_servers_own_name_of_them() {
    let server = Server::new();
    let mut client = spa();
    client["subjectType"] = serde_json::json!("pairwise");
    let id = server.admin_call("POST", "", &client).string("clientId");
    let tokens = server.tokens(&id);
    let known_as = part(&tokens["id_token"], 1)["sub"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("origin", ORIGIN)];
    let profile = server.get("/v1/me/profile", &headers);
    assert_eq!(profile.status, 200, "{}", profile.text);
    assert_eq!(profile.string("id"), known_as);
    let own = server.get("/v1/me/profile", &[("cookie", &server.admin_cookie())]).string("id");
    assert!(own != known_as && !profile.text.contains(&own));
}

#[test]
fn no_other_address_is_derived_from_a_forged_header_either() {
    let server = Server::with(&[
        ("GRANTOR_REGISTRATION__MODE", "open"),
        ("GRANTOR_REGISTRATION__ORGANISATION", "your-org"),
    ]);
    let forged = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example"),
        ("content-type", "application/json"),
    ];
    let body = serde_json::json!({"redirect_uris": [CALLBACK]}).to_string();
    let registered = server.send("POST", "/oauth2/register", &forged, &body);
    assert_eq!(registered.status, 201, "{}", registered.text);
    assert!(registered.string("registration_client_uri").starts_with(&server.issuer()));
    for path in [
        "/account",
        "/admin",
        "/admin/clients",
        "/logout",
        "/oauth2/logout",
        "/",
        "/login",
        "/demo",
    ] {
        let answer = server.get(path, &forged);
        assert!(!answer.text.contains("evil.example"), "{path}: {}", answer.text);
        assert!(answer.header("location").is_none_or(|to| !to.contains("evil")), "{path}");
    }
    for path in ["/v1/me/profile", "/v1/openapi.json", "/.well-known/oauth-authorization-server"] {
        let answer = server.get(path, &forged);
        let said = format!("{:?}{}", answer.header("www-authenticate"), answer.text);
        assert!(!said.contains("evil.example"), "{path}: {said}");
    }
}

#[test]
fn no_page_and_no_registration_can_be_read_from_another_origin() {
    let server = Server::new();
    let client = server.register_spa();
    let cookie = server.admin_cookie();
    let ticket =
        server.get(&server.authorize_url(&client), &[]).header("location").unwrap().to_owned();
    for path in [
        "/",
        "/login",
        "/account",
        "/logout",
        "/admin/clients",
        "/consent?ticket=x",
        &ticket,
        "/oauth2/register",
    ] {
        // Also the client's own, which may call the token endpoint.
        for origin in [ORIGIN, "https://evil.example", "null"] {
            let answer = server.get(path, &[("origin", origin), ("cookie", &cookie)]);
            for header in ["access-control-allow-origin", "access-control-allow-credentials"] {
                assert_eq!(answer.header(header), None, "{path} for {origin}");
            }
        }
    }
}
