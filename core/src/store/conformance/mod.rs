//! What a store owes, as tests. For every backend, a stranger's too.
//!
//! A backend describes how to make an empty place and open a store on it, and expands
//! [`store_conformance!`](crate::store_conformance), which makes one `#[test]` of every promise:
//!
//! ```
//! use grantor::store::Memory;
//! use grantor::store::conformance::Backend;
//!
//! struct InMemory(Memory);
//!
//! impl Backend for InMemory {
//!     type Store = Memory;
//!     fn empty() -> Self {
//!         Self(Memory::new())
//!     }
//!     fn open(&self) -> Memory {
//!         self.0.clone()
//!     }
//! }
//!
//! grantor::store_conformance!(InMemory);
//! ```
//!
//! The races run with a barrier and many rounds: a single race misses a wrong store most of the
//! time. Futures are driven without a runtime, so a store must not need one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation,
    reason = "these are tests: a panic is how they fail"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use sha2::{Digest as _, Sha256};

use super::{ClientStore, Inserted, KeyStore, Outbox, Owner, Remembered, TokenStore};
use crate::client::{
    Client, ClientAuthentication, GrantType, Localized, ResponseType, SecretEntry, SubjectType,
};
use crate::env::Time;
use crate::grant::{Challenge, CodeVerifier, Field, Grant, GrantId, Outcome, State, Step};
use crate::issuer::Issuer;
use crate::keys::Algorithm;
use crate::scope::Scope;
use crate::secret::{SealedSecret, Secret, SecretDigest};
use crate::token::claims_request::ClaimsByName;

mod histories;
mod outbox;
mod races;

pub use histories::{
    random_histories_agree_with_the_machine, random_lives_agree_with_the_memory_store,
};
pub use outbox::{
    a_claim_is_a_lease, a_message_is_added_once, a_settled_message_is_gone_or_due_later,
    messages_are_listed_by_id, messages_come_back_as_they_went_in, racing_claims_share_nothing,
    the_earliest_of_an_issuer_are_claimed_first,
};
use races::together;
pub use races::{
    a_call_that_is_given_up_is_done_or_not_done,
    a_removed_client_stays_removed_whoever_updates_it_meanwhile,
    nothing_is_granted_after_a_revocation_returned, racing_insertions_have_one_winner,
    racing_redemptions_have_one_winner, racing_refreshes_make_one_write,
    racing_ring_replacements_have_one_winner,
};

/// How to get at a store under test.
pub trait Backend: Send + Sync + 'static {
    /// The store.
    type Store: ClientStore + TokenStore + KeyStore;
    /// Makes an empty place for records: a folder, a database, a map.
    fn empty() -> Self;
    /// Opens a store on the place. The kit opens again after dropping the first one, and expects
    /// to find everything that was acknowledged.
    fn open(&self) -> Self::Store;
}

/// Expands to one `#[test]` for every promise of the store traits, for a
/// [`Backend`](crate::store::conformance::Backend).
#[macro_export]
macro_rules! store_conformance {
    ($backend:ty) => {
        $crate::__each_promise!([$crate::__conformance_tests] $backend);
    };
}

/// Expands to one `#[test]` for every promise of [`Outbox`](crate::store::Outbox), for a
/// [`Backend`](crate::store::conformance::Backend) whose store is one.
#[macro_export]
macro_rules! outbox_conformance {
    ($backend:ty) => {
        $crate::__each_outbox_promise!([$crate::__conformance_tests] $backend);
    };
}

/// The one list of what an outbox promises.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_outbox_promise {
    ([$($then:tt)*] $backend:ty) => {
        $($then)*! { $backend:
            messages_come_back_as_they_went_in
            a_claim_is_a_lease
            a_settled_message_is_gone_or_due_later
            a_message_is_added_once
            the_earliest_of_an_issuer_are_claimed_first
            messages_are_listed_by_id
            racing_claims_share_nothing
        }
    };
}

/// The one list of what a store promises.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_promise {
    ([$($then:tt)*] $backend:ty) => {
        $($then)*! { $backend:
            records_come_back_as_they_went_in
            a_client_comes_back_as_it_went_in
            a_code_is_redeemed_once
            a_failed_check_changes_nothing
            a_spent_code_with_all_bindings_right_revokes_durably
            a_refresh_moves_the_generation_by_one
            a_retry_within_the_window_repeats_the_answer_and_writes_nothing
            an_older_refresh_token_revokes_durably
            a_number_from_the_future_is_caught_up_with
            a_revocation_is_final
            a_missing_grant_is_missing
            an_insertion_answers_the_grant_that_stands
            a_tombstone_is_laid_once_and_stands_until_its_end
            a_consent_is_stored_with_its_grant_and_merged
            a_forgotten_consent_is_gone
            consents_are_listed_by_subject_in_order
            owners_list_their_grants_in_order
            owners_revoke_their_grants_and_no_others
            many_grants_are_revoked_and_purged_whole
            purge_takes_only_what_has_ended
            client_ids_are_never_used_again
            a_lost_update_of_a_client_is_refused
            clients_are_listed_by_tenant_in_order
            origins_are_those_of_active_clients
            key_rings_are_replaced_by_version
            issuers_do_not_see_each_other
            what_was_acknowledged_is_there_after_reopening
            racing_redemptions_have_one_winner
            racing_refreshes_make_one_write
            racing_insertions_have_one_winner
            racing_ring_replacements_have_one_winner
            a_removed_client_stays_removed_whoever_updates_it_meanwhile
            nothing_is_granted_after_a_revocation_returned
            a_call_that_is_given_up_is_done_or_not_done
            random_histories_agree_with_the_machine
            random_lives_agree_with_the_memory_store
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($backend:ty: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::store::conformance::$name::<$backend>();
            }
        )*
    };
}

macro_rules! listed {
    ($backend:ty: $($name:ident)*) => {
        vec![$((stringify!($name), $name::<$backend> as fn())),*]
    };
}

/// Every promise with its name, for a harness of one's own.
#[must_use]
pub fn promises<B: Backend>() -> Vec<(&'static str, fn())> {
    crate::__each_promise!([listed] B)
}

/// The same for an outbox.
#[must_use]
pub fn outbox_promises<B: Backend<Store: Outbox>>() -> Vec<(&'static str, fn())> {
    crate::__each_outbox_promise!([listed] B)
}

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const START: Time = Time::from_secs(1_700_000_000);

fn issuer() -> Issuer {
    Issuer::new("https://id.example.com").unwrap()
}

fn other_issuer() -> Issuer {
    Issuer::new("https://other.example.com").unwrap()
}

fn id(n: u32) -> GrantId {
    GrantId::from_bytes(Sha256::digest(n.to_be_bytes()).into())
}

fn grant(n: u32) -> Grant {
    let challenge = Challenge::from_text("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    Grant {
        id: id(n),
        issuer: issuer(),
        client_id: "client_a".into(),
        subject: "ann".into(),
        scope: Scope::parse("openid profile").unwrap(),
        resources: vec!["https://api.example/v1".into(), "orders".into()],
        claims: ClaimsByName {
            userinfo: BTreeSet::from(["name".to_owned(), "picture".to_owned()]),
            id_token: BTreeSet::from(["email".to_owned()]),
        },
        redirect_uri: "https://rp.example/cb".into(),
        redirect_uri_named: true,
        challenge,
        nonce: Some("n-0S6_WzA2Mj".into()),
        auth_time: START.minus(Duration::from_millis(1234)),
        acr: Some("urn:mace:incommon:iap:silver".into()),
        amr: vec!["pwd".into(), "otp".into()],
        sid: Some("session-1".into()),
        approved_at: START,
        code_expires_at: START.plus(Duration::from_secs(60)),
        refresh_idle: Some(Duration::from_secs(14 * 86400)),
        expires_at: START.plus(Duration::from_secs(90 * 86400)),
        state: State::Approved,
    }
}

fn redeem() -> Step {
    Step::Redeem {
        client: "client_a".into(),
        redirect_uri: Some("https://rp.example/cb".into()),
        verifier: Some(CodeVerifier::new(VERIFIER)),
        resources: Vec::new(),
    }
}

fn refresh(from: u32) -> Step {
    Step::Refresh {
        client: "client_a".into(),
        from,
        expires_at: START.plus(Duration::from_secs(80 * 86400)),
        scope: None,
        resources: Vec::new(),
        rotate: true,
        retry: Duration::from_secs(60),
    }
}

fn revoke() -> Step {
    Step::Revoke { client: None }
}

fn at(seconds: u64) -> Time {
    START.plus(Duration::from_secs(seconds))
}

fn active(generation: u32, seconds: u64) -> State {
    State::Active { generation, advanced_at: at(seconds) }
}

fn state<S: TokenStore>(store: &S, n: u32) -> State {
    block_on(TokenStore::find(store, id(n))).unwrap().expect("the grant is stored").state
}

fn apply<S: TokenStore>(store: &S, n: u32, step: Step, now: Time) -> Outcome {
    block_on(store.apply(id(n), step, now)).unwrap()
}

fn insert<S: TokenStore>(store: &S, grant: Grant) -> Inserted {
    block_on(TokenStore::insert(store, grant, None)).unwrap()
}

fn granted(outcome: &Outcome) -> State {
    match outcome {
        Outcome::Granted(grant) => grant.state,
        other => panic!("not granted: {other:?}"),
    }
}

/// Every field of a grant survives, the empty ones and the odd ones too.
pub fn records_come_back_as_they_went_in<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    let full = grant(1);
    let bare = Grant {
        id: id(2),
        subject: "Ünï \"code\" \n '; DROP TABLE grants; --".into(),
        scope: Scope::empty(),
        resources: Vec::new(),
        claims: ClaimsByName::default(),
        redirect_uri_named: false,
        challenge: None,
        nonce: None,
        acr: None,
        amr: Vec::new(),
        sid: None,
        refresh_idle: None,
        state: State::Revoked,
        ..grant(2)
    };
    for grant in [full, bare] {
        assert_eq!(insert(&store, grant.clone()), Inserted::New);
        let found = block_on(TokenStore::find(&store, grant.id)).unwrap();
        assert_eq!(found, Some(grant));
    }
}

/// Every field of a client survives.
pub fn a_client_comes_back_as_it_went_in<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    let mut full = client("client_full");
    full.authentication = ClientAuthentication::Secret {
        secrets: vec![
            SecretEntry {
                sealed: Some(SealedSecret(vec![0, 1, 255])),
                ..SecretEntry::of(&Secret::new("new"))
            },
            SecretEntry { expires_at: Some(at(9)), ..SecretEntry::of(&Secret::new("old")) },
        ],
        method: Some(crate::client::AuthMethod::Post),
    };
    full.tenant = Some("acme".into());
    full.description = Some("Ünï 'quoted'".into());
    full.native = true;
    full.post_logout_redirect_uris = vec!["https://rp.example/bye".into()];
    full.grant_types = GrantType::ALL.to_vec();
    full.response_types = ResponseType::ALL.to_vec();
    full.subject_type = SubjectType::Pairwise;
    full.sector_identifier_uri = Some("https://rp.example/uris".into());
    let german = Localized {
        client_name: Some("Volle Anwendung".into()),
        client_uri: Some("https://rp.example/de".into()),
        logo_uri: Some("https://rp.example/de/logo".into()),
        policy_uri: Some("https://rp.example/de/policy".into()),
        tos_uri: Some("https://rp.example/de/tos".into()),
    };
    full.localized = [("de".to_owned(), german), ("fr".to_owned(), Localized::default())].into();
    full.access_token_lifetime = Some(Duration::from_secs(301));
    full.refresh_token_lifetime = Some(Duration::from_secs(302));
    full.id_token_lifetime = Some(Duration::from_secs(303));
    full.id_token_signed_response_alg = Some(Algorithm::EdDsa);
    full.access_token_signed_response_alg = Some(Algorithm::Rs256);
    full.audiences = vec!["client_full".into()];
    full.claims_in_id_token = true;
    full.resources = vec!["https://api.example.com".into()];
    full.jwks = Some(r#"{"keys": [{"kty": "unknown", "x": "\"Ünï\""}]}"#.into());
    full.jwks_uri = Some("https://rp.example/jwks".into());
    full.token_endpoint_auth_signing_alg = Some(Algorithm::Ps256);
    full.userinfo_signed_response_alg = Some(Algorithm::Es256);
    full.request_object_signing_alg = Some(Algorithm::EdDsa);
    full.require_signed_request_object = true;
    full.request_uris = vec!["https://rp.example/request#hash".into()];
    full.default_max_age = Some(Duration::from_secs(304));
    full.require_auth_time = true;
    full.initiate_login_uri = Some("https://rp.example/login".into());
    full.client_uri = Some("https://rp.example".into());
    full.contacts = vec!["ann@rp.example".into()];
    full.registration_access_token = Some(SecretDigest::of(&Secret::new("manage")));
    full.logo_uri = Some("https://rp.example/logo.png".into());
    full.policy_uri = Some("https://rp.example/policy".into());
    full.tos_uri = Some("https://rp.example/tos".into());
    full.valid_from = at(5);
    (full.created_at, full.updated_at) = (at(1), at(2));
    (full.active, full.require_pkce, full.require_consent, full.first_party) =
        (false, false, false, true);
    let mut keyed = client("client_keyed");
    keyed.authentication = ClientAuthentication::PrivateKeyJwt;
    for client in [full, keyed, client("client_bare")] {
        assert!(block_on(ClientStore::insert(&store, &issuer(), client.clone())).unwrap());
        let found = block_on(ClientStore::find(&store, &issuer(), &client.client_id)).unwrap();
        assert_eq!(found.as_deref(), Some(&client));
    }
}

/// A code is redeemed at most once, and the outcome carries the grant as it then stands.
pub fn a_code_is_redeemed_once<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    insert(&store, grant(1));
    assert_eq!(granted(&apply(&store, 1, redeem(), at(1))), active(1, 1));
    assert_eq!(state(&store, 1), active(1, 1));
    assert!(matches!(apply(&store, 1, redeem(), at(2)), Outcome::Reused(_)));
}

/// A wrong client, redirect URI, verifier or resource, and an expired code, leave the record as it was and
/// the code usable by its owner.
pub fn a_failed_check_changes_nothing<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    insert(&store, grant(1));
    let with = |client: &str, uri: &str, verifier: &str| Step::Redeem {
        client: client.into(),
        redirect_uri: Some(uri.into()),
        verifier: Some(CodeVerifier::new(verifier)),
        resources: Vec::new(),
    };
    let foreign = Step::Redeem {
        client: "client_a".into(),
        redirect_uri: Some("https://rp.example/cb".into()),
        verifier: Some(CodeVerifier::new(VERIFIER)),
        resources: vec!["orders".into(), "https://api.example".into()],
    };
    let (uri, wrong) = ("https://rp.example/cb", "x".repeat(43));
    for (step, field) in [
        (with("client_b", uri, VERIFIER), Field::Client),
        (with("client_a", "https://rp.example/other", VERIFIER), Field::RedirectUri),
        (with("client_a", uri, &wrong), Field::Verifier),
        (foreign, Field::Resource),
    ] {
        assert_eq!(apply(&store, 1, step, at(1)), Outcome::Mismatch(field));
    }
    assert_eq!(apply(&store, 1, redeem(), at(60)), Outcome::Expired);
    assert_eq!(block_on(TokenStore::find(&store, id(1))).unwrap(), Some(grant(1)));
    assert_eq!(granted(&apply(&store, 1, redeem(), at(59))), active(1, 59));
}

/// The refusal of a reused code is a write: forgetting to save it lets the thief go on.
pub fn a_spent_code_with_all_bindings_right_revokes_durably<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    insert(&store, grant(1));
    apply(&store, 1, redeem(), at(1));
    let stranger = Step::Redeem {
        client: "client_a".into(),
        redirect_uri: None,
        verifier: None,
        resources: Vec::new(),
    };
    assert_eq!(apply(&store, 1, stranger, at(2)), Outcome::Spent);
    assert_eq!(state(&store, 1), active(1, 1));
    assert!(matches!(apply(&store, 1, redeem(), at(3)), Outcome::Reused(_)));
    drop(store);
    let store = backend.open();
    assert_eq!(state(&store, 1), State::Revoked);
    assert_eq!(apply(&store, 1, refresh(1), at(4)), Outcome::Revoked);
}

/// Each rotation is one generation further, and is saved with its time.
pub fn a_refresh_moves_the_generation_by_one<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    insert(&store, grant(1));
    apply(&store, 1, redeem(), at(1));
    for n in 1..5 {
        let outcome = apply(&store, 1, refresh(n), at(u64::from(n) * 100));
        assert_eq!(granted(&outcome), active(n + 1, u64::from(n) * 100));
        assert_eq!(state(&store, 1), granted(&outcome));
    }
}

/// Inside the retry window the predecessor, and the successor itself, get the same answer.
pub fn a_retry_within_the_window_repeats_the_answer_and_writes_nothing<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    insert(&store, grant(1));
    apply(&store, 1, redeem(), at(1));
    let first = apply(&store, 1, refresh(1), at(100));
    for later in [100, 101, 159] {
        for from in [1, 2, 1] {
            assert_eq!(apply(&store, 1, refresh(from), at(later)), first);
            assert_eq!(state(&store, 1), active(2, 100));
        }
    }
    assert!(matches!(apply(&store, 1, refresh(1), at(160)), Outcome::Reused(_)));
}

/// A token two rotations old is stolen or leaked: the grant ends, durably.
pub fn an_older_refresh_token_revokes_durably<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    insert(&store, grant(1));
    apply(&store, 1, redeem(), at(1));
    apply(&store, 1, refresh(1), at(100));
    apply(&store, 1, refresh(2), at(200));
    assert!(matches!(apply(&store, 1, refresh(1), at(201)), Outcome::Reused(_)));
    drop(store);
    assert_eq!(state(&backend.open(), 1), State::Revoked);
}

/// A number that only we can have signed and that the store does not know: writes were lost.
pub fn a_number_from_the_future_is_caught_up_with<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    insert(&store, grant(1));
    assert_eq!(granted(&apply(&store, 1, refresh(7), at(10))), active(8, 10));
    assert!(matches!(apply(&store, 1, redeem(), at(11)), Outcome::Reused(_)));
}

/// No step leads out of revocation.
pub fn a_revocation_is_final<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    for n in [1, 2] {
        insert(&store, grant(n));
    }
    apply(&store, 2, redeem(), at(1));
    for n in [1, 2] {
        let foreign = Step::Revoke { client: Some("client_b".into()) };
        assert_eq!(apply(&store, n, foreign, at(2)), Outcome::Mismatch(Field::Client));
        assert_ne!(state(&store, n), State::Revoked);
        assert_eq!(apply(&store, n, revoke(), at(3)), Outcome::Revoked);
        for step in [redeem(), refresh(1), refresh(2), refresh(9), revoke()] {
            assert_eq!(apply(&store, n, step, at(4)), Outcome::Revoked);
        }
        assert_eq!(state(&store, n), State::Revoked);
        assert!(matches!(insert(&store, grant(n)), Inserted::Existing(_)));
        assert_eq!(state(&store, n), State::Revoked);
    }
}

/// Nothing is made by asking for it.
pub fn a_missing_grant_is_missing<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    for step in [redeem(), refresh(3), revoke()] {
        assert_eq!(apply(&store, 1, step, at(1)), Outcome::Missing);
        assert_eq!(block_on(TokenStore::find(&store, id(1))).unwrap(), None);
    }
}

/// A second insertion changes nothing, and does not remember the consent that came with it.
pub fn an_insertion_answers_the_grant_that_stands<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    insert(&store, grant(1));
    apply(&store, 1, redeem(), at(1));
    let again = Grant { subject: "bob".into(), ..grant(1) };
    let inserted = block_on(TokenStore::insert(&store, again, Some(remembered("bob", "openid"))));
    let standing = Grant { state: active(1, 1), ..grant(1) };
    assert_eq!(inserted.unwrap(), Inserted::Existing(Box::new(standing.clone())));
    assert_eq!(block_on(TokenStore::find(&store, id(1))).unwrap(), Some(standing));
    assert_eq!(block_on(store.remembered(&issuer(), "bob", "client_a")).unwrap(), None);
}

/// A record that was dead from the start marks that something has happened once: a token was revoked,
/// an assertion was used. Whoever comes second must be told, until the mark's own end.
pub fn a_tombstone_is_laid_once_and_stands_until_its_end<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    let until = at(100);
    let tombstone = |n| Grant::tombstone(id(n), issuer(), "client_a".into(), until, at(1));
    assert_eq!(insert(&store, tombstone(1)), Inserted::New);
    assert_eq!(insert(&store, tombstone(1)), Inserted::Existing(Box::new(tombstone(1))));
    for step in [redeem(), revoke()] {
        assert_eq!(apply(&store, 1, step, at(2)), Outcome::Revoked);
    }
    let owner = Owner::Client(issuer(), "client_a".into());
    assert_eq!(block_on(store.revoke(&owner, at(2))).unwrap(), 0, "it was dead already");
    block_on(store.purge(until, 9)).unwrap();
    drop(store);
    let store = backend.open();
    assert_eq!(insert(&store, tombstone(1)), Inserted::Existing(Box::new(tombstone(1))));
    for n in 2..50 {
        let inserted = together(4, |_| insert(&store, tombstone(n)));
        assert_eq!(inserted.iter().filter(|i| **i == Inserted::New).count(), 1, "{inserted:?}");
    }
    assert_eq!(block_on(store.purge(at(101), 99)).unwrap(), 49);
    assert_eq!(
        insert(&store, tombstone(1)),
        Inserted::New,
        "by now its use is refused as too late"
    );
}

fn remembered(subject: &str, scope: &str) -> Remembered {
    Remembered {
        issuer: issuer(),
        subject: subject.into(),
        client_id: "client_a".into(),
        scope: Scope::parse(scope).unwrap(),
        granted_at: START,
    }
}

/// Grant and consent are one act, and two consents add up.
pub fn a_consent_is_stored_with_its_grant_and_merged<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    let remember = |n, scope| {
        let later = Remembered { granted_at: at(u64::from(n)), ..remembered("ann", scope) };
        block_on(TokenStore::insert(&store, grant(n), Some(later))).unwrap();
    };
    remember(2, "openid profile");
    remember(1, "email openid");
    let found = block_on(store.remembered(&issuer(), "ann", "client_a")).unwrap().unwrap();
    assert_eq!(found.scope.to_string(), "openid profile email");
    assert_eq!(found.granted_at, at(2));
    let alone = Remembered { granted_at: at(9), ..remembered("ann", "phone") };
    block_on(store.remember(alone)).unwrap();
    let found = block_on(store.remembered(&issuer(), "ann", "client_a")).unwrap().unwrap();
    assert_eq!(found.scope.to_string(), "openid profile email phone");
    assert_eq!(found.granted_at, at(9));
    assert_eq!(block_on(store.remembered(&issuer(), "ann", "client_b")).unwrap(), None);
    assert_eq!(block_on(store.remembered(&issuer(), "bob", "client_a")).unwrap(), None);
}

/// Forgetting a consent forgets all of it, once.
pub fn a_forgotten_consent_is_gone<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    block_on(TokenStore::insert(&store, grant(1), Some(remembered("ann", "openid")))).unwrap();
    assert!(block_on(store.forget(&issuer(), "ann", "client_a")).unwrap());
    assert!(!block_on(store.forget(&issuer(), "ann", "client_a")).unwrap());
    assert_eq!(block_on(store.remembered(&issuer(), "ann", "client_a")).unwrap(), None);
    block_on(TokenStore::insert(&store, grant(2), Some(remembered("ann", "email")))).unwrap();
    let found = block_on(store.remembered(&issuer(), "ann", "client_a")).unwrap().unwrap();
    assert_eq!(found.scope.to_string(), "email");
}

/// A person sees what they let each client have, page by page, and nobody else's.
pub fn consents_are_listed_by_subject_in_order<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    for n in [3, 1, 2] {
        for (k, subject) in ["ann", "bob"].iter().enumerate() {
            let consent =
                Remembered { client_id: format!("client_{n}"), ..remembered(subject, "openid") };
            let grant = grant(n * 2 + k as u32);
            block_on(TokenStore::insert(&store, grant, Some(consent))).unwrap();
        }
    }
    let list = |subject, after, limit| -> Vec<String> {
        let listed = block_on(store.consents(&issuer(), subject, after, limit)).unwrap();
        assert!(listed.iter().all(|consent| consent.subject == subject));
        listed.into_iter().map(|consent| consent.client_id).collect()
    };
    assert_eq!(list("ann", None, 9), ["client_1", "client_2", "client_3"]);
    assert_eq!(list("ann", Some("client_1"), 1), ["client_2"]);
    assert!(list("nobody", None, 9).is_empty());
    assert!(block_on(store.consents(&other_issuer(), "ann", None, 9)).unwrap().is_empty());
    block_on(store.forget(&issuer(), "ann", "client_2")).unwrap();
    assert_eq!(list("ann", None, 9), ["client_1", "client_3"]);
}

/// Thirty grants of two subjects, two clients and three sessions.
fn mixed<S: TokenStore>(store: &S) -> Vec<Grant> {
    let pick = |n: u32, names: &[&str]| names[n as usize % names.len()].to_owned();
    let mut grants: Vec<Grant> = (0..30)
        .map(|n| Grant {
            subject: pick(n, &["ann", "bob"]),
            client_id: pick(n / 2, &["client_a", "client_b"]),
            sid: (n % 3 > 0).then(|| pick(n, &["", "s1", "s2"])),
            ..grant(n)
        })
        .collect();
    for grant in &grants {
        insert(store, grant.clone());
    }
    grants.sort_by_key(|grant| grant.id);
    grants
}

fn owners() -> Vec<Owner> {
    vec![
        Owner::Subject(issuer(), "ann".into()),
        Owner::Client(issuer(), "client_b".into()),
        Owner::SubjectAndClient(issuer(), "bob".into(), "client_a".into()),
        Owner::Session(issuer(), "s1".into()),
        Owner::Session(issuer(), "nobody".into()),
        Owner::Subject(other_issuer(), "ann".into()),
    ]
}

/// A page begins after the last id of the one before; no page holds more than it may.
pub fn owners_list_their_grants_in_order<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    let grants = mixed(&store);
    for owner in owners() {
        let expected: Vec<_> = grants.iter().filter(|g| owner.owns(g)).cloned().collect();
        let mut listed: Vec<Grant> = Vec::new();
        // A wrong store may go round for ever.
        while listed.len() <= grants.len() {
            let after = listed.last().map(|grant| grant.id);
            let page = block_on(TokenStore::list(&store, &owner, after, 4)).unwrap();
            assert!(page.len() <= 4);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert_eq!(listed, expected, "{owner:?}");
    }
}

/// Revoking an owner says how many it ended, and touches nobody else's.
pub fn owners_revoke_their_grants_and_no_others<B: Backend>() {
    for owner in owners() {
        let backend = B::empty();
        let store = backend.open();
        let grants = mixed(&store);
        let owned = grants.iter().filter(|grant| owner.owns(grant)).count() as u64;
        assert_eq!(block_on(store.revoke(&owner, at(1))).unwrap(), owned, "{owner:?}");
        assert_eq!(block_on(store.revoke(&owner, at(2))).unwrap(), 0, "{owner:?}");
        for grant in &grants {
            let found = block_on(TokenStore::find(&store, grant.id)).unwrap().unwrap();
            let expected = if owner.owns(grant) { State::Revoked } else { State::Approved };
            assert_eq!(found.state, expected, "{owner:?}");
        }
    }
}

/// More grants than any sensible batch are still all revoked, and all purged.
pub fn many_grants_are_revoked_and_purged_whole<B: Backend>() {
    let backend = B::empty();
    let store = Arc::new(backend.open());
    const MANY: u32 = 1203;
    together(8, |thread| {
        for n in (0..MANY).filter(|n| *n as usize % 8 == thread) {
            insert(&*store, grant(n));
        }
    });
    let owner = Owner::Subject(issuer(), "ann".into());
    assert_eq!(block_on(store.revoke(&owner, at(1))).unwrap(), u64::from(MANY));
    let end = grant(0).expires_at.plus(Duration::from_millis(1));
    let purged: Vec<usize> = (0..4).map(|_| block_on(store.purge(end, 500)).unwrap()).collect();
    assert_eq!(purged, [500, 500, 203, 0]);
    assert!(block_on(TokenStore::list(&*store, &owner, None, 10)).unwrap().is_empty());
}

/// A spent or revoked grant stays until its own end: its reuse must still be seen.
pub fn purge_takes_only_what_has_ended<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    for n in 1..=3 {
        insert(&store, Grant { expires_at: at(u64::from(n) * 10), ..grant(n) });
    }
    apply(&store, 2, redeem(), at(1));
    apply(&store, 3, revoke(), at(1));
    assert_eq!(block_on(store.purge(at(10), 10)).unwrap(), 0);
    assert_eq!(block_on(store.purge(at(20), 10)).unwrap(), 1);
    assert_eq!(block_on(TokenStore::find(&store, id(1))).unwrap(), None);
    assert_eq!(state(&store, 2), active(1, 1));
    assert_eq!(block_on(store.purge(at(31), 1)).unwrap(), 1);
    assert_eq!(block_on(store.purge(at(31), 1)).unwrap(), 1);
    assert_eq!(block_on(store.purge(at(31), 1)).unwrap(), 0);
}

fn client(client_id: &str) -> Client {
    let mut client = Client::public(client_id, "A client");
    client.redirect_uris = vec!["https://rp.example/cb".into()];
    client.allowed_origins = vec!["https://rp.example".into()];
    client.scope = Scope::parse("openid profile").unwrap();
    client
}

/// A removed client's id stays taken: old tokens speak of it.
pub fn client_ids_are_never_used_again<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    assert!(block_on(ClientStore::insert(&store, &issuer(), client("c"))).unwrap());
    assert!(!block_on(ClientStore::insert(&store, &issuer(), client("c"))).unwrap());
    assert!(block_on(ClientStore::remove(&store, &issuer(), "c")).unwrap());
    assert!(!block_on(ClientStore::remove(&store, &issuer(), "c")).unwrap());
    assert_eq!(block_on(ClientStore::find(&store, &issuer(), "c")).unwrap(), None);
    assert!(!block_on(ClientStore::insert(&store, &issuer(), client("c"))).unwrap());
    assert!(!block_on(ClientStore::update(&store, &issuer(), client("c"))).unwrap());
    assert_eq!(block_on(ClientStore::find(&store, &issuer(), "c")).unwrap(), None);
    assert!(block_on(ClientStore::list(&store, &issuer(), None, None, 9)).unwrap().is_empty());
}

/// Who read version 1 cannot overwrite version 2.
pub fn a_lost_update_of_a_client_is_refused<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    block_on(ClientStore::insert(&store, &issuer(), client("c"))).unwrap();
    let named = |version, name: &str| Client { version, client_name: name.into(), ..client("c") };
    let update = |client| block_on(ClientStore::update(&store, &issuer(), client)).unwrap();
    assert!(update(named(1, "first")));
    assert!(!update(named(1, "second")));
    assert!(!update(named(3, "third")));
    let found = block_on(ClientStore::find(&store, &issuer(), "c")).unwrap().unwrap();
    assert_eq!((found.version, found.client_name.as_str()), (2, "first"));
    assert!(update(named(2, "fourth")));
    assert!(!update(Client { client_id: "unknown".into(), ..client("c") }));
}

/// A tenant's list holds its own clients, page by page.
pub fn clients_are_listed_by_tenant_in_order<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    for n in 0..9 {
        let tenant = (n % 3 > 0).then(|| format!("tenant{}", n % 3));
        let client = Client { tenant, ..client(&format!("client_{n}")) };
        block_on(ClientStore::insert(&store, &issuer(), client)).unwrap();
    }
    let list = |tenant, after, limit| -> Vec<String> {
        let listed = block_on(ClientStore::list(&store, &issuer(), tenant, after, limit));
        listed.unwrap().iter().map(|client| client.client_id.clone()).collect()
    };
    assert_eq!(list(Some("tenant1"), None, 9), ["client_1", "client_4", "client_7"]);
    assert_eq!(list(Some("tenant1"), Some("client_1"), 1), ["client_4"]);
    assert_eq!(list(None, Some("client_5"), 9), ["client_6", "client_7", "client_8"]);
    assert!(list(Some("tenant9"), None, 9).is_empty());
}

/// The origin index follows every change of every client.
pub fn origins_are_those_of_active_clients<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    let allowed = |origin: &str| block_on(store.allows_origin(&issuer(), origin)).unwrap();
    assert!(!allowed("https://rp.example"));
    block_on(ClientStore::insert(&store, &issuer(), client("c"))).unwrap();
    assert!(allowed("https://rp.example"));
    assert!(!allowed("https://rp.exampl") && !allowed("https://rp.example/") && !allowed(""));
    let moved = Client { allowed_origins: vec!["https://new.example".into()], ..client("c") };
    assert!(block_on(ClientStore::update(&store, &issuer(), moved.clone())).unwrap());
    assert!(!allowed("https://rp.example") && allowed("https://new.example"));
    let off = Client { active: false, version: 2, ..moved.clone() };
    assert!(block_on(ClientStore::update(&store, &issuer(), off)).unwrap());
    assert!(!allowed("https://new.example"));
    let on = Client { version: 3, ..moved };
    assert!(block_on(ClientStore::update(&store, &issuer(), on)).unwrap());
    assert!(allowed("https://new.example"));
    block_on(ClientStore::remove(&store, &issuer(), "c")).unwrap();
    assert!(!allowed("https://new.example"));
}

/// A ring is replaced only by who saw the stored one.
pub fn key_rings_are_replaced_by_version<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    let replace = |bytes: &[u8], version| {
        block_on(store.replace(&issuer(), bytes.to_vec(), version)).unwrap()
    };
    let load = || block_on(store.load(&issuer())).unwrap();
    assert_eq!(load(), None);
    assert!(!replace(b"early", 1));
    assert!(replace(b"first", 0));
    assert!(!replace(b"again", 0));
    assert!(replace(&[0, 255, 10], 1));
    let ring = load().unwrap();
    assert_eq!((ring.sealed, ring.version), (vec![0, 255, 10], 2));
}

/// One store, two issuers, and no way from one to the other.
pub fn issuers_do_not_see_each_other<B: Backend>() {
    let backend = B::empty();
    let store = backend.open();
    let other = other_issuer();
    insert(&store, grant(1));
    insert(&store, Grant { issuer: other.clone(), ..grant(2) });
    block_on(TokenStore::insert(&store, grant(3), Some(remembered("ann", "openid")))).unwrap();
    block_on(ClientStore::insert(&store, &issuer(), client("c"))).unwrap();
    block_on(store.replace(&issuer(), b"ring".to_vec(), 0)).unwrap();

    assert_eq!(block_on(ClientStore::find(&store, &other, "c")).unwrap(), None);
    assert!(!block_on(store.allows_origin(&other, "https://rp.example")).unwrap());
    assert!(!block_on(ClientStore::remove(&store, &other, "c")).unwrap());
    assert!(block_on(ClientStore::insert(&store, &other, client("c"))).unwrap());
    assert_eq!(block_on(store.load(&other)).unwrap(), None);
    assert_eq!(block_on(store.remembered(&other, "ann", "client_a")).unwrap(), None);
    assert!(!block_on(store.forget(&other, "ann", "client_a")).unwrap());
    let owner = Owner::Client(other, "client_a".into());
    assert_eq!(block_on(TokenStore::list(&store, &owner, None, 9)).unwrap().len(), 1);
    assert_eq!(block_on(store.revoke(&owner, at(1))).unwrap(), 1);
    assert_eq!(state(&store, 1), State::Approved);
}

/// Closing and opening loses nothing that was acknowledged.
pub fn what_was_acknowledged_is_there_after_reopening<B: Backend>() {
    let backend = B::empty();
    {
        let store = backend.open();
        block_on(TokenStore::insert(&store, grant(1), Some(remembered("ann", "openid")))).unwrap();
        apply(&store, 1, redeem(), at(1));
        apply(&store, 1, refresh(1), at(2));
        insert(&store, grant(2));
        apply(&store, 2, revoke(), at(3));
        block_on(ClientStore::insert(&store, &issuer(), client("c"))).unwrap();
        block_on(ClientStore::insert(&store, &issuer(), client("gone"))).unwrap();
        block_on(ClientStore::remove(&store, &issuer(), "gone")).unwrap();
        block_on(store.replace(&issuer(), b"ring".to_vec(), 0)).unwrap();
    }
    let store = backend.open();
    assert_eq!(state(&store, 1), active(2, 2));
    assert_eq!(state(&store, 2), State::Revoked);
    assert!(block_on(store.remembered(&issuer(), "ann", "client_a")).unwrap().is_some());
    assert!(block_on(ClientStore::find(&store, &issuer(), "c")).unwrap().is_some());
    assert!(!block_on(ClientStore::insert(&store, &issuer(), client("gone"))).unwrap());
    assert_eq!(block_on(store.load(&issuer())).unwrap().unwrap().version, 1);
}
