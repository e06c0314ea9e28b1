//! Ten thousand requests, the same to both adapters and to every store: the same answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "these are tests")]

use grantor_adapter_tests::wire::{Answer, form, request, send, send_and_leave};
use grantor_adapter_tests::{CALLBACK, CHALLENGE, Host, ORIGIN, SPA, VERIFIER, WEB};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const PROTECTED: [&str; 6] = [
    "/oauth2/userinfo",
    "/api/me",
    "/api/orders",
    "/api/client",
    "/api/more",
    "/.well-known/oauth-protected-resource/api",
];

/// A client that remembers what it was given, and now and then gets it wrong.
struct Client {
    random: StdRng,
    secret: String,
    tickets: Vec<String>,
    codes: Vec<String>,
    refresh_tokens: Vec<String>,
    access_tokens: Vec<String>,
}

impl Client {
    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.random_range(0..of.len())]
    }

    fn recent(&mut self, of: fn(&Self) -> &Vec<String>) -> String {
        let all = of(self).len();
        match self.random.random_range(0..6) {
            0 => "garbage".to_owned(),
            1 if all > 1 => {
                let at = self.random.random_range(0..all);
                of(self)[at].clone()
            }
            _ => of(self).last().cloned().unwrap_or_default(),
        }
    }

    /// Parameters with something odd among them, sometimes.
    fn spoilt(&mut self, mut parameters: Vec<String>) -> String {
        let odd = [
            "scope=openid",
            "scope=",
            "scope=%ff",
            "x=%zz",
            "client_id=client_spa",
            "code=a&code=b",
            "redirect_uri=https%3A%2F%2Fevil.example",
            "state=%00",
            "prompt=none",
            "prompt=login",
            "nonce=n",
            "response_mode=fragment",
            "request=x",
            "max_age=0",
            "=",
            "&&",
            "%20=+",
            "resource=x",
            "resource=https%3A%2F%2Fid.example.com",
            "resource=https%3A%2F%2Fid.example.com%2Fapi&resource=https%3A%2F%2Fid.example.com",
            "prompt=none%20login",
            "prompt=consent",
            "response_type=id_token",
            "response_mode=form_post",
            "code_challenge_method=plain",
            "grant_type=password",
            "state=%0d%0aset-cookie:x",
            "scope=openid%20%00",
            "token_type_hint=refresh_token",
            "client_assertion=a.b.c",
            "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
            "acr_values=gold",
            "max_age=99999999999999999999",
            "max_age=-1",
            "ticket=AAAA",
            "redirect_uri=https%3A%2F%2Frp.example%2Fcb%2F..%2Fevil",
            "code_verifier=short",
            "claims=%7B%7D",
            "id_token_hint=a.b.c",
            "login_hint=%C3%BC",
        ];
        if self.random.random_ratio(1, 3) {
            let at = self.random.random_range(0..=parameters.len());
            let odd = self.one_of(&odd).to_owned();
            parameters.insert(at, odd);
        }
        if self.random.random_ratio(1, 8) && !parameters.is_empty() {
            let at = self.random.random_range(0..parameters.len());
            parameters.remove(at);
        }
        parameters.join("&")
    }

    fn credentials(&mut self) -> (Vec<(&'static str, String)>, Vec<String>) {
        let secret = match self.random.random_range(0..8) {
            0 => "wrong".to_owned(),
            _ => self.secret.clone(),
        };
        match self.random.random_range(0..3) {
            0 => (vec![], vec![format!("client_id={WEB}"), format!("client_secret={secret}")]),
            1 => (vec![("authorization", basic(WEB, &secret))], vec![]),
            _ => (vec![], vec![format!("client_id={SPA}")]),
        }
    }

    fn headers(&mut self) -> Vec<(&'static str, String)> {
        let all = [
            ("origin", ORIGIN),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("accept", "text/html"),
            ("accept", "application/json"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "evil.example"),
            ("content-encoding", "gzip"),
            ("access-control-request-method", "POST"),
            ("accept-encoding", "gzip, br"),
        ];
        (0..self.random.random_range(0..3))
            .map(|_| all[self.random.random_range(0..all.len())])
            .map(|(name, value)| (name, value.to_owned()))
            .collect()
    }

    /// The next request.
    fn next(&mut self) -> Vec<u8> {
        let mut headers = self.headers();
        match self.random.random_range(0..100) {
            0..8 => {
                let paths = [
                    "/.well-known/openid-configuration",
                    "/.well-known/oauth-authorization-server",
                    "/oauth2/jwks.json",
                    "/oauth2/jwks.json?x=%ff",
                    "/.well-known/openid-configuration/",
                ];
                let (method, path) = (
                    self.one_of(&["GET", "HEAD", "OPTIONS", "POST", "DELETE"]),
                    self.one_of(&paths),
                );
                write(method, path, &headers, b"")
            }
            8..24 => {
                let client = self.one_of(&[SPA, SPA, WEB, "nobody"]).to_owned();
                let parameters = self.spoilt(vec![
                    "response_type=code".into(),
                    format!("client_id={client}"),
                    format!("redirect_uri={CALLBACK}"),
                    "scope=openid%20profile".into(),
                    "state=x%20y%22".into(),
                    format!("code_challenge={CHALLENGE}"),
                    "code_challenge_method=S256".into(),
                ]);
                match self.random.random_range(0..6) {
                    0 => {
                        headers.push(("content-type", "application/x-www-form-urlencoded".into()));
                        write("POST", "/oauth2/authorize", &headers, parameters.as_bytes())
                    }
                    _ => write("GET", &format!("/oauth2/authorize?{parameters}"), &headers, b""),
                }
            }
            24..40 => {
                let ticket = self.recent(|client| &client.tickets);
                write("GET", &format!("/login?ticket={ticket}"), &headers, b"")
            }
            40..58 => {
                let (more, mut parameters) = self.credentials();
                let code = self.recent(|client| &client.codes);
                parameters.extend([
                    "grant_type=authorization_code".to_owned(),
                    format!("code={code}"),
                    format!("redirect_uri={CALLBACK}"),
                    format!("code_verifier={VERIFIER}"),
                ]);
                self.post("/oauth2/token", headers, more, parameters)
            }
            58..68 => {
                let (more, mut parameters) = self.credentials();
                let token = self.recent(|client| &client.refresh_tokens);
                parameters.extend([
                    "grant_type=refresh_token".to_owned(),
                    format!("refresh_token={token}"),
                ]);
                self.post("/oauth2/token", headers, more, parameters)
            }
            68..72 => {
                let (more, mut parameters) = self.credentials();
                parameters.push("grant_type=client_credentials".into());
                self.post("/oauth2/token", headers, more, parameters)
            }
            72..80 => {
                let path = self.one_of(&["/oauth2/introspect", "/oauth2/revoke"]).to_owned();
                let (more, mut parameters) = self.credentials();
                let token = match self.random.random_range(0..2) {
                    0 => self.recent(|client| &client.access_tokens),
                    _ => self.recent(|client| &client.refresh_tokens),
                };
                parameters.push(format!("token={token}"));
                self.post(&path, headers, more, parameters)
            }
            80..90 => {
                let path = self.one_of(&PROTECTED).to_owned();
                let token = self.recent(|client| &client.access_tokens);
                let scheme = self.one_of(&["Bearer", "bearer", "Basic", ""]).to_owned();
                for _ in 0..self.random.random_range(0..3) {
                    headers.push(("authorization", format!("{scheme} {token}")));
                }
                let method = self.one_of(&["GET", "GET", "GET", "OPTIONS"]);
                write(method, &path, &headers, b"")
            }
            _ => self.odd(&headers),
        }
    }

    fn post(
        &mut self,
        path: &str,
        mut headers: Vec<(&'static str, String)>,
        more: Vec<(&'static str, String)>,
        parameters: Vec<String>,
    ) -> Vec<u8> {
        headers.extend(more);
        let types = [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=utf-8",
            "Application/X-WWW-Form-Urlencoded",
            "application/x-www-form-urlencoded; charset=latin1",
            "application/json",
            "text/plain",
            "",
        ];
        headers.push(("content-type", self.one_of(&types).to_owned()));
        let body = self.spoilt(parameters);
        match self.random.random_range(0..12) {
            0 => chunked(path, &headers, body.as_bytes()),
            1 => write("POST", &format!("{path}?{body}"), &headers, b"x=y"),
            2 => write(
                self.one_of(&["PUT", "PATCH", "get", "BREW"]),
                path,
                &headers,
                body.as_bytes(),
            ),
            _ => write("POST", path, &headers, body.as_bytes()),
        }
    }

    /// Well-formed, and not what anybody sends.
    fn odd(&mut self, headers: &[(&'static str, String)]) -> Vec<u8> {
        let long = "x".repeat(self.random.random_range(1..70_000));
        match self.random.random_range(0..8) {
            0 => form("/oauth2/token", &[], &format!("client_id={SPA}&x={long}")),
            1 => write(
                "GET",
                &format!("/oauth2/authorize?x={}", &long[..long.len().min(40_000)]),
                headers,
                b"",
            ),
            2 => write("GET", "/oauth2%2Fauthorize", headers, b""),
            3 => write("GET", "//oauth2/authorize?client_id=x", headers, b""),
            4 => write("GET", "/oauth2/authorize/", headers, b""),
            5 => write("GET", "/OAuth2/Authorize?client_id=x", headers, b""),
            6 => write("POST", "/oauth2/token", headers, &[0xff, 0, b'=', 0xfe, b'&', b'%']),
            _ => write(
                "GET",
                "/oauth2/logout?post_logout_redirect_uri=https://evil.example",
                headers,
                b"",
            ),
        }
    }

    /// Remembers what an answer gave.
    fn learn(&mut self, answer: &Answer) {
        self.tickets.extend(answer.parameter("ticket"));
        self.codes.extend(answer.parameter("code"));
        let body = answer.json();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        self.refresh_tokens.extend(text("refresh_token"));
        self.access_tokens.extend(text("access_token"));
    }
}

fn write(method: &str, target: &str, headers: &[(&'static str, String)], body: &[u8]) -> Vec<u8> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    request(method, target, &headers, body)
}

/// A body in chunks, one of them empty of meaning.
fn chunked(path: &str, headers: &[(&'static str, String)], body: &[u8]) -> Vec<u8> {
    let mut headers = headers.to_vec();
    headers.push(("transfer-encoding", "chunked".into()));
    let mut bytes = write("POST", path, &headers, b"");
    for chunk in body.chunks(7) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{id}:{secret}")))
}

/// What must be alike. Where the engine does not answer, the frameworks have manners of their own: who
/// says which methods a route has, and in which words there is no such route.
fn comparable(host: &Host, target: &str, answer: &Answer) -> Answer {
    let mut answer = answer.clone();
    let path = target.split('?').next().unwrap();
    if !host.server.paths().iter().any(|known| known == path) {
        answer.headers.retain(|(name, _)| name != "allow");
        if [404, 405].contains(&answer.status) || path == "/login" && answer.status == 400 {
            answer.headers.clear();
            answer.body.clear();
        }
    }
    answer
}

impl Client {
    fn new(seed: u64, secret: &str) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            secret: secret.to_owned(),
            tickets: Vec::new(),
            codes: Vec::new(),
            refresh_tokens: Vec::new(),
            access_tokens: Vec::new(),
        }
    }

    /// A request that is broken somewhere: a byte is another one, bytes are missing, or come twice.
    fn broken(&mut self) -> Vec<u8> {
        let mut bytes = self.next();
        for _ in 0..self.random.random_range(1..4) {
            let at = self.random.random_range(0..bytes.len());
            match self.random.random_range(0..5) {
                0 => bytes[at] = self.random.random(),
                1 => bytes.truncate(at.max(1)),
                2 => {
                    let line = b"\r\n".iter().chain(b"content-length: 7\r\n");
                    bytes.splice(at..at, line.copied());
                }
                3 => {
                    let end = (at + 40).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {
                    bytes.remove(at);
                    if bytes.is_empty() {
                        bytes.push(b'\n');
                    }
                }
            }
        }
        bytes
    }
}

/// How many requests are sent to each host. Half as many broken ones go between them.
const REQUESTS: u64 = 10_000;
const SEED: u64 = 1;

#[test]
fn ten_thousand_requests_are_answered_alike_by_both_adapters_on_every_store() {
    let hosts = Host::all();
    assert!(hosts.iter().all(|host| host.secret.expose() == hosts[0].secret.expose()));
    let mut client = Client::new(SEED, hosts[0].secret.expose());
    let mut statuses = std::collections::BTreeMap::new();
    for n in 0..REQUESTS {
        let bytes = client.next();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(1500)]).into_owned();
        let target = shown.split(' ').nth(1).unwrap();
        let answers: Vec<Answer> = hosts
            .iter()
            .map(|host| {
                let answer = send(host.address, &bytes);
                answer.unwrap_or_else(|| panic!("{} did not answer {shown}", host.name))
            })
            .collect();
        let first = comparable(&hosts[0], target, &answers[0]);
        for (host, answer) in hosts.iter().zip(&answers).skip(1) {
            assert_eq!(
                first,
                comparable(host, target, answer),
                "request {n}: {}: {shown}",
                host.name
            );
        }
        let answer = &answers[0];
        assert!(answer.status < 500, "request {n}: {shown}\n{answer:?}");
        *statuses.entry(answer.status).or_insert(0) += 1;
        client.learn(answer);
        // Time passes for all alike.
        let seconds = std::time::Duration::from_secs(n % 7);
        hosts.iter().for_each(|host| host.clock.pass(seconds));
    }
    println!("{statuses:?}");
    // The requests must reach what they are meant to reach.
    for status in [200, 303, 400, 401] {
        assert!(statuses.get(&status).is_some_and(|count| *count > 250), "{statuses:?}");
    }
    let all = [&client.codes, &client.refresh_tokens, &client.access_tokens].map(Vec::len);
    assert!(all.iter().all(|count| *count > 100), "{all:?}");
}

/// How broken bytes are read is the framework's affair, so nobody compares them; but nobody breaks down over them.
#[test]
fn five_thousand_broken_requests_are_refused_or_dropped_and_the_host_goes_on() {
    let hosts = Host::both();
    let mut client = Client::new(SEED, hosts[0].secret.expose());
    let mut statuses = std::collections::BTreeMap::new();
    for n in 0..REQUESTS / 2 {
        let bytes = client.broken();
        for host in &hosts {
            let status = send_and_leave(host.address, &bytes).map(|answer| answer.status);
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(1500)]).into_owned();
            assert!(
                status.is_none_or(|status| status < 500),
                "request {n}: {} {status:?}: {shown}",
                host.name
            );
            *statuses.entry(status).or_insert(0) += 1;
        }
    }
    println!("{statuses:?}");
    assert!(statuses.keys().any(Option::is_none) && statuses[&Some(400)] > 100, "{statuses:?}");
    for host in &hosts {
        let metadata = request("GET", "/.well-known/openid-configuration", &[], b"");
        assert_eq!(send(host.address, &metadata).unwrap().status, 200, "{}", host.name);
    }
}

#[test]
fn malformed_http_is_refused_or_dropped_by_both() {
    let hosts = Host::both();
    let long = "x".repeat(300_000);
    for bytes in [
        b"GET\r\n\r\n".as_slice(),
        b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
        b"GET / HTP/1.1\r\nhost: x\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nna me: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1, 2\r\n\r\n",
        b"POST /oauth2/token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff\xfe\xfd\r\n\r\n",
        format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes(),
        format!("GET / HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n").as_bytes(),
    ] {
        for host in &hosts {
            println!("{} {:?}", host.name, String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
            let answer = send(host.address, bytes);
            let status = answer.map(|answer| answer.status);
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
            assert!(
                status.is_none_or(|status| (400..500).contains(&status)),
                "{} {status:?}: {shown}",
                host.name
            );
        }
    }
}
