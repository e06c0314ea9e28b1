//! What must be true of each adapter: a failure is an answer, and nobody tears a redemption in two.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::Write as _;
use std::net::TcpStream;

use grantor_adapter_tests::wire::{form, request, send};
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
    for host in Host::both() {
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
    for host in Host::both() {
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
    for host in Host::both() {
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
    for host in Host::both() {
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
    for host in Host::both() {
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
    for host in Host::both() {
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
    for host in Host::both() {
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
    for host in Host::both() {
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
