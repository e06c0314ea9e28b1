//! What an operator sees of a running server: its log, its measurements, how it behaves behind a
//! proxy.

use std::io::Read as _;
use std::net::TcpListener;

use crate::support::*;

#[test]
fn every_answer_has_an_id_by_which_its_log_lines_are_found() {
    let mut server = Server::new();
    let mine = [("x-request-id", "mine-4711")];
    let refused = server.send("POST", "/oauth2/token?code=in-the-query", &mine, "");
    let id = refused.header("x-request-id").unwrap().to_owned();
    assert_eq!(id.len(), 36, "{id}");
    let (email, password) = server.person();
    let login = server.login(&(email, password.clone()));
    let other = login.header("x-request-id").unwrap().to_owned();
    assert_ne!(id, other);
    let cookie = login.cookie();
    let log = server.stop();
    // What the engine refused, and the answer.
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
    assert!(lines.iter().any(|line| line.contains("refused")), "{log}");
    assert!(lines.iter().any(|line| line.contains("answered")), "{log}");
    assert!(log.contains(&other), "{log}");
    let session = cookie.split_once('=').unwrap().1;
    for secret in ["mine-4711", "in-the-query", &password, session] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[test]
fn measurements_have_their_own_port_and_no_labels_of_strangers() {
    let metrics = format!("127.0.0.1:{}", free_port());
    let server = Server::with(&[("GRANTOR_METRICS", &metrics)]);
    let client = server.register_spa();
    server.tokens(&client);
    server.login(&("nobody@example.com".into(), "wrong".into()));
    server.get("/made-up/by-a-stranger?x=1", &[]);
    server.send("BREW", "/health", &[], "");
    let mut body = ureq::get(&format!("http://{metrics}/metrics")).call().unwrap().into_body();
    let text = body.read_to_string().unwrap();
    for line in [
        r#"grantor_events_total{event="code_redeemed"} 1"#,
        r#"grantor_events_total{event="client_created"} 4"#,
        r#"grantor_logins_total{outcome="wrong"} 1"#,
        r#"grantor_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"grantor_http_requests_total{method="other",route="/health",status="405"} 1"#,
        r#"grantor_http_request_seconds_count{route="/oauth2/token"} 1"#,
        r#"grantor_http_request_seconds_bucket{route="/oauth2/token",le="+Inf"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("stranger") && !text.contains("BREW") && !text.contains(&client));
    assert_eq!(server.get("/metrics", &[]).status, 404);
}

#[test]
fn a_busy_port_for_measurements_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = Server::prepared(&[("GRANTOR_METRICS", &address)]);
    let output = server.command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(&address) && said.contains("GRANTOR_METRICS"), "{said}");
    assert!(!server.data().exists());
}

#[test]
fn traces_go_to_the_configured_collector() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", collector.local_addr().unwrap());
    let mut server = Server::with(&[("GRANTOR_OTLP", &address)]);
    let id = server.get("/health", &[]).header("x-request-id").unwrap().to_owned();
    let took = std::thread::spawn(move || {
        let (mut stream, _) = collector.accept().unwrap();
        let mut taken = Vec::new();
        let mut buffer = [0; 65536];
        // Headers and body; then the exporter waits for the answer.
        while !taken.windows(id.len()).any(|window| window == id.as_bytes()) {
            let n = stream.read(&mut buffer).unwrap();
            assert!(n > 0, "the trace is not in what was sent");
            taken.extend_from_slice(&buffer[..n]);
        }
        taken
    });
    server.stop();
    assert!(took.join().unwrap().starts_with(b"POST /v1/traces "));
}

#[test]
fn behind_a_proxy_cookies_and_browsers_are_held_to_tls() {
    let issuer = "https://id.example.com";
    let mut server = Server::prepared(&[("GRANTOR_ISSUER", issuer)]);
    let init = ["init", "--org", "acme", "--admin-email", "ada@acme.example"];
    let mut init = server.command(&init);
    let init = init.env("GRANTOR_ADMIN_PASSWORD", "correct horse").output().unwrap();
    assert!(init.status.success(), "{}", stderr(&init));
    server.start();
    let login = server.login(&("ada@acme.example".into(), "correct horse".into()));
    assert!(login.header("set-cookie").unwrap().contains("; Secure"));
    let strict = "strict-transport-security";
    assert_eq!(login.header(strict), Some("max-age=15552000"));
    assert!(server.get("/nowhere", &[]).header(strict).is_some());
    assert_eq!(Server::new().get("/", &[]).header(strict), None);
}

#[test]
fn people_behind_a_proxy_are_told_apart_by_the_address_that_it_names() {
    let server = Server::with(&[("GRANTOR_TRUSTED_PROXIES", "[\"127.0.0.1\"]")]);
    let try_from = |address: &str, password: &str| {
        let body = serde_json::json!({"email": server.person().0, "password": password});
        let headers = [("content-type", "application/json"), ("x-forwarded-for", address)];
        server.send("POST", "/v1/auth/login", &headers, &body.to_string()).status
    };
    for _ in 0..10 {
        assert_eq!(try_from("192.0.2.1", "wrong"), 401);
    }
    assert_eq!(try_from("192.0.2.1", "wrong"), 429);
    // What a stranger writes in front of the proxy's word changes nothing.
    assert_eq!(try_from("198.51.100.7, 192.0.2.1", "wrong"), 429);
    let (_, password) = server.person();
    assert_eq!(try_from("192.0.2.2", &password), 200);
    let cookie = server.login(&server.person()).cookie();
    let sessions = server.get("/v1/me/sessions", &[("cookie", &cookie)]).text;
    assert!(sessions.contains("\"ipAddress\":\"192.0.2.2\""), "{sessions}");
    // Without a trusted proxy nobody's word is taken.
    let server = Server::new();
    let headers = [("content-type", "application/json"), ("x-forwarded-for", "192.0.2.9")];
    let (email, password) = server.person();
    let body = serde_json::json!({"email": email, "password": password}).to_string();
    let cookie = server.send("POST", "/v1/auth/login", &headers, &body).cookie();
    let sessions = server.get("/v1/me/sessions", &[("cookie", &cookie)]).text;
    assert!(sessions.contains("\"ipAddress\":\"127.0.0.1\""), "{sessions}");
}

#[test]
fn a_hangup_ends_nothing() {
    let server = Server::new();
    let pid = server.pid().to_string();
    let sent = std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    assert!(sent.success());
    // Signals are delivered before the next answer at the latest.
    for _ in 0..5 {
        assert_eq!(server.get("/health", &[]).status, 200);
    }
}

#[test]
fn a_failure_inside_shows_as_a_fixed_sentence_outside() {
    let mut server = Server::new();
    let (client, cookie) = (server.register_spa(), server.admin_cookie());
    let to_login =
        server.get(&server.authorize_url(&client), &[]).header("location").unwrap().to_owned();
    let database = rusqlite::Connection::open(server.data().join("accounts.db")).unwrap();
    database.execute_batch("PRAGMA foreign_keys = OFF; ALTER TABLE users RENAME TO gone;").unwrap();
    let headers = [
        ("cookie", cookie.as_str()),
        ("x-org-domain", "your-org"),
        ("content-type", "application/json"),
    ];
    let mut answers = Vec::new();
    for path in [
        "/account",
        "/admin/users",
        "/",
        "/v1/me/profile",
        "/v1/admin/clients",
        "/v1/me/sessions",
        &to_login,
    ] {
        answers.push((path.to_owned(), server.get(path, &headers)));
    }
    let body = "{\"email\": \"a@b.example\", \"password\": \"whatever it is\"}";
    answers.push(("a login".into(), server.send("POST", "/v1/auth/login", &headers, body)));
    answers.push((
        "a login form".into(),
        server.form("/login", &[("username", "a"), ("password", "b")]),
    ));
    for (path, answer) in &answers {
        assert_eq!(answer.status, 503, "{path}: {}", answer.text);
        let text = answer.text.to_lowercase();
        let folder = server.data().display().to_string().to_lowercase();
        for inner in
            ["sql", "users", "table", "accounts.db", "rusqlite", "panicked", "src/", &folder]
        {
            assert!(!text.contains(inner), "{path}: {inner} in {text}");
        }
    }
    // The operator learns it.
    let log = server.stop();
    assert!(log.contains("no such table"), "{log}");
}

#[test]
fn no_page_tells_which_program_in_which_version_it_is() {
    let server = Server::new();
    for path in [
        "/",
        "/login",
        "/health",
        "/v1/me/profile",
        "/nothing",
        "/assets/style.css",
        "/oauth2/jwks.json",
    ] {
        let answer = server.get(path, &[("accept", "text/html")]);
        for header in ["server", "x-powered-by", "via"] {
            assert_eq!(answer.header(header), None, "{path}");
        }
        assert!(!answer.text.contains(env!("CARGO_PKG_VERSION")), "{path}: {}", answer.text);
    }
    let health = server.get("/health", &[]).json();
    let names: Vec<&String> = health.as_object().unwrap().keys().collect();
    assert_eq!(names, ["status", "timestamp"]);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_said_at_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (mode, is_said) in [(0o644, true), (0o600, false)] {
        let mut server = Server::prepared(&[]);
        let folder = server.folder.path().to_owned();
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        server.set("GRANTOR_TLS__CERTIFICATE", &certificate.display().to_string());
        server.set("GRANTOR_TLS__KEY", &key.display().to_string());
        server.introduction = server.start();
        // It takes part by now: a wish to stop is heard.
        let mut plain = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        std::io::Write::write_all(&mut plain, b"no TLS at all\r\n\r\n").unwrap();
        let _ = plain.read_to_end(&mut Vec::new());
        let log = server.stop();
        assert_eq!(log.contains("can be read by others"), is_said, "{mode:o}: {log}");
        assert_eq!(log.contains("key.pem"), is_said, "{log}");
    }
}
