//! What must be true of each adapter on each store: a failure is an answer, nobody tears a redemption in two, and
//! what must not work does not.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::Write as _;
use std::net::TcpStream;

use grantor_adapter_tests::wire::{everything as wire_text, form, request, send};
use grantor_adapter_tests::{CALLBACK, CHALLENGE, Host, ORIGIN, SPA, VERIFIER};
use pollster::block_on;

fn code(host: &Host) -> String {
    let target = format!(
        "/oauth2/authorize?response_type=code&client_id={SPA}&redirect_uri={CALLBACK}&scope=openid\
         &code_challenge={CHALLENGE}&code_challenge_method=S256"
    );
    let login = send(host.address, &request("GET", &target, &[], b"")).unwrap();
    let ticket = login.parameter("ticket").unwrap();
    let target = format!("/login?ticket={ticket}");
    let answer = send(host.address, &request("GET", &target, &[], b"")).unwrap();
    answer.parameter("code").unwrap()
}

fn redemption(code: &str) -> Vec<u8> {
    let body = format!(
        "grant_type=authorization_code&code={code}&client_id={SPA}&redirect_uri={CALLBACK}\
         &code_verifier={VERIFIER}"
    );
    form("/oauth2/token", &[("origin", ORIGIN)], &body)
}

#[test]
fn the_flow_works() {
    for host in Host::all() {
        let answer = send(host.address, &redemption(&code(&host))).unwrap();
        assert_eq!(answer.status, 200, "{}: {}", host.name, answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        let bearer = format!("Bearer {}", answer.json()["access_token"].as_str().unwrap());
        let headers = [("authorization", bearer.as_str()), ("origin", ORIGIN)];
        let me = send(host.address, &request("GET", "/api/me", &headers, b"")).unwrap();
        assert_eq!((me.status, me.text().as_str()), (200, "ann"), "{}", host.name);
        assert_eq!(me.header("access-control-allow-origin"), Some(ORIGIN));
        let orders = send(host.address, &request("GET", "/api/orders", &headers, b"")).unwrap();
        assert_eq!(orders.status, 403, "{}", host.name);
        let challenge = orders.header("www-authenticate").unwrap();
        assert!(challenge.contains("insufficient_scope") && challenge.contains("orders:read"));
    }
}

#[test]
fn the_hosts_api_says_whom_to_ask_and_reads_claims_in_its_own_type() {
    for host in Host::all() {
        let get = |target: &str, headers: &[(&str, &str)]| {
            send(host.address, &request("GET", target, headers, b"")).unwrap()
        };
        let challenge = get("/api/me", &[]);
        let path = "/.well-known/oauth-protected-resource/api";
        let expected = format!("Bearer resource_metadata=\"https://id.example.com{path}\"");
        assert_eq!(challenge.header("www-authenticate"), Some(&*expected), "{}", host.name);
        let metadata = get(path, &[]);
        assert_eq!(metadata.json()["resource"], grantor_adapter_tests::API, "{}", host.name);
        let tokens = block_on(host.server.test_client(SPA).sign_in_as("ann")).unwrap();
        let bearer = [("authorization", &*tokens.bearer())];
        assert_eq!(get("/api/client", &bearer).text(), SPA, "{}", host.name);
        assert_eq!(get("/api/more", &bearer).status, 403, "{}", host.name);
    }
}

#[test]
fn a_refusal_of_the_host_can_be_read_by_the_clients_pages() {
    for host in Host::all() {
        let tokens = block_on(host.server.test_client(SPA).sign_in_as("ann")).unwrap();
        let headers = [("authorization", &*tokens.bearer()), ("origin", ORIGIN)];
        for path in ["/api/more", "/api/refused"] {
            let answer = send(host.address, &request("GET", path, &headers, b"")).unwrap();
            assert!([403, 429].contains(&answer.status), "{} {path}", host.name);
            assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{}", host.name);
        }
    }
}

#[test]
fn a_panic_in_a_hook_of_the_host_is_an_answer_and_the_host_goes_on() {
    for host in Host::all() {
        let tokens = block_on(host.server.test_client(SPA).sign_in_as("panics")).unwrap();
        let bearer = tokens.bearer();
        let userinfo = request("GET", "/oauth2/userinfo", &[("authorization", &bearer)], b"");
        let answer = send(host.address, &userinfo).unwrap();
        assert_eq!(answer.status, 500, "{}", host.name);
        assert_eq!(answer.json()["error"], "server_error");
        assert!(!answer.text().contains("planted"));
        assert_eq!(send(host.address, &redemption(&code(&host))).unwrap().status, 200);
    }
}

#[test]
fn a_body_beyond_the_cap_is_refused_in_a_way_that_a_page_can_read() {
    for host in Host::all() {
        for length in [grantor::MAX_BODY + 1, 1 << 20] {
            let body = "x".repeat(length);
            let Some(answer) =
                send(host.address, &form("/oauth2/token", &[("origin", ORIGIN)], &body))
            else {
                // Whoever goes on sending may find the connection reset before they read.
                assert!(length > grantor::MAX_BODY + 1, "{}", host.name);
                continue;
            };
            assert_eq!(answer.status, 413, "{}", host.name);
            assert_eq!(answer.json()["error"], "invalid_request");
            assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        }
    }
}

#[test]
fn whoever_hangs_up_leaves_a_code_that_is_whole_or_spent() {
    for host in Host::all() {
        for _ in 0..20 {
            let code = code(&host);
            let mut stream = TcpStream::connect(host.address).unwrap();
            stream.write_all(&redemption(&code)).unwrap();
            drop(stream);
            // Then the owner comes. Either their request is the first, or the code is spent and the
            // grant ends: in no case are there two, or a grant without a record.
            let first = send(host.address, &redemption(&code)).unwrap();
            assert!([200, 400].contains(&first.status), "{}", first.text());
            let second = send(host.address, &redemption(&code)).unwrap();
            assert_eq!(second.status, 400, "{}", host.name);
            assert_eq!(second.json()["error"], "invalid_grant");
        }
    }
}

#[test]
fn a_preflight_is_answered_for_the_clients_own_pages_alone() {
    for host in Host::all() {
        for path in ["/api/me", "/oauth2/token"] {
            let preflight = |origin| {
                let headers = [
                    ("origin", origin),
                    ("access-control-request-method", "POST"),
                    ("access-control-request-headers", "authorization,content-type"),
                ];
                send(host.address, &request("OPTIONS", path, &headers, b"")).unwrap()
            };
            let allowed = preflight(ORIGIN);
            assert_eq!(allowed.status, 204, "{} {path}", host.name);
            assert_eq!(allowed.header("access-control-allow-origin"), Some(ORIGIN));
            let refused = preflight("https://evil.example");
            assert_eq!(refused.header("access-control-allow-origin"), None, "{} {path}", host.name);
        }
    }
}

#[test]
fn an_issuer_with_a_path_is_served_below_it_and_found_at_the_root() {
    const TENANT: &str = "https://id.example.com/tenants/acme";
    for host in Host::both_at(TENANT) {
        let get = |target: &str| send(host.address, &request("GET", target, &[], b"")).unwrap();
        // OpenID Connect Discovery appends the well-known path, RFC 8414 section 3.1 inserts it.
        for path in [
            "/tenants/acme/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server/tenants/acme",
        ] {
            let metadata = get(path).json();
            assert_eq!(metadata["issuer"], TENANT, "{} {path}", host.name);
            assert_eq!(metadata["token_endpoint"], format!("{TENANT}/oauth2/token"));
        }
        let tokens = block_on(host.server.test_client(SPA).sign_in_as("ann")).unwrap();
        let bearer = [("authorization", &*tokens.bearer())];
        let userinfo = |path| send(host.address, &request("GET", path, &bearer, b"")).unwrap();
        assert_eq!(userinfo("/tenants/acme/oauth2/userinfo").status, 200, "{}", host.name);
        for elsewhere in [
            "/oauth2/userinfo",
            "/tenants/oauth2/userinfo",
            "/tenants/acme/tenants/acme/oauth2/userinfo",
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server",
        ] {
            assert_eq!(userinfo(elsewhere).status, 404, "{} {elsewhere}", host.name);
        }
    }
}

#[test]
fn nothing_is_derived_from_what_a_request_says_of_its_host() {
    for host in Host::all() {
        let lies = [
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "host=evil.example;proto=http"),
            ("x-original-url", "/oauth2/token"),
        ];
        for path in
            ["/.well-known/openid-configuration", "/api/me", "/oauth2/authorize?client_id=x"]
        {
            let honest = send(host.address, &request("GET", path, &[], b"")).unwrap();
            let lied_to = send(host.address, &request("GET", path, &lies, b"")).unwrap();
            assert_eq!(lied_to.text(), honest.text(), "{} {path}", host.name);
            assert_eq!(lied_to.status, honest.status);
        }
        // The host that a request is addressed to is not believed either.
        let raw = b"GET /.well-known/openid-configuration HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
        let metadata = send(host.address, raw).unwrap();
        assert_eq!(metadata.json()["issuer"], "https://id.example.com", "{}", host.name);
    }
}

// What must not work.

#[test]
fn a_line_break_in_a_parameter_makes_no_header() {
    for host in Host::all() {
        let evil = "%0d%0aSet-Cookie:%20x=1%0d%0a%0d%0a%3Cscript%3E";
        let target = format!(
            "/oauth2/authorize?response_type=code&client_id={SPA}&redirect_uri={CALLBACK}&scope=openid&state={evil}\
             &code_challenge={CHALLENGE}&code_challenge_method=S256"
        );
        let login = send(host.address, &request("GET", &target, &[], b"")).unwrap();
        assert_eq!(login.status, 303, "{}", host.name);
        let visit = format!("/login?ticket={}", login.parameter("ticket").unwrap());
        let back = send(host.address, &request("GET", &visit, &[], b"")).unwrap();
        assert!(back.header("location").unwrap().contains("state=%0D%0ASet-Cookie"), "{back:?}");
        for (name, value) in
            [("scope", evil), ("nonce", evil), ("prompt", evil), ("login_hint", evil)]
        {
            let refused = format!("{target}&{name}={value}");
            let refused = send(host.address, &request("GET", &refused, &[], b"")).unwrap();
            for answer in [&login, &back, &refused] {
                let named =
                    |name: &str| answer.headers.iter().filter(|(have, _)| have == name).count();
                assert_eq!(
                    (named("set-cookie"), named("location")),
                    (0, 1),
                    "{} {answer:?}",
                    host.name
                );
                assert!(!answer.text().contains("<script>"));
            }
        }
    }
}

#[test]
fn a_path_that_only_looks_like_another_host_leads_nowhere() {
    for host in Host::all() {
        for path in [
            "//evil.example/%2e%2e",
            "//evil.example/..;/",
            "/%5cevil.example/",
            "/.evil.example/",
            "/oauth2/authorize/..%2f..%2fevil.example",
            "/oauth2/%2e%2e/oauth2/token",
            "/oauth2/authorize;x=y",
            "///",
        ] {
            let answer = send(host.address, &request("GET", path, &[], b"")).unwrap();
            assert_eq!(
                (answer.status, answer.header("location")),
                (404, None),
                "{} {path}",
                host.name
            );
        }
    }
}

#[test]
fn a_method_that_an_endpoint_does_not_have_is_refused_and_no_header_changes_it() {
    let no_body = |host: &Host, method: &str, path: &str, headers: &[(&str, &str)]| {
        send(host.address, &request(method, path, headers, b"")).unwrap()
    };
    for host in Host::all() {
        for (path, methods, allow) in [
            ("/oauth2/authorize", &["PUT", "DELETE", "PATCH", "OPTIONS"][..], "GET, HEAD, POST"),
            ("/oauth2/token", &["GET", "HEAD", "PUT", "DELETE", "PATCH"], "POST, OPTIONS"),
            ("/oauth2/revoke", &["GET", "PUT", "DELETE"], "POST, OPTIONS"),
            ("/oauth2/introspect", &["GET", "PUT", "DELETE", "OPTIONS"], "POST"),
            ("/oauth2/logout", &["PUT", "DELETE"], "GET, HEAD, POST"),
        ] {
            for method in methods {
                let answer = no_body(&host, method, path, &[]);
                assert_eq!(
                    (answer.status, answer.header("allow")),
                    (405, Some(allow)),
                    "{} {method} {path}",
                    host.name
                );
            }
            let trace = no_body(&host, "TRACE", path, &[("x-secret", "echo me")]);
            assert!((400..500).contains(&trace.status), "{} {}", host.name, trace.status);
            assert!(!trace.text().contains("echo me"));
        }
        for header in ["x-http-method-override", "x-http-method", "x-method-override"] {
            let answer = no_body(&host, "GET", "/oauth2/token?_method=POST", &[(header, "POST")]);
            assert_eq!(answer.status, 405, "{} {header}", host.name);
        }
        let posted =
            form("/oauth2/userinfo", &[("x-http-method-override", "DELETE")], "_method=DELETE");
        assert_eq!(send(host.address, &posted).unwrap().status, 401, "{}", host.name);
    }
}

#[test]
fn two_proofs_of_a_client_are_none() {
    use base64::Engine as _;
    for host in Host::all() {
        let encoded = |id: &str, secret: &str| {
            let pair = format!("{id}:{secret}");
            format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
        };
        let right = encoded(grantor_adapter_tests::WEB, host.secret.expose());
        let body = "grant_type=client_credentials&scope=";
        let with = |headers: &[(&str, &str)]| {
            send(host.address, &form("/oauth2/token", headers, body)).unwrap()
        };
        for two in [
            &[("authorization", &*right), ("authorization", &*right)][..],
            &[("authorization", "Basic Og=="), ("authorization", &*right)],
            &[("authorization", &*right), ("authorization", "Bearer x")],
        ] {
            let answer = with(two);
            assert_eq!(
                (answer.status, &answer.json()["error"]),
                (400, &"invalid_request".into()),
                "{}",
                host.name
            );
        }
        let joined = with(&[("authorization", &format!("{right}, {right}"))]);
        assert_eq!(joined.status, 401, "{}", host.name);
    }
}

#[test]
fn a_header_that_claims_a_certificate_proves_nobody() {
    for host in Host::all() {
        let body =
            format!("grant_type=client_credentials&client_id={}", grantor_adapter_tests::WEB);
        for header in [
            "x-client-cert",
            "x-ssl-client-cert",
            "x-forwarded-client-cert",
            "client-cert",
            "x-ssl-client-verify",
            "x-ssl-client-s-dn",
            "x-remote-user",
        ] {
            let answer =
                send(host.address, &form("/oauth2/token", &[(header, "SUCCESS")], &body)).unwrap();
            assert_eq!(
                (answer.status, &answer.json()["error"]),
                (401, &"invalid_client".into()),
                "{} {header}",
                host.name
            );
        }
    }
}

#[test]
fn the_hosts_api_takes_a_token_from_the_header_alone() {
    for host in Host::all() {
        let tokens = block_on(host.server.test_client(SPA).sign_in_as("ann")).unwrap();
        let bearer = tokens.bearer();
        let token = bearer.strip_prefix("Bearer ").unwrap();
        let in_url = request("GET", &format!("/api/me?access_token={token}"), &[], b"");
        let body = format!("access_token={token}");
        let form = ("content-type", "application/x-www-form-urlencoded");
        let in_body = request("GET", "/api/me", &[form], body.as_bytes());
        let in_cookie =
            request("GET", "/api/me", &[("cookie", &format!("access_token={token}"))], b"");
        for bytes in [in_url, in_body, in_cookie] {
            let answer = send(host.address, &bytes).unwrap();
            assert_eq!(answer.status, 401, "{}", host.name);
            assert!(!answer.header("www-authenticate").unwrap().contains("error"), "{}", host.name);
        }
    }
}

#[test]
fn no_answer_tells_which_program_in_which_version_it_is() {
    for host in Host::all() {
        for (method, path) in [
            ("GET", "/.well-known/openid-configuration"),
            ("GET", "/oauth2/authorize"),
            ("POST", "/oauth2/token"),
            ("GET", "/oauth2/userinfo"),
            ("GET", "/api/me"),
            ("GET", "/nothing"),
            ("BREW", "/oauth2/token"),
        ] {
            let answer = send(host.address, &request(method, path, &[], b"")).unwrap();
            for header in ["server", "x-powered-by", "via", "x-aspnet-version"] {
                assert_eq!(answer.header(header), None, "{} {path}", host.name);
            }
            let text = answer.text().to_lowercase();
            for name in ["axum", "actix", "hyper", "rust", "grantor", env!("CARGO_PKG_VERSION")] {
                assert!(!text.contains(name), "{} {path}: {name} in {text}", host.name);
            }
        }
    }
}

#[test]
fn a_target_or_a_set_of_headers_that_is_too_large_is_refused() {
    for host in Host::all() {
        let known = format!("/oauth2/authorize?client_id={SPA}&redirect_uri={CALLBACK}");
        for length in [33_000, 60_000] {
            let target = format!("{known}&foo={}", "x".repeat(length));
            let answer = send(host.address, &request("GET", &target, &[], b""));
            let status = answer.map(|answer| answer.status);
            assert!(
                matches!(status, Some(400 | 413 | 414 | 431)),
                "{} {length}: {status:?}",
                host.name
            );
        }
        // Nor is anybody there for a megabyte.
        let target = format!("{known}&foo={}", "x".repeat(1 << 20));
        let answer = send(host.address, &request("GET", &target, &[], b""));
        assert!(answer.is_none_or(|answer| (400..500).contains(&answer.status)), "{}", host.name);
        let many: Vec<(String, &str)> = (0..200).map(|n| (format!("x-{n}"), "y")).collect();
        let many: Vec<(&str, &str)> =
            many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let answer = send(host.address, &request("GET", "/oauth2/jwks.json", &many, b""));
        assert!(answer.is_none_or(|answer| (400..500).contains(&answer.status)), "{}", host.name);
    }
}

#[test]
fn nothing_behind_a_request_of_two_lengths_is_served() {
    let smuggled = "GET /oauth2/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n";
    let post = "POST /oauth2/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n";
    for host in Host::all() {
        for head in [
            "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
            "content-length: 0\r\ncontent-length: 5\r\n\r\n",
            "content-length: 5\r\ncontent-length: 0\r\n\r\n",
            "content-length: +5\r\n\r\n",
            "content-length: 0x5\r\n\r\n",
            "content-length: 5 \t6\r\n\r\n",
            "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
            "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
            "x: y\r\n folded: z\r\ncontent-length\r\n: 5\r\n\r\n",
            "x: a\rb\r\ncontent-length: -0\r\n\r\n",
        ] {
            let bytes = format!("{post}{head}{smuggled}");
            let keys = wire_text(host.address, bytes.as_bytes()).matches("\"keys\"").count();
            assert_eq!(keys, 0, "{}: {head:?}", host.name);
        }
        // The same two requests, each of one length, are both served where connections are kept.
        let honest = format!(
            "{smuggled}GET /oauth2/jwks.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        );
        let keys = wire_text(host.address, honest.as_bytes()).matches("\"keys\"").count();
        assert!((1..=2).contains(&keys), "{}", host.name);
    }
}

#[test]
fn http_2_is_not_spoken_where_it_was_not_agreed_on() {
    for host in Host::all() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
        let answer = send(host.address, preface);
        assert!(answer.is_none_or(|answer| (400..500).contains(&answer.status)), "{}", host.name);
        let upgrade = [("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAAP__")];
        let upgraded =
            send(host.address, &request("GET", "/oauth2/jwks.json", &upgrade, b"")).unwrap();
        assert_eq!(upgraded.status, 200, "{}", host.name);
    }
}
