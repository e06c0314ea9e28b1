//! Clients that were read before. A look at the version of the row says whether what is kept is still so, also when
//! another process has changed it; so nothing that was taken from a client is believed for a moment longer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use grantor::{Client, Issuer};

/// How many clients are kept. When there are more, all are forgotten: to read them again costs little.
const KEPT: usize = 4096;

type Clients = HashMap<String, Arc<Client>>;

/// The clients of each issuer by their ids.
#[derive(Debug, Default)]
pub(crate) struct ClientCache(RwLock<HashMap<Issuer, Clients>>);

impl ClientCache {
    /// What is kept of a client, if it is of this version.
    pub(crate) fn find(
        &self,
        issuer: &Issuer,
        client_id: &str,
        version: i64,
    ) -> Option<Arc<Client>> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let client = kept.get(issuer)?.get(client_id)?;
        (i64::try_from(client.version) == Ok(version)).then(|| client.clone())
    }

    pub(crate) fn keep(&self, issuer: &Issuer, client: &Arc<Client>) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.values().map(HashMap::len).sum::<usize>() >= KEPT {
            kept.clear();
        }
        let clients = kept.entry(issuer.clone()).or_default();
        clients.insert(client.client_id.clone(), client.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_counts_for_its_issuer_and_version_alone_and_is_bounded() {
        let cache = ClientCache::default();
        let issuer = |url| Issuer::new(url).unwrap();
        let (one, two) = (issuer("https://one.example"), issuer("https://two.example"));
        for n in 0..KEPT + 10 {
            let mut client = Client::public(format!("client_{n}"), "C");
            client.version = 7;
            cache.keep(if n % 2 == 0 { &one } else { &two }, &Arc::new(client));
        }
        let last = format!("client_{}", KEPT + 8);
        assert!(cache.find(&one, &last, 7).is_some());
        assert!(cache.find(&one, &last, 8).is_none() && cache.find(&one, &last, 6).is_none());
        assert!(cache.find(&two, &last, 7).is_none() && cache.find(&one, "other", 7).is_none());
        assert!(cache.find(&one, "client_0", 7).is_none(), "forgotten with all others");
        let kept = cache.0.read().unwrap();
        assert!(kept.values().map(HashMap::len).sum::<usize>() <= KEPT);
    }
}
