//! Whatever bytes come, there is an answer: valid HTTP, no redirect to a stranger, no crash.

use grantor::store::Memory;
use grantor::{Method, Next, OpenRegistration, Policy, Request, Response, Scope};
use proptest::prelude::*;

use crate::client_keys::{ClientKey, Network};
use crate::support::*;

const PATHS: [&str; 13] = [
    "/oauth2/authorize",
    "/oauth2/token",
    "/oauth2/userinfo",
    "/oauth2/revoke",
    "/oauth2/introspect",
    "/oauth2/logout",
    "/oauth2/register",
    "/oauth2/register?client_id=client_spa",
    "/oauth2/check_session",
    "/oauth2/jwks.json",
    "/.well-known/openid-configuration",
    "/",
    "//evil.example/%2e%2e",
];

thread_local! {
    static WORLD: World = world();
}

/// A server on which everything is switched on.
fn world() -> World {
    let mut policy = Policy::default();
    policy.session_management = true;
    policy.implicit = true;
    let everybody = OpenRegistration { scope: Scope::parse("openid").unwrap() };
    let world = World::hooked(policy, |builder| {
        builder.registration(everybody).fetch(Network::default()).outbox(Memory::new())
    });
    world.change(SPA, |client| client.jwks = Some(ClientKey::new("k1").jwks()));
    world
}

/// The registered place itself, and what a response adds to it: not a place whose name only begins so.
fn is_callback(place: &str) -> bool {
    place.strip_prefix(CALLBACK).is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '#']))
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
        assert!(is_callback(location) || ours, "{location}");
    }
    if let Some(rest) = text_of(response).split("<form method=\"post\" action=\"").nth(1) {
        assert!(is_callback(rest.split('"').next().unwrap()), "{rest}");
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

fn text_of(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![
        Method::Get,
        Method::Post,
        Method::Options,
        Method::Put,
        Method::Delete,
        Method::Head,
        Method::Other,
    ])
}

fn header() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::sample::select(vec![
            "application/x-www-form-urlencoded",
            "application/json",
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

/// What may come as the metadata of a client.
fn json_text() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "redirect_uris",
        "client_name",
        "scope",
        "grant_types",
        "response_types",
        "jwks",
        "jwks_uri",
        "client_id",
        "contacts",
        "token_endpoint_auth_method",
        "sector_identifier_uri",
        "request_uris",
    ]);
    let value = prop::sample::select(vec![
        "null",
        "1",
        "-1e400",
        "\"\"",
        "\"x\"",
        "[]",
        "{}",
        "[[]]",
        "true",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "[\"https://rp.example/cb\"]",
        "[\"javascript:x\"]",
        "\"client_spa\"",
        "\"https://evil.example/jwks\"",
        "{\"keys\":[{}]}",
        "\"none\"",
        "[\"implicit\"]",
        "[\"id_token\"]",
        "[1",
    ]);
    prop::collection::vec((name, value), 0..6).prop_map(|members| {
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// What the answer is once the person has signed in and allowed all of it.
fn carry_through(world: &World, response: &Response) {
    is_sound(response);
    let ticket = response.get("location").and_then(|to| to.split_once("/login?ticket="));
    let Some((_, ticket)) = ticket else { return };
    let Ok(interaction) = pollster::block_on(world.server.resume(ticket)) else { return };
    match pollster::block_on(interaction.proceed(Some(world.session()))).unwrap() {
        Next::Done(response) => is_sound(&response),
        Next::Consent(consent) => {
            let scope = consent.scope().clone();
            is_sound(&pollster::block_on(consent.approve(&scope)).unwrap());
        }
        Next::SignIn(pending, _) => is_sound(&pending.deny()),
    }
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
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            json_text().prop_map(String::into_bytes),
        ],
    ) {
        let (path, named) = path.split_once('?').map_or((path, None), |(path, named)| (path, Some(named)));
        let query = query.or(named.map(str::to_owned));
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
        mode in prop::sample::select(vec!["query", "fragment", "form_post", ""]),
        response_type in prop::sample::select(vec!["code", "code", "id_token", "code id_token token"]),
    ) {
        let mut parameters: Vec<String> = [
            format!("response_type={response_type}"),
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
        parameters.extend([format!("response_mode={mode}"), "nonce=n".into()]);
        let url = format!("/oauth2/authorize?{}", parameters.join("&"));
        WORLD.with(|world| {
            let response = world.send(&Request::get(&url));
            // A form that posts itself is a page.
            assert!(matches!(response.status, 200 | 303 | 400), "{}", response.status);
            carry_through(world, &response);
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
