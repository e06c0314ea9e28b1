//! How often somebody may try: token buckets, in memory.
//!
//! They are our own sixty lines because a try must be counted before its password is checked, or
//! parallel tries would pass together, and given back when the password was right: a bucket that
//! takes back is what libraries lack.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use grantor::{Attempt, RateLimit, Time};
use serde::{Deserialize, Serialize};

use crate::devices::Device;

/// How many keys are remembered before the buckets that are full again are forgotten.
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

    /// So many a second, and a minute's worth at once.
    fn per_second(rate: u32) -> Self {
        Self::new(rate.saturating_mul(60), Duration::from_secs(1) / rate.max(1))
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
            full_at.retain(|_, full_at| *full_at > now);
        }
        let entry = full_at.entry(key).or_insert(now);
        self.wait_until(*entry, now)?;
        *entry = (*entry).max(now).plus(self.every);
        Ok(())
    }

    /// Puts one try back.
    fn give_back(&self, key: &K, now: Time) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = full_at.get_mut(key) {
            *entry = entry.minus(self.every);
            if *entry <= now {
                full_at.remove(key);
            }
        }
    }
}

/// What is not a password: so many a second, and a minute's worth at once. The time between two is counted in whole
/// milliseconds, so of more than a hundred it is a little more.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Pages and the API, for each address. A whole company may be behind one.
    pub(crate) address: u32,
    /// Calls of one client from one address. A confidential client's server makes every call of a whole site
    /// from one.
    pub(crate) client: u32,
    /// What one administrator does.
    pub(crate) administrator: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { address: 20, client: 10, administrator: 5 }
    }
}

impl Limits {
    /// What to mend, if one is out of range: the buckets count milliseconds.
    pub(crate) fn check(&self) -> Result<(), String> {
        let all = [
            ("address", self.address),
            ("client", self.client),
            ("administrator", self.administrator),
        ];
        match all.iter().find(|(_, rate)| !(1..=1000).contains(rate)) {
            Some((name, rate)) => Err(format!("limits.{name} is {rate}; use 1 to 1000 a second")),
            None => Ok(()),
        }
    }
}

/// Calls of clients, for each client at each address.
///
/// Registrations: so many in an hour from each address, half of them at once, for each of them is kept.
pub(crate) struct ClientLimit {
    calls: Buckets<(String, Option<Network>)>,
    registrations: Buckets<Option<Network>>,
}

impl ClientLimit {
    pub(crate) fn new(limits: &Limits, registrations: u32) -> Self {
        let registrations = registrations.max(2);
        // Half of them are there at once, and the other half comes back within the hour.
        let every = Duration::from_secs(2 * 3600) / registrations;
        Self {
            calls: Buckets::per_second(limits.client),
            registrations: Buckets::new(registrations / 2, every),
        }
    }
}

impl RateLimit for ClientLimit {
    fn check(&self, attempt: &Attempt<'_>) -> Result<(), Duration> {
        let from = attempt.peer.map(Network::of);
        if attempt.endpoint.ends_with("/oauth2/register") {
            return self.registrations.take(from, attempt.now);
        }
        // A name that nobody registers is not worth remembering whole.
        let client_id = attempt.client_id.chars().take(64).collect();
        self.calls.take((client_id, from), attempt.now)
    }
}

/// Passwords. A right one costs nothing.
///
/// - One account from one address: ten at once, then one every 90 seconds.
/// - One account from everywhere: a hundred at once, then one every ten seconds. It slows those who
///   have many addresses; it is so wide that one of them cannot lock a person out.
/// - One address, over all accounts: thirty at once, then one every ten seconds.
/// - One account from a browser that is known for it: ten at once, then one every 90 seconds, whatever others do.
pub(crate) struct LoginLimit {
    device: Buckets<Device>,
    here: Buckets<(String, Option<Network>)>,
    account: Buckets<String>,
    address: Buckets<Option<Network>>,
}

/// A try that is counted.
#[must_use = "a right password must be given back"]
pub(crate) enum Tried {
    Known(Device),
    Unknown { account: String, address: Option<Network> },
}

impl LoginLimit {
    pub(crate) fn new() -> Self {
        Self {
            device: Buckets::new(10, Duration::from_secs(90)),
            here: Buckets::new(10, Duration::from_secs(90)),
            account: Buckets::new(100, Duration::from_secs(10)),
            address: Buckets::new(30, Duration::from_secs(10)),
        }
    }

    /// Counts a try, before anybody looks at its password; or says how long to wait.
    pub(crate) fn take(
        &self,
        email: &str,
        peer: Option<IpAddr>,
        device: Option<Device>,
        now: Time,
    ) -> Result<Tried, Duration> {
        if let Some(device) = device {
            return self.device.take(device, now).map(|()| Tried::Known(device));
        }
        let (account, address) = (key(email), peer.map(Network::of));
        self.here.take((account.clone(), address), now)?;
        if let Err(wait) = self.account.take(account.clone(), now) {
            self.here.give_back(&(account, address), now);
            return Err(wait);
        }
        if let Err(wait) = self.address.take(address, now) {
            self.here.give_back(&(account.clone(), address), now);
            self.account.give_back(&account, now);
            return Err(wait);
        }
        Ok(Tried::Unknown { account, address })
    }

    /// The password was right, or was not looked at after all.
    pub(crate) fn give_back(&self, tried: Tried, now: Time) {
        match tried {
            Tried::Known(device) => self.device.give_back(&device, now),
            Tried::Unknown { account, address } => {
                self.account.give_back(&account, now);
                self.here.give_back(&(account, address), now);
                self.address.give_back(&address, now);
            }
        }
    }
}

/// What counts as one address: of IPv6 the network of 64 bits, which one subscriber has whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let host_bits = u128::from(u64::MAX);
                IpAddr::from((u128::from(address) & !host_bits).to_be_bytes())
            }
            address => address,
        })
    }
}

/// One account has one bucket, however its address is written.
fn key(email: &str) -> String {
    email.trim().to_ascii_lowercase().chars().take(254).collect()
}

/// Pages and the API, for each address and for each administrator.
pub(crate) struct PageLimit {
    address: Buckets<Option<Network>>,
    administrator: Buckets<String>,
}

impl PageLimit {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            address: Buckets::per_second(limits.address),
            administrator: Buckets::per_second(limits.administrator),
        }
    }

    pub(crate) fn visit(&self, peer: Option<IpAddr>, now: Time) -> Result<(), Duration> {
        self.address.take(peer.map(Network::of), now)
    }

    pub(crate) fn administer(&self, subject: &str, now: Time) -> Result<(), Duration> {
        self.administrator.take(subject.to_owned(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_secs(1_700_000_000);

    fn at(seconds: u64) -> Time {
        START.plus(Duration::from_secs(seconds))
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_account_has_ten_tries_from_an_address_and_then_one_every_ninety_seconds() {
        let limit = LoginLimit::new();
        let peer = address("192.0.2.1");
        for n in 0..10 {
            assert!(limit.take("ann@EXAMPLE.com ", peer, None, START).is_ok(), "{n}");
        }
        assert_eq!(
            limit.take("ann@example.com", peer, None, START).err(),
            Some(Duration::from_secs(90))
        );
        assert!(limit.take("ann@example.com", peer, None, at(89)).is_err());
        assert!(limit.take("ann@example.com", peer, None, at(90)).is_ok());
        assert!(limit.take("ann@example.com", peer, None, at(91)).is_err());
        // Somebody else's tries do not keep Ann out.
        assert!(limit.take("ann@example.com", address("192.0.2.2"), None, START).is_ok());
        assert!(limit.take("bob@example.com", peer, None, START).is_ok());
    }

    #[test]
    fn tries_count_before_they_are_checked_and_right_ones_come_back() {
        let limit = LoginLimit::new();
        let peer = address("192.0.2.1");
        let tried: Vec<_> =
            (0..20).filter_map(|_| limit.take("ann@example.com", peer, None, START).ok()).collect();
        assert_eq!(tried.len(), 10);
        for tried in tried {
            limit.give_back(tried, START);
        }
        for _ in 0..1000 {
            limit.give_back(limit.take("ann@example.com", peer, None, START).unwrap(), START);
        }
        let wrong = (0..20).filter(|_| limit.take("ann@example.com", peer, None, START).is_ok());
        assert_eq!(wrong.count(), 10);
    }

    #[test]
    fn an_account_is_limited_over_all_addresses() {
        let limit = LoginLimit::new();
        let from = |n: u32| address(&format!("192.0.2.{}", n % 250));
        let passed =
            (0..250).filter(|n| limit.take("ann@example.com", from(*n), None, START).is_ok());
        assert_eq!(passed.count(), 100);
        assert!(limit.take("bob@example.com", from(1), None, START).is_ok());
    }

    #[test]
    fn an_address_is_limited_over_all_accounts_and_a_network_of_ipv6_is_one_address() {
        let limit = LoginLimit::new();
        for n in 0..30 {
            let peer = address(&format!("2001:db8:1:2::{n:x}"));
            assert!(limit.take(&format!("person{n}@example.com"), peer, None, START).is_ok());
        }
        assert!(limit.take("fresh@example.com", address("2001:db8:1:2:3::"), None, START).is_err());
        assert!(limit.take("fresh@example.com", address("2001:db8:1:3::1"), None, START).is_ok());
        assert!(limit.take("fresh@example.com", None, None, START).is_ok());
    }

    #[test]
    fn a_client_is_limited_at_each_address() {
        let limit = ClientLimit::new(&Limits::default(), 60);
        let check = |client_id: &str, peer: &str| {
            let (peer, now) = (address(peer), START);
            limit.calls.take((client_id.to_owned(), peer.map(Network::of)), now)
        };
        for _ in 0..600 {
            assert_eq!(check("c", "192.0.2.1"), Ok(()));
        }
        assert!(check("c", "192.0.2.1").is_err());
        assert!(check("c", "::ffff:192.0.2.1").is_err());
        assert_eq!((check("c", "192.0.2.2"), check("d", "192.0.2.1")), (Ok(()), Ok(())));
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
        assert!(buckets.take(blocked, now).is_err());
    }

    #[test]
    fn the_owner_gets_in_from_a_known_browser_while_many_networks_guess() {
        let limit = LoginLimit::new();
        // Fifty networks, each as often as it may, for an hour.
        let mut guesses = 0;
        for second in 0..3600 {
            for network in 0..50_u8 {
                let peer = address(&format!("192.0.2.{network}"));
                guesses += u32::from(limit.take("ann@example.com", peer, None, at(second)).is_ok());
            }
            if second % 600 == 599 {
                let owner = address("198.51.100.1");
                assert!(
                    limit.take("ann@example.com", owner, None, at(second)).is_err(),
                    "{second}"
                );
                let known = Some(Device::of_bytes([7; 32]));
                let tried = limit.take("ann@example.com", owner, known, at(second)).unwrap();
                limit.give_back(tried, at(second));
            }
        }
        assert!(guesses < 100 + 360 + 1, "{guesses}");
        // A browser that is known, in the wrong hands, may guess no more often than anybody.
        let known = Some(Device::of_bytes([8; 32]));
        let peers = (0..100_u8).map(|n| address(&format!("203.0.113.{n}")));
        let tries = peers.filter(|peer| limit.take("bo@example.com", *peer, known, START).is_ok());
        assert_eq!(tries.count(), 10);
    }

    #[test]
    fn pages_are_limited_by_address_and_administrators_by_themselves() {
        let limit = PageLimit::new(&Limits::default());
        let peer = address("192.0.2.1");
        assert_eq!((0..2000).filter(|_| limit.visit(peer, START).is_ok()).count(), 1200);
        assert!(limit.visit(address("192.0.2.2"), START).is_ok());
        assert_eq!((0..100).filter(|_| limit.visit(peer, at(2)).is_ok()).count(), 40);
        assert_eq!((0..2000).filter(|_| limit.administer("ada", START).is_ok()).count(), 300);
        assert!(limit.administer("bea", START).is_ok());
    }
}
