//! The end of a person's session: which applications took part in it, what of theirs ends with it, and how they learn
//! of it (OpenID Connect Back-Channel Logout, Front-Channel Logout).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::env::Time;
use crate::event::Event;
use crate::grant::{Grant, GrantId, State, Step};
use crate::interaction::Session;
use crate::policy::EndsWithSession;
use crate::server::AuthorizationServer;
use crate::store::{Message, Owner, StoreError};

/// How many grants are looked at at once.
const PAGE: usize = 200;
/// For how long at least it is remembered that a session has ended.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 3600);

/// What is left to do for a host whose person has signed out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedOut {
    /// Pages of applications that the person's browser should open in frames, so that they sign the person out too
    /// (OpenID Connect Front-Channel Logout section 2). Show them with
    /// [`Response::with_frames`](crate::Response::with_frames), and go on after a few seconds, whether they
    /// have loaded or not.
    pub frames: Vec<String>,
}

/// An application in a session.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    client_id: String,
    sid: String,
}

impl AuthorizationServer {
    /// Ends what applications have by a session, and tells them. Call it just before the host ends its own session:
    /// should the process die in between, they were told too early rather than never.
    ///
    /// What they were granted ends as [`Policy::ends_with_session`](field@crate::Policy::ends_with_session) says. Those
    /// with a `backchannel_logout_uri` are told by the server, durably and in the background: this only
    /// writes down whom to tell.
    ///
    /// # Errors
    /// When a store fails. Some may be told then; calling again is right.
    pub async fn end_session(&self, session: &Session) -> Result<SignedOut, StoreError> {
        let of = Owner::Session(self.issuer().clone(), session.sid(self));
        self.end(&of, &session.subject).await
    }

    /// The same for all sessions of a subject, as when their account is locked or their password has changed. Nobody's
    /// browser is there to open frames. Also move the barrier of
    /// [`SubjectStatus::Active`](crate::SubjectStatus::Active), which ends all grants at once.
    ///
    /// # Errors
    /// As [`AuthorizationServer::end_session`].
    pub async fn end_sessions(&self, subject: &str) -> Result<(), StoreError> {
        let of = Owner::Subject(self.issuer().clone(), subject.to_owned());
        self.end(&of, subject).await.map(|_| ())
    }

    /// The applications that a session has let in, and whose grants of it have not ended: for a page that says where a
    /// person is signed in. In the order of their ids.
    ///
    /// # Errors
    /// When a store fails.
    pub async fn clients_in(&self, session: &Session) -> Result<Vec<Arc<Client>>, StoreError> {
        let of = Owner::Session(self.issuer().clone(), session.sid(self));
        let (mut ids, mut after) = (BTreeSet::new(), None);
        loop {
            let page = self.token_store().list(&of, after, PAGE).await?;
            let living = page.iter().filter(|grant| grant.state != State::Revoked);
            ids.extend(living.map(|grant| grant.client_id.clone()));
            match page.last() {
                Some(last) => after = Some(last.id),
                None => break,
            }
        }
        let mut clients = Vec::new();
        for id in ids {
            clients.extend(self.client_store().find(self.issuer(), &id).await?);
        }
        Ok(clients)
    }

    async fn end(&self, of: &Owner, subject: &str) -> Result<SignedOut, StoreError> {
        let now = self.now();
        let mut parts: BTreeSet<Part> = BTreeSet::new();
        let mut after = None;
        loop {
            let page = self.token_store().list(of, after, PAGE).await?;
            for grant in &page {
                // One that was refused, or a mark, gave nobody anything.
                let Some(sid) = grant.sid.clone().filter(|_| !grant.scope.is_empty()) else {
                    continue;
                };
                parts.insert(Part { client_id: grant.client_id.clone(), sid });
                self.end_grant(grant, now).await?;
            }
            match page.last() {
                Some(last) => after = Some(last.id),
                None => break,
            }
        }
        // Applications were told of those that have ended before.
        let sids: BTreeSet<String> = parts.iter().map(|part| part.sid.clone()).collect();
        let mut ending = BTreeSet::new();
        for sid in sids {
            if self.token_store().find(self.end_mark(&sid)).await?.is_none() {
                ending.insert(sid);
            }
        }
        parts.retain(|part| ending.contains(&part.sid));
        let signed_out = self.tell(parts, subject, now).await?;
        // Afterwards: whoever dies in between tells them once more rather than never.
        for sid in ending {
            let (id, issuer) = (self.end_mark(&sid), self.issuer().clone());
            let until = now.plus(self.policy().refresh_token_absolute.max(REMEMBERED));
            let mark = Grant::tombstone(id, issuer, String::new(), until, now);
            self.token_store().insert(mark, None).await?;
        }
        Ok(signed_out)
    }

    /// The mark that a session has ended, which stands while there may be grants of it.
    fn end_mark(&self, sid: &str) -> GrantId {
        GrantId::from_bytes(hash(&["grantor session end", self.issuer().as_str(), sid]))
    }

    async fn end_grant(&self, grant: &Grant, now: Time) -> Result<(), StoreError> {
        let ends = match self.policy().ends_with_session {
            EndsWithSession::Nothing => false,
            EndsWithSession::Online => !grant.scope.contains("offline_access"),
            EndsWithSession::Everything => true,
        };
        if ends {
            self.token_store().apply(grant.id, Step::Revoke { client: None }, now).await?;
        }
        Ok(())
    }

    async fn tell(
        &self,
        parts: BTreeSet<Part>,
        subject: &str,
        now: Time,
    ) -> Result<SignedOut, StoreError> {
        let (mut messages, mut signed_out) = (Vec::new(), SignedOut::default());
        for Part { client_id, sid } in parts {
            let Some(client) = self.client_store().find(self.issuer(), &client_id).await? else {
                continue;
            };
            if !client.active {
                continue;
            }
            if client.backchannel_logout_uri.is_some() && self.tells_of_logout() {
                let (issuer, subject) = (self.issuer().clone(), subject.to_owned());
                let id = message_id(issuer.as_str(), &client_id, &sid);
                messages.push(Message::new(id, issuer, client_id, subject, sid.clone(), now));
            }
            if let Some(page) = client.validated_frontchannel_logout() {
                let (iss, sid) = (self.issuer().as_str(), self.sid_for(&client, &sid));
                signed_out.frames.push(page.with([("iss", iss), ("sid", &sid)]));
            }
        }
        let applications = messages.len() + signed_out.frames.len();
        if let (false, Some(outbox)) = (messages.is_empty(), self.outbox()) {
            outbox.add(messages).await?;
        }
        self.emit(&Event::SessionEnded { subject, applications });
        Ok(signed_out)
    }
}

/// The same for the same end of the same session at the same client, so that ending it twice at once tells once.
fn message_id(issuer: &str, client_id: &str, sid: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(hash(&["grantor logout", issuer, client_id, sid]))
}

/// A hash of texts that cannot run into each other.
fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
