//! Stores with planted bugs, the ones that stores of this field really have. The kit must fail each,
//! by the name of the promise that it breaks: otherwise the promise is not tested.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "these are tests: a panic is how they fail"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::conformance::{Backend, outbox_promises, promises};
use super::{
    ClientStore, Inserted, KeyStore, Memory, Message, Outbox, Owner, Remembered, SealedRing,
    StoreError, TokenStore,
};
use crate::client::Client;
use crate::env::Time;
use crate::grant::{Grant, GrantId, Outcome, State, Step};
use crate::issuer::Issuer;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// Reads, decides, writes: two racers both pass.
    CheckThenAct,
    /// Saves what is granted and forgets what a refusal changes.
    ForgetsRefusals,
    /// Writes at a repeated refresh too, so that the window never closes.
    WritesRetries,
    /// Takes a number from the future for a mistake.
    RefusesTheFuture,
    /// Answers from a copy that it made earlier.
    AnswersFromACopy,
    /// Overwrites a grant that stands.
    Upserts,
    /// Looks whether a grant stands, and then stores: two racers are both new.
    ChecksThenInserts,
    /// Does not store what is dead from the start.
    SkipsTheDead,
    /// Its disk fails now and then, and it says nothing.
    SwallowsErrors,
    /// Takes the time of a step to be its own: here, one that stands still.
    IgnoresTheTime,
    /// Loses a field.
    DropsTheNonce,
    /// Has no index by session.
    LosesTheSessionIndex,
    /// Lists in an order of its own.
    ListsBackwards,
    /// Begins a page with the last one of the page before.
    RepeatsAtPageEdges,
    /// Revokes one batch and calls it all.
    RevokesOneBatch,
    /// Revokes what belongs to somebody else too.
    RevokesByClientAlone,
    /// Purges what is spent or revoked before its end.
    PurgesTheSpent,
    /// Purges more than it was allowed.
    PurgesWithoutLimit,
    /// Purges what ends at this very moment.
    PurgesAtEquality,
    /// Takes one issuer's records for another's.
    MixesIssuers,
    /// Puts the new consent in the place of the old one.
    ReplacesConsents,
    /// Stores the consent of an approval that lost.
    RemembersTheLoser,
    /// Says that it forgot.
    NeverForgets,
    /// Gives a removed client's id away again.
    ReusesClientIds,
    /// The last update wins.
    LosesUpdates,
    /// Counts no version.
    CountsNoVersions,
    /// Lets the origins of inactive clients in.
    KeepsInactiveOrigins,
    /// Lists every tenant's clients.
    MixesTenants,
    /// Reads the ring's version, and then writes.
    ChecksThenRotates,
    /// Answers before the write is on the disk.
    AcknowledgesEarly,
    /// Reads what is due, and then takes it: two racers send one message.
    ReadsThenClaims,
    /// Leaves what was claimed due.
    ClaimsWithoutLease,
    /// Does not count how often a message was tried.
    CountsNoAttempts,
    /// Lets the newest message go first.
    ClaimsTheLatestFirst,
    /// Sends another issuer's messages too.
    ClaimsForOthers,
    /// Puts off what was delivered.
    KeepsTheDelivered,
    /// Takes a message that is added again for a new one.
    AddsMessagesAgain,
    /// Hides what somebody has claimed.
    ListsTheUnclaimed,
}

/// Each bug, and a promise that it breaks.
const BUGS: &[(Bug, &str)] = &[
    (Bug::CheckThenAct, "racing_redemptions_have_one_winner"),
    (Bug::ForgetsRefusals, "a_spent_code_with_all_bindings_right_revokes_durably"),
    (Bug::ForgetsRefusals, "an_older_refresh_token_revokes_durably"),
    (Bug::WritesRetries, "a_retry_within_the_window_repeats_the_answer_and_writes_nothing"),
    (Bug::RefusesTheFuture, "a_number_from_the_future_is_caught_up_with"),
    (Bug::AnswersFromACopy, "a_code_is_redeemed_once"),
    (Bug::AnswersFromACopy, "a_revocation_is_final"),
    (Bug::Upserts, "an_insertion_answers_the_grant_that_stands"),
    (Bug::ChecksThenInserts, "racing_insertions_have_one_winner"),
    (Bug::ChecksThenInserts, "a_tombstone_is_laid_once_and_stands_until_its_end"),
    (Bug::SkipsTheDead, "a_tombstone_is_laid_once_and_stands_until_its_end"),
    (Bug::SwallowsErrors, "many_grants_are_revoked_and_purged_whole"),
    (Bug::IgnoresTheTime, "a_failed_check_changes_nothing"),
    (Bug::DropsTheNonce, "records_come_back_as_they_went_in"),
    (Bug::LosesTheSessionIndex, "owners_list_their_grants_in_order"),
    (Bug::ListsBackwards, "owners_list_their_grants_in_order"),
    (Bug::RepeatsAtPageEdges, "owners_list_their_grants_in_order"),
    (Bug::RevokesOneBatch, "many_grants_are_revoked_and_purged_whole"),
    (Bug::RevokesByClientAlone, "owners_revoke_their_grants_and_no_others"),
    (Bug::PurgesTheSpent, "purge_takes_only_what_has_ended"),
    (Bug::PurgesWithoutLimit, "many_grants_are_revoked_and_purged_whole"),
    (Bug::PurgesAtEquality, "purge_takes_only_what_has_ended"),
    (Bug::MixesIssuers, "issuers_do_not_see_each_other"),
    (Bug::ReplacesConsents, "a_consent_is_stored_with_its_grant_and_merged"),
    (Bug::RemembersTheLoser, "an_insertion_answers_the_grant_that_stands"),
    (Bug::NeverForgets, "a_forgotten_consent_is_gone"),
    (Bug::ReusesClientIds, "client_ids_are_never_used_again"),
    (Bug::LosesUpdates, "a_lost_update_of_a_client_is_refused"),
    (Bug::CountsNoVersions, "a_lost_update_of_a_client_is_refused"),
    (Bug::KeepsInactiveOrigins, "origins_are_those_of_active_clients"),
    (Bug::MixesTenants, "clients_are_listed_by_tenant_in_order"),
    (Bug::ChecksThenRotates, "racing_ring_replacements_have_one_winner"),
    (Bug::AcknowledgesEarly, "what_was_acknowledged_is_there_after_reopening"),
    (Bug::AcknowledgesEarly, "messages_come_back_as_they_went_in"),
    (Bug::ReadsThenClaims, "racing_claims_share_nothing"),
    (Bug::ClaimsWithoutLease, "a_claim_is_a_lease"),
    (Bug::CountsNoAttempts, "messages_come_back_as_they_went_in"),
    (Bug::ClaimsTheLatestFirst, "the_earliest_of_an_issuer_are_claimed_first"),
    (Bug::ClaimsForOthers, "the_earliest_of_an_issuer_are_claimed_first"),
    (Bug::KeepsTheDelivered, "a_settled_message_is_gone_or_due_later"),
    (Bug::AddsMessagesAgain, "a_message_is_added_once"),
    (Bug::ListsTheUnclaimed, "messages_are_listed_by_id"),
];

/// A place whose stores have the bug at this position of [`BUGS`].
struct Planted<const N: usize> {
    live: Memory,
    disk: Arc<Mutex<Memory>>,
}

impl<const N: usize> Backend for Planted<N> {
    type Store = Wrong;
    fn empty() -> Self {
        Self { live: Memory::new(), disk: Arc::default() }
    }
    fn open(&self) -> Wrong {
        let bug = BUGS[N].0;
        let inner = match bug {
            Bug::AcknowledgesEarly => self.disk.lock().unwrap().copied(),
            _ => self.live.clone(),
        };
        Wrong { bug, inner, disk: self.disk.clone(), copies: Mutex::default() }
    }
}

/// A store with a bug.
struct Wrong {
    bug: Bug,
    inner: Memory,
    /// What would be found after the process died.
    disk: Arc<Mutex<Memory>>,
    copies: Mutex<Vec<Grant>>,
}

impl Wrong {
    fn has(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    /// Gives racers the time to come in between.
    fn dawdle(&self) {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }

    /// What was written so far reaches the disk: one write too late.
    fn sync_before(&self) {
        *self.disk.lock().unwrap() = self.inner.copied();
    }

    fn save(&self, grant: Grant) {
        self.inner.overwrite(grant);
    }
}

#[async_trait]
impl TokenStore for Wrong {
    async fn insert(
        &self,
        mut grant: Grant,
        remember: Option<Remembered>,
    ) -> Result<Inserted, StoreError> {
        self.sync_before();
        match self.bug {
            Bug::Upserts => {
                self.save(grant);
                return Ok(Inserted::New);
            }
            Bug::ChecksThenInserts => {
                if let Some(existing) = TokenStore::find(&self.inner, grant.id).await? {
                    return Ok(Inserted::Existing(Box::new(existing)));
                }
                self.dawdle();
                self.save(grant);
                return Ok(Inserted::New);
            }
            Bug::DropsTheNonce => grant.nonce = None,
            Bug::SwallowsErrors if grant.id.as_bytes()[0] < 32 => return Ok(Inserted::New),
            Bug::SkipsTheDead if grant.state == State::Revoked => return Ok(Inserted::New),
            Bug::ReplacesConsents => {
                if let Some(next) = &remember {
                    self.inner.forget(&next.issuer, &next.subject, &next.client_id).await?;
                }
            }
            Bug::RemembersTheLoser if remember.is_some() => {
                let other = Grant { id: GrantId::from_bytes([9; 32]), ..grant.clone() };
                let _ = TokenStore::insert(&self.inner, other, remember.clone()).await?;
                self.inner.take_away(GrantId::from_bytes([9; 32]));
            }
            _ => {}
        }
        TokenStore::insert(&self.inner, grant, remember).await
    }

    async fn apply(&self, id: GrantId, step: Step, now: Time) -> Result<Outcome, StoreError> {
        let now = if self.has(Bug::IgnoresTheTime) { Time::EPOCH } else { now };
        self.sync_before();
        let stored = TokenStore::find(&self.inner, id).await?;
        match self.bug {
            Bug::CheckThenAct => {
                let Some(grant) = stored else { return Ok(Outcome::Missing) };
                let (next, outcome) = grant.apply(&step, now);
                self.dawdle();
                if let Some(next) = next {
                    self.save(next);
                }
                return Ok(outcome);
            }
            Bug::ForgetsRefusals => {
                let Some(grant) = stored else { return Ok(Outcome::Missing) };
                let (next, outcome) = grant.apply(&step, now);
                if let (Some(next), Outcome::Granted(_) | Outcome::Revoked) = (next, &outcome) {
                    self.save(next);
                }
                return Ok(outcome);
            }
            Bug::WritesRetries => {
                let outcome = self.inner.apply(id, step, now).await?;
                if let Outcome::Granted(grant) = &outcome
                    && let State::Active { generation, .. } = grant.state
                {
                    let state = State::Active { generation, advanced_at: now };
                    self.save(Grant { state, ..(**grant).clone() });
                }
                return Ok(outcome);
            }
            Bug::RefusesTheFuture => {
                if let (Some(grant), Step::Refresh { from, .. }) = (&stored, &step)
                    && !matches!(grant.state, State::Active { generation, .. } if generation >= *from)
                {
                    return Ok(Outcome::Expired);
                }
            }
            Bug::AnswersFromACopy => {
                let mut copies = self.copies.lock().unwrap();
                let copy = copies.iter().find(|copy| copy.id == id).cloned();
                let Some(grant) = copy.or(stored) else { return Ok(Outcome::Missing) };
                copies.push(grant.clone());
                let (next, outcome) = grant.apply(&step, now);
                if let Some(next) = next {
                    self.save(next);
                }
                return Ok(outcome);
            }
            _ => {}
        }
        self.inner.apply(id, step, now).await
    }

    async fn find(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        TokenStore::find(&self.inner, id).await
    }

    async fn list(
        &self,
        of: &Owner,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, StoreError> {
        let after = match self.bug {
            Bug::LosesTheSessionIndex if matches!(of, Owner::Session(..)) => return Ok(Vec::new()),
            Bug::RepeatsAtPageEdges => after.map(|after| {
                let mut bytes = *after.as_bytes();
                bytes[31] = bytes[31].wrapping_sub(1);
                GrantId::from_bytes(bytes)
            }),
            _ => after,
        };
        let mut grants = TokenStore::list(&self.inner, of, after, limit).await?;
        if self.has(Bug::ListsBackwards) {
            grants.reverse();
        }
        Ok(grants)
    }

    async fn revoke(&self, of: &Owner, now: Time) -> Result<u64, StoreError> {
        let of = match (self.bug, of) {
            (Bug::RevokesOneBatch, of) => {
                let mut revoked = 0;
                for grant in TokenStore::list(&self.inner, of, None, 500).await? {
                    self.inner.apply(grant.id, Step::Revoke { client: None }, now).await?;
                    revoked += 1;
                }
                return Ok(revoked);
            }
            (Bug::RevokesByClientAlone, Owner::SubjectAndClient(issuer, _, client)) => {
                Owner::Client(issuer.clone(), client.clone())
            }
            (_, of) => of.clone(),
        };
        self.inner.revoke(&of, now).await
    }

    async fn remembered(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        self.inner.remembered(issuer, subject, client_id).await
    }

    async fn consents(
        &self,
        issuer: &Issuer,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Remembered>, StoreError> {
        self.inner.consents(issuer, subject, after, limit).await
    }

    async fn remember(&self, consent: Remembered) -> Result<(), StoreError> {
        self.inner.remember(consent).await
    }

    async fn forget(
        &self,
        issuer: &Issuer,
        subject: &str,
        client_id: &str,
    ) -> Result<bool, StoreError> {
        match self.bug {
            Bug::NeverForgets => {
                Ok(self.inner.remembered(issuer, subject, client_id).await?.is_some())
            }
            _ => self.inner.forget(issuer, subject, client_id).await,
        }
    }

    async fn purge(&self, now: Time, limit: usize) -> Result<usize, StoreError> {
        let purged = match self.bug {
            Bug::PurgesTheSpent => self.inner.take_away_spent(),
            Bug::PurgesWithoutLimit => return self.inner.purge(now, usize::MAX).await,
            Bug::PurgesAtEquality => {
                let later = now.plus(std::time::Duration::from_millis(1));
                return self.inner.purge(later, limit).await;
            }
            _ => 0,
        };
        Ok(purged + self.inner.purge(now, limit).await?)
    }
}

#[async_trait]
impl ClientStore for Wrong {
    async fn find(
        &self,
        issuer: &Issuer,
        client_id: &str,
    ) -> Result<Option<Arc<Client>>, StoreError> {
        let found = ClientStore::find(&self.inner, issuer, client_id).await?;
        if found.is_none() && self.has(Bug::MixesIssuers) {
            let other = Issuer::new("https://id.example.com").unwrap();
            return ClientStore::find(&self.inner, &other, client_id).await;
        }
        Ok(found)
    }

    async fn insert(&self, issuer: &Issuer, client: Client) -> Result<bool, StoreError> {
        self.sync_before();
        if self.has(Bug::ReusesClientIds)
            && ClientStore::find(&self.inner, issuer, &client.client_id).await?.is_none()
        {
            self.inner.free_client_id(issuer, &client.client_id);
        }
        ClientStore::insert(&self.inner, issuer, client).await
    }

    async fn update(&self, issuer: &Issuer, mut client: Client) -> Result<bool, StoreError> {
        self.sync_before();
        if self.has(Bug::LosesUpdates)
            && let Some(stored) = ClientStore::find(&self.inner, issuer, &client.client_id).await?
        {
            client.version = stored.version;
        }
        let updated = ClientStore::update(&self.inner, issuer, client.clone()).await?;
        if updated && self.has(Bug::CountsNoVersions) {
            let version = client.version;
            self.inner.free_client_id(issuer, &client.client_id);
            let again = Client { version, ..client };
            return ClientStore::insert(&self.inner, issuer, again).await;
        }
        Ok(updated)
    }

    async fn remove(&self, issuer: &Issuer, client_id: &str) -> Result<bool, StoreError> {
        self.sync_before();
        ClientStore::remove(&self.inner, issuer, client_id).await
    }

    async fn list(
        &self,
        issuer: &Issuer,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Arc<Client>>, StoreError> {
        let tenant = tenant.filter(|_| !self.has(Bug::MixesTenants));
        ClientStore::list(&self.inner, issuer, tenant, after, limit).await
    }

    async fn allows_origin(&self, issuer: &Issuer, origin: &str) -> Result<bool, StoreError> {
        if self.has(Bug::KeepsInactiveOrigins) {
            let all = ClientStore::list(&self.inner, issuer, None, None, 1000).await?;
            return Ok(all.iter().any(|client| client.allows_origin(origin)));
        }
        self.inner.allows_origin(issuer, origin).await
    }
}

#[async_trait]
impl KeyStore for Wrong {
    async fn load(&self, issuer: &Issuer) -> Result<Option<SealedRing>, StoreError> {
        self.inner.load(issuer).await
    }

    async fn replace(
        &self,
        issuer: &Issuer,
        sealed: Vec<u8>,
        if_version: u64,
    ) -> Result<bool, StoreError> {
        self.sync_before();
        if self.has(Bug::ChecksThenRotates) {
            let stored = self.inner.load(issuer).await?.map_or(0, |ring| ring.version);
            self.dawdle();
            let now = self.inner.load(issuer).await?.map_or(0, |ring| ring.version);
            return match stored == if_version {
                true => self.inner.replace(issuer, sealed, now).await.map(|_| true),
                false => Ok(false),
            };
        }
        self.inner.replace(issuer, sealed, if_version).await
    }
}

#[async_trait]
impl Outbox for Wrong {
    async fn add(&self, messages: Vec<Message>) -> Result<(), StoreError> {
        self.sync_before();
        if self.has(Bug::AddsMessagesAgain) {
            messages.into_iter().for_each(|message| self.inner.overwrite_message(message));
            return Ok(());
        }
        self.inner.add(messages).await
    }

    async fn claim(
        &self,
        issuer: &Issuer,
        now: Time,
        until: Time,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        self.sync_before();
        let take = |mut message: Message| {
            message.due_at = until;
            message.attempts += u32::from(!self.has(Bug::CountsNoAttempts));
            self.inner.overwrite_message(message.clone());
            message
        };
        match self.bug {
            Bug::ReadsThenClaims | Bug::CountsNoAttempts | Bug::ClaimsTheLatestFirst => {
                let mut due = Outbox::list(&self.inner, issuer, None, usize::MAX).await?;
                due.retain(|message| message.due_at <= now);
                due.sort_by_key(|message| message.due_at);
                if self.has(Bug::ClaimsTheLatestFirst) {
                    due.reverse();
                }
                self.dawdle();
                Ok(due.into_iter().take(limit).map(take).collect())
            }
            Bug::ClaimsWithoutLease => self.inner.claim(issuer, now, now, limit).await,
            Bug::ClaimsForOthers => {
                let mut claimed = self.inner.claim(issuer, now, until, limit).await?;
                let other = Issuer::new("https://other.example").unwrap();
                let room = limit - claimed.len();
                claimed.extend(self.inner.claim(&other, now, until, room).await?);
                Ok(claimed)
            }
            _ => self.inner.claim(issuer, now, until, limit).await,
        }
    }

    async fn list(
        &self,
        issuer: &Issuer,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let mut listed = Outbox::list(&self.inner, issuer, after, limit).await?;
        listed.retain(|message| message.attempts == 0 || !self.has(Bug::ListsTheUnclaimed));
        Ok(listed)
    }

    async fn settle(&self, id: &str, next: Option<Time>) -> Result<bool, StoreError> {
        self.sync_before();
        let never = Time::from_secs(i64::from(u32::MAX));
        let next = next.or(self.has(Bug::KeepsTheDelivered).then_some(never));
        self.inner.settle(id, next).await
    }
}

/// Whether the kit finds a promise broken.
fn broken<B: Backend<Store: Outbox>>(only: &str) -> bool {
    let all = [promises::<B>(), outbox_promises::<B>()].concat();
    let (_, promise) = all.iter().find(|(name, _)| *name == only).expect("a promise of the kit");
    catch_unwind(AssertUnwindSafe(promise)).is_err()
}

macro_rules! each_bug {
    ($($n:literal)*) => {
        [$(|promise: &str| broken::<Planted<$n>>(promise)),*]
    };
}

#[test]
fn the_kit_fails_every_store_with_a_planted_bug() {
    let each: [fn(&str) -> bool; 42] = each_bug!(
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41
    );
    assert_eq!(each.len(), BUGS.len());
    let missed: Vec<_> =
        BUGS.iter().zip(each).filter(|((_, promise), run)| !run(promise)).collect();
    assert!(
        missed.is_empty(),
        "not noticed: {:?}",
        missed.iter().map(|(b, _)| b).collect::<Vec<_>>()
    );
}
