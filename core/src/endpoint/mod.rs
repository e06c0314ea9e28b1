//! The endpoints, a file each, and what they share: one call, and its answer's CORS headers.

use std::sync::Arc;

use crate::client::Client;
use crate::endpoint::authorize::Refusal;
use crate::env::Time;
use crate::error::{Misdeed, with_sources};
use crate::event::Event;
use crate::http::{Request, Response};
use crate::server::AuthorizationServer;

pub(crate) mod authorize;
pub(crate) mod check_session;
pub(crate) mod cors;
pub(crate) mod discovery;
pub(crate) mod document;
pub(crate) mod end_session;
pub(crate) mod introspect;
pub(crate) mod jwks;
pub(crate) mod register;
pub(crate) mod request_object;
pub(crate) mod response_mode;
pub(crate) mod revoke;
pub(crate) mod token;
pub(crate) mod userinfo;

/// One request on its way through an endpoint.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a AuthorizationServer,
    pub(crate) request: &'a Request,
    pub(crate) now: Time,
    /// The client, as soon as it is known who claims to call. Its origins decide about CORS, also
    /// when the call is refused: a page that cannot read its error cannot mend it.
    pub(crate) client: Option<Arc<Client>>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(server: &'a AuthorizationServer, request: &'a Request) -> Self {
        Self { server, request, now: server.now(), client: None }
    }

    /// Turns a result into the answer, and a misdeed into an event too.
    pub(crate) fn conclude(&self, result: Result<Response, Misdeed>) -> Response {
        result.unwrap_or_else(|misdeed| {
            self.report(&misdeed);
            misdeed.response()
        })
    }

    /// The same for an endpoint that a person visits with a browser.
    pub(crate) fn conclude_for_a_person(&self, result: Result<Response, Refusal>) -> Response {
        result.unwrap_or_else(|refusal| {
            let client_id = self.client.as_ref().map(|client| client.client_id.as_str());
            refusal.report(self.server, &self.request.path, client_id);
            refusal.into_response(self.server, self.request)
        })
    }

    pub(crate) fn report(&self, misdeed: &Misdeed) {
        // To write each down would be more work than it is.
        if matches!(misdeed, Misdeed::Overloaded) {
            return;
        }
        self.server.emit(&Event::Refused {
            endpoint: &self.request.path,
            client_id: self.client.as_ref().map(|client| client.client_id.as_str()),
            reason: with_sources(misdeed),
        });
    }
}
