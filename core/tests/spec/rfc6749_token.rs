//! RFC 6749 sections 3.2, 4 and 6, the harder half: what a token request meets when time has passed, when
//! something was taken away, or when something fails.

use grantor::{
    AuthorizationServer, Client, GrantType, MasterKey, Next, Policy, RefreshPolicy, Request,
    Rotation, Scope, Session,
};
use pollster::block_on;
use serde_json::json;

use crate::support::*;

const DAY: u64 = 86_400;

// Section 4.1.3: codes.

#[test]
fn a_code_that_cannot_be_one_is_refused_and_an_empty_one_is_missing() {
    let world = World::new();
    assert_error(&world.redeem(SPA, ""), 400, "invalid_request");
    assert_error(&world.redeem(SPA, "authz_\u{0}"), 400, "invalid_request");
    for code in ["é", "authz_", "authz_ünï", "nonsense"] {
        assert_error(&world.redeem(SPA, code), 400, "invalid_grant");
    }
}

#[test]
fn a_spent_code_is_remembered_until_its_grant_ends() {
    for client in [SPA, WEB] {
        let world = World::new();
        // The record of a client without refresh tokens ends earliest.
        world.change(SPA, |client| client.grant_types = vec![GrantType::AuthorizationCode]);
        let code = world.code(client);
        assert_eq!(world.redeem(client, &code).status, 200);
        let known = world.grants().len();
        let mut replays = 0;
        for pause in [1, 29, 510] {
            world.pass(pause);
            block_on(world.server.maintain()).unwrap();
            let before = world.events().iter().filter(|it| it.starts_with("ReuseDetected")).count();
            assert_error(&world.redeem(client, &code), 400, "invalid_grant");
            let after = world.events().iter().filter(|it| it.starts_with("ReuseDetected")).count();
            replays += after - before;
        }
        // The first replay ends the grant; there is nothing more to end by the others.
        assert_eq!((replays, world.grants().len()), (1, known), "{client}");
    }
}

#[test]
fn a_proof_of_possession_that_this_server_does_not_know_is_no_claim_to_one() {
    let world = World::new();
    let bound = [("dpop_jkt", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")];
    let code = parameter(&world.approve(&world.ticket(SPA, &bound)), "code").unwrap();
    let parameters = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        bound[0],
    ];
    let tokens = json_body(&world.token(SPA, &parameters));
    // So no client believes that its tokens are bound to its key.
    assert_eq!(tokens["token_type"], "Bearer");
    assert!(claims(&str_of(&tokens, "access_token")).get("cnf").is_none());
    let refreshed = world.refresh(SPA, &str_of(&tokens, "refresh_token"));
    assert_eq!(json_body(&refreshed)["token_type"], "Bearer");
}

#[test]
fn what_a_token_says_is_of_the_grant_whose_code_was_redeemed_however_many_redeem_at_once() {
    const PEOPLE: usize = 1000;
    let world = World::new();
    let codes: Vec<(usize, String)> = (0..PEOPLE)
        .map(|n| {
            let mut session =
                Session::new(format!("person{n}"), format!("s{n}"), world.server.now());
            session.auth_time = world.server.now().minus(seconds(n as u64));
            let scope = if n % 2 == 0 { "openid email" } else { "openid profile" };
            let nonce = format!("nonce{n}");
            let ticket = world.ticket(SPA, &[("nonce", &nonce), ("scope", scope)]);
            match world.proceed(&ticket, Some(session)) {
                Next::Done(response) => (n, parameter(&response, "code").unwrap()),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    let now = world.server.now().secs();
    let sids = std::sync::Mutex::new(std::collections::HashSet::new());
    std::thread::scope(|threads| {
        for part in codes.chunks(PEOPLE / 8) {
            let (world, sids) = (&world, &sids);
            threads.spawn(move || {
                for (n, code) in part {
                    let tokens = json_body(&world.redeem(SPA, code));
                    let scope = if n % 2 == 0 { "openid email" } else { "openid profile" };
                    assert_eq!(tokens["scope"], scope);
                    let id_token = claims(&str_of(&tokens, "id_token"));
                    let access_token = claims(&str_of(&tokens, "access_token"));
                    for claims in [&id_token, &access_token] {
                        assert_eq!(claims["sub"], format!("person{n}"));
                        assert_eq!(claims["auth_time"], now - *n as i64);
                    }
                    assert_eq!(id_token["nonce"], format!("nonce{n}"));
                    assert_eq!(access_token["scope"], scope);
                    assert_eq!(access_token["sid"], id_token["sid"]);
                    assert!(sids.lock().unwrap().insert(str_of(&id_token, "sid")), "a sid twice");
                }
            });
        }
    });
    assert_eq!(sids.into_inner().unwrap().len(), PEOPLE);
}

// Section 6: refresh tokens.

#[test]
fn a_refresh_while_the_store_is_away_costs_nothing() {
    let world = World::new();
    let token = str_of(&world.tokens(WEB), "refresh_token");
    let before = world.grants();
    world.break_store(true);
    assert_error(&world.refresh(WEB, &token), 503, "temporarily_unavailable");
    world.break_store(false);
    assert_eq!(world.grants(), before);
    assert_eq!(world.refresh(WEB, &token).status, 200);
}

#[test]
fn a_client_that_has_lost_offline_access_refreshes_no_more() {
    let mut policy = Policy::default();
    policy.refresh = RefreshPolicy::OfflineAccess;
    let world = World::with(policy);
    let offline = [("scope", "openid email offline_access")];
    let code =
        |world: &World| parameter(&world.approve(&world.ticket(WEB, &offline)), "code").unwrap();
    let tokens = json_body(&world.redeem(WEB, &code(&world)));
    let unspent = code(&world);
    let token = str_of(&tokens, "refresh_token");
    assert_eq!(world.introspect(WEB, &token)["active"], true);
    world.change(WEB, |client| client.scope = Scope::parse("openid email").unwrap());
    assert_eq!(world.introspect(WEB, &token), json!({"active": false}));
    assert_error(&world.refresh(WEB, &token), 400, "unauthorized_client");
    // What was approved and not fetched comes without.
    let tokens = json_body(&world.redeem(WEB, &unspent));
    assert_eq!(tokens["scope"], "openid email");
    assert!(tokens.get("refresh_token").is_none(), "{tokens}");
    // It has ended. Whoever tries again, as soon or as late as they like, is no thief.
    for later in [0, 120] {
        world.pass(later);
        assert_error(&world.refresh(WEB, &token), 400, "invalid_grant");
    }
    assert!(!world.saw("ReuseDetected"));
}

#[test]
fn offline_access_means_nothing_where_every_client_of_the_grant_refreshes() {
    let world = World::new();
    let offline = [("scope", "openid email offline_access")];
    let code = parameter(&world.approve(&world.ticket(WEB, &offline)), "code").unwrap();
    let token = str_of(&json_body(&world.redeem(WEB, &code)), "refresh_token");
    world.change(WEB, |client| client.scope = Scope::parse("openid email").unwrap());
    assert_eq!(json_body(&world.refresh(WEB, &token))["scope"], "openid email");
}

#[test]
fn without_rotation_too_a_refresh_token_ends_by_itself_and_with_its_grant() {
    for rotation in [Rotation::Never, Rotation::Public] {
        let mut policy = Policy::default();
        policy.rotation = rotation;
        let world = World::with(policy);
        let token = str_of(&world.tokens(WEB), "refresh_token");
        world.pass(14 * DAY - 1);
        let next = str_of(&json_body(&world.refresh(WEB, &token)), "refresh_token");
        world.pass(1);
        assert_error(&world.refresh(WEB, &token), 400, "invalid_grant");
        // Used every week, it lives until the grant ends after 90 days.
        let mut token = next;
        for _ in 0..10 {
            world.pass(7 * DAY);
            token = str_of(&json_body(&world.refresh(WEB, &token)), "refresh_token");
        }
        world.pass(6 * DAY - 1);
        assert_eq!(world.refresh(WEB, &token).status, 200, "{rotation:?}");
        world.pass(1);
        assert_error(&world.refresh(WEB, &token), 400, "invalid_grant");
    }
}

#[test]
fn a_clients_own_idle_time_counts_instead_of_the_policys() {
    let world = World::new();
    world.change(SPA, |client| client.refresh_token_lifetime = Some(seconds(60)));
    let token = str_of(&world.tokens(SPA), "refresh_token");
    world.pass(59);
    let token = str_of(&json_body(&world.refresh(SPA, &token)), "refresh_token");
    world.pass(60);
    assert_error(&world.refresh(SPA, &token), 400, "invalid_grant");
}

#[test]
fn a_clock_that_steps_back_revives_no_refresh_token() {
    let world = World::new();
    let token = str_of(&world.tokens(SPA), "refresh_token");
    world.pass(14 * DAY);
    assert_error(&world.refresh(SPA, &token), 400, "invalid_grant");
    world.step_back(DAY);
    assert_error(&world.refresh(SPA, &token), 400, "invalid_grant");
}

#[test]
fn a_refresh_costs_the_same_however_often_the_grant_was_rotated_before() {
    let world = World::new();
    let mut token = str_of(&world.tokens(SPA), "refresh_token");
    let size =
        |world: &World| grantor::store::record::write_grant(&world.grants()[0]).unwrap().len();
    let before = size(&world);
    for n in 0..2000 {
        world.pass(61);
        let (calls, response) = world.calls(|| world.refresh(SPA, &token));
        assert_eq!((calls, response.status), (1, 200), "rotation {n}");
        token = str_of(&json_body(&response), "refresh_token");
    }
    // The number of the generation has more digits, and that is all.
    assert!(size(&world) <= before + 3 + "\"generation\":1".len(), "{before} {}", size(&world));
}

#[test]
fn no_token_is_made_that_has_ended_when_it_comes() {
    let world = World::new();
    world.pass_millis(500);
    let mut tokens = world.tokens(SPA);
    for _ in 0..8 {
        world.pass(11 * DAY);
        tokens = json_body(&world.refresh(SPA, &str_of(&tokens, "refresh_token")));
    }
    let end = world.grants()[0].expires_at;
    world.pass_millis(u64::try_from(end.millis() - world.server.now().millis()).unwrap() - 200);
    let response = world.refresh(SPA, &str_of(&tokens, "refresh_token"));
    assert_error(&response, 400, "invalid_grant");
}

// What is taken away or was never there.

#[test]
fn a_client_that_is_registered_for_nothing_gets_nothing() {
    let world = World::new();
    let code = world.code(WEB);
    let token = str_of(&world.tokens(WEB), "refresh_token");
    world.change(WEB, |client| client.grant_types.clear());
    world.change(SERVICE, |client| client.grant_types.clear());
    assert_redirected(&world.authorize(WEB, &[]), "unauthorized_client");
    assert_error(&world.redeem(WEB, &code), 400, "unauthorized_client");
    assert_error(&world.refresh(WEB, &token), 400, "unauthorized_client");
    let own = [("grant_type", "client_credentials")];
    assert_error(&world.token(SERVICE, &own), 400, "unauthorized_client");

    let world = World::new();
    let code = world.code(WEB);
    let token = str_of(&world.tokens(WEB), "refresh_token");
    world.change(WEB, |client| client.scope = Scope::empty());
    world.change(SERVICE, |client| client.scope = Scope::empty());
    for scope in ["", "openid"] {
        assert_redirected(&world.authorize(WEB, &[("scope", scope)]), "invalid_scope");
    }
    assert_error(&world.redeem(WEB, &code), 400, "invalid_scope");
    assert_error(&world.refresh(WEB, &token), 400, "invalid_scope");
    assert_error(&world.token(SERVICE, &own), 400, "invalid_scope");
}

#[test]
fn a_client_without_a_secret_in_store_never_proves_itself_by_one() {
    let world = World::new();
    let secret = world.secret.expose().to_owned();
    // Such as a record that something else has written.
    world.change(WEB, |client| {
        if let grantor::ClientAuthentication::Secret { secrets, .. } = &mut client.authentication {
            secrets.clear();
        }
    });
    for secret in ["", "x", &secret] {
        let by_basic = Request::form("/oauth2/token", &[("grant_type", "refresh_token")])
            .header("authorization", basic(WEB, secret));
        let in_body =
            [("grant_type", "refresh_token"), ("client_id", WEB), ("client_secret", secret)];
        let alone = [("grant_type", "refresh_token"), ("client_id", WEB)];
        for request in [
            by_basic,
            Request::form("/oauth2/token", &in_body),
            Request::form("/oauth2/token", &alone),
        ] {
            assert_error(&world.send(&request), 401, "invalid_client");
        }
    }
}

#[test]
fn another_scheme_in_the_header_makes_nobody_a_public_client() {
    let world = World::new();
    let token = str_of(&world.tokens(SPA), "refresh_token");
    let before = world.grants();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", &*token)];
    for scheme in ["Bearer x", "Negotiate x", "Digest username=x", "DPoP x"] {
        let request = world.as_client(SPA, "/oauth2/token", &refresh);
        let response = world.send(&request.header("authorization", scheme));
        assert_error(&response, 401, "invalid_client");
        assert_eq!(world.grants(), before, "{scheme}");
    }
    assert_eq!(world.refresh(SPA, &token).status, 200);
}

// Section 4.4: a client and a person of the same name.

#[test]
fn a_clients_own_token_opens_nothing_of_the_person_whose_name_it_has() {
    let world = World::new();
    let mut ann = Client::confidential("ann", "A service called ann", &grantor::Secret::new(""));
    ann.grant_types = vec![GrantType::ClientCredentials];
    ann.scope = Scope::parse("orders:read").unwrap();
    let secret = block_on(world.server.clients().create(ann)).unwrap().client_secret.unwrap();
    let form = [("grant_type", "client_credentials")];
    let request = Request::form("/oauth2/token", &form)
        .header("authorization", basic("ann", secret.expose()));
    let own = str_of(&json_body(&world.send(&request)), "access_token");
    let hers = str_of(&world.tokens(SPA), "access_token");
    assert_eq!((&claims(&own)["sub"], &claims(&hers)["sub"]), (&json!("ann"), &json!("ann")));
    assert_error(&world.userinfo(&own), 403, "insufficient_scope");
    assert_eq!(world.userinfo(&hers).status, 200);
    let subject = |token: &str| {
        let guard = grantor::Guard::new(&world.server);
        match block_on(guard.admit(&bearer(Request::get("/api"), token))) {
            grantor::Admission::Admitted(token, _) => token.subject.clone(),
            grantor::Admission::Answered(response) => panic!("{}", response.status),
        }
    };
    assert_eq!((subject(&own), subject(&hers)), (None, Some("ann".to_owned())));
}

// What fails inside.

#[test]
fn when_the_clients_cannot_be_read_nothing_is_issued() {
    use grantor::store::{ClientStore, Memory, StoreError};
    #[derive(Clone, Default)]
    struct Failing(Memory, std::sync::Arc<std::sync::atomic::AtomicBool>);
    #[async_trait::async_trait]
    impl ClientStore for Failing {
        async fn find(
            &self,
            issuer: &grantor::Issuer,
            id: &str,
        ) -> Result<Option<std::sync::Arc<Client>>, StoreError> {
            match self.1.load(std::sync::atomic::Ordering::SeqCst) {
                true => Err(StoreError::new("the disk is full: /secret/path")),
                false => ClientStore::find(&self.0, issuer, id).await,
            }
        }
        async fn insert(&self, i: &grantor::Issuer, c: Client) -> Result<bool, StoreError> {
            ClientStore::insert(&self.0, i, c).await
        }
        async fn update(&self, i: &grantor::Issuer, c: Client) -> Result<bool, StoreError> {
            self.0.update(i, c).await
        }
        async fn remove(&self, i: &grantor::Issuer, id: &str) -> Result<bool, StoreError> {
            self.0.remove(i, id).await
        }
        async fn list(
            &self,
            i: &grantor::Issuer,
            tenant: Option<&str>,
            after: Option<&str>,
            limit: usize,
        ) -> Result<Vec<std::sync::Arc<Client>>, StoreError> {
            ClientStore::list(&self.0, i, tenant, after, limit).await
        }
        async fn allows_origin(&self, i: &grantor::Issuer, o: &str) -> Result<bool, StoreError> {
            self.0.allows_origin(i, o).await
        }
    }
    let store = Failing::default();
    let builder = AuthorizationServer::builder(ISSUER)
        .store(store.0.clone())
        .clients(store.clone())
        .subjects(People::default())
        .interaction("/login")
        .master_key(MasterKey::from_bytes([1; 32]));
    let server = block_on(builder.build()).unwrap();
    let mut spa = Client::public(SPA, "Single-page app");
    (spa.redirect_uris, spa.first_party) = (vec![CALLBACK.into()], true);
    spa.scope = Scope::parse("openid").unwrap();
    block_on(server.clients().create(spa)).unwrap();
    store.1.store(true, std::sync::atomic::Ordering::SeqCst);
    let form = [("grant_type", "authorization_code"), ("code", "x"), ("client_id", SPA)];
    for request in [
        Request::form("/oauth2/token", &form),
        Request::form("/oauth2/revoke", &[("token", "x"), ("client_id", SPA)]),
        Request::get(&format!("/oauth2/authorize?client_id={SPA}&redirect_uri={CALLBACK}")),
    ] {
        let response = block_on(server.handle(&request));
        assert_eq!((response.status, response.get("location")), (503, None));
        assert!(!text(&response).contains("disk"), "{}", text(&response));
    }
}

#[test]
fn whatever_needs_randomness_fails_closed_without_it_and_never_makes_the_same_twice() {
    let world = World::new();
    let code = world.code(SPA);
    let token = str_of(&world.tokens(WEB), "refresh_token");
    world.run_dry(true);
    assert_eq!(world.authorize(SPA, &[]).status, 503);
    for response in [
        world.redeem(SPA, &code),
        world.refresh(WEB, &token),
        world.token(SERVICE, &[("grant_type", "client_credentials")]),
    ] {
        assert_error(&response, 503, "server_error");
    }
    let clients = world.server.clients();
    assert!(block_on(clients.rotate_secret(WEB, seconds(0))).is_err());
    assert!(
        block_on(clients.create(Client::confidential("new", "New", &grantor::Secret::new(""))))
            .is_err()
    );
    assert!(block_on(clients.find("new")).unwrap().is_none());
    assert!(block_on(world.server.replace_keys()).is_err());
    world.run_dry(false);
    // The old secret, which a rotation that failed has not replaced, is still the right one.
    let next = world.refresh(WEB, &token);
    assert_eq!(next.status, 200);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let ticket = world.ticket(SPA, &[]);
        let code = parameter(&world.approve(&ticket), "code").unwrap();
        let tokens = json_body(&world.redeem(SPA, &code));
        let jti = str_of(&claims(&str_of(&tokens, "access_token")), "jti");
        for value in [ticket, code, str_of(&tokens, "refresh_token"), jti] {
            assert!(seen.insert(value), "a value came twice");
        }
    }
}

// Times far away.

#[test]
fn a_flow_works_beyond_the_ends_of_32_bits() {
    for (year, begin) in [(2038, 2_147_483_640_u64), (2106, 4_294_967_290)] {
        let world = World::new();
        let now = u64::try_from(world.server.now().secs()).unwrap();
        world.pass(begin - now);
        let tokens = world.tokens(WEB);
        assert!(world.is_alive(&str_of(&tokens, "access_token")), "{year}");
        world.pass(300);
        let next = world.refresh(WEB, &str_of(&tokens, "refresh_token"));
        let next = json_body(&next);
        let exp = claims(&str_of(&next, "access_token"))["exp"].as_u64().unwrap();
        assert_eq!(exp, begin + 300 + 600, "{year}");
        world.pass(600);
        assert!(!world.is_alive(&str_of(&next, "access_token")), "{year}");
    }
}

#[test]
fn a_clock_that_was_ahead_for_a_while_leaves_nothing_that_lives_longer_than_it_should() {
    let world = World::new();
    world.pass(3600);
    let ahead = world.tokens(WEB);
    world.step_back(3600);
    // What was made while the clock was wrong ends when it says, and not a day later.
    let access = str_of(&ahead, "access_token");
    world.pass(3600 + 599);
    assert!(world.is_alive(&access));
    world.pass(1);
    assert!(!world.is_alive(&access));
    let tokens = world.tokens(WEB);
    assert_eq!(tokens["expires_in"], 600);
    assert!(world.is_alive(&str_of(&tokens, "access_token")));
}
