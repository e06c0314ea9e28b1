//! One client of the server: an application and the person who uses it, in one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use ureq::http::{Request, Response};

use crate::journal::{Answer, Journal, Wish};
use crate::server::{Server, Trouble};

pub(crate) const CALLBACK: &str = "https://app.example.com/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// How many grants a client holds on to.
const HELD: usize = 6;

/// How to talk to a server.
#[derive(Clone)]
pub(crate) struct Line {
    agent: ureq::Agent,
    url: String,
    /// The administrator's session.
    cookie: String,
}

/// A registered application.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    client_id: String,
    secret: String,
}

impl Application {
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }
}

impl Line {
    /// Signs the administrator in.
    pub(crate) fn new(server: &Server) -> Result<Self, Trouble> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(20)))
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let line = Self { agent, url: server.url(), cookie: String::new() };
        let (email, password) = server.admin();
        line.sign_in(email, password)
    }

    /// The same, in a session of somebody's.
    pub(crate) fn sign_in(&self, email: &str, password: &str) -> Result<Self, Trouble> {
        let credentials = json!({"email": email, "password": password});
        // A login ends the session in which it happens.
        let nobody = Self { cookie: String::new(), ..self.clone() };
        let answer = nobody.json("/v1/auth/login", &credentials).ok_or("no answer to the login")?;
        let cookie = answer.headers().get("set-cookie").and_then(|value| value.to_str().ok());
        let cookie = cookie.ok_or_else(|| format!("the login failed: {}", answer.body()))?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { cookie, ..nobody })
    }

    /// The same, at another process of the same server.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self { url: server.url(), ..self.clone() }
    }

    fn read(answer: Result<Response<ureq::Body>, ureq::Error>) -> Option<Response<String>> {
        let (parts, mut body) = answer.ok()?.into_parts();
        Some(Response::from_parts(parts, body.read_to_string().ok()?))
    }

    fn get(&self, target: &str, token: Option<&str>) -> Option<Response<String>> {
        let request = match token {
            None => Request::get(target).header("cookie", &self.cookie),
            Some(token) => Request::get(target).header("authorization", format!("Bearer {token}")),
        };
        Self::read(self.agent.run(request.body(()).ok()?))
    }

    fn post(&self, path: &str, media_type: &str, body: String) -> Option<Response<String>> {
        let request = Request::post(format!("{}{path}", self.url))
            .header("content-type", media_type)
            .header("cookie", &self.cookie)
            .header("x-org-domain", "your-org")
            .body(body)
            .ok()?;
        Self::read(self.agent.run(request))
    }

    pub(crate) fn json(&self, path: &str, body: &Value) -> Option<Response<String>> {
        self.post(path, "application/json", body.to_string())
    }

    pub(crate) fn form(
        &self,
        path: &str,
        app: &Application,
        fields: &[(&str, &str)],
    ) -> Option<Spoken> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", &app.client_id).append_pair("client_secret", &app.secret);
        form.extend_pairs(fields);
        let answer = self.post(path, "application/x-www-form-urlencoded", form.finish())?;
        Some(Spoken::of(&answer))
    }

    pub(crate) fn register(&self) -> Option<Result<Application, Answer>> {
        let registration = json!({
            "name": "Crash test",
            "clientType": "confidential",
            "redirectUris": [CALLBACK],
            "grantTypes": ["authorization_code", "refresh_token", "client_credentials"],
            "scopes": ["openid", "profile", "jobs:run"],
            "requireConsent": false,
            "isFirstParty": true,
        });
        let answer = Spoken::of(&self.json("/v1/admin/clients", &registration)?);
        Some(match (answer.text("clientId"), answer.text("clientSecret")) {
            (Some(client_id), Some(secret)) => Ok(Application { client_id, secret }),
            _ => Err(answer.failure()),
        })
    }

    /// Goes to a page of the server, and through the sign-in page where that is asked.
    pub(crate) fn go(&self, target: &str) -> Option<Response<String>> {
        let answer = self.get(&format!("{}{target}", self.url), None)?;
        // The ticket leads to the sign-in page of the issuer; this process may be another one.
        match location(&answer).and_then(|to| to.split_once("/login?")) {
            Some((_, rest)) => self.get(&format!("{}/login?{rest}", self.url), None),
            None => Some(answer),
        }
    }

    /// Asks with an access token.
    pub(crate) fn bearer(&self, path: &str, token: &str) -> Option<Response<String>> {
        self.get(&format!("{}{path}", self.url), Some(token))
    }

    /// A code, by the person's session.
    pub(crate) fn authorize(&self, app: &Application) -> Option<Answer> {
        let url = format!(
            "/oauth2/authorize?response_type=code&client_id={}&redirect_uri={CALLBACK}\
             &scope=openid&state=s&code_challenge={CHALLENGE}&code_challenge_method=S256",
            app.client_id
        );
        let answer = self.go(&url)?;
        let landed = Landed::of(&answer);
        let (code, error) = (landed.parameter("code"), landed.parameter("error"));
        Some(match (code, error, answer.status().as_u16()) {
            (Some(code), _, _) => Answer::Code(code),
            (None, Some(error), _) if error == "temporarily_unavailable" => Answer::Unavailable,
            (None, _, 503) => Answer::Unavailable,
            (None, error, status) => {
                Answer::Odd(format!("authorize: {status} {error:?} {}", answer.body()))
            }
        })
    }

    pub(crate) fn redeem(&self, app: &Application, code: &str) -> Option<Answer> {
        self.tokens(
            app,
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", CALLBACK),
                ("code_verifier", VERIFIER),
            ],
        )
    }

    fn refresh(&self, app: &Application, token: &str) -> Option<Answer> {
        self.tokens(app, &[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    fn tokens(&self, app: &Application, fields: &[(&str, &str)]) -> Option<Answer> {
        let answer = self.form("/oauth2/token", app, fields)?;
        Some(match (answer.text("refresh_token"), answer.text("access_token")) {
            (Some(refresh_token), Some(access_token)) => {
                Answer::Tokens { refresh_token, access_token }
            }
            _ => answer.failure(),
        })
    }

    fn revoke(&self, app: &Application, token: &str) -> Option<Answer> {
        let answer = self.form("/oauth2/revoke", app, &[("token", token)])?;
        Some(if answer.status == 200 { Answer::Revoked } else { answer.failure() })
    }

    fn introspect(&self, app: &Application, token: &str) -> Option<Answer> {
        let answer = self.form("/oauth2/introspect", app, &[("token", token)])?;
        Some(match answer.body.get("active").and_then(Value::as_bool) {
            Some(true) => Answer::Active,
            Some(false) => Answer::Inactive,
            None => answer.failure(),
        })
    }

    fn own_token(&self, app: &Application) -> Option<Answer> {
        let fields = [("grant_type", "client_credentials"), ("scope", "jobs:run")];
        let answer = self.form("/oauth2/token", app, &fields)?;
        Some(match answer.text("access_token") {
            Some(_) => Answer::ClientWorks,
            None => answer.failure(),
        })
    }
}

fn location(answer: &Response<String>) -> Option<&str> {
    answer.headers().get("location").and_then(|value| value.to_str().ok())
}

/// The parameters with which an answer sends a browser on.
#[derive(Debug)]
pub(crate) struct Landed(Vec<(String, String)>);

impl Landed {
    pub(crate) fn of(answer: &Response<String>) -> Self {
        let landed = location(answer).and_then(|to| url::Url::parse(to).ok());
        Self(landed.map(|to| to.query_pairs().into_owned().collect()).unwrap_or_default())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone())
    }
}

/// An answer in JSON.
pub(crate) struct Spoken {
    status: u16,
    pub(crate) body: Value,
}

impl Spoken {
    pub(crate) fn of(answer: &Response<String>) -> Self {
        let body = serde_json::from_str(answer.body()).unwrap_or(Value::Null);
        Self { status: answer.status().as_u16(), body }
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.body.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// What an answer means that is not the wanted one.
    fn failure(&self) -> Answer {
        // The administration API has problems instead of OAuth's errors (RFC 9457).
        let error = self.text("error").unwrap_or_default();
        let is_problem = self.text("type").is_some();
        match (self.status, error.as_str()) {
            (400, "invalid_grant") | (401, "invalid_client") => Answer::Refused,
            (503, "temporarily_unavailable") => Answer::Unavailable,
            (503, _) if is_problem => Answer::Unavailable,
            (status, _) => Answer::Odd(format!("{status} {}", self.body)),
        }
    }
}

/// A grant as its client holds it.
#[derive(Clone, Debug)]
struct Held {
    app: Application,
    code: String,
    /// The newest refresh token and the one before.
    tokens: Option<(String, Option<String>)>,
    access_token: Option<String>,
}

/// A client, with what it knows.
pub(crate) struct Client {
    random: StdRng,
    app: Option<Application>,
    held: Vec<Held>,
    /// What it has known, and since when, if it keeps that.
    past: Option<Vec<Past>>,
}

type Past = (Instant, Option<Application>, Vec<Held>);

/// Everything that a client needs to act.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) line: &'a Line,
    pub(crate) journal: &'a Journal,
    /// Set when the server is about to die.
    pub(crate) stop: &'a AtomicBool,
}

impl World<'_> {
    /// Makes a call and writes it down. Once the server is about to die there are no more: a call to a
    /// dead server would be one that nobody can judge.
    pub(crate) fn call(&self, wish: Wish, send: impl FnOnce() -> Option<Answer>) -> Option<Answer> {
        match self.stop.load(Ordering::SeqCst) {
            true => None,
            false => self.journal.call(wish, send),
        }
    }
}

impl Client {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), app: None, held: Vec::new(), past: None }
    }

    /// From now on it keeps what it has known.
    pub(crate) fn keep_past(&mut self) {
        self.past.get_or_insert_default();
    }

    /// As it was at a moment since when it has kept its past.
    pub(crate) fn as_at(&mut self, moment: Instant) -> Self {
        let past = self.past.iter().flatten();
        let then = past.rev().find(|(since, ..)| *since <= moment).cloned();
        let (_, app, held) = then.unwrap_or_else(|| (moment, None, Vec::new()));
        Self { random: StdRng::from_rng(&mut self.random), app, held, past: None }
    }

    /// Looks after what it held, and goes on using the server until it is stopped.
    pub(crate) fn live(&mut self, world: World<'_>) {
        // Not all of it each time, or a life that is cut short consists of nothing else.
        for _ in 0..2.min(self.held.len()) {
            let n = self.random.random_range(0..self.held.len());
            let is_dead = self.look_after(world, n);
            // Some of the dead are kept: they must not come back.
            if is_dead && self.random.random_ratio(2, 3) {
                self.held.swap_remove(n);
            }
        }
        while !world.stop.load(Ordering::SeqCst) {
            self.act(world);
            if let Some(past) = &mut self.past {
                past.push((Instant::now(), self.app.clone(), self.held.clone()));
            }
        }
    }

    /// Asks for the state of everything that it holds.
    pub(crate) fn look_after_all(&mut self, world: World<'_>) {
        for n in 0..self.held.len() {
            let _ = self.look_after(world, n);
        }
        if let Some(app) = &self.app {
            let wish = Wish::UseClient { client_id: app.client_id.clone() };
            world.call(wish, || world.line.own_token(app));
        }
    }

    /// Asks for the state of a grant; whether it was refused.
    fn look_after(&mut self, world: World<'_>, n: usize) -> bool {
        let dice = self.random.random_range(0..4);
        let Some(held) = self.held.get_mut(n) else { return true };
        held.introspect(world);
        // The engine catches up with a token that it has forgotten. So a lost write shows itself only to
        // what came before: an older token must lead to the same successor, a spent code to nothing.
        match (dice, held.tokens.clone()) {
            (0, Some((_, Some(previous)))) => drop(held.refresh(world, &previous)),
            (1, Some(_)) => drop(held.redeem(world)),
            _ => {}
        }
        let answer = match held.tokens.clone() {
            None => held.redeem(world),
            Some((newest, _)) => held.refresh(world, &newest),
        };
        answer == Some(Answer::Refused)
    }

    fn act(&mut self, world: World<'_>) {
        let Some(app) = self.app.clone() else {
            self.app = register(world);
            return;
        };
        if self.held.len() < HELD && self.random.random_ratio(1, 2) {
            if let Some(held) = Held::authorize(world, app) {
                self.held.push(held);
            }
            return;
        }
        let dice = self.random.random_range(0..100);
        if dice < 4 {
            self.app = register(world);
        } else if dice < 10 {
            let wish = Wish::UseClient { client_id: app.client_id.clone() };
            world.call(wish, || world.line.own_token(&app));
        } else if !self.held.is_empty() {
            let n = self.random.random_range(0..self.held.len());
            if let Some(held) = self.held.get_mut(n)
                && held.act(world, dice)
            {
                self.held.swap_remove(n);
            }
        }
    }
}

fn register(world: World<'_>) -> Option<Application> {
    let mut made = None;
    world.call(Wish::Register, || {
        Some(match world.line.register()? {
            Ok(app) => {
                let answer = Answer::Client(app.client_id.clone());
                made = Some(app);
                answer
            }
            Err(answer) => answer,
        })
    });
    made
}

impl Held {
    fn authorize(world: World<'_>, app: Application) -> Option<Self> {
        let answer = world.call(Wish::Authorize, || world.line.authorize(&app));
        match answer {
            Some(Answer::Code(code)) => Some(Self { app, code, tokens: None, access_token: None }),
            _ => None,
        }
    }

    /// Does something with the grant; true when the client lets go of it.
    fn act(&mut self, world: World<'_>, dice: u32) -> bool {
        let Some((newest, previous)) = self.tokens.clone() else {
            match dice {
                ..30 => self.redeem_twice_at_once(world),
                _ => drop(self.redeem(world)),
            }
            return false;
        };
        match dice {
            // A thief has the code.
            10..15 => drop(self.redeem(world)),
            15..35 => {
                let wish = Wish::Revoke { token: newest.clone() };
                world.call(wish, || world.line.revoke(&self.app, &newest));
            }
            35..45 => drop(self.refresh(world, &previous.unwrap_or(newest))),
            45..55 => self.introspect(world),
            55..65 => return true,
            _ => drop(self.refresh(world, &newest)),
        }
        false
    }

    fn redeem(&mut self, world: World<'_>) -> Option<Answer> {
        let wish = Wish::Redeem { code: self.code.clone() };
        let answer = world.call(wish, || world.line.redeem(&self.app, &self.code));
        self.take(None, answer.clone());
        answer
    }

    fn redeem_twice_at_once(&mut self, world: World<'_>) {
        let redeem = || {
            let wish = Wish::Redeem { code: self.code.clone() };
            world.call(wish, || world.line.redeem(&self.app, &self.code))
        };
        let answers = std::thread::scope(|scope| {
            let other = scope.spawn(redeem);
            [redeem(), other.join().ok().flatten()]
        });
        for answer in answers {
            self.take(None, answer);
        }
    }

    fn refresh(&mut self, world: World<'_>, token: &str) -> Option<Answer> {
        let wish = Wish::Refresh { token: token.to_owned() };
        let answer = world.call(wish, || world.line.refresh(&self.app, token));
        self.take(Some(token), answer.clone());
        answer
    }

    fn introspect(&self, world: World<'_>) {
        if let Some(token) = &self.access_token {
            let wish = Wish::Introspect { access_token: token.clone() };
            world.call(wish, || world.line.introspect(&self.app, token));
        }
    }

    /// Keeps the tokens of an answer.
    fn take(&mut self, presented: Option<&str>, answer: Option<Answer>) {
        let Some(Answer::Tokens { refresh_token, access_token }) = answer else { return };
        self.access_token = Some(access_token);
        let newest = self.tokens.as_ref().map(|(newest, _)| newest.as_str());
        if newest != Some(&refresh_token) {
            self.tokens = Some((refresh_token, presented.map(str::to_owned)));
        }
    }
}
