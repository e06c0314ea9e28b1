//! What an outbox owes.

use std::collections::BTreeSet;

use pollster::block_on;

use super::{Backend, at, issuer, races::together};
use crate::env::Time;
use crate::issuer::Issuer;
use crate::store::{Message, Outbox};

fn message(n: u32, due_at: Time) -> Message {
    let text = |name: &str| format!("{name} {n}");
    let mut message =
        Message::new(text("id"), issuer(), text("client"), text("subject"), text("sid"), at(0));
    message.due_at = due_at;
    message
}

fn add(store: &impl Outbox, messages: Vec<Message>) {
    block_on(store.add(messages)).unwrap();
}

fn claim(store: &impl Outbox, now: u64, until: u64, limit: usize) -> Vec<Message> {
    block_on(store.claim(&issuer(), at(now), at(until), limit)).unwrap()
}

/// What was added is claimed as it went in, one attempt older, also by whoever opens the store anew.
pub fn messages_come_back_as_they_went_in<B: Backend<Store: Outbox>>() {
    let backend = B::empty();
    let mut sent = message(1, at(5));
    sent.subject = "Ünï 'quoted'".into();
    add(&backend.open(), vec![sent.clone()]);
    assert!(claim(&backend.open(), 4, 9, 10).is_empty(), "it is not due yet");
    let claimed = claim(&backend.open(), 5, 9, 10);
    assert_eq!(claimed, [Message { attempts: 1, due_at: at(9), ..sent }]);
}

/// Whoever has claimed a message has it for itself until its time has run out; then it is due again.
pub fn a_claim_is_a_lease<B: Backend<Store: Outbox>>() {
    let backend = B::empty();
    add(&backend.open(), vec![message(1, at(0))]);
    let store = backend.open();
    assert_eq!(claim(&store, 1, 10, 1).len(), 1);
    assert!(claim(&store, 9, 20, 1).is_empty());
    drop(store);
    let again = claim(&backend.open(), 10, 20, 1);
    assert_eq!(again.first().map(|message| message.attempts), Some(2));
}

/// What was delivered is never claimed again, and what failed is due when it was said.
pub fn a_settled_message_is_gone_or_due_later<B: Backend<Store: Outbox>>() {
    let backend = B::empty();
    let store = backend.open();
    add(&store, vec![message(1, at(0)), message(2, at(0))]);
    assert_eq!(claim(&store, 1, 30, 10).len(), 2);
    assert!(block_on(store.settle("id 1", None)).unwrap());
    assert!(!block_on(store.settle("id 1", None)).unwrap());
    assert!(!block_on(store.settle("id 1", Some(at(2)))).unwrap());
    assert!(block_on(store.settle("id 2", Some(at(5)))).unwrap());
    drop(store);
    let store = backend.open();
    assert!(claim(&store, 4, 60, 10).is_empty());
    let due = claim(&store, 5, 60, 10);
    assert_eq!(due.iter().map(|m| (m.id.as_str(), m.attempts)).collect::<Vec<_>>(), [("id 2", 2)]);
    assert!(claim(&store, 59, 90, 10).is_empty(), "and only once");
}

/// A message that is there already stays as it is: an end that is told twice is one message.
pub fn a_message_is_added_once<B: Backend<Store: Outbox>>() {
    let backend = B::empty();
    let store = backend.open();
    add(&store, vec![message(1, at(0))]);
    assert_eq!(claim(&store, 1, 30, 10).len(), 1);
    add(&store, vec![message(1, at(2)), message(2, at(2))]);
    let due = claim(&store, 3, 30, 10);
    assert_eq!(due.iter().map(|message| message.id.as_str()).collect::<Vec<_>>(), ["id 2"]);
}

/// Messages are claimed in the order in which they are due, no more than were wanted, and of one issuer.
pub fn the_earliest_of_an_issuer_are_claimed_first<B: Backend<Store: Outbox>>() {
    let backend = B::empty();
    let store = backend.open();
    let mut foreign = message(9, at(0));
    foreign.issuer = Issuer::new("https://other.example").unwrap();
    let mut all: Vec<Message> = [30, 10, 20, 40].map(|due| message(due, at(due.into()))).to_vec();
    all.push(foreign.clone());
    add(&store, all);
    let ids = |messages: Vec<Message>| messages.into_iter().map(|m| m.id).collect::<Vec<_>>();
    assert_eq!(ids(claim(&store, 35, 90, 2)), ["id 10", "id 20"]);
    assert_eq!(ids(claim(&store, 35, 90, 2)), ["id 30"]);
    let theirs = block_on(store.claim(&foreign.issuer, at(35), at(90), 10)).unwrap();
    assert_eq!(ids(theirs), ["id 9"]);
}

/// Messages are listed in the order of their ids, page by page, claimed or not, and of one issuer.
pub fn messages_are_listed_by_id<B: Backend<Store: Outbox>>() {
    let backend = B::empty();
    let store = backend.open();
    let mut foreign = message(5, at(0));
    foreign.issuer = Issuer::new("https://other.example").unwrap();
    add(&store, vec![message(3, at(9)), message(1, at(99)), foreign, message(2, at(0))]);
    claim(&store, 1, 30, 1);
    let page = |after: Option<&str>, limit| {
        let listed = block_on(store.list(&issuer(), after, limit)).unwrap();
        listed.into_iter().map(|message| message.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2), ["id 1", "id 2"]);
    assert_eq!(page(Some("id 2"), 2), ["id 3"]);
}

/// Of racing claims each message goes to one.
pub fn racing_claims_share_nothing<B: Backend<Store: Outbox>>() {
    let backend = B::empty();
    let store = backend.open();
    for round in 0..20_u32 {
        let all: Vec<u32> = (round * 40..(round + 1) * 40).collect();
        add(&store, all.iter().map(|n| message(*n, at(0))).collect());
        let claimed = together(4, |_| claim(&store, 1, 1000, 15));
        let ids: Vec<String> = claimed.into_iter().flatten().map(|message| message.id).collect();
        let distinct: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "one was claimed twice");
        let rest = claim(&store, 1, 1000, 100);
        assert_eq!(ids.len() + rest.len(), all.len(), "one was lost");
    }
}
