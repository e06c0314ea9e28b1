//! What the clients did: each call is written down before it is sent, and again when it is answered.
//!
//! A call without an answer is either-or: the server did it, or it did not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant, SystemTime};

/// A position in the order of what happened, as the clients saw it.
pub(crate) type Tick = u64;

/// What a client wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A code, by a person's session.
    Authorize,
    /// Tokens for a code, with the right client, redirect URI and verifier.
    Redeem { code: String },
    /// Tokens for a refresh token.
    Refresh { token: String },
    /// The end of a grant, by its refresh token.
    Revoke { token: String },
    /// Whether an access token lives.
    Introspect { access_token: String },
    /// A new client.
    Register,
    /// A token of a registered client's own.
    UseClient { client_id: String },
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Code(String),
    Tokens {
        refresh_token: String,
        access_token: String,
    },
    /// `invalid_grant`, or for a client `invalid_client`.
    Refused,
    Revoked,
    Active,
    Inactive,
    Client(String),
    ClientWorks,
    /// 503 with the RFC's error: nothing is promised.
    Unavailable,
    /// What no specification allows here.
    Odd(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) wish: Wish,
    pub(crate) began: Tick,
    /// When it was answered, or the process that could have done it was dead.
    pub(crate) ended: Tick,
    /// Milliseconds since the journal began.
    pub(crate) began_at: u64,
    pub(crate) ended_at: u64,
    pub(crate) answer: Option<Answer>,
}

impl Call {
    pub(crate) fn is_unavailable(&self) -> bool {
        self.answer == Some(Answer::Unavailable)
    }

    pub(crate) fn gave_tokens(&self) -> bool {
        matches!(self.answer, Some(Answer::Tokens { .. }))
    }

    /// Whether the answer says that the grant lives.
    pub(crate) fn says_alive(&self) -> bool {
        matches!(self.answer, Some(Answer::Tokens { .. } | Answer::Active))
    }

    /// Whether the answer is no, which changes nothing.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.answer, Some(Answer::Refused | Answer::Inactive))
    }

    /// Whether the answer says that the grant has ended.
    pub(crate) fn says_ended(&self) -> bool {
        self.is_refused() || self.answer == Some(Answer::Revoked)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All calls of all clients.
pub(crate) struct Journal {
    ticks: AtomicU64,
    start: Instant,
    /// The same moment, since 1970.
    start_since_1970: Duration,
    calls: Mutex<Vec<Call>>,
    /// Who waits for the next change to be answered.
    waiting: Mutex<Option<Thread>>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            ticks: AtomicU64::new(0),
            start: Instant::now(),
            start_since_1970: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            calls: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// The position of what happens now.
    pub(crate) fn now(&self) -> Tick {
        self.tick().0
    }

    fn tick(&self) -> (Tick, u64) {
        let at = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.ticks.fetch_add(1, Ordering::SeqCst), at)
    }

    /// Writes a call down, makes it, and writes down what came of it. `send` returns `None` when no
    /// answer came.
    pub(crate) fn call(&self, wish: Wish, send: impl FnOnce() -> Option<Answer>) -> Option<Answer> {
        let (began, began_at) = self.tick();
        let index = {
            let mut calls = lock(&self.calls);
            let (ended, ended_at) = (Tick::MAX, u64::MAX);
            calls.push(Call { wish, began, ended, began_at, ended_at, answer: None });
            calls.len() - 1
        };
        let answer = send();
        let is_change = answer == Some(Answer::Revoked)
            || matches!(answer, Some(Answer::Tokens { .. } | Answer::Code(_) | Answer::Client(_)));
        if is_change && let Some(thread) = lock(&self.waiting).take() {
            thread.unpark();
        }
        let (ended, ended_at) = self.tick();
        let mut calls = lock(&self.calls);
        if let Some(call) = calls.get_mut(index) {
            // Without an answer it goes on until the process is dead.
            if answer.is_some() {
                (call.ended, call.ended_at) = (ended, ended_at);
            }
            call.answer.clone_from(&answer);
        }
        answer
    }

    /// A moment of the journal, since 1970.
    pub(crate) fn since_1970(&self, moment: Instant) -> Duration {
        self.start_since_1970 + moment.saturating_duration_since(self.start)
    }

    /// What it would be if everybody had died at `moment`: what was answered later is not.
    pub(crate) fn until(&self, moment: Instant) -> Self {
        let at = moment.saturating_duration_since(self.start).as_millis();
        let mut calls = self.calls();
        calls.retain(|call| u128::from(call.began_at) <= at);
        for call in &mut calls {
            // The millisecond is not over when it is written down.
            if u128::from(call.ended_at) + 1 > at {
                (call.answer, call.ended, call.ended_at) = (None, Tick::MAX, u64::MAX);
            }
        }
        let cut = Self {
            ticks: AtomicU64::new(self.ticks.load(Ordering::SeqCst)),
            calls: Mutex::new(calls),
            waiting: Mutex::default(),
            ..*self
        };
        cut.died();
        cut
    }

    /// Waits until a change was answered just now: that is when it could be lost.
    pub(crate) fn await_change(&self) {
        *lock(&self.waiting) = Some(std::thread::current());
        std::thread::park_timeout(Duration::from_secs(5));
    }

    /// The process is dead: whatever is not answered is over.
    pub(crate) fn died(&self) {
        let (ended, ended_at) = self.tick();
        let mut calls = lock(&self.calls);
        for call in calls.iter_mut().rev().filter(|call| call.ended == Tick::MAX) {
            (call.ended, call.ended_at) = (ended, ended_at);
        }
    }

    /// How many calls were answered 503.
    pub(crate) fn unavailable(&self) -> usize {
        let calls = lock(&self.calls);
        calls.iter().filter(|call| call.is_unavailable()).count()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    /// The first call that began after `since` and is such a one.
    pub(crate) fn first_since(&self, since: Tick, is: impl Fn(&Call) -> bool) -> Option<Call> {
        lock(&self.calls).iter().find(|call| call.began > since && is(call)).cloned()
    }
}
