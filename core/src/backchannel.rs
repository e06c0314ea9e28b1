//! Telling applications that a session has ended (OpenID Connect Back-Channel Logout 1.0 section 2.5).
//!
//! Messages wait in the [`Outbox`](crate::store::Outbox). Whoever delivers takes some with a lease, sends them side by
//! side, and notes what became of each; one that dies meanwhile is followed by another when its lease has run
//! out. So a message arrives at least once, and after a recorded success never again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};

use crate::client::Client;
use crate::env::Time;
use crate::error::{Misdeed, with_sources};
use crate::event::Event;
use crate::secret::Secret;
use crate::server::AuthorizationServer;
use crate::store::{Message, Outbox, StoreError};

/// The type of a logout token, which no other token has (section 2.4).
const TYP: &str = "logout+jwt";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long a logout token lives: it is made when it is sent.
const LIFETIME: Duration = Duration::from_secs(120);
/// How long whoever has taken a message has for it.
const LEASE: Duration = Duration::from_secs(30);
/// After the first failure, and twice as long after each that follows, up to an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// When a message is given up: the application's own session has hardly outlived that.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// How much of an answer is read: nobody looks at it.
const MAX_ANSWER: usize = 4096;

/// A message that is due, and is this caller's to deliver now.
#[derive(Debug)]
#[must_use = "nobody else delivers it until its lease has run out"]
pub struct Delivery {
    server: AuthorizationServer,
    message: Message,
}

impl AuthorizationServer {
    /// At most `limit` messages that are due. Deliver them side by side, so that a receiver that hangs delays no
    /// other. The adapters' `serve` and `maintain` do all of it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn due_deliveries(&self, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let Some(outbox) = self.outbox() else { return Ok(Vec::new()) };
        self.reported(self.take_due(outbox, limit).await)
    }

    async fn take_due(
        &self,
        outbox: &dyn Outbox,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let now = self.now();
        let claimed = outbox.claim(self.issuer(), now, now.plus(LEASE), limit).await?;
        let mut due = Vec::new();
        for message in claimed {
            // Whatever has kept it from an end until now, a panic or a store, it has one.
            if message.created_at.plus(GIVEN_UP_AFTER) <= now {
                outbox.settle(&message.id, None).await?;
                let reason = "it has waited for a day".to_owned();
                self.report_undelivered(&message, true, reason);
                continue;
            }
            due.push(Delivery { server: self.clone(), message });
        }
        Ok(due)
    }

    /// Whoever delivers in the background has nobody to tell.
    fn reported<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &done {
            self.emit(&Event::DeliveryFailed { reason: with_sources(error) });
        }
        done
    }

    fn report_undelivered(&self, message: &Message, is_last: bool, reason: String) {
        let (client_id, attempts) = (&*message.client_id, message.attempts);
        self.emit(&Event::LogoutUndelivered { client_id, attempts, is_last, reason });
    }
}

impl Delivery {
    /// To which client: whoever delivers may give each a share, so that one that hangs, again and again, keeps nobody
    /// waiting. A delivery that is dropped is due again when its lease has run out.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.message.client_id
    }

    /// Sends the message, and notes what became of it.
    ///
    /// # Errors
    /// When a store fails. The message is then tried again.
    pub async fn deliver(self) -> Result<(), StoreError> {
        let Some(outbox) = self.server.outbox() else { return Ok(()) };
        self.server.reported(self.send(outbox).await)
    }

    async fn send(&self, outbox: &dyn Outbox) -> Result<(), StoreError> {
        let Self { server, message } = self;
        let client = server.client_store().find(server.issuer(), &message.client_id).await?;
        // Nobody is called for a client that is gone, switched off, or does not want to know any more.
        let target = client.filter(|client| client.active);
        let target =
            target.and_then(|client| Some((client.backchannel_logout_uri.clone()?, client)));
        let Some((uri, client)) = target else {
            outbox.settle(&message.id, None).await?;
            return Ok(());
        };
        match send(server, message, &uri, client).await {
            Ok(()) => {
                outbox.settle(&message.id, None).await?;
                server.emit(&Event::LogoutDelivered { client_id: &message.client_id });
            }
            Err(reason) => {
                let next = next_try(message, server.now());
                outbox.settle(&message.id, next).await?;
                server.report_undelivered(message, next.is_none(), reason);
            }
        }
        Ok(())
    }
}

/// When a message that has failed is tried again; `None` when it is given up.
fn next_try(message: &Message, now: Time) -> Option<Time> {
    let doublings = message.attempts.saturating_sub(1).min(20);
    let next = now.plus(FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE));
    (next < message.created_at.plus(GIVEN_UP_AFTER)).then_some(next)
}

async fn send(
    server: &AuthorizationServer,
    message: &Message,
    uri: &str,
    client: Arc<Client>,
) -> Result<(), String> {
    let token = logout_token(server, message, &client).await.map_err(|why| with_sources(&why))?;
    let form = [("logout_token", token.expose())];
    let answer = server.post(uri, &form, MAX_ANSWER).await.map_err(|why| why.to_string())?;
    match answer.status {
        200..=299 => Ok(()),
        other => Err(format!("it answered {other}")),
    }
}

/// A logout token (section 2.4): who, which session, and that it has ended. Never a nonce, so that it cannot pass for
/// an ID token.
async fn logout_token(
    server: &AuthorizationServer,
    message: &Message,
    client: &Client,
) -> Result<Secret, Misdeed> {
    let now = server.now();
    let claims = json!({
        "iss": server.issuer().as_str(),
        "sub": server.subject_for(client, &message.subject),
        "aud": client.client_id,
        "iat": now.secs(),
        "exp": now.plus(LIFETIME).secs(),
        "jti": message.id,
        "sid": server.sid_for(client, &message.sid),
        "events": {EVENT: {}},
    });
    let claims = claims.as_object().cloned().unwrap_or_else(Map::new);
    let algorithm = client.id_token_algorithm();
    Ok(server.keys().sign(algorithm, TYP, &claims, now).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::Issuer;

    #[test]
    fn pauses_grow_and_end_after_a_day() {
        let issuer = Issuer::new("https://id.example.com").unwrap();
        let text = |text: &str| text.to_owned();
        let mut message =
            Message::new(text("1"), issuer, text("c"), text("s"), text("sid"), Time::EPOCH);
        let (mut now, mut tries) = (Time::EPOCH, Vec::new());
        loop {
            message.attempts += 1;
            let Some(next) = next_try(&message, now) else { break };
            tries.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(tries.get(..4), Some(&[5, 10, 20, 40][..]));
        assert!(tries.len() > 20 && tries.iter().all(|pause| *pause <= 3600), "{tries:?}");
        assert!(now < Time::EPOCH.plus(GIVEN_UP_AFTER));
        message.attempts = u32::MAX;
        assert!(next_try(&message, Time::EPOCH).is_some());
    }
}
