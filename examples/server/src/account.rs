//! The account page: where a person is signed in, and what they let applications have.

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use grantor_axum::Reply;
use serde::Deserialize;

use crate::administration::users::end_everything;
use crate::app::App;
use crate::audit::audit;
use crate::authenticate::{Refused, authenticate, check_password};
use crate::error::StoreFailed;
use crate::origin::{Peer, is_foreign_form};
use crate::pages::{AccountView, ConsentView, own_page, render, scopes_in_words};
use crate::passwords::{Typed, check_new};
use crate::places::{in_words, places};
use crate::replies::{Submitted, foreign_form, malformed, unavailable, with_session};
use crate::session::SignedIn;
use crate::session_end::end_one;
use crate::sign_in::Wanted;

/// `GET /account`
pub(crate) async fn show(State(app): State<App>, headers: HeaderMap) -> Reply {
    match app.sessions.find(&headers, app.server.now()).await {
        Ok(Some(session)) => {
            page(&app, &session, None).await.unwrap_or_else(|error| unavailable(&error))
        }
        Ok(None) => Wanted::Account.login(),
        Err(error) => unavailable(&error),
    }
}

async fn page(app: &App, me: &SignedIn, problem: Option<&str>) -> Result<Reply, StoreFailed> {
    let sessions = places(app, &me.user, me).await?;
    let mut consents = Vec::new();
    let remembered = app.server.consents(&me.user.id).await;
    for consent in remembered.map_err(|error| StoreFailed::of_engine(&error))? {
        let client = app.server.clients().find(&consent.client_id).await;
        // A client that was removed meanwhile can still be taken off the list.
        let client = client.map_err(|error| StoreFailed::of_engine(&error))?;
        consents.push(ConsentView {
            name: client.map_or_else(|| consent.client_id.clone(), |c| c.client_name.clone()),
            scopes: scopes_in_words(&consent.scope),
            since: in_words(consent.granted_at),
            client_id: consent.client_id,
        });
    }
    let csrf = me.csrf_token("account");
    let (user, csrf) = (&me.user, &csrf);
    let page = AccountView { user, csrf, problem, sessions, consents };
    Ok(own_page(render(&page)))
}

#[derive(Deserialize)]
pub(crate) struct AccountForm {
    csrf: String,
    /// Ends this session.
    session: Option<String>,
    /// Withdraws the consent to this client.
    client_id: Option<String>,
    /// Replaces the password, when it is the right one.
    current_password: Option<Typed>,
    new_password: Option<Typed>,
}

/// `POST /account`
pub(crate) async fn change(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    form: Submitted<AccountForm>,
) -> Response {
    let Ok(Form(form)) = form else { return malformed().into_response() };
    if is_foreign_form(&app, &headers) {
        return foreign_form().into_response();
    }
    let me = match app.sessions.find(&headers, app.server.now()).await {
        Ok(Some(me)) if me.is_csrf_token("account", &form.csrf) => me,
        Ok(_) => return foreign_form().into_response(),
        Err(error) => return unavailable(&error).into_response(),
    };
    if let (Some(current), Some(new)) = (&form.current_password, &form.new_password) {
        let (current, new) = (current.expose(), new.expose());
        return change_password(&app, &me, peer, &headers, current, new).await;
    }
    let changed = async {
        if let Some(id) = &form.session {
            end_one(&app, &me.user, id).await?;
        }
        if let Some(client_id) = &form.client_id {
            let withdrawn = app.server.withdraw(&me.user.id, client_id).await;
            withdrawn.map_err(|error| StoreFailed::of_engine(&error))?;
        }
        Ok::<_, StoreFailed>(())
    };
    match changed.await {
        Ok(()) => Reply::from(grantor::Response::see_other("/account")).into_response(),
        Err(error) => unavailable(&error).into_response(),
    }
}

/// Replaces a password: whoever knew the old one is out, and this browser goes on in a new session.
async fn change_password(
    app: &App,
    me: &SignedIn,
    peer: Peer,
    headers: &HeaderMap,
    current: &str,
    new: &str,
) -> Response {
    let email = &me.user.email;
    if let Err(why) = check_new(new) {
        return not_changed(app, me, &why.to_string()).await;
    }
    // The same limits as for signing in: an open browser is no place to guess in.
    match check_password(app, email, current, peer, headers).await {
        Ok(_) => {}
        Err(Refused::Wrong) => return not_changed(app, me, "The current password is wrong.").await,
        Err(Refused::TooOften(_)) => {
            return not_changed(app, me, "Too many tries. Wait a few minutes.").await;
        }
        Err(Refused::Busy) => {
            return not_changed(app, me, "Too many people are signing in. Try again.").await;
        }
        Err(Refused::Store(error)) => return unavailable(&error).into_response(),
    }
    if let Err(error) = replace_password(app, email, new).await {
        return unavailable(&error).into_response();
    }
    audit!("password.changed", subject = me.user.id, "a person has changed their password");
    match authenticate(app, email, new, peer, headers).await {
        Ok(session) => {
            let reply = Reply::from(grantor::Response::see_other("/account"));
            with_session(app, reply, Some(&session))
        }
        Err(_) => Wanted::Account.login().into_response(),
    }
}

async fn not_changed(app: &App, me: &SignedIn, why: &str) -> Response {
    match page(app, me, Some(why)).await {
        Ok(reply) => reply.status(400).into_response(),
        Err(error) => unavailable(&error).into_response(),
    }
}

async fn replace_password(app: &App, email: &str, new: &str) -> Result<(), StoreFailed> {
    let hash = app.passwords.hash_of_new(new).await;
    let hash = hash.map_err(|why| StoreFailed::because(&why))?;
    end_everything(&app.server, &app.accounts, email, None, Some(hash)).await?;
    Ok(())
}
