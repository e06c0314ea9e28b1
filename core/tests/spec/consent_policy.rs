//! The host's word on who may use which client, for what, and whether they are asked.

use grantor::{
    ConsentDecision, ConsentPolicy, ConsentRequest, Next, Policy, Scope, Session, SubjectError,
};
use pollster::block_on;

use crate::support::*;

/// Ann is an administrator, Bob is not, Eve may use nothing, and the database knows no Zoe.
struct Roles;

#[async_trait::async_trait]
impl ConsentPolicy for Roles {
    async fn decide(&self, request: &ConsentRequest<'_>) -> Result<ConsentDecision, SubjectError> {
        let all = ConsentDecision::allow(request.scope.clone());
        Ok(match (request.subject, request.client.client_id.as_str()) {
            ("eve", _) => ConsentDecision::refuse(),
            ("zoe", _) => return Err(SubjectError::new("the roles table is away")),
            ("bob", _) => ConsentDecision::allow(request.scope.without(&orders())),
            (_, SPA) => all.always_asking(),
            (_, THIRD) => all.without_asking(),
            _ => all,
        })
    }
}

fn orders() -> Scope {
    Scope::parse("orders:read").unwrap()
}

fn world() -> World {
    World::hooked(Policy::default(), |builder| builder.consent_policy(Roles))
}

fn visit(world: &World, client_id: &str, who: &str, changes: &[(&str, &str)]) -> Next {
    let session = Session::new(who, format!("session of {who}"), world.server.now());
    world.proceed(&world.ticket(client_id, changes), Some(session))
}

const WITH_ORDERS: (&str, &str) = ("scope", "openid orders:read");

#[test]
fn a_person_gives_only_what_the_host_lets_them() {
    let world = world();
    let Next::Consent(asked) = visit(&world, OTHER, "bob", &[WITH_ORDERS]) else { panic!() };
    assert_eq!(asked.scope().to_string(), "openid", "the page does not offer more");
    let all = Scope::parse("openid orders:read").unwrap();
    let code = parameter(&block_on(asked.approve(&all)).unwrap(), "code").unwrap();
    assert_eq!(json_body(&world.redeem(OTHER, &code))["scope"], "openid");
    let Next::Consent(asked) = visit(&world, OTHER, "ann", &[WITH_ORDERS]) else { panic!() };
    assert_eq!(asked.scope().to_string(), "openid orders:read");
    // Nothing is left of it.
    let Next::Done(none) = visit(&world, OTHER, "bob", &[("scope", "orders:read")]) else {
        panic!()
    };
    assert_redirected(&none, "access_denied");
}

#[test]
fn who_may_not_use_a_client_is_sent_back_without_a_question() {
    let world = world();
    for client in [SPA, THIRD, OTHER] {
        for prompt in ["", "none", "consent"] {
            let Next::Done(refused) = visit(&world, client, "eve", &[("prompt", prompt)]) else {
                panic!("eve was asked")
            };
            assert_redirected(&refused, "access_denied");
        }
    }
    assert!(world.saw("DeniedByPolicy"));
    assert!(world.grants().is_empty());
}

#[test]
fn where_only_what_stands_behind_a_claim_is_left_nobody_is_asked() {
    let world = world();
    let wish = [("scope", "orders:read"), ("claims", r#"{"userinfo": {"email": null}}"#)];
    let Next::Done(refused) = visit(&world, OTHER, "bob", &wish) else { panic!("bob was asked") };
    assert_redirected(&refused, "access_denied");
    assert!(world.saw("DeniedByPolicy") && !world.saw("DeniedByUser"));
}

#[test]
fn the_host_says_whether_people_are_asked() {
    let world = world();
    // A client of the operator's own asks nobody, but for the host's word; and that word is not remembered away.
    for _ in 0..2 {
        let Next::Consent(asked) = visit(&world, SPA, "ann", &[]) else { panic!("not asked") };
        let scope = asked.scope().clone();
        block_on(asked.approve(&scope)).unwrap();
    }
    let Next::Done(silent) = visit(&world, SPA, "ann", &[("prompt", "none")]) else { panic!() };
    assert_redirected(&silent, "consent_required");
    let Next::Done(response) = visit(&world, THIRD, "ann", &[]) else { panic!("asked") };
    assert!(parameter(&response, "code").is_some());
    // What nobody was asked about is no consent that somebody could find in a list.
    let remembered = block_on(world.server.consents("ann")).unwrap();
    assert!(remembered.iter().all(|consent| consent.client_id == SPA));
}

#[test]
fn who_is_asked_each_time_answers_for_all_of_it_each_time() {
    let world = world();
    let ask = || match visit(&world, SPA, "ann", &[WITH_ORDERS]) {
        Next::Consent(asked) => asked,
        other => panic!("{other:?}"),
    };
    let redeem = |response| json_body(&world.redeem(SPA, &parameter(&response, "code").unwrap()));
    assert_eq!(redeem(block_on(ask().answer(true)).unwrap())["scope"], "openid orders:read");
    let again = ask();
    assert_eq!(again.new_scope().to_string(), "openid orders:read");
    let less = Scope::parse("openid").unwrap();
    assert_eq!(redeem(block_on(again.approve(&less)).unwrap())["scope"], "openid");
    assert_redirected(&block_on(ask().approve(&Scope::empty())).unwrap(), "access_denied");
}

#[test]
fn when_the_host_cannot_say_nothing_is_granted() {
    let world = world();
    let session = Session::new("zoe", "session of zoe", world.server.now());
    let interaction = block_on(world.server.resume(&world.ticket(THIRD, &[]))).unwrap();
    let refused = block_on(interaction.proceed(Some(session))).unwrap_err().into_response();
    assert_eq!(refused.status, 503);
    assert!(!text(&refused).contains("roles table"));
}
