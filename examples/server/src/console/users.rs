//! The pages for people.

use askama::Template;
use axum::extract::{Path, Query, State};
use grantor::{Claims, Secret};
use grantor_axum::Reply;
use serde::Deserialize;

use super::{Administrator, Posted, ShownOnce, broken, page, to};
use crate::accounts::{Organisation, User};
use crate::administration::users::{self, Change, NewPerson};
use crate::app::App;
use crate::places::{Place, places};
use crate::problem::Problem;
use crate::replies::unavailable;

/// What the forms call the API's fields.
const LABELS: [(&str, &str); 2] = [("email", "E-mail"), ("name", "Name")];

/// How many people a page lists.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "console/users.html")]
struct List<'a> {
    organisation: &'a Organisation,
    users: &'a [User],
    email: &'a str,
    total: u64,
    before: Option<u32>,
    next: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    email: String,
    page: Option<u32>,
}

/// `GET /admin/users`
pub(super) async fn list(
    State(app): State<App>,
    Administrator(me): Administrator,
    Query(Which { email, page: number }): Query<Which>,
) -> Reply {
    let organisation = &me.user.organisation;
    let number = number.unwrap_or(1).max(1);
    let (users, total) = match app.accounts.users(organisation, &email, number, PAGE).await {
        Ok(found) => found,
        Err(error) => return unavailable(&error),
    };
    let shown = u64::from(number).saturating_mul(PAGE as u64);
    let next = Some(number.saturating_add(1)).filter(|_| shown < total);
    let before = Some(number - 1).filter(|before| *before > 0);
    page(&List { organisation, users: &users, email: &email, total, before, next })
}

#[derive(Template)]
#[template(path = "console/new_user.html")]
struct Form<'a> {
    organisation: &'a Organisation,
    csrf: &'a str,
    problem: Option<&'a str>,
    email: &'a str,
    name: &'a str,
    is_admin: bool,
}

/// `GET /admin/users/new`
pub(super) async fn new(me: Administrator) -> Reply {
    let organisation = &me.0.user.organisation;
    let (csrf, email, name) = (&me.csrf(), "", "");
    page(&Form { organisation, csrf, problem: None, email, name, is_admin: false })
}

/// `POST /admin/users/new`
pub(super) async fn create(State(app): State<App>, posted: Posted) -> Reply {
    let Posted { administrator: me, fields } = posted;
    let organisation = &me.0.user.organisation;
    let (email, name) = (fields.text("email"), fields.text("name"));
    let is_admin = fields.is_checked("is_admin");
    let name_of = Some(name.to_owned()).filter(|name| !name.is_empty());
    let new = NewPerson {
        email: email.to_owned(),
        name: name_of,
        claims: Claims::new(),
        is_admin,
        password: None,
    };
    match users::create(&app, organisation, new).await {
        Ok((user, Some(password))) => shown_once(&user, &password),
        Ok((user, None)) => to(&format!("/admin/users/{}", user.id)),
        Err(problem) if [400, 409].contains(&problem.status()) => {
            let problem = problem.for_a_person(&LABELS);
            let (csrf, problem) = (&me.csrf(), Some(problem.as_str()));
            page(&Form { organisation, csrf, problem, email, name, is_admin }).status(400)
        }
        Err(problem) => broken(&problem),
    }
}

#[derive(Template)]
#[template(path = "console/user.html")]
struct Shown<'a> {
    organisation: &'a Organisation,
    csrf: &'a str,
    problem: Option<&'a str>,
    user: &'a User,
    sessions: &'a [Place],
    /// Nobody takes their own account away.
    is_me: bool,
}

/// `GET /admin/users/{id}`
pub(super) async fn show(
    State(app): State<App>,
    me: Administrator,
    Path(id): Path<String>,
) -> Reply {
    shown(&app, &me, &id, None).await
}

async fn shown(app: &App, me: &Administrator, id: &str, problem: Option<&Problem>) -> Reply {
    let organisation = &me.0.user.organisation;
    let found = async {
        let user = users::find(app, organisation, id).await?;
        let sessions = places(app, &user, &me.0).await?;
        Ok::<_, Problem>((user, sessions))
    };
    match found.await {
        Ok((user, sessions)) => {
            let is_me = user.id == me.0.user.id;
            let (csrf, status) = (&me.csrf(), problem.map_or(200, Problem::status));
            let problem = problem.map(|problem| problem.for_a_person(&LABELS));
            let (problem, user, sessions) = (problem.as_deref(), &user, &*sessions);
            page(&Shown { organisation, csrf, problem, user, sessions, is_me }).status(status)
        }
        Err(problem) => broken(&problem),
    }
}

/// `POST /admin/users/{id}`: the button says what is to be done.
pub(super) async fn act(State(app): State<App>, Path(id): Path<String>, posted: Posted) -> Reply {
    let Posted { administrator: me, fields } = posted;
    if !fields.text("session").is_empty() {
        let organisation = &me.0.user.organisation;
        return match users::end_session(&app, organisation, &id, fields.text("session")).await {
            // One that has ended meanwhile is what was wanted.
            Ok(_) => to(&format!("/admin/users/{id}")),
            Err(problem) => broken(&problem),
        };
    }
    let change = match fields.text("action") {
        "save" => Change {
            name: Some(fields.text("name").to_owned()),
            // Nobody's own box is shown.
            is_admin: (id != me.0.user.id).then(|| fields.is_checked("is_admin")),
            ..Change::default()
        },
        "lock" => Change { is_active: Some(false), ..Change::default() },
        "unlock" => Change { is_active: Some(true), ..Change::default() },
        "reset-password" => {
            return match users::reset_password(&app, &me.0.user.organisation, &id).await {
                Ok((user, password)) => shown_once(&user, &password),
                Err(problem) => broken(&problem),
            };
        }
        _ => Change::default(),
    };
    match users::change(&app, &me.0.user, &id, change).await {
        Ok(_) => to(&format!("/admin/users/{id}")),
        Err(problem) if [400, 409].contains(&problem.status()) => {
            shown(&app, &me, &id, Some(&problem)).await
        }
        Err(problem) => broken(&problem),
    }
}

fn shown_once(user: &User, password: &Secret) -> Reply {
    page(&ShownOnce {
        title: "Hand over the password",
        lead: "It is shown now and never again. If it is lost, make a new one.",
        rows: vec![("E-mail", &user.email), ("Password", password.expose())],
        back: &format!("/admin/users/{}", user.id),
    })
}
