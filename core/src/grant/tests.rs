//! The machine's invariants as properties: random histories with a clock that is moved by hand,
//! also backwards.

use proptest::prelude::*;

use super::*;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const START: Time = Time::from_secs(1_700_000_000);
const RETRY: Duration = Duration::from_secs(60);

fn grant(pkce: bool) -> Grant {
    let challenge = Challenge::from_text("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
    Grant {
        id: GrantId::from_bytes([1; 32]),
        issuer: Issuer::new("https://id.example.com").unwrap(),
        client_id: "client_a".into(),
        subject: "ann".into(),
        scope: Scope::parse("openid email").unwrap(),
        resources: vec!["https://api.example".into(), "https://orders.example".into()],
        claims: ClaimsByName::default(),
        redirect_uri: "https://rp.example/cb".into(),
        redirect_uri_named: true,
        challenge: pkce.then_some(challenge),
        nonce: None,
        auth_time: START,
        acr: None,
        amr: Vec::new(),
        sid: None,
        approved_at: START,
        code_expires_at: START.plus(Duration::from_secs(60)),
        refresh_idle: Some(Duration::from_secs(1000)),
        expires_at: START.plus(Duration::from_secs(5000)),
        state: State::Approved,
    }
}

fn client() -> impl Strategy<Value = String> {
    prop_oneof![9 => Just("client_a".to_owned()), 1 => Just("client_b".to_owned())]
}

fn resources() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        6 => Just(Vec::new()),
        1 => Just(vec!["https://api.example".to_owned()]),
        1 => Just(vec!["https://api.example".to_owned(), "https://admin.example".to_owned()]),
    ]
}

fn redeem() -> impl Strategy<Value = Step> {
    let uri = prop_oneof![
        8 => Just(Some("https://rp.example/cb".to_owned())),
        1 => Just(Some("https://rp.example/cb/".to_owned())),
        1 => Just(None),
    ];
    let verifier = prop_oneof![
        8 => Just(Some(CodeVerifier::new(VERIFIER))),
        1 => Just(Some(CodeVerifier::new("short"))),
        1 => Just(None),
    ];
    (client(), uri, verifier, resources()).prop_map(
        |(client, redirect_uri, verifier, resources)| Step::Redeem {
            client,
            redirect_uri,
            verifier,
            resources,
        },
    )
}

/// The owner's redemption.
fn right_redeem() -> Step {
    Step::Redeem {
        client: "client_a".into(),
        redirect_uri: Some("https://rp.example/cb".into()),
        verifier: Some(CodeVerifier::new(VERIFIER)),
        resources: Vec::new(),
    }
}

/// The owner's refresh, by a token that has not expired.
fn rotating(from: u32) -> Step {
    refreshing(from, true, Duration::from_secs(4000))
}

fn refreshing(from: u32, rotate: bool, life: Duration) -> Step {
    let (client, expires_at) = ("client_a".into(), START.plus(life));
    let resources = Vec::new();
    Step::Refresh { client, from, expires_at, scope: None, resources, rotate, retry: RETRY }
}

fn refresh() -> impl Strategy<Value = Step> {
    let scope = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Scope::parse("email").unwrap())),
        1 => Just(Some(Scope::parse("email admin").unwrap())),
    ];
    let asked = (scope, resources());
    (client(), 1..6_u32, 0..6000_u64, asked, prop::bool::weighted(0.9)).prop_map(
        |(client, from, life, (scope, resources), rotate)| Step::Refresh {
            client,
            from,
            expires_at: START.plus(Duration::from_secs(life)),
            scope,
            resources,
            rotate,
            retry: RETRY,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let revoke = prop_oneof![Just(None), client().prop_map(Some)];
    prop_oneof![
        3 => redeem(),
        8 => refresh(),
        1 => revoke.prop_map(|client| Step::Revoke { client }),
    ]
}

/// Steps with the milliseconds that the clock moves before each, now and then backwards.
fn history() -> impl Strategy<Value = Vec<(Step, i64)>> {
    let tick = prop_oneof![6 => 0..50_000_i64, 2 => 50_000..900_000_i64, 1 => -100_000..0_i64];
    prop::collection::vec((step(), tick), 1..40)
}

/// Plays a history and shows each transition to `see`: before, step, now, after, outcome.
fn play(
    pkce: bool,
    history: &[(Step, i64)],
    mut see: impl FnMut(&Grant, &Step, Time, &Grant, &Outcome),
) {
    let mut grant = grant(pkce);
    let mut now = START;
    for (step, tick) in history {
        now = Time::from_millis(now.millis() + tick);
        let (next, outcome) = grant.apply(step, now);
        let after = next.unwrap_or_else(|| grant.clone());
        see(&grant, step, now, &after, &outcome);
        grant = after;
    }
}

fn generation(grant: &Grant) -> u32 {
    match grant.state {
        State::Approved => 0,
        State::Active { generation, .. } => generation,
        State::Revoked => u32::MAX,
    }
}

fn is_granted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Granted(_))
}

proptest! {
    #[test]
    fn a_code_is_granted_at_most_once_and_only_from_approved(history in history()) {
        let mut redeemed = 0;
        play(true, &history, |before, step, _, _, outcome| {
            if matches!(step, Step::Redeem { .. }) && is_granted(outcome) {
                assert_eq!(before.state, State::Approved);
                redeemed += 1;
            }
        });
        prop_assert!(redeemed <= 1);
    }

    #[test]
    fn a_refusal_changes_nothing_unless_it_is_reuse_or_a_revocation(history in history()) {
        play(true, &history, |before, _, _, after, outcome| match outcome {
            Outcome::Granted(_) => {}
            Outcome::Reused(_) | Outcome::Revoked => {
                assert!(before == after || after.state == State::Revoked);
            }
            _ => assert_eq!(before, after),
        });
    }

    #[test]
    fn what_is_granted_is_what_is_saved(history in history()) {
        play(true, &history, |_, _, _, after, outcome| {
            if let Outcome::Granted(granted) | Outcome::Reused(granted) = outcome {
                assert_eq!(&**granted, after);
            }
        });
    }

    #[test]
    fn bindings_and_the_absolute_end_never_change(history in history()) {
        play(true, &history, |before, _, _, after, _| {
            assert_eq!(&Grant { state: before.state, ..after.clone() }, before);
        });
    }

    #[test]
    fn revoked_is_absorbing(history in history()) {
        play(true, &history, |before, _, _, after, outcome| {
            if before.state == State::Revoked {
                assert_eq!(after.state, State::Revoked);
                assert!(matches!(outcome, Outcome::Revoked | Outcome::Mismatch(Field::Client)));
            }
        });
    }

    #[test]
    fn the_generation_only_grows(history in history()) {
        play(true, &history, |before, _, _, after, _| {
            assert!(generation(after) >= generation(before));
        });
    }

    #[test]
    fn accepted_are_the_live_generation_its_predecessor_in_the_window_and_the_future(history in history()) {
        play(true, &history, |before, step, now, after, outcome| {
            let Step::Refresh { from, rotate, .. } = step else { return };
            if !is_granted(outcome) {
                return;
            }
            let live = generation(before);
            if *from == live {
                let young = match before.state {
                    State::Active { advanced_at, .. } => live > 1 && within(now, advanced_at, RETRY),
                    _ => false,
                };
                let moves = *rotate && !young;
                assert_eq!(generation(after), if moves { live + 1 } else { live });
                assert_eq!(before == after, !moves);
            } else if *from > live {
                assert_eq!(generation(after), if *rotate { from + 1 } else { *from });
            } else {
                assert_eq!(*from + 1, live);
                assert_eq!(before, after, "a retry writes nothing");
                let State::Active { advanced_at, .. } = before.state else { panic!() };
                assert!(now.since(advanced_at) < RETRY);
            }
        });
    }

    #[test]
    fn an_older_generation_revokes(history in history()) {
        play(true, &history, |before, step, now, after, outcome| {
            let (Step::Refresh { from, client, .. }, State::Active { generation, .. }) =
                (step, before.state) else { return };
            let of_owner = *client == before.client_id && now < before.expires_at;
            if of_owner && from + 1 < generation {
                assert_eq!(after.state, State::Revoked);
                assert!(matches!(outcome, Outcome::Reused(_)));
            }
        });
    }

    #[test]
    fn a_stranger_changes_nothing(history in history()) {
        play(true, &history, |before, step, _, after, outcome| {
            let client = match step {
                Step::Redeem { client, .. } | Step::Refresh { client, .. } => Some(client),
                Step::Revoke { client } => client.as_ref(),
            };
            if client.is_some_and(|client| *client != before.client_id) {
                assert_eq!(before, after);
                assert_eq!(outcome, &Outcome::Mismatch(Field::Client));
            }
        });
    }

    #[test]
    fn nothing_is_granted_at_or_after_an_end(history in history()) {
        play(true, &history, |before, step, now, _, outcome| {
            if !is_granted(outcome) {
                return;
            }
            match step {
                Step::Redeem { .. } => assert!(now < before.code_expires_at),
                Step::Refresh { expires_at, .. } => {
                    assert!(now < *expires_at && now < before.expires_at);
                }
                Step::Revoke { .. } => panic!("a revocation grants nothing"),
            }
        });
    }

    #[test]
    fn a_challenge_is_answered_by_its_verifier_and_a_verifier_needs_a_challenge(
        history in history(),
        pkce in any::<bool>(),
    ) {
        play(pkce, &history, |_, step, _, _, outcome| {
            if let (Step::Redeem { verifier, .. }, true) = (step, is_granted(outcome)) {
                assert_eq!(pkce, verifier.is_some());
            }
        });
    }

    #[test]
    fn a_resource_that_was_not_granted_is_never_granted_and_leaves_the_credential_usable(
        history in history(),
    ) {
        play(true, &history, |before, step, _, after, outcome| {
            let (Step::Redeem { resources, .. } | Step::Refresh { resources, .. }) = step else {
                return;
            };
            if resources.iter().any(|it| !before.resources.contains(it)) {
                assert!(!is_granted(outcome));
                if !matches!(outcome, Outcome::Reused(_)) {
                    assert_eq!(after, before);
                }
            }
        });
    }

    #[test]
    fn wider_scope_is_never_granted_and_leaves_the_token_usable(history in history()) {
        play(true, &history, |before, step, now, after, outcome| {
            let Step::Refresh { scope: Some(scope), .. } = step else { return };
            if !scope.is_within(&before.scope) && !matches!(outcome, Outcome::Reused(_)) {
                assert!(!is_granted(outcome));
                assert_eq!(before, after, "at {now:?}");
            }
        });
    }

    #[test]
    fn failed_redemptions_leave_the_code_usable(
        tries in prop::collection::vec((redeem(), 0..2_000_i64), 0..20),
    ) {
        let grant = grant(true);
        let mut now = START;
        for (step, tick) in tries {
            now = Time::from_millis(now.millis() + tick);
            let (next, outcome) = grant.apply(&step, now);
            if is_granted(&outcome) {
                return Ok(());
            }
            prop_assert_eq!(next, None);
        }
        let (next, outcome) = grant.apply(&right_redeem(), now);
        prop_assert!(is_granted(&outcome), "{outcome:?}");
        prop_assert_eq!(next.map(|next| generation(&next)), Some(1));
    }

    #[test]
    fn a_second_redemption_that_proves_itself_revokes_in_the_same_step(history in history()) {
        play(true, &history, |before, _, now, _, _| {
            if let State::Active { .. } = before.state {
                let (next, outcome) = before.apply(&right_redeem(), now);
                let revoked = next.expect("the refusal is a write");
                assert_eq!(revoked.state, State::Revoked);
                assert_eq!(outcome, Outcome::Reused(Box::new(revoked)));
            }
        });
    }

    #[test]
    fn parallel_refreshes_make_one_write_and_one_answer(
        generation in 1..50_u32,
        since in 61_000..900_000_i64,
        apart in prop::collection::vec(0..59_000_i64, 1..12),
    ) {
        let advanced_at = START;
        let mut grant = Grant { state: State::Active { generation, advanced_at }, ..grant(true) };
        let begin = START.millis() + since;
        let (mut writes, mut answers) = (0, Vec::new());
        // Whatever the order of their stamps: two processes' clocks differ.
        for apart in [0].iter().chain(&apart) {
            let step = rotating(generation);
            let (next, outcome) = grant.apply(&step, Time::from_millis(begin + apart));
            writes += u32::from(next.is_some());
            grant = next.unwrap_or(grant);
            answers.push(outcome);
        }
        prop_assert_eq!(writes, 1);
        let one = Outcome::Granted(Box::new(grant));
        prop_assert!(answers.iter().all(|answer| *answer == one));
    }

    #[test]
    fn without_rotation_a_refresh_writes_nothing(
        generation in 1..50_u32,
        since in prop::collection::vec(0..900_000_i64, 1..12),
    ) {
        let advanced_at = START;
        let grant = Grant { state: State::Active { generation, advanced_at }, ..grant(true) };
        for since in since {
            let step = refreshing(generation, false, Duration::from_secs(4000));
            let (next, outcome) = grant.apply(&step, Time::from_millis(START.millis() + since));
            prop_assert_eq!(next, None);
            prop_assert!(is_granted(&outcome));
        }
    }

    #[test]
    fn losing_writes_neither_locks_the_client_out_nor_forks_its_tokens(
        kept in 0..20_u32,
        lost in 1..20_u32,
        since in 61_000..900_000_i64,
    ) {
        // A backup has generation `kept`; the client holds a later one, which only we can have signed.
        let state = match kept {
            0 => State::Approved,
            generation => State::Active { generation, advanced_at: START },
        };
        let (restored, held) = (Grant { state, ..grant(true) }, kept + lost);
        let now = Time::from_millis(START.millis() + since);
        let (next, outcome) = restored.apply(&rotating(held), now);
        prop_assert!(is_granted(&outcome));
        let next = next.expect("it catches up");
        prop_assert_eq!(next.state, State::Active { generation: held + 1, advanced_at: now });
        // Everything before is old again, and the newest goes on.
        let later = now.plus(RETRY);
        prop_assert!(matches!(next.apply(&rotating(held), later).1, Outcome::Reused(_)));
        prop_assert!(is_granted(&next.apply(&rotating(held + 1), later).1));
    }

    #[test]
    fn revoking_twice_is_revoking_once(history in history()) {
        play(true, &history, |before, _, now, _, _| {
            let revoke = Step::Revoke { client: None };
            let (once, outcome) = before.apply(&revoke, now);
            let once = once.unwrap_or_else(|| before.clone());
            assert_eq!((once.state, outcome), (State::Revoked, Outcome::Revoked));
            assert_eq!(once.apply(&revoke, now), (None, Outcome::Revoked));
        });
    }
}

#[test]
fn a_number_that_no_refresh_token_has_is_no_retry() {
    let state = State::Active { generation: 1, advanced_at: START };
    let (next, outcome) = Grant { state, ..grant(true) }.apply(&rotating(0), START);
    assert_eq!(next.expect("it is a reuse").state, State::Revoked);
    assert!(matches!(outcome, Outcome::Reused(_)));
}

#[test]
fn a_challenge_has_one_spelling_and_prints_none() {
    let text = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let challenge = Challenge::from_text(text).unwrap();
    assert_eq!(challenge.to_text(), text);
    assert_eq!(format!("{challenge:?} {:?}", CodeVerifier::new(VERIFIER)), "[redacted] [redacted]");
}

#[test]
fn an_id_prints_as_what_operators_search_for() {
    let id = grant(true).id;
    assert_eq!(format!("{id:?}"), id.to_string());
    assert_eq!(GrantId::from_text(&id.to_string()), Some(id));
}

#[test]
fn a_refresh_before_any_refresh_token_was_issued_is_refused() {
    let mut grant = grant(true);
    grant.refresh_idle = None;
    assert_eq!(grant.apply(&rotating(1), START), (None, Outcome::Mismatch(Field::Refresh)));
}

#[test]
fn the_last_generation_does_not_overflow() {
    let mut grant = grant(true);
    let advanced_at = START.minus(RETRY);
    grant.state = State::Active { generation: u32::MAX, advanced_at };
    assert_eq!(grant.apply(&rotating(u32::MAX), START), (None, Outcome::Expired));
}

#[test]
fn a_token_that_lives_hardly_longer_than_the_retry_window_still_gets_a_successor() {
    let mut grant = grant(true);
    grant.refresh_idle = Some(RETRY);
    grant.state = State::Active { generation: 2, advanced_at: START };
    let step = refreshing(2, true, RETRY);
    assert_eq!(grant.apply(&step, START.plus(RETRY / 3)).0, None, "a burst is answered alike");
    let (moved, _) = grant.apply(&step, START.plus(RETRY / 2));
    let state = moved.expect("it rotates in time").state;
    assert!(matches!(state, State::Active { generation: 3, .. }), "{state:?}");
}
