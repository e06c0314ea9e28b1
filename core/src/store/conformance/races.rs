//! Promises about calls that meet, and calls that are given up.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};

use pollster::block_on;

use super::{
    Backend, active, apply, at, client, grant, granted, id, insert, issuer, redeem, refresh,
    remembered, revoke, state,
};
use crate::client::Client;
use crate::grant::{Grant, Outcome, State};
use crate::store::{ClientStore, Inserted, KeyStore, Owner, TokenStore};

/// Runs `work` on several threads that start together, and returns what each said.
pub(super) fn together<R: Send>(threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let (work, barrier) = (&work, &barrier);
        let run = |n| {
            scope.spawn(move || {
                barrier.wait();
                work(n)
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

const ROUNDS: u32 = 200;

/// Of racing redemptions of one code exactly one is granted.
pub fn racing_redemptions_have_one_winner<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    for n in 0..ROUNDS {
        insert(&store, grant(n));
        let outcomes = together(4, |_| apply(&store, n, redeem(), at(1)));
        let winners = outcomes.iter().filter(|o| matches!(o, Outcome::Granted(_))).count();
        assert_eq!(winners, 1, "{outcomes:?}");
        assert_eq!(state(&store, n), State::Revoked, "a loser proved itself and is a reuse");
    }
}

/// Racing refreshes with one token move the generation once, and all get the same answer.
pub fn racing_refreshes_make_one_write<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    for n in 0..ROUNDS {
        insert(&store, grant(n));
        apply(&store, n, redeem(), at(1));
        let outcomes = together(5, |thread| apply(&store, n, refresh(1), at(2 + thread as u64)));
        let state = state(&store, n);
        assert!(matches!(state, State::Active { generation: 2, .. }), "{state:?}");
        for outcome in &outcomes {
            assert_eq!(granted(outcome), state);
        }
    }
}

/// Of racing insertions of one id exactly one is new; the others answer the one that stands.
pub fn racing_insertions_have_one_winner<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    for n in 0..ROUNDS {
        let inserted = together(4, |thread| {
            insert(&store, Grant { subject: format!("subject{thread}"), ..grant(n) })
        });
        let standing = block_on(TokenStore::find(&store, id(n))).unwrap().unwrap();
        assert_eq!(inserted.iter().filter(|i| **i == Inserted::New).count(), 1);
        for answer in inserted {
            match answer {
                Inserted::New => {}
                Inserted::Existing(existing) => assert_eq!(*existing, standing),
            }
        }
    }
}

/// Two processes that rotate at once make one ring.
pub fn racing_ring_replacements_have_one_winner<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    for version in 0..u64::from(ROUNDS) {
        let won = together(4, |thread| {
            block_on(store.replace(&issuer(), vec![thread as u8], version)).unwrap()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let winner = won.iter().position(|won| *won).unwrap() as u8;
        assert_eq!(block_on(store.load(&issuer())).unwrap().unwrap().sealed, [winner]);
    }
}

/// An update that races with a removal does not bring the client back.
pub fn a_removed_client_stays_removed_whoever_updates_it_meanwhile<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    for n in 0..ROUNDS {
        let id = format!("client_{n}");
        assert!(block_on(ClientStore::insert(&store, &issuer(), client(&id))).unwrap());
        let stored = block_on(ClientStore::find(&store, &issuer(), &id)).unwrap().unwrap();
        together(3, |thread| match thread {
            0 => assert!(block_on(store.remove(&issuer(), &id)).unwrap()),
            _ => {
                let renamed = Client { client_name: "Renamed".into(), ..(*stored).clone() };
                let _ = block_on(ClientStore::update(&store, &issuer(), renamed)).unwrap();
            }
        });
        assert!(block_on(ClientStore::find(&store, &issuer(), &id)).unwrap().is_none());
        let again = Client { client_name: "Again".into(), ..(*stored).clone() };
        assert!(!block_on(ClientStore::update(&store, &issuer(), again)).unwrap());
        assert!(block_on(ClientStore::find(&store, &issuer(), &id)).unwrap().is_none());
    }
}

/// Whatever races with a revocation: once it has returned, nothing more is granted.
pub fn nothing_is_granted_after_a_revocation_returned<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    let owner = Owner::Subject(issuer(), "ann".into());
    for n in 0..ROUNDS {
        insert(&store, grant(n));
        apply(&store, n, redeem(), at(1));
        together(3, |thread| match thread {
            0 => {
                if n % 2 == 0 {
                    apply(&store, n, revoke(), at(2));
                } else {
                    block_on(store.revoke(&owner, at(2))).unwrap();
                }
                assert_eq!(state(&store, n), State::Revoked);
                assert_eq!(apply(&store, n, refresh(1), at(2)), Outcome::Revoked);
            }
            _ => drop(apply(&store, n, refresh(1), at(2))),
        });
        assert_eq!(state(&store, n), State::Revoked);
    }
}

/// Polls a call so many times, and gives it up.
fn give_up<T>(call: impl Future<Output = T>, after: usize) -> Option<T> {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let waker = Waker::from(Arc::new(Nobody));
    let mut call = pin!(call);
    for _ in 0..after {
        if let Poll::Ready(answer) = call.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(answer);
        }
        // The store's own threads go on meanwhile.
        std::thread::yield_now();
    }
    None
}

/// A caller that hangs up drops its call at any point: what it asked for is done or not done, never
/// half, and the store goes on.
pub fn a_call_that_is_given_up_is_done_or_not_done<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    let owner = Owner::Subject(issuer(), "ann".into());
    for n in 0..60 {
        let polls = n as usize % 6;
        let _ =
            give_up(TokenStore::insert(&store, grant(n), Some(remembered("ann", "openid"))), polls);
        // Whoever asks again afterwards gets one answer, whatever the call before has done.
        if let Inserted::Existing(existing) = insert(&store, grant(n)) {
            assert_eq!(*existing, grant(n));
        }
        let _ = give_up(store.apply(id(n), redeem(), at(1)), polls);
        match apply(&store, n, redeem(), at(2)) {
            Outcome::Granted(granted) => assert_eq!(granted.state, active(1, 2)),
            Outcome::Reused(_) => assert_eq!(state(&store, n), State::Revoked),
            other => panic!("{other:?}"),
        }
        let _ = give_up(store.revoke(&owner, at(3)), polls);
        block_on(store.revoke(&owner, at(3))).unwrap();
        assert_eq!(state(&store, n), State::Revoked);
        let client_id = format!("client_{n}");
        let _ = give_up(ClientStore::insert(&store, &issuer(), client(&client_id)), polls);
        let _ = block_on(ClientStore::insert(&store, &issuer(), client(&client_id))).unwrap();
        let stored = block_on(ClientStore::find(&store, &issuer(), &client_id)).unwrap().unwrap();
        let renamed = Client { client_name: "Renamed".into(), ..(*stored).clone() };
        let _ = give_up(ClientStore::update(&store, &issuer(), renamed), polls);
        let stored = block_on(ClientStore::find(&store, &issuer(), &client_id)).unwrap().unwrap();
        assert_eq!(stored.version == 2, stored.client_name == "Renamed");
        let version = block_on(store.load(&issuer())).unwrap().map_or(0, |ring| ring.version);
        let _ = give_up(store.replace(&issuer(), vec![n as u8], version), polls);
        let _ = block_on(store.replace(&issuer(), vec![n as u8], version)).unwrap();
        let ring = block_on(store.load(&issuer())).unwrap().unwrap();
        assert_eq!((ring.version, ring.sealed), (version + 1, vec![n as u8]));
    }
    let all = block_on(TokenStore::list(&store, &owner, None, 100)).unwrap();
    assert_eq!(all.len(), 60);
}
