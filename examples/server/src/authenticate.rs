//! Who somebody is: the check of a password, wherever it comes in.

use std::time::Duration;

use axum::http::HeaderMap;

use crate::accounts::User;
use crate::app::App;
use crate::error::StoreFailed;
use crate::metrics;
use crate::origin::Peer;
use crate::session::SignedIn;
use crate::session_end::end_all;

pub(crate) enum Refused {
    /// The account, the password, or both: nobody is told which.
    Wrong,
    /// There were too many wrong ones: this one was not even looked at.
    TooOften(Duration),
    Busy,
    Store(StoreFailed),
}

impl From<StoreFailed> for Refused {
    fn from(error: StoreFailed) -> Self {
        Refused::Store(error)
    }
}

/// Checks a password and opens a session.
pub(crate) async fn authenticate(
    app: &App,
    email: &str,
    password: &str,
    peer: Peer,
    headers: &HeaderMap,
) -> Result<SignedIn, Refused> {
    // The time before the check: a password that is replaced meanwhile moves the barrier past it.
    let now = app.server.now();
    let user = check_password(app, email, password, peer).await?;
    tracing::info!(subject = user.id, "signed in");
    // A session that the browser brought along ends: it may have been planted. The person's own goes on in the new one;
    // all others end for their applications, too.
    let mut others = app.sessions.named(headers).await?;
    let own = others.iter().position(|session| session.user.id == user.id);
    let before = own.map(|own| others.remove(own));
    end_all(app, others).await?;
    if let Some(before) = &before {
        app.sessions.end(before).await?;
    }
    Ok(app.sessions.open(user, peer, headers, now, before).await?)
}

/// Whose password this is. An unknown account, a wrong password and a disabled account take the same
/// time and get the same answer, and guessing has limits.
pub(crate) async fn check_password(
    app: &App,
    email: &str,
    password: &str,
    Peer(peer): Peer,
) -> Result<User, Refused> {
    let now = app.server.now();
    let tried = app.logins.take(email, peer, now).map_err(|wait| {
        metrics::login("too_often");
        Refused::TooOften(wait)
    })?;
    let checked = async {
        let user = app.accounts.user_by_email(email).await?;
        let hash = user.as_ref().map(|user| user.password.as_str());
        let right = app.passwords.verify(password, hash).await.map_err(|_| Refused::Busy)?;
        Ok::<_, Refused>(user.filter(|user| right && !user.is_disabled))
    };
    let checked = checked.await;
    if !matches!(checked, Ok(None)) {
        app.logins.give_back(tried, now);
    }
    let Some(user) = checked? else {
        metrics::login("wrong");
        tracing::info!("a login failed");
        return Err(Refused::Wrong);
    };
    metrics::login("right");
    Ok(user)
}
