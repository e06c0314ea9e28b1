//! What is written down: who did what, for an auditor; and nothing that anybody could use, anywhere.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::*;

/// The audit of a server, line by line.
fn audit(server: &Server) -> Vec<Value> {
    let text = std::fs::read_to_string(server.folder.path().join("audit.log")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn audited(settings: &[(&'static str, &str)]) -> Server {
    let mut server = Server::prepared(settings);
    let file = server.folder.path().join("audit.log").display().to_string();
    server.set("GRANTOR_LOG__AUDIT", &file);
    server.introduction = server.start();
    server
}

/// What a whole day makes: whatever was handed out or typed in it.
struct Day {
    secrets: Vec<(&'static str, String)>,
}

impl Day {
    fn keep(&mut self, what: &'static str, secret: impl Into<String>) -> String {
        let secret = secret.into();
        assert!(secret.len() > 7, "{what}: {secret}");
        self.secrets.push((what, secret.clone()));
        secret
    }

    fn keep_tokens(&mut self, tokens: &Value) {
        for name in ["access_token", "refresh_token", "id_token"] {
            if let Some(token) = tokens[name].as_str() {
                self.keep("a token", token);
                // Nor the part that proves it.
                self.keep("a part of a token", token.rsplit('.').next().unwrap());
            }
        }
    }
}

/// Everything that people, applications and administrators do, the wrong things too.
fn live(server: &Server) -> Day {
    let mut day = Day { secrets: Vec::new() };
    let (admin, person) = (server.admin(), server.person());
    day.keep("a password", &admin.1);
    day.keep("a password", &person.1);
    let wrong = day.keep("a wrong password", "a wrong password 4711");
    assert_eq!(server.login(&(person.0.clone(), wrong.clone())).status, 401);
    let nobody = day.keep("an address that nobody has", "nobody-4711@example.com");
    assert_eq!(server.login(&(nobody, wrong)).status, 401);
    let answer = server.login(&person);
    let cookies: Vec<String> = answer.all("set-cookie");
    for cookie in &cookies {
        let value = cookie.split(['=', ';']).nth(1).unwrap();
        day.keep("a cookie", value);
    }
    let cookie = answer.cookie();
    // An application, by an administrator.
    let answer = server.admin_call(
        "POST",
        "",
        &json!({
            "name": "Shop", "clientType": "confidential", "redirectUris": [CALLBACK],
            "grantTypes": ["authorization_code", "refresh_token", "client_credentials"],
            "scopes": ["openid", "profile", "email", "orders:read"],
        }),
    );
    assert_eq!(answer.status, 201, "{}", answer.text);
    let (id, first) = (answer.string("clientId"), answer.string("clientSecret"));
    day.keep("a client secret", &first);
    let rotated = server.admin_call("POST", &format!("/{id}/rotate-secret"), &json!({}));
    let secret = day.keep("a client secret", rotated.string("clientSecret"));
    // A person's way.
    let state = "state-of-the-application-4711";
    let nonce = day.keep("a nonce", "nonce-of-the-application-4711");
    let url = format!("{}&nonce={nonce}", server.authorize_url(&id))
        .replace("state=xyz", &format!("state={state}"));
    day.keep("a state", state);
    day.keep("a challenge", CHALLENGE);
    day.keep("a verifier", VERIFIER);
    let to_login = server.get(&url, &[]);
    day.keep("a ticket", to_login.parameter("ticket").unwrap());
    let to_consent = server.get(to_login.header("location").unwrap(), &[("cookie", &cookie)]);
    let page = server.get(to_consent.header("location").unwrap(), &[("cookie", &cookie)]);
    let csrf = day.keep("a form token", field(&page.text, "csrf"));
    let ticket = day.keep("a ticket", field(&page.text, "ticket"));
    let allow = [("ticket", &*ticket), ("csrf", &*csrf), ("decision", "allow")];
    let answer = server.form_with("/consent", &[("cookie", &cookie)], &allow);
    let code =
        day.keep("a code", answer.parameter("code").unwrap_or_else(|| panic!("{}", answer.text)));
    let with_secret = |parameters: &[(&str, &str)]| {
        let mut all = vec![("client_id", id.as_str()), ("client_secret", secret.as_str())];
        all.extend_from_slice(parameters);
        server.form("/oauth2/token", &all)
    };
    let redeem = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let tokens = with_secret(&redeem).json();
    day.keep_tokens(&tokens);
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let next =
        with_secret(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).json();
    day.keep_tokens(&next);
    let own = with_secret(&[("grant_type", "client_credentials")]).json();
    day.keep_tokens(&own);
    let bearer = format!("Bearer {}", next["access_token"].as_str().unwrap());
    assert_eq!(server.get("/oauth2/userinfo", &[("authorization", &bearer)]).status, 200);
    assert_eq!(server.get("/v1/me/profile", &[("authorization", &bearer)]).status, 200);
    // What goes wrong: a code twice, a wrong secret, a forged assertion, a token in a URL.
    assert_eq!(with_secret(&redeem).status, 400);
    let wrong = [
        ("client_id", &*id),
        ("client_secret", "secret_that-is-wrong-4711"),
        ("grant_type", "refresh_token"),
    ];
    assert_eq!(server.form("/oauth2/token", &wrong).status, 401);
    day.keep("a wrong client secret", "secret_that-is-wrong-4711");
    let assertion = day.keep("an assertion", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.forged4711");
    let forged = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &*assertion),
    ];
    assert_eq!(server.form("/oauth2/token", &forged).status, 401);
    let in_url = day.keep("a token in a URL", "token-in-a-url-4711");
    assert_eq!(server.get(&format!("/oauth2/userinfo?access_token={in_url}"), &[]).status, 400);
    let hint = [("id_token_hint", "hint.of.nobody4711")];
    server.form("/oauth2/logout", &hint);
    day.keep("a hint", "hint.of.nobody4711");
    // An application that registers itself.
    let headers = [("content-type", "application/json")];
    let metadata = json!({"redirect_uris": [CALLBACK], "client_name": "Self"}).to_string();
    let registered = server.send("POST", "/oauth2/register", &headers, &metadata);
    assert_eq!(registered.status, 201, "{}", registered.text);
    day.keep("a client secret", registered.string("client_secret"));
    day.keep("a registration token", registered.string("registration_access_token"));
    // People, by an administrator.
    let new = json!({"email": "cy@example.com", "name": "Cy"});
    let answer = server.admin_api("POST", "users", &new);
    assert_eq!(answer.status, 201, "{}", answer.text);
    day.keep("a made-up password", answer.string("password"));
    let cy = answer.string("id");
    let answer = server.admin_api("POST", &format!("users/{cy}/reset-password"), &json!({}));
    day.keep("a made-up password", answer.string("password"));
    assert_eq!(
        server.admin_api("PATCH", &format!("users/{cy}"), &json!({"isActive": false})).status,
        200
    );
    // Who is no administrator.
    let denied = [("cookie", cookie.as_str()), ("x-org-domain", "your-org")];
    assert_eq!(server.get("/v1/admin/clients", &denied).status, 403);
    // A person takes back, changes the password, and goes.
    let page = server.get("/account", &[("cookie", &cookie)]).text;
    let csrf = field(&page, "csrf");
    let taken = [("csrf", csrf.as_str()), ("client_id", id.as_str())];
    assert_eq!(server.form_with("/account", &[("cookie", &cookie)], &taken).status, 303);
    let new = day.keep("a new password", "a new password 4711");
    let change =
        [("csrf", csrf.as_str()), ("current_password", &*person.1), ("new_password", &*new)];
    let answer = server.form_with("/account", &[("cookie", &cookie)], &change);
    assert_eq!(answer.status, 303, "{}", answer.text);
    let cookie = answer.cookie();
    day.keep("a cookie", cookie.split('=').nth(1).unwrap());
    assert_eq!(server.send("POST", "/v1/auth/logout", &[("cookie", &cookie)], "").status, 200);
    assert_eq!(server.admin_call("DELETE", &format!("/{id}"), &Value::Null).status, 204);
    day
}

#[test]
fn the_audit_has_a_line_of_json_for_whatever_happens_and_says_who_did_it() {
    let mut server = audited(&[
        ("GRANTOR_REGISTRATION__MODE", "open"),
        ("GRANTOR_REGISTRATION__ORGANISATION", "your-org"),
    ]);
    live(&server);
    // Somebody comes with two cookies.
    server.get("/account", &[("cookie", "cerb_sid=a; cerb_sid=b")]);
    let verb = server.command(&["user", "disable", "cy@example.com"]).output().unwrap();
    assert!(verb.status.success(), "{}", stderr(&verb));
    let add = ["user", "add", "--org", "your-org", "--email", "di@example.com", "--admin"];
    let verb = server.command(&add).output().unwrap();
    assert!(verb.status.success(), "{}", stderr(&verb));
    // Only a look: it writes nothing, also not as somebody else.
    let verb = server.command(&["check-config"]).output().unwrap();
    assert!(verb.status.success(), "{}", stderr(&verb));
    server.stop();
    let lines = audit(&server);
    let names: BTreeSet<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    for expected in [
        "admin.denied",
        "client.created",
        "client.deleted",
        "client.secret_rotated",
        "code.redeemed",
        "code.replayed",
        "config.dangerous_switch",
        "consent.granted",
        "consent.withdrawn",
        "login.failure",
        "login.success",
        "password.changed",
        "request.refused",
        "server.started",
        "server.stopped",
        "session.cookie_conflict",
        "session.ended",
        "token.issued",
        "token.refreshed",
        "user.created",
        "user.changed",
        "user.disabled",
        "user.password_set",
    ] {
        assert!(names.contains(expected), "{expected} in {names:?}");
    }
    for line in &lines {
        let at = line["timestamp"].as_str().unwrap();
        assert!(at.ends_with('Z') && at.len() > 20, "{line}");
    }
    let of = |name: &'static str| lines.iter().filter(move |line| line["event"] == name);
    // The administrator's acts are the administrator's, and what a stranger tries is nobody's.
    // The demonstration and the application that has registered itself were made by nobody who was signed in.
    let admin = of("client.created").find_map(|line| line["span"]["actor"].as_str()).unwrap();
    for name in ["user.created", "client.secret_rotated", "client.deleted", "session.ended"] {
        let by_somebody = |line: &&Value| line["span"]["peer"].is_string();
        assert!(of(name).any(|line| by_somebody(&line)), "{name}");
        for line in of(name).filter(by_somebody) {
            if name != "session.ended" {
                assert_eq!(line["span"]["actor"], admin, "{line}");
            }
            assert_eq!(line["span"]["peer"], "127.0.0.1", "{line}");
            assert_eq!(line["span"]["id"].as_str().unwrap().len(), 36, "{line}");
        }
    }
    let failures: Vec<&Value> = of("login.failure").collect();
    assert_eq!(failures.len(), 2);
    assert!(failures.iter().all(|line| line["span"].get("actor").is_none()));
    assert!(failures[0]["subject"].is_string(), "which account it was about: {}", failures[0]);
    assert!(failures[1].get("subject").is_none(), "{}", failures[1]);
    let replayed = of("code.replayed").next().unwrap();
    assert!(replayed["grant"].is_string() && replayed["client_id"].is_string(), "{replayed}");
    for name in ["user.disabled", "user.created"] {
        let by_command = of(name).next_back().unwrap();
        assert_eq!(by_command["span"]["actor"], "command line", "{by_command}");
    }
    let made = of("user.created").next_back().unwrap();
    assert_eq!(made["is_admin"], true, "{made}");
}

#[cfg(unix)]
#[test]
fn the_audit_is_for_its_owner_alone_and_a_place_that_cannot_be_written_is_said_at_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = audited(&[]);
    let mode =
        std::fs::metadata(server.folder.path().join("audit.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let output =
        server.command(&[]).env("GRANTOR_LOG__AUDIT", "/nowhere/at/all.log").output().unwrap();
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("log.audit: /nowhere/at/all.log cannot be written"),
        "{}",
        stderr(&output)
    );
}

/// All files below a folder, as bytes.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push((path.display().to_string(), std::fs::read(&path).unwrap())),
        }
    }
}

#[test]
fn nothing_that_was_handed_out_or_typed_stands_in_a_log_a_measurement_or_a_file() {
    for storage in ["sqlite", "sled"] {
        let metrics = free_port();
        let address = format!("127.0.0.1:{metrics}");
        let mut server = audited(&[
            ("GRANTOR_REGISTRATION__MODE", "open"),
            ("GRANTOR_REGISTRATION__ORGANISATION", "your-org"),
            ("GRANTOR_STORAGE", storage),
            ("GRANTOR_METRICS", &address),
            // Whatever anybody might switch on to find a fault.
            ("GRANTOR_LOG__LEVEL", "trace"),
            ("GRANTOR_LOG__FORMAT", "json"),
        ]);
        let day = live(&server);
        let mut agent = ureq::get(format!("http://{address}/metrics")).call().unwrap();
        let metrics = agent.body_mut().read_to_string().unwrap();
        let log = server.stop();
        let mut seen = vec![
            ("the log".to_owned(), log.into_bytes()),
            ("the metrics".to_owned(), metrics.into_bytes()),
        ];
        files(server.folder.path(), &mut seen);
        assert!(seen.len() > 5 && seen.iter().all(|(name, _)| !name.is_empty()));
        assert!(day.secrets.len() > 30, "{}", day.secrets.len());
        for (place, bytes) in &seen {
            for (what, secret) in &day.secrets {
                // The engine remembers a challenge and a nonce until their code is redeemed, and shows neither.
                let is_bound =
                    ["a nonce", "a challenge"].contains(what) && place.contains("/data/");
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found || is_bound, "{what} ({secret}) stands in {place} on {storage}");
            }
        }
    }
}
