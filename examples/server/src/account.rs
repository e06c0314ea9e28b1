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
        agent: agent_in_words(&session.user_agent.unwrap_or_default()),
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

/// A browser and its system as people call them. The order matters: every browser pretends to be some
/// older one.
fn agent_in_words(agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        names.iter().find(|(sign, _)| agent.contains(sign)).map(|(_, name)| *name)
    };
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "a Mac"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) if agent.is_empty() => "An unknown program".to_owned(),
        (None, _) => agent.chars().take(40).collect(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_by_their_names() {
        for (agent, words) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/156.0.0.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
                "Safari on an iPhone",
            ),
            ("curl/8.5.0", "curl/8.5.0"),
            ("", "An unknown program"),
        ] {
            assert_eq!(agent_in_words(agent), words);
        }
    }
}
