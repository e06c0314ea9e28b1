//! ID tokens (OpenID Connect Core section 2).

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::env::Time;
use crate::grant::Grant;
use crate::keys::{Algorithm, KeyError, Keys};
use crate::secret::Secret;
use crate::subject::Claims;
use crate::token::claims;

/// The type in its header. An access token has another, so neither passes for the other.
pub(crate) const TYP: &str = "JWT";

/// What an ID token is minted from.
pub(crate) struct Order<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) client: &'a Client,
    /// The access token that it comes with.
    pub(crate) access_token: &'a Secret,
    /// What else it says of the person.
    pub(crate) more: Claims,
    /// Whether it comes with the code.
    pub(crate) first: bool,
    pub(crate) lifetime: Duration,
}

/// Mints the ID token of a grant.
///
/// It says who signed in and when. What else it says is for clients that want it
/// ([`Client::claims_in_id_token`]). `auth_time` and `sub` hold across refreshes (OpenID Connect Core
/// section 12.2); the nonce comes once, with the code.
pub(crate) async fn mint(order: Order<'_>, keys: &Keys, now: Time) -> Result<Secret, KeyError> {
    let Order { grant, client, access_token, more, first, lifetime } = order;
    let algorithm = client.id_token_signed_response_alg.unwrap_or(Algorithm::Rs256);
    let mut claims: Map<String, Value> =
        more.into_iter().filter(|(name, _)| !claims::is_reserved(name)).collect();
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
    keys.sign(algorithm, TYP, &claims, now).await
}
