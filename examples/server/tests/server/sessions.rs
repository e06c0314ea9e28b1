//! Sessions and signing in, where somebody would have it otherwise.

use rusqlite::Connection;
use serde_json::json;

use crate::support::*;

fn database(server: &Server) -> Connection {
    Connection::open(server.data().join("accounts.db")).unwrap()
}

fn login_with(server: &Server, who: &(String, String), headers: &[(&str, &str)]) -> Answer {
    let body = json!({"email": who.0, "password": who.1}).to_string();
    let headers = [headers, &[("content-type", "application/json")]].concat();
    server.send("POST", "/v1/auth/login", &headers, &body)
}

fn is_signed_in(server: &Server, cookie: &str) -> bool {
    match server.get("/v1/me/profile", &[("cookie", cookie)]).status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

#[test]
fn proving_oneself_again_gives_a_new_cookie_and_the_old_one_is_dead() {
    let server = Server::new();
    let (client, person) = (server.register_spa(), server.person());
    let before = server.login(&person).cookie();
    let url = format!("{}&prompt=login", server.authorize_url(&client));
    let to_login = server.get(&url, &[]).header("location").unwrap().to_owned();
    let page = server.get(&to_login, &[("cookie", &before)]);
    assert!(page.text.contains("enter your password again"), "{}", page.text);
    let ticket = field(&page.text, "ticket");
    let fields = [("ticket", &*ticket), ("username", &*person.0), ("password", &*person.1)];
    let back = server.form_with("/login", &[("cookie", &before)], &fields);
    assert!(back.parameter("code").is_some(), "{}", back.text);
    let after = back.cookie();
    assert_ne!(after, before);
    assert!(is_signed_in(&server, &after) && !is_signed_in(&server, &before));
}

#[test]
fn two_cookies_of_the_sessions_name_are_none_for_pages_and_for_the_api() {
    let server = Server::new();
    let good = server.login(&server.person()).cookie();
    for both in [
        format!("{good}; cerb_sid=planted"),
        format!("cerb_sid=planted; {good}"),
        format!("{good}; {good}"),
    ] {
        assert!(!is_signed_in(&server, &both));
        let page = server.get("/account", &[("cookie", &both)]);
        assert_eq!((page.status, page.header("location")), (303, Some("/login?to=account")));
    }
    // In two lines, too.
    let lines = [("cookie", good.as_str()), ("cookie", "cerb_sid=planted")];
    assert_eq!(server.get("/v1/me/profile", &lines).status, 401);
    assert!(is_signed_in(&server, &format!("a=b; {good}; other_cerb_sid=x")));
}

#[test]
fn a_session_that_nobody_uses_ends_and_one_that_is_used_goes_on() {
    let server = Server::new();
    let (used, unused) =
        (server.login(&server.person()).cookie(), server.login(&server.admin()).cookie());
    let connection = database(&server);
    let back = |seconds: i64, admin: bool| {
        let sql = "UPDATE sessions SET last_seen = last_seen - ?1 * 1000 WHERE user_id IN
                   (SELECT id FROM users WHERE is_admin = ?2)";
        assert_eq!(connection.execute(sql, (seconds, admin)).unwrap(), 1);
    };
    back(1700, false);
    // Use moves the end.
    assert!(is_signed_in(&server, &used));
    back(1700, false);
    assert!(is_signed_in(&server, &used));
    back(1800, true);
    assert!(!is_signed_in(&server, &unused));
    let page = server.get("/account", &[("cookie", &unused)]);
    assert_eq!(page.header("location"), Some("/login?to=account"));
    let sql = "UPDATE sessions SET expires_at = 1 WHERE user_id IN (SELECT id FROM users WHERE NOT is_admin)";
    connection.execute(sql, ()).unwrap();
    assert!(!is_signed_in(&server, &used), "however busy it is");
}

#[test]
fn when_another_person_signs_in_in_a_browser_the_first_persons_session_is_over() {
    let server = Server::new();
    let client = server.register_spa();
    let sid = |cookie: &str| {
        let code = server.authorize(&client, cookie).parameter("code").unwrap();
        part(&server.redeem(&client, &code).json()["id_token"], 1)["sid"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = server.login(&server.person()).cookie();
    let first_sid = sid(&first);
    let second = login_with(&server, &server.admin(), &[("cookie", &first)]).cookie();
    assert!(!is_signed_in(&server, &first));
    assert_ne!(sid(&second), first_sid);
}

#[test]
fn a_password_that_is_set_on_the_command_line_ends_what_was_before() {
    let server = Server::new();
    let (client, person) = (server.register_spa(), server.person());
    let cookie = server.login(&person).cookie();
    let code = server.authorize(&client, &cookie).parameter("code").unwrap();
    let tokens = server.redeem(&client, &code).json();
    let set = server.command(&["user", "passwd", &person.0]).output().unwrap();
    assert!(set.status.success(), "{}", stderr(&set));
    assert!(!is_signed_in(&server, &cookie));
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    assert_eq!(server.get("/oauth2/userinfo", &[("authorization", &bearer)]).status, 401);
    let refreshed = server.refresh(&client, tokens["refresh_token"].as_str().unwrap());
    assert_eq!(refreshed.status, 400, "{}", refreshed.text);
    assert_eq!(server.login(&person).status, 401);
}

#[test]
fn the_owner_gets_in_from_a_browser_that_is_known_while_others_guess() {
    let server = Server::with(&[("GRANTOR_TRUSTED_PROXIES", "[\"127.0.0.1\"]")]);
    let (email, password) = server.person();
    let right = (email.clone(), password);
    let first = login_with(&server, &right, &[("x-forwarded-for", "198.51.100.1")]);
    let device = first
        .all("set-cookie")
        .into_iter()
        .find(|cookie| cookie.starts_with("cerb_device="))
        .unwrap();
    for attribute in ["Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=15552000"] {
        assert!(device.contains(attribute), "{device}");
    }
    let device = device.split(';').next().unwrap().to_owned();
    // A hundred and more guesses, from so many networks that no address is stopped.
    let wrong = (email, "a wrong one".to_owned());
    let (mut guesses, mut refused) = (0, 0);
    // Until nothing comes back any more between two of them.
    for n in 0..1000 {
        let network = format!("10.0.{}.{}", n / 256, n % 256);
        let answer = login_with(&server, &wrong, &[("x-forwarded-for", &network)]);
        assert!([401, 429].contains(&answer.status));
        guesses += u32::from(answer.status == 401);
        refused = if answer.status == 429 { refused + 1 } else { 0 };
        if refused == 5 {
            break;
        }
    }
    assert!(guesses >= 100 && refused == 5, "{guesses}");
    let elsewhere = ("x-forwarded-for", "198.51.100.77");
    let stranger = login_with(&server, &right, &[elsewhere]);
    assert_eq!(stranger.status, 429, "nobody is told that it was the right one");
    assert!(stranger.header("retry-after").is_some());
    let owner = login_with(&server, &right, &[elsewhere, ("cookie", &device)]);
    assert_eq!(owner.status, 200, "{}", owner.text);
    // It is known, so it gets no other cookie; and it opens nothing by itself.
    assert!(!owner.all("set-cookie").iter().any(|cookie| cookie.starts_with("cerb_device=")));
    assert_eq!(server.get("/v1/me/profile", &[("cookie", &device)]).status, 401);
    // A known browser guesses no more than ten times, and for nobody else.
    let tries = (0..15)
        .filter(|_| login_with(&server, &wrong, &[elsewhere, ("cookie", &device)]).status == 401);
    assert_eq!(tries.count(), 10);
    let admin = server.admin();
    let other = login_with(&server, &admin, &[elsewhere, ("cookie", &device)]);
    assert!(other.all("set-cookie").iter().any(|cookie| cookie.starts_with("cerb_device=")));
    // A new password forgets all browsers.
    let set = server.command(&["user", "passwd", &right.0]).output().unwrap();
    assert!(set.status.success());
    let known: i64 = database(&server)
        .query_row(
            "SELECT count(*) FROM devices JOIN users ON users.id = user_id WHERE email = ?1",
            [&right.0],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(known, 0);
}

#[test]
fn limits_begin_anew_with_the_process() {
    let mut server = Server::new();
    let (email, _) = server.person();
    let wrong = (email, "a wrong one".to_owned());
    let tries = |server: &Server| (0..15).filter(|_| server.login(&wrong).status == 401).count();
    assert_eq!(tries(&server), 10);
    // They are in memory: who can restart the server need not guess.
    server.stop();
    server.start();
    assert_eq!(tries(&server), 10);
}

#[test]
fn a_password_that_was_hashed_with_weaker_settings_is_hashed_anew_when_it_is_given() {
    use argon2::password_hash::PasswordHasher as _;
    let server = Server::new();
    let (email, password) = server.person();
    let weak = argon2::Params::new(19_456, 2, 1, None).unwrap();
    let weak = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, weak);
    let weak = weak.hash_password(password.as_bytes()).unwrap().to_string();
    let connection = database(&server);
    let sql = "UPDATE users SET password = ?2 WHERE email = ?1";
    assert_eq!(connection.execute(sql, [&email, &weak]).unwrap(), 1);
    let kept = || -> String {
        connection
            .query_row("SELECT password FROM users WHERE email = ?1", [&email], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(server.login(&(email.clone(), "a wrong one".to_owned())).status, 401);
    assert_eq!(kept(), weak, "a wrong one changes nothing");
    let cookie = server.login(&(email.clone(), password.clone())).cookie();
    let strong = kept();
    assert!(strong.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{strong}");
    // Nobody is signed out by it, and it is still the same password.
    assert!(is_signed_in(&server, &cookie));
    assert_eq!(server.login(&(email.clone(), password)).status, 200);
    assert_eq!(kept(), strong);
}

#[test]
fn a_password_that_cannot_be_one_is_neither_set_nor_looked_at() {
    let server = Server::new();
    let (email, password) = server.person();
    let cookie = server.login(&(email.clone(), password.clone())).cookie();
    let csrf = field(&server.get("/account", &[("cookie", &cookie)]).text, "csrf");
    let long = "x".repeat(513);
    for new in ["short", "", &long] {
        let fields = [("csrf", &*csrf), ("current_password", &*password), ("new_password", new)];
        let answer = server.form_with("/account", &[("cookie", &cookie)], &fields);
        assert_eq!(answer.status, 400, "{} characters", new.len());
        let body = json!({"email": "new@example.com", "password": new});
        assert_eq!(
            server.admin_api("POST", "users", &body).status,
            400,
            "{} characters",
            new.len()
        );
    }
    assert_eq!(server.login(&(email.clone(), long)).status, 401);
    assert_eq!(server.login(&(email, password)).status, 200);
}

#[test]
fn there_is_no_second_factor_and_nobody_pretends_that_there_is() {
    let server = Server::new();
    let (email, password) = server.person();
    let body = json!({"email": email, "password": password, "mfaToken": "123456"}).to_string();
    let signed_in =
        server.send("POST", "/v1/auth/login", &[("content-type", "application/json")], &body);
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    let cookie = signed_in.cookie();
    let profile = server.get("/v1/me/profile", &[("cookie", &cookie)]).json();
    assert_eq!(profile["mfaEnabled"], false, "{profile}");
    // The token says what was really done.
    let client = server.register_spa();
    let code = server.authorize(&client, &cookie).parameter("code").unwrap();
    let id_token = part(&server.redeem(&client, &code).json()["id_token"], 1);
    assert_eq!(id_token["amr"], json!(["pwd"]));
    // And an application that insists on more is told so after one more login, and not asked for ever.
    let claims = r#"{"id_token":{"acr":{"essential":true,"value":"gold"}}}"#;
    let claims: String = url::form_urlencoded::byte_serialize(claims.as_bytes()).collect();
    let asked = server.get(&format!("{}&claims={claims}", server.authorize_url(&client)), &[]);
    let page = server.get(asked.header("location").unwrap(), &[("cookie", &cookie)]);
    let ticket = field(&page.text, "ticket");
    let (email, password) = server.person();
    let fields = [("ticket", &*ticket), ("username", &*email), ("password", &*password)];
    let answer = server.form_with("/login", &[("cookie", &cookie)], &fields);
    let error = answer.parameter("error");
    assert_eq!(error.as_deref(), Some("unmet_authentication_requirements"), "{}", answer.text);
}

#[test]
fn a_flood_of_passwords_is_shed_and_tokens_are_issued_meanwhile() {
    let server = Server::new();
    let client = server.register_spa();
    let mut tokens = server.tokens(&client);
    let (port, wrong) = (server.port, "a wrong one");
    let busy = std::thread::scope(|threads| {
        let logins: Vec<_> = (0..200)
            .map(|n| {
                threads.spawn(move || {
                    // Each for another account: it is the work that is shed, not the guessing.
                    let body = json!({"email": format!("p{n}@example.com"), "password": wrong})
                        .to_string();
                    let mut answer = ureq::post(format!("http://127.0.0.1:{port}/v1/auth/login"))
                        .config()
                        .http_status_as_error(false)
                        .build()
                        .header("content-type", "application/json")
                        .send(body)
                        .unwrap();
                    let _ = answer.body_mut().read_to_string();
                    answer.status().as_u16()
                })
            })
            .collect();
        for _ in 0..10 {
            let answer = server.refresh(&client, tokens["refresh_token"].as_str().unwrap());
            assert_eq!(answer.status, 200, "{}", answer.text);
            tokens = answer.json();
        }
        logins.into_iter().map(|login| login.join().unwrap()).collect::<Vec<u16>>()
    });
    // An address has thirty tries at once; the others wait for their turn or are told to.
    assert!(busy.iter().all(|status| [401, 429, 503].contains(status)), "{busy:?}");
    assert!(busy.iter().filter(|status| **status == 401).count() <= 40, "{busy:?}");
    assert!(busy.contains(&429), "{busy:?}");
}
