//! The ticket: a validated authorization request on its way through the host's pages.
//!
//! It is sealed, not stored, so that a stranger cannot fill a store with requests. It holds the
//! request's parameters, never the client: a client that is switched off meanwhile is seen.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::Mac as _;

use super::Session;
use crate::endpoint::authorize::{AuthorizationRequest, PARAMETERS, Refusal};
use crate::env::{Time, random};
use crate::error::Misdeed;
use crate::http::Parameters;
use crate::keys::Ring;
use crate::server::AuthorizationServer;

/// How long a person may take over the pages before the request is validated anew.
const LIFETIME: Duration = Duration::from_secs(600);
/// The longest request that a ticket carries, percent-encoded: what it makes of a URL still passes
/// browsers and servers.
const MAX_REQUEST: usize = 12 * 1024;
const VERSION: u8 = 1;
const PURPOSE: &str = "ticket";

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
    text: String,
}

impl Ticket {
    /// Seals the parameters that the engine knows.
    pub(crate) fn issue(
        server: &AuthorizationServer,
        parameters: &Parameters,
        request: &AuthorizationRequest,
        now: Time,
    ) -> Result<Self, Refusal> {
        // A hint that is too long to be one is dropped rather than carried along.
        let kept = |name: &&&str| **name != "login_hint" || request.login_hint.is_some();
        let kept: Vec<&str> = PARAMETERS.iter().filter(kept).copied().collect();
        let encoded = parameters.encode_only(&kept);
        if encoded.len() > MAX_REQUEST {
            return Err(Refusal::Redirected {
                redirect: request.redirect.clone(),
                code: "invalid_request",
                description: "the request is too large",
            });
        }
        let seal = || {
            let ring = server.ring();
            let secret = ring.secret_at(now)?;
            let id = random::<16>(server.environment())?;
            let mut bytes = vec![VERSION];
            bytes.extend_from_slice(&secret.id);
            bytes.extend_from_slice(&id);
            bytes.extend_from_slice(&now.millis().to_be_bytes());
            bytes.extend_from_slice(encoded.as_bytes());
            let tag = secret.mac(PURPOSE, server.issuer(), &[&bytes]).finalize().into_bytes();
            bytes.extend_from_slice(&tag);
            let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
            let parameters = parameters.clone();
            Ok(Self { id, issued_at: now, key_id: secret.id, parameters, text })
        };
        seal().map_err(Refusal::Machine)
    }

    /// Opens a ticket of this server; `None` when a single bit of it is not ours.
    pub(crate) fn open(server: &AuthorizationServer, ring: &Ring, text: &str) -> Option<Self> {
        // Sealing adds 61 bytes, base64 a third.
        if text.len() > (MAX_REQUEST + 61) * 4 / 3 + 3 {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (sealed, tag) = bytes.split_last_chunk::<32>()?;
        let (version, rest) = sealed.split_first_chunk::<1>()?;
        let (key_id, rest) = rest.split_first_chunk::<4>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (issued_at, encoded) = rest.split_first_chunk::<8>()?;
        if *version != [VERSION] {
            return None;
        }
        let mac = ring.secret(*key_id)?.mac(PURPOSE, server.issuer(), &[sealed]);
        mac.verify_slice(tag).ok()?;
        Some(Self {
            id: *id,
            issued_at: Time::from_millis(i64::from_be_bytes(*issued_at)),
            key_id: *key_id,
            parameters: Parameters::parse(encoded, MAX_REQUEST).ok()?,
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
        let secret = ring.secret(self.key_id).ok_or(crate::keys::KeyError::NoKey("HMAC"))?;
        let parts: [&[u8]; 3] = [&self.id, session.id.as_bytes(), session.subject.as_bytes()];
        let tag = secret.mac("approval", server.issuer(), &parts).finalize().into_bytes();
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
