//! The account page: where a person is signed in, and what they let applications have.

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use grantor::Time;
use grantor_axum::Reply;
use serde::Deserialize;

use crate::app::App;
use crate::error::StoreFailed;
use crate::pages::{AccountView, ConsentView, SessionView, render, scopes_in_words};
use crate::session::SignedIn;
use crate::sign_in::{Submitted, foreign_form, is_foreign_form, malformed, unavailable};

/// `GET /account`
pub(crate) async fn show(State(app): State<App>, headers: HeaderMap) -> Reply {
    match app.sessions.find(&headers, app.server.now()).await {
        Ok(Some(session)) => page(&app, &session).await.unwrap_or_else(|error| unavailable(&error)),
        Ok(None) => Reply::from(grantor::Response::see_other("/login")),
        Err(error) => unavailable(&error),
    }
}

async fn page(app: &App, me: &SignedIn) -> Result<Reply, StoreFailed> {
    let current = me.public_id();
    let sessions = app.sessions.list(&me.user, app.server.now()).await?;
    let sessions = sessions.into_iter().map(|session| SessionView {
        is_current: session.id == current,
        since: in_words(session.created_at),
        seen: in_words(session.last_seen),
        agent: session.user_agent.unwrap_or_else(|| "an unknown program".to_owned()),
        peer: session.peer.unwrap_or_default(),
        id: session.id,
    });
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
    let page = AccountView { user: &me.user, csrf: &csrf, sessions: sessions.collect(), consents };
    Ok(Reply::page(render(&page)))
}

fn in_words(at: Time) -> String {
    DateTime::<Utc>::from(at).format("%-d %B %Y, %H:%M UTC").to_string()
}

#[derive(Deserialize)]
pub(crate) struct AccountForm {
    csrf: String,
    /// Ends this session.
    session: Option<String>,
    /// Withdraws the consent to this client.
    client_id: Option<String>,
}

/// `POST /account`
pub(crate) async fn change(
    State(app): State<App>,
    headers: HeaderMap,
    form: Submitted<AccountForm>,
) -> Reply {
    let Ok(Form(form)) = form else { return malformed() };
    if is_foreign_form(&app, &headers) {
        return foreign_form();
    }
    let me = match app.sessions.find(&headers, app.server.now()).await {
        Ok(Some(me)) if me.is_csrf_token("account", &form.csrf) => me,
        Ok(_) => return foreign_form(),
        Err(error) => return unavailable(&error),
    };
    let changed = async {
        if let Some(id) = &form.session {
            app.sessions.end_one(&me.user, id).await?;
        }
        if let Some(client_id) = &form.client_id {
            let withdrawn = app.server.withdraw(&me.user.id, client_id).await;
            withdrawn.map_err(|error| StoreFailed::of_engine(&error))?;
        }
        Ok::<_, StoreFailed>(())
    };
    match changed.await {
        Ok(()) => Reply::from(grantor::Response::see_other("/account")),
        Err(error) => unavailable(&error),
    }
}
