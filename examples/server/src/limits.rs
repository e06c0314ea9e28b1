//! How often somebody may try: token buckets, in memory.
//!
//! They are our own forty lines because a wrong password must be counted after it was checked and
//! refused before: a bucket that can be asked without being emptied is what libraries lack.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use grantor::{Attempt, RateLimit, Time};

/// How many keys are remembered before the buckets that are not empty are forgotten.
const KEYS: usize = 10_000;

/// One bucket a key: `burst` tries at once, then one every `every`.
struct Buckets<K> {
    /// For each key the time at which its bucket is full again.
    full_at: Mutex<HashMap<K, Time>>,
    burst: u32,
    every: Duration,
}

impl<K: Hash + Eq> Buckets<K> {
    fn new(burst: u32, every: Duration) -> Self {
        Self { full_at: Mutex::default(), burst, every }
    }

    /// How long until the next try would pass, when it would not pass now.
    fn wait(&self, key: &K, now: Time) -> Result<(), Duration> {
        let full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.wait_until(full_at.get(key).copied().unwrap_or(now), now)
    }

    fn wait_until(&self, full_at: Time, now: Time) -> Result<(), Duration> {
        let missing = full_at.since(now);
        let bearable = self.every * self.burst.saturating_sub(1);
        match missing.checked_sub(bearable) {
            Some(wait) if wait > Duration::ZERO => Err(wait),
            _ => Ok(()),
        }
    }

    /// Takes one try out of the bucket, if there is one.
    fn take(&self, key: K, now: Time) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= KEYS {
            full_at.retain(|_, full_at| self.wait_until(*full_at, now).is_err());
        }
        let entry = full_at.entry(key).or_insert(now);
        self.wait_until(*entry, now)?;
        *entry = (*entry).max(now).plus(self.every);
        Ok(())
    }
}

/// Calls of clients: 600 at once and ten a second, for each client at each address. A confidential
/// client's server makes every call of a whole site from one address.
pub(crate) struct ClientLimit(Buckets<(String, Option<IpAddr>)>);

impl ClientLimit {
    pub(crate) fn new() -> Self {
        Self(Buckets::new(600, Duration::from_millis(100)))
    }
}

impl RateLimit for ClientLimit {
    fn check(&self, attempt: &Attempt<'_>) -> Result<(), Duration> {
        // A name that nobody registers is not worth remembering whole.
        let client_id = attempt.client_id.chars().take(64).collect();
        self.0.take((client_id, attempt.peer), attempt.now)
    }
}

/// Wrong passwords: ten at once for an account, then one every 90 seconds; thirty at once from an
/// address, then one every ten seconds. Right ones cost nothing.
pub(crate) struct LoginLimit {
    account: Buckets<String>,
    address: Buckets<Option<IpAddr>>,
}

impl LoginLimit {
    pub(crate) fn new() -> Self {
        Self {
            account: Buckets::new(10, Duration::from_secs(90)),
            address: Buckets::new(30, Duration::from_secs(10)),
        }
    }

    /// Whether a password may be tried, whatever it is.
    pub(crate) fn check(
        &self,
        email: &str,
        peer: Option<IpAddr>,
        now: Time,
    ) -> Result<(), Duration> {
        self.account.wait(&key(email), now).and(self.address.wait(&peer, now))
    }

    /// Counts a wrong password.
    pub(crate) fn wrong(&self, email: &str, peer: Option<IpAddr>, now: Time) {
        let _ = self.account.take(key(email), now);
        let _ = self.address.take(peer, now);
    }
}

/// One account has one bucket, however its address is written.
fn key(email: &str) -> String {
    email.trim().to_ascii_lowercase().chars().take(254).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_secs(1_700_000_000);

    fn at(seconds: u64) -> Time {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn an_account_has_ten_wrong_tries_and_then_one_every_ninety_seconds() {
        let limit = LoginLimit::new();
        for n in 0..10 {
            assert_eq!(limit.check("Ann@example.com ", None, START), Ok(()), "{n}");
            limit.wrong("ann@EXAMPLE.com", None, START);
        }
        assert_eq!(limit.check("ann@example.com", None, START), Err(Duration::from_secs(90)));
        assert_eq!(limit.check("bob@example.com", None, START), Ok(()));
        assert!(limit.check("ann@example.com", None, at(89)).is_err());
        assert_eq!(limit.check("ann@example.com", None, at(90)), Ok(()));
        limit.wrong("ann@example.com", None, at(90));
        assert!(limit.check("ann@example.com", None, at(91)).is_err());
    }

    #[test]
    fn an_address_is_limited_over_all_accounts() {
        let limit = LoginLimit::new();
        let peer = Some(IpAddr::from([192, 0, 2, 1]));
        for n in 0..30 {
            limit.wrong(&format!("person{n}@example.com"), peer, START);
        }
        assert!(limit.check("fresh@example.com", peer, START).is_err());
        assert_eq!(limit.check("fresh@example.com", None, START), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_blocked_keys_are_not_forgotten() {
        let buckets = Buckets::new(1, Duration::from_secs(1));
        for n in 0..KEYS + 500 {
            buckets.take(n, at(n as u64 * 2)).unwrap();
        }
        assert!(buckets.full_at.lock().unwrap().len() <= KEYS + 1);
        let now = at(3 * KEYS as u64);
        let blocked = usize::MAX;
        buckets.take(blocked, now).unwrap();
        for n in 0..KEYS + 500 {
            let _ = buckets.take(n, now);
        }
        assert!(buckets.wait(&blocked, now).is_err());
    }
}
