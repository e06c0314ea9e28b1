//! When there is more to do than can be done: requests are refused before they are begun, so that what was begun comes to its end.
//!
//! Three signs are looked at: how many requests are being worked on, how long a request waits for its turn, and how late
//! the runtime is with what it has to do. The latter two are what a processor shows that has too much work; a queue that
//! nobody bounds would answer those only who have gone away long ago.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::turn::Turn;

/// How many requests are worked on at the same time in this process.
const IN_FLIGHT: usize = 1024;
/// How late the runtime may be.
const LATE: Duration = Duration::from_millis(250);
/// How many looks in a row must find it late before anybody is refused: a machine that does something else for a moment
/// has not too much to do.
const STRAINED_AFTER: u32 = 5;
/// How many must not, before a single one is a moment again.
const EASED_AFTER: u32 = 50;
/// How often it is looked at, while requests come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After how long without a request nobody looks any more.
const QUIET: Duration = Duration::from_secs(1);
/// For how long nothing new is begun after a turn came too late.
const AFTER_A_LATE_TURN: Duration = Duration::from_millis(50);
/// How often the operator is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What a process has to do. There is one processor for all servers of a process, so there is one of these.
pub(crate) struct Load {
    in_flight: AtomicUsize,
    is_late: AtomicBool,
    /// When a turn came too late, in milliseconds since [`START`]; 0 for never.
    late_turn: AtomicU64,
    shed: AtomicU64,
    has_work: Notify,
    worked: AtomicBool,
}

pub(crate) static LOAD: Load = Load::new();

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// In milliseconds, and never 0.
fn since_start() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// The place of a request that is worked on.
pub(crate) struct Place(Option<&'static Load>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(load) = self.0 {
            load.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Load {
    const fn new() -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            is_late: AtomicBool::new(false),
            late_turn: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            has_work: Notify::const_new(),
            worked: AtomicBool::new(false),
        }
    }

    /// A place for a request; none when there is too much to do. What relieves the server, or what others need to go on
    /// without it, always has one, and takes it from nobody: revocations, signing out, keys, metadata.
    fn place(&'static self, path: &str) -> Option<Place> {
        if is_needed(path) {
            self.note_work();
            return Some(Place(None));
        }
        if self.refuses(path) {
            return None;
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Place(Some(self)))
    }

    /// A place and a turn for a request; none when there is too much to do. Whoever hangs up while they wait is not
    /// worked for.
    pub(crate) async fn admit(&'static self, path: &str) -> Option<(Place, Turn)> {
        let place = self.place(path)?;
        if place.0.is_none() {
            return Some((place, Turn::OUT_OF_TURN));
        }
        let turn = Turn::next().await;
        if turn.is_none() {
            self.shed.fetch_add(1, Ordering::Relaxed);
            self.late_turn.store(since_start(), Ordering::Relaxed);
        }
        turn.map(|turn| (place, turn))
    }

    /// Whether a request is refused now; if so, it is counted.
    pub(crate) fn refuses(&self, path: &str) -> bool {
        let refuses = self.is_full() && !is_needed(path);
        self.shed.fetch_add(u64::from(refuses), Ordering::Relaxed);
        refuses
    }

    /// Whether nothing new should be begun.
    pub(crate) fn is_full(&self) -> bool {
        self.note_work();
        self.in_flight.load(Ordering::Relaxed) >= IN_FLIGHT
            || self.is_late.load(Ordering::Relaxed)
            || self.was_turn_late()
    }

    /// Whether somebody has just waited for a turn in vain.
    fn was_turn_late(&self) -> bool {
        match self.late_turn.load(Ordering::Relaxed) {
            0 => false,
            at => u128::from(since_start().saturating_sub(at)) < AFTER_A_LATE_TURN.as_millis(),
        }
    }

    /// Whoever asks has something to do, so that somebody must look.
    fn note_work(&self) {
        if !self.worked.swap(true, Ordering::Relaxed) {
            self.has_work.notify_one();
        }
    }

    /// Looks how late the runtime is, for as long as it is polled.
    pub(crate) async fn watch(&self) {
        // Whoever stops looking must not leave the last word.
        let _reset = Reset(self);
        let mut told = Instant::now();
        let mut strain = Strain::default();
        loop {
            self.has_work.notified().await;
            let mut quiet_since = Instant::now();
            while quiet_since.elapsed() < QUIET {
                let due = Instant::now() + LOOK_EVERY;
                tokio::time::sleep_until(due).await;
                self.is_late.store(strain.look(due.elapsed() > LATE), Ordering::Relaxed);
                if self.worked.swap(false, Ordering::Relaxed) {
                    quiet_since = Instant::now();
                }
                if told.elapsed() >= TELL_EVERY {
                    told = Instant::now();
                    self.tell();
                }
            }
            // What was so when everybody went is no word on those who come next.
            strain = Strain::default();
            self.is_late.store(false, Ordering::Relaxed);
            self.tell();
        }
    }

    fn tell(&self) {
        let shed = self.shed.swap(0, Ordering::Relaxed);
        if shed > 0 {
            tracing::warn!(shed, "there is too much to do: requests were asked to come again");
        }
    }
}

/// Whether being late has lasted, or was a moment.
#[derive(Default)]
struct Strain {
    is_strained: bool,
    /// How many looks in a row have said otherwise.
    against: u32,
}

impl Strain {
    /// Whether to refuse, after this look.
    fn look(&mut self, is_late: bool) -> bool {
        self.against = if is_late == self.is_strained { 0 } else { self.against + 1 };
        let enough = if self.is_strained { EASED_AFTER } else { STRAINED_AFTER };
        if self.against >= enough {
            (self.is_strained, self.against) = (!self.is_strained, 0);
        }
        self.is_strained && is_late
    }
}

struct Reset<'a>(&'a Load);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.0.is_late.store(false, Ordering::Relaxed);
    }
}

fn is_needed(path: &str) -> bool {
    path.ends_with("/oauth2/revoke")
        || path.ends_with("/oauth2/logout")
        || path.ends_with("/oauth2/jwks.json")
        || path.contains("/.well-known/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> &'static Load {
        Box::leak(Box::new(Load::new()))
    }

    #[test]
    fn beyond_the_places_only_what_is_needed_has_one() {
        let load = load();
        let places: Vec<_> = (0..IN_FLIGHT).map(|_| load.place("/oauth2/token").unwrap()).collect();
        assert!(load.place("/oauth2/token").is_none());
        let needed = ["/oauth2/revoke", "/oauth2/jwks.json", "/t/.well-known/openid-configuration"];
        let needed = needed.map(|needed| load.place(needed).unwrap());
        assert_eq!(load.in_flight.load(Ordering::Relaxed), IN_FLIGHT, "they take no place");
        drop((places, needed));
        assert!(load.place("/oauth2/token").is_some());
        assert_eq!(load.in_flight.load(Ordering::Relaxed), 0, "every place was given back");
        assert_eq!(load.shed.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_turn_that_came_too_late_nothing_new_is_begun_for_a_moment() {
        let load = load();
        let mut working = Vec::new();
        let soon = |admitted| tokio::time::timeout(Duration::ZERO, admitted);
        while let Ok(Some(admitted)) = soon(load.admit("/oauth2/token")).await {
            working.push(admitted);
        }
        assert!(!load.is_full());
        let late = tokio::spawn(load.admit("/oauth2/token"));
        tokio::task::yield_now().await;
        tokio::time::advance(2 * LATE + LOOK_EVERY).await;
        drop(working);
        assert!(late.await.unwrap().is_none());
        assert!(load.is_full() && load.place("/oauth2/token").is_none());
        tokio::time::advance(AFTER_A_LATE_TURN).await;
        assert!(!load.is_full() && load.place("/oauth2/token").is_some());
        assert_eq!(load.in_flight.load(Ordering::Relaxed), 0, "whoever is refused holds no place");
    }

    /// The time passes in one step, as when nobody gets to anything.
    async fn be_late(load: &'static Load, times: u32) {
        for _ in 0..times {
            drop(load.place("/oauth2/revoke"));
            tokio::time::advance(LATE + 2 * LOOK_EVERY).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_stays_late_refuses_until_it_is_not_any_more() {
        let load = load();
        let watching = tokio::spawn(load.watch());
        tokio::task::yield_now().await;
        drop(load.place("/oauth2/token"));
        tokio::time::sleep(2 * LOOK_EVERY).await;
        assert!(!load.is_full());
        be_late(load, STRAINED_AFTER - 1).await;
        assert!(!load.is_full(), "a moment is nothing");
        be_late(load, 1).await;
        assert!(load.is_full() && load.place("/oauth2/token").is_none());
        assert!(load.place("/oauth2/revoke").is_some());
        tokio::time::sleep(2 * LOOK_EVERY).await;
        assert!(!load.is_full() && load.place("/oauth2/token").is_some());
        // So soon afterwards once is enough.
        be_late(load, 1).await;
        assert!(load.is_full());
        for _ in 0..=EASED_AFTER {
            tokio::time::sleep(LOOK_EVERY).await;
            drop(load.place("/oauth2/token"));
        }
        be_late(load, 1).await;
        assert!(!load.is_full());
        // Nobody comes for a while, and the last look was a bad one: whoever comes then is not refused for it, also
        // when they only ask.
        be_late(load, STRAINED_AFTER).await;
        assert!(load.is_full());
        tokio::time::advance(2 * QUIET).await;
        tokio::time::sleep(2 * QUIET).await;
        assert!(!load.is_full());
        // Who stops looking leaves no last word.
        be_late(load, STRAINED_AFTER).await;
        assert!(load.is_full());
        watching.abort();
        assert!(watching.await.is_err() && !load.is_full());
    }
}
