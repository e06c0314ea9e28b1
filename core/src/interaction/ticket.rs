//! The ticket: a validated request on its way through the host's pages.
//!
//! It is sealed, not stored, so that a stranger cannot fill a store with requests. It holds the
//! request's parameters, never the client: a client that is switched off meanwhile is seen.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::Session;
use crate::endpoint::authorize::PARAMETERS;
use crate::env::{Time, random};
use crate::error::Misdeed;
use crate::http::Parameters;
use crate::keys::{KeyError, Ring};
use crate::server::AuthorizationServer;

/// How long a person may take over the pages before the request is validated anew.
const LIFETIME: Duration = Duration::from_secs(600);
/// The longest request that a ticket carries, percent-encoded: what it makes of a URL still passes
/// browsers and servers.
const MAX_REQUEST: usize = 12 * 1024;
const VERSION: u8 = 1;
/// What sealing adds: version, key, id, time, whether it came back, and the tag.
const SEAL: usize = 1 + 4 + 16 + 8 + 1 + 32;

/// The longest ticket, in base64.
const MAX_TEXT: usize = match base64::encoded_len(MAX_REQUEST + SEAL, false) {
    Some(length) => length,
    None => 0,
};

/// An opened ticket.
#[derive(Clone)]
pub(crate) struct Ticket {
    /// Tells one visit of an authorize URL from the next.
    pub(crate) id: [u8; 16],
    /// When the request was made. `prompt=login` and `max_age` are measured against it.
    pub(crate) issued_at: Time,
    /// The secret that sealed it, which also derives the handle of the grant.
    pub(crate) key_id: [u8; 4],
    pub(crate) parameters: Parameters,
    /// Whether the browser was sent away with this ticket and came back to the authorize endpoint.
    pub(crate) returned: bool,
    text: String,
}

/// What a ticket is for. One kind is never taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Authorization,
    Logout,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::Authorization => "ticket",
            Purpose::Logout => "logout ticket",
        }
    }
}

/// A request that is larger than a ticket carries.
pub(crate) struct TooLarge;

impl Ticket {
    /// Seals parameters, encoded.
    pub(crate) fn seal(
        server: &AuthorizationServer,
        purpose: Purpose,
        encoded: &str,
        now: Time,
    ) -> Result<Result<Self, TooLarge>, Misdeed> {
        if encoded.len() > MAX_REQUEST {
            return Ok(Err(TooLarge));
        }
        let mut ticket = Self {
            id: random::<16>(server.environment())?,
            issued_at: now,
            key_id: server.ring().secret_at(now)?.id,
            parameters: Parameters::parse(encoded.as_bytes(), MAX_REQUEST)?,
            returned: false,
            text: String::new(),
        };
        ticket.text = ticket.encode(server, purpose, encoded)?;
        Ok(Ok(ticket))
    }

    /// The same ticket, once the browser has come back with it: the same request, made at the same
    /// time, so that it leads to the same grant.
    pub(crate) fn into_returned(mut self, server: &AuthorizationServer) -> Result<Self, Misdeed> {
        self.returned = true;
        self.text = self.encode(server, Purpose::Authorization, &self.query())?;
        Ok(self)
    }

    fn encode(
        &self,
        server: &AuthorizationServer,
        purpose: Purpose,
        parameters: &str,
    ) -> Result<String, Misdeed> {
        let ring = server.ring();
        let secret = ring.secret(self.key_id).ok_or(KeyError::NoKey("HMAC"))?;
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.key_id);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.issued_at.millis().to_be_bytes());
        bytes.push(u8::from(self.returned));
        bytes.extend_from_slice(parameters.as_bytes());
        let mac = secret.mac(purpose.as_str(), server.issuer(), &[&bytes]);
        bytes.extend_from_slice(&mac);
        Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Opens a ticket of this server, sealed by whichever process; `None` when a single bit of it
    /// is not ours.
    pub(crate) async fn open(
        server: &AuthorizationServer,
        purpose: Purpose,
        text: &str,
        now: Time,
    ) -> Result<Option<Self>, Misdeed> {
        let opened = Self::open_with(&server.ring(), server, purpose, text);
        if opened.is_some() {
            return Ok(opened);
        }
        let ring = server.keys().reload_for_unknown(now).await?;
        Ok(Self::open_with(&ring, server, purpose, text))
    }

    fn open_with(
        ring: &Ring,
        server: &AuthorizationServer,
        purpose: Purpose,
        text: &str,
    ) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (sealed, tag) = bytes.split_last_chunk::<32>()?;
        let (version, rest) = sealed.split_first_chunk::<1>()?;
        let (key_id, rest) = rest.split_first_chunk::<4>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (issued_at, rest) = rest.split_first_chunk::<8>()?;
        let ([returned], encoded) = rest.split_first_chunk::<1>()?;
        if *version != [VERSION] {
            return None;
        }
        if !ring.secret(*key_id)?.verifies(purpose.as_str(), server.issuer(), &[sealed], tag) {
            return None;
        }
        Some(Self {
            id: *id,
            issued_at: Time::from_millis(i64::from_be_bytes(*issued_at)),
            key_id: *key_id,
            parameters: Parameters::parse(encoded, MAX_REQUEST).ok()?,
            returned: *returned != 0,
            text: text.to_owned(),
        })
    }

    pub(crate) fn is_expired(&self, now: Time) -> bool {
        now >= self.issued_at.plus(LIFETIME)
    }

    /// The request as the query of an authorize URL.
    pub(crate) fn query(&self) -> String {
        self.parameters.encode_only(&PARAMETERS)
    }

    /// The handle of the grant that approving this ticket in this session makes. It is derived, so
    /// that approving twice (two tabs, a repeated POST) finds the same grant. The subject is part of
    /// it, for a host may keep its session's id when another person signs in.
    pub(crate) fn grant_handle(
        &self,
        server: &AuthorizationServer,
        session: &Session,
    ) -> Result<[u8; 16], Misdeed> {
        let ring = server.ring();
        let secret = ring.secret(self.key_id).ok_or(KeyError::NoKey("HMAC"))?;
        let parts: [&[u8]; 3] = [&self.id, session.id.as_bytes(), session.subject.as_bytes()];
        let tag = secret.mac("approval", server.issuer(), &parts);
        let mut handle = [0; 16];
        handle.copy_from_slice(tag.get(..16).unwrap_or(&[0; 16]));
        Ok(handle)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket([redacted])")
    }
}

#[cfg(test)]
mod tests;
