//! Turns to work in, so that what waits is counted.
//!
//! Left to the runtime, a request that nobody has read yet waits in the runtime's queues, where nobody counts it, and
//! the work that others have begun keeps it there. So work is done in turns, of which there are few: between two of
//! them everybody goes on who is ready, and reads, refuses or sends. What then waits for a turn has been read, and
//! knows since when it waits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How many there are for each thread of a runtime: after every single one to look for what has come would cost too much.
const TURNS: usize = 4;
/// How long somebody waits for one. Whoever has waited longer would be answered late, and those behind them later.
const PATIENCE: Duration = Duration::from_millis(500);

/// The free turns of a runtime. Each has its own, because actix has one on each thread: what blocks one keeps nobody from
/// the others.
static FREE: Mutex<Vec<(runtime::Id, Weak<Semaphore>)>> = Mutex::new(Vec::new());

thread_local! {
    /// Those of the runtime that this thread was seen to work for.
    static OWN: RefCell<Option<(runtime::Id, Arc<Semaphore>)>> = const { RefCell::new(None) };
}

fn free() -> Arc<Semaphore> {
    let runtime = Handle::current();
    let id = runtime.id();
    OWN.with_borrow_mut(|own| match own {
        Some((of, free)) if *of == id => free.clone(),
        _ => {
            let free = of_runtime(id, runtime.metrics().num_workers());
            *own = Some((id, free.clone()));
            free
        }
    })
}

fn of_runtime(id: runtime::Id, workers: usize) -> Arc<Semaphore> {
    let mut all = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|(_, free)| free.strong_count() > 0);
    let known = all.iter().find(|(of, _)| *of == id).and_then(|(_, free)| free.upgrade());
    known.unwrap_or_else(|| {
        let free = Arc::new(Semaphore::new(TURNS * workers));
        all.push((id, Arc::downgrade(&free)));
        free
    })
}

/// The right to work until the work waits for something.
pub(crate) struct Turn(Option<OwnedSemaphorePermit>);

impl Turn {
    /// For what must not wait.
    pub(crate) const OUT_OF_TURN: Self = Turn(None);

    /// The next turn that is free, in the order of asking; none when it comes too late.
    pub(crate) async fn next() -> Option<Self> {
        let free = free();
        if let Ok(turn) = free.clone().try_acquire_owned() {
            return Some(Self(Some(turn)));
        }
        let since = Instant::now();
        let turn = free.acquire_owned().await.ok()?;
        (since.elapsed() <= PATIENCE).then_some(Self(Some(turn)))
    }

    pub(crate) async fn work<F: Future>(self, work: F) -> F::Output {
        let mut work = pin!(work);
        let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        if self.0.is_some() {
            go_behind().await;
        }
        drop(self);
        match first {
            Poll::Ready(done) => done,
            Poll::Pending => work.await,
        }
    }
}

/// Lets everybody go first who is ready.
async fn go_behind() {
    let mut has_gone = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_gone, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn everybody_who_is_ready_goes_on_between_two_turns() {
        let worked = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..10 * TURNS {
            let worked = worked.clone();
            tasks.spawn(async move {
                let turn = Turn::next().await.unwrap();
                turn.work(async { worked.fetch_add(1, Ordering::Relaxed) }).await;
            });
        }
        let reader = tokio::spawn(async move {
            let mut before = 0;
            while before < 10 * TURNS {
                go_behind().await;
                let now = worked.load(Ordering::Relaxed);
                assert!(now - before <= TURNS, "{before} to {now}");
                before = now;
            }
        });
        reader.await.unwrap();
        assert_eq!(tasks.join_all().await.len(), 10 * TURNS);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_waits_gives_its_turn_to_others() {
        let begun = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..TURNS {
            let begun = begun.clone();
            tasks.spawn(async move {
                let turn = Turn::next().await.unwrap();
                begun.fetch_add(1, Ordering::Relaxed);
                turn.work(std::future::pending::<()>()).await;
            });
        }
        while begun.load(Ordering::Relaxed) < TURNS {
            yield_now().await;
        }
        let next = tokio::time::timeout(PATIENCE, Turn::next()).await.unwrap().unwrap();
        assert_eq!(next.work(async { 7 }).await, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_comes_too_late_is_none_and_goes_to_the_next() {
        let mut taken = Vec::new();
        for _ in 0..TURNS {
            taken.push(Turn::next().await.unwrap());
        }
        let next = async || Turn::next().await.is_some();
        let [early, gone, patient] = [(); 3].map(|()| tokio::spawn(next()));
        yield_now().await;
        gone.abort();
        tokio::time::advance(PATIENCE + Duration::from_millis(1)).await;
        let late = tokio::spawn(next());
        yield_now().await;
        drop(taken.pop());
        assert!(!early.await.unwrap() && !patient.await.unwrap(), "both waited too long");
        assert!(late.await.unwrap());
    }
}
