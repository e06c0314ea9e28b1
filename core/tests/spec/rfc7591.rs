//! RFC 7591 and OpenID Connect Dynamic Client Registration: clients that register themselves; and RFC 7592, by
//! which they manage themselves.

use grantor::{
    Client, Method, OpenRegistration, Policy, RegistrationByToken, Request, Response, Scope,
    Secret, SecretDigest,
};
use pollster::block_on;
use serde_json::{Value, json};

use crate::client_keys::{ClientKey, Network};
use crate::support::*;

fn open() -> World {
    let scope = Scope::parse("openid profile email offline_access").unwrap();
    let policy = OpenRegistration { scope };
    let network = Network::default();
    World::hooked(Policy::default(), |builder| builder.registration(policy).fetch(network))
}

fn call(world: &World, method: Method, target: &str, token: &str, body: &Value) -> Response {
    let mut request = Request::get(target).header("content-type", "application/json");
    request.method = method;
    if !body.is_null() {
        request.body = body.to_string().into_bytes();
    }
    if !token.is_empty() {
        request = bearer(request, token);
    }
    world.send(&request)
}

fn register(world: &World, metadata: &Value) -> Response {
    call(world, Method::Post, "/oauth2/register", "", metadata)
}

fn registered(world: &World, metadata: &Value) -> Value {
    let response = register(world, metadata);
    assert_eq!(response.status, 201, "{}", text(&response));
    assert_eq!(response.get("content-type"), Some("application/json"));
    assert_eq!(response.get("cache-control"), Some("no-store"));
    json_body(&response)
}

/// How a client manages itself: the target below the issuer, and the token.
fn management(client: &Value) -> (String, String) {
    let uri = str_of(client, "registration_client_uri");
    (uri.strip_prefix(ISSUER).unwrap().to_owned(), str_of(client, "registration_access_token"))
}

fn web() -> Value {
    json!({"redirect_uris": [CALLBACK], "client_name": "Web", "scope": "openid email admin"})
}

// RFC 7591.

#[test]
fn a_client_registers_and_uses_what_it_got() {
    let world = open();
    let client = registered(
        &world,
        &json!({
            "redirect_uris": [CALLBACK], "client_name": "Web",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "contacts": ["ann@rp.example"], "software_id": "ignored", "software_id#de": "too",
            "client_name#de": "Netz", "tos_uri#de-CH": "https://rp.example/agb",
        }),
    );
    for (name, value) in [
        ("client_name", json!("Web")),
        ("client_name#de", json!("Netz")),
        ("tos_uri#de-CH", json!("https://rp.example/agb")),
        ("redirect_uris", json!([CALLBACK])),
        ("contacts", json!(["ann@rp.example"])),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("response_types", json!(["code"])),
        ("id_token_signed_response_alg", json!("RS256")),
        ("client_secret_expires_at", json!(0)),
        ("scope", json!("openid profile email offline_access")),
    ] {
        assert_eq!(client[name], value, "{name}");
    }
    let (id, secret) = (str_of(&client, "client_id"), str_of(&client, "client_secret"));
    // Nobody has vouched for it: the person is asked.
    let ticket = world.ticket(&id, &[]);
    let asked = world.proceed(&ticket, Some(world.session()));
    assert!(matches!(asked, grantor::Next::Consent(_)), "{asked:?}");
    let code = parameter(&world.approve(&ticket), "code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let request =
        Request::form("/oauth2/token", &form).header("authorization", basic(&id, &secret));
    let tokens = json_body(&world.send(&request));
    assert_eq!(tokens["scope"], "openid profile email");
    // Only the way that it has registered.
    let mut posted = form.to_vec();
    posted.extend([("client_id", &*id), ("client_secret", &*secret)]);
    assert_error(&world.send(&Request::form("/oauth2/token", &posted)), 401, "invalid_client");
}

#[test]
fn scopes_that_the_server_does_not_give_are_dropped_and_the_answer_says_so() {
    let world = open();
    // Known to the server, but not for those who register themselves; and not known at all.
    let client = registered(
        &world,
        &json!({
            "redirect_uris": [CALLBACK], "scope": "openid email orders:read admin",
        }),
    );
    assert_eq!(client["scope"], "openid email");
}

#[test]
fn public_and_keyed_clients_get_no_secret() {
    let world = open();
    let public = registered(
        &world,
        &json!({
            "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none",
        }),
    );
    let keyed = registered(
        &world,
        &json!({
            "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [ClientKey::new("k").jwk()]},
        }),
    );
    for client in [public, keyed] {
        assert!(client.get("client_secret").is_none(), "{client}");
        assert!(client.get("client_secret_expires_at").is_none());
        assert!(!str_of(&client, "registration_access_token").is_empty());
    }
}

#[test]
fn a_client_registers_for_pairwise_names_and_for_a_secret_that_signs() {
    let network = Network::default();
    network.publish("https://sector.example/uris", json!([CALLBACK]).to_string());
    let policy = OpenRegistration { scope: Scope::parse("openid").unwrap() };
    let world = World::hooked(Policy::default(), |builder| {
        builder.registration(policy).fetch(network.clone())
    });
    let mut metadata = web();
    metadata["subject_type"] = json!("pairwise");
    metadata["sector_identifier_uri"] = json!("https://sector.example/uris");
    metadata["token_endpoint_auth_method"] = json!("client_secret_jwt");
    metadata["token_endpoint_auth_signing_alg"] = json!("HS256");
    let client = registered(&world, &metadata);
    for name in ["subject_type", "sector_identifier_uri", "token_endpoint_auth_signing_alg"] {
        assert_eq!(client[name], metadata[name], "{name}");
    }
    assert!(!str_of(&client, "client_secret").is_empty());
    metadata["redirect_uris"] = json!([CALLBACK, "https://evil.example/cb"]);
    assert_error(&register(&world, &metadata), 400, "invalid_client_metadata");
    metadata["token_endpoint_auth_signing_alg"] = json!("RS256");
    let refused = text(&register(&world, &metadata));
    assert!(refused.contains("token_endpoint_auth_signing_alg"), "{refused}");
}

#[test]
fn each_field_that_cannot_be_had_is_refused_by_name() {
    let world = open();
    let refused = |name: &str, value: Value, error: &str| {
        let mut metadata = web();
        metadata[name] = value;
        let response = register(&world, &metadata);
        assert_error(&response, 400, error);
        let body = json_body(&response);
        let description = body["error_description"].as_str().unwrap();
        let field = name.split('#').next().unwrap();
        assert!(description.starts_with(field), "{description}");
        assert!(description.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\'));
    };
    for uri in [
        json!(["https://rp.example/cb#fragment"]),
        json!(["http://rp.example/cb"]),
        json!(["javascript:alert(1)"]),
        json!(["https://user@rp.example/"]),
        json!(["https://rp.example/\u{202e}"]),
        json!([]),
        json!(vec![CALLBACK; 21]),
        json!(CALLBACK),
        json!([1]),
    ] {
        refused("redirect_uris", uri, "invalid_redirect_uri");
    }
    for (name, value) in [
        ("client_name", json!("two\nlines")),
        ("client_name", json!("Sh\u{ad}op")),
        ("client_name", json!("Shop\u{61c}")),
        ("client_name", json!("\u{3164}")),
        ("client_name", json!("Shop\u{e0041}")),
        ("client_name", json!(7)),
        ("client_name", json!("Sh\u{202e}op")),
        ("client_name", json!("Sh\u{2066}op")),
        ("client_name", json!("Sh\u{200b}op")),
        ("client_name", json!("\u{feff}Shop")),
        ("client_name#de", json!("Sh\u{202e}op")),
        ("client_name", json!("n".repeat(201))),
        ("client_name", json!("n".repeat(10_000))),
        ("token_endpoint_auth_method", json!("tls_client_auth")),
        ("grant_types", json!(["password"])),
        ("grant_types", json!(["implicit"])),
        ("grant_types", json!(["refresh_token"])),
        ("grant_types", json!([])),
        ("response_types", json!(["token"])),
        ("response_types", json!(["id_token"])),
        ("subject_type", json!("secret")),
        ("sector_identifier_uri", json!("http://rp.example/uris")),
        ("sector_identifier_uri", json!("https://rp.example/nothing-there")),
        ("client_name#de", json!(7)),
        ("client_name#de", json!("zwei\nZeilen")),
        ("client_name#", json!("x")),
        ("client_name#a_b", json!("x")),
        ("logo_uri#de", json!("javascript:alert(1)")),
        ("tos_uri#de", json!("http://rp.example/tos")),
        ("application_type", json!("desktop")),
        ("id_token_signed_response_alg", json!("none")),
        ("id_token_signed_response_alg", json!("PS256")),
        ("userinfo_signed_response_alg", json!("HS256")),
        ("id_token_encrypted_response_alg", json!("RSA-OAEP")),
        ("jwks", json!({"keys": [{"kty": "oct", "k": "AAAA"}]})),
        ("jwks", json!("https://rp.example/jwks")),
        (
            "jwks",
            json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA", "d": "AAAA"}]}),
        ),
        ("jwks", json!({"keys": [{"kty": "RSA", "n": "AAAA", "e": "AQAB", "d": "AAAA"}]})),
        ("jwks", json!({"keys": [{"kty": "EC", "kid": "k".repeat(9000)}]})),
        ("contacts", json!(vec!["a@b.example"; 11])),
        ("request_uris", json!(vec!["https://rp.example/r"; 101])),
        ("jwks_uri", json!("http://rp.example/jwks")),
        ("jwks_uri", json!("https://")),
        ("logo_uri", json!("javascript:alert(1)")),
        ("policy_uri", json!("data:text/html,x")),
        ("tos_uri", json!("http://rp.example/tos")),
        ("client_uri", json!("file:///etc/passwd")),
        ("initiate_login_uri", json!("http://rp.example/login")),
        ("request_uris", json!(["http://169.254.169.254/"])),
        ("contacts", json!(["x\ny"])),
        ("default_max_age", json!(-1)),
        ("default_max_age", json!("60")),
        ("require_auth_time", json!("yes")),
        ("scope", json!("a  b")),
    ] {
        refused(name, value, "invalid_client_metadata");
    }
}

#[test]
fn what_only_an_operator_grants_is_not_taken_from_a_client() {
    let world = open();
    let mut metadata = web();
    for (name, value) in [
        ("first_party", json!(true)),
        ("require_consent", json!(false)),
        ("require_pkce", json!(false)),
        ("audiences", json!(["https://api.example.com"])),
        ("resources", json!([ISSUER])),
        ("access_token_lifetime", json!(1_000_000)),
        ("allowed_origins", json!(["https://evil.example"])),
        ("tenant", json!("acme")),
        ("client_id", json!("client_spa")),
        ("client_secret", json!("chosen")),
        ("registration_access_token", json!("chosen")),
    ] {
        metadata[name] = value;
    }
    let answer = registered(&world, &metadata);
    let id = str_of(&answer, "client_id");
    assert_ne!(id, "client_spa");
    assert_ne!(answer["client_secret"], "chosen");
    let stored = block_on(world.server.clients().find(&id)).unwrap().unwrap();
    let fresh = Client::public("x", "x");
    assert!(!stored.first_party && stored.require_consent && stored.require_pkce);
    assert_eq!((&stored.audiences, &stored.resources), (&fresh.audiences, &fresh.resources));
    assert_eq!((&stored.allowed_origins, &stored.tenant), (&fresh.allowed_origins, &None));
    assert_eq!(stored.access_token_lifetime, None);
}

#[test]
fn no_client_that_registers_itself_gets_tokens_that_no_person_was_asked_for() {
    let by_token = RegistrationByToken {
        tokens: vec![SecretDigest::of(&Secret::new("initial"))],
        scope: Scope::parse("openid orders:read").unwrap(),
    };
    let closed = World::hooked(Policy::default(), |builder| builder.registration(by_token));
    let mut metadata = web();
    metadata["grant_types"] = json!(["authorization_code", "client_credentials"]);
    let refused = call(&closed, Method::Post, "/oauth2/register", "initial", &metadata);
    assert_error(&refused, 400, "invalid_client_metadata");
    assert_error(&register(&open(), &metadata), 400, "invalid_client_metadata");
}

#[test]
fn the_host_judges_what_was_checked_and_what_it_makes_of_it_is_checked_again() {
    struct Judge(std::sync::Arc<std::sync::atomic::AtomicU64>);

    #[async_trait::async_trait]
    impl grantor::Registration for Judge {
        async fn decide(
            &self,
            _: &grantor::RegistrationRequest<'_>,
            client: &mut Client,
        ) -> Result<grantor::RegistrationDecision, grantor::store::StoreError> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if client.client_name == "Spoiled" {
                client.logo_uri = Some("javascript:alert(1)".into());
            }
            Ok(grantor::RegistrationDecision::Admit)
        }
    }

    let asked = std::sync::Arc::default();
    let judge = Judge(std::sync::Arc::clone(&asked));
    let world = World::hooked(Policy::default(), |builder| builder.registration(judge));
    let mut metadata = web();
    metadata["redirect_uris"] = json!(["javascript:alert(1)"]);
    assert_error(&register(&world, &metadata), 400, "invalid_redirect_uri");
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);
    metadata = web();
    metadata["client_name"] = json!("Spoiled");
    assert_error(&register(&world, &metadata), 400, "invalid_client_metadata");
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    let world = open();
    for body in ["", "[]", "{", "null", "redirect_uris=x"] {
        let mut request =
            Request::get("/oauth2/register").header("content-type", "application/json");
        (request.method, request.body) = (Method::Post, body.as_bytes().to_vec());
        assert_error(&world.send(&request), 400, "invalid_client_metadata");
    }
    let mut form = Request::form("/oauth2/register", &[]);
    form.body = web().to_string().into_bytes();
    assert_error(&world.send(&form), 400, "invalid_client_metadata");
    let get = world.send(&Request::get("/oauth2/register"));
    assert_eq!((get.status, get.get("allow")), (405, Some("POST")));
}

#[test]
fn registration_is_closed_unless_the_host_opens_it() {
    let world = World::new();
    assert_eq!(register(&world, &web()).status, 404);
    assert!(!world.server.paths().contains(&"/oauth2/register".to_owned()));
    let discovery =
        |world: &World| json_body(&world.send(&Request::get("/.well-known/openid-configuration")));
    assert!(discovery(&world).get("registration_endpoint").is_none());
    assert_eq!(discovery(&open())["registration_endpoint"], format!("{ISSUER}/oauth2/register"));
}

#[test]
fn with_initial_access_tokens_only_who_has_one_registers() {
    let token = Secret::new("initial");
    let policy = RegistrationByToken {
        tokens: vec![SecretDigest::of(&Secret::new("another")), SecretDigest::of(&token)],
        scope: Scope::parse("openid").unwrap(),
    };
    let world = World::hooked(Policy::default(), |builder| builder.registration(policy));
    let with = |token: &str| call(&world, Method::Post, "/oauth2/register", token, &web());
    let nobody = with("");
    assert_eq!((nobody.status, nobody.get("www-authenticate")), (401, Some("Bearer")));
    assert_error(&with("wrong"), 401, "invalid_token");
    let client = json_body(&with("initial"));
    assert_eq!(client["scope"], "openid");
    // It changes by its own token, and gets no more than it could have had.
    let (target, manage) = management(&client);
    let mut change = web();
    change["client_id"] = client["client_id"].clone();
    change["scope"] = json!("openid email");
    let changed = call(&world, Method::Put, &target, &manage, &change);
    assert_eq!(json_body(&changed)["scope"], "openid", "{}", text(&changed));
}

// RFC 7592.

#[test]
fn a_client_reads_itself_and_sees_no_secret_again() {
    let world = open();
    let mut metadata = web();
    metadata["initiate_login_uri"] = json!("https://rp.example/login");
    let client = registered(&world, &metadata);
    let (target, token) = management(&client);
    let read = json_body(&call(&world, Method::Get, &target, &token, &Value::Null));
    assert_eq!(read["initiate_login_uri"], "https://rp.example/login");
    assert_eq!(read["client_id"], client["client_id"]);
    assert!(read.get("client_secret").is_none(), "{read}");
    // What it has shown just now is repeated, for clients that keep their last answer (section 3).
    assert_eq!(read["registration_access_token"], token);
}

#[test]
fn a_client_replaces_what_it_says_of_itself_and_nothing_else() {
    let world = open();
    let client = registered(&world, &web());
    let (target, token) = management(&client);
    let id = str_of(&client, "client_id");
    // What an operator has set stays.
    world.change(&id, |client| {
        client.tenant = Some("acme".into());
        client.allowed_origins = vec![ORIGIN.into()];
    });
    let put = |change: &Value| call(&world, Method::Put, &target, &token, change);
    let change = json!({
        "client_id": id, "client_secret": client["client_secret"], "client_name": "Renamed",
        "redirect_uris": ["https://rp.example/other"],
    });
    let changed = json_body(&put(&change));
    assert_eq!(changed["client_name"], "Renamed");
    let stored = block_on(world.server.clients().find(&id)).unwrap().unwrap();
    assert_eq!((stored.tenant.as_deref(), stored.allowed_origins.len()), (Some("acme"), 1));
    assert_eq!(stored.redirect_uris, ["https://rp.example/other"]);
    assert!(stored.require_consent && stored.require_pkce && !stored.first_party);
    // The secret is still the same.
    let form = Request::form("/oauth2/token", &[("grant_type", "client_credentials")]);
    let request = form.header("authorization", basic(&id, &str_of(&client, "client_secret")));
    assert_error(&world.send(&request), 400, "unauthorized_client");
    for (name, value) in [
        ("client_id", json!("client_spa")),
        ("client_secret", json!("wrong")),
        ("registration_access_token", json!(token)),
        ("registration_client_uri", json!("https://evil.example")),
        ("client_secret_expires_at", json!(0)),
        ("client_id_issued_at", json!(0)),
        ("token_endpoint_auth_method", json!("none")),
        ("logo_uri", json!("http://rp.example/logo")),
    ] {
        let mut bad = change.clone();
        bad[name] = value;
        assert_error(&put(&bad), 400, "invalid_client_metadata");
    }
    assert_eq!(block_on(world.server.clients().find(&id)).unwrap().unwrap().client_name, "Renamed");
}

#[test]
fn a_client_takes_nothing_back_that_an_operator_has_taken_from_it() {
    let world = open();
    let mut metadata = web();
    metadata["grant_types"] = json!(["authorization_code", "refresh_token"]);
    let client = registered(&world, &metadata);
    let (target, token) = management(&client);
    world.change(&str_of(&client, "client_id"), |client| {
        client.scope = Scope::parse("openid").unwrap();
        client.grant_types = vec![grantor::GrantType::AuthorizationCode];
    });
    metadata["client_id"] = client["client_id"].clone();
    metadata["application_type"] = json!("native");
    let changed = json_body(&call(&world, Method::Put, &target, &token, &metadata));
    assert_eq!(changed["scope"], "openid");
    assert_eq!(changed["grant_types"], json!(["authorization_code"]));
    assert_eq!(changed["application_type"], "web");
}

#[test]
fn a_client_that_an_operator_keeps_from_peoples_own_names_stays_so() {
    let world = open();
    let client = registered(&world, &web());
    let (target, token) = management(&client);
    world.change(&str_of(&client, "client_id"), |client| {
        client.subject_type = grantor::SubjectType::Pairwise;
    });
    let mut metadata = web();
    metadata["client_id"] = client["client_id"].clone();
    metadata["subject_type"] = json!("public");
    let changed = json_body(&call(&world, Method::Put, &target, &token, &metadata));
    assert_eq!(changed["subject_type"], "pairwise");
}

#[test]
fn a_client_whose_answers_go_elsewhere_is_another_one_to_its_people() {
    let world = open();
    let mut metadata = web();
    metadata["token_endpoint_auth_method"] = json!("none");
    let client = registered(&world, &metadata);
    let (target, manage) = management(&client);
    let id = str_of(&client, "client_id");
    let tokens = world.tokens(&id);
    metadata["client_id"] = json!(id);
    metadata["client_name"] = json!("Renamed");
    assert_eq!(call(&world, Method::Put, &target, &manage, &metadata).status, 200);
    assert!(world.is_alive(&str_of(&tokens, "access_token")));
    world.pass(1);
    metadata["redirect_uris"] = json!([CALLBACK, "https://evil.example/cb"]);
    assert_eq!(call(&world, Method::Put, &target, &manage, &metadata).status, 200);
    assert!(!world.is_alive(&str_of(&tokens, "access_token")));
    world.pass(1);
    let silent = world.ticket(&id, &[("prompt", "none")]);
    let grantor::Next::Done(response) = world.proceed(&silent, Some(world.session())) else {
        panic!()
    };
    assert_redirected(&response, "consent_required");
}

#[test]
fn a_client_removes_itself_and_everything_that_it_holds() {
    let world = open();
    let mut metadata = web();
    metadata["token_endpoint_auth_method"] = json!("none");
    let client = registered(&world, &metadata);
    let (target, token) = management(&client);
    let id = str_of(&client, "client_id");
    let tokens = world.tokens(&id);
    let response = call(&world, Method::Delete, &target, &token, &Value::Null);
    assert_eq!((response.status, response.body.len()), (204, 0));
    assert!(!world.is_alive(&str_of(&tokens, "access_token")));
    assert_error(&call(&world, Method::Get, &target, &token, &Value::Null), 401, "invalid_token");
}

#[test]
fn nobody_else_manages_a_client() {
    let world = open();
    let (one, two) = (registered(&world, &web()), registered(&world, &web()));
    let (target, own) = management(&one);
    let (_, other) = management(&two);
    let mut change = web();
    change["client_id"] = one["client_id"].clone();
    let spa = format!("/oauth2/register?client_id={SPA}");
    let unknown = "/oauth2/register?client_id=unknown".to_owned();
    let secret = str_of(&one, "client_secret");
    let access = str_of(&world.tokens(SPA), "access_token");
    for (target, token) in [
        (&target, &other),
        (&target, &secret),
        (&target, &access),
        (&target, &"x".to_owned()),
        (&spa, &own),
        (&unknown, &own),
    ] {
        for method in [Method::Get, Method::Put, Method::Delete] {
            let response = call(&world, method, target, token, &change);
            assert_error(&response, 401, "invalid_token");
        }
    }
    assert_eq!(call(&world, Method::Get, &target, "", &Value::Null).status, 401);
    assert_eq!(call(&world, Method::Get, &target, &own, &Value::Null).status, 200);
    // One that was switched off cannot switch itself on.
    block_on(world.server.clients().revoke(&str_of(&one, "client_id"))).unwrap();
    assert_error(&call(&world, Method::Put, &target, &own, &change), 401, "invalid_token");
}

#[test]
fn a_registration_whose_body_could_be_read_in_two_ways_is_refused() {
    let world = open();
    let send = |body: &str, more: Option<(&str, &str)>| {
        let mut request =
            Request::get("/oauth2/register").header("content-type", "application/json");
        if let Some((name, value)) = more {
            request = request.header(name, value);
        }
        request.method = Method::Post;
        request.body = body.as_bytes().to_vec();
        world.send(&request)
    };
    let twice = r#"{"redirect_uris": ["https://rp.example/cb"], "redirect_uris": ["https://evil.example"]}"#;
    let inside = r#"{"redirect_uris": ["https://rp.example/cb"], "jwks": {"keys": [{"kty": "EC", "kty": "RSA"}]}}"#;
    for body in [twice, inside, "[]", "{", r#"{"a":1}{"#] {
        assert_error(&send(body, None), 400, "invalid_client_metadata");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    assert_error(&send(&deep, None), 400, "invalid_client_metadata");
    let good = web().to_string();
    assert_eq!(send(&good, Some(("content-encoding", "gzip"))).status, 415);
    assert_eq!(send(&good, None).status, 201);
    let large = format!("{good}{}", " ".repeat(grantor::MAX_BODY));
    assert_eq!(send(&large, None).status, 413);
}

#[test]
fn a_client_that_wants_only_what_it_may_not_have_is_left_with_nothing() {
    let world = open();
    let mut metadata = web();
    metadata["scope"] = json!("orders:read admin");
    metadata["token_endpoint_auth_method"] = json!("none");
    let client = registered(&world, &metadata);
    assert_eq!(client["scope"].as_str().unwrap_or_default(), "");
    let id = str_of(&client, "client_id");
    for scope in ["", "openid", "orders:read"] {
        assert_redirected(&world.authorize(&id, &[("scope", scope)]), "invalid_scope");
    }
}

#[test]
fn a_client_that_changes_its_keys_or_its_name_asks_nobody_again() {
    let world = open();
    let mut metadata = web();
    metadata["token_endpoint_auth_method"] = json!("none");
    metadata["jwks"] = json!({"keys": [ClientKey::new("k1").jwk()]});
    let client = registered(&world, &metadata);
    let (target, manage) = management(&client);
    let id = str_of(&client, "client_id");
    let tokens = world.tokens(&id);
    world.pass(1);
    // New keys are what a careful client makes each month; its answers still go where they went.
    metadata["client_id"] = json!(id);
    metadata["jwks"] = json!({"keys": [ClientKey::new("k2").jwk()]});
    metadata["client_name"] = json!("Renamed");
    assert_eq!(call(&world, Method::Put, &target, &manage, &metadata).status, 200);
    assert!(world.is_alive(&str_of(&tokens, "access_token")));
    let silent = world.ticket(&id, &[("prompt", "none")]);
    let grantor::Next::Done(response) = world.proceed(&silent, Some(world.session())) else {
        panic!()
    };
    assert!(parameter(&response, "code").is_some());
}

#[test]
fn both_keys_and_a_place_of_keys_are_one_too_many() {
    let world = open();
    let mut metadata = web();
    metadata["jwks"] = json!({"keys": [ClientKey::new("k").jwk()]});
    metadata["jwks_uri"] = json!("https://rp.example/jwks.json");
    assert_error(&register(&world, &metadata), 400, "invalid_client_metadata");
}

#[test]
fn no_client_id_can_be_taken_for_a_url_and_generated_ones_are_plain_letters() {
    let world = open();
    for id in ["https://rp.example/client.json", "urn:x", "a b", "", "é", "x\ny"] {
        let mut client = Client::public(id, "Named");
        client.redirect_uris = vec![CALLBACK.into()];
        let made = block_on(world.server.clients().create(client));
        assert!(made.is_err(), "{id:?}");
    }
    for _ in 0..20 {
        let id = str_of(&registered(&world, &web()), "client_id");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        assert!(id.len() >= 22 && id.bytes().all(plain), "{id}");
    }
}

#[test]
fn a_target_that_names_a_client_twice_names_none() {
    let world = open();
    let (one, two) = (registered(&world, &web()), registered(&world, &web()));
    let (target, token) = management(&one);
    let twice = format!("{target}&client_id={}", str_of(&two, "client_id"));
    for method in [Method::Get, Method::Delete] {
        let response = call(&world, method, &twice, &token, &Value::Null);
        assert_error(&response, 400, "invalid_request");
    }
    assert_eq!(call(&world, Method::Get, &target, &token, &Value::Null).status, 200);
}
