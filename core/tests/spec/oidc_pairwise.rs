//! OpenID Connect Core section 8 and Dynamic Client Registration section 5: subject identifiers that clients cannot
//! compare.

use grantor::{
    Admission, Client, Guard, Policy, RegistryError, Request, Scope, Session, SubjectType,
};
use pollster::block_on;
use serde_json::{Value, json};

use crate::client_keys::Network;
use crate::support::*;

const LIST: &str = "https://sector.example/uris.json";
const ELSEWHERE: &str = "https://other.example/cb";

fn world() -> (World, Network) {
    let network = Network::default();
    (World::hooked(Policy::default(), |builder| builder.fetch(network.clone())), network)
}

/// A pairwise client of its own host.
fn pairwise(client_id: &str, redirect_uri: &str) -> Client {
    let mut client = Client::public(client_id, "Pairwise");
    client.redirect_uris = vec![redirect_uri.to_owned()];
    client.scope = Scope::parse("openid profile orders:read").unwrap();
    client.first_party = true;
    client.subject_type = SubjectType::Pairwise;
    client
}

fn register(world: &World, client: Client) -> Result<(), String> {
    let created = block_on(world.server.clients().create(client));
    created.map(|_| ()).map_err(|error| error.to_string())
}

/// The tokens of Ann's for a client of this redirect URI.
fn tokens(world: &World, client_id: &str, redirect_uri: &str) -> Value {
    let uri = ("redirect_uri", redirect_uri);
    let response = world.approve(&world.ticket(client_id, &[uri]));
    let code = parameter(&response, "code").unwrap();
    let redemption =
        [("grant_type", "authorization_code"), ("code", &*code), uri, ("code_verifier", VERIFIER)];
    let response = world.token(client_id, &redemption);
    assert_eq!(response.status, 200, "{}", text(&response));
    json_body(&response)
}

fn said(tokens: &Value, token: &str, claim: &str) -> String {
    str_of(&claims(&str_of(tokens, token)), claim)
}

#[test]
fn a_client_sees_a_person_by_a_name_of_its_own_everywhere() {
    let (world, _) = world();
    register(&world, pairwise("p", CALLBACK)).unwrap();
    let tokens = tokens(&world, "p", CALLBACK);
    let sub = said(&tokens, "id_token", "sub");
    assert!(sub.len() == 43 && !sub.contains("ann"), "{sub}");
    let access_token = str_of(&tokens, "access_token");
    assert_eq!(said(&tokens, "access_token", "sub"), sub);
    let info = json_body(&world.userinfo(&access_token));
    assert_eq!((str_of(&info, "sub"), &info["name"]), (sub.clone(), &json!("Ann Example")));
    let refreshed = json_body(&world.refresh("p", &str_of(&tokens, "refresh_token")));
    assert_eq!(said(&refreshed, "id_token", "sub"), sub);
    // The host itself knows whom it serves.
    let request = bearer(Request::get("/api"), &access_token);
    let Admission::Admitted(token, _) = block_on(Guard::new(&world.server).admit(&request)) else {
        panic!()
    };
    assert_eq!(token.subject.as_deref(), Some("ann"));
    // And no session's id leads from one client to the other.
    let public = world.tokens(SPA);
    assert_ne!(said(&tokens, "id_token", "sid"), said(&public, "id_token", "sid"));
    assert_eq!(said(&tokens, "access_token", "sid"), said(&tokens, "id_token", "sid"));
    assert_eq!(said(&public, "id_token", "sub"), "ann");
}

#[test]
fn clients_of_one_host_see_the_same_name_and_others_another() {
    let (world, _) = world();
    register(&world, pairwise("one", CALLBACK)).unwrap();
    register(&world, pairwise("two", "https://rp.example/second")).unwrap();
    register(&world, pairwise("other", ELSEWHERE)).unwrap();
    let sub = |id: &str, uri: &str| said(&tokens(&world, id, uri), "id_token", "sub");
    let one = sub("one", CALLBACK);
    assert_eq!(one, sub("two", "https://rp.example/second"));
    assert_ne!(one, sub("other", ELSEWHERE));
    // Applications on people's own machines all redirect to the same address.
    for id in ["native_a", "native_b"] {
        let mut client = pairwise(id, "http://127.0.0.1/cb");
        client.native = true;
        register(&world, client).unwrap();
    }
    let loopback = "http://127.0.0.1/cb";
    assert_ne!(sub("native_a", loopback), sub("native_b", loopback));
}

#[test]
fn the_name_outlives_every_key() {
    let (world, _) = world();
    register(&world, pairwise("p", CALLBACK)).unwrap();
    let sub = || said(&tokens(&world, "p", CALLBACK), "id_token", "sub");
    let before = sub();
    block_on(world.server.rotate_keys()).unwrap();
    assert_eq!(sub(), before);
    block_on(world.server.replace_keys()).unwrap();
    assert_eq!(sub(), before);
    // Another process on the same store says the same.
    let other = world.another_process(Policy::default());
    world.pass(60);
    block_on(other.maintain()).unwrap();
    let token = str_of(&tokens(&world, "p", CALLBACK), "access_token");
    let info = block_on(other.handle(&bearer(Request::get("/oauth2/userinfo"), &token)));
    assert_eq!(str_of(&json_body(&info), "sub"), before);
}

#[test]
fn a_hint_is_understood_as_its_client_knows_the_person() {
    let (world, _) = world();
    register(&world, pairwise("p", CALLBACK)).unwrap();
    let hint = str_of(&tokens(&world, "p", CALLBACK), "id_token");
    let silent = |hint: &str, session: Session| {
        let ticket = world.ticket("p", &[("prompt", "none"), ("id_token_hint", hint)]);
        match world.proceed(&ticket, Some(session)) {
            grantor::Next::Done(response) => parameter(&response, "error"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(silent(&hint, world.session()), None);
    let bob = Session::new("bob", "session of bob", world.server.now());
    assert_eq!(silent(&hint, bob).as_deref(), Some("login_required"));
    // By claims too: whoever presents the host's own name knows more than this client may.
    let wish = |sub: &str| json!({"id_token": {"sub": {"value": sub}}}).to_string();
    let named = |sub: &str| {
        let ticket = world.ticket("p", &[("prompt", "none"), ("claims", &wish(sub))]);
        match world.proceed(&ticket, Some(world.session())) {
            grantor::Next::Done(response) => parameter(&response, "error"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(named(&str_of(&claims(&hint), "sub")), None);
    assert_eq!(named("ann").as_deref(), Some("login_required"));
    // A hint of another client's says nothing here.
    let foreign = str_of(&world.tokens(SPA), "id_token");
    let refused = world.authorize("p", &[("id_token_hint", &foreign)]);
    assert_redirected(&refused, "invalid_request");
}

#[test]
fn a_sign_out_that_proves_its_session_needs_no_question() {
    let (world, _) = world();
    register(&world, pairwise("p", CALLBACK)).unwrap();
    let session = world.session();
    let hint = str_of(&tokens(&world, "p", CALLBACK), "id_token");
    let request = Request::form("/oauth2/logout", &[("id_token_hint", &hint)]);
    let response = world.send(&request);
    let (_, ticket) = response.get("location").unwrap().split_once("ticket=").unwrap();
    let logout = block_on(world.server.resume_logout(ticket)).unwrap();
    assert!(!logout.asks(&session));
    assert!(logout.asks(&Session::new("bob", "session of ann", world.server.now())));
    assert!(logout.asks(&Session::new("ann", "another", world.server.now())));
}

#[test]
fn whoever_introspects_learns_the_name_that_they_know() {
    let (world, _) = world();
    let mut resource = Client::confidential("api", "API", &grantor::Secret::new(""));
    resource.grant_types = vec![grantor::GrantType::ClientCredentials];
    resource.resources = vec![ISSUER.into()];
    resource.scope = Scope::parse("orders:read").unwrap();
    resource.subject_type = SubjectType::Pairwise;
    let created = block_on(world.server.clients().create(resource)).unwrap();
    register(&world, pairwise("p", CALLBACK)).unwrap();
    let tokens = tokens(&world, "p", CALLBACK);
    let token = str_of(&tokens, "access_token");
    // A resource server that knows people by the host's own names.
    assert_eq!(world.introspect(SERVICE, &token)["sub"], "ann");
    let secret = created.client_secret.unwrap();
    let request = Request::form("/oauth2/introspect", &[("token", &token)])
        .header("authorization", basic("api", secret.expose()));
    let third = str_of(&json_body(&world.send(&request)), "sub");
    assert!(third != "ann" && third != said(&tokens, "id_token", "sub"), "{third}");
}

#[test]
fn several_hosts_share_a_name_by_a_list_that_vouches_for_them() {
    let (world, network) = world();
    let mut client = pairwise("p", CALLBACK);
    client.redirect_uris.push(ELSEWHERE.to_owned());
    let refused = |client: &Client, why: &str| {
        let error = register(&world, client.clone()).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    refused(&client, "needs a sector_identifier_uri");
    client.sector_identifier_uri = Some(LIST.to_owned());
    refused(&client, "could not be fetched");
    network.publish(LIST, "<html>");
    refused(&client, "no JSON list");
    network.publish(LIST, json!([CALLBACK]).to_string());
    refused(&client, "not in the list");
    network.publish(LIST, json!([CALLBACK, ELSEWHERE, "https://x.example/"]).to_string());
    register(&world, client).unwrap();
    let sub = said(&tokens(&world, "p", CALLBACK), "id_token", "sub");
    assert_eq!(said(&tokens(&world, "p", ELSEWHERE), "id_token", "sub"), sub);
    // The sector is the host of the list, and not those of the redirects.
    register(&world, pairwise("other", CALLBACK)).unwrap();
    assert_ne!(said(&tokens(&world, "other", CALLBACK), "id_token", "sub"), sub);
}

#[test]
fn a_change_asks_the_list_again_only_where_it_matters() {
    let (world, network) = world();
    network.publish(LIST, json!([CALLBACK]).to_string());
    let mut client = pairwise("p", CALLBACK);
    client.sector_identifier_uri = Some(LIST.to_owned());
    register(&world, client.clone()).unwrap();
    assert_eq!(network.calls(), 1);
    world.change("p", |client| client.client_name = "Renamed".into());
    assert_eq!(network.calls(), 1);
    client.redirect_uris.push(ELSEWHERE.to_owned());
    let refused = block_on(world.server.clients().update(client.clone()));
    assert!(matches!(refused, Err(RegistryError::Invalid { .. })), "{refused:?}");
    assert_eq!(network.calls(), 2);
    // One that is there already is not asked about at each start.
    assert!(!block_on(world.server.clients().ensure(client)).is_ok_and(|made| made));
    assert_eq!(network.calls(), 2);
}

#[test]
fn when_the_names_change_what_was_granted_under_the_old_ones_ends() {
    let (world, _) = world();
    register(&world, pairwise("p", CALLBACK)).unwrap();
    let tokens = tokens(&world, "p", CALLBACK);
    let access_token = str_of(&tokens, "access_token");
    world.change("p", |client| client.client_name = "Renamed".into());
    assert!(world.is_alive(&access_token));
    world.pass(1);
    world.change("p", |client| client.subject_type = SubjectType::Public);
    assert!(!world.is_alive(&access_token));
    let refused = world.refresh("p", &str_of(&tokens, "refresh_token"));
    assert_error(&refused, 400, "invalid_grant");
    world.pass(1);
    assert_eq!(said(&world.tokens("p"), "id_token", "sub"), "ann");
}

#[test]
fn nobody_joins_a_sector_that_can_be_answered_elsewhere_too() {
    let (world, _) = world();
    for elsewhere in ["http://localhost:7777/cb", "https://localhost/cb", ELSEWHERE] {
        let mut client = pairwise("joins", CALLBACK);
        client.redirect_uris.push(elsewhere.to_owned());
        let error = register(&world, client).unwrap_err();
        assert!(error.contains("needs a sector_identifier_uri"), "{elsewhere}: {error}");
    }
    let mut native = pairwise("joins", CALLBACK);
    native.native = true;
    native.redirect_uris.push("com.evil.app:/cb".to_owned());
    assert!(register(&world, native).is_err());
    // A host that is called like the client without one.
    let mut app = pairwise("app", "http://127.0.0.1/cb");
    app.native = true;
    register(&world, app).unwrap();
    register(&world, pairwise("web", "https://app/cb")).unwrap();
    let apps = said(&tokens(&world, "app", "http://127.0.0.1/cb"), "id_token", "sub");
    assert_ne!(apps, said(&tokens(&world, "web", "https://app/cb"), "id_token", "sub"));
}

#[test]
fn a_release_that_knows_no_pairwise_names_reads_neither_such_clients_nor_their_ring() {
    use grantor::store::record::write_client;
    let (world, _) = world();
    register(&world, pairwise("p", CALLBACK)).unwrap();
    let version = |id: &str| {
        let client = block_on(world.server.clients().find(id)).unwrap().unwrap();
        let record: Value = serde_json::from_str(&write_client(&client).unwrap()).unwrap();
        record["v"].clone()
    };
    assert_eq!((version("p"), version(SPA)), (json!(2), json!(1)));
    assert_eq!(world.ring().first(), Some(&2));
}
