//! Key rotation while running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantor::{Algorithm, JwkSet, KeyRotation, Policy, Request, Signer, SignerError};
use pollster::block_on;

use crate::support::*;

fn kids(world: &World) -> Vec<String> {
    let jwks = json_body(&world.send(&Request::get("/oauth2/jwks.json")));
    jwks["keys"].as_array().unwrap().iter().map(|key| str_of(key, "kid")).collect()
}

#[test]
fn a_rotated_key_is_published_long_before_it_signs_and_the_old_one_long_after() {
    let world = World::new();
    let old = world.tokens(SPA);
    let old_kid = str_of(&jose_header(&str_of(&old, "id_token")), "kid");
    let KeyRotation::Published(active_from) = block_on(world.server.rotate_keys()).unwrap() else {
        panic!("nothing was published")
    };
    assert_eq!(active_from.since(world.server.now()), seconds(900));
    assert_eq!(kids(&world).len(), 6);
    assert!(world.saw("KeysRotated"));

    world.pass_millis(899_999);
    let before = str_of(&jose_header(&str_of(&world.tokens(SPA), "id_token")), "kid");
    assert_eq!(before, old_kid);
    world.pass_millis(1);
    let after = str_of(&jose_header(&str_of(&world.tokens(SPA), "id_token")), "kid");
    assert_ne!(after, old_kid);
    assert!(kids(&world).contains(&old_kid) && kids(&world).contains(&after));
    assert_eq!(world.refresh(SPA, &str_of(&old, "refresh_token")).status, 200);
}

#[test]
fn rotating_twice_at_once_makes_one_new_set() {
    let world = World::new();
    let KeyRotation::Published(first) = block_on(world.server.rotate_keys()).unwrap() else {
        panic!("nothing was published")
    };
    world.pass(5);
    assert_eq!(block_on(world.server.rotate_keys()).unwrap(), KeyRotation::Pending(first));
    assert_eq!(kids(&world).len(), 6);
}

#[test]
fn maintenance_rotates_by_age_and_says_when_to_come_back() {
    let world = World::new();
    assert!(block_on(world.server.maintain()).unwrap() <= seconds(60));
    assert_eq!(kids(&world).len(), 3);
    world.pass(30 * 86_400 - 900);
    block_on(world.server.maintain()).unwrap();
    assert_eq!(kids(&world).len(), 6);
    block_on(world.server.maintain()).unwrap();
    assert_eq!(kids(&world).len(), 6);
}

#[test]
fn under_any_schedule_of_rotations_every_live_token_verifies() {
    let mut policy = Policy::default();
    policy.access_token_lifetime = seconds(30 * 86_400);
    let world = World::with(policy);
    let mut issued: Vec<(u64, String)> = Vec::new();
    let mut refresh_token = str_of(&world.tokens(SPA), "refresh_token");
    let mut day = 0;
    for step in [1, 13, 2, 13, 13, 1, 13, 7, 9, 13] {
        day += step;
        world.pass(step * 86_400);
        block_on(world.server.rotate_keys()).unwrap();
        block_on(world.server.maintain()).unwrap();
        let tokens = json_body(&world.refresh(SPA, &refresh_token));
        refresh_token = str_of(&tokens, "refresh_token");
        issued.push((day, str_of(&tokens, "access_token")));
        for (made, token) in &issued {
            assert_eq!(world.is_alive(token), day - made < 30, "made on day {made}, now {day}");
        }
    }
    // Published keys do not pile up: those of thirty days, and the coming ones.
    assert!(kids(&world).len() <= 21, "{}", kids(&world).len());
}

#[test]
fn a_ring_that_was_made_while_the_clock_was_ahead_still_signs() {
    let world = World::new();
    world.step_back(86_400);
    let corrected = world.another_process(Policy::default());
    let service = [("grant_type", "client_credentials")];
    let request = world.as_client(SERVICE, "/oauth2/token", &service);
    assert_eq!(block_on(corrected.handle(&request)).status, 200);
}

#[test]
fn another_process_learns_of_new_keys_from_the_tokens_that_they_signed() {
    let world = World::new();
    let other = world.another_process(Policy::default());
    block_on(world.server.rotate_keys()).unwrap();
    world.pass(900);
    let tokens = world.tokens(SPA);
    let request = bearer(Request::get("/oauth2/userinfo"), &str_of(&tokens, "access_token"));
    assert_eq!(block_on(other.handle(&request)).status, 200);
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*str_of(&tokens, "refresh_token")),
        ("client_id", SPA),
    ];
    assert_eq!(block_on(other.handle(&Request::form("/oauth2/token", &refresh))).status, 200);
}

#[test]
fn each_client_gets_id_tokens_in_the_algorithm_that_it_is_registered_with() {
    let mut policy = Policy::default();
    policy.algorithms = Algorithm::ALL.into();
    let world = World::with(policy);
    for algorithm in Algorithm::ALL {
        world.change(SPA, |client| {
            client.id_token_signed_response_alg = Some(algorithm);
            client.access_token_signed_response_alg = Some(algorithm);
        });
        let tokens = world.tokens(SPA);
        let jwks = world.send(&Request::get("/oauth2/jwks.json"));
        for name in ["id_token", "access_token"] {
            let token = str_of(&tokens, name);
            let header = jose_header(&token);
            assert_eq!(header["alg"], algorithm.as_str());
            assert!(verifies(&jwks.body, &token), "{algorithm}");
        }
        assert!(world.is_alive(&str_of(&tokens, "access_token")));
    }
}

/// Whether a JWT verifies by what jsonwebtoken makes of the published keys: another reader of the same RFCs.
fn verifies(jwks: &[u8], token: &str) -> bool {
    let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(jwks).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let jwk = jwks.find(header.kid.as_deref().unwrap()).expect("a published key");
    let key = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
    let mut validation = jsonwebtoken::Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).is_ok()
}

/// A key that the engine does not hold, as in a hardware module.
struct Module {
    pair: aws_lc_rs::signature::EcdsaKeyPair,
    der: bool,
    away: bool,
}

impl Module {
    fn new(der: bool, away: bool) -> Self {
        use aws_lc_rs::signature::{
            ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        };
        let form =
            if der { &ECDSA_P256_SHA256_ASN1_SIGNING } else { &ECDSA_P256_SHA256_FIXED_SIGNING };
        Self { pair: EcdsaKeyPair::generate(form).unwrap(), der, away }
    }
}

#[async_trait::async_trait]
impl Signer for Module {
    fn keys(&self) -> JwkSet {
        use aws_lc_rs::signature::KeyPair as _;
        let point = self.pair.public_key().as_ref();
        let url = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let jwk = serde_json::json!({
            "kty": "EC", "crv": "P-256", "x": url(&point[1..33]), "y": url(&point[33..]), "kid": "module-1",
            "use": "sig", "alg": "ES256",
        });
        JwkSet::from_json(serde_json::json!({"keys": [jwk]}).to_string().as_bytes()).unwrap()
    }
    fn kid(&self, algorithm: Algorithm) -> Option<String> {
        (algorithm == Algorithm::Es256).then(|| "module-1".to_owned())
    }
    async fn sign(&self, kid: &str, input: &[u8]) -> Result<Vec<u8>, SignerError> {
        assert_eq!(kid, "module-1");
        match self.away {
            true => Err(SignerError::new("the module is unplugged")),
            false => Ok(self.pair.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec()),
        }
    }
}

fn with_module(module: Module) -> World {
    let world = World::hooked(Policy::default(), |builder| builder.signer(module));
    world.change(SPA, |client| {
        client.id_token_signed_response_alg = Some(Algorithm::Es256);
        client.access_token_signed_response_alg = Some(Algorithm::Es256);
    });
    world
}

#[test]
fn the_hosts_own_keys_sign_are_published_and_verify() {
    let world = with_module(Module::new(false, false));
    let tokens = world.tokens(SPA);
    let jwks = world.send(&Request::get("/oauth2/jwks.json"));
    for name in ["id_token", "access_token"] {
        let token = str_of(&tokens, name);
        assert_eq!(jose_header(&token)["kid"], "module-1");
        assert!(verifies(&jwks.body, &token));
    }
    assert!(world.is_alive(&str_of(&tokens, "access_token")));
    let hint = str_of(&tokens, "id_token");
    assert!(world.ticket(SPA, &[("id_token_hint", &hint)]).len() > 10);
    // Other algorithms are still the ring's.
    assert_eq!(jose_header(&str_of(&world.tokens(WEB), "id_token"))["alg"], "RS256");
}

#[test]
fn a_signature_that_no_client_could_verify_is_never_handed_out() {
    for module in [Module::new(true, false), Module::new(false, true)] {
        let (der, world) = (module.der, with_module(module));
        let response = world.redeem(SPA, &world.code(SPA));
        assert_error(&response, 503, "server_error");
        assert!(!text(&response).contains("unplugged"));
        let refused =
            world.events().into_iter().rfind(|event| event.starts_with("Refused")).unwrap();
        assert!(refused.contains(if der { "is it DER?" } else { "unplugged" }), "{refused}");
    }
}

#[test]
fn a_signer_that_names_a_key_which_it_does_not_publish_is_refused_at_start() {
    struct Mistyped(Module);

    #[async_trait::async_trait]
    impl Signer for Mistyped {
        fn keys(&self) -> JwkSet {
            self.0.keys()
        }
        fn kid(&self, algorithm: Algorithm) -> Option<String> {
            (algorithm == Algorithm::Rs256).then(|| "module-1".to_owned())
        }
        async fn sign(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, SignerError> {
            Err(SignerError::new("never asked"))
        }
    }

    let builder = grantor::AuthorizationServer::builder(ISSUER)
        .store(grantor::store::Memory::new())
        .subjects(grantor::testing::Anybody)
        .master_key(grantor::MasterKey::from_bytes([1; 32]))
        .signer(Mistyped(Module::new(false, false)));
    let error = block_on(builder.build()).unwrap_err();
    assert!(error.to_string().contains("does not publish"), "{error}");
    assert_eq!(format!("{error:?}"), error.to_string(), "what a `main` prints says the mend");
}

#[test]
fn a_signer_whose_keys_could_be_confused_is_refused_at_start() {
    /// It publishes its key as often as is said, and signs by these algorithms with it.
    struct Confused(Module, usize, Vec<Algorithm>);

    #[async_trait::async_trait]
    impl Signer for Confused {
        fn keys(&self) -> JwkSet {
            let mut jwk = self.0.keys().to_json()["keys"][0].clone();
            jwk.as_object_mut().unwrap().remove("alg");
            let keys = vec![jwk; self.1];
            JwkSet::from_json(serde_json::json!({"keys": keys}).to_string().as_bytes()).unwrap()
        }
        fn kid(&self, algorithm: Algorithm) -> Option<String> {
            self.2.contains(&algorithm).then(|| "module-1".to_owned())
        }
        async fn sign(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, SignerError> {
            Err(SignerError::new("never asked"))
        }
    }

    for (published, algorithms, why) in [
        (2, vec![Algorithm::Es256], "two keys of one `kid`"),
        (1, vec![Algorithm::Es256, Algorithm::EdDsa], "one key by two algorithms"),
    ] {
        let builder = grantor::AuthorizationServer::builder(ISSUER)
            .store(grantor::store::Memory::new())
            .subjects(grantor::testing::Anybody)
            .master_key(grantor::MasterKey::from_bytes([1; 32]))
            .signer(Confused(Module::new(false, false), published, algorithms));
        let error = block_on(builder.build()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_key_that_the_host_withdraws_counts_no_longer_also_for_tokens_that_were_seen() {
    /// Another key takes the place of its own, for those who look.
    struct Withdrawn(Module, Module, Arc<AtomicBool>);

    #[async_trait::async_trait]
    impl Signer for Withdrawn {
        fn keys(&self) -> JwkSet {
            match self.2.load(Ordering::SeqCst) {
                true => self.1.keys(),
                false => self.0.keys(),
            }
        }
        fn kid(&self, algorithm: Algorithm) -> Option<String> {
            self.0.kid(algorithm)
        }
        async fn sign(&self, kid: &str, input: &[u8]) -> Result<Vec<u8>, SignerError> {
            self.0.sign(kid, input).await
        }
    }

    let is_withdrawn = Arc::new(AtomicBool::new(false));
    let (old, new) = (Module::new(false, false), Module::new(false, false));
    let signer = Withdrawn(old, new, is_withdrawn.clone());
    let world = World::hooked(Policy::default(), |builder| builder.signer(signer));
    world.change(SPA, |client| client.access_token_signed_response_alg = Some(Algorithm::Es256));
    let token = str_of(&world.tokens(SPA), "access_token");
    assert!(world.is_alive(&token));
    is_withdrawn.store(true, Ordering::SeqCst);
    assert!(!world.is_alive(&token));
}

#[test]
fn a_retired_key_leaves_when_its_tokens_have_ended_and_not_at_the_next_rotation() {
    let mut policy = Policy::default();
    policy.rotate_keys_every = seconds(365 * 86_400);
    let world = World::with(policy);
    block_on(world.server.rotate_keys()).unwrap();
    world.pass(900 + 30 * 86_400 - 1);
    block_on(world.server.maintain()).unwrap();
    assert_eq!(kids(&world).len(), 6);
    world.pass(1);
    block_on(world.server.maintain()).unwrap();
    assert_eq!(kids(&world).len(), 3);
}

#[test]
fn replacing_all_keys_ends_everything_that_was_issued() {
    let world = World::new();
    let (tokens, code) = (world.tokens(SPA), world.code(SPA));
    let other = world.another_process(Policy::default());
    let old = kids(&world);
    // It has been seen and found good: that is no reason to believe it afterwards.
    assert!(world.is_alive(&str_of(&tokens, "access_token")));
    let seen = bearer(Request::get("/oauth2/userinfo"), &str_of(&tokens, "access_token"));
    assert_eq!(block_on(other.handle(&seen)).status, 200);
    block_on(world.server.replace_keys()).unwrap();
    assert!(world.saw("KeysReplaced"));
    assert!(kids(&world).iter().all(|kid| !old.contains(kid)));
    world.pass(1);
    assert!(!world.is_alive(&str_of(&tokens, "access_token")));
    assert_eq!(world.refresh(SPA, &str_of(&tokens, "refresh_token")).status, 400);
    assert_eq!(world.redeem(SPA, &code).status, 400);
    let fresh = world.tokens(SPA);
    assert!(world.is_alive(&str_of(&fresh, "access_token")));
    // Another process learns of them by their tokens.
    let request = bearer(Request::get("/oauth2/userinfo"), &str_of(&fresh, "access_token"));
    assert_eq!(block_on(other.handle(&request)).status, 200);
    block_on(other.maintain()).unwrap();
    let stale = bearer(Request::get("/oauth2/userinfo"), &str_of(&tokens, "access_token"));
    assert_eq!(block_on(other.handle(&stale)).status, 401);
}

// RFC 7638.

#[test]
fn a_key_is_named_by_its_thumbprint() {
    use sha2::Digest as _;
    let world = World::new();
    let jwks = json_body(&world.send(&Request::get("/oauth2/jwks.json")));
    let keys = jwks["keys"].as_array().unwrap();
    for key in keys {
        // The required members in the order of their names, without a blank.
        let members: &[&str] = match key["kty"].as_str().unwrap() {
            "RSA" => &["e", "kty", "n"],
            "EC" => &["crv", "kty", "x", "y"],
            "OKP" => &["crv", "kty", "x"],
            other => panic!("{other}"),
        };
        let members: Vec<String> =
            members.iter().map(|name| format!("{name:?}:{:?}", str_of(key, name))).collect();
        let input = format!("{{{}}}", members.join(","));
        let expected = BASE64_URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(input.as_bytes()));
        assert_eq!(key["kid"], expected, "{input}");
    }
    let mut names = kids(&world);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), keys.len());
}
