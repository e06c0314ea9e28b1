//! `/v1/admin/clients` and `/v1/auth`.

use serde_json::{Value, json};

use crate::support::*;

fn create(server: &Server, headers: &[(&str, &str)], body: &Value) -> Answer {
    server.send("POST", "/v1/admin/clients", headers, &body.to_string())
}

#[test]
fn the_post_needs_the_cookie_the_organisation_and_no_page_of_another_site() {
    let server = Server::new();
    let cookie = server.admin_cookie();
    let json_type = ("content-type", "application/json");
    let org = ("x-org-domain", "your-org");
    let me = ("cookie", cookie.as_str());
    let own = server.issuer();
    let status = |headers: &[(&str, &str)]| create(&server, headers, &spa()).status;

    assert_eq!(status(&[json_type, org, me]), 201);
    assert_eq!(status(&[json_type, ("X-Org-Domain", "your-org"), me, ("origin", &own)]), 201);
    assert_eq!(status(&[json_type, org, me, ("sec-fetch-site", "same-origin")]), 201);

    assert_eq!(status(&[json_type, org]), 401);
    assert_eq!(status(&[json_type, org, ("cookie", "cerb_sid=nonsense")]), 401);
    assert_eq!(status(&[json_type, org, ("cookie", &format!("{cookie}; {cookie}"))]), 401);
    assert_eq!(status(&[json_type, me]), 400);
    assert_eq!(status(&[json_type, ("x-org-domain", "other"), me]), 404);
    assert_eq!(status(&[("content-type", "text/plain"), org, me]), 415);
    for foreign in ["https://evil.example", "null", "http://app.localhost:3000"] {
        assert_eq!(status(&[json_type, org, me, ("origin", foreign)]), 403, "{foreign}");
    }
    for site in ["cross-site", "same-site"] {
        assert_eq!(status(&[json_type, org, me, ("sec-fetch-site", site)]), 403, "{site}");
    }
    assert_eq!(status(&[json_type, org, me, ("x-csrf-token", "wrong")]), 403);
    let token = server.get("/v1/me/profile", &[me]).header("x-csrf-token").unwrap().to_owned();
    assert_eq!(status(&[json_type, org, me, ("x-csrf-token", &token)]), 201);

    let person = server.login(&server.person()).cookie();
    assert_eq!(status(&[json_type, org, ("cookie", &person)]), 403);
    // An access token is no session.
    let access_token = server.tokens(&server.register_spa());
    let bearer = format!("Bearer {}", access_token["access_token"].as_str().unwrap());
    assert_eq!(status(&[json_type, org, ("authorization", &bearer)]), 401);

    let preflight = server.send(
        "OPTIONS",
        "/v1/admin/clients",
        &[("origin", ORIGIN), ("access-control-request-method", "POST")],
        "",
    );
    assert_eq!(preflight.header("access-control-allow-origin"), None);
}

#[test]
fn mistakes_in_a_registration_are_problems_that_name_the_member() {
    let server = Server::new();
    let refused = |member: &str, value: Value| {
        let mut body = spa();
        body[member] = value;
        let answer = server.admin_call("POST", "", &body);
        assert_eq!(answer.status, 400, "{member}: {}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(member), "{detail}");
        assert_eq!(problem["status"], 400);
    };
    refused("redirectUris", json!(["http://myapp.example.com/callback"]));
    refused("redirectUris", json!(["https://myapp.example.com/*"]));
    refused("redirectUris", json!([]));
    refused("allowedOrigins", json!(["https://myapp.example.com/"]));
    refused("grantTypes", json!(["password"]));
    refused("scopes", json!(["everything"]));
    refused("name", json!(" "));
    refused("accessTokenLifetime", json!(300));
    refused("accessTokenLifetime", json!(2_592_000));
    refused("idTokenSignedResponseAlg", json!("none"));
    refused("tokenEndpointAuthMethod", json!("client_secret_basic"));
    refused("mistyped", json!(1));
    refused("createdAt", json!("2024-01-15T10:00:00Z"));
    refused("clientSecret", json!("chosen"));
    refused("clientId", json!("chosen"));
    let mut body = spa();
    body["clientType"] = json!("secret");
    assert_eq!(server.admin_call("POST", "", &body).status, 400);
}

#[test]
fn a_client_is_listed_shown_changed_rotated_revoked_and_removed() {
    let server = Server::new();
    let call = |method: &str, path: &str, body: Value| server.admin_call(method, path, &body);
    let mut registration = spa();
    registration["clientType"] = json!("confidential");
    registration["description"] = json!("A test");
    registration["accessTokenLifetime"] = json!(900);
    let created = call("POST", "", registration);
    let (id, client_id) = (created.string("id"), created.string("clientId"));
    assert_eq!(created.json()["accessTokenLifetime"], 900);

    let listed = call("GET", "", json!(null)).json();
    assert_eq!(listed["total"], 4, "three of the demonstration and this one");
    for path in [format!("/{id}"), format!("/{client_id}")] {
        assert_eq!(call("GET", &path, json!(null)).string("clientId"), client_id);
    }
    assert_eq!(call("GET", "/client_unknown", json!(null)).status, 404);
    assert_eq!(call("GET", "?limit=0", json!(null)).status, 400);

    let changed =
        call("PATCH", &format!("/{id}"), json!({"name": "Renamed", "scopes": ["openid"]}));
    assert_eq!((changed.status, changed.string("name").as_str()), (200, "Renamed"));
    assert_eq!(changed.json()["scopes"], json!(["openid"]));
    assert_eq!(changed.json()["redirectUris"], json!([CALLBACK]));
    let off = json!({"isActive": false, "name": "Off"});
    let off = call("PATCH", &format!("/{id}"), off).json();
    assert_eq!((&off["isActive"], &off["name"]), (&json!(false), &json!("Off")));
    assert_eq!(call("PATCH", &format!("/{id}"), json!({"isActive": true})).json()["name"], "Off");
    for fixed in [json!({"clientType": "public"}), json!({"requirePkce": false})] {
        assert_eq!(call("PATCH", &format!("/{id}"), fixed).status, 400);
    }

    let old = created.string("clientSecret");
    let works = |secret: &str| {
        let parameters =
            [("grant_type", "refresh_token"), ("client_id", &client_id), ("client_secret", secret)];
        server.form("/oauth2/token", &parameters).status != 401
    };
    assert!(works(&old));
    let new = call("POST", &format!("/{id}/rotate-secret"), json!(null)).string("clientSecret");
    assert!(!works(&old) && works(&new));
    let newer = call("POST", &format!("/{id}/regenerate-secret"), json!(null));
    assert!(!works(&new) && works(&newer.string("clientSecret")));

    let revoked = call("POST", &format!("/{id}/revoke"), json!(null));
    assert_eq!((revoked.status, revoked.json()["message"].is_string()), (200, true));
    assert!(!works(&newer.string("clientSecret")));
    assert_eq!(call("GET", &format!("/{id}"), json!(null)).json()["isActive"], false);
    let revived = call("PATCH", &format!("/{id}"), json!({"isActive": true}));
    assert_eq!(revived.json()["isActive"], true);
    assert!(works(&newer.string("clientSecret")));

    assert_eq!(call("DELETE", &format!("/{id}"), json!(null)).status, 204);
    assert_eq!(call("DELETE", &format!("/{id}"), json!(null)).status, 404);
    assert_eq!(call("GET", &format!("/{id}"), json!(null)).status, 404);
    assert!(!works(&newer.string("clientSecret")));
}

#[test]
fn revoking_a_client_kills_its_tokens_and_reviving_it_does_not_revive_them() {
    let server = Server::new();
    let client = server.register_spa();
    let tokens = server.tokens(&client);
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let alive = || server.get("/oauth2/userinfo", &[("authorization", &bearer)]).status;
    assert_eq!(alive(), 200);
    server.admin_call("POST", &format!("/{client}/revoke"), &json!(null));
    assert_eq!(alive(), 401);
    server.admin_call("PATCH", &format!("/{client}"), &json!({"isActive": true}));
    assert_eq!(alive(), 401);
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(server.refresh(&client, refresh_token).status, 400);
}

#[test]
fn a_login_answers_with_the_session_cookie_and_failures_are_all_alike() {
    let server = Server::new();
    let (email, password) = server.admin();
    let answer = server.login(&(email.to_uppercase(), password.clone()));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("cerb_sid="), "{cookie}");
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=3600"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let body = answer.json();
    assert_eq!(
        (&body["user"]["email"], &body["organisation"]["slug"]),
        (&json!(email), &json!("your-org"))
    );

    let wrong = server.login(&(email.clone(), "wrong".into()));
    let unknown = server.login(&("nobody@example.com".into(), password.clone()));
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.text, unknown.text);
    assert_eq!(wrong.json()["message"], wrong.json()["detail"]);
    assert_eq!(wrong.header("set-cookie"), None);

    // Unknown members are ignored; other types of body are not.
    let extra = json!({"email": email, "password": password, "client_id": "x"}).to_string();
    let json_type = [("content-type", "application/json; charset=utf-8")];
    assert_eq!(server.send("POST", "/v1/auth/login", &json_type, &extra).status, 200);
    assert_eq!(
        server.send("POST", "/v1/auth/login", &[("content-type", "text/plain")], &extra).status,
        415
    );
    assert_eq!(server.send("POST", "/v1/auth/login", &json_type, "[]").status, 400);
}

#[test]
fn signing_out_ends_the_session_and_works_without_one() {
    let server = Server::new();
    for (method, path, status) in
        [("POST", "/v1/auth/logout", 200), ("DELETE", "/v1/auth/session", 204)]
    {
        let cookie = server.admin_cookie();
        let me = [("cookie", cookie.as_str()), ("content-type", "application/json")];
        assert_eq!(server.get("/v1/me/profile", &me).status, 200);
        let body = if method == "POST" { "[]" } else { "" };
        let answer = server.send(method, path, &me, body);
        assert_eq!(answer.status, status);
        assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
        assert_eq!(server.get("/v1/me/profile", &me).status, 401);
        assert_eq!(server.send(method, path, &[], "").status, status);
    }
}

#[test]
fn unknown_paths_and_methods_are_problems() {
    let server = Server::new();
    for (method, path, status) in [
        ("GET", "/v1/nothing", 404),
        ("GET", "/nothing/%3Cscript%3E", 404),
        ("GET", "/v1/auth/login", 405),
        ("PUT", "/v1/admin/clients", 405),
    ] {
        let answer = server.send(method, path, &[], "");
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        assert!(!answer.text.contains("script"));
        assert!(answer.header("x-request-id").is_some());
    }
    let health = server.get("/health", &[("x-request-id", "mine")]);
    assert_eq!((health.status, health.string("status").as_str()), (200, "ok"));
    assert_ne!(health.header("x-request-id"), Some("mine"));
}

#[test]
fn signing_algorithms_are_chosen_per_client() {
    let server = Server::new();
    let mut registration = spa();
    registration["idTokenSignedResponseAlg"] = json!("EdDSA");
    registration["accessTokenSignedResponseAlg"] = json!("RS256");
    let created = server.admin_call("POST", "", &registration);
    assert_eq!(created.json()["idTokenSignedResponseAlg"], "EdDSA");
    assert_eq!(created.json()["accessTokenSignedResponseAlg"], "RS256");
    let chosen = server.tokens(&created.string("clientId"));
    let default = server.tokens(&server.register_spa());
    for (tokens, id, access) in [(chosen, "EdDSA", "RS256"), (default, "RS256", "EdDSA")] {
        assert_eq!(part(&tokens["id_token"], 0)["alg"], id);
        assert_eq!(part(&tokens["access_token"], 0)["alg"], access);
    }
}

#[test]
fn a_confidential_client_sends_its_secret_either_way_unless_one_was_pinned() {
    let server = Server::new();
    let mut registration = spa();
    registration["clientType"] = json!("confidential");
    registration["tokenEndpointAuthMethod"] = json!("none");
    assert_eq!(server.admin_call("POST", "", &registration).status, 400);
    for (pinned, by_basic, by_post) in [
        // 400: authenticated, and the refresh token is missing.
        (json!(null), 400, 400),
        (json!("client_secret_basic"), 400, 401),
        (json!("client_secret_post"), 401, 400),
    ] {
        registration["tokenEndpointAuthMethod"] = pinned.clone();
        let made = server.admin_call("POST", "", &registration);
        let (id, secret) = (made.string("clientId"), made.string("clientSecret"));
        let pair =
            base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{id}:{secret}"));
        let authorization = format!("Basic {pair}");
        let grant = ("grant_type", "refresh_token");
        let headers = [("authorization", authorization.as_str())];
        let basic = server.form_with("/oauth2/token", &headers, &[grant]);
        let fields = [grant, ("client_id", &id), ("client_secret", &secret)];
        let post = server.form("/oauth2/token", &fields);
        assert_eq!((basic.status, post.status), (by_basic, by_post), "{pinned}");
    }
}

#[test]
fn what_a_registration_leaves_out_is_the_safe_choice() {
    let server = Server::new();
    let bare = json!({
        "name": "Bare", "clientType": "confidential", "redirectUris": [CALLBACK],
        "scopes": ["openid"],
    });
    let made = server.admin_call("POST", "", &bare).json();
    assert_eq!(
        (&made["requirePkce"], &made["requireConsent"], &made["isFirstParty"]),
        (&json!(true), &json!(true), &json!(false))
    );
    // A public client needs PKCE whatever it was told.
    let mut registration = spa();
    registration["requirePkce"] = json!(false);
    let made = server.admin_call("POST", "", &registration);
    assert_eq!(made.json()["requirePkce"], true);
    let url = server.authorize_url(&made.string("clientId"));
    let refused = server.get(url.split("&code_challenge=").next().unwrap(), &[]);
    assert_eq!(refused.parameter("error").as_deref(), Some("invalid_request"));
}

#[test]
fn no_change_is_accepted_from_a_page_of_another_site() {
    let server = Server::new();
    let client = server.register_spa();
    let cookie = server.admin_cookie();
    let one = format!("/v1/admin/clients/{client}");
    for (method, path, body) in [
        ("POST", "/v1/admin/clients".to_owned(), "{}"),
        ("PATCH", one.clone(), r#"{"name":"Evil"}"#),
        ("DELETE", one.clone(), ""),
        ("POST", format!("{one}/rotate-secret"), ""),
        ("POST", format!("{one}/regenerate-secret"), ""),
        ("POST", format!("{one}/revoke"), ""),
    ] {
        for foreign in [
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("x-csrf-token", "wrong"),
        ] {
            let headers = [
                ("content-type", "application/json"),
                ("x-org-domain", "your-org"),
                ("cookie", cookie.as_str()),
                foreign,
            ];
            let answer = server.send(method, &path, &headers, body);
            assert_eq!(answer.status, 403, "{method} {path} {foreign:?}");
        }
    }
    let after = server.admin_call("GET", &format!("/{client}"), &json!(null)).json();
    assert_eq!((&after["name"], &after["isActive"]), (&json!("My Application"), &json!(true)));
}

#[test]
fn a_body_that_is_too_large_is_a_problem_like_all_others() {
    let server = Server::new();
    let json = [("content-type", "application/json")];
    let big = server.send("POST", "/v1/auth/login", &json, &"x".repeat(3 << 20));
    assert_eq!(big.status, 413);
    assert_eq!(big.header("content-type"), Some("application/problem+json"));
}

#[test]
fn what_openid_connect_has_for_clients_is_registered_shown_and_refused_by_name() {
    let server = Server::with(&[("GRANTOR_IMPLICIT", "true")]);
    let mut client = spa();
    client["clientType"] = json!("confidential");
    client["grantTypes"] = json!(["authorization_code", "implicit"]);
    client["responseTypes"] = json!(["code", "code id_token"]);
    client["subjectType"] = json!("pairwise");
    client["tokenEndpointAuthMethod"] = json!("client_secret_jwt");
    client["localized"] =
        json!({"de": {"name": "Meine Anwendung", "tosUri": "https://myapp.example.com/agb"}});
    let created = server.admin_call("POST", "", &client);
    assert_eq!(created.status, 201, "{}", created.text);
    for name in ["grantTypes", "responseTypes", "subjectType", "tokenEndpointAuthMethod"] {
        assert_eq!(created.json()[name], client[name], "{name}");
    }
    assert_eq!(created.json()["localized"]["de"]["name"], "Meine Anwendung");
    let path = format!("/{}", created.string("clientId"));
    for (member, value) in [
        ("responseTypes", json!(["token"])),
        ("responseTypes", json!(["id_token token", "id_token token"])),
        ("subjectType", json!("secret")),
        ("sectorIdentifierUri", json!("http://myapp.example.com/uris")),
        ("tokenEndpointAuthMethod", json!("none")),
    ] {
        let refused = server.admin_call("PATCH", &path, &json!({member: value}));
        assert_eq!(refused.status, 400, "{member}: {}", refused.text);
        assert!(refused.text.contains(member), "{member}: {}", refused.text);
    }
    // People of a server that does not let it are not sent tokens through their browsers.
    let closed = Server::new();
    let refused = closed.admin_call("POST", "", &client);
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("responseTypes"), "{}", refused.text);
}

#[test]
fn tokens_through_the_browser_are_an_administrators_to_give() {
    let open = [
        ("GRANTOR_IMPLICIT", "true"),
        ("GRANTOR_REGISTRATION__MODE", "open"),
        ("GRANTOR_REGISTRATION__ORGANISATION", "your-org"),
    ];
    let metadata = json!({"redirect_uris": [CALLBACK], "response_types": ["code id_token"]});
    let register = |server: &Server| {
        let headers = [("content-type", "application/json")];
        server.send("POST", "/oauth2/register", &headers, &metadata.to_string())
    };
    let refused = register(&Server::with(&open));
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("administrator"), "{}", refused.text);
    let allowed = [&open[..], &[("GRANTOR_REGISTRATION__IMPLICIT", "true")]].concat();
    assert_eq!(register(&Server::with(&allowed)).status, 201);
}
