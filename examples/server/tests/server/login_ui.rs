//! A login page on another host of the site: how people get there and back, and what its pages may
//! call.

use crate::support::*;

const UI: &str = "https://login.example.com";

fn server() -> Server {
    Server::with(&[("GRANTOR_LOGIN_UI", "https://login.example.com/in?theme=dark")])
}

/// Visits an authorize URL and what it leads to, as a browser does.
fn visit(server: &Server, url: &str, headers: &[(&str, &str)]) -> Answer {
    let answer = server.get(url, headers);
    assert_eq!(answer.status, 303, "{}", answer.text);
    server.get(answer.header("location").unwrap(), headers)
}

fn login_from_the_page(server: &Server, origin: &str) -> Answer {
    let (email, password) = server.person();
    // The page sends members of its own.
    let body = serde_json::json!({"email": email, "password": password, "client_id": "client_x"});
    let headers =
        [("content-type", "application/json"), ("origin", origin), ("sec-fetch-site", "same-site")];
    server.send("POST", "/v1/auth/login", &headers, &body.to_string())
}

#[test]
fn people_are_sent_to_the_page_and_come_back_to_the_authorize_url_twice() {
    let server = server();
    let client = server.register_spa();
    let away = visit(&server, &server.authorize_url(&client), &[]);
    assert_eq!(away.status, 303);
    assert!(
        away.header("location")
            .unwrap()
            .starts_with("https://login.example.com/in?theme=dark&redirect_uri=")
    );
    let back = away.parameter("redirect_uri").unwrap();
    assert!(back.starts_with(&format!("{}/oauth2/authorize?", server.issuer())), "{back}");
    let login = login_from_the_page(&server, UI);
    assert_eq!(login.status, 200, "{}", login.text);
    let cookie = login.cookie();
    let me = [("cookie", cookie.as_str())];
    let (first, second) = (visit(&server, &back, &me), visit(&server, &back, &me));
    assert_eq!(first.parameter("state").as_deref(), Some("xyz"));
    assert_eq!(second.parameter("code"), first.parameter("code"));
    assert_eq!(server.redeem(&client, &second.parameter("code").unwrap()).status, 200);
}

#[test]
fn prompt_login_is_satisfied_by_a_login_on_the_page_and_by_nothing_less() {
    let server = server();
    let client = server.register_spa();
    let old = login_from_the_page(&server, UI).cookie();
    let url = format!("{}&prompt=login", server.authorize_url(&client));
    let away = visit(&server, &url, &[("cookie", &old)]);
    let back = away.parameter("redirect_uri").unwrap();
    assert!(back.contains("prompt=login"));
    // A page that sends people straight back, because they are signed in, is not asked again:
    // otherwise they would go round for ever.
    let page = visit(&server, &back, &[("cookie", &old)]);
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Please enter your password again"), "{}", page.text);
    let fresh = login_from_the_page(&server, UI).cookie();
    let done = visit(&server, &back, &[("cookie", &fresh)]);
    assert!(done.parameter("code").is_some());
}

#[test]
fn pages_of_trusted_origins_read_every_answer_with_credentials() {
    let server = server();
    let allowed = |answer: &Answer| {
        assert_eq!(answer.header("access-control-allow-origin"), Some(UI), "{}", answer.text);
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert!(answer.header("vary").unwrap().contains("Origin"));
    };
    let nobody = server.get("/v1/me/profile", &[("origin", UI), ("accept", "application/json")]);
    assert_eq!(nobody.status, 401);
    allowed(&nobody);
    let preflight = [
        ("origin", UI),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let preflight = server.send("OPTIONS", "/v1/auth/login", &preflight, "");
    assert_eq!(preflight.status, 204);
    allowed(&preflight);
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("Content-Type"));
    let json = [("content-type", "application/json"), ("origin", UI)];
    let wrong = server.send("POST", "/v1/auth/login", &json, r#"{"email":"a@b","password":"x"}"#);
    assert_eq!(wrong.status, 401);
    // Such pages show this member.
    assert_eq!(wrong.string("message"), "Invalid email or password");
    allowed(&wrong);
    let login = login_from_the_page(&server, UI);
    allowed(&login);
    let cookie = login.cookie();
    let me = [("origin", UI), ("cookie", cookie.as_str()), ("sec-fetch-site", "same-site")];
    let profile = server.get("/v1/me/profile", &me);
    assert_eq!(profile.status, 200);
    allowed(&profile);
    let logout = server.send("POST", "/v1/auth/logout", &me, "[]");
    assert_eq!(logout.status, 200, "{}", logout.text);
    allowed(&logout);
    assert_eq!(server.get("/v1/me/profile", &me).status, 401);
}

#[test]
fn no_other_origin_and_no_other_path_has_credentials() {
    let server = server();
    let client = server.register_spa();
    let token = server.tokens(&client)["access_token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let cookie = server.login(&server.person()).cookie();
    let without_credentials = |answer: &Answer| {
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{}", answer.text);
    };
    // A client's own origin calls with a token, never with a cookie.
    let by_token = server.get("/v1/me/profile", &[("origin", ORIGIN), ("authorization", &bearer)]);
    assert_eq!(by_token.header("access-control-allow-origin"), Some(ORIGIN));
    without_credentials(&by_token);
    for origin in [
        ORIGIN,
        "http://localhost:3000",
        "http://localhost:5173",
        "https://evil.example",
        "https://login.example.com.evil.example",
        "null",
    ] {
        let by_cookie = server.get("/v1/me/profile", &[("origin", origin), ("cookie", &cookie)]);
        without_credentials(&by_cookie);
        assert_eq!(by_cookie.header("access-control-allow-origin"), None, "{origin}");
        without_credentials(&login_from_the_page(&server, origin));
        let preflight = [("origin", origin), ("access-control-request-method", "POST")];
        let preflight = server.send("OPTIONS", "/v1/auth/login", &preflight, "");
        assert_eq!(preflight.header("access-control-allow-origin"), None, "{origin}");
        let foreign = [("origin", origin), ("sec-fetch-site", "same-site"), ("cookie", &cookie)];
        assert_eq!(server.send("POST", "/v1/auth/logout", &foreign, "").status, 403, "{origin}");
    }
    for path in ["/oauth2/token", "/oauth2/authorize", "/v1/admin/clients", "/login", "/health"] {
        without_credentials(&server.get(path, &[("origin", UI), ("cookie", &cookie)]));
    }
}

#[test]
fn an_origin_is_trusted_with_sessions_or_registered_for_tokens_never_both() {
    let server = server();
    let mut registration = spa();
    registration["allowedOrigins"] = serde_json::json!([UI]);
    let refused = server.admin_call("POST", "", &registration);
    assert_eq!(refused.status, 400, "{}", refused.text);
    let client = server.register_spa();
    let change = serde_json::json!({"allowedOrigins": [ORIGIN, UI]});
    assert_eq!(server.admin_call("PATCH", &format!("/{client}"), &change).status, 400);
}
