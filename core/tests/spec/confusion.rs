//! One kind of credential in the place of another (RFC 9700 section 4, RFC 8725 section 2.8): everything that the server
//! hands out, presented wherever something else is asked for. Each place answers as to something that it has never seen, and
//! whatever was presented is as good as before.

use grantor::store::Memory;
use grantor::{Admission, Algorithm, Guard, OpenRegistration, Policy, Request, Response, Scope};
use pollster::block_on;
use serde_json::json;

use crate::client_keys::Network;
use crate::support::*;

const TOLD_AT: &str = "https://rp.example/told";
const USERINFO: &str = "/oauth2/userinfo";

struct Everything {
    world: World,
    /// Where a registered client reads and changes itself.
    management: String,
    kinds: Vec<(&'static str, String)>,
}

impl Everything {
    fn new() -> Self {
        let scope = Scope::parse("openid").unwrap();
        let network = Network::default();
        let mut policy = Policy::default();
        policy.session_management = true;
        let world = World::hooked(policy, |builder| {
            let builder = builder.registration(OpenRegistration { scope });
            builder.fetch(network.clone()).outbox(Memory::new())
        });
        network.take_forms(TOLD_AT, 200);
        world.change(WEB, |client| {
            client.backchannel_logout_uri = Some(TOLD_AT.into());
            client.resources = vec![ISSUER.into()];
        });
        // Another session of hers ends, and its application is told by a token.
        let mut over = world.session();
        over.id = "a session that is over".into();
        assert!(matches!(
            world.proceed(&world.ticket(WEB, &[]), Some(over.clone())),
            grantor::Next::Done(_)
        ));
        block_on(world.server.end_session(&over)).unwrap();
        for delivery in block_on(world.server.due_deliveries(10)).unwrap() {
            block_on(delivery.deliver()).unwrap();
        }
        let logout_token = network.forms()[0].1[0].1.clone();
        let tokens = world.tokens(WEB);
        let signed = {
            world
                .change(SPA, |client| client.userinfo_signed_response_alg = Some(Algorithm::EdDsa));
            let token = str_of(&world.tokens(SPA), "access_token");
            text(&world.userinfo(&token))
        };
        let mut register =
            Request::get("/oauth2/register").header("content-type", "application/json");
        register.method = grantor::Method::Post;
        register.body = json!({"redirect_uris": [CALLBACK]}).to_string().into_bytes();
        let registered = json_body(&world.send(&register));
        let management = str_of(&registered, "registration_client_uri");
        let asked = world.send(&Request::get("/oauth2/logout"));
        let logout_ticket =
            asked.get("location").unwrap().split_once("ticket=").unwrap().1.to_owned();
        let state = world.server.browser_state_cookie(Some(&world.session())).unwrap();
        let state = state.split(['=', ';']).nth(1).unwrap().to_owned();
        let id_token = str_of(&tokens, "id_token");
        let kinds = vec![
            ("code", world.code(WEB)),
            ("access token", str_of(&tokens, "access_token")),
            ("client's own token", world.service_token()),
            ("refresh token", str_of(&tokens, "refresh_token")),
            ("sid", str_of(&claims(&id_token), "sid")),
            ("ID token", id_token),
            ("logout token", logout_token),
            ("signed claims", signed),
            ("ticket", world.ticket(WEB, &[])),
            ("logout ticket", logout_ticket),
            ("registration access token", str_of(&registered, "registration_access_token")),
            ("client secret", world.secret.expose().to_owned()),
            ("another client's secret", world.other_secret.expose().to_owned()),
            ("browser state", state),
        ];
        let management = management.strip_prefix(ISSUER).unwrap().to_owned();
        Self { world, management, kinds }
    }

    /// Presents each kind, but for those that belong there, and looks at the answer.
    fn everywhere_but(&self, belongs: &[&str], present: impl Fn(&str), place: &str) {
        let before = self.world.grants();
        let others = self.kinds.iter().filter(|(kind, _)| !belongs.contains(kind));
        let mut presented = 0;
        for (kind, text) in others {
            present(text);
            assert_eq!(self.world.grants(), before, "a {kind} as {place} has changed a grant");
            presented += 1;
        }
        assert_eq!(presented, self.kinds.len() - belongs.len(), "{place}");
    }

    fn get(&self, kind: &str) -> &str {
        &self.kinds.iter().find(|(have, _)| *have == kind).unwrap().1
    }
}

#[test]
fn nothing_passes_for_a_credential_of_another_kind() {
    let all = Everything::new();
    let world = &all.world;
    all.everywhere_but(
        &["code"],
        |text| assert_error(&world.redeem(WEB, text), 400, "invalid_grant"),
        "a code",
    );
    all.everywhere_but(
        &["refresh token"],
        |text| assert_error(&world.refresh(WEB, text), 400, "invalid_grant"),
        "a refresh token",
    );
    // A client's own token is about no person.
    all.everywhere_but(
        &["access token", "client's own token"],
        |text| {
            assert_error(&world.userinfo(text), 401, "invalid_token");
            let form = Request::form(USERINFO, &[("access_token", text)]);
            assert_error(&world.send(&form), 401, "invalid_token");
        },
        "an access token",
    );
    assert_ne!(world.userinfo(all.get("client's own token")).status, 200);
    let guard = Guard::new(&world.server);
    all.everywhere_but(
        &["access token", "client's own token"],
        |text| match block_on(guard.admit(&bearer(Request::get("/orders"), text))) {
            Admission::Answered(response) => assert_error(&response, 401, "invalid_token"),
            Admission::Admitted(..) => panic!("let in"),
        },
        "an access token at the host's own API",
    );
    for hint in ["access_token", "refresh_token", "id_token"] {
        let ask = |path: &str, token: &str| {
            let parameters = [("token", token), ("token_type_hint", hint)];
            json_body(&world.send(&world.as_client(WEB, path, &parameters)))
        };
        all.everywhere_but(
            &["access token", "client's own token", "refresh token"],
            |text| assert_eq!(ask("/oauth2/introspect", text), json!({"active": false})),
            "a token to ask about",
        );
        // A client may take its own code back too.
        all.everywhere_but(
            &["access token", "client's own token", "refresh token", "code"],
            |text| assert_eq!(ask("/oauth2/revoke", text), json!({})),
            "a token to revoke",
        );
    }
    all.everywhere_but(
        &["client secret"],
        |text| {
            let parameters = [("client_id", WEB), ("client_secret", text), ("token", "x")];
            for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
                assert_error(&world.send(&Request::form(path, &parameters)), 401, "invalid_client");
                let by_header = Request::form(path, &[("token", "x")]);
                let by_header = by_header.header("authorization", basic(WEB, text));
                assert_error(&world.send(&by_header), 401, "invalid_client");
            }
        },
        "a client's secret",
    );
    all.everywhere_but(
        &[],
        |text| {
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            let parameters = [("client_assertion_type", kind), ("client_assertion", text)];
            let answer = world.send(&Request::form("/oauth2/token", &parameters));
            assert_error(&answer, 401, "invalid_client");
        },
        "a client's assertion",
    );
    all.everywhere_but(
        &["registration access token"],
        |text| {
            for method in [grantor::Method::Get, grantor::Method::Put, grantor::Method::Delete] {
                let mut request = bearer(Request::get(&all.management), text);
                request = request.header("content-type", "application/json");
                request.method = method;
                assert_error(&world.send(&request), 401, "invalid_token");
            }
        },
        "a registration access token",
    );
}

#[test]
fn nothing_passes_for_a_hint_a_ticket_or_a_request_object_that_is_none() {
    let all = Everything::new();
    let world = &all.world;
    let page = |response: &Response| {
        assert_eq!(response.status, 400, "{}", text(response));
        assert_eq!(response.get("location"), None);
    };
    all.everywhere_but(
        &["ID token"],
        |text| {
            let hinted = world.authorize(WEB, &[("id_token_hint", text)]);
            assert_redirected(&hinted, "invalid_request");
            let logout = Request::form("/oauth2/logout", &[("id_token_hint", text)]);
            page(&world.send(&logout));
        },
        "an ID token as a hint",
    );
    all.everywhere_but(
        &["ticket"],
        |text| {
            let resumed = block_on(world.server.resume(text));
            page(&resumed.unwrap_err().into_response());
        },
        "a ticket",
    );
    all.everywhere_but(
        &["logout ticket"],
        |text| {
            let resumed = block_on(world.server.resume_logout(text));
            page(&resumed.unwrap_err().into_response());
        },
        "a logout ticket",
    );
    // One that is not ours is ignored there, like every parameter that is not known.
    all.everywhere_but(
        &["ticket"],
        |text| assert_eq!(world.authorize(WEB, &[("ticket", text)]).status, 303),
        "a ticket that comes back",
    );
    all.everywhere_but(
        &[],
        |text| {
            let refused = world.authorize(WEB, &[("request", text)]);
            assert_redirected(&refused, "invalid_request_object");
        },
        "a request object",
    );
}

#[test]
fn what_was_presented_everywhere_is_as_good_as_before() {
    let all = Everything::new();
    let world = &all.world;
    for (_, text) in &all.kinds {
        if text != all.get("code") {
            world.redeem(WEB, text);
        }
        if text != all.get("refresh token") {
            world.refresh(WEB, text);
        }
        world.userinfo(text);
        world.authorize(WEB, &[("id_token_hint", text), ("request", text)]);
        let _ = block_on(world.server.resume(text));
    }
    assert!(world.is_alive(all.get("access token")));
    assert_eq!(world.introspect(SERVICE, all.get("client's own token"))["active"], true);
    assert_eq!(world.redeem(WEB, all.get("code")).status, 200);
    assert_eq!(world.refresh(WEB, all.get("refresh token")).status, 200);
    assert!(block_on(world.server.resume(all.get("ticket"))).is_ok());
    assert!(block_on(world.server.resume_logout(all.get("logout ticket"))).is_ok());
    let hinted = world.authorize(WEB, &[("id_token_hint", all.get("ID token"))]);
    assert_eq!(parameter(&hinted, "error"), None);
    let itself = bearer(Request::get(&all.management), all.get("registration access token"));
    assert_eq!(world.send(&itself).status, 200);
}
