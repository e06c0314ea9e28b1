//! ID tokens (OpenID Connect Core section 2).

use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::env::Time;
use crate::error::Misdeed;
use crate::grant::Grant;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::server::AuthorizationServer;
use crate::subject::Claims;
use crate::token::claims;

/// The type in its header. An access token has another, so neither passes for the other.
pub(crate) const TYP: &str = "JWT";

/// What an ID token is minted from.
pub(crate) struct Order<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) client: &'a Client,
    /// What of the grant the client may have now.
    pub(crate) scope: &'a Scope,
    /// The code that it comes with, in an authorization response.
    pub(crate) code: Option<&'a Secret>,
    /// The access token that it comes with.
    pub(crate) access_token: Option<&'a Secret>,
    /// Whether it is the answer to the request that had the nonce.
    pub(crate) first: bool,
}

/// Mints the ID token of a grant.
///
/// It says who signed in and when. `auth_time` and `sub` hold across refreshes (OpenID Connect Core
/// section 12.2); the nonce comes once, in the first answer.
pub(crate) async fn mint(
    server: &AuthorizationServer,
    order: Order<'_>,
    now: Time,
) -> Result<Secret, Misdeed> {
    let more = more(server, &order).await?;
    let Order { grant, client, code, access_token, first, .. } = order;
    let algorithm = client.id_token_algorithm();
    let mut claims: Map<String, Value> =
        more.into_iter().filter(|(name, _)| !claims::is_reserved(name)).collect();
    let lifetime = server.policy().id_token_lifetime(client);
    claims.insert("iss".into(), grant.issuer.as_str().into());
    claims.insert("sub".into(), server.subject_for(client, &grant.subject).into());
    claims.insert("aud".into(), grant.client_id.as_str().into());
    claims.insert("iat".into(), now.secs().into());
    claims.insert("exp".into(), now.plus(lifetime).min(grant.expires_at).secs().into());
    claims.insert("auth_time".into(), grant.auth_time.secs().into());
    let hash = |secret: &Secret| Value::from(algorithm.left_half_hash(secret.expose()));
    let optional: [(&str, Option<Value>); 6] = [
        ("at_hash", access_token.map(hash)),
        ("c_hash", code.map(hash)),
        ("nonce", grant.nonce.as_deref().filter(|_| first).map(Value::from)),
        ("acr", grant.acr.as_deref().map(Value::from)),
        ("amr", (!grant.amr.is_empty()).then(|| json!(grant.amr))),
        ("sid", grant.sid.as_deref().map(|sid| server.sid_for(client, sid).into())),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            claims.insert(name.into(), value);
        }
    }
    Ok(server.keys().sign(algorithm, TYP, &claims, now).await?)
}

/// What else it says of the person: the claims that were asked for by name; and those of the scope, for clients
/// that want them ([`Client::claims_in_id_token`]) or have no access token to ask UserInfo with (OpenID
/// Connect Core section 5.4).
async fn more(server: &AuthorizationServer, order: &Order<'_>) -> Result<Claims, Misdeed> {
    let Order { grant, client, scope, .. } = order;
    let is_alone = order.code.is_none() && order.access_token.is_none();
    let by_scope = if client.claims_in_id_token || is_alone { scope } else { &Scope::empty() };
    let by_name = &grant.claims.within(&client.scope).id_token;
    if by_scope.is_empty() && by_name.is_empty() {
        return Ok(Claims::new());
    }
    let all = server.subjects().claims(&grant.subject).await?;
    Ok(claims::released(all, by_scope, by_name))
}
