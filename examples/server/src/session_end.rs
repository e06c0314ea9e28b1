//! The end of a session of this server: its applications learn of it.

use axum::http::HeaderMap;
use grantor::{Session, SignedOut};
use tracing::Instrument as _;

use crate::accounts::User;
use crate::app::App;
use crate::audit::audit;
use crate::error::StoreFailed;
use crate::session::SignedIn;

/// Ends the session of a request, if it has one, also one whose time has run out: its person says now that they are
/// gone. Answers what the browser is still to open.
pub(crate) async fn sign_out(app: &App, headers: &HeaderMap) -> Result<SignedOut, StoreFailed> {
    end_all(app, app.sessions.named(headers).await?).await
}

/// Ends sessions of this browser, in a task of its own: a browser that hangs up must not leave it half done.
pub(crate) async fn end_all(app: &App, sessions: Vec<SignedIn>) -> Result<SignedOut, StoreFailed> {
    let app = app.clone();
    let ending = async move {
        let mut signed_out = SignedOut::default();
        for session in sessions {
            let of_engine = session.to_engine();
            signed_out.frames.extend(tell(&app, Some(&of_engine)).await?.frames);
            app.sessions.end(&session).await?;
            audit!("session.ended", subject = session.user.id, "a session has ended");
            // What was approved in between.
            signed_out.frames.extend(tell(&app, Some(&of_engine)).await?.frames);
        }
        Ok(signed_out)
    };
    // Its lines in the audit are of this request all the same.
    tokio::spawn(ending.in_current_span())
        .await
        .unwrap_or_else(|error| Err(StoreFailed::because(&error)))
}

/// Ends one of a person's sessions. False when they have none of this id.
pub(crate) async fn end_one(app: &App, user: &User, id: &str) -> Result<bool, StoreFailed> {
    let session = app.sessions.one(user, id).await?;
    tell(app, session.as_ref()).await?;
    let ended = app.sessions.end_one(user, id).await?;
    if ended {
        audit!(
            "session.revoked",
            subject = user.id,
            session = id,
            "a session was ended from elsewhere"
        );
    }
    tell(app, session.as_ref()).await?;
    Ok(ended)
}

async fn tell(app: &App, session: Option<&Session>) -> Result<SignedOut, StoreFailed> {
    let Some(session) = session else { return Ok(SignedOut::default()) };
    app.server.end_session(session).await.map_err(|error| StoreFailed::of_engine(&error))
}
