//! What happened, for the host's audit log and alarms.

use crate::grant::GrantId;

/// Something that happened. Identifiers only: no event carries a credential, a secret or a
/// person's data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A person approved a client (or had before, or the client is the operator's own).
    Approved {
        /// The new grant.
        grant: GrantId,
        /// The client.
        client_id: &'a str,
        /// Who approved.
        subject: &'a str,
    },
    /// A person refused.
    DeniedByUser {
        /// The client.
        client_id: &'a str,
    },
    /// The host's [`ConsentPolicy`](crate::ConsentPolicy) keeps a person out of a client.
    DeniedByPolicy {
        /// The client.
        client_id: &'a str,
        /// Who may not use it.
        subject: &'a str,
    },
    /// All keys were replaced: everything that was issued before is dead.
    KeysReplaced,
    /// A person took their consent back, and what the client held of them ended.
    ConsentWithdrawn {
        /// The client.
        client_id: &'a str,
        /// Who took it back.
        subject: &'a str,
    },
    /// A code was exchanged for tokens.
    CodeRedeemed {
        /// The grant.
        grant: GrantId,
        /// The client.
        client_id: &'a str,
    },
    /// A refresh token was exchanged for tokens.
    Refreshed {
        /// The grant.
        grant: GrantId,
        /// The client.
        client_id: &'a str,
        /// Whether it was answered within the retry window with the token that stood already. Some
        /// at once are a browser application's parallel calls; from two places they are a theft.
        repeated: bool,
    },
    /// A client got a token on its own behalf.
    ClientCredentialsIssued {
        /// The client.
        client_id: &'a str,
    },
    /// A spent code or refresh token came back with all its bindings right: it was stolen, or its
    /// owner lost a race with a thief. The grant is revoked. **Wire this one up.**
    ReuseDetected {
        /// The grant, revoked now.
        grant: GrantId,
        /// The client.
        client_id: &'a str,
        /// Whose grant it was.
        subject: &'a str,
        /// Whether a code came back; otherwise it was a refresh token.
        code: bool,
    },
    /// A client revoked a token of its own (RFC 7009), and with it the grant.
    TokenRevoked {
        /// The grant, or what stands for a token of the client's own.
        grant: GrantId,
        /// The client.
        client_id: &'a str,
    },
    /// A request was refused.
    Refused {
        /// The path that was asked.
        endpoint: &'a str,
        /// The client, when it was identified.
        client_id: Option<&'a str>,
        /// The exact misdeed, in a sentence.
        reason: String,
    },
    /// A client was registered.
    ClientCreated {
        /// The client.
        client_id: &'a str,
    },
    /// A client was changed.
    ClientUpdated {
        /// The client.
        client_id: &'a str,
    },
    /// A client got a new secret.
    ClientSecretRotated {
        /// The client.
        client_id: &'a str,
    },
    /// A client was switched off and its grants ended.
    ClientRevoked {
        /// The client.
        client_id: &'a str,
    },
    /// A client was removed.
    ClientRemoved {
        /// The client.
        client_id: &'a str,
    },
    /// A person's session ended, and these many applications are told, or their pages are opened.
    SessionEnded {
        /// Whose session it was.
        subject: &'a str,
        /// How many applications took part in it and want to know.
        applications: usize,
    },
    /// An application was told that a session has ended.
    LogoutDelivered {
        /// The client.
        client_id: &'a str,
    },
    /// An application could not be told. It is tried again, unless it was the last time.
    LogoutUndelivered {
        /// The client.
        client_id: &'a str,
        /// How often it was tried.
        attempts: u32,
        /// Whether it is given up.
        is_last: bool,
        /// Why, for the operator.
        reason: String,
    },
    /// Applications wait to be told of the end of a session, because a store failed. It is tried again.
    DeliveryFailed {
        /// Why, with the sources of the error.
        reason: String,
    },
    /// Maintenance could not be done. It is tried again; until then keys may grow old and ended
    /// grants stay.
    MaintenanceFailed {
        /// Why, with the sources of the error.
        reason: String,
    },
    /// New keys were published; they sign from `active_from` (seconds since the epoch) on.
    KeysRotated {
        /// When they begin to sign.
        active_from: i64,
    },
}

/// Where events go. Called within requests: hand the event over and return.
pub trait Events: Send + Sync + 'static {
    /// Takes one event.
    fn on(&self, event: &Event<'_>);
}

/// Drops every event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoEvents;

impl Events for NoEvents {
    fn on(&self, _: &Event<'_>) {}
}
