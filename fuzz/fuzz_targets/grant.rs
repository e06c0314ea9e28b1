//! Grants in a store against a plain map: every outcome and every record is what the rules say, written
//! down here a second time, in words of their own.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::Arbitrary;
use grantor::grant::{CodeVerifier, Field, Grant, GrantId, Outcome, State, Step};
use grantor::store::{Inserted, Memory, Owner, TokenStore, record};
use grantor::{Issuer, Scope, Time};
use grantor_fuzz::{CALLBACK, CHALLENGE, ISSUER, VERIFIER};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

const START: i64 = 1_700_000_000_000;
const CODE_LIFE: i64 = 60_000;
const IDLE: i64 = 1_000_000;
const LIFE: i64 = 5_000_000;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Text {
    Right,
    Wrong,
    Missing,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Asked {
    Nothing,
    Less,
    More,
}

#[derive(Arbitrary, Debug)]
enum Act {
    Approve { of: u8 },
    Pass { milliseconds: i32 },
    Redeem { of: u8, own: bool, uri: Text, verifier: Text },
    Refresh { of: u8, own: bool, from: u8, ends_in: i32, asked: Asked, rotate: bool, retry: u16 },
    Revoke { of: u8, own: Option<bool> },
    RevokeAll,
    Purge,
}

/// What becomes of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Granted,
    Missing,
    Expired,
    Revoked,
    Spent,
    Reused,
    Mismatch(Field),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Fresh,
    /// The newest generation, and when it came.
    Live(u32, i64),
    Dead,
}

/// What a grant is, by its number.
#[derive(Clone, Copy, Debug)]
struct Model {
    has_challenge: bool,
    names_uri: bool,
    can_refresh: bool,
    life: Life,
}

impl Model {
    fn of(n: u8) -> Self {
        Self { has_challenge: n != 1, names_uri: n != 1, can_refresh: n != 2, life: Life::Fresh }
    }

    fn redeem(&mut self, now: i64, own: bool, uri: Text, verifier: Text) -> Verdict {
        let uri_holds = match uri {
            Text::Right => true,
            Text::Wrong => false,
            Text::Missing => !self.names_uri,
        };
        let verifier_holds = match verifier {
            Text::Right => self.has_challenge,
            Text::Wrong => false,
            // No verifier for no challenge; one without the other is a downgrade.
            Text::Missing => !self.has_challenge,
        };
        match self.life {
            _ if !own => Verdict::Mismatch(Field::Client),
            Life::Dead => Verdict::Revoked,
            Life::Live(..) if uri_holds && verifier_holds => {
                self.life = Life::Dead;
                Verdict::Reused
            }
            Life::Live(..) => Verdict::Spent,
            Life::Fresh if now >= START + CODE_LIFE => Verdict::Expired,
            Life::Fresh if !uri_holds => Verdict::Mismatch(Field::RedirectUri),
            Life::Fresh if !verifier_holds => Verdict::Mismatch(Field::Verifier),
            Life::Fresh => {
                self.life = Life::Live(1, now);
                Verdict::Granted
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are the step's")]
    fn refresh(
        &mut self,
        now: i64,
        own: bool,
        from: u32,
        ends: i64,
        asked: Asked,
        rotate: bool,
        retry: i64,
    ) -> Verdict {
        if !own {
            return Verdict::Mismatch(Field::Client);
        }
        if !self.can_refresh {
            return Verdict::Mismatch(Field::Refresh);
        }
        let (newest, came) = match self.life {
            Life::Dead => return Verdict::Revoked,
            Life::Fresh => (0, START),
            Life::Live(newest, came) => (newest, came),
        };
        if now >= START + LIFE {
            return Verdict::Expired;
        }
        let age = (now - came).abs();
        let is_predecessor = from >= 1 && from + 1 == newest && age < retry;
        if from < newest && !is_predecessor {
            self.life = Life::Dead;
            return Verdict::Reused;
        }
        if now >= ends {
            return Verdict::Expired;
        }
        if matches!(asked, Asked::More) {
            return Verdict::Mismatch(Field::Scope);
        }
        let just_came = newest >= 2 && age < retry.min(IDLE / 2);
        self.life = match (from == newest, from > newest) {
            (true, _) if rotate && !just_came => Life::Live(newest + 1, now),
            (_, true) => Life::Live(from + u32::from(rotate), now),
            _ => self.life,
        };
        Verdict::Granted
    }

    fn revoke(&mut self, own: Option<bool>) -> Verdict {
        if own == Some(false) {
            return Verdict::Mismatch(Field::Client);
        }
        self.life = Life::Dead;
        Verdict::Revoked
    }
}

fn id(n: u8) -> GrantId {
    GrantId::from_bytes([n; 32])
}

fn grant(n: u8) -> Grant {
    let model = Model::of(n);
    let text = serde_json::json!({
        "v": 1,
        "id": id(n).to_string(),
        "issuer": ISSUER,
        "client_id": "own",
        "subject": "ann",
        "scope": "openid email",
        "redirect_uri": CALLBACK,
        "redirect_uri_named": model.names_uri,
        "challenge": model.has_challenge.then_some(CHALLENGE),
        "nonce": null,
        "auth_time": START,
        "acr": null,
        "amr": [],
        "sid": null,
        "approved_at": START,
        "code_expires_at": START + CODE_LIFE,
        "refresh_idle_ms": model.can_refresh.then_some(IDLE),
        "expires_at": START + LIFE,
        "state": {"is": "approved"},
    });
    record::read_grant(&text.to_string()).expect("a grant")
}

fn client(own: bool) -> String {
    if own { "own".to_owned() } else { "other".to_owned() }
}

fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Granted(_) => Verdict::Granted,
        Outcome::Missing => Verdict::Missing,
        Outcome::Expired => Verdict::Expired,
        Outcome::Revoked => Verdict::Revoked,
        Outcome::Spent => Verdict::Spent,
        Outcome::Reused(_) => Verdict::Reused,
        Outcome::Mismatch(field) => Verdict::Mismatch(*field),
        other => panic!("{other:?}"),
    }
}

fuzz_target!(|acts: Vec<Act>| {
    let store = Memory::new();
    let issuer = Issuer::new(ISSUER).expect("an issuer");
    let everything = Owner::Client(issuer, "own".into());
    let mut map: BTreeMap<u8, Model> = BTreeMap::new();
    let mut now = START;
    for act in acts {
        let at = Time::from_millis(now);
        let (n, step) = match act {
            Act::Approve { of } => {
                let n = of % 3;
                let inserted = block_on(store.insert(grant(n), None)).expect("it is stored");
                assert_eq!(inserted == Inserted::New, !map.contains_key(&n));
                map.entry(n).or_insert(Model::of(n));
                continue;
            }
            Act::Pass { milliseconds } => {
                now += i64::from(milliseconds) % 400_000;
                continue;
            }
            Act::RevokeAll => {
                let alive = map.values().filter(|model| model.life != Life::Dead).count();
                let revoked = block_on(store.revoke(&everything, at)).expect("they are revoked");
                assert_eq!(revoked, alive as u64);
                map.values_mut().for_each(|model| model.life = Life::Dead);
                continue;
            }
            Act::Purge => {
                block_on(store.purge(at, 10)).expect("it is purged");
                if now > START + LIFE {
                    map.clear();
                }
                continue;
            }
            Act::Redeem { of, own, uri, verifier } => {
                let text = |is: Text, right: &str| match is {
                    Text::Right => Some(right.to_owned()),
                    Text::Wrong => Some(format!("{right}x")),
                    Text::Missing => None,
                };
                let step = Step::Redeem {
                    client: client(own),
                    redirect_uri: text(uri, CALLBACK),
                    verifier: text(verifier, VERIFIER).as_deref().map(CodeVerifier::new),
                    resources: Vec::new(),
                };
                let model = map.get_mut(&(of % 3));
                (of % 3, (step, model.map(|model| model.redeem(now, own, uri, verifier))))
            }
            Act::Refresh { of, own, from, ends_in, asked, rotate, retry } => {
                let (from, ends) = (u32::from(from % 6), now + i64::from(ends_in));
                let scope = match asked {
                    Asked::Nothing => None,
                    Asked::Less => Some("email"),
                    Asked::More => Some("email phone"),
                };
                let step = Step::Refresh {
                    client: client(own),
                    from,
                    expires_at: Time::from_millis(ends),
                    scope: scope.map(|scope| Scope::parse(scope).expect("a scope")),
                    resources: Vec::new(),
                    rotate,
                    retry: Duration::from_secs(u64::from(retry)),
                };
                let retry = i64::from(retry) * 1000;
                let model = map.get_mut(&(of % 3));
                let verdict =
                    model.map(|model| model.refresh(now, own, from, ends, asked, rotate, retry));
                (of % 3, (step, verdict))
            }
            Act::Revoke { of, own } => {
                let model = map.get_mut(&(of % 3));
                let verdict = model.map(|model| model.revoke(own));
                (of % 3, (Step::Revoke { client: own.map(client) }, verdict))
            }
        };
        let (step, expected) = step;
        let outcome = block_on(store.apply(id(n), step.clone(), at)).expect("it is answered");
        assert_eq!(verdict(&outcome), expected.unwrap_or(Verdict::Missing), "{step:?} at {now}");
        let stored = block_on(store.find(id(n))).expect("it is found");
        assert_eq!(stored.is_some(), map.contains_key(&n));
        let (Some(stored), Some(model)) = (stored, map.get(&n)) else { continue };
        let state = match model.life {
            Life::Fresh => State::Approved,
            Life::Live(generation, came) => {
                State::Active { generation, advanced_at: Time::from_millis(came) }
            }
            Life::Dead => State::Revoked,
        };
        let mut whole = grant(n);
        whole.state = state;
        assert_eq!(stored, whole, "nothing but the state ever changes");
        if let Outcome::Granted(granted) | Outcome::Reused(granted) = outcome {
            assert_eq!(*granted, stored);
        }
        let text = record::write_grant(&stored).expect("it is written");
        assert_eq!(record::read_grant(&text).expect("it is read"), stored);
    }
    let all = block_on(store.list(&everything, None, 10)).expect("they are listed");
    let ids: Vec<GrantId> = map.keys().map(|n| id(*n)).collect();
    assert_eq!(all.iter().map(|grant| grant.id).collect::<Vec<_>>(), ids);
});
