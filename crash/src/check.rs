//! Whether the answers that clients got can all be true of one server that forgets nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::journal::{Answer, Call, Wish};

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// One code gave tokens twice.
    RedeemedTwice,
    /// One refresh token has two different successors.
    TwoSuccessors,
    /// A grant that had ended, by an answer, lives.
    CameBack,
    /// A grant has ended that nothing can have ended, or a code that was answered is not known.
    Lost,
    /// A client whose registration was answered is not known.
    ClientLost,
    /// An answer that no specification allows.
    Odd,
}

/// What was found, with the calls that show it.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) broken: Broken,
    calls: Vec<Call>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:", self.broken)?;
        for call in &self.calls {
            let Call { wish, answer, began, ended, began_at, ended_at } = call;
            write!(f, "\n  {began}..{ended} ({began_at}..{ended_at} ms) {wish:?} -> {answer:?}")?;
        }
        Ok(())
    }
}

/// Checks what the clients wrote down. `retry_window` is the server's, in milliseconds.
pub(crate) fn check(calls: &[Call], retry_window: u64) -> Vec<Violation> {
    let mut sorted: Vec<&Call> = calls.iter().collect();
    sorted.sort_by_key(|call| call.began);
    let mut violations = Vec::new();
    let mut violate = |broken, calls: &[&Call]| {
        let calls = calls.iter().map(|call| (*call).clone()).collect();
        violations.push(Violation { broken, calls });
    };
    for call in &sorted {
        if matches!(call.answer, Some(Answer::Odd(_))) {
            violate(Broken::Odd, &[call]);
        }
        // A client is used only after its registration was answered.
        if let (Wish::UseClient { .. }, Some(Answer::Refused)) = (&call.wish, &call.answer) {
            violate(Broken::ClientLost, &[call]);
        }
    }
    for grant in grants(&sorted) {
        for broken in grant.broken(retry_window) {
            violate(broken, &grant.calls);
        }
    }
    violations
}

/// The calls about one grant, in the order in which they began.
#[derive(Default)]
struct Grant<'a> {
    calls: Vec<&'a Call>,
    /// How many refreshes lie before a refresh token; the code's own is at 0.
    positions: BTreeMap<&'a str, usize>,
}

fn grants<'a>(sorted: &[&'a Call]) -> Vec<Grant<'a>> {
    let mut grants: Vec<Grant<'a>> = Vec::new();
    // Codes, refresh tokens and access tokens all lead to their grant.
    let mut of: BTreeMap<&'a str, usize> = BTreeMap::new();
    for call in sorted {
        let known = match &call.wish {
            Wish::Redeem { code } => of.get(code.as_str()),
            Wish::Refresh { token } | Wish::Revoke { token } => of.get(token.as_str()),
            Wish::Introspect { access_token } => of.get(access_token.as_str()),
            Wish::Authorize | Wish::Register | Wish::UseClient { .. } => None,
        };
        let index = known.copied().unwrap_or(grants.len());
        if let Some(Answer::Code(code)) = &call.answer {
            of.insert(code, index);
            grants.push(Grant::default());
        }
        let Some(grant) = grants.get_mut(index) else { continue };
        grant.calls.push(call);
        if let Some(Answer::Tokens { refresh_token, access_token }) = &call.answer {
            of.insert(refresh_token, index);
            of.insert(access_token, index);
            let position = match &call.wish {
                Wish::Refresh { token } if token == refresh_token => continue,
                Wish::Refresh { token } => grant.position(token) + 1,
                _ => 0,
            };
            grant.positions.entry(refresh_token).or_insert(position);
        }
    }
    grants
}

impl Grant<'_> {
    fn position(&self, token: &str) -> usize {
        self.positions.get(token).copied().unwrap_or(0)
    }

    fn broken(&self, retry_window: u64) -> Vec<Broken> {
        let mut broken = Vec::new();
        let redemptions = self.calls.iter().filter(|call| matches!(call.wish, Wish::Redeem { .. }));
        if redemptions.filter(|call| call.gave_tokens()).count() > 1 {
            broken.push(Broken::RedeemedTwice);
        }
        if self.successors().values().any(|successors| successors.len() > 1) {
            broken.push(Broken::TwoSuccessors);
        }
        let ends = self.calls.iter().filter(|call| call.says_ended()).map(|call| call.ended);
        if let Some(end) = ends.min()
            && self.calls.iter().any(|call| call.says_alive() && call.began > end)
        {
            broken.push(Broken::CameBack);
        }
        let mut refusals = self.calls.iter().copied().filter(|call| call.is_refused());
        if refusals.any(|refusal| !self.may_have_ended(refusal, retry_window)) {
            broken.push(Broken::Lost);
        }
        broken
    }

    /// For each refresh token what its refreshes led to, but for itself: a young one is answered with
    /// itself.
    fn successors(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut successors: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for call in &self.calls {
            if let (Wish::Refresh { token }, Some(Answer::Tokens { refresh_token, .. })) =
                (&call.wish, &call.answer)
                && token != refresh_token
            {
                successors.entry(token).or_default().insert(refresh_token);
            }
        }
        successors
    }

    /// Whether anything that the clients did can have led to this refusal. What was over when the grant
    /// was last seen alive cannot have ended it.
    fn may_have_ended(&self, refusal: &Call, retry_window: u64) -> bool {
        let before: Vec<&Call> =
            self.calls.iter().copied().filter(|call| call.began < refusal.ended).collect();
        let seen_alive =
            before.iter().filter(|call| call.says_alive() && call.ended < refusal.began);
        let alive_at = seen_alive.map(|call| call.began).max();
        let is_recent = |call: &Call| alive_at.is_none_or(|alive_at| call.ended > alive_at);
        let others = || before.iter().filter(|call| call.began != refusal.began);
        if others().any(|call| matches!(call.wish, Wish::Revoke { .. }) && is_recent(call)) {
            return true;
        }
        let is_redemption = |call: &&&Call| matches!(call.wish, Wish::Redeem { .. });
        if is_redemption(&&refusal) {
            // It is spent if another redemption may have spent it; the guide's codes live 600 seconds.
            let made = self.calls.first().map_or(0, |call| call.began_at);
            let is_old = refusal.ended_at.saturating_sub(made) > 500_000;
            return is_old || others().filter(is_redemption).any(|call| !call.is_refused());
        }
        // A code that came back: it gave tokens once, so this one did not.
        let mut came_back = before.iter().filter(is_redemption).filter(|call| is_recent(call));
        if before.iter().filter(is_redemption).count() > 1
            && came_back.any(|call| !call.gave_tokens())
        {
            return true;
        }
        // A refresh token that came back after it had moved on, and after the retry window.
        before.iter().any(|back| {
            let Wish::Refresh { token } = &back.wish else { return false };
            if back.gave_tokens() || !is_recent(back) {
                return false;
            }
            before.iter().filter(|call| call.began != back.began).any(|moved| {
                let Wish::Refresh { token: other } = &moved.wish else { return false };
                let apart = back.ended_at.saturating_sub(moved.began_at) + 1000;
                self.position(other) >= self.position(token)
                    && moved.began < back.ended
                    && !moved.is_refused()
                    && apart >= retry_window
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 60_000;

    /// A history, one call after the other, a second apart.
    fn history(calls: Vec<(Wish, Option<Answer>)>) -> Vec<Call> {
        let call = |(n, (wish, answer))| {
            let (began, at) = (2 * n as u64, 1000 * n as u64);
            Call { wish, began, ended: began + 1, began_at: at, ended_at: at + 1, answer }
        };
        calls.into_iter().enumerate().map(call).collect()
    }

    fn found(calls: Vec<(Wish, Option<Answer>)>, retry_window: u64) -> Vec<Broken> {
        check(&history(calls), retry_window).iter().map(|violation| violation.broken).collect()
    }

    fn authorized() -> (Wish, Option<Answer>) {
        (Wish::Authorize, Some(Answer::Code("code".into())))
    }
    fn tokens(n: usize) -> Option<Answer> {
        let (refresh_token, access_token) = (format!("r{n}"), format!("a{n}"));
        Some(Answer::Tokens { refresh_token, access_token })
    }
    fn redeem(answer: Option<Answer>) -> (Wish, Option<Answer>) {
        (Wish::Redeem { code: "code".into() }, answer)
    }
    fn refresh(n: usize, answer: Option<Answer>) -> (Wish, Option<Answer>) {
        (Wish::Refresh { token: format!("r{n}") }, answer)
    }
    fn revoke(n: usize, answer: Option<Answer>) -> (Wish, Option<Answer>) {
        (Wish::Revoke { token: format!("r{n}") }, answer)
    }
    fn introspect(n: usize, answer: Answer) -> (Wish, Option<Answer>) {
        (Wish::Introspect { access_token: format!("a{n}") }, Some(answer))
    }
    const REFUSED: Option<Answer> = Some(Answer::Refused);

    #[test]
    fn a_code_that_gives_tokens_twice() {
        let twice = vec![authorized(), redeem(tokens(1)), redeem(tokens(2))];
        assert_eq!(found(twice, WINDOW), [Broken::RedeemedTwice]);
    }

    #[test]
    fn two_successors_of_one_refresh_token() {
        let forked =
            vec![authorized(), redeem(tokens(1)), refresh(1, tokens(2)), refresh(1, tokens(3))];
        assert_eq!(found(forked, WINDOW), [Broken::TwoSuccessors]);
    }

    #[test]
    fn a_grant_that_lives_after_its_revocation_was_answered() {
        let revoked =
            |after| vec![authorized(), redeem(tokens(1)), revoke(1, Some(Answer::Revoked)), after];
        assert_eq!(found(revoked(refresh(1, tokens(2))), WINDOW), [Broken::CameBack]);
        assert_eq!(found(revoked(introspect(1, Answer::Active)), WINDOW), [Broken::CameBack]);
        assert_eq!(found(revoked(refresh(1, REFUSED)), WINDOW), []);
    }

    #[test]
    fn a_grant_that_lives_after_it_was_seen_to_be_dead() {
        let calls = vec![
            authorized(),
            redeem(tokens(1)),
            revoke(1, None),
            introspect(1, Answer::Inactive),
            introspect(1, Answer::Active),
        ];
        assert_eq!(found(calls, WINDOW), [Broken::CameBack]);
        let reused = vec![authorized(), redeem(tokens(1)), redeem(REFUSED), refresh(1, tokens(2))];
        assert_eq!(found(reused, WINDOW), [Broken::CameBack], "a reuse that revoked nothing");
    }

    #[test]
    fn an_answered_code_that_is_not_known() {
        assert_eq!(found(vec![authorized(), redeem(REFUSED)], WINDOW), [Broken::Lost]);
        let nobody = vec![authorized(), redeem(REFUSED), redeem(REFUSED)];
        assert_eq!(found(nobody, WINDOW), [Broken::Lost], "of racers, one must win");
    }

    #[test]
    fn an_answered_redemption_or_refresh_that_is_not_known() {
        let lost = vec![authorized(), redeem(tokens(1)), introspect(1, Answer::Inactive)];
        assert_eq!(found(lost, WINDOW), [Broken::Lost]);
        let lost =
            vec![authorized(), redeem(tokens(1)), refresh(1, tokens(2)), refresh(2, REFUSED)];
        assert_eq!(found(lost.clone(), WINDOW), [Broken::Lost]);
        assert_eq!(found(lost, 0), [Broken::Lost], "the next token is no old one");
        let repeated = vec![authorized(), redeem(tokens(1)), refresh(1, None), refresh(1, REFUSED)];
        assert_eq!(found(repeated.clone(), WINDOW), [Broken::Lost], "within the retry window");
        assert_eq!(found(repeated, 0), [], "without one it is a reuse");
    }

    #[test]
    fn a_cause_that_had_no_effect_excuses_nothing_later() {
        let (alive, dead) = (introspect(1, Answer::Active), introspect(1, Answer::Inactive));
        for lost in [
            vec![authorized(), redeem(None), redeem(tokens(1)), refresh(1, REFUSED)],
            vec![authorized(), redeem(tokens(1)), redeem(None), alive, dead.clone()],
            vec![authorized(), redeem(tokens(1)), revoke(1, None), refresh(1, tokens(2)), dead],
        ] {
            assert_eq!(found(lost, WINDOW), [Broken::Lost]);
        }
        let again = vec![
            authorized(),
            redeem(tokens(1)),
            refresh(1, None),
            refresh(1, tokens(2)),
            refresh(2, REFUSED),
        ];
        assert_eq!(found(again, 0), [Broken::Lost]);
    }

    #[test]
    fn a_client_that_is_not_known() {
        let wish = Wish::UseClient { client_id: "c".into() };
        assert_eq!(found(vec![(wish, REFUSED)], WINDOW), [Broken::ClientLost]);
    }

    #[test]
    fn an_answer_that_nobody_allows() {
        let odd = Some(Answer::Odd("500".into()));
        assert_eq!(found(vec![(Wish::Register, odd)], WINDOW), [Broken::Odd]);
    }

    #[test]
    fn whatever_may_be_true_is_no_violation() {
        let unavailable = Some(Answer::Unavailable);
        for honest in [
            vec![authorized(), redeem(None), redeem(tokens(1)), refresh(1, tokens(2))],
            vec![authorized(), redeem(None), redeem(REFUSED)],
            vec![authorized(), redeem(unavailable.clone()), redeem(REFUSED)],
            vec![authorized(), redeem(tokens(1)), redeem(None), refresh(1, REFUSED)],
            vec![authorized(), redeem(tokens(1)), redeem(REFUSED), refresh(1, REFUSED)],
            vec![authorized(), redeem(tokens(1)), refresh(1, None), refresh(1, tokens(2))],
            vec![authorized(), redeem(tokens(1)), refresh(1, tokens(2)), refresh(2, tokens(2))],
            vec![authorized(), redeem(tokens(1)), revoke(1, None), introspect(1, Answer::Active)],
            vec![authorized(), redeem(tokens(1)), revoke(1, None), introspect(1, Answer::Inactive)],
            vec![authorized(), redeem(tokens(1)), revoke(1, unavailable), refresh(1, tokens(2))],
        ] {
            assert_eq!(found(honest, WINDOW), []);
        }
    }
}
