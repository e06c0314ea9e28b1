//! OpenID Connect Discovery 1.0, RFC 8414 and RFC 7517.

use grantor::store::Memory;
use grantor::{AuthorizationServer, MasterKey, Policy, Request};
use serde_json::json;

use crate::support::*;

const PATHS: [&str; 2] =
    ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];

#[test]
fn both_documents_are_the_same_and_everyone_may_read_them() {
    let world = World::new();
    let [first, second] = PATHS.map(|path| world.send(&Request::get(path)));
    assert_eq!(first, second);
    assert_eq!(first.status, 200);
    assert_eq!(first.get("content-type"), Some("application/json"));
    assert_eq!(first.get("access-control-allow-origin"), Some("*"));
    assert_eq!(first.get("cache-control"), Some("public, max-age=300"));
    let mut post = Request::get(PATHS[0]);
    post.method = grantor::Method::Post;
    assert_eq!(world.send(&post).status, 405);
}

#[test]
fn the_metadata_promises_what_the_server_does_and_no_more() {
    let world = World::new();
    let metadata = json_body(&world.send(&Request::get(PATHS[0])));
    let expected = json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://id.example.com/oauth2/authorize",
        "token_endpoint": "https://id.example.com/oauth2/token",
        "userinfo_endpoint": "https://id.example.com/oauth2/userinfo",
        "jwks_uri": "https://id.example.com/oauth2/jwks.json",
        "revocation_endpoint": "https://id.example.com/oauth2/revoke",
        "introspection_endpoint": "https://id.example.com/oauth2/introspect",
        "end_session_endpoint": "https://id.example.com/oauth2/logout",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "claims_parameter_supported": true,
        "request_parameter_supported": true,
        "subject_types_supported": ["public", "pairwise"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
        "token_endpoint_auth_methods_supported":
            ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"],
        "token_endpoint_auth_signing_alg_values_supported":
            ["RS256", "PS256", "ES256", "EdDSA", "Ed25519", "HS256"],
        "request_object_signing_alg_values_supported":
            ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"],
        "introspection_endpoint_auth_methods_supported":
            ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "request_uri_parameter_supported": false,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&metadata[name], value, "{name}");
    }
    assert_eq!(metadata.get("acr_values_supported"), None);
    // What there is not is not promised: proofs of possession, signed introspection, encryption, pushed requests.
    let absent =
        ["dpop_", "introspection_signing_", "pushed_", "require_pushed_", "tls_client_", "mtls_"];
    for name in metadata.as_object().unwrap().keys() {
        assert!(!absent.iter().any(|prefix| name.starts_with(prefix)), "{name}");
        assert!(!name.contains("encryption"), "{name}");
    }
    let mut policy = Policy::default();
    policy.acr_values = vec!["urn:example:two-factors".into()];
    let with_classes = json_body(&World::with(policy).send(&Request::get(PATHS[0])));
    assert_eq!(with_classes["acr_values_supported"], json!(["urn:example:two-factors"]));
    let scopes = metadata["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("openid")) && scopes.contains(&json!("orders:read")));
}

#[test]
fn the_jwks_is_public_and_has_the_keys_that_sign() {
    let world = World::new();
    let response = world.send(&Request::get("/oauth2/jwks.json"));
    assert_eq!(response.get("access-control-allow-origin"), Some("*"));
    let jwks = json_body(&response);
    let tokens = world.tokens(SPA);
    for name in ["id_token", "access_token"] {
        let header = jose_header(&str_of(&tokens, name));
        let keys = jwks["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("a published key");
        assert_eq!((&key["alg"], &key["use"]), (&header["alg"], &json!("sig")));
    }
}

// RFC 8414 section 3.1: an issuer with a path.

#[test]
fn an_issuer_with_a_path_has_its_documents_where_both_specifications_look() {
    let builder = AuthorizationServer::builder("https://id.example.com/tenant")
        .store(Memory::new())
        .subjects(People::default())
        .master_key(MasterKey::from_bytes([1; 32]));
    let server = pollster::block_on(builder.build()).unwrap();
    let get = |path: &str| pollster::block_on(server.handle(&Request::get(path)));
    for path in [
        "/tenant/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/tenant",
    ] {
        let metadata = json_body(&get(path));
        assert_eq!(metadata["issuer"], "https://id.example.com/tenant");
        assert_eq!(metadata["token_endpoint"], "https://id.example.com/tenant/oauth2/token");
        assert!(server.paths().contains(&path.to_owned()));
    }
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/other",
        "/tenant/.well-known/oauth-authorization-server",
        "/oauth2/token",
        "/tenantx/oauth2/token",
    ] {
        assert_eq!(get(path).status, 404, "{path}");
    }
    assert_eq!(get("/tenant/oauth2/jwks.json").status, 200);
}
