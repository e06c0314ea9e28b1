//! Signed tokens: ours are read as they were written, and nothing else is. The input is text: claims
//! that are signed, and a token that a stranger made, a line each.
#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantor::AuthorizationServer;
use grantor::fuzzing::verify;
use grantor_fuzz::{ISSUER, World};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;
use serde_json::{Map, Value};

static WORLD: LazyLock<World> = LazyLock::new(World::new);
const TYP: &str = "at+jwt";

fn sign(server: &AuthorizationServer, claims: &Map<String, Value>) -> String {
    block_on(grantor::fuzzing::sign(server, TYP, claims))
}

fuzz_target!(|text: &str| {
    let server = &WORLD.server;
    let (claims, foreign) = text.split_once('\n').unwrap_or((text, ""));
    assert_eq!(verify(server, TYP, foreign), None, "nobody else has the key");
    let Ok(mut claims) = serde_json::from_str::<Map<String, Value>>(claims) else { return };
    let exp = claims.get("exp").and_then(Value::as_i64);
    let lives = exp.is_some_and(|exp| exp > server.now().secs());
    let expected = (lives && claims.get("iss") == Some(&ISSUER.into())).then(|| claims.clone());
    assert_eq!(verify(server, TYP, &sign(server, &claims)), expected);
    claims.insert("iss".into(), ISSUER.into());
    claims.insert("exp".into(), (server.now().secs() + 1).into());
    let token = sign(server, &claims);
    assert_eq!(verify(server, TYP, &token), Some(claims));
    assert_eq!(verify(server, "JWT", &token), None, "another type");
    let parts: Vec<&str> = token.split('.').collect();
    // The stranger's header, claims or signature in place of ours.
    for (n, theirs) in foreign.splitn(3, '.').enumerate() {
        let mut parts = parts.clone();
        let written = BASE64_URL_SAFE_NO_PAD.encode(theirs);
        for theirs in [theirs, &written] {
            if parts[n] != theirs {
                parts[n] = theirs;
                assert_eq!(verify(server, TYP, &parts.join(".")), None);
            }
        }
    }
});
