//! Client authentication: one function for every endpoint (RFC 6749 section 2.3).

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{AuthMethod, Client, ClientAuthentication, assertion};
use crate::endpoint::Call;
use crate::error::Misdeed;
use crate::http::{Parameters, Request, decode, has_control};
use crate::limit::Attempt;
use crate::secret::SecretDigest;

/// A client that has proved who it is, or that has nothing to prove with (a public one).
///
/// Only [`authenticate_client`] makes one, so no endpoint can run without it.
#[derive(Clone, Debug)]
pub(crate) struct AuthenticatedClient(Arc<Client>);

impl std::ops::Deref for AuthenticatedClient {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.0
    }
}

impl AuthenticatedClient {
    pub(crate) fn shared(&self) -> Arc<Client> {
        self.0.clone()
    }
}

/// What a request presents.
struct Presented<'a> {
    client_id: String,
    proof: Proof<'a>,
}

enum Proof<'a> {
    Nothing,
    Secret(Cow<'a, str>, AuthMethod),
    Assertion(&'a str),
}

/// Finds out which client calls, and demands its proof.
///
/// A stranger learns nothing: an unknown client, an inactive one, a wrong secret and a wrong way
/// of sending it are answered with the same bytes, after the same work. (Only who may read the
/// answer in a browser differs, which a client's own pages can find out anyway; and an assertion is
/// verified only when there is a key to do it with, which may have to be fetched, and may not be there: ids of
/// clients are no secrets.)
pub(crate) async fn authenticate_client(
    call: &mut Call<'_>,
    parameters: &Parameters,
) -> Result<AuthenticatedClient, Misdeed> {
    let Presented { client_id, proof } = presented(call.request, parameters)?;
    let basic = matches!(proof, Proof::Secret(_, AuthMethod::Basic));
    limit(call, &client_id)?;
    let found = call.server.client_store().find(call.server.issuer(), &client_id).await?;
    let Some(client) = found else {
        // The same digest and comparison as for a known client.
        if let Proof::Secret(secret, _) = proof {
            let _ = SecretDigest::of_text("").matches(&secret);
        }
        return Err(Misdeed::ClientUnknown { basic });
    };
    call.client = Some(client.clone());
    let proved = match (&client.authentication, proof) {
        (ClientAuthentication::None, Proof::Nothing) => true,
        // A secret for a client that has none is a mistake worth refusing: somebody believes that
        // it protects them.
        (ClientAuthentication::None, _) => false,
        (ClientAuthentication::Secret { secrets, method }, Proof::Secret(secret, used)) => {
            let right_way = method.is_none_or(|method| method == used);
            // Every digest is compared, so that time does not tell which one matched.
            let matches = secrets.iter().fold(false, |found, entry| {
                (entry.digest.matches(&secret) && entry.is_live(call.now)) | found
            });
            matches && right_way
        }
        (authentication, Proof::Assertion(_)) if !authentication.is_by_assertion() => false,
        // One that is switched off makes us call nobody.
        (_, Proof::Assertion(_)) if !client.active => {
            return Err(Misdeed::ClientInactive { basic });
        }
        (_, Proof::Assertion(assertion)) => {
            assertion::verify(call, &client, assertion).await?;
            true
        }
        (ClientAuthentication::Secret { .. }, Proof::Nothing) => false,
        (ClientAuthentication::PrivateKeyJwt, _) => false,
    };
    match (proved, client.active) {
        (true, true) => Ok(AuthenticatedClient(client)),
        (true, false) => Err(Misdeed::ClientInactive { basic }),
        (false, _) => Err(Misdeed::ClientUnproved { basic }),
    }
}

/// Asks the host whether the caller may go on. Who names no client is counted by address alone.
pub(crate) fn limit(call: &Call<'_>, client_id: &str) -> Result<(), Misdeed> {
    let Call { request, now, .. } = call;
    let attempt = Attempt { endpoint: &request.path, client_id, peer: request.peer, now: *now };
    call.server.limit().check(&attempt).map_err(Misdeed::TooOften)
}

fn presented<'a>(request: &Request, parameters: &'a Parameters) -> Result<Presented<'a>, Misdeed> {
    let in_body = parameters.get("client_id");
    let secret = parameters.get("client_secret");
    let assertion = parameters.get("client_assertion");
    let mut authorizations = request.all("authorization");
    let authorization = authorizations.next();
    let ways = [secret.is_some(), assertion.is_some(), authorization.is_some()];
    if ways.into_iter().filter(|used| *used).count() > 1 || authorizations.next().is_some() {
        return Err(Misdeed::SeveralAuthentications);
    }
    if let Some(authorization) = authorization {
        let unproved = || Misdeed::ClientUnproved { basic: true };
        let (client_id, secret) = basic(authorization).ok_or_else(unproved)?;
        // Some clients repeat their id in the body beside Basic. That is no second method as long as
        // it is the same id.
        if in_body.is_some_and(|in_body| in_body != client_id) {
            return Err(Misdeed::SeveralAuthentications);
        }
        let proof = Proof::Secret(secret.into(), AuthMethod::Basic);
        return Ok(Presented { client_id, proof });
    }
    if let Some(assertion) = assertion {
        if parameters.get("client_assertion_type") != Some(assertion::TYPE) {
            return Err(Misdeed::ClientAssertion("its client_assertion_type is unknown"));
        }
        // The client_id is optional beside it, and must be its subject (RFC 7521 section 4.2).
        let claimed = assertion::claimed_client(assertion);
        let client_id = match (claimed, in_body) {
            (Some(claimed), Some(named)) if claimed != named => {
                return Err(Misdeed::ClientAssertion("it is of another client than client_id"));
            }
            (Some(claimed), _) => claimed,
            (None, _) => return Err(Misdeed::ClientAssertion("it is not a JWT with a subject")),
        };
        return Ok(Presented { client_id, proof: Proof::Assertion(assertion) });
    }
    // Whoever announces one and sends none has lost it, and is not somebody who never had one.
    if parameters.get("client_assertion_type").is_some() && secret.is_none() {
        return Err(Misdeed::ClientAssertion("it is missing beside its client_assertion_type"));
    }
    let client_id = in_body.ok_or(Misdeed::ClientNotIdentified)?.to_owned();
    let proof = match secret {
        Some(secret) => Proof::Secret(secret.into(), AuthMethod::Post),
        None => Proof::Nothing,
    };
    Ok(Presented { client_id, proof })
}

/// Reads a Basic header. Id and secret are form-encoded inside (RFC 6749 section 2.3.1); clients
/// that forget to encode agree with those that do, because generated ids and secrets have no
/// character that encoding would change.
pub(crate) fn basic(authorization: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(authorization).ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    let (id, secret) = decoded.split_at_checked(colon)?;
    let secret = decode(secret.get(1..)?).ok()?;
    let id = decode(id).ok()?;
    let sound = |text: &str| !text.is_empty() && !has_control(text);
    (sound(&id) && sound(&secret)).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id_and_secret: &str) -> Vec<u8> {
        format!("Basic {}", BASE64_STANDARD.encode(id_and_secret)).into_bytes()
    }

    #[test]
    fn both_halves_of_basic_are_form_decoded() {
        assert_eq!(basic(&header("id:secret")), Some(("id".into(), "secret".into())));
        assert_eq!(basic(&header("a%2Db:c+d%3A")), Some(("a-b".into(), "c d:".into())));
        assert_eq!(basic(b"basic aWQ6c2VjcmV0"), Some(("id".into(), "secret".into())));
    }

    #[test]
    fn a_header_that_is_not_basic_or_lacks_a_half_proves_nothing() {
        for bad in [&b"Bearer aWQ6c2VjcmV0"[..], b"Basic", b"Basic !!!", b"Basic aWQ=", b"\xff"] {
            assert_eq!(basic(bad), None);
        }
        assert_eq!(basic(&header("id:")), None);
        assert_eq!(basic(&header(":secret")), None);
        assert_eq!(basic(&header("id:%zz")), None);
        assert_eq!(basic(&header("id%00:secret")), None);
    }
}
