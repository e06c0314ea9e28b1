//! The pages where people sign in and consent: what a host does with the engine's interaction.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use grantor::{Interaction, Next, Pending, SignInReason};
use grantor_axum::Reply;
use serde::Deserialize;
use url::Url;

use crate::app::App;
use crate::authenticate::{Refused, authenticate};
use crate::origin::{Peer, is_foreign_form};
use crate::pages::{ClientView, Consent, Login, own_page, render, scopes_in_words};
use crate::passwords::Typed;
use crate::replies::{Submitted, foreign_form, malformed, unavailable, with_session};
use crate::session::SignedIn;

#[derive(Deserialize)]
pub(crate) struct TicketQuery {
    #[serde(default)]
    pub(crate) ticket: String,
}

/// Which page of ours a person wanted before they had to sign in. Never a URL: a link could lead
/// anywhere.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    Home,
    Account,
    Admin,
}

impl Wanted {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Wanted::Home => "home",
            Wanted::Account => "account",
            Wanted::Admin => "admin",
        }
    }

    fn page(self) -> Reply {
        let path = match self {
            Wanted::Home => "/",
            Wanted::Account => "/account",
            Wanted::Admin => "/admin",
        };
        Reply::from(grantor::Response::see_other(path))
    }

    /// To the login page, and then there.
    pub(crate) fn login(self) -> Reply {
        Reply::from(grantor::Response::see_other(&format!("/login?to={}", self.as_str())))
    }
}

#[derive(Deserialize)]
pub(crate) struct LoginQuery {
    #[serde(default)]
    ticket: String,
    to: Option<String>,
}

/// A word that is none of ours is none.
fn wanted(word: Option<&str>) -> Wanted {
    match word {
        Some("account") => Wanted::Account,
        Some("admin") => Wanted::Admin,
        _ => Wanted::Home,
    }
}

#[derive(Deserialize)]
pub(crate) struct LoginForm {
    #[serde(default)]
    ticket: String,
    to: Option<String>,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: Typed,
    cancel: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct ConsentForm {
    ticket: String,
    csrf: String,
    decision: String,
}

const WRONG: &str = "The e-mail or the password is wrong.";
const TOO_OFTEN: &str = "Too many tries. Wait a few minutes before the next.";
const BUSY: &str = "Too many people are signing in right now. Try again in a moment.";

/// `GET /login`
pub(crate) async fn show_login(
    State(app): State<App>,
    Query(query): Query<LoginQuery>,
    headers: HeaderMap,
) -> Reply {
    let session = match app.sessions.find(&headers, app.server.now()).await {
        Ok(session) => session,
        Err(error) => return unavailable(&error),
    };
    if query.ticket.is_empty() {
        let wanted = wanted(query.to.as_deref());
        return match session {
            Some(_) => wanted.page(),
            None => own_login_page(wanted, "", None),
        };
    }
    go_on(&app, &query.ticket, session, Step::Login).await
}

/// `POST /login`
pub(crate) async fn login(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    form: Submitted<LoginForm>,
) -> Response {
    let Ok(Form(form)) = form else { return malformed().into_response() };
    if is_foreign_form(&app, &headers) {
        return foreign_form().into_response();
    }
    let pending = match form.ticket.as_str() {
        "" => None,
        ticket => match waiting(&app, ticket).await {
            Ok(waiting) => Some(waiting),
            Err(reply) => return reply.into_response(),
        },
    };
    let pending = match (&form.cancel, pending) {
        (Some(_), Some(waiting)) => return Reply::from(waiting.pending.deny()).into_response(),
        (_, pending) => pending,
    };
    let password = form.password.expose();
    let problem = match authenticate(&app, &form.username, password, peer, &headers).await {
        Ok(session) => {
            let reply = match &pending {
                Some(_) => go_on(&app, &form.ticket, Some(session.clone()), Step::Login).await,
                None => wanted(form.to.as_deref()).page(),
            };
            return with_session(&app, reply, Some(&session));
        }
        Err(Refused::Store(error)) => return unavailable(&error).into_response(),
        Err(Refused::Wrong) => WRONG,
        Err(Refused::TooOften(_)) => TOO_OFTEN,
        Err(Refused::Busy) => BUSY,
    };
    let reply = match &pending {
        Some(pending) => pending.page(&form.username, Some(problem)),
        None => own_login_page(wanted(form.to.as_deref()), &form.username, Some(problem)),
    };
    reply.into_response()
}

/// `GET /consent`
pub(crate) async fn show_consent(
    State(app): State<App>,
    Query(query): Query<TicketQuery>,
    headers: HeaderMap,
) -> Reply {
    match app.sessions.find(&headers, app.server.now()).await {
        Ok(session) => go_on(&app, &query.ticket, session, Step::Consent).await,
        Err(error) => unavailable(&error),
    }
}

/// `POST /consent`
pub(crate) async fn decide(
    State(app): State<App>,
    headers: HeaderMap,
    form: Submitted<ConsentForm>,
) -> Reply {
    let Ok(Form(form)) = form else { return malformed() };
    let session = match app.sessions.find(&headers, app.server.now()).await {
        Ok(Some(session)) => session,
        Ok(None) => return foreign_form(),
        Err(error) => return unavailable(&error),
    };
    if is_foreign_form(&app, &headers) {
        return foreign_form();
    }
    let decided = async {
        let interaction = app.server.resume(&form.ticket).await?;
        // The token binds the decision to this session, this request and what was shown: a page of another site, a
        // page that was shown to somebody else, and a page from before the client asked for more decide nothing.
        if !session.is_csrf_token(&decision_on(&interaction), &form.csrf) {
            return Ok(foreign_form());
        }
        let engine_session = session_for(&interaction, Some(&session));
        Ok::<_, grantor::InteractionError>(match (form.decision.as_str(), engine_session) {
            ("allow", engine_session) => match interaction.proceed(engine_session).await? {
                Next::Consent(consent) => Reply::from(consent.answer(true).await?),
                Next::Done(response) => Reply::from(response),
                Next::SignIn(pending, _) => to_page("/login", &pending.ticket()),
            },
            (_, Some(engine_session)) => Reply::from(interaction.deny(engine_session).await?),
            (_, None) => to_page("/login", &interaction.ticket()),
        })
    };
    decided.await.unwrap_or_else(Reply::from)
}

/// Which page a request is for: two steps never share one URL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Login,
    Consent,
}

/// The session, for a client that this person may use: one of their own organisation. Otherwise any
/// organisation's administrator could register an application that asks nobody, and get tokens for
/// everybody.
fn session_for(interaction: &Interaction, session: Option<&SignedIn>) -> Option<grantor::Session> {
    let tenant = interaction.client().tenant.as_ref();
    let may_use =
        |session: &&SignedIn| tenant.is_none_or(|tenant| *tenant == session.user.organisation.id);
    session.filter(may_use).map(SignedIn::to_engine)
}

/// What a consent form decides on, for its token.
fn decision_on(interaction: &Interaction) -> String {
    let shown = interaction.client().shown(interaction.ui_locales());
    let (name, destination) = (shown.client_name, interaction.destination());
    format!("{} {} {destination} {name}", interaction.ticket(), interaction.scope())
}

/// Says who is signed in, and does what the engine says is next.
async fn go_on(app: &App, ticket: &str, session: Option<SignedIn>, step: Step) -> Reply {
    let user = session.as_ref().map(|session| &session.user);
    let mut decision = String::new();
    let next = async {
        let interaction = app.server.resume(ticket).await?;
        decision = decision_on(&interaction);
        let session = session_for(&interaction, session.as_ref());
        interaction.proceed(session).await
    };
    match next.await {
        Ok(Next::Done(response)) => response.into(),
        Ok(Next::SignIn(pending, reason)) if step == Step::Login => {
            if let Some(login_ui) = app.login_ui.as_deref().filter(|_| !pending.has_returned()) {
                return elsewhere(login_ui, &pending);
            }
            // Somebody is signed in, and not for this client.
            let stranger = user.is_some() && reason == SignInReason::NotSignedIn;
            Waiting { pending, reason, stranger, logos: app.logos }.page("", None)
        }
        Ok(Next::SignIn(pending, _)) => to_page("/login", &pending.ticket()),
        Ok(Next::Consent(consent)) => match (step, user, session.as_ref()) {
            (Step::Consent, Some(user), Some(session)) => {
                let ticket = consent.ticket();
                let client = ClientView::new(consent.client(), consent.ui_locales(), app.logos);
                let page = Consent {
                    ticket: &ticket,
                    csrf: &session.csrf_token(&decision),
                    client: &client,
                    user,
                    destination: &consent.destination(),
                    scopes: scopes_in_words(consent.scope()),
                };
                client.page(render(&page), &consent.form_targets())
            }
            _ => to_page("/consent", &consent.ticket()),
        },
        Err(error) => error.into(),
    }
}

/// Sends the person to the login page elsewhere, which sends them back to the authorize URL.
fn elsewhere(login_ui: &Url, pending: &Pending) -> Reply {
    let mut url = login_ui.clone();
    url.query_pairs_mut().append_pair("redirect_uri", &pending.authorize_url());
    Reply::from(grantor::Response::see_other(url.as_str()))
}

/// The request of a login form. Whoever posts one wants to sign in, whatever session there is.
async fn waiting(app: &App, ticket: &str) -> Result<Waiting, Reply> {
    match app.server.resume(ticket).await?.proceed(None).await? {
        Next::SignIn(pending, reason) => {
            Ok(Waiting { pending, reason, stranger: false, logos: app.logos })
        }
        Next::Consent(consent) => Err(to_page("/consent", &consent.ticket())),
        Next::Done(response) => Err(response.into()),
    }
}

/// A request that waits for a login.
struct Waiting {
    pending: Pending,
    reason: SignInReason,
    /// Whether the person who is signed in belongs to another organisation than the client.
    stranger: bool,
    logos: bool,
}

impl Waiting {
    fn page(&self, username: &str, problem: Option<&str>) -> Reply {
        let username = match username {
            "" => self.pending.login_hint().unwrap_or(""),
            typed => typed,
        };
        let notice = match self.reason {
            _ if self.stranger => Some(
                "This application belongs to another organisation. Sign in with an account of it.",
            ),
            SignInReason::Fresh | SignInReason::TooOld => {
                Some("Please enter your password again to continue.")
            }
            SignInReason::OtherPerson | SignInReason::SelectAccount => {
                Some("Choose the account to continue with.")
            }
            SignInReason::Disabled => Some("This account is not active. Use another one."),
            _ => None,
        };
        let client = ClientView::new(self.pending.client(), self.pending.ui_locales(), self.logos);
        let page = Login {
            ticket: &self.pending.ticket(),
            to: "",
            client: Some(&client),
            username,
            problem,
            notice: notice.filter(|_| problem.is_none()),
        };
        client.page(render(&page), &self.pending.form_targets())
    }
}

fn own_login_page(to: Wanted, username: &str, problem: Option<&str>) -> Reply {
    let page = Login { ticket: "", to: to.as_str(), client: None, username, problem, notice: None };
    own_page(render(&page))
}

fn to_page(path: &str, ticket: &str) -> Reply {
    Reply::from(grantor::Response::see_other(&format!("{path}?ticket={ticket}")))
}
