//! Many futures side by side, without a runtime.

use std::future::{Future, poll_fn};
use std::task::Poll;

/// How many are under way at once: stores commit together what comes together, and none is flooded.
const AT_ONCE: usize = 64;

/// Awaits all of them, some at a time, and gives what came of each in their order. After a failure no more are begun, but
/// those that were under way are brought to their end.
pub(crate) async fn all<T, E>(
    futures: impl IntoIterator<Item = impl Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    let mut waiting = futures.into_iter();
    let mut done = Vec::new();
    loop {
        let begun = waiting.by_ref().take(AT_ONCE).map(|future| (Box::pin(future), None));
        let mut begun: Vec<_> = begun.collect();
        if begun.is_empty() {
            return Ok(done);
        }
        poll_fn(|context| {
            let mut ready = true;
            for (future, outcome) in begun.iter_mut().filter(|(_, outcome)| outcome.is_none()) {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *outcome = Some(value),
                    Poll::Pending => ready = false,
                }
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        for outcome in begun.into_iter().filter_map(|(_, outcome)| outcome) {
            done.push(outcome?);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use pollster::block_on;

    use super::*;

    /// Ready when it is polled for the second time.
    async fn once_more() {
        let mut first = true;
        poll_fn(|context| {
            if std::mem::take(&mut first) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }

    #[test]
    fn all_come_in_their_order_and_a_bounded_number_at_once() {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let (running, most) = (&running, &most);
        let futures = (0..1000).map(|n| async move {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            once_more().await;
            running.set(running.get() - 1);
            Ok::<_, ()>(n)
        });
        assert_eq!(block_on(all(futures)), Ok((0..1000).collect()));
        assert_eq!(most.get(), AT_ONCE);
        assert_eq!(block_on(all(Vec::<std::future::Ready<Result<(), ()>>>::new())), Ok(vec![]));
    }

    #[test]
    fn after_a_failure_none_is_begun_and_none_is_left_half_done() {
        let (begun, ended) = (Cell::new(0), Cell::new(0));
        let (begun, ended) = (&begun, &ended);
        let futures = (0..1000).map(|n| async move {
            begun.set(begun.get() + 1);
            once_more().await;
            ended.set(ended.get() + 1);
            if n == 70 { Err(n) } else { Ok(()) }
        });
        assert_eq!(block_on(all(futures)), Err(70));
        assert_eq!((begun.get(), ended.get()), (2 * AT_ONCE, 2 * AT_ONCE));
    }
}
