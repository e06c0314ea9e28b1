//! What clients do, as whole flows: each client goes on with what it was answered.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::ValueEnum;
use serde::Serialize;

use crate::Result;
use crate::client::{Answer, Connection};
use crate::credentials::{
    APP, APP_RS256, CALLBACK, CHALLENGE, Credentials, PEOPLE, RESOURCE_SERVER, SERVICE,
    SERVICE_RS256, VERIFIER, basic,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// The framework alone: a form comes, and as many bytes go as in a token response
    Floor,
    /// A JWT for a service, signed by EdDSA
    ClientCredentials,
    /// The same, signed by RS256
    ClientCredentialsRs256,
    /// Authorize with a session, and redeem with PKCE: an access token, a refresh token, an ID token by EdDSA
    Code,
    /// The same, with an ID token by RS256
    CodeRs256,
    /// A refresh token for the next one, with rotation, and an ID token
    Refresh,
    /// Who is the person of a token
    Userinfo,
    /// Whether a token counts
    Introspect,
    /// The public keys
    Jwks,
}

impl Work {
    pub(crate) const ALL: [Work; 9] = [
        Work::Floor,
        Work::ClientCredentials,
        Work::ClientCredentialsRs256,
        Work::Code,
        Work::CodeRs256,
        Work::Refresh,
        Work::Userinfo,
        Work::Introspect,
        Work::Jwks,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::Floor => "framework alone",
            Work::ClientCredentials => "client_credentials, JWT by EdDSA",
            Work::ClientCredentialsRs256 => "client_credentials, JWT by RS256",
            Work::Code => "whole code flow, ID token by EdDSA",
            Work::CodeRs256 => "whole code flow, ID token by RS256",
            Work::Refresh => "refresh with rotation",
            Work::Userinfo => "userinfo",
            Work::Introspect => "introspection",
            Work::Jwks => "JWKS",
        }
    }

    fn app(self) -> Credentials {
        match self {
            Work::CodeRs256 => APP_RS256,
            _ => APP,
        }
    }
}

/// Where a server has its endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) authorize: &'static str,
    pub(crate) token: &'static str,
    pub(crate) userinfo: &'static str,
    pub(crate) introspect: &'static str,
    pub(crate) jwks: &'static str,
    /// What client_credentials asks for, where it must be said.
    pub(crate) scope: &'static str,
    /// What people are asked for.
    pub(crate) scope_of_app: &'static str,
    /// The sessions of signed-in people, as cookies.
    pub(crate) cookies: Vec<String>,
    /// Whether access tokens are JWTs, each with an id.
    pub(crate) has_jwts: bool,
}

impl Paths {
    pub(crate) fn of_grantor() -> Self {
        Self {
            authorize: "/oauth2/authorize",
            token: "/oauth2/token",
            userinfo: "/oauth2/userinfo",
            introspect: "/oauth2/introspect",
            jwks: "/oauth2/jwks.json",
            scope: "",
            scope_of_app: "openid+profile+offline_access",
            cookies: (0..PEOPLE).map(|n| format!("sid=u{n}")).collect(),
            has_jwts: true,
        }
    }
}

/// One client, which does one piece of work after the other.
struct Worker {
    connection: Connection,
    paths: Arc<Paths>,
    work: Work,
    authorize: Vec<u8>,
    cookie: String,
    /// What is sent again and again, where nothing of it depends on the last answer.
    fixed: Vec<u8>,
    refresh_token: String,
    access_tokens: Vec<String>,
    asked: usize,
    ids: HashSet<String>,
    kept: Vec<String>,
}

/// What a round of work came to.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) done: u64,
    /// From the first request of a piece of work to its last answer, in seconds.
    pub(crate) took: Vec<f64>,
    pub(crate) span: Duration,
    /// How many access tokens came that are JWTs.
    pub(crate) tokens: usize,
    /// A few of them.
    pub(crate) kept: Vec<String>,
}

impl Tally {
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.span.as_secs_f64()
    }

    /// In milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut took = self.took.clone();
        took.sort_by(f64::total_cmp);
        let last = took.len().saturating_sub(1);
        took.get((last as f64 * share).round() as usize).copied().unwrap_or_default() * 1000.0
    }
}

/// Clients that were made ready.
pub(crate) struct Crowd(Vec<Worker>);

impl Crowd {
    /// Each signs somebody in first, where the work needs that; to ask about, each gets so many tokens.
    pub(crate) async fn new(
        address: SocketAddr,
        paths: &Arc<Paths>,
        work: Work,
        clients: usize,
        tokens: usize,
    ) -> Result<Self> {
        let mut workers = Vec::new();
        for n in 0..clients {
            let mut worker = Worker::new(address, paths.clone(), work, n);
            worker.prepare(tokens).await?;
            workers.push(worker);
        }
        Ok(Self(workers))
    }

    /// Each client does one piece of work after the other, waiting for its answers (a closed loop), until the time is
    /// over or so many pieces are done.
    pub(crate) async fn go(&mut self, span: Duration, most: u64) -> Result<Tally> {
        let begun = Instant::now();
        let share = most / self.0.len().max(1) as u64;
        let _awake = stay_awake();
        let mut running = tokio::task::JoinSet::new();
        for mut worker in self.0.drain(..) {
            running.spawn(async move {
                let mut took = Vec::new();
                while begun.elapsed() < span && (took.len() as u64) < share {
                    let from = Instant::now();
                    worker.step().await?;
                    took.push(from.elapsed().as_secs_f64());
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>((worker, took))
            });
        }
        let mut tally = Tally::default();
        let mut ids: HashSet<String> = HashSet::new();
        while let Some(done) = running.join_next().await {
            let (mut worker, took) = done??;
            tally.done += took.len() as u64;
            tally.took.extend(took);
            tally.tokens += worker.ids.len();
            ids.extend(worker.ids.drain());
            tally.kept.append(&mut worker.kept);
            self.0.push(worker);
        }
        tally.span = begun.elapsed();
        match ids.len() == tally.tokens {
            true => Ok(tally),
            false => Err("two access tokens have the same jti".into()),
        }
    }
}

/// Keeps a runtime of one thread from sleeping. A server whose answer finds its client asleep pays for waking it, which
/// costs more than the answer, and which a server among many busy clients does not pay.
fn stay_awake() -> tokio::sync::oneshot::Sender<()> {
    let (until_dropped, mut ended) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        while ended.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            tokio::task::yield_now().await;
        }
    });
    until_dropped
}

fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes()
}

fn post(path: &str, credentials: Credentials, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: \
         application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        basic(credentials),
        body.len()
    )
    .into_bytes()
}

/// A request for a token of a service's own.
pub(crate) fn client_credentials(paths: &Paths, service: Credentials) -> Vec<u8> {
    let body = match paths.scope {
        "" => "grant_type=client_credentials".to_owned(),
        scope => format!("grant_type=client_credentials&scope={scope}"),
    };
    post(paths.token, service, &body)
}

/// A string of a JSON object, which has no escapes.
fn field<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("\"{name}\":"))?;
    rest.trim_start().strip_prefix('"')?.split('"').next()
}

impl Worker {
    fn new(address: SocketAddr, paths: Arc<Paths>, work: Work, n: usize) -> Self {
        let cookie = match paths.cookies.len() {
            0 => String::new(),
            many => format!("cookie: {}\r\n", paths.cookies[n % many]),
        };
        let query = format!(
            "response_type=code&client_id={}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb\
             &scope={}&state=st&nonce=n0nce&code_challenge={CHALLENGE}\
             &code_challenge_method=S256",
            work.app().0,
            paths.scope_of_app
        );
        let authorize = get(&format!("{}?{query}", paths.authorize), &cookie);
        let fixed = match work {
            Work::Floor => post("/floor", SERVICE, "grant_type=client_credentials"),
            Work::ClientCredentials => client_credentials(&paths, SERVICE),
            Work::ClientCredentialsRs256 => client_credentials(&paths, SERVICE_RS256),
            Work::Jwks => get(paths.jwks, ""),
            _ => Vec::new(),
        };
        let connection = Connection::new(address);
        Self {
            connection,
            paths,
            work,
            authorize,
            cookie,
            fixed,
            refresh_token: String::new(),
            access_tokens: Vec::new(),
            asked: 0,
            ids: HashSet::new(),
            kept: Vec::new(),
        }
    }

    async fn prepare(&mut self, tokens: usize) -> Result<()> {
        match self.work {
            Work::Refresh => self.sign_in().await?,
            Work::Userinfo | Work::Introspect => {
                for _ in 0..tokens {
                    self.sign_in().await?;
                }
            }
            _ => {}
        }
        self.ids.clear();
        self.kept.clear();
        Ok(())
    }

    async fn step(&mut self) -> Result<()> {
        match self.work {
            Work::Floor | Work::Jwks => {
                let answer = self.connection.send(&self.fixed).await?;
                self.right(&answer)
            }
            Work::ClientCredentials | Work::ClientCredentialsRs256 => {
                let answer = self.connection.send(&self.fixed).await?;
                self.right(&answer)?;
                self.take(&answer)
            }
            Work::Code | Work::CodeRs256 => self.sign_in().await,
            Work::Refresh => {
                // Those of one peer are plain base64.
                let encoded: String =
                    form_urlencoded::byte_serialize(self.refresh_token.as_bytes()).collect();
                let body = format!("grant_type=refresh_token&refresh_token={encoded}");
                self.redeem(&body).await
            }
            Work::Userinfo => {
                let token = self.next_token();
                let bearer = format!("authorization: Bearer {token}\r\n");
                let request = get(self.paths.userinfo, &bearer);
                let answer = self.connection.send(&request).await?;
                self.right(&answer)
            }
            Work::Introspect => {
                let body = format!("token={}", self.next_token());
                let request = post(self.paths.introspect, RESOURCE_SERVER, &body);
                let answer = self.connection.send(&request).await?;
                self.right(&answer)?;
                match self.connection.body(&answer).contains("\"active\":true") {
                    true => Ok(()),
                    false => Err(self.wrong(&answer)),
                }
            }
        }
    }

    fn next_token(&mut self) -> String {
        self.asked = (self.asked + 1) % self.access_tokens.len();
        self.access_tokens[self.asked].clone()
    }

    /// Authorizes with the session of a person, and redeems the code.
    async fn sign_in(&mut self) -> Result<()> {
        let mut answer = self.connection.send(&self.authorize).await?;
        let code = loop {
            let Some(location) = &answer.location else { return Err(self.wrong(&answer)) };
            let Some(query) = location.strip_prefix(CALLBACK) else {
                // A page of the server's own.
                let path = location.find("/login").and_then(|at| location.get(at..));
                let Some(path) = path else { return Err(self.wrong(&answer)) };
                answer = self.connection.send(&get(path, &self.cookie)).await?;
                continue;
            };
            let mut pairs = query.trim_start_matches('?').split('&');
            match pairs.find_map(|pair| pair.strip_prefix("code=")) {
                Some(code) => break code,
                None => return Err(self.wrong(&answer)),
            }
        };
        let body = format!(
            "grant_type=authorization_code&code={code}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb\
             &code_verifier={VERIFIER}"
        );
        self.redeem(&body).await
    }

    async fn redeem(&mut self, body: &str) -> Result<()> {
        let request = post(self.paths.token, self.work.app(), body);
        let answer = self.connection.send(&request).await?;
        self.right(&answer)?;
        self.take(&answer)?;
        let body = self.connection.body(&answer);
        let Some(token) = field(body, "refresh_token") else { return Err(self.wrong(&answer)) };
        self.refresh_token = token.to_owned();
        Ok(())
    }

    /// Notes an access token.
    fn take(&mut self, answer: &Answer) -> Result<()> {
        let body = self.connection.body(answer);
        let Some(token) = field(body, "access_token") else { return Err(self.wrong(answer)) };
        if matches!(self.work, Work::Userinfo | Work::Introspect) {
            self.access_tokens.push(token.to_owned());
        }
        if self.paths.has_jwts {
            let claims = token.split('.').nth(1).unwrap_or_default();
            let claims = BASE64_URL_SAFE_NO_PAD.decode(claims)?;
            let id = field(std::str::from_utf8(&claims)?, "jti").ok_or("a token has no jti")?;
            if self.ids.len().is_multiple_of(200) {
                self.kept.push(token.to_owned());
            }
            if !self.ids.insert(id.to_owned()) {
                return Err("two access tokens have the same jti".into());
            }
        }
        Ok(())
    }

    fn right(&self, answer: &Answer) -> Result<()> {
        match answer.code {
            200 => Ok(()),
            _ => Err(self.wrong(answer)),
        }
    }

    fn wrong(&self, answer: &Answer) -> Box<dyn std::error::Error + Send + Sync> {
        let text = format!(
            "{:?}: {} {:?} {}",
            self.work,
            answer.code,
            answer.location,
            self.connection.body(answer)
        );
        io::Error::other(text).into()
    }
}
