//! What ends with what: each thing that can happen to an account, a client, a consent, a grant or a session, against each
//! endpoint that issues or reads. The same is asked of all of them, for a check that is forgotten in one place is how
//! servers of this kind are broken.

use grantor::store::Memory;
use grantor::{
    Admission, GrantType, Guard, Next, Policy, Request, Response, Scope, Session, SubjectStatus,
};
use pollster::block_on;
use serde_json::Value;

use crate::client_keys::Network;
use crate::support::*;

/// What there was before it happened.
struct Before {
    world: World,
    session: Session,
    code: String,
    access: String,
    refresh: String,
    /// A page that asks, and that somebody is still reading.
    asking: String,
}

impl Before {
    fn new() -> Self {
        let network = Network::default();
        let world = World::hooked(Policy::default(), |builder| {
            builder.fetch(network).outbox(Memory::new())
        });
        // People are asked, and have said yes once.
        world.change(WEB, |client| client.first_party = false);
        let session = world.session();
        let code = world.code(WEB);
        let tokens = world.tokens(WEB);
        let (access, refresh) = (str_of(&tokens, "access_token"), str_of(&tokens, "refresh_token"));
        let asking = world.ticket(WEB, &[("prompt", "consent")]);
        world.pass(2);
        Self { world, session, code, access, refresh, asking }
    }

    fn now(&self) -> grantor::Time {
        self.world.server.now()
    }
}

const OK: &str = "ok";

/// An event, by its name, and what each of [`SLOTS`] answers afterwards.
type Event = (&'static str, fn(&mut Before), [&'static str; 8]);

const EVENTS: &[Event] = &[
    ("nothing happened", |_| {}, [OK; 8]),
    (
        "the account was locked",
        |b| b.world.people.set("ann", SubjectStatus::Disabled),
        [
            "invalid_grant",
            "invalid_grant",
            "invalid_token",
            "invalid_token",
            "inactive",
            "inactive",
            "login_required",
            "sign in: Disabled",
        ],
    ),
    (
        "the password was changed",
        |b| {
            b.world.people.set("ann", SubjectStatus::Active { valid_from: b.now() });
        },
        [
            "invalid_grant",
            "invalid_grant",
            "invalid_token",
            "invalid_token",
            "inactive",
            "inactive",
            "login_required",
            "sign in: Ended",
        ],
    ),
    (
        "the client was switched off",
        |b| b.world.change(WEB, |client| client.active = false),
        [
            "invalid_client",
            "invalid_client",
            "invalid_token",
            "invalid_token",
            "inactive",
            "invalid_client",
            "page 400",
            "page 400",
        ],
    ),
    (
        "the client was removed",
        |b| block_on(b.world.server.clients().remove(WEB)).unwrap(),
        [
            "invalid_client",
            "invalid_client",
            "invalid_token",
            "invalid_token",
            "inactive",
            "invalid_client",
            "page 400",
            "page 400",
        ],
    ),
    (
        "the client was revoked and switched on again",
        |b| {
            block_on(b.world.server.clients().revoke(WEB)).unwrap();
            b.world.pass(1);
            b.world.change(WEB, |client| client.active = true);
        },
        [
            "invalid_grant",
            "invalid_grant",
            "invalid_token",
            "invalid_token",
            "inactive",
            "inactive",
            "consent_required",
            "access_denied",
        ],
    ),
    (
        "the client's secret was replaced",
        |b| {
            let rotated =
                block_on(b.world.server.clients().rotate_secret(WEB, seconds(0))).unwrap();
            b.world.secret = rotated;
        },
        [OK; 8],
    ),
    (
        "the client lost the refresh grant",
        |b| {
            b.world.change(WEB, |client| client.grant_types = vec![GrantType::AuthorizationCode]);
        },
        [OK, "unauthorized_client", OK, OK, OK, "inactive", OK, OK],
    ),
    (
        "the client lost the code grant",
        |b| {
            b.world.change(WEB, |client| client.grant_types = vec![GrantType::ClientCredentials]);
        },
        [
            "unauthorized_client",
            "unauthorized_client",
            OK,
            OK,
            OK,
            "inactive",
            "unauthorized_client",
            "unauthorized_client",
        ],
    ),
    (
        "the client lost a scope",
        |b| {
            b.world.change(WEB, |client| client.scope = Scope::parse("openid profile").unwrap());
        },
        [
            "ok, without email",
            "ok, without email",
            "ok, without email",
            "ok, without email",
            "ok, without email",
            "ok, without email",
            OK,
            OK,
        ],
    ),
    (
        "the client lost every scope",
        |b| {
            b.world.change(WEB, |client| client.scope = Scope::parse("orders:read").unwrap());
        },
        [
            "invalid_scope",
            "invalid_scope",
            "invalid_token",
            "invalid_token",
            "inactive",
            "inactive",
            "invalid_scope",
            "invalid_scope",
        ],
    ),
    (
        "the consent was taken back",
        |b| {
            block_on(b.world.server.withdraw("ann", WEB)).unwrap();
        },
        [
            "invalid_grant",
            "invalid_grant",
            "invalid_token",
            "invalid_token",
            "inactive",
            "inactive",
            "consent_required",
            OK,
        ],
    ),
    (
        "the grant was revoked",
        |b| {
            let token = [("token", b.access.as_str())];
            b.world.send(&b.world.as_client(WEB, "/oauth2/revoke", &token));
        },
        [OK, "invalid_grant", "invalid_token", "invalid_token", "inactive", "inactive", OK, OK],
    ),
    (
        "the session was ended",
        |b| {
            block_on(b.world.server.end_session(&b.session)).unwrap();
        },
        [
            "invalid_grant",
            "invalid_grant",
            "invalid_token",
            "invalid_token",
            "inactive",
            "inactive",
            OK,
            OK,
        ],
    ),
];

/// An endpoint, and what it answers in a word.
type Slot = (&'static str, fn(&Before) -> String);

const SLOTS: [Slot; 8] = [
    ("redeem", |b| outcome(&b.world.redeem(WEB, &b.code))),
    ("refresh", |b| outcome(&b.world.refresh(WEB, &b.refresh))),
    ("userinfo", |b| outcome(&b.world.userinfo(&b.access))),
    ("the host's API", |b| {
        let guard = Guard::new(&b.world.server);
        match block_on(guard.admit(&bearer(Request::get("/orders"), &b.access))) {
            Admission::Admitted(token, _) => with(&token.scope.to_string()),
            Admission::Answered(response) => outcome(&response),
        }
    }),
    ("introspect by another", |b| asked(b, SERVICE, &b.access)),
    ("introspect a refresh token", |b| asked(b, WEB, &b.refresh)),
    ("a silent visit", |b| {
        let response = b.world.authorize(WEB, &[("prompt", "none")]);
        match response
            .get("location")
            .and_then(|to| to.strip_prefix("https://id.example.com/login?ticket="))
        {
            Some(ticket) => match b.world.proceed(ticket, Some(b.session.clone())) {
                Next::Done(response) => outcome(&response),
                other => format!("{other:?}"),
            },
            None => outcome(&response),
        }
    }),
    ("a page that asks", |b| {
        let resumed = match block_on(b.world.server.resume(&b.asking)) {
            Ok(interaction) => interaction,
            Err(error) => return outcome(&error.into_response()),
        };
        match block_on(resumed.proceed(Some(b.session.clone()))).unwrap() {
            Next::Consent(consent) => outcome(&block_on(consent.answer(true)).unwrap()),
            Next::Done(response) => outcome(&response),
            Next::SignIn(_, reason) => format!("sign in: {reason:?}"),
        }
    }),
];

fn asked(before: &Before, client_id: &str, token: &str) -> String {
    let request = before.world.as_client(client_id, "/oauth2/introspect", &[("token", token)]);
    let response = before.world.send(&request);
    let body = json_or_null(&response);
    match body["active"].as_bool() {
        Some(true) => with(&str_of(&body, "scope")),
        Some(false) => "inactive".to_owned(),
        None => outcome(&response),
    }
}

/// What a response says, in a word.
fn outcome(response: &Response) -> String {
    if response.get("location").is_some() {
        return match parameter(response, "error") {
            None => "ok".to_owned(),
            Some(error) => error,
        };
    }
    let body = json_or_null(response);
    match (response.status, body["error"].as_str()) {
        // Claims say by their absence what is not released.
        (200, _) if body.get("scope").is_none() => match body.get("email") {
            Some(_) => "ok".to_owned(),
            None => "ok, without email".to_owned(),
        },
        (200, _) => with(&str_of(&body, "scope")),
        (_, Some(error)) => error.to_owned(),
        (status, None) => format!("page {status}"),
    }
}

/// That it worked, and what is missing of the scope.
fn with(scope: &str) -> String {
    let whole = ["openid", "profile", "email"];
    let missing: Vec<&str> =
        whole.into_iter().filter(|one| !scope.split(' ').any(|have| have == *one)).collect();
    match missing.is_empty() {
        true => "ok".to_owned(),
        false => format!("ok, without {}", missing.join(" ")),
    }
}

fn json_or_null(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

#[test]
fn what_ends_ends_at_every_endpoint() {
    for (event, happen, expected) in EVENTS {
        for ((slot, ask), expected) in SLOTS.iter().zip(expected) {
            let mut before = Before::new();
            happen(&mut before);
            assert_eq!(ask(&before), *expected, "{event}: {slot}");
        }
    }
}
