//! Who may administer: the check before every call below `/v1/admin`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::accounts::Organisation;
use crate::app::App;
use crate::audit::{self, audit};
use crate::origin::is_foreign;
use crate::problem::Problem;
use crate::session::SignedIn;

/// An administrator of the organisation that the header `X-Org-Domain` names, by session cookie.
///
/// A page of another site cannot send that header without a preflight, which is refused, so no CSRF
/// token is needed; a browser that says it comes from elsewhere may change nothing all the same. A
/// token that is sent must be right.
pub(crate) struct Administrator(pub(crate) SignedIn);

impl Administrator {
    pub(crate) fn organisation(&self) -> &Organisation {
        &self.0.user.organisation
    }
}

impl FromRequestParts<App> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(session) = app.sessions.find(headers, app.server.now()).await? else {
            return Err(Problem::unauthorized("Sign in first: this needs the cerb_sid cookie."));
        };
        let slug = text("x-org-domain").filter(|slug| !slug.is_empty());
        let slug = slug.ok_or_else(|| {
            Problem::bad_request(
                "Missing X-Org-Domain header: send the short name of your organisation in it.",
            )
        })?;
        if !parts.method.is_safe() {
            let wrong_token =
                text("x-csrf-token").is_some_and(|token| !session.is_csrf_token("api", token));
            if is_foreign(app, headers) || wrong_token {
                return Err(Problem::forbidden("This request comes from a page of another site."));
            }
        }
        let Some(organisation) = app.accounts.organisation(slug).await? else {
            return Err(Problem::not_found(format!("Organisation '{slug}' not found")));
        };
        if session.user.organisation.id != organisation.id || !session.user.is_admin {
            audit!(
                "admin.denied",
                subject = session.user.id,
                organisation = organisation.id,
                "not an administrator"
            );
            return Err(Problem::forbidden("You are not an administrator of this organisation."));
        }
        app.pages.administer(&session.user.id, app.server.now()).map_err(Problem::too_often)?;
        audit::acts(&session.user.id);
        Ok(Self(session))
    }
}
