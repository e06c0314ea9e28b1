//! The pages for clients.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use grantor::{Client, GrantType, Scope, Secret};
use grantor_axum::Reply;
use serde::Deserialize;

use super::forms::Fields;
use super::{Administrator, Posted, ShownOnce, broken, page, to};
use crate::accounts::{Organisation, new_client_id};
use crate::administration::clients::{self, Change, ClientType, NewClient, Optional};
use crate::app::App;
use crate::replies::foreign_form;

/// How many clients a page lists.
const PAGE: usize = 50;

const GRANT_TYPES: [(GrantType, &str); 4] = [
    (GrantType::AuthorizationCode, "Sign people in (authorization code)"),
    (GrantType::RefreshToken, "Stay signed in (refresh token)"),
    (GrantType::ClientCredentials, "Act for itself (client credentials)"),
    (GrantType::Implicit, "Get tokens through the browser (implicit, where the server lets it)"),
];

/// What the form calls the API's fields.
const LABELS: [(&str, &str); 6] = [
    ("name", "Name"),
    ("redirectUris", "Redirect URIs"),
    ("allowedOrigins", "Origins of its pages"),
    ("postLogoutRedirectUris", "Where people may go after signing out"),
    ("grantTypes", "What it may do"),
    ("scopes", "What it may ask for"),
];

#[derive(Template)]
#[template(path = "console/clients.html")]
struct List<'a> {
    organisation: &'a Organisation,
    clients: &'a [Arc<Client>],
    /// Where the next page begins.
    next: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct After {
    after: Option<String>,
}

/// `GET /admin/clients`
pub(super) async fn list(
    State(app): State<App>,
    Administrator(me): Administrator,
    Query(After { after }): Query<After>,
) -> Reply {
    let organisation = &me.user.organisation;
    let clients = match clients::list(&app, organisation, after, Some(PAGE)).await {
        Ok(clients) => clients,
        Err(problem) => return broken(&problem),
    };
    let next = clients.last().filter(|_| clients.len() == PAGE);
    let next = next.map(|last| last.client_id.as_str());
    page(&List { organisation, clients: &clients, next })
}

/// The form of a new client, or of one that is changed.
#[derive(Template)]
#[template(path = "console/client.html")]
struct Form<'a> {
    organisation: &'a Organisation,
    csrf: &'a str,
    problem: Option<&'a str>,
    /// The client that is changed.
    client: Option<&'a Client>,
    /// The id that a new client will have, and the proof that it was made here. So a form that is
    /// posted twice registers once.
    new: Option<(String, String)>,
    fields: Typed,
}

/// The id of a client that is about to be registered by this administrator.
fn new_id(me: &Administrator) -> (String, String) {
    let id = new_client_id();
    let proof = me.0.csrf_token(&id);
    (id, proof)
}

/// What stands in the form.
struct Typed {
    name: String,
    description: String,
    is_public: bool,
    redirect_uris: String,
    post_logout_redirect_uris: String,
    allowed_origins: String,
    scopes: Vec<Box>,
    grant_types: Vec<Box>,
    require_consent: bool,
    is_first_party: bool,
}

/// A box that may be checked.
struct Box {
    value: String,
    words: String,
    is_checked: bool,
}

impl Typed {
    fn of(client: &Client, known: &Scope) -> Self {
        Self {
            name: client.client_name.clone(),
            description: client.description.clone().unwrap_or_default(),
            is_public: client.is_public(),
            redirect_uris: client.redirect_uris.join("\n"),
            post_logout_redirect_uris: client.post_logout_redirect_uris.join("\n"),
            allowed_origins: client.allowed_origins.join("\n"),
            scopes: scopes(known, |scope| client.scope.contains(scope)),
            grant_types: grant_types(|grant_type| client.may(grant_type)),
            require_consent: client.require_consent,
            is_first_party: client.first_party,
        }
    }

    /// What was typed, when it has to be typed again.
    fn again(fields: &Fields, is_public: bool, known: &Scope) -> Self {
        let (checked, types) = (fields.checked("scope"), fields.checked("grant_type"));
        Self {
            name: fields.text("name").to_owned(),
            description: fields.text("description").to_owned(),
            is_public,
            redirect_uris: fields.text("redirect_uris").to_owned(),
            post_logout_redirect_uris: fields.text("post_logout_redirect_uris").to_owned(),
            allowed_origins: fields.text("allowed_origins").to_owned(),
            scopes: scopes(known, |scope| checked.iter().any(|have| have == scope)),
            grant_types: grant_types(|of| types.iter().any(|have| have == of.as_str())),
            require_consent: fields.is_checked("require_consent"),
            is_first_party: fields.is_checked("is_first_party"),
        }
    }
}

fn scopes(known: &Scope, is_checked: impl Fn(&str) -> bool) -> Vec<Box> {
    let as_box = |name: &str| Box {
        value: name.to_owned(),
        words: name.to_owned(),
        is_checked: is_checked(name),
    };
    known.iter().map(as_box).collect()
}

fn grant_types(is_checked: impl Fn(GrantType) -> bool) -> Vec<Box> {
    let as_box = |(grant_type, words): &(GrantType, &str)| Box {
        value: grant_type.as_str().to_owned(),
        words: (*words).to_owned(),
        is_checked: is_checked(*grant_type),
    };
    GRANT_TYPES.iter().map(as_box).collect()
}

/// `GET /admin/clients/new`
pub(super) async fn new(State(app): State<App>, me: Administrator) -> Reply {
    let mut proposal = Client::public("", "");
    proposal.scope = Scope::collect(["openid", "profile", "email"]).unwrap_or_default();
    let fields = Typed::of(&proposal, &app.server.policy().scopes);
    let organisation = &me.0.user.organisation;
    let (csrf, new) = (&me.csrf(), Some(new_id(&me)));
    page(&Form { organisation, csrf, problem: None, client: None, new, fields })
}

/// `POST /admin/clients/new`
pub(super) async fn create(State(app): State<App>, posted: Posted) -> Reply {
    let Posted { administrator: me, fields } = posted;
    let organisation = &me.0.user.organisation;
    let is_public = fields.text("client_type") != "confidential";
    let client_type = if is_public { ClientType::Public } else { ClientType::Confidential };
    let new = NewClient {
        name: fields.text("name").to_owned(),
        client_type,
        redirect_uris: fields.lines("redirect_uris"),
        allowed_origins: fields.lines("allowed_origins"),
        post_logout_redirect_uris: fields.lines("post_logout_redirect_uris"),
        grant_types: Some(fields.checked("grant_type")),
        scopes: fields.checked("scope"),
        require_pkce: true,
        require_consent: fields.is_checked("require_consent"),
        is_first_party: fields.is_checked("is_first_party"),
        is_active: true,
        optional: Optional { description: fields.optional("description"), ..Optional::default() },
    };
    let id = fields.text("id").to_owned();
    if !me.0.is_csrf_token(&id, fields.text("proof")) {
        return foreign_form();
    }
    if clients::find(&app, organisation, &id).await.is_ok() {
        // The same form again: it was registered, and its secret was shown.
        return to(&format!("/admin/clients/{id}"));
    }
    match clients::create(&app, organisation, id, new).await {
        Ok(created) => match &created.client_secret {
            Some(secret) => shown_once(&created.client, secret),
            None => to(&format!("/admin/clients/{}", created.client.client_id)),
        },
        Err(problem) if problem.status() == 400 => {
            let fields = Typed::again(&fields, is_public, &app.server.policy().scopes);
            let (csrf, problem) = (me.csrf(), Some(problem.for_a_person(&LABELS)));
            let problem = problem.as_deref();
            let new = Some(new_id(&me));
            page(&Form { organisation, csrf: &csrf, problem, client: None, new, fields })
                .status(400)
        }
        Err(problem) => broken(&problem),
    }
}

/// `GET /admin/clients/{id}`
pub(super) async fn show(
    State(app): State<App>,
    me: Administrator,
    Path(id): Path<String>,
) -> Reply {
    let organisation = &me.0.user.organisation;
    match clients::find(&app, organisation, &id).await {
        Ok(client) => {
            let fields = Typed::of(&client, &app.server.policy().scopes);
            let (csrf, client) = (me.csrf(), Some(&*client));
            page(&Form { organisation, csrf: &csrf, problem: None, client, new: None, fields })
        }
        Err(problem) => broken(&problem),
    }
}

/// `POST /admin/clients/{id}`: the button says what is to be done.
pub(super) async fn act(State(app): State<App>, Path(id): Path<String>, posted: Posted) -> Reply {
    let Posted { administrator: me, fields } = posted;
    let organisation = &me.0.user.organisation;
    let active = |is_active| Change { is_active: Some(is_active), ..Change::default() };
    let done = match fields.text("action") {
        "save" => return save(&app, &me, &id, &fields).await,
        "rotate-secret" => {
            return match clients::rotate_secret(&app, organisation, &id).await {
                Ok((client, secret)) => shown_once(&client, &secret),
                Err(problem) => broken(&problem),
            };
        }
        "remove" => {
            return match clients::remove(&app, organisation, &id).await {
                Ok(()) => to("/admin/clients"),
                Err(problem) => broken(&problem),
            };
        }
        "revoke" => clients::revoke(&app, organisation, &id).await,
        "activate" => clients::change(&app, organisation, &id, active(true)).await.map(drop),
        _ => Ok(()),
    };
    match done {
        Ok(()) => to(&format!("/admin/clients/{id}")),
        Err(problem) => broken(&problem),
    }
}

async fn save(app: &App, me: &Administrator, id: &str, fields: &Fields) -> Reply {
    let organisation = &me.0.user.organisation;
    let change = Change {
        name: Some(fields.text("name").to_owned()),
        redirect_uris: Some(fields.lines("redirect_uris")),
        allowed_origins: Some(fields.lines("allowed_origins")),
        post_logout_redirect_uris: Some(fields.lines("post_logout_redirect_uris")),
        grant_types: Some(fields.checked("grant_type")),
        scopes: Some(fields.checked("scope")),
        require_consent: Some(fields.is_checked("require_consent")),
        is_first_party: Some(fields.is_checked("is_first_party")),
        is_active: None,
        optional: Optional {
            description: Some(fields.text("description").to_owned()),
            ..Optional::default()
        },
    };
    match clients::change(app, organisation, id, change).await {
        Ok(_) => to(&format!("/admin/clients/{id}")),
        Err(problem) if problem.status() == 400 => {
            match clients::find(app, organisation, id).await {
                Ok(client) => {
                    let known = &app.server.policy().scopes;
                    let fields = Typed::again(fields, client.is_public(), known);
                    let (csrf, problem) = (me.csrf(), Some(problem.for_a_person(&LABELS)));
                    let client = Some(&*client);
                    let problem = problem.as_deref();
                    page(&Form { organisation, csrf: &csrf, problem, client, new: None, fields })
                        .status(400)
                }
                Err(problem) => broken(&problem),
            }
        }
        Err(problem) => broken(&problem),
    }
}

fn shown_once(client: &Client, secret: &Secret) -> Reply {
    page(&ShownOnce {
        title: "Save the secret",
        lead: "It is shown now and never again. If it is lost, make a new one.",
        rows: vec![("Client id", &client.client_id), ("Client secret", secret.expose())],
        back: &format!("/admin/clients/{}", client.client_id),
    })
}
