//! Keys and values as they are written down.

use grantor::grant::{Grant, GrantId};
use grantor::store::{Message, Owner, Remembered, StoreError, record};
use grantor::{Client, Issuer, Scope, Time};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The first byte of every value, so that a later release can tell what it reads.
const VERSION: u8 = 1;
/// The longest value. sled writes a whole leaf of its tree at once, of up to some twenty values, and puts
/// what is larger than a quarter of a segment into a file of its own, which it never syncs.
pub(crate) const MAX_VALUE: usize = 192 * 1024;

/// A value with its version.
pub(crate) fn value(text: &[u8]) -> Result<Vec<u8>, StoreError> {
    if text.len() >= MAX_VALUE {
        return Err(StoreError::new("the record is too large for this store"));
    }
    let mut value = Vec::with_capacity(text.len() + 1);
    value.push(VERSION);
    value.extend_from_slice(text);
    Ok(value)
}

/// The content of a value.
pub(crate) fn content(value: &[u8]) -> Result<&[u8], StoreError> {
    match value.split_first() {
        Some((&VERSION, content)) => Ok(content),
        Some((version, _)) => Err(StoreError::new(format!(
            "a record has version {version}, this release knows {VERSION}: start the newer release"
        ))),
        None => Err(StoreError::new("a record is empty")),
    }
}

fn text(value: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(content(value)?).map_err(StoreError::new)
}

pub(crate) fn write_grant(grant: &Grant) -> Result<Vec<u8>, StoreError> {
    value(record::write_grant(grant)?.as_bytes())
}

pub(crate) fn read_grant(bytes: &[u8]) -> Result<Grant, StoreError> {
    record::read_grant(text(bytes)?)
}

/// A client, or that there was one.
pub(crate) fn write_client(client: Option<&Client>) -> Result<Vec<u8>, StoreError> {
    match client {
        Some(client) => value(record::write_client(client)?.as_bytes()),
        None => value(b""),
    }
}

/// The client; `None` when it was removed.
pub(crate) fn read_client(bytes: &[u8]) -> Result<Option<Client>, StoreError> {
    match text(bytes)? {
        "" => Ok(None),
        text => record::read_client(text).map(Some),
    }
}

pub(crate) fn write_message(message: &Message) -> Result<Vec<u8>, StoreError> {
    value(record::write_message(message)?.as_bytes())
}

pub(crate) fn read_message(bytes: &[u8]) -> Result<Message, StoreError> {
    record::read_message(text(bytes)?)
}

/// The hints of an issuer's messages, in the order in which they are due, begin with this.
pub(crate) fn due(issuer: &Issuer) -> [u8; 32] {
    hash(&["due", issuer.as_str()])
}

pub(crate) fn due_of(message: &Message) -> Vec<u8> {
    let tail = [&end(message.due_at)[..], message.id.as_bytes()].concat();
    after(due(&message.issuer), &tail)
}

/// When the message of a hint is due, and its id.
pub(crate) fn due_and_id(key: &[u8]) -> Option<([u8; 8], &str)> {
    let (due_at, id) = key.get(32..)?.split_first_chunk::<8>()?;
    Some((*due_at, std::str::from_utf8(id).ok()?))
}

#[derive(Serialize, Deserialize)]
struct Consent {
    issuer: String,
    subject: String,
    client_id: String,
    scope: Scope,
    granted_at: Time,
}

pub(crate) fn write_remembered(remembered: &Remembered) -> Result<Vec<u8>, StoreError> {
    let consent = Consent {
        issuer: remembered.issuer.as_str().to_owned(),
        subject: remembered.subject.clone(),
        client_id: remembered.client_id.clone(),
        scope: remembered.scope.clone(),
        granted_at: remembered.granted_at,
    };
    value(&serde_json::to_vec(&consent).map_err(StoreError::new)?)
}

pub(crate) fn read_remembered(bytes: &[u8]) -> Result<Remembered, StoreError> {
    let consent: Consent = serde_json::from_str(text(bytes)?).map_err(StoreError::new)?;
    Ok(Remembered {
        issuer: Issuer::new(&consent.issuer).map_err(StoreError::new)?,
        subject: consent.subject,
        client_id: consent.client_id,
        scope: consent.scope,
        granted_at: consent.granted_at,
    })
}

/// A hash of texts that cannot run into each other. Keys made of it have one length, and are spread
/// evenly, which keeps sled's files small.
fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// A hash, and after it something that orders the entries.
fn after(hash: [u8; 32], tail: &[u8]) -> Vec<u8> {
    [&hash, tail].concat()
}

/// Where the entries of an owner's grants begin.
pub(crate) fn owner(of: &Owner) -> [u8; 32] {
    match of {
        // The pair has no index: a person has few grants.
        Owner::Subject(issuer, subject) | Owner::SubjectAndClient(issuer, subject, _) => {
            hash(&["subject", issuer.as_str(), subject])
        }
        Owner::Client(issuer, client_id) => hash(&["client", issuer.as_str(), client_id]),
        Owner::Session(issuer, sid) => hash(&["session", issuer.as_str(), sid]),
    }
}

/// The index entries of a grant.
pub(crate) fn owners_of(grant: &Grant) -> impl Iterator<Item = Vec<u8>> {
    let issuer = &grant.issuer;
    let session = grant.sid.as_ref().map(|sid| Owner::Session(issuer.clone(), sid.clone()));
    let owners = [
        Some(Owner::Subject(issuer.clone(), grant.subject.clone())),
        Some(Owner::Client(issuer.clone(), grant.client_id.clone())),
        session,
    ];
    let id = grant.id;
    owners.into_iter().flatten().map(move |of| after(owner(&of), id.as_bytes()))
}

/// When a grant ends, in an order that begins with the earliest.
pub(crate) fn end_of(grant: &Grant) -> Vec<u8> {
    [&end(grant.expires_at)[..], grant.id.as_bytes()].concat()
}

/// Everything that ends before this time sorts before it.
pub(crate) fn end(at: Time) -> [u8; 8] {
    // Without its sign's bit a negative time would sort last.
    (at.millis().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The grant's id at the end of an index key.
pub(crate) fn id_at_end(key: &[u8]) -> Option<GrantId> {
    key.last_chunk::<32>().map(|bytes| GrantId::from_bytes(*bytes))
}

/// All clients of an issuer, in the order of their ids, have keys that begin with this.
pub(crate) fn clients(issuer: &Issuer) -> [u8; 32] {
    hash(&["clients", issuer.as_str()])
}

pub(crate) fn client(issuer: &Issuer, client_id: &str) -> Vec<u8> {
    after(clients(issuer), client_id.as_bytes())
}

/// The clients of a tenant.
pub(crate) fn tenant(issuer: &Issuer, tenant: &str) -> [u8; 32] {
    hash(&["tenant", issuer.as_str(), tenant])
}

/// The clients that list an origin.
pub(crate) fn origin(issuer: &Issuer, origin: &str) -> [u8; 32] {
    hash(&["origin", issuer.as_str(), origin])
}

/// What comes after the hash of a key.
pub(crate) fn tail(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(32..)?).ok()
}

/// The hints that lead to a client: by its tenant and its origins.
pub(crate) fn hints_of(issuer: &Issuer, client: &Client) -> Vec<Vec<u8>> {
    let id = client.client_id.as_bytes();
    let tenant = client.tenant.as_ref().map(|name| after(tenant(issuer, name), id));
    let origins = client.allowed_origins.iter().map(|text| after(origin(issuer, text), id));
    tenant.into_iter().chain(origins).collect()
}

/// The consents of a subject, in the order of the clients' ids, have keys that begin with this.
pub(crate) fn consents(issuer: &Issuer, subject: &str) -> [u8; 32] {
    hash(&["consents", issuer.as_str(), subject])
}

pub(crate) fn consent(issuer: &Issuer, subject: &str, client_id: &str) -> Vec<u8> {
    after(consents(issuer, subject), client_id.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn texts_do_not_run_into_each_other() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["a", ""]), hash(&["a"]));
    }

    #[test]
    fn ends_sort_by_time_also_before_the_epoch() {
        let times = [Time::from_millis(-5), Time::EPOCH, Time::EPOCH.plus(Duration::from_secs(9))];
        assert!(times.is_sorted_by_key(|at| end(*at)));
    }

    #[test]
    fn a_value_of_a_later_release_is_refused_by_name() {
        assert_eq!(content(&value(b"x").unwrap()).unwrap(), b"x");
        let why = content(&[9, 1]).unwrap_err();
        let source = std::error::Error::source(&why).unwrap().to_string();
        assert!(source.contains("version 9"), "{source}");
        assert!(content(&[]).is_err());
        assert!(value(&vec![0; MAX_VALUE]).is_err());
    }
}
