//! The end of a session of this server: its applications learn of it first.

use axum::http::HeaderMap;
use grantor::SignedOut;

use crate::accounts::User;
use crate::app::App;
use crate::error::StoreFailed;

/// Ends the session of a request, if it has one; and says what the browser is still to open.
pub(crate) async fn sign_out(app: &App, headers: &HeaderMap) -> Result<SignedOut, StoreFailed> {
    let signed_out = match app.sessions.find(headers, app.server.now()).await? {
        Some(session) => {
            let ended = app.server.end_session(&session.to_engine()).await;
            ended.map_err(|error| StoreFailed::of_engine(&error))?
        }
        None => SignedOut::default(),
    };
    app.sessions.end(headers).await?;
    Ok(signed_out)
}

/// Ends one of a person's sessions. False when they have none of this id.
pub(crate) async fn end_one(app: &App, user: &User, id: &str) -> Result<bool, StoreFailed> {
    if let Some(session) = app.sessions.one(user, id).await? {
        let ended = app.server.end_session(&session).await;
        ended.map_err(|error| StoreFailed::of_engine(&error))?;
    }
    app.sessions.end_one(user, id).await
}
