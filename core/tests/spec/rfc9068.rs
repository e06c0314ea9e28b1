//! RFC 9068 section 4: an API in a process of its own, which checks access tokens with the published keys,
//! or asks the server about each (RFC 7662).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use grantor::testing::TestEnvironment;
use grantor::{
    Admission, AuthorizationServer, Document, Environment as _, Fetch, FetchError, Guard, Next,
    Policy, Request, ResourceServer, ResourceServerBuilder, Response, Secret, Session,
    SubjectStatus, Time,
};
use pollster::block_on;

use crate::client_keys::Network;
use crate::support::*;

const API: &str = "https://api.example.com";

/// A document, and when it was got.
type Kept = (Time, Arc<Document>);

/// Calls the server in process, and keeps what it gets.
#[derive(Clone)]
struct Wire {
    server: AuthorizationServer,
    clock: TestEnvironment,
    kept: Arc<Mutex<HashMap<String, Kept>>>,
    calls: Arc<AtomicU64>,
    away: Arc<AtomicBool>,
}

impl Wire {
    fn of(world: &World) -> Self {
        Self {
            server: world.server.clone(),
            clock: world.clock(),
            kept: Arc::default(),
            calls: Arc::default(),
            away: Arc::default(),
        }
    }

    async fn call(
        &self,
        url: &str,
        request: impl Fn(&str) -> Request,
    ) -> Result<Document, FetchError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(FetchError::new(url, "no answer from 10.1.2.3"));
        }
        let response = self.server.handle(&request(url.strip_prefix(ISSUER).unwrap())).await;
        let content_type = response.get("content-type").unwrap_or_default().to_owned();
        Ok(Document { status: response.status, content_type, body: response.body })
    }
}

#[async_trait]
impl Fetch for Wire {
    async fn get(
        &self,
        url: &str,
        max_age: Duration,
        limit: usize,
    ) -> Result<Arc<Document>, FetchError> {
        let now = self.clock.now();
        let kept = self.kept.lock().unwrap().get(url).cloned();
        if let Some((at, document)) = kept
            && now.since(at) < max_age
        {
            return Ok(document);
        }
        let document = Arc::new(self.call(url, Request::get).await?);
        assert!(document.body.len() <= limit);
        self.kept.lock().unwrap().insert(url.to_owned(), (now, document.clone()));
        Ok(document)
    }

    async fn post(
        &self,
        url: &str,
        form: &[(&str, &str)],
        authorization: Option<&Secret>,
        _: usize,
    ) -> Result<Document, FetchError> {
        let header = authorization.map_or("", |header| header.expose());
        self.call(url, |path| Request::form(path, form).header("authorization", header)).await
    }
}

fn world() -> World {
    let mut policy = Policy::default();
    policy.apis = vec![API.into()];
    World::with(policy)
}

fn api(world: &World, wire: &Wire) -> ResourceServerBuilder {
    ResourceServer::builder(ISSUER, API).fetch(wire.clone()).environment(world.clock())
}

fn guard(builder: ResourceServerBuilder) -> Guard {
    Guard::new(&builder.build().unwrap())
}

fn answered(guard: &Guard, token: &str) -> Result<grantor::AccessToken, Response> {
    match block_on(guard.admit(&bearer(Request::get("/orders"), token))) {
        Admission::Admitted(token, _) => Ok(*token),
        Admission::Answered(response) => Err(response),
    }
}

fn access_token(world: &World) -> String {
    str_of(&world.tokens(SPA), "access_token")
}

#[test]
fn a_token_for_this_api_is_admitted_without_a_call_for_it() {
    let world = world();
    let wire = Wire::of(&world);
    let guard = guard(api(&world, &wire)).scope("email");
    for _ in 0..10 {
        let token = answered(&guard, &access_token(&world)).unwrap();
        assert_eq!(token.subject.as_deref(), Some("ann"));
        assert_eq!(
            (token.client_id.as_str(), &*token.scope.to_string()),
            (SPA, "openid profile email")
        );
        assert_eq!(token.claims["org_id"], "acme");
    }
    assert_eq!(wire.calls.load(Ordering::SeqCst), 2, "the metadata and the keys");
    let service = answered(&self::guard(api(&world, &wire)), &world.service_token()).unwrap();
    assert_eq!(service.subject, None, "the client acts on its own behalf");
}

#[test]
fn a_person_who_is_called_like_their_application_is_not_the_application() {
    let world = world();
    let wire = Wire::of(&world);
    world.people.set(SPA, SubjectStatus::Active { valid_from: Time::EPOCH });
    let session = Session::new(SPA, "their session", world.server.now());
    let Next::Done(response) = world.proceed(&world.ticket(SPA, &[]), Some(session)) else {
        panic!("asked")
    };
    let tokens = json_body(&world.redeem(SPA, &parameter(&response, "code").unwrap()));
    let token = str_of(&tokens, "access_token");
    assert_eq!(claims(&token)["sub"], claims(&token)["client_id"]);
    let offline = answered(&guard(api(&world, &wire)), &token).unwrap();
    let asking = api(&world, &wire).introspect_as(SERVICE, &world.service_secret);
    world.change(SERVICE, |client| client.resources = vec![API.into()]);
    let asked = answered(&guard(asking), &token).unwrap();
    for token in [offline, asked] {
        assert_eq!(token.subject.as_deref(), Some(SPA));
    }
}

#[test]
fn what_is_not_an_access_token_of_this_server_for_this_api_opens_nothing() {
    let world = world();
    let wire = Wire::of(&world);
    let tokens = world.tokens(SPA);
    let (access, id) = (str_of(&tokens, "access_token"), str_of(&tokens, "id_token"));
    let guard = guard(api(&world, &wire));
    let refused = |guard: &Guard, token: &str| {
        let response = answered(guard, token).unwrap_err();
        assert_error(&response, 401, "invalid_token");
        let challenge = response.get("www-authenticate").unwrap();
        assert!(challenge.contains("example.com/.well-known/oauth-protected-resource\""));
    };
    refused(&guard, &id);
    refused(&guard, &str_of(&tokens, "refresh_token"));
    let (input, signature) = access.rsplit_once('.').unwrap();
    refused(&guard, &format!("{input}.{}", signature.chars().rev().collect::<String>()));
    refused(&guard, &format!("{}.{}", input.replacen('.', "A.", 1), signature));
    // Another API, and the server itself, are other audiences.
    let elsewhere = ResourceServer::builder(ISSUER, "https://other.example.com");
    refused(&self::guard(elsewhere.fetch(wire).environment(world.clock())), &access);
    assert!(answered(&guard, &access).is_ok());
    world.pass(600);
    refused(&guard, &access);
    let response = answered(&guard.scope("admin"), &access_token(&world)).unwrap_err();
    assert_error(&response, 403, "insufficient_scope");
}

#[test]
fn new_keys_are_met_by_their_tokens_and_inventions_cost_no_calls() {
    let world = world();
    let wire = Wire::of(&world);
    let guard = guard(api(&world, &wire));
    assert!(answered(&guard, &access_token(&world)).is_ok());
    block_on(world.server.rotate_keys()).unwrap();
    world.pass(900);
    let invented = access_token(&world);
    let (_, rest) = invented.split_once('.').unwrap();
    assert!(answered(&guard, &invented).is_ok(), "the rotated key");
    let calls = wire.calls.load(Ordering::SeqCst);
    for n in 0..100 {
        let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"invented {n}"}}"#);
        let header = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, header);
        assert!(answered(&guard, &format!("{header}.{rest}")).is_err());
    }
    assert_eq!(wire.calls.load(Ordering::SeqCst), calls);
}

#[test]
fn while_the_server_is_away_known_keys_work_for_an_hour_and_strangers_learn_nothing() {
    let world = world();
    let wire = Wire::of(&world);
    let (early, late) = (guard(api(&world, &wire)), guard(api(&world, &wire)));
    assert!(answered(&early, &access_token(&world)).is_ok());
    wire.away.store(true, Ordering::SeqCst);
    world.pass(3599);
    assert!(answered(&early, &access_token(&world)).is_ok());
    // One that has never met the server cannot judge; it does not say no, and not why.
    wire.kept.lock().unwrap().clear();
    let response = answered(&late, &access_token(&world)).unwrap_err();
    assert_error(&response, 503, "temporarily_unavailable");
    assert!(!text(&response).contains("10.1.2.3"));
    // A key that it does not know may be a new one: nobody can say that it is not.
    let (_, rest) =
        access_token(&world).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let header = base64::Engine::encode(
        &base64::prelude::BASE64_URL_SAFE_NO_PAD,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"new"}"#,
    );
    assert_eq!(answered(&early, &format!("{header}.{rest}")).unwrap_err().status, 503);
    world.pass(1);
    assert_eq!(answered(&early, &access_token(&world)).unwrap_err().status, 503);
    wire.away.store(false, Ordering::SeqCst);
    assert!(answered(&late, &access_token(&world)).is_ok());
}

#[test]
fn metadata_of_another_issuer_is_not_believed() {
    let world = world();
    let wire = Wire::of(&world);
    let builder = ResourceServer::builder("https://id.example.com/tenant", API);
    let server = world.another_server("https://id.example.com/tenant", Policy::default());
    let honest = Wire { server, ..wire };
    // The right one first: the path of the issuer is behind the well-known segment (RFC 8414 section 3.1).
    let guard = guard(builder.fetch(honest).environment(world.clock()));
    assert_error(&answered(&guard, &access_token(&world)).unwrap_err(), 401, "invalid_token");
    let metadata = world.send(&Request::get("/.well-known/openid-configuration"));
    let lying = Network::default();
    let url = "https://id.example.com/.well-known/oauth-authorization-server/tenant";
    lying.publish(url, text(&metadata));
    let lying = ResourceServer::builder("https://id.example.com/tenant", API).fetch(lying);
    let guard = self::guard(lying.environment(world.clock()));
    assert_eq!(answered(&guard, &access_token(&world)).unwrap_err().status, 503);
}

#[test]
fn with_introspection_a_revocation_bites_at_once() {
    let world = world();
    world.change(SERVICE, |client| client.resources = vec![API.into()]);
    let wire = Wire::of(&world);
    let asking = guard(api(&world, &wire).introspect_as(SERVICE, &world.service_secret));
    let tokens = world.tokens(SPA);
    let access = str_of(&tokens, "access_token");
    assert_eq!(answered(&asking, &access).unwrap().subject.as_deref(), Some("ann"));
    world.send(&world.as_client(SPA, "/oauth2/revoke", &[("token", &access)]));
    assert_error(&answered(&asking, &access).unwrap_err(), 401, "invalid_token");
    assert!(answered(&guard(api(&world, &wire)), &access).is_ok(), "the key alone does not know");
    assert_error(&answered(&asking, "garbage").unwrap_err(), 401, "invalid_token");
    // The client is not whom the server knows: that is no word about the token.
    let wrong = guard(api(&world, &wire).introspect_as(SERVICE, &Secret::new("wrong")));
    assert_eq!(answered(&wrong, &access_token(&world)).unwrap_err().status, 503);
    // A refresh token is active, and no access token.
    let refresh = str_of(&world.tokens(SPA), "refresh_token");
    assert_error(&answered(&asking, &refresh).unwrap_err(), 401, "invalid_token");
}

#[test]
fn pages_of_allowed_origins_may_read_the_answers_and_others_may_not() {
    let world = world();
    let wire = Wire::of(&world);
    let guard = guard(api(&world, &wire).allowed_origins([ORIGIN]));
    let allowed = |request: Request| {
        let headers = match block_on(guard.admit(&request)) {
            Admission::Admitted(_, headers) => headers,
            Admission::Answered(response) => response.headers,
        };
        headers
            .iter()
            .any(|(name, value)| *name == "access-control-allow-origin" && value == ORIGIN)
    };
    let token = access_token(&world);
    let preflight = Request { method: grantor::Method::Options, ..Request::get("/orders") };
    for (origin, expected) in [(ORIGIN, true), ("https://rp.example.evil.example", false)] {
        let preflight = preflight.clone().header("access-control-request-method", "GET");
        assert_eq!(allowed(preflight.header("origin", origin)), expected);
        let request = || Request::get("/orders").header("origin", origin);
        assert_eq!(allowed(request()), expected, "a page must see the challenge");
        assert_eq!(allowed(bearer(request(), &token)), expected);
    }
}

#[test]
fn mistakes_in_the_settings_are_said_at_start() {
    let why = |builder: ResourceServerBuilder| builder.build().unwrap_err().to_string();
    assert!(
        why(ResourceServer::builder(ISSUER, API)).contains("call ResourceServerBuilder::fetch")
    );
    let wire = Wire::of(&world());
    let http = ResourceServer::builder("http://id.example.com", API).fetch(wire.clone());
    assert!(why(http).contains("use https"));
    let slash = ResourceServer::builder(ISSUER, "https://api.example.com/").fetch(wire.clone());
    assert!(why(slash).contains("remove the slash"));
    let origin = ResourceServer::builder(ISSUER, API).fetch(wire.clone());
    assert!(why(origin.allowed_origins(["https://app.example.com/"])).contains("app.example.com/"));
    let server = ResourceServer::builder(ISSUER, API).fetch(wire).build().unwrap();
    assert!(Guard::new(&server).resource("https://other.example.com").is_err());
    assert!(Guard::new(&server).resource(API).is_ok());
}

#[test]
fn a_service_that_is_called_like_a_person_is_not_the_person_in_another_process_either() {
    let world = world();
    let wire = Wire::of(&world);
    world.change(SERVICE, |client| client.resources = vec![API.into()]);
    let mut ann = grantor::Client::confidential("ann", "A service called ann", &Secret::new(""));
    ann.grant_types = vec![grantor::GrantType::ClientCredentials];
    ann.scope = grantor::Scope::parse("orders:read").unwrap();
    let secret = block_on(world.server.clients().create(ann)).unwrap().client_secret.unwrap();
    let request = Request::form("/oauth2/token", &[("grant_type", "client_credentials")])
        .header("authorization", basic("ann", secret.expose()));
    let own = str_of(&json_body(&world.send(&request)), "access_token");
    let by_keys = guard(api(&world, &wire));
    let by_asking = guard(api(&world, &wire).introspect_as(SERVICE, &world.service_secret));
    for guard in [by_keys, by_asking] {
        assert_eq!(answered(&guard, &own).unwrap().subject, None);
        assert_eq!(
            answered(&guard, &access_token(&world)).unwrap().subject.as_deref(),
            Some("ann")
        );
    }
}
