//! The pages: forms that only their own session can post, and headers that protect them.

use serde_json::json;

use crate::support::*;

fn third_party(server: &Server, name: &str) -> String {
    let mut registration = spa();
    registration["name"] = json!(name);
    registration["isFirstParty"] = json!(false);
    registration["requireConsent"] = json!(true);
    server.admin_call("POST", "", &registration).string("clientId")
}

#[test]
fn a_person_signs_in_and_consents_by_plain_forms() {
    let server = Server::new();
    let client = third_party(&server, "Shop");
    let login = server.get(&server.authorize_url(&client), &[]);
    let page = server.get(login.header("location").unwrap(), &[]);
    assert_eq!(page.status, 200);
    assert!(page.text.contains("<h1>Sign in</h1>") && page.text.contains("<strong>Shop</strong>"));
    assert!(!page.text.contains("<script"));
    for (name, value) in [
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));

    let (email, password) = server.person();
    let ticket = field(&page.text, "ticket");
    let posted = server
        .form("/login", &[("ticket", &ticket), ("username", &email), ("password", &password)]);
    assert_eq!(posted.status, 303, "{}", posted.text);
    assert!(posted.header("location").unwrap().starts_with("/consent?ticket="));
    let cookie = posted.cookie();
    let me = [("cookie", cookie.as_str())];
    let consent = server.get(posted.header("location").unwrap(), &me);
    assert!(consent.text.contains("See your e-mail address") && consent.text.contains(&email));
    let csrf = field(&consent.text, "csrf");
    let decide = |headers: &[(&str, &str)], csrf: &str, decision: &str| {
        let fields = [("ticket", ticket.as_str()), ("csrf", csrf), ("decision", decision)];
        server.form_with("/consent", headers, &fields)
    };
    // Neither a guess, nor another session, nor a page of another site can decide.
    assert_eq!(decide(&me, "guess", "allow").status, 403);
    assert_eq!(decide(&[], &csrf, "allow").status, 403);
    let other = server.login(&server.admin()).cookie();
    assert_eq!(decide(&[("cookie", &other)], &csrf, "allow").status, 403);
    // A token that comes in a cookie proves nothing: sibling hosts can set cookies.
    let planted = format!("{cookie}; cerb_csrf={csrf}; csrf-token={csrf}; csrf={csrf}");
    for field in ["guess", ""] {
        assert_eq!(decide(&[("cookie", &planted)], field, "allow").status, 403);
    }
    let foreign = [me[0], ("sec-fetch-site", "cross-site")];
    assert_eq!(decide(&foreign, &csrf, "allow").status, 403);
    let foreign = [me[0], ("origin", "https://evil.example")];
    assert_eq!(decide(&foreign, &csrf, "allow").status, 403);
    // No GET approves.
    let get = server.get(&format!("/consent?ticket={ticket}&csrf={csrf}&decision=allow"), &me);
    assert_eq!((get.status, get.header("location")), (200, None));

    let first = decide(&me, &csrf, "allow");
    let code = first.parameter("code").unwrap();
    assert_eq!(server.redeem(&client, &code).status, 200);
    // Posting twice, or refusing afterwards, changes nothing: the first decision stands.
    assert_eq!(decide(&me, &csrf, "deny").status, 303);
    // It is remembered.
    assert!(server.authorize(&client, &cookie).parameter("code").is_some());
}

#[test]
fn refusing_goes_back_with_access_denied() {
    let server = Server::new();
    let client = third_party(&server, "Shop");
    let login = server.get(&server.authorize_url(&client), &[]);
    let ticket = login.header("location").unwrap().split_once("ticket=").unwrap().1.to_owned();
    let cancelled = server.form("/login", &[("ticket", &ticket), ("cancel", "1")]);
    assert_eq!(cancelled.parameter("error").as_deref(), Some("access_denied"));
    let cookie = server.login(&server.person()).cookie();
    let me = [("cookie", cookie.as_str())];
    let consent = server.get(&format!("/consent?ticket={ticket}"), &me);
    let csrf = field(&consent.text, "csrf");
    let fields = [("ticket", ticket.as_str()), ("csrf", &csrf), ("decision", "deny")];
    let denied = server.form_with("/consent", &me, &fields);
    assert_eq!(denied.parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(denied.parameter("state").as_deref(), Some("xyz"));
}

#[test]
fn cancelling_counts_also_after_another_tab_has_allowed_the_application() {
    let server = Server::new();
    let client = third_party(&server, "Shop");
    let cookie = server.login(&server.person()).cookie();
    let me = [("cookie", cookie.as_str())];
    let tab = || {
        let login = server.get(&server.authorize_url(&client), &[]);
        let ticket = login.header("location").unwrap().split_once("ticket=").unwrap().1.to_owned();
        let page = server.get(&format!("/consent?ticket={ticket}"), &me).text;
        (ticket, field(&page, "csrf"))
    };
    let decide = |(ticket, csrf): &(String, String), me: &[(&str, &str)], decision: &str| {
        let fields = [("ticket", &**ticket), ("csrf", &**csrf), ("decision", decision)];
        server.form_with("/consent", me, &fields)
    };
    let (first, second, third) = (tab(), tab(), tab());
    assert!(decide(&first, &me, "allow").parameter("code").is_some());
    let cancelled = decide(&second, &me, "deny");
    assert_eq!(cancelled.parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(cancelled.parameter("code"), None);
    // A page that was shown to one person is no decision of another, though they have allowed the application too.
    let other = server.admin_cookie();
    let other = [("cookie", other.as_str())];
    let login = server.get(&server.authorize_url(&client), &[]);
    let ticket = login.header("location").unwrap().split_once("ticket=").unwrap().1.to_owned();
    let page = server.get(&format!("/consent?ticket={ticket}"), &other).text;
    assert!(decide(&(ticket, field(&page, "csrf")), &other, "allow").parameter("code").is_some());
    assert_eq!(decide(&third, &other, "allow").status, 403);
}

#[test]
fn a_login_always_gets_a_new_session_and_ends_the_one_it_replaces() {
    let server = Server::new();
    let old = server.login(&server.person()).cookie();
    let (email, password) = server.admin();
    let fields = [("username", email.as_str()), ("password", &password)];
    let posted = server.form_with("/login", &[("cookie", &old)], &fields);
    assert_eq!((posted.status, posted.header("location")), (303, Some("/")));
    let new = posted.cookie();
    assert_ne!(old, new);
    assert_eq!(server.get("/v1/me/profile", &[("cookie", &old)]).status, 401);
    // An id of somebody's choosing is never adopted.
    let planted = "cerb_sid=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let posted = server.form_with("/login", &[("cookie", planted)], &fields);
    assert_ne!(posted.cookie(), planted);
}

#[test]
fn a_login_from_a_page_of_another_site_is_refused() {
    let server = Server::new();
    let (email, password) = server.admin();
    let fields = [("username", email.as_str()), ("password", &password)];
    for header in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let posted = server.form_with("/login", &[header], &fields);
        assert_eq!((posted.status, posted.header("set-cookie")), (403, None));
    }
}

#[test]
fn a_consent_page_decides_only_on_what_it_showed() {
    let server = Server::new();
    let client = third_party(&server, "Shop");
    let ask = |scope: &str| {
        let url = server.authorize_url(&client).replace("openid%20profile%20email", scope);
        server
            .get(&url, &[])
            .header("location")
            .unwrap()
            .split_once("ticket=")
            .unwrap()
            .1
            .to_owned()
    };
    server.admin_call("PATCH", &format!("/{client}"), &json!({"scopes": ["openid"]}));
    let ticket = ask("openid%20email");
    let cookie = server.login(&server.person()).cookie();
    let me = [("cookie", cookie.as_str())];
    let shown = server.get(&format!("/consent?ticket={ticket}"), &me).text;
    assert!(!shown.contains("e-mail address"), "{shown}");
    server.admin_call("PATCH", &format!("/{client}"), &json!({"scopes": ["openid", "email"]}));
    let csrf = field(&shown, "csrf");
    let fields = [("ticket", ticket.as_str()), ("csrf", &csrf), ("decision", "allow")];
    assert_eq!(server.form_with("/consent", &me, &fields).status, 403);
}

#[test]
fn an_application_of_another_organisation_gets_nobody_of_this_one() {
    let server = Server::new();
    let init = ["init", "--org", "evil", "--admin-email", "mallory@evil.example"];
    assert!(server.command(&init).output().unwrap().status.success());
    let add = [
        "client",
        "add",
        "--org",
        "evil",
        "--name",
        "Silent",
        "--first-party",
        "--public",
        "--redirect-uri",
        CALLBACK,
    ];
    let added = server.command(&add).output().unwrap();
    let client: serde_json::Value = serde_json::from_str(&stdout(&added)).unwrap();
    let client = client["clientId"].as_str().unwrap();
    let cookie = server.login(&server.person()).cookie();
    let page = server.authorize(client, &cookie);
    assert_eq!((page.status, page.header("location")), (200, None));
    assert!(page.text.contains("another organisation"), "{}", page.text);
    let url = format!("{}&prompt=none", server.authorize_url(client));
    let login = server.get(&url, &[]);
    let silent = server.get(login.header("location").unwrap(), &[("cookie", &cookie)]);
    assert_eq!(silent.parameter("error").as_deref(), Some("login_required"));
}

#[test]
fn wrong_passwords_are_limited_and_then_the_right_one_waits_too() {
    let server = Server::new();
    let (email, password) = server.person();
    for _ in 0..10 {
        assert_eq!(server.login(&(email.clone(), "wrong".into())).status, 401);
    }
    let limited = server.login(&(email.clone(), password.clone()));
    assert_eq!(limited.status, 429);
    assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    let page = server.form("/login", &[("username", &email), ("password", &password)]);
    assert!(page.text.contains("Too many tries") && page.header("set-cookie").is_none());
    assert_eq!(server.login(&server.admin()).status, 200);
}

#[test]
fn a_page_of_another_site_cannot_sign_anybody_out() {
    let server = Server::new();
    for (method, path) in
        [("POST", "/logout"), ("POST", "/v1/auth/logout"), ("DELETE", "/v1/auth/session")]
    {
        let foreign = [
            ("sec-fetch-site", "cross-site"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let answer = server.send(method, path, &foreign, "csrf=x");
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{path}");
    }
}

#[test]
fn names_and_hints_are_shown_as_text() {
    let server = Server::new();
    let client = third_party(&server, "<img src=x onerror=alert(1)>{{7*7}}");
    let hint = "login_hint=%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let login = server.get(&format!("{}&{hint}", server.authorize_url(&client)), &[]);
    let page = server.get(login.header("location").unwrap(), &[]).text;
    assert!(!page.contains("<img") && !page.contains("<script"), "{page}");
    assert!(page.contains("{{7*7}}") && page.contains("&#60;img"), "{page}");
}

#[test]
fn signing_out_needs_the_sessions_own_form() {
    let server = Server::new();
    let cookie = server.login(&server.person()).cookie();
    let me = [("cookie", cookie.as_str())];
    let home = server.get("/", &me);
    assert!(home.text.contains("Dana Demo"));
    assert_eq!(server.form_with("/logout", &me, &[("csrf", "guess")]).status, 403);
    let csrf = field(&home.text, "csrf");
    let done = server.form_with("/logout", &me, &[("csrf", &csrf)]);
    assert!(done.text.contains("You have been signed out"));
    assert!(!server.get("/", &me).text.contains("Dana Demo"));
}

#[test]
fn a_session_whose_time_has_run_out_is_not_ended_by_a_strangers_link() {
    let server = Server::new();
    let client = server.register_spa();
    let cookie = server.login(&server.person()).cookie();
    let me = [("cookie", cookie.as_str())];
    let code = server.authorize(&client, &cookie).parameter("code").unwrap();
    let token = server.redeem(&client, &code).string("refresh_token");
    let database = rusqlite::Connection::open(server.data().join("accounts.db")).unwrap();
    database.execute("UPDATE sessions SET last_seen = 1", []).unwrap();
    assert_eq!(server.get("/v1/me/profile", &me).status, 401);
    let page = server.get("/logout", &me).text;
    assert!(page.contains("id=\"logout-confirm\""), "{page}");
    assert_eq!(server.form_with("/logout", &me, &[("csrf", "guess")]).status, 403);
    let refreshed = server.refresh(&client, &token);
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    let done = server.form_with("/logout", &me, &[("csrf", &field(&page, "csrf"))]);
    assert!(done.text.contains("You have been signed out"));
    let token = refreshed.string("refresh_token");
    assert_eq!(server.refresh(&client, &token).string("error"), "invalid_grant");
}

#[test]
fn a_cookie_that_a_sibling_domain_has_planted_keeps_nobody_from_signing_out() {
    let server = Server::new();
    let cookie = server.login(&server.person()).cookie();
    let signed_in =
        |cookie: &str| server.get("/v1/me/profile", &[("cookie", cookie)]).status == 200;
    // Of two of the name, one is planted: they count as none.
    let both = format!("{cookie}; cerb_sid=planted");
    assert!(!signed_in(&both));
    // Cookies of others are passed over, whatever they hold.
    assert!(signed_in(&format!("theme=d\u{fc}ster; {cookie}")));
    let out = server.send("POST", "/v1/auth/logout", &[("cookie", &both)], "");
    assert_eq!(out.status, 200);
    assert!(!signed_in(&cookie), "they said that they wanted to be signed out");
}

#[test]
fn broken_tickets_are_a_page_and_no_crash() {
    let server = Server::new();
    for ticket in ["x", "AAAA", "%00", &"A".repeat(9000)] {
        for path in ["/login", "/consent"] {
            let page = server.get(&format!("{path}?ticket={ticket}"), &[]);
            assert_eq!(page.status, 400, "{path} {ticket}");
            assert!(page.text.contains("start again"), "{}", page.text);
        }
    }
}

#[test]
fn an_application_signs_its_own_person_out_and_a_stranger_must_ask() {
    let server = Server::new();
    let mut registration = spa();
    let bye = "https://myapp.example.com/bye";
    registration["postLogoutRedirectUris"] = json!([bye]);
    let client = server.admin_call("POST", "", &registration).string("clientId");
    let cookie = server.login(&server.person()).cookie();
    let me = [("cookie", cookie.as_str())];
    let code = server.authorize(&client, &cookie).parameter("code").unwrap();
    let id_token = server.redeem(&client, &code).string("id_token");
    let signed_in = || server.get("/v1/me/profile", &me).status == 200;

    // A link on any page: the person is asked, and nothing happens until they say yes.
    let asked = server.get("/oauth2/logout", &me);
    let page = server.get(asked.header("location").unwrap(), &me);
    assert!(page.text.contains("id=\"logout-confirm\"") && signed_in());
    let url = format!("/oauth2/logout?client_id={client}&post_logout_redirect_uri={bye}&state=s");
    let asked = server.get(&url, &me);
    let page = server.get(asked.header("location").unwrap(), &me);
    assert!(page.text.contains("My Application") && signed_in());
    let fields = [("ticket", field(&page.text, "ticket")), ("csrf", field(&page.text, "csrf"))];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(server.form_with("/logout", &me, &[fields[0], ("csrf", "guess")]).status, 403);
    let done = server.form_with("/logout", &me, &fields);
    assert_eq!(done.header("location"), Some("https://myapp.example.com/bye?state=s"));
    assert!(done.header("set-cookie").unwrap().contains("Max-Age=0") && !signed_in());

    // With an ID token of this session nobody is asked.
    let cookie = server.login(&server.person()).cookie();
    let me = [("cookie", cookie.as_str())];
    let code = server.authorize(&client, &cookie).parameter("code").unwrap();
    let fresh = server.redeem(&client, &code).string("id_token");
    let with = |hint: &str| {
        let asked = server.get(&format!("/oauth2/logout?id_token_hint={hint}"), &me);
        server.get(asked.header("location").unwrap(), &me)
    };
    assert!(with(&id_token).text.contains("logout-confirm"), "the hint of an older session asks");
    assert!(with(&fresh).text.contains("You have been signed out"));
    assert_eq!(server.get("/v1/me/profile", &me).status, 401);
    // Without a session there is nothing to ask.
    assert!(with(&fresh).text.contains("You have been signed out"));
}

#[test]
fn a_person_sees_their_sessions_and_consents_and_ends_them() {
    let server = Server::new();
    let client = third_party(&server, "Shop");
    let (here, there) =
        (server.login(&server.person()).cookie(), server.login(&server.person()).cookie());
    let (me, other) = ([("cookie", here.as_str())], [("cookie", there.as_str())]);
    let login = server.get(&server.authorize_url(&client), &[]);
    let ticket = login.header("location").unwrap().split_once("ticket=").unwrap().1.to_owned();
    let csrf = field(&server.get(&format!("/consent?ticket={ticket}"), &me).text, "csrf");
    let fields = [("ticket", ticket.as_str()), ("csrf", &csrf), ("decision", "allow")];
    let code = server.form_with("/consent", &me, &fields).parameter("code").unwrap();
    let tokens = server.redeem(&client, &code).json();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());

    let account = server.get("/account", &me);
    assert!(account.text.contains("Shop") && account.text.contains("This browser"));
    let csrf = field(&account.text, "csrf");
    let post = |csrf: &str, name: &str, value: &str| {
        server.form_with("/account", &me, &[("csrf", csrf), (name, value)]).status
    };
    assert_eq!(post("guess", "client_id", &client), 403);
    assert_eq!(server.get("/oauth2/userinfo", &[("authorization", &bearer)]).status, 200);
    assert_eq!(post(&csrf, "client_id", &client), 303);
    assert_eq!(server.get("/oauth2/userinfo", &[("authorization", &bearer)]).status, 401);
    assert!(!server.get("/account", &me).text.contains("Shop"));

    let listed = server.get("/v1/me/sessions", &me).json();
    let sessions = listed["data"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let not_here = sessions.iter().find(|session| session["current"] == false).unwrap();
    assert_eq!(not_here["ipAddress"], "127.0.0.1");
    let path = format!("/v1/me/sessions/{}", not_here["id"].as_str().unwrap());
    // Somebody else's session is none of mine.
    let admin = server.admin_cookie();
    assert_eq!(server.send("DELETE", &path, &[("cookie", &admin)], "").status, 404);
    assert_eq!(server.send("DELETE", &path, &me, "").status, 204);
    assert_eq!(server.get("/v1/me/profile", &other).status, 401);
    assert_eq!(server.get("/v1/me/profile", &me).status, 200);
    assert_eq!(server.get("/v1/me/sessions", &[]).status, 401);
    assert_eq!(server.get("/account", &[]).header("location"), Some("/login?to=account"));
}

#[test]
fn no_page_follows_a_url_of_the_query() {
    let server = Server::new();
    let client = server.register_spa();
    let login = server.get(&server.authorize_url(&client), &[]);
    let login = login.header("location").unwrap();
    let (email, password) = server.person();
    let cookie = server.login(&server.person()).cookie();
    let me = [("cookie", cookie.as_str())];
    for name in ["redirect_uri", "return_to", "returnTo", "next"] {
        let evil = format!("{name}=https://evil.example/");
        for url in [format!("/login?{evil}"), format!("{login}&{evil}"), format!("/logout?{evil}")]
        {
            let page = server.get(&url, &[]);
            assert_eq!((page.status, page.header("location")), (200, None), "{url}");
            assert!(!page.text.contains("evil"), "{url}");
        }
        assert_eq!(server.get(&format!("/login?{evil}"), &me).header("location"), Some("/"));
        let fields =
            [("username", &*email), ("password", &*password), (name, "https://evil.example/")];
        assert_eq!(server.form("/login", &fields).header("location"), Some("/"));
        for page in ["/login?", "/consent?"] {
            let done = server.get(&format!("{}&{evil}", login.replace("/login?", page)), &me);
            let location = done.header("location").unwrap();
            assert!(location.starts_with(&format!("{CALLBACK}?code=")), "{location}");
        }
    }
}

#[test]
fn an_access_token_is_no_login() {
    let server = Server::new();
    let client = server.register_spa();
    let tokens = server.tokens(&client);
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let token = [("authorization", bearer.as_str())];
    let visit = |url: &str| server.get(server.get(url, &token).header("location").unwrap(), &token);
    let page = visit(&server.authorize_url(&client));
    assert_eq!((page.status, page.header("location")), (200, None));
    assert!(page.text.contains("<h1>Sign in</h1>"));
    let silent = visit(&format!("{}&prompt=none", server.authorize_url(&client)));
    assert_eq!(silent.parameter("error").as_deref(), Some("login_required"));
    assert_eq!(server.get("/account", &token).header("location"), Some("/login?to=account"));
    assert_eq!(server.get("/v1/me/sessions", &token).status, 401);
}

#[test]
fn unknown_wrong_and_disabled_accounts_are_answered_alike() {
    let server = Server::new();
    let (email, password) = server.person();
    let said = |email: &str, password: &str| {
        let page = server.form("/login", &[("username", email), ("password", password)]);
        assert_eq!((page.status, page.header("set-cookie")), (200, None));
        let json = server.login(&(email.to_owned(), password.to_owned()));
        (page.text.replace(email, ""), json.status, json.text)
    };
    let wrong = said(&email, "wrong");
    assert_eq!(said("nobody@example.com", &password), wrong);
    let disabled = server.command(&["user", "disable", &email]).output().unwrap();
    assert!(disabled.status.success());
    assert_eq!(said(&email, &password), wrong);
}

#[test]
fn who_had_to_sign_in_first_comes_to_the_page_that_they_wanted() {
    let server = Server::new();
    let (email, password) = server.admin();
    for (wanted, page) in [("/admin/users", "/admin"), ("/account", "/account")] {
        let login = server.get(wanted, &[]);
        let login = server.get(login.header("location").unwrap(), &[]);
        let to = field(&login.text, "to");
        let fields = [("username", &*email), ("password", "wrong"), ("to", &*to)];
        assert_eq!(field(&server.form("/login", &fields).text, "to"), to);
        let fields = [("username", &*email), ("password", &*password), ("to", &*to)];
        assert_eq!(server.form("/login", &fields).header("location"), Some(page));
    }
    // A word of ours, never an address.
    for to in ["https://evil.example/", "//evil.example", "\\evil", "Admin"] {
        let fields = [("username", &*email), ("password", &*password), ("to", to)];
        assert_eq!(server.form("/login", &fields).header("location"), Some("/"), "{to}");
    }
}

#[test]
fn a_person_changes_their_password_and_whoever_knew_the_old_one_is_out() {
    let server = Server::new();
    let (email, old) = server.person();
    let elsewhere = server.login(&server.person()).cookie();
    let here = server.login(&server.person()).cookie();
    let me = [("cookie", here.as_str())];
    let csrf = field(&server.get("/account", &me).text, "csrf");
    let change = |current: &str, new: &str, csrf: &str| {
        let fields = [("csrf", csrf), ("current_password", current), ("new_password", new)];
        server.form_with("/account", &me, &fields)
    };
    let wrong = change("wrong", "a new password", &csrf);
    assert_eq!(wrong.status, 400);
    assert!(wrong.text.contains("current password is wrong"), "{}", wrong.text);
    assert!(change(&old, "short", &csrf).text.contains("at least 8 characters"));
    assert_eq!(change(&old, "a new password", "guess").status, 403);
    assert_eq!(server.get("/account", &[("cookie", &elsewhere)]).status, 200);
    let changed = change(&old, "a new password", &csrf);
    assert_eq!((changed.status, changed.header("location")), (303, Some("/account")));
    let fresh = changed.cookie();
    assert_eq!(server.get("/account", &[("cookie", &fresh)]).status, 200);
    for gone in [&elsewhere, &here] {
        assert_eq!(server.get("/account", &[("cookie", gone)]).status, 303);
    }
    assert_eq!(server.login(&(email.clone(), old)).status, 401);
    assert_eq!(server.login(&(email, "a new password".into())).status, 200);
}

#[test]
fn a_wrong_address_is_a_page_for_people_and_a_problem_for_programs() {
    let server = Server::new();
    let page = server.get("/nope", &[("accept", "text/html,application/xhtml+xml")]);
    assert_eq!(page.status, 404);
    assert!(page.text.contains("There is no page") && page.text.contains("href=\"/\""));
    let problem = server.get("/nope", &[("accept", "application/json")]);
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
}

#[test]
fn a_consent_page_says_where_the_person_goes_and_its_links_tell_nobody() {
    let server = Server::new();
    let mut client = spa();
    client["isFirstParty"] = serde_json::json!(false);
    client["requireConsent"] = serde_json::json!(true);
    client["policyUri"] = serde_json::json!("https://myapp.example.com/privacy");
    client["tosUri"] = serde_json::json!("https://myapp.example.com/terms");
    client["logoUri"] = serde_json::json!("https://images.example/logo.png");
    let made = server.admin_call("POST", "", &client);
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.string("clientId");
    let cookie = server.login(&server.person()).cookie();
    let to_login =
        server.get(&server.authorize_url(&id), &[]).header("location").unwrap().to_owned();
    let login = server.get(&to_login, &[]);
    let to_consent = server.get(&to_login, &[("cookie", &cookie)]);
    let consent = server.get(to_consent.header("location").unwrap(), &[("cookie", &cookie)]);
    assert!(consent.text.contains("myapp.example.com"), "{}", consent.text);
    for page in [&login, &consent] {
        for link in page.text.split("<a href=\"https://").skip(1) {
            let tag = link.split('>').next().unwrap();
            assert!(tag.contains("rel=\"noopener noreferrer\""), "{tag}");
        }
        assert_eq!(page.text.matches("<a href=\"https://").count(), 2, "{}", page.text);
        // By default no page loads anything from anywhere else.
        assert!(!page.text.contains("<img"), "{}", page.text);
        let policy = page.header("content-security-policy").unwrap();
        assert!(!policy.contains("images.example"), "{policy}");
        // Forms lead to this server and back to the application.
        assert!(policy.contains("form-action 'self' https://myapp.example.com;"), "{policy}");
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    }
    // Links that would run something are never registered.
    for member in ["policyUri", "tosUri", "logoUri"] {
        for bad in [
            "javascript:alert(1)",
            "http://myapp.example.com/",
            "data:text/html,x",
            "file:///etc/passwd",
        ] {
            let mut wrong = client.clone();
            wrong[member] = serde_json::json!(bad);
            assert_eq!(server.admin_call("POST", "", &wrong).status, 400, "{member}: {bad}");
        }
    }
}

#[test]
fn the_headers_of_a_page_are_those_of_its_kind() {
    let server = Server::new();
    let (client, cookie) = (server.register_spa(), server.login(&server.person()).cookie());
    for path in ["/", "/account", "/login", "/admin/clients", "/login?ticket=broken"] {
        let page = server.get(path, &[("cookie", &cookie), ("accept", "text/html")]);
        if page.status == 303 {
            continue;
        }
        let policy = page.header("content-security-policy").unwrap();
        if !path.contains("ticket") {
            assert!(policy.contains("; form-action 'self'; "), "{path}: {policy}");
            assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
        }
    }
    // Not where an application may have opened a window: it would lose it.
    let to_login =
        server.get(&server.authorize_url(&client), &[]).header("location").unwrap().to_owned();
    assert_eq!(server.get(&to_login, &[]).header("cross-origin-opener-policy"), None);
    let csrf = field(&server.get("/logout", &[("cookie", &cookie)]).text, "csrf");
    let out = server.form_with("/logout", &[("cookie", &cookie)], &[("csrf", &csrf)]);
    assert_eq!(out.header("clear-site-data"), Some("\"cache\""));
}
