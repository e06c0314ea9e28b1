//! The command line.

mod client;
mod init;
mod keys;
mod migrate;
mod serve;
mod user;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use grantor::{AuthorizationServer, Issuer, Secret};
use indicatif::{ProgressBar, ProgressStyle};
use tracing::Instrument as _;

use crate::accounts::{Accounts, Organisation};
use crate::config::Config;
use crate::error::{Fatal, StoreFailed};
use crate::limits::ClientLimit;
use crate::storage::{self, Lock, Storage};
use crate::tls::Certificate;
use crate::{events, pages, telemetry};

/// An OpenID Connect provider: sign-in pages, tokens, and an API for administrators.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "\
Examples:
  grantor-server                          start on http://localhost:4000
  grantor-server init --org acme --admin-email ada@acme.example
  grantor-server client add --org acme --name Shop --redirect-uri https://shop.example/callback
Every setting of grantor.toml is an environment variable too: issuer is GRANTOR_ISSUER,
lifetimes.code is GRANTOR_LIFETIMES__CODE."
)]
pub(crate) struct Arguments {
    /// The configuration file; grantor.toml in this folder when it exists
    #[arg(long, global = true, env = "GRANTOR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server (the default)
    #[command(after_help = "Example:\n  GRANTOR_LISTEN=127.0.0.1:4711 grantor-server serve")]
    Serve,
    /// Make the first organisation and its administrator
    Init(init::Init),
    /// Register and change clients
    #[command(subcommand, after_help = "Example:\n  grantor-server client list --org acme")]
    Client(client::Verb),
    /// Add and change people
    #[command(subcommand, after_help = "Example:\n  grantor-server user list --org acme")]
    User(user::Verb),
    /// Show and change the signing keys
    #[command(subcommand, after_help = "Example:\n  grantor-server keys list")]
    Keys(keys::Verb),
    MigrateStorage(migrate::Migrate),
    /// Delete grants that have ended; a running server does so by itself
    #[command(after_help = "Example:\n  grantor-server purge")]
    Purge,
    /// Check the configuration and show what follows from it
    #[command(after_help = "Example:\n  grantor-server check-config --config /etc/grantor.toml")]
    CheckConfig,
}

/// Runs a command to its end.
pub(crate) fn run(arguments: Arguments) -> Result<(), Fatal> {
    let config = Config::read(arguments.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let command = match arguments.command {
        None | Some(Command::Serve) => return runtime.block_on(serve::run(config)),
        Some(command) => command,
    };
    if !matches!(command, Command::CheckConfig) {
        telemetry::start_audit(&config)?;
    }
    let work = async {
        match command {
            Command::Serve => Ok(()),
            Command::Init(init) => init::run(config, init).await,
            Command::Client(verb) => client::run(config, verb).await,
            Command::User(verb) => user::run(config, verb).await,
            Command::Keys(verb) => keys::run(config, verb).await,
            Command::MigrateStorage(migrate) => migrate::run(config, migrate).await,
            Command::Purge => purge(config).await,
            Command::CheckConfig => check_config(&config),
        }
    };
    runtime.block_on(work.instrument(tracing::info_span!("command", actor = "command line")))
}

/// In batches, so that a running server can write in between.
async fn purge(config: Config) -> Result<(), Fatal> {
    const BATCH: usize = 1000;
    let Opened { server, storage, _lock, .. } = open_existing(&config).await?;
    let mut purged = 0;
    // Drawn on a terminal alone.
    let progress = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {pos} grants deleted, {per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    loop {
        let batch = storage.grants().purge(server.now(), BATCH).await;
        let batch = batch.map_err(|error| StoreFailed::of_engine(&error))?;
        purged += batch;
        progress.inc(batch as u64);
        if batch < BATCH {
            progress.finish_and_clear();
            say(format_args!("Deleted {purged} grants that had ended."));
            return Ok(());
        }
    }
}

fn check_config(config: &Config) -> Result<(), Fatal> {
    config.policy()?;
    config.fetcher()?;
    config.tls.as_ref().map(Certificate::read).transpose()?;
    // A folder that is still to be made gets its key with it.
    if storage::is_in(&config.data) || config.names_a_master_key() {
        config.master_key(false)?;
    }
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let tls =
        config.tls.as_ref().map_or("no: a proxy must end it, or everybody is here".into(), |tls| {
            tls.certificate.display().to_string()
        });
    let none = || "none".to_owned();
    let list = |list: &[String]| if list.is_empty() { none() } else { list.join(", ") };
    say(format_args!("The configuration is sound."));
    for (name, value) in [
        ("issuer", config.issuer.clone()),
        ("listens", config.listen.to_string()),
        ("TLS", tls),
        ("data", format!("{} ({})", data.display(), config.storage)),
        ("login page", config.login_ui.clone().unwrap_or_else(|| "its own".into())),
        ("trusted origins", config.trusted().to_string()),
        ("trusted proxies", list(&config.trusted_proxies)),
        ("audiences", list(&config.policy()?.apis)),
        ("scopes", config.policy()?.scopes.to_string()),
        ("registration", format!("{:?}", config.registration.mode).to_lowercase()),
        (
            "outgoing calls",
            config.opened_networks().map_or_else(
                || "public addresses alone".to_owned(),
                |networks| format!("public addresses and {networks}"),
            ),
        ),
        ("metrics", config.metrics.map_or_else(none, |address| address.to_string())),
        ("traces", config.otlp.clone().unwrap_or_else(none)),
        ("log", format!("{} as {:?}", config.log.level, config.log.format).to_lowercase()),
    ] {
        say(format_args!("  {name:16} {value}"));
    }
    Ok(())
}

/// The engine and the accounts of a data folder. On SQLite, commands open it beside a running server.
struct Opened {
    server: AuthorizationServer,
    accounts: Accounts,
    storage: Storage,
    /// Held as long as the rest is used.
    _lock: Lock,
}

impl Opened {
    /// The organisation of this short name.
    async fn organisation(&self, slug: &str) -> Result<Organisation, Fatal> {
        let found = self.accounts.organisation(slug).await?;
        found.ok_or_else(|| Fatal::Say(format!("there is no organisation {slug:?}")))
    }
}

/// Opens what a server or `init` has made. Administering a folder that is not there would make a new
/// one, and change what nobody runs.
async fn open_existing(config: &Config) -> Result<Opened, Fatal> {
    if !storage::is_in(&config.data) {
        let data = config.data.display();
        return Err(Fatal::Say(format!(
            "there is no data in {data}: start the server or run `grantor-server init` first, or \
             name the right folder with GRANTOR_DATA"
        )));
    }
    open(config).await
}

/// The first line of standard input.
fn password_from_stdin() -> Result<Secret, Fatal> {
    use std::io::Read as _;
    let mut text = String::new();
    std::io::stdin().take(4096).read_to_string(&mut text)?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// Prints a line. Whoever has closed the pipe has read enough.
fn say(line: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn open(config: &Config) -> Result<Opened, Fatal> {
    let data = &config.data;
    std::fs::create_dir_all(data).map_err(|error| {
        Fatal::Say(format!("cannot make the data folder {}: {error}", data.display()))
    })?;
    let lock = Lock::shared(data)?;
    // Only a new folder gets a new key: beside old records it could open nothing.
    let master_key = config.master_key(!storage::is_in(data))?;
    let accounts = Accounts::open(&data.join("accounts.db"))?;
    // Another issuer would see none of the clients, and make keys of its own; so would another
    // storage.
    claim(&accounts, "issuer", &config.issuer, data, "GRANTOR_ISSUER").await?;
    claim(&accounts, "storage", config.storage.as_str(), data, "GRANTOR_STORAGE").await?;
    // A copy that was begun grows old from here on.
    accounts.set(migrate::MOVING, "").await?;
    let storage = Storage::open(config.storage, data)?;
    refuse_half_a_folder(config, &accounts, &storage).await?;
    let mut builder = storage
        .serve(AuthorizationServer::builder(&config.issuer))
        .subjects(accounts.clone())
        .master_key(master_key)
        .interaction("/login")
        .logout_page("/logout")
        .policy(config.policy()?)
        .events(events::Logged)
        .rate_limit(ClientLimit::new(&config.limits, config.registration.per_hour))
        .fetch(config.fetcher()?)
        .error_page(pages::error);
    if let Some(rules) = config.registration.rules(&accounts) {
        builder = builder.registration(rules);
    }
    let server = builder.build().await?;
    Ok(Opened { server, accounts, storage, _lock: lock })
}

/// A folder of which one half was lost looks like a first start for the other. Going on would make new
/// keys for old people, or new people for old clients.
async fn refuse_half_a_folder(
    config: &Config,
    accounts: &Accounts,
    storage: &Storage,
) -> Result<(), Fatal> {
    let issuer = Issuer::new(&config.issuer).map_err(|error| Fatal::Say(error.to_string()))?;
    let failed = |error| Fatal::Store(StoreFailed::of_engine(&error));
    let has_keys = storage.keys().load(&issuer).await.map_err(failed)?.is_some();
    let clients = storage.clients().list(&issuer, None, None, 1).await.map_err(failed)?;
    let data = config.data.display();
    let lost = match (accounts.is_empty().await?, has_keys, clients.is_empty()) {
        (false, false, _) => format!("the engine's records ({})", config.storage),
        (true, _, false) => "accounts.db".to_owned(),
        _ => return Ok(()),
    };
    Err(Fatal::Say(format!(
        "{data} has lost {lost}, and has the rest: restore the whole folder from a backup"
    )))
}

/// What a folder was made with, it stays with.
async fn claim(
    accounts: &Accounts,
    name: &str,
    wanted: &str,
    data: &Path,
    setting: &str,
) -> Result<(), Fatal> {
    let stands = accounts.claim(name, wanted).await?;
    if stands == wanted {
        return Ok(());
    }
    let (data, moving) = (
        data.display(),
        match name {
            "storage" => ", or move it with `grantor-server migrate-storage`",
            _ => "",
        },
    );
    Err(Fatal::Say(format!(
        "{data} was made for the {name} {stands}, and the {name} is {wanted} now: set \
         {setting}={stands}, choose another folder with GRANTOR_DATA{moving}, or delete {data} if it \
         holds nothing yet"
    )))
}
