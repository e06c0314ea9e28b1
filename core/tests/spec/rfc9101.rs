//! RFC 9101 and OpenID Connect Core section 6: authorization requests that the client has signed.

use grantor::{Algorithm, Policy, Response};
use serde_json::{Value, json};

use crate::client_keys::{ClientKey, Network};
use crate::support::*;

const REQUEST_URI: &str = "https://rp.example/request.jwt#not-the-hash";

struct Signing {
    world: World,
    key: ClientKey,
    network: Network,
}

impl Signing {
    fn new() -> Self {
        let (key, network) = (ClientKey::new("k1"), Network::default());
        let world = World::hooked(Policy::default(), |builder| builder.fetch(network.clone()));
        world.change(SPA, |client| {
            client.jwks = Some(key.jwks());
            client.request_uris = vec![REQUEST_URI.into()];
        });
        Self { world, key, network }
    }

    fn object(&self) -> Value {
        json!({
            "iss": SPA, "aud": ISSUER, "client_id": SPA, "response_type": "code", "redirect_uri": CALLBACK,
            "scope": "openid email", "state": "signed", "nonce": "signed nonce", "max_age": 3600,
            "code_challenge": CHALLENGE, "code_challenge_method": "S256",
            "claims": {"id_token": {"name": null}},
        })
    }

    fn but(&self, name: &str, value: Value) -> String {
        let mut object = self.object();
        object[name] = value;
        self.key.sign(&object)
    }

    /// The outer request says something else about everything.
    fn send(&self, object: &str) -> Response {
        self.world.authorize(SPA, &[("request", object), ("scope", "openid profile")])
    }

    fn ticket(&self, response: &Response) -> String {
        assert_eq!(response.status, 303, "{}", text(response));
        let location = response.get("location").unwrap();
        let ticket = location.strip_prefix("https://id.example.com/login?ticket=");
        ticket.unwrap_or_else(|| panic!("{location}")).to_owned()
    }
}

#[test]
fn what_is_signed_counts_more_than_what_stands_outside() {
    let signing = Signing::new();
    let ticket = signing.ticket(&signing.send(&signing.key.sign(&signing.object())));
    let response = signing.world.approve(&ticket);
    assert_eq!(parameter(&response, "state").as_deref(), Some("signed"));
    let tokens = json_body(&signing.world.redeem(SPA, &parameter(&response, "code").unwrap()));
    assert_eq!(tokens["scope"], "openid email");
    let id_token = claims(&str_of(&tokens, "id_token"));
    assert_eq!(
        (&id_token["nonce"], &id_token["name"]),
        (&json!("signed nonce"), &json!("Ann Example"))
    );
}

#[test]
fn the_challenge_that_is_signed_counts_and_none_beside_it() {
    let signing = Signing::new();
    let object = signing.key.sign(&signing.object());
    let elsewhere = "A".repeat(43);
    let outside = [("request", &*object), ("code_challenge", &*elsewhere)];
    let ticket = signing.ticket(&signing.world.authorize(SPA, &outside));
    let code = parameter(&signing.world.approve(&ticket), "code").unwrap();
    assert_eq!(signing.world.redeem(SPA, &code).status, 200, "by the verifier of the one inside");
    let inside = signing.but("code_challenge", json!(elsewhere));
    let ticket = signing.ticket(&signing.world.authorize(SPA, &[("request", &inside)]));
    let code = parameter(&signing.world.approve(&ticket), "code").unwrap();
    assert_error(&signing.world.redeem(SPA, &code), 400, "invalid_grant");
}

#[test]
fn while_a_clients_keys_are_away_nobody_is_redirected() {
    let signing = Signing::new();
    signing.world.change(SPA, |client| {
        client.jwks = None;
        client.jwks_uri = Some("https://rp.example/jwks.json".into());
    });
    let response = signing.send(&signing.key.sign(&signing.object()));
    assert_eq!((response.status, response.get("location")), (503, None));
}

#[test]
fn an_object_by_reference_is_fetched_from_where_the_client_registered_it() {
    let signing = Signing::new();
    signing.network.publish("https://rp.example/request.jwt", signing.key.sign(&signing.object()));
    let response = signing.world.authorize(SPA, &[("request_uri", REQUEST_URI), ("state", "")]);
    let response = signing.world.approve(&signing.ticket(&response));
    assert_eq!(parameter(&response, "state").as_deref(), Some("signed"));
    let calls = signing.network.calls();
    for stranger in [
        "https://rp.example/request.jwt",
        "https://rp.example/request.jwt#another",
        "https://evil.example/request.jwt",
        "http://169.254.169.254/",
        "urn:ietf:params:oauth:request_uri:x",
    ] {
        let response = signing.world.authorize(SPA, &[("request_uri", stranger)]);
        assert_redirected(&response, "invalid_request_uri");
    }
    assert_eq!(signing.network.calls(), calls, "nobody was called");
    signing.network.publish("https://rp.example/request.jwt", "x".repeat(20_000));
    let response = signing.world.authorize(SPA, &[("request_uri", REQUEST_URI)]);
    assert_redirected(&response, "invalid_request_uri");
}

#[test]
fn an_object_that_is_not_this_clients_for_this_server_now_is_refused() {
    let signing = Signing::new();
    let now = signing.world.server.now().secs();
    let stranger = ClientKey::new("k1");
    let unsigned = {
        let signed = signing.key.sign_as(&json!({"alg": "none"}), &signing.object());
        format!("{}.", signed.rsplit_once('.').unwrap().0)
    };
    for bad in [
        signing.but("iss", json!(WEB)),
        signing.but("client_id", json!(WEB)),
        signing.but("aud", json!("https://other.example")),
        signing.but("exp", json!(now)),
        signing.but("exp", json!("soon")),
        signing.but("nbf", json!(now + 61)),
        signing.but("sub", json!(SPA)),
        signing.but("request", json!("x")),
        signing.but("request_uri", json!(REQUEST_URI)),
        signing.but("scope", json!(["openid"])),
        signing.but("response_type", json!("token")),
        stranger.sign(&signing.object()),
        signing.key.sign_as(&json!({"alg": "ES256", "typ": "at+jwt"}), &signing.object()),
        unsigned,
        "x".into(),
    ] {
        assert_redirected(&signing.send(&bad), "invalid_request_object");
    }
    // Our own tokens are signed, but not by the client.
    let tokens = signing.world.tokens(SPA);
    let ours = str_of(&tokens, "id_token");
    assert_redirected(&signing.send(&ours), "invalid_request_object");
    let both = [("request", "x"), ("request_uri", REQUEST_URI)];
    assert_redirected(&signing.world.authorize(SPA, &both), "invalid_request");
    signing.world.change(SPA, |client| client.request_object_signing_alg = Some(Algorithm::Rs256));
    let es256 = signing.key.sign(&signing.object());
    assert_redirected(&signing.send(&es256), "invalid_request_object");
}

#[test]
fn the_redirect_uri_of_the_object_counts_and_none_is_made_up() {
    let signing = Signing::new();
    let bad = ("redirect_uri", "https://evil.example/cb");
    // Outside wrong, inside right: the inside counts.
    let object = signing.key.sign(&signing.object());
    let response = signing.world.authorize(SPA, &[("request", &object), bad]);
    assert!(signing.ticket(&response).len() > 10);
    // Inside wrong: nobody is redirected anywhere.
    let response = signing.send(&signing.but("redirect_uri", json!("https://evil.example/cb")));
    assert_page(&response, "redirect_uri_mismatch");
    // An object that cannot be believed leaves the outer one, and that is not registered.
    let forged = ClientKey::new("k1").sign(&signing.object());
    assert_page(
        &signing.world.authorize(SPA, &[("request", &forged), bad]),
        "redirect_uri_mismatch",
    );
}

#[test]
fn a_client_that_must_sign_gets_nothing_from_outside() {
    let signing = Signing::new();
    signing.world.change(SPA, |client| client.require_signed_request_object = true);
    assert_redirected(&signing.world.authorize(SPA, &[]), "invalid_request");
    let mut object = signing.object();
    object.as_object_mut().unwrap().remove("scope");
    object.as_object_mut().unwrap().remove("state");
    let response = signing.send(&signing.key.sign(&object));
    // The scope and the state outside are nobody's: it gets what a request without a scope gets.
    let response = signing.world.approve(&signing.ticket(&response));
    assert_eq!(parameter(&response, "state"), None);
    let tokens = json_body(&signing.world.redeem(SPA, &parameter(&response, "code").unwrap()));
    assert_eq!(tokens["scope"], "orders:read");
    let ticket = signing.ticket(&signing.send(&signing.key.sign(&signing.object())));
    assert!(parameter(&signing.world.approve(&ticket), "code").is_some());
}

#[test]
fn without_keys_or_outgoing_calls_objects_are_refused_by_name() {
    let world = World::new();
    let object = ClientKey::new("k1").sign(&json!({"client_id": SPA}));
    assert_redirected(&world.authorize(SPA, &[("request", &object)]), "invalid_request_object");
    let reference = [("request_uri", REQUEST_URI)];
    assert_redirected(&world.authorize(SPA, &reference), "request_uri_not_supported");
}

#[test]
fn a_person_who_takes_their_time_goes_on_though_the_signature_is_not_at_hand_any_more() {
    let signing = Signing::new();
    signing.world.change(SPA, |client| client.require_signed_request_object = true);
    let ticket = signing.ticket(&signing.send(&signing.key.sign(&signing.object())));
    signing.world.pass(600);
    let expired = pollster::block_on(signing.world.server.resume(&ticket)).unwrap_err();
    let fresh = signing.ticket(&expired.into_response());
    assert_ne!(fresh, ticket);
    let response = signing.world.approve(&fresh);
    assert_eq!(parameter(&response, "state").as_deref(), Some("signed"));
    // A second button press after the code was spent leads to a new code, too.
    let code = parameter(&response, "code").unwrap();
    assert_eq!(signing.world.redeem(SPA, &code).status, 200);
    let again = signing.ticket(&signing.world.approve(&fresh));
    assert_ne!(parameter(&signing.world.approve(&again), "code").unwrap(), code);
}

#[test]
fn what_is_repeated_outside_does_not_become_nothing_inside() {
    let signing = Signing::new();
    let object = signing.key.sign(&signing.object());
    let query = format!(
        "/oauth2/authorize?client_id={SPA}&redirect_uri={CALLBACK}&state=xyz&request={object}\
         &nonce=a&nonce=b"
    );
    assert_redirected(&signing.world.send(&grantor::Request::get(&query)), "invalid_request");
}

#[test]
fn an_object_without_an_end_is_as_good_as_a_registered_one_and_one_that_lives_for_years_too() {
    let signing = Signing::new();
    let now = signing.world.server.now().secs();
    assert!(signing.object().get("exp").is_none() && signing.object().get("nbf").is_none());
    // It authorizes nothing: whoever replays it still needs the person, and the verifier of its challenge.
    for good in [
        signing.key.sign(&signing.object()),
        signing.but("exp", json!(now + 10 * 365 * 86_400)),
        signing.but("nbf", json!(now + 60)),
        signing.but("exp", json!(now + 1)),
    ] {
        assert!(signing.ticket(&signing.send(&good)).len() > 10);
    }
    for bad in [
        signing.but("nbf", json!("now")),
        signing.but("exp", json!(true)),
        signing.but("exp", json!([])),
    ] {
        assert_redirected(&signing.send(&bad), "invalid_request_object");
    }
}

#[test]
fn a_redirect_uri_or_client_that_stands_twice_outside_is_believed_by_nobody() {
    let signing = Signing::new();
    let object = signing.key.sign(&signing.object());
    for query in [
        format!("client_id={SPA}&redirect_uri={CALLBACK}&redirect_uri=https://evil.example/cb"),
        format!("client_id={SPA}&redirect_uri=https://evil.example/cb&redirect_uri={CALLBACK}"),
        format!("client_id={SPA}&client_id={WEB}&redirect_uri={CALLBACK}"),
    ] {
        let url = format!("/oauth2/authorize?{query}&request={object}");
        assert_page(&signing.world.send(&grantor::Request::get(&url)), "invalid_request");
    }
}
