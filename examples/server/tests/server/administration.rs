//! What an administrator may not, and what nobody else may.

use serde_json::{Value, json};

use crate::support::*;

fn api(server: &Server, cookie: &str, org: &str, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("x-org-domain", org), ("cookie", cookie)];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send(method, &format!("/v1/admin/{path}"), &headers, &body)
}

/// Every operation of administrators that the document names.
fn operations(server: &Server) -> Vec<(String, String)> {
    let document = server.get("/v1/openapi.json", &[]).json();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(path) = path.strip_prefix("/admin/") else { continue };
        let path = path.replace("{id}", "some-id").replace("{session}", "some-session");
        for method in item.as_object().unwrap().keys() {
            all.push((method.to_uppercase(), path.clone()));
        }
    }
    assert!(all.len() > 10, "{all:?}");
    all
}

#[test]
fn every_operation_is_for_administrators_alone() {
    let server = Server::new();
    let client = server.register_spa();
    let person = server.login(&server.person()).cookie();
    let code = server.authorize(&client, &server.admin_cookie()).parameter("code").unwrap();
    let bearer = format!("Bearer {}", server.redeem(&client, &code).string("access_token"));
    for (method, path) in operations(&server) {
        let body = if method == "GET" || method == "DELETE" { Value::Null } else { json!({}) };
        let as_person = api(&server, &person, "your-org", &method, &path, &body);
        assert_eq!(as_person.status, 403, "{method} {path}: {}", as_person.text);
        let as_nobody = api(&server, "", "your-org", &method, &path, &body);
        assert_eq!(as_nobody.status, 401, "{method} {path}");
        // An administrator's token is for applications, and these are no affairs of theirs.
        let headers = [
            ("content-type", "application/json"),
            ("x-org-domain", "your-org"),
            ("authorization", bearer.as_str()),
        ];
        let sent = if body.is_null() { String::new() } else { body.to_string() };
        let by_token = server.send(&method, &format!("/v1/admin/{path}"), &headers, &sent);
        assert_eq!(by_token.status, 401, "{method} {path}");
    }
    for (method, path) in [
        ("GET", "/admin/users/some-id"),
        ("POST", "/admin/clients/new"),
        ("POST", "/admin/users/new"),
        ("POST", "/admin/users/some-id"),
    ] {
        let headers =
            [("cookie", person.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(server.send(method, path, &headers, "csrf=x").status, 403, "{method} {path}");
    }
}

#[test]
fn a_secret_is_in_the_answer_that_makes_it_and_in_no_other() {
    let server = Server::new();
    let mut registration = spa();
    registration["clientType"] = json!("confidential");
    let made = server.admin_call("POST", "", &registration);
    let (id, first) = (made.string("clientId"), made.string("clientSecret"));
    let second = server
        .admin_call("POST", &format!("/{id}/rotate-secret"), &json!({}))
        .string("clientSecret");
    let mut seen = Vec::new();
    for (method, path, body) in [
        ("GET", String::new(), Value::Null),
        ("GET", format!("/{id}"), Value::Null),
        ("PATCH", format!("/{id}"), json!({"name": "Renamed"})),
        ("POST", format!("/{id}/revoke"), json!({})),
        ("PATCH", format!("/{id}"), json!({"isActive": true})),
    ] {
        let answer = server.admin_call(method, &path, &body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
        seen.push(answer.text);
    }
    let admin = server.admin_cookie();
    for page in ["/admin/clients".to_owned(), format!("/admin/clients/{id}")] {
        seen.push(server.get(&page, &[("cookie", &admin)]).text);
    }
    for words in [
        &["client", "list", "--org", "your-org"][..],
        &["client", "show", "--org", "your-org", &id],
        &["client", "edit", "--org", "your-org", &id, "--name", "Again"],
    ] {
        let output = server.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        seen.push(stdout(&output) + &stderr(&output));
    }
    for text in &seen {
        assert!(text.len() > 2 && !text.contains(&first) && !text.contains(&second), "{text}");
    }
}

#[test]
fn what_belongs_to_another_organisation_does_not_exist() {
    let server = Server::new();
    let init = ["init", "--org", "other", "--admin-email", "mallory@other.example"];
    assert!(server.command(&init).output().unwrap().status.success());
    let add = [
        "client",
        "add",
        "--org",
        "other",
        "--name",
        "Theirs",
        "--public",
        "--redirect-uri",
        CALLBACK,
    ];
    let added: Value =
        serde_json::from_str(&stdout(&server.command(&add).output().unwrap())).unwrap();
    let theirs = added["clientId"].as_str().unwrap();
    let admin = server.admin_cookie();
    for (method, path, body) in [
        ("GET", format!("clients/{theirs}"), Value::Null),
        ("PATCH", format!("clients/{theirs}"), json!({"name": "Mine"})),
        ("DELETE", format!("clients/{theirs}"), Value::Null),
        ("POST", format!("clients/{theirs}/rotate-secret"), json!({})),
        ("POST", format!("clients/{theirs}/revoke"), json!({})),
    ] {
        let own = api(&server, &admin, "your-org", method, &path, &body);
        assert_eq!(own.status, 404, "{method} {path}: {}", own.text);
        let as_other = api(&server, &admin, "other", method, &path, &body);
        assert_eq!(as_other.status, 403, "{method} {path}: {}", as_other.text);
    }
    let page = format!("/admin/clients/{theirs}");
    assert_eq!(server.get(&page, &[("cookie", &admin)]).status, 404);
    let csrf = field(&server.get("/admin/clients/new", &[("cookie", &admin)]).text, "csrf");
    let fields = [("csrf", csrf.as_str()), ("action", "remove")];
    assert_eq!(server.form_with(&page, &[("cookie", &admin)], &fields).status, 404);
    let list = api(&server, &admin, "your-org", "GET", "clients", &Value::Null).text;
    assert!(!list.contains(theirs), "{list}");
    let shown = server.command(&["client", "show", "--org", "other", theirs]).output().unwrap();
    assert!(stdout(&shown).contains("Theirs"), "it is untouched");
}

#[test]
fn a_page_size_or_number_that_is_none_is_refused() {
    let server = Server::new();
    let admin = server.admin_cookie();
    for query in [
        "limit=0",
        "limit=201",
        "limit=abc",
        "limit=-1",
        "limit=1000000000",
        "limit=1&limit=2",
        "limit=",
    ] {
        let path = format!("clients?{query}");
        let answer = api(&server, &admin, "your-org", "GET", &path, &Value::Null);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
    }
    for query in [
        "per_page=0",
        "per_page=201",
        "per_page=-1",
        "page=0",
        "page=x",
        "page=-1",
        "page=99999999999999",
    ] {
        let path = format!("users?{query}");
        let answer = api(&server, &admin, "your-org", "GET", &path, &Value::Null);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
    }
    for page in ["/admin/users?page=x", "/admin/users?page=0", "/admin/users?page=99999999999999"] {
        let answer = server.get(page, &[("cookie", &admin)]);
        assert!(
            answer.status == 200 || (400..500).contains(&answer.status),
            "{page}: {}",
            answer.status
        );
    }
}

#[test]
fn quotes_and_the_language_of_databases_are_kept_and_found_as_they_are() {
    let server = Server::new();
    let odd = "O'Brien \"; DROP TABLE users; -- % _ \\ {{7*7}}";
    let mut client = spa();
    client["name"] = json!(odd);
    let id = server.admin_call("POST", "", &client).string("clientId");
    assert_eq!(server.admin_call("GET", &format!("/{id}"), &Value::Null).string("name"), odd);
    let person =
        json!({"email": "o'brien%_@example.com", "name": odd, "claims": {"nickname": odd}});
    let made = server.admin_api("POST", "users", &person);
    assert_eq!(made.status, 201, "{}", made.text);
    let shown =
        server.admin_api("GET", &format!("users/{}", made.string("id")), &Value::Null).json();
    assert_eq!((&shown["name"], &shown["claims"]["nickname"]), (&json!(odd), &json!(odd)));
    // They mean themselves in a search, too.
    let found = |part: &str| {
        let part: String = url::form_urlencoded::byte_serialize(part.as_bytes()).collect();
        let answer = server.admin_api("GET", &format!("users?filter[email]={part}"), &Value::Null);
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["data"].as_array().unwrap().len()
    };
    assert_eq!((found("o'brien"), found("%_@"), found("%"), found("_@")), (1, 1, 1, 1));
    assert_eq!((found("' OR 1=1 --"), found("%%")), (0, 0));
}

#[test]
fn what_is_ended_in_one_process_is_ended_in_the_other() {
    let one = Server::new();
    let two = one.second();
    let mut registration = spa();
    registration["clientType"] = json!("confidential");
    let made = one.admin_call("POST", "", &registration);
    let (id, secret) = (made.string("clientId"), made.string("clientSecret"));
    let with_secret = |server: &Server, path: &str, parameters: &[(&str, &str)]| {
        let mut all = vec![("client_id", id.as_str()), ("client_secret", secret.as_str())];
        all.extend_from_slice(parameters);
        server.form(path, &all)
    };
    let cookie = one.login(&one.person()).cookie();
    // Both say the issuer's own address, which is that of the first.
    let visit = |server: &Server, url: &str| {
        server.get(url.strip_prefix(&one.issuer()).unwrap_or(url), &[("cookie", &cookie)])
    };
    let to_login = |server: &Server| {
        visit(server, &server.authorize_url(&id)).header("location").unwrap().to_owned()
    };
    let code = |server: &Server| visit(server, &to_login(server)).parameter("code").unwrap();
    let redeem = |server: &Server, code: &str| {
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        with_secret(server, "/oauth2/token", &parameters)
    };
    let tokens = redeem(&one, &code(&one)).json();
    let access_token = tokens["access_token"].as_str().unwrap();
    let under_way = to_login(&one);
    let unspent = code(&two);
    let token = [("token", access_token)];
    assert_eq!(with_secret(&two, "/oauth2/introspect", &token).json()["active"], true);
    assert_eq!(one.admin_call("POST", &format!("/{id}/revoke"), &json!({})).status, 200);
    let bearer = format!("Bearer {access_token}");
    assert_eq!(two.get("/oauth2/userinfo", &[("authorization", &bearer)]).status, 401);
    assert_eq!(with_secret(&two, "/oauth2/introspect", &token).status, 401);
    assert_eq!(redeem(&two, &unspent).status, 401);
    let finished = visit(&two, &under_way);
    assert!(
        finished.header("location").is_none_or(|to| !to.contains("code=")),
        "{}",
        finished.text
    );
    // And when it is let in again, what ended stays ended.
    assert_eq!(one.admin_call("PATCH", &format!("/{id}"), &json!({"isActive": true})).status, 200);
    assert_eq!(with_secret(&two, "/oauth2/introspect", &token).json(), json!({"active": false}));
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ];
    assert_eq!(with_secret(&two, "/oauth2/token", &refresh).status, 400);
}

#[test]
fn what_a_removed_application_has_is_dead_and_people_are_locked_out_and_never_removed() {
    let server = Server::new();
    let client = server.register_spa();
    let tokens = server.tokens(&client);
    assert_eq!(server.admin_call("DELETE", &format!("/{client}"), &Value::Null).status, 204);
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    assert_eq!(server.get("/oauth2/userinfo", &[("authorization", &bearer)]).status, 401);
    let refreshed = server.refresh(&client, tokens["refresh_token"].as_str().unwrap());
    assert_eq!((refreshed.status, refreshed.string("error")), (401, "invalid_client".to_owned()));
    let person = server.login(&server.person()).json()["user"]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.admin_api("DELETE", &format!("users/{person}"), &Value::Null).status, 405);
}

#[test]
fn an_administrator_who_calls_too_often_waits() {
    let server = Server::new();
    let admin = server.admin_cookie();
    let limited = |ask: &dyn Fn() -> Answer| {
        (0..2000).map(|_| ask()).find(|answer| answer.status == 429).expect("there is a limit")
    };
    let list = || api(&server, &admin, "your-org", "GET", "clients", &Value::Null);
    let page = || server.get("/admin/clients", &[("cookie", &admin)]);
    let limited_page = limited(&page);
    assert!(limited_page.text.contains("Too many"), "{}", limited_page.text);
    let limited = limited(&list);
    assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(limited.json()["status"], 429);
    // Nobody else does.
    let person = server.login(&server.person()).cookie();
    assert_eq!(server.get("/account", &[("cookie", &person)]).status, 200);
}

#[test]
fn who_registers_too_often_from_one_address_waits() {
    let server = Server::with(&[
        ("GRANTOR_REGISTRATION__MODE", "open"),
        ("GRANTOR_REGISTRATION__ORGANISATION", "your-org"),
    ]);
    let body = json!({"redirect_uris": [CALLBACK]}).to_string();
    let headers = [("content-type", "application/json")];
    let answers: Vec<Answer> =
        (0..40).map(|_| server.send("POST", "/oauth2/register", &headers, &body)).collect();
    let made = answers.iter().take_while(|answer| answer.status == 201).count();
    assert!((2..40).contains(&made), "{made}");
    let limited = &answers[made];
    assert_eq!(limited.status, 429, "{}", limited.text);
    assert!(limited.header("retry-after").is_some());
}

#[test]
fn json_that_is_nested_too_deeply_is_refused() {
    let server = Server::new();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let admin = server.admin_cookie();
    let headers =
        [("content-type", "application/json"), ("x-org-domain", "your-org"), ("cookie", &*admin)];
    for body in [
        format!("{{\"name\":{deep}}}"),
        format!("{{\"name\":\"x\",\"jwks\":{{\"keys\":{deep}}}}}"),
        deep,
    ] {
        let answer = server.send("POST", "/v1/admin/clients", &headers, &body);
        assert!([400, 413].contains(&answer.status), "{}", answer.status);
    }
    assert_eq!(server.get("/health", &[]).status, 200);
}
