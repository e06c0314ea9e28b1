//! Starts the program in a folder of its own and talks HTTP to it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;
use tempfile::TempDir;
use ureq::http::{Request, Response};

pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const CALLBACK: &str = "https://myapp.example.com/callback";
pub(crate) const ORIGIN: &str = "https://myapp.example.com";

/// The program with a data folder.
pub(crate) struct Server {
    pub(crate) folder: Arc<TempDir>,
    pub(crate) port: u16,
    process: Option<Child>,
    settings: Vec<(&'static str, String)>,
    /// What the first start printed.
    pub(crate) introduction: String,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    response: Response<()>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|value| value.to_str().unwrap())
    }
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let values = self.response.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
    pub(crate) fn string(&self, name: &str) -> String {
        let body = self.json();
        body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned()
    }
    /// The session cookie that the answer sets.
    pub(crate) fn cookie(&self) -> String {
        self.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
    /// A parameter of the redirect.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let location = url::Url::parse(self.header("location").expect("a redirect")).unwrap();
        let found = location.query_pairs().find(|(have, _)| have == name);
        found.map(|(_, value)| value.into_owned())
    }
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_grantor-server")
}

/// A port below those that the system gives to outgoing connections: a server that is started again
/// must find its port free.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::SeqCst) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Server {
    /// A first start.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A first start with these environment variables too.
    pub(crate) fn with(settings: &[(&'static str, &str)]) -> Self {
        let mut server = Self::prepared(settings);
        server.introduction = server.start();
        server
    }

    /// One that has not started yet.
    pub(crate) fn prepared(settings: &[(&'static str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            port: free_port(),
            process: None,
            settings: settings.collect(),
            introduction: String::new(),
        }
    }

    /// A second process for the same issuer on the same data folder, with a port of its own.
    pub(crate) fn second(&self) -> Self {
        let mut second = Self {
            folder: self.folder.clone(),
            port: free_port(),
            process: None,
            settings: vec![("GRANTOR_ISSUER", self.issuer())],
            introduction: self.introduction.clone(),
        };
        second.start();
        second
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Changes a setting for the next start.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.settings.retain(|(have, _)| *have != name);
        self.settings.push((name, value.to_owned()));
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join(format!("log-{}", self.port))
    }

    /// Ends the server as an operator does, and returns what it logged.
    pub(crate) fn stop(&mut self) -> String {
        let mut process = self.process.take().unwrap();
        let pid = process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(process.wait().unwrap().success());
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    pub(crate) fn issuer(&self) -> String {
        let has_tls = self.settings.iter().any(|(name, _)| name.contains("_TLS__"));
        format!("{}://localhost:{}", if has_tls { "https" } else { "http" }, self.port)
    }

    /// The command line with this server's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command_in(self.folder.path(), arguments);
        command
            .env("GRANTOR_ISSUER", self.issuer())
            .env("GRANTOR_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("GRANTOR_SCOPES", "[\"orders:read\"]")
            .envs(self.settings.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// Starts the server and returns what it printed until it was ready.
    pub(crate) fn start(&mut self) -> String {
        let mut process =
            self.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut printed = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        while !printed.contains("is ready") {
            if lines.read_line(&mut printed).unwrap() == 0 {
                let mut error = String::new();
                process.stderr.unwrap().read_to_string(&mut error).unwrap();
                panic!("the server did not start: {error}");
            }
        }
        // Somebody must read the log, or the pipe fills and the server waits.
        let mut log = process.stderr.take().unwrap();
        let mut file = std::fs::File::create(self.log_file()).unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut file));
        self.process = Some(process);
        printed
    }

    /// Kills the server without a word of warning.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn credentials(&self, who: &str) -> (String, String) {
        let line = self.introduction.lines().find(|line| line.contains(who)).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[1].to_owned(), words[3].to_owned())
    }

    pub(crate) fn admin(&self) -> (String, String) {
        self.credentials("administrator")
    }

    pub(crate) fn person(&self) -> (String, String) {
        self.credentials("person")
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let path = path.strip_prefix(&self.issuer()).unwrap_or(path);
        let mut request =
            Request::builder().method(method).uri(format!("http://127.0.0.1:{}{path}", self.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let response = if body.is_empty() && method != "POST" && method != "PATCH" {
            agent.run(request.body(()).unwrap())
        } else {
            agent.run(request.body(body.to_owned()).unwrap())
        };
        let (parts, mut body) = response.unwrap().into_parts();
        let text = body.read_to_string().unwrap();
        let status = parts.status.as_u16();
        Answer { status, response: Response::from_parts(parts, ()), text }
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "")
    }

    pub(crate) fn form(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        self.form_with(path, &[], parameters)
    }

    pub(crate) fn form_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        parameters: &[(&str, &str)],
    ) -> Answer {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(parameters);
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        self.send("POST", path, &headers, &encoded.finish())
    }

    pub(crate) fn login(&self, (email, password): &(String, String)) -> Answer {
        let body = serde_json::json!({"email": email, "password": password}).to_string();
        self.send("POST", "/v1/auth/login", &[("content-type", "application/json")], &body)
    }

    /// The administrator's cookie.
    pub(crate) fn admin_cookie(&self) -> String {
        let answer = self.login(&self.admin());
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.cookie()
    }

    /// A call of the administration API about clients.
    pub(crate) fn admin_call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.admin_api(method, &format!("clients{path}"), body)
    }

    /// A call of the administration API.
    pub(crate) fn admin_api(&self, method: &str, path: &str, body: &Value) -> Answer {
        let cookie = self.admin_cookie();
        let headers = [
            ("content-type", "application/json"),
            ("x-org-domain", "your-org"),
            ("cookie", cookie.as_str()),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, &format!("/v1/admin/{path}"), &headers, &body)
    }

    /// The guide's client.
    pub(crate) fn register_spa(&self) -> String {
        let answer = self.admin_call("POST", "", &spa());
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.string("clientId")
    }

    pub(crate) fn authorize_url(&self, client_id: &str) -> String {
        format!(
            "/oauth2/authorize?response_type=code&client_id={client_id}&redirect_uri={CALLBACK}\
             &scope=openid%20profile%20email&state=xyz&code_challenge={CHALLENGE}\
             &code_challenge_method=S256"
        )
    }

    /// Follows the authorization request to where it stops, with a session.
    pub(crate) fn authorize(&self, client_id: &str, cookie: &str) -> Answer {
        let login = self.get(&self.authorize_url(client_id), &[]);
        assert_eq!(login.status, 303, "{}", login.text);
        self.get(login.header("location").unwrap(), &[("cookie", cookie)])
    }

    pub(crate) fn redeem(&self, client_id: &str, code: &str) -> Answer {
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", client_id),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.form_with("/oauth2/token", &[("origin", ORIGIN)], &parameters)
    }

    pub(crate) fn refresh(&self, client_id: &str, refresh_token: &str) -> Answer {
        let parameters = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", client_id),
        ];
        self.form_with("/oauth2/token", &[("origin", ORIGIN)], &parameters)
    }

    /// The tokens of a whole flow of the administrator's.
    pub(crate) fn tokens(&self, client_id: &str) -> Value {
        let code = self.authorize(client_id, &self.admin_cookie()).parameter("code").unwrap();
        let answer = self.redeem(client_id, &code);
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The program in a folder, without the environment of whoever runs the tests.
pub(crate) fn command_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GRANTOR_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(folder).env("GRANTOR_DATA", folder.join("data"));
    command
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The value of a field of a page's form.
pub(crate) fn field(page: &str, name: &str) -> String {
    let at = page.find(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("no {name}: {page}"));
    page[at..].split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// A part of a JWT: 0 is the header, 1 the claims.
pub(crate) fn part(jwt: &Value, n: usize) -> Value {
    use base64::Engine as _;
    let part = jwt.as_str().unwrap().split('.').nth(n).unwrap();
    let bytes = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The registration of the guide.
pub(crate) fn spa() -> Value {
    serde_json::json!({
        "name": "My Application",
        "clientType": "public",
        "redirectUris": [CALLBACK],
        "allowedOrigins": [ORIGIN],
        "grantTypes": ["authorization_code", "refresh_token"],
        "scopes": ["openid", "profile", "email"],
        "requirePkce": true,
        "requireConsent": false,
        "isFirstParty": true,
    })
}
