//! `GET /v1/me/profile`: who I am, by access token or by session cookie.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use grantor::Scope;
use serde_json::{Map, Value, json};

use crate::accounts::User;
use crate::administration;
use crate::app::App;
use crate::problem::{Problem, json_answer};

pub(super) fn router() -> Router<App> {
    Router::new().route("/me/profile", any(profile))
}

/// A request without a token that has a cookie, or comes from a page that is trusted with one, is
/// about a session. All others go through the guard, which also answers preflights, and tells
/// browsers whose pages may read.
async fn profile(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers();
    let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
    let may_have_session = headers.contains_key(COOKIE) || app.trusted.sent(headers);
    if is_get && may_have_session && !headers.contains_key(AUTHORIZATION) {
        let session = app.sessions.find(headers, app.server.now()).await?;
        let session = session.ok_or(Problem::unauthorized("Sign in first."))?;
        let mut answer = json_answer(200, &describe(&session.user, None, None));
        if let Ok(token) = HeaderValue::from_str(&session.csrf_token("api")) {
            answer.headers_mut().insert(HeaderName::from_static("x-csrf-token"), token);
        }
        return Ok(answer);
    }
    let (parts, _) = request.into_parts();
    let admitted = match grantor_axum::protect(&app.server).admit(&parts).await {
        Ok(admitted) => admitted,
        Err(answer) => return Ok(*answer),
    };
    let answer = if is_get {
        match admitted.token.subject.as_deref() {
            Some(subject) => match app.accounts.user_by_id(subject).await {
                Ok(Some(user)) => {
                    // As the application knows the person, which need not be as this server does.
                    let known_as = admitted.token.claims.get("sub").and_then(Value::as_str);
                    json_answer(200, &describe(&user, Some(&admitted.token.scope), known_as))
                }
                Ok(None) => Problem::not_found("This account is gone.").into_response(),
                Err(error) => Problem::from(error).into_response(),
            },
            None => Problem::forbidden("This token belongs to a client, not to a person.")
                .into_response(),
        }
    } else {
        Problem::new(405, "Method not allowed", "Use GET.").into_response()
    };
    Ok(admitted.dress(answer))
}

/// All for the person themselves; for an application what its scope covers.
fn describe(user: &User, scope: Option<&Scope>, known_as: Option<&str>) -> Value {
    let covers = |name: &str| scope.is_none_or(|scope| scope.contains(name));
    let claim = |name: &str| user.claims.get(name).cloned().unwrap_or(Value::Null);
    let mut body = Map::new();
    body.insert("id".into(), known_as.unwrap_or(&user.id).into());
    if covers("email") {
        body.insert("email".into(), user.email.as_str().into());
        body.insert("emailVerified".into(), claim("email_verified"));
    }
    if covers("profile") {
        body.insert("name".into(), user.name().into());
        for (name, of) in [
            ("firstName", "given_name"),
            ("lastName", "family_name"),
            ("given_name", "given_name"),
            ("family_name", "family_name"),
            ("picture", "picture"),
        ] {
            body.insert(name.into(), claim(of));
        }
    }
    if covers("phone") {
        body.insert("phone".into(), claim("phone_number"));
    }
    if !covers("profile") {
        return Value::Object(body);
    }
    let organisation = &user.organisation;
    body.insert(
        "organisation".into(),
        json!({"id": organisation.id, "slug": organisation.slug, "name": organisation.name}),
    );
    let (roles, permissions) = if user.is_admin {
        let role = json!({"id": "administrator", "name": "Administrator", "slug": "administrator"});
        (vec![role], administration::PERMISSIONS.to_vec())
    } else {
        (Vec::new(), Vec::new())
    };
    body.insert("roles".into(), roles.into());
    body.insert("permissions".into(), permissions.into());
    body.insert("mfaEnabled".into(), false.into());
    Value::Object(body)
}
