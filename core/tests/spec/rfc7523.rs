//! RFC 7523 section 2.2 and OpenID Connect Core section 9: clients that prove themselves with a key.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantor::{
    Algorithm, AuthMethod, Client, ClientAuthentication, Policy, Request, Response, Scope, Secret,
};
use pollster::block_on;
use serde_json::{Value, json};

use crate::client_keys::{ClientKey, Network};
use crate::support::*;

const KEYED: &str = "client_keyed";
const JWKS_URI: &str = "https://rp.example/jwks.json";
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Keyed {
    world: World,
    key: ClientKey,
    network: Network,
    assertions: AtomicU64,
}

impl Keyed {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Client)) -> Self {
        let (key, network) = (ClientKey::new("k1"), Network::default());
        let world = World::hooked(Policy::default(), |builder| builder.fetch(network.clone()));
        let mut client = Client::keyed(KEYED, "Keyed", key.jwks());
        client.redirect_uris = vec![CALLBACK.into()];
        client.scope = Scope::parse("openid profile orders:read").unwrap();
        client.grant_types.push(grantor::GrantType::ClientCredentials);
        client.resources = vec![ISSUER.into()];
        change(&mut client);
        block_on(world.server.clients().create(client)).unwrap();
        Self { world, key, network, assertions: AtomicU64::new(0) }
    }

    fn claims(&self) -> Value {
        let now = self.world.server.now().secs();
        json!({
            "iss": KEYED, "sub": KEYED, "aud": ISSUER, "iat": now, "exp": now + 60,
            "jti": self.assertions.fetch_add(1, Ordering::SeqCst).to_string(),
        })
    }

    fn but(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }

    /// A token request with an assertion.
    fn send(&self, assertion: &str) -> Response {
        self.call("/oauth2/token", assertion, &[("grant_type", "client_credentials")])
    }

    fn call(&self, path: &str, assertion: &str, more: &[(&str, &str)]) -> Response {
        let mut parameters = vec![("client_assertion_type", TYPE), ("client_assertion", assertion)];
        parameters.extend(more);
        self.world.send(&Request::form(path, &parameters))
    }

    fn accepts(&self, claims: &Value) -> bool {
        let response = self.send(&self.key.sign(claims));
        match response.status {
            200 => true,
            _ => {
                assert_error(&response, 401, "invalid_client");
                assert_eq!(
                    json_body(&response)["error_description"],
                    "client authentication failed"
                );
                false
            }
        }
    }
}

#[test]
fn an_assertion_proves_the_client_at_every_endpoint() {
    let keyed = Keyed::new();
    let fresh = || keyed.key.sign(&keyed.claims());
    let redemption = [
        ("grant_type", "authorization_code"),
        ("code", &*keyed.world.code(KEYED)),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let tokens = json_body(&keyed.call("/oauth2/token", &fresh(), &redemption));
    let refresh_token = str_of(&tokens, "refresh_token");
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", &*refresh_token)];
    assert_eq!(keyed.call("/oauth2/token", &fresh(), &refresh).status, 200);
    let token = [("token", &*str_of(&tokens, "access_token"))];
    let asked = keyed.call("/oauth2/introspect", &fresh(), &token);
    assert_eq!(json_body(&asked)["active"], true);
    assert_eq!(keyed.call("/oauth2/revoke", &fresh(), &token).status, 200);
    assert!(!keyed.world.is_alive(token[0].1));
}

/// A signature of another length.
fn resized(signature: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut raw = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    change(&mut raw);
    BASE64_URL_SAFE_NO_PAD.encode(raw)
}

#[test]
fn a_key_that_an_assertion_brings_along_is_nobodys() {
    let (keyed, thief) = (Keyed::new(), ClientKey::new("k1"));
    keyed.network.publish("https://evil.example/jwks.json", thief.jwks());
    for (name, value) in [
        ("jwk", thief.jwk()),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        for kid in ["k1", "another"] {
            let mut header = json!({"alg": "ES256", "kid": kid});
            header[name] = value.clone();
            let forged = thief.sign_as(&header, &keyed.claims());
            assert_error(&keyed.send(&forged), 401, "invalid_client");
        }
    }
    assert_eq!(keyed.network.calls(), 0, "nobody is called whom an assertion names");
}

#[test]
fn while_the_store_cannot_note_an_assertion_it_is_neither_taken_nor_spent() {
    let keyed = Keyed::new();
    let assertion = keyed.key.sign(&keyed.claims());
    keyed.world.break_store(true);
    assert_error(&keyed.send(&assertion), 503, "temporarily_unavailable");
    keyed.world.break_store(false);
    assert_eq!(keyed.send(&assertion).status, 200);
    assert_error(&keyed.send(&assertion), 401, "invalid_client");
}

#[test]
fn an_assertion_of_nobody_is_answered_like_one_that_is_forged() {
    let (keyed, thief) = (Keyed::new(), ClientKey::new("k1"));
    let mut of_nobody = keyed.but("sub", json!("client_nobody"));
    of_nobody["iss"] = json!("client_nobody");
    let answers =
        [thief.sign(&keyed.claims()), keyed.key.sign(&of_nobody)].map(|jwt| keyed.send(&jwt));
    assert_error(&answers[0], 401, "invalid_client");
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn it_is_for_this_server_alone() {
    let keyed = Keyed::new();
    let token_endpoint = format!("{ISSUER}/oauth2/token");
    for ours in [json!(ISSUER), json!(token_endpoint), json!([ISSUER, token_endpoint])] {
        assert!(keyed.accepts(&keyed.but("aud", ours.clone())), "{ours}");
    }
    // One that another server accepts too could be used here by it.
    // At another endpoint it may name that one, and is good for no other.
    for (path, other) in
        [("/oauth2/revoke", "/oauth2/introspect"), ("/oauth2/introspect", "/oauth2/revoke")]
    {
        let sign = || keyed.key.sign(&keyed.but("aud", json!(format!("{ISSUER}{path}"))));
        assert_eq!(keyed.call(path, &sign(), &[("token", "x")]).status, 200, "{path}");
        let elsewhere = keyed.call(other, &sign(), &[("token", "x")]);
        assert_error(&elsewhere, 401, "invalid_client");
        assert_error(&keyed.send(&sign()), 401, "invalid_client");
    }
    for foreign in [
        json!("https://other.example"),
        json!([ISSUER, "https://other.example"]),
        json!([]),
        json!(format!("{ISSUER}.evil.example")),
        json!(format!("{ISSUER}/")),
        json!({"aud": ISSUER}),
        Value::Null,
    ] {
        assert!(!keyed.accepts(&keyed.but("aud", foreign.clone())), "{foreign}");
    }
}

#[test]
fn it_is_of_this_client_and_of_now() {
    let keyed = Keyed::new();
    let now = keyed.world.server.now().secs();
    for (name, value) in [
        ("iss", json!("client_web")),
        ("iss", json!(format!("{KEYED}x"))),
        ("iss", json!(&KEYED[..KEYED.len() - 1])),
        ("iss", json!(KEYED.to_uppercase())),
        ("iss", json!(format!("{KEYED} "))),
        ("iss", json!([KEYED])),
        ("iss", Value::Null),
        ("exp", json!(now)),
        ("exp", json!(now - 1)),
        ("exp", json!(now + 3601)),
        ("exp", json!("soon")),
        ("exp", Value::Null),
        ("nbf", json!(now + 61)),
        ("iat", json!(now + 61)),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(257))),
    ] {
        assert!(!keyed.accepts(&keyed.but(name, value.clone())), "{name} {value}");
    }
    // Clocks differ a little.
    for (name, value) in
        [("exp", now + 3600), ("nbf", now + 8), ("nbf", now + 60), ("iat", now + 60)]
    {
        assert!(keyed.accepts(&keyed.but(name, json!(value))), "{name}");
    }
    // A subject that is another client asks as that one, with a key that is not its own.
    let mut other = Client::keyed("client_neighbour", "Neighbour", ClientKey::new("k1").jwks());
    other.redirect_uris = vec![CALLBACK.into()];
    block_on(keyed.world.server.clients().create(other)).unwrap();
    let mut claims = keyed.but("sub", json!("client_neighbour"));
    assert!(!keyed.accepts(&claims));
    claims["iss"] = json!("client_neighbour");
    assert!(!keyed.accepts(&claims));
}

#[test]
fn the_same_jti_of_two_clients_are_two_assertions() {
    let keyed = Keyed::new();
    let mut other = Client::keyed("client_neighbour", "Neighbour", keyed.key.jwks());
    other.redirect_uris = vec![CALLBACK.into()];
    other.scope = Scope::parse("orders:read").unwrap();
    other.grant_types = vec![grantor::GrantType::ClientCredentials];
    block_on(keyed.world.server.clients().create(other)).unwrap();
    let mut claims = keyed.but("jti", json!("one"));
    assert!(keyed.accepts(&claims));
    claims["iss"] = json!("client_neighbour");
    claims["sub"] = json!("client_neighbour");
    assert!(keyed.accepts(&claims));
    assert!(!keyed.accepts(&claims));
}

#[test]
fn a_key_that_has_no_name_may_be_the_one_that_is_named() {
    let keyed = Keyed::with(|client| {
        let mut set: Value = serde_json::from_str(client.jwks.as_ref().unwrap()).unwrap();
        set["keys"][0].as_object_mut().unwrap().remove("kid");
        client.jwks = Some(set.to_string());
    });
    assert!(keyed.accepts(&keyed.claims()));
    assert_error(&keyed.send(&ClientKey::new("k1").sign(&keyed.claims())), 401, "invalid_client");
}

#[test]
fn nobody_uses_it_twice_not_even_at_another_process() {
    let keyed = Keyed::new();
    let assertion = keyed.key.sign(&keyed.but("jti", json!("once")));
    assert_eq!(keyed.send(&assertion).status, 200);
    assert_error(&keyed.send(&assertion), 401, "invalid_client");
    let other = keyed.world.another_process(Policy::default());
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", TYPE),
        ("client_assertion", &assertion),
    ];
    assert_eq!(block_on(other.handle(&Request::form("/oauth2/token", &form))).status, 401);
    assert!(keyed.world.events().iter().any(|event| event.contains("it was used before")));
    // The same jti in another assertion is the same assertion.
    assert!(!keyed.accepts(&keyed.but("jti", json!("once"))));
    // Its mark goes when no process, whatever its clock says, could take it for good any more.
    keyed.world.pass(3600);
    block_on(keyed.world.server.maintain()).unwrap();
    assert!(!keyed.accepts(&keyed.but("jti", json!("once"))));
    keyed.world.pass(86_400);
    block_on(keyed.world.server.maintain()).unwrap();
    assert!(keyed.accepts(&keyed.but("jti", json!("once"))));
}

#[test]
fn only_the_clients_own_key_in_the_right_algorithm_signs() {
    let keyed =
        Keyed::with(|client| client.token_endpoint_auth_signing_alg = Some(Algorithm::Es256));
    let (claims, stranger) = (keyed.claims(), ClientKey::new("k1"));
    let public = keyed.key.jwks();
    let with = |header: Value| keyed.key.sign_as(&header, &claims);
    for forged in [
        stranger.sign(&claims),
        ClientKey::new("k2").sign(&claims),
        with(json!({"alg": "none", "kid": "k1"})),
        with(json!({"alg": "HS256", "kid": "k1"})),
        with(json!({"alg": "EdDSA", "kid": "k1"})),
        with(json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false})),
        with(json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"})),
        with(json!({"alg": "ES256", "kid": "k1", "typ": "dpop+jwt"})),
        with(json!({"alg": "ES256", "kid": "unknown"})),
        stranger.sign_as(&json!({"alg": "ES256", "jwk": stranger.jwk()}), &claims),
        format!("{}.", keyed.key.sign(&claims).rsplit_once('.').unwrap().0),
        public,
        "a.b.c".into(),
        String::from("x"),
    ] {
        assert_error(&keyed.send(&forged), 401, "invalid_client");
    }
    assert_eq!(keyed.send(&with(json!({"alg": "ES256"}))).status, 200, "one key needs no name");
    let typed = json!({"alg": "ES256", "kid": "k1", "typ": "client-authentication+jwt"});
    assert_eq!(keyed.send(&keyed.key.sign_as(&typed, &keyed.claims())).status, 200);
}

#[test]
fn one_way_of_authentication_is_used_and_it_is_the_registered_one() {
    let keyed = Keyed::new();
    let grant = ("grant_type", "client_credentials");
    let both = keyed.call(
        "/oauth2/token",
        &keyed.key.sign(&keyed.claims()),
        &[grant, ("client_secret", "x")],
    );
    assert_error(&both, 400, "invalid_request");
    let named =
        keyed.call("/oauth2/token", &keyed.key.sign(&keyed.claims()), &[grant, ("client_id", WEB)]);
    assert_error(&named, 401, "invalid_client");
    let untyped = [grant, ("client_assertion", &*keyed.key.sign(&keyed.claims()))];
    assert_error(
        &keyed.world.send(&Request::form("/oauth2/token", &untyped)),
        401,
        "invalid_client",
    );
    for kind in [
        "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        &TYPE.to_uppercase(),
        &format!("{TYPE} "),
    ] {
        let assertion = keyed.key.sign(&keyed.claims());
        let form = [grant, ("client_assertion", &*assertion), ("client_assertion_type", kind)];
        let response = keyed.world.send(&Request::form("/oauth2/token", &form));
        assert_error(&response, 401, "invalid_client");
    }
    let assertion = keyed.key.sign(&keyed.claims());
    let form = [grant, ("client_assertion", &*assertion), ("client_assertion_type", TYPE)];
    let beside = Request::form("/oauth2/token", &form);
    let beside = beside.header("authorization", basic(WEB, keyed.world.secret.expose()));
    assert_error(&keyed.world.send(&beside), 400, "invalid_request");
    // Its id is no proof, and no secret of its own making is one.
    for form in [
        vec![grant, ("client_id", KEYED)],
        vec![grant, ("client_id", KEYED), ("client_secret", "x")],
    ] {
        let response = keyed.world.send(&Request::form("/oauth2/token", &form));
        assert_error(&response, 401, "invalid_client");
    }
    // A client with a secret does not become one with a key by sending an assertion.
    let mut claims = keyed.but("sub", json!(SERVICE));
    claims["iss"] = json!(SERVICE);
    assert_error(&keyed.send(&keyed.key.sign(&claims)), 401, "invalid_client");
}

#[test]
fn keys_elsewhere_are_fetched_and_again_when_one_is_new() {
    let keyed = Keyed::with(|client| {
        client.jwks = None;
        client.jwks_uri = Some(JWKS_URI.into());
    });
    // It cannot be fetched: that is no word about the client, and none about the network.
    let response = keyed.send(&keyed.key.sign(&keyed.claims()));
    assert_error(&response, 503, "temporarily_unavailable");
    assert!(!text(&response).contains("10.1.2.3"));
    keyed.network.publish(JWKS_URI, keyed.key.jwks());
    assert!(keyed.accepts(&keyed.claims()));
    let next = ClientKey::new("k2");
    keyed.network.publish(JWKS_URI, json!({"keys": [keyed.key.jwk(), next.jwk()]}).to_string());
    assert_eq!(keyed.send(&next.sign(&keyed.claims())).status, 200);
    let calls = keyed.network.calls();
    keyed.world.change(KEYED, |client| client.active = false);
    assert_error(&keyed.send(&keyed.key.sign(&keyed.claims())), 401, "invalid_client");
    assert_eq!(keyed.network.calls(), calls, "nobody is called for a client that is switched off");
}

#[test]
fn what_cannot_be_a_key_is_not_registered() {
    let keyed = Keyed::new();
    let refused = |field: &str, change: &dyn Fn(&mut Client)| {
        let mut client = Client::keyed("client_new", "New", keyed.key.jwks());
        client.redirect_uris = vec![CALLBACK.into()];
        change(&mut client);
        let error = block_on(keyed.world.server.clients().create(client)).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    };
    refused("jwks", &|client| client.jwks = None);
    refused("jwks", &|client| client.jwks_uri = Some(JWKS_URI.into()));
    refused("jwks", &|client| client.jwks = Some("{}".into()));
    refused("jwks", &|client| {
        let mut key = keyed.key.jwk();
        key["d"] = json!("AAAA");
        client.jwks = Some(json!({"keys": [key]}).to_string());
    });
    for bad in
        ["http://rp.example/jwks", "https://", "javascript:alert(1)", "https://a:b@rp.example/"]
    {
        refused("jwks_uri", &|client| {
            client.jwks = None;
            client.jwks_uri = Some(bad.into());
        });
    }
    refused("userinfo_signed_response_alg", &|client| {
        client.userinfo_signed_response_alg = Some(Algorithm::Ps256);
    });
    let world = World::new();
    let mut client = Client::keyed("client_new", "New", keyed.key.jwks());
    client.redirect_uris = vec![CALLBACK.into()];
    client.request_uris = vec!["https://rp.example/request".into()];
    let error = block_on(world.server.clients().create(client)).unwrap_err().to_string();
    assert!(error.contains("Builder::fetch"), "{error}");
}

/// What is no compact JWS of a JSON object, or has a claim of another kind than it must have (RFC 7515 section 5.2, RFC
/// 7519 section 7.2), wherever a client sends a JWT: as an assertion, and as a request.
#[test]
fn what_is_malformed_is_refused_wherever_a_client_sends_a_jwt() {
    let keyed = Keyed::new();
    let (good, key) = (keyed.claims(), &keyed.key);
    let sign = |header: &str, claims: &[u8]| key.sign_bytes(header, claims);
    let header = r#"{"alg":"ES256","kid":"k1"}"#;
    let claims = good.to_string();
    let with = |name: &str, json: &str| {
        let rest = keyed.but(name, Value::Null).to_string();
        sign(
            header,
            rest.replace(&format!("\"{name}\":null"), &format!("\"{name}\":{json}")).as_bytes(),
        )
    };
    let signed = sign(header, claims.as_bytes());
    let parts: Vec<&str> = signed.split('.').collect();
    let [head, body, signature] = parts[..] else { panic!() };
    let der = {
        let raw = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut der = vec![0x30, 68, 2, 32];
        der.extend(&raw[..32]);
        der.extend([2, 32]);
        der.extend(&raw[32..]);
        BASE64_URL_SAFE_NO_PAD.encode(der)
    };
    let mut bad = vec![
        String::new(),
        head.to_owned(),
        format!("{head}.{body}"),
        format!("{signed}."),
        format!("{signed}.x.y"),
        format!("{head}.{body}.{signature}="),
        format!("{head}=.{body}.{signature}"),
        format!(" {signed}"),
        format!("{head}.{body}.{der}"),
        format!("{head}.{body}.{}", BASE64_URL_SAFE_NO_PAD.encode([0; 64])),
        format!("{head}.{body}.{}", BASE64_URL_SAFE_NO_PAD.encode([0; 63])),
        format!("{head}.{body}.{}", BASE64_URL_SAFE_NO_PAD.encode([0; 65])),
        format!("{head}.{body}.{}", resized(signature, |raw| raw.truncate(63))),
        format!("{head}.{body}.{}", resized(signature, |raw| raw.push(0))),
        format!("{head}.{body}.{}", resized(signature, |raw| raw.insert(0, 0))),
        json!({"payload": body, "signatures": [{"protected": head, "signature": signature}]})
            .to_string(),
        sign(header, b"[]"),
        sign(header, b"\xff\xfe"),
        sign(header, format!("{claims} {{}}").as_bytes()),
        sign(header, claims.replacen('{', "{\"exp\":1,", 1).as_bytes()),
        sign(header, claims.replacen('{', "{\"iss\":\"client_web\",", 1).as_bytes()),
    ];
    for header in [
        r#"{"alg":"ES256","alg":"ES256","kid":"k1"}"#,
        r#"{"alg":"ES256","kid":"k1","crit":[]}"#,
        r#"{"alg":"ES256","kid":"k1","crit":["alg"]}"#,
        r#"{"alg":"ES256","kid":"../../dev/null"}"#,
        r#"{"alg":"ES256","kid":"' OR 1=1 --"}"#,
        r#"{"alg":"None","kid":"k1"}"#,
        r#"{"alg":"\u006eone","kid":"k1"}"#,
        r#"{"alg":["ES256"],"kid":"k1"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","p2c":2147483648,"kid":"k1"}"#,
        r#"{"alg":"RSA1_5","enc":"A128CBC-HS256","kid":"k1"}"#,
        r#"{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF","kid":"k1"}"#,
        r#"{"alg":"ES256","zip":"DEF","crit":["zip"],"kid":"k1"}"#,
        r#"{"kid":"k1"}"#,
        "{}",
        "null",
    ] {
        bad.push(sign(header, claims.as_bytes()));
    }
    let long = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(10_000));
    bad.push(sign(&long, claims.as_bytes()));
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    bad.push(sign(&format!(r#"{{"alg":"ES256","kid":"k1","deep":{deep}}}"#), claims.as_bytes()));
    bad.push(sign(header, claims.replacen('{', &format!("{{\"deep\":{deep},"), 1).as_bytes()));
    let times = [
        "\"2999-01-01\"",
        "\"123\"",
        "true",
        "{}",
        "1e400",
        "-1e400",
        "-1",
        "0",
        "9223372036854775808",
    ];
    bad.extend(times.map(|json| with("exp", json)));
    for name in ["nbf", "iat"] {
        bad.extend(
            ["\"x\"", "true", "[1]", "9e15", "9223372036854775807"].map(|json| with(name, json)),
        );
    }
    let (request, world) = (&good, &keyed.world);
    for (n, jwt) in bad.iter().enumerate() {
        let refused = keyed.send(jwt);
        assert_error(&refused, 401, "invalid_client");
        // A request without one is another matter.
        if !jwt.is_empty() {
            let answer = world.authorize(KEYED, &[("request", jwt)]);
            let error = parameter(&answer, "error");
            assert_eq!(error.as_deref(), Some("invalid_request_object"), "{n}: {request}");
        }
    }
    for (name, json) in
        [("jti", "1"), ("jti", "null"), ("aud", "true"), ("aud", "{}"), ("sub", "1")]
    {
        assert_error(&keyed.send(&with(name, json)), 401, "invalid_client");
    }
    // A second may be written with a fraction.
    let now = world.server.now().secs();
    assert_eq!(keyed.send(&with("exp", &format!("{}.5", now + 30))).status, 200);
    assert_eq!(keyed.send(&signed).status, 200, "nothing of it was spent");
}

// client_secret_jwt: the assertion is signed with the client's secret (OpenID Connect Core section 9).

/// A client of that method, and its secret.
fn with_secret(world: &World) -> Secret {
    let mut client = Client::confidential(KEYED, "Signs with its secret", &Secret::new(""));
    client.redirect_uris = vec![CALLBACK.into()];
    client.scope = Scope::parse("openid orders:read").unwrap();
    client.grant_types.push(grantor::GrantType::ClientCredentials);
    if let ClientAuthentication::Secret { method, .. } = &mut client.authentication {
        *method = Some(AuthMethod::SecretJwt);
    }
    block_on(world.server.clients().create(client)).unwrap().client_secret.unwrap()
}

fn shared(secret: &str, header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, input.as_bytes());
    format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn assertion_of(world: &World, jti: &str) -> Value {
    let now = world.server.now().secs();
    json!({"iss": KEYED, "sub": KEYED, "aud": ISSUER, "exp": now + 60, "jti": jti})
}

fn present(world: &World, assertion: &str) -> Response {
    let parameters = [
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
        ("grant_type", "client_credentials"),
    ];
    world.send(&Request::form("/oauth2/token", &parameters))
}

#[test]
fn a_secret_that_signs_proves_its_client_and_is_never_sent() {
    let world = World::new();
    let secret = with_secret(&world);
    let hs256 = json!({"alg": "HS256"});
    let sign = |jti: &str| shared(secret.expose(), &hs256, &assertion_of(&world, jti));
    let once = sign("1");
    assert_eq!(present(&world, &once).status, 200);
    assert_error(&present(&world, &once), 401, "invalid_client");
    // Sent, it is worth nothing.
    let grant = [("grant_type", "client_credentials")];
    let basic = Request::form("/oauth2/token", &grant)
        .header("authorization", basic(KEYED, secret.expose()));
    assert_error(&world.send(&basic), 401, "invalid_client");
    let posted = [grant[0], ("client_id", KEYED), ("client_secret", secret.expose())];
    assert_error(&world.send(&Request::form("/oauth2/token", &posted)), 401, "invalid_client");
}

#[test]
fn nothing_else_passes_for_a_signature_with_the_secret() {
    let world = World::new();
    let secret = with_secret(&world);
    let (secret, claims) = (secret.expose(), assertion_of(&world, "1"));
    let jwks = text(&world.send(&Request::get("/oauth2/jwks.json")));
    for (key, header) in [
        ("", json!({"alg": "HS256"})),
        ("guess", json!({"alg": "HS256"})),
        (&*jwks, json!({"alg": "HS256"})),
        (secret, json!({"alg": "none"})),
        (secret, json!({"alg": "HS512"})),
        (secret, json!({"alg": "RS256"})),
        (secret, json!({"alg": "HS256", "crit": ["exp"]})),
        (secret, json!({"alg": "HS256", "typ": "at+jwt"})),
    ] {
        let refused = present(&world, &shared(key, &header, &claims));
        assert_error(&refused, 401, "invalid_client");
    }
    let signed = shared(secret, &json!({"alg": "HS256"}), &claims);
    let (unsigned, _) = signed.rsplit_once('.').unwrap();
    assert_error(&present(&world, &format!("{unsigned}.")), 401, "invalid_client");
    assert_eq!(present(&world, &signed).status, 200);
}

#[test]
fn a_public_key_is_never_taken_for_a_shared_secret() {
    let keyed = Keyed::new();
    let jwks = keyed.key.jwks();
    for key in [jwks.as_str(), &keyed.key.jwk().to_string(), ""] {
        let forged = shared(key, &json!({"alg": "HS256", "kid": "k1"}), &keyed.claims());
        assert_error(&keyed.send(&forged), 401, "invalid_client");
    }
    // Nor does a client that sends its secret sign with it.
    let world = World::new();
    let now = world.server.now().secs();
    let claims = json!({"iss": WEB, "sub": WEB, "aud": ISSUER, "exp": now + 60, "jti": "1"});
    let signed = shared(world.secret.expose(), &json!({"alg": "HS256"}), &claims);
    assert_error(&present(&world, &signed), 401, "invalid_client");
}

#[test]
fn a_secret_is_rotated_with_an_overlap_and_kept_sealed_for_this_client_alone() {
    let world = World::new();
    let old = with_secret(&world);
    let new = block_on(world.server.clients().rotate_secret(KEYED, seconds(60))).unwrap();
    let accepts = |secret: &Secret, jti: &str| {
        let signed = shared(secret.expose(), &json!({"alg": "HS256"}), &assertion_of(&world, jti));
        present(&world, &signed).status == 200
    };
    assert!(accepts(&old, "a") && accepts(&new, "b"));
    world.pass(60);
    assert!(!accepts(&old, "c") && accepts(&new, "d"));
    // In the record of another client it opens nothing.
    let client = block_on(world.server.clients().find(KEYED)).unwrap().unwrap();
    assert!(!format!("{client:?}").contains(new.expose()));
    let mut copy = Client::clone(&client);
    copy.client_id = WEB.into();
    let web = block_on(world.server.clients().find(WEB)).unwrap().unwrap();
    copy.version = web.version;
    block_on(world.server.clients().update(copy)).unwrap();
    let now = world.server.now().secs();
    let claims = json!({"iss": WEB, "sub": WEB, "aud": ISSUER, "exp": now + 60, "jti": "e"});
    let stolen = shared(new.expose(), &json!({"alg": "HS256"}), &claims);
    assert_error(&present(&world, &stolen), 401, "invalid_client");
}

#[test]
fn a_client_of_which_only_a_digest_is_kept_cannot_begin_to_sign() {
    let world = World::new();
    let client = block_on(world.server.clients().find(WEB)).unwrap().unwrap();
    let mut client = Client::clone(&client);
    if let ClientAuthentication::Secret { method, .. } = &mut client.authentication {
        *method = Some(AuthMethod::SecretJwt);
    }
    let refused = block_on(world.server.clients().update(client)).unwrap_err().to_string();
    assert!(refused.contains("register a new client"), "{refused}");
}

#[test]
fn a_secret_that_does_not_sign_any_more_is_not_kept() {
    let world = World::new();
    let _ = with_secret(&world);
    let sealed = |world: &World| {
        let client = block_on(world.server.clients().find(KEYED)).unwrap().unwrap();
        let ClientAuthentication::Secret { secrets, .. } = &client.authentication else { panic!() };
        secrets.iter().filter(|entry| entry.sealed.is_some()).count()
    };
    assert_eq!(sealed(&world), 1);
    world.change(KEYED, |client| {
        let ClientAuthentication::Secret { method, .. } = &mut client.authentication else {
            panic!()
        };
        *method = Some(AuthMethod::Basic);
    });
    assert_eq!(sealed(&world), 0);
    // An algorithm that such a client cannot sign with would lock it out.
    let world = World::new();
    let _ = with_secret(&world);
    let client = block_on(world.server.clients().find(KEYED)).unwrap().unwrap();
    let mut client = Client::clone(&client);
    client.token_endpoint_auth_signing_alg = Some(Algorithm::Rs256);
    assert!(block_on(world.server.clients().update(client)).is_err());
}

#[test]
fn an_assertion_that_was_announced_and_is_missing_is_no_public_client() {
    let world = World::new();
    let code = world.code(SPA);
    let parameters = [
        ("grant_type", "authorization_code"),
        ("client_id", SPA),
        ("code", &*code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let announced = [&parameters[..], &[("client_assertion_type", TYPE)]].concat();
    let response = world.send(&Request::form("/oauth2/token", &announced));
    assert_error(&response, 401, "invalid_client");
    assert_eq!(world.send(&Request::form("/oauth2/token", &parameters)).status, 200);
}

#[test]
fn a_header_member_of_another_type_is_not_one_that_is_missing() {
    let keyed = Keyed::new();
    let good = json!({"alg": "ES256", "typ": "JWT", "kid": "k1"});
    assert_eq!(keyed.send(&keyed.key.sign_as(&good, &keyed.claims())).status, 200);
    for (name, value) in
        [("kid", json!(1)), ("kid", json!(null)), ("typ", json!(["JWT"])), ("alg", json!(256))]
    {
        let mut header = good.clone();
        header[name] = value;
        let assertion = keyed.key.sign_as(&header, &keyed.claims());
        assert_error(&keyed.send(&assertion), 401, "invalid_client");
    }
}

#[test]
fn a_client_that_is_registered_for_one_algorithm_signs_with_no_other() {
    let keyed =
        Keyed::with(|client| client.token_endpoint_auth_signing_alg = Some(Algorithm::Rs256));
    // Genuine, by its own registered key, and still not what was agreed on.
    assert!(!keyed.accepts(&keyed.claims()));
    assert!(keyed.world.events().iter().any(|event| event.contains("algorithm")));
    keyed.world.change(KEYED, |client| {
        client.token_endpoint_auth_signing_alg = Some(Algorithm::Es256);
    });
    assert!(keyed.accepts(&keyed.claims()));
}

#[test]
fn a_key_that_is_not_named_is_looked_for_among_eight() {
    let keys: Vec<ClientKey> = (0..9).map(|n| ClientKey::new(&format!("k{n}"))).collect();
    let set: Vec<Value> = keys.iter().map(ClientKey::jwk).collect();
    let keyed = Keyed::with(|client| client.jwks = Some(json!({"keys": set}).to_string()));
    let unnamed = |key: &ClientKey| key.sign_as(&json!({"alg": "ES256"}), &keyed.claims());
    assert_eq!(keyed.send(&unnamed(&keys[1])).status, 200);
    assert_eq!(keyed.send(&unnamed(&keys[7])).status, 200);
    // A set of a hundred must not cost a hundred verifications.
    assert_error(&keyed.send(&unnamed(&keys[8])), 401, "invalid_client");
    assert_eq!(keyed.send(&keys[8].sign(&keyed.claims())).status, 200, "it is named");
}

/// A document, and when it was got.
type Kept = (grantor::Time, std::sync::Arc<grantor::Document>);

/// Keeps what it has got for as long as the engine is content with.
#[derive(Clone)]
struct Keeping {
    network: Network,
    clock: grantor::testing::TestEnvironment,
    kept: std::sync::Arc<std::sync::Mutex<Option<Kept>>>,
}

#[async_trait::async_trait]
impl grantor::Fetch for Keeping {
    async fn get(
        &self,
        url: &str,
        max_age: std::time::Duration,
        limit: usize,
    ) -> Result<std::sync::Arc<grantor::Document>, grantor::FetchError> {
        let now = grantor::Environment::now(&self.clock);
        if let Some((at, document)) = self.kept.lock().unwrap().clone()
            && now.since(at) < max_age
        {
            return Ok(document);
        }
        let document = self.network.get(url, max_age, limit).await?;
        *self.kept.lock().unwrap() = Some((now, document.clone()));
        Ok(document)
    }

    async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
        authorization: Option<&Secret>,
        limit: usize,
    ) -> Result<grantor::Document, grantor::FetchError> {
        self.network.post(url, form, authorization, limit).await
    }
}

#[test]
fn inventions_make_the_server_fetch_a_clients_keys_every_ten_seconds_at_most() {
    let (key, network) = (ClientKey::new("k1"), Network::default());
    network.publish(JWKS_URI, key.jwks());
    let clock = grantor::testing::TestEnvironment::seeded(7);
    let keeping =
        Keeping { network: network.clone(), clock: clock.clone(), kept: Default::default() };
    let builder = grantor::AuthorizationServer::builder(ISSUER)
        .store(grantor::store::Memory::new())
        .subjects(People::default())
        .master_key(grantor::MasterKey::from_bytes([7; 32]))
        .environment(clock.clone())
        .fetch(keeping);
    let server = block_on(builder.build()).unwrap();
    let mut client = Client::keyed(KEYED, "Keyed", key.jwks());
    client.grant_types = vec![grantor::GrantType::ClientCredentials];
    (client.jwks, client.jwks_uri) = (None, Some(JWKS_URI.into()));
    client.scope = Scope::parse("orders:read").unwrap();
    block_on(server.clients().create(client)).unwrap();
    let send = |n: usize, by: &ClientKey, header: Value| {
        let now = server.now().secs();
        let claims = json!({
            "iss": KEYED, "sub": KEYED, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": n.to_string(),
        });
        let assertion = by.sign_as(&header, &claims);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", TYPE),
            ("client_assertion", &assertion),
        ];
        block_on(server.handle(&Request::form("/oauth2/token", &form)))
    };
    let thief = ClientKey::new("thief");
    for n in 0..1000 {
        let invented = json!({"alg": "ES256", "kid": format!("invented {n}")});
        assert_error(&send(n, &thief, invented), 401, "invalid_client");
        assert_error(&send(n, &thief, json!({"alg": "ES256"})), 401, "invalid_client");
        // Ten requests a second.
        clock.pass(std::time::Duration::from_millis(100));
    }
    assert_eq!(network.calls(), 10, "in a hundred seconds");
    // A new key of the client's own is met as soon.
    let next = ClientKey::new("k2");
    network.publish(JWKS_URI, json!({"keys": [key.jwk(), next.jwk()]}).to_string());
    clock.pass(seconds(10));
    let response = send(5000, &next, json!({"alg": "ES256", "kid": "k2"}));
    assert_eq!(response.status, 200, "{}", text(&response));
}

#[test]
fn the_id_beside_an_assertion_is_its_own_or_none() {
    let keyed = Keyed::new();
    let fresh = || keyed.key.sign(&keyed.claims());
    let with = |client_id: &str| {
        let more = [("grant_type", "client_credentials"), ("client_id", client_id)];
        keyed.call("/oauth2/token", &fresh(), &more)
    };
    assert_eq!(with(KEYED).status, 200);
    for other in [WEB, SPA, "client_unknown"] {
        assert_error(&with(other), 401, "invalid_client");
    }
}
