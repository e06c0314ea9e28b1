//! Connections that wait for a request, and give way when there are too many.
//!
//! Whoever opens as many connections as are served, and says nothing on them, would keep everybody else out until they
//! are closed for saying nothing. So when a new one comes and all places are taken, the one that has waited longest
//! without a request is closed for it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use tokio::sync::Notify;

/// Those that wait, the longest first.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<Line>);

#[derive(Default)]
struct Line {
    places: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

/// One connection's place in the line, if it has one.
pub(crate) struct Place {
    line: Arc<Waiting>,
    number: Mutex<Option<u64>>,
    gives_way: Arc<Notify>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the one that has waited longest to give way, if one waits.
    pub(crate) fn make_room(&self) {
        if let Some((_, gives_way)) = self.lock().places.pop_first() {
            gives_way.notify_one();
        }
    }
}

impl Place {
    /// A new connection, which has not asked for anything yet.
    pub(crate) fn new(line: &Arc<Waiting>) -> Arc<Self> {
        let (number, gives_way) = (Mutex::default(), Arc::default());
        let place = Arc::new(Self { line: line.clone(), number, gives_way });
        place.wait();
        place
    }

    /// Ready when the connection is to give way.
    pub(crate) async fn given_up(&self) {
        self.gives_way.notified().await;
    }

    /// It waits for a request, from now on.
    fn wait(&self) {
        let mut line = self.line.lock();
        let number = line.next;
        line.next += 1;
        line.places.insert(number, self.gives_way.clone());
        *self.number.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
    }

    /// Whether it was still in the line.
    fn leave(&self) -> bool {
        let number = self.number.lock().unwrap_or_else(PoisonError::into_inner).take();
        number.is_some_and(|number| self.line.lock().places.remove(&number).is_some())
    }

    /// It has a request: until what this makes is dropped, it gives way to nobody. `None` when it has given way already.
    pub(crate) fn works(self: &Arc<Self>) -> Option<Working> {
        self.leave().then(|| Working(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A request is answered.
pub(crate) struct Working(Arc<Place>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// A body that is still an answer while it is taken.
pub(crate) struct Sending {
    body: Body,
    _working: Working,
}

impl Sending {
    pub(crate) fn new(body: Body, working: Working) -> Self {
        Self { body, _working: working }
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_given_up(place: &Place) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        Box::pin(place.given_up()).as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn who_has_waited_longest_gives_way_and_who_works_does_not() {
        let line = Arc::new(Waiting::default());
        let [first, second, third] = [(); 3].map(|()| Place::new(&line));
        let working = first.works().unwrap();
        line.make_room();
        // Nothing is begun any more where it has given way.
        assert!(second.works().is_none());
        assert!(!is_given_up(&first) && is_given_up(&second) && !is_given_up(&third));
        // Its request is answered: it waits again, behind the others.
        drop(working);
        line.make_room();
        assert!(!is_given_up(&first) && is_given_up(&third));
        line.make_room();
        assert!(is_given_up(&first));
        // Nobody is left to ask.
        line.make_room();
        assert!(!is_given_up(&first));
    }

    #[test]
    fn who_has_gone_is_not_asked() {
        let line = Arc::new(Waiting::default());
        let first = Place::new(&line);
        drop(Place::new(&line));
        let working = first.works().unwrap();
        assert!(line.lock().places.is_empty());
        drop(working);
        assert_eq!(line.lock().places.len(), 1);
        drop(first);
        assert!(line.lock().places.is_empty());
    }
}
