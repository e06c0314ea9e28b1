//! Applications learn that a session has ended, whatever happens to them or to the server meanwhile.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::*;

/// Looks again and again, for half a minute at most.
fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    panic!("{what} never happened");
}

/// Takes logout tokens at any path but those that hang.
struct Receiver {
    port: u16,
    bodies: Arc<Mutex<Vec<(String, String)>>>,
}

impl Receiver {
    fn on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let bodies: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let kept = bodies.clone();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n")
                        && socket.read(&mut byte).is_ok_and(|n| n > 0)
                    {
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                    let path = head.split(' ').nth(1).unwrap_or("").to_owned();
                    if path == "/hangs" {
                        // Until the caller gives up.
                        let _ = socket.read_to_end(&mut Vec::new());
                        return;
                    }
                    let length = head.split("content-length: ").nth(1).unwrap_or("0");
                    let length = length.split("\r\n").next().unwrap().parse().unwrap();
                    let mut body = vec![0; length];
                    let _ = socket.read_exact(&mut body);
                    kept.lock().unwrap().push((path, String::from_utf8(body).unwrap()));
                    let _ = socket.write_all(
                        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                    );
                });
            }
        });
        Self { port, bodies }
    }

    fn paths(&self) -> Vec<String> {
        self.bodies.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }
}

const LOOPBACK: (&str, &str) = ("GRANTOR_OUTGOING__ALLOW", "[\"127.0.0.0/8\"]");

/// Registers an application that is told here, and signs the administrator in to it.
fn joined(server: &Server, cookie: &str, uri: &str) -> String {
    let mut client = spa();
    client["backchannelLogoutUri"] = json!(uri);
    let headers =
        [("content-type", "application/json"), ("x-org-domain", "your-org"), ("cookie", cookie)];
    let answer = server.send("POST", "/v1/admin/clients", &headers, &client.to_string());
    assert_eq!(answer.status, 201, "{}", answer.text);
    let id = answer.string("clientId");
    assert!(server.authorize(&id, cookie).parameter("code").is_some());
    id
}

fn sign_out(server: &Server, cookie: &str) {
    let answer = server.send("POST", "/v1/auth/logout", &[("cookie", cookie)], "");
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[test]
fn an_application_that_is_away_is_told_once_it_is_back_though_the_server_was_killed() {
    for storage in ["sqlite", "sled"] {
        let port = free_port();
        let mut server = Server::with(&[LOOPBACK, ("GRANTOR_STORAGE", storage)]);
        let cookie = server.admin_cookie();
        joined(&server, &cookie, &format!("http://127.0.0.1:{port}/told"));
        sign_out(&server, &cookie);
        server.kill();
        let receiver = Receiver::on(port);
        server.start();
        eventually("the message", || receiver.paths().first().cloned());
        assert_eq!((receiver.port, receiver.paths().len()), (port, 1), "{storage}");
    }
}

#[test]
fn applications_that_hang_delay_no_other() {
    let receiver = Receiver::on(0);
    let server = Server::with(&[LOOPBACK]);
    let cookie = server.admin_cookie();
    let mut expected = BTreeSet::new();
    for n in 0..40 {
        let path = if n % 3 == 0 { "/hangs".to_owned() } else { format!("/told-{n}") };
        joined(&server, &cookie, &format!("http://127.0.0.1:{}{path}", receiver.port));
        if path != "/hangs" {
            expected.insert(path);
        }
    }
    let account = server.get("/account", &[("cookie", &cookie)]).text;
    assert!(account.contains("Signed in to My Application, My Application"), "{account}");
    sign_out(&server, &cookie);
    eventually("all that answer are told", || {
        let told: BTreeSet<String> = receiver.paths().into_iter().collect();
        (told == expected).then_some(())
    });
    assert_eq!(receiver.paths().len(), expected.len(), "each was told once");
}

#[test]
fn an_administrator_ends_a_session_and_its_applications_are_told() {
    let receiver = Receiver::on(0);
    let server = Server::with(&[LOOPBACK]);
    let person = server.login(&server.person());
    let cookie = person.cookie();
    let id = person_id(&server, &cookie);
    let mut client = spa();
    client["backchannelLogoutUri"] = json!(format!("http://127.0.0.1:{}/told", receiver.port));
    let client = server.admin_call("POST", "", &client).string("clientId");
    assert!(server.authorize(&client, &cookie).parameter("code").is_some());
    let admin = server.admin_cookie();
    let page = server.get(&format!("/admin/users/{id}"), &[("cookie", &admin)]).text;
    assert!(page.contains("Signed in to My Application."), "{page}");
    let path = format!("users/{id}/sessions");
    let sessions = server.admin_api("GET", &path, &Value::Null).json();
    let session = &sessions["data"][0];
    assert_eq!(session["applications"][0]["name"], "My Application");
    let session = session["id"].as_str().unwrap();
    let form = [("csrf", &*field(&page, "csrf")), ("session", session)];
    let done = server.form_with(&format!("/admin/users/{id}"), &[("cookie", &admin)], &form);
    assert_eq!(done.status, 303, "{}", done.text);
    assert_eq!(server.get("/v1/me/profile", &[("cookie", &cookie)]).status, 401);
    eventually("the message", || receiver.paths().first().cloned());
    let gone = server.admin_api("DELETE", &format!("{path}/{session}"), &Value::Null);
    assert_eq!(gone.status, 404);
    // Nobody but an administrator sees or ends them.
    let again = server.login(&server.person()).cookie();
    for (method, path) in [("GET", path.clone()), ("DELETE", format!("{path}/{session}"))] {
        let headers = [("x-org-domain", "your-org"), ("cookie", &*again)];
        assert_eq!(server.send(method, &format!("/v1/admin/{path}"), &headers, "").status, 403);
    }
}

#[test]
fn pages_that_sign_out_by_json_learn_which_frames_to_open() {
    let server = Server::new();
    let mut client = spa();
    let page = "https://myapp.example.com/signed-out";
    client["frontchannelLogoutUri"] = json!(page);
    let id = server.admin_call("POST", "", &client).string("clientId");
    let cookie = server.login(&server.person()).cookie();
    assert!(server.authorize(&id, &cookie).parameter("code").is_some());
    let out = server.send("POST", "/v1/auth/logout", &[("cookie", &cookie)], "").json();
    let frames = out["frontchannelLogoutUris"].as_array().unwrap();
    assert!(frames[0].as_str().unwrap().starts_with(&format!("{page}?iss=")), "{out}");
    let again = server.send("POST", "/v1/auth/logout", &[("cookie", &cookie)], "").json();
    assert_eq!(again, json!({"message": "Logged out successfully"}));
}

/// Who is signed in by a cookie.
fn person_id(server: &Server, cookie: &str) -> String {
    server.get("/v1/me/profile", &[("cookie", cookie)]).string("id")
}

#[test]
fn applications_are_told_when_a_session_is_ended_elsewhere_or_the_account_is_locked() {
    let receiver = Receiver::on(0);
    let server = Server::with(&[LOOPBACK]);
    let told = |n| eventually("the message", || (receiver.paths().len() >= n).then_some(()));
    let first = server.admin_cookie();
    joined(&server, &first, &format!("http://127.0.0.1:{}/first", receiver.port));
    // Signing in again in the same browser is no end of the session to its applications.
    let again = {
        let (email, password) = server.admin();
        let body = json!({"email": email, "password": password}).to_string();
        let headers = [("content-type", "application/json"), ("cookie", &*first)];
        server.send("POST", "/v1/auth/login", &headers, &body).cookie()
    };
    assert_ne!(again, first);
    // From another browser.
    let second = server.admin_cookie();
    let sessions = server.get("/v1/me/sessions", &[("cookie", &second)]).json();
    let other = sessions["data"].as_array().unwrap().iter().find(|one| one["current"] == false);
    let path = format!("/v1/me/sessions/{}", other.unwrap()["id"].as_str().unwrap());
    let ended = server.send("DELETE", &path, &[("cookie", &second)], "");
    assert_eq!(ended.status, 204, "{}", ended.text);
    told(1);
    // And when nobody may use the account any more.
    joined(&server, &second, &format!("http://127.0.0.1:{}/second", receiver.port));
    let disabled = server.command(&["user", "disable", &server.admin().0]).output().unwrap();
    assert!(disabled.status.success());
    told(2);
    assert_eq!(receiver.paths(), ["/first", "/second"]);
}

#[test]
fn nobody_is_told_at_an_address_that_is_not_public() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let mut server = Server::new();
    let cookie = server.admin_cookie();
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        joined(&server, &cookie, &format!("https://{host}:{port}/told"));
    }
    joined(&server, &cookie, "https://169.254.169.254/latest/meta-data");
    // What is not https is not even registered.
    let mut plain = spa();
    plain["backchannelLogoutUri"] = json!("http://myapp.example.com/logout");
    assert_eq!(server.admin_call("POST", "", &plain).status, 400);
    sign_out(&server, &cookie);
    let log = || {
        std::fs::read_to_string(server.folder.path().join(format!("log-{}", server.port))).unwrap()
    };
    eventually("four refusals", || {
        (log().matches("an application was not told of a sign-out").count() >= 4).then_some(())
    });
    assert!(listener.accept().is_err(), "somebody has connected");
    let log = server.stop();
    assert!(log.contains("not public"), "{log}");
}
