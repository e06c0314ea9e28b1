//! Whole flows of two clients and a thief, by the protocol alone: what each answer must be follows from
//! the answers before it.
#![no_main]

use std::cell::LazyCell;
use std::time::Duration;

use arbitrary::Arbitrary;
use grantor::store::TokenStore as _;
use grantor::Request;
use grantor::testing::CODE_VERIFIER as VERIFIER;
use grantor_fuzz::{CALLBACK, SPA, WEB, World};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;
use serde_json::Value;

thread_local! {
    static WORLD: LazyCell<World> = LazyCell::new(World::new);
}

#[derive(Arbitrary, Debug)]
enum Act {
    Authorize {
        web: bool,
    },
    /// The clock moves by quarters of a minute, so that it meets the edges of lifetimes.
    Pass {
        quarters: u8,
    },
    Redeem {
        code: u8,
        web: bool,
        right: bool,
    },
    Refresh {
        token: u8,
        web: bool,
    },
    Revoke {
        token: u8,
        web: bool,
    },
    /// Asks whether an access token lives.
    Ask {
        token: u8,
    },
}

/// A grant, as its client knows it.
struct Grant {
    web: bool,
    made_at: i64,
    redeemed: bool,
    dead: bool,
    code: String,
}

/// A refresh token.
struct Refresh {
    grant: usize,
    /// How many rotations lie before it.
    rotation: usize,
    came_at: i64,
    token: String,
}

/// An access token.
struct Access {
    grant: usize,
    token: String,
    ends_at: i64,
}

fn authorize(world: &World, web: bool) -> String {
    let client = world.server.test_client(if web { WEB } else { SPA });
    block_on(client.scope("openid offline_access").code("ann")).expect("a code")
}

fn call(world: &World, path: &str, web: bool, fields: &[(&str, &str)]) -> (u16, Value) {
    let mut fields = fields.to_vec();
    fields.push(("client_id", if web { WEB } else { SPA }));
    if web {
        fields.push(("client_secret", world.secret.expose()));
    }
    let response = block_on(world.server.handle(&Request::form(path, &fields)));
    (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned()
}

fuzz_target!(|acts: Vec<Act>| {
    WORLD.with(|world| {
        let mut flow = Flow { world, grants: vec![], refreshes: vec![], accesses: vec![] };
        for act in acts.into_iter().take(60) {
            flow.play(act);
        }
        // The next flow begins with an empty store.
        let far = world.server.now().plus(Duration::from_secs(1 << 34));
        block_on(world.store.purge(far, usize::MAX)).expect("it is purged");
    });
});

struct Flow<'a> {
    world: &'a World,
    grants: Vec<Grant>,
    refreshes: Vec<Refresh>,
    accesses: Vec<Access>,
}

impl Flow<'_> {
    fn play(&mut self, act: Act) {
        // Small numbers choose among what is there.
        let of = |n: u8, all: usize| usize::from(n).checked_rem(all);
        match act {
            Act::Authorize { web } => self.grants.push(Grant {
                web,
                made_at: self.now(),
                redeemed: false,
                dead: false,
                code: authorize(self.world, web),
            }),
            Act::Pass { quarters } => {
                self.world.clock.pass(Duration::from_secs(u64::from(quarters % 16) * 15))
            }
            Act::Redeem { code, web, right } => {
                of(code, self.grants.len()).into_iter().for_each(|n| self.redeem(n, web, right));
            }
            Act::Refresh { token, web } => {
                of(token, self.refreshes.len()).into_iter().for_each(|n| self.refresh(n, web));
            }
            Act::Revoke { token, web } => {
                of(token, self.refreshes.len()).into_iter().for_each(|n| self.revoke(n, web));
            }
            Act::Ask { token } => {
                of(token, self.accesses.len()).into_iter().for_each(|n| self.ask(n));
            }
        }
    }

    fn now(&self) -> i64 {
        self.world.server.now().millis()
    }

    fn redeem(&mut self, n: usize, web: bool, right: bool) {
        const LIFE: i64 = 60_000;
        let (now, grant) = (self.now(), &self.grants[n]);
        let wrong = VERIFIER.replace('d', "e");
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", grant.code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", if right { VERIFIER } else { &wrong }),
        ];
        let (status, body) = call(self.world, "/oauth2/token", web, &fields);
        let proved = web == grant.web && right;
        let is_fresh = !grant.redeemed && !grant.dead && now < grant.made_at + LIFE;
        assert_eq!(status == 200, proved && is_fresh, "{body}");
        if status == 200 {
            self.grants[n].redeemed = true;
            self.take(n, 0, &body);
        } else {
            assert_eq!(body["error"], "invalid_grant");
            // A spent code that comes back from its owner: somebody else has had it.
            self.grants[n].dead |= grant.redeemed && proved;
        }
    }

    /// The newest refresh token of a grant.
    fn newest(&self, grant: usize) -> &Refresh {
        let of_grant = self.refreshes.iter().filter(|refresh| refresh.grant == grant);
        of_grant.max_by_key(|refresh| refresh.rotation).expect("there is one")
    }

    fn refresh(&mut self, n: usize, web: bool) {
        const RETRY: i64 = 60_000;
        let (now, presented) = (self.now(), &self.refreshes[n]);
        let (grant, rotation) = (presented.grant, presented.rotation);
        let fields = [("grant_type", "refresh_token"), ("refresh_token", presented.token.as_str())];
        let (status, body) = call(self.world, "/oauth2/token", web, &fields);
        let newest = self.newest(grant);
        let just_came = newest.rotation > 0 && now < newest.came_at + RETRY;
        let is_newest = rotation == newest.rotation;
        let is_retry = rotation + 1 == newest.rotation && just_came;
        let Grant { web: owner, dead, .. } = self.grants[grant];
        assert_eq!(status == 200, web == owner && !dead && (is_newest || is_retry), "{body}");
        if status != 200 {
            assert_eq!(body["error"], "invalid_grant");
            self.grants[grant].dead |= web == owner;
        } else if is_newest && !just_came {
            self.take(grant, rotation + 1, &body);
        } else {
            assert_eq!(text(&body, "refresh_token"), newest.token, "one successor, for everybody");
        }
    }

    fn revoke(&mut self, n: usize, web: bool) {
        let Refresh { grant, token, .. } = &self.refreshes[n];
        let (status, _) = call(self.world, "/oauth2/revoke", web, &[("token", token)]);
        // RFC 7009 section 2.2: a stranger hears the same, and changes nothing.
        assert_eq!(status, 200);
        self.grants[*grant].dead |= web == self.grants[*grant].web;
    }

    /// Whether an access token lives, in the words of two endpoints.
    fn ask(&mut self, n: usize) {
        let Access { grant, token, ends_at } = &self.accesses[n];
        let grant = &self.grants[*grant];
        let lives = !grant.dead && self.now() < *ends_at;
        let userinfo = Request::get("/oauth2/userinfo");
        let userinfo = userinfo.header("authorization", format!("Bearer {token}"));
        let status = block_on(self.world.server.handle(&userinfo)).status;
        assert_eq!(status, if lives { 200 } else { 401 });
        let (_, body) = call(self.world, "/oauth2/introspect", true, &[("token", token)]);
        assert_eq!(body["active"], lives, "{body}");
        assert!(lives || body.as_object().is_some_and(|body| body.len() == 1), "{body}");
    }

    fn take(&mut self, grant: usize, rotation: usize, body: &Value) {
        let (came_at, token) = (self.now(), text(body, "refresh_token"));
        self.refreshes.push(Refresh { grant, rotation, came_at, token });
        let life = body["expires_in"].as_i64().expect("a lifetime");
        // Tokens speak of whole seconds.
        let ends_at = (came_at.div_euclid(1000) + life) * 1000;
        self.accesses.push(Access { grant, token: text(body, "access_token"), ends_at });
    }
}
