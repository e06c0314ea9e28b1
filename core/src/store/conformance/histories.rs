//! Promises under random histories, compared with the pure machine and with the memory store.

use std::time::Duration;

use pollster::block_on;

use super::{
    Backend, START, apply, client, grant, id, insert, issuer, other_issuer, redeem, refresh,
    remembered, revoke,
};
use crate::client::Client;
use crate::env::Time;
use crate::grant::{Grant, Outcome};
use crate::issuer::Issuer;
use crate::store::{ClientStore, Inserted, KeyStore, Memory, Owner, Remembered, TokenStore};

/// Random histories over a few grants: every outcome and every record is what the pure machine
/// says.
pub fn random_histories_agree_with_the_machine<B: Backend>() {
    let mut random = Lcg(0x5eed);
    for _ in 0..20 {
        let backend = B::empty();
        let store = backend.open();
        let mut model: Vec<Option<Grant>> = vec![None; 3];
        let mut now = START;
        for _ in 0..60 {
            now = now.plus(Duration::from_secs(u64::from(random.below(45))));
            let n = random.below(3);
            let slot = &mut model[n as usize];
            if random.below(5) == 0 {
                let inserted = insert(&store, grant(n));
                match slot {
                    Some(standing) => {
                        assert_eq!(inserted, Inserted::Existing(Box::new(standing.clone())));
                    }
                    None => {
                        assert_eq!(inserted, Inserted::New);
                        *slot = Some(grant(n));
                    }
                }
                continue;
            }
            let step = match random.below(12) {
                0..3 => redeem(),
                3..11 => refresh(random.below(5)),
                _ => revoke(),
            };
            let outcome = apply(&store, n, step.clone(), now);
            let expected = match slot {
                None => Outcome::Missing,
                Some(grant) => {
                    let (next, expected) = grant.apply(&step, now);
                    *grant = next.unwrap_or_else(|| grant.clone());
                    expected
                }
            };
            assert_eq!(outcome, expected, "{step:?} at {now:?}");
            assert_eq!(block_on(TokenStore::find(&store, id(n))).unwrap(), *slot);
        }
    }
}

/// A small generator, so that a failing history is the same at every run.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % bound
    }
}

/// Random lives of whole stores, with two issuers in each: whatever is asked, the answer is the memory
/// store's, and in the end so is every record.
pub fn random_lives_agree_with_the_memory_store<B: Backend>() {
    let mut random = Lcg(0xacce_55ed);
    for _ in 0..8 {
        let backend = B::empty();
        let (store, memory) = (backend.open(), Memory::new());
        let mut now = START;
        for _ in 0..150 {
            now = now.plus(Duration::from_secs(u64::from(random.below(3600))));
            let seed = random.0;
            let [here, there] =
                [live(&store, &mut Lcg(seed), now), live(&memory, &mut Lcg(seed), now)];
            assert_eq!(here, there, "at {now:?}");
            random.below(2);
        }
        assert_eq!(everything(&store), everything(&memory));
        drop(store);
        assert_eq!(everything(&backend.open()), everything(&memory), "after reopening");
    }
}

fn some_issuer(random: &mut Lcg) -> Issuer {
    if random.below(4) == 0 { other_issuer() } else { issuer() }
}

fn some_grant(random: &mut Lcg, now: Time) -> Grant {
    let (n, life) = (random.below(12), random.below(400_000));
    Grant {
        issuer: some_issuer(random),
        subject: format!("subject{}", random.below(3)),
        client_id: ["client_a", "client_b"][random.below(2) as usize].into(),
        sid: (random.below(2) == 0).then(|| format!("session{}", random.below(3))),
        expires_at: now.plus(Duration::from_secs(u64::from(life))),
        ..grant(n)
    }
}

fn some_owner(random: &mut Lcg) -> Owner {
    let issuer = some_issuer(random);
    let subject = format!("subject{}", random.below(3));
    let client = ["client_a", "client_b"][random.below(2) as usize].to_owned();
    match random.below(4) {
        0 => Owner::Subject(issuer, subject),
        1 => Owner::Client(issuer, client),
        2 => Owner::SubjectAndClient(issuer, subject, client),
        _ => Owner::Session(issuer, format!("session{}", random.below(3))),
    }
}

fn some_consent(random: &mut Lcg, now: Time) -> Remembered {
    let scope = ["openid", "openid email", "phone"][random.below(3) as usize];
    Remembered {
        issuer: some_issuer(random),
        client_id: ["client_a", "client_b"][random.below(2) as usize].into(),
        granted_at: now,
        ..remembered(&format!("subject{}", random.below(3)), scope)
    }
}

fn some_client(random: &mut Lcg) -> Client {
    let mut client = client(&format!("client_{}", random.below(4)));
    client.tenant = (random.below(3) > 0).then(|| format!("tenant{}", random.below(2)));
    client.active = random.below(3) > 0;
    client.version = u64::from(random.below(3)) + 1;
    client.allowed_origins = vec![format!("https://{}.example", random.below(3))];
    client
}

/// One random act on a store, and what it said.
fn live<S: ClientStore + TokenStore + KeyStore>(store: &S, random: &mut Lcg, now: Time) -> String {
    let of = some_issuer(random);
    match random.below(14) {
        0..3 => {
            let consent = (random.below(2) == 0).then(|| some_consent(random, now));
            let grant = some_grant(random, now);
            format!("{:?}", block_on(TokenStore::insert(store, grant, consent)).unwrap())
        }
        3..7 => {
            let step = match random.below(8) {
                0..3 => redeem(),
                3..7 => refresh(random.below(5)),
                _ => revoke(),
            };
            let n = random.below(12);
            format!("{:?}", apply(store, n, step, now))
        }
        7 => format!("{}", block_on(store.revoke(&some_owner(random), now)).unwrap()),
        8 => format!("{}", block_on(store.purge(now, 100)).unwrap()),
        9 => {
            let consent = some_consent(random, now);
            let Remembered { issuer, subject, client_id, .. } = &consent;
            if random.below(2) == 0 {
                return format!("{}", block_on(store.forget(issuer, subject, client_id)).unwrap());
            }
            block_on(store.remember(consent)).unwrap();
            String::new()
        }
        10 => {
            let client = some_client(random);
            format!("{}", block_on(ClientStore::insert(store, &of, client)).unwrap())
        }
        11 => {
            let client = some_client(random);
            format!("{}", block_on(ClientStore::update(store, &of, client)).unwrap())
        }
        12 if random.below(4) == 0 => {
            let client = some_client(random);
            format!("{}", block_on(ClientStore::remove(store, &of, &client.client_id)).unwrap())
        }
        _ => {
            let version = u64::from(random.below(4));
            format!("{}", block_on(store.replace(&of, vec![1, 2], version)).unwrap())
        }
    }
}

/// Everything that a store can be asked for, page by page.
fn everything<S: ClientStore + TokenStore + KeyStore>(store: &S) -> Vec<String> {
    let mut all = Vec::new();
    for n in 0..12 {
        all.push(format!("{:?}", block_on(TokenStore::find(store, id(n))).unwrap()));
    }
    for issuer in [issuer(), other_issuer()] {
        for n in 0..3 {
            let subject = format!("subject{n}");
            let mut owners = vec![
                Owner::Subject(issuer.clone(), subject.clone()),
                Owner::Session(issuer.clone(), format!("session{n}")),
            ];
            for client in ["client_a", "client_b"] {
                let (issuer, client) = (issuer.clone(), client.to_owned());
                owners.push(Owner::Client(issuer.clone(), client.clone()));
                owners.push(Owner::SubjectAndClient(issuer, subject.clone(), client));
            }
            for owner in owners {
                let grants = block_on(TokenStore::list(store, &owner, None, 100)).unwrap();
                let ids: Vec<_> = grants.iter().map(|grant| grant.id).collect();
                all.push(format!("{owner:?} {ids:?}"));
            }
            let first = block_on(store.consents(&issuer, &subject, None, 1)).unwrap();
            let after = first.last().map(|consent| consent.client_id.as_str());
            let rest = block_on(store.consents(&issuer, &subject, after, 9)).unwrap();
            all.push(format!("{first:?} {rest:?}"));
            let origin = format!("https://{n}.example");
            all.push(format!("{}", block_on(store.allows_origin(&issuer, &origin)).unwrap()));
        }
        for tenant in [None, Some("tenant0"), Some("tenant1")] {
            let clients = block_on(ClientStore::list(store, &issuer, tenant, None, 100)).unwrap();
            all.push(format!("{tenant:?} {clients:?}"));
        }
        all.push(format!("{:?}", block_on(store.load(&issuer)).unwrap()));
    }
    all
}
