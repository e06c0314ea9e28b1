//! The guard: protects the host's own API with this server's access tokens.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::json;

use crate::client::Client;
use crate::endpoint::cors;
use crate::endpoint::document::Document;
use crate::endpoint::userinfo::bearer;
use crate::error::{Misdeed, with_sources};
use crate::event::Event;
use crate::http::{Request, Response};
use crate::issuer::Issuer;
use crate::resource::{ResourceError, ResourceServer};
use crate::server::AuthorizationServer;
use crate::token::access_token::{self, AccessToken, Live};

/// Where a resource's metadata begins (RFC 9728 section 3).
const METADATA: &str = "/.well-known/oauth-protected-resource";

/// Checks the access tokens of requests to the host's own API.
///
/// The guard of an [`AuthorizationServer`] in the same process checks signature, type, audience, expiry and
/// scope, and that grant, client and subject still stand, so that a revocation bites at once. For an API in a
/// process of its own there is [`ResourceServer`].
///
/// It answers as RFC 6750 section 3 says, and browsers of the allowed origins may read all its answers;
/// preflights included. Those are the ones that the token's client has registered, or the resource server's.
#[derive(Clone, Debug)]
pub struct Guard {
    judge: Judge,
    scopes: Vec<String>,
    resource: Option<Issuer>,
}

/// Who knows whether a token is good.
#[derive(Clone, Debug)]
enum Judge {
    Here(AuthorizationServer),
    Elsewhere(ResourceServer),
}

impl From<&AuthorizationServer> for Guard {
    fn from(server: &AuthorizationServer) -> Self {
        Self { judge: Judge::Here(server.clone()), scopes: Vec::new(), resource: None }
    }
}

impl From<&ResourceServer> for Guard {
    fn from(server: &ResourceServer) -> Self {
        let resource = Some(server.resource().clone());
        Self { judge: Judge::Elsewhere(server.clone()), scopes: Vec::new(), resource }
    }
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
    pub fn new(of: impl Into<Self>) -> Self {
        of.into()
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
        let resource = ResourceError::url(url)?;
        let is_ours = match &self.judge {
            Judge::Here(server) => server.policy().apis.iter().any(|api| api == url),
            Judge::Elsewhere(server) => *server.resource() == resource,
        };
        if !is_ours {
            return Err(ResourceError::new(
                url,
                "no token is meant for it: add it to the policy's `apis`, or name the resource server's own",
            ));
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
        let issuer = match &self.judge {
            Judge::Here(server) => server.issuer(),
            Judge::Elsewhere(server) => server.issuer(),
        };
        let document = {
            let mut metadata = json!({
                "resource": self.resource.as_ref().map(Issuer::as_str),
                "authorization_servers": [issuer.as_str()],
                "bearer_methods_supported": ["header"],
            });
            // What has no value is left out (RFC 9728 section 3.2).
            if let (false, Some(members)) = (self.scopes.is_empty(), metadata.as_object_mut()) {
                members.insert("scopes_supported".to_owned(), self.scopes.clone().into());
            }
            Document::new(&metadata)
        };
        document.answer(request, |misdeed| self.refuse(request, None, &misdeed))
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
            let page = self.page(None, request).await;
            return Admission::Answered(cors::answer_preflight(request, methods, page));
        }
        let (client, checked) = self.check(request).await;
        let client = client.as_deref();
        let page = self.page(client, request).await;
        match checked {
            Ok(token) => {
                let bare = Response { status: 200, headers: Vec::new(), body: Vec::new() };
                let exposed = cors::expose_to(request, bare, page);
                Admission::Admitted(Box::new(token), exposed.headers)
            }
            Err(misdeed) => {
                let mut response = self.refuse(request, client, &misdeed);
                self.lead_to_metadata(&mut response);
                Admission::Answered(cors::expose_to(request, response, page))
            }
        }
    }

    async fn page(&self, client: Option<&Client>, request: &Request) -> cors::Page {
        match &self.judge {
            Judge::Here(server) => cors::page(server, client, request).await,
            Judge::Elsewhere(server) => {
                cors::origin(request).is_some_and(|origin| server.allows_origin(origin)).into()
            }
        }
    }

    fn refuse(&self, request: &Request, client: Option<&Client>, misdeed: &Misdeed) -> Response {
        let event = Event::Refused {
            endpoint: &request.path,
            client_id: client.map(|client| client.client_id.as_str()),
            reason: with_sources(misdeed),
        };
        match &self.judge {
            Judge::Here(server) => server.emit(&event),
            Judge::Elsewhere(server) => server.emit(&event),
        }
        misdeed.response()
    }

    /// The token, if it opens what this guard protects; and its client, as far as it is known here.
    async fn check(
        &self,
        request: &Request,
    ) -> (Option<Arc<Client>>, Result<AccessToken, Misdeed>) {
        let token = match bearer(request).and_then(|token| token.ok_or(Misdeed::TokenMissing)) {
            Ok(token) => token,
            Err(misdeed) => return (None, Err(misdeed)),
        };
        let (client, checked) = match &self.judge {
            Judge::Elsewhere(server) => (None, server.check(&token).await),
            Judge::Here(server) => match access_token::live(server, &token, server.now()).await {
                Ok(Live { token, client, .. }) => {
                    (Some(client), self.meant_for_us(server, Arc::unwrap_or_clone(token)))
                }
                Err(misdeed) => (None, Err(misdeed)),
            },
        };
        let checked = checked.and_then(|token| {
            match self.scopes.iter().find(|scope| !token.scope.contains(scope)) {
                Some(missing) => Err(Misdeed::TokenScope(missing.clone())),
                None => Ok(token),
            }
        });
        (client, checked)
    }

    fn meant_for_us(
        &self,
        server: &AuthorizationServer,
        token: AccessToken,
    ) -> Result<AccessToken, Misdeed> {
        let accepted = match &self.resource {
            Some(resource) => vec![resource.as_str().to_owned()],
            None => server.policy().audience(server.issuer()).map(str::to_owned).collect(),
        };
        match token.audience.iter().any(|audience| accepted.contains(audience)) {
            true => Ok(token),
            false => Err(Misdeed::TokenInvalid("it is meant for another audience")),
        }
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;
    use serde_json::json;

    use super::*;
    use crate::grant::GrantId;
    use crate::keys::Algorithm;
    use crate::secret::Secret;

    /// No configuration mints such a token yet; a leaked key of another deployment would.
    #[test]
    fn a_token_for_another_audience_opens_nothing() {
        let server = crate::unit::server();
        let mut client = Client::confidential("c", "C", &Secret::new(""));
        client.redirect_uris = vec!["https://rp.example/cb".into()];
        client.scope = crate::Scope::parse("openid").unwrap();
        block_on(server.clients().create(client)).unwrap();
        let now = server.now();
        let get = |path: &str, audience: &str| {
            let claims = json!({
                "iss": "https://id.example.com", "sub": "c", "client_id": "c", "aud": audience,
                "scope": "openid", "jti": format!("cc_{}", GrantId::from_bytes([1; 32])),
                "iat": now.secs(), "exp": now.secs() + 60,
            });
            let claims = claims.as_object().unwrap();
            let token =
                block_on(server.keys().sign(Algorithm::EdDsa, "at+jwt", claims, now)).unwrap();
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
