//! What the journal says, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use grantor::grant::{Grant, GrantId};
use grantor::store::{Remembered, SealedRing, StoreError, record};
use grantor::{Client, Issuer, Scope, Time};
use serde::{Deserialize, Serialize};

/// One change, as it stands in the journal. `record` writes the engine's types down, with a version in
/// them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    Grant(String),
    Purge([u8; 32]),
    Consent { issuer: String, subject: String, client_id: String, scope: Scope, granted_at: Time },
    Forget { issuer: String, subject: String, client_id: String },
    Client { issuer: String, record: String },
    Remove { issuer: String, client_id: String },
    Ring { issuer: String, version: u64, sealed: Vec<u8> },
}

impl Change {
    pub(crate) fn client(issuer: &Issuer, client: &Client) -> Result<Self, StoreError> {
        let record = record::write_client(client)?;
        Ok(Change::Client { issuer: issuer.as_str().to_owned(), record })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) grants: BTreeMap<GrantId, Grant>,
    pub(crate) consents: BTreeMap<(Issuer, String, String), Remembered>,
    /// A removed client leaves its place: ids are never used again.
    pub(crate) clients: BTreeMap<(Issuer, String), Option<Arc<Client>>>,
    pub(crate) rings: BTreeMap<Issuer, SealedRing>,
}

impl Tables {
    /// The consent beside what is remembered already.
    pub(crate) fn merged(&self, next: Remembered) -> Change {
        let key = (next.issuer.clone(), next.subject.clone(), next.client_id.clone());
        let merged = match self.consents.get(&key) {
            Some(before) => before.clone().merged(&next),
            None => next,
        };
        Change::Consent {
            issuer: merged.issuer.as_str().to_owned(),
            subject: merged.subject,
            client_id: merged.client_id,
            scope: merged.scope,
            granted_at: merged.granted_at,
        }
    }

    /// Makes a change that is on the disk.
    pub(crate) fn make(&mut self, change: &Change) -> Result<(), StoreError> {
        let issuer = |text: &str| Issuer::new(text).map_err(StoreError::new);
        match change {
            Change::Grant(text) => {
                let grant = record::read_grant(text)?;
                self.grants.insert(grant.id, grant);
            }
            Change::Purge(id) => {
                self.grants.remove(&GrantId::from_bytes(*id));
            }
            Change::Consent { issuer: of, subject, client_id, scope, granted_at } => {
                let remembered = Remembered {
                    issuer: issuer(of)?,
                    subject: subject.clone(),
                    client_id: client_id.clone(),
                    scope: scope.clone(),
                    granted_at: *granted_at,
                };
                let key = (issuer(of)?, subject.clone(), client_id.clone());
                self.consents.insert(key, remembered);
            }
            Change::Forget { issuer: of, subject, client_id } => {
                self.consents.remove(&(issuer(of)?, subject.clone(), client_id.clone()));
            }
            Change::Client { issuer: of, record: text } => {
                let client = record::read_client(text)?;
                let key = (issuer(of)?, client.client_id.clone());
                self.clients.insert(key, Some(Arc::new(client)));
            }
            Change::Remove { issuer: of, client_id } => {
                self.clients.insert((issuer(of)?, client_id.clone()), None);
            }
            Change::Ring { issuer: of, version, sealed } => {
                let ring = SealedRing { sealed: sealed.clone(), version: *version };
                self.rings.insert(issuer(of)?, ring);
            }
        }
        Ok(())
    }
}
