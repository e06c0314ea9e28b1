//! One server for all tests, started as its operator would for a certification run, and a host that the applications
//! are on.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};

use crate::wire::{self, Answer};

pub(crate) const EMAIL: &str = "dana@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) struct Suite {
    pub(crate) issuer: String,
    /// The origin that the applications are on.
    pub(crate) application: String,
    tls: Arc<ClientConfig>,
    published: Arc<Mutex<HashMap<String, String>>>,
    posted: Arc<Mutex<HashMap<String, Vec<String>>>>,
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    /// Its input is closed when the tests have ended, however they do, which ends the server.
    _shell: Child,
}

/// The server, started by whoever comes first.
pub(crate) fn suite() -> &'static Suite {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    SUITE.get_or_init(Suite::start)
}

/// Every standard claim (OpenID Connect Core section 5.1) but the e-mail, which is the user name.
fn claims() -> Value {
    json!({
        "name": "Dana Demo", "given_name": "Dana", "family_name": "Demo", "middle_name": "Q",
        "nickname": "dee", "preferred_username": "dana", "profile": "https://example.com/dana",
        "picture": "https://example.com/dana.png", "website": "https://example.com",
        "gender": "female", "birthdate": "1990-10-31", "zoneinfo": "Europe/Berlin",
        "locale": "en-GB", "email_verified": true, "phone_number": "+1 555 0100",
        "phone_number_verified": true,
        "address": {"formatted": "1 Example Street\nExampletown", "country": "GB"},
    })
}

impl Suite {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name).to_str().unwrap().to_owned()
        };
        let certificate = file("cert.pem", &made.cert.pem());
        let key_file = file("key.pem", &made.signing_key.serialize_pem());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key =
            PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let host = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let published: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let posted: Arc<Mutex<HashMap<String, Vec<String>>>> = Arc::default();
        let (documents, bodies) = (published.clone(), posted.clone());
        let answer = move |path: &str, body: String| {
            if !body.is_empty() {
                bodies.lock().unwrap().entry(path.to_owned()).or_default().push(body);
            }
            documents.lock().unwrap().get(path).cloned()
        };
        let application = format!("https://localhost:{}", wire::host(Arc::new(host), answer));

        let port = free_port();
        let issuer = format!("https://localhost:{port}");
        let settings = vec![
            ("GRANTOR_ISSUER", issuer.clone()),
            ("GRANTOR_LISTEN", format!("127.0.0.1:{port}")),
            ("GRANTOR_DATA", folder.join("data").to_str().unwrap().to_owned()),
            ("GRANTOR_TLS__CERTIFICATE", certificate.clone()),
            ("GRANTOR_TLS__KEY", key_file),
            ("GRANTOR_OUTGOING__TRUST", certificate),
            ("GRANTOR_SCOPES", "[\"reports\"]".to_owned()),
            ("GRANTOR_REGISTRATION__SCOPES", "[\"reports\"]".to_owned()),
        ];
        run(&settings, &["init", "--org", "certification", "--admin-email", "ada@example.com"], "");
        let add = ["user", "add", "--org", "certification", "--email", EMAIL, "--password-stdin"];
        run(&settings, &add, PASSWORD);
        run(&settings, &["user", "claims", EMAIL, &claims().to_string()], "");

        // The shell outlives nobody: its input ends with this process, and it ends the server then.
        let script = r#"log=$1; shift; "$@" 2> "$log/log" & pid=$!; echo $pid > "$log/pid"
            cat > /dev/null; kill $pid; wait $pid; rm -rf "$log""#;
        let mut process = Command::new("sh")
            .args(["-c", script, "sh", folder.to_str().unwrap()])
            .args([env!("CARGO_BIN_EXE_grantor-server"), "--config", &configuration()])
            .envs(settings.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.contains("is ready") {
            let more = lines.read_line(&mut printed).unwrap();
            let log = || std::fs::read_to_string(folder.join("log"));
            assert!(more > 0, "the server did not start: {:?}", log());
        }
        Self {
            issuer,
            application,
            tls: Arc::new(client),
            published,
            posted,
            folder,
            settings,
            _shell: process,
        }
    }

    /// A request to the server.
    pub(crate) fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        wire::send(&self.tls, method, url, headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", &format!("{}{path}", self.issuer), &[], "")
    }

    pub(crate) fn metadata(&self) -> Value {
        self.get("/.well-known/openid-configuration").json()
    }

    pub(crate) fn jwks(&self) -> Value {
        let url = self.metadata()["jwks_uri"].as_str().unwrap().to_owned();
        self.send("GET", &url, &[], "").json()
    }

    /// Puts a document on the host of the applications, and says where it is.
    pub(crate) fn publish(&self, path: &str, document: impl Into<String>) -> String {
        self.published.lock().unwrap().insert(path.to_owned(), document.into());
        format!("{}{path}", self.application)
    }

    /// The bodies that were posted to a path of the host of the applications.
    pub(crate) fn posted(&self, path: &str) -> Vec<String> {
        self.posted.lock().unwrap().get(path).cloned().unwrap_or_default()
    }

    /// What the operator does beside the running server.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        run(&self.settings, arguments, "")
    }

    /// Has the server look for what others have changed.
    pub(crate) fn hang_up(&self) {
        let pid = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        assert!(Command::new("kill").args(["-HUP", pid.trim()]).status().unwrap().success());
    }

    /// A machine's token, for a client that the operator has registered.
    pub(crate) fn client_credentials(&self) {
        let add = ["client", "add", "--org", "certification", "--name", "Machine"];
        let of = ["--grant-type", "client_credentials", "--scope", "reports"];
        let printed = self.command(&[&add[..], &of[..]].concat());
        let client: Value = serde_json::from_str(&printed).unwrap();
        let text = |name: &str| client[name].as_str().unwrap_or_else(|| panic!("{printed}"));
        let (id, secret) = (text("clientId"), text("clientSecret"));
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let url = crate::application::endpoint("token_endpoint");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.send("POST", &url, &headers, &form);
        assert_eq!(answer.json()["scope"], "reports", "{answer:?}");
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }
}

fn configuration() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join("packaging/certification.toml").to_str().unwrap().to_owned()
}

fn run(settings: &[(&'static str, String)], arguments: &[&str], input: &str) -> String {
    let mut process = Command::new(env!("CARGO_BIN_EXE_grantor-server"))
        .args(["--config", &configuration()])
        .args(arguments)
        .envs(settings.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A port below those that the system gives to outgoing connections.
fn free_port() -> u16 {
    let start = 32_000 - u16::try_from(std::process::id() % 1_000).unwrap();
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (0..500).map(|n| start - n).find(is_free).expect("a free port")
}
