//! Signing out on behalf of an application (OpenID Connect RP-Initiated Logout 1.0).
//!
//! The host's page resumes the ticket, asks the person, ends its session, and sends the answer.

use std::sync::Arc;

use crate::client::Client;
use crate::client::redirect::ValidatedRedirect;
use crate::endpoint::authorize::Refusal;
use crate::http::Response;
use crate::interaction::ticket::{Purpose, Ticket};
use crate::interaction::{InteractionError, Session};
use crate::server::AuthorizationServer;

/// An application's wish that a person be signed out.
pub struct Logout {
    client: Option<Arc<Client>>,
    redirect: Option<ValidatedRedirect>,
    state: Option<String>,
    subject: Option<String>,
    sid: Option<String>,
    server: AuthorizationServer,
    ticket: String,
}

impl AuthorizationServer {
    /// Opens the ticket of a logout request.
    ///
    /// # Errors
    /// When the ticket is not ours or too old.
    pub async fn resume_logout(&self, ticket: &str) -> Result<Logout, InteractionError> {
        self.open_logout(ticket).await.map_err(|refusal| self.refused(refusal))
    }

    async fn open_logout(&self, text: &str) -> Result<Logout, Refusal> {
        let now = self.now();
        let ticket = Ticket::open(self, Purpose::Logout, text, now).await;
        let ticket = ticket.map_err(Refusal::Machine)?.filter(|ticket| !ticket.is_expired(now));
        let ticket = ticket.ok_or(Refusal::page(
            "invalid_request",
            "This sign-out link is not valid any more. Go back to the application and start again.",
        ))?;
        let text = |name: &str| ticket.parameters.get(name).map(str::to_owned);
        let client = match text("client_id") {
            Some(client_id) => {
                let found = self.client_store().find(self.issuer(), &client_id).await;
                found
                    .map_err(|error| Refusal::Machine(error.into()))?
                    .filter(|client| client.active)
            }
            None => None,
        };
        // The client as it is now: a URI that was taken away meanwhile leads nowhere, and neither
        // does one of a client that was switched off.
        let redirect = text("post_logout_redirect_uri")
            .and_then(|uri| client.as_ref()?.validated_post_logout_redirect(&uri));
        Ok(Logout {
            client,
            redirect,
            state: text("state"),
            subject: text("sub"),
            sid: text("sid"),
            server: self.clone(),
            ticket: ticket.to_string(),
        })
    }
}

impl std::fmt::Debug for Logout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let client_id = self.client.as_ref().map(|client| client.client_id.as_str());
        f.debug_struct("Logout").field("client_id", &client_id).finish_non_exhaustive()
    }
}

impl Logout {
    /// The application that asks, when it is known.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        self.client.as_deref()
    }

    /// The ticket, for the page's form.
    #[must_use]
    pub fn ticket(&self) -> &str {
        &self.ticket
    }

    /// Where the forms of your page must be able to lead, for [`Response::with_forms_to`]: where the person goes
    /// afterwards, and the application's other places. Nowhere, when they stay.
    #[must_use]
    pub fn form_targets(&self) -> Vec<String> {
        match (&self.redirect, &self.client) {
            (Some(redirect), Some(client)) => redirect.form_targets(client),
            _ => Vec::new(),
        }
    }

    /// Whether the person must be asked: unless the request proves, by an ID token of this very
    /// session, that it comes from an application that the person is signed in to. Any page can
    /// lead a browser here, and signing somebody out is a nuisance that they should not suffer
    /// from a stranger.
    #[must_use]
    pub fn asks(&self, session: &Session) -> bool {
        let (Some(client), Some(subject), Some(sid)) = (&self.client, &self.subject, &self.sid)
        else {
            return true;
        };
        let server = &self.server;
        *sid != server.sid_for(client, &session.sid(server))
            || *subject != server.subject_for(client, &session.subject)
    }

    /// Where the person goes now that the host has ended its session: back to the application,
    /// with the `state` and nothing else (section 3), or `None` to the host's own page.
    #[must_use]
    pub fn finish(self) -> Option<Response> {
        let state = self.state.as_deref().map(|state| ("state", state));
        self.redirect.map(|redirect| Response::see_other(&redirect.with(state)))
    }
}
