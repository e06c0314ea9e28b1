//! Authentication by a signed assertion (RFC 7523 section 2.2, OpenID Connect Core section 9).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Client, ClientAuthentication, SecretEntry};
use crate::endpoint::Call;
use crate::endpoint::revoke::CLOCK_DIFFERENCE;
use crate::env::Time;
use crate::error::Misdeed;
use crate::grant::{Grant, GrantId};
use crate::server::path;
use crate::store::Inserted;
use crate::token::jwt::{self, Jws, Unverified};

/// The only `client_assertion_type`.
pub(crate) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far ahead an assertion may expire: for so long its `jti` must be kept.
const LONGEST: Duration = Duration::from_secs(3600);
/// How far the client's clock may be ahead of ours.
const SKEW: Duration = Duration::from_secs(60);
const MAX_JTI: usize = 256;

/// Whom an assertion says that it is from, before anything of it is proved.
pub(crate) fn claimed_client(assertion: &str) -> Option<String> {
    let claims = Jws::parse(assertion).ok()?.unverified_claims()?;
    claims.get("sub").and_then(Value::as_str).map(str::to_owned)
}

/// Proves that the client has made this assertion, for us, now, and that nobody has used it before.
pub(crate) async fn verify(
    call: &Call<'_>,
    client: &Client,
    assertion: &str,
) -> Result<(), Misdeed> {
    let wrong = |why| Misdeed::ClientAssertion(why);
    let jws = Jws::parse(assertion).map_err(wrong)?;
    // Typed assertions say what they are (RFC 8725 section 3.11); plain ones are what most libraries make.
    if !matches!(jws.typ(), None | Some("JWT" | "client-authentication+jwt")) {
        return Err(wrong("it is of another type"));
    }
    let registered = client.token_endpoint_auth_signing_alg;
    if registered.is_some() && jws.algorithm() != registered {
        return Err(wrong("its algorithm is not the registered one"));
    }
    let claims = match &client.authentication {
        ClientAuthentication::Secret { secrets, .. } => by_secret(call, client, &jws, secrets)?,
        _ => call.server.verify_by_client(client, &jws).await?.map_err(|why| match why {
            Unverified::Invalid(why) => wrong(why),
            Unverified::UnknownKey => wrong("its key is not among the client's"),
        })?,
    };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let time = |name: &str| jwt::time(&claims, name).map_err(wrong);
    if text("iss") != Some(&client.client_id) || text("sub") != Some(&client.client_id) {
        return Err(wrong("its issuer and subject are not the client"));
    }
    if !is_for_us(call, &claims) {
        return Err(wrong("it is meant for another audience"));
    }
    let expires_at = time("exp")?.filter(|at| *at > call.now);
    let expires_at = expires_at.ok_or(wrong("it has expired, or has no expiry"))?;
    if expires_at > call.now.plus(LONGEST) {
        return Err(wrong("it lives longer than an hour"));
    }
    let ahead = call.now.plus(SKEW);
    if [time("nbf")?, time("iat")?].into_iter().flatten().any(|begin| begin > ahead) {
        return Err(wrong("it is from the future"));
    }
    let jti = text("jti").filter(|jti| (1..=MAX_JTI).contains(&jti.len()));
    let jti = jti.ok_or(wrong("it has no jti"))?;
    once(call, client, jti, expires_at).await
}

/// The claims, if the client has signed them with a secret of its own that lives (`client_secret_jwt`).
fn by_secret(
    call: &Call<'_>,
    client: &Client,
    jws: &Jws<'_>,
    secrets: &[SecretEntry],
) -> Result<Map<String, Value>, Misdeed> {
    for entry in secrets.iter().filter(|entry| entry.is_live(call.now)) {
        let Some(sealed) = &entry.sealed else { continue };
        let opened = call.server.keys().open_secret(&client.client_id, sealed);
        let secret = opened.map_err(|_| {
            Misdeed::ClientAssertion("its sealed secret does not open with this master key")
        })?;
        if let Some(claims) = jws.verify_shared(&secret) {
            return Ok(claims);
        }
    }
    Err(Misdeed::ClientAssertion("it is not signed with the client's secret"))
}

/// Every audience must be this server: an assertion that another one accepts too could be used here by it.
fn is_for_us(call: &Call<'_>, claims: &Map<String, Value>) -> bool {
    let issuer = call.server.issuer().as_str();
    let ours = |audience: &Value| {
        let rest = audience.as_str().and_then(|audience| audience.strip_prefix(issuer));
        let called = call.request.path.strip_prefix(call.server.issuer().path());
        rest.is_some_and(|rest| ["", path::TOKEN].contains(&rest) || Some(rest) == called)
    };
    match claims.get("aud") {
        Some(Value::Array(audiences)) => !audiences.is_empty() && audiences.iter().all(ours),
        Some(audience) => ours(audience),
        None => false,
    }
}

/// Marks an assertion as used. Whoever comes second has copied it.
async fn once(
    call: &Call<'_>,
    client: &Client,
    jti: &str,
    expires_at: Time,
) -> Result<(), Misdeed> {
    let issuer = call.server.issuer();
    let id = GrantId::of_texts(&["grantor assertion", issuer.as_str(), &client.client_id, jti]);
    let (issuer, client_id) = (issuer.clone(), client.client_id.clone());
    // Another process whose clock is behind must still find it.
    let until = expires_at.plus(CLOCK_DIFFERENCE);
    let mark = Grant::tombstone(id, issuer, client_id, until, call.now);
    match call.server.token_store().insert(mark, None).await? {
        Inserted::New => Ok(()),
        Inserted::Existing(_) => Err(Misdeed::ClientAssertion("it was used before")),
    }
}
