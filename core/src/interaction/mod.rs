//! The interaction: how an authorization request goes through the host's pages.
//!
//! The host's page resumes the ticket, says who is signed in, and gets what to do next. The types
//! are the order of events: a grant can only be approved by a [`Consent`], which only exists for a
//! session that satisfies the request. Approving without a login does not compile.
//!
//! ```no_run
//! # use grantor::{AuthorizationServer, InteractionError, Next, Response, Session};
//! # fn login_page(_: &grantor::Pending) -> Response { todo!() }
//! # fn consent_page(_: &grantor::Consent) -> Response { todo!() }
//! async fn sign_in(
//!     server: &AuthorizationServer,
//!     ticket: &str,
//!     session: Option<Session>,
//! ) -> Result<Response, InteractionError> {
//!     Ok(match server.resume(ticket).await?.proceed(session).await? {
//!         Next::SignIn(pending, _why) => login_page(&pending),
//!         Next::Consent(consent) => consent_page(&consent), // its form leads to approve or deny
//!         Next::Done(response) => response,
//!     })
//! }
//! ```

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::client::{Client, GrantType};
use crate::consent::{Ask, ConsentRequest};
use crate::endpoint::authorize::{self, AuthorizationRequest, Prompt, Refusal};
use crate::env::Time;
use crate::error::Misdeed;
use crate::event::Event;
use crate::grant::{Grant, GrantId, State, Step};
use crate::http::{Request, Response};
use crate::scope::Scope;
use crate::server::{AuthorizationServer, Denied, path};
use crate::store::{Inserted, Remembered};
use crate::subject::SubjectStatus;

mod answer;
pub(crate) mod ticket;

use ticket::{Purpose, Ticket};

/// For how long the applications of a session are remembered at most.
const NOTED: Duration = Duration::from_secs(90 * 24 * 3600);

/// Who is signed in at the host, and since when.
#[derive(Clone)]
#[non_exhaustive]
pub struct Session {
    /// The subject: an identifier that never changes and is never used again.
    pub subject: String,
    /// The host's id of this session. Only hashes of it leave the engine.
    pub id: String,
    /// When the person last proved who they are, to the millisecond.
    pub auth_time: Time,
    /// The authentication context class that was reached, if the host has any.
    pub acr: Option<String>,
    /// How they proved it (RFC 8176), such as `pwd`.
    pub amr: Vec<String>,
    /// When the session ends at the latest. Until then applications that are to be told of its end, and have no refresh
    /// token, are remembered (for 90 days at most). Others, and all without it, are for as long as their grants live.
    pub expires_at: Option<Time>,
}

impl Session {
    /// A session of a subject.
    pub fn new(subject: impl Into<String>, id: impl Into<String>, auth_time: Time) -> Self {
        let (subject, id) = (subject.into(), id.into());
        Self { subject, id, auth_time, acr: None, amr: Vec::new(), expires_at: None }
    }

    /// The session id that tokens carry: a hash, so that it is never the host's cookie. Pairwise clients get another.
    #[must_use]
    pub fn sid(&self, server: &AuthorizationServer) -> String {
        let mut hash = Sha256::new();
        hash.update(b"grantor sid\0");
        hash.update(server.issuer().as_str().as_bytes());
        hash.update(b"\0");
        hash.update(self.id.as_bytes());
        let hash = hash.finalize();
        BASE64_URL_SAFE_NO_PAD.encode(hash.get(..16).unwrap_or_default())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("subject", &self.subject)
            .field("auth_time", &self.auth_time)
            .finish_non_exhaustive()
    }
}

/// An interaction that cannot go on. Show [`InteractionError::into_response`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InteractionError {
    /// The ticket has expired or its client has changed: the response starts again, goes back to
    /// the client, or is an error page.
    #[error("the authorization request cannot go on")]
    Refused(Box<Response>),
}

impl InteractionError {
    /// What to answer the browser.
    #[must_use]
    pub fn into_response(self) -> Response {
        match self {
            InteractionError::Refused(response) => *response,
        }
    }
}

impl AuthorizationServer {
    /// Opens the ticket of an authorization request.
    ///
    /// # Errors
    /// When the ticket is not ours, too old (the response then enters the authorize endpoint
    /// again), or its client would not be allowed to ask now.
    pub async fn resume(&self, ticket: &str) -> Result<Interaction, InteractionError> {
        let opened = self.open_ticket(ticket).await;
        opened.map_err(|refusal| self.refused(refusal))
    }

    async fn open_ticket(&self, text: &str) -> Result<Interaction, Refusal> {
        let now = self.now();
        let ticket = Ticket::open(self, Purpose::Authorization, text, now).await;
        let ticket = ticket.map_err(Refusal::Machine)?;
        let ticket = ticket.ok_or(Refusal::page(
            "invalid_request",
            "This sign-in link is not valid. Go back to the application and start again.",
        ))?;
        let client = authorize::find_client(self, &ticket.parameters).await?;
        if ticket.is_expired(now) {
            let again = again(self, &ticket, &client).map_err(Refusal::Machine)?;
            return Err(Refusal::Again(Box::new(again)));
        }
        let request = AuthorizationRequest::validate(self, &ticket.parameters, &client)?;
        Ok(Interaction { server: self.clone(), client, request, ticket })
    }

    pub(crate) fn refused(&self, refusal: Refusal) -> InteractionError {
        refusal.report(self, self.interaction(), None);
        // Whoever comes here is a person with a browser.
        let response = refusal.into_response(self, &Request::get("/"));
        InteractionError::Refused(Box::new(response))
    }
}

/// Sends the browser to the authorize endpoint with the same request, as on a first visit.
fn again(
    server: &AuthorizationServer,
    ticket: &Ticket,
    client: &Client,
) -> Result<Response, Misdeed> {
    if client.require_signed_request_object {
        // Its signature is not at hand any more. The ticket is our own word that it was right.
        let fresh = Ticket::seal(server, Purpose::Authorization, &ticket.query(), server.now())?;
        if let Ok(fresh) = fresh {
            return Ok(to_interaction(server, &fresh));
        }
    }
    Ok(Response::see_other(&authorize_url(server, ticket)))
}

/// Sends the browser to the host's page.
pub(crate) fn to_interaction(server: &AuthorizationServer, ticket: &Ticket) -> Response {
    let (origin, path) = (server.issuer().origin(), server.interaction());
    Response::see_other(&format!("{origin}{path}?ticket={ticket}"))
}

fn authorize_url(server: &AuthorizationServer, ticket: &Ticket) -> String {
    format!("{}{}?{}", server.issuer(), path::AUTHORIZE, ticket.query())
}

/// A validated authorization request, before anybody said who is signed in.
pub struct Interaction {
    server: AuthorizationServer,
    client: Arc<Client>,
    request: AuthorizationRequest,
    ticket: Ticket,
}

impl std::fmt::Debug for Interaction {
    /// Neither the ticket nor the request is printed: they carry what only the client and the browser know.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interaction")
            .field("client_id", &self.client.client_id)
            .finish_non_exhaustive()
    }
}

/// What the host does next.
#[derive(Debug)]
pub enum Next {
    /// Show the login page. After the login, resume the same ticket.
    SignIn(Pending, SignInReason),
    /// Show the consent page.
    Consent(Consent),
    /// Send this response: there is nothing to ask.
    Done(Response),
}

/// Why a login is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignInReason {
    /// Nobody is signed in.
    NotSignedIn,
    /// The client wants a fresh login (`prompt=login`).
    Fresh,
    /// The last login is too long ago for the client (`max_age`).
    TooOld,
    /// The client wants the account to be chosen (`prompt=select_account`).
    SelectAccount,
    /// The account that is signed in is disabled.
    Disabled,
    /// The session is older than the account's barrier ([`SubjectStatus::Active`]).
    Ended,
    /// The client asks for another person (`id_token_hint`, or `sub` in `claims`).
    OtherPerson,
    /// The client insists on an authentication context class that the session has not reached (an
    /// essential `acr` in `claims`): see [`Pending::acr_values`]. Whoever cannot reach it calls
    /// [`Pending::cannot`].
    ContextClass,
}

impl Interaction {
    /// The client that asks, for a host that lets not everybody use every client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The ticket, for the page's form.
    #[must_use]
    pub fn ticket(&self) -> String {
        self.ticket.to_string()
    }

    /// Everything that the client asks for, before the host's policy and the person were asked.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.request.scope
    }

    /// Whom the client's access tokens are to be for, when it names them (RFC 8707): some of its
    /// [`Client::audiences`], this server and the host's APIs; empty for all of these. Nobody has to be asked
    /// about it, for it only narrows what an operator let the client reach.
    #[must_use]
    pub fn resources(&self) -> &[String] {
        &self.request.resources
    }

    /// The languages that the person may understand, the best first (BCP 47). Data, not markup.
    #[must_use]
    pub fn ui_locales(&self) -> &[String] {
        &self.request.ui_locales
    }

    /// Where the forms of your page must be able to lead, for [`Response::with_forms_to`]: the place that the person
    /// will be sent back to, and the client's other places, to which that one may redirect on.
    #[must_use]
    pub fn form_targets(&self) -> Vec<String> {
        self.request.redirect.uri.form_targets(&self.client)
    }

    /// The host that the person will be sent back to.
    #[must_use]
    pub fn destination(&self) -> String {
        self.request.redirect.uri.destination()
    }

    /// The person refuses, also where [`Interaction::proceed`] would ask no more, because they have allowed another
    /// request of the client meanwhile. Of an approval and a refusal of the same request, the first wins.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn deny(mut self, session: Session) -> Result<Response, InteractionError> {
        if let Err(misdeed) = self.note_browser(Some(&session)) {
            return Err(self.server.refused(Refusal::Machine(misdeed)));
        }
        let session = Box::new(session);
        Consent { interaction: self, session, remembered: None }.deny().await
    }

    /// Says who is signed in, and gets what to do next.
    ///
    /// # Errors
    /// When a store or the host's people cannot be asked.
    pub async fn proceed(self, session: Option<Session>) -> Result<Next, InteractionError> {
        let server = self.server.clone();
        self.next(session).await.map_err(|misdeed| server.refused(Refusal::Machine(misdeed)))
    }

    async fn next(mut self, session: Option<Session>) -> Result<Next, Misdeed> {
        let silent = self.request.prompt.contains(&Prompt::None);
        let is_fresh = session.as_ref().is_some_and(|s| s.auth_time >= self.ticket.issued_at);
        self.note_browser(session.as_ref())?;
        let session = match self.satisfying(session).await? {
            Ok(session) => session,
            Err(_) if silent => {
                return Ok(self.error("login_required", "the person must sign in"));
            }
            // They have just signed in for this very request: asking again would go on for ever.
            Err(SignInReason::ContextClass) if is_fresh => {
                return Ok(Next::Done(Pending(self).cannot()));
            }
            Err(reason) => return Ok(Next::SignIn(Pending(self), reason)),
        };
        let ask = self.apply_policy(&session.subject).await?;
        if !self.request.is_answered_by(&self.request.scope) {
            let (client_id, subject) = (&self.client.client_id, &session.subject);
            self.server.emit(&Event::DeniedByPolicy { client_id, subject });
            return Ok(self.error("access_denied", "this account may not use the client"));
        }
        if ask == Ask::Never || ask == Ask::AsRegistered && !self.client.asks_for_consent() {
            let scope = self.request.scope.clone();
            let session = Box::new(session);
            let consent = Consent { interaction: self, session, remembered: None };
            return Ok(Next::Done(consent.grant(&scope, false).await?));
        }
        let (issuer, client_id) = (self.server.issuer(), &self.client.client_id);
        let remembered =
            self.server.token_store().remembered(issuer, &session.subject, client_id).await?;
        // Nobody can tell a native application, or one that has no secret and is answered on the person's own
        // machine, from another that pretends to be it (RFC 8252 section 8.6): its consent is asked each time.
        let imitable = self.client.native
            || self.client.is_public() && !self.request.redirect.uri.is_web_host();
        let remembered = remembered.filter(|r| !imitable && r.granted_at >= self.client.valid_from);
        // Who is asked each time answers for all of it each time.
        let remembered = remembered.filter(|_| ask != Ask::Always);
        let covered = remembered.as_ref().is_some_and(|r| self.request.scope.is_within(&r.scope));
        let asked_for = self.request.prompt.contains(&Prompt::Consent);
        let session = Box::new(session);
        let consent = Consent { interaction: self, session, remembered };
        if covered && !asked_for {
            return Ok(Next::Done(consent.grant_remembered().await?));
        }
        if silent {
            return Ok(consent.interaction.error("consent_required", "the person must be asked"));
        }
        Ok(Next::Consent(consent))
    }

    /// From here on, what goes to the client says who is signed in.
    fn note_browser(&mut self, session: Option<&Session>) -> Result<(), Misdeed> {
        if self.request.requested.contains("openid") {
            let redirect = &mut self.request.redirect;
            let browser = self.server.browser_state_for(&self.client, &redirect.uri, session)?;
            redirect.browser = browser.map(Box::new);
        }
        Ok(())
    }

    /// Leaves of the request what the host lets this client have of this person.
    async fn apply_policy(&mut self, subject: &str) -> Result<Ask, Misdeed> {
        let request = ConsentRequest { client: &self.client, subject, scope: &self.request.scope };
        let decision = self.server.consent_policy().decide(&request).await?;
        self.request.scope = self.request.scope.intersection(&decision.scope);
        Ok(decision.ask)
    }

    /// The session, if it is enough for this request.
    async fn satisfying(
        &self,
        session: Option<Session>,
    ) -> Result<Result<Session, SignInReason>, Misdeed> {
        let Some(session) = session else { return Ok(Err(SignInReason::NotSignedIn)) };
        let asked = self.ticket.issued_at;
        // A login after the request was made satisfies every wish for a fresh one, so that the
        // page does not ask for ever.
        if session.auth_time < asked {
            if self.request.prompt.contains(&Prompt::Login) {
                return Ok(Err(SignInReason::Fresh));
            }
            if self.request.prompt.contains(&Prompt::SelectAccount) {
                return Ok(Err(SignInReason::SelectAccount));
            }
            if self.request.max_age.is_some_and(|age| session.auth_time.plus(age) < asked) {
                return Ok(Err(SignInReason::TooOld));
            }
        }
        let known_as = self.server.subject_for(&self.client, &session.subject);
        if self.request.hinted_subject.as_ref().is_some_and(|hinted| *hinted != known_as) {
            return Ok(Err(SignInReason::OtherPerson));
        }
        let reached =
            |wanted: &Vec<String>| session.acr.as_ref().is_some_and(|acr| wanted.contains(acr));
        if !self.request.essential_acr.as_ref().is_none_or(reached) {
            return Ok(Err(SignInReason::ContextClass));
        }
        match self.server.subjects().status(&session.subject).await? {
            SubjectStatus::Disabled => Ok(Err(SignInReason::Disabled)),
            SubjectStatus::Active { valid_from } if session.auth_time < valid_from => {
                Ok(Err(SignInReason::Ended))
            }
            SubjectStatus::Active { .. } => Ok(Ok(session)),
        }
    }

    fn error(&self, code: &'static str, description: &'static str) -> Next {
        Next::Done(self.request.redirect.error(&self.server, code, description))
    }

    fn denied(&self) -> Response {
        self.server.emit(&Event::DeniedByUser { client_id: &self.client.client_id });
        self.request.redirect.error(&self.server, "access_denied", "the person refused")
    }
}

/// A request that waits for a login.
#[derive(Debug)]
pub struct Pending(Interaction);

impl Pending {
    /// The client, for its name and logo.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Who the client thinks is there: a proposal for the user name field. Data, not markup.
    #[must_use]
    pub fn login_hint(&self) -> Option<&str> {
        self.0.request.login_hint.as_deref()
    }

    /// The context classes that the client wishes for, the best first (`acr_values`). What was reached
    /// goes into [`Session::acr`].
    #[must_use]
    pub fn acr_values(&self) -> &[String] {
        &self.0.request.acr_values
    }

    /// The languages that the person may understand, the best first (BCP 47). Data, not markup.
    #[must_use]
    pub fn ui_locales(&self) -> &[String] {
        &self.0.request.ui_locales
    }

    /// How the client would have the page shown: `page`, `popup`, `touch`, `wap`. Data, not markup.
    #[must_use]
    pub fn display(&self) -> Option<&str> {
        self.0.request.display.as_deref()
    }

    /// Whom the client's access tokens are to be for: [`Interaction::resources`].
    #[must_use]
    pub fn resources(&self) -> &[String] {
        self.0.resources()
    }

    /// The ticket, for the page's form.
    #[must_use]
    pub fn ticket(&self) -> String {
        self.0.ticket.to_string()
    }

    /// Where a login page on another host sends the browser afterwards: the authorize URL as the
    /// client asked for it, and this request's ticket, by which a login since then counts as fresh.
    /// It may be visited more than once.
    #[must_use]
    pub fn authorize_url(&self) -> String {
        let Interaction { server, ticket, .. } = &self.0;
        format!("{}&ticket={ticket}", authorize_url(server, ticket))
    }

    /// Whether the browser was sent to [`Pending::authorize_url`] and is still not signed in as the
    /// request wants it. A host that sends people to a page elsewhere shows one of its own now:
    /// sending them away again could go on for ever.
    #[must_use]
    pub fn has_returned(&self) -> bool {
        self.0.ticket.returned
    }

    /// Where the forms of your page must be able to lead, for [`Response::with_forms_to`]: the place that the person
    /// will be sent back to, and the client's other places, to which that one may redirect on.
    #[must_use]
    pub fn form_targets(&self) -> Vec<String> {
        self.0.form_targets()
    }

    /// The host that the person will be sent back to.
    #[must_use]
    pub fn destination(&self) -> String {
        self.0.request.redirect.uri.destination()
    }

    /// The person cannot authenticate as the client insists (OpenID Connect Core Error Code
    /// unmet_authentication_requirements).
    #[must_use]
    pub fn cannot(self) -> Response {
        self.0.request.redirect.error(
            &self.0.server,
            "unmet_authentication_requirements",
            "the authentication context class cannot be reached",
        )
    }

    /// The person does not want to sign in.
    #[must_use]
    pub fn deny(self) -> Response {
        self.0.denied()
    }
}

/// A request of a signed-in person that waits for their decision.
///
/// Show it on a page whose form is bound to the person's session (a CSRF token): approving must
/// come from that form and nowhere else.
#[derive(Debug)]
pub struct Consent {
    interaction: Interaction,
    session: Box<Session>,
    remembered: Option<Remembered>,
}

impl Consent {
    /// The client, for its name and logo.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.interaction.client
    }

    /// The subject who is asked.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.session.subject
    }

    /// The ticket, for the page's form.
    #[must_use]
    pub fn ticket(&self) -> String {
        self.interaction.ticket.to_string()
    }

    /// Everything that the client asks for. The scope behind a claim that it asks for by name is part of it.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.interaction.request.scope
    }

    /// Whom the client's access tokens are to be for: [`Interaction::resources`].
    #[must_use]
    pub fn resources(&self) -> &[String] {
        self.interaction.resources()
    }

    /// What of it the person has not granted before.
    #[must_use]
    pub fn new_scope(&self) -> Scope {
        match &self.remembered {
            Some(remembered) => self.scope().without(&remembered.scope),
            None => self.scope().clone(),
        }
    }

    /// The languages that the person may understand, the best first (BCP 47). Data, not markup.
    #[must_use]
    pub fn ui_locales(&self) -> &[String] {
        &self.interaction.request.ui_locales
    }

    /// Where the forms of your page must be able to lead, for [`Response::with_forms_to`]: the place that the person
    /// will be sent back to, and the client's other places, to which that one may redirect on.
    #[must_use]
    pub fn form_targets(&self) -> Vec<String> {
        self.interaction.form_targets()
    }

    /// The host that the person will be sent back to.
    #[must_use]
    pub fn destination(&self) -> String {
        self.interaction.request.redirect.uri.destination()
    }

    /// The person allows `scope`. What they granted before stays granted; nothing is granted that
    /// was not asked for. Approving one request twice answers the same code (and fresh tokens, where the request asks for some), until it is
    /// spent; then the browser is sent through the request anew.
    ///
    /// # Errors
    /// When a store or the host's people cannot be asked. Nothing is granted then.
    pub async fn approve(self, scope: &Scope) -> Result<Response, InteractionError> {
        let server = self.interaction.server.clone();
        let granted = self.grant(scope, true).await;
        granted.map_err(|misdeed| server.refused(Refusal::Machine(misdeed)))
    }

    /// The person's answer to a question that has two: all that is asked for, or nothing.
    ///
    /// # Errors
    /// As [`Consent::approve`] and [`Consent::deny`].
    pub async fn answer(self, allow: bool) -> Result<Response, InteractionError> {
        let scope = self.scope().clone();
        match allow {
            true => self.approve(&scope).await,
            false => self.deny().await,
        }
    }

    /// The person refuses. Of an approval and a refusal of the same request, the first wins.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn deny(self) -> Result<Response, InteractionError> {
        let server = self.interaction.server.clone();
        let refused = async {
            let now = server.now();
            let handle = self.interaction.ticket.grant_handle(&server, &self.session)?;
            let mut grant = self.record(&handle, &Scope::empty(), now);
            grant.state = State::Revoked;
            self.conclude(grant, handle, None).await
        };
        refused.await.map_err(|misdeed| server.refused(Refusal::Machine(misdeed)))
    }

    /// Grants what was granted before, without a page. A withdrawal that ran meanwhile ended the
    /// grants that it saw, and it may not have seen this one: so the consent must still stand once
    /// the grant is stored. When it does not, the request starts again, and asks.
    async fn grant_remembered(&self) -> Result<Response, Misdeed> {
        let Interaction { server, request, client, ticket } = &self.interaction;
        let (issuer, subject) = (server.issuer(), &self.session.subject);
        let response = self.grant(&request.scope, false).await?;
        let store = server.token_store();
        let standing = store.remembered(issuer, subject, &client.client_id).await?;
        if standing.is_some_and(|standing| request.scope.is_within(&standing.scope)) {
            return Ok(response);
        }
        let id = GrantId::of_handle(issuer, &ticket.grant_handle(server, &self.session)?);
        store.apply(id, Step::Revoke { client: None }, server.now()).await?;
        again(server, ticket, client)
    }

    async fn grant(&self, approved: &Scope, remember: bool) -> Result<Response, Misdeed> {
        let server = &self.interaction.server;
        let requested = &self.interaction.request.scope;
        let granted = match &self.remembered {
            Some(remembered) => requested.intersection(&approved.union(&remembered.scope)),
            None => requested.intersection(approved),
        };
        if !self.interaction.request.is_answered_by(&granted) {
            return Ok(self.interaction.denied());
        }
        // The time first: a barrier that moves while we look is younger than the grant.
        let now = server.now();
        let client_id = &self.interaction.client.client_id;
        let client = server.client_store().find(server.issuer(), client_id).await?;
        let subject = Some((self.session.subject.as_str(), self.session.auth_time));
        let asked = self.interaction.ticket.issued_at;
        if let Err(denied) = server.still_allowed(client, subject, asked).await? {
            return Ok(self.not_allowed(denied));
        }
        let handle = self.interaction.ticket.grant_handle(server, &self.session)?;
        let remember = remember.then(|| Remembered {
            issuer: server.issuer().clone(),
            subject: self.session.subject.clone(),
            client_id: self.interaction.client.client_id.clone(),
            scope: granted.clone(),
            granted_at: now,
        });
        let grant = self.record(&handle, &granted, now);
        self.conclude(grant, handle, remember).await
    }

    fn not_allowed(&self, denied: Denied) -> Response {
        let description = match denied {
            Denied::Client | Denied::ClientBarrier => "the client is not active",
            Denied::Subject | Denied::SubjectBarrier => "the account is not active",
        };
        self.interaction.request.redirect.error(
            &self.interaction.server,
            "access_denied",
            description,
        )
    }

    /// Stores the decision unless one stands already, and answers the one that stands.
    async fn conclude(
        &self,
        grant: Grant,
        handle: [u8; 16],
        remember: Option<Remembered>,
    ) -> Result<Response, Misdeed> {
        let server = &self.interaction.server;
        let standing = match server.token_store().insert(grant.clone(), remember).await? {
            Inserted::New => {
                if grant.state == State::Approved {
                    server.emit(&Event::Approved {
                        grant: grant.id,
                        client_id: &grant.client_id,
                        subject: &grant.subject,
                    });
                }
                grant
            }
            Inserted::Existing(existing) => *existing,
        };
        match standing.state {
            State::Revoked => return Ok(self.interaction.denied()),
            // The code was redeemed: answering it again would make the client present a spent code,
            // which ends the grant. A new visit gets a new one.
            State::Active { .. } => {
                return again(server, &self.interaction.ticket, &self.interaction.client);
            }
            State::Approved if server.now() >= standing.code_expires_at => {
                return again(server, &self.interaction.ticket, &self.interaction.client);
            }
            State::Approved => {}
        }
        let Interaction { client, request, .. } = &self.interaction;
        answer::answer(server, client, request, &standing, handle).await
    }

    /// The grant that approving makes. Every lifetime is copied in now, so that a later change of
    /// the policy moves no promise.
    fn record(&self, handle: &[u8; 16], scope: &Scope, now: Time) -> Grant {
        let Interaction { server, client, request, .. } = &self.interaction;
        let policy = server.policy();
        let refreshes = request.response_type.has_code()
            && client.may(GrantType::RefreshToken)
            && policy.refreshes(scope);
        let refresh_idle = refreshes.then(|| policy.refresh_token_idle(client));
        let code_expires_at = now.plus(policy.code_lifetime);
        let expires_at = match refresh_idle {
            Some(_) => now.plus(policy.refresh_token_absolute),
            // Long enough for the tokens of a code that is redeemed at the last moment.
            None => code_expires_at
                .plus(policy.access_token_lifetime(client).max(policy.id_token_lifetime(client))),
        };
        // A grant that is not refreshed stays only as a note that the application is part of the session: its
        // tokens have ends of their own.
        let noted_until = self.session.expires_at.filter(|_| client.is_told_of_logout());
        let noted_until = noted_until.filter(|_| refresh_idle.is_none());
        let expires_at = expires_at.max(noted_until.unwrap_or(expires_at).min(now.plus(NOTED)));
        let claims = request.claims.within(scope);
        Grant {
            id: GrantId::of_handle(server.issuer(), handle),
            issuer: server.issuer().clone(),
            client_id: client.client_id.clone(),
            subject: self.session.subject.clone(),
            // What stood behind claims alone was asked about, but it is not in the tokens.
            scope: scope.intersection(&request.requested),
            resources: request.resources.clone(),
            claims,
            redirect_uri: request.redirect.uri.as_str().to_owned(),
            redirect_uri_named: request.redirect_uri_named,
            challenge: request.challenge,
            nonce: request.nonce.clone(),
            auth_time: self.session.auth_time,
            acr: self.session.acr.clone(),
            amr: self.session.amr.clone(),
            sid: Some(self.session.sid(server)),
            approved_at: now,
            code_expires_at,
            refresh_idle,
            expires_at,
            state: State::Approved,
        }
    }
}
