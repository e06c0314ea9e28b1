//! The configuration: defaults, then one TOML file, then `GRANTOR_*` environment variables.
//!
//! An unknown key is refused, so that a mistyped one is not silently the default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use grantor::{EndsWithSession, Issuer, MasterKey, Policy, Scope, SystemEnvironment};
use grantor_fetch::Fetcher;
use serde::{Deserialize, Serialize};

use crate::error::Fatal;
use crate::limits::Limits;
use crate::proxy::network;
use crate::registration;
use crate::session::BY_PASSWORD;
use crate::storage::Backend;
use crate::tls::Tls;
use crate::trusted::TrustedOrigins;

/// The file that is read when it exists and none is named.
const FILE: &str = "grantor.toml";

/// `ends_with_session`, as it is written.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ends {
    Nothing,
    /// All but what was granted `offline_access`.
    Online,
    Everything,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The public URL of this server, without a slash at its end; `http://localhost` with the port
    /// of `listen` when not set and that is this machine alone.
    pub(crate) issuer: String,
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The certificate to speak TLS with; without it, plain HTTP, for this machine alone or a proxy
    /// that ends TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    /// The folder for everything that is kept.
    pub(crate) data: PathBuf,
    /// Where in it the engine's records are.
    pub(crate) storage: Backend,
    /// The base64 of 32 bytes that seal the keys. Better in the environment than in a file; when
    /// neither it nor `master_key_file` is set, the data folder gets a key file of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) master_key: Option<RedactedText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// Audiences of access tokens beside the issuer: the APIs that accept them.
    pub(crate) apis: Vec<String>,
    /// Scopes beside the standard ones.
    pub(crate) scopes: Vec<String>,
    /// The addresses or networks of the proxies in front of this server, whose `X-Forwarded-For` is
    /// believed. Without them, everybody who comes through a proxy counts as one address.
    pub(crate) trusted_proxies: Vec<String>,
    /// A login page on another host of the same site, which signs people in through
    /// `/v1/auth/login`; this server's own when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) login_ui: Option<String>,
    /// Origins whose pages may use the session of a person through `/v1/auth/*` and `/v1/me/*`.
    /// That of `login_ui` always may.
    pub(crate) trusted_origins: Vec<String>,
    /// Whether a revocation request that names no client may revoke a public client's token.
    pub(crate) anonymous_revocation: bool,
    /// Whether pages show the logos of applications, which browsers fetch from the applications' hosts.
    pub(crate) logos: bool,
    /// Whether applications may get tokens in the authorization response (implicit and hybrid flows).
    pub(crate) implicit: bool,
    /// Whether pages of applications can ask in the browser whether their person is still signed in.
    pub(crate) session_management: bool,
    /// What of that which applications got in a session ends with it.
    pub(crate) ends_with_session: Ends,
    /// What the server may call for its clients: where their keys and request objects are.
    pub(crate) outgoing: Outgoing,
    /// Which applications may register themselves.
    pub(crate) registration: registration::Settings,
    pub(crate) lifetimes: Lifetimes,
    /// How often somebody may come.
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    /// Where to answer Prometheus; nowhere when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics: Option<SocketAddr>,
    /// The OpenTelemetry collector that takes traces by OTLP over HTTP; none when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) otlp: Option<String>,
}

/// Outgoing calls go to public addresses alone, and to these.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outgoing {
    /// Addresses or networks that are not public and may be called all the same.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    /// A file of certificate authorities (PEM) to trust beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trust: Option<PathBuf>,
}

/// Lifetimes in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lifetimes {
    pub(crate) code: u64,
    pub(crate) access_token: u64,
    pub(crate) id_token: u64,
    /// Unused refresh tokens.
    pub(crate) refresh_token: u64,
    /// Grants, however often they are refreshed.
    pub(crate) grant: u64,
    /// How long the predecessor of a refresh token still gets the same answer.
    pub(crate) retry_window: u64,
    /// Sessions, however busy.
    pub(crate) session: u64,
    /// Unused sessions.
    pub(crate) session_idle: u64,
    /// Signing keys.
    pub(crate) keys: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// A filter such as `info` or `grantor_server=debug`.
    pub(crate) level: String,
    /// `text` or `json`.
    pub(crate) format: LogFormat,
    /// A file to which the events of the audit are appended, one line of JSON each; the log alone has them when not
    /// set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audit: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// A text that does not print.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RedactedText(String);

impl RedactedText {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for RedactedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            listen: ([127, 0, 0, 1], 4000).into(),
            tls: None,
            data: "grantor-data".into(),
            storage: Backend::Sqlite,
            master_key: None,
            master_key_file: None,
            apis: Vec::new(),
            scopes: Vec::new(),
            trusted_proxies: Vec::new(),
            login_ui: None,
            trusted_origins: Vec::new(),
            anonymous_revocation: true,
            logos: false,
            implicit: false,
            session_management: false,
            ends_with_session: Ends::Online,
            outgoing: Outgoing::default(),
            registration: registration::Settings::default(),
            lifetimes: Lifetimes {
                code: 600,
                access_token: 3600,
                id_token: 3600,
                refresh_token: 30 * 86_400,
                grant: 90 * 86_400,
                retry_window: 60,
                session: 3600,
                session_idle: 1800,
                keys: 30 * 86_400,
            },
            limits: Limits::default(),
            log: Log { level: "info".into(), format: LogFormat::Text, audit: None },
            metrics: None,
            otlp: None,
        }
    }
}

impl Config {
    /// Reads the configuration. A file that is named must exist.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, Fatal> {
        let defaults = Figment::from(Serialized::defaults(Config::default()));
        let with_file = match file {
            Some(file) if !std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file()) => {
                let why = match std::fs::metadata(file) {
                    Ok(_) => "it is no file".to_owned(),
                    Err(error) => error.to_string(),
                };
                let file = file.display();
                return Err(Fatal::Config(format!(
                    "cannot read the configuration file {file}: {why}"
                )));
            }
            Some(file) => defaults.merge(Toml::file_exact(file)),
            None if Path::new(FILE).is_file() => defaults.merge(Toml::file_exact(FILE)),
            None => defaults,
        };
        // These are read by the command line.
        let of_the_command_line = ["config", "admin_password"];
        let environment = Env::prefixed("GRANTOR_").ignore(&of_the_command_line).split("__");
        let figment = with_file.merge(environment);
        let mut config: Config =
            figment.extract().map_err(|error| Fatal::Config(explain(error)))?;
        if config.issuer.is_empty() && config.listen.ip().is_loopback() {
            let scheme = if config.tls.is_some() { "https" } else { "http" };
            config.issuer = format!("{scheme}://localhost:{}", config.listen.port());
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Fatal> {
        let fail = |text: String| Err(Fatal::Config(format!("the configuration: {text}")));
        if self.issuer.is_empty() {
            let text = "issuer is not set; set it to the public URL of this server";
            return fail(format!("{text}, such as https://id.example.com"));
        }
        if let Err(error) = Issuer::new(&self.issuer) {
            return fail(error.to_string());
        }
        if self.tls.is_some() && self.issuer.starts_with("http://") {
            let text = "issuer begins with http:// and there is a tls certificate";
            return fail(format!("{text}: write https://, or leave out tls"));
        }
        // A browser application that follows the guide treats a token as dead five minutes early,
        // and its refresh timer overflows at 2^31 milliseconds.
        let access = self.lifetimes.access_token;
        if !(301..2_147_483).contains(&access) {
            return fail(format!(
                "lifetimes.access_token is {access}; use 301 to 2147482 seconds, or browser \
                 applications cannot refresh in time"
            ));
        }
        let year = 366 * 86_400;
        for (name, seconds, range) in [
            ("code", self.lifetimes.code, 1..=600),
            ("id_token", self.lifetimes.id_token, 1..=2_592_000),
            ("refresh_token", self.lifetimes.refresh_token, 60..=10 * year),
            ("grant", self.lifetimes.grant, 60..=10 * year),
            ("retry_window", self.lifetimes.retry_window, 0..=600),
            ("session", self.lifetimes.session, 60..=10 * year),
            ("session_idle", self.lifetimes.session_idle, 60..=10 * year),
            ("keys", self.lifetimes.keys, 3600..=10 * year),
        ] {
            if !range.contains(&seconds) {
                let (least, most) = (range.start(), range.end());
                return fail(format!(
                    "lifetimes.{name} is {seconds}; use {least} to {most} seconds"
                ));
            }
        }
        if self.lifetimes.session_idle > self.lifetimes.session {
            let text = "lifetimes.session_idle is longer than lifetimes.session";
            return fail(format!("{text}: unused sessions cannot outlive used ones"));
        }
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        let level = &self.log.level;
        if !level.contains('=') && !levels.contains(&level.as_str()) {
            return fail(format!("log.level is {level:?}; use one of {}", levels.join(", ")));
        }
        if self.otlp.as_deref().is_some_and(|otlp| !otlp.starts_with("http://")) {
            return fail(
                "otlp must be the http:// URL of a collector, such as http://127.0.0.1:4318".into(),
            );
        }
        if self.metrics == Some(self.listen) {
            return fail("metrics and listen are the same address; choose another port".into());
        }
        if let Some(api) = self.apis.iter().find(|api| url::Url::parse(api).is_err()) {
            return fail(format!("apis: {api:?} is not an absolute URI"));
        }
        if let Some(text) = self.trusted_proxies.iter().find(|text| network(text).is_none()) {
            let text = format!("trusted_proxies: {text:?} is no address and no network");
            return fail(format!("{text}: write 10.0.0.1 or 10.0.0.0/8"));
        }
        if let Err(why) = self.registration.check().and_then(|()| self.limits.check()) {
            return fail(why);
        }
        if let Some(text) = self.outgoing.allow.iter().find(|text| network(text).is_none()) {
            let text = format!("outgoing.allow: {text:?} is no address and no network");
            return fail(format!("{text}: write 10.0.0.1 or 10.0.0.0/8"));
        }
        for (name, url) in self.pages_elsewhere() {
            if let Err(why) = origin_of(url, name == "login_ui") {
                return fail(format!("{name}: {url:?} {why}"));
            }
            // Whatever runs on a person's own machine must not use their session with a server
            // elsewhere.
            if url.starts_with("http://") && self.issuer.starts_with("https://") {
                return fail(format!("{name}: {url:?} must begin with https:// like the issuer"));
            }
        }
        if let Err(error) = Scope::collect(&self.scopes) {
            return fail(format!("scopes: {error}"));
        }
        if self.master_key.is_some() && self.master_key_file.is_some() {
            return fail("set master_key or master_key_file, not both".into());
        }
        Ok(())
    }

    fn pages_elsewhere(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let login_ui = self.login_ui.iter().map(|url| ("login_ui", url));
        login_ui.chain(self.trusted_origins.iter().map(|url| ("trusted_origins", url)))
    }

    /// The origins of `trusted_origins` and of `login_ui`, as browsers write them.
    pub(crate) fn trusted(&self) -> TrustedOrigins {
        let origin = |(name, url): (&str, &String)| origin_of(url, name == "login_ui").ok();
        TrustedOrigins::new(self.pages_elsewhere().filter_map(origin).collect())
    }

    /// Whether the server is for this machine alone, where a first start may make a demonstration.
    pub(crate) fn is_loopback(&self) -> bool {
        let issuer = url::Url::parse(&self.issuer).ok();
        self.listen.ip().is_loopback() && issuer.is_some_and(|issuer| is_this_machine(&issuer))
    }

    /// Whether the issuer is public by TLS that this server does not speak, and no proxy is known.
    pub(crate) fn is_behind_an_unknown_proxy(&self) -> bool {
        let elsewhere = self.tls.is_none() && self.issuer.starts_with("https://");
        elsewhere && self.trusted_proxies.is_empty()
    }

    /// What makes the outgoing calls.
    pub(crate) fn fetcher(&self) -> Result<Fetcher, Fatal> {
        let allowed = self.outgoing.allow.iter().filter_map(|text| network(text));
        let mut builder = Fetcher::builder().allow(allowed);
        if let Some(file) = &self.outgoing.trust {
            let wrong =
                |why: String| Fatal::Config(format!("outgoing.trust: {}: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|why| wrong(why.to_string()))?;
            builder = builder.trust(&pem).map_err(|why| wrong(why.to_string()))?;
        }
        builder.build().map_err(|why| Fatal::Config(format!("outgoing calls: {why}")))
    }

    /// The networks that are not public and may be called, when there are any: whoever registers a client may
    /// have this server call them.
    pub(crate) fn opened_networks(&self) -> Option<String> {
        let allow = &self.outgoing.allow;
        (!allow.is_empty()).then(|| allow.join(", "))
    }

    pub(crate) fn names_a_master_key(&self) -> bool {
        self.master_key.is_some() || self.master_key_file.is_some()
    }

    pub(crate) fn policy(&self) -> Result<Policy, Fatal> {
        let seconds = Duration::from_secs;
        let mut policy = Policy::default();
        policy.code_lifetime = seconds(self.lifetimes.code);
        policy.access_token_lifetime = seconds(self.lifetimes.access_token);
        policy.id_token_lifetime = seconds(self.lifetimes.id_token);
        policy.refresh_token_idle = seconds(self.lifetimes.refresh_token);
        policy.refresh_token_absolute = seconds(self.lifetimes.grant);
        policy.retry_window = seconds(self.lifetimes.retry_window);
        policy.rotate_keys_every = seconds(self.lifetimes.keys);
        policy.apis = self.apis.clone();
        policy.anonymous_revocation = self.anonymous_revocation;
        policy.implicit = self.implicit;
        policy.session_management = self.session_management;
        policy.ends_with_session = match self.ends_with_session {
            Ends::Nothing => EndsWithSession::Nothing,
            Ends::Online => EndsWithSession::Online,
            Ends::Everything => EndsWithSession::Everything,
        };
        policy.acr_values = vec![BY_PASSWORD.to_owned()];
        let own = Scope::collect(&self.scopes);
        let own =
            own.map_err(|error| Fatal::Config(format!("the configuration: scopes: {error}")))?;
        policy.scopes = policy.scopes.union(&own);
        Ok(policy)
    }

    /// The key that seals the key ring: from the configuration, from the named file, or from a file
    /// in the data folder, which is made for a folder that is new.
    pub(crate) fn master_key(&self, new_folder: bool) -> Result<MasterKey, Fatal> {
        let bad =
            |from: String, error: grantor::KeyError| Fatal::Config(format!("{from}: {error}"));
        if let Some(RedactedText(text)) = &self.master_key {
            return MasterKey::from_base64(text).map_err(|e| bad("master_key".into(), e));
        }
        let file = match &self.master_key_file {
            Some(file) => file.clone(),
            None => {
                let file = self.data.join("master.key");
                if new_folder && !file.exists() {
                    let key = MasterKey::generate(&SystemEnvironment)?;
                    write_private(&file, &key.to_base64()).map_err(|error| {
                        Fatal::Config(format!("cannot write {}: {error}", file.display()))
                    })?;
                }
                file
            }
        };
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(&file).map_err(|error| {
            let mend = match error.kind() {
                std::io::ErrorKind::PermissionDenied => "run this as the owner of the data folder",
                _ => {
                    "the keys in the data folder open only with it: restore the file, or set \
                     GRANTOR_MASTER_KEY"
                }
            };
            Fatal::Config(format!("cannot read the master key {shown}: {error}; {mend}"))
        })?;
        refuse_readable_by_others(&file)?;
        MasterKey::from_base64(&text).map_err(|error| bad(shown, error))
    }
}

/// Whether a URL never leaves this machine.
fn is_this_machine(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(host)) => host == "localhost" || host.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The origin of a page elsewhere that people trust with a password: nobody on the way may change it.
/// An origin that is to be listed must be written as one.
fn origin_of(url: &str, is_page: bool) -> Result<String, &'static str> {
    let parsed = url::Url::parse(url).map_err(|_| "is not an absolute URL")?;
    let is_safe = match parsed.scheme() {
        "https" => true,
        "http" => is_this_machine(&parsed),
        _ => false,
    };
    let origin = parsed.origin().ascii_serialization();
    match (is_safe, is_page) {
        (false, _) => Err("must begin with https:// (http:// on this machine alone)"),
        (true, true) if parsed.fragment().is_some() => Err("must have no fragment"),
        (true, true) => Ok(origin),
        (true, false) if origin == url => Ok(origin),
        (true, false) => Err("is not an origin: write it as https://login.example.com"),
    }
}

/// Writes whole or not at all: a file that was begun and not finished would be a key that opens
/// nothing. A file that another start has made meanwhile stays: something may be sealed with it.
#[cfg(unix)]
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let draft = file.with_extension(format!("draft-{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let mut written = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(written, "{text}")?;
    written.sync_all()?;
    let published = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft)?;
    match published {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        published => published,
    }
}

#[cfg(not(unix))]
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(file, text)
}

#[cfg(unix)]
fn refuse_readable_by_others(file: &Path) -> Result<(), Fatal> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file)?.permissions().mode();
    if mode & 0o077 != 0 {
        let file = file.display();
        return Err(Fatal::Config(format!(
            "others can read the master key {file}: run `chmod 600 {file}`"
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_readable_by_others(_: &Path) -> Result<(), Fatal> {
    Ok(())
}

/// The first mistake, with the key and where it stands.
fn explain(error: figment::Error) -> String {
    let first = error.clone().into_iter().next().unwrap_or(error);
    let source = first.metadata.as_ref().map(|metadata| match &metadata.source {
        Some(source) => format!(" in {source}"),
        None => format!(" in {}", metadata.name),
    });
    let key = first.path.join(".");
    let hint = match (key.as_str(), &first.kind) {
        ("listen" | "metrics", _) => ". Write it as 127.0.0.1:4000",
        (
            "scopes"
            | "apis"
            | "trusted_origins"
            | "trusted_proxies"
            | "outgoing.allow"
            | "registration.tokens"
            | "registration.scopes",
            _,
        ) => ". Write it as [\"one\", \"two\"]",
        (_, figment::error::Kind::UnknownField(..)) => {
            ". In environment variables two underscores lead into a table: GRANTOR_LIFETIMES__CODE"
        }
        _ => "",
    };
    let key = if key.is_empty() { key } else { format!(" at `{key}`") };
    let source = source.unwrap_or_default();
    format!("the configuration{source}{key}: {}{hint}", first.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Config, Fatal> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("grantor.toml");
        std::fs::write(&file, toml).unwrap();
        Config::read(Some(&file))
    }

    #[test]
    fn a_mistyped_key_is_named_with_the_ones_that_exist() {
        let error = read("isuer = \"http://localhost:4000\"").unwrap_err().to_string();
        assert!(error.contains("isuer") && error.contains("`issuer`"), "{error}");
        let error = read("[lifetimes]\naccess = 3").unwrap_err().to_string();
        assert!(error.contains("access_token"), "{error}");
    }

    #[test]
    fn values_that_would_break_clients_are_refused() {
        for bad in [
            "issuer = \"http://id.example.com\"",
            "issuer = \"https://id.example.com/\"",
            "[lifetimes]\naccess_token = 300",
            "[lifetimes]\naccess_token = 2147483",
            "[lifetimes]\nsession = 0",
            "[lifetimes]\nsession = 600",
            "[lifetimes]\ncode = 601",
            "[lifetimes]\nretry_window = 601",
            "[lifetimes]\nkeys = 600",
            "[limits]\naddress = 0",
            "[limits]\nclient = 1001",
            "scopes = [\"a b\"]",
            "apis = [\"not a uri\"]",
            "[log]\nlevel = \"loud\"",
            "listen = \"0.0.0.0:4000\"",
            "login_ui = \"/login\"",
            "login_ui = \"http://login.example.com\"",
            "login_ui = \"https://login.example.com/#page\"",
            "trusted_origins = [\"https://login.example.com/\"]",
            "trusted_origins = [\"*\"]",
            "otlp = \"collector:4318\"",
            "trusted_proxies = [\"proxy.example.com\"]",
            "[outgoing]\nallow = [\"keys.example.com\"]",
            "[registration]\nmode = \"open\"",
            "[registration]\nmode = \"token\"\norganisation = \"acme\"",
            "[registration]\nmode = \"token\"\norganisation = \"acme\"\ntokens = [\"short\"]",
            "issuer = \"https://id.example.com\"\ntrusted_origins = [\"http://localhost:3000\"]",
            "metrics = \"127.0.0.1:4000\"",
            "metrics = 9464",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("issuer = \"https://id.example.com\"").is_ok());
        let tls = "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"";
        assert_eq!(read(tls).unwrap().issuer, "https://localhost:4000");
        assert!(read(&format!("issuer = \"http://localhost:4000\"\n{tls}")).is_err());
        assert!(read("[tls]\ncertificate = \"cert.pem\"").is_err());
        assert!(read("[log]\nlevel = \"grantor_server=debug\"").is_ok());
        let elsewhere = read("login_ui = \"https://login.example.com/in?theme=dark\"").unwrap();
        assert_eq!(elsewhere.trusted().to_string(), "https://login.example.com");
        let moved = read("listen = \"127.0.0.1:4711\"").unwrap();
        assert_eq!(moved.issuer, "http://localhost:4711");
        assert!(Config::read(Some(Path::new("no/such/file.toml"))).is_err());
    }
}
