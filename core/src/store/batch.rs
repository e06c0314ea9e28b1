//! One commit for all who wait.

use std::sync::mpsc::Receiver;

/// How often the turn is given to others, at most. On a processor with other work each may take some milliseconds.
const TURNS: usize = 8;

/// For a backend with one writing thread: the job that it has just received, and those that are on their way, `most` at
/// most. Whoever is about to send one gets the processor for as long as jobs keep coming: a commit costs the disk and
/// the processor the same for one as for many. Where nobody else has anything to do, this takes no time, and a single
/// caller waits for nobody.
pub fn batch<T>(first: T, queue: &Receiver<T>, most: usize) -> Vec<T> {
    let mut batch = vec![first];
    for _ in 0..TURNS {
        std::thread::yield_now();
        let before = batch.len();
        batch.extend(queue.try_iter().take(most.saturating_sub(before)));
        if batch.len() == before || batch.len() >= most {
            break;
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::batch;

    #[test]
    fn all_that_wait_come_along_in_their_order_and_no_more_than_are_wanted() {
        let (send, queue) = channel();
        for n in 1..10 {
            send.send(n).unwrap();
        }
        assert_eq!(batch(0, &queue, 4), [0, 1, 2, 3]);
        let first = queue.recv().unwrap();
        assert_eq!(batch(first, &queue, 100), [4, 5, 6, 7, 8, 9]);
        assert_eq!(batch(10, &queue, 100), [10], "nobody else is waited for");
        assert_eq!(batch(11, &queue, 1), [11]);
    }
}
