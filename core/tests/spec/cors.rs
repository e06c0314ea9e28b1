//! CORS: a page reads what is meant for its own client, errors included, and nothing else.

use grantor::{Admission, Guard, Method, Request, Response};

use crate::support::*;

fn allowed(response: &Response) -> Option<&str> {
    // Tokens travel in headers: no answer of ours is for a browser's cookies.
    assert_eq!(response.get("access-control-allow-credentials"), None);
    response.get("access-control-allow-origin")
}

fn preflight(path: &str, origin: &str, headers: &str) -> Request {
    let mut request = Request::get(path)
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", headers);
    request.method = Method::Options;
    request
}

#[test]
fn token_answers_and_errors_are_readable_by_the_clients_own_origins() {
    let world = World::new();
    let send = |client: &str, origin: &str, parameters: &[(&str, &str)]| {
        world.send(&world.as_client(client, "/oauth2/token", parameters).header("origin", origin))
    };
    let refresh_token = str_of(&world.tokens(SPA), "refresh_token");
    let good = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
    let bad = [("grant_type", "refresh_token"), ("refresh_token", "nonsense")];
    for (parameters, status) in [(&good, 200), (&bad, 400)] {
        let response = send(SPA, ORIGIN, parameters);
        assert_eq!((response.status, allowed(&response)), (status, Some(ORIGIN)));
        assert_eq!(response.get("vary"), Some("Origin"));
        // Another client's origin is another page.
        for stranger in [
            "https://other.example",
            "https://evil.example",
            "http://localhost:3000",
            "http://localhost:5173",
            "null",
            "",
        ] {
            assert_eq!(allowed(&send(SPA, stranger, parameters)), None, "{stranger}");
        }
    }
    let wrong_grant = send(SPA, ORIGIN, &[("grant_type", "password")]);
    assert_eq!((wrong_grant.status, allowed(&wrong_grant)), (400, Some(ORIGIN)));
}

#[test]
fn an_error_before_the_client_is_known_is_readable_by_every_registered_origin() {
    let world = World::new();
    for origin in [ORIGIN, "https://other.example"] {
        let unknown = Request::form("/oauth2/token", &[("client_id", "client_mistyped")]);
        let response = world.send(&unknown.header("origin", origin));
        assert_eq!((response.status, allowed(&response)), (401, Some(origin)));
        let malformed = Request::get("/oauth2/token").header("origin", origin);
        assert_eq!(allowed(&world.send(&malformed)), Some(origin));
    }
    let stranger = Request::form("/oauth2/token", &[]).header("origin", "https://evil.example");
    assert_eq!(allowed(&world.send(&stranger)), None);
}

#[test]
fn revocation_and_userinfo_follow_the_same_rule() {
    let world = World::new();
    let tokens = world.tokens(SPA);
    let access_token = str_of(&tokens, "access_token");
    let userinfo = |token: &str, origin: &str| {
        world.send(&bearer(Request::get("/oauth2/userinfo"), token).header("origin", origin))
    };
    assert_eq!(allowed(&userinfo(&access_token, ORIGIN)), Some(ORIGIN));
    assert_eq!(allowed(&userinfo(&access_token, "https://other.example")), None);
    let revoke = world
        .as_client(SPA, "/oauth2/revoke", &[("token", &access_token)])
        .header("origin", ORIGIN);
    assert_eq!(allowed(&world.send(&revoke)), Some(ORIGIN));
    // The 401 by which a page learns that its token is dead.
    let dead = userinfo(&access_token, ORIGIN);
    assert_eq!((dead.status, allowed(&dead)), (401, Some(ORIGIN)));
    assert!(dead.get("access-control-expose-headers").unwrap().contains("www-authenticate"));
}

#[test]
fn preflights_are_answered_from_the_union_of_active_clients_without_running_anything() {
    let world = World::new();
    for path in ["/oauth2/token", "/oauth2/userinfo", "/oauth2/revoke"] {
        for origin in [ORIGIN, "https://other.example"] {
            let request = preflight(path, origin, "authorization");
            let (calls, response) = world.calls(|| world.send(&request));
            assert_eq!((response.status, allowed(&response)), (204, Some(origin)), "{path}");
            let headers = response.get("access-control-allow-headers").unwrap();
            assert!(headers.contains("authorization") && headers.contains("content-type"));
            assert_eq!(calls, 0);
        }
        let stranger = world.send(&preflight(path, "https://evil.example", "authorization"));
        assert_eq!(allowed(&stranger), None);
    }
    world.change(OTHER, |client| client.active = false);
    let off = world.send(&preflight("/oauth2/token", "https://other.example", "authorization"));
    assert_eq!(allowed(&off), None);
}

#[test]
fn the_authorize_and_introspection_endpoints_know_no_cors() {
    let mut policy = grantor::Policy::default();
    policy.session_management = true;
    let everybody = grantor::OpenRegistration { scope: grantor::Scope::parse("openid").unwrap() };
    let world = World::hooked(policy, |builder| builder.registration(everybody));
    for path in [
        "/oauth2/authorize",
        "/oauth2/introspect",
        "/oauth2/register",
        "/oauth2/logout",
        "/oauth2/check_session",
    ] {
        let response = world.send(&preflight(path, ORIGIN, "authorization"));
        assert_eq!((response.status, allowed(&response)), (405, None), "{path}");
    }
    let paths = [
        "/oauth2/authorize?client_id=x",
        "/oauth2/logout",
        "/oauth2/register",
        "/oauth2/check_session",
    ];
    for path in paths {
        let request = Request::get(path).header("origin", ORIGIN);
        assert_eq!(allowed(&world.send(&request)), None, "{path}");
    }
}

#[test]
fn the_guard_answers_preflights_and_lets_the_clients_pages_read() {
    let world = World::new();
    let guard = Guard::new(&world.server);
    let admit = |request: &Request| pollster::block_on(guard.admit(request));
    match admit(&preflight("/api/me", ORIGIN, "authorization,content-type")) {
        Admission::Answered(response) => {
            assert_eq!((response.status, allowed(&response)), (204, Some(ORIGIN)));
        }
        Admission::Admitted(..) => panic!("a preflight was let through"),
    }
    let token = str_of(&world.tokens(SPA), "access_token");
    match admit(&bearer(Request::get("/api/me"), &token).header("origin", ORIGIN)) {
        Admission::Admitted(_, headers) => {
            assert!(headers.contains(&("access-control-allow-origin", ORIGIN.into())));
        }
        Admission::Answered(response) => panic!("{response:?}"),
    }
    match admit(&bearer(Request::get("/api/me"), "dead").header("origin", ORIGIN)) {
        Admission::Answered(response) => {
            assert_eq!((response.status, allowed(&response)), (401, Some(ORIGIN)));
        }
        Admission::Admitted(..) => panic!("a dead token was let through"),
    }
}

#[test]
fn a_client_that_calls_too_often_can_read_so() {
    struct Never;
    impl grantor::RateLimit for Never {
        fn check(&self, _: &grantor::Attempt<'_>) -> Result<(), std::time::Duration> {
            Err(seconds(41))
        }
    }
    let builder = grantor::AuthorizationServer::builder(ISSUER)
        .store(grantor::store::Memory::new())
        .subjects(People::default())
        .master_key(grantor::MasterKey::from_bytes([1; 32]))
        .rate_limit(Never);
    let server = pollster::block_on(builder.build()).unwrap();
    let mut spa = grantor::Client::public(SPA, "App");
    spa.redirect_uris = vec![CALLBACK.into()];
    spa.allowed_origins = vec![ORIGIN.into()];
    pollster::block_on(server.clients().create(spa)).unwrap();
    let ask = |origin: &str| {
        let request = Request::form("/oauth2/token", &[("client_id", SPA)]);
        pollster::block_on(server.handle(&request.header("origin", origin)))
    };
    let refused = ask(ORIGIN);
    assert_error(&refused, 429, "temporarily_unavailable");
    assert_eq!(allowed(&refused), Some(ORIGIN));
    let exposed = refused.get("access-control-expose-headers").unwrap().to_lowercase();
    assert!(exposed.contains("retry-after"), "{exposed}");
    assert_eq!(allowed(&ask("https://evil.example")), None);
    // Who names no client is counted too.
    let anonymous = Request::form("/oauth2/revoke", &[("token", "x")]);
    let mut policy = grantor::Policy::default();
    policy.anonymous_revocation = true;
    let builder = grantor::AuthorizationServer::builder(ISSUER)
        .store(grantor::store::Memory::new())
        .subjects(People::default())
        .master_key(grantor::MasterKey::from_bytes([1; 32]))
        .policy(policy)
        .rate_limit(Never);
    let server = pollster::block_on(builder.build()).unwrap();
    assert_eq!(pollster::block_on(server.handle(&anonymous)).status, 429);
}
