//! What strangers try with the pages: frames, forms of other pages, markup, odd bytes.

use serde_json::{Value, json};

use crate::support::*;

/// An authorization request of an application that asks people, as the ticket for its pages.
fn ticket(server: &Server, client: &str) -> String {
    let login = server.get(&server.authorize_url(client), &[]);
    login.header("location").unwrap().split_once("ticket=").unwrap().1.to_owned()
}

fn asking_client(server: &Server) -> String {
    let mut client = spa();
    client["isFirstParty"] = json!(false);
    client["requireConsent"] = json!(true);
    server.admin_call("POST", "", &client).string("clientId")
}

/// An application, and a person who has signed in to it: their cookie, and what it got.
fn joined(server: &Server) -> (String, String, Value) {
    let client = server.register_spa();
    let cookie = server.login(&server.person()).cookie();
    let code = server.authorize(&client, &cookie).parameter("code").unwrap();
    let tokens = server.redeem(&client, &code).json();
    (client, cookie, tokens)
}

#[test]
fn every_page_is_kept_out_of_frames_caches_and_histories_of_others() {
    let server = Server::new();
    let client = asking_client(&server);
    let (person, admin) = (server.login(&server.person()).cookie(), server.admin_cookie());
    let user = server.get("/v1/me/profile", &[("cookie", &person)]).string("id");
    let ticket = ticket(&server, &client);
    let pages = [
        ("", "/login".to_owned()),
        ("", format!("/login?ticket={ticket}")),
        ("", "/login?ticket=broken".to_owned()),
        ("", "/logout".to_owned()),
        ("", "/oauth2/authorize?client_id=unknown".to_owned()),
        ("", "/oauth2/authorize".to_owned()),
        (&*person, "/".to_owned()),
        (&*person, "/account".to_owned()),
        (&*person, "/logout".to_owned()),
        (&*person, format!("/consent?ticket={ticket}")),
        (&*person, "/admin/clients".to_owned()),
        (&*admin, "/admin/clients".to_owned()),
        (&*admin, "/admin/clients/new".to_owned()),
        (&*admin, format!("/admin/clients/{client}")),
        (&*admin, "/admin/users".to_owned()),
        (&*admin, format!("/admin/users/{user}")),
        (&*admin, "/admin/users/nobody".to_owned()),
    ];
    for (cookie, path) in pages {
        let page = server.get(&path, &[("cookie", cookie), ("accept", "text/html")]);
        assert!(page.header("content-type").unwrap().starts_with("text/html"), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        // No script at all, so nothing that is slipped in runs.
        assert!(!policy.contains("script-src"), "{path}: {policy}");
        for (name, value) in [
            ("x-frame-options", Some("DENY")),
            ("cache-control", Some("no-store")),
            ("referrer-policy", Some("no-referrer")),
            ("x-content-type-options", Some("nosniff")),
            ("server", None),
            ("x-powered-by", None),
        ] {
            assert_eq!(page.header(name), value, "{path}: {name}");
        }
        assert!(page.header("permissions-policy").unwrap().contains("camera=()"), "{path}");
    }
    // Who comes back after signing out is asked for the password.
    server.send("POST", "/v1/auth/logout", &[("cookie", &person)], "");
    let gone = server.get("/account", &[("cookie", &person)]);
    assert!(gone.header("location").unwrap().starts_with("/login"));
}

#[test]
fn a_form_token_is_for_one_page_one_request_and_one_session() {
    let server = Server::new();
    let client = asking_client(&server);
    let cookie = server.admin_cookie();
    let me = [("cookie", cookie.as_str())];
    let (first, second) = (ticket(&server, &client), ticket(&server, &client));
    let of = |path: &str| field(&server.get(path, &me).text, "csrf");
    let tokens = [
        ("account", of("/account")),
        ("logout", of("/logout")),
        ("administration", of("/admin/clients/new")),
        ("the consent to the first request", of(&format!("/consent?ticket={first}"))),
        ("the consent to the second request", of(&format!("/consent?ticket={second}"))),
    ];
    for (of, token) in &tokens {
        let token = token.as_str();
        let post = |path: &str, more: &[(&str, &str)]| {
            let fields = [&[("csrf", token)], more].concat();
            server.form_with(path, &me, &fields).status
        };
        if *of != "account" {
            assert_eq!(post("/account", &[("client_id", &client)]), 403, "{of} at the account");
        }
        if *of != "administration" {
            let new = [("email", "new@example.com"), ("name", "New")];
            assert_eq!(post("/admin/users/new", &new), 403, "{of} at the administration");
        }
        if *of != "the consent to the first request" {
            let decision = [("ticket", first.as_str()), ("decision", "allow")];
            assert_eq!(post("/consent", &decision), 403, "{of} at a consent");
        }
        if *of != "logout" {
            assert_eq!(post("/logout", &[]), 403, "{of} at signing out");
        }
        let headers = [
            ("cookie", cookie.as_str()),
            ("x-org-domain", "your-org"),
            ("content-type", "application/json"),
            ("x-csrf-token", token),
        ];
        let by_api = server.send("POST", "/v1/admin/users", &headers, r#"{"email":"a@b.example"}"#);
        assert_eq!(by_api.status, 403, "{of} at the API");
    }
    assert_eq!(server.get("/v1/me/profile", &me).status, 200, "nobody was signed out");
    let people = server.admin_api("GET", "users", &Value::Null).json();
    assert_eq!(people["total"], 2, "nobody was added");
}

#[test]
fn a_form_that_comes_from_elsewhere_or_in_another_dress_does_nothing() {
    let server = Server::new();
    let cookie = server.login(&server.person()).cookie();
    let me = ("cookie", cookie.as_str());
    let csrf = field(&server.get("/logout", &[me]).text, "csrf");
    let account = field(&server.get("/account", &[me]).text, "csrf");
    for foreign in [
        &[("origin", "https://evil.example")][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
    ] {
        let headers = [&[me], foreign].concat();
        let out = server.form_with("/logout", &headers, &[("csrf", &csrf)]);
        assert_eq!(out.status, 403, "{foreign:?}");
        let fields = [("csrf", account.as_str()), ("session", "x")];
        assert_eq!(server.form_with("/account", &headers, &fields).status, 403, "{foreign:?}");
        let (email, password) = server.person();
        let fields = [("username", &*email), ("password", &*password)];
        assert_eq!(server.form_with("/login", foreign, &fields).status, 403, "{foreign:?}");
    }
    for (content_type, body) in [
        ("text/plain", format!("csrf={csrf}")),
        ("application/json", json!({"csrf": csrf}).to_string()),
        (
            "multipart/form-data; boundary=x",
            format!("--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{csrf}\r\n--x--"),
        ),
    ] {
        let headers = [me, ("content-type", content_type)];
        let refused = server.send("POST", "/logout", &headers, &body);
        assert!((400..500).contains(&refused.status), "{content_type}: {}", refused.status);
    }
    assert_eq!(server.get("/v1/me/profile", &[me]).status, 200);
}

#[test]
fn names_of_people_and_browsers_are_shown_as_text() {
    let server = Server::new();
    let client = asking_client(&server);
    let markup = "<img src=x onerror=alert(1)>{{1234*4321}}${1234*4321}<%= 1234*4321 %>\"'";
    let new = json!({"email": "mallory@example.com", "name": markup, "password": "long enough"});
    let made = server.admin_api("POST", "users", &new);
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.string("id");
    let body = json!({"email": "mallory@example.com", "password": "long enough"}).to_string();
    let headers =
        [("content-type", "application/json"), ("user-agent", "<script>alert(1)</script>")];
    let cookie = server.send("POST", "/v1/auth/login", &headers, &body).cookie();
    let admin = server.admin_cookie();
    let consent = format!("/consent?ticket={}", ticket(&server, &client));
    let person = format!("/admin/users/{id}");
    let mut shown = 0;
    for (cookie, path) in [
        (&cookie, "/"),
        (&cookie, "/account"),
        (&cookie, "/logout"),
        (&cookie, &consent),
        (&admin, "/admin/users"),
        (&admin, &person),
        (&admin, "/admin/users?email=%3Cimg%20src%3Dx%3E%22"),
    ] {
        let page = server.get(path, &[("cookie", cookie)]).text;
        for live in ["<img src=x", "<script", "onerror=alert(1)>", "5332114"] {
            assert!(!page.contains(live), "{path} has {live}");
        }
        shown += usize::from(page.contains("&#60;img") || page.contains("&lt;img"));
    }
    assert!(shown >= 4, "the name is shown on {shown} pages");
    let failed = server.form("/login", &[("username", markup), ("password", "x")]);
    assert!(!failed.text.contains("<img src=x") && failed.text.contains("img src=x"));
}

#[test]
fn odd_bytes_and_the_languages_of_databases_sign_nobody_in() {
    let server = Server::new();
    let (email, password) = server.person();
    let odd = [
        "' OR 1=1 --",
        "\"; DROP TABLE users; --",
        "*)(uid=*",
        "admin@example.com\0",
        "%",
        "_",
        "{{7*7}}",
        &"a".repeat(2000),
    ];
    for name in odd {
        let body = json!({"email": name, "password": password}).to_string();
        let answer =
            server.send("POST", "/v1/auth/login", &[("content-type", "application/json")], &body);
        assert!([400, 401].contains(&answer.status), "{name:?}: {}", answer.status);
        let page = server.form("/login", &[("username", name), ("password", &password)]);
        assert!(page.header("set-cookie").is_none(), "{name:?}");
    }
    for body in ["username=a%00b&password=x", "username=%ff%fe&password=%ff", "username", "%zz=1"] {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = server.send("POST", "/login", &headers, body);
        assert!(answer.status < 500 && answer.header("set-cookie").is_none(), "{body}");
    }
    // The table is still there.
    assert_eq!(server.login(&(email, password)).status, 200);
}

#[test]
fn who_signs_in_is_whose_password_it_was() {
    let server = Server::new();
    let person = server.login(&server.person()).cookie();
    let (email, password) = server.admin();
    let body = json!({"email": email, "password": password}).to_string();
    let headers = [("content-type", "application/json"), ("cookie", &*person)];
    let signed_in = server.send("POST", "/v1/auth/login", &headers, &body);
    assert_eq!(signed_in.json()["user"]["email"], email);
    let now = server.get("/v1/me/profile", &[("cookie", &signed_in.cookie())]);
    assert_eq!(now.string("email"), email);
    assert_eq!(server.get("/v1/me/profile", &[("cookie", &person)]).status, 401);
    // A session is its cookie and nothing else.
    let token = signed_in.cookie().split_once('=').unwrap().1.to_owned();
    for (path, header) in [
        (format!("/v1/me/profile?cerb_sid={token}"), ("x-session", token.clone())),
        ("/v1/me/profile".to_owned(), ("authorization", format!("Bearer {token}"))),
        ("/v1/me/profile".to_owned(), ("cerb_sid", token)),
    ] {
        assert_eq!(server.get(&path, &[(header.0, &header.1)]).status, 401, "{path}");
    }
}

#[test]
fn guessing_on_the_account_page_has_the_limits_of_signing_in() {
    let server = Server::new();
    let (_, password) = server.person();
    let (client, cookie, tokens) = joined(&server);
    let me = [("cookie", cookie.as_str())];
    let change = |current: &str| {
        let csrf = field(&server.get("/account", &me).text, "csrf");
        let fields =
            [("csrf", &*csrf), ("current_password", current), ("new_password", "a new long one")];
        server.form_with("/account", &me, &fields)
    };
    // Whoever knows it ends everything that was got by the old one.
    let mut tries = 0;
    while !change("wrong").text.contains("Too many tries") {
        tries += 1;
        assert!(tries < 30, "nobody has stopped it");
    }
    assert!(change(&password).text.contains("Too many tries"), "the right one waits too");
    let token = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(server.refresh(&client, token).status, 200, "nothing has changed");
}

#[test]
fn a_password_that_is_changed_ends_what_applications_have() {
    let server = Server::new();
    let (_, password) = server.person();
    let (client, cookie, tokens) = joined(&server);
    let me = [("cookie", cookie.as_str())];
    let csrf = field(&server.get("/account", &me).text, "csrf");
    let fields =
        [("csrf", &*csrf), ("current_password", &*password), ("new_password", "a new long one")];
    assert_eq!(server.form_with("/account", &me, &fields).status, 303);
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    assert_eq!(server.get("/oauth2/userinfo", &[("authorization", &bearer)]).status, 401);
    let refreshed = server.refresh(&client, tokens["refresh_token"].as_str().unwrap());
    assert_eq!(refreshed.string("error"), "invalid_grant");
}
