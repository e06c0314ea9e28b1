//! The pages of administrators, by plain forms.

use crate::support::*;

/// An administrator with a browser.
struct Browser<'a> {
    server: &'a Server,
    cookie: String,
}

impl<'a> Browser<'a> {
    fn new(server: &'a Server) -> Self {
        Self { server, cookie: server.admin_cookie() }
    }

    fn get(&self, path: &str) -> Answer {
        self.server.get(path, &[("cookie", &self.cookie)])
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.get(path).text;
        let hidden: Vec<(&str, String)> = ["csrf", "id", "proof"]
            .into_iter()
            .filter(|name| page.contains(&format!("name=\"{name}\"")))
            .map(|name| (name, field(&page, name)))
            .collect();
        let mut fields = fields.to_vec();
        fields.extend(hidden.iter().map(|(name, value)| (*name, value.as_str())));
        self.server.form_with(path, &[("cookie", &self.cookie)], &fields)
    }
}

const NEW: &str = "/admin/clients/new";

#[test]
fn an_application_is_registered_changed_switched_off_and_removed_by_forms() {
    let server = Server::new();
    let admin = Browser::new(&server);
    let fields = [
        ("name", "Shop <b>"),
        ("client_type", "confidential"),
        (
            "redirect_uris",
            "https://myapp.example.com/callback\r\n\r\n https://shop.example/cb \r\n",
        ),
        ("grant_type", "authorization_code"),
        ("grant_type", "refresh_token"),
        ("scope", "openid"),
        ("scope", "email"),
        ("is_first_party", "1"),
    ];
    let made = admin.post(NEW, &fields);
    assert_eq!(made.status, 200, "{}", made.text);
    let values: Vec<&str> =
        made.text.split("<dd><code>").skip(1).map(|at| at.split('<').next().unwrap()).collect();
    let (id, secret) = (values[0], values[1]);
    assert!(secret.starts_with("secret_"), "{secret}");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let path = format!("/admin/clients/{id}");
    let shown = admin.get(&path).text;
    assert!(shown.contains("Shop &#60;b&#62;") && !shown.contains("<b>"), "{shown}");
    assert!(!shown.contains(secret) && !shown.contains("<script"));
    assert!(shown.contains("https://shop.example/cb"));
    // The API shows the same.
    let json = server.admin_call("GET", &format!("/{id}"), &serde_json::Value::Null).json();
    assert_eq!(json["scopes"], serde_json::json!(["openid", "email"]));
    assert_eq!(json["requireConsent"], false);
    // The secret works until it is replaced.
    let authenticates = |secret: &str| {
        let grant = ("grant_type", "refresh_token");
        let fields = [grant, ("client_id", id), ("client_secret", secret)];
        server.form("/oauth2/token", &fields).status == 400
    };
    assert!(authenticates(secret));
    let rotated = admin.post(&path, &[("action", "rotate-secret")]);
    assert_eq!(rotated.status, 200);
    assert!(!authenticates(secret));
    // What is saved is what is checked.
    let saved = admin.post(
        &path,
        &[
            ("action", "save"),
            ("name", "Shop"),
            ("redirect_uris", "https://shop.example/cb"),
            ("grant_type", "authorization_code"),
            ("scope", "openid"),
            ("require_consent", "1"),
        ],
    );
    assert_eq!((saved.status, saved.header("location")), (303, Some(path.as_str())));
    let json = server.admin_call("GET", &format!("/{id}"), &serde_json::Value::Null).json();
    assert_eq!(json["name"], "Shop");
    assert_eq!(json["grantTypes"], serde_json::json!(["authorization_code"]));
    assert_eq!((&json["isFirstParty"], &json["requireConsent"]), (&false.into(), &true.into()));
    for (action, active) in [("revoke", false), ("activate", true)] {
        assert_eq!(admin.post(&path, &[("action", action)]).status, 303);
        let json = server.admin_call("GET", &format!("/{id}"), &serde_json::Value::Null).json();
        assert_eq!(json["isActive"], active, "{action}");
    }
    assert_eq!(admin.post(&path, &[("action", "remove")]).status, 303);
    assert_eq!(admin.get(&path).status, 404);
    assert!(!admin.get("/admin/clients").text.contains(id));
}

#[test]
fn what_cannot_be_accepted_is_shown_again_as_it_was_typed() {
    let server = Server::new();
    let admin = Browser::new(&server);
    let fields = [
        ("name", "Shop"),
        ("client_type", "public"),
        ("redirect_uris", "http://shop.example/\"cb\""),
        ("grant_type", "authorization_code"),
        ("scope", "orders:read"),
    ];
    let again = admin.post(NEW, &fields);
    assert_eq!(again.status, 400);
    assert!(again.text.contains("role=\"alert\"") && again.text.contains(">Redirect URIs: "));
    assert!(again.text.contains("http://shop.example/&#34;cb&#34;"), "{}", again.text);
    assert!(again.text.contains("value=\"orders:read\" checked"), "{}", again.text);
    let page = server.register_spa();
    let path = format!("/admin/clients/{page}");
    let again = admin.post(&path, &[("action", "save"), ("name", ""), ("scope", "openid")]);
    assert_eq!(again.status, 400);
    let user = [("email", "no address"), ("name", "Bo")];
    let again = admin.post("/admin/users/new", &user);
    assert_eq!(again.status, 400);
    assert!(again.text.contains("value=\"no address\"") && again.text.contains("value=\"Bo\""));
}

#[test]
fn people_are_added_changed_and_locked_out_by_forms() {
    let server = Server::new();
    let admin = Browser::new(&server);
    let made = admin.post("/admin/users/new", &[("email", "bo@example.com"), ("name", "Bo")]);
    assert_eq!(made.status, 200, "{}", made.text);
    let password = made.text.split("<dd><code>").nth(2).unwrap().split('<').next().unwrap();
    let bo = ("bo@example.com".to_owned(), password.to_owned());
    assert_eq!(server.login(&bo).status, 200);
    let path = made.text.split("/admin/users/").nth(1).unwrap().split('"').next().unwrap();
    let path = format!("/admin/users/{path}");
    let list = admin.get("/admin/users?email=BO@").text;
    assert!(list.contains(&path) && !list.contains("dana@example.com"), "{list}");
    admin.post(&path, &[("action", "save"), ("name", "Bo B."), ("is_admin", "1")]);
    let shown = admin.get(&path).text;
    assert!(shown.contains("Bo B.") && shown.contains("value=\"1\" checked"), "{shown}");
    admin.post(&path, &[("action", "lock")]);
    assert_eq!(server.login(&bo).status, 401);
    admin.post(&path, &[("action", "unlock")]);
    assert_eq!(server.login(&bo).status, 200);
    let reset = admin.post(&path, &[("action", "reset-password")]).text;
    let new = reset.split("<dd><code>").nth(2).unwrap().split('<').next().unwrap();
    assert_eq!(server.login(&bo).status, 401);
    assert_eq!(server.login(&(bo.0, new.to_owned())).status, 200);
    // Nobody locks themselves out.
    let list = admin.get("/admin/users?email=admin@").text;
    let me = list.split("/admin/users/").nth(2).unwrap().split('"').next().unwrap();
    let me = format!("/admin/users/{me}");
    assert!(!admin.get(&me).text.contains("id=\"lock\""));
    assert_eq!(admin.post(&me, &[("action", "lock")]).status, 409);
    admin.post(&me, &[("action", "save"), ("name", "Ada")]);
    assert_eq!(admin.get("/admin/users").status, 200);
}

#[test]
fn nobody_else_sees_or_posts_these_pages() {
    let server = Server::new();
    let client = server.register_spa();
    let person = server.login(&server.person()).cookie();
    let one = format!("/admin/clients/{client}");
    for path in ["/admin/clients", NEW, one.as_str(), "/admin/users", "/admin/users/new"] {
        let nobody = server.get(path, &[]);
        assert_eq!(
            (nobody.status, nobody.header("location")),
            (303, Some("/login?to=admin")),
            "{path}"
        );
        assert_eq!(server.get(path, &[("cookie", &person)]).status, 403, "{path}");
    }
    assert!(!server.get("/", &[("cookie", &person)]).text.contains("/admin"));
    let admin = Browser::new(&server);
    assert!(admin.get("/").text.contains("/admin"));
    let csrf = field(&admin.get(&one).text, "csrf");
    let remove = [("action", "remove"), ("csrf", csrf.as_str())];
    let mine = ("cookie", admin.cookie.as_str());
    for (headers, fields) in [
        (vec![mine], vec![("action", "remove")]),
        (vec![mine], vec![("action", "remove"), ("csrf", "guess")]),
        (vec![mine, ("sec-fetch-site", "cross-site")], remove.to_vec()),
        (vec![mine, ("origin", "https://evil.example")], remove.to_vec()),
        (vec![("cookie", person.as_str())], remove.to_vec()),
    ] {
        assert_eq!(server.form_with(&one, &headers, &fields).status, 403, "{headers:?}");
    }
    assert_eq!(admin.get(&one).status, 200);
}

#[test]
fn a_form_that_is_posted_twice_registers_once() {
    let server = Server::new();
    let admin = Browser::new(&server);
    let page = admin.get(NEW).text;
    let (csrf, id, proof) = (field(&page, "csrf"), field(&page, "id"), field(&page, "proof"));
    let post = |id: &str, proof: &str| {
        let fields = [
            ("csrf", csrf.as_str()),
            ("id", id),
            ("proof", proof),
            ("name", "Shop"),
            ("client_type", "confidential"),
            ("redirect_uris", CALLBACK),
            ("grant_type", "authorization_code"),
            ("scope", "openid"),
        ];
        server.form_with(NEW, &[("cookie", &admin.cookie)], &fields)
    };
    let first = post(&id, &proof);
    assert_eq!(first.status, 200);
    assert!(first.text.contains(&id), "{}", first.text);
    let again = post(&id, &proof);
    assert_eq!(
        (again.status, again.header("location")),
        (303, Some(&*format!("/admin/clients/{id}")))
    );
    let clients = server.admin_call("GET", "", &serde_json::Value::Null).text;
    assert_eq!(clients.matches("\"Shop\"").count(), 1);
    // An id is never chosen by whoever posts.
    assert_eq!(post("client_chosen", &proof).status, 403);
}
