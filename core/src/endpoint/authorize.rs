//! The authorization endpoint (RFC 6749 section 3.1, OpenID Connect Core section 3.1.2).
//!
//! It validates, seals the request into a ticket and sends the browser to the host's page, which
//! knows who is signed in. It knows no session, keeps nothing and asks the token store nothing, so
//! a stranger can fill nothing and one URL may be visited twice.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;

use super::Call;
use super::request_object;
use super::response_mode::ResponseMode;
use crate::browser_state::BrowserState;
use crate::client::redirect::{RedirectMismatch, ValidatedRedirect};
use crate::client::{Client, ResponseType};
use crate::env::Time;
use crate::error::{Misdeed, with_sources};
use crate::event::Event;
use crate::grant::Challenge;
use crate::http::{Method, Parameters, Request, Response, has_control};
use crate::interaction::ticket::{Purpose, Ticket};
use crate::interaction::to_interaction;
use crate::scope::{OPENID_SCOPES, Scope};
use crate::server::{AuthorizationServer, PageError};
use crate::token::claims_request::{ClaimsByName, ClaimsRequest};
use crate::token::{audience, claims, id_token, jwt};

/// The longest `state` or `nonce`.
const MAX_OPAQUE: usize = 2048;
/// How many words of a list of wishes are looked at.
const MAX_WORDS: usize = 16;

/// The parameters that the engine knows. Others are ignored and not kept.
pub(crate) const PARAMETERS: [&str; 19] = [
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "resource",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "login_hint",
    "id_token_hint",
    "acr_values",
    "claims",
    "ui_locales",
    "claims_locales",
    "display",
];

pub(crate) async fn answer(mut call: Call<'_>) -> Response {
    let result = respond(&mut call).await;
    call.conclude_for_a_person(result)
}

async fn respond(call: &mut Call<'_>) -> Result<Response, Refusal> {
    let parameters = parameters(call.request)?;
    let client = find_client(call.server, &parameters).await?;
    call.client = Some(client.clone());
    let ticket = match returning(call, &parameters).await? {
        // What the ticket holds was taken out of its request object before.
        Some(ticket) => {
            AuthorizationRequest::validate(call.server, &ticket.parameters, &client)?;
            ticket.into_returned(call.server).map_err(Refusal::Machine)?
        }
        None => {
            let parameters =
                request_object::resolve(call.server, parameters, &client, call.now).await?;
            let request = AuthorizationRequest::validate(call.server, &parameters, &client)?;
            request.ticket(call.server, &parameters, call.now)?
        }
    };
    Ok(to_interaction(call.server, &ticket))
}

/// The ticket of [`crate::Pending::authorize_url`], when it is ours, has not expired and is for this
/// very request. A fresh login since then is fresh enough, and nobody is asked for ever. Any other
/// ticket is ignored like every unknown parameter.
async fn returning(call: &Call<'_>, parameters: &Parameters) -> Result<Option<Ticket>, Refusal> {
    let Some(text) = parameters.get("ticket") else { return Ok(None) };
    let ticket = Ticket::open(call.server, Purpose::Authorization, text, call.now).await;
    let ticket = ticket.map_err(Refusal::Machine)?;
    Ok(ticket.filter(|ticket| {
        !ticket.is_expired(call.now) && ticket.query() == parameters.encode_only(&PARAMETERS)
    }))
}

/// GET takes the query, POST the body; never both, for a parameter in both places would be two.
pub(crate) fn parameters(request: &Request) -> Result<Parameters, Refusal> {
    let parameters = match request.method {
        Method::Get | Method::Head => request.query_parameters(),
        Method::Post if request.query.as_ref().is_some_and(|query| !query.is_empty()) => {
            Err(Misdeed::ParametersInQuery)
        }
        Method::Post => request.form_parameters(),
        _ => {
            return Err(Refusal::Machine(Misdeed::Method("GET, HEAD, POST")));
        }
    };
    parameters.map_err(|_| Refusal::page("invalid_request", "The request is malformed."))
}

/// The client of an authorization request: known and active, or nobody is redirected anywhere.
pub(crate) async fn find_client(
    server: &AuthorizationServer,
    parameters: &Parameters,
) -> Result<std::sync::Arc<Client>, Refusal> {
    let client_id = parameters
        .get("client_id")
        .ok_or(Refusal::page("invalid_request", "The client_id is missing."))?;
    let found = server.client_store().find(server.issuer(), client_id).await;
    found
        .map_err(|error| Refusal::Machine(error.into()))?
        .filter(|client| client.active)
        .ok_or(Refusal::page("invalid_client", "This application is not registered here."))
}

/// An authorization request that was found valid for its client.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationRequest {
    pub(crate) redirect: Redirect,
    pub(crate) redirect_uri_named: bool,
    pub(crate) response_type: ResponseType,
    /// What the person is asked about: what is requested, and the scopes behind claims that are asked for by
    /// name.
    pub(crate) scope: Scope,
    /// The scope that the request names, as far as the client may have it.
    pub(crate) requested: Scope,
    /// Whom its access tokens are to be for; empty for all that the client may reach (RFC 8707).
    pub(crate) resources: Vec<String>,
    pub(crate) claims: ClaimsByName,
    pub(crate) nonce: Option<String>,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) prompt: HashSet<Prompt>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) login_hint: Option<String>,
    /// The context classes that the client wishes for, the best first.
    pub(crate) acr_values: Vec<String>,
    /// Those of which one must have been reached.
    pub(crate) essential_acr: Option<Vec<String>>,
    /// The languages that the person may understand, the best first (BCP 47).
    pub(crate) ui_locales: Vec<String>,
    pub(crate) display: Option<String>,
    /// Whom the `id_token_hint` names: nobody else may be answered for (OpenID Connect Core section
    /// 3.1.2.2).
    pub(crate) hinted_subject: Option<String>,
}

/// `prompt` (OpenID Connect Core section 3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Prompt {
    None,
    Login,
    Consent,
    SelectAccount,
}

/// Where an authorization response goes: a registered URI, and the state to echo.
#[derive(Clone, Debug)]
pub(crate) struct Redirect {
    pub(crate) uri: ValidatedRedirect,
    state: Option<String>,
    mode: ResponseMode,
    /// Who is signed in, once the host has said so.
    pub(crate) browser: Option<Box<BrowserState>>,
}

impl Redirect {
    /// A response: these parameters, then `state` as it came, `iss` (RFC 9207), and `session_state` (OpenID Connect
    /// Session Management section 2).
    pub(crate) fn respond(
        &self,
        server: &AuthorizationServer,
        parameters: &[(&str, &str)],
    ) -> Response {
        let state = self.state.as_deref().map(|state| ("state", state));
        let iss = ("iss", server.issuer().as_str());
        let browser = self.browser.as_ref();
        let session_state = browser.map(|it| ("session_state", it.session_state.as_str()));
        let all = parameters.iter().copied().chain(state).chain([iss]).chain(session_state);
        let response = self.mode.send(&self.uri, all);
        match browser.and_then(|it| it.cookie.clone()) {
            Some(cookie) => response.header("set-cookie", cookie),
            None => response,
        }
    }

    pub(crate) fn error(
        &self,
        server: &AuthorizationServer,
        code: &'static str,
        description: &'static str,
    ) -> Response {
        self.respond(server, &[("error", code), ("error_description", description)])
    }
}

/// Why there is no authorization. Whether anybody may be redirected is in the type.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Client or redirect URI are not proven: a page, never a redirect (RFC 6749 section
    /// 4.1.2.1).
    Page(PageError),
    /// The error goes to the client.
    Redirected { redirect: Redirect, code: &'static str, description: &'static str },
    /// The ticket is too old: the browser enters the authorize endpoint again.
    Again(Box<Response>),
    /// None of these: the method is wrong, or a store failed.
    Machine(Misdeed),
}

impl Refusal {
    pub(crate) fn page(code: &'static str, description: &'static str) -> Self {
        Refusal::Page(PageError { code, description })
    }

    /// Tells the operator.
    pub(crate) fn report(
        &self,
        server: &AuthorizationServer,
        endpoint: &str,
        client_id: Option<&str>,
    ) {
        let reason = match self {
            Refusal::Page(PageError { code, description })
            | Refusal::Redirected { code, description, .. } => format!("{code}: {description}"),
            // To write each down would be more work than it is.
            Refusal::Machine(Misdeed::Overloaded) | Refusal::Again(_) => return,
            Refusal::Machine(misdeed) => with_sources(misdeed),
        };
        server.emit(&Event::Refused { endpoint, client_id, reason });
    }

    pub(crate) fn into_response(self, server: &AuthorizationServer, request: &Request) -> Response {
        match self {
            Refusal::Page(error) => page(server, &error, request.wants_html()),
            // A wrong method comes from no person's browser.
            Refusal::Machine(misdeed @ Misdeed::Method(_)) => misdeed.response(),
            Refusal::Machine(misdeed) if request.wants_html() => broken(server, &misdeed),
            Refusal::Redirected { redirect, code, description } => {
                redirect.error(server, code, description)
            }
            Refusal::Again(response) => *response,
            Refusal::Machine(misdeed) => misdeed.response(),
        }
    }
}

/// The error page for a failure that is not the request's fault.
fn broken(server: &AuthorizationServer, misdeed: &Misdeed) -> Response {
    let error = match misdeed.wire().status {
        408 | 413 => {
            PageError { code: "invalid_request", description: "The request is malformed." }
        }
        _ => PageError {
            code: "temporarily_unavailable",
            description: "The server cannot answer right now. Try again in a moment.",
        },
    };
    let mut response = page(server, &error, true);
    response.status = misdeed.wire().status;
    // Such as when to try again.
    let of_the_machine = misdeed.response().headers.into_iter();
    response.headers.extend(of_the_machine.filter(|(name, _)| *name == "retry-after"));
    response
}

/// The error page, or JSON for a program.
pub(crate) fn page(server: &AuthorizationServer, error: &PageError, html: bool) -> Response {
    if html {
        Response::html(400, server.error_page(error)).header(
            "content-security-policy",
            "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; \
             base-uri 'none'; form-action 'none'",
        )
    } else {
        let body = serde_json::json!({"error": error.code, "error_description": error.description});
        Response::json(400, &body)
    }
}

impl AuthorizationRequest {
    /// Seals the parameters that the engine knows. A hint that is too long to be one is dropped
    /// rather than carried along.
    fn ticket(
        &self,
        server: &AuthorizationServer,
        parameters: &Parameters,
        now: Time,
    ) -> Result<Ticket, Refusal> {
        let kept = |name: &&&str| match **name {
            "login_hint" => self.login_hint.is_some(),
            // Nobody looks at it: claims have one language here.
            "claims_locales" => false,
            _ => true,
        };
        let kept: Vec<&str> = PARAMETERS.iter().filter(kept).copied().collect();
        let encoded = parameters.encode_only(&kept);
        let sealed = Ticket::seal(server, Purpose::Authorization, &encoded, now);
        sealed.map_err(Refusal::Machine)?.map_err(|_| Refusal::Redirected {
            redirect: self.redirect.clone(),
            code: "invalid_request",
            description: "the request is too large",
        })
    }

    /// Validates a request for its client: first where an answer may go, then everything else.
    pub(crate) fn validate(
        server: &AuthorizationServer,
        parameters: &Parameters,
        client: &Client,
    ) -> Result<Self, Refusal> {
        let redirect = redirect(parameters, client)?;
        let refuse = |code, description| Refusal::Redirected {
            redirect: redirect.clone(),
            code,
            description,
        };
        let invalid = |description| refuse("invalid_request", description);
        if parameters.any_repeated() {
            return Err(invalid("a parameter is repeated"));
        }
        // The state is opaque, and the claims are JSON, which may be spread over lines.
        let values = PARAMETERS.iter().filter(|name| !["state", "claims"].contains(name));
        if values.flat_map(|name| parameters.get_all(name)).any(has_control) {
            return Err(invalid("a parameter has a control character"));
        }
        let response_type = match (parameters.get("response_type"), response_type(parameters)) {
            (None, _) => return Err(invalid("the parameter response_type is missing")),
            (Some(_), Some(known)) if server.policy().implicit || !known.is_implicit() => known,
            (Some(_), _) => {
                return Err(refuse(
                    "unsupported_response_type",
                    "this server does not answer with that response_type",
                ));
            }
        };
        if !client.may_get(response_type) {
            return Err(refuse(
                "unauthorized_client",
                "the client is not registered for this response_type",
            ));
        }
        match parameters.get("response_mode").map(ResponseMode::parse) {
            Some(None) => return Err(invalid("the response_mode is unknown")),
            Some(Some(ResponseMode::Query)) if response_type.is_implicit() => {
                return Err(invalid("tokens are not sent in a query: leave out the response_mode"));
            }
            _ => {}
        }
        let nonce = parameters.get("nonce").map(str::to_owned);
        // It alone keeps an ID token that was meant for another visit from being slipped in (OpenID Connect Core
        // section 3.2.2.1).
        if response_type.has_id_token() && nonce.is_none() {
            return Err(invalid("an id_token in the response needs a nonce"));
        }
        if nonce.as_ref().is_some_and(|nonce| nonce.len() > MAX_OPAQUE) {
            return Err(invalid("the nonce is too long"));
        }
        let claims = parameters.get("claims").map(ClaimsRequest::parse).transpose();
        let claims = claims.map_err(invalid)?.unwrap_or_default();
        let hinted = hinted_subject(server, parameters, client).map_err(invalid)?;
        if let (Some(hinted), Some(named)) = (&hinted, &claims.subject)
            && hinted != named
        {
            return Err(invalid(
                "the id_token_hint and the claims parameter name different people",
            ));
        }
        let requested = scope(parameters, client)
            .map_err(|description| refuse("invalid_scope", description))?;
        let resources = audience::asked(server, client, parameters)
            .map_err(|_| refuse("invalid_target", "a resource is not available to this client"))?;
        // There is nothing to be offline with (OpenID Connect Core section 11).
        let requested = match response_type.has_code() {
            true => requested,
            false => requested.filter(|token| token != "offline_access"),
        };
        if response_type.has_id_token() && !requested.contains("openid") {
            return Err(refuse("invalid_scope", "an id_token needs the scope openid"));
        }
        // A claim by name is no way around what the client is registered for.
        let by_name = claims.by_name.within(&client.scope);
        let behind = Scope::collect(by_name.iter().filter_map(claims::scope_of));
        let acr_values = words(parameters, "acr_values").map(str::to_owned);
        Ok(Self {
            scope: requested.union(&behind.unwrap_or_default()),
            claims: by_name,
            requested,
            resources,
            acr_values: acr_values.chain(claims.acr_values).take(MAX_WORDS).collect(),
            essential_acr: claims.essential_acr,
            ui_locales: words(parameters, "ui_locales").map(str::to_owned).collect(),
            display: parameters.get("display").map(str::to_owned),
            challenge: challenge(parameters, client, response_type).map_err(invalid)?,
            prompt: prompt(parameters).map_err(invalid)?,
            max_age: max_age(parameters).map_err(invalid)?.or(client.default_max_age),
            login_hint: parameters
                .get("login_hint")
                .filter(|hint| hint.len() <= 255)
                .map(str::to_owned),
            hinted_subject: hinted.or(claims.subject),
            nonce,
            redirect_uri_named: parameters.get("redirect_uri").is_some(),
            response_type,
            redirect,
        })
    }
}

impl AuthorizationRequest {
    /// Whether a grant of this scope is an answer: a scope that only stands behind claims is nothing to grant, and
    /// an ID token is about `openid`.
    pub(crate) fn is_answered_by(&self, scope: &Scope) -> bool {
        let granted = scope.intersection(&self.requested);
        let has_openid = granted.contains("openid") || !self.response_type.has_id_token();
        !granted.is_empty() && has_openid
    }
}

pub(crate) fn redirect(parameters: &Parameters, client: &Client) -> Result<Redirect, Refusal> {
    // Twice the same parameter is no parameter: which of the two would be meant?
    if parameters.is_repeated("redirect_uri") {
        return Err(Refusal::page("invalid_request", "The redirect_uri is repeated."));
    }
    let uri =
        client.validated_redirect(parameters.get("redirect_uri")).map_err(
            |mismatch| match mismatch {
                RedirectMismatch::NotRegistered => Refusal::page(
                    "redirect_uri_mismatch",
                    "The redirect_uri is not registered for this application. It must match a \
                 registered one exactly: protocol, domain, port and path.",
                ),
                RedirectMismatch::Missing => {
                    Refusal::page("invalid_request", "The redirect_uri is missing.")
                }
            },
        )?;
    // An unknown mode is refused later, by the query: whatever comes first is answered in the mode that
    // was asked for.
    let mode = parameters.get("response_mode").and_then(ResponseMode::parse);
    let mode = ResponseMode::of(mode, response_type(parameters));
    let state = parameters.get("state").map(str::to_owned);
    if state.as_ref().is_some_and(|state| state.len() > MAX_OPAQUE) {
        return Err(Refusal::Redirected {
            redirect: Redirect { uri, state: None, mode, browser: None },
            code: "invalid_request",
            description: "the state is too long",
        });
    }
    Ok(Redirect { uri, state, mode, browser: None })
}

fn response_type(parameters: &Parameters) -> Option<ResponseType> {
    parameters.get("response_type")?.parse().ok()
}

/// Scopes that the client is not registered for are dropped, and the token response says what was
/// granted (RFC 6749 section 3.3). Without a `scope`, it is the client's registered set, but
/// never `openid`: that would turn an OAuth request into an OpenID Connect one.
fn scope(parameters: &Parameters, client: &Client) -> Result<Scope, &'static str> {
    let scope = match parameters.get("scope") {
        Some(text) => {
            Scope::parse(text).map_err(|_| "the scope is malformed")?.intersection(&client.scope)
        }
        None => client.scope.filter(|token| !OPENID_SCOPES.contains(&token)),
    };
    if scope.is_empty() {
        return Err(match parameters.get("scope") {
            Some(_) => "none of the requested scopes is available to this client",
            None => "the request names no scope",
        });
    }
    Ok(scope)
}

/// PKCE with S256 alone: `plain` would show the verifier to whoever sees the request, and a missing
/// method means `plain` (RFC 7636 section 4.3).
fn challenge(
    parameters: &Parameters,
    client: &Client,
    response_type: ResponseType,
) -> Result<Option<Challenge>, &'static str> {
    match (parameters.get("code_challenge"), parameters.get("code_challenge_method")) {
        (Some(challenge), Some("S256")) => Challenge::from_text(challenge)
            .map(Some)
            .ok_or("the code_challenge must be the base64url of a SHA-256, 43 characters"),
        (Some(_), _) => Err("code_challenge_method must be S256"),
        (None, Some(_)) => Err("code_challenge_method came without a code_challenge"),
        // Without a code there is nothing to prove.
        (None, None) if client.needs_pkce() && response_type.has_code() => {
            Err("PKCE is required: code_challenge is missing")
        }
        (None, None) => Ok(None),
    }
}

/// The words of a parameter that is a list.
fn words<'a>(parameters: &'a Parameters, name: &str) -> impl Iterator<Item = &'a str> {
    let text = parameters.get(name).filter(|text| text.len() <= MAX_OPAQUE).unwrap_or_default();
    text.split(' ').filter(|word| !word.is_empty()).take(MAX_WORDS)
}

fn prompt(parameters: &Parameters) -> Result<HashSet<Prompt>, &'static str> {
    let words = parameters.get("prompt").unwrap_or_default().split(' ').filter(|w| !w.is_empty());
    let prompt: HashSet<Prompt> = words
        .map(|word| match word {
            "none" => Ok(Prompt::None),
            "login" => Ok(Prompt::Login),
            "consent" => Ok(Prompt::Consent),
            "select_account" => Ok(Prompt::SelectAccount),
            _ => Err("the prompt is unknown"),
        })
        .collect::<Result<_, _>>()?;
    if prompt.contains(&Prompt::None) && prompt.len() > 1 {
        return Err("prompt=none goes with no other prompt");
    }
    Ok(prompt)
}

/// The subject of an ID token that this client got from us, which may have expired long ago: it only says whom
/// the client believes to be there. Another client may know the same person by another name.
fn hinted_subject(
    server: &AuthorizationServer,
    parameters: &Parameters,
    client: &Client,
) -> Result<Option<String>, &'static str> {
    let Some(hint) = parameters.get("id_token_hint") else { return Ok(None) };
    let claims = jwt::authentic(hint, id_token::TYP, &server.keys().verifying(), server.issuer())
        .map_err(|_| "the id_token_hint is not an ID token of this server")?;
    if claims.get("aud").and_then(Value::as_str) != Some(&client.client_id) {
        return Err("the id_token_hint was issued to another client");
    }
    Ok(claims.get("sub").and_then(Value::as_str).map(str::to_owned))
}

fn max_age(parameters: &Parameters) -> Result<Option<Duration>, &'static str> {
    let Some(text) = parameters.get("max_age") else { return Ok(None) };
    match text.parse::<u32>() {
        Ok(seconds) if text.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(Some(Duration::from_secs(u64::from(seconds))))
        }
        _ => Err("max_age must be a whole number of seconds"),
    }
}
