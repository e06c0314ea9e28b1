//! Clients that were read before. A look at the version of the row says whether what is kept is still so, also when
//! another process has changed it; so nothing that was taken from a client is believed for a moment longer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use grantor::{Client, Issuer};

/// How many clients are kept of each generation.
const KEPT: usize = 4096;

/// The clients of each issuer by their ids.
#[derive(Debug, Default)]
pub(crate) struct ClientCache(RwLock<Generations>);

/// When the young are many, they become the old, and those who were are forgotten: whoever is asked for now and then stays.
#[derive(Debug, Default)]
struct Generations {
    young: Clients,
    /// How many the young are.
    count: usize,
    old: Clients,
}

type Clients = HashMap<Issuer, HashMap<String, Arc<Client>>>;

fn of<'a>(clients: &'a Clients, issuer: &Issuer, client_id: &str) -> Option<&'a Arc<Client>> {
    clients.get(issuer)?.get(client_id)
}

impl ClientCache {
    /// What is kept of a client, if it is of this version.
    pub(crate) fn find(
        &self,
        issuer: &Issuer,
        client_id: &str,
        version: i64,
    ) -> Option<Arc<Client>> {
        let is_so = |client: &&Arc<Client>| i64::try_from(client.version) == Ok(version);
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = of(&kept.young, issuer, client_id) {
            return Some(client).filter(is_so).cloned();
        }
        let client = of(&kept.old, issuer, client_id).filter(is_so)?.clone();
        drop(kept);
        self.keep(issuer, &client);
        Some(client)
    }

    pub(crate) fn keep(&self, issuer: &Issuer, client: &Arc<Client>) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let clients = kept.young.entry(issuer.clone()).or_default();
        let is_new = clients.insert(client.client_id.clone(), client.clone()).is_none();
        kept.count += usize::from(is_new);
        if kept.count >= KEPT {
            kept.old = std::mem::take(&mut kept.young);
            kept.count = 0;
        }
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
        let keep = |issuer: &Issuer, n: usize| {
            let mut client = Client::public(format!("client_{n}"), "C");
            client.version = 7;
            cache.keep(issuer, &Arc::new(client));
        };
        let has = |n: usize| cache.find(&one, &format!("client_{n}"), 7).is_some();
        keep(&one, 0);
        keep(&one, 1);
        for n in 2..5 * KEPT {
            keep(if n % 2 == 0 { &one } else { &two }, n);
            // One is asked for now and then, the other is not.
            assert!(n % 1000 != 0 || has(0), "{n}");
        }
        let last = 5 * KEPT - 2;
        assert!(has(0) && has(last) && !has(1) && !has(2));
        let last = format!("client_{last}");
        assert!(cache.find(&one, &last, 8).is_none() && cache.find(&one, &last, 6).is_none());
        assert!(cache.find(&two, &last, 7).is_none() && cache.find(&one, "other", 7).is_none());
        let kept = cache.0.read().unwrap();
        let count = |clients: &Clients| clients.values().map(HashMap::len).sum::<usize>();
        assert!(count(&kept.young) == kept.count && kept.count < KEPT && count(&kept.old) == KEPT);
    }
}
