//! Codes and refresh tokens: credentials that prove themselves.
//!
//! `prefix_ base64url( version, key id, handle, number, expiry, tag )`, where the tag is an
//! HMAC-SHA256 under a key for this kind and this issuer. So garbage is refused without asking the
//! store, a credential of one kind is never read as another, and the successor of a refresh token
//! is derived again rather than stored: whoever refreshes in parallel gets the very same bytes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::env::Time;
use crate::issuer::Issuer;
use crate::keys::{KeyError, Ring};
use crate::secret::Secret;

/// What a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Code,
    Refresh,
}

impl Kind {
    /// The prefix by which secret scanners, and people, tell what they have found.
    fn prefix(self) -> &'static str {
        match self {
            Kind::Code => "authz_",
            Kind::Refresh => "rt_",
        }
    }
}

/// What a credential says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) kind: Kind,
    pub(crate) handle: [u8; 16],
    /// The generation of the grant: 0 for a code.
    pub(crate) number: u32,
    pub(crate) expires_at: Time,
}

/// Why a text was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// It is not ours.
    Garbage,
    /// It names a key that this ring does not have; another process may have made a new one.
    UnknownKey,
}

const VERSION: u8 = 1;
const SEALED_LENGTH: usize = 1 + 4 + 16 + 4 + 8;
const LENGTH: usize = SEALED_LENGTH + 32;

impl Credential {
    /// Seals with the secret that was active at `made_at`: a time from the record, so that every
    /// process at every later moment derives the same bytes.
    pub(crate) fn seal(
        &self,
        ring: &Ring,
        issuer: &Issuer,
        made_at: Time,
    ) -> Result<Secret, KeyError> {
        let secret = ring.secret_at(made_at)?;
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&secret.id);
        bytes.extend_from_slice(&self.handle);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.expires_at.millis().to_be_bytes());
        let tag = secret.mac(self.kind.prefix(), issuer, &[&bytes]);
        bytes.extend_from_slice(&tag);
        Ok(Secret::new(format!("{}{}", self.kind.prefix(), BASE64_URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Opens what [`Credential::seal`] made. Every bit counts: the decoder refuses padding and
    /// non-canonical last characters, the tag covers the rest.
    pub(crate) fn open(
        kind: Kind,
        text: &str,
        ring: &Ring,
        issuer: &Issuer,
    ) -> Result<Self, Unopened> {
        let encoded = text.strip_prefix(kind.prefix()).ok_or(Unopened::Garbage)?;
        if encoded.len() != LENGTH.div_ceil(3) * 4 - (3 - LENGTH % 3) % 3 {
            return Err(Unopened::Garbage);
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Unopened::Garbage)?;
        let (sealed, tag) = bytes.split_at_checked(SEALED_LENGTH).ok_or(Unopened::Garbage)?;
        let mut fields = sealed;
        let [version] = take(&mut fields)?;
        let key_id: [u8; 4] = take(&mut fields)?;
        let handle = take(&mut fields)?;
        let number = u32::from_be_bytes(take(&mut fields)?);
        let expires_at = Time::from_millis(i64::from_be_bytes(take(&mut fields)?));
        if version != VERSION {
            return Err(Unopened::Garbage);
        }
        let secret = ring.secret(key_id).ok_or(Unopened::UnknownKey)?;
        if !secret.verifies(kind.prefix(), issuer, &[sealed], tag) {
            return Err(Unopened::Garbage);
        }
        Ok(Self { kind, handle, number, expires_at })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Unopened> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or(Unopened::Garbage)?;
    *bytes = rest;
    Ok(*taken)
}

#[cfg(test)]
mod tests;
