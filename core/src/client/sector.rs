//! Pairwise subject identifiers (OpenID Connect Core section 8.1).
//!
//! A client that is registered for them sees people by identifiers that only clients of its sector see too. What
//! is stored, and what the host is asked, is always the host's own identifier: it is changed on the way out, and
//! compared in that form on the way in.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use url::Url;

use super::redirect::is_loopback;
use super::registry::{RegistryError, invalid};
use super::{Client, SubjectType};
use crate::server::AuthorizationServer;

/// The largest list that is fetched.
const MAX_LIST: usize = 64 * 1024;
/// For how long a list that was fetched is taken from memory.
const FRESH: Duration = Duration::from_secs(60);

impl Client {
    /// Whose identifiers it shares: the host of its `sector_identifier_uri`, or else the one host that its
    /// redirect URIs have. One that has none, such as an application on a person's own machine, shares them with
    /// nobody. `None` when it has several hosts and does not say which.
    pub(crate) fn sector(&self) -> Option<String> {
        let web = |uri: &String| Url::parse(uri).ok().filter(|url| url.scheme() == "https");
        let host = |url: Url| url.host_str().map(str::to_owned);
        if let Some(uri) = &self.sector_identifier_uri {
            return web(uri).and_then(host);
        }
        // One that could be answered elsewhere too would see what only that host's applications may.
        let hosts: BTreeSet<Option<String>> = self
            .redirect_uris
            .iter()
            .map(|uri| web(uri).filter(|url| !is_loopback(url)).and_then(host))
            .collect();
        match (hosts.len(), hosts.into_iter().next().flatten()) {
            (0 | 1, None) => Some(self.shared_with_nobody()),
            (1, Some(host)) => Some(host),
            _ => None,
        }
    }

    /// A sector that no host is: a colon is only in hosts that begin with a bracket.
    fn shared_with_nobody(&self) -> String {
        format!("client:{}", self.client_id)
    }

    /// Which identifiers it sees: the sector of a pairwise client.
    pub(super) fn sees(&self) -> Option<String> {
        match self.subject_type {
            SubjectType::Public => None,
            // Should it have become unclear, the client shares them with nobody.
            SubjectType::Pairwise => {
                Some(self.sector().unwrap_or_else(|| self.shared_with_nobody()))
            }
        }
    }
}

impl AuthorizationServer {
    /// A subject as this client sees it.
    pub(crate) fn subject_for<'a>(&self, client: &Client, subject: &'a str) -> Cow<'a, str> {
        self.pseudonym("subject", client, subject)
    }

    /// A session's published id as this client sees it: it would tell, too, that two clients know the same person.
    pub(crate) fn sid_for<'a>(&self, client: &Client, sid: &'a str) -> Cow<'a, str> {
        self.pseudonym("session", client, sid)
    }

    fn pseudonym<'a>(&self, purpose: &str, client: &Client, name: &'a str) -> Cow<'a, str> {
        match client.sees() {
            None => Cow::Borrowed(name),
            Some(sector) => {
                Cow::Owned(self.ring().pseudonym(purpose, self.issuer(), &sector, name))
            }
        }
    }
}

/// Demands that the list at `sector_identifier_uri` has every redirect URI of the client (OpenID Connect Dynamic
/// Client Registration section 5): the host of the list vouches for them, or anybody could join its sector.
pub(super) async fn check_list(
    server: &AuthorizationServer,
    client: &Client,
) -> Result<(), RegistryError> {
    const FIELD: &str = "sector_identifier_uri";
    let Some(uri) = &client.sector_identifier_uri else { return Ok(()) };
    let Ok(document) = server.fetch(uri, FRESH, MAX_LIST).await else {
        return invalid(FIELD, "it could not be fetched");
    };
    let Ok(listed) = serde_json::from_slice::<BTreeSet<String>>(&document.body) else {
        return invalid(FIELD, "what is there is no JSON list of redirect URIs");
    };
    match client.redirect_uris.iter().find(|uri| !listed.contains(*uri)) {
        Some(missing) => invalid(FIELD, format!("{missing:?} is not in the list there")),
        None => Ok(()),
    }
}
