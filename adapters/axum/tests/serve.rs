//! Serving: deadlines for those who dawdle, and an end that finishes what is in flight. Time stands
//! still in these tests, and jumps to the next deadline when nobody has anything to do.

#![allow(clippy::unwrap_used, missing_docs, reason = "these are tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use grantor::store::Memory;
use grantor::testing::Anybody;
use grantor::{AuthorizationServer, MasterKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A server that is being served.
struct Serving {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
    /// Lets the request to `/wait` go on.
    go_on: Arc<Notify>,
}

async fn serve() -> Serving {
    let builder = AuthorizationServer::builder("https://id.example.com")
        .store(Memory::new())
        .subjects(Anybody)
        .master_key(MasterKey::from_bytes([1; 32]));
    let server = builder.build().await.unwrap();
    let go_on = Arc::new(Notify::new());
    let waiting = go_on.clone();
    let wait = move || {
        let waiting = waiting.clone();
        async move {
            waiting.notified().await;
            "waited"
        }
    };
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/wait", get(wait))
        .route("/echo", post(|body: String| async move { body }))
        .merge(grantor_axum::routes(&server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = grantor_axum::serve(listener, app, &server).until(async {
        let _ = stopped.await;
    });
    Serving { address, stop, ended: tokio::spawn(serving.into_future()), go_on }
}

impl Serving {
    /// Sends this, and reads until the connection ends; the answer, and how long it took.
    async fn send(&self, bytes: &str) -> (String, Duration) {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        (String::from_utf8(answer).unwrap(), begun.elapsed())
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_half_a_header_or_nothing_is_dropped_after_half_a_minute() {
    let serving = serve().await;
    for bytes in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let (answer, took) = serving.send(bytes).await;
        assert!(!answer.contains("200"), "{answer}");
        assert!(took >= Duration::from_secs(29) && took < Duration::from_secs(40), "{took:?}");
    }
    // A connection that is kept alive and not used ends too.
    let (answer, took) = serving.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(took >= Duration::from_secs(29), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_answered_in_the_form_of_the_endpoint() {
    let serving = serve().await;
    let head = "POST /oauth2/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/x-www-form-urlencoded\r\ncontent-length: 50\r\n\r\ngrant";
    let (answer, took) = serving.send(head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"error\":\"invalid_request\""), "{answer}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    // The host's own routes have a deadline too.
    let head = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\nhalf";
    let (answer, took) = serving.send(head).await;
    assert!(!answer.contains("200"), "{answer}");
    assert!(took < Duration::from_secs(90), "{took:?}");
}

#[tokio::test]
async fn a_request_in_flight_is_finished_when_the_server_stops() {
    let Serving { address, stop, ended, go_on } = serve().await;
    let mut flying = TcpStream::connect(address).await.unwrap();
    flying.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Whoever is served after it shows that it has been taken.
    let mut probe = TcpStream::connect(address).await.unwrap();
    probe.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    probe.read_to_end(&mut answer).await.unwrap();
    stop.send(()).unwrap();
    // The listener is closed before the end.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!ended.is_finished());
    go_on.notify_one();
    let mut answer = Vec::new();
    flying.read_to_end(&mut answer).await.unwrap();
    assert!(String::from_utf8(answer).unwrap().ends_with("waited"));
    ended.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_does_not_keep_the_server_from_stopping() {
    let serving = serve().await;
    let mut flying = TcpStream::connect(serving.address).await.unwrap();
    flying.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Whoever is served after it shows that it has been taken.
    let (answer, _) = serving.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("hello"));
    let begun = Instant::now();
    serving.stop.send(()).unwrap();
    serving.ended.await.unwrap().unwrap();
    assert!(begun.elapsed() <= Duration::from_secs(11), "{:?}", begun.elapsed());
}
