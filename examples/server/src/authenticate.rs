//! Who somebody is: the check of a password, wherever it comes in.

use std::time::Duration;

use axum::http::HeaderMap;

use crate::accounts::User;
use crate::app::App;
use crate::audit::{self, audit};
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
    let user = check_password(app, email, password, peer, headers).await?;
    audit::acts(&user.id);
    audit!("login.success", subject = user.id, "signed in");
    // A session that the browser brought along ends: it may have been planted. The person's own goes on in the new one;
    // all others end for their applications, too.
    let mut others = app.sessions.named(headers).await?;
    let own = others.iter().position(|session| session.user.id == user.id);
    let before = own.map(|own| others.remove(own));
    end_all(app, others).await?;
    if let Some(before) = &before {
        app.sessions.end(before).await?;
    }
    let device = app.devices.remember(&user, headers, now).await?;
    let mut session = app.sessions.open(user, peer, headers, now, before).await?;
    session.device = device;
    Ok(session)
}

/// Whose password this is. An unknown account, a wrong password and a disabled account take the same
/// time and get the same answer, and guessing has limits.
pub(crate) async fn check_password(
    app: &App,
    email: &str,
    password: &str,
    Peer(peer): Peer,
    headers: &HeaderMap,
) -> Result<User, Refused> {
    let now = app.server.now();
    let device = app.devices.known(headers, email, now).await?;
    let tried = app.logins.take(email, peer, device, now).map_err(|wait| {
        metrics::login("too_often");
        audit!("login.limited", wait = wait.as_secs(), "too many wrong passwords");
        Refused::TooOften(wait)
    })?;
    let mut known = None;
    let checked = async {
        let user = app.accounts.user_by_email(email).await?;
        known = user.as_ref().map(|user| user.id.clone());
        let hash = user.as_ref().map(|user| user.password.as_str());
        let right = app.passwords.verify(password, hash).await.map_err(|_| {
            audit!("overload.shed", "too many passwords are being checked");
            Refused::Busy
        })?;
        Ok::<_, Refused>(user.filter(|user| right && !user.is_disabled))
    };
    let checked = checked.await;
    if !matches!(checked, Ok(None)) {
        app.logins.give_back(tried, now);
    }
    let Some(user) = checked? else {
        metrics::login("wrong");
        // Which account it was is for the operator: the answer does not say whether there is one. What was typed is
        // not written down, for people type their password there too.
        audit!("login.failure", subject = known, "a login failed");
        return Err(Refused::Wrong);
    };
    metrics::login("right");
    keep_up(app, &user, password).await;
    Ok(user)
}

/// A password that was hashed with other settings is hashed anew while it is known. It can wait for the next time.
async fn keep_up(app: &App, user: &User, password: &str) {
    if let Some(hash) = app.passwords.rehashed(password, &user.password).await
        && let Err(error) = app.accounts.rehash(user, hash).await
    {
        tracing::warn!(%error, "a password could not be hashed anew");
    }
}
