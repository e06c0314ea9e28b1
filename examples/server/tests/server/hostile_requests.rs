//! Requests that nobody's client sends, over raw sockets, from a kept seed: every one is answered, none with a failure
//! of ours, and afterwards everything works.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::*;

const REQUESTS: u32 = 5_000;

/// The same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.next(of.len())]
    }
}

const METHODS: [&str; 10] =
    ["GET", "GET", "GET", "POST", "POST", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"];

const PATHS: [&str; 38] = [
    "/",
    "/login",
    "/login?ticket=TICKET",
    "/login?ticket=%00&to=https://evil.example",
    "/consent",
    "/consent?ticket=TICKET",
    "/account",
    "/logout",
    "/logout?ticket=TICKET",
    "/demo",
    "/admin",
    "/admin/clients",
    "/admin/clients/new",
    "/admin/clients/CLIENT",
    "/admin/clients/%2e%2e%2f%2e%2e",
    "/admin/users?filter=%27%20OR%201=1&page=18446744073709551616",
    "/admin/users/%00",
    "/v1/admin/clients?limit=-1",
    "/v1/admin/clients/CLIENT",
    "/v1/admin/clients/CLIENT/rotate-secret",
    "/v1/admin/users?filter[email]=%ff",
    "/v1/admin/users/x/sessions/y",
    "/v1/auth/login",
    "/v1/auth/logout",
    "/v1/auth/session",
    "/v1/me/profile",
    "/v1/me/sessions/%F0%9F%92%A9",
    "/v1/openapi.json",
    "/v1/nothing/../../etc/passwd",
    "/health",
    "/assets/../../../etc/passwd",
    "/oauth2/authorize?client_id=CLIENT&redirect_uri=https://evil.example&response_type=code",
    "/oauth2/authorize?client_id=CLIENT&response_type=code&scope=openid&state=%0d%0aset-cookie:x",
    "/oauth2/token",
    "/oauth2/revoke",
    "/oauth2/logout?id_token_hint=a.b.c",
    "/oauth2/userinfo?access_token=x",
    "//evil.example/%2f..",
];

const BODIES: [&str; 16] = [
    "",
    "{}",
    "[]",
    "null",
    "{\"email\":\"a@b.example\",\"password\":\"x\"}",
    "{\"email\":{\"$ne\":null},\"password\":{\"$ne\":null}}",
    "{\"name\":\"x\",\"clientType\":\"public\",\"redirectUris\":[\"javascript:alert(1)\"]}",
    "{\"a\":1,\"a\":2}",
    "{\"name\":\"\\ud800\"}",
    "username=a&password=b&ticket=TICKET",
    "username=%ff%fe&password=%00",
    "ticket=TICKET&csrf=x&decision=allow",
    "csrf=x&session=x&client_id=CLIENT",
    "grant_type=authorization_code&code=x&client_id=CLIENT&client_id=CLIENT",
    "grant_type=refresh_token&refresh_token=rt_x&client_id=CLIENT&resource=x&resource=y",
    "a=b&&=&%=&%zz",
];

const TYPES: [&str; 7] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-16",
    "text/plain",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded; charset=utf-7",
    "",
];

const HEADERS: [&str; 14] = [
    "Origin: https://evil.example",
    "Origin: null",
    "Sec-Fetch-Site: cross-site",
    "X-Org-Domain: your-org",
    "X-Org-Domain: ../..",
    "X-CSRF-Token: x",
    "Cookie: cerb_sid=x; cerb_sid=y",
    "Cookie: cerb_device=x; cerb_sid=COOKIE",
    "Authorization: Bearer a.b.c",
    "Authorization: Basic !!!",
    "Accept: text/html",
    "Content-Encoding: gzip",
    "X-HTTP-Method-Override: DELETE",
    "Forwarded: for=unknown;host=evil.example",
];

#[test]
fn five_thousand_requests_of_nobodys_client_are_all_answered_and_none_with_a_failure() {
    let mut server = Server::with(&[("GRANTOR_TRUSTED_PROXIES", "[\"127.0.0.1\"]")]);
    let client = server.register_spa();
    let cookie = server.login(&server.person()).cookie().split_once('=').unwrap().1.to_owned();
    let to_login = server.get(&server.authorize_url(&client), &[]);
    let ticket = to_login.parameter("ticket").unwrap();
    let filled = |text: &str| {
        text.replace("CLIENT", &client).replace("TICKET", &ticket).replace("COOKIE", &cookie)
    };
    let mut numbers = Numbers(4711);
    let mut statuses = std::collections::BTreeMap::new();
    for n in 0..REQUESTS {
        let (method, path) = (numbers.one_of(&METHODS), filled(numbers.one_of(&PATHS)));
        let body = match method {
            "GET" | "OPTIONS" => String::new(),
            _ => filled(numbers.one_of(&BODIES)),
        };
        // Each from another network, or the limits would answer for all others.
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\
             X-Forwarded-For: 10.{}.{}.{}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            n / 65_536,
            n / 256 % 256,
            n % 256,
            numbers.one_of(&TYPES),
            body.len()
        );
        for _ in 0..numbers.next(4) {
            request.push_str(&filled(numbers.one_of(&HEADERS)));
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request.push_str(&body);
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status: u16 = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("request {n} was not answered: {request}"));
        assert!(status < 500, "request {n}: {request}\n{answer}");
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        assert!(
            !head.contains("location: https://evil") && !head.contains("location: //"),
            "{request}\n{answer}"
        );
        // What comes back is never what runs.
        assert!(
            !head.contains("text/html") || head.contains("content-security-policy"),
            "{request}\n{answer}"
        );
        assert!(head.contains("x-content-type-options: nosniff"), "{request}\n{answer}");
        *statuses.entry(status).or_insert(0) += 1;
    }
    println!("{statuses:?}");
    for status in [200, 303, 400, 401, 403, 404, 405, 415] {
        assert!(statuses.get(&status).is_some_and(|count| *count > 20), "{statuses:?}");
    }
    // The person is still signed in unless one of these was their own wish, and the flow works.
    assert_eq!(server.get("/health", &[]).status, 200);
    let tokens = server.tokens(&client);
    assert!(tokens["access_token"].is_string());
    let log = server.stop();
    assert!(!log.contains("panicked"), "a handler panicked");
}
