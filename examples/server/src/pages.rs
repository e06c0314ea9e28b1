//! The pages: server-rendered HTML that works without JavaScript. Templates escape by default.

use askama::Template;
use grantor::{Client, PageError, Scope};
use grantor_axum::Reply;

use crate::accounts::User;
use crate::places::Place;

/// The style sheet, compiled in.
pub(crate) const STYLE: &str = include_str!("../assets/style.css");

#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct Login<'a> {
    /// Absent when a person signs in to this server itself.
    pub(crate) ticket: &'a str,
    /// Which page comes next then.
    pub(crate) to: &'a str,
    pub(crate) client: Option<&'a ClientView<'a>>,
    pub(crate) username: &'a str,
    pub(crate) problem: Option<&'a str>,
    pub(crate) notice: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct Consent<'a> {
    pub(crate) ticket: &'a str,
    pub(crate) csrf: &'a str,
    pub(crate) client: &'a ClientView<'a>,
    pub(crate) user: &'a User,
    pub(crate) destination: &'a str,
    pub(crate) scopes: Vec<ScopeView>,
}

#[derive(Template)]
#[template(path = "sign_out.html")]
pub(crate) struct SignOut<'a> {
    pub(crate) ticket: &'a str,
    pub(crate) csrf: &'a str,
    pub(crate) client: Option<ClientView<'a>>,
    pub(crate) user: &'a User,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
pub(crate) struct SignedOut<'a> {
    /// Pages of applications that sign the person out there.
    pub(crate) frames: &'a [String],
    /// Where the person goes on then.
    pub(crate) next: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct AccountView<'a> {
    pub(crate) user: &'a User,
    pub(crate) csrf: &'a str,
    pub(crate) problem: Option<&'a str>,
    pub(crate) sessions: Vec<Place>,
    pub(crate) consents: Vec<ConsentView>,
}

/// A remembered consent in words.
pub(crate) struct ConsentView {
    pub(crate) client_id: String,
    pub(crate) name: String,
    pub(crate) scopes: Vec<ScopeView>,
    pub(crate) since: String,
}

#[derive(Template)]
#[template(path = "home.html")]
pub(crate) struct Home<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) user: Option<&'a User>,
    pub(crate) csrf: &'a str,
    /// Whether the demonstration was made.
    pub(crate) has_demo: bool,
}

#[derive(Template)]
#[template(path = "demo.html")]
pub(crate) struct Demo<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) redirect_uri: &'a str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    code: &'a str,
    description: &'a str,
}

/// What people see of a client.
pub(crate) struct ClientView<'a> {
    pub(crate) name: &'a str,
    pub(crate) initial: String,
    pub(crate) logo_uri: Option<&'a str>,
    pub(crate) policy_uri: Option<&'a str>,
    pub(crate) tos_uri: Option<&'a str>,
}

impl<'a> ClientView<'a> {
    /// What those see who understand these languages; with a logo where the server shows any.
    pub(crate) fn new(client: &'a Client, languages: &[String], logos: bool) -> Self {
        let shown = client.shown(languages);
        let initial = shown.client_name.trim().chars().next().unwrap_or('?');
        Self {
            name: shown.client_name,
            initial: initial.to_uppercase().collect(),
            logo_uri: shown.logo_uri.filter(|_| logos),
            policy_uri: shown.policy_uri,
            tos_uri: shown.tos_uri,
        }
    }

    /// A page that shows this client, whose forms lead back to it.
    pub(crate) fn page(&self, html: String, targets: &[String]) -> Reply {
        let page = grantor::Response::page(html);
        let page = page.with_forms_to(targets.iter().map(String::as_str));
        Reply::from(match self.logo_uri {
            Some(logo) => page.with_image(logo),
            None => page,
        })
    }
}

/// A page of this server's own, whose forms lead nowhere else. Nothing that it opens may reach back to it.
pub(crate) fn own_page(html: String) -> Reply {
    let page = grantor::Response::page(html).with_forms_to(std::iter::empty());
    Reply::from(page.header("cross-origin-opener-policy", "same-origin"))
}

/// A scope in words.
pub(crate) struct ScopeView {
    pub(crate) name: String,
    pub(crate) words: &'static str,
}

pub(crate) fn scopes_in_words(scope: &Scope) -> Vec<ScopeView> {
    let words = |name: &str| match name {
        "openid" => "Know who you are at this server",
        "profile" => "See your name and the rest of your profile",
        "email" => "See your e-mail address",
        "address" => "See your postal address",
        "phone" => "See your phone number",
        "offline_access" => "Keep this access while you are away",
        _ => "",
    };
    scope.iter().map(|name| ScopeView { name: name.to_owned(), words: words(name) }).collect()
}

/// The page for errors that cannot go back to the application.
pub(crate) fn error(error: &PageError) -> String {
    render(&ErrorPage { code: error.code, description: error.description })
}

/// A page for errors of this server's own forms.
pub(crate) fn failure(code: &str, description: &str) -> String {
    render(&ErrorPage { code, description })
}

/// Renders a template. A template that is compiled in only fails when memory does.
pub(crate) fn render(template: &impl Template) -> String {
    template.render().unwrap_or_default()
}
