//! The end of a person's session: which applications took part in it, what of theirs ends with it, and how they learn
//! of it (OpenID Connect Back-Channel Logout, Front-Channel Logout).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::client::Client;
use crate::env::Time;
use crate::event::Event;
use crate::grant::{Grant, GrantId, State, Step};
use crate::interaction::Session;
use crate::policy::EndsWithSession;
use crate::server::AuthorizationServer;
use crate::store::{Message, Owner, StoreError};
use crate::together::all;

/// How many grants are looked at at once.
const PAGE: usize = 200;
/// How many pages of applications a browser is asked to open at most: each names its origin in a header.
const MAX_FRAMES: usize = 50;

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

/// What it was granted there.
struct Share {
    /// Whose. A host may keep its session's id when another person signs in: the newest counts.
    subject: String,
    /// The newest grant, and when it was approved.
    newest: (Time, GrantId),
    /// When the last record of it goes.
    until: Time,
}

impl Share {
    fn of(grant: &Grant) -> Self {
        let newest = (grant.approved_at, grant.id);
        Self { subject: grant.subject.clone(), newest, until: grant.expires_at }
    }

    fn add(&mut self, grant: &Grant) {
        self.until = self.until.max(grant.expires_at);
        if (grant.approved_at, grant.id) > self.newest {
            self.newest = (grant.approved_at, grant.id);
            self.subject.clone_from(&grant.subject);
        }
    }
}

/// An application that is to be told.
struct Ending {
    /// That it was told of the end of what it had until its newest grant. Whoever goes on with a session that has ended
    /// is told of anew.
    mark: GrantId,
    part: Part,
    share: Share,
}

impl AuthorizationServer {
    /// Ends what applications have by a session, and tells them. Call it just before the host ends its own session, so
    /// that a process that dies in between has told them too early rather than never; and once more afterwards,
    /// for what was approved in between. Who was told already is not told again, unless they were let in anew.
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
        let mut parts: BTreeMap<Part, Share> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.token_store().list(of, after, PAGE).await?;
            let mut ending = Vec::new();
            for grant in &page {
                // One that was refused, or a mark, gave nobody anything.
                let Some(sid) = grant.sid.clone().filter(|_| !grant.scope.is_empty()) else {
                    continue;
                };
                let part = Part { client_id: grant.client_id.clone(), sid };
                let share = parts.entry(part).or_insert_with(|| Share::of(grant));
                share.add(grant);
                ending.push(self.end_grant(grant, now));
            }
            all(ending).await?;
            match page.last() {
                Some(last) => after = Some(last.id),
                None => break,
            }
        }
        let untold = all(parts.into_iter().map(|(part, share)| self.untold(part, share))).await?;
        let endings: Vec<Ending> = untold.into_iter().flatten().collect();
        let signed_out = self.tell(&endings, subject, now).await?;
        // Afterwards: whoever dies in between tells them once more rather than never.
        all(endings.into_iter().map(|Ending { mark, part, share }| {
            let (issuer, until) = (self.issuer().clone(), share.until.max(now));
            let mark = Grant::tombstone(mark, issuer, part.client_id, until, now);
            self.token_store().insert(mark, None)
        }))
        .await?;
        Ok(signed_out)
    }

    /// Nothing when the application was told of this before, and was not let in anew since.
    async fn untold(&self, part: Part, share: Share) -> Result<Option<Ending>, StoreError> {
        let mark = self.end_mark(&part, &share);
        let told = self.token_store().find(mark).await?;
        Ok(told.is_none().then_some(Ending { mark, part, share }))
    }

    fn end_mark(&self, Part { client_id, sid }: &Part, share: &Share) -> GrantId {
        let (issuer, newest) = (self.issuer().as_str(), share.newest.1.to_string());
        GrantId::of_texts(&["grantor session end", issuer, client_id, sid, &newest])
    }

    async fn end_grant(&self, grant: &Grant, now: Time) -> Result<(), StoreError> {
        let ends = match self.policy().ends_with_session {
            EndsWithSession::Nothing => false,
            EndsWithSession::Online => !grant.scope.contains("offline_access"),
            EndsWithSession::Everything => true,
        };
        if ends && grant.state != State::Revoked {
            self.token_store().apply(grant.id, Step::Revoke { client: None }, now).await?;
        }
        Ok(())
    }

    async fn tell(
        &self,
        endings: &[Ending],
        subject: &str,
        now: Time,
    ) -> Result<SignedOut, StoreError> {
        let (mut messages, mut signed_out) = (Vec::new(), SignedOut::default());
        let mut known: Option<Arc<Client>> = None;
        for Ending { mark, part: Part { client_id, sid }, share } in endings {
            // They are in the order of the clients.
            if known.as_ref().is_none_or(|client| client.client_id != *client_id) {
                known = self.client_store().find(self.issuer(), client_id).await?;
            }
            let Some(client) = known.clone().filter(|client| client.active) else { continue };
            if client.backchannel_logout_uri.is_some() && self.tells_of_logout() {
                let (issuer, subject) = (self.issuer().clone(), share.subject.clone());
                let (id, client_id, sid) = (mark.to_string(), client_id.clone(), sid.clone());
                messages.push(Message::new(id, issuer, client_id, subject, sid, now));
            }
            if let Some(page) = client.validated_frontchannel_logout()
                && signed_out.frames.len() < MAX_FRAMES
            {
                let (iss, sid) = (self.issuer().as_str(), self.sid_for(&client, sid));
                signed_out.frames.push(page.with([("iss", iss), ("sid", &sid)]));
            }
        }
        let applications = messages.len() + signed_out.frames.len();
        if let Some(outbox) = self.outbox() {
            // In parts: whoever else writes must not wait for all of them.
            for some in messages.chunks(PAGE) {
                outbox.add(some.to_vec()).await?;
            }
        }
        self.emit(&Event::SessionEnded { subject, applications });
        Ok(signed_out)
    }
}
