//! ID tokens (OpenID Connect Core section 2).

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::env::Time;
use crate::grant::Grant;
use crate::keys::{Algorithm, KeyError, Ring};
use crate::secret::Secret;
use crate::token::jwt;

/// The type in its header. An access token has another, so neither passes for the other.
pub(crate) const TYP: &str = "JWT";

/// Mints the ID token of a grant.
///
/// It says who signed in and when, and nothing about them: claims belong to the UserInfo endpoint
/// when an access token is issued (OpenID Connect Core section 5.4). `auth_time` and `sub` hold
/// across refreshes (section 12.2); the nonce comes once, with the code.
pub(crate) fn mint(
    grant: &Grant,
    client: &Client,
    access_token: &Secret,
    first: bool,
    lifetime: Duration,
    ring: &Ring,
    now: Time,
) -> Result<Secret, KeyError> {
    let algorithm = client.id_token_signed_response_alg.unwrap_or(Algorithm::Rs256);
    let mut claims = Map::new();
    claims.insert("iss".into(), grant.issuer.as_str().into());
    claims.insert("sub".into(), grant.subject.as_str().into());
    claims.insert("aud".into(), grant.client_id.as_str().into());
    claims.insert("iat".into(), now.secs().into());
    claims.insert("exp".into(), now.plus(lifetime).min(grant.expires_at).secs().into());
    claims.insert("auth_time".into(), grant.auth_time.secs().into());
    claims.insert("at_hash".into(), algorithm.left_half_hash(access_token.expose()).into());
    let optional: [(&str, Option<Value>); 4] = [
        ("nonce", grant.nonce.as_deref().filter(|_| first).map(Value::from)),
        ("acr", grant.acr.as_deref().map(Value::from)),
        ("amr", (!grant.amr.is_empty()).then(|| json!(grant.amr))),
        ("sid", grant.sid.as_deref().map(Value::from)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            claims.insert(name.into(), value);
        }
    }
    jwt::sign(ring.signing_key(algorithm, now)?, TYP, &claims)
}
