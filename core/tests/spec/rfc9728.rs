//! Protected resource metadata (RFC 9728): a client that meets the API first learns whom to ask.

use grantor::{Admission, Guard, Policy, Request, Response};
use pollster::block_on;

use crate::support::*;

const API: &str = "https://shop.example.com/api";

fn with_api(api: &str) -> Policy {
    let mut policy = Policy::default();
    policy.apis = vec![api.into()];
    policy
}

fn world() -> World {
    World::with(with_api(API))
}

fn challenge(guard: &Guard, request: &Request) -> Response {
    match block_on(guard.admit(request)) {
        Admission::Answered(response) => response,
        Admission::Admitted(..) => panic!("it was admitted"),
    }
}

#[test]
fn a_challenge_leads_to_the_metadata_and_that_to_the_server() {
    let world = world();
    let guard = Guard::new(&world.server).scope("orders:read").resource(API).unwrap();
    let path = "/.well-known/oauth-protected-resource/api";
    assert_eq!(guard.metadata_path().as_deref(), Some(path));
    let expected = format!("resource_metadata=\"https://shop.example.com{path}\"");
    let nobody = challenge(&guard, &Request::get("/api/orders"));
    assert_eq!(nobody.get("www-authenticate"), Some(&*format!("Bearer {expected}")));
    let wrong = challenge(&guard, &bearer(Request::get("/api/orders"), "x"));
    let said = wrong.get("www-authenticate").unwrap();
    assert!(said.starts_with("Bearer error=\"invalid_token\","), "{said}");
    assert!(said.ends_with(&format!(", {expected}")), "{said}");

    let metadata = guard.metadata(&Request::get(path));
    assert_eq!(metadata.get("access-control-allow-origin"), Some("*"));
    let metadata = json_body(&metadata);
    assert_eq!(metadata["resource"], API);
    assert_eq!(metadata["authorization_servers"], serde_json::json!([ISSUER]));
    assert_eq!(metadata["scopes_supported"], serde_json::json!(["orders:read"]));
    let bare = Guard::new(&world.server).resource(API).unwrap();
    let bare = json_body(&bare.metadata(&Request::get(path)));
    assert!(bare.get("scopes_supported").is_none(), "what has no value is left out: {bare}");
}

#[test]
fn a_token_must_be_meant_for_the_resource_and_not_for_the_server_alone() {
    let world = world();
    let token = str_of(&world.tokens(SPA), "access_token");
    let request = bearer(Request::get("/api/orders"), &token);
    let guard = Guard::new(&world.server).resource(API).unwrap();
    assert!(matches!(block_on(guard.admit(&request)), Admission::Admitted(..)));
    let elsewhere = world.another_process(with_api("https://other.example.com"));
    let other = Guard::new(&elsewhere).resource("https://other.example.com").unwrap();
    assert_error(&challenge(&other, &request), 401, "invalid_token");
    assert!(matches!(block_on(Guard::new(&elsewhere).admit(&request)), Admission::Admitted(..)));
}

#[test]
fn a_resource_that_no_token_is_meant_for_is_the_hosts_mistake() {
    let world = world();
    let fail = |url| Guard::new(&world.server).resource(url).unwrap_err().to_string();
    assert!(fail("https://unlisted.example.com").contains("add it to the policy's `apis`"));
    assert!(fail("http://shop.example.com/api").contains("https"));
    assert!(fail("https://shop.example.com/api?x").contains("no query"));
    let plain = Guard::new(&world.server);
    assert_eq!(plain.metadata_path(), None);
    let said = challenge(&plain, &Request::get("/"));
    assert_eq!(said.get("www-authenticate"), Some("Bearer"));
}

#[test]
fn the_hosts_own_claims_have_the_hosts_own_type() {
    #[derive(serde::Deserialize)]
    struct Mine {
        org_id: String,
    }
    #[derive(Debug, serde::Deserialize)]
    struct Other {
        #[allow(dead_code, reason = "it is not there")]
        org_id: u32,
    }
    let world = world();
    let request = bearer(Request::get("/"), &str_of(&world.tokens(SPA), "access_token"));
    let Admission::Admitted(token, _) = block_on(Guard::new(&world.server).admit(&request)) else {
        panic!("it was refused")
    };
    assert_eq!(token.claims_as::<Mine>().unwrap().org_id, "acme");
    assert!(token.claims_as::<Other>().is_err());
}
