//! Whatever bytes come, there is an answer: valid HTTP, no redirect to a stranger, no crash.

use grantor::{Method, Request, Response};
use proptest::prelude::*;

use crate::support::*;

const PATHS: [&str; 10] = [
    "/oauth2/authorize",
    "/oauth2/token",
    "/oauth2/userinfo",
    "/oauth2/revoke",
    "/oauth2/introspect",
    "/oauth2/logout",
    "/oauth2/jwks.json",
    "/.well-known/openid-configuration",
    "/",
    "//evil.example/%2e%2e",
];

thread_local! {
    static WORLD: World = World::new();
}

fn is_sound(response: &Response) {
    assert!((200..=503).contains(&response.status), "{}", response.status);
    assert!(response.status != 500, "a fault of ours");
    for (name, value) in &response.headers {
        assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{name}: {value:?}");
    }
    if let Some(location) = response.get("location") {
        let ours = ["login", "logout"].map(|page| format!("{ISSUER}/{page}?ticket="));
        let ours = ours.iter().any(|page| location.starts_with(page));
        assert!(location.starts_with(CALLBACK) || ours, "{location}");
    }
    if response.get("content-type") == Some("application/json") {
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        // RFC 6749 section 5.2: the characters of an error.
        for name in ["error", "error_description"] {
            let text = body.get(name).and_then(|v| v.as_str()).unwrap_or("");
            assert!(text.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E)));
        }
    }
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![
        Method::Get,
        Method::Post,
        Method::Options,
        Method::Head,
        Method::Other,
    ])
}

fn header() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::sample::select(vec![
            "application/x-www-form-urlencoded",
            "Basic Og==",
            "Bearer a.b.c",
            "Bearer ",
            "https://rp.example",
            "null",
            "POST",
            "Basic Y2xpZW50X3dlYjp4",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    (prop::sample::select(Request::HEADERS.to_vec()), value)
}

/// A name of the protocol with a value that is absent, empty, right, wrong or repeated.
fn parameter_text() -> impl Strategy<Value = String> {
    let names = vec![
        "client_id",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
        "nonce",
        "prompt",
        "max_age",
        "code_challenge",
        "code_challenge_method",
        "grant_type",
        "code",
        "code_verifier",
        "refresh_token",
        "client_secret",
        "token",
        "request",
        "request_uri",
        "id_token_hint",
        "response_mode",
        "login_hint",
        "post_logout_redirect_uri",
    ];
    let values = vec![
        "",
        SPA,
        WEB,
        CALLBACK,
        "https://evil.example/cb",
        "//evil.example",
        "code",
        "token",
        "openid",
        "S256",
        "plain",
        CHALLENGE,
        VERIFIER,
        "authorization_code",
        "refresh_token",
        "none",
        "login",
        "-1",
        "%",
        "%zz",
        "%ff",
        "%00",
        "%0d%0aset-cookie:%20x",
        "javascript:alert(1)",
        "+",
        "a=b",
    ];
    (prop::sample::select(names), prop::sample::select(values))
        .prop_map(|(n, v)| format!("{n}={v}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(3000)
    ))]

    #[test]
    fn any_bytes_get_a_sound_answer(
        method in method(),
        path in prop::sample::select(PATHS.to_vec()),
        query in prop::option::of(".{0,80}"),
        headers in prop::collection::vec(header(), 0..5),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let request = Request { method, path: path.into(), query, headers, body, peer: None };
        WORLD.with(|world| is_sound(&world.send(&request)));
    }

    #[test]
    fn any_mixture_of_parameters_redirects_to_registered_uris_alone(
        method in method(),
        path in prop::sample::select(PATHS.to_vec()),
        parameters in prop::collection::vec(parameter_text(), 0..14),
        in_body in any::<bool>(),
    ) {
        let text = parameters.join("&");
        let mut request = Request::form(path, &[]);
        request.method = method;
        if in_body {
            request.body = text.into_bytes();
        } else {
            request.query = Some(text);
        }
        WORLD.with(|world| is_sound(&world.send(&request)));
    }

    #[test]
    fn a_request_with_some_parameters_spoilt_still_goes_nowhere_else(
        spoil in prop::collection::vec((0..7_usize, parameter_text()), 0..4),
    ) {
        let mut parameters: Vec<String> = [
            "response_type=code".to_owned(),
            format!("client_id={SPA}"),
            format!("redirect_uri={CALLBACK}"),
            "scope=openid".into(),
            "state=xyz".into(),
            format!("code_challenge={CHALLENGE}"),
            "code_challenge_method=S256".into(),
        ]
        .into();
        for (at, text) in spoil {
            parameters[at] = text;
        }
        let url = format!("/oauth2/authorize?{}", parameters.join("&"));
        WORLD.with(|world| {
            let response = world.send(&Request::get(&url));
            is_sound(&response);
            assert!(matches!(response.status, 303 | 400), "{}", response.status);
        });
    }

    #[test]
    fn any_text_as_a_ticket_is_refused(ticket in ".{0,200}") {
        WORLD.with(|world| {
            let error = pollster::block_on(world.server.resume(&ticket)).unwrap_err();
            is_sound(&error.into_response());
        });
    }
}
