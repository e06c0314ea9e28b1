//! The guard: protects the host's own API with this server's access tokens.

use std::borrow::Cow;

use serde_json::json;

use crate::endpoint::userinfo::bearer;
use crate::endpoint::{Call, cors, jwks};
use crate::error::Misdeed;
use crate::http::{Request, Response};
use crate::issuer::Issuer;
use crate::server::AuthorizationServer;
use crate::token::access_token::{self, AccessToken, Live};

/// Where a resource's metadata begins (RFC 9728 section 3).
const METADATA: &str = "/.well-known/oauth-protected-resource";

/// Checks the access tokens of requests to the host's own API: signature, type, audience, expiry,
/// scope, and that grant, client and subject still stand, so that a revocation bites at once.
///
/// It answers as RFC 6750 section 3 says, and browsers of the client's registered origins may read
/// all its answers; preflights included.
#[derive(Clone, Debug)]
pub struct Guard {
    server: AuthorizationServer,
    scopes: Vec<String>,
    resource: Option<Issuer>,
}

/// A resource that cannot be protected.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the resource {resource:?} cannot be protected: {why}")]
pub struct ResourceError {
    resource: String,
    why: &'static str,
}

/// What the guard says to a request.
#[derive(Debug)]
pub enum Admission {
    /// The request may pass. Add the headers to the host's answer: they let the client's pages
    /// read it.
    Admitted(Box<AccessToken>, Vec<(&'static str, Cow<'static, str>)>),
    /// Answer this instead: a challenge, or the answer to a preflight.
    Answered(Response),
}

impl Guard {
    /// A guard that wants a valid token.
    #[must_use]
    pub fn new(server: &AuthorizationServer) -> Self {
        Self { server: server.clone(), scopes: Vec::new(), resource: None }
    }

    /// The guard wants this scope too.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// The guard stands before this resource (RFC 9728): an absolute URL without query, fragment or a
    /// slash at its end, which is one of [`crate::Policy::apis`]. Tokens must be meant for it, and not
    /// only for the server, and challenges lead to [`Guard::metadata`], where a client learns whom to ask.
    ///
    /// # Errors
    /// What is wrong with the URL, or that no token is meant for it.
    pub fn resource(mut self, url: &str) -> Result<Self, ResourceError> {
        let fail = |why| ResourceError { resource: url.to_owned(), why };
        let resource = Issuer::new(url).map_err(|error| fail(error.why()))?;
        if !self.server.policy().apis.iter().any(|api| api == url) {
            return Err(fail("no token is meant for it: add it to the policy's `apis`"));
        }
        self.resource = Some(resource);
        Ok(self)
    }

    /// The path where [`Guard::metadata`] is to be answered, from the root of the resource's host (RFC
    /// 9728 section 3.1). `None` without [`Guard::resource`].
    #[must_use]
    pub fn metadata_path(&self) -> Option<String> {
        self.resource.as_ref().map(|resource| format!("{METADATA}{}", resource.path()))
    }

    /// The resource's metadata (RFC 9728 section 2), for everyone. Its scopes are those of this guard:
    /// where routes of one resource want different ones, ask a guard that has them all.
    #[must_use]
    pub fn metadata(&self, request: &Request) -> Response {
        let call = Call::new(&self.server, request);
        jwks::for_everyone(&call, || {
            let mut metadata = json!({
                "resource": self.resource.as_ref().map(Issuer::as_str),
                "authorization_servers": [self.server.issuer().as_str()],
                "bearer_methods_supported": ["header"],
            });
            // What has no value is left out (RFC 9728 section 3.2).
            if let (false, Some(members)) = (self.scopes.is_empty(), metadata.as_object_mut()) {
                members.insert("scopes_supported".to_owned(), self.scopes.clone().into());
            }
            metadata
        })
    }

    /// Says in the challenge where the metadata is (RFC 9728 section 5.1).
    fn lead_to_metadata(&self, response: &mut Response) {
        let (Some(resource), Some(path)) = (&self.resource, self.metadata_path()) else { return };
        let challenges =
            response.headers.iter_mut().filter(|(name, _)| *name == "www-authenticate");
        for (_, challenge) in challenges {
            let separator = if challenge.contains(' ') { "," } else { "" };
            let url = format!("{}{path}", resource.origin());
            *challenge = format!("{challenge}{separator} resource_metadata=\"{url}\"").into();
        }
    }

    /// Judges a request by its headers; the body is not looked at.
    pub async fn admit(&self, request: &Request) -> Admission {
        if cors::is_preflight(request) {
            let methods = "GET, HEAD, POST, PUT, PATCH, DELETE";
            return Admission::Answered(cors::preflight(&self.server, request, methods).await);
        }
        let mut call = Call::new(&self.server, request);
        let checked = self.check(&mut call).await;
        let client = call.client.as_deref();
        match checked {
            Ok(token) => {
                let bare = Response { status: 200, headers: Vec::new(), body: Vec::new() };
                let exposed = cors::expose(&self.server, request, client, bare).await;
                Admission::Admitted(Box::new(token), exposed.headers)
            }
            Err(misdeed) => {
                let mut response = call.conclude(Err(misdeed));
                self.lead_to_metadata(&mut response);
                let response = cors::expose(&self.server, request, client, response).await;
                Admission::Answered(response)
            }
        }
    }

    async fn check(&self, call: &mut Call<'_>) -> Result<AccessToken, Misdeed> {
        let token = bearer(call.request)?.ok_or(Misdeed::TokenMissing)?;
        let Live { token, client } = access_token::live(&self.server, &token, call.now).await?;
        call.client = Some(client);
        let accepted = match &self.resource {
            Some(resource) => vec![resource.as_str().to_owned()],
            None => self.server.policy().audience(self.server.issuer()),
        };
        if !token.audience.iter().any(|audience| accepted.contains(audience)) {
            return Err(Misdeed::TokenInvalid("it is meant for another audience"));
        }
        match self.scopes.iter().find(|scope| !token.scope.contains(scope)) {
            Some(missing) => Err(Misdeed::TokenScope(missing.clone())),
            None => Ok(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;
    use serde_json::json;

    use super::*;
    use crate::client::Client;
    use crate::grant::GrantId;
    use crate::keys::Algorithm;
    use crate::secret::Secret;
    use crate::token::jwt;

    /// No configuration mints such a token yet; a leaked key of another deployment would.
    #[test]
    fn a_token_for_another_audience_opens_nothing() {
        let server = crate::unit::server();
        let mut client = Client::confidential("c", "C", &Secret::new(""));
        client.redirect_uris = vec!["https://rp.example/cb".into()];
        block_on(server.clients().create(client)).unwrap();
        let now = server.now();
        let get = |path: &str, audience: &str| {
            let claims = json!({
                "iss": "https://id.example.com", "sub": "c", "client_id": "c", "aud": audience,
                "scope": "openid", "jti": format!("cc_{}", GrantId::from_bytes([1; 32])),
                "iat": now.secs(), "exp": now.secs() + 60,
            });
            let ring = server.ring();
            let key = ring.signing_key(Algorithm::EdDsa, now).unwrap();
            let token = jwt::sign(key, "at+jwt", claims.as_object().unwrap()).unwrap();
            Request::get(path).header("authorization", format!("Bearer {}", token.expose()))
        };
        let (ours, other) = ("https://id.example.com", "https://elsewhere.example");
        let admitted = |audience: &str| {
            let admission = block_on(Guard::new(&server).admit(&get("/api", audience)));
            matches!(admission, Admission::Admitted(..))
        };
        assert!(admitted(ours) && !admitted(other));
        let userinfo = |aud: &str| block_on(server.handle(&get("/oauth2/userinfo", aud))).status;
        // The first is known, but belongs to no person.
        assert_eq!((userinfo(ours), userinfo(other)), (403, 401));
    }
}
