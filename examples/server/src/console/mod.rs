//! The pages of administrators. They do what the API does, by the same functions, for people.

mod clients;
mod forms;
mod users;

use askama::Template;
use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use grantor_axum::Reply;

use crate::app::App;
use crate::audit::{self, audit};
use crate::origin::is_foreign_form;
use crate::pages::{failure, own_page, render};
use crate::problem::Problem;
use crate::replies::{foreign_form, malformed, unavailable};
use crate::session::SignedIn;
use crate::sign_in::Wanted;
use forms::Fields;

/// What the tokens of these forms are for.
const FORMS: &str = "console";

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/admin", get(|| async { to("/admin/clients") }))
        .route("/admin/clients", get(clients::list))
        .route("/admin/clients/new", get(clients::new).post(clients::create))
        .route("/admin/clients/{id}", get(clients::show).post(clients::act))
        .route("/admin/users", get(users::list))
        .route("/admin/users/new", get(users::new).post(users::create))
        .route("/admin/users/{id}", get(users::show).post(users::act))
}

/// An administrator who looks at a page, of their own organisation.
pub(crate) struct Administrator(SignedIn);

impl FromRequestParts<App> for Administrator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match app.sessions.find(&parts.headers, app.server.now()).await {
            Ok(Some(session)) if session.user.is_admin => {
                if let Err(wait) = app.pages.administer(&session.user.id, app.server.now()) {
                    return Err(broken(&Problem::too_often(wait)).into_response());
                }
                audit::acts(&session.user.id);
                Ok(Self(session))
            }
            Ok(Some(session)) => {
                audit!("admin.denied", subject = session.user.id, "not an administrator");
                let text = "These pages are for administrators of your organisation.";
                Err(own_page(failure("access_denied", text)).status(403).into_response())
            }
            Ok(None) => Err(Wanted::Admin.login().into_response()),
            Err(error) => Err(unavailable(&error).into_response()),
        }
    }
}

/// A form that an administrator has posted from a page of ours.
pub(crate) struct Posted {
    administrator: Administrator,
    fields: Fields,
}

impl FromRequest<App> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let administrator = Administrator::from_request_parts(&mut parts, app).await?;
        let is_foreign = is_foreign_form(app, &parts.headers);
        let fields = Fields::from_request(Request::from_parts(parts, body), app).await;
        let fields = fields.map_err(|_| malformed().into_response())?;
        if is_foreign || !administrator.0.is_csrf_token(FORMS, fields.text("csrf")) {
            return Err(foreign_form().into_response());
        }
        Ok(Self { administrator, fields })
    }
}

impl Administrator {
    fn csrf(&self) -> String {
        self.0.csrf_token(FORMS)
    }
}

/// Something that is shown once and never again.
#[derive(Template)]
#[template(path = "console/shown_once.html")]
struct ShownOnce<'a> {
    title: &'a str,
    lead: &'a str,
    rows: Vec<(&'a str, &'a str)>,
    back: &'a str,
}

fn page(template: &impl Template) -> Reply {
    own_page(render(template))
}

fn to(path: &str) -> Reply {
    Reply::from(grantor::Response::see_other(path))
}

/// The page for what cannot be done at all; a form that can be mended is shown again instead.
fn broken(problem: &Problem) -> Reply {
    let code = match problem.status() {
        404 => "not_found",
        409 => "conflict",
        429 | 503 => "temporarily_unavailable",
        _ => "invalid_request",
    };
    own_page(failure(code, &problem.for_a_person(&[]))).status(problem.status())
}
