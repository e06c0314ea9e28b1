//! Time and randomness, which come in as arguments.
//!
//! Nothing in this crate reads a clock or asks the operating system for random bytes except
//! [`SystemEnvironment`], here. A test hands in an environment whose clock it moves by hand, so
//! expiry, replay and rotation are proved without sleeping.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, UTC.
///
/// Tokens speak of whole seconds ([`Time::secs`] rounds down), records keep the milliseconds, so
/// that "signed in after the request was made" can be told within one second.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(i64);

impl Time {
    /// The Unix epoch.
    pub const EPOCH: Time = Time(0);

    /// A time from milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// A time from whole seconds since the epoch.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: the NumericDate of RFC 7519 section 2.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time moved forward; the far future is a wall, not an overflow.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This time moved back.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl From<chrono::DateTime<chrono::Utc>> for Time {
    fn from(at: chrono::DateTime<chrono::Utc>) -> Self {
        Self(at.timestamp_millis())
    }
}

impl From<Time> for chrono::DateTime<chrono::Utc> {
    /// Times outside chrono's range (some 262,000 years each way) become the epoch.
    fn from(at: Time) -> Self {
        chrono::DateTime::from_timestamp_millis(at.0).unwrap_or_default()
    }
}

/// Where the engine gets the time and its randomness.
pub trait Environment: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Time;

    /// Fills `bytes` from a cryptographically secure source.
    ///
    /// # Errors
    /// When the source fails. The request is then answered with a server error and nothing
    /// is issued: a predictable credential is worse than none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessUnavailable>;
}

/// The source of randomness failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct RandomnessUnavailable;

/// The operating system's clock and random generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Time {
        chrono::Utc::now().into()
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessUnavailable> {
        use rand::TryRng;
        rand::rngs::SysRng.try_fill_bytes(bytes).map_err(|_| RandomnessUnavailable)
    }
}

/// A clock that never runs backwards within this process.
///
/// A wall clock may be stepped back (by NTP, by an operator). A credential that has been seen to
/// expire would then live again, so the engine keeps the latest time that it has seen.
#[derive(Debug, Default)]
pub(crate) struct Monotonic(AtomicI64);

impl Monotonic {
    pub(crate) fn now(&self, environment: &dyn Environment) -> Time {
        let now = environment.now().millis();
        Time(self.0.fetch_max(now, Ordering::Relaxed).max(now))
    }
}

/// `N` bytes from the environment.
pub(crate) fn random<const N: usize>(
    environment: &dyn Environment,
) -> Result<[u8; N], RandomnessUnavailable> {
    let mut bytes = [0; N];
    environment.fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stepping(AtomicI64);

    impl Environment for Stepping {
        fn now(&self) -> Time {
            Time(self.0.load(Ordering::Relaxed))
        }
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomnessUnavailable> {
            Err(RandomnessUnavailable)
        }
    }

    #[test]
    fn a_clock_that_steps_back_is_held() {
        let environment = Stepping(AtomicI64::new(5000));
        let clock = Monotonic::default();
        assert_eq!(clock.now(&environment), Time::from_secs(5));
        environment.0.store(1000, Ordering::Relaxed);
        assert_eq!(clock.now(&environment), Time::from_secs(5));
        environment.0.store(6000, Ordering::Relaxed);
        assert_eq!(clock.now(&environment), Time::from_secs(6));
    }

    #[test]
    fn seconds_round_down_and_the_ends_of_time_do_not_overflow() {
        assert_eq!(Time::from_millis(1999).secs(), 1);
        assert_eq!(Time::from_millis(-1).secs(), -1);
        assert_eq!(Time::from_millis(i64::MAX).plus(Duration::MAX).millis(), i64::MAX);
        assert_eq!(Time::EPOCH.since(Time::from_secs(9)), Duration::ZERO);
    }
}
