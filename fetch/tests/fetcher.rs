//! Calls over real sockets: what is kept, what is bounded, what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "these are tests")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grantor::{Fetch as _, Secret};
use grantor_fetch::Fetcher;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

const AGE: Duration = Duration::from_secs(60);

/// A server that answers each path with the bytes written down for it, and counts its connections.
struct Server {
    port: u16,
    connections: Arc<AtomicU64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(answers: &[(&'static str, String)]) -> Self {
        let answers: HashMap<_, _> = answers.iter().cloned().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicU64::new(0));
        let counter = connections.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(stream, answers.clone()));
            }
        });
        Self { port, connections, accepting }
    }

    async fn stop(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads a request to its end and answers it; `/echo` with the request itself.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: HashMap<&'static str, String>,
) {
    let mut request = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&buffer[..n]),
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() < length.map_or(0, |length| length.parse().unwrap()) {
            continue;
        }
        let path = head.split(' ').nth(1).unwrap();
        let echoed = ok(&text);
        let answer = answers.get(path).unwrap_or(&echoed);
        stream.write_all(answer.as_bytes()).await.unwrap_or_default();
        return;
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

/// A fetcher that may call this machine.
fn local() -> Fetcher {
    let here = ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    Fetcher::builder().allow(here).build().unwrap()
}

#[tokio::test]
async fn a_document_is_kept_and_many_callers_wait_for_one_call() {
    let server = Server::start(&[("/keys", ok("{}"))]).await;
    let (fetcher, url) = (local(), server.url("/keys"));
    let first = fetcher.get(&url, AGE, 100).await.unwrap();
    assert_eq!(
        (first.status, &*first.content_type, &*first.body),
        (200, "application/json", &b"{}"[..])
    );
    let calls = (0..50).map(|_| {
        let (fetcher, url) = (fetcher.clone(), url.clone());
        tokio::spawn(async move { fetcher.get(&url, AGE, 100).await.unwrap() })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(Arc::ptr_eq(&call.await.unwrap(), &first), "the very same document");
    }
    assert_eq!(server.connections(), 1);
    // Who wants a fresh one gets one.
    let fresh = fetcher.get(&url, Duration::ZERO, 100).await.unwrap();
    assert!(!Arc::ptr_eq(&fresh, &first));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_failure_is_kept_too_and_nobody_can_make_it_call_again_and_again() {
    let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = Server::start(&[("/keys", missing.to_owned())]).await;
    let fetcher = local();
    for _ in 0..20 {
        let error = fetcher.get(&server.url("/keys"), AGE, 100).await.unwrap_err();
        assert!(error.to_string().contains("it answered 404"), "{error}");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_make_the_next_one_call_again() {
    let server = Server::start(&[("/keys", ok("{}"))]).await;
    let (fetcher, url) = (local(), server.url("/keys"));
    for _ in 0..300 {
        let (fetcher, url) = (fetcher.clone(), url.clone());
        let asked = tokio::spawn(async move { fetcher.get(&url, AGE, 100).await });
        tokio::task::yield_now().await;
        asked.abort();
    }
    assert!(fetcher.get(&url, AGE, 100).await.is_ok());
    assert!(server.connections() <= 1, "{}", server.connections());
}

#[tokio::test]
async fn a_failure_does_not_drive_out_what_was_kept() {
    let here = Server::start(&[("/keys", ok("{}"))]).await;
    let (fetcher, url) = (local(), here.url("/keys"));
    fetcher.get(&url, AGE, 100).await.unwrap();
    here.stop().await;
    assert!(fetcher.get(&url, Duration::ZERO, 100).await.is_err());
    assert!(fetcher.get(&url, AGE, 100).await.is_ok());
}

#[tokio::test]
async fn no_more_is_read_than_was_asked_for() {
    let endless = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n".to_owned();
    let large = ok(&"x".repeat(1001));
    let server = Server::start(&[
        ("/large", large),
        ("/endless", endless + &"x".repeat(5000)),
        ("/exact", ok(&"x".repeat(1000))),
    ])
    .await;
    let fetcher = local();
    for path in ["/large", "/endless"] {
        let error = fetcher.get(&server.url(path), AGE, 1000).await.unwrap_err();
        assert!(error.to_string().contains("more than 1000 bytes"), "{error}");
    }
    assert_eq!(fetcher.get(&server.url("/exact"), AGE, 1000).await.unwrap().body.len(), 1000);
    // Who can take more is not answered by what one who cannot has heard.
    assert_eq!(fetcher.get(&server.url("/large"), AGE, 2000).await.unwrap().body.len(), 1001);
    assert!(fetcher.get(&server.url("/large"), AGE, 1000).await.is_err());
}

#[tokio::test]
async fn redirects_are_followed_a_few_times_and_each_is_checked() {
    let target = Server::start(&[("/keys", ok("{}"))]).await;
    let server = Server::start(&[
        ("/once", redirect(&target.url("/keys"))),
        ("/relative", redirect("/once")),
        ("/loop", redirect("/loop")),
        ("/inside", redirect("http://169.254.169.254/latest/meta-data")),
        ("/rebound", redirect("https://10.0.0.1/")),
        ("/file", redirect("file:///etc/passwd")),
        ("/plain", redirect("http://example.com/")),
        ("/nowhere", redirect("http://[")),
    ])
    .await;
    let fetcher = local();
    for path in ["/once", "/relative"] {
        assert_eq!(fetcher.get(&server.url(path), AGE, 100).await.unwrap().body, b"{}");
    }
    for (path, why) in [
        ("/loop", "redirects too often"),
        ("/inside", "not public"),
        ("/rebound", "not public"),
        ("/file", "it has no host"),
        ("/plain", "not https"),
        ("/nowhere", "redirects to nowhere"),
    ] {
        let error = fetcher.get(&server.url(path), AGE, 100).await.unwrap_err();
        assert!(error.to_string().contains(why), "{path}: {error}");
    }
}

#[tokio::test]
async fn a_strict_fetcher_opens_no_connection_to_this_machine() {
    let server = Server::start(&[]).await;
    let fetcher = Fetcher::new().unwrap();
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "id.localhost", "0x7f.1"] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{}/", server.port);
            assert!(fetcher.get(&url, AGE, 100).await.is_err(), "{url}");
            assert!(fetcher.post(&url, &[], None, 100).await.is_err(), "{url}");
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_form_is_posted_with_its_credentials_and_redirects_take_them_nowhere() {
    let target = Server::start(&[]).await;
    let server = Server::start(&[("/moved", redirect(&target.url("/")))]).await;
    let (fetcher, secret) = (local(), Secret::new("Basic abc"));
    let form = [("token", "a b&c"), ("x", "é")];
    let echo = fetcher.post(&server.url("/echo"), &form, Some(&secret), 4096).await.unwrap();
    let echo = String::from_utf8(echo.body).unwrap();
    assert!(echo.starts_with("POST /echo HTTP/1.1\r\n"), "{echo}");
    assert!(echo.contains("authorization: Basic abc\r\n"), "{echo}");
    assert!(echo.ends_with("\r\n\r\ntoken=a+b%26c&x=%C3%A9"), "{echo}");
    let moved = fetcher.post(&server.url("/moved"), &form, Some(&secret), 4096).await.unwrap();
    assert_eq!(moved.status, 302);
    assert_eq!(target.connections(), 0);
}

// Time jumps to the deadline when nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn one_who_does_not_answer_holds_nobody_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await);
        }
    });
    let error = local().get(&url, AGE, 100).await.unwrap_err();
    assert!(
        error.to_string().contains("took too long") || error.to_string().contains("timed out"),
        "{error}"
    );
    silent.abort();
}

#[tokio::test]
async fn only_certificates_of_trusted_authorities_are_believed() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/keys", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, HashMap::from([("/keys", ok("{}"))])).await;
                }
            });
        }
    });
    let error = local().get(&url, AGE, 100).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let here = ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    assert!(Fetcher::builder().trust(b"no certificate").is_err());
    let trusting = Fetcher::builder().allow(here).trust(made.cert.pem().as_bytes()).unwrap();
    assert_eq!(trusting.build().unwrap().get(&url, AGE, 100).await.unwrap().body, b"{}");
}

#[tokio::test]
async fn a_call_says_what_it_is_and_carries_nothing_along() {
    let cookie = "HTTP/1.1 200 OK\r\nset-cookie: a=b; Path=/\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let server = Server::start(&[("/cookie", cookie.to_owned())]).await;
    let fetcher = local();
    fetcher.get(&server.url("/cookie"), AGE, 100).await.unwrap();
    let echoed = fetcher.get(&server.url("/echo"), AGE, 4096).await.unwrap();
    let request = String::from_utf8(echoed.body.clone()).unwrap().to_lowercase();
    assert!(request.starts_with("get /echo http/1.1\r\n"), "{request}");
    assert!(
        request.contains(&format!("\r\nuser-agent: grantor/{}\r\n", env!("CARGO_PKG_VERSION"))),
        "{request}"
    );
    for absent in ["cookie", "authorization", "referer", "accept-encoding", "proxy"] {
        assert!(!request.contains(&format!("\r\n{absent}")), "{absent}: {request}");
    }
}

#[tokio::test]
async fn what_comes_packed_is_taken_as_it_is_and_never_unpacked() {
    // Some kilobytes that would become a gigabyte.
    let packed = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\n\
                  content-length: 4\r\nconnection: close\r\n\r\n\u{1f}GZ!";
    let server = Server::start(&[("/packed", packed.to_owned())]).await;
    let document = local().get(&server.url("/packed"), AGE, 100).await.unwrap();
    assert_eq!(document.body, b"\x1fGZ!");
}

#[tokio::test]
async fn one_who_drips_holds_nobody_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/drips", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
                let asked = stream.read(&mut [0; 4096]).await.unwrap();
                assert!(asked > 0);
                stream.write_all(head).await.unwrap();
                // Never a pause that a deadline between bytes would notice.
                while stream.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            });
        }
    });
    let fetcher = local();
    let form = [("a", "b")];
    let (got, posted) =
        tokio::join!(fetcher.get(&url, AGE, 4096), fetcher.post(&url, &form, None, 4096));
    for error in [got.unwrap_err(), posted.unwrap_err()] {
        let text = error.to_string();
        assert!(text.contains("took too long") || text.contains("timed out"), "{text}");
    }
}
