//! Client authentication: one function for every endpoint (RFC 6749 section 2.3).

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{AuthMethod, Client, ClientAuthentication};
use crate::endpoint::Call;
use crate::env::Time;
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
    secret: Option<std::borrow::Cow<'a, str>>,
    method: AuthMethod,
}

/// Finds out which client calls, and demands its proof.
///
/// A stranger learns nothing: an unknown client, an inactive one, a wrong secret and a wrong way
/// of sending it are answered with the same bytes, after the same work. (Only who may read the
/// answer in a browser differs, which a client's own pages can find out anyway.)
pub(crate) async fn authenticate_client(
    call: &mut Call<'_>,
    parameters: &Parameters,
) -> Result<AuthenticatedClient, Misdeed> {
    let presented = presented(call.request, parameters)?;
    let basic = presented.method == AuthMethod::Basic;
    limit(call, &presented.client_id)?;
    let found = call.server.client_store().find(call.server.issuer(), &presented.client_id).await?;
    let Some(client) = found else {
        // The same digest and comparison as for a known client.
        let decoy = SecretDigest::of_text("");
        let _ = presented.secret.is_some_and(|secret| decoy.matches(&secret));
        return Err(Misdeed::ClientUnknown { basic });
    };
    call.client = Some(client.clone());
    let proved = match (&client.authentication, &presented.secret) {
        // A secret for a client that has none is a mistake worth refusing: somebody believes that
        // it protects them.
        (ClientAuthentication::None, secret) => secret.is_none(),
        (ClientAuthentication::Secret { .. }, None) => false,
        (ClientAuthentication::Secret { secrets, method }, Some(secret)) => {
            let right_way = method.is_none_or(|method| method == presented.method);
            let live = |at: Option<Time>| at.is_none_or(|at| call.now < at);
            // Every digest is compared, so that time does not tell which one matched.
            let matches = secrets.iter().fold(false, |found, entry| {
                (entry.digest.matches(secret) && live(entry.expires_at)) | found
            });
            matches && right_way
        }
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
    let mut authorizations = request.all("authorization");
    let Some(authorization) = authorizations.next() else {
        let client_id = in_body.ok_or(Misdeed::ClientNotIdentified)?.to_owned();
        let method = if secret.is_some() { AuthMethod::Post } else { AuthMethod::None };
        return Ok(Presented { client_id, secret: secret.map(Into::into), method });
    };
    if authorizations.next().is_some() {
        return Err(Misdeed::SeveralAuthentications);
    }
    let unproved = || Misdeed::ClientUnproved { basic: true };
    let (client_id, basic_secret) = basic(authorization).ok_or_else(unproved)?;
    // Some clients repeat their id in the body beside Basic. That is no second method as long as
    // it is the same id and no second secret.
    if secret.is_some() || in_body.is_some_and(|in_body| in_body != client_id) {
        return Err(Misdeed::SeveralAuthentications);
    }
    Ok(Presented { client_id, secret: Some(basic_secret.into()), method: AuthMethod::Basic })
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
