//! Access tokens of ours whose signature was verified a moment ago.
//!
//! A client shows one token many times, and to verify it costs more than all else that is done for a request. What is
//! kept says that the bytes were signed by a key of the ring, and nothing more: whether the token has expired, and
//! whether its grant, client and subject still stand, is looked at each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest as _, Sha256};

use super::access_token::{AccessToken, Id};
use crate::keys::Ring;

/// How many are kept for certain; up to twice as many are. Only who holds valid tokens can fill it.
const KEPT: usize = 4096;
/// The longest token that is kept: a host may add claims without end.
pub(crate) const MAX_KEPT_LENGTH: usize = 4096;

/// The hash of a token, so that no token is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

#[derive(Clone)]
struct Entry {
    token: Arc<AccessToken>,
    id: Id,
    /// What verified it. Another ring may have lost the key. It is not kept alive for that: its secrets are wiped when
    /// another has taken its place.
    ring: Weak<Ring>,
}

impl Entry {
    fn is_of(&self, ring: &Arc<Ring>) -> bool {
        std::ptr::eq(self.ring.as_ptr(), Arc::as_ptr(ring))
    }
}

#[derive(Default)]
struct Generations {
    young: HashMap<TokenHash, Entry>,
    /// What has not been asked for since there were too many.
    old: HashMap<TokenHash, Entry>,
}

#[derive(Default)]
pub(crate) struct VerifiedTokens(Mutex<Generations>);

impl VerifiedTokens {
    /// What the token says, if it was verified by this very ring.
    pub(crate) fn find(
        &self,
        hash: &TokenHash,
        ring: &Arc<Ring>,
    ) -> Option<(Arc<AccessToken>, Id)> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = kept.young.get(hash) {
            return entry.is_of(ring).then(|| (entry.token.clone(), entry.id));
        }
        let entry = kept.old.remove(hash).filter(|entry| entry.is_of(ring))?;
        let found = (entry.token.clone(), entry.id);
        kept.insert(*hash, entry);
        Some(found)
    }

    pub(crate) fn keep(&self, hash: TokenHash, token: &Arc<AccessToken>, id: Id, ring: &Arc<Ring>) {
        let entry = Entry { token: token.clone(), id, ring: Arc::downgrade(ring) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, entry);
    }
}

impl Generations {
    fn insert(&mut self, hash: TokenHash, entry: Entry) {
        if self.young.len() >= KEPT {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, entry);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::grant::GrantId;

    fn token(client: &str) -> Arc<AccessToken> {
        let claims = json!({"iss": "x", "sub": "ann", "aud": "x", "client_id": client, "exp": 9});
        let claims = claims.as_object().unwrap().clone();
        Arc::new(AccessToken::from_claims(claims, false).unwrap())
    }

    #[test]
    fn what_one_ring_has_verified_is_nothing_to_another() {
        let ring = || Arc::new(Ring::empty());
        let (one, two, kept) = (ring(), ring(), VerifiedTokens::default());
        let (hash, id) = (TokenHash::of("a.b.c"), Id::Grant(GrantId::from_bytes([1; 32])));
        kept.keep(hash, &token("c"), id, &one);
        assert_eq!(kept.find(&hash, &one).unwrap().0.client_id, "c");
        assert!(kept.find(&hash, &two).is_none());
        assert!(kept.find(&TokenHash::of("a.b.d"), &one).is_none());
        // Also not when it has grown old.
        for n in 0..KEPT {
            kept.keep(TokenHash::of(&n.to_string()), &token("other"), id, &one);
        }
        assert!(kept.find(&hash, &two).is_none());
    }

    #[test]
    fn it_is_bounded_and_what_is_asked_for_stays() {
        let ring = Arc::new(Ring::empty());
        let kept = VerifiedTokens::default();
        let (used, id) = (TokenHash::of("used"), Id::Client(GrantId::from_bytes([1; 32])));
        kept.keep(used, &token("used"), id, &ring);
        for n in 0..5 * KEPT {
            kept.keep(TokenHash::of(&n.to_string()), &token("other"), id, &ring);
            if n % 1000 == 0 {
                assert!(kept.find(&used, &ring).is_some(), "{n}");
            }
        }
        let Generations { young, old } = &*kept.0.lock().unwrap();
        assert!(young.len() <= KEPT && old.len() <= KEPT);
        assert!(!young.contains_key(&TokenHash::of("0")) && !old.contains_key(&TokenHash::of("0")));
    }
}
