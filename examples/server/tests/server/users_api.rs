//! `/v1/admin/users`: the people of an administrator's organisation.

use serde_json::{Value, json};

use crate::support::*;

fn add(server: &Server, body: &Value) -> Answer {
    server.admin_api("POST", "users", body)
}

#[test]
fn a_person_is_added_and_signs_in_with_the_password_that_is_shown_once() {
    let server = Server::new();
    let added = add(&server, &json!({"email": "Bo@Example.com", "name": "Bo Example"}));
    assert_eq!(added.status, 201, "{}", added.text);
    let (id, password) = (added.string("id"), added.string("password"));
    assert_eq!(
        (&added.json()["isAdmin"], &added.json()["isActive"]),
        (&json!(false), &json!(true))
    );
    let bo = ("bo@example.com".to_owned(), password.clone());
    assert_eq!(server.login(&bo).json()["user"]["name"], "Bo Example");
    let shown = server.admin_api("GET", &format!("users/{id}"), &json!(null));
    assert_eq!(shown.json()["email"], "bo@example.com");
    assert!(!shown.text.contains("password") && !shown.text.contains(&password));
    let chosen = json!({"email": "cy@example.com", "password": "a long password"});
    assert_eq!(add(&server, &chosen).json()["password"], json!(null));
    let cy = ("cy@example.com".to_owned(), "a long password".to_owned());
    assert_eq!(server.login(&cy).status, 200);
}

#[test]
fn of_people_elsewhere_an_administrator_learns_only_that_an_address_is_in_use() {
    let server = Server::new();
    let init = ["init", "--org", "elsewhere", "--admin-email", "zoe@elsewhere.example"];
    let made = server.command(&init).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let taken = add(&server, &json!({"email": "Zoe@elsewhere.example", "name": "Impostor"}));
    let own = add(&server, &json!({"email": server.admin().0}));
    assert_eq!((taken.status, &taken.text), (409, &own.text), "as of one's own");
    let listed = server.admin_api("GET", "users?filter[email]=elsewhere", &json!(null));
    assert_eq!((listed.status, &listed.json()["total"]), (200, &json!(0)));
    assert!(!listed.text.contains("zoe"));
}

#[test]
fn people_are_listed_in_pages_and_found_by_a_part_of_their_address() {
    let server = Server::new();
    for n in 0..5 {
        add(&server, &json!({"email": format!("list{n}@example.com"), "password": "12345678"}));
    }
    let list = |query: &str| {
        let answer = server.admin_api("GET", &format!("users{query}"), &json!(null));
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    assert_eq!(list("")["total"], 7);
    let page = list("?page=2&per_page=2&filter[email]=LIST");
    assert_eq!(page["total"], 5);
    let emails: Vec<&str> =
        page["data"].as_array().unwrap().iter().map(|u| u["email"].as_str().unwrap()).collect();
    assert_eq!(emails, ["list2@example.com", "list3@example.com"]);
    assert!(list("?page=9")["data"].as_array().unwrap().is_empty());
    for bad in ["?page=0", "?page=x", "?per_page=201", "?per_page=0"] {
        let answer = server.admin_api("GET", &format!("users{bad}"), &json!(null));
        assert_eq!(answer.status, 400, "{bad}");
    }
}

#[test]
fn locking_out_ends_sessions_and_tokens_and_a_new_password_ends_the_old() {
    let server = Server::new();
    let client = server.register_spa();
    let added = add(&server, &json!({"email": "bo@example.com"}));
    let id = added.string("id");
    let bo = ("bo@example.com".to_owned(), added.string("password"));
    let cookie = server.login(&bo).cookie();
    let code = server.authorize(&client, &cookie).parameter("code").unwrap();
    let tokens = server.redeem(&client, &code);
    let change = |body: Value| server.admin_api("PATCH", &format!("users/{id}"), &body);
    assert_eq!(change(json!({"isActive": false})).json()["isActive"], false);
    assert_eq!(server.login(&bo).status, 401);
    assert_eq!(server.get("/v1/me/profile", &[("cookie", &cookie)]).status, 401);
    assert_eq!(server.refresh(&client, &tokens.string("refresh_token")).status, 400);
    assert_eq!(change(json!({"isActive": true})).json()["isActive"], true);
    assert_eq!(server.login(&bo).status, 200);
    // What ended stays ended.
    assert_eq!(server.refresh(&client, &tokens.string("refresh_token")).status, 400);
    let cookie = server.login(&bo).cookie();
    let reset = server.admin_api("POST", &format!("users/{id}/reset-password"), &json!(null));
    let new = (bo.0.clone(), reset.string("password"));
    assert_eq!(server.get("/v1/me/profile", &[("cookie", &cookie)]).status, 401);
    assert_eq!((server.login(&bo).status, server.login(&new).status), (401, 200));
    // Changing a name ends nothing.
    let cookie = server.login(&new).cookie();
    assert_eq!(change(json!({"name": " Bo B. "})).json()["name"], "Bo B.");
    let profile = server.get("/v1/me/profile", &[("cookie", &cookie)]);
    assert_eq!(profile.json()["name"], "Bo B.");
    assert_eq!(change(json!({"name": ""})).json()["name"], json!(null));
}

#[test]
fn administration_is_given_and_taken_but_not_from_oneself() {
    let server = Server::new();
    let added = add(&server, &json!({"email": "bo@example.com"}));
    let bo = ("bo@example.com".to_owned(), added.string("password"));
    let id = added.string("id");
    let cookie = server.login(&bo).cookie();
    let headers = [("x-org-domain", "your-org"), ("cookie", cookie.as_str())];
    let users = |status: u16| {
        assert_eq!(server.get("/v1/admin/users", &headers).status, status);
    };
    users(403);
    server.admin_api("PATCH", &format!("users/{id}"), &json!({"isAdmin": true}));
    users(200);
    server.admin_api("PATCH", &format!("users/{id}"), &json!({"isAdmin": false}));
    users(403);
    // Also when somebody else could give it back.
    server.admin_api("PATCH", &format!("users/{id}"), &json!({"isAdmin": true}));
    let me = server.get("/v1/me/profile", &[("cookie", &server.admin_cookie())]).string("id");
    for taken in [json!({"isAdmin": false}), json!({"isActive": false})] {
        assert_eq!(server.admin_api("PATCH", &format!("users/{me}"), &taken).status, 409);
    }
    assert_eq!(
        server.admin_api("PATCH", &format!("users/{me}"), &json!({"name": "A"})).status,
        200
    );
}

#[test]
fn two_administrators_who_take_it_from_each_other_leave_one() {
    let server = Server::new();
    let second = json!({"email": "second@example.com", "password": "long enough", "isAdmin": true});
    let second_id = add(&server, &second).string("id");
    let first_id = server.get("/v1/me/profile", &[("cookie", &server.admin_cookie())]).string("id");
    let sign_in = |email: &str, password: &str| {
        let body = json!({"email": email, "password": password}).to_string();
        server
            .send("POST", "/v1/auth/login", &[("content-type", "application/json")], &body)
            .cookie()
    };
    let (email, password) = server.admin();
    for change in [json!({"isAdmin": false}), json!({"isActive": false})] {
        for _ in 0..10 {
            let cookies =
                [sign_in(&email, &password), sign_in("second@example.com", "long enough")];
            let change = &change.to_string();
            let take = |cookie: &str, id: &str| {
                let headers = [
                    ("content-type", "application/json"),
                    ("x-org-domain", "your-org"),
                    ("cookie", cookie),
                ];
                server.send("PATCH", &format!("/v1/admin/users/{id}"), &headers, change).status
            };
            let [first, second] = std::thread::scope(|scope| {
                let first = scope.spawn(|| take(&cookies[0], &second_id));
                let second = scope.spawn(|| take(&cookies[1], &first_id));
                [first.join().unwrap(), second.join().unwrap()]
            });
            // Who comes second may nothing any more, or is told that nobody would be left.
            let (winner, loser, lost) = match (first, second) {
                (200, 401 | 403 | 409) => (&cookies[0], second, &second_id),
                (401 | 403 | 409, 200) => (&cookies[1], first, &first_id),
                other => panic!("{other:?}"),
            };
            assert!([401, 403, 409].contains(&loser));
            let back = json!({"isAdmin": true, "isActive": true}).to_string();
            let headers = [
                ("content-type", "application/json"),
                ("x-org-domain", "your-org"),
                ("cookie", winner.as_str()),
            ];
            let path = format!("/v1/admin/users/{lost}");
            assert_eq!(server.send("PATCH", &path, &headers, &back).status, 200);
        }
    }
}

#[test]
fn mistakes_are_named_and_strangers_people_do_not_exist() {
    let server = Server::new();
    for (body, status, word) in [
        (json!({"email": "nobody"}), 400, "email"),
        (json!({"email": "a@b", "password": "short"}), 400, "8 characters"),
        (json!({"email": "dana@example.com"}), 409, "in use"),
        (json!({"email": "a@b", "admin": true}), 400, "unknown field"),
        (json!({"email": "a@b", "name": "a\u{7}b"}), 400, "name"),
    ] {
        let answer = add(&server, &body);
        assert_eq!(answer.status, status, "{body} {}", answer.text);
        assert!(answer.string("detail").contains(word), "{}", answer.text);
    }
    let init = ["init", "--org", "other", "--admin-email", "eve@example.com"];
    let mut init = server.command(&init);
    let init = init.env("GRANTOR_ADMIN_PASSWORD", "correct horse").output().unwrap();
    assert!(init.status.success(), "{}", stderr(&init));
    let eve = server.login(&("eve@example.com".into(), "correct horse".into())).cookie();
    let eve = server.get("/v1/me/profile", &[("cookie", &eve)]).string("id");
    for id in ["00000000-0000-4000-8000-000000000000", "client_x", "%00", &eve] {
        let path = format!("users/{id}");
        assert_eq!(server.admin_api("GET", &path, &json!(null)).status, 404, "{id}");
        assert_eq!(server.admin_api("PATCH", &path, &json!({"isAdmin": true})).status, 404, "{id}");
    }
}

#[test]
fn what_the_server_knows_of_a_person_is_set_by_name_and_released_by_scope() {
    let server = Server::with(&[("GRANTOR_SCOPES", "[\"orders:read\"]")]);
    let claims = json!({
        "given_name": "Bo", "locale": "de", "phone_number": "+49 30 1",
        "address": {"formatted": "1 Street\nTown", "country": "DE"},
    });
    let new = json!({"email": "bo@example.com", "name": "Bo Example", "claims": claims});
    let added = add(&server, &new);
    assert_eq!(added.status, 201, "{}", added.text);
    assert_eq!(added.json()["claims"]["address"]["country"], "DE");
    let path = format!("users/{}", added.string("id"));
    for bad in [
        json!({"claims": {"sub": "somebody"}}),
        json!({"claims": {"email": "other@example.com"}}),
        json!({"claims": {"picture": "javascript:alert(1)"}}),
        json!({"claims": {"email_verified": "yes"}}),
        json!({"claims": []}),
    ] {
        assert_eq!(server.admin_api("PATCH", &path, &bad).status, 400, "{bad}");
        let mut other = bad.clone();
        other["email"] = json!("cy@example.com");
        assert_eq!(add(&server, &other).status, 400, "{other}");
    }
    let change = json!({"claims": {"locale": null, "nickname": "bee"}});
    let changed = server.admin_api("PATCH", &path, &change).json();
    assert_eq!(changed["claims"].get("locale"), None);
    assert_eq!(
        (&changed["claims"]["nickname"], &changed["name"]),
        (&json!("bee"), &json!("Bo Example"))
    );
    assert!(changed["claims"]["updated_at"].is_i64());
    // The same beside the running server.
    let run =
        |json: &str| server.command(&["user", "claims", "bo@example.com", json]).output().unwrap();
    assert!(run(r#"{"family_name": "Example"}"#).status.success());
    for bad in [r#"{"sub": "x"}"#, "[]", "x"] {
        let output = run(bad);
        assert!(!output.status.success());
        assert!(stderr(&output).contains("claim"), "{}", stderr(&output));
    }
    let shown = server.admin_api("GET", &path, &json!(null)).json();
    assert_eq!(shown["claims"]["family_name"], "Example");
}
