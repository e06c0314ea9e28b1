//! Thousands of flows beside each other. Everything that a flow sends carries its own name, and everything that comes
//! back must be of that flow: its state, its nonce, its person, its application, its scope.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::{Application, CALLBACK, Landed, Line, Spoken};
use crate::kill::Run;
use crate::server::{Server, Trouble};

const PEOPLE: usize = 12;
const APPLICATIONS: usize = 5;
const SCOPES: [&str; 3] = ["openid", "openid profile", "openid profile jobs:run"];

/// A person with a session of their own.
struct Person {
    id: String,
    name: String,
    line: Line,
}

/// What no two flows may have in common: codes, and the identifiers of tokens.
#[derive(Default)]
struct Seen(Mutex<HashSet<String>>);

impl Seen {
    fn first(&self, thing: &str) -> Result<(), Trouble> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(thing.to_owned()) {
            true => Ok(()),
            false => Err(format!("{thing} was given out twice").into()),
        }
    }
}

pub(crate) fn run(run: &Run<'_>, flows: u64) -> Result<(), Trouble> {
    let server = Server::new(run.program, run.storage, run.retry_window)?;
    let line = Line::new(&server)?;
    let people = (0..PEOPLE).map(|n| person(&line, n)).collect::<Result<Vec<_>, _>>()?;
    let applications = (0..APPLICATIONS)
        .map(|_| line.register().ok_or("no answer")?.map_err(|why| format!("{why:?}")))
        .collect::<Result<Vec<_>, _>>()?;
    let (next, seen) = (AtomicU64::new(0), Seen::default());
    let work = || -> Result<(), Trouble> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= flows {
                return Ok(());
            }
            // Divided by different numbers, so that everybody meets everybody.
            let n = usize::try_from(number)?;
            let of = "there are some";
            let flow = Flow {
                tag: format!("flow-{}-{number}", run.seed),
                person: people.get(n % PEOPLE).ok_or(of)?,
                application: applications.get(n / 7 % APPLICATIONS).ok_or(of)?,
                scope: SCOPES.get(n / 11 % SCOPES.len()).ok_or(of)?,
            };
            flow.run(&seen).map_err(|why| {
                // Nobody else need find it too.
                next.store(flows, Ordering::Relaxed);
                format!("{}: {why}{}", flow.tag, server.log())
            })?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..run.clients).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a client panicked")?)
    })?;
    println!(
        "{}: {flows} flows of {PEOPLE} people and {APPLICATIONS} applications, {} at once: each got its own",
        run.storage, run.clients
    );
    Ok(())
}

fn person(line: &Line, n: usize) -> Result<Person, Trouble> {
    let (email, name) = (format!("person{n}@example.com"), format!("Person {n}"));
    let password = format!("the long password of {n}");
    let body = json!({"email": email, "name": name, "password": password});
    let added = Spoken::of(&line.json("/v1/admin/users", &body).ok_or("no answer")?);
    let id = added.text("id").ok_or_else(|| format!("nobody was added: {}", added.body))?;
    Ok(Person { id, name, line: line.sign_in(&email, &password)? })
}

/// One person's way through one application.
struct Flow<'a> {
    tag: String,
    person: &'a Person,
    application: &'a Application,
    scope: &'a str,
}

impl Flow<'_> {
    fn run(&self, seen: &Seen) -> Result<(), Trouble> {
        let code = self.authorize()?;
        seen.first(&code)?;
        let verifier = self.verifier();
        let redeemed = self.form(
            "/oauth2/token",
            &[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", CALLBACK),
                ("code_verifier", &verifier),
            ],
        )?;
        let refresh_token = self.check_tokens(&redeemed, seen)?;
        is(&claims(&redeemed, "id_token")?, "nonce", &self.tag)?;
        let access_token = redeemed.text("access_token").unwrap_or_default();
        let info = self.person.line.bearer("/oauth2/userinfo", &access_token).ok_or("no answer")?;
        let info = Spoken::of(&info);
        is(&info.body, "sub", &self.person.id)?;
        if self.scope.contains("profile") {
            is(&info.body, "name", &self.person.name)?;
        }
        let told = self.form("/oauth2/introspect", &[("token", &access_token)])?;
        self.check_access(&told.body)?;
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
        self.check_tokens(&self.form("/oauth2/token", &fields)?, seen)?;
        Ok(())
    }

    fn authorize(&self) -> Result<String, Trouble> {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier()));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([
            ("response_type", "code"),
            ("client_id", self.application.client_id()),
            ("redirect_uri", CALLBACK),
            ("scope", self.scope),
            ("state", &self.tag),
            ("nonce", &self.tag),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let answer = self.person.line.go(&format!("/oauth2/authorize?{}", query.finish()));
        let answer = answer.ok_or("no answer")?;
        let landed = Landed::of(&answer);
        match (landed.parameter("state"), landed.parameter("code")) {
            (Some(state), Some(code)) if state == self.tag => Ok(code),
            _ => Err(format!("{landed:?}: {} {}", answer.status(), answer.body()).into()),
        }
    }

    /// Of this flow alone.
    fn verifier(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&self.tag))
    }

    fn form(&self, path: &str, fields: &[(&str, &str)]) -> Result<Spoken, Trouble> {
        Ok(self.person.line.form(path, self.application, fields).ok_or("no answer")?)
    }

    /// Checks whose the tokens are; the refresh token.
    fn check_tokens(&self, answer: &Spoken, seen: &Seen) -> Result<String, Trouble> {
        let id_token = claims(answer, "id_token")?;
        is(&id_token, "sub", &self.person.id)?;
        is(&id_token, "aud", self.application.client_id())?;
        let access_token = claims(answer, "access_token")?;
        self.check_access(&access_token)?;
        let jti = access_token.get("jti").and_then(Value::as_str).ok_or("there is no jti")?;
        seen.first(jti)?;
        answer.text("refresh_token").ok_or_else(|| format!("no tokens: {}", answer.body).into())
    }

    fn check_access(&self, claims: &Value) -> Result<(), Trouble> {
        is(claims, "sub", &self.person.id)?;
        is(claims, "client_id", self.application.client_id())?;
        is(claims, "scope", self.scope)
    }
}

fn is(claims: &Value, name: &str, wanted: &str) -> Result<(), Trouble> {
    match claims.get(name).and_then(Value::as_str) {
        Some(value) if value == wanted => Ok(()),
        _ => Err(format!("{name} is not {wanted:?} in {claims}").into()),
    }
}

/// What a token of an answer says. Who signed it is for others to check.
fn claims(answer: &Spoken, name: &str) -> Result<Value, Trouble> {
    let token = answer.text(name).ok_or_else(|| format!("no {name}: {}", answer.body))?;
    let payload = token.split('.').nth(1).ok_or("a token without a payload")?;
    Ok(serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload)?)?)
}
