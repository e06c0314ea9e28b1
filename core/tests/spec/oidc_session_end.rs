//! OpenID Connect Back-Channel Logout 1.0 and Front-Channel Logout 1.0: applications learn that a session has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use grantor::store::{Memory, Message, Outbox, StoreError};
use grantor::{
    Client, EndsWithSession, GrantType, Issuer, Policy, Request, Scope, Session, SubjectStatus,
    SubjectType, Time,
};
use pollster::block_on;
use serde_json::{Value, json};

use crate::client_keys::Network;
use crate::support::*;

const TOLD: &str = "client_told";
const TOLD_AT: &str = "https://rp.example/logout";

struct Told {
    world: World,
    network: Network,
}

impl Told {
    fn new() -> Self {
        Self::with(Policy::default())
    }

    fn with(policy: Policy) -> Self {
        Self::by(policy, Memory::new())
    }

    fn by(policy: Policy, outbox: impl Outbox) -> Self {
        let network = Network::default();
        let world = World::hooked(policy, |builder| builder.fetch(network.clone()).outbox(outbox));
        let told = Self { world, network };
        told.register(TOLD, |client| client.backchannel_logout_uri = Some(TOLD_AT.into()));
        told.network.take_forms(TOLD_AT, 200);
        told
    }

    fn register(&self, client_id: &str, change: impl FnOnce(&mut Client)) {
        let mut client = Client::public(client_id, "Told");
        client.redirect_uris = vec![CALLBACK.into()];
        client.scope = Scope::parse("openid offline_access orders:read").unwrap();
        client.first_party = true;
        change(&mut client);
        block_on(self.world.server.clients().create(client)).unwrap();
    }

    fn end(&self, session: &Session) -> Vec<String> {
        block_on(self.world.server.end_session(session)).unwrap().frames
    }

    /// Delivers what is due, and says how much that was.
    fn deliver(&self) -> usize {
        let due = block_on(self.world.server.due_deliveries(100)).unwrap();
        let many = due.len();
        for delivery in due {
            block_on(delivery.deliver()).unwrap();
        }
        many
    }

    /// The logout tokens that came so far.
    fn tokens(&self) -> Vec<String> {
        let token = |form: Vec<(String, String)>| match form.as_slice() {
            [(name, token)] if name == "logout_token" => token.clone(),
            other => panic!("{other:?}"),
        };
        self.network.forms().into_iter().map(|(_, form)| token(form)).collect()
    }
}

fn said(tokens: &Value, claim: &str) -> String {
    str_of(&claims(&str_of(tokens, "id_token")), claim)
}

#[test]
fn an_application_is_told_once_with_a_token_that_says_what_has_ended() {
    let told = Told::new();
    let tokens = told.world.tokens(TOLD);
    assert!(told.end(&told.world.session()).is_empty());
    assert!(told.network.forms().is_empty(), "nobody waits for the application");
    assert_eq!(told.deliver(), 1);
    let token = told.tokens().remove(0);
    let (header, claims) = (jose_header(&token), claims(&token));
    assert_eq!((&header["typ"], &header["alg"]), (&json!("logout+jwt"), &json!("RS256")));
    let now = told.world.server.now().secs();
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "aud": TOLD, "sub": "ann", "sid": said(&tokens, "sid"), "iat": now,
            "exp": now + 120, "jti": claims["jti"],
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        })
    );
    assert_eq!(told.deliver(), 0, "it was recorded");
    told.world.pass(7 * 86_400);
    assert_eq!(told.deliver(), 0);
    assert!(told.world.saw("LogoutDelivered"));
    // It proves nothing else.
    assert_redirected(&told.world.authorize(TOLD, &[("id_token_hint", &token)]), "invalid_request");
    assert_eq!(told.world.userinfo(&token).status, 401);
}

#[test]
fn only_applications_of_this_very_session_are_told() {
    let told = Told::new();
    told.world.tokens(TOLD);
    told.end(&Session::new("ann", "another session", told.world.server.now()));
    told.end(&Session::new("bob", "session of bob", told.world.server.now()));
    assert_eq!(told.deliver(), 0);
    // One that the person refused has no part in it.
    told.register("client_refused", |client| {
        client.backchannel_logout_uri = Some("https://refused.example/logout".into());
        client.first_party = false;
    });
    let ticket = told.world.ticket("client_refused", &[]);
    let grantor::Next::Consent(consent) = told.world.proceed(&ticket, Some(told.world.session()))
    else {
        panic!()
    };
    block_on(consent.deny()).unwrap();
    told.end(&told.world.session());
    assert_eq!(told.deliver(), 1);
}

#[test]
fn an_application_that_is_away_is_told_when_it_is_back_and_others_meanwhile() {
    let told = Told::new();
    told.register("client_neighbour", |client| {
        client.backchannel_logout_uri = Some("https://other.example/logout".into());
        client.redirect_uris.push("https://other.example/cb".into());
    });
    told.network.take_forms("https://other.example/logout", 204);
    told.network.take_forms(TOLD_AT, 503);
    told.world.tokens(TOLD);
    told.world.tokens("client_neighbour");
    told.end(&told.world.session());
    assert_eq!(told.deliver(), 2);
    assert_eq!(told.deliver(), 0, "not again at once");
    told.world.pass(5);
    assert_eq!(told.deliver(), 1);
    told.world.pass(9);
    assert_eq!(told.deliver(), 0, "each pause is longer");
    told.network.take_forms(TOLD_AT, 200);
    told.world.pass(60);
    assert_eq!(told.deliver(), 1);
    assert_eq!(told.deliver(), 0);
    let to_us: Vec<_> = told.tokens().into_iter().filter(|t| claims(t)["aud"] == TOLD).collect();
    let ids: Vec<_> = to_us.iter().map(|token| claims(token)["jti"].clone()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "the receiver can tell that it is the same");
    assert!(claims(&to_us[2])["iat"].as_i64() > claims(&to_us[0])["iat"].as_i64());
}

#[test]
fn one_that_never_comes_back_is_given_up_after_a_day_and_the_operator_is_told() {
    let told = Told::new();
    told.network.take_forms(TOLD_AT, 500);
    told.world.tokens(TOLD);
    told.end(&told.world.session());
    let mut tries = 0;
    for _ in 0..60 {
        tries += told.deliver();
        told.world.pass(3600);
    }
    assert!((10..60).contains(&tries), "{tries}");
    assert!(told.world.events().iter().any(|event| event.contains("is_last: true")));
    assert_eq!(told.deliver(), 0);
}

#[test]
fn whoever_dies_with_a_message_in_hand_is_followed_by_another() {
    let told = Told::new();
    told.world.tokens(TOLD);
    told.end(&told.world.session());
    let in_hand = block_on(told.world.server.due_deliveries(10)).unwrap();
    assert_eq!(in_hand.len(), 1);
    drop(in_hand);
    assert_eq!(told.deliver(), 0, "it may still be on its way");
    told.world.pass(30);
    assert_eq!(told.deliver(), 1);
}

#[test]
fn ending_a_session_twice_tells_once() {
    let told = Told::new();
    told.world.tokens(TOLD);
    told.end(&told.world.session());
    told.end(&told.world.session());
    assert_eq!(told.deliver(), 1);
}

#[test]
fn an_application_stays_part_of_the_session_for_as_long_as_that_lasts() {
    let told = Told::new();
    told.world.change(TOLD, |client| client.grant_types = vec![GrantType::AuthorizationCode]);
    let mut session = told.world.session();
    session.expires_at = Some(told.world.server.now().plus(seconds(8 * 3600)));
    let sign_in = |client_id: &str, session: &Session| {
        let ticket = told.world.ticket(client_id, &[]);
        let grantor::Next::Done(response) = told.world.proceed(&ticket, Some(session.clone()))
        else {
            panic!()
        };
        let code = parameter(&response, "code").unwrap();
        let answer = told.world.redeem(client_id, &code);
        assert_eq!(answer.status, 200);
        json_body(&answer)
    };
    let tokens = sign_in(TOLD, &session);
    assert_eq!(tokens["expires_in"], 600, "its tokens live no longer for that");
    told.world.pass(7 * 3600);
    block_on(told.world.server.maintain()).unwrap();
    assert!(!told.world.is_alive(&str_of(&tokens, "access_token")));
    told.end(&session);
    assert_eq!(told.deliver(), 1);
}

#[test]
fn what_was_granted_ends_with_the_session_unless_it_was_meant_to_outlive_it() {
    let alive_after = |ends: EndsWithSession, scope: &str| {
        let mut policy = Policy::default();
        policy.ends_with_session = ends;
        let told = Told::with(policy);
        let response = told.world.approve(&told.world.ticket(TOLD, &[("scope", scope)]));
        let code = parameter(&response, "code").unwrap();
        let tokens = json_body(&told.world.redeem(TOLD, &code));
        told.end(&told.world.session());
        let alive = told.world.is_alive(&str_of(&tokens, "access_token"));
        let refreshed = told.world.refresh(TOLD, &str_of(&tokens, "refresh_token")).status == 200;
        assert_eq!(alive, refreshed);
        alive
    };
    let (online, offline) = ("openid", "openid offline_access");
    assert!(!alive_after(EndsWithSession::Online, online));
    assert!(alive_after(EndsWithSession::Online, offline));
    assert!(!alive_after(EndsWithSession::Everything, offline));
    assert!(alive_after(EndsWithSession::Nothing, online));
}

#[test]
fn all_sessions_of_somebody_end_each_with_its_own_message() {
    let told = Told::new();
    for id in ["one", "two"] {
        let session = Session::new("ann", id, told.world.server.now());
        let ticket = told.world.ticket(TOLD, &[]);
        assert!(matches!(told.world.proceed(&ticket, Some(session)), grantor::Next::Done(_)));
    }
    told.world.people.set("ann", SubjectStatus::Disabled);
    block_on(told.world.server.end_sessions("ann")).unwrap();
    assert_eq!(told.deliver(), 2, "that the account is locked keeps nobody from being told");
    let tokens = told.tokens();
    assert_ne!(claims(&tokens[0])["sid"], claims(&tokens[1])["sid"]);
}

#[test]
fn of_a_session_that_has_ended_before_nobody_is_told_again() {
    let told = Told::new();
    told.world.tokens(TOLD);
    told.end(&told.world.session());
    assert_eq!(told.deliver(), 1);
    // Its grants are still there, for reuse to be seen.
    assert!(!told.world.grants().is_empty());
    block_on(told.world.server.end_sessions("ann")).unwrap();
    told.end(&told.world.session());
    assert_eq!(told.deliver(), 0);
    // A store that fails is no end: the next try tells.
    let other = Session::new("ann", "another session", told.world.server.now());
    let ticket = told.world.ticket(TOLD, &[]);
    assert!(matches!(told.world.proceed(&ticket, Some(other.clone())), grantor::Next::Done(_)));
    told.world.break_store(true);
    assert!(block_on(told.world.server.end_session(&other)).is_err());
    told.world.break_store(false);
    told.end(&other);
    assert_eq!(told.deliver(), 1);
}

#[test]
fn whoever_goes_on_with_a_session_that_has_ended_is_told_of_its_next_end() {
    let told = Told::new();
    told.world.tokens(TOLD);
    told.end(&told.world.session());
    assert_eq!(told.deliver(), 1);
    // A host that keeps its id, and an approval that was under way.
    told.world.pass(1);
    let tokens = told.world.tokens(TOLD);
    told.end(&told.world.session());
    assert_eq!(told.deliver(), 1);
    assert!(!told.world.is_alive(&str_of(&tokens, "access_token")));
    let ids: Vec<_> = told.tokens().iter().map(|token| claims(token)["jti"].clone()).collect();
    assert_ne!(ids[0], ids[1], "a receiver would take it for the one that it knows");
}

#[test]
fn a_message_is_about_the_person_who_was_let_in_whoever_has_the_session_now() {
    let told = Told::new();
    told.world.tokens(TOLD);
    // The host has kept its session's id for the next person.
    let bob = Session::new("bob", "session of ann", told.world.server.now());
    told.end(&bob);
    told.deliver();
    assert_eq!(claims(&told.tokens()[0])["sub"], "ann");
}

#[test]
fn what_could_never_be_delivered_is_given_up_all_the_same() {
    let told = Told::new();
    told.world.tokens(TOLD);
    told.end(&told.world.session());
    // Whoever takes it dies, each time.
    for _ in 0..3 {
        assert_eq!(block_on(told.world.server.due_deliveries(10)).unwrap().len(), 1);
        told.world.pass(30);
    }
    told.world.pass(86_400);
    assert_eq!(told.deliver(), 0);
    assert!(told.world.events().iter().any(|event| event.contains("is_last: true")));
}

/// An outbox that cannot be reached while somebody says so.
struct Away(Memory, Arc<AtomicBool>);

impl Away {
    fn there(&self) -> Result<&Memory, StoreError> {
        match self.1.load(Ordering::SeqCst) {
            true => Err(StoreError::new("the disk is full")),
            false => Ok(&self.0),
        }
    }
}

#[async_trait]
impl Outbox for Away {
    async fn add(&self, messages: Vec<Message>) -> Result<(), StoreError> {
        self.there()?.add(messages).await
    }
    async fn claim(
        &self,
        issuer: &Issuer,
        now: Time,
        until: Time,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        self.there()?.claim(issuer, now, until, limit).await
    }
    async fn list(
        &self,
        issuer: &Issuer,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        Outbox::list(self.there()?, issuer, after, limit).await
    }
    async fn settle(&self, id: &str, next: Option<Time>) -> Result<bool, StoreError> {
        self.there()?.settle(id, next).await
    }
}

#[test]
fn a_store_that_fails_while_telling_is_an_event_and_the_message_is_sent_again() {
    let away = Arc::new(AtomicBool::new(false));
    let outbox = Away(Memory::new(), away.clone());
    let told = Told::by(Policy::default(), outbox);
    told.world.tokens(TOLD);
    told.end(&told.world.session());
    let due = block_on(told.world.server.due_deliveries(10)).unwrap();
    away.store(true, Ordering::SeqCst);
    for delivery in due {
        assert!(block_on(delivery.deliver()).is_err());
    }
    assert!(block_on(told.world.server.due_deliveries(10)).is_err());
    let events = told.world.events();
    assert_eq!(events.iter().filter(|event| event.contains("DeliveryFailed")).count(), 2);
    away.store(false, Ordering::SeqCst);
    assert_eq!(told.deliver(), 0, "somebody has it");
    told.world.pass(30);
    assert_eq!(told.deliver(), 1);
    let jtis: Vec<_> = told.tokens().iter().map(|token| claims(token)["jti"].clone()).collect();
    assert_eq!(jtis.len(), 2, "it had come, and nobody could write that down");
    assert_eq!(jtis[0], jtis[1]);
}

#[test]
fn a_pairwise_application_is_told_by_the_names_that_it_knows() {
    let told = Told::new();
    told.world.change(TOLD, |client| client.subject_type = SubjectType::Pairwise);
    told.world.pass(1);
    let tokens = told.world.tokens(TOLD);
    told.end(&told.world.session());
    told.deliver();
    let token = claims(&told.tokens()[0]);
    assert_eq!(token["sub"], said(&tokens, "sub"));
    assert_eq!(token["sid"], said(&tokens, "sid"));
    assert_ne!(token["sub"], "ann");
}

#[test]
fn a_client_that_is_gone_or_switched_off_is_not_called() {
    let told = Told::new();
    told.world.tokens(TOLD);
    told.end(&told.world.session());
    block_on(told.world.server.clients().revoke(TOLD)).unwrap();
    assert_eq!(told.deliver(), 1);
    assert!(told.network.forms().is_empty());
    told.world.pass(86_400);
    assert_eq!(told.deliver(), 0);
}

#[test]
fn a_page_of_the_application_is_opened_with_issuer_and_session_and_nothing_else() {
    let told = Told::new();
    let page = "https://rp.example/frame?tenant=1";
    told.register("client_frame", |client| client.frontchannel_logout_uri = Some(page.into()));
    let tokens = told.world.tokens("client_frame");
    let frames = told.end(&told.world.session());
    let [frame] = frames.as_slice() else { panic!("{frames:?}") };
    let query = frame.strip_prefix(&format!("{page}&")).unwrap();
    let pairs: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let pair = |name: &str, value: String| (name.to_owned(), value);
    assert_eq!(pairs, [pair("iss", ISSUER.to_owned()), pair("sid", said(&tokens, "sid"))]);
    // The host's page may open it, and nothing else.
    let shown = grantor::Response::page("").with_frames(frames.iter().map(String::as_str));
    let policy = shown.get("content-security-policy").unwrap();
    assert!(policy.contains("frame-src https://rp.example; base-uri 'none'"), "{policy}");
}

#[test]
fn where_applications_are_told_is_checked_when_they_are_registered() {
    let told = Told::new();
    let refused = |change: fn(&mut Client)| {
        let mut client = Client::public("client_new", "New");
        client.redirect_uris = vec![CALLBACK.into()];
        change(&mut client);
        block_on(told.world.server.clients().create(client)).unwrap_err().to_string()
    };
    for change in [
        (|c| c.backchannel_logout_uri = Some("http://rp.example/out".into())) as fn(&mut Client),
        |c| c.backchannel_logout_uri = Some("https://rp.example/out#x".into()),
        |c| c.backchannel_logout_uri = Some("javascript:alert(1)".into()),
        |c| c.backchannel_logout_uri = Some("https://a:b@rp.example/".into()),
    ] {
        assert!(refused(change).starts_with("backchannel_logout_uri"));
    }
    for change in [
        (|c| c.frontchannel_logout_uri = Some("https://evil.example/".into())) as fn(&mut Client),
        |c| c.frontchannel_logout_uri = Some("https://rp.example:8443/".into()),
        |c| c.frontchannel_logout_uri = Some("javascript:alert(1)".into()),
    ] {
        assert!(refused(change).starts_with("frontchannel_logout_uri"));
    }
    // A server that tells nobody lets nobody believe otherwise.
    let world = World::new();
    let mut client = Client::public("client_new", "New");
    client.redirect_uris = vec![CALLBACK.into()];
    client.backchannel_logout_uri = Some(TOLD_AT.into());
    let error = block_on(world.server.clients().create(client)).unwrap_err().to_string();
    assert!(error.contains("Builder::outbox"), "{error}");
    let metadata =
        |world: &World| json_body(&world.send(&Request::get("/.well-known/openid-configuration")));
    let name = "backchannel_logout_supported";
    assert_eq!(metadata(&world).get(name), None);
    assert_eq!(metadata(&told.world)[name], true);
    assert_eq!(metadata(&told.world)["frontchannel_logout_session_supported"], true);
}

#[test]
fn a_thousand_applications_are_written_down_at_once_and_told_in_parts() {
    let told = Told::new();
    for n in 0..1000 {
        let id = format!("client_{n}");
        told.register(&id, |client| {
            client.backchannel_logout_uri = Some(TOLD_AT.into());
            client.grant_types = vec![GrantType::AuthorizationCode];
        });
        told.world.code(&id);
    }
    told.end(&told.world.session());
    assert!(told.network.forms().is_empty());
    let first = block_on(told.world.server.due_deliveries(64)).unwrap();
    assert_eq!(first.len(), 64);
    // These hang; all others are delivered meanwhile.
    let mut delivered = 0;
    loop {
        match told.deliver() {
            0 => break,
            more => delivered += more,
        }
    }
    assert_eq!(delivered, 1000 - 64);
    for delivery in first {
        block_on(delivery.deliver()).unwrap();
    }
    let distinct: std::collections::BTreeSet<String> =
        told.tokens().iter().map(|token| str_of(&claims(token), "aud")).collect();
    assert_eq!(distinct.len(), 1000);
}

#[test]
fn an_approval_that_was_under_way_ends_with_the_second_word_about_its_session() {
    let told = Told::with({
        let mut policy = Policy::default();
        policy.ends_with_session = EndsWithSession::Everything;
        policy
    });
    let (server, session) = (told.world.server.clone(), told.world.session());
    let ended = session.clone();
    // The person signs out between the decision and the record.
    told.world.meanwhile(move || drop(block_on(server.end_session(&ended)).unwrap()));
    let ticket = told.world.ticket(TOLD, &[]);
    let grantor::Next::Done(response) = told.world.proceed(&ticket, Some(session.clone())) else {
        panic!()
    };
    let tokens = json_body(&told.world.redeem(TOLD, &parameter(&response, "code").unwrap()));
    let access_token = str_of(&tokens, "access_token");
    // One word could not know of it. That is why hosts say it twice, the second time when the session is gone from
    // their own records and nothing can be approved in it any more.
    assert!(told.world.is_alive(&access_token));
    told.end(&session);
    assert!(!told.world.is_alive(&access_token));
    assert_error(
        &told.world.refresh(TOLD, &str_of(&tokens, "refresh_token")),
        400,
        "invalid_grant",
    );
}

#[test]
fn an_application_is_remembered_for_as_long_as_its_session_lasts_and_ninety_days_at_most() {
    for (days, expected) in [(30, 30), (89, 89), (200, 90)] {
        let told = Told::new();
        told.world.change(TOLD, |client| client.grant_types = vec![GrantType::AuthorizationCode]);
        let mut session = told.world.session();
        session.expires_at = Some(told.world.server.now().plus(seconds(days * 86_400)));
        let grantor::Next::Done(_) =
            told.world.proceed(&told.world.ticket(TOLD, &[]), Some(session.clone()))
        else {
            panic!()
        };
        let until = told.world.grants()[0].expires_at.since(told.world.server.now());
        assert_eq!(until, seconds(expected * 86_400));
        told.world.pass(expected * 86_400 - 1);
        told.end(&session);
        assert_eq!(told.deliver(), 1, "{days} days");
    }
}
