//! Access tokens: JWTs of RFC 9068, checked against their grant whenever this server is asked.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::env::{Time, random};
use crate::error::Misdeed;
use crate::grant::{Grant, GrantId, State};
use crate::keys::Algorithm;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::server::AuthorizationServer;
use crate::subject::Claims;
use crate::token::claims_request::ClaimsByName;
use crate::token::verified::{MAX_KEPT_LENGTH, TokenHash};
use crate::token::{audience, claims, jwt};

const TYP: &str = "at+jwt";
const OF_GRANT: &str = "at_";
const OF_CLIENT: &str = "cc_";

/// An access token that was found valid and alive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AccessToken {
    /// Whose resources it opens; `None` when the client acts on its own behalf. At the server itself it is the
    /// host's own identifier; in another process it is what the token says, or the introspection: for a client
    /// of pairwise identifiers not the same ([`crate::SubjectType`]).
    pub subject: Option<String>,
    /// The client that holds it.
    pub client_id: String,
    /// What it may be used for.
    pub scope: Scope,
    /// Who it is meant for.
    pub audience: Vec<String>,
    /// When it ends.
    pub expires_at: Time,
    /// All claims as they stand in the token, among them the ones that the host added. `sub` and `sid` are as the
    /// client knows them.
    pub claims: Claims,
}

impl AccessToken {
    /// Reads claims. `of_client`: whether the client acts on its own behalf.
    pub(crate) fn from_claims(claims: Claims, of_client: bool) -> Option<Self> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let audience = match claims.get("aud")? {
            Value::String(one) => vec![one.clone()],
            Value::Array(many) => {
                many.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<_>>()?
            }
            _ => return None,
        };
        Some(Self {
            subject: match of_client {
                false => Some(text("sub")?.to_owned()),
                true => None,
            },
            client_id: text("client_id")?.to_owned(),
            // A token without a scope is for nothing in particular (RFC 9068 section 2.2.3).
            scope: Scope::try_from(text("scope").unwrap_or_default().to_owned()).ok()?,
            audience,
            expires_at: Time::from_secs(claims.get("exp")?.as_i64()?),
            claims,
        })
    }

    /// The claims as a type of the host's own, such as one with the claims that it adds by
    /// [`crate::Subjects::token_claims`].
    ///
    /// # Errors
    /// When a claim is missing or of another type.
    pub fn claims_as<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(Value::Object(self.claims.clone()))
    }

    fn issued_at(&self) -> Time {
        Time::from_secs(self.claims.get("iat").and_then(Value::as_i64).unwrap_or(0))
    }
}

/// What a `jti` leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// A token of a grant: it lives while the grant does.
    Grant(GrantId),
    /// A client's own token: it lives unless a tombstone of this id stands in the store.
    Client(GrantId),
}

impl Id {
    fn from_jti(jti: &str) -> Option<Self> {
        // The grant's id is 43 characters; what follows only tells tokens of one grant apart.
        let id = |rest: &str| GrantId::from_text(rest.get(..43)?);
        match (jti.strip_prefix(OF_GRANT), jti.strip_prefix(OF_CLIENT)) {
            (Some(rest), _) => id(rest).map(Id::Grant),
            (_, Some(rest)) => id(rest).map(Id::Client),
            _ => None,
        }
    }
}

/// Whether a token is of a client that acts on its own behalf. Ours say so in their `jti`, for a person may have the
/// identifier that a client has; of others', such a client is its own subject (RFC 9068 section 2.2).
pub(crate) fn is_of_client(claims: &Claims) -> bool {
    match claims.get("jti").and_then(Value::as_str).and_then(Id::from_jti) {
        Some(Id::Client(_)) => true,
        Some(Id::Grant(_)) => false,
        None => claims.get("sub") == claims.get("client_id"),
    }
}

/// A valid token with the records that keep it alive.
pub(crate) struct Live {
    pub(crate) token: Arc<AccessToken>,
    /// What was granted by name.
    pub(crate) claims: ClaimsByName,
    pub(crate) client: Arc<Client>,
}

/// Verifies the token itself: ours, an access token, not expired. Says nothing about whether its
/// grant still stands.
pub(crate) async fn open(
    server: &AuthorizationServer,
    token: &str,
    now: Time,
) -> Result<(Arc<AccessToken>, Id), Misdeed> {
    // Whether keys of the host's still count is the host's to say, each time.
    if server.keys().has_signer() || token.len() > MAX_KEPT_LENGTH {
        return verify(server, token, now).await;
    }
    let (hash, ring) = (TokenHash::of(token), server.ring());
    if let Some((token, id)) = server.verified().find(&hash, &ring) {
        return match now < token.expires_at {
            true => Ok((token, id)),
            false => Err(Misdeed::TokenInvalid("it has expired")),
        };
    }
    let (token, id) = verify(server, token, now).await?;
    // If another ring has verified it, which was loaded for it, it is kept the next time.
    if Arc::ptr_eq(&ring, &server.ring()) {
        server.verified().keep(hash, &token, id, &ring);
    }
    Ok((token, id))
}

async fn verify(
    server: &AuthorizationServer,
    token: &str,
    now: Time,
) -> Result<(Arc<AccessToken>, Id), Misdeed> {
    let mut verified = jwt::verify(token, TYP, &server.keys().verifying(), server.issuer(), now);
    if verified == Err(jwt::Unverified::UnknownKey) {
        server.keys().reload_for_unknown(now).await?;
        verified = jwt::verify(token, TYP, &server.keys().verifying(), server.issuer(), now);
    }
    let claims = verified.map_err(|why| match why {
        jwt::Unverified::Invalid(why) => Misdeed::TokenInvalid(why),
        jwt::Unverified::UnknownKey => Misdeed::TokenInvalid("its key is unknown"),
    })?;
    let id = claims.get("jti").and_then(Value::as_str).and_then(Id::from_jti);
    let token = id.and_then(|id| {
        let of_client = matches!(id, Id::Client(_));
        Some((Arc::new(AccessToken::from_claims(claims, of_client)?), id))
    });
    token.ok_or(Misdeed::TokenInvalid("a claim is missing"))
}

/// Verifies the token and that everything behind it still stands: the grant, the client, the
/// subject. Revocation bites at once because every use by this process comes through here.
pub(crate) async fn live(
    server: &AuthorizationServer,
    token: &str,
    now: Time,
) -> Result<Live, Misdeed> {
    let (mut token, id) = open(server, token, now).await?;
    let dead = |_| Misdeed::TokenInvalid("its client, subject or grant has ended");
    let client = server.client_store().find(server.issuer(), &token.client_id).await?;
    let (client, claims) = match id {
        Id::Grant(id) => {
            let grant = server.token_store().find(id).await?;
            let grant = grant
                .filter(|g| g.state != State::Revoked && now < g.expires_at)
                .filter(|g| g.client_id == token.client_id && g.issuer == *server.issuer())
                .ok_or(Misdeed::TokenInvalid("its grant has ended"))?;
            let subject = Some((grant.subject.as_str(), grant.approved_at));
            let allowed = server.still_allowed(client, subject, grant.approved_at);
            let client = allowed.await?.map_err(dead)?;
            // A token says of whom it is, and so does its grant: whoever could sign tokens could still
            // not speak for others.
            if token.subject.as_deref() != Some(&server.subject_for(&client, &grant.subject)) {
                return Err(Misdeed::TokenInvalid("its grant is of another subject"));
            }
            // From here on it is the host's own identifier.
            if token.subject.as_deref() != Some(&*grant.subject) {
                Arc::make_mut(&mut token).subject = Some(grant.subject);
            }
            (client, grant.claims)
        }
        Id::Client(id) => {
            if server.token_store().find(id).await?.is_some() {
                return Err(Misdeed::TokenInvalid("it was revoked"));
            }
            let allowed = server.still_allowed(client, None, token.issued_at());
            (allowed.await?.map_err(dead)?, ClaimsByName::default())
        }
    };
    // What was taken from the client since is not in tokens that it has already, either.
    let scope = token.scope.intersection(&client.scope);
    if scope.is_empty() && !token.scope.is_empty() {
        return Err(Misdeed::TokenInvalid("its client may have nothing of its scope any more"));
    }
    if scope != token.scope {
        let token = Arc::make_mut(&mut token);
        token.claims.insert("scope".into(), scope.to_string().into());
        token.scope = scope;
    }
    Ok(Live { token, claims, client })
}

/// What a new access token is for.
pub(crate) struct Order<'a> {
    pub(crate) client: &'a Client,
    /// The grant, or none for a client on its own behalf.
    pub(crate) grant: Option<&'a Grant>,
    pub(crate) scope: &'a Scope,
    /// What it is asked for by name; nothing stands for all that was granted (RFC 8707).
    pub(crate) resources: &'a [String],
    /// Claims that the host adds.
    pub(crate) extra: Claims,
}

/// A fresh access token.
pub(crate) struct Minted {
    pub(crate) token: Secret,
    pub(crate) expires_in: i64,
}

/// Mints an access token. It never outlives its grant.
pub(crate) async fn mint(
    server: &AuthorizationServer,
    order: Order<'_>,
    now: Time,
) -> Result<Minted, Misdeed> {
    let Order { client, grant, scope, resources, extra } = order;
    let expires_at = now.plus(server.policy().access_token_lifetime(client));
    let expires_at = grant.map_or(expires_at, |grant| expires_at.min(grant.expires_at));
    let environment = server.environment();
    let (sub, jti) = match grant {
        Some(grant) => {
            let unique = BASE64_URL_SAFE_NO_PAD.encode(random::<12>(environment)?);
            (server.subject_for(client, &grant.subject), format!("{OF_GRANT}{}{unique}", grant.id))
        }
        None => {
            let id = GrantId::from_bytes(random(environment)?);
            (client.client_id.as_str().into(), format!("{OF_CLIENT}{id}"))
        }
    };
    let mut all: Map<String, Value> =
        extra.into_iter().filter(|(name, _)| !claims::is_reserved(name)).collect();
    let granted = grant.map_or(&[][..], |grant| &grant.resources);
    let audience = audience::of_token(server, client, granted, resources)?;
    let audience = match audience.as_slice() {
        [one] => json!(one),
        many => json!(many),
    };
    all.insert("iss".into(), server.issuer().as_str().into());
    all.insert("sub".into(), sub.into());
    all.insert("aud".into(), audience);
    all.insert("iat".into(), now.secs().into());
    all.insert("exp".into(), expires_at.secs().into());
    all.insert("jti".into(), jti.into());
    all.insert("client_id".into(), client.client_id.as_str().into());
    all.insert("scope".into(), scope.to_string().into());
    if let Some(grant) = grant {
        all.insert("auth_time".into(), grant.auth_time.secs().into());
        if let Some(acr) = &grant.acr {
            all.insert("acr".into(), acr.as_str().into());
        }
        if !grant.amr.is_empty() {
            all.insert("amr".into(), json!(grant.amr));
        }
        if let Some(sid) = &grant.sid {
            all.insert("sid".into(), server.sid_for(client, sid).into());
        }
    }
    let algorithm = client.access_token_signed_response_alg.unwrap_or(Algorithm::EdDsa);
    let token = server.keys().sign(algorithm, TYP, &all, now).await?;
    Ok(Minted { token, expires_in: expires_at.secs() - now.secs() })
}
