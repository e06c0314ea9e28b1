//! Many issuers in one process, which share a store.

use pollster::block_on;

use super::*;
use crate::client::Client;
use crate::keys::{MasterKey, sealed_for};
use crate::scope::Scope;
use crate::store::{KeyStore as _, Memory, Owner};
use crate::testing::{Anybody, TestEnvironment, TestTokens};

const ISSUERS: usize = 1000;

fn status(server: &AuthorizationServer, path: &str, bearer: &str) -> u16 {
    let target = format!("{}{path}", server.issuer().path());
    let request = Request::get(&target).header("authorization", bearer);
    block_on(server.handle(&request)).status
}

#[test]
fn a_thousand_issuers_share_a_store_and_never_meet() {
    let (store, clock) = (Memory::new(), TestEnvironment::new());
    let issuers: Vec<Issuer> = (0..ISSUERS)
        .map(|n| Issuer::new(&format!("https://id.example.com/tenant-{n}")).unwrap())
        .collect();
    let rings = sealed_for(&issuers, &MasterKey::from_bytes([1; 32]));
    let servers: Vec<AuthorizationServer> = issuers
        .iter()
        .zip(rings)
        .map(|(issuer, ring)| {
            assert!(block_on(store.replace(issuer, ring, 0)).unwrap());
            let builder = AuthorizationServer::builder(issuer.as_str())
                .store(store.clone())
                .subjects(Anybody)
                .interaction("/login")
                .environment(clock.clone())
                .master_key(MasterKey::from_bytes([1; 32]));
            let server = block_on(builder.build()).unwrap();
            // The same id everywhere: it is another client at each.
            let mut client = Client::public("client_shop", "Shop");
            client.redirect_uris = vec!["https://shop.example.com/callback".into()];
            client.scope = Scope::parse("openid profile").unwrap();
            block_on(server.clients().create(client)).unwrap();
            server
        })
        .collect();
    let tokens: Vec<TestTokens> = servers
        .iter()
        .map(|server| block_on(server.test_client("client_shop").sign_in_as("ann")).unwrap())
        .collect();
    let others = servers.iter().cycle().skip(1);
    for ((server, other), tokens) in servers.iter().zip(others).zip(&tokens) {
        assert_eq!(status(server, "/oauth2/userinfo", &tokens.bearer()), 200);
        assert_eq!(status(other, "/oauth2/userinfo", &tokens.bearer()), 401);
        assert!(block_on(other.test_client("client_shop").refresh(tokens)).is_err());
    }
    // What one issuer ends is its own.
    let next = servers.iter().zip(&tokens).skip(1);
    for ((server, tokens), (other, others)) in servers.iter().zip(&tokens).zip(next) {
        let owner = Owner::Subject(server.issuer().clone(), "ann".to_owned());
        assert_eq!(block_on(server.revoke_all(&owner)).unwrap(), 1);
        assert_eq!(status(server, "/oauth2/userinfo", &tokens.bearer()), 401);
        assert_eq!(status(other, "/oauth2/userinfo", &others.bearer()), 200);
    }
}

#[test]
fn an_issuer_with_a_path_has_its_well_known_documents_where_each_standard_says() {
    let builder = AuthorizationServer::builder("https://id.example.com/tenant")
        .store(Memory::new())
        .subjects(Anybody)
        .interaction("/login")
        .master_key(MasterKey::from_bytes([1; 32]));
    let server = block_on(builder.build()).unwrap();
    for (path, expected) in [
        // OpenID Connect Discovery section 4 appends, RFC 8414 section 3.1 inserts.
        ("/tenant/.well-known/openid-configuration", 200),
        ("/.well-known/oauth-authorization-server/tenant", 200),
        ("/.well-known/openid-configuration", 404),
        ("/.well-known/oauth-authorization-server", 404),
        ("/tenant/oauth2/jwks.json", 200),
        ("/oauth2/jwks.json", 404),
    ] {
        assert_eq!(block_on(server.handle(&Request::get(path))).status, expected, "{path}");
    }
}
