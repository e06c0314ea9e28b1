//! RFC 6749 section 2.3: how a client proves itself, the same at each endpoint that asks for it.

use grantor::Request;

use crate::support::*;

/// The endpoints, and what a request needs there beside the client.
const ENDPOINTS: [(&str, (&str, &str)); 3] = [
    ("/oauth2/token", ("grant_type", "client_credentials")),
    ("/oauth2/revoke", ("token", "unknown")),
    ("/oauth2/introspect", ("token", "unknown")),
];

/// What is sent: parameters, and `Authorization` headers.
type Sent = (Vec<(&'static str, String)>, Vec<String>);

fn request(path: &str, needed: (&str, &str), (parameters, headers): &Sent) -> Request {
    let mut all = vec![needed];
    all.extend(parameters.iter().map(|(name, value)| (*name, value.as_str())));
    let request = Request::form(path, &all);
    headers.iter().fold(request, |request, header| request.header("authorization", header))
}

/// Credentials that prove nobody, with the error that they get, and whether the answer names the scheme that was tried.
fn refused(world: &World) -> Vec<(&'static str, Sent, u16, &'static str, bool)> {
    let right = world.secret.expose().to_owned();
    let other = world.other_secret.expose().to_owned();
    let body = |id: &str, secret: &str| -> Sent {
        (vec![("client_id", id.to_owned()), ("client_secret", secret.to_owned())], vec![])
    };
    let header = |value: String| -> Sent { (vec![], vec![value]) };
    let with = |mut sent: Sent, name: &'static str, value: &str| {
        sent.0.push((name, value.to_owned()));
        sent
    };
    let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    vec![
        (
            "a confidential client's id alone",
            (vec![("client_id", WEB.into())], vec![]),
            401,
            "invalid_client",
            false,
        ),
        ("a wrong secret in the body", body(WEB, "wrong"), 401, "invalid_client", false),
        ("an empty secret in the body", body(WEB, ""), 401, "invalid_client", false),
        ("another client's secret", body(WEB, &other), 401, "invalid_client", false),
        ("an unknown client", body("client_unknown", &right), 401, "invalid_client", false),
        ("a client that is switched off", body(OTHER, &other), 401, "invalid_client", false),
        ("a public client with a secret", body(SPA, &right), 401, "invalid_client", false),
        ("a wrong secret by Basic", header(basic(WEB, "wrong")), 401, "invalid_client", true),
        ("an empty secret by Basic", header(basic(WEB, "")), 401, "invalid_client", true),
        (
            "an unknown client by Basic",
            header(basic("client_unknown", &right)),
            401,
            "invalid_client",
            true,
        ),
        (
            "a client that is switched off by Basic",
            header(basic(OTHER, &other)),
            401,
            "invalid_client",
            true,
        ),
        ("a public client by Basic", header(basic(SPA, &right)), 401, "invalid_client", true),
        ("a header that is no Basic", header("Basic !!!".into()), 401, "invalid_client", true),
        ("another scheme", header(format!("Bearer {right}")), 401, "invalid_client", true),
        (
            "Basic and a secret in the body",
            with(header(basic(WEB, &right)), "client_secret", &right),
            400,
            "invalid_request",
            false,
        ),
        (
            "Basic of one and the id of another",
            with(header(basic(WEB, &right)), "client_id", SPA),
            400,
            "invalid_request",
            false,
        ),
        (
            "two headers",
            (vec![], vec![basic(WEB, &right), basic(WEB, &right)]),
            400,
            "invalid_request",
            false,
        ),
        (
            "the secret twice",
            with(body(WEB, &right), "client_secret", &right),
            400,
            "invalid_request",
            false,
        ),
        (
            "an assertion of no kind",
            with(
                with((vec![], vec![]), "client_assertion", "x.y.z"),
                "client_assertion_type",
                "urn:x",
            ),
            401,
            "invalid_client",
            false,
        ),
        (
            "an assertion that is none",
            with(with((vec![], vec![]), "client_assertion", "x.y.z"), "client_assertion_type", jwt),
            401,
            "invalid_client",
            false,
        ),
        (
            "an assertion and a secret",
            with(
                with(body(WEB, &right), "client_assertion", "x.y.z"),
                "client_assertion_type",
                jwt,
            ),
            400,
            "invalid_request",
            false,
        ),
    ]
}

#[test]
fn what_proves_nobody_is_refused_alike_at_every_endpoint() {
    let world = World::new();
    world.change(OTHER, |client| client.active = false);
    for (case, sent, status, error, challenged) in refused(&world) {
        for (path, needed) in ENDPOINTS {
            let (calls, response) = world.calls(|| world.send(&request(path, needed, &sent)));
            assert_eq!(
                (response.status, &json_body(&response)["error"]),
                (status, &error.into()),
                "{case}: {path}"
            );
            assert_error(&response, status, error);
            let challenge = response.get("www-authenticate");
            assert_eq!(
                challenge.is_some_and(|it| it.starts_with("Basic")),
                challenged,
                "{case}: {path}"
            );
            assert_eq!(calls, 0, "{case}: {path} has looked at a grant");
        }
    }
}

#[test]
fn an_unknown_client_and_a_wrong_secret_cannot_be_told_apart() {
    let world = World::new();
    world.change(OTHER, |client| client.active = false);
    let unknown = |id: &str| {
        (vec![("client_id", id.to_owned()), ("client_secret", "wrong".to_owned())], vec![])
    };
    let by_header = |id: &str| (vec![], vec![basic(id, "wrong")]);
    for (path, needed) in ENDPOINTS {
        for sent in [unknown as fn(&str) -> Sent, by_header] {
            let answers = [WEB, OTHER, SPA, "client_unknown"]
                .map(|id| world.calls(|| world.send(&request(path, needed, &sent(id)))));
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{path}: {answers:?}");
        }
        // By its id alone only a public client is somebody.
        let alone = |id: &str| (vec![("client_id", id.to_owned())], vec![]);
        let answers = [WEB, OTHER, "client_unknown"]
            .map(|id| world.calls(|| world.send(&request(path, needed, &alone(id)))));
        assert_error(&answers[0].1, 401, "invalid_client");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{path}: {answers:?}");
    }
}

#[test]
fn credentials_in_the_url_are_no_credentials() {
    let world = World::new();
    let secret = world.secret.expose();
    for (path, (name, value)) in ENDPOINTS {
        let mut request = Request::form(path, &[(name, value)]);
        request.query = Some(format!("client_id={WEB}&client_secret={secret}"));
        assert_error(&world.send(&request), 400, "invalid_request");
    }
}

#[test]
fn a_secret_that_is_stored_twice_is_still_the_right_one() {
    let world = World::new();
    world.change(WEB, |client| {
        if let grantor::ClientAuthentication::Secret { secrets, .. } = &mut client.authentication {
            secrets.push(secrets[0].clone());
        }
    });
    let request = world.as_client(WEB, "/oauth2/revoke", &[("token", "unknown")]);
    assert_eq!(world.send(&request).status, 200);
}
